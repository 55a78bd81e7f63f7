/*  lease.c - leases: ownership, misuse, waiting, clean return, cached statements.
    SPDX-License-Identifier: MIT OR Unlicense */
#define _POSIX_C_SOURCE 200809L
#include "api.h"

static sqlpool_error err;
static const char schema[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES(1, x'01020304')";

/*------------------------------------------------------------------------------
 * every call on a lease that is not out
 *----------------------------------------------------------------------------*/

static int call_exec(sqlpool_conn *conn) { return sqlpool_conn_exec(conn, "SELECT 1", SQLPOOL_NO_ARGS, NULL, NULL); }
static int call_query(sqlpool_conn *conn) {
    sqlpool_rows rows;
    const int rc = sqlpool_conn_query(conn, &rows, "SELECT 1", SQLPOOL_NO_ARGS, NULL);
    if (rc != SQLPOOL_OK && sqlpool_rows_next(&rows)) return 12345;
    (void)sqlpool_rows_close(&rows, NULL);
    return rc;
}
static int call_script(sqlpool_conn *conn) { return sqlpool_conn_script(conn, "SELECT 1", -1, NULL); }
static int call_stmt(sqlpool_conn *conn) {
    sqlite3_stmt *statement = (sqlite3_stmt *)(void *)conn;
    const int rc = sqlpool_conn_stmt(conn, "SELECT 1", &statement, NULL);
    return rc != SQLPOOL_OK && statement != NULL ? 12345 : rc;
}
static int call_stmt_release(sqlpool_conn *conn) { return sqlpool_conn_stmt_release(conn, NULL); }
static int no_db; /* the result that a NULL from sqlpool_conn_db() stands for */
static int call_db(sqlpool_conn *conn) { return sqlpool_conn_db(conn) == NULL ? no_db : SQLPOOL_OK; }
static int call_chain(sqlpool_conn *conn) {
    sqlpool_chain chain;
    memset(&chain, 0, sizeof chain);
    return sqlpool_conn_chain(conn, &chain);
}
static int call_begin(sqlpool_conn *conn) { return sqlpool_conn_begin(conn, NULL); }
static int call_commit(sqlpool_conn *conn) { return sqlpool_conn_commit(conn, NULL); }
static int call_rollback(sqlpool_conn *conn) { return sqlpool_conn_rollback(conn, NULL); }
static int call_transaction(sqlpool_conn *conn) { return sqlpool_conn_transaction(conn, do_nothing, NULL, NULL); }
static int call_set_timeout(sqlpool_conn *conn) { return sqlpool_conn_set_timeout(conn, 1000); }
static int call_release(sqlpool_conn *conn) { return sqlpool_conn_release(conn); }
static int call_adopt(sqlpool_conn *conn) { return sqlpool_conn_adopt(conn); }
static int call_cancel(sqlpool_conn *conn) { return sqlpool_conn_cancel(*conn); }

static const struct {
    const char *name;
    int (*run)(sqlpool_conn *conn);
} calls[] = {
    {"exec", call_exec},           {"query", call_query},       {"script", call_script},
    {"stmt", call_stmt},           {"stmt_release", call_stmt_release}, {"db", call_db},
    {"chain", call_chain},         {"begin", call_begin},       {"commit", call_commit},
    {"rollback", call_rollback},   {"transaction", call_transaction}, {"set_timeout", call_set_timeout},
    {"release", call_release},     {"adopt", call_adopt},       {"cancel", call_cancel},
};

/*  Each call on a copy of this lease, the last `skip` of the table left out. */
static void check_all(const sqlpool_conn *conn, int expected, int skip, const char *what) {
    int i;
    no_db = expected;
    for (i = 0; i < LENGTH(calls) - skip; i++) {
        sqlpool_conn copy = *conn;
        const int rc = calls[i].run(&copy);
        if (rc != expected)
            test_fail(__FILE__, __LINE__, "%s on %s gave %s (%d), expected %s", calls[i].name, what,
                      sqlpool_result_name(rc), rc, sqlpool_result_name(expected));
    }
}

TEST(acquire_and_release) {
    int i;
    sqlpool_conn reader, writer;
    sqlpool_stats stats;
    sqlpool *pool = open_pool("plain.db", NULL, schema);
    CHECK(pool != NULL);
    for (i = 0; i < 3; i++) {
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &reader, &err), &err);
        CHECK(reader.lease != 0);
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
        CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
        CHECK_INT(stats.used, 2);
        CHECK_INT(ask_conn(&reader, "SELECT count(*) FROM t"), 1 + i);
        CHECK_OK(sqlpool_conn_exec(&writer, "INSERT INTO t(v) VALUES(?)", SQLPOOL_ARGS(i), NULL, &err), &err);
        CHECK_INT(ask_conn(&reader, "SELECT count(*) FROM t"), 2 + i);
        CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
        CHECK_INT(sqlpool_conn_release(&reader), SQLPOOL_OK);
        CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
        CHECK_INT(stats.used, 0);
    }
    close_pool(pool);
}

TEST(reader_cannot_write) {
    static const char *const writes[] = {"INSERT INTO t(v) VALUES(2)", "DELETE FROM t", "CREATE TABLE x(y)",
                                         "DROP TABLE t", "PRAGMA user_version=9"};
    sqlpool_conn reader;
    int i;
    sqlpool *pool = open_pool("reader.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &reader, &err), &err);
    for (i = 0; i < LENGTH(writes); i++) {
        const int rc = sqlpool_conn_exec(&reader, writes[i], SQLPOOL_NO_ARGS, NULL, &err);
        if ((rc != SQLITE_READONLY && rc != SQLPOOL_REFUSED && rc != SQLPOOL_MISUSE) || err.message[0] == '\0')
            test_fail(__FILE__, __LINE__, "%s on a reader gave %s: %s", writes[i], sqlpool_result_name(rc), err.message);
    }
    CHECK_INT(ask_conn(&reader, "SELECT count(*) FROM t"), 1);
    CHECK_INT(ask_conn(&reader, "PRAGMA user_version"), 0);
    CHECK_INT(sqlpool_conn_release(&reader), SQLPOOL_OK);
    close_pool(pool);
}

TEST(not_out_any_more) {
    sqlpool_conn conn, copy, zero;
    sqlpool_stats stats;
    sqlpool *pool = open_pool("notout.db", NULL, schema);
    CHECK(pool != NULL);
    memset(&zero, 0, sizeof zero);
    PART(check_all(&zero, SQLPOOL_MISUSE, 0, "a zeroed lease"));
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    copy = conn;
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    PART(check_all(&conn, SQLPOOL_MISUSE, 0, "a released lease"));
    PART(check_all(&copy, SQLPOOL_MISUSE, 0, "a copy of a released lease"));
    /* the connection's next user is not touched by any of that */
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK(conn.lease != copy.lease);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, NULL, &err), &err);
    PART(check_all(&copy, SQLPOOL_MISUSE, 0, "an old lease on a connection that is out again"));
    CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    copy = conn; /* releasing a copy releases the lease */
    CHECK_INT(sqlpool_conn_release(&copy), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.used, 0);
    CHECK(stats.misuses > 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    CHECK_INT(sqlpool_conn_release(NULL), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_adopt(NULL), SQLPOOL_MISUSE);
    CHECK_RC(sqlpool_conn_exec(NULL, "SELECT 1", SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK(sqlpool_conn_db(NULL) == NULL);
    close_pool(pool);
}

TEST(lease_of_another_pool) {
    sqlpool_conn a, b, mixed;
    int i;
    sqlpool *first = open_pool("first.db", NULL, schema), *second = open_pool("second.db", NULL, schema);
    CHECK(first != NULL && second != NULL);
    CHECK_OK(sqlpool_conn_acquire(second, SQLPOOL_WRITE, &b, &err), &err);
    mixed = b;
    CHECK_INT(sqlpool_conn_release(&mixed), SQLPOOL_OK);
    for (i = 0; i < 5; i++) {
        CHECK_OK(sqlpool_conn_acquire(first, SQLPOOL_WRITE, &a, &err), &err);
        CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    }
    CHECK_OK(sqlpool_conn_acquire(first, SQLPOOL_WRITE, &a, &err), &err);
    mixed = a;
    mixed.pool = second; /* the second pool has no lease out at all */
    PART(check_all(&mixed, SQLPOOL_MISUSE, 0, "a lease with another pool's pointer"));
    mixed = b;
    mixed.lease = a.lease;
    mixed.slot = a.slot;
    PART(check_all(&mixed, SQLPOOL_MISUSE, 0, "another pool's lease with this number"));
    mixed = a;
    mixed.slot = 100000;
    PART(check_all(&mixed, SQLPOOL_MISUSE, 0, "a slot that does not exist"));
    mixed = a;
    mixed.slot = UINT32_MAX;
    PART(check_all(&mixed, SQLPOOL_MISUSE, 0, "the last possible slot"));
    mixed = a;
    mixed.pool_serial ^= 0x40000000u; /* of no pool that is open: gone, or never there */
    PART(check_all(&mixed, SQLPOOL_CLOSED, 0, "the serial of no open pool"));
    mixed = a;
    mixed.lease ^= UINT64_C(1) << 40;
    PART(check_all(&mixed, SQLPOOL_MISUSE, 0, "a changed lease number"));
    CHECK_INT(ask_conn(&a, "SELECT count(*) FROM t"), 1); /* still good */
    CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    close_pool(first);
    close_pool(second);
}

/*------------------------------------------------------------------------------
 * threads
 *----------------------------------------------------------------------------*/

typedef struct hand_over {
    sqlpool_conn conn;
    int adopted, result, released;
} hand_over;

static void *use_without_adopting(void *argument) {
    hand_over *h = (hand_over *)argument;
    check_all(&h->conn, SQLPOOL_MISUSE, 2, "another thread's lease"); /* all but adopt and cancel */
    return NULL;
}
static void *adopt_and_release(void *argument) {
    hand_over *h = (hand_over *)argument;
    h->adopted = sqlpool_conn_adopt(&h->conn);
    h->result = sqlpool_conn_exec(&h->conn, "INSERT INTO t(v) VALUES(3)", SQLPOOL_NO_ARGS, NULL, NULL);
    h->released = sqlpool_conn_release(&h->conn);
    return NULL;
}

TEST(another_threads_lease) {
    hand_over h;
    pthread_t thread;
    sqlpool_conn mine;
    sqlpool *pool = open_pool("threads.db", NULL, schema);
    CHECK(pool != NULL);
    memset(&h, 0, sizeof h);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &mine, &err), &err);
    h.conn = mine;
    CHECK(start_thread(&thread, use_without_adopting, &h));
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(ask_conn(&mine, "SELECT count(*) FROM t"), 1); /* still mine */
    h.adopted = h.result = h.released = -99;
    CHECK(start_thread(&thread, adopt_and_release, &h));
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(h.adopted, SQLPOOL_OK);
    CHECK_INT(h.result, SQLPOOL_OK);
    CHECK_INT(h.released, SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&mine), SQLPOOL_MISUSE);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
}

typedef struct waiter {
    sqlpool *pool;
    sqlpool_call call;
    sqlpool_mode mode;
    sqlpool_error error;
    int result;
    int64_t elapsed_ms;
} waiter;

static void *acquire_once(void *argument) {
    waiter *w = (waiter *)argument;
    sqlpool_conn conn;
    const int64_t start = now_ms();
    memset(&conn, 0x5a, sizeof conn);
    w->result = sqlpool_conn_acquire_with(w->pool, w->mode, &w->call, &conn, &w->error);
    w->elapsed_ms = now_ms() - start;
    if (w->result == SQLPOOL_OK)
        (void)sqlpool_conn_release(&conn);
    else if (conn.lease != 0 || conn.pool != NULL)
        test_fail(__FILE__, __LINE__, "a failed acquire left the lease unzeroed");
    return NULL;
}
static void *exec_once(void *argument) {
    waiter *w = (waiter *)argument;
    const int64_t start = now_ms();
    w->result = sqlpool_exec_with(w->pool, &w->call, NULL,
                                  w->mode == SQLPOOL_WRITE ? "INSERT INTO t(v) VALUES(9)" : "SELECT count(*) FROM t",
                                  SQLPOOL_NO_ARGS, &w->error);
    w->elapsed_ms = now_ms() - start;
    return NULL;
}

/*  The only connection of this mode is out: who waits is told who holds it, where and doing what. */
static void check_timeout(sqlpool *pool, sqlpool_mode mode) {
    void *(*const ways[])(void *) = {acquire_once, exec_once};
    sqlpool_call call = {0, 0, 0, "holder-tag", NULL};
    sqlpool_conn conn;
    pthread_t thread;
    char site[64];
    int i, line;
    CHECK_OK((line = __LINE__, sqlpool_conn_acquire_with(pool, mode, &call, &conn, &err)), &err);
    (void)snprintf(site, sizeof site, "lease.c:%d", line);
    CHECK_OK(sqlpool_conn_exec(&conn, "SELECT 'what it ran'", SQLPOOL_NO_ARGS, NULL, &err), &err);
    for (i = 0; i < LENGTH(ways); i++) {
        waiter w;
        memset(&w, 0, sizeof w);
        w.pool = pool;
        w.mode = mode;
        w.call.timeout_ms = 60;
        CHECK(start_thread(&thread, ways[i], &w));
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(w.result, SQLPOOL_TIMEOUT);
        CHECK_INT(w.error.result, SQLPOOL_TIMEOUT);
        CHECK_HAS(w.error.message, site);
        CHECK_HAS(w.error.message, "holder-tag");
        CHECK_HAS(w.error.message, "what it ran");
        CHECK(w.elapsed_ms >= 55 && w.elapsed_ms < 2000);
        w.call.timeout_ms = SQLPOOL_NO_WAIT;
        CHECK(start_thread(&thread, ways[i], &w));
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(w.result, SQLPOOL_WOULD_BLOCK);
        CHECK(w.error.message[0] != '\0');
        CHECK(w.elapsed_ms < 1000);
        w.call.timeout_ms = 3000; /* given back in time */
        CHECK(start_thread(&thread, ways[i], &w));
        sleep_ms(30);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(w.result, SQLPOOL_OK);
        CHECK(w.elapsed_ms < 2000);
        CHECK_OK((line = __LINE__, sqlpool_conn_acquire_with(pool, mode, &call, &conn, &err)), &err);
        (void)snprintf(site, sizeof site, "lease.c:%d", line);
        CHECK_OK(sqlpool_conn_exec(&conn, "SELECT 'what it ran'", SQLPOOL_NO_ARGS, NULL, &err), &err);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
}

TEST(timeout_names_the_holder) {
    sqlpool_config config = config_of(1);
    sqlpool_stats stats;
    sqlpool *pool = open_pool("timeout.db", &config, schema);
    CHECK(pool != NULL);
    PART(check_timeout(pool, SQLPOOL_READ));
    PART(check_timeout(pool, SQLPOOL_WRITE));
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK(stats.timeouts >= 4);
    CHECK(stats.waits >= 4);
    CHECK_INT(stats.waiting_read + stats.waiting_write, 0);
    close_pool(pool);
}

TEST(config_timeout_is_the_default) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    pthread_t thread;
    waiter w;
    sqlpool *pool;
    config.acquire_timeout_ms = 80;
    pool = open_pool("default.db", &config, schema);
    CHECK(pool != NULL);
    memset(&w, 0, sizeof w);
    w.pool = pool;
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK(start_thread(&thread, acquire_once, &w));
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(w.result, SQLPOOL_TIMEOUT);
    CHECK(w.elapsed_ms >= 75 && w.elapsed_ms < 2000);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

TEST(bad_acquire_arguments) {
    sqlpool_conn conn;
    sqlpool_call call = {-3, 0, 0, NULL, NULL};
    sqlpool *pool = open_pool("badargs.db", NULL, schema);
    CHECK(pool != NULL);
    memset(&conn, 0x5a, sizeof conn);
    CHECK_RC(sqlpool_conn_acquire(NULL, SQLPOOL_READ, &conn, &err), SQLPOOL_MISUSE, &err);
    CHECK(conn.lease == 0);
    CHECK_RC(sqlpool_conn_acquire(pool, SQLPOOL_READ, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_conn_acquire(pool, (sqlpool_mode)7, &conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &call, &conn, &err), SQLPOOL_MISUSE, &err);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * waiting for oneself
 *----------------------------------------------------------------------------*/

TEST(nested_acquire_in_one_thread) {
    sqlpool_config config = config_of(1);
    sqlpool_conn reader, writer, second;
    sqlpool_rows rows;
    int rc;
    int64_t start, value;
    sqlpool *pool = open_pool("nested.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &reader, &err), &err);
    start = now_ms();
    rc = sqlpool_conn_acquire(pool, SQLPOOL_READ, &second, &err);
    CHECK(rc == SQLPOOL_DEADLOCK || rc == SQLPOOL_MISUSE);
    CHECK_HAS(err.message, "lease.c:"); /* where the first one was acquired */
    CHECK(second.lease == 0);
    rc = sqlpool_query_int64(pool, &value, "SELECT 1", SQLPOOL_NO_ARGS, &err);
    CHECK(rc == SQLPOOL_DEADLOCK || rc == SQLPOOL_MISUSE);
    rc = sqlpool_query(pool, &rows, "SELECT 1", SQLPOOL_NO_ARGS, &err);
    CHECK(rc == SQLPOOL_DEADLOCK || rc == SQLPOOL_MISUSE);
    (void)sqlpool_rows_close(&rows, NULL);
    CHECK(now_ms() - start < 1000); /* at once, not after 5 s */
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err); /* the writer is another matter */
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    CHECK_INT(ask_conn(&reader, "SELECT count(*) FROM t"), 1);
    CHECK_INT(sqlpool_conn_release(&reader), SQLPOOL_OK);
    close_pool(pool);
}

TEST(what_the_holder_of_the_writer_may_do) {
    sqlpool_conn writer, second, reader;
    sqlpool_checkpoint_result checkpoint;
    int64_t start;
    sqlpool *pool = open_pool("holder.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
    start = now_ms();
    CHECK_RC(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &second, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "lease.c:");
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "sqlpool_conn_");
    CHECK_RC(sqlpool_script(pool, "INSERT INTO t(v) VALUES(2)", -1, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, do_nothing, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, &checkpoint, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_pause(pool, 100, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_close(pool, &err), SQLPOOL_MISUSE, &err);
    CHECK(now_ms() - start < 1000);
    CHECK_OK(sqlpool_conn_begin(&writer, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&writer, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1); /* committed state only */
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_READ, do_nothing, NULL, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &reader, &err), &err);
    CHECK_INT(ask_conn(&reader, "SELECT count(*) FROM t"), 1);
    CHECK_INT(ask_conn(&writer, "SELECT count(*) FROM t"), 2);
    CHECK_OK(sqlpool_conn_commit(&writer, &err), &err);
    CHECK_INT(ask_conn(&reader, "SELECT count(*) FROM t"), 2);
    CHECK_INT(sqlpool_conn_release(&reader), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(3)", SQLPOOL_NO_ARGS, &err), &err);
    close_pool(pool);
}

TEST(one_connection_for_all) {
    sqlpool_config config = config_of(0);
    sqlpool_conn conn, second;
    sqlpool_rows rows;
    int rc;
    sqlpool *pool = open_pool("one.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK(sqlpool_conn_exec(&conn, "DELETE FROM t", SQLPOOL_NO_ARGS, NULL, &err) != SQLPOOL_OK);
    rc = sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &second, &err);
    CHECK(rc == SQLPOOL_DEADLOCK || rc == SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    rc = sqlpool_exec(pool, "INSERT INTO t(v) VALUES(3)", SQLPOOL_NO_ARGS, &err); /* the cursor has it */
    CHECK(rc == SQLPOOL_DEADLOCK || rc == SQLPOOL_MISUSE);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(3)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    close_pool(pool);
}

/*  Without a log readers and the writer exclude each other. A thread that is on both sides is told so at
    once; it does not wait for its own time-out. */
static void both_sides(const char *path, int journal) {
    sqlpool_config config = config_of(3);
    sqlpool_conn conn, second;
    sqlpool_rows rows;
    int rc;
    int64_t start, value;
    sqlpool *pool;
    config.journal = journal;
    pool = open_pool(path, &config, schema);
    CHECK(pool != NULL);
    start = now_ms();
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT v FROM t UNION ALL SELECT 2", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    rc = sqlpool_exec(pool, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, &err);
    CHECK(rc == SQLPOOL_DEADLOCK || rc == SQLPOOL_MISUSE);
    CHECK_HAS(err.message, "lease.c:");
    rc = sqlpool_transaction(pool, SQLPOOL_WRITE, do_nothing, NULL, &err);
    CHECK(rc == SQLPOOL_DEADLOCK || rc == SQLPOOL_MISUSE);
    CHECK(sqlpool_rows_next(&rows)); /* the cursor is none the worse for it */
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 2);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES(3)", SQLPOOL_NO_ARGS, NULL, &err), &err);
    rc = sqlpool_query_int64(pool, &value, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &err);
    CHECK(rc == SQLPOOL_DEADLOCK || rc == SQLPOOL_MISUSE || (rc == SQLPOOL_OK && value == 2));
    rc = sqlpool_conn_acquire(pool, SQLPOOL_READ, &second, &err);
    if (rc == SQLPOOL_OK) CHECK_INT(sqlpool_conn_release(&second), SQLPOOL_OK);
    CHECK(rc == SQLPOOL_DEADLOCK || rc == SQLPOOL_MISUSE || rc == SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    CHECK(now_ms() - start < 2000);
    close_pool(pool);
}
TEST(both_sides_of_the_gate) {
    PART(both_sides("gate.db", SQLPOOL_JOURNAL_DELETE));
    PART(both_sides(":memory:", 0));
}

typedef struct two_leases {
    sqlpool *pool;
    int holding; /* atomic */
    int result;
    sqlpool_error error;
} two_leases;

static void *hold_one_want_two(void *argument) {
    two_leases *t = (two_leases *)argument;
    sqlpool_conn first, second;
    sqlpool_call call = {4000, 0, 0, NULL, NULL};
    t->result = sqlpool_conn_acquire(t->pool, SQLPOOL_READ, &first, &t->error);
    __atomic_store_n(&t->holding, 1, __ATOMIC_RELEASE);
    if (t->result != SQLPOOL_OK) return NULL;
    t->result = sqlpool_conn_acquire_with(t->pool, SQLPOOL_READ, &call, &second, &t->error);
    if (t->result == SQLPOOL_OK) (void)sqlpool_conn_release(&second);
    (void)sqlpool_conn_release(&first);
    return NULL;
}

TEST(two_threads_that_want_two_each) {
    sqlpool_config config = config_of(2);
    sqlpool_call call = {4000, 0, 0, NULL, NULL};
    two_leases other;
    sqlpool_conn first, second;
    pthread_t thread;
    int rc;
    const int64_t start = now_ms();
    sqlpool *pool = open_pool("deadlock.db", &config, schema);
    CHECK(pool != NULL);
    memset(&other, 0, sizeof other);
    other.pool = pool;
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &first, &err), &err);
    CHECK(start_thread(&thread, hold_one_want_two, &other));
    while (!__atomic_load_n(&other.holding, __ATOMIC_ACQUIRE)) sleep_ms(1);
    sleep_ms(30);
    rc = sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &call, &second, &err);
    if (rc == SQLPOOL_OK) (void)sqlpool_conn_release(&second);
    CHECK_INT(sqlpool_conn_release(&first), SQLPOOL_OK);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(rc == SQLPOOL_DEADLOCK || other.result == SQLPOOL_DEADLOCK);
    CHECK(rc == SQLPOOL_OK || other.result == SQLPOOL_OK); /* and the other one went on */
    CHECK_HAS(rc == SQLPOOL_DEADLOCK ? err.message : other.error.message, "lease.c:");
    CHECK(now_ms() - start < 3000);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * what comes back dirty
 *----------------------------------------------------------------------------*/

/*  What is left open on purpose; the caller's own to finalize, also after the pool is gone. */
static sqlite3_blob *left_blobs[4];
static sqlite3_stmt *left_statements[4];
static int left_blob_count, left_statement_count;
static int deny_all(void *user, int action, const char *a, const char *b, const char *c, const char *d) {
    (void)user, (void)action, (void)a, (void)b, (void)c, (void)d;
    return SQLITE_DENY;
}
static int stop_all(void *user) {
    (void)user;
    return 1;
}
static int never_wait(void *user, int count) {
    (void)user, (void)count;
    return 0;
}
static void raw_ignore(sqlpool_conn *conn, const char *sql) {
    (void)sqlite3_exec(sqlpool_conn_db(conn), sql, NULL, NULL, NULL);
}

static void dirty_begin(sqlpool_conn *conn) { (void)sqlpool_conn_begin(conn, NULL); }
static void dirty_savepoints(sqlpool_conn *conn) {
    (void)sqlpool_conn_begin(conn, NULL);
    (void)sqlpool_conn_begin(conn, NULL);
    (void)sqlpool_conn_exec(conn, "INSERT INTO t(v) VALUES('lost')", SQLPOOL_NO_ARGS, NULL, NULL);
}
static void dirty_step(sqlpool_conn *conn) {
    sqlite3_stmt *statement;
    if (sqlpool_conn_stmt(conn, "SELECT v FROM t UNION ALL SELECT 2", &statement, NULL) == SQLPOOL_OK)
        (void)sqlite3_step(statement);
}
static void dirty_cursor(sqlpool_conn *conn) {
    static sqlpool_rows rows;
    if (sqlpool_conn_query(conn, &rows, "SELECT v FROM t UNION ALL SELECT 2", SQLPOOL_NO_ARGS, NULL) == SQLPOOL_OK)
        (void)sqlpool_rows_next(&rows);
}
static void dirty_raw_begin(sqlpool_conn *conn) {
    raw_ignore(conn, "BEGIN");
    raw_ignore(conn, "SELECT count(*) FROM t");
    raw_ignore(conn, "INSERT INTO t(v) VALUES('lost')");
}
static void dirty_raw_step(sqlpool_conn *conn) {
    sqlite3_stmt **statement = &left_statements[left_statement_count++];
    if (sqlite3_prepare_v2(sqlpool_conn_db(conn), "SELECT v FROM t UNION ALL SELECT 2", -1, statement, NULL) == SQLITE_OK)
        (void)sqlite3_step(*statement);
}
static void dirty_blob(sqlpool_conn *conn) {
    (void)sqlite3_blob_open(sqlpool_conn_db(conn), "main", "t", "v", 1, 0, &left_blobs[left_blob_count++]);
}
static void dirty_temp(sqlpool_conn *conn) {
    raw_ignore(conn, "PRAGMA query_only=0");
    raw_ignore(conn, "CREATE TEMP TABLE left_over(x)");
    raw_ignore(conn, "CREATE TEMP VIEW t AS SELECT 99 AS v FROM main.t, main.t, main.t");
}
static void dirty_attach(sqlpool_conn *conn) { raw_ignore(conn, "ATTACH ':memory:' AS left_over"); }
static void dirty_handlers(sqlpool_conn *conn) {
    sqlite3 *db = sqlpool_conn_db(conn);
    (void)sqlite3_busy_handler(db, never_wait, NULL);
    (void)sqlite3_set_authorizer(db, deny_all, NULL);
    sqlite3_progress_handler(db, 1, stop_all, NULL);
    (void)sqlite3_commit_hook(db, stop_all, NULL);
}
static void dirty_unheard(sqlpool_conn *conn) { /* such a connection stays open */
    sqlite3 *db = sqlpool_conn_db(conn);
    (void)sqlite3_busy_timeout(db, 0);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    (void)sqlite3_wal_hook(db, NULL, NULL);
}
static void dirty_no_handlers(sqlpool_conn *conn) {
    dirty_unheard(conn);
    (void)sqlite3_set_authorizer(sqlpool_conn_db(conn), NULL, NULL);
}
static void dirty_pragmas(sqlpool_conn *conn) {
    static const char *const pragmas[] = {
        "foreign_keys=OFF",       "synchronous=OFF",      "query_only=1",      "cache_size=7",
        "recursive_triggers=ON",  "busy_timeout=1",       "wal_autocheckpoint=1", "case_sensitive_like=ON",
        "read_uncommitted=ON",    "ignore_check_constraints=ON", "reverse_unordered_selects=ON",
        "defer_foreign_keys=ON",  "journal_size_limit=5", "temp_store=FILE",   "automatic_index=OFF",
        "mmap_size=65536",        "cell_size_check=ON",   "legacy_alter_table=ON", "secure_delete=ON",
    };
    char sql[100];
    int i;
    for (i = 0; i < LENGTH(pragmas); i++) {
        (void)snprintf(sql, sizeof sql, "PRAGMA %s", pragmas[i]);
        raw_ignore(conn, sql);
    }
}
static void dirty_query_only(sqlpool_conn *conn) { raw_ignore(conn, "PRAGMA query_only=0"); }
static void dirty_locking_mode(sqlpool_conn *conn) {
    raw_ignore(conn, "PRAGMA locking_mode=EXCLUSIVE");
    raw_ignore(conn, "SELECT count(*) FROM t");
}
static void dirty_journal_mode(sqlpool_conn *conn) { raw_ignore(conn, "PRAGMA journal_mode=DELETE"); }
static void dirty_cancel(sqlpool_conn *conn) { (void)sqlpool_conn_cancel(*conn); }
static void dirty_timeout(sqlpool_conn *conn) {
    (void)sqlpool_conn_set_timeout(conn, 1);
    sleep_ms(3);
}

/*  What a connection looks like to its user, as text. */
static void fingerprint(sqlpool_conn *conn, char *out, size_t bytes) {
    static const char *const questions[] = {
        "PRAGMA foreign_keys", "PRAGMA synchronous", "PRAGMA query_only", "PRAGMA cache_size", "PRAGMA temp_store",
        "PRAGMA recursive_triggers", "PRAGMA wal_autocheckpoint", "PRAGMA locking_mode", "SELECT * FROM pragma_journal_mode",
        "PRAGMA read_uncommitted", "PRAGMA ignore_check_constraints", "PRAGMA reverse_unordered_selects",
        "PRAGMA defer_foreign_keys", "PRAGMA journal_size_limit", "PRAGMA automatic_index", "PRAGMA mmap_size",
        "PRAGMA cell_size_check", "PRAGMA legacy_alter_table", "PRAGMA secure_delete", "SELECT 'a' LIKE 'A'",
        "SELECT count(*) FROM sqlite_temp_master", "SELECT group_concat(name) FROM pragma_database_list WHERE seq <> 1",
        "SELECT count(*) FROM t",
    };
    ask_conn_all(conn, questions, LENGTH(questions), out, bytes);
}

static void name_difference(const char *what, const char *mode, const char *before, const char *after) {
    while (*before != '\0' && *after != '\0') {
        const size_t a = strcspn(before, "\n"), b = strcspn(after, "\n");
        if (a != b || memcmp(before, after, a) != 0)
            test_fail(__FILE__, __LINE__, "after %s on a %s lease: \"%.*s\" instead of \"%.*s\"", what, mode, (int)b,
                      after, (int)a, before);
        before += a + 1;
        after += b + 1;
    }
}

/*  What the log hook has said of leases that were not clean. */
static void hear_unclean(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    char *said = (char *)user;
    const size_t length = strlen(said);
    (void)level;
    if (item == SQLPOOL_LOG_UNCLEAN) (void)snprintf(said + length, 1000 - length, "%s\n", message);
}

TEST(the_next_lease_is_clean) {
    static const struct {
        const char *name;
        void (*make_dirty)(sqlpool_conn *conn);
        int released[2]; /* for a reader, a writer; 99: OK or UNCLEAN */
        const char *says; /* to the log hook, among other things */
    } cases[] = {
        {"begin", dirty_begin, {SQLPOOL_UNCLEAN, SQLPOOL_UNCLEAN}, ""},
        {"savepoints", dirty_savepoints, {SQLPOOL_UNCLEAN, SQLPOOL_UNCLEAN}, ""},
        {"a stepped statement", dirty_step, {SQLPOOL_UNCLEAN, SQLPOOL_UNCLEAN}, ""},
        {"an open cursor", dirty_cursor, {SQLPOOL_UNCLEAN, SQLPOOL_UNCLEAN}, ""},
        {"a raw BEGIN", dirty_raw_begin, {SQLPOOL_UNCLEAN, SQLPOOL_UNCLEAN}, ""},
        {"a raw stepped statement", dirty_raw_step, {SQLPOOL_UNCLEAN, SQLPOOL_UNCLEAN},
         "a statement not finalized: SELECT v FROM t UNION ALL SELECT 2"},
        {"an open blob", dirty_blob, {SQLPOOL_UNCLEAN, SQLPOOL_UNCLEAN},
         "a blob not finalized: (sqlite3_blob_open)"},
        {"temp objects", dirty_temp, {99, 99}, ""},
        {"an attached database", dirty_attach, {99, 99}, ""},
        {"handlers", dirty_handlers, {99, 99}, ""},
        {"removed handlers", dirty_no_handlers, {99, 99}, ""},
        {"changed PRAGMAs", dirty_pragmas, {99, 99}, ""},
        {"query_only off", dirty_query_only, {99, 99}, ""},
        {"locking_mode", dirty_locking_mode, {99, 99}, ""},
        {"journal_mode", dirty_journal_mode, {99, 99}, ""},
        {"a cancel", dirty_cancel, {SQLPOOL_OK, SQLPOOL_OK}, ""},
        {"a timeout", dirty_timeout, {SQLPOOL_OK, SQLPOOL_OK}, ""},
    };
    static const char *const names[] = {"read", "write"};
    static char before[2][3000], after[3000], said[1000];
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlpool_stats stats;
    sqlpool *pool;
    int i, mode, rc;
    config.log.user = said;
    config.log.write_fn = hear_unclean;
    pool = open_pool("dirty.db", &config, schema);
    CHECK(pool != NULL);
    for (mode = 0; mode <= 1; mode++) {
        CHECK_OK(sqlpool_conn_acquire(pool, (sqlpool_mode)mode, &conn, &err), &err);
        fingerprint(&conn, before[mode], sizeof before[mode]);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    for (i = 0; i < LENGTH(cases); i++) {
        for (mode = 0; mode <= 1; mode++) {
            CHECK_OK(sqlpool_conn_acquire(pool, (sqlpool_mode)mode, &conn, &err), &err);
            cases[i].make_dirty(&conn);
            said[0] = '\0';
            rc = sqlpool_conn_release(&conn);
            if (strstr(said, cases[i].says) == NULL)
                test_fail(__FILE__, __LINE__, "\"%s\" was said of %s", said, cases[i].name);
            if (rc != cases[i].released[mode] &&
                !(cases[i].released[mode] == 99 && (rc == SQLPOOL_OK || rc == SQLPOOL_UNCLEAN)))
                test_fail(__FILE__, __LINE__, "release after %s on a %s lease gave %s", cases[i].name, names[mode],
                          sqlpool_result_name(rc));
            CHECK_OK(sqlpool_conn_acquire(pool, (sqlpool_mode)mode, &conn, &err), &err);
            fingerprint(&conn, after, sizeof after);
            name_difference(cases[i].name, names[mode], before[mode], after);
            rc = sqlpool_conn_begin(&conn, &err);
            if (rc == SQLPOOL_OK) rc = sqlpool_conn_commit(&conn, &err);
            if (rc != SQLPOOL_OK)
                test_fail(__FILE__, __LINE__, "begin and commit after %s: %s", cases[i].name, err.message);
            rc = sqlpool_conn_exec(&conn, "BEGIN", SQLPOOL_NO_ARGS, NULL, &err);
            if (rc != SQLPOOL_REFUSED)
                test_fail(__FILE__, __LINE__, "BEGIN after %s gave %s", cases[i].name, sqlpool_result_name(rc));
            rc = sqlpool_conn_exec(&conn, "INSERT INTO t VALUES(2, 'x')", SQLPOOL_NO_ARGS, NULL, &err);
            if ((rc == SQLPOOL_OK) != (mode == 1))
                test_fail(__FILE__, __LINE__, "a write after %s on a %s lease gave %s: %s", cases[i].name, names[mode],
                          sqlpool_result_name(rc), err.message);
            if (mode == 1)
                CHECK_OK(sqlpool_conn_exec(&conn, "DELETE FROM t WHERE id <> 1", SQLPOOL_NO_ARGS, NULL, &err), &err);
            rc = sqlpool_conn_release(&conn);
            if (rc != SQLPOOL_OK)
                test_fail(__FILE__, __LINE__, "clean release after %s gave %s", cases[i].name, sqlpool_result_name(rc));
        }
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK(stats.unclean >= 14);
    CHECK_INT(stats.used, 0);
    close_pool(pool);
    CHECK_INT(left_blob_count, 2);
    CHECK_INT(left_statement_count, 2);
    for (i = 0; i < 2; i++) {
        (void)sqlite3_blob_close(left_blobs[i]);
        (void)sqlite3_finalize(left_statements[i]);
    }
}

/*  A virtual table keeps statements of its own on the connection: they are idle, and nobody left them. */
TEST(statements_of_a_virtual_table_are_no_leftovers) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlpool_stats stats;
    int mode;
    sqlpool *pool;
    if (!sqlite3_compileoption_used("ENABLE_FTS5")) return;
    pool = open_pool("virtual.db", &config, "CREATE VIRTUAL TABLE words USING fts5(word); INSERT INTO words VALUES('one')");
    CHECK(pool != NULL);
    for (mode = 0; mode <= 1; mode++) {
        sqlite3_stmt *statement = NULL;
        int kept = 0;
        CHECK_OK(sqlpool_conn_acquire(pool, (sqlpool_mode)mode, &conn, &err), &err);
        CHECK(raw_exec(sqlpool_conn_db(&conn), "SELECT rank FROM words WHERE words MATCH 'one'"));
        if (mode == 1) CHECK(raw_exec(sqlpool_conn_db(&conn), "INSERT INTO words VALUES('two')"));
        while ((statement = sqlite3_next_stmt(sqlpool_conn_db(&conn), statement)) != NULL)
            kept += sqlite3_sql(statement) != NULL && strstr(sqlite3_sql(statement), "words_") != NULL;
        CHECK(kept > 0); /* or this test is none */
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.unclean, 0);
    close_pool(pool);
}

static void with_handlers_gone(const char *path, void (*dirty)(sqlpool_conn *), int64_t replaced) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlpool_call call = {60, 0, 0, NULL, NULL};
    sqlite3 *other;
    pthread_t thread;
    int64_t start;
    sqlpool *pool = open_pool(path, &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    dirty(&conn);
    (void)sqlpool_conn_release(&conn);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    dirty(&conn);
    (void)sqlpool_conn_release(&conn);
    other = raw_open(path);
    CHECK(other != NULL && raw_exec(other, "BEGIN IMMEDIATE"));
    CHECK(start_thread(&thread, commit_later, other));
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, &err), &err); /* it waited */
    CHECK_INT(pthread_join(thread, NULL), 0);
    start = now_ms();
    CHECK_RC(sqlpool_exec_with(pool, &call, NULL, ENDLESS, SQLPOOL_NO_ARGS, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(now_ms() - start < 1500); /* the progress handler is back as well */
    (void)sqlite3_close(other);
    CHECK_INT(stats_of(pool).closed_bad, replaced);
    CHECK(stats_of(pool).wal_frames > 0); /* and the hook of the log */
    close_pool(pool);
}
TEST(handlers_work_again_after_the_raw_handle) {
    PART(with_handlers_gone("handlers.db", dirty_no_handlers, 2)); /* who could not be trusted was opened anew */
    PART(with_handlers_gone("unheard.db", dirty_unheard, 0));
}

/*  Who stops a statement after that is not taken for it. */
static int stop_now(void *user) {
    (void)user;
    return 1;
}
TEST(a_deadline_that_is_lifted_is_forgotten) {
    sqlpool_config config = config_of(1);
    sqlpool_chain chain = {.progress_fn = stop_now};
    sqlpool_conn conn;
    sqlpool *pool = open_pool("lifted.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(sqlpool_conn_set_timeout(&conn, 20), SQLPOOL_OK);
    CHECK_RC(sqlpool_conn_exec(&conn, ENDLESS, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(sqlpool_conn_set_timeout(&conn, SQLPOOL_FOREVER), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_chain(&conn, &chain), SQLPOOL_OK);
    CHECK_RC(sqlpool_conn_exec(&conn, ENDLESS, SQLPOOL_NO_ARGS, NULL, &err), SQLITE_INTERRUPT, &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

TEST(cursor_of_a_released_lease) {
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlpool_config config = config_of(1);
    sqlpool *pool = open_pool("deadcursor.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_query(&conn, &rows, "SELECT v FROM t UNION ALL SELECT 2", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 0);
    CHECK(sqlpool_rows_text(&rows, 0) == NULL);
    CHECK_INT(sqlpool_rows_close(&rows, &err), SQLPOOL_MISUSE);
    /* the statement's next user is not disturbed by the dead cursor */
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    {
        sqlpool_rows next;
        CHECK_OK(sqlpool_conn_query(&conn, &next, "SELECT v FROM t UNION ALL SELECT 2", SQLPOOL_NO_ARGS, &err), &err);
        CHECK(sqlpool_rows_next(&next));
        CHECK(!sqlpool_rows_next(&rows));
        (void)sqlpool_rows_close(&rows, NULL);
        CHECK(sqlpool_rows_next(&next));
        CHECK_INT(sqlpool_rows_int64(&next, 0), 2);
        CHECK_OK(sqlpool_rows_close(&next, &err), &err);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

/*  Rows of a write on a lease: the write is whole, read to the end or not. */
TEST(returning_on_a_lease) {
    sqlpool_conn conn;
    sqlpool_rows rows;
    int in_transaction;
    sqlpool *pool;
    if (sqlite3_libversion_number() < 3035000) return;
    pool = open_pool("returning.db", NULL, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    CHECK(pool != NULL);
    for (in_transaction = 0; in_transaction < 2; in_transaction++) {
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
        if (in_transaction) CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        CHECK_OK(sqlpool_conn_query(&conn, &rows, "INSERT INTO t(v) VALUES('a'), ('b'), ('c') RETURNING v", SQLPOOL_NO_ARGS, &err), &err);
        CHECK(sqlpool_rows_next(&rows));
        CHECK_STR(sqlpool_rows_text(&rows, 0), "a");
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHECK_OK(sqlpool_conn_query(&conn, &rows, "INSERT INTO t(v) VALUES('d') RETURNING v", SQLPOOL_NO_ARGS, &err), &err);
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err); /* not one row was asked for */
        if (in_transaction) CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 4 + 4 * in_transaction);
    }
    close_pool(pool);
}

typedef struct foreign_cursor {
    sqlpool_rows *rows;
    bool stepped;
    int64_t value;
} foreign_cursor;
static void *use_cursor(void *argument) {
    foreign_cursor *f = (foreign_cursor *)argument;
    f->stepped = sqlpool_rows_next(f->rows);
    f->value = sqlpool_rows_int64(f->rows, 0);
    (void)sqlpool_rows_close(f->rows, NULL);
    return NULL;
}

/*  A cursor belongs to the thread that made the query: no other one may move or end it. */
TEST(cursor_of_another_thread) {
    sqlpool_config config = config_of(1);
    sqlpool_rows rows, copy;
    foreign_cursor f;
    sqlpool_stats stats;
    pthread_t thread;
    sqlpool *pool = open_pool("foreign.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    copy = rows;
    memset(&f, 0, sizeof f);
    f.rows = &copy;
    CHECK(start_thread(&thread, use_cursor, &f));
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(!f.stepped);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.used, 1); /* still ours */
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 2);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    close_pool(pool);
}

/*  What the lease does besides does not change why a cursor of it ended. */
TEST(a_cursor_that_ran_into_a_deadline_says_so) {
    static const char rows_of[] = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlpool_rows rows;
    int way;
    sqlpool *pool = open_pool("says.db", &config, schema);
    CHECK(pool != NULL);
    for (way = 0; way < 3; way++) {
        const int64_t end = now_ms() + 20000;
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_INT(sqlpool_conn_set_timeout(&conn, 30), SQLPOOL_OK);
        CHECK_OK(sqlpool_conn_query(&conn, &rows, rows_of, SQLPOOL_NO_ARGS, &err), &err);
        CHECK(sqlpool_rows_next(&rows));
        sleep_ms(100);
        if (way == 2) CHECK_INT(sqlpool_conn_set_timeout(&conn, SQLPOOL_FOREVER), SQLPOOL_OK);
        if (way > 0) {
            const int rc = sqlpool_conn_exec(&conn, "SELECT 1", SQLPOOL_NO_ARGS, NULL, &err);
            CHECK_INT(rc, SQLPOOL_TIMEOUT);
        }
        while (sqlpool_rows_next(&rows) && now_ms() < end) {
        }
        CHECK_RC(sqlpool_rows_close(&rows, &err), SQLPOOL_TIMEOUT, &err);
        (void)sqlpool_conn_release(&conn);
    }
    close_pool(pool);
}

static int release_inside(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    (void)sqlpool_conn_exec(conn, "INSERT INTO t(v) VALUES('lost?')", SQLPOOL_NO_ARGS, NULL, NULL);
    (void)sqlpool_conn_release(conn);
    return 0;
}
/*  And another one of the same connection, which its caller keeps. */
static int release_and_acquire(sqlpool_conn *conn, void *user, int attempt) {
    sqlpool *pool = conn->pool;
    (void)attempt;
    (void)sqlpool_conn_release(conn);
    return sqlpool_conn_acquire(pool, SQLPOOL_WRITE, (sqlpool_conn *)user, NULL);
}
TEST(function_that_releases_its_lease) {
    sqlpool_conn conn;
    sqlpool_stats stats;
    sqlpool *pool = open_pool("inside.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, release_inside, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_RC(sqlpool_conn_transaction(&conn, release_inside, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.used, 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1); /* what was open was rolled back */
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, release_and_acquire, &conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES(3)", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

TEST(exposed_raw_handle_lifts_the_refusals) {
    sqlpool_conn conn;
    sqlite3 *db;
    sqlpool *pool = open_pool("exposed.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    db = sqlpool_conn_db(&conn);
    CHECK(db != NULL);
    CHECK(raw_exec(db, "BEGIN; INSERT INTO t(v) VALUES(2); COMMIT"));
    CHECK(sqlite3_get_autocommit(db));
    CHECK(sqlpool_conn_db(&conn) == db);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK); /* nothing was left open */
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * cached statements
 *----------------------------------------------------------------------------*/

TEST(statements_of_a_lease) {
    sqlpool_conn conn, other;
    sqlite3_stmt *a, *b, *c;
    sqlpool_stats stats;
    uint64_t hits;
    sqlpool *pool = open_pool("statements.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT ?1 + 1", &a, &err), &err);
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT ?1 + 1", &b, &err), &err);
    CHECK(a != NULL && b != NULL && a != b); /* one in use is never handed out twice */
    CHECK_INT(sqlite3_bind_int(a, 1, 10), SQLITE_OK);
    CHECK_INT(sqlite3_bind_int(b, 1, 20), SQLITE_OK);
    CHECK_INT(sqlite3_step(a), SQLITE_ROW);
    CHECK_INT(sqlite3_step(b), SQLITE_ROW);
    CHECK_INT(sqlite3_column_int(a, 0), 11);
    CHECK_INT(sqlite3_column_int(b, 0), 21);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, b), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, a), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, NULL), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    hits = stats.cache_hits;
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT ?1 + 1", &c, &err), &err);
    CHECK(c == a || c == b);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK(stats.cache_hits > hits);
    CHECK(!sqlite3_stmt_busy(c));
    CHECK_INT(sqlite3_step(c), SQLITE_ROW);
    CHECK_INT(sqlite3_column_type(c, 0), SQLITE_NULL); /* unbound */
    CHECK_INT(sqlpool_conn_stmt_release(&conn, c), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, c), SQLPOOL_MISUSE); /* twice */
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT ?1 + 1", &b, &err), &err);
    CHECK(b == c); /* the same pointer again */
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &other, &err), &err);
    CHECK_INT(sqlpool_conn_stmt_release(&other, b), SQLPOOL_MISUSE); /* another lease's */
    CHECK_INT(sqlpool_conn_release(&other), SQLPOOL_OK);
    /* a statement that is run to its end need not be given back */
    CHECK_INT(sqlite3_bind_int(b, 1, 5), SQLITE_OK);
    CHECK_INT(sqlite3_step(b), SQLITE_ROW);
    CHECK_INT(sqlite3_step(b), SQLITE_DONE);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

TEST(bindings_do_not_outlive_the_lease) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlite3_stmt *statement;
    int i;
    sqlpool *pool = open_pool("bindings.db", &config, schema);
    CHECK(pool != NULL);
    for (i = 0; i < 3; i++) {
        char text[] = "on the stack";
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT ?1", &statement, &err), &err);
        CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
        CHECK_INT(sqlite3_column_type(statement, 0), SQLITE_NULL);
        CHECK_INT(sqlite3_reset(statement), SQLITE_OK);
        CHECK_INT(sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC), SQLITE_OK);
        CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
        CHECK_STR((const char *)sqlite3_column_text(statement, 0), "on the stack");
        CHECK_INT(sqlite3_reset(statement), SQLITE_OK);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    close_pool(pool);
}

TEST(statement_that_cannot_be_had) {
    static const struct {
        const char *sql;
        int expected;
    } cases[] = {
        {"", SQLPOOL_EMPTY},           {"-- nothing", SQLPOOL_EMPTY},  {"SELECT 1; SELECT 2", SQLPOOL_TRAILING},
        {"SELEC 1", SQLITE_ERROR},     {"SELECT * FROM nosuch", SQLITE_ERROR}, {"BEGIN", SQLPOOL_REFUSED},
        {"COMMIT", SQLPOOL_REFUSED},   {"ATTACH 'x' AS y", SQLPOOL_REFUSED}, {"PRAGMA query_only=0", SQLPOOL_REFUSED},
        {"PRAGMA wal_checkpoint", SQLPOOL_REFUSED},
    };
    sqlpool_conn conn;
    int i;
    sqlpool *pool = open_pool("cannot.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    for (i = 0; i < LENGTH(cases); i++) {
        sqlite3_stmt *statement = (sqlite3_stmt *)(void *)&conn;
        CHECK_RC(sqlpool_conn_stmt(&conn, cases[i].sql, &statement, &err), cases[i].expected, &err);
        CHECK(statement == NULL);
    }
    CHECK_RC(sqlpool_conn_stmt(&conn, "SELECT 1", NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

static int count_statements(sqlpool_conn *conn) {
    sqlite3_stmt *statement = NULL;
    int count = 0;
    while ((statement = sqlite3_next_stmt(sqlpool_conn_db(conn), statement)) != NULL) count++;
    return count;
}
static void use_statements(sqlpool_conn *conn, int from, int to) {
    char sql[400];
    sqlite3_stmt *statement;
    int i;
    for (i = from; i < to; i++) {
        (void)snprintf(sql, sizeof sql, "SELECT %d, v, id FROM t WHERE id = ?1 OR v = ?2 ORDER BY v, id", i);
        CHECK_OK(sqlpool_conn_stmt(conn, sql, &statement, &err), &err);
        CHECK_INT(sqlpool_conn_stmt_release(conn, statement), SQLPOOL_OK);
    }
}

TEST(cache_is_bounded_by_count) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlpool_stats before, after;
    int full;
    sqlpool *pool;
    config.statement_cache_count = 4;
    pool = open_pool("bounded.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    PART(use_statements(&conn, 0, 10));
    CHECK_INT(sqlpool_get_stats(pool, &before), SQLPOOL_OK);
    PART(use_statements(&conn, 10, 110));
    CHECK_INT(sqlpool_get_stats(pool, &after), SQLPOOL_OK);
    CHECK_INT(after.cache_evictions - before.cache_evictions, 100);
    CHECK_INT(after.cache_misses - before.cache_misses, 100);
    CHECK_INT(after.cache_hits - before.cache_hits, 0);
    PART(use_statements(&conn, 106, 110)); /* the last four are still there */
    CHECK_INT(sqlpool_get_stats(pool, &before), SQLPOOL_OK);
    CHECK_INT(before.cache_hits - after.cache_hits, 4);
    full = count_statements(&conn); /* through the raw handle, which ends the caching: so last */
    CHECK(full >= 4 && full <= 4 + 6); /* and the pool's own: BEGIN, COMMIT, ... */
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

TEST(cache_is_bounded_by_bytes) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlpool_stats stats;
    sqlpool *pool;
    config.statement_cache_count = 1000;
    config.statement_cache_bytes = 64 * 1024; /* a statement here takes 2 to 6 KiB */
    pool = open_pool("bytes.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    PART(use_statements(&conn, 0, 200));
    CHECK(count_statements(&conn) < 80);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK(stats.cache_evictions > 100);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

TEST(warm_statements_are_hits) {
    static const char *const warm[] = {"SELECT v FROM t WHERE id = ?", "INSERT INTO t(v) VALUES(?)", "SELECT * FROM not_yet"};
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlite3_stmt *statement;
    sqlpool_stats before, after;
    sqlpool *pool = open_pool("warm.db", NULL, schema);
    CHECK(pool != NULL);
    close_pool(pool);
    config.warmup_sql = warm;
    config.warmup_count = LENGTH(warm);
    pool = open_pool("warm.db", &config, NULL); /* what does not fit is no error */
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(sqlpool_get_stats(pool, &before), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT v FROM t WHERE id = ?", &statement, &err), &err);
    CHECK_INT(sqlpool_get_stats(pool, &after), SQLPOOL_OK);
    CHECK_INT(after.cache_hits - before.cache_hits, 1);
    CHECK_INT(after.cache_misses - before.cache_misses, 0);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

int main(void) {
    RUN(acquire_and_release);
    RUN(reader_cannot_write);
    RUN(not_out_any_more);
    RUN(lease_of_another_pool);
    RUN(another_threads_lease);
    RUN(timeout_names_the_holder);
    RUN(config_timeout_is_the_default);
    RUN(bad_acquire_arguments);
    RUN(nested_acquire_in_one_thread);
    RUN(what_the_holder_of_the_writer_may_do);
    RUN(one_connection_for_all);
    RUN(both_sides_of_the_gate);
    RUN(two_threads_that_want_two_each);
    RUN(the_next_lease_is_clean);
    RUN(statements_of_a_virtual_table_are_no_leftovers);
    RUN(handlers_work_again_after_the_raw_handle);
    RUN(a_deadline_that_is_lifted_is_forgotten);
    RUN(a_cursor_that_ran_into_a_deadline_says_so);
    RUN(cursor_of_a_released_lease);
    RUN(returning_on_a_lease);
    RUN(cursor_of_another_thread);
    RUN(function_that_releases_its_lease);
    RUN(exposed_raw_handle_lifts_the_refusals);
    RUN(statements_of_a_lease);
    RUN(bindings_do_not_outlive_the_lease);
    RUN(statement_that_cannot_be_had);
    RUN(cache_is_bounded_by_count);
    RUN(cache_is_bounded_by_bytes);
    RUN(warm_statements_are_hits);
    return test_end();
}
