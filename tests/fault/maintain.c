/*  maintain.c - maintenance on disks that fail or fill up, without memory, on damaged files, and killed.
    SPDX-License-Identifier: MIT OR Unlicense

    Every operation runs on a small database of which a copy is kept. After each run, opened with the
    plain VFS: integrity_check says ok and the rows are those of the copy, whatever failed; the
    operation said OK or an error with a message; no file stays open and nothing leaks.

    maintain         a stride through the calls that fits the time
    maintain full    every call */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"

#include "sim/sim.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 300, OPERATIONS = 14, HOPELESS = 100000 };
static const char *const template = "template.db", *const path = "work.db", *const copy = "copy.db";
static bool is_full;

static const char *const names[OPERATIONS] = {"optimize",
                                              "analyze",
                                              "vacuum",
                                              "vacuum to incremental",
                                              "incremental vacuum",
                                              "vacuum into",
                                              "reindex",
                                              "quick check",
                                              "integrity check",
                                              "FTS5 merge",
                                              "FTS5 optimize",
                                              "FTS5 check",
                                              "sizes",
                                              "schedule"};

static int any_object(void *user, const sqlpool_object_size *object) {
    *(int64_t *)user += object->pages;
    return 0;
}

static int operate(sqlpool *pool, int which, sqlpool_error *error) {
    sqlpool_schedule_config schedule;
    sqlpool_task task;
    sqlpool_sizes sizes;
    int64_t sum = 0;
    int rc;
    switch (which) {
    case 0:
        return sqlpool_optimize(pool, NULL, NULL, error);
    case 1:
        return sqlpool_analyze(pool, NULL, 0, NULL, error);
    case 2:
        return sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_KEEP, NULL, error);
    case 3:
        return sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_NONE, NULL, error);
    case 4:
        return sqlpool_incremental_vacuum(pool, 0, NULL, NULL, error);
    case 5:
        (void)unlink(copy);
        return sqlpool_vacuum_into(pool, copy, NULL, error);
    case 6:
        return sqlpool_reindex(pool, NULL, NULL, error);
    case 7:
        return sqlpool_check(pool, SQLPOOL_CHECK_QUICK, NULL, NULL, NULL, error);
    case 8:
        return sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, NULL, error);
    case 9:
        return sqlpool_fts5(pool, NULL, SQLPOOL_FTS5_MERGE, NULL, error);
    case 10:
        return sqlpool_fts5(pool, NULL, SQLPOOL_FTS5_OPTIMIZE, NULL, error);
    case 11:
        return sqlpool_fts5(pool, NULL, SQLPOOL_FTS5_CHECK, NULL, error);
    case 12:
        rc = sqlpool_get_sizes(pool, &sizes, error);
        return rc == SQLPOOL_OK ? sqlpool_object_sizes(pool, any_object, &sum, NULL, error) : rc;
    default:
        memset(&schedule, 0, sizeof schedule);
        memset(&task, 0, sizeof task);
        task.name = "check";
        task.kind = SQLPOOL_TASK_QUICK_CHECK;
        task.interval_s = 1;
        schedule.tasks = &task;
        schedule.count = 1;
        schedule.keep_state = true;
        rc = sqlpool_schedule(pool, &schedule, error);
        return rc == SQLPOOL_OK ? sqlpool_schedule_run(pool, "check", error) : rc;
    }
}

static bool copy_file(const char *from, const char *to) {
    char buffer[65536];
    ssize_t count = -1;
    const int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    while (in >= 0 && out >= 0 && (count = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, (size_t)count) != count) break;
    if (in >= 0) (void)close(in);
    if (out >= 0) (void)close(out);
    return count == 0;
}
static bool begin_anew(void) {
    sim_remove_database(path);
    sim_remove_database(copy);
    return copy_file(template, path);
}

static sqlpool *open_work(const char *vfs, sqlpool_error *error) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool *pool = NULL;
    config.vfs_name = vfs;
    config.allocator = sim_allocator();
    config.min_connections = 1;
    config.max_connections = 2;
    config.reserve_connections = SQLPOOL_OFF;
    config.acquire_timeout_ms = 100;
    config.retry_attempts = 2;
    config.retry_cap_us = config.retry_base_us = 10;
    config.open_retry_ms = 1;
    config.breaker_open_ms = SQLPOOL_OFF; /* its pauses are tested elsewhere */
    config.disable_upkeep_thread = true;
    (void)sqlpool_open(&pool, path, &config, error);
    return pool;
}

/*  The file is whole and has the rows it had. */
static bool is_whole(const char *file, const char *what, uint64_t n) {
    char why[400];
    sqlite3 *db = NULL;
    int64_t rows = -1, tables = -1;
    bool is_good = sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                   sim_plain_integrity(db, why, sizeof why) == 0;
    if (is_good) {
        rows = sim_plain_int64(db, "SELECT count(*) + sum(length(b)) FROM t WHERE a > 0", -1);
        tables = sim_plain_int64(
            db, "SELECT count(*) FROM sqlite_master WHERE name LIKE '%scratch%'", -1);
    }
    (void)sqlite3_close(db);
    is_good = is_good && rows == ROWS + ROWS * 400 && tables == 0;
    if (!is_good)
        test_fail(__FILE__, __LINE__, "%s, call %llu: not whole: %s, %lld, %lld", what,
                  (unsigned long long)n, rows < 0 ? why : "", (long long)rows, (long long)tables);
    return is_good;
}

static bool has_fts5(void) {
    return sqlite3_compileoption_used("ENABLE_FTS5") != 0;
}

static bool make_template(void) {
    sqlite3 *db = NULL;
    char *message = NULL;
    int rc = sqlite3_open(template, &db);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db,
                          "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                          "CREATE TABLE t(a UNIQUE, b, c); CREATE INDEX t_c ON t(c);"
                          "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) "
                          "INSERT INTO t SELECT i, hex(zeroblob(200)), i % 10 FROM n; DELETE FROM "
                          "t WHERE a > 300;",
                          NULL, NULL, &message);
    if (rc == SQLITE_OK && has_fts5())
        rc = sqlite3_exec(
            db,
            "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f(f, rank) VALUES('automerge', 0);"
            "INSERT INTO f VALUES('a b'); INSERT INTO f VALUES('b c'); INSERT INTO f VALUES('c d');"
            "INSERT INTO f VALUES('a b'); INSERT INTO f VALUES('b c'); INSERT INTO f VALUES('c "
            "d');",
            NULL, NULL, &message);
    if (rc != SQLITE_OK)
        test_fail(__FILE__, __LINE__, "template: %s", message != NULL ? message : "?");
    sqlite3_free(message);
    return sqlite3_close(db) == SQLITE_OK && rc == SQLITE_OK;
}

/*  One operation with that fault; how many calls there were, or HOPELESS. */
static uint64_t run_with_fault(int which, sim_vfs_fault fault) {
    const int files = sim_vfs.open_files;
    sqlpool_error error;
    sqlpool *pool;
    uint64_t calls = HOPELESS;
    char why[400];
    int rc;
    if (!begin_anew()) return HOPELESS;
    pool = open_work("sim", &error);
    if (pool == NULL) {
        test_fail(__FILE__, __LINE__, "open: %s", error.message);
        return HOPELESS;
    }
    sim_vfs_arm(fault);
    rc = operate(pool, which, &error);
    calls = sim_vfs.calls;
    sim_vfs_heal();
    if (error.result != rc || (rc != SQLPOOL_OK) != (error.message[0] != '\0'))
        test_fail(__FILE__, __LINE__, "%s, call %llu: %d, but %d \"%s\"", names[which],
                  (unsigned long long)fault.at, rc, error.result, error.message);
    if (rc != SQLPOOL_OK && which == 5 && access(copy, F_OK) == 0 && !fault.from_on)
        test_fail(__FILE__, __LINE__, "call %llu: a copy that is worth nothing is left",
                  (unsigned long long)fault.at);
    if (rc != SQLPOOL_OK && !fault.from_on && fault.at != 0) { /* the second try goes well */
        rc = operate(pool, which, &error);
        if (rc != SQLPOOL_OK)
            rc = operate(pool, which, &error); /* an opening waits after a failed one */
        if (rc != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "%s, call %llu: not even later: %s", names[which],
                      (unsigned long long)fault.at, error.message);
    }
    if (sqlpool_close(pool, &error) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "close: %s", error.message);
    if (sim_vfs.open_files != files)
        test_fail(__FILE__, __LINE__, "%s, call %llu: %d files left open", names[which],
                  (unsigned long long)fault.at, sim_vfs.open_files - files);
    (void)is_whole(path, names[which], fault.at);
    if (rc == SQLPOOL_OK && which == 5) (void)is_whole(copy, "the copy", fault.at);
    if (sim_alloc_check(why, sizeof why) != 0)
        test_fail(__FILE__, __LINE__, "%s: %s", names[which], why);
    return test_failed_now ? HOPELESS : calls;
}

static bool can_operate(int which) {
    return has_fts5() || which < 9 || which > 11;
}

/*  Every call fails once, and from some call on all writes fail for want of space. */
TEST(disks_that_fail_or_are_full_leave_the_file_whole) {
    int which;
    for (which = 0; which < OPERATIONS; which++) {
        sim_vfs_fault fault = {0};
        uint64_t calls, stride;
        if (!can_operate(which)) continue;
        calls = run_with_fault(which, fault);
        CHECK(calls < HOPELESS);
        stride = is_full ? 1 : calls / 25 + 1;
        for (fault.at = 1; fault.at <= calls; fault.at += stride) {
            fault.kind = SIM_VFS_ANY;
            fault.from_on = 0;
            fault.code = 0;
            CHECK(run_with_fault(which, fault) != HOPELESS);
            fault.kind = SIM_VFS_WRITE;
            fault.code = SQLITE_FULL;
            fault.from_on = 1;
            CHECK(run_with_fault(which, fault) != HOPELESS);
        }
    }
}

/*  VACUUM needs a copy in the temporary folder and one in the log. */
TEST(a_vacuum_without_room_says_full) {
    sim_vfs_fault fault = {.at = 3, .kind = SIM_VFS_WRITE, .code = SQLITE_FULL, .from_on = 1};
    sqlpool_error error;
    sqlpool *pool;
    CHECK(begin_anew());
    pool = open_work("sim", &error);
    CHECK(pool != NULL);
    sim_vfs_arm(fault);
    CHECK_INT(sqlpool_vacuum(pool, 0, NULL, &error) & 0xff, SQLITE_FULL);
    sim_vfs_heal();
    CHECK_INT(sqlpool_exec(pool, "UPDATE t SET c = 11 WHERE a = 1", SQLPOOL_NO_ARGS, &error),
              SQLPOOL_OK);
    CHECK_INT(sqlpool_vacuum(pool, 0, NULL, &error), SQLPOOL_OK);
    CHECK_INT(sqlpool_close(pool, NULL), SQLPOOL_OK);
    CHECK(is_whole(path, "vacuum", 0));
}

TEST(every_operation_survives_every_allocation_that_fails) {
    int which;
    char why[400];
    for (which = 0; which < OPERATIONS; which++) {
        uint64_t n, count = 0, stride = 1;
        if (!can_operate(which)) continue;
        for (n = 0; n <= count; n += stride) {
            sqlpool_error error;
            sqlpool *pool;
            uint64_t before;
            int rc;
            CHECK(begin_anew());
            pool = open_work(NULL, &error);
            CHECK(pool != NULL);
            before = sim_alloc.requests;
            if (n > 0) sim_alloc_fail(before + n, 0);
            rc = operate(pool, which, &error);
            sim_alloc_heal();
            if (n == 0) {
                CHECK_INT(rc, SQLPOOL_OK);
                count = sim_alloc.requests - before;
                stride = is_full ? 1 : count / 40 + 1;
            }
            if (rc != SQLPOOL_OK && rc != SQLPOOL_NOMEM && (rc & 0xff) != SQLITE_NOMEM &&
                rc != SQLITE_IOERR_NOMEM && (rc & 0xff) != SQLITE_CANTOPEN)
                test_fail(__FILE__, __LINE__, "%s, request %llu: %d %s", names[which],
                          (unsigned long long)n, rc, error.message);
            if (rc != SQLPOOL_OK) rc = operate(pool, which, &error);
            if (rc != SQLPOOL_OK)
                test_fail(__FILE__, __LINE__, "%s, request %llu, second try: %s", names[which],
                          (unsigned long long)n, error.message);
            CHECK_INT(sqlpool_close(pool, NULL), SQLPOOL_OK);
            CHECK(is_whole(path, names[which], n));
            if (sim_alloc_check(why, sizeof why) != 0)
                test_fail(__FILE__, __LINE__, "%s: %s", names[which], why);
            CHECK(!test_failed_now);
        }
    }
}

/*  A process that is killed at its n-th call to the disk. */
static uint64_t kill_at, points;
static void on_point(void *user, const sim_vfs_event *event) {
    (void)user, (void)event;
    if (++points == kill_at) (void)kill(getpid(), SIGKILL);
}

static int child(int which, uint64_t at) {
    sqlpool_error error;
    sqlpool *pool = open_work("sim", &error);
    if (pool == NULL) return 3;
    sim_vfs_arm((sim_vfs_fault){0});
    kill_at = at;
    sim_vfs.point_fn = on_point;
    return operate(pool, which, &error) == SQLPOOL_OK && sqlpool_close(pool, NULL) == SQLPOOL_OK
               ? 0
               : 3;
}

TEST(processes_killed_in_the_middle_leave_the_file_whole) {
    int which, kills = 0;
    for (which = 0; which < OPERATIONS; which++) {
        uint64_t at = 1, stride = is_full ? 1 : which == 2 || which == 4 ? 11 : 37;
        bool is_over = false;
        if (!can_operate(which)) continue;
        for (; !is_over; at += stride) {
            int status = 0;
            pid_t pid;
            CHECK(begin_anew());
            pid = fork(); /* no pool is open here */
            CHECK(pid >= 0);
            if (pid == 0) _exit(child(which, at));
            CHECK_INT(waitpid(pid, &status, 0), pid);
            CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
            is_over = !WIFSIGNALED(status);
            kills += is_over ? 0 : 1;
            CHECK(is_whole(path, names[which], at));
        }
    }
    printf("# %d processes killed\n", kills);
    CHECK(kills > 30);
}

/*  --- damaged files --- */

static const char *corpus(char *room, size_t bytes) {
    const char *root = getenv("TEST_ROOT");
    (void)snprintf(room, bytes, "%s/tests/corpus/file", root != NULL ? root : "../../../..");
    return room;
}

/*  Damages a good file as bytes of the corpus say: pairs of place and value, all over the file. */
static bool damage(const unsigned char *bytes, size_t count) {
    struct stat status;
    size_t i;
    const int file = open(path, O_RDWR);
    if (file < 0 || fstat(file, &status) != 0) return false;
    for (i = 0; i + 3 < count; i += 4) {
        const off_t at =
            (off_t)((((uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2]) *
                     97u) %
                    (uint32_t)status.st_size);
        if (pwrite(file, &bytes[i + 3], 1, at) != 1) break;
    }
    return close(file) == 0;
}

static void try_all(const char *file) {
    int which;
    for (which = 0; which < OPERATIONS; which++) {
        sqlpool_error error;
        sqlpool *pool = open_work(NULL, &error);
        const int64_t before = sim_real_ns();
        int rc;
        if (pool == NULL) {
            CHECK(error.message[0] != '\0');
            return; /* it says that it is no database */
        }
        rc = operate(pool, which, &error);
        if (error.result != rc || (rc != SQLPOOL_OK && error.message[0] == '\0'))
            test_fail(__FILE__, __LINE__, "%s of %s: %d without a word", names[which], file, rc);
        if (sim_real_ns() - before > INT64_C(20000000000))
            test_fail(__FILE__, __LINE__, "%s of %s took too long", names[which], file);
        CHECK_INT(sqlpool_close(pool, NULL), SQLPOOL_OK);
    }
}

TEST(damaged_files_end_in_named_errors) {
    char room[PATH_MAX], name[PATH_MAX + 300];
    unsigned char bytes[4096];
    struct dirent *entry;
    DIR *folder = opendir(corpus(room, sizeof room));
    int files = 0, found = 0;
    CHECK(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        sqlpool_check_result result;
        sqlpool_error error;
        sqlpool *pool;
        FILE *file;
        size_t count;
        if (entry->d_name[0] == '.') continue;
        (void)snprintf(name, sizeof name, "%s/%s", room, entry->d_name);
        file = fopen(name, "rb");
        CHECK(file != NULL);
        count = fread(bytes, 1, sizeof bytes, file);
        (void)fclose(file);
        files++;
        if (!is_full && files % 4 != 0) continue;
        sim_remove_database(path); /* the file itself */
        CHECK(copy_file(name, path));
        try_all(entry->d_name);
        CHECK(begin_anew() && damage(bytes, count)); /* and a good one that it damages */
        pool = open_work(NULL, &error);
        if (pool != NULL) {
            if (sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, &result, &error) !=
                SQLPOOL_OK) {
                CHECK(result.problems > 0 || error.message[0] != '\0');
                found++;
            }
            CHECK_INT(sqlpool_close(pool, NULL), SQLPOOL_OK);
        }
        try_all(entry->d_name);
        CHECK(!test_failed_now);
    }
    (void)closedir(folder);
    CHECK(files > 20);
    printf("# %d files, %d damages found by the check\n", files, found);
}

/*  --- page counting, where SQLite has no dbstat --- */

typedef struct both {
    char name[40][40];
    int64_t pages[40];
    int count;
    int different, unknown;
} both;
static int note_exact(void *user, const sqlpool_object_size *object) {
    both *b = (both *)user;
    (void)snprintf(b->name[b->count], sizeof b->name[0], "%s", object->name);
    b->pages[b->count++] = object->pages;
    return 0;
}
static int compare(void *user, const sqlpool_object_size *object) {
    both *b = (both *)user;
    int i;
    for (i = 0; i < b->count; i++) {
        if (strcmp(b->name[i], object->name) == 0 && b->pages[i] != object->pages) b->different++;
    }
    if (object->unused_bytes != -1 || object->gaps != -1 || object->payload_bytes != -1)
        b->unknown++;
    return 0;
}

TEST(pages_counted_by_walking_are_those_of_dbstat) {
    both b;
    sqlpool_error error;
    sqlpool__chore chore;
    sqlpool *pool;
    memset(&b, 0, sizeof b);
    CHECK(begin_anew());
    pool = open_work(NULL, &error);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_script(
                  pool,
                  "CREATE INDEX part ON t(b, c) WHERE c > 4; CREATE INDEX expression ON t(c + 1);"
                  "CREATE TABLE flat(k PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO flat SELECT a, b "
                  "FROM t;",
                  -1, &error),
              SQLPOOL_OK);
    CHECK_INT(sqlpool_object_sizes(pool, note_exact, &b, NULL, &error), SQLPOOL_OK);
    CHECK(b.count > 6);
    CHECK_INT(sqlpool__enter_chore(pool, "count", NULL, &chore, &error), SQLPOOL_OK);
    CHECK_INT(sqlpool__object_sizes(&chore, compare, &b, false), SQLPOOL_OK);
    CHECK_INT(sqlpool__leave_chore(&chore), SQLPOOL_OK);
    CHECK_INT(b.different, 0);
    CHECK_INT(b.unknown, 0);
    CHECK_INT(sqlpool_close(pool, NULL), SQLPOOL_OK);
}

int main(int argc, char **argv) {
    if (sim_alloc_install() != SQLITE_OK || sim_vfs_install() != SQLITE_OK) {
        printf("not ok install\n0 passed, 1 failed\n");
        return 1;
    }
    sim_vfs.skip_sync = 1;
    sim_vfs.skip_sleep = 1;
    sim_alloc.seed = sim_vfs.seed = sim_seed();
    is_full = argc > 1 && strcmp(argv[1], "full") == 0;
    if (!make_template()) return 1;
    RUN(pages_counted_by_walking_are_those_of_dbstat);
    RUN(a_vacuum_without_room_says_full);
    RUN(disks_that_fail_or_are_full_leave_the_file_whole);
    RUN(every_operation_survives_every_allocation_that_fails);
    RUN(processes_killed_in_the_middle_leave_the_file_whole);
    RUN(damaged_files_end_in_named_errors);
    return test_end();
}
