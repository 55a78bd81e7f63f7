/*  group.c - writes of several callers in one transaction: each has its own result, none hears of success
    before COMMIT, one that fails takes no neighbour with it, and every row is there once or not at all.
    SPDX-License-Identifier: MIT OR Unlicense

    Deterministic: the test holds the writer until all callers wait; the first of them then leads the
    others. The SQL function hold() stops a statement, and the commit hook a COMMIT, until the test
    lets go. Memory and disk are the simulator's, so that they can fail. */
#define _GNU_SOURCE
#include "callers.h"

enum { MANY = 16 }; /* callers of a large group */
#define COUNTER "CREATE TABLE c(n INTEGER NOT NULL); INSERT INTO c VALUES(0);"
#define ONE_MORE "UPDATE c SET n = n + 1"

/*---- the place where callers stop ----*/

static int hold_state, commit_state; /* places */

static void hold_function(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    wait_at(&hold_state);
    sqlite3_result_value(context, values[0]);
}
static int on_commit(void *user) {
    (void)user;
    wait_at(&commit_state);
    return 0;
}
static int on_connect(void *user, const sqlpool_conn *conn) {
    sqlpool_conn own = *conn;
    sqlite3 *db = sqlpool_conn_db(&own);
    sqlpool_chain chain;
    (void)user;
    memset(&chain, 0, sizeof chain);
    chain.commit_fn = on_commit;
    if (sqlpool_conn_chain(&own, &chain) != SQLPOOL_OK) return SQLITE_ERROR;
    (void)sqlite3_create_function(db, "fire", 1, SQLITE_UTF8, NULL, fire_function, NULL, NULL);
    return sqlite3_create_function(db, "hold", 1, SQLITE_UTF8, NULL, hold_function, NULL, NULL);
}

static sqlpool_config with_places(sqlpool_config config) {
    config.events.connect_fn = on_connect;
    return config;
}
static caller *with_token(caller *c) {
    c->call.token = &c->token;
    return c;
}

/*---- results ----*/

TEST(a_lone_write_makes_no_group) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("lone.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(1), &err), &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_COMMITTED);
    CHECK_INT(stats_of(pool).groups, 0);
    CHECK_INT(stats_of(pool).grouped, 0);
    CHECK_OK(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NONE);
    close_pool(pool);
}

TEST(each_caller_gets_its_own_changes_and_rowid) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("own.db", &config, TABLE);
    uint64_t commits;
    int i;
    CHECK(pool != NULL);
    for (i = 0; i < MANY; i++)
        (void)with_int(&callers[i], i % 2 == 0 ? INSERT : "INSERT INTO t(v) VALUES(?1), (-1)", 100 + i);
    commits = stats_of(pool).commits;
    CHECK(run_callers(pool, MANY));
    for (i = 0; i < MANY; i++) {
        char sql[100];
        PART(check_ok(i));
        CHECK_INT(callers[i].result.changes, 1 + i % 2);
        (void)snprintf(sql, sizeof sql, "SELECT id + %d FROM t WHERE v = %d", i % 2, 100 + i);
        CHECK_INT(callers[i].result.last_insert_id, ask(pool, sql));
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), MANY + MANY / 2);
    CHECK_INT(stats_of(pool).groups, 1);
    CHECK_INT(stats_of(pool).grouped, MANY);
    CHECK_INT(stats_of(pool).replayed, 0);
    CHECK_INT(stats_of(pool).commits - commits, 1);
    close_pool(pool);
}

TEST(rows_of_returning_reach_their_caller) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("returning.db", &config, TABLE);
    int i;
    CHECK(pool != NULL);
    for (i = 0; i < MANY; i++) {
        with_int(&callers[i], "INSERT INTO t(v) VALUES(?1), (?1 + 1000) RETURNING v, id", i)->is_query = true;
    }
    CHECK(run_callers(pool, MANY));
    CHECK_INT(stats_of(pool).groups, 1);
    for (i = 0; i < MANY; i++) {
        sqlpool_rows *rows = &callers[i].rows;
        PART(check_ok(i));
        CHECK_INT(sqlpool_rows_column_count(rows), 2);
        CHECK(sqlpool_rows_next(rows));
        CHECK_INT(sqlpool_rows_int64(rows, 0), i);
        CHECK(sqlpool_rows_next(rows));
        CHECK_INT(sqlpool_rows_int64(rows, 0), i + 1000);
        CHECK(!sqlpool_rows_next(rows));
        CHECK_OK(sqlpool_rows_close(rows, &err), &err);
    }
    close_pool(pool);
}

/*  The name of a table expression may be a verb: what only reads must not come into a group, where its
    cursor would stand on another caller's connection. */
TEST(a_read_that_looks_like_a_write) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("looks.db", &config, COUNTER);
    int at, i;
    CHECK(pool != NULL);
    for (at = 0; at < 2; at++) {
        sqlpool_conn writer;
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
        for (i = 0; i < 3; i++) (void)with_sql(&callers[i], ONE_MORE);
        (void)with_sql(&callers[at], "WITH replace(x) AS (VALUES(1), (2)) SELECT x FROM replace");
        callers[at].is_query = callers[at].walks = true;
        for (i = 0; i < 3; i++) (void)queue_caller(pool, i, stats_of(pool).waiting_write + 1);
        CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
        join(3);
        PART(check_others(3, at));
        CHECK_INT(callers[at].rc, SQLPOOL_OK);
        CHECK_INT(callers[at].seen, 2);
        CHECK_INT(ask(pool, "SELECT n FROM c"), (at + 1) * 2);
    }
    close_pool(pool);
}

/*---- many threads ----*/

static int unlike; /* atomic: own writes that were not there at once, or refused */
static void *insert_many(void *argument) {
    sqlpool *pool = (sqlpool *)argument;
    int i;
    for (i = 0; i < 500; i++) {
        sqlpool_result result;
        sqlpool_error error;
        int64_t value = 0;
        const bool is_ok =
            sqlpool_exec_with(pool, NULL, &result, INSERT, SQLPOOL_ARGS(i), &error) == SQLPOOL_OK &&
            error.outcome == SQLPOOL_OUTCOME_COMMITTED &&
            sqlpool_query_int64(pool, &value, "SELECT v FROM t WHERE id = ?",
                                SQLPOOL_ARGS(result.last_insert_id), &error) == SQLPOOL_OK &&
            value == i;
        if (!is_ok) (void)__atomic_add_fetch(&unlike, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}
static void insert_from_threads(sqlpool *one, sqlpool *two) {
    pthread_t threads[8];
    int i;
    unlike = 0;
    for (i = 0; i < 8; i++) {
        if (!start_thread(&threads[i], insert_many, i % 2 == 0 ? one : two)) return;
    }
    for (i = 0; i < 8; i++) (void)pthread_join(threads[i], NULL);
    CHECK_INT(unlike, 0);
    CHECK_INT(ask(one, "SELECT count(*) FROM t"), 4000);
    CHECK_INT(ask(two, "SELECT count(DISTINCT id) FROM t"), 4000);
    CHECK_INT(ask(two, "SELECT sum(v) FROM t"), 8 * 499 * 500 / 2);
}
static void with_config(const char *path, sqlpool_config config) {
    sqlpool *pool = open_pool(path, &config, TABLE);
    CHECK(pool != NULL);
    insert_from_threads(pool, pool);
    if (config.topology == SQLPOOL_TOPOLOGY_GENERAL) CHECK_INT(stats_of(pool).groups, 0);
    close_pool(pool);
}
TEST(own_writes_are_there_at_once) {
    sqlpool_config config = with_places(patient());
    with_config("many.db", config);
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    with_config("many_off.db", config);
}
TEST(in_other_journals_and_topologies) {
    sqlpool_config config = with_places(patient());
    with_config(":memory:", config);
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    with_config("many_delete.db", config);
    config.journal = SQLPOOL_JOURNAL_WAL;
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    config.max_connections = 4;
    with_config("many_general.db", config);
}
TEST(two_pools_on_one_file) {
    sqlpool_config config = with_places(patient());
    sqlpool *one = open_pool("two.db", &config, TABLE), *two = open_pool("two.db", &config, NULL);
    CHECK(one != NULL && two != NULL);
    insert_from_threads(one, two);
    close_pool(two);
    close_pool(one);
}

/*---- one that fails among others ----*/

typedef struct poison {
    const char *sql;
    int count;  /* arguments: NaN */
    int leaves; /* rows of u that stay all the same */
    bool ends;  /* the transaction of the group */
} poison;
static const poison poisons[] = {
    {"INSERT INTO u VALUES('dup')", 0, 0, false},
    {"INSERT INTO u VALUES('new'), ('dup')", 0, 0, false},
    {"INSERT INTO u VALUES(NULL)", 0, 0, false},
    {"INSERT INTO u VALUES('bad')", 0, 0, false},
    {"INSERT INTO u VALUES('unfinished", 0, 0, false},
    {"INSERT INTO missing VALUES(1)", 0, 0, false},
    {"INSERT INTO strict VALUES('text')", 0, 0, false},
    {"INSERT INTO u VALUES(zeroblob(2000000000))", 0, 0, false},
    {"INSERT INTO u VALUES(?1)", 0, 0, false},
    {"INSERT INTO u VALUES(?1)", 1, 0, false},
    {"INSERT INTO u VALUES('x'); INSERT INTO u VALUES('y')", 0, 0, false},
    {"INSERT OR FAIL INTO u VALUES(hex(randomblob(16))), ('dup'), ('never')", 0, 1, false},
    {"INSERT INTO r VALUES(2)", 0, 0, false},
    {"INSERT INTO r VALUES(3)", 0, 0, false},
    {"INSERT OR ROLLBACK INTO u VALUES('dup')", 0, 0, true},
    {"INSERT INTO r VALUES(1)", 0, 0, true},
    {"INSERT INTO child VALUES(7, NULL)", 0, 0, true},
};

static void poison_a_group(sqlpool *pool, const poison *p) {
    static const int places[] = {0, 7, 15};
    caller alone;
    int64_t sum = 0, rows;
    int k;
    (void)with_sql(&alone, p->sql);
    alone.pool = pool;
    alone.count = p->count;
    alone.args[0] = sqlpool_value_double((double)NAN);
    (void)run_caller(&alone);
    CHECK(alone.rc != SQLPOOL_OK);
    CHECK_INT(alone.error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    rows = ask(pool, "SELECT count(*) FROM u");
    CHECK_INT(rows, 1 + p->leaves);
    for (k = 0; k < LENGTH(places); k++) {
        const sqlpool_stats before = stats_of(pool);
        int i;
        for (i = 0; i < MANY; i++) (void)with_sql(&callers[i], ONE_MORE);
        callers[places[k]].sql = p->sql;
        callers[places[k]].count = alone.count;
        callers[places[k]].args[0] = alone.args[0];
        CHECK(run_callers(pool, MANY));
        for (i = 0; i < MANY; i++) {
            if (i != places[k]) PART(check_ok(i));
            if (i != places[k]) CHECK_INT(callers[i].result.changes, 1);
        }
        PART(check_caller(places[k], alone.rc, SQLPOOL_OUTCOME_NOT_COMMITTED));
        CHECK_INT(callers[places[k]].error.sqlite_code, alone.error.sqlite_code);
        sum += MANY - 1;
        rows += p->leaves;
        CHECK_INT(ask(pool, "SELECT n FROM c"), sum);
        CHECK_INT(ask(pool, "SELECT count(*) FROM u"), rows);
        CHECK_INT(ask(pool, "SELECT count(*) FROM child"), 0);
        if (places[k] > 0 && p->ends) CHECK(stats_of(pool).replayed > before.replayed);
        if (!p->ends) CHECK_INT(stats_of(pool).groups - before.groups, 1);
    }
}
TEST(one_that_fails_takes_no_neighbour_with_it) {
    int i;
    for (i = 0; i < LENGTH(poisons); i++) {
        sqlpool_config config = with_places(patient());
        char path[40];
        sqlpool *pool;
        (void)snprintf(path, sizeof path, "poison%d.db", i);
        pool = open_pool(path, &config, COUNTER POISON_TABLES);
        CHECK(pool != NULL);
        if (sqlite3_libversion_number() >= 3037000)
            CHECK_OK(sqlpool_script(pool, "CREATE TABLE strict(v INTEGER) STRICT", -1, &err), &err);
        poison_a_group(pool, &poisons[i]);
        if (test_failed_now) printf("# with %s\n", poisons[i].sql);
        close_pool(pool);
    }
}

/*  OR FAIL leaves a row that COMMIT refuses: the only other one in the group is not to blame. */
TEST(what_or_fail_left_is_no_fault_of_a_neighbour) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("left.db", &config,
                              COUNTER POISON_TABLES "INSERT INTO parent VALUES(1);"
                                                    "INSERT INTO child VALUES(1, 'dup');");
    CHECK(pool != NULL);
    (void)with_sql(&callers[0], ONE_MORE);
    (void)with_sql(&callers[1], "INSERT OR FAIL INTO child VALUES(7, 'new'), (1, 'dup')");
    CHECK(run_callers(pool, 2));
    check_ok(0);
    CHECK_INT(callers[1].error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(ask(pool, "SELECT n FROM c"), 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM child"), 1);
    close_pool(pool);
}

/*  What OR FAIL leaves in autocommit it leaves too when a later one ends the group. */
TEST(what_or_fail_left_stays_when_the_group_ends) {
    static const char *const ends[] = {"INSERT OR ROLLBACK INTO u VALUES('dup')",
                                       "INSERT INTO child VALUES(7, NULL)"};
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("stays.db", &config, COUNTER POISON_TABLES);
    int k;
    CHECK(pool != NULL);
    for (k = 0; k < LENGTH(ends); k++) {
        (void)with_sql(&callers[0], ONE_MORE);
        (void)with_sql(&callers[1], "INSERT OR FAIL INTO u VALUES(hex(randomblob(16))), ('dup')");
        (void)with_sql(&callers[2], ends[k]);
        CHECK(run_callers(pool, 3));
        PART(check_ok(0));
        CHECK_INT(callers[1].rc, SQLITE_CONSTRAINT_UNIQUE);
        CHECK_INT(ask(pool, "SELECT n FROM c"), k + 1);
        CHECK_INT(ask(pool, "SELECT count(*) FROM u"), 1 + (k + 1));
    }
    close_pool(pool);
}

/*  A row that is refused at COMMIT was never there: who failed because of it has not failed. */
TEST(nobody_fails_for_a_row_that_is_not_committed) {
    static const char *const second[] = {"INSERT INTO k VALUES(1, NULL)",
                                         "INSERT OR ROLLBACK INTO k VALUES(1, NULL)"};
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool(
        "dirty.db", &config,
        COUNTER POISON_TABLES
        "CREATE TABLE k(a UNIQUE, r REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED);");
    int n;
    CHECK(pool != NULL);
    for (n = 0; n < LENGTH(second); n++) {
        (void)with_sql(&callers[0], ONE_MORE);
        (void)with_sql(&callers[1], "INSERT INTO k VALUES(1, 999)"); /* no such parent */
        (void)with_sql(&callers[2], second[n]);
        CHECK(run_callers(pool, 3));
        PART(check_ok(0));
        /* for its parent, or behind the other one for that one's row */
        CHECK_INT(callers[1].rc & 0xff, SQLITE_CONSTRAINT);
        PART(check_ok(2));
        CHECK_INT(ask(pool, "SELECT count(*) FROM k WHERE r IS NULL"), 1);
        CHECK_INT(ask(pool, "SELECT n FROM c"), n + 1);
        CHECK_OK(sqlpool_exec(pool, "DELETE FROM k", SQLPOOL_NO_ARGS, &err), &err);
    }
    close_pool(pool);
}

/*  Rows that a first run buffered are given back before the second. */
TEST(returning_is_run_again_from_nothing) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool;
    int i;
    config.allocator = sim_allocator();
    pool = open_pool("again.db", &config, TABLE COUNTER POISON_TABLES);
    CHECK(pool != NULL);
    for (i = 0; i < 8; i++)
        with_int(&callers[i], "INSERT INTO t(v) VALUES(?1) RETURNING v", i)->is_query = true;
    (void)with_sql(&callers[7], "INSERT OR ROLLBACK INTO u VALUES('dup')");
    (void)with_int(&callers[6], "UPDATE OR IGNORE u SET k = 'dup' WHERE ?1 < 0", 1);
    CHECK(run_callers(pool, 8));
    for (i = 0; i < 6; i++) {
        PART(check_ok(i));
        CHECK(sqlpool_rows_next(&callers[i].rows));
        CHECK_INT(sqlpool_rows_int64(&callers[i].rows, 0), i);
        CHECK(!sqlpool_rows_next(&callers[i].rows));
        CHECK_OK(sqlpool_rows_close(&callers[i].rows, &err), &err);
    }
    check_ok(6);
    CHECK_INT(callers[6].result.changes, 0);
    CHECK_INT(stats_of(pool).replayed, 8);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 6);
    close_pool(pool);
    check_memory();
}

/*  What a first run said of itself must not stay when the second fails otherwise. */
TEST(a_second_run_has_a_result_of_its_own) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("second.db", &config, TABLE COUNTER POISON_TABLES);
    CHECK(pool != NULL);
    (void)with_sql(&callers[0], ONE_MORE);
    (void)with_token(with_int(&callers[1], INSERT, 1));
    (void)with_sql(&callers[2], "INSERT OR ROLLBACK INTO u SELECT CASE WHEN fire(1) THEN 'dup' END");
    CHECK(run_callers(pool, 3));
    check_ok(0);
    check_caller(1, SQLPOOL_CANCELLED, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(callers[1].result.changes, 0);
    CHECK_INT(callers[1].result.last_insert_id, 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    CHECK_INT(ask(pool, "SELECT n FROM c"), 1);
    close_pool(pool);
}

/*---- a program that refuses ----*/

/*  A commit hook as programs have them: what touched table "bad" is not committed. */
static int is_bad_touched; /* of the writer's connection, which one thread at a time has */
static void note_table(void *user, int what, const char *database, const char *table,
                       int64_t rowid) {
    (void)user, (void)what, (void)database, (void)rowid;
    if (strcmp(table, "bad") == 0) is_bad_touched = 1;
}
static void forget_table(void *user) {
    (void)user;
    is_bad_touched = 0;
}
static int refuse_table(void *user) {
    const int was_touched = is_bad_touched;
    (void)user;
    is_bad_touched = 0;
    return was_touched;
}
static int connect_refusing(void *user, const sqlpool_conn *conn) {
    sqlpool_conn own = *conn;
    sqlpool_chain chain;
    (void)user;
    memset(&chain, 0, sizeof chain);
    chain.commit_fn = refuse_table;
    chain.update_fn = note_table;
    chain.rollback_fn = forget_table;
    return sqlpool_conn_chain(&own, &chain);
}
TEST(a_commit_hook_that_refuses_one_write_refuses_no_other) {
    static const int places[] = {0, 3, 7};
    sqlpool_config config = with_places(patient());
    sqlpool *pool;
    int k, i;
    config.events.connect_fn = connect_refusing;
    pool = open_pool("refusing.db", &config, TABLE "CREATE TABLE bad(v)");
    CHECK(pool != NULL);
    for (k = 0; k < LENGTH(places); k++) {
        for (i = 0; i < 8; i++) (void)with_int(&callers[i], INSERT, i);
        (void)with_int(&callers[places[k]], "INSERT INTO bad VALUES(?)", k);
        CHECK(run_callers(pool, 8));
        PART(check_others(8, places[k]));
        PART(check_caller(places[k], SQLITE_CONSTRAINT_COMMITHOOK, SQLPOOL_OUTCOME_NOT_COMMITTED));
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 7 * (k + 1));
        CHECK_INT(ask(pool, "SELECT count(*) FROM bad"), 0);
    }
    for (i = 0; i < 4; i++) (void)with_int(&callers[i], "INSERT INTO bad VALUES(?)", i);
    CHECK(run_callers(pool, 4)); /* all of them */
    for (i = 0; i < 4; i++)
        PART(check_caller(i, SQLITE_CONSTRAINT_COMMITHOOK, SQLPOOL_OUTCOME_NOT_COMMITTED));
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO bad VALUES(1)", SQLPOOL_NO_ARGS, &err),
             SQLITE_CONSTRAINT_COMMITHOOK, &err); /* as alone */
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(ask(pool, "SELECT count(*) FROM bad"), 0);
    close_pool(pool);
}

/*---- deadlines and cancellation ----*/

TEST(a_queued_write_that_gives_up_is_never_run) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("gives_up.db", &config, TABLE);
    int i;
    CHECK(pool != NULL);
    for (i = 0; i < 4; i++) (void)with_token(with_int(&callers[i], INSERT, i));
    PART(two_give_up(pool));
    CHECK_INT(ask(pool, "SELECT group_concat(v, '') = '03' FROM t"), 1);
    close_pool(pool);
}

/*  An endless member is stopped by its own token; place 0 is the leader. */
static void cancel_an_endless(const char *path, int place) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool(path, &config, TABLE COUNTER);
    int i;
    CHECK(pool != NULL);
    for (i = 0; i < 6; i++) (void)with_token(with_sql(&callers[i], ONE_MORE));
    callers[place].sql = "INSERT INTO t(v) SELECT max(hold(i)) FROM (WITH RECURSIVE n(i) AS "
                         "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)";
    CHECK(bring_to(&hold_state, pool, 6));
    CHECK_INT(sqlpool_cancel(pool, &callers[place].token), SQLPOOL_OK);
    let_go(&hold_state);
    join(6);
    PART(check_others(6, place));
    check_caller(place, SQLPOOL_CANCELLED, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(ask(pool, "SELECT n FROM c"), 5);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    CHECK_INT(stats_of(pool).replayed > 0, place > 0);
    close_pool(pool);
}
TEST(cancelled_by_its_token_alone) {
    cancel_an_endless("token0.db", 0);
    cancel_an_endless("token3.db", 3);
    cancel_an_endless("token5.db", 5);
}

/*  The deadline may pass in the queue or in the statement: TIMEOUT both times, the others commit. */
TEST(stopped_by_its_deadline_alone) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("deadline.db", &config, TABLE COUNTER);
    sqlpool_conn writer;
    int i;
    CHECK(pool != NULL);
    for (i = 0; i < 6; i++) (void)with_sql(&callers[i], ONE_MORE);
    callers[3].sql = ENDLESS_INSERT;
    callers[3].call.timeout_ms = 1000;
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
    for (i = 0; i < 6; i++) (void)queue_caller(pool, i, i + 1);
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    join(6);
    PART(check_others(6, 3));
    check_caller(3, SQLPOOL_TIMEOUT, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(ask(pool, "SELECT n FROM c"), 5);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    close_pool(pool);
}

/*  One after the other in one lease: the reason of the first is not that of the second. */
TEST(a_deadline_and_then_a_token) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("both.db", &config, TABLE COUNTER);
    CHECK(pool != NULL);
    (void)with_sql(&callers[0], ONE_MORE);
    (void)with_sql(&callers[1], ENDLESS_INSERT);
    callers[1].call.timeout_ms = 1000;
    (void)with_token(with_int(&callers[2], "INSERT INTO t(v) VALUES(hold(?1) + (" ENDLESS "))", 1));
    (void)with_sql(&callers[3], ONE_MORE);
    CHECK(bring_to(&hold_state, pool, 4));
    CHECK_INT(sqlpool_cancel(pool, &callers[2].token), SQLPOOL_OK);
    let_go(&hold_state);
    join(4);
    check_ok(0);
    check_caller(1, SQLPOOL_TIMEOUT, SQLPOOL_OUTCOME_NOT_COMMITTED);
    check_caller(2, SQLPOOL_CANCELLED, SQLPOOL_OUTCOME_NOT_COMMITTED);
    check_ok(3);
    CHECK_INT(ask(pool, "SELECT n FROM c"), 2);
    close_pool(pool);
}

/*  Its arguments are read by the leader: a caller taken into a group stays, whatever its deadline. */
TEST(a_taken_write_is_waited_out) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("taken.db", &config, TABLE);
    int64_t deadline;
    bool was_back;
    CHECK(pool != NULL);
    (void)with_int(&callers[0], INSERT, 0);
    (void)with_int(&callers[1], INSERT, 1);
    (void)with_int(&callers[2], "INSERT INTO t(v) VALUES(hold(?1))", 2);
    (void)with_token(with_int(&callers[3], INSERT, 3));
    (void)with_int(&callers[4], INSERT, 4);
    callers[1].call.timeout_ms = callers[4].call.timeout_ms = 1500;
    CHECK(bring_to(&hold_state, pool, 5));
    deadline = now_ms() + 1700;
    CHECK_INT(sqlpool_cancel(pool, &callers[3].token), SQLPOOL_OK);
    while (now_ms() < deadline) sleep_ms(10);
    was_back = look(&callers[0].is_back) || look(&callers[1].is_back) ||
               look(&callers[3].is_back) || look(&callers[4].is_back);
    let_go(&hold_state);
    join(5);
    CHECK(!was_back);
    check_ok(0);
    check_ok(1);
    check_ok(2);
    check_caller(3, SQLPOOL_CANCELLED, SQLPOOL_OUTCOME_NOT_COMMITTED);
    check_caller(4, SQLPOOL_TIMEOUT, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(ask(pool, "SELECT group_concat(v, '') = '012' FROM t"), 1);
    close_pool(pool);
}

/*  A token that fires behind its own statement: neither COMMIT nor a neighbour hears of it. */
TEST(a_token_fired_late_meets_nobody_else) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("late.db", &config, TABLE COUNTER);
    int i;
    CHECK(pool != NULL);
    for (i = 0; i < 4; i++) (void)with_sql(&callers[i], ONE_MORE);
    (void)with_token(with_int(&callers[3], "INSERT INTO t(v) VALUES(fire(?1))", 3));
    CHECK(run_callers(pool, 4));
    check_others(4, -1);
    CHECK_INT(stats_of(pool).replayed, 0);
    CHECK_INT(ask(pool, "SELECT n FROM c"), 3);
    close_pool(pool);
}

TEST(nobody_hears_of_success_before_commit) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("before.db", &config, TABLE);
    int i, back = 0;
    CHECK(pool != NULL);
    for (i = 0; i < 8; i++) (void)with_int(&callers[i], INSERT, i);
    CHECK(bring_to(&commit_state, pool, 8));
    sleep_ms(100);
    for (i = 0; i < 8; i++) back += look(&callers[i].is_back);
    CHECK_INT(ask_file("before.db", "SELECT count(*) FROM t"), 0);
    let_go(&commit_state);
    join(8);
    CHECK_INT(back, 0);
    check_others(8, -1);
    close_pool(pool);
}

/*---- what is not grouped, and bounds ----*/

TEST(other_statements_run_by_themselves) {
    static const char *const others[] = {"VACUUM", "CREATE TABLE x(v)", "DROP TABLE x", "ANALYZE", "REINDEX",
                                         "PRAGMA user_version = 5"};
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("others.db", &config, TABLE);
    int i;
    CHECK(pool != NULL);
    for (i = 0; i < 12; i++) {
        (void)with_sql(&callers[i], i % 2 == 0 ? "INSERT INTO t(v) VALUES(1)" : others[i / 2]);
    }
    callers[5].sql = "CREATE TABLE y(v)"; /* the order is the queue's, but for those a leader takes */
    CHECK(run_callers(pool, 12));
    check_others(12, -1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 6);
    CHECK_INT(ask(pool, "PRAGMA user_version"), 5);
    CHECK_INT(stats_of(pool).grouped, 6);
    CHECK_OK(sqlpool_exec(pool, "DROP TABLE x", SQLPOOL_NO_ARGS, &err), &err);
    close_pool(pool);
}

static void bounded(const char *path, sqlpool_config config, int *groups, int *grouped) {
    sqlpool *pool = open_pool(path, &config, TABLE);
    int i;
    CHECK(pool != NULL);
    for (i = 0; i < MANY; i++) {
        with_int(&callers[i], INSERT, 0)->args[0] = sqlpool_value_text("some thirty bytes of plain text");
    }
    CHECK(run_callers(pool, MANY));
    check_others(MANY, -1);
    *groups = (int)stats_of(pool).groups;
    *grouped = (int)stats_of(pool).grouped;
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), MANY);
    close_pool(pool);
}
TEST(bounds_of_a_group) {
    sqlpool_config config = with_places(patient());
    int groups, grouped;
    config.group_count = SQLPOOL_OFF;
    PART(bounded("off.db", config, &groups, &grouped));
    CHECK_INT(groups, 0);
    CHECK_INT(grouped, 0);
    config.group_count = 3;
    PART(bounded("three.db", config, &groups, &grouped));
    CHECK(groups > 0 && grouped > groups && grouped <= 3 * groups);
    config.group_count = 0;
    config.group_bytes = 1;
    PART(bounded("bytes1.db", config, &groups, &grouped));
    CHECK_INT(groups, 0);
    config.group_bytes = 400;
    PART(bounded("bytes400.db", config, &groups, &grouped));
    CHECK(groups > 1 && grouped <= 10 * groups);
}

/*---- pause and close ----*/

typedef struct closing {
    sqlpool *pool;
    int rc;
    bool pauses;
} closing;
static void *pause_or_close(void *argument) {
    closing *c = (closing *)argument;
    c->rc = c->pauses ? sqlpool_pause(c->pool, 120000, NULL) : sqlpool_close(c->pool, NULL);
    return NULL;
}
/*  The leader stands in its statement, others wait; the gate closes; the leader goes on. */
static bool gate_closes_on_a_leader(sqlpool *pool, closing *c, pthread_t *thread) {
    const sqlpool_call no_wait = {.timeout_ms = SQLPOOL_NO_WAIT};
    int i;
    (void)with_int(&callers[0], "INSERT INTO t(v) VALUES(hold(?1))", 0);
    for (i = 1; i < 4; i++) (void)with_int(&callers[i], INSERT, i);
    if (!bring_to(&hold_state, pool, 4) || !start_thread(thread, pause_or_close, c)) return false;
    while (sqlpool_exec_with(pool, &no_wait, NULL, "SELECT 1", SQLPOOL_NO_ARGS, NULL) == SQLPOOL_OK)
        sleep_ms(1);
    return true;
}
TEST(what_is_paused_waits_for_resume) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("pause.db", &config, TABLE);
    closing c = {pool, -1, true};
    pthread_t thread;
    int i;
    CHECK(pool != NULL);
    CHECK(gate_closes_on_a_leader(pool, &c, &thread));
    let_go(&hold_state);
    (void)pthread_join(thread, NULL);
    (void)pthread_join(callers[0].thread, NULL);
    CHECK_INT(c.rc, SQLPOOL_OK);
    CHECK_INT(ask_file("pause.db", "SELECT count(*) FROM t"), 1);
    for (i = 1; i < 4; i++) CHECK(!look(&callers[i].is_back));
    CHECK_INT(sqlpool_resume(pool), SQLPOOL_OK);
    for (i = 1; i < 4; i++) (void)pthread_join(callers[i].thread, NULL);
    check_others(4, -1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 4);
    close_pool(pool);
}
TEST(what_waits_when_the_pool_closes_is_not_run) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool = open_pool("close.db", &config, TABLE);
    closing c = {pool, -1, false};
    pthread_t thread;
    int i;
    CHECK(pool != NULL);
    CHECK(gate_closes_on_a_leader(pool, &c, &thread));
    for (i = 1; i < 4; i++) (void)pthread_join(callers[i].thread, NULL);
    let_go(&hold_state);
    (void)pthread_join(thread, NULL);
    (void)pthread_join(callers[0].thread, NULL);
    CHECK_INT(c.rc, SQLPOOL_OK);
    check_ok(0);
    for (i = 1; i < 4; i++) PART(check_caller(i, SQLPOOL_CLOSED, SQLPOOL_OUTCOME_NOT_COMMITTED));
    CHECK_INT(ask_file("close.db", "SELECT count(*) FROM t"), 1);
}

/*---- disk ----*/

/*  Whoever has run hears that nobody knows, and nobody runs again. */
static void fail_the_sync(const char *path, int count) {
    const sqlpool_config config = with_places(on_sim_disk());
    sqlpool *pool = open_pool(path, &config, TABLE);
    sqlpool_conn writer;
    int i;
    CHECK(pool != NULL);
    for (i = 0; i < count; i++) (void)with_int(&callers[i], INSERT, i);
    CHECK(gather(pool, count, &writer));
    CHECK_OK(sqlpool_conn_exec(&writer, INSERT, SQLPOOL_ARGS(100), NULL, &err), &err);
    fail_disk(SIM_VFS_SYNC, 0, 1);
    PART(run_into_fault(&writer, count));
    for (i = 0; i < count; i++) {
        PART(check_caller(i, SQLITE_IOERR_FSYNC, SQLPOOL_OUTCOME_UNKNOWN));
        CHECK_INT(callers[i].error.sqlite_code, SQLITE_IOERR_FSYNC);
    }
    CHECK_INT(stats_of(pool).replayed, 0);
    CHECK_OK(sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(101), &err), &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_COMMITTED);
    CHECK_INT(ask(pool, "SELECT count(*) = count(DISTINCT v) FROM t"), 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE v >= 100"), 2);
    close_pool(pool);
}
TEST(a_disk_that_fails_in_commit) {
    fail_the_sync("sync1.db", 1);
    fail_the_sync("sync8.db", 8);
}

/*  Rows and results of writes that may not be in the file are nobody's to see. */
static void fail_the_sync_of_rows(const char *path, int count) {
    const sqlpool_config config = with_places(on_sim_disk());
    sqlpool *pool = open_pool(path, &config, TABLE);
    sqlpool_conn writer;
    int i;
    CHECK(pool != NULL);
    for (i = 0; i < count; i++) {
        if (i % 2 == 0)
            with_int(&callers[i], "INSERT INTO t(v) VALUES(?1), (?1) RETURNING v", i)->is_query =
                true;
        else
            (void)with_int(&callers[i], INSERT, i);
    }
    CHECK(gather(pool, count, &writer));
    fail_disk(SIM_VFS_SYNC, 0, 1);
    PART(run_into_fault(&writer, count));
    for (i = 0; i < count; i++) {
        PART(check_caller(i, SQLITE_IOERR_FSYNC, SQLPOOL_OUTCOME_UNKNOWN));
        CHECK_INT(callers[i].result.changes, 0);
        CHECK_INT(callers[i].result.last_insert_id, 0);
        CHECK_INT((int64_t)callers[i].result.sequence, 0);
        if (i % 2 != 0) continue;
        CHECK(!sqlpool_rows_next(&callers[i].rows));
        CHECK_INT(sqlpool_rows_close(&callers[i].rows, NULL), SQLITE_IOERR_FSYNC);
    }
    close_pool(pool); /* which no buffer of rows holds up */
}
TEST(rows_of_a_commit_that_failed_are_not_handed_out) {
    PART(fail_the_sync_of_rows("unseen1.db", 1));
    PART(fail_the_sync_of_rows("unseen6.db", 6));
}

static void fail_a_write(const char *path, int code) {
    sqlpool_config config = with_places(on_sim_disk());
    sqlpool *pool;
    sqlpool_conn writer;
    int i;
    config.page_cache_kib = 64;
    pool = open_pool(path, &config, TABLE COUNTER);
    CHECK(pool != NULL);
    for (i = 0; i < 8; i++) (void)with_sql(&callers[i], ONE_MORE);
    callers[4].sql = "INSERT INTO t(v) VALUES(zeroblob(4000000))";
    CHECK(gather(pool, 8, &writer));
    fail_disk(SIM_VFS_WRITE, code, 20); /* the statements before it do not write 20 times: its spill does */
    PART(run_into_fault(&writer, 8));
    PART(check_others(8, 4));
    PART(check_caller(4, code == SQLITE_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE,
                      SQLPOOL_OUTCOME_NOT_COMMITTED));
    CHECK_INT(ask(pool, "SELECT n FROM c"), 7);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    CHECK(stats_of(pool).replayed > 0);
    close_pool(pool);
}
TEST(a_disk_that_fails_in_one_statement) {
    fail_a_write("full.db", SQLITE_FULL);
    fail_a_write("write.db", 0);
}

static int insert_one(sqlpool_conn *conn, void *user, int attempt) {
    (void)attempt;
    (void)sqlpool_conn_exec(conn, INSERT, SQLPOOL_ARGS(1), NULL, NULL);
    return *(const int *)user;
}
TEST(outcomes_of_a_transaction) {
    const sqlpool_config config = with_places(on_sim_disk());
    sqlpool *pool = open_pool("outcomes.db", &config, TABLE);
    int rc = 0;
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, insert_one, &rc, &err), &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_COMMITTED);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_READ, insert_one, &rc, &err), &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NONE);
    rc = 70000;
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, insert_one, &rc, &err), 70000, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    rc = 0;
    fail_disk(SIM_VFS_SYNC, 0, 1);
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, insert_one, &rc, &err), SQLITE_IOERR_FSYNC, &err);
    sim_vfs_heal();
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_UNKNOWN);
    CHECK(ask(pool, "SELECT count(*) FROM t") <= 2);
    close_pool(pool);
}

/*---- events ----*/

static int commits_told, errors_told, last_error_told, last_outcome_told;
static void tell_commit(void *user, uint64_t commits) {
    (void)user;
    (void)commits;
    (void)__atomic_add_fetch(&commits_told, 1, __ATOMIC_SEQ_CST);
}
static void tell_error(void *user, const sqlpool_error *error) {
    (void)user;
    (void)__atomic_add_fetch(&errors_told, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&last_error_told, error->sqlite_code, __ATOMIC_SEQ_CST);
    __atomic_store_n(&last_outcome_told, error->outcome, __ATOMIC_SEQ_CST);
}
/*  A write that is refused before it begins: the hook hears what the caller does. */
TEST(a_refused_write_is_told_as_not_committed) {
    sqlpool_config config = with_places(patient());
    sqlpool_call call;
    sqlpool *pool;
    int rc = 0, i;
    memset(&call, 0, sizeof call);
    call.timeout_ms = 5;
    config.events.error_fn = tell_error;
    pool = open_pool("refused.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_pause(pool, 1000, &err), &err);
    for (i = 0; i < 4; i++) {
        errors_told = 0;
        last_outcome_told = -1;
        rc = i == 0   ? sqlpool_exec_with(pool, &call, NULL, ONE_MORE, SQLPOOL_NO_ARGS, &err)
             : i == 1 ? sqlpool_write_with(pool, &call, NULL, insert_one, &rc, &err)
             : i == 2 ? sqlpool_transaction_with(pool, &call, SQLPOOL_WRITE, insert_one, &rc, &err)
                      : sqlpool_exec_with(pool, &call, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &err);
        CHECK_INT(rc, SQLPOOL_TIMEOUT);
        CHECK_INT(errors_told, 1);
        CHECK_INT(last_outcome_told, i < 3 ? SQLPOOL_OUTCOME_NOT_COMMITTED : SQLPOOL_OUTCOME_NONE);
        CHECK_INT(err.outcome, last_outcome_told);
    }
    CHECK_INT(sqlpool_resume(pool), SQLPOOL_OK);
    close_pool(pool);
}
TEST(events_of_a_group) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool;
    int i;
    config.events.commit_fn = tell_commit;
    config.events.error_fn = tell_error;
    pool = open_pool("events.db", &config, COUNTER POISON_TABLES);
    CHECK(pool != NULL);
    commits_told = errors_told = 0;
    for (i = 0; i < 8; i++) (void)with_sql(&callers[i], ONE_MORE);
    CHECK(run_callers(pool, 8));
    check_others(8, -1);
    CHECK_INT(commits_told, 1);
    CHECK_INT(errors_told, 0);
    for (i = 0; i < 8; i++) (void)with_sql(&callers[i], ONE_MORE);
    callers[5].sql = "INSERT INTO u VALUES('dup')";
    CHECK(run_callers(pool, 8));
    CHECK_INT(commits_told, 2);
    CHECK_INT(errors_told, 1);
    CHECK_INT(last_error_told, SQLITE_CONSTRAINT_UNIQUE);
    for (i = 0; i < 8; i++) (void)with_sql(&callers[i], ONE_MORE);
    callers[7].sql = "INSERT INTO child VALUES(7, NULL)"; /* refused by itself: the others share one */
    CHECK(run_callers(pool, 8));
    CHECK_INT(commits_told, 3);
    CHECK_INT(errors_told, 2);
    CHECK_INT(last_error_told, SQLITE_CONSTRAINT_FOREIGNKEY);
    CHECK_INT(ask(pool, "SELECT n FROM c"), 8 + 7 + 7);
    close_pool(pool);
}

/*---- memory ----*/

TEST(memory_that_fails_in_a_group) {
    sqlpool_config config = with_places(patient());
    sqlpool *pool;
    int n, failures = 0;
    config.allocator = sim_allocator();
    config.disable_upkeep_thread = true; /* only the group draws numbers */
    pool = open_pool("memory.db", &config, TABLE);
    CHECK(pool != NULL);
    for (n = 1; n <= 60; n++) {
        char sql[8][100], check[100];
        int i;
        for (i = 0; i < 8; i++) { /* texts that are not cached */
            (void)snprintf(sql[i], sizeof sql[i], "INSERT INTO t(v) VALUES(?1 + %d)%s", n * 10,
                           i % 2 == 0 ? "" : " RETURNING v, 'text'");
            with_int(&callers[i], sql[i], i)->is_query = i % 2 != 0;
        }
        PART(run_into_nomem(pool, 8, (uint64_t)(n * 3)));
        for (i = 0; i < 8; i++) {
            const bool is_ok = callers[i].rc == SQLPOOL_OK;
            PART(check_ok_or_nomem(i));
            (void)snprintf(check, sizeof check, "SELECT count(*) FROM t WHERE v = %d", n * 10 + i);
            CHECK_INT(ask(pool, check), is_ok);
            failures += !is_ok;
            if (callers[i].is_query) (void)sqlpool_rows_close(&callers[i].rows, NULL);
        }
    }
    CHECK(failures > 10);
    close_pool(pool);
    check_memory();
}

int main(void) {
    if (!install_sim()) return 1;
    RUN(a_lone_write_makes_no_group);
    RUN(each_caller_gets_its_own_changes_and_rowid);
    RUN(rows_of_returning_reach_their_caller);
    RUN(a_read_that_looks_like_a_write);
    RUN(own_writes_are_there_at_once);
    RUN(in_other_journals_and_topologies);
    RUN(two_pools_on_one_file);
    RUN(one_that_fails_takes_no_neighbour_with_it);
    RUN(what_or_fail_left_is_no_fault_of_a_neighbour);
    RUN(what_or_fail_left_stays_when_the_group_ends);
    RUN(nobody_fails_for_a_row_that_is_not_committed);
    RUN(returning_is_run_again_from_nothing);
    RUN(a_second_run_has_a_result_of_its_own);
    RUN(a_commit_hook_that_refuses_one_write_refuses_no_other);
    RUN(a_queued_write_that_gives_up_is_never_run);
    RUN(cancelled_by_its_token_alone);
    RUN(stopped_by_its_deadline_alone);
    RUN(a_deadline_and_then_a_token);
    RUN(a_taken_write_is_waited_out);
    RUN(a_token_fired_late_meets_nobody_else);
    RUN(nobody_hears_of_success_before_commit);
    RUN(other_statements_run_by_themselves);
    RUN(bounds_of_a_group);
    RUN(what_is_paused_waits_for_resume);
    RUN(what_waits_when_the_pool_closes_is_not_run);
    RUN(a_disk_that_fails_in_commit);
    RUN(rows_of_a_commit_that_failed_are_not_handed_out);
    RUN(a_disk_that_fails_in_one_statement);
    RUN(outcomes_of_a_transaction);
    RUN(events_of_a_group);
    RUN(a_refused_write_is_told_as_not_committed);
    RUN(memory_that_fails_in_a_group);
    return test_end();
}
