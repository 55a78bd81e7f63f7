/*  queue.c - white box: who may take a connection and when, retry, the log's budget (I14 to I16).
    SPDX-License-Identifier: MIT OR Unlicense

    Waiters are made by hand, leases by writing words: every rule is asked for one case at a time. */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "unit.h"

/*---- helpers ----*/

static void make_waiter(unit_pool *u, sqlpool__waiter *waiter, sqlpool_mode mode, int priority,
                        uint64_t arrival, int64_t since_ns, uint64_t thread) {
    memset(waiter, 0, sizeof *waiter);
    waiter->mode = mode;
    waiter->priority = priority;
    waiter->arrival = arrival;
    waiter->since_ns = since_ns;
    waiter->thread = thread;
    (void)sim_condition_init(&u->locks, &waiter->condition);
}
static void queue_up(unit_pool *u, sqlpool__waiter *waiter) {
    sqlpool__lock(u->core);
    sqlpool__enqueue_locked(u->core, waiter);
    sqlpool__unlock(u->core);
}
static void leave(unit_pool *u, sqlpool__waiter *waiter) {
    sqlpool__lock(u->core);
    sqlpool__dequeue_locked(u->core, waiter);
    sqlpool__unlock(u->core);
    sim_condition_destroy(&u->locks, &waiter->condition);
}
static bool may_take(unit_pool *u, const sqlpool__waiter *waiter, int64_t now) {
    bool may;
    sqlpool__lock(u->core);
    may = sqlpool__may_take_locked(u->core, waiter, now);
    sqlpool__unlock(u->core);
    return may;
}
/*  A lease without a connection's help: the word says LEASED and whose it is. */
static void fake_lease(sqlpool__slot *slot, sqlpool_mode mode, uint64_t thread) {
    slot->number = (slot->word >> SQLPOOL__NUMBER_SHIFT) + 1;
    slot->word = sqlpool__word(slot->number, SQLPOOL__LEASED);
    slot->owner = thread;
    slot->mode = (uint32_t)mode;
    slot->file = "fake.c";
    slot->line = 7;
}
static void fake_return(sqlpool__slot *slot, unsigned state) {
    slot->word = sqlpool__word(slot->number, state);
    slot->owner = 0;
    slot->is_shared_hold = false;
}
static unsigned state_of(const sqlpool__slot *slot) {
    return sqlpool__state(slot->word);
}

/*---- words ----*/

TEST(words_hold_number_and_state) {
    unit_pool u;
    sqlpool__slot *slot;
    PART(unit_begin(&u, ":memory:", 1, NULL));
    slot = &u.core->slots[0];
    CHECK_INT(state_of(slot), SQLPOOL__IDLE);
    CHECK(!sqlpool__take(slot, SQLPOOL__EMPTY));
    {
        const uint64_t number = slot->word >> SQLPOOL__NUMBER_SHIFT;
        CHECK(sqlpool__take(slot, SQLPOOL__IDLE));
        CHECK_INT(slot->number, number + 1);
        CHECK_INT(slot->word, sqlpool__word(number + 1, SQLPOOL__LEASED));
        CHECK(!sqlpool__take(slot, SQLPOOL__IDLE));
        CHECK(sqlpool__is_leased(slot));
        fake_return(slot, SQLPOOL__RETURNING);
        CHECK(!sqlpool__take(slot, SQLPOOL__IDLE));
        CHECK(sqlpool__is_leased(slot));
        fake_return(slot, SQLPOOL__IDLE);
        CHECK(!sqlpool__is_leased(slot));
        CHECK_INT(state_of(slot), SQLPOOL__IDLE);
    }
    unit_close(&u);
}

TEST(lanes) {
    static const struct {
        int readers, reserve, topology;
        bool read_only;
        uint32_t first, normal_end, end, slots;
        bool is_split;
    } table[] = {{3, SQLPOOL_OFF, 0, false, 1, 4, 4, 5, true},
                 {3, 2, 0, false, 1, 4, 6, 7, true},
                 {3, 2, 1, false, 0, 4, 6, 7, false},
                 {3, 2, 0, true, 0, 4, 6, 7, false},
                 {0, 2, 0, false, 0, 1, 1, 2, false}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        unit_pool u;
        sqlpool_config config = unit_config(&u, table[i].readers);
        char name[32];
        (void)snprintf(name, sizeof name, "lanes%d.db", (int)i);
        CHECK_INT(unit_make_file(name, "CREATE TABLE t(a)"), SQLITE_OK);
        config.reserve_connections = table[i].reserve;
        config.topology = table[i].topology;
        config.read_only = table[i].read_only;
        PART(unit_open(&u, name, &config));
        CHECK_INT(u.core->slot_count, table[i].slots);
        CHECK_INT(u.core->lane_of[0]->first, table[i].first);
        CHECK_INT(u.core->lane_of[0]->normal_end, table[i].normal_end);
        CHECK_INT(u.core->lane_of[0]->end, table[i].end);
        CHECK_INT(u.core->lane_of[0] != u.core->lane_of[1], table[i].is_split);
        CHECK_INT(sqlpool__can_hold_readers(u.core), table[i].is_split);
        unit_close(&u);
    }
}

/*---- the queue ----*/

TEST(critical_first_then_by_arrival) {
    static const struct {
        int priority;
        uint64_t arrival;
    } in[] = {{0, 2}, {0, 3}, {1, 4}, {0, 5}, {1, 6}, {0, 1}, {1, 1}};
    static const int out[] = {6, 2, 4, 5, 0, 1, 3};
    unit_pool u;
    sqlpool__waiter waiters[LENGTH(in)];
    const sqlpool__link *link;
    sqlpool__lane *lane;
    size_t i;
    PART(unit_begin(&u, ":memory:", 1, NULL));
    lane = &u.core->lanes[SQLPOOL_READ];
    for (i = 0; i < LENGTH(in); i++) {
        make_waiter(&u, &waiters[i], SQLPOOL_READ, in[i].priority, in[i].arrival, 0, i + 1);
        queue_up(&u, &waiters[i]);
        CHECK_INT(lane->waiting, i + 1);
    }
    for (i = 0, link = lane->queue.next; link != &lane->queue; link = link->next, i++)
        CHECK_INT((const sqlpool__waiter *)(const void *)link - waiters, out[i]);
    CHECK_INT(i, LENGTH(in));
    CHECK(sqlpool__head_locked(lane) == &waiters[6]);
    CHECK(sqlpool__is_waiting_locked(lane, 3));
    CHECK(!sqlpool__is_waiting_locked(lane, 99));
    for (i = 0; i < LENGTH(in); i++) leave(&u, &waiters[i]);
    CHECK_INT(lane->waiting, 0);
    CHECK(sqlpool__head_locked(lane) == NULL);
    sqlpool__lock(u.core);
    sqlpool__dequeue_locked(u.core, &waiters[0]); /* once more changes nothing */
    sqlpool__unlock(u.core);
    CHECK_INT(lane->waiting, 0);
    unit_close(&u);
}

TEST(barging_window) {
    static const struct {
        int barge_us;
        int64_t age_ns; /* of the head */
        bool may;
    } table[] = {{2000, 0, true},
                 {2000, 1999999, true},
                 {2000, 2000000, false},
                 {2000, 5000000, false},
                 {SQLPOOL_OFF, 0, false},
                 {SQLPOOL_OFF, 1, false},
                 {1, 999, true},
                 {1, 1000, false},
                 {INT32_MAX, 1000000000, true},
                 {INT32_MAX, (int64_t)INT32_MAX * 1000, false}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        unit_pool u;
        sqlpool_config config = unit_config(&u, 1);
        sqlpool__waiter head, newcomer;
        config.barge_us = table[i].barge_us;
        PART(unit_open(&u, ":memory:", &config));
        u.core->gate = 0; /* :memory: has the shared gate: not here */
        make_waiter(&u, &head, SQLPOOL_READ, 0, 1, 1000, 11);
        make_waiter(&u, &newcomer, SQLPOOL_READ, 0, 2, 1000, 12);
        CHECK(may_take(&u, &newcomer, 1000)); /* nobody waits */
        queue_up(&u, &head);
        CHECK_INT(may_take(&u, &newcomer, 1000 + table[i].age_ns), table[i].may);
        CHECK(may_take(&u, &head, 1000 + table[i].age_ns)); /* the head always may */
        newcomer.mode = SQLPOOL_WRITE; /* the other lane's queue is another queue */
        CHECK(may_take(&u, &newcomer, 1000 + table[i].age_ns));
        leave(&u, &head);
        sim_condition_destroy(&u.locks, &newcomer.condition);
        unit_close(&u);
    }
}

/*  After a hand-over that took long to wake its thread, those who run get as long, whatever the head's
    age; strict order knows no such pause. */
TEST(hand_overs_leave_as_much_time_as_they_took) {
    static const int barges[] = {2000, SQLPOOL_OFF};
    size_t i;
    for (i = 0; i < LENGTH(barges); i++) {
        unit_pool u;
        sqlpool_config config = unit_config(&u, 1);
        sqlpool__waiter head, newcomer;
        sqlpool__lane *lane;
        const int64_t now = 50 * MS;
        config.barge_us = barges[i];
        PART(unit_open(&u, ":memory:", &config));
        u.core->gate = 0;
        lane = u.core->lane_of[SQLPOOL_READ];
        make_waiter(&u, &head, SQLPOOL_READ, 0, 1, 1000, 11);
        make_waiter(&u, &newcomer, SQLPOOL_READ, 0, 2, 1000, 12);
        queue_up(&u, &head);
        CHECK(!may_take(&u, &newcomer, now)); /* the head is old, and nothing was handed over yet */
        lane->taken_ns = now - 2 * MS;
        lane->wake_ns = 3 * MS;
        CHECK_INT(may_take(&u, &newcomer, now), barges[i] != SQLPOOL_OFF);
        CHECK_INT(may_take(&u, &newcomer, now + MS - 1), barges[i] != SQLPOOL_OFF);
        CHECK(!may_take(&u, &newcomer, now + MS));
        leave(&u, &head);
        sim_condition_destroy(&u.locks, &newcomer.condition);
        unit_close(&u);
    }
}

TEST(gate_rules) {
    static const struct {
        uint32_t gate;
        bool reader, writer;
    } table[] = {{0, true, true},
                 {SQLPOOL__GATE_PAUSED, false, false},
                 {SQLPOOL__GATE_EXCLUSIVE, false, false},
                 {SQLPOOL__GATE_PAUSED | SQLPOOL__GATE_EXCLUSIVE, false, false},
                 {SQLPOOL__GATE_HOLD, false, true},
                 {SQLPOOL__GATE_HOLD | SQLPOOL__GATE_PAUSED, false, false},
                 {SQLPOOL__GATE_SHARED, true, true}};
    unit_pool u;
    sqlpool__waiter reader, writer;
    size_t i;
    PART(unit_begin(&u, "gate.db", 1, NULL));
    make_waiter(&u, &reader, SQLPOOL_READ, 0, 1, 0, 21);
    make_waiter(&u, &writer, SQLPOOL_WRITE, 0, 2, 0, 22);
    for (i = 0; i < LENGTH(table); i++) {
        u.core->gate = table[i].gate;
        CHECK_INT(may_take(&u, &reader, 0), table[i].reader);
        CHECK_INT(may_take(&u, &writer, 0), table[i].writer);
        u.core->is_bypassed = true; /* the thread of the exclusive section passes everything */
        u.core->bypass_thread = 22;
        CHECK_INT(may_take(&u, &reader, 0), table[i].reader);
        CHECK(may_take(&u, &writer, 0));
        u.core->is_bypassed = false;
    }
    u.core->gate = 0;
    sim_condition_destroy(&u.locks, &reader.condition);
    sim_condition_destroy(&u.locks, &writer.condition);
    unit_close(&u);
}

/*  Without a WAL: readers together or the writer alone, and whoever came first goes first once he
    has waited for the barging window. */
TEST(shared_gate_rules) {
    static const struct {
        int holds_read, holds_write;
        sqlpool_mode mode;
        uint64_t arrival;
        bool has_other;    /* someone of the other mode waits ... */
        uint64_t other;    /* ... who came then */
        int64_t other_age; /* and has waited so long */
        bool may;
    } table[] = {{0, 0, SQLPOOL_READ, 5, false, 0, 0, true},
                 {0, 0, SQLPOOL_WRITE, 5, false, 0, 0, true},
                 {2, 0, SQLPOOL_READ, 5, false, 0, 0, true},
                 {2, 0, SQLPOOL_WRITE, 5, false, 0, 0, false},
                 {1, 0, SQLPOOL_WRITE, 5, false, 0, 0, false},
                 {0, 1, SQLPOOL_READ, 5, false, 0, 0, false},
                 {0, 1, SQLPOOL_WRITE, 5, false, 0, 0, false},
                 {0, 0, SQLPOOL_READ, 5, true, 4, 2000000, false},
                 {0, 0, SQLPOOL_READ, 5, true, 4, 1999999, true},
                 {0, 0, SQLPOOL_READ, 5, true, 6, 9000000, true},
                 {3, 0, SQLPOOL_READ, 5, true, 4, 2000000, false},
                 {3, 0, SQLPOOL_READ, 5, true, 4, 0, true},
                 {0, 0, SQLPOOL_WRITE, 5, true, 4, 2000000, false},
                 {0, 0, SQLPOOL_WRITE, 5, true, 4, 1999999, true},
                 {0, 0, SQLPOOL_WRITE, 5, true, 6, 2000000, true}};
    unit_pool u;
    size_t i;
    PART(unit_begin(&u, ":memory:", 2, NULL));
    CHECK_INT(u.core->gate, SQLPOOL__GATE_SHARED);
    for (i = 0; i < LENGTH(table); i++) {
        sqlpool__waiter waiter, other;
        bool may;
        const sqlpool_mode opposite = table[i].mode == SQLPOOL_READ ? SQLPOOL_WRITE : SQLPOOL_READ;
        make_waiter(&u, &waiter, table[i].mode, 0, table[i].arrival, 0, 31);
        make_waiter(&u, &other, opposite, 0, table[i].other, 50, 32);
        if (table[i].has_other) queue_up(&u, &other);
        u.core->holds_read = table[i].holds_read;
        u.core->holds_write = table[i].holds_write;
        may = may_take(&u, &waiter, 50 + table[i].other_age);
        u.core->holds_read = u.core->holds_write = 0;
        leave(&u, &other);
        sim_condition_destroy(&u.locks, &waiter.condition);
        if (may != table[i].may) test_fail(__FILE__, __LINE__, "row %d", (int)i);
    }
    unit_close(&u);
}

/*  One lane for both modes under the shared gate: the other lane's head is our own. */
TEST(shared_gate_in_one_lane) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 2);
    sqlpool__waiter first, second;
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    PART(unit_open(&u, ":memory:", &config));
    make_waiter(&u, &first, SQLPOOL_READ, 0, 1, 0, 1);
    make_waiter(&u, &second, SQLPOOL_READ, 0, 2, 0, 2);
    queue_up(&u, &first);
    queue_up(&u, &second);
    CHECK(may_take(&u, &first, 10 * MS));
    CHECK(!may_take(&u, &second, 10 * MS));
    leave(&u, &first);
    CHECK(may_take(&u, &second, 10 * MS));
    leave(&u, &second);
    unit_close(&u);
}

TEST(holds_are_counted) {
    unit_pool u;
    sqlpool_conn a, b;
    PART(unit_begin(&u, ":memory:", 2, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &a, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &b, &u.error), &u.error);
    CHECK_INT(u.core->holds_read, 2);
    CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    CHECK_INT(u.core->holds_read, 1);
    CHECK_INT(sqlpool_conn_release(&b), SQLPOOL_OK);
    CHECK_INT(u.core->holds_read, 0);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &a, &u.error), &u.error);
    CHECK_INT(u.core->holds_write, 1);
    CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    CHECK_INT(u.core->holds_write, 0);
    unit_close(&u);
}

/*---- giving back ----*/

TEST(hand_off) {
    static const struct {
        int64_t age_ns;
        uint32_t gate;
        unsigned to;
        bool handed;
    } table[] = {{2000000, 0, SQLPOOL__IDLE, true},
                 {9000000, 0, SQLPOOL__IDLE, true},
                 {1999999, 0, SQLPOOL__IDLE, false},
                 {9000000, 0, SQLPOOL__EMPTY, false},
                 {9000000, SQLPOOL__GATE_PAUSED, SQLPOOL__IDLE, false},
                 {9000000, SQLPOOL__GATE_EXCLUSIVE, SQLPOOL__IDLE, false},
                 {9000000, SQLPOOL__GATE_CLOSED, SQLPOOL__IDLE, false},
                 {9000000, SQLPOOL__GATE_MOVED, SQLPOOL__IDLE, false},
                 {9000000, SQLPOOL__GATE_HOLD, SQLPOOL__IDLE, false},
                 {9000000, SQLPOOL__GATE_SHARED, SQLPOOL__IDLE, false}};
    unit_pool u;
    sqlpool__slot *slot;
    size_t i;
    PART(unit_begin(&u, "handoff.db", 1, NULL));
    slot = &u.core->slots[0];
    for (i = 0; i < LENGTH(table); i++) {
        sqlpool__waiter head, next;
        uint64_t number, signals;
        u.clock.now_ns = 100000000000;
        make_waiter(&u, &head, SQLPOOL_WRITE, 0, 1, u.clock.now_ns - table[i].age_ns, 41);
        make_waiter(&u, &next, SQLPOOL_WRITE, 0, 2, u.clock.now_ns - table[i].age_ns, 42);
        queue_up(&u, &head);
        queue_up(&u, &next);
        fake_lease(slot, SQLPOOL_WRITE, 40);
        number = slot->number;
        signals = u.locks.signals;
        u.core->gate = table[i].gate;
        sqlpool__return_slow(slot, &u.core->lanes[SQLPOOL_WRITE], table[i].to);
        u.core->gate = 0;
        CHECK_INT(u.locks.signals - signals, 1); /* one return, one wake-up */
        CHECK_INT(head.is_granted, table[i].handed);
        CHECK(!next.is_granted && !next.is_signalled);
        if (table[i].handed) {
            CHECK_INT(head.slot, 0);
            CHECK(!head.is_queued);
            CHECK_INT(slot->word, sqlpool__word(number + 1, SQLPOOL__LEASED));
            CHECK_INT(slot->number, number + 1); /* the old handle is stale */
            CHECK_INT(u.core->lanes[SQLPOOL_WRITE].waiting, 1);
        } else {
            CHECK(head.is_signalled);
            CHECK_INT(slot->word, sqlpool__word(number, table[i].to));
            CHECK_INT(u.core->lanes[SQLPOOL_WRITE].waiting, 2);
            sqlpool__lock(u.core);
            sqlpool__wake_locked(u.core); /* it is awake already */
            sqlpool__unlock(u.core);
            CHECK_INT(u.locks.signals - signals, 1);
        }
        leave(&u, &head);
        leave(&u, &next);
        fake_return(slot, SQLPOOL__IDLE);
    }
    unit_close(&u);
}

TEST(return_without_a_queue_takes_no_lock) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_conn conn;
    uint64_t locks, looks, requests;
    int i;
    config.metrics = SQLPOOL_METRICS_COUNTERS; /* with full ones each lease is timed */
    PART(unit_open(&u, "fast.db", &config));
    CHECK_OK(unit_exec(&u, "SELECT 1"), &u.error);
    locks = u.locks.locks;
    looks = u.clock.looks;
    requests = sim_alloc.requests;
    for (i = 0; i < 100; i++) {
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    CHECK_INT(u.locks.locks - locks, 0);
    CHECK(u.clock.looks - looks <= 100); /* without upkeep thread one look an acquire */
    u.core->has_thread = true;           /* with one, none: upkeep marks what is stale */
    looks = u.clock.looks;
    for (i = 0; i < 100; i++) {
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    u.core->has_thread = false;
    CHECK_INT(u.clock.looks - looks, 0);
    CHECK_INT(sim_alloc.requests - requests, 0);
    unit_close(&u);
}

/*---- taking ----*/

TEST(reserve_rules) {
    static const struct {
        int max, threshold, wait_ms, priority, used;
        int64_t age_ms;
        bool may;
    } table[] = {{10, 80, -1, 0, 7, 0, false},     {10, 80, -1, 0, 8, 0, true},
                 {10, 80, -1, 0, 10, 0, true},     {10, 80, -1, 1, 0, 0, true},
                 {10, 101, -1, 0, 10, 0, false},   {10, 101, -1, 1, 10, 0, true},
                 {10, 100, -1, 0, 9, 0, false},    {10, 100, -1, 0, 10, 0, true},
                 {10, 1, -1, 0, 0, 0, false},      {10, 1, -1, 0, 1, 0, true},
                 {3, 80, -1, 0, 2, 0, false},      {3, 80, -1, 0, 3, 0, true},
                 {10, 101, 50, 0, 0, 49, false},   {10, 101, 50, 0, 0, 50, true},
                 {10, 101, -1, 0, 0, 99999, false}};
    unit_pool u;
    sqlpool_config config = unit_config(&u, 9);
    sqlpool__waiter waiter;
    size_t i;
    int k;
    config.reserve_connections = 1;
    PART(unit_open(&u, "reserve.db", &config));
    for (i = 0; i < LENGTH(table); i++) {
        sqlpool_config *now = &u.core->config;
        bool may;
        now->max_connections = table[i].max;
        now->reserve_threshold_percent = table[i].threshold;
        now->reserve_wait_ms = table[i].wait_ms;
        for (k = 0; k < table[i].used; k++) fake_lease(&u.core->slots[k], SQLPOOL_READ, 5);
        make_waiter(&u, &waiter, SQLPOOL_READ, table[i].priority, 1, 1000, 6);
        may = sqlpool__may_use_reserve_locked(u.core, &waiter, 1000 + table[i].age_ms * MS);
        sim_condition_destroy(&u.locks, &waiter.condition);
        for (k = 0; k < table[i].used; k++)
            fake_return(&u.core->slots[k], k == 0 ? SQLPOOL__IDLE : SQLPOOL__EMPTY);
        now->max_connections = 10;
        if (may != table[i].may) test_fail(__FILE__, __LINE__, "row %d", (int)i);
    }
    unit_close(&u);
}

static sqlpool__slot *take(unit_pool *u, const sqlpool__waiter *waiter, int64_t now,
                           bool *unsettled, bool *later) {
    sqlpool__slot *slot;
    *unsettled = *later = false;
    sqlpool__lock(u->core);
    slot = sqlpool__take_locked(u->core, waiter, now, unsettled, later);
    sqlpool__unlock(u->core);
    return slot;
}

TEST(which_slot) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 2);
    sqlpool__waiter waiter;
    sqlpool__slot *slots, *got;
    bool unsettled, later;
    config.reserve_connections =
        1; /* slots: 0 writer, 1 and 2 readers, 3 reserve, 4 checkpointer */
    config.reserve_threshold_percent = 101;
    PART(unit_open(&u, "which.db", &config));
    slots = u.core->slots;
    make_waiter(&u, &waiter, SQLPOOL_READ, 0, 1, 0, 51);
    got = take(&u, &waiter, 0, &unsettled, &later); /* none is open: the first empty one */
    CHECK(got == &slots[1] && later && !unsettled);
    fake_return(&slots[1], SQLPOOL__EMPTY);
    slots[2].word = sqlpool__word(slots[2].number, SQLPOOL__IDLE);
    CHECK(take(&u, &waiter, 0, &unsettled, &later) == &slots[2]); /* an open one before growing */
    CHECK(!later);
    u.core->open_retry_ns = 1000; /* an opening has failed just now */
    CHECK(take(&u, &waiter, 999, &unsettled, &later) == NULL);
    CHECK(later);
    CHECK(take(&u, &waiter, 1000, &unsettled, &later) == &slots[1]);
    CHECK(take(&u, &waiter, 1000, &unsettled, &later) == NULL); /* the reserve is not for him */
    CHECK(!later && !unsettled);
    fake_return(&slots[2], SQLPOOL__RETURNING);
    CHECK(take(&u, &waiter, 1000, &unsettled, &later) == NULL);
    CHECK(unsettled);
    waiter.priority = SQLPOOL_PRIORITY_CRITICAL;
    CHECK(take(&u, &waiter, 1000, &unsettled, &later) == &slots[3]);
    CHECK(take(&u, &waiter, 1000, &unsettled, &later) == NULL);
    fake_return(&slots[1], SQLPOOL__EMPTY);
    fake_return(&slots[2], SQLPOOL__EMPTY);
    fake_return(&slots[3], SQLPOOL__EMPTY);
    waiter.mode = SQLPOOL_WRITE; /* the writer has no reserve */
    got = take(&u, &waiter, 1000, &unsettled, &later);
    CHECK(got == &slots[0]);
    CHECK(take(&u, &waiter, 1000, &unsettled, &later) == NULL);
    fake_return(&slots[0], SQLPOOL__IDLE);
    sim_condition_destroy(&u.locks, &waiter.condition);
    unit_close(&u);
}

TEST(hint) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 3);
    sqlpool__slot *slot;
    int i;
    config.min_connections = 4;
    PART(unit_open(&u, "hint.db", &config));
    sqlpool__hint.core = u.core;
    sqlpool__hint.slot = 3;
    slot = sqlpool__take_fast(u.core, u.core->lane_of[SQLPOOL_READ]);
    CHECK(slot == &u.core->slots[3]);
    slot = sqlpool__take_fast(u.core, u.core->lane_of[SQLPOOL_READ]); /* a wrong hint: a scan */
    CHECK(slot == &u.core->slots[1]);
    CHECK_INT(sqlpool__hint.slot, 1);
    slot = sqlpool__take_fast(u.core, u.core->lane_of[SQLPOOL_WRITE]);
    CHECK(slot == &u.core->slots[0]);
    CHECK_INT(sqlpool__hint.slot, 1); /* the writer's lane needs none */
    slot = sqlpool__take_fast(u.core, u.core->lane_of[SQLPOOL_READ]);
    CHECK(slot == &u.core->slots[2]);
    CHECK(sqlpool__take_fast(u.core, u.core->lane_of[SQLPOOL_READ]) == NULL);
    for (i = 0; i < 4; i++) fake_return(&u.core->slots[i], SQLPOOL__IDLE);
    sqlpool__hint.slot = 77; /* of another time */
    slot = sqlpool__take_fast(u.core, u.core->lane_of[SQLPOOL_READ]);
    CHECK(slot == &u.core->slots[1]);
    fake_return(slot, SQLPOOL__IDLE);
    unit_close(&u);
}

/*---- waits that cannot end ----*/

TEST(deadlock_finder) {
    unit_pool u;
    sqlpool__waiter waiter, other;
    sqlpool__slot *slots;
    PART(unit_begin(&u, "deadlock.db", 2, NULL));
    slots = u.core->slots; /* 0 writer, 1 and 2 readers */
    make_waiter(&u, &waiter, SQLPOOL_READ, 0, 1, 0, 61);
    make_waiter(&u, &other, SQLPOOL_READ, 0, 2, 0, 62);
    sqlpool__error_clear(&u.error);
#define FIND() sqlpool__find_deadlock_locked(u.core, &waiter, &u.error)
    CHECK_INT(FIND(), SQLPOOL_OK); /* nobody holds anything */
    fake_lease(&slots[1], SQLPOOL_READ, 61);
    CHECK_INT(FIND(), SQLPOOL_OK); /* one is free */
    fake_lease(&slots[2], SQLPOOL_READ, 62);
    CHECK_INT(FIND(), SQLPOOL_OK); /* the other thread does not wait */
    queue_up(&u, &other);
    CHECK_INT(FIND(), SQLPOOL_DEADLOCK); /* now it does */
    CHECK_HAS(u.error.message, "fake.c:7");
    CHECK_HAS(u.error.message, "every other holder");
    leave(&u, &other);
    fake_lease(&slots[2], SQLPOOL_READ, 61);
    CHECK_INT(FIND(), SQLPOOL_MISUSE); /* all mine */
    CHECK_HAS(u.error.message, "a connection");
    waiter.thread = 63; /* holds nothing itself: someone will give one back */
    CHECK_INT(FIND(), SQLPOOL_OK);
    fake_return(&slots[1], SQLPOOL__EMPTY);
    fake_return(&slots[2], SQLPOOL__EMPTY);
    waiter.thread = 61;
    waiter.mode = SQLPOOL_WRITE;
    fake_lease(&slots[0], SQLPOOL_WRITE, 61);
    CHECK_INT(FIND(), SQLPOOL_MISUSE);
    CHECK_HAS(u.error.message, "the writer");
    fake_lease(&slots[0], SQLPOOL_WRITE, 62);
    fake_lease(&slots[1], SQLPOOL_READ, 61); /* the writer's holder wants nothing of mine */
    CHECK_INT(FIND(), SQLPOOL_OK);
    make_waiter(&u, &other, SQLPOOL_READ, 0, 2, 0, 62);
    queue_up(&u, &other); /* he waits for a reader, I for the writer; I hold no writer */
    CHECK_INT(FIND(), SQLPOOL_OK);
    leave(&u, &other);
    fake_return(&slots[0], SQLPOOL__IDLE);
    fake_return(&slots[1], SQLPOOL__EMPTY);
#undef FIND
    sim_condition_destroy(&u.locks, &waiter.condition);
    unit_close(&u);
}

TEST(deadlock_under_the_shared_gate) {
    unit_pool u;
    sqlpool__waiter waiter;
    sqlpool_conn conn;
    sqlpool__slot *slot;
    PART(unit_begin(&u, ":memory:", 3, NULL));
    make_waiter(&u, &waiter, SQLPOOL_WRITE, 0, 1, 0, sim_thread_id(NULL));
    sqlpool__error_clear(&u.error);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    slot = unit_slot(&conn);
    CHECK(slot->is_shared_hold);
    CHECK_INT(sqlpool__find_deadlock_locked(u.core, &waiter, &u.error), SQLPOOL_MISUSE);
    waiter.mode = SQLPOOL_READ; /* readers do not exclude each other */
    CHECK_INT(sqlpool__find_deadlock_locked(u.core, &waiter, &u.error), SQLPOOL_OK);
    waiter.thread = 99;
    waiter.mode = SQLPOOL_WRITE; /* someone else's: he can give it back */
    CHECK_INT(sqlpool__find_deadlock_locked(u.core, &waiter, &u.error), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    waiter.thread = sim_thread_id(NULL);
    waiter.mode = SQLPOOL_READ;
    CHECK_INT(sqlpool__find_deadlock_locked(u.core, &waiter, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    sim_condition_destroy(&u.locks, &waiter.condition);
    unit_close(&u);
}

/*---- waiting, on virtual time ----*/

TEST(acquire_deadlines) {
    static const struct {
        int call_ms, config_ms;
        int64_t preset, deadline;
    } table[] = {{0, 5000, 0, 1000 + 5000 * MS},
                 {20, 5000, 0, 1000 + 20 * MS},
                 {SQLPOOL_NO_WAIT, 5000, 0, 1000},
                 {SQLPOOL_FOREVER, 5000, 0, SQLPOOL__NEVER},
                 {0, SQLPOOL_OFF, 0, SQLPOOL__NEVER},
                 {INT32_MAX, 5000, 0, 1000 + INT32_MAX * MS},
                 {20, 5000, 77, 77}};
    unit_pool u;
    size_t i;
    PART(unit_begin(&u, ":memory:", 1, NULL));
    for (i = 0; i < LENGTH(table); i++) {
        const sqlpool_call call = unit_call(table[i].call_ms);
        const sqlpool__request request =
            sqlpool__internal_request(SQLPOOL_READ, &call, table[i].preset);
        u.core->config.acquire_timeout_ms = table[i].config_ms;
        CHECK_INT(sqlpool__acquire_deadline(u.core, &request, 1000), table[i].deadline);
    }
    CHECK_INT(sqlpool__acquire_deadline(
                  u.core, &(sqlpool__request){.call = &(sqlpool_call){.timeout_ms = INT32_MAX}},
                  SQLPOOL__NEVER - 5),
              SQLPOOL__NEVER);
    unit_close(&u);
}

/*  A wait for a lease of someone else: ends exactly at its deadline, and the report says it all. */
TEST(timeout_on_virtual_time) {
    unit_pool u;
    sqlpool_call call = unit_call(0);
    sqlpool_conn conn;
    int64_t start;
    PART(unit_begin(&u, "timeout.db", 1, NULL));
    CHECK_OK(unit_exec(&u, "SELECT 1"), &u.error);
    fake_lease(&u.core->slots[1], SQLPOOL_READ, 71);
    start = u.clock.now_ns;
    CHECK_INT(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), SQLPOOL_TIMEOUT);
    CHECK_INT(u.clock.now_ns - start, 5000 * MS);
    CHECK_HAS(u.error.message, "no reader became free within 5000 ms");
    CHECK_HAS(u.error.message, "reader #1 held for >= 5000 ms at fake.c:7 by thread 47");
    CHECK(strstr(u.error.message, "writer #0") == NULL); /* it is idle */
    CHECK_INT(u.log.counts[SQLPOOL_LOG_SATURATED], 1);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_NESTED], 0);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_timeouts], 1);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_waits], 1);
    CHECK_INT(u.log.last_error, SQLPOOL_TIMEOUT);
    call.timeout_ms = SQLPOOL_NO_WAIT;
    start = u.clock.now_ns;
    CHECK_INT(sqlpool_conn_acquire_with(u.pool, SQLPOOL_READ, &call, &conn, &u.error),
              SQLPOOL_WOULD_BLOCK);
    CHECK_INT(u.clock.now_ns, start);
    /* a slot that is just being given back: looks again until the deadline, never forever */
    u.core->slots[1].word = sqlpool__word(u.core->slots[1].number, SQLPOOL__RETURNING);
    call.timeout_ms = 1;
    CHECK_INT(sqlpool_conn_acquire_with(u.pool, SQLPOOL_READ, &call, &conn, &u.error),
              SQLPOOL_TIMEOUT);
    CHECK_INT(u.clock.now_ns - start, 1 * MS);
    CHECK(u.locks.waits >= 20); /* every 50 us */
    fake_return(&u.core->slots[1], SQLPOOL__IDLE);
    CHECK_INT(u.core->lanes[0].waiting, 0);
    unit_close(&u);
}

/*  Two of one thread with another's in the way: waits, says so once, and names the own lease. */
TEST(nested_wait_is_reported) {
    unit_pool u;
    sqlpool_conn mine, more;
    PART(unit_begin(&u, "nested.db", 2, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &mine, &u.error), &u.error);
    fake_lease(&u.core->slots[2], SQLPOOL_READ, 81);
    CHECK_INT(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &more, &u.error), SQLPOOL_TIMEOUT);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_NESTED], 1);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_NESTED], "queue.c");
    CHECK_HAS(u.error.message, "this thread itself holds a lease");
    fake_return(&u.core->slots[2], SQLPOOL__EMPTY);
    CHECK_INT(sqlpool_conn_release(&mine), SQLPOOL_OK);
    unit_close(&u);
}

TEST(reserve_for_the_long_suffering) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_conn conn;
    int64_t start;
    config.reserve_connections = 1;
    config.reserve_threshold_percent = 101;
    config.reserve_wait_ms = 30;
    PART(unit_open(&u, "suffer.db", &config));
    fake_lease(&u.core->slots[1], SQLPOOL_READ, 82);
    start = u.clock.now_ns;
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_INT(u.clock.now_ns - start, 30 * MS);
    CHECK_INT(conn.slot, 2);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    fake_return(&u.core->slots[1], SQLPOOL__EMPTY);
    unit_close(&u);
}

TEST(wait_for_a_condition_that_cannot_be_made) {
    unit_pool u;
    sqlpool_conn conn;
    PART(unit_begin(&u, "nocond.db", 1, NULL));
    u.locks.fail_init_at = u.locks.inits + 1;
    CHECK_INT(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), SQLPOOL_NOMEM);
    CHECK_HAS(u.error.message, "condition");
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

/*  Growth that fails: with others open the caller waits, and tries again after open_retry_ms. */
TEST(failed_growth_waits_and_heals) {
    unit_pool u;
    sqlpool_conn conn;
    int64_t start;
    PART(unit_begin(&u, "growth.db", 2, NULL));
    CHECK_OK(unit_exec(&u, "SELECT 1"), &u.error);
    fake_lease(&u.core->slots[1], SQLPOOL_READ, 83);
    sim_alloc_fail(1, 0); /* the statement table of the new connection */
    start = u.clock.now_ns;
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_INT(u.clock.now_ns - start, 200 * MS);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_OPEN_FAILED], 1);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_open_failures], 1);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    sqlpool__close_connection(&u.core->slots[2]);
    u.core->slots[2].word = sqlpool__word(u.core->slots[2].number, SQLPOOL__EMPTY);
    sqlpool__cache_free(&u.core->slots[2]);
    u.core->config.pass_open_error = true; /* now the caller hears of it, and so do later ones */
    u.core->open_retry_ns = 0;
    sim_alloc_fail(1, 0);
    CHECK_INT(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), SQLPOOL_NOMEM);
    sim_alloc_heal();
    CHECK_INT(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), SQLPOOL_NOMEM);
    CHECK_HAS(u.error.message, "statement cache");
    u.clock.now_ns += 200 * MS;
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    fake_return(&u.core->slots[1], SQLPOOL__IDLE);
    unit_close(&u);
}

TEST(drain_on_virtual_time) {
    unit_pool u;
    int64_t start;
    PART(unit_begin(&u, "drain.db", 1, NULL));
    fake_lease(&u.core->slots[0], SQLPOOL_WRITE, 91);
    start = u.clock.now_ns;
    CHECK_INT(sqlpool_pause(u.pool, 40, &u.error), SQLPOOL_TIMEOUT);
    CHECK_INT(u.clock.now_ns - start, 40 * MS);
    CHECK_HAS(u.error.message, "writer #0");
    CHECK_INT(u.core->gate, 0);
    CHECK_INT(u.core->draining, 0);
    u.core->slots[0].word = sqlpool__word(u.core->slots[0].number, SQLPOOL__RETURNING);
    CHECK_INT(sqlpool_pause(u.pool, 1, &u.error), SQLPOOL_TIMEOUT);
    fake_return(&u.core->slots[0], SQLPOOL__IDLE);
    CHECK_OK(sqlpool_pause(u.pool, 1, &u.error), &u.error);
    {
        sqlpool_conn conn;
        CHECK_INT(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), SQLPOOL_TIMEOUT);
        CHECK_HAS(u.error.message, "paused");
    }
    CHECK_INT(sqlpool_pause(u.pool, 1, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_resume(u.pool), SQLPOOL_OK);
    CHECK_INT(sqlpool_resume(u.pool), SQLPOOL_MISUSE);
    unit_close(&u);
}

/*---- the busy handler ----*/

static int busy_answer;
static int chained_busy(void *user, int count) {
    (void)user, (void)count;
    return busy_answer;
}

TEST(busy_handler) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool__slot *slot;
    sqlpool_token token;
    int64_t start;
    int count;
    config.acquire_timeout_ms = 10;
    config.busy_poll_min_us = 100;
    config.busy_poll_max_us = 300;
    PART(unit_open(&u, "busy.db", &config));
    slot = &u.core->slots[0];
    CHECK(sqlpool__take(slot, SQLPOOL__IDLE));
    slot->busy_deadline_ns = 0;
    slot->is_busy_expired = false;
    slot->waited_us = 0;
    start = u.clock.now_ns;
    for (count = 0; sqlpool__on_busy(slot, count) != 0; count++) {
        CHECK(count < 1000);
        CHECK_INT(slot->busy_deadline_ns, start + 10 * MS);
    }
    CHECK_INT(u.clock.now_ns - start, 10 * MS); /* the last pause is cut to the deadline */
    CHECK(count >= 10000 / 300 && count <= 10000 / 100 + 1);
    CHECK(slot->is_busy_expired);
    CHECK_INT(slot->waited_us / 1000, 9 + (slot->waited_us >= 10000));
    CHECK_INT(slot->counters[SQLPOOL__COUNT_busy_waits], count);
    CHECK_INT(u.core->busy_sleepers, 0);
    CHECK_INT(sqlpool__translate(slot, SQLITE_BUSY), SQLPOOL_TIMEOUT);
    slot->is_busy_expired = false; /* the statement's deadline, when it is earlier */
    slot->busy_deadline_ns = 0;
    slot->deadline_ns = u.clock.now_ns + 2 * MS;
    CHECK_INT(sqlpool__on_busy(slot, 0), 1);
    CHECK_INT(slot->busy_deadline_ns, slot->deadline_ns);
    slot->deadline_ns = SQLPOOL__NEVER;
    slot->busy_deadline_ns = 0;
    u.core->config.acquire_timeout_ms = SQLPOOL_OFF;
    CHECK_INT(sqlpool__on_busy(slot, 0), 1);
    CHECK_INT(slot->busy_deadline_ns, SQLPOOL__NEVER);
    slot->chain.busy_fn = chained_busy; /* the caller's gives up */
    CHECK_INT(sqlpool__on_busy(slot, 0), 0);
    busy_answer = 1;
    CHECK_INT(sqlpool__on_busy(slot, 0), 1);
    slot->chain.busy_fn = NULL;
    token.fired = 1; /* cancelled; but a COMMIT or ROLLBACK goes on */
    slot->token = &token;
    CHECK_INT(sqlpool__on_busy(slot, 0), 0);
    CHECK_INT(sqlpool__translate(slot, SQLITE_BUSY), SQLPOOL_CANCELLED);
    slot->is_ending = true;
    CHECK_INT(sqlpool__on_busy(slot, 0), 1);
    slot->is_ending = false;
    token.fired = 0;
    CHECK_INT(sqlpool__on_busy(slot, 0), 1);
    slot->cancelled = slot->number;
    CHECK_INT(sqlpool__on_busy(slot, 0), 0);
    slot->cancelled = slot->number - 1; /* of an earlier lease */
    CHECK_INT(sqlpool__on_busy(slot, 0), 1);
    slot->token = NULL;
    fake_return(slot, SQLPOOL__IDLE);
    unit_close(&u);
}

static int progress_answer;
static int chained_progress(void *user) {
    (void)user;
    return progress_answer;
}

TEST(progress_handler) {
    unit_pool u;
    sqlpool__slot *slot;
    PART(unit_begin(&u, "progress.db", 1, NULL));
    slot = &u.core->slots[0];
    CHECK(sqlpool__take(slot, SQLPOOL__IDLE));
    slot->is_committed = false;
    CHECK_INT(sqlpool__on_progress(slot), 0);
    slot->deadline_ns = u.clock.now_ns + 1;
    CHECK_INT(sqlpool__on_progress(slot), 0);
    CHECK(slot->expired != slot->number);
    u.clock.now_ns++;
    slot->is_shielded = true; /* the pool's own statements are not stopped half-way */
    CHECK_INT(sqlpool__on_progress(slot), 0);
    slot->is_shielded = false;
    slot->is_committed = true; /* nor what is committed */
    CHECK_INT(sqlpool__on_progress(slot), 0);
    slot->is_committed = false;
    CHECK_INT(sqlpool__on_progress(slot), 1);
    CHECK_INT(slot->expired, slot->number);
    CHECK_INT(sqlpool__translate(slot, SQLITE_INTERRUPT), SQLPOOL_TIMEOUT);
    CHECK_INT(sqlpool__translate(slot, SQLITE_BUSY), SQLITE_BUSY);
    slot->expired = UINT64_MAX;
    CHECK_INT(sqlpool__translate(slot, SQLITE_INTERRUPT), SQLITE_INTERRUPT);
    slot->deadline_ns = SQLPOOL__NEVER;
    slot->cancelled = slot->number;
    CHECK_INT(sqlpool__on_progress(slot), 1);
    CHECK_INT(sqlpool__translate(slot, SQLITE_INTERRUPT), SQLPOOL_CANCELLED);
    CHECK_INT(sqlpool__translate(slot, SQLITE_FULL), SQLITE_FULL);
    slot->cancelled = UINT64_MAX;
    slot->chain.progress_fn = chained_progress;
    CHECK_INT(sqlpool__on_progress(slot), 0);
    progress_answer = 9;
    CHECK_INT(sqlpool__on_progress(slot), 1);
    slot->chain.progress_fn = NULL;
    CHECK_INT(sqlpool__translate(slot, SQLITE_READONLY_DBMOVED), SQLPOOL_MOVED);
    CHECK_INT(sqlpool__translate(slot, SQLITE_READONLY), SQLITE_READONLY);
    slot->refusal = NULL;
    CHECK_INT(sqlpool__translate(slot, SQLITE_AUTH), SQLITE_AUTH);
    slot->refusal = "x";
    CHECK_INT(sqlpool__translate(slot, SQLITE_AUTH_USER), SQLPOOL_REFUSED);
    slot->refusal = NULL;
    fake_return(slot, SQLPOOL__IDLE);
    unit_close(&u);
}

TEST(which_errors_spoil_a_connection) {
    static const struct {
        int code;
        bool bad;
    } table[] = {{SQLITE_OK, false},          {SQLITE_ERROR, false},       {SQLITE_BUSY, false},
                 {SQLITE_NOMEM, false},       {SQLITE_IOERR_NOMEM, false}, {SQLITE_IOERR, true},
                 {SQLITE_IOERR_READ, true},   {SQLITE_IOERR_FSYNC, true},  {SQLITE_CORRUPT, true},
                 {SQLITE_CORRUPT_VTAB, true}, {SQLITE_NOTADB, true},       {SQLITE_CANTOPEN, true},
                 {SQLITE_FULL, false},        {SQLITE_CONSTRAINT, false},  {SQLPOOL_TIMEOUT, false},
                 {SQLITE_INTERRUPT, false}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++)
        CHECK_INT(sqlpool__is_connection_bad(table[i].code), table[i].bad);
    CHECK_INT(sqlpool__primary(SQLITE_BUSY_SNAPSHOT), SQLITE_BUSY);
    CHECK_INT(sqlpool__primary(SQLPOOL_TIMEOUT), SQLPOOL_TIMEOUT);
}

/*---- I15 ----*/

TEST(what_is_tried_again) {
    static const struct {
        int code;
        sqlpool__again again;
    } table[] = {{SQLITE_OK, SQLPOOL__AGAIN_NEVER},
                 {SQLITE_BUSY, SQLPOOL__AGAIN_STATEMENT},
                 {SQLITE_BUSY_RECOVERY, SQLPOOL__AGAIN_STATEMENT},
                 {SQLITE_BUSY_SNAPSHOT, SQLPOOL__AGAIN_TRANSACTION},
                 {SQLITE_BUSY | 3 << 8, SQLPOOL__AGAIN_STATEMENT},
                 {SQLITE_PROTOCOL, SQLPOOL__AGAIN_STATEMENT},
                 {SQLITE_ABORT_ROLLBACK, SQLPOOL__AGAIN_TRANSACTION},
                 {SQLITE_ABORT, SQLPOOL__AGAIN_NEVER},
                 {SQLITE_LOCKED, SQLPOOL__AGAIN_NEVER},
                 {SQLITE_LOCKED_SHAREDCACHE, SQLPOOL__AGAIN_NEVER},
                 {SQLITE_ERROR, SQLPOOL__AGAIN_NEVER},
                 {SQLITE_CONSTRAINT, SQLPOOL__AGAIN_NEVER},
                 {SQLITE_FULL, SQLPOOL__AGAIN_NEVER},
                 {SQLITE_IOERR, SQLPOOL__AGAIN_NEVER},
                 {SQLITE_NOMEM, SQLPOOL__AGAIN_NEVER},
                 {SQLITE_INTERRUPT, SQLPOOL__AGAIN_NEVER},
                 {SQLITE_SCHEMA, SQLPOOL__AGAIN_NEVER},
                 {SQLPOOL_TIMEOUT, SQLPOOL__AGAIN_NEVER},
                 {SQLPOOL_CANCELLED, SQLPOOL__AGAIN_NEVER},
                 {SQLPOOL_ROLLED_BACK, SQLPOOL__AGAIN_NEVER}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++)
        CHECK_INT(sqlpool__again_for(table[i].code), table[i].again);
}

static int retries_seen;
static void on_retry(void *user, int attempt, int code, int64_t delay_us) {
    (void)user, (void)attempt, (void)code, (void)delay_us;
    retries_seen++;
}

TEST(retry_waits) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_call call = unit_call(0);
    sqlpool__slot *slot;
    int64_t start;
    int attempt;
    config.retry_attempts = 4;
    config.retry_jitter = SQLPOOL_JITTER_NONE;
    config.events.retry_fn = on_retry;
    PART(unit_open(&u, "retry.db", &config));
    slot = &u.core->slots[0];
    CHECK(sqlpool__take(slot, SQLPOOL__IDLE));
    slot->waited_us = 0;
    slot->lease_deadline_ns = SQLPOOL__NEVER;
    start = u.clock.now_ns;
    for (attempt = 1;; attempt++) {
        sqlpool__error_clear(&u.error);
        (void)SQLPOOL__FAIL(&u.error, SQLITE_BUSY, "busy");
        if (!sqlpool__retry_wait(slot, &call, attempt, &u.error)) break;
        CHECK_INT(u.error.attempts, attempt + 1);
        CHECK_INT(u.error.result, 0);
        CHECK_STR(u.error.message, "");
    }
    CHECK_INT(attempt, 4);
    CHECK_INT(u.error.attempts, 4);
    CHECK_INT(u.error.result, SQLITE_BUSY); /* the last one's error stays */
    CHECK_STR(u.error.message, "busy");
    CHECK_INT(u.clock.now_ns - start, (1000 + 2000 + 4000) * 1000);
    CHECK_INT(slot->waited_us, 7000);
    CHECK_INT(slot->counters[SQLPOOL__COUNT_retries], 3);
    CHECK_INT(retries_seen, 3);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_RETRY], 3);
    call.attempts = 2;
    CHECK(sqlpool__retry_wait(slot, &call, 1, &u.error));
    CHECK(!sqlpool__retry_wait(slot, &call, 2, &u.error));
    call.attempts = 100;
    slot->lease_deadline_ns = u.clock.now_ns + 1000000; /* the delay ends at the deadline */
    CHECK(!sqlpool__retry_wait(slot, &call, 1, &u.error));
    slot->lease_deadline_ns++;
    CHECK(sqlpool__retry_wait(slot, &call, 1, &u.error));
    slot->lease_deadline_ns = SQLPOOL__NEVER;
    slot->cancelled = slot->number;
    CHECK(!sqlpool__retry_wait(slot, &call, 1, &u.error));
    fake_return(slot, SQLPOOL__IDLE);
    unit_close(&u);
}

/*---- I16 ----*/

TEST(checkpoint_budget) {
    static const struct {
        int64_t frames, total, done;
        bool wanted;
    } table[] = {
        /* a budget of 100 pages */
        {0, 0, 0, false},        {99, 99, 0, false},       {100, 100, 0, true},
        {5000, 5000, 0, true},   {100, 1000, 1000, false}, {100, 1024, 1000, false},
        {100, 1025, 1000, true}, {99, 5000, 0, false},     {1000000, 1000024, 1000000, false}};
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    size_t i;
    config.wal_budget_bytes = 409600;
    PART(unit_open(&u, "budget.db", &config));
    CHECK_INT(u.core->page_bytes, 4096);
    for (i = 0; i < LENGTH(table); i++) {
        u.core->wal_frames = (uint64_t)table[i].frames;
        u.core->frames_total = (uint64_t)table[i].total;
        u.core->frames_checkpointed = (uint64_t)table[i].done;
        if (sqlpool__is_checkpoint_wanted(u.core) != table[i].wanted)
            test_fail(__FILE__, __LINE__, "row %d", (int)i);
    }
    unit_close(&u);
}

TEST(frames_are_counted) {
    unit_pool u;
    sqlpool__slot *slot;
    PART(unit_begin(&u, "frames.db", 1, NULL));
    slot = &u.core->slots[0];
    u.core->wal_frames = u.core->frames_total = 0;
    CHECK_INT(sqlpool__on_wal(slot, slot->db, "main", 10), SQLITE_OK);
    CHECK_INT(sqlpool__on_wal(slot, slot->db, "main", 15), SQLITE_OK);
    CHECK_INT(u.core->frames_total, 15);
    CHECK_INT(sqlpool__on_wal(slot, slot->db, "main", 4), SQLITE_OK); /* the log started over */
    CHECK_INT(u.core->frames_total, 19);
    CHECK_INT(u.core->wal_frames, 4);
    CHECK_INT(sqlpool__on_wal(slot, slot->db, "other", 400), SQLITE_OK); /* an attached one */
    CHECK_INT(sqlpool__on_wal(slot, slot->db, "main", -1), SQLITE_OK);
    CHECK_INT(u.core->frames_total, 19);
    unit_close(&u);
}

TEST(pins_are_reported_seldom) {
    unit_pool u;
    sqlpool_checkpoint_result pinned = {100, 40}, whole = {100, 100};
    int i;
    PART(unit_begin(&u, "pins.db", 2, NULL));
    CHECK_OK(unit_exec(&u, "SELECT 1"), &u.error);
    u.core->frames_total = 90;
    fake_lease(&u.core->slots[0], SQLPOOL_WRITE, 1);
    for (i = 0; i < 3; i++) sqlpool__checkpoint_report(u.core, &pinned);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_WAL_PINNED], 0); /* a few in a row are nothing */
    sqlpool__checkpoint_report(u.core, &pinned);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_WAL_PINNED], 1);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_WAL_PINNED], "40 of 100 frames");
    CHECK_HAS(u.log.last[SQLPOOL_LOG_WAL_PINNED], "another process or pool");
    sqlpool__checkpoint_report(u.core, &pinned);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_WAL_PINNED], 1); /* at most once in 10 s */
    u.clock.now_ns += 10000 * MS;
    fake_lease(&u.core->slots[1], SQLPOOL_READ, 2);
    u.core->slots[1].frames_at = 80;
    fake_lease(&u.core->slots[2], SQLPOOL_READ, 3);
    u.core->slots[2].frames_at = 20; /* the worst */
    u.core->slots[2].tag = "slow report";
    sqlpool__checkpoint_report(u.core, &pinned);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_WAL_PINNED], 2);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_WAL_PINNED], "[slow report]");
    CHECK_HAS(u.log.last[SQLPOOL_LOG_WAL_PINNED], "70 frames behind");
    sqlpool__checkpoint_report(u.core, &whole);
    CHECK_INT(u.core->pinned_in_row, 0);
    u.clock.now_ns += 10000 * MS;
    sqlpool__checkpoint_report(u.core, &pinned);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_WAL_PINNED], 2);
    u.core->config.wal_limit_bytes = 100 * 4096; /* above the limit the first one counts */
    sqlpool__checkpoint_report(u.core, &pinned);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_WAL_PINNED], 3);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_WAL_PINNED], "held for >= 10000 ms"); /* since it was told first */
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_checkpoints_pinned], 8);
    for (i = 0; i < 3; i++) fake_return(&u.core->slots[i], i < 2 ? SQLPOOL__IDLE : SQLPOOL__EMPTY);
    u.core->slots[2].tag = NULL;
    unit_close(&u);
}

TEST(one_checkpoint_at_a_time) {
    unit_pool u;
    int64_t start;
    PART(unit_begin(&u, "one.db", 1, NULL));
    CHECK(sqlpool__checkpoint_enter(u.core, 0));
    start = u.clock.now_ns;
    CHECK(!sqlpool__checkpoint_enter(u.core, start + 5 * MS));
    CHECK_INT(u.clock.now_ns - start, 5 * MS);
    CHECK_INT(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error),
              SQLPOOL_TIMEOUT);
    CHECK_HAS(u.error.message, "another checkpoint");
    u.core->checkpointing = 0;
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), &u.error);
    CHECK_INT(u.core->checkpointing, 0);
    unit_close(&u);
}

/*  A checkpoint that meets another process's write waits for as long as a lease is waited for, no longer. */
TEST(a_checkpoint_beside_a_writer_of_another_process) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_checkpoint_result moved;
    sqlite3 *other = NULL;
    int64_t start;
    config.acquire_timeout_ms = 70;
    PART(unit_open_row(&u, "other.db", &config));
    CHECK_INT(sqlite3_open("other.db", &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    start = u.clock.now_ns;
    CHECK_INT(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), SQLPOOL_TIMEOUT);
    CHECK(u.clock.now_ns - start >= 70 * MS && u.clock.now_ns - start < 200 * MS);
    start = u.clock.now_ns; /* and with a nearer end */
    CHECK_INT(sqlpool__checkpoint(u.core, SQLPOOL_CHECKPOINT_PASSIVE, start + 20 * MS, &moved, &u.error),
              SQLPOOL_TIMEOUT);
    CHECK(u.clock.now_ns - start >= 20 * MS && u.clock.now_ns - start < 50 * MS);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), &u.error);
    unit_close(&u);
}

/*  A log above its limit: readers are held for wal_wait_ms, at most once a second. */
TEST(log_above_its_limit) {
    unit_pool u;
    int64_t start;
    PART(unit_begin(&u, "limit.db", 2, "CREATE TABLE t(a)"));
    CHECK_OK(unit_exec(&u, "SELECT 1"), &u.error);
    u.core->config.wal_budget_bytes = u.core->config.wal_limit_bytes = 4096;
    fake_lease(&u.core->slots[1], SQLPOOL_READ, 5); /* a reader that does not come back */
    start = u.clock.now_ns;
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
    CHECK_INT(u.clock.now_ns - start, 50 * MS);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_wal_waits], 1);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_WAL_LIMIT], 1);
    CHECK_INT(u.core->gate, 0); /* the hold is over */
    CHECK_INT(u.core->checkpointing, 0);
    start = u.clock.now_ns;
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(2)"), &u.error);
    CHECK_INT(u.clock.now_ns - start, 0); /* not again within a second */
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_wal_waits], 1);
    u.clock.now_ns += 1000 * MS;
    fake_return(&u.core->slots[1], SQLPOOL__IDLE);
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(3)"), &u.error);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_wal_waits], 2);
    u.clock.now_ns += 2000 * MS;
    { /* a thread that itself holds a reader would wait for itself: no hold then */
        sqlpool_conn mine, write;
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &mine, &u.error), &u.error);
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &write, &u.error), &u.error);
        CHECK_OK(unit_exec_on(&u, &write, "INSERT INTO t VALUES(4)"), &u.error);
        start = u.clock.now_ns;
        CHECK_INT(sqlpool_conn_release(&write), SQLPOOL_OK);
        CHECK_INT(u.clock.now_ns - start, 0);
        CHECK_INT(sqlpool_conn_release(&mine), SQLPOOL_OK);
    }
    u.core->checkpointing = 1; /* someone is at it: nothing to do */
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(5)"), &u.error);
    u.core->checkpointing = 0;
    unit_close(&u);
}

TEST(truncate_with_a_reader_out) {
    unit_pool u;
    sqlpool_checkpoint_result result;
    int64_t start;
    PART(unit_begin(&u, "truncate.db", 1, "CREATE TABLE t(a)"));
    CHECK_OK(unit_exec(&u, "SELECT 1"), &u.error);
    fake_lease(&u.core->slots[1], SQLPOOL_READ, 5);
    start = u.clock.now_ns;
    CHECK_INT(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_TRUNCATE, &result, &u.error),
              SQLITE_BUSY);
    CHECK_INT(u.clock.now_ns - start, 50 * MS);
    CHECK_HAS(u.error.message, "wal_wait_ms");
    CHECK_HAS(u.error.message, "reader #1");
    CHECK_INT(u.core->gate, 0);
    fake_return(&u.core->slots[1], SQLPOOL__IDLE);
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_TRUNCATE, &result, &u.error), &u.error);
    CHECK_INT(u.core->wal_frames, 0);
    CHECK_INT(sqlpool_recycle(u.pool), SQLPOOL_OK);
    u.core->checkpointer->epoch--; /* an old checkpointer is opened anew */
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_TRUNCATE, &result, &u.error), &u.error);
    unit_close(&u);
}

/*  One deadline over several openings that fail: an acquire ends, however often it tries. */
TEST(failed_growth_ends_at_the_deadline) {
    unit_pool u;
    sqlpool_conn conn;
    int64_t start;
    PART(unit_begin(&u, "tries.db", 2, NULL));
    CHECK_OK(unit_exec(&u, "SELECT 1"), &u.error);
    fake_lease(&u.core->slots[1], SQLPOOL_READ, 84);
    sim_alloc_fail_some(1, 100); /* each time the statement table of the new connection */
    start = u.clock.now_ns;
    CHECK_INT(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), SQLPOOL_TIMEOUT);
    sim_alloc_heal();
    CHECK_INT(u.clock.now_ns - start, 5000 * MS);
    CHECK(u.core->counters[SQLPOOL__COUNT_open_failures] > 1);
    fake_return(&u.core->slots[1], SQLPOOL__IDLE);
    unit_close(&u);
}

/*  Who holds a reader and waits for another comes first only where a writer waits for him: without a log. */
TEST(nested_readers_wait_their_turn) {
    int journal;
    for (journal = 0; journal < 2; journal++) {
        unit_pool u;
        sqlpool_config config = unit_config(&u, 2);
        sqlpool__request request;
        sqlpool__slot *out;
        sqlpool__waiter waiter;
        sqlpool_conn mine;
        config.journal = journal == 0 ? SQLPOOL_JOURNAL_WAL : SQLPOOL_JOURNAL_DELETE;
        PART(unit_open(&u, journal == 0 ? "turnwal.db" : "turn.db", &config));
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &mine, &u.error), &u.error);
        fake_lease(&u.core->slots[2], SQLPOOL_READ, 85);
        request = sqlpool__internal_request(SQLPOOL_READ, &sqlpool__default_call,
                                            u.clock.now_ns + 10 * MS);
        make_waiter(&u, &waiter, SQLPOOL_READ, SQLPOOL_PRIORITY_NORMAL, 0, u.clock.now_ns,
                    sqlpool__thread_id(u.core));
        CHECK_INT(sqlpool__wait_for_slot(u.core, &request, &waiter, &out, &u.error),
                  SQLPOOL_TIMEOUT);
        CHECK_INT(waiter.priority,
                  journal == 0 ? SQLPOOL_PRIORITY_NORMAL : SQLPOOL__PRIORITY_AHEAD);
        sim_condition_destroy(&u.locks, &waiter.condition);
        fake_return(&u.core->slots[2], SQLPOOL__EMPTY);
        CHECK_INT(sqlpool_conn_release(&mine), SQLPOOL_OK);
        unit_close(&u);
    }
}

/*  A newcomer may have the writer of an exclusive section for a moment, and wakes the head when he sees
    the gate: so the section's thread is that, whoever came before it. */
TEST(an_exclusive_section_is_ahead_of_all_who_wait) {
    unit_pool u;
    sqlpool__request request;
    sqlpool__slot *out;
    sqlpool__waiter other, waiter;
    PART(unit_begin(&u, "ahead.db", 1, NULL));
    make_waiter(&u, &other, SQLPOOL_WRITE, SQLPOOL_PRIORITY_CRITICAL, 1, u.clock.now_ns, 87);
    queue_up(&u, &other);
    u.core->gate = SQLPOOL__GATE_EXCLUSIVE;
    u.core->is_bypassed = true;
    u.core->bypass_thread = sqlpool__thread_id(u.core);
    fake_lease(&u.core->slots[0], SQLPOOL_WRITE, 88);
    request = sqlpool__internal_request(SQLPOOL_WRITE, &sqlpool__default_call,
                                        u.clock.now_ns + 10 * MS);
    make_waiter(&u, &waiter, SQLPOOL_WRITE, SQLPOOL_PRIORITY_NORMAL, 0, u.clock.now_ns,
                sqlpool__thread_id(u.core));
    CHECK_INT(sqlpool__wait_for_slot(u.core, &request, &waiter, &out, &u.error), SQLPOOL_TIMEOUT);
    other.is_signalled = waiter.is_signalled = false;
    queue_up(&u, &waiter);
    sqlpool__give_back(&u.core->slots[0], &u.core->lanes[SQLPOOL_WRITE]);
    CHECK(waiter.is_signalled && !other.is_signalled);
    u.core->is_bypassed = false;
    u.core->gate = 0;
    leave(&u, &other);
    leave(&u, &waiter);
    unit_close(&u);
}

/*  A place that is not known is a question mark. */
TEST(waits_from_nowhere) {
    unit_pool u;
    sqlpool_conn mine, more;
    PART(unit_begin(&u, "nowhere.db", 2, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &mine, &u.error), &u.error);
    fake_lease(&u.core->slots[2], SQLPOOL_READ, 86);
    CHECK_INT(sqlpool_conn_acquire_at(NULL, 12, u.pool, SQLPOOL_READ, NULL, &more, &u.error),
              SQLPOOL_TIMEOUT);
    CHECK_HAS(u.error.message, "for ?:12");
    CHECK_HAS(u.log.last[SQLPOOL_LOG_NESTED], "at ?:12");
    fake_return(&u.core->slots[2], SQLPOOL__EMPTY);
    CHECK_INT(sqlpool_conn_release(&mine), SQLPOOL_OK);
    unit_close(&u);
}

/*  pass_open_error is about openings: a wait for those that are open is what it always was. */
TEST(waits_where_open_errors_are_passed_on) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_conn conn;
    int64_t start;
    config.pass_open_error = true;
    PART(unit_open(&u, "passed.db", &config));
    CHECK_OK(unit_exec(&u, "SELECT 1"), &u.error);
    fake_lease(&u.core->slots[1], SQLPOOL_READ, 87);
    start = u.clock.now_ns;
    CHECK_INT(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), SQLPOOL_TIMEOUT);
    CHECK_INT(u.clock.now_ns - start, 5000 * MS);
    u.core->open_error =
        SQLITE_CANTOPEN; /* some opening failed, but none is to be made for this one */
    u.core->config.open_retry_ms = 60000;
    u.core->open_retry_ns = u.clock.now_ns + 60000 * MS;
    start = u.clock.now_ns;
    CHECK_INT(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), SQLPOOL_TIMEOUT);
    CHECK_INT(u.clock.now_ns - start, 5000 * MS);
    u.core->open_error = 0;
    fake_return(&u.core->slots[1], SQLPOOL__IDLE);
    unit_close(&u);
}

/*  Where every connection reads and writes there are no readers to hold back: the log is brought down
    without waiting. */
TEST(log_above_its_limit_in_one_lane) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 2);
    const sqlpool__slot *reader;
    sqlpool_conn mine;
    int64_t start;
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    PART(unit_open_with(&u, "onelane.db", &config, "CREATE TABLE t(a)"));
    u.core->config.wal_budget_bytes = u.core->config.wal_limit_bytes = 4096;
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &mine, &u.error), &u.error);
    reader = unit_slot(&mine);
    start = u.clock.now_ns;
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
    CHECK_INT(u.clock.now_ns - start, 0);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_wal_waits], 0);
    CHECK(u.core->frames_checkpointed > 0);
    CHECK(unit_slot(&mine) == reader);
    CHECK_INT(sqlpool_conn_release(&mine), SQLPOOL_OK);
    unit_close(&u);
}

/*  Growth that fails where nothing else is open: there is nobody to wait for. */
TEST(failed_growth_without_others) {
    unit_pool u;
    sqlpool_conn conn;
    int64_t start;
    PART(unit_begin(&u, "nobody.db", 2, NULL));
    start = u.clock.now_ns;
    sim_alloc_fail(1, 0);
    CHECK_INT(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), SQLPOOL_NOMEM);
    sim_alloc_heal();
    CHECK_INT(u.clock.now_ns - start, 0);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

/*  Who commits while another thread copies a log that is above its limit waits for that; but not for
    longer than wal_wait_ms. */
TEST(log_above_its_limit_and_another_is_at_it) {
    unit_pool u;
    const sqlpool_config config = unit_config(&u, 2);
    int64_t start;
    PART(unit_open_with(&u, "limit2.db", &config, "CREATE TABLE t(a)"));
    u.core->config.wal_budget_bytes = 4096;
    CHECK(sqlpool__checkpoint_enter(u.core, 0));
    start = u.clock.now_ns;
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(1)"), &u.error);
    CHECK_INT(u.clock.now_ns - start, 0); /* below the limit nobody waits */
    u.core->config.wal_limit_bytes = 4096;
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(2)"), &u.error);
    CHECK_INT(u.clock.now_ns - start, config.wal_wait_ms > 0 ? config.wal_wait_ms * MS : 50 * MS);
    CHECK_INT(u.core->counters[SQLPOOL__COUNT_wal_waits], 1);
    CHECK_INT(u.core->inside, 0);
    CHECK_INT(u.core->checkpointing, 1);
    u.core->checkpointing = 0;
    u.core->next_wal_hold_ns = SQLPOOL__NEVER;
    start = u.clock.now_ns;
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(3)"), &u.error);
    CHECK_INT(u.clock.now_ns - start, 0); /* it copies the log itself */
    unit_close(&u);
}

/*---- a log that lost its place ----*/

/*  What SQLite's WAL-reset bug leaves: more frames count as copied than the log has. */
static void lose_place(unit_pool *u) {
    volatile uint32_t *map = (volatile uint32_t *)u->core->slots[0].stamp_map;
    map[SQLPOOL__BACKFILL] = map[SQLPOOL__STAMP_FRAMES] + 3;
}

/*  A table of five rows that only the log has; then the place is lost. */
static void open_lost(unit_pool *u, const sqlpool_config *config, const char *path) {
    int i;
    PART(unit_open_with(u, path, config, "CREATE TABLE t(a)"));
    for (i = 0; i < 5; i++) {
        CHECK_OK(unit_exec(u, "INSERT INTO t VALUES(1)"), &u->error);
    }
    lose_place(u);
}

static void check_lost(unit_pool *u) {
    volatile uint32_t *map = (volatile uint32_t *)u->core->slots[0].stamp_map;
    sqlpool_stats stats;
    CHECK_INT(sqlpool_get_stats(u->pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.breaker_write, 1);
    CHECK_INT(stats.breaker_read, 1);
    CHECK_INT(unit_exec(u, "INSERT INTO t VALUES(2)"), SQLITE_CORRUPT);
    CHECK_HAS(u->error.message, "sqlpool_recycle()");
    CHECK_INT(u->error.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    u->clock.now_ns += 3600 * 1000 * MS; /* no call is let through as a trial */
    CHECK_INT(unit_exec(u, "INSERT INTO t VALUES(2)"), SQLITE_CORRUPT);
    map[SQLPOOL__BACKFILL] = 0; /* another process may have written on: that makes nothing well */
    CHECK_INT(sqlpool_checkpoint(u->pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &u->error),
              SQLITE_CORRUPT);
    CHECK_HAS(u->error.message, "WAL-reset");
    lose_place(u);
    CHECK_INT(u->log.counts[SQLPOOL_LOG_WAL_RESET], 1);
    (void)unit_ask(u, "SELECT count(*) FROM t"); /* SQLite would not look for it in the log */
    CHECK_INT(u->error.result, SQLITE_CORRUPT);
    CHECK_HAS(u->error.message, "not tried: reads");
}

/*  The checkpoint notices, before it does anything; closing leaves the log to the next one. */
TEST(a_lost_log_is_left_alone_and_read_whole_by_the_next) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    PART(open_lost(&u, &config, "lost.db"));
    CHECK_INT(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error),
              SQLITE_CORRUPT);
    PART(check_lost(&u));
    PART(unit_close(&u));
    config = unit_config(&u, 1);
    PART(unit_open(&u, "lost.db", &config));
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 5);
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(6)"), &u.error);
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &u.error), &u.error);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 6);
    unit_close(&u);
}

/*  A health check notices too, and a recycle heals it once no lease keeps the log open. */
TEST(a_lost_log_heals_by_a_recycle) {
    unit_pool u;
    const sqlpool_config config = unit_config(&u, 2);
    sqlpool_conn conn;
    PART(open_lost(&u, &config, "heal.db"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    u.core->next_health_ns = 0;
    (void)sqlpool_tick(u.pool, 1000000); /* suspects */
    (void)sqlpool_tick(u.pool, 1000000); /* looks again, under the write lock */
    PART(check_lost(&u));
    CHECK_INT(sqlpool_recycle(u.pool), SQLITE_CORRUPT);
    PART(check_lost(&u));
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(sqlpool_recycle(u.pool), SQLPOOL_OK);
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(6)"), &u.error);
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &u.error), &u.error);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 6);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_WAL_RESET], 1);
    unit_close(&u);
}

int main(void) {
    RUN(words_hold_number_and_state);
    RUN(lanes);
    RUN(critical_first_then_by_arrival);
    RUN(barging_window);
    RUN(hand_overs_leave_as_much_time_as_they_took);
    RUN(gate_rules);
    RUN(shared_gate_rules);
    RUN(shared_gate_in_one_lane);
    RUN(holds_are_counted);
    RUN(hand_off);
    RUN(return_without_a_queue_takes_no_lock);
    RUN(reserve_rules);
    RUN(which_slot);
    RUN(hint);
    RUN(deadlock_finder);
    RUN(deadlock_under_the_shared_gate);
    RUN(acquire_deadlines);
    RUN(timeout_on_virtual_time);
    RUN(nested_wait_is_reported);
    RUN(reserve_for_the_long_suffering);
    RUN(wait_for_a_condition_that_cannot_be_made);
    RUN(failed_growth_waits_and_heals);
    RUN(drain_on_virtual_time);
    RUN(busy_handler);
    RUN(progress_handler);
    RUN(which_errors_spoil_a_connection);
    RUN(what_is_tried_again);
    RUN(retry_waits);
    RUN(checkpoint_budget);
    RUN(frames_are_counted);
    RUN(pins_are_reported_seldom);
    RUN(one_checkpoint_at_a_time);
    RUN(a_checkpoint_beside_a_writer_of_another_process);
    RUN(log_above_its_limit);
    RUN(log_above_its_limit_and_another_is_at_it);
    RUN(truncate_with_a_reader_out);
    RUN(failed_growth_ends_at_the_deadline);
    RUN(nested_readers_wait_their_turn);
    RUN(an_exclusive_section_is_ahead_of_all_who_wait);
    RUN(waits_from_nowhere);
    RUN(waits_where_open_errors_are_passed_on);
    RUN(log_above_its_limit_in_one_lane);
    RUN(failed_growth_without_others);
    RUN(a_lost_log_is_left_alone_and_read_whole_by_the_next);
    RUN(a_lost_log_heals_by_a_recycle);
    return test_end();
}
