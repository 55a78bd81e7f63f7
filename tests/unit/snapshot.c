/*  snapshot.c - white box: the stamp and reusable snapshots (I11).
    SPDX-License-Identifier: MIT OR Unlicense

    The pools here have no upkeep thread; snapshots are switched on by hand and ended by hand. */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "unit.h"

/*  A pool whose readers may keep snapshots, with a table of one row, and one plain connection. */
typedef struct fresh {
    unit_pool u;
    sqlpool__slot *reader;
    sqlite3 *plain;
} fresh;

static void begin(fresh *f, const char *path, const sqlpool_config *config) {
    PART(unit_open(&f->u, path, config));
    f->u.core->config.snapshot_idle_ms = 50;
    f->reader = &f->u.core->slots[1];
    CHECK_OK(unit_script(&f->u, "CREATE TABLE t(a); INSERT INTO t VALUES(0)"), &f->u.error);
    CHECK_INT(sqlite3_open(path, &f->plain), SQLITE_OK);
}
static void begin_plain(fresh *f, const char *path) {
    const sqlpool_config config = unit_config(&f->u, 1);
    begin(f, path, &config);
}
static void end(fresh *f) {
    CHECK_INT(sqlite3_close(f->plain), SQLITE_OK);
    unit_close(&f->u);
}
static int64_t read_a(fresh *f) {
    int64_t value = -1;
    if (sqlpool_query_int64(f->u.pool, &value, "SELECT a FROM t", SQLPOOL_NO_ARGS, &f->u.error) != 0)
        test_fail(__FILE__, __LINE__, "%s", f->u.error.message);
    return value;
}
static void write_a(fresh *f, int a) {
    CHECK_OK(sqlpool_exec(f->u.pool, "UPDATE t SET a = ?", SQLPOOL_ARGS(a), &f->u.error),
             &f->u.error);
}
static void write_elsewhere(fresh *f, int a) {
    char sql[64];
    (void)snprintf(sql, sizeof sql, "UPDATE t SET a = %d", a);
    CHECK_INT(sqlite3_exec(f->plain, sql, NULL, NULL, NULL), SQLITE_OK);
}
static uint64_t hits(const fresh *f) {
    return f->reader->counters[SQLPOOL__COUNT_snapshot_hits];
}
static uint64_t misses(const fresh *f) {
    return f->reader->counters[SQLPOOL__COUNT_snapshot_misses];
}

TEST(stamps) {
    uint32_t map[2 * SQLPOOL__STAMP_WORDS];
    sqlpool__stamp stamp;
    int i;
    for (i = 0; i < SQLPOOL__STAMP_WORDS; i++)
        map[i] = map[i + SQLPOOL__STAMP_WORDS] = (uint32_t)(i * 77 + 1);
    CHECK(sqlpool__stamp_read(map, &stamp));
    CHECK(memcmp(stamp.words, map, sizeof stamp.words) == 0);
    CHECK(sqlpool__stamp_is(map, &stamp));
    for (i = 0; i < SQLPOOL__STAMP_WORDS; i++) {
        map[i] ^= 0x80000000u; /* every bit of every word counts */
        CHECK(!sqlpool__stamp_is(map, &stamp));
        CHECK(!sqlpool__stamp_read(map, &stamp)); /* a copy that is being written */
        map[i] ^= 0x80000000u;
        map[i + SQLPOOL__STAMP_WORDS] ^= 1u;
        CHECK(!sqlpool__stamp_read(map, &stamp));
        map[i + SQLPOOL__STAMP_WORDS] ^= 1u;
        CHECK(sqlpool__stamp_read(map, &stamp));
    }
}

TEST(reuse_until_someone_commits) {
    fresh f;
    uint64_t before;
    int i;
    PART(begin_plain(&f, "reuse.db"));
    CHECK_INT(read_a(&f), 0);
    CHECK(f.reader->is_pinned);
    CHECK_INT(f.reader->has_snapshot, 1);
    for (i = 0; i < 10; i++) CHECK_INT(read_a(&f), 0);
    CHECK_INT(hits(&f), 10);
    CHECK_INT(misses(&f), 0);
    before = misses(&f);
    PART(write_a(&f, 1));
    CHECK_INT(read_a(&f), 1);
    CHECK_INT(misses(&f) - before, 1);
    CHECK_INT(read_a(&f), 1);
    PART(write_elsewhere(&f, 2)); /* another connection, as another process would */
    CHECK_INT(read_a(&f), 2);
    CHECK_INT(misses(&f) - before, 2);
    CHECK_INT(sqlite3_exec(f.plain, "BEGIN; UPDATE t SET a = 9", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(read_a(&f), 2); /* not committed */
    CHECK_INT(sqlite3_exec(f.plain, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(read_a(&f), 2);
    PART(end(&f));
}

/*  Every read after every commit sees it, whoever commits, through every phase of credit and rest. */
TEST(fresh_through_every_phase) {
    fresh f;
    uint64_t state = 5;
    int i, last = 0, rested = 0;
    PART(begin_plain(&f, "phases.db"));
    for (i = 1; i < 1500; i++) {
        const uint64_t dice = sqlpool__default_random(&state) % 10;
        if (i > 400 && i < 800 ? dice < 9 : dice < 2) {
            last = i;
            if (i % 2) {
                PART(write_a(&f, i));
            } else {
                PART(write_elsewhere(&f, i));
            }
        }
        if (read_a(&f) != last) {
            test_fail(__FILE__, __LINE__, "a stale read in round %d", i);
            return;
        }
        if (f.reader->pin_rest > 0) rested++;
        CHECK(f.reader->pin_rest >= 0 && f.reader->pin_rest <= SQLPOOL__PIN_REST);
        CHECK(f.reader->pin_credit <= SQLPOOL__PIN_CREDIT);
        CHECK(!(f.reader->pin_rest > 0 && f.reader->is_pinned));
    }
    CHECK(rested > 50 && rested < 1000); /* it rested while commits came fast, and came back */
    CHECK(hits(&f) > 300);
    PART(end(&f));
}

TEST(useless_snapshots_rest) {
    fresh f;
    int i;
    PART(begin_plain(&f, "rest.db"));
    CHECK_INT(read_a(&f), 0);
    for (i = 1; i <= 4; i++) { /* four in a row that nobody used */
        CHECK_INT(f.reader->pin_rest, 0);
        PART(write_a(&f, i));
        CHECK_INT(read_a(&f), i);
    }
    CHECK(!f.reader->is_pinned);
    CHECK_INT(f.reader->pin_rest, SQLPOOL__PIN_REST - 1);
    for (i = 0; i < SQLPOOL__PIN_REST - 1; i++) CHECK_INT(read_a(&f), 4);
    CHECK_INT(f.reader->pin_rest, 0);
    CHECK_INT(f.reader->pin_credit, 2);
    CHECK_INT(read_a(&f), 4);
    CHECK(f.reader->is_pinned);
    PART(end(&f));
}

TEST(idle_snapshots_end) {
    fresh f;
    int64_t next;
    PART(begin_plain(&f, "idle.db"));
    CHECK_INT(read_a(&f), 0);
    next = sqlpool__end_idle_snapshots(f.u.core, f.u.clock.now_ns);
    CHECK_INT(next - f.u.clock.now_ns, 50 * MS);
    f.u.clock.now_ns += 50 * MS - 1;
    (void)sqlpool__end_idle_snapshots(f.u.core, f.u.clock.now_ns);
    CHECK(f.reader->is_pinned);
    f.u.clock.now_ns += 1;
    CHECK_INT(sqlpool__end_idle_snapshots(f.u.core, f.u.clock.now_ns), SQLPOOL__NEVER);
    CHECK(!f.reader->is_pinned);
    CHECK_INT(f.reader->has_snapshot, 0);
    CHECK_INT(read_a(&f), 0);
    PART(end(&f));
}

/*  Nothing of an idle reader may keep a checkpoint from finishing. */
TEST(snapshots_pin_no_checkpoint) {
    fresh f;
    sqlpool_checkpoint_result result;
    PART(begin_plain(&f, "nopin.db"));
    CHECK_INT(read_a(&f), 0);
    PART(write_a(&f, 3));
    CHECK(f.reader->is_pinned);
    CHECK_OK(sqlpool_checkpoint(f.u.pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, &f.u.error),
             &f.u.error);
    CHECK_INT(result.checkpointed_frames, result.log_frames);
    CHECK(!f.reader->is_pinned);
    CHECK_INT(read_a(&f), 3);
    CHECK_OK(sqlpool_checkpoint(f.u.pool, SQLPOOL_CHECKPOINT_TRUNCATE, &result, &f.u.error),
             &f.u.error);
    CHECK_INT(read_a(&f), 3);
    CHECK_OK(sqlpool_pause(f.u.pool, 10, &f.u.error), &f.u.error);
    CHECK(!f.reader->is_pinned);
    CHECK_INT(sqlite3_exec(f.plain, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlpool_resume(f.u.pool), SQLPOOL_OK);
    CHECK_INT(read_a(&f), 3);
    PART(end(&f));
}

/*  The snapshot of a read goes to the lease, which reads from it and keeps it. */
static void lease_with_a_snapshot(fresh *f, sqlpool_conn *conn) {
    CHECK_INT(read_a(f), 0);
    CHECK_OK(sqlpool_conn_acquire(f->u.pool, SQLPOOL_READ, conn, &f->u.error), &f->u.error);
    CHECK(f->reader->is_lent && f->reader->is_pinned);
    CHECK_OK(unit_exec_on(&f->u, conn, "SELECT a FROM t"), &f->u.error);
    CHECK(f->reader->is_pinned);
}

/*  The raw handle, a raw statement, a transaction: each has plain freshness. */
TEST(where_no_snapshot_is_kept) {
    fresh f;
    sqlpool_conn conn;
    sqlite3_stmt *statement;
    PART(begin_plain(&f, "plain.db"));
    PART(lease_with_a_snapshot(&f, &conn));
    CHECK_OK(sqlpool_conn_begin(&conn, &f.u.error), &f.u.error);
    CHECK(!f.reader->is_pinned);
    CHECK_OK(unit_exec_on(&f.u, &conn, "SELECT a FROM t"), &f.u.error);
    CHECK(!f.reader->is_pinned);
    CHECK_OK(sqlpool_conn_rollback(&conn, &f.u.error), &f.u.error);
    CHECK_OK(unit_exec_on(&f.u, &conn, "SELECT a FROM t"), &f.u.error);
    CHECK(f.reader->is_pinned);
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT a FROM t", &statement, &f.u.error), &f.u.error);
    CHECK(!f.reader->is_pinned);
    PART(write_elsewhere(&f, 7));
    CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
    CHECK_INT(sqlite3_column_int(statement, 0), 7);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, statement), SQLPOOL_OK);
    CHECK_OK(unit_exec_on(&f.u, &conn, "SELECT a FROM t"), &f.u.error);
    CHECK(f.reader->is_pinned);
    CHECK(sqlpool_conn_db(&conn) != NULL);
    CHECK(!f.reader->is_pinned);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK); /* a kept snapshot is nothing unclean */
    CHECK_INT(read_a(&f), 7);
    CHECK(!f.u.core->slots[0].is_pinned && !f.u.core->slots[0].may_pin); /* never on the writer */
    PART(end(&f));
}

/*  Nothing of a cancelled lease reaches the next user. */
TEST(interrupted_snapshots_go) {
    fresh f;
    sqlpool_conn conn;
    PART(begin_plain(&f, "stuck.db"));
    PART(lease_with_a_snapshot(&f, &conn));
    CHECK_INT(sqlpool_conn_cancel(conn), SQLPOOL_OK);
    CHECK_INT(unit_exec_on(&f.u, &conn, "SELECT a FROM t"), SQLPOOL_CANCELLED);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK(!f.reader->is_pinned);
    CHECK_INT(read_a(&f), 0);
    CHECK_INT(read_a(&f), 0);
    PART(end(&f));
}

static int connect_that_attaches(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    (void)user;
    return sqlpool_conn_exec(&lease, "ATTACH ':memory:' AS other", SQLPOOL_NO_ARGS, NULL, NULL);
}

TEST(not_with_attached_databases_nor_without_a_log) {
    fresh f;
    sqlpool_config config = unit_config(&f.u, 1);
    config.events.connect_fn = connect_that_attaches;
    PART(begin(&f, "attached.db", &config));
    CHECK_INT(read_a(&f), 0);
    CHECK(!f.reader->may_pin && !f.reader->is_pinned);
    PART(end(&f));
    config = unit_config(&f.u, 1);
    config.journal = SQLPOOL_JOURNAL_DELETE;
    PART(begin(&f, "nolog.db", &config));
    CHECK_INT(read_a(&f), 0);
    CHECK(!f.reader->may_pin && !f.reader->is_pinned);
    CHECK_INT(f.u.core->stamp_lent, 0); /* there is none to lend */
    PART(end(&f));
}

/*---- leases that are held ----*/

#define TEN_ROWS \
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10) SELECT a, i FROM n, t"

static int64_t ask_lease(fresh *f, sqlpool_conn *conn) {
    int64_t value = -1;
    sqlpool_rows rows;
    int rc = sqlpool_conn_query(conn, &rows, "SELECT a FROM t", SQLPOOL_NO_ARGS, &f->u.error);
    if (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) value = sqlpool_rows_int64(&rows, 0);
    if (rc == SQLPOOL_OK) rc = sqlpool_rows_close(&rows, &f->u.error);
    if (rc != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "%s", f->u.error.message);
    return value;
}
static bool is_parked(const fresh *f) {
    return f->reader->is_pinned && f->reader->parked == SQLPOOL__PARKED;
}
static bool is_unpinned(const fresh *f) {
    return !f->reader->is_pinned && f->reader->parked == SQLPOOL__NOT_PARKED && f->reader->has_snapshot == 0;
}
/*  Another connection's TRUNCATE: 0, or SQLITE_BUSY while something pins the log. */
static int truncate_elsewhere(fresh *f) {
    return sqlite3_wal_checkpoint_v2(f->plain, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

TEST(held_leases_are_parked) {
    fresh f;
    sqlpool_conn conn;
    sqlpool_checkpoint_result result;
    int i;
    PART(begin_plain(&f, "parked.db"));
    CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
    CHECK(is_unpinned(&f));
    for (i = 1; i <= 3; i++) {
        PART(write_elsewhere(&f, 10 * i));
        CHECK_INT(ask_lease(&f, &conn), 10 * i);
        CHECK(is_parked(&f));
        CHECK_INT(truncate_elsewhere(&f), SQLITE_BUSY);
        /* unused for snapshot_idle_ms */
        (void)sqlpool__end_idle_snapshots(f.u.core, f.u.clock.now_ns);
        f.u.clock.now_ns += 50 * MS;
        CHECK_INT(sqlpool__end_idle_snapshots(f.u.core, f.u.clock.now_ns), SQLPOOL__NEVER);
        CHECK(is_unpinned(&f));
        CHECK_INT(truncate_elsewhere(&f), SQLITE_OK); /* the lease is out */
        PART(write_elsewhere(&f, 10 * i + 1));
        CHECK_INT(ask_lease(&f, &conn), 10 * i + 1);
        CHECK(is_parked(&f));
        /* a checkpoint, at once */
        CHECK_OK(sqlpool_checkpoint(f.u.pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, &f.u.error),
                 &f.u.error);
        CHECK_INT(result.checkpointed_frames, result.log_frames);
        CHECK(is_unpinned(&f));
        CHECK_INT(truncate_elsewhere(&f), SQLITE_OK);
        PART(write_a(&f, 10 * i + 2));
        CHECK_INT(ask_lease(&f, &conn), 10 * i + 2);
        CHECK_INT(sqlpool_conn_set_timeout(&conn, 1000), SQLPOOL_OK); /* touches nothing */
        CHECK(is_parked(&f));
        CHECK_INT(sqlpool_conn_set_timeout(&conn, -7), SQLPOOL_MISUSE);
        CHECK(is_parked(&f));
        CHECK_INT(sqlpool_conn_set_timeout(&conn, SQLPOOL_FOREVER), SQLPOOL_OK);
        CHECK(is_parked(&f));
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(f.reader->parked, SQLPOOL__NOT_PARKED);
    CHECK(f.reader->is_pinned); /* the next lease goes on with it, and has it parked from the start */
    CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
    CHECK(is_parked(&f));
    CHECK(sqlpool__retire(f.reader));
    CHECK(is_unpinned(&f));
    PART(write_elsewhere(&f, 99));
    CHECK_INT(ask_lease(&f, &conn), 99);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(read_a(&f), 99); /* a call on the pool parks nothing: its lease is its own */
    CHECK(f.reader->is_pinned && f.reader->parked == SQLPOOL__NOT_PARKED);
    PART(end(&f));
}

static int64_t ask_from_hook;
static void read_at_release(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    ask_from_hook = ask_lease((fresh *)user, &lease);
}
static int commit_and_read(sqlpool_conn *conn, void *user, int attempt);

/*  What reads last of all on a lease parks it once more: the next one begins with nothing of that. */
TEST(nothing_stays_parked_after_a_lease) {
    fresh f;
    sqlpool_config config = unit_config(&f.u, 1);
    sqlpool_conn conn;
    int i;
    config.events.user = &f;
    config.events.error_fn = NULL;
    config.events.release_fn = read_at_release;
    PART(begin(&f, "after.db", &config));
    for (i = 1; i <= 2; i++) {
        PART(write_elsewhere(&f, i));
        CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
        if (i == 2) CHECK_INT(ask_lease(&f, &conn), i);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_INT(ask_from_hook, i);
        CHECK(f.reader->is_pinned && f.reader->parked == SQLPOOL__NOT_PARKED);
        PART(write_elsewhere(&f, 10 + i));
        CHECK_INT(sqlpool_transaction(f.u.pool, SQLPOOL_READ, commit_and_read, &f, &f.u.error),
                  SQLPOOL_MISUSE);
        CHECK(f.reader->is_pinned && f.reader->parked == SQLPOOL__NOT_PARKED);
        CHECK_INT(read_a(&f), 10 + i);
    }
    PART(end(&f));
}

/*  What of the library runs, or of the caller's statements may run, nobody else ends. */
TEST(nobody_touches_a_connection_in_use) {
    fresh f;
    sqlpool_conn conn;
    sqlpool_rows rows, inner;
    sqlite3_stmt *statement;
    int i;
    PART(begin_plain(&f, "inuse.db"));
    CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
    CHECK_INT(ask_lease(&f, &conn), 0);
    CHECK(is_parked(&f));
    CHECK_OK(sqlpool_conn_query(&conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &f.u.error), &f.u.error);
    for (i = 0; i < 10; i++) {
        CHECK(f.reader->is_pinned);
        CHECK_INT(f.reader->parked, SQLPOOL__NOT_PARKED);
        CHECK(!sqlpool__retire(f.reader));
        f.u.clock.now_ns += 100 * MS;
        CHECK(sqlpool__end_idle_snapshots(f.u.core, f.u.clock.now_ns) != SQLPOOL__NEVER);
        CHECK_INT(sqlpool_conn_set_timeout(&conn, SQLPOOL_FOREVER), SQLPOOL_OK); /* does not park it */
        CHECK(f.reader->is_pinned);
        CHECK_INT(f.reader->parked, SQLPOOL__NOT_PARKED);
        PART(write_elsewhere(&f, i + 1));
        CHECK(sqlpool_rows_next(&rows));
        CHECK_INT(sqlpool_rows_int64(&rows, 0), 0);
        CHECK_INT(ask_lease(&f, &conn), 0); /* beside it, in its snapshot */
        CHECK_INT(f.reader->parked, SQLPOOL__NOT_PARKED);
    }
    CHECK_OK(sqlpool_conn_query(&conn, &inner, TEN_ROWS " WHERE 1", SQLPOOL_NO_ARGS, &f.u.error),
             &f.u.error);
    CHECK(!sqlpool_rows_next(&rows)); /* the first of two is over */
    CHECK_INT(f.reader->parked, SQLPOOL__NOT_PARKED);
    CHECK_OK(sqlpool_rows_close(&rows, &f.u.error), &f.u.error);
    CHECK_INT(f.reader->parked, SQLPOOL__NOT_PARKED);
    CHECK(sqlpool_rows_next(&inner));
    CHECK_INT(sqlpool_rows_int64(&inner, 0), 0);
    CHECK_OK(sqlpool_rows_close(&inner, &f.u.error), &f.u.error);
    CHECK(is_parked(&f)); /* now nothing runs */
    CHECK(sqlpool__retire(f.reader));
    CHECK_INT(ask_lease(&f, &conn), 10);
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT a FROM t", &statement, &f.u.error), &f.u.error);
    CHECK(is_unpinned(&f));
    CHECK_INT(ask_lease(&f, &conn), 10); /* beside a statement that the caller may step at any time */
    CHECK(is_unpinned(&f));
    CHECK_INT(sqlpool_conn_stmt_release(&conn, statement), SQLPOOL_OK);
    CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &f.u.error), &f.u.error);
    CHECK_INT(ask_lease(&f, &conn), 10);
    CHECK(is_unpinned(&f)); /* the scope's transaction is no kept snapshot */
    PART(write_elsewhere(&f, 11));
    (void)sqlpool__retire(f.reader);
    CHECK_INT(ask_lease(&f, &conn), 10);
    CHECK_OK(sqlpool_snapshot_end(&conn, &f.u.error), &f.u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    PART(end(&f));
}

/*---- every call ----*/

static int read_in_transaction(sqlpool_conn *conn, void *user, int attempt) {
    (void)attempt;
    return ask_lease((fresh *)user, conn) < 0 ? 1 : SQLPOOL_OK;
}
/*  Ends the level that it was called in and reads: its lease is parked as it returns. */
static int commit_and_read(sqlpool_conn *conn, void *user, int attempt) {
    (void)attempt;
    if (sqlpool_conn_commit(conn, NULL) != SQLPOOL_OK) return 1;
    return ask_lease((fresh *)user, conn) < 0 ? 1 : SQLPOOL_OK;
}

static int call_exec(fresh *f, sqlpool_conn *conn) {
    return unit_exec_on(&f->u, conn, "SELECT a FROM t");
}
static int call_exec_of_nothing(fresh *f, sqlpool_conn *conn) {
    return unit_exec_on(&f->u, conn, NULL) == SQLPOOL_MISUSE ? 0 : 1;
}
static int call_exec_that_fails(fresh *f, sqlpool_conn *conn) {
    int rc = unit_exec_on(&f->u, conn, "SELECT nosuch FROM t");
    if (rc != SQLITE_ERROR) return 1;
    rc = unit_exec_on(&f->u, conn, "SELECT abs(-9223372036854775807 - 1), a FROM t");
    if (rc != SQLITE_ERROR) return 2;
    rc = unit_exec_on(&f->u, conn, "UPDATE t SET a = 1");
    if (rc != SQLITE_READONLY) return 3;
    return sqlpool_conn_exec(conn, "SELECT ?", SQLPOOL_ARGS(1, 2), NULL, &f->u.error) == SQLPOOL_ARGUMENTS
               ? 0
               : 4;
}
static int call_query_to_its_end(fresh *f, sqlpool_conn *conn) {
    sqlpool_rows rows;
    int count = 0, rc = sqlpool_conn_query(conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &f->u.error);
    while (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) count++;
    return rc != SQLPOOL_OK || count != 10; /* not even closed */
}
static int call_query_closed_early(fresh *f, sqlpool_conn *conn) {
    sqlpool_rows rows;
    const int rc = sqlpool_conn_query(conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &f->u.error);
    if (rc != SQLPOOL_OK || !sqlpool_rows_next(&rows)) return 1;
    return sqlpool_rows_close(&rows, &f->u.error);
}
static int call_query_that_fails_later(fresh *f, sqlpool_conn *conn) {
    sqlpool_rows rows;
    int count = 0, rc = sqlpool_conn_query(conn, &rows,
                                           "SELECT CASE i WHEN 4 THEN abs(-9223372036854775807 - 1) END "
                                           "FROM (" TEN_ROWS ")",
                                           SQLPOOL_NO_ARGS, &f->u.error);
    while (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) count++;
    if (rc != SQLPOOL_OK || count != 3) return 1;
    return sqlpool_rows_close(&rows, &f->u.error) == SQLITE_ERROR ? 0 : 2;
}
static int call_query_without_rows(fresh *f, sqlpool_conn *conn) {
    sqlpool_rows rows;
    const int rc =
        sqlpool_conn_query(conn, &rows, "SELECT a FROM t WHERE a < -5", SQLPOOL_NO_ARGS, &f->u.error);
    return rc != SQLPOOL_OK || sqlpool_rows_next(&rows);
}
static int call_stmt(fresh *f, sqlpool_conn *conn) {
    sqlite3_stmt *statement;
    if (sqlpool_conn_stmt(conn, "SELECT a FROM t", &statement, &f->u.error) != SQLPOOL_OK) return 1;
    if (sqlite3_step(statement) != SQLITE_ROW) return 2;
    return sqlpool_conn_stmt_release(conn, statement);
}
static int call_stmt_that_fails(fresh *f, sqlpool_conn *conn) {
    sqlite3_stmt *statement;
    if (sqlpool_conn_stmt(conn, "SELECT nosuch", &statement, &f->u.error) != SQLITE_ERROR) return 1;
    return sqlpool_conn_stmt_release(conn, statement) == SQLPOOL_MISUSE ? 0 : 2;
}
static int call_begin_commit(fresh *f, sqlpool_conn *conn) {
    int rc = sqlpool_conn_begin(conn, &f->u.error);
    if (rc == SQLPOOL_OK) rc = call_exec(f, conn);
    return rc == SQLPOOL_OK ? sqlpool_conn_commit(conn, &f->u.error) : rc;
}
static int call_begin_rollback(fresh *f, sqlpool_conn *conn) {
    int rc = sqlpool_conn_begin(conn, &f->u.error);
    if (rc == SQLPOOL_OK) rc = call_query_closed_early(f, conn);
    return rc == SQLPOOL_OK ? sqlpool_conn_rollback(conn, &f->u.error) : rc;
}
static int call_ends_without_begin(fresh *f, sqlpool_conn *conn) {
    if (sqlpool_conn_commit(conn, &f->u.error) != SQLPOOL_MISUSE) return 1;
    if (sqlpool_conn_rollback(conn, &f->u.error) != SQLPOOL_MISUSE) return 2;
    return sqlpool_snapshot_end(conn, &f->u.error) == SQLPOOL_MISUSE ? 0 : 3;
}
static int call_transaction(fresh *f, sqlpool_conn *conn) {
    return sqlpool_conn_transaction(conn, read_in_transaction, f, &f->u.error);
}
static int call_transaction_that_commits(fresh *f, sqlpool_conn *conn) {
    return sqlpool_conn_transaction(conn, commit_and_read, f, &f->u.error) == SQLPOOL_MISUSE ? 0 : 1;
}
static int call_script(fresh *f, sqlpool_conn *conn) {
    return sqlpool_conn_script(conn, "SELECT a FROM t; SELECT 1;", -1, &f->u.error);
}
static int call_set_timeout(fresh *f, sqlpool_conn *conn) {
    (void)f;
    return sqlpool_conn_set_timeout(conn, SQLPOOL_FOREVER);
}
static int call_chain(fresh *f, sqlpool_conn *conn) {
    sqlpool_chain chain;
    (void)f;
    memset(&chain, 0, sizeof chain);
    return sqlpool_conn_chain(conn, &chain);
}
static int call_adopt(fresh *f, sqlpool_conn *conn) {
    (void)f;
    return sqlpool_conn_adopt(conn);
}
static int call_scope(fresh *f, sqlpool_conn *conn) {
    int rc = sqlpool_snapshot_begin(conn, 100000, &f->u.error);
    if (rc == SQLPOOL_OK) rc = call_query_to_its_end(f, conn);
    return rc == SQLPOOL_OK ? sqlpool_snapshot_end(conn, &f->u.error) : rc;
}
static int call_scope_that_is_refused(fresh *f, sqlpool_conn *conn) {
    return sqlpool_snapshot_begin(conn, -1, &f->u.error) == SQLPOOL_MISUSE ? 0 : 1;
}
static int call_db(fresh *f, sqlpool_conn *conn) {
    (void)f;
    return sqlpool_conn_db(conn) != NULL ? 0 : 1;
}
static int call_cancel(fresh *f, sqlpool_conn *conn) {
    if (sqlpool_conn_cancel(*conn) != SQLPOOL_OK) return 1;
    return unit_exec_on(&f->u, conn, "SELECT 1") == SQLPOOL_CANCELLED ? 0 : 2;
}

/*  After any call a lease is either parked, so that anyone may end its snapshot, or has none; and the
    next read is fresh either way. The last ones make the lease unfit for more. */
TEST(every_call_leaves_it_parked_or_unpinned) {
    static const struct {
        const char *name;
        int (*call)(fresh *, sqlpool_conn *);
        bool parks; /* goes on with the snapshot */
    } calls[] = {
        {"exec", call_exec, true},
        {"exec of NULL", call_exec_of_nothing, true},
        {"exec that fails", call_exec_that_fails, true},
        {"query to its end", call_query_to_its_end, true},
        {"query closed early", call_query_closed_early, true},
        {"query that fails later", call_query_that_fails_later, false},
        {"query without rows", call_query_without_rows, true},
        {"stmt", call_stmt, false},
        {"stmt that fails", call_stmt_that_fails, false},
        {"begin and commit", call_begin_commit, false},
        {"begin and rollback", call_begin_rollback, false},
        {"ends without begin", call_ends_without_begin, false},
        {"transaction", call_transaction, false},
        {"transaction that commits", call_transaction_that_commits, true},
        {"script", call_script, false},
        {"set_timeout", call_set_timeout, true},
        {"chain", call_chain, false},
        {"adopt", call_adopt, true},
        {"scope", call_scope, false},
        {"scope that is refused", call_scope_that_is_refused, false},
        {"db", call_db, false},
        {"cancel", call_cancel, true},
    };
    fresh f;
    int v = 0, how, rc;
    size_t i;
    PART(begin_plain(&f, "calls.db"));
    for (i = 0; i < LENGTH(calls); i++) {
        const bool is_last = calls[i].call == call_cancel || calls[i].call == call_db;
        for (how = 0; how < 3; how++) { /* parked before; newer since; not pinned before */
            sqlpool_conn conn;
            test_name = calls[i].name;
            f.reader->pin_rest = 0;
            f.reader->pin_credit = SQLPOOL__PIN_CREDIT;
            PART(write_elsewhere(&f, ++v));
            CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
            CHECK_INT(ask_lease(&f, &conn), v);
            CHECK(is_parked(&f));
            if (how == 1) PART(write_elsewhere(&f, ++v));
            if (how == 2) CHECK(sqlpool__retire(f.reader));
            rc = calls[i].call(&f, &conn);
            if (rc != 0) test_fail(__FILE__, __LINE__, "%s gave %d: %s", calls[i].name, rc,
                f.u.error.message);
            CHECK(is_parked(&f) || is_unpinned(&f));
            if (how == 0) CHECK(is_parked(&f) == calls[i].parks);
            CHECK_INT(f.reader->depth, 0);
            CHECK(sqlpool__retire(f.reader));
            CHECK(is_unpinned(&f));
            if (sqlite3_get_autocommit(f.reader->db) == 0) test_fail(__FILE__, __LINE__,
                "a transaction is open");
            CHECK_INT(truncate_elsewhere(&f), SQLITE_OK); /* nothing is pinned, and the lease is out */
            PART(write_elsewhere(&f, ++v));
            if (!is_last) {
                CHECK_INT(ask_lease(&f, &conn), v);
                CHECK(is_parked(&f));
            }
            CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
            CHECK_INT(read_a(&f), v);
        }
    }
    test_name = "every_call_leaves_it_parked_or_unpinned";
    PART(end(&f));
}

/*---- two at once ----*/

/*  A clock whose sleeper is upkeep on another processor: after some sleeps it is done. */
typedef struct slow_upkeep {
    sim_clock clock; /* first: the other hooks take it for a sim_clock */
    sqlpool__slot *slot;
    int sleeps, until;
} slow_upkeep;
static void sleep_beside_upkeep(void *user, int64_t ns) {
    slow_upkeep *slow = (slow_upkeep *)user;
    sim_clock_sleep(&slow->clock, ns);
    if (slow->slot == NULL || ++slow->sleeps < slow->until) return;
    sqlpool__unpin(slow->slot);
    SQLPOOL__STORE(&slow->slot->parked, (uint32_t)SQLPOOL__NOT_PARKED);
    slow->slot = NULL;
}

TEST(a_call_waits_while_upkeep_is_at_it) {
    fresh f;
    slow_upkeep slow;
    sqlpool_config config = unit_config(&f.u, 1);
    sqlpool_conn conn;
    int i;
    memset(&slow, 0, sizeof slow);
    config.clock = sim_clock_hooks(&slow.clock);
    config.clock.user = &slow;
    config.clock.sleep_ns_fn = sleep_beside_upkeep;
    PART(begin(&f, "waits.db", &config));
    CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
    for (i = 1; i <= 6; i++) {
        f.reader->pin_credit = SQLPOOL__PIN_CREDIT; /* commits come too fast for it to pay */
        PART(write_elsewhere(&f, i));
        CHECK_INT(ask_lease(&f, &conn), i);
        CHECK(is_parked(&f));
        f.reader->parked = SQLPOOL__UNPINNING; /* upkeep has it, and is slow */
        sqlpool__unpin_parked(f.reader);       /* a second one leaves it alone */
        CHECK(f.reader->is_pinned);
        CHECK_INT(f.reader->parked, SQLPOOL__UNPINNING);
        PART(write_elsewhere(&f, -i));
        slow.sleeps = 0;
        slow.until = i;
        slow.slot = f.reader;
        switch (i % 3) {
        case 0:
            CHECK_INT(sqlpool_conn_set_timeout(&conn, SQLPOOL_FOREVER), SQLPOOL_OK);
            CHECK(is_unpinned(&f));
            break;
        case 1: break;
        default:
            CHECK_OK(sqlpool_conn_begin(&conn, &f.u.error), &f.u.error);
            CHECK_OK(sqlpool_conn_commit(&conn, &f.u.error), &f.u.error);
            break;
        }
        CHECK_INT(ask_lease(&f, &conn), -i);
        CHECK_INT(slow.sleeps, i);
        CHECK(slow.slot == NULL);
    }
    CHECK(is_parked(&f));
    f.reader->parked = SQLPOOL__UNPINNING;
    slow.sleeps = 0;
    slow.until = 2;
    slow.slot = f.reader;
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK); /* so does the release */
    CHECK_INT(slow.sleeps, 2);
    CHECK_INT(read_a(&f), -6);
    PART(end(&f));
}

/*---- interrupts and errors ----*/

/*  SQLite keeps an interrupt pending while a statement is open: the COMMIT that ends the pool's own
    transaction fails then, unless the cursors that could not go on either are stopped. */
TEST(an_interrupt_beside_a_cursor) {
    fresh f;
    int how;
    PART(begin_plain(&f, "pending.db"));
    for (how = 0; how < 6; how++) {
        sqlpool_conn conn;
        sqlpool_rows rows;
        sqlite3_stmt *statement;
        PART(write_elsewhere(&f, how));
        CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
        CHECK_OK(sqlpool_conn_query(&conn, &rows, TEN_ROWS, SQLPOOL_NO_ARGS, &f.u.error), &f.u.error);
        CHECK(sqlpool_rows_next(&rows));
        CHECK(f.reader->is_pinned);
        CHECK_INT(sqlpool_conn_set_timeout(&conn, 10), SQLPOOL_OK);
        sqlite3_interrupt(f.reader->db); /* as upkeep does when a deadline has passed */
        CHECK_INT(sqlpool_conn_set_timeout(&conn, SQLPOOL_FOREVER), SQLPOOL_OK);
        PART(write_elsewhere(&f, 100 + how));
        switch (how) {
        case 0: CHECK(sqlpool_conn_db(&conn) != NULL); break;
        case 1:
            CHECK_OK(sqlpool_conn_begin(&conn, &f.u.error), &f.u.error);
            CHECK_INT(ask_lease(&f, &conn), 100 + how);
            CHECK_OK(sqlpool_conn_rollback(&conn, &f.u.error), &f.u.error);
            break;
        case 2:
            CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT a FROM t", &statement, &f.u.error), &f.u.error);
            CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
            CHECK_INT(sqlite3_column_int(statement, 0), 100 + how);
            CHECK_INT(sqlpool_conn_stmt_release(&conn, statement), SQLPOOL_OK);
            break;
        case 3:
            CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &f.u.error), &f.u.error);
            CHECK_INT(ask_lease(&f, &conn), 100 + how);
            CHECK_OK(sqlpool_snapshot_end(&conn, &f.u.error), &f.u.error);
            break;
        case 4: CHECK_INT(sqlpool_conn_chain(&conn, NULL), SQLPOOL_OK); break;
        default: break; /* the release alone */
        }
        CHECK(!f.reader->is_bad);
        if (how < 5) {
            CHECK(!f.reader->is_pinned);
            CHECK(sqlite3_get_autocommit(f.reader->db) != 0);
            CHECK(!sqlpool_rows_next(&rows)); /* known as ended */
            CHECK(sqlpool_rows_close(&rows, &f.u.error) != SQLPOOL_OK);
            CHECK_INT(ask_lease(&f, &conn), 100 + how);
        }
        CHECK_INT(sqlpool_conn_release(&conn), how < 5 ? SQLPOOL_OK : SQLPOOL_UNCLEAN);
        CHECK_INT(read_a(&f), 100 + how);
        CHECK_INT(read_a(&f), 100 + how);
    }
    CHECK_INT(f.reader->counters[SQLPOOL__COUNT_closed_bad], 0);
    PART(end(&f));
}

static void count_rollback(void *user) {
    (*(int *)user)++;
}

/*  A read error makes SQLite roll back what is open: if that is the pool's own BEGIN, the caller, who
    began nothing, hears nothing of it. */
TEST(the_callers_rollback_hook_hears_of_his_own_only) {
    fresh f;
    sqlpool_config config = unit_config(&f.u, 1);
    sqlpool_chain chain;
    sqlpool_conn conn;
    int rollbacks = 0;
    config.vfs_name = "sim";
    PART(begin(&f, "hook.db", &config));
    memset(&chain, 0, sizeof chain);
    chain.user = &rollbacks;
    chain.rollback_fn = count_rollback;
    CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
    CHECK_INT(sqlpool_conn_chain(&conn, &chain), SQLPOOL_OK);
    CHECK_INT(ask_lease(&f, &conn), 0);
    CHECK(is_parked(&f));
    PART(write_elsewhere(&f, 1)); /* its cache is void */
    unit_arm(SIM_VFS_READ, 0, 0);
    CHECK_INT(unit_exec_on(&f.u, &conn, "SELECT a FROM t") & 0xff, SQLITE_IOERR);
    CHECK_INT((int)sim_vfs.faults, 1);
    sim_vfs_heal();
    CHECK(is_unpinned(&f)); /* SQLite has ended it */
    CHECK_INT(rollbacks, 0);
    CHECK_INT(ask_lease(&f, &conn), 1);
    CHECK_OK(sqlpool_conn_begin(&conn, &f.u.error), &f.u.error);
    CHECK_OK(sqlpool_conn_rollback(&conn, &f.u.error), &f.u.error);
    CHECK_INT(rollbacks, 1); /* his own */
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(f.reader->counters[SQLPOOL__COUNT_closed_bad], 1);
    CHECK_INT(read_a(&f), 1);
    CHECK_INT(rollbacks, 1);
    PART(end(&f));
}

/*---- scopes ----*/

static bool has_no_scope(const fresh *f) {
    return !f->reader->is_scope && f->reader->scope_end_ns == SQLPOOL__NEVER &&
           f->reader->scope_since_ns == SQLPOOL__NEVER && f->reader->scope_report_ns == SQLPOOL__NEVER &&
           f->u.core->scopes == 0;
}

/*  However a scope ends, nothing of it is left. */
TEST(scopes_are_forgotten) {
    fresh f;
    int how;
    PART(begin_plain(&f, "scopes.db"));
    for (how = 0; how < 6; how++) {
        sqlpool_conn conn;
        CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
        CHECK(has_no_scope(&f));
        CHECK_OK(sqlpool_snapshot_begin(&conn, 100, &f.u.error), &f.u.error);
        CHECK_INT(f.u.core->scopes, 1);
        CHECK(f.reader->is_scope && f.reader->depth == 1 && !f.reader->is_pinned);
        CHECK_INT(f.reader->scope_since_ns, f.u.clock.now_ns);
        CHECK_INT(f.reader->scope_end_ns, f.u.clock.now_ns + 100 * MS);
        CHECK_INT(f.reader->scope_report_ns, f.u.clock.now_ns + 100 * MS);
        CHECK_INT(sqlpool__report_scopes(f.u.core, f.u.clock.now_ns), f.u.clock.now_ns + 100 * MS);
        PART(write_elsewhere(&f, how + 1));
        switch (how) {
        case 0: CHECK_OK(sqlpool_snapshot_end(&conn, &f.u.error), &f.u.error); break;
        case 1: break; /* released with it open */
        case 2:
            CHECK_OK(sqlpool_conn_begin(&conn, &f.u.error), &f.u.error); /* and with levels in it */
            CHECK_OK(sqlpool_conn_begin(&conn, &f.u.error), &f.u.error);
            break;
        case 3:
            CHECK_INT(sqlpool_conn_cancel(conn), SQLPOOL_OK);
            CHECK_OK(sqlpool_snapshot_end(&conn, &f.u.error), &f.u.error);
            break;
        case 4: CHECK_INT(sqlpool_conn_cancel(conn), SQLPOOL_OK); break;
        default:
            f.u.clock.now_ns += 100 * MS;
            CHECK_INT(sqlpool__report_scopes(f.u.core, f.u.clock.now_ns), SQLPOOL__NEVER);
            CHECK_INT(f.u.log.counts[SQLPOOL_LOG_SNAPSHOT_OLD], 1);
            CHECK_INT(f.reader->scope_report_ns, SQLPOOL__NEVER);
            CHECK_INT(f.u.core->scopes, 1); /* told, not ended */
            CHECK_OK(sqlpool_snapshot_end(&conn, &f.u.error), &f.u.error);
            break;
        }
        if (how == 0 || how == 3 || how == 5) CHECK(has_no_scope(&f));
        CHECK_INT(sqlpool_conn_release(&conn),
                  how == 0 || how == 3 || how == 5 ? SQLPOOL_OK : SQLPOOL_UNCLEAN);
        CHECK(has_no_scope(&f));
        f.u.clock.now_ns += 1000 * MS;
        CHECK_INT(sqlpool__report_scopes(f.u.core, f.u.clock.now_ns), SQLPOOL__NEVER);
        CHECK_INT(f.u.log.counts[SQLPOOL_LOG_SNAPSHOT_OLD], how == 5 ? 1 : 0);
        CHECK_INT(read_a(&f), how + 1);
    }
    PART(end(&f));
}

/*  The connection's own statements were expired (a function was defined anew on the raw handle), and
    there is no memory to prepare COMMIT again: nothing may run in the old snapshot. */
static void one(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    (void)values;
    sqlite3_result_int(context, 1);
}
TEST(nothing_runs_in_a_snapshot_that_cannot_be_ended) {
    fresh f;
    int many, at, refused = 0, value = 0;
    PART(begin_plain(&f, "cannot.db"));
    for (at = 1; at < 6; at++) {
        for (many = 1; many < 60; many++) {
            sqlpool_conn conn;
            sqlite3 *db;
            int64_t got = -1;
            int rc;
            CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
            db = sqlpool_conn_db(&conn);
            (void)sqlite3_create_function(db, "one", 0, SQLITE_UTF8, NULL, one, NULL, NULL);
            (void)sqlite3_create_function(db, "one", 0, SQLITE_UTF8, NULL, one, NULL, NULL);
            CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
            f.reader = &f.u.core->slots[1];
            f.reader->pin_rest = 0;
            f.reader->pin_credit = SQLPOOL__PIN_CREDIT;
            CHECK_INT(read_a(&f), value);
            PART(write_elsewhere(&f, ++value));
            sim_alloc_fail_some((uint64_t)at, (uint64_t)many);
            rc = sqlpool_query_int64(f.u.pool, &got, "SELECT a FROM t", SQLPOOL_NO_ARGS, NULL);
            sim_alloc_heal();
            if (rc == SQLPOOL_OK) CHECK_INT(got, value);
            if (rc != SQLPOOL_OK) refused++;
            CHECK_INT(read_a(&f), value);
        }
    }
    CHECK(refused > 0);
    PART(end(&f));
}

/*  A number becomes text when it is asked for: where memory is short for that the call fails, and does
    not give nothing. */
TEST(one_text_and_no_memory) {
    fresh f;
    uint64_t n;
    int failures = 0;
    PART(begin_plain(&f, "text.db"));
    CHECK_INT(read_a(&f), 0); /* the connection is open */
    for (n = 1; n < 100; n++) {
        char text[16], sql[80]; /* another statement each time: nothing of it is there yet */
        int rc;
        (void)snprintf(sql, sizeof sql, "SELECT a + 12345 FROM t /* %d */", (int)n);
        sim_alloc_fail(n, 0);
        rc = sqlpool_query_text(f.u.pool, text, sizeof text, sql, SQLPOOL_NO_ARGS, &f.u.error);
        sim_alloc_heal();
        if (rc == SQLPOOL_OK) {
            CHECK_STR(text, "12345");
            if (sim_alloc.failed == 0) break;
        } else {
            CHECK(rc == SQLPOOL_NOMEM || rc == SQLITE_NOMEM);
            failures++;
        }
    }
    CHECK(n < 100 && failures > 0);
    PART(end(&f));
}

/*  A cancelled lease whose snapshot cannot be ended: the next one gets another connection. */
TEST(cancelled_lease_with_a_snapshot_that_cannot_be_ended) {
    static const int which[] = {SQLPOOL__COMMIT, SQLPOOL__ROLLBACK};
    fresh f;
    sqlpool_conn conn;
    size_t i;
    PART(begin_plain(&f, "cancelled.db"));
    CHECK_INT(read_a(&f), 0);
    CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
    CHECK(f.reader->is_pinned);
    for (i = 0; i < LENGTH(which); i++) PART(unit_break(f.reader, which[i]));
    CHECK_INT(sqlpool_conn_cancel(conn), SQLPOOL_OK);
    (void)sqlpool_conn_release(&conn);
    CHECK(f.reader->db == NULL);
    PART(write_elsewhere(&f, 5));
    CHECK_INT(read_a(&f), 5);
    PART(end(&f));
}

/*  A snapshot that is the newest, but was begun before a checkpoint copied the log, is begun anew: the
    log can start over beside a thread that only reads. */
TEST(newest_snapshots_let_the_log_start_over) {
    fresh f;
    int i, before = 0, after = 0, copied = 0;
    PART(begin_plain(&f, "startsover.db"));
    for (i = 1; i < 6; i++) PART(write_elsewhere(&f, i));
    CHECK_INT(read_a(&f), 5);
    CHECK(f.reader->is_pinned);
    CHECK_INT(sqlite3_wal_checkpoint_v2(f.plain, NULL, SQLITE_CHECKPOINT_PASSIVE, &before, &copied),
              SQLITE_OK);
    CHECK(before > 4 && copied == before);
    CHECK_INT(read_a(&f), 5);
    CHECK_INT(read_a(&f), 5);
    PART(write_elsewhere(&f, 6));
    CHECK_INT(sqlite3_wal_checkpoint_v2(f.plain, NULL, SQLITE_CHECKPOINT_PASSIVE, &after, &copied),
              SQLITE_OK);
    CHECK(after < before);
    CHECK_INT(read_a(&f), 6);
    PART(end(&f));
}

int main(void) {
    if (sim_alloc_install() != SQLITE_OK || sim_vfs_install() != SQLITE_OK) return 1;
    RUN(stamps);
    RUN(reuse_until_someone_commits);
    RUN(fresh_through_every_phase);
    RUN(useless_snapshots_rest);
    RUN(idle_snapshots_end);
    RUN(snapshots_pin_no_checkpoint);
    RUN(where_no_snapshot_is_kept);
    RUN(interrupted_snapshots_go);
    RUN(not_with_attached_databases_nor_without_a_log);
    RUN(held_leases_are_parked);
    RUN(nothing_stays_parked_after_a_lease);
    RUN(nobody_touches_a_connection_in_use);
    RUN(every_call_leaves_it_parked_or_unpinned);
    RUN(a_call_waits_while_upkeep_is_at_it);
    RUN(an_interrupt_beside_a_cursor);
    RUN(the_callers_rollback_hook_hears_of_his_own_only);
    RUN(scopes_are_forgotten);
    RUN(nothing_runs_in_a_snapshot_that_cannot_be_ended);
    RUN(one_text_and_no_memory);
    RUN(cancelled_lease_with_a_snapshot_that_cannot_be_ended);
    RUN(newest_snapshots_let_the_log_start_over);
    return test_end();
}
