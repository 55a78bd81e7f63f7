/*  log.c - does the write-ahead log stay small while one thread writes at full speed beside readers that
    overlap without end? (W11) SPDX-License-Identifier: MIT OR Unlicense

    log [--dir DIR] [--seconds N] [--readers N] [--read-ms MS] [--rounds N] [--json]

    A thread inserts one row a transaction in a closed loop, synchronous NORMAL; each reader opens a
    cursor, holds it for --read-ms, and opens the next one at once, so that at any time somebody reads.

      hand     plain sqlite3, a connection per thread, SQLite's automatic checkpoint (1,000 pages)
      sqlpool  sqlpool_exec() and sqlpool_query() with the pool's defaults: a checkpoint above 4 MiB,
               readers held back for a moment above 64 MiB

    Both run for the same time, in turn. The size of the log is looked at every 5 ms. A log that has
    grown to 1 GiB ends the turn of its system, and the table says after how long. */
#define _POSIX_C_SOURCE 200809L
#define SQLPOOL_IMPLEMENTATION
#include "bench.h"

#include <sys/stat.h>

enum { READERS_MAX = 16, WRITER = 0 };
static const int64_t log_most = INT64_C(1) << 30;

typedef enum system_id { HAND, POOL, SYSTEM_COUNT } system_id;
static const char *const system_names[SYSTEM_COUNT] = {"hand", "sqlpool"};

typedef struct run_options {
    bench_options common;
    long seconds, readers, read_ms;
} run_options;

typedef struct turn {
    const run_options *options;
    system_id system;
    char log_path[BENCH_PATH_MAX];
    sqlpool *pool;
    sqlite3 *db[READERS_MAX + 1];
    sqlite3_stmt *statement[READERS_MAX + 1];
    int stop; /* atomic */
    int64_t commits, reads, largest_log;
    bench_histogram latency;
    int64_t begin_ns, end_ns;
} turn;

typedef struct figures {
    double commits_per_second, reads_per_second, largest_mib, seconds;
    bench_latency call;
} figures;

static const char insert_sql[] =
    "INSERT INTO log(thread, n, note) VALUES (0, ?1, 'a row of the log')";
static const char read_sql[] = "SELECT value FROM item";

static bool is_stopped(const turn *t) {
    return __atomic_load_n(&t->stop, __ATOMIC_RELAXED) != 0;
}

static void write_rows(turn *t) {
    sqlpool_error error;
    int64_t now = bench_now_ns();
    while (!is_stopped(t)) {
        const int64_t start = now;
        if (t->system == POOL) {
            bench_pool(sqlpool_exec(t->pool, insert_sql, SQLPOOL_ARGS(t->commits), &error), &error,
                       "sqlpool_exec");
        } else {
            sqlite3_stmt *insert = t->statement[WRITER];
            bench_sqlite(NULL, sqlite3_bind_int64(insert, 1, t->commits), SQLITE_OK,
                         "sqlite3_bind_int64");
            bench_sqlite(t->db[WRITER], sqlite3_step(insert), SQLITE_DONE, "sqlite3_step");
            bench_sqlite(t->db[WRITER], sqlite3_reset(insert), SQLITE_OK, "sqlite3_reset");
        }
        now = bench_now_ns();
        bench_histogram_add(&t->latency, now - start);
        t->commits++;
    }
}

static void read_rows(turn *t, int thread) {
    const int64_t hold_us = t->options->read_ms * 1000;
    while (!is_stopped(t)) {
        if (t->system == POOL) {
            sqlpool_rows rows;
            sqlpool_error error;
            bench_pool(sqlpool_query(t->pool, &rows, read_sql, SQLPOOL_NO_ARGS, &error), &error,
                       "sqlpool_query");
            if (!sqlpool_rows_next(&rows)) bench_die("no row");
            bench_sleep_us(hold_us);
            bench_pool(sqlpool_rows_close(&rows, &error), &error, "sqlpool_rows_close");
        } else {
            sqlite3_stmt *select = t->statement[thread];
            bench_sqlite(t->db[thread], sqlite3_step(select), SQLITE_ROW, "sqlite3_step");
            bench_sleep_us(hold_us);
            bench_sqlite(t->db[thread], sqlite3_reset(select), SQLITE_OK, "sqlite3_reset");
        }
        (void)__atomic_add_fetch(&t->reads, 1, __ATOMIC_RELAXED);
    }
}

/*  Thread 0 writes, the last one looks at the log and at the time, the others read. */
static void work(void *context, int thread, bench_team *team) {
    turn *t = (turn *)context;
    const int64_t opened = bench_gate(team);
    if (thread == WRITER) {
        t->begin_ns = opened;
        write_rows(t);
        t->end_ns = bench_now_ns();
    } else if (thread <= t->options->readers) {
        bench_sleep_us(t->options->read_ms * 1000 * thread / t->options->readers); /* overlap */
        read_rows(t, thread);
    } else {
        while (bench_now_ns() - opened < t->options->seconds * INT64_C(1000000000) &&
               t->largest_log < log_most) {
            struct stat file;
            if (stat(t->log_path, &file) == 0 && file.st_size > t->largest_log)
                t->largest_log = file.st_size;
            bench_sleep_us(5000);
        }
        __atomic_store_n(&t->stop, 1, __ATOMIC_RELAXED);
    }
}

static void open_turn(turn *t, const bench_settings *settings, const char *name) {
    const int readers = (int)t->options->readers;
    if (t->system == POOL) {
        sqlpool_config config = bench_pool_config(readers);
        t->pool = bench_pool_open(name, &config);
        (void)bench_pool_warm(t->pool, readers);
        return;
    }
    for (int i = 0; i <= readers; i++) {
        t->db[i] = bench_hand_open(name, settings);
        bench_sqlite(t->db[i], sqlite3_busy_timeout(t->db[i], 30000), SQLITE_OK,
                     "sqlite3_busy_timeout");
        t->statement[i] = bench_hand_prepare(t->db[i], i == WRITER ? insert_sql : read_sql);
    }
}

static void close_turn(turn *t) {
    if (t->pool != NULL) bench_pool_close(t->pool);
    for (int i = 0; i <= READERS_MAX; i++) {
        if (t->db[i] == NULL) continue;
        bench_sqlite(NULL, sqlite3_finalize(t->statement[i]), SQLITE_OK, "sqlite3_finalize");
        bench_sqlite(NULL, sqlite3_close(t->db[i]), SQLITE_OK, "sqlite3_close");
    }
}

static figures run_turn(const run_options *o, bench_team *team, system_id system,
                        const bench_settings *settings, int round) {
    turn *t = bench_alloc(sizeof *t);
    char name[64], file[BENCH_PATH_MAX];
    figures f;
    sqlite3 *db;
    (void)snprintf(name, sizeof name, "log-%d-%d.db", round, (int)system);
    bench_database_copy("log.db", name);
    t->options = o;
    t->system = system;
    bench_path(file, name);
    if (snprintf(t->log_path, sizeof t->log_path, "%s-wal", file) >= (int)sizeof t->log_path)
        bench_die("the path %s is too long", file);
    open_turn(t, settings, name);
    bench_team_run(team, (int)o->readers + 2, work, t);
    f.seconds = (double)(t->end_ns - t->begin_ns) / 1e9;
    f.commits_per_second = (double)t->commits / f.seconds;
    f.reads_per_second = (double)t->reads / f.seconds;
    f.largest_mib = (double)t->largest_log / 1048576;
    f.call = bench_latency_of(&t->latency);
    close_turn(t);
    db = bench_hand_open(name, NULL);
    if (bench_pragma(db, "SELECT count(*) FROM log", NULL, 0) != t->commits)
        bench_die("%s: commits are missing", system_names[system]);
    bench_sqlite(NULL, sqlite3_close(db), SQLITE_OK, "sqlite3_close");
    (void)remove(file);
    free(t);
    return f;
}

#define MEDIAN(f, n, member) BENCH_MEDIAN((f), (n), figures, member)

static void print(const run_options *o, figures f[SYSTEM_COUNT][BENCH_ROUNDS_MAX]) {
    const int n = o->common.rounds;
    double hand[BENCH_ROUNDS_MAX], pool[BENCH_ROUNDS_MAX];
    (void)printf("\nW11  one writer, %ld readers that hold a cursor for %ld ms each, %ld s\n"
                 "%-10s %9s %9s %11s %8s %9s %9s %9s %10s\n",
                 o->readers, o->read_ms, o->seconds, "system", "commits/s", "reads/s", "log MiB",
                 "after s", "p50 us", "p99 us", "p99.9 us", "max us");
    for (int s = 0; s < SYSTEM_COUNT; s++) {
        (void)printf("%-10s %9.0f %9.0f %11.1f %8.1f %9.1f %9.1f %9.1f %10.1f\n", system_names[s],
                     MEDIAN(f[s], n, commits_per_second), MEDIAN(f[s], n, reads_per_second),
                     BENCH_WORST(f[s], n, figures, largest_mib), MEDIAN(f[s], n, seconds),
                     MEDIAN(f[s], n, call.p50_us), MEDIAN(f[s], n, call.p99_us),
                     MEDIAN(f[s], n, call.p999_us), MEDIAN(f[s], n, call.max_us));
        for (int r = 0; r < n && o->common.json; r++)
            (void)printf("{\"workload\":\"W11\",\"system\":\"%s\",\"round\":%d,\"per_s\":%.1f,"
                         "\"log_mib\":%.1f,\"seconds\":%.1f,\"p50_us\":%.2f,\"p999_us\":%.2f}\n",
                         system_names[s], r, f[s][r].commits_per_second, f[s][r].largest_mib,
                         f[s][r].seconds, f[s][r].call.p50_us, f[s][r].call.p999_us);
    }
    bench_member(hand, f[HAND], sizeof(figures), offsetof(figures, call.p999_us), n);
    bench_member(pool, f[POOL], sizeof(figures), offsetof(figures, call.p999_us), n);
    bench_goal("W11: p99.9 of a commit, sqlpool to hand", bench_median_ratio(pool, hand, n),
               "<=", 1.0);
    bench_goal("W11: largest log, MiB, of a limit of 64 and a budget of 4",
               BENCH_WORST(f[POOL], n, figures, largest_mib), "<=", 68.0);
}

static void usage(void) {
    (void)printf("log [--dir DIR] [--seconds N] [--readers N] [--read-ms MS] [--rounds N]"
                 " [--json]\n");
    exit(2);
}

int main(int argc, char **argv) {
    static figures f[SYSTEM_COUNT][BENCH_ROUNDS_MAX];
    run_options o;
    bench_team *team;
    bench_settings settings;
    sqlpool_config config;
    sqlpool *pool;
    uint64_t random;
    o.common = bench_options_default(1);
    o.seconds = 60;
    o.readers = 4;
    o.read_ms = 5;
    for (int i = 1; i < argc; i++) {
        if (!bench_option_common(argc, argv, &i, &o.common) &&
            !bench_option_number(argc, argv, &i, "--seconds", 1, 3600, &o.seconds) &&
            !bench_option_number(argc, argv, &i, "--readers", 1, READERS_MAX, &o.readers) &&
            !bench_option_number(argc, argv, &i, "--read-ms", 1, 1000, &o.read_ms))
            usage();
    }
    bench_folder_make(o.common.dir);
    bench_header("the log beside readers", &o.common);
    bench_database_make("log.db", 1000, false);
    config = bench_pool_config((int)o.readers);
    pool = bench_pool_open("log.db", &config);
    settings = bench_pool_warm(pool, (int)o.readers);
    bench_pool_close(pool);
    team = bench_team_start((int)o.readers + 2);
    random = o.common.seed;
    for (int round = 0; round < o.common.rounds; round++) {
        int order[SYSTEM_COUNT] = {HAND, POOL};
        bench_shuffle(&random, order, SYSTEM_COUNT);
        for (int i = 0; i < SYSTEM_COUNT; i++)
            f[order[i]][round] = run_turn(&o, team, (system_id)order[i], &settings, round);
    }
    print(&o, f);
    bench_team_end(team);
    bench_folder_remove();
    return 0;
}
