/*  backup.c - backups and restores that are killed, and whose disk fails.
    SPDX-License-Identifier: MIT OR Unlicense

    A backup or restore is a row of calls to the disk: SQLite's, through the simulator's VFS, and
    those of sqlpool_files. A second process (fork and exec) does it and kills itself before or
    after the n-th of them; afterwards the target must be absent or complete, and the database the
    old or the new one, whole. Or, in this process, the n-th call fails.

    backup        some points, evenly spread
    backup full   all of them, and at least 1000 kills */
#define _GNU_SOURCE
#include "sim/files.h"
#include "sim/vfs.h"
#include "sqlpool.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BEFORE = 100,
    THEN = 200,
    NOW = 201
}; /* rows: in the old backup, in base.db, and one more */
enum { SOME_KILLS = 16, ALL_KILLS = 1000, SOME_FAULTS = 40 };

typedef enum scenario {
    BACKUP_NEW,
    BACKUP_OVER,
    RESTORE_WAL,
    RESTORE_DELETE,
    RESTORE_DAMAGED,
    SCENARIOS
} scenario;

static const char *program;
static bool is_full;
static sqlpool_error err;

#define PART_OF(call) \
    do { \
        call; \
        if (__atomic_load_n(&test_failed_now, __ATOMIC_RELAXED)) return; \
    } while (0)

/*---- points ----*/

static struct {
    int64_t count;   /* so far; 0 before the operation has begun */
    int64_t kill_at; /* 0: never */
    bool is_armed;
} points;

static void point(void) {
    if (!points.is_armed) return;
    if (++points.count == points.kill_at) (void)kill(getpid(), SIGKILL);
}
static void on_vfs(void *user, const sim_vfs_event *event) {
    (void)user, (void)event;
    point();
}

/*---- files ----*/

static bool is_there(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}
static void copy_file(const char *from, const char *to) {
    static char block[1 << 16];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    size_t n;
    while (in != NULL && out != NULL && (n = fread(block, 1, sizeof block, in)) > 0)
        if (fwrite(block, 1, n, out) != n) break;
    if (in == NULL || ferror(in) || out == NULL || fclose(out) != 0)
        test_fail(__FILE__, __LINE__, "copy %s to %s", from, to);
    if (in != NULL) (void)fclose(in);
}
/*  The name of a file here that begins so and does not end in "-wal" and the like; "" if there is
    none. */
static const char *find_file(const char *prefix, char name[300]) {
    DIR *dir = opendir(".");
    struct dirent *entry;
    name[0] = '\0';
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        const char *end = strrchr(entry->d_name, '-');
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0) continue;
        if (end != NULL &&
            (strcmp(end, "-wal") == 0 || strcmp(end, "-shm") == 0 || strcmp(end, "-journal") == 0))
            continue;
        (void)snprintf(name, 300, "%.290s", entry->d_name);
    }
    if (dir != NULL) (void)closedir(dir);
    return name;
}
static void remove_files(const char *prefix) {
    DIR *dir = opendir(".");
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0) (void)unlink(entry->d_name);
    if (dir != NULL) (void)closedir(dir);
}

/*  Rows of t, or -1: it is not a sound database. */
static int64_t rows_of(const char *path) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t rows = -1;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW &&
        strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0) {
        (void)sqlite3_finalize(statement);
        statement = NULL;
        if (sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &statement, NULL) == SQLITE_OK &&
            sqlite3_step(statement) == SQLITE_ROW)
            rows = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return rows;
}

/*---- the operation ----*/

static sqlpool *open_here(const char *path, bool is_wal, const char *vfs) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool *pool = NULL;
    config.disable_upkeep_thread = true; /* the same calls in the same order */
    config.max_connections = 3;
    config.breaker_open_ms = SQLPOOL_OFF;
    config.vfs_name = vfs;
    config.close_timeout_ms = 2000;
    config.acquire_timeout_ms = 200;
    config.journal = is_wal ? SQLPOOL_JOURNAL_WAL : SQLPOOL_JOURNAL_DELETE;
    if (sqlpool_open(&pool, path, &config, &err) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "open: %s", err.message);
    return pool;
}

/*  base.db has THEN rows, old.bak is a backup of it with BEFORE. */
static void prepare_base(void) {
    static const char fill[] =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) "
        "INSERT INTO t(v) SELECT randomblob(500) FROM n";
    sqlpool *pool;
    remove_files("base");
    remove_files("old");
    pool = open_here("base.db", true, "sim");
    if (pool == NULL) return;
    if (sqlpool_script(pool, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", -1, &err) != SQLPOOL_OK ||
        sqlpool_exec(pool, fill, SQLPOOL_NO_ARGS, &err) != SQLPOOL_OK ||
        sqlpool_backup(pool, "old.bak", NULL, NULL, NULL, &err) != SQLPOOL_OK ||
        sqlpool_exec(pool, fill, SQLPOOL_NO_ARGS, &err) != SQLPOOL_OK ||
        sqlpool_close(pool, &err) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "%s", err.message);
}

static void prepare(scenario which) {
    remove_files("k.");
    copy_file("base.db", "k.db");
    if (which != BACKUP_NEW) copy_file("old.bak", "k.bak");
}

/*  What is done with the files that prepare() laid out. */
static int operate(sqlpool *pool, scenario which, sqlpool_error *error) {
    sqlpool_backup_config config;
    int rc;
    memset(&config, 0, sizeof config);
    config.files = sim_files_hooks();
    config.keep = 2;
    config.step_pages = 10;
    points.is_armed = true;
    rc = which == BACKUP_NEW || which == BACKUP_OVER
             ? sqlpool_backup(pool, "k.bak", &config, NULL, NULL, error)
             : sqlpool_restore(pool, "k.bak", &config, NULL, NULL, error);
    points.is_armed = false;
    return rc;
}

static sqlpool *begin(scenario which, const char *vfs) {
    sqlpool *pool = open_here("k.db", which != RESTORE_DELETE, vfs);
    if (pool == NULL) return NULL;
    if (sqlpool_exec(pool, "INSERT INTO t(v) VALUES('the last one')", SQLPOOL_NO_ARGS, &err) !=
        SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "%s", err.message);
    if (which == RESTORE_DAMAGED) { /* a log without the first page, which would heal it */
        if (sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &err) != SQLPOOL_OK ||
            sqlpool_exec(pool, "UPDATE t SET v = 'the very last' WHERE v = 'the last one'",
                         SQLPOOL_NO_ARGS, &err) != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "%s", err.message);
        const int file = open("k.db", O_WRONLY);
        if (file < 0 || pwrite(file, "no database", 11, 0) != 11)
            test_fail(__FILE__, __LINE__, "k.db cannot be damaged");
        if (file >= 0) (void)close(file);
    }
    return pool;
}

static void child(scenario which, int64_t kill_at) {
    FILE *told;
    sqlpool *pool;
    if (sim_vfs_install() != SQLITE_OK) _exit(2);
    sim_files.point_fn = point;
    sim_vfs.point_fn = on_vfs;
    sim_vfs.skip_sync = 1;
    pool = begin(which, "sim");
    points.kill_at = kill_at;
    if (pool == NULL || operate(pool, which, &err) != SQLPOOL_OK) {
        printf("# child: %s\n", err.message);
        fflush(stdout);
        _exit(3);
    }
    told = fopen("points", "w");
    if (told == NULL || fprintf(told, "%" PRId64 "\n", points.count) < 0 || fclose(told) != 0)
        _exit(4);
    _exit(sqlpool_close(pool, &err) == SQLPOOL_OK ? 0 : 5);
}

/*  Runs the child; 0: it was not killed. -1: something is wrong. */
static int run_child(scenario which, int64_t kill_at) {
    char name[16], at[32];
    pid_t pid;
    int status = 0;
    (void)snprintf(name, sizeof name, "%d", (int)which);
    (void)snprintf(at, sizeof at, "%" PRId64, kill_at);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        (void)execl(program, program, "child", name, at, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return -1;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return 1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/*---- what must be true afterwards ----*/

static void check_backup(scenario which, int64_t at, bool is_done) {
    const bool was_there = which == BACKUP_OVER;
    int64_t target = -2, older = -2;
    sqlpool *pool;
    if (is_there("k.bak")) target = rows_of("k.bak");
    if (is_there("k.bak.1")) older = rows_of("k.bak.1");
    if (!(target == NOW || (target == BEFORE && was_there && !is_done) ||
          (target == -2 && !was_there && !is_done)) ||
        !(older == -2 || older == BEFORE) || (was_there && target != BEFORE && older != BEFORE)) {
        test_fail(__FILE__, __LINE__,
                  "%d, point %" PRId64 ": the target has %" PRId64 " rows, the older one %" PRId64,
                  (int)which, at, target, older);
        return;
    }
    CHECK_INT(rows_of("k.db"), NOW);
    pool = open_here("k.db", true, "sim");
    CHECK(pool != NULL);
    if (target >= 0 && sqlpool_backup_verify(pool, "k.bak", NULL, NULL, NULL, &err) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "point %" PRId64 ": %s", at, err.message);
    if (older >= 0 && sqlpool_backup_verify(pool, "k.bak.1", NULL, NULL, NULL, &err) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "point %" PRId64 ": %s", at, err.message);
    { /* the next one goes well, and clears away */
        sqlpool_backup_config config = {.keep = 2};
        if (sqlpool_backup(pool, "k.bak", &config, NULL, NULL, &err) != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "point %" PRId64 ": %s", at, err.message);
        if (is_there("k.bak-partial") || is_there("k.bak-partial-journal"))
            test_fail(__FILE__, __LINE__, "point %" PRId64 ": a partial is left", at);
    }
    CHECK_INT(sqlpool_close(pool, &err), SQLPOOL_OK);
}

static void check_restore(scenario which, int64_t at, bool is_done) {
    char kept[300];
    const int64_t rows = is_there("k.db") ? rows_of("k.db") : -2;
    const bool is_new = rows == BEFORE;
    const bool is_old = which == RESTORE_DAMAGED ? rows == -1 : rows == NOW;
    sqlpool *pool;
    if (!(is_new || (is_old && !is_done))) {
        test_fail(__FILE__, __LINE__, "%d, point %" PRId64 ": the database has %" PRId64 " rows",
                  (int)which, at, rows);
        return;
    }
    CHECK_INT(rows_of("k.bak"), BEFORE);
    if (is_new) {
        CHECK(find_file("k.db.replaced-", kept)[0] != '\0');
        if (which != RESTORE_DAMAGED) {
            CHECK_INT(rows_of(kept), NOW);
        } else { /* the log of the damaged file is beside it: with its first page it would be whole */
            const int file = open(kept, O_WRONLY);
            CHECK(file >= 0 && pwrite(file, "SQLite form", 11, 0) == 11 && close(file) == 0);
            CHECK_INT(rows_of(kept), NOW);
        }
    }
    if (which == RESTORE_DAMAGED && !is_new) return; /* no pool can be opened on it */
    pool = open_here("k.db", which != RESTORE_DELETE, "sim");
    CHECK(pool != NULL);
    if (sqlpool_restore(pool, "k.bak", NULL, NULL, NULL, &err) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "point %" PRId64 ": %s", at, err.message);
    if (is_there("k.db-partial") || is_there("k.db-partial-journal"))
        test_fail(__FILE__, __LINE__, "point %" PRId64 ": a partial is left", at);
    CHECK_INT(sqlpool_close(pool, &err), SQLPOOL_OK);
    CHECK_INT(rows_of("k.db"), BEFORE);
}

static void check_after(scenario which, int64_t at, bool is_done) {
    if (which == BACKUP_NEW || which == BACKUP_OVER) {
        check_backup(which, at, is_done);
    } else {
        check_restore(which, at, is_done);
    }
}

static int64_t count_points(scenario which) {
    int64_t count = -1;
    FILE *told;
    prepare(which);
    if (run_child(which, 0) != 0) return -1;
    told = fopen("points", "r");
    if (told == NULL || fscanf(told, "%" SCNd64, &count) != 1) count = -1;
    if (told != NULL) (void)fclose(told);
    return count;
}

static int kills_total;
static void kill_everywhere(scenario which) {
    int64_t all, at, wanted = SOME_KILLS, step;
    int kills = 0;
    PART_OF(prepare_base());
    all = count_points(which);
    CHECK(all > 50);
    PART_OF(check_after(which, 0, true));
    if (is_full) wanted = all;
    step = all / wanted < 1 ? 1 : all / wanted;
    for (at = 1 + (step > 1 ? (which * 7) % step : 0); at <= all; at += step) {
        PART_OF(prepare(which));
        CHECK_INT(run_child(which, at), 1);
        kills++;
        PART_OF(check_after(which, at, false));
    }
    kills_total += kills;
    printf("# %d kills at %" PRId64 " points\n", kills, all);
}

TEST(killed_while_making_a_first_backup) {
    kill_everywhere(BACKUP_NEW);
}
TEST(killed_while_replacing_a_backup) {
    kill_everywhere(BACKUP_OVER);
}
TEST(killed_while_restoring_with_a_log) {
    kill_everywhere(RESTORE_WAL);
}
TEST(killed_while_restoring_without_a_log) {
    kill_everywhere(RESTORE_DELETE);
}
TEST(killed_while_restoring_a_damaged_database) {
    kill_everywhere(RESTORE_DAMAGED);
}
/*  At any moment, between and within the calls. */
TEST(killed_at_random_times) {
    int i = 0;
    uint64_t dice = 20261121;
    PART_OF(prepare_base());
    while (is_full && kills_total < ALL_KILLS && i < 5 * ALL_KILLS) {
        const scenario which = (scenario)(i++ % RESTORE_DAMAGED);
        char name[16];
        pid_t pid;
        int status = 0;
        PART_OF(prepare(which));
        (void)snprintf(name, sizeof name, "%d", (int)which);
        fflush(stdout);
        pid = fork();
        if (pid == 0) {
            (void)execl(program, program, "child", name, "0", (char *)NULL);
            _exit(127);
        }
        CHECK(pid > 0);
        dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
        (void)usleep((useconds_t)(3000 + (dice >> 33) % 25000));
        (void)kill(pid, SIGKILL);
        CHECK(waitpid(pid, &status, 0) == pid);
        if (!WIFSIGNALED(status)) continue;
        kills_total++;
        if (rows_of("k.db") == THEN) continue; /* it had not begun */
        PART_OF(check_after(which, -1, false));
    }
    if (is_full) printf("# %d kills in all\n", kills_total);
}

/*---- calls that fail ----*/

static int open_descriptors(void) {
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;
    while (dir != NULL && readdir(dir) != NULL) count++;
    if (dir != NULL) (void)closedir(dir);
    return count;
}

/*  After a call that failed here: nothing is lost, nothing left, and it goes well the next time. */
static void check_failed(sqlpool *pool, scenario which, int64_t at, int rc, int64_t most_ms) {
    const bool is_backup = which == BACKUP_NEW || which == BACKUP_OVER;
    sim_vfs_heal();
    sim_files.fault.at = 0;
    if (rc != SQLPOOL_OK && (err.result != rc || err.message[0] == '\0')) {
        test_fail(__FILE__, __LINE__, "call %" PRId64 ": %d without a word", at, rc);
        return;
    }
    (void)most_ms;
    if (rc == SQLPOOL_OK || strstr(err.message, "was replaced, but") != NULL ||
        strstr(err.message, "syncing the folder") != NULL) {
        if (!is_backup) CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    } else if (is_there(is_backup ? "k.bak-partial" : "k.db-partial")) {
        /* only what could not even be removed; the next one does */
        printf("# call %" PRId64 ": %s leaves a partial\n", at, err.message);
    }
    if (sqlpool_close(pool, &err) != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "call %" PRId64 ": close: %s", at, err.message);
        return;
    }
    check_after(which, at, false);
}

static void fail_everywhere(scenario which, int code) {
    int64_t at, step = 1, all = 0;
    int fds = 0, done = 0;
    PART_OF(prepare_base());
    for (at = 0; at == 0 || at <= all; at += step) {
        sim_vfs_fault fault;
        sqlpool *pool;
        int rc;
        PART_OF(prepare(which));
        pool = begin(which, "sim");
        CHECK(pool != NULL);
        memset(&fault, 0, sizeof fault);
        fault.at = (uint64_t)at;
        fault.kind = SIM_VFS_ANY;
        fault.code = code;
        sim_vfs_arm(fault);
        memset(&err, 0x5a, sizeof err);
        rc = operate(pool, which, &err);
        if (at == 0) {
            CHECK_INT(rc, SQLPOOL_OK);
            all = (int64_t)sim_vfs.calls;
            step = is_full ? 1 : all / SOME_FAULTS;
            if (step < 1) step = 1;
        }
        PART_OF(check_failed(pool, which, at, rc, 0));
        if (at == 0) fds = open_descriptors();
        done++;
    }
    CHECK(open_descriptors() <= fds + 1);
    if (done <= 20) test_fail(__FILE__, __LINE__, "%d of %" PRId64 " calls", done, all);
}

TEST(every_call_of_a_backup_may_fail) {
    fail_everywhere(BACKUP_OVER, 0);
}
TEST(a_full_disk_at_every_call_of_a_backup) {
    fail_everywhere(BACKUP_OVER, SQLITE_FULL);
}
TEST(every_call_of_a_restore_may_fail) {
    fail_everywhere(RESTORE_WAL, 0);
}
TEST(a_full_disk_at_every_call_of_a_restore) {
    fail_everywhere(RESTORE_WAL, SQLITE_FULL);
}

/*  What the system says to names: each of the functions in turn, with each code. */
static void fail_files(scenario which) {
    static const struct {
        int code, result;
    } codes[] = {{ENOSPC, SQLITE_FULL},         {EROFS, SQLITE_READONLY}, {EACCES, SQLITE_READONLY},
                 {EIO, SQLITE_IOERR},           {ENOENT, SQLPOOL_TARGET}, {ENOMEM, SQLPOOL_NOMEM},
                 {ENAMETOOLONG, SQLPOOL_TARGET}};
    size_t i;
    PART_OF(prepare_base());
    for (i = 0; i < sizeof codes / sizeof *codes; i++) {
        int64_t at, calls = 0;
        for (at = 1; calls == 0 || at <= calls; at++) {
            sqlpool *pool;
            int rc;
            PART_OF(prepare(which));
            pool = begin(which, "sim");
            CHECK(pool != NULL);
            sim_files_arm((sim_files_fault){(uint64_t)at, SIM_FILES_ANY, codes[i].code, 0});
            memset(&err, 0x5a, sizeof err);
            rc = operate(pool, which, &err);
            if (sim_files.faults == 0) /* there are no more */
                calls = (int64_t)sim_files.kind_calls[SIM_FILES_ANY];
            /* a second name that cannot be had is done without */
            if (rc != SQLPOOL_OK && rc != codes[i].result)
                test_fail(__FILE__, __LINE__, "call %" PRId64 ", errno %d: %d: %s", at,
                          codes[i].code, rc, err.message);
            if (rc != SQLPOOL_OK) CHECK_INT(err.os_code, codes[i].code);
            PART_OF(check_failed(pool, which, at, rc, 0));
        }
        CHECK(calls >= 3);
    }
}
TEST(names_that_the_system_refuses_a_backup) {
    fail_files(BACKUP_OVER);
}
TEST(names_that_the_system_refuses_a_restore) {
    fail_files(RESTORE_WAL);
}

int main(int argc, char **argv) {
    char self[1024];
    const ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
    program = argv[0];
    if (bytes > 0) {
        self[bytes] = '\0';
        program = self;
    }
    if (argc == 4 && strcmp(argv[1], "child") == 0)
        child((scenario)atoi(argv[2]), strtoll(argv[3], NULL, 10));
    is_full = argc > 1 && strcmp(argv[1], "full") == 0;
    if (sim_vfs_install() != SQLITE_OK) return 1;
    sim_vfs.skip_sync = 1;
    RUN(killed_while_making_a_first_backup);
    RUN(killed_while_replacing_a_backup);
    RUN(killed_while_restoring_with_a_log);
    RUN(killed_while_restoring_without_a_log);
    RUN(killed_while_restoring_a_damaged_database);
    RUN(killed_at_random_times);
    RUN(every_call_of_a_backup_may_fail);
    RUN(a_full_disk_at_every_call_of_a_backup);
    RUN(every_call_of_a_restore_may_fail);
    RUN(a_full_disk_at_every_call_of_a_restore);
    RUN(names_that_the_system_refuses_a_backup);
    RUN(names_that_the_system_refuses_a_restore);
    return test_end();
}
