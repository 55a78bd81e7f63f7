/*  maintain.c - look after a database file. SPDX-License-Identifier: MIT OR Unlicense

    Build:  cc -O2 examples/maintain.c -o maintain -lsqlite3 -lpthread
            (beside it: sqlpool.h, maintain_backup.h and migrate_folder.h)
    Try:    ./maintain sizes app.db            ./maintain check app.db --integrity
            ./maintain optimize app.db         ./maintain schedule app.db 60
            ./maintain migrate app.db examples/migrations --dry-run

    Every command may run while programs work with the file: it takes the write lock for moments only.
      check DB [--integrity]   is the file whole? and the full-text indexes, and foreign keys
      optimize DB              statistics for the planner, full-text indexes, free pages
      sizes DB                 the file, its log, and the largest tables and indexes
      schedule DB [SECONDS]    run the default tasks as they come due, for so long or until Ctrl-C
      backup DB TARGET         a checked copy; two older ones stay as TARGET.1 and TARGET.2
      restore DB BACKUP        the database becomes the newest good backup; the old file is kept
      salvage DB TARGET        what can be read of a damaged database, as a new one
      migrate DB DIR [VERSION] bring the schema to a version, up or down, by the files of a folder
    The exit status is 0 when all is well, 1 when something was found or failed, 2 for a wrong call. */
#define _XOPEN_SOURCE 700
#define SQLPOOL_IMPLEMENTATION
#include "../sqlpool.h"
#include "maintain_backup.h"
#include "migrate_folder.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 30, LARGEST = 20 };

static volatile sig_atomic_t is_interrupted;

static void on_signal(int number) {
    (void)number;
    is_interrupted = 1;
}

/*  A bar on a terminal, nothing elsewhere. Ctrl-C stops the operation: it leaves the file whole. */
static int show_progress(void *user, const sqlpool_progress *progress) {
    const int full = (int)(progress->fraction * BAR);
    char bar[BAR + 1];
    (void)user;
    if (is_interrupted) return 1;
    if (!isatty(STDERR_FILENO)) return 0;
    memset(bar, ' ', BAR);
    memset(bar, '#', (size_t)full);
    bar[BAR] = '\0';
    fprintf(stderr, "\r%-18.18s [%s] %3d %% %-20.20s", progress->operation, bar,
            (int)(progress->fraction * 100), progress->object);
    if (progress->fraction >= 1) fputc('\n', stderr);
    return 0;
}

static int failed(const char *what, const sqlpool_error *error) {
    fprintf(stderr, "%s: %s\n", what, error->message);
    return 1;
}

/*  10 lines of what a check found, and what helps. */
static int report(const char *what, const sqlpool_check_result *result,
                  const sqlpool_error *error) {
    if (error->result == SQLPOOL_OK) {
        printf("%s: ok\n", what);
        return 0;
    }
    if (result->problems == 0) return failed(what, error);
    printf("%s: %lld problems\n%.800s\n", what, (long long)result->problems, result->text);
    if ((result->kinds & SQLPOOL_PROBLEM_STRUCTURE) != 0)
        puts("the file is damaged: restore a backup");
    else if ((result->kinds & SQLPOOL_PROBLEM_INDEX) != 0)
        puts("an index is wrong: REINDEX makes it anew");
    return 1;
}

static int check_fts5(void *user, const sqlpool_fts5_table *table) {
    static const char *const contents[] = {"", " (external content)", " (contentless)"};
    printf("full-text table \"%s\"%s\n", table->name, contents[table->content]);
    (void)user;
    return 0;
}

static int check(sqlpool *pool, sqlpool_maintenance *options, bool is_thorough) {
    const int kind = is_thorough ? SQLPOOL_CHECK_INTEGRITY : SQLPOOL_CHECK_QUICK;
    sqlpool_check_result result;
    sqlpool_error error;
    int status;
    (void)sqlpool_check(pool, kind, NULL, options, &result, &error);
    status = report(is_thorough ? "integrity" : "quick check", &result, &error);
    if (error.result == SQLPOOL_CANCELLED || is_interrupted) return 1;
    (void)sqlpool_check(pool, SQLPOOL_CHECK_FOREIGN_KEYS, NULL, options, &result, &error);
    status |= report("foreign keys", &result, &error);
    if (sqlpool_fts5_tables(pool, check_fts5, NULL, &error) != SQLPOOL_OK ||
        sqlpool_fts5(pool, NULL, SQLPOOL_FTS5_CHECK, options, &error) != SQLPOOL_OK)
        status = failed("full text", &error);
    return status;
}

static int optimize(sqlpool *pool, sqlpool_maintenance *options) {
    sqlpool_sizes sizes;
    sqlpool_error error;
    int64_t analyzed, freed;
    if (sqlpool_optimize(pool, options, &analyzed, &error) != SQLPOOL_OK)
        return failed("optimize", &error);
    printf("tables analyzed: %lld\n", (long long)analyzed);
    if (sqlpool_fts5(pool, NULL, SQLPOOL_FTS5_OPTIMIZE, options, &error) != SQLPOOL_OK)
        return failed("full text", &error);
    if (sqlpool_get_sizes(pool, &sizes, &error) != SQLPOOL_OK) return failed("sizes", &error);
    if (sizes.auto_vacuum == SQLPOOL_AUTO_VACUUM_INCREMENTAL) {
        if (sqlpool_incremental_vacuum(pool, 0, options, &freed, &error) != SQLPOOL_OK)
            return failed("incremental vacuum", &error);
        printf("pages freed: %lld\n", (long long)freed);
    } else if (sizes.free_pages * 5 > sizes.pages) {
        printf("%lld of %lld pages are free: sqlpool_vacuum() gives them back\n",
               (long long)sizes.free_pages, (long long)sizes.pages);
    }
    return 0;
}

/*  The largest objects, kept in order while they come. */
typedef struct object {
    char name[48];
    bool is_index;
    int64_t bytes, unused, gaps, pages;
} object;
typedef struct objects {
    object of[LARGEST];
    int count;
} objects;

static int take_object(void *user, const sqlpool_object_size *size) {
    objects *all = (objects *)user;
    int i = all->count < LARGEST ? all->count++ : LARGEST;
    while (i > 0 && all->of[i - 1].bytes < size->bytes) {
        if (i < LARGEST) all->of[i] = all->of[i - 1];
        i--;
    }
    if (i == LARGEST) return 0;
    (void)snprintf(all->of[i].name, sizeof all->of[i].name, "%s", size->name);
    all->of[i].is_index = size->is_index;
    all->of[i].bytes = size->bytes;
    all->of[i].unused = size->unused_bytes;
    all->of[i].gaps = size->gaps;
    all->of[i].pages = size->pages;
    return 0;
}

static int sizes(sqlpool *pool, sqlpool_maintenance *options) {
    sqlpool_sizes now;
    sqlpool_error error;
    objects all;
    int i;
    memset(&all, 0, sizeof all);
    if (sqlpool_get_sizes(pool, &now, &error) != SQLPOOL_OK ||
        sqlpool_object_sizes(pool, take_object, &all, options, &error) != SQLPOOL_OK)
        return failed("sizes", &error);
    printf("file %.1f MB, log %.1f MB, %lld pages of %lld bytes, %lld of them free\n",
           (double)now.file_bytes / 1e6, now.wal_bytes > 0 ? (double)now.wal_bytes / 1e6 : 0.0,
           (long long)now.pages, (long long)now.page_bytes, (long long)now.free_pages);
    printf("%12s %7s %7s  %s\n", "bytes", "unused", "gaps", "table or index");
    for (i = 0; i < all.count; i++) {
        const object *o = &all.of[i];
        if (o->unused < 0)
            printf("%12lld %7s %7s", (long long)o->bytes, "?", "?");
        else
            printf("%12lld %5.1f %% %5.1f %%", (long long)o->bytes,
                   100.0 * (double)o->unused / (double)(o->bytes > 0 ? o->bytes : 1),
                   100.0 * (double)o->gaps / (double)(o->pages > 0 ? o->pages : 1));
        printf("  %s%s\n", o->is_index ? "index " : "", o->name);
    }
    return 0;
}

static void show_task(void *user, const sqlpool_task_state *state) {
    (void)user;
    printf("%s: %s (run %lld, %lld ms)\n", state->name,
           state->result == SQLPOOL_OK ? "ok" : state->message, (long long)state->runs,
           (long long)(state->ended_ms - state->begun_ms));
    (void)fflush(stdout);
}

static int schedule(sqlpool *pool, int seconds) {
    const struct timespec moment = {0, 100000000};
    sqlpool_schedule_config config;
    sqlpool_task_state states[16];
    sqlpool_error error;
    int count, i, tenths;
    memset(&config, 0, sizeof config);
    config.tasks = sqlpool_schedule_default(&config.count);
    config.keep_state = true;
    config.done_fn = show_task;
    if (sqlpool_schedule(pool, &config, &error) != SQLPOOL_OK) return failed("schedule", &error);
    for (tenths = 0; !is_interrupted && (seconds == 0 || tenths < seconds * 10); tenths++)
        (void)nanosleep(&moment, NULL);
    count = sqlpool_schedule_state(pool, states, 16);
    for (i = 0; i < count && i < 16; i++) {
        const time_t due = (time_t)(states[i].due_ms / 1000);
        char when[32] = "now";
        struct tm day;
        if (due != 0 && gmtime_r(&due, &day) != NULL)
            (void)strftime(when, sizeof when, "%Y-%m-%d %H:%M UTC", &day);
        printf("%-20s next %s, %lld runs, %lld failed\n", states[i].name, when,
               (long long)states[i].runs, (long long)states[i].failures);
    }
    return 0;
}

static int usage(void) {
    fputs("usage: maintain check DB [--integrity] | optimize DB | sizes DB | schedule DB [SECONDS] "
          "|\n"
          "       backup DB TARGET | restore DB BACKUP | salvage DB TARGET |\n"
          "       migrate DB DIR [VERSION] [--dry-run | --check] [--adopt] [--id NUMBER]\n",
          stderr);
    return 2;
}

int main(int argc, char **argv) {
    const char *command = argc > 2 ? argv[1] : "", *extra = argc > 3 ? argv[3] : "";
    sqlpool_config config = sqlpool_config_default();
    sqlpool_maintenance options;
    sqlpool_error error;
    sqlpool *pool;
    int status;
    if (argc > 1 && strcmp(argv[1], "migrate") == 0) {
        (void)signal(SIGINT, on_signal);
        return migrate_command(argc - 2, argv + 2, show_progress);
    }
    if (argc < 3 || argc > 4) return usage();
    config.must_exist = true;
    config.max_connections = 3;
    config.snapshot_idle_ms = SQLPOOL_OFF; /* it is a guest: it keeps nobody's log */
    memset(&options, 0, sizeof options);
    options.progress_fn = show_progress;
    (void)signal(SIGINT, on_signal);
    if (sqlpool_open(&pool, argv[2], &config, &error) != SQLPOOL_OK) return failed(argv[2], &error);
    if (strcmp(command, "check") == 0 && (argc == 3 || strcmp(extra, "--integrity") == 0))
        status = check(pool, &options, argc == 4);
    else if (strcmp(command, "optimize") == 0 && argc == 3)
        status = optimize(pool, &options);
    else if (strcmp(command, "sizes") == 0 && argc == 3)
        status = sizes(pool, &options);
    else if (strcmp(command, "schedule") == 0)
        status = schedule(pool, atoi(extra));
    else if (strcmp(command, "backup") == 0 && argc == 4)
        status = maintain_backup(pool, &options, extra);
    else if (strcmp(command, "restore") == 0 && argc == 4)
        status = maintain_restore(pool, &options, extra);
    else if (strcmp(command, "salvage") == 0 && argc == 4)
        status = maintain_salvage(pool, &options, extra);
    else
        status = usage();
    if (sqlpool_close(pool, &error) != SQLPOOL_OK) return failed("close", &error);
    return status;
}
