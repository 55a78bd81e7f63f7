/*  run.h - what loops of runs in which something fails have in common. SPDX-License-Identifier: MIT OR Unlicense

    Included behind the library's implementation and the program's `run`, which knows one run and has
    these members: pool, step_name (what it does now), clock, random, locks, and why it fails. */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim/sim.h"

/*  The first failure is kept; returns 1. */
static int fail(run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(run *r, const char *format, ...) {
    va_list list;
    va_start(list, format);
    if (r->why[0] == '\0') (void)vsnprintf(r->why, sizeof r->why, format, list);
    va_end(list);
    return 1;
}

/*---- a run ----*/

/*  The simulator's memory, and its disk, whose syncs and sleeps take no time. */
static inline bool run_install(void) {
    if (sim_alloc_install() != SQLITE_OK || sim_vfs_install() != SQLITE_OK) {
        printf("# SQLite refuses the simulator\n0 passed, 1 failed\n");
        return false;
    }
    sim_vfs.skip_sync = 1;
    sim_vfs.skip_sleep = 1;
    return true;
}

/*  Every run begins with the same numbers, at the same time. */
static inline void run_from_the_start(run *r) {
    r->random.state = 42;
    r->clock.step_ns = 1000;
    r->locks.clock = &r->clock;
    r->locks.solo = 1;
}
/*  The pool has the simulator's memory, time, chance and locks, and no thread of its own. */
static inline void run_hooks(run *r, sqlpool_config *config) {
    config->disable_upkeep_thread = true;
    config->allocator = sim_allocator();
    config->clock = sim_clock_hooks(&r->clock);
    config->random = sim_random_hooks(&r->random);
    config->locks = sim_locks_hooks(&r->locks);
}
/*  After the pool is closed: the rules of the hooks were kept, and nothing leaks. */
static inline void run_check_rules(run *r, int64_t base_memory) {
    char why[400];
    if (r->why[0] != '\0') return;
    if (sim_alloc_check(why, sizeof why) || sim_locks_check(&r->locks, why, sizeof why)) {
        (void)fail(r, "%s", why);
    } else if (sqlite3_memory_used() != base_memory) {
        (void)fail(r, "sqlite3_memory_used is %lld above its base",
                   (long long)(sqlite3_memory_used() - base_memory));
    }
}
/*  Prints what failed, and forgets it for the next run. */
static inline void run_report(run *r) {
    printf("# %s: %s\n", sim_replay, r->why);
    if (getenv("SIM_VERBOSE") != NULL) sim_vfs_print_ring();
    fflush(stdout);
    sim_locks_forget(&r->locks);
    sim_alloc_forget();
}

/*---- how many of them ----*/

/*  Runs of which every n-th is made, so that all take about so many seconds. */
typedef struct pace {
    uint64_t stride;
    double seconds, slower;
    int64_t start;
    bool has_time; /* for all of them, as long as it takes */
} pace;

static inline pace pace_of(double needed, double seconds, bool has_time) {
    pace p = {1, seconds, 1.2, sim_real_ns(), has_time};
    if (!has_time && needed > seconds) p.stride = 1 + (uint64_t)(needed / seconds);
    return p;
}
static inline double pace_took(const pace *p) {
    return (double)(sim_real_ns() - p->start) / 1e9;
}
static inline void pace_keep(pace *p) {
    if (p->has_time || pace_took(p) <= p->seconds * p->slower) return;
    p->stride *= 2; /* a busy machine: the first run was no measure */
    p->slower += 0.5;
}

/*---- what their steps do ----*/

/*  Closes a cursor; the result is the first error of the walk. */
static inline int close_rows(sqlpool_rows *rows, int rc, sqlpool_error *e) {
    if (rc != SQLPOOL_OK) {
        (void)sqlpool_rows_close(rows, NULL);
        return rc;
    }
    return sqlpool_rows_close(rows, e);
}
/*  Gives a lease back; only after an error may it be unclean, or when it is `dirty`. */
static inline int give_back(run *r, sqlpool_conn *conn, int rc, bool dirty) {
    const int back = sqlpool_conn_release(conn);
    if (back == SQLPOOL_UNCLEAN && (dirty || rc != SQLPOOL_OK)) return rc;
    if (back != SQLPOOL_OK)
        return fail(r, "release in %s returned %s", r->step_name, sqlpool_result_name(back));
    if (dirty && rc == SQLPOOL_OK) return fail(r, "release of an unclean lease returned OK");
    return rc;
}
/*  A lease whose snapshot is kept between reads, a scope on it, and the question who has committed. */
static inline int read_snapshot(run *r, const char *sql, sqlpool_error *e) {
    sqlpool_conn conn;
    sqlpool_stamp stamp = {{0}};
    int i, rc = sqlpool_changed(r->pool, &stamp);
    if (rc != 1 && rc != SQLPOOL_UNSUPPORTED) return fail(r, "changed says %d", rc);
    rc = sqlpool_conn_acquire(r->pool, SQLPOOL_READ, &conn, e);
    if (rc != SQLPOOL_OK) return rc;
    for (i = 0; i < 3 && rc == SQLPOOL_OK; i++)
        rc = sqlpool_conn_exec(&conn, sql, SQLPOOL_NO_ARGS, NULL, e);
    if (rc == SQLPOOL_OK) rc = sqlpool_snapshot_begin(&conn, 0, e);
    for (i = 0; i < 2 && rc == SQLPOOL_OK; i++)
        rc = sqlpool_conn_exec(&conn, sql, SQLPOOL_NO_ARGS, NULL, e);
    if (rc == SQLPOOL_OK) rc = sqlpool_snapshot_end(&conn, e);
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_exec(&conn, sql, SQLPOOL_NO_ARGS, NULL, e);
    return give_back(r, &conn, rc, false);
}

/*  The pools of these runs have no upkeep thread, whose place the loop takes; snapshots are kept all
    the same, as in a pool that has one. */
static inline void keep_snapshots(sqlpool *pool) {
    sqlpool__core *core = pool->core;
    uint32_t i;
    core->config.snapshot_idle_ms = 50;
    for (i = 0; i + 1 < core->slot_count; i++) {
        sqlpool__slot *slot = &core->slots[i];
        slot->may_pin = slot->stamp_map != NULL && slot->role == SQLPOOL__ROLE_READER;
    }
}

#endif
