/*  unit.h - what the white-box programs share. SPDX-License-Identifier: MIT OR Unlicense

    A program defines SQLPOOL_IMPLEMENTATION, includes this file, and so has the
    rooms of the header in its own translation unit. Pools here run without upkeep thread, on virtual
    time and checked locks: nothing happens but what the test does. */
#ifndef UNIT_H
#define UNIT_H

#include "sqlpool.h"

#include "sim/sim.h"
#include "test.h"

#include <fcntl.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define MS SQLPOOL__NS_PER_MS

/*  Ends a test whose part failed. */
#define PART(call)                                                       \
    do {                                                                 \
        call;                                                            \
        if (__atomic_load_n(&test_failed_now, __ATOMIC_RELAXED)) return; \
    } while (0)

typedef struct unit_log {
    int counts[SQLPOOL_LOG_ITEM_COUNT];
    char last[SQLPOOL_LOG_ITEM_COUNT][1300];
    int errors; /* calls of the error hook */
    int last_error;
} unit_log;

/*  A pool with its clock, locks, log and the core behind the handle. */
typedef struct unit_pool {
    sqlpool *pool;
    sqlpool__core *core;
    sim_clock clock;
    sim_random random;
    sim_locks locks;
    unit_log log;
    sqlpool_error error;
} unit_pool;

static inline void unit_write_log(void *user, sqlpool_level level, sqlpool_log_item item,
                                  const char *message) {
    unit_log *log = (unit_log *)user;
    (void)level;
    log->counts[item]++;
    (void)snprintf(log->last[item], sizeof log->last[item], "%s", message);
}
static inline void unit_on_error(void *user, const sqlpool_error *error) {
    unit_log *log = (unit_log *)user;
    log->errors++;
    log->last_error = error->result;
}

/*  One writer and `readers` readers, no reserve, everything periodic by hand. */
static inline sqlpool_config unit_config(unit_pool *u, int readers) {
    sqlpool_config config = sqlpool_config_default();
    memset(u, 0, sizeof *u);
    u->random.state = 7;
    u->locks.clock = &u->clock;
    u->locks.solo = 1;
    config.min_connections = 1;
    config.max_connections = readers + 1;
    config.reserve_connections = SQLPOOL_OFF;
    config.disable_upkeep_thread = true;
    config.allocator = sim_allocator();
    config.clock = sim_clock_hooks(&u->clock);
    config.random = sim_random_hooks(&u->random);
    config.locks = sim_locks_hooks(&u->locks);
    config.log.user = &u->log;
    config.log.write_fn = unit_write_log;
    config.events.user = &u->log;
    config.events.error_fn = unit_on_error;
    return config;
}

static inline void unit_open(unit_pool *u, const char *path, const sqlpool_config *config) {
    const int rc = sqlpool_open(&u->pool, path, config, &u->error);
    if (rc != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "open: %s: %s", sqlpool_result_name(rc), u->error.message);
        return;
    }
    u->core = u->pool->core;
}

/*  A statement, of the pool or of a lease, or a script: what it gives; u->error says more. */
static inline int unit_exec(unit_pool *u, const char *sql) {
    return sqlpool_exec(u->pool, sql, SQLPOOL_NO_ARGS, &u->error);
}
static inline int unit_exec_on(unit_pool *u, sqlpool_conn *conn, const char *sql) {
    return sqlpool_conn_exec(conn, sql, SQLPOOL_NO_ARGS, NULL, &u->error);
}
static inline int unit_script(unit_pool *u, const char *sql) {
    return sqlpool_script(u->pool, sql, -1, &u->error);
}
/*  The number that a query gives; -2 when it fails. */
static inline int64_t unit_ask(unit_pool *u, const char *sql) {
    int64_t value = -1;
    return sqlpool_query_int64(u->pool, &value, sql, SQLPOOL_NO_ARGS, &u->error) == SQLPOOL_OK
               ? value
               : -2;
}

/*  Opens, and has the script, unless NULL, run. */
static inline void unit_open_with(unit_pool *u, const char *path, const sqlpool_config *config,
                                  const char *script) {
    unit_open(u, path, config);
    if (u->core != NULL && script != NULL && unit_script(u, script) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "script: %s", u->error.message);
}
/*  The same with a new file, whatever was there. */
static inline void unit_open_new(unit_pool *u, const char *path, const sqlpool_config *config,
                                 const char *script) {
    sim_remove_database(path);
    unit_open_with(u, path, config, script);
}
/*  The same with a table t of one row. */
static inline void unit_open_row(unit_pool *u, const char *path, const sqlpool_config *config) {
    unit_open_new(u, path, config, "CREATE TABLE t(v); INSERT INTO t VALUES(1)");
}
static inline void unit_begin_row(unit_pool *u, const char *path) {
    const sqlpool_config config = unit_config(u, 1);
    unit_open_row(u, path, &config);
}
/*  As unit_open_with(), with nothing set but the readers. */
static inline void unit_begin(unit_pool *u, const char *path, int readers, const char *script) {
    const sqlpool_config config = unit_config(u, readers);
    unit_open_with(u, path, &config, script);
}

/*  A file that SQLite alone has made: OK, or what went wrong. */
static inline int unit_make_file(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    int rc = sqlite3_open(path, &db), closed;
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    closed = sqlite3_close(db);
    return rc != SQLITE_OK ? rc : closed;
}

/*  Another connection, outside the pool, that has done this ("BEGIN EXCLUSIVE" ...). */
static inline sqlite3 *unit_other(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        test_fail(__FILE__, __LINE__, "%s: %s: %s", path, sql, sqlite3_errmsg(db));
    return db;
}

/*  Other bytes at a place of a file. */
static inline bool unit_overwrite(const char *path, int64_t at, const void *data, size_t bytes) {
    const int file = open(path, O_WRONLY);
    const bool is_ok = file >= 0 && pwrite(file, data, bytes, (off_t)at) == (ssize_t)bytes;
    return file >= 0 && close(file) == 0 && is_ok;
}

/*  The next call of that kind on the simulator's VFS fails with the code (0: the kind's own), and all
    later ones with `from_on`; until sim_vfs_heal(). */
static inline void unit_arm(int kind, int code, int from_on) {
    sim_vfs_fault fault;
    memset(&fault, 0, sizeof fault);
    fault.at = 1;
    fault.kind = kind;
    fault.code = code;
    fault.from_on = from_on;
    sim_vfs_arm(fault);
}

/*  For a connect_fn: an SQL function of the test's own. */
static inline int unit_add_function(const sqlpool_conn *conn, const char *name, int count,
                                    void (*fn)(sqlite3_context *, int, sqlite3_value **)) {
    sqlpool_conn own = *conn;
    return sqlite3_create_function(sqlpool_conn_db(&own), name, count, SQLITE_UTF8, NULL, fn, NULL,
                                   NULL);
}

/*  A call with a timeout of its own, and nothing else. */
static inline sqlpool_call unit_call(int timeout_ms) {
    sqlpool_call call;
    memset(&call, 0, sizeof call);
    call.timeout_ms = timeout_ms;
    return call;
}

/*  Closes, then nothing may be left: no memory, no lock, no broken rule. */
static inline void unit_close(unit_pool *u) {
    char why[700];
    sqlpool_error error;
    int rc = sqlpool_close(u->pool, &error);
    if (rc != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "close: %s: %s", sqlpool_result_name(rc), error.message);
    if (sim_locks_check(&u->locks, why, sizeof why) != 0)
        test_fail(__FILE__, __LINE__, "locks: %s", why);
    if (sim_alloc_check(why, sizeof why) != 0) test_fail(__FILE__, __LINE__, "memory: %s", why);
}

/*  Every call must give OK. */
#define CHECK_OK(call, error)                                                                   \
    do {                                                                                        \
        const int unit_rc = (call);                                                             \
        if (unit_rc != SQLPOOL_OK) {                                                            \
            test_fail(__FILE__, __LINE__, "%s gave %s (%d): %s", #call,                         \
                      sqlpool_result_name(unit_rc), unit_rc, (error)->message);                 \
            return;                                                                             \
        }                                                                                       \
    } while (0)

/*  A test that failed leaves its pool behind; the next one starts from nothing all the same. */
#undef RUN
#define RUN(name) (sim_alloc_heal(), sim_alloc_forget(), test_run(#name, name))

static inline sqlpool__slot *unit_slot(const sqlpool_conn *conn) {
    return &conn->pool->core->slots[conn->slot];
}

/*  The pool met a fault now, three times in a row, with this code on its first reader. */
static inline void unit_meet(unit_pool *u, int fault, int code, const char *message) {
    sqlpool__fault *it = &u->core->faults[fault];
    it->at_ns = u->clock.now_ns;
    it->count = it->in_row = 3;
    it->commits = sqlpool__counter(u->core, SQLPOOL__COUNT_commits);
    it->epoch = u->core->epoch;
    it->slot = 1;
    it->code = code;
    (void)snprintf(it->message, sizeof it->message, "%s", message);
}

/*  That statement of the pool's own (SQLPOOL__ROLLBACK ...) fails on this connection from now on. */
static inline void unit_break(sqlpool__slot *slot, int which) {
    (void)sqlite3_finalize(slot->own[which]);
    CHECK_INT(sqlite3_prepare_v2(slot->db, "SELECT abs(-9223372036854775808)", -1,
                                 &slot->own[which], NULL),
              SQLITE_OK);
}

#endif
