/*  scope.c - snapshot scopes: one image for every read between sqlpool_snapshot_begin() and its end,
    the newest state before and after, and nothing left behind whatever goes wrong inside.
    SPDX-License-Identifier: MIT OR Unlicense

    Deterministic: a plain connection is the foreign writer, ages pass on a clock of the test's own.
    Memory and disk are the simulator's, so that they can fail. */
#define _GNU_SOURCE
#include "api.h"
#include "sim/sim.h"

static sqlpool_error err;

#define TWO_TABLES                                                                                     \
    "CREATE TABLE a(v INTEGER); INSERT INTO a VALUES(0); CREATE TABLE b(v INTEGER);"                   \
    "INSERT INTO b VALUES(100);"
#define VALUE "SELECT v FROM a"
#define OTHER "SELECT v FROM b"
#define SUM "SELECT a.v + b.v FROM a, b"
#define TEN_ROWS                                                                                       \
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10) SELECT v, i FROM n, a"
/*  Gives rows only while the value is the argument, and fails otherwise. */
#define MUST_BE "SELECT CASE v WHEN ? THEN 1 ELSE abs(-9223372036854775807 - 1) END FROM a"

typedef struct log_count {
    int olds, uncleans;
    char old[1300], unclean[1300];
    pthread_mutex_t lock;
} log_count;
static void write_log(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    log_count *log = (log_count *)user;
    (void)level;
    (void)pthread_mutex_lock(&log->lock);
    if (item == SQLPOOL_LOG_SNAPSHOT_OLD) {
        log->olds++;
        (void)snprintf(log->old, sizeof log->old, "%s", message);
    } else if (item == SQLPOOL_LOG_UNCLEAN) {
        log->uncleans++;
        (void)snprintf(log->unclean, sizeof log->unclean, "%s", message);
    }
    (void)pthread_mutex_unlock(&log->lock);
}
static int olds_of(log_count *log) {
    int olds;
    (void)pthread_mutex_lock(&log->lock);
    olds = log->olds;
    (void)pthread_mutex_unlock(&log->lock);
    return olds;
}

/*  A pool with two tables whose values sum up to 100, and the foreign writer. */
typedef struct bench {
    sqlpool *pool;
    sqlite3 *other;
    log_count log;
} bench;
static bool open_bench(bench *b, const char *path, sqlpool_config config) {
    const bool is_memory = strcmp(path, ":memory:") == 0;
    memset(b, 0, sizeof *b);
    (void)pthread_mutex_init(&b->log.lock, NULL);
    config.log.user = &b->log;
    config.log.write_fn = write_log;
    b->pool = open_pool(path, &config, TWO_TABLES);
    b->other = b->pool == NULL || is_memory ? NULL : raw_open(path);
    return b->pool != NULL && (is_memory || b->other != NULL);
}
static void close_bench(bench *b) {
    (void)sqlite3_close(b->other);
    close_pool(b->pool);
    (void)pthread_mutex_destroy(&b->log.lock);
}
static sqlpool_config readers(int count) {
    sqlpool_config config = config_of(count);
    config.snapshot_idle_ms = 60000; /* what is pinned stays until somebody ends it */
    return config;
}

/*  A commit to both tables, of the foreign writer or of the pool. */
static void foreign(bench *b, int value) {
    char sql[200];
    (void)snprintf(sql, sizeof sql, "BEGIN IMMEDIATE; UPDATE a SET v = %d; UPDATE b SET v = %d; COMMIT",
                   value, 100 - value);
    (void)raw_exec(b->other, sql);
}
static void own(bench *b, int value) {
    char sql[200];
    sqlpool_error error;
    (void)snprintf(sql, sizeof sql, "UPDATE a SET v = %d; UPDATE b SET v = %d", value, 100 - value);
    if (sqlpool_script(b->pool, sql, -1, &error) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", sql, error.message);
}

/*  A reader in a scope. */
static void enter(bench *b, sqlpool_conn *conn) {
    CHECK_OK(sqlpool_conn_acquire(b->pool, SQLPOOL_READ, conn, &err), &err);
    CHECK_OK(sqlpool_snapshot_begin(conn, 0, &err), &err);
}
/*  All of one image, in every way to read on a lease. */
static void check_image(sqlpool_conn *conn, int value) {
    sqlpool_rows rows;
    CHECK_INT(ask_conn(conn, VALUE), value);
    CHECK_INT(ask_conn(conn, OTHER), 100 - value);
    CHECK_INT(ask_conn(conn, SUM), 100);
    CHECK_OK(sqlpool_conn_exec(conn, MUST_BE, SQLPOOL_ARGS(value), NULL, &err), &err);
    CHECK_OK(sqlpool_conn_query(conn, &rows, VALUE, SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_value(&rows, 0).as.integer, value);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
}

/*---- what is seen ----*/

/*  The commit between begin and the first read is the one that a deferred BEGIN would let in. */
TEST(reads_see_the_moment_of_begin) {
    bench b;
    sqlpool_conn conn;
    int i, k;
    CHECK(open_bench(&b, "moment.db", readers(3)));
    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
    for (i = 10; i < 200; i += 10) {
        void (*const commit)(bench *, int) = i % 20 == 0 ? foreign : own;
        commit(&b, i);
        for (k = 0; k < i / 10 % 3; k++) CHECK_INT(ask_conn(&conn, VALUE), i); /* none, or a parked one */
        CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &err), &err);
        commit(&b, i + 1); /* before the first read */
        for (k = 2; k < 6; k++) {
            PART(check_image(&conn, i));
            CHECK_INT(ask(b.pool, VALUE), i + k - 1); /* a call on the pool is not inside */
            if (k % 2 == 0) foreign(&b, i + k);
            if (k % 2 != 0) own(&b, i + k);
        }
        CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
        PART(check_image(&conn, i + 5)); /* the newest at once */
        commit(&b, i + 6);
        PART(check_image(&conn, i + 6));
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT((int64_t)stats_of(b.pool).unclean, 0);
    close_bench(&b);
}

TEST(statements_and_cursors_are_inside) {
    bench b;
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlite3_stmt *early, *late;
    int i, round;
    CHECK(open_bench(&b, "inside.db", readers(2)));
    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
    for (round = 1; round <= 4; round++) {
        const int v = 100 * round;
        foreign(&b, v);
        CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT v FROM a WHERE 1", &early, &err), &err); /* not stepped */
        if (round % 2 == 0) CHECK_INT(step_value(early), v); /* or stepped and reset */
        CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &err), &err);
        foreign(&b, v + 1);
        CHECK_INT(step_value(early), v);
        CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT v FROM b WHERE 1", &late, &err), &err);
        for (i = 2; i < 8; i++) {
            CHECK_INT(step_value(early), v);
            CHECK_INT(step_value(late), 100 - v);
            CHECK_INT(ask_conn(&conn, SUM), 100);
            foreign(&b, v + i);
        }
        CHECK_OK(sqlpool_conn_query(&conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &err), &err);
        for (i = 1; i <= 10; i++) {
            CHECK(sqlpool_rows_next(&rows));
            CHECK_INT(sqlpool_rows_int64(&rows, 0), v);
            CHECK_INT(sqlpool_rows_int64(&rows, 1), i);
            own(&b, v + 10 + i);
            CHECK_INT(ask_conn(&conn, VALUE), v);
            if (round > 2 && i == 5) break;
        }
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), v);
        CHECK_INT(sqlpool_conn_stmt_release(&conn, late), SQLPOOL_OK);
        CHECK_INT(step_value(early), v);
        CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
        foreign(&b, v + 30);
        CHECK_INT(step_value(early), v + 30);
        CHECK_INT(sqlpool_conn_stmt_release(&conn, early), SQLPOOL_OK);
        CHECK_INT(ask_conn(&conn, VALUE), v + 30);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_bench(&b);
}

/*  A cursor of the scope may outlive it: it stays what it was, and what follows it is new. */
TEST(a_cursor_that_outlives_its_scope) {
    bench b;
    sqlpool_conn conn;
    sqlpool_rows rows;
    CHECK(open_bench(&b, "outlives.db", readers(1)));
    PART(enter(&b, &conn));
    CHECK_OK(sqlpool_conn_query(&conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    foreign(&b, 1);
    CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
    foreign(&b, 2);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 0);
    CHECK_INT(sqlpool_rows_int64(&rows, 1), 2);
    CHECK_RC(sqlpool_snapshot_begin(&conn, 0, &err), SQLPOOL_MISUSE, &err); /* it would see the old image */
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 2);
    CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 2);
    CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_bench(&b);
}

/*  Two scopes at once are two images, each of its own moment. */
TEST(other_leases_have_their_own_moment) {
    bench b;
    sqlpool_conn first, second, third;
    int i;
    CHECK(open_bench(&b, "others.db", readers(4)));
    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &first, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &second, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &third, &err), &err);
    foreign(&b, 1);
    CHECK_OK(sqlpool_snapshot_begin(&first, 0, &err), &err);
    foreign(&b, 2);
    CHECK_OK(sqlpool_snapshot_begin(&second, 0, &err), &err);
    for (i = 3; i < 10; i++) {
        foreign(&b, i);
        CHECK_INT(ask_conn(&first, VALUE), 1);
        CHECK_INT(ask_conn(&second, VALUE), 2);
        CHECK_INT(ask_conn(&third, VALUE), i);
        CHECK_INT(ask(b.pool, VALUE), i);
    }
    CHECK_OK(sqlpool_snapshot_end(&first, &err), &err);
    CHECK_INT(ask_conn(&first, VALUE), 9);
    CHECK_INT(ask_conn(&second, VALUE), 2);
    CHECK_OK(sqlpool_snapshot_end(&second, &err), &err);
    CHECK_INT(ask_conn(&second, VALUE), 9);
    CHECK_INT(sqlpool_conn_release(&first), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&second), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&third), SQLPOOL_OK);
    close_bench(&b);
}

/*---- misuse ----*/

static int begin_inside(sqlpool_conn *conn, void *user, int attempt) {
    sqlpool_error *error = (sqlpool_error *)user;
    (void)attempt;
    return sqlpool_snapshot_begin(conn, 0, error) == SQLPOOL_MISUSE ? SQLPOOL_OK : 4711;
}

TEST(misuse_of_begin) {
    bench b;
    sqlpool_conn conn, stale;
    sqlpool_rows rows;
    sqlpool_error inside;
    sqlite3_stmt *statement;
    sqlite3 *db;
    CHECK(open_bench(&b, "misuse.db", readers(2)));
    memset(&stale, 0, sizeof stale);
    CHECK_RC(sqlpool_snapshot_begin(NULL, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_snapshot_begin(&stale, 0, &err), SQLPOOL_MISUSE, &err);

    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_RC(sqlpool_snapshot_begin(&conn, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "writer");
    CHECK_RC(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "UPDATE a SET v = 1", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_transaction(b.pool, SQLPOOL_READ, begin_inside, &inside, &err), &err);
    CHECK_HAS(inside.message, "transaction");

    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
    stale = conn;
    CHECK_RC(sqlpool_snapshot_begin(&conn, -1, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "max_age_ms");
    CHECK_RC(sqlpool_snapshot_begin(&conn, INT32_MIN, &err), SQLPOOL_MISUSE, &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_RC(sqlpool_snapshot_begin(&conn, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "transaction");
    CHECK_RC(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE, &err); /* nor does it end the transaction */
    CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_transaction(&conn, begin_inside, &inside, &err), &err);

    CHECK_OK(sqlpool_conn_query(&conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_RC(sqlpool_snapshot_begin(&conn, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "open on this lease");
    CHECK(sqlpool_rows_next(&rows)); /* it goes on */
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_OK(sqlpool_conn_stmt(&conn, VALUE, &statement, &err), &err);
    CHECK_INT(sqlite3_step(statement), SQLITE_ROW); /* not reset */
    CHECK_RC(sqlpool_snapshot_begin(&conn, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "open on this lease");
    CHECK_INT(sqlpool_conn_stmt_release(&conn, statement), SQLPOOL_OK);
    db = sqlpool_conn_db(&conn);
    CHECK(raw_exec(db, "BEGIN"));
    CHECK_RC(sqlpool_snapshot_begin(&conn, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK(raw_exec(db, "COMMIT"));
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK); /* none of these left anything */
    CHECK_RC(sqlpool_snapshot_begin(&stale, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_snapshot_end(&stale, &err), SQLPOOL_MISUSE, &err);
    close_bench(&b);
}

static int end_inside(sqlpool_conn *conn, void *user, int attempt) {
    (void)attempt;
    return sqlpool_snapshot_end(conn, (sqlpool_error *)user) == SQLPOOL_MISUSE ? SQLPOOL_OK : 4711;
}

TEST(misuse_of_end_commit_and_rollback) {
    bench b;
    sqlpool_conn conn;
    sqlpool_error inside;
    CHECK(open_bench(&b, "ends.db", readers(1)));
    CHECK_RC(sqlpool_snapshot_end(NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_RC(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "sqlpool_snapshot_begin");
    CHECK_INT(ask_conn(&conn, VALUE), 0); /* one is parked */
    CHECK_RC(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &err), &err);
    foreign(&b, 1);
    CHECK_RC(sqlpool_snapshot_begin(&conn, 0, &err), SQLPOOL_MISUSE, &err); /* nested */
    CHECK_HAS(err.message, "snapshot scope");
    CHECK_RC(sqlpool_conn_commit(&conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "sqlpool_snapshot_end");
    CHECK_RC(sqlpool_conn_rollback(&conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "sqlpool_snapshot_end");
    CHECK_INT(ask_conn(&conn, VALUE), 0); /* it is still open */
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_RC(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "level");
    CHECK_RC(sqlpool_snapshot_begin(&conn, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(ask_conn(&conn, VALUE), 0);
    CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_transaction(&conn, end_inside, &inside, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 0);
    CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 1);
    CHECK_RC(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE, &err); /* twice */
    CHECK_RC(sqlpool_conn_rollback(&conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "sqlpool_conn_begin");
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_bench(&b);
}

typedef struct stranger {
    sqlpool_conn *conn;
    int begin, end;
} stranger;
static void *call_as_stranger(void *argument) {
    stranger *s = (stranger *)argument;
    s->begin = sqlpool_snapshot_begin(s->conn, 0, NULL);
    s->end = sqlpool_snapshot_end(s->conn, NULL);
    return NULL;
}
static void *end_after_adoption(void *argument) {
    stranger *s = (stranger *)argument;
    s->begin = sqlpool_conn_adopt(s->conn);
    s->end = sqlpool_snapshot_end(s->conn, NULL);
    if (ask_conn(s->conn, VALUE) != 1) s->end = -1;
    if (sqlpool_conn_release(s->conn) != SQLPOOL_OK) s->end = -2;
    return NULL;
}

TEST(of_another_thread) {
    bench b;
    sqlpool_conn conn;
    stranger s;
    pthread_t thread;
    CHECK(open_bench(&b, "stranger.db", readers(1)));
    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
    s.conn = &conn;
    CHECK(start_thread(&thread, call_as_stranger, &s));
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(s.begin, SQLPOOL_MISUSE);
    CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &err), &err);
    foreign(&b, 1);
    CHECK(start_thread(&thread, call_as_stranger, &s));
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(s.begin, SQLPOOL_MISUSE);
    CHECK_INT(s.end, SQLPOOL_MISUSE);
    CHECK_INT(ask_conn(&conn, VALUE), 0);
    CHECK(start_thread(&thread, end_after_adoption, &s)); /* a scope is handed over with its lease */
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(s.begin, SQLPOOL_OK);
    CHECK_INT(s.end, SQLPOOL_OK);
    close_bench(&b);
}

/*---- levels inside ----*/

static int read_old(sqlpool_conn *conn, void *user, int attempt) {
    const int *give = (const int *)user;
    (void)attempt;
    return ask_conn(conn, VALUE) == 0 ? *give : 1;
}

TEST(levels_inside_a_scope) {
    bench b;
    sqlpool_conn conn;
    int i, give = 0;
    CHECK(open_bench(&b, "levels.db", readers(2)));
    PART(enter(&b, &conn));
    for (i = 1; i <= 6; i++) {
        foreign(&b, i);
        CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), 0);
        CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        CHECK_INT(ask_conn(&conn, OTHER), 100);
        CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err);
        if (i % 2 == 0) CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
        if (i % 2 != 0) CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), 0);
        give = 0;
        CHECK_OK(sqlpool_conn_transaction(&conn, read_old, &give, &err), &err);
        give = 4711;
        CHECK_RC(sqlpool_conn_transaction(&conn, read_old, &give, &err), 4711, &err);
        CHECK_INT(ask_conn(&conn, VALUE), 0);
    }
    CHECK_RC(sqlpool_conn_exec(&conn, "UPDATE a SET v = 7", SQLPOOL_NO_ARGS, NULL, &err), SQLITE_READONLY,
             &err);
    CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 6);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_bench(&b);
}

/*  Ends the level that it was called in and leaves a scope open in its place. */
static int commit_and_begin_scope(sqlpool_conn *conn, void *user, int attempt) {
    const int *give = (const int *)user;
    (void)attempt;
    if (sqlpool_conn_commit(conn, NULL) != SQLPOOL_OK) return 1;
    if (sqlpool_snapshot_begin(conn, 0, NULL) != SQLPOOL_OK) return 2;
    return *give;
}

TEST(a_scope_that_a_transaction_function_leaves_open) {
    bench b;
    sqlpool_conn conn;
    int give;
    CHECK(open_bench(&b, "function.db", readers(1)));
    for (give = 0; give < 4712; give += 4711) {
        const int rc = give == 0 ? SQLPOOL_MISUSE : give;
        CHECK_RC(sqlpool_transaction(b.pool, SQLPOOL_READ, commit_and_begin_scope, &give, &err), rc, &err);
        CHECK_INT(ask(b.pool, VALUE), give == 0 ? 0 : 7);
        CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_RC(sqlpool_conn_transaction(&conn, commit_and_begin_scope, &give, &err), rc, &err);
        CHECK_RC(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE, &err); /* the call has ended it */
        foreign(&b, give + 7);
        CHECK_INT(ask_conn(&conn, VALUE), give + 7);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_INT(truncate_log(b.other), SQLITE_BUSY); /* the kept snapshot, and no more */
        CHECK_OK(sqlpool_checkpoint(b.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &err), &err);
        CHECK_INT(truncate_log(b.other), SQLITE_OK);
    }
    close_bench(&b);
}

static void count_rollback(void *user) {
    (*(int *)user)++;
}

/*  The end of a scope is no rollback of the caller's. */
TEST(the_callers_rollback_hook_is_not_called_at_its_end) {
    bench b;
    sqlpool_conn conn;
    sqlpool_chain chain;
    int rollbacks = 0;
    CHECK(open_bench(&b, "hook.db", readers(1)));
    memset(&chain, 0, sizeof chain);
    chain.user = &rollbacks;
    chain.rollback_fn = count_rollback;
    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(sqlpool_conn_chain(&conn, &chain), SQLPOOL_OK);
    CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 0);
    CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
    CHECK_INT(rollbacks, 0);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err);
    CHECK_INT(rollbacks, 1);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_bench(&b);
}

/*---- left open, cancelled, interrupted ----*/

TEST(release_with_the_scope_open) {
    bench b;
    sqlpool_conn conn;
    sqlpool_call call;
    int i;
    CHECK(open_bench(&b, "left.db", readers(1)));
    memset(&call, 0, sizeof call);
    call.tag = "a frame";
    for (i = 1; i <= 4; i++) {
        CHECK_OK(sqlpool_conn_acquire_with(b.pool, SQLPOOL_READ, &call, &conn, &err), &err);
        CHECK_OK(sqlpool_snapshot_begin(&conn, 1000000, &err), &err);
        if (i % 2 == 0) CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        if (i > 2) CHECK_INT(ask_conn(&conn, VALUE), i - 1);
        foreign(&b, i);
        CHECK_INT(truncate_log(b.other), SQLITE_BUSY);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
        CHECK_INT(b.log.uncleans, i);
        CHECK_HAS(b.log.unclean, "snapshot scope");
        CHECK_HAS(b.log.unclean, "a frame");
        CHECK_HAS(b.log.unclean, "scope.c:");
        CHECK_INT(truncate_log(b.other), SQLITE_OK);
        CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), i);
        CHECK_RC(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE, &err); /* it is not this lease's */
        CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &err), &err);
        CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
        CHECK_OK(sqlpool_conn_begin(&conn, &err), &err); /* a plain transaction is no scope any more */
        CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    CHECK_INT((int64_t)stats_of(b.pool).unclean, 4);
    close_bench(&b);
}

TEST(a_cancelled_lease_can_end_it) {
    bench b;
    sqlpool_conn conn;
    sqlpool_rows rows;
    int i;
    CHECK(open_bench(&b, "cancelled.db", readers(1)));
    for (i = 1; i <= 4; i++) {
        PART(enter(&b, &conn));
        CHECK_INT(ask_conn(&conn, VALUE), i - 1);
        foreign(&b, i);
        memset(&rows, 0, sizeof rows);
        if (i % 2 == 0) {
            CHECK_OK(sqlpool_conn_query(&conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &err), &err);
            CHECK(sqlpool_rows_next(&rows));
        }
        CHECK_INT(sqlpool_conn_cancel(conn), SQLPOOL_OK);
        CHECK_RC(sqlpool_conn_exec(&conn, VALUE, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_CANCELLED, &err);
        CHECK_RC(sqlpool_snapshot_begin(&conn, 0, &err), SQLPOOL_MISUSE, &err);
        if (i < 3) { /* else the release does it */
            CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
            CHECK_RC(sqlpool_snapshot_begin(&conn, 0, &err), SQLPOOL_CANCELLED, &err);
        }
        if (i % 2 == 0) (void)sqlpool_rows_close(&rows, NULL);
        CHECK_INT(sqlpool_conn_release(&conn), i < 3 ? SQLPOOL_OK : SQLPOOL_UNCLEAN);
        CHECK_INT(ask(b.pool, VALUE), i);
        CHECK_INT(ask(b.pool, VALUE), i);
    }
    close_bench(&b);
}

static void run_out_of_time(sqlpool_conn *conn) {
    CHECK_INT(sqlpool_conn_set_timeout(conn, 5), SQLPOOL_OK);
    CHECK_RC(sqlpool_conn_exec(conn, ENDLESS, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(sqlpool_conn_set_timeout(conn, SQLPOOL_FOREVER), SQLPOOL_OK);
}

/*  An error of a statement is its own: the image stays. */
TEST(errors_inside_leave_it_usable) {
    bench b;
    sqlpool_conn conn;
    sqlpool_rows rows;
    int i, k;
    CHECK(open_bench(&b, "errors.db", readers(1)));
    for (i = 1; i <= 3; i++) {
        PART(enter(&b, &conn));
        foreign(&b, i);
        for (k = 0; k < 3; k++) {
            CHECK_RC(sqlpool_conn_exec(&conn, "SELEC v FROM a", SQLPOOL_NO_ARGS, NULL, &err), SQLITE_ERROR,
                     &err);
            CHECK_RC(sqlpool_conn_exec(&conn, "SELECT nosuch FROM a", SQLPOOL_NO_ARGS, NULL, &err),
                     SQLITE_ERROR,
                     &err);
            CHECK_RC(sqlpool_conn_exec(&conn, MUST_BE, SQLPOOL_ARGS(i), NULL, &err), SQLITE_ERROR, &err);
            CHECK_RC(sqlpool_conn_exec(&conn, "SELECT ?", SQLPOOL_ARGS(1, 2), NULL, &err),
                     SQLPOOL_ARGUMENTS, &err);
            CHECK_RC(sqlpool_conn_exec(&conn, "INSERT INTO a VALUES(1)", SQLPOOL_NO_ARGS, NULL, &err),
                     SQLITE_READONLY, &err);
            CHECK_RC(sqlpool_conn_exec(&conn, "COMMIT", SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_REFUSED, &err);
            PART(check_image(&conn, i - 1));
            /* the deadline interrupts: a read that is stopped ends nothing */
            PART(run_out_of_time(&conn));
            PART(check_image(&conn, i - 1));
            /* and beside an open cursor, which then cannot go on either */
            CHECK_OK(sqlpool_conn_query(&conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &err), &err);
            CHECK(sqlpool_rows_next(&rows));
            PART(run_out_of_time(&conn));
            (void)sqlpool_rows_close(&rows, NULL);
            PART(check_image(&conn, i - 1));
        }
        CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
        PART(check_image(&conn, i));
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    CHECK_INT((int64_t)stats_of(b.pool).closed_bad, 0);
    close_bench(&b);
}

TEST(a_past_deadline_begins_none_and_ends_one) {
    bench b;
    sqlpool_conn conn;
    CHECK(open_bench(&b, "past.db", readers(1)));
    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(sqlpool_conn_set_timeout(&conn, 0), SQLPOOL_OK);
    CHECK_RC(sqlpool_snapshot_begin(&conn, 0, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_RC(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_conn_set_timeout(&conn, SQLPOOL_FOREVER), SQLPOOL_OK);
    CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &err), &err);
    foreign(&b, 1);
    CHECK_INT(sqlpool_conn_set_timeout(&conn, 0), SQLPOOL_OK);
    CHECK_RC(sqlpool_conn_exec(&conn, VALUE, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
    CHECK_INT(truncate_log(b.other), SQLITE_OK);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_bench(&b);
}

/*---- memory and disk that fail ----*/

/*  What a failed read may leave of the scope: all of it, or the news that SQLite ended it. After its
    end the lease reads the newest state, unless the connection is to be replaced. */
static void check_after_failure(bench *b, sqlpool_conn *conn, int old, int now) {
    int rc = sqlpool_conn_exec(conn, MUST_BE, SQLPOOL_ARGS(old), NULL, &err);
    sqlpool_rows rows;
    if (rc == SQLPOOL_ROLLED_BACK) {
        CHECK_HAS(err.message, "sqlpool_snapshot_end");
        rc = sqlpool_conn_query(conn, &rows, VALUE, SQLPOOL_NO_ARGS, &err); /* again and again */
        CHECK_INT(rc, SQLPOOL_ROLLED_BACK);
        CHECK_RC(sqlpool_conn_begin(conn, &err), SQLPOOL_ROLLED_BACK, &err);
        CHECK_RC(sqlpool_conn_commit(conn, &err), SQLPOOL_MISUSE, &err);
    } else {
        CHECK_INT(rc, SQLPOOL_OK);
    }
    CHECK_OK(sqlpool_snapshot_end(conn, &err), &err);
    CHECK_RC(sqlpool_snapshot_end(conn, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(truncate_log(b->other), SQLITE_OK); /* nothing of it pins the log */
    CHECK_INT(sqlpool_conn_release(conn), SQLPOOL_OK);
    CHECK_INT(ask(b->pool, VALUE), now);
    CHECK_INT(ask(b->pool, SUM), 100);
}

/*  A statement that is not cached, while allocation number n fails. */
static int exec_in_nomem(sqlpool_conn *conn, int n) {
    char sql[100];
    int rc;
    (void)snprintf(sql, sizeof sql, "SELECT v, group_concat(v) FROM a WHERE v <> %d", -n);
    sim_alloc_fail((uint64_t)n, 0);
    rc = sqlpool_conn_exec(conn, sql, SQLPOOL_NO_ARGS, NULL, &err);
    sim_alloc_heal();
    return rc;
}

TEST(memory_that_fails_inside) {
    bench b;
    sqlpool_conn conn;
    int n, rc, failures = 0, ended = 0, v = 0;
    CHECK(open_bench(&b, "nomem.db", readers(1)));
    for (n = 1; n <= 60; n++) {
        foreign(&b, ++v);
        PART(enter(&b, &conn));
        foreign(&b, ++v);
        rc = exec_in_nomem(&conn, n);
        if (rc != SQLPOOL_OK) {
            CHECK(is_nomem(rc));
            failures++;
            if (sqlpool_conn_exec(&conn, VALUE, SQLPOOL_NO_ARGS, NULL, NULL) == SQLPOOL_ROLLED_BACK) ended++;
        }
        PART(check_after_failure(&b, &conn, v - 1, v));
    }
    CHECK(failures > 10);
    CHECK(ended > 0); /* else half of this proves nothing */
    close_bench(&b);
}

/*  A level inside that cannot be rolled back takes the image with it; the scope stays the caller's to
    end, as the messages say. */
TEST(memory_that_fails_in_a_rollback_inside) {
    bench b;
    sqlpool_conn conn;
    int levels;
    CHECK(open_bench(&b, "nomemback.db", readers(1)));
    for (levels = 1; levels <= 2; levels++) {
        int i;
        PART(enter(&b, &conn));
        for (i = 0; i < levels; i++) CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        foreign(&b, levels);
        sim_alloc_fail(1, 1);
        i = sqlpool_conn_rollback(&conn, &err); /* prepares ROLLBACK TO */
        sim_alloc_heal();
        CHECK(is_nomem(i));
        if (levels == 2) CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err);
        CHECK_RC(sqlpool_conn_exec(&conn, VALUE, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_ROLLED_BACK, &err);
        CHECK_HAS(err.message, "sqlpool_snapshot_end");
        CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
        CHECK_INT(truncate_log(b.other), SQLITE_OK);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_INT(ask(b.pool, VALUE), levels);
    }
    close_bench(&b);
}

/*  The same outside a scope, where SQLite ends the pool's own transaction: that is nobody's news. */
TEST(memory_that_fails_in_a_kept_snapshot) {
    bench b;
    sqlpool_conn conn;
    int n, rc, failures = 0;
    CHECK(open_bench(&b, "nomemkept.db", readers(1)));
    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
    for (n = 1; n <= 60; n++) {
        if (n % 8 == 0) foreign(&b, n);
        CHECK_INT(ask_conn(&conn, VALUE), n / 8 * 8);
        rc = exec_in_nomem(&conn, n);
        if (rc != SQLPOOL_OK) {
            CHECK(is_nomem(rc));
            failures++;
        }
        if (n % 8 == 4) CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), n / 8 * 8);
        if (n % 8 == 4) CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK(failures > 10);
    CHECK_INT((int64_t)stats_of(b.pool).closed_bad, 0);
    close_bench(&b);
}

/*  SQLite has ended the transaction and the caller never heard of it: the release cleans up the rest. */
TEST(release_after_memory_failed_inside) {
    bench b;
    sqlpool_conn conn;
    sqlpool_holder holder;
    int n, ended = 0;
    CHECK(open_bench(&b, "nomemleft.db", readers(1)));
    for (n = 1; n <= 60; n++) {
        CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_OK(sqlpool_snapshot_begin(&conn, 1000000, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), n - 1);
        foreign(&b, n);
        (void)exec_in_nomem(&conn, n);
        if (sqlpool_conn_exec(&conn, VALUE, SQLPOOL_NO_ARGS, NULL, NULL) == SQLPOOL_ROLLED_BACK) ended++;
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
        CHECK_HAS(b.log.unclean, "snapshot scope");
        CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_INT(sqlpool_holders(b.pool, &holder, 1), 1);
        CHECK_INT(holder.snapshot_ms, -1);
        CHECK_INT(ask_conn(&conn, VALUE), n);
        CHECK_RC(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE, &err);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    CHECK(ended > 0);
    close_bench(&b);
}

TEST(memory_that_fails_at_begin_or_end) {
    bench b;
    sqlpool_conn conn;
    int n, rc, v = 0;
    CHECK(open_bench(&b, "nomembegin.db", readers(1)));
    for (n = 1; n <= 12; n++) {
        int k;
        for (k = 0; k < 2; k++) {
            foreign(&b, ++v);
            CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
            if (n % 2 == 0) CHECK_INT(ask_conn(&conn, VALUE), v);
            foreign(&b, ++v);
            sim_alloc_fail((uint64_t)(n + 1) / 2, n % 4 < 2);
            rc = sqlpool_snapshot_begin(&conn, 0, &err);
            if (k == 0) sim_alloc_heal();
            if (rc == SQLPOOL_OK) {
                if (k == 0) sim_alloc_fail((uint64_t)(n + 1) / 2, n % 4 < 2);
                CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err); /* needs no memory */
            } else {
                CHECK(is_nomem(rc));
            }
            sim_alloc_heal();
            CHECK_RC(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE, &err);
            CHECK_INT(ask_conn(&conn, VALUE), v);
            CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
            CHECK_INT(ask(b.pool, VALUE), v);
        }
    }
    close_bench(&b);
}

static void arm(uint64_t at, int kind, int from_on) {
    sim_vfs_fault fault;
    memset(&fault, 0, sizeof fault);
    fault.at = at;
    fault.kind = kind;
    fault.from_on = from_on;
    sim_vfs_arm(fault);
}

TEST(a_disk_that_fails_inside) {
    sqlpool_config config = readers(1);
    bench b;
    sqlpool_conn conn;
    int n, rc, failures = 0, ended = 0, v = 0;
    config.vfs_name = "sim";
    CHECK(open_bench(&b, "disk.db", config));
    for (n = 1; n <= 6; n++) {
        foreign(&b, ++v); /* so that the reader's pages are not in its cache */
        PART(enter(&b, &conn));
        foreign(&b, ++v);
        arm((uint64_t)n, SIM_VFS_READ, n % 2);
        rc = sqlpool_conn_exec(&conn, SUM, SQLPOOL_NO_ARGS, NULL, &err);
        sim_vfs_heal();
        if (rc != SQLPOOL_OK) {
            CHECK_INT(rc & 0xff, SQLITE_IOERR);
            failures++;
            if (sqlpool_conn_exec(&conn, VALUE, SQLPOOL_NO_ARGS, NULL, NULL) == SQLPOOL_ROLLED_BACK) ended++;
        }
        PART(check_after_failure(&b, &conn, v - 1, v));
    }
    CHECK(failures > 0 && ended == failures);
    CHECK_INT((int64_t)stats_of(b.pool).closed_bad, failures);
    close_bench(&b);
}

TEST(a_disk_that_fails_at_begin_or_end) {
    static const int kinds[] = {SIM_VFS_READ, SIM_VFS_SHM_LOCK, SIM_VFS_LOCK, SIM_VFS_SHM_UNLOCK,
SIM_VFS_UNLOCK};
    sqlpool_config config = readers(1);
    bench b;
    sqlpool_conn conn;
    int k, n, rc, failures = 0, v = 0;
    config.vfs_name = "sim";
    CHECK(open_bench(&b, "diskbegin.db", config));
    for (k = 0; k < LENGTH(kinds); k++) {
        for (n = 1; n <= 4; n++) {
            foreign(&b, ++v);
            CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
            if (n % 2 == 0) CHECK_INT(ask_conn(&conn, VALUE), v);
            foreign(&b, ++v);
            arm((uint64_t)(n + 1) / 2, kinds[k], 0);
            rc = sqlpool_snapshot_begin(&conn, 0, &err);
            sim_vfs_heal();
            if (rc == SQLPOOL_OK) {
                arm(1, kinds[k], 0);
                rc = sqlpool_snapshot_end(&conn, &err);
                sim_vfs_heal();
                if (rc != SQLPOOL_OK) CHECK(rc == SQLITE_ABORT || (rc & 0xff) == SQLITE_IOERR);
            } else {
                CHECK_INT(rc & 0xff, SQLITE_IOERR);
                failures++;
            }
            CHECK_RC(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE, &err);
            CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
            CHECK_INT(ask(b.pool, VALUE), v);
            CHECK_OK(sqlpool_checkpoint(b.pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &err), &err);
        }
    }
    CHECK(failures > 0);
    close_bench(&b);
}

/*---- age ----*/

/*  Time stands still but when the test moves it; the pool has no thread and is ticked. */
TEST(older_than_its_maximum_age) {
    sqlpool_config config = config_of(2);
    bench b;
    sim_clock clock;
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlpool_call call;
    sqlpool_holder holder;
    int round;
    memset(&clock, 0, sizeof clock);
    config.disable_upkeep_thread = true;
    config.clock = sim_clock_hooks(&clock);
    CHECK(open_bench(&b, "age.db", config));
    memset(&call, 0, sizeof call);
    call.tag = "slow frame";
    CHECK_OK(sqlpool_conn_acquire_with(b.pool, SQLPOOL_READ, &call, &conn, &err), &err);
    for (round = 1; round <= 3; round++) {
        const int64_t expirations = (int64_t)stats_of(b.pool).expirations;
        foreign(&b, 10 * round);
        CHECK_OK(sqlpool_snapshot_begin(&conn, 100, &err), &err); /* ended in time: never reported */
        sim_clock_advance(&clock, 99 * INT64_C(1000000));
        CHECK_INT(ask_conn(&conn, VALUE), 10 * round);
        CHECK_INT(sqlpool_tick(b.pool, 1000), SQLPOOL_OK);
        CHECK_INT(sqlpool_holders(b.pool, &holder, 1), 1);
        CHECK_INT(holder.snapshot_ms, 99);
        CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
        CHECK_INT(sqlpool_holders(b.pool, &holder, 1), 1);
        CHECK_INT(holder.snapshot_ms, -1);
        sim_clock_advance(&clock, 1000 * INT64_C(1000000));
        CHECK_INT(sqlpool_tick(b.pool, 1000), SQLPOOL_OK);
        CHECK_INT(ask_conn(&conn, VALUE), 10 * round);
        CHECK_INT(b.log.olds, round - 1);

        CHECK_OK(sqlpool_snapshot_begin(&conn, 100, &err), &err);
        foreign(&b, 10 * round + 1);
        CHECK_OK(sqlpool_conn_query(&conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &err), &err);
        sim_clock_advance(&clock, 100 * INT64_C(1000000));
        CHECK_RC(sqlpool_conn_exec(&conn, VALUE, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_TIMEOUT, &err);
        CHECK_HAS(err.message, "sqlpool_snapshot_end");
        CHECK_RC(sqlpool_conn_begin(&conn, &err), SQLPOOL_TIMEOUT, &err);
        CHECK_INT((int64_t)stats_of(b.pool).expirations, expirations + 2);
        CHECK(sqlpool_rows_next(&rows)); /* what began before it goes on */
        CHECK_INT(sqlpool_rows_int64(&rows, 0), 10 * round);
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHECK_INT(b.log.olds, round - 1); /* nobody has looked */
        CHECK_INT(sqlpool_tick(b.pool, 1000), SQLPOOL_OK);
        CHECK_INT(b.log.olds, round);
        CHECK_HAS(b.log.old, "slow frame");
        CHECK_HAS(b.log.old, "scope.c:");
        CHECK_HAS(b.log.old, "in a snapshot scope for 100 ms");
        sim_clock_advance(&clock, 5000 * INT64_C(1000000));
        CHECK_INT(sqlpool_tick(b.pool, 1000), SQLPOOL_OK);
        CHECK_INT(b.log.olds, round); /* once */
        CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), 10 * round + 1);
    }
    CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &err), &err); /* no limit */
    sim_clock_advance(&clock, 1000000 * INT64_C(1000000));
    CHECK_INT(sqlpool_tick(b.pool, 1000), SQLPOOL_OK);
    CHECK_INT(ask_conn(&conn, VALUE), 31);
    CHECK_INT(sqlpool_holders(b.pool, &holder, 1), 1);
    CHECK_INT(holder.snapshot_ms, 1000000);
    CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
    CHECK_OK(sqlpool_snapshot_begin(&conn, INT32_MAX, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 31);
    CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
    CHECK_OK(sqlpool_snapshot_begin(&conn, 100, &err), &err); /* left open, and given back too late */
    sim_clock_advance(&clock, 200 * INT64_C(1000000));
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
    CHECK_INT(sqlpool_tick(b.pool, 1000), SQLPOOL_OK);
    CHECK_INT(b.log.olds, 3);
    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(sqlpool_holders(b.pool, &holder, 1), 1);
    CHECK_INT(holder.snapshot_ms, -1);
    CHECK_INT(ask_conn(&conn, VALUE), 31);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_bench(&b);
}

/*  The thread wakes for it although its own period is far longer. */
TEST(the_upkeep_thread_reports_an_old_one) {
    sqlpool_config config = readers(2);
    const int64_t give_up = now_ms() + 30000;
    bench b;
    sqlpool_conn conn;
    sqlpool_call call;
    config.upkeep_interval_ms = config.health_interval_ms = 3600000;
    CHECK(open_bench(&b, "thread.db", config));
    memset(&call, 0, sizeof call);
    call.tag = "dashboard";
    CHECK_OK(sqlpool_conn_acquire_with(b.pool, SQLPOOL_READ, &call, &conn, &err), &err);
    CHECK_OK(sqlpool_snapshot_begin(&conn, 20, &err), &err);
    while (olds_of(&b.log) == 0 && now_ms() < give_up) sleep_ms(2);
    CHECK_INT(olds_of(&b.log), 1);
    CHECK_HAS(b.log.old, "dashboard");
    CHECK_HAS(b.log.old, "scope.c:");
    CHECK_RC(sqlpool_conn_exec(&conn, VALUE, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(sqlpool_tick(b.pool, 1000), SQLPOOL_OK); /* another look */
    CHECK_INT(olds_of(&b.log), 1);
    CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
    CHECK_INT(ask_conn(&conn, VALUE), 0);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_bench(&b);
}

/*---- the log ----*/

TEST(it_pins_the_log_until_its_end) {
    bench b;
    sqlpool_conn conn;
    sqlpool_checkpoint_result result;
    int i;
    CHECK(open_bench(&b, "pins.db", readers(2)));
    CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
    for (i = 1; i <= 4; i++) {
        CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &err), &err); /* no read yet: it is there all the same */
        foreign(&b, i);
        CHECK_INT(truncate_log(b.other), SQLITE_BUSY);
        CHECK_OK(sqlpool_checkpoint(b.pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, &err), &err);
        CHECK(result.checkpointed_frames < result.log_frames);
        CHECK_INT(sqlpool_checkpoint(b.pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, NULL), SQLITE_BUSY);
        CHECK_INT(ask_conn(&conn, VALUE), i - 1);
        CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
        CHECK_INT(truncate_log(b.other), SQLITE_OK);
        CHECK_INT(ask_conn(&conn, VALUE), i); /* keeps one again, which anyone may end */
        CHECK_OK(sqlpool_checkpoint(b.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &err), &err);
        CHECK_INT(truncate_log(b.other), SQLITE_OK);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_bench(&b);
}

static bool fill(sqlpool *pool) {
    return sqlpool_exec(pool, "UPDATE filler SET v = randomblob(100000)", SQLPOOL_NO_ARGS,
                        NULL) == SQLPOOL_OK;
}

/*  Waiting for readers could not help the log while one of them is in a scope. */
TEST(a_writer_above_the_limit_does_not_hold_readers_back) {
    sqlpool_config config = readers(2);
    bench b;
    sqlpool_conn conn;
    int i;
    config.wal_budget_bytes = 100000;
    config.wal_limit_bytes = 200000;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    CHECK(open_bench(&b, "limit.db", config));
    CHECK_OK(sqlpool_script(b.pool, "CREATE TABLE filler(v); INSERT INTO filler VALUES(0)", -1, &err), &err);
    PART(enter(&b, &conn));
    for (i = 0; i < 20; i++) CHECK(fill(b.pool));
    CHECK(stats_of(b.pool).wal_bytes > config.wal_limit_bytes);
    CHECK_INT((int64_t)stats_of(b.pool).wal_waits, 0);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN); /* one that was left open counts no more */
    for (i = 0; i < 20; i++) CHECK(fill(b.pool));
    CHECK(stats_of(b.pool).wal_waits > 0);
    close_bench(&b);
}

/*---- without a log ----*/

static int write_once(sqlpool *pool, int timeout_ms) {
    sqlpool_call call;
    memset(&call, 0, sizeof call);
    call.timeout_ms = timeout_ms;
    return sqlpool_exec_with(pool, &call, NULL, "UPDATE a SET v = v + 1", SQLPOOL_NO_ARGS, NULL);
}
static void *write_shortly(void *argument) {
    static int rc;
    rc = write_once((sqlpool *)argument, 20);
    return &rc;
}
static void *write_patiently(void *argument) {
    static int rc;
    rc = write_once((sqlpool *)argument, 60000);
    return &rc;
}

static void check_without_log(const char *path, sqlpool_config config) {
    bench b;
    sqlpool_conn conn;
    pthread_t thread;
    void *result;
    int i;
    CHECK(open_bench(&b, path, config));
    for (i = 0; i < 2; i++) {
        PART(enter(&b, &conn));
        CHECK(start_thread(&thread, write_shortly, b.pool)); /* it waits, and gives up */
        CHECK_INT(pthread_join(thread, &result), 0);
        CHECK_INT(*(int *)result, SQLPOOL_TIMEOUT);
        if (b.other != NULL) {
            (void)sqlite3_busy_timeout(b.other, 0);
            CHECK_INT(sqlite3_exec(b.other, "UPDATE a SET v = 99", NULL, NULL, NULL), SQLITE_BUSY);
            (void)sqlite3_busy_timeout(b.other, 2000);
        }
        CHECK(start_thread(&thread, write_patiently, b.pool));
        PART(check_image(&conn, 0));
        CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_INT(pthread_join(thread, &result), 0);
        CHECK_INT(*(int *)result, SQLPOOL_OK);
        CHECK_INT(ask(b.pool, VALUE), 1);
        own(&b, 0);
    }
    close_bench(&b);
}

TEST(without_a_log) {
    sqlpool_config config = readers(2);
    config.journal = SQLPOOL_JOURNAL_DELETE;
    PART(check_without_log("delete.db", config));
    config = readers(2);
    PART(check_without_log(":memory:", config));
}

/*  One connection for everything, and a pool that only reads. */
TEST(in_other_topologies) {
    sqlpool_config config = readers(2);
    bench b;
    sqlpool_conn conn;
    sqlpool *only;
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    CHECK(open_bench(&b, "general.db", config));
    PART(enter(&b, &conn));
    foreign(&b, 1);
    PART(check_image(&conn, 0));
    CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
    PART(check_image(&conn, 1));
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_exec(b.pool, "UPDATE a SET v = 1", SQLPOOL_NO_ARGS, &err), &err);
    config = readers(1);
    config.read_only = true;
    only = open_pool("general.db", &config, NULL);
    CHECK(only != NULL);
    CHECK_OK(sqlpool_conn_acquire(only, SQLPOOL_READ, &conn, &err), &err);
    CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &err), &err);
    foreign(&b, 2);
    PART(check_image(&conn, 1));
    CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
    PART(check_image(&conn, 2));
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(only);
    close_bench(&b);
}

/*---- looking in, cost ----*/

TEST(holders_show_its_age) {
    bench b;
    sqlpool_conn conns[2];
    sqlpool_holder holders[4];
    char text[4000];
    int i, count;
    CHECK(open_bench(&b, "holders.db", readers(3)));
    for (i = 0; i < 2; i++) CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conns[i], &err), &err);
    CHECK_OK(sqlpool_snapshot_begin(&conns[1], 0, &err), &err);
    sleep_ms(3);
    count = sqlpool_holders(b.pool, holders, LENGTH(holders));
    CHECK_INT(count, 2);
    for (i = 0; i < count; i++) {
        if (holders[i].slot == conns[1].slot) {
            CHECK(holders[i].snapshot_ms >= 3);
        } else {
            CHECK_INT(holders[i].snapshot_ms, -1);
        }
    }
    CHECK(sqlpool_status_text(b.pool, text, sizeof text) > 0);
    CHECK_HAS(text, "in a snapshot scope for ");
    CHECK_OK(sqlpool_snapshot_end(&conns[1], &err), &err);
    count = sqlpool_holders(b.pool, holders, LENGTH(holders));
    for (i = 0; i < count; i++) CHECK_INT(holders[i].snapshot_ms, -1);
    CHECK(sqlpool_status_text(b.pool, text, sizeof text) > 0);
    CHECK(strstr(text, "in a snapshot scope") == NULL);
    for (i = 0; i < 2; i++) CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
    close_bench(&b);
}

TEST(steady_state_allocates_nothing) {
    bench b;
    sqlpool_conn conn;
    sqlpool_stats before, after;
    int i;
    CHECK(open_bench(&b, "steady.db", readers(1)));
    memset(&before, 0, sizeof before);
    for (i = 1; i <= 500; i++) {
        if (i == 20) before = stats_of(b.pool);
        if (i % 10 == 0) foreign(&b, i);
        CHECK_OK(sqlpool_conn_acquire(b.pool, SQLPOOL_READ, &conn, &err), &err);
        CHECK_OK(sqlpool_snapshot_begin(&conn, 1000000, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), i / 10 * 10);
        CHECK_INT(ask_conn(&conn, SUM), 100);
        CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
        CHECK_OK(sqlpool_snapshot_end(&conn, &err), &err);
        CHECK_INT(ask_conn(&conn, VALUE), i / 10 * 10);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    after = stats_of(b.pool);
    CHECK_INT(after.allocations, before.allocations);
    CHECK_INT(after.memory_bytes, before.memory_bytes);
    CHECK_INT((int64_t)after.cache_misses, (int64_t)before.cache_misses);
    close_bench(&b);
}

int main(void) {
    if (sim_alloc_install() != SQLITE_OK || sim_vfs_install() != SQLITE_OK) {
        printf("# the simulator cannot be installed\n");
        return 1;
    }
    RUN(reads_see_the_moment_of_begin);
    RUN(statements_and_cursors_are_inside);
    RUN(a_cursor_that_outlives_its_scope);
    RUN(other_leases_have_their_own_moment);
    RUN(misuse_of_begin);
    RUN(misuse_of_end_commit_and_rollback);
    RUN(of_another_thread);
    RUN(levels_inside_a_scope);
    RUN(a_scope_that_a_transaction_function_leaves_open);
    RUN(the_callers_rollback_hook_is_not_called_at_its_end);
    RUN(release_with_the_scope_open);
    RUN(a_cancelled_lease_can_end_it);
    RUN(errors_inside_leave_it_usable);
    RUN(a_past_deadline_begins_none_and_ends_one);
    RUN(memory_that_fails_inside);
    RUN(memory_that_fails_in_a_rollback_inside);
    RUN(memory_that_fails_in_a_kept_snapshot);
    RUN(release_after_memory_failed_inside);
    RUN(memory_that_fails_at_begin_or_end);
    RUN(a_disk_that_fails_inside);
    RUN(a_disk_that_fails_at_begin_or_end);
    RUN(older_than_its_maximum_age);
    RUN(the_upkeep_thread_reports_an_old_one);
    RUN(it_pins_the_log_until_its_end);
    RUN(a_writer_above_the_limit_does_not_hold_readers_back);
    RUN(without_a_log);
    RUN(in_other_topologies);
    RUN(holders_show_its_age);
    RUN(steady_state_allocates_nothing);
    return test_end();
}
