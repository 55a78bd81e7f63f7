/*  paths.c - white box: the ways that only an odd machine, an odd SQLite or an odd moment takes.
    SPDX-License-Identifier: MIT OR Unlicense

    Some of SQLite's functions are replaced by ones that can be told to answer otherwise: other
    versions, builds without threads, calls that fail where SQLite's own do not in a test. */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION

#include <limits.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>

static int version_now = SQLITE_VERSION_NUMBER, threadsafe_now = 1, readonly_now = -1;
static int fail_file_control, fail_dup, fail_open_in, fail_names, no_vfs, no_filename;
static int fail_open_code = SQLITE_NOMEM;

static int path_version(void) {
    return version_now;
}
static int path_threadsafe(void) {
    return threadsafe_now;
}
static int path_readonly(sqlite3 *db, const char *name) {
    return readonly_now >= 0 ? readonly_now : sqlite3_db_readonly(db, name);
}
static int path_file_control(sqlite3 *db, const char *name, int op, void *argument) {
    return fail_file_control ? SQLITE_ERROR : sqlite3_file_control(db, name, op, argument);
}
static sqlite3_value *path_dup(const sqlite3_value *value) {
    return fail_dup ? NULL : sqlite3_value_dup(value);
}
static int path_open(const char *path, sqlite3 **db, int flags, const char *vfs) {
    if (fail_open_in > 0 && --fail_open_in == 0) {
        *db = NULL;
        return fail_open_code;
    }
    return sqlite3_open_v2(path, db, flags, vfs);
}
static sqlite3_vfs *path_vfs_find(const char *name) {
    return no_vfs ? NULL : sqlite3_vfs_find(name);
}
static const char *path_filename(sqlite3 *db, const char *name) {
    return no_filename ? "" : sqlite3_db_filename(db, name);
}
static const char *path_column_name(sqlite3_stmt *statement, int column) {
    return sqlite3_column_name(statement, column);
}
/*  SQLite counts in an int, from the connection's first change on; here from later on. */
static unsigned changes_before;
static int path_total_changes(sqlite3 *db) {
    return (int)((unsigned)sqlite3_total_changes(db) + changes_before);
}
/*  A function, not a condition in a macro, which coverage takes for one of the header's. */
static char *path_mprintf(const char *format, ...) {
    char *text;
    va_list list;
    if (fail_names > 0 && --fail_names == 0) return NULL;
    va_start(list, format);
    text = sqlite3_vmprintf(format, list);
    va_end(list);
    return text;
}
#define sqlite3_total_changes path_total_changes
#define sqlite3_libversion_number path_version
#define sqlite3_threadsafe path_threadsafe
#define sqlite3_db_readonly path_readonly
#define sqlite3_file_control path_file_control
#define sqlite3_value_dup path_dup
#define sqlite3_open_v2 path_open
#define sqlite3_vfs_find path_vfs_find
#define sqlite3_db_filename path_filename
#define sqlite3_column_name path_column_name
#define sqlite3_mprintf path_mprintf
#include "sqlpool.h"
#undef sqlite3_total_changes
#undef sqlite3_libversion_number
#undef sqlite3_threadsafe
#undef sqlite3_db_readonly
#undef sqlite3_file_control
#undef sqlite3_value_dup
#undef sqlite3_open_v2
#undef sqlite3_vfs_find
#undef sqlite3_db_filename
#undef sqlite3_column_name
#undef sqlite3_mprintf

#include "unit.h"

/*---- versions ----*/

static int warnings_for(int version) {
    unit_pool u;
    const sqlpool_config config = unit_config(&u, 1);
    int count;
    sqlpool__global.version_warned = 0;
    unit_open(&u, "version.db", &config);
    if (test_failed_now) return -1;
    u.log.counts[SQLPOOL_LOG_SQLITE_VERSION] = 0;
    sqlpool__global.version_warned = 0;
    version_now = version;
    sqlpool__warn_of_version(u.core);
    sqlpool__warn_of_version(u.core); /* once in a process */
    count = u.log.counts[SQLPOOL_LOG_SQLITE_VERSION];
    version_now = SQLITE_VERSION_NUMBER;
    unit_close(&u);
    return count;
}

TEST(versions_with_the_reset_bug) {
    static const struct {
        int version;
        bool fixed;
    } table[] = {{3044005, false}, {3044006, true},  {3044999, true},  {3045000, false},
                 {3050006, false}, {3050007, true},  {3050999, true},  {3051000, false},
                 {3051002, false}, {3051003, true},  {3052000, true},  {4000000, true}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        const int older = table[i].version < SQLITE_VERSION_NUMBER ? 2 : 0; /* said both times */
        CHECK_INT(warnings_for(table[i].version), older + (table[i].fixed ? 0 : 1));
    }
    CHECK_INT(warnings_for(SQLITE_VERSION_NUMBER - 1) >= 2, 1);
}

TEST(versions_that_cannot_be_used) {
    unit_pool u;
    const sqlpool_config config = unit_config(&u, 1);
    version_now = 3030001;
    CHECK_INT(sqlpool_open(&u.pool, "old.db", &config, &u.error), SQLPOOL_UNSUPPORTED);
    CHECK_HAS(u.error.message, "older than 3.31");
    version_now = SQLITE_VERSION_NUMBER;
    threadsafe_now = 0;
    CHECK_INT(sqlpool_open(&u.pool, "old.db", &config, &u.error), SQLPOOL_UNSUPPORTED);
    CHECK_HAS(u.error.message, "SQLPOOL_NO_THREADS");
    threadsafe_now = 1;
}

/*  Below 3.36 a memory database cannot be shared: one connection, which is the database. */
TEST(memory_before_memdb) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 4), resolved;
    sqlpool_conn conn;
    config.max_lifetime_ms = 5;
    config.reserve_connections = 3;
    version_now = 3035005;
    PART(unit_open(&u, ":memory:", &config));
    CHECK_INT(sqlpool_config_resolved(u.pool, &resolved), SQLPOOL_OK);
    CHECK_INT(resolved.max_connections, 1);
    CHECK_INT(resolved.min_connections, 1);
    CHECK_INT(resolved.topology, SQLPOOL_TOPOLOGY_GENERAL);
    CHECK_INT(resolved.max_lifetime_ms, SQLPOOL_OFF);
    CHECK(u.core->keep_alive == NULL);
    CHECK_STR(u.core->path, ":memory:");
    CHECK_OK(unit_script(&u, "CREATE TABLE t(a); INSERT INTO t VALUES(7)"), &u.error);
    u.clock.now_ns += 100000000 * MS;
    (void)sqlpool__upkeep_pass(u.core, SQLPOOL__NEVER);
    CHECK_INT(sqlpool_recycle(u.pool), SQLPOOL_UNSUPPORTED);
    CHECK_INT(unit_ask(&u, "SELECT a FROM t"), 7);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
    version_now = SQLITE_VERSION_NUMBER;
}

/*---- opening ----*/

TEST(opening_without_a_vfs_or_a_name) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    no_vfs = 1;
    CHECK(sqlpool_open(&u.pool, "novfs.db", &config, &u.error) != SQLPOOL_OK);
    no_vfs = 0;
    no_filename = 1;
    CHECK_INT(sqlpool_open(&u.pool, "noname.db", &config, &u.error), SQLPOOL_NOMEM);
    CHECK_HAS(u.error.message, "full path");
    no_filename = 0;
    fail_open_in = 1;
    CHECK_INT(sqlpool_open(&u.pool, ":memory:", &config, &u.error), SQLITE_NOMEM);
    CHECK_HAS(u.error.message, "memory database");
    fail_open_in = 1;
    CHECK_INT(sqlpool_open(&u.pool, "noopen.db", &config, &u.error), SQLITE_NOMEM);
    fail_open_in = 0;
    CHECK_INT(u.locks.live_mutexes + u.locks.live_conditions, 0);
    CHECK_INT(sim_alloc.live_blocks[SIM_DOOR_LIBRARY], 0);
}

TEST(file_that_turns_out_to_be_read_only) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 2), resolved;
    int64_t value;
    config.min_connections = 2;
    readonly_now = 1;
    PART(unit_open(&u, "readonly.db", &config));
    readonly_now = -1;
    CHECK_INT(u.log.counts[SQLPOOL_LOG_FALLBACK], 1);
    CHECK_INT(sqlpool_config_resolved(u.pool, &resolved), SQLPOOL_OK);
    CHECK(resolved.read_only);
    CHECK(u.core->slots[0].role == SQLPOOL__ROLE_READER);
    CHECK_INT(unit_exec(&u, "CREATE TABLE t(a)"), SQLITE_READONLY);
    CHECK_HAS(u.error.message, "is read-only");
    CHECK_OK(sqlpool_query_int64(u.pool, &value, "SELECT 1", SQLPOOL_NO_ARGS, &u.error), &u.error);
    {
        char text[8192];
        CHECK(sqlpool_status_text(u.pool, text, sizeof text) > 0);
        CHECK_HAS(text, "read-only");
        CHECK(sqlpool_status_json(u.pool, text, sizeof text) > 0);
        CHECK_HAS(text, "\"read_only\":true");
    }
    unit_close(&u);
}

/*  A VFS without shared memory grants no WAL: the pool goes on with what there is, and says so. */
TEST(journal_that_is_not_granted) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1), resolved;
    config.vfs_name = "unix-dotfile";
    PART(unit_open(&u, "dotfile.db", &config));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_FALLBACK], 1);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_FALLBACK], "journal_mode=wal is not available here");
    CHECK_INT(sqlpool_config_resolved(u.pool, &resolved), SQLPOOL_OK);
    CHECK_INT(resolved.journal, SQLPOOL_JOURNAL_DELETE);
    CHECK(u.core->is_shared_gate && !u.core->is_wal);
    u.core->config.journal = SQLPOOL_JOURNAL_WAL; /* as if the first opening had found a WAL */
    CHECK_INT(sqlpool_recycle(u.pool), SQLITE_CANTOPEN);
    u.core->config.journal = SQLPOOL_JOURNAL_DELETE;
    u.clock.now_ns += 1000 * MS;
    CHECK_OK(unit_exec(&u, "CREATE TABLE t(a)"), &u.error);
    CHECK_INT(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error),
              SQLPOOL_UNSUPPORTED);
    unit_close(&u);
}

/*  The change to WAL waits for whoever reads the file, and no longer than open_timeout_ms. */
TEST(journal_change_that_must_wait) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlite3 *db = NULL;
    sqlite3_stmt *reader = NULL;
    int64_t start;
    CHECK_INT(sqlite3_open("busyopen.db", &db), SQLITE_OK);
    CHECK_INT(sqlite3_exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES(1),(2)", NULL, NULL, NULL),
              0);
    CHECK_INT(sqlite3_prepare_v2(db, "SELECT a FROM t", -1, &reader, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_step(reader), SQLITE_ROW);
    config.open_timeout_ms = 30;
    start = u.clock.now_ns;
    CHECK_INT(sqlpool_open(&u.pool, "busyopen.db", &config, &u.error), SQLPOOL_TIMEOUT);
    CHECK_INT(u.error.sqlite_code & 0xff, SQLITE_BUSY);
    CHECK_INT(u.clock.now_ns - start, 30 * MS);
    (void)sqlite3_finalize(reader);
    PART(unit_open(&u, "busyopen.db", &config));
    CHECK(u.core->is_wal);
    unit_close(&u);
    /* away from WAL while someone has the file open: SQLite refuses without asking */
    CHECK_INT(sqlite3_exec(db, "PRAGMA journal_mode=wal; SELECT * FROM t", NULL, NULL, NULL), 0);
    config.journal = SQLPOOL_JOURNAL_DELETE;
    start = u.clock.now_ns;
    CHECK_INT(sqlpool_open(&u.pool, "busyopen.db", &config, &u.error), SQLITE_BUSY);
    CHECK_INT(u.clock.now_ns - start, 30 * MS);
    CHECK(u.clock.sleeps >= 30);
    (void)sqlite3_close(db);
    PART(unit_open(&u, "busyopen.db", &config));
    CHECK(!u.core->is_wal);
    unit_close(&u);
}

TEST(pragma_that_is_not_granted) {
    unit_pool u;
    int64_t granted = 0;
    PART(unit_begin(&u, "granted.db", 1, NULL));
    CHECK_INT(sqlpool__set_pragma(&u.core->slots[0], "mmap_size", INT64_C(1) << 42, &granted), 0);
    CHECK(granted < INT64_C(1) << 42);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_FALLBACK], 1);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_FALLBACK], "PRAGMA mmap_size=4398046511104");
    CHECK(sqlpool__set_pragma(&u.core->slots[0], "mmap_size = = ", 1, &granted) != SQLITE_OK);
    CHECK_INT(sqlpool__set_pragma(&u.core->slots[0], "mmap_size", 0, &granted), SQLITE_OK);
    CHECK_INT(sqlpool__set_pragma(&u.core->slots[0], "no_such", 5, &granted), SQLITE_OK);
    CHECK_INT(granted, 0); /* an unknown one answers nothing */
    unit_close(&u);
}

TEST(page_cache_shares) {
    unit_pool u;
    sqlpool__slot slot;
    PART(unit_begin(&u, ":memory:", 4, NULL));
    memset(&slot, 0, sizeof slot);
    slot.core = u.core;
    u.core->config.page_cache_kib = 65536;
    slot.role = SQLPOOL__ROLE_WRITER;
    CHECK_INT(sqlpool__cache_kib(&slot), 16384);
    slot.role = SQLPOOL__ROLE_READER;
    CHECK_INT(sqlpool__cache_kib(&slot), 12288);
    slot.role = SQLPOOL__ROLE_ANY;
    CHECK_INT(sqlpool__cache_kib(&slot), 13107);
    slot.role = SQLPOOL__ROLE_CHECKPOINTER;
    CHECK_INT(sqlpool__cache_kib(&slot), 64);
    u.core->config.page_cache_kib = 1 << 30;
    slot.role = SQLPOOL__ROLE_READER;
    CHECK_INT(sqlpool__cache_kib(&slot), (INT64_C(3) << 28) / 4);
    u.core->config.page_cache_kib = 1;
    CHECK_INT(sqlpool__cache_kib(&slot), 64);
    u.core->config.max_connections = 1; /* a read-only pool of one */
    CHECK_INT(sqlpool__cache_kib(&slot), 64);
    u.core->config.max_connections = 5;
    unit_close(&u);
}

static sqlpool *hook_pool;
static int hook_calls;
static int connect_that_queries(void *user, const sqlpool_conn *conn) {
    int64_t value = 0;
    (void)user;
    if (hook_calls++ > 0) return SQLPOOL_OK;
    hook_pool = conn->pool;
    return sqlpool_query_int64(conn->pool, &value, "SELECT 1", SQLPOOL_NO_ARGS, NULL);
}

/*  The hook of the first connection asks the pool: that opens the second one before its time. */
TEST(connect_hook_that_opens_the_next) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 2);
    config.min_connections = 3;
    config.events.connect_fn = connect_that_queries;
    PART(unit_open(&u, "early.db", &config));
    CHECK(hook_pool == u.pool);
    CHECK_INT(hook_calls, 3);
    CHECK_INT(sqlpool__open_count(u.core), 3);
    unit_close(&u);
}

static int connect_that_keeps(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    sqlite3_stmt *statement = NULL;
    (void)user;
    (void)sqlpool_conn_stmt(&lease, "SELECT 1", &statement, NULL);
    (void)sqlite3_step(statement);
    return SQLITE_PERM;
}

TEST(connect_hook_that_fails_half_way) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 2);
    config.events.connect_fn = connect_that_keeps;
    CHECK_INT(sqlpool_open(&u.pool, "half.db", &config, &u.error), SQLITE_PERM);
    CHECK_INT(sim_alloc.live_blocks[SIM_DOOR_LIBRARY], 0);
}

TEST(budget_above_the_limit) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_error error;
    config.wal_budget_bytes = 8192;
    config.wal_limit_bytes = 4096;
    CHECK_INT(sqlpool_config_check(&config, &error), SQLPOOL_CONFIG);
    CHECK_HAS(error.message, "wal_budget_bytes is 8192, above wal_limit_bytes 4096");
}

/*  Each allocation of opening with warm-up texts fails in turn. */
TEST(no_memory_for_the_texts) {
    static const char *const warm[] = {"SELECT 1", "SELECT 2"};
    uint64_t n;
    bool opened = false;
    for (n = 1; n < 60 && !opened; n++) {
        unit_pool u;
        sqlpool_config config = unit_config(&u, 1);
        config.warmup_sql = warm;
        config.warmup_count = 2;
        sim_alloc_fail(n, 0);
        if (sqlpool_open(&u.pool, "texts.db", &config, &u.error) == SQLPOOL_OK) {
            opened = sim_alloc.failed == 0;
            sim_alloc_heal();
            PART(unit_close(&u));
        } else {
            CHECK_INT(u.error.result, SQLPOOL_NOMEM);
            sim_alloc_heal();
            CHECK_INT(sim_alloc.live_blocks[SIM_DOOR_LIBRARY], 0);
        }
    }
    CHECK(opened && n > 8);
}

/*---- odd moments ----*/

TEST(file_control_that_fails_means_not_moved) {
    unit_pool u;
    PART(unit_begin(&u, "control.db", 1, NULL));
    fail_file_control = 1;
    CHECK(!sqlpool__has_moved(&u.core->slots[0]));
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), &u.error);
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), &u.error);
    fail_file_control = 0;
    unit_close(&u);
}

static unit_pool *gate_pool;
static uint32_t gate_bit;
static int gate_in;
static uint64_t id_that_closes_the_gate(void *user) {
    (void)user;
    if (gate_in > 0 && --gate_in == 0) gate_pool->core->gate |= gate_bit;
    return sim_thread_id(NULL);
}

/*  The gate closes after the fast path has taken a slot and before it looks again. */
TEST(gate_that_closes_behind_the_taker) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    const sqlpool_call call = unit_call(SQLPOOL_NO_WAIT);
    sqlpool_conn conn;
    config.locks.thread_id_fn = id_that_closes_the_gate;
    PART(unit_open(&u, "closing.db", &config));
    gate_pool = &u;
    gate_bit = SQLPOOL__GATE_PAUSED;
    gate_in = 1;
    CHECK_INT(sqlpool_conn_acquire_with(u.pool, SQLPOOL_WRITE, &call, &conn, &u.error),
              SQLPOOL_WOULD_BLOCK);
    CHECK(!sqlpool__is_leased(&u.core->slots[0])); /* it was given back */
    u.core->gate = 0;
    gate_bit = SQLPOOL__GATE_CLOSED;
    gate_in = 1;
    CHECK_INT(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), SQLPOOL_CLOSED);
    CHECK_INT(u.core->inside, 0);
    u.core->gate = 0;
    gate_bit = 0;
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

TEST(calls_on_a_closing_pool) {
    unit_pool u;
    PART(unit_begin(&u, "calls.db", 1, NULL));
    u.core->gate = SQLPOOL__GATE_CLOSED;
    CHECK_INT(sqlpool_tick(u.pool, 0), SQLPOOL_CLOSED);
    CHECK_INT(sqlpool_recycle(u.pool), SQLPOOL_CLOSED);
    CHECK_INT(sqlpool_pause(u.pool, 1, &u.error), SQLPOOL_CLOSED);
    CHECK_INT(sqlpool_exclusive(u.pool, 1, NULL, NULL, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_sync(u.pool, 0, 0, &u.error), SQLPOOL_CLOSED);
    u.core->gate = 0;
    CHECK_INT(sqlpool_pause(u.pool, -1, &u.error), SQLPOOL_MISUSE);
    u.core->is_closing = true;
    CHECK_INT(sqlpool_close(u.pool, &u.error), SQLPOOL_CLOSED);
    CHECK_HAS(u.error.message, "another thread");
    u.core->is_closing = false;
    CHECK_INT(u.core->inside, 0);
    unit_close(&u);
}

static void *go_outside_later(void *core) {
    sim_real_sleep_ns(20 * MS);
    SQLPOOL__STORE(&((sqlpool__core *)core)->ticking, 0u);
    sim_real_sleep_ns(20 * MS);
    SQLPOOL__STORE(&((sqlpool__core *)core)->inside, 0u);
    return NULL;
}

/*  Close waits for a tick that is inside, and for calls on their way out. */
TEST(close_waits_for_who_is_inside) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    pthread_t thread;
    int64_t start;
    u.locks.clock = NULL;
    memset(&config.clock, 0, sizeof config.clock);
    PART(unit_open(&u, "inside.db", &config));
    u.core->ticking = 1;
    SQLPOOL__STORE(&u.core->inside, 1u); /* as if another thread were */
    start = sim_real_ns();
    CHECK_INT(pthread_create(&thread, NULL, go_outside_later, u.core), 0);
    unit_close(&u);
    CHECK(sim_real_ns() - start >= 39 * MS);
    CHECK_INT(pthread_join(thread, NULL), 0);
}

TEST(close_with_a_buffer_out) {
    unit_pool u;
    sqlpool_rows rows;
    PART(unit_begin(&u, "buffer.db", 1, "CREATE TABLE t(a)"));
    CHECK_OK(sqlpool_query(u.pool, &rows, "INSERT INTO t VALUES(1) RETURNING a", SQLPOOL_NO_ARGS,
                           &u.error),
             &u.error);
    CHECK_INT(sqlpool_close(u.pool, &u.error), SQLPOOL_TIMEOUT);
    CHECK_HAS(u.error.message, "1 buffered results");
    CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
    unit_close(&u);
}

/*---- leases, cursors, transactions ----*/

static int leaves_a_begin(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_begin(conn, NULL);
}
static int ends_too_much(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_rollback(conn, NULL);
}

TEST(misuse_of_leases) {
    unit_pool u;
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlite3_stmt *statement;
    int misuses;
    PART(unit_begin(&u, "misuse.db", 1, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    misuses = (int)u.core->counters[SQLPOOL__COUNT_misuses];
    CHECK_INT(sqlpool_conn_stmt(&conn, "SELECT 1", NULL, &u.error), SQLPOOL_MISUSE);
    CHECK_HAS(u.error.message, "statement is NULL");
    CHECK_INT(sqlpool_conn_stmt(&conn, NULL, &statement, &u.error), SQLPOOL_MISUSE);
    CHECK_HAS(u.error.message, "sql is NULL");
    CHECK(statement == NULL);
    CHECK_INT(sqlpool_conn_transaction(&conn, NULL, NULL, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(unit_exec_on(&u, &conn, NULL), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_query(&conn, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &u.error),
              SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_query(&conn, &rows, NULL, SQLPOOL_NO_ARGS, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_rows_close(&rows, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_script(&conn, NULL, -1, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_script(&conn, "SELECT 1", -2, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_script(&conn, "SELECT 1", INT32_MAX, &u.error), SQLITE_TOOBIG);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, NULL), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_set_timeout(&conn, -2), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_commit(&conn, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_rollback(&conn, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_transaction(&conn, leaves_a_begin, NULL, &u.error), SQLPOOL_MISUSE);
    CHECK_HAS(u.error.message, "left a begin");
    CHECK_INT(sqlpool_conn_transaction(&conn, ends_too_much, NULL, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(unit_slot(&conn)->depth, 0);
    CHECK(sqlite3_get_autocommit(unit_slot(&conn)->db) != 0);
    CHECK((int)u.core->counters[SQLPOOL__COUNT_misuses] - misuses >= 12);
    CHECK_INT(sqlite3_exec(sqlpool_conn_db(&conn), "BEGIN", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlpool_conn_begin(&conn, &u.error), SQLPOOL_MISUSE);
    CHECK_HAS(u.error.message, "raw handle");
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
    unit_close(&u);
}

TEST(cursors_that_outlive) {
    unit_pool u;
    sqlpool_conn conn;
    sqlpool_rows rows, other;
    PART(unit_begin(&u, "outlive.db", 1, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_query(&conn, &rows, "SELECT 1", SQLPOOL_NO_ARGS, &u.error), &u.error);
    other = rows;
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
    CHECK_INT(sqlpool_rows_close(&rows, &u.error), SQLPOOL_MISUSE);
    CHECK_HAS(u.error.message, "ended before the cursor");
    CHECK_INT(sqlpool_rows_close(&rows, &u.error), SQLPOOL_MISUSE);
    CHECK(sqlpool_rows_name(&other, 0) == NULL);
    CHECK(!sqlpool_rows_next(&other));
    CHECK_INT(sqlpool_rows_close(&other, NULL), SQLPOOL_MISUSE);
    /* in the child of a fork nothing of the cursor may be touched */
    CHECK_OK(sqlpool_query(u.pool, &rows, "SELECT 1", SQLPOOL_NO_ARGS, &u.error), &u.error);
    other = rows;
    sqlpool__global.forked = 1; /* as the fork handler does in the child */
    u.pool->alive = 0;
    CHECK(!sqlpool_rows_next(&other));
    CHECK_INT(sqlpool_rows_close(&other, &u.error), SQLPOOL_FORKED);
    CHECK_HAS(u.error.message, "forked");
    u.pool->alive = u.pool->serial;
    sqlpool__global.forked = 0;
    CHECK(sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
    CHECK_INT(sqlpool_rows_close(NULL, &u.error), SQLPOOL_MISUSE);
    CHECK(!sqlpool_rows_next(NULL));
    CHECK_INT(sqlpool_rows_column_count(NULL), 0);
    CHECK(sqlpool_rows_name(NULL, 0) == NULL);
    CHECK_INT(sqlpool_rows_int64(NULL, 0), 0);
    unit_close(&u);
}

/*  A cursor's deadline is armed again after another statement of its lease has run. */
TEST(cursor_deadline_comes_back) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlpool__slot *slot;
    int64_t deadline;
    config.statement_timeout_ms = 100;
    PART(unit_open(&u, "again.db", &config));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    slot = unit_slot(&conn);
    CHECK_OK(sqlpool_conn_query(&conn, &rows, "VALUES(1),(2),(3)", SQLPOOL_NO_ARGS, &u.error),
             &u.error);
    deadline = u.clock.now_ns + 100 * MS;
    CHECK_INT(slot->deadline_ns, deadline);
    CHECK(sqlpool_rows_next(&rows));
    u.clock.now_ns += 10 * MS;
    CHECK_OK(unit_exec_on(&u, &conn, "SELECT 1"), &u.error);
    CHECK_INT(slot->deadline_ns, SQLPOOL__NEVER);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(slot->deadline_ns, deadline);
    CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
    CHECK_INT(slot->deadline_ns, SQLPOOL__NEVER);
    /* a lease that ran into its deadline works again with a later one */
    CHECK_INT(sqlpool_conn_set_timeout(&conn, 5), SQLPOOL_OK);
    slot->expired = slot->number;
    CHECK_OK(unit_exec_on(&u, &conn, "SELECT 1"), &u.error);
    CHECK(slot->expired == UINT64_MAX);
    u.clock.now_ns += 5 * MS;
    CHECK_INT(unit_exec_on(&u, &conn, "SELECT 1"), SQLPOOL_TIMEOUT);
    CHECK_INT(sqlpool_conn_set_timeout(&conn, SQLPOOL_FOREVER), SQLPOOL_OK);
    CHECK_OK(unit_exec_on(&u, &conn, "SELECT 1"), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

/*  RETURNING when memory is short at each place: nothing is changed, nothing is lost. */
TEST(no_memory_for_returning) {
    static const char sql[] = "INSERT INTO t VALUES(1) RETURNING a, a + 1";
    unit_pool u;
    sqlpool_rows rows;
    int way;
    PART(unit_begin(&u, "returning.db", 1, "CREATE TABLE t(a)"));
    CHECK_OK(unit_exec(&u, sql), &u.error);
    for (way = 0; way < 6; way++) {
        if (way < 3) sim_alloc_fail((uint64_t)way + 1, 0); /* the buffer, the names, the cells */
        if (way == 3) fail_dup = 1;
        if (way >= 4) fail_names = way - 3;
        CHECK_INT(sqlpool_query(u.pool, &rows, sql, SQLPOOL_NO_ARGS, &u.error), SQLPOOL_NOMEM);
        CHECK_HAS(u.error.message, "nothing was changed");
        sim_alloc_heal();
        fail_dup = fail_names = 0;
        CHECK_INT(u.core->buffers_out, 0);
        CHECK_INT(u.log.counts[SQLPOOL_LOG_UNCLEAN], 0); /* it cleans up after itself */
        CHECK_INT(sqlpool_rows_close(&rows, NULL), SQLPOOL_NOMEM);
    }
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 1);
    unit_close(&u);
}

/*  A ROLLBACK that fails: the connection is not used again. */
TEST(rollback_that_fails) {
    unit_pool u;
    sqlpool_conn conn;
    sqlpool__slot *slot;
    PART(unit_begin(&u, "rollback.db", 1, "CREATE TABLE t(a)"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    slot = unit_slot(&conn);
    PART(unit_break(slot, SQLPOOL__ROLLBACK));
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_OK(unit_exec_on(&u, &conn, "INSERT INTO t VALUES(1)"), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
    CHECK(slot->db == NULL);
    CHECK_INT(slot->counters[SQLPOOL__COUNT_closed_bad], 1);
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(2)"), &u.error);
    CHECK_INT(unit_ask(&u, "SELECT sum(a) FROM t"), 2);
    unit_close(&u);
}

/*  An inner level that is rolled back is gone: a loop of them piles up no savepoints. */
TEST(a_level_that_was_rolled_back_is_gone) {
    unit_pool u;
    sqlpool_conn conn;
    sqlpool__slot *slot;
    PART(unit_begin(&u, "level.db", 1, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    slot = unit_slot(&conn);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_rollback(&conn, &u.error), &u.error);
    CHECK_INT(sqlite3_exec(slot->db, "RELEASE sqlpool_1", NULL, NULL, NULL), SQLITE_ERROR);
    CHECK_OK(sqlpool_conn_commit(&conn, &u.error), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

/*  A savepoint that cannot be undone: half of it is there, so nobody goes on with the connection. */
TEST(savepoint_that_cannot_be_undone) {
    unit_pool u;
    sqlpool_conn conn;
    sqlpool__slot *slot;
    PART(unit_begin(&u, "savepoint.db", 1, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    slot = unit_slot(&conn);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_INT(sqlite3_exec(slot->db, "RELEASE sqlpool_1", NULL, NULL, NULL), SQLITE_OK);
    CHECK(sqlpool_conn_rollback(&conn, &u.error) != SQLPOOL_OK);
    CHECK(slot->is_bad);
    CHECK_INT(slot->depth, 1);
    (void)sqlpool_conn_release(&conn);
    CHECK(slot->db == NULL);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_INT(sqlite3_exec(slot->db, "RELEASE sqlpool_1", NULL, NULL, NULL), SQLITE_OK);
    CHECK(sqlpool_conn_commit(&conn, &u.error) != SQLPOOL_OK); /* the level stays open */
    CHECK_INT(slot->depth, 2);
    (void)sqlpool_conn_release(&conn);
    unit_close(&u);
}

/*  Should the text look like a read and SQLite say that it writes: the writer, before it ran. */
TEST(statement_that_moves_to_the_writer) {
    unit_pool u;
    sqlpool_conn conn;
    sqlpool__stmt *stmt;
    const char *sql = "SELECT 123";
    PART(unit_begin(&u, "moves.db", 1, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool__stmt_get(unit_slot(&conn), sql, &stmt, &u.error), &u.error);
    stmt->is_read_only = false; /* no SQL of today does this */
    sqlpool__stmt_put(unit_slot(&conn), stmt);
    CHECK_INT(unit_exec_on(&u, &conn, sql), SQLITE_READONLY);
    CHECK_HAS(u.error.message, "acquire with SQLPOOL_WRITE");
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(unit_exec(&u, sql), &u.error);
    CHECK_INT(u.core->slots[0].counters[SQLPOOL__COUNT_statements], 1);
    unit_close(&u);
}

/*  PRAGMA names may be quoted. */
TEST(quoted_pragma_goes_to_the_writer) {
    static const char *const texts[] = {"PRAGMA user_version = 3", "PRAGMA \"user_version\" = 4",
                                        "PRAGMA 'user_version' = 5", "PRAGMA main.[user_version](6)",
                                        "PRAGMA `application_id` = 7"};
    unit_pool u;
    size_t i;
    PART(unit_begin(&u, "quoted.db", 1, NULL));
    for (i = 0; i < LENGTH(texts); i++) {
        if (unit_exec(&u, texts[i]) != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "%s: %s", texts[i], u.error.message);
    }
    unit_close(&u);
}

static int exclusive_result;
static int exclusive_work(sqlpool_conn *conn, void *user) {
    (void)user;
    if (exclusive_result == 99) return sqlpool_conn_release(conn);
    return exclusive_result;
}

TEST(exclusive_sections) {
    unit_pool u;
    PART(unit_begin(&u, "exclusive.db", 1, NULL));
    CHECK_INT(sqlpool_exclusive(u.pool, -1, exclusive_work, NULL, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_exclusive(u.pool, 0, NULL, NULL, &u.error), SQLPOOL_MISUSE);
    CHECK_OK(sqlpool_exclusive(u.pool, 0, exclusive_work, NULL, &u.error), &u.error);
    exclusive_result = SQLITE_FULL;
    CHECK_INT(sqlpool_exclusive(u.pool, 10, exclusive_work, NULL, &u.error), SQLITE_FULL);
    CHECK_HAS(u.error.message, "the exclusive function returned 13");
    exclusive_result = 99; /* it gives the lease back itself */
    CHECK_OK(sqlpool_exclusive(u.pool, 10, exclusive_work, NULL, &u.error), &u.error);
    CHECK_INT(u.core->gate, 0);
    CHECK(!u.core->is_bypassed);
    unit_close(&u);
}

/*  Recycling a moved file while something of the old one is beside the path, or cannot be seen. */
TEST(old_log_beside_the_path) {
    unit_pool u;
    FILE *file;
    PART(unit_begin(&u, "oldlog.db", 1, "CREATE TABLE t(a)"));
    CHECK(sqlpool__has_old_log(u.core)); /* our own log is there */
    CHECK_HAS(u.log.last[SQLPOOL_LOG_MOVED], "oldlog.db-wal");
    fail_names = 1;
    CHECK(sqlpool__has_old_log(u.core)); /* cannot tell: as if */
    fail_names = 0;
    u.core->config.enable_uri = true; /* the path is a URI: no file name to look at */
    CHECK(!sqlpool__has_old_log(u.core));
    u.core->config.enable_uri = false;
    no_vfs = 1;
    CHECK(!sqlpool__has_old_log(u.core));
    no_vfs = 0;
    unit_close(&u);
    CHECK((file = fopen("oldlog.db-journal", "w")) != NULL);
    (void)fclose(file);
    CHECK_INT(remove("oldlog.db-journal"), 0);
}

TEST(commit_of_a_cancelled_lease) {
    unit_pool u;
    sqlpool_conn conn;
    PART(unit_begin(&u, "cancelled.db", 1, "CREATE TABLE t(a)"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_OK(unit_exec_on(&u, &conn, "INSERT INTO t VALUES(1)"), &u.error);
    CHECK_INT(sqlpool_conn_cancel(conn), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_commit(&conn, &u.error), SQLPOOL_CANCELLED);
    CHECK_INT(unit_slot(&conn)->depth, 1); /* open: rollback still works */
    CHECK_OK(sqlpool_conn_rollback(&conn, &u.error), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 0);
    unit_close(&u);
}

TEST(open_in_a_forked_child) {
    unit_pool u;
    const sqlpool_config config = unit_config(&u, 1);
    sqlpool__global.forked = 1;
    CHECK_INT(sqlpool_open(&u.pool, "forked.db", &config, &u.error), SQLPOOL_FORKED);
    CHECK(u.pool == NULL);
    sqlpool__global.forked = 0;
}

TEST(foreign_keys_that_cannot_be_enforced) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    CHECK_INT(
        unit_make_file("foreign.db",
                       "CREATE TABLE parent(a, b UNIQUE); CREATE TABLE good(x REFERENCES "
                       "parent(b)); CREATE TABLE \"bad \"\"one\"(x REFERENCES parent(a));"
                       "CREATE TABLE other(x REFERENCES parent(b)); CREATE TRIGGER broken AFTER "
                       "INSERT ON other BEGIN INSERT INTO nowhere VALUES(1); END"),
        SQLITE_OK);
    PART(unit_open(&u, "foreign.db", &config));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_FOREIGN_KEYS], 1);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_FOREIGN_KEYS], "\"bad \"\"one\" referencing \"parent\"");
    fail_names = 1;
    sqlpool__check_foreign_keys(&u.core->slots[0]); /* no memory: nothing to say */
    fail_names = 0;
    unit_close(&u);
    config = unit_config(&u, 1);
    config.disable_foreign_keys = true;
    PART(unit_open(&u, "foreign.db", &config));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_FOREIGN_KEYS], 0);
    unit_close(&u);
}

static const char row_of_null[] =
    "CREATE TABLE t(a); INSERT INTO t VALUES(NULL); PRAGMA writable_schema=1;"
    "UPDATE sqlite_schema SET sql='CREATE TABLE t(a NOT NULL)'";

TEST(quick_check_that_finds_something) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    CHECK_INT(unit_make_file("quick.db", row_of_null), SQLITE_OK);
    config.untrusted = true;
    CHECK_INT(sqlpool_open(&u.pool, "quick.db", &config, &u.error), SQLITE_CORRUPT);
    config.untrusted = false;
    PART(unit_open(&u, "quick.db", &config));
    unit_close(&u);
}

/*  A row that its table would not take today says nothing against the file's pages: writes go on. */
TEST(a_row_that_breaks_a_constraint_confirms_no_damage) {
    unit_pool u;
    char verdict[200] = "";
    CHECK_INT(unit_make_file("content.db", row_of_null), SQLITE_OK);
    PART(unit_begin(&u, "content.db", 1, NULL));
    CHECK(!sqlpool__ask_if_corrupt(u.core, verdict, sizeof verdict));
    CHECK_STR(verdict, "");
    unit_close(&u);
}

/*  Whichever read fails: the disk is to blame, not the file. */
TEST(an_untrusted_file_that_cannot_be_read_is_not_called_damaged) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    int refused = 0, n;
    CHECK_INT(
        unit_make_file("flaky.db",
                       "CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i "
                       "+ 1 FROM n LIMIT 30) INSERT INTO t SELECT zeroblob(1500) FROM n"),
        SQLITE_OK);
    CHECK_INT(sim_vfs_install(), SQLITE_OK);
    config.untrusted = true;
    config.vfs_name = "sim";
    for (n = 1;; n++) {
        int rc;
        bool was_hit;
        sim_vfs_arm((sim_vfs_fault){.at = (uint64_t)n, .kind = SIM_VFS_READ});
        rc = sqlpool_open(&u.pool, "flaky.db", &config, &u.error);
        was_hit = sim_vfs.faults != 0;
        sim_vfs_heal();
        if (rc == SQLPOOL_OK) CHECK_INT(sqlpool_close(u.pool, NULL), SQLPOOL_OK);
        if (rc == SQLPOOL_OK && !was_hit) break;
        if (rc == SQLPOOL_OK) continue;
        CHECK_INT(rc & 0xff, SQLITE_IOERR);
        refused++;
    }
    CHECK(refused > 5); /* the pages of the table are read by the check alone */
}

/*  "unable to get the page" is of the disk, or of memory, unless its code is of the file. */
TEST(a_page_that_cannot_be_read_is_not_damage) {
    static const struct {
        const char *line;
        int code;
    } lines[] = {
        {"Tree 5 page 8 cell 3: unable to get the page. error code=266", SQLITE_IOERR_READ},
        {"Page 8: unable to get the page. error code=7", SQLITE_NOMEM},
        {"Page 8: unable to get the page. error code=11", 0},
        {"Page 8: unable to get the page. error code=26", 0},
        {"Page 8: unable to get the page. error code=", 0},
        {"Page 8: unable to get the page. error code=99999999999999999999", 999999},
        {"Tree 5 page 8: btreeInitPage() returns error code 11", 0},
        {"row 1 missing from index t_a", 0},
        {"", 0}};
    size_t i;
    for (i = 0; i < sizeof lines / sizeof *lines; i++)
        CHECK_INT(sqlpool__problem_code(lines[i].line, strlen(lines[i].line)), lines[i].code);
}

/*  With the raw handle out the refusals are off, and it is SQLite that says no. */
TEST(write_on_a_raw_reader) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_conn conn;
    int round;
    for (round = 0; round < 2; round++) {
        PART(unit_open(&u, "rawreader.db", &config));
        if (round == 0) CHECK_OK(unit_script(&u, "CREATE TABLE t(a)"), &u.error);
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
        CHECK(sqlpool_conn_db(&conn) != NULL);
        CHECK_INT(unit_exec_on(&u, &conn, "INSERT INTO t VALUES(1)"), SQLITE_READONLY);
        CHECK_HAS(u.error.message,
                  round == 0 ? "acquire with SQLPOOL_WRITE" : "the pool is read-only");
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        unit_close(&u);
        config = unit_config(&u, 1);
        config.read_only = true;
    }
}

/*  A number may stay bound inside the pool, never in what a caller gets to step himself. */
TEST(statements_are_handed_out_unbound) {
    unit_pool u;
    sqlpool_conn conn;
    sqlpool_result result;
    sqlite3_stmt *statement;
    const char *sql = "SELECT ?1, ?2";
    int round;
    PART(unit_begin(&u, "unbound.db", 1, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    for (round = 0; round < 3; round++) {
        if (round == 0) /* numbers, then text */
            CHECK_OK(sqlpool_conn_exec(&conn, sql, SQLPOOL_ARGS(5, 6), &result, &u.error), &u.error);
        if (round == 1)
            CHECK_OK(sqlpool_conn_exec(&conn, sql, SQLPOOL_ARGS("x", 6), &result, &u.error),
                     &u.error);
        CHECK_OK(sqlpool_conn_stmt(&conn, sql, &statement, &u.error), &u.error);
        CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
        CHECK_INT(sqlite3_column_type(statement, 0), SQLITE_NULL);
        CHECK_INT(sqlite3_column_type(statement, 1), SQLITE_NULL);
        (void)sqlite3_reset(statement);
        (void)sqlite3_bind_int(statement, 1, 9); /* what the caller binds himself goes too */
        CHECK_INT(sqlpool_conn_stmt_release(&conn, statement), SQLPOOL_OK);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

/*  A commit that the caller steps himself counts when he gives the statement back, not with his lease. */
TEST(a_commit_counts_when_its_statement_comes_back) {
    unit_pool u;
    sqlpool_conn conn;
    sqlite3_stmt *statement;
    uint64_t commits;
    PART(unit_begin_row(&u, "stepped.db"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_stmt(&conn, "INSERT INTO t VALUES(2)", &statement, &u.error), &u.error);
    commits = u.core->commits;
    CHECK_INT(sqlite3_step(statement), SQLITE_DONE);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, statement), SQLPOOL_OK);
    CHECK_INT(u.core->commits, commits + 1);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(u.core->commits, commits + 1);
    unit_close(&u);
}

static int base_updates, lease_updates;
static void on_base_update(void *user, int action, const char *database, const char *table,
                           int64_t rowid) {
    (void)action, (void)database, (void)table, (void)rowid;
    ++*(int *)user;
}
static int connect_that_chains(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    sqlpool_chain chain;
    (void)user;
    memset(&chain, 0, sizeof chain);
    chain.user = &base_updates;
    chain.update_fn = on_base_update;
    return sqlpool_conn_chain(&lease, &chain);
}

TEST(chain_of_the_connection_comes_back) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_conn conn;
    sqlpool_chain chain;
    memset(&chain, 0, sizeof chain);
    chain.user = &lease_updates;
    chain.update_fn = on_base_update;
    config.events.connect_fn = connect_that_chains;
    PART(unit_open_with(&u, "chains.db", &config, "CREATE TABLE t(a); INSERT INTO t VALUES(1)"));
    CHECK_INT(base_updates, 1);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_INT(sqlpool_conn_chain(&conn, &chain), SQLPOOL_OK);
    CHECK_OK(unit_exec_on(&u, &conn, "INSERT INTO t VALUES(2)"), &u.error);
    CHECK_INT(lease_updates, 1);
    CHECK_INT(base_updates, 1);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(3)"), &u.error);
    CHECK_INT(lease_updates, 1);
    CHECK_INT(base_updates, 2);
    unit_close(&u);
}

/*  More holders than a status lists, and one without a place. */
TEST(status_of_many_holders) {
    enum { HELD = 40 };
    unit_pool u;
    sqlpool_conn conns[HELD];
    static char text[32768];
    const char *at;
    int i, count = 0;
    PART(unit_begin(&u, ":memory:", HELD, NULL));
    for (i = 0; i < HELD; i++) {
        CHECK_OK(sqlpool_conn_acquire_at(i == 0 ? NULL : __FILE__, 3, u.pool, SQLPOOL_READ, NULL,
                                         &conns[i], &u.error),
                 &u.error);
    }
    CHECK(sqlpool_status_text(u.pool, text, sizeof text) < (int)sizeof text);
    CHECK_HAS(text, "leases out   40");
    for (at = text; (at = strstr(at, " held for")) != NULL; at++) count++;
    CHECK_INT(count, 32);
    CHECK(sqlpool_status_json(u.pool, text, sizeof text) < (int)sizeof text);
    CHECK_HAS(text, "\"file\":\"\"");
    for (count = 0, at = text; (at = strstr(at, "\"slot\":")) != NULL; at++) count++;
    CHECK_INT(count, 32);
    for (i = 0; i < HELD; i++) CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
    unit_close(&u);
}

/*  Copies of a cursor, when lease and pool are long gone. */
TEST(cursor_of_a_closed_pool) {
    unit_pool u;
    const sqlpool_config config = unit_config(&u, 1);
    sqlpool_conn conn;
    sqlpool_rows live, buffered, copy, second;
    PART(unit_open_with(&u, "closed.db", &config, "CREATE TABLE t(a)"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_query(&conn, &live, "SELECT 1", SQLPOOL_NO_ARGS, &u.error), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
    CHECK_OK(sqlpool_query(u.pool, &buffered, "INSERT INTO t VALUES(1) RETURNING a",
                           SQLPOOL_NO_ARGS, &u.error),
             &u.error);
    copy = second = buffered;
    CHECK_OK(sqlpool_rows_close(&buffered, &u.error), &u.error);
    unit_close(&u);
    CHECK(!sqlpool_rows_next(&live));
    CHECK_INT(sqlpool_rows_close(&live, &u.error), SQLPOOL_MISUSE);
    CHECK_OK(sqlpool_rows_close(&copy, &u.error), &u.error); /* nothing of it is left to free */
    PART(unit_open(&u, "closed.db", &config)); /* nor by the pool that has the handle now */
    second.conn.pool = u.pool;
    CHECK_OK(sqlpool_rows_close(&second, &u.error), &u.error);
    CHECK_INT(u.core->buffers_out, 0);
    unit_close(&u);
}

TEST(null_pointers_of_one_value) {
    unit_pool u;
    sqlpool_error error;
    char buffer[4] = "xyz";
    PART(unit_begin(&u, ":memory:", 1, NULL));
    CHECK_INT(sqlpool_query_int64(u.pool, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_query_double(u.pool, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &error),
              SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_query_text(u.pool, NULL, 4, "SELECT 1", SQLPOOL_NO_ARGS, &error),
              SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_query_text(u.pool, buffer, 0, "SELECT 1", SQLPOOL_NO_ARGS, &error),
              SQLPOOL_MISUSE);
    CHECK_STR(buffer, "xyz");
    CHECK_INT(sqlpool_exec(sqlpool__global.pools + SQLPOOL_MAX_POOLS - 1, "SELECT 1",
                           SQLPOOL_NO_ARGS, &error),
              SQLPOOL_MISUSE); /* a handle that no pool ever had */
    unit_close(&u);
}

TEST(thread_hooks_may_be_missing_without_a_thread) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    config.locks.thread_create_fn = NULL;
    config.locks.thread_join_fn = NULL;
    PART(unit_open(&u, "nothread.db", &config));
    unit_close(&u);
    config = unit_config(&u, 1);
    config.locks.thread_create_fn = NULL;
    config.locks.thread_join_fn = NULL;
    config.disable_upkeep_thread = false;
    CHECK_INT(sqlpool_open(&u.pool, "nothread.db", &config, &u.error), SQLPOOL_CONFIG);
    CHECK_HAS(u.error.message, "thread_create_fn");
    CHECK_HAS(u.error.message, "disable_upkeep_thread");
    config.locks = sim_locks_hooks(&u.locks);
    config.locks.thread_join_fn = NULL;
    CHECK_INT(sqlpool_open(&u.pool, "nothread.db", &config, &u.error), SQLPOOL_CONFIG);
    CHECK_HAS(u.error.message, "thread_join_fn is NULL");
}

TEST(uri_that_names_no_file) {
    static const char *const uris[] = {"file::memory:", "file:?mode=memory", "file:x?mode=memory"};
    size_t i;
    for (i = 0; i < LENGTH(uris); i++) {
        unit_pool u;
        sqlpool_config config = unit_config(&u, 1);
        config.enable_uri = true;
        CHECK_INT(sqlpool_open(&u.pool, uris[i], &config, &u.error), SQLPOOL_MISUSE);
        CHECK_HAS(u.error.message, ":memory:");
    }
    CHECK_INT(sim_alloc.live_blocks[SIM_DOOR_LIBRARY], 0);
}

/*  Where the log's index cannot be found there are no snapshots, and reads go on. */
TEST(no_stamp_no_snapshot) {
    unit_pool u;
    int64_t value = 0;
    PART(unit_begin(&u, "nostamp.db", 1, NULL));
    u.core->config.snapshot_idle_ms = 50;
    fail_file_control = 1;
    CHECK_OK(sqlpool_query_int64(u.pool, &value, "SELECT 3", SQLPOOL_NO_ARGS, &u.error), &u.error);
    CHECK_OK(sqlpool_query_int64(u.pool, &value, "SELECT 3", SQLPOOL_NO_ARGS, &u.error), &u.error);
    fail_file_control = 0;
    CHECK_INT(value, 3);
    CHECK(!u.core->slots[1].is_pinned && !u.core->slots[1].may_pin);
    unit_close(&u);
}

TEST(null_and_empty_values) {
    CHECK_INT(sqlpool_value_blob(NULL, 0).type, SQLPOOL_TYPE_BLOB);
    CHECK_INT(sqlpool_value_blob(NULL, 1).type, SQLPOOL_TYPE_NULL);
    CHECK_INT(sqlpool_value_blob("", 0).type, SQLPOOL_TYPE_BLOB);
    CHECK_INT(sqlpool_value_text(NULL).type, SQLPOOL_TYPE_NULL);
    CHECK_INT(sqlpool_value_text("").type, SQLPOOL_TYPE_TEXT);
    CHECK_INT(sqlpool_value_uint64(INT64_MAX).type, SQLPOOL_TYPE_INT64);
    CHECK_INT(sqlpool_value_uint64((uint64_t)INT64_MAX + 1).type, SQLPOOL_TYPE_INVALID);
    CHECK_INT(sqlpool_value_uint64(UINT64_MAX).type, SQLPOOL_TYPE_INVALID);
}

/*---- what is left of odd moments ----*/

/*  With the raw handle out the caller may end the transaction past the pool: what he runs behind it
    commits by itself, as he wanted. */
TEST(raw_commit_inside_a_level) {
    unit_pool u;
    sqlpool_conn conn;
    PART(unit_begin(&u, "rawcommit.db", 1, "CREATE TABLE t(a)"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_INT(
        sqlite3_exec(sqlpool_conn_db(&conn), "INSERT INTO t VALUES(1); COMMIT", NULL, NULL, NULL),
        SQLITE_OK);
    CHECK_INT(sqlite3_exec(sqlpool_conn_db(&conn), "INSERT INTO t VALUES(2)", NULL, NULL, NULL),
              SQLITE_OK);
    CHECK_INT(unit_exec_on(&u, &conn, "INSERT INTO t VALUES(3)"),
              SQLPOOL_ROLLED_BACK); /* the pool's level is not there any more */
    (void)sqlpool_conn_release(&conn);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 2);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK(sqlpool_conn_db(&conn) != NULL);
    CHECK_OK(unit_exec_on(&u, &conn, "COMMIT"), &u.error);
    CHECK_INT(sqlpool_conn_commit(&conn, &u.error), SQLPOOL_ROLLED_BACK);
    (void)sqlpool_conn_release(&conn);
    unit_close(&u);
}

TEST(virtual_tables) {
    unit_pool u;
    PART(unit_begin(&u, "virtual.db", 1, NULL));
    CHECK_INT(unit_exec(&u, "CREATE VIRTUAL TABLE v USING no_such(a)"),
              SQLITE_ERROR); /* it is SQLite that says no */
    CHECK_HAS(u.error.message, "no such module");
    CHECK_INT(unit_exec(&u, "CREATE VIRTUAL TABLE temp.v USING no_such(a)"), SQLPOOL_REFUSED);
    CHECK_HAS(u.error.message, "temporary object");
    unit_close(&u);
}

/*  What the program's function may not do in a file from outside: be called out of its schema. */
static void show(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    sqlite3_result_value(context, values[0]);
}
static int connect_with_a_function(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    (void)user;
    return sqlite3_create_function(sqlpool_conn_db(&lease), "show", 1,
                                   SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, show, NULL, NULL);
}
static int deny_the_schema(void *user, int action, const char *a, const char *b,
                           const char *database, const char *trigger) {
    (void)user, (void)b, (void)database, (void)trigger;
    return action == SQLITE_PRAGMA && strcmp(a, "writable_schema") == 0 ? SQLITE_DENY : SQLITE_OK;
}
static int connect_that_denies(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    sqlpool_chain chain;
    (void)user;
    memset(&chain, 0, sizeof chain);
    chain.authorizer_fn = deny_the_schema;
    return sqlpool_conn_chain(&lease, &chain);
}
static bool make_outside(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    const bool is_made = sqlite3_open(path, &db) == SQLITE_OK &&
                         sqlite3_create_function(db, "show", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
                                                 NULL, show, NULL, NULL) == SQLITE_OK &&
                         sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
    (void)sqlite3_close(db);
    return is_made;
}
TEST(functions_and_a_schema_from_outside) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    CHECK(make_outside("outside.db", "CREATE TABLE t(a); INSERT INTO t VALUES(7);"
                                     "CREATE VIEW v AS SELECT show(a) AS b FROM t"));
    CHECK(make_outside("column.db", "CREATE TABLE t(a, b AS (show(a))); INSERT INTO t VALUES(7)"));
    config.events.connect_fn = connect_with_a_function;
    PART(unit_open(&u, "column.db", &config));
    CHECK_INT(unit_ask(&u, "SELECT b FROM t"), 7);
    unit_close(&u);
    config.untrusted = true;
    CHECK_INT(sqlpool_open(&u.pool, "column.db", &config, &u.error), SQLITE_CORRUPT);
    CHECK_HAS(u.error.message, "unsafe use of show()");
    PART(unit_open(&u, "outside.db", &config));
    CHECK_INT(unit_ask(&u, "SELECT a FROM t"), 7);
    CHECK_INT(unit_ask(&u, "SELECT show(8)"), 8); /* the program's own SQL may */
    CHECK_INT(unit_ask(&u, "SELECT b FROM v"), -2);
    CHECK_HAS(u.error.message, "unsafe use of show()");
    unit_close(&u);
    config = unit_config(&u, 1);
    config.untrusted = true;
    config.events.connect_fn = connect_that_denies; /* then the schema would stay as it was read */
    CHECK_INT(sqlpool_open(&u.pool, "outside.db", &config, &u.error), SQLITE_AUTH);
    CHECK_INT(sim_alloc.live_blocks[SIM_DOOR_LIBRARY], 0);
}

/*  A statement that is out while another authorizer is set does not come back to the cache: it was
    allowed by the old one. */
static int deny_reads(void *user, int action, const char *a, const char *b, const char *database,
                      const char *trigger) {
    (void)user, (void)a, (void)b, (void)database, (void)trigger;
    return action == SQLITE_READ ? SQLITE_DENY : SQLITE_OK;
}
TEST(authorizer_that_is_set_beside_a_statement) {
    static const char sql[] = "SELECT a FROM t";
    unit_pool u;
    sqlpool_conn conn;
    sqlpool_chain chain;
    sqlite3_stmt *statement, *second;
    memset(&chain, 0, sizeof chain);
    chain.authorizer_fn = deny_reads;
    PART(unit_begin(&u, "beside.db", 1, "CREATE TABLE t(a); INSERT INTO t VALUES(1)"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_stmt(&conn, sql, &statement, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_stmt(&conn, sql, &second, &u.error),
             &u.error); /* which is not cached anyway */
    CHECK_INT(sqlpool_conn_chain(&conn, &chain), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, second), SQLPOOL_OK);
    CHECK_INT(sqlite3_step(statement), SQLITE_ROW); /* it was prepared before */
    CHECK_INT(sqlpool_conn_stmt_release(&conn, statement), SQLPOOL_OK);
    CHECK_INT(unit_slot(&conn)->cached_count, 0);
    CHECK_INT(sqlpool_conn_stmt(&conn, sql, &statement, &u.error), SQLITE_AUTH);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(unit_ask(&u, sql), 1);
    unit_close(&u);
}

TEST(no_vfs_for_a_single_process) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    config.single_process = true;
    no_vfs = 1;
    CHECK_INT(sqlpool_open(&u.pool, "single.db", &config, &u.error), SQLPOOL_UNSUPPORTED);
    CHECK_HAS(u.error.message, "unix-excl");
    no_vfs = 0;
}

/*  What sqlpool_sync() says when it cannot: no file to sync, and a checkpoint that does not end. */
TEST(syncs_that_cannot_be) {
    unit_pool u;
    int64_t start;
    PART(unit_begin(&u, "sync.db", 1, NULL));
    CHECK_OK(unit_exec(&u, "CREATE TABLE t(a)"), &u.error);
    fail_file_control = 1;
    CHECK_INT(sqlpool_sync(u.pool, 0, 0, &u.error), SQLPOOL_UNSUPPORTED);
    CHECK_HAS(u.error.message, "does not give the files");
    fail_file_control = 0;
    u.core->checkpointing = 1;
    start = u.clock.now_ns;
    CHECK_INT(sqlpool_sync(u.pool, 0, 300, &u.error), SQLPOOL_TIMEOUT);
    CHECK_HAS(u.error.message, "a checkpoint is running");
    CHECK_INT(u.clock.now_ns - start, 300 * MS);
    u.core->is_log_doubtful = 1; /* a sync failed: now only a checkpoint helps */
    CHECK_INT(sqlpool_sync(u.pool, 0, 300, &u.error), SQLPOOL_TIMEOUT);
    CHECK_HAS(u.error.message, "another checkpoint is running");
    CHECK_INT(u.core->is_log_doubtful, 1);
    u.core->checkpointing = 0;
    CHECK_OK(sqlpool_sync(u.pool, 0, 0, &u.error), &u.error);
    unit_close(&u);
}

/*  A lease that is out while the pool finds its file moved away: nothing more is written into the old
    one; what reads goes on. */
TEST(leases_of_a_file_that_was_moved) {
    unit_pool u;
    sqlpool_conn writer, reader;
    sqlpool_rows rows;
    PART(unit_begin(&u, "leased.db", 1, "CREATE TABLE t(a); INSERT INTO t VALUES(1)"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &writer, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &reader, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&writer, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&reader, &u.error), &u.error);
    CHECK_OK(unit_exec_on(&u, &writer, "INSERT INTO t VALUES(2)"), &u.error);
    CHECK_INT(rename("leased.db", "elsewhere.db"), 0);
    CHECK(sqlpool__note_if_moved(unit_slot(&reader)));
    CHECK_INT(unit_exec_on(&u, &writer, "INSERT INTO t VALUES(3)"), SQLPOOL_MOVED);
    CHECK_INT(sqlpool_conn_commit(&writer, &u.error), SQLPOOL_MOVED);
    CHECK_OK(sqlpool_conn_rollback(&writer, &u.error), &u.error);
    CHECK_OK(
        sqlpool_conn_query(&reader, &rows, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &u.error),
        &u.error);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 1);
    CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_commit(&reader, &u.error), &u.error);
    (void)sqlpool_conn_release(&reader);
    (void)sqlpool_conn_release(&writer);
    CHECK_INT(rename("elsewhere.db", "leased.db"), 0);
    CHECK_OK(sqlpool_recycle(u.pool), &u.error);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 1);
    unit_close(&u);
}

/*  A connection that is to be replaced, of a file that is gone: opened anew it would be another one. */
TEST(replaced_when_the_file_was_moved) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_conn conn;
    config.journal = SQLPOOL_JOURNAL_DELETE; /* no log is left beside it */
    PART(unit_open_with(&u, "replaced.db", &config, "CREATE TABLE t(a)"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    unit_slot(&conn)->is_bad = true;
    CHECK_INT(rename("replaced.db", "elsewhere.db"), 0);
    (void)sqlpool_conn_release(&conn);
    CHECK_INT(unit_exec(&u, "CREATE TABLE u(a)"), SQLPOOL_MOVED);
    CHECK(access("replaced.db", F_OK) != 0);
    CHECK_INT(rename("elsewhere.db", "replaced.db"), 0);
    CHECK_OK(sqlpool_recycle(u.pool), &u.error);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 0);
    unit_close(&u);
}

/*  A scope begins on a lease where nothing is open: neither among several statements nor behind the
    raw handle. */
TEST(scope_beside_open_statements) {
    unit_pool u;
    sqlpool_conn conn;
    sqlite3_stmt *idle, *busy, *raw = NULL;
    PART(unit_begin(&u, "besides.db", 1, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_stmt(&conn, "VALUES(1), (2)", &busy, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT 1", &idle, &u.error), &u.error);
    CHECK_INT(sqlite3_step(busy), SQLITE_ROW);
    CHECK_INT(sqlpool_snapshot_begin(&conn, 0, &u.error), SQLPOOL_MISUSE);
    CHECK_HAS(u.error.message, "statement is open");
    CHECK_INT(sqlpool_conn_stmt_release(&conn, NULL), SQLPOOL_MISUSE); /* none of the two */
    CHECK_INT(sqlite3_step(busy), SQLITE_ROW);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, busy), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_stmt(&conn, "VALUES(3), (4)", &busy, &u.error), &u.error);
    CHECK_INT(sqlite3_step(busy), SQLITE_ROW); /* behind the idle one */
    CHECK_INT(sqlpool_snapshot_begin(&conn, 0, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, busy), SQLPOOL_OK);
    CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &u.error), &u.error);
    CHECK_OK(sqlpool_snapshot_end(&conn, &u.error), &u.error);
    CHECK_INT(sqlite3_prepare_v2(sqlpool_conn_db(&conn), "VALUES(5), (6)", -1, &raw, NULL),
              SQLITE_OK);
    CHECK_INT(sqlite3_step(raw), SQLITE_ROW);
    CHECK_INT(sqlpool_snapshot_begin(&conn, 0, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlite3_finalize(raw), SQLITE_OK);
    CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &u.error), &u.error);
    CHECK_OK(sqlpool_snapshot_end(&conn, &u.error), &u.error);
    (void)sqlpool_conn_release(&conn);
    unit_close(&u);
}

/*  A statement that gives no columns is over when its cursor is made. */
TEST(cursor_without_columns) {
    unit_pool u;
    sqlpool_conn conn;
    sqlpool_rows rows;
    PART(unit_begin(&u, "columns.db", 1, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK(sqlpool_conn_db(&conn) != NULL);
    CHECK_OK(sqlpool_conn_query(&conn, &rows, "PRAGMA cache_spill = 0", SQLPOOL_NO_ARGS, &u.error),
             &u.error);
    CHECK_INT(sqlpool_rows_column_count(&rows), 0);
    CHECK(sqlpool__list_is_empty(&unit_slot(&conn)->in_use));
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
    (void)sqlpool_conn_release(&conn);
    unit_close(&u);
}

/*  Two cursors of one lease that fail: the later one has its message, the other its code. The snapshot
    stays while one of them may still read from it. */
TEST(two_cursors_that_fail) {
    static const char first_sql[] =
        "SELECT CASE value WHEN 3 THEN abs(-9223372036854775808) ELSE value END "
        "FROM json_each('[1,2,3]')";
    static const char second_sql[] =
        "SELECT CASE value WHEN 2 THEN abs(-9223372036854775807 - 1) ELSE value "
        "END FROM json_each('[1,2,3]')";
    unit_pool u;
    sqlpool_conn conn;
    sqlpool_rows first, second;
    PART(unit_begin(&u, "cursors.db", 1, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_query(&conn, &first, first_sql, SQLPOOL_NO_ARGS, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_query(&conn, &second, second_sql, SQLPOOL_NO_ARGS, &u.error), &u.error);
    CHECK(sqlpool_rows_next(&second));
    CHECK(!sqlpool_rows_next(&second));
    CHECK(sqlpool_rows_next(&first));
    CHECK_INT(sqlpool_rows_int64(&first, 0), 1); /* it goes on */
    CHECK(sqlpool_rows_next(&first));
    CHECK(!sqlpool_rows_next(&first));
    CHECK_INT(sqlpool_rows_close(&second, &u.error), SQLITE_ERROR);
    CHECK_STR(u.error.message, sqlpool_result_text(SQLITE_ERROR));
    CHECK_INT(sqlpool_rows_close(&first, &u.error), SQLITE_ERROR);
    CHECK_HAS(u.error.message, "integer overflow");
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

/*  Columns of a cursor whose lease has ended, and of one that is at its end: nothing is touched. */
TEST(columns_of_a_cursor_that_is_over) {
    unit_pool u;
    sqlpool_conn conn;
    sqlpool_rows rows;
    PART(unit_begin(&u, "over.db", 1, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_query(&conn, &rows, "SELECT 5 AS n", SQLPOOL_NO_ARGS, &u.error),
             &u.error);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 5);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 0);
    CHECK(sqlpool_rows_text(&rows, 0) == NULL);
    CHECK_INT(sqlpool_rows_close(&rows, &u.error), SQLPOOL_MISUSE);
    CHECK_OK(sqlpool_query(u.pool, &rows, "SELECT 5 AS n", SQLPOOL_NO_ARGS, &u.error), &u.error);
    CHECK_STR(sqlpool_rows_name(&rows, 0), "n");
    CHECK(sqlpool_rows_next(&rows));
    CHECK(!sqlpool_rows_next(&rows));
    CHECK(sqlpool_rows_name(&rows, 0) == NULL);
    CHECK_INT(sqlpool_rows_column_count(&rows), 1);
    CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
    unit_close(&u);
}

/*  Submissions larger than the queue, by one value, by a second one, and by their number. */
TEST(submissions_larger_than_the_queue) {
    static char big[4096];
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_value values[3];
    sqlpool_ticket ticket;
    int i;
    memset(big, 'x', sizeof big - 1);
    config.submit_bytes = 1024;
    PART(unit_open(&u, "larger.db", &config));
    memset(&ticket, 0, sizeof ticket);
    ticket.pool = u.pool;
    ticket.pool_serial = u.core->serial;
    ticket.number = 1;
    CHECK_INT(sqlpool_ticket_wait(&ticket, 0, NULL, &u.error),
              SQLPOOL_MISUSE); /* nobody submitted yet */
    CHECK_HAS(u.error.message, "fetched already");
    CHECK_OK(unit_script(&u, "CREATE TABLE t(a, b, c)"), &u.error);
    for (i = 0; i < 3; i++) {
        const size_t sizes[3][3] = {{1025, 0, 0}, {700, 700, UINT64_MAX}, {900, 0, UINT64_MAX}};
        int k;
        for (k = 0; k < 3; k++) {
            values[k] = sqlpool_value_int64(k);
            if (sizes[i][k] == 0) continue;
            values[k].type = SQLPOOL_TYPE_BLOB;
            values[k].as.blob = sizes[i][k] < sizeof big ? big : NULL; /* not looked at any more */
            values[k].size = sizes[i][k];
        }
        CHECK_INT(
            sqlpool_submit(u.pool, NULL, "INSERT INTO t VALUES(?, ?, ?)", values, 3, &u.error),
            i == 2 ? SQLPOOL_ARGUMENTS : SQLPOOL_TOO_BIG);
    }
    values[0] = sqlpool_value_int64(4);
    values[0].size = 9; /* a number has no size: what is there does not count */
    values[1] = values[2] = SQLPOOL_VALUE(SQLPOOL_NULL);
    CHECK_OK(sqlpool_submit(u.pool, &ticket, "INSERT INTO t VALUES(?, ?, ?)", values, 3, &u.error),
             &u.error);
    CHECK_INT(sqlpool_ticket_wait(&ticket, -3, NULL, &u.error), SQLPOOL_MISUSE);
    CHECK_HAS(u.error.message, "timeout_ms is -3");
    CHECK_OK(sqlpool_ticket_wait(&ticket, 0, NULL, &u.error), &u.error);
    CHECK_INT(unit_ask(&u, "SELECT a FROM t"), 4);
    unit_close(&u);
}

/*  Read-only where all connections are equal, and in memory, where it means nothing. */
TEST(read_only_of_every_shape) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 2);
    PART(unit_open_with(&u, "shape.db", &config, "CREATE TABLE t(a); INSERT INTO t VALUES(1)"));
    unit_close(&u);
    config = unit_config(&u, 2);
    config.read_only = true;
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    PART(unit_open(&u, "shape.db", &config));
    CHECK(u.core->slots[0].role == SQLPOOL__ROLE_ANY);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 1);
    CHECK_INT(unit_exec(&u, "DELETE FROM t"), SQLITE_READONLY);
    unit_close(&u);
    config = unit_config(&u, 2);
    config.read_only = true;
    PART(unit_open(&u, ":memory:", &config));
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM sqlite_master"), 0);
    CHECK_OK(unit_exec(&u, "CREATE TABLE t(a)"), &u.error);
    unit_close(&u);
    config = unit_config(&u, 2);
    config.enable_uri = true;
    PART(unit_open(&u, ":memory:", &config));
    CHECK_OK(unit_exec(&u, "CREATE TABLE t(a)"), &u.error);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 0);
    unit_close(&u);
}

/*  One value without an error to tell of. */
TEST(one_value_without_an_error) {
    unit_pool u;
    char text[8] = "xyz";
    int64_t value = 7;
    double real = 7;
    PART(unit_begin(&u, "oneval.db", 1, NULL));
    CHECK_INT(sqlpool_query_int64(u.pool, &value, "SELECT nothing", SQLPOOL_NO_ARGS, NULL),
              SQLITE_ERROR);
    CHECK_INT(sqlpool_query_double(u.pool, &real, "SELECT nothing", SQLPOOL_NO_ARGS, NULL),
              SQLITE_ERROR);
    CHECK_INT(
        sqlpool_query_text(u.pool, text, sizeof text, "SELECT nothing", SQLPOOL_NO_ARGS, NULL),
        SQLITE_ERROR);
    CHECK_STR(text, "");
    CHECK_INT(value, 0);
    CHECK_INT(
        sqlpool_query_text(u.pool, text, sizeof text, "SELECT 1 WHERE 0", SQLPOOL_NO_ARGS, NULL),
        SQLPOOL_NOT_FOUND);
    unit_close(&u);
}

/*  A transaction that SQLite has ended is over for the pool once its commit or rollback has said so. */
TEST(commit_of_what_sqlite_has_ended) {
    unit_pool u;
    sqlpool_conn conn;
    int round;
    PART(unit_begin(&u, "ended.db", 1,
                    "CREATE TABLE t(a UNIQUE ON CONFLICT ROLLBACK); INSERT INTO t VALUES(1)"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    for (round = 0; round < 2; round++) {
        CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
        if (round == 1) CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
        CHECK_INT(unit_exec_on(&u, &conn, "INSERT INTO t VALUES(1)"), SQLITE_CONSTRAINT_UNIQUE);
        if (round == 1) {
            CHECK_INT(sqlpool_conn_commit(&conn, &u.error), SQLPOOL_ROLLED_BACK);
            CHECK_INT(unit_slot(&conn)->depth, 1); /* the outer level hears of it too */
        }
        CHECK_INT(sqlpool_conn_commit(&conn, &u.error), SQLPOOL_ROLLED_BACK);
        CHECK_INT(unit_slot(&conn)->depth, 0);
    }
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_OK(unit_exec_on(&u, &conn, "INSERT INTO t VALUES(2)"), &u.error);
    CHECK_OK(sqlpool_conn_commit(&conn, &u.error), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 2);
    unit_close(&u);
}

/*  An interrupt stays pending while a statement is on a row: an inner level is undone all the same, by
    ending that statement, and the outer one goes on. */
TEST(inner_level_undone_beside_an_interrupt) {
    unit_pool u;
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlite3_stmt *idle;
    PART(unit_begin(&u, "inner.db", 1, "CREATE TABLE t(a)"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_OK(unit_exec_on(&u, &conn, "INSERT INTO t VALUES(1)"), &u.error);
    CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
    CHECK_OK(unit_exec_on(&u, &conn, "INSERT INTO t VALUES(2)"), &u.error);
    CHECK_OK(sqlpool_conn_query(&conn, &rows, "SELECT a FROM t", SQLPOOL_NO_ARGS, &u.error),
             &u.error);
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT 1", &idle, &u.error), &u.error);
    CHECK(sqlpool_rows_next(&rows));
    sqlite3_interrupt(unit_slot(&conn)->db);
    CHECK_OK(sqlpool_conn_rollback(&conn, &u.error), &u.error);
    CHECK(!unit_slot(&conn)->is_bad);
    CHECK_INT(unit_slot(&conn)->depth, 1);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_close(&rows, &u.error), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, idle), SQLPOOL_OK); /* nothing was wrong with it */
    CHECK_OK(sqlpool_conn_commit(&conn, &u.error), &u.error);
    (void)sqlpool_conn_release(&conn);
    CHECK_INT(unit_ask(&u, "SELECT sum(a) FROM t"), 1);
    unit_close(&u);
}

/*  A function of an exclusive section may use the error of its caller: what it got over is no failure,
    and what it returns keeps its words. */
static sqlpool_error *exclusive_error;
static int exclusive_that_fails(sqlpool_conn *conn, void *user) {
    const int rc = sqlpool_conn_exec(conn, "INSERT INTO missing VALUES(1)", SQLPOOL_NO_ARGS, NULL,
                                     exclusive_error);
    return user != NULL ? rc : SQLPOOL_OK;
}
TEST(exclusive_sections_with_the_callers_error) {
    unit_pool u;
    PART(unit_begin(&u, "exclusive2.db", 1, NULL));
    exclusive_error = &u.error;
    CHECK_OK(sqlpool_exclusive(u.pool, 10, exclusive_that_fails, NULL, &u.error), &u.error);
    CHECK_INT(u.error.result, SQLPOOL_OK);
    CHECK_INT(sqlpool_exclusive(u.pool, 10, exclusive_that_fails, &u, &u.error), SQLITE_ERROR);
    CHECK_HAS(u.error.message, "no such table: missing");
    unit_close(&u);
}

/*  Where the transaction of a level, or a scope, cannot be ended, nothing more runs on the lease. */
TEST(nothing_runs_in_what_cannot_be_ended) {
    unit_pool u;
    int round;
    PART(unit_begin(&u, "stuck.db", 1, "CREATE TABLE t(a)"));
    for (round = 0; round < 2; round++) {
        const sqlpool_mode mode = round == 0 ? SQLPOOL_WRITE : SQLPOOL_READ;
        sqlpool_conn conn;
        sqlpool_rows rows;
        sqlpool__slot *slot;
        CHECK_OK(sqlpool_conn_acquire(u.pool, mode, &conn, &u.error), &u.error);
        slot = unit_slot(&conn);
        PART(unit_break(slot, SQLPOOL__ROLLBACK));
        if (round == 0) {
            CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
            CHECK_INT(sqlpool_conn_rollback(&conn, &u.error), SQLITE_ABORT);
        } else {
            CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &u.error), &u.error);
            CHECK_INT(sqlpool_snapshot_end(&conn, &u.error), SQLITE_ABORT);
        }
        CHECK_HAS(u.error.message, "release the lease");
        CHECK_INT(sqlpool_conn_query(&conn, &rows, "SELECT a FROM t", SQLPOOL_NO_ARGS, &u.error),
                  SQLITE_ABORT);
        CHECK_HAS(u.error.message, "could not be rolled back");
        (void)sqlpool_conn_release(&conn);
        CHECK_INT(slot->counters[SQLPOOL__COUNT_closed_bad], 1);
    }
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(2)"), &u.error);
    unit_close(&u);
}

/*  A connection that is to be replaced goes on until its lease ends: with the raw handle out, and with
    a snapshot that is used again. */
TEST(bad_connections_go_on_until_the_release) {
    unit_pool u;
    sqlpool_conn conn;
    int round;
    PART(unit_begin(&u, "goeson.db", 1, "CREATE TABLE t(a)"));
    u.core->config.snapshot_idle_ms = 50;
    for (round = 0; round < 2; round++) {
        sqlpool_rows rows;
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
        if (round == 0) {
            CHECK_INT(
                sqlite3_exec(sqlpool_conn_db(&conn), "BEGIN; SELECT * FROM t", NULL, NULL, NULL),
                SQLITE_OK);
        } else {
            CHECK_OK(sqlpool_conn_query(&conn, &rows, "SELECT a FROM t", SQLPOOL_NO_ARGS, &u.error),
                     &u.error);
            CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
            CHECK(unit_slot(&conn)->is_pinned);
        }
        unit_slot(&conn)->is_bad = true;
        CHECK_OK(sqlpool_conn_query(&conn, &rows, "SELECT a FROM t", SQLPOOL_NO_ARGS, &u.error),
                 &u.error);
        CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
        (void)sqlpool_conn_release(&conn);
        CHECK(u.core->slots[1].db == NULL);
    }
    unit_close(&u);
}

/*  A call that is wrong is said to be before anything is done. */
static int never_called(sqlpool_conn *conn, void *user, int attempt) {
    (void)conn, (void)attempt;
    ++*(int *)user;
    return SQLPOOL_OK;
}
TEST(writes_of_a_wrong_call) {
    unit_pool u;
    sqlpool_call call = unit_call(0);
    int calls = 0;
    call.attempts = -1;
    PART(unit_begin(&u, "wrongcall.db", 1, NULL));
    CHECK_INT(sqlpool_write_with(u.pool, &call, NULL, never_called, &calls, &u.error),
              SQLPOOL_MISUSE);
    CHECK_HAS(u.error.message, "attempts -1");
    CHECK_INT(calls, 0);
    unit_close(&u);
}

/*  The patience of a call is that of its lease, whoever runs it. */
static int note_patience(sqlpool_conn *conn, void *user, int attempt) {
    (void)attempt;
    *(int64_t *)user = unit_slot(conn)->lock_timeout_ms;
    return SQLPOOL_OK;
}
TEST(a_function_waits_for_locks_as_long_as_its_call) {
    unit_pool u;
    sqlpool_call call = unit_call(1234);
    int64_t patience = -1;
    PART(unit_begin(&u, "patience.db", 1, NULL));
    CHECK_OK(sqlpool_write_with(u.pool, &call, NULL, note_patience, &patience, &u.error), &u.error);
    CHECK_INT(patience, 1234);
    patience = -1;
    CHECK_OK(sqlpool_transaction_with(u.pool, &call, SQLPOOL_WRITE, note_patience, &patience,
                                      &u.error),
             &u.error);
    CHECK_INT(patience, 1234);
    CHECK_OK(sqlpool_write(u.pool, note_patience, &patience, &u.error), &u.error);
    CHECK_INT(patience, 0);
    unit_close(&u);
}

/*  A token that was fired and zeroed again before the statement came to its end: it is cancelled. */
static sqlpool *cancelled_pool;
static sqlpool_token quick_token;
static void fire_and_forget(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count, (void)values;
    if (sqlpool_cancel(cancelled_pool, &quick_token) != SQLPOOL_OK)
        sqlite3_result_error(context, "not cancelled", -1);
    quick_token.fired = 0;
}
static int connect_with_a_trigger(void *user, const sqlpool_conn *conn) {
    (void)user;
    return unit_add_function(conn, "fire", 0, fire_and_forget);
}
TEST(token_that_is_zeroed_at_once) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_call call = unit_call(0);
    call.token = &quick_token;
    config.events.connect_fn = connect_with_a_trigger;
    PART(unit_open(&u, "zeroed.db", &config));
    cancelled_pool = u.pool;
    CHECK_OK(unit_exec(&u, "CREATE TABLE t(a)"), &u.error);
    CHECK_INT(sqlpool_exec_with(
                  u.pool, &call, NULL,
                  "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                  "WHERE i < 100000) SELECT CASE i WHEN 5 THEN fire() ELSE i END FROM n",
                  SQLPOOL_NO_ARGS, &u.error),
              SQLPOOL_CANCELLED);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 0);
    unit_close(&u);
}

/*  Where SQLite says READONLY of a file that it cannot open, what to look at is said too. */
TEST(opening_that_is_read_only) {
    unit_pool u;
    const sqlpool_config config = unit_config(&u, 1);
    fail_open_in = 1;
    fail_open_code = SQLITE_READONLY;
    CHECK_INT(sqlpool_open(&u.pool, "readonlyopen.db", &config, &u.error), SQLITE_READONLY);
    CHECK_HAS(u.error.message, "check that the folder exists");
    fail_open_code = SQLITE_NOMEM;
    fail_open_in = 0;
}

/*---- loads ----*/

typedef struct refusals {
    int64_t rows[64];
    int count;
} refusals;
static int note_refusal(void *user, int64_t row, const sqlpool_value *values,
                        const sqlpool_error *error) {
    refusals *list = (refusals *)user;
    (void)values, (void)error;
    if (list->count < 64) list->rows[list->count] = row;
    list->count++;
    return 0;
}
static sqlpool_bulk_config load_of(const char *table, const char *const *columns, int count,
                                   refusals *list) {
    sqlpool_bulk_config load;
    memset(&load, 0, sizeof load);
    load.table = table;
    load.columns = columns;
    load.column_count = count;
    if (list != NULL) {
        load.refused_fn = note_refusal;
        load.user = list;
    }
    return load;
}

/*  A row that is refused stops the load; what is before it is found to be refused by COMMIT: that row,
    the first, is the one that is named. */
TEST(load_that_stops_before_a_commit_that_refuses) {
    static const char *const names[] = {"p", "k"};
    unit_pool u;
    sqlpool_bulk_config load = load_of("child", names, 2, NULL);
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk;
    PART(unit_begin(
        &u, "stops.db", 1,
        "CREATE TABLE parent(id INTEGER PRIMARY KEY); INSERT INTO parent VALUES(1);"
        "CREATE TABLE child(p REFERENCES parent DEFERRABLE INITIALLY DEFERRED, k UNIQUE)"));
    CHECK_OK(sqlpool_bulk_begin(u.pool, &load, &bulk, &u.error), &u.error);
    CHECK_OK(sqlpool_bulk_row(bulk, SQLPOOL_ARGS(1, 10), &u.error), &u.error);
    CHECK_OK(sqlpool_bulk_row(bulk, SQLPOOL_ARGS(99, 11), &u.error), &u.error);
    CHECK_OK(sqlpool_bulk_row(bulk, SQLPOOL_ARGS(1, 12), &u.error), &u.error);
    CHECK_OK(sqlpool_bulk_row(bulk, SQLPOOL_ARGS(1, 12), &u.error), &u.error);
    CHECK_INT(sqlpool_bulk_end(bulk, &progress, &u.error), SQLITE_CONSTRAINT_FOREIGNKEY);
    CHECK_HAS(u.error.message, "row 1: ");
    CHECK_INT(progress.next_row, 1);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM child"), 1);
    unit_close(&u);
}

/*  Rows that are refused again and again, among many: each is found, and no other. */
TEST(load_with_many_refused_rows) {
    static const char *const names[] = {"k"};
    unit_pool u;
    refusals list;
    sqlpool_bulk_config load = load_of("t", names, 1, &list);
    sqlpool_bulk *bulk;
    int i;
    memset(&list, 0, sizeof list);
    load.batch_bytes = 8 << 20;
    PART(unit_begin(&u, "refusals.db", 1, "CREATE TABLE t(k CHECK(k % 50 <> 7))"));
    CHECK_OK(sqlpool_bulk_begin(u.pool, &load, &bulk, &u.error), &u.error);
    for (i = 0; i < 20000; i++)
        CHECK_OK(sqlpool_bulk_row(bulk, SQLPOOL_ARGS(i), &u.error), &u.error);
    CHECK_OK(sqlpool_bulk_end(bulk, NULL, &u.error), &u.error);
    CHECK_INT(list.count, 400);
    for (i = 0; i < 64; i++) CHECK_INT(list.rows[i], i * 50 + 7);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 19600);
    unit_close(&u);
}

/*  No memory for the list of refused rows ends the load; and in the child of a fork there is none. */
TEST(loads_that_cannot_go_on) {
    static const char *const names[] = {"k"};
    static char big[10000];
    unit_pool u;
    refusals list;
    sqlpool_bulk_config load = load_of("t", names, 1, &list);
    sqlpool_bulk *bulk;
    int round;
    memset(&list, 0, sizeof list);
    memset(big, 'b', sizeof big - 1);
    PART(unit_begin(&u, "cannot.db", 1, "CREATE TABLE t(k UNIQUE); INSERT INTO t VALUES(1)"));
    CHECK_OK(unit_exec(&u, "INSERT INTO t(k) VALUES(0)"), &u.error);
    for (round = 0; round < 3; round++) { /* the statements are in the cache from the first on */
        CHECK_OK(sqlpool_bulk_begin(u.pool, &load, &bulk, &u.error), &u.error);
        sqlpool__global.forked = 1; /* as the fork handler does in the child */
        u.pool->alive = 0;
        CHECK_INT(sqlpool_bulk_row(bulk, SQLPOOL_ARGS(5), &u.error), SQLPOOL_FORKED);
        u.pool->alive = u.pool->serial;
        sqlpool__global.forked = 0;
        CHECK_OK(sqlpool_bulk_row(bulk, SQLPOOL_ARGS(1), &u.error), &u.error);
        if (round == 1) sim_alloc_fail(1, 0);
        CHECK_INT(sqlpool_bulk_end(bulk, NULL, &u.error), round == 1 ? SQLPOOL_NOMEM : SQLPOOL_OK);
        sim_alloc_heal();
        if (round == 1) CHECK_HAS(u.error.message, "report refused rows");
    }
    CHECK_INT(list.count, 2);
    load.batch_bytes = 4096;
    CHECK_OK(sqlpool_bulk_begin(u.pool, &load, &bulk, &u.error), &u.error);
    sim_alloc_fail(1, 0); /* a row that is larger than a batch is a batch of its own */
    CHECK_INT(sqlpool_bulk_row(bulk, SQLPOOL_ARGS(big), &u.error), SQLPOOL_NOMEM);
    sim_alloc_heal();
    CHECK_HAS(u.error.message, "no memory for a row of");
    CHECK_INT(sqlpool_bulk_end(bulk, NULL, &u.error), SQLPOOL_NOMEM);
    unit_close(&u);
}

/*  Without a log a reader of another thread keeps a submitted write waiting: that is no wait for
    oneself. */
TEST(submitted_writes_beside_anothers_reader) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 2);
    sqlpool_ticket ticket;
    sqlpool_conn conn;
    uint64_t me;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    PART(unit_open_with(&u, "anothers.db", &config, "CREATE TABLE t(a)"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_submit(u.pool, &ticket, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, &u.error),
             &u.error);
    CHECK_INT(sqlpool_ticket_wait(&ticket, 10, NULL, &u.error), SQLPOOL_MISUSE);
    CHECK_HAS(u.error.message, "keeps the writer out");
    me = unit_slot(&conn)->owner;
    unit_slot(&conn)->owner = 4711;
    CHECK_INT(sqlpool_ticket_wait(&ticket, 10, NULL, &u.error), SQLPOOL_WOULD_BLOCK);
    unit_slot(&conn)->owner = me;
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_ticket_wait(&ticket, 10, NULL, &u.error), &u.error);
    unit_close(&u);
}

/*  Many submitted writes that can never be run are all told so, however many there are. */
static void count_moved(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    (void)result;
    if (error->result == SQLPOOL_MOVED && error->outcome == SQLPOOL_OUTCOME_NOT_COMMITTED)
        ++*(int *)user;
}
TEST(many_submitted_writes_that_cannot_be_run) {
    enum { MANY = 2 * SQLPOOL__GROUP_MOST + 5 };
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_submission submission;
    int i, told = 0;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    config.submit_count = MANY;
    memset(&submission, 0, sizeof submission);
    submission.done_fn = count_moved;
    submission.user = &told;
    PART(unit_open_with(&u, "never.db", &config, "CREATE TABLE t(a)"));
    CHECK_INT(rename("never.db", "elsewhere.db"), 0);
    for (i = 0; i < MANY; i++)
        CHECK_OK(sqlpool_submit_with(u.pool, &submission, NULL, "INSERT INTO t VALUES(1)",
                                     SQLPOOL_NO_ARGS, &u.error),
                 &u.error);
    CHECK(sqlpool__note_if_moved(&u.core->slots[0]));
    CHECK_OK(sqlpool_flush(u.pool, 0, &u.error), &u.error);
    CHECK_INT(told, MANY);
    CHECK_INT(rename("elsewhere.db", "never.db"), 0);
    CHECK_OK(sqlpool_recycle(u.pool), &u.error);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 0);
    unit_close(&u);
}

/*  A scope whose transaction is gone says how to get out of it: at its own level, and of one inside. */
TEST(scope_that_sqlite_has_ended) {
    unit_pool u;
    int levels;
    PART(unit_begin(&u, "scopeended.db", 1, "CREATE TABLE t(a)"));
    for (levels = 0; levels < 2; levels++) {
        sqlpool_conn conn;
        sqlpool_rows rows;
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
        CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &u.error), &u.error);
        if (levels == 1) CHECK_OK(sqlpool_conn_begin(&conn, &u.error), &u.error);
        unit_slot(&conn)->check = SQLPOOL__CHECK_ALLOW;
        CHECK_INT(sqlite3_exec(unit_slot(&conn)->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        CHECK_INT(sqlpool_conn_query(&conn, &rows, "SELECT a FROM t", SQLPOOL_NO_ARGS, &u.error),
                  SQLPOOL_ROLLED_BACK);
        CHECK_HAS(u.error.message,
                  levels == 0 ? "call sqlpool_snapshot_end()" : "call sqlpool_conn_rollback()");
        if (levels == 1) CHECK_OK(sqlpool_conn_rollback(&conn, &u.error), &u.error);
        CHECK_OK(sqlpool_snapshot_end(&conn, &u.error), &u.error);
        CHECK_OK(sqlpool_conn_query(&conn, &rows, "SELECT a FROM t", SQLPOOL_NO_ARGS, &u.error),
                 &u.error);
        CHECK_OK(sqlpool_rows_close(&rows, &u.error), &u.error);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    unit_close(&u);
}

/*  What a load has where nothing is said: as the manual gives it. */
TEST(defaults_of_a_load) {
    static const char *const names[] = {"k", "l"};
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_bulk_config load = load_of("t", names, 1, NULL);
    sqlpool_bulk *bulk;
    PART(unit_open_with(&u, "load.db", &config, "CREATE TABLE t(k, l)"));
    CHECK_OK(sqlpool_bulk_begin(u.pool, &load, &bulk, &u.error), &u.error);
    CHECK_INT(bulk->config.batch_ms, 50);
    CHECK_INT(bulk->config.batch_bytes, 1 << 20);
    CHECK_INT(bulk->per[0], 64);
    CHECK_INT(bulk->per[1], 8);
    CHECK_INT(bulk->per[2], 1);
    CHECK_INT(sqlpool_bulk_abandon(bulk, NULL), SQLPOOL_OK);
    unit_close(&u);
    config = unit_config(&u, 1);
    config.untrusted = true; /* 10 parameters a statement: 5 rows at most, and no size twice */
    load.column_count = 2;
    PART(unit_open(&u, "load.db", &config));
    CHECK_OK(sqlpool_bulk_begin(u.pool, &load, &bulk, &u.error), &u.error);
    CHECK_INT(bulk->per[0], 0);
    CHECK_INT(bulk->per[1], 5);
    CHECK_INT(bulk->per[2], 1);
    CHECK_INT(sqlpool_bulk_abandon(bulk, NULL), SQLPOOL_OK);
    unit_close(&u);
}

/*  A statement that runs into its deadline says what to do. */
static sim_clock *late_clock;
static void make_late(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count, (void)values;
    late_clock->now_ns += MS;
    sqlite3_result_int(context, 1);
}
static int connect_that_makes_late(void *user, const sqlpool_conn *conn) {
    (void)user;
    return unit_add_function(conn, "late", 0, make_late);
}
TEST(statement_that_runs_into_its_deadline) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    late_clock = &u.clock;
    config.events.connect_fn = connect_that_makes_late;
    config.statement_timeout_ms = 10;
    PART(unit_open(&u, "late.db", &config));
    CHECK_INT(
        unit_exec(&u,
                  "WITH RECURSIVE n(i) AS (SELECT late() UNION ALL SELECT i + late() FROM n WHERE "
                  "i < 100000) SELECT max(i) FROM n"),
        SQLPOOL_TIMEOUT);
    CHECK_HAS(u.error.message, "ran into its deadline; raise the timeout or make it cheaper");
    CHECK_HAS(u.error.message, "WITH RECURSIVE");
    CHECK_INT(u.error.sqlite_code, SQLITE_INTERRUPT);
    CHECK_INT(u.core->slots[1].counters[SQLPOOL__COUNT_expirations], 1);
    unit_close(&u);
}

/*  A statement that was given back has no deadline any more: nothing of it may stop the next one. */
TEST(statement_given_back_is_disarmed) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_conn conn;
    sqlite3_stmt *statement;
    config.statement_timeout_ms = 1000;
    PART(unit_open(&u, "disarmed.db", &config));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT 1", &statement, &u.error), &u.error);
    CHECK_INT(unit_slot(&conn)->deadline_ns, u.clock.now_ns + 1000 * MS);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, statement), SQLPOOL_OK);
    CHECK_INT(unit_slot(&conn)->deadline_ns, SQLPOOL__NEVER);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

/*  A scope that ends before upkeep would look wakes it; one that ends later does not. */
TEST(scope_with_an_age_wakes_upkeep) {
    unit_pool u;
    int round;
    PART(unit_begin(&u, "scopewakes.db", 1, NULL));
    CHECK_OK(unit_exec(&u, "CREATE TABLE t(a)"), &u.error);
    for (round = 0; round < 3; round++) {
        sqlpool_conn conn;
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
        u.core->has_thread = round < 2; /* as if: nobody answers */
        u.core->upkeep_wake_ns = u.clock.now_ns + (round == 0 ? 200 : 50) * MS;
        u.core->is_upkeep_kicked = false;
        CHECK_OK(sqlpool_snapshot_begin(&conn, 100, &u.error), &u.error);
        CHECK_INT(u.core->is_upkeep_kicked, round == 0);
        u.core->has_thread = false;
        CHECK_OK(sqlpool_snapshot_end(&conn, &u.error), &u.error);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    unit_close(&u);
}

/*  events.error_fn hears of a transaction that its function has failed, once. */
static int refuse_the_work(sqlpool_conn *conn, void *user, int attempt) {
    (void)conn, (void)attempt;
    return *(const int *)user;
}
TEST(error_hook_hears_of_transactions) {
    static const int results[] = {SQLITE_FULL, 4711, SQLPOOL_OK};
    unit_pool u;
    size_t i;
    PART(unit_begin(&u, "hears.db", 1, NULL));
    for (i = 0; i < LENGTH(results); i++) {
        u.log.errors = u.log.last_error = 0;
        CHECK_INT(sqlpool_transaction(u.pool, SQLPOOL_READ, refuse_the_work, (void *)&results[i],
                                      &u.error),
                  results[i]);
        CHECK_INT(u.log.errors, results[i] != SQLPOOL_OK ? 1 : 0);
        CHECK_INT(u.log.last_error, results[i]);
    }
    unit_close(&u);
}

TEST(no_memory_for_a_script) {
    unit_pool u;
    PART(unit_begin(&u, "script.db", 1, NULL));
    sim_alloc_fail(1, 0); /* what has no terminator is copied */
    CHECK_INT(sqlpool_script(u.pool, "CREATE TABLE t(a); SELEKT", 18, &u.error), SQLPOOL_NOMEM);
    sim_alloc_heal();
    CHECK_HAS(u.error.message, "copy the script");
    CHECK_OK(sqlpool_script(u.pool, "CREATE TABLE t(a); SELEKT", 18, &u.error), &u.error);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 0);
    unit_close(&u);
}

/*  A connection that lives long: its count of changes passes what an int holds. The subtraction that
    would overflow is found by a build with -fsanitize=undefined. */
static int insert_ten(sqlpool_conn *conn, void *user, int attempt) {
    int i, rc = SQLPOOL_OK;
    (void)user, (void)attempt;
    for (i = 0; i < 10 && rc == SQLPOOL_OK; i++)
        rc = sqlpool_conn_exec(conn, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, NULL, NULL);
    return rc;
}
TEST(changes_beyond_what_an_int_holds) {
    static const unsigned starts[] = {INT_MAX - 5, UINT_MAX - 5};
    size_t i;
    for (i = 0; i < LENGTH(starts); i++) {
        unit_pool u;
        const sqlpool_config config = unit_config(&u, 1);
        sqlpool_result result;
        sqlpool_ticket ticket;
        int way;
        unit_open(&u, i == 0 ? "int.db" : "uint.db", &config);
        CHECK_OK(unit_script(&u, "CREATE TABLE t(v)"), &u.error);
        for (way = 0; way < 2; way++) {
            const unsigned before = (unsigned)way * 10; /* made by the first way */
            changes_before = starts[i] - before;
            memset(&result, 0x5a, sizeof result);
            if (way == 0) {
                CHECK_OK(sqlpool_write_with(u.pool, NULL, &result, insert_ten, NULL, &u.error),
                         &u.error);
            } else {
                CHECK_OK(sqlpool_submit_write(u.pool, NULL, &ticket, insert_ten, NULL, &u.error),
                         &u.error);
                CHECK_OK(sqlpool_ticket_wait(&ticket, 0, &result, &u.error), &u.error);
            }
            CHECK_INT(result.changes, 10);
        }
        changes_before = 0;
        unit_close(&u);
    }
}

int main(void) {
    RUN(null_pointers_of_one_value); /* while there are handles that were never used */
    RUN(versions_with_the_reset_bug);
    RUN(versions_that_cannot_be_used);
    RUN(memory_before_memdb);
    RUN(opening_without_a_vfs_or_a_name);
    RUN(file_that_turns_out_to_be_read_only);
    RUN(journal_that_is_not_granted);
    RUN(journal_change_that_must_wait);
    RUN(pragma_that_is_not_granted);
    RUN(page_cache_shares);
    RUN(connect_hook_that_opens_the_next);
    RUN(connect_hook_that_fails_half_way);
    RUN(budget_above_the_limit);
    RUN(no_memory_for_the_texts);
    RUN(file_control_that_fails_means_not_moved);
    RUN(gate_that_closes_behind_the_taker);
    RUN(calls_on_a_closing_pool);
    RUN(close_waits_for_who_is_inside);
    RUN(close_with_a_buffer_out);
    RUN(misuse_of_leases);
    RUN(cursors_that_outlive);
    RUN(cursor_deadline_comes_back);
    RUN(no_memory_for_returning);
    RUN(rollback_that_fails);
    RUN(a_level_that_was_rolled_back_is_gone);
    RUN(savepoint_that_cannot_be_undone);
    RUN(statement_that_moves_to_the_writer);
    RUN(quoted_pragma_goes_to_the_writer);
    RUN(exclusive_sections);
    RUN(old_log_beside_the_path);
    RUN(commit_of_a_cancelled_lease);
    RUN(open_in_a_forked_child);
    RUN(foreign_keys_that_cannot_be_enforced);
    RUN(quick_check_that_finds_something);
    RUN(a_row_that_breaks_a_constraint_confirms_no_damage);
    RUN(an_untrusted_file_that_cannot_be_read_is_not_called_damaged);
    RUN(a_page_that_cannot_be_read_is_not_damage);
    RUN(write_on_a_raw_reader);
    RUN(statements_are_handed_out_unbound);
    RUN(a_commit_counts_when_its_statement_comes_back);
    RUN(chain_of_the_connection_comes_back);
    RUN(status_of_many_holders);
    RUN(cursor_of_a_closed_pool);
    RUN(thread_hooks_may_be_missing_without_a_thread);
    RUN(uri_that_names_no_file);
    RUN(no_stamp_no_snapshot);
    RUN(null_and_empty_values);
    RUN(raw_commit_inside_a_level);
    RUN(virtual_tables);
    RUN(functions_and_a_schema_from_outside);
    RUN(authorizer_that_is_set_beside_a_statement);
    RUN(no_vfs_for_a_single_process);
    RUN(syncs_that_cannot_be);
    RUN(leases_of_a_file_that_was_moved);
    RUN(replaced_when_the_file_was_moved);
    RUN(scope_beside_open_statements);
    RUN(cursor_without_columns);
    RUN(two_cursors_that_fail);
    RUN(columns_of_a_cursor_that_is_over);
    RUN(submissions_larger_than_the_queue);
    RUN(read_only_of_every_shape);
    RUN(one_value_without_an_error);
    RUN(commit_of_what_sqlite_has_ended);
    RUN(inner_level_undone_beside_an_interrupt);
    RUN(exclusive_sections_with_the_callers_error);
    RUN(nothing_runs_in_what_cannot_be_ended);
    RUN(bad_connections_go_on_until_the_release);
    RUN(writes_of_a_wrong_call);
    RUN(a_function_waits_for_locks_as_long_as_its_call);
    RUN(token_that_is_zeroed_at_once);
    RUN(opening_that_is_read_only);
    RUN(load_that_stops_before_a_commit_that_refuses);
    RUN(load_with_many_refused_rows);
    RUN(loads_that_cannot_go_on);
    RUN(submitted_writes_beside_anothers_reader);
    RUN(many_submitted_writes_that_cannot_be_run);
    RUN(scope_that_sqlite_has_ended);
    RUN(defaults_of_a_load);
    RUN(statement_that_runs_into_its_deadline);
    RUN(statement_given_back_is_disarmed);
    RUN(scope_with_an_age_wakes_upkeep);
    RUN(error_hook_hears_of_transactions);
    RUN(no_memory_for_a_script);
    RUN(changes_beyond_what_an_int_holds);
    return test_end();
}
