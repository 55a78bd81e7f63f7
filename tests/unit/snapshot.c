/*  snapshot.c - white box: the stamp and reusable snapshots (I11).
    SPDX-License-Identifier: MIT OR Unlicense

    The pools here have no upkeep thread; snapshots are switched on by hand and ended by hand. */
#define _GNU_SOURCE
#define SQLPOOL_TESTING
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
    CHECK_OK(sqlpool_script(f->u.pool, "CREATE TABLE t(a); INSERT INTO t VALUES(0)", -1,
                            &f->u.error),
             &f->u.error);
    CHECK_INT(sqlite3_open(path, &f->plain), SQLITE_OK);
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
    const sqlpool_config config = unit_config(&f.u, 1);
    uint64_t before;
    int i;
    PART(begin(&f, "reuse.db", &config));
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
    const sqlpool_config config = unit_config(&f.u, 1);
    uint64_t state = 5;
    int i, last = 0, rested = 0;
    PART(begin(&f, "phases.db", &config));
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
    const sqlpool_config config = unit_config(&f.u, 1);
    int i;
    PART(begin(&f, "rest.db", &config));
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
    const sqlpool_config config = unit_config(&f.u, 1);
    int64_t next;
    PART(begin(&f, "idle.db", &config));
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
    const sqlpool_config config = unit_config(&f.u, 1);
    sqlpool_checkpoint_result result;
    PART(begin(&f, "nopin.db", &config));
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

/*  The raw handle, a raw statement, a transaction: each has plain freshness. */
TEST(where_no_snapshot_is_kept) {
    fresh f;
    const sqlpool_config config = unit_config(&f.u, 1);
    sqlpool_conn conn;
    sqlite3_stmt *statement;
    PART(begin(&f, "plain.db", &config));
    CHECK_INT(read_a(&f), 0);
    CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
    CHECK(f.reader->is_lent && f.reader->is_pinned);
    CHECK_OK(sqlpool_conn_exec(&conn, "SELECT a FROM t", SQLPOOL_NO_ARGS, NULL, &f.u.error),
             &f.u.error);
    CHECK(f.reader->is_pinned);
    CHECK_OK(sqlpool_conn_begin(&conn, &f.u.error), &f.u.error);
    CHECK(!f.reader->is_pinned);
    CHECK_OK(sqlpool_conn_exec(&conn, "SELECT a FROM t", SQLPOOL_NO_ARGS, NULL, &f.u.error),
             &f.u.error);
    CHECK(!f.reader->is_pinned);
    CHECK_OK(sqlpool_conn_rollback(&conn, &f.u.error), &f.u.error);
    CHECK_OK(sqlpool_conn_exec(&conn, "SELECT a FROM t", SQLPOOL_NO_ARGS, NULL, &f.u.error),
             &f.u.error);
    CHECK(f.reader->is_pinned);
    CHECK_OK(sqlpool_conn_stmt(&conn, "SELECT a FROM t", &statement, &f.u.error), &f.u.error);
    CHECK(!f.reader->is_pinned);
    PART(write_elsewhere(&f, 7));
    CHECK_INT(sqlite3_step(statement), SQLITE_ROW);
    CHECK_INT(sqlite3_column_int(statement, 0), 7);
    CHECK_INT(sqlpool_conn_stmt_release(&conn, statement), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_exec(&conn, "SELECT a FROM t", SQLPOOL_NO_ARGS, NULL, &f.u.error),
             &f.u.error);
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
    const sqlpool_config config = unit_config(&f.u, 1);
    sqlpool_conn conn;
    PART(begin(&f, "stuck.db", &config));
    CHECK_INT(read_a(&f), 0);
    CHECK_OK(sqlpool_conn_acquire(f.u.pool, SQLPOOL_READ, &conn, &f.u.error), &f.u.error);
    CHECK(f.reader->is_lent && f.reader->is_pinned);
    CHECK_OK(sqlpool_conn_exec(&conn, "SELECT a FROM t", SQLPOOL_NO_ARGS, NULL, &f.u.error),
             &f.u.error);
    CHECK(f.reader->is_pinned);
    CHECK_INT(sqlpool_conn_cancel(conn), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_exec(&conn, "SELECT a FROM t", SQLPOOL_NO_ARGS, NULL, &f.u.error),
              SQLPOOL_CANCELLED);
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
    PART(end(&f));
}

int main(void) {
    RUN(stamps);
    RUN(reuse_until_someone_commits);
    RUN(fresh_through_every_phase);
    RUN(useless_snapshots_rest);
    RUN(idle_snapshots_end);
    RUN(snapshots_pin_no_checkpoint);
    RUN(where_no_snapshot_is_kept);
    RUN(interrupted_snapshots_go);
    RUN(not_with_attached_databases_nor_without_a_log);
    return test_end();
}
