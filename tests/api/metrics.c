/*  metrics.c - black box: what a pool says of itself on real time, beside threads that work (D13.2).
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#include "api.h"

#define NS_PER_MS INT64_C(1000000)

static int64_t now_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_nsec;
}
static void napping(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    sleep_ms(sqlite3_value_int(values[0]));
    sqlite3_result_int(context, 1);
}
static int add_nap(void *user, const sqlpool_conn *conn) {
    (void)user;
    return add_function(conn, "nap", 1, napping);
}
static sqlpool *open_with(const char *path, sqlpool_config *config) {
    sqlpool_error error;
    sqlpool *pool;
    config->events.connect_fn = add_nap;
    if (sqlpool_open(&pool, path, config, &error) != SQLPOOL_OK ||
        sqlpool_script(pool, "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, a)", -1, &error) != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "open: %s", error.message);
        return NULL;
    }
    return pool;
}

/*  A statement that sleeps takes at least as long as its sleep and at most as long as its call. */
TEST(time_is_the_clocks) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_latency latency, hold;
    sqlpool_statement_stats kinds[8];
    sqlpool_event events[8];
    sqlpool_error error;
    sqlpool *pool = open_with("time.db", &config);
    int64_t value, start, end;
    int count;
    CHECK(pool != NULL);
    start = now_ns();
    CHECK_OK(sqlpool_query_int64(pool, &value, "SELECT nap(60)", SQLPOOL_NO_ARGS, &error), &error);
    end = now_ns();
    CHECK_INT(sqlpool_get_latency(pool, SQLPOOL_TIMING_STATEMENT, 0, &latency), SQLPOOL_OK);
    CHECK_INT(sqlpool_get_latency(pool, SQLPOOL_TIMING_HOLD, 0, &hold), SQLPOOL_OK);
    CHECK(latency.max_ns >= 59 * NS_PER_MS && (double)latency.max_ns <= 1.02 * (double)(end - start));
    if (hold.max_ns < 59 * NS_PER_MS || (double)hold.max_ns > 1.02 * (double)(end - start))
        test_fail(__FILE__, __LINE__, "held for %lld ns, in a call of %lld", (long long)hold.max_ns,
                  (long long)(end - start));
    CHECK(sqlpool_get_statements(pool, SQLPOOL_BY_MEAN, kinds, 8) >= 1);
    CHECK_STR(kinds[0].sql, "select nap(?)");
    CHECK(kinds[0].p50_ns >= 58 * NS_PER_MS && (double)kinds[0].p50_ns <= 1.04 * (double)(end - start));
    CHECK(kinds[0].last_ns >= start && kinds[0].last_ns <= end + 5 * NS_PER_MS);
    count = sqlpool_get_events(pool, events, 8);
    CHECK(count > 0);
    CHECK_INT(events[count - 1].kind, SQLPOOL_EVENT_STATEMENT);
    CHECK(events[count - 1].at_ns >= start - 5 * NS_PER_MS && events[count - 1].at_ns <= end);
    CHECK_INT(sqlpool_close(pool, &error), SQLPOOL_OK);
}

typedef struct waiting {
    sqlpool *pool;
    int result;
} waiting;
static void *want_writer(void *argument) {
    waiting *w = (waiting *)argument;
    sqlpool_call call = {0};
    sqlpool_conn conn;
    sqlpool_error error;
    call.timeout_ms = w->result;
    w->result = sqlpool_conn_acquire_with(w->pool, SQLPOOL_WRITE, &call, &conn, &error);
    if (w->result == SQLPOOL_OK) (void)sqlpool_conn_release(&conn);
    return NULL;
}
static void wait_until_one_waits(sqlpool *pool) {
    sqlpool_stats stats;
    do {
        sleep_ms(1);
        (void)sqlpool_get_stats(pool, &stats);
    } while (stats.waiting_write == 0);
}
TEST(a_wait_is_timed_and_told_apart) {
    static sqlpool_event events[200];
    sqlpool_config config = sqlpool_config_default();
    sqlpool_latency latency;
    sqlpool_error error;
    sqlpool_conn conn;
    sqlpool *pool = open_with("wait.db", &config);
    waiting w = {pool, 60000};
    pthread_t thread;
    int count, i, waits = 0, failed = 0;
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &error), &error);
    CHECK_INT(pthread_create(&thread, NULL, want_writer, &w), 0);
    wait_until_one_waits(pool);
    sleep_ms(30);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(w.result, SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &error), &error);
    w.result = 1; /* a millisecond */
    CHECK_INT(pthread_create(&thread, NULL, want_writer, &w), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(w.result, SQLPOOL_TIMEOUT);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(sqlpool_get_latency(pool, SQLPOOL_TIMING_WAIT, 0, &latency), SQLPOOL_OK);
    CHECK_INT(latency.count, 5); /* of the script and this thread's, at once; two that waited */
    CHECK_INT(latency.p50_ns, 0);
    CHECK(latency.max_ns >= 29 * NS_PER_MS);
    count = sqlpool_get_events(pool, events, 200);
    for (i = 0; i < count; i++) {
        if (events[i].kind != SQLPOOL_EVENT_WAIT) continue;
        waits++;
        CHECK_INT(events[i].cause, SQLPOOL_WRITE);
        if (events[i].result == SQLPOOL_OK) {
            CHECK(events[i].slot == 0 && events[i].duration_ns >= 29 * NS_PER_MS);
        } else {
            CHECK_INT(events[i].result, SQLPOOL_TIMEOUT);
            CHECK_INT(events[i].slot, -1);
            failed++;
        }
    }
    CHECK_INT(waits, 2);
    CHECK_INT(failed, 1);
    CHECK_INT(sqlpool_close(pool, &error), SQLPOOL_OK);
}

/*  Another connection holds the write lock for a while. */
TEST(a_lock_of_another_connection_is_busy_time) {
    static sqlpool_event events[200];
    sqlpool_config config = sqlpool_config_default();
    sqlpool_latency latency;
    sqlpool_statement_stats kinds[8];
    sqlpool_error error;
    sqlpool_call call = {0};
    sqlite3 *other;
    sqlpool *pool;
    int count, i, busy = 0;
    config.retry_attempts = 1;
    pool = open_with("busy.db", &config);
    CHECK(pool != NULL);
    CHECK_INT(sqlite3_open("busy.db", &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    call.timeout_ms = 40;
    CHECK_RC(sqlpool_exec_with(pool, &call, NULL, "INSERT INTO t(a) VALUES(1)", SQLPOOL_NO_ARGS, &error),
             SQLPOOL_TIMEOUT, &error);
    CHECK_INT(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    CHECK_INT(sqlpool_get_latency(pool, SQLPOOL_TIMING_BUSY, 0, &latency), SQLPOOL_OK);
    CHECK_INT(latency.count, 1); /* all sleeps of the one statement */
    CHECK(latency.max_ns > 0);
    count = sqlpool_get_statements(pool, SQLPOOL_BY_MEAN, kinds, 8);
    for (i = 0; i < count; i++) {
        if (strncmp(kinds[i].sql, "insert", 6) != 0) continue;
        busy++;
        CHECK_INT(kinds[i].busy, 1);
        CHECK_INT(kinds[i].errors, 1);
    }
    CHECK_INT(busy, 1);
    count = sqlpool_get_events(pool, events, 200);
    for (i = 0, busy = 0; i < count; i++) busy += events[i].kind == SQLPOOL_EVENT_BUSY && events[i].cause > 1;
    CHECK_INT(busy, 1);
    CHECK_INT(sqlpool_close(pool, &error), SQLPOOL_OK);
}

/*---- readers of the figures beside writers of them ----*/

enum { WORKERS = 3, ROUNDS = 1500 };
static int workers_left;
static const char *const kinds_run[] = {"SELECT a FROM t WHERE id = ?", "SELECT count(*) FROM t WHERE a = ?",
                                        "INSERT INTO t(a) VALUES(?)", "SELECT max(id) + ? FROM t"};
static void *work(void *argument) {
    sqlpool *pool = (sqlpool *)argument;
    char sql[100];
    int i;
    for (i = 0; i < ROUNDS; i++) {
        int64_t value;
        sqlpool_conn conn;
        if (sqlpool_exec(pool, kinds_run[i % 4], SQLPOOL_ARGS(i), NULL) != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "exec");
        if (i % 10 == 0 && sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, NULL) == SQLPOOL_OK) {
            (void)sqlpool_conn_exec(&conn, kinds_run[0], SQLPOOL_ARGS(i), NULL, NULL);
            (void)sqlpool_conn_release(&conn);
        }
        if (i % 10 == 1) { /* kinds come and go */
            (void)snprintf(sql, sizeof sql, "SELECT %d AS name%d", i, i % 300);
            (void)sqlpool_query_int64(pool, &value, sql, SQLPOOL_NO_ARGS, NULL);
        }
    }
    __atomic_fetch_sub(&workers_left, 1, __ATOMIC_SEQ_CST);
    return NULL;
}
TEST(figures_are_sound_while_the_pool_works) {
    enum { EVENTS = 700, KINDS = 64 };
    static sqlpool_event events[EVENTS];
    static sqlpool_statement_stats kinds[KINDS];
    sqlpool_config config = sqlpool_config_default();
    pthread_t threads[WORKERS];
    sqlpool_error error;
    sqlpool_latency latency;
    sqlpool_stats stats;
    sqlpool *pool;
    uint64_t calls = 0, before = 0;
    int i, k, count, looks = 0;
    config.event_count = 64;
    config.statement_count = 20;
    config.slow_ms = SQLPOOL_OFF;
    pool = open_with("beside.db", &config);
    CHECK(pool != NULL);
    workers_left = WORKERS;
    for (i = 0; i < WORKERS; i++) CHECK_INT(pthread_create(&threads[i], NULL, work, pool), 0);
    while (__atomic_load_n(&workers_left, __ATOMIC_SEQ_CST) > 0) {
        looks++;
        count = sqlpool_get_events(pool, events, EVENTS);
        CHECK(count >= 0 && count <= EVENTS);
        for (i = 0; i < count; i++) {
            const sqlpool_event *e = &events[i];
            CHECK(e->kind >= 0 && e->kind < SQLPOOL_EVENT_KIND_COUNT);
            CHECK(e->slot >= -1 && e->slot < 13);
            CHECK(e->duration_ns >= 0 && e->duration_ns < 100000 * NS_PER_MS);
            CHECK(e->result == SQLPOOL_OK);
            if (i > 0)
                CHECK(e->at_ns + e->duration_ns + 100 >= events[i - 1].at_ns + events[i - 1].duration_ns);
        }
        count = sqlpool_get_statements(pool, SQLPOOL_BY_CALLS, kinds, KINDS);
        CHECK(count <= 20);
        for (i = 0; i < count; i++) {
            CHECK(kinds[i].fingerprint == sqlpool_fingerprint(kinds[i].sql, NULL, 0) ||
                  strstr(kinds[i].sql, "?...") != NULL);
            CHECK(kinds[i].calls <= (uint64_t)WORKERS * ROUNDS);
            CHECK(kinds[i].min_ns <= kinds[i].max_ns && kinds[i].p50_ns <= kinds[i].p99_ns);
        }
        CHECK_INT(sqlpool_get_latency(pool, SQLPOOL_TIMING_STATEMENT, 0, &latency), SQLPOOL_OK);
        CHECK(latency.count >= before && latency.p50_ns <= latency.p999_ns);
        before = latency.count;
    }
    for (i = 0; i < WORKERS; i++) CHECK_INT(pthread_join(threads[i], NULL), 0);
    /* nothing was lost: what was called often stayed in the table, and all was counted */
    count = sqlpool_get_statements(pool, SQLPOOL_BY_CALLS, kinds, KINDS);
    for (k = 0; k < 4; k++) {
        const uint64_t fingerprint = sqlpool_fingerprint(kinds_run[k], NULL, 0);
        for (i = 0; i < count && kinds[i].fingerprint != fingerprint; i++) {
        }
        CHECK(i < count);
        calls += kinds[i].calls;
    }
    CHECK(calls <= (uint64_t)WORKERS * (ROUNDS + ROUNDS / 10));
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(sqlpool_get_latency(pool, SQLPOOL_TIMING_STATEMENT, 0, &latency), SQLPOOL_OK);
    CHECK_INT(latency.count + stats.errors, stats.statements);
    CHECK_INT(sqlpool_get_latency(pool, SQLPOOL_TIMING_COMMIT, 0, &latency), SQLPOOL_OK);
    CHECK(latency.count > 0 && latency.count <= (uint64_t)WORKERS * ROUNDS);
    printf("# %d looks\n", looks);
    CHECK_INT(sqlpool_close(pool, &error), SQLPOOL_OK);
}

/*  A log hook that asks the pool about itself. */
static sqlpool *asked;
static int answers;
static void ask_in_hook(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    sqlpool_statement_stats kind;
    sqlpool_latency latency;
    sqlpool_event event;
    (void)user;
    (void)level;
    (void)message;
    if (item != SQLPOOL_LOG_SLOW) return;
    if (sqlpool_get_statements(asked, SQLPOOL_BY_TOTAL, &kind, 1) >= 1 &&
        sqlpool_get_latency(asked, SQLPOOL_TIMING_STATEMENT, 0, &latency) == SQLPOOL_OK &&
        sqlpool_get_events(asked, &event, 1) == 1)
        answers++;
}
TEST(a_hook_may_ask_for_figures) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_error error;
    config.slow_ms = 5;
    config.log.write_fn = ask_in_hook;
    asked = open_with("hook.db", &config);
    CHECK(asked != NULL);
    CHECK_OK(sqlpool_exec(asked, "SELECT nap(6)", SQLPOOL_NO_ARGS, &error), &error);
    CHECK(answers >= 1);
    CHECK_INT(sqlpool_close(asked, &error), SQLPOOL_OK);
}

int main(void) {
    RUN(time_is_the_clocks);
    RUN(a_wait_is_timed_and_told_apart);
    RUN(a_lock_of_another_connection_is_busy_time);
    RUN(figures_are_sound_while_the_pool_works);
    RUN(a_hook_may_ask_for_figures);
    return test_end();
}
