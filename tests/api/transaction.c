/*  transaction.c - transactions, savepoints, retry of the whole, scripts. SPDX-License-Identifier: MIT OR Unlicense */
#define _POSIX_C_SOURCE 200809L
#include "api.h"

static sqlpool_error err;
static const char schema[] =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE);"
    "CREATE TABLE parent(id INTEGER PRIMARY KEY);"
    "CREATE TABLE child(p REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED);";

static int insert(sqlpool_conn *conn, int value) {
    return sqlpool_conn_exec(conn, "INSERT INTO t(v) VALUES(?)", SQLPOOL_ARGS(value), NULL, NULL);
}

/*------------------------------------------------------------------------------
 * functions
 *----------------------------------------------------------------------------*/

typedef struct plan {
    sqlpool *pool;
    int value;     /* inserted on each attempt */
    int fail_first; /* this many attempts return fail_code */
    int fail_code;
    int calls;
    int last_attempt;
    int wrong; /* something in the function went wrong */
    int64_t seen;
} plan;

static plan plan_of(int value, int fail_first, int fail_code) {
    plan p;
    memset(&p, 0, sizeof p);
    p.value = value;
    p.fail_first = fail_first;
    p.fail_code = fail_code;
    return p;
}
static int run_plan(sqlpool_conn *conn, void *user, int attempt) {
    plan *p = (plan *)user;
    p->calls++;
    if (attempt != p->calls) p->wrong = __LINE__;
    p->last_attempt = attempt;
    p->seen = ask_conn(conn, "SELECT count(*) FROM t");
    if (insert(conn, p->value) != SQLPOOL_OK) p->wrong = __LINE__;
    return p->calls <= p->fail_first ? p->fail_code : 0;
}

TEST(commit_and_rollback) {
    static const int codes[] = {1, 42, 4242, -4242, SQLITE_CONSTRAINT, SQLITE_FULL, SQLPOOL_NOT_FOUND, INT32_MAX, INT32_MIN};
    plan p;
    int i;
    sqlpool_stats stats;
    sqlpool *pool = open_pool("commit.db", NULL, schema);
    CHECK(pool != NULL);
    p = plan_of(1, 0, 0);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, run_plan, &p, &err), &err);
    CHECK_INT(p.calls, 1);
    CHECK_INT(p.wrong, 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    for (i = 0; i < LENGTH(codes); i++) {
        p = plan_of(2, 100, codes[i]);
        CHECK_INT(sqlpool_transaction(pool, SQLPOOL_WRITE, run_plan, &p, &err), codes[i]);
        CHECK_INT(err.result, codes[i]);
        CHECK_INT(p.calls, 1); /* none of these asks for another try */
        CHECK_INT(p.wrong, 0);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    }
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.used, 0);
    CHECK_INT(stats.unclean, 0);
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_transaction(pool, (sqlpool_mode)9, run_plan, &p, &err), SQLPOOL_MISUSE, &err);
    close_pool(pool);
}

TEST(the_whole_transaction_runs_again) {
    plan p;
    sqlpool_call call = {0, 2, 0, NULL, NULL};
    sqlpool_stats stats;
    sqlpool *pool = open_pool("again.db", NULL, schema);
    CHECK(pool != NULL);
    p = plan_of(1, 2, SQLITE_BUSY_SNAPSHOT);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, run_plan, &p, &err), &err);
    CHECK_INT(p.calls, 3);
    CHECK_INT(p.last_attempt, 3);
    CHECK_INT(p.wrong, 0);
    CHECK_INT(p.seen, 0); /* each attempt began afresh */
    CHECK_INT(err.attempts, 3);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.retries, 2);
    p = plan_of(2, 100, SQLITE_BUSY_SNAPSHOT);
    CHECK_RC(sqlpool_transaction_with(pool, &call, SQLPOOL_WRITE, run_plan, &p, &err), SQLITE_BUSY_SNAPSHOT, &err);
    CHECK_INT(p.calls, 2); /* call->attempts */
    CHECK_INT(err.attempts, 2);
    p = plan_of(2, 100, SQLITE_BUSY_SNAPSHOT);
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, run_plan, &p, &err), SQLITE_BUSY_SNAPSHOT, &err);
    CHECK_INT(p.calls, 5); /* retry_attempts */
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
}

TEST(retries_stay_within_the_deadline) {
    plan p;
    sqlpool_config config = sqlpool_config_default();
    sqlpool_call call = {80, 0, 0, NULL, NULL};
    int64_t start;
    int rc;
    sqlpool *pool;
    config.retry_attempts = 100;
    config.retry_base_us = 20000;
    config.retry_jitter = SQLPOOL_JITTER_NONE;
    pool = open_pool("deadline.db", &config, schema);
    CHECK(pool != NULL);
    p = plan_of(1, 1000, SQLITE_BUSY_SNAPSHOT);
    start = now_ms();
    rc = sqlpool_transaction_with(pool, &call, SQLPOOL_WRITE, run_plan, &p, &err);
    CHECK(rc == SQLITE_BUSY_SNAPSHOT || rc == SQLPOOL_TIMEOUT);
    CHECK(now_ms() - start < 1000);
    CHECK(p.calls >= 2 && p.calls < 10);
    CHECK(err.waited_us >= 20000);
    close_pool(pool);
}

TEST(lock_of_another_connection) {
    plan p;
    sqlite3 *other;
    pthread_t thread;
    sqlpool_call call = {60, 0, 0, NULL, NULL};
    int64_t start;
    sqlpool *pool = open_pool("locked.db", NULL, schema);
    CHECK(pool != NULL);
    other = raw_open("locked.db");
    CHECK(other != NULL && raw_exec(other, "BEGIN IMMEDIATE; INSERT INTO t(v) VALUES('raw')"));
    p = plan_of(1, 0, 0);
    start = now_ms();
    CHECK_RC(sqlpool_transaction_with(pool, &call, SQLPOOL_WRITE, run_plan, &p, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(err.sqlite_code & 0xff, SQLITE_BUSY);
    CHECK_INT(p.calls, 0);
    CHECK(now_ms() - start >= 55 && now_ms() - start < 1500);
    CHECK(start_thread(&thread, commit_later, other));
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, run_plan, &p, &err), &err);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(p.calls, 1); /* BEGIN waited; the function did not run in vain */
    CHECK_INT(p.seen, 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    close_pool(pool);
}

TEST(commit_that_meets_a_reader_of_another_connection) {
    sqlpool_config config = sqlpool_config_default();
    sqlite3 *other;
    pthread_t thread;
    plan p;
    sqlpool *pool;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    pool = open_pool("rollback.db", &config, schema);
    CHECK(pool != NULL);
    other = raw_open("rollback.db");
    CHECK(other != NULL && raw_exec(other, "BEGIN; SELECT count(*) FROM t"));
    p = plan_of(1, 0, 0);
    CHECK(start_thread(&thread, commit_later, other));
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, run_plan, &p, &err), &err);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(p.calls, 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    close_pool(pool);
}

static int read_twice(sqlpool_conn *conn, void *user, int attempt) {
    plan *p = (plan *)user;
    (void)attempt;
    p->seen = ask_conn(conn, "SELECT count(*) FROM t");
    if (sqlpool_exec(p->pool, "INSERT INTO t(v) VALUES('meanwhile')", SQLPOOL_NO_ARGS, NULL) != SQLPOOL_OK) return 77;
    if (ask(p->pool, "SELECT count(*) FROM t") != p->seen + 1) return 78; /* outside it is there */
    if (ask_conn(conn, "SELECT count(*) FROM t") != p->seen) return 79;   /* inside it is not */
    if (insert(conn, 5) == SQLPOOL_OK) return 80;                         /* and nothing can be written */
    return 0;
}

TEST(read_transaction_is_one_image) {
    plan p;
    sqlpool_conn conn;
    sqlpool *pool = open_pool("image.db", NULL, schema);
    CHECK(pool != NULL);
    memset(&p, 0, sizeof p);
    p.pool = pool;
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_READ, read_twice, &p, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    /* by hand */
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_INT(ask_conn(&conn, "SELECT count(*) FROM t"), 1);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES('again')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask_conn(&conn, "SELECT count(*) FROM t"), 1);
    CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    CHECK_INT(ask_conn(&conn, "SELECT count(*) FROM t"), 2);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * nesting
 *----------------------------------------------------------------------------*/

static int insert_and_return(sqlpool_conn *conn, void *user, int attempt) {
    const int *value_and_result = (const int *)user;
    if (attempt != 1) return 90;
    if (insert(conn, value_and_result[0]) != SQLPOOL_OK) return 91;
    return value_and_result[1];
}
static int nest(sqlpool_conn *conn, void *user, int attempt) {
    int good[2] = {10, 0}, bad[2] = {11, 55}, again[2] = {12, 0};
    (void)user, (void)attempt;
    if (insert(conn, 9) != SQLPOOL_OK) return 92;
    if (sqlpool_conn_transaction(conn, insert_and_return, good, NULL) != SQLPOOL_OK) return 93;
    if (sqlpool_conn_transaction(conn, insert_and_return, bad, NULL) != 55) return 94;
    if (sqlpool_conn_transaction(conn, insert_and_return, again, NULL) != SQLPOOL_OK) return 95;
    return 0;
}
static int nest_deep(sqlpool_conn *conn, void *user, int attempt) {
    int *depth = (int *)user;
    (void)attempt;
    if (insert(conn, 1000 + *depth) != SQLPOOL_OK) return 96;
    if (--*depth > 0) {
        const int here = *depth, rc = sqlpool_conn_transaction(conn, nest_deep, depth, NULL);
        return here % 2 == 0 ? rc : 0; /* swallow every other failure */
    }
    return 7;
}

TEST(nested_transactions_are_savepoints) {
    int depth = 50;
    sqlpool *pool = open_pool("nested.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, nest, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE v IN (9, 10, 12)"), 3);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE v = 11"), 0);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, nest_deep, &depth, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE v >= 1000"), 49); /* only the innermost failed */
    close_pool(pool);
}

static int restart_inside(sqlpool_conn *conn, void *user, int attempt) {
    int *calls = (int *)user;
    (void)conn, (void)attempt;
    ++*calls;
    return SQLITE_BUSY_SNAPSHOT;
}
static int outer_of_restart(sqlpool_conn *conn, void *user, int attempt) {
    int *calls = (int *)user;
    if (attempt >= 3) return 0;
    return sqlpool_conn_transaction(conn, restart_inside, &calls[1], NULL) == SQLITE_BUSY_SNAPSHOT &&
                   ++calls[0] > 0
               ? SQLITE_BUSY_SNAPSHOT
               : 97;
}

TEST(restart_is_left_to_the_outermost) {
    int pool_calls[2] = {0, 0}, lease_calls[2] = {0, 0};
    sqlpool_conn conn;
    sqlpool *pool = open_pool("outermost.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, outer_of_restart, pool_calls, &err), &err);
    CHECK_INT(pool_calls[0], 2); /* the outer one ran three times, */
    CHECK_INT(pool_calls[1], 2); /* the inner one once in each of the first two */
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_transaction(&conn, outer_of_restart, lease_calls, &err), &err);
    CHECK_INT(lease_calls[0], 2);
    CHECK_INT(lease_calls[1], 2);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

TEST(by_hand) {
    sqlpool_conn conn;
    int i;
    sqlpool *pool = open_pool("hand.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_RC(sqlpool_conn_commit(&conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "sqlpool_conn_begin");
    CHECK_RC(sqlpool_conn_rollback(&conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_INT(insert(&conn, 1), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_INT(insert(&conn, 2), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err); /* the inner level only */
    CHECK_INT(insert(&conn, 3), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_INT(insert(&conn, 4), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0); /* nothing is out yet */
    CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE v = 2"), 0);
    CHECK_RC(sqlpool_conn_commit(&conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_INT(insert(&conn, 5), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err);
    CHECK_RC(sqlpool_conn_rollback(&conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    for (i = 0; i < 100; i++) CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_INT(insert(&conn, 6), SQLPOOL_OK);
    for (i = 0; i < 100; i++) CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 4);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * SQLite ends it by itself
 *----------------------------------------------------------------------------*/

static int goes_on_after_the_end(sqlpool_conn *conn, void *user, int attempt) {
    int *results = (int *)user;
    (void)attempt;
    results[0] = insert(conn, 1);
    results[1] = sqlpool_conn_exec(conn, "INSERT OR ROLLBACK INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, NULL, NULL);
    results[2] = insert(conn, 2); /* must not become an autocommit write */
    results[3] = sqlpool_conn_exec(conn, "SELECT 1", SQLPOOL_NO_ARGS, NULL, NULL);
    results[4] = sqlpool_conn_script(conn, "INSERT INTO t(v) VALUES(3)", -1, NULL);
    return 0;
}
static int inner_ends_it(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    (void)sqlpool_conn_exec(conn, "INSERT OR ROLLBACK INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, NULL, NULL);
    return 0;
}
static int swallow(sqlpool_conn *conn, sqlpool_transaction_fn inner, int *results) {
    results[0] = insert(conn, 1);
    results[1] = sqlpool_conn_transaction(conn, inner, NULL, NULL);
    results[2] = insert(conn, 2);
    return 0;
}
static int outer_swallows(sqlpool_conn *conn, void *user, int attempt) {
    (void)attempt;
    return swallow(conn, inner_ends_it, (int *)user);
}
static int inner_ends_it_with_error(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, "INSERT OR ROLLBACK INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, NULL, NULL);
}
static int outer_swallows_error(sqlpool_conn *conn, void *user, int attempt) {
    (void)attempt;
    return swallow(conn, inner_ends_it_with_error, (int *)user);
}

TEST(transaction_that_sqlite_ended) {
    int results[5];
    sqlpool_conn conn;
    int rc;
    sqlpool_error detail;
    sqlpool *pool = open_pool("ended.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, goes_on_after_the_end, results, &err), SQLPOOL_ROLLED_BACK, &err);
    CHECK_INT(results[0], SQLPOOL_OK);
    CHECK_INT(results[1], SQLITE_CONSTRAINT_UNIQUE);
    CHECK_INT(results[2], SQLPOOL_ROLLED_BACK);
    CHECK_INT(results[3], SQLPOOL_ROLLED_BACK);
    CHECK_INT(results[4], SQLPOOL_ROLLED_BACK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    /* by hand, with RAISE(ROLLBACK) */
    CHECK_OK(sqlpool_exec(pool, "CREATE TRIGGER tr BEFORE INSERT ON t WHEN new.v = 13 BEGIN SELECT RAISE(ROLLBACK, 'no 13'); END",
                          SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_INT(insert(&conn, 1), SQLPOOL_OK);
    CHECK_RC(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES(13)", SQLPOOL_NO_ARGS, NULL, &err), SQLITE_CONSTRAINT_TRIGGER, &err);
    CHECK_HAS(err.message, "no 13");
    CHECK_RC(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_ROLLED_BACK, &err);
    {
        sqlpool_rows rows;
        sqlite3_stmt *statement;
        CHECK_RC(sqlpool_conn_query(&conn, &rows, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_ROLLED_BACK, &err);
        (void)sqlpool_rows_close(&rows, NULL);
        CHECK_RC(sqlpool_conn_stmt(&conn, "SELECT 1", &statement, &err), SQLPOOL_ROLLED_BACK, &err);
        CHECK_RC(sqlpool_conn_begin(&conn, &err), SQLPOOL_ROLLED_BACK, &err);
    }
    CHECK_RC(sqlpool_conn_commit(&conn, &err), SQLPOOL_ROLLED_BACK, &err);
    rc = sqlpool_conn_rollback(&conn, &detail); /* clears the state, whatever it says */
    CHECK(rc == SQLPOOL_OK || rc == SQLPOOL_ROLLED_BACK || rc == SQLPOOL_MISUSE);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_INT(insert(&conn, 4), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
}

/*  The end reaches every level: what the outer ones do afterwards must not become autocommit writes. */
TEST(nested_transaction_that_sqlite_ended) {
    int way, results[3];
    sqlpool_conn conn;
    sqlpool *pool = open_pool("endednested.db", NULL, schema);
    CHECK(pool != NULL);
    for (way = 0; way < 2; way++) { /* the inner function returns 0, or the error */
        const int rc = sqlpool_transaction(pool, SQLPOOL_WRITE, way == 0 ? outer_swallows : outer_swallows_error, results, &err);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
        CHECK_INT(results[0], SQLPOOL_OK);
        CHECK_INT(results[1], way == 0 ? SQLPOOL_ROLLED_BACK : SQLITE_CONSTRAINT_UNIQUE);
        CHECK_INT(results[2], SQLPOOL_ROLLED_BACK);
        CHECK_INT(rc, SQLPOOL_ROLLED_BACK);
        CHECK_INT(err.result, SQLPOOL_ROLLED_BACK);
    }
    for (way = 0; way < 2; way++) { /* by hand: the inner level is committed, or rolled back */
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
        CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        CHECK_INT(insert(&conn, 1), SQLPOOL_OK);
        CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        CHECK_RC(sqlpool_conn_exec(&conn, "INSERT OR ROLLBACK INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, NULL, &err),
                 SQLITE_CONSTRAINT_UNIQUE, &err);
        if (way == 0)
            CHECK_RC(sqlpool_conn_commit(&conn, &err), SQLPOOL_ROLLED_BACK, &err);
        else
            (void)sqlpool_conn_rollback(&conn, &err);
        results[0] = insert(&conn, 2); /* the outer level is still to be ended */
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
        CHECK_INT(results[0], SQLPOOL_ROLLED_BACK);
        CHECK_RC(sqlpool_conn_commit(&conn, &err), SQLPOOL_ROLLED_BACK, &err);
        (void)sqlpool_conn_release(&conn);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    }
    close_pool(pool);
}

/*  A write that is stopped takes its transaction with it; nothing of it may be committed by what follows. */
TEST(stopped_inside_a_transaction) {
    static const char endless[] =
        "INSERT INTO t(v) WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    sqlpool_conn conn;
    int way;
    sqlpool *pool = open_pool("stopped.db", NULL, schema);
    CHECK(pool != NULL);
    for (way = 0; way < 3; way++) {
        int rc;
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
        CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        CHECK_INT(insert(&conn, 1), SQLPOOL_OK);
        if (way == 1) CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        CHECK_INT(sqlpool_conn_set_timeout(&conn, 40), SQLPOOL_OK);
        CHECK_RC(sqlpool_conn_exec(&conn, endless, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_TIMEOUT, &err);
        CHECK_INT(sqlpool_conn_set_timeout(&conn, SQLPOOL_FOREVER), SQLPOOL_OK);
        rc = insert(&conn, 2);
        CHECK_INT(rc, SQLPOOL_ROLLED_BACK);
        if (way == 2) {
            rc = sqlpool_conn_release(&conn); /* OK or UNCLEAN: SQLite has ended it already */
            CHECK(rc == SQLPOOL_OK || rc == SQLPOOL_UNCLEAN);
        } else {
            CHECK_RC(sqlpool_conn_commit(&conn, &err), SQLPOOL_ROLLED_BACK, &err);
            (void)sqlpool_conn_release(&conn);
        }
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    }
    close_pool(pool);
}

static int orphan(sqlpool_conn *conn, void *user, int attempt) {
    int *calls = (int *)user;
    (void)attempt;
    ++*calls;
    return sqlpool_conn_exec(conn, "INSERT INTO child VALUES(1)", SQLPOOL_NO_ARGS, NULL, NULL);
}

TEST(deferred_foreign_key) {
    int calls = 0;
    sqlpool_conn conn;
    sqlpool *pool = open_pool("deferred.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, orphan, &calls, &err), SQLITE_CONSTRAINT_FOREIGNKEY, &err);
    CHECK_INT(calls, 1);
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO child VALUES(1)", SQLPOOL_NO_ARGS, &err), SQLITE_CONSTRAINT_FOREIGNKEY, &err);
    CHECK_RC(sqlpool_script(pool, "INSERT INTO child VALUES(1); SELECT 1", -1, &err), SQLITE_CONSTRAINT_FOREIGNKEY, &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM child"), 0);
    /* a failed commit leaves the transaction open: mend and commit again */
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO child VALUES(1)", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_RC(sqlpool_conn_commit(&conn, &err), SQLITE_CONSTRAINT_FOREIGNKEY, &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM child"), 0);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO parent VALUES(1)", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM child"), 1);
    /* or roll back */
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO child VALUES(2)", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_RC(sqlpool_conn_commit(&conn, &err), SQLITE_CONSTRAINT_FOREIGNKEY, &err);
    CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err);
    /* or just give it back */
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO child VALUES(2)", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_RC(sqlpool_conn_commit(&conn, &err), SQLITE_CONSTRAINT_FOREIGNKEY, &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
    CHECK_INT(ask(pool, "SELECT count(*) FROM child"), 1);
    close_pool(pool);
}

static int leave_cursor_open(sqlpool_conn *conn, void *user, int attempt) {
    sqlpool_rows *rows = (sqlpool_rows *)user;
    (void)attempt;
    if (insert(conn, 1) != SQLPOOL_OK || insert(conn, 2) != SQLPOOL_OK) return 98;
    if (sqlpool_conn_query(conn, rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, NULL) != SQLPOOL_OK) return 99;
    return sqlpool_rows_next(rows) ? 0 : 100;
}
TEST(cursor_left_open_by_the_function) {
    sqlpool_rows rows;
    sqlpool_stats stats;
    sqlpool *pool = open_pool("leftcursor.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, leave_cursor_open, &rows, &err), &err);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.used, 0);
    CHECK(!sqlpool_rows_next(&rows));
    (void)sqlpool_rows_close(&rows, NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2); /* committed */
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(3)", SQLPOOL_NO_ARGS, &err), &err);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * scripts
 *----------------------------------------------------------------------------*/

TEST(scripts) {
    static const struct {
        const char *sql;
        int expected;
        const char *at;    /* the failing statement */
        const char *token; /* or the token in it */
    } cases[] = {
        {"", SQLPOOL_OK, NULL, NULL},
        {" ;; -- nothing\n /* at all */ ;", SQLPOOL_OK, NULL, NULL},
        {"CREATE TABLE a(x); INSERT INTO a VALUES(1); SELECT * FROM a; DROP TABLE a", SQLPOOL_OK, NULL, NULL},
        {"CREATE TABLE b(x);;; -- c\n INSERT INTO b VALUES('; not the end'); DROP TABLE b;\n", SQLPOOL_OK, NULL, NULL},
        {"CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t WHERE v = 1; SELECT 2; END; DROP TRIGGER x", SQLPOOL_OK, NULL, NULL},
        {"INSERT INTO t(v) VALUES(1);\n  INSERT INTO nosuch VALUES(2);\n", SQLITE_ERROR, "INSERT INTO nosuch", "nosuch"},
        {"INSERT INTO t(v) VALUES(1); \xc3\xa9\xc3\xa9", SQLITE_ERROR, "\xc3\xa9\xc3\xa9", "\xc3\xa9\xc3\xa9"},
        {"INSERT INTO t(v) VALUES(1); -- \xe2\x82\xac\n SELEC 2", SQLITE_ERROR, "SELEC 2", "SELEC 2"},
        {"INSERT INTO t(v) VALUES(1); INSERT INTO t(v) VALUES(2); INSERT INTO t(v) SELECT 1", SQLITE_CONSTRAINT_UNIQUE,
         "INSERT INTO t(v) SELECT", "INSERT INTO t(v) SELECT"},
        {"INSERT INTO t(v) VALUES(1); INSERT INTO t(v) VALUES(?)", SQLPOOL_ARGUMENTS, "INSERT INTO t(v) VALUES(?)", "?"},
        {"INSERT INTO t(v) VALUES(1); COMMIT; INSERT INTO t(v) VALUES(2)", SQLPOOL_REFUSED, "COMMIT", "COMMIT"},
        {"INSERT INTO t(v) VALUES(1); /* x */ ROLLBACK", SQLPOOL_REFUSED, "ROLLBACK", "/* x */ ROLLBACK"},
        {"BEGIN; INSERT INTO t(v) VALUES(1); COMMIT;", SQLPOOL_REFUSED, "BEGIN", "BEGIN"},
        {"INSERT INTO t(v) VALUES(1); SELECT 'not closed", SQLITE_ERROR, "SELECT 'not", "'not closed"},
    };
    sqlpool_conn conn;
    int i, way, offset, rc;
    sqlpool *pool = open_pool("scripts.db", NULL, schema);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(cases); i++) {
        for (way = 0; way < 3; way++) { /* the pool's, a lease's, a lease's inside a transaction */
            memset(&err, 0x5a, sizeof err);
            if (way == 0) {
                rc = sqlpool_script(pool, cases[i].sql, -1, &err);
            } else {
                sqlpool_error detail;
                CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &detail), &detail);
                if (way == 2) CHECK_OK(sqlpool_conn_begin(&conn, &detail), &detail);
                rc = sqlpool_conn_script(&conn, cases[i].sql, -1, &err);
                if (way == 2) CHECK_OK(sqlpool_conn_commit(&conn, &detail), &detail);
                CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
            }
            if (rc != cases[i].expected || err.result != rc)
                test_fail(__FILE__, __LINE__, "way %d: %s: gave %s: %s", way, cases[i].sql, sqlpool_result_name(rc), err.message);
            offset = cases[i].at == NULL ? -1 : (int)(strstr(cases[i].sql, cases[i].at) - cases[i].sql);
            if (err.sql_offset != offset &&
                (cases[i].at == NULL || err.sql_offset != (int)(strstr(cases[i].sql, cases[i].token) - cases[i].sql)))
                test_fail(__FILE__, __LINE__, "way %d: %s: offset %d, expected %d", way, cases[i].sql, err.sql_offset, offset);
            if (ask(pool, "SELECT count(*) FROM t") != 0)
                test_fail(__FILE__, __LINE__, "way %d: %s: left something behind", way, cases[i].sql);
            if (ask(pool, "SELECT count(*) FROM sqlite_master WHERE type <> 'index'") != 3)
                test_fail(__FILE__, __LINE__, "way %d: %s: changed the schema", way, cases[i].sql);
        }
    }
    close_pool(pool);
}

TEST(script_lengths) {
    static const char with_nul[] = "INSERT INTO t(v) VALUES(1);\0INSERT INTO t(v) VALUES(2)";
    static const char text[] = "INSERT INTO t(v) VALUES(1); INSERT INTO t(v) VALUES(2)";
    char *exact = malloc(27);
    sqlpool_conn conn;
    sqlpool *pool = open_pool("lengths.db", NULL, schema);
    CHECK(pool != NULL && exact != NULL);
    CHECK_RC(sqlpool_script(pool, with_nul, (int64_t)sizeof with_nul - 1, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "NUL");
    CHECK_INT(err.sql_offset, 27);
    CHECK_RC(sqlpool_script(pool, text, -2, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_script(pool, text, INT64_MIN, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "bytes is below -1");
    CHECK_RC(sqlpool_script(pool, NULL, 5, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "sql is NULL");
    CHECK_OK(sqlpool_script(pool, text, 0, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    memcpy(exact, text, 27); /* no terminator: not one byte beyond may be read */
    CHECK_OK(sqlpool_script(pool, exact, 27, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK_INT(ask(pool, "SELECT v FROM t"), 1);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_script(&conn, "DELETE FROM t; INSERT INTO t(v) VALUES(3) nonsense", 41, &err), &err);
    CHECK_OK(sqlpool_conn_script(&conn, exact, 27, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT group_concat(v, '') FROM t"), 31);
    free(exact);
    close_pool(pool);
}

TEST(long_script) {
    enum { count = 3000 };
    char *sql = malloc((size_t)count * 40 + 1);
    size_t used = 0;
    int i;
    sqlpool_stats before, after;
    sqlpool *pool = open_pool("longscript.db", NULL, schema);
    CHECK(pool != NULL && sql != NULL);
    for (i = 0; i < count; i++) used += (size_t)sprintf(sql + used, "INSERT INTO t(v) VALUES(%d);\n", i);
    CHECK_INT(sqlpool_get_stats(pool, &before), SQLPOOL_OK);
    CHECK_OK(sqlpool_script(pool, sql, (int64_t)used, &err), &err);
    CHECK_INT(sqlpool_get_stats(pool, &after), SQLPOOL_OK);
    CHECK_INT(after.commits - before.commits, 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), count);
    free(sql);
    close_pool(pool);
}

int main(void) {
    RUN(commit_and_rollback);
    RUN(the_whole_transaction_runs_again);
    RUN(retries_stay_within_the_deadline);
    RUN(lock_of_another_connection);
    RUN(commit_that_meets_a_reader_of_another_connection);
    RUN(read_transaction_is_one_image);
    RUN(nested_transactions_are_savepoints);
    RUN(restart_is_left_to_the_outermost);
    RUN(by_hand);
    RUN(transaction_that_sqlite_ended);
    RUN(nested_transaction_that_sqlite_ended);
    RUN(stopped_inside_a_transaction);
    RUN(deferred_foreign_key);
    RUN(cursor_left_open_by_the_function);
    RUN(scripts);
    RUN(script_lengths);
    RUN(long_script);
    return test_end();
}
