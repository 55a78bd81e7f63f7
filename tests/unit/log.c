/*  log.c - white box: who else reads in the log, what of it is doubtful, who empties it (I16).
    SPDX-License-Identifier: MIT OR Unlicense

    The kernel's table of locks is a file of the test here, read through a VFS of its own. Files of
    SQLite's can be hidden, as by a VFS that hands none out. */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION

#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

static int no_unix_vfs, is_table_faked, hide_journal;
static sqlite3_vfs table_vfs, *real_vfs;

static int open_table(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out) {
    (void)vfs;
    return real_vfs->xOpen(real_vfs, strcmp(path, "/proc/locks") == 0 ? "locks" : path, file, flags,
                           out);
}
static sqlite3_vfs *log_vfs_find(const char *name) {
    if (name == NULL || strcmp(name, "unix") != 0) return sqlite3_vfs_find(name);
    if (no_unix_vfs) return NULL;
    if (!is_table_faked) return sqlite3_vfs_find(name);
    real_vfs = sqlite3_vfs_find(name);
    table_vfs = *real_vfs;
    table_vfs.xOpen = open_table;
    return &table_vfs;
}
static int log_file_control(sqlite3 *db, const char *name, int op, void *argument) {
    return hide_journal && op == SQLITE_FCNTL_JOURNAL_POINTER
               ? SQLITE_NOTFOUND
               : sqlite3_file_control(db, name, op, argument);
}
#define sqlite3_vfs_find log_vfs_find
#define sqlite3_file_control log_file_control
#include "sqlpool.h"
#undef sqlite3_vfs_find
#undef sqlite3_file_control

#include "unit.h"

static int64_t count_rows(unit_pool *u) {
    return unit_ask(u, "SELECT count(*) FROM t");
}

#if defined(__linux__)

/*---- the kernel's table of locks ----*/

TEST(lines_of_the_kernels_table) {
    static const char table[] = "1: FLOCK  ADVISORY  WRITE 1 08:01:5 0 EOF\n"
                                "2: POSIX  ADVISORY  READ 345 08:01:6789 124 124\n"
                                "a line of something else\n"
                                "3: POSIX  ADVISORY  WRITE -1 08:01:6790 128 130";
    sqlpool__file_lock lock;
    const char *at = sqlpool__next_file_lock(table, &lock);
    CHECK(at != NULL && strncmp(at, "a line", 6) == 0);
    CHECK_INT(lock.process, 345);
    CHECK_STR(lock.file, "08:01:6789");
    CHECK_INT(lock.first, 124);
    CHECK_INT(lock.last, 124);
    at = sqlpool__next_file_lock(at, &lock);
    CHECK_STR(at, ""); /* the last one has no end of line */
    CHECK_INT(lock.process, -1);
    CHECK_INT(lock.last, 130);
    CHECK(sqlpool__next_file_lock(at, &lock) == NULL);
    CHECK(sqlpool__next_file_lock("no lock\nand none here", &lock) == NULL);
    CHECK(sqlpool__next_file_lock(NULL, &lock) == NULL);
}

static bool write_table(const char *text) {
    FILE *file = fopen("locks", "wb");
    const bool is_ok = file != NULL && fputs(text, file) >= 0;
    return file != NULL && fclose(file) == 0 && is_ok;
}

TEST(files_of_the_kernel) {
    unit_pool u;
    char *text;
    PART(unit_begin_row(&u, "kernel.db"));
    CHECK(write_table("a text"));
    text = sqlpool__read_kernel_file(u.core, "locks");
    CHECK_STR(text, "a text");
    sqlpool__free(&u.core->memory, text, SQLPOOL__LOCKS_BYTES);
    CHECK(sqlpool__read_kernel_file(u.core, "absent") == NULL);
    {
        static char large[SQLPOOL__LOCKS_BYTES + 100]; /* its beginning is what is looked at */
        memset(large, 'x', sizeof large - 1);
        CHECK(write_table(large));
        text = sqlpool__read_kernel_file(u.core, "locks");
        CHECK(text != NULL && strlen(text) == SQLPOOL__LOCKS_BYTES - 1);
        sqlpool__free(&u.core->memory, text, SQLPOOL__LOCKS_BYTES);
    }
    CHECK(mkdir("folder", 0700) == 0);
    CHECK(sqlpool__read_kernel_file(u.core, "folder") == NULL); /* opens, and cannot be read */
    no_unix_vfs = 1;
    CHECK(sqlpool__read_kernel_file(u.core, "locks") == NULL);
    no_unix_vfs = 0;
    unit_close(&u);
}

TEST(processes_that_read_in_the_log) {
    /* %d is this process, whose lock of byte 128 says which file is the index */
    static const struct {
        const char *table, *said;
    } cases[] = {
        {"1: POSIX ADVISORY READ %d 08:01:7 128 128\n"
         "2: POSIX ADVISORY READ %d 08:01:7 124 124\n" /* ours */
         "3: POSIX ADVISORY READ 41 08:01:7 124 124\n"
         "4: POSIX ADVISORY READ 41 08:01:7 127 127\n"  /* the same again */
         "5: POSIX ADVISORY READ 42 08:01:8 124 124\n"  /* of another file */
         "6: POSIX ADVISORY READ 43 08:01:7 128 128\n"  /* has it open, reads nothing */
         "7: POSIX ADVISORY WRITE 44 08:01:7 120 123\n" /* writes, checkpoints, recovers */
         "8: POSIX ADVISORY READ -1 08:01:7 124 124\n"  /* nobody's */
         "9: POSIX ADVISORY READ 45 08:01:7 123 126\n",
         ": process 41, 45"},
        {"1: POSIX ADVISORY READ 41 08:01:7 124 124\n", ""},
        {"1: POSIX ADVISORY READ %d 08:01:7 128 128\n"
         "2: POSIX ADVISORY READ %d 08:01:7 128 128\n"
         "3: POSIX ADVISORY READ 41 08:01:7 124 124\n",
         ": process 41"},
        {"1: POSIX ADVISORY READ %d 08:01:7 128 128\n" /* two indexes: which is it? */
         "2: POSIX ADVISORY READ %d 08:01:8 128 128\n"
         "2: POSIX ADVISORY READ %d 08:01:8 128 128\n"
         "3: POSIX ADVISORY READ 41 08:01:7 124 124\n"
         "4: POSIX ADVISORY READ 42 08:01:8 124 124\n",
         ""},
        {"1: POSIX ADVISORY READ %d 08:01:7 120 127\n" /* no index at all */
         "2: POSIX ADVISORY READ %d 08:01:7 129 500\n"
         "3: POSIX ADVISORY READ 41 08:01:7 124 124\n",
         ""},
        {"1: POSIX ADVISORY WRITE %d 08:01:7 0 EOF\n"
         "2: POSIX ADVISORY READ %d 08:01:7 120 200\n"
         "3: POSIX ADVISORY READ 41 08:01:7 124 124\n",
         ""},
        {"1: POSIX ADVISORY READ %d 08:01:7 128 128\n"
         "1: POSIX ADVISORY READ %d 08:01:7 125 125\n"
         "3: POSIX ADVISORY READ 1 08:01:7 124 124\n3: POSIX ADVISORY READ 2 08:01:7 124 124\n"
         "3: POSIX ADVISORY READ 3 08:01:7 124 124\n3: POSIX ADVISORY READ 4 08:01:7 124 124\n"
         "3: POSIX ADVISORY READ 5 08:01:7 124 124\n3: POSIX ADVISORY READ 6 08:01:7 124 124\n"
         "3: POSIX ADVISORY READ 7 08:01:7 124 124\n3: POSIX ADVISORY READ 8 08:01:7 124 124\n"
         "3: POSIX ADVISORY READ 9 08:01:7 124 124\n3: POSIX ADVISORY READ 8 08:01:7 125 125\n",
         ": process 1, 2, 3, 4, 5, 6, 7, 8"}};
    unit_pool u;
    size_t i;
    PART(unit_begin_row(&u, "readers.db"));
    is_table_faked = 1;
    for (i = 0; i <= LENGTH(cases); i++) {
        char table[1000], said[200];
        sqlpool__text text = sqlpool__text_into(said, sizeof said);
        if (i < LENGTH(cases)) {
            /* format: each case has this process at most three times */
            (void)snprintf(table, sizeof table, cases[i].table, (int)getpid(), (int)getpid(),
                           (int)getpid());
            CHECK(write_table(table));
        } else {
            CHECK(unlink("locks") == 0); /* a kernel without the table */
        }
        sqlpool__text_foreign_readers(u.core, &text);
        CHECK_STR(said, i < LENGTH(cases) ? cases[i].said : "");
    }
    is_table_faked = 0;
    unit_close(&u);
}

#endif

/*---- a log that is doubtful, or lost ----*/

/*  A sync that fails on another thread while a statement runs. */
static sqlpool__core *doubted;
static void fail_a_sync(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count, (void)values;
    SQLPOOL__STORE(&doubted->durable,
                   SQLPOOL__LOAD(&doubted->commits) - 1); /* one that waits for it */
    sqlpool__doubt_log(doubted);
    sqlite3_result_int(context, 7);
}
static int add_doubt(void *user, const sqlpool_conn *conn) {
    (void)user;
    return unit_add_function(conn, "doubt", 0, fail_a_sync);
}

TEST(a_sync_that_fails_beside_a_write) {
    unit_pool u;
    sqlpool_config c = unit_config(&u, 1);
    sqlpool_conn reader;
    c.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    c.events.connect_fn = add_doubt;
    PART(unit_open_row(&u, "doubt.db", &c));
    doubted = u.core;
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(doubt())"), &u.error);
    CHECK_INT(u.error.outcome, SQLPOOL_OUTCOME_COMMITTED); /* the log was written once more */
    CHECK_INT(SQLPOOL__LOAD(&u.core->gate) & SQLPOOL__GATE_DOUBT, 0);
    CHECK_INT(SQLPOOL__LOAD(&u.core->is_log_doubtful), 0);
    hide_journal = 1; /* it cannot be */
    CHECK_INT(unit_exec(&u, "INSERT INTO t VALUES(doubt())"), SQLITE_NOTFOUND);
    CHECK_INT(u.error.outcome, SQLPOOL_OUTCOME_UNKNOWN);
    CHECK_HAS(u.error.message, "a sync of the log failed, and so does writing it again");
    hide_journal = 0;
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(8)"), &u.error);
    CHECK_INT(SQLPOOL__LOAD(&u.core->gate) & SQLPOOL__GATE_DOUBT, 0);
    CHECK_INT(count_rows(&u), 4);
    SQLPOOL__STORE(&u.core->durable, SQLPOOL__LOAD(&u.core->commits) - 1);
    sqlpool__doubt_log(u.core);
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &reader, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&reader, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_commit(&reader, &u.error), &u.error); /* is no matter of a reader's */
    CHECK_INT(sqlpool_conn_release(&reader), SQLPOOL_OK);
    CHECK_INT(SQLPOOL__LOAD(&u.core->is_log_doubtful), 1);
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(9)"), &u.error);
    CHECK_INT(SQLPOOL__LOAD(&u.core->is_log_doubtful), 0);
    unit_close(&u);
}

/*  Where nobody can look into the WAL-index, nobody knows how far the log has come, or is synced. */
TEST(a_log_without_a_map) {
    unit_pool u;
    sqlpool__slot *writer;
    const volatile uint32_t *map;
    uint64_t end;
    PART(unit_begin_row(&u, "map.db"));
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), &u.error);
    CHECK_OK(unit_exec(&u, "INSERT INTO t VALUES(2)"), &u.error);
    end = SQLPOOL__LOAD(&u.core->log_synced);
    CHECK(end != SQLPOOL__LOAD(&u.core->log_end));
    hide_journal = 1;
    CHECK_OK(sqlpool__sync_log(u.core, &u.error), &u.error);
    hide_journal = 0;
    CHECK(SQLPOOL__LOAD(&u.core->log_synced) == end); /* nothing was synced */
    CHECK_OK(sqlpool__sync_log(u.core, &u.error), &u.error);
    CHECK(SQLPOOL__LOAD(&u.core->log_synced) == SQLPOOL__LOAD(&u.core->log_end));
    writer = &u.core->slots[0];
    map = writer->stamp_map;
    CHECK(map != NULL);
    end = sqlpool__log_end(writer);
    CHECK((end & UINT32_MAX) == 1);
    CHECK(SQLPOOL__LOAD(&u.core->log_end) == end);
    writer->stamp_map = NULL;
    CHECK(sqlpool__log_end(writer) == 0);
    SQLPOOL__STORE(&u.core->log_synced, (uint64_t)0);
    CHECK_OK(sqlpool__sync_rest(writer, &u.error), &u.error);
    CHECK(SQLPOOL__LOAD(&u.core->log_synced) == 0); /* synced, but how far? */
    CHECK_OK(sqlpool__rewrite_log(writer, &u.error),
             &u.error); /* all of it: from where, who knows */
    writer->stamp_map = map;
    SQLPOOL__STORE(&u.core->log_synced, end >> 32 << 32); /* this log, and nothing of it yet */
    CHECK_OK(sqlpool__rewrite_log(writer, &u.error), &u.error);
    CHECK(SQLPOOL__LOAD(&u.core->log_synced) == end);
    writer->stamp_map = NULL;
    hide_journal = 1;
    CHECK_OK(sqlpool__sync_rest(writer, &u.error), &u.error);
    CHECK_INT(sqlpool__rewrite_log(writer, &u.error), SQLITE_NOTFOUND);
    CHECK_HAS(u.error.message, "(SQLITE_NOTFOUND)");
    hide_journal = 0;
    writer->stamp_map = map;
    sqlpool__error_clear(&u.error);
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &u.error), &u.error);
    CHECK_INT(count_rows(&u), 2);
    unit_close(&u);
}

TEST(a_log_that_is_lost_is_reported_once) {
    unit_pool u;
    sqlpool_error error;
    PART(unit_begin_row(&u, "lost.db"));
    sqlpool__error_clear(&error);
    CHECK_INT(sqlpool__lose_log(u.core, 3, 9, &error), SQLITE_CORRUPT);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_WAL_RESET], 1);
    CHECK_HAS(u.log.last[SQLPOOL_LOG_WAL_RESET], "9 frames count as copied, the log has 3; ");
    CHECK_INT(sqlpool__lose_log(u.core, 4, 9, &error), SQLITE_CORRUPT); /* by two threads at once */
    CHECK_INT(error.result, SQLITE_CORRUPT);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_WAL_RESET], 1);
    CHECK_OK(sqlpool_recycle(u.pool), &u.error);
    CHECK_INT(count_rows(&u), 1);
    unit_close(&u);
}

/*---- who empties it ----*/

TEST(who_lets_another_checkpoint_pass) {
    unit_pool u;
    sqlpool_config c = unit_config(&u, 2);
    sqlpool_conn conn;
    c.wal_budget_bytes = 4096;
    c.wal_limit_bytes = 8192;
    PART(unit_open_row(&u, "care.db", &c));
    SQLPOOL__STORE(&u.core->checkpointing, 1u);
    SQLPOOL__STORE_RELAXED(&u.core->wal_frames, (uint64_t)1);
    CHECK(!sqlpool__care_for_log(&u.core->slots[0])); /* there is room */
    SQLPOOL__STORE_RELAXED(&u.core->wal_frames, (uint64_t)50);
    CHECK(sqlpool__care_for_log(&u.core->slots[0]));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_OK(sqlpool_snapshot_begin(&conn, 0, &u.error), &u.error);
    CHECK(!sqlpool__care_for_log(&u.core->slots[0])); /* no wait would empty it */
    CHECK_OK(sqlpool_snapshot_end(&conn, &u.error), &u.error);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK(sqlpool__care_for_log(&u.core->slots[0]));
    SQLPOOL__STORE(&u.core->checkpointing, 0u);
    unit_close(&u);
}

TEST(page_size_of_a_connection_that_is_not_open) {
    unit_pool u;
    sqlpool__slot *writer;
    PART(unit_begin_row(&u, "pages.db"));
    writer = &u.core->slots[0];
    SQLPOOL__STORE_RELAXED(&u.core->page_bytes, (int64_t)1);
    sqlpool__learn_page_size(writer);
    CHECK_INT(SQLPOOL__LOAD_RELAXED(&u.core->page_bytes), 4096);
    CHECK(sqlpool__take(writer, SQLPOOL__IDLE));
    sqlpool__close_connection(writer);
    sqlpool__learn_page_size(writer);
    CHECK_INT(SQLPOOL__LOAD_RELAXED(&u.core->page_bytes), 4096); /* as it was */
    sqlpool__give_back(writer, sqlpool__lane_of_slot(writer));
    CHECK_INT(count_rows(&u), 1);
    unit_close(&u);
}

int main(void) {
#if defined(__linux__)
    RUN(lines_of_the_kernels_table);
    RUN(files_of_the_kernel);
    RUN(processes_that_read_in_the_log);
#endif
    RUN(a_sync_that_fails_beside_a_write);
    RUN(a_log_without_a_map);
    RUN(a_log_that_is_lost_is_reported_once);
    RUN(who_lets_another_checkpoint_pass);
    RUN(page_size_of_a_connection_that_is_not_open);
    return test_end();
}
