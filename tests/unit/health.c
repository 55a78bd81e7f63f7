/*  health.c - white box: samples, alerts and memory on a virtual clock (I23).
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "unit.h"

typedef struct told {
    int changes[SQLPOOL_ALERT_COUNT];
    int all;
    sqlpool_alert last;
} told;

static void on_alert(void *user, const sqlpool_alert *alert) {
    told *t = (told *)user;
    t->changes[alert->kind]++;
    t->all++;
    t->last = *alert;
}

/*  Pools whose alerts go to `t`. */
static sqlpool_config watched(unit_pool *u, told *t, int readers) {
    sqlpool_config config = unit_config(u, readers);
    memset(t, 0, sizeof *t);
    config.events.error_fn = NULL;
    config.events.user = t;
    config.events.alert_fn = on_alert;
    return config;
}

static void seconds(unit_pool *u, int count) {
    while (count-- > 0) {
        u->clock.now_ns += 1000 * MS;
        CHECK_INT(sqlpool_tick(u->pool, 1000000), SQLPOOL_OK);
    }
}

static void hold(unit_pool *u, sqlpool_conn *conns, int count) {
    int i;
    for (i = 0; i < count; i++)
        CHECK_OK(sqlpool_conn_acquire(u->pool, SQLPOOL_READ, &conns[i], &u->error), &u->error);
}
static void let_go(sqlpool_conn *conns, int count) {
    int i;
    for (i = 0; i < count; i++) CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
}

/*---- alerts ----*/

/*  Of ten connections half are out whenever upkeep looks; statements take 3 ms; a slow one comes once
    a minute, a failure every few minutes. */
TEST(an_hour_of_steady_load_raises_no_alert) {
    unit_pool u;
    told t;
    sqlpool_config config = watched(&u, &t, 9);
    sqlpool_conn conns[5];
    sqlpool_health health;
    int second, i;
    PART(unit_open_with(&u, "steady.db", &config, "CREATE TABLE t(x)"));
    for (second = 0; second < 3600; second++) {
        u.clock.step_ns = second % 60 == 30 ? 150 * MS : MS;
        for (i = 0; i < 5; i++) {
            int64_t value;
            CHECK_OK(sqlpool_query_int64(u.pool, &value, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS,
                                         &u.error),
                     &u.error);
            u.clock.step_ns = MS;
        }
        CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
        if (second % 300 == 100) u.core->counters[SQLPOOL__COUNT_timeouts]++;
        u.clock.step_ns = 0;
        PART(hold(&u, conns, 5));
        PART(seconds(&u, 1));
        PART(let_go(conns, 5));
        if (t.all > 0) break;
    }
    if (t.all > 0) test_fail(__FILE__, __LINE__, "after %d s: %s", second, t.last.message);
    CHECK_INT(sqlpool_get_alerts(u.pool, NULL, 0), 0);
    CHECK_INT(sqlpool_get_health(u.pool, &health), SQLPOOL_OK);
    CHECK_INT(health.score, 100);
    CHECK(u.core->history_used == 300);
    unit_close(&u);
}

TEST(an_alert_is_raised_once_and_cleared_once) {
    unit_pool u;
    told t;
    sqlpool_config config = watched(&u, &t, 4);
    sqlpool_conn conns[4];
    sqlpool_alert alerts[2];
    PART(unit_open(&u, "edge.db", &config));
    PART(hold(&u, conns, 3)); /* of five */
    PART(seconds(&u, 10));
    CHECK_INT(t.all, 0);
    PART(seconds(&u, 2));
    CHECK_INT(t.changes[SQLPOOL_ALERT_UTILISATION], 1);
    CHECK_INT(t.last.severity, SQLPOOL_SEVERITY_NOTICE);
    PART(hold(&u, conns + 3, 1));
    PART(seconds(&u, 15)); /* the mean of ten seconds is 80 % for less than ten */
    CHECK_INT(t.all, 1);
    PART(seconds(&u, 10));
    CHECK_INT(t.changes[SQLPOOL_ALERT_UTILISATION], 2);
    CHECK_INT(t.last.severity, SQLPOOL_SEVERITY_WARNING);
    CHECK_INT(t.last.before, SQLPOOL_SEVERITY_NOTICE);
    CHECK_INT(t.last.value, 80);
    CHECK_INT(t.last.limit, 80);
    CHECK_STR(t.last.message, "utilisation is 80 %; warning from 80 % on");
    CHECK_HAS(u.log.last[SQLPOOL_LOG_ALERT], "utilisation is 80 %; warning");
    PART(seconds(&u, 300));
    CHECK_INT(t.all, 2);
    CHECK_INT(sqlpool_get_alerts(u.pool, alerts, 2), 1);
    CHECK_INT(alerts[0].kind, SQLPOOL_ALERT_UTILISATION);
    CHECK_INT(alerts[0].severity, SQLPOOL_SEVERITY_WARNING);
    PART(let_go(conns, 4));
    PART(seconds(&u, 60));
    CHECK_INT(t.last.severity, SQLPOOL_SEVERITY_NONE);
    CHECK_INT(sqlpool_get_alerts(u.pool, alerts, 2), 0);
    CHECK_HAS(t.last.message, "cleared, it was raised from ");
    CHECK(t.all <= 4); /* by way of the notice, or at once */
    {
        const int before = t.all;
        PART(seconds(&u, 300));
        CHECK_INT(t.all, before);
    }
    unit_close(&u);
}

/*  Steps of one second with these values; how often the severity changed. */
static int changes(const sqlpool_config *config, int kind, sqlpool__alarm *alarm,
                   const int64_t *values, int count) {
    int i, sum = 0;
    for (i = 0; i < count; i++) {
        if (!sqlpool__alarm_step(config, kind, alarm, values[i], 1000 * MS)) continue;
        alarm->severity = alarm->pending;
        alarm->held_ns = 0;
        sum++;
    }
    return sum;
}

TEST(a_value_that_moves_about_its_limit_does_not_flap) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool__alarm alarm;
    int64_t values[600];
    int i;
    sqlpool__resolve_config(&config);
    memset(&alarm, 0, sizeof alarm);
    for (i = 0; i < 600; i++) values[i] = i % 9 == 8 ? 59 : 61; /* never above for ten seconds */
    CHECK_INT(changes(&config, SQLPOOL_ALERT_UTILISATION, &alarm, values, 600), 0);
    for (i = 0; i < 20; i++) values[i] = 61;
    CHECK_INT(changes(&config, SQLPOOL_ALERT_UTILISATION, &alarm, values, 20), 1);
    CHECK_INT(alarm.severity, SQLPOOL_SEVERITY_NOTICE);
    for (i = 0; i < 600; i++) values[i] = 54 + i % 6; /* below 60, not below nine tenths of it */
    CHECK_INT(changes(&config, SQLPOOL_ALERT_UTILISATION, &alarm, values, 600), 0);
    for (i = 0; i < 12; i++) values[i] = 53;
    CHECK_INT(changes(&config, SQLPOOL_ALERT_UTILISATION, &alarm, values, 12), 1);
    CHECK_INT(alarm.severity, SQLPOOL_SEVERITY_NONE);
}

TEST(success_is_watched_downwards) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool__resolve_config(&config);
#define SEVERITY(value, is_falling) \
    sqlpool__alarm_severity(&config, SQLPOOL_ALERT_SUCCESS, value, is_falling)
    CHECK_INT(SEVERITY(10000, false), SQLPOOL_SEVERITY_NONE);
    CHECK_INT(SEVERITY(9901, false), SQLPOOL_SEVERITY_NONE);
    CHECK_INT(SEVERITY(9900, false), SQLPOOL_SEVERITY_WARNING);
    CHECK_INT(SEVERITY(9500, false), SQLPOOL_SEVERITY_CRITICAL);
    CHECK_INT(SEVERITY(0, false), SQLPOOL_SEVERITY_CRITICAL);
    CHECK_INT(SEVERITY(9905, true), SQLPOOL_SEVERITY_WARNING); /* not yet a tenth better */
    CHECK_INT(SEVERITY(9911, true), SQLPOOL_SEVERITY_NONE);
#undef SEVERITY
    config.alerts[SQLPOOL_ALERT_SUCCESS].warning = SQLPOOL_OFF;
    config.alerts[SQLPOOL_ALERT_SUCCESS].critical = SQLPOOL_OFF;
    CHECK_INT(sqlpool__alarm_severity(&config, SQLPOOL_ALERT_SUCCESS, 0, false),
              SQLPOOL_SEVERITY_NONE);
}

TEST(every_kind_is_measured) {
    unit_pool u;
    told t;
    sqlpool_config config = watched(&u, &t, 2);
    int i, kind;
    config.slow_ms = 10;
    config.wal_limit_bytes = 65536;
    config.wal_budget_bytes = 65536;
    config.memory_soft_bytes = 1; /* far too little */
    config.alerts[SQLPOOL_ALERT_FILE].critical = 4096;
    for (kind = 0; kind < SQLPOOL_ALERT_COUNT; kind++) config.alerts[kind].for_ms = 1;
    PART(unit_open_with(&u, "kinds.db", &config, "CREATE TABLE t(x)"));
    PART(seconds(&u, 3));
    u.clock.step_ns = 100 * MS;
    for (i = 0; i < 40; i++)
        CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(zeroblob(20000))"), &u.error);
    u.clock.step_ns = 0;
    u.core->counters[SQLPOOL__COUNT_timeouts] += 30;
    u.core->wal_frames = 1000;
    u.core->lanes[0].waiting = 20;
    PART(seconds(&u, 4));
    u.core->lanes[0].waiting = 0;
    for (kind = 0; kind < SQLPOOL_ALERT_COUNT; kind++) {
        if (kind == SQLPOOL_ALERT_UTILISATION) continue;
        if (t.changes[kind] == 0)
            test_fail(__FILE__, __LINE__, "%s is %lld: no alert", sqlpool__alert_table[kind].name,
                      (long long)u.core->alarms[kind].value);
    }
    unit_close(&u);
}

TEST(a_clock_that_jumps_raises_nothing) {
    unit_pool u;
    told t;
    sqlpool_config config = watched(&u, &t, 4);
    sqlpool_conn conns[4];
    PART(unit_open(&u, "jump.db", &config));
    PART(hold(&u, conns, 4));
    PART(seconds(&u, 1));
    u.clock.now_ns += INT64_C(3600) * 1000 * MS; /* suspended for an hour */
    PART(seconds(&u, 2));
    CHECK_INT(t.all, 0);
    u.clock.now_ns -= INT64_C(7200) * 1000 * MS;
    PART(seconds(&u, 2));
    CHECK_INT(t.all, 0);
    PART(let_go(conns, 4));
    PART(seconds(&u, 30));
    unit_close(&u);
}

TEST(without_samples_there_are_no_alerts) {
    unit_pool u;
    told t;
    sqlpool_config config = watched(&u, &t, 1);
    sqlpool_conn conn;
    sqlpool_alert alert;
    config.history_count = SQLPOOL_OFF;
    config.alerts[SQLPOOL_ALERT_UTILISATION].for_ms = 1;
    PART(unit_open(&u, "none.db", &config));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    PART(seconds(&u, 60));
    CHECK_INT(t.all, 0);
    CHECK_INT(sqlpool_get_alerts(u.pool, &alert, 1), 0);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

TEST(bad_limits_are_refused_by_name) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_error error;
    config.alerts[SQLPOOL_ALERT_P95].critical = -2;
    CHECK_INT(sqlpool_config_check(&config, &error), SQLPOOL_CONFIG);
    CHECK_HAS(error.message, "alerts[2], p95");
    config = sqlpool_config_default();
    config.memory_soft_bytes = 2000;
    config.memory_hard_bytes = 1000;
    CHECK_INT(sqlpool_config_check(&config, &error), SQLPOOL_CONFIG);
    CHECK_HAS(error.message, "memory_soft_bytes is 2000, above memory_hard_bytes 1000");
}

TEST(limits_resolve_to_the_documented_ones) {
    sqlpool_config config = sqlpool_config_default();
    config.alerts[SQLPOOL_ALERT_SLOW].warning = SQLPOOL_OFF;
    config.alerts[SQLPOOL_ALERT_SLOW].critical = 7;
    sqlpool__resolve_config(&config);
    CHECK_INT(config.alerts[SQLPOOL_ALERT_UTILISATION].notice, 60);
    CHECK_INT(config.alerts[SQLPOOL_ALERT_UTILISATION].critical, 90);
    CHECK_INT(config.alerts[SQLPOOL_ALERT_AVERAGE].warning, 50000);
    CHECK_INT(config.alerts[SQLPOOL_ALERT_P95].critical, 150000);
    CHECK_INT(config.alerts[SQLPOOL_ALERT_SUCCESS].warning, 9900);
    CHECK_INT(config.alerts[SQLPOOL_ALERT_SLOW].warning, -1);
    CHECK_INT(config.alerts[SQLPOOL_ALERT_SLOW].critical, 7);
    CHECK_INT(config.alerts[SQLPOOL_ALERT_LOG].warning, config.wal_limit_bytes);
    CHECK_INT(config.alerts[SQLPOOL_ALERT_LOG].critical, 4 * config.wal_limit_bytes);
    CHECK_INT(config.alerts[SQLPOOL_ALERT_FILE].critical, -1);
    CHECK_INT(config.alerts[SQLPOOL_ALERT_WAITING].for_ms, 10000);
}

/*  Twice the longest interval of upkeep is more milliseconds than an int holds. */
TEST(an_alert_with_the_longest_interval_is_told) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool__alarm alarm;
    config.upkeep_interval_ms = INT32_MAX;
    sqlpool__resolve_config(&config);
    memset(&alarm, 0, sizeof alarm);
    CHECK(!sqlpool__alarm_step(&config, SQLPOOL_ALERT_UTILISATION, &alarm, 95, 1000 * MS));
    CHECK_INT(alarm.held_ns, 0);
    CHECK(sqlpool__alarm_step(&config, SQLPOOL_ALERT_UTILISATION, &alarm, 95,
                              INT32_MAX * (INT64_C(1) * MS)));
    CHECK(alarm.held_ns == INT32_MAX * (INT64_C(1) * MS));
}

/*  A value that turns round begins anew; one that falls less far than it did is told for what it is. */
TEST(an_alert_that_turns_round_waits_again) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool__alarm alarm;
    sqlpool__resolve_config(&config);
    memset(&alarm, 0, sizeof alarm);
    alarm.severity = alarm.pending = SQLPOOL_SEVERITY_WARNING;
#define STEP(value) \
    sqlpool__alarm_step(&config, SQLPOOL_ALERT_UTILISATION, &alarm, value, 1000 * MS)
    CHECK(!STEP(95)); /* of 60, 80 and 90 */
    CHECK_INT(alarm.pending, SQLPOOL_SEVERITY_CRITICAL);
    CHECK_INT(alarm.held_ns, 0);
    CHECK(!STEP(95));
    CHECK_INT(alarm.held_ns, 1000 * MS);
    CHECK(!STEP(10)); /* and down again */
    CHECK_INT(alarm.pending, SQLPOOL_SEVERITY_NONE);
    CHECK_INT(alarm.held_ns, 0);
    CHECK(!STEP(10));
    CHECK(!STEP(65)); /* not as far down as it was */
    CHECK_INT(alarm.pending, SQLPOOL_SEVERITY_NOTICE);
    CHECK_INT(alarm.held_ns, 2000 * MS);
    CHECK(!STEP(10)); /* what it was for all of the time is what it becomes */
    CHECK_INT(alarm.pending, SQLPOOL_SEVERITY_NOTICE);
    CHECK(!STEP(95));
    CHECK_INT(alarm.pending, SQLPOOL_SEVERITY_CRITICAL);
    CHECK_INT(alarm.held_ns, 0);
    CHECK(!STEP(80)); /* where it stands: nothing is to come */
    CHECK_INT(alarm.pending, SQLPOOL_SEVERITY_WARNING);
#undef STEP
    alarm.severity = alarm.pending = SQLPOOL_SEVERITY_NONE;
    CHECK(!sqlpool__alarm_step(&config, SQLPOOL_ALERT_UTILISATION, &alarm, 95, 1000 * MS));
    CHECK(!sqlpool__alarm_step(&config, SQLPOOL_ALERT_UTILISATION, &alarm, 85, 1000 * MS));
    CHECK_INT(alarm.pending, SQLPOOL_SEVERITY_WARNING); /* not as high as it was */
}

static void check_value(int kind, int64_t value, const char *expected) {
    char out[64];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    sqlpool__text_value(&text, kind, value);
    CHECK_STR(out, expected);
}
TEST(values_of_alerts_are_told_in_their_units) {
    check_value(SQLPOOL_ALERT_AVERAGE, 1500, "1.50 ms");
    check_value(SQLPOOL_ALERT_P95, 20, "20.0 us");
    check_value(SQLPOOL_ALERT_LOG, 64 << 20, "64.0 MiB");
    check_value(SQLPOOL_ALERT_FILE, 512, "512 B");
    check_value(SQLPOOL_ALERT_SUCCESS, 9905, "99.05 %");
    check_value(SQLPOOL_ALERT_SUCCESS, 10000, "100.00 %");
}

TEST(full_success_is_no_alert_whatever_the_limit) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool__resolve_config(&config);
    config.alerts[SQLPOOL_ALERT_SUCCESS].critical = 10000;
    CHECK_INT(sqlpool__alarm_severity(&config, SQLPOOL_ALERT_SUCCESS, 10000, false),
              SQLPOOL_SEVERITY_NONE);
    CHECK_INT(sqlpool__alarm_severity(&config, SQLPOOL_ALERT_SUCCESS, 9999, false),
              SQLPOOL_SEVERITY_CRITICAL);
}

TEST(the_gravest_alerts_come_first) {
    unit_pool u;
    sqlpool_alert alerts[4];
    PART(unit_begin(&u, "gravest.db", 1, NULL));
    u.core->alarms[SQLPOOL_ALERT_UTILISATION].severity = SQLPOOL_SEVERITY_NOTICE;
    u.core->alarms[SQLPOOL_ALERT_P95].severity = SQLPOOL_SEVERITY_WARNING;
    u.core->alarms[SQLPOOL_ALERT_MEMORY].severity = SQLPOOL_SEVERITY_CRITICAL;
    memset(alerts, 0x5a, sizeof alerts);
    CHECK_INT(sqlpool_get_alerts(u.pool, alerts, 1), 3); /* all are counted */
    CHECK_INT(alerts[0].kind, SQLPOOL_ALERT_MEMORY);
    CHECK_INT(alerts[1].kind, 0x5a5a5a5a);
    CHECK_INT(sqlpool_get_alerts(u.pool, alerts, 4), 3);
    CHECK_INT(alerts[1].kind, SQLPOOL_ALERT_P95);
    CHECK_INT(alerts[2].kind, SQLPOOL_ALERT_UTILISATION);
    CHECK_INT(alerts[3].kind, 0x5a5a5a5a);
    unit_close(&u);
}

/*  Memory is watched as a share of the hard limit, or without one of the soft limit. */
TEST(memory_is_a_share_of_its_limit) {
    unit_pool u;
    sqlpool_latency none;
    memset(&none, 0, sizeof none);
    PART(unit_begin(&u, "share.db", 1, NULL));
    PART(seconds(&u, 1));
    CHECK_INT(u.core->history_used, 1);
    u.core->history[0].memory_bytes = 3000;
#define VALUE() sqlpool__alarm_value(u.core, SQLPOOL_ALERT_MEMORY, &none)
    CHECK_INT(VALUE(), 0);
    u.core->config.memory_soft_bytes = 4000;
    CHECK_INT(VALUE(), 75);
    u.core->config.memory_hard_bytes = 6000;
    CHECK_INT(VALUE(), 50);
#undef VALUE
    u.core->config.memory_soft_bytes = u.core->config.memory_hard_bytes = 0;
    unit_close(&u);
}

/*---- causes ----*/

static void meet(unit_pool *u, int fault, int code) {
    char message[40];
    (void)snprintf(message, sizeof message, "code %d", code);
    unit_meet(u, fault, code, message);
}
/*  The one cause there is; NULL: none, or several. */
static const sqlpool_cause *cause_of(unit_pool *u) {
    static sqlpool_health health;
    if (sqlpool_get_health(u->pool, &health) != SQLPOOL_OK) return NULL;
    return health.cause_count == 1 ? &health.causes[0] : NULL;
}
static int score_of(unit_pool *u) {
    sqlpool_health health;
    return sqlpool_get_health(u->pool, &health) == SQLPOOL_OK ? health.score : -1;
}
/*  Its kind and its text. */
static void check_cause(unit_pool *u, int kind, const char *text) {
    const sqlpool_cause *cause = cause_of(u);
    if (cause == NULL) {
        test_fail(__FILE__, __LINE__, "none or several instead of %s: %s",
                  sqlpool__cause_table[kind].name, text);
        return;
    }
    CHECK_STR(sqlpool__cause_table[cause->kind].name, sqlpool__cause_table[kind].name);
    CHECK_HAS(cause->text, text);
}

TEST(every_code_is_a_fault_of_its_kind_or_none) {
    CHECK_INT(sqlpool__fault_of(SQLITE_CORRUPT), SQLPOOL__FAULT_CORRUPT);
    CHECK_INT(sqlpool__fault_of(SQLITE_CORRUPT_INDEX), SQLPOOL__FAULT_CORRUPT);
    CHECK_INT(sqlpool__fault_of(SQLITE_NOTADB), SQLPOOL__FAULT_CORRUPT);
    CHECK_INT(sqlpool__fault_of(SQLITE_CORRUPT_VTAB), SQLPOOL__FAULTS); /* of an extension's own */
    CHECK_INT(sqlpool__fault_of(SQLITE_FULL), SQLPOOL__FAULT_FULL);
    CHECK_INT(sqlpool__fault_of(SQLITE_IOERR_READ), SQLPOOL__FAULT_IO);
    CHECK_INT(sqlpool__fault_of(SQLITE_IOERR_NOMEM), SQLPOOL__FAULTS); /* not the disk's */
    CHECK_INT(sqlpool__fault_of(SQLITE_CONSTRAINT_UNIQUE), SQLPOOL__FAULTS);
    CHECK_INT(sqlpool__fault_of(SQLITE_OK), SQLPOOL__FAULTS);
}

TEST(faults_in_a_row_are_near_each_other) {
    static const int expected[] = {1, 2, 3, 1, 2};
    sqlpool__fault *it;
    unit_pool u;
    int i;
    PART(unit_begin(&u, "row.db", 1, NULL));
    it = &u.core->faults[SQLPOOL__FAULT_IO];
    for (i = 0; i < (int)LENGTH(expected); i++) {
        u.clock.now_ns += i == 3 ? SQLPOOL__FAULT_NS : SQLPOOL__FAULT_NS - 1;
        sqlpool__note_fault(&u.core->slots[0], SQLPOOL__FAULT_IO, SQLITE_IOERR_READ, "read");
        CHECK_INT(it->in_row, expected[i]);
        CHECK_INT(it->count, i + 1);
    }
    unit_close(&u);
}

TEST(damage_counts_until_the_file_is_another) {
    unit_pool u;
    PART(unit_begin(&u, "damage.db", 1, NULL));
    CHECK_INT(sqlpool_recycle(u.pool), SQLPOOL_OK); /* connections are not the first any more */
    CHECK_OK(unit_exec(&u, "CREATE TABLE t(x)"), &u.error);
    sqlpool__note_fault(&u.core->slots[sqlpool__lane_of(u.core, SQLPOOL_WRITE)->first],
                        SQLPOOL__FAULT_CORRUPT, SQLITE_CORRUPT, "code 11");
    u.clock.now_ns += 3600 * 1000 * MS; /* it does not heal */
    PART(check_cause(&u, SQLPOOL_CAUSE_CORRUPT, "SQLite found damage, 3600 s ago: code 11"));
    CHECK_INT(score_of(&u), 0);
    u.core->faults[SQLPOOL__FAULT_CORRUPT].epoch--; /* of a connection to the file before */
    CHECK_INT(score_of(&u), 100);
    u.core->breakers[SQLPOOL_WRITE].state = SQLPOOL__BREAKER_OPEN; /* damage of the log: no fault */
    u.core->breakers[SQLPOOL_WRITE].code = SQLITE_CORRUPT;
    (void)snprintf(u.core->breakers[SQLPOOL_WRITE].message,
                   sizeof u.core->breakers[SQLPOOL_WRITE].message, "the log lost its place");
    PART(check_cause(&u, SQLPOOL_CAUSE_CORRUPT, "the log lost its place"));
    CHECK_INT(cause_of(&u)->slot, -1);
    CHECK_INT(cause_of(&u)->code, SQLITE_CORRUPT);
    u.core->breakers[SQLPOOL_WRITE].code = SQLITE_FULL; /* it is open for something else */
    PART(check_cause(&u, SQLPOOL_CAUSE_FULL_DISK, "a write found no room"));
    u.core->breakers[SQLPOOL_WRITE].state = SQLPOOL__BREAKER_CLOSED;
    unit_close(&u);
}

TEST(a_failing_disk_is_the_cause_of_dead_connections) {
    unit_pool u;
    PART(unit_begin(&u, "dead.db", 1, NULL));
    meet(&u, SQLPOOL__FAULT_CONNECTION, SQLITE_IOERR_READ);
    PART(check_cause(&u, SQLPOOL_CAUSE_DEAD_CONNECTION, "closed and opened anew"));
    meet(&u, SQLPOOL__FAULT_IO, SQLITE_IOERR_READ);
    PART(check_cause(&u, SQLPOOL_CAUSE_FAILING_DISK, "the last failure, 0 s ago: code 266"));
    u.core->faults[SQLPOOL__FAULT_IO].in_row = 2; /* those may be the connection's */
    PART(check_cause(&u, SQLPOOL_CAUSE_DEAD_CONNECTION, "code 266"));
    u.clock.now_ns += SQLPOOL__FAULT_NS;
    CHECK_INT(score_of(&u), 100);
    unit_close(&u);
}

TEST(a_writer_is_stuck_when_it_does_nothing_or_somebody_waits) {
    unit_pool u;
    sqlpool_conn writer;
    int i;
    PART(unit_begin(&u, "stuck.db", 1, "CREATE TABLE t(x)"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &writer, &u.error), &u.error);
    PART(seconds(&u, 4));
    u.core->lane_of[SQLPOOL_WRITE]->waiting = 1;
    CHECK_INT(score_of(&u), 100); /* not yet out for five seconds */
    u.core->lane_of[SQLPOOL_WRITE]->waiting = 0;
    PART(seconds(&u, 4));
    PART(check_cause(&u, SQLPOOL_CAUSE_STUCK_WRITER, "writer #0 held for >= "));
    CHECK_OK(unit_exec_on(&u, &writer, "INSERT INTO t VALUES(1)"), &u.error);
    PART(seconds(&u, 1));
    CHECK_INT(score_of(&u), 100); /* it works, and nobody minds */
    for (i = 0; i < 2; i++) {     /* until it has done nothing for exactly five seconds */
        sqlpool__slot *slot = &u.core->slots[u.core->lane_of[SQLPOOL_WRITE]->first];
        const int64_t before = slot->sampled_ns;
        slot->sampled_ns = u.clock.now_ns - 5000 * MS + (i == 0 ? 1 : 0);
        CHECK_INT(score_of(&u) == 100, i == 0);
        slot->sampled_ns = before;
    }
    u.core->lane_of[SQLPOOL_WRITE]->waiting = 1;
    PART(check_cause(&u, SQLPOOL_CAUSE_STUCK_WRITER, "writer #0 held for >= "));
    u.core->lane_of[SQLPOOL_WRITE]->waiting = 0;
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    unit_close(&u);
}

TEST(readers_are_exhausted_when_all_are_out_and_somebody_waits) {
    unit_pool u;
    sqlpool__waiter waiters[2];
    sqlpool_conn conns[2];
    sqlpool__lane *lane;
    PART(unit_begin(&u, "exhausted.db", 2, NULL));
    lane = u.core->lane_of[SQLPOOL_READ];
    memset(waiters, 0, sizeof waiters);
    waiters[0].mode = SQLPOOL_WRITE; /* as in a pool whose connections do both */
    waiters[0].since_ns = u.clock.now_ns - 5000 * MS;
    waiters[1].mode = SQLPOOL_READ;
    waiters[1].since_ns = u.clock.now_ns - 2000 * MS;
    PART(hold(&u, conns, 2));
    sqlpool__list_insert_before(&lane->queue, &waiters[0].link);
    CHECK_INT(score_of(&u), 100);
    sqlpool__list_insert_before(&lane->queue, &waiters[1].link);
    lane->waiting = 1;
    PART(check_cause(&u, SQLPOOL_CAUSE_EXHAUSTED,
                     "1 wait for a reader, the oldest for 2000 ms; all 2 are out"));
    waiters[1].since_ns = u.clock.now_ns - 999 * MS;
    CHECK_INT(score_of(&u), 100);
    waiters[1].since_ns = u.clock.now_ns - 2000 * MS;
    u.core->slots[2].word += SQLPOOL__IDLE - SQLPOOL__LEASED; /* for a moment one is free */
    CHECK_INT(score_of(&u), 100);
    u.core->slots[2].word += SQLPOOL__LEASED - SQLPOOL__IDLE;
    sqlpool__list_remove(&waiters[0].link);
    sqlpool__list_remove(&waiters[1].link);
    lane->waiting = 0;
    PART(let_go(conns, 2));
    unit_close(&u);
}

/*  Who pins most is named, if he alone pins more than the budget; else it is another process. */
TEST(a_log_is_pinned_by_who_pins_most) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 3);
    sqlpool_conn conns[3];
    int64_t page;
    int i;
    config.wal_budget_bytes = 65536;
    PART(unit_open(&u, "pinned.db", &config));
    page = sqlpool__page_bytes(u.core);
    PART(hold(&u, conns, 3));
    u.core->wal_frames = (uint32_t)(100000 / page);
    u.core->frames_total = 1000;
    for (i = 1; i <= 3; i++) u.core->slots[i].frames_at = 1000;
    u.core->pinned_in_row = SQLPOOL__PINS_BEFORE_LOG - 1;
    CHECK_INT(score_of(&u), 100); /* it may be that a reader has just ended */
    u.core->pinned_in_row++;
    PART(check_cause(&u, SQLPOOL_CAUSE_PINNED_LOG,
                     "KiB of log, pinned by a reader of another process or pool"));
    CHECK_INT(cause_of(&u)->slot, -1);
    u.core->slots[2].frames_at = 1000 - (uint64_t)(80000 / page);
    u.core->slots[3].frames_at = 1000 - (uint64_t)(70000 / page);
    u.core->pinned_in_row = 1;
    PART(check_cause(&u, SQLPOOL_CAUSE_PINNED_LOG, "pinned by reader #2"));
    CHECK_INT(cause_of(&u)->slot, 2);
    u.core->slots[2].frames_at = 1000 - (uint64_t)(60000 / page);
    u.core->slots[3].frames_at = 1000 - (uint64_t)(50000 / page);
    CHECK_INT(score_of(&u),
              100); /* without these two there would be no log beyond the budget either */
    u.core->pinned_in_row = 0;
    u.core->slots[2].frames_at = 0;
    CHECK_INT(score_of(&u), 100); /* no checkpoint has met him */
    u.core->pinned_in_row = 1;
    u.core->wal_frames = (uint32_t)(65536 / page);
    CHECK_INT(score_of(&u), 100); /* the budget itself is not beyond it */
    PART(let_go(conns, 3));
    u.core->wal_frames = (uint32_t)(100000 / page);
    u.core->pinned_in_row = SQLPOOL__PINS_BEFORE_LOG;
    PART(check_cause(&u, SQLPOOL_CAUSE_PINNED_LOG, "another process or pool"));
    unit_close(&u);
}

TEST(memory_below_its_soft_limit_is_no_cause) {
    unit_pool u;
    sqlpool_memory memory;
    PART(unit_begin(&u, "below.db", 1, NULL));
    CHECK_INT(sqlpool_get_memory(u.pool, &memory), SQLPOOL_OK);
    u.core->config.memory_soft_bytes = memory.total_bytes + 100000;
    CHECK_INT(score_of(&u), 100);
    PART(seconds(&u, 1)); /* and nothing is given up for it */
    CHECK_INT(u.log.counts[SQLPOOL_LOG_MEMORY], 0);
    CHECK_INT(sqlpool__counter(u.core, SQLPOOL__COUNT_memory_sheds), 0);
    u.core->config.memory_soft_bytes = 2048;
    PART(check_cause(&u, SQLPOOL_CAUSE_MEMORY, " are held, memory_soft_bytes is 2.00 KiB"));
    u.core->config.memory_soft_bytes = 0;
    unit_close(&u);
}

static int access_fails(sqlite3_vfs *vfs, const char *path, int flags, int *result) {
    (void)vfs;
    (void)path;
    (void)flags;
    *result = 0;
    return SQLITE_IOERR_ACCESS;
}
/*  Where no connection can be opened, the file's absence is looked for; where nobody can tell, it is
    not said to be gone. */
TEST(a_file_that_is_gone_is_found_when_nothing_opens) {
    sqlite3_vfs broken = *sqlite3_vfs_find(NULL);
    unit_pool u;
    char broken_name[] = "health-broken", no_name[] = "there is no such VFS", *vfs_name;
    PART(unit_begin(&u, "gone.db", 1, NULL));
    vfs_name = u.core->vfs_name;
    broken.zName = broken_name;
    broken.pNext = NULL;
    broken.xAccess = access_fails;
    CHECK_INT(sqlite3_vfs_register(&broken, 0), SQLITE_OK);
    CHECK(rename("gone.db", "moved.db") == 0);
    CHECK_INT(score_of(&u), 100); /* nobody has noticed */
    u.core->open_error = SQLITE_CANTOPEN_ISDIR;
    PART(check_cause(&u, SQLPOOL_CAUSE_MOVED, "gone.db any more"));
    u.core->vfs_name = broken_name;
    CHECK_INT(score_of(&u), 100);
    u.core->vfs_name = no_name;
    CHECK_INT(score_of(&u), 100);
    u.core->vfs_name = vfs_name;
    u.core->config.enable_uri = true; /* the path is none then */
    CHECK_INT(score_of(&u), 100);
    u.core->config.enable_uri = false;
    u.core->is_memory = true;
    CHECK_INT(score_of(&u), 100);
    u.core->is_memory = false;
    CHECK(rename("moved.db", "gone.db") == 0);
    CHECK_INT(score_of(&u), 100); /* it failed for another reason */
    u.core->open_error = SQLITE_OK;
    CHECK_INT(sqlite3_vfs_unregister(&broken), SQLITE_OK);
    unit_close(&u);
}

/*---- memory ----*/

static void fill_caches(unit_pool *u, int statements) {
    sqlpool_conn conns[3];
    int i, k;
    hold(u, conns, 3);
    for (i = 0; i < 3; i++) {
        for (k = 0; k < statements; k++) {
            char sql[80];
            (void)snprintf(sql, sizeof sql, "SELECT count(x || '') + %d FROM t", k);
            CHECK_OK(unit_exec_on(u, &conns[i], sql), &u->error);
        }
    }
    let_go(conns, 3);
}

TEST(memory_is_told_by_what_it_is_for) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 3);
    sqlpool_memory memory;
    sqlpool_stats stats;
    int64_t sum = 0;
    config.idle_timeout_ms = SQLPOOL_OFF;
    PART(unit_open_with(&u, "memory.db", &config,
                        "CREATE TABLE t(x); INSERT INTO t VALUES(zeroblob(300000));"
                        "DELETE FROM t; INSERT INTO t VALUES(zeroblob(100000))"));
    PART(fill_caches(&u, 20));
    PART(seconds(&u, 40)); /* measured, and the free pages counted */
    CHECK_INT(sqlpool_get_memory(u.pool, &memory), SQLPOOL_OK);
    CHECK_INT(sqlpool_get_stats(u.pool, &stats), SQLPOOL_OK);
#define ADD(name, text) \
    if (strstr(#name, "_bytes") != NULL) sum += memory.name;
    SQLPOOL_MEMORY_MEMBERS(ADD)
#undef ADD
    CHECK_INT(sum, memory.total_bytes);
    CHECK_INT(memory.pool_bytes + memory.statement_bytes + memory.monitoring_bytes +
                  memory.queue_bytes + memory.other_bytes,
              stats.memory_bytes);
    CHECK(memory.statement_bytes > 60 * 100);
    CHECK(memory.page_cache_bytes > 100000);
    CHECK(memory.prepared_bytes > 60 * 500);
    CHECK(memory.schema_bytes > 100);
    CHECK(memory.monitoring_bytes > 10000);
    CHECK(memory.file_bytes > 300000 && memory.file_bytes < 600000);
    CHECK(memory.free_bytes > 100000 && memory.free_bytes < memory.file_bytes);
    CHECK_INT(memory.wal_bytes, stats.wal_bytes);
    CHECK(memory.process_bytes > memory.page_cache_bytes);
    unit_close(&u);
}

TEST(the_file_grows_by_so_much_an_hour) {
    unit_pool u;
    sqlpool_memory memory;
    int i;
    PART(unit_begin(&u, "growth.db", 1, "CREATE TABLE t(x)"));
    for (i = 0; i < 120; i++) { /* a page each second */
        CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(zeroblob(4000))"), &u.error);
        PART(seconds(&u, 1));
    }
    CHECK_INT(sqlpool_get_memory(u.pool, &memory), SQLPOOL_OK);
    CHECK(memory.growth_bytes > 3600 * 4000 && memory.growth_bytes < 3600 * 5000);
    unit_close(&u);
}

/*  First statements, then pages, then connections; and no more than it takes. */
TEST(above_the_soft_limit_caches_shrink_in_order) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 3);
    sqlpool_memory memory;
    int64_t total, statements;
    config.idle_timeout_ms = SQLPOOL_OFF;
    PART(unit_open_with(&u, "soft.db", &config,
                        "CREATE TABLE t(x); INSERT INTO t VALUES(zeroblob(1000000))"));
    PART(fill_caches(&u, 40));
    PART(seconds(&u, 12));
    CHECK_INT(sqlpool_get_memory(u.pool, &memory), SQLPOOL_OK);
    total = memory.total_bytes;
    statements = memory.statement_bytes;
    CHECK(memory.page_cache_bytes > 2000000);

    u.core->config.memory_soft_bytes = total - 1000; /* a few statements do */
    PART(seconds(&u, 1));
    CHECK_INT(sqlpool_get_memory(u.pool, &memory), SQLPOOL_OK);
    CHECK(memory.total_bytes <= total - 1000);
    CHECK(memory.statement_bytes < statements && memory.statement_bytes > 0);
    CHECK(memory.page_cache_bytes > 2000000);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_MEMORY], 1);
    CHECK_INT(sqlpool__open_count(u.core), 4);

    u.core->config.memory_soft_bytes = total - 1500000; /* pages have to go */
    PART(seconds(&u, 1));
    CHECK_INT(sqlpool_get_memory(u.pool, &memory), SQLPOOL_OK);
    CHECK(memory.total_bytes <= total - 1500000);
    CHECK_INT(sqlpool__open_count(u.core), 4);

    u.core->config.memory_soft_bytes = 1; /* everything that can */
    PART(seconds(&u, 1));
    CHECK_INT(sqlpool__open_count(u.core), 1);
    CHECK(u.core->slots[0].db != NULL);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_MEMORY], "and connections were dropped");
    CHECK_INT(sqlpool__counter(u.core, SQLPOOL__COUNT_memory_sheds), 3);
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
    unit_close(&u);
}

static int say_one(sqlpool_conn *conn, void *user, int attempt) {
    (void)attempt;
    ++*(int *)user;
    return sqlpool_conn_exec(conn, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, NULL, NULL);
}

/*  The queue of submitted writes is of its own; what cannot be told apart is never below 0. */
TEST(memory_of_a_queue_is_the_queues) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_memory before, after;
    sqlpool_ticket ticket;
    int calls = 0;
    config.submit_count = 50;
    PART(unit_open_with(&u, "queue.db", &config, "CREATE TABLE t(x)"));
    CHECK_INT(sqlpool_get_memory(u.pool, &before), SQLPOOL_OK);
    CHECK_INT(before.queue_bytes, 0);
    CHECK_INT(before.growth_bytes, 0); /* there is no sample yet */
    CHECK_OK(sqlpool_submit_write(u.pool, NULL, &ticket, say_one, &calls, &u.error), &u.error);
    CHECK_INT(sqlpool_get_memory(u.pool, &after), SQLPOOL_OK);
    CHECK(after.queue_bytes >= 50 * (int64_t)sizeof(struct sqlpool__entry));
    u.core->memory.held_bytes -= 1 << 30;
    CHECK_INT(sqlpool_get_memory(u.pool, &after), SQLPOOL_OK);
    CHECK_INT(after.other_bytes, 0);
    u.core->memory.held_bytes += 1 << 30;
    CHECK_OK(sqlpool_ticket_wait(&ticket, 1000, NULL, &u.error), &u.error);
    CHECK_INT(calls, 1);
    unit_close(&u);
}

/*  However many wait: nothing is counted twice. */
TEST(memory_of_a_full_queue_is_counted_once) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_memory memory;
    sqlpool_stats stats;
    int calls = 0, i;
    config.submit_count = 300;
    config.submit_bytes = 1 << 20;
    PART(unit_open_with(&u, "full.db", &config, "CREATE TABLE t(x)"));
    for (i = 0; i < 300; i++)
        CHECK_OK(sqlpool_submit_write(u.pool, NULL, NULL, say_one, &calls, &u.error), &u.error);
    CHECK_INT(sqlpool_get_memory(u.pool, &memory), SQLPOOL_OK);
    CHECK_INT(sqlpool_get_stats(u.pool, &stats), SQLPOOL_OK);
    CHECK_INT(memory.pool_bytes + memory.statement_bytes + memory.monitoring_bytes +
                  memory.queue_bytes + memory.other_bytes,
              stats.memory_bytes);
    CHECK_OK(sqlpool_flush(u.pool, 1000, &u.error), &u.error);
    CHECK_INT(calls, 300);
    unit_close(&u);
}

/*  Readers and the writer exclude each other there, but a size is not theirs to keep. */
TEST(the_size_of_a_file_without_a_log_is_known) {
    static const int journals[] = {SQLPOOL_JOURNAL_WAL, SQLPOOL_JOURNAL_DELETE,
                                   SQLPOOL_JOURNAL_TRUNCATE, SQLPOOL_JOURNAL_MEMORY};
    size_t i;
    for (i = 0; i < LENGTH(journals); i++) {
        static const char *const paths[] = {"size_wal.db", "size_delete.db", "size_truncate.db",
                                            ":memory:"};
        unit_pool u;
        sqlpool_config config = unit_config(&u, 1);
        sqlpool_memory memory;
        config.journal = journals[i];
        PART(unit_open_with(&u, paths[i], &config,
                            "CREATE TABLE t(x); INSERT INTO t VALUES(zeroblob(200000))"));
        PART(seconds(&u, 40));
        CHECK_INT(sqlpool_get_memory(u.pool, &memory), SQLPOOL_OK);
        if (strcmp(paths[i], ":memory:") == 0) {
            CHECK_INT(memory.file_bytes, 0); /* there is no file */
        } else if (memory.file_bytes < 200000) {
            test_fail(__FILE__, __LINE__, "%s: %lld bytes", paths[i], (long long)memory.file_bytes);
        }
        unit_close(&u);
    }
}

static int deny_page_count(void *user, int action, const char *a, const char *b,
                           const char *database, const char *trigger) {
    (void)user;
    (void)b;
    (void)database;
    (void)trigger;
    return action == SQLITE_PRAGMA && strcmp(a, "page_count") == 0 ? SQLITE_DENY : SQLITE_OK;
}
static int add_authorizer(void *user, const sqlpool_conn *conn) {
    sqlpool_conn copy = *conn;
    sqlpool_chain chain;
    memset(&chain, 0, sizeof chain);
    chain.authorizer_fn = deny_page_count;
    (void)user;
    return sqlpool_conn_chain(&copy, &chain);
}
/*  Where the program's own authorizer refuses the question the size is the one of before. */
TEST(a_size_that_may_not_be_asked_for_stays) {
    int is_denied;
    for (is_denied = 0; is_denied < 2; is_denied++) {
        unit_pool u;
        sqlpool_config config = unit_config(&u, 0); /* of one connection */
        sqlpool_memory before, after;
        config.journal = SQLPOOL_JOURNAL_DELETE; /* a log's index would tell */
        if (is_denied) config.events.connect_fn = add_authorizer;
        PART(unit_open(&u, is_denied ? "denied.db" : "asked.db", &config));
        CHECK_INT(sqlpool_get_memory(u.pool, &before), SQLPOOL_OK);
        CHECK_OK(unit_script(
                     &u, "CREATE TABLE t(x); INSERT INTO t VALUES(zeroblob(100000));"
                         "CREATE TABLE s(x); INSERT INTO s VALUES(zeroblob(100000)); DROP TABLE s"),
                 &u.error);
        PART(seconds(&u, 40));
        CHECK_INT(sqlpool_get_memory(u.pool, &after), SQLPOOL_OK);
        CHECK(after.free_bytes > 90000);
        CHECK_INT(after.file_bytes > 200000, !is_denied);
        CHECK_INT(after.file_bytes == before.file_bytes, is_denied);
        unit_close(&u);
    }
}

/*  Whatever the limit, min_connections stay open. */
TEST(above_the_soft_limit_the_least_connections_stay) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 3);
    config.min_connections = 3;
    config.idle_timeout_ms = SQLPOOL_OFF;
    PART(unit_open_with(&u, "least.db", &config, "CREATE TABLE t(x)"));
    PART(fill_caches(&u, 1));
    CHECK_INT(sqlpool__open_count(u.core), 4);
    u.core->config.memory_soft_bytes = 1;
    PART(seconds(&u, 1));
    CHECK_INT(sqlpool__open_count(u.core), 3);
    PART(seconds(&u, 5));
    CHECK_INT(sqlpool__open_count(u.core), 3);
    CHECK_INT(sqlpool__counter(u.core, SQLPOOL__COUNT_closed_idle), 1);
    u.core->config.memory_soft_bytes = 0;
    unit_close(&u);
}

TEST(above_the_hard_limit_nothing_is_allocated) {
    unit_pool u;
    sqlpool_conn conn, second;
    sqlpool_stats stats;
    int rc;
    PART(unit_begin(&u, "hard.db", 3, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_INT(sqlpool_get_stats(u.pool, &stats), SQLPOOL_OK);
    u.core->memory.limit_bytes = stats.memory_bytes + 100;
    u.core->config.memory_hard_bytes = stats.memory_bytes + 100;
    rc = unit_exec_on(&u, &conn, "SELECT 'a statement that is new'");
    CHECK_INT(rc, SQLPOOL_NOMEM);
    CHECK_HAS(u.error.message, "memory_hard_bytes");
    rc = sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &second, &u.error);
    CHECK(rc != SQLPOOL_OK);
    CHECK_HAS(u.error.message, "memory_hard_bytes");
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    u.core->memory.limit_bytes = 0; /* and without it all goes on */
    u.core->config.memory_hard_bytes = 0;
    u.clock.now_ns += 1000 * MS;
    CHECK_OK(unit_exec(&u, "SELECT 'a statement that is new'"), &u.error);
    unit_close(&u);
}

/*  What measures must not keep a connection from being idle. */
TEST(to_be_measured_is_not_to_be_used) {
    unit_pool u;
    PART(unit_begin(&u, "idle.db", 3, "CREATE TABLE t(x)"));
    PART(fill_caches(&u, 1));
    CHECK_INT(sqlpool__open_count(u.core), 4);
    u.core->next_health_ns = SQLPOOL__NEVER; /* a check is */
    PART(seconds(&u, 31));                   /* idle for 30 s since the first look */
    CHECK_INT(sqlpool__open_count(u.core), 1);
    unit_close(&u);
}

/*  The pool has it for itself. */
TEST(the_connection_for_checkpoints_is_not_counted) {
    sqlpool__sample sample;
    unit_pool u;
    PART(unit_begin(&u, "itself.db", 1, "CREATE TABLE t(x)"));
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), &u.error);
    CHECK(u.core->checkpointer->is_open != 0);
    memset(&sample, 0, sizeof sample);
    sqlpool__sample_counts(u.core, &sample);
    CHECK_INT(sample.open, sqlpool__open_count(u.core));
    unit_close(&u);
    /* nor are those that are closed, of which there are more here */
    PART(unit_begin(&u, "itself.db", 5, NULL));
    memset(&sample, 0, sizeof sample);
    sqlpool__sample_counts(u.core, &sample);
    CHECK(sample.open > 0 && sample.open < 3);
    CHECK_INT(sample.open, sqlpool__open_count(u.core));
    unit_close(&u);
}

int main(void) {
    RUN(an_hour_of_steady_load_raises_no_alert);
    RUN(an_alert_is_raised_once_and_cleared_once);
    RUN(a_value_that_moves_about_its_limit_does_not_flap);
    RUN(success_is_watched_downwards);
    RUN(every_kind_is_measured);
    RUN(a_clock_that_jumps_raises_nothing);
    RUN(without_samples_there_are_no_alerts);
    RUN(bad_limits_are_refused_by_name);
    RUN(limits_resolve_to_the_documented_ones);
    RUN(an_alert_with_the_longest_interval_is_told);
    RUN(an_alert_that_turns_round_waits_again);
    RUN(values_of_alerts_are_told_in_their_units);
    RUN(full_success_is_no_alert_whatever_the_limit);
    RUN(the_gravest_alerts_come_first);
    RUN(memory_is_a_share_of_its_limit);
    RUN(every_code_is_a_fault_of_its_kind_or_none);
    RUN(faults_in_a_row_are_near_each_other);
    RUN(damage_counts_until_the_file_is_another);
    RUN(a_failing_disk_is_the_cause_of_dead_connections);
    RUN(a_writer_is_stuck_when_it_does_nothing_or_somebody_waits);
    RUN(readers_are_exhausted_when_all_are_out_and_somebody_waits);
    RUN(a_log_is_pinned_by_who_pins_most);
    RUN(memory_below_its_soft_limit_is_no_cause);
    RUN(a_file_that_is_gone_is_found_when_nothing_opens);
    RUN(memory_is_told_by_what_it_is_for);
    RUN(the_file_grows_by_so_much_an_hour);
    RUN(above_the_soft_limit_caches_shrink_in_order);
    RUN(memory_of_a_queue_is_the_queues);
    RUN(memory_of_a_full_queue_is_counted_once);
    RUN(the_size_of_a_file_without_a_log_is_known);
    RUN(a_size_that_may_not_be_asked_for_stays);
    RUN(above_the_soft_limit_the_least_connections_stay);
    RUN(above_the_hard_limit_nothing_is_allocated);
    RUN(to_be_measured_is_not_to_be_used);
    RUN(the_connection_for_checkpoints_is_not_counted);
    return test_end();
}
