/*  powerloss.c - the power goes, at every moment. SPDX-License-Identifier: MIT OR Unlicense

    1. Threads write through one pool on the "sim" VFS: writes that share a commit, transactions,
       scripts, leases, writes that are refused and fail their group, checkpoints, reopening. What
       changes a file goes into a trace, and each acknowledgement too, under the recorder's lock: a
       write counts as acknowledged where its call had returned.
    2. The trace is replayed on a model of a disk. Before each change of a file the power goes: the
       files that may be found then are built in memory and opened with plain SQLite.
    3. Each image must pass integrity_check, and hold what the durability promises: with FULL every
       acknowledged write, with NORMAL those before the last finished TRUNCATE or close. Every other
       write is there whole or not at all, in the order of the commits without a hole, with its own
       bytes; one that was refused, or had not begun, is never there.

    The disk. What was written to a file is durable once a sync of it that began afterwards has
    returned. Of the rest any part may be there: none, all, each write or each sector of 512 bytes or
    not, all up to some moment, all but one, with the last one torn, with bytes that nobody wrote
    where a write was under way. Where writes overlap, the last one that is there counts: in whatever
    order they reach a disk, a sector then has one of its versions. Lengths follow the writes and
    truncations that are there. A name is durable with a sync of its file, and all names are once
    SQLite has synced the folder: with the first sync of a log or journal (os_unix.c), or a deletion
    that asks for it; until then a deleted file may be back, with its old content. There is no -shm.
    A sync that fails makes nothing durable, and of the log the disk forgets what it did not bring
    there, whatever a later one says: Linux takes the pages for written, and tells each file handle
    of an error once. In the database file (what a checkpoint copied half way is not copied again)
    SQLite itself trusts the second sync, and there is no promise to test.

    Some images are opened with a pool, which writes and closes, before they are looked at.

    powerloss                     a few seconds, seed printed; SIM_SEED repeats the choice of images
                                  (threads make each trace another one)
    POWERLOSS_IMAGES=n powerloss  n images with FULL, and as many of the others as that asks for:
                                  make powerloss
    What fails leaves its image in the folder: lost-N.db, with its log. */
#define _GNU_SOURCE
#include "sqlpool.h"

#include <sys/stat.h>

#include "sim/memory.h"
#include "sim/sim.h"
#include "test.h"

enum { DB, LOG, JOURNAL, FILES, NOWHERE = -1 };
enum { SECTOR = 512, MAX_IDS = 4096, MAX_INODES = 64, WRITERS = 5, SESSIONS = 3, WRITES = 14 };
static const char path[] = "power.db";
static const char *const tails[FILES] = {"", "-wal", "-journal"};
static sim_random dice;
static uint64_t seed;

static void out_of_memory(void) {
    printf("# no memory\n0 passed, 1 failed\n");
    exit(1);
}
/*  Room for `count` elements, doubling. */
static void *grown(void *block, size_t *capacity, size_t count, size_t element) {
    if (count <= *capacity) return block;
    *capacity = count * 2;
    block = realloc(block, *capacity * element);
    if (block == NULL) out_of_memory();
    return block;
}

/*---- the trace ----*/

typedef enum event_kind {
    CREATE,
    DELETE, /* amount: the folder is synced */
    WRITE,
    TRUNCATE, /* amount: the new length */
    SYNC,
    SYNC_FAILED,
    MARKS,         /* what follows changes no file */
    BEGUN = MARKS, /* amount: the write's id */
    ACKNOWLEDGED,
    REFUSED,
    SOLID /* amount: what was acknowledged before this event is durable with NORMAL too */
} event_kind;

typedef struct event {
    event_kind kind;
    int file;
    const void *handle; /* the opened file: SQLite names it by a string of its connection */
    int64_t offset, amount;
    size_t data;           /* of a write: where in the trace's bytes */
    uint64_t began, ended; /* calls of the VFS that had begun when it did, and when it was done */
} event;

typedef struct trace {
    event *events;
    size_t count, capacity;
    uint8_t *bytes;
    size_t used, room;
    bool exists[FILES];
    bool is_poison[MAX_IDS];
    size_t begun_at[MAX_IDS], acknowledged_at[MAX_IDS], refused_at[MAX_IDS]; /* SIZE_MAX: never */
    int ids; /* id 0 is the schema */
    int synchronous, page_bytes;
    bool has_faults;
    /* what it has to show */
    uint64_t acknowledged, poison, unknown, groups, grouped, replayed, checkpoints, restarts,
        truncates, deletes, failed_syncs;
} trace;

static int file_of(const char *name) {
    const char *slash = name == NULL ? NULL : strrchr(name, '/');
    int i;
    if (slash != NULL) name = slash + 1;
    if (name == NULL || strncmp(name, path, sizeof path - 1) != 0) return NOWHERE;
    for (i = 0; i < FILES; i++)
        if (strcmp(name + sizeof path - 1, tails[i]) == 0) return i;
    return NOWHERE;
}

/*  The caller holds sim_vfs.lock, as the recorder does. */
static event *add_event(trace *t, event_kind kind, int file, int64_t amount) {
    event *e;
    t->events = (event *)grown(t->events, &t->capacity, t->count + 1, sizeof *t->events);
    e = &t->events[t->count++];
    memset(e, 0, sizeof *e);
    e->kind = kind;
    e->file = file;
    e->amount = amount;
    e->ended = sim_vfs.calls;
    return e;
}

static void record(void *user, const sim_vfs_event *seen) {
    trace *t = (trace *)user;
    const int file = file_of(seen->file);
    const bool is_ok = seen->result == SQLITE_OK;
    event *e = NULL;
    if (file == NOWHERE) return;
    switch (seen->kind) {
    case SIM_VFS_OPEN:
        if (!is_ok || t->exists[file] || (seen->argument & SQLITE_OPEN_CREATE) == 0) return;
        t->exists[file] = true;
        e = add_event(t, CREATE, file, 0);
        break;
    case SIM_VFS_DELETE:
        if (!is_ok) return;
        t->exists[file] = false;
        if (file == LOG) t->deletes++;
        e = add_event(t, DELETE, file, seen->argument);
        break;
    case SIM_VFS_WRITE:
        if (!is_ok) return;
        e = add_event(t, WRITE, file, seen->amount);
        t->bytes = (uint8_t *)grown(t->bytes, &t->room, t->used + (size_t)seen->amount, 1);
        memcpy(t->bytes + t->used, seen->data, (size_t)seen->amount);
        e->data = t->used;
        e->offset = seen->offset;
        t->used += (size_t)seen->amount;
        if (file == LOG && seen->offset == 0) t->restarts++;
        break;
    case SIM_VFS_TRUNCATE:
        if (!is_ok) return;
        e = add_event(t, TRUNCATE, file, seen->amount);
        if (file == LOG) t->truncates++;
        break;
    case SIM_VFS_SYNC:
        if (!is_ok && !seen->faulted) return; /* it did its work, and told of an earlier one */
        e = add_event(t, is_ok ? SYNC : SYNC_FAILED, file, 0);
        t->failed_syncs += !is_ok;
        break;
    default:
        return;
    }
    e->handle = seen->file;
    e->began = seen->number;
    if (!t->exists[file] && e->kind != DELETE)
        test_fail(__FILE__, __LINE__, "%s of a file that has no name",
                  sim_vfs_kind_name((int)seen->kind));
}

static void mark(trace *t, event_kind kind, int64_t amount) {
    (void)pthread_mutex_lock(&sim_vfs.lock);
    (void)add_event(t, kind, NOWHERE, amount);
    (void)pthread_mutex_unlock(&sim_vfs.lock);
}

/*---- the work that is recorded ----*/

/*  A row of item stands for a write. tally gives it its place among the commits; pair has it once
    more. how = 1: one statement and its trigger; 0: the writer does each part himself. */
static const char schema[] =
    "CREATE TABLE tally(n INTEGER);"
    "CREATE TABLE anchor(a INTEGER PRIMARY KEY);"
    "CREATE TABLE item(id INTEGER PRIMARY KEY, how INTEGER, seq INTEGER UNIQUE, data BLOB,"
    "    ref INTEGER REFERENCES anchor(a) DEFERRABLE INITIALLY DEFERRED);"
    "CREATE TABLE pair(id INTEGER PRIMARY KEY);"
    "CREATE TABLE churn(data BLOB);"
    "CREATE TRIGGER whole AFTER INSERT ON item WHEN NEW.how = 1 BEGIN"
    "    UPDATE tally SET n = n + 1;"
    "    UPDATE item SET seq = (SELECT n FROM tally) WHERE id = NEW.id;"
    "    INSERT INTO pair VALUES(NEW.id); END;"
    "INSERT INTO tally VALUES(0);";
enum { SCHEMA_OBJECTS = 7 }; /* five tables, the index of UNIQUE, the trigger */

enum { MOST_DATA = 2700 };
/*  The bytes of write `id`: short ones, and some that need pages of their own. */
static int fill(int64_t id, uint8_t data[MOST_DATA]) {
    const uint32_t hash = (uint32_t)id * 2654435761u >> 8;
    const int bytes = (int)(hash % 8 == 0 ? 600 + hash / 8 % 2000 : 20 + hash / 8 % 100);
    int i;
    for (i = 0; i < bytes; i++) data[i] = (uint8_t)(id * 131 + i * 7);
    return bytes;
}

typedef struct writer {
    trace *t;
    sqlpool *pool;
    sim_random dice;
    int me;
    sqlpool_error error;
    uint8_t data[MOST_DATA];
} writer;

static int next_id; /* atomic */

/*  The next write's number; its bytes are in w->data. */
static int64_t begin_write(writer *w, bool is_poison, int *bytes) {
    const int id = __atomic_add_fetch(&next_id, 1, __ATOMIC_RELAXED);
    if (id >= MAX_IDS) {
        printf("# too many writes for the arrays\n0 passed, 1 failed\n");
        exit(1);
    }
    w->t->is_poison[id] = is_poison;
    *bytes = fill(id, w->data);
    mark(w->t, BEGUN, id);
    return id;
}
static bool is_fault(const writer *w, int rc) {
    return w->t->has_faults && rc > 0 && (rc & 0xff) == SQLITE_IOERR;
}
/*  What the call said of a write that nothing speaks against. */
static void end_write(writer *w, int64_t id, int rc, const char *what) {
    if (rc == SQLPOOL_OK) {
        mark(w->t, ACKNOWLEDGED, id);
    } else if (!is_fault(w, rc)) {
        test_fail(__FILE__, __LINE__, "%s: %s: %s", what, sqlpool_result_name(rc),
                  w->error.message);
    } else if (w->error.outcome == SQLPOOL_OUTCOME_NOT_COMMITTED) {
        mark(w->t, REFUSED, id);
    } else {
        __atomic_fetch_add(&w->t->unknown, 1, __ATOMIC_RELAXED);
    }
}
static void end_poison(writer *w, int rc, const char *what) {
    const bool is_excused = is_fault(w, rc);
    if (!is_excused && (rc < 0 || (rc & 0xff) != SQLITE_CONSTRAINT))
        test_fail(__FILE__, __LINE__, "%s: %s: %s", what, sqlpool_result_name(rc),
                  w->error.message);
    if (!is_excused && w->error.outcome != SQLPOOL_OUTCOME_NOT_COMMITTED)
        test_fail(__FILE__, __LINE__, "%s: outcome %d", what, w->error.outcome);
    __atomic_fetch_add(&w->t->poison, 1, __ATOMIC_RELAXED);
}

#define INSERT_ITEM "INSERT INTO item(id, how, data) VALUES(?, ?, ?)"

static void write_alone(writer *w) {
    int bytes;
    const int64_t id = begin_write(w, false, &bytes);
    const int rc = sqlpool_exec(
        w->pool, INSERT_ITEM, SQLPOOL_ARGS(id, 1, SQLPOOL_BLOB(w->data, (size_t)bytes)), &w->error);
    end_write(w, id, rc, "INSERT");
}
static void write_returning(writer *w) {
    sqlpool_rows rows;
    int bytes;
    const int64_t id = begin_write(w, false, &bytes);
    const int rc =
        sqlpool_query(w->pool, &rows, INSERT_ITEM " RETURNING id",
                      SQLPOOL_ARGS(id, 1, SQLPOOL_BLOB(w->data, (size_t)bytes)), &w->error);
    end_write(w, id, rc, "INSERT RETURNING");
    (void)sqlpool_rows_close(&rows, NULL);
}

/*  Committed without a sync, and made durable afterwards, up to it or all: acknowledged is what
    sqlpool_sync() has said well of. */
static void write_relaxed(writer *w) {
    sqlpool_submission how;
    sqlpool_ticket ticket;
    sqlpool_result result;
    int bytes, rc;
    const int64_t id = begin_write(w, false, &bytes);
    memset(&how, 0, sizeof how);
    how.relaxed = true;
    how.wait_ms = SQLPOOL_FOREVER;
    rc = sqlpool_submit_with(w->pool, &how, &ticket, INSERT_ITEM,
                             SQLPOOL_ARGS(id, 1, SQLPOOL_BLOB(w->data, (size_t)bytes)), &w->error);
    if (rc == SQLPOOL_OK) rc = sqlpool_ticket_wait(&ticket, SQLPOOL_FOREVER, &result, &w->error);
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_sync(w->pool, id % 2 == 0 ? result.sequence : 0, SQLPOOL_FOREVER, &w->error);
        w->error.outcome = SQLPOOL_OUTCOME_UNKNOWN; /* committed, and perhaps not durable */
    }
    end_write(w, id, rc, "a relaxed INSERT");
}

typedef struct parts {
    writer *w;
    int64_t id;
    int bytes;
} parts;
static int part_one(sqlpool_conn *conn, const parts *p) {
    return sqlpool_conn_exec(conn, INSERT_ITEM,
                             SQLPOOL_ARGS(p->id, 0, SQLPOOL_BLOB(p->w->data, (size_t)p->bytes)),
                             NULL, NULL);
}
static int part_two(sqlpool_conn *conn, const parts *p) {
    int rc = sqlpool_conn_exec(conn, "INSERT INTO pair VALUES(?)", SQLPOOL_ARGS(p->id), NULL, NULL);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_conn_exec(conn, "UPDATE tally SET n = n + 1", SQLPOOL_NO_ARGS, NULL, NULL);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_conn_exec(conn, "UPDATE item SET seq = (SELECT n FROM tally) WHERE id = ?",
                               SQLPOOL_ARGS(p->id), NULL, NULL);
    return rc;
}
static int parts_fn(sqlpool_conn *conn, void *user, int attempt) {
    const parts *p = (const parts *)user;
    int rc = part_one(conn, p);
    (void)attempt;
    sim_real_sleep_ns(400000); /* meanwhile others queue, and share a commit afterwards */
    if (rc == SQLPOOL_OK) rc = part_two(conn, p);
    return rc;
}
static void write_transaction(writer *w) {
    parts p = {w, 0, 0};
    p.id = begin_write(w, false, &p.bytes);
    end_write(w, p.id, sqlpool_transaction(w->pool, SQLPOOL_WRITE, parts_fn, &p, &w->error),
              "transaction");
}

static void write_script(writer *w) {
    char sql[2 * MOST_DATA + 400];
    int bytes, i, used;
    const int64_t id = begin_write(w, false, &bytes);
    used = snprintf(sql, sizeof sql, "INSERT INTO item(id, how, data) VALUES(%d, 0, x'", (int)id);
    for (i = 0; i < bytes; i++)
        used += snprintf(sql + used, sizeof sql - (size_t)used, "%02x", w->data[i]);
    (void)snprintf(sql + used, sizeof sql - (size_t)used,
                   "'); INSERT INTO pair VALUES(%d); UPDATE tally SET n = n + 1;"
                   "UPDATE item SET seq = (SELECT n FROM tally) WHERE id = %d;",
                   (int)id, (int)id);
    end_write(w, id, sqlpool_script(w->pool, sql, -1, &w->error), "script");
}

/*  A lease with more pages than the cache holds, so that some reach the log before the commit, and
    a savepoint that is undone. Rolled back at the end when it is poison. */
static void write_lease(writer *w, bool is_poison) {
    parts p = {w, 0, 0};
    sqlpool_conn conn;
    bool has_ended = false;
    int rc;
    p.id = begin_write(w, is_poison, &p.bytes);
    rc = sqlpool_conn_acquire(w->pool, SQLPOOL_WRITE, &conn, &w->error);
    if (rc != SQLPOOL_OK) {
        end_write(w, p.id, rc, "acquire");
        return;
    }
    rc = sqlpool_conn_begin(&conn, &w->error);
    if (rc == SQLPOOL_OK) rc = part_one(&conn, &p);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_conn_exec(&conn, "INSERT INTO churn VALUES(randomblob(?)), (randomblob(6000))",
                               SQLPOOL_ARGS(20 * w->t->page_bytes), NULL, &w->error);
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_begin(&conn, &w->error);
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_conn_exec(&conn, "DELETE FROM pair", SQLPOOL_NO_ARGS, NULL, &w->error);
        if (rc == SQLPOOL_OK) rc = sqlpool_conn_rollback(&conn, &w->error);
    }
    if (rc == SQLPOOL_OK) rc = part_two(&conn, &p);
    if (rc == SQLPOOL_OK && is_poison) {
        has_ended = sqlpool_conn_rollback(&conn, &w->error) == SQLPOOL_OK;
        if (!has_ended) test_fail(__FILE__, __LINE__, "rollback: %s", w->error.message);
        __atomic_fetch_add(&w->t->poison, 1, __ATOMIC_RELAXED);
    } else {
        if (rc == SQLPOOL_OK) rc = sqlpool_conn_commit(&conn, &w->error);
        has_ended = rc == SQLPOOL_OK;
        w->error.outcome = SQLPOOL_OUTCOME_UNKNOWN; /* a lease's calls do not tell */
        end_write(w, p.id, rc, "lease");
    }
    rc = sqlpool_conn_release(&conn);
    if (rc != SQLPOOL_OK && has_ended)
        test_fail(__FILE__, __LINE__, "release: %s", sqlpool_result_name(rc));
}

/*  Refused: as a statement alone, with the whole group, or by COMMIT. */
static void write_poison(writer *w) {
    static const char *const texts[] = {
        "INSERT INTO item(id, how, data) VALUES(?1, 1, ?2), (?1, 1, ?2)",
        "INSERT OR ROLLBACK INTO item(id, how, data) VALUES(?1, 1, ?2), (?1, 1, ?2)",
        "INSERT INTO item(id, how, data, ref) VALUES(?1, 1, ?2, 999)"};
    const char *sql = texts[sim_random_below(&w->dice, 3)];
    int bytes;
    const int64_t id = begin_write(w, true, &bytes);
    end_poison(w,
               sqlpool_exec(w->pool, sql, SQLPOOL_ARGS(id, SQLPOOL_BLOB(w->data, (size_t)bytes)),
                            &w->error),
               sql);
}

/*  Writes that only move pages about. */
static void churn(writer *w) {
    static const char *const texts[] = {
        "DELETE FROM churn WHERE rowid IN (SELECT rowid FROM churn LIMIT 2)",
        "UPDATE churn SET data = zeroblob(length(data) / 2) WHERE rowid % 3 = 0",
        "INSERT INTO churn VALUES(randomblob(900))"};
    const char *sql = texts[sim_random_below(&w->dice, 3)];
    const int rc = sqlpool_exec(w->pool, sql, SQLPOOL_NO_ARGS, &w->error);
    if (rc != SQLPOOL_OK && !is_fault(w, rc))
        test_fail(__FILE__, __LINE__, "%s: %s", sql, w->error.message);
    if (rc != SQLPOOL_OK && w->error.outcome == SQLPOOL_OUTCOME_UNKNOWN)
        __atomic_fetch_add(&w->t->unknown, 1, __ATOMIC_RELAXED);
}

/*  What is acknowledged before a TRUNCATE or a close, and these succeed, is in the synced file. */
static void truncate_log(writer *w) {
    size_t before;
    int rc;
    (void)pthread_mutex_lock(&sim_vfs.lock);
    before = w->t->count;
    (void)pthread_mutex_unlock(&sim_vfs.lock);
    rc = sqlpool_checkpoint(w->pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &w->error);
    if (rc == SQLPOOL_OK) {
        mark(w->t, SOLID, (int64_t)before);
    } else if (rc != SQLITE_BUSY && !is_fault(w, rc)) {
        test_fail(__FILE__, __LINE__, "TRUNCATE: %s", w->error.message);
    }
}

static void *writer_main(void *argument) {
    writer *w = (writer *)argument;
    int i;
    for (i = 0; i < WRITES; i++) {
        const uint64_t what = sim_random_below(&w->dice, 100);
        if (what < 34)
            write_alone(w);
        else if (what < 50)
            write_relaxed(w);
        else if (what < 54)
            write_returning(w);
        else if (what < 66)
            write_transaction(w);
        else if (what < 72)
            write_script(w);
        else if (what < 75)
            write_lease(w, false);
        else if (what < 77)
            write_lease(w, true);
        else if (what < 89)
            write_poison(w);
        else if (what < 97 || w->me != 0)
            churn(w);
        else
            truncate_log(w);
    }
    return NULL;
}

/*  Reads now and then, slowly: its snapshot pins the log, so that checkpoints stop half way. */
typedef struct reader {
    sqlpool *pool;
    int over;
} reader;
static void *reader_main(void *argument) {
    reader *r = (reader *)argument;
    while (!__atomic_load_n(&r->over, __ATOMIC_ACQUIRE)) {
        sqlpool_rows rows;
        int64_t count = 0;
        if (sqlpool_query(r->pool, &rows, "SELECT id FROM pair", SQLPOOL_NO_ARGS, NULL) ==
            SQLPOOL_OK) {
            while (sqlpool_rows_next(&rows)) {
                if (count++ == 1) sim_real_sleep_ns(1000000);
            }
        }
        (void)sqlpool_rows_close(&rows, NULL);
        sim_real_sleep_ns(500000);
    }
    return NULL;
}

/*  Small pages make a small image with many of them; only a new file takes the size. */
static int set_page_size(void *user, sqlite3 *db) {
    char sql[60];
    (void)snprintf(sql, sizeof sql, "PRAGMA page_size = %d", ((const trace *)user)->page_bytes);
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int open_pool(trace *t, sqlpool **pool, sqlpool_error *error) {
    sqlpool_config config = sqlpool_config_default();
    config.name = "power";
    config.vfs_name = "sim";
    config.max_connections = 3;
    config.synchronous = t->synchronous;
    config.page_cache_kib = 4 * 8 * t->page_bytes / 1024; /* the writer's: eight pages */
    config.wal_budget_bytes = 60 * (t->page_bytes + 24);
    config.journal_size_limit_bytes = 20 * (t->page_bytes + 24);
    config.acquire_timeout_ms = 60000;
    config.wal_wait_ms = 20;
    config.upkeep_interval_ms = 20;
    config.events.user = t;
    config.events.key_fn = set_page_size;
    return sqlpool_open(pool, path, &config, error);
}

/*  One of the next syncs fails. */
static void arm_sync(uint64_t within) {
    const sim_vfs_fault none = {0, SIM_VFS_SYNC, 0, 0, 0};
    (void)pthread_mutex_lock(&sim_vfs.lock);
    sim_vfs.fault = none;
    if (within > 0)
        sim_vfs.fault.at = sim_vfs.kind_calls[SIM_VFS_SYNC] + 1 + sim_random_below(&dice, within);
    (void)pthread_mutex_unlock(&sim_vfs.lock);
}

static void close_pool(trace *t, sqlpool *pool) {
    sqlpool_error error;
    sqlpool_stats stats;
    uint64_t faults;
    size_t before;
    if (sqlpool_get_stats(pool, &stats) == SQLPOOL_OK) {
        t->groups += stats.groups;
        t->grouped += stats.grouped;
        t->replayed += stats.replayed;
        t->checkpoints += stats.checkpoints;
    }
    (void)pthread_mutex_lock(&sim_vfs.lock);
    before = t->count;
    faults = sim_vfs.faults;
    (void)pthread_mutex_unlock(&sim_vfs.lock);
    if (sqlpool_close(pool, &error) != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "close: %s", error.message);
    } else if (sim_vfs.faults == faults) { /* else the log stays as it is */
        mark(t, SOLID, (int64_t)before);
    }
}

static void session(trace *t, bool is_first) {
    static writer writers[WRITERS];
    pthread_t threads[WRITERS], reads;
    sqlpool_error error;
    reader r = {NULL, 0};
    int i, started = 0;
    if (open_pool(t, &r.pool, &error) != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "open: %s", error.message);
        return;
    }
    if (is_first) {
        mark(t, BEGUN, 0);
        if (sqlpool_script(r.pool, schema, -1, &error) != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "schema: %s", error.message);
        mark(t, ACKNOWLEDGED, 0);
    }
    if (t->has_faults) arm_sync(t->synchronous == SQLPOOL_SYNCHRONOUS_FULL ? 60 : 12);
    for (i = 0; i < WRITERS; i++, started++) {
        writers[i].t = t;
        writers[i].pool = r.pool;
        writers[i].me = i;
        writers[i].dice.state = sim_random_next(&dice);
        if (pthread_create(&threads[i], NULL, writer_main, &writers[i]) != 0) break;
    }
    if (pthread_create(&reads, NULL, reader_main, &r) != 0) {
        test_fail(__FILE__, __LINE__, "no thread");
        exit(1);
    }
    for (i = 0; i < started; i++) (void)pthread_join(threads[i], NULL);
    if (started < WRITERS) test_fail(__FILE__, __LINE__, "only %d threads", started);
    __atomic_store_n(&r.over, 1, __ATOMIC_RELEASE);
    (void)pthread_join(reads, NULL);
    close_pool(t, r.pool);
    arm_sync(0);
}

static void index_marks(trace *t) {
    size_t i;
    t->ids = next_id + 1;
    for (i = 0; i < MAX_IDS; i++)
        t->begun_at[i] = t->acknowledged_at[i] = t->refused_at[i] = SIZE_MAX;
    for (i = 0; i < t->count; i++) {
        const event *e = &t->events[i];
        if (e->kind == BEGUN) t->begun_at[e->amount] = i;
        if (e->kind == REFUSED) t->refused_at[e->amount] = i;
        if (e->kind != ACKNOWLEDGED) continue;
        t->acknowledged_at[e->amount] = i;
        t->acknowledged++;
    }
}

static trace *new_trace(int synchronous, int page_bytes, bool has_faults) {
    trace *t = (trace *)calloc(1, sizeof *t);
    if (t == NULL) out_of_memory();
    t->synchronous = synchronous;
    t->page_bytes = page_bytes;
    t->has_faults = has_faults;
    return t;
}
static void start_recording(trace *t) {
    next_id = 0;
    sim_remove_database(path);
    (void)pthread_mutex_lock(&sim_vfs.lock);
    sim_vfs.record_user = t;
    sim_vfs.record_fn = record;
    (void)pthread_mutex_unlock(&sim_vfs.lock);
}
static trace *record_trace(int synchronous, int page_bytes, bool has_faults) {
    trace *t = new_trace(synchronous, page_bytes, has_faults);
    int i;
    start_recording(t);
    for (i = 0; i < SESSIONS && !test_failed_now; i++) session(t, i == 0);
    sim_vfs.record_fn = NULL; /* no thread and no connection is left */
    index_marks(t);
    return t;
}
static void free_trace(trace *t) {
    free(t->events);
    free(t->bytes);
    free(t);
}

/*---- the disk ----*/

typedef struct inode {
    int file;
    memory_content durable;
    size_t *pending; /* events that change it and are not durable, in their order */
    size_t pending_count, pending_capacity;
} inode;
typedef struct name_change { /* a name that came or went, not durable */
    size_t at;
    int file, inode;
} name_change;

typedef struct disk {
    const trace *t;
    inode inodes[MAX_INODES];
    int inode_count;
    int now[FILES];     /* inode of each name, as programs see it */
    int durable[FILES]; /* and as the disk knows it */
    name_change names[MAX_INODES * 2];
    int name_count;
    unsigned deaf; /* CONTROL: syncs of these files (bits) do nothing */
} disk;

static void put(memory_content *c, const void *data, int64_t offset, int64_t bytes) {
    if (!memory_put(c, data, offset, bytes)) out_of_memory();
}
static void put_event(memory_content *c, const trace *t, const event *e) {
    if (e->kind == WRITE)
        put(c, t->bytes + e->data, e->offset, e->amount);
    else
        memory_cut(c, e->amount);
}

typedef enum fate { OLD, NEW, JUNK } fate;
typedef fate (*fate_fn)(void *user, bool is_last);
/*  Each sector of a write has a fate of its own. */
static void put_sectors(memory_content *c, const trace *t, const event *e, fate_fn fate_of,
                        void *user) {
    const int64_t end = e->offset + e->amount;
    int64_t at, next;
    for (at = e->offset; at < end; at = next) {
        uint8_t junk[SECTOR];
        next = (at / SECTOR + 1) * SECTOR;
        if (next > end) next = end;
        switch (fate_of(user, next == end)) {
        case NEW:
            put(c, t->bytes + e->data + (at - e->offset), at, next - at);
            break;
        case JUNK:
            memset(junk, sim_random_below(&dice, 3) == 0 ? 0 : (int)sim_random_below(&dice, 256),
                   sizeof junk);
            put(c, junk, at, next - at);
            break;
        default:
            break;
        }
    }
}
static fate even(void *user, bool is_last) {
    (void)user;
    (void)is_last;
    return sim_random_below(&dice, 2) == 0 ? OLD : NEW;
}

static disk *new_disk(const trace *t, unsigned deaf) {
    disk *d = (disk *)calloc(1, sizeof *d);
    int i;
    if (d == NULL) out_of_memory();
    d->t = t;
    d->deaf = deaf;
    for (i = 0; i < FILES; i++) d->now[i] = d->durable[i] = NOWHERE;
    return d;
}
static void free_disk(disk *d) {
    int i;
    for (i = 0; i < d->inode_count; i++) {
        memory.free_fn(d->inodes[i].durable.at);
        free(d->inodes[i].pending);
    }
    free(d);
}

/*  Names that came or went before `sync` began are durable: of one file, or of all (NOWHERE). */
static void settle_names(disk *d, const event *sync, int inode_only) {
    int i, left = 0;
    for (i = 0; i < d->name_count; i++) {
        const name_change *n = &d->names[i];
        if (d->t->events[n->at].ended < sync->began &&
            (inode_only == NOWHERE || n->file == d->inodes[inode_only].file)) {
            d->durable[n->file] = n->inode;
        } else {
            d->names[left++] = *n;
        }
    }
    d->name_count = left;
}
static bool is_name_pending(const disk *d, int of) {
    int i;
    for (i = 0; i < d->name_count; i++)
        if (d->names[i].inode == of) return true;
    return false;
}

static void sync_inode(disk *d, size_t at) {
    const event *e = &d->t->events[at];
    const int number = d->now[e->file];
    inode *n = &d->inodes[number];
    size_t i, done = 0;
    if ((d->deaf >> e->file & 1) != 0) return;
    if (e->kind == SYNC_FAILED && e->file != LOG) return;
    for (; done < n->pending_count; done++) {
        const event *change = &d->t->events[n->pending[done]];
        if (change->ended >= e->began) break; /* it was not done when the sync began */
        if (e->kind == SYNC_FAILED && change->kind == WRITE)
            put_sectors(&n->durable, d->t, change, even, NULL);
        else if (e->kind == SYNC || sim_random_below(&dice, 2) == 0)
            put_event(&n->durable, d->t, change);
    }
    for (i = done; i < n->pending_count; i++) n->pending[i - done] = n->pending[i];
    n->pending_count -= done;
    if (e->kind == SYNC && is_name_pending(d, number))
        settle_names(d, e, e->file == DB ? number : NOWHERE); /* os_unix.c, UNIXFILE_DIRSYNC */
}

static void add_name(disk *d, size_t at, int file, int number) {
    name_change *n;
    if (d->name_count == MAX_INODES * 2) out_of_memory();
    n = &d->names[d->name_count++];
    n->at = at;
    n->file = file;
    n->inode = number;
    d->now[file] = number;
}

/*  Event number `at` happens. */
static void disk_step(disk *d, size_t at) {
    const event *e = &d->t->events[at];
    inode *n;
    switch (e->kind) {
    case CREATE:
        if (d->inode_count == MAX_INODES) out_of_memory();
        d->inodes[d->inode_count].file = e->file;
        add_name(d, at, e->file, d->inode_count++);
        break;
    case DELETE:
        add_name(d, at, e->file, NOWHERE);
        if (e->amount != 0 && d->deaf == 0) {
            event all = *e;
            all.began = UINT64_MAX; /* the folder is synced behind the deletion */
            settle_names(d, &all, NOWHERE);
        }
        break;
    case WRITE:
    case TRUNCATE:
        n = &d->inodes[d->now[e->file]];
        n->pending = (size_t *)grown(n->pending, &n->pending_capacity, n->pending_count + 1,
                                     sizeof *n->pending);
        n->pending[n->pending_count++] = at;
        break;
    case SYNC:
    case SYNC_FAILED:
        sync_inode(d, at);
        break;
    default:
        break;
    }
}

/*---- images ----*/

/*  A file that may be found, in the folder of sim/memory.h, without anything in it yet. */
static memory_content *add_file(int file) {
    char name[64];
    memory_node *n;
    (void)snprintf(name, sizeof name, "%s%s", path, tails[file]);
    n = memory_create(name);
    if (n == NULL) out_of_memory();
    return &n->content;
}
static memory_content *content_of(int file) {
    memory_node *n;
    for (n = memory.nodes; n != NULL; n = n->next)
        if (file_of(n->name) == file) return &n->content;
    return NULL;
}

/*  What became of that which was not durable. */
typedef enum model {
    NONE,
    ALL,
    WRITES_OR_NOT,
    SECTORS_OR_NOT,
    UP_TO,
    ALL_BUT_ONE,
    WITH_JUNK,
    MODELS
} model;
static const char *const model_names[] = {"none",  "all",         "writes", "sectors",
                                          "up to", "all but one", "junk"};

typedef struct choice {
    model model;
    size_t moment;   /* UP_TO: events before it are there, and it is torn; ALL_BUT_ONE: it is not */
    size_t last;     /* of all that is pending */
    uint64_t chance; /* of a write or sector to be there, in 16ths */
} choice;

static fate by_chance(void *user, bool is_last) {
    const choice *c = (const choice *)user;
    (void)is_last;
    return sim_random_below(&dice, 16) < c->chance ? NEW : OLD;
}
static fate by_chance_or_junk(void *user, bool is_last) {
    const fate f = by_chance(user, is_last);
    return sim_random_below(&dice, 4) == 0 ? JUNK : f;
}

static void put_pending(memory_content *c, const disk *d, const inode *n, choice *chosen) {
    size_t i;
    for (i = 0; i < n->pending_count; i++) {
        const size_t at = n->pending[i];
        const event *e = &d->t->events[at];
        const bool is_write = e->kind == WRITE;
        bool is_there = false, is_torn = false;
        switch (chosen->model) {
        case ALL:
            is_there = true;
            break;
        case UP_TO:
            is_there = at < chosen->moment;
            is_torn = at == chosen->moment;
            break;
        case ALL_BUT_ONE:
            is_there = at != chosen->moment;
            is_torn = !is_there && (chosen->chance & 1) != 0;
            break;
        case WRITES_OR_NOT:
            is_there = by_chance(chosen, false) == NEW;
            is_torn = at == chosen->last;
            break;
        case SECTORS_OR_NOT:
        case WITH_JUNK:
            is_torn = is_write;
            is_there = !is_write && by_chance(chosen, false) == NEW;
            break;
        default:
            break;
        }
        if (is_torn && is_write) {
            put_sectors(c, d->t, e,
                        chosen->model == WITH_JUNK        ? by_chance_or_junk
                        : chosen->model == SECTORS_OR_NOT ? by_chance
                                                          : even,
                        chosen);
        } else if (is_there) {
            put_event(c, d->t, e);
        }
    }
}

static size_t pending_in_all(const disk *d) {
    size_t count = (size_t)d->name_count;
    int i;
    for (i = 0; i < d->inode_count; i++) count += d->inodes[i].pending_count;
    return count;
}
/*  Pending change number k of those of all files. */
static size_t pending_number(const disk *d, uint64_t k) {
    int i;
    for (i = 0; i < d->inode_count; i++) {
        if (k < d->inodes[i].pending_count) return d->inodes[i].pending[k];
        k -= d->inodes[i].pending_count;
    }
    return SIZE_MAX;
}

/*  Which file this name shows after the power loss. */
static int found_under(const disk *d, int file, model m) {
    int found = d->durable[file], i;
    if (m == ALL) return d->now[file];
    if (m == NONE) return found;
    for (i = 0; i < d->name_count;
         i++) { /* any number of the changes of this name, from the first on */
        if (d->names[i].file != file) continue;
        if (sim_random_below(&dice, 2) == 0) break;
        found = d->names[i].inode;
    }
    return found;
}

static void build_image(const disk *d, model m) {
    choice chosen;
    int i;
    memset(&chosen, 0, sizeof chosen);
    chosen.model = m;
    chosen.chance = 1 + sim_random_below(&dice, 15);
    chosen.moment = pending_number(d, sim_random_below(&dice, pending_in_all(d)));
    for (i = 0; i < d->inode_count; i++) {
        const inode *n = &d->inodes[i];
        if (n->pending_count > 0 && n->pending[n->pending_count - 1] > chosen.last)
            chosen.last = n->pending[n->pending_count - 1];
    }
    memory_clear();
    for (i = 0; i < FILES; i++) {
        const int number = found_under(d, i, m);
        const inode *n;
        memory_content *c;
        if (number == NOWHERE) continue;
        n = &d->inodes[number];
        c = add_file(i);
        put(c, n->durable.at, 0, n->durable.bytes);
        put_pending(c, d, n, &chosen);
    }
}

static void write_files(const char *name) {
    int i;
    sim_remove_database(name);
    for (i = 0; i < FILES; i++) {
        const memory_content *c = content_of(i);
        char file_name[64];
        FILE *file;
        if (c == NULL) continue;
        (void)snprintf(file_name, sizeof file_name, "%s%s", name, tails[i]);
        file = fopen(file_name, "wb");
        if (file == NULL ||
            (c->bytes > 0 && fwrite(c->at, 1, (size_t)c->bytes, file) != (size_t)c->bytes) ||
            fclose(file) != 0)
            test_fail(__FILE__, __LINE__, "cannot write %s", file_name);
    }
}
static void read_files(const char *name) {
    int i;
    memory_clear();
    for (i = 0; i < FILES; i++) {
        memory_content *c;
        char file_name[64], part[65536];
        FILE *file;
        size_t got;
        (void)snprintf(file_name, sizeof file_name, "%s%s", name, tails[i]);
        file = fopen(file_name, "rb");
        if (file == NULL) continue;
        c = add_file(i);
        while ((got = fread(part, 1, sizeof part, file)) > 0) put(c, part, c->bytes, (int64_t)got);
        (void)fclose(file);
    }
}

/*  What a program does after the power loss: a pool opens what it finds, writes and closes. */
static void use_image(const trace *t) {
    static const char name[] = "found.db";
    sqlpool_config config = sqlpool_config_default();
    sqlpool_error error;
    sqlpool *pool;
    int64_t objects = 0;
    int rc;
    config.vfs_name = "sim";
    config.synchronous = t->synchronous;
    write_files(name);
    rc = sqlpool_open(&pool, name, &config, &error);
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_query_int64(pool, &objects, "SELECT count(*) FROM sqlite_master",
                                 SQLPOOL_NO_ARGS, &error);
        if (rc == SQLPOOL_OK && objects > 0)
            rc = sqlpool_exec(pool, "INSERT INTO churn VALUES(randomblob(3000))", SQLPOOL_NO_ARGS,
                              &error);
        if (rc != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "after the loss: %s", error.message);
        rc = sqlpool_close(pool, &error);
    }
    if (rc != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "after the loss: %s", error.message);
    read_files(name);
}

/*---- the VFS that shows an image ----*/

/*  The same salts at every look. */
static int image_randomness(sqlite3_vfs *vfs, int bytes, char *out) {
    (void)vfs;
    memset(out, 7, (size_t)bytes);
    return bytes;
}
static int image_install(void) {
    static sqlite3_vfs v;
    memory_vfs(&v, "image");
    v.xRandomness = image_randomness;
    return sqlite3_vfs_register(&v, 0);
}

/*---- looking at an image ----*/

typedef struct finding {
    bool is_corrupt; /* SQLite says so */
    bool is_torn;    /* a write is there in part, or missing before one that came later */
    bool is_strange; /* a write is there that was refused, or had not begun */
    int lost;        /* acknowledged and not there */
    int broken;      /* of these, promised durable */
    char why[300];
} finding;

static void say(finding *f, bool *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(finding *f, bool *what, const char *format, ...) {
    va_list list;
    va_start(list, format);
    if (f->why[0] == '\0') (void)vsnprintf(f->why, sizeof f->why, format, list);
    va_end(list);
    f->why[strcspn(f->why, "\n")] = '\0'; /* integrity_check has much to say */
    *what = true;
}

/*  Steps to the next row; false at the end, which must be a good one. */
static bool next_row(sqlite3 *db, sqlite3_stmt *statement, finding *f) {
    const int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) return true;
    if (rc != SQLITE_DONE)
        say(f, &f->is_corrupt, "%s: %s", sqlite3_sql(statement), sqlite3_errmsg(db));
    return false;
}
static sqlite3_stmt *ask(sqlite3 *db, const char *sql, finding *f) {
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        say(f, &f->is_corrupt, "%s: %s", sql, sqlite3_errmsg(db));
    return statement;
}

typedef struct rows_seen {
    int count;
    uint8_t item[MAX_IDS], pair[MAX_IDS], seq[MAX_IDS];
} rows_seen;

static void read_items(sqlite3 *db, const trace *t, rows_seen *seen, finding *f) {
    sqlite3_stmt *s = ask(db, "SELECT id, seq, data FROM item", f);
    uint8_t data[MOST_DATA];
    while (s != NULL && next_row(db, s, f)) {
        const int64_t id = sqlite3_column_int64(s, 0), seq = sqlite3_column_int64(s, 1);
        if (id < 1 || id >= t->ids) {
            say(f, &f->is_corrupt, "id %lld was never written", (long long)id);
            continue;
        }
        if (sqlite3_column_bytes(s, 2) != fill(id, data) ||
            memcmp(sqlite3_column_blob(s, 2), data, (size_t)sqlite3_column_bytes(s, 2)) != 0)
            say(f, &f->is_torn, "write %lld has other bytes", (long long)id);
        seen->item[id] = 1;
        seen->count++;
        if (seq < 1 || seq >= t->ids || seen->seq[seq]++ != 0)
            say(f, &f->is_torn, "write %lld has the place %lld", (long long)id, (long long)seq);
    }
    (void)sqlite3_finalize(s);
}
static void read_pairs(sqlite3 *db, const trace *t, rows_seen *seen, finding *f) {
    sqlite3_stmt *s = ask(db, "SELECT id FROM pair", f);
    int id;
    while (s != NULL && next_row(db, s, f)) {
        const int64_t pair = sqlite3_column_int64(s, 0);
        if (pair > 0 && pair < t->ids)
            seen->pair[pair] = 1;
        else
            say(f, &f->is_corrupt, "pair %lld was never written", (long long)pair);
    }
    (void)sqlite3_finalize(s);
    if (f->is_corrupt) return;
    for (id = 1; id < t->ids; id++) {
        if (seen->item[id] != seen->pair[id])
            say(f, &f->is_torn, "write %d: %s", id,
                seen->item[id] ? "its pair is missing" : "only its pair");
    }
}
/*  The places of the writes are 1 .. n without a hole, and tally says n. */
static void read_tally(sqlite3 *db, const rows_seen *seen, finding *f) {
    sqlite3_stmt *s = ask(db, "SELECT n FROM tally", f);
    int seq;
    if (s != NULL && next_row(db, s, f) && sqlite3_column_int(s, 0) != seen->count)
        say(f, &f->is_torn, "tally is %d, of %d writes", sqlite3_column_int(s, 0), seen->count);
    (void)sqlite3_finalize(s);
    for (seq = 1; seq <= seen->count && !f->is_corrupt; seq++)
        if (!seen->seq[seq])
            say(f, &f->is_torn, "the write at place %d of %d is missing", seq, seen->count);
}

static void read_image(sqlite3 *db, const trace *t, rows_seen *seen, finding *f) {
    sqlite3_stmt *s = ask(db, "SELECT count(*) FROM sqlite_master", f);
    int objects = -1;
    if (s != NULL && next_row(db, s, f)) objects = sqlite3_column_int(s, 0);
    (void)sqlite3_finalize(s);
    if (objects < 0 && !f->is_corrupt) say(f, &f->is_corrupt, "no count");
    if (f->is_corrupt) return;
    s = ask(db, "PRAGMA integrity_check", f);
    if (s != NULL && next_row(db, s, f) &&
        strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0)
        say(f, &f->is_corrupt, "integrity_check: %s", (const char *)sqlite3_column_text(s, 0));
    (void)sqlite3_finalize(s);
    if (objects != 0 && objects != SCHEMA_OBJECTS)
        say(f, &f->is_torn, "%d of %d objects of the schema", objects, SCHEMA_OBJECTS);
    if (objects != SCHEMA_OBJECTS) return;
    seen->item[0] = 1;
    read_items(db, t, seen, f);
    read_pairs(db, t, seen, f);
    read_tally(db, seen, f);
}

/*  Opens the image as it is. With `is_closed_well` the connection checkpoints when it closes, else
    it leaves all as it found it. */
static void open_and_read(const trace *t, rows_seen *seen, finding *f, bool is_closed_well) {
    sqlite3 *db = NULL;
    if (content_of(DB) == NULL) return;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, "image") !=
        SQLITE_OK)
        say(f, &f->is_corrupt, "open: %s", sqlite3_errmsg(db));
    else
        read_image(db, t, seen, f);
    if (!is_closed_well) (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (sqlite3_close(db) != SQLITE_OK) say(f, &f->is_corrupt, "close");
}

typedef struct terms {
    bool is_durable;   /* acknowledged is durable */
    bool is_ack_early; /* CONTROL: a write counts as acknowledged when it begins */
} terms;

/*  cut: the events before it have happened; solid: what was acknowledged before it is durable in
    any case. */
static finding look(const trace *t, size_t cut, size_t solid, terms rules, bool is_thorough) {
    static rows_seen seen, again;
    const size_t bytes = (size_t)t->ids;
    finding f;
    int id;
    memset(&f, 0, sizeof f);
    seen.count = 0;
    memset(seen.item, 0, bytes);
    memset(seen.pair, 0, bytes);
    memset(seen.seq, 0, bytes);
    open_and_read(t, &seen, &f, is_thorough);
    if (is_thorough && !f.is_corrupt) { /* and once more, after what the first one wrote */
        again.count = 0;
        memset(again.item, 0, bytes);
        memset(again.pair, 0, bytes);
        memset(again.seq, 0, bytes);
        open_and_read(t, &again, &f, false);
        if (memcmp(seen.item, again.item, bytes) != 0)
            say(&f, &f.is_torn, "the next opening shows other rows");
    }
    for (id = 0; id < t->ids; id++) {
        const size_t acknowledged =
            rules.is_ack_early && !t->is_poison[id] ? t->begun_at[id] : t->acknowledged_at[id];
        if (seen.item[id]) {
            if (t->is_poison[id] || t->begun_at[id] >= cut || t->refused_at[id] < cut)
                say(&f, &f.is_strange, "write %d %s", id,
                    t->begun_at[id] >= cut ? "had not begun" : "was refused");
        } else if (acknowledged < cut) {
            f.lost++;
            if (!rules.is_durable && acknowledged >= solid) continue;
            f.broken++;
            if (f.why[0] == '\0')
                (void)snprintf(f.why, sizeof f.why, "write %d was acknowledged", id);
        }
    }
    return f;
}

/*---- replaying ----*/

typedef struct totals {
    const char *name;
    uint64_t images, torn_images, used, lost_images, lost, corrupt, torn, strange, broken;
    uint64_t traces, events, acknowledged, poison, unknown, groups, grouped, replayed, checkpoints,
        restarts, truncates, deletes, failed_syncs;
    int64_t replay_ns;
    bool is_control; /* findings are expected, and not printed */
} totals;

static int dumps;

static void one_image(totals *sum, const disk *d, model m, size_t cut, size_t solid, terms rules) {
    const uint64_t dice_before = dice.state;
    const bool is_thorough = sum->images % 16 == 0;
    char name[32];
    finding f;
    build_image(d, m);
    if (sum->images % 256 == 255 && !sum->is_control) {
        use_image(d->t);
        sum->used++;
    }
    f = look(d->t, cut, solid, rules, is_thorough);
    sum->images++;
    sum->torn_images += m != NONE && m != ALL;
    sum->lost_images += f.lost > 0;
    sum->lost += (uint64_t)f.lost;
    sum->corrupt += f.is_corrupt;
    sum->torn += f.is_torn;
    sum->strange += f.is_strange;
    sum->broken += (uint64_t)f.broken;
    if (sum->is_control || (!f.is_corrupt && !f.is_torn && !f.is_strange && f.broken == 0)) return;
    if (dumps++ >= 5) return;
    test_fail(__FILE__, __LINE__,
              "%s seed=%llu, pages of %d, event %zu of %zu, %s unsynced, image lost-%d.db: %s",
              sum->name, (unsigned long long)seed, d->t->page_bytes, cut, d->t->count,
              model_names[m], dumps, f.why);
    dice.state = dice_before; /* the look may have changed it: build it again */
    build_image(d, m);
    (void)snprintf(name, sizeof name, "lost-%d.db", dumps);
    write_files(name);
}

/*  Every cut of which `stride` divides number + `from`. */
static void pass(totals *sum, const trace *t, size_t stride, size_t from, unsigned deaf,
                 terms rules) {
    disk *d = new_disk(t, deaf);
    size_t at, cuts = from, solid = 0;
    for (at = 0; at <= t->count; at++) {
        const bool is_mark = at < t->count && t->events[at].kind >= MARKS;
        if (!is_mark && cuts++ % stride == 0) {
            one_image(sum, d, NONE, at, solid, rules);
            if (pending_in_all(d) > 0) {
                int i;
                one_image(sum, d, ALL, at, solid, rules);
                for (i = 0; i < 3; i++)
                    one_image(sum, d,
                              (model)(WRITES_OR_NOT +
                                      (int)sim_random_below(&dice, MODELS - WRITES_OR_NOT)),
                              at, solid, rules);
            }
        }
        if (at == t->count) break;
        if (t->events[at].kind == SOLID && t->synchronous != SQLPOOL_SYNCHRONOUS_OFF &&
            (size_t)t->events[at].amount > solid)
            solid = (size_t)t->events[at].amount;
        disk_step(d, at);
    }
    free_disk(d);
}

/*  A part of the passes when there is no time for all; returns whether it was all. */
static void replay(totals *sum, const trace *t, unsigned deaf, terms rules, double seconds) {
    enum { STRIDE = 48 };
    const size_t first = (size_t)sim_random_below(&dice, STRIDE);
    const int64_t start = sim_real_ns();
    size_t i;
    for (i = 0; i < STRIDE; i++) {
        if (i > 0 && seconds > 0 &&
            (double)(sim_real_ns() - start) / 1e9 * (double)(i + 1) / (double)i > seconds)
            break; /* one more would take too long */
        pass(sum, t, STRIDE, first + i, deaf, rules);
    }
    sum->replay_ns += sim_real_ns() - start;
    sum->traces++;
    sum->events += t->count;
    sum->acknowledged += t->acknowledged;
    sum->poison += t->poison;
    sum->unknown += t->unknown;
    sum->groups += t->groups;
    sum->grouped += t->grouped;
    sum->replayed += t->replayed;
    sum->checkpoints += t->checkpoints;
    sum->restarts += t->restarts;
    sum->truncates += t->truncates;
    sum->deletes += t->deletes;
    sum->failed_syncs += t->failed_syncs;
}

static void print_totals(const totals *s) {
    printf("# %-22s %8" PRIu64 " images, %5.0f/s; lost acknowledged %" PRIu64 " (in %" PRIu64
           " images), promised %" PRIu64 "; corrupt %" PRIu64 ", torn %" PRIu64 ", strange %" PRIu64
           "\n",
           s->name, s->images, (double)s->images / ((double)s->replay_ns / 1e9 + 1e-9), s->lost,
           s->lost_images, s->broken, s->corrupt, s->torn, s->strange);
    printf("#   of %" PRIu64 " traces: %" PRIu64 " events, %" PRIu64 " acknowledged, %" PRIu64
           " refused, %" PRIu64 " unknown, %" PRIu64 " groups of %" PRIu64 ", %" PRIu64
           " run again, %" PRIu64 " checkpoints, %" PRIu64 " log starts, %" PRIu64
           " truncates, %" PRIu64 " log deletes, %" PRIu64 " failed syncs\n",
           s->traces, s->events, s->acknowledged, s->poison, s->unknown, s->groups, s->grouped,
           s->replayed, s->checkpoints, s->restarts, s->truncates, s->deletes, s->failed_syncs);
    fflush(stdout);
}

static uint64_t images_wanted; /* 0: as the time allows */

/*  Traces of all page sizes, until there are enough images. */
static totals run_mode(const char *name, int synchronous, bool has_faults, unsigned deaf,
                       terms rules, double seconds, uint64_t share_percent) {
    static const int pages[] = {1024, 4096, 512};
    const uint64_t wanted = images_wanted * share_percent / 100;
    totals sum;
    int i;
    memset(&sum, 0, sizeof sum);
    sum.name = name;
    sum.is_control = (!rules.is_durable && synchronous == SQLPOOL_SYNCHRONOUS_OFF) || deaf != 0 ||
                     rules.is_ack_early;
    for (i = 0; (i < 3 || sum.images < wanted) && !test_failed_now; i++) {
        trace *t = record_trace(synchronous, pages[i % 3], has_faults);
        if (!test_failed_now) replay(&sum, t, deaf, rules, images_wanted > 0 ? 0 : seconds / 3);
        free_trace(t);
    }
    print_totals(&sum);
    return sum;
}

static const terms durable = {true, false}, consistent = {false, false};

/*---- tests ----*/

/*  The work must have met what it is there for. */
static void check_work(const totals *s) {
    CHECK(s->images >= 256 && s->used > 0 && s->torn_images > s->images / 10);
    CHECK(s->groups > 0 && s->grouped >= 2 * s->groups && s->replayed > 0 && s->poison > 0);
    CHECK(s->checkpoints > 0 && s->truncates > 0 && s->deletes >= s->traces * (SESSIONS - 1));
    CHECK(s->restarts > s->traces * SESSIONS); /* more than one in each session */
}
TEST(full_loses_nothing) {
    const totals s = run_mode("FULL", SQLPOOL_SYNCHRONOUS_FULL, false, 0, durable, 1.8, 100);
    CHECK_INT(s.corrupt + s.torn + s.strange, 0);
    CHECK_INT(s.lost, 0);
    check_work(&s);
}
TEST(normal_loses_the_last_only) {
    const totals s = run_mode("NORMAL", SQLPOOL_SYNCHRONOUS_NORMAL, false, 0, consistent, 0.9, 20);
    CHECK_INT(s.corrupt + s.torn + s.strange, 0);
    CHECK_INT(s.broken, 0);
    CHECK(s.lost > 0); /* or this disk is too kind */
    check_work(&s);
}
TEST(full_with_failing_syncs) {
    const totals s =
        run_mode("FULL, a sync fails", SQLPOOL_SYNCHRONOUS_FULL, true, 0, durable, 0.7, 10);
    CHECK_INT(s.corrupt + s.torn + s.strange, 0);
    CHECK_INT(s.lost, 0);
    CHECK(s.failed_syncs > 0 && s.unknown > 0);
}
TEST(normal_with_failing_syncs) {
    const totals s =
        run_mode("NORMAL, a sync fails", SQLPOOL_SYNCHRONOUS_NORMAL, true, 0, consistent, 0.7, 10);
    CHECK_INT(s.corrupt + s.torn + s.strange, 0);
    CHECK_INT(s.broken, 0);
    CHECK(s.failed_syncs > 0);
}

/*  With NORMAL the log is first synced by a checkpoint. When that fails the checkpoint must not go on:
    a second sync of the same handle succeeds, and the log need not be on the disk all the same. What
    is copied to the file then is torn by a power loss, with nothing to mend it. */
static int checkpoint_with_failing_sync(trace *t) {
    static writer w;
    sqlpool_error error;
    int i, rc;
    if (open_pool(t, &w.pool, &error) != SQLPOOL_OK ||
        sqlpool_checkpoint(w.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &error) != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "open: %s", error.message);
        return SQLPOOL_OK;
    }
    mark(t, BEGUN, 0);
    (void)sqlpool_script(w.pool, schema, -1, &error);
    w.t = t;
    for (i = 0; i < 6; i++) write_alone(&w);
    arm_sync(1);
    rc = sqlpool_checkpoint(w.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &error);
    arm_sync(0);
    sim_vfs.record_fn = NULL; /* the power goes at the latest now */
    (void)sqlpool_close(w.pool, NULL);
    return rc;
}
TEST(checkpoint_stops_at_a_failing_sync) {
    trace *t = new_trace(SQLPOOL_SYNCHRONOUS_NORMAL, 1024, true);
    totals sum;
    int rc, i;
    memset(&sum, 0, sizeof sum);
    sum.name = "a checkpoint's sync fails";
    sum.replay_ns = -sim_real_ns();
    start_recording(t);
    rc = checkpoint_with_failing_sync(t);
    index_marks(t);
    for (i = 0; i < 20; i++) { /* what the log forgets is drawn anew each time */
        disk *d = new_disk(t, 0);
        bool has_failed = false;
        size_t at;
        for (at = 0; at <= t->count; at++) {
            if (has_failed) one_image(&sum, d, WRITES_OR_NOT, at, 0, consistent);
            if (at == t->count) break;
            disk_step(d, at);
            has_failed = has_failed || t->events[at].kind == SYNC_FAILED;
        }
        free_disk(d);
    }
    sum.replay_ns += sim_real_ns();
    print_totals(&sum);
    CHECK_INT(t->failed_syncs, 1);
    free_trace(t);
    CHECK_INT(sum.corrupt + sum.torn + sum.strange, 0);
    CHECK_INT(rc & 0xff, SQLITE_IOERR);
}

/*  A program ends and leaves its log: at what offset ends it? 0 when there was an error. */
static int64_t leave_log(void) {
    sqlite3 *db = NULL;
    struct stat log;
    char name[sizeof path + 8];
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "sim");
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL", NULL, NULL,
                          NULL);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, schema, NULL, NULL, NULL);
    (void)sqlite3_close(db);
    (void)snprintf(name, sizeof name, "%s-wal", path);
    return rc == SQLITE_OK && stat(name, &log) == 0 ? (int64_t)log.st_size : 0;
}
/*  Events of a file from `at` on: how many of this kind, and the least offset of them. */
typedef struct events_seen {
    int count;
    int64_t least;
} events_seen;
static events_seen events_from(const trace *t, size_t at, int file, event_kind kind) {
    events_seen seen = {0, INT64_MAX};
    for (; at < t->count; at++) {
        const event *e = &t->events[at];
        if (e->file != file || e->kind != kind) continue;
        seen.count++;
        if (e->offset < seen.least) seen.least = e->offset;
    }
    return seen;
}

/*  What a checkpoint has copied half way only the log mends, and a power loss can spoil what is being
    written. The log that a pool finds is on the disk before it works, so that a sync that fails later is
    no reason to write that part over itself. */
TEST(the_log_that_was_there_is_not_written_again) {
    trace *t = new_trace(SQLPOOL_SYNCHRONOUS_NORMAL, 1024, true);
    sqlpool_error error;
    events_seen writes;
    static writer w;
    int64_t end;
    size_t opened, written;
    int failed, mended;
    start_recording(t);
    end = leave_log();
    opened = t->count;
    CHECK_INT(open_pool(t, &w.pool, &error), SQLPOOL_OK);
    CHECK_INT(events_from(t, opened, LOG, SYNC).count, 1);
    w.t = t;
    write_alone(&w);
    written = t->count;
    arm_sync(1);
    failed = sqlpool_checkpoint(w.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &error);
    arm_sync(0);
    mended = sqlpool_checkpoint(w.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &error);
    sim_vfs.record_fn = NULL;
    (void)sqlpool_close(w.pool, NULL);
    writes = events_from(t, written, LOG, WRITE);
    CHECK_INT(t->failed_syncs, 1);
    free_trace(t);
    CHECK(end > 0);
    CHECK_INT(failed & 0xff, SQLITE_IOERR);
    CHECK_INT(mended, SQLPOOL_OK);
    CHECK(writes.count > 0); /* what came after it is written again */
    CHECK_INT(writes.least, end);
}
/*  A log begins anew, and the sync of its header fails: on the disk it may still be the old one, all
    of which is in the database file. A part of that would be another database: the header is written
    again, and synced, before the rest. */
TEST(the_header_of_the_log_is_written_again_first) {
    trace *t = new_trace(SQLPOOL_SYNCHRONOUS_NORMAL, 1024, true);
    sqlpool_error error;
    static writer w;
    size_t before;
    int rc, at, order[3] = {-1, -1, -1};
    start_recording(t);
    CHECK_INT(open_pool(t, &w.pool, &error), SQLPOOL_OK);
    (void)sqlpool_script(w.pool, schema, -1, &error);
    w.t = t;
    write_alone(&w);
    rc = sqlpool_checkpoint(w.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &error);
    arm_sync(1);
    if (rc == SQLPOOL_OK) write_alone(&w);
    arm_sync(0);
    before = t->count;
    if (rc == SQLPOOL_OK) rc = sqlpool_checkpoint(w.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &error);
    sim_vfs.record_fn = NULL;
    (void)sqlpool_close(w.pool, NULL);
    CHECK_INT(t->failed_syncs, 1);
    for (at = 0; before < t->count && at < 3; before++) {
        const event *e = &t->events[before];
        if (e->file == LOG) order[at++] = e->kind == WRITE ? (int)e->offset : -(int)e->kind;
    }
    free_trace(t);
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK_INT(order[0], 0);
    CHECK_INT(order[1], -(int)SYNC);
    CHECK_INT(order[2], 32);
}
/*  Another connection, or process, has gone on meanwhile. */
TEST(a_recycled_pool_syncs_the_log_that_is_there) {
    trace *t = new_trace(SQLPOOL_SYNCHRONOUS_NORMAL, 1024, true);
    sqlpool_error error;
    sqlite3 *other = NULL;
    static writer w;
    size_t before;
    int rc, syncs_before, syncs;
    start_recording(t);
    CHECK_INT(open_pool(t, &w.pool, &error), SQLPOOL_OK);
    (void)sqlpool_script(w.pool, schema, -1, &error);
    before = t->count;
    rc = sqlite3_open_v2(path, &other, SQLITE_OPEN_READWRITE, "sim");
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(other, "PRAGMA synchronous = NORMAL; INSERT INTO anchor VALUES(1)", NULL,
                          NULL, NULL);
    syncs_before = events_from(t, before, LOG, SYNC).count;
    if (rc == SQLITE_OK) rc = sqlpool_recycle(w.pool);
    syncs = events_from(t, before, LOG, SYNC).count;
    sim_vfs.record_fn = NULL;
    (void)sqlite3_close(other);
    (void)sqlpool_close(w.pool, NULL);
    free_trace(t);
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK_INT(syncs_before, 0);
    CHECK_INT(syncs, 1); /* before its connections are closed, and nothing comes to it after that */
}
/*  The system may have dropped what it could not write: a second sync that succeeds says nothing. */
TEST(a_log_that_cannot_be_synced_is_written_again) {
    trace *t = new_trace(SQLPOOL_SYNCHRONOUS_NORMAL, 1024, true);
    sqlpool *pool = NULL;
    sqlpool_error error;
    size_t before;
    events_seen writes, syncs;
    int opened;
    start_recording(t);
    CHECK(leave_log() > 0);
    before = t->count;
    arm_sync(1);
    opened = open_pool(t, &pool, &error);
    arm_sync(0);
    CHECK_INT(t->failed_syncs, 1);
    writes = events_from(t, before, LOG, WRITE);
    syncs = events_from(t, before, LOG, SYNC);
    sim_vfs.record_fn = NULL;
    (void)sqlpool_close(pool, NULL);
    free_trace(t);
    CHECK_INT(opened, SQLPOOL_OK);
    CHECK(writes.count > 0);
    CHECK_INT(writes.least, 0);
    CHECK_INT(syncs.count, 2); /* its header before the rest */
}
TEST(a_log_that_cannot_be_written_again_is_not_opened) {
    trace *t = new_trace(SQLPOOL_SYNCHRONOUS_NORMAL, 1024, true);
    sqlpool *pool = NULL;
    sqlpool_error error;
    int refused, opened;
    char message[sizeof error.message];
    size_t before;
    events_seen copied;
    start_recording(t);
    CHECK(leave_log() > 0);
    before = t->count;
    arm_sync(1);
    sim_vfs.fault.from_on = 1;
    refused = open_pool(t, &pool, &error);
    (void)snprintf(message, sizeof message, "%s", error.message);
    arm_sync(0);
    copied = events_from(t, before, DB, WRITE); /* by SQLite, when the last connection is closed */
    CHECK(pool == NULL);
    opened = open_pool(t, &pool, &error);
    sim_vfs.record_fn = NULL;
    (void)sqlpool_close(pool, NULL);
    free_trace(t);
    CHECK_INT(refused, SQLITE_IOERR_FSYNC);
    CHECK(strstr(message, "a sync of the log failed, and so does writing it again") != NULL);
    CHECK_INT(copied.count, 0);
    CHECK_INT(opened, SQLPOOL_OK);
}

/*---- controls: what must be seen ----*/

TEST(control_off_is_seen) {
    const totals s = run_mode("OFF", SQLPOOL_SYNCHRONOUS_OFF, false, 0, consistent, 0.4, 5);
    CHECK(s.lost > 0);
    CHECK(s.corrupt > 0);
}
TEST(control_deaf_log_is_seen) {
    const totals s = run_mode("FULL, log never synced", SQLPOOL_SYNCHRONOUS_FULL, false, 1u << LOG,
                              durable, 0.3, 3);
    CHECK(s.lost > 0);
}
TEST(control_deaf_file_is_seen) {
    const totals s = run_mode("FULL, file never synced", SQLPOOL_SYNCHRONOUS_FULL, false, 1u << DB,
                              durable, 0.3, 3);
    CHECK(s.lost > 0);
    CHECK(s.corrupt > 0);
}
TEST(control_early_ack_is_seen) {
    static const terms early = {true, true};
    const totals s =
        run_mode("FULL, ack before write", SQLPOOL_SYNCHRONOUS_FULL, false, 0, early, 0.3, 3);
    CHECK(s.lost > 0);
    CHECK_INT(s.corrupt + s.torn + s.strange, 0);
}

/*  The last state of a trace, changed by hand: each kind of damage is found and named. */
static finding after(const disk *d, const char *sql) {
    sqlite3 *db = NULL;
    finding f;
    memset(&f, 0, sizeof f);
    build_image(d, ALL);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "image") != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", sql, sqlite3_errmsg(db));
    (void)sqlite3_close(db);
    return look(d->t, d->t->count, 0, durable, false);
}
static void damage(const disk *d) {
    static const char drop[] =
        "DROP TRIGGER whole; CREATE TRIGGER whole AFTER DELETE ON churn BEGIN SELECT 1; END;";
    char sql[300];
    const int poison = d->t->ids; /* not an id */
    finding f = after(d, "SELECT 1");
    CHECK(!f.is_corrupt && !f.is_torn && !f.is_strange && f.lost == 0);
    f = after(d, "DELETE FROM pair WHERE id = (SELECT max(id) FROM pair)");
    CHECK_HAS(f.why, "its pair is missing");
    CHECK(f.is_torn && !f.is_corrupt && f.lost == 0);
    f = after(d, "UPDATE tally SET n = n + 1");
    CHECK_HAS(f.why, "tally is");
    f = after(
        d, "UPDATE item SET data = zeroblob(length(data)) WHERE id = (SELECT max(id) FROM item)");
    CHECK_HAS(f.why, "has other bytes");
    f = after(d, "UPDATE item SET seq = seq + 1 WHERE seq = (SELECT max(seq) FROM item)");
    CHECK_HAS(f.why, "is missing");
    f = after(d,
              "DELETE FROM pair WHERE id = (SELECT id FROM item WHERE seq = (SELECT n FROM tally));"
              "DELETE FROM item WHERE seq = (SELECT n FROM tally); UPDATE tally SET n = n - 1");
    CHECK_HAS(f.why, "was acknowledged");
    CHECK(f.lost == 1 && f.broken == 1 && !f.is_torn);
    f = after(d, "DROP TABLE churn");
    CHECK_HAS(f.why, "objects of the schema");
    (void)snprintf(sql, sizeof sql, "%s INSERT INTO pair VALUES(%d)", drop, poison);
    f = after(d, sql);
    CHECK_HAS(f.why, "was never written");
}
/*  Where table item begins; the log is in the file and gone. */
static int64_t item_page(void) {
    sqlite3 *db = NULL;
    int64_t page = -1;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "image") == SQLITE_OK)
        page = sim_plain_int64(db, "SELECT rootpage FROM sqlite_master WHERE name = 'item'", -1);
    (void)sqlite3_close(db);
    if (page < 1) {
        test_fail(__FILE__, __LINE__, "no table item");
        page = 1;
    }
    return page;
}
TEST(control_damage_is_seen) {
    trace *t = record_trace(SQLPOOL_SYNCHRONOUS_FULL, 1024, false);
    disk *d = new_disk(t, 0);
    size_t i;
    int id = 1;
    finding f;
    for (i = 0; i < t->count; i++) disk_step(d, i);
    damage(d);
    build_image(d, ALL);
    content_of(DB)->at[(item_page() - 1) * t->page_bytes] ^= 0x55; /* its type */
    f = look(t, t->count, 0, durable, false);
    if (!f.is_corrupt && !f.is_torn) test_fail(__FILE__, __LINE__, "a changed page is not seen");
    build_image(d, ALL);
    while (id < t->ids && t->acknowledged_at[id] == SIZE_MAX) id++;
    t->is_poison[id] = true; /* as if it had been refused */
    f = look(t, t->count, 0, durable, false);
    if (!f.is_strange) test_fail(__FILE__, __LINE__, "a refused write is not seen");
    t->is_poison[id] = false;
    build_image(d, ALL);
    f = look(t, t->begun_at[id], 0, durable, false);
    if (!f.is_strange) test_fail(__FILE__, __LINE__, "a write from the future is not seen");
    free_disk(d);
    free_trace(t);
}

int main(int argc, char **argv) {
    const char *given = getenv("POWERLOSS_IMAGES");
    (void)argc;
    (void)argv;
    if (sim_vfs_install() != SQLITE_OK || image_install() != SQLITE_OK) {
        printf("# SQLite refuses the simulator\n0 passed, 1 failed\n");
        return 1;
    }
    sim_vfs.skip_sync = 1; /* the disk is the trace */
    sim_vfs.tells_each = 1;
    sim_catch_crashes();
    seed = sim_vfs.seed = sim_seed();
    dice.state = seed;
    (void)snprintf(sim_replay, sizeof sim_replay, "SIM_SEED=%llu powerloss",
                   (unsigned long long)seed);
    if (given != NULL) images_wanted = strtoull(given, NULL, 10);
    printf("# powerloss seed=%llu, SQLite %s\n", (unsigned long long)seed, sqlite3_libversion());
    RUN(control_damage_is_seen);
    RUN(control_off_is_seen);
    RUN(control_deaf_log_is_seen);
    RUN(control_deaf_file_is_seen);
    RUN(control_early_ack_is_seen);
    RUN(full_loses_nothing);
    RUN(normal_loses_the_last_only);
    RUN(full_with_failing_syncs);
    RUN(normal_with_failing_syncs);
    RUN(checkpoint_stops_at_a_failing_sync);
    RUN(the_log_that_was_there_is_not_written_again);
    RUN(the_header_of_the_log_is_written_again_first);
    RUN(a_recycled_pool_syncs_the_log_that_is_there);
    RUN(a_log_that_cannot_be_synced_is_written_again);
    RUN(a_log_that_cannot_be_written_again_is_not_opened);
    return test_end();
}
