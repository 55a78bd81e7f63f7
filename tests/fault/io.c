/*  io.c - every call to the disk fails. SPDX-License-Identifier: MIT OR Unlicense

    Statements, transactions, leases, loads, checkpoints, a connection's change: the loop of io.h. After
    each run, reopened with the plain VFS: integrity_check says ok, every acknowledged transaction is
    there, every other one is there whole or not at all (an error is not "not committed").

    io and its arguments: see io.h */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"

#include "fault/io.h"

enum { MAX_TXNS = 200, PARTS = 3 };

typedef struct own {
    int64_t next_txn;
    signed char acked[MAX_TXNS];
    int64_t load_txn, load_next; /* first transaction of the present load; its next row */
} own;
static own *own_of(const run *r) {
    return (own *)r->own;
}

static int64_t new_txn(run *r) {
    return own_of(r)->next_txn++;
}
static int said(run *r, int64_t txn, int rc) {
    own_of(r)->acked[txn] = rc == SQLPOOL_OK;
    return rc;
}

/*---- the workload ----*/

#define INSERT_PART "INSERT INTO part VALUES(?, ?, randomblob(900))"

static int step_schema(run *r, sqlpool_error *e) {
    return sqlpool_script(r->pool,
                          "CREATE TABLE IF NOT EXISTS part(txn INTEGER, n INTEGER, data BLOB, "
                          "PRIMARY KEY(txn, n)) WITHOUT ROWID;"
                          "CREATE TABLE IF NOT EXISTS mirror(txn INTEGER, n INTEGER);",
                          -1, e);
}

static int step_exec(run *r, sqlpool_error *e) {
    const int64_t txn = new_txn(r);
    return said(r, txn,
                sqlpool_exec(r->pool,
                             "INSERT INTO part SELECT ?1, value, randomblob(900) FROM "
                             "(SELECT 1 AS value UNION ALL SELECT 2 UNION ALL SELECT 3)",
                             SQLPOOL_ARGS(txn), e));
}

static int parts_fn(sqlpool_conn *conn, void *user, int attempt) {
    const int64_t txn = *(int64_t *)user;
    int n, rc = SQLPOOL_OK;
    (void)attempt;
    for (n = 1; n <= PARTS && rc == SQLPOOL_OK; n++) {
        rc = sqlpool_conn_exec(conn, INSERT_PART, SQLPOOL_ARGS(txn, n), NULL, NULL);
    }
    return rc;
}
static int step_transaction(run *r, sqlpool_error *e) {
    int64_t txn = new_txn(r);
    return said(r, txn, sqlpool_transaction(r->pool, SQLPOOL_WRITE, parts_fn, &txn, e));
}

static int step_script(run *r, sqlpool_error *e) {
    const int64_t txn = new_txn(r);
    char sql[512];
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO part VALUES(%lld, 1, zeroblob(5000));"
                   "INSERT INTO part VALUES(%lld, 2, NULL); INSERT INTO part VALUES(%lld, 3, 'x');",
                   (long long)txn, (long long)txn, (long long)txn);
    return said(r, txn, sqlpool_script(r->pool, sql, -1, e));
}

static int step_returning(run *r, sqlpool_error *e) {
    const int64_t txn = new_txn(r);
    sqlpool_rows rows;
    int count = 0;
    int rc = sqlpool_query(r->pool, &rows,
                           "INSERT INTO part VALUES(?1, 1, 'r'), (?1, 2, 'r'), (?1, 3, 'r') "
                           "RETURNING n",
                           SQLPOOL_ARGS(txn), e);
    (void)said(r, txn, rc);
    while (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) count++;
    if (rc == SQLPOOL_OK && count != PARTS) (void)fail(r, "returning gave %d rows", count);
    return close_rows(&rows, rc, e);
}

/*  A lease: begin, a write too large for the cache (pages spill), a savepoint undone, commit. */
static int step_by_hand(run *r, sqlpool_error *e) {
    const int64_t txn = new_txn(r);
    sqlpool_conn conn;
    int i, rc = sqlpool_conn_acquire(r->pool, SQLPOOL_WRITE, &conn, e);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool_conn_begin(&conn, e);
    for (i = 1; i <= PARTS && rc == SQLPOOL_OK; i++) {
        rc = sqlpool_conn_exec(&conn, "INSERT INTO part VALUES(?, ?, zeroblob(90000))",
                               SQLPOOL_ARGS(txn, i), NULL, e);
    }
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_begin(&conn, e);
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_conn_exec(&conn, "UPDATE part SET data = NULL WHERE txn = ?",
                               SQLPOOL_ARGS(txn), NULL, e);
        if (rc == SQLPOOL_OK) rc = sqlpool_conn_rollback(&conn, e);
    }
    if (rc == SQLPOOL_OK) rc = said(r, txn, sqlpool_conn_commit(&conn, e));
    return give_back(r, &conn, rc, false);
}

/*  What the pool shows now: acknowledged transactions whole, no others in part. */
static int step_read(run *r, sqlpool_error *e) {
    sqlpool_rows rows;
    signed char seen[MAX_TXNS];
    int64_t i;
    int rc = sqlpool_query(r->pool, &rows,
                           "SELECT txn, count(*), sum(length(data)) FROM part GROUP BY txn",
                           SQLPOOL_NO_ARGS, e);
    memset(seen, 0, sizeof seen);
    while (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) {
        const int64_t txn = sqlpool_rows_int64(&rows, 0);
        if (sqlpool_rows_int64(&rows, 1) != PARTS)
            (void)fail(r, "a reader sees a part of transaction %lld", (long long)txn);
        if (txn >= 0 && txn < MAX_TXNS) seen[txn] = 1;
    }
    rc = close_rows(&rows, rc, e);
    for (i = 0; i < own_of(r)->next_txn && rc == SQLPOOL_OK; i++) {
        if (own_of(r)->acked[i] && !seen[i])
            return fail(r, "a reader misses acknowledged transaction %lld", (long long)i);
    }
    return rc;
}

static int step_checkpoint(run *r, sqlpool_error *e) {
    const int rc = sqlpool_checkpoint(r->pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, e);
    if (rc == SQLPOOL_UNSUPPORTED && !r->is_wal) return SQLPOOL_OK;
    return rc;
}
static int step_checkpoint_truncate(run *r, sqlpool_error *e) {
    const int rc = sqlpool_checkpoint(r->pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, e);
    if (rc == SQLPOOL_UNSUPPORTED && !r->is_wal) return SQLPOOL_OK;
    return rc;
}
static int step_recycle(run *r, sqlpool_error *e) {
    const int rc = sqlpool_recycle(r->pool);
    if (rc != SQLPOOL_OK) e->result = rc;
    return rc;
}
static int step_tick(run *r, sqlpool_error *e) {
    int rc;
    sim_clock_advance(&r->clock, (int64_t)40 * 1000000000);
    rc = sqlpool_tick(r->pool, 1000000);
    if (rc != SQLPOOL_OK) e->result = rc;
    return rc;
}

static int step_snapshot(run *r, sqlpool_error *e) {
    return read_snapshot(r, "SELECT count(*) FROM part", e);
}

/*  A load by name, whose batches are transactions of PARTS rows. Where it failed, the second try goes
    on, perhaps behind what that said, if nobody knows what became of a COMMIT. */
static int step_bulk(run *r, sqlpool_error *e) {
    enum { LOAD_TXNS = 4 };
    static const char *const columns[] = {"txn", "n", "data"};
    static const char data[900] = "loaded";
    sqlpool_bulk_config config = {0};
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk;
    int64_t row, i;
    int rc, end;
    config.table = "part";
    config.columns = columns;
    config.column_count = 3;
    config.batch_bytes = 3000; /* three rows, not four */
    config.batch_ms = 1000000;
    config.relaxed = true;
    config.name = "io";
    rc = sqlpool_bulk_begin(r->pool, &config, &bulk, e);
    if (rc != SQLPOOL_OK) return rc;
    row = sqlpool_bulk_next_row(bulk);
    if (row == 0 && own_of(r)->load_next == LOAD_TXNS * PARTS)
        own_of(r)->load_next = 0; /* only its name was left */
    if (row == 0 && own_of(r)->load_next == 0) {
        own_of(r)->load_txn = new_txn(r);
        for (i = 1; i < LOAD_TXNS; i++) (void)new_txn(r);
    }
    if (row < own_of(r)->load_next || row % PARTS != 0)
        (void)fail(r, "a load goes on at row %lld, not %lld", (long long)row,
                   (long long)own_of(r)->load_next);
    for (i = 0; i < row / PARTS; i++) own_of(r)->acked[own_of(r)->load_txn + i] = 1;
    for (; row < LOAD_TXNS * PARTS && rc == SQLPOOL_OK; row++) {
        rc = sqlpool_bulk_row(bulk,
                              SQLPOOL_ARGS(own_of(r)->load_txn + row / PARTS, row % PARTS + 1,
                                           SQLPOOL_BLOB(data, sizeof data)),
                              e);
    }
    end = sqlpool_bulk_end(bulk, &progress, rc == SQLPOOL_OK ? e : NULL);
    if (rc != SQLPOOL_OK && end != rc)
        return fail(r, "bulk_end returned %s after %s", sqlpool_result_name(end),
                    sqlpool_result_name(rc));
    own_of(r)->load_next = progress.next_row;
    for (i = 0; i < progress.next_row / PARTS; i++) own_of(r)->acked[own_of(r)->load_txn + i] = 1;
    if (end == SQLPOOL_OK && progress.next_row != LOAD_TXNS * PARTS)
        return fail(r, "a load ended at row %lld", (long long)progress.next_row);
    if (end == SQLPOOL_OK) own_of(r)->load_next = 0;
    return end;
}

static const step steps[] = {
    {"schema", step_schema},
    {"exec", step_exec},
    {"transaction", step_transaction},
    {"read", step_read},
    {"script", step_script},
    {"returning", step_returning},
    {"by_hand", step_by_hand},
    {"snapshot", step_snapshot},
    {"bulk", step_bulk},
    {"checkpoint", step_checkpoint},
    {"exec", step_exec},
    {"read", step_read},
    {"checkpoint_truncate", step_checkpoint_truncate},
    {"transaction", step_transaction},
    {"tick", step_tick},
    {"read", step_read},
    {"recycle", step_recycle},
    {"exec", step_exec},
    {"read", step_read},
};

static int check_file(run *r) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int parts[MAX_TXNS];
    int64_t i;
    int rc = sqlite3_open_v2(r->work->path, &db, SQLITE_OPEN_READWRITE, NULL);
    memset(parts, 0, sizeof parts);
    if (rc == SQLITE_OK && sim_plain_integrity(db, r->why, sizeof r->why)) rc = SQLITE_CORRUPT;
    if (rc == SQLITE_OK && sim_plain_int64(db, "SELECT count(*) FROM sqlite_schema", 0) > 0) {
        rc = sqlite3_prepare_v2(db, "SELECT txn FROM part", -1, &statement, NULL);
        while (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
            const int64_t txn = sqlite3_column_int64(statement, 0);
            if (txn >= 0 && txn < MAX_TXNS) parts[txn]++;
        }
        (void)sqlite3_finalize(statement);
    }
    if (rc != SQLITE_OK) (void)fail(r, "reopening: %s", sqlite3_errmsg(db));
    (void)sqlite3_close(db);
    for (i = 0; i < own_of(r)->next_txn && rc == SQLITE_OK; i++) {
        if (own_of(r)->acked[i] && parts[i] != PARTS) {
            return fail(r, "transaction %lld was acknowledged and has %d of %d parts", (long long)i,
                        parts[i], PARTS);
        }
        if (parts[i] != 0 && parts[i] != PARTS) {
            return fail(r, "transaction %lld is there in part: %d of %d", (long long)i, parts[i],
                        PARTS);
        }
    }
    return rc != SQLITE_OK;
}

/*---- tests ----*/

static const work statements = {
    .name = "io",
    .steps = steps,
    .count = sizeof steps / sizeof steps[0],
    .must = 1, /* without tables nothing can go on */
    .again = 4,
    .own_bytes = sizeof(own),
    .path = "io.db",
    .check_fn = check_file,
};

TEST(every_call_wal) {
    loop(&statements, 1, true, 4);
}
TEST(every_call_delete) {
    loop(&statements, 1, false, 3);
}

/*  A disk that says OK and writes nothing must be noticed by the checks above. */
TEST(control_lying_disk_is_seen) {
    CHECK_INT(lies_seen(&statements, 4), 4);
}

/*  A transaction acknowledged before it is written (seeded in the test) must be noticed. */
TEST(control_false_ack_is_seen) {
    const sim_vfs_fault none = {0, SIM_VFS_ANY, 0, 0, 0};
    run *r = new_run(&statements);
    CHECK(one_run(r, none, false) == 0);
    own_of(r)->acked[own_of(r)->next_txn++] = 1;
    CHECK(check_file(r) != 0);
    CHECK_HAS(r->why, "was acknowledged");
    end_run(r);
}

int main(int argc, char **argv) {
    const int done = io_begin(argc, argv, &statements, 1, NULL);
    if (done >= 0) return done;
    RUN(control_lying_disk_is_seen);
    RUN(control_false_ack_is_seen);
    RUN(every_call_wal);
    RUN(every_call_delete);
    return test_end();
}
