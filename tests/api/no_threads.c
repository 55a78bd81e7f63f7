/*  no_threads.c - submitted writes of a program without threads (SQLPOOL_NO_THREADS): whoever waits runs
    them, and what nobody could change while he waits is said at once.
    SPDX-License-Identifier: MIT OR Unlicense

    The library is compiled into this program. Time is the test's own: a look at the clock takes a
    microsecond, a sleep what it says. A wait that only looks at the clock until its end would be
    seen by the time it took; one without an end would never return. */
#define _GNU_SOURCE
#define SQLPOOL_NO_THREADS
#define SQLPOOL_IMPLEMENTATION
#include "callers.h"

/*  Milliseconds pass for who sleeps, or looks at the clock a thousand times. */
static sqlpool_config in_own_time(void) {
    sqlpool_config config = config_of(2);
    begin_own_time(&config);
    config.acquire_timeout_ms = 2000;
    own_time.step_ns = 1000;
    return config;
}

TEST(whoever_waits_runs_what_is_there) {
    sqlpool_config config = in_own_time();
    sqlpool *pool;
    sqlpool_ticket ticket;
    sqlpool_result result;
    int i;
    config.submit_count = 3;
    pool = open_pool("runs.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_flush(pool, SQLPOOL_FOREVER, &err), &err); /* nothing is there */
    CHECK_INT(submit_value(pool, &ticket, 1), SQLPOOL_OK);
    CHECK_RC(sqlpool_ticket_poll(&ticket, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK_OK(sqlpool_ticket_wait(&ticket, SQLPOOL_FOREVER, &result, &err), &err);
    CHECK_INT(result.changes, 1);
    for (i = 0; i < 20; i++) CHECK_INT(submit_value(pool, NULL, i), SQLPOOL_OK); /* makes room */
    CHECK_OK(sqlpool_flush(pool, SQLPOOL_FOREVER, &err), &err);
    CHECK_INT(ask(pool, COUNT_T), 21);
    CHECK_INT(submit_value(pool, NULL, 7), SQLPOOL_OK);
    CHECK_INT(sqlpool_tick(pool, 0), SQLPOOL_OK);
    CHECK_INT(ask(pool, COUNT_T), 22);
    CHECK_INT(submit_value(pool, NULL, 8), SQLPOOL_OK);
    close_pool(pool);
    CHECK_INT(ask_file("runs.db", COUNT_T), 23);
}

/*  A done_fn that submits the next one leaves as many in the queue as there were: the wait has come
    on all the same. */
static int chain_left;
static void chain_on(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    const sqlpool_submission submission = {.done_fn = chain_on, .user = user};
    (void)result;
    EXPECT_INT(error->result, SQLPOOL_OK);
    if (chain_left-- > 0)
        EXPECT_INT(sqlpool_submit_with((sqlpool *)user, &submission, NULL, INSERT,
                                       SQLPOOL_ARGS(chain_left), NULL),
                   SQLPOOL_OK);
}
TEST(a_done_that_submits_the_next) {
    sqlpool_config config = in_own_time();
    sqlpool_submission submission = {.done_fn = chain_on};
    sqlpool_ticket ticket;
    sqlpool *pool = open_pool("chain.db", &config, TABLE);
    int i;
    CHECK(pool != NULL);
    submission.user = pool;
    chain_left = 1;
    CHECK_OK(sqlpool_submit_with(pool, &submission, &ticket, INSERT, SQLPOOL_ARGS(9), &err), &err);
    CHECK_OK(sqlpool_ticket_wait(&ticket, SQLPOOL_FOREVER, NULL, &err), &err);
    CHECK_OK(sqlpool_flush(pool, SQLPOOL_FOREVER, &err), &err);
    CHECK_INT(ask(pool, COUNT_T), 2);
    chain_left = 3;
    CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(9), &err), &err);
    for (i = 3; i < 7; i++) { /* a flush waits for what was there before */
        CHECK_OK(sqlpool_flush(pool, SQLPOOL_FOREVER, &err), &err);
        CHECK_INT(ask(pool, COUNT_T), i);
    }
    CHECK_INT(stats_of(pool).submitted_now, 0);
    close_pool(pool);
}

/*  Results that nobody has fetched fill the queue: nobody else will fetch them. */
TEST(room_that_nobody_can_make) {
    static const int waits[] = {0, 1000, SQLPOOL_FOREVER, SQLPOOL_NO_WAIT};
    sqlpool_config config = in_own_time();
    sqlpool_ticket tickets[2];
    sqlpool *pool;
    int i;
    config.submit_count = 2;
    pool = open_pool("room.db", &config, TABLE);
    CHECK(pool != NULL);
    for (i = 0; i < 2; i++) CHECK_INT(submit_value(pool, &tickets[i], i), SQLPOOL_OK);
    for (i = 0; i < LENGTH(waits); i++) {
        const sqlpool_submission submission = {.wait_ms = waits[i]};
        (void)waited_ms();
        CHECK_RC(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(7), &err),
                 SQLPOOL_WOULD_BLOCK, &err);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        CHECK_HAS(err.message, waits[i] == SQLPOOL_NO_WAIT ? "sqlpool_ticket_wait" : "tickets");
        CHECK_INT(waited_ms(), 0);
    }
    CHECK_INT(sqlpool_ticket_drop(&tickets[0]), SQLPOOL_OK);
    CHECK_INT(submit_value(pool, NULL, 2), SQLPOOL_OK);
    CHECK_OK(sqlpool_ticket_wait(&tickets[1], 0, NULL, &err), &err);
    close_pool(pool);
    CHECK_INT(ask_file("room.db", COUNT_T), 3);
}

/*  Only this thread could resume the pool. */
TEST(a_pause_that_nobody_ends) {
    static const int waits[] = {0, 1000, SQLPOOL_FOREVER};
    sqlpool_config config = in_own_time();
    sqlpool_ticket ticket;
    sqlpool *pool = open_pool("pause.db", &config, TABLE);
    int i;
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_pause(pool, 0, &err), &err);
    CHECK_INT(submit_value(pool, &ticket, 1), SQLPOOL_OK);
    for (i = 0; i < LENGTH(waits); i++) {
        (void)waited_ms();
        CHECK_RC(sqlpool_ticket_wait(&ticket, waits[i], NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
        CHECK_RC(sqlpool_flush(pool, waits[i], &err), SQLPOOL_WOULD_BLOCK, &err);
        CHECK_INT(waited_ms(), 0);
    }
    CHECK_INT(sqlpool_tick(pool, 1000), SQLPOOL_OK);
    CHECK_INT(stats_of(pool).submitted_now, 1);
    CHECK_INT(sqlpool_resume(pool), SQLPOOL_OK);
    CHECK_OK(sqlpool_ticket_wait(&ticket, SQLPOOL_FOREVER, NULL, &err), &err);
    close_pool(pool);
    CHECK_INT(ask_file("pause.db", COUNT_T), 1);
}

/*  What this thread holds itself, with a log and without one. */
static void hold_and_wait(const char *path, bool has_writer) {
    sqlpool_config config = in_own_time();
    sqlpool_ticket ticket;
    sqlpool_conn writer;
    sqlpool_rows rows;
    sqlpool *pool = open_pool(path, &config, TABLE "INSERT INTO t(v) VALUES(1), (2)");
    CHECK(pool != NULL);
    if (has_writer) {
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
    } else {
        CHECK_OK(sqlpool_query(pool, &rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), &err);
        CHECK(sqlpool_rows_next(&rows));
    }
    CHECK_INT(submit_value(pool, &ticket, 3), SQLPOOL_OK);
    (void)waited_ms();
    CHECK_RC(sqlpool_ticket_wait(&ticket, SQLPOOL_FOREVER, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "no_threads.c");
    CHECK_RC(sqlpool_flush(pool, SQLPOOL_FOREVER, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_tick(pool, 1000), SQLPOOL_OK);
    CHECK_RC(sqlpool_ticket_poll(&ticket, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK_INT(waited_ms(), 0);
    if (has_writer)
        CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    else
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_OK(sqlpool_ticket_wait(&ticket, SQLPOOL_FOREVER, NULL, &err), &err);
    CHECK_INT(ask(pool, COUNT_T), 3);
    close_pool(pool);
}
TEST(what_this_thread_holds_itself) {
    PART(hold_and_wait("holds.db", true));
    PART(hold_and_wait(":memory:", true));
    PART(hold_and_wait(":memory:", false));
}

/*  Another process does end its transaction some day: for that one sleeps, as long as one was told. */
TEST(a_lock_of_another_process) {
    sqlpool_config config = in_own_time();
    sqlpool_ticket ticket;
    sqlpool *pool = open_pool("locked.db", &config, TABLE);
    sqlite3 *other = raw_open("locked.db");
    uint64_t sleeps;
    int rc;
    CHECK(pool != NULL && other != NULL);
    CHECK(raw_exec(other, "BEGIN IMMEDIATE"));
    CHECK_INT(submit_value(pool, &ticket, 1), SQLPOOL_OK);
    (void)waited_ms();
    CHECK_INT(sqlpool_tick(pool, 1000), SQLPOOL_OK);
    CHECK_INT(waited_ms(), 0);
    sleeps = own_time.sleeps;
    CHECK_RC(sqlpool_ticket_wait(&ticket, 50, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK_INT(waited_ms(), 50);
    CHECK(own_time.sleeps - sleeps >= 50); /* of a millisecond at most */
    rc = sqlpool_flush(pool, 70, &err);
    CHECK(rc == SQLPOOL_WOULD_BLOCK || rc == SQLPOOL_TIMEOUT);
    CHECK_INT(waited_ms(), 70);
    CHECK_INT(stats_of(pool).submitted_now, 1);
    CHECK(raw_exec(other, "COMMIT"));
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    CHECK_OK(sqlpool_ticket_wait(&ticket, 50, NULL, &err), &err);
    CHECK_INT(waited_ms(), 0);
    close_pool(pool);
    CHECK_INT(ask_file("locked.db", COUNT_T), 1);
}

/*  In the child of a fork the pools of the parent are not used, nor is another opened. */
TEST(children_of_a_fork) {
    sqlpool_config config = in_own_time();
    sqlpool *pool = open_pool("fork.db", &config, TABLE "INSERT INTO t(v) VALUES(1)"), *other;
    sqlpool_rows rows;
    int status = 0;
    pid_t child;
    CHECK(pool != NULL);
    other = open_pool("fork_other.db", &config, TABLE);
    CHECK(other != NULL);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        sqlpool *none = NULL;
        if (sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(2), NULL) != SQLPOOL_FORKED) exit(1);
        if (sqlpool_open(&none, "fork.db", &config, NULL) != SQLPOOL_FORKED) exit(2);
        if (sqlpool_rows_int64(&rows, 0) != 0 || sqlpool_rows_next(&rows)) exit(3);
        if (sqlpool_rows_close(&rows, NULL) != SQLPOOL_FORKED) exit(4);
        exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 1);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    close_pool(other);
    CHECK_INT(submit_value(pool, NULL, 3), SQLPOOL_OK);
    close_pool(pool);
    CHECK_INT(ask_file("fork.db", COUNT_T), 2);
}

TEST(backup_and_restore) {
    sqlpool_config config = config_of(1);
    sqlpool *pool = open_pool("backup.db", &config, "CREATE TABLE t(v); INSERT INTO t VALUES(1)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_backup(pool, "backup.bak", NULL, NULL, NULL, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_restore(pool, "backup.bak", NULL, NULL, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
}

int main(void) {
    RUN(whoever_waits_runs_what_is_there);
    RUN(a_done_that_submits_the_next);
    RUN(room_that_nobody_can_make);
    RUN(a_pause_that_nobody_ends);
    RUN(what_this_thread_holds_itself);
    RUN(a_lock_of_another_process);
    RUN(children_of_a_fork);
    RUN(backup_and_restore);
    return test_end();
}
