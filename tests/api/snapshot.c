/*  snapshot.c - reusable snapshots: every read sees what was committed before it began, and nothing
    stays pinned. SPDX-License-Identifier: MIT OR Unlicense

    Deterministic: a plain connection is the foreign writer. What other processes, kills and weak
    moments add is in tests/stress/freshness.c. */
#define _GNU_SOURCE
#include <sched.h>

#include "api.h"

static sqlpool_error err;

#define TABLE "CREATE TABLE t(v INTEGER); INSERT INTO t VALUES(0);"
#define VALUE "SELECT v FROM t"
enum { LONG_IDLE_MS = 60000 };

/*  One reader, so that every read meets the same connection, whose snapshot does not end by itself.
    */
static sqlpool_config one_reader(void) {
    sqlpool_config config = config_of(1);
    config.snapshot_idle_ms = LONG_IDLE_MS;
    return config;
}

static int64_t hits(sqlpool *pool) {
    return (int64_t)stats_of(pool).snapshot_hits;
}
static int64_t misses(sqlpool *pool) {
    return (int64_t)stats_of(pool).snapshot_misses;
}

/*  A foreign commit. */
static void commit(sqlite3 *db, int value) {
    char sql[64];
    (void)snprintf(sql, sizeof sql, "UPDATE t SET v = %d", value);
    (void)raw_exec(db, sql);
}

/*  A pool of one reader with a table, and the foreign writer. */
typedef struct pair {
    sqlpool *pool;
    sqlite3 *other;
} pair;
static bool open_pair(pair *p, const char *path, const sqlpool_config *config) {
    p->pool = open_pool(path, config, TABLE);
    p->other = p->pool == NULL ? NULL : raw_open(path);
    return p->other != NULL;
}
static void close_pair(pair *p) {
    (void)sqlite3_close(p->other);
    close_pool(p->pool);
}

/*---- what is seen ----*/

TEST(on_the_pool) {
    sqlpool_config config = one_reader();
    pair p;
    int i, k;
    config.upkeep_interval_ms = LONG_IDLE_MS; /* a snapshot makes way for its checkpoints */
    CHECK(open_pair(&p, "pool.db", &config));
    for (i = 1; i <= 50; i++) {
        commit(p.other, i);
        for (k = 0; k < 5; k++) CHECK_INT(ask(p.pool, VALUE), i);
    }
    CHECK_INT(misses(p.pool), 49); /* the first read found none */
    CHECK_INT(hits(p.pool), 200);
    for (i = 1; i <= 20; i++) { /* its own commits */
        CHECK_OK(sqlpool_exec(p.pool, "UPDATE t SET v = ?", SQLPOOL_ARGS(-i), &err), &err);
        CHECK_INT(ask(p.pool, VALUE), -i);
        CHECK_INT(ask(p.pool, VALUE), -i);
    }
    close_pair(&p);
}

TEST(every_kind_of_read) {
    const sqlpool_config config = one_reader();
    pair p;
    sqlpool_rows rows;
    char text[40], expected[40];
    int64_t integer;
    double real;
    int i;
    CHECK(open_pair(&p, "kinds.db", &config));
    for (i = 1; i <= 10; i++) {
        CHECK_INT(ask(p.pool, VALUE), i - 1); /* a snapshot is there */
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        commit(p.other, i);
        switch (i % 5) {
        case 0:
            CHECK_OK(sqlpool_query_int64(p.pool, &integer, VALUE, SQLPOOL_NO_ARGS, &err), &err);
            CHECK_INT(integer, i);
            break;
        case 1:
            CHECK_OK(sqlpool_query_double(p.pool, &real, VALUE, SQLPOOL_NO_ARGS, &err), &err);
            CHECK(real == (double)i);
            break;
        case 2:
            CHECK_OK(sqlpool_query_text(p.pool, text, sizeof text, VALUE, SQLPOOL_NO_ARGS, &err), &err);
            (void)snprintf(expected, sizeof expected, "%d", i);
            CHECK_STR(text, expected);
            break;
        case 3:
            CHECK_OK(sqlpool_query(p.pool, &rows, VALUE, SQLPOOL_NO_ARGS, &err), &err);
            CHECK(sqlpool_rows_next(&rows));
            CHECK_INT(sqlpool_rows_int64(&rows, 0), i);
            CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
            break;
        default: /* a search that finds what is new, and one that no longer finds what was */
            CHECK_OK(sqlpool_query_int64(p.pool, &integer, "SELECT v FROM t WHERE v = ?", SQLPOOL_ARGS(i), &err),
                     &err);
            CHECK_RC(sqlpool_query_int64(p.pool, &integer, "SELECT v FROM t WHERE v = ?", SQLPOOL_ARGS(i - 1), &err),
                     SQLPOOL_NOT_FOUND, &err);
            break;
        }
    }
    CHECK(hits(p.pool) > 0);
    close_pair(&p);
}

TEST(on_a_lease) {
    sqlpool_config config = one_reader();
    pair p;
    sqlpool_conn conn;
    int i, k;
    config.upkeep_interval_ms = LONG_IDLE_MS; /* a snapshot makes way for its checkpoints */
    CHECK(open_pair(&p, "lease.db", &config));
    CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
    for (i = 1; i <= 50; i++) {
        commit(p.other, i);
        for (k = 0; k < 5; k++) CHECK_INT(ask_conn(&conn, VALUE), i);
    }
    CHECK_INT(hits(p.pool), 200);
    CHECK_INT(misses(p.pool), 49);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    commit(p.other, 1000); /* between the leases */
    CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 1000);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_WRITE, &conn, &err), &err);
    for (i = 1; i <= 5; i++) { /* the writer keeps none */
        commit(p.other, i);
        CHECK_INT(ask_conn(&conn, VALUE), i);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pair(&p);
}

TEST(of_a_second_pool) {
    const sqlpool_config config = one_reader();
    pair p;
    sqlpool *second;
    int i, k;
    CHECK(open_pair(&p, "second.db", &config));
    second = open_pool("second.db", &config, NULL);
    CHECK(second != NULL);
    for (i = 1; i <= 20; i++) {
        sqlpool *writes = i % 2 != 0 ? p.pool : second;
        CHECK_OK(sqlpool_exec(writes, "UPDATE t SET v = ?", SQLPOOL_ARGS(i), &err), &err);
        for (k = 0; k < 4; k++) {
            CHECK_INT(ask(second, VALUE), i);
            CHECK_INT(ask(p.pool, VALUE), i);
        }
    }
    CHECK(hits(p.pool) >= 60 && hits(second) >= 60);
    close_pool(second);
    close_pair(&p);
}

static int attach_aux(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    (void)user;
    return sqlpool_conn_exec(&lease, "ATTACH 'attached_aux.db' AS aux", SQLPOOL_NO_ARGS, NULL, NULL);
}

/*  Only main's commits are in main's header: a snapshot would freeze the other file unseen. */
TEST(of_an_attached_database) {
    sqlpool_config config = one_reader();
    sqlite3 *aux = raw_open("attached_aux.db");
    pair p;
    sqlpool_conn conn;
    int i;
    CHECK(aux != NULL);
    CHECK(raw_exec(aux, "PRAGMA journal_mode = WAL; CREATE TABLE b(v INTEGER); INSERT INTO b VALUES(0)"));
    config.events.connect_fn = attach_aux;
    CHECK(open_pair(&p, "attached.db", &config));
    for (i = 1; i <= 20; i++) {
        char sql[64];
        (void)snprintf(sql, sizeof sql, "UPDATE b SET v = %d", i);
        CHECK(raw_exec(aux, sql));
        CHECK_INT(ask(p.pool, "SELECT v FROM aux.b"), i);
        commit(p.other, i);
        CHECK_INT(ask(p.pool, VALUE), i);
        CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_INT(ask_conn(&conn, "SELECT v FROM b"), i);
        (void)snprintf(sql, sizeof sql, "UPDATE b SET v = -%d", i);
        CHECK(raw_exec(aux, sql));
        CHECK_INT(ask_conn(&conn, "SELECT v FROM b"), -i);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    CHECK_INT(hits(p.pool), 0);
    close_pair(&p);
    (void)sqlite3_close(aux);
}

TEST(after_a_raw_handle) {
    const sqlpool_config config = one_reader();
    pair p;
    sqlpool_conn conn;
    sqlite3 *db;
    int i;
    int64_t before;
    CHECK(open_pair(&p, "raw.db", &config));
    for (i = 1; i <= 10; i++) {
        CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
        commit(p.other, 10 * i);
        CHECK_INT(ask_conn(&conn, VALUE), 10 * i);
        CHECK_INT(ask_conn(&conn, VALUE), 10 * i);
        db = sqlpool_conn_db(&conn);
        CHECK(db != NULL);
        commit(p.other, 10 * i + 1);
        CHECK_INT(raw_ask(db, VALUE), 10 * i + 1);
        commit(p.other, 10 * i + 2);
        CHECK_INT(ask_conn(&conn, VALUE), 10 * i + 2);
        commit(p.other, 10 * i + 3);
        CHECK_INT(raw_ask(db, VALUE), 10 * i + 3); /* no library call in between pinned it again */
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        commit(p.other, 10 * i + 4);
        CHECK_INT(ask(p.pool, VALUE), 10 * i + 4);
    }
    before = hits(p.pool);
    for (i = 0; i < 100; i++) CHECK_INT(ask(p.pool, VALUE), 104); /* it may have rested */
    CHECK(hits(p.pool) > before); /* the connection keeps snapshots again */
    /* a transaction that the caller began through it */
    CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 104);
    db = sqlpool_conn_db(&conn);
    CHECK(raw_exec(db, "BEGIN"));
    commit(p.other, 200);
    CHECK_INT(raw_ask(db, VALUE), 200);
    commit(p.other, 201);
    CHECK_INT(raw_ask(db, VALUE), 200);
    CHECK_INT(ask_conn(&conn, VALUE), 200);
    CHECK(raw_exec(db, "COMMIT"));
    CHECK_INT(ask_conn(&conn, VALUE), 201);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pair(&p);
}

/*  The caller steps it: plain autocommit freshness, whatever was pinned before. */
TEST(of_a_raw_statement) {
    const sqlpool_config config = one_reader();
    pair p;
    sqlpool_conn conn;
    sqlite3_stmt *one, *two;
    int i;
    CHECK(open_pair(&p, "stmt.db", &config));
    CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
    for (i = 10; i < 200; i += 10) {
        commit(p.other, i);
        CHECK_INT(ask_conn(&conn, VALUE), i);
        CHECK_INT(ask_conn(&conn, VALUE), i);
        CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT v FROM t WHERE 1", &one, &err), &err);
        commit(p.other, i + 1);
        CHECK_INT(step_value(one), i + 1);
        commit(p.other, i + 2);
        CHECK_INT(ask_conn(&conn, VALUE), i + 2); /* the library's beside it */
        commit(p.other, i + 3);
        CHECK_INT(step_value(one), i + 3);
        CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT v FROM t WHERE 2", &two, &err), &err);
        commit(p.other, i + 4);
        CHECK_INT(step_value(two), i + 4);
        CHECK_INT(sqlpool_conn_stmt_release(&conn, one), SQLPOOL_OK);
        commit(p.other, i + 5);
        CHECK_INT(step_value(two), i + 5);
        CHECK_INT(ask_conn(&conn, VALUE), i + 5);
        commit(p.other, i + 6);
        CHECK_INT(step_value(two), i + 6);
        CHECK_INT(sqlpool_conn_stmt_release(&conn, two), SQLPOOL_OK);
        commit(p.other, i + 7);
        CHECK_INT(ask_conn(&conn, VALUE), i + 7);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pair(&p);
}

#define TEN_ROWS "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10) SELECT v, i FROM n, t"

/*  A raw statement that was taken while a cursor was open outlives the cursor. */
TEST(of_a_raw_statement_beside_a_cursor) {
    const sqlpool_config config = one_reader();
    pair p;
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlite3_stmt *statement;
    CHECK(open_pair(&p, "beside.db", &config));
    CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 0);
    CHECK_INT(ask_conn(&conn, VALUE), 0);
    CHECK_OK(sqlpool_conn_query(&conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT v FROM t WHERE 1", &statement, &err), &err);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    commit(p.other, 1);
    CHECK_INT(step_value(statement), 1);
    commit(p.other, 2);
    CHECK_INT(step_value(statement), 2);
    commit(p.other, 3);
    CHECK_INT(ask_conn(&conn, VALUE), 3);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, statement), SQLPOOL_OK);
    commit(p.other, 4);
    CHECK_INT(ask_conn(&conn, VALUE), 4);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pair(&p);
}

/*  While a cursor is open its snapshot is the lease's, as with SQLite; then the newest again. */
TEST(inside_and_after_a_cursor) {
    sqlpool_config config = config_of(2);
    pair p;
    sqlpool_conn conn;
    sqlpool_rows rows, inner;
    int i, how;
    config.snapshot_idle_ms = LONG_IDLE_MS;
    CHECK(open_pair(&p, "cursor.db", &config));
    for (how = 0; how < 4; how++) {
        const int v = 100 * (how + 1);
        commit(p.other, v);
        CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
        if (how % 2 == 0) {
            CHECK_INT(ask_conn(&conn, VALUE), v);
            CHECK_INT(ask_conn(&conn, VALUE), v);
        }
        CHECK_OK(sqlpool_conn_query(&conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &err), &err);
        for (i = 1; i <= 10; i++) {
            CHECK(sqlpool_rows_next(&rows));
            CHECK_INT(sqlpool_rows_int64(&rows, 0), v);
            CHECK_INT(sqlpool_rows_int64(&rows, 1), i);
            commit(p.other, v + i);
            CHECK_INT(ask_conn(&conn, VALUE), v);
            CHECK_INT(ask(p.pool, VALUE), v + i); /* another connection */
            if (how >= 2 && i == 5) break;
        }
        if (how == 1) CHECK(!sqlpool_rows_next(&rows)); /* to its end; else closed before it */
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), v + (how >= 2 ? 5 : 10));
        commit(p.other, v + 20);
        CHECK_INT(ask_conn(&conn, VALUE), v + 20);
        /* the outer one ends first: the inner one's moment stays */
        CHECK_OK(sqlpool_conn_query(&conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &err), &err);
        CHECK_OK(sqlpool_conn_query(&conn, &inner, "SELECT v, i FROM (" TEN_ROWS ")", SQLPOOL_NO_ARGS, &err), &err);
        commit(p.other, v + 30);
        CHECK(sqlpool_rows_next(&inner));
        CHECK_INT(sqlpool_rows_int64(&inner, 0), v + 20);
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), v + 20);
        CHECK(sqlpool_rows_next(&inner));
        CHECK_INT(sqlpool_rows_int64(&inner, 0), v + 20);
        CHECK_OK(sqlpool_rows_close(&inner, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), v + 30);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    close_pair(&p);
}

/*  A cursor of a call on the pool, and one that is over at its first step. */
TEST(a_cursor_of_the_pool) {
    sqlpool_config config = config_of(2);
    pair p;
    sqlpool_rows rows;
    int i;
    config.snapshot_idle_ms = LONG_IDLE_MS;
    CHECK(open_pair(&p, "poolcursor.db", &config));
    for (i = 1; i <= 10; i++) {
        CHECK_OK(sqlpool_query(p.pool, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &err), &err);
        CHECK(sqlpool_rows_next(&rows));
        commit(p.other, i);
        CHECK_INT(ask(p.pool, VALUE), i);
        while (sqlpool_rows_next(&rows)) CHECK_INT(sqlpool_rows_int64(&rows, 0), i - 1);
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHECK_OK(sqlpool_query(p.pool, &rows, "SELECT v FROM t WHERE v = ?", SQLPOOL_ARGS(i - 1), &err), &err);
        CHECK(!sqlpool_rows_next(&rows));
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHECK_INT(ask(p.pool, VALUE), i);
    }
    close_pair(&p);
}

typedef struct reading {
    pair *p;
    int expect;
} reading;
static int read_twice(sqlpool_conn *conn, void *user, int attempt) {
    const reading *r = (const reading *)user;
    (void)attempt;
    if (ask_conn(conn, VALUE) != r->expect) return 1;
    commit(r->p->other, r->expect + 1);
    return ask_conn(conn, VALUE) == r->expect ? SQLPOOL_OK : 2;
}

TEST(inside_and_after_a_transaction) {
    const sqlpool_config config = one_reader();
    pair p;
    sqlpool_conn conn;
    reading r;
    int i;
    CHECK(open_pair(&p, "begin.db", &config));
    r.p = &p;
    for (i = 10; i < 200; i += 10) {
        commit(p.other, i);
        CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), i);
        CHECK_INT(ask_conn(&conn, VALUE), i);
        CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        commit(p.other, i + 1); /* after BEGIN, before its first read */
        CHECK_INT(ask_conn(&conn, VALUE), i + 1);
        commit(p.other, i + 2);
        CHECK_INT(ask_conn(&conn, VALUE), i + 1);
        CHECK_OK(sqlpool_conn_begin(&conn, &err), &err); /* a savepoint */
        CHECK_INT(ask_conn(&conn, VALUE), i + 1);
        CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), i + 1);
        if (i % 20 == 0) CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
        if (i % 20 != 0) CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), i + 2);
        commit(p.other, i + 3);
        CHECK_INT(ask_conn(&conn, VALUE), i + 3);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        r.expect = i + 3;
        CHECK_OK(sqlpool_transaction(p.pool, SQLPOOL_READ, read_twice, &r, &err), &err);
        CHECK_INT(ask(p.pool, VALUE), i + 4);
    }
    CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 194);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN); /* left open */
    commit(p.other, 500);
    CHECK_INT(ask(p.pool, VALUE), 500);
    close_pair(&p);
}

TEST(of_a_changed_schema) {
    const sqlpool_config config = one_reader();
    pair p;
    sqlpool_rows rows;
    int64_t value;
    int i;
    CHECK(open_pair(&p, "schema.db", &config));
    for (i = 2; i <= 8; i++) {
        char sql[100];
        CHECK_INT(ask(p.pool, VALUE), 0);
        CHECK_INT(ask(p.pool, VALUE), 0);
        (void)snprintf(sql, sizeof sql, "ALTER TABLE t ADD COLUMN c%d DEFAULT %d", i, i);
        CHECK(raw_exec(p.other, sql));
        CHECK_OK(sqlpool_query(p.pool, &rows, "SELECT * FROM t", SQLPOOL_NO_ARGS, &err), &err);
        CHECK(sqlpool_rows_next(&rows));
        CHECK_INT(sqlpool_rows_column_count(&rows), i);
        CHECK_INT(sqlpool_rows_int64(&rows, i - 1), i);
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        (void)snprintf(sql, sizeof sql, "SELECT c%d FROM t", i);
        CHECK_INT(ask(p.pool, sql), i);
        CHECK_RC(sqlpool_query_int64(p.pool, &value, "SELECT v FROM late", SQLPOOL_NO_ARGS, &err), SQLITE_ERROR,
                 &err);
        CHECK(raw_exec(p.other, "CREATE TABLE late(v); INSERT INTO late VALUES(7)"));
        CHECK_INT(ask(p.pool, "SELECT v FROM late"), 7);
        CHECK_INT(ask(p.pool, "SELECT v FROM late"), 7);
        CHECK(raw_exec(p.other, "DROP TABLE late"));
        CHECK_RC(sqlpool_query_int64(p.pool, &value, "SELECT v FROM late", SQLPOOL_NO_ARGS, &err), SQLITE_ERROR,
                 &err);
        (void)snprintf(sql, sizeof sql, "PRAGMA user_version = %d", i);
        CHECK(raw_exec(p.other, sql));
        CHECK_INT(ask(p.pool, "PRAGMA user_version"), i);
        CHECK_INT(ask(p.pool, "PRAGMA schema_version"), raw_ask(p.other, "PRAGMA schema_version"));
    }
    CHECK(raw_exec(p.other, "DROP TABLE t; CREATE TABLE t(a, v); INSERT INTO t VALUES(1, 77)"));
    CHECK_INT(ask(p.pool, VALUE), 77);
    CHECK(hits(p.pool) > 0);
    close_pair(&p);
}

/*  What else changes a database from elsewhere. */
TEST(after_vacuum_checkpoints_and_backup) {
    const sqlpool_config config = one_reader();
    static const int modes[] = {SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_FULL, SQLITE_CHECKPOINT_RESTART,
                                SQLITE_CHECKPOINT_TRUNCATE};
    pair p;
    sqlite3 *source;
    int i, k;
    CHECK(open_pair(&p, "elsewhere.db", &config));
    (void)sqlite3_busy_timeout(p.other, 0);
    for (i = 1; i <= 40; i++) {
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        (void)sqlite3_wal_checkpoint_v2(p.other, NULL, modes[i % 4], NULL, NULL); /* before: the pin is on it */
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        if (i % 3 == 0) {
            CHECK_OK(sqlpool_checkpoint(p.pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &err), &err);
            CHECK_INT(ask(p.pool, VALUE), i - 1); /* in a snapshot of an empty log */
            CHECK_INT(ask(p.pool, VALUE), i - 1);
        }
        CHECK(raw_exec(p.other, "BEGIN IMMEDIATE; UPDATE t SET v = -1; ROLLBACK"));
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        commit(p.other, i);
        for (k = 0; k < 3; k++) CHECK_INT(ask(p.pool, VALUE), i);
        (void)sqlite3_wal_checkpoint_v2(p.other, NULL, modes[(i + 1) % 4], NULL, NULL);
        for (k = 0; k < 3; k++) CHECK_INT(ask(p.pool, VALUE), i);
        if (i % 5 == 0) {
            CHECK(raw_exec(p.other, "VACUUM"));
            for (k = 0; k < 3; k++) CHECK_INT(ask(p.pool, VALUE), i);
        }
    }
    source = raw_open("elsewhere_source.db");
    CHECK(source != NULL);
    CHECK(raw_exec(source, "PRAGMA journal_mode = WAL; " TABLE "UPDATE t SET v = 4711"));
    {
        sqlite3_backup *backup = sqlite3_backup_init(p.other, "main", source, "main");
        CHECK(backup != NULL);
        CHECK_INT(sqlite3_backup_step(backup, -1), SQLITE_DONE);
        CHECK_INT(sqlite3_backup_finish(backup), SQLITE_OK);
    }
    CHECK_INT(ask(p.pool, VALUE), 4711);
    CHECK(hits(p.pool) > 0);
    (void)sqlite3_close(source);
    close_pair(&p);
}

TEST(after_recycle) {
    const sqlpool_config config = one_reader();
    pair p;
    int i;
    int64_t before;
    CHECK(open_pair(&p, "recycle.db", &config));
    for (i = 1; i <= 10; i++) {
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        if (i % 2 == 0) commit(p.other, i);
        CHECK_INT(sqlpool_recycle(p.pool), SQLPOOL_OK);
        if (i % 2 != 0) commit(p.other, i);
        CHECK_INT(ask(p.pool, VALUE), i);
        before = hits(p.pool);
        CHECK_INT(ask(p.pool, VALUE), i);
        CHECK_INT(hits(p.pool), before + 1);
    }
    close_pair(&p);
}

TEST(of_a_read_only_pool) {
    sqlpool_config config = one_reader();
    sqlite3 *other = raw_open("readonly.db");
    sqlpool *pool;
    int i, k;
    CHECK(other != NULL);
    CHECK(raw_exec(other, "PRAGMA journal_mode = WAL; " TABLE));
    config.read_only = true;
    pool = open_pool("readonly.db", &config, NULL);
    CHECK(pool != NULL);
    for (i = 1; i <= 20; i++) {
        commit(other, i);
        for (k = 0; k < 4; k++) CHECK_INT(ask(pool, VALUE), i);
    }
    close_pool(pool);
    (void)sqlite3_close(other);
}

/*---- interrupts ----*/

static void *cancel_token(void *argument) {
    void **both = (void **)argument;
    sleep_ms(5);
    (void)sqlpool_cancel((sqlpool *)both[0], (sqlpool_token *)both[1]);
    return NULL;
}
static void *cancel_lease(void *argument) {
    sleep_ms(5);
    (void)sqlpool_conn_cancel(*(sqlpool_conn *)argument);
    return NULL;
}

/*  SQLite keeps an interrupt pending while any statement is open, and a snapshot is one. */
TEST(no_interrupt_for_the_next_user) {
    const sqlpool_config config = one_reader();
    pair p;
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlpool_token token;
    sqlpool_call call;
    pthread_t thread;
    void *both[2];
    int64_t value;
    int i;
    CHECK(open_pair(&p, "interrupt.db", &config));
    memset(&call, 0, sizeof call);
    both[0] = p.pool;
    both[1] = &token;
    for (i = 1; i <= 8; i++) {
        /* by token, in a call on the pool */
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        memset(&token, 0, sizeof token);
        call.token = &token;
        CHECK(start_thread(&thread, cancel_token, both));
        memset(&err, 0, sizeof err);
        CHECK_RC(sqlpool_exec_with(p.pool, &call, NULL, ENDLESS, SQLPOOL_NO_ARGS, &err), SQLPOOL_CANCELLED, &err);
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        /* by token, in a cursor */
        memset(&token, 0, sizeof token);
        CHECK_OK(sqlpool_query_with(p.pool, &call, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &err), &err);
        CHECK(sqlpool_rows_next(&rows));
        CHECK_INT(sqlpool_cancel(p.pool, &token), SQLPOOL_OK);
        while (sqlpool_rows_next(&rows)) {
        }
        CHECK_RC(sqlpool_rows_close(&rows, &err), SQLPOOL_CANCELLED, &err);
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        call.token = NULL;
        /* a lease, while it runs */
        CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), i - 1);
        CHECK_INT(ask_conn(&conn, VALUE), i - 1);
        CHECK(start_thread(&thread, cancel_lease, &conn));
        CHECK_RC(sqlpool_conn_exec(&conn, ENDLESS, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_CANCELLED, &err);
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        /* a lease, while nothing runs but the snapshot is open */
        CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), i - 1);
        CHECK_INT(sqlpool_conn_cancel(conn), SQLPOOL_OK);
        CHECK_RC(sqlpool_conn_query(&conn, &rows, VALUE, SQLPOOL_NO_ARGS, &err), SQLPOOL_CANCELLED, &err);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_INT(ask(p.pool, VALUE), i - 1); /* no commit in between, which would end the snapshot */
        CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), i - 1);
        CHECK_INT(sqlpool_conn_cancel(conn), SQLPOOL_OK);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_INT(ask(p.pool, VALUE), i - 1);
        commit(p.other, i);
        CHECK_INT(ask(p.pool, VALUE), i);
        CHECK_INT(ask(p.pool, VALUE), i);
        /* deadline of a call */
        call.timeout_ms = 5;
        CHECK_RC(sqlpool_exec_with(p.pool, &call, NULL, ENDLESS, SQLPOOL_NO_ARGS, &err), SQLPOOL_TIMEOUT, &err);
        call.timeout_ms = 0;
        CHECK_INT(ask(p.pool, VALUE), i);
        CHECK_INT(ask(p.pool, VALUE), i);
        /* deadline of a lease: the next statement of the same lease, and the next lease */
        CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), i);
        CHECK_INT(sqlpool_conn_set_timeout(&conn, 5), SQLPOOL_OK);
        CHECK_RC(sqlpool_conn_exec(&conn, ENDLESS, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_TIMEOUT, &err);
        CHECK_INT(sqlpool_conn_set_timeout(&conn, SQLPOOL_FOREVER), SQLPOOL_OK);
        CHECK_INT(ask_conn(&conn, VALUE), i);
        CHECK_INT(ask_conn(&conn, VALUE), i);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_INT(ask(p.pool, VALUE), i);
    }
    /* deadlines that pass about when the statement ends */
    for (i = 0; i < 60; i++) {
        const int rc = (call.timeout_ms = 1 + i % 2,
                        sqlpool_exec_with(p.pool, &call, NULL,
                                          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                                          "LIMIT 8000) SELECT count(*) FROM n, t",
                                          SQLPOOL_NO_ARGS, &err));
        CHECK(rc == SQLPOOL_OK || rc == SQLPOOL_TIMEOUT);
        CHECK_OK(sqlpool_query_int64(p.pool, &value, VALUE, SQLPOOL_NO_ARGS, &err), &err);
        CHECK_INT(value, 8);
    }
    CHECK(hits(p.pool) > 0);
    close_pair(&p);
}

TEST(no_interrupt_after_a_statement_timeout) {
    sqlpool_config config = one_reader();
    pair p;
    sqlpool_conn conn;
    int i;
    config.statement_timeout_ms = 10;
    CHECK(open_pair(&p, "timeout.db", &config));
    for (i = 0; i < 5; i++) {
        CHECK_INT(ask(p.pool, VALUE), 0);
        CHECK_INT(ask(p.pool, VALUE), 0);
        CHECK_RC(sqlpool_exec(p.pool, ENDLESS, SQLPOOL_NO_ARGS, &err), SQLPOOL_TIMEOUT, &err);
        CHECK_INT(ask(p.pool, VALUE), 0);
        CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), 0);
        CHECK_RC(sqlpool_conn_exec(&conn, ENDLESS, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_TIMEOUT, &err);
        CHECK_INT(ask_conn(&conn, VALUE), 0);
        CHECK_INT(ask_conn(&conn, VALUE), 0);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    CHECK(hits(p.pool) > 0);
    close_pair(&p);
}

/*---- what is pinned ----*/

TEST(an_idle_snapshot_ends) {
    sqlpool_config config = config_of(3);
    pair p;
    sqlpool_conn conns[3];
    int round, i, rc = SQLITE_BUSY;
    CHECK(open_pair(&p, "idle.db", &config)); /* snapshot_idle_ms as it is by default */
    for (round = 1; round <= 3; round++) {
        int64_t begin;
        commit(p.other, round);
        for (i = 0; i < 3; i++) {
            CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conns[i], &err), &err);
            CHECK_INT(ask_conn(&conns[i], VALUE), round);
        }
        for (i = 0; i < 3; i++) CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
        begin = now_ms();
        do {
            sleep_ms(5);
            rc = truncate_log(p.other);
        } while (rc == SQLITE_BUSY && now_ms() - begin < 3000);
        CHECK_INT(rc, SQLITE_OK);
    }
    close_pair(&p);
}

static int truncate_inside(sqlpool_conn *conn, void *user) {
    (void)conn;
    return truncate_log((sqlite3 *)user);
}

/*  With snapshots that would stay for a minute. */
TEST(checkpoint_pause_and_exclusive_end_them) {
    const sqlpool_config config = one_reader();
    sqlpool_checkpoint_result result;
    pair p;
    CHECK(open_pair(&p, "retire.db", &config));
    commit(p.other, 0);
    CHECK_INT(ask(p.pool, VALUE), 0);
    CHECK_INT(truncate_log(p.other), SQLITE_BUSY); /* it pins */

    CHECK_OK(sqlpool_checkpoint(p.pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, &err), &err);
    CHECK_INT(result.log_frames, result.checkpointed_frames);
    CHECK_INT(truncate_log(p.other), SQLITE_OK);

    commit(p.other, 1);
    CHECK_INT(ask(p.pool, VALUE), 1);
    CHECK_INT(truncate_log(p.other), SQLITE_BUSY);
    CHECK_OK(sqlpool_pause(p.pool, 1000, &err), &err);
    CHECK_INT(truncate_log(p.other), SQLITE_OK);
    CHECK_INT(sqlpool_resume(p.pool), SQLPOOL_OK);

    commit(p.other, 2);
    CHECK_INT(ask(p.pool, VALUE), 2);
    CHECK_INT(truncate_log(p.other), SQLITE_BUSY);
    CHECK_OK(sqlpool_exclusive(p.pool, 1000, truncate_inside, p.other, &err), &err);

    commit(p.other, 3);
    CHECK_INT(ask(p.pool, VALUE), 3);
    CHECK_OK(sqlpool_checkpoint(p.pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &err), &err);
    CHECK_INT(ask(p.pool, VALUE), 3);

    /* a snapshot of an empty log keeps every frame out of the database file, unless it ends */
    commit(p.other, 4);
    CHECK_OK(sqlpool_checkpoint(p.pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, &err), &err);
    CHECK_INT(result.log_frames, result.checkpointed_frames);
    CHECK_INT(ask(p.pool, VALUE), 4);
    close_pair(&p);
}

typedef struct polling {
    sqlpool *pool;
    int stop;
    int errors;
} polling;
static void *poll_main(void *argument) {
    polling *poll = (polling *)argument;
    while (__atomic_load_n(&poll->stop, __ATOMIC_ACQUIRE) == 0) {
        int64_t value;
        if (sqlpool_query_int64(poll->pool, &value, VALUE, SQLPOOL_NO_ARGS, NULL) != SQLPOOL_OK)
            (void)__atomic_add_fetch(&poll->errors, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/*  TRUNCATE holds readers back while it works, so a thread that reads all the time does not stop
    it. */
TEST(truncate_beside_a_thread_that_reads) {
    sqlpool_config config = config_of(2);
    pair p;
    polling poll;
    pthread_t threads[2];
    int i, refused = 0;
    config.wal_wait_ms = 10000; /* for calls that are under way, on a processor that is slow or busy */
    CHECK(open_pair(&p, "polled.db", &config));
    memset(&poll, 0, sizeof poll);
    poll.pool = p.pool;
    for (i = 0; i < 2; i++) CHECK(start_thread(&threads[i], poll_main, &poll));
    for (i = 1; i <= 40; i++) {
        commit(p.other, i);
        sleep_ms(1);
        if (sqlpool_checkpoint(p.pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &err) != SQLPOOL_OK) refused++;
    }
    __atomic_store_n(&poll.stop, 1, __ATOMIC_RELEASE);
    for (i = 0; i < 2; i++) CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK_INT(poll.errors, 0);
    CHECK_INT(refused, 0);
    close_pair(&p);
}

typedef struct holding {
    sqlpool *pool;
    int64_t floor; /* the newest value that is committed */
    int64_t reads;
    int stop, errors, stale;
} holding;
static void *hold_main(void *argument) {
    holding *h = (holding *)argument;
    sqlpool_conn conn;
    if (sqlpool_conn_acquire(h->pool, SQLPOOL_READ, &conn, NULL) != SQLPOOL_OK) {
        h->errors = -1;
        return NULL;
    }
    while (__atomic_load_n(&h->stop, __ATOMIC_ACQUIRE) == 0) {
        const int64_t floor = __atomic_load_n(&h->floor, __ATOMIC_ACQUIRE);
        int64_t value = -1;
        sqlpool_rows rows;
        if (sqlpool_conn_query(&conn, &rows, VALUE, SQLPOOL_NO_ARGS, NULL) != SQLPOOL_OK ||
            !sqlpool_rows_next(&rows)) {
            h->errors++;
        } else {
            value = sqlpool_rows_int64(&rows, 0);
        }
        if (sqlpool_rows_close(&rows, NULL) != SQLPOOL_OK) h->errors++;
        if (value < floor) h->stale++;
        (void)__atomic_add_fetch(&h->reads, 1, __ATOMIC_RELEASE);
    }
    if (sqlpool_conn_release(&conn) != SQLPOOL_OK) h->errors++;
    return NULL;
}

/*  The snapshot of a lease is ended by checkpoints of another thread while its holder reads without a
    pause: each waits for the other, and no read is stale. */
TEST(checkpoints_beside_a_lease_that_reads) {
    sqlpool_config config = config_of(1);
    sqlpool *pool;
    holding h;
    pthread_t thread;
    int64_t before;
    int i;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    pool = open_pool("held.db", &config, TABLE);
    CHECK(pool != NULL);
    memset(&h, 0, sizeof h);
    h.pool = pool;
    CHECK(start_thread(&thread, hold_main, &h));
    for (i = 1; i <= 300; i++) {
        int k;
        before = __atomic_load_n(&h.reads, __ATOMIC_ACQUIRE);
        if (i % 4 == 0) {
            CHECK_OK(sqlpool_exec(pool, "UPDATE t SET v = ?", SQLPOOL_ARGS(i), &err), &err);
            __atomic_store_n(&h.floor, i, __ATOMIC_RELEASE);
        }
        for (k = 0; k < 3; k++)
            CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &err), &err);
        while (__atomic_load_n(&h.reads, __ATOMIC_ACQUIRE) < before + 3 && h.errors == 0) sched_yield();
    }
    __atomic_store_n(&h.stop, 1, __ATOMIC_RELEASE);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(h.errors, 0);
    CHECK_INT(h.stale, 0);
    CHECK(hits(pool) > 0);
    CHECK_INT((int64_t)stats_of(pool).closed_bad, 0);
    close_pool(pool);
}

/*  Held unused, with the thread that ends idle snapshots: its log may start over. */
TEST(an_idle_lease_pins_nothing) {
    sqlpool_config config = config_of(1);
    const int64_t give_up = now_ms() + 30000;
    pair p;
    sqlpool_conn conn;
    int i;
    CHECK(open_pair(&p, "idlelease.db", &config));
    CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
    for (i = 1; i <= 3; i++) {
        int rc = SQLITE_BUSY;
        commit(p.other, i);
        CHECK_INT(ask_conn(&conn, VALUE), i);
        while (rc == SQLITE_BUSY && now_ms() < give_up) {
            sleep_ms(5);
            rc = truncate_log(p.other);
        }
        CHECK_INT(rc, SQLITE_OK);
        CHECK_INT(ask_conn(&conn, VALUE), i);
        CHECK_OK(sqlpool_checkpoint(p.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &err), &err);
        CHECK_INT(truncate_log(p.other), SQLITE_OK);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pair(&p);
}

/*  The last close writes the log back and removes it, whatever readers had open. */
/*  The same by another connection, which nobody holds readers back for: its checkpoint moves all frames,
    and readers that never pause must then leave the log. The second try is for the moment after the
    commit that the manual speaks of. */
TEST(a_foreign_truncate_beside_a_thread_that_reads) {
    sqlpool_config config = config_of(1);
    pair p;
    polling poll;
    pthread_t thread;
    int i;
    CHECK(open_pair(&p, "foreign.db", &config));
    memset(&poll, 0, sizeof poll);
    poll.pool = p.pool;
    CHECK(start_thread(&thread, poll_main, &poll));
    for (i = 1; i <= 100; i++) {
        int rc;
        commit(p.other, i);
        (void)sqlite3_busy_timeout(p.other, 20);
        rc = sqlite3_wal_checkpoint_v2(p.other, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        (void)sqlite3_busy_timeout(p.other, 5000);
        if (rc == SQLITE_BUSY)
            rc = sqlite3_wal_checkpoint_v2(p.other, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        CHECK_INT(rc, SQLITE_OK);
    }
    for (i = 0; i < 5000 && hits(p.pool) == 0; i++) sleep_ms(1); /* the thread may not have run */
    __atomic_store_n(&poll.stop, 1, __ATOMIC_RELEASE);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(poll.errors, 0);
    CHECK(hits(p.pool) > 0);
    close_pair(&p);
}

/*  A cursor that failed and is not closed yet runs nothing any more: it pins nothing either. */
TEST(a_failed_cursor_pins_nothing) {
    const sqlpool_config config = one_reader();
    pair p;
    sqlpool_conn conn;
    sqlpool_rows rows;
    CHECK(open_pair(&p, "failed.db", &config));
    CHECK(raw_exec(p.other, "INSERT INTO t VALUES(-9223372036854775807 - 1)"));
    CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_query(&conn, &rows, "SELECT abs(v) FROM t ORDER BY rowid", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK(!sqlpool_rows_next(&rows)); /* integer overflow */
    commit(p.other, 5);
    CHECK_INT(truncate_log(p.other), SQLITE_OK);
    CHECK_INT(sqlpool_rows_close(&rows, &err), SQLITE_ERROR);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pair(&p);
}

TEST(close_leaves_no_log) {
    sqlpool_config config = config_of(4);
    sqlpool_conn conns[4];
    sqlpool *pool;
    int i;
    config.snapshot_idle_ms = LONG_IDLE_MS;
    pool = open_pool("close.db", &config, TABLE);
    CHECK(pool != NULL);
    for (i = 0; i < 4; i++) {
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conns[i], &err), &err);
    }
    for (i = 0; i < 4; i++) { /* each connection in turn is the only free one */
        CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
        CHECK_INT(ask(pool, VALUE), 0);
        CHECK_INT(ask(pool, VALUE), 0);
        if (i < 3) CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conns[i], &err), &err);
    }
    for (i = 0; i < 3; i++) CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
    CHECK_INT(hits(pool), 4);
    CHECK_OK(sqlpool_exec(pool, "UPDATE t SET v = 9", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(access("close.db-wal", F_OK), 0);
    close_pool(pool);
    CHECK(access("close.db-wal", F_OK) != 0);
    CHECK(access("close.db-shm", F_OK) != 0);
    {
        sqlite3 *db = raw_open("close.db");
        CHECK(db != NULL);
        CHECK_INT(raw_ask(db, VALUE), 9);
        (void)sqlite3_close(db);
    }
}

/*---- when there are none ----*/

static int resolved_idle_ms(sqlpool *pool) {
    sqlpool_config config;
    return sqlpool_config_resolved(pool, &config) == SQLPOOL_OK ? config.snapshot_idle_ms : -99;
}

static void check_none(const char *path, const sqlpool_config *config, bool is_resolved_off) {
    const bool is_memory = strcmp(path, ":memory:") == 0;
    sqlpool *pool = open_pool(path, config, TABLE);
    sqlite3 *other = NULL;
    int i;
    CHECK(pool != NULL);
    if (!is_memory) {
        other = raw_open(path);
        CHECK(other != NULL);
    }
    if (is_resolved_off && resolved_idle_ms(pool) != SQLPOOL_OFF)
        test_fail(__FILE__, __LINE__, "%s: snapshot_idle_ms is %d in effect", path, resolved_idle_ms(pool));
    for (i = 1; i <= 10; i++) {
        if (other != NULL) {
            commit(other, i);
        } else {
            CHECK_OK(sqlpool_exec(pool, "UPDATE t SET v = ?", SQLPOOL_ARGS(i), &err), &err);
        }
        CHECK_INT(ask(pool, VALUE), i);
        CHECK_INT(ask(pool, VALUE), i);
        CHECK_INT(ask(pool, VALUE), i);
    }
    CHECK_INT(hits(pool), 0);
    CHECK_INT(misses(pool), 0);
    if (other != NULL && config->journal == SQLPOOL_JOURNAL_WAL) CHECK_INT(truncate_log(other), SQLITE_OK);
    (void)sqlite3_close(other);
    close_pool(pool);
}

TEST(switched_off) {
    sqlpool_config config = one_reader();
    config.snapshot_idle_ms = SQLPOOL_OFF;
    PART(check_none("off.db", &config, true));
    config = one_reader();
    config.disable_upkeep_thread = true; /* nobody would end them */
    PART(check_none("tick.db", &config, true));
    config = one_reader();
    config.journal = SQLPOOL_JOURNAL_DELETE;
    PART(check_none("delete.db", &config, true));
    config = one_reader();
    PART(check_none(":memory:", &config, true));
    config = one_reader();
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    PART(check_none("general.db", &config, false));
    config = one_reader();
    config.max_connections = 1;
    PART(check_none("single.db", &config, false));
}

TEST(default_is_on) {
    sqlpool *pool = open_pool("default.db", NULL, TABLE);
    CHECK(pool != NULL);
    CHECK_INT(resolved_idle_ms(pool), 50);
    CHECK_INT(ask(pool, VALUE), 0);
    CHECK_INT(ask(pool, VALUE), 0);
    CHECK(hits(pool) > 0);
    close_pool(pool);
}

/*---- cost ----*/

TEST(steady_state_allocates_nothing) {
    const sqlpool_config config = one_reader();
    pair p;
    sqlpool_conn conn;
    sqlpool_stats before, after;
    int i;
    CHECK(open_pair(&p, "steady.db", &config));
    for (i = 0; i < 20; i++) CHECK_INT(ask(p.pool, VALUE), 0);
    CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 0);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    before = stats_of(p.pool);
    for (i = 1; i <= 1000; i++) {
        if (i % 100 == 0) commit(p.other, i); /* a new snapshot needs no memory either */
        CHECK_INT(ask(p.pool, VALUE), i / 100 * 100);
        CHECK_OK(sqlpool_conn_acquire(p.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), i / 100 * 100);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    after = stats_of(p.pool);
    CHECK_INT(after.allocations, before.allocations);
    CHECK_INT(after.memory_bytes, before.memory_bytes);
    CHECK_INT(after.snapshot_misses - before.snapshot_misses, 10); /* the lease takes it over */
    CHECK_INT(after.snapshot_hits - before.snapshot_hits, 1990);
    before = after;
    for (i = 1; i <= 1000; i++) {
        if (i % 100 == 0) commit(p.other, i);
        CHECK_INT(ask(p.pool, VALUE), i < 100 ? 1000 : i / 100 * 100);
    }
    after = stats_of(p.pool);
    CHECK_INT(after.allocations, before.allocations);
    CHECK_INT(after.snapshot_misses - before.snapshot_misses, 10);
    CHECK_INT(after.snapshot_hits - before.snapshot_hits, 990);
    close_pair(&p);
}

/*  A commit before every read: keeping snapshots rests, and comes back when that ends. */
TEST(frequent_commits_make_it_rest) {
    const sqlpool_config config = one_reader();
    enum { ROUNDS = 2000 };
    pair p;
    int64_t before;
    int i;
    CHECK(open_pair(&p, "rest.db", &config));
    CHECK(raw_exec(p.other, "PRAGMA synchronous = OFF"));
    for (i = 1; i <= ROUNDS; i++) {
        commit(p.other, i);
        CHECK_INT(ask(p.pool, VALUE), i);
    }
    CHECK(misses(p.pool) >= 1 && misses(p.pool) <= ROUNDS / 20);
    before = hits(p.pool);
    CHECK_INT(before, 0);
    for (i = 0; i < 200; i++) CHECK_INT(ask(p.pool, VALUE), ROUNDS);
    CHECK(hits(p.pool) >= 100);
    close_pair(&p);
}

int main(void) {
    RUN(on_the_pool);
    RUN(every_kind_of_read);
    RUN(on_a_lease);
    RUN(of_a_second_pool);
    RUN(of_an_attached_database);
    RUN(after_a_raw_handle);
    RUN(of_a_raw_statement);
    RUN(of_a_raw_statement_beside_a_cursor);
    RUN(inside_and_after_a_cursor);
    RUN(a_cursor_of_the_pool);
    RUN(inside_and_after_a_transaction);
    RUN(of_a_changed_schema);
    RUN(after_vacuum_checkpoints_and_backup);
    RUN(after_recycle);
    RUN(of_a_read_only_pool);
    RUN(no_interrupt_for_the_next_user);
    RUN(no_interrupt_after_a_statement_timeout);
    RUN(an_idle_snapshot_ends);
    RUN(checkpoint_pause_and_exclusive_end_them);
    RUN(truncate_beside_a_thread_that_reads);
    RUN(checkpoints_beside_a_lease_that_reads);
    RUN(an_idle_lease_pins_nothing);
    RUN(a_foreign_truncate_beside_a_thread_that_reads);
    RUN(a_failed_cursor_pins_nothing);
    RUN(close_leaves_no_log);
    RUN(switched_off);
    RUN(default_is_on);
    RUN(steady_state_allocates_nothing);
    RUN(frequent_commits_make_it_rest);
    return test_end();
}
