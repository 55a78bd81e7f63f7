/*  control.c - time-outs, cancellation, locks of others, pause, exclusive, recycle, checkpoint, looking in.
    SPDX-License-Identifier: MIT OR Unlicense */
#define _POSIX_C_SOURCE 200809L
#include "api.h"

static sqlpool_error err;
static const char schema[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES('one')";

/*  One call in a thread of its own. */
typedef struct job {
    sqlpool *pool;
    sqlpool_conn *conn; /* or NULL: the pool's own calls */
    sqlpool_call call;
    const char *sql;
    int started; /* atomic */
    int result;
    int64_t elapsed_ms;
    sqlpool_error error;
    pthread_t thread;
} job;

static void *run_job(void *argument) {
    job *j = (job *)argument;
    const int64_t start = now_ms();
    __atomic_store_n(&j->started, 1, __ATOMIC_RELEASE);
    j->result = sqlpool_exec_with(j->pool, &j->call, NULL, j->sql, SQLPOOL_NO_ARGS, &j->error);
    j->elapsed_ms = now_ms() - start;
    return NULL;
}
static void *run_acquire(void *argument) {
    job *j = (job *)argument;
    sqlpool_conn conn;
    const int64_t start = now_ms();
    __atomic_store_n(&j->started, 1, __ATOMIC_RELEASE);
    j->result = sqlpool_conn_acquire_with(j->pool, SQLPOOL_WRITE, &j->call, &conn, &j->error);
    j->elapsed_ms = now_ms() - start;
    if (j->result == SQLPOOL_OK) (void)sqlpool_conn_release(&conn);
    return NULL;
}
static bool start_job(job *j, sqlpool *pool, const char *sql, int timeout_ms, sqlpool_token *token, void *(*run)(void *)) {
    memset(j, 0, sizeof *j);
    j->pool = pool;
    j->sql = sql;
    j->call.timeout_ms = timeout_ms;
    j->call.token = token;
    if (!start_thread(&j->thread, run, j)) return false;
    while (!__atomic_load_n(&j->started, __ATOMIC_ACQUIRE)) sleep_ms(1);
    return true;
}

/*------------------------------------------------------------------------------
 * time-outs
 *----------------------------------------------------------------------------*/

static const char *const slow_statements[] = {
    ENDLESS,
    "SELECT count(*) FROM big a, big b, big c",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO t(v) SELECT i FROM n WHERE i < 0",
    "SELECT * FROM (" ENDLESS ") UNION ALL SELECT 1 ORDER BY 1",
};
static const char big_schema[] =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES('one'); CREATE TABLE big(x);"
    "INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT i FROM n";

TEST(long_statement_ends_in_time) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_call call = {80, 0, 0, NULL, NULL};
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlpool_stats stats;
    int64_t start, value;
    int i;
    sqlpool *pool = open_pool("slow.db", NULL, big_schema);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(slow_statements); i++) { /* one call's deadline */
        start = now_ms();
        CHECK_RC(sqlpool_exec_with(pool, &call, NULL, slow_statements[i], SQLPOOL_NO_ARGS, &err), SQLPOOL_TIMEOUT, &err);
        CHECK(now_ms() - start >= 70 && now_ms() - start < 1000);
    }
    start = now_ms(); /* a walk */
    CHECK_OK(sqlpool_query_with(pool, &call, &rows, "SELECT a.x FROM big a, big b, big c", SQLPOOL_NO_ARGS, &err), &err);
    while (sqlpool_rows_next(&rows)) continue;
    CHECK_RC(sqlpool_rows_close(&rows, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(now_ms() - start >= 70 && now_ms() - start < 1000);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err); /* a lease */
    CHECK_INT(sqlpool_conn_set_timeout(&conn, 80), SQLPOOL_OK);
    start = now_ms();
    CHECK_RC(sqlpool_conn_exec(&conn, ENDLESS, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(now_ms() - start >= 60 && now_ms() - start < 1000);
    CHECK_INT(sqlpool_conn_set_timeout(&conn, SQLPOOL_FOREVER), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_INT(sqlpool_conn_set_timeout(&conn, -5), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK(stats.expirations >= 5);
    close_pool(pool);

    config.statement_timeout_ms = 80; /* and the pool's own limit */
    pool = open_pool("slow.db", &config, NULL);
    CHECK(pool != NULL);
    start = now_ms();
    CHECK_RC(sqlpool_exec(pool, ENDLESS, SQLPOOL_NO_ARGS, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(now_ms() - start >= 70 && now_ms() - start < 1000);
    CHECK_RC(sqlpool_query_int64(pool, &value, ENDLESS, SQLPOOL_NO_ARGS, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_OK(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err), &err);
    close_pool(pool);
}

TEST(a_stopped_write_changes_nothing) {
    sqlpool_call call = {60, 0, 0, NULL, NULL};
    sqlpool *pool = open_pool("stopped.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_exec_with(pool, &call, NULL,
                               "INSERT INTO t(v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
                               SQLPOOL_NO_ARGS, &err),
             SQLPOOL_TIMEOUT, &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES('two')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
}

TEST(no_wait_means_for_locks_as_well) {
    const sqlpool_call no_wait = {SQLPOOL_NO_WAIT, 0, 0, NULL, NULL};
    int64_t start;
    int rc;
    sqlite3 *db;
    sqlpool *pool = open_pool("nowait.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_exec_with(pool, &no_wait, NULL, "INSERT INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
    db = raw_open("nowait.db");
    CHECK(db != NULL && raw_exec(db, "BEGIN IMMEDIATE"));
    start = now_ms();
    rc = sqlpool_exec_with(pool, &no_wait, NULL, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, &err);
    CHECK(now_ms() - start < 500);
    CHECK(rc == SQLPOOL_WOULD_BLOCK || rc == SQLPOOL_TIMEOUT || rc == SQLITE_BUSY);
    CHECK_INT(err.sqlite_code & 0xff, SQLITE_BUSY);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    CHECK_OK(sqlpool_exec_with(pool, &no_wait, NULL, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    close_pool(pool);
}

static void locked_by_another(int journal, const char *path) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_call call = {80, 0, 0, NULL, NULL};
    sqlpool_conn conn;
    pthread_t thread;
    int64_t start;
    sqlite3 *db;
    sqlpool *pool;
    config.journal = journal;
    pool = open_pool(path, &config, schema);
    CHECK(pool != NULL);
    db = raw_open(path);
    CHECK(db != NULL && raw_exec(db, "BEGIN IMMEDIATE; INSERT INTO t(v) VALUES('raw')"));
    start = now_ms();
    CHECK_RC(sqlpool_exec_with(pool, &call, NULL, "INSERT INTO t(v) VALUES('two')", SQLPOOL_NO_ARGS, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(err.sqlite_code & 0xff, SQLITE_BUSY);
    CHECK(now_ms() - start >= 70 && now_ms() - start < 1000);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_INT(sqlpool_conn_set_timeout(&conn, 60), SQLPOOL_OK);
    start = now_ms();
    CHECK_RC(sqlpool_conn_begin(&conn, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(err.sqlite_code & 0xff, SQLITE_BUSY);
    CHECK(now_ms() - start >= 50 && now_ms() - start < 1000);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK(start_thread(&thread, commit_later, db));
    call.timeout_ms = 4000;
    CHECK_OK(sqlpool_exec_with(pool, &call, NULL, "INSERT INTO t(v) VALUES('two')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    close_pool(pool);
}
TEST(write_lock_of_another_connection) {
    PART(locked_by_another(SQLPOOL_JOURNAL_WAL, "lockwal.db"));
    PART(locked_by_another(SQLPOOL_JOURNAL_DELETE, "lockdelete.db"));
}

TEST(exclusive_lock_of_another_stops_readers_too) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_call call = {80, 0, 0, NULL, NULL};
    pthread_t thread;
    sqlite3 *db;
    sqlpool *pool;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    pool = open_pool("exclusive.db", &config, schema);
    CHECK(pool != NULL);
    db = raw_open("exclusive.db");
    CHECK(db != NULL && raw_exec(db, "BEGIN EXCLUSIVE"));
    CHECK_RC(sqlpool_exec_with(pool, &call, NULL, "SELECT * FROM t", SQLPOOL_NO_ARGS, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(err.sqlite_code & 0xff, SQLITE_BUSY);
    CHECK(start_thread(&thread, commit_later, db));
    CHECK_OK(sqlpool_exec(pool, "SELECT * FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * cancellation
 *----------------------------------------------------------------------------*/

/*  By its token, when it has begun to run or to wait. */
static void cancel_job(job *j) {
    sleep_ms(30);
    CHECK_INT(sqlpool_cancel(j->pool, j->call.token), SQLPOOL_OK);
    CHECK_INT(pthread_join(j->thread, NULL), 0);
    CHECK_INT(j->result, SQLPOOL_CANCELLED);
    CHECK(j->elapsed_ms < 1500);
}

TEST(cancel_a_running_statement_by_token) {
    static sqlpool_token token;
    job j;
    int i;
    sqlpool_stats stats;
    sqlpool *pool = open_pool("token.db", NULL, big_schema);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(slow_statements); i++) {
        memset(&token, 0, sizeof token);
        CHECK(start_job(&j, pool, slow_statements[i], 4000, &token, run_job));
        PART(cancel_job(&j));
        CHECK_INT(j.error.result, SQLPOOL_CANCELLED);
        CHECK_HAS(j.error.message, "cancelled");
    }
    { /* it stays fired until zeroed */
        sqlpool_call call = {0, 0, 0, NULL, NULL};
        sqlpool_conn conn;
        call.token = &token;
        CHECK_RC(sqlpool_exec_with(pool, &call, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_CANCELLED, &err);
        CHECK_RC(sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &call, &conn, &err), SQLPOOL_CANCELLED, &err);
        CHECK_OK(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err), &err); /* others are not concerned */
        memset(&token, 0, sizeof token);
        CHECK_OK(sqlpool_exec_with(pool, &call, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &err), &err);
    }
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK(stats.cancellations >= (uint64_t)LENGTH(slow_statements));
    CHECK_INT(sqlpool_cancel(pool, NULL), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_cancel(NULL, &token), SQLPOOL_MISUSE);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
}

TEST(cancel_a_waiting_call_by_token) {
    static sqlpool_token token;
    void *(*const ways[])(void *) = {run_job, run_acquire};
    sqlpool_conn conn;
    sqlite3 *db;
    job j;
    int i;
    sqlpool *pool = open_pool("waiting.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    for (i = 0; i < LENGTH(ways); i++) {
        memset(&token, 0, sizeof token);
        CHECK(start_job(&j, pool, "INSERT INTO t(v) VALUES(1)", 4000, &token, ways[i]));
        PART(cancel_job(&j));
        CHECK_INT(stats_of(pool).cancellations, i + 1);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    db = raw_open("waiting.db"); /* waiting for another connection's lock */
    CHECK(db != NULL && raw_exec(db, "BEGIN IMMEDIATE"));
    memset(&token, 0, sizeof token);
    CHECK(start_job(&j, pool, "INSERT INTO t(v) VALUES(1)", 4000, &token, run_job));
    PART(cancel_job(&j));
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
    close_pool(pool);
}

static void *cancel_later(void *argument) {
    sleep_ms(40);
    if (sqlpool_conn_cancel(*(sqlpool_conn *)argument) != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "cancel failed");
    return NULL;
}

TEST(cancel_a_lease) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn, copy;
    pthread_t thread;
    int64_t start;
    int mode, rc;
    sqlpool *pool = open_pool("lease.db", &config, schema);
    CHECK(pool != NULL);
    for (mode = 0; mode < 2; mode++) {
        sqlite3_stmt *statement;
        CHECK_OK(sqlpool_conn_acquire(pool, (sqlpool_mode)mode, &conn, &err), &err);
        CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        if (mode == 1) CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES('lost')", SQLPOOL_NO_ARGS, NULL, &err), &err);
        CHECK_OK(sqlpool_conn_stmt(&conn, ENDLESS, &statement, &err), &err);
        copy = conn;
        CHECK(start_thread(&thread, cancel_later, &copy));
        start = now_ms();
        CHECK_RC(sqlpool_conn_exec(&conn, ENDLESS, SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_CANCELLED, &err);
        CHECK(now_ms() - start < 1500);
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_RC(sqlpool_conn_exec(&conn, "SELECT 1", SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_CANCELLED, &err); /* and every later one */
        CHECK_RC(sqlpool_conn_script(&conn, "SELECT 1", -1, &err), SQLPOOL_CANCELLED, &err);
        start = now_ms();
        CHECK_INT(sqlite3_step(statement) & 0xff, SQLITE_INTERRUPT); /* a statement the caller steps as well */
        CHECK(now_ms() - start < 1500);
        CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err);
        rc = sqlpool_conn_release(&conn);
        CHECK(rc == SQLPOOL_OK || rc == SQLPOOL_UNCLEAN);
        CHECK_INT(sqlpool_conn_cancel(copy), SQLPOOL_MISUSE); /* no lease any more */
        CHECK_OK(sqlpool_conn_acquire(pool, (sqlpool_mode)mode, &conn, &err), &err); /* the next user is not touched */
        CHECK_OK(sqlpool_conn_exec(&conn, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, NULL, &err), &err);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
}

/*  Leases are cancelled at random moments, also when they are just coming back; who uses the connection
    next must never see it. */
typedef struct sniper {
    pthread_mutex_t lock;
    sqlpool_conn target;
    int end;
} sniper;
static void *shoot(void *argument) {
    sniper *s = (sniper *)argument;
    for (;;) {
        sqlpool_conn target;
        int end;
        (void)pthread_mutex_lock(&s->lock);
        target = s->target;
        end = s->end;
        (void)pthread_mutex_unlock(&s->lock);
        if (end) return NULL;
        if (target.lease != 0) (void)sqlpool_conn_cancel(target);
    }
}
TEST(cancel_never_hits_the_next_user) {
    sqlpool_config config = config_of(1);
    sniper s;
    pthread_t thread;
    sqlpool_conn conn;
    int64_t end;
    int i = 0, rc, hits = 0;
    sqlpool *pool = open_pool("sniper.db", &config, big_schema);
    CHECK(pool != NULL);
    memset(&s, 0, sizeof s);
    CHECK(pthread_mutex_init(&s.lock, NULL) == 0);
    CHECK(start_thread(&thread, shoot, &s));
    for (end = now_ms() + 700; now_ms() < end; i++) {
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
        (void)pthread_mutex_lock(&s.lock);
        s.target = conn;
        (void)pthread_mutex_unlock(&s.lock);
        rc = sqlpool_conn_exec(&conn, "SELECT sum(x) FROM big", SQLPOOL_NO_ARGS, NULL, &err);
        CHECK(rc == SQLPOOL_OK || rc == SQLPOOL_CANCELLED);
        hits += rc == SQLPOOL_CANCELLED;
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err); /* the old target is still being shot at */
        CHECK_OK(sqlpool_conn_exec(&conn, "SELECT sum(x) FROM big", SQLPOOL_NO_ARGS, NULL, &err), &err);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_OK(sqlpool_exec(pool, "SELECT sum(x) FROM big", SQLPOOL_NO_ARGS, &err), &err);
    }
    (void)pthread_mutex_lock(&s.lock);
    s.end = 1;
    (void)pthread_mutex_unlock(&s.lock);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(i > 5);
    if (hits == 0) printf("# %s: no shot hit in %d rounds\n", test_name, i);
    (void)pthread_mutex_destroy(&s.lock);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * pause, exclusive, recycle
 *----------------------------------------------------------------------------*/

TEST(pause_and_resume) {
    static sqlpool_token token;
    sqlpool_conn conn;
    sqlpool_call call = {50, 0, 0, NULL, NULL};
    job j;
    int64_t start;
    sqlpool *pool = open_pool("pause.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_resume(pool), SQLPOOL_MISUSE); /* not paused */
    CHECK_OK(sqlpool_pause(pool, 1000, &err), &err);
    CHECK_RC(sqlpool_pause(pool, 1000, &err), SQLPOOL_MISUSE, &err); /* twice */
    CHECK_RC(sqlpool_exec_with(pool, &call, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_HAS(err.message, "pause");
    CHECK_RC(sqlpool_conn_acquire_with(pool, SQLPOOL_WRITE, &call, &conn, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(start_job(&j, pool, "INSERT INTO t(v) VALUES(2)", 4000, NULL, run_job)); /* waits */
    sleep_ms(60);
    CHECK_INT(sqlpool_resume(pool), SQLPOOL_OK);
    CHECK_INT(pthread_join(j.thread, NULL), 0);
    CHECK_INT(j.result, SQLPOOL_OK);
    CHECK(j.elapsed_ms >= 50 && j.elapsed_ms < 2000);
    CHECK_INT(sqlpool_resume(pool), SQLPOOL_MISUSE);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    /* a lease that does not come back: as if never paused */
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_RC(sqlpool_pause(pool, 50, &err), SQLPOOL_MISUSE, &err); /* this very thread has it */
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    memset(&token, 0, sizeof token);
    CHECK(start_job(&j, pool, ENDLESS, 8000, &token, run_job));
    sleep_ms(40);
    start = now_ms();
    CHECK_RC(sqlpool_pause(pool, 60, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_HAS(err.message, "control.c:");
    CHECK(now_ms() - start >= 50 && now_ms() - start < 3000);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(3)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sqlpool_resume(pool), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_cancel(pool, &token), SQLPOOL_OK);
    CHECK_INT(pthread_join(j.thread, NULL), 0);
    CHECK_INT(j.result, SQLPOOL_CANCELLED);
    CHECK_OK(sqlpool_pause(pool, 0, &err), &err); /* 0: close_timeout_ms */
    CHECK_OK(sqlpool_close(pool, &err), &err);    /* a paused pool can be closed */
}

static int count_alone(sqlpool_conn *conn, void *user) {
    int *result = (int *)user;
    sqlpool_stats stats;
    result[0]++;
    if (sqlpool_get_stats(conn->pool, &stats) == SQLPOOL_OK) result[1] = stats.used;
    return sqlpool_conn_exec(conn, "INSERT INTO t(v) VALUES('alone')", SQLPOOL_NO_ARGS, NULL, NULL) == SQLPOOL_OK ? result[2] : -77;
}

/*  A failure that the function has dealt with is none of the section. */
static int fail_and_go_on(sqlpool_conn *conn, void *user) {
    (void)user;
    return sqlpool_conn_exec(conn, "INSERT INTO nosuch VALUES(1)", SQLPOOL_NO_ARGS, NULL, NULL) == SQLITE_ERROR ? 0 : -77;
}

TEST(exclusive) {
    static sqlpool_token token;
    int result[3] = {0, 0, 0};
    job j;
    sqlpool_conn conn;
    sqlpool *pool = open_pool("alone.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_exclusive(pool, 1000, count_alone, result, &err), &err);
    CHECK_INT(result[0], 1);
    CHECK(result[1] <= 1); /* nobody else was in */
    result[2] = 4711;
    CHECK_INT(sqlpool_exclusive(pool, 1000, count_alone, result, &err), 4711);
    CHECK_INT(err.result, 4711);
    CHECK_OK(sqlpool_exclusive(pool, 1000, fail_and_go_on, NULL, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_RC(sqlpool_exclusive(pool, 50, count_alone, result, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    memset(&token, 0, sizeof token);
    CHECK(start_job(&j, pool, ENDLESS, 8000, &token, run_job));
    sleep_ms(40);
    CHECK_RC(sqlpool_exclusive(pool, 60, count_alone, result, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(sqlpool_cancel(pool, &token), SQLPOOL_OK);
    CHECK_INT(pthread_join(j.thread, NULL), 0);
    CHECK_RC(sqlpool_exclusive(pool, 50, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "fn is NULL");
    CHECK_RC(sqlpool_exclusive(pool, -1, count_alone, result, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "timeout_ms is negative");
    CHECK_INT(sqlpool_resume(pool), SQLPOOL_MISUSE); /* it left no pause behind */
    CHECK_INT(result[0], 2);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    close_pool(pool);
}

TEST(recycle_replaces_every_connection) {
    sqlpool_config config = config_of(2);
    sqlpool_conn conn, writer;
    sqlpool_stats before, after;
    sqlpool *pool = open_pool("recycle.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(sqlpool_get_stats(pool, &before), SQLPOOL_OK);
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    CHECK_INT(ask_conn(&conn, "SELECT count(*) FROM t"), 1); /* a lease goes on */
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(ask_conn(&conn, "SELECT count(*) FROM t"), 2);
    CHECK_INT(sqlpool_get_stats(pool, &after), SQLPOOL_OK);
    CHECK_INT(after.closed_recycled - before.closed_recycled, before.open);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * checkpoint
 *----------------------------------------------------------------------------*/

/*  A pool that checkpoints only when told to. */
static sqlpool *open_for_checkpoints(const char *path, int timeout_ms) {
    sqlpool_config config = sqlpool_config_default();
    config.wal_budget_bytes = INT64_C(1) << 40;
    config.acquire_timeout_ms = timeout_ms;
    return open_pool(path, &config, "CREATE TABLE IF NOT EXISTS t(v); INSERT INTO t(v) VALUES('one')");
}

TEST(checkpoint_of_all) {
    sqlpool_checkpoint_result result;
    sqlpool_stats stats;
    sqlpool *pool = open_for_checkpoints("checkpoint.db", 0);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, &err), &err);
    CHECK(result.log_frames > 0);
    CHECK_INT(result.checkpointed_frames, result.log_frames);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(file_bytes("checkpoint.db-wal") > 0);
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, &result, &err), &err);
    CHECK_INT(file_bytes("checkpoint.db-wal"), 0);
    CHECK_INT(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, NULL), SQLPOOL_OK);
    CHECK_RC(sqlpool_checkpoint(pool, (sqlpool_checkpoint_mode)9, &result, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK(stats.checkpoints >= 3);
    CHECK_INT(stats.checkpoints_pinned, 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
}

/*  A reader of this pool pins what comes after it began. */
TEST(checkpoint_beside_an_own_reader) {
    sqlpool_checkpoint_result result;
    sqlpool_stats stats;
    sqlpool_conn conn;
    int64_t start;
    sqlpool *pool = open_for_checkpoints("pinned.db", 1500);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_INT(ask_conn(&conn, "SELECT count(*) FROM t"), 1);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "CREATE TABLE u(x)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, &err), &err);
    CHECK(result.checkpointed_frames < result.log_frames);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK(stats.checkpoints_pinned >= 1);
    start = now_ms();
    CHECK_RC(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, &result, &err), SQLITE_BUSY, &err);
    CHECK_HAS(err.message, "control.c:"); /* who holds it up */
    CHECK(now_ms() - start < 1000);       /* this very thread: waiting would be in vain */
    CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, &result, &err), &err);
    CHECK_INT(file_bytes("pinned.db-wal"), 0);
    close_pool(pool);
}

TEST(checkpoint_beside_other_connections) {
    sqlpool_checkpoint_result result;
    sqlite3 *db;
    int64_t start;
    sqlpool *pool = open_for_checkpoints("others.db", 80);
    CHECK(pool != NULL);
    db = raw_open("others.db");
    CHECK(db != NULL && raw_exec(db, "BEGIN; SELECT count(*) FROM t"));
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(3)", SQLPOOL_NO_ARGS, &err), &err);
    start = now_ms();
    CHECK_RC(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, &result, &err), SQLITE_BUSY, &err);
    CHECK(now_ms() - start < 1500);
    CHECK(raw_exec(db, "COMMIT"));
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, &err), &err);
    CHECK_INT(result.checkpointed_frames, result.log_frames);
    CHECK(raw_exec(db, "BEGIN IMMEDIATE")); /* a writer elsewhere: the checkpoint keeps away from it */
    start = now_ms();
    CHECK_RC(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(now_ms() - start >= 70 && now_ms() - start < 1500);
    CHECK(raw_exec(db, "ROLLBACK"));
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, &result, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
}

TEST(checkpoint_without_a_log) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool *pool;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    pool = open_pool("nolog.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &err), SQLPOOL_UNSUPPORTED, &err);
    CHECK_RC(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &err), SQLPOOL_UNSUPPORTED, &err);
    close_pool(pool);
}

/*  Commits of 20 kB each, with a pause after each; the largest the log has been. */
static int64_t fill_log(sqlpool *pool, const char *log, int commits, int pause_ms) {
    int64_t largest = 0;
    int i;
    for (i = 0; i < commits; i++) {
        if (sqlpool_exec(pool, "INSERT INTO t(v) VALUES(randomblob(20000))", SQLPOOL_NO_ARGS, &err) != SQLPOOL_OK) {
            test_fail(__FILE__, __LINE__, "insert: %s", err.message);
            break;
        }
        if (file_bytes(log) > largest) largest = file_bytes(log);
        if (pause_ms > 0) sleep_ms(pause_ms);
    }
    return largest;
}

TEST(log_stays_within_its_budget) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_stats stats;
    int64_t largest = 0, checkpoints = 0;
    int round, tries;
    sqlpool *pool;
    config.wal_budget_bytes = 256 * 1024;
    pool = open_pool("budget.db", &config, schema);
    CHECK(pool != NULL);
    for (round = 0; round < 8; round++) { /* 3 MB in all */
        const int64_t log = fill_log(pool, "budget.db-wal", 20, 3);
        const int64_t before = checkpoints;
        if (log > largest) largest = log;
        /* over the budget; on a busy machine upkeep comes to it later than the writer goes on */
        for (tries = 0; tries < 20000 && checkpoints == before; tries++) {
            CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
            checkpoints = (int64_t)stats.checkpoints;
            if (checkpoints == before) sleep_ms(1);
        }
        CHECK(checkpoints > before);
    }
    CHECK(largest > 0 && largest < 2 * 1024 * 1024);
    CHECK(stats.commits >= 160);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 161);
    close_pool(pool);
}

/*  A writer that never pauses, and no reader: above the limit it waits until the log starts over. */
TEST(log_stays_within_its_limit) {
    sqlpool_config config = sqlpool_config_default();
    int64_t largest;
    sqlpool *pool;
    config.wal_budget_bytes = 256 * 1024;
    config.wal_limit_bytes = 1024 * 1024;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    pool = open_pool("limit.db", &config, schema);
    CHECK(pool != NULL);
    largest = fill_log(pool, "limit.db-wal", 1500, 0); /* 30 MB in all */
    CHECK(largest > 0);
    if (largest > 4 * 1024 * 1024)
        test_fail(__FILE__, __LINE__, "the log grew to %d KiB, its limit is 1024", (int)(largest / 1024));
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1501);
    close_pool(pool);
}

typedef struct overlap {
    sqlpool *pool;
    int stop, failed;
    int64_t reads;
} overlap;

/*  Holds a cursor, and another one as soon as that is closed. */
static void *read_without_end(void *user) {
    overlap *o = (overlap *)user;
    while (!__atomic_load_n(&o->stop, __ATOMIC_RELAXED)) {
        sqlpool_rows rows;
        sqlpool_error e;
        if (sqlpool_query(o->pool, &rows, "SELECT id FROM t", SQLPOOL_NO_ARGS, &e) != SQLPOOL_OK ||
            !sqlpool_rows_next(&rows))
            __atomic_store_n(&o->failed, 1, __ATOMIC_RELAXED);
        sleep_ms(2);
        if (sqlpool_rows_close(&rows, &e) != SQLPOOL_OK)
            __atomic_store_n(&o->failed, 1, __ATOMIC_RELAXED);
        (void)__atomic_add_fetch(&o->reads, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/*  The same beside readers that overlap, so that there is always one: above the limit they are held back
    until the log starts over, as often as the writer fills it. */
TEST(log_stays_within_its_limit_beside_readers) {
    sqlpool_config config = config_of(5);
    overlap o;
    pthread_t threads[4];
    int64_t largest;
    int i;
    memset(&o, 0, sizeof o);
    config.wal_budget_bytes = 256 * 1024;
    config.wal_limit_bytes = 1024 * 1024;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    config.wal_wait_ms = 5000; /* a cursor lasts 2 ms, but its thread may have to wait for a processor */
    o.pool = open_pool("beside.db", &config, schema);
    CHECK(o.pool != NULL);
    CHECK_OK(sqlpool_exec(o.pool, "INSERT INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
    for (i = 0; i < 4; i++) CHECK_INT(pthread_create(&threads[i], NULL, read_without_end, &o), 0);
    largest = fill_log(o.pool, "beside.db-wal", 3000, 0); /* 60 MB in all */
    __atomic_store_n(&o.stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < 4; i++) CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK_INT(o.failed, 0);
    CHECK(o.reads > 0);
    if (largest > 24 * 1024 * 1024) /* 60 MB without */
        test_fail(__FILE__, __LINE__, "the log grew to %d KiB, its limit is 1024",
                  (int)(largest / 1024));
    close_pool(o.pool);
}

/*------------------------------------------------------------------------------
 * looking in
 *----------------------------------------------------------------------------*/

TEST(holders) {
    sqlpool_config config = config_of(3);
    sqlpool_call call = {0, 0, 0, "first", NULL};
    sqlpool_conn a, b;
    sqlpool_holder list[5];
    int line;
    sqlpool *pool = open_pool("holders.db", &config, schema);
    CHECK(pool != NULL);
    memset(list, 0x5a, sizeof list);
    CHECK_INT(sqlpool_holders(pool, list, 5), 0);
    CHECK_OK((line = __LINE__, sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &call, &a, &err)), &err);
    CHECK_INT(sqlpool_holders(pool, list, 5), 1); /* held for as long as the pool has looked */
    sleep_ms(20);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &b, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&a, "SELECT 'of a'", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_INT(sqlpool_holders(pool, list, 5), 2);
    sleep_ms(5);
    CHECK_INT(sqlpool_holders(pool, list, 5), 2);
    CHECK_INT(list[0].line, line); /* held longest first */
    CHECK_HAS(list[0].file, "control.c");
    CHECK_STR(list[0].tag, "first");
    CHECK_HAS(list[0].sql, "of a");
    CHECK_INT(list[0].mode, SQLPOOL_READ);
    CHECK_INT(list[1].mode, SQLPOOL_WRITE);
    CHECK(list[0].thread_id != 0 && list[0].thread_id == list[1].thread_id);
    CHECK(list[0].held_ms >= list[1].held_ms);
    CHECK(list[1].tag == NULL);
    CHECK_STR(list[1].sql, "");
    memset(list, 0x5a, sizeof list);
    CHECK_INT(sqlpool_holders(pool, list, 1), 2);
    CHECK_INT(list[0].line, line);
    CHECK_INT(list[1].line, 0x5a5a5a5a); /* untouched */
    CHECK_INT(sqlpool_holders(pool, NULL, 0), 2);
    CHECK_INT(sqlpool_holders(pool, NULL, 3), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_holders(pool, list, -1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_holders(NULL, list, 1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&b), SQLPOOL_OK);
    CHECK_INT(sqlpool_holders(pool, list, 5), 0);
    close_pool(pool);
}

TEST(statistics) {
    sqlpool_config config = config_of(4);
    sqlpool_stats before, after;
    sqlpool_conn conn;
    int i;
    sqlpool *pool;
    config.min_connections = 2;
    pool = open_pool("stats.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_get_stats(pool, &before), SQLPOOL_OK);
    CHECK_INT(before.min, 2);
    CHECK_INT(before.max, 5);
    CHECK(before.open >= 2 && before.open <= 5);
    CHECK_INT(before.idle, before.open);
    CHECK_INT(before.used, 0);
    CHECK_INT(before.utilisation_percent, 0);
    CHECK(before.memory_bytes > 0);
    CHECK(before.wal_frames > 0);
    CHECK(before.wal_bytes >= before.wal_frames * 512);
    for (i = 0; i < 10; i++) {
        CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(?)", SQLPOOL_ARGS(i), &err), &err);
        CHECK_OK(sqlpool_exec(pool, "SELECT v FROM t WHERE id = ?", SQLPOOL_ARGS(i), &err), &err);
    }
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(sqlpool_get_stats(pool, &after), SQLPOOL_OK);
    CHECK_INT(after.used, 1);
    CHECK_INT(after.idle, after.open - 1);
    CHECK_INT(after.utilisation_percent, 20);
    CHECK_INT(after.commits - before.commits, 10);
    CHECK_INT(after.statements - before.statements, 20);
    CHECK(after.acquires > before.acquires);
    CHECK_INT(after.cache_hits - before.cache_hits, 18);
    CHECK_INT(after.cache_misses - before.cache_misses, 2);
    CHECK_INT(after.timeouts, 0);
    CHECK_INT(after.busy_waits, 0);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(sqlpool_get_stats(pool, NULL), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_stats(NULL, &after), SQLPOOL_MISUSE);
    { /* steady state: nothing is allocated */
        CHECK_INT(sqlpool_get_stats(pool, &before), SQLPOOL_OK);
        for (i = 0; i < 100; i++) {
            CHECK_OK(sqlpool_exec(pool, "SELECT v FROM t WHERE id = ?", SQLPOOL_ARGS(i), &err), &err);
            CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(?)", SQLPOOL_ARGS(i), &err), &err);
        }
        CHECK_INT(sqlpool_get_stats(pool, &after), SQLPOOL_OK);
        CHECK_INT(after.allocations, before.allocations);
        CHECK_INT(after.memory_bytes, before.memory_bytes);
    }
    close_pool(pool);
}

/*  A small checker: is this one JSON value? Returns what follows it, or NULL. */
static const char *json_value(const char *p, int depth);
static const char *json_space(const char *p) {
    while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r') p++;
    return p;
}
static const char *json_string(const char *p) {
    if (*p++ != '"') return NULL;
    while (*p != '"') {
        if ((unsigned char)*p < 0x20) return NULL;
        if (*p == '\\') {
            p++;
            if (*p == 'u') {
                int i;
                for (i = 1; i <= 4; i++)
                    if (strchr("0123456789abcdefABCDEF", p[i]) == NULL || p[i] == '\0') return NULL;
                p += 4;
            } else if (*p == '\0' || strchr("\"\\/bfnrt", *p) == NULL) {
                return NULL;
            }
        }
        p++;
    }
    return p + 1;
}
static const char *json_list(const char *p, char end, bool pairs, int depth) {
    p = json_space(p + 1);
    if (*p == end) return p + 1;
    for (;;) {
        if (pairs) {
            p = json_string(json_space(p));
            if (p == NULL) return NULL;
            p = json_space(p);
            if (*p++ != ':') return NULL;
        }
        p = json_value(p, depth - 1);
        if (p == NULL) return NULL;
        p = json_space(p);
        if (*p == end) return p + 1;
        if (*p++ != ',') return NULL;
    }
}
static const char *json_value(const char *p, int depth) {
    p = json_space(p);
    if (depth == 0) return NULL;
    if (*p == '{') return json_list(p, '}', true, depth);
    if (*p == '[') return json_list(p, ']', false, depth);
    if (*p == '"') return json_string(p);
    if (strncmp(p, "true", 4) == 0 || strncmp(p, "null", 4) == 0) return p + 4;
    if (strncmp(p, "false", 5) == 0) return p + 5;
    {
        const char *start = p;
        if (*p == '-') p++;
        if (*p == '0' && p[1] >= '0' && p[1] <= '9') return NULL;
        while (*p >= '0' && *p <= '9') p++;
        if (p == start || (p == start + 1 && *start == '-')) return NULL;
        if (*p == '.') {
            p++;
            if (*p < '0' || *p > '9') return NULL;
            while (*p >= '0' && *p <= '9') p++;
        }
        return p;
    }
}

TEST(status_texts) {
    static char json[20000], text[20000], cut[20000];
    static const char tag[] = "quote\" back\\slash \n\x01\xff end";
    sqlpool_config config = config_of(3);
    sqlpool_call call = {0, 0, 0, tag, NULL};
    sqlpool_conn a, b;
    const char *end;
    int bytes, i;
    sqlpool *pool;
    config.name = "the \"name\"\\\n";
    pool = open_pool("status.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &call, &a, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &b, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&a, "SELECT 'quote \" and \\ and\n\ttab'", SQLPOOL_NO_ARGS, NULL, &err), &err);
    bytes = sqlpool_status_json(pool, json, sizeof json);
    CHECK(bytes > 100 && bytes < (int)sizeof json);
    CHECK_INT(strlen(json), bytes);
    end = json_value(json, 20);
    CHECK(end != NULL);
    CHECK_STR(json_space(end), "");
    CHECK_HAS(json, "\"acquires\"");
    CHECK_HAS(json, "\"wal_waits\"");
    CHECK_HAS(json, "\"used\"");
    CHECK_HAS(json, "control.c");
    CHECK_HAS(json, "quote\\\" back\\\\slash");
    bytes = sqlpool_status_text(pool, text, sizeof text);
    CHECK(bytes > 100 && bytes < (int)sizeof text);
    CHECK_INT(strlen(text), bytes);
    CHECK_HAS(text, "control.c:");
    CHECK_HAS(text, "acquires");
    for (i = 0; i < 400; i += i < 5 ? 1 : 37) { /* cut to fit */
        memset(cut, '#', sizeof cut);
        CHECK(sqlpool_status_text(pool, cut, (size_t)i) > i);
        CHECK(cut[i] == '#');
        if (i > 0) CHECK(strlen(cut) < (size_t)i);
        memset(cut, '#', sizeof cut);
        CHECK(sqlpool_status_json(pool, cut, (size_t)i) > i);
        CHECK(cut[i] == '#');
        if (i > 0) CHECK(strlen(cut) < (size_t)i);
    }
    CHECK(sqlpool_status_text(pool, NULL, 0) > 100);
    CHECK_INT(sqlpool_status_text(NULL, text, sizeof text), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_status_json(NULL, text, sizeof text), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&b), SQLPOOL_OK);
    close_pool(pool);
}

int main(void) {
    RUN(long_statement_ends_in_time);
    RUN(a_stopped_write_changes_nothing);
    RUN(no_wait_means_for_locks_as_well);
    RUN(write_lock_of_another_connection);
    RUN(exclusive_lock_of_another_stops_readers_too);
    RUN(cancel_a_running_statement_by_token);
    RUN(cancel_a_waiting_call_by_token);
    RUN(cancel_a_lease);
    RUN(cancel_never_hits_the_next_user);
    RUN(pause_and_resume);
    RUN(exclusive);
    RUN(recycle_replaces_every_connection);
    RUN(checkpoint_of_all);
    RUN(checkpoint_beside_an_own_reader);
    RUN(checkpoint_beside_other_connections);
    RUN(checkpoint_without_a_log);
    RUN(log_stays_within_its_budget);
    RUN(log_stays_within_its_limit);
    RUN(log_stays_within_its_limit_beside_readers);
    RUN(holders);
    RUN(statistics);
    RUN(status_texts);
    return test_end();
}
