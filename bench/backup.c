/*  backup.c - what a backup costs those who write meanwhile.
    SPDX-License-Identifier: MIT OR Unlicense

    backup [--dir DIR] [--rounds N] [--slice-ms MS] [--mib N] [--rate N] [--step N] [--seed N]
           [--json]

    One thread commits `rate` transactions a second into a database of `mib` MiB: each adds one to
    two counters and inserts a row of 100 bytes. In a round it does so for slice-ms alone, and for as
    long while backups follow one another, in an order drawn anew. A latency counts from when the
    transaction was due, so that a stall also counts for those that had to wait behind it.

    After each backup: it was never begun anew; integrity_check passes; the two counters and the
    number of rows are equal, as they are after every commit, and not below what had been committed
    when it began, nor above what had been when it ended. */
#define _POSIX_C_SOURCE 200809L
#define SQLPOOL_IMPLEMENTATION
#include "bench.h"

typedef struct run_options {
    bench_options common;
    long slice_ms, mib, rate, step;
} run_options;

typedef struct load {
    sqlpool *pool;
    int64_t interval_ns, end_ns;
    atomic_llong committed;
    atomic_bool is_over;
    bench_histogram latency;
    sqlpool_error error;
} load;

typedef struct figures {
    bench_latency alone, beside;
    double per_second, backup_ms, ratio;
} figures;

static const char schema[] = "CREATE TABLE items(id INTEGER PRIMARY KEY, body BLOB);"
                             "CREATE TABLE log(id INTEGER PRIMARY KEY, note TEXT);"
                             "CREATE TABLE counter(id INTEGER PRIMARY KEY, n INTEGER);"
                             "INSERT INTO counter VALUES (1, 0), (2, 0)";

static int commit_one(sqlpool_conn *conn, void *user, int attempt) {
    int rc = sqlpool_conn_exec(conn, "UPDATE counter SET n = n + 1 WHERE id = 1", SQLPOOL_NO_ARGS,
                               NULL, NULL);
    (void)user, (void)attempt;
    if (rc == SQLPOOL_OK)
        rc = sqlpool_conn_exec(conn, "INSERT INTO log(note) VALUES (printf('%0100d', 1))",
                               SQLPOOL_NO_ARGS, NULL, NULL);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_conn_exec(conn, "UPDATE counter SET n = n + 1 WHERE id = 2", SQLPOOL_NO_ARGS,
                               NULL, NULL);
    return rc;
}

static void *write_at_rate(void *context) {
    load *l = context;
    int64_t due = bench_now_ns();
    while (due < l->end_ns) {
        const int64_t early = due - bench_now_ns();
        if (early > 0) bench_sleep_us(early / 1000);
        bench_pool(sqlpool_write(l->pool, commit_one, NULL, &l->error), &l->error, "sqlpool_write");
        bench_histogram_add(&l->latency, bench_now_ns() - due);
        (void)atomic_fetch_add(&l->committed, 1);
        due += l->interval_ns;
    }
    atomic_store(&l->is_over, true);
    return NULL;
}

static int64_t ask(sqlpool *pool, const char *sql) {
    sqlpool_error error;
    int64_t value = 0;
    bench_pool(sqlpool_query_int64(pool, &value, sql, SQLPOOL_NO_ARGS, &error), &error, sql);
    return value;
}

static void check_backup(const char *path, const sqlpool_backup_info *info, int64_t least,
                         int64_t most) {
    sqlite3 *db = NULL;
    char verdict[64];
    int64_t one, two, rows;
    bench_sqlite(NULL, sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK, path);
    (void)bench_pragma(db, "PRAGMA integrity_check", verdict, sizeof verdict);
    one = bench_pragma(db, "SELECT n FROM counter WHERE id = 1", NULL, 0);
    two = bench_pragma(db, "SELECT n FROM counter WHERE id = 2", NULL, 0);
    rows = bench_pragma(db, "SELECT count(*) FROM log", NULL, 0);
    bench_sqlite(db, sqlite3_close(db), SQLITE_OK, "sqlite3_close");
    if (strcmp(verdict, "ok") != 0) bench_die("the backup: integrity_check says %s", verdict);
    if (info->restarts != 0) bench_die("copying began anew %d times", info->restarts);
    if (one != two || one != rows || one < least || one > most)
        bench_die("the backup is no committed state: %" PRId64 ", %" PRId64 " and %" PRId64
                  ", committed %" PRId64 " to %" PRId64,
                  one, two, rows, least, most);
}

/*  One slice; with backups, how long one took on average. */
static bench_latency slice(const run_options *o, sqlpool *pool, bool has_backups, figures *f) {
    load *l = bench_alloc(sizeof *l);
    bench_latency latency;
    const int64_t start = bench_now_ns(), before = ask(pool, "SELECT n FROM counter WHERE id = 1");
    char path[BENCH_PATH_MAX];
    pthread_t thread;
    int64_t busy_ns = 0;
    int backups = 0;
    bench_path(path, "target.bak");
    l->pool = pool;
    l->interval_ns = 1000000000 / o->rate;
    l->end_ns = start + o->slice_ms * 1000000;
    bench_posix(pthread_create(&thread, NULL, write_at_rate, l), "pthread_create");
    while (has_backups && !atomic_load(&l->is_over)) {
        sqlpool_backup_config config;
        sqlpool_backup_info info;
        sqlpool_error error;
        const int64_t least = before + atomic_load(&l->committed), begun = bench_now_ns();
        memset(&config, 0, sizeof config);
        config.keep = 1;
        config.step_pages = (int)o->step;
        bench_pool(sqlpool_backup(pool, path, &config, NULL, &info, &error), &error,
                   "sqlpool_backup");
        busy_ns += bench_now_ns() - begun;
        backups++;
        if (!atomic_load(&l->is_over)) continue; /* checking all of it would load the machine */
        check_backup(path, &info, least, before + atomic_load(&l->committed) + 1);
    }
    bench_posix(pthread_join(thread, NULL), "pthread_join");
    latency = bench_latency_of(&l->latency);
    if (has_backups) {
        f->per_second = (double)atomic_load(&l->committed) * 1e9 / (double)(o->slice_ms * 1000000);
        f->backup_ms = (double)busy_ns / 1e6 / (backups > 0 ? backups : 1);
    }
    free(l);
    return latency;
}

static void fill(sqlpool *pool, const run_options *o) {
    sqlpool_error error;
    bench_pool(sqlpool_script(pool, schema, -1, &error), &error, "the schema");
    for (long i = 0; i < o->mib; i++) /* 1,000 rows of 1,000 bytes come to a MiB */
        bench_pool(
            sqlpool_exec(pool,
                         "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                         "LIMIT 1000) INSERT INTO items(body) SELECT randomblob(1000) FROM n",
                         SQLPOOL_NO_ARGS, &error),
            &error, "fill");
    bench_pool(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &error), &error,
               "sqlpool_checkpoint");
}

static void usage(void) {
    (void)printf("backup [--dir DIR] [--rounds N] [--slice-ms MS] [--mib N] [--rate N] [--step N]\n"
                 "       [--seed N] [--json]\n");
    exit(2);
}

int main(int argc, char **argv) {
    static figures f[BENCH_ROUNDS_MAX];
    run_options o;
    sqlpool_config config;
    sqlpool *pool;
    uint64_t random;
    int n;
    o.common = bench_options_default(5);
    o.slice_ms = 5000;
    o.mib = 400;
    o.rate = 1000;
    o.step = 0;
    for (int i = 1; i < argc; i++) {
        if (!bench_option_common(argc, argv, &i, &o.common) &&
            !bench_option_number(argc, argv, &i, "--slice-ms", 1, 600000, &o.slice_ms) &&
            !bench_option_number(argc, argv, &i, "--mib", 1, 100000, &o.mib) &&
            !bench_option_number(argc, argv, &i, "--rate", 1, 1000000, &o.rate) &&
            !bench_option_number(argc, argv, &i, "--step", 0, 1000000, &o.step))
            usage();
    }
    n = o.common.rounds;
    random = o.common.seed;
    bench_folder_make(o.common.dir);
    bench_header("backup", &o.common);
    config = bench_pool_config(2);
    config.acquire_timeout_ms = 60000;
    pool = bench_pool_open("backup.db", &config);
    fill(pool, &o);
    for (int r = 0; r < n; r++) {
        const bool is_first = bench_random_below(&random, 2) == 0;
        if (is_first) f[r].alone = slice(&o, pool, false, &f[r]);
        f[r].beside = slice(&o, pool, true, &f[r]);
        if (!is_first) f[r].alone = slice(&o, pool, false, &f[r]);
        f[r].ratio = f[r].beside.p999_us / f[r].alone.p999_us;
        if (o.common.json)
            (void)printf("{\"workload\":\"backup\",\"round\":%d,\"alone_p999_us\":%.1f,"
                         "\"beside_p999_us\":%.1f,\"backup_ms\":%.0f,\"per_s\":%.0f}\n",
                         r, f[r].alone.p999_us, f[r].beside.p999_us, f[r].backup_ms,
                         f[r].per_second);
    }
#define MEDIAN(member) BENCH_MEDIAN(f, n, figures, member)
    (void)printf("\n%ld MiB, one writer at %ld transactions a second\n%-16s %9s %9s %9s %10s\n",
                 o.mib, o.rate, "", "p50 us", "p99 us", "p99.9 us", "max us");
    (void)printf("%-16s %9.1f %9.1f %9.1f %10.1f\n", "alone", MEDIAN(alone.p50_us),
                 MEDIAN(alone.p99_us), MEDIAN(alone.p999_us), MEDIAN(alone.max_us));
    (void)printf("%-16s %9.1f %9.1f %9.1f %10.1f\n", "beside backups", MEDIAN(beside.p50_us),
                 MEDIAN(beside.p99_us), MEDIAN(beside.p999_us), MEDIAN(beside.max_us));
    (void)printf("a backup takes %.0f ms, checked and synced; %.0f transactions a second go on\n",
                 MEDIAN(backup_ms), MEDIAN(per_second));
    bench_goal("p99.9 beside backups to alone", MEDIAN(ratio), "<=", 2.0);
    bench_goal("transactions a second of those wanted", MEDIAN(per_second) / (double)o.rate,
               ">=", 0.97);
    bench_pool_close(pool);
    bench_folder_remove();
    return 0;
}
