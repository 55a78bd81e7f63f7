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
    PART(unit_open(&u, "steady.db", &config));
    CHECK_OK(sqlpool_script(u.pool, "CREATE TABLE t(x)", -1, &u.error), &u.error);
    for (second = 0; second < 3600; second++) {
        u.clock.step_ns = second % 60 == 30 ? 150 * MS : MS;
        for (i = 0; i < 5; i++) {
            int64_t value;
            CHECK_OK(sqlpool_query_int64(u.pool, &value, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS,
                                         &u.error),
                     &u.error);
            u.clock.step_ns = MS;
        }
        CHECK_OK(sqlpool_exec(u.pool, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, &u.error),
                 &u.error);
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
    PART(unit_open(&u, "kinds.db", &config));
    CHECK_OK(sqlpool_script(u.pool, "CREATE TABLE t(x)", -1, &u.error), &u.error);
    PART(seconds(&u, 3));
    u.clock.step_ns = 100 * MS;
    for (i = 0; i < 40; i++)
        CHECK_OK(sqlpool_exec(u.pool, "INSERT INTO t VALUES(zeroblob(20000))", SQLPOOL_NO_ARGS,
                              &u.error),
                 &u.error);
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

/*---- memory ----*/

static void fill_caches(unit_pool *u, int statements) {
    sqlpool_conn conns[3];
    int i, k;
    hold(u, conns, 3);
    for (i = 0; i < 3; i++) {
        for (k = 0; k < statements; k++) {
            char sql[80];
            (void)snprintf(sql, sizeof sql, "SELECT count(x || '') + %d FROM t", k);
            CHECK_OK(sqlpool_conn_exec(&conns[i], sql, SQLPOOL_NO_ARGS, NULL, &u->error),
                     &u->error);
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
    PART(unit_open(&u, "memory.db", &config));
    CHECK_OK(sqlpool_script(u.pool,
                            "CREATE TABLE t(x); INSERT INTO t VALUES(zeroblob(300000));"
                            "DELETE FROM t; INSERT INTO t VALUES(zeroblob(100000))",
                            -1, &u.error),
             &u.error);
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
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_memory memory;
    int i;
    PART(unit_open(&u, "growth.db", &config));
    CHECK_OK(sqlpool_script(u.pool, "CREATE TABLE t(x)", -1, &u.error), &u.error);
    for (i = 0; i < 120; i++) { /* a page each second */
        CHECK_OK(
            sqlpool_exec(u.pool, "INSERT INTO t VALUES(zeroblob(4000))", SQLPOOL_NO_ARGS, &u.error),
            &u.error);
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
    PART(unit_open(&u, "soft.db", &config));
    CHECK_OK(sqlpool_script(u.pool, "CREATE TABLE t(x); INSERT INTO t VALUES(zeroblob(1000000))",
                            -1, &u.error),
             &u.error);
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
    CHECK_OK(sqlpool_exec(u.pool, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, &u.error), &u.error);
    unit_close(&u);
}

TEST(above_the_hard_limit_nothing_is_allocated) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 3);
    sqlpool_conn conn, second;
    sqlpool_stats stats;
    int rc;
    PART(unit_open(&u, "hard.db", &config));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_INT(sqlpool_get_stats(u.pool, &stats), SQLPOOL_OK);
    u.core->memory.limit_bytes = stats.memory_bytes + 100;
    u.core->config.memory_hard_bytes = stats.memory_bytes + 100;
    rc = sqlpool_conn_exec(&conn, "SELECT 'a statement that is new'", SQLPOOL_NO_ARGS, NULL,
                           &u.error);
    CHECK_INT(rc, SQLPOOL_NOMEM);
    CHECK_HAS(u.error.message, "memory_hard_bytes");
    rc = sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &second, &u.error);
    CHECK(rc != SQLPOOL_OK);
    CHECK_HAS(u.error.message, "memory_hard_bytes");
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    u.core->memory.limit_bytes = 0; /* and without it all goes on */
    u.core->config.memory_hard_bytes = 0;
    u.clock.now_ns += 1000 * MS;
    CHECK_OK(sqlpool_exec(u.pool, "SELECT 'a statement that is new'", SQLPOOL_NO_ARGS, &u.error),
             &u.error);
    unit_close(&u);
}

/*  What measures must not keep a connection from being idle. */
TEST(to_be_measured_is_not_to_be_used) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 3);
    PART(unit_open(&u, "idle.db", &config));
    CHECK_OK(sqlpool_script(u.pool, "CREATE TABLE t(x)", -1, &u.error), &u.error);
    PART(fill_caches(&u, 1));
    CHECK_INT(sqlpool__open_count(u.core), 4);
    u.core->next_health_ns = SQLPOOL__NEVER; /* a check is */
    PART(seconds(&u, 31)); /* idle for 30 s since the first look */
    CHECK_INT(sqlpool__open_count(u.core), 1);
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
    RUN(memory_is_told_by_what_it_is_for);
    RUN(the_file_grows_by_so_much_an_hour);
    RUN(above_the_soft_limit_caches_shrink_in_order);
    RUN(above_the_hard_limit_nothing_is_allocated);
    RUN(to_be_measured_is_not_to_be_used);
    return test_end();
}
