/*  maintain.c - what the owner of an SQLite file needs sooner or later.
    SPDX-License-Identifier: MIT OR Unlicense

    maintain backup DB TARGET     a checked copy, beside whoever uses the database; two older ones
                                  stay as TARGET.1 and TARGET.2
    maintain restore DB BACKUP    the database becomes the newest good backup; the old file is kept
    maintain salvage DB TARGET    what can be read of a damaged database, as a new one */
#define SQLPOOL_IMPLEMENTATION
#include "../sqlpool.h"

#include "maintain_backup.h"

static int show_progress(void *user, const sqlpool_progress *progress) {
    static const char full[] = "########################################";
    (void)user;
    (void)fprintf(stderr, "\r%-8s [%-40.*s] %3d %%", progress->operation,
                  (int)(progress->fraction * 40), full, (int)(progress->fraction * 100));
    if (progress->fraction >= 1) (void)fputc('\n', stderr);
    return 0;
}

static const struct {
    const char *name, *words;
    int (*run)(sqlpool *pool, const sqlpool_maintenance *options, const char *path);
} commands[] = {{"backup", "DB TARGET", maintain_backup},
                {"restore", "DB BACKUP", maintain_restore},
                {"salvage", "DB TARGET", maintain_salvage}};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_line(void *user, sqlpool_level level, sqlpool_log_item item,
                       const char *message) {
    (void)user;
    if (level >= SQLPOOL_LEVEL_WARNING && item != SQLPOOL_LOG_SQLITE_VERSION)
        (void)fprintf(stderr, "\n%s\n", message);
}

int main(int argc, char **argv) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_maintenance options;
    sqlpool_error error;
    sqlpool *pool;
    int i, status = 2;
    memset(&options, 0, sizeof options);
    options.progress_fn = show_progress;
    config.must_exist = true;
    config.log.write_fn = print_line;
    for (i = 0; i < COMMANDS && argc == 4; i++) {
        if (strcmp(argv[1], commands[i].name) != 0) continue;
        if (sqlpool_open(&pool, argv[2], &config, &error) != SQLPOOL_OK)
            return backup_failed("open", &error);
        status = commands[i].run(pool, &options, argv[3]);
        if (sqlpool_close(pool, &error) != SQLPOOL_OK) return backup_failed("close", &error);
    }
    for (i = 0; i < COMMANDS && status == 2; i++)
        (void)fprintf(stderr, "%s maintain %s %s\n", i == 0 ? "usage:" : "      ", commands[i].name,
                      commands[i].words);
    return status;
}
