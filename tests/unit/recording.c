/*  recording.c - white box: what a pool records on virtual time, where a statement lasts as long as
    an SQL function says (I09, I10.3.1, I12.3, I12.4, I19).
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
/*  Zones count themselves. */
static int zones_open, zones_begun, zones_crossed;
static void zone_ends(const char *zone) {
    zones_crossed += zone == 0 || zones_open < 1;
    zones_open--;
}
#define SQLPOOL_ZONE_BEGIN(zone, name) \
    const char *const zone = name;     \
    zones_begun++, zones_open++
#define SQLPOOL_ZONE_END(zone) zone_ends(zone)
#define SQLPOOL_IMPLEMENTATION
#include "unit/unit.h"

#include <math.h>
#include <stdlib.h>

#define CANARY "c4n4ry-of-a-value"
#define SECOND (1000 * MS)

static sim_clock *clock_of_take;

/*  take(ns): so much time passes; gives ns. */
static void take(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    sim_clock_advance(clock_of_take, sqlite3_value_int64(values[0]));
    sqlite3_result_int64(context, sqlite3_value_int64(values[0]));
}
static int add_take(void *user, const sqlpool_conn *conn) {
    (void)user;
    return unit_add_function(conn, "take", 1, take);
}
static sqlpool_config config_of(unit_pool *u) {
    sqlpool_config config = unit_config(u, 2);
    config.min_connections = 2;
    clock_of_take = &u->clock;
    config.events.connect_fn = add_take;
    return config;
}
static void open_with(unit_pool *u, const char *path, const sqlpool_config *config) {
    unit_open_new(u, path, config,
                  "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE TABLE u(x, y)");
}
static void begin(unit_pool *u, const char *path) {
    const sqlpool_config config = config_of(u);
    open_with(u, path, &config);
}
static void run_for(unit_pool *u, int64_t ns) {
    int64_t value = 0;
    CHECK_OK(sqlpool_query_int64(u->pool, &value, "SELECT take(?)", SQLPOOL_ARGS(ns), &u->error),
             &u->error);
    CHECK_INT(value, ns);
}
/*  The kind of a statement, or a zeroed one. */
static sqlpool_statement_stats kind_of(unit_pool *u, const char *sql) {
    static sqlpool_statement_stats all[64], none;
    const uint64_t fingerprint = sqlpool_fingerprint(sql, NULL, 0);
    int count = sqlpool_get_statements(u->pool, SQLPOOL_BY_TOTAL, all, 64), i;
    for (i = 0; i < count && i < 64; i++)
        if (all[i].fingerprint == fingerprint) return all[i];
    return none;
}
static sqlpool_latency latency_of(unit_pool *u, sqlpool_timing which, int window_s) {
    sqlpool_latency latency;
    const int rc = sqlpool_get_latency(u->pool, which, window_s, &latency);
    if (rc != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "latency: %d", rc);
    return latency;
}

/*---- latencies ----*/

static int by_value(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}
static void check_near(const char *what, int64_t told, int64_t exact) {
    if (fabs((double)(told - exact)) > (double)exact * 0.02 + 1)
        test_fail(__FILE__, __LINE__, "%s: %" PRId64 " instead of %" PRId64, what, told, exact);
}
static int64_t exact_at(const int64_t *sorted, int count, int thousandths) {
    const int rank = (int)(((int64_t)count * thousandths + 999) / 1000);
    return sorted[rank > 0 ? rank - 1 : 0];
}
/*  Pareto: a tail over six powers of ten. */
TEST(percentiles_of_a_heavy_tail_are_within_two_percent) {
    enum { COUNT = 5000 };
    static int64_t values[COUNT];
    sim_random random = {sim_seed(), NULL, 0, 0};
    sqlpool_statement_stats kind;
    sqlpool_latency latency;
    unit_pool u;
    int64_t total = 0;
    int i;
    PART(begin(&u, "tail.db"));
    for (i = 0; i < COUNT; i++) {
        const double x = ((double)(sim_random_next(&random) >> 11) + 1) / 9007199254740993.0;
        const double value = 300 * pow(x, -1.1);
        values[i] = value < 1e11 ? (int64_t)value : INT64_C(100000000000);
        total += values[i];
        PART(run_for(&u, values[i]));
    }
    qsort(values, COUNT, sizeof *values, by_value);
    kind = kind_of(&u, "SELECT take(?)");
    CHECK_INT(kind.calls, COUNT);
    CHECK_INT(kind.total_ns, total);
    CHECK_INT(kind.mean_ns, (total + COUNT / 2) / COUNT);
    CHECK_INT(kind.min_ns, values[0]);
    CHECK_INT(kind.max_ns, values[COUNT - 1]);
    check_near("p50 of the kind", kind.p50_ns, exact_at(values, COUNT, 500));
    check_near("p95 of the kind", kind.p95_ns, exact_at(values, COUNT, 950));
    check_near("p99 of the kind", kind.p99_ns, exact_at(values, COUNT, 990));
    latency = latency_of(&u, SQLPOOL_TIMING_HOLD, 0);
    CHECK_INT(latency.count, COUNT + 1); /* and the script */
    latency = latency_of(&u, SQLPOOL_TIMING_STATEMENT, 0);
    CHECK_INT(latency.count, COUNT + 2); /* its statements took no time */
    CHECK_INT(latency.max_ns, values[COUNT - 1]);
    check_near("p50", latency.p50_ns, exact_at(values, COUNT, 500));
    check_near("p95", latency.p95_ns, exact_at(values, COUNT, 950));
    check_near("p99", latency.p99_ns, exact_at(values, COUNT, 990));
    check_near("p999", latency.p999_ns, exact_at(values, COUNT, 999));
    unit_close(&u);
}

TEST(a_histogram_counts_up_to_its_bounds) {
    static const int64_t bounds[] = {100, 1000, 10000, INT64_MAX};
    uint64_t counts[4];
    sqlpool_latency latency;
    unit_pool u;
    int i;
    PART(begin(&u, "bounds.db"));
    for (i = 0; i < 10; i++) PART(run_for(&u, 500));
    for (i = 0; i < 5; i++) PART(run_for(&u, 5000));
    PART(run_for(&u, 50000));
    CHECK_INT(sqlpool_get_histogram(u.pool, SQLPOOL_TIMING_STATEMENT, 0, bounds, counts, 4, &latency),
              SQLPOOL_OK);
    CHECK_INT(counts[0], 2);
    CHECK_INT(counts[1], 12);
    CHECK_INT(counts[2], 17);
    CHECK_INT(counts[3], 18);
    CHECK_INT(latency.count, 18);
    unit_close(&u);
}

/*  What came in the last seconds, step by step. */
TEST(windows_forget) {
    sqlpool_latency_step steps[40];
    int64_t opened_ns;
    unit_pool u;
    int i;
    PART(begin(&u, "windows.db"));
    opened_ns = u.clock.now_ns;
    for (i = 0; i < 7; i++) PART(run_for(&u, 80000));
    sim_clock_advance(&u.clock, 10 * SECOND);
    CHECK_INT(sqlpool_tick(u.pool, 0), SQLPOOL_OK);
    for (i = 0; i < 4; i++) PART(run_for(&u, 40000));
    CHECK_INT(latency_of(&u, SQLPOOL_TIMING_STATEMENT, 10).count, 4 + 7 + 2);
    sim_clock_advance(&u.clock, 10 * SECOND);
    CHECK_INT(latency_of(&u, SQLPOOL_TIMING_STATEMENT, 10).count, 4);
    check_near("p50 of 10 s", latency_of(&u, SQLPOOL_TIMING_STATEMENT, 10).p50_ns, 40000);
    check_near("max of 10 s", latency_of(&u, SQLPOOL_TIMING_STATEMENT, 10).max_ns, 40000);
    check_near("mean of 10 s", latency_of(&u, SQLPOOL_TIMING_STATEMENT, 10).mean_ns, 40000);
    CHECK_INT(latency_of(&u, SQLPOOL_TIMING_STATEMENT, 300).count, 4 + 7 + 2);
    CHECK_INT(sqlpool_tick(u.pool, 0), SQLPOOL_OK);
    CHECK_INT(sqlpool_get_latency_steps(u.pool, SQLPOOL_TIMING_STATEMENT, steps, 40), 3);
    CHECK_INT(steps[0].latency.count, 9);
    CHECK_INT(steps[1].latency.count, 4);
    CHECK_INT(steps[2].latency.count, 0);
    CHECK_INT(steps[0].from_ns, opened_ns);
    CHECK_INT(steps[1].to_ns - steps[1].from_ns, 10 * SECOND + 4 * 40000);
    CHECK_INT(steps[2].from_ns, steps[1].to_ns);
    CHECK_INT(sqlpool_get_latency_steps(u.pool, SQLPOOL_TIMING_STATEMENT, steps, 1), 3);
    CHECK_INT(steps[0].latency.count, 0); /* the newest one */
    for (i = 0; i < 100; i++) {
        sim_clock_advance(&u.clock, 10 * SECOND);
        CHECK_INT(sqlpool_tick(u.pool, 0), SQLPOOL_OK);
    }
    CHECK_INT(sqlpool_get_latency_steps(u.pool, SQLPOOL_TIMING_STATEMENT, steps, 40), 31);
    CHECK_INT(latency_of(&u, SQLPOOL_TIMING_STATEMENT, 300).count, 0);
    CHECK_INT(latency_of(&u, SQLPOOL_TIMING_STATEMENT, 0).count, 13);
    CHECK_INT(latency_of(&u, SQLPOOL_TIMING_WAIT, 300).count, 0);
    PART(run_for(&u, 1));
    CHECK_INT(latency_of(&u, SQLPOOL_TIMING_WAIT, 10).count, 1);
    unit_close(&u);
}

TEST(a_clock_that_jumps_does_no_harm) {
    sqlpool_event events[200];
    sqlpool_latency latency;
    unit_pool u;
    int i, count;
    PART(begin(&u, "jumps.db"));
    PART(run_for(&u, 100));
    PART(run_for(&u, -500 * SECOND)); /* backwards, inside a statement */
    PART(run_for(&u, 100));
    latency = latency_of(&u, SQLPOOL_TIMING_STATEMENT, 0);
    CHECK_INT(latency.count, 5);
    CHECK_INT(latency.max_ns, 100);
    for (i = 0; i < 3; i++) {
        CHECK_INT(sqlpool_tick(u.pool, 0), SQLPOOL_OK);
        CHECK(latency_of(&u, SQLPOOL_TIMING_STATEMENT, 10).count <= 6);
    }
    PART(run_for(&u, INT64_C(4000000000) * SECOND)); /* 127 years forward */
    CHECK_INT(sqlpool_tick(u.pool, 0), SQLPOOL_OK);
    latency = latency_of(&u, SQLPOOL_TIMING_STATEMENT, 0);
    CHECK_INT(latency.count, 6);
    CHECK(latency.p50_ns == 0 || latency.p50_ns == 100);
    CHECK(latency.max_ns == INT64_C(4000000000) * SECOND);
    PART(run_for(&u, 100));
    CHECK_INT(sqlpool_tick(u.pool, 0), SQLPOOL_OK);
    CHECK(latency_of(&u, SQLPOOL_TIMING_STATEMENT, 10).count <= 7);
    count = sqlpool_get_events(u.pool, events, 200);
    CHECK(count >= 7);
    for (i = 0; i < count; i++) CHECK(events[i].duration_ns >= 0);
    unit_close(&u);
}

/*---- events ----*/

static int count_events(const sqlpool_event *events, int count, int kind) {
    int i, found = 0;
    for (i = 0; i < count; i++) found += events[i].kind == kind;
    return found;
}
static const sqlpool_event *last_event(const sqlpool_event *events, int count, int kind) {
    static const sqlpool_event none;
    while (count-- > 0)
        if (events[count].kind == kind) return &events[count];
    return &none;
}
TEST(events_say_what_happened_in_order) {
    static sqlpool_event events[500];
    const sqlpool_event *event;
    unit_pool u;
    sqlpool_checkpoint_result checkpoint;
    sqlpool_conn conn;
    int64_t began;
    int count, i;
    PART(begin(&u, "events.db"));
    u.clock.step_ns = 1;
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1, 2, 3)"), &u.error);
    CHECK_INT(unit_exec(&u, "INSERT INTO t VALUES(1, 2, 3)"), SQLITE_CONSTRAINT_PRIMARYKEY);
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, &checkpoint, &u.error), &u.error);
    began = sim_clock_now(&u.clock);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    sim_clock_advance(&u.clock, 5 * MS);
    CHECK_OK(unit_exec_on(&u, &conn, "SELECT take(7000)"), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    count = sqlpool_get_events(u.pool, events, 500);
    CHECK_INT(count_events(events, count, SQLPOOL_EVENT_OPEN), 2);
    CHECK_INT(count_events(events, count, SQLPOOL_EVENT_COMMIT), 2); /* the script, the insert */
    CHECK_INT(count_events(events, count, SQLPOOL_EVENT_CHECKPOINT), 1);
    CHECK_INT(count_events(events, count, SQLPOOL_EVENT_ERROR), 1);
    CHECK_INT(count_events(events, count, SQLPOOL_EVENT_STATEMENT), 2 + 2 + 1);
    CHECK_INT(count_events(events, count, SQLPOOL_EVENT_LEASE), 2); /* the script, this one */
    for (i = 1; i < count; i++)
        CHECK(events[i].at_ns + events[i].duration_ns >= events[i - 1].at_ns + events[i - 1].duration_ns);
    event = last_event(events, count, SQLPOOL_EVENT_LEASE);
    CHECK(event->at_ns >= began && event->at_ns < began + 20);
    CHECK(event->duration_ns >= 5 * MS + 7000 && event->duration_ns < 5 * MS + 7100);
    CHECK_INT(event->cause, SQLPOOL_READ);
    CHECK(event->slot > 0);
    event = last_event(events, count, SQLPOOL_EVENT_STATEMENT);
    CHECK(event->cause == sqlpool_fingerprint("select take(1)", NULL, 0));
    CHECK(event->at_ns >= began + 5 * MS && event->duration_ns >= 7000 && event->duration_ns < 7050);
    event = last_event(events, count, SQLPOOL_EVENT_ERROR);
    CHECK_INT(event->result, SQLITE_CONSTRAINT_PRIMARYKEY);
    CHECK(event->cause == sqlpool_fingerprint("INSERT INTO t VALUES(?)", NULL, 0));
    CHECK_INT(event->slot, 0);
    event = last_event(events, count, SQLPOOL_EVENT_COMMIT);
    CHECK(event->cause >= 2);
    event = last_event(events, count, SQLPOOL_EVENT_CHECKPOINT);
    CHECK_INT(event->cause, checkpoint.log_frames);
    CHECK_INT(sqlpool_get_events(u.pool, events, 2), 2); /* the newest two */
    CHECK_INT(events[0].kind, SQLPOOL_EVENT_STATEMENT);
    CHECK_INT(events[1].kind, SQLPOOL_EVENT_LEASE);
    CHECK_INT(sqlpool_get_events(u.pool, NULL, 0), 0);
    CHECK_OK(sqlpool_recycle(u.pool), &u.error);
    count = sqlpool_get_events(u.pool, events, 500);
    CHECK(count_events(events, count, SQLPOOL_EVENT_CLOSE) >= 1);
    CHECK_STR(sqlpool_event_name(SQLPOOL_EVENT_CHECKPOINT), "checkpoint");
    CHECK_STR(sqlpool_event_name(-1), "unknown");
    CHECK_STR(sqlpool_timing_name(SQLPOOL_TIMING_OPEN), "open");
    CHECK_STR(sqlpool_timing_name(SQLPOOL_TIMING_COUNT), "unknown");
    unit_close(&u);
}
TEST(rings_keep_the_last_of_all_connections) {
    static sqlpool_event events[100];
    unit_pool u;
    sqlpool_config config = config_of(&u);
    sqlpool_config resolved;
    int i, count;
    config.event_count = 17;
    PART(open_with(&u, "rings.db", &config));
    CHECK_OK(sqlpool_config_resolved(u.pool, &resolved), &u.error);
    CHECK_INT(resolved.event_count, 32);
    for (i = 1; i <= 200; i++) PART(run_for(&u, i));
    count = sqlpool_get_events(u.pool, events, 100);
    CHECK(count > 31);
    for (i = 1; i <= 31; i++) CHECK_INT(events[count - i].duration_ns, 201 - i);
    CHECK(count_events(events, count, SQLPOOL_EVENT_COMMIT) == 1); /* the writer's ring is its own */
    CHECK_INT(sqlpool_get_events(u.pool, events, 10), 10);
    for (i = 0; i < 10; i++) CHECK_INT(events[i].duration_ns, 191 + i);
    unit_close(&u);
}
TEST(a_closed_connection_has_its_cause) {
    static sqlpool_event events[100];
    unit_pool u;
    sqlpool_config config = config_of(&u);
    sqlpool_conn a, b;
    int count, i;
    config.idle_timeout_ms = 1000;
    config.min_connections = 1;
    PART(open_with(&u, "cause.db", &config));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &a, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &b, &u.error), &u.error);
    (void)sqlpool_conn_release(&a);
    (void)sqlpool_conn_release(&b);
    for (i = 0; i < 5; i++) {
        sim_clock_advance(&u.clock, 2 * SECOND);
        CHECK_INT(sqlpool_tick(u.pool, 1000000), SQLPOOL_OK);
    }
    count = sqlpool_get_events(u.pool, events, 100);
    CHECK_INT(count_events(events, count, SQLPOOL_EVENT_OPEN), 3);
    CHECK_INT(count_events(events, count, SQLPOOL_EVENT_CLOSE), 2);
    CHECK_INT(last_event(events, count, SQLPOOL_EVENT_CLOSE)->cause, SQLPOOL_CLOSE_IDLE);
    CHECK_INT(count_events(events, count, SQLPOOL_EVENT_WAIT), 2); /* they had to be opened */
    CHECK_INT(latency_of(&u, SQLPOOL_TIMING_OPEN, 0).count, 3);
    CHECK_INT(latency_of(&u, SQLPOOL_TIMING_WAIT, 0).count, 3); /* and the script's, at once */
    unit_close(&u);
}

/*---- kinds of statements ----*/

TEST(a_kind_counts_what_its_statements_do) {
    sqlpool_statement_stats kind;
    unit_pool u;
    char sql[100];
    sqlpool_rows rows;
    int i;
    PART(begin(&u, "kinds.db"));
    for (i = 0; i < 40; i++)
        CHECK_OK(sqlpool_exec(u.pool, "INSERT INTO u VALUES(?, ?)", SQLPOOL_ARGS(i % 7, i), &u.error),
                 &u.error);
    for (i = 0; i < 5; i++) { /* four texts of one kind */
        (void)snprintf(sql, sizeof sql, "SELECT  x FROM u WHERE y >= %d", i < 4 ? 10 * i : 30);
        CHECK_OK(sqlpool_query(u.pool, &rows, sql, SQLPOOL_NO_ARGS, &u.error), &u.error);
        while (sqlpool_rows_next(&rows)) {
        }
        CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
    }
    kind = kind_of(&u, "select x from u where y >= 0");
    CHECK_STR(kind.sql, "select x from u where y>=?");
    CHECK_INT(kind.calls, 5);
    CHECK_INT(kind.rows, 40 + 30 + 20 + 10 + 10);
    CHECK_INT(kind.cache_hits, 1);
    CHECK_INT(kind.errors, 0);
    CHECK_INT(kind.fullscan_steps, 4 * 39); /* of the first run of each text: the fifth is to come */
    kind = kind_of(&u, "insert into u values(1, 2)");
    CHECK_INT(kind.calls, 40);
    CHECK_INT(kind.rows, 0);
    CHECK_INT(kind.cache_hits, 39);
    for (i = 0; i <= SQLPOOL__STATUS_CALLS; i++) /* the first and the last are when SQLite is asked */
        CHECK_OK(unit_exec(&u, "DELETE FROM u WHERE y = 1000"), &u.error);
    CHECK(kind_of(&u, "delete from u where y = 0").vm_steps > SQLPOOL__STATUS_CALLS * 5);
    CHECK_OK(unit_exec(&u, "SELECT x FROM u ORDER BY y"), &u.error);
    kind = kind_of(&u, "SELECT x FROM u ORDER BY y");
    CHECK_INT(kind.sorts, 1);
    CHECK_INT(kind.rows, 40);
    CHECK_OK(unit_exec(&u, "SELECT * FROM u a JOIN u b ON a.x = b.y WHERE a.y < 20"), &u.error);
    CHECK(kind_of(&u, "SELECT * FROM u a JOIN u b ON a.x = b.y WHERE a.y < 20").autoindexes > 0);
    CHECK_INT(unit_exec(&u, "INSERT INTO t(id) VALUES(9)"), 0);
    CHECK_INT(unit_exec(&u, "INSERT INTO t(id) VALUES(9)"), SQLITE_CONSTRAINT_PRIMARYKEY);
    CHECK_INT(kind_of(&u, "INSERT INTO t(id) VALUES(0)").errors, 1);
    CHECK_OK(unit_exec(&u, "ALTER TABLE t ADD COLUMN c"), &u.error);
    for (i = 0; i <= SQLPOOL__STATUS_CALLS; i++) /* the last of them is when SQLite's counters are looked at */
        CHECK_OK(unit_exec(&u, "SELECT x FROM u ORDER BY y"), &u.error);
    kind = kind_of(&u, "SELECT x FROM u ORDER BY y");
    CHECK_INT(kind.reprepares, 1);
    CHECK_INT(kind.sorts, SQLPOOL__STATUS_CALLS + 1);
    unit_close(&u);
}
TEST(kinds_are_told_in_the_order_asked_for) {
    sqlpool_statement_stats kinds[3];
    unit_pool u;
    int i;
    PART(begin(&u, "order.db"));
    for (i = 0; i < 20; i++) CHECK_OK(unit_exec(&u, "SELECT take(1000), 'often'"), &u.error);
    for (i = 0; i < 3; i++) CHECK_OK(unit_exec(&u, "SELECT 1 + take(6000)"), &u.error);
    CHECK_OK(unit_exec(&u,
                       "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 5000) "
                       "SELECT count(*) FROM c"),
             &u.error);
    CHECK_INT(sqlpool_get_statements(u.pool, SQLPOOL_BY_TOTAL, kinds, 3), 5); /* and the script's */
    CHECK_STR(kinds[0].sql, "select take(?),?");
    CHECK_STR(kinds[1].sql, "select ?+take(?)");
    (void)sqlpool_get_statements(u.pool, SQLPOOL_BY_MEAN, kinds, 3);
    CHECK_STR(kinds[0].sql, "select ?+take(?)");
    (void)sqlpool_get_statements(u.pool, SQLPOOL_BY_P99, kinds, 1);
    CHECK_STR(kinds[0].sql, "select ?+take(?)");
    (void)sqlpool_get_statements(u.pool, SQLPOOL_BY_CALLS, kinds, 3);
    CHECK_STR(kinds[0].sql, "select take(?),?");
    (void)sqlpool_get_statements(u.pool, SQLPOOL_BY_STEPS, kinds, 3);
    CHECK(strncmp(kinds[0].sql, "with recursive", 14) == 0);
    unit_close(&u);
}
TEST(the_least_useful_kind_goes) {
    sqlpool_statement_stats kinds[4];
    sqlpool_stats stats;
    unit_pool u;
    sqlpool_config config = config_of(&u);
    char sql[64];
    int i;
    config.statement_count = 3;
    PART(open_with(&u, "evict.db", &config));
    for (i = 0; i < 4; i++) CHECK_OK(unit_exec(&u, "SELECT take(900000), 'dear'"), &u.error);
    for (i = 0; i < 30; i++) {
        (void)snprintf(sql, sizeof sql, "SELECT 1 AS name%d", i);
        CHECK_OK(unit_exec(&u, sql), &u.error);
    }
    CHECK_INT(sqlpool_get_statements(u.pool, SQLPOOL_BY_TOTAL, kinds, 4), 3);
    CHECK_STR(kinds[0].sql, "select take(?),?");
    CHECK_INT(kinds[0].calls, 4);
    CHECK_OK(sqlpool_get_stats(u.pool, &stats), &u.error);
    CHECK_INT(stats.kinds_evicted, 30 + 1 + 2 - 3); /* two of the script */
    CHECK_INT(kind_of(&u, "SELECT 1 AS name29").calls, 1);
    /* a statement that is still prepared finds its kind dropped, and comes in again */
    CHECK_INT(kind_of(&u, "SELECT 1 AS name0").calls, 0);
    CHECK_OK(unit_exec(&u, "SELECT 1 AS name0"), &u.error);
    CHECK_INT(kind_of(&u, "SELECT 1 AS name0").calls, 1);
    CHECK_STR(kind_of(&u, "SELECT 1 AS name0").sql, "select ? as name0");
    CHECK_INT(kind_of(&u, "SELECT take(1), 2").calls, 4);
    for (i = 0; i < 4; i++) CHECK_OK(unit_exec(&u, "SELECT take(900000), 'dear', 'too'"), &u.error);
    for (i = 0; i < 5; i++) {
        (void)snprintf(sql, sizeof sql, "SELECT 1 AS other%d", i);
        CHECK_OK(unit_exec(&u, sql), &u.error);
    }
    CHECK_INT(kind_of(&u, "SELECT take(1), 2").calls, 4); /* wherever they are in the table */
    CHECK_INT(kind_of(&u, "SELECT take(1), 2, 3").calls, 4);
    unit_close(&u);
}
/*  Pages that a kind gave back are taken again, each by one. */
TEST(each_page_of_times_is_one_kinds) {
    sqlpool__recorder *recorder;
    unit_pool u;
    sqlpool_config config = config_of(&u);
    uint32_t first[2], again[3];
    int i;
    config.statement_count = 3;
    PART(open_with(&u, "given.db", &config));
    PART(run_for(&u, 40));
    recorder = u.core->slots[1].recorder;
    sqlpool__usage_clear(recorder, &recorder->usages[0], 1);
    sqlpool__usage_clear(recorder, &recorder->usages[1], 1);
    recorder->free_page = 0; /* those are gone for this test */
    for (i = 0; i < 2; i++) first[i] = sqlpool__page_take(recorder, &recorder->usages[0], (unsigned)i + 1);
    CHECK(first[0] != 0 && first[1] != 0 && first[0] != first[1]);
    sqlpool__usage_clear(recorder, &recorder->usages[0], 2);
    for (i = 0; i < 3; i++) again[i] = sqlpool__page_take(recorder, &recorder->usages[1], (unsigned)i + 1);
    CHECK_INT(again[0], first[1]); /* the last that came back is the first */
    CHECK_INT(again[1], first[0]);
    CHECK(again[2] != again[0] && again[2] != again[1]); /* a new one, or none */
    unit_close(&u);
}
/*  Counts that are full, and powers of two for which there is no page any more. */
TEST(the_times_of_a_kind_have_bounds) {
    sqlpool_statement_stats kind;
    sqlpool__recorder *recorder;
    unit_pool u;
    sqlpool_config config = config_of(&u);
    uint32_t page, i;
    config.statement_count = 3;
    PART(open_with(&u, "pages.db", &config));
    for (i = 0; i < 4; i++) PART(run_for(&u, 40));
    PART(run_for(&u, 5000));
    recorder = u.core->slots[1].recorder;
    page = recorder->usages[2].rows_at[sqlpool__bucket_of(40) / SQLPOOL__ROW_BUCKETS];
    CHECK(page != 0);
    recorder->pages[page].counts[sqlpool__bucket_of(40) % SQLPOOL__ROW_BUCKETS] = UINT32_MAX - 1;
    PART(run_for(&u, 40));
    CHECK_INT(recorder->pages[page].counts[sqlpool__bucket_of(40) % SQLPOOL__ROW_BUCKETS],
              UINT32_MAX / 2);
    recorder->pages_begun = recorder->page_count;
    for (i = 0; i < 10; i++) PART(run_for(&u, 900000));
    kind = kind_of(&u, "SELECT take(?)");
    CHECK_INT(kind.calls, 16);
    CHECK_INT(kind.max_ns, 900000);
    CHECK_INT(kind.p99_ns, 40);
    unit_close(&u);
}

/*---- slow statements ----*/

TEST(a_slow_statement_is_logged_with_its_plan) {
    sqlpool_statement_stats kind;
    sqlpool_stats stats;
    sqlpool_call call = {0};
    unit_pool u;
    PART(begin(&u, "slow.db"));
    call.tag = "the tag";
    PART(run_for(&u, 99 * MS));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 0);
    CHECK_OK(sqlpool_exec_at("some_file.c", 77, u.pool, &call, NULL,
                             "SELECT take(?) + (SELECT count(*) FROM u WHERE y = ?)",
                             SQLPOOL_ARGS(123 * MS, CANARY), &u.error),
             &u.error);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 1);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], "123000 us, 1 rows");
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], "waited 0 us for the connection");
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], "SELECT take(?) + (SELECT count(*) FROM u WHERE y = ?)");
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], "[the tag] at some_file.c:77");
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], "\n  SCAN ");
    CHECK(strstr(u.log.last[SQLPOOL_LOG_SLOW], CANARY) == NULL);
    kind = kind_of(&u, "SELECT take(?) + (SELECT count(*) FROM u WHERE y = ?)");
    CHECK_INT(kind.slow, 1);
    CHECK_HAS(kind.plan, "SCAN ");
    CHECK_OK(sqlpool_get_stats(u.pool, &stats), &u.error);
    CHECK_INT(stats.slow, 1);
    CHECK_INT(stats.slow_unlogged, 0);
    /* on a lease, and of a cursor */
    {
        sqlpool_conn conn;
        sqlpool_rows rows;
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
        CHECK_OK(sqlpool_conn_query(&conn, &rows, "SELECT take(200000000) UNION SELECT 2",
                                    SQLPOOL_NO_ARGS, &u.error),
                 &u.error);
        CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 1);
        while (sqlpool_rows_next(&rows)) {
        }
        CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 2);
        CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], "2 rows");
        CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    /* in a script: the statement itself, not what follows it */
    CHECK_OK(unit_script(&u, "SELECT 1; SELECT take(300000000); SELECT 'behind'"), &u.error);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 3);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], "SELECT take(300000000)");
    CHECK(strstr(u.log.last[SQLPOOL_LOG_SLOW], "behind") == NULL);
    /* one that fails is slow as well */
    CHECK_INT(unit_exec(&u, "SELECT take(400000000), abs(-9223372036854775808)"), SQLITE_ERROR);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 4);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], "SQLITE_ERROR");
    unit_close(&u);
}
TEST(rows_of_a_script_are_counted_by_statement) {
    unit_pool u;
    PART(begin(&u, "script_rows.db"));
    CHECK_OK(unit_script(&u, "SELECT 1 UNION ALL SELECT 2; SELECT 'none' LIMIT 0"), &u.error);
    CHECK_INT(kind_of(&u, "SELECT 1 UNION ALL SELECT 2").rows, 2);
    CHECK_INT(kind_of(&u, "SELECT 'none' LIMIT 0").rows, 0);
    CHECK_INT(kind_of(&u, "SELECT 'none' LIMIT 0").calls, 1);
    unit_close(&u);
}

TEST(rows_that_a_write_returns_are_counted) {
    static const char write[] = "INSERT INTO returned(a) VALUES(1),(2),(3) RETURNING a";
    sqlpool_rows rows;
    unit_pool u;
    int count = 0;
    PART(begin(&u, "returned.db"));
    CHECK_OK(unit_script(&u, "CREATE TABLE returned(a)"), &u.error);
    CHECK_OK(sqlpool_query(u.pool, &rows, write, SQLPOOL_NO_ARGS, &u.error), &u.error);
    while (sqlpool_rows_next(&rows)) count++;
    CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
    CHECK_INT(count, 3);
    CHECK_INT(kind_of(&u, write).rows, 3);
    CHECK_INT(kind_of(&u, write).calls, 1);
    unit_close(&u);
}

TEST(a_slow_line_of_a_script_ends_with_its_statement) {
    unit_pool u;
    PART(begin(&u, "slow_script.db"));
    CHECK_OK(unit_script(&u, "SELECT                take(300000000); SELECT 'behind'"), &u.error);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 1);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], "SELECT take(300000000)");
    CHECK(strstr(u.log.last[SQLPOOL_LOG_SLOW], "; SELECT") == NULL);
    unit_close(&u);
}
TEST(a_slow_line_is_utf_8_and_turns_nothing) {
    unit_pool u;
    const char *line;
    PART(begin(&u, "slow_bytes.db"));
    CHECK_OK(sqlpool_exec(u.pool,
                          "SELECT take(?) AS \"c1 \xc2\x9b"
                          "31m raw \x9b"
                          "31m turn \xe2\x80\xae ok \xc3\xbc\"",
                          SQLPOOL_ARGS(200 * MS), &u.error),
             &u.error);
    line = u.log.last[SQLPOOL_LOG_SLOW];
    CHECK_HAS(line, "ok \xc3\xbc");
    CHECK(strstr(line, "\x9b") == NULL);
    CHECK(strstr(line, "\xe2\x80\xae") == NULL);
    unit_close(&u);
}
TEST(bound_values_are_shown_on_request_only) {
    unit_pool u;
    sqlpool_config config = config_of(&u);
    config.slow_values = true;
    PART(open_with(&u, "values.db", &config));
    CHECK_OK(sqlpool_exec(u.pool, "SELECT take(?), ?", SQLPOOL_ARGS(123 * MS, CANARY), &u.error),
             &u.error);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], CANARY);
    unit_close(&u);
}
TEST(slow_lines_are_limited) {
    sqlpool_stats stats;
    unit_pool u;
    sqlpool_config config = config_of(&u);
    int i;
    config.slow_ms = 10;
    config.slow_per_minute = 3;
    PART(open_with(&u, "limit.db", &config));
    for (i = 0; i < 10; i++) PART(run_for(&u, 10 * MS));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 3);
    CHECK_OK(sqlpool_get_stats(u.pool, &stats), &u.error);
    CHECK_INT(stats.slow, 10);
    CHECK_INT(stats.slow_unlogged, 7);
    sim_clock_advance(&u.clock, 60 * SECOND);
    for (i = 0; i < 10; i++) PART(run_for(&u, 10 * MS));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 6);
    sim_clock_advance(&u.clock, -1000 * SECOND); /* a clock that goes back does not silence it */
    PART(run_for(&u, 10 * MS));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 7);
    unit_close(&u);
    config = config_of(&u);
    config.slow_ms = SQLPOOL_OFF;
    PART(open_with(&u, "never.db", &config));
    PART(run_for(&u, 1000 * SECOND));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 0);
    unit_close(&u);
}

/*---- one statement again and again ----*/

static void read_times(unit_pool *u, const char *sql, int times, bool is_other) {
    sqlpool_conn conn;
    int i;
    CHECK_OK(sqlpool_conn_acquire(u->pool, SQLPOOL_READ, &conn, &u->error), &u->error);
    for (i = 0; i < times; i++)
        CHECK_OK(sqlpool_conn_exec(&conn, sql, SQLPOOL_ARGS(is_other ? i : 5), NULL, &u->error),
                 &u->error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
}
TEST(a_lease_that_repeats_itself_is_told_once) {
    sqlpool_stats stats;
    unit_pool u;
    sqlpool_config config = config_of(&u);
    char sql[100];
    sqlpool_conn conn;
    int64_t value;
    int i;
    PART(open_with(&u, "repeat.db", &config));
    PART(read_times(&u, "SELECT a FROM t WHERE id = ?", 19, true));
    PART(read_times(&u, "SELECT a FROM t WHERE id = ?", 19, true));
    PART(read_times(&u, "SELECT b FROM t WHERE id = ?", 100, false)); /* it polls */
    CHECK_INT(u.log.counts[SQLPOOL_LOG_REPEATED], 0);
    for (i = 0; i < 100; i++) /* no lease holds them together */
        (void)sqlpool_query_int64(u.pool, &value, "SELECT a FROM t WHERE id = ?", SQLPOOL_ARGS(i), NULL);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_REPEATED], 0);
    PART(read_times(&u, "SELECT a FROM t WHERE id = ?", 20, true));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_REPEATED], 1);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_REPEATED], "20 times");
    CHECK_HAS(u.log.last[SQLPOOL_LOG_REPEATED], "SELECT a FROM t WHERE id = ?");
    CHECK_HAS(u.log.last[SQLPOOL_LOG_REPEATED], "recording.c:");
    PART(read_times(&u, "SELECT a FROM t WHERE id = ?", 500, true));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_REPEATED], 1);
    CHECK_OK(sqlpool_get_stats(u.pool, &stats), &u.error);
    CHECK_INT(stats.repeats, 2);
    /* values that cannot be bound are not looked at */
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    for (i = 0; i < 30; i++)
        CHECK_INT(sqlpool_conn_exec(&conn, "SELECT b, a FROM t WHERE id = ?", NULL, 1, NULL, &u.error),
                  SQLPOOL_ARGUMENTS);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_REPEATED], 1);
    /* the values may stand in the text */
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    for (i = 0; i < 20; i++) {
        (void)snprintf(sql, sizeof sql, "SELECT a, b FROM t WHERE id = %d", i);
        CHECK_OK(unit_exec_on(&u, &conn, sql), &u.error);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_REPEATED], 2);
    /* writes are not reads */
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    for (i = 0; i < 50; i++)
        CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO u VALUES(?, 1)", SQLPOOL_ARGS(i), NULL, &u.error),
                 &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_REPEATED], 2);
    unit_close(&u);
    config = config_of(&u);
    config.repeat_count = SQLPOOL_OFF;
    PART(open_with(&u, "silent.db", &config));
    PART(read_times(&u, "SELECT a FROM t WHERE id = ?", 500, true));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_REPEATED], 0);
    unit_close(&u);
    config = config_of(&u);
    config.repeat_count = 2;
    PART(open_with(&u, "twice.db", &config));
    PART(read_times(&u, "SELECT a FROM t WHERE id = ?", 2, true));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_REPEATED], 1);
    unit_close(&u);
}

/*---- levels, memory ----*/

TEST(counters_alone_need_no_clock) {
    sqlpool_event events[10];
    sqlpool_latency latency;
    sqlpool_statement_stats kind;
    unit_pool u;
    sqlpool_config config = config_of(&u);
    uint64_t looks;
    int i;
    config.metrics = SQLPOOL_METRICS_COUNTERS;
    PART(open_with(&u, "counters.db", &config));
    u.core->has_thread = true; /* or each acquire looks whether upkeep is due */
    PART(run_for(&u, 5000));
    looks = u.clock.looks;
    for (i = 0; i < 50; i++) PART(run_for(&u, 5000));
    CHECK_INT(u.clock.looks - looks, 0);
    u.core->has_thread = false;
    kind = kind_of(&u, "SELECT take(1)");
    CHECK_INT(kind.calls, 51);
    CHECK_INT(kind.rows, 51);
    CHECK_INT(kind.total_ns, 0);
    CHECK(kind.vm_steps > 0);
    CHECK_INT(sqlpool_get_latency(u.pool, SQLPOOL_TIMING_STATEMENT, 0, &latency), SQLPOOL_UNSUPPORTED);
    CHECK_INT(sqlpool_get_latency(u.pool, SQLPOOL_TIMING_HOLD, 0, &latency), SQLPOOL_UNSUPPORTED);
    CHECK_INT(latency_of(&u, SQLPOOL_TIMING_COMMIT, 0).count, 1);
    CHECK_INT(sqlpool_get_events(u.pool, events, 10), 3); /* two opened, the script's commit */
    unit_close(&u);
}
TEST(an_error_that_is_only_counted_has_its_time) {
    sqlpool_event events[10];
    unit_pool u;
    sqlpool_config config = config_of(&u);
    config.metrics = SQLPOOL_METRICS_COUNTERS;
    PART(open_with(&u, "counted_error.db", &config));
    sim_clock_advance(&u.clock, 5 * SECOND);
    CHECK_INT(unit_exec(&u, "SELECT abs(-9223372036854775808)"), SQLITE_ERROR);
    CHECK_INT(sqlpool_get_events(u.pool, events, 10), 4);
    CHECK_INT(events[3].kind, SQLPOOL_EVENT_ERROR); /* the newest one */
    CHECK(events[3].at_ns - events[2].at_ns >= 5 * SECOND);
    unit_close(&u);
}

/*  Of no kind, since there is no statement, but in the events. */
TEST(what_does_not_compile_is_an_event) {
    sqlpool_event events[10];
    unit_pool u;
    int i, found = 0, count;
    PART(begin(&u, "uncompiled.db"));
    sim_clock_advance(&u.clock, 5 * SECOND);
    for (i = 0; i < 2; i++) CHECK_INT(unit_exec(&u, "SELECT a FROM nowhere"), SQLITE_ERROR);
    count = sqlpool_get_events(u.pool, events, 10);
    for (i = 0; i < count && i < 10; i++) {
        if (events[i].kind != SQLPOOL_EVENT_ERROR) continue;
        CHECK_INT(events[i].result, SQLITE_ERROR);
        found++;
    }
    CHECK_INT(found, 2);
    unit_close(&u);
}

TEST(nothing_is_recorded_when_it_is_off) {
    sqlpool_event events[10];
    sqlpool_latency latency;
    sqlpool_statement_stats kinds[2];
    sqlpool_latency_step steps[2];
    sqlpool_stats stats;
    unit_pool u;
    sqlpool_config config = config_of(&u);
    config.metrics = SQLPOOL_METRICS_OFF;
    PART(open_with(&u, "off.db", &config));
    PART(run_for(&u, 5000 * MS));
    CHECK_INT(sqlpool_get_latency(u.pool, SQLPOOL_TIMING_WAIT, 0, &latency), SQLPOOL_UNSUPPORTED);
    CHECK_INT(sqlpool_get_latency_steps(u.pool, SQLPOOL_TIMING_WAIT, steps, 2), SQLPOOL_UNSUPPORTED);
    CHECK_INT(sqlpool_get_events(u.pool, events, 10), SQLPOOL_UNSUPPORTED);
    CHECK_INT(sqlpool_get_statements(u.pool, SQLPOOL_BY_TOTAL, kinds, 2), SQLPOOL_UNSUPPORTED);
    CHECK_OK(sqlpool_get_stats(u.pool, &stats), &u.error);
    CHECK(stats.statements >= 1);
    CHECK(u.core->monitor == NULL && u.core->slots[0].recorder == NULL);
    sim_clock_advance(&u.clock, 20 * SECOND);
    CHECK_INT(sqlpool_tick(u.pool, 0), SQLPOOL_OK);
    unit_close(&u);
}
TEST(memory_is_known_and_steady) {
    sqlpool_stats with, without, later;
    unit_pool u;
    sqlpool_config config = config_of(&u);
    sqlpool_conn a, b;
    int i;
    config.metrics = SQLPOOL_METRICS_OFF;
    PART(open_with(&u, "size.db", &config));
    CHECK_OK(sqlpool_get_stats(u.pool, &without), &u.error);
    unit_close(&u);
    config = config_of(&u);
    PART(open_with(&u, "size.db", &config));
    CHECK_OK(sqlpool_get_stats(u.pool, &with), &u.error);
    CHECK_INT(with.memory_bytes - without.memory_bytes,
              sqlpool__monitor_bytes(&u.core->config) + 2 * sqlpool__recorder_bytes(&u.core->config));
    PART(run_for(&u, 1));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &a, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &b, &u.error), &u.error);
    (void)sqlpool_conn_release(&a);
    (void)sqlpool_conn_release(&b);
    PART(run_for(&u, 1));
    CHECK_OK(sqlpool_get_stats(u.pool, &with), &u.error);
    for (i = 0; i < 3000; i++) PART(run_for(&u, INT64_C(1) << (i % 26)));
    sim_clock_advance(&u.clock, 20 * SECOND);
    CHECK_INT(sqlpool_tick(u.pool, 0), SQLPOOL_OK);
    CHECK_OK(sqlpool_get_stats(u.pool, &later), &u.error);
    CHECK_INT(later.allocations, with.allocations);
    CHECK_INT(later.memory_bytes, with.memory_bytes);
    unit_close(&u);
}

/*---- bad input ----*/

static bool is_clean(const char *text) {
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) return false;
    return true;
}
TEST(any_statement_can_be_recorded) {
    static const char *const texts[] = {
        "SELECT 'a''b', \"x\ny\" FROM (SELECT 1 AS \"x\ny\")",
        "SELECT 1 AS \"\x1b[31mred\x07\"",
        "SELECT 1 AS \"\xff\xfe\xc3\"",
        "SELECT '\xf0\x28\x8c\x28' AS [\xed\xa0\x80]",
        "SELECT 1 /* not closed",
        "SELECT\t1\r\nAS\fx"};
    static sqlpool_statement_stats kinds[20];
    unit_pool u;
    sqlpool_config config = config_of(&u);
    char *big;
    size_t used, i;
    int count;
    config.slow_ms = 1;
    PART(open_with(&u, "texts.db", &config));
    u.clock.step_ns = 2 * MS; /* all are slow: texts and plans go to the log too */
    for (i = 0; i < LENGTH(texts); i++) {
        CHECK_OK(unit_exec(&u, texts[i]), &u.error);
        CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], (int)i + 1);
        CHECK(strchr(u.log.last[SQLPOOL_LOG_SLOW], 0x1b) == NULL);
    }
    big = (char *)malloc(1 << 20); /* a mebibyte of values, and of names */
    CHECK(big != NULL);
    used = (size_t)sprintf(big, "SELECT 1 WHERE 5 IN (0");
    while (used < 990000) used += (size_t)sprintf(big + used, ",%u", (unsigned)used);
    (void)sprintf(big + used, ")");
    CHECK_OK(unit_exec(&u, big), &u.error);
    CHECK_STR(kind_of(&u, big).sql, "select ? where ? in(?...)");
    used = (size_t)sprintf(big, "SELECT 1 AS \"");
    memset(big + used, 'n', 900000);
    (void)sprintf(big + used + 900000, "\"");
    CHECK_OK(unit_exec(&u, big), &u.error);
    CHECK_INT(kind_of(&u, big).calls, 1);
    big[used + 899999] = 'm'; /* another kind, though what is shown of both is the same */
    CHECK_INT(kind_of(&u, big).calls, 0);
    free(big);
    count = sqlpool_get_statements(u.pool, SQLPOOL_BY_TOTAL, kinds, 20);
    CHECK_INT(count, (int)LENGTH(texts) + 2 + 2);
    for (i = 0; i < (size_t)count; i++) {
        CHECK(strlen(kinds[i].sql) < sizeof kinds[i].sql && is_clean(kinds[i].sql));
        CHECK(strlen(kinds[i].plan) < sizeof kinds[i].plan);
    }
    unit_close(&u);
}
TEST(wrong_arguments_are_refused) {
    sqlpool_event event;
    sqlpool_latency latency;
    sqlpool_statement_stats kind;
    sqlpool_latency_step step;
    uint64_t count;
    const int64_t bound = 5;
    unit_pool u;
    PART(begin(&u, "wrong.db"));
    CHECK_INT(sqlpool_get_latency(u.pool, SQLPOOL_TIMING_COUNT, 0, &latency), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_latency(u.pool, (sqlpool_timing)-1, 0, &latency), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_latency(u.pool, SQLPOOL_TIMING_WAIT, -1, &latency), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_latency(u.pool, SQLPOOL_TIMING_WAIT, 301, &latency), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_latency(u.pool, SQLPOOL_TIMING_WAIT, 0, NULL), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_latency(NULL, SQLPOOL_TIMING_WAIT, 0, &latency), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_histogram(u.pool, SQLPOOL_TIMING_WAIT, 0, NULL, &count, 1, NULL),
              SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_histogram(u.pool, SQLPOOL_TIMING_WAIT, 0, &bound, NULL, 1, NULL),
              SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_histogram(u.pool, SQLPOOL_TIMING_WAIT, 0, &bound, &count, -1, NULL),
              SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_latency_steps(u.pool, SQLPOOL_TIMING_WAIT, NULL, 1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_latency_steps(u.pool, SQLPOOL_TIMING_WAIT, &step, -1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_events(u.pool, NULL, 1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_events(u.pool, &event, -1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_statements(u.pool, (sqlpool_statement_order)9, &kind, 1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_statements(u.pool, SQLPOOL_BY_MEAN, NULL, 1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_statements(u.pool, SQLPOOL_BY_MEAN, &kind, -1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_latency_steps(u.pool, SQLPOOL_TIMING_COUNT, &step, 1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_latency_steps(u.pool, SQLPOOL_TIMING_WAIT, NULL, 0), 1); /* how many there are */
    CHECK_INT(sqlpool_get_statements(u.pool, SQLPOOL_BY_MEAN, NULL, 0), 2);
    CHECK_INT(sqlpool_get_events(u.pool, NULL, 0), 0);
    CHECK(sqlpool_fingerprint(NULL, NULL, 0) == 0);
    unit_close(&u);
    CHECK_INT(sqlpool_get_latency(u.pool, SQLPOOL_TIMING_WAIT, 0, &latency), SQLPOOL_CLOSED);
    CHECK_INT(sqlpool_get_events(u.pool, &event, 1), SQLPOOL_CLOSED);
    CHECK_INT(sqlpool_get_statements(u.pool, SQLPOOL_BY_MEAN, &kind, 1), SQLPOOL_CLOSED);
}

TEST(zones_are_left_as_they_are_entered) {
    unit_pool u;
    sqlpool_conn conn;
    const int before = zones_begun;
    PART(begin(&u, "zones.db"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_INT(unit_exec_on(&u, &conn, "INSERT INTO nothing VALUES(1)"), SQLITE_ERROR);
    CHECK_OK(unit_exec_on(&u, &conn, "INSERT INTO u VALUES(1, 2)"), &u.error);
    CHECK_OK(sqlpool_conn_commit(&conn, &u.error), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), &u.error);
    unit_close(&u);
    CHECK(zones_begun >= before + 4);
    CHECK_INT(zones_open, 0);
    CHECK_INT(zones_crossed, 0);
}

/*  Where no acquire waits, all percentiles of the waits are 0. */
TEST(a_chart_of_nothing_but_0_has_a_small_scale) {
    sqlpool__series series;
    sqlpool__chart chart;
    int64_t low, high;
    memset(&series, 0, sizeof series);
    memset(&chart, 0, sizeof chart);
    series.points = 2;
    chart.unit = SQLPOOL__UNIT_TIME;
    chart.series_count = 1;
    chart.series = &series;
    sqlpool__chart_range(&chart, &low, &high);
    CHECK(low >= 1 && low < high && high <= 10000);
}

/*---- the odd ends ----*/

static void refuse(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    (void)values;
    sqlite3_result_error_code(context, SQLITE_BUSY);
}
static int add_refuse(void *user, const sqlpool_conn *conn) {
    sqlpool_conn copy = *conn;
    (void)sqlite3_create_function(sqlpool_conn_db(&copy), "refuse", 0, SQLITE_UTF8, NULL, refuse, NULL,
                                  NULL);
    return add_take(user, conn);
}

/*  Waits and tries go on where nobody records them. */
TEST(a_lock_is_waited_for_whatever_is_recorded) {
    int level;
    for (level = SQLPOOL_METRICS_FULL; level <= SQLPOOL_METRICS_OFF; level++) {
        const char *path = level == SQLPOOL_METRICS_FULL       ? "locked_full.db"
                           : level == SQLPOOL_METRICS_COUNTERS ? "locked_counters.db"
                                                               : "locked_off.db";
        sqlpool_statement_stats kind;
        sqlpool_event events[40];
        sqlite3 *other;
        unit_pool u;
        sqlpool_config config = config_of(&u);
        int i, count, retries = 0;
        int64_t before;
        config.metrics = level;
        config.events.connect_fn = add_refuse;
        PART(open_with(&u, path, &config));
        PART(other = unit_other(path, "BEGIN IMMEDIATE"));
        before = u.clock.now_ns;
        CHECK_INT(unit_exec(&u, "INSERT INTO u VALUES(1, 2)"), SQLPOOL_TIMEOUT);
        CHECK_INT(u.error.sqlite_code & 0xff, SQLITE_BUSY);
        CHECK(u.clock.now_ns - before >= 1 * SECOND); /* it has waited */
        CHECK_INT(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        CHECK_INT(sqlite3_close(other), SQLITE_OK);
        CHECK_INT(unit_exec(&u, "SELECT refuse()"), SQLITE_BUSY);
        CHECK(u.error.attempts > 1);
        CHECK_OK(unit_exec(&u, "INSERT INTO u VALUES(1, 2)"), &u.error);
        count = sqlpool_get_events(u.pool, events, 40);
        for (i = 0; i < count && i < 40; i++) {
            if (events[i].kind != SQLPOOL_EVENT_RETRY) continue;
            retries++;
            CHECK(events[i].at_ns >= before && events[i].at_ns < u.clock.now_ns);
            CHECK(events[i].duration_ns > 0 && events[i].duration_ns <= u.clock.now_ns - before);
        }
        CHECK_INT(retries > 0, level != SQLPOOL_METRICS_OFF);
        if (level != SQLPOOL_METRICS_OFF) {
            kind = kind_of(&u, "INSERT INTO u VALUES(1, 2)");
            CHECK(kind.busy > 0);
            CHECK_INT(kind.calls, kind.errors + 1);
        }
        CHECK_INT(unit_exec(&u, "SELECT a FROM nowhere"), SQLITE_ERROR);
        CHECK_HAS(u.error.message, "no such table: nowhere");
        unit_close(&u);
    }
}

static sqlite3 *held_by;
static int let_go(void *user, int count) {
    (void)user;
    if (held_by != NULL && count > 0) {
        (void)sqlite3_exec(held_by, "ROLLBACK", NULL, NULL, NULL);
        (void)sqlite3_close(held_by);
        held_by = NULL;
    }
    return 1;
}
static int add_let_go(void *user, const sqlpool_conn *conn) {
    sqlpool_conn copy = *conn;
    sqlpool_chain chain;
    memset(&chain, 0, sizeof chain);
    chain.busy_fn = let_go;
    (void)user;
    return sqlpool_conn_chain(&copy, &chain);
}
/*  One that is waited for and comes. */
TEST(a_statement_that_met_a_lock_is_counted_as_such) {
    int level;
    for (level = SQLPOOL_METRICS_FULL; level <= SQLPOOL_METRICS_COUNTERS; level++) {
        const char *path = level == SQLPOOL_METRICS_FULL ? "met_full.db" : "met_counters.db";
        sqlpool_statement_stats kind;
        unit_pool u;
        sqlpool_config config = config_of(&u);
        int i;
        config.metrics = level;
        config.journal = SQLPOOL_JOURNAL_DELETE;
        config.events.connect_fn = add_let_go;
        PART(open_with(&u, path, &config));
        for (i = 0; i < 3; i++) { /* the first of a statement is noted in any case */
            CHECK_OK(unit_exec(&u, "SELECT count(*) FROM t"), &u.error);
        }
        PART(held_by = unit_other(path, "BEGIN EXCLUSIVE"));
        CHECK_OK(unit_exec(&u, "SELECT count(*) FROM t"), &u.error);
        CHECK(held_by == NULL);
        kind = kind_of(&u, "SELECT count(*) FROM t");
        CHECK_INT(kind.calls, 4);
        CHECK_INT(kind.busy, 1);
        CHECK_INT(kind.errors, 0);
        CHECK_INT(latency_of(&u, SQLPOOL_TIMING_BUSY, 0).count, 1);
        unit_close(&u);
    }
}

/*  0 is no time of a sleep: it says that there was none. */
TEST(a_sleep_that_began_at_0_is_a_sleep) {
    unit_pool u;
    sqlpool__slot *slot;
    PART(begin(&u, "zero.db"));
    slot = &u.core->slots[0];
    sqlpool__note_sleep(slot, 0, true);
    CHECK(slot->busy_from == 1);
    sqlpool__note_sleep(slot, 5, false);
    CHECK(slot->busy_from == 1);
    CHECK(slot->busy_sleeps == 2);
    sqlpool__note_busy(slot);
    CHECK(slot->busy_from == 0 && slot->busy_sleeps == 0);
    CHECK_INT(latency_of(&u, SQLPOOL_TIMING_BUSY, 0).count, 1);
    unit_close(&u);
}

TEST(ticks_that_are_too_many_are_the_longest_time) {
    unit_pool u;
    CHECK_INT(sqlpool__ticks_ns(2.0, 10), 20);
    CHECK_INT(sqlpool__ticks_ns(0.5, 1), 1); /* rounded */
    CHECK_INT(sqlpool__ticks_ns(1.0, UINT64_MAX), INT64_MAX);
    CHECK_INT(sqlpool__ticks_ns(1000.0, UINT64_C(9000000000000000)), INT64_MAX);
    PART(begin(&u, "ticks.db"));
    sqlpool__ratio_set(u.core, 2.0);
    CHECK_INT((int64_t)u.core->monitor->slow_ticks, u.core->config.slow_ms * MS / 2);
    sqlpool__ratio_set(u.core, 1e-200); /* slower than anything can be */
    CHECK(u.core->monitor->slow_ticks == UINT64_MAX);
    sqlpool__ratio_set(u.core, 1.0);
    unit_close(&u);
}

/*  The pool's clock against the processor's counter, which is not the clock of this pool. */
TEST(a_tick_is_measured_unless_a_clock_jumped) {
    unit_pool u;
    const int64_t far = INT64_C(1000000000000000); /* what passes meanwhile is nothing beside it */
    sqlpool__monitor *m;
    int64_t now;
    PART(begin(&u, "calibrate.db"));
    m = u.core->monitor;
    now = u.clock.now_ns;
    sqlpool__calibrate(u.core); /* its clock ticks in nanoseconds */
    CHECK(sqlpool__ratio(u.core) == 1.0);
    CHECK_INT(m->ratio_ns, 0);
#define PAIR(ns, ticks)                                              \
    (m->ratio_ns = now - (ns), m->ratio_ticks = sqlpool__ticks(u.core) - (uint64_t)(ticks), \
     sqlpool__calibrate(u.core))
    u.core->has_cycles = true;
    PAIR(far + far / 100, far);
    CHECK(fabs(sqlpool__ratio(u.core) - 1.01) < 0.001);
    CHECK_INT(m->ratio_ns, now - far - far / 100); /* the longer between the two the better */
    PAIR(2 * far, far); /* a clock that jumped ahead */
    CHECK(fabs(sqlpool__ratio(u.core) - 1.01) < 0.001);
    CHECK_INT(m->ratio_ns, now); /* counted from here again */
    PAIR(far / 2, far); /* or fell behind */
    CHECK(fabs(sqlpool__ratio(u.core) - 1.01) < 0.001);
    CHECK_INT(m->ratio_ns, now);
    PAIR(SQLPOOL__CALIBRATION_NS - 1, 1000); /* too short */
    CHECK_INT(m->ratio_ns, now);
    PAIR(far, -far); /* a counter that was set back */
    CHECK_INT(m->ratio_ns, now);
    CHECK(fabs(sqlpool__ratio(u.core) - 1.01) < 0.001);
    m->ratio_bits = 0; /* nothing is known yet */
    PAIR(SQLPOOL__CALIBRATION_NS - 1, 1000);
    CHECK(sqlpool__ratio(u.core) == 0);
    CHECK_INT(m->ratio_ns, now - SQLPOOL__CALIBRATION_NS + 1);
    PAIR(3 * far, far); /* then anything goes */
    CHECK(fabs(sqlpool__ratio(u.core) - 3) < 0.001);
    m->ratio_bits = 0;
    m->ratio_ns = now - far;
    m->ratio_ticks = sqlpool__ticks(u.core) + (uint64_t)far; /* a counter that stands still */
    sqlpool__monitor_begin(u.core);
    CHECK(!u.core->has_cycles);
    CHECK(sqlpool__ratio(u.core) == 1.0);
#undef PAIR
    unit_close(&u);
}

/*  A commit and a sleep are noted behind the statement that they belong to, and ended before it. */
TEST(events_are_gathered_past_those_that_ended_before) {
    enum { SIZE = 8 };
    static sqlpool__u64 words[SIZE * SQLPOOL__EVENT_WORDS];
    sqlpool__ring ring;
    sqlpool_event heap[2];
    memset(&ring, 0, sizeof ring);
    ring.size = SIZE;
    ring.words = words;
    sqlpool__ring_put(&ring, 500, 1, 0, sqlpool__what(SQLPOOL_EVENT_OPEN, SQLPOOL_OK));
    sqlpool__ring_put(&ring, 10, 1, 0, sqlpool__what(SQLPOOL_EVENT_STATEMENT, SQLPOOL_OK));
    sqlpool__ring_put(&ring, 600, 1, 0, sqlpool__what(SQLPOOL_EVENT_STATEMENT, SQLPOOL_OK));
    sqlpool__ring_put(&ring, 20, 1, 0, sqlpool__what(SQLPOOL_EVENT_COMMIT, SQLPOOL_OK));
    sqlpool__ring_put(&ring, 30, 1, 0, sqlpool__what(SQLPOOL_EVENT_BUSY, SQLPOOL_OK));
    memset(heap, 0, sizeof heap);
    heap[0].at_ns = 100;
    heap[1].at_ns = 200;
    CHECK_INT(sqlpool__gather_ring(&ring, 3, heap, 2, 2), 2);
    CHECK_INT(heap[0].at_ns, 200); /* what ended first is the root */
    CHECK_INT(heap[1].at_ns, 600);
    CHECK_INT(heap[1].slot, 3); /* and not 500: behind a statement that is older all are */
}

/*  What a kind has counted and not yet timed, and one that nobody has counted yet. */
TEST(a_kind_that_is_just_being_counted) {
    sqlpool_statement_stats kind;
    sqlpool__usage *usage = NULL;
    unit_pool u;
    uint32_t slot, number;
    PART(begin(&u, "counted.db"));
    PART(run_for(&u, 700));
    kind = kind_of(&u, "SELECT take(?)");
    CHECK_INT(kind.calls, 1);
    CHECK_INT(kind.min_ns, 700);
    for (number = 0; u.core->monitor->fingerprints[number] != kind.fingerprint; number++) {
    }
    for (slot = 0; slot < u.core->slot_count; slot++) {
        sqlpool__recorder *recorder = u.core->slots[slot].recorder;
        if (recorder != NULL && recorder->usages[number].calls > 0) usage = &recorder->usages[number];
    }
    CHECK(usage != NULL);
    usage->least = UINT64_MAX;
    kind = kind_of(&u, "SELECT take(?)");
    CHECK_INT(kind.calls, 1);
    CHECK_INT(kind.min_ns, 0);
    u.core->monitor->generations[number]++; /* the number is another kind's now */
    kind = kind_of(&u, "SELECT take(?)");
    CHECK_INT(kind.calls, 0);
    CHECK_INT(kind.mean_ns, 0);
    CHECK_INT(kind.last_ns, 0);
    unit_close(&u);
}

/*  While a report has the kinds a call is counted, but not by kind; a report waits for its turn. */
static unit_pool *giving_up;
static void give_up_kinds(void *user, int64_t ns) {
    sim_clock_sleep(user, ns);
    giving_up->core->monitor->kinds_locked = 0;
}
TEST(a_report_waits_for_its_turn_at_the_kinds) {
    static sqlpool_statement_stats kinds[8];
    int level;
    for (level = SQLPOOL_METRICS_FULL; level <= SQLPOOL_METRICS_COUNTERS; level++) {
        sqlpool_stats before, after;
        unit_pool u;
        sqlpool_config config = config_of(&u);
        sqlpool_conn conn;
        int i, count;
        config.metrics = level;
        config.repeat_count = 2;
        config.clock.sleep_ns_fn = give_up_kinds;
        giving_up = &u;
        PART(open_with(&u, level == SQLPOOL_METRICS_FULL ? "one.db" : "another.db", &config));
        count = sqlpool_get_statements(u.pool, SQLPOOL_BY_CALLS, kinds, 8);
        CHECK_OK(sqlpool_get_stats(u.pool, &before), &u.error);
        u.core->monitor->kinds_locked = 1;
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
        for (i = 0; i < 3; i++)
            CHECK_OK(sqlpool_conn_exec(&conn, "SELECT a, b FROM t WHERE id = ?", SQLPOOL_ARGS(i), NULL,
                                       &u.error),
                     &u.error);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_OK(sqlpool_get_stats(u.pool, &after), &u.error);
        CHECK_INT(after.statements - before.statements, 3);
        CHECK_INT(u.log.counts[SQLPOOL_LOG_REPEATED], 0);
        CHECK(u.core->monitor->kinds_locked == 1);
        CHECK_INT(sqlpool_get_statements(u.pool, SQLPOOL_BY_CALLS, kinds, 8), count);
        CHECK(u.core->monitor->kinds_locked == 0);
        unit_close(&u);
    }
}

/*  A connection that failed is not asked for the plan, and a plan of any length has an end. */
TEST(a_slow_line_goes_without_a_plan_that_is_not_to_be_had) {
    unit_pool u;
    sqlpool_config config = config_of(&u);
    char sql[4000];
    size_t used;
    sqlpool_conn conn;
    int i;
    config.slow_ms = 10;
    PART(open_with(&u, "no_plan.db", &config));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_OK(unit_exec_on(&u, &conn, "SELECT take(20000000), a FROM t"), &u.error);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 0); /* there is no row */
    CHECK_OK(unit_exec_on(&u, &conn, "SELECT take(20000000) FROM (SELECT 1)"), &u.error);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 1);
    CHECK(strchr(u.log.last[SQLPOOL_LOG_SLOW], '\n') != NULL);
    used = (size_t)snprintf(sql, sizeof sql, "SELECT take(20000000)");
    for (i = 0; i < 100; i++)
        used += (size_t)snprintf(sql + used, sizeof sql - used, " UNION ALL SELECT %d", i);
    CHECK_OK(unit_exec_on(&u, &conn, sql), &u.error);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 2);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], "\nCOMPOUND QUERY");
    CHECK_HAS(kind_of(&u, sql).plan, "COMPOUND QUERY\n  LEFT-MOST SUBQUERY\n    ");
    u.core->memory.limit_bytes = u.core->memory.held_bytes + u.core->memory.outside_bytes;
    CHECK_OK(unit_exec_on(&u, &conn, sql), &u.error);
    u.core->memory.limit_bytes = 0;
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 3); /* there is no memory for the question */
    CHECK(strchr(u.log.last[SQLPOOL_LOG_SLOW], '\n') == NULL);
    unit_slot(&conn)->is_bad = true;
    CHECK_OK(unit_exec_on(&u, &conn, "SELECT take(20000000), 5"), &u.error);
    unit_slot(&conn)->is_bad = false;
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 4);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], "SELECT take(20000000), 5");
    CHECK(strchr(u.log.last[SQLPOOL_LOG_SLOW], '\n') == NULL);
    CHECK_STR(kind_of(&u, "SELECT take(20000000), 5").plan, "");
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

static int add_take_and_limit(void *user, const sqlpool_conn *conn) {
    sqlpool_conn copy = *conn;
    (void)sqlite3_limit(sqlpool_conn_db(&copy), SQLITE_LIMIT_LENGTH, 2000);
    return add_take(user, conn);
}
/*  Numbers, blobs and NULL as SQL writes them; what is too long for the connection is left out. */
TEST(bound_values_of_every_type_are_shown) {
    static const char blob[1500] = {0};
    unit_pool u;
    sqlpool_config config = config_of(&u);
    config.slow_values = true;
    config.events.connect_fn = add_take_and_limit;
    PART(open_with(&u, "types.db", &config));
    CHECK_OK(sqlpool_exec(u.pool, "SELECT take(?), ?, ?, ?",
                          SQLPOOL_ARGS(200 * MS, 1.5, sqlpool_value_blob("\x00\xff", 2), SQLPOOL_NULL),
                          &u.error),
             &u.error);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW],
              "; with its values: SELECT take(200000000), 1.5, x'00ff', NULL");
    CHECK_OK(sqlpool_exec(u.pool, "SELECT take(?), ?, 'a text'",
                          SQLPOOL_ARGS(200 * MS, sqlpool_value_blob(blob, sizeof blob)), &u.error),
             &u.error);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_SLOW], "SELECT take(?), ?, 'a text'");
    CHECK(strstr(u.log.last[SQLPOOL_LOG_SLOW], "with its values") == NULL);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SLOW], 2);
    unit_close(&u);
}

static void repeat_with(unit_pool *u, const char *sql, const sqlpool_value *values, bool is_told) {
    const int before = u->log.counts[SQLPOOL_LOG_REPEATED];
    sqlpool_conn conn;
    int i;
    CHECK_OK(sqlpool_conn_acquire(u->pool, SQLPOOL_READ, &conn, &u->error), &u->error);
    for (i = 0; i < 2; i++)
        CHECK_OK(sqlpool_conn_exec(&conn, sql, &values[i], 1, NULL, &u->error), &u->error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(u->log.counts[SQLPOOL_LOG_REPEATED] - before, is_told ? 1 : 0);
}
TEST(values_of_every_type_are_other_values) {
    unit_pool u;
    sqlpool_config config = config_of(&u);
    const sqlpool_value integers[] = {sqlpool_value_int64(1), sqlpool_value_int64(2)};
    const sqlpool_value doubles[] = {sqlpool_value_double(0.5), sqlpool_value_double(0.25)};
    const sqlpool_value texts[] = {sqlpool_value_text("a"), sqlpool_value_text("b")};
    const sqlpool_value blobs[] = {sqlpool_value_blob("a", 1), sqlpool_value_blob("ab", 2)};
    const sqlpool_value nulls[] = {sqlpool_value_null(NULL), sqlpool_value_null(NULL)};
    const sqlpool_value mixed[] = {sqlpool_value_null(NULL), sqlpool_value_int64(0)};
    const sqlpool_value forms[] = {sqlpool_value_text("a"), sqlpool_value_blob("a", 1)};
    const sqlpool_value halves[] = {sqlpool_value_double(0.5), sqlpool_value_double(0.5)};
    config.repeat_count = 2;
    PART(open_with(&u, "others.db", &config));
    PART(repeat_with(&u, "SELECT 1 FROM t WHERE a = ?", integers, true));
    PART(repeat_with(&u, "SELECT 2 AS b FROM t WHERE a = ?", doubles, true));
    PART(repeat_with(&u, "SELECT 3 AS c FROM t WHERE a = ?", texts, true));
    PART(repeat_with(&u, "SELECT 4 AS d FROM t WHERE a = ?", blobs, true));
    PART(repeat_with(&u, "SELECT 5 AS e FROM t WHERE a = ?", nulls, false));
    PART(repeat_with(&u, "SELECT 6 AS f FROM t WHERE a = ?", mixed, true));
    PART(repeat_with(&u, "SELECT 7 AS g FROM t WHERE a = ?", forms, true));
    PART(repeat_with(&u, "SELECT 8 AS h FROM t WHERE a = ?", halves, false));
    unit_close(&u);
}
/*  So many kinds are remembered as told; then the oldest may be told once more. */
TEST(repeated_kinds_are_forgotten_when_there_are_many) {
    const sqlpool_value values[] = {sqlpool_value_int64(1), sqlpool_value_int64(2)};
    unit_pool u;
    sqlpool_config config = config_of(&u);
    char sql[80];
    int i;
    config.repeat_count = 2;
    PART(open_with(&u, "forgotten.db", &config));
    for (i = 0; i <= SQLPOOL__REPEATS_KNOWN; i++) {
        (void)snprintf(sql, sizeof sql, "SELECT 1 AS name%d FROM t WHERE a = ?", i);
        PART(repeat_with(&u, sql, values, true));
    }
    PART(repeat_with(&u, sql, values, false));
    PART(repeat_with(&u, "SELECT 1 AS name1 FROM t WHERE a = ?", values, false));
    PART(repeat_with(&u, "SELECT 1 AS name0 FROM t WHERE a = ?", values, true));
    unit_close(&u);
}

/*---- plain connections, files, the time of day ----*/

static int keyed, key_result;
static int on_key(void *user, sqlite3 *db) {
    (void)user;
    keyed += db != NULL;
    return key_result;
}
static int64_t rows_of(sqlite3 *db) {
    char text[32] = "";
    return sqlpool__ask(db, "SELECT count(*) FROM t", text, sizeof text) == SQLITE_OK ? atoll(text) : -1;
}
/*  Who waited in vain has an event, whose write another one ran has none. */
TEST(waits_without_a_connection) {
    unit_pool u;
    uint64_t before;
    PART(begin(&u, "waits.db"));
    before = SQLPOOL__PEEK(&u.core->monitor->ring.written);
    sqlpool__note_wait(u.core, NULL, sqlpool__ticks(u.core), SQLPOOL_WRITE, SQLPOOL_OK);
    CHECK(SQLPOOL__PEEK(&u.core->monitor->ring.written) == before);
    sqlpool__note_wait(u.core, NULL, sqlpool__ticks(u.core), SQLPOOL_WRITE, SQLPOOL_TIMEOUT);
    CHECK(SQLPOOL__PEEK(&u.core->monitor->ring.written) == before + 1);
    unit_close(&u);
}

/*  A statement of 100,000 bytes is asked for its plan, a longer one is not. */
TEST(plans_are_of_statements_that_are_not_too_long) {
    static char sql[100002];
    unit_pool u;
    int more;
    PART(begin(&u, "plan.db"));
    memset(sql, ' ', sizeof sql - 1);
    memcpy(sql, "SELECT 1 FROM sqlite_master", 27);
    for (more = 0; more < 2; more++) {
        char buffer[200] = "";
        sqlpool__text text = sqlpool__text_into(buffer, sizeof buffer);
        sql[100000] = more ? ' ' : '\0';
        sqlpool__explain(&u.core->slots[0], sql, 100000 + (size_t)more, &text);
        CHECK_INT(strstr(buffer, "SCAN") != NULL, !more);
    }
    unit_close(&u);
}

TEST(a_plain_connection_is_to_the_same_database) {
    static const char *const paths[] = {"plain.db", "file:plain_uri.db?cache=private", ":memory:"};
    size_t i;
    for (i = 0; i < LENGTH(paths); i++) {
        unit_pool u;
        sqlpool_config config = config_of(&u);
        sqlite3 *db;
        if (i == 2 && sqlite3_libversion_number() < 3036000) continue; /* one connection, alone */
        config.enable_uri = i == 1;
        config.events.key_fn = on_key;
        keyed = key_result = 0;
        PART(unit_open_with(&u, paths[i], &config,
                            "CREATE TABLE t(a); INSERT INTO t VALUES(1), (2)"));
        keyed = 0;
        CHECK_INT(sqlpool__open_plain(u.core, NULL, SQLITE_OPEN_READWRITE, &db), SQLITE_OK);
        CHECK_INT(keyed, 1);
        CHECK_INT(rows_of(db), 2);
        CHECK_INT(sqlite3_close(db), SQLITE_OK);
        key_result = SQLITE_AUTH; /* the program has no key */
        CHECK_INT(sqlpool__open_plain(u.core, NULL, SQLITE_OPEN_READWRITE, &db), SQLITE_AUTH);
        CHECK(db == NULL);
        CHECK_INT(keyed, 2);
        key_result = 0;
        if (i != 2) { /* a name of the caller's is a name */
            CHECK_INT(sqlpool__open_plain(u.core, "file:odd.db",
                                          SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &db),
                      SQLITE_OK);
            CHECK_HAS(sqlite3_db_filename(db, "main"), "/file:odd.db");
            CHECK_INT(sqlite3_close(db), SQLITE_OK);
        }
        unit_close(&u);
    }
}

static int stop_at, stop_count;
static int stop(void *user) {
    (void)user;
    return ++stop_count >= stop_at;
}
/*  Why a connection has no stamp. */
TEST(a_stamp_that_cannot_be_had_has_a_reason) {
    const char *why = "";
    const sqlite3_io_methods *methods;
    sqlite3_io_methods without;
    sqlite3_file *file;
    sqlite3 *db;
    int failed = 0;
    CHECK_INT(sqlite3_open(":memory:", &db), SQLITE_OK);
    CHECK(sqlpool__file_of(db, SQLITE_FCNTL_FILE_POINTER) == NULL); /* there is none behind it */
    CHECK(sqlpool__stamp_find(db, &why) == NULL);
    CHECK_STR(why, "off: the VFS shares no memory");
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    sim_remove_database("stamp.db");
    CHECK_INT(sqlite3_open("stamp.db", &db), SQLITE_OK);
    CHECK_INT(sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL), SQLITE_OK);
    CHECK(sqlpool__file_of(db, SQLITE_FCNTL_JOURNAL_POINTER) == NULL); /* not open now */
    file = sqlpool__file_of(db, SQLITE_FCNTL_FILE_POINTER);
    CHECK(file != NULL);
    CHECK(sqlpool__stamp_find(db, &why) == NULL);
    CHECK_STR(why, "off: the file is not in WAL mode");
    CHECK_INT(sqlite3_exec(db, "PRAGMA journal_mode=WAL; BEGIN; SELECT * FROM t", NULL, NULL, NULL),
              SQLITE_OK);
    CHECK(sqlpool__stamp_find(db, &why) != NULL);
    methods = file->pMethods;
    without = *methods;
    without.iVersion = 1; /* of a VFS from before logs */
    file->pMethods = &without;
    CHECK(sqlpool__stamp_find(db, &why) == NULL);
    CHECK_STR(why, "off: the VFS shares no memory");
    without.iVersion = methods->iVersion;
    without.xShmMap = NULL;
    CHECK(sqlpool__stamp_find(db, &why) == NULL);
    CHECK_STR(why, "off: the VFS shares no memory");
    file->pMethods = methods;
    sqlite3_progress_handler(db, 1, stop, NULL);
    for (stop_at = 1; stop_at < 100; stop_at++) {
        stop_count = 0;
        if (sqlpool__stamp_find(db, &why) != NULL) break;
        CHECK_STR(why, "off: a first read failed");
        failed++;
    }
    CHECK(failed >= 2 && stop_at < 100); /* each of its two questions */
    sqlite3_progress_handler(db, 0, NULL, NULL);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
}

static int at_noon(sqlite3_vfs *vfs, double *days) { /* of 2000-01-01 */
    (void)vfs;
    *days = 2451545.0;
    return SQLITE_OK;
}
static int at_noon_ms(sqlite3_vfs *vfs, sqlite3_int64 *ms) {
    (void)vfs;
    *ms = INT64_C(2451545) * 86400000;
    return SQLITE_OK;
}
static int before_the_interface(sqlite3_vfs *vfs, sqlite3_int64 *ms) {
    (void)vfs;
    *ms = 0;
    return SQLITE_ERROR;
}
TEST(the_time_of_day_is_that_of_the_vfs) {
    const int64_t noon = INT64_C(946728000000);
    sqlite3_vfs vfs = *sqlite3_vfs_find(NULL);
    unit_pool u;
    char name[] = "recording-noon", none[] = "there is no such VFS", *before;
    PART(begin(&u, "day.db"));
    before = u.core->vfs_name;
    vfs.zName = name;
    vfs.pNext = NULL;
    vfs.xCurrentTime = at_noon;
    vfs.xCurrentTimeInt64 = at_noon_ms;
    CHECK_INT(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
    u.core->vfs_name = name;
    CHECK_INT(sqlpool__wall_ms(u.core), noon);
    vfs.xCurrentTimeInt64 = NULL;
    CHECK_INT(sqlpool__wall_ms(u.core), noon);
    vfs.xCurrentTimeInt64 = before_the_interface;
    vfs.iVersion = 1; /* there is no such member yet */
    CHECK_INT(sqlpool__wall_ms(u.core), noon);
    u.core->vfs_name = none;
    CHECK_INT(sqlpool__wall_ms(u.core), 0);
    u.core->vfs_name = before;
    CHECK_INT(sqlite3_vfs_unregister(&vfs), SQLITE_OK);
    unit_close(&u);
}

int main(void) {
    printf("# seed %llu\n", (unsigned long long)sim_seed());
    RUN(percentiles_of_a_heavy_tail_are_within_two_percent);
    RUN(a_histogram_counts_up_to_its_bounds);
    RUN(windows_forget);
    RUN(a_clock_that_jumps_does_no_harm);
    RUN(events_say_what_happened_in_order);
    RUN(rings_keep_the_last_of_all_connections);
    RUN(a_closed_connection_has_its_cause);
    RUN(a_kind_counts_what_its_statements_do);
    RUN(kinds_are_told_in_the_order_asked_for);
    RUN(the_least_useful_kind_goes);
    RUN(each_page_of_times_is_one_kinds);
    RUN(the_times_of_a_kind_have_bounds);
    RUN(a_slow_statement_is_logged_with_its_plan);
    RUN(rows_of_a_script_are_counted_by_statement);
    RUN(rows_that_a_write_returns_are_counted);
    RUN(a_slow_line_of_a_script_ends_with_its_statement);
    RUN(a_slow_line_is_utf_8_and_turns_nothing);
    RUN(bound_values_are_shown_on_request_only);
    RUN(slow_lines_are_limited);
    RUN(a_lease_that_repeats_itself_is_told_once);
    RUN(counters_alone_need_no_clock);
    RUN(an_error_that_is_only_counted_has_its_time);
    RUN(what_does_not_compile_is_an_event);
    RUN(nothing_is_recorded_when_it_is_off);
    RUN(memory_is_known_and_steady);
    RUN(any_statement_can_be_recorded);
    RUN(wrong_arguments_are_refused);
    RUN(zones_are_left_as_they_are_entered);
    RUN(a_chart_of_nothing_but_0_has_a_small_scale);
    RUN(a_lock_is_waited_for_whatever_is_recorded);
    RUN(a_statement_that_met_a_lock_is_counted_as_such);
    RUN(a_sleep_that_began_at_0_is_a_sleep);
    RUN(ticks_that_are_too_many_are_the_longest_time);
    RUN(a_tick_is_measured_unless_a_clock_jumped);
    RUN(events_are_gathered_past_those_that_ended_before);
    RUN(a_kind_that_is_just_being_counted);
    RUN(a_report_waits_for_its_turn_at_the_kinds);
    RUN(a_slow_line_goes_without_a_plan_that_is_not_to_be_had);
    RUN(bound_values_of_every_type_are_shown);
    RUN(values_of_every_type_are_other_values);
    RUN(repeated_kinds_are_forgotten_when_there_are_many);
    RUN(waits_without_a_connection);
    RUN(plans_are_of_statements_that_are_not_too_long);
    RUN(a_plain_connection_is_to_the_same_database);
    RUN(a_stamp_that_cannot_be_had_has_a_reason);
    RUN(the_time_of_day_is_that_of_the_vfs);
    return test_end();
}
