/*  breaker.c - white box: the circuit breakers of reads and writes (I14.4), on one thread and
    virtual time. SPDX-License-Identifier: MIT OR Unlicense

    The SQL function fail(v) fails with a code that the test sets, so that every code of SQLite can
    be had anywhere; those that a disk gives come from the simulator's as well. look() sees what a
    call sees that is inside. The last tests compare thousands of random events with a small
    model. */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "unit.h"

#ifndef SQLITE_CORRUPT_INDEX /* before SQLite 3.33 */
#define SQLITE_CORRUPT_INDEX (SQLITE_CORRUPT | (3 << 8))
#endif

#include <fcntl.h>

enum { CLOSED, OPEN, TRYING };

/*---- the function that fails, and who watches ----*/

static int fail_code; /* of fail(); 0: it gives its argument back */
static int fail_runs;
static int page_limit; /* of connections opened from now on */
static int connect_code; /* opening fails with it */
static sqlpool *look_at;
static sqlpool_stats looked;
static char looked_text[4096];

static void fail_function(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    fail_runs++;
    if (fail_code == SQLITE_NOMEM) {
        sqlite3_result_error_nomem(context);
    } else if (fail_code != SQLITE_OK) {
        sqlite3_result_error_code(context, fail_code);
    } else {
        sqlite3_result_value(context, values[0]);
    }
}
static void look_function(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count, (void)values;
    (void)sqlpool_get_stats(look_at, &looked);
    (void)sqlpool_status_text(look_at, looked_text, sizeof looked_text);
    sqlite3_result_int(context, 1);
}
static int on_connect(void *user, const sqlpool_conn *conn) {
    sqlpool_conn own = *conn;
    sqlite3 *db = sqlpool_conn_db(&own);
    char sql[60];
    (void)user;
    if (connect_code != SQLITE_OK) return connect_code;
    (void)snprintf(sql, sizeof sql, "PRAGMA max_page_count = %d", page_limit);
    if (page_limit != 0) (void)sqlite3_exec(db, sql, NULL, NULL, NULL);
    (void)sqlite3_create_function(db, "look", 0, SQLITE_UTF8, NULL, look_function, NULL, NULL);
    return sqlite3_create_function(db, "fail", 1, SQLITE_UTF8, NULL, fail_function, NULL, NULL);
}

enum { MOST = 64 };
static struct {
    int count;
    int modes[MOST], states[MOST], codes[MOST];
} told; /* by breaker_fn */

static void on_breaker(void *user, int mode, int state, int code) {
    const int at = told.count++ % MOST;
    (void)user;
    told.modes[at] = mode;
    told.states[at] = state;
    told.codes[at] = code;
}
/*  The last event was this one, and it was number `count`. */
static void check_told(int count, int mode, int state, int code) {
    const int at = (told.count + MOST - 1) % MOST;
    CHECK_INT(told.count, count);
    CHECK_INT(told.modes[at], mode);
    CHECK_INT(told.states[at], state);
    CHECK_INT(told.codes[at], code);
}

/*---- pools ----*/

#define TABLE "CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)"
#define INSERT "INSERT INTO t(v) VALUES(fail(?))"
#define READ "SELECT fail(1)"
#define COUNT "SELECT count(*) FROM t"

static sqlpool_config breaker_config(unit_pool *u, int readers) {
    sqlpool_config config = unit_config(u, readers);
    config.name = "bp";
    config.retry_attempts = 1;
    config.events.connect_fn = on_connect;
    config.events.breaker_fn = on_breaker;
    memset(&told, 0, sizeof told);
    fail_code = connect_code = SQLITE_OK;
    page_limit = 0;
    return config;
}
static void breaker_open(unit_pool *u, const char *path, const sqlpool_config *config,
                         const char *script) {
    sim_vfs_heal();
    sim_remove_database(path);
    unit_open(u, path, config);
    if (u->core == NULL) return;
    look_at = u->pool;
    u->core->is_corrupt = true; /* what fail() says is taken for the file's word */
    u->core->corrupt_ns = INT64_MAX / 2;
    if (script != NULL && unit_script(u, script) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "script: %s", u->error.message);
}
/*  One reader, the table, and nothing set but the VFS (NULL: the machine's own). */
static void breaker_begin(unit_pool *u, const char *vfs_name, const char *path) {
    sqlpool_config config = breaker_config(u, 1);
    config.vfs_name = vfs_name;
    breaker_open(u, path, &config, TABLE);
}
static sqlpool_stats stats_of(unit_pool *u) {
    sqlpool_stats stats;
    memset(&stats, 0, sizeof stats);
    if (sqlpool_get_stats(u->pool, &stats) != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "no stats");
    return stats;
}
static int state_of(unit_pool *u, int mode) {
    const sqlpool_stats stats = stats_of(u);
    return mode == SQLPOOL_WRITE ? stats.breaker_write : stats.breaker_read;
}
static void later(unit_pool *u, int64_t ms) {
    sim_clock_advance(&u->clock, ms * MS);
}

/*  A write, or a read, that ends with this code. */
static int write_with(unit_pool *u, int code) {
    static int value;
    int rc;
    fail_code = code;
    rc = sqlpool_exec(u->pool, INSERT, SQLPOOL_ARGS(++value), &u->error);
    fail_code = SQLITE_OK;
    return rc;
}
static int read_with(unit_pool *u, int code) {
    int rc;
    fail_code = code;
    rc = unit_exec(u, READ);
    fail_code = SQLITE_OK;
    return rc;
}
static void writes_go_well(unit_pool *u) {
    CHECK_OK(write_with(u, 0), &u->error);
    CHECK_INT(u->error.outcome, SQLPOOL_OUTCOME_COMMITTED);
}
static void reads_go_well(unit_pool *u) {
    CHECK_OK(read_with(u, 0), &u->error);
}
/*  So many of them fail with that code, one after the other. */
static void writes_fail(unit_pool *u, int code, int count) {
    while (count-- > 0) CHECK_INT(write_with(u, code), code);
}
static void reads_fail(unit_pool *u, int code, int count) {
    while (count-- > 0) CHECK_INT(read_with(u, code), code);
}
/*  A write fails so, which opens: event number `event`. */
static void a_write_opens(unit_pool *u, int code, int event) {
    PART(writes_fail(u, code, 1));
    PART(check_told(event, SQLPOOL_WRITE, 1, code));
}
/*  So much later one that goes well closes: event number `event`. */
static void closes_after(unit_pool *u, int64_t ms, int mode, int event) {
    later(u, ms);
    if (mode == SQLPOOL_WRITE)
        PART(writes_go_well(u));
    else
        PART(reads_go_well(u));
    PART(check_told(event, mode, 0, SQLITE_OK));
}
static void check_states(unit_pool *u, int reads, int writes) {
    CHECK_INT(state_of(u, SQLPOOL_READ), reads);
    CHECK_INT(state_of(u, SQLPOOL_WRITE), writes);
}

/*  The call was refused by the breaker: its error has the cause and when the next try is. */
static void check_refusal(unit_pool *u, int rc, int mode, int code, const char *cause, int since_ms,
                          int next_ms) {
    char part[100];
    CHECK_INT(rc, code);
    CHECK_INT(u->error.result, code);
    CHECK_INT(u->error.sqlite_code, code);
    (void)snprintf(part, sizeof part, "not tried: %s of bp fail at once for %d ms now, since: ",
                   mode == SQLPOOL_WRITE ? "writes" : "reads", since_ms);
    CHECK_HAS(u->error.message, part);
    CHECK_HAS(u->error.message, cause);
    (void)snprintf(part, sizeof part, "; the next try is in %d ms", next_ms);
    CHECK_HAS(u->error.message, part);
}
/*  A write now is refused for that code: no SQL runs, the disk is not touched. */
static void writes_are_refused(unit_pool *u, int code) {
    const uint64_t refusals = stats_of(u).breaker_refusals, calls = sim_vfs.calls;
    const int runs = fail_runs, errors = u->log.errors;
    const int rc = write_with(u, 0);
    if (rc != code || u->error.result != code || u->error.sqlite_code != code ||
        u->error.outcome != SQLPOOL_OUTCOME_NOT_COMMITTED ||
        strncmp(u->error.message, "not tried: writes of bp fail at once", 36) != 0 ||
        stats_of(u).breaker_refusals != refusals + 1 || fail_runs != runs ||
        sim_vfs.calls != calls || u->log.errors != errors + 1 || u->log.last_error != code)
        test_fail(__FILE__, __LINE__,
                  "expected a refusal with %d: %d, outcome %d, %d runs, %d calls of the disk: %s",
                  code, rc, u->error.outcome, fail_runs - runs, (int)(sim_vfs.calls - calls),
                  u->error.message);
}
static void reads_are_refused(unit_pool *u, int code) {
    const uint64_t refusals = stats_of(u).breaker_refusals, calls = sim_vfs.calls;
    const int runs = fail_runs;
    const int rc = read_with(u, 0);
    if (rc != code || u->error.result != code || u->error.sqlite_code != code ||
        u->error.outcome != SQLPOOL_OUTCOME_NONE ||
        strncmp(u->error.message, "not tried: reads of bp fail at once", 35) != 0 ||
        stats_of(u).breaker_refusals != refusals + 1 || fail_runs != runs || sim_vfs.calls != calls)
        test_fail(__FILE__, __LINE__, "expected a refusal with %d: %d, %d runs: %s", code, rc,
                  fail_runs - runs, u->error.message);
}

/*---- the first failure of a write ----*/

static const int plain_codes[] = {SQLITE_FULL,       SQLITE_READONLY,    SQLITE_READONLY_ROLLBACK,
                                  SQLITE_IOERR,      SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC,
                                  SQLITE_IOERR_READ, SQLITE_CORRUPT,     SQLITE_CORRUPT_INDEX,
                                  SQLITE_NOTADB};

TEST(the_first_failure_opens) {
    size_t i;
    for (i = 0; i < LENGTH(plain_codes); i++) {
        const int code = plain_codes[i];
        unit_pool u;
        char text[8192], part[100];
        int k;
        PART(breaker_begin(&u, "sim", "first.db"));
        CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
        CHECK(sqlpool_status_text(u.pool, text, sizeof text) > 0);
        CHECK(strstr(text, "breaker      ") == NULL);
        CHECK_INT(write_with(&u, code), code);
        CHECK_INT(u.error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        PART(check_told(1, SQLPOOL_WRITE, 1, code));
        CHECK_INT(u.log.counts[SQLPOOL_LOG_BREAKER], 1);
        CHECK_HAS(u.log.last[SQLPOOL_LOG_BREAKER],
                  "writes fail at once, one every 1000 ms tries: ");
        CHECK_HAS(u.log.last[SQLPOOL_LOG_BREAKER], sqlpool_result_name(code));
        PART(check_states(&u, CLOSED, OPEN));
        CHECK_INT(stats_of(&u).breaker_opens, 1);
        for (k = 0; k < 5; k++) {
            PART(writes_are_refused(&u, code));
            PART(reads_go_well(&u)); /* they go on */
            later(&u, 100);
        }
        PART(check_refusal(&u, write_with(&u, 0), SQLPOOL_WRITE, code, sqlpool_result_name(code),
                           500, 500));
        (void)sqlpool_status_text(u.pool, text, sizeof text);
        CHECK_HAS(text, "breaker      writes fail at once for 500 ms, none tries: ");
        (void)snprintf(part, sizeof part, "(%s %d)", sqlpool_result_name(code), code);
        CHECK_HAS(text, part);
        CHECK_HAS(text, "\nbreaker_opens                   1  ");
        (void)sqlpool_status_json(u.pool, text, sizeof text);
        CHECK_HAS(text, "\"breaker_read\":0,\"breaker_write\":1,");
        CHECK_HAS(text, "\"breaker_opens\":1,\"breaker_refusals\":6,");
        later(&u, 499);
        PART(writes_are_refused(&u, code));
        later(&u, 1); /* the period is over: the next call tries, and goes well */
        CHECK_OK(unit_exec(&u, "INSERT INTO t(v) VALUES(look() + 10000000)"), &u.error);
        CHECK_INT(looked.breaker_write, TRYING);
        CHECK_HAS(looked_text, "breaker      writes fail at once for 1000 ms, one tries: ");
        PART(check_told(2, SQLPOOL_WRITE, 0, SQLITE_OK));
        CHECK_INT(u.log.counts[SQLPOOL_LOG_BREAKER], 2);
        CHECK_HAS(u.log.last[SQLPOOL_LOG_BREAKER], "writes go well again");
        CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
        CHECK_INT(stats_of(&u).breaker_opens, 1);
        CHECK_INT(stats_of(&u).breaker_refusals, 7);
        PART(writes_go_well(&u));
        (void)sqlpool_status_text(u.pool, text, sizeof text);
        CHECK(strstr(text, "breaker      ") == NULL);
        (void)sqlpool_status_json(u.pool, text, sizeof text);
        CHECK_HAS(text, "\"breaker_read\":0,\"breaker_write\":0,");
        unit_close(&u);
    }
}

/*  A trial that fails opens it for another period, and its cause is the new one. */
TEST(a_trial_that_fails_opens_again) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int period;
    config.vfs_name = "sim";
    config.breaker_open_ms = 70;
    PART(breaker_open(&u, "again.db", &config, TABLE));
    CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL);
    for (period = 0; period < 10; period++) {
        const int code = plain_codes[(size_t)period % LENGTH(plain_codes)];
        PART(writes_are_refused(&u, period == 0
                                        ? SQLITE_FULL
                                        : plain_codes[(size_t)(period - 1) % LENGTH(plain_codes)]));
        later(&u, 70);
        fail_runs = 0;
        CHECK_INT(write_with(&u, code), code);
        CHECK_INT(fail_runs, 1);
        CHECK_INT(state_of(&u, SQLPOOL_WRITE), OPEN);
        PART(check_refusal(&u, write_with(&u, 0), SQLPOOL_WRITE, code, sqlpool_result_name(code),
                           70 * (period + 1), 70));
    }
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_FULL)); /* told once: it never closed */
    CHECK_INT(stats_of(&u).breaker_opens, 1);
    PART(closes_after(&u, 70, SQLPOOL_WRITE, 2));
    PART(a_write_opens(&u, SQLITE_IOERR, 3));
    CHECK_INT(stats_of(&u).breaker_opens, 2);
    unit_close(&u);
}

/*  A trial that says nothing of the disk (a constraint, a wait that was too long) leaves it open;
    the next one is a period later. */
TEST(a_trial_that_tells_nothing_leaves_it_open) {
    unit_pool u;
    const sqlpool_call call = unit_call(300);
    sqlpool_conn conn;
    int i;
    PART(breaker_begin(&u, "sim", "nothing.db"));
    CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL);
    for (i = 0; i < 3; i++) {
        later(&u, 1000);
        CHECK_INT(unit_exec(&u, "INSERT INTO t(id) VALUES('x')"), SQLITE_MISMATCH);
        CHECK_INT(state_of(&u, SQLPOOL_WRITE), TRYING);
        PART(writes_are_refused(&u, SQLITE_FULL));
        later(&u, 999);
        PART(writes_are_refused(&u, SQLITE_FULL));
        later(&u, 1);
        CHECK_INT(unit_exec(&u, "INSERT INTO nothing VALUES(1)"), SQLITE_ERROR);
        CHECK_INT(state_of(&u, SQLPOOL_WRITE), TRYING);
        PART(writes_are_refused(&u, SQLITE_FULL));
    }
    later(&u, 1000);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_OK(unit_exec_on(&u, &conn, "SELECT 1"), &u.error);
    CHECK_OK(sqlpool_conn_release(&conn), &u.error); /* it has written nothing */
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), TRYING);
    PART(writes_are_refused(&u, SQLITE_FULL));
    later(&u, 1000);
    CHECK_OK(sqlpool_pause(u.pool, 0, &u.error), &u.error);
    CHECK_INT(sqlpool_exec_with(u.pool, &call, NULL, INSERT, SQLPOOL_ARGS(0), &u.error),
              SQLPOOL_TIMEOUT);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), TRYING);
    PART(writes_are_refused(&u, SQLITE_FULL)); /* at once, also while the pool is paused */
    CHECK_OK(sqlpool_resume(u.pool), &u.error);
    PART(writes_are_refused(&u, SQLITE_FULL));
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_FULL));
    PART(closes_after(&u, 700, SQLPOOL_WRITE, 2)); /* since that try began */
    unit_close(&u);
}

/*---- every way to write is refused ----*/

static int insert_one(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, "INSERT INTO t(v) VALUES(fail(random()))", SQLPOOL_NO_ARGS, NULL,
                             NULL);
}
/*  One of a lease, that ends with this code. */
static int insert_with(sqlpool_conn *conn, int code) {
    int rc;
    fail_code = code;
    rc = insert_one(conn, NULL, 1);
    fail_code = SQLITE_OK;
    return rc;
}
static struct {
    int count, result, sqlite_code, outcome;
    char message[1024];
} done[8];
static void on_done(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    const int at = (int)(intptr_t)user;
    (void)result;
    done[at].count++;
    done[at].result = error->result;
    done[at].sqlite_code = error->sqlite_code;
    done[at].outcome = error->outcome;
    memcpy(done[at].message, error->message, sizeof done[at].message);
}
static sqlpool_submission told_to(int at) {
    sqlpool_submission submission;
    memset(&submission, 0, sizeof submission);
    submission.done_fn = on_done;
    submission.user = (void *)(intptr_t)at;
    return submission;
}
static int submit_at(unit_pool *u, int at, const char *sql, int value) {
    const sqlpool_submission submission = told_to(at);
    return sqlpool_submit_with(u->pool, &submission, NULL, sql, SQLPOOL_ARGS(value), &u->error);
}
static sqlpool_bulk_config bulk_config(void) {
    static const char *const columns[] = {"v"};
    sqlpool_bulk_config config;
    memset(&config, 0, sizeof config);
    config.table = "t";
    config.columns = columns;
    config.column_count = 1;
    return config;
}

enum { W_EXEC, W_QUERY, W_VALUE, W_SCRIPT, W_TRANSACTION, W_WRITE, W_LEASE, W_BULK_BEGIN, W_SUBMIT,
       W_SUBMIT_WRITE, W_TICKET, W_CTE, WAYS };

static int write_by(unit_pool *u, int way) {
    sqlpool_rows rows;
    sqlpool_conn conn;
    sqlpool_ticket ticket;
    sqlpool_submission submission = told_to(0);
    sqlpool_bulk_config bulk = bulk_config();
    sqlpool_bulk *load = NULL;
    sqlpool_error other;
    int64_t value;
    int rc;
    switch (way) {
    case W_EXEC:
        return unit_exec(u, "INSERT INTO t(v) VALUES(fail(random()))");
    case W_QUERY:
        rc = sqlpool_query(u->pool, &rows, "INSERT INTO t(v) VALUES(fail(random())) RETURNING v",
                           SQLPOOL_NO_ARGS, &u->error);
        memset(&other, 0x5a, sizeof other);
        if (sqlpool_rows_close(&rows, &other) != rc) return -1000;
        return rc;
    case W_VALUE:
        return sqlpool_query_int64(u->pool, &value,
                                   "INSERT INTO t(v) VALUES(fail(random())) RETURNING v",
                                   SQLPOOL_NO_ARGS, &u->error);
    case W_SCRIPT:
        return unit_script(u, "DELETE FROM t; INSERT INTO t(v) VALUES(fail(random()))");
    case W_TRANSACTION:
        return sqlpool_transaction(u->pool, SQLPOOL_WRITE, insert_one, NULL, &u->error);
    case W_WRITE:
        return sqlpool_write(u->pool, insert_one, NULL, &u->error);
    case W_LEASE:
        rc = sqlpool_conn_acquire(u->pool, SQLPOOL_WRITE, &conn, &u->error);
        if (rc != SQLPOOL_OK) return rc;
        rc = insert_one(&conn, NULL, 1);
        (void)sqlpool_conn_release(&conn);
        return rc;
    case W_BULK_BEGIN:
        rc = sqlpool_bulk_begin(u->pool, &bulk, &load, &u->error);
        if (rc == SQLPOOL_OK) (void)sqlpool_bulk_abandon(load, NULL);
        return rc;
    case W_SUBMIT:
    case W_SUBMIT_WRITE:
        done[0].count = 0;
        rc = way == W_SUBMIT
                 ? sqlpool_submit_with(u->pool, &submission, NULL,
                                       "INSERT INTO t(v) VALUES(fail(random()))", SQLPOOL_NO_ARGS,
                                       &u->error)
                 : sqlpool_submit_write(u->pool, &submission, NULL, insert_one, NULL, &u->error);
        if (rc != SQLPOOL_OK || sqlpool_flush(u->pool, 0, &other) != SQLPOOL_OK ||
            done[0].count != 1)
            return -1000;
        u->error.result = done[0].result;
        u->error.sqlite_code = done[0].sqlite_code;
        u->error.outcome = done[0].outcome;
        memcpy(u->error.message, done[0].message, sizeof u->error.message);
        return done[0].result;
    case W_TICKET:
        if (sqlpool_submit(u->pool, &ticket, "INSERT INTO t(v) VALUES(fail(random()))",
                           SQLPOOL_NO_ARGS, &u->error) != SQLPOOL_OK)
            return -1000;
        return sqlpool_ticket_wait(&ticket, 0, NULL, &u->error);
    default:
        return unit_exec(u,
                         "WITH x(a) AS (VALUES(1)) INSERT INTO t(v) SELECT fail(random()) FROM x");
    }
}

/*  Each way fails by itself and opens; each is refused then, with cause, and nothing runs. */
static void every_way_with(int code) {
    int first, way;
    for (first = 0; first < WAYS; first++) {
        unit_pool u;
        if (first == W_BULK_BEGIN) continue; /* runs no statement */
        PART(breaker_begin(&u, "sim", "ways.db"));
        PART(writes_go_well(&u));
        fail_code = code;
        CHECK_INT(write_by(&u, first), code);
        fail_code = SQLITE_OK;
        if (state_of(&u, SQLPOOL_WRITE) != OPEN) {
            test_fail(__FILE__, __LINE__, "way %d did not open with %s", first,
                      sqlpool_result_name(code));
            return;
        }
        for (way = 0; way < WAYS; way++) {
            const uint64_t calls = sim_vfs.calls;
            fail_runs = 0;
            PART(check_refusal(&u, write_by(&u, way), SQLPOOL_WRITE, code,
                               sqlpool_result_name(code), 0, 1000));
            if (way != W_LEASE && way != W_BULK_BEGIN && way != W_TRANSACTION)
                CHECK_INT(u.error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
            CHECK_INT(fail_runs, 0);
            if (sim_vfs.calls != calls)
                test_fail(__FILE__, __LINE__, "way %d touched the disk", way);
        }
        CHECK_INT(state_of(&u, SQLPOOL_WRITE), OPEN);
        CHECK_INT(told.count, 1);
        later(&u, 1000);
        CHECK_OK(write_by(&u, first), &u.error); /* each is good for the trial */
        CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
        CHECK_INT(told.count, 2);
        unit_close(&u);
    }
}

TEST(every_way_to_write) {
    every_way_with(SQLITE_FULL);
}
TEST(every_way_to_write_with_an_io_error) {
    every_way_with(SQLITE_IOERR_WRITE);
}
/*  These leave the transaction open: of a group nothing is committed all the same. */
TEST(every_way_to_write_into_a_corrupt_file) {
    every_way_with(SQLITE_CORRUPT);
}
TEST(every_way_to_write_into_a_readonly_file) {
    every_way_with(SQLITE_READONLY);
}

/*  A trial in a group that fails so does not close. */
TEST(a_submitted_trial_that_fails) {
    unit_pool u;
    PART(breaker_begin(&u, NULL, "subtrial.db"));
    CHECK_INT(write_with(&u, SQLITE_READONLY), SQLITE_READONLY);
    later(&u, 1000);
    fail_code = SQLITE_READONLY;
    CHECK_INT(write_by(&u, W_SUBMIT), SQLITE_READONLY);
    fail_code = SQLITE_OK;
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), OPEN);
    CHECK_INT(told.count, 1);
    unit_close(&u);
}

/*  outcome says what became of a transaction that was refused, as of every write. */
TEST(outcome_of_a_refused_transaction) {
    unit_pool u;
    PART(breaker_begin(&u, NULL, "outcome.db"));
    CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL);
    CHECK_INT(sqlpool_transaction(u.pool, SQLPOOL_WRITE, insert_one, NULL, &u.error), SQLITE_FULL);
    CHECK_INT(u.error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    unit_close(&u);
}

/*  A load that has begun: its next batch is refused, and everything after it says the same. */
TEST(a_load_is_refused_in_the_middle) {
    unit_pool u;
    sqlpool_bulk_config bulk = bulk_config();
    sqlpool_bulk_progress progress;
    sqlpool_bulk *load = NULL;
    uint64_t calls;
    int i;
    PART(breaker_begin(&u, "sim", "bulk.db"));
    CHECK_OK(sqlpool_bulk_begin(u.pool, &bulk, &load, &u.error), &u.error);
    for (i = 0; i < 10; i++)
        CHECK_OK(sqlpool_bulk_row(load, SQLPOOL_ARGS(1000 + i), &u.error), &u.error);
    CHECK_INT(write_with(&u, SQLITE_IOERR_WRITE), SQLITE_IOERR_WRITE);
    calls = sim_vfs.calls;
    memset(&progress, 0, sizeof progress);
    PART(check_refusal(&u, sqlpool_bulk_end(load, &progress, &u.error), SQLPOOL_WRITE,
                       SQLITE_IOERR_WRITE, "SQLITE_IOERR", 0, 1000));
    CHECK_INT(sim_vfs.calls, calls);
    CHECK_INT(progress.rows, 10);
    CHECK_INT(progress.next_row, 0); /* none of it is there */
    later(&u, 1000);
    PART(writes_go_well(&u));
    unit_close(&u);
}

/*---- what a disk really does ----*/

TEST(failures_of_the_disk) {
    static const struct {
        int kind, code, wanted, outcome;
    } table[] = {
        {SIM_VFS_WRITE, SQLITE_FULL, SQLITE_FULL, SQLPOOL_OUTCOME_UNKNOWN},
        {SIM_VFS_WRITE, 0, SQLITE_IOERR_WRITE, SQLPOOL_OUTCOME_UNKNOWN},
        {SIM_VFS_SYNC, 0, SQLITE_IOERR_FSYNC, SQLPOOL_OUTCOME_UNKNOWN},
        {SIM_VFS_SHM_LOCK, 0, SQLITE_IOERR_SHMLOCK, SQLPOOL_OUTCOME_NOT_COMMITTED},
    };
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        unit_pool u;
        sqlpool_config config = breaker_config(&u, 1);
        int k;
        config.vfs_name = "sim";
        config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
        PART(breaker_open(&u, "disk.db", &config, TABLE));
        unit_arm(table[i].kind, table[i].code, 1);
        CHECK_INT(write_with(&u, 0), table[i].wanted);
        CHECK_INT(u.error.outcome, table[i].outcome);
        PART(check_told(1, SQLPOOL_WRITE, 1, table[i].wanted));
        for (k = 0; k < 20; k++) PART(writes_are_refused(&u, table[i].wanted));
        if (table[i].kind != SIM_VFS_SHM_LOCK) PART(reads_go_well(&u));
        later(&u, 1000);
        CHECK(write_with(&u, 0) != SQLPOOL_OK); /* it still fails: one try, then none */
        CHECK_HAS(u.error.message, "SQLITE_");
        CHECK(strstr(u.error.message, "not tried") == NULL);
        PART(writes_are_refused(&u, table[i].wanted));
        sim_vfs_heal();
        PART(writes_are_refused(&u, table[i].wanted)); /* nobody knows yet */
        PART(closes_after(&u, 1000, SQLPOOL_WRITE, 2));
        unit_close(&u);
    }
}

/*  PRAGMA max_page_count: the file may not grow. Deleting is the trial that mends it. */
TEST(a_full_file) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int i, rc = SQLPOOL_OK;
    page_limit = 20;
    config.vfs_name = "sim";
    PART(breaker_open(&u, "full.db", &config, "CREATE TABLE big(v)"));
    for (i = 0; i < 50 && rc == SQLPOOL_OK; i++)
        rc = unit_exec(&u, "INSERT INTO big VALUES(zeroblob(4000))");
    CHECK_INT(rc, SQLITE_FULL);
    CHECK_INT(u.error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK(i > 5 && i < 25);
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_FULL));
    PART(check_refusal(&u, unit_exec(&u, "DELETE FROM big"), SQLPOOL_WRITE, SQLITE_FULL,
                       "database or disk is full", 0, 1000));
    later(&u, 1000);
    CHECK_INT(unit_exec(&u, "INSERT INTO big VALUES(zeroblob(40000))"), SQLITE_FULL);
    later(&u, 1000);
    CHECK_OK(unit_exec(&u, "DELETE FROM big"), &u.error);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
    CHECK_OK(unit_exec(&u, "INSERT INTO big VALUES(zeroblob(40000))"), &u.error);
    unit_close(&u);
}

/*  A page of a table is broken in the file: the write that meets it opens, other tables are
    read. */
TEST(a_corrupt_file) {
    static const char broken[4096] = {0x7f, 0x7f, 0x7f};
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int64_t root = 0, value = 0;
    config.vfs_name = "sim";
    PART(breaker_open(&u, "corrupt.db", &config,
                      "CREATE TABLE bad(v); INSERT INTO bad VALUES(1); CREATE TABLE good(v); "
                      "INSERT INTO good VALUES(2)"));
    CHECK_OK(sqlpool_query_int64(u.pool, &root,
                                 "SELECT rootpage FROM sqlite_master WHERE name = 'bad'",
                                 SQLPOOL_NO_ARGS, &u.error),
             &u.error);
    unit_close(&u); /* the log is in the file now */
    CHECK(unit_overwrite("corrupt.db", (root - 1) * 4096, broken, sizeof broken));
    config = breaker_config(&u, 1);
    config.vfs_name = "sim";
    PART(unit_open(&u, "corrupt.db", &config));
    CHECK_INT(unit_exec(&u, "UPDATE bad SET v = 2"), SQLITE_CORRUPT);
    CHECK_INT(u.error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_CORRUPT));
    PART(check_refusal(&u, unit_exec(&u, "UPDATE good SET v = 3"), SQLPOOL_WRITE, SQLITE_CORRUPT,
                       "malformed", 0, 1000));
    CHECK_INT(unit_ask(&u, "SELECT v FROM good"), 2);
    /* a read that meets it is one failed read of many; but nothing is written then */
    later(&u, 1000);
    CHECK_OK(unit_exec(&u, "UPDATE good SET v = 3"), &u.error);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
    CHECK_INT(sqlpool_query_int64(u.pool, &value, "SELECT v FROM bad", SQLPOOL_NO_ARGS, &u.error),
              SQLITE_CORRUPT);
    PART(check_states(&u, CLOSED, OPEN));
    CHECK_INT(unit_ask(&u, "SELECT v FROM good"), 3);
    unit_close(&u);
}

/*  The first bytes of the file are no database's any more. */
TEST(no_database) {
    char head[32];
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int file;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    config.acquire_timeout_ms = 100; /* nobody waits for a connection that cannot be opened */
    PART(breaker_open(&u, "notadb.db", &config, TABLE));
    PART(writes_go_well(&u));
    file = open("notadb.db", O_RDONLY);
    CHECK(file >= 0 && pread(file, head, sizeof head, 0) == (ssize_t)sizeof head);
    (void)close(file);
    CHECK(unit_overwrite("notadb.db", 0, "no database here, and no counter", 32));
    CHECK_INT(write_with(&u, 0), SQLITE_NOTADB);
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_NOTADB));
    PART(writes_are_refused(&u, SQLITE_NOTADB));
    CHECK(unit_overwrite("notadb.db", 0, head, sizeof head));
    PART(writes_are_refused(&u, SQLITE_NOTADB));
    PART(closes_after(&u, 1000, SQLPOOL_WRITE, 2));
    unit_close(&u);
}

/*  SQLite refuses to write: here because the caller said so, elsewhere because the file cannot
    be. */
TEST(a_file_that_cannot_be_written) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    sqlpool_conn conn;
    PART(breaker_open(&u, "readonly.db", &config, TABLE));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_INT(sqlite3_exec(sqlpool_conn_db(&conn), "PRAGMA query_only = 1", NULL, NULL, NULL),
              SQLITE_OK);
    CHECK_INT(unit_exec_on(&u, &conn, "INSERT INTO t(v) VALUES(1)"), SQLITE_READONLY);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED); /* at the end of the lease */
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_READONLY));
    PART(writes_are_refused(&u, SQLITE_READONLY));
    later(&u, 1000);
    PART(writes_go_well(&u));
    /* a write on a reader's lease is the caller's mistake */
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_INT(unit_exec_on(&u, &conn, "INSERT INTO t(v) VALUES(1)"), SQLITE_READONLY);
    CHECK_OK(sqlpool_conn_release(&conn), &u.error);
    PART(check_states(&u, CLOSED, CLOSED));
    unit_close(&u);
    /* and so is one on a pool that was opened read-only */
    config = breaker_config(&u, 1);
    config.read_only = true;
    PART(unit_open(&u, "readonly.db", &config));
    CHECK_INT(write_with(&u, 0), SQLITE_READONLY);
    CHECK_HAS(u.error.message, "is read-only");
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
    CHECK_INT(told.count, 0);
    unit_close(&u);
}

/*---- what does not count ----*/

/*  SQLite says FULL too when a table has used its last number: the other tables are written on. A
    disk that is full is one all the same. */
TEST(the_last_number_of_a_table_is_no_full_disk) {
    static const char *const others[] = {"INSERT INTO t(v) VALUES(1)", "INSERT INTO a VALUES(7, 1)",
                                         "UPDATE a SET v = 2 WHERE id = 9223372036854775807"};
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    size_t i;
    config.vfs_name = "sim";
    PART(breaker_open(&u, "lastnumber.db", &config,
                      TABLE "; CREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT, v)"));
    CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL); /* no number is used up yet */
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_FULL));
    later(&u, 1000);
    CHECK_OK(unit_exec(&u, "INSERT INTO a VALUES(9223372036854775807, 0)"), &u.error);
    PART(check_told(2, SQLPOOL_WRITE, 0, SQLITE_OK));
    for (i = 0; i < LENGTH(others); i++) {
        CHECK_INT(unit_exec(&u, "INSERT INTO a(v) VALUES(1)"), SQLITE_FULL);
        CHECK_INT(u.error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
        CHECK_OK(unit_exec(&u, others[i]), &u.error);
    }
    CHECK_INT(told.count, 2);
    CHECK_INT(stats_of(&u).breaker_refusals, 0);
    CHECK_OK(unit_exec(&u, "UPDATE sqlite_sequence SET seq = 7"),
             &u.error); /* there are numbers again */
    PART(a_write_opens(&u, SQLITE_FULL, 3));
    PART(writes_are_refused(&u, SQLITE_FULL));
    unit_close(&u);
}

/*  A database that is attached for reading only is the caller's mistake, not a fault of the file. */
static int attach_readonly(void *user, const sqlpool_conn *conn) {
    sqlpool_conn own = *conn;
    const int rc = on_connect(user, conn);
    return rc != SQLITE_OK
               ? rc
               : sqlite3_exec(sqlpool_conn_db(&own), "ATTACH 'file:attached.db?mode=ro' AS other",
                              NULL, NULL, NULL);
}
TEST(a_readonly_neighbour_is_no_readonly_file) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int i;
    PART(breaker_open(&u, "attached.db", &config, "CREATE TABLE r(v)"));
    unit_close(&u);
    config = breaker_config(&u, 1);
    config.enable_uri = true;
    config.events.connect_fn = attach_readonly;
    PART(breaker_open(&u, "main.db", &config, TABLE));
    for (i = 0; i < 3; i++) {
        CHECK_INT(unit_exec(&u, "INSERT INTO other.r VALUES(1)"), SQLITE_READONLY);
        CHECK_INT(u.error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        PART(writes_go_well(&u));
    }
    CHECK_INT(told.count, 0);
    CHECK_INT(write_with(&u, SQLITE_IOERR), SQLITE_IOERR); /* other failures count as ever */
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_IOERR));
    unit_close(&u);
    config = breaker_config(&u, 1);
    PART(unit_open(&u, "main.db", &config)); /* and without a neighbour it is the file */
    PART(a_write_opens(&u, SQLITE_READONLY, 1));
    PART(writes_are_refused(&u, SQLITE_READONLY));
    unit_close(&u);
}

/*  A write that changes nothing does not touch the disk, and so says nothing of it. */
TEST(a_trial_that_writes_nothing_leaves_it_open) {
    static const char *const nothings[] = {
        "UPDATE t SET v = 1 WHERE 0", "DELETE FROM t WHERE id < 0",
        "INSERT INTO t(v) SELECT 1 WHERE 0", "CREATE TABLE IF NOT EXISTS t(v)"};
    size_t i;
    int k;
    for (i = 0; i < LENGTH(nothings); i++) {
        unit_pool u;
        sqlpool_ticket ticket;
        PART(breaker_begin(&u, "sim", "nothingwritten.db"));
        unit_arm(SIM_VFS_WRITE, SQLITE_FULL, 1);
        CHECK_INT(write_with(&u, 0), SQLITE_FULL);
        PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_FULL));
        for (k = 0; k < 3; k++) {
            later(&u, 1000);
            if (k == 0) {
                CHECK_OK(unit_exec(&u, nothings[i]), &u.error);
            } else if (k == 1) {
                CHECK_OK(unit_script(&u, nothings[i]), &u.error);
            } else {
                CHECK_OK(sqlpool_submit(u.pool, &ticket, nothings[i], SQLPOOL_NO_ARGS, &u.error),
                         &u.error);
                CHECK_OK(sqlpool_ticket_wait(&ticket, 0, NULL, &u.error), &u.error);
            }
            CHECK_INT(state_of(&u, SQLPOOL_WRITE), TRYING);
            PART(writes_are_refused(&u, SQLITE_FULL));
        }
        CHECK_INT(told.count, 1);
        sim_vfs_heal();
        PART(closes_after(&u, 1000, SQLPOOL_WRITE, 2)); /* this one does */
        unit_close(&u);
    }
}

static const int harmless_codes[] = {
    SQLITE_ERROR,           SQLITE_CONSTRAINT,  SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_CHECK,
    SQLITE_NOMEM,           SQLITE_IOERR_NOMEM, SQLITE_INTERRUPT,         SQLITE_BUSY,
    SQLITE_BUSY_SNAPSHOT,   SQLITE_LOCKED,      SQLITE_MISMATCH,          SQLITE_TOOBIG,
    SQLITE_RANGE,           SQLITE_AUTH,        SQLITE_ABORT_ROLLBACK,    SQLITE_CORRUPT_VTAB,
    SQLITE_READONLY_DBMOVED};

TEST(failures_that_are_not_the_disks) {
    size_t i;
    int k;
    for (i = 0; i < LENGTH(harmless_codes); i++) {
        unit_pool u;
        sqlpool_config config = breaker_config(&u, 1);
        config.breaker_failures = 2;
        config.breaker_percent = 1;
        PART(breaker_open(&u, "harmless.db", &config, TABLE));
        for (k = 0; k < 10; k++) {
            CHECK(write_with(&u, harmless_codes[i]) != SQLPOOL_OK);
            CHECK(read_with(&u, harmless_codes[i]) != SQLPOOL_OK);
        }
        CHECK_INT(told.count, 0);
        PART(check_states(&u, CLOSED, CLOSED));
        if (harmless_codes[i] == SQLITE_READONLY_DBMOVED)
            CHECK_OK(sqlpool_recycle(u.pool), &u.error);
        PART(writes_go_well(&u));
        unit_close(&u);
    }
}

TEST(mistakes_and_deadlines_do_not_count) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    sqlpool_token token = {1};
    const sqlpool_call brief = unit_call(5), none = unit_call(SQLPOOL_NO_WAIT);
    sqlpool_call call = unit_call(0);
    sqlpool_conn conn;
    int i;
    call.token = &token;
    config.breaker_failures = 2;
    config.breaker_percent = 1;
    PART(breaker_open(&u, "mistakes.db", &config, TABLE "; INSERT INTO t(v) VALUES('one')"));
    for (i = 0; i < 10; i++) {
        CHECK_INT(unit_exec(&u, "INSERT INTO t(v) VALUES('one')"), SQLITE_CONSTRAINT_UNIQUE);
        CHECK_INT(unit_exec(&u, "INSERT INTO nowhere VALUES(1)"), SQLITE_ERROR);
        CHECK_INT(unit_exec(&u, "SELEKT 1"), SQLITE_ERROR);
        CHECK_INT(unit_exec(&u, "SELECT 1; SELECT 2"), SQLPOOL_TRAILING);
        CHECK_INT(unit_exec(&u, "ATTACH 'x' AS y"), SQLPOOL_REFUSED);
        CHECK_INT(sqlpool_exec_with(u.pool, &call, NULL, INSERT, SQLPOOL_ARGS(1), &u.error),
                  SQLPOOL_CANCELLED);
        CHECK_INT(sqlpool_exec_with(u.pool, &call, NULL, READ, SQLPOOL_NO_ARGS, &u.error),
                  SQLPOOL_CANCELLED);
        u.clock.step_ns = 100000; /* every look takes time: the statement runs into its deadline */
        CHECK_INT(sqlpool_exec_with(
                      u.pool, &brief, NULL,
                      "INSERT INTO t(v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                      "FROM n) SELECT max(i) FROM n",
                      SQLPOOL_NO_ARGS, &u.error),
                  SQLPOOL_TIMEOUT);
        u.clock.step_ns = 0;
        CHECK_OK(sqlpool_pause(u.pool, 0, &u.error), &u.error); /* the queue's deadline */
        CHECK_INT(sqlpool_exec_with(u.pool, &brief, NULL, INSERT, SQLPOOL_ARGS(1), &u.error),
                  SQLPOOL_TIMEOUT);
        CHECK_INT(sqlpool_exec_with(u.pool, &brief, NULL, READ, SQLPOOL_NO_ARGS, &u.error),
                  SQLPOOL_TIMEOUT);
        CHECK_INT(sqlpool_exec_with(u.pool, &none, NULL, READ, SQLPOOL_NO_ARGS, &u.error),
                  SQLPOOL_WOULD_BLOCK);
        CHECK_OK(sqlpool_resume(u.pool), &u.error);
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
        CHECK_INT(write_with(&u, 0), SQLPOOL_MISUSE); /* this thread holds the writer */
        CHECK_OK(sqlpool_conn_cancel(conn), &u.error);
        CHECK_INT(unit_exec_on(&u, &conn, "INSERT INTO t(v) VALUES(1)"), SQLPOOL_CANCELLED);
        CHECK_OK(sqlpool_conn_release(&conn), &u.error);
    }
    CHECK_INT(told.count, 0);
    PART(check_states(&u, CLOSED, CLOSED));
    unit_close(&u);
}

/*  The program's own result is no failure of the disk, whatever number it has. */
static int return_full(sqlpool_conn *conn, void *user, int attempt) {
    (void)conn, (void)user, (void)attempt;
    return SQLITE_FULL;
}
TEST(what_a_function_returns_does_not_count) {
    unit_pool u;
    PART(breaker_begin(&u, NULL, "function.db"));
    CHECK_INT(sqlpool_write(u.pool, return_full, NULL, &u.error), SQLITE_FULL);
    CHECK_INT(sqlpool_transaction(u.pool, SQLPOOL_WRITE, return_full, NULL, &u.error), SQLITE_FULL);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
    unit_close(&u);
}

/*  After a failure the same lease committed: the disk is well. */
TEST(a_commit_after_the_failure) {
    unit_pool u;
    sqlpool_conn conn;
    int i;
    PART(breaker_begin(&u, NULL, "commit.db"));
    for (i = 0; i < 2; i++) {
        const int code = i == 0 ? SQLITE_FULL : SQLITE_READONLY;
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
        CHECK_INT(insert_with(&conn, code), code);
        CHECK_OK(insert_with(&conn, 0), &u.error);
        CHECK_OK(sqlpool_conn_release(&conn), &u.error);
        CHECK_INT(told.count, 0);
    }
    /* the other order, and a commit that was rolled back */
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_OK(insert_one(&conn, NULL, 1), &u.error);
    CHECK_INT(insert_with(&conn, SQLITE_FULL), SQLITE_FULL);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_OK(insert_one(&conn, NULL, 1), &u.error);
    CHECK_OK(sqlpool_conn_rollback(&conn, &u.error), &u.error);
    CHECK_INT(told.count, 0);
    CHECK_OK(sqlpool_conn_release(&conn), &u.error);
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_FULL));
    unit_close(&u);
}

/*  The first cause of a lease is the one that is told. */
TEST(the_first_cause_of_a_lease) {
    unit_pool u;
    sqlpool_conn conn;
    PART(breaker_begin(&u, NULL, "cause.db"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_INT(insert_with(&conn, SQLITE_READONLY), SQLITE_READONLY);
    CHECK_INT(insert_with(&conn, SQLITE_FULL), SQLITE_FULL);
    CHECK_OK(sqlpool_conn_release(&conn), &u.error);
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_READONLY));
    PART(writes_are_refused(&u, SQLITE_READONLY));
    unit_close(&u);
}

/*  A lease that was begun before goes on, and its commit closes. */
TEST(a_lease_from_before_goes_on) {
    unit_pool u;
    sqlpool_conn conn;
    PART(breaker_begin(&u, NULL, "before.db"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_INT(read_with(&u, SQLITE_CORRUPT), SQLITE_CORRUPT); /* opens the breaker of writes */
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), OPEN);
    CHECK_OK(insert_one(&conn, NULL, 1), &u.error);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
    PART(check_told(2, SQLPOOL_WRITE, 0, SQLITE_OK));
    CHECK_OK(sqlpool_conn_release(&conn), &u.error);
    unit_close(&u);
}

/*---- groups ----*/

/*  Writes in a group, one of which fails with that code as its own doing: the others commit after
    it, so nothing opens. */
static void poison_group(int at, int code, const char *path) {
    enum { JOBS = 5 };
    unit_pool u;
    int i;
    PART(breaker_begin(&u, NULL, path));
    memset(done, 0, sizeof done);
    fail_code = code;
    for (i = 0; i < JOBS; i++)
        CHECK_OK(submit_at(&u, i, i == at ? INSERT : "INSERT INTO t(v) VALUES(?)", 100 + i),
                 &u.error);
    CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
    fail_code = SQLITE_OK;
    for (i = 0; i < JOBS; i++) {
        CHECK_INT(done[i].count, 1);
        CHECK_INT(done[i].result, i == at ? code : SQLPOOL_OK);
        CHECK_INT(done[i].outcome,
                  i == at ? SQLPOOL_OUTCOME_NOT_COMMITTED : SQLPOOL_OUTCOME_COMMITTED);
    }
    CHECK(stats_of(&u).replayed > 0);
    CHECK_INT(told.count, 0);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
    unit_close(&u);
}
TEST(a_poison_write_in_a_group_does_not_open) {
    PART(poison_group(1, SQLITE_IOERR_READ, "poison1.db"));
    PART(poison_group(3, SQLITE_IOERR_READ, "poison3.db"));
    PART(poison_group(4, SQLITE_IOERR_READ, "poison4.db"));
    PART(poison_group(2, SQLITE_FULL, "poisonf.db"));
}

/*  A group whose members fail one and all: it opens once, and the queue behind them is refused. */
TEST(a_group_that_fails) {
    enum { JOBS = 8 };
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int i;
    config.vfs_name = "sim";
    config.group_count = 3;
    PART(breaker_open(&u, "group.db", &config, TABLE));
    memset(done, 0, sizeof done);
    fail_code = SQLITE_IOERR_WRITE;
    fail_runs = 0;
    for (i = 0; i < JOBS; i++) CHECK_OK(submit_at(&u, i, INSERT, i), &u.error);
    CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
    fail_code = SQLITE_OK;
    for (i = 0; i < JOBS; i++) {
        CHECK_INT(done[i].count, 1);
        CHECK_INT(done[i].result, SQLITE_IOERR_WRITE);
        CHECK_INT(done[i].sqlite_code, SQLITE_IOERR_WRITE);
        CHECK_INT(done[i].outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        CHECK_INT(strncmp(done[i].message, "not tried: writes", 17) == 0, i >= 3);
    }
    CHECK_INT(fail_runs, 3); /* of the first group alone, once each */
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_IOERR_WRITE));
    unit_close(&u);
}

/*  Who submits while those that were there hear of their refusal is not refused with them: here
    after the period has passed, so that its write is the next try. */
static struct {
    unit_pool *u;
    int count, results[50];
} again;
static void submit_again(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    sqlpool_submission submission;
    (void)user, (void)result;
    again.results[again.count++] = error->result;
    if (error->result == SQLPOOL_OK || again.count == (int)LENGTH(again.results)) return;
    later(again.u, 500); /* the program waits, as it should */
    memset(&submission, 0, sizeof submission);
    submission.done_fn = submit_again;
    if (sqlpool_submit_with(again.u->pool, &submission, NULL,
                            "INSERT INTO t(v) VALUES(fail(random()))", SQLPOOL_NO_ARGS,
                            NULL) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "cannot submit again");
}
TEST(a_refusal_is_for_those_that_were_there) {
    unit_pool u;
    sqlpool_error error;
    PART(breaker_begin(&u, NULL, "there.db"));
    CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL);
    memset(&again, 0, sizeof again);
    memset(&error, 0, sizeof error);
    error.result = SQLITE_FULL; /* as if one had failed: the first submission is made */
    again.u = &u;
    submit_again(NULL, NULL, &error);
    CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
    CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
    CHECK_INT(again.results[1], SQLITE_FULL); /* 500 ms after it opened */
    CHECK_INT(again.results[2], SQLPOOL_OK);  /* 1000 ms */
    CHECK_INT(again.count, 3);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
    unit_close(&u);
}

/*---- the rate of failures ----*/

/*  So many reads fail with that code, so many go well in between; the last one fails. */
static void mix(unit_pool *u, int code, int failed, int well) {
    int i, done_well = 0;
    for (i = 0; i < failed; i++) {
        CHECK_INT(read_with(u, code), code);
        for (; done_well * failed < well * (i + 1) && i + 1 < failed; done_well++)
            PART(reads_go_well(u));
    }
    for (; done_well < well; done_well++) PART(reads_go_well(u));
}

TEST(the_rate_of_reads) {
    static const int codes[] = {SQLITE_IOERR_READ, SQLITE_CANTOPEN, SQLITE_PROTOCOL, SQLITE_FULL,
                                SQLITE_IOERR_SHMLOCK};
    size_t i;
    for (i = 0; i < LENGTH(codes); i++) {
        unit_pool u;
        PART(breaker_begin(&u, NULL, "rate.db"));
        PART(reads_fail(&u, codes[i], 19));
        CHECK_INT(told.count, 0);
        CHECK_INT(state_of(&u, SQLPOOL_READ), CLOSED);
        CHECK_INT(read_with(&u, codes[i]), codes[i]); /* the 20th */
        PART(check_told(1, SQLPOOL_READ, 1, codes[i]));
        CHECK_HAS(u.log.last[SQLPOOL_LOG_BREAKER], "reads fail at once, one every 1000 ms tries: ");
        PART(check_states(&u, OPEN, CLOSED));
        PART(reads_are_refused(&u, codes[i]));
        PART(writes_go_well(&u));
        CHECK_INT(state_of(&u, SQLPOOL_READ), OPEN);
        later(&u, 999);
        PART(check_refusal(&u, read_with(&u, 0), SQLPOOL_READ, codes[i],
                           sqlpool_result_name(codes[i]), 999, 1));
        later(&u, 1);
        CHECK_INT(read_with(&u, codes[i]), codes[i]); /* a trial is enough to open it again */
        PART(reads_are_refused(&u, codes[i]));
        later(&u, 1000);
        CHECK_OK(unit_exec(&u, "SELECT look() FROM sqlite_master"), &u.error);
        CHECK_INT(looked.breaker_read, TRYING);
        CHECK_HAS(looked_text, "breaker      reads fail at once for 2000 ms, one tries: ");
        CHECK_INT(state_of(&u, SQLPOOL_READ), CLOSED);
        PART(check_told(2, SQLPOOL_READ, 0, SQLITE_OK));
        CHECK_HAS(u.log.last[SQLPOOL_LOG_BREAKER], "reads go well again");
        PART(reads_fail(&u, codes[i], 19)); /* from the beginning */
        CHECK_INT(told.count, 2);
        CHECK_INT(read_with(&u, codes[i]), codes[i]);
        CHECK_INT(told.count, 3);
        unit_close(&u);
    }
}

/*  Twenty failures, but less than half of the calls; then as many as the others. */
TEST(the_share_of_reads) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int i;
    PART(breaker_open(&u, "share.db", &config, NULL));
    PART(reads_fail(&u, SQLITE_PROTOCOL, 19));
    for (i = 0; i < 21; i++) PART(reads_go_well(&u));
    CHECK_INT(read_with(&u, SQLITE_PROTOCOL), SQLITE_PROTOCOL); /* 20 of 41 */
    CHECK_INT(state_of(&u, SQLPOOL_READ), CLOSED);
    CHECK_INT(read_with(&u, SQLITE_PROTOCOL), SQLITE_PROTOCOL); /* 21 of 42 */
    CHECK_INT(state_of(&u, SQLPOOL_READ), OPEN);
    unit_close(&u);
    config = breaker_config(&u, 1);
    PART(breaker_open(&u, "share2.db", &config, NULL));
    for (i = 0; i < 500; i++) { /* a third fails, for ever */
        CHECK_INT(read_with(&u, SQLITE_PROTOCOL), SQLITE_PROTOCOL);
        PART(reads_go_well(&u));
        PART(reads_go_well(&u));
    }
    CHECK_INT(told.count, 0);
    unit_close(&u);
    config = breaker_config(&u, 1);
    config.breaker_percent = 25;
    config.breaker_failures = 5;
    PART(breaker_open(&u, "share3.db", &config, NULL));
    PART(mix(&u, SQLITE_PROTOCOL, 4, 15));
    CHECK_INT(told.count, 0);
    CHECK_INT(read_with(&u, SQLITE_PROTOCOL), SQLITE_PROTOCOL); /* 5 of 20 */
    CHECK_INT(told.count, 1);
    unit_close(&u);
    config = breaker_config(&u, 1);
    config.breaker_percent = 100;
    config.breaker_failures = 3;
    PART(breaker_open(&u, "share4.db", &config, NULL));
    PART(mix(&u, SQLITE_PROTOCOL, 1, 1));
    PART(reads_fail(&u, SQLITE_PROTOCOL, 100));
    CHECK_INT(told.count, 0); /* one of 102 went well */
    later(&u, 10001);
    PART(reads_fail(&u, SQLITE_PROTOCOL, 3));
    CHECK_INT(told.count, 1);
    unit_close(&u);
    config = breaker_config(&u, 1);
    config.breaker_failures = 1;
    PART(breaker_open(&u, "share5.db", &config, NULL));
    for (i = 0; i < 10; i++)
        PART(reads_go_well(&u)); /* before the first failure: not in the window */
    CHECK_INT(read_with(&u, SQLITE_PROTOCOL), SQLITE_PROTOCOL);
    CHECK_INT(told.count, 1);
    unit_close(&u);
}

/*  The share is of calls of the same mode: many good reads do not hide that no write gets
    through. */
TEST(the_share_is_of_one_mode) {
    unit_pool u;
    int i, k;
    PART(breaker_begin(&u, NULL, "mode.db"));
    for (i = 0; i < 25; i++) {
        const int rc = write_with(&u, SQLITE_PROTOCOL);
        if (i < 20) CHECK_INT(rc, SQLITE_PROTOCOL);
        for (k = 0; k < 5; k++) PART(reads_go_well(&u));
    }
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), OPEN);
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_PROTOCOL));
    unit_close(&u);
}

/*  Submitted writes that go well are calls as well. */
TEST(the_share_of_submitted_writes) {
    unit_pool u;
    int i;
    PART(breaker_begin(&u, NULL, "submitted.db"));
    for (i = 0; i < 400; i++) {
        done[0].count = 0;
        fail_code = i % 10 == 0 ? SQLITE_PROTOCOL : SQLITE_OK; /* a tenth of them */
        CHECK_OK(submit_at(&u, 0, INSERT, i), &u.error);
        CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
        CHECK_INT(done[0].count, 1);
        CHECK_INT(done[0].result, fail_code);
    }
    fail_code = SQLITE_OK;
    CHECK_INT(told.count, 0);
    unit_close(&u);
}

/*  A call whose connection has to be opened is one call. After IOERR each is. */
TEST(a_call_is_counted_once) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int i;
    config.breaker_percent = 100;
    PART(breaker_open(&u, "once.db", &config, NULL));
    for (i = 0; i < 20; i++) {
        CHECK_INT(told.count, 0);
        CHECK_INT(read_with(&u, SQLITE_IOERR_READ), SQLITE_IOERR_READ);
    }
    PART(check_told(1, SQLPOOL_READ, 1, SQLITE_IOERR_READ)); /* all twenty of twenty */
    CHECK_INT(stats_of(&u).acquires, 20);
    unit_close(&u);
}

TEST(the_window_passes) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int i;
    config.breaker_window_ms = 500;
    PART(breaker_open(&u, "window.db", &config, NULL));
    PART(reads_fail(&u, SQLITE_PROTOCOL, 19));
    later(&u, 501);
    PART(reads_fail(&u, SQLITE_PROTOCOL, 19));
    CHECK_INT(told.count, 0);
    later(&u, 500); /* to the end */
    CHECK_INT(read_with(&u, SQLITE_PROTOCOL), SQLITE_PROTOCOL);
    CHECK_INT(told.count, 1);
    later(&u, 1000);
    PART(reads_go_well(&u));
    for (i = 0; i < 200; i++) { /* for ever, but never twenty in half a second */
        CHECK_INT(read_with(&u, SQLITE_PROTOCOL), SQLITE_PROTOCOL);
        later(&u, 30);
    }
    CHECK_INT(told.count, 2);
    unit_close(&u);
}

/*  Calls that went well before the window are not of its share. */
TEST(the_share_of_an_earlier_window_is_gone) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int i;
    PART(breaker_open(&u, "earlier.db", &config, NULL));
    CHECK_INT(read_with(&u, SQLITE_PROTOCOL), SQLITE_PROTOCOL);
    for (i = 0; i < 1000; i++) PART(reads_go_well(&u));
    later(&u, 10001);
    PART(reads_fail(&u, SQLITE_PROTOCOL, 20));
    CHECK_INT(told.count, 1);
    unit_close(&u);
}

/*  Codes of the rate alone, met by writes: not at the first. */
TEST(the_rate_of_writes) {
    static const int codes[] = {SQLITE_CANTOPEN, SQLITE_PROTOCOL};
    size_t i;
    for (i = 0; i < LENGTH(codes); i++) {
        unit_pool u;
        PART(breaker_begin(&u, NULL, "writes.db"));
        PART(writes_fail(&u, codes[i], 19));
        CHECK_INT(told.count, 0);
        PART(a_write_opens(&u, codes[i], 1));
        PART(writes_are_refused(&u, codes[i]));
        PART(reads_go_well(&u));
        later(&u, 1000);
        CHECK_INT(write_with(&u, codes[i]), codes[i]); /* a trial is enough to open it again */
        PART(writes_are_refused(&u, codes[i]));
        PART(closes_after(&u, 1000, SQLPOOL_WRITE, 2));
        unit_close(&u);
    }
}

/*  CORRUPT and NOTADB that a read finds: nothing more is written, reads go on until they are too
    many. */
TEST(corruption_that_a_read_finds) {
    static const int codes[] = {SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_CORRUPT_INDEX};
    size_t i;
    for (i = 0; i < LENGTH(codes); i++) {
        unit_pool u;
        PART(breaker_begin(&u, NULL, "found.db"));
        CHECK_INT(read_with(&u, codes[i]), codes[i]);
        PART(check_told(1, SQLPOOL_WRITE, 1, codes[i]));
        PART(writes_are_refused(&u, codes[i]));
        PART(reads_fail(&u, codes[i], 18));
        CHECK_INT(state_of(&u, SQLPOOL_READ), CLOSED);
        CHECK_INT(told.count, 1);
        CHECK_INT(read_with(&u, codes[i]), codes[i]);
        PART(check_told(2, SQLPOOL_READ, 1, codes[i]));
        PART(reads_are_refused(&u, codes[i]));
        PART(closes_after(&u, 1000, SQLPOOL_READ, 3));
        CHECK_INT(state_of(&u, SQLPOOL_WRITE), OPEN); /* until a write goes well */
        PART(writes_go_well(&u));
        PART(check_told(4, SQLPOOL_WRITE, 0, SQLITE_OK));
        unit_close(&u);
    }
}

/*  Cursors and leases that read count when they end. */
TEST(cursors_and_leases_that_read) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 2);
    sqlpool_rows rows;
    sqlpool_conn conn;
    int i;
    config.breaker_failures = 2;
    PART(breaker_open(&u, "cursor.db", &config, TABLE "; INSERT INTO t(v) VALUES(1), (2), (3)"));
    for (i = 0; i < 2; i++) {
        CHECK_INT(told.count, 0);
        CHECK_OK(sqlpool_query(u.pool, &rows, "SELECT fail(v) FROM t", SQLPOOL_NO_ARGS, &u.error),
                 &u.error);
        CHECK(sqlpool_rows_next(&rows));
        fail_code = SQLITE_IOERR_READ;
        CHECK(!sqlpool_rows_next(&rows));
        fail_code = SQLITE_OK;
        CHECK_INT(sqlpool_rows_close(&rows, &u.error), SQLITE_IOERR_READ);
    }
    PART(check_told(1, SQLPOOL_READ, 1, SQLITE_IOERR_READ));
    CHECK_INT(sqlpool_query(u.pool, &rows, "SELECT 1", SQLPOOL_NO_ARGS, &u.error),
              SQLITE_IOERR_READ);
    CHECK_INT(sqlpool_rows_close(&rows, NULL), SQLITE_IOERR_READ);
    PART(check_refusal(&u, sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error),
                       SQLPOOL_READ, SQLITE_IOERR_READ, "SQLITE_IOERR", 0, 1000));
    PART(check_refusal(&u, sqlpool_transaction(u.pool, SQLPOOL_READ, insert_one, NULL, &u.error),
                       SQLPOOL_READ, SQLITE_IOERR_READ, "SQLITE_IOERR", 0, 1000));
    later(&u, 1000);
    CHECK_OK(sqlpool_query(u.pool, &rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, &u.error), &u.error);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(state_of(&u, SQLPOOL_READ), TRYING); /* the cursor is the trial */
    PART(reads_are_refused(&u, SQLITE_IOERR_READ));
    CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
    CHECK_INT(state_of(&u, SQLPOOL_READ), CLOSED);
    /* a lease that was never used tells nothing */
    PART(reads_fail(&u, SQLITE_PROTOCOL, 2));
    later(&u, 1000);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_release(&conn), &u.error);
    CHECK_INT(state_of(&u, SQLPOOL_READ), TRYING);
    PART(reads_are_refused(&u, SQLITE_PROTOCOL));
    later(&u, 1000);
    CHECK_INT(unit_exec(&u, "SELEKT 1"), SQLITE_ERROR);
    CHECK_INT(state_of(&u, SQLPOOL_READ), TRYING);
    later(&u, 1000);
    PART(reads_go_well(&u));
    CHECK_INT(state_of(&u, SQLPOOL_READ), CLOSED);
    unit_close(&u);
}

/*---- locks of another process ----*/

/*  Opens, and then has another connection keep the file locked. Without a log readers have to find
    the table before. */
static void open_locked(unit_pool *u, const char *path, sqlpool_config *config, sqlite3 **other) {
    config->busy_poll_min_us = config->busy_poll_max_us = 1000;
    PART(breaker_open(u, path, config, TABLE));
    if (config->journal == SQLPOOL_JOURNAL_DELETE) CHECK_OK(unit_exec(u, COUNT), &u->error);
    *other = unit_other(path, "BEGIN EXCLUSIVE");
}

TEST(a_lock_that_is_never_given_back) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    sqlite3 *other;
    int i;
    config.acquire_timeout_ms = 200;
    PART(open_locked(&u, "lock.db", &config, &other));
    for (i = 0; i < 19; i++) {
        CHECK_INT(write_with(&u, 0), SQLPOOL_TIMEOUT);
        CHECK_INT(u.error.sqlite_code, SQLITE_BUSY);
        PART(reads_go_well(&u)); /* the log lets them */
    }
    CHECK_INT(told.count, 0);
    CHECK_INT(write_with(&u, 0), SQLPOOL_TIMEOUT); /* 20 of 39 calls */
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_BUSY));
    PART(writes_are_refused(&u, SQLITE_BUSY)); /* at once */
    CHECK_HAS(u.error.message, "waiting for a lock that another connection or process holds");
    CHECK_INT(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    later(&u, 1000);
    PART(writes_go_well(&u));
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    unit_close(&u);
}

/*  Without a log readers meet the lock too. Who did not want to wait says nothing about it. */
TEST(a_lock_that_keeps_readers_out) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    const sqlpool_call none = unit_call(SQLPOOL_NO_WAIT);
    sqlite3 *other;
    int i;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    config.acquire_timeout_ms = 200;
    PART(open_locked(&u, "readers.db", &config, &other));
    for (i = 0; i < 100; i++)
        CHECK_INT(sqlpool_exec_with(u.pool, &none, NULL, COUNT, SQLPOOL_NO_ARGS, &u.error),
                  SQLPOOL_WOULD_BLOCK);
    CHECK_INT(told.count, 0);
    later(&u, 10001);
    for (i = 0; i < 20; i++) {
        CHECK_INT(told.count, 0);
        CHECK_INT(unit_exec(&u, COUNT), SQLPOOL_TIMEOUT);
    }
    PART(check_told(1, SQLPOOL_READ, 1, SQLITE_BUSY));
    PART(reads_are_refused(&u, SQLITE_BUSY));
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    later(&u, 1000);
    CHECK_OK(unit_exec(&u, COUNT), &u.error);
    PART(check_told(2, SQLPOOL_READ, 0, SQLITE_OK));
    unit_close(&u);
}

/*  A trial that meets the lock and does not want to wait has not gone well. */
TEST(a_trial_that_does_not_wait_for_the_lock) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    const sqlpool_call none = unit_call(SQLPOOL_NO_WAIT);
    sqlite3 *other;
    int i;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    config.acquire_timeout_ms = 20;
    config.breaker_failures = 3;
    PART(open_locked(&u, "nowait.db", &config, &other));
    for (i = 0; i < 3; i++) CHECK_INT(unit_exec(&u, COUNT), SQLPOOL_TIMEOUT);
    CHECK_INT(state_of(&u, SQLPOOL_READ), OPEN);
    later(&u, 1000);
    CHECK_INT(sqlpool_exec_with(u.pool, &none, NULL, COUNT, SQLPOOL_NO_ARGS, &u.error),
              SQLPOOL_WOULD_BLOCK);
    CHECK(state_of(&u, SQLPOOL_READ) != CLOSED);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    unit_close(&u);
}

/*---- what the pool does for itself ----*/

/*  Its checkpoints are not refused, and their failures are not the callers'. */
TEST(checkpoints_are_neither_refused_nor_counted) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    sqlpool_checkpoint_result result;
    static const int kinds[] = {SIM_VFS_SYNC, SIM_VFS_WRITE, SIM_VFS_READ, SIM_VFS_SHM_LOCK};
    size_t i;
    config.vfs_name = "sim";
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    PART(breaker_open(&u, "checkpoint.db", &config, TABLE));
    CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL);
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, &u.error), &u.error);
    CHECK(result.log_frames > 0 && result.checkpointed_frames == result.log_frames);
    CHECK_OK(sqlpool_tick(u.pool, 1000000), &u.error);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), OPEN); /* and it tells nothing: no write has gone well */
    later(&u, 1000);
    PART(writes_go_well(&u));
    CHECK_INT(told.count, 2);
    for (i = 0; i < LENGTH(kinds); i++) {
        PART(writes_go_well(&u));
        unit_arm(kinds[i], 0, 1);
        (void)sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, &u.error);
        sim_vfs_heal();
        /* the next lease of the writer ends without a commit */
        CHECK_INT(unit_exec(&u, "INSERT INTO t(id) VALUES('x')"), SQLITE_MISMATCH);
        if (told.count != 2)
            test_fail(__FILE__, __LINE__, "a checkpoint that failed by %s was counted",
                      sim_vfs_kind_name(kinds[i]));
        told.count = 2;
        later(&u, 1000);
        (void)sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, &result,
                                 &u.error); /* the log is well again */
        PART(writes_go_well(&u));
        told.count = 2;
    }
    unit_close(&u);
}

/*  The checkpoint that a commit makes before it returns. */
TEST(the_checkpoint_of_a_commit_is_not_counted) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    config.vfs_name = "sim";
    config.wal_budget_bytes = 65536;
    PART(breaker_open(&u, "budget.db", &config, TABLE));
    CHECK_OK(unit_exec(&u, "CREATE TABLE big(v)"), &u.error);
    u.core->checkpoint_due = 0;
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), &u.error);
    {
        sim_vfs_fault fault;
        uint64_t locks;
        memset(&fault, 0, sizeof fault);
        sim_vfs_arm(fault); /* how many locks does the write itself take? */
        PART(writes_go_well(&u));
        locks = sim_vfs.kind_calls[SIM_VFS_SHM_LOCK];
        fault.at = locks + 1;
        fault.kind = SIM_VFS_SHM_LOCK;
        fault.from_on = 1;
        sim_vfs_arm(fault);
        CHECK_OK(unit_exec(&u, "INSERT INTO big VALUES(zeroblob(100000))"), &u.error);
        sim_vfs_heal();
        CHECK(sim_vfs.faults > 0); /* so the checkpoint failed */
    }
    CHECK_INT(told.count, 0);
    CHECK_INT(unit_exec(&u, "INSERT INTO t(id) VALUES('x')"), SQLITE_MISMATCH);
    CHECK_INT(told.count, 0);
    unit_close(&u);
}

/*  Upkeep looks at idle connections also while the breakers are open, and what it finds is not a
    caller's failure. */
TEST(upkeep_is_neither_refused_nor_counted) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int i;
    config.vfs_name = "sim";
    config.breaker_failures = 2;
    config.breaker_percent = 1;
    config.health_interval_ms = 10;
    config.upkeep_interval_ms = 10;
    PART(breaker_open(&u, "upkeep.db", &config, TABLE));
    PART(reads_go_well(&u));
    unit_arm(SIM_VFS_SHM_LOCK, 0, 1);
    for (i = 0; i < 20; i++) {
        later(&u, 100);
        CHECK_OK(sqlpool_tick(u.pool, 1000000), &u.error);
    }
    sim_vfs_heal();
    CHECK(sim_vfs.faults > 0);
    CHECK_INT(told.count, 0);
    PART(reads_go_well(&u));
    CHECK_INT(unit_exec(&u, "INSERT INTO t(id) VALUES('x')"), SQLITE_MISMATCH);
    CHECK_INT(told.count, 0);
    CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL);
    PART(reads_fail(&u, SQLITE_PROTOCOL, 2));
    CHECK_INT(told.count, 2);
    {
        const uint64_t refusals = stats_of(&u).breaker_refusals;
        for (i = 0; i < 20; i++) {
            later(&u, 10);
            CHECK_OK(sqlpool_tick(u.pool, 1000000), &u.error);
        }
        CHECK_INT(stats_of(&u).breaker_refusals, refusals);
    }
    CHECK_INT(told.count, 2); /* and what goes well there closes nothing */
    unit_close(&u);
}

/*  Exclusive sections, recycling and closing are not refused either. */
static int insert_exclusively(sqlpool_conn *conn, void *user) {
    (void)user;
    return insert_one(conn, NULL, 1);
}
TEST(control_is_not_refused) {
    unit_pool u;
    PART(breaker_begin(&u, NULL, "control.db"));
    CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL);
    CHECK_OK(sqlpool_pause(u.pool, 0, &u.error), &u.error);
    CHECK_OK(sqlpool_resume(u.pool), &u.error);
    CHECK_OK(sqlpool_recycle(u.pool), &u.error);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), OPEN);
    CHECK_OK(sqlpool_exclusive(u.pool, 0, insert_exclusively, NULL, &u.error), &u.error);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED); /* that was a write that went well */
    fail_code = SQLITE_FULL;
    CHECK_INT(sqlpool_exclusive(u.pool, 0, insert_exclusively, NULL, &u.error), SQLITE_FULL);
    fail_code = SQLITE_OK;
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), OPEN);
    unit_close(&u);
}

/*---- openings that fail ----*/

/*  The call whose connection could not be opened is the one that failed, not the one after it. */
TEST(a_failed_opening_is_not_the_next_calls) {
    static const struct {
        int kind, code;
    } table[] = {{SIM_VFS_OPEN, SQLITE_CANTOPEN}, {SIM_VFS_READ, SQLITE_IOERR}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        unit_pool u;
        int failures;
        PART(breaker_begin(&u, "sim", "opening.db"));
        unit_arm(table[i].kind, 0, 1);
        CHECK_INT(read_with(&u, 0), table[i].code); /* its connection was not open yet */
        sim_vfs_heal();
        failures = u.core->breakers[SQLPOOL_READ].failures;
        later(&u, 300);
        PART(reads_go_well(&u));
        PART(reads_go_well(&u));
        CHECK_INT(u.core->breakers[SQLPOOL_READ].failures, failures);
        CHECK_INT(told.count, 0);
        unit_close(&u);
    }
}
/*  A write of that way ends with IOERR, since its connection cannot be opened again. */
static void writer_cannot_be_opened(unit_pool *u, const char *path, int way) {
    PART(breaker_begin(u, "sim", path));
    PART(writes_fail(u, SQLITE_CANTOPEN, 1)); /* the connection is closed now */
    CHECK_INT(told.count, 0);
    unit_arm(SIM_VFS_READ, 0, 1);
    CHECK_INT(write_by(u, way), SQLITE_IOERR);
    sim_vfs_heal();
}
/*  The same of the writer: the next one to have it fails for a reason of its own. */
TEST(a_failed_opening_of_the_writer_is_not_the_next_calls) {
    unit_pool u;
    int events;
    PART(writer_cannot_be_opened(&u, "writeropening.db", W_EXEC));
    events = told.count;
    later(&u, 1000);
    CHECK_INT(unit_exec(&u, "INSERT INTO t(id) VALUES('x')"), SQLITE_MISMATCH);
    CHECK_INT(told.count, events);
    unit_close(&u);
}

/*  Calls that end with CANTOPEN count, also where it was the pool's own opening. */
TEST(openings_that_fail_count) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int i;
    config.vfs_name = "sim";
    config.breaker_failures = 5;
    PART(breaker_open(&u, "openings.db", &config, TABLE));
    unit_arm(SIM_VFS_OPEN, 0, 1);
    for (i = 0; i < 5; i++) {
        CHECK_INT(told.count, 0);
        CHECK_INT(read_with(&u, 0), SQLITE_CANTOPEN);
        later(&u, 300); /* open_retry_ms */
    }
    sim_vfs_heal();
    PART(check_told(1, SQLPOOL_READ, 1, SQLITE_CANTOPEN));
    PART(closes_after(&u, 1000, SQLPOOL_READ, 2));
    unit_close(&u);
}
/*  A write that ends with IOERR is the first of them, also where its connection had to be
    opened. */
TEST(an_opening_for_a_write_that_fails_opens) {
    unit_pool u;
    PART(writer_cannot_be_opened(&u, "writeropens.db", W_EXEC));
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_IOERR));
    unit_close(&u);
}
/*  The same of a submitted write, which the pool runs on its own account. */
TEST(an_opening_for_a_submitted_write_that_fails_opens) {
    unit_pool u;
    PART(writer_cannot_be_opened(&u, "submitopens.db", W_SUBMIT));
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_IOERR));
    PART(writes_are_refused(&u, SQLITE_IOERR));
    unit_close(&u);
}
/*  A read that found another connection when its own could not be opened went well. */
TEST(an_opening_that_fails_beside_others_does_not_count) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 2);
    const sqlpool_call call = unit_call(50);
    sqlpool_conn conn;
    int i;
    config.vfs_name = "sim";
    config.breaker_failures = 2;
    config.breaker_percent = 1;
    PART(breaker_open(&u, "beside.db", &config, TABLE));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    unit_arm(SIM_VFS_OPEN, 0, 1);
    for (i = 0; i < 5; i++) {
        const uint64_t failures = stats_of(&u).open_failures;
        later(&u, 300); /* open_retry_ms */
        CHECK_INT(sqlpool_exec_with(u.pool, &call, NULL, READ, SQLPOOL_NO_ARGS, &u.error),
                  SQLPOOL_TIMEOUT);
        CHECK(stats_of(&u).open_failures > failures);
    }
    sim_vfs_heal();
    CHECK_OK(sqlpool_conn_release(&conn), &u.error);
    CHECK_INT(told.count, 0);
    PART(reads_go_well(&u));
    CHECK_INT(u.core->breakers[SQLPOOL_READ].failures, 0);
    unit_close(&u);
}
/*  connect_fn's refusal is the program's own. */
TEST(what_connect_fn_returns_does_not_count) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    int i;
    config.breaker_failures = 1;
    PART(breaker_open(&u, "connectfn.db", &config, TABLE));
    connect_code = SQLITE_NOTADB;
    for (i = 0; i < 3; i++) {
        CHECK_INT(read_with(&u, 0), SQLITE_NOTADB);
        later(&u, 300);
    }
    connect_code = SQLITE_OK;
    PART(reads_go_well(&u));
    CHECK_INT(told.count, 0);
    unit_close(&u);
}

/*---- switches and topologies ----*/

TEST(switched_off) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1), resolved;
    int i;
    config.breaker_open_ms = SQLPOOL_OFF;
    config.breaker_failures = 1;
    PART(breaker_open(&u, "off.db", &config, TABLE));
    CHECK_OK(sqlpool_config_resolved(u.pool, &resolved), &u.error);
    CHECK_INT(resolved.breaker_open_ms, SQLPOOL_OFF);
    for (i = 0; i < 50; i++) {
        CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL);
        CHECK(strstr(u.error.message, "not tried") == NULL);
        CHECK_INT(read_with(&u, SQLITE_IOERR), SQLITE_IOERR);
    }
    CHECK_INT(told.count, 0);
    CHECK_INT(stats_of(&u).breaker_opens, 0);
    CHECK_INT(stats_of(&u).breaker_refusals, 0);
    PART(writes_go_well(&u));
    unit_close(&u);
}

TEST(defaults) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1), resolved;
    PART(breaker_open(&u, "defaults.db", &config, NULL));
    CHECK_OK(sqlpool_config_resolved(u.pool, &resolved), &u.error);
    CHECK_INT(resolved.breaker_open_ms, 1000);
    CHECK_INT(resolved.breaker_failures, 20);
    CHECK_INT(resolved.breaker_percent, 50);
    CHECK_INT(resolved.breaker_window_ms, 10000);
    unit_close(&u);
}

/*  One connection for both modes, or several that may all write: still a breaker for each mode. */
TEST(general_topology) {
    int most;
    for (most = 1; most <= 3; most += 2) {
        unit_pool u;
        sqlpool_config config = breaker_config(&u, most - 1);
        int i;
        config.vfs_name = "sim";
        config.topology = SQLPOOL_TOPOLOGY_GENERAL;
        PART(breaker_open(&u, "general.db", &config, TABLE));
        CHECK_INT(u.core->lane_of[0] == u.core->lane_of[1], 1);
        PART(a_write_opens(&u, SQLITE_IOERR_WRITE, 1));
        for (i = 0; i < 5; i++) {
            PART(writes_are_refused(&u, SQLITE_IOERR_WRITE));
            PART(reads_go_well(&u));
        }
        CHECK_INT(state_of(&u, SQLPOOL_WRITE), OPEN); /* reads close nothing */
        PART(closes_after(&u, 1000, SQLPOOL_WRITE, 2));
        later(&u, 10001);
        PART(reads_fail(&u, SQLITE_IOERR_READ, 20));
        PART(check_told(3, SQLPOOL_READ, 1, SQLITE_IOERR_READ));
        PART(reads_are_refused(&u, SQLITE_IOERR_READ));
        PART(writes_go_well(&u)); /* and writes close nothing of reads */
        CHECK_INT(state_of(&u, SQLPOOL_READ), OPEN);
        PART(closes_after(&u, 1000, SQLPOOL_READ, 4));
        unit_close(&u);
    }
}

TEST(a_database_in_memory) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    page_limit = 10;
    PART(breaker_open(&u, ":memory:", &config, "CREATE TABLE big(v)"));
    CHECK_INT(unit_exec(&u, "INSERT INTO big VALUES(zeroblob(100000))"), SQLITE_FULL);
    PART(check_told(1, SQLPOOL_WRITE, 1, SQLITE_FULL));
    PART(check_refusal(&u, unit_exec(&u, "INSERT INTO big VALUES(1)"), SQLPOOL_WRITE, SQLITE_FULL,
                       "database or disk is full", 0, 1000));
    later(&u, 1000);
    CHECK_OK(unit_exec(&u, "INSERT INTO big VALUES(1)"), &u.error);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
    unit_close(&u);
}

/*  A file that was moved away is another matter: its own result, its own way out. */
TEST(a_moved_file) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    config.journal = SQLPOOL_JOURNAL_DELETE;
    PART(breaker_open(&u, "moved.db", &config, TABLE));
    PART(writes_go_well(&u));
    CHECK_INT(rename("moved.db", "elsewhere.db"), 0);
    later(&u, 600); /* validate_after_ms */
    CHECK_INT(write_with(&u, 0), SQLPOOL_MOVED);
    CHECK_INT(write_with(&u, 0), SQLPOOL_MOVED);
    CHECK_INT(told.count, 0);
    CHECK_INT(state_of(&u, SQLPOOL_WRITE), CLOSED);
    CHECK_INT(rename("elsewhere.db", "moved.db"), 0);
    CHECK_OK(sqlpool_recycle(u.pool), &u.error);
    PART(writes_go_well(&u));
    unit_close(&u);
}

/*---- the clock ----*/

TEST(a_clock_that_jumps_ahead) {
    unit_pool u;
    PART(breaker_begin(&u, NULL, "ahead.db"));
    CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL);
    later(&u, (int64_t)365 * 86400 * 1000);
    CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL); /* one try */
    CHECK(strstr(u.error.message, "not tried") == NULL);
    PART(writes_are_refused(&u, SQLITE_FULL));
    later(&u, 1000);
    PART(writes_go_well(&u));
    unit_close(&u);
}

/*  The clock of a hook should never go back; when it does, writes do not fail for as long. */
TEST(a_clock_that_jumps_back) {
    unit_pool u;
    PART(breaker_begin(&u, NULL, "back.db"));
    CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL);
    later(&u, -(int64_t)3600 * 1000);
    (void)write_with(&u, SQLITE_FULL); /* refused or not */
    later(&u, 1000);
    PART(writes_go_well(&u));
    unit_close(&u);
}

/*  The longest period does not overflow. */
TEST(the_longest_period) {
    unit_pool u;
    sqlpool_config config = breaker_config(&u, 1);
    config.breaker_open_ms = INT32_MAX;
    config.breaker_window_ms = INT32_MAX;
    config.breaker_failures = 1000000;
    config.breaker_percent = 100;
    PART(breaker_open(&u, "longest.db", &config, TABLE));
    CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL);
    CHECK_INT(read_with(&u, SQLITE_IOERR), SQLITE_IOERR);
    later(&u, INT32_MAX - 1);
    PART(check_refusal(&u, write_with(&u, 0), SQLPOOL_WRITE, SQLITE_FULL, "SQLITE_FULL",
                       INT32_MAX - 1, 1));
    later(&u, 1);
    PART(writes_go_well(&u));
    unit_close(&u);
}

/*---- the end of a pool ----*/

/*  Writes that are submitted while the breaker is open, and the pool is closed: each is told
    once. */
TEST(closing_with_an_open_breaker) {
    static const int jobs = 8;
    int is_broken, i;
    for (is_broken = 0; is_broken < 2; is_broken++) {
        unit_pool u;
        PART(breaker_begin(&u, "sim", "closing.db"));
        memset(done, 0, sizeof done);
        CHECK_INT(write_with(&u, SQLITE_FULL), SQLITE_FULL);
        for (i = 0; i < jobs; i++) CHECK_OK(submit_at(&u, i, INSERT, 10 + i), &u.error);
        CHECK_INT(state_of(&u, SQLPOOL_WRITE), OPEN);
        fail_code = is_broken ? SQLITE_IOERR_WRITE : SQLITE_OK;
        unit_close(&u);
        fail_code = SQLITE_OK;
        for (i = 0; i < jobs; i++) {
            CHECK_INT(done[i].count, 1);
            if (is_broken || done[i].result != SQLPOOL_OK) {
                CHECK(done[i].result == SQLITE_IOERR_WRITE || done[i].result == SQLITE_FULL);
                CHECK_INT(done[i].outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
            } else {
                CHECK_INT(done[i].outcome, SQLPOOL_OUTCOME_COMMITTED);
            }
        }
    }
}

/*---- the model ----*/

/*  What the manual says, in a few lines: a breaker of its own for each mode, fed with the same
    events. */
typedef struct model {
    int state, code;
    int64_t opened_ms, try_ms;
    int64_t window_ms;
    int failures, calls; /* in the window; calls from the first failure on */
} model;

typedef struct play {
    unit_pool u;
    sim_random dice;
    model models[2];
    int64_t now_ms;
    int open_ms, most_failures, percent, window_ms;
    int events, refusals, opens; /* that the model expects */
    int mode, what, code;        /* of the last event */
    sqlpool_conn leases[2];      /* of a mode: held over several events */
    int trouble[2];
    bool is_held[2];
} play;

static void model_open(play *p, int mode, int code) {
    model *m = &p->models[mode];
    if (m->state == CLOSED) {
        m->opened_ms = p->now_ms;
        p->opens++;
        p->events++;
        p->mode = mode, p->what = 1, p->code = code;
    }
    m->state = OPEN;
    m->code = code;
    m->try_ms = p->now_ms + p->open_ms;
}
static void model_close(play *p, int mode) {
    model *m = &p->models[mode];
    if (m->state == CLOSED) return;
    m->state = CLOSED;
    m->failures = 0;
    p->events++;
    p->mode = mode, p->what = 0, p->code = SQLITE_OK;
}
/*  May a call begin? */
static bool model_admits(play *p, int mode) {
    model *m = &p->models[mode];
    if (m->state == CLOSED) return true;
    if (p->now_ms < m->try_ms) {
        p->refusals++;
        return false;
    }
    m->state = TRYING;
    m->try_ms = p->now_ms + p->open_ms;
    return true;
}
static void model_begins(play *p) {
    p->models[0].calls++;
    p->models[1].calls++;
}
static bool is_corrupt(int code) {
    return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}
static bool is_plain(int code) {
    const int primary = code & 0xff;
    return is_corrupt(code) || primary == SQLITE_FULL || primary == SQLITE_READONLY ||
           primary == SQLITE_IOERR;
}
/*  A call, or a lease, ends; with this failure of the disk, or 0. */
static void model_ends(play *p, int mode, int code, bool has_read) {
    model *m = &p->models[mode];
    bool is_over = false;
    if (code == SQLITE_OK) {
        if (mode == SQLPOOL_READ && has_read) model_close(p, mode);
        return;
    }
    if (!(mode == SQLPOOL_WRITE && is_plain(code))) {
        if (m->failures == 0 || p->now_ms - m->window_ms > p->window_ms) {
            m->failures = 0;
            m->calls = 1; /* this one */
            m->window_ms = p->now_ms;
        }
        m->failures++;
        is_over = m->failures >= p->most_failures && m->failures * 100 >= m->calls * p->percent;
    } else {
        is_over = true;
    }
    if (is_over || m->state != CLOSED) model_open(p, mode, code);
    if (mode == SQLPOOL_READ && is_corrupt(code)) model_open(p, SQLPOOL_WRITE, code);
}

static void play_check(play *p, int number) {
    const sqlpool_stats stats = stats_of(&p->u);
    const int at = (told.count + MOST - 1) % MOST;
    if (stats.breaker_read != p->models[0].state || stats.breaker_write != p->models[1].state ||
        (int)stats.breaker_refusals != p->refusals || (int)stats.breaker_opens != p->opens ||
        told.count != p->events ||
        (told.count > 0 &&
         (told.modes[at] != p->mode || told.states[at] != p->what || told.codes[at] != p->code)))
        test_fail(__FILE__, __LINE__,
                  "event %d: read %d (model %d), write %d (%d), %d refusals (%d), %d opens (%d), "
                  "%d events (%d), "
                  "last: mode %d (%d) state %d (%d) code %d (%d)",
                  number, stats.breaker_read, p->models[0].state, stats.breaker_write,
                  p->models[1].state, (int)stats.breaker_refusals, p->refusals,
                  (int)stats.breaker_opens, p->opens, told.count, p->events, told.modes[at],
                  p->mode, told.states[at], p->what, told.codes[at], p->code);
}
static void play_refused(play *p, int mode, int rc) {
    const model *m = &p->models[mode];
    CHECK(p->now_ms < m->try_ms);
    PART(check_refusal(&p->u, rc, mode, m->code, "SQLITE_", (int)(p->now_ms - m->opened_ms),
                       (int)(m->try_ms - p->now_ms)));
}

/*  A code, or 0: often well, sometimes the disk, sometimes the caller's own fault. */
static int roll_code(play *p, int mode) {
    static const int writes[] = {SQLITE_FULL,     SQLITE_READONLY, SQLITE_PROTOCOL,
                                 SQLITE_PROTOCOL, SQLITE_PROTOCOL, SQLITE_CONSTRAINT,
                                 SQLITE_ERROR,    SQLITE_MISMATCH};
    static const int reads[] = {SQLITE_PROTOCOL, SQLITE_PROTOCOL, SQLITE_PROTOCOL, SQLITE_FULL,
                                SQLITE_FULL};
    const uint64_t roll = sim_random_below(&p->dice, 100);
    if (roll < 50) return SQLITE_OK;
    if (roll >= 99) return SQLITE_IOERR_READ; /* these close the connection, which takes its time */
    if (roll == 98) return mode == SQLPOOL_READ ? SQLITE_NOTADB : SQLITE_CANTOPEN;
    return mode == SQLPOOL_WRITE ? writes[sim_random_below(&p->dice, LENGTH(writes))]
                                 : reads[sim_random_below(&p->dice, LENGTH(reads))];
}
/*  0 when the breaker does not count it. */
static int counted_code(int code) {
    return is_plain(code) || code == SQLITE_PROTOCOL || code == SQLITE_CANTOPEN ? code : SQLITE_OK;
}

static void play_call(play *p, int mode) {
    const int code = roll_code(p, mode);
    const bool is_admitted = model_admits(p, mode);
    int rc;
    if (is_admitted) model_begins(p);
    rc = mode == SQLPOOL_WRITE ? write_with(&p->u, code) : read_with(&p->u, code);
    if (!is_admitted) {
        PART(play_refused(p, mode, rc));
        return;
    }
    CHECK_INT(rc, code);
    CHECK(strstr(p->u.error.message, "not tried") == NULL);
    if (mode == SQLPOOL_WRITE && code == SQLITE_OK) model_close(p, SQLPOOL_WRITE);
    model_ends(p, mode, counted_code(code), true);
}
/*  An error before anything ran. */
static void play_mistake(play *p, int mode) {
    const bool is_admitted = model_admits(p, mode);
    int rc;
    if (is_admitted) model_begins(p);
    rc = sqlpool_exec(p->u.pool,
                      mode == SQLPOOL_WRITE ? "INSERT INTO nowhere VALUES(1)" : "SELECT nothing",
                      SQLPOOL_NO_ARGS, &p->u.error);
    if (!is_admitted) {
        PART(play_refused(p, mode, rc));
    } else {
        CHECK_INT(rc, SQLITE_ERROR);
    }
}
static void play_acquire(play *p, int mode) {
    const bool is_admitted = model_admits(p, mode);
    int rc;
    if (is_admitted) model_begins(p);
    rc = sqlpool_conn_acquire(p->u.pool, (sqlpool_mode)mode, &p->leases[mode], &p->u.error);
    if (!is_admitted) {
        PART(play_refused(p, mode, rc));
        return;
    }
    CHECK_INT(rc, SQLPOOL_OK);
    p->is_held[mode] = true;
    p->trouble[mode] = -1; /* nothing has run */
}
static void play_use(play *p, int mode) {
    const int code = roll_code(p, mode);
    int rc;
    fail_code = code;
    rc = mode == SQLPOOL_WRITE
             ? insert_one(&p->leases[mode], NULL, 1)
             : sqlpool_conn_exec(&p->leases[mode], READ, SQLPOOL_NO_ARGS, NULL, &p->u.error);
    fail_code = SQLITE_OK;
    CHECK_INT(rc, code);
    if (mode == SQLPOOL_WRITE && code == SQLITE_OK) {
        p->trouble[mode] = SQLITE_OK;
        model_close(p, SQLPOOL_WRITE);
    } else if (p->trouble[mode] <= SQLITE_OK) { /* the first cause stays */
        p->trouble[mode] = counted_code(code);
    }
}
static void play_release(play *p, int mode) {
    CHECK_INT(sqlpool_conn_release(&p->leases[mode]), SQLPOOL_OK);
    p->is_held[mode] = false;
    model_ends(p, mode, p->trouble[mode] > 0 ? p->trouble[mode] : SQLITE_OK, p->trouble[mode] >= 0);
}

/*  Events by the dice; with `is_mixed` of both modes, else reads alone, so that the share of failed
    calls matters. */
static void play_model(bool is_mixed, int count, const char *path) {
    static play p;
    sqlpool_config config;
    const uint64_t seed = sim_seed();
    int number, opened[2] = {0, 0};
    memset(&p, 0, sizeof p);
    printf("# seed %llu\n", (unsigned long long)seed);
    p.dice.state = seed;
    config = breaker_config(&p.u, 3);
    config.breaker_open_ms = p.open_ms = 100;
    config.breaker_failures = p.most_failures = 5;
    config.breaker_percent = p.percent = is_mixed ? 1 : 50;
    config.breaker_window_ms = p.window_ms = 300;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    config.wal_budget_bytes = (int64_t)1 << 40;
    PART(breaker_open(&p.u, path, &config, TABLE));
    for (number = 0; number < count && !test_failed_now; number++) {
        static const int steps[] = {0, 0, 1, 7, 30, 99, 100, 101, 300, 301, 2000};
        const int mode = is_mixed ? (int)sim_random_below(&p.dice, 2) : SQLPOOL_READ;
        const uint64_t roll = sim_random_below(&p.dice, 100);
        const bool is_writer_out = p.is_held[SQLPOOL_WRITE];
        if (roll < 20) {
            const int step = steps[sim_random_below(&p.dice, roll < 15 ? 5 : LENGTH(steps))];
            p.now_ms += step;
            later(&p.u, step);
        } else if (roll < 30 && p.is_held[mode]) {
            PART(play_release(&p, mode));
        } else if (roll < 50 && p.is_held[mode]) {
            PART(play_use(&p, mode));
        } else if (mode == SQLPOOL_WRITE && is_writer_out) {
            continue; /* this thread may not write beside its lease */
        } else if (roll < 55 && !p.is_held[mode]) {
            PART(play_acquire(&p, mode));
        } else if (roll < 60) {
            PART(play_mistake(&p, mode));
        } else {
            PART(play_call(&p, mode));
        }
        PART(play_check(&p, number));
        opened[0] += p.models[0].state != CLOSED;
        opened[1] += p.models[1].state != CLOSED;
    }
    for (number = 0; number < 2; number++)
        if (p.is_held[number]) PART(play_release(&p, number));
    PART(play_check(&p, count));
    /* the dice met all of it */
    CHECK(opened[0] > count / 20 && opened[0] < count - count / 20);
    if (is_mixed) CHECK(opened[1] > count / 20 && opened[1] < count - count / 20);
    CHECK(p.refusals > count / 50);
    CHECK(p.opens > count / 500);
    unit_close(&p.u);
}
TEST(model_of_both_modes) {
    play_model(true, 20000, "model.db");
}
TEST(model_of_the_share) {
    play_model(false, 20000, "modelshare.db");
}

int main(void) {
    sim_vfs.skip_sync = sim_vfs.skip_sleep = 1;
    if (sim_vfs_install() != SQLITE_OK) return 1;
    RUN(the_first_failure_opens);
    RUN(a_trial_that_fails_opens_again);
    RUN(a_trial_that_tells_nothing_leaves_it_open);
    RUN(every_way_to_write);
    RUN(every_way_to_write_with_an_io_error);
    RUN(every_way_to_write_into_a_corrupt_file);
    RUN(every_way_to_write_into_a_readonly_file);
    RUN(a_submitted_trial_that_fails);
    RUN(outcome_of_a_refused_transaction);
    RUN(a_load_is_refused_in_the_middle);
    RUN(failures_of_the_disk);
    RUN(a_full_file);
    RUN(a_corrupt_file);
    RUN(no_database);
    RUN(a_file_that_cannot_be_written);
    RUN(the_last_number_of_a_table_is_no_full_disk);
    RUN(a_readonly_neighbour_is_no_readonly_file);
    RUN(a_trial_that_writes_nothing_leaves_it_open);
    RUN(failures_that_are_not_the_disks);
    RUN(mistakes_and_deadlines_do_not_count);
    RUN(what_a_function_returns_does_not_count);
    RUN(a_commit_after_the_failure);
    RUN(the_first_cause_of_a_lease);
    RUN(a_lease_from_before_goes_on);
    RUN(a_poison_write_in_a_group_does_not_open);
    RUN(a_group_that_fails);
    RUN(a_refusal_is_for_those_that_were_there);
    RUN(the_rate_of_reads);
    RUN(the_share_of_reads);
    RUN(the_share_is_of_one_mode);
    RUN(the_share_of_submitted_writes);
    RUN(a_call_is_counted_once);
    RUN(the_window_passes);
    RUN(the_share_of_an_earlier_window_is_gone);
    RUN(the_rate_of_writes);
    RUN(corruption_that_a_read_finds);
    RUN(cursors_and_leases_that_read);
    RUN(a_lock_that_is_never_given_back);
    RUN(a_lock_that_keeps_readers_out);
    RUN(a_trial_that_does_not_wait_for_the_lock);
    RUN(checkpoints_are_neither_refused_nor_counted);
    RUN(the_checkpoint_of_a_commit_is_not_counted);
    RUN(upkeep_is_neither_refused_nor_counted);
    RUN(control_is_not_refused);
    RUN(a_failed_opening_is_not_the_next_calls);
    RUN(a_failed_opening_of_the_writer_is_not_the_next_calls);
    RUN(openings_that_fail_count);
    RUN(an_opening_for_a_write_that_fails_opens);
    RUN(an_opening_for_a_submitted_write_that_fails_opens);
    RUN(an_opening_that_fails_beside_others_does_not_count);
    RUN(what_connect_fn_returns_does_not_count);
    RUN(switched_off);
    RUN(defaults);
    RUN(general_topology);
    RUN(a_database_in_memory);
    RUN(a_moved_file);
    RUN(a_clock_that_jumps_ahead);
    RUN(a_clock_that_jumps_back);
    RUN(the_longest_period);
    RUN(closing_with_an_open_breaker);
    RUN(model_of_both_modes);
    RUN(model_of_the_share);
    return test_end();
}
