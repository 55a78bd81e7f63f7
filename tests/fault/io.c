/*  io.c - every call to the disk fails. SPDX-License-Identifier: MIT OR Unlicense

    A workload runs once through the "sim" VFS to count the calls of each kind; then again for each
    kind, each code that kind may return and each n: with the n-th call failing, and with all from
    the n-th on failing; and with the whole disk gone from call n on. After each run, reopened with
    the plain VFS: integrity_check says ok, every acknowledged transaction is there, every other one
    is there whole or not at all (an error is not "not committed"). During the run every result is
    OK or belongs to the injected code; after a single fault the same work succeeds on the second
    try, after a persistent one as soon as the disk is back. No file stays open, nothing leaks.

    io                       all kinds, a stride that fits the time, seed printed
    io full                  every n
    io at N KIND CODE MODE JOURNAL CUT   one run: MODE is once or on, JOURNAL is wal or delete,
                                         CUT is cut or whole; SIM_TRACE=1 prints every call */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"

#include "sim/sim.h"
#include "test.h"

enum { MAX_TXNS = 200, PARTS = 3 };
static const char *const path = "io.db";

typedef struct run {
    sqlpool *pool;
    bool is_wal;
    sim_vfs_fault fault;
    int64_t next_txn;
    signed char acked[MAX_TXNS];
    int64_t load_txn, load_next; /* first transaction of the present load; its next row */
    sim_clock clock;
    sim_random random;
    sim_locks locks;
    char why[700];
    uint64_t control_lie_at;
} run;

typedef struct step {
    const char *name;
    int (*work)(run *r, sqlpool_error *error);
} step;

static int fail(run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(run *r, const char *format, ...) {
    va_list list;
    va_start(list, format);
    if (r->why[0] == '\0') (void)vsnprintf(r->why, sizeof r->why, format, list);
    va_end(list);
    return 1;
}
static int64_t new_txn(run *r) {
    return r->next_txn++;
}
static int said(run *r, int64_t txn, int rc) {
    r->acked[txn] = rc == SQLPOOL_OK;
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
    if (rc != SQLPOOL_OK) {
        (void)sqlpool_rows_close(&rows, NULL);
        return rc;
    }
    return sqlpool_rows_close(&rows, e);
}

/*  A lease: begin, a write too large for the cache (pages spill), a savepoint undone, commit. */
static int step_by_hand(run *r, sqlpool_error *e) {
    const int64_t txn = new_txn(r);
    sqlpool_conn conn;
    int back, i, rc = sqlpool_conn_acquire(r->pool, SQLPOOL_WRITE, &conn, e);
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
    back = sqlpool_conn_release(&conn);
    if (back != SQLPOOL_OK && !(back == SQLPOOL_UNCLEAN && rc != SQLPOOL_OK)) {
        return fail(r, "release returned %s", sqlpool_result_name(back));
    }
    return rc;
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
    if (rc != SQLPOOL_OK) {
        (void)sqlpool_rows_close(&rows, NULL);
        return rc;
    }
    rc = sqlpool_rows_close(&rows, e);
    for (i = 0; i < r->next_txn && rc == SQLPOOL_OK; i++) {
        if (r->acked[i] && !seen[i])
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

/*  A lease whose snapshot is kept between reads, a scope on it, and the question who has committed. */
static int step_snapshot(run *r, sqlpool_error *e) {
    static const char sql[] = "SELECT count(*) FROM part";
    sqlpool_conn conn;
    sqlpool_stamp stamp = {{0}};
    int back, i, rc = sqlpool_changed(r->pool, &stamp);
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
    back = sqlpool_conn_release(&conn);
    if (back != SQLPOOL_OK && !(back == SQLPOOL_UNCLEAN && rc != SQLPOOL_OK))
        return fail(r, "release returned %s", sqlpool_result_name(back));
    return rc;
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
    if (row == 0 && r->load_next == LOAD_TXNS * PARTS)
        r->load_next = 0; /* only its name was left */
    if (row == 0 && r->load_next == 0) {
        r->load_txn = new_txn(r);
        for (i = 1; i < LOAD_TXNS; i++) (void)new_txn(r);
    }
    if (row < r->load_next || row % PARTS != 0)
        (void)fail(r, "a load goes on at row %lld, not %lld", (long long)row,
                   (long long)r->load_next);
    for (i = 0; i < row / PARTS; i++) r->acked[r->load_txn + i] = 1;
    for (; row < LOAD_TXNS * PARTS && rc == SQLPOOL_OK; row++) {
        rc = sqlpool_bulk_row(bulk,
                              SQLPOOL_ARGS(r->load_txn + row / PARTS, row % PARTS + 1,
                                           SQLPOOL_BLOB(data, sizeof data)),
                              e);
    }
    end = sqlpool_bulk_end(bulk, &progress, rc == SQLPOOL_OK ? e : NULL);
    if (rc != SQLPOOL_OK && end != rc)
        return fail(r, "bulk_end returned %s after %s", sqlpool_result_name(end),
                    sqlpool_result_name(rc));
    r->load_next = progress.next_row;
    for (i = 0; i < progress.next_row / PARTS; i++) r->acked[r->load_txn + i] = 1;
    if (end == SQLPOOL_OK && progress.next_row != LOAD_TXNS * PARTS)
        return fail(r, "a load ended at row %lld", (long long)progress.next_row);
    if (end == SQLPOOL_OK) r->load_next = 0;
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
enum { STEPS = sizeof steps / sizeof steps[0] };

/*---- one run ----*/

/*  The pools here have no upkeep thread, whose place the loop takes; snapshots are kept all the same,
    as in a pool that has one. */
static void keep_snapshots(sqlpool *pool) {
    sqlpool__core *core = pool->core;
    uint32_t i;
    core->config.snapshot_idle_ms = 50;
    for (i = 0; i + 1 < core->slot_count; i++) {
        sqlpool__slot *slot = &core->slots[i];
        slot->may_pin = slot->stamp_map != NULL && slot->role == SQLPOOL__ROLE_READER;
    }
}

static int open_pool(run *r, sqlpool_error *e) {
    sqlpool_config config = {0};
    config.name = "io";
    config.vfs_name = "sim";
    config.min_connections = 2;
    config.max_connections = 3;
    config.page_cache_kib = 256;
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    config.journal = r->is_wal ? SQLPOOL_JOURNAL_WAL : SQLPOOL_JOURNAL_DELETE;
    config.acquire_timeout_ms = 500;
    config.breaker_open_ms = SQLPOOL_OFF; /* every call is to meet the disk */
    config.open_timeout_ms = 50;
    config.open_retry_ms = 20;
    config.disable_upkeep_thread = true;
    config.allocator = sim_allocator();
    config.clock = sim_clock_hooks(&r->clock);
    config.random = sim_random_hooks(&r->random);
    config.locks = sim_locks_hooks(&r->locks);
    if (sqlpool_open(&r->pool, path, &config, e) == SQLPOOL_OK) keep_snapshots(r->pool);
    return e->result;
}

/*  Whether a result is one that the injected codes explain. */
static bool is_explained(const run *r, int rc) {
    const bool busy = (sim_vfs.primaries >> SQLITE_BUSY) & 1;
    if (rc == SQLPOOL_OK) return true;
    if (sim_vfs.primaries == 0) return false;
    if (rc == SQLPOOL_TIMEOUT)
        return busy || r->fault.from_on; /* waiting for a connection that can open */
    if (rc < 0) return false;
    if (busy && (rc & 0xff) == SQLITE_PROTOCOL) return true; /* a WAL lock that stays busy */
    return (sim_vfs.primaries >> (rc & 31)) & 1;
}

static int judge(run *r, const char *name, int rc, const sqlpool_error *e, const char *when) {
    if (r->why[0] != '\0') return 1;
    if (!is_explained(r, rc)) {
        return fail(
            r, "%s%s returned %s (%d) after a fault of %s: %s", name, when, sqlpool_result_name(rc),
            rc, sim_vfs.last_code == 0 ? "nothing" : sqlite3_errstr(sim_vfs.last_code), e->message);
    }
    if (rc != SQLPOOL_OK && e->result != rc)
        return fail(r, "%s: returned %d, error.result %d", name, rc, e->result);
    return 0;
}

static int check_file(run *r) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int parts[MAX_TXNS];
    int64_t i;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
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
    for (i = 0; i < r->next_txn && rc == SQLITE_OK; i++) {
        if (r->acked[i] && parts[i] != PARTS) {
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

static int one_run(run *r, sim_vfs_fault fault, bool is_wal) {
    const int base_files = sim_vfs.open_files;
    const int64_t base_memory = sqlite3_memory_used();
    sqlpool_error error;
    char why[400];
    uint64_t calls = 0; /* up to when the disk came back */
    size_t i;
    int rc, retry_open = 0;
    r->fault = fault;
    r->is_wal = is_wal;
    r->random.state = 42;
    r->clock.step_ns = 1000;
    r->locks.clock = &r->clock;
    r->locks.solo = 1;
    (void)snprintf(sim_replay, sizeof sim_replay, "io at %llu %s %d %s %s %s",
                   (unsigned long long)fault.at, sim_vfs_kind_name(fault.kind), fault.code,
                   fault.from_on ? "on" : "once", is_wal ? "wal" : "delete",
                   fault.cut_writes ? "cut" : "whole");
    (void)alarm(20);
    sim_remove_database(path);
    sim_alloc_fail(0, 0);
    sim_vfs_arm(fault);
    sim_vfs.lie_write_at = r->control_lie_at;

    do {
        rc = open_pool(r, &error);
        if (judge(r, "open", rc, &error, retry_open ? " (second try)" : "")) break;
        if (rc != SQLPOOL_OK && r->pool != NULL) (void)fail(r, "open failed and gave a pool");
        if (rc != SQLPOOL_OK && fault.from_on && !retry_open) {
            if (sim_vfs.open_files != base_files)
                (void)fail(r, "open failed and left %d files open",
                           sim_vfs.open_files - base_files);
            sim_vfs_heal();
        }
    } while (rc != SQLPOOL_OK && r->why[0] == '\0' && !retry_open++);
    if (rc != SQLPOOL_OK) {
        (void)fail(r, "open fails after the disk came back: %s: %s", sqlpool_result_name(rc),
                   error.message);
    } else {
        for (i = 0; i < STEPS && r->why[0] == '\0'; i++) {
            memset(&error, 0, sizeof error);
            rc = steps[i].work(r, &error);
            if (judge(r, steps[i].name, rc, &error, "")) break;
            if (rc != SQLPOOL_OK && (!fault.from_on || i == 0)) {
                sim_vfs_heal(); /* a single fault is over; without tables nothing can go on */
                sim_clock_advance(&r->clock, 100000000);
                rc = steps[i].work(r, &error);
                if (rc != SQLPOOL_OK) {
                    (void)fail(r, "%s returned %s (%d) after the disk came back: %s", steps[i].name,
                               sqlpool_result_name(rc), rc, error.message);
                }
            }
        }
        if (r->why[0] == '\0' && fault.from_on &&
            fault.at % 2 == 0) { /* every second time the disk comes back */
            calls = sim_vfs.kind_calls[fault.kind];
            sim_vfs_heal();
            sim_clock_advance(&r->clock, 100000000);
            for (i = 0; i < 4 && r->why[0] == '\0'; i++) {
                rc = steps[i].work(r, &error);
                if (rc != SQLPOOL_OK) {
                    (void)fail(r, "%s returned %s (%d) after the disk came back: %s", steps[i].name,
                               sqlpool_result_name(rc), rc, error.message);
                }
            }
        }
        rc = sqlpool_close(r->pool, &error);
        if (rc != SQLPOOL_OK)
            (void)fail(r, "close returned %s: %s", sqlpool_result_name(rc), error.message);
    }
    if (calls == 0) calls = sim_vfs.kind_calls[fault.kind];
    if (r->why[0] == '\0' && fault.at != 0 && sim_vfs.faults == 0 && calls >= fault.at) {
        (void)fail(r, "no call failed: the harness does nothing");
    }
    sim_vfs_heal();
    sim_vfs.lie_write_at = 0;
    if (r->why[0] == '\0' && sim_vfs.open_files != base_files) {
        (void)fail(r, "%d files were left open", sim_vfs.open_files - base_files);
    }
    if (r->why[0] == '\0' && sim_alloc_check(why, sizeof why)) (void)fail(r, "%s", why);
    if (r->why[0] == '\0' && sim_locks_check(&r->locks, why, sizeof why)) (void)fail(r, "%s", why);
    if (r->why[0] == '\0' && sqlite3_memory_used() != base_memory) {
        (void)fail(r, "sqlite3_memory_used is %lld above its base",
                   (long long)(sqlite3_memory_used() - base_memory));
    }
    if (r->why[0] == '\0') (void)check_file(r);
    (void)alarm(0);
    return r->why[0] != '\0';
}

static int try_run(sim_vfs_fault fault, bool is_wal) {
    run *r = (run *)calloc(1, sizeof *r);
    int bad;
    if (r == NULL) return 1;
    bad = one_run(r, fault, is_wal);
    if (bad) {
        printf("# %s: %s\n", sim_replay, r->why);
        if (getenv("SIM_VERBOSE") != NULL) sim_vfs_print_ring();
        fflush(stdout);
        sim_locks_forget(&r->locks);
        sim_alloc_forget();
    }
    free(r);
    return bad;
}

/*---- tests ----*/

static uint64_t seed;
static int full;
static double budget_seconds = 16;

static void loop(bool is_wal, double seconds) {
    static const int codes[] = {0, SQLITE_FULL, SQLITE_BUSY, SQLITE_CANTOPEN, SQLITE_IOERR_SHMOPEN};
    const sim_vfs_fault none = {0, SIM_VFS_ANY, 0, 0, 0};
    uint64_t counts[SIM_VFS_KINDS + 1], cases = 0, runs = 0, failures = 0, stride = 1, turn = seed;
    const int64_t start = sim_real_ns();
    int64_t first;
    double each, slower = 1.2;
    size_t c;
    int kind, from_on;
    CHECK(try_run(none, is_wal) == 0);
    first = sim_real_ns();
    CHECK(try_run(none, is_wal) == 0);
    each = (double)(sim_real_ns() - first) / 1e9;
    memcpy(counts, sim_vfs.kind_calls, sizeof counts);
    counts[SIM_VFS_ANY] = sim_vfs.calls;
    CHECK(sim_vfs.calls > 100);
    for (kind = 0; kind <= SIM_VFS_KINDS; kind++) {
        for (c = 0; c < sizeof codes / sizeof codes[0]; c++) {
            if (kind == SIM_VFS_ANY
                    ? codes[c] == 0
                    : sim_vfs_kind_can_fail(kind) && sim_vfs_code_fits(kind, codes[c])) {
                cases += counts[kind] * 2;
            }
        }
    }
    if (!full && each * (double)cases > seconds)
        stride = 1 + (uint64_t)(each * (double)cases / seconds);
    for (kind = 0; kind <= SIM_VFS_KINDS; kind++) {
        for (c = 0; c < sizeof codes / sizeof codes[0]; c++) {
            if (kind == SIM_VFS_ANY
                    ? codes[c] != 0
                    : !sim_vfs_kind_can_fail(kind) || !sim_vfs_code_fits(kind, codes[c])) {
                continue;
            }
            for (from_on = kind == SIM_VFS_ANY; from_on <= 1; from_on++) {
                uint64_t n;
                for (n = 1; n <= counts[kind] && failures < 30; n++) {
                    sim_vfs_fault fault = {n, kind, codes[c], from_on, 0};
                    if (turn++ % stride != 0) continue;
                    if (!full && (double)(sim_real_ns() - start) / 1e9 > seconds * slower) {
                        stride *= 2; /* a busy machine: the first run was no measure */
                        slower += 0.5;
                    }
                    fault.cut_writes = (int)(runs & 1);
                    failures += (uint64_t)try_run(fault, is_wal);
                    runs++;
                }
            }
        }
    }
    printf("# io %s: %llu calls, %llu runs, stride %llu, seed %llu, %.1f s, %llu failed\n",
           is_wal ? "wal" : "delete", (unsigned long long)counts[SIM_VFS_ANY],
           (unsigned long long)runs, (unsigned long long)stride, (unsigned long long)seed,
           (double)(sim_real_ns() - start) / 1e9, (unsigned long long)failures);
    CHECK_INT(failures, 0);
}
TEST(every_call_wal) {
    loop(true, budget_seconds * 0.6);
}
TEST(every_call_delete) {
    loop(false, budget_seconds * 0.4);
}

/*  A disk that says OK and writes nothing must be noticed by the checks above. */
TEST(control_lying_disk_is_seen) {
    const sim_vfs_fault none = {0, SIM_VFS_ANY, 0, 0, 0};
    uint64_t writes, part, seen = 0;
    CHECK(try_run(none, true) == 0);
    writes = sim_vfs.kind_calls[SIM_VFS_WRITE];
    for (part = 1; part <= 4; part++) {
        run *r = (run *)calloc(1, sizeof *r);
        CHECK(r != NULL);
        r->control_lie_at = writes * part / 6;
        seen += one_run(r, none, true) != 0;
        sim_locks_forget(&r->locks);
        sim_alloc_forget();
        free(r);
    }
    CHECK_INT(seen, 4);
}

/*  A transaction acknowledged before it is written (seeded in the test) must be noticed. */
TEST(control_false_ack_is_seen) {
    const sim_vfs_fault none = {0, SIM_VFS_ANY, 0, 0, 0};
    run *r = (run *)calloc(1, sizeof *r);
    CHECK(r != NULL);
    r->acked[MAX_TXNS - 1] = 0;
    CHECK(one_run(r, none, false) == 0);
    r->acked[r->next_txn++] = 1;
    CHECK(check_file(r) != 0);
    CHECK_HAS(r->why, "was acknowledged");
    free(r);
}

int main(int argc, char **argv) {
    if (sim_alloc_install() != SQLITE_OK || sim_vfs_install() != SQLITE_OK) {
        printf("# SQLite refuses the simulator\n0 passed, 1 failed\n");
        return 1;
    }
    sim_vfs.skip_sync = 1;
    sim_vfs.skip_sleep = 1;
    sim_catch_crashes();
    seed = sim_alloc.seed = sim_vfs.seed = sim_seed();
    if (argc >= 8 && strcmp(argv[1], "at") == 0) {
        sim_vfs_fault fault = {strtoull(argv[2], NULL, 10), 0, atoi(argv[4]),
                               strcmp(argv[5], "on") == 0, strcmp(argv[7], "cut") == 0};
        while (fault.kind < SIM_VFS_KINDS && strcmp(argv[3], sim_vfs_kind_name(fault.kind)) != 0)
            fault.kind++;
        if (getenv("SIM_TRACE") != NULL) sim_vfs.trace = stdout;
        return try_run(fault, strcmp(argv[6], "wal") == 0);
    }
    full = argc >= 2 && strcmp(argv[1], "full") == 0;
    printf("# io seed=%llu (SIM_SEED=... repeats it)\n", (unsigned long long)seed);
    RUN(control_lying_disk_is_seen);
    RUN(control_false_ack_is_seen);
    RUN(every_call_wal);
    RUN(every_call_delete);
    return test_end();
}
