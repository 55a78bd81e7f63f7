/*  write.c - sqlpool_write(): a function in a transaction that others share. It fails alone, is run again
    when the others must be, and may not touch what is not its own.
    SPDX-License-Identifier: MIT OR Unlicense

    Deterministic: the test holds the writer until all callers wait; the first of them then leads the
    others, on its thread. Disk and memory are the simulator's, so that they can fail. */
#define _GNU_SOURCE
#include "callers.h"

/*  What a function is to do, and what it met. Only one thread at a time is inside. */
typedef struct deed {
    int64_t value;                                   /* it inserts this first */
    const char *sql;                                 /* then runs this, or NULL */
    int (*more)(sqlpool_conn *conn, struct deed *d); /* or this */
    int returns;                                     /* 0: what sql or more gave */
    bool is_deaf;                                    /* 0 whatever they gave */
    sqlpool *pool;                                   /* for those that try to use it */
    sqlpool_token *token;
    int runs, attempt, rc;
    int64_t seen; /* rows before its own */
    pthread_t on;
    sqlpool_error error;
} deed;

static deed deeds[MOST];

static int64_t rows_of_t(sqlpool_conn *conn) {
    sqlpool_rows rows;
    int64_t count = -1;
    (void)sqlpool_conn_query(conn, &rows, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, NULL);
    if (sqlpool_rows_next(&rows)) count = sqlpool_rows_int64(&rows, 0);
    (void)sqlpool_rows_close(&rows, NULL);
    return count;
}
static int act(sqlpool_conn *conn, void *user, int attempt) {
    deed *d = (deed *)user;
    d->runs++;
    d->attempt = attempt;
    d->on = pthread_self();
    d->seen = rows_of_t(conn);
    d->rc = sqlpool_conn_exec(conn, INSERT, SQLPOOL_ARGS(d->value), NULL, &d->error);
    if (d->rc == SQLPOOL_OK && d->sql != NULL)
        d->rc = sqlpool_conn_exec(conn, d->sql, SQLPOOL_NO_ARGS, NULL, &d->error);
    if (d->rc == SQLPOOL_OK && d->more != NULL) d->rc = d->more(conn, d);
    if (d->returns != 0) return d->returns;
    return d->is_deaf ? SQLPOOL_OK : d->rc;
}
static deed *deed_of(int at, int64_t value) {
    deed *d = &deeds[at];
    memset(d, 0, sizeof *d);
    d->value = value;
    (void)with_fn(&callers[at], act, d);
    return d;
}
/*  Callers 0 .. count - 1: functions that insert their number. */
static void deeds_only(int count) {
    int i;
    for (i = 0; i < count; i++) (void)deed_of(i, i);
}
/*  Every other one a function, the others statements. */
static void mixed(int count) {
    int i;
    for (i = 0; i < count; i++) {
        if (i % 2 == 1)
            (void)deed_of(i, i);
        else
            (void)with_int(&callers[i], INSERT, i);
    }
}

/*  The values 0 .. count - 1 but for one, in that order. */
static void check_rows(sqlpool *pool, int count, int without) {
    char expected[400] = "";
    size_t used = 0;
    int i;
    for (i = 0; i < count; i++) {
        if (i != without)
            used += (size_t)snprintf(expected + used, sizeof expected - used, "%s%d",
                                     used > 0 ? "," : "", i);
    }
    check_values(pool, expected);
}

/*  That one has failed, alone, and nothing of it is there. */
static void check_one_failed(sqlpool *pool, int count, int at, int rc) {
    PART(check_others(count, at));
    PART(check_caller(at, rc, SQLPOOL_OUTCOME_NOT_COMMITTED));
    PART(check_rows(pool, count, at));
}

/*---- alone ----*/

static sqlpool_conn kept;
static int keep_lease(sqlpool_conn *conn, deed *d) {
    (void)d;
    kept = *conn;
    return SQLPOOL_OK;
}
TEST(a_lone_function) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("lone.db", &config, TABLE POISON_TABLES);
    deed *d = deed_of(0, 7);
    CHECK(pool != NULL);
    d->more = keep_lease;
    CHECK_OK(sqlpool_write(pool, act, d, &err), &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_COMMITTED);
    CHECK_INT(err.attempts, 1);
    CHECK_INT(d->runs, 1);
    CHECK_INT(d->attempt, 1);
    CHECK(pthread_equal(d->on, pthread_self()));
    CHECK_INT(stats_of(pool).groups, 0);
    CHECK_INT(stats_of(pool).used, 0);
    CHECK_RC(sqlpool_conn_exec(&kept, INSERT, SQLPOOL_ARGS(8), NULL, &err), SQLPOOL_MISUSE, &err);
    d->returns = 70000;
    CHECK_RC(sqlpool_write(pool, act, d, &err), 70000, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_HAS(err.message, "70000");
    d->returns = 0;
    d->sql = "INSERT INTO u VALUES('dup')";
    CHECK_RC(sqlpool_write(pool, act, d, &err), SQLITE_CONSTRAINT_UNIQUE, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(err.sqlite_code, SQLITE_CONSTRAINT_UNIQUE);
    CHECK_HAS(err.message, "INSERT INTO u");
    d->is_deaf = true; /* it failed and goes on: that is its own affair */
    d->value = 9;
    CHECK_OK(sqlpool_write(pool, act, d, &err), &err);
    CHECK_INT(ask(pool, "SELECT group_concat(v) = '7,9' FROM t"), 1);
    CHECK_RC(sqlpool_write(pool, NULL, d, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_write(NULL, act, d, &err), SQLPOOL_MISUSE, &err);
    close_pool(pool);
    CHECK_RC(sqlpool_write(pool, act, d, &err), SQLPOOL_CLOSED, &err);
}
TEST(on_a_pool_that_cannot_write) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("readonly.db", &config, TABLE);
    deed *d = deed_of(0, 1);
    CHECK(pool != NULL);
    close_pool(pool);
    config.read_only = true;
    pool = open_pool("readonly.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_write(pool, act, d, &err), SQLITE_READONLY, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(d->runs, 0);
    close_pool(pool);
}

/*---- in a group ----*/

/*  A script whose first statement could be in a group is in it; any other has its own transaction. */
TEST(statements_functions_and_scripts_together) {
    enum { COUNT = 16 };
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("together.db", &config, TABLE);
    int i, elsewhere = 0;
    CHECK(pool != NULL);
    mixed(COUNT);
    with_sql(&callers[5], "INSERT INTO t(v) VALUES(1000); INSERT INTO t(v) VALUES(1001)")
        ->is_script = true;
    with_sql(&callers[9], "CREATE TABLE x(v); INSERT INTO t(v) VALUES(1002)")->is_script = true;
    CHECK(run_callers(pool, COUNT));
    check_others(COUNT, -1);
    for (i = 1; i < COUNT; i += 2) {
        if (i == 5 || i == 9) continue;
        CHECK_INT(deeds[i].runs, 1);
        CHECK_INT(deeds[i].attempt, 1);
        CHECK_INT(deeds[i].seen,
                  i + (i > 5) - (i > 9)); /* in the order of the queue; 9 comes behind */
        CHECK(pthread_equal(deeds[i].on, callers[0].thread));
        elsewhere += !pthread_equal(deeds[i].on, callers[i].thread);
    }
    CHECK_INT(elsewhere, 6);
    CHECK_INT(stats_of(pool).groups, 1);
    CHECK_INT(stats_of(pool).grouped, COUNT - 1);
    CHECK_INT(stats_of(pool).replayed, 0);
    CHECK_INT(ask(pool, "SELECT count(DISTINCT v) = count(*) AND count(*) = 17 FROM t"), 1);
    CHECK_INT(ask(pool, "SELECT id FROM t WHERE v = 1002"), 17);
    close_pool(pool);
}
/*  What a script did before it failed is undone, and nothing else. */
TEST(a_script_that_fails_in_a_group) {
    static const char *const bad[] = {
        "INSERT INTO t(v) VALUES(900); INSERT INTO u VALUES('dup')",
        "INSERT INTO t(v) VALUES(900); INSERT OR ROLLBACK INTO u VALUES('dup')",
        "INSERT INTO t(v) VALUES(900); CREATE TABLE u(v)", "INSERT INTO t(v) VALUES(900); COMMIT",
        "INSERT INTO child VALUES(7, NULL); INSERT INTO t(v) VALUES(900)"};
    static const int results[] = {SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_UNIQUE, SQLITE_ERROR,
                                  SQLPOOL_REFUSED, SQLITE_CONSTRAINT_FOREIGNKEY};
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("scripts.db", &config, TABLE POISON_TABLES);
    int k;
    CHECK(pool != NULL);
    for (k = 0; k < LENGTH(bad); k++) {
        mixed(6);
        with_sql(&callers[3], bad[k])->is_script = true;
        CHECK(run_callers(pool, 6));
        PART(check_one_failed(pool, 6, 3, results[k]));
        CHECK_INT(callers[3].error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
    }
    close_pool(pool);
}

/*  A function leads: the others run on its thread. */
TEST(a_function_leads) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("leads.db", &config, TABLE);
    int i;
    CHECK(pool != NULL);
    deeds_only(8);
    CHECK(run_callers(pool, 8));
    check_others(8, -1);
    check_rows(pool, 8, -1);
    for (i = 0; i < 8; i++) {
        CHECK(pthread_equal(deeds[i].on, callers[0].thread));
        CHECK_INT(deeds[i].seen, i);
        CHECK_INT(deeds[i].runs, 1);
    }
    CHECK_INT(stats_of(pool).groups, 1);
    close_pool(pool);
}

/*---- one that fails among others ----*/

static void fail_at(sqlpool *pool, int place, const char *sql, int returns, int rc, bool ends) {
    const uint64_t replayed = stats_of(pool).replayed;
    int i;
    deeds_only(16);
    deeds[place].sql = sql;
    deeds[place].returns = returns;
    CHECK(run_callers(pool, 16));
    PART(check_one_failed(pool, 16, place, rc));
    for (i = 0; i < 16; i++) {
        const int runs = ends && place > 0 && i <= place ? 2 : 1;
        CHECK_INT(deeds[i].runs, runs);
        CHECK_INT(deeds[i].attempt, runs);
    }
    CHECK_INT(stats_of(pool).replayed - replayed, ends && place > 0 ? place + 1 : 0);
    CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
}
static void fail_everywhere(const char *path, const char *sql, int returns, int rc, bool ends) {
    static const int places[] = {0, 1, 7, 15};
    sqlpool_config config = patient();
    sqlpool *pool = open_pool(path, &config, TABLE POISON_TABLES);
    int k;
    CHECK(pool != NULL);
    for (k = 0; k < LENGTH(places); k++) PART(fail_at(pool, places[k], sql, returns, rc, ends));
    CHECK_INT(ask(pool, "SELECT count(*) FROM u"), 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM r"), 0);
    close_pool(pool);
}
TEST(a_function_that_says_no_undoes_its_own) {
    fail_everywhere("says_no.db", NULL, 70000, 70000, false);
    fail_everywhere("says_no2.db", "INSERT INTO u VALUES('new')", -2000, -2000, false);
}
TEST(a_function_that_fails_undoes_its_own) {
    fail_everywhere("constraint.db", "INSERT INTO u VALUES('new'), ('dup')", 0,
                    SQLITE_CONSTRAINT_UNIQUE, false);
    fail_everywhere("or_fail.db", "INSERT OR FAIL INTO u VALUES('new'), ('dup')", 0,
                    SQLITE_CONSTRAINT_UNIQUE, false);
    fail_everywhere("syntax.db", "INSERT INTO u VALUES('unfinished", 0, SQLITE_ERROR, false);
    fail_everywhere("abort.db", "INSERT INTO r VALUES(2)", 0, SQLITE_CONSTRAINT_TRIGGER, false);
}
TEST(a_function_that_ends_the_transaction) {
    fail_everywhere("rollback.db", "INSERT OR ROLLBACK INTO u VALUES('dup')", 0,
                    SQLITE_CONSTRAINT_UNIQUE, true);
    fail_everywhere("raise.db", "INSERT INTO r VALUES(1)", 0, SQLITE_CONSTRAINT_TRIGGER, true);
}

/*  It does not want to know that the transaction is gone: what it does then is refused, and 0 does not
    commit it. */
static int go_on(sqlpool_conn *conn, deed *d) {
    EXPECT_INT(sqlpool_conn_exec(conn, "INSERT OR ROLLBACK INTO u VALUES('dup')", SQLPOOL_NO_ARGS,
                                 NULL, &d->error),
               SQLITE_CONSTRAINT_UNIQUE);
    EXPECT_INT(sqlpool_conn_exec(conn, INSERT, SQLPOOL_ARGS(500), NULL, &d->error),
               SQLPOOL_ROLLED_BACK);
    EXPECT_INT(sqlpool_conn_begin(conn, &d->error), SQLPOOL_ROLLED_BACK);
    return SQLPOOL_OK;
}
TEST(a_function_that_does_not_notice_the_end) {
    static const int places[] = {0, 3, 7};
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("deaf.db", &config, TABLE POISON_TABLES);
    int k;
    CHECK(pool != NULL);
    for (k = 0; k < LENGTH(places); k++) {
        deeds_only(8);
        deeds[places[k]].more = go_on;
        CHECK(run_callers(pool, 8));
        PART(check_one_failed(pool, 8, places[k], SQLPOOL_ROLLED_BACK));
        CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
    }
    close_pool(pool);
}

/*  The same with a statement of its own hand, which SQLite would commit by itself. */
static int step_on(sqlpool_conn *conn, deed *d) {
    sqlite3_stmt *statement;
    EXPECT_INT(sqlpool_conn_stmt(conn, "INSERT INTO t(v) VALUES(500)", &statement, &d->error),
               SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_exec(conn, "INSERT OR ROLLBACK INTO u VALUES('dup')", SQLPOOL_NO_ARGS,
                                 NULL, &d->error),
               SQLITE_CONSTRAINT_UNIQUE);
    (void)sqlite3_step(statement);
    return SQLPOOL_OK;
}
TEST(a_step_behind_the_end_commits_nothing) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("behind.db", &config, TABLE POISON_TABLES);
    deed *d = deed_of(0, 0);
    CHECK(pool != NULL);
    d->more = step_on;
    CHECK_RC(sqlpool_write(pool, act, d, &err), SQLPOOL_ROLLED_BACK, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    deeds_only(6);
    deeds[3].more = step_on;
    CHECK(run_callers(pool, 6));
    PART(check_one_failed(pool, 6, 3, SQLPOOL_ROLLED_BACK));
    close_pool(pool);
}

/*  What one function returns of itself has nothing to do with what its neighbour ran before it. */
static int fail_with_sql(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, "INSERT INTO u VALUES('dup') /* of the neighbour */",
                             SQLPOOL_NO_ARGS, NULL, NULL);
}
static int fail_without_sql(sqlpool_conn *conn, void *user, int attempt) {
    (void)conn, (void)attempt;
    return *(const int *)user;
}
TEST(an_error_has_no_statement_of_a_neighbour) {
    static const int codes[] = {SQLITE_CONSTRAINT_UNIQUE, SQLITE_ERROR, 70000};
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("neighbour.db", &config, TABLE POISON_TABLES);
    int k;
    CHECK(pool != NULL);
    for (k = 0; k < LENGTH(codes); k++) {
        int code = codes[k];
        (void)with_fn(&callers[0], fail_with_sql, NULL);
        (void)with_fn(&callers[1], fail_with_sql, NULL);
        (void)with_fn(&callers[2], fail_without_sql, &code);
        (void)with_int(&callers[3], INSERT, k);
        CHECK(run_callers(pool, 4));
        PART(check_caller(0, SQLITE_CONSTRAINT_UNIQUE, SQLPOOL_OUTCOME_NOT_COMMITTED));
        PART(check_caller(1, SQLITE_CONSTRAINT_UNIQUE, SQLPOOL_OUTCOME_NOT_COMMITTED));
        PART(check_caller(2, code, SQLPOOL_OUTCOME_NOT_COMMITTED));
        PART(check_ok(3));
        CHECK_HAS(callers[0].error.message, "of the neighbour"); /* its own */
        CHECK_HAS(callers[1].error.message, "of the neighbour");
        if (strstr(callers[2].error.message, "neighbour") != NULL)
            test_fail(__FILE__, __LINE__, "it ran no SQL: %s", callers[2].error.message);
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), LENGTH(codes));
    close_pool(pool);
}

TEST(a_commit_that_refuses) {
    static const int places[] = {0, 3, 7};
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("deferred.db", &config, TABLE POISON_TABLES);
    int k, i;
    CHECK(pool != NULL);
    for (k = 0; k < LENGTH(places); k++) {
        deeds_only(8);
        deeds[places[k]].sql = "INSERT INTO child VALUES(7, NULL)";
        CHECK(run_callers(pool, 8));
        PART(check_one_failed(pool, 8, places[k], SQLITE_CONSTRAINT_FOREIGNKEY));
        for (i = 0; i < 8; i++) {
            CHECK_INT(deeds[i].runs, i <= places[k] ? 2 : 1);
            CHECK_INT(deeds[i].attempt, deeds[i].runs);
        }
        CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM child"), 0);
    close_pool(pool);
}

/*  What is not committed has changed nothing, by itself and in a group. */
TEST(a_commit_that_refuses_reports_no_changes) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("unchanged.db", &config, TABLE POISON_TABLES);
    sqlpool_result result;
    int i;
    CHECK(pool != NULL);
    deeds_only(5);
    deeds[2].sql = "INSERT INTO child VALUES(7, NULL)";
    memset(&result, 0x5a, sizeof result);
    CHECK_RC(sqlpool_write_with(pool, NULL, &result, act, &deeds[2], &err),
             SQLITE_CONSTRAINT_FOREIGNKEY, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(result.changes, 0);
    CHECK_INT((int64_t)result.sequence, 0);
    CHECK(run_callers(pool, 5));
    check_others(5, 2);
    PART(check_caller(2, SQLITE_CONSTRAINT_FOREIGNKEY, SQLPOOL_OUTCOME_NOT_COMMITTED));
    for (i = 0; i < 5; i++) {
        CHECK_INT(callers[i].result.changes, i == 2 ? 0 : 1);
        CHECK_INT(callers[i].result.sequence != 0, i != 2);
    }
    close_pool(pool);
}

/*  A neighbour's row is not yet committed: who says no because of it is asked again when it never is. */
static int no_neighbour(sqlpool_conn *conn, deed *d) {
    (void)d;
    return ask_conn(conn, "SELECT count(*) FROM child") == 0 ? SQLPOOL_OK : 70001;
}
TEST(no_is_meant_for_what_is_committed) {
    sqlpool_config config = patient();
    sqlpool *pool =
        open_pool("settled.db", &config, TABLE POISON_TABLES "INSERT INTO parent VALUES(1);");
    CHECK(pool != NULL);
    deeds_only(4);
    (void)with_sql(&callers[1],
                   "INSERT INTO child VALUES(7, NULL)"); /* no such parent: COMMIT refuses */
    deeds[2].more = no_neighbour;
    CHECK(run_callers(pool, 4));
    check_caller(1, SQLITE_CONSTRAINT_FOREIGNKEY, SQLPOOL_OUTCOME_NOT_COMMITTED);
    check_others(4, 1);
    PART(check_rows(pool, 4, 1));
    CHECK_INT(deeds[2].runs, 1); /* it never met that row */
    deeds_only(4);
    (void)with_sql(&callers[1],
                   "INSERT INTO child VALUES(1, NULL)"); /* it is committed: no stays no */
    deeds[2].more = no_neighbour;
    CHECK(run_callers(pool, 4));
    check_others(4, 2);
    check_caller(2, 70001, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(deeds[2].runs, 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3 + 2);
    close_pool(pool);
}

/*---- sixty-four ----*/

typedef struct poison {
    const char *name, *sql;
    int primary; /* of the result */
    bool ends;
} poison;
static const poison poisons[] = {
    {"constraint", "INSERT INTO u VALUES('dup')", SQLITE_CONSTRAINT, false},
    {"check", "INSERT INTO u VALUES('bad')", SQLITE_CONSTRAINT, false},
    {"syntax", "INSERT INTO u VALUES(", SQLITE_ERROR, false},
    {"datatype", "INSERT INTO parent VALUES('text')", SQLITE_MISMATCH, false},
    {"too big", "INSERT INTO u VALUES(zeroblob(2000000000))", SQLITE_TOOBIG, false},
    {"OR ROLLBACK", "INSERT OR ROLLBACK INTO u VALUES('dup')", SQLITE_CONSTRAINT, true},
    {"RAISE(ABORT)", "INSERT INTO r VALUES(2)", SQLITE_CONSTRAINT, false},
    {"RAISE(FAIL)", "INSERT INTO r VALUES(3)", SQLITE_CONSTRAINT, false},
    {"RAISE(ROLLBACK)", "INSERT INTO r VALUES(1)", SQLITE_CONSTRAINT, true},
    {"missing table", "INSERT INTO missing VALUES(1)", SQLITE_ERROR, false},
    {"deferred", "INSERT INTO child VALUES(7, NULL)", SQLITE_CONSTRAINT, true},
};

static void poison_sixty_four(sqlpool *pool, const poison *p, int place, bool is_function) {
    const sqlpool_stats before = stats_of(pool);
    caller *bad = &callers[place];
    mixed(64);
    if (is_function)
        deed_of(place, place)->sql = p->sql;
    else
        (void)with_sql(bad, p->sql);
    CHECK(run_callers(pool, 64));
    check_others(64, place);
    PART(check_caller(place, bad->rc, SQLPOOL_OUTCOME_NOT_COMMITTED));
    CHECK_INT(bad->rc > 0 ? bad->rc & 0xff : bad->rc, p->primary);
    CHECK(bad->error.sqlite_code != 0);
    PART(check_rows(pool, 64, place));
    CHECK(stats_of(pool).groups > before.groups);
    CHECK(stats_of(pool).grouped - before.grouped >= 60); /* not each by itself */
    if (p->ends) CHECK(stats_of(pool).replayed > before.replayed);
    CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
}
TEST(one_of_sixty_four_fails_alone) {
    static const int places[] = {31, 63, 1};
    sqlpool_config config = patient();
    sqlpool *pool;
    int i;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    pool = open_pool("sixty_four.db", &config, TABLE POISON_TABLES);
    CHECK(pool != NULL);
    for (i = 0; i < 2 * LENGTH(poisons); i++) {
        poison_sixty_four(pool, &poisons[i / 2], places[i % 3], i % 2 == 1);
        if (test_failed_now) printf("# with %s\n", poisons[i / 2].name);
        if (test_failed_now) break;
    }
    if (sqlite3_libversion_number() >= 3037000) {
        const poison strict = {"STRICT", "INSERT INTO strict VALUES('text')", SQLITE_CONSTRAINT,
                               false};
        CHECK_OK(sqlpool_script(pool, "CREATE TABLE strict(v INTEGER) STRICT", -1, &err), &err);
        PART(poison_sixty_four(pool, &strict, 20, true));
    }
    close_pool(pool);
}

/*---- what a function leaves behind ----*/

static int leave_stepped(sqlpool_conn *conn, deed *d) {
    sqlite3_stmt *statement;
    (void)d;
    EXPECT_INT(
        sqlpool_conn_stmt(conn, "SELECT id FROM t UNION ALL VALUES(1), (2)", &statement, NULL),
        SQLPOOL_OK);
    EXPECT_INT(sqlite3_step(statement), SQLITE_ROW);
    return SQLPOOL_OK;
}
static sqlpool_rows left_rows;
static int leave_cursor(sqlpool_conn *conn, deed *d) {
    (void)d;
    EXPECT_INT(sqlpool_conn_query(conn, &left_rows, "SELECT id FROM t UNION ALL VALUES(1), (2)",
                                  SQLPOOL_NO_ARGS, NULL),
               SQLPOOL_OK);
    EXPECT_INT(sqlpool_rows_next(&left_rows), true);
    return SQLPOOL_OK;
}
/*  SQLite inserts all rows with the first step. */
static int leave_returning(sqlpool_conn *conn, deed *d) {
    sqlite3_stmt *statement;
    (void)d;
    EXPECT_INT(sqlpool_conn_stmt(
                   conn,
                   "INSERT INTO u VALUES(hex(randomblob(8))), (hex(randomblob(8))) RETURNING k",
                   &statement, NULL),
               SQLPOOL_OK);
    EXPECT_INT(sqlite3_step(statement), SQLITE_ROW);
    return SQLPOOL_OK;
}
/*  Its rows are in a buffer already: nothing is open. */
static int leave_buffered(sqlpool_conn *conn, deed *d) {
    sqlpool_rows rows;
    (void)d;
    EXPECT_INT(sqlpool_conn_query(
                   conn, &rows,
                   "INSERT INTO u VALUES(hex(randomblob(8))), (hex(randomblob(8))) RETURNING k",
                   SQLPOOL_NO_ARGS, NULL),
               SQLPOOL_OK);
    EXPECT_INT(sqlpool_rows_next(&rows), true);
    return sqlpool_rows_close(&rows, NULL);
}
/*  A statement that is not finished, given back by nobody, and the function fails. */
static int leave_and_fail(sqlpool_conn *conn, deed *d) {
    const int rc = leave_returning(conn, d);
    return rc == SQLPOOL_OK ? 70002 : rc;
}

static void leave(const char *path, int (*more)(sqlpool_conn *, deed *), const char *said, int rc,
                  int rows_of_u) {
    static const int places[] = {0, 2, 5};
    static lines log;
    sqlpool_config config = patient();
    sqlpool *pool;
    int k;
    log_to(&config, &log);
    pool = open_pool(path, &config, TABLE POISON_TABLES);
    CHECK(pool != NULL);
    for (k = 0; k < LENGTH(places); k++) {
        mixed(6);
        deed_of(places[k], places[k])->more = more;
        callers[places[k]].call.tag = "untidy";
        CHECK(run_callers(pool, 6));
        check_others(6, places[k]);
        PART(check_caller(places[k], rc,
                          rc == SQLPOOL_OK ? SQLPOOL_OUTCOME_COMMITTED
                                           : SQLPOOL_OUTCOME_NOT_COMMITTED));
        PART(check_rows(pool, 6, rc == SQLPOOL_OK ? -1 : places[k]));
        CHECK_INT(deeds[places[k]].runs, 1);
        CHECK_INT(ask(pool, "SELECT count(*) FROM u"), 1 + (k + 1) * rows_of_u);
        CHECK_INT(look(&log.counts[SQLPOOL_LOG_UNCLEAN]), said != NULL ? k + 1 : 0);
        if (said != NULL) {
            CHECK_HAS(log.text[SQLPOOL_LOG_UNCLEAN][k], said);
            CHECK_HAS(log.text[SQLPOOL_LOG_UNCLEAN][k], "[untidy]");
            CHECK_HAS(log.text[SQLPOOL_LOG_UNCLEAN][k], "callers.h");
        }
        CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
    }
    CHECK_INT(stats_of(pool).unclean, said != NULL ? 3 : 0);
    CHECK_INT(stats_of(pool).groups, 3);
    close_pool(pool);
}
TEST(what_is_left_open_is_closed_and_named) {
    leave("stepped.db", leave_stepped, "SELECT id FROM t", SQLPOOL_OK, 0);
    leave("cursor.db", leave_cursor, "SELECT id FROM t", SQLPOOL_OK, 0);
    CHECK(!sqlpool_rows_next(&left_rows));
    if (sqlite3_libversion_number() < 3035000) return; /* no RETURNING */
    leave("returning.db", leave_returning, "INSERT INTO u", SQLPOOL_OK, 2);
    leave("buffered.db", leave_buffered, NULL, SQLPOOL_OK, 2);
    leave("left_failed.db", leave_and_fail, "INSERT INTO u", 70002, 0);
}

static int begin_only(sqlpool_conn *conn, deed *d) {
    return sqlpool_conn_begin(conn, &d->error);
}
static int begin_twice(sqlpool_conn *conn, deed *d) {
    const int rc = sqlpool_conn_begin(conn, &d->error);
    return rc == SQLPOOL_OK ? sqlpool_conn_begin(conn, &d->error) : rc;
}
static void leave_levels(sqlpool *pool, int (*more)(sqlpool_conn *, deed *), int place, int count) {
    deeds_only(count);
    deeds[place].more = more;
    CHECK(run_callers(pool, count));
    PART(check_one_failed(pool, count, place, SQLPOOL_MISUSE));
    CHECK_HAS(callers[place].error.message, "begin");
    CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
}
TEST(a_begin_without_its_end) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("begin.db", &config, TABLE);
    deed *d = deed_of(0, 1);
    CHECK(pool != NULL);
    d->more = begin_only;
    CHECK_RC(sqlpool_write(pool, act, d, &err), SQLPOOL_MISUSE, &err); /* alone, without waiting */
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    PART(leave_levels(pool, begin_only, 0, 6));
    PART(leave_levels(pool, begin_only, 3, 6));
    PART(leave_levels(pool, begin_twice, 5, 6));
    CHECK_INT(stats_of(pool).used, 0);
    close_pool(pool);
}

/*---- levels of its own ----*/

static int inner_fails(sqlpool_conn *conn, void *user, int attempt) {
    (void)user;
    (void)attempt;
    EXPECT_INT(sqlpool_conn_exec(conn, INSERT, SQLPOOL_ARGS(901), NULL, NULL), SQLPOOL_OK);
    return 70003;
}
static int inner_works(sqlpool_conn *conn, void *user, int attempt) {
    (void)attempt;
    EXPECT_INT(sqlpool_conn_exec(conn, "INSERT INTO u VALUES('inner' || ?)",
                                 SQLPOOL_ARGS(((deed *)user)->value), NULL, NULL),
               SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_transaction(conn, inner_fails, user, NULL), 70003);
    return SQLPOOL_OK;
}
static int use_levels(sqlpool_conn *conn, deed *d) {
    sqlpool_error e;
    EXPECT_INT(sqlpool_conn_begin(conn, &e), SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_exec(conn, INSERT, SQLPOOL_ARGS(900), NULL, &e), SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_begin(conn, &e), SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_exec(conn, INSERT, SQLPOOL_ARGS(900), NULL, &e), SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_commit(conn, &e), SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_rollback(conn, &e), SQLPOOL_OK); /* both are gone */
    EXPECT_INT(sqlpool_conn_commit(conn, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_conn_rollback(conn, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_conn_transaction(conn, inner_works, d, &e), SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_transaction(conn, inner_fails, d, &e), 70003);
    EXPECT_INT(sqlpool_conn_script(
                   conn, "INSERT INTO r SELECT 9 WHERE 0; UPDATE u SET k = k WHERE 0", -1, &e),
               SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_begin(conn, &e), SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_exec(conn, "INSERT INTO u VALUES('hand' || ?)", SQLPOOL_ARGS(d->value),
                                 NULL, &e),
               SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_commit(conn, &e), SQLPOOL_OK);
    return SQLPOOL_OK;
}
TEST(levels_inside_a_function) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("levels.db", &config, TABLE POISON_TABLES);
    deed *d = deed_of(0, 0);
    int i;
    CHECK(pool != NULL);
    d->more = use_levels;
    CHECK_OK(sqlpool_write(pool, act, d, &err), &err);
    deeds_only(6);
    for (i = 0; i < 6; i++) deeds[i].value = i + 1;
    for (i = 0; i < 6; i += 2) deeds[i].more = use_levels;
    CHECK(run_callers(pool, 6));
    check_others(6, -1);
    PART(check_rows(pool, 7, -1));
    CHECK_INT(
        ask(pool, "SELECT count(*) FROM u WHERE k IN ('inner0', 'inner1', 'inner3', 'inner5')"), 4);
    CHECK_INT(ask(pool, "SELECT count(*) FROM u WHERE k IN ('hand0', 'hand1', 'hand3', 'hand5')"),
              4);
    CHECK_INT(ask(pool, "SELECT count(*) FROM u"), 9);
    CHECK_INT(stats_of(pool).groups, 1);
    close_pool(pool);
}

/*---- what is not its own ----*/

static void *try_elsewhere(void *argument) {
    sqlpool_conn copy = *(sqlpool_conn *)argument;
    EXPECT_INT(sqlpool_conn_adopt(&copy), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_conn_cancel(copy), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_conn_exec(&copy, INSERT, SQLPOOL_ARGS(800), NULL, NULL), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_conn_release(&copy), SQLPOOL_MISUSE);
    return NULL;
}
static int use_the_lease(sqlpool_conn *conn, deed *d) {
    static const char *const refused[] = {"BEGIN",
                                          "BEGIN IMMEDIATE",
                                          "COMMIT",
                                          "END",
                                          "ROLLBACK",
                                          "SAVEPOINT a",
                                          "RELEASE sqlpool_1",
                                          "ROLLBACK TO sqlpool_1",
                                          "ATTACH 'other.db' AS other",
                                          "DETACH main",
                                          "PRAGMA synchronous = 0",
                                          "PRAGMA journal_mode = DELETE",
                                          "PRAGMA foreign_keys = 0",
                                          "CREATE TEMP TABLE x(v)"};
    const sqlpool_chain chain = {0};
    sqlpool_conn copy = *conn;
    sqlpool_error e;
    pthread_t thread;
    int i;
    (void)d;
    EXPECT_INT(sqlpool_conn_release(&copy), SQLPOOL_MISUSE);
    copy = *conn;
    EXPECT_INT(sqlpool_conn_adopt(&copy), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_conn_cancel(copy), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_conn_db(conn) == NULL, 1);
    EXPECT_INT(sqlpool_conn_chain(conn, &chain), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_conn_chain(conn, NULL), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_conn_commit(conn, &e), SQLPOOL_MISUSE);
    EXPECT_INT(strstr(e.message, "sqlpool_write") != NULL, 1);
    EXPECT_INT(sqlpool_conn_rollback(conn, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_snapshot_begin(conn, 0, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_snapshot_end(conn, &e), SQLPOOL_MISUSE);
    for (i = 0; i < LENGTH(refused); i++) {
        sqlite3_stmt *statement;
        if (sqlpool_conn_exec(conn, refused[i], SQLPOOL_NO_ARGS, NULL, &e) != SQLPOOL_REFUSED)
            test_fail(__FILE__, __LINE__, "%s: %d %s", refused[i], e.result, e.message);
        EXPECT_INT(sqlpool_conn_stmt(conn, refused[i], &statement, &e), SQLPOOL_REFUSED);
        EXPECT_INT(sqlpool_conn_script(conn, refused[i], -1, &e), SQLPOOL_REFUSED);
    }
    EXPECT_INT(start_thread(&thread, try_elsewhere, conn), true);
    (void)pthread_join(thread, NULL);
    return sqlpool_conn_exec(conn, "INSERT INTO u VALUES('after' || ?)", SQLPOOL_ARGS(d->value),
                             NULL, &e);
}

static int nothing(sqlpool_conn *conn, void *user, int attempt) {
    (void)conn;
    (void)attempt;
    ++*(int *)user;
    return SQLPOOL_OK;
}
static int nothing_exclusive(sqlpool_conn *conn, void *user) {
    return nothing(conn, user, 1);
}
static int use_the_pool(sqlpool_conn *conn, deed *d) {
    static const sqlpool_call no_wait = {.timeout_ms = SQLPOOL_NO_WAIT};
    sqlpool_conn other;
    sqlpool_ticket ticket;
    sqlpool_error e;
    int64_t value = -1;
    int called = 0;
    (void)conn;
    EXPECT_INT(sqlpool_exec(d->pool, INSERT, SQLPOOL_ARGS(700), &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_write(d->pool, nothing, &called, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_write_with(d->pool, &no_wait, NULL, nothing, &called, &e) != SQLPOOL_OK, 1);
    EXPECT_INT(sqlpool_transaction(d->pool, SQLPOOL_WRITE, nothing, &called, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_script(d->pool, "DELETE FROM t", -1, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_conn_acquire(d->pool, SQLPOOL_WRITE, &other, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_checkpoint(d->pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_exclusive(d->pool, 50, nothing_exclusive, &called, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_pause(d->pool, 50, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_close(d->pool, &e), SQLPOOL_MISUSE);
    EXPECT_INT(called, 0);
    EXPECT_INT(sqlpool_query_int64(d->pool, &value, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &e),
               SQLPOOL_OK);
    EXPECT_INT(value, 1); /* what is committed: not its own row, nor its neighbours' */
    EXPECT_INT(sqlpool_transaction(d->pool, SQLPOOL_READ, nothing, &called, &e), SQLPOOL_OK);
    EXPECT_INT(called, 1);
    EXPECT_INT(sqlpool_submit(d->pool, &ticket, INSERT, SQLPOOL_ARGS(1000 + d->value), &e),
               SQLPOOL_OK);
    EXPECT_INT(sqlpool_ticket_wait(&ticket, 50, NULL, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_ticket_poll(&ticket, NULL, &e), SQLPOOL_WOULD_BLOCK);
    EXPECT_INT(sqlpool_flush(d->pool, 50, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_ticket_drop(&ticket), SQLPOOL_OK);
    return SQLPOOL_OK;
}
TEST(a_function_cannot_touch_what_it_shares) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("shares.db", &config, TABLE POISON_TABLES);
    deed *d = deed_of(0, 100);
    CHECK(pool != NULL);
    d->more = use_the_lease;
    CHECK_OK(sqlpool_write(pool, act, d, &err), &err);
    mixed(6);
    deed_of(0, 0)->more = use_the_lease;
    deed_of(4, 4)->more = use_the_lease;
    CHECK(run_callers(pool, 6));
    check_others(6, -1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE v < 100"), 6);
    CHECK_INT(ask(pool, "SELECT count(*) FROM u WHERE k IN ('after0', 'after4', 'after100')"), 3);
    CHECK_INT(stats_of(pool).groups, 1);
    CHECK_INT(stats_of(pool).replayed, 0);
    CHECK_INT(stats_of(pool).cancellations, 0);
    CHECK_INT(stats_of(pool).closed_recycled, 0);
    close_pool(pool);
}
TEST(a_function_can_read_through_the_pool_only) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("through.db", &config, TABLE "INSERT INTO t(v) VALUES(-1);");
    CHECK(pool != NULL);
    mixed(6);
    deeds[3].more = use_the_pool;
    deeds[3].pool = pool;
    CHECK(run_callers(pool, 6));
    check_others(6, -1);
    CHECK_INT(stats_of(pool).groups, 1);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1 + 6 + 1);
    CHECK_INT(ask(pool, "SELECT max(id) = 8 FROM t WHERE v = 1003"), 1); /* behind the group */
    close_pool(pool);
}

/*---- who is told, and when ----*/

static int stands; /* a place */
static int stand(sqlpool_conn *conn, deed *d) {
    (void)conn;
    (void)d;
    wait_at(&stands);
    return SQLPOOL_OK;
}
/*  The report of a lease that is out for long names the caller whose function it is, not the leader. */
TEST(a_long_function_is_reported_with_its_caller) {
    static const char *const tags[] = {"tag0", "tag1", "tag2", "tag3"};
    static lines log;
    sqlpool_config config = patient();
    sqlpool *pool;
    sqlpool_holder out[2];
    char text[4000];
    int i, holding;
    report_leaks_to(&config, &log);
    pool = open_pool("long.db", &config, TABLE);
    CHECK(pool != NULL);
    deeds_only(4);
    for (i = 0; i < 4; i++) callers[i].call.tag = tags[i];
    deeds[2].more = stand;
    CHECK(bring_to(&stands, pool, 4));
    (void)await_line(&log, SQLPOOL_LOG_LEAK, "[tag2]");
    holding = sqlpool_holders(pool, out, 2);
    (void)sqlpool_status_text(pool, text, sizeof text);
    let_go(&stands);
    join(4);
    check_others(4, -1);
    CHECK(has_line(&log, SQLPOOL_LOG_LEAK, "[tag2]"));
    CHECK(has_line(&log, SQLPOOL_LOG_LEAK, "callers.h"));
    CHECK(!has_line(&log, SQLPOOL_LOG_LEAK, "[tag0]"));
    CHECK_INT(holding, 1);
    CHECK_STR(out[0].tag, "tag2");
    CHECK_HAS(out[0].file, "callers.h");
    CHECK_HAS(text, "[tag2]");
    close_pool(pool);
}

static int run_endless(sqlpool_conn *conn, deed *d) {
    const int rc = sqlpool_conn_exec(conn, ENDLESS_INSERT, SQLPOOL_NO_ARGS, NULL, &d->error);
    sqlpool_error again; /* and all that it tries after that */
    EXPECT_INT(rc == SQLPOOL_TIMEOUT || rc == SQLPOOL_CANCELLED, 1);
    EXPECT_INT(sqlpool_conn_exec(conn, INSERT, SQLPOOL_ARGS(1), NULL, &again) != SQLPOOL_OK, 1);
    return rc;
}
TEST(a_deadline_stops_one_function) {
    static const int places[] = {0, 3, 5};
    sqlpool_config config = patient();
    int k;
    for (k = 0; k < LENGTH(places); k++) {
        sqlpool *pool = open_pool("deadline.db", &config, k == 0 ? TABLE : NULL);
        sqlpool_conn writer;
        int i;
        CHECK(pool != NULL);
        mixed(6);
        deed_of(places[k], places[k])->more = run_endless;
        callers[places[k]].call.timeout_ms = 300;
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
        for (i = 0; i < 6; i++) CHECK(queue_soon(pool, i));
        CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
        join(6);
        PART(check_one_failed(pool, 6, places[k], SQLPOOL_TIMEOUT));
        CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
        close_pool(pool);
    }
}
static int stand_and_run_endless(sqlpool_conn *conn, deed *d) {
    if (d->runs == 1) wait_at(&stands);
    return run_endless(conn, d);
}
TEST(a_token_stops_one_function) {
    static const int places[] = {0, 3, 5};
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("token.db", &config, TABLE);
    int k, i;
    CHECK(pool != NULL);
    for (k = 0; k < LENGTH(places); k++) {
        const int at = places[k];
        mixed(6);
        deed_of(at, at)->more = stand_and_run_endless;
        for (i = 0; i < 6; i++) callers[i].call.token = &callers[i].token;
        CHECK(bring_to(&stands, pool, 6));
        if (k != 1) let_go(&stands); /* in the statement, or before it */
        if (k != 1) sleep_ms(20);
        CHECK_INT(sqlpool_cancel(pool, &callers[at].token), SQLPOOL_OK);
        let_go(&stands);
        join(6);
        PART(check_one_failed(pool, 6, at, SQLPOOL_CANCELLED));
        CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
    }
    close_pool(pool);
}
static int with_fire(void *user, const sqlpool_conn *conn) {
    (void)user;
    return add_function(conn, "fire", 1, fire_function);
}
/*  A token that fires inside of a statement which ends well: SQLite asks once more at its end, every
    thousand instructions. What is said then must be what is in the file. */
TEST(a_token_that_fires_at_the_very_end) {
    sqlpool_config config = patient();
    sqlpool *pool;
    char sql[2000];
    int i, committed = 0;
    long_insert(sql, sizeof sql, "fire");
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    config.events.connect_fn = with_fire;
    pool = open_pool("very_end.db", &config, TABLE);
    CHECK(pool != NULL);
    for (i = 0; i < 40; i++) {
        (void)deed_of(0, i);
        (void)with_int(&callers[1], sql, 1);
        callers[1].call.token = &callers[1].token;
        CHECK(run_callers(pool, 2));
        check_ok(0);
        PART(check_caller(1, callers[1].rc == SQLPOOL_OK ? SQLPOOL_OK : SQLPOOL_CANCELLED,
                          callers[1].rc == SQLPOOL_OK ? SQLPOOL_OUTCOME_COMMITTED
                                                      : SQLPOOL_OUTCOME_NOT_COMMITTED));
        committed += 1 + (callers[1].rc == SQLPOOL_OK);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), committed);
    }
    close_pool(pool);
}
/*  A timeout that a function sets on its lease ends with it. */
static int set_timeout(sqlpool_conn *conn, deed *d) {
    EXPECT_INT(sqlpool_conn_set_timeout(conn, 0), SQLPOOL_OK);
    return sqlpool_conn_exec(conn, INSERT, SQLPOOL_ARGS(1), NULL, &d->error);
}
TEST(a_timeout_it_sets_is_its_own) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("set_timeout.db", &config, TABLE);
    CHECK(pool != NULL);
    mixed(6);
    deed_of(0, 0)->more = set_timeout;
    CHECK(run_callers(pool, 6));
    PART(check_one_failed(pool, 6, 0, SQLPOOL_TIMEOUT));
    CHECK_OK(sqlpool_write(pool, act, deed_of(0, 0), &err), &err);
    close_pool(pool);
}
TEST(a_function_that_never_began) {
    static const sqlpool_call no_wait = {.timeout_ms = SQLPOOL_NO_WAIT};
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("never.db", &config, TABLE);
    static holder h;
    CHECK(pool != NULL);
    deeds_only(4);
    PART(two_give_up(pool));
    CHECK_INT(deeds[1].runs, 0);
    CHECK_INT(deeds[2].runs, 0);
    CHECK_INT(ask(pool, "SELECT group_concat(v) = '0,3' FROM t"), 1);
    CHECK(take_writer(&h, pool));
    CHECK_RC(sqlpool_write_with(pool, &no_wait, NULL, act, &deeds[1], &err), SQLPOOL_WOULD_BLOCK,
             &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(deeds[1].runs, 0);
    give_writer(&h);
    close_pool(pool);
}

/*---- other pools ----*/

static void in_this_pool(const char *path, sqlpool_config config, bool has_groups) {
    sqlpool *pool = open_pool(path, &config, TABLE POISON_TABLES);
    const int writers = config.topology == SQLPOOL_TOPOLOGY_GENERAL ? config.max_connections : 1;
    sqlpool_conn all[4];
    int i, at_home = 0, held = 0;
    CHECK(pool != NULL);
    deeds_only(8);
    deeds[2].sql = "INSERT OR ROLLBACK INTO u VALUES('dup')";
    deeds[5].returns = 70000;
    for (; held < writers; held++)
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &all[held], &err), &err);
    for (i = 0; i < 8; i++) {
        callers[i].pool = pool;
        CHECK(start_thread(&callers[i].thread, run_caller, &callers[i]));
        while (stats_of(pool).waiting_write + stats_of(pool).waiting_read <= i) (void)usleep(100);
    }
    while (held-- > 0) CHECK_INT(sqlpool_conn_release(&all[held]), SQLPOOL_OK);
    join(8);
    for (i = 0; i < 8; i++) {
        if (i != 2 && i != 5) PART(check_ok(i));
        at_home += pthread_equal(deeds[i].on, callers[i].thread) != 0;
    }
    check_caller(2, SQLITE_CONSTRAINT_UNIQUE, SQLPOOL_OUTCOME_NOT_COMMITTED);
    check_caller(5, 70000, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(ask(pool, "SELECT sum(v) FROM t"), 0 + 1 + 3 + 4 + 6 + 7);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 6);
    CHECK_INT(at_home, has_groups ? 1 : 8);
    CHECK_INT(stats_of(pool).replayed > 0, has_groups);
    close_pool(pool);
}
TEST(in_other_pools) {
    sqlpool_config config = patient();
    PART(in_this_pool(":memory:", config, sqlite3_libversion_number() >= 3036000));
    config.group_count = SQLPOOL_OFF;
    PART(in_this_pool("off.db", config, false));
    config.group_count = 0;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    PART(in_this_pool("delete.db", config, true));
    config.journal = SQLPOOL_JOURNAL_WAL;
    config.max_connections = 1;
    PART(in_this_pool("one.db", config, false));
    config.max_connections = 4;
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    PART(in_this_pool("general.db", config, false));
}
/*  A group takes so many, whatever they are. */
TEST(a_group_has_its_bound) {
    sqlpool_config config = patient();
    sqlpool *pool;
    int i;
    config.group_count = 3;
    pool = open_pool("bound.db", &config, TABLE);
    CHECK(pool != NULL);
    deeds_only(9);
    CHECK(run_callers(pool, 9));
    check_others(9, -1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 9);
    CHECK(stats_of(pool).groups >= 3 && stats_of(pool).grouped <= 3 * stats_of(pool).groups);
    for (i = 0; i < 9; i++) CHECK_INT(deeds[i].runs, 1);
    close_pool(pool);
}

/*---- disk and memory ----*/

TEST(a_disk_that_fails_in_commit_leaves_nobody_knowing) {
    static const int counts[] = {1, 6};
    const sqlpool_config config = on_sim_disk();
    int k, i;
    for (k = 0; k < LENGTH(counts); k++) {
        sqlpool *pool = open_pool("commit.db", &config, k == 0 ? TABLE : NULL);
        sqlpool_conn writer;
        CHECK(pool != NULL);
        deeds_only(counts[k]);
        if (k == 1) deeds[4].returns = 70000;
        CHECK(gather(pool, counts[k], &writer));
        CHECK_OK(sqlpool_conn_exec(&writer, INSERT, SQLPOOL_ARGS(-1), NULL, &err), &err);
        fail_disk(SIM_VFS_SYNC, 0, 1);
        PART(run_into_fault(&writer, counts[k]));
        for (i = 0; i < counts[k]; i++) {
            if (k == 0 || i != 4)
                PART(check_caller(i, SQLITE_IOERR_FSYNC, SQLPOOL_OUTCOME_UNKNOWN));
            CHECK_INT(deeds[i].runs, 1);
        }
        if (k == 1) /* what it said no for may be gone with the others' rows */
            PART(check_caller(4, SQLITE_IOERR_FSYNC, SQLPOOL_OUTCOME_NOT_COMMITTED));
        CHECK_INT(stats_of(pool).replayed, 0);
        CHECK_OK(sqlpool_write(pool, act, deed_of(0, 100 + k), &err), &err);
        CHECK_INT(ask(pool, "SELECT count(*) FROM (SELECT v FROM t WHERE v >= 0 GROUP BY v HAVING "
                            "count(*) > 2)"),
                  0);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE v >= 100"), k + 1);
        close_pool(pool);
    }
}

TEST(memory_that_fails_in_a_group) {
    sqlpool_config config = patient();
    sqlpool *pool;
    int n, failures = 0;
    config.allocator = sim_allocator();
    config.disable_upkeep_thread = true; /* only the group draws numbers */
    pool = open_pool("memory.db", &config, TABLE "CREATE TABLE w(v)");
    CHECK(pool != NULL);
    for (n = 1; n <= 40; n++) {
        char sql[6][100], check[100];
        int i;
        for (i = 0; i < 6; i++) { /* texts that are not cached */
            (void)snprintf(sql[i], sizeof sql[i], "INSERT INTO w(v) VALUES(%d)", n * 10 + i);
            deed_of(i, n * 10 + i)->sql = sql[i];
        }
        PART(run_into_nomem(pool, 6, (uint64_t)(n * 3)));
        for (i = 0; i < 6; i++) {
            const bool is_ok = callers[i].rc == SQLPOOL_OK;
            PART(check_ok_or_nomem(i));
            CHECK(deeds[i].runs <= 2);
            (void)snprintf(check, sizeof check, "SELECT count(*) FROM t WHERE v = %d", n * 10 + i);
            CHECK_INT(ask(pool, check), is_ok);
            (void)snprintf(check, sizeof check, "SELECT count(*) FROM w WHERE v = %d", n * 10 + i);
            CHECK_INT(ask(pool, check), is_ok);
            failures += !is_ok;
        }
    }
    CHECK(failures > 10);
    close_pool(pool);
    check_memory();
}

/*---- a lock of another process ----*/

/*  Time moves only when the one that leads waits for the lock. */
static sim_clock slow_time;
static sqlite3 *taker; /* another process, */
static int takes;      /* that takes the lock when it can: 1; at the next rollback: 2; atomic */
static int64_t time_that_takes(void *user) {
    if (look(&takes) != 0 && sqlite3_exec(taker, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK)
        mark(&takes, 0);
    return sim_clock_now(user);
}
/*  Short waits are those for the lock. */
static int moves; /* atomic */
static sim_locks slow_locks;
static void wait_in_slow_time(void *user, sqlpool_condition *condition, sqlpool_mutex *mutex,
                              int64_t timeout_ns) {
    if (look(&moves) && timeout_ns >= 0 && timeout_ns < INT64_C(20000000))
        sim_clock_advance(&slow_time, timeout_ns);
    else
        sim_condition_wait(user, condition, mutex, timeout_ns);
}
static sqlpool_config in_slow_time(void) {
    sqlpool_config config = patient();
    memset(&slow_time, 0, sizeof slow_time);
    memset(&slow_locks, 0, sizeof slow_locks);
    mark(&moves, 0);
    config.clock = sim_clock_hooks(&slow_time);
    config.locks = sim_locks_hooks(&slow_locks);
    config.locks.condition_wait_fn = wait_in_slow_time;
    config.disable_upkeep_thread = true;
    config.acquire_timeout_ms = 500;
    config.breaker_open_ms = SQLPOOL_OFF; /* who comes later waits too */
    return config;
}
static int64_t slow_ms(void) {
    return __atomic_load_n(&slow_time.now_ns, __ATOMIC_SEQ_CST) / 1000000;
}
static bool other_process(const char *path) {
    taker = raw_open(path);
    if (taker != NULL) (void)sqlite3_busy_timeout(taker, 0);
    return taker != NULL;
}
static void other_process_ends(void) {
    (void)raw_exec(taker, "COMMIT");
    (void)sqlite3_close(taker);
}
/*  It takes the lock when the group is about to be run once more: one wait for all of them, and not
    one each. */
static void take_now(void *user) {
    (void)user;
    if (look(&takes) == 2) mark(&takes, 1);
}
static int chain_rollback(void *user, const sqlpool_conn *conn) {
    sqlpool_conn copy = *conn;
    sqlpool_chain chain;
    (void)user;
    memset(&chain, 0, sizeof chain);
    chain.rollback_fn = take_now;
    return sqlpool_conn_chain(&copy, &chain);
}
static int take_at_the_next(sqlpool_conn *conn, deed *d) {
    (void)conn, (void)d;
    mark(&takes, 2);
    return SQLPOOL_OK;
}
TEST(a_lock_of_another_process_in_the_middle_of_a_group) {
    enum { COUNT = 32, SPOILS = 10, HURRY = 20 };
    sqlpool_config config = in_slow_time();
    sqlpool *pool;
    sqlpool_conn writer;
    int64_t from;
    int i, timeouts = 0;
    config.clock.now_ns_fn = time_that_takes;
    config.events.connect_fn = chain_rollback;
    pool = open_pool("middle.db", &config, TABLE POISON_TABLES);
    CHECK(pool != NULL);
    CHECK(other_process("middle.db"));
    mixed(COUNT);
    (void)with_sql(&callers[SPOILS], "INSERT OR ROLLBACK INTO u VALUES('dup')");
    deeds[SPOILS - 1].more = take_at_the_next;
    callers[HURRY].call.timeout_ms = 200; /* it waits less, and takes nothing from the others */
    CHECK(gather(pool, COUNT, &writer));
    from = slow_ms();
    mark(&moves, 1);
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    join(COUNT);
    CHECK_INT(look(&takes), 0);
    other_process_ends();
    for (i = 0; i < COUNT; i++) {
        CHECK_INT(callers[i].error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        timeouts += callers[i].rc == SQLPOOL_TIMEOUT;
    }
    CHECK(timeouts >= COUNT - 1);
    CHECK(callers[HURRY].error.waited_us >= 200000 && callers[HURRY].error.waited_us < 500000);
    CHECK(slow_ms() - from >= 500 && slow_ms() - from < 2000);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    close_pool(pool);
}

int main(void) {
    if (!install_sim()) return 1;
    RUN(a_lone_function);
    RUN(on_a_pool_that_cannot_write);
    RUN(statements_functions_and_scripts_together);
    RUN(a_script_that_fails_in_a_group);
    RUN(a_function_leads);
    RUN(a_function_that_says_no_undoes_its_own);
    RUN(a_function_that_fails_undoes_its_own);
    RUN(a_function_that_ends_the_transaction);
    RUN(a_function_that_does_not_notice_the_end);
    RUN(a_step_behind_the_end_commits_nothing);
    RUN(an_error_has_no_statement_of_a_neighbour);
    RUN(a_commit_that_refuses);
    RUN(a_commit_that_refuses_reports_no_changes);
    RUN(no_is_meant_for_what_is_committed);
    RUN(one_of_sixty_four_fails_alone);
    RUN(what_is_left_open_is_closed_and_named);
    RUN(a_begin_without_its_end);
    RUN(levels_inside_a_function);
    RUN(a_function_cannot_touch_what_it_shares);
    RUN(a_function_can_read_through_the_pool_only);
    RUN(a_long_function_is_reported_with_its_caller);
    RUN(a_deadline_stops_one_function);
    RUN(a_token_stops_one_function);
    RUN(a_token_that_fires_at_the_very_end);
    RUN(a_timeout_it_sets_is_its_own);
    RUN(a_function_that_never_began);
    RUN(in_other_pools);
    RUN(a_group_has_its_bound);
    RUN(a_lock_of_another_process_in_the_middle_of_a_group);
    RUN(a_disk_that_fails_in_commit_leaves_nobody_knowing);
    RUN(memory_that_fails_in_a_group);
    return test_end();
}
