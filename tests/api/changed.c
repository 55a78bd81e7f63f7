/*  changed.c - sqlpool_changed() misses no commit, and snapshot_state says what there is.
    SPDX-License-Identifier: MIT OR Unlicense

    Another process is this program started again; a shared memory that lies is tests/sim/vfs.h. */
#define _GNU_SOURCE
#include "api.h"
#include "sim/sim.h"

#include <sys/mman.h>

static sqlpool_error err;

#define TABLE "CREATE TABLE t(v INTEGER); INSERT INTO t VALUES(0);"
#define VALUE "SELECT v FROM t"

/*  The stamp says yes once, then no. */
#define CHANGED(pool, stamp)                          \
    do {                                              \
        CHECK_INT(sqlpool_changed((pool), (stamp)), 1); \
        CHECK_INT(sqlpool_changed((pool), (stamp)), 0); \
    } while (0)
#define SAME(pool, stamp) CHECK_INT(sqlpool_changed((pool), (stamp)), 0)

static int exec(sqlpool *pool, const char *sql) {
    const int rc = sqlpool_exec(pool, sql, SQLPOOL_NO_ARGS, &err);
    if (rc != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "%s: %s", sql, err.message);
    return rc;
}
static int set_value(sqlpool *pool, int64_t value) {
    return sqlpool_exec(pool, "UPDATE t SET v = ?", SQLPOOL_ARGS(value), &err);
}

/*  As a clean close of another program leaves it: WAL in the header, no log. */
static bool make_file(const char *path) {
    return raw_make(path, "PRAGMA journal_mode = WAL;" TABLE);
}

static const char *state_of(sqlpool *pool) {
    sqlpool_config config;
    if (sqlpool_config_resolved(pool, &config) != SQLPOOL_OK) return "(unknown)";
    return config.snapshot_state;
}

/*---- what is seen ----*/

TEST(the_first_call_says_yes_then_no) {
    sqlpool *pool = open_pool("first.db", NULL, NULL);
    sqlpool_stamp stamp;
    CHECK(pool != NULL);
    memset(&stamp, 0, sizeof stamp);
    CHANGED(pool, &stamp);
    close_pool(pool);
    CHECK(make_file("first_old.db"));
    pool = open_pool("first_old.db", NULL, NULL);
    CHECK(pool != NULL);
    memset(&stamp, 0, sizeof stamp);
    CHANGED(pool, &stamp);
    close_pool(pool);
}

static int update_in_transaction(sqlpool_conn *conn, void *user, int attempt) {
    (void)attempt;
    return sqlpool_conn_exec(conn, (const char *)user, SQLPOOL_NO_ARGS, NULL, NULL);
}
static int fail_in_transaction(sqlpool_conn *conn, void *user, int attempt) {
    const int rc = update_in_transaction(conn, user, attempt);
    return rc != SQLPOOL_OK ? rc : 70000;
}
static char plus_one[] = "UPDATE t SET v = v + 1";

/*  By a statement, a function and a script. */
static void commit_and_see(sqlpool *pool, sqlpool_stamp *stamp) {
    CHECK_INT(exec(pool, plus_one), SQLPOOL_OK);
    CHANGED(pool, stamp);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, update_in_transaction, plus_one, &err), &err);
    CHANGED(pool, stamp);
    CHECK_OK(sqlpool_script(pool, "UPDATE t SET v = v + 1; SELECT 1", -1, &err), &err);
    CHANGED(pool, stamp);
}

TEST(own_commits_of_every_kind_are_seen_once) {
    sqlpool *pool = open_pool("own.db", NULL, TABLE);
    sqlpool_stamp stamp = {{0}};
    sqlpool_rows rows;
    sqlpool_conn conn;
    int i;
    CHECK(pool != NULL);
    CHANGED(pool, &stamp);
    for (i = 0; i < 20; i++) {
        PART(commit_and_see(pool, &stamp));
        CHECK_OK(sqlpool_query(pool, &rows, "UPDATE t SET v = v + 1 RETURNING v", SQLPOOL_NO_ARGS, &err),
                 &err);
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHANGED(pool, &stamp);
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
        CHECK_OK(sqlpool_conn_exec(&conn, plus_one, SQLPOOL_NO_ARGS, NULL, &err), &err);
        CHANGED(pool, &stamp);
        CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
        CHECK_OK(sqlpool_conn_exec(&conn, plus_one, SQLPOOL_NO_ARGS, NULL, &err), &err);
        SAME(pool, &stamp); /* not yet */
        CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
        CHANGED(pool, &stamp);
        CHECK(raw_exec(sqlpool_conn_db(&conn), plus_one));
        CHECK_INT(sqlpool_changed(pool, &stamp), 1);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        (void)sqlpool_changed(pool, &stamp); /* another connection may have lent its mapping */
        SAME(pool, &stamp);
    }
    CHECK_INT(ask(pool, VALUE), 140);
    SAME(pool, &stamp);
    close_pool(pool);
}

static int act_commit(const char *path) {
    sqlite3 *db = NULL;
    int rc = sqlite3_open(path, &db);
    (void)sqlite3_busy_timeout(db, 10000);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, plus_one, NULL, NULL, NULL);
    (void)sqlite3_close(db);
    return rc;
}
static bool commit_elsewhere(const char *path) {
    char out[2000];
    const int status = sim_run_self("commit", path, out, sizeof out);
    if (status != 0) test_fail(__FILE__, __LINE__, "the other process ended with %d: %s", status, out);
    return status == 0;
}

TEST(commits_of_plain_connections_are_seen_once) {
    sqlpool *pool = open_pool("plain.db", NULL, TABLE);
    sqlite3 *other = raw_open("plain.db");
    sqlpool_stamp stamp = {{0}};
    int i;
    CHECK(pool != NULL && other != NULL);
    CHANGED(pool, &stamp);
    for (i = 1; i <= 20; i++) {
        CHECK(raw_exec(other, plus_one));
        CHANGED(pool, &stamp);
        CHECK(raw_exec(other, plus_one) && raw_exec(other, plus_one)); /* two at once */
        CHANGED(pool, &stamp);
        CHECK_INT(ask(pool, VALUE), 3 * i);
        SAME(pool, &stamp);
    }
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    SAME(pool, &stamp);
    close_pool(pool);
}

TEST(commits_of_another_process_are_seen_once) {
    sqlpool *pool = open_pool("process.db", NULL, TABLE);
    sqlpool_stamp stamp = {{0}};
    int i;
    CHECK(pool != NULL);
    CHANGED(pool, &stamp);
    for (i = 1; i <= 3; i++) {
        CHECK(commit_elsewhere("process.db"));
        CHANGED(pool, &stamp);
        CHECK_INT(ask(pool, VALUE), i);
        SAME(pool, &stamp);
    }
    close_pool(pool);
}

TEST(what_commits_nothing_is_not_seen) {
    sqlpool_config config = config_of(2);
    sqlpool *pool = open_pool("nothing.db", &config, TABLE);
    sqlite3 *other = raw_open("nothing.db");
    sqlpool_stamp stamp = {{0}};
    sqlpool_conn conn;
    CHECK(pool != NULL && other != NULL);
    CHANGED(pool, &stamp);
    CHECK_INT(ask(pool, VALUE), 0);
    SAME(pool, &stamp);
    CHECK_INT(exec(pool, "UPDATE t SET v = 1 WHERE v = 99"), SQLPOOL_OK);
    CHECK_INT(exec(pool, "DELETE FROM t WHERE v = 99"), SQLPOOL_OK);
    CHECK_INT(exec(pool, "CREATE TABLE IF NOT EXISTS t(v)"), SQLPOOL_OK);
    SAME(pool, &stamp);
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, fail_in_transaction, plus_one, &err), 70000, &err);
    SAME(pool, &stamp);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, do_nothing, NULL, &err), &err);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_READ, do_nothing, NULL, &err), &err);
    SAME(pool, &stamp);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, plus_one, SQLPOOL_NO_ARGS, NULL, &err), &err);
    SAME(pool, &stamp);
    CHECK_INT(ask_conn(&conn, VALUE), 1);
    CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    SAME(pool, &stamp);
    CHECK(raw_exec(other, "BEGIN; UPDATE t SET v = 5; ROLLBACK; SELECT * FROM t; BEGIN IMMEDIATE; COMMIT"));
    SAME(pool, &stamp);
    CHECK_INT(ask(pool, VALUE), 0);
    SAME(pool, &stamp);
    CHECK_INT(exec(pool, plus_one), SQLPOOL_OK); /* it still sees those that do */
    CHANGED(pool, &stamp);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    close_pool(pool);
}

TEST(two_stamps_know_nothing_of_each_other) {
    sqlpool *pool = open_pool("two.db", NULL, TABLE);
    sqlpool_stamp first = {{0}}, second = {{0}};
    CHECK(pool != NULL);
    CHANGED(pool, &first);
    CHECK_INT(exec(pool, plus_one), SQLPOOL_OK);
    CHANGED(pool, &second);
    CHANGED(pool, &first);
    CHECK_INT(exec(pool, plus_one), SQLPOOL_OK);
    CHANGED(pool, &first);
    CHECK_INT(exec(pool, plus_one), SQLPOOL_OK);
    CHANGED(pool, &second);
    SAME(pool, &second);
    CHANGED(pool, &first);
    close_pool(pool);
}

TEST(a_read_only_pool_sees_the_writes_of_others) {
    sqlpool_config config = config_of(2);
    sqlite3 *other;
    sqlpool *pool;
    sqlpool_stamp stamp = {{0}};
    CHECK(make_file("readonly.db"));
    other = raw_open("readonly.db");
    CHECK(other != NULL && raw_exec(other, plus_one)); /* its log is there */
    config.read_only = true;
    pool = open_pool("readonly.db", &config, NULL);
    CHECK(pool != NULL);
    CHANGED(pool, &stamp);
    CHECK(raw_exec(other, plus_one));
    CHANGED(pool, &stamp);
    CHECK_INT(ask(pool, VALUE), 2);
    SAME(pool, &stamp);
    CHECK_STR(state_of(pool), "on");
    close_pool(pool);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
}

/*---- first the stamp, then the read ----*/

enum { COMMITS = 400 };
typedef struct committer {
    sqlpool *pool;
    const char *path; /* of a plain connection, or NULL: through the pool */
    int failed;       /* atomic */
    int is_over;      /* atomic */
} committer;
static void *commit_many(void *argument) {
    committer *w = (committer *)argument;
    sqlite3 *db = NULL;
    int i, rc = SQLITE_OK;
    if (w->path != NULL) rc = sqlite3_open(w->path, &db);
    if (db != NULL) (void)sqlite3_busy_timeout(db, 60000);
    for (i = 1; i <= COMMITS && rc == SQLITE_OK; i++) {
        char sql[60];
        sqlpool_error error;
        (void)snprintf(sql, sizeof sql, "UPDATE t SET v = %d", i);
        rc = db != NULL ? sqlite3_exec(db, sql, NULL, NULL, NULL)
                        : sqlpool_exec(w->pool, sql, SQLPOOL_NO_ARGS, &error);
        if (i % 50 == 0) (void)sqlpool_recycle(w->pool);
        if (i % 77 == 0) (void)sqlpool_checkpoint(w->pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    (void)sqlite3_close(db);
    __atomic_store_n(&w->failed, rc, __ATOMIC_SEQ_CST);
    __atomic_store_n(&w->is_over, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/*  What a program with a cache does. When the writer is over, one more look must be enough. */
static void watch_a_writer(const char *path, int connections, bool is_foreign) {
    sqlpool_config config = config_of(1);
    sqlpool_stamp stamp = {{0}};
    int64_t known = -1;
    pthread_t thread;
    committer w;
    int rc = 0, is_over;
    config.max_connections = connections;
    memset(&w, 0, sizeof w);
    w.pool = open_pool(path, &config, TABLE);
    w.path = is_foreign ? path : NULL;
    CHECK(w.pool != NULL);
    CHECK(start_thread(&thread, commit_many, &w));
    do {
        is_over = __atomic_load_n(&w.is_over, __ATOMIC_SEQ_CST);
        rc = sqlpool_changed(w.pool, &stamp);
        if (rc == 1) {
            const int64_t now = ask(w.pool, VALUE);
            if (now < known) test_fail(__FILE__, __LINE__, "back from %d to %d", (int)known, (int)now);
            known = now;
        }
    } while (rc >= 0 && !is_over);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(w.failed, 0);
    CHECK(rc >= 0);
    CHECK_INT(known, COMMITS);
    close_pool(w.pool);
}
TEST(stamp_first_then_read_ends_with_the_newest) {
    PART(watch_a_writer("watch_own.db", 3, false));
    PART(watch_a_writer("watch_one.db", 1, false));
    PART(watch_a_writer("watch_other.db", 3, true));
}

/*---- whatever happens to the connections ----*/

/*  The last connection that closes deletes the log; the next begins an index of the same zeroes. */
TEST(recycle_hides_no_commit_of_a_file_that_begins_anew) {
    sqlpool_config config = config_of(1);
    sqlpool_stamp stamp = {{0}};
    sqlpool *pool;
    int i;
    CHECK(make_file("anew.db"));
    pool = open_pool("anew.db", &config, NULL);
    CHECK(pool != NULL);
    CHANGED(pool, &stamp);
    for (i = 0; i < 10; i++) {
        CHECK_INT(exec(pool, plus_one), SQLPOOL_OK);
        CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
        CHECK_INT(sqlpool_changed(pool, &stamp), 1);
        SAME(pool, &stamp);
        CHECK_INT(ask(pool, VALUE), i + 1);
    }
    close_pool(pool);
}

/*  Commits, own and foreign, among everything that replaces or moves the mapping. After a commit the
    next answer is yes; yes without a commit is allowed, but not for ever. */
static void dance(const char *path, int connections, uint64_t seed) {
    sqlpool_config config = config_of(1);
    sqlpool_stamp stamp = {{0}};
    sqlpool *pool;
    int64_t commits = 0;
    int i, k;
    config.max_connections = connections;
    CHECK(make_file(path));
    pool = open_pool(path, &config, NULL);
    CHECK(pool != NULL);
    for (i = 0; i < 300; i++) {
        bool is_due = false;
        for (k = 0; k < 3; k++) {
            sqlpool_conn conn;
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            switch (seed >> 33 & 7) {
            case 0:
                is_due = true, commits++;
                CHECK_INT(exec(pool, plus_one), SQLPOOL_OK);
                break;
            case 1:
                is_due = true, commits++;
                CHECK_INT(act_commit(path), 0);
                break;
            case 2: CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK); break;
            case 3:
                CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &err), &err);
                break;
            case 4:
                CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &err), &err);
                break;
            case 5:
                CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
                CHECK(sqlpool_conn_db(&conn) != NULL);
                CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
                break;
            case 6: (void)ask(pool, VALUE); break;
            default: break;
            }
        }
        if (is_due) {
            CHECK_INT(sqlpool_changed(pool, &stamp), 1);
        } else {
            (void)sqlpool_changed(pool, &stamp);
        }
        SAME(pool, &stamp);
    }
    CHECK_INT(ask(pool, VALUE), commits);
    close_pool(pool);
}
TEST(recycle_checkpoint_and_raw_handles_hide_no_commit) {
    PART(dance("dance1.db", 1, 1));
    PART(dance("dance2.db", 2, 2));
    PART(dance("dance4.db", 4, 3));
}

TEST(checkpoints_hide_no_commit) {
    sqlpool *pool = open_pool("checkpoint.db", NULL, TABLE);
    sqlpool_stamp stamp = {{0}};
    int mode, i;
    CHECK(pool != NULL);
    CHANGED(pool, &stamp);
    for (i = 0; i < 6; i++) {
        for (mode = SQLPOOL_CHECKPOINT_PASSIVE; mode <= SQLPOOL_CHECKPOINT_TRUNCATE; mode++) {
            CHECK_INT(exec(pool, plus_one), SQLPOOL_OK);
            CHECK_OK(sqlpool_checkpoint(pool, (sqlpool_checkpoint_mode)mode, NULL, &err), &err);
            CHANGED(pool, &stamp);
            CHECK_INT(exec(pool, plus_one), SQLPOOL_OK); /* the log starts over */
            CHANGED(pool, &stamp);
        }
    }
    close_pool(pool);
}

TEST(vacuum_is_seen) {
    sqlpool *pool = open_pool("vacuum.db", NULL, TABLE);
    sqlpool_stamp stamp = {{0}};
    CHECK(pool != NULL);
    CHANGED(pool, &stamp);
    CHECK_INT(exec(pool, "VACUUM"), SQLPOOL_OK);
    CHANGED(pool, &stamp);
    CHECK_INT(exec(pool, plus_one), SQLPOOL_OK);
    CHECK_INT(exec(pool, "VACUUM"), SQLPOOL_OK);
    CHANGED(pool, &stamp);
    CHECK_INT(exec(pool, plus_one), SQLPOOL_OK);
    CHANGED(pool, &stamp);
    close_pool(pool);
}

/*  The raw handle of the connection whose mapping is lent: it may close its log. */
static void with_raw_handle(const char *path, int connections) {
    sqlpool_config config = config_of(1);
    sqlpool_stamp stamp = {{0}};
    sqlpool_conn conn;
    sqlpool *pool;
    sqlite3 *db;
    int i;
    config.max_connections = connections;
    pool = open_pool(path, &config, TABLE);
    CHECK(pool != NULL);
    CHANGED(pool, &stamp);
    for (i = 0; i < 5; i++) {
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
        db = sqlpool_conn_db(&conn);
        CHECK(db != NULL);
        CHECK(sqlpool_changed(pool, &stamp) >= 0);
        CHECK(raw_exec(db, plus_one));
        CHECK_INT(sqlpool_changed(pool, &stamp), 1);
        CHECK_INT(act_commit(path), 0);
        CHECK_INT(sqlpool_changed(pool, &stamp), 1);
        if (connections == 1) { /* takes the mapping away; SQLite 3.40 loses the update without the SELECT */
            if (i == 4) (void)sqlite3_set_authorizer(db, NULL, NULL); /* and nobody sees it */
            CHECK(raw_exec(db, VALUE "; PRAGMA journal_mode = DELETE;"));
            CHECK(raw_exec(db, plus_one) && raw_exec(db, "PRAGMA journal_mode = WAL"));
            CHECK_INT(sqlpool_changed(pool, &stamp), 1);
        }
        (void)sqlpool_conn_release(&conn);
        (void)ask(pool, VALUE); /* the only connection may have been closed: nobody could tell */
        CHECK(sqlpool_changed(pool, &stamp) >= 0);
        SAME(pool, &stamp);
        CHECK_INT(exec(pool, plus_one), SQLPOOL_OK);
        CHANGED(pool, &stamp);
    }
    CHECK_INT(ask(pool, VALUE), connections == 1 ? 20 : 15);
    close_pool(pool);
}
TEST(a_raw_handle_of_the_lender_hides_no_commit) {
    PART(with_raw_handle("raw1.db", 1));
    PART(with_raw_handle("raw3.db", 3));
}

TEST(works_while_all_connections_are_leased_or_paused) {
    sqlpool_config config = config_of(1);
    sqlpool *pool = open_pool("leased.db", &config, TABLE);
    sqlpool_stamp stamp = {{0}};
    sqlpool_conn reader, writer;
    CHECK(pool != NULL);
    CHANGED(pool, &stamp);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &reader, &err), &err);
    SAME(pool, &stamp);
    CHECK_INT(act_commit("leased.db"), 0);
    CHANGED(pool, &stamp);
    CHECK_INT(ask_conn(&reader, VALUE), 1);
    CHECK_OK(sqlpool_conn_exec(&writer, plus_one, SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHANGED(pool, &stamp);
    CHECK(sqlpool_conn_db(&writer) != NULL && sqlpool_conn_db(&reader) != NULL); /* nobody can lend */
    CHECK_INT(sqlpool_changed(pool, &stamp), 1);
    CHECK_INT(sqlpool_changed(pool, &stamp), 1); /* cannot tell */
    CHECK_INT(sqlpool_conn_release(&reader), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    CHANGED(pool, &stamp);
    CHECK_INT(act_commit("leased.db"), 0);
    CHANGED(pool, &stamp);
    CHECK_OK(sqlpool_pause(pool, 5000, &err), &err);
    SAME(pool, &stamp);
    CHECK_INT(act_commit("leased.db"), 0);
    CHANGED(pool, &stamp);
    CHECK_INT(sqlpool_resume(pool), SQLPOOL_OK);
    CHECK_INT(ask(pool, VALUE), 4);
    close_pool(pool);
}

/*---- where there is no log, and wrong calls ----*/

TEST(a_memory_database_counts_its_own_commits) {
    sqlpool *pool = open_pool(":memory:", NULL, TABLE);
    sqlpool_stamp stamp = {{0}};
    sqlpool_conn conn;
    CHECK(pool != NULL);
    CHANGED(pool, &stamp);
    PART(commit_and_see(pool, &stamp));
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, fail_in_transaction, plus_one, &err), 70000, &err);
    CHECK_INT(ask(pool, VALUE), 3);
    SAME(pool, &stamp);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK(raw_exec(sqlpool_conn_db(&conn), plus_one));
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHANGED(pool, &stamp);
    close_pool(pool);
    pool = open_pool(":memory:", NULL, NULL); /* the first call, without any commit */
    memset(&stamp, 0, sizeof stamp);
    CHECK(pool != NULL);
    CHANGED(pool, &stamp);
    close_pool(pool);
}

TEST(without_a_log_it_is_unsupported) {
    sqlpool_config config = config_of(2);
    sqlpool_stamp stamp = {{0}};
    sqlpool *pool;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    pool = open_pool("delete.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_changed(pool, &stamp), SQLPOOL_UNSUPPORTED);
    CHECK_INT(exec(pool, plus_one), SQLPOOL_OK);
    CHECK_INT(sqlpool_changed(pool, &stamp), SQLPOOL_UNSUPPORTED);
    close_pool(pool);
}

TEST(wrong_calls_are_refused) {
    sqlpool *pool = open_pool("wrong.db", NULL, NULL);
    sqlpool_stamp stamp = {{0}};
    int status = 0;
    pid_t child;
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_changed(NULL, &stamp), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_changed(pool, NULL), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_changed((sqlpool *)(void *)&stamp, &stamp), SQLPOOL_MISUSE);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (sqlpool_changed(pool, &stamp) != SQLPOOL_FORKED) _exit(1);
        (void)kill(getpid(), SIGKILL); /* without exit handlers */
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close_pool(pool);
    CHECK_INT(sqlpool_changed(pool, &stamp), SQLPOOL_CLOSED);
}

/*---- beside recycle and close ----*/

typedef struct asker {
    sqlpool *pool;
    int is_over;    /* atomic */
    int64_t asked;  /* atomic */
    int64_t result; /* atomic; of the last call */
} asker;
static void *ask_on(void *argument) {
    asker *a = (asker *)argument;
    sqlpool_stamp stamp = {{0}};
    while (!__atomic_load_n(&a->is_over, __ATOMIC_SEQ_CST)) {
        const int rc = sqlpool_changed(a->pool, &stamp);
        __atomic_store_n(&a->result, rc, __ATOMIC_SEQ_CST);
        (void)__atomic_add_fetch(&a->asked, 1, __ATOMIC_SEQ_CST);
        if (rc < 0) break;
    }
    return NULL;
}
typedef struct recycler {
    sqlpool *pool;
    int count;
    int failed;
} recycler;
static void *recycle_on(void *argument) {
    recycler *r = (recycler *)argument;
    int i;
    for (i = 0; i < r->count && r->failed == 0; i++) r->failed = sqlpool_recycle(r->pool);
    return NULL;
}

/*  With one connection each recycle takes the only mapping away: what reads it must not be left. */
static void ask_beside_recycle(const char *path, int connections, bool is_single) {
    sqlpool_config config = config_of(1);
    pthread_t thread, recycling;
    recycler r;
    asker a;
    int i;
    config.max_connections = connections;
    config.single_process = is_single;
    memset(&a, 0, sizeof a);
    memset(&r, 0, sizeof r);
    r.pool = a.pool = open_pool(path, &config, TABLE);
    r.count = 150;
    CHECK(a.pool != NULL);
    CHECK(start_thread(&thread, ask_on, &a));
    CHECK(start_thread(&recycling, recycle_on, &r));
    for (i = 1; i <= 100; i++) CHECK_INT(set_value(a.pool, i), SQLPOOL_OK);
    CHECK_INT(pthread_join(recycling, NULL), 0);
    __atomic_store_n(&a.is_over, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(r.failed, 0);
    CHECK(a.asked == 0 || a.result >= 0);
    CHECK_INT(ask(a.pool, VALUE), 100);
    close_pool(a.pool);
}
TEST(a_thread_may_ask_beside_recycle) {
    PART(ask_beside_recycle("recycle1.db", 1, false));
    PART(ask_beside_recycle("recycle3.db", 3, false));
    PART(ask_beside_recycle("recycle_single.db", 1, true)); /* the mapping is memory that is freed */
}

typedef struct holder {
    sqlpool_conn conn;
    sqlpool *pool;
    asker *asker;
    int is_held; /* atomic */
    int result;
} holder;
static void *hold_on(void *argument) {
    holder *h = (holder *)argument;
    sqlpool_error error;
    const int64_t limit = now_ms() + 20000;
    int64_t asked;
    h->result = sqlpool_conn_acquire(h->pool, SQLPOOL_WRITE, &h->conn, &error);
    (void)sqlpool_conn_db(&h->conn); /* the mapping was lent by this one */
    __atomic_store_n(&h->is_held, 1, __ATOMIC_SEQ_CST);
    /* until the pool is closing: a new lease is refused */
    while (sqlpool_exec(h->pool, "SELECT 1", SQLPOOL_NO_ARGS, &error) == SQLPOOL_OK && now_ms() < limit)
        sleep_ms(1);
    asked = __atomic_load_n(&h->asker->asked, __ATOMIC_SEQ_CST) + 100;
    while (__atomic_load_n(&h->asker->asked, __ATOMIC_SEQ_CST) < asked && now_ms() < limit &&
           __atomic_load_n(&h->asker->result, __ATOMIC_SEQ_CST) >= 0)
        sleep_ms(1);
    __atomic_store_n(&h->asker->is_over, 1, __ATOMIC_SEQ_CST);
    sleep_ms(2); /* the call that runs now is inside, or over */
    (void)sqlpool_conn_release(&h->conn);
    return NULL;
}

/*  A thread asks until the pool is as good as closed; close waits for the lease of another. */
TEST(a_thread_may_ask_while_the_pool_closes) {
    int i;
    for (i = 0; i < 20; i++) {
        sqlpool_config config = config_of(2);
        pthread_t asking, holding;
        asker a;
        holder h;
        config.close_timeout_ms = 60000;
        memset(&a, 0, sizeof a);
        memset(&h, 0, sizeof h);
        h.pool = a.pool = open_pool("close.db", &config, "CREATE TABLE IF NOT EXISTS t(v)");
        h.asker = &a;
        CHECK(a.pool != NULL);
        CHECK(start_thread(&asking, ask_on, &a));
        CHECK(start_thread(&holding, hold_on, &h));
        while (!__atomic_load_n(&h.is_held, __ATOMIC_SEQ_CST)) sleep_ms(1);
        CHECK_OK(sqlpool_close(a.pool, &err), &err);
        CHECK_INT(pthread_join(holding, NULL), 0);
        CHECK_INT(pthread_join(asking, NULL), 0);
        CHECK_INT(h.result, SQLPOOL_OK);
        CHECK(a.result == 0 || a.result == 1 || a.result == SQLPOOL_CLOSED);
        CHECK(a.asked > 0);
    }
}

/*  The page that is lent cannot be read: the fault holds the reader until the connection was closed
    under it, or long enough. */
enum { PAGE_BYTES = 32768 };
static struct {
    char *page;
    int is_inside, is_left_alone; /* atomic */
} faulting;

static void on_fault(int number, siginfo_t *info, void *context) {
    const uintptr_t offset = (uintptr_t)info->si_addr - (uintptr_t)faulting.page;
    int i;
    (void)context;
    if (faulting.page == NULL || offset >= PAGE_BYTES) {
        (void)signal(number, SIG_DFL);
        return;
    }
    __atomic_store_n(&faulting.is_inside, 1, __ATOMIC_SEQ_CST);
    for (i = 0; i < 200 && __atomic_load_n(&sim_vfs.copies_freed, __ATOMIC_SEQ_CST) == 0; i++) sleep_ms(1);
    if (__atomic_load_n(&sim_vfs.copies_freed, __ATOMIC_SEQ_CST) != 0)
        __atomic_store_n(&faulting.is_left_alone, 1, __ATOMIC_SEQ_CST);
    (void)mprotect(faulting.page, PAGE_BYTES, PROT_READ | PROT_WRITE);
}
static void *ask_a_page(void *argument) {
    sqlpool_stamp stamp = {{0}};
    if (sqlpool_changed((sqlpool *)argument, &stamp) != 1) test_fail(__FILE__, __LINE__, "not changed");
    return NULL;
}
TEST(a_mapping_stays_until_its_reader_is_done) {
    sqlpool_config config = config_of(0);
    struct sigaction action, before;
    pthread_t thread;
    sqlpool *pool;
    if (sysconf(_SC_PAGESIZE) > PAGE_BYTES) return;
    config.vfs_name = "sim";
    sim_vfs.shm_mode = SIM_SHM_COPY;
    pool = open_pool("page.db", &config, NULL);
    CHECK(pool != NULL);
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    CHECK_INT(sigaction(SIGSEGV, &action, &before), 0);
    faulting.page = (char *)sim_vfs.last_copy;
    __atomic_store_n(&sim_vfs.copies_freed, 0, __ATOMIC_SEQ_CST);
    CHECK(faulting.page != NULL && mprotect(faulting.page, PAGE_BYTES, PROT_NONE) == 0);
    CHECK(start_thread(&thread, ask_a_page, pool));
    while (!__atomic_load_n(&faulting.is_inside, __ATOMIC_SEQ_CST)) sleep_ms(1);
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(sigaction(SIGSEGV, &before, NULL), 0);
    CHECK(sim_vfs.copies_freed > 0); /* it was the connection that lent it */
    CHECK(!faulting.is_left_alone);
    close_pool(pool);
    sim_vfs.shm_mode = SIM_SHM_REAL;
}

/*  The hooks hold a call inside the library where close could overtake it: after each unlock of the
    thread that asks. */
static struct {
    pthread_t asking;
    int is_asking, is_closing, is_closed, is_overtaken; /* atomic */
} overtaking;

static void unlock_slowly(void *user, sqlpool_mutex *mutex) {
    const int64_t limit = now_ms() + 200;
    sim_mutex_unlock(user, mutex);
    if (!__atomic_load_n(&overtaking.is_asking, __ATOMIC_SEQ_CST) ||
        !pthread_equal(pthread_self(), overtaking.asking))
        return;
    while (!__atomic_load_n(&overtaking.is_closed, __ATOMIC_SEQ_CST) && now_ms() < limit) sleep_ms(1);
    if (__atomic_load_n(&overtaking.is_closed, __ATOMIC_SEQ_CST))
        __atomic_store_n(&overtaking.is_overtaken, 1, __ATOMIC_SEQ_CST);
}
/*  Asked when a connection is claimed: from here on it is held, so close waits for that one. */
static uint64_t tell_slowly(void *user) {
    if (__atomic_load_n(&overtaking.is_asking, __ATOMIC_SEQ_CST) &&
        pthread_equal(pthread_self(), overtaking.asking)) {
        __atomic_store_n(&overtaking.is_closing, 1, __ATOMIC_SEQ_CST);
        sleep_ms(50);
    }
    return sim_thread_id(user);
}
static void *ask_once(void *argument) {
    sqlpool_stamp stamp = {{0}};
    overtaking.asking = pthread_self();
    __atomic_store_n(&overtaking.is_asking, 1, __ATOMIC_SEQ_CST);
    if (sqlpool_changed((sqlpool *)argument, &stamp) < 0) test_fail(__FILE__, __LINE__, "refused");
    return NULL;
}
TEST(close_waits_for_a_thread_that_asks) {
    static sim_locks locks = {.seed = 1};
    sqlpool_config config = config_of(0);
    sqlpool_conn conn;
    pthread_t thread;
    sqlpool *pool;
    config.locks = sim_locks_hooks(&locks);
    config.locks.mutex_unlock_fn = unlock_slowly;
    config.locks.thread_id_fn = tell_slowly;
    pool = open_pool("overtake.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK(sqlpool_conn_db(&conn) != NULL); /* nobody lends any more: who asks looks for one that does */
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK(start_thread(&thread, ask_once, pool));
    while (!__atomic_load_n(&overtaking.is_closing, __ATOMIC_SEQ_CST)) sleep_ms(1);
    CHECK_OK(sqlpool_close(pool, &err), &err);
    __atomic_store_n(&overtaking.is_closed, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(!overtaking.is_overtaken);
    CHECK_INT(locks.errors, 0);
}

/*---- what snapshot_state says ----*/

typedef struct lines {
    int count, warnings;
    char last[300];
    pthread_mutex_t lock;
} lines;
static void keep_line(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    lines *l = (lines *)user;
    if (item != SQLPOOL_LOG_STAMP) return;
    (void)pthread_mutex_lock(&l->lock);
    l->count++;
    if (level == SQLPOOL_LEVEL_WARNING) l->warnings++;
    (void)snprintf(l->last, sizeof l->last, "%s", message);
    (void)pthread_mutex_unlock(&l->lock);
}

/*  Opens, compares the text everywhere it shows, and what sqlpool_changed() gives. */
static void state_is(const char *path, const sqlpool_config *config, const char *text, int changed) {
    lines log = {.lock = PTHREAD_MUTEX_INITIALIZER};
    sqlpool_config copy = *config;
    sqlpool_stamp stamp = {{0}};
    sqlpool *pool;
    char expected[400], status[8000];
    copy.log.user = &log;
    copy.log.write_fn = keep_line;
    pool = open_pool(path, &copy, NULL);
    CHECK(pool != NULL);
    CHECK_STR(state_of(pool), text);
    CHECK_INT(log.count, 1);
    CHECK_INT(log.warnings, 0);
    (void)snprintf(expected, sizeof expected, "snapshots are %s", text);
    CHECK_HAS(log.last, expected);
    CHECK(sqlpool_status_text(pool, status, sizeof status) > 0);
    (void)snprintf(expected, sizeof expected, "\nsnapshots    %s\n", text);
    CHECK_HAS(status, expected);
    CHECK(sqlpool_status_json(pool, status, sizeof status) > 0);
    if (strchr(text, '"') == NULL) {
        (void)snprintf(expected, sizeof expected, ",\"snapshot_state\":\"%s\",", text);
    } else {
        (void)snprintf(expected, sizeof expected, ",\"snapshot_state\":\"%s\",",
                       "off: \\\":memory:\\\" has no log");
    }
    CHECK_HAS(status, expected);
    CHECK_INT(sqlpool_changed(pool, &stamp), changed);
    CHECK_INT(exec(pool, "CREATE TABLE IF NOT EXISTS t(v)"), SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0); /* more connections change nothing of it */
    CHECK_STR(state_of(pool), text);
    CHECK_INT(sqlpool_changed(pool, &stamp), changed);
    close_pool(pool);
}

static int attach_aux(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    (void)user;
    return sqlpool_conn_exec(&lease, "ATTACH 'state_aux.db' AS aux", SQLPOOL_NO_ARGS, NULL, NULL);
}

TEST(the_state_of_every_setting) {
    sqlpool_config config = sqlpool_config_default();
    PART(state_is("state_default.db", &config, "on", 1));
    config = config_of(2);
    PART(state_is("state_two.db", &config, "on", 1));
    config.snapshot_idle_ms = SQLPOOL_OFF;
    PART(state_is("state_idle.db", &config, "stamp only: snapshot_idle_ms is off", 1));
    config = config_of(2);
    config.disable_upkeep_thread = true;
    PART(state_is("state_upkeep.db", &config, "stamp only: no upkeep thread", 1));
    config = config_of(2);
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    PART(state_is("state_general.db", &config, "stamp only: no connection is a reader only", 1));
    config = config_of(0);
    PART(state_is("state_one.db", &config, "stamp only: no connection is a reader only", 1));
    config = config_of(2);
    config.journal = SQLPOOL_JOURNAL_DELETE;
    PART(state_is("state_delete.db", &config, "off: the journal is not WAL", SQLPOOL_UNSUPPORTED));
    config = config_of(2);
    PART(state_is(":memory:", &config, "off: \":memory:\" has no log", 1));
}

TEST(the_state_with_an_attached_database) {
    sqlpool_config config = config_of(2);
    sqlpool_stamp stamp = {{0}};
    sqlpool *pool;
    config.min_connections = 2; /* a reader is there from the start */
    config.events.connect_fn = attach_aux;
    PART(state_is("state_attached.db", &config, "stamp only: a database is attached", 1));
    config.min_connections = 1; /* with the first reader at the latest */
    pool = open_pool("state_attached.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    CHECK_STR(state_of(pool), "stamp only: a database is attached");
    CHANGED(pool, &stamp);
    close_pool(pool);
}

/*  The hook runs before the first connection has told what the file is. */
static int report_in_hook(void *user, const sqlpool_conn *conn) {
    static char text[8000];
    sqlpool_config config;
    sqlpool_stamp stamp = {{0}};
    int *calls = (int *)user;
    ++*calls;
    if (sqlpool_config_resolved(conn->pool, &config) != SQLPOOL_OK) return 70001;
    if (config.snapshot_state == NULL || config.snapshot_state[0] == '\0') return 70002;
    if (sqlpool_status_text(conn->pool, text, sizeof text) <= 0) return 70003;
    if (strstr(text, "(null)") != NULL) return 70004;
    if (sqlpool_status_json(conn->pool, text, sizeof text) <= 0) return 70005;
    (void)sqlpool_changed(conn->pool, &stamp);
    return 0;
}
TEST(the_state_has_a_text_inside_the_connect_hook) {
    sqlpool_config config = config_of(2);
    sqlpool *pool;
    int calls = 0;
    config.events.user = &calls;
    config.events.connect_fn = report_in_hook;
    pool = open_pool("state_hook.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, VALUE), 0);
    CHECK(calls >= 2);
    close_pool(pool);
}

static int lock_exclusively(void *user, struct sqlite3 *db) {
    (void)user;
    return sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL);
}

static void simulate(int max_version, int shm_mode) {
    sim_vfs.max_version = max_version;
    sim_vfs.shm_mode = shm_mode;
}
TEST(the_state_on_a_vfs_without_shared_memory) {
    sqlpool_config config = config_of(2);
    config.vfs_name = "sim";
    simulate(0, SIM_SHM_REAL);
    PART(state_is("shm_real.db", &config, "on", 1));
    simulate(1, SIM_SHM_REAL);
    PART(state_is("shm_version.db", &config, "off: the journal is not WAL", SQLPOOL_UNSUPPORTED));
    config = config_of(0);
    config.vfs_name = "sim";
    config.events.key_fn = lock_exclusively; /* then SQLite has a log without shared memory */
    PART(state_is("shm_exclusive.db", &config, "off: the VFS shares no memory", SQLPOOL_UNSUPPORTED));
    simulate(0, SIM_SHM_REAL);
}

/*  SQLite keeps the index in its own heap then: asking the VFS for one would make a file of it, which
    nobody gives back. */
TEST(a_log_of_one_connection_needs_no_shared_file) {
    sqlpool_config config = config_of(0);
    sqlpool_stamp stamp = {{0}};
    sqlpool *pool;
    config.vfs_name = "sim";
    config.events.key_fn = lock_exclusively;
    pool = open_pool("heap.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_changed(pool, &stamp), SQLPOOL_UNSUPPORTED);
    CHECK_INT(strncmp(state_of(pool), "off: ", 5), 0);
    CHECK(access("heap.db-wal", F_OK) == 0);
    CHECK(access("heap.db-shm", F_OK) != 0);
    CHECK_INT(ask(pool, VALUE), 0);
    close_pool(pool);
    CHECK(access("heap.db-shm", F_OK) != 0);
}

TEST(the_state_when_the_index_cannot_be_mapped) {
    sqlpool_config config = config_of(2);
    config.vfs_name = "sim";
    simulate(0, SIM_SHM_FAIL);
    PART(state_is("shm_fail.db", &config, "off: the WAL-index cannot be mapped", SQLPOOL_UNSUPPORTED));
    simulate(0, SIM_SHM_NONE);
    PART(state_is("shm_none.db", &config, "off: the WAL-index cannot be mapped", SQLPOOL_UNSUPPORTED));
    simulate(0, SIM_SHM_STRANGE);
    PART(state_is("shm_strange.db", &config, "off: the WAL-index has a format that is not known",
                  SQLPOOL_UNSUPPORTED));
    simulate(0, SIM_SHM_REAL);
}

/*---- a stamp that does not move ----*/

#define DISTRUST "off: a commit did not change the WAL-index header"

typedef struct decoy {
    sqlpool *pool;
    sqlite3 *other;
    lines log;
    sqlpool_stamp stamp;
} decoy;

static void open_decoy(decoy *d, const char *path, int shm_mode) {
    sqlpool_config config = config_of(2);
    memset(d, 0, sizeof *d);
    CHECK_INT(pthread_mutex_init(&d->log.lock, NULL), 0);
    CHECK(make_file(path));
    config.vfs_name = "sim";
    config.snapshot_idle_ms = 60000;
    config.log.user = &d->log;
    config.log.write_fn = keep_line;
    simulate(0, shm_mode);
    d->pool = open_pool(path, &config, NULL);
    d->other = raw_open(path);
    CHECK(d->pool != NULL && d->other != NULL);
    CHECK_STR(state_of(d->pool), "on"); /* so far there is nothing to see */
    CHANGED(d->pool, &d->stamp);
    CHECK_INT(ask(d->pool, VALUE), 0); /* a reader with a snapshot that nothing would end */
    CHECK_INT(ask(d->pool, VALUE), 0);
    CHECK_INT(d->log.count, 1);
}
static int count_misses(sqlpool *pool) {
    sqlpool_stats stats;
    return sqlpool_get_stats(pool, &stats) == SQLPOOL_OK ? (int)stats.snapshot_misses : -1;
}
static void is_distrusted(decoy *d, int64_t value) {
    char status[8000];
    int i, misses;
    CHECK_INT(ask(d->pool, VALUE), value); /* the first read after it */
    CHECK_STR(state_of(d->pool), DISTRUST);
    CHECK_INT(d->log.count, 2);
    CHECK_INT(d->log.warnings, 1);
    CHECK_HAS(d->log.last, "snapshots are " DISTRUST);
    CHECK_INT(sqlpool_changed(d->pool, &d->stamp), SQLPOOL_UNSUPPORTED);
    CHECK(sqlpool_status_text(d->pool, status, sizeof status) > 0);
    CHECK_HAS(status, "\nsnapshots    " DISTRUST "\n");
    misses = count_misses(d->pool);
    for (i = 1; i <= 100; i++) {
        CHECK(raw_exec(d->other, plus_one));
        CHECK_INT(ask(d->pool, VALUE), ++value);
        CHECK_INT(exec(d->pool, plus_one), SQLPOOL_OK);
        CHECK_INT(ask(d->pool, VALUE), ++value);
        if (i == 50) CHECK_INT(sqlpool_recycle(d->pool), SQLPOOL_OK);
    }
    CHECK(count_misses(d->pool) - misses <= 1); /* one other reader may still have had a snapshot */
    CHECK_INT(d->log.count, 2); /* once */
    CHECK_STR(state_of(d->pool), DISTRUST);
    CHECK_INT(sqlpool_changed(d->pool, &d->stamp), SQLPOOL_UNSUPPORTED);
}
static void close_decoy(decoy *d) {
    close_pool(d->pool);
    CHECK_INT(sqlite3_close(d->other), SQLITE_OK);
    simulate(0, SIM_SHM_REAL);
}

static int count_hits(sqlpool *pool) {
    sqlpool_stats stats;
    return sqlpool_get_stats(pool, &stats) == SQLPOOL_OK ? (int)stats.snapshot_hits : -1;
}

TEST(the_first_commit_finds_a_stamp_that_lies) {
    static const int modes[] = {SIM_SHM_COPY, SIM_SHM_MARKED};
    decoy d;
    int i, hits;
    for (i = 0; i < LENGTH(modes); i++) {
        PART(open_decoy(&d, i == 0 ? "lie.db" : "lie_marked.db", modes[i]));
        CHECK_INT(exec(d.pool, plus_one), SQLPOOL_OK);
        hits = count_hits(d.pool);
        CHECK(hits > 0);
        PART(is_distrusted(&d, 1));
        CHECK_INT(count_hits(d.pool), hits); /* none was used again */
        PART(close_decoy(&d));
    }
}

TEST(a_transaction_or_script_finds_a_stamp_that_lies) {
    decoy d;
    PART(open_decoy(&d, "lie_transaction.db", SIM_SHM_COPY));
    CHECK_OK(sqlpool_transaction(d.pool, SQLPOOL_WRITE, do_nothing, NULL, &err), &err); /* says nothing */
    CHECK_STR(state_of(d.pool), "on");
    CHECK_OK(sqlpool_transaction(d.pool, SQLPOOL_WRITE, update_in_transaction, plus_one, &err), &err);
    PART(is_distrusted(&d, 1));
    PART(close_decoy(&d));
    PART(open_decoy(&d, "lie_script.db", SIM_SHM_COPY));
    CHECK_RC(sqlpool_script(d.pool, "UPDATE t SET v = 5; SELECT * FROM missing", -1, &err), SQLITE_ERROR,
             &err);
    CHECK_STR(state_of(d.pool), "on");
    CHECK_OK(sqlpool_script(d.pool, "UPDATE t SET v = 6; UPDATE t SET v = 7", -1, &err), &err);
    PART(is_distrusted(&d, 7));
    PART(close_decoy(&d));
}

/*  VACUUM calls no commit hook. */
TEST(a_vacuum_before_the_first_commit_hides_no_lie) {
    decoy d;
    PART(open_decoy(&d, "lie_vacuum.db", SIM_SHM_MARKED));
    CHECK_INT(exec(d.pool, "VACUUM"), SQLPOOL_OK);
    CHECK_INT(exec(d.pool, plus_one), SQLPOOL_OK);
    PART(is_distrusted(&d, 1));
    PART(close_decoy(&d));
}

/*  An honest one is not suspected, whatever comes first. */
TEST(an_honest_stamp_is_never_distrusted) {
    static const char *const firsts[] = {"VACUUM", "UPDATE t SET v = 0", "CREATE TABLE u(a)",
                                         "UPDATE t SET v = 0 WHERE v = 9"};
    int i, k;
    for (i = 0; i < LENGTH(firsts); i++) {
        char path[40];
        decoy d;
        (void)snprintf(path, sizeof path, "honest%d.db", i);
        PART(open_decoy(&d, path, SIM_SHM_REAL));
        CHECK_INT(exec(d.pool, firsts[i]), SQLPOOL_OK);
        for (k = 1; k <= 5; k++) {
            CHECK_INT(exec(d.pool, plus_one), SQLPOOL_OK);
            CHANGED(d.pool, &d.stamp);
            CHECK_INT(ask(d.pool, VALUE), k);
        }
        CHECK_STR(state_of(d.pool), "on");
        CHECK_INT(d.log.count, 1);
        PART(close_decoy(&d));
    }
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "commit") == 0) return act_commit(argv[2]);
    (void)sim_self_path();
    if (sim_vfs_install() != SQLITE_OK) return 99;
    RUN(the_first_call_says_yes_then_no);
    RUN(own_commits_of_every_kind_are_seen_once);
    RUN(commits_of_plain_connections_are_seen_once);
    RUN(commits_of_another_process_are_seen_once);
    RUN(what_commits_nothing_is_not_seen);
    RUN(two_stamps_know_nothing_of_each_other);
    RUN(a_read_only_pool_sees_the_writes_of_others);
    RUN(stamp_first_then_read_ends_with_the_newest);
    RUN(recycle_hides_no_commit_of_a_file_that_begins_anew);
    RUN(recycle_checkpoint_and_raw_handles_hide_no_commit);
    RUN(checkpoints_hide_no_commit);
    RUN(vacuum_is_seen);
    RUN(a_raw_handle_of_the_lender_hides_no_commit);
    RUN(works_while_all_connections_are_leased_or_paused);
    RUN(a_memory_database_counts_its_own_commits);
    RUN(without_a_log_it_is_unsupported);
    RUN(wrong_calls_are_refused);
    RUN(a_thread_may_ask_beside_recycle);
    RUN(a_thread_may_ask_while_the_pool_closes);
    RUN(a_mapping_stays_until_its_reader_is_done);
    RUN(close_waits_for_a_thread_that_asks);
    RUN(the_state_of_every_setting);
    RUN(the_state_with_an_attached_database);
    RUN(the_state_has_a_text_inside_the_connect_hook);
    RUN(the_state_on_a_vfs_without_shared_memory);
    RUN(a_log_of_one_connection_needs_no_shared_file);
    RUN(the_state_when_the_index_cannot_be_mapped);
    RUN(the_first_commit_finds_a_stamp_that_lies);
    RUN(a_transaction_or_script_finds_a_stamp_that_lies);
    RUN(a_vacuum_before_the_first_commit_hides_no_lie);
    RUN(an_honest_stamp_is_never_distrusted);
    return test_end();
}
