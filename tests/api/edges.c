/*  edges.c - what a review found: corners where two features meet.
    SPDX-License-Identifier: MIT OR Unlicense

    One test is for an SQLite older than the one at hand, so this file compiles its own implementation,
    which asks old_version(). */
#define _POSIX_C_SOURCE 200809L
#include <sqlite3.h>

static int pretended_version; /* 0: the truth */
static int old_version(void) {
    return pretended_version != 0 ? pretended_version : sqlite3_libversion_number();
}
#define sqlite3_libversion_number old_version
#define SQLPOOL_IMPLEMENTATION
#include "api.h"
#undef sqlite3_libversion_number

static sqlpool_error err;
static const char schema[] = "CREATE TABLE t(a)";

static void set_flag(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_SEQ_CST); }
static int get_flag(int *flag) { return __atomic_load_n(flag, __ATOMIC_SEQ_CST); }
static bool wait_for(int *flag, int value, int ms) {
    const int64_t end = now_ms() + ms;
    while (get_flag(flag) != value) {
        if (now_ms() > end) return false;
        sleep_ms(1);
    }
    return true;
}

static void name_of(char *out, size_t out_bytes, const char *path, const char *suffix) {
    (void)snprintf(out, out_bytes, "%s%s", path, suffix);
}
static void remove_logs(const char *path) {
    char name[100];
    name_of(name, sizeof name, path, "-wal");
    (void)unlink(name);
    name_of(name, sizeof name, path, "-shm");
    (void)unlink(name);
}
static bool has_log(const char *path) {
    char name[100];
    name_of(name, sizeof name, path, "-wal");
    return access(name, F_OK) == 0;
}
/*  The bytes of a small file; what is beyond the buffer is not looked at. */
static size_t read_file(const char *path, unsigned char *buffer, size_t buffer_bytes) {
    FILE *file = fopen(path, "rb");
    size_t count;
    if (file == NULL) return 0;
    count = fread(buffer, 1, buffer_bytes, file);
    (void)fclose(file);
    return count;
}
/*  One more look at the database by a fresh pool. */
static int64_t ask_again(const char *path, const char *sql) {
    int64_t value;
    sqlpool *pool = open_pool(path, NULL, NULL);
    if (pool == NULL) return INT64_MIN;
    value = ask(pool, sql);
    close_pool(pool);
    return value;
}

/*------------------------------------------------------------------------------
 * the file moves
 *----------------------------------------------------------------------------*/

/*  A reader is checked when it was unused for validate_after_ms and an upkeep interval. */
static bool wait_for_moved(sqlpool *pool) {
    const int64_t end = now_ms() + 2000;
    do {
        if (now_ms() > end) return false;
        sleep_ms(50);
    } while (sqlpool_exec(pool, "SELECT 1 FROM sqlite_master", SQLPOOL_NO_ARGS, NULL) != SQLPOOL_MOVED);
    return true;
}

/*  A pool on path, its writer in a transaction, and another file put in its place. */
static sqlpool *move_under_a_writer(const char *path, const char *fresh, sqlpool_conn *writer) {
    sqlpool_config config = config_of(2);
    sqlpool *pool;
    config.min_connections = 2;
    config.validate_after_ms = 1;
    config.upkeep_interval_ms = 5;
    if (!raw_make(fresh, "CREATE TABLE n(a, b, c); INSERT INTO n VALUES(1, 2, 3)")) return NULL;
    pool = open_pool(path, &config, "CREATE TABLE t(a); CREATE TABLE u(a)");
    if (pool == NULL) return NULL;
    if (sqlpool_conn_acquire(pool, SQLPOOL_WRITE, writer, &err) != SQLPOOL_OK ||
        sqlpool_conn_begin(writer, &err) != SQLPOOL_OK ||
        sqlpool_conn_exec(writer, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, NULL, &err) != SQLPOOL_OK ||
        rename(fresh, path) != 0 || !wait_for_moved(pool)) {
        test_fail(__FILE__, __LINE__, "cannot be set up: %s", err.message);
        return NULL;
    }
    return pool;
}
static void check_new_file(sqlpool *pool, const char *path) {
    char text[200];
    sqlite3 *db;
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO n VALUES(4, 5, 6)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM n"), 2);
    CHECK_OK(sqlpool_query_text(pool, text, sizeof text, "SELECT group_concat(name) FROM sqlite_master", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_STR(text, "n");
    close_pool(pool);
    db = raw_open(path);
    CHECK(db != NULL);
    CHECK_INT(raw_ask(db, "SELECT count(*) FROM n"), 2);
    CHECK_INT(raw_ask(db, "SELECT count(*) FROM sqlite_master"), 1);
    CHECK_INT(raw_ask(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
}

TEST(recycle_refuses_while_a_writer_and_its_log_are_there) {
    static unsigned char before[20000], after[20000];
    sqlpool_conn writer;
    size_t bytes;
    int i;
    sqlpool *pool = move_under_a_writer("refuse.db", "refuse-new.db", &writer);
    CHECK(pool != NULL);
    bytes = read_file("refuse.db", before, sizeof before);
    CHECK(bytes > 0);
    CHECK(has_log("refuse.db"));
    for (i = 0; i < 3; i++) {
        CHECK_INT(sqlpool_recycle(pool), SQLPOOL_MOVED);
        CHECK_RC(sqlpool_exec(pool, "SELECT 1 FROM sqlite_master", SQLPOOL_NO_ARGS, &err), SQLPOOL_MOVED, &err);
        sleep_ms(10);
    }
    (void)sqlpool_conn_commit(&writer, &err); /* into the old file, or refused */
    (void)sqlpool_conn_release(&writer);
    if (has_log("refuse.db")) {
        CHECK_INT(sqlpool_recycle(pool), SQLPOOL_MOVED);
        CHECK_RC(sqlpool_exec(pool, "INSERT INTO n VALUES(4, 5, 6)", SQLPOOL_NO_ARGS, &err), SQLPOOL_MOVED, &err);
    }
    CHECK(read_file("refuse.db", after, sizeof after) == bytes);
    CHECK(memcmp(before, after, bytes) == 0);
    remove_logs("refuse.db");
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    PART(check_new_file(pool, "refuse.db"));
}

/*  With the old log out of the way, but an old lease still out: done or refused, the new file is safe. */
TEST(an_old_writer_that_comes_back_after_recycle) {
    sqlpool_conn writer;
    int rc;
    sqlpool *pool = move_under_a_writer("late.db", "late-new.db", &writer);
    CHECK(pool != NULL);
    remove_logs("late.db");
    rc = sqlpool_recycle(pool);
    if (rc == SQLPOOL_OK) {
        CHECK_INT(ask(pool, "SELECT count(*) FROM n"), 1);
    } else {
        CHECK_INT(rc, SQLPOOL_MOVED);
        CHECK_RC(sqlpool_exec(pool, "SELECT 1 FROM sqlite_master", SQLPOOL_NO_ARGS, &err), SQLPOOL_MOVED, &err);
    }
    (void)sqlpool_conn_commit(&writer, &err);
    (void)sqlpool_conn_release(&writer);
    if (rc != SQLPOOL_OK) {
        remove_logs("late.db");
        CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    }
    PART(check_new_file(pool, "late.db"));
}

TEST(a_replaced_writer_does_not_make_a_new_file) {
    sqlpool_config config = config_of(1);
    sqlpool *pool;
    sqlite3 *db;
    config.max_lifetime_ms = 60;
    config.lifetime_jitter_percent = SQLPOOL_OFF;
    config.upkeep_interval_ms = 20;
    config.validate_after_ms = 40;
    pool = open_pool("lifetime.db", &config, schema);
    CHECK(pool != NULL);
    CHECK(unlink("lifetime.db") == 0);
    remove_logs("lifetime.db");
    sleep_ms(200);
    CHECK_RC(sqlpool_exec(pool, "CREATE TABLE t(a)", SQLPOOL_NO_ARGS, &err), SQLPOOL_MOVED, &err);
    CHECK_RC(sqlpool_exec(pool, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &err), SQLPOOL_MOVED, &err);
    (void)sqlpool_close(pool, NULL);
    if (access("lifetime.db", F_OK) == 0) {
        db = raw_open("lifetime.db");
        CHECK(db != NULL);
        CHECK_INT(raw_ask(db, "SELECT count(*) FROM sqlite_master"), 0);
        CHECK_INT(sqlite3_close(db), SQLITE_OK);
    }
}

/*  What a reader counts, or the result that stopped it. */
static int count_rows(sqlpool_conn *conn, int64_t *count) {
    sqlpool_rows rows;
    int rc = sqlpool_conn_query(conn, &rows, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &err);
    *count = -1;
    if (sqlpool_rows_next(&rows)) *count = sqlpool_rows_int64(&rows, 0);
    rc = sqlpool_rows_close(&rows, &err);
    return rc;
}

TEST(a_reader_opened_after_the_file_was_replaced) {
    sqlpool_config config = config_of(4);
    sqlpool_conn old, grown;
    int64_t count;
    int rc;
    sqlpool *pool;
    config.min_connections = 2;
    pool = open_pool("growth.db", &config, schema);
    CHECK(pool != NULL);
    CHECK(raw_make("growth-new.db", "CREATE TABLE t(a); INSERT INTO t VALUES(1), (2)"));
    CHECK(unlink("growth.db") == 0);
    remove_logs("growth.db");
    CHECK(rename("growth-new.db", "growth.db") == 0);
    rc = sqlpool_conn_acquire(pool, SQLPOOL_READ, &old, &err);
    CHECK(rc == SQLPOOL_OK || rc == SQLPOOL_MOVED);
    if (rc == SQLPOOL_OK) {
        rc = count_rows(&old, &count);
        CHECK(rc == SQLPOOL_MOVED || (rc == SQLPOOL_OK && count == 0)); /* not checked yet: the old file */
        rc = sqlpool_conn_acquire(pool, SQLPOOL_READ, &grown, &err);
        if (rc == SQLPOOL_OK) {
            rc = count_rows(&grown, &count);
            (void)sqlpool_conn_release(&grown);
        }
        (void)sqlpool_conn_release(&old);
    }
    CHECK_INT(rc, SQLPOOL_MOVED);
    (void)sqlpool_close(pool, NULL);
}

TEST(a_reader_unused_since_long_before_the_file_went) {
    sqlpool_config config = config_of(1);
    sqlpool *pool;
    config.validate_after_ms = 20;
    config.upkeep_interval_ms = 10;
    pool = open_pool("quiet.db", &config, schema);
    CHECK(pool != NULL);
    sleep_ms(100); /* upkeep has gone to sleep */
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    CHECK(unlink("quiet.db") == 0);
    remove_logs("quiet.db");
    sleep_ms(300);
    CHECK_RC(sqlpool_exec(pool, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &err), SQLPOOL_MOVED, &err);
    (void)sqlpool_close(pool, NULL);
}

/*------------------------------------------------------------------------------
 * transactions
 *----------------------------------------------------------------------------*/

/*  The timeout passes while a cursor stands idle: upkeep interrupts a connection that runs nothing. */
#define STATEMENT_TIMEOUT_MS 30
static int stand_still(sqlpool_conn *conn, sqlpool_rows *rows) {
    const int rc = sqlpool_conn_query(conn, rows, "SELECT a FROM s ORDER BY a", SQLPOOL_NO_ARGS, NULL);
    if (rc != SQLPOOL_OK || !sqlpool_rows_next(rows)) test_fail(__FILE__, __LINE__, "no row: %s", sqlpool_result_name(rc));
    sleep_ms(5 * STATEMENT_TIMEOUT_MS);
    return rc;
}
static sqlpool *open_with_timeout(const char *path) {
    sqlpool_config config = config_of(1);
    config.statement_timeout_ms = STATEMENT_TIMEOUT_MS;
    return open_pool(path, &config, "CREATE TABLE t(a); CREATE TABLE s(a); INSERT INTO s VALUES(1), (2), (3)");
}

TEST(rollback_after_a_timeout_ends_the_transaction) {
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlpool_result result;
    sqlpool *pool = open_with_timeout("rollback.db");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t VALUES('undone')", SQLPOOL_NO_ARGS, NULL, &err), &err);
    PART((void)stand_still(&conn, &rows));
    CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err);
    (void)sqlpool_rows_close(&rows, &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t VALUES('kept')", SQLPOOL_NO_ARGS, &result, &err), &err);
    CHECK_INT(result.changes, 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE a = 'kept'"), 1); /* committed by itself */
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE a = 'kept'"), 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE a = 'undone'"), 0);
    close_pool(pool);
}

static int inner_that_times_out(sqlpool_conn *conn, void *user, int attempt) {
    sqlpool_rows rows;
    int rc = sqlpool_conn_exec(conn, "INSERT INTO t VALUES('inner')", SQLPOOL_NO_ARGS, NULL, NULL);
    (void)user, (void)attempt;
    if (rc != SQLPOOL_OK) return rc;
    (void)stand_still(conn, &rows);
    while (sqlpool_rows_next(&rows)) continue;
    rc = sqlpool_rows_close(&rows, NULL);
    return rc != SQLPOOL_OK ? rc : 70001;
}
static int outer_that_bears_it(sqlpool_conn *conn, void *user, int attempt) {
    sqlpool_rows rows;
    (void)attempt;
    if (sqlpool_conn_query(conn, &rows, "SELECT a FROM s", SQLPOOL_NO_ARGS, NULL) == SQLPOOL_OK && sqlpool_rows_next(&rows))
        *(int *)user = sqlpool_conn_transaction(conn, inner_that_times_out, NULL, NULL);
    (void)sqlpool_rows_close(&rows, NULL);
    return sqlpool_conn_exec(conn, "INSERT INTO t VALUES('outer')", SQLPOOL_NO_ARGS, NULL, NULL);
}

/*  Whatever became of the outer one: the rows are both or neither, and never the inner's. */
static void check_outer(sqlpool *pool, int outer) {
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE a = 'inner'"), 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE a = 'outer'"), outer == SQLPOOL_OK ? 1 : 0);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES('next')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE a = 'next'"), 1);
}

TEST(rows_of_a_failed_inner_transaction_are_not_committed) {
    int inner = SQLPOOL_OK, outer;
    sqlpool *pool = open_with_timeout("inner.db");
    CHECK(pool != NULL);
    outer = sqlpool_transaction(pool, SQLPOOL_WRITE, outer_that_bears_it, &inner, &err);
    CHECK(inner != SQLPOOL_OK);
    PART(check_outer(pool, outer));
    close_pool(pool);
}

TEST(rows_of_an_inner_rollback_are_not_committed) {
    sqlpool_conn conn;
    sqlpool_rows rows;
    int outer;
    sqlpool *pool = open_with_timeout("byhand.db");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t VALUES('outer')", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t VALUES('inner')", SQLPOOL_NO_ARGS, NULL, &err), &err);
    PART((void)stand_still(&conn, &rows));
    (void)sqlpool_conn_rollback(&conn, &err);
    (void)sqlpool_rows_close(&rows, &err);
    outer = sqlpool_conn_commit(&conn, &err);
    (void)sqlpool_conn_release(&conn);
    PART(check_outer(pool, outer));
    close_pool(pool);
}

/*  The pool's own texts are cached like any other; nobody else may use them. */
static const char *const own_texts[] = {
    "BEGIN",  "BEGIN IMMEDIATE", "BEGIN DEFERRED", "COMMIT", "END", "ROLLBACK", "SAVEPOINT sqlpool_1", "RELEASE sqlpool_1",
    "ROLLBACK TO sqlpool_1", "SAVEPOINT sqlpool_2", "RELEASE sqlpool_2", "ROLLBACK TO sqlpool_2", "SAVEPOINT x",
};

static void check_own_texts(sqlpool *pool) {
    static const sqlpool_mode modes[] = {SQLPOOL_WRITE, SQLPOOL_READ};
    sqlpool_conn conn;
    sqlite3_stmt *statement;
    int i, m;
    for (i = 0; i < LENGTH(own_texts); i++) {
        CHECK_RC(sqlpool_exec(pool, own_texts[i], SQLPOOL_NO_ARGS, &err), SQLPOOL_REFUSED, &err);
        for (m = 0; m < LENGTH(modes); m++) {
            CHECK_OK(sqlpool_conn_acquire(pool, modes[m], &conn, &err), &err);
            CHECK_RC(sqlpool_conn_exec(&conn, own_texts[i], SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_REFUSED, &err);
            CHECK_RC(sqlpool_conn_stmt(&conn, own_texts[i], &statement, &err), SQLPOOL_REFUSED, &err);
            CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        }
    }
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
}

static int connect_with_a_transaction(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    int rc = sqlpool_conn_exec(&lease, "BEGIN", SQLPOOL_NO_ARGS, NULL, NULL);
    (void)user;
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_exec(&lease, "SAVEPOINT sqlpool_1", SQLPOOL_NO_ARGS, NULL, NULL);
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_exec(&lease, "RELEASE sqlpool_1", SQLPOOL_NO_ARGS, NULL, NULL);
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_exec(&lease, "COMMIT", SQLPOOL_NO_ARGS, NULL, NULL);
    return rc;
}

TEST(begin_is_refused_after_a_connect_fn_that_began) {
    sqlpool_config config = config_of(2);
    sqlpool *pool;
    config.events.connect_fn = connect_with_a_transaction;
    pool = open_pool("connect.db", &config, schema);
    CHECK(pool != NULL);
    PART(check_own_texts(pool));
    close_pool(pool);
    CHECK_INT(ask_again("connect.db", "SELECT count(*) FROM t"), 1);
}

TEST(begin_is_refused_after_a_lease_with_the_raw_handle_began) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    int i;
    sqlpool *pool = open_pool("rawbegin.db", &config, schema);
    CHECK(pool != NULL);
    for (i = 0; i < 2; i++) {
        CHECK_OK(sqlpool_conn_acquire(pool, i == 0 ? SQLPOOL_WRITE : SQLPOOL_READ, &conn, &err), &err);
        CHECK(sqlpool_conn_db(&conn) != NULL);
        CHECK_OK(sqlpool_conn_exec(&conn, "BEGIN", SQLPOOL_NO_ARGS, NULL, &err), &err);
        CHECK_OK(sqlpool_conn_exec(&conn, "SAVEPOINT sqlpool_1", SQLPOOL_NO_ARGS, NULL, &err), &err);
        CHECK_OK(sqlpool_conn_exec(&conn, "COMMIT", SQLPOOL_NO_ARGS, NULL, &err), &err);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    PART(check_own_texts(pool));
    close_pool(pool);
    CHECK_INT(ask_again("rawbegin.db", "SELECT count(*) FROM t"), 1);
}

TEST(savepoint_is_refused_after_a_nested_transaction) {
    static const sqlpool_mode modes[] = {SQLPOOL_WRITE, SQLPOOL_READ};
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    int m, i;
    sqlpool *pool = open_pool("nested.db", &config, schema);
    CHECK(pool != NULL);
    for (m = 0; m < LENGTH(modes); m++) {
        CHECK_OK(sqlpool_conn_acquire(pool, modes[m], &conn, &err), &err);
        for (i = 0; i < 2; i++) {
            CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
            CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
            CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
            CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err);
            CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
            CHECK_RC(sqlpool_conn_exec(&conn, "ROLLBACK TO sqlpool_1", SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_REFUSED, &err);
            CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
        }
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    PART(check_own_texts(pool));
    close_pool(pool);
    CHECK_INT(ask_again("nested.db", "SELECT count(*) FROM t"), 1);
}

typedef struct committer {
    int calls, result;
} committer;
static int commit_and_complain(sqlpool_conn *conn, void *user, int attempt) {
    committer *c = (committer *)user;
    int rc = sqlpool_conn_exec(conn, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, NULL, NULL);
    (void)attempt;
    c->calls++;
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_commit(conn, NULL);
    return rc != SQLPOOL_OK ? rc : c->result;
}

TEST(work_that_was_committed_does_not_run_again) {
    static const int results[] = {SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT, SQLITE_ABORT_ROLLBACK};
    sqlpool_conn conn;
    int i;
    sqlpool *pool = open_pool("committed.db", NULL, schema);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(results); i++) {
        committer c = {0, 0};
        c.result = results[i];
        CHECK(sqlpool_transaction(pool, SQLPOOL_WRITE, commit_and_complain, &c, &err) != SQLPOOL_OK);
        CHECK_INT(c.calls, 1);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2 * i + 1);
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
        CHECK(sqlpool_conn_transaction(&conn, commit_and_complain, &c, &err) != SQLPOOL_OK);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_INT(c.calls, 2);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2 * i + 2);
    }
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * waiting
 *----------------------------------------------------------------------------*/

typedef struct caller {
    sqlpool *pool;
    int stage, result, go;
    int64_t elapsed_ms;
} caller;

static void *write_once(void *argument) {
    caller *c = (caller *)argument;
    const int64_t start = now_ms();
    c->result = sqlpool_exec(c->pool, "INSERT INTO t VALUES(99)", SQLPOOL_NO_ARGS, NULL);
    c->elapsed_ms = now_ms() - start;
    return NULL;
}

TEST(a_nested_read_passes_a_queued_writer_in_memory) {
    caller c;
    pthread_t thread;
    sqlpool_rows rows;
    int64_t count = 0, start, end;
    int rc;
    sqlpool *pool;
    if (sqlite3_libversion_number() < 3036000) return; /* one connection for all */
    pool = open_pool(":memory:", NULL, "CREATE TABLE t(a); INSERT INTO t VALUES(1), (2), (3)");
    CHECK(pool != NULL);
    memset(&c, 0, sizeof c);
    c.pool = pool;
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT a FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK(start_thread(&thread, write_once, &c));
    CHECK(await_waiting(pool));
    sleep_ms(10); /* older than barge_us */
    start = now_ms();
    rc = sqlpool_query_int64(pool, &count, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &err);
    end = now_ms();
    (void)sqlpool_rows_close(&rows, NULL);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK_INT(count, 3);
    CHECK(end - start < 1000);
    CHECK_INT(c.result, SQLPOOL_OK);
    CHECK(c.elapsed_ms < 1500);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 4);
    close_pool(pool);
}

static void *hold_the_writer(void *argument) {
    caller *c = (caller *)argument;
    sqlpool_conn conn;
    c->result = sqlpool_conn_acquire(c->pool, SQLPOOL_WRITE, &conn, NULL);
    set_flag(&c->stage, 1);
    (void)wait_for(&c->go, 1, 3000);
    if (c->result == SQLPOOL_OK) (void)sqlpool_conn_release(&conn);
    return NULL;
}
static void *hold_a_reader_and_wait_for_the_writer(void *argument) {
    caller *c = (caller *)argument;
    sqlpool_conn reader, writer;
    c->result = sqlpool_conn_acquire(c->pool, SQLPOOL_READ, &reader, NULL);
    set_flag(&c->stage, 1);
    if (c->result != SQLPOOL_OK) return NULL;
    c->result = sqlpool_conn_acquire(c->pool, SQLPOOL_WRITE, &writer, NULL);
    if (c->result == SQLPOOL_OK) (void)sqlpool_conn_release(&writer);
    (void)sqlpool_conn_release(&reader);
    return NULL;
}
static void *let_go_soon(void *argument) {
    sleep_ms(80);
    set_flag((int *)argument, 1);
    return NULL;
}

TEST(no_deadlock_behind_a_holder_that_works) {
    sqlpool_config config = config_of(2);
    sqlpool_conn first, second;
    caller holder, waiter;
    pthread_t holds, waits, lets_go;
    int rc;
    sqlpool *pool;
    config.min_connections = 3;
    pool = open_pool("lanes.db", &config, schema);
    CHECK(pool != NULL);
    memset(&holder, 0, sizeof holder);
    memset(&waiter, 0, sizeof waiter);
    holder.pool = waiter.pool = pool;
    CHECK(start_thread(&holds, hold_the_writer, &holder));
    CHECK(wait_for(&holder.stage, 1, 2000));
    CHECK(start_thread(&waits, hold_a_reader_and_wait_for_the_writer, &waiter));
    CHECK(wait_for(&waiter.stage, 1, 2000));
    CHECK(await_waiting(pool));
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &first, &err), &err);
    CHECK(start_thread(&lets_go, let_go_soon, &holder.go));
    rc = sqlpool_conn_acquire(pool, SQLPOOL_READ, &second, &err);
    if (rc == SQLPOOL_OK) (void)sqlpool_conn_release(&second);
    (void)sqlpool_conn_release(&first);
    CHECK_INT(pthread_join(lets_go, NULL), 0);
    CHECK_INT(pthread_join(holds, NULL), 0);
    CHECK_INT(pthread_join(waits, NULL), 0);
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK_INT(holder.result, SQLPOOL_OK);
    CHECK_INT(waiter.result, SQLPOOL_OK);
    close_pool(pool);
}

typedef struct pauser {
    sqlpool *pool;
    int timeout_ms, result;
    int64_t elapsed_ms;
} pauser;
static void *pause_it(void *argument) {
    pauser *p = (pauser *)argument;
    const int64_t start = now_ms();
    p->result = sqlpool_pause(p->pool, p->timeout_ms, NULL);
    p->elapsed_ms = now_ms() - start;
    return NULL;
}

/*  Either the resume came too early and the pool is paused, or it ended the pause, which says so. */
static void resume_while_it_drains(const char *path, int timeout_ms, int limit_ms) {
    sqlpool_call no_wait = {SQLPOOL_NO_WAIT, 0, 0, NULL, NULL};
    sqlpool_conn mine, conn;
    pauser p;
    pthread_t thread;
    int resumed, acquired, i;
    sqlpool *pool = open_pool(path, NULL, schema);
    CHECK(pool != NULL);
    p.pool = pool;
    p.timeout_ms = timeout_ms;
    p.result = -99;
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &mine, &err), &err);
    CHECK(start_thread(&thread, pause_it, &p));
    for (i = 0; i < 1000; i++) { /* until it holds back */
        if (sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &no_wait, &conn, &err) != SQLPOOL_OK) break;
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        sleep_ms(1);
    }
    CHECK(i < 1000);
    resumed = sqlpool_resume(pool);
    sleep_ms(20);
    CHECK_INT(sqlpool_conn_release(&mine), SQLPOOL_OK);
    CHECK_INT(pthread_join(thread, NULL), 0);
    acquired = sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &no_wait, &conn, &err);
    if (acquired == SQLPOOL_OK) CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    if (resumed == SQLPOOL_OK) {
        CHECK(p.result != SQLPOOL_OK);
        CHECK_INT(acquired, SQLPOOL_OK);
    } else {
        CHECK_INT(resumed, SQLPOOL_MISUSE);
        CHECK_INT(p.result, SQLPOOL_OK);
        CHECK_INT(acquired, SQLPOOL_WOULD_BLOCK);
        CHECK_INT(sqlpool_resume(pool), SQLPOOL_OK);
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    close_pool(pool);
    if (p.elapsed_ms > limit_ms) test_fail(__FILE__, __LINE__, "pause returned after %d ms", (int)p.elapsed_ms);
}
TEST(resume_while_pause_waits_for_leases) { PART(resume_while_it_drains("pause.db", 300, 30000)); }
TEST(a_pause_that_was_resumed_returns_soon) { PART(resume_while_it_drains("pausesoon.db", 1500, 1000)); }

static void slow_function(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count, (void)values;
    sleep_ms(20);
    sqlite3_result_int(context, 1);
}
static int connect_slow_function(void *user, const sqlpool_conn *conn) {
    (void)user;
    return add_function(conn, "slow", 0, slow_function);
}
static void *write_much_and_hold(void *argument) {
    caller *c = (caller *)argument;
    sqlpool_conn conn;
    c->result = sqlpool_conn_acquire(c->pool, SQLPOOL_WRITE, &conn, NULL);
    if (c->result == SQLPOOL_OK)
        c->result = sqlpool_conn_exec(&conn, "INSERT INTO t VALUES(zeroblob(200000))", SQLPOOL_NO_ARGS, NULL, NULL);
    set_flag(&c->stage, 1);
    (void)wait_for(&c->go, 1, 5000);
    (void)sqlpool_conn_release(&conn);
    return NULL;
}

/*  Upkeep has a checkpoint to make and waits for the writer; it must look after deadlines as well. */
TEST(a_deadline_is_kept_beside_a_checkpoint_that_waits) {
    sqlpool_config config = config_of(2);
    sqlpool_call call = {50, 0, 0, NULL, NULL};
    caller c;
    pthread_t thread;
    int64_t start, elapsed;
    int rc;
    sqlpool *pool;
    config.events.connect_fn = connect_slow_function;
    config.wal_budget_bytes = 65536;
    pool = open_pool("due.db", &config, schema);
    CHECK(pool != NULL);
    memset(&c, 0, sizeof c);
    c.pool = pool;
    CHECK(start_thread(&thread, write_much_and_hold, &c));
    CHECK(wait_for(&c.stage, 1, 3000));
    start = now_ms();
    rc = sqlpool_exec_with(pool, &call, NULL,
                           "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT sum(slow()) FROM n",
                           SQLPOOL_NO_ARGS, &err);
    elapsed = now_ms() - start;
    set_flag(&c.go, 1);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(c.result, SQLPOOL_OK);
    CHECK_INT(rc, SQLPOOL_TIMEOUT);
    if (elapsed >= 500) test_fail(__FILE__, __LINE__, "50 ms took %d ms", (int)elapsed);
    close_pool(pool);
}

TEST(a_timeout_works_after_a_stepped_statement) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlite3_stmt *statement;
    int i;
    sqlpool *pool;
    config.disable_upkeep_thread = true;
    pool = open_pool("stepped.db", &config, schema);
    CHECK(pool != NULL);
    for (i = 0; i < 2; i++) {
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
        if (i == 1) {
            CHECK_OK(sqlpool_conn_stmt(&conn, "INSERT INTO t VALUES(1)", &statement, &err), &err);
            CHECK_INT(sqlite3_step(statement), SQLITE_DONE);
            CHECK_INT(sqlite3_reset(statement), SQLITE_OK);
        }
        CHECK_INT(sqlpool_conn_set_timeout(&conn, 20), SQLPOOL_OK);
        CHECK_RC(sqlpool_conn_exec(&conn, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT count(*) FROM n",
                                   SQLPOOL_NO_ARGS, NULL, &err),
                 SQLPOOL_TIMEOUT, &err);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
}

typedef struct restarts {
    int count;
    const char *sql; /* then this, which does not go well */
} restarts;
static int restart_then_fail(sqlpool_conn *conn, void *user, int attempt) {
    const restarts *r = (const restarts *)user;
    if (attempt <= r->count) return SQLITE_BUSY_SNAPSHOT;
    return sqlpool_conn_exec(conn, r->sql, SQLPOOL_NO_ARGS, NULL, NULL);
}
typedef struct restarter {
    sqlpool *pool;
    restarts restarts;
    int started, result;
    sqlpool_error error;
    int64_t elapsed_us;
} restarter;
static void *restart_in_a_thread(void *argument) {
    restarter *r = (restarter *)argument;
    const int64_t start = now_ms();
    set_flag(&r->started, 1);
    r->result = sqlpool_transaction(r->pool, SQLPOOL_WRITE, restart_then_fail, &r->restarts, &r->error);
    r->elapsed_us = (now_ms() - start + 1) * 1000;
    return NULL;
}

TEST(waiting_is_counted_once) {
    sqlpool_config config = config_of(1);
    restarter r;
    pthread_t thread;
    sqlite3 *db;
    int i;
    sqlpool *pool;
    config.retry_base_us = 20000;
    config.retry_cap_us = 20000;
    config.retry_multiplier_percent = 100;
    config.retry_jitter = SQLPOOL_JITTER_NONE;
    pool = open_pool("waited.db", &config,
                     "CREATE TABLE u(a PRIMARY KEY); INSERT INTO u VALUES(1);"
                     "CREATE TABLE v(a REFERENCES u DEFERRABLE INITIALLY DEFERRED)");
    CHECK(pool != NULL);
    for (i = 0; i < 3; i++) { /* between tries alone; for a lock before that; with a COMMIT that fails */
        memset(&r, 0, sizeof r);
        r.pool = pool;
        r.restarts.count = 2;
        r.restarts.sql = i == 2 ? "INSERT INTO v VALUES(2)" : "INSERT INTO u VALUES(1)";
        db = raw_open("waited.db");
        CHECK(db != NULL && (i != 1 || raw_exec(db, "BEGIN IMMEDIATE")));
        CHECK(start_thread(&thread, restart_in_a_thread, &r));
        CHECK(wait_for(&r.started, 1, 2000));
        if (i == 1) sleep_ms(60);
        if (i == 1) CHECK(raw_exec(db, "ROLLBACK"));
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(sqlite3_close(db), SQLITE_OK);
        CHECK_INT(r.result & 0xff, SQLITE_CONSTRAINT);
        CHECK_INT(r.error.attempts, 3);
        if (r.error.waited_us < (i == 1 ? 70000 : 35000) || r.error.waited_us > r.elapsed_us)
            test_fail(__FILE__, __LINE__, "waited %d us in a call of %d us", (int)r.error.waited_us, (int)r.elapsed_us);
    }
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * statements and results
 *----------------------------------------------------------------------------*/

TEST(last_insert_rowid_is_the_leases) {
    static const char *const nothing[] = {
        "UPDATE p SET a = 'y' WHERE id = 42",    "DELETE FROM p WHERE id = 4711",         "SELECT last_insert_rowid()",
        "INSERT OR IGNORE INTO p(id) VALUES(42)", "INSERT INTO p(a) SELECT a FROM p WHERE 0", "CREATE TABLE more(x)",
    };
    sqlpool_conn conn;
    sqlpool_result result;
    int i;
    sqlpool *pool = open_pool("rowid.db", NULL,
                              "CREATE TABLE p(id INTEGER PRIMARY KEY, a); CREATE TABLE k(id INTEGER PRIMARY KEY, pid);"
                              "INSERT INTO p VALUES(41, 0)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO p(a) VALUES('x')", SQLPOOL_NO_ARGS, &result, &err), &err);
    CHECK_INT(result.last_insert_id, 42);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO k(pid) VALUES(last_insert_rowid())", SQLPOOL_NO_ARGS, &result, &err), &err);
    CHECK_INT(result.last_insert_id, 1);
    CHECK_INT(result.changes, 1);
    CHECK_INT(ask_conn(&conn, "SELECT pid FROM k"), 42);
    CHECK_INT(ask_conn(&conn, "SELECT last_insert_rowid()"), 1);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO p(id) VALUES(77)", SQLPOOL_NO_ARGS, &result, &err), &err);
    CHECK_INT(result.last_insert_id, 77);
    for (i = 0; i < LENGTH(nothing); i++) {
        CHECK_OK(sqlpool_conn_exec(&conn, nothing[i], SQLPOOL_NO_ARGS, &result, &err), &err);
        if (result.last_insert_id != 0)
            test_fail(__FILE__, __LINE__, "%s inserted %d", nothing[i], (int)result.last_insert_id);
        CHECK_INT(ask_conn(&conn, "SELECT last_insert_rowid()"), 77);
    }
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO k(id) VALUES(77)", SQLPOOL_NO_ARGS, &result, &err), &err);
    CHECK_INT(result.last_insert_id, 77); /* the same number in another table */
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

TEST(an_upsert_that_updates_inserts_nothing) {
    static const char upsert[] = "INSERT INTO p(id, a) VALUES(?, 'new') ON CONFLICT(id) DO UPDATE SET a = 'again'";
    sqlpool_conn conn;
    sqlpool_result result;
    sqlpool *pool = open_pool("upsert.db", NULL, "CREATE TABLE p(id INTEGER PRIMARY KEY, a); INSERT INTO p VALUES(41, 0)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_exec_with(pool, NULL, &result, upsert, SQLPOOL_ARGS(41), &err), &err);
    CHECK_INT(result.changes, 1);
    CHECK_INT(result.last_insert_id, 0);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, upsert, SQLPOOL_ARGS(50), &result, &err), &err);
    CHECK_INT(result.last_insert_id, 50);
    CHECK_OK(sqlpool_conn_exec(&conn, upsert, SQLPOOL_ARGS(41), &result, &err), &err);
    CHECK_INT(result.changes, 1);
    CHECK_INT(result.last_insert_id, 0);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

static int hide_secrets(void *user, int action, const char *a, const char *b, const char *database, const char *trigger) {
    (void)user, (void)a, (void)database, (void)trigger;
    return action == SQLITE_READ && b != NULL && strcmp(b, "secret") == 0 ? SQLITE_IGNORE : SQLITE_OK;
}
static bool is_hidden(sqlpool_conn *conn, const char *sql) {
    sqlpool_rows rows;
    sqlite3_stmt *statement;
    bool by_query = false, by_stmt = false;
    if (sqlpool_conn_query(conn, &rows, sql, SQLPOOL_NO_ARGS, NULL) == SQLPOOL_OK && sqlpool_rows_next(&rows))
        by_query = sqlpool_rows_is_null(&rows, 0);
    (void)sqlpool_rows_close(&rows, NULL);
    if (sqlpool_conn_stmt(conn, sql, &statement, NULL) == SQLPOOL_OK) {
        by_stmt = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_type(statement, 0) == SQLITE_NULL;
        (void)sqlpool_conn_stmt_release(conn, statement);
    }
    if (by_query != by_stmt) test_fail(__FILE__, __LINE__, "%s: hidden by query %d, by stmt %d", sql, by_query, by_stmt);
    return by_query;
}

TEST(a_chained_authorizer_rules_cached_texts_of_its_lease) {
    static const sqlpool_mode modes[] = {SQLPOOL_READ, SQLPOOL_WRITE};
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlpool_chain chain;
    int m;
    sqlpool *pool = open_pool("chain.db", &config, "CREATE TABLE t(secret, b); INSERT INTO t VALUES(42, 43)");
    CHECK(pool != NULL);
    memset(&chain, 0, sizeof chain);
    chain.authorizer_fn = hide_secrets;
    for (m = 0; m < LENGTH(modes); m++) {
        CHECK_OK(sqlpool_conn_acquire(pool, modes[m], &conn, &err), &err);
        CHECK(!is_hidden(&conn, "SELECT secret FROM t")); /* cached from here on */
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_OK(sqlpool_conn_acquire(pool, modes[m], &conn, &err), &err);
        CHECK(!is_hidden(&conn, "SELECT secret FROM t"));
        CHECK_INT(sqlpool_conn_chain(&conn, &chain), SQLPOOL_OK);
        CHECK(is_hidden(&conn, "SELECT secret FROM t"));
        CHECK(is_hidden(&conn, "SELECT secret + b FROM t"));
        CHECK(!is_hidden(&conn, "SELECT b FROM t"));
        CHECK_INT(sqlpool_conn_chain(&conn, NULL), SQLPOOL_OK);
        CHECK(!is_hidden(&conn, "SELECT secret + b FROM t"));
        CHECK_INT(sqlpool_conn_chain(&conn, &chain), SQLPOOL_OK);
        CHECK(is_hidden(&conn, "SELECT secret - b FROM t"));
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_OK(sqlpool_conn_acquire(pool, modes[m], &conn, &err), &err);
        CHECK(!is_hidden(&conn, "SELECT secret FROM t"));
        CHECK(!is_hidden(&conn, "SELECT secret + b FROM t"));
        CHECK(!is_hidden(&conn, "SELECT secret - b FROM t"));
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    CHECK_INT(ask(pool, "SELECT secret + b FROM t"), 85);
    close_pool(pool);
}

static char *long_script(int statements, size_t *bytes) {
    const size_t room = (size_t)statements * 70 + 100;
    char *script = (char *)malloc(room);
    size_t at = 0;
    int i;
    if (script == NULL) return NULL;
    at += (size_t)snprintf(script, room, "CREATE TABLE t(a, b);");
    for (i = 0; i < statements; i++)
        at += (size_t)snprintf(script + at, room - at, "INSERT INTO t VALUES(%d, 'some text to make it longer');\n", i);
    *bytes = at;
    return script;
}

/*  Of the processor: what else runs on the machine does not count. */
static int64_t cpu_ms(void) {
    return (int64_t)(clock() / (CLOCKS_PER_SEC / 1000));
}
TEST(a_long_script_takes_time_in_proportion) {
    size_t bytes = 0;
    char *script = long_script(20000, &bytes);
    sqlite3 *db = raw_open("exec.db");
    int64_t start, plain_ms, pool_ms;
    int rc;
    sqlpool *pool = open_pool("script.db", NULL, NULL);
    CHECK(script != NULL && db != NULL && pool != NULL);
    CHECK(raw_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; BEGIN"));
    start = cpu_ms();
    CHECK(raw_exec(db, script));
    CHECK(raw_exec(db, "COMMIT"));
    plain_ms = cpu_ms() - start;
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    start = cpu_ms();
    rc = sqlpool_script(pool, script, -1, &err);
    pool_ms = cpu_ms() - start;
    printf("# 20000 statements, %d KiB: sqlpool_script %d ms, sqlite3_exec %d ms\n", (int)(bytes / 1024), (int)pool_ms, (int)plain_ms);
    free(script);
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 20000);
    CHECK(pool_ms < 10 * (plain_ms + 1));
    close_pool(pool);
}

TEST(a_long_script_of_short_statements_in_an_untrusted_pool) {
    sqlpool_config config = config_of(1);
    size_t bytes = 0;
    char *script = long_script(3000, &bytes);
    sqlpool *pool;
    config.untrusted = true;
    pool = open_pool("untrusted.db", &config, NULL);
    CHECK(script != NULL && pool != NULL);
    CHECK(bytes > 150000);
    CHECK_OK(sqlpool_script(pool, script, (int64_t)bytes, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3000);
    memcpy(script + bytes - 3, "x;\n", 3); /* "...'x;" in place of "...');" at the very end */
    CHECK(sqlpool_script(pool, script + strlen("CREATE TABLE t(a, b);"), -1, &err) > 0);
    CHECK(err.sql_offset > 100000); /* where in the whole text, not in a part of it */
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3000);
    memset(script, ' ', bytes); /* one statement that is too long in itself */
    memcpy(script, "SELECT 1", 8);
    script[bytes - 2] = '1';
    CHECK(sqlpool_script(pool, script, -1, &err) != SQLPOOL_OK);
    close_pool(pool);
    free(script);
}

TEST(returning_star_after_another_connection_added_a_column) {
    static const char insert[] = "INSERT INTO t(a) VALUES(1) RETURNING *";
    sqlpool_rows rows;
    sqlite3 *db;
    int i;
    sqlpool *pool;
    if (sqlite3_libversion_number() < 3035000) return;
    pool = open_pool("alter.db", NULL, schema);
    CHECK(pool != NULL);
    for (i = 0; i < 3; i++) {
        CHECK_OK(sqlpool_query(pool, &rows, insert, SQLPOOL_NO_ARGS, &err), &err);
        CHECK_INT(sqlpool_rows_column_count(&rows), 1 + i);
        if (i == 1) CHECK_STR(sqlpool_rows_name(&rows, 1), "b");
        CHECK(sqlpool_rows_next(&rows));
        if (i >= 1) CHECK_INT(sqlpool_rows_int64(&rows, 1), 7);
        if (i == 2) CHECK_INT(sqlpool_rows_int64(&rows, 2), 8);
        CHECK(!sqlpool_rows_next(&rows));
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHECK_OK(sqlpool_query(pool, &rows, "SELECT * FROM t", SQLPOOL_NO_ARGS, &err), &err);
        CHECK_INT(sqlpool_rows_column_count(&rows), 1 + i);
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        if (i == 0) { /* another program */
            db = raw_open("alter.db");
            CHECK(db != NULL && raw_exec(db, "ALTER TABLE t ADD COLUMN b DEFAULT 7"));
            CHECK_INT(sqlite3_close(db), SQLITE_OK);
        }
        if (i == 1) CHECK_OK(sqlpool_exec(pool, "ALTER TABLE t ADD COLUMN c DEFAULT 8", SQLPOOL_NO_ARGS, &err), &err);
    }
    close_pool(pool);
}

TEST(temporary_virtual_tables_are_refused) {
    static const char *const texts[] = {
        "CREATE VIRTUAL TABLE temp.x USING fts5(a)",
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.x USING fts5(a)",
        "CREATE VIRTUAL TABLE \"TEMP\".x USING fts5(a)",
        "create virtual table [temp] . x using fts5(a)",
        "CREATE VIRTUAL TABLE temp.x USING rtree(id, a, b)",
    };
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    int i;
    sqlpool *pool;
    if (!sqlite3_compileoption_used("ENABLE_FTS5")) return;
    pool = open_pool("virtual.db", &config, schema);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(texts); i++) {
        if (strstr(texts[i], "rtree") != NULL && !sqlite3_compileoption_used("ENABLE_RTREE")) continue;
        CHECK_RC(sqlpool_exec(pool, texts[i], SQLPOOL_NO_ARGS, &err), SQLPOOL_REFUSED, &err);
        CHECK_RC(sqlpool_script(pool, texts[i], -1, &err), SQLPOOL_REFUSED, &err);
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
        CHECK_RC(sqlpool_conn_exec(&conn, texts[i], SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_REFUSED, &err);
        CHECK_INT(ask_conn(&conn, "SELECT count(*) FROM sqlite_temp_master"), 0);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    CHECK_OK(sqlpool_exec(pool, "CREATE VIRTUAL TABLE x USING fts5(a)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO x VALUES('word')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM x WHERE x MATCH 'word'"), 1);
    close_pool(pool);
}

TEST(a_failed_cursor_keeps_its_message) {
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlpool *pool = open_pool("message.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_query(&conn, &rows, "SELECT abs(x) FROM (SELECT 1 AS x UNION ALL SELECT -9223372036854775807 - 1)",
                                SQLPOOL_NO_ARGS, &err),
             &err);
    while (sqlpool_rows_next(&rows)) continue;
    CHECK_OK(sqlpool_conn_exec(&conn, "SELECT 1", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK(sqlpool_conn_exec(&conn, "SELECT nosuch", SQLPOOL_NO_ARGS, NULL, &err) != SQLPOOL_OK);
    CHECK_RC(sqlpool_rows_close(&rows, &err), SQLITE_ERROR, &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
    CHECK_HAS(err.message, "integer overflow");
    CHECK(strstr(err.message, "nosuch") == NULL);
}

TEST(values_with_a_nul_inside) {
    static const char text[] = "a\0b";
    sqlpool_rows rows;
    sqlpool *pool = open_pool("nul.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(?)", SQLPOOL_ARGS(SQLPOOL_TEXT(text, 3)), &err), &err);
    CHECK_INT(ask(pool, "SELECT length(CAST(a AS BLOB)) FROM t"), 3);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT a FROM t WHERE a = ?", SQLPOOL_ARGS(SQLPOOL_TEXT(text, 3)), &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_type(&rows, 0), SQLPOOL_TYPE_TEXT);
    CHECK(memcmp(sqlpool_rows_text(&rows, 0), text, 3) == 0);
    CHECK_INT(sqlpool_rows_bytes(&rows, 0), 3);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    close_pool(pool);
}

TEST(arguments_once_and_no_pointers) {
    char buffer[20] = "bytes", text[20];
    void *pointer = buffer, *none = NULL;
    int calls = 0;
    sqlpool *pool = open_pool("arguments.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_query_text(pool, text, sizeof text, "SELECT ?1 || ',' || ?2", SQLPOOL_ARGS(++calls, "x"), &err), &err);
    CHECK_STR(text, "1,x");
    CHECK_INT(calls, 1);
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO t VALUES(?)", SQLPOOL_ARGS(pointer), &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO t VALUES(?)", SQLPOOL_ARGS((void *)buffer), &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    CHECK_OK(sqlpool_query_text(pool, text, sizeof text, "SELECT typeof(?1) || typeof(?2)", SQLPOOL_ARGS(none, NULL), &err), &err);
    CHECK_STR(text, "nullnull");
    CHECK_OK(sqlpool_query_text(pool, text, sizeof text, "SELECT typeof(?1)", SQLPOOL_ARGS(buffer), &err), &err);
    CHECK_STR(text, "text");
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * opening, closing, hooks
 *----------------------------------------------------------------------------*/

/*  One connection would not see what another wrote. */
TEST(memory_by_uri_is_refused) {
    static const char *const uris[] = {"file::memory:", "file::memory:?cache=shared", "file:x?mode=memory", "file:x?mode=memory&cache=shared"};
    sqlpool_config config = config_of(1);
    int i;
    config.enable_uri = true;
    for (i = 0; i < LENGTH(uris); i++) {
        sqlpool *pool = (sqlpool *)(void *)&config;
        const int rc = sqlpool_open(&pool, uris[i], &config, &err);
        if (rc == SQLPOOL_OK) {
            test_fail(__FILE__, __LINE__, "%s was opened", uris[i]);
            close_pool(pool);
            continue;
        }
        CHECK(pool == NULL);
        CHECK_INT(err.result, rc);
        CHECK_HAS(err.message, ":memory:");
    }
}

/*  Below SQLite 3.36 the one connection is the database: it is never thrown away. */
TEST(an_unclean_lease_keeps_an_old_memory_database) {
    sqlpool_conn conn;
    sqlpool *pool;
    pretended_version = 3035005;
    pool = open_pool(":memory:", NULL, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    if (pool != NULL && sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err) == SQLPOOL_OK) {
        (void)raw_exec(sqlpool_conn_db(&conn), "PRAGMA cache_spill = 0");
        (void)sqlpool_conn_release(&conn);
        if (ask(pool, "SELECT count(*) FROM t") != 1) test_fail(__FILE__, __LINE__, "the database is gone");
        close_pool(pool);
    } else {
        test_fail(__FILE__, __LINE__, "no pool, no lease: %s", err.message);
    }
    pretended_version = 0;
}

/*  A call that hangs must not stop the other tests: it hangs in a thread that is left behind. What it
    uses is static for that. */
static struct closing {
    sqlpool *pool;
    pthread_t main_thread;
    int once, inside, result, returned;
} closing;

static void close_here(void) {
    set_flag(&closing.inside, 1);
    set_flag(&closing.result, sqlpool_close(closing.pool, NULL));
    set_flag(&closing.returned, 1);
}
static void close_on_error(void *user, const sqlpool_error *error) {
    (void)user, (void)error;
    if (__atomic_exchange_n(&closing.once, 1, __ATOMIC_SEQ_CST) == 0) close_here();
}
static void *checkpoint_wrongly(void *argument) {
    (void)sqlpool_checkpoint(closing.pool, (sqlpool_checkpoint_mode)(*(int *)argument), NULL, NULL);
    set_flag(&closing.inside, 2);
    return NULL;
}
static void *exec_wrongly(void *argument) {
    (void)argument;
    (void)sqlpool_exec(closing.pool, "nonsense", SQLPOOL_NO_ARGS, NULL);
    set_flag(&closing.inside, 2);
    return NULL;
}

TEST(close_from_the_error_hook) {
    static void *(*const wrongs[])(void *) = {checkpoint_wrongly, exec_wrongly};
    static int mode = 7;
    int i;
    for (i = 0; i < LENGTH(wrongs); i++) {
        sqlpool_config config = config_of(1);
        pthread_t thread;
        memset(&closing, 0, sizeof closing);
        config.events.error_fn = close_on_error;
        set_flag(&closing.once, 1);
        closing.pool = open_pool("closeerror.db", &config, i == 0 ? schema : NULL);
        CHECK(closing.pool != NULL);
        set_flag(&closing.once, 0);
        CHECK(start_thread(&thread, wrongs[i], &mode));
        CHECK(wait_for(&closing.inside, 2, 3000)); /* otherwise it hangs */
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(get_flag(&closing.returned), 1);
        CHECK_INT(closing.result, SQLPOOL_MISUSE);
        CHECK_INT(ask(closing.pool, "SELECT count(*) FROM t"), 0);
        close_pool(closing.pool);
    }
}

static void close_on_leak(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)user, (void)level, (void)message;
    if ((item == SQLPOOL_LOG_LEAK || item == SQLPOOL_LOG_LEAK_ENDED) && !pthread_equal(pthread_self(), closing.main_thread))
        close_here();
}

TEST(close_from_the_log_hook_of_upkeep) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    memset(&closing, 0, sizeof closing);
    closing.main_thread = pthread_self();
    config.log.write_fn = close_on_leak;
    config.leak_report_ms = 30;
    config.upkeep_interval_ms = 10;
    closing.pool = open_pool("closelog.db", &config, schema);
    CHECK(closing.pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(closing.pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK(wait_for(&closing.inside, 1, 3000)); /* while the lease is out */
    CHECK(wait_for(&closing.returned, 1, 1500));
    CHECK_INT(get_flag(&closing.result), SQLPOOL_MISUSE);
    set_flag(&closing.inside, 0);
    set_flag(&closing.returned, 0);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK(wait_for(&closing.inside, 1, 3000)); /* and after it came back */
    CHECK(wait_for(&closing.returned, 1, 1500));
    CHECK_INT(get_flag(&closing.result), SQLPOOL_MISUSE);
    CHECK_INT(ask(closing.pool, "SELECT count(*) FROM t"), 0);
    close_pool(closing.pool);
}

static struct lines {
    int count, broken;
    char last[1200];
} lines;
static void take_line(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)user, (void)level;
    if (item != SQLPOOL_LOG_OPEN_FAILED && item != SQLPOOL_LOG_FOREIGN_KEYS && item != SQLPOOL_LOG_CONNECTION_BAD) return;
    lines.count++;
    if (strpbrk(message, "\r\n") != NULL) lines.broken++;
    (void)snprintf(lines.last, sizeof lines.last, "%s", message);
}
static int connect_forged(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    if (*(const int *)user == 0) return 0;
    return sqlpool_conn_exec(&lease, "SELECT * FROM \"x\n2026-11-21 CRITICAL forged\r\nline\"", SQLPOOL_NO_ARGS, NULL, NULL);
}

TEST(a_newline_in_a_message_of_sqlite_begins_no_log_line) {
    sqlpool_config config = config_of(1);
    int forge = 0;
    sqlpool *pool;
    config.disable_upkeep_thread = true; /* all lines come from this thread */
    config.pass_open_error = true;
    config.log.write_fn = take_line;
    config.events.user = &forge;
    config.events.connect_fn = connect_forged;
    memset(&lines, 0, sizeof lines);
    pool = open_pool("newline.db", &config, NULL);
    CHECK(pool != NULL);
    forge = 1;
    CHECK(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err) != SQLPOOL_OK); /* the first reader */
    CHECK_HAS(err.message, "forged");
    CHECK(lines.count > 0);
    CHECK_HAS(lines.last, "forged");
    if (lines.broken != 0) test_fail(__FILE__, __LINE__, "%d broken lines, last: %s", lines.broken, lines.last);
    close_pool(pool);
}

/*  "control bytes replaced": lines of a message are the library's own. */
TEST(a_newline_in_a_message_of_sqlite_begins_no_line_of_an_error) {
    sqlpool *pool = open_pool("forged.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_exec(pool, "SELECT * FROM \"x\nforged\r\nline\"", SQLPOOL_NO_ARGS, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "forged");
    CHECK(strpbrk(err.message, "\r\n") == NULL);
    close_pool(pool);
}

/*  A lock table of one's own, without threads. */
static pthread_mutex_t *mutex_in(sqlpool_mutex *mutex) { return (pthread_mutex_t *)(void *)mutex; }
static pthread_cond_t *condition_in(sqlpool_condition *condition) { return (pthread_cond_t *)(void *)condition; }
static int own_mutex_init(void *user, sqlpool_mutex *mutex) { return (void)user, pthread_mutex_init(mutex_in(mutex), NULL); }
static void own_mutex_destroy(void *user, sqlpool_mutex *mutex) { (void)user, (void)pthread_mutex_destroy(mutex_in(mutex)); }
static void own_mutex_lock(void *user, sqlpool_mutex *mutex) { (void)user, (void)pthread_mutex_lock(mutex_in(mutex)); }
static void own_mutex_unlock(void *user, sqlpool_mutex *mutex) { (void)user, (void)pthread_mutex_unlock(mutex_in(mutex)); }
static int own_condition_init(void *user, sqlpool_condition *condition) {
    return (void)user, pthread_cond_init(condition_in(condition), NULL);
}
static void own_condition_destroy(void *user, sqlpool_condition *condition) {
    (void)user, (void)pthread_cond_destroy(condition_in(condition));
}
static void own_condition_wait(void *user, sqlpool_condition *condition, sqlpool_mutex *mutex, int64_t timeout_ns) {
    struct timespec t;
    (void)user;
    if (timeout_ns < 0 || timeout_ns > INT64_C(100000000)) timeout_ns = INT64_C(100000000); /* may wake for no reason */
    (void)clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += (long)timeout_ns;
    if (t.tv_nsec >= 1000000000L) t.tv_sec++, t.tv_nsec -= 1000000000L;
    (void)pthread_cond_timedwait(condition_in(condition), mutex_in(mutex), &t);
}
static void own_condition_signal(void *user, sqlpool_condition *condition) {
    (void)user, (void)pthread_cond_broadcast(condition_in(condition));
}
static uint64_t own_thread_id(void *user) { return (void)user, (uint64_t)(uintptr_t)pthread_self(); }

TEST(a_lock_table_without_threads) {
    sqlpool_config config = config_of(1);
    sqlpool_locks *locks = &config.locks;
    caller c;
    pthread_t thread;
    sqlpool_conn conn;
    sqlpool *pool = NULL;
    locks->mutex_init_fn = own_mutex_init;
    locks->mutex_destroy_fn = own_mutex_destroy;
    locks->mutex_lock_fn = own_mutex_lock;
    locks->mutex_unlock_fn = own_mutex_unlock;
    locks->condition_init_fn = own_condition_init;
    locks->condition_destroy_fn = own_condition_destroy;
    locks->condition_wait_fn = own_condition_wait;
    locks->condition_signal_fn = own_condition_signal;
    locks->thread_id_fn = own_thread_id;
    CHECK_RC(sqlpool_config_check(&config, &err), SQLPOOL_CONFIG, &err); /* upkeep needs a thread */
    CHECK_HAS(err.message, "locks");
    CHECK_RC(sqlpool_open(&pool, "nothreads.db", &config, &err), SQLPOOL_CONFIG, &err);
    config.disable_upkeep_thread = true;
    CHECK_OK(sqlpool_config_check(&config, &err), &err);
    pool = open_pool("nothreads.db", &config, schema);
    CHECK(pool != NULL);
    memset(&c, 0, sizeof c);
    c.pool = pool;
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK(start_thread(&thread, write_once, &c));
    sleep_ms(20);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(c.result, SQLPOOL_OK);
    CHECK_INT(sqlpool_tick(pool, 1000), SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * checkpoints
 *----------------------------------------------------------------------------*/

TEST(a_truncating_checkpoint_right_after_reads) {
    sqlpool_config config = config_of(3);
    sqlpool_checkpoint_result result;
    sqlpool_conn conns[3];
    sqlpool_rows rows;
    struct stat file;
    int round, i;
    sqlpool *pool = open_pool("truncate.db", &config, schema);
    CHECK(pool != NULL);
    for (round = 0; round < 10; round++) {
        CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
        for (i = 0; i < 3; i++) {
            CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conns[i], &err), &err);
            CHECK_INT(ask_conn(&conns[i], "SELECT count(*) FROM t"), round + 1);
        }
        for (i = 0; i < 3; i++) CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), round + 1); /* idle readers keep their snapshots */
        CHECK_OK(sqlpool_query(pool, &rows, "SELECT a FROM t", SQLPOOL_NO_ARGS, &err), &err);
        CHECK(sqlpool_rows_next(&rows));
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, &result, &err), &err);
        CHECK_INT(result.checkpointed_frames, result.log_frames);
        CHECK_INT(stat("truncate.db-wal", &file), 0);
        CHECK_INT(file.st_size, 0);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), round + 1);
    }
    close_pool(pool);
}

int main(void) {
    RUN(recycle_refuses_while_a_writer_and_its_log_are_there);
    RUN(an_old_writer_that_comes_back_after_recycle);
    RUN(a_replaced_writer_does_not_make_a_new_file);
    RUN(a_reader_opened_after_the_file_was_replaced);
    RUN(a_reader_unused_since_long_before_the_file_went);
    RUN(rollback_after_a_timeout_ends_the_transaction);
    RUN(rows_of_a_failed_inner_transaction_are_not_committed);
    RUN(rows_of_an_inner_rollback_are_not_committed);
    RUN(begin_is_refused_after_a_connect_fn_that_began);
    RUN(begin_is_refused_after_a_lease_with_the_raw_handle_began);
    RUN(savepoint_is_refused_after_a_nested_transaction);
    RUN(work_that_was_committed_does_not_run_again);
    RUN(a_nested_read_passes_a_queued_writer_in_memory);
    RUN(no_deadlock_behind_a_holder_that_works);
    RUN(resume_while_pause_waits_for_leases);
    RUN(a_pause_that_was_resumed_returns_soon);
    RUN(a_deadline_is_kept_beside_a_checkpoint_that_waits);
    RUN(a_timeout_works_after_a_stepped_statement);
    RUN(waiting_is_counted_once);
    RUN(last_insert_rowid_is_the_leases);
    RUN(an_upsert_that_updates_inserts_nothing);
    RUN(a_chained_authorizer_rules_cached_texts_of_its_lease);
    RUN(a_long_script_takes_time_in_proportion);
    RUN(a_long_script_of_short_statements_in_an_untrusted_pool);
    RUN(returning_star_after_another_connection_added_a_column);
    RUN(temporary_virtual_tables_are_refused);
    RUN(a_failed_cursor_keeps_its_message);
    RUN(values_with_a_nul_inside);
    RUN(arguments_once_and_no_pointers);
    RUN(memory_by_uri_is_refused);
    RUN(an_unclean_lease_keeps_an_old_memory_database);
    RUN(a_lock_table_without_threads);
    RUN(a_newline_in_a_message_of_sqlite_begins_no_log_line);
    RUN(a_newline_in_a_message_of_sqlite_begins_no_line_of_an_error);
    RUN(a_truncating_checkpoint_right_after_reads);
    RUN(close_from_the_error_hook); /* last: while they fail they leave a thread behind */
    RUN(close_from_the_log_hook_of_upkeep);
    return test_end();
}
