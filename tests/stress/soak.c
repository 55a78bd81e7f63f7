/*  soak.c - two processes on one file for a long time: nothing may grow.
    SPDX-License-Identifier: MIT OR Unlicense

    Two worker processes, each with a pool, do everything at once on one database: single writes,
    functions, transactions, submitted writes, loads, point reads, scans, cursors left half read,
    leases held for a while, snapshot scopes, changes of the schema, checkpoints, recycling, checks,
    reports, a second pool opened and closed; and a schedule optimizes, vacuums, checks a copy and
    makes backups. The rows are so many and no more, so the file has its size
    after a while. This process looks at the two from outside, through /proc: descriptors,
    threads, memory; and at the size of the log. After a warm-up, the first quarter and until both
    have done some of everything, none may pass its bound:

      descriptors   the most of the warm-up, and FD_MORE
      threads       the most of the warm-up, and THREADS_MORE
      memory (RSS)  the most of the warm-up, RSS_PERCENT of it and RSS_MORE
      log           WAL_BOUND bytes, always; wal_limit_bytes is a sixteenth: what is written while a
                    checkpoint waits for its fsync comes on top

    At the end both pools must close, all acknowledged additions to a counter must be there and
    integrity_check say ok.

    Controls, each a bug seeded in a worker, must be found: a reader that pins the log, a lease
    that is not given back, pools that are not closed, memory that is not freed, an acknowledged
    write that is not made.

    soak [SECONDS]     also SOAK_SECONDS (environment) [3] */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sqlpool.h"
#include "sim/clock.h"
#include "test.h"

#define DATABASE "soak.db"
enum { WORKERS = 2, WRITERS = 3, READERS = 3 };
enum { ROWS = 2000, BODY = 1500, OWN_RESULT = 70001 };
enum { FD_MORE = 16, THREADS_MORE = 4, RSS_PERCENT = 25, RSS_MORE = 12 << 20 };
enum { WAL_LIMIT = 4 << 20, WAL_BOUND = 16 * WAL_LIMIT };
enum { CONTROL_SECONDS = 60 };

static void sleep_ms(int64_t duration) {
    sim_real_sleep_ns(duration * 1000000);
}

/*---- a worker ----*/

static struct worker {
    sqlpool *pool;
    sqlpool_config config;
    int stop; /* atomic, as the counters */
    int64_t added, reads, writes, schema, pools, tasks, refused, wrong;
    char control; /* 0: none */
} worker;

static int stopped(void) {
    return __atomic_load_n(&worker.stop, __ATOMIC_RELAXED);
}
static void count(int64_t *counter) {
    (void)__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}
/*  What other processes, short waits and a lost race with the schema explain. */
static void judge(const char *what, int rc, const sqlpool_error *e) {
    const int primary = rc & 0xff;
    if (rc == SQLPOOL_OK) return;
    if (rc == SQLPOOL_TIMEOUT || rc == SQLPOOL_WOULD_BLOCK || rc == SQLPOOL_NOT_FOUND ||
        (rc > 0 && (primary == SQLITE_BUSY || primary == SQLITE_SCHEMA))) {
        count(&worker.refused);
        return;
    }
    count(&worker.wrong);
    printf("# %s: %s: %s\n", what, sqlpool_result_name(rc), e->message);
    fflush(stdout);
}

static const char body[BODY] = "body";

static int add_fn(sqlpool_conn *conn, void *user, int attempt) {
    const int64_t id = *(const int64_t *)user;
    int rc = sqlpool_conn_exec(conn, "UPDATE tally SET n = n + 1 WHERE id = 1", SQLPOOL_NO_ARGS,
                               NULL, NULL);
    (void)attempt;
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_conn_exec(conn, "REPLACE INTO item VALUES(?, ?, ?)",
                               SQLPOOL_ARGS(id, id * 3, SQLPOOL_BLOB(body, sizeof body)), NULL,
                               NULL);
    }
    return rc == SQLPOOL_OK && id % 16 == 0 ? OWN_RESULT : rc;
}
static void on_added(void *user, const sqlpool_result *result, const sqlpool_error *e) {
    (void)user;
    (void)result;
    if (e->result == SQLPOOL_OK) {
        count(&worker.added);
        count(&worker.writes);
    } else {
        judge("submit", e->result, e);
    }
}

static void *writer_main(void *argument) {
    uint64_t dice = (uint64_t)(uintptr_t)argument * 77 + (uint64_t)getpid();
    while (!stopped()) {
        const uint64_t n = sim_roll(&dice, 100);
        int64_t id = (int64_t)sim_roll(&dice, ROWS);
        sqlpool_error e;
        int rc = SQLPOOL_OK;
        if (n < 40) {
            rc = sqlpool_exec(worker.pool, "UPDATE tally SET n = n + 1 WHERE id = 1",
                              SQLPOOL_NO_ARGS, &e);
            if (rc == SQLPOOL_OK) count(&worker.added);
        } else if (n < 60) {
            rc = n < 50 ? sqlpool_write(worker.pool, add_fn, &id, &e)
                        : sqlpool_transaction(worker.pool, SQLPOOL_WRITE, add_fn, &id, &e);
            if (rc == SQLPOOL_OK) count(&worker.added);
            if (rc == OWN_RESULT) rc = SQLPOOL_OK;
        } else if (n < 75) {
            sqlpool_submission submission = {0};
            submission.done_fn = on_added;
            submission.relaxed = n < 65;
            rc =
                sqlpool_submit_with(worker.pool, &submission, NULL,
                                    "UPDATE tally SET n = n + 1 WHERE id = 1", SQLPOOL_NO_ARGS, &e);
        } else if (n < 92) {
            rc = sqlpool_exec(
                worker.pool, "REPLACE INTO item VALUES(?, ?, ?)",
                SQLPOOL_ARGS(id, id * 3, SQLPOOL_BLOB(body, 100 + sim_roll(&dice, BODY - 100))),
                &e);
        } else if (n < 95) {
            sqlpool_conn conn;
            rc = sqlpool_conn_acquire(worker.pool, SQLPOOL_WRITE, &conn, &e);
            if (rc == SQLPOOL_OK) {
                rc = sqlpool_conn_begin(&conn, &e);
                if (rc == SQLPOOL_OK)
                    rc = sqlpool_conn_exec(&conn, "DELETE FROM item WHERE id = ?", SQLPOOL_ARGS(id),
                                           NULL, &e);
                if (rc == SQLPOOL_OK)
                    rc =
                        n == 92 ? sqlpool_conn_rollback(&conn, &e) : sqlpool_conn_commit(&conn, &e);
                (void)sqlpool_conn_release(&conn);
            }
        } else if (n < 96) {
            static const char *const columns[] = {"id", "v", "body"};
            sqlpool_bulk_config config = {0};
            sqlpool_bulk *bulk;
            int i;
            config.table = "item";
            config.columns = columns;
            config.column_count = 3;
            config.conflict = SQLPOOL_CONFLICT_REPLACE;
            config.batch_bytes = 20000;
            rc = sqlpool_bulk_begin(worker.pool, &config, &bulk, &e);
            for (i = 0; rc == SQLPOOL_OK && i < 50; i++)
                rc = sqlpool_bulk_row(
                    bulk, SQLPOOL_ARGS((id + i) % ROWS, i, SQLPOOL_BLOB(body, 900)), &e);
            if (bulk != NULL) rc = sqlpool_bulk_end(bulk, NULL, &e);
        } else {
            sleep_ms((int64_t)sim_roll(&dice, 3));
            continue;
        }
        judge("write", rc, &e);
        count(&worker.writes);
        /* some megabytes a second are enough; who shows that the log grows makes haste */
        if (worker.control != 'p') sleep_ms(1 + (int64_t)sim_roll(&dice, 2));
    }
    return NULL;
}

static void *reader_main(void *argument) {
    uint64_t dice = (uint64_t)(uintptr_t)argument * 1234567 + (uint64_t)getpid();
    while (!stopped()) {
        const uint64_t n = sim_roll(&dice, 100);
        sqlpool_error e;
        int64_t value;
        int rc = SQLPOOL_OK;
        if (n < 70) {
            rc = sqlpool_query_int64(worker.pool, &value, "SELECT v FROM item WHERE id = ?",
                                     SQLPOOL_ARGS(sim_roll(&dice, ROWS) & 0x7fffffff), &e);
        } else if (n < 90) {
            sqlpool_rows rows;
            int left = n < 80 ? 10 : 1000000;
            rc = sqlpool_query(worker.pool, &rows, "SELECT id, v, body FROM item WHERE id > ?",
                               SQLPOOL_ARGS(ROWS - 300), &e);
            while (left-- > 0 && sqlpool_rows_next(&rows)) (void)sqlpool_rows_blob(&rows, 2);
            rc = sqlpool_rows_close(&rows, &e);
        } else if (n < 98) {
            sqlpool_conn conn;
            rc = sqlpool_conn_acquire(worker.pool, SQLPOOL_READ, &conn, &e);
            if (rc == SQLPOOL_OK) {
                int i;
                if (n < 94) rc = sqlpool_snapshot_begin(&conn, 0, &e);
                for (i = 0; i < 5 && rc == SQLPOOL_OK; i++)
                    rc = sqlpool_conn_exec(&conn, "SELECT sum(v) FROM item", SQLPOOL_NO_ARGS, NULL,
                                           &e);
                if (n == 97) sleep_ms(20);
                if (n < 94) (void)sqlpool_snapshot_end(&conn, NULL);
                (void)sqlpool_conn_release(&conn);
            }
        } else {
            sleep_ms(1);
            continue;
        }
        judge("read", rc, &e);
        count(&worker.reads);
        if (n % 4 == 0) sleep_ms(1);
    }
    return NULL;
}

static int read_report(void *user, const char *text, size_t bytes) {
    (void)text;
    *(size_t *)user += bytes;
    return 0;
}
static void on_task(void *user, const sqlpool_task_state *state) {
    sqlpool_error e;
    (void)user;
    memset(&e, 0, sizeof e);
    (void)snprintf(e.message, sizeof e.message, "%s", state->message);
    judge(state->name, state->result, &e);
    count(&worker.tasks);
}
/*  The schedules of the two processes keep what they did in one table. */
static int begin_schedule(sqlpool_error *e) {
    static char copy[64], backup[64];
    static const char *const names[] = {"optimize", "vacuum", "check", "backup"};
    static const int kinds[] = {SQLPOOL_TASK_OPTIMIZE, SQLPOOL_TASK_INCREMENTAL_VACUUM,
                                SQLPOOL_TASK_INTEGRITY_CHECK, SQLPOOL_TASK_BACKUP};
    sqlpool_task tasks[4];
    sqlpool_schedule_config config;
    int i;
    memset(tasks, 0, sizeof tasks);
    memset(&config, 0, sizeof config);
    (void)snprintf(copy, sizeof copy, "copy-%ld", (long)getpid());
    (void)snprintf(backup, sizeof backup, "backup-%ld", (long)getpid());
    for (i = 0; i < 4; i++) {
        tasks[i].name = names[i];
        tasks[i].kind = kinds[i];
        tasks[i].interval_s = 1 + i;
    }
    tasks[2].path = copy;
    tasks[3].path = backup;
    tasks[3].keep = 2;
    config.tasks = tasks;
    config.count = 4;
    config.keep_state = true;
    config.done_fn = on_task;
    return sqlpool_schedule(worker.pool, &config, e);
}

/*  What happens now and then; and the bugs of the controls. */
static void *chaos_main(void *argument) {
    uint64_t dice = (uint64_t)getpid();
    static sqlpool_conn lost[1];
    bool is_warm = false;
    int lost_count = 0;
    (void)argument;
    while (!stopped()) {
        const uint64_t n = sim_roll(&dice, 100);
        sqlpool_error e;
        int rc = SQLPOOL_OK;
        if (!is_warm && __atomic_load_n(&worker.writes, __ATOMIC_RELAXED) > 300 &&
            __atomic_load_n(&worker.reads, __ATOMIC_RELAXED) > 300 && worker.pools > 1 &&
            (worker.control != 0 || __atomic_load_n(&worker.tasks, __ATOMIC_RELAXED) > 1)) {
            is_warm = true;
            printf("warm\n");
            fflush(stdout);
        }
        if (worker.control == 'p' && lost_count == 0) { /* a reader that pins the log */
            if (sqlpool_conn_acquire(worker.pool, SQLPOOL_READ, &lost[0], &e) == SQLPOOL_OK &&
                sqlpool_snapshot_begin(&lost[0], 0, &e) == SQLPOOL_OK)
                lost_count = 1;
        } else if (worker.control == 'l' && lost_count == 0) { /* a lease that is not given back */
            if (sqlpool_conn_acquire(worker.pool, SQLPOOL_READ, &lost[0], &e) == SQLPOOL_OK)
                lost_count = 1;
        } else if (worker.control == 'o' && is_warm && n < 20) { /* a pool that is not closed */
            sqlpool *forgotten;
            (void)sqlpool_open(&forgotten, DATABASE, &worker.config, &e);
        } else if (worker.control == 'm' && is_warm) { /* memory that is not freed */
            void *volatile forgotten = malloc(1 << 20);
            if (forgotten != NULL) memset(forgotten, 1, 1 << 20);
        } else if (worker.control == 'a') { /* a write that was acknowledged and is not there */
            count(&worker.added);
        }
        if (n < 20) {
            rc = sqlpool_checkpoint(worker.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &e);
        } else if (n < 24) {
            rc = sqlpool_recycle(worker.pool);
            e.message[0] = '\0';
        } else if (n < 30) {
            rc = sqlpool_script(worker.pool,
                                sim_roll(&dice, 2) == 0
                                    ? "CREATE INDEX IF NOT EXISTS item_v ON item(v)"
                                    : "DROP INDEX IF EXISTS item_v",
                                -1, &e);
            count(&worker.schema);
        } else if (n < 40) {
            sqlpool *second;
            sqlpool_config config = worker.config;
            config.min_connections = config.max_connections = 2;
            rc = sqlpool_open(&second, DATABASE, &config, &e);
            if (rc == SQLPOOL_OK) {
                int64_t value;
                rc =
                    sqlpool_query_int64(second, &value, "SELECT n FROM tally", SQLPOOL_NO_ARGS, &e);
                judge("second pool", rc, &e);
                rc = sqlpool_close(second, &e);
            }
            count(&worker.pools);
        } else if (n < 45) {
            rc = sqlpool_sync(worker.pool, 0, 0, &e);
        } else if (n < 50) {
            size_t bytes = 0;
            const int format = (int)sim_roll(&dice, SQLPOOL_REPORT_FORMAT_COUNT);
            rc =
                sqlpool_report(worker.pool, (sqlpool_report_format)format, read_report, &bytes, &e);
        } else if (n < 53) {
            rc = sqlpool_check(worker.pool, (int)sim_roll(&dice, 3), NULL, NULL, NULL, &e);
        } else if (n < 55) {
            rc = sqlpool_reindex(worker.pool, NULL, NULL, &e);
        }
        judge("upkeep", rc, &e);
        sleep_ms(20);
    }
    return NULL;
}

/*  Works until its standard input ends; then closes and says what it has done. */
static int worker_run(char control) {
    pthread_t threads[WRITERS + READERS + 1];
    sqlpool_error e;
    int i, rc;
    char byte;
    worker.control = control;
    worker.config.name = "soak";
    worker.config.max_connections = 6;
    worker.config.page_cache_kib = 4096;
    worker.config.wal_budget_bytes = WAL_LIMIT / 4;
    worker.config.wal_limit_bytes = WAL_LIMIT;
    worker.config.journal_size_limit_bytes = WAL_LIMIT;
    worker.config.acquire_timeout_ms = 2000;
    worker.config.close_timeout_ms = 5000;
    worker.config.idle_timeout_ms = 500;
    worker.config.max_lifetime_ms = 3000;
    rc = sqlpool_open(&worker.pool, DATABASE, &worker.config, &e);
    if (rc != SQLPOOL_OK) {
        printf("# open: %s\n", e.message);
        return 1;
    }
    if (control == 0) {
        rc = begin_schedule(&e);
        if (rc != SQLPOOL_OK) {
            printf("# schedule: %s\n", e.message);
            return 1;
        }
    }
    for (i = 0; i < WRITERS + READERS + 1; i++) {
        void *(*run)(void *) = i < WRITERS             ? writer_main
                               : i < WRITERS + READERS ? reader_main
                                                       : chaos_main;
        if (pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)(i + 1)) != 0) return 1;
    }
    while (read(0, &byte, 1) < 0 && errno == EINTR) {
    }
    __atomic_store_n(&worker.stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < WRITERS + READERS + 1; i++) (void)pthread_join(threads[i], NULL);
    rc = sqlpool_flush(worker.pool, SQLPOOL_FOREVER, &e);
    if (rc != SQLPOOL_OK) printf("# flush: %s\n", e.message);
    rc = sqlpool_close(worker.pool, &e);
    if (rc != SQLPOOL_OK) printf("# close: %s\n", e.message);
    printf(
        "worker added %lld reads %lld writes %lld schema %lld pools %lld tasks %lld refused %lld "
        "wrong %lld\n",
        (long long)worker.added, (long long)worker.reads, (long long)worker.writes,
        (long long)worker.schema, (long long)worker.pools, (long long)worker.tasks,
        (long long)worker.refused, (long long)worker.wrong);
    fflush(stdout);
    return rc != SQLPOOL_OK || worker.wrong != 0;
}

/*---- the one that looks ----*/

typedef struct process {
    pid_t pid;
    int to, from;                            /* its standard input and output */
    int64_t fd, threads, rss;                /* now */
    int64_t fd_most, threads_most, rss_most; /* of the warm-up */
    bool is_warm;                            /* it has done some of everything */
} process;

static void look_at(process *p) {
    char name[64], line[256];
    DIR *folder;
    FILE *file;
    p->fd = p->threads = p->rss = 0;
    (void)snprintf(name, sizeof name, "/proc/%ld/fd", (long)p->pid);
    folder = opendir(name);
    if (folder != NULL) {
        while (readdir(folder) != NULL) p->fd++;
        (void)closedir(folder);
        p->fd -= 2; /* . and .. */
    }
    (void)snprintf(name, sizeof name, "/proc/%ld/status", (long)p->pid);
    file = fopen(name, "r");
    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "Threads:", 8) == 0) p->threads = strtoll(line + 8, NULL, 10);
        if (strncmp(line, "VmRSS:", 6) == 0) p->rss = strtoll(line + 6, NULL, 10) * 1024;
    }
    (void)fclose(file);
}
static int64_t file_bytes(const char *name) {
    struct stat st;
    return stat(name, &st) == 0 ? (int64_t)st.st_size : 0;
}

static bool start(process *p, char control) {
    static char self[1024];
    char role[8];
    int in[2], out[2];
    const ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
    if (bytes > 0) self[bytes] = '\0';
    (void)snprintf(role, sizeof role, "=%c", control == 0 ? '-' : control);
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) return false;
    fflush(stdout);
    p->pid = fork();
    if (p->pid == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)execl(self, "soak", "worker", role, (char *)NULL);
        _exit(99);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    p->to = in[1];
    p->from = out[0];
    return p->pid > 0;
}
static bool has_said_something(const process *p) {
    struct pollfd ready = {p->from, POLLIN, 0};
    return poll(&ready, 1, 0) > 0;
}
/*  Ends it; its last line's number of additions, -1 when something was wrong with it. */
static int64_t finish(process *p, char *said, size_t room) {
    size_t have = 0;
    ssize_t got;
    int status = 0;
    long long added = -1;
    const char *line;
    (void)close(p->to);
    while (have + 1 < room && (got = read(p->from, said + have, room - have - 1)) != 0) {
        if (got < 0 && errno != EINTR) break;
        if (got > 0) have += (size_t)got;
    }
    said[have] = '\0';
    (void)close(p->from);
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR) {
    }
    line = strstr(said, "worker added ");
    if (line == NULL || sscanf(line, "worker added %lld", &added) != 1) added = -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? added : -1 - (added > 0 ? added : 0);
}

static int64_t plain_int64(const char *sql) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t value = -1;
    if (sqlite3_open(DATABASE, &db) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        value = sqlite3_column_type(statement, 0) == SQLITE_INTEGER
                    ? sqlite3_column_int64(statement, 0)
                    : strcmp((const char *)sqlite3_column_text(statement, 0), "ok");
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return value;
}

/*  What was found, in `why`; empty: nothing. Ends as soon as something is found if it is a
    control. */
static void soak(double seconds, char control, char *why, size_t why_bytes) {
    process workers[WORKERS];
    sqlite3 *db = NULL;
    int64_t begin, end, warm, wal, wal_most = 0, added = 0, n;
    int i, lines = 0;
    char said[4000];
    why[0] = '\0';
    memset(workers, 0, sizeof workers);
    (void)unlink(DATABASE);
    (void)unlink(DATABASE "-wal");
    (void)unlink(DATABASE "-shm");
    if (sqlite3_open(DATABASE, &db) != SQLITE_OK ||
        sqlite3_exec(db,
                     "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; CREATE TABLE "
                     "tally(id INTEGER PRIMARY KEY, n INTEGER);"
                     "INSERT INTO tally VALUES(1, 0);"
                     "CREATE TABLE item(id INTEGER PRIMARY KEY, v INTEGER, body BLOB);"
                     "WITH RECURSIVE i(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM i LIMIT 2000)"
                     "INSERT INTO item SELECT n, n * 3, zeroblob(1500) FROM i",
                     NULL, NULL, NULL) != SQLITE_OK) {
        (void)snprintf(why, why_bytes, "%s", sqlite3_errmsg(db));
    }
    (void)sqlite3_close(db);
    for (i = 0; i < WORKERS; i++) {
        if (!start(&workers[i], i == 0 ? control : 0))
            (void)snprintf(why, why_bytes, "no process starts");
    }
    begin = sim_real_ns();
    end = begin + (int64_t)(seconds * 1e9);
    warm = begin + (int64_t)((seconds / 4 > 60 ? 60 : seconds / 4) * 1e9);
    if (control != 0) warm = begin; /* its worker begins once it is warm */
    if (control == 0)
        printf("# %8s  %-28s %-28s %10s %10s\n", "seconds", "descriptors, threads, MiB",
               "the other", "log KiB", "file KiB");
    while (why[0] == '\0' && sim_real_ns() < end) {
        bool is_warming = sim_real_ns() < warm;
        sleep_ms(100);
        for (i = 0; i < WORKERS; i++) {
            if (!workers[i].is_warm) workers[i].is_warm = has_said_something(&workers[i]);
            is_warming = is_warming || !workers[i].is_warm;
        }
        if (is_warming && end < sim_real_ns() + (int64_t)(seconds * 0.75e9))
            end = sim_real_ns() + (int64_t)(seconds * 0.75e9);
        if (sim_real_ns() > begin + (int64_t)(seconds * 1e9) + INT64_C(60000000000) && is_warming)
            (void)snprintf(why, why_bytes, "the warm-up does not end");
        wal = file_bytes(DATABASE "-wal");
        if (wal > wal_most) wal_most = wal;
        if (wal > WAL_BOUND)
            (void)snprintf(why, why_bytes, "the log has %lld bytes, the bound is %d",
                           (long long)wal, WAL_BOUND);
        for (i = 0; i < WORKERS; i++) {
            process *p = &workers[i];
            look_at(p);
            if (is_warming) {
                if (p->fd > p->fd_most) p->fd_most = p->fd;
                if (p->threads > p->threads_most) p->threads_most = p->threads;
                if (p->rss > p->rss_most) p->rss_most = p->rss;
                continue;
            }
            if (p->fd > p->fd_most + FD_MORE)
                (void)snprintf(why, why_bytes,
                               "process %d has %lld descriptors, %lld in its warm-up", i,
                               (long long)p->fd, (long long)p->fd_most);
            if (p->threads > p->threads_most + THREADS_MORE)
                (void)snprintf(why, why_bytes, "process %d has %lld threads, %lld in its warm-up",
                               i, (long long)p->threads, (long long)p->threads_most);
            if (p->rss > p->rss_most + p->rss_most * RSS_PERCENT / 100 + RSS_MORE)
                (void)snprintf(why, why_bytes, "process %d has %lld bytes, %lld in its warm-up", i,
                               (long long)p->rss, (long long)p->rss_most);
        }
        if (control == 0 && (double)(sim_real_ns() - begin) / 1e9 >= seconds * lines / 20) {
            printf("# %8.1f", (double)(sim_real_ns() - begin) / 1e9);
            for (i = 0; i < WORKERS; i++)
                printf("  %9lld %7lld %9.1f", (long long)workers[i].fd,
                       (long long)workers[i].threads, (double)workers[i].rss / 1048576);
            printf(" %10lld %10lld\n", (long long)wal / 1024,
                   (long long)file_bytes(DATABASE) / 1024);
            fflush(stdout);
            lines++;
        }
        if (control == 'l' || control == 'a') { /* the end will tell */
            if (workers[0].is_warm) break;
        }
    }
    for (i = 0; i < WORKERS; i++) {
        n = finish(&workers[i], said, sizeof said);
        if (control == 0) printf("# %s", strncmp(said, "warm\n", 5) == 0 ? said + 5 : said);
        if (n < 0 && why[0] == '\0') {
            (void)snprintf(why, why_bytes, "process %d ended badly: %.300s", i, said);
        }
        added += n;
    }
    if (why[0] != '\0') return;
    if (plain_int64("PRAGMA integrity_check") != 0)
        (void)snprintf(why, why_bytes, "integrity_check does not say ok");
    n = plain_int64("SELECT n FROM tally");
    if (n != added)
        (void)snprintf(why, why_bytes, "%lld additions were acknowledged, %lld are there",
                       (long long)added, (long long)n);
    if (control == 0) {
        printf("# %.0f s, %lld additions acknowledged and there; bounds: descriptors %lld, %lld; "
               "threads %lld, "
               "%lld; MiB %.1f, %.1f; log KiB %d, at most %lld seen\n",
               (double)(sim_real_ns() - begin) / 1e9, (long long)added,
               (long long)workers[0].fd_most + FD_MORE, (long long)workers[1].fd_most + FD_MORE,
               (long long)workers[0].threads_most + THREADS_MORE,
               (long long)workers[1].threads_most + THREADS_MORE,
               (double)(workers[0].rss_most + workers[0].rss_most * RSS_PERCENT / 100 + RSS_MORE) /
                   1048576,
               (double)(workers[1].rss_most + workers[1].rss_most * RSS_PERCENT / 100 + RSS_MORE) /
                   1048576,
               WAL_BOUND / 1024, (long long)wal_most / 1024);
    }
}

/*---- tests ----*/

static double budget_seconds = 3;

TEST(two_processes_on_one_file_do_not_grow) {
    char why[500];
    soak(budget_seconds, 0, why, sizeof why);
    CHECK_STR(why, "");
}
static void control(char which, const char *part) {
    char why[500];
    soak(CONTROL_SECONDS, which, why, sizeof why);
    CHECK_HAS(why, part);
}
TEST(control_a_reader_that_pins_the_log_is_seen) {
    control('p', "the log has");
}
TEST(control_a_lease_not_given_back_is_seen) {
    control('l', "ended badly");
}
TEST(control_pools_not_closed_are_seen) {
    control('o', "in its warm-up");
}
TEST(control_memory_not_freed_is_seen) {
    control('m', "bytes, ");
}
TEST(control_a_lost_write_is_seen) {
    control('a', "were acknowledged");
}

int main(int argc, char **argv) {
    const char *given = getenv("SOAK_SECONDS");
    if (getenv("TEST_EMULATOR") != NULL) {
        printf("# skipped: an emulator's memory and descriptors are not the program's\n"
               "0 passed, 0 failed\n");
        return 0;
    }
    if (argc > 2 && strcmp(argv[1], "worker") == 0)
        return worker_run(argv[2][1] == '-' ? 0 : argv[2][1]);
    (void)signal(SIGPIPE, SIG_IGN);
    if (given != NULL && given[0] != '\0') {
        budget_seconds = atof(given);
    } else if (argc > 1) {
        budget_seconds = atof(argv[1]);
    }
    RUN(control_a_reader_that_pins_the_log_is_seen);
    RUN(control_a_lease_not_given_back_is_seen);
    RUN(control_pools_not_closed_are_seen);
    RUN(control_memory_not_freed_is_seen);
    RUN(control_a_lost_write_is_seen);
    RUN(two_processes_on_one_file_do_not_grow);
    return test_end();
}
