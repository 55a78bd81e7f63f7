/*  between.c - white box: what holds a pool between two touches, and what comes in between them.
    SPDX-License-Identifier: MIT OR Unlicense

    A lease or a place inside keeps a pool from being closed. At each atomic access of a call this
    looks whether one of them does; and where a call takes the lock, what another thread may have done
    before it is done. */
#define _GNU_SOURCE
#define SQLPOOL_TESTING
#define SQLPOOL_IMPLEMENTATION
#include "unit/unit.h"

static sqlpool__core *watched; /* NULL: nobody is */
static bool has_been_held, is_close_failing, has_closed;
static int points, bare; /* accesses of who was held once; those with nothing that holds */

static bool is_held(const sqlpool__core *core) {
    uint32_t i;
    if (__atomic_load_n(&core->inside, __ATOMIC_SEQ_CST) != 0) return true;
    for (i = 0; i < core->slot_count; i++) {
        const uint64_t word = __atomic_load_n(&core->slots[i].word, __ATOMIC_SEQ_CST);
        if (sqlpool__state(word) == SQLPOOL__LEASED || sqlpool__state(word) == SQLPOOL__RETURNING)
            return true;
    }
    return false;
}
void sqlpool_testing_point(void) {
    if (watched == NULL) return;
    if (is_close_failing) { /* from there on where it gives up */
        has_closed = has_closed || watched->is_closing;
        if (!has_closed || watched->is_closing) return;
        has_been_held = true;
    }
    if (!has_been_held) {
        has_been_held = is_held(watched);
        return;
    }
    points++;
    if (!is_held(watched)) bare++;
}
static void watch(sqlpool__core *core) {
    has_been_held = is_close_failing = has_closed = false;
    points = bare = 0;
    watched = core;
}
static void check_was_held(void) {
    watched = NULL;
    CHECK(points > 0);
    CHECK_INT(bare, 0);
}

TEST(who_changes_to_the_writer) {
    unit_pool u;
    unit_begin_row(&u, "change.db");
    /* SQLite takes "$v(()" for one name, so this is an INSERT, though it looks like none */
    watch(u.core);
    CHECK_OK(sqlpool_exec(u.pool, "WITH x(a) AS (SELECT $v(()) INSERT INTO t(v) SELECT a FROM x",
                          SQLPOOL_ARGS(7), &u.error),
             &u.error);
    PART(check_was_held());
    CHECK_INT(unit_ask(&u, "SELECT max(v) FROM t"), 7);
    unit_close(&u);
}
TEST(who_is_let_through_by_the_breaker) {
    unit_pool u;
    unit_begin_row(&u, "through.db");
    sqlpool__breaker_open(u.core, SQLPOOL_WRITE, SQLITE_FULL, "no room");
    u.clock.now_ns += 3600000 * (int64_t)MS;
    watch(u.core);
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(2)"), &u.error);
    PART(check_was_held());
    CHECK_INT(u.core->breakers[SQLPOOL_WRITE].state, SQLPOOL__BREAKER_CLOSED);
    unit_close(&u);
}

/*---- where the lock is taken ----*/

static sqlpool_locks under; /* the simulator's */
static void (*before_lock)(void);
static void lock_after(void *user, sqlpool_mutex *mutex) {
    void (*const other)(void) = before_lock;
    if (other != NULL) other();
    under.mutex_lock_fn(user, mutex);
}
static unit_pool shared;
static void begin_shared(const char *path, void (*change)(sqlpool_config *)) {
    sqlpool_config config = unit_config(&shared, 1);
    under = config.locks;
    before_lock = NULL;
    config.locks.mutex_lock_fn = lock_after;
    if (change != NULL) change(&config);
    unit_open_row(&shared, path, &config);
}

TEST(a_close_that_fails) {
    sqlpool_rows rows;
    begin_shared("fails.db", NULL);
    CHECK_OK(sqlpool_query(shared.pool, &rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, &shared.error),
             &shared.error);
    (void)SQLPOOL__ADD(&shared.core->buffers_out, 1u); /* as of a buffered result */
    CHECK_INT(sqlpool_rows_close(&rows, &shared.error), SQLPOOL_OK);
    watch(shared.core);
    is_close_failing = true;
    CHECK_INT(sqlpool_close(shared.pool, &shared.error), SQLPOOL_TIMEOUT);
    PART(check_was_held());
    (void)SQLPOOL__ADD(&shared.core->buffers_out, (uint32_t)-1);
    unit_close(&shared);
}

static int locked, locked_bare;
static void count_bare(void) {
    locked++;
    if (!is_held(shared.core)) locked_bare++;
}
TEST(a_close_beside_another) {
    begin_shared("beside.db", NULL);
    shared.core->is_closing = true; /* by the other one, which waits for who is inside */
    locked = locked_bare = 0;
    before_lock = count_bare;
    CHECK_INT(sqlpool_close(shared.pool, &shared.error), SQLPOOL_CLOSED);
    before_lock = NULL;
    CHECK_HAS(shared.error.message, "another thread is closing");
    CHECK(locked > 0);
    CHECK_INT(locked_bare, 0);
    CHECK_INT(shared.core->inside, 0);
    CHECK(shared.core->is_closing);
    shared.core->is_closing = false;
    unit_close(&shared);
}

/*  The lease goes back, the connection is leased again, and that one cancelled. */
static sqlpool_conn old_lease, new_lease;
static void lease_again(void) {
    before_lock = NULL;
    CHECK_INT(sqlpool_conn_release(&old_lease), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_acquire(shared.pool, SQLPOOL_WRITE, &new_lease, &shared.error),
              SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_cancel(new_lease), SQLPOOL_OK);
}
TEST(a_cancellation_that_comes_late) {
    sqlpool_conn copy;
    begin_shared("late.db", NULL);
    CHECK_OK(sqlpool_conn_acquire(shared.pool, SQLPOOL_WRITE, &old_lease, &shared.error),
             &shared.error);
    copy = old_lease;
    before_lock = lease_again;
    CHECK_INT(sqlpool_conn_cancel(copy), SQLPOOL_OK);
    CHECK(before_lock == NULL);
    CHECK_INT(unit_exec_on(&shared, &new_lease, "INSERT INTO t VALUES(2)"), SQLPOOL_CANCELLED);
    CHECK_INT(sqlpool_conn_release(&new_lease), SQLPOOL_OK);
    unit_close(&shared);
}

/*  Between the gate and what goes with it nobody must come. */
static int torn;
static void look_at_gate(void) {
    const sqlpool__core *core = shared.core;
    locked++;
    if (core->is_bypassed && (core->gate & SQLPOOL__GATE_EXCLUSIVE) == 0) torn++;
}
static int do_nothing(sqlpool_conn *conn, void *user) {
    (void)conn;
    (void)user;
    return SQLPOOL_OK;
}
TEST(an_exclusive_section_ends_at_once) {
    begin_shared("ends.db", NULL);
    locked = torn = 0;
    before_lock = look_at_gate;
    CHECK_OK(sqlpool_exclusive(shared.pool, 0, do_nothing, NULL, &shared.error), &shared.error);
    before_lock = NULL;
    CHECK(locked > 0);
    CHECK_INT(torn, 0);
    CHECK(!shared.core->is_bypassed);
    unit_close(&shared);
}

/*  While one waits for the leases, another resumes, and a third pauses; then the lease comes back, or
    not in time. */
static sqlpool__slot *replaced_slot;
static uint64_t replaced_word;
static void wait_and_be_replaced(void *user, sqlpool_condition *condition, sqlpool_mutex *mutex,
                                 int64_t duration_ns) {
    shared.core->pause_thread = 4711;
    replaced_slot->word = replaced_word;
    under.condition_wait_fn(user, condition, mutex, duration_ns);
}
static void be_replaced(sqlpool_config *config) {
    config->locks.condition_wait_fn = wait_and_be_replaced;
}
TEST(a_pause_that_was_replaced) {
    int comes_back;
    for (comes_back = 0; comes_back < 2; comes_back++) {
        sqlpool_conn conn;
        uint64_t owner, word;
        begin_shared("replaced.db", be_replaced);
        CHECK_OK(sqlpool_conn_acquire(shared.pool, SQLPOOL_WRITE, &conn, &shared.error),
                 &shared.error);
        replaced_slot = &shared.core->slots[sqlpool__lane_of(shared.core, SQLPOOL_WRITE)->first];
        owner = replaced_slot->owner;
        word = replaced_slot->word;
        replaced_slot->owner = 4712; /* a thread that gives it back or not */
        replaced_word =
            sqlpool__word(replaced_slot->number, comes_back ? SQLPOOL__IDLE : SQLPOOL__LEASED);
        CHECK_INT(sqlpool_pause(shared.pool, 50, &shared.error),
                  comes_back ? SQLPOOL_MISUSE : SQLPOOL_TIMEOUT);
        CHECK(shared.core->pause_thread == 4711);
        CHECK((shared.core->gate & SQLPOOL__GATE_PAUSED) != 0); /* the third one's */
        CHECK_INT(sqlpool_resume(shared.pool), SQLPOOL_OK);
        CHECK_INT(sqlpool_resume(shared.pool), SQLPOOL_MISUSE);
        replaced_slot->owner = owner;
        replaced_slot->word = word;
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        unit_close(&shared);
    }
}

/*  Failures are counted against the calls since the first of them: another begins a new count. */
static void begin_window(void) {
    sqlpool__breaker *breaker = &shared.core->breakers[SQLPOOL_WRITE];
    uint64_t word;
    before_lock = NULL;
    CHECK_OK(unit_exec(&shared, "INSERT INTO t VALUES(2)"), &shared.error);
    word = shared.core->slots[sqlpool__lane_of(shared.core, SQLPOOL_WRITE)->first].word;
    breaker->failures = 1;
    breaker->window_ns = shared.clock.now_ns;
    breaker->window_calls = word >> SQLPOOL__NUMBER_SHIFT;
}
static void break_at_two(sqlpool_config *config) {
    config->breaker_failures = 2;
    config->breaker_percent = 100;
}
TEST(a_failure_in_a_new_window) {
    begin_shared("window.db", break_at_two);
    before_lock = begin_window;
    CHECK(sqlpool__breaker_count(shared.core, SQLPOOL_WRITE));
    CHECK(before_lock == NULL);
    unit_close(&shared);
}

/*  The statement of the deadline that was looked at is over: the next one has not expired. */
TEST(a_deadline_that_was_another) {
    sqlpool_conn conn;
    sqlpool__slot *slot;
    begin_shared("another.db", NULL);
    CHECK_OK(sqlpool_conn_acquire(shared.pool, SQLPOOL_WRITE, &conn, &shared.error), &shared.error);
    slot = &shared.core->slots[sqlpool__lane_of(shared.core, SQLPOOL_WRITE)->first];
    slot->deadline_ns = 2000;
    sqlpool__lock(shared.core);
    sqlpool__interrupt_locked(slot, slot->number, 1000);
    CHECK(slot->expired != slot->number);
    sqlpool__interrupt_locked(slot, slot->number, 2000);
    CHECK(slot->expired == slot->number);
    sqlpool__unlock(shared.core);
    slot->deadline_ns = SQLPOOL__NEVER;
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&shared);
}

#ifndef SQLPOOL_NO_THREADS
/*  Who ends the schedule hears nothing from the handle any more: close has taken it. */
static int begun, has_fired; /* atomic */
static int run_until_fired(sqlpool *pool, const sqlpool_maintenance *options, void *user,
                           sqlpool_error *error) {
    int i;
    (void)pool;
    (void)user;
    (void)error;
    __atomic_store_n(&begun, 1, __ATOMIC_SEQ_CST);
    for (i = 0; i < 20000 && __atomic_load_n(&options->token->fired, __ATOMIC_SEQ_CST) == 0; i++)
        (void)usleep(1000);
    __atomic_store_n(&has_fired, (int)options->token->fired, __ATOMIC_SEQ_CST);
    return SQLPOOL_OK;
}
TEST(the_end_of_a_schedule_whose_handle_is_taken) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_schedule_config schedule;
    sqlpool_task task;
    sqlpool_error error;
    sqlpool *pool;
    sqlpool__core *core;
    int i;
    sim_remove_database("taken.db");
    CHECK_OK(sqlpool_open(&pool, "taken.db", &config, &error), &error);
    core = pool->core;
    memset(&schedule, 0, sizeof schedule);
    memset(&task, 0, sizeof task);
    task.name = "long";
    task.kind = SQLPOOL_TASK_CALL;
    task.interval_s = 3600;
    task.fn = run_until_fired;
    schedule.tasks = &task;
    schedule.count = 1;
    begun = has_fired = 0;
    CHECK_OK(sqlpool_schedule(pool, &schedule, &error), &error);
    for (i = 0; i < 20000 && __atomic_load_n(&begun, __ATOMIC_SEQ_CST) == 0; i++)
        (void)usleep(1000);
    sqlpool__publish(pool, NULL);
    sqlpool__plan_end(core);
    CHECK_INT(__atomic_load_n(&has_fired, __ATOMIC_SEQ_CST), 1);
    sqlpool__publish(pool, core);
    CHECK_OK(sqlpool_close(pool, &error), &error);
}
#endif

int main(void) {
    RUN(who_changes_to_the_writer);
    RUN(who_is_let_through_by_the_breaker);
    RUN(a_close_that_fails);
    RUN(a_close_beside_another);
    RUN(a_cancellation_that_comes_late);
    RUN(an_exclusive_section_ends_at_once);
    RUN(a_pause_that_was_replaced);
    RUN(a_failure_in_a_new_window);
    RUN(a_deadline_that_was_another);
#ifndef SQLPOOL_NO_THREADS
    RUN(the_end_of_a_schedule_whose_handle_is_taken);
#endif
    return test_end();
}
