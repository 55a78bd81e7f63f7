/*  backup.c - backup, verification and rotation: what comes out, what is refused, what is left.
    SPDX-License-Identifier: MIT OR Unlicense */
#define _POSIX_C_SOURCE 200809L
#include "files.h"

static sqlpool_error err;

/*---- what the tests share ----*/

static const char schema[] = "CREATE TABLE a(id INTEGER PRIMARY KEY, v BLOB);"
                             "CREATE TABLE b(id INTEGER PRIMARY KEY, n INTEGER);"
                             "CREATE INDEX b_n ON b(n);"
                             "INSERT INTO b VALUES(1, 0), (2, 0)";

static sqlpool *open_filled(const char *path, int rows) {
    sqlpool_config config = config_of(3);
    sqlpool *pool;
    (void)unlink(path);
    pool = open_pool(path, &config, schema);
    if (pool == NULL) return NULL;
    if (sqlpool_exec(
            pool,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) INSERT "
            "INTO a SELECT i, randomblob(700) FROM n",
            SQLPOOL_ARGS(rows), &err) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "fill: %s", err.message);
    return pool;
}

static int kind_of(const char *path) {
    struct stat status;
    if (lstat(path, &status) != 0) return 0;
    return S_ISREG(status.st_mode) ? 1 : 2;
}
static bool write_file(const char *path, const void *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    bool is_ok = file != NULL && fwrite(data, 1, bytes, file) == bytes;
    return file != NULL && fclose(file) == 0 && is_ok;
}
/*  Changes one byte; files here belong to no connection. */
static bool flip(const char *path, int64_t at) {
    const int file = open(path, O_RDWR);
    unsigned char byte = 0;
    bool is_ok = file >= 0 && pread(file, &byte, 1, (off_t)at) == 1;
    byte ^= 0x40;
    is_ok = is_ok && pwrite(file, &byte, 1, (off_t)at) == 1;
    return file >= 0 && close(file) == 0 && is_ok;
}

static bool is_sound(const char *path) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    bool is_ok =
        sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW &&
        strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return is_ok;
}

/*---- a good backup ----*/

TEST(a_backup_is_the_database_in_one_file) {
    sqlpool *pool = open_filled("one.db", 500);
    sqlpool_backup_info info, again;
    struct stat status;
    const int64_t before = (int64_t)time(NULL);
    CHECK(pool != NULL);
    (void)umask(0);
    CHECK_OK(sqlpool_backup(pool, "one.bak", NULL, NULL, &info, &err), &err);
    CHECK(stat("one.bak", &status) == 0);
    CHECK_INT(status.st_mode & 0777, 0600);
    CHECK(is_sound("one.bak"));
    CHECK_INT(ask_file("one.bak", "SELECT count(*) FROM a"), 500);
    CHECK_INT(count_files("one.bak"),
              1); /* no partial, no log, no journal, even after it was read */
    CHECK_INT(info.restarts, 0);
    CHECK(info.has_metadata);
    CHECK_INT(info.page_bytes, 4096);
    CHECK_INT(info.pages, ask_file("one.bak", "PRAGMA page_count"));
    CHECK_INT(info.bytes, status.st_size);
    CHECK_INT(info.bytes, (info.pages + 1) * 4096);
    CHECK_INT(info.sqlite_version, sqlite3_libversion_number());
    CHECK(info.time_s >= before && info.time_s <= (int64_t)time(NULL));
    CHECK_STR(info.path, "one.bak");
    CHECK_OK(sqlpool_backup_verify(pool, "one.bak", NULL, NULL, &again, &err), &err);
    CHECK(info.checksum != 0 && again.checksum == info.checksum);
    CHECK_INT(again.time_s, info.time_s);
    CHECK_INT(again.pages, info.pages);
    CHECK_INT(again.sqlite_version, info.sqlite_version);
    close_pool(pool);
}

/*  Two tables change together, again and again: the copy has them equal. */
typedef struct mover {
    sqlpool *pool;
    int stop; /* atomic */
    int64_t moves;
    int failed;
} mover;
static int move_both(sqlpool_conn *conn, void *user, int attempt) {
    int rc =
        sqlpool_conn_exec(conn, "UPDATE b SET n = n + 1 WHERE id = 1", SQLPOOL_NO_ARGS, NULL, NULL);
    (void)user, (void)attempt;
    if (rc == SQLPOOL_OK)
        rc = sqlpool_conn_exec(
            conn, "UPDATE a SET v = randomblob(700) WHERE id = 1 + abs(random()) % 4000",
            SQLPOOL_NO_ARGS, NULL, NULL);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_conn_exec(conn, "UPDATE b SET n = n + 1 WHERE id = 2", SQLPOOL_NO_ARGS, NULL,
                               NULL);
    return rc;
}
static void *run_mover(void *argument) {
    mover *m = argument;
    sqlpool_error error;
    while (!__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE)) {
        if (sqlpool_transaction(m->pool, SQLPOOL_WRITE, move_both, NULL, &error) != SQLPOOL_OK)
            m->failed++;
        m->moves++;
    }
    return NULL;
}

TEST(beside_a_writer_it_is_one_committed_state) {
    sqlpool *pool = open_filled("beside.db", 4000);
    mover m = {.pool = pool};
    sqlpool_backup_config config = {.keep = 1, .step_pages = 8};
    sqlpool_maintenance options = {.pause_ms = 1};
    pthread_t thread;
    int i;
    CHECK(pool != NULL);
    CHECK(start_thread(&thread, run_mover, &m));
    for (i = 0; i < 3; i++) {
        sqlpool_backup_info info;
        const int64_t least = ask(pool, "SELECT n FROM b WHERE id = 1");
        int64_t n;
        CHECK_OK(sqlpool_backup(pool, "beside.bak", &config, &options, &info, &err), &err);
        CHECK_INT(info.restarts, 0);
        CHECK(is_sound("beside.bak"));
        n = ask_file("beside.bak", "SELECT n FROM b WHERE id = 1");
        CHECK_INT(ask_file("beside.bak", "SELECT n FROM b WHERE id = 2"), n);
        CHECK(n >= least && n <= ask(pool, "SELECT n FROM b WHERE id = 1"));
        CHECK_INT(ask_file("beside.bak", "SELECT count(*) FROM a"), 4000);
    }
    __atomic_store_n(&m.stop, 1, __ATOMIC_RELEASE);
    (void)pthread_join(thread, NULL);
    CHECK_INT(m.failed, 0);
    CHECK(m.moves > 10);
    close_pool(pool);
}

TEST(of_every_kind_of_database) {
    static const int journals[] = {SQLPOOL_JOURNAL_WAL, SQLPOOL_JOURNAL_DELETE,
                                   SQLPOOL_JOURNAL_PERSIST};
    sqlpool_backup_config config = {.keep = 1};
    sqlpool_backup_info info;
    sqlpool *pool;
    size_t i;
    for (i = 0; i < sizeof journals / sizeof *journals; i++) {
        sqlpool_config c = config_of(2);
        char path[32];
        c.journal = journals[i];
        (void)snprintf(path, sizeof path, "kind%d.db", (int)i);
        pool = open_pool(path, &c,
                         "PRAGMA user_version = 7; CREATE TABLE t(v); INSERT INTO t VALUES('x')");
        CHECK(pool != NULL);
        CHECK_OK(sqlpool_backup(pool, "kind.bak", &config, NULL, &info, &err), &err);
        CHECK_INT(ask_file("kind.bak", "SELECT count(*) FROM t"), 1);
        CHECK_INT(ask_file("kind.bak", "PRAGMA user_version"), 7);
        close_pool(pool);
    }
    pool = open_pool(":memory:", NULL, "CREATE TABLE t(v); INSERT INTO t VALUES(1), (2)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_backup(pool, "kind.bak", &config, NULL, &info, &err), &err);
    CHECK_INT(ask_file("kind.bak", "SELECT count(*) FROM t"), 2);
    close_pool(pool);
    { /* another page size */
        sqlite3 *db = raw_open("small.db");
        CHECK(db != NULL);
        CHECK(raw_exec(
            db,
            "PRAGMA page_size = 512; CREATE TABLE t(v); INSERT INTO t VALUES(randomblob(5000))"));
        (void)sqlite3_close(db);
        pool = open_pool("small.db", NULL, NULL);
        CHECK(pool != NULL);
        CHECK_OK(sqlpool_backup(pool, "kind.bak", &config, NULL, &info, &err), &err);
        CHECK_INT(info.page_bytes, 512);
        CHECK(is_sound("kind.bak"));
        CHECK_OK(sqlpool_backup_verify(pool, "kind.bak", NULL, NULL, &info, &err), &err);
        close_pool(pool);
    }
    pool = open_pool("nothing.db", NULL, NULL); /* no table at all */
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_backup(pool, "kind.bak", &config, NULL, &info, &err), &err);
    CHECK_INT(ask_file("kind.bak", "SELECT count(*) FROM sqlite_master"), 0);
    close_pool(pool);
}

/*---- to a stream ----*/

typedef struct sink {
    FILE *file;
    int64_t bytes, stop_at;
} sink;
static int take(void *user, const void *data, size_t bytes) {
    sink *s = user;
    if (s->stop_at > 0 && s->bytes + (int64_t)bytes > s->stop_at) return 4711;
    s->bytes += (int64_t)bytes;
    return fwrite(data, 1, bytes, s->file) == bytes ? 0 : 1;
}

/*  Each that ends well is told, with what it came to and where that is. */
static int take_none(void *user, const void *data, size_t size) {
    (void)user, (void)data, (void)size;
    return 0;
}
TEST(what_was_done_is_told) {
    sqlpool_config config = config_of(1);
    sqlpool_backup_config stream;
    sqlpool_salvage_info salvaged;
    sqlpool *pool;
    log_ear h;
    memset(&h, 0, sizeof h);
    h.item = SQLPOOL_LOG_BACKUP;
    config.log.write_fn = log_hear;
    config.log.user = &h;
    pool = open_pool("said.db", &config, schema);
    if (pool == NULL) return;
    CHECK_OK(sqlpool_backup(pool, "said.copy", NULL, NULL, NULL, &err), &err);
    CHECK_INT(h.lines, 1);
    CHECK_INT(h.level, SQLPOOL_LEVEL_INFO);
    CHECK_HAS(h.last, " 4 pages of 4096 bytes are in \"");
    CHECK_HAS(h.last, "said.copy\"");
    memset(&stream, 0, sizeof stream);
    stream.write_fn = take_none;
    CHECK_OK(sqlpool_backup(pool, NULL, &stream, NULL, NULL, &err), &err);
    CHECK_INT(h.lines, 2);
    CHECK_HAS(h.last, "are in \"a stream\"");
    CHECK_OK(sqlpool_salvage(pool, NULL, "said.new", NULL, NULL, &salvaged, &err), &err);
    CHECK_INT(h.lines, 3);
    CHECK_INT(h.level, SQLPOOL_LEVEL_WARNING);
    CHECK_HAS(h.last, " 2 rows of 2 tables were salvaged to \"said.new\"");
    stream.write_fn = NULL;
    stream.keep = 2; /* is of backups: salvage replaces no file */
    CHECK(sqlpool_salvage(pool, NULL, "said.new", &stream, NULL, &salvaged, &err) == SQLPOOL_TARGET);
    CHECK_INT(access("said.new.1", F_OK), -1);
    CHECK_INT(h.lines, 3);
    CHECK_RC(sqlpool_backup(pool, "no folder/copy", NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_INT(h.lines, 3);
    CHECK_OK(sqlpool_restore(pool, "said.copy", NULL, NULL, NULL, &err), &err);
    CHECK_INT(h.lines, 4);
    CHECK_INT(h.level, SQLPOOL_LEVEL_WARNING);
    CHECK_HAS(h.last, " the database was replaced by \"");
    CHECK_HAS(h.last, "said.copy\" and is kept as \"");
    close_pool(pool);
}

TEST(a_stream_is_a_complete_backup) {
    sqlpool *pool = open_filled("stream.db", 300);
    sqlpool_backup_config config = {0};
    sqlpool_backup_info info, again;
    sink s = {fopen("stream.out", "wb"), 0, 0};
    CHECK(pool != NULL && s.file != NULL);
    config.write_fn = take;
    config.user = &s;
    CHECK_OK(sqlpool_backup(pool, NULL, &config, NULL, &info, &err), &err);
    CHECK_INT(fclose(s.file), 0);
    CHECK_INT(s.bytes, info.bytes);
    CHECK_STR(info.path, "");
    CHECK(is_sound("stream.out"));
    CHECK_OK(sqlpool_backup_verify(pool, "stream.out", NULL, NULL, &again, &err), &err);
    CHECK(again.checksum == info.checksum);
    CHECK_INT(count_files("-partial"), 0);
    s.file = fopen("stream.out", "wb");
    s.bytes = 0;
    s.stop_at = 100000;
    CHECK(s.file != NULL);
    CHECK_RC(sqlpool_backup(pool, "elsewhere", &config, NULL, &info, &err), 4711, &err);
    CHECK_HAS(err.message, "write_fn");
    CHECK_INT(fclose(s.file), 0);
    CHECK_INT(count_files("elsewhere"), 0);
    CHECK_INT(count_files("-partial"), 0);
    close_pool(pool);
}

/*---- generations ----*/

TEST(as_many_are_kept_as_was_said) {
    sqlpool *pool = open_filled("keep.db", 10);
    sqlpool_backup_config config = {.keep = 3};
    int i;
    CHECK(pool != NULL);
    for (i = 1; i <= 5; i++) {
        CHECK_OK(sqlpool_exec(pool, "UPDATE b SET n = ?", SQLPOOL_ARGS(i), &err), &err);
        CHECK_OK(sqlpool_backup(pool, "keep.bak", &config, NULL, NULL, &err), &err);
    }
    CHECK_INT(count_files("keep.bak"), 3);
    CHECK_INT(ask_file("keep.bak", "SELECT n FROM b"), 5);
    CHECK_INT(ask_file("keep.bak.1", "SELECT n FROM b"), 4);
    CHECK_INT(ask_file("keep.bak.2", "SELECT n FROM b"), 3);
    CHECK_INT(unlink("keep.bak.1"), 0); /* the gap is filled, the rest stays */
    CHECK_OK(sqlpool_backup(pool, "keep.bak", &config, NULL, NULL, &err), &err);
    CHECK_INT(ask_file("keep.bak.1", "SELECT n FROM b"), 5);
    CHECK_INT(ask_file("keep.bak.2", "SELECT n FROM b"), 3);
    config.keep = 2;
    CHECK_OK(sqlpool_exec(pool, "UPDATE b SET n = 6", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_backup(pool, "keep.bak", &config, NULL, NULL, &err), &err);
    CHECK_INT(ask_file("keep.bak", "SELECT n FROM b"), 6);
    CHECK_INT(ask_file("keep.bak.1", "SELECT n FROM b"), 5);
    CHECK_INT(unlink("keep.bak.2"), 0); /* beyond those that are kept: nobody looks at it */
    CHECK(write_file("keep.bak.2", "foreign", 7));
    CHECK_OK(sqlpool_backup(pool, "keep.bak", &config, NULL, NULL, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "UPDATE b SET n = 6", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(unlink("keep.bak.2"), 0);
    config.keep = 1;
    CHECK_OK(sqlpool_exec(pool, "UPDATE b SET n = 7", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_backup(pool, "keep.bak", &config, NULL, NULL, &err), &err);
    CHECK_INT(ask_file("keep.bak", "SELECT n FROM b"), 7);
    CHECK_INT(ask_file("keep.bak.1", "SELECT n FROM b"), 6);
    /* a kill between the second name for the target and the new target */
    config.keep = 3;
    CHECK(unlink("keep.bak.1") == 0 && link("keep.bak", "keep.bak.1") == 0);
    CHECK_OK(sqlpool_exec(pool, "UPDATE b SET n = 8", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_backup(pool, "keep.bak", &config, NULL, NULL, &err), &err);
    CHECK_INT(ask_file("keep.bak", "SELECT n FROM b"), 8);
    CHECK_INT(ask_file("keep.bak.1", "SELECT n FROM b"), 7);
    CHECK(access("keep.bak.2", F_OK) != 0);
    close_pool(pool);
}

/*---- targets that are none ----*/

TEST(targets_that_are_refused) {
    sqlpool *pool = open_filled("source.db", 50);
    sqlpool_backup_config keep = {.keep = 2};
    char cwd[512], absolute[600];
    static const char text[] = "not a backup at all, only a text that somebody wants to keep";
    CHECK(pool != NULL && getcwd(cwd, sizeof cwd) != NULL);
    CHECK_RC(sqlpool_backup(pool, NULL, NULL, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_backup(pool, "", NULL, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_backup(pool, "no/such/folder/x.bak", NULL, NULL, NULL, &err), SQLPOOL_TARGET,
             &err);
    CHECK_HAS(err.message, "folder");
    CHECK(write_file("text", text, sizeof text));
    CHECK_RC(sqlpool_backup(pool, "text", NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_HAS(err.message, "exists");
    CHECK_RC(sqlpool_backup(pool, "text", &keep, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_HAS(err.message, "no backup of this library");
    CHECK_INT(file_bytes("text"), sizeof text);
    CHECK_RC(sqlpool_backup(pool, "text/x.bak", NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    /* a link, to nothing, to a file and to a backup */
    CHECK_INT(symlink("nowhere", "link"), 0);
    CHECK_RC(sqlpool_backup(pool, "link", &keep, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_HAS(err.message, "link");
    CHECK_INT(kind_of("nowhere"), 0);
    CHECK_INT(symlink("nowhere", "other-partial"), 0);
    CHECK_RC(sqlpool_backup(pool, "other", &keep, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_INT(kind_of("nowhere"), 0);
    CHECK_OK(sqlpool_backup(pool, "good.bak", NULL, NULL, NULL, &err), &err);
    CHECK(unlink("link") == 0 && symlink("good.bak", "link") == 0);
    CHECK_RC(sqlpool_backup(pool, "link", &keep, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_RC(sqlpool_backup(pool, "good.bak", NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_INT(symlink("text", "good.bak.1"), 0); /* nor as a generation */
    CHECK_RC(sqlpool_backup(pool, "good.bak", &keep, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_INT(unlink("good.bak.1"), 0);
    CHECK_RC(sqlpool_backup_verify(pool, "nothing-there", NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_HAS(err.message, "\"nothing-there\" is not there");
    CHECK_RC(sqlpool_backup_verify(pool, cwd, NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_HAS(err.message, "a folder or a device");
    CHECK_RC(sqlpool_backup_verify(pool, "source.db", NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_HAS(err.message, "is the database itself");
    /* the database itself, by any name */
    (void)snprintf(absolute, sizeof absolute, "%s/./source.db", cwd);
    CHECK_INT(link("source.db", "second-name"), 0);
    CHECK_RC(sqlpool_backup(pool, "source.db", &keep, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_HAS(err.message, "the database itself");
    CHECK_RC(sqlpool_backup(pool, absolute, &keep, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_HAS(err.message, "the database itself");
    CHECK_RC(sqlpool_backup(pool, "second-name", &keep, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_HAS(err.message, "the database itself");
    CHECK_INT(unlink("second-name"), 0);
    /* folders and devices */
    CHECK_INT(mkdir("folder", 0700), 0);
    CHECK_RC(sqlpool_backup(pool, "folder", &keep, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_RC(sqlpool_backup(pool, "folder/", &keep, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_RC(sqlpool_backup(pool, "/dev/full", &keep, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    /* a database that is used, or was left with its log */
    CHECK(write_file("used-wal", text, sizeof text));
    CHECK_RC(sqlpool_backup(pool, "used", &keep, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_HAS(err.message, "log");
    CHECK_INT(count_files("-partial"), 1); /* the link of above */
    CHECK_INT(ask(pool, "SELECT count(*) FROM a"), 50);
    close_pool(pool);
}

TEST(a_folder_that_may_not_be_written) {
    sqlpool *pool = open_filled("rights.db", 5);
    CHECK(pool != NULL);
    CHECK_INT(mkdir("closed", 0500), 0);
    if (geteuid() == 0) { /* whom no rights stop */
        const int rc = sqlpool_backup(pool, "/proc/sqlpool.bak", NULL, NULL, NULL, &err);
        CHECK(rc == SQLPOOL_TARGET || rc == SQLITE_READONLY);
    } else {
        CHECK_RC(sqlpool_backup(pool, "closed/x.bak", NULL, NULL, NULL, &err), SQLITE_READONLY,
                 &err);
    }
    close_pool(pool);
}

TEST(names_of_every_kind) {
    static const char *const names[] = {"it's \"quoted\".bak",
                                        "two\nlines; DROP TABLE a;--",
                                        "Gr\xc3\xbc\xc3\x9f\xe2\x82\xac.bak",
                                        "file:uri.bak?mode=memory",
                                        "%s%n%d",
                                        " ",
                                        "-rf",
                                        "a.bak-journal"};
    sqlpool *pool = open_filled("names.db", 5);
    sqlpool_backup_config keep = {.keep = 2};
    char too_long[400];
    size_t i;
    CHECK(pool != NULL);
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        sqlpool_backup_info info;
        CHECK_OK(sqlpool_backup(pool, names[i], NULL, NULL, NULL, &err), &err);
        CHECK_OK(sqlpool_backup(pool, names[i], &keep, NULL, &info, &err), &err);
        CHECK_STR(info.path, names[i]);
        CHECK_INT(kind_of(names[i]), 1);
        CHECK_OK(sqlpool_backup_verify(pool, names[i], NULL, NULL, NULL, &err), &err);
        CHECK_OK(sqlpool_restore(pool, names[i], NULL, NULL, &info, &err), &err);
    }
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    CHECK_RC(sqlpool_backup(pool, too_long, NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    close_pool(pool);
}

/*---- ends before the end ----*/

typedef struct watcher {
    int calls, stop_at, stop_with;
    double last;
    bool is_falling, has_ended;
    sqlpool *pool;
    sqlpool_token *token;
} watcher;
static int watch(void *user, const sqlpool_progress *progress) {
    watcher *w = user;
    w->calls++;
    w->is_falling |= progress->fraction < w->last;
    w->last = progress->fraction;
    w->has_ended |= progress->fraction >= 1;
    if (w->calls != w->stop_at) return 0;
    if (w->token != NULL) (void)sqlpool_cancel(w->pool, w->token);
    return w->stop_with;
}

TEST(stopped_at_any_point_it_leaves_nothing) {
    sqlpool *pool = open_filled("stop.db", 400);
    sqlpool_backup_config config = {.step_pages = 5};
    int all = 0, i;
    CHECK(pool != NULL);
    for (i = 0; all == 0 || i <= all; i++) {
        sqlpool_token token = {0};
        watcher w = {.stop_at = i, .stop_with = i % 2 != 0 ? 77 : 0, .pool = pool};
        sqlpool_maintenance options = {.progress_fn = watch, .user = &w, .token = &token};
        int rc;
        w.token = i % 2 != 0 ? NULL : &token;
        options.progress_ms = 1;
        config.step_pages = i == 0 ? 1 : 5;
        options.pause_ms = i == 0 ? 1 : 0;
        rc = sqlpool_backup(pool, "stop.bak", &config, &options, NULL, &err);
        if (i == 0) {
            CHECK_INT(rc, SQLPOOL_OK);
            CHECK(w.has_ended && !w.is_falling && w.calls > 3);
            CHECK_INT(unlink("stop.bak"), 0);
            all = 5;
            continue;
        }
        if (rc == SQLPOOL_OK) { /* over before the i-th look */
            CHECK(w.calls <= i);
            CHECK_INT(unlink("stop.bak"), 0);
        } else {
            CHECK_INT(rc, i % 2 != 0 ? 77 : SQLPOOL_CANCELLED);
        }
        CHECK_INT(count_files("stop.bak"), 0);
    }
    close_pool(pool);
}

TEST(a_deadline_ends_it) {
    sqlpool *pool = open_filled("late.db", 400);
    sqlpool_backup_config config = {.step_pages = 1};
    sqlpool_maintenance options = {.timeout_ms = 100, .pause_ms = 10};
    const int64_t start = now_ms();
    sqlpool_token fired = {1};
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_backup(pool, "late.bak", &config, &options, NULL, &err), SQLPOOL_TIMEOUT,
             &err);
    CHECK_HAS(err.message, "deadline");
    CHECK(now_ms() - start < 5000);
    CHECK_INT(count_files("late.bak"), 0);
    options.token = &fired;
    CHECK_RC(sqlpool_backup(pool, "late.bak", &config, &options, NULL, &err), SQLPOOL_CANCELLED,
             &err);
    options.token = NULL;
    options.timeout_ms = -2;
    CHECK_RC(sqlpool_backup(pool, "late.bak", &config, &options, NULL, &err), SQLPOOL_MISUSE, &err);
    options.timeout_ms = 0;
    config.keep = 101;
    config.files.user = pool;
    config.files.look_fn = NULL;
    CHECK_RC(sqlpool_backup(pool, "late.bak", &config, &options, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "keep is 101");
    CHECK_INT(ask(pool, "SELECT count(*) FROM a"), 400);
    close_pool(pool);
}

/*  Another process is in the middle of a commit, for long. */
TEST(a_lock_of_another_process) {
    sqlpool_config config = config_of(2);
    sqlpool_maintenance options = {.timeout_ms = 200};
    sqlpool *pool;
    sqlite3 *other;
    int64_t start;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    config.acquire_timeout_ms = 60000;
    pool = open_pool("locked.db", &config, schema);
    other = raw_open("locked.db");
    CHECK(pool != NULL && other != NULL);
    CHECK(raw_exec(other, "BEGIN EXCLUSIVE"));
    start = now_ms();
    CHECK_RC(sqlpool_backup(pool, "locked.bak", NULL, &options, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(now_ms() - start < 20000);
    CHECK_INT(count_files("locked.bak"), 0);
    CHECK(raw_exec(other, "COMMIT"));
    (void)sqlite3_close(other);
    options.timeout_ms = 0;
    CHECK_OK(sqlpool_backup(pool, "locked.bak", NULL, &options, NULL, &err), &err);
    close_pool(pool);
}

/*---- two at once ----*/

typedef struct rival {
    sqlpool *pool;
    int good, busy, other;
} rival;
static void *run_rival(void *argument) {
    rival *r = argument;
    sqlpool_backup_config config = {.keep = 2, .step_pages = 4};
    sqlpool_error error;
    int i;
    for (i = 0; i < 30; i++) {
        const int rc = sqlpool_backup(r->pool, "rival.bak", &config, NULL, NULL, &error);
        if (rc == SQLPOOL_OK) {
            r->good++;
        } else if (rc == SQLITE_BUSY) {
            r->busy++;
        } else {
            printf("# %d: %s\n", rc, error.message);
            r->other++;
        }
    }
    return NULL;
}

TEST(two_backups_to_one_target) {
    sqlpool *pool = open_filled("rival.db", 300);
    rival r[2] = {{.pool = pool}, {.pool = pool}};
    pthread_t threads[2];
    CHECK(pool != NULL);
    CHECK(start_thread(&threads[0], run_rival, &r[0]));
    CHECK(start_thread(&threads[1], run_rival, &r[1]));
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    CHECK_INT(r[0].other + r[1].other, 0);
    CHECK(r[0].good + r[1].good > 0);
    CHECK(is_sound("rival.bak"));
    CHECK_OK(sqlpool_backup_verify(pool, "rival.bak", NULL, NULL, NULL, &err), &err);
    CHECK_INT(count_files("rival.bak-partial"), 0);
    close_pool(pool);
}

TEST(what_a_killed_backup_left_is_cleared_away) {
    sqlpool *pool = open_filled("left.db", 20);
    sqlite3 *other;
    CHECK(pool != NULL);
    CHECK(write_file("left.bak-partial", "half a page of something", 24));
    CHECK(write_file("left.bak-partial-wal", "a log", 5));
    CHECK(write_file("left.bak-partial-journal", "a journal", 9));
    CHECK_OK(sqlpool_backup(pool, "left.bak", NULL, NULL, NULL, &err), &err);
    CHECK(is_sound("left.bak"));
    CHECK_INT(count_files("left.bak"), 1);
    CHECK_INT(unlink("left.bak"), 0);
    other = raw_open("left.bak-partial"); /* somebody is at work */
    CHECK(other != NULL);
    CHECK(raw_exec(other, "BEGIN EXCLUSIVE; CREATE TABLE t(v)"));
    CHECK_RC(sqlpool_backup(pool, "left.bak", NULL, NULL, NULL, &err), SQLITE_BUSY, &err);
    CHECK_HAS(err.message, "another");
    CHECK_INT(kind_of("left.bak-partial"), 1);
    (void)sqlite3_close(other);
    CHECK_OK(sqlpool_backup(pool, "left.bak", NULL, NULL, NULL, &err), &err);
    close_pool(pool);
}

/*---- verification ----*/

TEST(a_file_that_is_no_backup_is_named) {
    sqlpool *pool = open_filled("verify.db", 200);
    sqlpool_backup_info info;
    int64_t bytes, at;
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_backup(pool, "verify.bak", NULL, NULL, &info, &err), &err);
    bytes = file_bytes("verify.bak");
    for (at = 5; at < bytes - 4096; at += 7919) { /* any byte of any page */
        CHECK(flip("verify.bak", at));
        CHECK_RC(sqlpool_backup_verify(pool, "verify.bak", NULL, NULL, NULL, &err),
                 SQLPOOL_BAD_BACKUP, &err);
        CHECK_HAS(err.message, "verify.bak");
        CHECK(flip("verify.bak", at));
    }
    CHECK_OK(sqlpool_backup_verify(pool, "verify.bak", NULL, NULL, NULL, &err), &err);
    CHECK_INT(truncate("verify.bak", (off_t)(bytes - 4096 * 3)), 0);
    CHECK_RC(sqlpool_backup_verify(pool, "verify.bak", NULL, NULL, NULL, &err), SQLPOOL_BAD_BACKUP,
             &err);
    CHECK_INT(truncate("verify.bak", 0), 0);
    CHECK_RC(sqlpool_backup_verify(pool, "verify.bak", NULL, NULL, NULL, &err), SQLPOOL_BAD_BACKUP,
             &err);
    CHECK_HAS(err.message, "empty");
    CHECK(write_file("verify.txt",
                     "something else, but long enough to be looked at ........................",
                     70));
    CHECK_RC(sqlpool_backup_verify(pool, "verify.txt", NULL, NULL, NULL, &err), SQLPOOL_BAD_BACKUP,
             &err);
    CHECK_RC(sqlpool_backup_verify(pool, "absent", NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_INT(kind_of("absent"), 0);
    CHECK_RC(sqlpool_backup_verify(pool, ".", NULL, NULL, NULL, &err), SQLPOOL_TARGET, &err);
    CHECK_RC(sqlpool_backup_verify(pool, "verify.db", NULL, NULL, NULL, &err), SQLPOOL_TARGET,
             &err);
    { /* a database of another program's making is good, but nothing more is known of it */
        sqlite3 *db = raw_open("plain.db");
        CHECK(db != NULL);
        CHECK(raw_exec(db, "CREATE TABLE t(v); INSERT INTO t VALUES(1)"));
        (void)sqlite3_close(db);
        CHECK_OK(sqlpool_backup_verify(pool, "plain.db", NULL, NULL, &info, &err), &err);
        CHECK(!info.has_metadata);
        CHECK_INT(info.time_s, 0);
    }
    close_pool(pool);
}

/*  Hostile numbers in a trailer. */
TEST(a_trailer_of_nonsense) {
    sqlpool *pool = open_filled("trailer.db", 5);
    static const char *const texts[] = {
        "sqlpool backup 1\n",
        "sqlpool backup 1\npages 99999999999999999999999999999\npage_bytes 4096\n",
        "sqlpool backup 1\npages -1\npage_bytes -4096\nchecksum 0\n",
        "sqlpool backup 1\npages 18446744073709551615\npage_bytes 18446744073709551615\nid "};
    size_t i;
    CHECK(pool != NULL);
    for (i = 0; i < sizeof texts / sizeof *texts; i++) {
        sqlite3 *db;
        char block[512] = "";
        int file;
        (void)unlink("trailer.bad");
        db = raw_open("trailer.bad");
        CHECK(db != NULL);
        CHECK(raw_exec(db, "CREATE TABLE t(v)"));
        (void)sqlite3_close(db);
        memset(block, '\n', sizeof block);
        memcpy(block, texts[i], strlen(texts[i]));
        file = open("trailer.bad", O_WRONLY | O_APPEND);
        CHECK(file >= 0 && write(file, block, sizeof block) == (ssize_t)sizeof block);
        CHECK_INT(close(file), 0);
        CHECK_RC(sqlpool_backup_verify(pool, "trailer.bad", NULL, NULL, NULL, &err),
                 SQLPOOL_BAD_BACKUP, &err);
    }
    close_pool(pool);
}

/*---- the pool's side ----*/

TEST(of_a_pool_that_is_not_there) {
    sqlpool *pool = open_filled("gone.db", 1);
    sqlpool_backup_info info, nothing;
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_backup(NULL, "x", NULL, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    memset(&nothing, 0, sizeof nothing);
    memset(&info, 0x5a, sizeof info);
    CHECK_RC(sqlpool_backup(NULL, "x", NULL, NULL, &info, &err), SQLPOOL_MISUSE, &err);
    CHECK(memcmp(&info, &nothing, sizeof info) == 0);
    close_pool(pool);
    CHECK_RC(sqlpool_backup(pool, "x", NULL, NULL, NULL, &err), SQLPOOL_CLOSED, &err);
    CHECK_RC(sqlpool_backup_verify(pool, "x", NULL, NULL, NULL, &err), SQLPOOL_CLOSED, &err);
    CHECK_RC(sqlpool_restore(pool, "x", NULL, NULL, NULL, &err), SQLPOOL_CLOSED, &err);
    CHECK_RC(sqlpool_salvage(pool, NULL, "x", NULL, NULL, NULL, &err), SQLPOOL_CLOSED, &err);
}

TEST(a_full_pool_makes_it_wait) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlpool *pool;
    sqlpool_maintenance options = {.timeout_ms = 50};
    config.acquire_timeout_ms = 60000;
    pool = open_pool("full.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err),
             &err); /* the writer is no matter */
    CHECK_OK(sqlpool_backup(pool, "full.bak", NULL, NULL, NULL, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(unlink("full.bak"), 0);
    CHECK_RC(sqlpool_backup(pool, "full.bak", NULL, &options, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(count_files("full.bak"), 0);
    close_pool(pool);
}

static int backwards(void *user, int bytes_a, const void *a, int bytes_b, const void *b) {
    const int common = bytes_a < bytes_b ? bytes_a : bytes_b;
    const int order = memcmp(a, b, (size_t)common);
    (void)user;
    return order != 0 ? -order : bytes_b - bytes_a;
}
static void twice(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    sqlite3_result_int64(context, 2 * sqlite3_value_int64(values[0]));
}
static int add_functions(void *user, const sqlpool_conn *conn) {
    sqlpool_conn own = *conn;
    sqlite3 *db = sqlpool_conn_db(&own);
    (void)user;
    return sqlite3_create_collation(db, "backwards", SQLITE_UTF8, NULL, backwards) == SQLITE_OK &&
                   sqlite3_create_function(db, "twice", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                           twice, NULL, NULL) == SQLITE_OK
               ? 0
               : 1;
}

TEST(of_a_schema_with_functions_of_the_program) {
    static const char *const schemas[] = {
        "CREATE TABLE t(a CHECK(twice(a) < 100), filler); INSERT INTO t VALUES(1, 2)",
        "CREATE TABLE t(a, b AS (twice(a)) NOT NULL); INSERT INTO t(a) VALUES(1)",
        "CREATE TABLE t(a TEXT COLLATE backwards UNIQUE); INSERT INTO t VALUES('x'), ('y')",
        ("CREATE TABLE t(a TEXT COLLATE backwards PRIMARY KEY) WITHOUT ROWID; INSERT INTO t "
         "VALUES('x'), ('y')")};
    sqlpool_config config = config_of(2);
    size_t i;
    config.events.connect_fn = add_functions;
    for (i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        char path[32], target[32];
        sqlpool *pool;
        (void)snprintf(path, sizeof path, "own%d.db", (int)i);
        (void)snprintf(target, sizeof target, "own%d.bak", (int)i);
        pool = open_pool(path, &config, schemas[i]);
        CHECK(pool != NULL);
        CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_QUICK, NULL, NULL, NULL, &err), &err);
        CHECK_OK(sqlpool_backup(pool, target, NULL, NULL, NULL, &err), &err);
        CHECK_OK(sqlpool_backup_verify(pool, target, NULL, NULL, NULL, &err), &err);
        CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
        CHECK_OK(sqlpool_restore(pool, target, NULL, NULL, NULL, &err), &err);
        CHECK(ask(pool, "SELECT count(*) FROM t") > 0);
        close_pool(pool);
    }
}

TEST(rows_that_break_a_constraint_are_backed_up) {
    sqlpool_backup_info info;
    sqlpool *pool;
    sqlite3 *db = raw_open("breaks.db");
    CHECK(db != NULL);
    CHECK(raw_exec(db, "CREATE TABLE t(a CHECK(a < 5), b NOT NULL DEFAULT 1); PRAGMA "
                       "ignore_check_constraints = 1; INSERT INTO t(a) VALUES(9)"));
    (void)sqlite3_close(db);
    pool = open_pool("breaks.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_backup(pool, "breaks.bak", NULL, NULL, &info, &err), &err);
    CHECK_OK(sqlpool_backup_verify(pool, "breaks.bak", NULL, NULL, &info, &err), &err);
    CHECK_INT(ask_file("breaks.bak", "SELECT a FROM t"), 9);
    CHECK(flip("breaks.bak", 4096 + 2)); /* damage is still found */
    CHECK_RC(sqlpool_backup_verify(pool, "breaks.bak", NULL, NULL, &info, &err), SQLPOOL_BAD_BACKUP,
             &err);
    close_pool(pool);
}

static int64_t ticks = 1;
static int64_t tick_now(void *user) {
    (void)user;
    return ticks += 1000;
}
static void tick_sleep(void *user, int64_t duration) {
    (void)user;
    ticks += duration;
}

TEST(it_reads_no_faster_than_it_may) {
    sqlpool_config config = config_of(1);
    sqlpool_maintenance options = {.io_bytes_per_s = 1 << 20};
    sqlpool *pool;
    int64_t began;
    config.clock.now_ns_fn = tick_now;
    config.clock.sleep_ns_fn = tick_sleep;
    config.disable_upkeep_thread = true;
    pool =
        open_pool("pace.db", &config,
                  "CREATE TABLE t(v); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM "
                  "n LIMIT 4096) INSERT INTO t SELECT zeroblob(1000) FROM n"); /* 5 MB */
    CHECK(pool != NULL);
    began = ticks;
    CHECK_OK(sqlpool_backup(pool, "pace.bak", NULL, &options, NULL, &err), &err);
    CHECK(ticks - began > INT64_C(4000000000));
    options.io_bytes_per_s = -1;
    CHECK_RC(sqlpool_backup(pool, "pace.2", NULL, &options, NULL, &err), SQLPOOL_MISUSE, &err);
    options.io_bytes_per_s = 0;
    options.pause_ms = 5000; /* and no pause is slept beyond the deadline */
    options.timeout_ms = 100;
    began = ticks;
    CHECK_RC(sqlpool_backup(pool, "pace.3", NULL, &options, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(ticks - began < INT64_C(500000000));
    close_pool(pool);
}

TEST(names_of_the_databases_own_files) {
    static const struct {
        int journal;
        const char *target;
    } cases[] = {{SQLPOOL_JOURNAL_WAL, "own.db-journal"},
                 {SQLPOOL_JOURNAL_DELETE, "own.db-wal"},
                 {SQLPOOL_JOURNAL_DELETE, "./own.db-journal"}};
    sqlpool_backup_config keep = {.keep = 1};
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        sqlpool_config config = config_of(1);
        sqlpool *pool;
        config.journal = cases[i].journal;
        (void)unlink("own.db");
        pool = open_pool("own.db", &config, "CREATE TABLE t(v)");
        CHECK(pool != NULL);
        CHECK_RC(sqlpool_backup(pool, cases[i].target, &keep, NULL, NULL, &err), SQLPOOL_TARGET,
                 &err);
        CHECK_RC(sqlpool_salvage(pool, NULL, cases[i].target, NULL, NULL, NULL, &err),
                 SQLPOOL_TARGET, &err);
        close_pool(pool);
    }
}

int main(void) {
    RUN(a_backup_is_the_database_in_one_file);
    RUN(beside_a_writer_it_is_one_committed_state);
    RUN(of_every_kind_of_database);
    RUN(what_was_done_is_told);
    RUN(a_stream_is_a_complete_backup);
    RUN(as_many_are_kept_as_was_said);
    RUN(targets_that_are_refused);
    RUN(a_folder_that_may_not_be_written);
    RUN(names_of_every_kind);
    RUN(stopped_at_any_point_it_leaves_nothing);
    RUN(a_deadline_ends_it);
    RUN(a_lock_of_another_process);
    RUN(two_backups_to_one_target);
    RUN(what_a_killed_backup_left_is_cleared_away);
    RUN(a_file_that_is_no_backup_is_named);
    RUN(a_trailer_of_nonsense);
    RUN(of_a_pool_that_is_not_there);
    RUN(a_full_pool_makes_it_wait);
    RUN(of_a_schema_with_functions_of_the_program);
    RUN(rows_that_break_a_constraint_are_backed_up);
    RUN(it_reads_no_faster_than_it_may);
    RUN(names_of_the_databases_own_files);
    return test_end();
}
