/*  found.c - what the model-based test (tests/stress/model.c) has found, each case by itself.
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"

#include "sim/sim.h"
#include "test.h"

static sim_clock sim_time;
static sim_locks sim_latches;

static sqlpool_config config_here(void) {
    sqlpool_config config = sqlpool_config_default();
    config.vfs_name = "sim";
    config.min_connections = 1;
    config.max_connections = 3;
    config.acquire_timeout_ms = 50;
    config.disable_upkeep_thread = true;
    config.allocator = sim_allocator();
    config.clock = sim_clock_hooks(&sim_time);
    config.locks = sim_locks_hooks(&sim_latches);
    sim_latches.clock = &sim_time;
    sim_latches.solo = 1;
    return config;
}

/*  The writer has its statement from the load before: it says nothing about the table. */
TEST(a_load_of_a_table_that_was_dropped_is_refused_at_its_begin) {
    static const char *const columns[] = {"id", "v"};
    sqlpool_config config = config_here();
    sqlpool_bulk_config load = {0};
    sqlpool_bulk *bulk;
    sqlpool_error e;
    sqlpool *pool;
    int rc;
    load.table = "t";
    load.columns = columns;
    load.column_count = 2;
    CHECK_INT(sqlpool_open(&pool, "dropped.db", &config, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_exec(pool, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", SQLPOOL_NO_ARGS, &e),
              SQLPOOL_OK);
    CHECK_INT(sqlpool_bulk_begin(pool, &load, &bulk, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_bulk_row(bulk, SQLPOOL_ARGS(1, 1), &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_bulk_end(bulk, NULL, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_exec(pool, "DROP TABLE t", SQLPOOL_NO_ARGS, &e), SQLPOOL_OK);
    rc = sqlpool_bulk_begin(pool, &load, &bulk, &e);
    if (rc == SQLPOOL_OK) (void)sqlpool_bulk_abandon(bulk, NULL);
    CHECK_INT(sqlpool_close(pool, &e), SQLPOOL_OK);
    CHECK_INT(rc, SQLITE_ERROR);
}

/*  A number has no text until SQLite makes one, which takes memory. */
TEST(query_text_says_so_when_there_is_no_memory_for_the_text) {
    sqlpool_config config = config_here();
    sqlpool_error e;
    sqlpool *pool;
    char text[32];
    uint64_t n;
    int rc = SQLITE_NOMEM, wrong = 0;
    CHECK_INT(sqlpool_open(&pool, "text.db", &config, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_query_text(pool, text, sizeof text, "SELECT 12345", SQLPOOL_NO_ARGS, &e),
              SQLPOOL_OK);
    for (n = 1; n < 50; n++) {
        sim_alloc_fail(n, 0);
        rc = sqlpool_query_text(pool, text, sizeof text, "SELECT 12345", SQLPOOL_NO_ARGS, &e);
        wrong += rc == SQLPOOL_OK && strcmp(text, "12345") != 0;
        if (sim_alloc.failed == 0) break;
    }
    sim_alloc_heal();
    CHECK_INT(sqlpool_close(pool, &e), SQLPOOL_OK);
    CHECK(n > 1 && n < 50);
    CHECK_INT(wrong, 0);
}

/*  The same of a cursor: its close has to say why a text was missing. */
TEST(closing_a_cursor_says_so_when_there_was_no_memory_for_a_text) {
    sqlpool_config config = config_here();
    sqlpool_error e;
    sqlpool *pool;
    uint64_t n;
    int wrong = 0;
    CHECK_INT(sqlpool_open(&pool, "cursor.db", &config, &e), SQLPOOL_OK);
    for (n = 0; n < 50; n++) { /* the first time nothing fails */
        sqlpool_rows rows;
        bool has_row, has_text;
        int rc;
        sim_alloc_fail(n, 0);
        rc = sqlpool_query(pool, &rows, "SELECT 12345", SQLPOOL_NO_ARGS, &e);
        has_row = rc == SQLPOOL_OK && sqlpool_rows_next(&rows);
        has_text = has_row && sqlpool_rows_text(&rows, 0) != NULL;
        rc = sqlpool_rows_close(&rows, &e);
        wrong += has_row && !has_text && rc == SQLPOOL_OK;
        if (n > 0 && sim_alloc.failed == 0) break;
    }
    sim_alloc_heal();
    CHECK_INT(sqlpool_close(pool, &e), SQLPOOL_OK);
    CHECK(n > 1 && n < 50);
    CHECK_INT(wrong, 0);
}

/*  After an opening that failed the next waits open_retry_ms, not until a time that was. */
TEST(a_clock_that_goes_back_does_not_keep_a_pool_from_opening_connections) {
    sqlpool_config config = config_here();
    sim_vfs_fault fault = {1, SIM_VFS_OPEN, 0, 1, 0};
    const sim_vfs_fault none = {0, SIM_VFS_ANY, 0, 0, 0};
    sqlpool_conn reader, other;
    sqlpool_error e;
    sqlpool *pool;
    int rc;
    sim_clock_advance(&sim_time, INT64_C(1000000000000));
    CHECK_INT(sqlpool_open(&pool, "clock.db", &config, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_exec(pool, "CREATE TABLE t(v)", SQLPOOL_NO_ARGS, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_acquire(pool, SQLPOOL_READ, &reader, &e), SQLPOOL_OK);
    sim_vfs_arm(fault);
    CHECK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &other, &e) != SQLPOOL_OK);
    CHECK(sim_vfs.faults > 0);
    sim_vfs_arm(none);
    sim_clock_advance(&sim_time, -INT64_C(900000000000));
    rc = sqlpool_conn_acquire(pool, SQLPOOL_READ, &other, &e);
    if (rc == SQLPOOL_OK) (void)sqlpool_conn_release(&other);
    CHECK_INT(sqlpool_conn_release(&reader), SQLPOOL_OK);
    CHECK_INT(sqlpool_close(pool, NULL), SQLPOOL_OK);
    CHECK_INT(rc, SQLPOOL_OK);
}

enum { SEEN = 70001 };
static int insert_fn(sqlpool_conn *conn, void *user, int attempt) {
    (void)user;
    (void)attempt;
    return sqlpool_conn_exec(conn, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, NULL, NULL);
}
static int refuse_fn(sqlpool_conn *conn, void *user, int attempt) {
    sqlpool_rows rows;
    int64_t count = 0;
    int rc = sqlpool_conn_query(conn, &rows, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, NULL);
    (void)user;
    (void)attempt;
    if (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) count = sqlpool_rows_int64(&rows, 0);
    rc = sqlpool_rows_close(&rows, NULL);
    return rc == SQLPOOL_OK && count > 0 ? SEEN : rc;
}
/*  One write refuses because of what another of its group did, whose COMMIT then fails: nobody may
    hear of a reason that never was. */
TEST(a_write_is_not_refused_for_what_was_not_committed) {
    sqlpool_config config = config_here();
    sqlpool_ticket tickets[2];
    sqlpool_error e;
    sqlpool *pool, *other;
    sqlpool_rows rows;
    int64_t count;
    int i, rc[2];
    config.journal = SQLPOOL_JOURNAL_DELETE;
    CHECK_INT(sqlpool_open(&pool, "group.db", &config, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_open(&other, "group.db", &config, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_script(pool,
                             "CREATE TABLE t(v); CREATE TABLE held(v);"
                             "INSERT INTO held VALUES(1), (2), (3)",
                             -1, &e),
              SQLPOOL_OK);
    CHECK_INT(sqlpool_query(other, &rows, "SELECT v FROM held", SQLPOOL_NO_ARGS, &e), SQLPOOL_OK);
    CHECK(sqlpool_rows_next(&rows)); /* no COMMIT of anybody can end while this is open */
    CHECK_INT(sqlpool_submit_write(pool, NULL, &tickets[0], insert_fn, NULL, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_submit_write(pool, NULL, &tickets[1], refuse_fn, NULL, &e), SQLPOOL_OK);
    (void)sqlpool_flush(pool, 0, &e);
    for (i = 0; i < 2; i++) rc[i] = sqlpool_ticket_wait(&tickets[i], 0, NULL, &e);
    CHECK_INT(sqlpool_rows_close(&rows, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_query_int64(pool, &count, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &e),
              SQLPOOL_OK);
    CHECK_INT(sqlpool_close(other, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_close(pool, &e), SQLPOOL_OK);
    CHECK(rc[0] != SQLPOOL_OK);
    CHECK_INT(count, 0);
    CHECK(rc[1] != SEEN);
}

/*  A statement of the cache that SQLite prepares again, while the disk fails, by the schema of
    before. */
TEST(a_table_that_is_there_is_not_called_missing_when_the_disk_fails) {
    sqlpool_config config = config_here();
    sim_vfs_fault fault = {1, SIM_VFS_SHM_LOCK, 0, 1, 0};
    const sim_vfs_fault none = {0, SIM_VFS_ANY, 0, 0, 0};
    sqlpool_error e;
    sqlpool *pool, *other;
    int64_t value;
    int rc;
    CHECK_INT(sqlpool_open(&other, "missing.db", &config, &e), SQLPOOL_OK);
    config.max_connections = 1;
    CHECK_INT(sqlpool_open(&pool, "missing.db", &config, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_script(other, "CREATE TABLE t(v); INSERT INTO t VALUES(1)", -1, &e),
              SQLPOOL_OK);
    CHECK_INT(sqlpool_query_int64(pool, &value, "SELECT v FROM t", SQLPOOL_NO_ARGS, &e),
              SQLPOOL_OK);
    CHECK_INT(sqlpool_exec(other, "DROP TABLE t", SQLPOOL_NO_ARGS, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_query_int64(pool, &value, "SELECT v FROM t", SQLPOOL_NO_ARGS, &e),
              SQLITE_ERROR);
    CHECK_INT(sqlpool_exec(other, "CREATE TABLE t(v)", SQLPOOL_NO_ARGS, &e), SQLPOOL_OK);
    sim_vfs_arm(fault);
    rc = sqlpool_query_int64(pool, &value, "SELECT v FROM t", SQLPOOL_NO_ARGS, &e);
    sim_vfs_arm(none);
    sim_clock_advance(&sim_time, INT64_C(10000000000));
    CHECK_INT(sqlpool_close(other, &e), SQLPOOL_OK);
    CHECK_INT(sqlpool_close(pool, &e), SQLPOOL_OK);
    CHECK_INT(rc & 0xff, SQLITE_IOERR);
}

int main(void) {
    if (sim_alloc_install() != SQLITE_OK || sim_vfs_install() != SQLITE_OK) {
        printf("# SQLite refuses the simulator\n0 passed, 1 failed\n");
        return 1;
    }
    sim_vfs.skip_sync = 1;
    sim_vfs.skip_sleep = 1;
    RUN(a_load_of_a_table_that_was_dropped_is_refused_at_its_begin);
    RUN(query_text_says_so_when_there_is_no_memory_for_the_text);
    RUN(closing_a_cursor_says_so_when_there_was_no_memory_for_a_text);
    RUN(a_clock_that_goes_back_does_not_keep_a_pool_from_opening_connections);
    RUN(a_write_is_not_refused_for_what_was_not_committed);
    RUN(a_table_that_is_there_is_not_called_missing_when_the_disk_fails);
    return test_end();
}
