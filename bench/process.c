/*  process.c - what sqlpool_global_init() is worth: the same reads in processes that differ only in
    how SQLite was set up. SPDX-License-Identifier: MIT OR Unlicense

    process [--dir DIR] [--rounds N] [--slice-ms MS] [--seed N] [--json]

    SQLite is set up once per process, so each column is a process of its own, started at the
    beginning and kept; the parent gives them one slice after the other, in an order drawn anew each
    round. A column is compared with "plain" of the same round. */
#define _POSIX_C_SOURCE 200809L
#define SQLPOOL_IMPLEMENTATION
#include "bench.h"

#include <sys/wait.h>

enum { THREADS_MAX = 8, BATCH = 100 };

typedef struct setup {
    const char *name;
    const char *text;
} setup;

enum { PLAIN, NO_STATISTICS, INIT, LIMIT, LOOKASIDE, LOOKASIDE_OFF, SETUP_COUNT };
static const setup setups[SETUP_COUNT] = {
    {"plain", "SQLite as it is built: malloc, statistics under one mutex"},
    {"nostats", "sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) by hand: nobody counts"},
    {"init", "sqlpool_global_init(NULL): counted in shards"},
    {"limit", "the same with memory_limit_bytes"},
    {"lookaside", "the same with lookaside_bytes 256, lookaside_count 400"},
    {"no-look", "the same with lookaside_bytes OFF"},
};

enum { POINT, COLUMNS, SORT, LOAD_COUNT };
static const char *const load_names[LOAD_COUNT] = {
    "point query by rowid", "five columns by a unique text index", "200 rows sorted by text"};
static const char *const load_sql[LOAD_COUNT] = {
    "SELECT value FROM item WHERE id = ?1",
    "SELECT id, code, value, price, note FROM item WHERE code = ?1",
    "SELECT note FROM item WHERE id BETWEEN ?1 AND ?1 + 199 ORDER BY substr(note, 9)"};

/*------------------------------------------------------------------------------
 * A child: one way to set SQLite up, a pool, slices on demand
 *----------------------------------------------------------------------------*/

typedef struct child {
    sqlpool *pool;
    int load;
    int64_t slice_ns;
    uint64_t random[THREADS_MAX];
    double rates[THREADS_MAX];
} child;

static void set_up(int which) {
    sqlpool_global_config config;
    sqlpool_error error;
    memset(&config, 0, sizeof config);
    if (which == NO_STATISTICS)
        bench_sqlite(NULL, sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0), SQLITE_OK, "sqlite3_config");
    if (which < INIT) return;
    if (which == LIMIT) config.memory_limit_bytes = (int64_t)1 << 30;
    if (which == LOOKASIDE) {
        config.lookaside_bytes = 256;
        config.lookaside_count = 400;
    }
    if (which == LOOKASIDE_OFF) config.lookaside_bytes = SQLPOOL_OFF;
    bench_pool(sqlpool_global_init(&config, &error), &error, "sqlpool_global_init");
}

static void read_once(child *c, int64_t id) {
    sqlpool_rows rows;
    sqlpool_error error;
    char code[32];
    int count = 0, rc;
    (void)snprintf(code, sizeof code, "code-%08" PRId64, id);
    rc = c->load == COLUMNS
             ? sqlpool_query(c->pool, &rows, load_sql[COLUMNS], SQLPOOL_ARGS(code), &error)
             : sqlpool_query(c->pool, &rows, load_sql[c->load], SQLPOOL_ARGS(id), &error);
    if (rc != SQLPOOL_OK) bench_pool(rc, &error, "sqlpool_query");
    while (sqlpool_rows_next(&rows)) {
        count++;
        if (c->load == POINT && sqlpool_rows_int64(&rows, 0) != bench_item_value(id))
            bench_die("item %" PRId64 " has another value", id);
        if (c->load == COLUMNS &&
            (sqlpool_rows_int64(&rows, 0) != id || sqlpool_rows_text(&rows, 1) == NULL ||
             sqlpool_rows_int64(&rows, 2) != bench_item_value(id) ||
             sqlpool_rows_double(&rows, 3) != (double)id / 8.0 ||
             sqlpool_rows_text(&rows, 4) == NULL)) {
            bench_die("item %s has other columns", code);
        }
        if (c->load == SORT && sqlpool_rows_text(&rows, 0) == NULL) bench_die("a note is NULL");
    }
    rc = sqlpool_rows_close(&rows, &error);
    if (rc != SQLPOOL_OK) bench_pool(rc, &error, "sqlpool_rows_close");
    if (count != (c->load == SORT ? 200 : 1)) bench_die("%d rows for item %" PRId64, count, id);
}

static void child_thread(void *context, int thread, bench_team *team) {
    child *c = (child *)context;
    const int64_t opened = bench_gate(team);
    int64_t now;
    long done = 0;
    do {
        for (int i = 0; i < BATCH; i++)
            read_once(c, 1 + (int64_t)bench_random_below(&c->random[thread], BENCH_ITEMS - 200));
        done += BATCH;
        now = bench_now_ns();
    } while (now - opened < c->slice_ns);
    c->rates[thread] = (double)done * 1e9 / (double)(now - opened);
}

/*  Lines "load threads milliseconds" come in, a rate goes out, until the input ends. */
static int child_main(int which, const char *folder) {
    const sqlpool_config config = bench_pool_config(THREADS_MAX);
    child *c;
    bench_team *team;
    int load, threads, ms;
    set_up(which);
    (void)snprintf(bench_folder, sizeof bench_folder, "%s", folder);
    c = bench_alloc(sizeof *c);
    c->pool = bench_pool_open("process.db", &config);
    (void)bench_pool_warm(c->pool, THREADS_MAX);
    for (int i = 0; i < THREADS_MAX; i++) c->random[i] = (uint64_t)i + 1;
    team = bench_team_start(THREADS_MAX);
    while (scanf("%d %d %d", &load, &threads, &ms) == 3) {
        double rate = 0.0;
        c->load = load;
        c->slice_ns = (int64_t)ms * 1000000;
        bench_team_run(team, threads, child_thread, c);
        for (int i = 0; i < threads; i++) rate += c->rates[i];
        (void)printf("%.3f\n", rate);
        (void)fflush(stdout);
    }
    bench_team_end(team);
    bench_pool_close(c->pool);
    free(c);
    bench_folder[0] = '\0'; /* the parent removes it */
    return 0;
}

/*------------------------------------------------------------------------------
 * The parent
 *----------------------------------------------------------------------------*/

typedef struct worker {
    pid_t pid;
    FILE *in, *out;
} worker;

static worker start_worker(const char *self, int which) {
    int to[2], from[2];
    char number[16];
    worker w;
    (void)snprintf(number, sizeof number, "%d", which);
    if (pipe(to) != 0 || pipe(from) != 0) bench_die("pipe: %s", strerror(errno));
    w.pid = fork();
    if (w.pid < 0) bench_die("fork: %s", strerror(errno));
    if (w.pid == 0) {
        if (dup2(to[0], 0) < 0 || dup2(from[1], 1) < 0) _Exit(1);
        for (int fd = 3; fd < 64; fd++)
            (void)close(fd); /* other workers' pipes must see their end */
        (void)execl(self, self, "--child", number, bench_folder, (char *)NULL);
        _Exit(127);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    w.out = fdopen(to[1], "w");
    w.in = fdopen(from[0], "r");
    if (w.out == NULL || w.in == NULL) bench_die("fdopen: %s", strerror(errno));
    return w;
}

static double slice(const worker *w, int load, int threads, long ms) {
    double rate = 0.0;
    (void)fprintf(w->out, "%d %d %ld\n", load, threads, ms);
    if (fflush(w->out) != 0 || fscanf(w->in, "%lf", &rate) != 1) bench_die("a child has ended");
    return rate;
}

int main(int argc, char **argv) {
    static const int thread_counts[] = {1, 2, 8};
    enum { THREAD_ROWS = 3 };
    static double rates[LOAD_COUNT][THREAD_ROWS][SETUP_COUNT][BENCH_ROUNDS_MAX];
    bench_options o = bench_options_default(11);
    worker workers[SETUP_COUNT];
    uint64_t random;
    long slice_ms = 40;
    if (argc == 4 && strcmp(argv[1], "--child") == 0) return child_main(atoi(argv[2]), argv[3]);
    for (int i = 1; i < argc; i++) {
        if (bench_option_common(argc, argv, &i, &o) ||
            bench_option_number(argc, argv, &i, "--slice-ms", 1, 60000, &slice_ms)) {
            continue;
        }
        (void)printf("process [--dir DIR] [--rounds N] [--slice-ms MS] [--seed N] [--json]\n");
        return strcmp(argv[i], "--help") == 0 ? 0 : 2;
    }
    random = o.seed;
    bench_folder_make(o.dir);
    bench_database_make("process.db", BENCH_ITEMS, false);
    bench_header("sqlpool_global_init(): rates as a multiple of plain", &o);
    for (int c = 0; c < SETUP_COUNT; c++) {
        workers[c] = start_worker(argv[0], c);
        (void)printf("   %-9s %s\n", setups[c].name, setups[c].text);
    }
    if (sqlite3_compileoption_used("OMIT_LOOKASIDE"))
        (void)printf("   this SQLite was built without lookaside: its columns show noise\n");
    (void)fflush(stdout);
    for (int round = 0; round < o.rounds; round++) {
        for (int load = 0; load < LOAD_COUNT; load++) {
            for (int row = 0; row < THREAD_ROWS; row++) {
                int order[SETUP_COUNT];
                for (int c = 0; c < SETUP_COUNT; c++) order[c] = c;
                bench_shuffle(&random, order, SETUP_COUNT);
                for (int k = 0; k < SETUP_COUNT; k++) {
                    rates[load][row][order[k]][round] =
                        slice(&workers[order[k]], load, thread_counts[row], slice_ms);
                }
            }
        }
    }
    for (int load = 0; load < LOAD_COUNT; load++) {
        (void)printf("\n%s\n%8s", load_names[load], "threads");
        for (int c = 0; c < SETUP_COUNT; c++) (void)printf(" %9s", setups[c].name);
        (void)printf("   plain, thousands/s\n");
        for (int row = 0; row < THREAD_ROWS; row++) {
            (void)printf("%8d", thread_counts[row]);
            for (int c = 0; c < SETUP_COUNT; c++) {
                const double ratio =
                    bench_median_ratio(rates[load][row][c], rates[load][row][PLAIN], o.rounds);
                (void)printf(" %9.3f", ratio);
            }
            (void)printf("   %.1f\n", bench_median(rates[load][row][PLAIN], o.rounds) / 1000.0);
        }
    }
    for (int load = 0; o.json && load < LOAD_COUNT; load++) {
        for (int row = 0; row < THREAD_ROWS; row++) {
            for (int c = 0; c < SETUP_COUNT; c++) {
                (void)printf("{\"workload\":\"process: %s\",\"system\":\"%s\",\"threads\":%d,"
                             "\"ops_per_s\":%.1f}\n",
                             load_names[load], setups[c].name, thread_counts[row],
                             bench_median(rates[load][row][c], o.rounds));
            }
        }
    }
    for (int c = 0; c < SETUP_COUNT; c++) {
        int status = 0;
        (void)fclose(workers[c].out);
        (void)fclose(workers[c].in);
        if (waitpid(workers[c].pid, &status, 0) != workers[c].pid || status != 0)
            bench_die("the child \"%s\" ended with %d", setups[c].name, status);
    }
    bench_folder_remove();
    return 0;
}
