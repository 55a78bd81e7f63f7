/*  writes.c - what a write costs when many write: one insert per transaction (W6), writes that are
    submitted, and many rows at once (W7).
    SPDX-License-Identifier: MIT OR Unlicense

    writes [--dir DIR] [--rounds N] [--slice-ms MS] [--rows N] [--seed N] [--parts W6,submit,W7]
           [--threads 1,8,32] [--json]

    W6      threads insert one row a call in a closed loop, with synchronous FULL and NORMAL:
              own      a connection per thread, a kept statement, sqlite3_busy_timeout(30 s): what
                       programs do; with one thread the best that plain sqlite3 offers
              mutex    one connection and statement for all threads, behind a mutex: the best that is
                       easily written by hand for many
              sqlpool  sqlpool_exec()
            Latencies are taken around each call. What was inserted is counted after each slice.
    submit  4 threads, synchronous NORMAL: sqlpool_submit() and a flush at the end, timed with it;
            beside it the synchronous loops of W6.
    W7      rows into an empty table of three columns, synchronous NORMAL:
              hand     one transaction, one kept statement, bind and step for each row
              lease    the same through sqlpool_transaction() and sqlpool_conn_exec()
              bulk     sqlpool_bulk_row()
            Each ends with its commit; what a checkpoint costs is in it as far as it happens by then.

    Log limits are equal: SQLite's own checkpoint starts at 1,000 pages of 4 KiB, the pool's at
    4 MiB. Systems alternate within a round in an order drawn anew; the medians over the rounds are
    printed, ratios are taken within a round. */
#define _POSIX_C_SOURCE 200809L
#define SQLPOOL_IMPLEMENTATION
#include "bench.h"

enum { THREADS_MAX = 32, ROWS_MAX = 4, SUBMIT_THREADS = 4 };

typedef enum system_id { OWN, MUTEX, POOL, SUBMIT, SYSTEM_COUNT } system_id;
static const char *const system_names[SYSTEM_COUNT] = {"own connection", "mutex", "sqlpool",
                                                       "submit"};

typedef struct run_options {
    bench_options common;
    long slice_ms, rows;
    const char *parts, *threads;
} run_options;

typedef struct worker {
    _Alignas(BENCH_LINE) int64_t count;
    sqlpool_error error;
    bench_histogram latency;
} worker;

typedef struct figures {
    double per_second;
    bench_latency call;
} figures;

/*  One file per system, so that nobody pays for another one's connections. */
typedef struct home {
    sqlite3 *db[THREADS_MAX];
    sqlite3_stmt *statement[THREADS_MAX];
    sqlite3 *shared;
    sqlite3_stmt *shared_statement;
    pthread_mutex_t lock;
    sqlpool *pool;
    int threads;
} home;

typedef struct job {
    home *h;
    worker *workers;
    int64_t duration_ns;
} job;

static const char insert_sql[] =
    "INSERT INTO log(thread, n, note) VALUES (?1, ?2, 'a row of the log')";

static void insert_by_hand(sqlite3 *db, sqlite3_stmt *statement, int thread, int64_t n) {
    bench_sqlite(NULL, sqlite3_bind_int(statement, 1, thread), SQLITE_OK, "sqlite3_bind_int");
    bench_sqlite(NULL, sqlite3_bind_int64(statement, 2, n), SQLITE_OK, "sqlite3_bind_int64");
    bench_sqlite(db, sqlite3_step(statement), SQLITE_DONE, "sqlite3_step");
    bench_sqlite(db, sqlite3_reset(statement), SQLITE_OK, "sqlite3_reset");
}

/*  The closed loop around one call. */
#define CLOSED_LOOP(call)                                      \
    const job *j = context;                                    \
    worker *w = &j->workers[thread];                           \
    const int64_t opened = bench_gate(team);                   \
    int64_t now = bench_now_ns();                              \
    while (now - opened < j->duration_ns) {                    \
        const int64_t start = now;                             \
        call;                                                  \
        now = bench_now_ns();                                  \
        bench_histogram_add(&w->latency, now - start);         \
        w->count++;                                            \
    }

static void own_writer(void *context, int thread, bench_team *team) {
    CLOSED_LOOP(insert_by_hand(j->h->db[thread], j->h->statement[thread], thread, w->count))
}
static void mutex_writer(void *context, int thread, bench_team *team) {
    CLOSED_LOOP(bench_posix(pthread_mutex_lock(&j->h->lock), "pthread_mutex_lock");
                insert_by_hand(j->h->shared, j->h->shared_statement, thread, w->count);
                bench_posix(pthread_mutex_unlock(&j->h->lock), "pthread_mutex_unlock"))
}
static void pool_writer(void *context, int thread, bench_team *team) {
    CLOSED_LOOP(bench_pool(
        sqlpool_exec(j->h->pool, insert_sql, SQLPOOL_ARGS(thread, w->count), &w->error), &w->error,
        "sqlpool_exec"))
}
static void submit_writer(void *context, int thread, bench_team *team) {
    CLOSED_LOOP(bench_pool(sqlpool_submit(j->h->pool, NULL, insert_sql,
                                          SQLPOOL_ARGS(thread, w->count), &w->error),
                           &w->error, "sqlpool_submit"))
}

typedef void (*work_fn)(void *context, int thread, bench_team *team);
static const work_fn works[SYSTEM_COUNT] = {own_writer, mutex_writer, pool_writer, submit_writer};

/*------------------------------------------------------------------------------
 * One table of W6 or submit
 *----------------------------------------------------------------------------*/

static void home_name(char out[64], const char *table, int system) {
    (void)snprintf(out, 64, "%s-%d.db", table, system);
}

static void open_homes(home *homes, const char *table, const int *systems, int count, int threads,
                       int synchronous) {
    bench_settings settings;
    sqlpool_config config = bench_pool_config(2);
    char name[64], first[64];
    config.acquire_timeout_ms = 60000;
    config.synchronous = synchronous;
    home_name(first, table, SYSTEM_COUNT);
    bench_database_make(first, 1000, false);
    memset(homes, 0, sizeof *homes * SYSTEM_COUNT);
    memset(&settings, 0, sizeof settings);
    for (int pass = 0; pass < 2; pass++) { /* a pool first: its settings are for all */
        for (int i = 0; i < count; i++) {
            home *h = &homes[systems[i]];
            const bool is_pool = systems[i] == POOL || systems[i] == SUBMIT;
            if (is_pool != (pass == 0)) continue;
            home_name(name, table, systems[i]);
            bench_database_copy(first, name);
            h->threads = threads;
            bench_posix(pthread_mutex_init(&h->lock, NULL), "pthread_mutex_init");
            if (is_pool) {
                h->pool = bench_pool_open(name, &config);
                settings = bench_pool_warm(h->pool, 2);
            } else if (systems[i] == MUTEX) {
                h->shared = bench_hand_open(name, &settings);
                h->shared_statement = bench_hand_prepare(h->shared, insert_sql);
            } else {
                for (int t = 0; t < threads; t++) {
                    h->db[t] = bench_hand_open(name, &settings);
                    bench_sqlite(h->db[t], sqlite3_busy_timeout(h->db[t], 30000), SQLITE_OK,
                                 "sqlite3_busy_timeout");
                    h->statement[t] = bench_hand_prepare(h->db[t], insert_sql);
                }
            }
        }
    }
}

static void close_hand(sqlite3 *db, sqlite3_stmt *statement) {
    if (db == NULL) return;
    bench_sqlite(db, sqlite3_finalize(statement), SQLITE_OK, "sqlite3_finalize");
    bench_sqlite(NULL, sqlite3_close(db), SQLITE_OK, "sqlite3_close");
}

static void close_homes(home *homes) {
    for (int s = 0; s < SYSTEM_COUNT; s++) {
        home *h = &homes[s];
        if (h->threads == 0) continue;
        for (int t = 0; t < THREADS_MAX; t++) close_hand(h->db[t], h->statement[t]);
        close_hand(h->shared, h->shared_statement);
        if (h->pool != NULL) bench_pool_close(h->pool);
        bench_posix(pthread_mutex_destroy(&h->lock), "pthread_mutex_destroy");
    }
}

/*  Nothing was lost; and the next round starts on an empty log. */
static void check_and_empty(home *h, int64_t rows, const char *system) {
    int64_t stored = -1;
    if (h->pool != NULL) {
        sqlpool_error error;
        bench_pool(sqlpool_query_int64(h->pool, &stored, "SELECT count(*) FROM log",
                                       SQLPOOL_NO_ARGS, &error),
                   &error, "count of log");
        bench_pool(sqlpool_exec(h->pool, "DELETE FROM log", SQLPOOL_NO_ARGS, &error), &error,
                   "DELETE FROM log");
        bench_pool(sqlpool_checkpoint(h->pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &error), &error,
                   "sqlpool_checkpoint");
    } else {
        sqlite3 *db = h->shared != NULL ? h->shared : h->db[0];
        stored = bench_pragma(db, "SELECT count(*) FROM log", NULL, 0);
        bench_exec(db, "DELETE FROM log");
        bench_exec(db, "PRAGMA wal_checkpoint(PASSIVE)");
    }
    if (stored != rows)
        bench_die("%s: %" PRId64 " rows were inserted, %" PRId64 " are there", system, rows,
                  stored);
}

static figures run_slice(bench_team *team, home *h, worker *workers, int system, int64_t ms) {
    bench_histogram *all = bench_alloc(sizeof *all);
    job j = {h, workers, ms * 1000000};
    int64_t start, rows = 0;
    figures f;
    for (int t = 0; t < h->threads; t++) {
        workers[t].count = 0;
        memset(&workers[t].latency, 0, sizeof workers[t].latency);
    }
    start = bench_now_ns();
    bench_team_run(team, h->threads, works[system], &j);
    if (system == SUBMIT)
        bench_pool(sqlpool_flush(h->pool, SQLPOOL_FOREVER, &workers[0].error), &workers[0].error,
                   "sqlpool_flush");
    for (int t = 0; t < h->threads; t++) {
        rows += workers[t].count;
        bench_histogram_merge(all, &workers[t].latency);
    }
    f.per_second = (double)rows * 1e9 / (double)(bench_now_ns() - start);
    f.call = bench_latency_of(all);
    free(all);
    check_and_empty(h, rows, system_names[system]);
    return f;
}

#define MEDIAN(f, n, member) BENCH_MEDIAN((f), (n), figures, member)

static double ratio(figures f[SYSTEM_COUNT][BENCH_ROUNDS_MAX], int a, int b, size_t member, int n) {
    double x[BENCH_ROUNDS_MAX], y[BENCH_ROUNDS_MAX];
    bench_member(x, f[a], sizeof(figures), member, n);
    bench_member(y, f[b], sizeof(figures), member, n);
    return bench_median_ratio(x, y, n);
}
#define RATE_RATIO(f, a, b, n) ratio((f), (a), (b), offsetof(figures, per_second), (n))

static void print_table(const run_options *o, const char *part, int threads, const char *sync,
                        const int *systems, int count,
                        figures f[SYSTEM_COUNT][BENCH_ROUNDS_MAX]) {
    const int n = o->common.rounds;
    (void)printf("\n%s  %d threads, synchronous %s, one INSERT a call\n%-16s %10s %9s %9s %9s "
                 "%10s\n",
                 part, threads, sync, "system", "per s", "p50 us", "p99 us", "p99.9 us", "max us");
    for (int i = 0; i < count; i++) {
        const figures *of = f[systems[i]];
        (void)printf("%-16s %10.0f %9.1f %9.1f %9.1f %10.1f\n", system_names[systems[i]],
                     MEDIAN(of, n, per_second), MEDIAN(of, n, call.p50_us),
                     MEDIAN(of, n, call.p99_us), MEDIAN(of, n, call.p999_us),
                     MEDIAN(of, n, call.max_us));
        for (int r = 0; r < n && o->common.json; r++) {
            (void)printf("{\"workload\":\"%s\",\"system\":\"%s\",\"threads\":%d,\"synchronous\":"
                         "\"%s\",\"round\":%d,\"per_s\":%.1f,\"p50_us\":%.2f,\"p99_us\":%.2f,"
                         "\"p999_us\":%.2f,\"max_us\":%.2f}\n",
                         part, system_names[systems[i]], threads, sync, r, of[r].per_second,
                         of[r].call.p50_us, of[r].call.p99_us, of[r].call.p999_us,
                         of[r].call.max_us);
        }
    }
}

static void w6_goals(int threads, bool is_full, int n,
                     figures f[SYSTEM_COUNT][BENCH_ROUNDS_MAX]) {
    const double by_mutex = RATE_RATIO(f, POOL, MUTEX, n), by_own = RATE_RATIO(f, POOL, OWN, n);
    char what[80];
#define GOAL(text, value, relation, goal)                                                     \
    ((void)snprintf(what, sizeof what, "W6 %s, threads %d: %s", is_full ? "FULL" : "NORMAL",  \
                    threads, text),                                                           \
     bench_goal(what, (value), (relation), (goal)))
    if (threads == 1) GOAL("sqlpool to hand-written", by_own, ">=", 0.97);
    if (threads == 8 && is_full) {
        GOAL("sqlpool to mutex", by_mutex, ">=", 3.0);
        GOAL("sqlpool to own connections", by_own, ">=", 3.5);
    }
    if (threads == 32 && is_full) {
        GOAL("sqlpool to mutex", by_mutex, ">=", 6.0);
        GOAL("sqlpool to own connections", by_own, ">=", 20.0);
        GOAL("p99.9, sqlpool to own", ratio(f, POOL, OWN, offsetof(figures, call.p999_us), n), "<=",
             0.1);
        GOAL("maximum, sqlpool to own", ratio(f, POOL, OWN, offsetof(figures, call.max_us), n),
             "<=", 0.1);
    }
    if (threads > 1 && !is_full) {
        GOAL("sqlpool to mutex", by_mutex, ">=", 0.97);
        GOAL("p99.9, sqlpool to own", ratio(f, POOL, OWN, offsetof(figures, call.p999_us), n), "<=",
             0.1);
        GOAL("maximum, sqlpool to own", ratio(f, POOL, OWN, offsetof(figures, call.max_us), n),
             "<=", 0.1);
    }
#undef GOAL
}

static void part_calls(const run_options *o, bench_team *team, worker *workers, const char *part,
                       int threads, int synchronous, const int *systems, int count) {
    static figures f[SYSTEM_COUNT][BENCH_ROUNDS_MAX];
    static home homes[SYSTEM_COUNT];
    const bool is_full = synchronous == SQLPOOL_SYNCHRONOUS_FULL;
    const int n = o->common.rounds;
    uint64_t random = o->common.seed;
    char table[32];
    (void)snprintf(table, sizeof table, "%s-%d-%d", part, threads, synchronous);
    open_homes(homes, table, systems, count, threads, synchronous);
    for (int round = -1; round < n; round++) { /* the first one warms up */
        int order[SYSTEM_COUNT];
        for (int i = 0; i < count; i++) order[i] = systems[i];
        bench_shuffle(&random, order, count);
        for (int i = 0; i < count; i++) {
            const figures now = run_slice(team, &homes[order[i]], workers, order[i],
                                          round < 0 ? o->slice_ms / 5 + 1 : o->slice_ms);
            if (round >= 0) f[order[i]][round] = now;
        }
    }
    close_homes(homes);
    print_table(o, part, threads, is_full ? "FULL" : "NORMAL", systems, count, f);
    if (strcmp(part, "W6") == 0) {
        w6_goals(threads, is_full, n, f);
    } else {
        const double own = RATE_RATIO(f, SUBMIT, OWN, n), mutex = RATE_RATIO(f, SUBMIT, MUTEX, n);
        bench_goal("submit, NORMAL, 4 producers: to own connections", own, ">=", 5.0);
        bench_goal("submit, NORMAL, 4 producers: to mutex", mutex, ">=", 5.0);
    }
}

/*------------------------------------------------------------------------------
 * W7
 *----------------------------------------------------------------------------*/

typedef enum bulk_id { HAND, LEASE, BULK, BULK_COUNT } bulk_id;
static const char *const bulk_names[BULK_COUNT] = {"hand, one statement", "lease",
                                                   "sqlpool_bulk"};
static const char bulk_schema[] = "CREATE TABLE big(id INTEGER PRIMARY KEY, a INTEGER, b TEXT, c REAL)";
static const char bulk_sql[] = "INSERT INTO big(a, b, c) VALUES (?1, ?2, ?3)";

/*  Row `n`, the same in every system. */
static int row_text(char out[32], int64_t n) {
    static const char stem[] = "row number ";
    char digits[24];
    int at = (int)sizeof stem - 1, count = 0;
    memcpy(out, stem, sizeof stem - 1);
    do {
        digits[count++] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    while (count > 0) out[at++] = digits[--count];
    return at;
}

static void fill_by_hand(const char *name, const bench_settings *settings, long rows) {
    sqlite3 *db = bench_hand_open(name, settings);
    sqlite3_stmt *statement = bench_hand_prepare(db, bulk_sql);
    bench_exec(db, "BEGIN");
    for (long n = 0; n < rows; n++) {
        char text[32];
        const int bytes = row_text(text, n);
        bench_sqlite(db, sqlite3_bind_int64(statement, 1, bench_item_value(n)), SQLITE_OK, "bind");
        bench_sqlite(db, sqlite3_bind_text(statement, 2, text, bytes, SQLITE_STATIC), SQLITE_OK,
                     "bind");
        bench_sqlite(db, sqlite3_bind_double(statement, 3, (double)n / 2), SQLITE_OK, "bind");
        bench_sqlite(db, sqlite3_step(statement), SQLITE_DONE, "sqlite3_step");
        bench_sqlite(db, sqlite3_reset(statement), SQLITE_OK, "sqlite3_reset");
    }
    bench_exec(db, "COMMIT");
    close_hand(db, statement);
}

static int fill_lease(sqlpool_conn *conn, void *user, int attempt) {
    const long rows = *(const long *)user;
    int rc = SQLPOOL_OK;
    (void)attempt;
    for (long n = 0; n < rows && rc == SQLPOOL_OK; n++) {
        char text[32];
        const sqlpool_value values[3] = {
            sqlpool_value_int64(bench_item_value(n)),
            sqlpool_value_text_n(text, (size_t)row_text(text, n)),
            sqlpool_value_double((double)n / 2)};
        rc = sqlpool_conn_exec(conn, bulk_sql, values, 3, NULL, NULL);
    }
    return rc;
}

static void fill_bulk(sqlpool *pool, long rows) {
    static const char *const columns[] = {"a", "b", "c"};
    sqlpool_bulk_config config;
    sqlpool_bulk *bulk;
    sqlpool_error error;
    memset(&config, 0, sizeof config);
    config.table = "big";
    config.columns = columns;
    config.column_count = 3;
    bench_pool(sqlpool_bulk_begin(pool, &config, &bulk, &error), &error, "sqlpool_bulk_begin");
    for (long n = 0; n < rows; n++) {
        char text[32];
        const sqlpool_value values[3] = {
            sqlpool_value_int64(bench_item_value(n)),
            sqlpool_value_text_n(text, (size_t)row_text(text, n)),
            sqlpool_value_double((double)n / 2)};
        bench_pool(sqlpool_bulk_row(bulk, values, 3, &error), &error, "sqlpool_bulk_row");
    }
    bench_pool(sqlpool_bulk_end(bulk, NULL, &error), &error, "sqlpool_bulk_end");
}

/*  All systems made the same table. */
static void check_big(const char *name, long rows) {
    sqlite3 *db = bench_hand_open(name, NULL);
    int64_t expected = 0;
    char text[32];
    for (long n = 0; n < rows; n++)
        expected += bench_item_value(n) + row_text(text, n) + n; /* c is n / 2, twice is n */
    if (bench_pragma(db, "SELECT count(*) FROM big", NULL, 0) != rows ||
        bench_pragma(db, "SELECT sum(a + length(b) + CAST(2 * c AS INTEGER)) FROM big", NULL, 0) !=
            expected)
        bench_die("%s does not hold what was inserted", name);
    bench_sqlite(NULL, sqlite3_close(db), SQLITE_OK, "sqlite3_close");
}

static double fill(int system, const char *name, const bench_settings *settings, long rows) {
    sqlpool_config config = bench_pool_config(2);
    sqlpool *pool = NULL;
    sqlpool_error error;
    int64_t start;
    double seconds;
    long count = rows;
    bench_database_copy("w7.db", name);
    if (system != HAND) pool = bench_pool_open(name, &config);
    start = bench_now_ns();
    if (system == HAND) fill_by_hand(name, settings, rows);
    if (system == LEASE)
        bench_pool(sqlpool_transaction(pool, SQLPOOL_WRITE, fill_lease, &count, &error), &error,
                   "sqlpool_transaction");
    if (system == BULK) fill_bulk(pool, rows);
    if (pool != NULL) bench_pool_close(pool); /* its checkpoint, as sqlite3_close() makes one */
    seconds = (double)(bench_now_ns() - start) / 1e9;
    check_big(name, rows);
    return (double)rows / seconds;
}

static void part_bulk(const run_options *o) {
    static double rates[BULK_COUNT][BENCH_ROUNDS_MAX];
    const int n = o->common.rounds;
    uint64_t random = o->common.seed;
    sqlpool_config config = bench_pool_config(2);
    bench_settings settings;
    sqlpool *pool;
    sqlpool_error error;
    bench_database_make("w7.db", 1, false);
    pool = bench_pool_open("w7.db", &config);
    bench_pool(sqlpool_script(pool, bulk_schema, -1, &error), &error, "sqlpool_script");
    settings = bench_pool_warm(pool, 2);
    bench_pool_close(pool);
    for (int round = 0; round < n; round++) {
        int order[BULK_COUNT] = {HAND, LEASE, BULK};
        bench_shuffle(&random, order, BULK_COUNT);
        for (int i = 0; i < BULK_COUNT; i++)
            rates[order[i]][round] = fill(order[i], "w7-run.db", &settings, o->rows);
    }
    (void)printf("\nW7  %ld rows into an empty table, synchronous NORMAL, close included\n%-22s "
                 "%12s %10s\n",
                 o->rows, "system", "rows per s", "to hand");
    for (int s = 0; s < BULK_COUNT; s++) {
        (void)printf("%-22s %12.0f %10.3f\n", bulk_names[s], bench_median(rates[s], n),
                     bench_median_ratio(rates[s], rates[HAND], n));
        for (int r = 0; r < n && o->common.json; r++)
            (void)printf("{\"workload\":\"W7\",\"system\":\"%s\",\"rows\":%ld,\"round\":%d,"
                         "\"per_s\":%.1f}\n",
                         bulk_names[s], o->rows, r, rates[s][r]);
    }
    bench_goal("W7: sqlpool_bulk to hand-written",
               bench_median_ratio(rates[BULK], rates[HAND], n), ">=", 0.97);
}

static void usage(void) {
    (void)printf("writes [--dir DIR] [--rounds N] [--slice-ms MS] [--rows N] [--seed N]\n"
                 "       [--parts W6,submit,W7] [--threads 1,8,32] [--json]\n");
    exit(2);
}

int main(int argc, char **argv) {
    static const int w6[] = {OWN, MUTEX, POOL}, submit[] = {OWN, MUTEX, SUBMIT};
    run_options o;
    bench_team *team;
    worker *workers;
    int threads[ROWS_MAX], rows;
    o.common = bench_options_default(5);
    o.slice_ms = 1000;
    o.rows = 1000000;
    o.parts = "";
    o.threads = "1,8,32";
    for (int i = 1; i < argc; i++) {
        if (!bench_option_common(argc, argv, &i, &o.common) &&
            !bench_option_number(argc, argv, &i, "--slice-ms", 1, 60000, &o.slice_ms) &&
            !bench_option_number(argc, argv, &i, "--rows", 1, 100000000, &o.rows) &&
            !bench_option_text(argc, argv, &i, "--parts", &o.parts) &&
            !bench_option_text(argc, argv, &i, "--threads", &o.threads))
            usage();
    }
    rows = bench_thread_list(o.threads, threads, ROWS_MAX, THREADS_MAX);
    bench_folder_make(o.common.dir);
    bench_header("writes", &o.common);
    team = bench_team_start(THREADS_MAX);
    workers = bench_alloc(sizeof *workers * THREADS_MAX);
    for (int i = 0; i < rows && bench_listed(o.parts, "W6"); i++) {
        part_calls(&o, team, workers, "W6", threads[i], SQLPOOL_SYNCHRONOUS_FULL, w6, 3);
        part_calls(&o, team, workers, "W6", threads[i], SQLPOOL_SYNCHRONOUS_NORMAL, w6, 3);
    }
    if (bench_listed(o.parts, "submit"))
        part_calls(&o, team, workers, "submit", SUBMIT_THREADS, SQLPOOL_SYNCHRONOUS_NORMAL, submit,
                   3);
    if (bench_listed(o.parts, "W7")) part_bulk(&o);
    bench_team_end(team);
    free(workers);
    bench_folder_remove();
    return 0;
}
