/*  bench.c - what an operation costs: systems are columns, workloads and thread counts are rows.
    SPDX-License-Identifier: MIT OR Unlicense

    bench [--dir DIR] [--rounds N] [--slice-ms MS] [--seed N] [--threads 1,2,4,8] [--workloads LIST]
          [--columns LIST] [--defaults] [--ops N] [--base FILE] [--json]

    Workloads: W1  acquire and release a connection
               W2  point query by rowid, every page cached, 100,000 rows
               W3  point query by a unique text index, five columns read
               W4  range of 1,000 rows
               W8  twenty SQL texts in turn
    W5 is in mixed.c, W9 in fairness.c, W10 in opening.c. To add a workload, add a line to the table
    of workloads; to add a system, add a line to the table of systems; to add a switch of the
    library as a column, add a line to BENCH_VARIANTS in bench.h.

    How the comparison is kept fair, and what --defaults does, stands at the top of bench.h. The
    clock is read around batches of operations. A system's rate is the sum over threads of
    operations done by the time that each thread took from the moment the gate opened. --ops N runs
    exactly N batches per thread instead of a time slice, for instruction counts under callgrind,
    and --base FILE takes the test database from FILE, which is made when it is not there.

    Many short slices are better than few long ones: the sides of a ratio are then milliseconds
    apart, and a disturbance spoils one round of many. Rates are of the wall clock. Processor time
    per operation is printed beside them: it leaves out what other programs took from the machine,
    and shows what waiting hides. */
#define _POSIX_C_SOURCE 200809L
#define SQLPOOL_IMPLEMENTATION
#include "bench.h"

enum {
    THREADS_MAX = 8,
    RANGE = 1000,
    TURNS = 20,
    TEXTS_MAX = TURNS,
    CODE_BYTES = 13,
    CODE_DIGITS = 8
};

/*  Everything one system has open. Connections and statements are by thread. */
typedef struct home {
    sqlite3 *db[THREADS_MAX];
    sqlite3_stmt **statement[THREADS_MAX]; /* by workload and text: see statement_of() */
    bench_textbook *textbook;
    sqlpool *pool;
} home;

/*  One thread's own data; nobody else writes near it. */
typedef struct worker {
    _Alignas(BENCH_LINE) pthread_mutex_t mutex;
    uint64_t random;
    sqlpool_conn conn;
    sqlpool_error error;
    double rate;   /* operations per second in the last slice */
    double cpu_ns; /* processor time per operation in the last slice */
    int thread;
    int turn;                  /* which text of W8 is next */
    char code[CODE_BYTES + 1]; /* W3's argument: outlives the statement's use of it */
} worker;

/*------------------------------------------------------------------------------
 * Expected answers
 *----------------------------------------------------------------------------*/

/*  The sum of the values of items 1 .. i. Written before the first thread starts. */
static int64_t value_sums[BENCH_ITEMS + 1];

static void value_sums_make(void) {
    for (int i = 1; i <= BENCH_ITEMS; i++) value_sums[i] = value_sums[i - 1] + bench_item_value(i);
}

static void expect_range(int64_t id, int rows, int64_t sum) {
    if (rows != RANGE || sum != value_sums[id + RANGE - 1] - value_sums[id - 1])
        bench_die("items from %" PRId64 " on: %d rows, sum %" PRId64, id, rows, sum);
}

/*  "code-00012345", by hand: printf() would cost as much as a query. */
static void code_make(char out[CODE_BYTES + 1], int64_t id) {
    memcpy(out, "code-", 5);
    for (int i = CODE_BYTES - 1; i >= CODE_BYTES - CODE_DIGITS; i--) {
        out[i] = (char)('0' + id % 10);
        id /= 10;
    }
    out[CODE_BYTES] = '\0';
}

static void expect_item(int64_t id, const char *code, int64_t got_id, const char *got_code,
                        int64_t value, double price, const char *note) {
    static const char note_start[] = "note of item ";
    const size_t start = sizeof note_start - 1;
    const char *digits = code + CODE_BYTES - CODE_DIGITS;
    while (*digits == '0') digits++;
    if (got_id != id || got_code == NULL || strcmp(got_code, code) != 0 ||
        price != (double)id / 8.0 || note == NULL || strncmp(note, note_start, start) != 0 ||
        strcmp(note + start, digits) != 0) {
        bench_die("item %" PRId64 " has another content", id);
    }
    bench_expect(id, value);
}

/*------------------------------------------------------------------------------
 * Workloads
 *----------------------------------------------------------------------------*/

/*  One operation on a prepared statement, up to the point where it is reset or finalized. */
typedef void (*statement_fn)(sqlite3_stmt *statement, worker *w, int64_t id, int turn);
/*  One operation on a pool. */
typedef void (*pool_fn)(sqlpool *pool, worker *w, const char *sql, int64_t id, int turn);

static void statement_point(sqlite3_stmt *statement, worker *w, int64_t id, int turn) {
    int rc = sqlite3_bind_int64(statement, 1, id);
    (void)w;
    if (rc != SQLITE_OK)
        bench_sqlite(sqlite3_db_handle(statement), rc, SQLITE_OK, "sqlite3_bind_int64");
    rc = sqlite3_step(statement);
    if (rc != SQLITE_ROW)
        bench_sqlite(sqlite3_db_handle(statement), rc, SQLITE_ROW, "sqlite3_step");
    bench_expect(id, sqlite3_column_int64(statement, 0) - turn);
}

static void statement_code(sqlite3_stmt *statement, worker *w, int64_t id, int turn) {
    int rc;
    (void)turn;
    code_make(w->code, id);
    rc = sqlite3_bind_text(statement, 1, w->code, CODE_BYTES, SQLITE_STATIC);
    if (rc != SQLITE_OK)
        bench_sqlite(sqlite3_db_handle(statement), rc, SQLITE_OK, "sqlite3_bind_text");
    rc = sqlite3_step(statement);
    if (rc != SQLITE_ROW)
        bench_sqlite(sqlite3_db_handle(statement), rc, SQLITE_ROW, "sqlite3_step");
    expect_item(id, w->code, sqlite3_column_int64(statement, 0),
                (const char *)sqlite3_column_text(statement, 1), sqlite3_column_int64(statement, 2),
                sqlite3_column_double(statement, 3),
                (const char *)sqlite3_column_text(statement, 4));
}

static void statement_range(sqlite3_stmt *statement, worker *w, int64_t id, int turn) {
    int64_t sum = 0;
    int rows = 0, rc = sqlite3_bind_int64(statement, 1, id);
    (void)w;
    (void)turn;
    if (rc != SQLITE_OK)
        bench_sqlite(sqlite3_db_handle(statement), rc, SQLITE_OK, "sqlite3_bind_int64");
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        sum += sqlite3_column_int64(statement, 0);
        rows++;
    }
    if (rc != SQLITE_DONE)
        bench_sqlite(sqlite3_db_handle(statement), rc, SQLITE_DONE, "sqlite3_step");
    expect_range(id, rows, sum);
}

static void close_rows(sqlpool_rows *rows, worker *w) {
    const int rc = sqlpool_rows_close(rows, &w->error);
    if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_rows_close");
}

static void first_row(int rc, sqlpool_rows *rows, worker *w) {
    if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_query");
    if (!sqlpool_rows_next(rows))
        bench_die("sqlpool_rows_next: no row: %d", sqlpool_rows_close(rows, NULL));
}

static void pool_point(sqlpool *pool, worker *w, const char *sql, int64_t id, int turn) {
    sqlpool_rows rows;
    first_row(sqlpool_query(pool, &rows, sql, SQLPOOL_ARGS(id), &w->error), &rows, w);
    bench_expect(id, sqlpool_rows_int64(&rows, 0) - turn);
    close_rows(&rows, w);
}

static void pool_code(sqlpool *pool, worker *w, const char *sql, int64_t id, int turn) {
    sqlpool_rows rows;
    (void)turn;
    code_make(w->code, id);
    first_row(
        sqlpool_query(pool, &rows, sql, SQLPOOL_ARGS(SQLPOOL_TEXT(w->code, CODE_BYTES)), &w->error),
        &rows, w);
    expect_item(id, w->code, sqlpool_rows_int64(&rows, 0), sqlpool_rows_text(&rows, 1),
                sqlpool_rows_int64(&rows, 2), sqlpool_rows_double(&rows, 3),
                sqlpool_rows_text(&rows, 4));
    close_rows(&rows, w);
}

static void pool_range(sqlpool *pool, worker *w, const char *sql, int64_t id, int turn) {
    sqlpool_rows rows;
    int64_t sum = 0;
    int count = 0;
    const int rc = sqlpool_query(pool, &rows, sql, SQLPOOL_ARGS(id), &w->error);
    (void)turn;
    if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_query");
    while (sqlpool_rows_next(&rows)) {
        sum += sqlpool_rows_int64(&rows, 0);
        count++;
    }
    close_rows(&rows, w);
    expect_range(id, count, sum);
}

typedef enum workload { W1, W2, W3, W4, W8, WORKLOAD_COUNT } workload;

static const char *const point_sql[] = {"SELECT value FROM item WHERE id = ?1"};
static const char *const code_sql[] = {
    "SELECT id, code, value, price, note FROM item WHERE code = ?1"};
static const char *const range_sql[] = {"SELECT value FROM item WHERE id BETWEEN ?1 AND ?1 + 999"};

/*  Short texts: a longer one takes longer to prepare, and would flatter a cache of statements. */
#define TURN(n) "SELECT value + " #n " FROM item WHERE id = ?1"
static const char *const turn_sql[TURNS] = {TURN(0),  TURN(1),  TURN(2),  TURN(3),  TURN(4),
                                            TURN(5),  TURN(6),  TURN(7),  TURN(8),  TURN(9),
                                            TURN(10), TURN(11), TURN(12), TURN(13), TURN(14),
                                            TURN(15), TURN(16), TURN(17), TURN(18), TURN(19)};
#undef TURN

typedef struct workload_row {
    const char *name, *text;
    int batch; /* operations between two looks at the clock */
    int ids;   /* drawn from 1 .. ids */
    const char *const *sql;
    int texts;
    statement_fn statement;
    pool_fn pool;
} workload_row;

static const workload_row workloads[WORKLOAD_COUNT] = {
    {"W1", "acquire and release", 1000, BENCH_ITEMS, NULL, 0, NULL, NULL},
    {"W2", "point query by rowid", 1000, BENCH_ITEMS, point_sql, 1, statement_point, pool_point},
    {"W3", "point query by text index", 1000, BENCH_ITEMS, code_sql, 1, statement_code, pool_code},
    {"W4", "range of 1,000 rows", 10, BENCH_ITEMS - RANGE, range_sql, 1, statement_range,
     pool_range},
    {"W8", "20 SQL texts in turn", 1000, BENCH_ITEMS, turn_sql, TURNS, statement_point, pool_point},
};

static int64_t next_id(worker *w, const workload_row *row) {
    return (int64_t)bench_random_below(&w->random, (uint32_t)row->ids) + 1;
}

static int next_turn(worker *w, const workload_row *row) {
    if (++w->turn >= row->texts) w->turn = 0;
    return w->turn;
}

/*  The kept statements of a hand-written connection stand in one array, by workload and text. */
static sqlite3_stmt **statement_of(const home *h, int thread, const workload_row *row, int turn) {
    return &h->statement[thread][(row - workloads) * TEXTS_MAX + turn];
}

/*------------------------------------------------------------------------------
 * Systems
 *----------------------------------------------------------------------------*/

typedef void (*batch_fn)(const home *h, worker *w, const workload_row *row, int count);

/* W1 */

static void mutex_pair(const home *h, worker *w, const workload_row *row, int count) {
    (void)h;
    (void)row;
    for (int i = 0; i < count; i++) {
        if (pthread_mutex_lock(&w->mutex) != 0) bench_die("pthread_mutex_lock");
        if (pthread_mutex_unlock(&w->mutex) != 0) bench_die("pthread_mutex_unlock");
    }
}

static void textbook_pair(const home *h, worker *w, const workload_row *row, int count) {
    (void)w;
    (void)row;
    for (int i = 0; i < count; i++) {
        const int slot = bench_textbook_acquire(h->textbook);
        bench_textbook_release(h->textbook, slot);
    }
}

static void pool_pair(const home *h, worker *w, const workload_row *row, int count) {
    (void)row;
    for (int i = 0; i < count; i++) {
        sqlpool_conn conn;
        int rc = sqlpool_conn_acquire(h->pool, SQLPOOL_READ, &conn, &w->error);
        if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_conn_acquire");
        rc = sqlpool_conn_release(&conn);
        if (rc != SQLPOOL_OK) bench_pool(rc, NULL, "sqlpool_conn_release");
    }
}

/* All queries */

static void hand_query(const home *h, worker *w, const workload_row *row, int count) {
    sqlite3 *db = h->db[w->thread];
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w, row);
        const int turn = next_turn(w, row);
        sqlite3_stmt *statement = *statement_of(h, w->thread, row, turn);
        int rc;
        row->statement(statement, w, id, turn);
        rc = sqlite3_reset(statement);
        if (rc != SQLITE_OK) bench_sqlite(db, rc, SQLITE_OK, "sqlite3_reset");
    }
}

static void prepared_query(sqlite3 *db, worker *w, const workload_row *row, int64_t id, int turn) {
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, row->sql[turn], -1, &statement, NULL);
    if (rc != SQLITE_OK) bench_sqlite(db, rc, SQLITE_OK, "sqlite3_prepare_v2");
    row->statement(statement, w, id, turn);
    rc = sqlite3_finalize(statement);
    if (rc != SQLITE_OK) bench_sqlite(db, rc, SQLITE_OK, "sqlite3_finalize");
}

static void hand_preparing(const home *h, worker *w, const workload_row *row, int count) {
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w, row);
        prepared_query(h->db[w->thread], w, row, id, next_turn(w, row));
    }
}

static void limit_enter(const home *h, worker *w) {
    bench_exec(h->db[w->thread], "BEGIN; SELECT 1 FROM item WHERE id = 1");
}
static void limit_leave(const home *h, worker *w) {
    bench_exec(h->db[w->thread], "COMMIT");
}

static void textbook_query(const home *h, worker *w, const workload_row *row, int count) {
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w, row);
        const int slot = bench_textbook_acquire(h->textbook);
        prepared_query(h->textbook->db[slot], w, row, id, next_turn(w, row));
        bench_textbook_release(h->textbook, slot);
    }
}

static void pool_query(const home *h, worker *w, const workload_row *row, int count) {
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w, row);
        const int turn = next_turn(w, row);
        row->pool(h->pool, w, row->sql[turn], id, turn);
    }
}

/* W2 in other ways */

static void pool_int64(const home *h, worker *w, const workload_row *row, int count) {
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w, row);
        int64_t value = -1;
        const int rc =
            sqlpool_query_int64(h->pool, &value, point_sql[0], SQLPOOL_ARGS(id), &w->error);
        if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_query_int64");
        bench_expect(id, value);
    }
}

static void lease_enter(const home *h, worker *w) {
    const int rc = sqlpool_conn_acquire(h->pool, SQLPOOL_READ, &w->conn, &w->error);
    bench_pool(rc, &w->error, "sqlpool_conn_acquire");
}
static void lease_leave(const home *h, worker *w) {
    (void)h;
    bench_pool(sqlpool_conn_release(&w->conn), NULL, "sqlpool_conn_release");
}

static void lease_query(const home *h, worker *w, const workload_row *row, int count) {
    (void)h;
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w, row);
        sqlpool_rows rows;
        first_row(sqlpool_conn_query(&w->conn, &rows, point_sql[0], SQLPOOL_ARGS(id), &w->error),
                  &rows, w);
        bench_expect(id, sqlpool_rows_int64(&rows, 0));
        close_rows(&rows, w);
    }
}

static void lease_statement(const home *h, worker *w, const workload_row *row, int count) {
    (void)h;
    for (int i = 0; i < count; i++) {
        const int64_t id = next_id(w, row);
        struct sqlite3_stmt *statement = NULL;
        int rc = sqlpool_conn_stmt(&w->conn, point_sql[0], &statement, &w->error);
        if (rc != SQLPOOL_OK) bench_pool(rc, &w->error, "sqlpool_conn_stmt");
        statement_point(statement, w, id, 0);
        rc = sqlpool_conn_stmt_release(&w->conn, statement);
        if (rc != SQLPOOL_OK) bench_pool(rc, NULL, "sqlpool_conn_stmt_release");
    }
}

/*  What a system is made of. */
typedef enum side { NO_DATABASE, BY_HAND, BY_TEXTBOOK, BY_POOL } side;

#define POOL_ENUMERATOR(id, name, text, member, value) POOL_##id,
typedef enum column {
    MUTEX,
    HAND,
    LIMIT,
    PREPARING,
    TEXTBOOK,
    BENCH_VARIANTS(POOL_ENUMERATOR) /* a column each */
    INT64,
    LEASE,
    STATEMENT,
    COLUMN_COUNT,
    POOL = POOL_BENCH_AS_IT_COMES
} column;
#undef POOL_ENUMERATOR

typedef struct system_column {
    const char *name, *text;
    side made_of;
    int variant;      /* bench_variant, if made of a pool */
    int home;         /* the column whose connections this one uses */
    bool is_default;  /* also in the table of --defaults */
    batch_fn pair;    /* W1, or NULL */
    batch_fn query;   /* the workloads below, or NULL */
    unsigned queries; /* bits of workload */
    /* before the gate and at the end, or NULL */
    void (*enter)(const home *h, worker *w);
    void (*leave)(const home *h, worker *w);
} system_column;

enum { ALL_QUERIES = 1 << W2 | 1 << W3 | 1 << W4 | 1 << W8 };

#define POOL_COLUMN(id, name, text, member, value) \
    {name,      text,       BY_POOL,     id,   POOL_##id, (id) == BENCH_AS_IT_COMES, \
     pool_pair, pool_query, ALL_QUERIES, NULL, NULL},

/* clang-format off */
static const system_column systems[COLUMN_COUNT] = {
    {"mutex", "one uncontended pthread_mutex lock and unlock per operation, a mutex per thread",
     NO_DATABASE, 0, MUTEX, false, mutex_pair, NULL, 0, NULL, NULL},
    {"hand", "hand-written sqlite3: a connection and prepared statements per thread, autocommit",
     BY_HAND, 0, HAND, true, NULL, hand_query, ALL_QUERIES, NULL, NULL},
    {"hand-tx", "the same inside an open read transaction: the limit",
     BY_HAND, 0, LIMIT, true, NULL, hand_query, ALL_QUERIES, limit_enter, limit_leave},
    {"hand-prep", "the same again, but prepares and finalizes each time",
     BY_HAND, 0, LIMIT, false, NULL, hand_preparing, 1 << W8, limit_enter, limit_leave},
    {"textbook", "mutex, condition, stack of connections; prepares and finalizes each time",
     BY_TEXTBOOK, 0, TEXTBOOK, true, textbook_pair, textbook_query, ALL_QUERIES, NULL, NULL},
    BENCH_VARIANTS(POOL_COLUMN)
    {"int64", "sqlpool_query_int64",
     BY_POOL, 0, POOL, false, NULL, pool_int64, 1 << W2, NULL, NULL},
    {"lease", "sqlpool_conn_query on a lease held all the time",
     BY_POOL, 0, POOL, false, NULL, lease_query, 1 << W2, lease_enter, lease_leave},
    {"stmt", "sqlpool_conn_stmt and _stmt_release around sqlite3_step on a lease held all the time",
     BY_POOL, 0, POOL, false, NULL, lease_statement, 1 << W2, lease_enter, lease_leave},
};
/* clang-format on */
#undef POOL_COLUMN

/*------------------------------------------------------------------------------
 * Options, what is open
 *----------------------------------------------------------------------------*/

typedef struct run_options {
    bench_options common;
    bench_grid grid;
    long batches;
    const char *workloads, *base;
} run_options;

static batch_fn batch_of(int load, int col) {
    const system_column *c = &systems[col];
    if (load == W1) return c->pair;
    return (c->queries & 1u << load) != 0 ? c->query : NULL;
}

static bool has_cell(const run_options *o, int load, int col) {
    if (batch_of(load, col) == NULL) return false;
    if (o->common.defaults && (load == W1 || !systems[col].is_default)) return false;
    return bench_listed(o->workloads, workloads[load].name) &&
           bench_listed(o->grid.columns, systems[col].name);
}

static bool has_column(const run_options *o, int col) {
    for (int load = 0; load < WORKLOAD_COUNT; load++) {
        if (has_cell(o, load, col)) return true;
    }
    return false;
}

/*  The test database, as base.db. */
static void base_make(const char *base) {
    char path[BENCH_PATH_MAX];
    bench_path(path, "base.db");
    if (base != NULL && access(base, R_OK) == 0) {
        bench_file_copy(base, path);
        return;
    }
    bench_database_make("base.db", BENCH_ITEMS, false);
    if (base != NULL) bench_file_copy(path, base);
}

static void hand_open(home *h, const char *name, const bench_settings *settings, int threads) {
    for (int i = 0; i < threads; i++) {
        h->db[i] = bench_hand_open(name, settings);
        bench_hand_warm(h->db[i]);
        h->statement[i] = bench_alloc(sizeof *h->statement[i] * WORKLOAD_COUNT * TEXTS_MAX);
        for (int load = 0; load < WORKLOAD_COUNT; load++) {
            const workload_row *row = &workloads[load];
            for (int turn = 0; turn < row->texts; turn++)
                *statement_of(h, i, row, turn) = bench_hand_prepare(h->db[i], row->sql[turn]);
        }
    }
}

static void hand_close(home *h) {
    for (int i = 0; i < THREADS_MAX && h->db[i] != NULL; i++) {
        for (int k = 0; k < WORKLOAD_COUNT * TEXTS_MAX; k++) {
            bench_sqlite(h->db[i], sqlite3_finalize(h->statement[i][k]), SQLITE_OK,
                         "sqlite3_finalize");
        }
        free(h->statement[i]);
        bench_sqlite(NULL, sqlite3_close(h->db[i]), SQLITE_OK, "sqlite3_close");
    }
}

/*  Opens what the columns need; the pool always, since its settings are everyone's. */
static void open_all(const run_options *o, home *homes) {
    const bool defaults = o->common.defaults;
    bench_settings settings, other;
    bool used[COLUMN_COUNT] = {false};
    memset(&settings, 0, sizeof settings);
    base_make(o->base);
    used[POOL] = true;
    for (int c = 0; c < COLUMN_COUNT; c++) {
        if (has_column(o, c)) used[systems[c].home] = true;
    }
    for (int pass = 0; pass < 2; pass++) { /* pools first */
        for (int c = 0; c < COLUMN_COUNT; c++) {
            const system_column *s = &systems[c];
            home *h = &homes[c];
            char name[64];
            if (!used[c] || s->made_of == NO_DATABASE || (s->made_of == BY_POOL) != (pass == 0))
                continue;
            (void)snprintf(name, sizeof name, "%s.db", s->name);
            bench_database_copy("base.db", name);
            if (s->made_of == BY_POOL) {
                h->pool = bench_variant_open(name, (bench_variant)s->variant, o->grid.threads_max,
                                             defaults);
                other = bench_pool_warm(h->pool, o->grid.threads_max);
                if (c == POOL) settings = other;
                bench_settings_compare(&settings, &other);
            } else if (s->made_of == BY_TEXTBOOK) {
                h->textbook = bench_textbook_open(name, o->grid.threads_max,
                                                  defaults ? NULL : &settings, NULL);
                bench_textbook_warm(h->textbook);
            } else {
                hand_open(h, name, defaults ? NULL : &settings, o->grid.threads_max);
            }
        }
    }
    bench_settings_print(defaults ? "sqlpool's readers" : "every connection", &settings);
    if (defaults && used[HAND]) {
        other = bench_settings_read(homes[HAND].db[0]);
        bench_settings_print("hand-written and textbook", &other);
    }
}

static void close_all(home *homes) {
    for (int c = 0; c < COLUMN_COUNT; c++) {
        hand_close(&homes[c]);
        if (homes[c].textbook != NULL) bench_textbook_close(homes[c].textbook);
        if (homes[c].pool != NULL) bench_pool_close(homes[c].pool);
    }
}

/*------------------------------------------------------------------------------
 * Slices
 *----------------------------------------------------------------------------*/

/*  One system, one workload, one number of threads, one time slice. */
typedef struct slice {
    const home *home;
    worker *workers;
    const system_column *system;
    const workload_row *row;
    batch_fn batch;
    int64_t slice_ns;
    long batches; /* this many per thread instead of a time, if not 0 */
} slice;

static void slice_thread(void *context, int thread, bench_team *team) {
    const slice *s = context;
    worker *w = &s->workers[thread];
    const int batch = s->row->batch;
    int64_t opened, now, cpu;
    long done = 0;
    if (s->system->enter != NULL) s->system->enter(s->home, w);
    /* Caches and branch predictors, untimed; one operation where instructions are counted. */
    s->batch(s->home, w, s->row, s->batches > 0 ? 1 : batch / 5);
    opened = bench_gate(team);
    cpu = bench_cpu_ns();
    do {
        s->batch(s->home, w, s->row, batch);
        done++;
        now = bench_now_ns();
    } while (s->batches > 0 ? done < s->batches : now - opened < s->slice_ns);
    w->rate = (double)done * batch * 1e9 / (double)(now - opened);
    w->cpu_ns = (double)(bench_cpu_ns() - cpu) / ((double)done * batch);
    if (s->system->leave != NULL) s->system->leave(s->home, w);
}

/*------------------------------------------------------------------------------
 * The run and its tables
 *----------------------------------------------------------------------------*/

typedef double cell_table[BENCH_GRID_ROWS][COLUMN_COUNT][BENCH_ROUNDS_MAX];

typedef struct results {
    /* [workload][row of the table][column][round] */
    cell_table rates[WORKLOAD_COUNT];
    cell_table cpu_ns[WORKLOAD_COUNT];
} results;

/*  Runs every cell once per round. The systems of one row run one after the other, so that the
    sides of a ratio are close in time; the order is drawn anew for each row and round. */
static void run_row(const run_options *o, const home *homes, bench_team *team, worker *workers,
                    results *r, uint64_t *random, int round, int load, int row) {
    const int threads = o->grid.row_threads[row];
    int order[COLUMN_COUNT];
    for (int c = 0; c < COLUMN_COUNT; c++) order[c] = c;
    bench_shuffle(random, order, COLUMN_COUNT);
    for (int k = 0; k < COLUMN_COUNT; k++) {
        const int c = order[k];
        slice s;
        double rate = 0.0, cpu_ns = 0.0;
        if (!has_cell(o, load, c)) continue;
        s.home = &homes[systems[c].home];
        s.workers = workers;
        s.system = &systems[c];
        s.row = &workloads[load];
        s.batch = batch_of(load, c);
        /* Threads that share a core need several turns each for a fair picture. */
        s.slice_ns =
            (int64_t)o->grid.slice_ms * 1000000 * ((threads + bench_cpus() - 1) / bench_cpus());
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

static void print_head(const run_options *o, int load, const char *text) {
    (void)printf("\n%s  %s: %s\n%8s", workloads[load].name, workloads[load].text, text, "threads");
    for (int c = 0; c < COLUMN_COUNT; c++) {
        if (has_cell(o, load, c)) (void)printf(" %10s", systems[c].name);
    }
    (void)printf("\n");
}

static void print_values(const run_options *o, int load, const char *text, cell_table cells,
                         double scale) {
    print_head(o, load, text);
    for (int row = 0; row < o->grid.rows; row++) {
        (void)printf("%8d", o->grid.row_threads[row]);
        for (int c = 0; c < COLUMN_COUNT; c++) {
            if (!has_cell(o, load, c)) continue;
            (void)printf(" %10.1f", bench_median(cells[row][c], o->common.rounds) * scale);
        }
        (void)printf("\n");
    }
}

/*  Each cell as a multiple of `base`; inverse: of its time instead of its rate. */
static void print_ratios(const run_options *o, int load, const char *text, cell_table cells,
                         int base, bool inverse) {
    if (!has_cell(o, load, base)) return;
    print_head(o, load, text);
    for (int row = 0; row < o->grid.rows; row++) {
        (void)printf("%8d", o->grid.row_threads[row]);
        for (int c = 0; c < COLUMN_COUNT; c++) {
            const double *a = cells[row][c], *b = cells[row][base];
            if (!has_cell(o, load, c)) continue;
            (void)printf(" %10.3f",
                         bench_median_ratio(inverse ? b : a, inverse ? a : b, o->common.rounds));
        }
        (void)printf("\n");
    }
}

static void print_tables(const run_options *o, results *r, int load) {
    bool any = false;
    for (int c = 0; c < COLUMN_COUNT; c++) any = any || has_cell(o, load, c);
    if (!any) return;
    if (load == W1) {
        print_values(o, load, "ns of processor time per pair", r->cpu_ns[load], 1.0);
        print_ratios(o, load, "time in uncontended mutex pairs (mutex = 1), lower is better",
                     r->rates[load], MUTEX, true);
        return;
    }
    print_values(o, load, "thousands per second, all threads together", r->rates[load], 0.001);
    print_ratios(o, load, "rate as a multiple of hand-written autocommit (hand = 1)",
                 r->rates[load], HAND, false);
    if (load == W2 || load == W8) {
        print_ratios(o, load, "rate as a multiple of the preparing pool (textbook = 1)",
                     r->rates[load], TEXTBOOK, false);
    }
    print_values(o, load, "ns of processor time per operation", r->cpu_ns[load], 1.0);
}

static void print_list(const char *name, const double *values, int count) {
    (void)printf(",\"%s\":[", name);
    for (int i = 0; i < count; i++) (void)printf("%s%.1f", i > 0 ? "," : "", values[i]);
    (void)printf("]");
}

static void print_json(const run_options *o, results *r, int load) {
    const int n = o->common.rounds;
    for (int row = 0; row < o->grid.rows; row++) {
        for (int c = 0; c < COLUMN_COUNT; c++) {
            const double *rates = r->rates[load][row][c];
            if (!has_cell(o, load, c)) continue;
            (void)printf("{\"workload\":\"%s\",\"settings\":\"%s\",\"system\":\"%s\","
                         "\"threads\":%d,\"ops_per_s\":%.1f,\"cpu_ns\":%.2f",
                         workloads[load].name, o->common.defaults ? "defaults" : "same",
                         systems[c].name, o->grid.row_threads[row], bench_median(rates, n),
                         bench_median(r->cpu_ns[load][row][c], n));
            if (has_cell(o, load, HAND)) {
                (void)printf(",\"times_hand\":%.4f",
                             bench_median_ratio(rates, r->rates[load][row][HAND], n));
            }
            print_list("rates", rates, n);
            print_list("cpu", r->cpu_ns[load][row][c], n);
            (void)printf("}\n");
        }
    }
}

/*  A goal on the rate of column a as a multiple of column b's, where both were measured. */
static void ratio_goal(const run_options *o, const results *r, int load, int row, int a, int b,
                       const char *what, const char *relation, double goal) {
    char text[80];
    if (!has_cell(o, load, a) || !has_cell(o, load, b)) return;
    (void)snprintf(text, sizeof text, "%s, threads %d: %s", workloads[load].name,
                   o->grid.row_threads[row], what);
    bench_goal(text,
               bench_median_ratio(r->rates[load][row][a], r->rates[load][row][b], o->common.rounds),
               relation, goal);
}

static void print_goals(const run_options *o, const results *r) {
    (void)printf("\n");
    for (int row = 0; row < o->grid.rows; row++) {
        const bool is_one = o->grid.row_threads[row] == 1;
        /* A pair's time in mutex pairs is the ratio of the rates the other way round. */
        if (is_one) {
            ratio_goal(o, r, W1, row, MUTEX, POOL, "acquire+release in mutex pairs", "<=", 2.0);
            ratio_goal(o, r, W2, row, POOL, LIMIT, "sqlpool to the limit", ">=", 0.8);
        }
        ratio_goal(o, r, W2, row, POOL, HAND, "sqlpool to hand-written", ">=", is_one ? 4.0 : 1.5);
        ratio_goal(o, r, W3, row, POOL, HAND, "sqlpool to hand-written", ">=", 0.97);
        ratio_goal(o, r, W4, row, POOL, HAND, "sqlpool to hand-written", ">=", 0.97);
        ratio_goal(o, r, W8, row, POOL, TEXTBOOK, "sqlpool to the preparing pool", ">=", 3.0);
        ratio_goal(o, r, W8, row, POOL, PREPARING, "sqlpool to preparing in a transaction",
                   ">=", 3.0);
    }
}

static void usage(void) {
    (void)printf("bench [--dir DIR] [--rounds N] [--slice-ms MS] [--seed N] [--threads 1,2,4,8] "
                 "[--workloads LIST]\n"
                 "      [--columns LIST] [--defaults] [--ops N] [--base FILE] [--json]\n"
                 "workloads:\n");
    for (int i = 0; i < WORKLOAD_COUNT; i++)
        (void)printf("  %-9s %s\n", workloads[i].name, workloads[i].text);
    (void)printf("columns:\n");
    for (int c = 0; c < COLUMN_COUNT; c++)
        (void)printf("  %-9s %s\n", systems[c].name, systems[c].text);
}

static bool parse(run_options *o, int argc, char **argv, int *i) {
    return bench_option_grid(argc, argv, i, &o->common, &o->grid) ||
           bench_option_number(argc, argv, i, "--ops", 1, 1000000, &o->batches) ||
           bench_option_text(argc, argv, i, "--workloads", &o->workloads) ||
           bench_option_text(argc, argv, i, "--base", &o->base);
}

int main(int argc, char **argv) {
    run_options o;
    home *homes = bench_alloc(sizeof *homes * COLUMN_COUNT);
    worker *workers = bench_alloc(sizeof *workers * THREADS_MAX);
    results *r = bench_alloc(sizeof *r);
    bench_team *team;
    uint64_t random;
    memset(&o, 0, sizeof o);
    o.common = bench_options_default(17);
    o.grid.slice_ms = 10;
    o.grid.threads = "1,2,4,8";
    for (int i = 1; i < argc; i++) {
        if (parse(&o, argc, argv, &i)) continue;
        usage();
        return strcmp(argv[i], "--help") == 0 ? 0 : 2;
    }
    bench_grid_rows(&o.grid, THREADS_MAX);
    value_sums_make();
    bench_folder_make(o.common.dir);
    bench_header(o.common.defaults ? "cost of an operation, each side with its own defaults"
                                   : "cost of an operation, the same settings for all",
                 &o.common);
    open_all(&o, homes);
    for (int i = 0; i < THREADS_MAX; i++) {
        workers[i].thread = i;
        workers[i].random = o.common.seed * 1000 + (uint64_t)i;
        bench_posix(pthread_mutex_init(&workers[i].mutex, NULL), "pthread_mutex_init");
    }
    team = bench_team_start(o.grid.threads_max);
    (void)printf("   %d items; slices of %ld ms, longer with more threads than CPUs\n", BENCH_ITEMS,
                 o.grid.slice_ms);
    for (int c = 0; c < COLUMN_COUNT; c++) {
        if (has_column(&o, c)) (void)printf("   %-9s %s\n", systems[c].name, systems[c].text);
    }
    (void)fflush(stdout);

    random = o.common.seed;
    for (int round = 0; round < o.common.rounds; round++) {
        for (int load = 0; load < WORKLOAD_COUNT; load++) {
            for (int row = 0; row < o.grid.rows; row++)
                run_row(&o, homes, team, workers, r, &random, round, load, row);
        }
    }

    for (int load = 0; load < WORKLOAD_COUNT; load++) print_tables(&o, r, load);
    if (!o.common.defaults) print_goals(&o, r);
    for (int load = 0; o.common.json && load < WORKLOAD_COUNT; load++) print_json(&o, r, load);
    bench_team_end(team);
    close_all(homes);
    for (int i = 0; i < THREADS_MAX; i++)
        bench_posix(pthread_mutex_destroy(&workers[i].mutex), "pthread_mutex_destroy");
    free(r);
    free(workers);
    free(homes);
    bench_folder_remove();
    return 0;
}
