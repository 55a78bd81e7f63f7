/*  bench.c - what an operation costs: systems are columns, workloads and thread counts are rows.
    SPDX-License-Identifier: MIT OR Unlicense

    bench [--dir DIR] [--rounds N] [--slice-ms MS] [--seed N] [--threads 1,2,4,8] [--workloads LIST]
          [--columns LIST] [--ops N] [--json]

    Workloads: W1  acquire and release a connection
               W2  point query by rowid, every page cached, 100,000 rows
    A system gives a function per workload that runs a batch of operations; one that has no function
    for a workload is left out of its tables. To add a workload, add a name and a function to the
    systems that can do it; to add a system, add a line to the table of systems.

    How the comparison is kept fair stands at the top of bench.h. The clock is read around batches
    of 1,000 operations. A system's rate is the sum over threads of operations done by the time that
    each thread took from the moment the gate opened. --ops N runs exactly N batches of 1,000 per
    thread instead of a time slice, for instruction counts under callgrind.

    Many short slices are better than few long ones: the sides of a ratio are then milliseconds
    apart, and a disturbance spoils one round of many. Rates are of the wall clock. Processor time
    per operation is printed beside them: it leaves out what other programs took from the machine,
    and shows what waiting hides. */
#define _POSIX_C_SOURCE 200809L
#define SQLPOOL_IMPLEMENTATION
#include "bench.h"

enum { BATCH = 1000, THREADS_MAX = 8 };

typedef enum workload { W1, W2, WORKLOAD_COUNT } workload;

static const char *const workload_names[WORKLOAD_COUNT] = {"W1", "W2"};

static const char point_sql[] = "SELECT value FROM item WHERE id = ?1";

/*------------------------------------------------------------------------------
 * Systems
 *----------------------------------------------------------------------------*/

/*  Everything that is open during the run. Arrays are by thread, or by connection. */
typedef struct bench_all {
    bench_settings settings;
    /* hand-written, one each per thread */
    sqlite3 *hand_db[THREADS_MAX];
    sqlite3_stmt *hand_point[THREADS_MAX];
    sqlite3 *limit_db[THREADS_MAX];
    sqlite3_stmt *limit_point[THREADS_MAX];
    bench_textbook *textbook;
    sqlpool *pool;
} bench_all;

/*  One thread's own data; nobody else writes near it. */
typedef struct worker {
    _Alignas(BENCH_LINE) pthread_mutex_t mutex;
    uint64_t random;
    sqlpool_conn conn;
    sqlpool_error error;
    double rate;   /* operations per second in the last slice */
    double cpu_ns; /* processor time per operation in the last slice */
    int thread;
} worker;

typedef void (*batch_fn)(bench_all *all, worker *w, int count);

static int64_t next_id(worker *w) {
    return (int64_t)bench_random_below(&w->random, BENCH_ITEMS) + 1;
}

static void expect(int64_t id, int64_t value) {
    if (value != bench_item_value(id)) bench_die("item %" PRId64 " has value %" PRId64, id, value);
}

/* W1 */

static void mutex_pair(bench_all *all, worker *w, int count) {
    (void)all;
    for (int i = 0; i < count; i++) {
        if (pthread_mutex_lock(&w->mutex) != 0) bench_die("pthread_mutex_lock");
        if (pthread_mutex_unlock(&w->mutex) != 0) bench_die("pthread_mutex_unlock");
    }
}

static void textbook_pair(bench_all *all, worker *w, int count) {
    (void)w;
    for (int i = 0; i < count; i++) {
        const int slot = bench_textbook_acquire(all->textbook);
        bench_textbook_release(all->textbook, slot);
    }
}

static void pool_pair(bench_all *all, worker *w, int count) {
    for (int i = 0; i < count; i++) {
        sqlpool_conn conn;
        int rc = sqlpool_conn_acquire(all->pool, SQLPOOL_READ, &conn, &w->error);
        if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_conn_acquire");
        rc = sqlpool_conn_release(&conn);
        if (rc != SQLPOOL_OK) bench_pool(rc, NULL, "sqlpool_conn_release");
    }
}

/* W2 */

static void point_by_hand(sqlite3 *db, sqlite3_stmt *statement, worker *w, int count) {
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w);
        int rc = sqlite3_bind_int64(statement, 1, id);
        if (rc != SQLITE_OK) bench_sqlite(db, rc, SQLITE_OK, "sqlite3_bind_int64");
        rc = sqlite3_step(statement);
        if (rc != SQLITE_ROW) bench_sqlite(db, rc, SQLITE_ROW, "sqlite3_step");
        expect(id, sqlite3_column_int64(statement, 0));
        rc = sqlite3_reset(statement);
        if (rc != SQLITE_OK) bench_sqlite(db, rc, SQLITE_OK, "sqlite3_reset");
    }
}

static void hand_point(bench_all *all, worker *w, int count) {
    point_by_hand(all->hand_db[w->thread], all->hand_point[w->thread], w, count);
}

static void limit_enter(bench_all *all, worker *w) {
    bench_exec(all->limit_db[w->thread], "BEGIN; SELECT 1 FROM item WHERE id = 1");
}
static void limit_point(bench_all *all, worker *w, int count) {
    point_by_hand(all->limit_db[w->thread], all->limit_point[w->thread], w, count);
}
static void limit_leave(bench_all *all, worker *w) {
    bench_exec(all->limit_db[w->thread], "COMMIT");
}

static void textbook_point(bench_all *all, worker *w, int count) {
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w);
        const int slot = bench_textbook_acquire(all->textbook);
        sqlite3 *db = all->textbook->db[slot];
        sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(db, point_sql, -1, &statement, NULL);
        if (rc != SQLITE_OK) bench_sqlite(db, rc, SQLITE_OK, "sqlite3_prepare_v2");
        rc = sqlite3_bind_int64(statement, 1, id);
        if (rc != SQLITE_OK) bench_sqlite(db, rc, SQLITE_OK, "sqlite3_bind_int64");
        rc = sqlite3_step(statement);
        if (rc != SQLITE_ROW) bench_sqlite(db, rc, SQLITE_ROW, "sqlite3_step");
        expect(id, sqlite3_column_int64(statement, 0));
        rc = sqlite3_finalize(statement);
        if (rc != SQLITE_OK) bench_sqlite(db, rc, SQLITE_OK, "sqlite3_finalize");
        bench_textbook_release(all->textbook, slot);
    }
}

static void query_point(bench_all *all, worker *w, int count) {
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w);
        sqlpool_rows rows;
        int rc = sqlpool_query(all->pool, &rows, point_sql, SQLPOOL_ARGS(id), &w->error);
        if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_query");
        if (!sqlpool_rows_next(&rows))
            bench_die("sqlpool_rows_next: no row: %d", sqlpool_rows_close(&rows, NULL));
        expect(id, sqlpool_rows_int64(&rows, 0));
        rc = sqlpool_rows_close(&rows, &w->error);
        if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_rows_close");
    }
}

static void int64_point(bench_all *all, worker *w, int count) {
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w);
        int64_t value = -1;
        const int rc =
            sqlpool_query_int64(all->pool, &value, point_sql, SQLPOOL_ARGS(id), &w->error);
        if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_query_int64");
        expect(id, value);
    }
}

static void lease_enter(bench_all *all, worker *w) {
    const int rc = sqlpool_conn_acquire(all->pool, SQLPOOL_READ, &w->conn, &w->error);
    bench_pool(rc, &w->error, "sqlpool_conn_acquire");
}
static void lease_leave(bench_all *all, worker *w) {
    (void)all;
    bench_pool(sqlpool_conn_release(&w->conn), NULL, "sqlpool_conn_release");
}

static void lease_point(bench_all *all, worker *w, int count) {
    (void)all;
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w);
        sqlpool_rows rows;
        int rc = sqlpool_conn_query(&w->conn, &rows, point_sql, SQLPOOL_ARGS(id), &w->error);
        if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_conn_query");
        if (!sqlpool_rows_next(&rows))
            bench_die("sqlpool_rows_next: no row: %d", sqlpool_rows_close(&rows, NULL));
        expect(id, sqlpool_rows_int64(&rows, 0));
        rc = sqlpool_rows_close(&rows, &w->error);
        if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_rows_close");
    }
}

static void statement_point(bench_all *all, worker *w, int count) {
    (void)all;
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w);
        struct sqlite3_stmt *statement = NULL;
        int rc = sqlpool_conn_stmt(&w->conn, point_sql, &statement, &w->error);
        if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_conn_stmt");
        rc = sqlite3_bind_int64(statement, 1, id);
        if (rc != SQLITE_OK) bench_sqlite(NULL, rc, SQLITE_OK, "sqlite3_bind_int64");
        rc = sqlite3_step(statement);
        if (rc != SQLITE_ROW) bench_sqlite(NULL, rc, SQLITE_ROW, "sqlite3_step");
        expect(id, sqlite3_column_int64(statement, 0));
        rc = sqlpool_conn_stmt_release(&w->conn, statement);
        if (rc != SQLPOOL_OK) bench_pool(rc, NULL, "sqlpool_conn_stmt_release");
    }
}

typedef struct system_column {
    const char *name;
    const char *text;
    void (*enter)(bench_all *all, worker *w); /* before the gate, or NULL */
    void (*leave)(bench_all *all, worker *w);
    batch_fn batch[WORKLOAD_COUNT];
} system_column;

typedef enum column {
    MUTEX,
    HAND,
    LIMIT,
    TEXTBOOK,
    QUERY,
    INT64,
    LEASE,
    STATEMENT,
    COLUMN_COUNT
} column;

static const system_column systems[COLUMN_COUNT] = {
    {"mutex",
     "one uncontended pthread_mutex lock and unlock per operation, a mutex per thread",
     NULL,
     NULL,
     {mutex_pair, NULL}},
    {"hand",
     "hand-written sqlite3: a connection and a prepared statement per thread, autocommit",
     NULL,
     NULL,
     {NULL, hand_point}},
    {"hand-tx",
     "the same inside an open read transaction: the limit",
     limit_enter,
     limit_leave,
     {NULL, limit_point}},
    {"textbook",
     "mutex, condition, stack of connections; prepares and finalizes each time",
     NULL,
     NULL,
     {textbook_pair, textbook_point}},
    {"sqlpool",
     "W1 sqlpool_conn_acquire and _release; W2 sqlpool_query, _rows_next, _rows_close",
     NULL,
     NULL,
     {pool_pair, query_point}},
    {"int64", "sqlpool_query_int64", NULL, NULL, {NULL, int64_point}},
    {"lease",
     "sqlpool_conn_query on a lease held all the time",
     lease_enter,
     lease_leave,
     {NULL, lease_point}},
    {"stmt",
     "sqlpool_conn_stmt and _stmt_release around sqlite3_step on a lease held all the time",
     lease_enter,
     lease_leave,
     {NULL, statement_point}},
};

static void open_all(bench_all *all) {
    const sqlpool_config config = bench_pool_config(THREADS_MAX);
    bench_database_make("base.db", BENCH_ITEMS, false);
    bench_database_copy("base.db", "pool.db");
    bench_database_copy("base.db", "hand.db");
    bench_database_copy("base.db", "limit.db");
    bench_database_copy("base.db", "textbook.db");
    all->pool = bench_pool_open("pool.db", &config);
    all->settings = bench_pool_warm(all->pool, THREADS_MAX);
    all->textbook = bench_textbook_open("textbook.db", THREADS_MAX, &all->settings, NULL);
    for (int i = 0; i < THREADS_MAX; i++) {
        all->hand_db[i] = bench_hand_open("hand.db", &all->settings);
        bench_hand_warm(all->hand_db[i]);
        all->hand_point[i] = bench_hand_prepare(all->hand_db[i], point_sql);
        all->limit_db[i] = bench_hand_open("limit.db", &all->settings);
        bench_hand_warm(all->limit_db[i]);
        all->limit_point[i] = bench_hand_prepare(all->limit_db[i], point_sql);
    }
}

static void close_all(bench_all *all) {
    for (int i = 0; i < THREADS_MAX; i++) {
        bench_sqlite(all->hand_db[i], sqlite3_finalize(all->hand_point[i]), SQLITE_OK,
                     "sqlite3_finalize");
        bench_sqlite(NULL, sqlite3_close(all->hand_db[i]), SQLITE_OK, "sqlite3_close");
        bench_sqlite(all->limit_db[i], sqlite3_finalize(all->limit_point[i]), SQLITE_OK,
                     "sqlite3_finalize");
        bench_sqlite(NULL, sqlite3_close(all->limit_db[i]), SQLITE_OK, "sqlite3_close");
    }
    bench_textbook_close(all->textbook);
    bench_pool_close(all->pool);
}

/*------------------------------------------------------------------------------
 * Slices
 *----------------------------------------------------------------------------*/

/*  One system, one workload, one number of threads, one time slice. */
typedef struct slice {
    bench_all *all;
    worker *workers;
    const system_column *system;
    batch_fn batch;
    int64_t slice_ns;
    long batches; /* this many per thread instead of a time, if not 0 */
} slice;

static void slice_thread(void *context, int thread, bench_team *team) {
    const slice *s = context;
    worker *w = &s->workers[thread];
    int64_t opened, now, cpu;
    long done = 0;
    if (s->system->enter != NULL) s->system->enter(s->all, w);
    s->batch(s->all, w, s->batches > 0 ? 1 : BATCH); /* caches and branch predictors, untimed */
    opened = bench_gate(team);
    cpu = bench_cpu_ns();
    do {
        s->batch(s->all, w, BATCH);
        done++;
        now = bench_now_ns();
    } while (s->batches > 0 ? done < s->batches : now - opened < s->slice_ns);
    w->rate = (double)done * BATCH * 1e9 / (double)(now - opened);
    w->cpu_ns = (double)(bench_cpu_ns() - cpu) / ((double)done * BATCH);
    if (s->system->leave != NULL) s->system->leave(s->all, w);
}

/*------------------------------------------------------------------------------
 * The run and its tables
 *----------------------------------------------------------------------------*/

enum { THREAD_ROWS_MAX = 8 };

typedef struct results {
    int rows;
    int threads[THREAD_ROWS_MAX];
    /* [workload][row of the table][column][round] */
    double rates[WORKLOAD_COUNT][THREAD_ROWS_MAX][COLUMN_COUNT][BENCH_ROUNDS_MAX];
    double cpu_ns[WORKLOAD_COUNT][THREAD_ROWS_MAX][COLUMN_COUNT][BENCH_ROUNDS_MAX];
} results;

typedef struct run_options {
    bench_options common;
    long slice_ms;
    long batches;
    const char *threads, *workloads, *columns;
} run_options;

static bool has_cell(const run_options *o, int load, int col) {
    return systems[col].batch[load] != NULL && bench_listed(o->workloads, workload_names[load]) &&
           bench_listed(o->columns, systems[col].name);
}

static void parse_threads(results *r, const char *list) {
    r->rows = 0;
    for (const char *at = list; *at != '\0';) {
        char *end = NULL;
        const long n = strtol(at, &end, 10);
        if (end == at || n < 1 || n > THREADS_MAX || (*end != ',' && *end != '\0')) {
            bench_die("--threads %s: a list of numbers from 1 to %d is needed", list, THREADS_MAX);
        }
        if (r->rows == THREAD_ROWS_MAX)
            bench_die("--threads %s: at most %d numbers", list, THREAD_ROWS_MAX);
        r->threads[r->rows++] = (int)n;
        at = *end == ',' ? end + 1 : end;
    }
    if (r->rows == 0) bench_die("--threads: an empty list");
}

/*  Runs every cell once per round. The systems of one row run one after the other, so that the
    sides of a ratio are close in time; the order is drawn anew for each row and round. */
static void run_all(const run_options *o, bench_all *all, bench_team *team, worker *workers,
                    results *r) {
    uint64_t random = o->common.seed;
    for (int round = 0; round < o->common.rounds; round++) {
        for (int load = 0; load < WORKLOAD_COUNT; load++) {
            for (int row = 0; row < r->rows; row++) {
                int order[COLUMN_COUNT];
                for (int c = 0; c < COLUMN_COUNT; c++) order[c] = c;
                bench_shuffle(&random, order, COLUMN_COUNT);
                for (int k = 0; k < COLUMN_COUNT; k++) {
                    const int c = order[k];
                    slice s;
                    const int threads = r->threads[row];
                    double rate = 0.0, cpu_ns = 0.0;
                    if (!has_cell(o, load, c)) continue;
                    s.all = all;
                    s.workers = workers;
                    s.system = &systems[c];
                    s.batch = systems[c].batch[load];
                    /* Threads that share a core need several turns each for a fair picture. */
                    s.slice_ns = (int64_t)o->slice_ms * 1000000 *
                                 ((threads + bench_cpus() - 1) / bench_cpus());
                    s.batches = o->batches;
                    bench_team_run(team, threads, slice_thread, &s);
                    for (int t = 0; t < threads; t++) {
                        rate += workers[t].rate;
                        cpu_ns += workers[t].cpu_ns / threads;
                    }
                    r->rates[load][row][c][round] = rate;
                    r->cpu_ns[load][row][c][round] = cpu_ns;
                }
            }
        }
    }
}

static void print_head(const run_options *o, int load, const char *text) {
    (void)printf("\n%s  %s\n%8s", workload_names[load], text, "threads");
    for (int c = 0; c < COLUMN_COUNT; c++) {
        if (has_cell(o, load, c)) (void)printf(" %10s", systems[c].name);
    }
    (void)printf("\n");
}

typedef double cell_table[THREAD_ROWS_MAX][COLUMN_COUNT][BENCH_ROUNDS_MAX];

static void print_values(const run_options *o, const results *r, int load, const char *text,
                         cell_table cells, double scale) {
    print_head(o, load, text);
    for (int row = 0; row < r->rows; row++) {
        (void)printf("%8d", r->threads[row]);
        for (int c = 0; c < COLUMN_COUNT; c++) {
            if (!has_cell(o, load, c)) continue;
            (void)printf(" %10.1f", bench_median(cells[row][c], o->common.rounds) * scale);
        }
        (void)printf("\n");
    }
}

/*  Each cell as a multiple of `base`; inverse: of its time instead of its rate. */
static void print_ratios(const run_options *o, const results *r, int load, const char *text,
                         cell_table cells, int base, bool inverse) {
    if (!has_cell(o, load, base)) return;
    print_head(o, load, text);
    for (int row = 0; row < r->rows; row++) {
        (void)printf("%8d", r->threads[row]);
        for (int c = 0; c < COLUMN_COUNT; c++) {
            const double *a = cells[row][c], *b = cells[row][base];
            if (!has_cell(o, load, c)) continue;
            (void)printf(" %10.3f",
                         bench_median_ratio(inverse ? b : a, inverse ? a : b, o->common.rounds));
        }
        (void)printf("\n");
    }
}

static void print_list(const double *values, int count) {
    for (int i = 0; i < count; i++) (void)printf("%s%.1f", i > 0 ? "," : "", values[i]);
}

static void print_json(const run_options *o, results *r) {
    const int n = o->common.rounds;
    for (int load = 0; load < WORKLOAD_COUNT; load++) {
        for (int row = 0; row < r->rows; row++) {
            for (int c = 0; c < COLUMN_COUNT; c++) {
                if (!has_cell(o, load, c)) continue;
                (void)printf("{\"workload\":\"%s\",\"system\":\"%s\",\"threads\":%d,"
                             "\"ops_per_s\":%.1f,\"cpu_ns\":%.2f,\"rates\":[",
                             workload_names[load], systems[c].name, r->threads[row],
                             bench_median(r->rates[load][row][c], n),
                             bench_median(r->cpu_ns[load][row][c], n));
                print_list(r->rates[load][row][c], n);
                (void)printf("],\"cpu\":[");
                print_list(r->cpu_ns[load][row][c], n);
                (void)printf("]}\n");
            }
        }
    }
}

static void print_goals(const run_options *o, const results *r) {
    const int n = o->common.rounds;
    char text[80];
    (void)printf("\n");
    for (int row = 0; row < r->rows; row++) {
        const int t = r->threads[row];
        if (has_cell(o, W1, MUTEX) && has_cell(o, W1, QUERY)) {
            (void)snprintf(text, sizeof text, "W1, threads %d: acquire+release in mutex pairs", t);
            bench_goal(text,
                       bench_median_ratio(r->rates[W1][row][MUTEX], r->rates[W1][row][QUERY], n),
                       "<=", 4.0);
        }
        if (has_cell(o, W2, HAND) && has_cell(o, W2, QUERY)) {
            (void)snprintf(text, sizeof text, "W2, threads %d: sqlpool_query to hand-written", t);
            bench_goal(text,
                       bench_median_ratio(r->rates[W2][row][QUERY], r->rates[W2][row][HAND], n),
                       ">=", 0.93);
            (void)snprintf(text, sizeof text, "W2, threads %d: the same by processor time", t);
            bench_goal(text,
                       bench_median_ratio(r->cpu_ns[W2][row][HAND], r->cpu_ns[W2][row][QUERY], n),
                       ">=", 0.93);
        }
        if (has_cell(o, W2, TEXTBOOK) && has_cell(o, W2, QUERY)) {
            (void)snprintf(text, sizeof text, "W2, threads %d: sqlpool_query to the preparing pool",
                           t);
            bench_goal(text,
                       bench_median_ratio(r->rates[W2][row][QUERY], r->rates[W2][row][TEXTBOOK], n),
                       ">=", 2.0);
        }
    }
}

static void usage(void) {
    (void)printf("bench [--dir DIR] [--rounds N] [--slice-ms MS] [--seed N] [--threads 1,2,4,8] "
                 "[--workloads LIST]\n"
                 "      [--columns LIST] [--ops N] [--json]\ncolumns:\n");
    for (int c = 0; c < COLUMN_COUNT; c++)
        (void)printf("  %-9s %s\n", systems[c].name, systems[c].text);
}

int main(int argc, char **argv) {
    run_options o;
    bench_all *all = bench_alloc(sizeof *all);
    worker *workers = bench_alloc(sizeof *workers * THREADS_MAX);
    results *r = bench_alloc(sizeof *r);
    bench_team *team;
    o.common = bench_options_default(41);
    o.slice_ms = 10;
    o.batches = 0;
    o.threads = "1,2,4,8";
    o.workloads = NULL;
    o.columns = NULL;
    for (int i = 1; i < argc; i++) {
        if (bench_option_common(argc, argv, &i, &o.common) ||
            bench_option_number(argc, argv, &i, "--slice-ms", 1, 60000, &o.slice_ms) ||
            bench_option_number(argc, argv, &i, "--ops", 1, 1000000, &o.batches) ||
            bench_option_text(argc, argv, &i, "--threads", &o.threads) ||
            bench_option_text(argc, argv, &i, "--workloads", &o.workloads) ||
            bench_option_text(argc, argv, &i, "--columns", &o.columns)) {
            continue;
        }
        usage();
        return strcmp(argv[i], "--help") == 0 ? 0 : 2;
    }
    parse_threads(r, o.threads);
    bench_folder_make(o.common.dir);
    open_all(all);
    for (int i = 0; i < THREADS_MAX; i++) {
        workers[i].thread = i;
        workers[i].random = o.common.seed * 1000 + (uint64_t)i;
        bench_posix(pthread_mutex_init(&workers[i].mutex, NULL), "pthread_mutex_init");
    }
    team = bench_team_start(THREADS_MAX);
    bench_header("cost of an operation", &o.common);
    bench_settings_print(&all->settings);
    (void)printf("   %d items; slices of %ld ms, longer with more threads than CPUs\n", BENCH_ITEMS,
                 o.slice_ms);
    for (int c = 0; c < COLUMN_COUNT; c++)
        (void)printf("   %-9s %s\n", systems[c].name, systems[c].text);
    (void)fflush(stdout);

    run_all(&o, all, team, workers, r);

    if (bench_listed(o.workloads, "W1")) {
        print_values(&o, r, W1, "acquire and release: ns of processor time per pair", r->cpu_ns[W1],
                     1.0);
        print_ratios(&o, r, W1, "time in uncontended mutex pairs (mutex = 1), lower is better",
                     r->rates[W1], MUTEX, true);
    }
    if (bench_listed(o.workloads, "W2")) {
        print_values(&o, r, W2, "point query by rowid: thousands per second, all threads together",
                     r->rates[W2], 0.001);
        print_ratios(&o, r, W2, "rate as a multiple of hand-written autocommit (hand = 1)",
                     r->rates[W2], HAND, false);
        print_ratios(&o, r, W2, "rate as a multiple of the preparing pool (textbook = 1)",
                     r->rates[W2], TEXTBOOK, false);
        print_values(&o, r, W2, "ns of processor time per query", r->cpu_ns[W2], 1.0);
        print_ratios(&o, r, W2, "processor time as a multiple of hand-written, lower is better",
                     r->cpu_ns[W2], HAND, false);
    }
    print_goals(&o, r);
    if (o.common.json) print_json(&o, r);
    bench_team_end(team);
    close_all(all);
    for (int i = 0; i < THREADS_MAX; i++) {
        bench_posix(pthread_mutex_destroy(&workers[i].mutex), "pthread_mutex_destroy");
    }
    free(r);
    free(workers);
    free(all);
    bench_folder_remove();
    return 0;
}
