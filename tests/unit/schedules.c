/*  schedules.c - white box: small programs of two to four threads, under every order of what they do.
    SPDX-License-Identifier: MIT OR Unlicense

    Twelve scenarios over sim/sched.h and the real SQLite on files in memory (sim/disk.h). Each checks
    that every call returns, with a result that it may have; that a write is in the table exactly when
    its caller was told so; that each completion is told once; that afterwards every connection can be
    had again and nothing is left in queues, gates and counts; and that nothing is left after close.

    schedules                 a quick campaign over all of them, and the kept schedules of
                              tests/sim/schedules again
    schedules --help          the rest: longer ones, one scenario, replay
    make schedules            the long campaign: sim/schedules.sh
    make schedules-controls   broken pools that must be found: sim/controls.sh

    How to replay. A failing run is repeated with fewer and fewer of its decisions; what is needed is
    printed, with each change of threads, and written to SCENARIO-VARIANT-TRACE.schedule: the random
    seed, what a look at the clock takes, and at which point (counted from the begin of the run) which
    thread goes on, wakes for no reason, or the time jumps. Where nothing is said the thread that runs
    goes on, or the first that can. `schedules --replay FILE` runs that once, `--chatty --replay FILE`
    prints each point. So it can be stepped through in a debugger: all is one thread, a break on
    sched_fail() stops where it fails. Points are counted in the library as it is now: after a change
    of it the decisions may fit no more, which the last line says. `--scenario NAME --variant N --seed
    S --random 1 --pct 0 --dfs 0` runs the random schedule of one seed; seeds are not bound to what ran
    before them. A schedule that showed a defect is kept in tests/sim/schedules. */
#define _GNU_SOURCE
#define SQLPOOL_TESTING
#define SQLPOOL_IMPLEMENTATION
#include "sim/sched.h"

#include "sim/disk.h"
#include "sim/explore.h"

#define MS INT64_C(1000000)

enum { THREADS = 4, IDS = 32 };

/*  What a scenario's threads share. It belongs to the world: a run begins with it as the setup left
    it. */
static struct scene {
    sqlpool *pool;
    sqlpool__core *core;
    sqlpool_config config;
    int variant;
    int readers; /* connections that read */
    /* what threads look at, and what of it only checks do: see main() */
    struct shared {
        int step;          /* of the scenario's own order */
        int entered;       /* calls that close() may meet */
        bool is_closed;
        bool is_paused;    /* nothing may be out */
        bool has_bad_disk; /* writes of the disk may fail */
        int64_t value;     /* committed, for freshness */
        sqlpool_token tokens[THREADS];
        sqlpool_conn conns[THREADS];
        sqlpool_ticket tickets[THREADS];
    } shared;
    struct checked {
        int out[2];       /* leases out now, by mode */
        bool used[16];    /* slots that are out */
        int told[IDS];    /* outcome + 1 of the write of that id, as its caller was told */
        int tolds[IDS];   /* how often */
        bool counts[IDS]; /* somebody was or will be told */
        int succeeded, failed;
    } checked;
} scene;


/*---- checks ----*/

/*  The result must be one of these; the list ends with 1000. */
static int allow_(int line, const char *what, int rc, const sqlpool_error *error, const int *list) {
    const int *at;
    for (at = list; *at != 1000; at++) {
        if (rc == *at || (rc > 0 && (rc & 0xff) == *at)) return rc;
    }
    sched_fail("schedules.c:%d: %s gave %s (%d): %s", line, what, sqlpool_result_name(rc), rc,
               error != NULL ? error->message : "");
}
#define ALLOW(call, error, ...) \
    allow_(__LINE__, #call, (call), (error), (const int[]){__VA_ARGS__, 1000})
#define EXPECT(condition)                                                               \
    do {                                                                                \
        if (!(condition)) sched_fail("schedules.c:%d: failed: %s", __LINE__, #condition); \
    } while (0)

/*---- opening and closing ----*/

/*  One writer and so many readers, all open, small, without upkeep thread. */
static sqlpool_config *plain_config(int variant, int readers) {
    sqlpool_config *config = &scene.config;
    memset(&scene, 0, sizeof scene);
    scene.variant = variant;
    scene.readers = readers;
    *config = sqlpool_config_default();
    config->metrics = SQLPOOL_METRICS_OFF; /* a look at all histograms is more places than the tables hold */
    sched_hooks(config);
    config->name = "s";
    config->vfs_name = "disk";
    config->max_connections = readers + 1;
    config->min_connections = readers + 1;
    config->reserve_connections = SQLPOOL_OFF;
    config->disable_upkeep_thread = true;
    config->history_count = SQLPOOL_OFF; /* adding latencies up is thousands of points */
    config->statement_cache_count = 8;
    config->page_cache_kib = 256;
    config->acquire_timeout_ms = SQLPOOL_FOREVER; /* the time may jump at any point */
    config->close_timeout_ms = 1000000000; /* for ever, to the clock of sim/sched.h */
    config->open_timeout_ms = 1000000000;
    return config;
}

/*  Counters, and what only reports read: nobody decides by them. */
static void ignore_statistics(sqlpool__core *core) {
    uint32_t i;
    for (i = 0; i < core->slot_count; i++) {
        sqlpool__slot *slot = &core->slots[i];
        sched_ignore(slot->counters, sizeof slot->counters);
        sched_ignore(&slot->file, sizeof slot->file);
        sched_ignore(&slot->tag, sizeof slot->tag);
        sched_ignore(&slot->line, sizeof slot->line);
        sched_ignore(&slot->sql, sizeof slot->sql);
        sched_ignore(&slot->frames_at, sizeof slot->frames_at);
    }
    sched_ignore(core->counters, sizeof core->counters);
    sched_ignore(&core->memory, sizeof core->memory);
}

static void open_pool(void) {
    sqlpool_error error;
    (void)ALLOW(sqlpool_open(&scene.pool, "s.db", &scene.config, &error), &error, SQLPOOL_OK);
    scene.core = scene.pool->core;
    sched_is_a_sum(&scene.core->inside);
    ignore_statistics(scene.core);
    sched_quiet(&scene.core->commit_condition);
    sched_quiet(&scene.core->upkeep_condition);
    (void)ALLOW(sqlpool_script(scene.pool,
                               "CREATE TABLE t(id INTEGER PRIMARY KEY, who INTEGER);"
                               "CREATE TABLE x(v INTEGER); INSERT INTO x VALUES(0);",
                               -1, &error),
                &error, SQLPOOL_OK);
}

/*  A write of that id is over. */
static void told(int id, int outcome) {
    EXPECT(id >= 0 && id < IDS);
    EXPECT(outcome == SQLPOOL_OUTCOME_COMMITTED || outcome == SQLPOOL_OUTCOME_NOT_COMMITTED ||
           (outcome == SQLPOOL_OUTCOME_UNKNOWN && scene.shared.has_bad_disk));
    scene.checked.told[id] = outcome + 1;
    scene.checked.tolds[id]++;
}

/*  Rows against what was told. */
static void check_table(const bool *is_there) {
    int id;
    for (id = 0; id < IDS; id++) {
        const bool should = scene.checked.told[id] == SQLPOOL_OUTCOME_COMMITTED + 1;
        if (scene.checked.counts[id] && scene.checked.tolds[id] != 1)
            sched_fail("the fate of write %d was told %d times", id, scene.checked.tolds[id]);
        if (scene.checked.told[id] == SQLPOOL_OUTCOME_UNKNOWN + 1) continue;
        if (should != is_there[id])
            sched_fail("write %d %s in the table, and its caller was told outcome %d", id,
                       is_there[id] ? "is" : "is not", scene.checked.told[id] - 1);
    }
}

/*  By a connection of its own, when the pool is closed. */
static void check_file(void) {
    bool is_there[IDS] = {false};
    sqlite3 *db;
    sqlite3_stmt *statement;
    EXPECT(sqlite3_open_v2("s.db", &db, SQLITE_OPEN_READWRITE, "disk") == SQLITE_OK);
    EXPECT(sqlite3_prepare_v2(db, "SELECT id FROM t", -1, &statement, NULL) == SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        const int id = sqlite3_column_int(statement, 0);
        if (id >= 0 && id < IDS) is_there[id] = true;
    }
    EXPECT(sqlite3_finalize(statement) == SQLITE_OK);
    EXPECT(sqlite3_close(db) == SQLITE_OK);
    check_table(is_there);
}

static void check_idle(void) {
    const sqlpool__core *core = scene.core;
    uint32_t i;
    EXPECT(core->lanes[0].waiting == 0 && core->lanes[1].waiting == 0);
    EXPECT(core->lanes[0].queue.next == &core->lanes[0].queue);
    EXPECT(core->lanes[1].queue.next == &core->lanes[1].queue);
    EXPECT((core->gate & ~(uint32_t)SQLPOOL__GATE_SHARED) == 0);
    EXPECT(core->draining == 0 && core->holds_read == 0 && core->holds_write == 0);
    EXPECT(core->inside == 0 && core->busy_sleepers == 0 && core->room_sleepers == 0);
    EXPECT(core->scopes == 0 && core->checkpointing == 0 && core->ticking == 0);
    EXPECT(core->stamp_users == 0 && !core->is_bypassed && !core->is_closing);
    EXPECT(core->entries_used == 0 && core->entries_queued_count == 0 && core->entries_timed == 0);
    EXPECT(core->entries_bytes == 0 && core->running_number == 0);
    EXPECT(core->has_submit_thread || core->drainer == 0);
    for (i = 0; i < core->slot_count; i++) {
        EXPECT(!sqlpool__is_leased(&core->slots[i]));
        EXPECT(core->slots[i].interrupting == 0 && core->slots[i].parked == 0);
        EXPECT(core->slots[i].depth == 0 && core->slots[i].floor == 0);
    }
}

/*  Every connection can be had, at the same time, and answers. */
static void check_capacity(void) {
    sqlpool_conn conns[16];
    sqlpool_error error;
    sqlpool_stats stats;
    int i;
    const bool is_shared = (scene.core->gate & SQLPOOL__GATE_SHARED) != 0;
    for (i = is_shared ? 1 : 0; i <= scene.readers; i++) {
        (void)ALLOW(sqlpool_conn_acquire(scene.pool, i == 0 ? SQLPOOL_WRITE : SQLPOOL_READ,
                                         &conns[i], &error),
                    &error, SQLPOOL_OK);
        (void)ALLOW(sqlpool_conn_exec(&conns[i], "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, NULL,
                                      &error),
                    &error, SQLPOOL_OK);
    }
    for (i = is_shared ? 1 : 0; i <= scene.readers; i++)
        (void)ALLOW(sqlpool_conn_release(&conns[i]), NULL, SQLPOOL_OK);
    EXPECT(sqlpool_get_stats(scene.pool, &stats) == SQLPOOL_OK);
    EXPECT(stats.used == 0 && stats.waiting_read == 0 && stats.waiting_write == 0);
    EXPECT(stats.submitted_now == 0 && stats.misuses == 0 && stats.leaks == 0);
    EXPECT(stats.unclean == 0 && stats.open <= scene.readers + 1);
}

/*  Nothing is left of the pool. */
static void check_nothing_left(void) {
    char why[600];
    if (sim_alloc_check(why, sizeof why) != 0) sched_fail("memory: %s", why);
    if (world.mutexes != 0 || world.conditions != 0 || world.threads != 0)
        sched_fail("left behind: %d mutexes, %d conditions, %d threads", world.mutexes,
                   world.conditions, world.threads);
    if (disk.open_files != 0) sched_fail("left behind: %d open files", disk.open_files);
}

static void finish(void *unused) {
    sqlpool_error error;
    (void)unused;
    if (!scene.shared.is_closed) {
        sched_sleep(NULL, 1 * MS); /* the pool's threads have their turn */
        check_idle();
        check_capacity();
        (void)ALLOW(sqlpool_close(scene.pool, &error), &error, SQLPOOL_OK);
    }
    check_nothing_left();
    check_file();
    (void)disk_delete(NULL, "s.db", 0);
    (void)disk_delete(NULL, "s.db-wal", 0);
    (void)disk_delete(NULL, "s.db-journal", 0);
    EXPECT(disk.open_files == 0);
}
/*  Where callers make mistakes (a lease that was back already ...), which are counted. */
static void finish_after_misuse(void *variant) {
    scene.core->counters[SQLPOOL__COUNT_misuses] = 0;
    finish(variant);
}

/*---- what threads do ----*/

static void lease_begins(const sqlpool_conn *conn, int mode) {
    EXPECT(!scene.shared.is_paused);
    EXPECT(conn->slot < 16 && !scene.checked.used[conn->slot]);
    scene.checked.used[conn->slot] = true;
    scene.checked.out[mode]++;
    EXPECT(scene.checked.out[SQLPOOL_WRITE] <= 1 && scene.checked.out[SQLPOOL_READ] <= scene.readers);
}
static void lease_ends(const sqlpool_conn *conn, int mode) {
    EXPECT(scene.checked.used[conn->slot]);
    scene.checked.used[conn->slot] = false;
    scene.checked.out[mode]--;
}

static int take(sqlpool_mode mode, const sqlpool_call *call, sqlpool_conn *conn,
                sqlpool_error *error) {
    const int rc = sqlpool_conn_acquire_with(scene.pool, mode, call, conn, error);
    if (rc == SQLPOOL_OK) lease_begins(conn, (int)mode);
    return rc;
}
static void give(sqlpool_conn *conn, sqlpool_mode mode) {
    lease_ends(conn, (int)mode);
    (void)ALLOW(sqlpool_conn_release(conn), NULL, SQLPOOL_OK);
}
static int64_t read_value(sqlpool_conn *conn, sqlpool_error *error) {
    sqlpool_rows rows;
    int64_t value = -1;
    (void)ALLOW(sqlpool_conn_query(conn, &rows, "SELECT v FROM x", SQLPOOL_NO_ARGS, error), error,
                SQLPOOL_OK);
    if (sqlpool_rows_next(&rows)) value = sqlpool_rows_int64(&rows, 0);
    (void)ALLOW(sqlpool_rows_close(&rows, error), error, SQLPOOL_OK);
    return value;
}
/*  A write of a row of its own, told. */
static int write_row(const sqlpool_call *call, int id, sqlpool_error *error) {
    int rc;
    scene.checked.counts[id] = true;
    rc = sqlpool_exec_with(scene.pool, call, NULL, "INSERT INTO t(id, who) VALUES(?, 1)",
                           SQLPOOL_ARGS(id), error);
    if (rc == SQLPOOL_CANCELLED && error->outcome == SQLPOOL_OUTCOME_NONE)
        error->outcome = SQLPOOL_OUTCOME_NOT_COMMITTED; /* before it began */
    told(id, error->outcome);
    EXPECT((rc == SQLPOOL_OK) == (error->outcome == SQLPOOL_OUTCOME_COMMITTED));
    return rc;
}
static int me_of(void *argument) { return (int)(intptr_t)argument; }
static void spawn(void (*run)(void *), int me) {
    static const char *const names[] = {"A", "B", "C", "D", "E", "F"};
    (void)sched_spawn(run, (void *)(intptr_t)me, names[me], true);
}
/*  Until the other threads have come that far. */
static bool is_step_1(void) { return scene.shared.step >= 1; }
static bool is_step_2(void) { return scene.shared.step >= 2; }

/*---- 1: more threads than slots ----*/

static void acquire_setup(void *variant) {
    const int v = *(int *)variant;
    sqlpool_config *config = plain_config(v, v == 1 || v == 3 ? 2 : 1);
    if (v == 1 || v == 2) config->barge_us = SQLPOOL_OFF;
    if (v == 3) config->min_connections = 1; /* it grows */
    if (v == 4) config->journal = SQLPOOL_JOURNAL_DELETE;
    if (v == 5) { /* the second one only when the first is out for long */
        config->reserve_connections = 1;
        config->reserve_wait_ms = 2;
        config->reserve_threshold_percent = 101;
        scene.readers = 1;
    }
    open_pool();
}
static void acquire_run(void *argument) {
    const int me = me_of(argument);
    sqlpool_conn conn;
    sqlpool_error error;
    int i;
    for (i = 0; i < 2; i++) {
        const sqlpool_mode mode =
            (scene.variant == 2 || scene.variant == 4) && (me + i) % 2 == 0 ? SQLPOOL_WRITE
                                                                            : SQLPOOL_READ;
        (void)ALLOW(take(mode, NULL, &conn, &error), &error, SQLPOOL_OK);
        if (scene.variant == 4) EXPECT(mode == SQLPOOL_READ ? scene.checked.out[1] == 0 : scene.checked.out[0] == 0);
        if (scene.variant == 5 && i == 0) sched_sleep(NULL, 3 * MS);
        if (i == 1) EXPECT(read_value(&conn, &error) == 0);
        give(&conn, mode);
    }
}
static void acquire_begin(int variant) {
    if (variant == 5) scene.readers = 2;
    spawn(acquire_run, 0);
    spawn(acquire_run, 1);
    spawn(acquire_run, 2);
    if (variant == 1 || variant == 3) spawn(acquire_run, 3);
}

/*---- 2: time-out against grant ----*/

static void timeout_setup(void *variant) {
    const int v = *(int *)variant;
    sqlpool_config *config = plain_config(v, 1);
    if (v == 1) config->barge_us = SQLPOOL_OFF;
    if (v == 2) config->journal = SQLPOOL_JOURNAL_DELETE;
    open_pool();
}
static void timeout_run(void *argument) {
    const int me = me_of(argument);
    const sqlpool_mode mode = scene.variant == 2 && me == 1 ? SQLPOOL_WRITE : SQLPOOL_READ;
    sqlpool_call call = {0};
    sqlpool_conn conn;
    sqlpool_error error;
    int i;
    for (i = 0; i < 2; i++) {
        const int64_t start = sched_time();
        int rc;
        call.timeout_ms = me == 0 ? 50 : me == 1 ? 10 : scene.variant == 3 ? SQLPOOL_NO_WAIT : 20;
        rc = ALLOW(take(mode, &call, &conn, &error), &error, SQLPOOL_OK, SQLPOOL_TIMEOUT,
                   SQLPOOL_WOULD_BLOCK);
        if (rc == SQLPOOL_TIMEOUT) EXPECT(sched_time() - start >= call.timeout_ms * MS);
        if (rc == SQLPOOL_WOULD_BLOCK) EXPECT(call.timeout_ms == SQLPOOL_NO_WAIT);
        if (rc != SQLPOOL_OK) continue;
        if (me == 0) sched_sleep(NULL, 10 * MS);
        give(&conn, mode);
    }
}
static void timeout_begin(int variant) {
    (void)variant;
    spawn(timeout_run, 0);
    spawn(timeout_run, 1);
    spawn(timeout_run, 2);
}

/*---- 3: cancel against grant and run ----*/

#define LONG_SQL(n)                                                                              \
    "WITH RECURSIVE q(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM q WHERE i < " #n ") SELECT count(i)" \
    " FROM q"

static void cancel_setup(void *variant) {
    const int v = *(int *)variant;
    sqlpool_config *config = plain_config(v, 1);
    if (v == 1) config->barge_us = SQLPOOL_OFF;
    if (v == 4) {
        config->disable_upkeep_thread = false;
        config->statement_timeout_ms = 5;
    }
    open_pool();
}
/*  Its first statement is cancelled or not; what follows on the same connection never is. */
static void cancel_read(void *argument) {
    const int me = me_of(argument);
    sqlpool_call call = {0};
    sqlpool_error error;
    int64_t value = -1;
    sqlpool_rows rows;
    int rc;
    int64_t start = sched_time();
    call.token = &scene.shared.tokens[me];
    rc = sqlpool_query_with(scene.pool, &call, &rows, LONG_SQL(300), SQLPOOL_NO_ARGS, &error);
    if (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) value = sqlpool_rows_int64(&rows, 0);
    rc = ALLOW(sqlpool_rows_close(&rows, &error), &error, SQLPOOL_OK, SQLPOOL_CANCELLED,
               SQLPOOL_TIMEOUT);
    if (rc == SQLPOOL_OK) EXPECT(value == 300);
    if (rc == SQLPOOL_CANCELLED) EXPECT(me == 0 && scene.shared.tokens[0].fired != 0);
    if (rc == SQLPOOL_TIMEOUT) EXPECT(scene.variant == 4 && sched_time() - start >= 5 * MS);
    start = sched_time();
    rc = ALLOW(sqlpool_query_int64(scene.pool, &value, LONG_SQL(250), SQLPOOL_NO_ARGS, &error),
               &error, SQLPOOL_OK, SQLPOOL_TIMEOUT);
    if (rc == SQLPOOL_OK) EXPECT(value == 250);
    if (rc == SQLPOOL_TIMEOUT) EXPECT(scene.variant == 4 && sched_time() - start >= 5 * MS);
}
static void cancel_write(void *argument) {
    const int me = me_of(argument);
    sqlpool_call call = {0};
    sqlpool_error error;
    int rc;
    call.token = &scene.shared.tokens[me];
    rc = ALLOW(write_row(&call, me, &error), &error, SQLPOOL_OK, SQLPOOL_CANCELLED);
    if (rc == SQLPOOL_CANCELLED) EXPECT(me == 0 && scene.shared.tokens[0].fired != 0);
    (void)ALLOW(write_row(NULL, me + 10, &error), &error, SQLPOOL_OK);
}
/*  A lease that another thread cancels by number; after the release the number means nothing. */
static void cancel_lease(void *argument) {
    const int me = me_of(argument);
    sqlpool_conn conn;
    sqlpool_error error;
    int64_t value = -1;
    (void)ALLOW(take(SQLPOOL_READ, NULL, &conn, &error), &error, SQLPOOL_OK);
    if (me == 0) {
        scene.shared.conns[0] = conn;
        scene.shared.step = 1;
    }
    {
        const int rc =
            ALLOW(sqlpool_conn_exec(&conn, LONG_SQL(300), SQLPOOL_NO_ARGS, NULL, &error), &error,
                  SQLPOOL_OK, SQLPOOL_CANCELLED);
        if (rc == SQLPOOL_CANCELLED) EXPECT(me == 0 && scene.shared.step == 2);
    }
    give(&conn, SQLPOOL_READ);
    (void)ALLOW(sqlpool_query_int64(scene.pool, &value, LONG_SQL(250), SQLPOOL_NO_ARGS, &error),
                &error, SQLPOOL_OK);
    EXPECT(value == 250);
}
static void cancel_fire(void *argument) {
    (void)argument;
    if (scene.variant == 2) {
        sched_await(is_step_1);
        scene.shared.step = 2;
        (void)ALLOW(sqlpool_conn_cancel(scene.shared.conns[0]), NULL, SQLPOOL_OK, SQLPOOL_MISUSE);
        return;
    }
    (void)ALLOW(sqlpool_cancel(scene.pool, &scene.shared.tokens[0]), NULL, SQLPOOL_OK);
}
static void cancel_begin(int variant) {
    void (*const run)(void *) = variant == 2                    ? cancel_lease
                                : variant == 1 || variant == 3 ? cancel_write
                                                               : cancel_read;
    spawn(run, 0);
    spawn(run, 1);
    if (variant == 3) spawn(run, 2);
    spawn(cancel_fire, 3);
}

/*---- 4: nested ----*/

static void nested_setup(void *variant) {
    const int v = *(int *)variant;
    (void)plain_config(v, v == 1 || v == 3 ? 1 : 2);
    scene.config.acquire_timeout_ms = 20;
    if (v == 4) scene.config.journal = SQLPOOL_JOURNAL_DELETE;
    open_pool();
}
static void nested_run(void *argument) {
    const int me = me_of(argument);
    const sqlpool_mode outer = scene.variant == 3 && me == 0 ? SQLPOOL_WRITE : SQLPOOL_READ;
    const sqlpool_mode inner = scene.variant == 3 && me == 1 ? SQLPOOL_WRITE : SQLPOOL_READ;
    const int64_t start = sched_time();
    sqlpool_conn conn, second;
    sqlpool_error error;
    int rc;
    rc = ALLOW(take(outer, NULL, &conn, &error), &error, SQLPOOL_OK, SQLPOOL_TIMEOUT);
    if (rc == SQLPOOL_TIMEOUT) {
        EXPECT(sched_time() - start >= 20 * MS);
        scene.checked.failed++;
        return;
    }
    EXPECT(read_value(&conn, &error) == 0);
    rc = ALLOW(take(inner, NULL, &second, &error), &error, SQLPOOL_OK, SQLPOOL_TIMEOUT,
               SQLPOOL_DEADLOCK, SQLPOOL_MISUSE);
    if (rc == SQLPOOL_OK) {
        EXPECT(scene.variant != 1); /* there is but one */
        EXPECT(read_value(&second, &error) == 0);
        give(&second, inner);
        scene.checked.succeeded++;
    }
    if (rc == SQLPOOL_MISUSE) EXPECT(scene.variant == 1);
    if (rc == SQLPOOL_DEADLOCK) EXPECT(scene.variant != 1);
    if (rc == SQLPOOL_TIMEOUT) EXPECT(sched_time() - start >= 20 * MS);
    give(&conn, outer);
}
static void nested_begin(int variant) {
    spawn(nested_run, 0);
    spawn(nested_run, 1);
    if (variant == 2 || variant == 4) spawn(nested_run, 2);
}

/*---- 5: close with waiters ----*/

static void close_setup(void *variant) {
    const int v = *(int *)variant;
    sqlpool_config *config = plain_config(v, 1);
    if (v >= 2) config->disable_upkeep_thread = false;
    if (v == 3) config->barge_us = SQLPOOL_OFF;
    if (v == 4) config->close_timeout_ms = 5;
    open_pool();
}
/*  Holds a lease while the pool is closed. */
static void close_holder(void *argument) {
    const sqlpool_mode mode = scene.variant == 1 ? SQLPOOL_WRITE : SQLPOOL_READ;
    sqlpool_conn conn;
    sqlpool_error error;
    (void)argument;
    (void)ALLOW(take(mode, NULL, &conn, &error), &error, SQLPOOL_OK);
    scene.shared.step++;
    if (scene.variant == 4) sched_sleep(NULL, 10 * MS);
    if (scene.variant == 2) (void)read_value(&conn, &error);
    give(&conn, mode);
}
/*  Waits for it; may get it, or hear of the end. */
static void close_waiter(void *argument) {
    const int me = me_of(argument);
    const sqlpool_mode mode = scene.variant == 1 ? SQLPOOL_WRITE : SQLPOOL_READ;
    sqlpool_conn conn;
    sqlpool_error error;
    sched_await(is_step_1);
    scene.shared.step++; /* nobody closes before the call is entered: see close_close() */
    if (scene.variant == 1 && me == 2) {
        (void)ALLOW(write_row(NULL, me, &error), &error, SQLPOOL_OK, SQLPOOL_CLOSED);
        scene.shared.entered++;
        return;
    }
    if (ALLOW(take(mode, NULL, &conn, &error), &error, SQLPOOL_OK, SQLPOOL_CLOSED) == SQLPOOL_OK) {
        scene.shared.entered++;
        give(&conn, mode);
    } else {
        scene.shared.entered++;
    }
}
/*  close() may run beside calls, but not beside those that are only being entered: so when both
    wait, have their lease, or have returned. */
static bool close_may_begin(void) {
    return scene.shared.step >= 3 &&
           (int)scene.core->lanes[scene.variant == 1 ? 1 : 0].waiting + scene.shared.entered >= 2;
}
static void close_close(void *argument) {
    sqlpool_error error;
    int rc;
    (void)argument;
    sched_await(close_may_begin);
    for (;;) {
        rc = ALLOW(sqlpool_close(scene.pool, &error), &error, SQLPOOL_OK, SQLPOOL_TIMEOUT,
                   SQLPOOL_CLOSED);
        if (rc == SQLPOOL_OK) {
            EXPECT(scene.checked.out[0] == 0 && scene.checked.out[1] == 0 && !scene.shared.is_closed);
            scene.shared.is_closed = true;
        }
        if (rc != SQLPOOL_TIMEOUT) break;
        EXPECT(scene.variant == 4);
        sched_sleep(NULL, 2 * MS);
    }
    (void)ALLOW(sqlpool_conn_acquire(scene.pool, SQLPOOL_READ, &scene.shared.conns[0], &error), &error,
                SQLPOOL_CLOSED);
}
static void close_finish(void *variant) {
    EXPECT(scene.shared.is_closed);
    finish(variant);
}
static void close_begin(int variant) {
    (void)variant;
    spawn(close_holder, 0);
    spawn(close_waiter, 1);
    spawn(close_waiter, 2);
    spawn(close_close, 3);
}

/*---- 6: pause and resume ----*/

static void pause_setup(void *variant) {
    const int v = *(int *)variant;
    sqlpool_config *config = plain_config(v, v == 2 ? 2 : 1);
    if (v == 1) config->barge_us = SQLPOOL_OFF;
    if (v == 3) config->disable_upkeep_thread = false;
    if (v == 4) config->journal = SQLPOOL_JOURNAL_DELETE;
    open_pool();
}
static void pause_pause(void *argument) {
    const int me = me_of(argument);
    sqlpool_error error;
    const int64_t start = sched_time();
    const int rc = ALLOW(sqlpool_pause(scene.pool, 5, &error), &error, SQLPOOL_OK, SQLPOOL_TIMEOUT,
                         SQLPOOL_MISUSE);
    if (rc == SQLPOOL_MISUSE) EXPECT(scene.variant == 2);
    if (rc == SQLPOOL_TIMEOUT) EXPECT(sched_time() - start >= 5 * MS);
    if (rc != SQLPOOL_OK) return;
    EXPECT(scene.checked.out[0] == 0 && scene.checked.out[1] == 0 && !scene.shared.is_paused);
    scene.shared.is_paused = true;
    if (me == 0) sched_sleep(NULL, 1000);
    EXPECT(scene.checked.out[0] == 0 && scene.checked.out[1] == 0);
    scene.shared.is_paused = false;
    (void)ALLOW(sqlpool_resume(scene.pool), NULL, SQLPOOL_OK);
}
static void pause_use(void *argument) {
    const int me = me_of(argument);
    sqlpool_conn conn;
    sqlpool_error error;
    int i;
    for (i = 0; i < 2; i++) {
        if (me == 2 && i == 1) {
            (void)ALLOW(write_row(NULL, me, &error), &error, SQLPOOL_OK);
        } else {
            const sqlpool_mode mode = scene.variant == 4 && me == 1 ? SQLPOOL_WRITE : SQLPOOL_READ;
            (void)ALLOW(take(mode, NULL, &conn, &error), &error, SQLPOOL_OK);
            if (i == 0) (void)read_value(&conn, &error);
            give(&conn, mode);
        }
    }
}
static void pause_begin(int variant) {
    spawn(pause_pause, 0);
    spawn(pause_use, 1);
    spawn(pause_use, 2);
    if (variant == 2) spawn(pause_pause, 3);
}

/*---- 7: exclusive ----*/

static void exclusive_setup(void *variant) {
    const int v = *(int *)variant;
    sqlpool_config *config = plain_config(v, 1);
    if (v == 1) config->barge_us = SQLPOOL_OFF;
    if (v == 2) config->journal = SQLPOOL_JOURNAL_DELETE;
    if (v == 3) config->disable_upkeep_thread = false;
    open_pool();
}
static int exclusive_work(sqlpool_conn *conn, void *user) {
    const int id = *(const int *)user;
    sqlpool_error error;
    lease_begins(conn, SQLPOOL_WRITE);
    EXPECT(scene.checked.out[SQLPOOL_WRITE] == 1 && scene.checked.out[SQLPOOL_READ] == 0);
    scene.shared.is_paused = true;
    (void)ALLOW(sqlpool_conn_exec(conn, "INSERT INTO t(id, who) VALUES(?, 0)", SQLPOOL_ARGS(id),
                                  NULL, &error),
                &error, SQLPOOL_OK);
    scene.checked.counts[id] = true;
    told(id, SQLPOOL_OUTCOME_COMMITTED);
    EXPECT(scene.checked.out[SQLPOOL_WRITE] == 1 && scene.checked.out[SQLPOOL_READ] == 0);
    scene.shared.is_paused = false;
    lease_ends(conn, SQLPOOL_WRITE);
    return 0;
}
static void exclusive_run(void *argument) {
    int id = me_of(argument);
    sqlpool_error error;
    const int rc = ALLOW(sqlpool_exclusive(scene.pool, 5, exclusive_work, &id, &error), &error,
                         SQLPOOL_OK, SQLPOOL_TIMEOUT, SQLPOOL_MISUSE);
    if (rc == SQLPOOL_MISUSE) EXPECT(scene.variant == 1);
}
static void exclusive_use(void *argument) {
    const int me = me_of(argument);
    sqlpool_conn conn;
    sqlpool_error error;
    (void)ALLOW(take(SQLPOOL_READ, NULL, &conn, &error), &error, SQLPOOL_OK);
    if (me == 1) (void)read_value(&conn, &error);
    give(&conn, SQLPOOL_READ);
    (void)ALLOW(write_row(NULL, me, &error), &error, SQLPOOL_OK);
}
static void exclusive_begin(int variant) {
    spawn(exclusive_run, 0);
    spawn(exclusive_use, 1);
    spawn(exclusive_use, 2);
    if (variant == 1) spawn(exclusive_run, 3);
}

/*---- 8: leaders and followers ----*/

static void group_setup(void *variant) {
    const int v = *(int *)variant;
    sqlpool_error error;
    sqlpool_config *config = plain_config(v, 1);
    if (v == 1 || v == 4) config->barge_us = SQLPOOL_OFF;
    if (v == 4) config->group_count = 2;
    if (v == 2) config->disable_upkeep_thread = false;
    open_pool();
    (void)ALLOW(sqlpool_exec(scene.pool, "INSERT INTO t(id, who) VALUES(31, 0)", SQLPOOL_NO_ARGS,
                             &error),
                &error, SQLPOOL_OK);
    told(31, SQLPOOL_OUTCOME_COMMITTED);
}
static int group_function(sqlpool_conn *conn, void *user, int attempt) {
    const int id = *(const int *)user;
    (void)attempt;
    return sqlpool_conn_exec(conn, "INSERT INTO t(id, who) VALUES(?, 2)", SQLPOOL_ARGS(id), NULL,
                             NULL);
}
/*  Variants: 0 statements; 1 one of them ends the transaction; 2 one with a deadline; 3 one is
    cancelled; 4 functions; 5 one that fails alone, and a lease between them. */
static void group_run(void *argument) {
    const int me = me_of(argument);
    sqlpool_call call = {0};
    sqlpool_error error;
    int id = me, rc;
    if (scene.variant == 1 && me == 1) {
        rc = ALLOW(sqlpool_exec(scene.pool, "INSERT OR ROLLBACK INTO t(id, who) VALUES(31, 9)",
                                SQLPOOL_NO_ARGS, &error),
                   &error, SQLITE_CONSTRAINT);
        EXPECT(error.outcome == SQLPOOL_OUTCOME_NOT_COMMITTED);
    } else if (scene.variant == 2 && me == 1) {
        const int64_t start = sched_time();
        call.timeout_ms = 1;
        scene.checked.counts[id] = true;
        rc = ALLOW(sqlpool_exec_with(scene.pool, &call, NULL,
                                     "INSERT INTO t(id, who) SELECT 1, (" LONG_SQL(400) ")",
                                     SQLPOOL_NO_ARGS, &error),
                   &error, SQLPOOL_OK, SQLPOOL_TIMEOUT);
        told(id, error.outcome);
        if (rc == SQLPOOL_TIMEOUT) EXPECT(sched_time() - start >= 1 * MS);
    } else if (scene.variant == 3 && me == 1) {
        call.token = &scene.shared.tokens[1];
        rc = ALLOW(write_row(&call, id, &error), &error, SQLPOOL_OK, SQLPOOL_CANCELLED);
    } else if (scene.variant == 4) {
        scene.checked.counts[id] = true;
        rc = ALLOW(sqlpool_write(scene.pool, group_function, &id, &error), &error, SQLPOOL_OK);
        told(id, error.outcome);
    } else if (scene.variant == 5 && me == 1) {
        rc = ALLOW(sqlpool_exec(scene.pool, "INSERT INTO t(id, who) VALUES(31, 9)",
                                SQLPOOL_NO_ARGS, &error),
                   &error, SQLITE_CONSTRAINT);
        EXPECT(error.outcome == SQLPOOL_OUTCOME_NOT_COMMITTED);
    } else if (scene.variant == 5 && me == 2) {
        sqlpool_conn conn;
        (void)ALLOW(take(SQLPOOL_WRITE, NULL, &conn, &error), &error, SQLPOOL_OK);
        give(&conn, SQLPOOL_WRITE);
    } else {
        (void)ALLOW(write_row(NULL, id, &error), &error, SQLPOOL_OK);
    }
    if (me < 2) (void)ALLOW(write_row(NULL, me + 10, &error), &error, SQLPOOL_OK);
}
static void group_cancel(void *argument) {
    (void)argument;
    (void)ALLOW(sqlpool_cancel(scene.pool, &scene.shared.tokens[1]), NULL, SQLPOOL_OK);
}
static void group_begin(int variant) {
    spawn(group_run, 0);
    spawn(group_run, 1);
    spawn(group_run, 2);
    if (variant == 3) spawn(group_cancel, 3);
    if (variant == 0 || variant == 4) spawn(group_run, 3);
}

/*---- 9: submissions ----*/

static void submit_setup(void *variant) {
    const int v = *(int *)variant;
    sqlpool_config *config = plain_config(v, 1);
    if (v == 3 || v == 4) config->disable_upkeep_thread = false;
    config->submit_count = v == 1 ? 1 : 4;
    if (v == 5) config->barge_us = SQLPOOL_OFF;
    open_pool();
    if (v != 1) { /* entries and thread are there already: their making is variant 1's */
        sqlpool_error error;
        (void)ALLOW(sqlpool_submit(scene.pool, NULL, "INSERT INTO t(id, who) VALUES(30, 0)",
                                   SQLPOOL_NO_ARGS, &error),
                    &error, SQLPOOL_OK);
        (void)ALLOW(sqlpool_flush(scene.pool, 0, &error), &error, SQLPOOL_OK);
        told(30, SQLPOOL_OUTCOME_COMMITTED);
        sched_quiet(&scene.core->work_condition);
    }
}
static void submit_done(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    (void)result;
    told((int)(intptr_t)user, error->outcome);
}
static int submit_row(int id, bool by_function, sqlpool_ticket *ticket, int wait_ms,
                      sqlpool_error *error) {
    sqlpool_submission options = {0};
    int rc;
    options.wait_ms = wait_ms;
    if (by_function) {
        options.done_fn = submit_done;
        options.user = (void *)(intptr_t)id;
    }
    rc = sqlpool_submit_with(scene.pool, &options, ticket, "INSERT INTO t(id, who) VALUES(?, 3)",
                             SQLPOOL_ARGS(id), error);
    if (rc == SQLPOOL_OK && by_function) scene.checked.counts[id] = true;
    return rc;
}
static bool is_taken_back(void) { /* by another thread */
    return scene.variant == 2 || scene.variant == 6;
}
static void submit_wait(int id, sqlpool_ticket *ticket, int timeout_ms) {
    sqlpool_result result;
    sqlpool_error error;
    scene.checked.counts[id] = true;
    for (;;) {
        const int rc = ALLOW(sqlpool_ticket_wait(ticket, timeout_ms, &result, &error), &error,
                             SQLPOOL_OK, SQLPOOL_WOULD_BLOCK, SQLPOOL_CANCELLED, SQLPOOL_MISUSE);
        if (rc == SQLPOOL_WOULD_BLOCK) continue;
        if (rc == SQLPOOL_CANCELLED || rc == SQLPOOL_MISUSE) EXPECT(is_taken_back());
        if (rc == SQLPOOL_MISUSE) { /* taken back before somebody waited: that is told to who did */
            scene.checked.failed++;
            return;
        }
        if (rc == SQLPOOL_CANCELLED) scene.checked.failed++;
        if (!is_taken_back()) told(id, error.outcome);
        EXPECT((rc == SQLPOOL_OK) == (error.outcome == SQLPOOL_OUTCOME_COMMITTED));
        EXPECT(rc != SQLPOOL_OK || result.changes == 1);
        return;
    }
}
/*  0, 3: each submits and waits for its own; with a thread in 3. 1: a queue of one. */
static void submit_each(void *argument) {
    const int me = me_of(argument);
    sqlpool_ticket ticket;
    sqlpool_error error;
    (void)ALLOW(submit_row(me, false, &ticket, 0, &error), &error, SQLPOOL_OK);
    submit_wait(me, &ticket, me == 1 ? 1 : SQLPOOL_FOREVER);
}
/*  2: one waits, another cancels, a third runs the queue. 6: who waits gives up, and asks again. */
static void submit_cancel(void *argument) {
    const int me = me_of(argument);
    sqlpool_error error;
    sqlpool_ticket copy;
    if (me == 0) {
        (void)ALLOW(submit_row(0, true, &scene.shared.tickets[0], 0, &error), &error, SQLPOOL_OK);
        scene.shared.step = 1;
        copy = scene.shared.tickets[0];
        submit_wait(0, &copy, scene.variant == 6 ? 1 : SQLPOOL_FOREVER);
        EXPECT(scene.checked.tolds[0] == 1 || scene.checked.failed == 1);
    } else if (me == 1) {
        sched_await(is_step_1);
        copy = scene.shared.tickets[0];
        if (ALLOW(sqlpool_ticket_cancel(&copy), NULL, SQLPOOL_OK, SQLPOOL_TOO_LATE,
                  SQLPOOL_MISUSE /* it was fetched */) == SQLPOOL_OK) {
            EXPECT(scene.checked.told[0] == SQLPOOL_OUTCOME_NOT_COMMITTED + 1);
            scene.checked.succeeded++;
        }
    } else {
        (void)ALLOW(submit_row(2, true, NULL, 0, &error), &error, SQLPOOL_OK);
        (void)ALLOW(sqlpool_flush(scene.pool, 0, &error), &error, SQLPOOL_OK);
    }
}
/*  4: with the pool's thread; a ticket is dropped, another polled, and the pool closed. */
static void submit_drop(void *argument) {
    const int me = me_of(argument);
    sqlpool_error error;
    sqlpool_ticket ticket;
    int rc;
    if (me == 0) {
        (void)ALLOW(submit_row(0, true, &ticket, 0, &error), &error, SQLPOOL_OK);
        (void)ALLOW(sqlpool_ticket_drop(&ticket), NULL, SQLPOOL_OK);
        scene.shared.step++;
    } else if (me == 1) {
        (void)ALLOW(submit_row(1, true, &ticket, 0, &error), &error, SQLPOOL_OK);
        rc = ALLOW(sqlpool_ticket_poll(&ticket, NULL, &error), &error, SQLPOOL_OK,
                   SQLPOOL_WOULD_BLOCK);
        if (rc == SQLPOOL_WOULD_BLOCK) {
            rc = ALLOW(sqlpool_ticket_cancel(&ticket), NULL, SQLPOOL_OK, SQLPOOL_TOO_LATE);
            if (rc == SQLPOOL_TOO_LATE) (void)sqlpool_ticket_drop(&ticket);
        }
        scene.shared.step++;
    } else {
        (void)ALLOW(submit_row(2, true, NULL, 0, &error), &error, SQLPOOL_OK);
        sched_await(is_step_2);
        (void)ALLOW(sqlpool_close(scene.pool, &error), &error, SQLPOOL_OK);
        scene.shared.is_closed = true;
    }
}
/*  5: a thread writes, others run the queue: tick, flush, wait; a lease holds the writer up. */
static void submit_mix(void *argument) {
    const int me = me_of(argument);
    sqlpool_error error;
    sqlpool_conn conn;
    sqlpool_ticket ticket;
    switch (me) {
    case 0:
        (void)ALLOW(take(SQLPOOL_WRITE, NULL, &conn, &error), &error, SQLPOOL_OK);
        (void)ALLOW(submit_row(0, true, NULL, SQLPOOL_NO_WAIT, &error), &error, SQLPOOL_OK);
        give(&conn, SQLPOOL_WRITE);
        (void)ALLOW(sqlpool_flush(scene.pool, SQLPOOL_FOREVER, &error), &error, SQLPOOL_OK);
        break;
    case 1:
        (void)ALLOW(submit_row(1, false, &ticket, 0, &error), &error, SQLPOOL_OK);
        submit_wait(1, &ticket, SQLPOOL_FOREVER);
        break;
    case 2:
        (void)ALLOW(sqlpool_tick(scene.pool, 1000), NULL, SQLPOOL_OK);
        (void)ALLOW(write_row(NULL, 2, &error), &error, SQLPOOL_OK);
        break;
    default:
        break;
    }
}
static void submit_begin(int variant) {
    void (*const run)(void *) = is_taken_back() ? submit_cancel
                                : variant == 4 ? submit_drop
                                : variant == 5 ? submit_mix
                                               : submit_each;
    spawn(run, 0);
    spawn(run, 1);
    spawn(run, 2);
}
static void submit_finish(void *variant) {
    if (is_taken_back()) EXPECT(scene.checked.succeeded == scene.checked.failed);
    if (!scene.shared.is_closed) scene.core->counters[SQLPOOL__COUNT_misuses] = 0;
    finish(variant);
}

/*---- 10: snapshots that wait for reuse ----*/

static void snapshot_setup(void *variant) {
    const int v = *(int *)variant;
    sqlpool_error error;
    int64_t value;
    sqlpool_config *config = plain_config(v, v == 2 ? 2 : 1);
    config->disable_upkeep_thread = false;
    if (v == 1) config->wal_budget_bytes = 4096;
    open_pool();
    (void)ALLOW(sqlpool_query_int64(scene.pool, &value, "SELECT v FROM x", SQLPOOL_NO_ARGS, &error),
                &error, SQLPOOL_OK);
}
/*  A read that begins when a commit has returned sees it. */
static void snapshot_read(void *argument) {
    const int me = me_of(argument);
    sqlpool_error error;
    sqlpool_conn conn;
    int64_t value = -1, least;
    int i;
    if (me == 0 && scene.variant != 1) { /* held: parked between the calls */
        (void)ALLOW(take(SQLPOOL_READ, NULL, &conn, &error), &error, SQLPOOL_OK);
        for (i = 0; i < 2; i++) {
            least = scene.shared.value;
            value = read_value(&conn, &error);
            EXPECT(value >= least);
        }
        give(&conn, SQLPOOL_READ);
    }
    for (i = 0; i < 2; i++) {
        least = scene.shared.value;
        (void)ALLOW(sqlpool_query_int64(scene.pool, &value, "SELECT v FROM x", SQLPOOL_NO_ARGS,
                                        &error),
                    &error, SQLPOOL_OK);
        EXPECT(value >= least);
    }
}
static void snapshot_write(void *argument) {
    sqlpool_error error;
    int i;
    (void)argument;
    for (i = 1; i <= 2; i++) {
        (void)ALLOW(sqlpool_exec(scene.pool, "UPDATE x SET v = ?", SQLPOOL_ARGS(i), &error), &error,
                    SQLPOOL_OK);
        scene.shared.value = i;
    }
}
static void snapshot_checkpoint(void *argument) {
    sqlpool_error error;
    sqlpool_checkpoint_result result;
    (void)argument;
    (void)ALLOW(sqlpool_checkpoint(scene.pool,
                                   scene.variant == 3 ? SQLPOOL_CHECKPOINT_TRUNCATE
                                                      : SQLPOOL_CHECKPOINT_PASSIVE,
                                   &result, &error),
                &error, SQLPOOL_OK, SQLITE_BUSY);
}
static void snapshot_changed(void *argument) {
    sqlpool_stamp stamp;
    int i;
    (void)argument;
    memset(&stamp, 0, sizeof stamp);
    for (i = 0; i < 2; i++) (void)ALLOW(sqlpool_changed(scene.pool, &stamp), NULL, 0, 1);
    (void)ALLOW(sqlpool_recycle(scene.pool), NULL, SQLPOOL_OK);
    (void)ALLOW(sqlpool_changed(scene.pool, &stamp), NULL, 0, 1);
}
static void snapshot_begin_(int variant) {
    spawn(snapshot_read, 0);
    spawn(snapshot_write, 1);
    if (variant == 2) {
        spawn(snapshot_read, 2);
        spawn(snapshot_changed, 3);
    } else if (variant != 1) {
        spawn(snapshot_checkpoint, 2);
    }
}

/*---- 11: upkeep beside acquire and release ----*/

static void upkeep_setup(void *variant) {
    const int v = *(int *)variant;
    sqlpool_config *config = plain_config(v, 2);
    config->min_connections = 1;
    config->idle_timeout_ms = 1;
    config->upkeep_interval_ms = 10;
    config->validate_after_ms = 5;
    config->health_interval_ms = 10;
    if (v == 1) config->disable_upkeep_thread = false;
    if (v == 2) {
        config->max_lifetime_ms = 20;
        config->lifetime_jitter_percent = SQLPOOL_OFF;
    }
    open_pool();
    {
        sqlpool_error error;
        sqlpool_conn a, b;
        (void)ALLOW(sqlpool_conn_acquire(scene.pool, SQLPOOL_READ, &a, &error), &error, SQLPOOL_OK);
        (void)ALLOW(sqlpool_conn_acquire(scene.pool, SQLPOOL_READ, &b, &error), &error, SQLPOOL_OK);
        (void)sqlpool_conn_release(&a);
        (void)sqlpool_conn_release(&b);
        (void)sqlpool_tick(scene.pool, 1000000);
    }
}
static void upkeep_use(void *argument) {
    const int me = me_of(argument);
    sqlpool_error error;
    sqlpool_conn conn;
    int i;
    for (i = 0; i < 2; i++) {
        (void)ALLOW(take(SQLPOOL_READ, NULL, &conn, &error), &error, SQLPOOL_OK);
        EXPECT(read_value(&conn, &error) == 0);
        give(&conn, SQLPOOL_READ);
        if (i == 0 && me == 0) sched_sleep(NULL, 30 * MS);
    }
    (void)ALLOW(write_row(NULL, me, &error), &error, SQLPOOL_OK);
}
static void upkeep_tick(void *argument) {
    int i;
    (void)argument;
    for (i = 0; i < 2; i++) {
        if (scene.variant == 3) {
            (void)ALLOW(sqlpool_recycle(scene.pool), NULL, SQLPOOL_OK);
        } else {
            sched_sleep(NULL, 15 * MS);
            (void)ALLOW(sqlpool_tick(scene.pool, 1000000), NULL, SQLPOOL_OK);
        }
    }
}
static void upkeep_begin(int variant) {
    (void)variant;
    spawn(upkeep_use, 0);
    spawn(upkeep_use, 1);
    spawn(upkeep_tick, 2);
}

/*---- 12: the breaker half open ----*/

static void breaker_setup(void *variant) {
    const int v = *(int *)variant;
    sqlpool_error error;
    sqlpool_config *config = plain_config(v, 1);
    config->breaker_open_ms = 10;
    config->retry_attempts = 1;
    if (v == 2) config->barge_us = SQLPOOL_OFF;
    open_pool();
    scene.shared.has_bad_disk = true;
    if (v == 1) return; /* it opens while others wait */
    disk.fail_writes = SQLITE_FULL;
    (void)ALLOW(write_row(NULL, 29, &error), &error, SQLITE_FULL);
    EXPECT(scene.core->breakers[SQLPOOL_WRITE].state == SQLPOOL__BREAKER_OPEN);
}
static void breaker_write(void *argument) {
    const int me = me_of(argument);
    sqlpool_error error;
    int i;
    for (i = 0; i < 2; i++) {
        const int id = me * 2 + i;
        const int rc = ALLOW(write_row(NULL, id, &error), &error, SQLPOOL_OK, SQLITE_FULL);
        if (rc == SQLPOOL_OK) scene.checked.succeeded++;
        if (i == 0) sched_sleep(NULL, 11 * MS);
    }
}
static void breaker_heal(void *argument) {
    (void)argument;
    if (scene.variant == 1) {
        disk.fail_writes = SQLITE_FULL;
        sched_sleep(NULL, 1 * MS);
    }
    disk.fail_writes = 0;
}
static void breaker_begin(int variant) {
    (void)variant;
    spawn(breaker_write, 0);
    spawn(breaker_write, 1);
    spawn(breaker_write, 2);
    spawn(breaker_heal, 3);
}
/*  Healed: after its time one call closes it, and all go through. */
static void breaker_finish(void *variant) {
    sqlpool_error error;
    EXPECT(disk.fail_writes == 0);
    sched_sleep(NULL, 11 * MS);
    (void)ALLOW(write_row(NULL, 20, &error), &error, SQLPOOL_OK);
    EXPECT(scene.core->breakers[SQLPOOL_WRITE].state == SQLPOOL__BREAKER_CLOSED);
    (void)ALLOW(write_row(NULL, 21, &error), &error, SQLPOOL_OK);
    finish(variant);
}

/*---- the list ----*/

static const explore_scenario scenarios[] = {
    {"acquire", 6, acquire_setup, acquire_begin, finish, "222222"},
    {"timeout", 4, timeout_setup, timeout_begin, finish, "2222"},
    {"cancel", 5, cancel_setup, cancel_begin, finish_after_misuse, "22221"},
    {"nested", 5, nested_setup, nested_begin, finish_after_misuse, "22222"},
    {"close", 5, close_setup, close_begin, close_finish, "22111"},
    {"pause", 5, pause_setup, pause_begin, finish_after_misuse, "22222"},
    {"exclusive", 4, exclusive_setup, exclusive_begin, finish_after_misuse, "2222"},
    {"group", 6, group_setup, group_begin, finish, "222222"},
    {"submit", 7, submit_setup, submit_begin, submit_finish, "2221222"},
    {"snapshot", 4, snapshot_setup, snapshot_begin_, finish, "2212"},
    {"upkeep", 4, upkeep_setup, upkeep_begin, finish, "2122"},
    {"breaker", 3, breaker_setup, breaker_begin, breaker_finish, "222"},
};

int main(int argc, char **argv) {
    if (sched_why_not() != NULL) {
        printf("# skipped: %s\nok skipped\n1 passed, 0 failed\n", sched_why_not());
        return 0;
    }
    if (sched_init(&sqlpool__hint, sizeof sqlpool__hint) != 0 || disk_install() != SQLITE_OK) {
        printf("# the simulator could not be set up\n0 passed, 1 failed\n");
        return 1;
    }
    sched_keep(&sqlpool__global, sizeof sqlpool__global);
    sched_keep(&scene, sizeof scene);
    sched.loose = &scene.shared;
    sched.loose_bytes = sizeof scene.shared;
    sched.checked = &scene.checked;
    sched.checked_bytes = sizeof scene.checked;
    return explore_main(argc, argv, scenarios,
                        (int)(sizeof scenarios / sizeof scenarios[0]));
}
