/*  archive.c - white box: backups, restores and salvages at the moments that other programs choose
    (I29). SPDX-License-Identifier: MIT OR Unlicense

    The functions of sqlpool_files and events.key_fn are called between any two steps: they are where
    another program comes in here. Three of SQLite's functions can be told to answer as they do for
    other VFSes and other programs' locks. */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <sys/stat.h>

static int hide_file_at, busy_steps, busy_later, growing_steps;
static int control_calls;

/*  The n-th question for a file finds a VFS that does not hand it out. */
static int archive_file_control(sqlite3 *db, const char *name, int op, void *argument) {
    if (op == SQLITE_FCNTL_FILE_POINTER && ++control_calls == hide_file_at) return SQLITE_NOTFOUND;
    return sqlite3_file_control(db, name, op, argument);
}
static int archive_backup_step(sqlite3_backup *copy, int pages) {
    if (busy_steps != 0) {
        if (busy_steps > 0) busy_steps--;
        return busy_steps % 2 != 0 ? SQLITE_BUSY : SQLITE_LOCKED;
    }
    busy_steps = busy_later; /* behind one step that goes well */
    busy_later = 0;
    return sqlite3_backup_step(copy, pages);
}
/*  As if the source had changed, which begins a copy anew. */
static int archive_backup_remaining(sqlite3_backup *copy) {
    return growing_steps > 0 && growing_steps-- == 1 ? 1000000 : sqlite3_backup_remaining(copy);
}
#define sqlite3_file_control archive_file_control
#define sqlite3_backup_step archive_backup_step
#define sqlite3_backup_remaining archive_backup_remaining
#include "sqlpool.h"
#undef sqlite3_file_control
#undef sqlite3_backup_step
#undef sqlite3_backup_remaining

#include "unit.h"

#define CHECK_RC(call, expected, error) \
    do { \
        const int unit_rc = (call); \
        if (unit_rc != (expected)) { \
            test_fail(__FILE__, __LINE__, "%s gave %s (%d), expected %s: %s", #call, \
                      sqlpool_result_name(unit_rc), unit_rc, #expected, (error)->message); \
            return; \
        } \
    } while (0)

static bool is_there(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}
static bool write_file(const char *path, const void *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    const bool is_ok = file != NULL && fwrite(data, 1, bytes, file) == bytes;
    return file != NULL && fclose(file) == 0 && is_ok;
}
static int64_t size_of(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 ? (int64_t)status.st_size : -1;
}
/*  Another program's script; its connection ends. */
static bool run_outside(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    char *message = NULL;
    int rc = sqlite3_open(path, &db);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, "PRAGMA synchronous = 0", NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, sql, NULL, NULL, &message);
    if (rc != SQLITE_OK) test_fail(__FILE__, __LINE__, "%s: %s", path, message);
    sqlite3_free(message);
    (void)sqlite3_close(db);
    return rc == SQLITE_OK;
}
static int64_t ask_file(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    int64_t value = INT64_MIN;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK)
        value = sim_plain_int64(db, sql, INT64_MIN);
    (void)sqlite3_close(db);
    return value;
}

/*---- who comes in between ----*/

/*  What is done at the n-th look at, creation or opening of a file of this name. */
static struct {
    const char *name;
    int at; /* 0: never */
    int (*do_fn)(const char *path, int answer);
    int calls;
} on_look, on_create, on_key;

/*  A name that ends in '-' stands for all that begin so, "" for any. */
static bool is_meant(const char *path, const char *name) {
    const char *at = path != NULL && name != NULL ? strstr(path, name) : NULL;
    return at != NULL &&
           (*name == '\0' || at[strlen(name)] == '\0' || name[strlen(name) - 1] == '-');
}
#define COME_IN(who, path, answer) \
    if (is_meant(path, (who).name) && ++(who).calls == (who).at) answer = (who).do_fn(path, answer)

static int do_look(void *user, const char *path, const char *other) {
    int kind = sqlpool__default_look(user, path, other);
    COME_IN(on_look, path, kind);
    return kind;
}
static int do_create(void *user, const char *path, const char *like) {
    int code = sqlpool__default_create(user, path, like);
    COME_IN(on_create, path, code);
    return code;
}
static int do_key(void *user, sqlite3 *db) {
    int rc = SQLITE_OK;
    (void)user;
    COME_IN(on_key, sqlite3_db_filename(db, "main"), rc);
    return rc;
}
/*  Nothing here loses its power. */
static int skip_sync(void *user, const char *path) {
    (void)user, (void)path;
    return 0;
}
static const sqlpool_files files = {
    NULL, do_create, do_look, sqlpool__default_rename, sqlpool__default_link, skip_sync};

static void nobody_comes_in(void) {
    memset(&on_look, 0, sizeof on_look);
    memset(&on_create, 0, sizeof on_create);
    memset(&on_key, 0, sizeof on_key);
    hide_file_at = busy_steps = busy_later = growing_steps = control_calls = 0;
}

/*---- the operations ----*/

enum { BACKUP, BACKUP_OVER, STREAM, VERIFY, RESTORE, RESTORE_OLDER, SALVAGE, OPS };
enum { ROWS = 700 };

static const char fill[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE INDEX t_v ON t(v); "
                           "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT "
                           "i + 1 FROM n LIMIT 700) INSERT INTO t SELECT i, zeroblob(150) FROM n";

static void remove_all(void) {
    DIR *dir = opendir(".");
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (strncmp(entry->d_name, "op.", 3) == 0) (void)unlink(entry->d_name);
    if (dir != NULL) (void)closedir(dir);
}

/*  op.db has a row more than its backup op.bak; nothing has come in yet. */
static sqlpool_config begin(unit_pool *u) {
    sqlpool_config config = unit_config(u, 2);
    config.vfs_name = "sim";
    config.events.key_fn = do_key;
    config.acquire_timeout_ms = 1000000;
    config.close_timeout_ms = 1000000;
    config.breaker_open_ms = SQLPOOL_OFF;
    nobody_comes_in();
    remove_all();
    return config;
}
static sqlpool_backup_config backup_config(void) {
    sqlpool_backup_config config;
    memset(&config, 0, sizeof config);
    config.files = files;
    return config;
}
static bool fill_pool(unit_pool *u) {
    sqlpool_backup_config config = backup_config();
    if (unit_script(u, fill) == SQLPOOL_OK &&
        sqlpool_backup(u->pool, "op.bak", &config, NULL, NULL, &u->error) == SQLPOOL_OK &&
        unit_exec(u, "INSERT INTO t(v) VALUES('one more')") == SQLPOOL_OK)
        return true;
    test_fail(__FILE__, __LINE__, "%s", u->error.message);
    return false;
}
static void open_filled(unit_pool *u, const sqlpool_config *config) {
    PART(unit_open(u, "op.db", config));
    (void)fill_pool(u); /* which says what went wrong */
}
static void begin_filled(unit_pool *u) {
    const sqlpool_config config = begin(u);
    open_filled(u, &config);
}
/*  Before a backup over another one lies what a killed one left; of two backups the newest is none. */
static bool prepare(int op) {
    static const char text[] = "this was the newest backup, once, and now it is a text of somebody";
    if (op == BACKUP_OVER) return write_file("op.bak-partial", "", 0);
    return op != RESTORE_OLDER ||
           (rename("op.bak", "op.bak.1") == 0 && write_file("op.bak", text, sizeof text));
}

static int swallow(void *user, const void *data, size_t bytes) {
    (void)data;
    *(int64_t *)user += (int64_t)bytes;
    return 0;
}
static int run_op(unit_pool *u, int op, const sqlpool_maintenance *options,
                  sqlpool_backup_info *info) {
    sqlpool_backup_config config = backup_config();
    int64_t bytes = 0;
    config.step_pages = 4;
    config.or_older = op == RESTORE_OLDER;
    if (op == STREAM) {
        config.write_fn = swallow;
        config.user = &bytes;
    }
    memset(&u->error, 0x5a, sizeof u->error);
    switch (op) {
    case BACKUP:
        return sqlpool_backup(u->pool, "op.new", &config, options, info, &u->error);
    case BACKUP_OVER:
        config.keep = 2;
        return sqlpool_backup(u->pool, "op.bak", &config, options, info, &u->error);
    case STREAM:
        return sqlpool_backup(u->pool, NULL, &config, options, info, &u->error);
    case VERIFY:
        return sqlpool_backup_verify(u->pool, "op.bak", &config, options, info, &u->error);
    case SALVAGE:
        return sqlpool_salvage(u->pool, NULL, "op.new", &config, options, NULL, &u->error);
    default:
        return sqlpool_restore(u->pool, "op.bak", &config, options, info, &u->error);
    }
}

static int64_t count_rows(unit_pool *u) {
    return unit_ask(u, "SELECT count(*) FROM t");
}

/*  What was not done has left nothing, and the pool works as before. */
static void check_nothing_done(unit_pool *u) {
    CHECK(!is_there("op.new") && !is_there("op.new-partial"));
    CHECK(!is_there("op.db-partial") && !is_there("op.db-stream-partial"));
    CHECK_INT(ask_file(is_there("op.bak.1") ? "op.bak.1" : "op.bak", "SELECT count(*) FROM t"),
              ROWS);
    CHECK_INT(count_rows(u), ROWS + 1);
    CHECK_OK(unit_exec(u, "UPDATE t SET v = 'x' WHERE id = 1"), &u->error);
}

/*---- results and messages ----*/

TEST(errnos_and_their_results) {
    static const struct {
        int code, result;
        const char *why;
    } cases[] = {{ENOENT, SQLPOOL_TARGET, "the folder does not exist"},
                 {ENOTDIR, SQLPOOL_TARGET, "the folder does not exist"},
                 {EEXIST, SQLPOOL_TARGET, "something is there"},
                 {EISDIR, SQLPOOL_TARGET, "no file can have this name"},
                 {EINVAL, SQLPOOL_TARGET, "no file can have this name"},
                 {ENAMETOOLONG, SQLPOOL_TARGET, "no file can have this name"},
                 {EACCES, SQLITE_READONLY, "the rights to write there are missing"},
                 {EPERM, SQLITE_READONLY, "the rights to write there are missing"},
                 {EROFS, SQLITE_READONLY, "the disk is read-only"},
                 {ENOSPC, SQLITE_FULL, "the disk is full"},
                 {ENOMEM, SQLPOOL_NOMEM, "no memory"},
                 {EIO, SQLITE_IOERR, "the disk failed"}};
    size_t i;
    for (i = 0; i < LENGTH(cases); i++) {
        sqlpool_error error;
        char expected[200];
        sqlpool__error_clear(&error);
        CHECK_INT(sqlpool__file_failed(cases[i].code, "making", "x", &error), cases[i].result);
        CHECK_INT(error.result, cases[i].result);
        CHECK_INT(error.os_code, cases[i].code);
        (void)snprintf(expected, sizeof expected, "making \"x\" failed: %s (errno %d)",
                       cases[i].why, cases[i].code);
        CHECK_STR(error.message, expected);
    }
}

TEST(configurations_that_make_no_sense) {
    static const char *const members[] = {"create_fn", "look_fn", "rename_fn", "link_fn",
                                          "sync_folder_fn"};
    unit_pool u;
    sqlpool_backup_config config;
    int i;
    PART(begin_filled(&u));
    for (i = 1; i < 5; i++) { /* the first i of them */
        char expected[100];
        config = backup_config();
        if (i < 2) config.files.look_fn = NULL;
        if (i < 3) config.files.rename_fn = NULL;
        if (i < 4) config.files.link_fn = NULL;
        config.files.sync_folder_fn = NULL;
        CHECK_RC(sqlpool_backup(u.pool, "op.new", &config, NULL, NULL, &u.error), SQLPOOL_MISUSE,
                 &u.error);
        (void)snprintf(expected, sizeof expected, "files: files.%s is NULL, but others are set",
                       members[i]);
        CHECK_HAS(u.error.message, expected);
    }
    memset(&config, 0, sizeof config);
    config.keep = -1;
    config.step_pages = -1;
    CHECK_RC(sqlpool_backup(u.pool, "op.new", &config, NULL, NULL, &u.error), SQLPOOL_MISUSE,
             &u.error);
    CHECK_HAS(u.error.message,
              "keep is -1, allowed: 0..100; step_pages is -1, allowed: 0 or more; ");
    CHECK_RC(sqlpool_backup_verify(u.pool, "op.bak", &config, NULL, NULL, &u.error), SQLPOOL_MISUSE,
             &u.error);
    CHECK_RC(sqlpool_restore(u.pool, "op.bak", &config, NULL, NULL, &u.error), SQLPOOL_MISUSE,
             &u.error);
    CHECK_RC(sqlpool_salvage(u.pool, NULL, "op.new", &config, NULL, NULL, &u.error), SQLPOOL_MISUSE,
             &u.error);
    CHECK_RC(sqlpool_backup_verify(u.pool, NULL, NULL, NULL, NULL, &u.error), SQLPOOL_MISUSE,
             &u.error);
    CHECK_HAS(u.error.message, "path is NULL: name a file");
    CHECK_RC(sqlpool_salvage(u.pool, NULL, NULL, NULL, NULL, NULL, &u.error), SQLPOOL_MISUSE,
             &u.error);
    CHECK_HAS(u.error.message, "target is NULL: name a file");
    PART(check_nothing_done(&u));
    unit_close(&u);
}

/*  The program has unregistered it meanwhile. */
TEST(a_vfs_that_is_gone) {
    unit_pool u;
    sqlpool_config c = begin(&u);
    sqlite3_vfs vfs = *sqlite3_vfs_find(NULL);
    vfs.zName = "short-lived";
    CHECK_INT(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
    c.vfs_name = "short-lived";
    c.max_connections = 2;
    c.min_connections = 2; /* none is opened later */
    PART(open_filled(&u, &c));
    CHECK_INT(sqlite3_vfs_unregister(&vfs), SQLITE_OK);
    CHECK_RC(run_op(&u, BACKUP, NULL, NULL), SQLPOOL_UNSUPPORTED, &u.error);
    CHECK_HAS(u.error.message, "sqlpool_files");
    CHECK(!is_there("op.new"));
    CHECK_INT(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
    CHECK_OK(run_op(&u, BACKUP, NULL, NULL), &u.error);
    unit_close(&u);
    CHECK_INT(sqlite3_vfs_unregister(&vfs), SQLITE_OK);
}

/*---- trailers ----*/

TEST(numbers_in_a_trailer) {
    CHECK(sqlpool__trailer_number("\npages 12\n", "pages") == 12);
    CHECK(sqlpool__trailer_number("\npagesize 7\npages 12:\nid 3", "pages") == 12);
    CHECK(sqlpool__trailer_number("\npages -12\n", "pages") == 0);
    CHECK(sqlpool__trailer_number("pages 12\n", "pages") == 0); /* only behind a line's end */
    CHECK(sqlpool__trailer_number("", "pages") == 0);
    CHECK(sqlpool__trailer_number("\nid 18446744073709551615", "id") == UINT64_MAX);
    CHECK(sqlpool__trailer_number("\nid 18446744073709551617", "id") == 1); /* wraps */
}

TEST(a_trailer_that_does_not_fit_the_file) {
    static const struct {
        int pages, page_bytes, gap; /* bytes before the trailer, which ends the file */
        int result;
    } cases[] = {{2, 4096, 4096 - 512, SQLPOOL_BAD_BACKUP}, /* fits, but has no checksum */
                 {2, 8192, 4096 - 512, SQLPOOL_BAD_BACKUP},
                 {3, 4096, 4096 - 512, SQLPOOL_BAD_BACKUP},
                 {2, 4096, 2 * 4096 - 512, SQLPOOL_BAD_BACKUP},
                 {2, 4096, 4096 - 512 + 100, SQLPOOL_BAD_BACKUP}};
    unit_pool u;
    sqlpool_config c = begin(&u);
    size_t i;
    PART(unit_open(&u, "op.db", &c));
    for (i = 0; i < LENGTH(cases); i++) {
        static char tail[3 * 4096];
        const size_t bytes = (size_t)cases[i].gap + 512;
        (void)unlink("op.new");
        CHECK(run_outside("op.new", "PRAGMA page_size = 4096; CREATE TABLE t(v)"));
        CHECK_INT(size_of("op.new"), 2 * 4096);
        memset(tail, 0, sizeof tail);
        (void)snprintf(tail + cases[i].gap, 512, "sqlpool backup 1\npages %d\npage_bytes %d\n",
                       cases[i].pages, cases[i].page_bytes);
        CHECK(unit_overwrite("op.new", 2 * 4096, tail, bytes));
        CHECK_RC(sqlpool_backup_verify(u.pool, "op.new", NULL, NULL, NULL, &u.error),
                 cases[i].result, &u.error);
        CHECK_HAS(u.error.message,
                  i == 0 ? "its checksum differs" : "its size is not what it was written with");
    }
    unit_close(&u);
}

/*---- ends before the end ----*/

static int looks, stop_at;
static int stop_there(void *user, const sqlpool_progress *progress) {
    (void)user, (void)progress;
    return ++looks == stop_at ? 77 : 0;
}

/*  Time moves by a progress report with each look at the clock: any step of any operation may be
    the last one. */
TEST(stopped_at_every_step) {
    int op;
    for (op = BACKUP; op < OPS; op++) {
        int stopped = 0;
        for (stop_at = 1;; stop_at++) {
            unit_pool u;
            sqlpool_maintenance options;
            int rc;
            PART(begin_filled(&u));
            CHECK(prepare(op));
            memset(&options, 0, sizeof options);
            options.progress_fn = stop_there;
            options.progress_ms = 1;
            looks = 0;
            u.clock.step_ns = MS;
            rc = run_op(&u, op, &options, NULL);
            u.clock.step_ns = 0;
            if (rc == SQLPOOL_OK) {
                CHECK(looks <= stop_at); /* the last look comes when it is done */
                unit_close(&u);
                break;
            }
            CHECK_INT(rc, 77);
            CHECK_INT(u.error.result, 77);
            CHECK_HAS(u.error.message, "was stopped by its callback, which returned 77");
            CHECK_INT(looks, stop_at);
            PART(check_nothing_done(&u));
            unit_close(&u);
            stopped++;
        }
        CHECK(stopped > 2);
    }
}

/*  The same with a deadline: it passes at any look at the clock. */
TEST(too_late_at_every_step) {
    int op;
    for (op = BACKUP; op < OPS; op++) {
        int timeout_ms, late = 0;
        for (timeout_ms = 1;; timeout_ms += 4) {
            unit_pool u;
            sqlpool_maintenance options;
            int rc;
            PART(begin_filled(&u));
            CHECK(prepare(op));
            memset(&options, 0, sizeof options);
            options.timeout_ms = timeout_ms;
            u.clock.step_ns = MS;
            rc = run_op(&u, op, &options, NULL);
            u.clock.step_ns = 0;
            if (rc != SQLPOOL_OK) {
                CHECK_RC(rc, SQLPOOL_TIMEOUT, &u.error);
                PART(check_nothing_done(&u));
                late++;
            }
            unit_close(&u);
            if (rc == SQLPOOL_OK) break;
        }
        CHECK(late > 1);
    }
}

/*---- locks ----*/

TEST(a_copy_waits_for_a_lock_and_then_gives_up) {
    unit_pool u;
    sqlpool_config c = begin(&u);
    sqlpool_backup_info info;
    c.acquire_timeout_ms = 50;
    PART(open_filled(&u, &c));
    busy_steps = busy_later = 30; /* each time the wait begins anew */
    CHECK_OK(run_op(&u, BACKUP, NULL, &info), &u.error);
    CHECK_INT(busy_steps, 0);
    CHECK_INT(info.restarts, 0);
    CHECK_INT(ask_file("op.new", "SELECT count(*) FROM t"), ROWS + 1);
    CHECK_INT(unlink("op.new"), 0);
    busy_steps = -1;
    CHECK_RC(run_op(&u, BACKUP, NULL, &info), SQLITE_BUSY, &u.error);
    CHECK_HAS(u.error.message, "copying to \"op.new-partial\" failed");
    busy_steps = 0;
    PART(check_nothing_done(&u));
    growing_steps = 3;
    CHECK_OK(run_op(&u, BACKUP, NULL, &info), &u.error);
    CHECK_INT(info.restarts, 1);
    unit_close(&u);
    c = begin(&u);
    c.acquire_timeout_ms = SQLPOOL_FOREVER;
    PART(open_filled(&u, &c));
    busy_steps = 2000;
    CHECK_OK(run_op(&u, BACKUP, NULL, &info), &u.error);
    unit_close(&u);
}

/*---- somebody else at the same names ----*/

static sqlite3 *other;
static int say_regular(const char *path, int answer) {
    (void)path, (void)answer;
    return SQLPOOL_FILE_REGULAR;
}
static int say_exists(const char *path, int answer) {
    (void)path, (void)answer;
    return EEXIST;
}
/*  Another program takes what was just made. */
static int lock_outside(const char *path, int answer) {
    other = unit_other(path, "BEGIN EXCLUSIVE");
    return answer;
}
/*  Another program clears it away as stale, and makes its own. */
static const char *victim;
static int take_name(const char *path, int answer) {
    (void)path;
    if (rename(victim, "op.other") != 0 || !write_file(victim, "theirs", 6))
        test_fail(__FILE__, __LINE__, "%s: %d", victim, errno);
    return answer;
}

/*  Another call has just removed its own, and at the next look it has begun again. */
static int lock_next(const char *path, int answer) {
    (void)answer;
    other = unit_other(path, "BEGIN EXCLUSIVE");
    return SQLPOOL_FILE_REGULAR;
}
static int begin_next(const char *path, int answer) {
    (void)path, (void)answer;
    on_look.at = on_look.calls + 1, on_look.do_fn = lock_next;
    return SQLPOOL_FILE_REGULAR;
}

TEST(a_partial_that_another_program_takes) {
    enum { LOOK, CREATE, KEY };
    static const struct {
        int op, at_what, at;
        const char *name;
        int (*do_fn)(const char *path, int answer);
        bool is_left, is_stale; /* a file of theirs afterwards, of a killed process before */
    } cases[] = {
        {BACKUP, LOOK, 1, "op.new-partial", say_regular, false, false},
        {BACKUP, LOOK, 1, "op.new-partial", begin_next, true, false},
        {BACKUP, CREATE, 1, "op.new-partial", say_exists, true, false},
        {BACKUP, CREATE, 1, "op.new-partial", lock_outside, true, false},
        {BACKUP, KEY, 1, "op.new-partial", lock_outside, true, true},
        {BACKUP, KEY, 1, "op.new-partial", take_name, true, true},
        {BACKUP, KEY, 1, "op.new-partial", take_name, true, false},
        {BACKUP, KEY, 2, "op.new-partial", take_name, true, false},
        {BACKUP, LOOK, 2, "op.new", take_name, true,
         false}, /* of the target, before its renaming */
        {RESTORE, KEY, 2, "op.db-partial", take_name, true, false},
        {RESTORE, LOOK, 1, "op.db.replaced-", take_name, true, false},
        {SALVAGE, KEY, 1, "op.new-partial", take_name, true, false},
    };
    size_t i;
    for (i = 0; i < LENGTH(cases); i++) {
        const char *partial = cases[i].op == RESTORE ? "op.db-partial" : "op.new-partial";
        unit_pool u;
        PART(begin_filled(&u));
        victim = partial;
        if (cases[i].is_stale) CHECK(write_file(partial, "", 0));
        if (cases[i].at_what == LOOK) {
            on_look.name = cases[i].name, on_look.at = cases[i].at, on_look.do_fn = cases[i].do_fn;
        } else if (cases[i].at_what == CREATE) {
            on_create.name = cases[i].name, on_create.at = cases[i].at;
            on_create.do_fn = cases[i].do_fn;
        } else {
            on_key.name = cases[i].name, on_key.at = cases[i].at, on_key.do_fn = cases[i].do_fn;
        }
        CHECK_RC(run_op(&u, cases[i].op, NULL, NULL), SQLITE_BUSY, &u.error);
        CHECK_HAS(u.error.message, "another call writes to");
        CHECK_HAS(u.error.message, "-partial\" just now");
        CHECK_INT(is_there(partial), cases[i].is_left); /* theirs is not ours to remove */
        CHECK(!is_there("op.new"));
        CHECK_INT(count_rows(&u), ROWS + 1);
        (void)sqlite3_close(other);
        other = NULL;
        nobody_comes_in();
        (void)unlink(partial);
        CHECK_OK(run_op(&u, cases[i].op, NULL, NULL), &u.error);
        unit_close(&u);
    }
}

/*  What lies under the name is read again before it becomes the backup. */
static const char *content;
static int held_file = -1;
static int replace_content(const char *path, int answer) {
    static char bytes[1 << 20];
    FILE *from = fopen(content, "rb");
    const size_t count = from != NULL ? fread(bytes, 1, sizeof bytes, from) : 0;
    held_file = open(path, O_WRONLY); /* closing it would drop our locks */
    if (count == 0 || held_file < 0 || pwrite(held_file, bytes, count, 0) != (ssize_t)count ||
        ftruncate(held_file, (off_t)count) != 0)
        test_fail(__FILE__, __LINE__, "%s: %d", path, errno);
    if (from != NULL) (void)fclose(from);
    return answer;
}

TEST(content_that_is_not_what_was_written) {
    int op;
    for (op = BACKUP; op <= RESTORE; op += RESTORE - BACKUP) { /* these two */
        unit_pool u;
        PART(begin_filled(&u));
        if (op == BACKUP) { /* another backup of the same size */
            CHECK_OK(sqlpool_backup(u.pool, "op.other", NULL, NULL, NULL, &u.error), &u.error);
        } else {
            CHECK(run_outside("op.other", "CREATE TABLE t(v)"));
        }
        content = "op.other";
        on_key.name = op == BACKUP ? "op.new-partial" : "op.db-partial";
        on_key.at = 2;
        on_key.do_fn = replace_content;
        CHECK_RC(run_op(&u, op, NULL, NULL), SQLPOOL_BAD_BACKUP, &u.error);
        CHECK_HAS(u.error.message, "it is not what was written");
        CHECK_INT(close(held_file), 0);
        PART(check_nothing_done(&u));
        unit_close(&u);
    }
}

/*  A key_fn that tries its key by reading, as programs do. */
static int read_with_key(void *user, sqlite3 *db) {
    (void)user;
    return sqlite3_exec(db, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL);
}

TEST(a_key_that_is_tried_by_reading) {
    int op;
    for (op = BACKUP; op < OPS; op++) {
        unit_pool u;
        sqlpool_config c = begin(&u);
        c.events.key_fn = read_with_key;
        PART(open_filled(&u, &c));
        CHECK(prepare(op));
        CHECK_OK(run_op(&u, op, NULL, NULL), &u.error);
        CHECK_INT(count_rows(&u), op == RESTORE || op == RESTORE_OLDER ? ROWS : ROWS + 1);
        if (op == BACKUP || op == SALVAGE)
            CHECK_INT(ask_file("op.new", "SELECT count(*) FROM t"), ROWS + 1);
        unit_close(&u);
    }
}

/*  The n-th connection does not get its key, or its file from the VFS: the operation is done all the
    same, or it fails and changes nothing. */
static int refuse_key(const char *path, int answer) {
    (void)path, (void)answer;
    return SQLITE_AUTH;
}

static void refuse_nth_key(int n) {
    on_key.name = "";
    on_key.at = n;
    on_key.do_fn = refuse_key;
}
static void hide_nth_file(int n) {
    control_calls = 0;
    hide_file_at = n;
}
static void refuse_one_by_one(void (*refuse_fn)(int n), const int *calls, int code,
                              const char *message) {
    int op;
    for (op = BACKUP; op < OPS; op++) {
        int failures = 0, n;
        for (n = 1;; n++) {
            unit_pool u;
            bool was_refused;
            int rc;
            PART(begin_filled(&u));
            CHECK(prepare(op));
            refuse_fn(n);
            rc = run_op(&u, op, NULL, NULL);
            was_refused = *calls >= n;
            nobody_comes_in();
            if (rc != SQLPOOL_OK) {
                CHECK(was_refused);
                if (op != RESTORE_OLDER || rc != SQLPOOL_BAD_BACKUP) { /* of the newest */
                    CHECK_RC(rc, code, &u.error);
                    CHECK_HAS(u.error.message, message);
                }
                PART(check_nothing_done(&u));
                failures++;
            }
            unit_close(&u);
            if (!was_refused) break;
        }
        CHECK(failures > 0);
    }
}

TEST(connections_that_are_refused_one_by_one) {
    refuse_one_by_one(refuse_nth_key, &on_key.calls, SQLITE_AUTH, "authorization denied");
}
TEST(files_that_the_vfs_does_not_hand_out) {
    refuse_one_by_one(hide_nth_file, &control_calls, SQLITE_CANTOPEN,
                      "failed: unable to open database file");
}

/*---- restore: what stands in the way ----*/

static char taken[32];
static int kept_looks;
static int look_at_taken_names(void *user, const char *path, const char *second) {
    const char *name = strstr(path, "op.db.replaced-");
    if (name != NULL && strstr(name, taken) != NULL) {
        kept_looks++;
        return SQLPOOL_FILE_REGULAR;
    }
    return sqlpool__default_look(user, path, second);
}

TEST(names_that_are_taken) {
    unit_pool u;
    sqlpool_backup_config config = backup_config();
    sqlpool_backup_info info;
    const char *suffix;
    PART(begin_filled(&u));
    config.files.look_fn = look_at_taken_names;
    taken[0] = '\0'; /* every one */
    kept_looks = 0;
    CHECK_RC(sqlpool_restore(u.pool, "op.bak", &config, NULL, &info, &u.error), SQLPOOL_TARGET,
             &u.error);
    CHECK_HAS(u.error.message, "a hundred names like");
    CHECK_INT(kept_looks, 100);
    PART(check_nothing_done(&u));
    (void)snprintf(taken, sizeof taken,
                   "-journal"); /* a file without its own, but with another's */
    kept_looks = 0;
    CHECK_RC(sqlpool_restore(u.pool, "op.bak", &config, NULL, &info, &u.error), SQLPOOL_TARGET,
             &u.error);
    CHECK_INT(kept_looks, 100);
    PART(check_nothing_done(&u));
    config.files = files; /* the journal of the first name alone */
    on_look.name = "op.db.replaced-";
    on_look.at = 2;
    on_look.do_fn = say_regular;
    CHECK_OK(sqlpool_restore(u.pool, "op.bak", &config, NULL, &info, &u.error), &u.error);
    CHECK_INT(count_rows(&u), ROWS);
    suffix = strrchr(info.kept, '-');
    CHECK_STR(suffix, "-2");
    CHECK_INT(ask_file(info.kept, "SELECT count(*) FROM t"), ROWS + 1);
    CHECK_INT(unlink(info.kept), 0);
    unit_close(&u);
}

/*  Of all renames only that of the database to its new name succeeds. */
static int refuse_link(void *user, const char *path, const char *second) {
    (void)user, (void)path, (void)second;
    return EPERM;
}
static int rename_away_alone(void *user, const char *from, const char *to) {
    if (strstr(from, "op.db-partial") != NULL) return ENOSPC;
    if (is_meant(to, "op.db") && strstr(from, "op.db.replaced-") != NULL) return EACCES;
    return sqlpool__default_rename(user, from, to);
}

TEST(a_name_that_is_not_given_back_and_why) {
    unit_pool u;
    sqlpool_backup_config config = backup_config();
    sqlpool_backup_info info;
    char kept[300];
    const char *quote;
    PART(begin_filled(&u));
    config.files.link_fn = refuse_link;
    config.files.rename_fn = rename_away_alone;
    CHECK_RC(sqlpool_restore(u.pool, "op.bak", &config, NULL, &info, &u.error), SQLITE_FULL,
             &u.error);
    CHECK_INT(u.error.os_code, EACCES); /* of the name, not of what the restore ended with */
    (void)snprintf(kept, sizeof kept, "(errno %d)", EACCES);
    CHECK(strstr(u.error.message, kept) != NULL);
    CHECK(!is_there("op.db"));
    quote = strchr(u.error.message, '"');
    CHECK(quote != NULL);
    (void)snprintf(kept, sizeof kept, "%.*s", (int)strcspn(quote + 1, "\""), quote + 1);
    CHECK_INT(unit_exec(&u, "DELETE FROM t"), SQLPOOL_MOVED);
    CHECK_INT(rename(kept, "op.db"), 0);
    CHECK_INT(sqlpool_recycle(u.pool), SQLPOOL_OK);
    CHECK_INT(count_rows(&u), ROWS + 1);
    unit_close(&u);
}

/*  Upkeep takes a connection just behind the drain, and has it for so many looks at the clock. */
static struct {
    sqlpool__core *core;
    sqlpool__slot *slot;
    int looks, end_at;
    bool is_busy, was_draining;
} upkeep;
static int64_t now_beside_upkeep(void *user) {
    sqlpool__core *core = upkeep.core;
    upkeep.was_draining |= core != NULL && core->draining > 0;
    if (upkeep.was_draining && !upkeep.is_busy && core->draining == 0 &&
        (SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_EXCLUSIVE) != 0) {
        upkeep.is_busy = true; /* its own looks are none */
        if (upkeep.slot == NULL) {
            upkeep.slot = &core->slots[core->slot_count - 2];
            if (!sqlpool__take(upkeep.slot, SQLPOOL__IDLE) &&
                !sqlpool__take(upkeep.slot, SQLPOOL__EMPTY))
                test_fail(__FILE__, __LINE__, "the connection is not there");
        } else if (++upkeep.looks == upkeep.end_at) {
            sqlpool__give_back(upkeep.slot, sqlpool__lane_of_slot(upkeep.slot));
        }
        upkeep.is_busy = false;
    }
    return sim_clock_now(user);
}

TEST(restore_beside_a_checkpoint_or_upkeep) {
    unit_pool u;
    sqlpool_config c = begin(&u);
    sqlpool_maintenance options;
    sqlpool_token token;
    c.close_timeout_ms = 100;
    c.clock.now_ns_fn = now_beside_upkeep;
    memset(&upkeep, 0, sizeof upkeep);
    PART(open_filled(&u, &c));
    memset(&options, 0, sizeof options);
    memset(&token, 0, sizeof token);
    options.token = &token; /* which nobody fires */
    SQLPOOL__STORE(&u.core->checkpointing, 1u);
    CHECK_RC(run_op(&u, RESTORE, &options, NULL), SQLPOOL_TIMEOUT, &u.error);
    CHECK_HAS(u.error.message, "a checkpoint runs, and does not end");
    CHECK_INT(SQLPOOL__LOAD(&u.core->checkpointing), 1); /* that of the other */
    SQLPOOL__STORE(&u.core->checkpointing, 0u);
    PART(check_nothing_done(&u));
    upkeep.core = u.core;
    CHECK_RC(run_op(&u, RESTORE, &options, NULL), SQLPOOL_TIMEOUT, &u.error);
    CHECK_HAS(u.error.message, "upkeep works on a connection, and does not end");
    upkeep.was_draining = false;
    upkeep.core = NULL;
    sqlpool__give_back(upkeep.slot, sqlpool__lane_of_slot(upkeep.slot));
    PART(check_nothing_done(&u));
    memset(&upkeep, 0, sizeof upkeep);
    upkeep.core = u.core;
    upkeep.end_at = 10;
    CHECK_OK(run_op(&u, RESTORE, &options, NULL), &u.error);
    CHECK(upkeep.looks >= 10);
    memset(&upkeep, 0, sizeof upkeep);
    CHECK_INT(count_rows(&u), ROWS);
    unit_close(&u);
}

/*  A program that has the file open keeps the restore waiting; so long as it may. */
TEST(a_deadline_while_another_program_has_the_file) {
    unit_pool u;
    sqlpool_maintenance options;
    PART(begin_filled(&u));
    memset(&options, 0, sizeof options);
    options.timeout_ms = 100;
    CHECK(sqlite3_open("op.db", &other) == SQLITE_OK);
    CHECK_INT(sim_plain_int64(other, "SELECT count(*) FROM t", -1), ROWS + 1);
    CHECK_RC(run_op(&u, RESTORE, &options, NULL), SQLPOOL_TIMEOUT, &u.error);
    CHECK_HAS(u.error.message, "the deadline of the restore passed");
    CHECK_INT(sim_plain_int64(other, "SELECT count(*) FROM t", -1), ROWS + 1);
    PART(check_nothing_done(&u));
    (void)sqlite3_close(other);
    other = NULL;
    CHECK_OK(run_op(&u, RESTORE, &options, NULL), &u.error);
    unit_close(&u);
}

/*---- what is found ----*/

static const char *denied = "page_size";
static int authorize(void *user, int action, const char *a, const char *b, const char *database,
                     const char *trigger) {
    (void)b, (void)database, (void)trigger;
    return *(int *)user && action == SQLITE_PRAGMA && strcmp(a, denied) == 0 ? SQLITE_DENY
                                                                             : SQLITE_OK;
}
static int is_denied;
static int add_authorizer(void *user, const sqlpool_conn *conn) {
    sqlpool_conn own = *conn;
    (void)user;
    return sqlite3_set_authorizer(sqlpool_conn_db(&own), authorize, &is_denied);
}

TEST(an_authorizer_that_forbids_the_page_size) {
    unit_pool u;
    sqlpool_config c = begin(&u);
    c.events.connect_fn = add_authorizer;
    is_denied = 1;
    CHECK_RC(sqlpool_open(&u.pool, "op.db", &c, &u.error), SQLITE_AUTH, &u.error);
    CHECK_HAS(u.error.message, "PRAGMA page_size");
    denied = "journal_mode"; /* which is asked beside it */
    CHECK_RC(sqlpool_open(&u.pool, "op.db", &c, &u.error), SQLITE_AUTH, &u.error);
    denied = "page_size";
    c = begin(&u);
    c.events.connect_fn = add_authorizer;
    is_denied = 0;
    PART(open_filled(&u, &c));
    CHECK_OK(sqlpool_recycle(u.pool), &u.error);
    is_denied = 1;
    CHECK_RC(run_op(&u, BACKUP, NULL, NULL), SQLITE_AUTH, &u.error);
    CHECK_HAS(u.error.message, "PRAGMA page_size");
    is_denied = 0;
    PART(check_nothing_done(&u));
    unit_close(&u);
}

static int stream_to_file(void *user, const void *data, size_t bytes) {
    return fwrite(data, 1, bytes, (FILE *)user) == bytes ? 0 : 1;
}

TEST(a_database_in_memory_to_a_stream) {
    unit_pool u;
    sqlpool_config c = begin(&u);
    sqlpool_backup_config config;
    FILE *file = fopen("op.new", "wb");
    PART(unit_open_with(&u, ":memory:", &c, fill));
    memset(&config, 0, sizeof config);
    config.write_fn = stream_to_file;
    config.user = file;
    CHECK(file != NULL);
    CHECK_OK(sqlpool_backup(u.pool, NULL, &config, NULL, NULL, &u.error), &u.error);
    CHECK_INT(fclose(file), 0);
    CHECK_INT(ask_file("op.new", "SELECT count(*) FROM t"), ROWS);
    CHECK(!is_there("sqlpool-stream-partial"));
    unit_close(&u);
}

TEST(results_that_say_another_has_it) {
    unit_pool u;
    sqlpool__archive archive;
    sqlpool__image image;
    char here[] = "op.bak", absent[] = "op.absent";
    PART(begin_filled(&u));
    memset(&archive, 0, sizeof archive);
    memset(&image, 0, sizeof image);
    archive.config.files = files;
    image.archive = &archive;
    image.path = here;
    CHECK(sqlpool__is_image_taken(&image, SQLITE_BUSY));
    CHECK(sqlpool__is_image_taken(&image, SQLITE_BUSY_SNAPSHOT));
    CHECK(sqlpool__is_image_taken(&image, SQLITE_READONLY_DBMOVED));
    CHECK(!sqlpool__is_image_taken(&image, SQLITE_READONLY));
    CHECK(!sqlpool__is_image_taken(&image, SQLITE_CANTOPEN));
    CHECK(!sqlpool__is_image_taken(&image, SQLITE_IOERR));
    CHECK(!sqlpool__is_image_taken(&image, SQLITE_OK));
    image.path = absent;
    CHECK(sqlpool__is_image_taken(&image, SQLITE_CANTOPEN));
    CHECK(!sqlpool__is_image_taken(&image, SQLITE_IOERR));
    unit_close(&u);
}

/*  Above a megabyte a copy is synced on the way, where the VFS hands the file out. */
TEST(a_large_copy_of_a_file_that_is_hidden) {
    unit_pool u;
    sqlpool_config c = begin(&u);
    sqlpool_backup_config config;
    int n, good = 0;
    memset(&config, 0, sizeof config);
    PART(unit_open_with(&u, "op.db", &c,
                        "CREATE TABLE t(v); INSERT INTO t VALUES(zeroblob(1500000))"));
    CHECK_OK(sqlpool_backup(u.pool, "op.new", &config, NULL, NULL, &u.error), &u.error);
    CHECK_INT(unlink("op.new"), 0); /* from now on no connection is opened for it */
    for (n = 1;; n++) {
        int rc;
        control_calls = 0;
        hide_file_at = n;
        rc = sqlpool_backup(u.pool, "op.new", &config, NULL, NULL, &u.error);
        hide_file_at = 0;
        CHECK(rc == SQLPOOL_OK || rc == SQLITE_CANTOPEN);
        CHECK_INT(is_there("op.new"), rc == SQLPOOL_OK);
        if (rc == SQLPOOL_OK) {
            CHECK_INT(ask_file("op.new", "SELECT length(v) FROM t"), 1500000);
            CHECK_INT(unlink("op.new"), 0);
            good++;
        }
        if (control_calls < n) break;
    }
    CHECK_INT(good, 2); /* the sync on the way does not matter */
    unit_close(&u);
}

/*---- schemas that need functions of the program ----*/

/*  Copies a file and writes over the root page of a table. */
static bool spoil_table(const char *path, const char *table) {
    char sql[100], noise[512];
    int64_t root, page_bytes;
    (void)snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_master WHERE name = '%s'", table);
    root = ask_file(path, sql);
    page_bytes = ask_file(path, "PRAGMA page_size");
    memset(noise, 0xa5, sizeof noise);
    return root > 1 && unit_overwrite(path, (root - 1) * page_bytes, noise, sizeof noise);
}
static void twice(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    sqlite3_result_int64(context, 2 * sqlite3_value_int64(values[0]));
}
static bool make_with_function(const char *path) {
    sqlite3 *db = NULL;
    const bool is_ok =
        sqlite3_open(path, &db) == SQLITE_OK &&
        sqlite3_create_function(db, "twice", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, twice,
                                NULL, NULL) == SQLITE_OK &&
        sqlite3_exec(db,
                     "CREATE TABLE plain(a); INSERT INTO plain VALUES(1); CREATE TABLE own(a, "
                     "b AS (twice(a)) NOT NULL); INSERT INTO own VALUES(2); CREATE TABLE last(a)",
                     NULL, NULL, NULL) == SQLITE_OK;
    (void)sqlite3_close(db);
    return is_ok;
}

TEST(damage_beside_functions_of_the_program) {
    static const char *const tables[] = {"plain", "own", "last"};
    unit_pool u;
    sqlpool_config c = begin(&u);
    size_t i;
    PART(unit_open(&u, "op.db", &c));
    CHECK(make_with_function("op.other"));
    CHECK_OK(sqlpool_backup_verify(u.pool, "op.other", NULL, NULL, NULL, &u.error), &u.error);
    for (i = 0; i < LENGTH(tables); i++) {
        (void)unlink("op.other");
        CHECK(make_with_function("op.other"));
        CHECK(spoil_table("op.other", tables[i]));
        CHECK_RC(sqlpool_backup_verify(u.pool, "op.other", NULL, NULL, NULL, &u.error),
                 SQLPOOL_BAD_BACKUP, &u.error);
        CHECK_HAS(u.error.message, "\"op.other\" is no good backup: ");
    }
    (void)unlink("op.other"); /* a format of the schema that does not exist yet */
    CHECK(make_with_function("op.other"));
    CHECK(unit_overwrite("op.other", 44, "\0\0\0\11", 4));
    CHECK_RC(sqlpool_backup_verify(u.pool, "op.other", NULL, NULL, NULL, &u.error),
             SQLPOOL_BAD_BACKUP, &u.error);
    CHECK_HAS(u.error.message, "unsupported file format");
    unit_close(&u);
}

/*  Another program has written what no schema is; the pool's connections know the old one. */
TEST(a_schema_that_cannot_be_read_any_more) {
    unit_pool u;
    PART(begin_filled(&u));
    CHECK_INT(count_rows(&u), ROWS + 1);
    CHECK(run_outside("op.db", "CREATE TABLE second(a); PRAGMA writable_schema = 1; UPDATE "
                               "sqlite_master SET sql = 'CREATE nonsense' WHERE name = 'second'"));
    CHECK_RC(run_op(&u, BACKUP, NULL, NULL), SQLPOOL_BAD_BACKUP, &u.error);
    CHECK_HAS(u.error.message, "malformed database schema (second)");
    CHECK(!is_there("op.new") && !is_there("op.new-partial"));
    unit_close(&u);
}

/*---- a scheduled check of a copy ----*/

TEST(a_copy_that_is_checked) {
    unit_pool u;
    sqlpool_maintenance options;
    sqlpool_task task;
    PART(begin_filled(&u));
    memset(&options, 0, sizeof options);
    memset(&task, 0, sizeof task);
    task.kind = SQLPOOL_TASK_INTEGRITY_CHECK;
    task.path = "op.new";
    sqlpool__error_clear(&u.error);
    CHECK_OK(sqlpool__do_archive_task(u.core, &task, &options, &u.error), &u.error);
    PART(check_nothing_done(&u)); /* the copy is gone */
    PART(other = unit_other("op.new-partial", "BEGIN EXCLUSIVE; CREATE TABLE x(y)"));
    sqlpool__error_clear(&u.error);
    CHECK_RC(sqlpool__do_archive_task(u.core, &task, &options, &u.error), SQLITE_BUSY, &u.error);
    CHECK_HAS(u.error.message, "another call writes to \"op.new-partial\" just now");
    (void)sqlite3_close(other);
    other = NULL;
    CHECK(run_outside("op.db", "CREATE TABLE second(a); INSERT INTO second VALUES(1); PRAGMA "
                               "wal_checkpoint(TRUNCATE)"));
    CHECK(spoil_table("op.db", "t"));
    CHECK_OK(sqlpool_recycle(u.pool), &u.error);
    sqlpool__error_clear(&u.error);
    CHECK_RC(sqlpool__do_archive_task(u.core, &task, &options, &u.error), SQLITE_CORRUPT, &u.error);
    CHECK(!is_there("op.new-partial"));
    unit_close(&u);
}

/*---- salvage: what the new file does not take ----*/

static const char *pragma_of_partial;
static int longest;
/*  A program's limits hold for every connection that gets its key. */
static int limit_partial(void *user, sqlite3 *db) {
    const char *path = sqlite3_db_filename(db, "main");
    (void)user;
    if (path == NULL || strstr(path, "-partial") == NULL) return SQLITE_OK;
    if (longest > 0) (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, longest);
    return pragma_of_partial == NULL ? SQLITE_OK
                                     : sqlite3_exec(db, pragma_of_partial, NULL, NULL, NULL);
}

TEST(rows_that_are_too_long_for_the_new_file) {
    unit_pool u;
    sqlpool_config c = begin(&u);
    sqlpool_salvage_info info;
    c.events.key_fn = limit_partial;
    longest = 5000;
    PART(unit_open(&u, "op.db", &c));
    CHECK_OK(unit_script(&u, "CREATE TABLE t(a, b); INSERT INTO t VALUES(1, 2), (zeroblob(8000), "
                             "3), (zeroblob(3000), zeroblob(3000)), (4, 5)"),
             &u.error); /* a value, and a row of two that would fit */
    CHECK_OK(sqlpool_salvage(u.pool, NULL, "op.new", NULL, NULL, &info, &u.error), &u.error);
    longest = 0;
    CHECK_INT(info.rows, 2);
    CHECK_INT(info.tables_damaged, 1);
    CHECK_HAS(info.first_problem, "t: string or blob too big");
    CHECK_INT(ask_file("op.new", "SELECT sum(a) FROM t"), 5);
    unit_close(&u);
}

TEST(a_new_file_that_may_not_grow) {
    static const struct {
        const char *pragma, *schema;
        int longest;
    } cases[] = {
        {"PRAGMA max_page_count = 2", "CREATE TABLE a(x); CREATE TABLE b(x)", 0},
        {"PRAGMA max_page_count = 9", fill, 0},
        {"PRAGMA max_page_count = 9", /* and a row that is too long before */
         "CREATE TABLE a(x PRIMARY KEY, y) WITHOUT ROWID; INSERT INTO a VALUES(1, zeroblob(8000)); "
         "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n LIMIT 100) INSERT INTO a "
         "SELECT i, zeroblob(900) FROM n",
         5000}};
    size_t i;
    for (i = 0; i < LENGTH(cases); i++) {
        unit_pool u;
        sqlpool_config c = begin(&u);
        sqlpool_salvage_info info;
        c.events.key_fn = limit_partial;
        PART(unit_open(&u, "op.db", &c));
        CHECK_OK(unit_script(&u, cases[i].schema), &u.error);
        pragma_of_partial = cases[i].pragma;
        longest = cases[i].longest;
        CHECK_RC(sqlpool_salvage(u.pool, NULL, "op.new", NULL, NULL, &info, &u.error), SQLITE_FULL,
                 &u.error);
        CHECK_HAS(u.error.message, "salvaging to \"op.new\" failed: database or disk is full");
        CHECK(!is_there("op.new") && !is_there("op.new-partial"));
        pragma_of_partial = NULL;
        longest = 0;
        CHECK_OK(sqlpool_salvage(u.pool, NULL, "op.new", NULL, NULL, &info, &u.error), &u.error);
        CHECK_INT(info.tables_damaged, 0);
        unit_close(&u);
    }
}

/*  What is no database any more is replaced too; unless one of its connections gets no key. */
TEST(a_damaged_database_without_its_key) {
    static const char text[] = "this was a database";
    unit_pool u;
    int refused = 0, n;
    PART(begin_filled(&u));
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &u.error), &u.error);
    CHECK(unit_overwrite("op.db", 0, text, sizeof text));
    for (n = 1;; n++) {
        char now[sizeof text] = "";
        bool was_refused;
        FILE *file;
        int rc;
        memset(&on_key, 0, sizeof on_key);
        on_key.name = "op.db";
        on_key.at = n;
        on_key.do_fn = refuse_key;
        rc = run_op(&u, RESTORE, NULL, NULL);
        was_refused = on_key.calls >= n;
        nobody_comes_in();
        if (rc == SQLPOOL_OK) {
            CHECK_INT(count_rows(&u), ROWS);
            if (!was_refused) break;
            CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &u.error),
                     &u.error);
            CHECK(unit_overwrite("op.db", 0, text, sizeof text));
            continue;
        }
        file = fopen("op.db", "rb");
        CHECK(file != NULL && fread(now, 1, sizeof now, file) == sizeof now);
        CHECK_INT(fclose(file), 0);
        CHECK_STR(now, text);
        refused++;
    }
    CHECK(refused > 1);
    unit_close(&u);
}

int main(void) {
    if (sim_vfs_install() != SQLITE_OK) return 2;
    sim_vfs.skip_sync = 1;
    RUN(errnos_and_their_results);
    RUN(configurations_that_make_no_sense);
    RUN(a_vfs_that_is_gone);
    RUN(numbers_in_a_trailer);
    RUN(a_trailer_that_does_not_fit_the_file);
    RUN(stopped_at_every_step);
    RUN(too_late_at_every_step);
    RUN(a_copy_waits_for_a_lock_and_then_gives_up);
    RUN(a_partial_that_another_program_takes);
    RUN(content_that_is_not_what_was_written);
    RUN(a_key_that_is_tried_by_reading);
    RUN(connections_that_are_refused_one_by_one);
    RUN(files_that_the_vfs_does_not_hand_out);
    RUN(names_that_are_taken);
    RUN(a_name_that_is_not_given_back_and_why);
    RUN(restore_beside_a_checkpoint_or_upkeep);
    RUN(a_deadline_while_another_program_has_the_file);
    RUN(an_authorizer_that_forbids_the_page_size);
    RUN(a_database_in_memory_to_a_stream);
    RUN(results_that_say_another_has_it);
    RUN(a_large_copy_of_a_file_that_is_hidden);
    RUN(damage_beside_functions_of_the_program);
    RUN(a_schema_that_cannot_be_read_any_more);
    RUN(a_copy_that_is_checked);
    RUN(rows_that_are_too_long_for_the_new_file);
    RUN(a_new_file_that_may_not_grow);
    RUN(a_damaged_database_without_its_key);
    return test_end();
}
