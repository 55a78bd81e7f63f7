/*  allocations.c - how often the library asks its allocator in steady state.
    SPDX-License-Identifier: MIT OR Unlicense

    allocations [--dir DIR] [--ops N] [--json]

    The pool gets an allocator that counts its calls. As a warm-up every statement runs once on each
    connection, all of them leased at the same time, and each operation 1,000 times per thread. Then
    it runs N times while the calls are counted: on one thread, then on four at once. SQLite's own
    allocations do not pass through this hook. The exit status is 1 when any operation allocated. */
#define _POSIX_C_SOURCE 200809L
#define SQLPOOL_IMPLEMENTATION
#include "bench.h"

enum { WARM_UP = 1000, THREADS = 4 };

typedef struct counter {
    atomic_ullong calls; /* of alloc_fn and resize_fn */
    atomic_llong bytes;  /* held now */
} counter;

static void *count_alloc(void *user, size_t bytes) {
    counter *c = user;
    void *memory = malloc(bytes);
    atomic_fetch_add(&c->calls, 1);
    if (memory != NULL) atomic_fetch_add(&c->bytes, (long long)bytes);
    return memory;
}

static void *count_resize(void *user, void *memory, size_t old_bytes, size_t new_bytes) {
    counter *c = user;
    void *moved = realloc(memory, new_bytes);
    atomic_fetch_add(&c->calls, 1);
    if (moved != NULL) atomic_fetch_add(&c->bytes, (long long)new_bytes - (long long)old_bytes);
    return moved;
}

static void count_free(void *user, void *memory, size_t bytes) {
    counter *c = user;
    atomic_fetch_sub(&c->bytes, (long long)bytes);
    free(memory);
}

static const char value_sql[] = "SELECT value FROM item WHERE id = ?1";
static const char note_sql[] = "SELECT value, note FROM item WHERE id = ?1";
static const char code_sql[] = "SELECT value FROM item WHERE code = ?1";
static const char walk_sql[] = "SELECT id, code, value, price, note FROM item WHERE id <= 50";

typedef struct worker {
    _Alignas(BENCH_LINE) uint64_t random;
    sqlpool_error error;
} worker;

typedef void (*operation_fn)(sqlpool *pool, worker *w);

static int64_t next_id(worker *w) {
    return (int64_t)bench_random_below(&w->random, 1000) + 1;
}

static void acquire_read(sqlpool *pool, worker *w) {
    sqlpool_conn conn;
    bench_pool(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &w->error), &w->error, "acquire");
    bench_pool(sqlpool_conn_release(&conn), NULL, "release");
}

static void acquire_write(sqlpool *pool, worker *w) {
    sqlpool_conn conn;
    bench_pool(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &w->error), &w->error, "acquire");
    bench_pool(sqlpool_conn_release(&conn), NULL, "release");
}

static void cached_statement(sqlpool *pool, worker *w) {
    sqlpool_conn conn;
    struct sqlite3_stmt *statement = NULL;
    bench_pool(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &w->error), &w->error, "acquire");
    bench_pool(sqlpool_conn_stmt(&conn, value_sql, &statement, &w->error), &w->error,
               "sqlpool_conn_stmt");
    bench_sqlite(NULL, sqlite3_bind_int64(statement, 1, next_id(w)), SQLITE_OK,
                 "sqlite3_bind_int64");
    bench_sqlite(NULL, sqlite3_step(statement), SQLITE_ROW, "sqlite3_step");
    bench_pool(sqlpool_conn_stmt_release(&conn, statement), NULL, "sqlpool_conn_stmt_release");
    bench_pool(sqlpool_conn_release(&conn), NULL, "release");
}

static void query(sqlpool *pool, worker *w) {
    sqlpool_rows rows;
    bench_pool(sqlpool_query(pool, &rows, note_sql, SQLPOOL_ARGS(next_id(w)), &w->error), &w->error,
               "sqlpool_query");
    if (!sqlpool_rows_next(&rows)) bench_die("no row");
    bench_pool(sqlpool_rows_close(&rows, &w->error), &w->error, "sqlpool_rows_close");
}

/*  Text arguments of a cursor are copied by the library: it must have room for them already. */
static void query_text(sqlpool *pool, worker *w) {
    char code[32];
    sqlpool_rows rows;
    (void)snprintf(code, sizeof code, "code-%08d", (int)next_id(w));
    bench_pool(sqlpool_query(pool, &rows, code_sql, SQLPOOL_ARGS(code), &w->error), &w->error,
               "sqlpool_query");
    if (!sqlpool_rows_next(&rows)) bench_die("no row for %s", code);
    bench_pool(sqlpool_rows_close(&rows, &w->error), &w->error, "sqlpool_rows_close");
}

static void query_walk(sqlpool *pool, worker *w) {
    sqlpool_rows rows;
    int count = 0;
    bench_pool(sqlpool_query(pool, &rows, walk_sql, SQLPOOL_NO_ARGS, &w->error), &w->error,
               "sqlpool_query");
    while (sqlpool_rows_next(&rows)) count++;
    bench_pool(sqlpool_rows_close(&rows, &w->error), &w->error, "sqlpool_rows_close");
    if (count != 50) bench_die("a walk over 50 rows gave %d", count);
}

static void query_int64(sqlpool *pool, worker *w) {
    int64_t value = 0;
    bench_pool(sqlpool_query_int64(pool, &value, value_sql, SQLPOOL_ARGS(next_id(w)), &w->error),
               &w->error, "sqlpool_query_int64");
}

static void conn_query(sqlpool *pool, worker *w) {
    sqlpool_conn conn;
    sqlpool_rows rows;
    bench_pool(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &w->error), &w->error, "acquire");
    bench_pool(sqlpool_conn_query(&conn, &rows, value_sql, SQLPOOL_ARGS(next_id(w)), &w->error),
               &w->error, "sqlpool_conn_query");
    if (!sqlpool_rows_next(&rows)) bench_die("no row");
    bench_pool(sqlpool_rows_close(&rows, &w->error), &w->error, "sqlpool_rows_close");
    bench_pool(sqlpool_conn_release(&conn), NULL, "release");
}

static void exec_write(sqlpool *pool, worker *w) {
    bench_pool(sqlpool_exec(pool, "UPDATE item SET price = ?2 WHERE id = ?1",
                            SQLPOOL_ARGS(next_id(w), 1.5), &w->error),
               &w->error, "sqlpool_exec");
}

static int touch(sqlpool_conn *conn, void *user, int attempt) {
    worker *w = user;
    (void)attempt;
    return sqlpool_conn_exec(conn, "UPDATE item SET price = ?2 WHERE id = ?1",
                             SQLPOOL_ARGS(next_id(w), 2.5), NULL, &w->error);
}

static void transaction(sqlpool *pool, worker *w) {
    bench_pool(sqlpool_transaction(pool, SQLPOOL_WRITE, touch, w, &w->error), &w->error,
               "sqlpool_transaction");
}

static const struct {
    const char *name;
    operation_fn run;
} operations[] = {
    {"acquire and release, reader", acquire_read},
    {"acquire and release, writer", acquire_write},
    {"acquire, cached statement, release", cached_statement},
    {"acquire, sqlpool_conn_query, release", conn_query},
    {"sqlpool_query, integer argument, one row", query},
    {"sqlpool_query, text argument, one row", query_text},
    {"sqlpool_query, 50 rows of 5 columns", query_walk},
    {"sqlpool_query_int64", query_int64},
    {"sqlpool_exec, an UPDATE", exec_write},
    {"sqlpool_transaction, an UPDATE", transaction},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

typedef struct job {
    sqlpool *pool;
    worker *workers;
    operation_fn run;
    long count;
} job;

static void job_thread(void *context, int thread, bench_team *team) {
    const job *j = context;
    worker *w = &j->workers[thread];
    (void)bench_gate(team);
    for (long i = 0; i < j->count; i++) j->run(j->pool, w);
}

/*  One thread's warm-up reaches only the connections it happens to get. */
static void warm_one(sqlpool_conn *conn, const char *sql, sqlpool_value argument, int count) {
    sqlpool_error error;
    sqlpool_rows rows;
    bench_pool(sqlpool_conn_query(conn, &rows, sql, &argument, count, &error), &error, sql);
    if (!sqlpool_rows_next(&rows)) bench_die("no row: %s", sql);
    bench_pool(sqlpool_rows_close(&rows, &error), &error, sql);
}

static void warm_all(sqlpool *pool) {
    sqlpool_conn conns[THREADS];
    sqlpool_error error;
    for (int i = 0; i < THREADS; i++) {
        bench_pool(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conns[i], &error), &error, "acquire");
        warm_one(&conns[i], value_sql, sqlpool_value_int64(1), 1);
        warm_one(&conns[i], note_sql, sqlpool_value_int64(1), 1);
        warm_one(&conns[i], code_sql, sqlpool_value_text("code-00000001"), 1);
        warm_one(&conns[i], walk_sql, sqlpool_value_null(NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) bench_pool(sqlpool_conn_release(&conns[i]), NULL, "release");
}

/*  Calls of the allocator while every thread runs the operation `count` times. */
static unsigned long long measure(job *j, bench_team *team, counter *c, int threads, long count) {
    unsigned long long before;
    j->count = WARM_UP;
    bench_team_run(team, threads, job_thread, j);
    before = atomic_load(&c->calls);
    j->count = count;
    bench_team_run(team, threads, job_thread, j);
    return atomic_load(&c->calls) - before;
}

int main(int argc, char **argv) {
    bench_options o = bench_options_default(1);
    worker *workers = bench_alloc(sizeof *workers * THREADS);
    sqlpool_config config = bench_pool_config(THREADS);
    long count = 10000;
    unsigned long long total = 0;
    counter c;
    bench_team *team;
    sqlpool_stats stats;
    job j;
    for (int i = 1; i < argc; i++) {
        if (bench_option_common(argc, argv, &i, &o) ||
            bench_option_number(argc, argv, &i, "--ops", 1, 100000000, &count)) {
            continue;
        }
        (void)printf("allocations [--dir DIR] [--ops N] [--json]\n");
        return strcmp(argv[i], "--help") == 0 ? 0 : 2;
    }
    atomic_init(&c.calls, 0);
    atomic_init(&c.bytes, 0);
    config.allocator.user = &c;
    config.allocator.alloc_fn = count_alloc;
    config.allocator.resize_fn = count_resize;
    config.allocator.free_fn = count_free;
    for (int i = 0; i < THREADS; i++) workers[i].random = o.seed * 1000 + (uint64_t)i;
    bench_folder_make(o.dir);
    bench_header("allocations by the library in steady state", &o);
    bench_database_make("allocations.db", 1000, false);
    j.pool = bench_pool_open("allocations.db", &config);
    j.workers = workers;
    j.count = 0;
    j.run = NULL;
    warm_all(j.pool);
    team = bench_team_start(THREADS);
    (void)printf("\nallocations through the hook in %ld operations per thread, upkeep thread "
                 "included\n%-42s %9s %9s\n",
                 count, "operation", "1 thread", "4 threads");
    for (size_t i = 0; i < OPERATIONS; i++) {
        unsigned long long one, many;
        j.run = operations[i].run;
        one = measure(&j, team, &c, 1, count);
        many = measure(&j, team, &c, THREADS, count);
        total += one + many;
        (void)printf("%-42s %9llu %9llu\n", operations[i].name, one, many);
        if (o.json) {
            (void)printf("{\"operation\":\"%s\",\"ops_per_thread\":%ld,\"allocations_1\":%llu,"
                         "\"allocations_4\":%llu}\n",
                         operations[i].name, count, one, many);
        }
    }
    memset(&stats, 0, sizeof stats);
    bench_pool(sqlpool_get_stats(j.pool, &stats), NULL, "sqlpool_get_stats");
    (void)printf("   the pool holds %lld bytes (it says %" PRId64
                 "), asked %llu times since open (it says %" PRId64 ")\n",
                 atomic_load(&c.bytes), stats.memory_bytes, atomic_load(&c.calls),
                 stats.allocations);
    bench_goal("allocations in steady state", (double)total, "<=", 0.0);
    bench_team_end(team);
    bench_pool_close(j.pool);
    if (atomic_load(&c.bytes) != 0)
        bench_die("%lld bytes were not given back by sqlpool_close()", atomic_load(&c.bytes));
    free(workers);
    bench_folder_remove();
    return total == 0 ? 0 : 1;
}
