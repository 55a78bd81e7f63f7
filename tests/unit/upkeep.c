/*  upkeep.c - white box: periodic work, reports, configuration, life cycle (I24 to I26).
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "unit.h"

/*  For tests with threads: time passes by itself. */
static void on_real_time(unit_pool *u, sqlpool_config *config) {
    u->locks.clock = NULL;
    u->locks.solo = 0;
    memset(&config->clock, 0, sizeof config->clock);
}
static int64_t pass(unit_pool *u) {
    return sqlpool__upkeep_pass(u->core, SQLPOOL__NEVER);
}
static int open_now(const unit_pool *u) {
    return sqlpool__open_count(u->core);
}
/*  Leases of `count` readers at once, given back: that many are open and idle now. */
static void open_readers(unit_pool *u, int count) {
    sqlpool_conn conns[16];
    int i;
    for (i = 0; i < count; i++)
        CHECK_OK(sqlpool_conn_acquire(u->pool, SQLPOOL_READ, &conns[i], &u->error), &u->error);
    for (i = 0; i < count; i++) CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
}

/*---- I24 ----*/

TEST(reap_to_the_minimum) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 5);
    config.min_connections = 3;
    PART(unit_open(&u, "reap.db", &config));
    CHECK_INT(open_now(&u), 3);
    PART(open_readers(&u, 5));
    CHECK_INT(open_now(&u), 6);
    u.clock.now_ns += 1000 * MS;
    (void)pass(&u); /* sees them idle: their time runs from here */
    CHECK_INT(open_now(&u), 6);
    u.clock.now_ns += 29999 * MS;
    (void)pass(&u);
    CHECK_INT(open_now(&u), 6);
    u.core->next_health_ns = SQLPOOL__NEVER; /* a check counts as use */
    u.clock.now_ns += 1000 * MS;
    (void)pass(&u);
    CHECK_INT(open_now(&u), 3);
    CHECK(u.core->slots[0].db != NULL && u.core->slots[1].db != NULL); /* the warm ones stay */
    CHECK(u.core->slots[5].db == NULL);
    CHECK_INT(u.core->slots[5].counters[SQLPOOL__COUNT_closed_idle], 1);
    u.clock.now_ns += 100000 * MS;
    (void)pass(&u);
    CHECK_INT(open_now(&u), 3);
    unit_close(&u);
}

TEST(reap_spares_what_is_used) {
    unit_pool u;
    sqlpool_conn conn;
    PART(unit_begin(&u, "spare.db", 3, NULL));
    PART(open_readers(&u, 3));
    u.core->next_health_ns = SQLPOOL__NEVER;
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    u.clock.now_ns += 1000 * MS;
    (void)pass(&u);
    u.clock.now_ns += 60000 * MS;
    (void)pass(&u);
    CHECK_INT(open_now(&u), 2); /* the lease, and the writer whatever the minimum */
    CHECK(unit_slot(&conn)->db != NULL);
    CHECK(u.core->slots[0].db != NULL);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    u.core->config.idle_timeout_ms = SQLPOOL_OFF;
    u.clock.now_ns += 1000 * MS;
    (void)pass(&u);
    u.clock.now_ns += 600000 * MS;
    (void)pass(&u);
    CHECK_INT(open_now(&u), 2);
    unit_close(&u);
}

TEST(attention_is_marked) {
    unit_pool u;
    sqlpool__slot *slot;
    PART(unit_begin(&u, "attention.db", 2, NULL));
    PART(open_readers(&u, 1));
    slot = &u.core->slots[1];
    u.core->next_health_ns = SQLPOOL__NEVER;
    u.core->next_reap_ns = 0;
    (void)pass(&u);
    CHECK_INT(slot->attention, 0);
    u.clock.now_ns += 499 * MS;
    u.core->next_reap_ns = 0;
    (void)pass(&u);
    CHECK_INT(slot->attention, 0);
    u.clock.now_ns += 1 * MS;
    u.core->next_reap_ns = 0;
    (void)pass(&u);
    CHECK_INT(slot->attention, 1);
    PART(open_readers(&u, 1)); /* looked at, and unmarked */
    CHECK_INT(slot->attention, 0);
    CHECK_INT(slot->checked_ns, u.clock.now_ns);
    unit_close(&u);
}

TEST(check_before_use) {
    unit_pool u;
    sqlpool__slot *writer;
    PART(unit_begin(&u, "before.db", 1, NULL));
    writer = &u.core->slots[0];
    u.core->has_thread = true;
    writer->mode = SQLPOOL_READ;
    writer->checked_ns = u.clock.now_ns - 1000 * MS;
    CHECK(!sqlpool__is_check_due(writer)); /* readers: upkeep marks them */
    writer->mode = SQLPOOL_WRITE;
    CHECK(sqlpool__is_check_due(writer));
    writer->checked_ns = u.clock.now_ns - 500 * MS;
    CHECK(sqlpool__is_check_due(writer));
    writer->checked_ns++;
    CHECK(!sqlpool__is_check_due(writer));
    u.core->has_thread = false;
    writer->mode = SQLPOOL_READ;
    writer->checked_ns = 0;
    CHECK(sqlpool__is_check_due(writer));
    unit_close(&u);
}

TEST(lifetime) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool__slot *slot;
    int64_t opened;
    int i;
    config.max_lifetime_ms = 100000;
    config.lifetime_jitter_percent = 10;
    PART(unit_open(&u, "life.db", &config));
    slot = &u.core->slots[0];
    for (i = 0; i < 50; i++) { /* each life is up to a tenth shorter */
        sqlpool_error error;
        sqlpool__close_connection(slot);
        CHECK_OK(sqlpool__open_connection(slot, &error), &error);
        CHECK(slot->dies_ns - u.clock.now_ns <= 100000 * MS);
        CHECK(slot->dies_ns - u.clock.now_ns >= 90000 * MS);
    }
    u.core->config.lifetime_jitter_percent = SQLPOOL_OFF;
    sqlpool__close_connection(slot);
    CHECK_OK(sqlpool__open_connection(slot, &u.error), &u.error);
    opened = u.clock.now_ns;
    CHECK_INT(slot->dies_ns - opened, 100000 * MS);
    u.core->next_health_ns = SQLPOOL__NEVER;
    u.clock.now_ns = opened + 99999 * MS;
    slot->checked_ns = u.clock.now_ns;
    CHECK_OK(unit_script(&u, "CREATE TABLE t(a)"), &u.error);
    CHECK_INT(slot->counters[SQLPOOL__COUNT_closed_lifetime], 0);
    u.core->next_reap_ns = 0;
    u.clock.now_ns += 1 * MS;
    slot->attention = 0;
    (void)pass(&u);
    CHECK_INT(slot->attention, 1);
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
    CHECK_INT(slot->counters[SQLPOOL__COUNT_closed_lifetime], 1);
    CHECK(slot->dies_ns > u.clock.now_ns);
    unit_close(&u);
}

TEST(leak_is_reported_once) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_call call = unit_call(0);
    sqlpool_conn conn;
    int i;
    call.tag = "nightly report";
    config.leak_report_ms = 5000;
    PART(unit_open(&u, "leak.db", &config));
    CHECK_OK(sqlpool_conn_acquire_with(u.pool, SQLPOOL_WRITE, &call, &conn, &u.error), &u.error);
    u.clock.now_ns += 1000 * MS;
    (void)pass(&u); /* seen from here on */
    u.clock.now_ns += 4000 * MS - 1;
    (void)pass(&u);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_LEAK], 0);
    u.clock.now_ns += 1000 * MS + 1;
    (void)pass(&u);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_LEAK], 1);
    for (i = 0; i < 5; i++) {
        (void)pass(&u);
        u.clock.now_ns += 60000 * MS;
    }
    CHECK_INT(u.log.counts[SQLPOOL_LOG_LEAK], 1);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_LEAK], "[nightly report]");
    CHECK_HAS(u.log.last[SQLPOOL_LOG_LEAK], "upkeep.c");
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_leaks], 1);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_LEAK_ENDED], 0);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    for (i = 0; i < 3; i++) {
        u.clock.now_ns += 60000 * MS;
        (void)pass(&u);
    }
    CHECK_INT(u.log.counts[SQLPOOL_LOG_LEAK_ENDED], 1);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_LEAK], 1);
    u.core->config.leak_report_ms = SQLPOOL_OFF;
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    for (i = 0; i < 3; i++) {
        u.clock.now_ns += 600000 * MS;
        (void)pass(&u);
    }
    CHECK_INT(u.log.counts[SQLPOOL_LOG_LEAK], 1);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

TEST(idle_program_sleeps_long) {
    unit_pool u;
    sqlpool_conn conn;
    int64_t next;
    PART(unit_begin(&u, "sleep.db", 2, NULL));
    CHECK_INT(u.core->next_reap_ns - u.clock.now_ns, 1000 * MS);
    CHECK_INT(u.core->next_health_ns - u.clock.now_ns, 30000 * MS);
    u.clock.now_ns += 1000 * MS;
    next = pass(&u); /* opening was activity */
    CHECK_INT(next - u.clock.now_ns, 1000 * MS);
    u.clock.now_ns = next;
    (void)pass(&u);
    CHECK_INT(u.core->next_reap_ns - u.clock.now_ns, 30000 * MS); /* nothing happened */
    u.clock.now_ns = u.core->next_health_ns;
    next = pass(&u); /* the check itself is no activity */
    u.clock.now_ns = next;
    next = pass(&u);
    CHECK(next - u.clock.now_ns > 20000 * MS);
    CHECK_OK(unit_exec(&u, "SELECT 1"), &u.error);
    u.clock.now_ns = u.core->next_reap_ns;
    (void)pass(&u);
    CHECK_INT(u.core->next_reap_ns - u.clock.now_ns, 1000 * MS); /* something did */
    /* a lease that is out keeps the passes frequent: leaks are found in time */
    sqlpool__close_connection(&u.core->slots[1]);
    u.core->slots[1].word = sqlpool__word(u.core->slots[1].number, SQLPOOL__EMPTY);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    u.core->last_activity = sqlpool__activity(u.core);
    u.clock.now_ns = u.core->next_reap_ns;
    (void)pass(&u);
    CHECK_INT(u.core->next_reap_ns - u.clock.now_ns, 1000 * MS);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

TEST(deadlines_are_stopped) {
    unit_pool u;
    sqlpool__slot *slots;
    sqlpool_conn a;
    PART(unit_begin(&u, "stop.db", 2, NULL));
    slots = u.core->slots;
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &a, &u.error), &u.error);
    CHECK_INT(sqlpool__stop_expired(u.core, u.clock.now_ns), SQLPOOL__NEVER);
    slots[0].deadline_ns = u.clock.now_ns + 70;
    CHECK_INT(sqlpool__stop_expired(u.core, u.clock.now_ns), u.clock.now_ns + 70);
    CHECK(slots[0].expired != slots[0].number);
    CHECK_INT(sqlpool__stop_expired(u.core, u.clock.now_ns + 69), u.clock.now_ns + 70);
    /* sent again every 10 ms: SQLite forgets one that came just before the statement began */
    CHECK_INT(sqlpool__stop_expired(u.core, u.clock.now_ns + 70), u.clock.now_ns + 70 + 10 * MS);
    CHECK_INT(slots[0].expired, slots[0].number);
    CHECK_INT(slots[0].interrupting, 0);
    CHECK_INT(sqlpool__stop_expired(u.core, u.clock.now_ns + 71), u.clock.now_ns + 71 + 10 * MS);
    slots[0].deadline_ns = SQLPOOL__NEVER;
    CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    slots[0].deadline_ns = 5; /* not out: nobody's */
    slots[0].expired = UINT64_MAX;
    CHECK_INT(sqlpool__stop_expired(u.core, 10), SQLPOOL__NEVER);
    CHECK(slots[0].expired == UINT64_MAX);
    slots[0].deadline_ns = SQLPOOL__NEVER;
    unit_close(&u);
}

TEST(interrupt_looks_before_it_acts) {
    unit_pool u;
    sqlpool_conn conn;
    sqlpool__slot *slot;
    sqlite3_stmt *statement = NULL;
    int i;
    PART(unit_begin(&u, "interrupt.db", 1, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    slot = unit_slot(&conn);
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3", &statement,
                               &u.error),
             &u.error);
    CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
    sqlpool__lock(u.core);
    for (i = 0; i < 3; i++) { /* another lease's number, another deadline, a closed connection */
        if (i == 1) slot->deadline_ns = 5;
        if (i == 2) slot->is_open = 0;
        sqlpool__interrupt_locked(slot, slot->number + (i == 0 ? 1u : 0u),
                                  i == 1 ? 6 : SQLPOOL__NEVER);
        slot->deadline_ns = SQLPOOL__NEVER;
        slot->is_open = 1;
        CHECK_INT(slot->interrupting, 0);
    }
    sqlpool__unlock(u.core);
    CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
    sqlpool__lock(u.core);
    sqlpool__interrupt_locked(slot, slot->number, SQLPOOL__NEVER);
    sqlpool__unlock(u.core);
    CHECK_INT(sqlite3_step(statement), SQLITE_INTERRUPT);
    slot->interrupting = 1; /* someone announced himself: the fence takes the lock once */
    {
        const uint64_t locks = u.locks.locks;
        sqlpool__fence_interrupts(slot);
        CHECK_INT(u.locks.locks - locks, 1);
        slot->interrupting = 0;
        sqlpool__fence_interrupts(slot);
        CHECK_INT(u.locks.locks - locks, 1);
    }
    (void)sqlpool_conn_release(&conn);
    unit_close(&u);
}

/*  A connection that answers with an I/O error is closed; the next user gets a new one. */
TEST(health_check_replaces_a_bad_connection) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool__slot *writer;
    CHECK_INT(sim_vfs_install(), SQLITE_OK);
    config.vfs_name = "sim";
    PART(unit_open(&u, "health.db", &config));
    writer = &u.core->slots[0];
    CHECK_OK(unit_script(&u, "CREATE TABLE t(a)"), &u.error);
    u.core->next_reap_ns = SQLPOOL__NEVER;
    u.clock.now_ns += 30000 * MS;
    (void)pass(&u);
    CHECK_INT(writer->counters[SQLPOOL__COUNT_closed_bad], 0);
    CHECK_INT(writer->checked_ns, u.clock.now_ns);
    CHECK_INT(u.core->next_health_ns - u.clock.now_ns, 30000 * MS);
    unit_arm(SIM_VFS_SHM_LOCK, 0, 1);
    u.clock.now_ns += 30000 * MS;
    (void)pass(&u);
    CHECK(sim_vfs.faults > 0);
    sim_vfs_heal();
    CHECK_INT(writer->counters[SQLPOOL__COUNT_closed_bad], 1);
    CHECK(writer->db == NULL);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_CONNECTION_BAD], 1);
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
    CHECK(writer->db != NULL);
    unit_close(&u);
}

TEST(health_check_of_a_moved_file) {
    unit_pool u;
    PART(unit_begin(&u, "there.db", 1, "CREATE TABLE t(a)"));
    CHECK_INT(rename("there.db", "gone.db"), 0);
    u.core->next_reap_ns = SQLPOOL__NEVER;
    u.clock.now_ns += 30000 * MS;
    (void)pass(&u);
    CHECK_INT(u.core->gate, SQLPOOL__GATE_MOVED);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_MOVED], 1);
    CHECK_INT(unit_exec(&u, "INSERT INTO t VALUES(1)"), SQLPOOL_MOVED);
    CHECK_INT(rename("gone.db", "there.db"), 0);
    (void)sqlpool_close(u.pool, NULL);
}

TEST(tick_and_its_budget) {
    unit_pool u;
    PART(unit_begin(&u, "tick.db", 1, NULL));
    CHECK_INT(sqlpool_tick(u.pool, -1), SQLPOOL_MISUSE);
    u.core->ticking = 1; /* someone is inside */
    u.core->next_reap_ns = 0;
    CHECK_INT(sqlpool_tick(u.pool, 1000), SQLPOOL_OK);
    CHECK_INT(u.core->next_reap_ns, 0);
    u.core->ticking = 0;
    u.core->next_health_ns = 0;
    u.clock.step_ns = 1000; /* every look at the clock takes a microsecond */
    CHECK_INT(sqlpool_tick(u.pool, 1000), SQLPOOL_OK);
    CHECK(u.core->next_reap_ns > u.clock.now_ns && u.core->next_health_ns > u.clock.now_ns);
    u.core->next_reap_ns = u.core->next_health_ns = 0;
    CHECK_INT(sqlpool_tick(u.pool, 0), SQLPOOL_OK); /* over before the first of them */
    CHECK_INT(u.core->next_health_ns, 0);
    u.core->next_reap_ns = u.core->next_health_ns = 0;
    CHECK_INT(sqlpool_tick(u.pool, 1), SQLPOOL_OK); /* one fits, the next does not */
    CHECK(u.core->next_reap_ns > 0);
    CHECK_INT(u.core->next_health_ns, 0);
    CHECK_INT(sqlpool_tick(u.pool, INT32_MAX), SQLPOOL_OK);
    CHECK(u.core->next_health_ns > 0);
    CHECK_INT(u.core->ticking, 0);
    u.clock.step_ns = 0;
    unit_close(&u);
}

/*  "0: one task at most": a program that ticks with 0 for ever must get all the work done. */
TEST(ticks_of_no_budget_get_everything_done) {
    unit_pool u;
    int i;
    PART(unit_begin(&u, "tick0.db", 1, NULL));
    u.core->next_reap_ns = u.core->next_health_ns = 1;
    u.clock.step_ns = 1; /* time that moves, as a real clock does */
    for (i = 0; i < 10; i++) CHECK_INT(sqlpool_tick(u.pool, 0), SQLPOOL_OK);
    CHECK(u.core->next_reap_ns > 1);
    CHECK(u.core->next_health_ns > 1);
    u.clock.step_ns = 0;
    unit_close(&u);
}

TEST(checkpoint_by_upkeep) {
    unit_pool u;
    sqlpool_conn conn;
    int64_t start;
    PART(unit_begin(&u, "upkeep.db", 1, "CREATE TABLE t(a)"));
    u.core->checkpoint_due = 1;
    (void)pass(&u);
    CHECK_INT(u.core->checkpoint_due, 0);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_checkpoints], 1);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_CHECKPOINT], 1);
    u.clock.now_ns = u.core->next_checkpoint_ns;
    u.core->checkpoint_due = 1; /* the writer is out on another thread: a moment, then later */
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    unit_slot(&conn)->owner = 4711;
    start = u.clock.now_ns;
    (void)pass(&u);
    CHECK_INT(u.clock.now_ns - start, SQLPOOL__UPKEEP_PATIENCE);
    CHECK_INT(u.core->checkpoint_due, 1);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_checkpoints], 1);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_waits], 0); /* the pool's own do not count */
    unit_slot(&conn)->owner = sim_thread_id(NULL);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

typedef struct slow_sync {
    unit_pool *u;
    int64_t ns;
    int syncs;
} slow_sync;

/*  A sync takes a while, and a commit beside it finds the log above its budget. */
static void sync_slowly(void *user, const sim_vfs_event *event) {
    slow_sync *slow = (slow_sync *)user;
    if (event->kind != SIM_VFS_SYNC || slow->syncs++ > 0) return;
    slow->u->clock.now_ns += slow->ns;
    slow->u->core->checkpoint_due = 1;
}

/*  Upkeep's patience is for the writer, however long the log takes to be synced; and what commits
    asked for meanwhile this checkpoint does. */
TEST(checkpoint_after_a_slow_sync) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    slow_sync slow = {NULL, 50 * MS, 0};
    sqlpool_conn conn;
    int64_t start;
    CHECK_INT(sim_vfs_install(), SQLITE_OK);
    config.vfs_name = "sim";
    PART(unit_open(&u, "slow.db", &config));
    slow.u = &u;
    CHECK_OK(unit_script(&u, "CREATE TABLE t(a)"), &u.error);
    u.core->checkpoint_due = 1;
    (void)pass(&u); /* its connection is open now */
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    unit_slot(&conn)->owner = 4711;
    sim_vfs.point_fn = sync_slowly;
    sim_vfs.point_user = &slow;
    u.core->checkpoint_due = 1;
    start = u.clock.now_ns = u.core->next_checkpoint_ns;
    (void)pass(&u);
    CHECK_INT(u.clock.now_ns - start, slow.ns + SQLPOOL__UPKEEP_PATIENCE);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_checkpoints], 1);
    unit_slot(&conn)->owner = sim_thread_id(NULL);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_checkpoints], 2); /* without a thread: the release */
    slow.syncs = 0;
    u.core->checkpoint_due = 1;
    u.clock.now_ns = u.core->next_checkpoint_ns;
    (void)pass(&u);
    CHECK(slow.syncs > 0);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_checkpoints], 3);
    CHECK_INT(u.core->checkpoint_due, 0);
    sim_vfs.point_fn = NULL;
    unit_close(&u);
}

/*  Ten a second where many write and the log is below half its limit, and the thread wakes by itself
    for the next: who commits meanwhile does not wake it. */
TEST(checkpoints_rest) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    const int64_t rest = SQLPOOL__CHECKPOINT_REST_MS * MS;
    uint64_t frames;
    int64_t begin;
    config.wal_budget_bytes = 4096;
    PART(unit_open_with(&u, "rests.db", &config, "CREATE TABLE t(a)"));
    u.core->checkpoint_due = 1;
    u.core->next_checkpoint_ns = 0;
    begin = u.clock.now_ns;
    frames = u.core->counters[SQLPOOL__COUNT_checkpoints];
    CHECK(pass(&u) <= begin + rest);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_checkpoints], ++frames);
    CHECK_INT(u.core->next_checkpoint_ns, begin + rest);

    u.core->contention = 100;
    u.core->has_thread = true; /* as if: nobody answers */
    u.core->is_awake = 1;
    u.core->is_upkeep_kicked = false;
    u.clock.now_ns = begin + rest - 1;
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
    CHECK_INT(u.core->checkpoint_due, 1);
    CHECK(!u.core->is_upkeep_kicked);
    CHECK_INT(pass(&u), begin + rest);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_checkpoints], frames);
    u.core->wal_frames = (uint64_t)(u.core->config.wal_limit_bytes / 2 / u.core->page_bytes);
    CHECK(sqlpool__may_upkeep_checkpoint(u.core, u.clock.now_ns));
    u.core->wal_frames--;
    CHECK(!sqlpool__may_upkeep_checkpoint(u.core, u.clock.now_ns));
    u.core->contention = 0; /* who writes alone waits for nobody */
    CHECK(sqlpool__may_upkeep_checkpoint(u.core, u.clock.now_ns));
    u.core->contention = 100;
    u.clock.now_ns++;
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(2)"), &u.error);
    CHECK(u.core->is_upkeep_kicked);
    CHECK(pass(&u) <= begin + 2 * rest);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_checkpoints], frames + 1);
    CHECK_INT(u.core->checkpoint_due, 0);
    u.core->has_thread = false;
    unit_close(&u);
}

/*  Those that a leader woke may wait for its processor: it yields, and for a while after the group
    every so often, when it only looks alone. A read never does, nor who never met anyone. */
TEST(lone_writes_after_a_group_yield) {
    unit_pool u;
    sqlpool__lane *lane;
    int64_t value = 0;
    uint64_t sleeps;
    int i;
    PART(unit_begin(&u, "apart.db", 1, NULL));
    lane = sqlpool__lane_of(u.core, SQLPOOL_WRITE);
    CHECK_OK(unit_script(&u, "CREATE TABLE t(a)"), &u.error);
    for (i = 0; i < 20; i++) CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
    CHECK_INT(u.clock.sleeps, 0);
    CHECK_INT(u.core->contention, 0);
    lane->waiting++; /* as if: it is gone when the leader looks */
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
    lane->waiting--;
    CHECK_INT(u.clock.sleeps, 1);
    CHECK_INT(u.core->contention, 1); /* a group of one */
    u.core->contention = SQLPOOL__CONTENTION_MOST;
    lane->waiting++;
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
    lane->waiting--;
    CHECK_INT(u.core->contention, SQLPOOL__CONTENTION_MOST);
    CHECK_INT(u.clock.sleeps, 2);
    for (i = 1; i <= SQLPOOL__CONTENTION_MOST + 20; i++) {
        const int calls = i < SQLPOOL__CONTENTION_MOST ? i : SQLPOOL__CONTENTION_MOST;
        CHECK_OK(sqlpool_query_int64(u.pool, &value, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS,
                                     &u.error),
                 &u.error);
        CHECK_OK(unit_exec(&u, "DELETE FROM t"), &u.error);
        CHECK_INT(u.clock.sleeps, 2 + calls / SQLPOOL__YIELD_EVERY);
    }
    CHECK_INT(u.core->contention, 0);
    u.core->contention = SQLPOOL__YIELD_EVERY + 1; /* the processor went to others for long */
    u.core->next_yield_ns = u.clock.now_ns + 1;
    sleeps = u.clock.sleeps;
    CHECK_OK(unit_exec(&u, "DELETE FROM t"), &u.error);
    CHECK_INT(u.core->contention, SQLPOOL__YIELD_EVERY);
    CHECK_INT(u.clock.sleeps, sleeps);
    unit_close(&u);
}

/*  A clock that jumps forwards or backwards, or is near its end: late or early, never wrong. */
TEST(clocks_that_jump) {
    static const int64_t starts[] = {1, 1000, INT64_MAX / 2, INT64_MAX - 40000 * MS,
                                     INT64_MAX - 10 * MS};
    static const int64_t jumps[] = {-3600000 * MS, 3600000 * MS, -1, 0};
    size_t i, k;
    for (i = 0; i < LENGTH(starts); i++) {
        for (k = 0; k < LENGTH(jumps); k++) {
            unit_pool u;
            sqlpool_config config = unit_config(&u, 2);
            char name[32];
            (void)snprintf(name, sizeof name, "jump%d%d.db", (int)i, (int)k);
            u.clock.now_ns = starts[i];
            config.max_lifetime_ms = 1000;
            PART(unit_open_with(&u, name, &config, "CREATE TABLE t(a)"));
            PART(open_readers(&u, 2));
            if (jumps[k] <= INT64_MAX - starts[i]) u.clock.now_ns += jumps[k];
            (void)pass(&u);
            CHECK_INT(sqlpool_tick(u.pool, INT32_MAX), SQLPOOL_OK);
            CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
            CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 1);
            unit_close(&u);
        }
    }
}

/*---- I24: the thread ----*/

TEST(upkeep_thread) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    int i;
    config.disable_upkeep_thread = false;
    on_real_time(&u, &config);
    config.upkeep_interval_ms = 1;
    config.health_interval_ms = 1;
    PART(unit_open(&u, "thread.db", &config));
    CHECK(u.core->has_thread);
    CHECK_INT(u.locks.live_threads, 1);
    CHECK_OK(unit_script(&u, "CREATE TABLE t(a)"), &u.error);
    while (!SQLPOOL__CAS(&u.core->ticking, &(uint32_t){0}, 1u)) sim_real_sleep_ns(100000);
    sqlpool__kick_upkeep(u.core); /* it finds a tick inside, and looks again */
    sim_real_sleep_ns(30 * MS);
    SQLPOOL__STORE(&u.core->ticking, 0u);
    SQLPOOL__STORE(&u.core->checkpoint_due, 1u);
    sqlpool__kick_upkeep(u.core);
    for (i = 0; i < 3000 && sqlpool__counter(u.core, SQLPOOL__COUNT_checkpoints) == 0; i++)
        sim_real_sleep_ns(MS);
    CHECK(sqlpool__counter(u.core, SQLPOOL__COUNT_checkpoints) > 0);
    unit_close(&u);
    CHECK_INT(u.locks.live_threads, 0);
}

static void *recycle_on_a_thread(void *pool) {
    (void)sqlpool_recycle((sqlpool *)pool);
    return NULL;
}

/*  Whoever holds core->checkpointing may be using the checkpointer, before it has the writer too
    (sync_log): a recycle must leave that connection alone meanwhile. */
TEST(recycle_beside_a_checkpoint) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    pthread_t thread;
    sqlite3 *before, *during;
    on_real_time(&u, &config);
    PART(unit_open(&u, "beside.db", &config));
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), &u.error);
    before = u.core->checkpointer->db;
    CHECK(before != NULL);
    SQLPOOL__STORE(&u.core->checkpointing, 1u); /* this thread is inside a checkpoint */
    CHECK_INT(pthread_create(&thread, NULL, recycle_on_a_thread, u.pool), 0);
    sim_real_sleep_ns(250 * MS); /* longer than a recycle waits for it */
    during = __atomic_load_n(&u.core->checkpointer->db, __ATOMIC_ACQUIRE);
    SQLPOOL__STORE(&u.core->checkpointing, 0u);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(during == before);
    unit_close(&u);
}

typedef struct busy_pair {
    sqlpool *pool;
    int stop;
} busy_pair;

static void *checkpoint_on_a_thread(void *user) {
    busy_pair *pair = (busy_pair *)user;
    while (!__atomic_load_n(&pair->stop, __ATOMIC_RELAXED))
        (void)sqlpool_checkpoint(pair->pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, NULL);
    return NULL;
}

/*  The same for ThreadSanitizer, which needs no luck. */
TEST(recycle_beside_many_checkpoints) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    busy_pair pair = {NULL, 0};
    pthread_t thread;
    int i;
    on_real_time(&u, &config);
    config.log.write_fn = NULL; /* two threads */
    config.events.error_fn = NULL;
    PART(unit_open(&u, "many.db", &config));
    pair.pool = u.pool;
    CHECK_OK(unit_script(&u, "CREATE TABLE t(a)"), &u.error);
    CHECK_INT(pthread_create(&thread, NULL, checkpoint_on_a_thread, &pair), 0);
    for (i = 0; i < 15; i++) {
        (void)sqlpool_recycle(u.pool);
        (void)sqlpool_exec(u.pool, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, NULL);
    }
    __atomic_store_n(&pair.stop, 1, __ATOMIC_RELAXED);
    CHECK_INT(pthread_join(thread, NULL), 0);
    unit_close(&u);
}

/*---- I25 ----*/

TEST(holders_are_sorted_and_cut) {
    unit_pool u;
    sqlpool_conn conns[4];
    sqlpool_holder holders[5];
    int i, count;
    PART(unit_begin(&u, "holders.db", 4, NULL));
    for (i = 0; i < 4; i++) {
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conns[i], &u.error), &u.error);
        CHECK_INT(sqlpool_holders(u.pool, NULL, 0), i + 1);
        u.clock.now_ns += 10 * MS;
    }
    CHECK_INT(sqlpool_holders(u.pool, holders, 5), 4);
    for (i = 0; i < 4; i++) {
        CHECK_INT(holders[i].held_ms, 40 - 10 * i);
        CHECK_INT(holders[i].slot, conns[i].slot);
    }
    CHECK_INT(sqlpool_conn_release(&conns[0]),
              SQLPOOL_OK); /* the lowest slot is now the youngest */
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conns[0], &u.error), &u.error);
    for (count = 0; count <= 4; count++) {
        memset(holders, 0x77, sizeof holders);
        CHECK_INT(sqlpool_holders(u.pool, holders, count), 4);
        for (i = 0; i < count && i < 3; i++) CHECK_INT(holders[i].held_ms, 30 - 10 * i);
        CHECK_INT(holders[count].line, 0x77777777); /* nothing behind the room */
    }
    CHECK_INT(sqlpool_holders(u.pool, holders, -1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_holders(u.pool, NULL, 1), SQLPOOL_MISUSE);
    for (i = 0; i < 4; i++) CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
    unit_close(&u);
}

TEST(status_counts_its_length) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    char text[8192], json[8192], small[40];
    sqlpool_conn conn;
    sqlpool_call call = unit_call(0);
    sqlite3 *db = NULL;
    int needed;
    call.tag = "a \"tag\"\\ with\nall";
    config.name = "odd \"name\"";
    PART(unit_open(&u, "status.db", &config));
    CHECK_OK(sqlpool_conn_acquire_with(u.pool, SQLPOOL_READ, &call, &conn, &u.error), &u.error);
    CHECK_OK(unit_exec_on(&u, &conn, "SELECT '\x01\x1b[0m\"'"), &u.error);
    needed = sqlpool_status_text(u.pool, NULL, 0);
    CHECK(needed > 500);
    CHECK_INT(sqlpool_status_text(u.pool, text, sizeof text), needed);
    CHECK_INT(strlen(text), needed);
    CHECK_INT(sqlpool_status_text(u.pool, small, sizeof small), needed);
    CHECK_INT(strlen(small), sizeof small - 1);
    CHECK(strncmp(small, text, sizeof small - 1) == 0);
    needed = sqlpool_status_json(u.pool, json, sizeof json);
    CHECK_INT(strlen(json), needed);
    CHECK_INT(sqlite3_open(":memory:", &db), SQLITE_OK);
    { /* SQLite itself says whether it is JSON, and what it means */
        sqlite3_stmt *statement = NULL;
        CHECK_INT(sqlite3_prepare_v2(db,
                                     "SELECT json_valid(?1), json_extract(?1, '$.name'), "
                                     "json_extract(?1, '$.holders[0].tag'), "
                                     "json_array_length(?1, '$.holders')",
                                     -1, &statement, NULL),
                  SQLITE_OK);
        (void)sqlite3_bind_text(statement, 1, json, -1, SQLITE_STATIC);
        CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
        CHECK_INT(sqlite3_column_int(statement, 0), 1);
        CHECK_STR((const char *)sqlite3_column_text(statement, 1), "odd \"name\"");
        CHECK_STR((const char *)sqlite3_column_text(statement, 2), "a \"tag\"\\ with?all");
        CHECK_INT(sqlite3_column_int(statement, 3), 1);
        (void)sqlite3_finalize(statement);
    }
    (void)sqlite3_close(db);
    CHECK_INT(sqlpool_status_text(u.pool, NULL, 1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

/*  A name or path that is longer than one piece of text: still valid JSON, still a whole report. */
TEST(status_of_long_names) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    static char name[1500], text[8192];
    memset(name, 'n', sizeof name - 1);
    config.name = name;
    PART(unit_open(&u, "long.db", &config));
    CHECK(sqlpool_status_text(u.pool, text, sizeof text) > 1500);
    CHECK_HAS(text, "n: "); /* the first line is whole: name, path, mode */
    CHECK_HAS(text, "long.db (WAL)\n");
    unit_close(&u);
}

/*---- I26 ----*/

TEST(every_range_of_the_configuration) {
    sqlpool_config config;
    sqlpool_error error;
    char wanted[100];
#define PROBE(field, value, ok) \
    config = sqlpool_config_default(); \
    config.field = (value); \
    if ((sqlpool__check_config(&config, &error) == SQLPOOL_OK) != (ok)) \
        test_fail(__FILE__, __LINE__, "%s = %lld: %s", #field, (long long)(value), error.message); \
    if (!(ok)) { \
        (void)snprintf(wanted, sizeof wanted, "%s is %lld", #field, (long long)(value)); \
        CHECK_HAS(error.message, wanted); \
    }
#define INT_RANGE(field, least, most, fallback, may_be_off) \
    PROBE(field, 0, true) \
    if (strcmp(#field, "warmup_count") != 0 && strcmp(#field, "min_connections") != 0 && \
        strcmp(#field, "retry_schedule_count") != 0) { \
        PROBE(field, (least), true) \
        PROBE(field, (most), true) \
    } \
    if ((most) < INT32_MAX) { \
        PROBE(field, (int)((int64_t)(most) + 1), false) \
        PROBE(field, INT32_MAX, false) \
    } \
    if ((least) > 1) { \
        PROBE(field, (least)-1, false) \
    } \
    PROBE(field, -1, (may_be_off)) \
    PROBE(field, -2, false) \
    PROBE(field, INT32_MIN, false) \
    config = sqlpool_config_default(); \
    sqlpool__resolve_config(&config); \
    CHECK_INT(config.field, (fallback)); \
    if ((fallback) != 0 && (fallback) != -1) CHECK((fallback) >= (least) && (fallback) <= (most));
    SQLPOOL__INT_FIELDS(INT_RANGE)
#define LONG_RANGE(field, least, most, fallback) \
    PROBE(field, 0, true) \
    PROBE(field, (most), true) \
    PROBE(field, (most) + 1, false) \
    PROBE(field, INT64_MAX, false) \
    PROBE(field, -1, false) \
    PROBE(field, INT64_MIN, false) \
    if ((least) > 1) { \
        PROBE(field, (int64_t)(least)-1, false) \
    } \
    config = sqlpool_config_default(); \
    sqlpool__resolve_config(&config); \
    CHECK_INT(config.field, (fallback));
    SQLPOOL__INT64_FIELDS(LONG_RANGE)
#undef PROBE
}

/*  What the manual says of each number, written down a second time: name, least, most, default,
    whether -1 switches it off. */
typedef struct range {
    const char *name;
    int64_t least, most, fallback;
    bool may_be_off;
} range;

TEST(ranges_are_those_of_the_manual) {
    static const range manual[] = {
        {"min_connections", 1, 1000, 2, false},
        {"max_connections", 1, 1000, 10, false},
        {"reserve_connections", 1, 100, 1, true},
        {"reserve_threshold_percent", 1, 101, 80, false},
        {"reserve_wait_ms", 1, INT32_MAX, -1, true},
        {"topology", 0, 1, 0, false},
        {"acquire_timeout_ms", 1, INT32_MAX, 5000, true},
        {"statement_timeout_ms", 1, INT32_MAX, -1, true},
        {"open_timeout_ms", 1, INT32_MAX, 5000, false},
        {"close_timeout_ms", 1, INT32_MAX, 5000, false},
        {"open_retry_ms", 1, INT32_MAX, 200, false},
        {"barge_us", 1, INT32_MAX, 2000, true},
        {"idle_timeout_ms", 1, INT32_MAX, 30000, true},
        {"max_lifetime_ms", 1, INT32_MAX, -1, true},
        {"lifetime_jitter_percent", 1, 100, 10, true},
        {"upkeep_interval_ms", 1, INT32_MAX, 1000, false},
        {"validate_after_ms", 1, INT32_MAX, 500, false},
        {"health_interval_ms", 1, INT32_MAX, 30000, false},
        {"leak_report_ms", 1, INT32_MAX, 60000, true},
        {"snapshot_idle_ms", 1, 60000, 50, true},
        {"group_count", 1, 256, 64, true},
        {"group_us", 1, 1000000, 2000, false},
        {"submit_count", 1, 1000000, 1024, false},
        {"busy_poll_min_us", 1, 1000000, 100, false},
        {"busy_poll_max_us", 1, 1000000, 1000, false},
        {"retry_preset", 0, 3, 0, false},
        {"retry_attempts", 1, 100, 5, false},
        {"retry_base_us", 1, 60000000, 1000, false},
        {"retry_cap_us", 1, 60000000, 100000, false},
        {"retry_multiplier_percent", 100, 1000, 200, false},
        {"retry_jitter", 0, 3, 0, false},
        {"retry_schedule_count", 0, 99, 0, false},
        {"retry_total_ms", 1, INT32_MAX, -1, true},
        {"retry_budget_percent", 1, 1000, 20, true},
        {"retry_budget_per_s", 1, 1000000, 10, true},
        {"breaker_open_ms", 1, INT32_MAX, 1000, true},
        {"breaker_failures", 1, 1000000, 20, false},
        {"breaker_percent", 1, 100, 50, false},
        {"breaker_window_ms", 1, INT32_MAX, 10000, false},
        {"statement_cache_count", 1, 100000, 100, false},
        {"warmup_count", 0, 100000, 0, false},
        {"journal", 0, 4, 0, false},
        {"synchronous", 0, 3, 0, false},
        {"page_cache_kib", 1, 1 << 30, 65536, false},
        {"wal_wait_ms", 1, 60000, 50, false},
        {"metrics", 0, 2, 0, false},
        {"event_count", 16, 1048576, 1024, false},
        {"statement_count", 1, 10000, 100, false},
        {"slow_ms", 1, INT32_MAX, 100, true},
        {"slow_per_minute", 1, 1000000, 60, false},
        {"repeat_count", 2, 1000000, 20, true},
        {"history_count", 2, 100000, 300, true},
        {"statement_cache_bytes", 1, INT64_C(1) << 40, 4 << 20, false},
        {"returning_bytes", 1, 1 << 30, 1 << 20, false},
        {"group_bytes", 1, 1 << 30, 1 << 20, false},
        {"submit_bytes", 1024, INT64_C(1) << 40, 8 << 20, false},
        {"mmap_bytes", 0, INT64_C(1) << 40, 0, false},
        {"journal_size_limit_bytes", 1, INT64_C(1) << 40, 64 << 20, false},
        {"wal_budget_bytes", 4096, INT64_C(1) << 40, 4 << 20, false},
        {"wal_limit_bytes", 4096, INT64_C(1) << 40, 64 << 20, false},
        {"memory_soft_bytes", 0, INT64_C(1) << 50, 0, false},
        {"memory_hard_bytes", 0, INT64_C(1) << 50, 0, false}};
#define INT_ROW(name, least, most, fallback, may_be_off) {#name, least, most, fallback, may_be_off},
#define LONG_ROW(name, least, most, fallback) {#name, least, most, fallback, false},
    static const range own[] = {SQLPOOL__INT_FIELDS(INT_ROW) SQLPOOL__INT64_FIELDS(LONG_ROW)};
    size_t i;
    CHECK_INT(LENGTH(own), LENGTH(manual));
    for (i = 0; i < LENGTH(own); i++) {
        CHECK_STR(own[i].name, manual[i].name);
        if (own[i].least != manual[i].least || own[i].most != manual[i].most ||
            own[i].fallback != manual[i].fallback || own[i].may_be_off != manual[i].may_be_off)
            test_fail(__FILE__, __LINE__, "%s differs from the manual", own[i].name);
    }
}

/*  Resolving makes what was checked consistent. */
TEST(resolving) {
    sqlpool_config config = sqlpool_config_default();
    config.max_connections = 1;
    sqlpool__resolve_config(&config);
    CHECK_INT(config.min_connections, 1);
    CHECK_INT(config.topology, SQLPOOL_TOPOLOGY_GENERAL);
    CHECK_INT(config.reserve_connections, SQLPOOL_OFF);
    config = sqlpool_config_default();
    config.min_connections = 50;
    sqlpool__resolve_config(&config);
    CHECK_INT(config.max_connections, 50);
    config = sqlpool_config_default();
    config.busy_poll_min_us = 5000;
    config.wal_budget_bytes = INT64_C(1) << 30;
    sqlpool__resolve_config(&config);
    CHECK_INT(config.busy_poll_max_us, 5000);
    CHECK_INT(config.wal_limit_bytes, INT64_C(1) << 30);
    CHECK_STR(config.name, "sqlpool");
    CHECK(config.allocator.alloc_fn == sqlpool__default_alloc);
    CHECK(config.clock.now_ns_fn == sqlpool__default_now);
    CHECK(config.locks.mutex_init_fn == sqlpool__default_mutex_init);
    CHECK(config.locks.thread_join_fn == sqlpool__default_thread_join);
}

TEST(every_lock_that_open_makes) {
    unit_pool u;
    uint64_t n;
    int opened = 0;
    for (n = 1; n < 20 && !opened; n++) {
        sqlpool_config config = unit_config(&u, 1);
        char why[700];
        config.disable_upkeep_thread = false; /* mutex, three conditions, the thread */
        on_real_time(&u, &config);
        u.locks.fail_init_at = n;
        if (sqlpool_open(&u.pool, "inits.db", &config, &u.error) == SQLPOOL_OK) {
            opened = 1;
            CHECK(n > 5);
            unit_close(&u);
        } else {
            CHECK_INT(u.error.result, SQLPOOL_NOMEM);
            CHECK(u.pool == NULL);
            CHECK_INT(sim_locks_check(&u.locks, why, sizeof why), 0);
            CHECK_INT(sim_alloc_check(why, sizeof why), 0);
        }
    }
    CHECK(opened);
}

TEST(handles_are_reused_oldest_first) {
    unit_pool all[SQLPOOL_MAX_POOLS];
    sqlpool *first, *again;
    sqlpool_error error;
    sqlpool_config config;
    int i;
    for (i = 0; i < SQLPOOL_MAX_POOLS; i++) {
        config = unit_config(&all[i], 1);
        PART(unit_open(&all[i], ":memory:", &config));
        CHECK_INT(all[i].core->serial, all[i].pool->serial);
    }
    CHECK_INT(sqlpool_open(&again, ":memory:", &config, &error), SQLPOOL_CONFIG);
    CHECK_HAS(error.message, "SQLPOOL_MAX_POOLS");
    first = all[7].pool;
    CHECK_OK(sqlpool_close(all[7].pool, &error), &error);
    CHECK_OK(sqlpool_close(all[3].pool, &error), &error);
    CHECK_INT(sqlpool_exec(first, "SELECT 1", SQLPOOL_NO_ARGS, &error), SQLPOOL_CLOSED);
    config = unit_config(&all[7], 1);
    PART(unit_open(&all[7], ":memory:", &config));
    CHECK(all[7].pool == first);
    for (i = 0; i < SQLPOOL_MAX_POOLS; i++)
        if (i != 3) CHECK_OK(sqlpool_close(all[i].pool, &error), &error);
}

TEST(entering) {
    unit_pool u;
    sqlpool__core *core;
    sqlpool_error error;
    sqlpool_conn conn;
    sqlpool__slot *slot;
    sqlpool stranger;
    memset(&stranger, 0, sizeof stranger);
    PART(unit_begin(&u, ":memory:", 1, NULL));
    CHECK_OK(sqlpool__enter(u.pool, &core, &error), &error);
    CHECK(core == u.core);
    CHECK_INT(sqlpool__enter(NULL, &core, &error), SQLPOOL_MISUSE);
    CHECK(core == NULL);
    CHECK_INT(sqlpool__enter(&stranger, &core, &error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool__enter((sqlpool *)((char *)u.pool + 8), &core, &error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool__enter(sqlpool__global.pools + SQLPOOL_MAX_POOLS, &core, &error),
              SQLPOOL_MISUSE);
    sqlpool__global.forked = 1;
    CHECK_INT(sqlpool__enter(u.pool, &core, &error), SQLPOOL_FORKED);
    sqlpool__global.forked = 0;
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &error), &error);
    conn.slot = u.core->slot_count;
    CHECK_INT(sqlpool__find_lease(&conn, &slot, &error), SQLPOOL_MISUSE);
    conn.slot = UINT32_MAX;
    CHECK_INT(sqlpool__find_lease(&conn, &slot, &error), SQLPOOL_MISUSE);
    conn.slot = 0;
    conn.lease++;
    CHECK_INT(sqlpool__find_lease(&conn, &slot, &error), SQLPOOL_MISUSE);
    conn.lease--;
    conn.pool_serial += 1000;
    CHECK_INT(sqlpool__find_lease(&conn, &slot, &error), SQLPOOL_CLOSED);
    conn.pool_serial -= 1000;
    CHECK_INT(sqlpool__find_lease(NULL, &slot, &error), SQLPOOL_MISUSE);
    CHECK_OK(sqlpool__find_lease(&conn, &slot, &error), &error);
    slot->owner++;
    CHECK_INT(sqlpool__enter_conn(&conn, &slot, &error), SQLPOOL_MISUSE);
    CHECK(slot == NULL);
    u.core->slots[0].owner--;
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

/*  A completion callback that does not return is reported, once. */
static unit_pool *slow_pool;
static void slow_done(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    (void)user, (void)result, (void)error;
    slow_pool->clock.now_ns += 4999 * MS;
    (void)pass(slow_pool);
    *(int *)user = slow_pool->log.counts[SQLPOOL_LOG_LEAK];
    slow_pool->clock.now_ns += 60001 * MS;
    (void)pass(slow_pool);
    slow_pool->clock.now_ns += 60000 * MS;
    (void)pass(slow_pool);
}
static void quick_done(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    (void)result, (void)error;
    ++*(int *)user;
}
TEST(completion_that_does_not_return) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_submission submission;
    int early = -1, calls = 0;
    memset(&submission, 0, sizeof submission);
    submission.done_fn = slow_done;
    submission.user = &early;
    slow_pool = &u;
    config.leak_report_ms = 5000;
    PART(unit_open(&u, "slowdone.db", &config));
    CHECK_OK(sqlpool_submit_with(u.pool, &submission, NULL, "CREATE TABLE t(a)", SQLPOOL_NO_ARGS,
                                 &u.error),
             &u.error);
    CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
    CHECK_INT(early, 0);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_LEAK], 1);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_LEAK],
              "done_fn of a submitted write has not returned for 65000 ms");
    u.clock.now_ns += 60000 * MS;
    (void)pass(&u);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_LEAK], 1);
    submission.done_fn = quick_done; /* one that has returned is no longer waited for */
    submission.user = &calls;
    CHECK_OK(sqlpool_submit_with(u.pool, &submission, NULL, "INSERT INTO t VALUES(1)",
                                 SQLPOOL_NO_ARGS, &u.error),
             &u.error);
    CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
    CHECK_INT(calls, 1);
    u.clock.now_ns += 60000 * MS;
    (void)pass(&u);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_LEAK], 1);
    unit_close(&u);
}

/*  The checkpointer that a recycle found busy is replaced at its next use. */
TEST(busy_checkpointer_is_replaced_later) {
    unit_pool u;
    PART(unit_begin(&u, "later.db", 1, NULL));
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), &u.error);
    u.core->checkpointing = 1;
    CHECK_OK(sqlpool_recycle(u.pool), &u.error);
    u.core->checkpointing = 0;
    CHECK(u.core->checkpointer->db != NULL && u.core->checkpointer->epoch != u.core->epoch);
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), &u.error);
    CHECK_INT(u.core->checkpointer->epoch, u.core->epoch);
    unit_close(&u);
}

/*  Work that begins again after an idle spell wakes the upkeep thread, once. */
TEST(work_wakes_upkeep) {
    unit_pool u;
    PART(unit_begin(&u, "wakes.db", 1, NULL));
    u.core->has_thread = true; /* as if: nobody answers */
    u.core->is_awake = 0;
    u.core->is_upkeep_kicked = false;
    sqlpool__wake_upkeep(u.core);
    CHECK(u.core->is_upkeep_kicked);
    CHECK_INT(u.core->is_awake, 1);
    u.core->is_upkeep_kicked = false;
    sqlpool__wake_upkeep(u.core);
    CHECK(!u.core->is_upkeep_kicked);
    u.core->has_thread = false;
    u.core->is_awake = 0;
    sqlpool__wake_upkeep(u.core);
    CHECK(!u.core->is_upkeep_kicked);
    unit_close(&u);
}

/*  Close does not wait until the upkeep thread would have looked again, which here is never. */
TEST(close_wakes_upkeep) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    int i;
    config.disable_upkeep_thread = false;
    on_real_time(&u, &config);
    config.upkeep_interval_ms = config.health_interval_ms = 3600000;
    PART(unit_open(&u, "closewakes.db", &config));
    for (i = 0; i < 10000 && SQLPOOL__LOAD(&u.core->upkeep_wake_ns) == SQLPOOL__NEVER; i++)
        sim_real_sleep_ns(MS);
    sqlpool__lock(u.core); /* now it sleeps */
    CHECK(u.core->upkeep_wake_ns != SQLPOOL__NEVER);
    sqlpool__unlock(u.core);
    unit_close(&u);
    CHECK_INT(u.locks.live_threads, 0);
}

int main(void) {
    RUN(handles_are_reused_oldest_first); /* needs all handles: before a test can fail */
    RUN(reap_to_the_minimum);
    RUN(reap_spares_what_is_used);
    RUN(attention_is_marked);
    RUN(check_before_use);
    RUN(lifetime);
    RUN(leak_is_reported_once);
    RUN(idle_program_sleeps_long);
    RUN(deadlines_are_stopped);
    RUN(interrupt_looks_before_it_acts);
    RUN(health_check_replaces_a_bad_connection);
    RUN(health_check_of_a_moved_file);
    RUN(tick_and_its_budget);
    RUN(ticks_of_no_budget_get_everything_done);
    RUN(checkpoint_by_upkeep);
    RUN(checkpoint_after_a_slow_sync);
    RUN(checkpoints_rest);
    RUN(lone_writes_after_a_group_yield);
    RUN(clocks_that_jump);
    RUN(upkeep_thread);
    RUN(recycle_beside_a_checkpoint);
    RUN(recycle_beside_many_checkpoints);
    RUN(holders_are_sorted_and_cut);
    RUN(status_counts_its_length);
    RUN(status_of_long_names);
    RUN(every_range_of_the_configuration);
    RUN(ranges_are_those_of_the_manual);
    RUN(resolving);
    RUN(every_lock_that_open_makes);
    RUN(entering);
    RUN(completion_that_does_not_return);
    RUN(busy_checkpointer_is_replaced_later);
    RUN(work_wakes_upkeep);
    RUN(close_wakes_upkeep);
    return test_end();
}
