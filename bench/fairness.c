/*  fairness.c - how long the unlucky ones wait in a queue, and whether any caller of the pool is told
    SQLITE_BUSY by its own process. Writers in a queue are in writes.c.
    SPDX-License-Identifier: MIT OR Unlicense

    fairness [--dir DIR] [--rounds N] [--seconds S] [--busy-ms MS] [--seed N]
             [--parts readers,busy] [--json]

    readers  W9 of bench.c: 64 threads borrow one of 4 connections, run one query of 100 rows and
             give it back, in a closed loop, S seconds per system and round: half of them with
             nothing but the query ("query"), half holding the connection for another 100 us of
             sleep ("hold"), as a program does that works on its rows. The reserve is off. Beside it
             the textbook pool, whose condition variable is all the order it has; both keep the
             statement prepared.
    busy     4 readers and 4 writers through the pool, mixed calls, in WAL, in rollback journal and
             in memory; every result is counted. What is written is checked at the end.

    Latencies are taken around each operation, since their distribution is the question; the clock's
    cost (some tens of ns) is the same on both sides. Systems alternate within a round in an order
    drawn anew; printed is the median over rounds of each round's figure. */
#define _POSIX_C_SOURCE 200809L
#define SQLPOOL_IMPLEMENTATION
#include "bench.h"

enum {
    READ_THREADS = 64,
    READ_CONNECTIONS = 4,
    BUSY_THREADS = 8,
    ACCOUNTS = 64
};

typedef struct run_options {
    bench_options common;
    long seconds, busy_ms;
    const char *parts;
} run_options;

/*  One thread's own data. */
typedef struct worker {
    _Alignas(BENCH_LINE) uint64_t random;
    uint64_t count;
    sqlpool_error error;
    /* the busy part */
    int64_t n; /* rows this thread has inserted */
    uint64_t reads, writes, busy, timeouts;
    bench_histogram latency;
} worker;

typedef struct job {
    worker *workers;
    int64_t duration_ns;
    sqlpool *pool;
    bench_textbook *textbook;
    bool is_hold;
    bool has_begin; /* the busy part may use explicit transactions */
} job;

/*  One round's figures of one system. */
typedef struct figures {
    double per_second;
    bench_latency wait;
    double waits_percent; /* acquires that had to wait */
    double spread;        /* standard deviation of the threads' counts by their mean */
    double least;         /* least count by most count */
} figures;

static void clear(worker *workers, int count) {
    for (int i = 0; i < count; i++) {
        workers[i].count = 0;
        memset(&workers[i].latency, 0, sizeof workers[i].latency);
    }
}

static figures collect(const worker *workers, int count, int64_t elapsed_ns) {
    bench_histogram *all = bench_alloc(sizeof *all);
    figures f;
    double mean, variance = 0.0;
    uint64_t sum = 0, least = UINT64_MAX, most = 0;
    memset(&f, 0, sizeof f);
    for (int i = 0; i < count; i++) {
        bench_histogram_merge(all, &workers[i].latency);
        sum += workers[i].count;
        if (workers[i].count < least) least = workers[i].count;
        if (workers[i].count > most) most = workers[i].count;
    }
    mean = (double)sum / count;
    for (int i = 0; i < count; i++) {
        const double d = (double)workers[i].count - mean;
        variance += d * d / count;
    }
    f.per_second = (double)sum * 1e9 / (double)elapsed_ns;
    f.wait = bench_latency_of(all);
    f.spread = mean > 0.0 ? bench_sqrt(variance) / mean : 0.0;
    f.least = most > 0 ? (double)least / (double)most : 0.0;
    free(all);
    return f;
}

#define MEDIAN(f, rounds, member) BENCH_MEDIAN((f), (rounds), figures, member)

static void print_figures(const run_options *o, const char *part, const char *system,
                          const figures *f) {
    const int n = o->common.rounds;
    (void)printf("%-22s %9.0f %9.1f %9.1f %9.1f %10.1f %10.1f %7.2f %7.3f %7.3f\n", system,
                 MEDIAN(f, n, per_second), MEDIAN(f, n, wait.p50_us), MEDIAN(f, n, wait.p99_us),
                 MEDIAN(f, n, wait.p999_us), MEDIAN(f, n, wait.max_us),
                 BENCH_WORST(f, n, figures, wait.max_us), MEDIAN(f, n, waits_percent),
                 MEDIAN(f, n, spread), MEDIAN(f, n, least));
    if (o->common.json) {
        for (int i = 0; i < n; i++) {
            (void)printf(
                "{\"part\":\"%s\",\"system\":\"%s\",\"round\":%d,\"per_s\":%.1f,\"p50_us\":%.2f,"
                "\"p99_us\":%.2f,\"p999_us\":%.2f,\"max_us\":%.2f,\"waits_percent\":%.4f,"
                "\"stdev_by_mean\":%.5f,\"least_by_most\":%.5f}\n",
                part, system, i, f[i].per_second, f[i].wait.p50_us, f[i].wait.p99_us,
                f[i].wait.p999_us, f[i].wait.max_us, f[i].waits_percent, f[i].spread, f[i].least);
        }
    }
}

static void print_head(const char *title) {
    (void)printf("\n%s\n%-22s %9s %9s %9s %9s %10s %10s %7s %7s %7s\n", title, "system", "per s",
                 "p50 us", "p99 us", "p99.9 us", "max us", "worst us", "waits %", "sd/mean",
                 "min/max");
}

/*------------------------------------------------------------------------------
 * Readers
 *----------------------------------------------------------------------------*/

static const char range_sql[] =
    "SELECT sum(value), count(*) FROM item WHERE id BETWEEN ?1 AND ?1 + 99";

static void hold(const job *j) {
    if (j->is_hold) bench_sleep_us(100);
}

static void pool_reader(void *context, int thread, bench_team *team) {
    const job *j = context;
    worker *w = &j->workers[thread];
    const int64_t end = bench_gate(team) + j->duration_ns;
    for (;;) {
        const int64_t id = (int64_t)bench_random_below(&w->random, BENCH_ITEMS - 100) + 1;
        const int64_t start = bench_now_ns();
        int64_t got;
        sqlpool_conn conn;
        sqlpool_rows rows;
        if (start >= end) break;
        bench_pool(sqlpool_conn_acquire(j->pool, SQLPOOL_READ, &conn, &w->error), &w->error,
                   "sqlpool_conn_acquire");
        got = bench_now_ns();
        bench_pool(sqlpool_conn_query(&conn, &rows, range_sql, SQLPOOL_ARGS(id), &w->error),
                   &w->error, "sqlpool_conn_query");
        if (!sqlpool_rows_next(&rows) || sqlpool_rows_int64(&rows, 1) != 100)
            bench_die("a range without 100 rows");
        bench_pool(sqlpool_rows_close(&rows, &w->error), &w->error, "sqlpool_rows_close");
        hold(j);
        bench_pool(sqlpool_conn_release(&conn), NULL, "sqlpool_conn_release");
        bench_histogram_add(&w->latency, got - start);
        w->count++;
    }
}

static void textbook_reader(void *context, int thread, bench_team *team) {
    const job *j = context;
    worker *w = &j->workers[thread];
    const int64_t end = bench_gate(team) + j->duration_ns;
    for (;;) {
        const int64_t id = (int64_t)bench_random_below(&w->random, BENCH_ITEMS - 100) + 1;
        const int64_t start = bench_now_ns();
        int64_t got;
        int slot;
        sqlite3_stmt *statement;
        if (start >= end) break;
        slot = bench_textbook_acquire(j->textbook);
        got = bench_now_ns();
        statement = j->textbook->statement[slot];
        bench_sqlite(NULL, sqlite3_bind_int64(statement, 1, id), SQLITE_OK, "sqlite3_bind_int64");
        bench_sqlite(NULL, sqlite3_step(statement), SQLITE_ROW, "sqlite3_step");
        if (sqlite3_column_int64(statement, 1) != 100) bench_die("a range without 100 rows");
        bench_sqlite(NULL, sqlite3_reset(statement), SQLITE_OK, "sqlite3_reset");
        hold(j);
        bench_textbook_release(j->textbook, slot);
        bench_histogram_add(&w->latency, got - start);
        w->count++;
    }
}

static sqlpool_stats stats_of(sqlpool *pool) {
    sqlpool_stats s;
    memset(&s, 0, sizeof s);
    bench_pool(sqlpool_get_stats(pool, &s), NULL, "sqlpool_get_stats");
    return s;
}

static void part_readers(const run_options *o, bench_team *team, worker *workers) {
    enum { POOL, TEXTBOOK, SYSTEMS };
    static const char *const names[2][SYSTEMS] = {{"query: sqlpool", "query: textbook"},
                                                  {"hold: sqlpool", "hold: textbook"}};
    static figures f[2][SYSTEMS][BENCH_ROUNDS_MAX];
    sqlpool_config config = bench_pool_config(READ_CONNECTIONS);
    bench_settings settings;
    uint64_t random = o->common.seed;
    job j;
    config.acquire_timeout_ms = 60000;
    bench_database_make("readers.db", BENCH_ITEMS, false);
    bench_database_copy("readers.db", "readers2.db");
    memset(&j, 0, sizeof j);
    j.workers = workers;
    j.duration_ns = (int64_t)o->seconds * 1000000000 / 2;
    j.pool = bench_pool_open("readers.db", &config);
    settings = bench_pool_warm(j.pool, READ_CONNECTIONS);
    j.textbook = bench_textbook_open("readers2.db", READ_CONNECTIONS, &settings, range_sql);
    bench_textbook_warm(j.textbook);
    for (int round = 0; round < o->common.rounds; round++) {
        int order[2 * SYSTEMS] = {0, 1, 2, 3};
        bench_shuffle(&random, order, 2 * SYSTEMS);
        for (int k = 0; k < 2 * SYSTEMS; k++) {
            const int kind = order[k] / SYSTEMS, system = order[k] % SYSTEMS;
            const uint64_t before = system == POOL ? stats_of(j.pool).waits : j.textbook->waits;
            const int64_t start = bench_now_ns();
            uint64_t acquires = 0, waits;
            figures *out = &f[kind][system][round];
            j.is_hold = kind == 1;
            clear(workers, READ_THREADS);
            bench_team_run(team, READ_THREADS, system == POOL ? pool_reader : textbook_reader, &j);
            *out = collect(workers, READ_THREADS, bench_now_ns() - start);
            waits = (system == POOL ? stats_of(j.pool).waits : j.textbook->waits) - before;
            for (int i = 0; i < READ_THREADS; i++) acquires += workers[i].count;
            out->waits_percent = acquires > 0 ? 100.0 * (double)waits / (double)acquires : 0.0;
        }
    }
    print_head("W9  readers: 64 threads on 4 connections, wait for a connection");
    for (int kind = 0; kind < 2; kind++) {
        for (int s = 0; s < SYSTEMS; s++) print_figures(o, "W9", names[kind][s], f[kind][s]);
    }
    bench_textbook_close(j.textbook);
    bench_pool_close(j.pool);
}

/*------------------------------------------------------------------------------
 * SQLITE_BUSY
 *----------------------------------------------------------------------------*/

static const char insert_sql[] =
    "INSERT INTO log(thread, n, note) VALUES (?1, ?2, 'a row of the log')";

/*  Counts success, SQLITE_BUSY, SQLITE_LOCKED and a passed deadline; all else ends the run. */
static bool tally(worker *w, int rc, const char *what) {
    if (rc == SQLPOOL_OK) return true;
    if (rc > 0 && ((rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)) {
        w->busy++;
    } else if (rc == SQLPOOL_TIMEOUT) {
        w->timeouts++;
    } else {
        bench_pool(rc, &w->error, what);
    }
    return false;
}

/*  Moves one unit from one account to another and reads in between, as programs do. */
typedef struct transfer {
    int64_t from, to;
    worker *w;
} transfer;

static int transfer_fn(sqlpool_conn *conn, void *user, int attempt) {
    const transfer *t = user;
    sqlpool_rows rows;
    int rc;
    (void)attempt;
    rc = sqlpool_conn_query(conn, &rows, "SELECT balance FROM account WHERE id = ?1",
                            SQLPOOL_ARGS(t->from), &t->w->error);
    if (rc == SQLPOOL_OK) (void)sqlpool_rows_next(&rows);
    rc = sqlpool_rows_close(&rows, &t->w->error);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool_conn_exec(conn, "UPDATE account SET balance = balance - 1 WHERE id = ?1",
                           SQLPOOL_ARGS(t->from), NULL, &t->w->error);
    if (rc != SQLPOOL_OK) return rc;
    return sqlpool_conn_exec(conn, "UPDATE account SET balance = balance + 1 WHERE id = ?1",
                             SQLPOOL_ARGS(t->to), NULL, &t->w->error);
}

static void mixed_writer(const job *j, worker *w, int thread) {
    const uint32_t kind = bench_random_below(&w->random, 3);
    int rc;
    if (kind == 0) {
        rc = sqlpool_exec(j->pool, insert_sql, SQLPOOL_ARGS(thread, w->n), &w->error);
        if (tally(w, rc, "sqlpool_exec")) {
            w->writes++;
            w->n++;
        }
    } else if (kind == 1) {
        transfer t;
        t.from = (int64_t)bench_random_below(&w->random, ACCOUNTS) + 1;
        t.to = (int64_t)bench_random_below(&w->random, ACCOUNTS) + 1;
        t.w = w;
        rc = sqlpool_transaction(j->pool, SQLPOOL_WRITE, transfer_fn, &t, &w->error);
        if (tally(w, rc, "sqlpool_transaction")) w->writes++;
    } else {
        sqlpool_conn conn;
        rc = sqlpool_conn_acquire(j->pool, SQLPOOL_WRITE, &conn, &w->error);
        if (!tally(w, rc, "sqlpool_conn_acquire")) return;
        rc = sqlpool_conn_exec(&conn, insert_sql, SQLPOOL_ARGS(thread, w->n), NULL, &w->error);
        if (tally(w, rc, "sqlpool_conn_exec")) {
            w->writes++;
            w->n++;
        }
        bench_pool(sqlpool_conn_release(&conn), NULL, "sqlpool_conn_release");
    }
}

static void mixed_reader(const job *j, worker *w) {
    const uint32_t kind = bench_random_below(&w->random, 3);
    int64_t value = -1;
    int rc;
    if (kind == 0) {
        const int64_t id = (int64_t)bench_random_below(&w->random, 1000) + 1;
        rc = sqlpool_query_int64(j->pool, &value, "SELECT value FROM item WHERE id = ?1",
                                 SQLPOOL_ARGS(id), &w->error);
        if (!tally(w, rc, "sqlpool_query_int64")) return;
        if (value != bench_item_value(id))
            bench_die("item %" PRId64 " has value %" PRId64, id, value);
    } else if (kind == 1) {
        /* Money moves, the sum stays: one statement sees one image. */
        rc = sqlpool_query_int64(j->pool, &value, "SELECT sum(balance) FROM account",
                                 SQLPOOL_NO_ARGS, &w->error);
        if (!tally(w, rc, "sqlpool_query_int64")) return;
        if (value != (int64_t)ACCOUNTS * 1000) bench_die("the balances sum up to %" PRId64, value);
    } else {
        /* A cursor that stays open for a while. */
        sqlpool_rows rows;
        int count = 0;
        rc = sqlpool_query(j->pool, &rows, "SELECT id, note FROM item WHERE id <= 100",
                           SQLPOOL_NO_ARGS, &w->error);
        while (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) count++;
        rc = sqlpool_rows_close(&rows, &w->error);
        if (!tally(w, rc, "sqlpool_query")) return;
        if (count != 100) bench_die("a walk over 100 rows gave %d", count);
    }
    w->reads++;
}

static void mixed(void *context, int thread, bench_team *team) {
    const job *j = context;
    worker *w = &j->workers[thread];
    const int64_t opened = bench_gate(team);
    int64_t now = bench_now_ns();
    while (now - opened < j->duration_ns) {
        const int64_t start = now;
        if (thread % 2 == 0) {
            mixed_writer(j, w, thread);
        } else {
            mixed_reader(j, w);
        }
        now = bench_now_ns();
        bench_histogram_add(&w->latency, now - start);
    }
}

static void busy_one(const run_options *o, bench_team *team, worker *workers, const char *mode,
                     int journal, uint64_t *busy_total) {
    sqlpool_config config = bench_pool_config(READ_CONNECTIONS);
    sqlpool_error error;
    char name[64];
    uint64_t reads = 0, writes = 0, busy = 0, timeouts = 0;
    int64_t rows = 0, stored = 0;
    sqlpool_stats stats;
    bench_histogram *latency[2];
    job j;
    memset(&j, 0, sizeof j);
    config.journal = journal;
    (void)snprintf(name, sizeof name, "busy-%s.db", mode);
    j.workers = workers;
    j.duration_ns = (int64_t)o->busy_ms * 1000000;
    if (journal == SQLPOOL_JOURNAL_MEMORY) {
        config.journal = 0; /* resolves to what a :memory: database has */
        j.pool = bench_pool_open(":memory:", &config);
        bench_pool(sqlpool_script(j.pool, bench_schema, -1, &error), &error, "schema");
        bench_pool(sqlpool_exec(j.pool, bench_items, SQLPOOL_ARGS(1000), &error), &error, "items");
    } else {
        bench_database_make(name, 1000, journal != SQLPOOL_JOURNAL_WAL);
        j.pool = bench_pool_open(name, &config);
    }
    for (int i = 0; i < 2; i++) latency[i] = bench_alloc(sizeof *latency[i]);
    clear(workers, BUSY_THREADS);
    for (int i = 0; i < BUSY_THREADS; i++) {
        workers[i].n = 0;
        workers[i].reads = workers[i].writes = workers[i].busy = workers[i].timeouts = 0;
    }
    bench_team_run(team, BUSY_THREADS, mixed, &j);
    for (int i = 0; i < BUSY_THREADS; i++) {
        reads += workers[i].reads;
        writes += workers[i].writes;
        busy += workers[i].busy;
        timeouts += workers[i].timeouts;
        rows += workers[i].n;
        bench_histogram_merge(latency[i % 2], &workers[i].latency);
    }
    bench_pool(
        sqlpool_query_int64(j.pool, &stored, "SELECT count(*) FROM log", SQLPOOL_NO_ARGS, &error),
        &error, "count of log");
    if (stored != rows)
        bench_die("%s: %" PRId64 " rows were inserted, %" PRId64 " are there", mode, rows, stored);
    stats = stats_of(j.pool);
    (void)printf("%-10s %9" PRIu64 " %9" PRIu64 " %6" PRIu64 " %9" PRIu64
                 " %11.1f %11.1f %11.1f %11.1f %10" PRIu64 " %8" PRIu64 "\n",
                 mode, reads, writes, busy, timeouts, bench_percentile_us(latency[1], 99900),
                 (double)latency[1]->max_ns / 1000.0, bench_percentile_us(latency[0], 99900),
                 (double)latency[0]->max_ns / 1000.0, stats.busy_waits, stats.retries);
    if (o->common.json) {
        (void)printf("{\"part\":\"busy\",\"mode\":\"%s\",\"reads\":%" PRIu64 ",\"writes\":%" PRIu64
                     ",\"busy\":%" PRIu64 ",\"timeouts\":%" PRIu64 "}\n",
                     mode, reads, writes, busy, timeouts);
    }
    *busy_total += busy + timeouts;
    for (int i = 0; i < 2; i++) free(latency[i]);
    bench_pool_close(j.pool);
}

static void part_busy(const run_options *o, bench_team *team, worker *workers) {
    uint64_t total = 0;
    (void)printf("\nbusy: 4 writers and 4 readers through the pool for %ld ms each; results the "
                 "callers got\n",
                 o->busy_ms);
    (void)printf("%-10s %9s %9s %6s %9s %11s %11s %11s %11s %10s %8s\n", "mode", "reads", "writes",
                 "busy", "timeouts", "r p99.9 us", "r max us", "w p99.9 us", "w max us",
                 "busy_waits", "retries");
    busy_one(o, team, workers, "wal", SQLPOOL_JOURNAL_WAL, &total);
    busy_one(o, team, workers, "rollback", SQLPOOL_JOURNAL_DELETE, &total);
    busy_one(o, team, workers, "memory", SQLPOOL_JOURNAL_MEMORY, &total);
    bench_goal("SQLITE_BUSY, SQLITE_LOCKED and timeouts seen by callers", (double)total, "<=", 0.0);
}

int main(int argc, char **argv) {
    run_options o;
    worker *workers = bench_alloc(sizeof *workers * READ_THREADS);
    bench_team *team;
    o.common = bench_options_default(5);
    o.seconds = 5;
    o.busy_ms = 2000;
    o.parts = NULL;
    for (int i = 1; i < argc; i++) {
        if (bench_option_common(argc, argv, &i, &o.common) ||
            bench_option_number(argc, argv, &i, "--seconds", 1, 3600, &o.seconds) ||
            bench_option_number(argc, argv, &i, "--busy-ms", 10, 3600000, &o.busy_ms) ||
            bench_option_text(argc, argv, &i, "--parts", &o.parts)) {
            continue;
        }
        (void)printf("fairness [--dir DIR] [--rounds N] [--seconds S] [--busy-ms MS] [--seed N]\n"
                     "         [--parts readers,busy] [--json]\n");
        return strcmp(argv[i], "--help") == 0 ? 0 : 2;
    }
    for (int i = 0; i < READ_THREADS; i++) workers[i].random = o.common.seed * 1000 + (uint64_t)i;
    bench_folder_make(o.common.dir);
    team = bench_team_start(READ_THREADS);
    bench_header("fairness", &o.common);
    (void)printf("   p50 to max: medians over rounds of each round's figure; worst: the maximum of "
                 "all rounds\n");
    (void)fflush(stdout);
    if (bench_listed(o.parts, "readers")) part_readers(&o, team, workers);
    (void)fflush(stdout);
    if (bench_listed(o.parts, "busy")) part_busy(&o, team, workers);
    bench_team_end(team);
    free(workers);
    bench_folder_remove();
    return 0;
}
