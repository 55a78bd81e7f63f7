/*  restore.c - a database is replaced by a backup under a working pool, or not at all; salvage.
    SPDX-License-Identifier: MIT OR Unlicense */
#define _POSIX_C_SOURCE 200809L
#include "files.h"

#include "sim/sim.h"

static sqlpool_error err;

static const char schema[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, v);"
                             "CREATE INDEX t_v ON t(v);"
                             "INSERT INTO t VALUES(1, 'first')";

static int kind_of(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0 ? 1 : 0;
}
static int mode_of(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 ? (int)(status.st_mode & 0777) : -1;
}
static bool overwrite(const char *path, int64_t at, const void *data, size_t bytes) {
    const int file = open(path, O_WRONLY);
    const bool is_ok = file >= 0 && pwrite(file, data, bytes, (off_t)at) == (ssize_t)bytes;
    return file >= 0 && close(file) == 0 && is_ok;
}
static bool is_sound(sqlpool *pool) {
    char verdict[64];
    sqlpool_conn conn;
    if (sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err) != SQLPOOL_OK) return false;
    ask_conn_text(&conn, "PRAGMA integrity_check", verdict, sizeof verdict);
    (void)sqlpool_conn_release(&conn);
    return strcmp(verdict, "ok") == 0;
}

/*  A pool with a backup of one row, and two rows more since. */
static sqlpool *open_with_backup(const char *path, const char *backup, sqlpool_config *config) {
    sqlpool_backup_config keep = {.keep = 1};
    sqlpool *pool;
    (void)unlink(path);
    pool = open_pool(path, config, schema);
    if (pool == NULL) return NULL;
    if (sqlpool_backup(pool, backup, &keep, NULL, NULL, &err) != SQLPOOL_OK ||
        sqlpool_exec(pool, "INSERT INTO t VALUES(2, 'second'), (3, 'third')", SQLPOOL_NO_ARGS,
                     &err) != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "%s", err.message);
    }
    return pool;
}

TEST(what_was_then_is_now) {
    sqlpool_config config = config_of(3);
    sqlpool *pool = open_with_backup("then.db", "then.bak", &config);
    sqlpool_backup_info info;
    sqlpool_stamp stamp = {0};
    int open;
    CHECK(pool != NULL);
    CHECK_INT(chmod("then.db", 0640), 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    CHECK_INT(sqlpool_changed(pool, &stamp), 1);
    open = stats_of(pool).open;
    CHECK_OK(sqlpool_restore(pool, "then.bak", NULL, NULL, &info, &err), &err);
    CHECK(open > 0);
    CHECK_INT(stats_of(pool).closed_recycled, open);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK(sqlpool_changed(pool, &stamp) == 1);
    CHECK_STR(info.path, "then.bak");
    CHECK_INT(info.generation, 0);
    CHECK_INT(mode_of("then.db"), 0640);
    CHECK_INT(ask_file(info.kept, "SELECT count(*) FROM t"), 3);
    CHECK_HAS(info.kept, "then.db.replaced-20");
    CHECK(is_sound(pool));
    /* it works as before: writes, reads, the log */
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(7, 'new')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(pool, "SELECT max(id) FROM t"), 7);
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &err), &err);
    CHECK_INT(ask_file("then.db", "SELECT count(*) FROM t"), 2);
    /* twice in a second: two names */
    CHECK_OK(sqlpool_restore(pool, "then.bak", NULL, NULL, &info, &err), &err);
    CHECK_OK(sqlpool_restore(pool, "then.bak", NULL, NULL, &info, &err), &err);
    CHECK_INT(count_files("then.db.replaced-"), 3);
    CHECK_INT(count_files("-partial"), 0);
    close_pool(pool);
    CHECK_INT(count_files("then.db-"), 0);
}

TEST(with_other_journals_and_one_connection) {
    static const int journals[] = {SQLPOOL_JOURNAL_DELETE, SQLPOOL_JOURNAL_TRUNCATE,
                                   SQLPOOL_JOURNAL_PERSIST, SQLPOOL_JOURNAL_WAL};
    size_t i;
    for (i = 0; i < 8; i++) {
        sqlpool_config config = config_of(i < 4 ? 2 : 0);
        sqlpool *pool;
        config.journal = journals[i % 4];
        config.topology = i % 3 == 0 ? SQLPOOL_TOPOLOGY_GENERAL : SQLPOOL_TOPOLOGY_WRITER_READERS;
        pool = open_with_backup("journal.db", "journal.bak", &config);
        CHECK(pool != NULL);
        CHECK_OK(sqlpool_restore(pool, "journal.bak", NULL, NULL, NULL, &err), &err);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
        CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(9, 'x')", SQLPOOL_NO_ARGS, &err), &err);
        close_pool(pool);
    }
}

TEST(refused_backups_change_nothing) {
    sqlpool_config config = config_of(2);
    sqlpool *pool = open_with_backup("refuse.db", "refuse.bak", &config);
    sqlpool_backup_config older = {.or_older = true};
    sqlpool_backup_info info;
    sqlpool *memory;
    CHECK(pool != NULL);
    CHECK(overwrite("refuse.bak", 4096 + 2000, "x", 1));
    CHECK_RC(sqlpool_restore(pool, "refuse.bak", NULL, NULL, NULL, &err), SQLPOOL_BAD_BACKUP, &err);
    CHECK_RC(sqlpool_restore(pool, "refuse.bak", &older, NULL, NULL, &err), SQLPOOL_BAD_BACKUP,
             &err);
    CHECK_RC(sqlpool_restore(pool, "absent", NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_RC(sqlpool_restore(pool, "absent/x", NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_RC(sqlpool_restore(pool, "", NULL, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_restore(pool, NULL, NULL, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_restore(pool, "refuse.db", NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    CHECK_INT(count_files("refuse.db.replaced"), 0);
    CHECK_INT(count_files("refuse.db-partial"), 0);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(4, 'x')", SQLPOOL_NO_ARGS, &err), &err);
    /* the newest good one of several */
    older.keep = 3;
    CHECK_INT(rename("refuse.bak", "bad"), 0);
    CHECK_OK(sqlpool_backup(pool, "refuse.bak", &older, NULL, NULL, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(rename("refuse.bak", "refuse.bak.2"), 0);
    CHECK_INT(rename("bad", "refuse.bak.1"), 0);
    CHECK_OK(sqlpool_restore(pool, "refuse.bak", &older, NULL, &info, &err), &err);
    CHECK_INT(info.generation, 2);
    CHECK_STR(info.path, "refuse.bak.2");
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 4);
    close_pool(pool);
    memory = open_pool(":memory:", NULL, schema);
    CHECK(memory != NULL);
    CHECK_RC(sqlpool_restore(memory, "refuse.bak.2", NULL, NULL, NULL, &err), SQLPOOL_UNSUPPORTED,
             &err);
    close_pool(memory);
    config.read_only = true;
    pool = open_pool("refuse.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_restore(pool, "refuse.bak.2", NULL, NULL, NULL, &err), SQLITE_READONLY, &err);
    close_pool(pool);
}

/*  A pool of three rows with two backups: of one row, and of two in the newest. */
static sqlpool *open_with_two_backups(const char *path, const char *backup) {
    sqlpool_backup_config keep = {.keep = 3};
    sqlpool_config config = config_of(1);
    sqlpool *pool;
    config.vfs_name = "sim";
    config.disable_upkeep_thread = true;
    pool = open_pool(path, &config, schema);
    if (pool == NULL) return NULL;
    if (sqlpool_backup(pool, backup, &keep, NULL, NULL, &err) != SQLPOOL_OK ||
        sqlpool_exec(pool, "INSERT INTO t VALUES(2, 'second')", SQLPOOL_NO_ARGS, &err) !=
            SQLPOOL_OK ||
        sqlpool_backup(pool, backup, &keep, NULL, NULL, &err) != SQLPOOL_OK ||
        sqlpool_exec(pool, "INSERT INTO t VALUES(3, 'third')", SQLPOOL_NO_ARGS, &err) !=
            SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "%s", err.message);
    }
    return pool;
}
/*  The newest alone is refused, and the one before it is taken with or_older. */
static void check_older_is_taken(sqlpool *pool, const char *backup, int refused_as) {
    sqlpool_backup_config older = {.or_older = true};
    sqlpool_backup_info info;
    CHECK_RC(sqlpool_backup_verify(pool, backup, NULL, NULL, &info, &err), refused_as, &err);
    CHECK_RC(sqlpool_restore(pool, backup, NULL, NULL, &info, &err), refused_as, &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    CHECK_OK(sqlpool_restore(pool, backup, &older, NULL, &info, &err), &err);
    CHECK_INT(info.generation, 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
}

static bool copy_file(const char *from, const char *to) {
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    int c = EOF;
    while (in != NULL && out != NULL && (c = getc(in)) != EOF) (void)putc(c, out);
    if (in != NULL) (void)fclose(in);
    return out != NULL && fclose(out) == 0 && in != NULL;
}

/*  What somebody who wrote into a backup and died has left. */
TEST(a_journal_beside_the_newest_backup_leads_to_an_older_one) {
    sqlpool *pool = open_with_two_backups("hot.db", "hot.bak");
    sqlite3 *db;
    CHECK(pool != NULL);
    CHECK(copy_file("hot.bak", "hot.work"));
    db = raw_open("hot.work");
    CHECK(db != NULL);
    CHECK(raw_exec(db, "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 2; BEGIN; UPDATE t SET v "
                       "= 'x'; CREATE TABLE z(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                       "SELECT i + 1 FROM n LIMIT 200) INSERT INTO z SELECT zeroblob(500) FROM n"));
    CHECK(copy_file("hot.work", "hot.bak"));
    CHECK(copy_file("hot.work-journal", "hot.bak-journal"));
    CHECK(raw_exec(db, "ROLLBACK"));
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    PART(check_older_is_taken(pool, "hot.bak", SQLITE_READONLY_ROLLBACK));
    CHECK_INT(kind_of("hot.bak-journal"), 1); /* a backup is read, not mended */
    close_pool(pool);
}

TEST(a_link_that_leads_nowhere_is_no_backup) {
    sqlpool *pool = open_with_two_backups("nowhere.db", "nowhere.bak");
    CHECK(pool != NULL);
    CHECK_INT(unlink("nowhere.bak"), 0);
    CHECK_INT(symlink("absent", "nowhere.bak"), 0);
    PART(check_older_is_taken(pool, "nowhere.bak", SQLPOOL_TARGET));
    CHECK_INT(kind_of("absent"), 0);
    CHECK_INT(kind_of("nowhere.bak"), 1);
    close_pool(pool);
}

/*  Calls of this kind on a file of this name fail. */
static struct {
    const char *name;
    sim_vfs_fault fault;
} on_file;
static void fail_on_file(void *user, const sim_vfs_event *event) {
    const size_t bytes = event->file != NULL ? strlen(event->file) : 0, end = strlen(on_file.name);
    const bool is_meant = bytes >= end && strcmp(event->file + bytes - end, on_file.name) == 0;
    (void)user;
    if (!is_meant) {
        sim_vfs_heal();
    } else {
        sim_vfs_arm(on_file.fault);
    }
}

TEST(a_newest_backup_that_cannot_be_read_leads_to_an_older_one) {
    static const struct {
        const char *path, *backup;
        int kind, refused_as;
    } cases[] = {{"unread.db", "unread.bak", SIM_VFS_READ, SQLITE_IOERR},
                 {"unopened.db", "unopened.bak", SIM_VFS_OPEN, SQLITE_CANTOPEN}};
    int i;
    for (i = 0; i < LENGTH(cases); i++) {
        sqlpool *pool = open_with_two_backups(cases[i].path, cases[i].backup);
        CHECK(pool != NULL);
        on_file.name = cases[i].backup;
        on_file.fault = (sim_vfs_fault){.at = 1, .kind = cases[i].kind};
        sim_vfs.point_fn = fail_on_file;
        check_older_is_taken(pool, cases[i].backup, cases[i].refused_as);
        sim_vfs.point_fn = NULL;
        sim_vfs_heal();
        if (test_failed_now) return;
        close_pool(pool);
    }
}

static const char *no_memory_for;
static int key_without_memory(void *user, sqlite3 *db) {
    const char *path = sqlite3_db_filename(db, "main");
    (void)user;
    path = path != NULL && no_memory_for != NULL ? strstr(path, no_memory_for) : NULL;
    return path != NULL && strcmp(path, no_memory_for) == 0 ? SQLITE_NOMEM : SQLITE_OK;
}

/*  It may be as good as any. */
TEST(no_memory_for_the_newest_backup_leads_to_no_older_one) {
    sqlpool_backup_config keep = {.keep = 2, .or_older = true};
    sqlpool_config config = config_of(1);
    sqlpool_backup_info info;
    sqlpool *pool;
    int i;
    config.events.key_fn = key_without_memory;
    pool = open_pool("nomem.db", &config, schema);
    CHECK(pool != NULL);
    for (i = 0; i < 2; i++)
        CHECK_OK(sqlpool_backup(pool, "nomem.bak", &keep, NULL, NULL, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
    no_memory_for = "nomem.bak";
    i = sqlpool_restore(pool, "nomem.bak", &keep, NULL, &info, &err);
    no_memory_for = NULL;
    CHECK(i == SQLITE_NOMEM || i == SQLPOOL_NOMEM);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    CHECK_OK(sqlpool_restore(pool, "nomem.bak", &keep, NULL, &info, &err), &err);
    CHECK_INT(info.generation, 0);
    close_pool(pool);
}

/*  A lease that is out on another thread until it is told. */
typedef struct holder {
    sqlpool *pool;
    int is_out, may_end; /* atomic */
} holder;
static void *hold(void *argument) {
    holder *h = argument;
    sqlpool_conn conn;
    sqlpool_error error;
    if (sqlpool_conn_acquire(h->pool, SQLPOOL_READ, &conn, &error) != SQLPOOL_OK) return NULL;
    __atomic_store_n(&h->is_out, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&h->may_end, __ATOMIC_ACQUIRE)) sleep_ms(1);
    (void)sqlpool_conn_release(&conn);
    return NULL;
}

TEST(it_waits_for_leases_and_then_gives_up) {
    sqlpool_config config = config_of(2);
    sqlpool *pool;
    sqlpool_conn conn;
    sqlpool_maintenance options = {.timeout_ms = 300};
    holder h = {0};
    pthread_t thread;
    config.close_timeout_ms = 60000;
    pool = open_with_backup("leases.db", "leases.bak", &config);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_RC(sqlpool_restore(pool, "leases.bak", NULL, &options, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "holds a lease and would wait for itself");
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    h.pool = pool;
    CHECK(start_thread(&thread, hold, &h));
    while (!__atomic_load_n(&h.is_out, __ATOMIC_ACQUIRE)) sleep_ms(1);
    CHECK_RC(sqlpool_restore(pool, "leases.bak", NULL, &options, NULL, &err), SQLPOOL_TIMEOUT,
             &err);
    CHECK_HAS(err.message, "restore.c"); /* who has it */
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(4, 'x')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(count_files("leases.db-partial"), 0);
    __atomic_store_n(&h.may_end, 1, __ATOMIC_RELEASE);
    (void)pthread_join(thread, NULL);
    CHECK_OK(sqlpool_restore(pool, "leases.bak", NULL, NULL, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
}

TEST(another_program_on_the_file_is_respected) {
    sqlpool_config config = config_of(2);
    sqlpool *pool;
    sqlite3 *other;
    config.close_timeout_ms = 100;
    pool = open_with_backup("shared.db", "shared.bak", &config);
    other = raw_open("shared.db");
    CHECK(pool != NULL && other != NULL);
    CHECK_INT(raw_ask(other, "SELECT count(*) FROM t"), 3);
    CHECK_RC(sqlpool_restore(pool, "shared.bak", NULL, NULL, NULL, &err), SQLITE_BUSY, &err);
    CHECK_HAS(err.message, "another process or pool");
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    CHECK(raw_exec(other, "INSERT INTO t VALUES(5, 'theirs')"));
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(6, 'ours')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(count_files("shared.db.replaced"), 0);
    (void)sqlite3_close(other);
    CHECK_OK(sqlpool_restore(pool, "shared.bak", NULL, NULL, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
}

/*  Readers and writers that go on meanwhile: every call is answered from one of the two databases. */
typedef struct crowd {
    sqlpool *pool;
    int stop; /* atomic */
    int failed, strange;
    int64_t calls;
} crowd;
static void *run_crowd(void *argument) {
    crowd *c = argument;
    sqlpool_error error;
    while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
        int64_t n = 0;
        if (sqlpool_query_int64(c->pool, &n, "SELECT count(*) FROM t WHERE id < 4", SQLPOOL_NO_ARGS,
                                &error) != SQLPOOL_OK) {
            printf("# read: %s\n", error.message);
            c->failed++;
        }
        if (n != 1 && n != 3) c->strange++;
        if (sqlpool_exec(c->pool, "INSERT INTO t(v) VALUES('x')", SQLPOOL_NO_ARGS, &error) !=
            SQLPOOL_OK) {
            printf("# write: %s\n", error.message);
            c->failed++;
        }
        c->calls++;
    }
    return NULL;
}

TEST(beside_a_crowd) {
    sqlpool_config config = config_of(3);
    sqlpool *pool;
    crowd c[3];
    pthread_t threads[3];
    int i;
    config.acquire_timeout_ms = 60000;
    pool = open_with_backup("crowd.db", "crowd.bak", &config);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(1000, 'far')", SQLPOOL_NO_ARGS, &err), &err);
    for (i = 0; i < 3; i++) {
        memset(&c[i], 0, sizeof c[i]);
        c[i].pool = pool;
        CHECK(start_thread(&threads[i], run_crowd, &c[i]));
    }
    for (i = 0; i < 10; i++) {
        sqlpool_backup_config keep = {.keep = 1};
        if (sqlpool_restore(pool, "crowd.bak", NULL, NULL, NULL, &err) != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "restore: %s", err.message);
        (void)sqlpool_exec(pool, "INSERT OR IGNORE INTO t VALUES(1000, 'far')", SQLPOOL_NO_ARGS,
                           NULL);
        if (sqlpool_backup(pool, "crowd.2", &keep, NULL, NULL, &err) != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "backup: %s", err.message);
    }
    for (i = 0; i < 3; i++) {
        __atomic_store_n(&c[i].stop, 1, __ATOMIC_RELEASE);
        (void)pthread_join(threads[i], NULL);
        CHECK_INT(c[i].failed, 0);
        CHECK(c[i].calls > 0);
    }
    CHECK(is_sound(pool));
    close_pool(pool);
}

/*---- damaged files ----*/

/*  Closes the pool and writes over pages of the file. */
static sqlpool *open_damaged(const char *path, const char *backup, int64_t at, size_t bytes,
                             sqlpool_config *config) {
    static char noise[65536];
    sqlpool_backup_config keep = {.keep = 1};
    sqlpool *pool;
    size_t i;
    (void)unlink(path);
    pool = open_pool(path, config, schema);
    if (pool == NULL) return NULL;
    if (sqlpool_exec(pool,
                     "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n LIMIT 5000) "
                     "INSERT INTO t SELECT i, printf('%0100d', i) FROM n",
                     SQLPOOL_NO_ARGS, &err) != SQLPOOL_OK ||
        sqlpool_backup(pool, backup, &keep, NULL, NULL, &err) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "%s", err.message);
    close_pool(pool);
    for (i = 0; i < sizeof noise; i++) noise[i] = (char)(0x5a + i * 7);
    if (!overwrite(path, at, noise, bytes)) test_fail(__FILE__, __LINE__, "overwrite");
    pool = NULL;
    if (sqlpool_open(&pool, path, config, &err) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "open: %s", err.message);
    return pool;
}

static int corrupt_lines, innocent_lines;
static void note_line(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)user, (void)level;
    if (item != SQLPOOL_LOG_CORRUPT) return;
    if (strstr(message, "not confirmed") != NULL) {
        innocent_lines++;
    } else {
        corrupt_lines++;
    }
}

TEST(from_a_damaged_database) {
    sqlpool_config config = config_of(2);
    sqlpool_backup_info info;
    sqlpool_stats stats;
    sqlpool *pool;
    int64_t n;
    config.log.write_fn = note_line;
    corrupt_lines = innocent_lines = 0;
    pool = open_damaged("damaged.db", "damaged.bak", 4096 * 4, 4096 * 8, &config);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_query_int64(pool, &n, "SELECT sum(length(v)) FROM t NOT INDEXED",
                                  SQLPOOL_NO_ARGS, &err) &
                  0xff,
              SQLITE_CORRUPT);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.breaker_write, 1); /* nothing more goes into it */
    CHECK_INT(corrupt_lines, 1);
    CHECK_INT(sqlpool_exec(pool, "INSERT INTO t VALUES(99999, 'x')", SQLPOOL_NO_ARGS, &err) & 0xff,
              SQLITE_CORRUPT);
    CHECK_OK(sqlpool_restore(pool, "damaged.bak", NULL, NULL, &info, &err), &err);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.breaker_write, 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 5001);
    CHECK(is_sound(pool));
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(99999, 'x')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(kind_of(info.kept), 1);
    close_pool(pool);
}

TEST(of_a_damaged_database_no_backup_is_made) {
    sqlpool_config config = config_of(2);
    sqlpool_backup_config keep = {.keep = 2};
    sqlpool *pool = open_damaged("unsound.db", "unsound.bak", 4096 * 4, 4096 * 8, &config);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_backup(pool, "unsound.bak", &keep, NULL, NULL, &err), SQLPOOL_BAD_BACKUP,
             &err);
    CHECK_RC(sqlpool_backup(pool, "unsound.new", NULL, NULL, NULL, &err), SQLPOOL_BAD_BACKUP, &err);
    CHECK_INT(count_files("unsound.bak"), 1);
    CHECK_INT(count_files("unsound.new"), 0);
    CHECK_OK(sqlpool_backup_verify(pool, "unsound.bak", NULL, NULL, NULL, &err), &err);
    close_pool(pool);
}

/*  The file is none any more: its log is set aside with it. */
TEST(from_what_is_no_database_any_more) {
    sqlpool_config config = config_of(2);
    sqlpool_backup_info info;
    char log[SQLPOOL_PATH_BYTES + 8];
    sqlpool *pool = open_with_backup("nothing.db", "nothing.bak", &config);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "UPDATE t SET v = 'new' WHERE id = 2", SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK(kind_of("nothing.db-wal")); /* without the first page */
    CHECK(overwrite("nothing.db", 0, "this was a database, once, and a good one", 42));
    CHECK_OK(sqlpool_restore(pool, "nothing.bak", NULL, NULL, &info, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK(is_sound(pool));
    (void)snprintf(log, sizeof log, "%s-wal", info.kept);
    CHECK(kind_of(info.kept) && kind_of(log));
    close_pool(pool);
}

TEST(from_a_file_that_was_deleted) {
    sqlpool_config config = config_of(2);
    sqlpool_backup_info info;
    sqlpool *pool = open_with_backup("deleted.db", "deleted.bak", &config);
    CHECK(pool != NULL);
    CHECK_INT(unlink("deleted.db"), 0);
    CHECK_OK(sqlpool_restore(pool, "deleted.bak", NULL, NULL, &info, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK_STR(info.kept, "");
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(4, 'x')", SQLPOOL_NO_ARGS, &err), &err);
    close_pool(pool);
    pool = open_pool("deleted.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
}

/*  The same code from something else than the file: SQLite says CORRUPT of a function's result. */
static void say_corrupt(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count, (void)values;
    sqlite3_result_error_code(context, SQLITE_CORRUPT);
}
static int add_liar(void *user, const sqlpool_conn *conn) {
    (void)user;
    return add_function(conn, "liar", 0, say_corrupt);
}

TEST(corruption_is_checked_before_it_counts) {
    sqlpool_config config = config_of(2);
    sqlpool_stats stats;
    sqlpool *pool;
    int64_t n;
    config.log.write_fn = note_line;
    config.events.connect_fn = add_liar;
    corrupt_lines = innocent_lines = 0;
    pool = open_pool("liar.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_query_int64(pool, &n, "SELECT liar()", SQLPOOL_NO_ARGS, &err),
              SQLITE_CORRUPT);
    CHECK_INT(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(liar())", SQLPOOL_NO_ARGS, &err),
              SQLITE_CORRUPT);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.breaker_write, 0);
    CHECK_INT(stats.breaker_read, 0);
    CHECK_INT(innocent_lines, 1); /* and is asked once for both */
    CHECK_INT(corrupt_lines, 0);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(5)", SQLPOOL_NO_ARGS, &err), &err);
    close_pool(pool);
}

/*---- salvage ----*/

static const char rich[] =
    "PRAGMA user_version = 42; PRAGMA application_id = 77;"
    "CREATE TABLE parent(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);"
    "CREATE TABLE child(\"odd \"\"name\" INTEGER REFERENCES parent(id) ON DELETE CASCADE, "
    "rowid TEXT, v CHECK(v <> 13), twice GENERATED ALWAYS AS (v * 2));"
    "CREATE TABLE pair(a, b, c, PRIMARY KEY(a, b)) WITHOUT ROWID;"
    "CREATE TABLE \"it's; a\nname\"(x);"
    "CREATE VIEW sums AS SELECT sum(v) AS s FROM child;"
    "CREATE UNIQUE INDEX pair_c ON pair(c);"
    "CREATE TRIGGER note AFTER INSERT ON parent BEGIN DELETE FROM child; END;"
    "CREATE VIRTUAL TABLE words USING fts5(body);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) "
    "INSERT INTO child(\"odd \"\"name\", rowid, v) SELECT NULL, 'r' || i, 100 + i FROM n;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) "
    "INSERT INTO pair SELECT i, 'b' || i, i * 3 FROM n;"
    "INSERT INTO \"it's; a\nname\" VALUES('x'), (NULL), (1.5), (x'00ff');"
    "INSERT INTO words VALUES('the quick fox'), ('jumps over')";

TEST(all_of_a_sound_database_is_salvaged) {
    sqlpool_config config = config_of(2);
    sqlpool *pool = open_pool("rich.db", &config, rich), *copy;
    sqlpool_salvage_info info;
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_exec(pool, "DROP TRIGGER note", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO parent VALUES(500, 'p')", SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK_OK(sqlpool_exec(pool,
                          "CREATE TRIGGER note AFTER INSERT ON parent BEGIN DELETE FROM child; END",
                          SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK_OK(sqlpool_salvage(pool, NULL, "rich.new", NULL, NULL, &info, &err), &err);
    CHECK_STR(info.first_problem, "");
    CHECK_INT(info.tables_damaged, 0);
    CHECK_INT(info.tables_lost, 0);
    CHECK_INT(info.indexes_lost, 0);
    copy = open_pool("rich.new", &config, NULL);
    CHECK(copy != NULL);
    {
        static const char *const questions[] = {
            "PRAGMA user_version",
            "PRAGMA application_id",
            "SELECT count(*) FROM sqlite_master",
            "SELECT count(*) + sum(v) + sum(twice) FROM child",
            "SELECT sum(c) FROM pair",
            "SELECT count(*) FROM \"it's; a\nname\" WHERE x IS NOT NULL",
            "SELECT s FROM sums",
            "SELECT count(*) FROM words WHERE words MATCH 'fox'",
            "SELECT seq FROM sqlite_sequence WHERE name = 'parent'",
            "SELECT count(*) FROM child WHERE rowid = 'r17'"};
        size_t i;
        for (i = 0; i < sizeof questions / sizeof *questions; i++)
            CHECK_INT(ask(copy, questions[i]), ask(pool, questions[i]));
    }
    CHECK(is_sound(copy));
    close_pool(copy);
    CHECK_RC(sqlpool_salvage(pool, NULL, "rich.new", NULL, NULL, &info, &err), SQLPOOL_TARGET,
             &err);
    CHECK_RC(sqlpool_salvage(pool, "", "rich.2", NULL, NULL, &info, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_salvage(pool, "absent", "rich.2", NULL, NULL, &info, &err), SQLITE_CANTOPEN,
             &err);
    CHECK_INT(kind_of("absent"), 0);
    CHECK_INT(count_files("rich.2"), 0);
    close_pool(pool);
}

TEST(around_pages_that_cannot_be_read) {
    sqlpool_config config = config_of(2);
    sqlpool_salvage_info info;
    sqlpool_backup_info kept;
    sqlpool *pool = open_damaged("holes.db", "holes.bak", 4096 * 20, 4096 * 3, &config);
    int64_t n;
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_query_int64(pool, &n, "SELECT sum(length(v)) FROM t NOT INDEXED",
                                  SQLPOOL_NO_ARGS, &err) &
                  0xff,
              SQLITE_CORRUPT);
    CHECK_OK(sqlpool_salvage(pool, NULL, "holes.new", NULL, NULL, &info, &err), &err);
    CHECK_INT(info.tables_damaged, 1);
    CHECK(info.rows > 5001 - 3 * 40 && info.rows < 5001); /* some 38 rows to a page */
    CHECK(info.first_problem[0] != '\0');
    CHECK_OK(sqlpool_restore(pool, "holes.new", NULL, NULL, &kept, &err), &err);
    CHECK(is_sound(pool));
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), info.rows);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t WHERE id > 20 AND v <> printf('%0100d', id)"), 0);
    CHECK_INT(ask(pool, "SELECT max(id) FROM t"), 5009);
    /* and again from the file that was set aside */
    CHECK_OK(sqlpool_salvage(pool, kept.kept, "holes.2", NULL, NULL, &info, &err), &err);
    CHECK_INT(info.rows, ask(pool, "SELECT count(*) FROM t"));
    close_pool(pool);
}

TEST(of_what_is_no_database) {
    sqlpool_config config = config_of(2);
    sqlpool_salvage_info info;
    sqlpool *pool = open_pool("none.db", &config, schema);
    FILE *file = fopen("none.txt", "w");
    int i;
    CHECK(pool != NULL && file != NULL);
    for (i = 0; i < 1000; i++) (void)fputs("a text, and nothing else but a text\n", file);
    CHECK_INT(fclose(file), 0);
    CHECK_RC(sqlpool_salvage(pool, "none.txt", "none.new", NULL, NULL, &info, &err),
             SQLPOOL_BAD_BACKUP, &err);
    CHECK_INT(count_files("none.new"), 0);
    close_pool(pool);
}

TEST(salvage_runs_nothing_but_definitions) {
    static const char *const hostile[] = {
        "COMMIT; ATTACH ''elsewhere.db'' AS e; DELETE FROM e.t; BEGIN",
        "ATTACH ''elsewhere.db'' AS e"};
    sqlpool_config config = config_of(1);
    sqlpool *pool = open_pool("hostile_host.db", &config, schema);
    sqlpool_salvage_info info;
    sqlite3 *db = raw_open("elsewhere.db");
    size_t i;
    CHECK(pool != NULL && db != NULL);
    CHECK(raw_exec(db, "CREATE TABLE t(x); INSERT INTO t VALUES(1), (2)"));
    (void)sqlite3_close(db);
    for (i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        char sql[300];
        (void)unlink("hostile.db");
        (void)unlink("hostile.new");
        db = raw_open("hostile.db");
        CHECK(db != NULL);
        (void)snprintf(
            sql, sizeof sql,
            "CREATE TABLE a(x); INSERT INTO a VALUES(1); CREATE TABLE b(x); PRAGMA "
            "writable_schema = 1; UPDATE sqlite_master SET sql = '%s%s' WHERE name = 'b'",
            i == 0 ? "CREATE TABLE b(x); " : "", hostile[i]);
        CHECK(raw_exec(db, sql));
        (void)sqlite3_close(db);
        CHECK_OK(sqlpool_salvage(pool, "hostile.db", "hostile.new", NULL, NULL, &info, &err), &err);
        CHECK_INT(info.tables, 1);
        CHECK_INT(info.tables_lost, 1);
        CHECK_INT(ask_file("hostile.new", "SELECT count(*) FROM a"), 1);
        CHECK_INT(ask_file("elsewhere.db", "SELECT count(*) FROM t"), 2);
    }
    close_pool(pool);
}

TEST(a_definition_of_another_name) {
    sqlpool_config config = config_of(1);
    sqlpool *pool = open_pool("renamed_host.db", &config, schema);
    sqlpool_salvage_info info;
    sqlite3 *db = raw_open("renamed.db");
    CHECK(pool != NULL && db != NULL);
    CHECK(raw_exec(db,
                   "CREATE TABLE a(x); INSERT INTO a VALUES(1); CREATE TABLE b(x); INSERT INTO b "
                   "VALUES(1); CREATE TABLE c(x); INSERT INTO c VALUES(1); PRAGMA writable_schema "
                   "= 1; UPDATE sqlite_master SET name = 'bb' WHERE name = 'b'"));
    (void)sqlite3_close(db);
    CHECK_OK(sqlpool_salvage(pool, "renamed.db", "renamed.new", NULL, NULL, &info, &err), &err);
    CHECK_INT(ask_file("renamed.new", "SELECT count(*) FROM a"), 1);
    CHECK_INT(ask_file("renamed.new", "SELECT count(*) FROM c"), 1); /* the one behind it */
    CHECK(info.tables_damaged + info.tables_lost == 1);
    close_pool(pool);
}

TEST(of_another_page_size) {
    sqlpool_config config = config_of(2);
    sqlpool *pool = open_pool("pages.db", &config, schema);
    sqlpool_stats stats;
    struct stat status;
    sqlite3 *db = raw_open("pages.512");
    CHECK(pool != NULL && db != NULL);
    CHECK(raw_exec(db, "PRAGMA page_size = 512; CREATE TABLE t(v); INSERT INTO t VALUES(1)"));
    (void)sqlite3_close(db);
    CHECK_OK(sqlpool_restore(pool, "pages.512", NULL, NULL, NULL, &err), &err);
    CHECK_OK(
        sqlpool_exec(pool,
                     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200) "
                     "INSERT INTO t SELECT randomblob(400) FROM n",
                     SQLPOOL_NO_ARGS, &err),
        &err);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stat("pages.db-wal", &status), 0);
    CHECK(stats.wal_frames > 100);
    CHECK_INT(stats.wal_bytes, stats.wal_frames * 512); /* what the budgets are compared with */
    CHECK(stats.wal_bytes < status.st_size);
    close_pool(pool);
}

TEST(a_link_to_the_database_is_no_backup) {
    sqlpool_config config = config_of(2);
    sqlpool *pool = open_pool("itself.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_INT(symlink("itself.db", "itself.link"), 0);
    CHECK_RC(sqlpool_restore(pool, "itself.link", NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_INT(count_files("itself.db.replaced"), 0);
    close_pool(pool);
}

TEST(rows_that_break_a_check_are_salvaged) {
    sqlpool_config config = config_of(1);
    sqlpool_salvage_info info;
    sqlpool *pool = open_pool("check_host.db", &config, schema);
    sqlite3 *db = raw_open("check.db");
    CHECK(pool != NULL && db != NULL);
    CHECK(raw_exec(db, "CREATE TABLE t(a CHECK(a < 5)); INSERT INTO t VALUES(1); PRAGMA "
                       "ignore_check_constraints = 1; INSERT INTO t VALUES(9)"));
    (void)sqlite3_close(db);
    CHECK_OK(sqlpool_salvage(pool, "check.db", "check.new", NULL, NULL, &info, &err), &err);
    CHECK(ask_file("check.new", "SELECT count(*) FROM t WHERE a = 1") == 1);
    CHECK_INT(ask_file("check.new", "SELECT count(*) FROM t"), info.rows);
    close_pool(pool);
}

typedef struct cancelled {
    sqlpool *pool;
    sqlpool_token token;
    int rc, is_done;
} cancelled;
static void *restore_until_cancelled(void *user) {
    cancelled *c = (cancelled *)user;
    sqlpool_maintenance options = {.token = &c->token};
    c->rc = sqlpool_restore(c->pool, "token.bak", NULL, &options, NULL, NULL);
    __atomic_store_n(&c->is_done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

TEST(a_token_ends_the_wait_for_leases) {
    sqlpool_config config = config_of(2);
    sqlpool_conn conn;
    pthread_t thread;
    cancelled c;
    bool was_in_time;
    int i;
    config.close_timeout_ms = 20000;
    memset(&c, 0, sizeof c);
    c.pool = open_with_backup("token.db", "token.bak", &config);
    CHECK(c.pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(c.pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(pthread_create(&thread, NULL, restore_until_cancelled, &c), 0);
    sleep_ms(200); /* it waits for the lease */
    CHECK_INT(sqlpool_cancel(c.pool, &c.token), SQLPOOL_OK);
    for (i = 0; i < 5000 && __atomic_load_n(&c.is_done, __ATOMIC_SEQ_CST) == 0; i++) sleep_ms(1);
    was_in_time = __atomic_load_n(&c.is_done, __ATOMIC_SEQ_CST) != 0;
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(was_in_time);
    CHECK_INT(c.rc, SQLPOOL_CANCELLED);
    close_pool(c.pool);
}

int main(void) {
    if (sim_vfs_install() != SQLITE_OK) return 2;
    RUN(what_was_then_is_now);
    RUN(with_other_journals_and_one_connection);
    RUN(refused_backups_change_nothing);
    RUN(a_journal_beside_the_newest_backup_leads_to_an_older_one);
    RUN(a_link_that_leads_nowhere_is_no_backup);
    RUN(a_newest_backup_that_cannot_be_read_leads_to_an_older_one);
    RUN(no_memory_for_the_newest_backup_leads_to_no_older_one);
    RUN(it_waits_for_leases_and_then_gives_up);
    RUN(another_program_on_the_file_is_respected);
    RUN(beside_a_crowd);
    RUN(from_a_damaged_database);
    RUN(of_a_damaged_database_no_backup_is_made);
    RUN(from_what_is_no_database_any_more);
    RUN(from_a_file_that_was_deleted);
    RUN(corruption_is_checked_before_it_counts);
    RUN(all_of_a_sound_database_is_salvaged);
    RUN(around_pages_that_cannot_be_read);
    RUN(of_what_is_no_database);
    RUN(salvage_runs_nothing_but_definitions);
    RUN(a_definition_of_another_name);
    RUN(of_another_page_size);
    RUN(a_link_to_the_database_is_no_backup);
    RUN(rows_that_break_a_check_are_salvaged);
    RUN(a_token_ends_the_wait_for_leases);
    return test_end();
}
