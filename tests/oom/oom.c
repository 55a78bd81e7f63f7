/*  oom.c - every allocation of the library and of SQLite fails.
    SPDX-License-Identifier: MIT OR Unlicense

    A workload over statements, leases, transactions, submitted writes and loads, in the loop of
    oom/loop.h, which says how to call this. Its parts are journals: wal, delete or memory. What
    looks after a database is in oom/care.c. */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"

enum { MAX_IDS = 400 };
enum { LOAD_ROWS = 30, LOAD_REFUSED = 17 };

struct run;
typedef struct handed {
    struct run *r;
    int64_t id;
    int rc, outcome;                  /* as the ticket says */
    int calls, told_rc, told_outcome; /* of done_fn */
    sqlpool_ticket ticket;
} handed;

typedef struct own {
    int64_t next_id;
    signed char acked[MAX_IDS]; /* 1 acknowledged, 0 refused, -1 nobody knows: by id */
    int64_t loads, loaded;      /* loads that are done, and next_row of the present one */
    handed left[3];             /* for sqlpool_close() */
} own;

#include "oom/loop.h"

/*  A row with a new id is about to be written; said() notes how that went. */
static int64_t new_id(run *r) {
    return r->own.next_id++;
}
static int said(run *r, int64_t id, int rc) {
    r->own.acked[id] = rc == SQLPOOL_OK;
    return rc;
}

/*---- the workload: one function for each thing a program does with a pool ----*/

static int step_schema(run *r, sqlpool_error *e) {
    return sqlpool_script(
        r->pool,
        "CREATE TABLE IF NOT EXISTS log(id INTEGER PRIMARY KEY, a TEXT, b BLOB);\n"
        "CREATE TABLE IF NOT EXISTS kv(k TEXT PRIMARY KEY, v REAL) WITHOUT ROWID;\n"
        "CREATE INDEX IF NOT EXISTS log_a ON log(a);\n"
        "CREATE TABLE IF NOT EXISTS loaded(load, n CHECK(n <> 17), data);\n"
        "INSERT OR REPLACE INTO kv VALUES('one', 1.5), ('two', 2.5), ('three', 3.5);",
        -1, e);
}

static int step_look(run *r, sqlpool_error *e) {
    static char text[16384];
    sqlpool_config config;
    sqlpool_stats stats;
    sqlpool_holder holders[2];
    int rc;
    memset(e, 0, sizeof *e);
    if ((rc = sqlpool_config_resolved(r->pool, &config)) != SQLPOOL_OK) return bare(e, rc);
    if (config.max_connections != 3)
        return fail(r, "config_resolved: max is %d", config.max_connections);
    if ((rc = sqlpool_get_stats(r->pool, &stats)) != SQLPOOL_OK) return bare(e, rc);
    if ((rc = sqlpool_holders(r->pool, holders, 2)) != 0) return bare(e, rc);
    if ((rc = sqlpool_status_text(r->pool, text, sizeof text)) < 0) return bare(e, rc);
    if ((rc = sqlpool_status_json(r->pool, text, sizeof text)) < 0) return bare(e, rc);
    if (text[0] != '{') return fail(r, "status_json gave \"%.40s\"", text);
    return SQLPOOL_OK;
}

static int step_exec(run *r, sqlpool_error *e) {
    const int64_t id = new_id(r);
    return said(r, id,
                sqlpool_exec(r->pool, "INSERT INTO log VALUES(?, ?, ?)",
                             SQLPOOL_ARGS(id, "text of exec", SQLPOOL_BLOB("\0\1\2", 3)), e));
}

static int step_exec_with(run *r, sqlpool_error *e) {
    const int64_t id = new_id(r);
    sqlpool_call call = {.timeout_ms = 1000, .tag = "oom"};
    sqlpool_result result = {0, 0, 0};
    const int rc =
        said(r, id,
             sqlpool_exec_with(r->pool, &call, &result, "INSERT INTO log VALUES(?, ?, NULL)",
                               SQLPOOL_ARGS(id, "with"), e));
    if (rc == SQLPOOL_OK && (result.changes != 1 || result.last_insert_id != id)) {
        return fail(r, "exec_with: %lld changes, id %lld", (long long)result.changes,
                    (long long)result.last_insert_id);
    }
    return rc;
}

static int step_query(run *r, sqlpool_error *e) {
    sqlpool_rows rows;
    double sum = 0;
    int count = 0;
    int rc = sqlpool_query(r->pool, &rows, "SELECT k, v, ? AS x FROM kv WHERE v > ? ORDER BY k",
                           SQLPOOL_ARGS("copied text", 0.5), e);
    if (rc == SQLPOOL_OK) {
        while (sqlpool_rows_next(&rows)) {
            const char *text = sqlpool_rows_text(&rows, 2);
            if (text != NULL && strcmp(text, "copied text") != 0) {
                return fail(r, "query: column 2 is \"%s\"", text);
            }
            (void)sqlpool_rows_name(&rows, 0);
            (void)sqlpool_rows_value(&rows, 0);
            sum += sqlpool_rows_double(&rows, 1);
            count++;
        }
    }
    rc = close_rows(&rows, rc, e);
    if (rc == SQLPOOL_OK && (count != 3 || sum != 7.5))
        return fail(r, "query: %d rows, sum %g", count, sum);
    return rc;
}

static int step_half_read(run *r, sqlpool_error *e) {
    sqlpool_rows rows;
    int rc = sqlpool_query(r->pool, &rows, "SELECT k FROM kv ORDER BY v", SQLPOOL_NO_ARGS, e);
    if (rc == SQLPOOL_OK) (void)sqlpool_rows_next(&rows);
    return close_rows(&rows, rc, e);
}

static int step_returning(run *r, sqlpool_error *e) {
    const int64_t id = new_id(r), id2 = new_id(r);
    sqlpool_rows rows;
    int64_t sum = 0;
    int rc =
        sqlpool_query(r->pool, &rows,
                      "INSERT INTO log VALUES(?, 'r', zeroblob(300)), (?, 'r', zeroblob(3000)) "
                      "RETURNING id, a, b",
                      SQLPOOL_ARGS(id, id2), e);
    (void)said(r, id, rc);
    (void)said(r, id2, rc);
    if (rc == SQLPOOL_OK) {
        while (sqlpool_rows_next(&rows)) {
            sum += sqlpool_rows_int64(&rows, 0);
            (void)sqlpool_rows_blob(&rows, 2);
        }
    }
    rc = close_rows(&rows, rc, e);
    if (rc == SQLPOOL_OK && sum != id + id2)
        return fail(r, "returning: sum of ids %lld", (long long)sum);
    return rc;
}

static int step_scalars(run *r, sqlpool_error *e) {
    char text[32];
    int64_t integer;
    double real;
    int rc = sqlpool_query_int64(r->pool, &integer, "SELECT count(*) FROM kv", SQLPOOL_NO_ARGS, e);
    if (rc != SQLPOOL_OK) return rc;
    if (integer != 3) return fail(r, "query_int64 gave %lld", (long long)integer);
    rc = sqlpool_query_double(r->pool, &real, "SELECT sum(v) FROM kv", SQLPOOL_NO_ARGS, e);
    if (rc != SQLPOOL_OK) return rc;
    if (real != 7.5) return fail(r, "query_double gave %g", real);
    rc = sqlpool_query_text(r->pool, text, sizeof text, "SELECT k FROM kv WHERE v = ?",
                            SQLPOOL_ARGS(2.5), e);
    if (rc == SQLPOOL_OK && strcmp(text, "two") != 0)
        return fail(r, "query_text gave \"%s\"", text);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool_query_text(r->pool, text, sizeof text, "SELECT 12345 + ?", SQLPOOL_ARGS(1), e);
    if (rc == SQLPOOL_OK &&
        strcmp(text, "12346") != 0) /* the number becomes text when it is asked for */
        return fail(r, "query_text gave \"%s\"", text);
    return rc;
}

/*  Errors that are not about memory keep their own code, however little memory there is. */
static int step_errors(run *r, sqlpool_error *e) {
    int64_t integer;
    int rc = sqlpool_exec(r->pool, "SELEKT 1", SQLPOOL_NO_ARGS, e);
    if (rc != SQLITE_ERROR) return rc == SQLPOOL_OK ? fail(r, "a syntax error passed") : rc;
    rc = sqlpool_exec(r->pool, "INSERT INTO kv VALUES('one', 1)", SQLPOOL_NO_ARGS, e);
    if ((rc & 0xff) != SQLITE_CONSTRAINT)
        return rc == SQLPOOL_OK ? fail(r, "a constraint passed") : rc;
    rc = sqlpool_query_int64(r->pool, &integer, "SELECT v FROM kv WHERE k = 'none'",
                             SQLPOOL_NO_ARGS, e);
    if (rc != SQLPOOL_NOT_FOUND) return rc == SQLPOOL_OK ? fail(r, "a row out of nothing") : rc;
    rc = sqlpool_exec(r->pool, "SELECT ?", SQLPOOL_NO_ARGS, e);
    if (rc != SQLPOOL_ARGUMENTS)
        return rc == SQLPOOL_OK ? fail(r, "a missing argument passed") : rc;
    rc = sqlpool_exec(r->pool, "BEGIN", SQLPOOL_NO_ARGS, e);
    if (rc != SQLPOOL_REFUSED) return rc == SQLPOOL_OK ? fail(r, "BEGIN passed") : rc;
    rc = sqlpool_script(r->pool, "INSERT INTO log(a) VALUES('gone'); SELEKT 2;", -1, e);
    if (rc != SQLITE_ERROR) return rc == SQLPOOL_OK ? fail(r, "a bad script passed") : rc;
    memset(e, 0, sizeof *e);
    return SQLPOOL_OK;
}

static int step_lease_write(run *r, sqlpool_error *e) {
    const int64_t id = new_id(r), id2 = new_id(r), id3 = new_id(r);
    sqlpool_conn conn;
    sqlite3_stmt *statement = NULL;
    sqlpool_rows rows;
    int rc = sqlpool_conn_acquire(r->pool, SQLPOOL_WRITE, &conn, e);
    if (rc != SQLPOOL_OK) return rc;
    rc = said(r, id,
              sqlpool_conn_exec(&conn, "INSERT INTO log VALUES(?, 'lease', NULL)", SQLPOOL_ARGS(id),
                                NULL, e));
    if (rc == SQLPOOL_OK)
        rc = sqlpool_conn_stmt(&conn, "INSERT INTO log VALUES(?, 'stmt', NULL)", &statement, e);
    if (rc == SQLPOOL_OK) {
        int stepped = sqlite3_bind_int64(statement, 1, id2);
        if (stepped == SQLITE_OK) stepped = sqlite3_step(statement);
        (void)said(r, id2, stepped == SQLITE_DONE ? SQLPOOL_OK : stepped);
        if (stepped != SQLITE_DONE) {
            rc = bare(e, stepped); /* SQLite's own word, not the library's */
        }
        if (sqlpool_conn_stmt_release(&conn, statement) != SQLPOOL_OK) {
            (void)fail(r, "conn_stmt_release failed");
        }
    }
    if (rc == SQLPOOL_OK) {
        rc =
            sqlpool_conn_query(&conn, &rows, "SELECT a FROM log WHERE id = ?", SQLPOOL_ARGS(id), e);
        if (rc == SQLPOOL_OK && !sqlpool_rows_next(&rows)) {
            rc = sqlpool_rows_close(&rows, e);
            if (rc == SQLPOOL_OK) rc = fail(r, "the lease does not see its own row");
        } else {
            rc = close_rows(&rows, rc, e);
        }
    }
    if (rc == SQLPOOL_OK) {
        char sql[128];
        (void)snprintf(sql, sizeof sql,
                       "-- a comment\nINSERT INTO log VALUES(%lld, 'script', NULL);;",
                       (long long)id3);
        rc = said(r, id3, sqlpool_conn_script(&conn, sql, -1, e));
    }
    return give_back(r, &conn, rc, false);
}

static int step_transaction_by_hand(run *r, sqlpool_error *e) {
    const int64_t id = new_id(r), id2 = new_id(r);
    sqlpool_conn conn;
    int rc = sqlpool_conn_acquire(r->pool, SQLPOOL_WRITE, &conn, e);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool_conn_begin(&conn, e);
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_conn_exec(&conn, "INSERT INTO log VALUES(?, 'outer', zeroblob(5000))",
                               SQLPOOL_ARGS(id), NULL, e);
        if (rc == SQLPOOL_OK) rc = sqlpool_conn_begin(&conn, e); /* a savepoint */
        if (rc == SQLPOOL_OK) {
            rc = sqlpool_conn_exec(&conn, "INSERT INTO log VALUES(?, 'inner', NULL)",
                                   SQLPOOL_ARGS(id2), NULL, e);
            if (rc == SQLPOOL_OK) rc = sqlpool_conn_rollback(&conn, e);
        }
        if (rc == SQLPOOL_OK) rc = said(r, id, sqlpool_conn_commit(&conn, e));
    }
    return give_back(r, &conn, rc, false); /* after an error the release rolls back */
}

typedef struct ids {
    run *r;
    int64_t outer, inner;
} ids;
static int inner_fn(sqlpool_conn *conn, void *user, int attempt) {
    ids *i = (ids *)user;
    int rc = sqlpool_conn_exec(conn, "INSERT INTO log VALUES(?, 'undone', ?)",
                               SQLPOOL_ARGS(i->inner, attempt), NULL, NULL);
    return rc == SQLPOOL_OK ? 12345 : rc; /* the savepoint is rolled back */
}
static int outer_fn(sqlpool_conn *conn, void *user, int attempt) {
    ids *i = (ids *)user;
    sqlpool_error error;
    int rc = sqlpool_conn_exec(conn, "INSERT INTO log VALUES(?, 'tx', ?)",
                               SQLPOOL_ARGS(i->outer, attempt), NULL, &error);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool_conn_transaction(conn, inner_fn, i, &error);
    return rc == 12345 ? 0 : rc;
}
static int step_transaction(run *r, sqlpool_error *e) {
    ids i = {r, new_id(r), new_id(r)};
    return said(r, i.outer, sqlpool_transaction(r->pool, SQLPOOL_WRITE, outer_fn, &i, e));
}
static int give_up_fn(sqlpool_conn *conn, void *user, int attempt) {
    ids *i = (ids *)user;
    int rc = sqlpool_conn_exec(conn, "INSERT INTO log VALUES(?, 'gone', ?)",
                               SQLPOOL_ARGS(i->outer, attempt), NULL, NULL);
    return rc == SQLPOOL_OK ? 777 : rc;
}
static int step_transaction_undone(run *r, sqlpool_error *e) {
    ids i = {r, new_id(r), new_id(r)};
    const int rc = sqlpool_transaction(r->pool, SQLPOOL_WRITE, give_up_fn, &i, e);
    if (rc != 777) return rc == SQLPOOL_OK ? fail(r, "fn's own result was lost") : rc;
    memset(e, 0, sizeof *e);
    return SQLPOOL_OK;
}
static int read_fn(sqlpool_conn *conn, void *user, int attempt) {
    sqlpool_rows rows;
    int rc = sqlpool_conn_query(conn, &rows, "SELECT count(*) FROM kv", SQLPOOL_NO_ARGS, NULL);
    (void)attempt;
    if (rc == SQLPOOL_OK && sqlpool_rows_next(&rows))
        *(int64_t *)user = sqlpool_rows_int64(&rows, 0);
    return close_rows(&rows, rc, NULL);
}
static int step_transaction_read(run *r, sqlpool_error *e) {
    int64_t count = 0;
    const int rc = sqlpool_transaction(r->pool, SQLPOOL_READ, read_fn, &count, e);
    if (rc == SQLPOOL_OK && count != 3)
        return fail(r, "read transaction: %lld rows", (long long)count);
    return rc;
}

/*  Two readers at once (the pool grows), one with its cursor left open, holders looked at. */
static int step_leases_read(run *r, sqlpool_error *e) {
    sqlpool_conn a, b;
    sqlpool_rows rows;
    sqlpool_holder holders[4];
    sqlpool_call call = {.timeout_ms = 500, .tag = "second"};
    int rc2, rc = sqlpool_conn_acquire(r->pool, SQLPOOL_READ, &a, e);
    if (rc != SQLPOOL_OK) return rc;
    rc2 = sqlpool_conn_acquire_with(r->pool, SQLPOOL_READ, &call, &b, e);
    if (rc2 == SQLPOOL_OK) {
        const int out = sqlpool_holders(r->pool, holders, 4);
        if (out != 2) (void)fail(r, "holders says %d", out);
        rc2 = sqlpool_conn_set_timeout(&b, 1000);
        if (rc2 == SQLPOOL_OK) {
            rc2 =
                sqlpool_conn_query(&b, &rows, "SELECT k, ? FROM kv", SQLPOOL_ARGS("left open"), e);
            if (rc2 == SQLPOOL_OK) (void)sqlpool_rows_next(&rows);
        }
        rc2 = give_back(r, &b, rc2, rc2 == SQLPOOL_OK);
    }
    rc = give_back(r, &a, SQLPOOL_OK, false);
    return rc2 != SQLPOOL_OK ? rc2 : rc;
}

static int chain_progress(void *user) {
    (void)user;
    return 0;
}
static int step_raw(run *r, sqlpool_error *e) {
    sqlpool_chain chain;
    sqlpool_conn conn;
    sqlite3 *db;
    int rc = sqlpool_conn_acquire(r->pool, SQLPOOL_READ, &conn, e);
    if (rc != SQLPOOL_OK) return rc;
    memset(&chain, 0, sizeof chain);
    chain.progress_fn = chain_progress;
    rc = sqlpool_conn_chain(&conn, &chain);
    if (rc == SQLPOOL_OK) {
        db = sqlpool_conn_db(&conn);
        if (db == NULL) return fail(r, "conn_db gave NULL");
        rc = sqlite3_exec(db, "SELECT count(*) FROM log", NULL, NULL, NULL);
    }
    return give_back(r, &conn, bare(e, rc), false);
}

static int step_cancel(run *r, sqlpool_error *e) {
    sqlpool_token token = {0};
    sqlpool_call call = {.token = &token};
    sqlpool_conn conn;
    int rc = sqlpool_cancel(r->pool, &token);
    if (rc != SQLPOOL_OK) return bare(e, rc);
    rc = sqlpool_exec_with(r->pool, &call, NULL, "INSERT INTO log(a) VALUES('cancelled')",
                           SQLPOOL_NO_ARGS, e);
    if (rc != SQLPOOL_CANCELLED)
        return rc == SQLPOOL_OK ? fail(r, "a fired token did nothing") : rc;
    rc = sqlpool_conn_acquire(r->pool, SQLPOOL_READ, &conn, e);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool_conn_cancel(conn);
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_conn_exec(&conn, "SELECT count(*) FROM log", SQLPOOL_NO_ARGS, NULL, e);
        if (rc == SQLPOOL_OK) (void)fail(r, "a cancelled lease goes on");
        if (rc == SQLPOOL_CANCELLED) rc = SQLPOOL_OK;
    }
    rc = give_back(r, &conn, rc, false);
    if (rc == SQLPOOL_OK) memset(e, 0, sizeof *e);
    return rc;
}

static int step_many_statements(run *r, sqlpool_error *e) {
    int i;
    for (i = 0; i < 7; i++) {
        char sql[64];
        int64_t value;
        int rc;
        (void)snprintf(sql, sizeof sql, "SELECT %d + count(*) FROM kv", i);
        rc = sqlpool_query_int64(r->pool, &value, sql, SQLPOOL_NO_ARGS, e);
        if (rc != SQLPOOL_OK) return rc;
        if (value != i + 3) return fail(r, "statement %d gave %lld", i, (long long)value);
    }
    return SQLPOOL_OK;
}

static int step_checkpoint(run *r, sqlpool_error *e) {
    sqlpool_checkpoint_result result;
    int rc = sqlpool_checkpoint(r->pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, e);
    if (r->journal != JOURNAL_WAL) {
        if (rc == SQLPOOL_UNSUPPORTED) {
            memset(e, 0, sizeof *e);
            return SQLPOOL_OK;
        }
        return rc == SQLPOOL_OK ? fail(r, "checkpoint without a WAL returned OK") : rc;
    }
    if (rc != SQLPOOL_OK) return rc;
    if (result.log_frames != result.checkpointed_frames) return fail(r, "checkpoint left frames");
    return sqlpool_checkpoint(r->pool, SQLPOOL_CHECKPOINT_TRUNCATE, &result, e);
}

static int exclusive_fn(sqlpool_conn *conn, void *user) {
    const int64_t id = *(int64_t *)user;
    return sqlpool_conn_exec(conn, "INSERT INTO log VALUES(?, 'exclusive', NULL)", SQLPOOL_ARGS(id),
                             NULL, NULL);
}
static int step_exclusive(run *r, sqlpool_error *e) {
    int64_t id = new_id(r);
    return said(r, id, sqlpool_exclusive(r->pool, 100, exclusive_fn, &id, e));
}

static int step_pause(run *r, sqlpool_error *e) {
    int rc = sqlpool_pause(r->pool, 100, e);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool_resume(r->pool);
    if (rc != SQLPOOL_OK) return fail(r, "resume returned %s", sqlpool_result_name(rc));
    return rc;
}

static int step_recycle(run *r, sqlpool_error *e) {
    const int64_t id = new_id(r);
    int64_t count;
    int rc = sqlpool_recycle(r->pool);
    if (r->journal == JOURNAL_MEMORY && rc == SQLPOOL_UNSUPPORTED) rc = SQLPOOL_OK;
    if (rc != SQLPOOL_OK) return bare(e, rc);
    rc = said(
        r, id,
        sqlpool_exec(r->pool, "INSERT INTO log VALUES(?, 'recycled', NULL)", SQLPOOL_ARGS(id), e));
    if (rc != SQLPOOL_OK) return rc;
    return sqlpool_query_int64(r->pool, &count, "SELECT count(*) FROM log", SQLPOOL_NO_ARGS, e);
}

/*  A backup, and back to it: nothing has happened in between. */
static int step_backup(run *r, sqlpool_error *e) {
    sqlpool_backup_config config = {.keep = 2};
    sqlpool_backup_info info;
    sqlpool_salvage_info salvaged;
    int rc;
    (void)unlink("oom.new");
    rc = sqlpool_backup(r->pool, "oom.bak", &config, NULL, &info, e);
    if (rc == SQLPOOL_OK) rc = sqlpool_backup_verify(r->pool, "oom.bak", NULL, NULL, &info, e);
    if (rc != SQLPOOL_OK || r->journal == JOURNAL_MEMORY) return rc;
    rc = sqlpool_restore(r->pool, "oom.bak", NULL, NULL, &info, e);
    if (info.kept[0] != '\0') (void)unlink(info.kept);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool_salvage(r->pool, NULL, "oom.new", NULL, NULL, &salvaged, e);
    if (rc == SQLPOOL_OK && salvaged.first_problem[0] != '\0')
        return fail(r, "salvage: %s", salvaged.first_problem);
    if (access("oom.bak-partial", F_OK) == 0 || access("oom.db-partial", F_OK) == 0)
        return fail(r, "a partial is left");
    return rc;
}

/*  Hours pass: idle connections close, lifetimes end, checks run. */
static int step_tick(run *r, sqlpool_error *e) {
    int i, rc;
    for (i = 0; i < 3; i++) {
        sim_clock_advance(&r->clock, (int64_t)40 * 1000000000);
        rc = sqlpool_tick(r->pool, 1000000);
        if (rc != SQLPOOL_OK) return bare(e, rc);
    }
    return SQLPOOL_OK;
}

static int step_snapshot(run *r, sqlpool_error *e) {
    return read_snapshot(r, "SELECT count(*) FROM kv", e);
}

/*---- writes that may share a commit, and those that are handed in ----*/

static int handed_fn(sqlpool_conn *conn, void *user, int attempt) {
    const handed *h = (const handed *)user;
    return sqlpool_conn_exec(conn, "INSERT INTO log VALUES(?, 'function', ?)",
                             SQLPOOL_ARGS(h->id, attempt), NULL, NULL);
}
static void handed_done(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    handed *h = (handed *)user;
    if ((result->changes != 0) != (error->result == SQLPOOL_OK) && result->changes > 1)
        (void)fail(h->r, "done_fn: %lld changes with result %d", (long long)result->changes,
                   error->result);
    h->calls++;
    h->told_rc = error->result;
    h->told_outcome = error->outcome;
}
/*  Who was not told that it is committed must not find it, unless nobody knows. */
static void note_outcome(run *r, int64_t id, int rc, int outcome) {
    if (rc == SQLPOOL_OK
            ? outcome != SQLPOOL_OUTCOME_COMMITTED
            : outcome != SQLPOOL_OUTCOME_NOT_COMMITTED && outcome != SQLPOOL_OUTCOME_UNKNOWN)
        (void)fail(r, "result %d with outcome %d", rc, outcome);
    r->own.acked[id] = outcome == SQLPOOL_OUTCOME_UNKNOWN ? -1 : rc == SQLPOOL_OK;
}
static int step_write(run *r, sqlpool_error *e) {
    handed h = {.r = r, .id = new_id(r)};
    const int rc = sqlpool_write(r->pool, handed_fn, &h, e);
    note_outcome(r, h.id, rc, e->outcome);
    return rc;
}
static int hand_in(run *r, handed *h, int kind, sqlpool_error *e) {
    static const char long_text[] = /* does not fit into an entry */
        "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "0"
        "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "0"
        "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "0";
    sqlpool_submission submission = {.wait_ms = SQLPOOL_NO_WAIT, .done_fn = handed_done};
    submission.user = h;
    submission.relaxed = kind == 1;
    h->r = r;
    h->id = new_id(r);
    switch (kind) {
    case 0:
    case 1:
        return sqlpool_submit_with(r->pool, &submission, &h->ticket,
                                   "INSERT INTO log VALUES(?, 'handed', NULL)", SQLPOOL_ARGS(h->id),
                                   e);
    case 2:
        return sqlpool_submit_with(r->pool, &submission, &h->ticket,
                                   "INSERT INTO log VALUES(?, ?, NULL) RETURNING a",
                                   SQLPOOL_ARGS(h->id, long_text), e);
    case 3:
        return sqlpool_submit_write(r->pool, &submission, &h->ticket, handed_fn, h, e);
    case 4: /* ends the group: the others are run again */
        return sqlpool_submit_with(r->pool, &submission, &h->ticket,
                                   "INSERT OR ROLLBACK INTO log SELECT ?1, 'poison', NULL UNION "
                                   "ALL SELECT ?1, 'poison', NULL",
                                   SQLPOOL_ARGS(h->id), e);
    default: /* by itself */
        return sqlpool_submit_with(
            r->pool, &submission, &h->ticket,
            "WITH x(i) AS (VALUES(?)) INSERT INTO log SELECT i, 'x', NULL FROM x",
            SQLPOOL_ARGS(h->id), e);
    }
}
/*  Each that was accepted is told once by done_fn and once by its ticket, both the same. */
static int fetch(run *r, handed *h, int kind, sqlpool_error *e) {
    const int rc = sqlpool_ticket_wait(&h->ticket, SQLPOOL_FOREVER, NULL, e);
    if (h->calls != 1 || h->told_rc != rc || h->told_outcome != e->outcome)
        return fail(r,
                    "kind %d: done_fn was called %d times with %d, outcome %d; the ticket says %d, "
                    "outcome %d: %s",
                    kind, h->calls, h->told_rc, h->told_outcome, rc, e->outcome, e->message);
    if (h->ticket.number != 0) return fail(r, "kind %d: the ticket is not used up", kind);
    note_outcome(r, h->id, rc, e->outcome);
    if (kind != 4) return rc;
    if (rc == SQLPOOL_OK) return fail(r, "the poison was committed");
    return (rc & 0xff) == SQLITE_CONSTRAINT && rc > 0 ? SQLPOOL_OK : rc;
}
static int step_submit(run *r, sqlpool_error *e) {
    static const int kinds[] = {3, 0, 1, 2, 4, 0, 5, 2, 1};
    enum { COUNT = sizeof kinds / sizeof kinds[0] };
    handed all[COUNT];
    sqlpool_error error;
    int i, worst = SQLPOOL_OK;
    memset(all, 0, sizeof all);
    for (i = 0; i < COUNT; i++) {
        all[i].rc = hand_in(r, &all[i], kinds[i], &error);
        if (all[i].rc == SQLPOOL_OK) continue;
        if (all[i].ticket.number != 0) return fail(r, "refused, and a ticket was given");
        r->own.acked[all[i].id] = 0;
        if (error.outcome != SQLPOOL_OUTCOME_NOT_COMMITTED)
            return fail(r, "refused with outcome %d", error.outcome);
        worst = all[i].rc;
        *e = error;
    }
    if (all[COUNT - 1].rc == SQLPOOL_OK) { /* one is taken back */
        const int rc = sqlpool_ticket_cancel(&all[COUNT - 1].ticket);
        if (rc != SQLPOOL_OK || all[COUNT - 1].calls != 1 ||
            all[COUNT - 1].told_rc != SQLPOOL_CANCELLED)
            return fail(r, "cancel gave %d, done_fn was called %d times", rc, all[COUNT - 1].calls);
    }
    for (i = 0; i < COUNT - 1; i++) {
        int rc;
        if (all[i].rc != SQLPOOL_OK) continue;
        rc = fetch(r, &all[i], kinds[i], &error);
        if (r->why[0] != '\0') return 1;
        if (rc == SQLPOOL_OK) continue;
        worst = rc;
        *e = error;
    }
    return worst;
}
/*  Nobody asks for these, but one: a tick runs the first, a flush waits for the others. */
static int step_submit_and_go(run *r, sqlpool_error *e) {
    handed all[3];
    sqlpool_error error;
    int i, rc, worst = SQLPOOL_OK;
    memset(all, 0, sizeof all);
    memset(e, 0, sizeof *e);
    for (i = 0; i < 3; i++) {
        all[i].rc = hand_in(r, &all[i], 2 + (i == 1), &error);
        r->own.acked[all[i].id] = 0;
        if (all[i].rc != SQLPOOL_OK) {
            worst = all[i].rc;
            *e = error;
            continue;
        }
        if (i < 2 && sqlpool_ticket_drop(&all[i].ticket) != SQLPOOL_OK)
            return fail(r, "a ticket cannot be dropped");
        if (i == 0 && sqlpool_tick(r->pool, 0) != SQLPOOL_OK) return fail(r, "tick failed");
    }
    rc = sqlpool_flush(r->pool, SQLPOOL_FOREVER, &error);
    if (rc != SQLPOOL_OK)
        return fail(r, "flush returned %d: %s", rc, error.message); /* it allocates nothing */
    for (i = 0; i < 3; i++) {
        if (all[i].calls != (all[i].rc == SQLPOOL_OK))
            return fail(r, "after a flush done_fn was called %d times", all[i].calls);
        if (all[i].rc != SQLPOOL_OK) continue;
        note_outcome(r, all[i].id, all[i].told_rc, all[i].told_outcome);
        if (i == 2 && sqlpool_ticket_poll(&all[2].ticket, NULL, &error) != all[2].told_rc)
            return fail(r, "the ticket says %d, done_fn was told %d", error.result, all[2].told_rc);
        if (all[i].told_rc == SQLPOOL_OK) continue;
        worst = e->result = all[i].told_rc;
        (void)snprintf(e->message, sizeof e->message, "told by done_fn");
    }
    if (worst != SQLPOOL_OK) return worst;
    rc = sqlpool_sync(r->pool, 0, 0, e);
    if (rc == SQLPOOL_UNSUPPORTED && r->journal != JOURNAL_WAL) {
        memset(e, 0, sizeof *e);
        return SQLPOOL_OK;
    }
    return rc;
}

/*---- many rows ----*/

/*  A load by name. Where it failed it goes on in the second try, which knows where that is. */
static int refused_fn(void *user, int64_t row, const sqlpool_value *values,
                      const sqlpool_error *error) {
    run *r = (run *)user;
    if (row != LOAD_REFUSED || values[1].as.integer != row ||
        (error->result & 0xff) != SQLITE_CONSTRAINT)
        (void)fail(r, "row %lld is refused: %s", (long long)row, error->message);
    return 0;
}
static int step_bulk(run *r, sqlpool_error *e) {
    static const char *const columns[] = {"load", "n", "data"};
    static const char data[200] = "loaded";
    sqlpool_bulk_config config = {0};
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk;
    int64_t row;
    int rc, end;
    config.table = "loaded";
    config.columns = columns;
    config.column_count = 3;
    config.batch_bytes = 1000;
    config.relaxed = true;
    config.name = "oom";
    config.user = r;
    config.refused_fn = refused_fn;
    rc = sqlpool_bulk_begin(r->pool, &config, &bulk, e);
    if (rc != SQLPOOL_OK) return bulk == NULL ? rc : fail(r, "bulk_begin failed and gave a load");
    row = sqlpool_bulk_next_row(bulk);
    if (row != r->own.loaded)
        (void)fail(r, "a load goes on at row %lld, not %lld", (long long)row,
                   (long long)r->own.loaded);
    for (; row < LOAD_ROWS && rc == SQLPOOL_OK; row++) {
        const size_t bytes = row % 10 == 5 ? 2000 : (size_t)row; /* some are bigger than a batch */
        static char big[2000];
        rc = sqlpool_bulk_row(
            bulk,
            SQLPOOL_ARGS(r->own.loads, row, SQLPOOL_BLOB(bytes > sizeof data ? big : data, bytes)),
            e);
    }
    end = sqlpool_bulk_end(bulk, &progress, rc == SQLPOOL_OK ? e : NULL);
    if (rc != SQLPOOL_OK && end != rc)
        return fail(r, "bulk_end returned %s after %s", sqlpool_result_name(end),
                    sqlpool_result_name(rc));
    r->own.loaded = progress.next_row;
    if (end == SQLPOOL_OK && r->own.loaded != LOAD_ROWS)
        return fail(r, "a load ended at row %lld", (long long)r->own.loaded);
    if (end == SQLPOOL_OK) {
        r->own.loads++;
        r->own.loaded = 0;
    }
    return end;
}

static const step steps[] = {
    {"schema", step_schema},
    {"look", step_look},
    {"exec", step_exec},
    {"exec_with", step_exec_with},
    {"query", step_query},
    {"half_read", step_half_read},
    {"returning", step_returning},
    {"scalars", step_scalars},
    {"errors", step_errors},
    {"lease_write", step_lease_write},
    {"transaction_by_hand", step_transaction_by_hand},
    {"transaction", step_transaction},
    {"transaction_undone", step_transaction_undone},
    {"transaction_read", step_transaction_read},
    {"leases_read", step_leases_read},
    {"snapshot", step_snapshot},
    {"bulk", step_bulk},
    {"raw", step_raw},
    {"cancel", step_cancel},
    {"many_statements", step_many_statements},
    {"write", step_write},
    {"submit", step_submit},
    {"submit_and_go", step_submit_and_go},
    {"checkpoint", step_checkpoint},
    {"exclusive", step_exclusive},
    {"pause", step_pause},
    {"tick", step_tick},
    {"recycle", step_recycle},
    {"backup", step_backup},
    {"look", step_look},
    {"submit", step_submit},
    {"exec", step_exec},
    {"query", step_query},
    {NULL, NULL},
};

/*---- one run ----*/

static int connect_fn(void *user, const sqlpool_conn *conn) {
    sqlpool_conn copy = *conn;
    (void)user;
    return sqlpool_conn_exec(&copy, "SELECT 1", SQLPOOL_NO_ARGS, NULL, NULL);
}

static int opened(run *r, sqlpool_error *e) {
    keep_snapshots(r->pool);
    return e->result;
}

static void configure(run *r, sqlpool_config *config) {
    static const char *const warmup[] = {"SELECT count(*) FROM sqlite_schema"};
    (void)r;
    config->statement_cache_count = 5;
    config->submit_count = 16;
    config->warmup_sql = warmup;
    config->warmup_count = 1;
    config->events.connect_fn = connect_fn;
}

static int check_rows(run *r) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    signed char there[MAX_IDS];
    int64_t i;
    int rc = sqlite3_open_v2(r->path, &db, SQLITE_OPEN_READWRITE, NULL);
    memset(there, 0, sizeof there);
    if (rc == SQLITE_OK && r->control_lose) {
        (void)sqlite3_exec(db, "DELETE FROM log WHERE id = (SELECT max(id) FROM log)", NULL, NULL,
                           NULL);
    }
    if (rc == SQLITE_OK && sim_plain_integrity(db, r->why, sizeof r->why)) rc = SQLITE_CORRUPT;
    if (rc == SQLITE_OK && sim_plain_int64(db, "SELECT count(*) FROM sqlite_schema", 0) > 0) {
        rc = sqlite3_prepare_v2(db, "SELECT id FROM log", -1, &statement, NULL);
        while (rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
            const int64_t id = sqlite3_column_int64(statement, 0);
            if (id >= 0 && id < MAX_IDS) there[id] = 1;
        }
        (void)sqlite3_finalize(statement);
    }
    if (rc == SQLITE_OK) {
        const int64_t rows = sim_plain_int64(db, "SELECT count(*) FROM loaded", 0);
        const int64_t expected =
            r->own.loads * (LOAD_ROWS - 1) + r->own.loaded - (r->own.loaded > LOAD_REFUSED);
        if (rows != expected ||
            sim_plain_int64(db, "SELECT count(*) FROM (SELECT DISTINCT load, n FROM loaded)", 0) !=
                expected)
            (void)fail(r, "%lld loads and %lld rows were told, %lld rows are there",
                       (long long)r->own.loads, (long long)r->own.loaded, (long long)rows);
    }
    if (rc != SQLITE_OK) (void)fail(r, "reopening: %s", sqlite3_errmsg(db));
    (void)sqlite3_close(db);
    for (i = 0; i < r->own.next_id && rc == SQLITE_OK; i++) {
        if (r->own.acked[i] > 0 && !there[i])
            return fail(r, "row %lld was acknowledged and is not there", (long long)i);
        if (!r->own.acked[i] && there[i])
            return fail(r, "row %lld was refused and is there", (long long)i);
    }
    return rc != SQLITE_OK;
}

static int healed(run *r, sqlpool_error *e) {
    const int rc = step_schema(r, e);
    return rc == SQLPOOL_OK ? step_exec(r, e) : rc;
}

/*  Handed in, and closed at once. */
static void leave(run *r) {
    sqlpool_error error;
    int i;
    for (i = 0; i < 3; i++) {
        r->own.left[i].rc = hand_in(r, &r->own.left[i], 2 + i, &error);
        r->own.acked[r->own.left[i].id] = 0;
    }
}
static void left(run *r) {
    int i;
    for (i = 0; i < 3; i++) {
        const handed *h = &r->own.left[i];
        if (h->calls != (h->rc == SQLPOOL_OK))
            (void)fail(r, "close: done_fn was called %d times", h->calls);
        if (h->calls > 0) note_outcome(r, h->id, h->told_rc, h->told_outcome);
    }
}

static const part parts[] = {
    {"wal", JOURNAL_WAL, steps, 0.6, false, NULL},
    {"delete", JOURNAL_DELETE, steps, 0.2, false, NULL},
    {"memory", JOURNAL_MEMORY, steps, 0.2, false, NULL},
    {NULL, 0, NULL, 0, false, NULL},
};
static const program this_program = {"oom",  "oom.db", 10,   configure, opened,
                                     healed, leave,    left, check_rows};

/*---- tests ----*/

TEST(every_allocation_wal) {
    loop("wal");
}
TEST(every_allocation_delete) {
    loop("delete");
}
TEST(every_allocation_memory) {
    loop("memory");
}

/*  A mutex, condition or thread that cannot be made: open fails cleanly. */
TEST(every_lock_init) {
    uint64_t k;
    for (k = 1; k < 1000; k++) {
        run *r = (run *)calloc(1, sizeof *r);
        sqlpool_error error;
        char why[400];
        int rc, made;
        CHECK(r != NULL);
        r->path = "init.db";
        r->journal = JOURNAL_WAL;
        r->locks.clock = &r->clock;
        r->locks.solo = 1;
        r->locks.fail_init_at = k;
        sim_remove_database(r->path);
        sim_alloc_fail(0, 0);
        rc = open_pool(r, &error);
        made = r->locks.inits >= k;
        if (made) {
            CHECK(rc != SQLPOOL_OK); /* something it needs could not be made */
            CHECK(rc == SQLPOOL_NOMEM || rc == SQLPOOL_CONFIG || rc == SQLPOOL_UNSUPPORTED);
            CHECK(r->pool == NULL);
            CHECK(error.message[0] != '\0');
        } else {
            CHECK_INT(rc, SQLPOOL_OK);
            CHECK_INT(sqlpool_close(r->pool, &error), SQLPOOL_OK);
        }
        if (sim_alloc_check(why, sizeof why) || sim_locks_check(&r->locks, why, sizeof why)) {
            test_fail(__FILE__, __LINE__, "initialisation %llu: %s", (unsigned long long)k, why);
            return;
        }
        free(r);
        if (!made) break;
    }
    printf("# oom: %llu lock initialisations failed in turn\n", (unsigned long long)(k - 1));
    CHECK(k > 1);
}

/*---- controls: the harness sees what it must see ----*/

TEST(control_leak_is_seen) {
    control("wal", true, "leak");
}

TEST(control_lost_row_is_seen) {
    control("wal", false, "acknowledged and is not there");
}

TEST(control_allocator_rules) {
    sqlpool_allocator a = sim_allocator();
    sim_locks l;
    sqlpool_mutex m;
    char why[400];
    unsigned char *p;
    printf("# the next lines are expected\n");
    sim_alloc_fail(0, 0);
    p = (unsigned char *)a.alloc_fn(a.user, 10);
    a.free_fn(a.user, p, 11);
    CHECK_INT(sim_alloc.errors, 1); /* wrong size */
    p = (unsigned char *)a.alloc_fn(a.user, 10);
    p[10] = 1;
    a.free_fn(a.user, p, 10);
    CHECK_INT(sim_alloc.errors, 2); /* behind its end */
    p = (unsigned char *)a.alloc_fn(a.user, 10);
    p[-1] = 1;
    a.free_fn(a.user, p, 10);
    CHECK_INT(sim_alloc.errors, 3); /* before its start */
    p = (unsigned char *)sqlite3_malloc(10);
    a.free_fn(a.user, p, 10);
    CHECK_INT(sim_alloc.errors, 4); /* through the wrong door */
    sqlite3_free(p);
    CHECK_INT(sim_alloc.errors, 4);
    sim_alloc_fail(2, 0);
    p = (unsigned char *)a.alloc_fn(a.user, 10);
    CHECK(p != NULL && a.alloc_fn(a.user, 10) == NULL);
    CHECK(sim_alloc_check(why, sizeof why) != 0);
    sim_alloc_heal();
    sim_alloc_forget();
    CHECK(sim_alloc_check(why, sizeof why) == 0);
    memset(&l, 0, sizeof l);
    CHECK(sim_mutex_init(&l, &m) == 0);
    CHECK(sim_locks_check(&l, why, sizeof why) != 0); /* not destroyed */
    sim_mutex_unlock(&l, &m);
    CHECK_INT(l.errors, 1); /* not the owner */
    sim_mutex_lock(&l, &m);
    sim_mutex_destroy(&l, &m);
    CHECK_INT(l.errors, 2); /* held */
    sim_mutex_unlock(&l, &m);
    sim_mutex_destroy(&l, &m);
    CHECK_INT(l.live_mutexes, 0);
}

int main(int argc, char **argv) {
    const int rc = loop_begin(argc, argv, &this_program, parts);
    if (rc >= 0) return rc;
    RUN(control_allocator_rules);
    RUN(control_leak_is_seen);
    RUN(control_lost_row_is_seen);
    RUN(every_lock_init);
    if (is_wanted("wal")) RUN(every_allocation_wal);
    if (is_wanted("delete")) RUN(every_allocation_delete);
    if (is_wanted("memory")) RUN(every_allocation_memory);
    return test_end();
}
