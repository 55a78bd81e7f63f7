/*  bulk.c - many rows of one table: what a load leaves is what the same rows leave when they are written
    one by one, each refused row is told once, and after any failure next_row is where to go on.
    SPDX-License-Identifier: MIT OR Unlicense

    Most tests run a trial: rows made by a function of their number go into one database by
    sqlpool_bulk_row() and into another by sqlpool_exec(), and everything is compared: content byte by
    byte, rowids, refused rows with code and message, changes. The memory of each row is overwritten
    as soon as the call that took it has returned. Memory and disk are the simulator's.

    bulk             all tests
    bulk tiny BYTES  a load with so small a batch, which must not take the program with it
    bulk kill PATH   loads until it is killed */
#define _GNU_SOURCE
#include "bulk.h"

#ifndef SQLITE_CONSTRAINT_DATATYPE /* before SQLite 3.37 */
#define SQLITE_CONSTRAINT_DATATYPE (SQLITE_CONSTRAINT | (12 << 8))
#endif

/*  A value of any type, the odd ones more often than their share. */
static sqlpool_value any_value(uint64_t seed, int64_t row, int column, room *r) {
    static const double doubles[] = {0.0, -0.0, 0.1, 5e-324, 1e308, HUGE_VAL, -9007199254740992.0};
    static const int64_t integers[] = {0, 1, -1, 127, 32768, INT32_MIN, INT64_MAX, INT64_MIN};
    static const char odd[] = "a\0b \xc3\xa4 \xf0\x9f\x98\x80 'quoted' \"\n";
    uint64_t dice = seed * 1000003 + (uint64_t)row * 1009 + (uint64_t)column;
    char bytes[400];
    size_t i, size;
    switch (roll(&dice, 9)) {
    case 0:
        return sqlpool_value_null(NULL);
    case 1:
        return sqlpool_value_int64(integers[roll(&dice, LENGTH(integers))]);
    case 2:
        return sqlpool_value_int64((int64_t)roll(&dice, UINT64_MAX));
    case 3:
        return sqlpool_value_double(doubles[roll(&dice, LENGTH(doubles))]);
    case 4:
        return in_room(r, roll(&dice, 2) == 0, odd, sizeof odd - 1);
    case 5: { /* nothing, by either pointer */
        sqlpool_value none = in_room(r, roll(&dice, 2) == 0, NULL, 0);
        if (roll(&dice, 2) == 0) none.as.blob = NULL;
        return none;
    }
    default:
        size = (size_t)roll(&dice, roll(&dice, 4) == 0 ? sizeof bytes : 12);
        for (i = 0; i < size; i++) bytes[i] = (char)roll(&dice, 256);
        if (roll(&dice, 2) == 0) return in_room(r, false, bytes, size);
        for (i = 0; i < size; i++) bytes[i] = (char)(' ' + (bytes[i] & 63));
        return in_room(r, true, bytes, size);
    }
}
static void any_row(const source *s, int64_t row, room *r) {
    int c;
    for (c = 0; c < s->columns; c++) r->values[c] = any_value(s->seed, row, c, r);
}
/*---- a load and the same row by row ----*/

typedef struct trial {
    const char *what;
    const char *schema; /* that can run again */
    const char *sql;    /* of one row, for sqlpool_exec() */
    sqlpool_bulk_config load;
    source source;
    const char *tables[4]; /* whose content is compared */
} trial;

/*  Two databases: one is loaded, the other written row by row. */
typedef struct sides {
    sqlpool *loaded, *plain;
} sides;

static bool open_sides(sides *s, const sqlpool_config *config) {
    s->loaded = open_pool(next_file(), config, NULL);
    s->plain = open_pool(next_file(), config, NULL);
    return s->loaded != NULL && s->plain != NULL;
}
static void close_sides(sides *s) {
    close_pool(s->loaded);
    close_pool(s->plain);
    check_memory();
}
static bool is_same_cell(sqlpool_rows *a, sqlpool_rows *b, int column) {
    const sqlpool_value x = sqlpool_rows_value(a, column), y = sqlpool_rows_value(b, column);
    return is_same_value(&x, &y);
}
/*  The same query on both sides gives the same rows. */
static void check_same(const sides *s, const char *what, const char *sql) {
    sqlpool_rows a, b;
    int64_t row = 0;
    bool has_a, has_b;
    CHECK_OK(sqlpool_query(s->loaded, &a, sql, SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_query(s->plain, &b, sql, SQLPOOL_NO_ARGS, &err), &err);
    for (;; row++) {
        int c;
        has_a = sqlpool_rows_next(&a);
        has_b = sqlpool_rows_next(&b);
        if (!has_a || !has_b) break;
        for (c = 0; c < sqlpool_rows_column_count(&a); c++) {
            if (is_same_cell(&a, &b, c)) continue;
            test_fail(__FILE__, __LINE__,
                      "%s: %s: row %" PRId64 ", column %d: loaded %s, row by row %s", what, sql,
                      row, c, sqlpool_rows_is_null(&a, c) ? "NULL" : sqlpool_rows_text(&a, c),
                      sqlpool_rows_is_null(&b, c) ? "NULL" : sqlpool_rows_text(&b, c));
            has_a = has_b = false;
            break;
        }
        if (!has_a) break;
    }
    if (has_a != has_b)
        test_fail(__FILE__, __LINE__, "%s: %s: %s rows than row by row, which leaves %" PRId64,
                  what, sql, has_a ? "more" : "fewer", row);
    (void)sqlpool_rows_close(&a, NULL);
    (void)sqlpool_rows_close(&b, NULL);
}
static void check_tables(const sides *s, const trial *t) {
    int i;
    for (i = 0; i < LENGTH(t->tables) && t->tables[i] != NULL; i++) {
        char sql[300];
        (void)snprintf(sql, sizeof sql, "SELECT * FROM %s", t->tables[i]);
        PART(check_same(s, t->what, sql));
    }
}

/*  The rows one by one; stops at the first refused one if so told. */
/*  One row in a transaction of its own: what a statement leaves that SQLite does not undo goes too. */
typedef struct single_row {
    const trial *t;
    const sqlpool_value *values;
    sqlpool_result result;
} single_row;
static int write_plain_row(sqlpool_conn *conn, void *user, int attempt) {
    single_row *one = (single_row *)user;
    (void)attempt;
    return sqlpool_conn_exec(conn, one->t->sql, one->values, one->t->source.columns, &one->result,
                             NULL);
}
static void run_plain(sqlpool *pool, const trial *t, bool stops, hearing *h, int64_t *changes) {
    room *r = new_room();
    int64_t row;
    *changes = 0;
    for (row = 0; row < t->source.count && !(stops && h->count > 0); row++) {
        single_row one = {t, r->values, {0, 0, 0}};
        make_row(&t->source, row, r);
        if (sqlpool_transaction(pool, SQLPOOL_WRITE, write_plain_row, &one, &err) == SQLPOOL_OK) {
            *changes += one.result.changes;
        } else {
            note_told(h, row, &err);
        }
    }
    free(r);
}

static void check_told(const trial *t, const hearing *a, const hearing *b) {
    int i;
    for (i = 0; i < a->count || i < b->count; i++) {
        const told *x = &a->list[i], *y = &b->list[i];
        if (i < a->count && i < b->count && x->row == y->row && x->result == y->result &&
            x->code == y->code && strcmp(x->why, y->why) == 0)
            continue;
        test_fail(__FILE__, __LINE__,
                  "%s: refused row number %d is %" PRId64 " with %d, \"%s\"; row by row it is "
                  "%" PRId64 " with %d, \"%s\"",
                  t->what, i, i < a->count ? x->row : -1, x->result, x->why,
                  i < b->count ? y->row : -1, y->result, y->why);
        return;
    }
}

/*  Loads what was written row by row; with all refused rows told. */
static void load_and_compare(const sides *s, const trial *t, int64_t batch_bytes,
                             const hearing *plain, int64_t changes) {
    hearing *h = new_hearing(&t->source);
    sqlpool_bulk_config config = t->load;
    sqlpool_bulk_progress progress;
    config.user = h;
    config.refused_fn = on_refused;
    config.progress_fn = on_progress;
    if (batch_bytes != 0) config.batch_bytes = batch_bytes;
    if (sqlpool_script(s->loaded, t->schema, -1, &err) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", t->what, err.message);
    if (run_load(s->loaded, &config, &t->source, &progress, &err) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", t->what, err.message);
    check_told(t, h, plain);
    check_tables(s, t);
    if (progress.rows != t->source.count || progress.next_row != t->source.count ||
        progress.refused != plain->count || progress.changes != changes)
        test_fail(__FILE__, __LINE__,
                  "%s: %" PRId64 " rows, next %" PRId64 " of %" PRId64 ", %" PRId64
                  " refused of %d, "
                  "%" PRId64 " changes of %" PRId64,
                  t->what, progress.rows, progress.next_row, t->source.count, progress.refused,
                  plain->count, progress.changes, changes);
    if (h->last.next_row != (t->source.count > 0 ? t->source.count : 0))
        test_fail(__FILE__, __LINE__, "%s: the last report is at row %" PRId64, t->what,
                  h->last.next_row);
    free(h);
}

/*  Nobody wants to hear of refused rows: the load ends at the first one. */
static void stop_and_compare(const sides *s, const trial *t, int64_t batch_bytes) {
    hearing *plain = new_hearing(&t->source);
    sqlpool_bulk_config config = t->load;
    sqlpool_bulk_progress progress;
    char begin[40];
    int64_t changes;
    int rc;
    if (batch_bytes != 0) config.batch_bytes = batch_bytes;
    (void)sqlpool_script(s->plain, t->schema, -1, NULL);
    (void)sqlpool_script(s->loaded, t->schema, -1, NULL);
    run_plain(s->plain, t, true, plain, &changes);
    rc = run_load(s->loaded, &config, &t->source, &progress, &err);
    if (plain->count == 0) {
        if (rc != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "%s: %s", t->what, err.message);
    } else {
        (void)snprintf(begin, sizeof begin, "row %" PRId64 ": ", plain->list[0].row);
        if (rc != plain->list[0].result || err.sqlite_code != plain->list[0].code ||
            progress.next_row != plain->list[0].row || progress.refused != 0 ||
            strncmp(err.message, begin, strlen(begin)) != 0 ||
            strncmp(err.message + strlen(begin), plain->list[0].why, strlen(plain->list[0].why)) !=
                0)
            test_fail(__FILE__, __LINE__,
                      "%s: stopped at %" PRId64 " with %d: %s; row by row at %" PRId64
                      " with %d: %s",
                      t->what, progress.next_row, rc, err.message, plain->list[0].row,
                      plain->list[0].result, plain->list[0].why);
    }
    if (progress.changes != changes)
        test_fail(__FILE__, __LINE__, "%s: %" PRId64 " changes of %" PRId64, t->what,
                  progress.changes, changes);
    check_tables(s, t);
    free(plain);
}

/*  A trial without refused rows in databases of its own. */
static void compare(const trial *t, const sqlpool_config *config) {
    hearing *plain = new_hearing(&t->source);
    sides s;
    int64_t changes;
    CHECK(open_sides(&s, config));
    CHECK_OK(sqlpool_script(s.plain, t->schema, -1, &err), &err);
    run_plain(s.plain, t, false, plain, &changes);
    if (plain->count != 0) test_fail(__FILE__, __LINE__, "%s: %s", t->what, plain->list[0].why);
    load_and_compare(&s, t, 0, plain, changes);
    free(plain);
    close_sides(&s);
}

/*---- inserts ----*/

/*  Names, a table and a statement for so many columns. */
typedef struct wide {
    char names[MOST_COLUMNS][8];
    const char *columns[MOST_COLUMNS];
    char schema[MOST_COLUMNS * 8 + 60], sql[MOST_COLUMNS * 2 + 60];
} wide;
static wide *new_wide(int columns) {
    wide *w = (wide *)calloc(1, sizeof *w);
    size_t at, to;
    int i;
    if (w == NULL) abort();
    at = (size_t)snprintf(w->schema, sizeof w->schema, "DROP TABLE IF EXISTS t; CREATE TABLE t(");
    to = (size_t)snprintf(w->sql, sizeof w->sql, "INSERT INTO t VALUES(");
    for (i = 0; i < columns; i++) {
        (void)snprintf(w->names[i], sizeof w->names[i], "c%d", i);
        w->columns[i] = w->names[i];
        at += (size_t)snprintf(w->schema + at, sizeof w->schema - at, "%s%s", i > 0 ? "," : "",
                               w->names[i]);
        to += (size_t)snprintf(w->sql + to, sizeof w->sql - to, "%s", i > 0 ? ",?" : "?");
    }
    (void)snprintf(w->schema + at, sizeof w->schema - at, ")");
    (void)snprintf(w->sql + to, sizeof w->sql - to, ")");
    return w;
}
static trial wide_trial(const wide *w, int columns, int64_t count, const char *what) {
    trial t;
    memset(&t, 0, sizeof t);
    t.what = what;
    t.schema = w->schema;
    t.sql = w->sql;
    t.load.table = "t";
    t.load.columns = w->columns;
    t.load.column_count = columns;
    t.source.columns = columns;
    t.source.count = count;
    t.source.make = any_row;
    t.source.seed = (uint64_t)columns * 7919 + (uint64_t)count;
    t.tables[0] = "t ORDER BY rowid";
    return t;
}
static void compare_widths(const sqlpool_config *config, const int *columns, int count) {
    static const int64_t counts[] = {0, 1, 7, 8, 9, 63, 64, 65, 72, 73, 1000};
    sides s;
    int c, n;
    CHECK(open_sides(&s, config));
    for (c = 0; c < count; c++) {
        wide *w = new_wide(columns[c]);
        for (n = 0; n < LENGTH(counts); n++) {
            char what[60];
            trial t;
            hearing *plain;
            int64_t changes;
            if (columns[c] > 100 && counts[n] > 100) continue;
            (void)snprintf(what, sizeof what, "%d columns, %d rows", columns[c], (int)counts[n]);
            t = wide_trial(w, columns[c], counts[n], what);
            plain = new_hearing(&t.source);
            (void)sqlpool_script(s.plain, t.schema, -1, NULL);
            run_plain(s.plain, &t, false, plain, &changes);
            CHECK_INT(plain->count, 0);
            CHECK_INT(changes, counts[n]);
            load_and_compare(&s, &t, 0, plain, changes);
            free(plain);
        }
        free(w);
    }
    close_sides(&s);
}
TEST(all_types_in_all_widths) {
    static const int columns[] = {1, 3, 100, 500, 999};
    const sqlpool_config config = plain_config();
    compare_widths(&config, columns, LENGTH(columns));
}

/*  Ten parameters a statement are allowed there. */
TEST(untrusted_has_few_parameters) {
    static const int columns[] = {1, 3, 5, 6, 10};
    sqlpool_config config = plain_config();
    sqlpool_bulk *bulk = NULL;
    sqlpool *pool;
    wide *w = new_wide(11);
    trial t = wide_trial(w, 11, 1, "11 columns");
    config.untrusted = true;
    compare_widths(&config, columns, LENGTH(columns));
    pool = open_pool(next_file(), &config, w->schema);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_bulk_begin(pool, &t.load, &bulk, &err), SQLITE_ERROR, &err);
    CHECK(bulk == NULL);
    close_pool(pool);
    free(w);
    check_memory();
}

/*  It is about few statements: 64 rows each, then 8, then 1; as many as SQLite's limit allows. */
static void count_statements(bool untrusted, int columns, int64_t rows, int64_t statements) {
    sqlpool_config config = plain_config();
    wide *w = new_wide(columns);
    trial t = wide_trial(w, columns, rows, "shared");
    sqlpool_bulk_progress progress;
    sqlpool_stats before;
    sqlpool *pool;
    config.untrusted = untrusted;
    pool = open_pool(next_file(), &config, w->schema);
    CHECK(pool != NULL);
    t.load.batch_ms = 100000;
    t.load.batch_bytes = 10 << 20;
    before = stats_of(pool);
    CHECK_OK(run_load(pool, &t.load, &t.source, &progress, &err), &err);
    CHECK_INT(stats_of(pool).statements - before.statements, statements);
    CHECK_INT(stats_of(pool).commits - before.commits, 1);
    free(w);
    close_pool(pool);
    check_memory();
}
TEST(rows_share_statements) {
    PART(count_statements(false, 1, 1000, 15 + 5));
    PART(count_statements(false, 15, 137, 2 + 1 + 1));
    PART(count_statements(false, 100, 20, 2 + 2));
    PART(count_statements(false, 400, 5, 2 + 1));
    PART(count_statements(false, 999, 3, 3));
    PART(count_statements(true, 1, 1000, 100));
    PART(count_statements(true, 3, 10, 3 + 1));
    PART(count_statements(true, 6, 10, 10));
}

static trial abc_trial(const char *what, const char *schema) {
    trial t;
    memset(&t, 0, sizeof t);
    t.what = what;
    t.schema = schema;
    t.sql = "INSERT INTO t(a, b, c) VALUES(?, ?, ?)";
    t.load.table = "t";
    t.load.columns = abc;
    t.load.column_count = 3;
    t.source = plain_source(3, 200);
    t.tables[0] = "t ORDER BY rowid";
    return t;
}

TEST(batches_of_any_size) {
    static const int64_t sizes[] = {8, 24, 40, 71, 72, 73, 80, 100, 144, 150, 1000, 4096, 65536};
    const sqlpool_config config = plain_config();
    trial t = abc_trial("sizes", ABC);
    hearing *plain = new_hearing(&t.source);
    sides s;
    int64_t changes;
    int i;
    t.source.make = any_row;
    CHECK(open_sides(&s, &config));
    CHECK_OK(sqlpool_script(s.plain, t.schema, -1, &err), &err);
    run_plain(s.plain, &t, false, plain, &changes);
    for (i = 0; i < LENGTH(sizes); i++) PART(load_and_compare(&s, &t, sizes[i], plain, changes));
    free(plain);
    close_sides(&s);
}

/*  In a process of its own: it must not end with an assertion. */
static int tiny(const char *bytes) {
    const sqlpool_config config = plain_config();
    sqlpool *pool = open_pool(next_file(), &config, ABC);
    trial t = abc_trial("tiny", ABC);
    sqlpool_bulk_progress progress;
    if (pool == NULL) return 1;
    t.load.batch_bytes = strtoll(bytes, NULL, 10);
    if (run_load(pool, &t.load, &t.source, &progress, &err) != SQLPOOL_OK) {
        printf("%s\n", err.message);
        return 1;
    }
    if (ask(pool, "SELECT count(DISTINCT a) FROM t") != t.source.count) return 1;
    close_pool(pool);
    check_memory();
    return test_failed_now;
}
TEST(batches_of_next_to_nothing) {
    static const char *const sizes[] = {"1", "7", "16", "23"};
    int i;
    for (i = 0; i < LENGTH(sizes); i++) {
        char said[2000];
        const int status = sim_run_self("tiny", sizes[i], said, sizeof said);
        if (status != 0)
            test_fail(__FILE__, __LINE__, "batch_bytes %s: exit status %d: %s", sizes[i], status,
                      said);
    }
}

/*  Rows bigger than a batch between small ones. */
static void big_row(const source *s, int64_t row, room *r) {
    plain_row(s, row, r);
    if (row % 7 == 3) {
        const size_t size = row == 10 ? (size_t)3 << 20 : (size_t)(row * 1000);
        memset(r->bytes + r->used, (int)row, size);
        r->values[1] = SQLPOOL_BLOB(r->bytes + r->used, size);
        r->used += size;
    }
}
TEST(a_row_bigger_than_the_batch) {
    static const int64_t sizes[] = {0, 500, 20000};
    const sqlpool_config config = plain_config();
    trial t = abc_trial("big", ABC);
    int i;
    t.source = plain_source(3, 40);
    t.source.make = big_row;
    for (i = 0; i < LENGTH(sizes); i++) {
        t.load.batch_bytes = sizes[i];
        PART(compare(&t, &config));
    }
}

static void slow_function(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    sleep_ms(1);
    sqlite3_result_value(context, values[0]);
}
static int length_limit, page_limit;
static int on_connect(void *user, const sqlpool_conn *conn) {
    sqlpool_conn own = *conn;
    sqlite3 *db = sqlpool_conn_db(&own);
    (void)user;
    if (length_limit > 0) (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, length_limit);
    if (page_limit > 0) {
        char sql[60];
        (void)snprintf(sql, sizeof sql, "PRAGMA max_page_count = %d", page_limit);
        (void)sqlite3_exec(db, sql, NULL, NULL, NULL);
    }
    return sqlite3_create_function(db, "slow", 1, SQLITE_UTF8, NULL, slow_function, NULL, NULL);
}

#define SLOW ABC "; CREATE TRIGGER slow_in AFTER INSERT ON t BEGIN SELECT slow(NEW.a); END"
static sqlpool *nosy_pool;
static int64_t seen_wrong;
/*  What a report calls dealt with can be read. */
static void look(const sqlpool_bulk_progress *progress) {
    if (ask(nosy_pool, "SELECT count(*) FROM t") != progress->next_row - progress->refused)
        seen_wrong++;
}
TEST(a_slow_batch_is_committed_in_parts) {
    sqlpool_config config = plain_config();
    trial t = abc_trial("slow", SLOW);
    hearing *h = new_hearing(&t.source);
    sqlpool_bulk_progress progress;
    sqlpool_stats before;
    sqlpool *pool;
    config.events.connect_fn = on_connect;
    pool = open_pool(next_file(), &config, SLOW);
    CHECK(pool != NULL);
    t.source.count = 300;
    t.load.batch_ms = 1;
    t.load.user = h;
    t.load.progress_fn = on_progress;
    h->on_progress = look;
    nosy_pool = pool;
    seen_wrong = 0;
    before = stats_of(pool);
    CHECK_OK(run_load(pool, &t.load, &t.source, &progress, &err), &err);
    CHECK_INT(seen_wrong, 0);
    CHECK_INT(h->reports, 4 + 5 + 4); /* a statement each: 4 of 64, 5 of 8, 4 of 1 */
    CHECK_INT(stats_of(pool).commits - before.commits, 4 + 5 + 4);
    CHECK_INT(ask(pool, "SELECT count(*) = 300 AND sum(a = rowid - 1) = 300 FROM t"), 1);
    free(h);
    close_pool(pool);
    check_memory();
}

/*---- rows that are there already, updates, deletes ----*/

/*  Keys that repeat, in the last one or two columns; some are NULL. */
static void key_row(const source *s, int64_t row, room *r) {
    uint64_t dice = s->seed + (uint64_t)row;
    const int keys = s->pattern;
    int c;
    for (c = 0; c < s->columns - keys; c++) r->values[c] = any_value(s->seed, row, c, r);
    for (; c < s->columns; c++) {
        const uint64_t key = roll(&dice, keys == 1 ? 60 : 8);
        r->values[c] = roll(&dice, 20) == 0 ? sqlpool_value_null(NULL)
                       : key % 2 == 0       ? sqlpool_value_int64((int64_t)key)
                                            : text_in(r, "key %lld", (int64_t)key);
    }
}
#define KEYED(keys) \
    "DROP TABLE IF EXISTS t; CREATE TABLE t(a, b, c, UNIQUE(" keys "));" \
    "INSERT INTO t(a, b, c) WITH RECURSIVE n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n " \
    "WHERE i < 29) SELECT 'old', CASE i % 8 % 2 WHEN 0 THEN i % 8 ELSE 'key ' || (i % 8) END, " \
    "CASE i % 2 WHEN 0 THEN i ELSE 'key ' || i END FROM n WHERE true ON CONFLICT DO NOTHING;" \
    "INSERT INTO t(a, b, c) VALUES('none', NULL, NULL), ('none', 2, NULL)"
/*  `names` are the columns of the load, the last `keys` of them the key. */
static void compare_keyed(const char *schema, const char *sql, const char *const *names,
                          int columns, int keys, int action, int conflict) {
    const sqlpool_config config = plain_config();
    trial t = abc_trial(sql, schema);
    hearing *plain;
    sides s;
    int64_t changes;
    int64_t size;
    t.sql = sql;
    t.load.columns = names;
    t.load.column_count = t.source.columns = columns;
    t.load.key_count = action == SQLPOOL_BULK_DELETE ? 0 : keys;
    t.load.action = action;
    t.load.conflict = conflict;
    t.source.count = 300;
    t.source.make = key_row;
    t.source.pattern = keys;
    t.source.seed = (uint64_t)(keys * 100 + action * 10 + conflict);
    plain = new_hearing(&t.source);
    CHECK(open_sides(&s, &config));
    CHECK_OK(sqlpool_script(s.plain, t.schema, -1, &err), &err);
    run_plain(s.plain, &t, false, plain, &changes);
    if (plain->count != 0 && conflict != SQLPOOL_CONFLICT_REFUSE)
        test_fail(__FILE__, __LINE__, "%s: %s", t.what, plain->list[0].why);
    for (size = 300; size <= 300000; size *= 10)
        PART(load_and_compare(&s, &t, size, plain, changes));
    free(plain);
    close_sides(&s);
}
#define IN_ABC " INTO t(a, b, c) VALUES(?, ?, ?)"
TEST(rows_that_are_there_already) {
    static const char *const bc[] = {"b", "c"};
    const int insert = SQLPOOL_BULK_INSERT;
    PART(compare_keyed(KEYED("c"), "INSERT" IN_ABC, abc, 3, 1, insert, SQLPOOL_CONFLICT_REFUSE));
    PART(compare_keyed(KEYED("c"), "INSERT OR IGNORE" IN_ABC, abc, 3, 1, insert,
                       SQLPOOL_CONFLICT_IGNORE));
    PART(compare_keyed(KEYED("c"), "INSERT OR REPLACE" IN_ABC, abc, 3, 1, insert,
                       SQLPOOL_CONFLICT_REPLACE));
    PART(compare_keyed(
        KEYED("c"), "INSERT" IN_ABC " ON CONFLICT(c) DO UPDATE SET a = excluded.a, b = excluded.b",
        abc, 3, 1, insert, SQLPOOL_CONFLICT_UPDATE));
    PART(compare_keyed(KEYED("b, c"), "INSERT" IN_ABC, abc, 3, 2, insert, SQLPOOL_CONFLICT_REFUSE));
    PART(compare_keyed(KEYED("b, c"),
                       "INSERT" IN_ABC " ON CONFLICT(b, c) DO UPDATE SET a = excluded.a", abc, 3, 2,
                       insert, SQLPOOL_CONFLICT_UPDATE));
    PART(compare_keyed(KEYED("b, c"),
                       "INSERT INTO t(b, c) VALUES(?, ?) ON CONFLICT(b, c) DO NOTHING", bc, 2, 2,
                       insert, SQLPOOL_CONFLICT_UPDATE));
}
/*  What hangs on a replaced row goes too. */
TEST(a_replaced_row_takes_along_what_hangs_on_it) {
    const sqlpool_config config = plain_config();
    trial t = abc_trial("cascade", "DROP TABLE IF EXISTS child; DROP TABLE IF EXISTS t;"
                                   "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c);"
                                   "CREATE TABLE child(p REFERENCES t ON DELETE CASCADE);"
                                   "INSERT INTO t VALUES(5, 'old', 0), (700, 'old', 0);"
                                   "INSERT INTO child VALUES(5), (5), (700)");
    t.sql = "INSERT OR REPLACE" IN_ABC;
    t.load.conflict = SQLPOOL_CONFLICT_REPLACE;
    t.tables[1] = "child ORDER BY rowid";
    compare(&t, &config);
}
TEST(updates_and_deletes_by_key) {
    static const char *const one[] = {"c"}, *const two[] = {"b", "c"}, *const turned[] = {"c", "b"};
    const int refuse = SQLPOOL_CONFLICT_REFUSE;
    PART(compare_keyed(KEYED("b, c"), "UPDATE t SET a = ?, b = ? WHERE c = ?", abc, 3, 1,
                       SQLPOOL_BULK_UPDATE, refuse));
    PART(compare_keyed(KEYED("b, c"), "UPDATE t SET a = ? WHERE b = ? AND c = ?", abc, 3, 2,
                       SQLPOOL_BULK_UPDATE, refuse));
    PART(compare_keyed(KEYED("b, c"), "DELETE FROM t WHERE c = ?", one, 1, 1, SQLPOOL_BULK_DELETE,
                       refuse));
    PART(compare_keyed(KEYED("b, c"), "DELETE FROM t WHERE b = ? AND c = ?", two, 2, 2,
                       SQLPOOL_BULK_DELETE, refuse));
    PART(compare_keyed(KEYED("b, c"), "DELETE FROM t WHERE c = ? AND b = ?", turned, 2, 2,
                       SQLPOOL_BULK_DELETE, refuse));
}
/*  Affinity and collation of a key are the column's, whether one is compared or many. */
TEST(keys_compare_as_their_column_says) {
    const sqlpool_config config = plain_config();
    static const char *const names[] = {"k"};
    static const char *const types[] = {"INTEGER", "REAL",   "TEXT", "TEXT COLLATE NOCASE",
                                        "BLOB",    "NUMERIC"};
    int i;
    for (i = 0; i < LENGTH(types); i++) {
        char schema[500];
        trial t;
        (void)snprintf(
            schema, sizeof schema,
            "DROP TABLE IF EXISTS t; CREATE TABLE t(k %s); INSERT INTO t VALUES(0), (2), ('4'), "
            "('KEY 1'), ('key 3'), (6.0), (x'36'), (NULL), ('6.0'), ('06'), ('8 '), (10);",
            types[i]);
        t = abc_trial(types[i], schema);
        t.sql = "DELETE FROM t WHERE k = ?";
        t.load.columns = names;
        t.load.column_count = t.source.columns = 1;
        t.load.action = SQLPOOL_BULK_DELETE;
        t.source.make = key_row;
        t.source.pattern = 1;
        t.source.seed = 17;
        t.source.count = 100;
        PART(compare(&t, &config));
        t.load.batch_bytes = 100; /* a key by itself now and then */
        PART(compare(&t, &config));
    }
}
/*  999 parts of a key are an expression as deep as SQLite allows. */
TEST(a_key_of_all_columns_there_may_be) {
    const sqlpool_config config = plain_config();
    wide *w = new_wide(MOST_COLUMNS);
    trial t = wide_trial(w, MOST_COLUMNS, 5, "delete by 999");
    sqlpool *pool = open_pool(next_file(), &config, w->schema);
    sqlpool_bulk_progress progress;
    CHECK(pool != NULL);
    t.source.make = plain_row;
    t.source.columns = 1;
    CHECK_OK(sqlpool_script(pool, "INSERT INTO t(c0) VALUES(1)", -1, &err), &err);
    t.source.columns = MOST_COLUMNS;
    t.source.make = any_row;
    t.load.action = SQLPOOL_BULK_DELETE;
    CHECK_OK(run_load(pool, &t.load, &t.source, &progress, &err), &err);
    CHECK_INT(progress.changes, 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    t.load.action = SQLPOOL_BULK_UPDATE;
    t.load.key_count = MOST_COLUMNS - 1;
    CHECK_OK(run_load(pool, &t.load, &t.source, &progress, &err), &err);
    t.load.action = SQLPOOL_BULK_INSERT;
    t.load.key_count = 0;
    CHECK_OK(run_load(pool, &t.load, &t.source, &progress, &err), &err);
    CHECK_INT(progress.changes, 5);
    free(w);
    close_pool(pool);
    check_memory();
}

/*---- names ----*/

TEST(names_are_quoted) {
    static const char *const names[] = {"select",
                                        "a b",
                                        "x\"y\"\"z",
                                        "\xc3\xa4\xf0\x9f\x98\x80",
                                        "new\nline\ttab",
                                        "it's",
                                        "%s%n%d",
                                        "[x]`y`",
                                        " ",
                                        "a;DROP TABLE t--",
                                        "?1",
                                        "\x01\x7f"};
    static const char *const tables[] = {"table", "my \"own\" 'table'", "\xc3\xa4", "line\nbreak",
                                         "%s%d%%"};
    const sqlpool_config config = plain_config();
    int i, k;
    for (i = 0; i < LENGTH(tables); i++) {
        sqlpool_bulk_config load = {0};
        sqlpool_bulk_progress progress;
        source s = plain_source(LENGTH(names), 70);
        sqlpool *pool = open_pool(next_file(), &config, NULL);
        char *sql = sqlite3_mprintf("CREATE TABLE \"%w\"(", tables[i]);
        int64_t good;
        CHECK(pool != NULL);
        for (k = 0; k < LENGTH(names); k++) {
            char *more = sqlite3_mprintf("%s%s\"%w\"%s", sql, k > 0 ? "," : "", names[k],
                                         k == LENGTH(names) - 1 ? " UNIQUE" : "");
            sqlite3_free(sql);
            sql = more;
        }
        {
            char *more = sqlite3_mprintf("%s)", sql);
            sqlite3_free(sql);
            sql = more;
        }
        CHECK_OK(sqlpool_script(pool, sql, -1, &err), &err);
        sqlite3_free(sql);
        load.table = tables[i];
        load.columns = names;
        load.column_count = LENGTH(names);
        load.name = tables[i];
        s.make = any_row;
        s.seed = (uint64_t)i;
        { /* the last column is the key */
            hearing *h = new_hearing(&s);
            load.user = h;
            load.refused_fn = on_refused;
            CHECK_OK(run_load(pool, &load, &s, &progress, &err), &err);
            good = progress.changes;
            CHECK_INT(good + progress.refused, 70);
            load.conflict = SQLPOOL_CONFLICT_UPDATE;
            load.key_count = 1;
            CHECK_OK(run_load(pool, &load, &s, &progress, &err), &err);
            CHECK_INT(progress.refused, 0);
            load.conflict = 0;
            load.action = SQLPOOL_BULK_UPDATE;
            CHECK_OK(run_load(pool, &load, &s, &progress, &err), &err);
            CHECK_INT(progress.refused, 0);
            load.action = SQLPOOL_BULK_DELETE;
            load.key_count = 0;
            CHECK_OK(run_load(pool, &load, &s, &progress, &err), &err);
            free(h);
        }
        sql = sqlite3_mprintf("SELECT count(*) FROM sqlpool_bulk WHERE name = '%q'", tables[i]);
        CHECK_INT(ask(pool, sql), 0);
        sqlite3_free(sql);
        close_pool(pool);
        check_memory();
    }
}

/*---- what begin refuses ----*/

static void begin_fails(sqlpool *pool, const sqlpool_bulk_config *load, const char *named) {
    sqlpool_bulk *bulk = (sqlpool_bulk *)(void *)&err;
    int rc;
    memset(&err, 0x5a, sizeof err);
    rc = sqlpool_bulk_begin(pool, load, &bulk, &err);
    if (rc == SQLPOOL_OK) (void)sqlpool_bulk_abandon(bulk, NULL);
    CHECK_INT(rc, SQLITE_ERROR);
    CHECK_INT(err.result, SQLITE_ERROR);
    CHECK(bulk == NULL);
    CHECK_HAS(err.message, named);
}
TEST(what_is_not_there) {
    static const char *const columns[] = {"none such", "a"};
    const sqlpool_config config = plain_config();
    sqlpool *pool = open_pool(next_file(), &config, ABC);
    const trial t = abc_trial("missing", ABC);
    sqlpool_bulk_config load;
    int action;
    CHECK(pool != NULL);
    for (action = SQLPOOL_BULK_INSERT; action <= SQLPOOL_BULK_DELETE; action++) {
        load = t.load;
        load.action = action;
        load.key_count = action == SQLPOOL_BULK_UPDATE;
        load.name = "nothing";
        load.table = "no such \"table\"";
        PART(begin_fails(pool, &load, "no such \"table\""));
        load.table = "t";
        load.columns = columns;
        load.column_count = 2;
        if (action != SQLPOOL_BULK_DELETE) PART(begin_fails(pool, &load, "none such"));
    }
    load = t.load;
    load.conflict = SQLPOOL_CONFLICT_UPDATE; /* c is no key */
    load.key_count = 1;
    PART(begin_fails(pool, &load, "ON CONFLICT"));
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE name = 'sqlpool_bulk'"), 0);
    close_pool(pool);
    check_memory();
}
/*  SQLite takes a name in double quotes for a text where it knows no such column: then a row whose
    key is that very word would delete everything. */
TEST(a_key_column_that_is_not_there) {
    static const char *const columns[] = {"a", "none such"};
    const sqlpool_config config = plain_config();
    sqlpool *pool = open_pool(next_file(), &config, ABC);
    const trial t = abc_trial("missing", ABC);
    sqlpool_bulk_config load = t.load;
    CHECK(pool != NULL);
    load.columns = columns;
    load.column_count = 2;
    load.action = SQLPOOL_BULK_UPDATE;
    load.key_count = 1;
    begin_fails(pool, &load, "none such");
    load.action = SQLPOOL_BULK_DELETE;
    load.key_count = 0;
    begin_fails(pool, &load, "none such");
    load.columns = columns + 1;
    load.column_count = 1;
    begin_fails(pool, &load, "none such");
    close_pool(pool);
    check_memory();
}

static int refused_by_config;
static void bad_config(sqlpool *pool, sqlpool_bulk_config config, const char *named) {
    sqlpool_bulk *bulk = (sqlpool_bulk *)(void *)&config;
    refused_by_config++;
    CHECK_RC(sqlpool_bulk_begin(pool, &config, &bulk, &err), SQLPOOL_MISUSE, &err);
    CHECK(bulk == NULL);
    CHECK_HAS(err.message, named);
}
TEST(what_a_config_may_not_say) {
    static const char *const gap[] = {"a", NULL, "c"};
    const sqlpool_config config = plain_config();
    sqlpool *pool = open_pool(next_file(), &config, ABC);
    const sqlpool_bulk_config good = abc_trial("", ABC).load;
    sqlpool_bulk_config c;
    sqlpool_bulk *bulk = NULL;
    uint64_t misuses;
    CHECK(pool != NULL);
    misuses = stats_of(pool).misuses;
#define BAD(change, named) \
    do { \
        c = good; \
        change; \
        PART(bad_config(pool, c, named)); \
    } while (0)
    BAD(c.table = NULL, "table");
    BAD(c.columns = NULL, "columns");
    BAD(c.columns = gap, "column");
    BAD(c.column_count = 0, "column_count");
    BAD(c.column_count = -1, "column_count");
    BAD(c.column_count = INT32_MIN, "column_count");
    BAD(c.column_count = 1000, "column_count"); /* the list ends with NULL before that */
    BAD(c.key_count = -1, "key_count");
    BAD(c.key_count = 4, "key_count");
    BAD(c.action = -1, "action");
    BAD(c.action = 3, "action");
    BAD(c.conflict = -1, "conflict");
    BAD(c.conflict = 4, "conflict");
    BAD((c.action = SQLPOOL_BULK_DELETE, c.conflict = SQLPOOL_CONFLICT_IGNORE), "conflict");
    BAD((c.action = SQLPOOL_BULK_UPDATE, c.key_count = 1, c.conflict = SQLPOOL_CONFLICT_UPDATE),
        "conflict");
    BAD(c.action = SQLPOOL_BULK_UPDATE, "key_count");
    BAD((c.action = SQLPOOL_BULK_UPDATE, c.key_count = 3), "key_count");
    BAD(c.conflict = SQLPOOL_CONFLICT_UPDATE, "key_count");
    BAD(c.batch_bytes = -1, "batch_bytes");
    BAD(c.batch_bytes = (int64_t)INT32_MAX + 1, "batch_bytes");
    BAD(c.batch_ms = -1, "batch_ms");
    BAD(c.expected_rows = -1, "expected_rows");
    BAD(c.timeout_ms = SQLPOOL_NO_WAIT, "timeout_ms");
    BAD(c.timeout_ms = INT32_MIN, "timeout_ms");
#undef BAD
    CHECK_RC(sqlpool_bulk_begin(pool, NULL, &bulk, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "config");
    CHECK_RC(sqlpool_bulk_begin(pool, &good, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "bulk");
    CHECK_RC(sqlpool_bulk_begin(NULL, &good, &bulk, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(stats_of(pool).misuses - misuses, refused_by_config + 2);
    CHECK_OK(sqlpool_bulk_begin(pool, &good, &bulk, &err), &err); /* and this one is good */
    CHECK_INT(sqlpool_bulk_abandon(bulk, NULL), SQLPOOL_OK);
    close_pool(pool);
    check_memory();
}

/*---- rows that are not taken ----*/

TEST(a_bad_row_is_not_taken_and_the_load_goes_on) {
    const sqlpool_config config = plain_config();
    sqlpool *pool = open_pool(next_file(), &config, ABC);
    trial t = abc_trial("bad rows", ABC);
    sqlpool_value bad[8][3];
    static const char *const named[8] = {"argument 1", "argument 2", "argument 3", "argument 1",
                                         "argument 2", "argument 3", "argument 2", "argument 1"};
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    int i, k;
    CHECK(pool != NULL);
    for (i = 0; i < 8; i++)
        for (k = 0; k < 3; k++) bad[i][k] = sqlpool_value_int64(-i);
    bad[0][0] = sqlpool_value_double((double)NAN);
    bad[1][1].type = SQLPOOL_TYPE_INVALID;
    bad[2][2].type = 77;
    bad[3][0].type = -1;
    bad[4][1].type = SQLPOOL_TYPE_TEXT;
    bad[4][1].size = 5;
    bad[4][1].as.text = NULL;
    bad[5][2].type = SQLPOOL_TYPE_BLOB;
    bad[5][2].size = SIZE_MAX;
    bad[5][2].as.blob = NULL;
    bad[6][1].type = SQLPOOL_TYPE_TEXT;
    bad[6][1].size = (size_t)INT32_MAX + 1;
    bad[6][1].as.text = "short";
    bad[7][0].type = SQLPOOL_TYPE_BLOB;
    bad[7][0].size = SIZE_MAX;
    bad[7][0].as.blob = "short";
    t.load.batch_bytes = 2000;
    CHECK_OK(sqlpool_bulk_begin(pool, &t.load, &bulk, &err), &err);
    for (i = 0; i < 200; i++) {
        CHECK_OK(feed(bulk, &t.source, i, i + 1, &err), &err);
        CHECK_RC(sqlpool_bulk_row(bulk, bad[i % 8], 3, &err), SQLPOOL_ARGUMENTS, &err);
        CHECK_HAS(err.message, named[i % 8]);
        CHECK_RC(sqlpool_bulk_row(bulk, bad[0], i % 3, &err), SQLPOOL_ARGUMENTS, &err);
        CHECK_RC(sqlpool_bulk_row(bulk, bad[0], 4 + i, &err), SQLPOOL_ARGUMENTS, &err);
        CHECK_RC(sqlpool_bulk_row(bulk, bad[0], -1, &err), SQLPOOL_ARGUMENTS, &err);
        CHECK_RC(sqlpool_bulk_row(bulk, NULL, 3, &err), SQLPOOL_ARGUMENTS, &err);
        CHECK_RC(sqlpool_bulk_row(bulk, SQLPOOL_NO_ARGS, &err), SQLPOOL_ARGUMENTS, &err);
        CHECK_INT(sqlpool_bulk_row(bulk, NULL, 3, NULL), SQLPOOL_ARGUMENTS);
        CHECK_INT(sqlpool_bulk_next_row(bulk), i + 1);
    }
    CHECK_OK(sqlpool_bulk_end(bulk, &progress, &err), &err);
    CHECK_INT(progress.rows, 200);
    CHECK_INT(ask(pool, "SELECT count(*) = 200 AND sum(a = rowid - 1) = 200 FROM t"), 1);
    close_pool(pool);
    check_memory();
}

/*---- refused rows ----*/

static char long_text[20000];

#define TEXT(word) \
    { \
        SQLPOOL_TYPE_TEXT, sizeof(word) - 1, { \
            .text = (word) \
        } \
    }
#define LONG(bytes) \
    { \
        SQLPOOL_TYPE_TEXT, (bytes), { \
            .text = long_text \
        } \
    }
#define INTEGER(number) \
    { \
        SQLPOOL_TYPE_INT64, 0, { \
            .integer = (number) \
        } \
    }
#define NOTHING \
    { \
        SQLPOOL_TYPE_NULL, 0, { \
            .integer = 0 \
        } \
    }
#define FRESH "DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS log; DROP TABLE IF EXISTS parent; "
#define LOGGED FRESH "CREATE TABLE t(a, b, c); CREATE TABLE log(v); "

/*  A schema and a value of column a that it does not like. */
enum {
    LOGS = 1,   /* in the table log */
    LEAVES = 2, /* what a statement of several rows did before the bad one stays: SQLite's way */
    STRICT = 4, /* SQLite 3.37 */
    RTREE = 8
};
static const struct cause {
    const char *what, *schema;
    sqlpool_value bad;
    int earned; /* what such a row gives by itself */
    int flags;
} causes[] = {
    {"NOT NULL", FRESH "CREATE TABLE t(a NOT NULL, b, c)", NOTHING, SQLITE_CONSTRAINT_NOTNULL, 0},
    {"CHECK", FRESH "CREATE TABLE t(a CHECK(a <> 'bad'), b, c)", TEXT("bad"),
     SQLITE_CONSTRAINT_CHECK, 0},
    {"UNIQUE, an old row",
     FRESH "CREATE TABLE t(a UNIQUE, b, c); INSERT INTO t VALUES('dup', 0, 0)", TEXT("dup"),
     SQLITE_CONSTRAINT_UNIQUE, 0},
    {"UNIQUE, a row of the load", FRESH "CREATE TABLE t(a UNIQUE, b, c)", TEXT("twin"),
     SQLITE_CONSTRAINT_UNIQUE, 0},
    {"PRIMARY KEY",
     FRESH "CREATE TABLE t(a PRIMARY KEY, b, c) WITHOUT ROWID; INSERT INTO t VALUES('dup', 0, 0)",
     TEXT("dup"), SQLITE_CONSTRAINT_PRIMARYKEY, 0},
    {"rowid", FRESH "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c); INSERT INTO t VALUES(-5, 0, 0)",
     INTEGER(-5), SQLITE_CONSTRAINT_PRIMARYKEY, 0},
    {"datatype", FRESH "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c)", TEXT("x"), SQLITE_MISMATCH,
     0},
    {"STRICT", FRESH "CREATE TABLE t(a INT, b ANY, c ANY) STRICT", TEXT("x"),
     SQLITE_CONSTRAINT_DATATYPE, LEAVES | STRICT},
    {"RAISE(ABORT) before",
     LOGGED "CREATE TRIGGER i BEFORE INSERT ON t BEGIN INSERT INTO log VALUES(NEW.a);"
            "SELECT RAISE(ABORT, 'no') WHERE NEW.a = 'bad'; END",
     TEXT("bad"), SQLITE_CONSTRAINT_TRIGGER, LOGS},
    {"RAISE(ABORT) after",
     LOGGED "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO log VALUES(NEW.a);"
            "SELECT RAISE(ABORT, 'no') WHERE NEW.a = 'bad'; END",
     TEXT("bad"), SQLITE_CONSTRAINT_TRIGGER, LOGS},
    {"RAISE(FAIL) before",
     LOGGED
     "CREATE TRIGGER i BEFORE INSERT ON t BEGIN SELECT RAISE(FAIL, 'no') WHERE NEW.a = 'bad';"
     "INSERT INTO log VALUES(NEW.a); END",
     TEXT("bad"), SQLITE_CONSTRAINT_TRIGGER, LOGS | LEAVES},
    {"RAISE(FAIL) after",
     LOGGED "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO log VALUES(NEW.a);"
            "SELECT RAISE(FAIL, 'no') WHERE NEW.a = 'bad'; END",
     TEXT("bad"), SQLITE_CONSTRAINT_TRIGGER, LOGS | LEAVES},
    {"ON CONFLICT FAIL",
     FRESH "CREATE TABLE t(a UNIQUE ON CONFLICT FAIL, b, c); INSERT INTO t VALUES('dup', 0, 0)",
     TEXT("dup"), SQLITE_CONSTRAINT_UNIQUE, LEAVES},
    {"RAISE(ROLLBACK)",
     LOGGED "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO log VALUES(NEW.a);"
            "SELECT RAISE(ROLLBACK, 'no') WHERE NEW.a = 'bad'; END",
     TEXT("bad"), SQLITE_CONSTRAINT_TRIGGER, LOGS},
    {"ON CONFLICT ROLLBACK",
     FRESH "CREATE TABLE t(a UNIQUE ON CONFLICT ROLLBACK, b, c); INSERT INTO t VALUES('dup', 0, 0)",
     TEXT("dup"), SQLITE_CONSTRAINT_UNIQUE, 0},
    {"foreign key",
     FRESH "CREATE TABLE parent(id PRIMARY KEY); CREATE TABLE t(a, b, c REFERENCES parent);"
           "CREATE TRIGGER i BEFORE INSERT ON t WHEN NEW.a <> 'bad' BEGIN INSERT INTO parent "
           "VALUES(NEW.c); END",
     TEXT("bad"), SQLITE_CONSTRAINT_FOREIGNKEY, 0},
    {"deferred foreign key",
     FRESH
     "CREATE TABLE parent(id PRIMARY KEY); CREATE TABLE t(a, b, c REFERENCES parent DEFERRABLE "
     "INITIALLY DEFERRED); CREATE TRIGGER i AFTER INSERT ON t WHEN NEW.a <> 'bad' BEGIN INSERT "
     "INTO parent VALUES(NEW.c); END",
     TEXT("bad"), SQLITE_CONSTRAINT_FOREIGNKEY, 0},
    {"a value over the limit", FRESH "CREATE TABLE t(a, b, c)", LONG(sizeof long_text),
     SQLITE_TOOBIG, 0},
    {"a record over the limit", FRESH "CREATE TABLE t(a, b, c)", LONG(9990), SQLITE_TOOBIG, LEAVES},
    {"a function in a generated column", FRESH "CREATE TABLE t(a, b, c, d AS (abs(a)) STORED)",
     INTEGER(INT64_MIN), SQLITE_ERROR, 0},
    {"a function in an index", FRESH "CREATE TABLE t(a, b, c); CREATE INDEX t_a ON t(abs(a))",
     INTEGER(INT64_MIN), SQLITE_ERROR, 0},
    {"a function in a CHECK", FRESH "CREATE TABLE t(a CHECK(abs(a) >= 0), b, c)",
     INTEGER(INT64_MIN), SQLITE_ERROR, 0},
    {"a function in a trigger",
     LOGGED "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO log VALUES(NEW.a);"
            "SELECT abs(NEW.a); END",
     INTEGER(INT64_MIN), SQLITE_ERROR, LOGS},
    {"a virtual table", FRESH "CREATE VIRTUAL TABLE t USING rtree(c, b, a)", INTEGER(-5),
     SQLITE_CONSTRAINT, RTREE},
};


enum { FIRST, MIDDLE, LAST, SEVERAL, HALF, ALL, PATTERNS };
static bool is_bad(int pattern, int64_t row, int64_t count) {
    switch (pattern) {
    case FIRST:
        return row == 0;
    case MIDDLE:
        return row == count / 2;
    case LAST:
        return row == count - 1;
    case SEVERAL:
        return row == 3 || row == 63 || row == 64 || row == 65 || row == 71 || row == 72 ||
               row == 100;
    case HALF:
        return row % 2 == 1;
    default:
        return true;
    }
}
static void cause_row(const source *s, int64_t row, room *r) {
    const struct cause *cause = (const struct cause *)s->user;
    plain_row(s, row, r);
    if (is_bad(s->pattern, row, s->count)) {
        r->values[0] = cause->bad;
        if (cause->bad.type == SQLPOOL_TYPE_TEXT)
            r->values[0] = in_room(r, true, cause->bad.as.text, cause->bad.size);
    }
}
static trial cause_trial(const struct cause *cause, int pattern) {
    trial t = abc_trial(cause->what, cause->schema);
    t.source = plain_source(3, 150);
    t.source.make = cause_row;
    t.source.user = cause;
    t.source.pattern = pattern;
    if (strstr(cause->schema, "WITHOUT ROWID") != NULL) t.tables[0] = "t ORDER BY c";
    if ((cause->flags & LOGS) != 0) t.tables[1] = "log ORDER BY rowid";
    return t;
}
static bool is_known(sqlpool *pool, const struct cause *cause) {
    sqlpool_conn conn;
    bool is_known = true;
    if ((cause->flags & STRICT) != 0) return sqlite3_libversion_number() >= 3037000;
    if ((cause->flags & RTREE) == 0) return true;
    if (sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err) != SQLPOOL_OK) return false;
    is_known =
        sqlite3_exec(sqlpool_conn_db(&conn), "CREATE VIRTUAL TABLE temp.x USING rtree(a, b, c)",
                     NULL, NULL, NULL) == SQLITE_OK;
    (void)sqlpool_conn_release(&conn);
    return is_known;
}
static void refuse_for(const struct cause *cause, bool stops) {
    static const int64_t sizes[] = {0, 6000};
    sqlpool_config config = plain_config();
    sides s;
    bool has_it;
    int pattern, i;
    length_limit = 10000;
    config.events.connect_fn = on_connect;
    CHECK(open_sides(&s, &config));
    has_it = is_known(s.plain, cause);
    for (pattern = 0; pattern < PATTERNS && has_it && !test_failed_now; pattern++) {
        trial t = cause_trial(cause, pattern);
        hearing *plain = new_hearing(&t.source);
        int64_t changes;
        if (stops) {
            stop_and_compare(&s, &t, 0);
            stop_and_compare(&s, &t, 6000);
        } else {
            (void)sqlpool_script(s.plain, t.schema, -1, NULL);
            run_plain(s.plain, &t, false, plain, &changes);
            if (plain->count == 0 && strcmp(cause->what, "UNIQUE, a row of the load") != 0)
                test_fail(__FILE__, __LINE__, "%s: pattern %d: nothing is refused", t.what,
                          pattern);
            for (i = 0; i < plain->count; i++) {
                if (plain->list[i].code == cause->earned) continue;
                test_fail(__FILE__, __LINE__, "%s: %d, %s", t.what, plain->list[i].code,
                          plain->list[i].why);
                break;
            }
            for (i = 0; i < LENGTH(sizes); i++) load_and_compare(&s, &t, sizes[i], plain, changes);
        }
        free(plain);
    }
    length_limit = 0;
    close_sides(&s);
}
static void refuse_all(bool leaves, bool stops) {
    int i, failed = 0;
    memset(long_text, 'x', sizeof long_text);
    for (i = 0; i < LENGTH(causes); i++) {
        if (((causes[i].flags & LEAVES) != 0) != leaves) continue;
        refuse_for(&causes[i], stops);
        failed += test_failed_now;
        test_failed_now = 0; /* the next cause all the same */
    }
    test_failed_now = failed > 0;
}
TEST(refused_rows_are_told_and_the_others_are_in) {
    refuse_all(false, false);
}
TEST(without_a_listener_the_first_refused_row_ends_it) {
    refuse_all(false, true);
}
/*  SQLite does not undo these statements: what they leave, of the refused row too, is undone. */
TEST(what_a_failed_statement_leaves_is_undone) {
    refuse_all(true, false);
}
TEST(what_a_failed_statement_leaves_at_the_end_is_undone) {
    refuse_all(true, true);
}

/*---- refused updates and deletes, and all sorts among each other ----*/

/*  With a listener and without, in batches of three sizes. */
static void compare_refusals(const trial *t) {
    static const int64_t sizes[] = {0, 1000, 6000};
    const sqlpool_config config = plain_config();
    hearing *plain = new_hearing(&t->source);
    sides s;
    int64_t changes;
    int i;
    CHECK(open_sides(&s, &config));
    CHECK_OK(sqlpool_script(s.plain, t->schema, -1, &err), &err);
    run_plain(s.plain, t, false, plain, &changes);
    if (plain->count == 0) test_fail(__FILE__, __LINE__, "%s: nothing is refused", t->what);
    for (i = 0; i < LENGTH(sizes); i++) load_and_compare(&s, t, sizes[i], plain, changes);
    for (i = 0; i < LENGTH(sizes); i++) stop_and_compare(&s, t, sizes[i]);
    free(plain);
    close_sides(&s);
}

/*  Keys 0 .. 199 in another order, every tenth of them not there. */
static void mixed_key_row(const source *s, int64_t row, room *r) {
    const int64_t key = row * 37 % 200;
    if (s->columns > 1) {
        r->values[0] = row % 9 == 8 ? in_room(r, true, "bad", 3) : text_in(r, "new %lld", row);
        r->values[1] = sqlpool_value_int64(key);
    } else {
        r->values[0] = sqlpool_value_int64(key);
    }
}
#define FILLED \
    "DROP TABLE IF EXISTS child; DROP TABLE IF EXISTS t; CREATE TABLE t(a INTEGER PRIMARY KEY, b " \
    "UNIQUE, " \
    "c CHECK(c <> 'bad'));" \
    "INSERT INTO t WITH RECURSIVE n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < " \
    "199) " \
    "SELECT i, 'b' || i, i FROM n WHERE i % 10 <> 9;"
static trial refusing_trial(const char *schema, const char *sql, const char *const *columns,
                            int count) {
    trial t = abc_trial(schema + sizeof FILLED - 1, schema);
    t.sql = sql;
    t.load.columns = columns;
    t.load.column_count = count;
    t.load.action = count > 1 ? SQLPOOL_BULK_UPDATE : SQLPOOL_BULK_DELETE;
    t.load.key_count = count > 1;
    t.source.columns = count;
    t.source.make = mixed_key_row;
    return t;
}
static void refuse_update(const char *schema, const char *column) {
    const char *const columns[] = {column, "a"};
    char sql[80];
    trial t;
    (void)snprintf(sql, sizeof sql, "UPDATE t SET %s = ? WHERE a = ?", column);
    t = refusing_trial(schema, sql, columns, 2);
    compare_refusals(&t);
}
static void refuse_delete(const char *schema) {
    static const char *const columns[] = {"a"};
    const trial t = refusing_trial(schema, "DELETE FROM t WHERE a = ?", columns, 1);
    compare_refusals(&t);
}
#define ON_DELETE(when, how) \
    FILLED "CREATE TRIGGER d " when " DELETE ON t BEGIN SELECT RAISE(" how ", 'no') WHERE " \
           "OLD.a % 9 = 4; END"
TEST(refused_updates_and_deletes) {
    PART(refuse_update(FILLED, "b"));
    PART(refuse_update(FILLED, "c"));
    PART(refuse_update(
        FILLED "CREATE TRIGGER u AFTER UPDATE ON t BEGIN SELECT RAISE(ROLLBACK, 'no') WHERE "
               "NEW.c = 'bad'; END",
        "c"));
    PART(refuse_update(FILLED
                       "CREATE TRIGGER u AFTER UPDATE ON t BEGIN SELECT RAISE(FAIL, 'no') WHERE "
                       "NEW.a % 11 = 3; END",
                       "c"));
    PART(refuse_delete(ON_DELETE("BEFORE", "ABORT")));
    PART(refuse_delete(ON_DELETE("AFTER", "ABORT")));
    PART(refuse_delete(ON_DELETE("AFTER", "ROLLBACK")));
    PART(refuse_delete(
        FILLED "CREATE TABLE child(p REFERENCES t); INSERT INTO child VALUES(0), (4), (148)"));
    PART(refuse_delete(FILLED "CREATE TABLE child(p REFERENCES t DEFERRABLE INITIALLY DEFERRED);"
                              "INSERT INTO child VALUES(0), (4), (148)"));
}
/*  A DELETE of several keys that fails in the middle has deleted some: they count as well. */
TEST(what_a_failed_delete_has_done_is_undone) {
    PART(refuse_delete(ON_DELETE("BEFORE", "FAIL")));
    PART(refuse_delete(ON_DELETE("AFTER", "FAIL")));
}

#define MIXED \
    "DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS log; DROP TABLE IF EXISTS parent;" \
    "CREATE TABLE parent(id INTEGER PRIMARY KEY); INSERT INTO parent VALUES(1); CREATE TABLE " \
    "log(v);" \
    "CREATE TABLE t(a NOT NULL, b, c UNIQUE, d REFERENCES parent, e REFERENCES parent DEFERRABLE " \
    "INITIALLY DEFERRED, f UNIQUE ON CONFLICT ROLLBACK, h CHECK(abs(h) >= 0));" \
    "CREATE TRIGGER i BEFORE INSERT ON t BEGIN INSERT INTO log VALUES(NEW.a);" \
    "SELECT CASE NEW.b WHEN 'abort' THEN RAISE(ABORT, 'abort') WHEN 'rollback' THEN " \
    "RAISE(ROLLBACK, 'rollback') WHEN 'ignore' THEN RAISE(IGNORE)%s END; END"
static void mixed_row(const source *s, int64_t row, room *r) {
    uint64_t dice = s->seed * 1000 + (uint64_t)row;
    const bool is_odd = roll(&dice, 100) < (uint64_t)s->pattern;
    int c;
    r->values[0] = sqlpool_value_int64(row);
    for (c = 1; c < 7; c++) r->values[c] = sqlpool_value_null(NULL);
    r->values[1] = text_in(r, "row %lld", row);
    if (!is_odd) return;
    switch (roll(&dice, 11)) {
    case 0:
        r->values[0] = sqlpool_value_null(NULL);
        break;
    case 1:
        r->values[1] = in_room(r, true, "abort", 5);
        break;
    case 2:
        r->values[1] = in_room(r, true, "rollback", 8);
        break;
    case 3:
        r->values[1] = in_room(r, true, "ignore", 6);
        break;
    case 4:
        r->values[1] = in_room(r, true, "fail", 4);
        break;
    case 5:
        r->values[2] = sqlpool_value_int64((int64_t)roll(&dice, 10));
        break;
    case 6: /* refused at COMMIT; what it is equal to was never there */
        r->values[2] = sqlpool_value_int64((int64_t)roll(&dice, 10));
        r->values[4] = sqlpool_value_int64(99);
        break;
    case 7:
        r->values[3] = sqlpool_value_int64(99);
        break;
    case 8:
        r->values[4] = sqlpool_value_int64(99);
        break;
    case 9:
        r->values[5] = sqlpool_value_int64((int64_t)roll(&dice, 3));
        break;
    default:
        r->values[6] = sqlpool_value_int64(INT64_MIN);
        break;
    }
}
static void mix(const char *also) {
    static const char *const columns[] = {"a", "b", "c", "d", "e", "f", "h"};
    static const int odd_percents[] = {1, 10, 50, 100};
    char schema[sizeof MIXED + 60];
    int i;
    (void)snprintf(schema, sizeof schema, MIXED, also);
    for (i = 0; i < 2 * LENGTH(odd_percents); i++) {
        char what[40];
        trial t;
        (void)snprintf(what, sizeof what, "mixed, seed %d", i);
        t = abc_trial(what, schema);
        t.sql = "INSERT INTO t VALUES(?, ?, ?, ?, ?, ?, ?)";
        t.load.columns = columns;
        t.load.column_count = t.source.columns = 7;
        t.source.count = 250;
        t.source.make = mixed_row;
        t.source.seed = (uint64_t)i;
        t.source.pattern = odd_percents[i / 2];
        t.tables[1] = "log ORDER BY rowid";
        PART(compare_refusals(&t));
    }
}
TEST(refused_for_all_sorts_of_reasons) {
    mix("");
}
TEST(refused_for_all_sorts_of_reasons_and_fail) {
    mix(" WHEN 'fail' THEN RAISE(FAIL, 'fail')");
}

/*  More refused rows in one batch than there is room for at first. */
TEST(a_thousand_refused_rows_in_one_batch) {
    trial t = cause_trial(&causes[0], ALL);
    t.source.count = 1000;
    compare_refusals(&t);
}

/*---- functions of the program that end a load ----*/

TEST(a_listener_may_end_the_load) {
    const sqlpool_config config = plain_config();
    trial t = cause_trial(&causes[2], SEVERAL); /* rows 3, 63, 64, 65, 71, 72, 100 */
    hearing *h = new_hearing(&t.source);
    sqlpool *pool = open_pool(next_file(), &config, t.schema);
    sqlpool_bulk_progress progress;
    CHECK(pool != NULL);
    t.load.user = h;
    t.load.refused_fn = on_refused;
    t.load.batch_bytes = 6000; /* some 60 rows */
    h->stop_row = 64;
    h->stop_with = 4711;
    CHECK_RC(run_load(pool, &t.load, &t.source, &progress, &err), 4711, &err);
    CHECK_HAS(err.message, "refused_fn");
    CHECK_HAS(err.message, "row 64");
    CHECK_INT(h->list[2].row, 64);
    CHECK_INT(h->count, progress.refused); /* all of the batch are told */
    CHECK(progress.next_row > 64 && progress.next_row < 150);
    /* what is before next_row is in, but what was refused */
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE a <> 'dup'"), progress.changes);
    CHECK_INT(progress.changes + progress.refused, progress.next_row);
    CHECK_INT(ask(pool, "SELECT max(a) FROM t WHERE a <> 'dup'"), progress.next_row - 1);
    h->stop_with = -99; /* of the library's own kind, and at the end */
    h->stop_row = 100;
    h->count = 0;
    t.load.batch_bytes = 0;
    CHECK_OK(sqlpool_script(pool, t.schema, -1, &err), &err);
    CHECK_RC(run_load(pool, &t.load, &t.source, &progress, &err), -99, &err);
    CHECK_INT(progress.next_row, 150);
    free(h);
    close_pool(pool);
    check_memory();
}

/*  Whoever ends the load is still told of the others that were refused with that row: they are
    before next_row, so nobody gives them again. The first who says something ends it. */
static int told_count, told_rows[8];
static int end_at_each(void *user, int64_t row, const sqlpool_value *values,
                       const sqlpool_error *error) {
    (void)user, (void)values, (void)error;
    if (told_count < LENGTH(told_rows)) told_rows[told_count] = (int)row;
    told_count++;
    return 70000 + (int)row;
}
TEST(a_listener_that_ends_the_load_hears_of_the_whole_batch) {
    static const char *const one[] = {"a"};
    const sqlpool_config config = plain_config();
    sqlpool *pool = open_pool(next_file(), &config, "CREATE TABLE t(a CHECK(a % 10 <> 5))");
    sqlpool_bulk_config load;
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    int i;
    CHECK(pool != NULL);
    memset(&load, 0, sizeof load);
    load.table = "t";
    load.columns = one;
    load.column_count = 1;
    load.refused_fn = end_at_each;
    told_count = 0;
    CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
    for (i = 0; i < 50; i++) CHECK_OK(sqlpool_bulk_row(bulk, SQLPOOL_ARGS(i), &err), &err);
    CHECK_RC(sqlpool_bulk_end(bulk, &progress, &err), 70005, &err);
    CHECK_HAS(err.message, "row 5");
    CHECK_INT(progress.next_row, 50);
    CHECK_INT(progress.refused, 5);
    CHECK_INT(told_count, 5);
    for (i = 0; i < 5; i++) CHECK_INT(told_rows[i], 10 * i + 5);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 45);
    close_pool(pool);
    check_memory();
}

/*  The functions of a load stand in the middle of it: what would change it is refused there. */
typedef struct meddler {
    sqlpool_bulk *bulk;
    int refused_calls, reports, misuses, others;
    bool is_inside;
    int64_t next_row;
} meddler;
static void meddle(meddler *m) {
    sqlpool_bulk_progress progress;
    sqlpool_error e;
    int k;
    m->others += m->is_inside; /* one of these calls has brought us here */
    m->is_inside = true;
    for (k = 0; k < 3 && m->others == 0; k++) {
        int rc;
        memset(&e, 0, sizeof e);
        memset(&progress, 0x5a, sizeof progress);
        if (k == 0)
            rc = sqlpool_bulk_row(m->bulk, SQLPOOL_ARGS(1000), &e);
        else
            rc = k == 1 ? sqlpool_bulk_end(m->bulk, &progress, &e)
                        : sqlpool_bulk_abandon(m->bulk, &progress);
        if (rc != SQLPOOL_MISUSE || (k < 2 && strstr(e.message, "refused_fn") == NULL) ||
            (k > 0 && progress.rows != 0))
            m->others++;
        else
            m->misuses++;
    }
    m->is_inside = false;
    if (m->others == 0) m->next_row = sqlpool_bulk_next_row(m->bulk); /* looking is no harm */
}
static int meddle_refused(void *user, int64_t row, const sqlpool_value *values,
                          const sqlpool_error *error) {
    meddler *m = (meddler *)user;
    (void)row, (void)values, (void)error;
    m->refused_calls++;
    if (m->others == 0) meddle(m);
    return m->others == 0 ? 0 : 70001;
}
static int meddle_report(void *user, const sqlpool_bulk_progress *progress) {
    meddler *m = (meddler *)user;
    m->reports++;
    if (m->others == 0) meddle(m);
    if (m->others == 0 && m->next_row != progress->next_row) m->others++;
    return m->others == 0 ? 0 : 70001;
}
static void meddle_in(bool with_refused, bool with_progress) {
    static const char *const one[] = {"a"};
    const sqlpool_config config = plain_config();
    sqlpool *pool = open_pool(next_file(), &config, "CREATE TABLE t(a CHECK(a % 10 <> 5))");
    sqlpool_bulk_config load;
    sqlpool_bulk_progress progress;
    meddler m;
    int i, rc = SQLPOOL_OK;
    CHECK(pool != NULL);
    memset(&m, 0, sizeof m);
    memset(&load, 0, sizeof load);
    load.table = "t";
    load.columns = one;
    load.column_count = 1;
    load.batch_bytes = 24 * 20; /* some 20 rows */
    load.user = &m;
    load.refused_fn = with_refused ? meddle_refused : NULL;
    load.progress_fn = with_progress ? meddle_report : NULL;
    CHECK_OK(sqlpool_bulk_begin(pool, &load, &m.bulk, &err), &err);
    for (i = 0; i < 100 && rc == SQLPOOL_OK && m.others == 0; i++) {
        if (with_refused || i % 10 != 5) rc = sqlpool_bulk_row(m.bulk, SQLPOOL_ARGS(i), &err);
    }
    CHECK_INT(m.others, 0); /* or the load may be gone */
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK_OK(sqlpool_bulk_end(m.bulk, &progress, &err), &err);
    CHECK_INT(m.others, 0);
    CHECK_INT(m.refused_calls, with_refused ? 10 : 0);
    CHECK_INT(with_progress ? m.reports > 2 : m.reports == 0, 1);
    CHECK_INT(m.misuses, 3 * (m.refused_calls + m.reports));
    CHECK_INT(progress.rows, with_refused ? 100 : 90);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 90);
    CHECK_INT(ask(pool, "SELECT count(DISTINCT a) FROM t WHERE a < 100"), 90);
    close_pool(pool);
    check_memory();
}
TEST(a_load_is_not_changed_by_its_own_functions) {
    PART(meddle_in(true, false));
    PART(meddle_in(false, true));
    PART(meddle_in(true, true));
}

TEST(a_report_may_end_the_load) {
    const sqlpool_config config = plain_config();
    trial t = abc_trial("reports", ABC);
    hearing *h = new_hearing(&t.source);
    sqlpool *pool = open_pool(next_file(), &config, t.schema);
    sqlpool_bulk_progress progress;
    CHECK(pool != NULL);
    t.load.user = h;
    t.load.progress_fn = on_progress;
    t.load.batch_bytes = 3000;
    h->stop_progress = 100;
    h->stop_with = 31;
    CHECK_RC(run_load(pool, &t.load, &t.source, &progress, &err), 31, &err);
    CHECK_HAS(err.message, "progress_fn");
    CHECK_INT(progress.next_row, h->last.next_row);
    CHECK(progress.next_row >= 100 && progress.next_row < 200);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), progress.next_row);
    free(h);
    close_pool(pool);
    check_memory();
}

/*---- progress, in a time of its own ----*/

static sim_clock virtual_clock;
static sim_locks virtual_locks;
static sqlpool *open_virtual(void) {
    sqlpool_config config = plain_config();
    memset(&virtual_locks, 0, sizeof virtual_locks);
    virtual_locks.clock = &virtual_clock;
    virtual_locks.solo = 1;
    config.clock = sim_clock_hooks(&virtual_clock);
    config.locks = sim_locks_hooks(&virtual_locks);
    config.disable_upkeep_thread = true;
    return open_pool(next_file(), &config, ABC);
}
TEST(progress_in_numbers) {
    static const char *const one[] = {"a"};
    trial t = abc_trial("progress", ABC);
    hearing *h = new_hearing(&t.source);
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    sqlpool *pool = open_virtual();
    int64_t row;
    CHECK(pool != NULL);
    t.load.columns = one;
    t.load.column_count = t.source.columns = 1;
    t.source.count = 500;
    t.load.batch_bytes = 100 * (int64_t)sizeof(sqlpool_value); /* 100 rows of one */
    t.load.batch_ms = 1000;
    t.load.expected_rows = 450;
    t.load.name = "numbers";
    t.load.user = h;
    t.load.progress_fn = on_progress;
    CHECK_OK(sqlpool_bulk_begin(pool, &t.load, &bulk, &err), &err);
    for (row = 0; row < 300; row++) { /* two milliseconds a row */
        CHECK_OK(feed(bulk, &t.source, row, row + 1, &err), &err);
        sim_clock_advance(&virtual_clock, 2000000);
        CHECK_INT(h->reports, row / 100); /* one when the first row finds the batch full */
        if (row % 100 != 0 || row == 0) continue;
        CHECK_INT(h->last.next_row, row);
        CHECK_INT(h->last.rows, row);
        CHECK_INT(h->last.changes, row);
        CHECK_INT(h->last.elapsed_ms, row * 2);
        CHECK_INT(h->last.rows_per_s, 500);
        CHECK_INT(h->last.left_ms, (450 - row) * 2);
    }
    CHECK_INT(sqlpool_bulk_abandon(bulk, &progress), SQLPOOL_OK);
    CHECK_INT(progress.rows, 300);
    CHECK_INT(progress.next_row, 200);
    CHECK_INT(progress.elapsed_ms, 600);
    CHECK_INT(progress.left_ms, 250 * 3);
    sim_clock_advance(&virtual_clock, 1000000000);
    memset(&h->last, 0, sizeof h->last);
    h->reports = 0;
    CHECK_OK(sqlpool_bulk_begin(pool, &t.load, &bulk, &err), &err);
    CHECK_INT(sqlpool_bulk_next_row(bulk), 200);
    CHECK_OK(feed(bulk, &t.source, 200, 300, &err), &err);
    sim_clock_advance(&virtual_clock, 100000000);
    CHECK_OK(feed(bulk, &t.source, 300, 500, &err), &err);
    CHECK_INT(h->reports, 2); /* at 300 and 400: they count from where this load began */
    CHECK_INT(h->last.next_row, 400);
    CHECK_INT(h->last.rows, 200);
    CHECK_INT(h->last.elapsed_ms, 100);
    CHECK_INT(h->last.rows_per_s, 2000);
    CHECK_INT(h->last.left_ms, 25);
    CHECK_OK(sqlpool_bulk_end(bulk, &progress, &err), &err);
    CHECK_INT(progress.rows, 300);
    CHECK_INT(progress.left_ms, 0); /* more than expected */
    t.load.expected_rows = 0;
    t.load.name = NULL;
    memset(&h->last, 0, sizeof h->last);
    CHECK_OK(run_load(pool, &t.load, &t.source, &progress, &err), &err);
    CHECK_INT(progress.left_ms, -1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1000);
    free(h);
    close_pool(pool);
    check_memory();
}

TEST(more_rows_are_expected_than_will_ever_come) {
    trial t = abc_trial("progress", ABC);
    sqlpool *pool = open_virtual();
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    CHECK(pool != NULL);
    t.load.expected_rows = INT64_MAX;
    t.load.batch_bytes = 100 * (int64_t)sizeof(sqlpool_value);
    CHECK_OK(sqlpool_bulk_begin(pool, &t.load, &bulk, &err), &err);
    sim_clock_advance(&virtual_clock, 10000000000); /* ten seconds for a few rows */
    CHECK_OK(feed(bulk, &t.source, 0, 100, &err), &err);
    CHECK_INT(sqlpool_bulk_abandon(bulk, &progress), SQLPOOL_OK);
    CHECK(progress.next_row > 0 && progress.rows_per_s < 100);
    CHECK(progress.left_ms > INT64_MAX / 2);
    close_pool(pool);
    check_memory();
}

int main(int argc, char **argv) {
    if (sim_alloc_install() != SQLITE_OK || sim_vfs_install() != SQLITE_OK) {
        printf("# the simulator cannot be installed\n");
        return 1;
    }
    if (argc == 3 && strcmp(argv[1], "tiny") == 0) return tiny(argv[2]);
    RUN_CLEAN(all_types_in_all_widths);
    RUN_CLEAN(untrusted_has_few_parameters);
    RUN_CLEAN(rows_share_statements);
    RUN_CLEAN(batches_of_any_size);
    RUN_CLEAN(batches_of_next_to_nothing);
    RUN_CLEAN(a_row_bigger_than_the_batch);
    RUN_CLEAN(a_slow_batch_is_committed_in_parts);
    RUN_CLEAN(rows_that_are_there_already);
    RUN_CLEAN(a_replaced_row_takes_along_what_hangs_on_it);
    RUN_CLEAN(updates_and_deletes_by_key);
    RUN_CLEAN(keys_compare_as_their_column_says);
    RUN_CLEAN(a_key_of_all_columns_there_may_be);
    RUN_CLEAN(names_are_quoted);
    RUN_CLEAN(what_is_not_there);
    RUN_CLEAN(a_key_column_that_is_not_there);
    RUN_CLEAN(what_a_config_may_not_say);
    RUN_CLEAN(a_bad_row_is_not_taken_and_the_load_goes_on);
    RUN_CLEAN(refused_rows_are_told_and_the_others_are_in);
    RUN_CLEAN(without_a_listener_the_first_refused_row_ends_it);
    RUN_CLEAN(what_a_failed_statement_leaves_is_undone);
    RUN_CLEAN(what_a_failed_statement_leaves_at_the_end_is_undone);
    RUN_CLEAN(refused_updates_and_deletes);
    RUN_CLEAN(what_a_failed_delete_has_done_is_undone);
    RUN_CLEAN(refused_for_all_sorts_of_reasons);
    RUN_CLEAN(refused_for_all_sorts_of_reasons_and_fail);
    RUN_CLEAN(a_thousand_refused_rows_in_one_batch);
    RUN_CLEAN(a_listener_may_end_the_load);
    RUN_CLEAN(a_listener_that_ends_the_load_hears_of_the_whole_batch);
    RUN_CLEAN(a_load_is_not_changed_by_its_own_functions);
    RUN_CLEAN(a_report_may_end_the_load);
    RUN_CLEAN(progress_in_numbers);
    RUN_CLEAN(more_rows_are_expected_than_will_ever_come);
    return test_end();
}
