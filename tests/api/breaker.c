/*  breaker.c - the circuit breakers among threads: one try a period, whoever waits is refused at
    once, submitted writes hear of it, and nothing is told twice. SPDX-License-Identifier: MIT OR
    Unlicense

    Time is the test's own where periods are counted: it stands still until the test moves it, so
    that any number of threads can race for the one try. The disk is the simulator's. */
#define _GNU_SOURCE
#include "api.h"
#include "sim/sim.h"

static sqlpool_error err;

enum { THREADS = 16, CLOSED = 0, OPEN = 1, TRYING = 2 };
#define TABLE "CREATE TABLE t(id INTEGER PRIMARY KEY, v)"
#define INSERT "INSERT INTO t(v) VALUES(fail(?))"
#define READ "SELECT fail(1)"

/*---- the function that fails, and who watches ----*/

static int fail_code; /* atomic; of fail() */
static int fail_runs; /* atomic */
static int fail_only; /* atomic; only calls with this argument fail; 0: all */
static int fail_stop; /* atomic; 1: the next one to come stops, 2: it stands there */

static void fail_function(sqlite3_context *context, int count, sqlite3_value **values) {
    const int code = __atomic_load_n(&fail_code, __ATOMIC_SEQ_CST);
    const int only = __atomic_load_n(&fail_only, __ATOMIC_SEQ_CST);
    int expected = 1;
    (void)count;
    __atomic_fetch_add(&fail_runs, 1, __ATOMIC_SEQ_CST);
    if (__atomic_compare_exchange_n(&fail_stop, &expected, 2, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST)) {
        while (__atomic_load_n(&fail_stop, __ATOMIC_SEQ_CST) == 2) sleep_ms(1);
    }
    if (code != SQLITE_OK && (only == 0 || sqlite3_value_int(values[0]) == only)) {
        sqlite3_result_error_code(context, code);
    } else {
        sqlite3_result_value(context, values[0]);
    }
}
static void fail_with(int code) {
    __atomic_store_n(&fail_code, code, __ATOMIC_SEQ_CST);
}
static int on_connect(void *user, const sqlpool_conn *conn) {
    (void)user;
    return add_function(conn, "fail", 1, fail_function);
}

static int opens[2], closes[2]; /* atomic; by mode: calls of breaker_fn */
static void on_breaker(void *user, int mode, int state, int code) {
    (void)user;
    __atomic_fetch_add(state == 1 ? &opens[mode] : &closes[mode], 1, __ATOMIC_SEQ_CST);
    if ((state == 1) != (code != SQLITE_OK))
        test_fail(__FILE__, __LINE__, "state %d with code %d", state, code);
}
static int count_of(const int *counter) {
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

/*---- pools ----*/

static sim_clock hand; /* moved by hand */

static sqlpool_config breaker_config(int readers) {
    sqlpool_config config = config_of(readers);
    memset(opens, 0, sizeof opens);
    memset(closes, 0, sizeof closes);
    memset(&hand, 0, sizeof hand);
    fail_with(SQLITE_OK);
    fail_runs = fail_only = fail_stop = 0;
    sim_vfs_heal();
    config.vfs_name = "sim";
    config.retry_attempts = 1;
    config.acquire_timeout_ms = 120000;
    config.close_timeout_ms = 120000;
    config.snapshot_idle_ms = SQLPOOL_OFF;
    config.events.connect_fn = on_connect;
    config.events.breaker_fn = on_breaker;
    return config;
}
/*  The same on time that stands still. */
static sqlpool_config still_config(int readers) {
    sqlpool_config config = breaker_config(readers);
    config.clock = sim_clock_hooks(&hand);
    config.disable_upkeep_thread = true;
    return config;
}
static sqlpool *breaker_open(const char *path, const sqlpool_config *config) {
    sim_remove_database(path);
    return open_pool(path, config, TABLE);
}
static bool is_refusal(const sqlpool_error *error) {
    return strncmp(error->message, "not tried: ", 11) == 0;
}
static void arm(int kind, int code) {
    sim_vfs_fault fault;
    memset(&fault, 0, sizeof fault);
    fault.at = 1;
    fault.kind = kind;
    fault.code = code;
    fault.from_on = 1;
    sim_vfs_arm(fault);
}

/*---- many threads, one try ----*/

typedef struct race {
    sqlpool *pool;
    int mode;
    pthread_barrier_t barrier;
    int stop;                          /* atomic */
    int tries, refusals, well, others; /* atomic; of this period */
} race;

static void race_once(race *r, int at) {
    sqlpool_error error;
    const int way = at % 4;
    sqlpool_conn conn;
    int rc;
    if (r->mode == SQLPOOL_READ) {
        rc = sqlpool_exec(r->pool, READ, SQLPOOL_NO_ARGS, &error);
    } else if (way == 1) {
        rc = sqlpool_script(r->pool, "INSERT INTO t(v) VALUES(fail(1))", -1, &error);
    } else if (way == 2) {
        rc = sqlpool_conn_acquire(r->pool, SQLPOOL_WRITE, &conn, &error);
        if (rc == SQLPOOL_OK) {
            rc = sqlpool_conn_exec(&conn, INSERT, SQLPOOL_ARGS(at), NULL, &error);
            (void)sqlpool_conn_release(&conn);
        }
    } else {
        rc = sqlpool_exec(r->pool, INSERT, SQLPOOL_ARGS(at), &error);
    }
    if (rc == SQLPOOL_OK) {
        __atomic_fetch_add(&r->well, 1, __ATOMIC_SEQ_CST);
    } else if (is_refusal(&error)) {
        __atomic_fetch_add(&r->refusals, 1, __ATOMIC_SEQ_CST);
    } else if (rc == error.result && (rc & 0xff) == SQLITE_IOERR) {
        __atomic_fetch_add(&r->tries, 1, __ATOMIC_SEQ_CST);
    } else {
        __atomic_fetch_add(&r->others, 1, __ATOMIC_SEQ_CST);
        test_fail(__FILE__, __LINE__, "%d: %s", rc, error.message);
    }
}
typedef struct racer {
    race *race;
    int at;
    pthread_t thread;
} racer;
static void *run_racer(void *argument) {
    racer *r = (racer *)argument;
    for (;;) {
        int i;
        (void)pthread_barrier_wait(&r->race->barrier);
        if (__atomic_load_n(&r->race->stop, __ATOMIC_SEQ_CST)) return NULL;
        for (i = 0; i < 3; i++) race_once(r->race, r->at + i);
        (void)pthread_barrier_wait(&r->race->barrier);
    }
}
static void race_period(race *r) {
    r->tries = r->refusals = r->well = r->others = 0;
    (void)pthread_barrier_wait(&r->barrier);
    (void)pthread_barrier_wait(&r->barrier);
}

/*  All threads at once, period after period: the disk is touched by one of them. */
static void run_race(const sqlpool_config *config, int mode, const char *path) {
    static race r;
    static racer racers[THREADS];
    int i, period;
    uint64_t writes;
    memset(&r, 0, sizeof r);
    r.mode = mode;
    r.pool = breaker_open(path, config);
    CHECK(r.pool != NULL);
    CHECK_INT(pthread_barrier_init(&r.barrier, NULL, THREADS + 1), 0);
    for (i = 0; i < THREADS; i++) {
        racers[i].race = &r;
        racers[i].at = i;
        CHECK(start_thread(&racers[i].thread, run_racer, &racers[i]));
    }
    if (mode == SQLPOOL_WRITE) {
        arm(SIM_VFS_WRITE, 0);
        CHECK_RC(sqlpool_exec(r.pool, INSERT, SQLPOOL_ARGS(1), &err), SQLITE_IOERR_WRITE, &err);
    } else {
        fail_with(SQLITE_IOERR_READ);
        for (i = 0; i < 20; i++)
            CHECK_RC(sqlpool_exec(r.pool, READ, SQLPOOL_NO_ARGS, &err), SQLITE_IOERR_READ, &err);
    }
    race_period(&r); /* the first period has not passed */
    CHECK_INT(r.tries, 0);
    CHECK_INT(r.refusals, 3 * THREADS);
    for (period = 1; period <= 30; period++) {
        writes = sim_vfs.kind_calls[SIM_VFS_WRITE];
        __atomic_store_n(&fail_runs, 0, __ATOMIC_SEQ_CST);
        sim_clock_advance(&hand, (int64_t)1000 * 1000000);
        race_period(&r);
        if (r.tries != 1 || r.refusals != 3 * THREADS - 1 || count_of(&fail_runs) != 1 ||
            (mode == SQLPOOL_WRITE && sim_vfs.kind_calls[SIM_VFS_WRITE] > writes + 4)) {
            test_fail(__FILE__, __LINE__,
                      "period %d: %d tries, %d refusals, %d well, %d runs, %d writes", period,
                      r.tries, r.refusals, r.well, count_of(&fail_runs),
                      (int)(sim_vfs.kind_calls[SIM_VFS_WRITE] - writes));
            break;
        }
        sim_clock_advance(&hand, (int64_t)999 * 1000000);
        race_period(&r); /* nobody a moment before */
        if (r.tries != 0) {
            test_fail(__FILE__, __LINE__, "period %d: %d tries before its end", period, r.tries);
            break;
        }
        sim_clock_advance(&hand, 1000000);
        race_period(&r);
        if (r.tries != 1) {
            test_fail(__FILE__, __LINE__, "period %d: %d tries at its end", period, r.tries);
            break;
        }
    }
    sim_vfs_heal();
    fail_with(SQLITE_OK);
    race_period(&r);
    if (r.well != 0) test_fail(__FILE__, __LINE__, "%d went well before their time", r.well);
    sim_clock_advance(&hand, (int64_t)1000 * 1000000);
    race_period(&r); /* the one that goes well opens the way for those behind it */
    if (r.well < 1 || r.tries != 0 || r.well + r.refusals != 3 * THREADS)
        test_fail(__FILE__, __LINE__, "%d went well, %d tried, %d refused", r.well, r.tries,
                  r.refusals);
    race_period(&r);
    if (r.well != 3 * THREADS) test_fail(__FILE__, __LINE__, "%d went well", r.well);
    __atomic_store_n(&r.stop, 1, __ATOMIC_SEQ_CST);
    (void)pthread_barrier_wait(&r.barrier);
    for (i = 0; i < THREADS; i++) (void)pthread_join(racers[i].thread, NULL);
    (void)pthread_barrier_destroy(&r.barrier);
    CHECK_INT(count_of(&opens[mode]), 1);
    CHECK_INT(count_of(&closes[mode]), 1);
    CHECK_INT(count_of(&opens[!mode]), 0);
    close_pool(r.pool);
}
TEST(one_write_a_period) {
    const sqlpool_config config = still_config(2);
    run_race(&config, SQLPOOL_WRITE, "writes.db");
}
TEST(one_write_a_period_without_groups) {
    sqlpool_config config = still_config(2);
    config.group_count = SQLPOOL_OFF;
    run_race(&config, SQLPOOL_WRITE, "alone.db");
}
TEST(one_write_a_period_in_the_general_topology) {
    sqlpool_config config = still_config(3);
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    sim_vfs.skip_sleep = 0; /* several writers of one log: SQLite sleeps between its tries */
    run_race(&config, SQLPOOL_WRITE, "general.db");
    sim_vfs.skip_sleep = 1;
}
TEST(one_read_a_period) {
    const sqlpool_config config = still_config(4);
    run_race(&config, SQLPOOL_READ, "reads.db");
}

/*---- who waits already ----*/

enum { POISON = 1000 };

typedef struct caller {
    sqlpool *pool;
    int way;
    int rc;
    bool has_run; /* a lease was given */
    sqlpool_error error;
    pthread_t thread;
} caller;

static int insert_one(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, INSERT, SQLPOOL_ARGS(attempt), NULL, NULL);
}
static void *run_caller(void *argument) {
    caller *c = (caller *)argument;
    sqlpool_conn conn;
    memset(&c->error, 0x5a, sizeof c->error);
    switch (c->way) {
    case 0:
        c->rc = sqlpool_exec(c->pool, INSERT, SQLPOOL_ARGS(7), &c->error);
        break;
    case 1:
        c->rc = sqlpool_transaction(c->pool, SQLPOOL_WRITE, insert_one, NULL, &c->error);
        break;
    case 2:
        c->rc = sqlpool_conn_acquire(c->pool, SQLPOOL_WRITE, &conn, &c->error);
        c->has_run = c->rc == SQLPOOL_OK;
        if (c->has_run) (void)sqlpool_conn_release(&conn);
        break;
    case 3:
        c->rc = sqlpool_write(c->pool, insert_one, NULL, &c->error);
        break;
    case POISON:
        c->rc = sqlpool_exec(c->pool, INSERT, SQLPOOL_ARGS(POISON), &c->error);
        break;
    default:
        c->rc = sqlpool_exec(c->pool, READ, SQLPOOL_NO_ARGS, &c->error);
        break;
    }
    return NULL;
}

/*  Callers 0 .. count - 1 wait, in that order; `way` below 0: each another one. */
static bool queue_callers(sqlpool *pool, caller *callers, int count, int way) {
    int i, tries;
    for (i = 0; i < count; i++) {
        memset(&callers[i], 0, sizeof callers[i]);
        callers[i].pool = pool;
        callers[i].way = way < 0 ? i % 4 : way;
        if (!start_thread(&callers[i].thread, run_caller, &callers[i])) return false;
        for (tries = 0; tries < 20000; tries++) {
            const sqlpool_stats stats = stats_of(pool);
            if (stats.waiting_write + stats.waiting_read == i + 1) break;
            sleep_ms(1);
        }
        if (tries == 20000) {
            test_fail(__FILE__, __LINE__, "caller %d does not wait", i);
            return false;
        }
    }
    return true;
}
static void join_callers(caller *callers, int count) {
    int i;
    for (i = 0; i < count; i++) (void)pthread_join(callers[i].thread, NULL);
}

/*  The holder of the writer fails on the disk: who waits for it hears that at once, none tries. */
static void refuse_queue(const sqlpool_config *config, int way, const char *path) {
    enum { WAITING = 8 };
    static caller callers[WAITING];
    sqlpool *pool = breaker_open(path, config);
    sqlpool_conn conn;
    uint64_t refusals;
    int i;
    CHECK(pool != NULL);
    memset(opens, 0, sizeof opens);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK(queue_callers(pool, callers, WAITING, way));
    sleep_ms(5); /* longer than barge_us: the head is due */
    fail_with(SQLITE_FULL);
    CHECK_RC(sqlpool_conn_exec(&conn, INSERT, SQLPOOL_ARGS(1), NULL, &err), SQLITE_FULL, &err);
    fail_with(SQLITE_OK);
    __atomic_store_n(&fail_runs, 0, __ATOMIC_SEQ_CST);
    refusals = stats_of(pool).breaker_refusals;
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    join_callers(callers, WAITING);
    for (i = 0; i < WAITING; i++) {
        if (callers[i].rc != SQLITE_FULL || !is_refusal(&callers[i].error) || callers[i].has_run) {
            test_fail(__FILE__, __LINE__, "caller %d of 8 (way %d) was not refused: %d: %s", i,
                      callers[i].way, callers[i].rc, callers[i].error.message);
            break;
        }
    }
    CHECK_INT(count_of(&fail_runs), 0);
    CHECK_INT(stats_of(pool).breaker_refusals - refusals, WAITING);
    CHECK_INT(stats_of(pool).breaker_write, OPEN);
    CHECK_INT(count_of(&opens[SQLPOOL_WRITE]), 1);
    CHECK_INT(stats_of(pool).waiting_write, 0);
    close_pool(pool);
}
TEST(who_waits_is_refused_at_once) {
    const sqlpool_config config = still_config(2);
    PART(refuse_queue(&config, -1, "queue.db"));
    PART(refuse_queue(&config, 0, "queue0.db"));
    PART(refuse_queue(&config, 2, "queue2.db"));
}
TEST(who_waits_is_refused_with_upkeep_and_real_time) {
    sqlpool_config config = breaker_config(2);
    config.breaker_open_ms = 60000;
    PART(refuse_queue(&config, -1, "real.db"));
}

/*  The same of readers. */
TEST(who_waits_for_a_reader_is_refused_at_once) {
    enum { WAITING = 6 };
    static caller callers[WAITING];
    sqlpool_config config = still_config(1);
    sqlpool *pool;
    sqlpool_conn conn;
    int i;
    config.breaker_failures = 1;
    pool = breaker_open("reader.db", &config);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK(queue_callers(pool, callers, WAITING, 4));
    sleep_ms(5);
    fail_with(SQLITE_IOERR_READ);
    CHECK_RC(sqlpool_conn_exec(&conn, READ, SQLPOOL_NO_ARGS, NULL, &err), SQLITE_IOERR_READ, &err);
    fail_with(SQLITE_OK);
    __atomic_store_n(&fail_runs, 0, __ATOMIC_SEQ_CST);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    join_callers(callers, WAITING);
    for (i = 0; i < WAITING; i++) {
        if (callers[i].rc != SQLITE_IOERR_READ || !is_refusal(&callers[i].error)) {
            test_fail(__FILE__, __LINE__, "caller %d of 6 was not refused: %d: %s", i,
                      callers[i].rc, callers[i].error.message);
            break;
        }
    }
    CHECK_INT(count_of(&fail_runs), 0);
    CHECK_INT(stats_of(pool).breaker_read, OPEN);
    close_pool(pool);
}

/*  Writes that open fail those that wait to write, not those that wait to read; here in one
    queue. */
TEST(readers_wait_on_when_writes_fail) {
    static caller callers[2];
    sqlpool_config config = still_config(0);
    sqlpool *pool = breaker_open("oneconn.db", &config);
    sqlpool_conn conn;
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK(queue_callers(pool, callers, 2, 4));
    fail_with(SQLITE_FULL);
    CHECK_RC(sqlpool_conn_exec(&conn, INSERT, SQLPOOL_ARGS(1), NULL, &err), SQLITE_FULL, &err);
    fail_with(SQLITE_OK);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    join_callers(callers, 2);
    CHECK_INT(callers[0].rc, SQLPOOL_OK);
    CHECK_INT(callers[1].rc, SQLPOOL_OK);
    CHECK_INT(stats_of(pool).breaker_write, OPEN);
    CHECK_INT(stats_of(pool).breaker_refusals, 0);
    close_pool(pool);
}

/*  The try waits for the writer in vain: that tells nothing, the next period brings the next
    try. */
TEST(a_try_that_waits_in_vain) {
    sqlpool_config config = still_config(2);
    static caller callers[1];
    sqlpool *pool = breaker_open("vain.db", &config);
    sqlpool_conn conn;
    int round;
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err); /* before it opens */
    fail_with(SQLITE_NOTADB);
    CHECK_RC(sqlpool_exec(pool, READ, SQLPOOL_NO_ARGS, &err), SQLITE_NOTADB, &err);
    fail_with(SQLITE_OK);
    CHECK_INT(stats_of(pool).breaker_write, OPEN);
    for (round = 0; round < 3; round++) {
        sim_clock_advance(&hand, (int64_t)1000 * 1000000);
        CHECK(queue_callers(pool, callers, 1, 0));
        CHECK_INT(stats_of(pool).breaker_write, TRYING);
        if (round == 2) break;
        {
            caller other; /* beside it nobody may try */
            memset(&other, 0, sizeof other);
            other.pool = pool;
            CHECK(start_thread(&other.thread, run_caller, &other));
            (void)pthread_join(other.thread, NULL);
            CHECK_INT(other.rc, SQLITE_NOTADB);
            CHECK(is_refusal(&other.error));
        }
        sim_clock_advance(&hand, (int64_t)120001 * 1000000); /* it has waited for long enough */
        {
            sqlpool_token token = {0}; /* wakes whoever waits, to look at the clock */
            CHECK_INT(sqlpool_cancel(pool, &token), SQLPOOL_OK);
        }
        join_callers(callers, 1);
        CHECK_INT(callers[0].rc, SQLPOOL_TIMEOUT);
        CHECK(stats_of(pool).breaker_write != CLOSED);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK); /* now it gets the writer */
    join_callers(callers, 1);
    CHECK_INT(callers[0].rc, SQLPOOL_OK);
    CHECK_INT(stats_of(pool).breaker_write, CLOSED);
    CHECK_INT(count_of(&opens[SQLPOOL_WRITE]), 1);
    CHECK_INT(count_of(&closes[SQLPOOL_WRITE]), 1);
    close_pool(pool);
}

/*  While one tries, everyone sees that it does: state 2, and the others are refused. */
TEST(while_one_tries) {
    sqlpool_config config = still_config(2);
    static caller callers[1];
    char text[8192];
    sqlpool *pool = breaker_open("trying.db", &config);
    int i;
    CHECK(pool != NULL);
    arm(SIM_VFS_WRITE, SQLITE_FULL);
    CHECK_RC(sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(1), &err), SQLITE_FULL, &err);
    sim_vfs_heal();
    sim_clock_advance(&hand, (int64_t)1000 * 1000000);
    memset(callers, 0, sizeof callers);
    callers[0].pool = pool;
    __atomic_store_n(&fail_stop, 1, __ATOMIC_SEQ_CST);
    CHECK(start_thread(&callers[0].thread, run_caller, &callers[0]));
    for (i = 0; i < 20000 && count_of(&fail_stop) != 2; i++) sleep_ms(1);
    CHECK_INT(stats_of(pool).breaker_write, TRYING);
    CHECK(sqlpool_status_text(pool, text, sizeof text) > 0);
    CHECK_HAS(text,
              "breaker      writes fail at once for 1000 ms, one tries: database or disk is full");
    CHECK(sqlpool_status_json(pool, text, sizeof text) > 0);
    CHECK_HAS(text, "\"breaker_read\":0,\"breaker_write\":2,");
    for (i = 0; i < 5; i++) {
        CHECK_RC(sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(2), &err), SQLITE_FULL, &err);
        CHECK(is_refusal(&err));
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        CHECK_OK(sqlpool_exec(pool, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &err), &err);
    }
    __atomic_store_n(&fail_stop, 0, __ATOMIC_SEQ_CST);
    (void)pthread_join(callers[0].thread, NULL);
    CHECK_INT(callers[0].rc, SQLPOOL_OK);
    CHECK_INT(stats_of(pool).breaker_write, CLOSED);
    CHECK_OK(sqlpool_exec(pool, INSERT, SQLPOOL_ARGS(2), &err), &err);
    close_pool(pool);
}

/*---- a write in a group of threads ----*/

/*  One write of eight meets an I/O error of its own; its neighbours commit after it. */
TEST(a_poison_write_among_threads) {
    enum { WAITING = 8, AT = 4 };
    static caller callers[WAITING];
    sqlpool_config config = still_config(2);
    sqlpool *pool;
    sqlpool_conn conn;
    int i;
    config.group_us = 1000000;
    pool = breaker_open("poison.db", &config);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK(queue_callers(pool, callers, 1, 0));
    /* the first one leads a group and stops in it, until those behind it have come */
    __atomic_store_n(&fail_stop, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    for (i = 0; i < 20000 && count_of(&fail_stop) != 2; i++) sleep_ms(1);
    for (i = 1; i < WAITING; i++) {
        int tries;
        memset(&callers[i], 0, sizeof callers[i]);
        callers[i].pool = pool;
        callers[i].way = i == AT ? POISON : 0;
        CHECK(start_thread(&callers[i].thread, run_caller, &callers[i]));
        for (tries = 0; tries < 20000 && stats_of(pool).waiting_write != i; tries++) sleep_ms(1);
    }
    CHECK_INT(stats_of(pool).waiting_write, WAITING - 1);
    __atomic_store_n(&fail_only, POISON, __ATOMIC_SEQ_CST);
    fail_with(SQLITE_IOERR_READ);
    __atomic_store_n(&fail_stop, 0, __ATOMIC_SEQ_CST);
    join_callers(callers, WAITING);
    for (i = 0; i < WAITING; i++) {
        CHECK_INT(callers[i].rc, i == AT ? SQLITE_IOERR_READ : SQLPOOL_OK);
        CHECK_INT(callers[i].error.outcome,
                  i == AT ? SQLPOOL_OUTCOME_NOT_COMMITTED : SQLPOOL_OUTCOME_COMMITTED);
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), WAITING - 1);
    CHECK(stats_of(pool).replayed > 0);
    CHECK_INT(stats_of(pool).breaker_write, CLOSED);
    CHECK_INT(count_of(&opens[SQLPOOL_WRITE]), count_of(&closes[SQLPOOL_WRITE]));
    close_pool(pool);
}

/*---- submitted writes ----*/

enum { JOBS = 64 };
static struct {
    int count; /* atomic */
    int result, outcome;
    char message[1024];
} done[JOBS];
static void on_done(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    const int at = (int)(intptr_t)user;
    (void)result;
    done[at].result = error->result;
    done[at].outcome = error->outcome;
    memcpy(done[at].message, error->message, sizeof done[at].message);
    __atomic_fetch_add(&done[at].count, 1, __ATOMIC_SEQ_CST);
}
static void submit_jobs(sqlpool *pool, int from, int to) {
    int i;
    for (i = from; i < to; i++) {
        sqlpool_submission submission;
        memset(&submission, 0, sizeof submission);
        submission.done_fn = on_done;
        submission.user = (void *)(intptr_t)i;
        CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, INSERT, SQLPOOL_ARGS(i), &err), &err);
    }
}

/*  The pool's own thread runs them: those behind the first that fails are refused, each is told
    once, and after the period they go well again. */
TEST(submitted_writes_hear_of_it) {
    sqlpool_config config = breaker_config(2);
    sqlpool_ticket ticket;
    sqlpool *pool;
    int i;
    config.group_count = 4;
    config.breaker_open_ms = 60000;
    config.clock = sim_clock_hooks(&hand);
    pool = breaker_open("submit.db", &config);
    CHECK(pool != NULL);
    memset(done, 0, sizeof done);
    PART(submit_jobs(pool, 0, 8));
    CHECK_OK(sqlpool_flush(pool, 0, &err), &err);
    for (i = 0; i < 8; i++) CHECK_INT(done[i].result, SQLPOOL_OK);
    arm(SIM_VFS_WRITE, SQLITE_FULL);
    PART(submit_jobs(pool, 8, JOBS / 2));
    CHECK_OK(sqlpool_flush(pool, 0, &err), &err);
    CHECK_INT(stats_of(pool).breaker_write, OPEN);
    for (i = 8; i < JOBS / 2; i++) {
        CHECK_INT(count_of(&done[i].count), 1);
        CHECK_INT(done[i].result, SQLITE_FULL);
        CHECK(done[i].outcome == SQLPOOL_OUTCOME_NOT_COMMITTED ||
              done[i].outcome == SQLPOOL_OUTCOME_UNKNOWN);
    }
    CHECK_INT(done[JOBS / 2 - 1].outcome, SQLPOOL_OUTCOME_NOT_COMMITTED); /* refused */
    {
        const uint64_t writes = sim_vfs.kind_calls[SIM_VFS_WRITE];
        CHECK_OK(sqlpool_submit(pool, &ticket, INSERT, SQLPOOL_ARGS(1), &err), &err);
        CHECK_RC(sqlpool_ticket_wait(&ticket, 0, NULL, &err), SQLITE_FULL, &err);
        CHECK(is_refusal(&err));
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
        CHECK_INT(sim_vfs.kind_calls[SIM_VFS_WRITE], writes);
    }
    sim_vfs_heal();
    sim_clock_advance(&hand, (int64_t)60000 * 1000000);
    PART(submit_jobs(pool, JOBS / 2, JOBS));
    CHECK_OK(sqlpool_flush(pool, 0, &err), &err);
    for (i = JOBS / 2; i < JOBS; i++) {
        CHECK_INT(count_of(&done[i].count), 1);
        if (done[i].result == SQLPOOL_OK) continue;
        test_fail(__FILE__, __LINE__, "job %d: %d: %s", i, done[i].result, done[i].message);
        break;
    }
    CHECK_INT(stats_of(pool).breaker_write, CLOSED);
    close_pool(pool);
    for (i = 0; i < JOBS; i++) CHECK_INT(count_of(&done[i].count), 1);
}

/*  The pool is closed while writes are queued and the breaker is open: each is told once, then it
    is over; a waiting ticket too. */
TEST(closing_with_an_open_breaker) {
    int round;
    for (round = 0; round < 6; round++) {
        sqlpool_config config = breaker_config(2);
        sqlpool *pool;
        sqlpool_conn conn;
        int i;
        config.breaker_open_ms = round % 2 == 0 ? 60000 : 1;
        config.disable_upkeep_thread = round >= 4;
        pool = breaker_open("closing.db", &config);
        CHECK(pool != NULL);
        memset(done, 0, sizeof done);
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
        PART(submit_jobs(pool, 0, JOBS));
        fail_with(SQLITE_FULL);
        CHECK_RC(sqlpool_conn_exec(&conn, INSERT, SQLPOOL_ARGS(1), NULL, &err), SQLITE_FULL, &err);
        fail_with(round / 2 == 0 ? SQLITE_FULL : SQLITE_OK);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        close_pool(pool);
        for (i = 0; i < JOBS; i++) {
            CHECK_INT(count_of(&done[i].count), 1);
            CHECK(done[i].result == SQLITE_FULL ||
                  (round / 2 != 0 && done[i].result == SQLPOOL_OK));
            CHECK_INT(done[i].outcome, done[i].result == SQLPOOL_OK
                                           ? SQLPOOL_OUTCOME_COMMITTED
                                           : SQLPOOL_OUTCOME_NOT_COMMITTED);
        }
    }
}

/*---- a disk that comes and goes ----*/

typedef struct storm {
    sqlpool *pool;
    int stop;           /* atomic */
    int64_t written;    /* atomic; rows that are certain */
    int64_t unknown;    /* atomic; rows that are not */
    int64_t reads; /* atomic */
} storm;

static void *run_writer(void *argument) {
    storm *s = (storm *)argument;
    sqlpool_error error;
    while (!__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) {
        const int rc = sqlpool_exec(s->pool, INSERT, SQLPOOL_ARGS(1), &error);
        if (rc == SQLPOOL_OK) {
            __atomic_fetch_add(&s->written, 1, __ATOMIC_SEQ_CST);
        } else if (error.outcome == SQLPOOL_OUTCOME_UNKNOWN) {
            __atomic_fetch_add(&s->unknown, 1, __ATOMIC_SEQ_CST);
        } else if (error.outcome != SQLPOOL_OUTCOME_NOT_COMMITTED || error.message[0] == '\0' ||
                   error.result != rc) {
            test_fail(__FILE__, __LINE__, "write: %d, outcome %d: %s", rc, error.outcome,
                      error.message);
        }
    }
    return NULL;
}
static void *run_reader(void *argument) {
    storm *s = (storm *)argument;
    sqlpool_error error;
    while (!__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) {
        char text[4096];
        if (sqlpool_exec(s->pool, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &error) != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "read: %s", error.message);
        (void)sqlpool_status_text(s->pool, text, sizeof text);
        __atomic_fetch_add(&s->reads, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/*  The disk fails and is mended, again and again, under eight threads: no row is lost or made up,
    reads never fail, every change is told once, and in the end all is well. */
TEST(a_disk_that_comes_and_goes) {
    enum { WRITERS = 6, READERS = 2 };
    sqlpool_config config = breaker_config(3);
    static storm s;
    pthread_t threads[WRITERS + READERS];
    sqlpool_stats stats;
    int64_t rows;
    int i;
    memset(&s, 0, sizeof s);
    config.retry_attempts = 0;
    config.breaker_open_ms = 2;
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    config.wal_budget_bytes = (int64_t)1 << 40; /* a checkpoint's faults are another matter */
    sim_vfs.skip_sleep = 0; /* readers wait for those who recover the log, as in life */
    s.pool = breaker_open("storm.db", &config);
    CHECK(s.pool != NULL);
    for (i = 0; i < READERS; i++) CHECK(start_thread(&threads[WRITERS + i], run_reader, &s));
    for (i = 0; i < WRITERS; i++) CHECK(start_thread(&threads[i], run_writer, &s));
    for (i = 0; i < 20; i++) {
        arm(i % 2 == 0 ? SIM_VFS_SYNC : SIM_VFS_WRITE, 0);
        sleep_ms(5);
        sim_vfs_heal();
        sleep_ms(8);
    }
    __atomic_store_n(&s.stop, 1, __ATOMIC_SEQ_CST);
    for (i = 0; i < WRITERS + READERS; i++) (void)pthread_join(threads[i], NULL);
    sleep_ms(3);
    CHECK_OK(sqlpool_exec(s.pool, INSERT, SQLPOOL_ARGS(1), &err), &err);
    s.written++;
    stats = stats_of(s.pool);
    CHECK(s.reads > 0);
    CHECK_INT(stats.breaker_write, CLOSED);
    CHECK_INT(stats.breaker_read, CLOSED);
    CHECK(stats.breaker_opens > 0);
    CHECK_INT(count_of(&opens[SQLPOOL_WRITE]), stats.breaker_opens);
    CHECK_INT(count_of(&closes[SQLPOOL_WRITE]), stats.breaker_opens);
    CHECK_INT(count_of(&opens[SQLPOOL_READ]), 0);
    rows = ask(s.pool, "SELECT count(*) FROM t");
    if (rows < s.written || rows > s.written + s.unknown)
        test_fail(__FILE__, __LINE__, "%lld rows, %lld written, %lld unknown", (long long)rows,
                  (long long)s.written, (long long)s.unknown);
    close_pool(s.pool);
    sim_vfs.skip_sleep = 1;
}

/*---- a delay before the next try ----*/

static int fail_busily(sqlpool_conn *conn, void *user, int attempt) {
    (void)conn, (void)user, (void)attempt;
    return SQLITE_BUSY_SNAPSHOT;
}
typedef struct patient {
    sqlpool *pool;
    sqlpool_token token;
    int rc;
    int has_ended; /* atomic */
    pthread_t thread;
} patient;
static void *run_patient(void *argument) {
    patient *p = (patient *)argument;
    sqlpool_call call;
    memset(&call, 0, sizeof call);
    call.token = &p->token;
    p->rc = sqlpool_transaction_with(p->pool, &call, SQLPOOL_WRITE, fail_busily, NULL, NULL);
    __atomic_store_n(&p->has_ended, 1, __ATOMIC_SEQ_CST);
    return NULL;
}
static int retries_begun; /* atomic */
static void on_retry(void *user, int attempt, int code, int64_t delay_us) {
    (void)user, (void)attempt, (void)code, (void)delay_us;
    __atomic_fetch_add(&retries_begun, 1, __ATOMIC_SEQ_CST);
}
static int is_morning; /* atomic; ends every sleep */
static void sleep_until_morning(void *user, int64_t ns) {
    int64_t left_ms = ns / 1000000;
    (void)user;
    for (; left_ms > 0 && !count_of(&is_morning); left_ms--) sleep_ms(1);
}

/*  A call that waits for its next try is a call that waits: sqlpool_cancel() ends that at once.
    Here the delay ends when the test says so. */
TEST(cancellation_wakes_who_waits_for_the_next_try) {
    sqlpool_config config = breaker_config(1);
    static patient p;
    int i;
    config.disable_upkeep_thread = true;
    config.clock = sim_clock_hooks(&hand);
    config.clock.sleep_ns_fn = sleep_until_morning;
    config.retry_attempts = 2;
    config.retry_base_us = config.retry_cap_us = 60000000; /* the longest */
    config.retry_jitter = SQLPOOL_JITTER_NONE;
    config.events.retry_fn = on_retry;
    memset(&p, 0, sizeof p);
    p.pool = breaker_open("patient.db", &config);
    CHECK(p.pool != NULL);
    __atomic_store_n(&retries_begun, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&is_morning, 0, __ATOMIC_SEQ_CST);
    CHECK(start_thread(&p.thread, run_patient, &p));
    for (i = 0; i < 20000 && count_of(&retries_begun) == 0; i++) sleep_ms(1);
    sleep_ms(20);
    CHECK_INT(sqlpool_cancel(p.pool, &p.token), SQLPOOL_OK);
    for (i = 0; i < 5000 && !count_of(&p.has_ended); i++) sleep_ms(1);
    if (!count_of(&p.has_ended)) test_fail(__FILE__, __LINE__, "cancelled, and it still waits");
    __atomic_store_n(&is_morning, 1, __ATOMIC_SEQ_CST);
    (void)pthread_join(p.thread, NULL);
    CHECK_INT(count_of(&retries_begun), 1);
    CHECK_INT(p.rc, SQLPOOL_CANCELLED);
    close_pool(p.pool);
}

int main(void) {
    sim_vfs.skip_sync = sim_vfs.skip_sleep = 1;
    if (sim_vfs_install() != SQLITE_OK) return 1;
    RUN(one_write_a_period);
    RUN(one_write_a_period_without_groups);
    RUN(one_write_a_period_in_the_general_topology);
    RUN(one_read_a_period);
    RUN(who_waits_is_refused_at_once);
    RUN(who_waits_is_refused_with_upkeep_and_real_time);
    RUN(who_waits_for_a_reader_is_refused_at_once);
    RUN(readers_wait_on_when_writes_fail);
    RUN(a_try_that_waits_in_vain);
    RUN(while_one_tries);
    RUN(a_poison_write_among_threads);
    RUN(submitted_writes_hear_of_it);
    RUN(closing_with_an_open_breaker);
    RUN(a_disk_that_comes_and_goes);
    RUN(cancellation_wakes_who_waits_for_the_next_try);
    return test_end();
}
