/*  retry.c - white box: how often a call is tried, after which delays, and who says so (I15).
    SPDX-License-Identifier: MIT OR Unlicense

    Time is virtual: a delay is a number to compare. The SQL function fail(v) fails with the next
    code of a list and returns v when the list is empty, so that every code of SQLite can be had
    anywhere. */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "unit.h"

/*---- the function that fails, and who watches ----*/

enum { MOST = 128, BUSY_SNAPSHOT = SQLITE_BUSY_SNAPSHOT };

static struct {
    int codes[MOST];
    int count, at; /* of them */
    int runs;      /* calls of fail() and of transaction functions */
} plan;

static void will_fail(int count, int code) {
    int i;
    plan.count = count < MOST ? count : MOST;
    plan.at = plan.runs = 0;
    for (i = 0; i < plan.count; i++) plan.codes[i] = code;
}
static int next_code(void) {
    plan.runs++;
    return plan.at < plan.count ? plan.codes[plan.at++] : SQLITE_OK;
}
static void fail_function(sqlite3_context *context, int count, sqlite3_value **values) {
    const int code = next_code();
    (void)count;
    if (code == SQLITE_OK) {
        sqlite3_result_value(context, values[0]);
    } else {
        sqlite3_result_error_code(context, code);
    }
}
static int add_fail(void *user, const sqlpool_conn *conn) {
    (void)user;
    return unit_add_function(conn, "fail", 1, fail_function);
}

static struct {
    int count; /* calls of retry_fn */
    int attempts[MOST], codes[MOST];
    int64_t delays[MOST];
    sqlpool *pool; /* to cancel in */
    sqlpool_token *token;
    int asked; /* calls of retryable_fn */
    int asked_codes[MOST], opinions[MOST];
    int answer_for, answer; /* for that code; for the others the library's */
} seen;

static void on_retry(void *user, int attempt, int code, int64_t delay_us) {
    (void)user;
    if (seen.count < MOST) {
        seen.attempts[seen.count] = attempt;
        seen.codes[seen.count] = code;
        seen.delays[seen.count] = delay_us;
    }
    seen.count++;
    if (seen.token != NULL) (void)sqlpool_cancel(seen.pool, seen.token);
}
static int on_retryable(void *user, int code, int is_retryable) {
    (void)user;
    if (seen.asked < MOST) {
        seen.asked_codes[seen.asked] = code;
        seen.opinions[seen.asked] = is_retryable;
    }
    seen.asked++;
    return code == seen.answer_for ? seen.answer : is_retryable;
}
static void forget(void) {
    memset(&seen, 0, sizeof seen);
}
/*  From now on this code is tried again, or not. */
static void answer(int code, int value) {
    forget();
    seen.answer_for = code;
    seen.answer = value;
}

/*---- pools ----*/

static sqlpool_config retry_config(unit_pool *u) {
    sqlpool_config config = unit_config(u, 1);
    config.retry_jitter = SQLPOOL_JITTER_NONE;
    config.retry_budget_percent = SQLPOOL_OFF;
    config.breaker_open_ms = SQLPOOL_OFF;
    config.events.connect_fn = add_fail;
    config.events.retry_fn = on_retry;
    forget();
    will_fail(0, 0);
    return config;
}
static void retry_open(unit_pool *u, const char *path, const sqlpool_config *config) {
    unit_open_new(u, path, config, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
}
static void retry_begin(unit_pool *u, const char *path) {
    const sqlpool_config config = retry_config(u);
    retry_open(u, path, &config);
}
static int64_t counted(unit_pool *u, int counter) {
    return (int64_t)sqlpool__counter(u->core, counter);
}
#define COUNTED(u, name) counted((u), SQLPOOL__COUNT_##name)

static int64_t began_ns; /* the call that is looked at */

/*  These delays and no others, slept in full and told to everyone. */
static void check_delays(unit_pool *u, const int64_t *delays, int count, int code) {
    int64_t sum = 0;
    int i;
    if (seen.count != count) {
        test_fail(__FILE__, __LINE__, "%d retries, expected %d", seen.count, count);
        return;
    }
    for (i = 0; i < count; i++) {
        if (seen.delays[i] != delays[i] || seen.attempts[i] != i + 1 || seen.codes[i] != code)
            test_fail(__FILE__, __LINE__,
                      "retry %d: attempt %d, code %d, %lld us; expected code %d, %lld us", i,
                      seen.attempts[i], seen.codes[i], (long long)seen.delays[i], code,
                      (long long)delays[i]);
        sum += delays[i];
    }
    CHECK_INT(u->error.attempts, count + 1);
    CHECK_INT(u->error.waited_us, sum);
    CHECK_INT(u->clock.now_ns - began_ns, sum * 1000);
    CHECK_INT(plan.runs, count + 1);
}

/*  A read that fails with this code for ever. */
static void read_busily(unit_pool *u, const sqlpool_call *call) {
    forget();
    will_fail(MOST, SQLITE_BUSY);
    began_ns = u->clock.now_ns;
    CHECK_INT(sqlpool_exec_with(u->pool, call, NULL, "SELECT fail(1)", SQLPOOL_NO_ARGS, &u->error),
              SQLITE_BUSY);
    CHECK_INT(u->error.result, SQLITE_BUSY);
    CHECK_HAS(u->error.message, "SQLITE_BUSY");
    CHECK_INT(u->error.outcome, SQLPOOL_OUTCOME_NONE);
}
static sqlpool_call call_of(int timeout_ms, int attempts) {
    sqlpool_call call = unit_call(timeout_ms);
    call.attempts = attempts;
    return call;
}

/*---- presets, exactly ----*/

TEST(presets) {
    static const struct {
        int preset, attempts, total_ms;
        int64_t delays[12]; /* up to 0 */
    } table[] = {
        {SQLPOOL_RETRY_LOCAL, 0, 0, {1000, 2000, 4000, 8000}},
        {SQLPOOL_RETRY_LOCAL,
         11,
         0,
         {1000, 2000, 4000, 8000, 16000, 32000, 64000, 100000, 100000, 100000}},
        {SQLPOOL_RETRY_DATABASE, 0, 0, {500000, 1000000}},
        {SQLPOOL_RETRY_DATABASE,
         8,
         0,
         {500000, 1000000, 2000000, 4000000, 5000000, 5000000, 5000000}},
        {SQLPOOL_RETRY_TRANSACTION, 0, 0, {100000, 200000, 400000, 800000}},
        {SQLPOOL_RETRY_TRANSACTION,
         8,
         0,
         {100000, 200000, 400000, 800000, 1600000, 2000000, 2000000}},
        {SQLPOOL_RETRY_FAILOVER, 0, 0, {100000, 500000, 2000000}},
        /* the last of the schedule again, but no more than 5 s of delays */
        {SQLPOOL_RETRY_FAILOVER, 100, 0, {100000, 500000, 2000000, 2000000}},
        {SQLPOOL_RETRY_FAILOVER, 6, SQLPOOL_OFF, {100000, 500000, 2000000, 2000000, 2000000}},
        {SQLPOOL_RETRY_FAILOVER, 2, 0, {100000}},
        {SQLPOOL_RETRY_LOCAL, 1, 0, {0}},
    };
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        unit_pool u;
        sqlpool_config config = retry_config(&u), resolved;
        int count = 0;
        config.retry_preset = table[i].preset;
        config.retry_attempts = table[i].attempts;
        config.retry_total_ms = table[i].total_ms;
        PART(retry_open(&u, "preset.db", &config));
        while (table[i].delays[count] != 0) count++;
        PART(read_busily(&u, NULL));
        PART(check_delays(&u, table[i].delays, count, SQLITE_BUSY));
        CHECK_INT(COUNTED(&u, retries), count);
        CHECK_INT(COUNTED(&u, retry_refusals), 0);
        CHECK_INT(u.log.counts[SQLPOOL_LOG_RETRY], count);
        CHECK_INT(u.log.errors, 1); /* the call failed once, whatever its tries did */
        CHECK_OK(sqlpool_config_resolved(u.pool, &resolved), &u.error);
        CHECK_INT(resolved.retry_preset, table[i].preset);
        if (table[i].total_ms == 0)
            CHECK_INT(resolved.retry_total_ms,
                      table[i].preset == SQLPOOL_RETRY_FAILOVER ? 5000 : SQLPOOL_OFF);
        if (table[i].attempts == 0) CHECK_INT(resolved.retry_attempts, count + 1);
        unit_close(&u);
    }
}

TEST(settings_stand_above_the_preset) {
    static const int64_t wanted[] = {3000, 4500, 6750, 7000, 7000};
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    config.retry_preset = SQLPOOL_RETRY_DATABASE;
    config.retry_attempts = 6;
    config.retry_base_us = 3000;
    config.retry_cap_us = 7000;
    config.retry_multiplier_percent = 150;
    PART(retry_open(&u, "above.db", &config));
    PART(read_busily(&u, NULL));
    PART(check_delays(&u, wanted, 5, SQLITE_BUSY));
    unit_close(&u);
}

TEST(multiplier_of_100_is_a_constant_delay) {
    static const int64_t wanted[] = {1000, 1000, 1000, 1000};
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    config.retry_multiplier_percent = 100;
    PART(retry_open(&u, "constant.db", &config));
    PART(read_busily(&u, NULL));
    PART(check_delays(&u, wanted, 4, SQLITE_BUSY));
    unit_close(&u);
}

/*---- schedules ----*/

TEST(schedule) {
    static const int64_t wanted[] = {100000, 500000, 2000000, 2000000, 2000000, 2000000};
    static const int attempts[] = {0, 1, 2, 3, 4, 5, 7};
    size_t i;
    for (i = 0; i < LENGTH(attempts); i++) {
        int schedule[] = {100000, 500000, 2000000};
        const int count = attempts[i] == 0 ? 3 : attempts[i] - 1;
        unit_pool u;
        sqlpool_config config = retry_config(&u), resolved;
        config.retry_schedule_us = schedule;
        config.retry_schedule_count = 3;
        config.retry_attempts = attempts[i];
        config.retry_jitter = (int)i % 4; /* none of them touches a schedule */
        config.retry_base_us = 77;
        config.retry_cap_us = 78;
        PART(retry_open(&u, "schedule.db", &config));
        schedule[0] = schedule[1] = schedule[2] = 7; /* it was copied */
        u.random.draws = 0;
        PART(read_busily(&u, NULL));
        PART(check_delays(&u, wanted, count, SQLITE_BUSY));
        CHECK_INT(u.random.draws, 0);
        CHECK_OK(sqlpool_config_resolved(u.pool, &resolved), &u.error);
        CHECK_INT(resolved.retry_attempts, count + 1);
        CHECK_INT(resolved.retry_schedule_count, 3);
        CHECK(resolved.retry_schedule_us != schedule);
        CHECK_INT(resolved.retry_schedule_us[2], 2000000);
        unit_close(&u);
    }
}

TEST(schedule_with_zeros_and_of_one) {
    static const int64_t zeros[] = {0, 0, 5};
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    int schedule[] = {0, 0, 5};
    sqlpool_call call = call_of(0, 100);
    config.retry_schedule_us = schedule;
    config.retry_schedule_count = 3;
    PART(retry_open(&u, "zeros.db", &config));
    PART(read_busily(&u, NULL));
    PART(check_delays(&u, zeros, 3, SQLITE_BUSY));
    unit_close(&u);
    schedule[0] = 4;
    config = retry_config(&u);
    config.retry_schedule_us = schedule;
    config.retry_schedule_count = 1;
    PART(retry_open(&u, "one.db", &config));
    PART(read_busily(&u, &call)); /* all hundred tries of the call wait for the one delay */
    CHECK_INT(seen.count, 99);
    CHECK_INT(u.clock.now_ns - began_ns, 99 * 4000);
    PART(read_busily(&u, NULL));
    CHECK_INT(seen.count, 1);
    unit_close(&u);
}

TEST(longest_schedule) {
    static int schedule[99];
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    int i;
    for (i = 0; i < 99; i++) schedule[i] = i + 1;
    config.retry_schedule_us = schedule;
    config.retry_schedule_count = 99;
    PART(retry_open(&u, "longest.db", &config));
    PART(read_busily(&u, NULL));
    CHECK_INT(seen.count, 99);
    for (i = 0; i < 99; i++) CHECK_INT(seen.delays[i], i + 1);
    unit_close(&u);
}

/*  A schedule of one's own in place of FAILOVER's; its limit of 5 s stays unless it is set. */
TEST(schedule_instead_of_the_presets) {
    static const int64_t wanted[] = {3000000, 1500000};
    const int schedule[] = {3000000, 1500000, 1000000};
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    config.retry_preset = SQLPOOL_RETRY_FAILOVER;
    config.retry_schedule_us = schedule;
    config.retry_schedule_count = 3;
    PART(retry_open(&u, "instead.db", &config));
    PART(read_busily(&u, NULL));
    PART(check_delays(&u, wanted, 2, SQLITE_BUSY));
    unit_close(&u);
}

/*---- jitter ----*/

/*  What random numbers make of the delays 1, 2, 4 and 8 ms. */
TEST(jitter_with_scripted_random) {
    static const uint64_t zeros[] = {0, 0, 0, 0},
                          most[] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
                          ends[] = {1000, 2000, 4000, 8000}, over[] = {1001, 2001, 4001, 8001},
                          halves[] = {500, 1000, 2000, 4000}, thrice[] = {2000, 8000, 26000, 80000};
    static const struct {
        int jitter;
        const uint64_t *script;
        int64_t delays[4];
    } table[] = {
        {SQLPOOL_JITTER_FULL, zeros, {0, 0, 0, 0}},
        {SQLPOOL_JITTER_FULL, ends, {1000, 2000, 4000, 8000}}, /* the bound itself */
        {SQLPOOL_JITTER_FULL, over, {0, 0, 0, 0}},
        {SQLPOOL_JITTER_EQUAL, zeros, {500, 1000, 2000, 4000}},
        {SQLPOOL_JITTER_EQUAL, halves, {1000, 2000, 4000, 8000}},
        {SQLPOOL_JITTER_NONE, zeros, {1000, 2000, 4000, 8000}},
        {SQLPOOL_JITTER_NONE, most, {1000, 2000, 4000, 8000}},
        {SQLPOOL_JITTER_DECORRELATED, zeros, {1000, 1000, 1000, 1000}},
        {SQLPOOL_JITTER_DECORRELATED, thrice, {3000, 9000, 27000, 81000}}, /* three times, each */
        /* 2^64 - 1 = 615 modulo 1001, 2001, 4001 and 8001 */
        {SQLPOOL_JITTER_FULL, most, {-1, -1, -1, -1}},
        {SQLPOOL_JITTER_EQUAL, most, {-1, -1, -1, -1}},
        {SQLPOOL_JITTER_DECORRELATED, most, {-1, -1, -1, -1}},
    };
    static const int64_t bounds[] = {1000, 2000, 4000, 8000};
    size_t i;
    int k;
    for (i = 0; i < LENGTH(table); i++) {
        unit_pool u;
        sqlpool_config config = retry_config(&u);
        int64_t wanted[4], last = 1000;
        config.retry_jitter = table[i].jitter;
        PART(retry_open(&u, "jitter.db", &config));
        u.random.script = table[i].script;
        u.random.script_count = 4;
        u.random.draws = 0;
        PART(read_busily(&u, NULL));
        CHECK_INT(seen.count, 4);
        for (k = 0; k < 4; k++) {
            wanted[k] = table[i].delays[k];
            if (wanted[k] < 0 && table[i].jitter == SQLPOOL_JITTER_FULL) {
                wanted[k] = (int64_t)(UINT64_MAX % (uint64_t)(bounds[k] + 1));
            } else if (wanted[k] < 0 && table[i].jitter == SQLPOOL_JITTER_EQUAL) {
                wanted[k] = bounds[k] / 2 + (int64_t)(UINT64_MAX % (uint64_t)(bounds[k] / 2 + 1));
            } else if (wanted[k] < 0) {
                wanted[k] = 1000 + (int64_t)(UINT64_MAX % (uint64_t)(3 * last - 1000 + 1));
            }
            last = wanted[k];
        }
        PART(check_delays(&u, wanted, 4, SQLITE_BUSY));
        unit_close(&u);
    }
}

/*  The cap bounds the decorrelated delay, and the next one begins from it. */
TEST(decorrelated_jitter_is_capped) {
    static const uint64_t script[] = {2000, 8000, 14000, 0, 2000};
    static const int64_t wanted[] = {3000, 5000, 5000, 1000, 3000};
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    config.retry_attempts = 6;
    config.retry_cap_us = 5000;
    config.retry_jitter = SQLPOOL_JITTER_DECORRELATED;
    PART(retry_open(&u, "capped.db", &config));
    u.random.script = script;
    u.random.script_count = 5;
    u.random.draws = 0;
    PART(read_busily(&u, NULL));
    PART(check_delays(&u, wanted, 5, SQLITE_BUSY));
    unit_close(&u);
}

/*  Any random numbers: within the bounds, and all over them. */
TEST(jitter_within_its_bounds) {
    static const int jitters[] = {SQLPOOL_JITTER_FULL, SQLPOOL_JITTER_EQUAL, SQLPOOL_JITTER_NONE,
                                  SQLPOOL_JITTER_DECORRELATED};
    const uint64_t seed = sim_seed();
    size_t i;
    printf("# seed %llu\n", (unsigned long long)seed);
    for (i = 0; i < LENGTH(jitters); i++) {
        unit_pool u;
        sqlpool_config config = retry_config(&u);
        int call, k, low = 0, high = 0, total = 0;
        config.retry_attempts = 9;
        config.retry_cap_us = 20000;
        config.retry_jitter = jitters[i];
        PART(retry_open(&u, "bounds.db", &config));
        u.random.state = seed;
        for (call = 0; call < 300; call++) {
            int64_t delay = 1000, last = 1000;
            PART(read_busily(&u, NULL));
            CHECK_INT(seen.count, 8);
            for (k = 0; k < 8; k++) {
                int64_t least = 0, most = delay < 20000 ? delay : 20000;
                if (jitters[i] == SQLPOOL_JITTER_EQUAL) least = most / 2;
                if (jitters[i] == SQLPOOL_JITTER_NONE) least = most;
                if (jitters[i] == SQLPOOL_JITTER_DECORRELATED) {
                    least = 1000;
                    most = 3 * last < 20000 ? 3 * last : 20000;
                }
                if (seen.delays[k] < least || seen.delays[k] > most) {
                    test_fail(__FILE__, __LINE__, "jitter %d, try %d: %lld is not in %lld .. %lld",
                              jitters[i], k + 1, (long long)seen.delays[k], (long long)least,
                              (long long)most);
                    return;
                }
                low += seen.delays[k] <= least + (most - least) / 10;
                high += seen.delays[k] >= most - (most - least) / 10;
                total++;
                last = seen.delays[k];
                delay *= 2;
            }
        }
        if (jitters[i] != SQLPOOL_JITTER_NONE) { /* a tenth of them at each end, or more */
            CHECK(low > total / 20);
            CHECK(high > total / 20);
        }
        unit_close(&u);
    }
}

/*---- what ends the tries ----*/

TEST(all_delays_together_stay_within_retry_total_ms) {
    static const int64_t wanted[] = {1000, 2000, 4000, 8000};
    static const struct {
        int total_ms, count;
    } table[] = {{1, 1}, {2, 1}, {3, 2}, {6, 2}, {7, 3}, {14, 3}, {15, 4}, {16, 4}, {1000, 4}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        unit_pool u;
        sqlpool_config config = retry_config(&u);
        config.retry_total_ms = table[i].total_ms;
        PART(retry_open(&u, "total.db", &config));
        PART(read_busily(&u, NULL));
        PART(check_delays(&u, wanted, table[i].count, SQLITE_BUSY));
        PART(read_busily(&u, NULL)); /* of one call: the next has as much */
        PART(check_delays(&u, wanted, table[i].count, SQLITE_BUSY));
        unit_close(&u);
    }
}

/*  No sleep that would end at the deadline or after it: the call returns early, with its error. */
TEST(the_deadline_ends_the_tries) {
    static const int64_t wanted[] = {1000, 2000, 4000, 8000};
    static const struct {
        int timeout_ms, count;
    } table[] = {{1, 0}, {2, 1}, {3, 1}, {4, 2}, {7, 2}, {8, 3}, {15, 3}, {16, 4}, {1000, 4}};
    unit_pool u;
    size_t i;
    PART(retry_begin(&u, "deadline.db"));
    for (i = 0; i < LENGTH(table); i++) {
        const sqlpool_call call = call_of(table[i].timeout_ms, 0);
        const int64_t start = u.clock.now_ns;
        sqlpool_conn conn;
        PART(read_busily(&u, &call));
        PART(check_delays(&u, wanted, table[i].count, SQLITE_BUSY));
        CHECK(u.clock.now_ns - start < table[i].timeout_ms * MS);
        /* the same on a lease, whose deadline is for all its calls */
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
        CHECK_OK(sqlpool_conn_set_timeout(&conn, table[i].timeout_ms), &u.error);
        forget();
        will_fail(MOST, SQLITE_BUSY);
        CHECK_INT(unit_exec_on(&u, &conn, "SELECT fail(1)"), SQLITE_BUSY);
        CHECK_INT(seen.count, table[i].count);
        CHECK_OK(sqlpool_conn_release(&conn), &u.error);
    }
    unit_close(&u);
}

/*  What a call waits for a connection comes out of the same deadline. */
TEST(one_deadline_for_all_tries) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    const sqlpool_call call = call_of(100, 100);
    int64_t start;
    config.retry_base_us = 30000;
    config.retry_multiplier_percent = 100;
    PART(retry_open(&u, "phases.db", &config));
    start = u.clock.now_ns;
    u.clock.step_ns = 1000; /* work takes time too */
    PART(read_busily(&u, &call));
    CHECK_INT(seen.count, 3);
    CHECK(u.clock.now_ns - start < 100 * MS);
    u.clock.step_ns = 0;
    unit_close(&u);
}

TEST(attempts_of_a_call) {
    static const int attempts[] = {1, 2, 3, 5, 9, 100};
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    sqlpool_call call;
    size_t i;
    config.retry_base_us = 1;
    PART(retry_open(&u, "attempts.db", &config));
    for (i = 0; i < LENGTH(attempts); i++) {
        call = call_of(0, attempts[i]);
        PART(read_busily(&u, &call));
        CHECK_INT(seen.count, attempts[i] - 1);
        CHECK_INT(u.error.attempts, attempts[i]);
    }
    call = call_of(0, 0);
    PART(read_busily(&u, &call));
    CHECK_INT(seen.count, 4); /* of the configuration */
    call = call_of(0, -1);
    CHECK_INT(sqlpool_exec_with(u.pool, &call, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &u.error),
              SQLPOOL_MISUSE);
    CHECK_HAS(u.error.message, "attempts -1");
    unit_close(&u);
}

/*  A cancelled call tries no more: neither when the flag fell before the delay nor in it. */
TEST(cancellation_ends_the_tries) {
    unit_pool u;
    sqlpool_token token = {0};
    sqlpool_call call = call_of(0, 0);
    PART(retry_begin(&u, "cancel.db"));
    call.token = &token;
    forget();
    seen.pool = u.pool;
    seen.token = &token;
    will_fail(MOST, SQLITE_BUSY);
    CHECK_INT(sqlpool_exec_with(u.pool, &call, NULL, "SELECT fail(1)", SQLPOOL_NO_ARGS, &u.error),
              SQLPOOL_CANCELLED);
    CHECK_INT(seen.count, 1);
    CHECK_INT(plan.runs, 1);
    CHECK_INT(u.error.attempts, 2);
    unit_close(&u);
}

/*  The error of a call that went well in the end says so. */
TEST(success_after_tries) {
    unit_pool u;
    sqlpool_result result;
    PART(retry_begin(&u, "success.db"));
    will_fail(3, SQLITE_BUSY);
    CHECK_OK(unit_exec(&u, "SELECT fail(7)"), &u.error);
    CHECK_INT(u.error.result, SQLPOOL_OK);
    CHECK_STR(u.error.message, "");
    CHECK_INT(u.error.attempts, 4);
    CHECK_INT(u.error.waited_us, 7000);
    CHECK_INT(seen.count, 3);
    forget();
    will_fail(2, SQLITE_BUSY);
    CHECK_OK(sqlpool_exec_with(u.pool, NULL, &result, "INSERT INTO t(v) VALUES(fail(1))",
                               SQLPOOL_NO_ARGS, &u.error),
             &u.error);
    CHECK_INT(u.error.attempts, 3);
    CHECK_INT(u.error.waited_us, 3000);
    CHECK_INT(u.error.outcome, SQLPOOL_OUTCOME_COMMITTED);
    CHECK_INT(result.changes, 1);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 1);
    CHECK_INT(u.error.attempts, 1);
    CHECK_INT(u.error.waited_us, 0);
    unit_close(&u);
}

/*  The functions for one value are one call, and tell its tries as the others do. */
TEST(one_value_after_tries) {
    unit_pool u;
    int64_t value = 0;
    PART(retry_begin(&u, "value.db"));
    will_fail(3, SQLITE_BUSY);
    CHECK_OK(sqlpool_query_int64(u.pool, &value, "SELECT fail(7)", SQLPOOL_NO_ARGS, &u.error),
             &u.error);
    CHECK_INT(value, 7);
    CHECK_INT(seen.count, 3);
    CHECK_STR(u.error.message, "");
    CHECK_INT(u.error.attempts, 4);
    CHECK_INT(u.error.waited_us, 7000);
    unit_close(&u);
}

/*---- the budget ----*/

/*  A read that needs one more try: 1 when it got it, 0 when the budget refused. */
static int needs_one(unit_pool *u) {
    const int64_t refusals = COUNTED(u, retry_refusals);
    int rc;
    forget();
    will_fail(1, SQLITE_BUSY);
    rc = unit_exec(u, "SELECT fail(1)");
    if (rc == SQLPOOL_OK) {
        if (seen.count != 1 || COUNTED(u, retry_refusals) != refusals)
            test_fail(__FILE__, __LINE__, "%d retries, %lld refusals", seen.count,
                      (long long)(COUNTED(u, retry_refusals) - refusals));
        return 1;
    }
    if (rc != SQLITE_BUSY || seen.count != 0 || COUNTED(u, retry_refusals) != refusals + 1 ||
        u->error.attempts != 1 || u->error.waited_us != 0 ||
        strstr(u->error.message, "not tried again: the retry budget is used up") == NULL ||
        strstr(u->error.message, "SELECT fail(1)") == NULL)
        test_fail(__FILE__, __LINE__, "refused: %d, %d retries, %d attempts: %s", rc, seen.count,
                  u->error.attempts, u->error.message);
    return 0;
}
static int granted_of(unit_pool *u, int calls) {
    int granted = 0;
    while (calls-- > 0 && !test_failed_now) granted += needs_one(u);
    return granted;
}

TEST(budget_by_time) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    config.retry_budget_per_s = 2;
    config.retry_budget_percent = 1; /* as good as none */
    config.retry_base_us = 1;
    PART(retry_open(&u, "budget.db", &config));
    PART(CHECK_INT(granted_of(&u, 33), 30)); /* ten seconds' worth, and ten */
    sim_clock_advance(&u.clock, 500 * MS);
    PART(CHECK_INT(granted_of(&u, 3), 1));
    sim_clock_advance(&u.clock, 1250 * MS);
    PART(CHECK_INT(granted_of(&u, 4), 2)); /* and a half is kept */
    sim_clock_advance(&u.clock, 250 * MS);
    PART(CHECK_INT(granted_of(&u, 3), 1));
    sim_clock_advance(&u.clock,
                      (int64_t)1000000 * 1000 * MS); /* eleven days: no more than at first */
    PART(CHECK_INT(granted_of(&u, 33), 30));
    CHECK_INT(COUNTED(&u, retries), 30 + 1 + 2 + 1 + 30);
    CHECK_INT(COUNTED(&u, retry_refusals), 3 + 2 + 2 + 2 + 3);
    unit_close(&u);
}

/*  Half of all calls may be repetitions; ten at first. */
TEST(budget_by_calls) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    int i;
    config.retry_budget_per_s = SQLPOOL_OFF;
    config.retry_budget_percent = 50;
    PART(retry_open(&u, "calls.db", &config));
    PART(CHECK_INT(granted_of(&u, 19), 19)); /* 10 and half of the 18 that followed the first */
    PART(CHECK_INT(granted_of(&u, 20), 10)); /* every other one */
    for (i = 0; i < 8; i++) CHECK_OK(unit_exec(&u, "SELECT 1"), &u.error);
    PART(CHECK_INT(granted_of(&u, 9), 8)); /* 4 of the 8, 4.5 of their own */
    sim_clock_advance(&u.clock, 3600 * 1000 * MS); /* time brings none */
    PART(CHECK_INT(granted_of(&u, 4), 2));
    for (i = 0; i < 1000; i++) CHECK_OK(unit_exec(&u, "SELECT 1"), &u.error);
    PART(CHECK_INT(granted_of(&u, 19), 19)); /* never more than ten at once */
    PART(CHECK_INT(needs_one(&u), 0));
    unit_close(&u);
}

/*  One call spends as many as it has tries, and stops in the middle. */
TEST(budget_that_ends_within_a_call) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    const sqlpool_call call = call_of(0, 100);
    config.retry_budget_per_s = SQLPOOL_OFF;
    config.retry_budget_percent = 1;
    PART(retry_open(&u, "middle.db", &config));
    PART(read_busily(&u, &call));
    CHECK_INT(seen.count, 10);
    CHECK_INT(u.error.attempts, 11);
    CHECK_HAS(u.error.message, "; not tried again: the retry budget is used up");
    CHECK_INT(COUNTED(&u, retry_refusals), 1);
    unit_close(&u);
}

/*  Two at once: the one that looked at the calls first, and then waited for the lock, must not count
    them backwards. The lock hook lets a second one go first. */
static unit_pool *second; /* that goes first, once */
static void lock_second(void *user, sqlpool_mutex *mutex) {
    unit_pool *u = second;
    second = NULL;
    if (u != NULL) {
        CHECK_OK(unit_exec(u, "SELECT 1"), &u->error);
        CHECK(!sqlpool__take_retry_token(u->core));
    }
    sim_mutex_lock(user, mutex);
}
TEST(budget_is_not_filled_by_a_race) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    int i;
    config.retry_budget_per_s = SQLPOOL_OFF;
    config.retry_budget_percent = 1;
    config.locks.mutex_lock_fn = lock_second;
    PART(retry_open(&u, "race.db", &config));
    for (i = 0; i < 10; i++) CHECK(sqlpool__take_retry_token(u.core));
    CHECK(!sqlpool__take_retry_token(u.core));
    second = &u;
    CHECK(!sqlpool__take_retry_token(u.core));
    CHECK(second == NULL);
    CHECK(!sqlpool__take_retry_token(u.core));
    unit_close(&u);
}

TEST(budget_switched_off) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    config.retry_budget_percent = SQLPOOL_OFF;
    config.retry_base_us = 1;
    PART(retry_open(&u, "off.db", &config));
    PART(CHECK_INT(granted_of(&u, 2000), 2000));
    CHECK_INT(COUNTED(&u, retry_refusals), 0);
    unit_close(&u);
}

/*  The defaults: 110 at once, then 10 a second and a fifth of the calls. */
TEST(budget_by_default) {
    unit_pool u;
    sqlpool_config config = retry_config(&u), resolved;
    config.retry_budget_percent = 0;
    config.retry_base_us = 1;
    PART(retry_open(&u, "defaults.db", &config));
    CHECK_OK(sqlpool_config_resolved(u.pool, &resolved), &u.error);
    CHECK_INT(resolved.retry_budget_percent, 20);
    CHECK_INT(resolved.retry_budget_per_s, 10);
    {
        const int granted = granted_of(&u, 200); /* 110 and a fifth of the others, less rounding */
        CHECK(granted >= 109 + 38 && granted <= 110 + 40);
    }
    sim_clock_advance(&u.clock, 1000 * MS);
    {
        const int granted = granted_of(&u, 30);
        CHECK(granted >= 10 + 5 && granted <= 10 + 7);
    }
    unit_close(&u);
}

/*  The hook's clock should not go back; if it does, the budget must not be gone for as long. */
TEST(budget_and_a_clock_that_goes_back) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    config.retry_budget_per_s = 1;
    config.retry_budget_percent = 1;
    config.retry_base_us = 1;
    PART(retry_open(&u, "back.db", &config));
    PART(CHECK_INT(needs_one(&u), 1));
    sim_clock_advance(&u.clock, -(int64_t)3600 * 1000 * MS);
    (void)needs_one(&u); /* looks at the clock */
    sim_clock_advance(&u.clock, 60 * 1000 * MS);
    PART(CHECK_INT(needs_one(&u), 1));
    unit_close(&u);
}

/*---- what is tried again: the library's opinion, and the program's ----*/

static int run_plan(sqlpool_conn *conn, void *user, int attempt) {
    int *attempts = (int *)user;
    if (attempts != NULL && attempts[0] < MOST - 1) attempts[++attempts[0]] = attempt;
    return sqlpool_conn_exec(conn, "INSERT INTO t(v) VALUES(fail(1))", SQLPOOL_NO_ARGS, NULL, NULL);
}
static int run_plain_code(sqlpool_conn *conn, void *user, int attempt) {
    (void)conn, (void)user, (void)attempt;
    return next_code();
}

/*  Each way to run something once: how often it ran is in plan.runs. */
enum {
    BY_READ,
    BY_QUERY,
    BY_WRITE,
    BY_RETURNING,
    BY_LEASE,
    BY_SCRIPT,
    BY_TRANSACTION,
    BY_WRITE_FN,
    BY_CODE,
    BY_READ_TRANSACTION,
    WAYS
};
static const char *const way_names[WAYS] = {"read",  "query",           "write",       "returning",
                                            "lease", "script",          "transaction", "write_fn",
                                            "code",  "read_transaction"};

static int run_way(unit_pool *u, int way) {
    sqlpool_rows rows;
    sqlpool_conn conn;
    int rc;
    u->log.errors = 0;
    switch (way) {
    case BY_READ:
        return unit_exec(u, "SELECT fail(1)");
    case BY_QUERY:
        rc = sqlpool_query(u->pool, &rows, "SELECT fail(1)", SQLPOOL_NO_ARGS, &u->error);
        if (rc == SQLPOOL_OK && !sqlpool_rows_next(&rows)) rc = SQLPOOL_NOT_FOUND;
        (void)sqlpool_rows_close(&rows, NULL);
        return rc;
    case BY_WRITE:
        return unit_exec(u, "INSERT INTO t(v) VALUES(fail(1))");
    case BY_RETURNING:
        rc = sqlpool_query(u->pool, &rows, "INSERT INTO t(v) VALUES(fail(1)) RETURNING id",
                           SQLPOOL_NO_ARGS, &u->error);
        (void)sqlpool_rows_close(&rows, NULL);
        return rc;
    case BY_LEASE:
        if (sqlpool_conn_acquire(u->pool, SQLPOOL_WRITE, &conn, &u->error) != SQLPOOL_OK)
            return -1000;
        rc = unit_exec_on(u, &conn, "INSERT INTO t(v) VALUES(fail(1))");
        (void)sqlpool_conn_release(&conn);
        return rc;
    case BY_SCRIPT:
        return unit_script(u, "INSERT INTO t(v) VALUES(2); INSERT INTO t(v) VALUES(fail(1));");
    case BY_TRANSACTION:
        return sqlpool_transaction(u->pool, SQLPOOL_WRITE, run_plan, NULL, &u->error);
    case BY_WRITE_FN:
        return sqlpool_write(u->pool, run_plan, NULL, &u->error);
    case BY_CODE:
        return sqlpool_transaction(u->pool, SQLPOOL_WRITE, run_plain_code, NULL, &u->error);
    default:
        return sqlpool_transaction(u->pool, SQLPOOL_READ, run_plain_code, NULL, &u->error);
    }
}

/*  Tried again (3 tries, the last goes well) or not (one, with that code). */
static void check_way(unit_pool *u, int way, int code, bool is_again) {
    const char *name = sqlpool_result_name(code);
    /* the function's own calls fail, each try */
    const int errors = way == BY_TRANSACTION || way == BY_WRITE_FN ? 2 : 0;
    int rc;
    seen.count = seen.asked = 0;
    will_fail(2, code);
    rc = run_way(u, way);
    if (is_again) {
        if (rc != SQLPOOL_OK || plan.runs != 3 || seen.count != 2 || u->error.attempts != 3 ||
            u->error.result != SQLPOOL_OK || u->log.errors != errors)
            test_fail(__FILE__, __LINE__, "%s, %s: %d after %d runs, %d retries, %d attempts: %s",
                      name, way_names[way], rc, plan.runs, seen.count, u->error.attempts,
                      u->error.message);
    } else if (rc != code || plan.runs != 1 || seen.count != 0 || u->error.attempts != 1 ||
               u->error.result != code) {
        test_fail(__FILE__, __LINE__, "%s, %s: %d after %d runs, %d retries, %d attempts: %s", name,
                  way_names[way], rc, plan.runs, seen.count, u->error.attempts, u->error.message);
    }
}

static const struct {
    int code;
    bool is_again;
} opinions[] = {{SQLITE_BUSY, true},
                {SQLITE_BUSY_RECOVERY, true},
                {BUSY_SNAPSHOT, true},
                {SQLITE_BUSY | (3 << 8), true},
                {SQLITE_PROTOCOL, true},
                {SQLITE_ABORT_ROLLBACK, true},
                {SQLITE_LOCKED, false},
                {SQLITE_ERROR, false},
                {SQLITE_CONSTRAINT, false},
                {SQLITE_CONSTRAINT_UNIQUE, false},
                {SQLITE_FULL, false},
                {SQLITE_IOERR_READ, false},
                {SQLITE_CORRUPT, false},
                {SQLITE_READONLY, false},
                {SQLITE_NOMEM, false},
                {SQLITE_TOOBIG, false},
                {SQLITE_MISMATCH, false}};

TEST(the_librarys_opinion) {
    unit_pool u;
    size_t i;
    int way;
    PART(retry_begin(&u, "opinion.db"));
    for (i = 0; i < LENGTH(opinions); i++) {
        for (way = 0; way < WAYS; way++)
            PART(check_way(&u, way, opinions[i].code, opinions[i].is_again));
    }
    unit_close(&u);
}

/*  retryable_fn is asked with the code and that opinion, once a failed try; what it says counts. */
TEST(the_programs_opinion) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    size_t i;
    int way, k, turn;
    config.events.retryable_fn = on_retryable;
    PART(retry_open(&u, "programs.db", &config));
    for (i = 0; i < LENGTH(opinions); i++) {
        for (turn = 0; turn < 2; turn++) { /* as it is, and the other way round */
            for (way = 0; way < WAYS; way++) {
                const bool is_again = opinions[i].is_again != (turn == 1);
                answer(opinions[i].code, is_again);
                PART(check_way(&u, way, opinions[i].code, is_again));
                if (seen.asked != (is_again ? 2 : 1)) {
                    test_fail(__FILE__, __LINE__, "%s, %s: asked %d times",
                              sqlpool_result_name(opinions[i].code), way_names[way], seen.asked);
                    return;
                }
                for (k = 0; k < seen.asked; k++) {
                    CHECK_INT(seen.asked_codes[k], opinions[i].code);
                    CHECK_INT(seen.opinions[k], opinions[i].is_again ? 1 : 0);
                }
            }
        }
    }
    unit_close(&u);
}

/*  Any answer but 0 is a yes; success and the library's own codes are no question. */
TEST(what_the_program_is_not_asked) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    sqlpool_token token = {1};
    sqlpool_call call = call_of(0, 0);
    config.events.retryable_fn = on_retryable;
    config.statement_timeout_ms = 1;
    PART(retry_open(&u, "unasked.db", &config));
    answer(SQLITE_CONSTRAINT, -77);
    PART(check_way(&u, BY_WRITE, SQLITE_CONSTRAINT, true));
    answer(SQLITE_CONSTRAINT, 0);
    CHECK_OK(unit_exec(&u, "INSERT INTO t(v) VALUES(1)"), &u.error);
    CHECK_INT(unit_exec(&u, "INSERT INTO t(v) VALUES(1); SELECT 1"), SQLPOOL_TRAILING);
    CHECK_INT(unit_exec(&u, "INSERT INTO t(v) VALUES(?)"), SQLPOOL_ARGUMENTS);
    call.token = &token;
    CHECK_INT(sqlpool_exec_with(u.pool, &call, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &u.error),
              SQLPOOL_CANCELLED);
    u.clock.step_ns = 100000; /* every look takes time: the statement runs into its deadline */
    CHECK_INT(unit_exec(&u,
                        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT "
                        "count(*) FROM n"),
              SQLPOOL_TIMEOUT);
    u.clock.step_ns = 0;
    will_fail(1, SQLPOOL_ROLLED_BACK);
    CHECK_INT(sqlpool_transaction(u.pool, SQLPOOL_WRITE, run_plain_code, NULL, &u.error),
              SQLPOOL_ROLLED_BACK);
    CHECK_INT(seen.asked, 0);
    unit_close(&u);
}

/*  Inside a transaction only the whole is tried again. */
TEST(statements_in_a_transaction_are_not_tried_again) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    int attempts[MOST] = {0};
    sqlpool_conn conn;
    config.events.retryable_fn = on_retryable;
    PART(retry_open(&u, "inside.db", &config));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    will_fail(1, SQLITE_BUSY);
    CHECK_INT(unit_exec_on(&u, &conn, "INSERT INTO t(v) VALUES(fail(1))"), SQLITE_BUSY);
    CHECK_INT(plan.runs, 1);
    CHECK_INT(seen.asked, 0);
    /* a nested function neither: who began it starts over */
    will_fail(1, SQLITE_BUSY);
    CHECK_INT(sqlpool_conn_transaction(&conn, run_plan, NULL, &u.error), SQLITE_BUSY);
    CHECK_INT(plan.runs, 1);
    CHECK_INT(seen.asked, 0);
    CHECK_OK(sqlpool_conn_rollback(&conn, &u.error), &u.error);
    will_fail(3, BUSY_SNAPSHOT);
    CHECK_OK(sqlpool_conn_transaction(&conn, run_plan, attempts, &u.error), &u.error);
    CHECK_INT(attempts[0], 4);
    CHECK_INT(attempts[1], 1);
    CHECK_INT(attempts[4], 4);
    CHECK_INT(u.error.attempts, 4);
    CHECK_OK(sqlpool_conn_release(&conn), &u.error);
    unit_close(&u);
}

/*  BEGIN itself fails: the function has not run, and runs once. */
TEST(begin_that_fails_is_tried_again) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    int attempts[MOST] = {0};
    config.vfs_name = "sim";
    config.retry_attempts = 3;
    config.events.retryable_fn = on_retryable;
    PART(retry_open(&u, "begin.db", &config));
    answer(SQLITE_IOERR_SHMLOCK, 1);
    unit_arm(SIM_VFS_SHM_LOCK, 0, 0);
    CHECK_OK(sqlpool_transaction(u.pool, SQLPOOL_WRITE, run_plan, attempts, &u.error), &u.error);
    sim_vfs_heal();
    CHECK_INT(sim_vfs.faults, 1);
    CHECK_INT(seen.count, 1);
    CHECK_INT(attempts[0], 1);
    CHECK_INT(attempts[1], 2); /* the second try of the call, the first of the function */
    CHECK_INT(plan.runs, 1);
    unit_close(&u);
}

/*---- an outcome that is not known is never tried again ----*/

static int insert_counting(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, "INSERT INTO t(v) VALUES(fail(1))", SQLPOOL_NO_ARGS, NULL, NULL);
}

/*  COMMIT fails on the disk, and the program says of every code: again. */
TEST(unknown_outcomes_are_final) {
    static const int codes[] = {SQLITE_IOERR_WRITE, SQLITE_FULL};
    size_t i;
    int way;
    for (i = 0; i < LENGTH(codes); i++) {
        for (way = BY_WRITE; way <= BY_WRITE_FN; way++) {
            unit_pool u;
            sqlpool_config config = retry_config(&u);
            int rc;
            if (way == BY_LEASE) continue; /* its outcome is the caller's to find out */
            config.vfs_name = "sim";
            config.events.retryable_fn = on_retryable;
            PART(retry_open(&u, "unknown.db", &config));
            answer(codes[i], 1);
            unit_arm(SIM_VFS_WRITE, codes[i] == SQLITE_FULL ? SQLITE_FULL : 0, 1);
            will_fail(0, 0);
            rc = run_way(&u, way);
            sim_vfs_heal();
            if (rc != codes[i] || plan.runs != 1 || seen.asked != 0 || seen.count != 0 ||
                u.error.attempts != 1 || u.error.outcome != SQLPOOL_OUTCOME_UNKNOWN) {
                test_fail(__FILE__, __LINE__, "%s, %s: %d, %d runs, asked %d times, outcome %d: %s",
                          sqlpool_result_name(codes[i]), way_names[way], rc, plan.runs, seen.asked,
                          u.error.outcome, u.error.message);
                return;
            }
            unit_close(&u);
        }
    }
}

/*  The same codes before COMMIT: nothing is there for certain, so the program may have its way. */
TEST(known_failures_of_the_disk_may_be_tried_again) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    config.events.retryable_fn = on_retryable;
    PART(retry_open(&u, "known.db", &config));
    answer(SQLITE_IOERR_WRITE, 1);
    PART(check_way(&u, BY_WRITE, SQLITE_IOERR_WRITE, true));
    PART(check_way(&u, BY_TRANSACTION, SQLITE_IOERR_WRITE, true));
    answer(SQLITE_FULL, 1);
    PART(check_way(&u, BY_SCRIPT, SQLITE_FULL, true));
    PART(check_way(&u, BY_WRITE_FN, SQLITE_FULL, true));
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 5); /* the script has two */
    unit_close(&u);
}

/*---- in a group ----*/

enum { JOBS = 6 };
typedef struct told {
    int count, result, outcome, attempts;
    int place; /* in the order in which they were told */
    int64_t waited_us;
} told;
static told tolds[JOBS];
static int places;

static void on_done(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    told *t = (told *)user;
    (void)result;
    t->count++;
    t->result = error->result;
    t->outcome = error->outcome;
    t->attempts = error->attempts;
    t->waited_us = error->waited_us;
    t->place = ++places;
}
static sqlpool_submission told_to(int at) {
    sqlpool_submission submission;
    memset(&submission, 0, sizeof submission);
    submission.done_fn = on_done;
    submission.user = &tolds[at];
    return submission;
}
static void submit_plain(unit_pool *u, int at, const char *sql) {
    const sqlpool_submission submission = told_to(at);
    CHECK_OK(sqlpool_submit_with(u->pool, &submission, NULL, sql, SQLPOOL_ARGS(at), &u->error),
             &u->error);
}
static void start_jobs(void) {
    memset(tolds, 0, sizeof tolds);
    places = 0;
    forget();
}
#define PLAIN "INSERT INTO t(v) VALUES(?)"
#define FAILING "INSERT INTO t(v) VALUES(fail(?))"

/*  Submitted writes in one group; number `at` fails once, or for ever. The others are committed, in
    their order, with that one in its place. */
static void submit_group(int at, int code, int fails, bool is_again, const char *path) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    sqlpool_rows rows;
    const int tries = !is_again ? 1 : fails < 5 ? fails + 1 : -1;
    int i, row = 0;
    config.events.retryable_fn = on_retryable;
    PART(retry_open(&u, path, &config));
    start_jobs();
    answer(code, is_again ? 1 : 0);
    will_fail(fails, code);
    for (i = 0; i < JOBS; i++) PART(submit_plain(&u, i, i == at ? FAILING : PLAIN));
    CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
    for (i = 0; i < JOBS; i++) {
        const bool fails_for_good = i == at && (!is_again || fails >= 5);
        if (tolds[i].count != 1 || tolds[i].result != (fails_for_good ? code : SQLPOOL_OK) ||
            tolds[i].outcome !=
                (fails_for_good ? SQLPOOL_OUTCOME_NOT_COMMITTED : SQLPOOL_OUTCOME_COMMITTED)) {
            test_fail(__FILE__, __LINE__,
                      "member %d fails %d times with %s: job %d was told %d times: %d, outcome %d",
                      at, fails, sqlpool_result_name(code), i, tolds[i].count, tolds[i].result,
                      tolds[i].outcome);
            return;
        }
    }
    if (tries > 0) CHECK_INT(plan.runs, tries);
    CHECK_OK(sqlpool_query(u.pool, &rows, "SELECT v FROM t ORDER BY id", SQLPOOL_NO_ARGS, &u.error),
             &u.error);
    for (i = 0; i < JOBS; i++) {
        if (i == at && tolds[i].result != SQLPOOL_OK) continue;
        CHECK(sqlpool_rows_next(&rows));
        if (sqlpool_rows_int64(&rows, 0) != i)
            test_fail(__FILE__, __LINE__, "member %d fails %d times with %s: row %d is of job %lld",
                      at, fails, sqlpool_result_name(code), row,
                      (long long)sqlpool_rows_int64(&rows, 0));
        row++;
    }
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
    unit_close(&u);
}

TEST(submitted_writes_are_tried_again_in_their_place) {
    PART(submit_group(1, SQLITE_BUSY, 1, true, "sub1.db"));
    PART(submit_group(3, SQLITE_BUSY, 2, true, "sub3.db"));
    PART(submit_group(JOBS - 1, SQLITE_BUSY, 1, true, "sub5.db"));
    PART(submit_group(3, SQLITE_CONSTRAINT, 2, true, "subc.db"));
    PART(submit_group(3, SQLITE_FULL, 2, true, "subf.db"));
    PART(submit_group(3, SQLITE_IOERR_READ, 1, true, "subi.db"));
}
TEST(submitted_writes_that_are_not_tried_again) {
    PART(submit_group(0, SQLITE_BUSY, 1, false, "not0.db"));
    PART(submit_group(2, SQLITE_BUSY, 1, false, "not2.db"));
    PART(submit_group(2, SQLITE_FULL, 1, false, "notf.db"));
}
TEST(submitted_writes_that_fail_for_ever) {
    PART(submit_group(2, SQLITE_BUSY, MOST, true, "ever2.db"));
    PART(submit_group(2, SQLITE_CONSTRAINT, MOST, true, "everc.db"));
}
/*  Who happens to be the first of its group has as many tries as anybody. */
TEST(the_first_of_a_group_is_tried_again) {
    PART(submit_group(0, SQLITE_BUSY, 1, true, "first0.db"));
    PART(submit_group(0, SQLITE_CONSTRAINT, 2, true, "firstc.db"));
    PART(submit_group(0, SQLITE_FULL, 2, true, "firstf.db"));
}

/*  One alone in the queue is a group of one. */
TEST(a_lone_submission_is_tried_again) {
    unit_pool u;
    PART(retry_begin(&u, "lone.db"));
    start_jobs();
    will_fail(2, SQLITE_BUSY);
    PART(submit_plain(&u, 0, FAILING));
    CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
    CHECK_INT(tolds[0].count, 1);
    CHECK_INT(tolds[0].result, SQLPOOL_OK);
    CHECK_INT(plan.runs, 3);
    unit_close(&u);
}

/*  `attempts` of a submission, and the deadline that it has. */
TEST(attempts_of_a_submission) {
    unit_pool u;
    sqlpool_submission submission;
    int i;
    PART(retry_begin(&u, "subattempts.db"));
    for (i = 1; i <= 4; i++) {
        start_jobs();
        will_fail(MOST, SQLITE_BUSY);
        PART(submit_plain(&u, 0, PLAIN)); /* so that the other one is not the first */
        submission = told_to(1);
        submission.attempts = i;
        CHECK_OK(sqlpool_submit_with(u.pool, &submission, NULL, FAILING, SQLPOOL_ARGS(1), &u.error),
                 &u.error);
        CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
        CHECK_INT(tolds[0].result, SQLPOOL_OK);
        CHECK_INT(tolds[1].result, SQLITE_BUSY);
        CHECK_INT(tolds[1].attempts, i);
        CHECK(plan.runs >= i + 1 && plan.runs <= i + 2); /* the first of them are the group's */
    }
    unit_close(&u);
}

/*  A function of sqlpool_write() whose first try was in a group goes on counting: its next try is
    number 2, with delays and a limit of its own. */
static int attempts_seen[MOST];
static int fail_as_planned(sqlpool_conn *conn, void *user, int attempt) {
    int rc = sqlpool_conn_exec(conn, "INSERT INTO t(v) VALUES(99)", SQLPOOL_NO_ARGS, NULL, NULL);
    (void)user;
    if (attempts_seen[0] < MOST - 1) attempts_seen[++attempts_seen[0]] = attempt;
    if (rc == SQLPOOL_OK) rc = next_code();
    return rc;
}
/*  A plain write, and behind it the function, which fails so often. */
static void submit_with_a_function(unit_pool *u, int fails) {
    const sqlpool_submission submission = told_to(1);
    start_jobs();
    memset(attempts_seen, 0, sizeof attempts_seen);
    will_fail(fails, BUSY_SNAPSHOT);
    PART(submit_plain(u, 0, PLAIN));
    CHECK_OK(sqlpool_submit_write(u->pool, &submission, NULL, fail_as_planned, NULL, &u->error),
             &u->error);
}
TEST(a_function_of_a_group_is_tried_again_alone) {
    unit_pool u;
    PART(retry_begin(&u, "function.db"));
    PART(submit_with_a_function(&u, 3));
    PART(submit_plain(&u, 2, PLAIN));
    CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
    CHECK_INT(tolds[0].result, SQLPOOL_OK);
    CHECK_INT(tolds[1].result, SQLPOOL_OK);
    CHECK_INT(tolds[2].result, SQLPOOL_OK);
    CHECK_INT(attempts_seen[0], 4);
    CHECK_INT(attempts_seen[1], 1);
    CHECK_INT(attempts_seen[2], 2);
    CHECK_INT(attempts_seen[4], 4);
    CHECK_INT(tolds[1].attempts, 4);
    /* once, between the two */
    CHECK_INT(unit_ask(&u, "SELECT group_concat(v, '') = '0992' FROM t"), 1);
    unit_close(&u);
}

/*  retry_total_ms is of one call: what another call on that connection slept is not its own. */
TEST(the_limit_of_a_member_is_its_own) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    const sqlpool_call call = call_of(0, 4);
    config.retry_total_ms = 8; /* 1 + 2 + 4 */
    PART(retry_open(&u, "own.db", &config));
    will_fail(MOST, SQLITE_BUSY); /* the writer's connection has slept 7 ms */
    CHECK_INT(sqlpool_exec_with(u.pool, &call, NULL, "INSERT INTO t(v) VALUES(fail(1))",
                                SQLPOOL_NO_ARGS, &u.error),
              SQLITE_BUSY);
    CHECK_INT(seen.count, 3);
    PART(submit_with_a_function(&u, 2));
    CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
    CHECK_INT(tolds[1].result, SQLPOOL_OK);
    unit_close(&u);
}

/*  A group whose COMMIT fails on the disk: nobody is run again, everybody hears that. */
TEST(unknown_outcomes_of_a_group_are_final) {
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    sqlpool_submission submission;
    int i;
    config.vfs_name = "sim";
    config.events.retryable_fn = on_retryable;
    PART(retry_open(&u, "groupunknown.db", &config));
    start_jobs();
    will_fail(0, 0);
    answer(SQLITE_IOERR_WRITE, 1);
    for (i = 0; i < 3; i++) PART(submit_plain(&u, i, FAILING));
    submission = told_to(3);
    CHECK_OK(sqlpool_submit_write(u.pool, &submission, NULL, insert_counting, NULL, &u.error),
             &u.error);
    unit_arm(SIM_VFS_WRITE, 0, 1);
    CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
    sim_vfs_heal();
    CHECK_INT(plan.runs, 4);
    for (i = 0; i < 4; i++) {
        CHECK_INT(tolds[i].count, 1);
        CHECK_INT(tolds[i].result, SQLITE_IOERR_WRITE);
        CHECK_INT(tolds[i].outcome, SQLPOOL_OUTCOME_UNKNOWN);
    }
    CHECK_INT(seen.asked, 0);
    CHECK_INT(seen.count, 0);
    unit_close(&u);
}

/*---- in a group of waiting threads ----*/

typedef struct caller {
    sqlpool *pool;
    const char *sql;
    int value;
    sqlpool_error error;
    int rc;
    pthread_t thread;
} caller;

static void *run_caller(void *argument) {
    caller *c = (caller *)argument;
    c->rc = sqlpool_exec(c->pool, c->sql, SQLPOOL_ARGS(c->value), &c->error);
    return NULL;
}

/*  Four wait for the writer; the one at `at` fails `fails` times. Its neighbours share a commit. */
static void thread_group(int at, int code, int fails, const char *path) {
    enum { CALLERS = 4 };
    unit_pool u;
    sqlpool_config config = retry_config(&u);
    caller callers[CALLERS];
    sqlpool_conn writer;
    int i, tries;
    memset(callers, 0, sizeof callers);
    u.locks.solo = 0;
    config.acquire_timeout_ms = SQLPOOL_FOREVER;
    config.group_us = 1000000;
    config.events.retryable_fn = on_retryable;
    PART(retry_open(&u, path, &config));
    answer(code, 1);
    will_fail(fails, code);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &writer, &u.error), &u.error);
    for (i = 0; i < CALLERS; i++) {
        callers[i].pool = u.pool;
        callers[i].sql = i == at ? FAILING : PLAIN;
        callers[i].value = i;
        CHECK_INT(pthread_create(&callers[i].thread, NULL, run_caller, &callers[i]), 0);
        for (tries = 0;
             tries < 20000 && SQLPOOL__LOAD(&u.core->lanes[1].waiting) != (uint32_t)i + 1; tries++)
            sim_real_sleep_ns(MS / 2);
    }
    CHECK_OK(sqlpool_conn_release(&writer), &u.error);
    for (i = 0; i < CALLERS; i++) (void)pthread_join(callers[i].thread, NULL);
    for (i = 0; i < CALLERS; i++) {
        if (callers[i].rc != SQLPOOL_OK || callers[i].error.outcome != SQLPOOL_OUTCOME_COMMITTED ||
            callers[i].error.result != SQLPOOL_OK || callers[i].error.message[0] != '\0')
            test_fail(__FILE__, __LINE__,
                      "member %d fails %d times with %s: caller %d: %d, outcome %d: %s", at, fails,
                      sqlpool_result_name(code), i, callers[i].rc, callers[i].error.outcome,
                      callers[i].error.message);
    }
    CHECK_INT(plan.runs, fails + 1);
    CHECK_INT(unit_ask(&u, "SELECT count(*) = 4 AND count(DISTINCT v) = 4 FROM t"), 1);
    unit_close(&u);
}
TEST(members_of_a_group_are_tried_again_alone) {
    PART(thread_group(1, SQLITE_BUSY, 1, "thread1.db"));
    PART(thread_group(3, SQLITE_BUSY, 3, "thread3.db"));
    PART(thread_group(2, SQLITE_CONSTRAINT, 2, "thread2.db"));
    PART(thread_group(1, SQLITE_FULL, 2, "threadf.db"));
}
TEST(the_leader_of_a_group_is_tried_again) {
    PART(thread_group(0, SQLITE_BUSY, 1, "leader.db"));
    PART(thread_group(0, SQLITE_FULL, 2, "leaderf.db"));
}

/*---- configuration ----*/

TEST(bad_retry_settings_are_named) {
    static const int good[] = {0, 1, 2147483647}, bad[] = {5, 6, -3, -4}, many[100] = {0};
    static const struct {
        const char *part;
        const int *schedule;
        int count, attempts, jitter, preset, multiplier, percent;
    } table[] = {
        {"retry_schedule_us[2] is -3", bad, 4, 0, 0, 0, 0, 0},
        {"retry_schedule_us is NULL but retry_schedule_count is 2", NULL, 2, 0, 0, 0, 0, 0},
        {"retry_schedule_us is NULL but retry_schedule_count is 1", NULL, 1, 0, 0, 0, 0, 0},
        {"retry_schedule_count is 100", many, 100, 0, 0, 0, 0, 0},
        {"retry_schedule_count is -1", good, -1, 0, 0, 0, 0, 0},
        {"retry_attempts is 101", NULL, 0, 101, 0, 0, 0, 0},
        {"retry_attempts is -1", NULL, 0, -1, 0, 0, 0, 0},
        {"retry_jitter is 4", NULL, 0, 0, 4, 0, 0, 0},
        {"retry_preset is 4", NULL, 0, 0, 0, 4, 0, 0},
        {"retry_preset is -1", NULL, 0, 0, 0, -1, 0, 0},
        {"retry_multiplier_percent is 99", NULL, 0, 0, 0, 0, 99, 0},
        {"retry_budget_percent is 1001", NULL, 0, 0, 0, 0, 0, 1001},
        {NULL, good, 3, 4, 3, 3, 100, 1000},
        {NULL, bad, 2, 1, 0, 0, 0, 0},
        {NULL, NULL, 0, 100, 0, 0, 1000, -1},
    };
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        sqlpool_config config = sqlpool_config_default();
        sqlpool_error error;
        sqlpool *pool = NULL;
        config.retry_schedule_us = table[i].schedule;
        config.retry_schedule_count = table[i].count;
        config.retry_attempts = table[i].attempts;
        config.retry_jitter = table[i].jitter;
        config.retry_preset = table[i].preset;
        config.retry_multiplier_percent = table[i].multiplier;
        config.retry_budget_percent = table[i].percent;
        if (table[i].part == NULL) {
            CHECK_OK(sqlpool_config_check(&config, &error), &error);
            continue;
        }
        CHECK_INT(sqlpool_config_check(&config, &error), SQLPOOL_CONFIG);
        CHECK_HAS(error.message, table[i].part);
        CHECK_INT(sqlpool_open(&pool, "badconfig.db", &config, &error), SQLPOOL_CONFIG);
        CHECK_HAS(error.message, table[i].part);
        CHECK(pool == NULL);
    }
}

/*  A length that cannot be is not believed: nobody knows how long the array is. */
TEST(a_schedule_of_a_bad_length_is_not_read) {
    static const int many[100] = {5, 6, -3};
    sqlpool_config config = sqlpool_config_default();
    sqlpool_error error;
    config.retry_schedule_us = many;
    config.retry_schedule_count = 100;
    CHECK_INT(sqlpool_config_check(&config, &error), SQLPOOL_CONFIG);
    CHECK_HAS(error.message, "retry_schedule_count is 100");
    CHECK(strstr(error.message, "retry_schedule_us[") == NULL);
}

/*  All bad ones at once. */
TEST(several_bad_settings_are_named_together) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_error error;
    config.retry_attempts = 777;
    config.retry_jitter = 9;
    config.breaker_percent = 101;
    config.breaker_failures = -3;
    config.breaker_window_ms = -1;
    config.breaker_open_ms = -2;
    CHECK_INT(sqlpool_config_check(&config, &error), SQLPOOL_CONFIG);
    CHECK_HAS(error.message, "retry_attempts is 777");
    CHECK_HAS(error.message, "retry_jitter is 9");
    CHECK_HAS(error.message, "breaker_percent is 101");
    CHECK_HAS(error.message, "breaker_failures is -3");
    CHECK_HAS(error.message, "breaker_window_ms is -1");
    CHECK_HAS(error.message, "breaker_open_ms is -2");
}

/*  The copy of the schedule is in the pool's memory: an allocation that fails there fails the
    open. */
TEST(no_memory_for_the_schedule) {
    const int schedule[] = {1, 2, 3};
    uint64_t n;
    int rc = SQLPOOL_NOMEM;
    for (n = 1; n < 200 && rc != SQLPOOL_OK; n++) {
        unit_pool u;
        sqlpool_config config = retry_config(&u);
        config.retry_schedule_us = schedule;
        config.retry_schedule_count = 3;
        sim_alloc_fail(n, 0);
        rc = sqlpool_open(&u.pool, ":memory:", &config, &u.error);
        sim_alloc_heal();
        if (rc == SQLPOOL_OK) {
            u.core = u.pool->core;
            CHECK(u.core->schedule != NULL);
            PART(read_busily(&u, NULL));
            CHECK_INT(seen.count, 3);
            PART(unit_close(&u));
        }
    }
    CHECK_INT(rc, SQLPOOL_OK);
}

int main(void) {
    sim_vfs.skip_sync = sim_vfs.skip_sleep = 1;
    if (sim_vfs_install() != SQLITE_OK) return 1;
    RUN(presets);
    RUN(settings_stand_above_the_preset);
    RUN(multiplier_of_100_is_a_constant_delay);
    RUN(schedule);
    RUN(schedule_with_zeros_and_of_one);
    RUN(longest_schedule);
    RUN(schedule_instead_of_the_presets);
    RUN(jitter_with_scripted_random);
    RUN(decorrelated_jitter_is_capped);
    RUN(jitter_within_its_bounds);
    RUN(all_delays_together_stay_within_retry_total_ms);
    RUN(the_deadline_ends_the_tries);
    RUN(one_deadline_for_all_tries);
    RUN(attempts_of_a_call);
    RUN(cancellation_ends_the_tries);
    RUN(success_after_tries);
    RUN(one_value_after_tries);
    RUN(budget_by_time);
    RUN(budget_by_calls);
    RUN(budget_that_ends_within_a_call);
    RUN(budget_is_not_filled_by_a_race);
    RUN(budget_switched_off);
    RUN(budget_by_default);
    RUN(budget_and_a_clock_that_goes_back);
    RUN(the_librarys_opinion);
    RUN(the_programs_opinion);
    RUN(what_the_program_is_not_asked);
    RUN(statements_in_a_transaction_are_not_tried_again);
    RUN(begin_that_fails_is_tried_again);
    RUN(unknown_outcomes_are_final);
    RUN(known_failures_of_the_disk_may_be_tried_again);
    RUN(submitted_writes_are_tried_again_in_their_place);
    RUN(submitted_writes_that_are_not_tried_again);
    RUN(submitted_writes_that_fail_for_ever);
    RUN(the_first_of_a_group_is_tried_again);
    RUN(a_lone_submission_is_tried_again);
    RUN(attempts_of_a_submission);
    RUN(a_function_of_a_group_is_tried_again_alone);
    RUN(the_limit_of_a_member_is_its_own);
    RUN(unknown_outcomes_of_a_group_are_final);
    RUN(members_of_a_group_are_tried_again_alone);
    RUN(the_leader_of_a_group_is_tried_again);
    RUN(bad_retry_settings_are_named);
    RUN(a_schedule_of_a_bad_length_is_not_read);
    RUN(several_bad_settings_are_named_together);
    RUN(no_memory_for_the_schedule);
    return test_end();
}
