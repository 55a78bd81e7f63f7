/*  submit.c - writes that are handed in: copied, run in their order, told once, and durable when asked.
    SPDX-License-Identifier: MIT OR Unlicense

    A holder keeps the writer while a test needs the queue as it is. Disk, clock and memory are the
    simulator's where they have to fail, to be counted or to stand still. */
#define _GNU_SOURCE
#include "callers.h"

/*---- what a done_fn was told ----*/

typedef struct told {
    int calls; /* atomic; the rest is read when it has been seen */
    int result, outcome, turn;
    sqlpool_result what;
    char message[sizeof((sqlpool_error *)NULL)->message];
    pthread_t on;
    void (*then)(struct told *t);
    sqlpool *pool;
    sqlpool_ticket ticket;
    int left; /* of a chain */
} told;

static int turns; /* atomic: calls so far */

static void on_done(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    told *t = (told *)user;
    t->result = error->result;
    t->outcome = error->outcome;
    t->what = *result;
    (void)snprintf(t->message, sizeof t->message, "%s", error->message);
    t->on = pthread_self();
    t->turn = count_up(&turns);
    if (t->then != NULL) t->then(t);
    (void)count_up(&t->calls);
}
static sqlpool_submission tell(told *t) {
    sqlpool_submission submission = {0};
    submission.done_fn = on_done;
    submission.user = t;
    return submission;
}
static bool was_told(const told *t, int result, int outcome) {
    return look(&t->calls) == 1 && t->result == result && t->outcome == outcome &&
           (result == SQLPOOL_OK) == (t->message[0] == '\0');
}

/*  A function that stands until it is let go. */
static int stands;
typedef struct deed {
    int64_t value;
    int returns;
    int busy; /* so many times it says SQLITE_BUSY */
    bool stands;
    int runs, attempt; /* atomic */
    pthread_t on;
} deed;
static int act(sqlpool_conn *conn, void *user, int attempt) {
    deed *d = (deed *)user;
    const int rc = sqlpool_conn_exec(conn, INSERT, SQLPOOL_ARGS(d->value), NULL, NULL);
    (void)count_up(&d->runs);
    mark(&d->attempt, attempt);
    d->on = pthread_self();
    if (d->stands) wait_at(&stands);
    if (d->busy-- > 0) return SQLITE_BUSY;
    return d->returns != 0 ? d->returns : rc;
}

/*  It runs, and stands. */
static void stand_in(sqlpool *pool, const sqlpool_submission *options, sqlpool_ticket *ticket,
                     deed *d) {
    arm(&stands);
    CHECK_OK(sqlpool_submit_write(pool, options, ticket, act, d, &err), &err);
    CHECK(await_holder(&stands));
}

/*  The result comes within a minute. */
static int result_of(sqlpool_ticket *ticket, sqlpool_error *error) {
    sqlpool_error local;
    return sqlpool_ticket_wait(ticket, 60000, NULL, error != NULL ? error : &local);
}
static void close_and_count(sqlpool *pool, const char *path, int64_t rows) {
    close_pool(pool);
    CHECK_INT(ask_file(path, COUNT_T), rows);
}
static sqlpool_config without_thread(void) {
    sqlpool_config config = patient();
    config.disable_upkeep_thread = true;
    return config;
}

/*---- tickets ----*/

TEST(a_ticket_gives_the_result) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("result.db", &config, TABLE POISON_TABLES);
    sqlpool_ticket ticket, none = {0};
    sqlpool_result result;
    int rc;
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_submit(pool, &ticket, INSERT, SQLPOOL_ARGS("one"), &err), &err);
    CHECK(ticket.number != 0);
    CHECK_OK(sqlpool_ticket_wait(&ticket, 60000, &result, &err), &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_COMMITTED);
    CHECK_INT(result.changes, 1);
    CHECK_INT(result.last_insert_id, 1);
    CHECK(result.sequence > 0);
    CHECK_OK(sqlpool_sync(pool, result.sequence, 0, &err), &err);
    CHECK_INT(ask(pool, COUNT_T), 1); /* visible to whoever has the result */
    CHECK_INT((int64_t)ticket.number, 0);
    CHECK_RC(sqlpool_ticket_wait(&ticket, 0, &result, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(result.changes, 0);
    CHECK_OK(sqlpool_submit(pool, &ticket, "INSERT INTO t(v) VALUES(2), (3) RETURNING v",
                            SQLPOOL_NO_ARGS, &err),
             &err);
    while ((rc = sqlpool_ticket_poll(&ticket, &result, &err)) == SQLPOOL_WOULD_BLOCK) {
        CHECK_INT(err.result, SQLPOOL_WOULD_BLOCK);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NONE);
        CHECK_INT(result.changes, 0);
        sleep_ms(1);
    }
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK_INT(result.changes, 2);
    CHECK_INT(result.last_insert_id, 3);
    CHECK_OK(sqlpool_submit(pool, &ticket, "UPDATE t SET v = 0", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_ticket_wait(&ticket, 60000, &result, &err), &err);
    CHECK_INT(result.changes, 3);
    CHECK_INT(result.last_insert_id, 0);
    CHECK_OK(sqlpool_submit(pool, &ticket, "INSERT INTO nowhere VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_RC(sqlpool_ticket_wait(&ticket, 60000, &result, &err), SQLITE_ERROR, &err);
    CHECK_INT(result.changes, 0); /* and nothing of who was in that place before */
    CHECK_INT(submit_value(pool, &ticket, 9), SQLPOOL_OK);
    CHECK_INT(sqlpool_ticket_wait(&ticket, SQLPOOL_FOREVER, NULL, NULL), SQLPOOL_OK);
    CHECK_INT(submit_value(pool, NULL, 10), SQLPOOL_OK); /* nobody asks */
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(ask(pool, COUNT_T), 5);
    CHECK_RC(sqlpool_ticket_wait(&ticket, -3, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_ticket_wait(NULL, 0, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_ticket_poll(&none, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_flush(pool, -2, &err), SQLPOOL_MISUSE, &err);
    close_pool(pool);
}

/*  A failure says what sqlpool_exec() would say, with the place and the tag of the submission. */
TEST(a_ticket_gives_the_error) {
    static const struct {
        const char *sql;
        int rc;
    } bad[] = {{"INSERT INTO u VALUES('dup')", SQLITE_CONSTRAINT_UNIQUE},
               {"INSERT INTO missing VALUES(1)", SQLITE_ERROR},
               {"INSERT INTO u VALUES(", SQLITE_ERROR},
               {"INSERT INTO u VALUES(?)", SQLPOOL_ARGUMENTS},
               {"INSERT INTO r VALUES(1)", SQLITE_CONSTRAINT_TRIGGER},
               {"INSERT OR ROLLBACK INTO u VALUES('dup')", SQLITE_CONSTRAINT_UNIQUE},
               {"INSERT INTO child VALUES(7, NULL)", SQLITE_CONSTRAINT_FOREIGNKEY},
               {"", SQLPOOL_EMPTY},
               {"-- nothing", SQLPOOL_EMPTY},
               {"DELETE FROM u; DELETE FROM r", SQLPOOL_TRAILING},
               {"BEGIN", SQLPOOL_REFUSED},
               {"COMMIT", SQLPOOL_REFUSED},
               {"PRAGMA synchronous = 0", SQLPOOL_REFUSED},
               {"ATTACH 'x' AS x", SQLPOOL_REFUSED},
               {"INSERT INTO parent VALUES('text')", SQLITE_MISMATCH},
               {"INSERT INTO u VALUES(zeroblob(2000000000))", SQLITE_TOOBIG}};
    const sqlpool_submission tagged = {.tag = "the tag"};
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("error.db", &config, TABLE POISON_TABLES);
    sqlpool_ticket ticket;
    sqlpool_result result;
    sqlpool_error alone;
    int i, line;
    char site[40];
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(bad); i++) {
        (void)sqlpool_exec(pool, bad[i].sql, SQLPOOL_NO_ARGS, &alone);
        line = __LINE__ + 1;
        CHECK_OK(sqlpool_submit_with(pool, &tagged, &ticket, bad[i].sql, SQLPOOL_NO_ARGS, &err),
                 &err);
        CHECK_RC(sqlpool_ticket_wait(&ticket, 60000, &result, &err), bad[i].rc, &err);
        CHECK_INT(alone.result, bad[i].rc);
        CHECK_INT(err.sqlite_code, alone.sqlite_code);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        CHECK(result.changes == 0 && result.last_insert_id == 0 && result.sequence == 0);
        if (alone.sqlite_code == 0) continue; /* the library's own words name the statement only */
        (void)snprintf(site, sizeof site, "submit.c:%d", line);
        CHECK_HAS(err.message, site);
        CHECK_HAS(err.message, "[the tag]");
        CHECK_HAS(err.message, bad[i].sql);
    }
    CHECK_OK(sqlpool_submit(pool, &ticket, "SELECT k FROM u", SQLPOOL_NO_ARGS, &err),
             &err); /* reads: a waste, no error */
    CHECK_OK(sqlpool_ticket_wait(&ticket, 60000, &result, &err), &err);
    CHECK_INT(result.changes, 0);
    close_pool(pool);
}

static sqlpool_value any_value(int type) {
    sqlpool_value value;
    memset(&value, 0, sizeof value);
    value.type = type;
    return value;
}
/*  What cannot be copied, or SQLite would store as something else, is refused at once. */
TEST(values_that_are_none) {
    static const sqlpool_submission options[] = {
        {.wait_ms = -3}, {.timeout_ms = -1}, {.attempts = -1}};
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("values.db", &config, TABLE);
    sqlpool_value value = any_value(SQLPOOL_TYPE_INVALID);
    sqlpool_ticket ticket;
    int i;
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_submit(pool, &ticket, INSERT, SQLPOOL_ARGS((double)NAN), &err),
             SQLPOOL_ARGUMENTS, &err);
    CHECK_HAS(err.message, "NaN");
    CHECK_RC(sqlpool_submit(pool, &ticket, INSERT, &value, 1, &err), SQLPOOL_ARGUMENTS, &err);
    value.type = 77;
    CHECK_RC(sqlpool_submit(pool, &ticket, INSERT, &value, 1, &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    value.type = SQLPOOL_TYPE_TEXT;
    value.size = 5; /* at NULL */
    CHECK_RC(sqlpool_submit(pool, &ticket, INSERT, &value, 1, &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT((int64_t)ticket.number, 0);
    value.type = SQLPOOL_TYPE_BLOB;
    CHECK_RC(sqlpool_submit(pool, &ticket, INSERT, &value, 1, &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_RC(sqlpool_submit(pool, &ticket, INSERT, NULL, 1, &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_RC(sqlpool_submit(pool, &ticket, INSERT, &value, -1, &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_RC(sqlpool_submit(pool, &ticket, NULL, SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_submit_write(pool, NULL, &ticket, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    for (i = 0; i < LENGTH(options); i++)
        CHECK_RC(sqlpool_submit_with(pool, &options[i], &ticket, INSERT, SQLPOOL_ARGS(1), &err),
                 SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_submit(NULL, &ticket, INSERT, SQLPOOL_ARGS(1), &err), SQLPOOL_MISUSE, &err);
    CHECK_INT((int64_t)ticket.number, 0);
    close_and_count(pool, "values.db", 0);
}

/*---- copies ----*/

enum { BLOB = 1 << 20 };
static void fill(char *at, size_t bytes, int seed) {
    size_t i;
    for (i = 0; i < bytes; i++) at[i] = (char)('a' + (i * 7 + i / 251 + (size_t)seed) % 26);
}
/*  All that the caller has is gone before anything runs. */
TEST(everything_is_copied) {
    static const size_t sizes[] = {0, 1, 100, 255, 256, 257, 4000, BLOB};
    static char expected[BLOB];
    sqlpool_config config = patient();
    sqlpool *pool =
        open_pool("copied.db", &config, "CREATE TABLE c(i INTEGER PRIMARY KEY, a, b, n, r, z)");
    sqlpool_ticket tickets[LENGTH(sizes)];
    static holder h; /* static: it outlives a test that fails */
    int i;
    CHECK(pool != NULL);
    CHECK(take_writer(&h, pool));
    for (i = 0; i < LENGTH(sizes); i++) {
        const size_t bytes = sizes[i];
        char *sql = (char *)malloc(800), *text = (char *)malloc(bytes + 1),
             *blob = (char *)malloc(bytes + 1);
        sqlpool_value *args = (sqlpool_value *)calloc(6, sizeof *args);
        CHECK(sql != NULL && text != NULL && blob != NULL && args != NULL);
        (void)snprintf(sql, 800, "INSERT INTO c VALUES(?, ?, ?, ?, ?, ?) /*%*s*/", i * 100,
                       ""); /* 40 to 740 bytes */
        fill(text, bytes, i);
        fill(blob, bytes, i + 1);
        args[0] = sqlpool_value_int64(i);
        args[1] = sqlpool_value_text_n(text, bytes);
        args[2] = sqlpool_value_blob(blob, bytes);
        args[4] = sqlpool_value_double(0.5 + i);
        args[5] = sqlpool_value_text_n("a\0b", 3);
        CHECK_OK(sqlpool_submit(pool, &tickets[i], sql, args, 6, &err), &err);
        memset(sql, 'x', 800);
        memset(text, '?', bytes + 1);
        memset(blob, '?', bytes + 1);
        memset(args, 0xff, 6 * sizeof *args);
        free(sql);
        free(text);
        free(blob);
        free(args);
    }
    CHECK_INT(stats_of(pool).submitted_now, LENGTH(sizes));
    give_writer(&h);
    for (i = 0; i < LENGTH(sizes); i++) {
        int64_t value = 0;
        CHECK_OK(result_of(&tickets[i], &err), &err);
        fill(expected, sizes[i], i);
        CHECK_OK(sqlpool_query_int64(pool, &value,
                                     "SELECT a = ?2 AND typeof(a) = 'text' FROM c WHERE i = ?1",
                                     SQLPOOL_ARGS(i, SQLPOOL_TEXT(expected, sizes[i])), &err),
                 &err);
        CHECK_INT(value, 1);
        fill(expected, sizes[i], i + 1);
        CHECK_OK(sqlpool_query_int64(
                     pool, &value,
                     "SELECT b = ?2 AND typeof(b) = 'blob' AND n IS NULL AND r = 0.5 + ?1 AND "
                     "length(CAST(z AS BLOB)) = 3 FROM c WHERE i = ?1",
                     SQLPOOL_ARGS(i, SQLPOOL_BLOB(expected, sizes[i])), &err),
                 &err);
        CHECK_INT(value, 1);
    }
    close_pool(pool);
}

/*---- order ----*/

typedef struct producer {
    sqlpool *pool;
    int me, count, every; /* every so many something else */
    int refused;
    pthread_t thread;
} producer;

static const char *strange(int n) {
    static const char *const those[] = {
        "INSERT INTO u VALUES('dup')",
        "INSERT OR ROLLBACK INTO u VALUES('dup')",
        "CREATE TABLE IF NOT EXISTS made(v)",
        "INSERT INTO r VALUES(1)",
        "PRAGMA user_version = 7",
        "INSERT INTO child VALUES(7, NULL)",
        "WITH one(v) AS (VALUES(1)) INSERT INTO r SELECT v FROM one WHERE v > 1",
        "INSERT INTO missing VALUES(1)",
        "VACUUM",
        "INSERT INTO u VALUES("};
    return those[n % LENGTH(those)];
}
static void *produce(void *argument) {
    producer *p = (producer *)argument;
    int i;
    for (i = 0; i < p->count; i++) {
        sqlpool_error error;
        if (p->every > 0 && i % p->every == 0 &&
            sqlpool_submit(p->pool, NULL, strange(i / p->every + p->me), SQLPOOL_NO_ARGS, &error) !=
                SQLPOOL_OK)
            p->refused++;
        if (sqlpool_submit(p->pool, NULL, "INSERT INTO o(p, i) VALUES(?, ?)",
                           SQLPOOL_ARGS(p->me, i), &error) != SQLPOOL_OK)
            p->refused++;
    }
    return NULL;
}
static bool start_producer(producer *p, sqlpool *pool, int me, int count, int every) {
    memset(p, 0, sizeof *p);
    p->pool = pool;
    p->me = me;
    p->count = count;
    p->every = every;
    return start_thread(&p->thread, produce, p);
}
#define COUNT_OUT_OF_ORDER \
    "SELECT count(*) FROM (SELECT i, lag(i, 1, -1) OVER (PARTITION BY p ORDER BY id) AS before " \
    "FROM o) WHERE i <> before + 1"
static void keep_order(const char *path, int count, int every, int submit_count) {
    sqlpool_config config = patient();
    sqlpool *pool;
    producer producers[4];
    int i;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    config.submit_count = submit_count;
    config.group_us = 0; /* the default */
    pool = open_pool(path, &config, "CREATE TABLE o(id INTEGER PRIMARY KEY, p, i);" POISON_TABLES);
    CHECK(pool != NULL);
    for (i = 0; i < 4; i++) CHECK(start_producer(&producers[i], pool, i, count, every));
    for (i = 0; i < 4; i++) (void)pthread_join(producers[i].thread, NULL);
    for (i = 0; i < 4; i++) CHECK_INT(producers[i].refused, 0);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM o"), 4 * count);
    CHECK_INT(ask(pool, COUNT_OUT_OF_ORDER), 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM u"), 1);
    if (every > 0) CHECK_INT(ask(pool, "PRAGMA user_version"), 7);
    if (every > 0) CHECK(stats_of(pool).replayed > 0);
    CHECK(stats_of(pool).groups > 0);
    CHECK_INT(stats_of(pool).submitted_now, 0);
    close_pool(pool);
}
TEST(each_submitter_keeps_its_order) {
    keep_order("order.db", 5000, 0, 0);
}
TEST(poison_and_schema_keep_the_order) {
    keep_order("poison.db", 1000, 23, 0);
    keep_order("poison7.db", 200, 9, 7);
}

/*  A function, statements, and what ends a group, from one submitter. */
TEST(kinds_keep_their_order) {
    enum { COUNT = 60 };
    static deed deeds[COUNT];
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("kinds.db", &config, TABLE POISON_TABLES);
    static holder h;
    int i;
    CHECK(pool != NULL);
    CHECK(take_writer(&h, pool));
    for (i = 0; i < COUNT; i++) {
        const sqlpool_submission relaxed = {.relaxed = true};
        memset(&deeds[i], 0, sizeof deeds[i]);
        deeds[i].value = i;
        deeds[i].busy = i % 4 == 1 ? 2 : 0; /* is tried again before anything behind it */
        if (i % 10 == 7)
            CHECK_OK(sqlpool_submit(pool, NULL, strange(i / 10), SQLPOOL_NO_ARGS, &err), &err);
        if (i % 3 == 0) {
            CHECK_OK(sqlpool_submit_write(pool, NULL, NULL, act, &deeds[i], &err), &err);
        } else {
            CHECK_OK(sqlpool_submit_with(pool, i % 4 == 0 ? &relaxed : NULL, NULL, INSERT,
                                         SQLPOOL_ARGS(i), &err),
                     &err);
        }
    }
    give_writer(&h);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(ask(pool, COUNT_T), COUNT);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE v <> id - 1"), 0);
    CHECK(stats_of(pool).retries > 0);
    close_pool(pool);
}

/*---- done_fn ----*/

enum { MANY = 300 };
static told tolds[MANY];
static void no_tolds(int count) {
    memset(tolds, 0, (size_t)count * sizeof tolds[0]);
}

TEST(done_is_called_once_each) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("done.db", &config, TABLE POISON_TABLES);
    int i;
    CHECK(pool != NULL);
    no_tolds(MANY);
    mark(&turns, 0);
    for (i = 0; i < MANY; i++) {
        const sqlpool_submission submission = tell(&tolds[i]);
        if (i % 10 == 3)
            CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, "INSERT INTO u VALUES('dup')",
                                         SQLPOOL_NO_ARGS, &err),
                     &err);
        else
            CHECK_OK(sqlpool_submit_with(pool, &submission, &tolds[i].ticket, INSERT,
                                         SQLPOOL_ARGS(i), &err),
                     &err);
    }
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(look(&turns), MANY); /* a flush waits for them too */
    for (i = 0; i < MANY; i++) {
        const bool is_bad = i % 10 == 3;
        CHECK(was_told(&tolds[i], is_bad ? SQLITE_CONSTRAINT_UNIQUE : SQLPOOL_OK,
                       is_bad ? SQLPOOL_OUTCOME_NOT_COMMITTED : SQLPOOL_OUTCOME_COMMITTED));
        CHECK_INT(tolds[i].what.changes, !is_bad);
        CHECK_INT(tolds[i].what.sequence > 0, !is_bad);
        CHECK_INT(tolds[i].turn, i + 1);
        CHECK(!pthread_equal(tolds[i].on, pthread_self()));
        CHECK(pthread_equal(tolds[i].on, tolds[0].on));
        if (is_bad) continue;
        CHECK_OK(sqlpool_ticket_poll(&tolds[i].ticket, NULL, &err),
                 &err); /* and the ticket says the same */
    }
    close_pool(pool);
}

static void chain_on(told *t) {
    sqlpool_error e;
    const sqlpool_submission submission = tell(t + 1);
    int64_t rows = 0;
    EXPECT_INT(t->result, SQLPOOL_OK);
    EXPECT_INT(sqlpool_query_int64(t->pool, &rows, COUNT_T, SQLPOOL_NO_ARGS, &e), SQLPOOL_OK);
    EXPECT_INT(rows, 51 - t->left);
    if (t->left == 1) return;
    t[1].pool = t->pool;
    t[1].left = t->left - 1;
    t[1].then = chain_on;
    EXPECT_INT(sqlpool_submit_with(t->pool, &submission, NULL, INSERT, SQLPOOL_ARGS(t->left), &e),
               SQLPOOL_OK);
}
TEST(done_may_submit_the_next) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("chain.db", &config, TABLE);
    sqlpool_submission submission = tell(&tolds[0]);
    CHECK(pool != NULL);
    no_tolds(60);
    tolds[0].pool = pool;
    tolds[0].left = 50;
    tolds[0].then = chain_on;
    CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(0), &err), &err);
    CHECK(await(&tolds[49].calls, 1));
    CHECK_INT(look(&tolds[50].calls), 0);
    close_and_count(pool, "chain.db", 50);
}

/*  What a done_fn may do, and what it may not: it would wait for itself. */
static void use_pool(told *t) {
    sqlpool_ticket other = {0};
    sqlpool_error e;
    sqlpool_conn conn;
    EXPECT_INT(sqlpool_exec(t->pool, "INSERT INTO d VALUES(1)", SQLPOOL_NO_ARGS, &e), SQLPOOL_OK);
    EXPECT_INT(e.outcome, SQLPOOL_OUTCOME_COMMITTED);
    EXPECT_INT(sqlpool_script(t->pool, "INSERT INTO d VALUES(2); INSERT INTO d VALUES(3)", -1, &e),
               SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_acquire(t->pool, SQLPOOL_WRITE, &conn, &e), SQLPOOL_OK);
    EXPECT_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    EXPECT_INT(sqlpool_submit(t->pool, &other, "INSERT INTO d VALUES(4)", SQLPOOL_NO_ARGS, &e),
               SQLPOOL_OK);
    EXPECT_INT(sqlpool_ticket_wait(&other, 100, NULL, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_ticket_poll(&other, NULL, &e), SQLPOOL_WOULD_BLOCK);
    EXPECT_INT(sqlpool_ticket_wait(&t->ticket, 100, NULL, &e), SQLPOOL_MISUSE); /* its own */
    EXPECT_INT(sqlpool_ticket_poll(&t->ticket, NULL, &e), SQLPOOL_WOULD_BLOCK);
    EXPECT_INT(sqlpool_ticket_cancel(&t->ticket), SQLPOOL_TOO_LATE);
    EXPECT_INT(sqlpool_flush(t->pool, 100, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_close(t->pool, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_sync(t->pool, t->what.sequence, 1000, &e), SQLPOOL_OK);
    EXPECT_INT(sqlpool_tick(t->pool, 0), SQLPOOL_OK);
    EXPECT_INT(sqlpool_ticket_drop(&other), SQLPOOL_OK);
}
static void use_pool_in_done(const char *path, sqlpool_config config) {
    sqlpool *pool = open_pool(path, &config, TABLE "CREATE TABLE d(v)");
    sqlpool_submission submission = tell(&tolds[0]);
    CHECK(pool != NULL);
    no_tolds(1);
    tolds[0].pool = pool;
    tolds[0].then = use_pool;
    { /* the ticket is there before done_fn is called */
        static holder h;
        CHECK(take_writer(&h, pool));
        CHECK_OK(
            sqlpool_submit_with(pool, &submission, &tolds[0].ticket, INSERT, SQLPOOL_ARGS(0), &err),
            &err);
        give_writer(&h);
    }
    if (config.disable_upkeep_thread) CHECK_INT(sqlpool_tick(pool, 0), SQLPOOL_OK);
    CHECK(await(&tolds[0].calls, 1));
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_OK(result_of(&tolds[0].ticket, &err), &err);
    CHECK_INT(ask(pool, "SELECT sum(v) FROM d"), 1 + 2 + 3 + 4);
    close_pool(pool);
}
TEST(done_may_use_the_pool_but_not_wait) {
    use_pool_in_done("in_done.db", patient());
    use_pool_in_done("in_done2.db", without_thread());
}

/*  The same for the done_fn of a write that was cancelled, on the thread that cancels. */
static void wait_for_own(told *t) {
    sqlpool_error e;
    EXPECT_INT(t->result, SQLPOOL_CANCELLED);
    EXPECT_INT(sqlpool_ticket_wait(&t->ticket, 300, NULL, &e), SQLPOOL_MISUSE);
    EXPECT_INT(sqlpool_close(t->pool, &e), SQLPOOL_MISUSE);
}
TEST(done_of_a_cancelled_one_does_not_wait_for_itself) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("own.db", &config, TABLE);
    sqlpool_submission submission = tell(&tolds[0]);
    sqlpool_ticket copy;
    static holder h;
    CHECK(pool != NULL);
    no_tolds(1);
    tolds[0].pool = pool;
    tolds[0].then = wait_for_own;
    CHECK(take_writer(&h, pool));
    CHECK_OK(
        sqlpool_submit_with(pool, &submission, &tolds[0].ticket, INSERT, SQLPOOL_ARGS(0), &err),
        &err);
    copy = tolds[0].ticket;
    CHECK_INT(sqlpool_ticket_cancel(&copy), SQLPOOL_OK);
    CHECK_INT(look(&tolds[0].calls), 1);
    give_writer(&h);
    close_and_count(pool, "own.db", 0);
}

static void stand_here(told *t) {
    (void)t;
    wait_at(&stands);
}
TEST(a_done_that_does_not_return_is_reported) {
    static lines log;
    sqlpool_config config = patient();
    sqlpool_submission submission = tell(&tolds[0]);
    sqlpool *pool;
    int64_t end;
    bool was_said;
    report_leaks_to(&config, &log);
    pool = open_pool("hangs.db", &config, TABLE);
    CHECK(pool != NULL);
    no_tolds(1);
    tolds[0].then = stand_here;
    arm(&stands);
    CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(0), &err), &err);
    CHECK(await_holder(&stands));
    end = now_ms() + 60000;
    while (!has_line(&log, SQLPOOL_LOG_LEAK, "done_fn") && now_ms() < end) {
        CHECK_OK(sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(1), &err),
                 &err); /* the writer is free meanwhile */
        sleep_ms(5);
    }
    was_said = has_line(&log, SQLPOOL_LOG_LEAK, "done_fn");
    let_go(&stands);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK(was_said);
    CHECK_INT(look(&log.counts[SQLPOOL_LOG_LEAK]), 1);
    close_pool(pool);
}

TEST(a_function_that_hangs_is_reported_with_its_submission) {
    static lines log;
    const sqlpool_submission submission = {.tag = "hanging"};
    sqlpool_config config = patient();
    sqlpool *pool;
    deed d = {.value = 1, .stands = true};
    bool was_said;
    report_leaks_to(&config, &log);
    pool = open_pool("hanging.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK_INT(submit_value(pool, NULL, 0), SQLPOOL_OK);
    PART(stand_in(pool, &submission, NULL, &d));
    (void)await_line(&log, SQLPOOL_LOG_LEAK, "[hanging]");
    was_said = has_line(&log, SQLPOOL_LOG_LEAK, "submit.c");
    let_go(&stands);
    CHECK(was_said);
    close_and_count(pool, "hanging.db", 2);
}

/*---- a full queue ----*/

typedef struct waiting {
    sqlpool *pool;
    sqlpool_ticket *ticket;
    sqlpool_submission submission;
    int timeout_ms, rc;
    int64_t took_ms;
    int is_back; /* atomic */
    sqlpool_result result;
    sqlpool_error error;
    pthread_t thread;
} waiting;
static void *wait_ticket(void *argument) {
    waiting *w = (waiting *)argument;
    w->rc = sqlpool_ticket_wait(w->ticket, w->timeout_ms, &w->result, &w->error);
    mark(&w->is_back, 1);
    return NULL;
}
static void *wait_room(void *argument) {
    waiting *w = (waiting *)argument;
    const int64_t start = now_ms();
    w->rc = sqlpool_submit_with(w->pool, &w->submission, NULL, INSERT, SQLPOOL_ARGS(99), &w->error);
    w->took_ms = now_ms() - start;
    mark(&w->is_back, 1);
    return NULL;
}
static void *wait_flush(void *argument) {
    waiting *w = (waiting *)argument;
    w->rc = sqlpool_flush(w->pool, w->timeout_ms, &w->error);
    mark(&w->is_back, 1);
    return NULL;
}
static void *close_it(void *argument) {
    waiting *w = (waiting *)argument;
    w->rc = sqlpool_close(w->pool, &w->error);
    mark(&w->is_back, 1);
    return NULL;
}
static bool begin(waiting *w, sqlpool *pool, void *(*run)(void *)) {
    w->pool = pool;
    mark(&w->is_back, 0);
    return start_thread(&w->thread, run, w);
}
static void end_of(waiting *w) {
    (void)pthread_join(w->thread, NULL);
}
/*  It waits for its ticket when this returns. */
static bool begin_waiting(waiting *w, sqlpool *pool) {
    sqlpool_ticket copy = *w->ticket;
    if (!begin(w, pool, wait_ticket)) return false;
    while (sqlpool_ticket_poll(&copy, NULL, &err) == SQLPOOL_WOULD_BLOCK && !look(&w->is_back))
        sleep_ms(1);
    return strstr(err.message, "another thread waits") != NULL;
}

TEST(a_full_queue) {
    const sqlpool_submission no_wait = {.wait_ms = SQLPOOL_NO_WAIT};
    sqlpool_config config = patient();
    waiting late = {.submission = {.wait_ms = 150}},
            patiently = {.submission = {.wait_ms = SQLPOOL_FOREVER}};
    sqlpool *pool;
    static holder h;
    int i;
    config.submit_count = 4;
    pool = open_pool("full.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK(take_writer(&h, pool));
    for (i = 0; i < 4; i++) CHECK_INT(submit_value(pool, NULL, i), SQLPOOL_OK);
    CHECK_INT(stats_of(pool).submitted_now, 4);
    CHECK_RC(sqlpool_submit_with(pool, &no_wait, NULL, INSERT, SQLPOOL_ARGS(98), &err),
             SQLPOOL_WOULD_BLOCK, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_HAS(err.message, "4 writes wait");
    CHECK_HAS(err.message, "submit_count is 4");
    CHECK_INT(stats_of(pool).submit_refusals, 1);
    CHECK(begin(&late, pool, wait_room));
    end_of(&late);
    CHECK_INT(late.rc, SQLPOOL_TIMEOUT);
    CHECK_INT(late.error.result, SQLPOOL_TIMEOUT);
    CHECK(late.took_ms >= 145 && late.took_ms < 20000);
    CHECK_INT(stats_of(pool).submit_refusals, 2);
    CHECK_INT(stats_of(pool).submitted, 4);
    CHECK(begin(&patiently, pool, wait_room));
    sleep_ms(50);
    CHECK(!look(&patiently.is_back));
    give_writer(&h);
    end_of(&patiently);
    CHECK_INT(patiently.rc, SQLPOOL_OK);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(stats_of(pool).submitted, 5);
    CHECK_INT(stats_of(pool).submit_refusals, 2);
    CHECK_INT(ask(pool, COUNT_T), 5);
    close_pool(pool);
}

/*  Whoever has the writer, or runs what is submitted, would wait for itself. */
static void submit_to_full(told *t) {
    sqlpool_error e;
    int i, rc = SQLPOOL_OK;
    for (i = 0; i < 4 && rc == SQLPOOL_OK; i++)
        rc = sqlpool_submit(t->pool, NULL, INSERT, SQLPOOL_ARGS(i), &e);
    EXPECT_INT(rc, SQLPOOL_WOULD_BLOCK);
    t->left = i;
}
TEST(who_must_not_wait_for_room) {
    sqlpool_config config = patient();
    sqlpool_submission submission = tell(&tolds[0]);
    sqlpool_conn writer;
    sqlpool *pool;
    int64_t start;
    config.submit_count = 2;
    pool = open_pool("must_not.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
    CHECK_INT(submit_value(pool, NULL, 1), SQLPOOL_OK);
    CHECK_INT(submit_value(pool, NULL, 2), SQLPOOL_OK);
    start = now_ms();
    CHECK_RC(sqlpool_submit(pool, NULL, INSERT, SQLPOOL_ARGS(3), &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK_RC(sqlpool_flush(pool, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK(now_ms() - start < 30000);
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    no_tolds(1);
    tolds[0].pool = pool;
    tolds[0].then = submit_to_full;
    CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(4), &err), &err);
    CHECK(await(&tolds[0].calls, 1));
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    close_and_count(pool, "must_not.db", 3 + tolds[0].left - 1);
}

/*  Without a log a cursor keeps the writer out: whoever has one and waits would wait for itself. */
static void wait_with_a_cursor(const char *path, sqlpool_config config, bool has_lease) {
    const sqlpool_submission brief = {.wait_ms = 1000};
    sqlpool_conn reader;
    sqlpool_rows rows;
    sqlpool_ticket ticket;
    sqlpool *pool;
    config.submit_count = 2;
    pool = open_pool(path, &config, TABLE "INSERT INTO t(v) VALUES(1), (2)");
    CHECK(pool != NULL);
    if (has_lease) {
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &reader, &err), &err);
        CHECK_OK(sqlpool_conn_query(&reader, &rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err),
                 &err);
    } else {
        CHECK_OK(sqlpool_query(pool, &rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), &err);
    }
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(submit_value(pool, &ticket, 3), SQLPOOL_OK);
    CHECK_RC(sqlpool_flush(pool, 1000, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "submit.c");
    CHECK_RC(sqlpool_ticket_wait(&ticket, 1000, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "submit.c");
    CHECK_RC(sqlpool_ticket_poll(&ticket, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK_INT(submit_value(pool, NULL, 4), SQLPOOL_OK);
    CHECK_RC(sqlpool_submit_with(pool, &brief, NULL, INSERT, SQLPOOL_ARGS(5), &err),
             SQLPOOL_WOULD_BLOCK, &err); /* there is no room, and will not be */
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    if (has_lease) CHECK_INT(sqlpool_conn_release(&reader), SQLPOOL_OK);
    CHECK_OK(result_of(&ticket, &err), &err);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(ask(pool, COUNT_T), 4);
    close_pool(pool);
}
TEST(who_must_not_wait_with_a_cursor) {
    sqlpool_config config = patient();
    sqlpool_rows rows;
    sqlpool *pool = open_pool("cursor.db", &config, TABLE "INSERT INTO t(v) VALUES(1), (2)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(submit_value(pool, NULL, 3), SQLPOOL_OK);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err); /* with a log it is no hindrance */
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    close_and_count(pool, "cursor.db", 3);
    PART(wait_with_a_cursor(":memory:", config, false));
    PART(wait_with_a_cursor(":memory:", config, true));
    config.journal = SQLPOOL_JOURNAL_DELETE;
    PART(wait_with_a_cursor("cursor_delete.db", config, false));
    PART(wait_with_a_cursor("lease_delete.db", config, true));
    config.disable_upkeep_thread = true;
    PART(wait_with_a_cursor("cursor_tick.db", config, false));
}

TEST(a_queue_full_of_bytes) {
    static char text[9000];
    const sqlpool_submission no_wait = {.wait_ms = SQLPOOL_NO_WAIT};
    sqlpool_config config = patient();
    sqlpool *pool;
    static holder h;
    char why[400];
    int i, taken = 0;
    memset(text, 'a', sizeof text);
    config.submit_bytes = 8192;
    config.allocator = sim_allocator(); /* copies of what was refused are given back */
    pool = open_pool("bytes.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK(take_writer(&h, pool));
    CHECK_RC(sqlpool_submit_with(pool, &no_wait, NULL, INSERT,
                                 SQLPOOL_ARGS(SQLPOOL_TEXT(text, 8192)), &err),
             SQLPOOL_TOO_BIG, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_HAS(err.message, "8192");
    CHECK_INT(stats_of(pool).submitted, 0);
    for (i = 0; i < 20; i++) {
        const int rc = sqlpool_submit_with(pool, &no_wait, NULL, INSERT,
                                           SQLPOOL_ARGS(SQLPOOL_BLOB(text, 1700)), &err);
        taken += rc == SQLPOOL_OK;
        if (rc != SQLPOOL_OK) CHECK_INT(rc, SQLPOOL_WOULD_BLOCK);
    }
    CHECK_INT(taken, 4);
    CHECK_HAS(err.message, "submit_bytes 8192");
    give_writer(&h);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK(take_writer(&h, pool)); /* they are not counted any more */
    for (i = 0; i < 2; i++)
        CHECK_OK(sqlpool_submit(pool, NULL, INSERT, SQLPOOL_ARGS(SQLPOOL_BLOB(text, 3000)), &err),
                 &err);
    give_writer(&h);
    CHECK_OK(sqlpool_submit(pool, NULL, INSERT, SQLPOOL_ARGS(SQLPOOL_TEXT(text, 8100)), &err),
             &err); /* alone it may */
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    close_and_count(pool, "bytes.db", 7);
    if (sim_alloc_check(why, sizeof why)) test_fail(__FILE__, __LINE__, "%s", why);
}

/*  What a flush has waited for has no place any more. */
TEST(there_is_room_after_a_flush) {
    const sqlpool_submission no_wait = {.wait_ms = SQLPOOL_NO_WAIT};
    sqlpool_config config = patient();
    sqlpool *pool;
    int i;
    config.submit_count = 8;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    pool = open_pool("room.db", &config, TABLE);
    CHECK(pool != NULL);
    for (i = 0; i < 8 * 300; i++) {
        CHECK_OK(sqlpool_submit_with(pool, &no_wait, NULL, INSERT, SQLPOOL_ARGS(i), &err), &err);
        if (i % 8 == 7) CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    }
    close_pool(pool);
}

/*  Results that nobody fetches have their places, and the message says so. */
TEST(tickets_that_nobody_fetches_fill_the_queue) {
    const sqlpool_submission no_wait = {.wait_ms = SQLPOOL_NO_WAIT};
    sqlpool_config config = patient();
    sqlpool_ticket tickets[4], copy;
    sqlpool *pool;
    int i;
    config.submit_count = 4;
    pool = open_pool("unfetched.db", &config, TABLE);
    CHECK(pool != NULL);
    for (i = 0; i < 4; i++) CHECK_INT(submit_value(pool, &tickets[i], i), SQLPOOL_OK);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(stats_of(pool).submitted_now, 0);
    CHECK_RC(sqlpool_submit_with(pool, &no_wait, NULL, INSERT, SQLPOOL_ARGS(98), &err),
             SQLPOOL_WOULD_BLOCK, &err);
    CHECK_HAS(err.message, "0 writes wait");
    CHECK_HAS(err.message, "4 run or are done and not fetched");
    CHECK_HAS(err.message, "sqlpool_ticket_wait");
    copy = tickets[2];
    CHECK_INT(sqlpool_ticket_drop(&tickets[2]), SQLPOOL_OK);
    CHECK_INT(sqlpool_ticket_drop(&copy), SQLPOOL_MISUSE);
    CHECK_INT(submit_value(pool, &copy, 4), SQLPOOL_OK); /* in the place of the dropped one */
    CHECK_RC(sqlpool_submit_with(pool, &no_wait, NULL, INSERT, SQLPOOL_ARGS(98), &err),
             SQLPOOL_WOULD_BLOCK, &err);
    CHECK_INT(result_of(&tickets[0], NULL), SQLPOOL_OK);
    CHECK_OK(sqlpool_submit_with(pool, &no_wait, NULL, INSERT, SQLPOOL_ARGS(5), &err), &err);
    CHECK_INT(result_of(&copy, NULL), SQLPOOL_OK);
    CHECK_INT(result_of(&tickets[1], NULL), SQLPOOL_OK);
    CHECK_INT(result_of(&tickets[3], NULL), SQLPOOL_OK);
    close_and_count(pool, "unfetched.db", 6);
}

/*---- tickets that are none ----*/

TEST(tickets_that_are_none) {
    sqlpool_config config = patient();
    sqlpool *pool, *other;
    sqlpool_ticket ticket, stale, changed, zero;
    memset(&zero, 0, sizeof zero);
    config.submit_count = 1;
    pool = open_pool("none.db", &config, TABLE);
    other = open_pool("other.db", &config, TABLE);
    CHECK(pool != NULL && other != NULL);
    CHECK_INT(submit_value(pool, &ticket, 1), SQLPOOL_OK);
    stale = ticket; /* a copy is as good, once */
    CHECK_OK(result_of(&stale, &err), &err);
    CHECK_RC(result_of(&ticket, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_ticket_cancel(&ticket), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_ticket_drop(&ticket), SQLPOOL_MISUSE);
    stale = ticket;
    CHECK_INT(submit_value(pool, &ticket, 2), SQLPOOL_OK); /* the same place, another number */
    CHECK_RC(result_of(&stale, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_ticket_cancel(&stale), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_ticket_drop(&stale), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_ticket_cancel(&zero), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_ticket_drop(&zero), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_ticket_cancel(NULL), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_ticket_drop(NULL), SQLPOOL_MISUSE);
    changed = ticket;
    changed.entry = 1;
    CHECK_RC(result_of(&changed, &err), SQLPOOL_MISUSE, &err);
    changed.entry = UINT32_MAX;
    CHECK_RC(result_of(&changed, &err), SQLPOOL_MISUSE, &err);
    changed = ticket;
    changed.number++;
    CHECK_RC(result_of(&changed, &err), SQLPOOL_MISUSE, &err);
    changed.number = UINT64_MAX;
    CHECK_RC(result_of(&changed, &err), SQLPOOL_MISUSE, &err);
    changed = ticket;
    changed.pool = other;
    CHECK(result_of(&changed, &err) == SQLPOOL_CLOSED || err.result == SQLPOOL_MISUSE);
    changed.pool_serial = 0;
    CHECK(result_of(&changed, &err) == SQLPOOL_CLOSED || err.result == SQLPOOL_MISUSE);
    changed = ticket;
    changed.pool = NULL;
    CHECK_RC(result_of(&changed, &err), SQLPOOL_MISUSE, &err);
    changed.pool = (sqlpool *)(void *)&changed;
    CHECK_RC(result_of(&changed, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_ticket_cancel(&changed), SQLPOOL_MISUSE);
    CHECK_OK(result_of(&ticket, &err), &err); /* none of that did it any harm */
    CHECK_INT(submit_value(pool, &ticket, 3), SQLPOOL_OK);
    close_pool(pool);
    CHECK_RC(result_of(&ticket, &err), SQLPOOL_CLOSED, &err);
    CHECK_INT(sqlpool_ticket_cancel(&ticket), SQLPOOL_CLOSED);
    CHECK_INT(sqlpool_ticket_drop(&ticket), SQLPOOL_CLOSED);
    CHECK_INT(ask_file("none.db", COUNT_T), 3);
    close_pool(other);
}

TEST(one_thread_at_a_time_waits_for_a_ticket) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("two.db", &config, TABLE);
    waiting first = {.timeout_ms = 60000};
    sqlpool_ticket ticket, copy;
    static holder h;
    CHECK(pool != NULL);
    CHECK(take_writer(&h, pool));
    CHECK_INT(submit_value(pool, &ticket, 1), SQLPOOL_OK);
    copy = ticket;
    first.ticket = &ticket;
    CHECK(begin_waiting(&first, pool));
    CHECK_RC(sqlpool_ticket_poll(&copy, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "another thread");
    CHECK_RC(sqlpool_ticket_wait(&copy, 1000, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_ticket_drop(&copy), SQLPOOL_MISUSE);
    give_writer(&h);
    end_of(&first);
    CHECK_INT(first.rc, SQLPOOL_OK);
    CHECK_INT(first.result.changes, 1);
    CHECK_RC(sqlpool_ticket_poll(&copy, NULL, &err), SQLPOOL_MISUSE, &err);
    close_pool(pool);
}

TEST(a_wait_that_is_too_short_can_be_repeated) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("short.db", &config, TABLE);
    sqlpool_ticket ticket;
    int64_t start;
    static holder h;
    CHECK(pool != NULL);
    CHECK(take_writer(&h, pool));
    CHECK_INT(submit_value(pool, &ticket, 1), SQLPOOL_OK);
    start = now_ms();
    CHECK_RC(sqlpool_ticket_wait(&ticket, 60, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK(now_ms() - start >= 55);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NONE);
    CHECK_RC(sqlpool_ticket_wait(&ticket, SQLPOOL_NO_WAIT, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK(ticket.number != 0);
    give_writer(&h);
    CHECK_OK(result_of(&ticket, &err), &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_COMMITTED);
    close_pool(pool);
}

/*  What is not committed has changed nothing. */
static int insert_orphan(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, "INSERT INTO child VALUES(7, NULL)", SQLPOOL_NO_ARGS, NULL,
                             NULL);
}
TEST(a_commit_that_refuses_reports_no_changes) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("unchanged.db", &config, TABLE POISON_TABLES);
    sqlpool_ticket tickets[3];
    sqlpool_result result;
    static holder h;
    static deed d;
    int round;
    CHECK(pool != NULL);
    for (round = 0; round < 2; round++) { /* by itself, and among others */
        CHECK(take_writer(&h, pool));
        if (round == 1)
            CHECK_OK(sqlpool_submit_write(pool, NULL, &tickets[0], act, &d, &err), &err);
        CHECK_OK(sqlpool_submit_write(pool, NULL, &tickets[1], insert_orphan, NULL, &err), &err);
        if (round == 1) CHECK_INT(submit_value(pool, &tickets[2], 1), SQLPOOL_OK);
        give_writer(&h);
        memset(&result, 0x5a, sizeof result);
        CHECK_RC(sqlpool_ticket_wait(&tickets[1], 60000, &result, &err),
                 SQLITE_CONSTRAINT_FOREIGNKEY, &err);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        CHECK_INT(result.changes, 0);
        CHECK_INT((int64_t)result.sequence, 0);
    }
    CHECK_OK(sqlpool_ticket_wait(&tickets[0], 60000, &result, &err), &err);
    CHECK_INT(result.changes, 1);
    CHECK_OK(sqlpool_ticket_wait(&tickets[2], 60000, &result, &err), &err);
    CHECK_INT(result.changes, 1);
    close_and_count(pool, "unchanged.db", 2);
}

/*---- cancelled, late ----*/

TEST(cancelled_in_the_queue) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("cancel.db", &config, TABLE);
    waiting waiter = {.timeout_ms = 60000};
    sqlpool_submission submissions[4];
    static deed never;
    sqlpool_ticket waited, stale;
    static holder h;
    int i;
    CHECK(pool != NULL);
    no_tolds(4);
    CHECK(take_writer(&h, pool));
    for (i = 0; i < 4; i++) submissions[i] = tell(&tolds[i]);
    CHECK_OK(sqlpool_submit_with(pool, &submissions[0], NULL, INSERT, SQLPOOL_ARGS(0), &err), &err);
    CHECK_OK(
        sqlpool_submit_with(pool, &submissions[1], &tolds[1].ticket, INSERT, SQLPOOL_ARGS(1), &err),
        &err);
    CHECK_OK(sqlpool_submit_write(pool, &submissions[2], &tolds[2].ticket, act, &never, &err),
             &err);
    CHECK_OK(
        sqlpool_submit_with(pool, &submissions[3], &tolds[3].ticket, INSERT, SQLPOOL_ARGS(3), &err),
        &err);
    stale = tolds[1].ticket;
    CHECK_INT(sqlpool_ticket_cancel(&tolds[1].ticket), SQLPOOL_OK);
    CHECK(was_told(&tolds[1], SQLPOOL_CANCELLED,
                   SQLPOOL_OUTCOME_NOT_COMMITTED)); /* on this thread, before the call returned */
    CHECK(pthread_equal(tolds[1].on, pthread_self()));
    CHECK_INT((int64_t)tolds[1].ticket.number, 0);
    CHECK_INT(sqlpool_ticket_cancel(&stale), SQLPOOL_MISUSE);
    waited = tolds[2].ticket;
    waiter.ticket = &waited;
    CHECK(begin_waiting(&waiter, pool));
    CHECK_INT(sqlpool_ticket_cancel(&tolds[2].ticket), SQLPOOL_OK);
    end_of(&waiter); /* while the writer is held */
    CHECK_INT(waiter.rc, SQLPOOL_CANCELLED);
    CHECK_INT(waiter.error.result, SQLPOOL_CANCELLED);
    CHECK_INT(waiter.error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(stats_of(pool).submitted_now, 2);
    CHECK_INT(stats_of(pool).cancellations, 2);
    give_writer(&h);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(look(&never.runs), 0);
    CHECK_INT(sqlpool_ticket_cancel(&tolds[3].ticket), SQLPOOL_TOO_LATE);
    CHECK_OK(result_of(&tolds[3].ticket, &err), &err); /* it is as before */
    CHECK(was_told(&tolds[0], SQLPOOL_OK, SQLPOOL_OUTCOME_COMMITTED));
    CHECK(was_told(&tolds[2], SQLPOOL_CANCELLED, SQLPOOL_OUTCOME_NOT_COMMITTED));
    CHECK(was_told(&tolds[3], SQLPOOL_OK, SQLPOOL_OUTCOME_COMMITTED));
    CHECK_INT(ask(pool, "SELECT group_concat(v) = '0,3' FROM t"), 1);
    close_pool(pool);
}
/*  The waiter gives up while done_fn of the cancellation runs: with the same ticket, or a copy. */
static waiting impatient;
static void let_give_up(told *t) {
    (void)t;
    (void)await(&impatient.is_back, 1);
}
TEST(cancelled_beside_one_that_gives_up) {
    sqlpool_config config = patient();
    sqlpool *pool;
    sqlpool_ticket copy;
    sqlpool_submission submission;
    static holder h;
    int i;
    config.submit_count = 2;
    pool = open_pool("gives_up.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK(take_writer(&h, pool));
    for (i = 0; i < 4; i++) {
        no_tolds(1);
        submission = tell(&tolds[0]);
        tolds[0].then = let_give_up;
        CHECK_OK(
            sqlpool_submit_with(pool, &submission, &tolds[0].ticket, INSERT, SQLPOOL_ARGS(i), &err),
            &err);
        copy = tolds[0].ticket;
        memset(&impatient, 0, sizeof impatient);
        impatient.timeout_ms = 400;
        impatient.ticket = i % 2 == 0 ? &tolds[0].ticket : &copy;
        CHECK(begin_waiting(&impatient, pool));
        CHECK_INT(sqlpool_ticket_cancel(&tolds[0].ticket), SQLPOOL_OK);
        end_of(&impatient);
        CHECK_INT(impatient.rc, SQLPOOL_WOULD_BLOCK);
        CHECK(was_told(&tolds[0], SQLPOOL_CANCELLED, SQLPOOL_OUTCOME_NOT_COMMITTED));
        CHECK_RC(sqlpool_ticket_poll(impatient.ticket, NULL, &err), SQLPOOL_MISUSE, &err);
    }
    for (i = 0; i < 2; i++) { /* and both places are free */
        submission.done_fn = NULL;
        submission.wait_ms = SQLPOOL_NO_WAIT;
        CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(i), &err), &err);
    }
    give_writer(&h);
    close_and_count(pool, "gives_up.db", 2);
}
/*  done_fn of a cancellation submits the next write, with the ticket that was used up. */
static void submit_with_it(told *t) {
    sqlpool_error e;
    t->then = NULL;
    if (sqlpool_submit(t->pool, &t->ticket, INSERT, SQLPOOL_ARGS(2), &e) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "%s", e.message);
}
TEST(a_cancelled_one_leaves_its_ticket_to_the_next) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("leaves_it.db", &config, TABLE);
    sqlpool_submission submission = tell(&tolds[0]);
    static holder h;
    CHECK(pool != NULL);
    CHECK(take_writer(&h, pool));
    no_tolds(1);
    tolds[0].then = submit_with_it;
    tolds[0].pool = pool;
    CHECK_OK(
        sqlpool_submit_with(pool, &submission, &tolds[0].ticket, INSERT, SQLPOOL_ARGS(1), &err),
        &err);
    CHECK_INT(sqlpool_ticket_cancel(&tolds[0].ticket), SQLPOOL_OK);
    give_writer(&h);
    CHECK_OK(result_of(&tolds[0].ticket, &err), &err);
    close_and_count(pool, "leaves_it.db", 1);
}
/*  As above, but who gave up asks again, with its own copy, while the cancellation puts away what
    the entry held: it finds nothing any more, and nothing is put away twice. */
static waiting asks_again;
static bool will_ask_again; /* of the cancelling thread */
static void ask_in_free(void *user, void *memory, size_t bytes) {
    if (bytes > 4000 && will_ask_again) { /* the copy of the statement, and not yet free */
        will_ask_again = false;
        if (start_thread(&asks_again.thread, wait_ticket, &asks_again))
            (void)pthread_join(asks_again.thread, NULL);
    }
    sim_allocator().free_fn(user, memory, bytes);
}
static void let_give_up_and_ask(told *t) {
    let_give_up(t);
    will_ask_again = true;
}
TEST(cancelled_beside_one_that_asks_again) {
    sqlpool_config config = patient();
    sqlpool *pool;
    sqlpool_ticket copy;
    sqlpool_submission submission;
    static holder h;
    static char sql[5000];
    char why[400];
    config.allocator = sim_allocator();
    config.allocator.free_fn = ask_in_free;
    config.submit_count = 2;
    pool = open_pool("asks_again.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK(take_writer(&h, pool));
    (void)snprintf(sql, sizeof sql, "%s /*%*s*/", INSERT, 4500, "");
    no_tolds(1);
    submission = tell(&tolds[0]);
    tolds[0].then = let_give_up_and_ask;
    CHECK_OK(sqlpool_submit_with(pool, &submission, &tolds[0].ticket, sql, SQLPOOL_ARGS(1), &err),
             &err);
    copy = tolds[0].ticket;
    memset(&impatient, 0, sizeof impatient);
    impatient.timeout_ms = 400;
    impatient.ticket = &copy;
    memset(&asks_again, 0, sizeof asks_again);
    asks_again.timeout_ms = SQLPOOL_NO_WAIT;
    asks_again.ticket = &copy;
    CHECK(begin_waiting(&impatient, pool));
    CHECK_INT(sqlpool_ticket_cancel(&tolds[0].ticket), SQLPOOL_OK);
    end_of(&impatient);
    CHECK_INT(impatient.rc, SQLPOOL_WOULD_BLOCK);
    CHECK_INT(asks_again.is_back, 1);
    CHECK_INT(asks_again.rc, SQLPOOL_MISUSE);
    CHECK_HAS(asks_again.error.message, "fetched already");
    give_writer(&h);
    close_and_count(pool, "asks_again.db", 0);
    if (sim_alloc_check(why, sizeof why)) test_fail(__FILE__, __LINE__, "%s", why);
}
/*  Two threads have one ticket itself, not a copy of it: for ThreadSanitizer. */
static void *poll_on(void *argument) {
    waiting *w = (waiting *)argument;
    do
        w->rc = sqlpool_ticket_poll(w->ticket, &w->result, &w->error);
    while (w->rc == SQLPOOL_WOULD_BLOCK);
    return NULL;
}
TEST(cancelled_beside_one_that_polls_the_same_ticket) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("polls.db", &config, TABLE);
    sqlpool_ticket ticket;
    static holder h;
    int i;
    CHECK(pool != NULL);
    CHECK(take_writer(&h, pool));
    for (i = 0; i < 4; i++) {
        CHECK_OK(sqlpool_submit_with(pool, NULL, &ticket, INSERT, SQLPOOL_ARGS(i), &err), &err);
        memset(&impatient, 0, sizeof impatient);
        impatient.ticket = &ticket;
        CHECK(begin(&impatient, pool, poll_on));
        sleep_ms(5); /* it polls by now */
        CHECK_INT(sqlpool_ticket_cancel(&ticket), SQLPOOL_OK);
        end_of(&impatient);
        CHECK_INT(impatient.rc, SQLPOOL_MISUSE);
        CHECK_HAS(impatient.error.message, "fetched already");
    }
    give_writer(&h);
    close_and_count(pool, "polls.db", 0);
}
/*  Without the pool's thread, a waiter sleeps where those sleep that may be the next to run it all. */
TEST(cancelled_while_another_waiter_runs_the_queue) {
    sqlpool_config config = without_thread();
    sqlpool *pool;
    sqlpool_ticket first, second, copy;
    static waiting runs, sleeps;
    static deed d;
    bool was_heard;
    memset(&d, 0, sizeof d);
    memset(&runs, 0, sizeof runs);
    memset(&sleeps, 0, sizeof sleeps);
    d.stands = true;
    config.group_count = SQLPOOL_OFF;
    pool = open_pool("another_runs.db", &config, TABLE);
    CHECK(pool != NULL);
    arm(&stands);
    CHECK_OK(sqlpool_submit_write(pool, NULL, &first, act, &d, &err), &err);
    CHECK_INT(submit_value(pool, &second, 2), SQLPOOL_OK);
    copy = second;
    runs.ticket = &first;
    sleeps.ticket = &copy;
    runs.timeout_ms = sleeps.timeout_ms = SQLPOOL_FOREVER;
    CHECK(begin(&runs, pool, wait_ticket));
    CHECK(await_holder(&stands));
    CHECK(begin(&sleeps, pool, wait_ticket));
    while (sqlpool_ticket_poll(&second, NULL, &err) == SQLPOOL_WOULD_BLOCK) sleep_ms(1);
    CHECK_INT(sqlpool_ticket_cancel(&second), SQLPOOL_OK);
    was_heard = await(&sleeps.is_back, 1); /* while the other one is not done */
    let_go(&stands);
    end_of(&sleeps);
    end_of(&runs);
    CHECK(was_heard);
    CHECK_INT(sleeps.rc, SQLPOOL_CANCELLED);
    CHECK_INT(runs.rc, SQLPOOL_OK);
    close_and_count(pool, "another_runs.db", 1);
}
/*  Whoever gave a ticket up has none. */
TEST(dropped_in_the_queue) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("dropped.db", &config, TABLE);
    sqlpool_submission submission = tell(&tolds[0]);
    sqlpool_ticket ticket, copy;
    static holder h;
    CHECK(pool != NULL);
    no_tolds(1);
    CHECK(take_writer(&h, pool));
    CHECK_OK(sqlpool_submit_with(pool, &submission, &ticket, INSERT, SQLPOOL_ARGS(1), &err), &err);
    copy = ticket;
    CHECK_INT(sqlpool_ticket_drop(&ticket), SQLPOOL_OK);
    CHECK_INT((int64_t)ticket.number, 0);
    CHECK_RC(sqlpool_ticket_poll(&copy, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_ticket_cancel(&copy), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_ticket_drop(&copy), SQLPOOL_MISUSE);
    give_writer(&h);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK(was_told(&tolds[0], SQLPOOL_OK, SQLPOOL_OUTCOME_COMMITTED));
    close_and_count(pool, "dropped.db", 1);
}
TEST(too_late_to_cancel) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("too_late.db", &config, TABLE);
    deed d = {.value = 5, .stands = true};
    sqlpool_ticket ticket;
    CHECK(pool != NULL);
    PART(stand_in(pool, NULL, &ticket, &d));
    CHECK_INT(sqlpool_ticket_cancel(&ticket), SQLPOOL_TOO_LATE);
    CHECK_RC(sqlpool_ticket_poll(&ticket, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    let_go(&stands);
    CHECK_OK(result_of(&ticket, &err), &err);
    CHECK_INT(look(&d.runs), 1);
    CHECK_INT(ask(pool, COUNT_T), 1);
    close_pool(pool);
}

/*  Late ones in the queue hear of it while the writer stays where it is; those before and behind wait
    on. `first` stands before them without a limit. */
static void be_late(const char *path, bool first, bool has_thread) {
    const sqlpool_submission limit = {.timeout_ms = 80};
    sqlpool_config config = has_thread ? patient() : without_thread();
    sqlpool *pool = open_pool(path, &config, TABLE);
    sqlpool_submission submission = tell(&tolds[0]);
    static deed never;
    sqlpool_ticket late, function, untimed;
    int64_t start, end;
    static holder h;
    int rc;
    CHECK(pool != NULL);
    no_tolds(1);
    memset(&never, 0, sizeof never);
    submission.timeout_ms = 80;
    CHECK(take_writer(&h, pool));
    if (first) {
        CHECK_INT(submit_value(pool, &untimed, 1), SQLPOOL_OK);
        if (has_thread) sleep_ms(100); /* the pool's thread waits for the writer now */
    }
    start = now_ms();
    CHECK_OK(sqlpool_submit_with(pool, &limit, &late, INSERT, SQLPOOL_ARGS(2), &err), &err);
    CHECK_OK(sqlpool_submit_write(pool, &submission, &function, act, &never, &err), &err);
    CHECK_INT(submit_value(pool, NULL, 3), SQLPOOL_OK);
    end = now_ms() + 2000;
    while ((rc = sqlpool_ticket_poll(&late, NULL, &err)) == SQLPOOL_WOULD_BLOCK && now_ms() < end) {
        if (!has_thread) CHECK_INT(sqlpool_tick(pool, 0), SQLPOOL_OK);
        sleep_ms(2);
    }
    if (rc != SQLPOOL_TIMEOUT) give_writer(&h);
    CHECK_INT(rc, SQLPOOL_TIMEOUT);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK(now_ms() - start >= 75);
    CHECK_RC(result_of(&function, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(was_told(&tolds[0], SQLPOOL_TIMEOUT, SQLPOOL_OUTCOME_NOT_COMMITTED));
    CHECK_INT(stats_of(pool).submitted_now, 1 + first);
    if (first) CHECK_RC(sqlpool_ticket_poll(&untimed, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    give_writer(&h);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    if (first) CHECK_OK(result_of(&untimed, &err), &err);
    CHECK_INT(look(&never.runs), 0);
    close_and_count(pool, path, 1 + first);
}
TEST(late_in_the_queue) {
    be_late("late.db", false, true);
    be_late("late_tick.db", false, false);
    be_late("late_tick_behind.db", true, false);
}
TEST(late_behind_one_without_a_limit) {
    be_late("late_behind.db", true, true);
}
/*  Leases follow each other without a pause. Whoever looks at the clock meanwhile keeps his place among
    those that wait. */
static int leasing; /* atomic */
static void *lease_on(void *argument) {
    sqlpool *pool = (sqlpool *)argument;
    sqlpool_conn conn;
    while (look(&leasing) && sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, NULL) == SQLPOOL_OK) {
        sleep_ms(15);
        (void)sqlpool_conn_release(&conn);
    }
    return NULL;
}
static void among_leases(const char *path, int timeout_ms) {
    const sqlpool_submission limit = {.timeout_ms = timeout_ms};
    sqlpool_config config = patient();
    sqlpool *pool = open_pool(path, &config, TABLE);
    sqlpool_ticket ticket;
    pthread_t threads[8];
    int i, rc;
    CHECK(pool != NULL);
    mark(&leasing, 1);
    for (i = 0; i < 8; i++) CHECK(start_thread(&threads[i], lease_on, pool));
    while (stats_of(pool).waiting_write < 7) sleep_ms(1);
    rc = sqlpool_submit_with(pool, &limit, &ticket, INSERT, SQLPOOL_ARGS(1), &err);
    if (rc == SQLPOOL_OK) rc = sqlpool_ticket_wait(&ticket, 3000, NULL, &err);
    mark(&leasing, 0);
    for (i = 0; i < 8; i++) (void)pthread_join(threads[i], NULL);
    if (rc != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "with timeout_ms %d: %d: %s", timeout_ms, rc, err.message);
    close_pool(pool);
}
TEST(a_limit_does_not_cost_the_place) {
    PART(among_leases("place.db", 0));
    PART(among_leases("place_limit.db", 2500));
}
TEST(late_while_it_runs) {
    const sqlpool_submission limit = {.timeout_ms = 200};
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("late_run.db", &config, TABLE);
    sqlpool_ticket before, ticket, behind;
    static holder h;
    CHECK(pool != NULL);
    CHECK(take_writer(&h, pool));
    CHECK_INT(submit_value(pool, &before, 1), SQLPOOL_OK);
    CHECK_OK(sqlpool_submit_with(pool, &limit, &ticket, ENDLESS_INSERT, SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK_INT(submit_value(pool, &behind, 2), SQLPOOL_OK);
    give_writer(&h);
    CHECK_OK(result_of(&before, &err), &err);
    CHECK_RC(result_of(&ticket, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_OK(result_of(&behind, &err), &err);
    CHECK_INT(ask(pool, "SELECT group_concat(v) = '1,2' FROM t"), 1);
    close_pool(pool);
}

/*  The deadline passes inside of a statement that ends well: SQLite asks once more at its end, every
    thousand instructions. What is said then must be what is in the file. */
static void nap_function(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    sleep_ms(3);
    sqlite3_result_value(context, values[0]);
}
static int with_nap(void *user, const sqlpool_conn *conn) {
    (void)user;
    return add_function(conn, "nap", 1, nap_function);
}
TEST(late_at_the_very_end) {
    const sqlpool_submission limit = {.timeout_ms = 2};
    sqlpool_config config = without_thread();
    sqlpool *pool;
    char sql[2000];
    int i, committed = 0;
    long_insert(sql, sizeof sql, "nap");
    config.events.connect_fn = with_nap;
    pool = open_pool("very_end.db", &config, TABLE);
    CHECK(pool != NULL);
    for (i = 0; i < 40; i++) {
        sqlpool_ticket ticket;
        int rc;
        CHECK_OK(sqlpool_submit_with(pool, &limit, &ticket, sql, SQLPOOL_ARGS(1), &err), &err);
        rc = result_of(&ticket, &err);
        CHECK(rc == SQLPOOL_OK || rc == SQLPOOL_TIMEOUT);
        CHECK_INT(err.outcome,
                  rc == SQLPOOL_OK ? SQLPOOL_OUTCOME_COMMITTED : SQLPOOL_OUTCOME_NOT_COMMITTED);
        committed += rc == SQLPOOL_OK;
        CHECK_INT(ask(pool, COUNT_T), committed);
    }
    close_pool(pool);
}

/*---- flush ----*/

TEST(a_flush_waits_for_what_was_before) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("flush.db", &config, TABLE);
    waiting flush = {.timeout_ms = 60000};
    sqlpool_submission submission = tell(&tolds[0]);
    static holder h;
    CHECK(pool != NULL);
    no_tolds(1);
    CHECK_OK(sqlpool_flush(pool, 0, &err), &err); /* nothing was ever submitted */
    CHECK(take_writer(&h, pool));
    CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(1), &err), &err);
    CHECK_RC(sqlpool_flush(pool, 60, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_HAS(err.message, "1 submitted");
    CHECK(begin(&flush, pool, wait_flush));
    sleep_ms(30);
    CHECK(!look(&flush.is_back));
    tolds[0].then = stand_here; /* its done_fn counts */
    arm(&stands);
    give_writer(&h);
    CHECK(await_holder(&stands));
    CHECK_RC(sqlpool_flush(pool, 30, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(submit_value(pool, NULL, 2), SQLPOOL_OK);
    CHECK(!look(&flush.is_back));
    let_go(&stands);
    end_of(&flush);
    CHECK_INT(flush.rc, SQLPOOL_OK);
    CHECK_INT(look(&tolds[0].calls), 1);
    close_and_count(pool, "flush.db", 2);
}
/*  What comes later does not hold it up. */
TEST(a_flush_does_not_wait_for_what_comes_later) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("later.db", &config, TABLE);
    waiting flush = {.timeout_ms = 60000};
    deed first = {.value = 1, .stands = true}, second = {.value = 2, .stands = true};
    CHECK(pool != NULL);
    PART(stand_in(pool, NULL, NULL, &first));
    CHECK(begin(&flush, pool, wait_flush));
    sleep_ms(100);
    CHECK_OK(sqlpool_submit(pool, NULL, "PRAGMA user_version = 1", SQLPOOL_NO_ARGS, &err),
             &err); /* ends the group */
    CHECK_OK(sqlpool_submit_write(pool, NULL, NULL, act, &second, &err), &err);
    arm(&stands); /* lets the first go and stops the second */
    end_of(&flush);
    CHECK_INT(flush.rc, SQLPOOL_OK);
    let_go(&stands);
    close_and_count(pool, "later.db", 2);
}
/*  Late ones that are told while earlier ones wait do not end it. */
TEST(a_flush_is_not_ended_by_late_ones) {
    const sqlpool_submission in_time = {.timeout_ms =
                                            600000}; /* somebody has to look at the clock */
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("not_ended.db", &config, TABLE);
    waiting flush = {.timeout_ms = 60000};
    sqlpool_submission submission = tell(&tolds[0]);
    sqlpool_ticket ticket;
    bool was_back;
    static holder h;
    CHECK(pool != NULL);
    no_tolds(1);
    tolds[0].then = stand_here;
    submission.timeout_ms = 60;
    CHECK(take_writer(&h, pool));
    CHECK_OK(sqlpool_submit_with(pool, &in_time, NULL, INSERT, SQLPOOL_ARGS(1), &err), &err);
    CHECK_OK(sqlpool_submit_with(pool, &in_time, &ticket, INSERT, SQLPOOL_ARGS(2), &err), &err);
    CHECK(begin(&flush, pool, wait_flush));
    sleep_ms(50);
    arm(&stands);
    CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(3), &err), &err);
    CHECK(await_holder(&stands));                          /* it is late, and its done_fn stands */
    CHECK_INT(sqlpool_ticket_cancel(&ticket), SQLPOOL_OK); /* makes the flush look again */
    sleep_ms(50);
    was_back = look(&flush.is_back) != 0;
    let_go(&stands);
    give_writer(&h);
    end_of(&flush);
    CHECK_INT(flush.rc, SQLPOOL_OK);
    CHECK(!was_back); /* the first one had not run */
    close_and_count(pool, "not_ended.db", 1);
}

/*  A group is committed but for one that is put back, as another process has taken the lock, and gives
    up: a flush waits for done_fn of the others too, and they are told in their order. */
static sqlite3 *taker;
static int takes;
static void take_lock(void *user, uint64_t sequence) {
    (void)user, (void)sequence;
    if (takes) takes = !raw_exec(taker, "BEGIN IMMEDIATE");
}
static waiting flushing;
static int flush_was_back;
static void look_at_flush(told *t) {
    (void)t;
    sleep_ms(50); /* for a flush that does not wait */
    flush_was_back = look(&flushing.is_back);
}
TEST(a_flush_waits_for_those_of_a_group_that_came_back) {
    sqlpool_config config = patient();
    sqlpool *pool;
    sqlpool_submission submission;
    static holder h;
    int i;
    config.events.commit_fn = take_lock;
    pool = open_pool("came_back.db", &config, TABLE POISON_TABLES);
    CHECK(pool != NULL);
    no_tolds(3);
    memset(&flushing, 0, sizeof flushing);
    flushing.timeout_ms = 60000;
    flush_was_back = 1;
    taker = raw_open("came_back.db");
    CHECK(taker != NULL);
    CHECK(take_writer(&h, pool));
    for (i = 0; i < 3; i++) {
        submission = tell(&tolds[i]);
        if (i == 0) tolds[i].then = look_at_flush;
        if (i > 0) submission.timeout_ms = 250;
        if (i == 1)
            CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, "INSERT INTO u VALUES('dup')",
                                         SQLPOOL_NO_ARGS, &err),
                     &err);
        else
            CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(i), &err),
                     &err);
    }
    CHECK(begin(&flushing, pool, wait_flush));
    sleep_ms(20);
    takes = 1;
    give_writer(&h);
    end_of(&flushing);
    CHECK(!takes);
    CHECK(raw_exec(taker, "COMMIT"));
    (void)sqlite3_close(taker);
    CHECK_INT(flushing.rc, SQLPOOL_OK);
    CHECK(was_told(&tolds[0], SQLPOOL_OK, SQLPOOL_OUTCOME_COMMITTED));
    CHECK(was_told(&tolds[2], SQLPOOL_TIMEOUT, SQLPOOL_OUTCOME_NOT_COMMITTED));
    CHECK(!flush_was_back);
    CHECK(tolds[0].turn < tolds[2].turn);
    close_and_count(pool, "came_back.db", 1);
}

/*---- durability ----*/

static int wal_syncs; /* atomic */
static void count_syncs(void *user, const sim_vfs_event *event) {
    (void)user;
    if (event->kind == SIM_VFS_SYNC && (event->open_flags & SQLITE_OPEN_WAL) != 0)
        (void)count_up(&wal_syncs);
}
static int syncs_since(void) {
    return __atomic_exchange_n(&wal_syncs, 0, __ATOMIC_SEQ_CST);
}
static int64_t synchronous_of(sqlpool *pool) {
    sqlpool_conn writer;
    int64_t value;
    if (sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err) != SQLPOOL_OK) return -1;
    value = ask_conn(&writer, "PRAGMA synchronous");
    (void)sqlpool_conn_release(&writer);
    return value;
}
/*  One write, waited for; its sequence. */
static uint64_t write_one(sqlpool *pool, bool relaxed) {
    const sqlpool_submission submission = {.relaxed = relaxed};
    sqlpool_ticket ticket;
    sqlpool_result result = {0, 0, 0};
    if (sqlpool_submit_with(pool, &submission, &ticket, INSERT, SQLPOOL_ARGS(1), &err) !=
            SQLPOOL_OK ||
        sqlpool_ticket_wait(&ticket, 60000, &result, &err) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "submitted: %s", err.message);
    return result.sequence;
}
static void relax(const char *path, int synchronous, int pragma) {
    sqlpool_config config = on_sim_disk();
    sqlpool_result result;
    sqlpool *pool;
    uint64_t first, second;
    config.synchronous = synchronous;
    pool = open_pool(path, &config, TABLE);
    CHECK(pool != NULL);
    sim_vfs.record_fn = count_syncs;
    (void)write_one(pool, false); /* the log's header is synced as well */
    (void)syncs_since();
    (void)write_one(pool, false);
    CHECK_INT(syncs_since(), 1);
    first = write_one(pool, true);
    second = write_one(pool, true);
    CHECK_INT(syncs_since(), 0);
    CHECK(first > 0 && second > first);
    CHECK_INT(synchronous_of(pool), pragma);
    CHECK_OK(sqlpool_sync(pool, second, 0, &err), &err);
    CHECK_INT(syncs_since(), 1);
    CHECK_OK(sqlpool_sync(pool, second, 0, &err), &err); /* that is done */
    CHECK_OK(sqlpool_sync(pool, first, 0, &err), &err);
    CHECK_OK(sqlpool_sync(pool, 0, 0, &err), &err);
    CHECK_INT(syncs_since(), 0);
    first = write_one(pool, true);
    CHECK_INT(syncs_since(), 0);
    (void)write_one(pool, false); /* and brings the one before it */
    CHECK_INT(syncs_since(), 1);
    CHECK_OK(sqlpool_sync(pool, first, 0, &err), &err);
    CHECK_INT(syncs_since(), 0);
    CHECK_OK(sqlpool_exec_with(pool, NULL, &result, INSERT, SQLPOOL_ARGS(1), &err), &err);
    CHECK_INT(syncs_since(), 1);
    CHECK_OK(sqlpool_sync(pool, result.sequence, 0, &err), &err);
    CHECK_INT(syncs_since(), 0);
    (void)write_one(pool, true);
    CHECK_OK(sqlpool_sync(pool, 0, 0, &err), &err); /* all so far */
    CHECK_INT(syncs_since(), 1);
    sim_vfs.record_fn = NULL;
    close_pool(pool);
}
TEST(relaxed_ones_do_not_sync) {
    relax("relaxed.db", SQLPOOL_SYNCHRONOUS_FULL, 2);
    relax("extra.db", SQLPOOL_SYNCHRONOUS_EXTRA, 3);
}
/*  A commit that wrote nothing has not synced the log either: what was relaxed before it still
    waits for its sync. */
static int write_nothing(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, "DELETE FROM t WHERE id < 0", SQLPOOL_NO_ARGS, NULL, NULL);
}
TEST(a_commit_of_nothing_makes_nothing_durable) {
    sqlpool_config config = on_sim_disk();
    sqlpool *pool = open_pool("nothing.db", &config, TABLE);
    int i;
    CHECK(pool != NULL);
    sim_vfs.record_fn = count_syncs;
    (void)write_one(pool, false);
    for (i = 0; i < 5; i++) {
        const uint64_t sequence = write_one(pool, true);
        sqlpool_ticket ticket;
        (void)syncs_since();
        switch (i) {
        case 0:
            CHECK_OK(sqlpool_exec(pool, "UPDATE t SET v = 2 WHERE 0", SQLPOOL_NO_ARGS, &err), &err);
            break;
        case 1:
            CHECK_OK(sqlpool_write(pool, write_nothing, NULL, &err), &err);
            break;
        case 2:
            CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, write_nothing, NULL, &err), &err);
            break;
        case 3:
            CHECK_OK(sqlpool_submit_write(pool, NULL, &ticket, write_nothing, NULL, &err), &err);
            CHECK_OK(result_of(&ticket, &err), &err);
            break;
        default:
            CHECK_OK(sqlpool_script(pool, "UPDATE t SET v = 2 WHERE 0", -1, &err), &err);
        }
        CHECK_INT(syncs_since(), 0);
        CHECK_OK(sqlpool_sync(pool, sequence, 0, &err), &err);
        CHECK_INT(syncs_since(), 1);
        CHECK_OK(sqlpool_sync(pool, 0, 0, &err), &err); /* that was all of it */
        CHECK_INT(syncs_since(), 0);
    }
    sim_vfs.record_fn = NULL;
    close_pool(pool);
}
TEST(sync_where_commits_do_not) {
    sqlpool_config config = on_sim_disk();
    sqlpool_result result;
    sqlpool *pool;
    config.synchronous = SQLPOOL_SYNCHRONOUS_NORMAL;
    pool = open_pool("normal.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(1), &err), &err);
    sim_vfs.record_fn = count_syncs;
    (void)syncs_since();
    CHECK_OK(sqlpool_exec_with(pool, NULL, &result, INSERT, SQLPOOL_ARGS(2), &err), &err);
    CHECK(result.sequence > 0);
    (void)write_one(pool, true); /* as the others here */
    CHECK_INT(syncs_since(), 0);
    CHECK_OK(sqlpool_sync(pool, result.sequence, 0, &err), &err);
    CHECK_INT(syncs_since(), 1);
    CHECK_OK(sqlpool_sync(pool, 0, 0, &err), &err); /* it was there, so it went with it */
    CHECK_INT(syncs_since(), 0);
    CHECK_INT(synchronous_of(pool), 1);
    sim_vfs.record_fn = NULL;
    close_pool(pool);
}
/*  A group is relaxed when all of it is; nobody passes anybody. */
TEST(relaxed_and_others_together) {
    static const bool relaxed[] = {true, true, false, true, false};
    sqlpool_config config = on_sim_disk();
    sqlpool *pool = open_pool("mixed.db", &config, TABLE);
    uint64_t commits;
    static holder h;
    int i;
    CHECK(pool != NULL);
    (void)write_one(pool, false);
    commits = stats_of(pool).commits;
    CHECK(take_writer(&h, pool));
    for (i = 0; i < LENGTH(relaxed); i++) {
        const sqlpool_submission submission = {.relaxed = relaxed[i]};
        CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(i + 2), &err),
                 &err);
    }
    sim_vfs.record_fn = count_syncs;
    (void)syncs_since();
    give_writer(&h);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(syncs_since(), 1);
    CHECK_INT(stats_of(pool).commits - commits, 2);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE v = id"), 6);
    sim_vfs.record_fn = NULL;
    close_pool(pool);
}
/*  Caller 0 waits behind the one that stands, which is then let go. */
static void insert_behind(sqlpool *pool) {
    (void)with_int(&callers[0], INSERT, 2);
    CHECK(queue_caller(pool, 0, 1));
    let_go(&stands);
    join(1);
    check_ok(0);
}
/*  Whoever wants to be durable does not join a relaxed group. */
TEST(a_caller_does_not_join_a_relaxed_group) {
    sqlpool_config config = on_sim_disk();
    const sqlpool_submission relaxed = {.relaxed = true};
    sqlpool *pool = open_pool("not_joined.db", &config, TABLE);
    deed d = {.value = 1, .stands = true};
    CHECK(pool != NULL);
    (void)write_one(pool, false);
    sim_vfs.record_fn = count_syncs;
    (void)syncs_since();
    PART(stand_in(pool, &relaxed, NULL, &d));
    PART(insert_behind(pool));
    CHECK_INT(syncs_since(), 1);
    CHECK_INT(stats_of(pool).groups, 0);
    sim_vfs.record_fn = NULL;
    close_pool(pool);
}
/*  But waits in the group of those that are not relaxed. */
TEST(a_caller_joins_a_submitted_group) {
    sqlpool_config config = on_sim_disk();
    sqlpool *pool = open_pool("joined.db", &config, TABLE);
    deed d = {.value = 1, .stands = true};
    sqlpool_ticket ticket;
    CHECK(pool != NULL);
    PART(stand_in(pool, NULL, &ticket, &d));
    PART(insert_behind(pool));
    CHECK_INT(callers[0].result.changes, 1);
    CHECK(callers[0].result.sequence > 0);
    CHECK_OK(result_of(&ticket, &err), &err);
    CHECK_INT(stats_of(pool).groups, 1);
    CHECK_INT(stats_of(pool).grouped, 2);
    close_pool(pool);
}

/*  A relaxed group that fails leaves a writer that syncs. */
TEST(after_a_relaxed_group_that_failed) {
    static const char *const poison[] = {
        "INSERT OR ROLLBACK INTO u VALUES('dup')", "INSERT INTO child VALUES(7, NULL)",
        "INSERT INTO u VALUES('dup')", "VACUUM", "INSERT INTO u VALUES("};
    const sqlpool_submission relaxed = {.relaxed = true};
    sqlpool_config config = on_sim_disk();
    sqlpool *pool = open_pool("failed.db", &config, TABLE POISON_TABLES);
    sqlpool_ticket tickets[2];
    static holder h;
    int i, rc;
    CHECK(pool != NULL);
    sim_vfs.record_fn = count_syncs;
    for (i = 0; i < LENGTH(poison); i++) {
        CHECK(take_writer(&h, pool));
        CHECK_OK(sqlpool_submit_with(pool, &relaxed, &tickets[0], INSERT, SQLPOOL_ARGS(i), &err),
                 &err);
        CHECK_OK(sqlpool_submit_with(pool, &relaxed, &tickets[1], poison[i], SQLPOOL_NO_ARGS, &err),
                 &err);
        give_writer(&h);
        CHECK_OK(result_of(&tickets[0], &err), &err);
        (void)result_of(&tickets[1], &err);
        CHECK_INT(synchronous_of(pool), 2);
        (void)syncs_since();
        CHECK_OK(sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(-1), &err), &err);
        CHECK(syncs_since() >= 1);
    }
    for (i = 0; i < 2; i++) { /* a disk that fails in a statement, or in COMMIT */
        fail_disk(SIM_VFS_WRITE, i == 0 ? 0 : SQLITE_FULL, 1);
        CHECK_OK(
            sqlpool_submit_with(pool, &relaxed, &tickets[0], INSERT, SQLPOOL_ARGS(100 + i), &err),
            &err);
        rc = result_of(&tickets[0], &err);
        sim_vfs_heal();
        CHECK_INT(rc, i == 0 ? SQLITE_IOERR_WRITE : SQLITE_FULL);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_UNKNOWN);
        CHECK_INT(synchronous_of(pool), 2);
        (void)write_one(pool, false);
        (void)syncs_since();
        (void)write_one(pool, false);
        CHECK_INT(syncs_since(), 1);
    }
    sim_vfs.record_fn = NULL;
    close_pool(pool);
}

TEST(sync_that_cannot) {
    sqlpool_config config = on_sim_disk();
    sqlpool *pool = open_pool("cannot.db", &config, TABLE);
    uint64_t sequence, writes_before;
    CHECK(pool != NULL);
    sequence = write_one(pool, true);
    CHECK_RC(sqlpool_sync(pool, sequence + 1, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_sync(pool, UINT64_MAX, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_sync(pool, sequence, SQLPOOL_NO_WAIT, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_sync(NULL, 0, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_OK(sqlpool_sync(pool, sequence, SQLPOOL_FOREVER, &err), &err);
    sequence = write_one(pool, true);
    fail_disk(SIM_VFS_SYNC, 0, 1);
    CHECK_RC(sqlpool_sync(pool, sequence, 0, &err), SQLITE_IOERR_FSYNC, &err);
    sim_vfs_heal();
    CHECK_INT((int64_t)sim_vfs.faults, 1);
    CHECK_HAS(err.message, "sync");
    sim_vfs.record_fn = count_syncs;
    (void)syncs_since();
    { /* what the log holds is in doubt: it is written again, whoever reads meanwhile */
        sqlpool_conn reader;
        uint64_t writes;
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &reader, &err), &err);
        CHECK_OK(sqlpool_snapshot_begin(&reader, 0, &err), &err);
        writes = sim_vfs.kind_calls[SIM_VFS_WRITE];
        CHECK_OK(sqlpool_sync(pool, sequence, 0, &err), &err);
        CHECK(sim_vfs.kind_calls[SIM_VFS_WRITE] > writes);
        CHECK(syncs_since() > 0);
        CHECK_OK(sqlpool_snapshot_end(&reader, &err), &err);
        CHECK_INT(sqlpool_conn_release(&reader), SQLPOOL_OK);
    }
    writes_before = sim_vfs.kind_calls[SIM_VFS_WRITE]; /* in doubt no more */
    CHECK_OK(sqlpool_sync(pool, 0, 0, &err), &err);
    CHECK_INT((int64_t)(sim_vfs.kind_calls[SIM_VFS_WRITE] - writes_before), 0);
    sim_vfs.record_fn = NULL;
    close_pool(pool);
    CHECK_RC(sqlpool_sync(pool, sequence, 0, &err), SQLPOOL_CLOSED, &err);
    pool = open_pool(":memory:", &config, NULL);
    if (pool == NULL) { /* the simulator has no memory */
        config.vfs_name = NULL;
        test_failed_now = 0;
        pool = open_pool(":memory:", &config, NULL);
    }
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_sync(pool, 0, 0, &err), SQLPOOL_UNSUPPORTED, &err);
    close_pool(pool);
    config.vfs_name = NULL;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    pool = open_pool("rollback.db", &config, TABLE);
    CHECK(pool != NULL);
    sequence = write_one(pool, true);
    CHECK_RC(sqlpool_sync(pool, sequence, 0, &err), SQLPOOL_UNSUPPORTED, &err);
    close_and_count(pool, "rollback.db", 1);
}

/*---- a log in doubt ----*/

/*  What the log and the database file get, in its order. */
enum { MOST_EVENTS = 4000 };
static struct {
    int kind;
    bool is_log;
    int64_t from, to;
} disk[MOST_EVENTS];
static int disk_count; /* under the lock of the simulator's disk */
static void record_disk(void *user, const sim_vfs_event *event) {
    const bool is_log = (event->open_flags & SQLITE_OPEN_WAL) != 0;
    (void)user;
    if ((event->kind != SIM_VFS_WRITE && event->kind != SIM_VFS_SYNC) || event->result != 0 ||
        (!is_log && (event->open_flags & SQLITE_OPEN_MAIN_DB) == 0) || disk_count == MOST_EVENTS)
        return;
    disk[disk_count].kind = event->kind;
    disk[disk_count].is_log = is_log;
    disk[disk_count].from = event->offset;
    disk[disk_count++].to = event->offset + event->amount;
}
static int64_t log_bytes(const char *path) {
    char name[80];
    (void)snprintf(name, sizeof name, "%s-wal", path);
    return file_bytes(name);
}
/*  The log was written from `from` to `to`, each byte once and nothing before, and then synced;
    and only then what is behind it, or the database file. */
static void check_mended(int64_t from, int64_t to) {
    int64_t at = from;
    int i = 0;
    while (i < disk_count && disk[i].kind == SIM_VFS_WRITE && disk[i].is_log && at < to) {
        CHECK_INT(disk[i].from, at);
        at = disk[i++].to;
    }
    CHECK_INT(at, to);
    CHECK(i < disk_count && disk[i].kind == SIM_VFS_SYNC && disk[i].is_log);
    for (; i < disk_count; i++)
        CHECK(disk[i].kind == SIM_VFS_SYNC || !disk[i].is_log || disk[i].from >= to);
}
/*  The log of a new pool: durable up to `synced`, then a commit whose sync has failed. */
static sqlpool *open_in_doubt(const char *path, int synchronous, int64_t *synced) {
    sqlpool_config config = on_sim_disk();
    sqlpool *pool;
    uint64_t sequence;
    config.synchronous = synchronous;
    config.disable_upkeep_thread = true;
    pool = open_pool(path, &config, TABLE);
    if (pool == NULL) return NULL;
    sequence = write_one(pool, true);
    if (sqlpool_sync(pool, sequence, 0, &err) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "sync: %s", err.message);
    *synced = log_bytes(path);
    (void)write_one(pool, true);
    (void)write_one(pool, true);
    fail_disk(SIM_VFS_SYNC, 0, 1);
    if (sqlpool_sync(pool, 0, 0, &err) != SQLITE_IOERR_FSYNC)
        test_fail(__FILE__, __LINE__, "a sync that fails: %d %s", err.result, err.message);
    sim_vfs_heal();
    disk_count = 0;
    sim_vfs.record_fn = record_disk;
    return pool;
}
/*  Before a commit that has to be durable is told, and before its own frames are in the log. */
TEST(a_durable_commit_writes_again_what_is_in_doubt) {
    int way;
    for (way = 0; way < 3; way++) {
        static const char *const paths[] = {"again_exec.db", "again_write.db", "again_submit.db"};
        int64_t synced, end;
        sqlpool *pool = open_in_doubt(paths[way], SQLPOOL_SYNCHRONOUS_FULL, &synced);
        static deed d;
        CHECK(pool != NULL);
        end = log_bytes(paths[way]);
        CHECK(synced > 0 && end > synced);
        if (way == 0)
            CHECK_OK(sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(1), &err), &err);
        else if (way == 1)
            CHECK_OK(sqlpool_write(pool, act, &d, &err), &err);
        else
            (void)write_one(pool, false);
        PART(check_mended(synced, end));
        CHECK(disk[disk_count - 1].kind == SIM_VFS_SYNC);
        disk_count = 0; /* in doubt no more */
        end = log_bytes(paths[way]);
        CHECK_OK(sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(1), &err), &err);
        CHECK(disk_count > 0 && disk[0].from >= end);
        sim_vfs.record_fn = NULL;
        close_pool(pool);
    }
}
/*  Where commits do not sync, the next checkpoint does it before it moves anything. */
TEST(a_checkpoint_writes_again_what_is_in_doubt) {
    int64_t synced, end;
    sqlpool *pool = open_in_doubt("again_checkpoint.db", SQLPOOL_SYNCHRONOUS_NORMAL, &synced);
    int i;
    CHECK(pool != NULL);
    end = log_bytes("again_checkpoint.db");
    CHECK_OK(sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(1), &err), &err);
    CHECK(disk_count > 0);
    for (i = 0; i < disk_count; i++) CHECK(disk[i].is_log && disk[i].from >= end);
    end = log_bytes("again_checkpoint.db");
    disk_count = 0;
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &err), &err);
    PART(check_mended(synced, end));
    CHECK(!disk[disk_count - 1].is_log); /* and it went on */
    sim_vfs.record_fn = NULL;
    close_pool(pool);
}
/*  The sync fails on another thread while a durable write runs: it stands behind what is in doubt
    and is told only when that was written again. */
static void *sync_on_a_bad_disk(void *argument) {
    waiting *w = (waiting *)argument;
    fail_disk(SIM_VFS_SYNC, 0, 1);
    w->rc = sqlpool_sync(w->pool, 0, 0, &w->error);
    sim_vfs_heal();
    return NULL;
}
static int while_a_sync_fails(sqlpool_conn *conn, void *user, int attempt) {
    waiting *w = (waiting *)user;
    (void)attempt;
    if (!begin(w, w->pool, sync_on_a_bad_disk)) return SQLITE_ERROR;
    end_of(w);
    return sqlpool_conn_exec(conn, INSERT, SQLPOOL_ARGS(3), NULL, NULL);
}
TEST(a_durable_commit_behind_what_came_into_doubt_meanwhile) {
    static const char *const paths[] = {"meanwhile_write.db", "meanwhile_submit.db"};
    int way;
    for (way = 0; way < 2; way++) {
        sqlpool_config config = on_sim_disk();
        sqlpool_ticket ticket, other;
        static waiting w;
        static holder h;
        sqlpool *pool;
        int64_t synced;
        int i, last = -1;
        config.disable_upkeep_thread = true;
        pool = open_pool(paths[way], &config, TABLE);
        CHECK(pool != NULL);
        w.pool = pool;
        CHECK_OK(sqlpool_sync(pool, write_one(pool, true), 0, &err), &err);
        synced = log_bytes(paths[way]);
        (void)write_one(pool, true);
        disk_count = 0;
        sim_vfs.record_fn = record_disk;
        if (way == 0) {
            CHECK_OK(sqlpool_write(pool, while_a_sync_fails, &w, &err), &err);
        } else { /* in a group */
            CHECK(take_writer(&h, pool));
            CHECK_OK(sqlpool_submit_write(pool, NULL, &ticket, while_a_sync_fails, &w, &err), &err);
            CHECK_INT(submit_value(pool, &other, 4), SQLPOOL_OK);
            give_writer(&h);
            CHECK_OK(result_of(&ticket, &err), &err);
        }
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_COMMITTED);
        CHECK_INT(w.rc, SQLITE_IOERR_FSYNC);
        for (i = 0; i < disk_count; i++) {
            if (disk[i].kind == SIM_VFS_WRITE) CHECK(disk[i].from >= synced);
            if (disk[i].kind == SIM_VFS_WRITE && disk[i].from == synced) last = i;
        }
        CHECK(last >= 0);
        CHECK(disk[disk_count - 1].kind == SIM_VFS_SYNC && disk[disk_count - 1].is_log);
        if (way == 1) CHECK_OK(result_of(&other, &err), &err);
        sim_vfs.record_fn = NULL;
        close_pool(pool);
    }
}

/*---- the disk fails ----*/

TEST(a_disk_that_fails_in_commit) {
    static deed deeds[3];
    sqlpool_config config = on_sim_disk();
    sqlpool *pool = open_pool("disk.db", &config, TABLE);
    sqlpool_submission submission[8];
    sqlpool_conn writer;
    int i;
    CHECK(pool != NULL);
    no_tolds(8);
    memset(deeds, 0, sizeof deeds);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
    for (i = 0; i < 8; i++) {
        submission[i] = tell(&tolds[i]);
        if (i < 3)
            CHECK_OK(
                sqlpool_submit_write(pool, &submission[i], &tolds[i].ticket, act, &deeds[i], &err),
                &err);
        else
            CHECK_OK(sqlpool_submit_with(pool, &submission[i], &tolds[i].ticket, INSERT,
                                         SQLPOOL_ARGS(i), &err),
                     &err);
        deeds[i % 3].value = i % 3;
    }
    CHECK_OK(sqlpool_conn_exec(&writer, INSERT, SQLPOOL_ARGS(100), NULL, &err), &err);
    fail_disk(SIM_VFS_SYNC, 0, 1);
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    sim_vfs_heal();
    CHECK_INT((int64_t)sim_vfs.faults, 1);
    for (i = 0; i < 8; i++) {
        CHECK(was_told(&tolds[i], SQLITE_IOERR_FSYNC, SQLPOOL_OUTCOME_UNKNOWN));
        CHECK_RC(result_of(&tolds[i].ticket, &err), SQLITE_IOERR_FSYNC, &err);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_UNKNOWN);
        CHECK_INT((int64_t)tolds[i].what.sequence, 0);
    }
    for (i = 0; i < 3; i++) CHECK_INT(look(&deeds[i].runs), 1);
    CHECK_INT(stats_of(pool).replayed, 0);
    (void)write_one(pool, false);
    CHECK_INT(
        ask(pool,
            "SELECT count(*) FROM (SELECT v FROM t WHERE v <> 1 GROUP BY v HAVING count(*) > 1)"),
        0);
    close_pool(pool);
}

static int refuse_writer; /* atomic */
static int on_connect(void *user, const sqlpool_conn *conn) {
    (void)user;
    (void)conn;
    return look(&refuse_writer) ? SQLITE_CANTOPEN : SQLITE_OK;
}
TEST(a_writer_that_cannot_be_opened) {
    sqlpool_config config = patient();
    sqlpool *pool;
    sqlpool_ticket tickets[3];
    int i;
    config.events.connect_fn = on_connect;
    config.open_retry_ms = 10;
    pool = open_pool("no_writer.db", &config, TABLE);
    CHECK(pool != NULL);
    mark(&refuse_writer, 1);
    CHECK(sqlpool_recycle(pool) != SQLPOOL_OK);
    for (i = 0; i < 3; i++) {
        CHECK_INT(submit_value(pool, &tickets[i], i), SQLPOOL_OK);
        CHECK_RC(result_of(&tickets[i], &err), SQLITE_CANTOPEN, &err);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    }
    mark(&refuse_writer, 0);
    sleep_ms(30);
    CHECK_INT(submit_value(pool, &tickets[0], 7), SQLPOOL_OK);
    CHECK_OK(result_of(&tickets[0], &err), &err);
    close_and_count(pool, "no_writer.db", 1);
}

TEST(a_file_that_moves_away) {
    sqlpool_config config = patient();
    sqlpool *pool;
    sqlpool_ticket tickets[3];
    sqlite3 *db;
    int i;
    config.validate_after_ms = 1;
    config.upkeep_interval_ms = 5;
    pool = open_pool("moves.db", &config, TABLE);
    CHECK(pool != NULL);
    (void)write_one(pool, false);
    db = raw_open("fresh.db");
    CHECK(db != NULL && raw_exec(db, TABLE));
    (void)sqlite3_close(db);
    CHECK(rename("moves.db", "away.db") == 0);
    sleep_ms(60);
    for (i = 0; i < 3; i++) CHECK_INT(submit_value(pool, &tickets[i], i), SQLPOOL_OK);
    for (i = 0; i < 3; i++) {
        CHECK_RC(result_of(&tickets[i], &err), SQLPOOL_MOVED, &err);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        CHECK_HAS(err.message, "sqlpool_recycle");
    }
    CHECK(rename("fresh.db", "moves.db") == 0);
    (void)sqlpool_recycle(pool);
    (void)unlink("moves.db-wal");
    (void)unlink("moves.db-shm");
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    CHECK_INT(submit_value(pool, &tickets[0], 7), SQLPOOL_OK);
    CHECK_OK(result_of(&tickets[0], &err), &err);
    CHECK_INT(ask(pool, COUNT_T), 1);
    close_pool(pool);
}

TEST(on_a_pool_that_cannot_write) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("readonly.db", &config, TABLE);
    sqlpool_ticket ticket;
    deed d = {.value = 1};
    CHECK(pool != NULL);
    close_pool(pool);
    config.read_only = true;
    pool = open_pool("readonly.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_submit(pool, &ticket, INSERT, SQLPOOL_ARGS(1), &err), SQLITE_READONLY, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT((int64_t)ticket.number, 0);
    CHECK_RC(sqlpool_submit_write(pool, NULL, &ticket, act, &d, &err), SQLITE_READONLY, &err);
    CHECK_INT(look(&d.runs), 0);
    CHECK_OK(sqlpool_flush(pool, 0, &err), &err);
    close_pool(pool);
}

/*  With neither ticket nor done_fn a failure has nobody who asks: events.error_fn hears of it. */
static int failures_told; /* atomic; the rest is read when it has been seen */
static int failure_result, failure_outcome;
static char failure_message[sizeof((sqlpool_error *)NULL)->message];
static void on_failure(void *user, const sqlpool_error *error) {
    (void)user;
    failure_result = error->result;
    failure_outcome = error->outcome;
    (void)snprintf(failure_message, sizeof failure_message, "%s", error->message);
    (void)count_up(&failures_told);
}
static void fail_unasked(const char *path, sqlpool_config config) {
    const sqlpool_submission limit = {.timeout_ms = 1, .tag = "late"};
    deed d = {.value = 1, .returns = 70000};
    sqlpool_ticket ticket;
    sqlpool *pool;
    static holder h;
    config.events.error_fn = on_failure;
    pool = open_pool(path, &config, TABLE POISON_TABLES);
    CHECK(pool != NULL);
    mark(&failures_told, 0);
    CHECK_OK(sqlpool_submit(pool, NULL, "INSERT INTO u VALUES('dup')", SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(look(&failures_told), 1);
    CHECK_INT(failure_result, SQLITE_CONSTRAINT_UNIQUE);
    CHECK_INT(failure_outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_HAS(failure_message, "submit.c:");
    CHECK_HAS(failure_message, "INSERT INTO u VALUES('dup')");
    CHECK_OK(sqlpool_submit(pool, NULL, "INSERT INTO missing VALUES(1)", SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(look(&failures_told), 2);
    CHECK_INT(failure_result, SQLITE_ERROR);
    CHECK_OK(sqlpool_submit_write(pool, NULL, NULL, act, &d, &err), &err);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(look(&failures_told), 3);
    CHECK_INT(failure_result, 70000);
    CHECK(take_writer(&h, pool)); /* one that never began */
    CHECK_OK(sqlpool_submit_with(pool, &limit, NULL, INSERT, SQLPOOL_ARGS(1), &err), &err);
    sleep_ms(10);
    give_writer(&h);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(look(&failures_told), 4);
    CHECK_INT(failure_result, SQLPOOL_TIMEOUT);
    CHECK_INT(submit_value(pool, NULL, 2), SQLPOOL_OK); /* goes well: nothing to tell */
    CHECK_OK(sqlpool_submit(pool, &ticket, "INSERT INTO u VALUES('dup')", SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(look(&failures_told), 4); /* there is a ticket for it */
    CHECK_RC(result_of(&ticket, &err), SQLITE_CONSTRAINT_UNIQUE, &err);
    CHECK_INT(look(&failures_told), 5);
    close_and_count(pool, path, 1);
}
TEST(a_failure_that_nobody_asks_for_is_told) {
    PART(fail_unasked("unasked.db", patient()));
    PART(fail_unasked("unasked_tick.db", without_thread()));
}

/*---- functions ----*/

TEST(a_function_that_is_submitted) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("function.db", &config, TABLE POISON_TABLES);
    sqlpool_submission submission = tell(&tolds[0]);
    deed good = {.value = 1}, bad = {.value = 2, .returns = 70000}, again = {.value = 3};
    sqlpool_ticket ticket, other, last;
    sqlpool_result result;
    static holder h;
    CHECK(pool != NULL);
    no_tolds(1);
    CHECK_OK(sqlpool_submit_write(pool, &submission, &ticket, act, &good, &err), &err);
    CHECK_OK(sqlpool_ticket_wait(&ticket, 60000, &result, &err), &err);
    CHECK(result.sequence > 0);
    CHECK_INT(look(&good.runs), 1);
    CHECK_INT(look(&good.attempt), 1);
    CHECK(was_told(&tolds[0], SQLPOOL_OK, SQLPOOL_OUTCOME_COMMITTED));
    CHECK(pthread_equal(good.on, tolds[0].on));
    CHECK_OK(sqlpool_submit_write(pool, NULL, &ticket, act, &bad, &err), &err);
    CHECK_RC(result_of(&ticket, &err), 70000, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_HAS(err.message, "70000");
    CHECK(take_writer(&h, pool)); /* in a group that has to be given up */
    CHECK_OK(sqlpool_submit_write(pool, NULL, &ticket, act, &again, &err), &err);
    CHECK_OK(sqlpool_submit(pool, &other, "INSERT OR ROLLBACK INTO u VALUES('dup')",
                            SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK_INT(submit_value(pool, &last, 4), SQLPOOL_OK);
    give_writer(&h);
    CHECK_OK(result_of(&ticket, &err), &err);
    CHECK_RC(result_of(&other, &err), SQLITE_CONSTRAINT_UNIQUE, &err);
    CHECK_OK(result_of(&last, &err), &err);
    CHECK_INT(look(&again.runs), 2);
    CHECK_INT(look(&again.attempt), 2);
    CHECK_INT(ask(pool, "SELECT group_concat(v) = '1,3,4' FROM t"), 1);
    close_pool(pool);
}

/*---- without a thread ----*/

TEST(without_a_thread_nothing_runs_by_itself) {
    sqlpool_config config = without_thread();
    sqlpool *pool = open_pool("tick.db", &config, TABLE);
    sqlpool_submission submission = tell(&tolds[0]);
    sqlpool_ticket ticket;
    int i;
    CHECK(pool != NULL);
    no_tolds(1);
    for (i = 0; i < 5; i++) CHECK_INT(submit_value(pool, NULL, i), SQLPOOL_OK);
    CHECK_OK(sqlpool_submit_with(pool, &submission, &ticket, INSERT, SQLPOOL_ARGS(5), &err), &err);
    sleep_ms(50);
    CHECK_INT(ask(pool, COUNT_T), 0);
    CHECK_RC(sqlpool_ticket_poll(&ticket, NULL, &err), SQLPOOL_WOULD_BLOCK,
             &err); /* runs nothing */
    CHECK_INT(ask(pool, COUNT_T), 0);
    for (i = 1; i <= 3; i++) {
        CHECK_INT(sqlpool_tick(pool, 0), SQLPOOL_OK); /* one is always begun, and no further */
        CHECK_INT(ask(pool, COUNT_T), i);
    }
    CHECK_INT(stats_of(pool).submitted_now, 3);
    CHECK_INT(look(&tolds[0].calls), 0);
    CHECK_INT(sqlpool_tick(pool, 1000000), SQLPOOL_OK);
    CHECK_INT(ask(pool, COUNT_T), 6);
    CHECK(was_told(&tolds[0], SQLPOOL_OK, SQLPOOL_OUTCOME_COMMITTED));
    CHECK(pthread_equal(tolds[0].on, pthread_self()));
    CHECK_OK(sqlpool_ticket_poll(&ticket, NULL, &err), &err);
    CHECK_INT(sqlpool_tick(pool, 1000000), SQLPOOL_OK); /* nothing to do */
    close_pool(pool);
}
TEST(a_tick_keeps_its_budget) {
    static sim_clock clock;
    sqlpool_config config = without_thread();
    sqlpool *pool;
    int64_t before;
    int i, done;
    memset(&clock, 0, sizeof clock);
    config.clock = sim_clock_hooks(&clock);
    pool = open_pool("budget.db", &config, TABLE);
    CHECK(pool != NULL);
    for (i = 0; i < 300; i++) CHECK_INT(submit_value(pool, NULL, i), SQLPOOL_OK);
    clock.step_ns = 1000000; /* every look takes a millisecond */
    before = clock.now_ns;
    CHECK_INT(sqlpool_tick(pool, 60000), SQLPOOL_OK);
    clock.step_ns = 0;
    done = (int)ask(pool, COUNT_T);
    CHECK(done > 1 && done <= 60);
    CHECK(clock.now_ns - before < 120 * INT64_C(1000000));
    close_and_count(pool, "budget.db", 300);
}
TEST(without_a_thread_whoever_waits_runs_it) {
    static deed deeds[4];
    sqlpool_config config = without_thread();
    sqlpool *pool;
    sqlpool_ticket ticket;
    int i;
    config.submit_count = 3;
    pool = open_pool("waits.db", &config, TABLE);
    CHECK(pool != NULL);
    memset(deeds, 0, sizeof deeds);
    for (i = 0; i < 4; i++) deeds[i].value = i;
    CHECK_OK(sqlpool_submit_write(pool, NULL, &ticket, act, &deeds[0], &err), &err);
    CHECK_OK(result_of(&ticket, &err), &err);
    CHECK(pthread_equal(deeds[0].on, pthread_self()));
    CHECK_OK(sqlpool_submit_write(pool, NULL, NULL, act, &deeds[1], &err), &err);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK(pthread_equal(deeds[1].on, pthread_self()));
    CHECK_OK(sqlpool_submit_write(pool, NULL, NULL, act, &deeds[2], &err), &err);
    for (i = 0; i < 20; i++)
        CHECK_INT(submit_value(pool, NULL, 10 + i), SQLPOOL_OK); /* room is made by running */
    CHECK_INT(look(&deeds[2].runs), 1);
    CHECK(pthread_equal(deeds[2].on, pthread_self()));
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_OK(sqlpool_submit_write(pool, NULL, NULL, act, &deeds[3], &err), &err);
    close_and_count(pool, "waits.db", 24);
    CHECK_INT(look(&deeds[3].runs), 1);
    CHECK(pthread_equal(deeds[3].on, pthread_self()));
}
/*  One thread runs what is there, others wait for it and take over. */
TEST(without_a_thread_one_runs_for_the_others) {
    sqlpool_config config = without_thread();
    sqlpool *pool = open_pool("others.db", &config, TABLE);
    waiting waiters[3];
    sqlpool_ticket tickets[3];
    deed first = {.value = 0, .stands = true};
    int i;
    CHECK(pool != NULL);
    memset(waiters, 0, sizeof waiters);
    arm(&stands);
    CHECK_OK(sqlpool_submit_write(pool, NULL, &tickets[0], act, &first, &err), &err);
    CHECK_OK(sqlpool_submit(pool, &tickets[1], "PRAGMA user_version = 1", SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK_INT(submit_value(pool, &tickets[2], 2), SQLPOOL_OK);
    for (i = 0; i < 3; i++) {
        waiters[i].ticket = &tickets[i];
        waiters[i].timeout_ms = 60000;
        CHECK(begin(&waiters[i], pool, wait_ticket));
        if (i == 0) CHECK(await_holder(&stands));
    }
    sleep_ms(20);
    CHECK_INT(sqlpool_tick(pool, 1000), SQLPOOL_OK); /* somebody else is at it */
    CHECK(!look(&waiters[1].is_back) && !look(&waiters[2].is_back));
    let_go(&stands);
    for (i = 0; i < 3; i++) {
        end_of(&waiters[i]);
        CHECK_INT(waiters[i].rc, SQLPOOL_OK);
    }
    close_and_count(pool, "others.db", 2);
}
/*  A tick that has used up its budget leaves the rest to those that wait. */
static int lingers; /* atomic: so many ms */
static pthread_t lingerer;
static int64_t lingering_now(void *user) {
    (void)user;
    if (look(&lingers) > 0 && pthread_equal(lingerer, pthread_self())) sleep_ms(look(&lingers));
    return sim_real_ns();
}
static void linger(told *t) {
    (void)t;
    mark(&lingers, 60); /* between this and the end of the tick the others wake */
}
static void *tick_once(void *argument) {
    waiting *w = (waiting *)argument;
    lingerer = pthread_self();
    w->rc = sqlpool_tick(w->pool, 0);
    mark(&lingers, 0);
    return NULL;
}
TEST(a_tick_leaves_the_rest_to_others) {
    sqlpool_config config = without_thread();
    sqlpool_submission submission = tell(&tolds[0]);
    waiting ticking = {.rc = -1}, waiter = {.timeout_ms = 5000};
    deed first = {.value = 1, .stands = true};
    sqlpool_ticket ticket;
    sqlpool *pool;
    config.clock.now_ns_fn = lingering_now;
    config.clock.sleep_ns_fn = sim_real_sleep;
    pool = open_pool("leaves.db", &config, TABLE);
    CHECK(pool != NULL);
    no_tolds(1);
    tolds[0].then = linger;
    arm(&stands);
    CHECK_OK(sqlpool_submit_write(pool, &submission, NULL, act, &first, &err), &err);
    CHECK_INT(submit_value(pool, &ticket, 2), SQLPOOL_OK);
    CHECK(begin(&ticking, pool, tick_once));
    CHECK(await_holder(&stands));
    waiter.ticket = &ticket;
    CHECK(begin(&waiter, pool, wait_ticket));
    sleep_ms(30); /* it sleeps: somebody else runs what is there */
    let_go(&stands);
    end_of(&ticking);
    end_of(&waiter);
    CHECK_INT(ticking.rc, SQLPOOL_OK);
    CHECK_INT(waiter.rc, SQLPOOL_OK);
    close_and_count(pool, "leaves.db", 2);
}
/*  With the writer in hand a tick neither waits nor loses anything. */
TEST(a_tick_beside_the_own_lease) {
    sqlpool_config config = without_thread();
    sqlpool *pool = open_pool("beside.db", &config, TABLE);
    sqlpool_ticket ticket;
    sqlpool_conn conn;
    int64_t start;
    CHECK(pool != NULL);
    CHECK_INT(submit_value(pool, &ticket, 1), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    start = now_ms();
    CHECK_INT(sqlpool_tick(pool, 1000000), SQLPOOL_OK);
    CHECK(now_ms() - start < 30000);
    CHECK_INT(stats_of(pool).submitted_now, 1);
    CHECK_RC(sqlpool_ticket_wait(&ticket, 100, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "submit.c");
    CHECK_RC(sqlpool_flush(pool, 100, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_ticket_poll(&ticket, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(sqlpool_tick(pool, 0), SQLPOOL_OK); /* a reader is no hindrance */
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_ticket_poll(&ticket, NULL, &err), &err);
    close_pool(pool);
}
/*  Threads submit while another ticks. */
TEST(ticks_beside_submitters) {
    sqlpool_config config = without_thread();
    sqlpool *pool;
    producer producers[3];
    const int64_t end = now_ms() + 60000;
    int i;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    pool = open_pool("beside_ticks.db", &config, "CREATE TABLE o(id INTEGER PRIMARY KEY, p, i)");
    CHECK(pool != NULL);
    for (i = 0; i < 3; i++) CHECK(start_producer(&producers[i], pool, i, 1500, 0));
    while (stats_of(pool).submitted < 4500 && now_ms() < end)
        CHECK_INT(sqlpool_tick(pool, 500), SQLPOOL_OK);
    for (i = 0; i < 3; i++) (void)pthread_join(producers[i].thread, NULL);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM o"), 4500);
    CHECK_INT(ask(pool, COUNT_OUT_OF_ORDER), 0);
    close_pool(pool);
}

/*---- beside others ----*/

static void *flood(void *argument) {
    sqlpool *pool = (sqlpool *)argument;
    while (look(&leasing))
        (void)sqlpool_submit(pool, NULL, "INSERT INTO o VALUES(1)", SQLPOOL_NO_ARGS, NULL);
    return NULL;
}
static int insert_one(sqlpool_conn *conn, void *user, int attempt) {
    (void)user;
    (void)attempt;
    return sqlpool_conn_exec(conn, INSERT, SQLPOOL_ARGS(1), NULL, NULL);
}
/*  A queue that never runs dry does not shut out those that wait for the writer. */
TEST(a_flood_lets_others_through) {
    sqlpool_config config = patient();
    sqlpool *pool;
    pthread_t threads[2];
    int64_t start, longest = 0;
    int i;
    config.group_us = 0;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    pool = open_pool("flood.db", &config, TABLE "CREATE TABLE o(v)");
    CHECK(pool != NULL);
    mark(&leasing, 1);
    for (i = 0; i < 2; i++) CHECK(start_thread(&threads[i], flood, pool));
    while (stats_of(pool).submitted_now < 100) sleep_ms(1);
    for (i = 0; i < 20; i++) {
        start = now_ms();
        if (i % 2 == 0)
            CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, insert_one, NULL, &err), &err);
        else
            CHECK_OK(sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(1), &err), &err);
        if (now_ms() - start > longest) longest = now_ms() - start;
    }
    mark(&leasing, 0);
    for (i = 0; i < 2; i++) (void)pthread_join(threads[i], NULL);
    CHECK(longest < 3000);
    CHECK_INT(ask(pool, COUNT_T), 20);
    close_and_count(pool, "flood.db", 20);
}

/*  Another process keeps the file's lock: one waits for it as any write does. */
TEST(a_lock_of_another_process) {
    sqlpool_config config = patient();
    sqlpool *pool;
    sqlpool_ticket tickets[4];
    deed d = {.value = 3};
    sqlite3 *other;
    int i;
    config.acquire_timeout_ms = 150;
    pool = open_pool("locked.db", &config, TABLE);
    other = raw_open("locked.db");
    CHECK(pool != NULL && other != NULL);
    CHECK(raw_exec(other, "BEGIN IMMEDIATE"));
    for (i = 0; i < 2; i++) CHECK_INT(submit_value(pool, &tickets[i], i), SQLPOOL_OK);
    CHECK_OK(sqlpool_submit(pool, &tickets[2], "PRAGMA user_version = 4", SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK_OK(sqlpool_submit_write(pool, NULL, &tickets[3], act, &d, &err), &err);
    for (i = 0; i < 4; i++) {
        CHECK_RC(result_of(&tickets[i], &err), SQLPOOL_TIMEOUT, &err);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        CHECK_INT(err.sqlite_code & 0xff, SQLITE_BUSY);
    }
    CHECK_INT(look(&d.runs), 0);
    CHECK_INT(submit_value(pool, &tickets[0], 5), SQLPOOL_OK);
    sleep_ms(30);
    CHECK(raw_exec(other, "COMMIT"));
    CHECK_OK(result_of(&tickets[0], &err), &err);
    (void)sqlite3_close(other);
    close_and_count(pool, "locked.db", 1);
}

static void in_child(sqlpool *pool, sqlpool_ticket *ticket, int *wrong) {
    deed d = {.value = 1};
    *wrong += sqlpool_submit(pool, NULL, INSERT, SQLPOOL_ARGS(1), &err) != SQLPOOL_FORKED;
    *wrong += sqlpool_submit_write(pool, NULL, NULL, act, &d, &err) != SQLPOOL_FORKED;
    *wrong += sqlpool_write(pool, act, &d, &err) != SQLPOOL_FORKED;
    *wrong += sqlpool_flush(pool, 0, &err) != SQLPOOL_FORKED;
    *wrong += sqlpool_sync(pool, 0, 0, &err) != SQLPOOL_FORKED;
    *wrong += sqlpool_ticket_poll(ticket, NULL, &err) != SQLPOOL_FORKED;
    *wrong += sqlpool_ticket_wait(ticket, 0, NULL, &err) != SQLPOOL_FORKED;
    *wrong += sqlpool_ticket_cancel(ticket) != SQLPOOL_FORKED;
    *wrong += sqlpool_ticket_drop(ticket) != SQLPOOL_FORKED;
}
TEST(in_a_forked_child) {
    sqlpool_config config = without_thread();
    sqlpool *pool = open_pool("forked.db", &config, TABLE);
    sqlpool_ticket ticket;
    int status = 0;
    pid_t child;
    CHECK(pool != NULL);
    CHECK_INT(submit_value(pool, &ticket, 1), SQLPOOL_OK);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        int wrong = 0;
        in_child(pool, &ticket, &wrong);
        _exit(wrong);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    CHECK_OK(result_of(&ticket, &err), &err);
    close_and_count(pool, "forked.db", 1);
}

/*  A condition or a thread that cannot be made: refused, or told; and the next one works. */
static void without_a_condition(sim_locks *locks) {
    sqlpool_config config = without_thread();
    sqlpool_ticket ticket;
    sqlpool *pool;
    int i;
    config.locks = sim_locks_hooks(locks);
    pool = open_pool("locks.db", &config, NULL);
    CHECK(pool != NULL);
    for (i = 0; i < 4; i++) {
        CHECK_OK(sqlpool_submit(pool, &ticket, INSERT, SQLPOOL_ARGS(10 + i), &err), &err);
        locks->fail_init_at = locks->inits + 1 + (uint64_t)(i % 2);
        CHECK_RC(sqlpool_ticket_wait(&ticket, 60000, NULL, &err), SQLPOOL_NOMEM, &err);
        locks->fail_init_at = 0;
        CHECK_INT(err.outcome, i % 2 == 0 ? SQLPOOL_OUTCOME_NONE : SQLPOOL_OUTCOME_NOT_COMMITTED);
        CHECK_INT(ticket.number != 0, i % 2 == 0); /* it was the wait that failed, or the write */
        if (i % 2 == 0) CHECK_OK(result_of(&ticket, &err), &err);
    }
    CHECK_INT(ask(pool, COUNT_T), 3);
    close_pool(pool);
}
TEST(locks_that_cannot_be_made) {
    static sim_locks locks;
    sqlpool_config config = patient();
    sqlpool_ticket ticket;
    sqlpool *pool;
    char why[400];
    memset(&locks, 0, sizeof locks);
    config.locks = sim_locks_hooks(&locks);
    pool = open_pool("locks.db", &config, TABLE);
    CHECK(pool != NULL);
    locks.fail_init_at = locks.inits + 1; /* the thread */
    CHECK_RC(sqlpool_submit(pool, &ticket, INSERT, SQLPOOL_ARGS(1), &err), SQLPOOL_NOMEM, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_HAS(err.message, "thread");
    CHECK_INT((int64_t)ticket.number, 0);
    locks.fail_init_at = 0;
    CHECK_OK(sqlpool_submit(pool, &ticket, INSERT, SQLPOOL_ARGS(1), &err), &err);
    CHECK_OK(result_of(&ticket, &err), &err);
    close_pool(pool);
    PART(without_a_condition(&locks));
    if (sim_locks_check(&locks, why, sizeof why)) test_fail(__FILE__, __LINE__, "%s", why);
}

/*---- a lock of another process ----*/

/*  Time that moves only when somebody waits, on one thread. */
static sim_locks own_locks;
static sqlpool_config in_own_time(void) {
    sqlpool_config config = without_thread();
    memset(&own_locks, 0, sizeof own_locks);
    own_locks.clock = &own_time;
    own_locks.solo = 1;
    begin_own_time(&config);
    config.locks = sim_locks_hooks(&own_locks);
    return config;
}
static sqlite3 *lock_file(const char *path) {
    sqlite3 *other = raw_open(path);
    if (other != NULL) (void)raw_exec(other, "BEGIN IMMEDIATE");
    return other;
}
static void unlock_file(sqlite3 *other) {
    (void)raw_exec(other, "COMMIT");
    (void)sqlite3_close(other);
}

/*  A tick does not wait for it, a wait no longer than it was told; what could not run is in its
    place again. */
TEST(a_lock_of_another_process_holds_nobody_up) {
    sqlpool_config config = in_own_time();
    sqlpool *pool = open_pool("holds.db", &config, TABLE);
    sqlpool_ticket ticket;
    sqlpool_conn writer;
    sqlite3 *other;
    deed d = {.value = 3};
    int i;
    CHECK(pool != NULL);
    other = lock_file("holds.db");
    CHECK(other != NULL);
    CHECK_INT(submit_value(pool, &ticket, 1), SQLPOOL_OK);
    CHECK_INT(submit_value(pool, NULL, 2), SQLPOOL_OK);
    CHECK_OK(sqlpool_submit_write(pool, NULL, NULL, act, &d, &err), &err);
    (void)waited_ms();
    CHECK_INT(sqlpool_tick(pool, 1000), SQLPOOL_OK);
    CHECK_INT(sqlpool_tick(pool, 1000000), SQLPOOL_OK);
    CHECK_INT(waited_ms(), 0);
    CHECK_RC(sqlpool_ticket_wait(&ticket, 50, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK_INT(waited_ms(), 50);
    CHECK_RC(sqlpool_flush(pool, 70, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_HAS(err.message, "3 submitted");
    CHECK_INT(waited_ms(), 70);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err); /* it is free */
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    CHECK_INT(submit_value(pool, NULL, 4), SQLPOOL_OK); /* behind those that came back */
    for (i = 0; i < 30; i++) CHECK_RC(sqlpool_flush(pool, 1, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(waited_ms(), 30);
    for (i = 0; i < 30; i++) CHECK_INT(sqlpool_tick(pool, 0), SQLPOOL_OK);
    CHECK_INT(waited_ms(), 0);
    CHECK_INT(stats_of(pool).submitted_now, 4);
    CHECK_INT(stats_of(pool).breaker_write, 0); /* nothing has failed */
    CHECK_INT(stats_of(pool).breaker_opens, 0);
    unlock_file(other);
    CHECK_INT(sqlpool_tick(pool, 0), SQLPOOL_OK);
    CHECK_OK(sqlpool_ticket_poll(&ticket, NULL, &err), &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_COMMITTED);
    CHECK_OK(sqlpool_flush(pool, 0, &err), &err);
    CHECK_INT(look(&d.runs), 1);
    PART(check_values(pool, "1,2,3,4"));
    close_pool(pool);
}

/*  Those that have a time are told when it is over, wherever they stand; the others stay. */
TEST(a_lock_of_another_process_and_those_in_a_hurry) {
    const sqlpool_submission hurry = {.timeout_ms = 100}, later = {.timeout_ms = 300};
    sqlpool_config config = in_own_time();
    sqlpool *pool = open_pool("hurry.db", &config, TABLE);
    sqlpool_ticket tickets[3], first;
    sqlite3 *other;
    CHECK(pool != NULL);
    other = lock_file("hurry.db");
    CHECK(other != NULL);
    CHECK_INT(submit_value(pool, &first, 1), SQLPOOL_OK);
    CHECK_OK(sqlpool_submit_with(pool, &later, &tickets[0], INSERT, SQLPOOL_ARGS(0), &err), &err);
    CHECK_RC(sqlpool_flush(pool, 10, &err), SQLPOOL_TIMEOUT, &err);
    sim_clock_advance(&own_time, INT64_C(300) * 1000000);
    CHECK_INT(sqlpool_tick(pool, 0), SQLPOOL_OK); /* it was put back, and is late now */
    CHECK_RC(sqlpool_ticket_poll(&tickets[0], NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_OK(sqlpool_submit_with(pool, &hurry, &tickets[0], INSERT, SQLPOOL_ARGS(2), &err), &err);
    CHECK_INT(submit_value(pool, NULL, 3), SQLPOOL_OK);
    CHECK_OK(sqlpool_submit_with(pool, &later, &tickets[1], INSERT, SQLPOOL_ARGS(4), &err), &err);
    CHECK_INT(submit_value(pool, NULL, 5), SQLPOOL_OK);
    (void)waited_ms();
    CHECK_RC(sqlpool_ticket_wait(&tickets[0], SQLPOOL_FOREVER, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(waited_ms(), 100);
    CHECK_INT(stats_of(pool).submitted_now, 4);
    CHECK_RC(sqlpool_ticket_poll(&tickets[1], NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    sim_clock_advance(&own_time, INT64_C(300) * 1000000);
    (void)waited_ms();
    CHECK_INT(sqlpool_tick(pool, 0), SQLPOOL_OK);
    CHECK_RC(sqlpool_ticket_poll(&tickets[1], NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(waited_ms(), 0);
    CHECK_INT(stats_of(pool).submitted_now, 3);
    CHECK_RC(sqlpool_ticket_poll(&first, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK_OK(sqlpool_submit_with(pool, &hurry, &tickets[2], INSERT, SQLPOOL_ARGS(6), &err), &err);
    unlock_file(other);
    CHECK_OK(result_of(&tickets[2], &err), &err); /* and that one is in time */
    CHECK_OK(result_of(&first, &err), &err);
    PART(check_values(pool, "1,3,5,6"));
    close_pool(pool);
}

/*  Without a time acquire_timeout_ms is waited, once for all that are there and not for each. */
TEST(a_lock_of_another_process_is_waited_for_once) {
    enum { COUNT = 9 };
    sqlpool_config config = in_own_time();
    sqlpool *pool;
    sqlite3 *other;
    int i;
    config.acquire_timeout_ms = 500;
    pool = open_pool("once.db", &config, TABLE);
    CHECK(pool != NULL);
    no_tolds(COUNT);
    other = lock_file("once.db");
    CHECK(other != NULL);
    for (i = 0; i < COUNT; i++) {
        const sqlpool_submission submission = tell(&tolds[i]);
        CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(i), &err), &err);
    }
    (void)waited_ms();
    CHECK_OK(sqlpool_flush(pool, SQLPOOL_FOREVER, &err), &err);
    CHECK_INT(waited_ms(), 500);
    for (i = 0; i < COUNT; i++)
        CHECK(was_told(&tolds[i], SQLPOOL_TIMEOUT, SQLPOOL_OUTCOME_NOT_COMMITTED));
    unlock_file(other);
    CHECK_INT(submit_value(pool, NULL, 7), SQLPOOL_OK);
    close_and_count(pool, "once.db", 1);
}

/*  And no longer, however long its neighbour has or somebody is ready to wait for it. */
TEST(a_lock_of_another_process_is_waited_for_no_longer_than_said) {
    const sqlpool_submission later = {.timeout_ms = 10000};
    sqlpool_config config = in_own_time();
    sqlpool *pool;
    sqlpool_ticket tickets[2];
    sqlite3 *other;
    config.acquire_timeout_ms = 500;
    pool = open_pool("nolonger.db", &config, TABLE);
    CHECK(pool != NULL);
    other = lock_file("nolonger.db");
    CHECK(other != NULL);
    CHECK_INT(submit_value(pool, &tickets[0], 1), SQLPOOL_OK);
    (void)waited_ms();
    CHECK_RC(sqlpool_ticket_wait(&tickets[0], 60000, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(waited_ms(), 500);
    CHECK_INT(submit_value(pool, &tickets[0], 1), SQLPOOL_OK);
    CHECK_OK(sqlpool_submit_with(pool, &later, &tickets[1], INSERT, SQLPOOL_ARGS(2), &err), &err);
    (void)waited_ms();
    CHECK_RC(sqlpool_ticket_wait(&tickets[0], SQLPOOL_FOREVER, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(waited_ms(), 500);
    unlock_file(other);
    close_pool(pool);
}

/*  The same beside the pool's own thread, which looks at the clock for those in a hurry. */
TEST(a_lock_of_another_process_beside_the_thread) {
    const sqlpool_submission hurry = {.timeout_ms = 80};
    sqlpool_config config = patient(); /* the others could wait for two minutes */
    sqlpool *pool = open_pool("thread.db", &config, TABLE);
    sqlpool_ticket first, ticket, function;
    deed d = {.value = 3};
    sqlite3 *other;
    CHECK(pool != NULL);
    other = lock_file("thread.db");
    CHECK(other != NULL);
    CHECK_OK(sqlpool_submit_with(pool, &hurry, &ticket, INSERT, SQLPOOL_ARGS(1), &err), &err);
    CHECK_RC(result_of(&ticket, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_OK(sqlpool_submit_with(pool, &hurry, &ticket, INSERT, SQLPOOL_ARGS(1), &err), &err);
    CHECK_INT(submit_value(pool, &first, 2), SQLPOOL_OK);
    CHECK_OK(sqlpool_submit_write(pool, &hurry, &function, act, &d, &err), &err);
    CHECK_INT(submit_value(pool, NULL, 4), SQLPOOL_OK);
    CHECK_RC(result_of(&ticket, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_RC(result_of(&function, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(look(&d.runs), 0);
    CHECK_INT(submit_value(pool, NULL, 5), SQLPOOL_OK);
    CHECK_RC(sqlpool_ticket_poll(&first, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK_INT(stats_of(pool).breaker_opens, 0);
    unlock_file(other);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_OK(result_of(&first, &err), &err);
    PART(check_values(pool, "2,4,5"));
    close_pool(pool);
}

/*  A close gives up in its time, and the next one brings all of it into the file. */
TEST(a_lock_of_another_process_and_a_close) {
    sqlpool_config config = in_own_time();
    sqlpool *pool;
    sqlite3 *other;
    int i;
    config.close_timeout_ms = 200;
    pool = open_pool("closes.db", &config, TABLE);
    CHECK(pool != NULL);
    other = lock_file("closes.db");
    CHECK(other != NULL);
    for (i = 0; i < 5; i++) CHECK_INT(submit_value(pool, NULL, i), SQLPOOL_OK);
    (void)waited_ms();
    CHECK_RC(sqlpool_close(pool, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_HAS(err.message, "5 submitted writes");
    CHECK_INT(waited_ms(), 200);
    unlock_file(other);
    close_and_count(pool, "closes.db", 5);
}

/*---- other pools ----*/

static void in_this_pool(const char *path, sqlpool_config config) {
    sqlpool *pool = open_pool(path, &config, TABLE POISON_TABLES);
    sqlpool_ticket bad;
    int i;
    CHECK(pool != NULL);
    no_tolds(30);
    for (i = 0; i < 30; i++) {
        sqlpool_submission submission = tell(&tolds[i]);
        submission.relaxed = i % 2 == 1;
        CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(i), &err), &err);
        if (i == 10)
            CHECK_OK(sqlpool_submit(pool, &bad, "INSERT OR ROLLBACK INTO u VALUES('dup')",
                                    SQLPOOL_NO_ARGS, &err),
                     &err);
    }
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_RC(result_of(&bad, &err), SQLITE_CONSTRAINT_UNIQUE, &err);
    for (i = 0; i < 30; i++) CHECK(was_told(&tolds[i], SQLPOOL_OK, SQLPOOL_OUTCOME_COMMITTED));
    CHECK_INT(ask(pool, COUNT_T), 30);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE v <> id - 1"), 0);
    close_pool(pool);
}
TEST(in_other_pools) {
    sqlpool_config config = patient();
    PART(in_this_pool(":memory:", config));
    config.group_count = 1;
    PART(in_this_pool("groups_of_one.db", config));
    config.group_count = 0;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    PART(in_this_pool("delete.db", config));
    config.journal = SQLPOOL_JOURNAL_WAL;
    config.max_connections = 1;
    PART(in_this_pool("one.db", config));
    config.max_connections = 4;
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    PART(in_this_pool("general.db", config));
    config.disable_upkeep_thread = true;
    PART(in_this_pool("general_tick.db", config));
}

/*  Without groups each is run by itself; it must be run all the same. */
TEST(without_groups) {
    sqlpool_config config = without_thread();
    sqlpool *pool;
    int i;
    config.group_count = SQLPOOL_OFF;
    pool = open_pool("off.db", &config, TABLE);
    CHECK(pool != NULL);
    for (i = 0; i < 5; i++) CHECK_INT(submit_value(pool, NULL, i), SQLPOOL_OK);
    CHECK_INT(sqlpool_tick(pool, 1000000), SQLPOOL_OK);
    CHECK_INT(ask(pool, COUNT_T), 5);
    close_pool(pool);
    config.disable_upkeep_thread = false;
    PART(in_this_pool("off_thread.db", config));
}

/*---- pause and exclusive ----*/

TEST(a_pause_holds_the_queue) {
    const sqlpool_submission limit = {.timeout_ms = 50};
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("pause.db", &config, TABLE);
    sqlpool_ticket ticket, late;
    CHECK(pool != NULL);
    (void)write_one(pool, false);
    CHECK_OK(sqlpool_pause(pool, 1000, &err), &err);
    CHECK_INT(submit_value(pool, &ticket, 2), SQLPOOL_OK);
    CHECK_RC(sqlpool_ticket_wait(&ticket, 60, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK_INT(stats_of(pool).submitted_now, 1);
    CHECK_INT(ask_file("pause.db", COUNT_T), 1);
    CHECK_INT(sqlpool_resume(pool), SQLPOOL_OK);
    CHECK_OK(result_of(&ticket, &err), &err);
    CHECK_OK(sqlpool_pause(pool, 1000, &err), &err);
    CHECK_OK(sqlpool_submit_with(pool, &limit, &late, INSERT, SQLPOOL_ARGS(3), &err), &err);
    CHECK_RC(result_of(&late, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(submit_value(pool, &ticket, 4), SQLPOOL_OK);
    CHECK_INT(sqlpool_ticket_cancel(&ticket), SQLPOOL_OK);
    CHECK_INT(submit_value(pool, NULL, 5), SQLPOOL_OK);
    close_and_count(pool, "pause.db", 3); /* a paused pool can be closed */
}

static void *submit_and_poll(void *argument) {
    waiting *w = (waiting *)argument;
    w->rc = sqlpool_submit(w->pool, w->ticket, INSERT, SQLPOOL_ARGS(8), &w->error);
    if (w->rc == SQLPOOL_OK) w->rc = sqlpool_ticket_wait(w->ticket, 50, NULL, &w->error);
    return NULL;
}
static int in_exclusive(sqlpool_conn *conn, void *user) {
    waiting *w = (waiting *)user;
    EXPECT_INT(start_thread(&w->thread, submit_and_poll, w), true);
    (void)pthread_join(w->thread, NULL);
    EXPECT_INT(w->rc, SQLPOOL_WOULD_BLOCK);
    EXPECT_INT(ask_conn(conn, COUNT_T), 1);
    return SQLPOOL_OK;
}
TEST(an_exclusive_section_holds_the_queue) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("exclusive.db", &config, TABLE);
    sqlpool_ticket ticket;
    waiting w = {.ticket = &ticket};
    CHECK(pool != NULL);
    (void)write_one(pool, false);
    w.pool = pool;
    CHECK_OK(sqlpool_exclusive(pool, 1000, in_exclusive, &w, &err), &err);
    CHECK_OK(result_of(&ticket, &err), &err);
    close_and_count(pool, "exclusive.db", 2);
}

/*---- close ----*/

static void check_told_once(int count) {
    int i;
    for (i = 0; i < count; i++) {
        if (!was_told(&tolds[i], SQLPOOL_OK, SQLPOOL_OUTCOME_COMMITTED))
            test_fail(__FILE__, __LINE__, "%d was told %d times: %d, outcome %d %s", i,
                      look(&tolds[i].calls), tolds[i].result, tolds[i].outcome, tolds[i].message);
    }
}
static bool fill_queue(sqlpool *pool, int count) {
    int i;
    no_tolds(count);
    mark(&turns, 0);
    for (i = 0; i < count; i++) {
        sqlpool_submission submission = tell(&tolds[i]);
        submission.relaxed = i % 5 == 1;
        if (sqlpool_submit_with(pool, &submission, i % 2 == 0 ? &tolds[i].ticket : NULL, INSERT,
                                SQLPOOL_ARGS(i), &err) != SQLPOOL_OK) {
            test_fail(__FILE__, __LINE__, "submission %d: %s", i, err.message);
            return false;
        }
    }
    return true;
}
TEST(close_runs_what_is_left) {
    sqlpool_config config = without_thread();
    sqlpool *pool;
    sqlpool_ticket ticket;
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    pool = open_pool("left.db", &config, TABLE POISON_TABLES);
    CHECK(pool != NULL);
    CHECK(fill_queue(pool, 200));
    CHECK_OK(sqlpool_submit(pool, NULL, "INSERT OR ROLLBACK INTO u VALUES('dup')", SQLPOOL_NO_ARGS,
                            &err),
             &err);
    CHECK_OK(sqlpool_submit(pool, NULL, "CREATE TABLE made(v)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_submit(pool, &ticket, "INSERT INTO made VALUES(1)", SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK_INT(ask(pool, COUNT_T), 0);
    close_pool(pool);
    PART(check_told_once(200));
    CHECK_INT(look(&turns), 200);
    CHECK(pthread_equal(tolds[0].on, pthread_self()));
    CHECK_INT(ask_file("left.db", COUNT_T), 200);
    CHECK_INT(ask_file("left.db", "SELECT count(*) FROM t WHERE v <> id - 1"), 0);
    CHECK_INT(ask_file("left.db", "SELECT count(*) FROM made"), 1);
    CHECK_RC(sqlpool_submit(pool, &ticket, INSERT, SQLPOOL_ARGS(1), &err), SQLPOOL_CLOSED, &err);
    CHECK_INT((int64_t)ticket.number, 0);
    CHECK_RC(sqlpool_flush(pool, 0, &err), SQLPOOL_CLOSED, &err);
}
/*  The pool's thread stands in one write, hundreds are behind it, threads wait for tickets. */
TEST(close_beside_the_thread_and_waiters) {
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("beside_thread.db", &config, TABLE);
    waiting closing, waiters[3];
    deed first = {.value = -1, .stands = true};
    sqlpool_ticket ticket, other;
    int i;
    CHECK(pool != NULL);
    memset(waiters, 0, sizeof waiters);
    PART(stand_in(pool, NULL, &ticket, &first));
    CHECK(fill_queue(pool, MANY));
    for (i = 0; i < 3; i++) {
        waiters[i].ticket = &tolds[i * 100].ticket;
        waiters[i].timeout_ms = i == 0 ? 60000 : SQLPOOL_FOREVER;
        other = tolds[i * 100].ticket;
        CHECK(begin(&waiters[i], pool, wait_ticket));
        while (sqlpool_ticket_poll(&other, NULL, &err) == SQLPOOL_WOULD_BLOCK)
            sleep_ms(1); /* until it waits */
    }
    CHECK(begin(&closing, pool, close_it));
    while (sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err) == SQLPOOL_OK) sleep_ms(1);
    CHECK_INT(err.result, SQLPOOL_CLOSED);
    CHECK_RC(sqlpool_submit(pool, NULL, INSERT, SQLPOOL_ARGS(1), &err), SQLPOOL_CLOSED, &err);
    CHECK_RC(sqlpool_flush(pool, 60000, &err), SQLPOOL_CLOSED, &err);
    CHECK_INT(sqlpool_ticket_cancel(&tolds[MANY - 2].ticket), SQLPOOL_OK); /* still possible */
    CHECK_INT(sqlpool_ticket_drop(&tolds[MANY - 4].ticket), SQLPOOL_OK);
    let_go(&stands);
    for (i = 0; i < 3; i++) {
        end_of(&waiters[i]);
        CHECK_INT(waiters[i].rc, SQLPOOL_OK);
        CHECK_INT(waiters[i].result.changes, 1);
    }
    end_of(&closing);
    CHECK_INT(closing.rc, SQLPOOL_OK);
    CHECK(was_told(&tolds[MANY - 2], SQLPOOL_CANCELLED, SQLPOOL_OUTCOME_NOT_COMMITTED));
    tolds[MANY - 2] = tolds[0];
    PART(check_told_once(MANY));
    CHECK_INT(ask_file("beside_thread.db", COUNT_T), MANY);
    CHECK_RC(result_of(&ticket, &err), SQLPOOL_CLOSED, &err); /* nobody fetched it in time */
}
/*  The writer is out: close gives up for now; whoever waits for room or a flush hears at once that the
    pool is closed, whoever has a ticket waits on; the next close runs everything. */
TEST(close_while_the_writer_is_out) {
    sqlpool_config config = patient();
    waiting room = {.submission = {.wait_ms = SQLPOOL_FOREVER}},
            flush = {.timeout_ms = SQLPOOL_FOREVER}, waiter = {.timeout_ms = SQLPOOL_FOREVER};
    sqlpool *pool;
    sqlpool_ticket late;
    const sqlpool_submission limit = {.timeout_ms = 100};
    static holder h;
    config.submit_count = 4;
    config.close_timeout_ms = 60;
    pool = open_pool("out.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK(take_writer(&h, pool));
    CHECK(fill_queue(pool, 3));
    CHECK_OK(sqlpool_submit_with(pool, &limit, &late, INSERT, SQLPOOL_ARGS(77), &err), &err);
    waiter.ticket = &tolds[2].ticket;
    CHECK(begin(&room, pool, wait_room));
    CHECK(begin(&flush, pool, wait_flush));
    CHECK(begin(&waiter, pool, wait_ticket));
    sleep_ms(40);
    CHECK_RC(sqlpool_close(pool, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_HAS(err.message, "callers.h");
    end_of(&room); /* the writer is still out */
    end_of(&flush);
    CHECK_INT(room.rc, SQLPOOL_CLOSED);
    CHECK_INT(flush.rc, SQLPOOL_CLOSED);
    CHECK(!look(&waiter.is_back));
    CHECK_RC(sqlpool_submit(pool, NULL, INSERT, SQLPOOL_ARGS(1), &err), SQLPOOL_CLOSED, &err);
    CHECK_RC(sqlpool_ticket_poll(&tolds[0].ticket, NULL, &err), SQLPOOL_WOULD_BLOCK, &err);
    sleep_ms(60);
    give_writer(&h);
    CHECK_INT(look(&turns), 0);
    CHECK_OK(sqlpool_close(pool, &err), &err);
    end_of(&waiter);
    CHECK_INT(waiter.rc, SQLPOOL_OK);
    PART(check_told_once(3));
    CHECK_INT(ask_file("out.db", COUNT_T), 3); /* one was too late */
}
/*  Close comes while the first submission makes the thread that is to run it: no thread outlives the
    pool. The hooks stop the submission in the making; or at the lock before it, until close has
    looked for such a thread and is about to join upkeep. */
static int creating, locking, creations, joins; /* atomic */
static __thread bool stops_at_lock;
static waiting first_one;
static int create_slowly(void *user, void **thread, void (*run)(void *), void *argument) {
    if (count_up(&creations) == 2) wait_at(&creating); /* the first one is upkeep */
    return sim_thread_create(user, thread, run, argument);
}
static void join_and_count(void *user, void *thread) {
    if (look(&locking) == 2) {
        let_go(&locking);
        (void)await(&first_one.is_back, 1);
    }
    sim_thread_join(user, thread);
    (void)count_up(&joins);
}
static void lock_slowly(void *user, sqlpool_mutex *mutex) {
    if (stops_at_lock) wait_at(&locking);
    sim_mutex_lock(user, mutex);
}
static void *submit_first(void *argument) {
    stops_at_lock = true;
    return wait_room(argument);
}
static void close_beside_first(const char *path, int *place) {
    static sim_locks locks;
    static waiting closing; /* static: it outlives a test that fails */
    sqlpool_config config = patient();
    sqlpool *pool;
    char why[400];
    memset(&locks, 0, sizeof locks);
    memset(&first_one, 0, sizeof first_one);
    memset(&closing, 0, sizeof closing);
    mark(&creations, 0);
    mark(&joins, 0);
    config.locks = sim_locks_hooks(&locks);
    config.locks.thread_create_fn = create_slowly;
    config.locks.thread_join_fn = join_and_count;
    config.locks.mutex_lock_fn = lock_slowly;
    pool = open_pool(path, &config, TABLE);
    CHECK(pool != NULL);
    arm(place);
    CHECK(begin(&first_one, pool, submit_first));
    CHECK(await_holder(place));
    CHECK(begin(&closing, pool, close_it));
    if (place == &creating) {
        while (sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err) == SQLPOOL_OK) sleep_ms(1);
        sleep_ms(50); /* for a close that does not wait for the thread */
        CHECK_INT(look(&joins), 0);
        CHECK(!look(&closing.is_back));
        let_go(place);
    }
    end_of(&first_one);
    end_of(&closing);
    CHECK_INT(first_one.rc, SQLPOOL_CLOSED);
    CHECK_INT(first_one.error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(closing.rc, SQLPOOL_OK);
    CHECK_INT(look(&joins), look(&creations));
    CHECK_INT(look(&creations), place == &locking ? 1 : 2);
    if (sim_locks_check(&locks, why, sizeof why)) test_fail(__FILE__, __LINE__, "%s", why);
    CHECK_INT(ask_file(path, COUNT_T), 0);
}
TEST(close_beside_the_first_submission) {
    PART(close_beside_first("first.db", &creating));
    PART(close_beside_first("first_lock.db", &locking));
}
static int slow(sqlpool_conn *conn, void *user, int attempt) {
    sleep_ms(15);
    return act(conn, user, attempt);
}
/*  More than fits into close_timeout_ms: close again. */
TEST(close_that_takes_several_times) {
    enum { COUNT = 30 };
    static deed deeds[COUNT];
    sqlpool_config config = patient();
    sqlpool *pool;
    int i, tries = 1;
    config.close_timeout_ms = 60;
    config.disable_upkeep_thread = true;
    pool = open_pool("several.db", &config, TABLE);
    CHECK(pool != NULL);
    no_tolds(COUNT);
    memset(deeds, 0, sizeof deeds);
    for (i = 0; i < COUNT; i++) {
        sqlpool_submission submission = tell(&tolds[i]);
        deeds[i].value = i;
        CHECK_OK(sqlpool_submit_write(pool, &submission, NULL, slow, &deeds[i], &err), &err);
    }
    while (sqlpool_close(pool, &err) != SQLPOOL_OK) {
        CHECK_INT(err.result, SQLPOOL_TIMEOUT);
        CHECK_HAS(err.message, "submitted writes");
        CHECK(tries++ < 100);
    }
    CHECK(tries > 1);
    PART(check_told_once(COUNT));
    for (i = 0; i < COUNT; i++) CHECK_INT(look(&deeds[i].runs), 1);
    CHECK_INT(ask_file("several.db", COUNT_T), COUNT);
}
static void submit_in_closing(told *t) {
    sqlpool_error e;
    EXPECT_INT(sqlpool_submit(t->pool, NULL, INSERT, SQLPOOL_ARGS(50), &e), SQLPOOL_CLOSED);
    EXPECT_INT(sqlpool_exec(t->pool, INSERT, SQLPOOL_ARGS(51), &e), SQLPOOL_CLOSED);
    EXPECT_INT(sqlpool_close(t->pool, &e) != SQLPOOL_OK, 1);
}
TEST(done_while_the_pool_closes) {
    sqlpool_config config = without_thread();
    sqlpool *pool = open_pool("done_closing.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK(fill_queue(pool, 3));
    tolds[1].pool = pool;
    tolds[1].then = submit_in_closing;
    close_and_count(pool, "done_closing.db", 3);
    check_told_once(3);
}
/*  From the first done_fn to the last another thread takes writes back: half of them while the one
    that closes looks at its clock for long, for ThreadSanitizer to see what it does without the
    lock. */
static int cancelled; /* by it; atomic */
static void *cancel_odd(void *argument) {
    int i;
    (void)argument;
    for (i = MANY - 3; i > 0; i -= 2) { /* they meet */
        if (i < MANY / 2) mark(&lingers, 0);
        const int rc = sqlpool_ticket_cancel(&tolds[i].ticket);
        if (rc == SQLPOOL_OK) (void)count_up(&cancelled);
        EXPECT_INT(rc == SQLPOOL_OK || rc == SQLPOOL_TOO_LATE, 1);
        if (i % 8 == 1) (void)usleep(100);
    }
    return NULL;
}
static pthread_t canceller;
static void begin_cancelling(told *t) {
    (void)t;
    lingerer = pthread_self();
    mark(&lingers, 1);
    EXPECT_INT(start_thread(&canceller, cancel_odd, NULL), true);
    while (look(&cancelled) == 0) (void)usleep(100);
}
static void end_cancelling(told *t) {
    (void)t;
    (void)pthread_join(canceller, NULL);
}
TEST(cancel_beside_close) {
    sqlpool_config config = without_thread();
    sqlpool *pool;
    int i, here = 0;
    config.group_count = 1;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    config.clock.now_ns_fn = lingering_now;
    config.clock.sleep_ns_fn = sim_real_sleep;
    pool = open_pool("cancel_close.db", &config, TABLE);
    CHECK(pool != NULL);
    no_tolds(MANY);
    cancelled = 0;
    tolds[0].then = begin_cancelling;
    tolds[MANY - 1].then = end_cancelling;
    for (i = 0; i < MANY; i++) {
        const sqlpool_submission submission = tell(&tolds[i]);
        CHECK_OK(
            sqlpool_submit_with(pool, &submission, &tolds[i].ticket, INSERT, SQLPOOL_ARGS(i), &err),
            &err);
    }
    close_pool(pool);
    for (i = 0; i < MANY; i++) {
        const bool is_here = tolds[i].result == SQLPOOL_OK;
        CHECK(was_told(&tolds[i], is_here ? SQLPOOL_OK : SQLPOOL_CANCELLED,
                       is_here ? SQLPOOL_OUTCOME_COMMITTED : SQLPOOL_OUTCOME_NOT_COMMITTED));
        here += is_here;
    }
    CHECK(cancelled > 0);
    CHECK_INT(here, MANY - cancelled);
    CHECK_INT(ask_file("cancel_close.db", COUNT_T), here);
}
/*  A writer that cannot be had any more: nothing is lost without a word. */
TEST(close_without_a_writer) {
    sqlpool_config config = without_thread();
    sqlpool *pool;
    int i;
    config.events.connect_fn = on_connect;
    pool = open_pool("closing_blind.db", &config, TABLE);
    CHECK(pool != NULL);
    mark(&refuse_writer, 1);
    CHECK(sqlpool_recycle(pool) != SQLPOOL_OK);
    CHECK(fill_queue(pool, 5));
    CHECK_INT(sqlpool_close(pool, &err), SQLPOOL_OK);
    mark(&refuse_writer, 0);
    for (i = 0; i < 5; i++)
        CHECK(was_told(&tolds[i], SQLITE_CANTOPEN, SQLPOOL_OUTCOME_NOT_COMMITTED));
    CHECK_INT(ask_file("closing_blind.db", COUNT_T), 0);
}

/*---- looking in ----*/

TEST(statistics_and_status) {
    static char text[16384];
    sqlpool_config config = patient();
    sqlpool *pool = open_pool("status.db", &config, TABLE);
    static holder h;
    int i;
    CHECK(pool != NULL);
    CHECK_INT(stats_of(pool).submitted, 0);
    CHECK(take_writer(&h, pool));
    for (i = 0; i < 5; i++) CHECK_INT(submit_value(pool, NULL, i), SQLPOOL_OK);
    CHECK_INT(stats_of(pool).submitted, 5);
    CHECK_INT(stats_of(pool).submitted_now, 5);
    CHECK(sqlpool_status_text(pool, text, sizeof text) > 0);
    CHECK_HAS(text, "5 submitted writes");
    CHECK_HAS(text, "submit_refusals");
    CHECK(sqlpool_status_json(pool, text, sizeof text) > 0);
    CHECK_HAS(text, "\"submitted_now\":5");
    CHECK_HAS(text, "\"submitted\":5");
    CHECK_HAS(text, "\"submit_refusals\":0");
    give_writer(&h);
    CHECK_OK(sqlpool_flush(pool, 60000, &err), &err);
    CHECK_INT(stats_of(pool).submitted, 5);
    CHECK_INT(stats_of(pool).submitted_now, 0);
    CHECK_INT(stats_of(pool).groups, 1);
    CHECK_INT(stats_of(pool).grouped, 5);
    CHECK_INT(stats_of(pool).waiting_write, 0);
    close_pool(pool);
}

/*---- all at once ----*/

enum { WRITES = 60000, SUBMITTERS = 4 };
typedef struct fate {
    bool has_done, has_ticket;
    int done_calls, done_outcome;     /* atomic */
    int ticket_calls, ticket_outcome; /* of waits, polls and cancellations; atomic */
    int may_be_there;                 /* 0: it is poison */
} fate;
static fate fates[WRITES];
static int next_write, over; /* atomic */
static struct {
    pthread_mutex_t lock;
    sqlpool_ticket tickets[64]; /* copies, for those that cancel */
    int ids[64];
} shown = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void fate_done(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    fate *f = (fate *)user;
    (void)result;
    mark(&f->done_outcome, error->outcome);
    (void)count_up(&f->done_calls);
}
static void fate_ticket(fate *f, int outcome) {
    mark(&f->ticket_outcome, outcome);
    (void)count_up(&f->ticket_calls);
}
static int fate_write(sqlpool_conn *conn, void *user, int attempt) {
    const int64_t id = (int64_t)((fate *)user - fates);
    (void)attempt;
    return sqlpool_conn_exec(conn, "INSERT INTO f VALUES(?)", SQLPOOL_ARGS(id), NULL, NULL);
}
static uint64_t dice_next(uint64_t *dice, uint64_t bound) {
    uint64_t z = (*dice += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % bound;
}
/*  Asks for the result in some way, until it has one or the ticket was taken back by another. */
static void fetch(fate *f, sqlpool_ticket *ticket, uint64_t *dice) {
    for (;;) {
        sqlpool_error e;
        const int rc = dice_next(dice, 2) == 0
                           ? sqlpool_ticket_poll(ticket, NULL, &e)
                           : sqlpool_ticket_wait(ticket, 1 + (int)dice_next(dice, 3), NULL, &e);
        if (rc == SQLPOOL_WOULD_BLOCK) continue;
        if (rc == SQLPOOL_MISUSE && e.outcome == SQLPOOL_OUTCOME_NONE)
            return; /* cancelled: look() tells */
        fate_ticket(f, e.outcome);
        return;
    }
}
static void *stress_submit(void *argument) {
    static const char *const poison[] = {
        "INSERT INTO f SELECT ?1 FROM u WHERE k = 'dup' UNION ALL SELECT NULL",
        "INSERT OR ROLLBACK INTO f SELECT ?1 UNION ALL SELECT NULL",
        "INSERT INTO child SELECT ?1 + 1000, NULL"};
    sqlpool *pool = (sqlpool *)argument;
    uint64_t dice = (uint64_t)count_up(&next_write) * 77;
    while (!look(&over)) {
        const int id = count_up(&next_write);
        sqlpool_submission submission = {0};
        sqlpool_ticket ticket;
        sqlpool_error e;
        fate *f = &fates[id];
        int rc;
        if (id >= WRITES) break;
        f->may_be_there = 1;
        f->has_done = dice_next(&dice, 3) != 0;
        f->has_ticket = !f->has_done || dice_next(&dice, 2) == 0;
        submission.relaxed = dice_next(&dice, 3) == 0;
        submission.timeout_ms = dice_next(&dice, 50) == 0 ? 1 : 0;
        if (f->has_done) submission.done_fn = fate_done;
        submission.user = f;
        if (dice_next(&dice, 20) == 0) {
            f->may_be_there = 0;
            rc = sqlpool_submit_with(pool, &submission, f->has_ticket ? &ticket : NULL,
                                     poison[dice_next(&dice, 3)], SQLPOOL_ARGS(id), &e);
        } else if (dice_next(&dice, 3) == 0) {
            rc = sqlpool_submit_write(pool, &submission, f->has_ticket ? &ticket : NULL, fate_write,
                                      f, &e);
        } else {
            rc = sqlpool_submit_with(pool, &submission, f->has_ticket ? &ticket : NULL,
                                     "INSERT INTO f VALUES(?)", SQLPOOL_ARGS(id), &e);
        }
        if (rc != SQLPOOL_OK) {
            test_fail(__FILE__, __LINE__, "write %d: %s", id, e.message);
            break;
        }
        if (!f->has_ticket) continue;
        if (dice_next(&dice, 2) == 0) { /* for somebody else to cancel */
            const size_t at = (size_t)dice_next(&dice, 64);
            (void)pthread_mutex_lock(&shown.lock);
            shown.tickets[at] = ticket;
            shown.ids[at] = id;
            (void)pthread_mutex_unlock(&shown.lock);
        }
        if (f->has_done && dice_next(&dice, 2) == 0) {
            if (sqlpool_ticket_drop(&ticket) == SQLPOOL_OK) f->has_ticket = false;
            continue;
        }
        fetch(f, &ticket, &dice);
    }
    return NULL;
}
static void *stress_cancel(void *argument) {
    uint64_t dice = 5;
    (void)argument;
    while (!look(&over)) {
        const size_t at = (size_t)dice_next(&dice, 64);
        sqlpool_ticket ticket;
        int id, rc;
        (void)pthread_mutex_lock(&shown.lock);
        ticket = shown.tickets[at];
        id = shown.ids[at];
        shown.tickets[at].number = 0;
        (void)pthread_mutex_unlock(&shown.lock);
        if (ticket.number == 0) continue;
        rc = sqlpool_ticket_cancel(&ticket);
        if (rc == SQLPOOL_OK) fate_ticket(&fates[id], SQLPOOL_OUTCOME_NOT_COMMITTED);
        if (rc != SQLPOOL_OK && rc != SQLPOOL_TOO_LATE && rc != SQLPOOL_MISUSE)
            test_fail(__FILE__, __LINE__, "cancel gave %d", rc);
    }
    return NULL;
}
static void *stress_others(void *argument) {
    sqlpool *pool = (sqlpool *)argument;
    uint64_t dice = 9;
    while (!look(&over)) {
        sqlpool_error e;
        sqlpool_result result;
        int rc = SQLPOOL_OK;
        switch (dice_next(&dice, 5)) {
        case 0:
            rc = sqlpool_flush(pool, 10, &e);
            break;
        case 1:
            rc = sqlpool_sync(pool, 0, 0, &e);
            break;
        case 2:
            rc = sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &e);
            break;
        default:
            rc = sqlpool_exec_with(pool, NULL, &result, "INSERT INTO x VALUES(1)", SQLPOOL_NO_ARGS,
                                   &e);
            if (rc == SQLPOOL_OK) rc = sqlpool_sync(pool, result.sequence, 0, &e);
            break;
        }
        if (rc != SQLPOOL_OK && rc != SQLPOOL_TIMEOUT)
            test_fail(__FILE__, __LINE__, "%d: %s", rc, e.message);
    }
    return NULL;
}
/*  Every write is told, by all that tell it the same, and the table is what was told. */
static void check_fates(const char *path, int count) {
    static char there[WRITES];
    sqlite3 *db = raw_open(path);
    sqlite3_stmt *statement = NULL;
    int i, wrong = 0, committed = 0, others = 0;
    CHECK(db != NULL);
    memset(there, 0, sizeof there);
    CHECK_INT(raw_ask(db, "SELECT count(*) = count(DISTINCT id) FROM f"), 1);
    CHECK_INT(sqlite3_prepare_v2(db, "SELECT id FROM f", -1, &statement, NULL), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW) there[sqlite3_column_int(statement, 0)] = 1;
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    for (i = 1; i < count && wrong < 5; i++) {
        const fate *f = &fates[i];
        const int done = look(&f->done_calls), asked = look(&f->ticket_calls);
        const int outcome = done > 0 ? look(&f->done_outcome) : look(&f->ticket_outcome);
        if (!f->has_done && !f->has_ticket) continue; /* a number that was not used */
        if (done != f->has_done || asked > 2 || (!f->has_done && asked == 0) ||
            (done > 0 && asked > 0 && look(&f->ticket_outcome) != outcome) ||
            (outcome != SQLPOOL_OUTCOME_COMMITTED && outcome != SQLPOOL_OUTCOME_NOT_COMMITTED) ||
            there[i] != (outcome == SQLPOOL_OUTCOME_COMMITTED) || (there[i] && !f->may_be_there)) {
            test_fail(
                __FILE__, __LINE__,
                "write %d: done_fn %d of %d times, ticket %d times, outcomes %d and %d, there %d",
                i, done, f->has_done, asked, look(&f->done_outcome), look(&f->ticket_outcome),
                there[i]);
            wrong++;
        }
        if (there[i])
            committed++;
        else
            others++;
    }
    printf("# %d committed, %d not\n", committed, others);
    CHECK(committed > 10 && others > 0);
}
static void stress(const char *path, sqlpool_config config, int duration_ms) {
    static sim_locks locks;
    sqlpool *pool;
    pthread_t threads[SUBMITTERS + 3];
    char why[400];
    int i;
    memset(&locks, 0, sizeof locks);
    config.locks = sim_locks_hooks(&locks);
    config.allocator = sim_allocator();
    memset(fates, 0, sizeof fates);
    memset(shown.tickets, 0, sizeof shown.tickets);
    mark(&next_write, 0);
    mark(&over, 0);
    pool =
        open_pool(path, &config,
                  "CREATE TABLE f(id INTEGER NOT NULL UNIQUE); CREATE TABLE x(v);" POISON_TABLES);
    CHECK(pool != NULL);
    for (i = 0; i < SUBMITTERS; i++) CHECK(start_thread(&threads[i], stress_submit, pool));
    CHECK(start_thread(&threads[SUBMITTERS], stress_cancel, pool));
    CHECK(start_thread(&threads[SUBMITTERS + 1], stress_others, pool));
    CHECK(start_thread(&threads[SUBMITTERS + 2], stress_others, pool));
    if (config.disable_upkeep_thread) {
        const int64_t end = now_ms() + duration_ms;
        while (now_ms() < end) CHECK_INT(sqlpool_tick(pool, 1000), SQLPOOL_OK);
    } else {
        sleep_ms(duration_ms);
    }
    mark(&over, 1);
    for (i = 0; i < SUBMITTERS + 3; i++) (void)pthread_join(threads[i], NULL);
    close_pool(pool); /* with what is still in the queue */
    if (sim_alloc_check(why, sizeof why)) test_fail(__FILE__, __LINE__, "%s", why);
    if (sim_locks_check(&locks, why, sizeof why)) test_fail(__FILE__, __LINE__, "%s", why);
    check_fates(path, look(&next_write) < WRITES ? look(&next_write) + 1 : WRITES);
}
TEST(each_fate_is_told_once) {
    sqlpool_config config = patient();
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    config.submit_count = 64;
    config.group_us = 0;
    stress("stress.db", config, 700);
    config.disable_upkeep_thread = true;
    stress("stress_tick.db", config, 400);
}

int main(void) {
    if (!install_sim()) return 1;
    RUN(a_ticket_gives_the_result);
    RUN(a_ticket_gives_the_error);
    RUN(values_that_are_none);
    RUN(everything_is_copied);
    RUN(each_submitter_keeps_its_order);
    RUN(poison_and_schema_keep_the_order);
    RUN(kinds_keep_their_order);
    RUN(done_is_called_once_each);
    RUN(done_may_submit_the_next);
    RUN(done_may_use_the_pool_but_not_wait);
    RUN(done_of_a_cancelled_one_does_not_wait_for_itself);
    RUN(a_done_that_does_not_return_is_reported);
    RUN(a_function_that_hangs_is_reported_with_its_submission);
    RUN(a_commit_that_refuses_reports_no_changes);
    RUN(a_full_queue);
    RUN(who_must_not_wait_for_room);
    RUN(who_must_not_wait_with_a_cursor);
    RUN(a_queue_full_of_bytes);
    RUN(there_is_room_after_a_flush);
    RUN(tickets_that_nobody_fetches_fill_the_queue);
    RUN(tickets_that_are_none);
    RUN(one_thread_at_a_time_waits_for_a_ticket);
    RUN(a_wait_that_is_too_short_can_be_repeated);
    RUN(cancelled_in_the_queue);
    RUN(cancelled_beside_one_that_gives_up);
    RUN(a_cancelled_one_leaves_its_ticket_to_the_next);
    RUN(cancelled_beside_one_that_asks_again);
    RUN(cancelled_beside_one_that_polls_the_same_ticket);
    RUN(cancelled_while_another_waiter_runs_the_queue);
    RUN(dropped_in_the_queue);
    RUN(too_late_to_cancel);
    RUN(late_in_the_queue);
    RUN(late_behind_one_without_a_limit);
    RUN(a_limit_does_not_cost_the_place);
    RUN(late_while_it_runs);
    RUN(late_at_the_very_end);
    RUN(a_flush_waits_for_what_was_before);
    RUN(a_flush_does_not_wait_for_what_comes_later);
    RUN(a_flush_is_not_ended_by_late_ones);
    RUN(a_flush_waits_for_those_of_a_group_that_came_back);
    RUN(relaxed_ones_do_not_sync);
    RUN(a_commit_of_nothing_makes_nothing_durable);
    RUN(sync_where_commits_do_not);
    RUN(relaxed_and_others_together);
    RUN(a_caller_does_not_join_a_relaxed_group);
    RUN(a_caller_joins_a_submitted_group);
    RUN(after_a_relaxed_group_that_failed);
    RUN(sync_that_cannot);
    RUN(a_durable_commit_writes_again_what_is_in_doubt);
    RUN(a_checkpoint_writes_again_what_is_in_doubt);
    RUN(a_durable_commit_behind_what_came_into_doubt_meanwhile);
    RUN(a_disk_that_fails_in_commit);
    RUN(a_writer_that_cannot_be_opened);
    RUN(a_file_that_moves_away);
    RUN(on_a_pool_that_cannot_write);
    RUN(a_failure_that_nobody_asks_for_is_told);
    RUN(a_function_that_is_submitted);
    RUN(without_a_thread_nothing_runs_by_itself);
    RUN(a_tick_keeps_its_budget);
    RUN(without_a_thread_whoever_waits_runs_it);
    RUN(without_a_thread_one_runs_for_the_others);
    RUN(a_tick_leaves_the_rest_to_others);
    RUN(a_tick_beside_the_own_lease);
    RUN(ticks_beside_submitters);
    RUN(a_flood_lets_others_through);
    RUN(a_lock_of_another_process);
    RUN(in_a_forked_child);
    RUN(locks_that_cannot_be_made);
    RUN(a_lock_of_another_process_holds_nobody_up);
    RUN(a_lock_of_another_process_and_those_in_a_hurry);
    RUN(a_lock_of_another_process_is_waited_for_once);
    RUN(a_lock_of_another_process_is_waited_for_no_longer_than_said);
    RUN(a_lock_of_another_process_beside_the_thread);
    RUN(a_lock_of_another_process_and_a_close);
    RUN(in_other_pools);
    RUN(without_groups);
    RUN(a_pause_holds_the_queue);
    RUN(an_exclusive_section_holds_the_queue);
    RUN(close_runs_what_is_left);
    RUN(close_beside_the_thread_and_waiters);
    RUN(close_while_the_writer_is_out);
    RUN(close_beside_the_first_submission);
    RUN(close_that_takes_several_times);
    RUN(done_while_the_pool_closes);
    RUN(cancel_beside_close);
    RUN(close_without_a_writer);
    RUN(statistics_and_status);
    RUN(each_fate_is_told_once);
    return test_end();
}
