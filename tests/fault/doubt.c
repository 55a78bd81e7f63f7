/*  doubt.c - a disk that forgets. SPDX-License-Identifier: MIT OR Unlicense

    What Linux does when fsync() fails: what it could not write stays in memory as if it had been
    written, and is never tried again. Each handle of the file that is open then is told of it once, by
    its next sync; the sync after that succeeds, and says nothing of what was lost. Other systems tell
    one caller, and nobody else.

    The "sim" VFS is made such a disk for the log: `disk` follows each write, and has the log twice, as
    programs see it and as a power loss leaves it. disk.fails lets it forget in the next sync of
    the log. lose_power() makes a database of what is there then, the file as programs saw
    it and the log as the disk has it, and a plain connection looks at that. The file is not
    doubted here: what a checkpoint copies may be on the disk at once, which is the worst for a log that
    is not.

    Most scenes run twice: as on Linux, and where a failure is told once in all. */
#define _GNU_SOURCE
#include "sqlpool.h"

#include "sim/sim.h"
#include "test.h"

/*---- the disk ----*/

typedef struct content {
    uint8_t *at;
    size_t bytes, room;
} content;

typedef enum fate { SYNCS, FORGETS, IS_TOLD } fate;
typedef struct handle {
    const char *name; /* SQLite's string of it, another one for each connection; NULL: not open */
    int failures;     /* that it knows of */
    fate next;        /* of the sync that it is in */
} handle;

enum { MAX_HANDLES = 16, MAX_IMAGES = 64 };
typedef struct image {
    content file, log;
} image;

static struct {
    content file, log; /* as programs see them */
    content safe;      /* the log on the disk */
    content dirty;     /* by byte of the log: it has yet to be brought there */
    handle handles[MAX_HANDLES];
    int failures; /* so many syncs of the log have failed */
    bool is_told_once;
    int fails; /* so many syncs of the log fail, from the next on */
    int log_syncs, file_writes;
    int64_t least; /* offset that was written in the log */
    /* what a test wants to do, or to know */
    void (*before_sync_fn)(void);                  /* of the log */
    void (*after_unlock_fn)(int which, int flags); /* of the WAL-index */
    int image_every; /* so many writes of the file the power goes; 0: never */
    image images[MAX_IMAGES];
    int image_count;
} disk;

static void out_of_memory(void) {
    printf("# no memory\n0 passed, 1 failed\n");
    exit(1);
}
/*  Bytes that were never written are zero. */
static void resize(content *c, size_t bytes) {
    if (bytes > c->room) {
        c->room = bytes * 2;
        c->at = (uint8_t *)realloc(c->at, c->room);
        if (c->at == NULL) out_of_memory();
    }
    if (bytes > c->bytes) memset(c->at + c->bytes, 0, bytes - c->bytes);
    c->bytes = bytes;
}
static void grow(content *c, size_t bytes) {
    if (bytes > c->bytes) resize(c, bytes);
}
static void cut(content *c, size_t bytes) {
    if (bytes < c->bytes) resize(c, bytes);
}
static void put(content *c, int64_t offset, const void *data, int64_t amount) {
    grow(c, (size_t)(offset + amount));
    memcpy(c->at + offset, data, (size_t)amount);
}
static void copy(content *to, const content *from) {
    resize(to, 0);
    if (from->bytes > 0) put(to, 0, from->at, (int64_t)from->bytes);
}
static void drop(content *c) {
    free(c->at);
    memset(c, 0, sizeof *c);
}
static void cut_log(size_t bytes) {
    cut(&disk.log, bytes);
    cut(&disk.safe, bytes);
    cut(&disk.dirty, bytes);
}
static void bring_log_to_the_disk(void) {
    size_t i;
    for (i = 0; i < disk.dirty.bytes; i++) {
        if (disk.dirty.at[i] == 0) continue;
        grow(&disk.safe, i + 1);
        disk.safe.at[i] = disk.log.at[i];
        disk.dirty.at[i] = 0;
    }
}

static handle *handle_of(const char *name) {
    int i;
    for (i = 0; i < MAX_HANDLES; i++) {
        if (disk.handles[i].name == name) return &disk.handles[i];
    }
    printf("# a log without a handle, or too many\n0 passed, 1 failed\n");
    exit(1);
}

/*  Before a sync of the log: how does it end? Where two threads sync, one is in the other's
    before_sync_fn, so that the number of the next call is known. */
static void before_call(void *user, const sim_vfs_event *e) {
    handle *h;
    (void)user;
    if (e->kind != SIM_VFS_SYNC || (e->open_flags & SQLITE_OPEN_WAL) == 0) return;
    if (disk.before_sync_fn != NULL) disk.before_sync_fn();
    (void)pthread_mutex_lock(&sim_vfs.lock);
    h = handle_of(e->file);
    h->next = h->failures != disk.failures ? IS_TOLD : SYNCS;
    if (disk.fails > 0) {
        disk.fails--;
        h->next = FORGETS;
        if (!disk.is_told_once) disk.failures++;
    }
    h->failures = disk.failures;
    if (h->next != SYNCS) {
        sim_vfs.fault.at = sim_vfs.kind_calls[SIM_VFS_SYNC] + 1;
        sim_vfs.fault.kind = SIM_VFS_SYNC;
    }
    (void)pthread_mutex_unlock(&sim_vfs.lock);
}

static const char path[] = "doubt.db";
/*  The database, and no copy of it. */
static bool is_database(const sim_vfs_event *e) {
    const size_t length = e->file == NULL ? 0 : strlen(e->file), own = sizeof path - 1;
    return (e->open_flags & SQLITE_OPEN_MAIN_DB) != 0 && length > own &&
           e->file[length - own - 1] == '/' && strcmp(e->file + length - own, path) == 0;
}

static void written(const sim_vfs_event *e) {
    if ((e->open_flags & SQLITE_OPEN_WAL) != 0) {
        put(&disk.log, e->offset, e->data, e->amount);
        grow(&disk.dirty, disk.log.bytes);
        memset(disk.dirty.at + e->offset, 1, (size_t)e->amount);
        if (e->offset < disk.least) disk.least = e->offset;
    } else if (is_database(e)) {
        put(&disk.file, e->offset, e->data, e->amount);
        disk.file_writes++;
        if (disk.image_every > 0 && disk.file_writes % disk.image_every == 0 &&
            disk.image_count < MAX_IMAGES) {
            copy(&disk.images[disk.image_count].file, &disk.file);
            copy(&disk.images[disk.image_count++].log, &disk.safe);
        }
    }
}

static void after_call(void *user, const sim_vfs_event *e) {
    const bool is_log = (e->open_flags & SQLITE_OPEN_WAL) != 0;
    (void)user;
    if (e->kind == SIM_VFS_OPEN && is_log && e->result == SQLITE_OK) {
        handle *h = handle_of(NULL);
        h->name = e->file;
        h->failures = disk.failures;
    } else if (e->kind == SIM_VFS_CLOSE && is_log) {
        handle_of(e->file)->name = NULL;
    } else if (e->kind == SIM_VFS_WRITE && e->result == SQLITE_OK) {
        written(e);
    } else if (e->kind == SIM_VFS_TRUNCATE && e->result == SQLITE_OK) {
        if (is_log) cut_log((size_t)e->amount);
        if (is_database(e)) cut(&disk.file, (size_t)e->amount);
    } else if (e->kind == SIM_VFS_DELETE && e->result == SQLITE_OK) {
        const size_t length = strlen(e->file);
        if (length > 4 && strcmp(e->file + length - 4, "-wal") == 0) cut_log(0);
    } else if (e->kind == SIM_VFS_SYNC && is_log) {
        disk.log_syncs++;
        if (handle_of(e->file)->next == FORGETS) {
            if (disk.dirty.bytes > 0) memset(disk.dirty.at, 0, disk.dirty.bytes);
        } else {
            bring_log_to_the_disk();
        }
    } else if (e->kind == SIM_VFS_SHM_UNLOCK && disk.after_unlock_fn != NULL) {
        /* the recorder comes last in a call, and no other thread runs in those tests */
        (void)pthread_mutex_unlock(&sim_vfs.lock);
        disk.after_unlock_fn((int)e->offset, e->argument);
        (void)pthread_mutex_lock(&sim_vfs.lock);
    }
}

/*---- the power goes ----*/

static const char lost[] = "lost.db";

static void write_content(const char *name, const content *c) {
    FILE *out = fopen(name, "wb");
    if (out == NULL || (c->bytes > 0 && fwrite(c->at, 1, c->bytes, out) != c->bytes) ||
        fclose(out) != 0)
        test_fail(__FILE__, __LINE__, "cannot write %s", name);
}
static void write_image(const content *file, const content *log) {
    sim_remove_database(lost);
    write_content(lost, file);
    if (log->bytes > 0) write_content("lost.db-wal", log);
}
static void lose_power(void) {
    write_image(&disk.file, &disk.safe);
}

/*  The rows of one column, with a space between them; or what is wrong. By plain SQLite. */
static const char *rows_of(const char *name, const char *sql) {
    static char text[2000];
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    size_t used = 0;
    int rc = sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE, NULL);
    text[0] = '\0';
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        const char *value = (const char *)sqlite3_column_text(s, 0);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? " " : "",
                                 value == NULL ? "NULL" : value);
        if (used >= sizeof text) used = sizeof text - 1;
        rc = SQLITE_OK;
    }
    if (rc != SQLITE_DONE) (void)snprintf(text, sizeof text, "error: %s", sqlite3_errmsg(db));
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    return text;
}
static const char all_rows[] = "SELECT a FROM t ORDER BY rowid";
/*  Where A has failed it may be there or not. */
static const char but_A[] = "SELECT a FROM t WHERE a <> 'A' ORDER BY rowid";
static const char check[] = "PRAGMA integrity_check(1)";

/*  Of the images that were taken: how many are damaged. */
static int damaged_images(void) {
    int i, damaged = 0;
    for (i = 0; i < disk.image_count; i++) {
        const char *says;
        write_image(&disk.images[i].file, &disk.images[i].log);
        says = rows_of(lost, check);
        if (strcmp(says, "ok") == 0) continue;
        if (damaged++ == 0) printf("# after %d pages: %.200s\n", (i + 1) * disk.image_every, says);
    }
    return damaged;
}

/*---- a scene ----*/

static sqlpool *pool;
static sqlite3 *other, *reader; /* of another program, as far as the pool knows */
static sqlpool_error error;
static sim_clock watch;
static sim_locks locks;

static void close_all(void) {
    (void)sqlite3_close(other);
    (void)sqlite3_close(reader);
    other = reader = NULL;
    if (pool != NULL && sqlpool_close(pool, &error) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "close: %s", error.message);
    pool = NULL;
}
/*  The scene is over, also one that a failed check has ended; and the next one begins. */
static void set_scene(bool is_told_once) {
    int i;
    disk.before_sync_fn = NULL;
    disk.after_unlock_fn = NULL;
    close_all();
    sim_vfs.shm_mode = SIM_SHM_REAL;
    sim_remove_database(path);
    for (i = 0; i < MAX_IMAGES; i++) {
        drop(&disk.images[i].file);
        drop(&disk.images[i].log);
    }
    drop(&disk.file);
    drop(&disk.log);
    drop(&disk.safe);
    drop(&disk.dirty);
    memset(&disk, 0, sizeof disk);
    disk.is_told_once = is_told_once;
    disk.least = INT64_MAX;
}

static sqlpool_config config_of(int synchronous) {
    sqlpool_config c = sqlpool_config_default();
    c.vfs_name = "sim";
    c.synchronous = synchronous;
    c.max_connections = 2;
    c.disable_upkeep_thread = true;
    c.breaker_open_ms = SQLPOOL_OFF;
    return c;
}
static int open_pool(const sqlpool_config *c) {
    return sqlpool_open(&pool, path, c, &error);
}
/*  A pool with a table. */
static int start_with(const sqlpool_config *c) {
    int rc = open_pool(c);
    if (rc == SQLPOOL_OK) rc = sqlpool_script(pool, "CREATE TABLE t(a)", -1, &error);
    return rc;
}
static int start(int synchronous) {
    const sqlpool_config c = config_of(synchronous);
    return start_with(&c);
}
static int insert(const char *value) {
    return sqlpool_exec(pool, "INSERT INTO t VALUES(?)", SQLPOOL_ARGS(value), &error);
}
/*  Committed, and brought to the disk by whoever syncs next. */
static int relaxed(const char *sql) {
    sqlpool_submission how;
    sqlpool_ticket ticket;
    sqlpool_result result;
    int rc;
    memset(&how, 0, sizeof how);
    how.relaxed = true;
    how.wait_ms = SQLPOOL_FOREVER;
    rc = sqlpool_submit_with(pool, &how, &ticket, sql, SQLPOOL_NO_ARGS, &error);
    return rc != SQLPOOL_OK ? rc : sqlpool_ticket_wait(&ticket, SQLPOOL_FOREVER, &result, &error);
}
static int sync_pool(void) {
    return sqlpool_sync(pool, 0, SQLPOOL_FOREVER, &error);
}
static int checkpoint(sqlpool_checkpoint_mode mode) {
    return sqlpool_checkpoint(pool, mode, NULL, &error);
}

static int run(sqlite3 *db, const char *sql) {
    const int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK) test_fail(__FILE__, __LINE__, "%s: %s", sql, sqlite3_errmsg(db));
    return rc;
}
/*  A connection of another program: NORMAL, so that it syncs nothing, and checkpoints when asked. */
static sqlite3 *connect(void) {
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "sim") != SQLITE_OK)
        test_fail(__FILE__, __LINE__, "open: %s", sqlite3_errmsg(db));
    (void)run(db, "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0");
    return db;
}
/*  Closes it, and leaves the log. */
static void leave(sqlite3 **db) {
    (void)sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    (void)sqlite3_close(*db);
    *db = NULL;
}
/*  Another program makes a database; only its log has the row "other", and is not synced. */
static void find_log(void) {
    other = connect();
    (void)run(other, "PRAGMA journal_mode = WAL; CREATE TABLE t(a)");
    (void)sqlite3_wal_checkpoint_v2(other, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    (void)run(other, "INSERT INTO t VALUES('other')");
}

/*  A table with an index, so that a file in which some pages are missing is seen to be damaged. */
static const char fill[] =
    "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c UNIQUE);"
    "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
    "    INSERT INTO t SELECT i, printf('%0100d', i), printf('%020d', i * 7919 % 100003) FROM n;";
static const char thin_out[] = "DELETE FROM t WHERE a % 3 = 0;";
static const char shuffle[] = "UPDATE t SET c = printf('%025d', a * 104729 % 1000003);";
/*  From here on the power goes every few pages that are copied. */
static void take_images(int every) {
    disk.file_writes = 0;
    disk.image_every = every;
}

static void both(void (*scene)(bool is_told_once)) {
    scene(false);
    if (!test_failed_now) scene(true);
}
static bool is_ioerr(int rc) {
    return rc > 0 && (rc & 0xff) == SQLITE_IOERR;
}

/*---- a row that another program has written ----*/

/*  The COMMIT's sync that fails forgets what the other program left to be synced. */
static void a_hole_before_a_commit_that_failed_scene(bool is_told_once) {
    set_scene(is_told_once);
    CHECK_INT(start(SQLPOOL_SYNCHRONOUS_FULL), SQLPOOL_OK);
    other = connect();
    (void)run(other, "INSERT INTO t VALUES('other')");
    disk.fails = 1;
    CHECK(is_ioerr(insert("A")));
    CHECK_INT(error.sqlite_code, SQLITE_IOERR_FSYNC);
    CHECK_INT(error.outcome, SQLPOOL_OUTCOME_UNKNOWN);
    CHECK_INT(insert("B"), SQLPOOL_OK);
    CHECK_INT(insert("C"), SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, but_A), "other B C");
}
TEST(a_hole_before_a_commit_that_failed) {
    both(a_hole_before_a_commit_that_failed_scene);
}

static void a_hole_in_the_log_that_open_finds_scene(bool is_told_once) {
    const sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_FULL);
    sqlpool *second = NULL;
    int opened, wrote;
    set_scene(is_told_once);
    find_log();
    disk.fails = 1;
    CHECK_INT(open_pool(&c), SQLPOOL_OK);
    CHECK_INT(disk.fails, 0); /* it has failed */
    CHECK_INT(insert("A"), SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, all_rows), "other A");
    opened = sqlpool_open(&second, path, &c, &error);
    CHECK_INT(opened, SQLPOOL_OK);
    wrote = sqlpool_exec(second, "INSERT INTO t VALUES('B')", SQLPOOL_NO_ARGS, &error);
    (void)sqlpool_close(second, NULL);
    CHECK_INT(wrote, SQLPOOL_OK);
    CHECK_INT(insert("C"), SQLPOOL_OK);
    CHECK_INT(sync_pool(), SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, all_rows), "other A B C");
}
TEST(a_hole_in_the_log_that_open_finds) {
    both(a_hole_in_the_log_that_open_finds_scene);
}

static void a_hole_in_the_log_that_recycle_finds_scene(bool is_told_once) {
    set_scene(is_told_once);
    CHECK_INT(start(SQLPOOL_SYNCHRONOUS_FULL), SQLPOOL_OK);
    other = connect();
    (void)run(other, "INSERT INTO t VALUES('other')");
    disk.fails = 1;
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    CHECK_INT(disk.fails, 0);
    CHECK_INT(insert("B"), SQLPOOL_OK);
    CHECK_INT(insert("C"), SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, all_rows), "other B C");
}
TEST(a_hole_in_the_log_that_recycle_finds) {
    both(a_hole_in_the_log_that_recycle_finds_scene);
}

/*  Nobody can say how far the log has come: that nothing is in it least of all. */
static void a_log_whose_index_cannot_be_looked_at_scene(bool is_told_once) {
    const sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_FULL);
    set_scene(is_told_once);
    find_log();
    leave(&other);
    disk.log_syncs = 0;
    sim_vfs.shm_mode = SIM_SHM_FAIL;
    CHECK_INT(open_pool(&c), SQLPOOL_OK);
    CHECK_INT(disk.log_syncs, 1);
    other = connect();
    (void)run(other, "INSERT INTO t VALUES('more')");
    disk.fails = 1;
    CHECK(is_ioerr(insert("A")));
    CHECK_INT(error.outcome, SQLPOOL_OUTCOME_UNKNOWN);
    CHECK_INT(insert("B"), SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, but_A), "other more B");
}
TEST(a_log_whose_index_cannot_be_looked_at) {
    both(a_log_whose_index_cannot_be_looked_at_scene);
}

/*---- a log that is copied to the file while a part of it is not on the disk ----*/

enum { CLOSE_AND_OPEN, RECYCLE, RESTORE };
static void copied_after_a_failed_checkpoint(bool is_told_once, int how) {
    const sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_NORMAL);
    set_scene(is_told_once);
    CHECK_INT(open_pool(&c), SQLPOOL_OK);
    CHECK_INT(sqlpool_script(pool, fill, -1, &error), SQLPOOL_OK);
    CHECK_INT(checkpoint(SQLPOOL_CHECKPOINT_TRUNCATE), SQLPOOL_OK);
    sim_remove_database("whole.db");
    if (how == RESTORE)
        CHECK_INT(sqlpool_backup(pool, "whole.db", NULL, NULL, NULL, &error), SQLPOOL_OK);
    CHECK_INT(sqlpool_script(pool, thin_out, -1, &error), SQLPOOL_OK);
    CHECK_INT(sqlpool_script(pool, shuffle, -1, &error), SQLPOOL_OK);
    disk.fails = 1;
    CHECK(is_ioerr(checkpoint(SQLPOOL_CHECKPOINT_PASSIVE)));
    CHECK_INT(disk.fails, 0);
    take_images(9);
    if (how == RESTORE) {
        CHECK_INT(sqlpool_restore(pool, "whole.db", NULL, NULL, NULL, &error), SQLPOOL_OK);
    } else if (how == RECYCLE) {
        CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    } else {
        sqlpool *closed = pool;
        pool = NULL;
        CHECK_INT(sqlpool_close(closed, &error), SQLPOOL_OK);
        CHECK_INT(open_pool(&c), SQLPOOL_OK);
    }
    CHECK_INT(checkpoint(SQLPOOL_CHECKPOINT_PASSIVE), SQLPOOL_OK);
    CHECK(disk.file_writes > 20);
    CHECK_INT(damaged_images(), 0);
    if (how == RESTORE) return; /* the names of files are not followed */
    lose_power();
    CHECK_STR(rows_of(lost, check), "ok");
}
static void a_log_in_doubt_that_is_closed_and_opened_scene(bool is_told_once) {
    copied_after_a_failed_checkpoint(is_told_once, CLOSE_AND_OPEN);
}
TEST(a_log_in_doubt_that_is_closed_and_opened) {
    both(a_log_in_doubt_that_is_closed_and_opened_scene);
}
static void a_log_in_doubt_that_is_recycled_scene(bool is_told_once) {
    copied_after_a_failed_checkpoint(is_told_once, RECYCLE);
}
TEST(a_log_in_doubt_that_is_recycled) {
    both(a_log_in_doubt_that_is_recycled_scene);
}

/*  What is replaced is made whole first: SQLite copies its log. */
static void a_log_in_doubt_whose_file_is_replaced_scene(bool is_told_once) {
    copied_after_a_failed_checkpoint(is_told_once, RESTORE);
}
TEST(a_log_in_doubt_whose_file_is_replaced) {
    both(a_log_in_doubt_whose_file_is_replaced_scene);
}

enum { MOST_FAILS = 8, ALL_FAIL = 1000 };
/*  SQLite copies the log when the last connection is closed, also that of an open that has failed. */
static void opened_while_syncs_fail(bool is_told_once, int fails) {
    const sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_NORMAL);
    int rc;
    set_scene(is_told_once);
    other = connect();
    (void)run(other, "PRAGMA journal_mode = WAL");
    (void)run(other, fill);
    (void)sqlite3_wal_checkpoint_v2(other, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    (void)run(other, thin_out);
    (void)run(other, shuffle);
    leave(&other);
    take_images(27);
    disk.fails = fails;
    rc = open_pool(&c);
    disk.fails = 0;
    CHECK_INT(damaged_images(), 0);
    CHECK_INT(rc, pool != NULL ? SQLPOOL_OK : SQLITE_IOERR_FSYNC);
    if (fails == 1) CHECK_INT(rc, SQLPOOL_OK);
    if (fails == ALL_FAIL) CHECK_INT(rc, SQLITE_IOERR_FSYNC);
    if (fails == ALL_FAIL) CHECK_INT(disk.file_writes, 0);
    lose_power();
    CHECK_STR(rows_of(lost, check), "ok");
    CHECK_STR(rows_of(path, "SELECT count(*) FROM t"), "1334"); /* there while the power is */
}
static void an_open_that_fails_copies_nothing_scene(bool is_told_once) {
    int n;
    for (n = 1; n <= MOST_FAILS && !test_failed_now; n++) opened_while_syncs_fail(is_told_once, n);
    if (!test_failed_now) opened_while_syncs_fail(is_told_once, ALL_FAIL);
}
TEST(an_open_that_fails_copies_nothing) {
    both(an_open_that_fails_copies_nothing_scene);
}

/*  A connection that is bad is closed, and is the last one: what was relaxed has a hole. */
static void the_only_connection_goes_bad_scene(bool is_told_once) {
    sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_FULL);
    int rc;
    set_scene(is_told_once);
    c.max_connections = 1;
    CHECK_INT(open_pool(&c), SQLPOOL_OK);
    CHECK_INT(sqlpool_script(pool, fill, -1, &error), SQLPOOL_OK);
    CHECK_INT(checkpoint(SQLPOOL_CHECKPOINT_TRUNCATE), SQLPOOL_OK);
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK); /* closes the connection of checkpoints */
    CHECK_INT(relaxed(thin_out), SQLPOOL_OK);
    CHECK_INT(relaxed(shuffle), SQLPOOL_OK);
    take_images(9);
    disk.fails = 1;
    rc = sqlpool_exec(pool, "DELETE FROM t WHERE a = 1", SQLPOOL_NO_ARGS, &error);
    CHECK(is_ioerr(rc));
    CHECK_INT(error.outcome, SQLPOOL_OUTCOME_UNKNOWN);
    CHECK_INT(disk.fails, 0);
    CHECK_INT(damaged_images(), 0);
    CHECK_INT(disk.file_writes, 0);
    lose_power();
    CHECK_STR(rows_of(lost, check), "ok");
    CHECK_INT(sqlpool_exec(pool, "DELETE FROM t WHERE a = 2", SQLPOOL_NO_ARGS, &error), SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, check), "ok");
    CHECK_STR(rows_of(lost, "SELECT min(a) > 2 OR count(*) = 1333 FROM t"), "1");
}
TEST(the_only_connection_goes_bad) {
    both(the_only_connection_goes_bad_scene);
}

/*---- what was relaxed, and then doubted ----*/

static void doubt_outlives_recycle_scene(bool is_told_once) {
    set_scene(is_told_once);
    CHECK_INT(start(SQLPOOL_SYNCHRONOUS_FULL), SQLPOOL_OK);
    CHECK_INT(relaxed("INSERT INTO t VALUES('R')"), SQLPOOL_OK);
    disk.fails = 1;
    CHECK(is_ioerr(sync_pool()));
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    CHECK_INT(insert("B"), SQLPOOL_OK);
    CHECK_INT(sync_pool(), SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, all_rows), "R B");
}
TEST(doubt_outlives_recycle) {
    both(doubt_outlives_recycle_scene);
}

/*  Nobody hears of a sync that fails in sqlite3_close(). */
static void the_sync_of_the_last_close_fails_scene(bool is_told_once) {
    set_scene(is_told_once);
    CHECK_INT(start(SQLPOOL_SYNCHRONOUS_FULL), SQLPOOL_OK);
    CHECK_INT(relaxed("INSERT INTO t VALUES('R')"), SQLPOOL_OK);
    disk.fails = 1;
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    CHECK_INT(disk.fails, 0);
    CHECK_INT(insert("B"), SQLPOOL_OK);
    CHECK_INT(sync_pool(), SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, all_rows), "R B");
}
TEST(the_sync_of_the_last_close_fails) {
    both(the_sync_of_the_last_close_fails_scene);
}

static int function_runs;
static bool is_lock_due;
/*  Its first run brings up the doubt, which is told to the sync alone. */
static int doubt_inside(sqlpool_conn *conn, void *user, int attempt) {
    sqlpool_error ignored;
    const int rc =
        sqlpool_conn_exec(conn, "INSERT INTO t VALUES('T')", SQLPOOL_NO_ARGS, NULL, &ignored);
    (void)attempt;
    if (++function_runs == 1) {
        disk.fails = 1;
        *(int *)user = sqlpool_sync(pool, 0, SQLPOOL_FOREVER, &ignored);
        is_lock_due = true;
    }
    return rc;
}
static void lock_after_commit(void *user, uint64_t commits) {
    (void)user;
    (void)commits;
    if (is_lock_due) (void)run(other, "BEGIN IMMEDIATE");
    is_lock_due = false;
}
TEST(a_commit_behind_a_hole_that_cannot_be_mended_is_unknown) {
    sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_FULL);
    int inside = SQLPOOL_OK, rc;
    set_scene(true);
    c.events.commit_fn = lock_after_commit;
    watch.step_ns = 1000;
    locks.clock = &watch;
    locks.solo = 1;
    c.clock = sim_clock_hooks(&watch); /* waiting takes no time */
    c.locks = sim_locks_hooks(&locks);
    function_runs = 0;
    is_lock_due = false;
    CHECK_INT(start_with(&c), SQLPOOL_OK);
    other = connect();
    CHECK_INT(relaxed("INSERT INTO t VALUES('R')"), SQLPOOL_OK);
    rc = sqlpool_transaction(pool, SQLPOOL_WRITE, doubt_inside, &inside, &error);
    CHECK(is_ioerr(inside));
    CHECK_INT(rc, SQLPOOL_TIMEOUT);
    CHECK_INT(error.outcome, SQLPOOL_OUTCOME_UNKNOWN);
    CHECK_INT(function_runs, 1);
    (void)run(other, "COMMIT");
    CHECK_STR(rows_of(path, all_rows), "R T");
    CHECK_INT(insert("B"), SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, all_rows), "R T B");
}

/*---- whoever comes next ----*/

/*  A pool that was refused, or closed, takes its doubt with it: the next one syncs the log, hears
    that all is well, and relies on it. So what could not be mended is at least left to be synced. */
static void opened_after_an_open_that_failed(bool is_told_once, int fails) {
    const sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_FULL);
    set_scene(is_told_once);
    find_log();
    disk.fails = fails;
    if (open_pool(&c) != SQLPOOL_OK) {
        CHECK_INT(error.result, SQLITE_IOERR_FSYNC);
        disk.fails = 0;
        CHECK_INT(open_pool(&c), SQLPOOL_OK);
    }
    CHECK_INT(insert("B"), SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, all_rows), "other B");
}
static void a_hole_that_a_refused_open_leaves_scene(bool is_told_once) {
    int n;
    for (n = 1; n <= MOST_FAILS && !test_failed_now; n++)
        opened_after_an_open_that_failed(is_told_once, n);
}
TEST(a_hole_that_a_refused_open_leaves) {
    both(a_hole_that_a_refused_open_leaves_scene);
}

static int close_pool(void) {
    sqlpool *closed = pool;
    pool = NULL;
    return sqlpool_close(closed, &error);
}
static void opened_after_a_close_in_doubt(bool is_told_once, int fails) {
    const sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_NORMAL);
    set_scene(is_told_once);
    CHECK_INT(open_pool(&c), SQLPOOL_OK);
    CHECK_INT(sqlpool_script(pool, fill, -1, &error), SQLPOOL_OK);
    CHECK_INT(checkpoint(SQLPOOL_CHECKPOINT_TRUNCATE), SQLPOOL_OK);
    CHECK_INT(sqlpool_script(pool, thin_out, -1, &error), SQLPOOL_OK);
    CHECK_INT(sqlpool_script(pool, shuffle, -1, &error), SQLPOOL_OK);
    disk.fails = 1;
    CHECK(is_ioerr(checkpoint(SQLPOOL_CHECKPOINT_PASSIVE)));
    disk.fails = fails;
    take_images(27);
    CHECK_INT(close_pool(), SQLPOOL_OK);
    disk.fails = 0;
    CHECK_INT(open_pool(&c), SQLPOOL_OK);
    CHECK_INT(checkpoint(SQLPOOL_CHECKPOINT_PASSIVE), SQLPOOL_OK);
    CHECK(disk.file_writes > 20);
    CHECK_INT(damaged_images(), 0);
}
static void a_hole_that_close_cannot_mend_scene(bool is_told_once) {
    int n;
    for (n = 1; n <= MOST_FAILS && !test_failed_now; n++)
        opened_after_a_close_in_doubt(is_told_once, n);
}
TEST(a_hole_that_close_cannot_mend) {
    both(a_hole_that_close_cannot_mend_scene);
}

/*  The writer's connection is bad and gone when the pool is closed. */
static void close_mends_without_a_connection_scene(bool is_told_once) {
    const sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_FULL);
    set_scene(is_told_once);
    CHECK_INT(start_with(&c), SQLPOOL_OK);
    CHECK_INT(relaxed("INSERT INTO t VALUES('R')"), SQLPOOL_OK);
    disk.fails = 1;
    CHECK(is_ioerr(insert("A")));
    CHECK_INT(close_pool(), SQLPOOL_OK);
    CHECK_INT(open_pool(&c), SQLPOOL_OK);
    CHECK_INT(insert("B"), SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, but_A), "R B");
}
TEST(close_mends_without_a_connection) {
    both(close_mends_without_a_connection_scene);
}

/*  Another program has the lock that mending needs: the operator is told. */
static char told[400];
static void hear(void *user, sqlpool_level level, sqlpool_log_item item, const char *line) {
    (void)user;
    if (level == SQLPOOL_LEVEL_ERROR && item == SQLPOOL_LOG_UNSYNCED)
        (void)snprintf(told, sizeof told, "%s", line);
}
static void a_log_that_close_cannot_mend_is_told_of_scene(bool is_told_once) {
    sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_FULL);
    set_scene(is_told_once);
    watch.step_ns = 1000;
    locks.clock = &watch;
    locks.solo = 1;
    c.clock = sim_clock_hooks(&watch);
    c.locks = sim_locks_hooks(&locks);
    c.log.write_fn = hear;
    told[0] = '\0';
    CHECK_INT(start_with(&c), SQLPOOL_OK);
    CHECK_INT(relaxed("INSERT INTO t VALUES('R')"), SQLPOOL_OK);
    disk.fails = 1;
    CHECK(is_ioerr(sync_pool()));
    other = connect();
    (void)run(other, "BEGIN IMMEDIATE");
    CHECK_INT(close_pool(), SQLPOOL_OK);
    CHECK(strstr(told, "a power loss may take the last commits") != NULL);
    CHECK(strstr(told, "waiting for a lock") != NULL);
    CHECK_STR(rows_of(path, all_rows), "R"); /* there while the power is */
}
TEST(a_log_that_close_cannot_mend_is_told_of) {
    both(a_log_that_close_cannot_mend_is_told_of_scene);
}

/*  The pool's only connection is closed while it works, by age or because its lease has changed it:
    SQLite syncs the log then, and keeps to itself that it has failed. */
static void an_aged_connection_whose_last_sync_fails_scene(bool is_told_once) {
    sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_FULL);
    int rc;
    set_scene(is_told_once);
    watch.step_ns = 1000;
    c.clock = sim_clock_hooks(&watch);
    c.max_connections = 1;
    c.max_lifetime_ms = 1000;
    CHECK_INT(start_with(&c), SQLPOOL_OK);
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK); /* closes the connection of checkpoints */
    CHECK_INT(relaxed("INSERT INTO t VALUES('R')"), SQLPOOL_OK);
    sim_clock_advance(&watch, INT64_C(20000000000));
    disk.fails = 1;
    rc = insert("B");
    CHECK_INT(disk.fails, 0);
    if (rc != SQLPOOL_OK) rc = insert("B");
    CHECK_INT(rc, SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, all_rows), "R B");
}
TEST(an_aged_connection_whose_last_sync_fails) {
    both(an_aged_connection_whose_last_sync_fails_scene);
}
static void a_changed_connection_whose_last_sync_fails_scene(bool is_told_once) {
    sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_FULL);
    sqlpool_conn lease;
    int rc;
    set_scene(is_told_once);
    c.max_connections = 1;
    CHECK_INT(start_with(&c), SQLPOOL_OK);
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    CHECK_INT(relaxed("INSERT INTO t VALUES('R')"), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &lease, &error), SQLPOOL_OK);
    (void)run(sqlpool_conn_db(&lease), "PRAGMA foreign_keys = OFF");
    disk.fails = 1;
    CHECK_INT(sqlpool_conn_release(&lease), SQLPOOL_UNCLEAN);
    rc = insert("B");
    if (rc != SQLPOOL_OK) rc = insert("B");
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK_INT(disk.fails, 0);
    lose_power();
    CHECK_STR(rows_of(lost, all_rows), "R B");
}
TEST(a_changed_connection_whose_last_sync_fails) {
    both(a_changed_connection_whose_last_sync_fails_scene);
}

/*  Between the pool's own steps and SQLite's TRUNCATE another program writes: then it is the log that
    SQLite's sync fails for. */
static bool is_write_due;
static void write_after_the_checkpoint(int which, int flags) {
    if (!is_write_due || which != 0 || (flags & SQLITE_SHM_EXCLUSIVE) == 0) return;
    is_write_due = false;
    (void)run(other, "INSERT INTO t VALUES('other')");
    disk.fails = 1;
}
static void a_truncate_that_cannot_sync_the_log_scene(bool is_told_once) {
    int truncated, rc;
    set_scene(is_told_once);
    CHECK_INT(start(SQLPOOL_SYNCHRONOUS_FULL), SQLPOOL_OK);
    CHECK_INT(insert("A"), SQLPOOL_OK);
    other = connect();
    (void)run(other, "SELECT * FROM t");
    is_write_due = true;
    disk.after_unlock_fn = write_after_the_checkpoint;
    truncated = checkpoint(SQLPOOL_CHECKPOINT_TRUNCATE);
    disk.after_unlock_fn = NULL;
    CHECK(!is_write_due);
    CHECK(is_ioerr(truncated));
    CHECK_INT(disk.fails, 0);
    rc = insert("B");
    if (!is_told_once && rc != SQLPOOL_OK) rc = insert("B"); /* it had yet to be told */
    CHECK_INT(rc, SQLPOOL_OK);
    lose_power();
    CHECK_STR(rows_of(lost, all_rows), "A other B");
}
TEST(a_truncate_that_cannot_sync_the_log) {
    both(a_truncate_that_cannot_sync_the_log_scene);
}

/*---- which log it is, and how far it has come ----*/

static enum { UNTOUCHED, ARMED, WRITER_IS_FREE } race;
static bool is_as_long;
static int others; /* rows that the other program has written */
/*  The moment between COMMIT's last unlock, that of the snapshot, and the WAL hook. */
static void begin_log_anew(int which, int flags) {
    int frames = 0, copied = 0;
    if (race == ARMED && which == 0 && (flags & SQLITE_SHM_EXCLUSIVE) != 0) {
        race = WRITER_IS_FREE;
    } else if (race == WRITER_IS_FREE && (flags & SQLITE_SHM_SHARED) != 0) {
        race = UNTOUCHED;
        (void)sqlite3_wal_checkpoint_v2(other, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
        if (frames < 10 || frames != copied)
            test_fail(__FILE__, __LINE__, "%d of %d frames are copied", copied, frames);
        if (!is_as_long) frames = 1;
        for (others = 0; others < frames; others++)
            (void)run(other, "INSERT INTO t VALUES('o')"); /* a frame each */
    }
}
static void begun_anew(bool is_told_once) {
    char expected[40];
    int i;
    set_scene(is_told_once);
    CHECK_INT(start(SQLPOOL_SYNCHRONOUS_FULL), SQLPOOL_OK);
    other = connect();
    (void)run(other, "SELECT count(*) FROM t");
    CHECK_INT(sqlpool_script(pool, "CREATE TABLE big(a); INSERT INTO big VALUES(zeroblob(60000))",
                             -1, &error),
              SQLPOOL_OK);
    race = ARMED;
    disk.after_unlock_fn = begin_log_anew;
    CHECK_INT(insert("A"), SQLPOOL_OK);
    disk.after_unlock_fn = NULL;
    CHECK_INT(race, UNTOUCHED);
    for (i = is_as_long ? 1 : 25; i > 0; i--, others++)
        (void)run(other, "INSERT INTO t VALUES('o')");
    CHECK_INT(relaxed("INSERT INTO t VALUES('R')"), SQLPOOL_OK);
    disk.fails = 1;
    CHECK(is_ioerr(sync_pool()));
    CHECK_INT(insert("B"), SQLPOOL_OK);
    CHECK_INT(sync_pool(), SQLPOOL_OK);
    lose_power();
    (void)snprintf(expected, sizeof expected, "A R B %d", others);
    CHECK_STR(rows_of(lost, "SELECT a FROM t WHERE a <> 'o' UNION ALL"
                            " SELECT count(*) FROM t WHERE a = 'o'"),
              expected);
}
/*  The log that the hook hears of is no more, and that of the other program nobody has synced. */
static void a_log_begun_anew_before_the_hook_is_called_scene(bool is_told_once) {
    is_as_long = false;
    begun_anew(is_told_once);
    is_as_long = true; /* only the count of commits tells */
    if (!test_failed_now) begun_anew(is_told_once);
}
TEST(a_log_begun_anew_before_the_hook_is_called) {
    both(a_log_begun_anew_before_the_hook_is_called_scene);
}

/*  What is known to be on the disk is not written over itself, which a power loss could spoil. That
    is known also where another program has begun the log anew. */
static void only_what_is_doubtful_is_written_again_scene(bool is_told_once) {
    enum { PAGE = 4096, HEADER = 32, FRAME = PAGE + 24 };
    sqlpool_checkpoint_result moved;
    int frames = 0, copied = 0;
    set_scene(is_told_once);
    CHECK_INT(start(SQLPOOL_SYNCHRONOUS_NORMAL), SQLPOOL_OK);
    CHECK_INT(sqlpool_script(pool, "CREATE TABLE big(a); INSERT INTO big VALUES(zeroblob(60000))",
                             -1, &error),
              SQLPOOL_OK);
    other = connect();
    reader = connect();
    CHECK_INT(sim_plain_int64(other, "PRAGMA page_size", 0), PAGE);
    (void)run(other, "SELECT 1 FROM t");
    (void)sqlite3_wal_checkpoint_v2(other, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
    CHECK(frames > 10 && copied == frames);
    (void)run(other, "INSERT INTO t VALUES('1')");
    (void)run(reader, "BEGIN; SELECT count(*) FROM t");
    (void)run(other, "INSERT INTO t VALUES('2')");
    CHECK_INT(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, &moved, &error), SQLPOOL_OK);
    CHECK_INT(moved.log_frames, 2); /* all of them synced */
    CHECK_INT(moved.checkpointed_frames, 1);
    CHECK_INT(insert("A"), SQLPOOL_OK);
    disk.fails = 1;
    CHECK(is_ioerr(sync_pool()));
    disk.least = INT64_MAX;
    CHECK_INT(checkpoint(SQLPOOL_CHECKPOINT_PASSIVE), SQLPOOL_OK);
    CHECK_INT(disk.least, HEADER + 2 * FRAME);
    (void)run(reader, "COMMIT");
    lose_power();
    CHECK_STR(rows_of(lost, all_rows), "1 2 A");
}
TEST(only_what_is_doubtful_is_written_again) {
    both(only_what_is_doubtful_is_written_again_scene);
}

/*---- a sync that fails on another thread, in the middle of a COMMIT's own ----*/

static bool is_race_armed;
static int sync_beside;
static void *sync_fn(void *user) {
    sqlpool_error ignored;
    (void)user;
    disk.fails = 1;
    sync_beside = sqlpool_sync(pool, 0, SQLPOOL_FOREVER, &ignored);
    return NULL;
}
static void race_a_sync(void) {
    pthread_t thread;
    if (!is_race_armed) return;
    is_race_armed = false;
    if (pthread_create(&thread, NULL, sync_fn, NULL) != 0) {
        test_fail(__FILE__, __LINE__, "no thread");
        return;
    }
    (void)pthread_join(thread, NULL);
}
/*  A relaxed commit is waiting to be synced; the next sync of this thread meets the other one. Only
    that is told. */
static int start_race(void) {
    int rc;
    set_scene(true);
    rc = start(SQLPOOL_SYNCHRONOUS_FULL);
    if (rc == SQLPOOL_OK) rc = relaxed("INSERT INTO t VALUES('R')");
    disk.before_sync_fn = race_a_sync;
    is_race_armed = true;
    sync_beside = SQLPOOL_OK;
    return rc;
}
TEST(a_write_beside_a_sync_that_fails) {
    CHECK_INT(start_race(), SQLPOOL_OK);
    CHECK_INT(insert("A"), SQLPOOL_OK);
    lose_power();
    CHECK(is_ioerr(sync_beside));
    CHECK_STR(rows_of(lost, all_rows), "R A");
}
TEST(a_write_of_a_lease_beside_a_sync_that_fails) {
    sqlpool_conn lease;
    int rc;
    CHECK_INT(start_race(), SQLPOOL_OK);
    is_race_armed = false;
    CHECK_INT(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &lease, &error), SQLPOOL_OK);
    is_race_armed = true;
    rc = sqlpool_conn_exec(&lease, "INSERT INTO t VALUES('A')", SQLPOOL_NO_ARGS, NULL, &error);
    lose_power(); /* before the lease ends */
    CHECK_INT(sqlpool_conn_release(&lease), SQLPOOL_OK);
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK(is_ioerr(sync_beside));
    CHECK_STR(rows_of(lost, all_rows), "R A");
}
TEST(a_write_that_returns_rows_beside_a_sync_that_fails) {
    sqlpool_rows rows;
    int opened, closed, count = 0;
    CHECK_INT(start_race(), SQLPOOL_OK);
    opened = sqlpool_query(pool, &rows, "INSERT INTO t VALUES('A') RETURNING a", SQLPOOL_NO_ARGS,
                           &error);
    while (sqlpool_rows_next(&rows) == 1) count++;
    closed = sqlpool_rows_close(&rows, &error);
    lose_power();
    CHECK_INT(opened, SQLPOOL_OK);
    CHECK_INT(closed, SQLPOOL_OK);
    CHECK_INT(count, 1);
    CHECK(is_ioerr(sync_beside));
    CHECK_STR(rows_of(lost, all_rows), "R A");
}

/*  A sync of another thread is under way when the doubt comes up, and fails while the log is written
    again: it must be over before that, as it forgets the new bytes too, and is the one that is told. */
enum { AT_REST, UNDER_WAY, MAY_FAIL, OVER };
static pthread_t first_thread;
static int beside; /* under beside_lock */
static bool is_mending;
static pthread_mutex_t beside_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t beside_changed = PTHREAD_COND_INITIALIZER;
static void set_beside(int state) {
    (void)pthread_mutex_lock(&beside_lock);
    beside = state;
    (void)pthread_cond_broadcast(&beside_changed);
    (void)pthread_mutex_unlock(&beside_lock);
}
static int beside_now(void) {
    int state;
    (void)pthread_mutex_lock(&beside_lock);
    state = beside;
    (void)pthread_mutex_unlock(&beside_lock);
    return state;
}
static void await_beside(int state) {
    (void)pthread_mutex_lock(&beside_lock);
    while (beside < state) (void)pthread_cond_wait(&beside_changed, &beside_lock);
    (void)pthread_mutex_unlock(&beside_lock);
}
static void let_it_fail(void) {
    if (!is_mending) return;
    is_mending = false;
    set_beside(MAY_FAIL);
    await_beside(OVER);
}
static void sync_meets_doubt(void) {
    if (pthread_equal(pthread_self(), first_thread)) {
        let_it_fail();
    } else if (beside_now() == AT_REST) {
        set_beside(UNDER_WAY);
        await_beside(MAY_FAIL);
        disk.fails = 1;
    }
}
static void *meet_fn(void *user) {
    sqlpool_error ignored;
    (void)user;
    sync_beside = sqlpool_sync(pool, 0, SQLPOOL_FOREVER, &ignored);
    set_beside(OVER);
    return NULL;
}
static int64_t real_now(void *user) {
    (void)user;
    return sim_real_ns();
}
/*  Who sleeps waits for the other thread. */
static void sleep_until_it_failed(void *user, int64_t ns) {
    (void)user;
    (void)ns;
    if (pthread_equal(pthread_self(), first_thread)) let_it_fail();
}
TEST(mending_waits_for_a_sync_that_is_under_way) {
    sqlpool_config c = config_of(SQLPOOL_SYNCHRONOUS_FULL);
    pthread_t thread;
    int failed, outcome, rc;
    set_scene(true);
    c.clock.now_ns_fn = real_now;
    c.clock.sleep_ns_fn = sleep_until_it_failed;
    CHECK_INT(start_with(&c), SQLPOOL_OK);
    CHECK_INT(relaxed("INSERT INTO t VALUES('R')"), SQLPOOL_OK);
    first_thread = pthread_self();
    set_beside(AT_REST);
    is_mending = false;
    disk.before_sync_fn = sync_meets_doubt;
    CHECK_INT(pthread_create(&thread, NULL, meet_fn, NULL), 0);
    await_beside(UNDER_WAY);
    disk.fails = 1;
    failed = insert("A");
    outcome = error.outcome;
    is_mending = true;
    rc = insert("B");
    is_mending = true; /* or it would wait for ever */
    if (beside_now() == UNDER_WAY) let_it_fail();
    (void)pthread_join(thread, NULL);
    disk.before_sync_fn = NULL;
    lose_power();
    CHECK(is_ioerr(failed));
    CHECK_INT(outcome, SQLPOOL_OUTCOME_UNKNOWN);
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK(is_ioerr(sync_beside));
    CHECK_STR(rows_of(lost, but_A), "R B");
}

/*---- the disk itself ----*/

/*  By plain SQLite: what is lost when the sync that failed is believed to have been the last word. */
static void control_the_disk_forgets_scene(bool is_told_once) {
    set_scene(is_told_once);
    find_log();
    reader = connect();
    (void)run(other, "PRAGMA synchronous = FULL");
    (void)run(reader, "PRAGMA synchronous = FULL");
    (void)run(reader, "SELECT * FROM t");
    disk.fails = 1;
    CHECK_INT(sqlite3_exec(other, "INSERT INTO t VALUES('A')", NULL, NULL, NULL), SQLITE_IOERR);
    CHECK_INT(sqlite3_exec(reader, "INSERT INTO t VALUES('B')", NULL, NULL, NULL),
              is_told_once ? SQLITE_OK : SQLITE_IOERR);
    CHECK_INT(sqlite3_exec(reader, "INSERT INTO t VALUES('C')", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_exec(other, "INSERT INTO t VALUES('D')", NULL, NULL, NULL), SQLITE_OK);
    lose_power();
    CHECK_STR(rows_of(lost, all_rows), "");
    lose_power();
}
TEST(control_the_disk_forgets) {
    both(control_the_disk_forgets_scene);
}

int main(void) {
    if (sim_vfs_install() != SQLITE_OK) {
        printf("# SQLite refuses the simulator\n0 passed, 1 failed\n");
        return 1;
    }
    sim_vfs.skip_sync = 1; /* the disk is in memory */
    sim_vfs.point_fn = before_call;
    sim_vfs.record_fn = after_call;
    sim_catch_crashes();
    (void)snprintf(sim_replay, sizeof sim_replay, "doubt");
    RUN(control_the_disk_forgets);
    RUN(a_hole_before_a_commit_that_failed);
    RUN(a_hole_in_the_log_that_open_finds);
    RUN(a_hole_in_the_log_that_recycle_finds);
    RUN(a_log_whose_index_cannot_be_looked_at);
    RUN(a_log_in_doubt_that_is_closed_and_opened);
    RUN(a_log_in_doubt_that_is_recycled);
    RUN(a_log_in_doubt_whose_file_is_replaced);
    RUN(an_open_that_fails_copies_nothing);
    RUN(the_only_connection_goes_bad);
    RUN(doubt_outlives_recycle);
    RUN(the_sync_of_the_last_close_fails);
    RUN(a_commit_behind_a_hole_that_cannot_be_mended_is_unknown);
    RUN(a_hole_that_a_refused_open_leaves);
    RUN(a_hole_that_close_cannot_mend);
    RUN(close_mends_without_a_connection);
    RUN(a_log_that_close_cannot_mend_is_told_of);
    RUN(an_aged_connection_whose_last_sync_fails);
    RUN(a_changed_connection_whose_last_sync_fails);
    RUN(a_truncate_that_cannot_sync_the_log);
    RUN(a_log_begun_anew_before_the_hook_is_called);
    RUN(only_what_is_doubtful_is_written_again);
    RUN(a_write_beside_a_sync_that_fails);
    RUN(a_write_of_a_lease_beside_a_sync_that_fails);
    RUN(a_write_that_returns_rows_beside_a_sync_that_fails);
    RUN(mending_waits_for_a_sync_that_is_under_way);
    set_scene(false);
    return test_end();
}
