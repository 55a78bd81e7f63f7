/*  mixed.c - W5: 90 % point reads and 10 % single-row committed writes from every thread.
    SPDX-License-Identifier: MIT OR Unlicense

    mixed [--dir DIR] [--rounds N] [--slice-ms MS] [--seed N] [--threads 1,2,4,8] [--columns LIST]
          [--defaults] [--json]

    Each thread draws read or write per operation, and the row; within a round every system gets
    the same random sequence on every thread. A read is W2's; a write adds 1.0 to one row's price in
    a transaction of its own. What is read is checked at once, how often was written at the end: the
    sum of all prices tells. A commit makes SQLite empty the page cache of every other connection at
    its next read, in every system; with one thread hand has no other connection.

    hand      one connection per thread for both, persistent statements, autocommit, so that a write
              is a BEGIN IMMEDIATE of its own; sqlite3_busy_timeout(5 s), SQLite's own checkpoint
              every 1,000 pages
    textbook  mutex, condition, stack of connections; prepares and finalizes each time; the same
              busy timeout
    the library's columns: BENCH_VARIANTS in bench.h

    SQLITE_BUSY, SQLITE_LOCKED and timeouts are counted as errors of the caller, and the operation
    is not done again; any other error ends the run. Latencies are taken around each operation, and
    a thread's clock runs until its last operation returned. Printed are medians over the rounds of
    each round's figure, the worst of all rounds, and the sum of errors. */
#define _POSIX_C_SOURCE 200809L
#define SQLPOOL_IMPLEMENTATION
#include "bench.h"

enum { THREADS_MAX = 8, WRITE_PERCENT = 10, BUSY_TIMEOUT_MS = 5000 };

static const char read_sql[] = "SELECT value FROM item WHERE id = ?1";
static const char write_sql[] = "UPDATE item SET price = price + 1.0 WHERE id = ?1";

/*  Everything one system has open; connections and statements are by thread. */
typedef struct home {
    sqlite3 *db[THREADS_MAX];
    sqlite3_stmt *read[THREADS_MAX], *write[THREADS_MAX];
    bench_textbook *textbook;
    sqlpool *pool;
    uint64_t writes; /* committed in the whole run; main thread only */
} home;

/*  One kind of operation in one slice, and one thread's own data. */
typedef struct tally {
    uint64_t done, errors;
    double per_second; /* done, by the time that the thread took */
    bench_histogram latency;
} tally;

typedef struct worker {
    _Alignas(BENCH_LINE) uint64_t random;
    int thread;
    sqlpool_error error;
    tally read, write;
} worker;

/*------------------------------------------------------------------------------
 * Systems
 *----------------------------------------------------------------------------*/

/*  One read or write. Returns false when the caller was told that the database is busy. */
typedef bool (*operation_fn)(const home *h, worker *w, int64_t id);

static bool is_busy(int rc) {
    return (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED;
}

/*  One operation up to its reset or finalize, which then repeats the result of a failed step. */
static int run_statement(sqlite3 *db, sqlite3_stmt *statement, int64_t id, bool is_write) {
    int rc = sqlite3_bind_int64(statement, 1, id);
    if (rc != SQLITE_OK) bench_sqlite(db, rc, SQLITE_OK, "sqlite3_bind_int64");
    rc = sqlite3_step(statement);
    if (is_busy(rc)) return rc;
    bench_sqlite(db, rc, is_write ? SQLITE_DONE : SQLITE_ROW, "sqlite3_step");
    if (is_write) {
        if (sqlite3_changes(db) != 1) bench_die("an UPDATE changed %d rows", sqlite3_changes(db));
    } else {
        bench_expect(id, sqlite3_column_int64(statement, 0));
    }
    return SQLITE_OK;
}

static bool hand_run(sqlite3 *db, sqlite3_stmt *statement, int64_t id, bool is_write) {
    const int rc = run_statement(db, statement, id, is_write);
    const int reset_rc = sqlite3_reset(statement);
    if (reset_rc != SQLITE_OK && !is_busy(rc))
        bench_sqlite(db, reset_rc, SQLITE_OK, "sqlite3_reset");
    return rc == SQLITE_OK;
}

static bool hand_read(const home *h, worker *w, int64_t id) {
    return hand_run(h->db[w->thread], h->read[w->thread], id, false);
}
static bool hand_write(const home *h, worker *w, int64_t id) {
    return hand_run(h->db[w->thread], h->write[w->thread], id, true);
}

static bool textbook_run(bench_textbook *pool, const char *sql, int64_t id, bool is_write) {
    const int slot = bench_textbook_acquire(pool);
    sqlite3 *db = pool->db[slot];
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        int end_rc;
        rc = run_statement(db, statement, id, is_write);
        end_rc = sqlite3_finalize(statement);
        if (end_rc != SQLITE_OK && !is_busy(rc))
            bench_sqlite(db, end_rc, SQLITE_OK, "sqlite3_finalize");
    } else if (!is_busy(rc)) {
        bench_sqlite(db, rc, SQLITE_OK, "sqlite3_prepare_v2");
    }
    bench_textbook_release(pool, slot);
    return rc == SQLITE_OK;
}

static bool textbook_read(const home *h, worker *w, int64_t id) {
    (void)w;
    return textbook_run(h->textbook, read_sql, id, false);
}
static bool textbook_write(const home *h, worker *w, int64_t id) {
    (void)w;
    return textbook_run(h->textbook, write_sql, id, true);
}

static bool pool_result(int rc, worker *w, const char *what) {
    if (rc == SQLPOOL_OK) return true;
    if ((rc <= 0 || !is_busy(rc)) && rc != SQLPOOL_TIMEOUT) bench_pool(rc, &w->error, what);
    return false;
}

static bool pool_read(const home *h, worker *w, int64_t id) {
    sqlpool_rows rows;
    int rc = sqlpool_query(h->pool, &rows, read_sql, SQLPOOL_ARGS(id), &w->error);
    const bool is_row = rc == SQLPOOL_OK && sqlpool_rows_next(&rows);
    if (is_row) bench_expect(id, sqlpool_rows_int64(&rows, 0));
    rc = sqlpool_rows_close(&rows, &w->error);
    if (rc == SQLPOOL_OK && !is_row) bench_die("item %" PRId64 " is not there", id);
    return pool_result(rc, w, "sqlpool_query");
}

static bool pool_write(const home *h, worker *w, int64_t id) {
    sqlpool_result result;
    const int rc =
        sqlpool_exec_with(h->pool, NULL, &result, write_sql, SQLPOOL_ARGS(id), &w->error);
    if (rc == SQLPOOL_OK && result.changes != 1)
        bench_die("an UPDATE changed %" PRId64 " rows", result.changes);
    return pool_result(rc, w, "sqlpool_exec");
}

#define POOL_ENUMERATOR(id, name, text, member, value) POOL_##id,
typedef enum column {
    HAND,
    TEXTBOOK,
    BENCH_VARIANTS(POOL_ENUMERATOR) /* a column each */
    COLUMN_COUNT,
    POOL = POOL_BENCH_AS_IT_COMES
} column;
#undef POOL_ENUMERATOR

typedef struct system_column {
    const char *name;
    int variant; /* bench_variant, or -1 */
    bool is_default;
    operation_fn read, write;
} system_column;

#define POOL_COLUMN(id, name, text, member, value) \
    {name, id, (id) == BENCH_AS_IT_COMES, pool_read, pool_write},
/* clang-format off */
static const system_column systems[COLUMN_COUNT] = {
    {"hand", -1, true, hand_read, hand_write},
    {"textbook", -1, true, textbook_read, textbook_write},
    BENCH_VARIANTS(POOL_COLUMN)
};
/* clang-format on */
#undef POOL_COLUMN

/*------------------------------------------------------------------------------
 * Options, what is open
 *----------------------------------------------------------------------------*/

typedef struct run_options {
    bench_options common;
    bench_grid grid;
} run_options;

static bool has_column(const run_options *o, int col) {
    return (!o->common.defaults || systems[col].is_default) &&
           bench_listed(o->grid.columns, systems[col].name);
}

static void busy_timeout(sqlite3 *db) {
    bench_sqlite(db, sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS), SQLITE_OK, "sqlite3_busy_timeout");
}

static void hand_open(home *h, const char *name, const bench_settings *settings, int threads) {
    for (int i = 0; i < threads; i++) {
        h->db[i] = bench_hand_open(name, settings);
        busy_timeout(h->db[i]);
        bench_hand_warm(h->db[i]);
        h->read[i] = bench_hand_prepare(h->db[i], read_sql);
        h->write[i] = bench_hand_prepare(h->db[i], write_sql);
    }
}

/*  Pools come last in the order of columns, but their settings are everyone's: so they open first,
    the one without switches always. */
static void open_all(const run_options *o, home *homes) {
    const bool defaults = o->common.defaults;
    bench_settings settings, other;
    char name[64];
    memset(&settings, 0, sizeof settings);
    bench_database_make("base.db", BENCH_ITEMS, false);
    for (int c = 0; c < COLUMN_COUNT; c++) {
        if (systems[c].variant < 0 || (c != POOL && !has_column(o, c))) continue;
        (void)snprintf(name, sizeof name, "%s.db", systems[c].name);
        bench_database_copy("base.db", name);
        homes[c].pool = bench_variant_open(name, (bench_variant)systems[c].variant,
                                           o->grid.threads_max, defaults);
        other = bench_pool_warm(homes[c].pool, o->grid.threads_max);
        if (c == POOL) settings = other;
        bench_settings_compare(&settings, &other);
    }
    bench_settings_print(defaults ? "sqlpool's readers" : "every connection", &settings);
    if (has_column(o, HAND)) {
        bench_database_copy("base.db", "hand.db");
        hand_open(&homes[HAND], "hand.db", defaults ? NULL : &settings, o->grid.threads_max);
        other = bench_settings_read(homes[HAND].db[0]);
        if (defaults) bench_settings_print("hand-written and textbook", &other);
    }
    if (has_column(o, TEXTBOOK)) {
        bench_textbook *pool;
        bench_database_copy("base.db", "textbook.db");
        pool = bench_textbook_open("textbook.db", o->grid.threads_max, defaults ? NULL : &settings,
                                   NULL);
        bench_textbook_warm(pool);
        for (int i = 0; i < pool->size; i++) busy_timeout(pool->db[i]);
        homes[TEXTBOOK].textbook = pool;
    }
}

/*  Every write that was reported is there, and nothing else. Prices are multiples of 1/8 and far
    below 2^50: sums are exact. */
static void check_writes(const home *h, const char *who) {
    static const char sql[] = "SELECT sum(price) * 8 FROM item";
    const int64_t start = (int64_t)BENCH_ITEMS * (BENCH_ITEMS + 1) / 2;
    int64_t sum = 0;
    if (h->pool != NULL) {
        sqlpool_error error;
        bench_pool(sqlpool_query_int64(h->pool, &sum, sql, SQLPOOL_NO_ARGS, &error), &error, sql);
    } else {
        sum = bench_pragma(h->textbook != NULL ? h->textbook->db[0] : h->db[0], sql, NULL, 0);
    }
    if (sum - start != (int64_t)h->writes * 8) {
        bench_die("%s: %" PRIu64 " writes were reported, the prices rose by %" PRId64 " eighths",
                  who, h->writes, sum - start);
    }
}

static void close_home(home *h) {
    for (int i = 0; i < THREADS_MAX && h->db[i] != NULL; i++) {
        bench_sqlite(h->db[i], sqlite3_finalize(h->read[i]), SQLITE_OK, "sqlite3_finalize");
        bench_sqlite(h->db[i], sqlite3_finalize(h->write[i]), SQLITE_OK, "sqlite3_finalize");
        bench_sqlite(NULL, sqlite3_close(h->db[i]), SQLITE_OK, "sqlite3_close");
    }
    if (h->textbook != NULL) bench_textbook_close(h->textbook);
    if (h->pool != NULL) bench_pool_close(h->pool);
}

/*------------------------------------------------------------------------------
 * Slices
 *----------------------------------------------------------------------------*/

/*  One round's figures of one system. */
typedef struct kind {
    double per_second, errors;
    bench_latency latency;
} kind;
typedef struct figures {
    kind read, write;
} figures;

typedef struct slice {
    const home *home;
    worker *workers;
    const system_column *system;
    int64_t slice_ns;
} slice;

static void slice_thread(void *context, int thread, bench_team *team) {
    const slice *s = context;
    worker *w = &s->workers[thread];
    const int64_t opened = bench_gate(team);
    int64_t now = bench_now_ns();
    while (now - opened < s->slice_ns) {
        const bool is_write = bench_random_below(&w->random, 100) < WRITE_PERCENT;
        const int64_t id = (int64_t)bench_random_below(&w->random, BENCH_ITEMS) + 1;
        const int64_t start = now;
        tally *t = is_write ? &w->write : &w->read;
        const bool is_done = (is_write ? s->system->write : s->system->read)(s->home, w, id);
        now = bench_now_ns();
        bench_histogram_add(&t->latency, now - start);
        if (is_done) {
            t->done++;
        } else {
            t->errors++;
        }
    }
    w->read.per_second = (double)w->read.done * 1e9 / (double)(now - opened);
    w->write.per_second = (double)w->write.done * 1e9 / (double)(now - opened);
}

static kind collect(const worker *workers, int threads, size_t member) {
    bench_histogram *all = bench_alloc(sizeof *all);
    kind k;
    memset(&k, 0, sizeof k);
    for (int i = 0; i < threads; i++) {
        const tally *t = (const tally *)((const char *)&workers[i] + member);
        bench_histogram_merge(all, &t->latency);
        k.per_second += t->per_second;
        k.errors += (double)t->errors;
    }
    k.latency = bench_latency_of(all);
    free(all);
    return k;
}

static figures run_slice(const run_options *o, home *h, const system_column *system,
                         bench_team *team, worker *workers, int threads, int round) {
    slice s;
    figures f;
    s.home = h;
    s.workers = workers;
    s.system = system;
    s.slice_ns = (int64_t)o->grid.slice_ms * 1000000;
    for (int i = 0; i < threads; i++) {
        memset(&workers[i].read, 0, sizeof workers[i].read);
        memset(&workers[i].write, 0, sizeof workers[i].write);
        workers[i].random = (o->common.seed * 1000 + (uint64_t)round) * 1000 + (uint64_t)i;
    }
    bench_team_run(team, threads, slice_thread, &s);
    for (int i = 0; i < threads; i++) h->writes += workers[i].write.done;
    f.read = collect(workers, threads, offsetof(worker, read));
    f.write = collect(workers, threads, offsetof(worker, write));
    return f;
}

/*------------------------------------------------------------------------------
 * Printing
 *----------------------------------------------------------------------------*/

typedef struct results {
    figures cell[BENCH_GRID_ROWS][COLUMN_COUNT][BENCH_ROUNDS_MAX];
} results;

#define MEDIAN(f, n, member) BENCH_MEDIAN((f), (n), figures, member)
#define WORST(f, n, member) BENCH_WORST((f), (n), figures, member)

static double errors_of(const figures *f, int rounds) {
    double sum = 0.0;
    for (int i = 0; i < rounds; i++) sum += f[i].read.errors + f[i].write.errors;
    return sum;
}

/*  The median of the rounds' ratios of reads per second. */
static double reads_ratio(const figures *a, const figures *b, int rounds) {
    double x[BENCH_ROUNDS_MAX], y[BENCH_ROUNDS_MAX];
    bench_member(x, a, sizeof *a, offsetof(figures, read.per_second), rounds);
    bench_member(y, b, sizeof *b, offsetof(figures, read.per_second), rounds);
    return bench_median_ratio(x, y, rounds);
}

static void print_kinds(const run_options *o, const results *r, bool is_write) {
    const int n = o->common.rounds;
    (void)printf("\nW5  %s\n%8s %-10s %10s %9s %9s %9s %10s %10s %7s\n",
                 is_write ? "writes, 10 % of the operations" : "reads, 90 % of the operations",
                 "threads", "system", "per s", "p50 us", "p99 us", "p99.9 us", "max us", "worst us",
                 "errors");
    for (int row = 0; row < o->grid.rows; row++) {
        for (int c = 0; c < COLUMN_COUNT; c++) {
            const figures *f = r->cell[row][c];
            double errors = 0.0;
            if (!has_column(o, c)) continue;
            for (int i = 0; i < n; i++) errors += is_write ? f[i].write.errors : f[i].read.errors;
#define PRINT(k) \
    (void)printf("%8d %-10s %10.0f %9.1f %9.1f %9.1f %10.1f %10.1f %7.0f\n", \
                 o->grid.row_threads[row], systems[c].name, MEDIAN(f, n, k.per_second), \
                 MEDIAN(f, n, k.latency.p50_us), MEDIAN(f, n, k.latency.p99_us), \
                 MEDIAN(f, n, k.latency.p999_us), MEDIAN(f, n, k.latency.max_us), \
                 WORST(f, n, k.latency.max_us), errors)
            if (is_write) {
                PRINT(write);
            } else {
                PRINT(read);
            }
#undef PRINT
        }
    }
}

static void print_ratios(const run_options *o, const results *r) {
    if (!has_column(o, HAND)) return;
    (void)printf("\nW5  reads per second as a multiple of hand-written (hand = 1)\n%8s", "threads");
    for (int c = 0; c < COLUMN_COUNT; c++) {
        if (has_column(o, c)) (void)printf(" %10s", systems[c].name);
    }
    for (int row = 0; row < o->grid.rows; row++) {
        (void)printf("\n%8d", o->grid.row_threads[row]);
        for (int c = 0; c < COLUMN_COUNT; c++) {
            if (!has_column(o, c)) continue;
            (void)printf(" %10.3f",
                         reads_ratio(r->cell[row][c], r->cell[row][HAND], o->common.rounds));
        }
    }
    (void)printf("\n");
}

static void print_json(const run_options *o, const results *r) {
    const int n = o->common.rounds;
    for (int row = 0; row < o->grid.rows; row++) {
        for (int c = 0; c < COLUMN_COUNT; c++) {
            const figures *f = r->cell[row][c];
            if (!has_column(o, c)) continue;
            (void)printf("{\"workload\":\"W5\",\"settings\":\"%s\",\"system\":\"%s\","
                         "\"threads\":%d,\"reads_per_s\":%.1f,\"writes_per_s\":%.1f,"
                         "\"errors\":%.0f",
                         o->common.defaults ? "defaults" : "same", systems[c].name,
                         o->grid.row_threads[row], MEDIAN(f, n, read.per_second),
                         MEDIAN(f, n, write.per_second), errors_of(f, n));
            if (has_column(o, HAND)) {
                (void)printf(",\"times_hand\":%.4f", reads_ratio(f, r->cell[row][HAND], n));
            }
#define PRINT(name, k) \
    (void)printf(",\"" name "_p50_us\":%.2f,\"" name "_p99_us\":%.2f,\"" name \
                 "_p999_us\":%.2f,\"" name "_max_us\":%.2f,\"" name "_worst_us\":%.2f", \
                 MEDIAN(f, n, k.latency.p50_us), MEDIAN(f, n, k.latency.p99_us), \
                 MEDIAN(f, n, k.latency.p999_us), MEDIAN(f, n, k.latency.max_us), \
                 WORST(f, n, k.latency.max_us))
            PRINT("read", read);
            PRINT("write", write);
#undef PRINT
            (void)printf("}\n");
        }
    }
}

static void print_goals(const run_options *o, const results *r) {
    const int n = o->common.rounds;
    double errors = 0.0;
    (void)printf("\n");
    if (!has_column(o, POOL)) return;
    for (int row = 0; row < o->grid.rows; row++) {
        const figures *pool = r->cell[row][POOL], *hand = r->cell[row][HAND];
        char text[80];
        for (int c = 0; c < COLUMN_COUNT; c++) {
            if (systems[c].variant >= 0 && has_column(o, c))
                errors += errors_of(r->cell[row][c], n);
        }
        if (!has_column(o, HAND)) continue;
        (void)snprintf(text, sizeof text, "W5, threads %d: reads, sqlpool to hand-written",
                       o->grid.row_threads[row]);
        bench_goal(text, reads_ratio(pool, hand, n), ">=", 0.95);
        (void)printf("   the worst read waited %.1f ms with sqlpool, %.1f ms hand-written\n",
                     WORST(pool, n, read.latency.max_us) / 1000.0,
                     WORST(hand, n, read.latency.max_us) / 1000.0);
    }
    bench_goal("W5: busy, locked and timeouts seen by sqlpool's callers", errors, "<=", 0.0);
}

int main(int argc, char **argv) {
    run_options o;
    home *homes = bench_alloc(sizeof *homes * COLUMN_COUNT);
    worker *workers = bench_alloc(sizeof *workers * THREADS_MAX);
    results *r = bench_alloc(sizeof *r);
    bench_team *team;
    uint64_t random;
    memset(&o, 0, sizeof o);
    o.common = bench_options_default(5);
    o.grid.slice_ms = 1000;
    o.grid.threads = "1,2,4,8";
    for (int i = 1; i < argc; i++) {
        if (bench_option_grid(argc, argv, &i, &o.common, &o.grid)) continue;
        (void)printf("mixed [--dir DIR] [--rounds N] [--slice-ms MS] [--seed N] "
                     "[--threads 1,2,4,8]\n"
                     "      [--columns LIST] [--defaults] [--json]\n");
        return strcmp(argv[i], "--help") == 0 ? 0 : 2;
    }
    bench_grid_rows(&o.grid, THREADS_MAX);
    bench_folder_make(o.common.dir);
    bench_header(o.common.defaults ? "mixed reads and writes, each side with its own defaults"
                                   : "mixed reads and writes, the same settings for all",
                 &o.common);
    open_all(&o, homes);
    for (int i = 0; i < THREADS_MAX; i++) workers[i].thread = i;
    team = bench_team_start(o.grid.threads_max);
    (void)printf("   slices of %ld ms; medians over the rounds, worst of all rounds\n",
                 o.grid.slice_ms);
    (void)fflush(stdout);
    random = o.common.seed;
    for (int round = 0; round < o.common.rounds; round++) {
        for (int row = 0; row < o.grid.rows; row++) {
            int order[COLUMN_COUNT];
            for (int c = 0; c < COLUMN_COUNT; c++) order[c] = c;
            bench_shuffle(&random, order, COLUMN_COUNT);
            for (int k = 0; k < COLUMN_COUNT; k++) {
                const int c = order[k];
                if (!has_column(&o, c)) continue;
                r->cell[row][c][round] = run_slice(&o, &homes[c], &systems[c], team, workers,
                                                   o.grid.row_threads[row], round);
            }
        }
    }
    for (int c = 0; c < COLUMN_COUNT; c++) {
        if (has_column(&o, c)) check_writes(&homes[c], systems[c].name);
    }
    print_kinds(&o, r, false);
    print_kinds(&o, r, true);
    print_ratios(&o, r);
    if (!o.common.defaults) print_goals(&o, r);
    if (o.common.json) print_json(&o, r);
    bench_team_end(team);
    for (int c = 0; c < COLUMN_COUNT; c++) close_home(&homes[c]);
    free(r);
    free(workers);
    free(homes);
    bench_folder_remove();
    return 0;
}
