/*  fork.c - what a child process may do. SPDX-License-Identifier: MIT OR Unlicense */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>

#include "api.h"

static sqlpool_error err;
static const char schema[] = "CREATE TABLE t(v); INSERT INTO t VALUES(1)";

static sqlpool *the_pool;
static sqlpool_conn the_lease;
static sqlpool_rows the_rows;

/*  Runs the body in a child; what fails there fails here. A child that hangs is ended by its alarm. */
static void in_child(void (*body)(void)) {
    int status = 0;
    pid_t child;
    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)alarm(20);
        body();
        fflush(stdout);
        if (__atomic_load_n(&test_failed_now, __ATOMIC_RELAXED)) _exit(1);
        (void)kill(getpid(), SIGKILL); /* all is well: no exit handler, no leak check of the parent's memory */
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        test_fail(__FILE__, __LINE__, "the child ended with status 0x%x", (unsigned)status);
}

static void everything_is_forked(void) {
    sqlpool_config config;
    sqlpool *second = (sqlpool *)(void *)&config;
    const int64_t start = now_ms();
    PART(check_every_call(the_pool, SQLPOOL_FORKED));
    CHECK_RC(sqlpool_open(&second, "other.db", NULL, &err), SQLPOOL_FORKED, &err);
    CHECK(second == NULL);
    CHECK(access("other.db", F_OK) != 0);
    CHECK_RC(sqlpool_close(the_pool, &err), SQLPOOL_FORKED, &err);
    CHECK(now_ms() - start < 5000);
}
static void leases_are_forked(void) {
    sqlpool_conn copy = the_lease;
    sqlpool_rows rows = the_rows, more;
    sqlite3_stmt *statement;
    CHECK_RC(sqlpool_conn_exec(&copy, "SELECT 1", SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_FORKED, &err);
    CHECK_RC(sqlpool_conn_query(&copy, &more, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_FORKED, &err);
    CHECK_RC(sqlpool_conn_script(&copy, "SELECT 1", -1, &err), SQLPOOL_FORKED, &err);
    CHECK_RC(sqlpool_conn_stmt(&copy, "SELECT 1", &statement, &err), SQLPOOL_FORKED, &err);
    CHECK_RC(sqlpool_conn_begin(&copy, &err), SQLPOOL_FORKED, &err);
    CHECK_RC(sqlpool_conn_commit(&copy, &err), SQLPOOL_FORKED, &err);
    CHECK_RC(sqlpool_conn_rollback(&copy, &err), SQLPOOL_FORKED, &err);
    CHECK(sqlpool_conn_db(&copy) == NULL);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 0);
    CHECK_INT(sqlpool_rows_close(&rows, NULL), SQLPOOL_FORKED);
    CHECK_INT(sqlpool_conn_release(&copy), SQLPOOL_FORKED);
}

/*  A new pool in the child: without an upkeep thread, which a thread sanitizer cannot bear after a fork. */
static void can_open(void) {
    sqlpool_config config = config_of(2);
    sqlpool *pool;
    config.disable_upkeep_thread = true;
    pool = open_pool("child.db", &config, "CREATE TABLE IF NOT EXISTS t(v); INSERT INTO t VALUES(1)");
    CHECK(pool != NULL);
    CHECK(ask(pool, "SELECT count(*) FROM t") > 0);
    close_pool(pool);
}

TEST(child_of_a_process_without_a_pool) {
    PART(in_child(can_open));
    PART(can_open());
    PART(in_child(can_open)); /* closed again: as if there had been none */
}

TEST(child_of_a_process_with_a_pool) {
    sqlpool *pool = open_pool("parent.db", NULL, schema);
    CHECK(pool != NULL);
    the_pool = pool;
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &the_lease, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&the_lease, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&the_lease, "INSERT INTO t VALUES(2)", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_OK(sqlpool_query(pool, &the_rows, "SELECT v FROM t UNION ALL SELECT 5", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&the_rows));
    PART(in_child(everything_is_forked));
    PART(in_child(leases_are_forked));
    /* the parent's own work is as it was */
    CHECK(sqlpool_rows_next(&the_rows));
    CHECK_INT(sqlpool_rows_int64(&the_rows, 0), 5);
    CHECK_OK(sqlpool_rows_close(&the_rows, &err), &err);
    CHECK_OK(sqlpool_conn_commit(&the_lease, &err), &err);
    CHECK_INT(sqlpool_conn_release(&the_lease), SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
    PART(in_child(can_open));
}

static int stop_now; /* atomic */
static void *keep_busy(void *argument) {
    sqlpool *pool = (sqlpool *)argument;
    while (!__atomic_load_n(&stop_now, __ATOMIC_RELAXED)) {
        if (sqlpool_exec(pool, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, NULL) != SQLPOOL_OK ||
            sqlpool_exec(pool, "UPDATE t SET v = v + 1", SQLPOOL_NO_ARGS, NULL) != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "a call in the parent failed");
    }
    return NULL;
}
static void forked_at_once(void) {
    sqlpool_stats stats;
    CHECK_RC(sqlpool_exec(the_pool, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_FORKED, &err);
    CHECK_RC(sqlpool_exec(the_pool, "UPDATE t SET v = 0", SQLPOOL_NO_ARGS, &err), SQLPOOL_FORKED, &err);
    CHECK_INT(sqlpool_get_stats(the_pool, &stats), SQLPOOL_FORKED);
    CHECK_RC(sqlpool_close(the_pool, &err), SQLPOOL_FORKED, &err);
}

/*  Whatever lock another thread holds at the moment of the fork, the child must not hang on it. */
TEST(fork_while_threads_are_inside) {
    pthread_t threads[3];
    int i;
    sqlpool *pool = open_pool("inside.db", NULL, schema);
    CHECK(pool != NULL);
    the_pool = pool;
    __atomic_store_n(&stop_now, 0, __ATOMIC_RELAXED);
    for (i = 0; i < 3; i++) CHECK(start_thread(&threads[i], keep_busy, pool));
    for (i = 0; i < 15; i++) {
        sleep_ms(5);
        in_child(forked_at_once);
    }
    __atomic_store_n(&stop_now, 1, __ATOMIC_RELAXED);
    for (i = 0; i < 3; i++) CHECK_INT(pthread_join(threads[i], NULL), 0);
    close_pool(pool);
}

int main(void) {
    RUN(child_of_a_process_without_a_pool);
    RUN(child_of_a_process_with_a_pool);
    RUN(fork_while_threads_are_inside);
    return test_end();
}
