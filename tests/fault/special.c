/*  special.c - disks that fill up, files that vanish, other processes, kill -9, fork.
    SPDX-License-Identifier: MIT OR Unlicense

    A second process is this program started again (fork and exec), never a bare fork of a process
    that has SQLite open. The kill loop's child writes a line for every acknowledged transaction
    into a pipe and is killed at a random moment; what it said must be in the file.

    special                  all
    special KILLS=n in the environment sets the number of kills [30] */
#define _GNU_SOURCE
#include "sim/sim.h"
#include "test.h"

#include <poll.h>
#include <sys/stat.h>

static uint64_t seed;
static sim_random dice;

/*  What a fixture owns: the hooks of one pool. */
typedef struct rig {
    sqlpool *pool;
    sqlpool_error error;
    sim_clock clock;
    sim_random random;
    sim_locks locks;
    sqlpool_config config;
    int64_t base_blocks; /* what an earlier, failed test left behind */
} rig;

static rig *rig_new(void) {
    rig *g = (rig *)calloc(1, sizeof *g);
    if (g == NULL) abort();
    g->base_blocks = sim_alloc.live_blocks[SIM_DOOR_LIBRARY];
    g->locks.clock = &g->clock;
    g->locks.solo = 1;
    g->clock.step_ns = 1000;
    g->random.state = seed;
    g->config.min_connections = 2;
    g->config.max_connections = 3;
    g->config.disable_upkeep_thread = true;
    g->config.breaker_open_ms = SQLPOOL_OFF; /* the next write is tried */
    g->config.allocator = sim_allocator();
    g->config.clock = sim_clock_hooks(&g->clock);
    g->config.random = sim_random_hooks(&g->random);
    g->config.locks = sim_locks_hooks(&g->locks);
    return g;
}
static int rig_open(rig *g, const char *path) {
    return sqlpool_open(&g->pool, path, &g->config, &g->error);
}
/*  Closes and checks that nothing is left; false: the caller's test has failed. */
static bool rig_end(rig *g) {
    char why[400] = "";
    const int rc = g->pool == NULL ? SQLPOOL_OK : sqlpool_close(g->pool, &g->error);
    const bool is_even = sim_alloc.live_blocks[SIM_DOOR_LIBRARY] == g->base_blocks;
    const bool ok = rc == SQLPOOL_OK && is_even && sim_alloc.errors == 0 &&
                    sim_locks_check(&g->locks, why, sizeof why) == 0;
    if (!is_even || sim_alloc.errors != 0) (void)sim_alloc_check(why, sizeof why);
    if (!ok) {
        test_fail(__FILE__, __LINE__, "seed=%llu close: %s %s %s", (unsigned long long)seed,
                  sqlpool_result_name(rc), g->error.message, why);
        sim_alloc.errors = 0;
    }
    free(g);
    return ok;
}

static bool file_is_sound(const char *path) {
    sqlite3 *db = NULL;
    char why[300] = "cannot open";
    const bool ok = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                    sim_plain_integrity(db, why, sizeof why) == 0;
    if (!ok) printf("# %s: %s\n", path, why);
    (void)sqlite3_close(db);
    return ok;
}

/*---- a full disk ----*/

static int limit_pages(void *user, const sqlpool_conn *conn) {
    sqlpool_conn copy = *conn;
    (void)user;
    return sqlite3_exec(sqlpool_conn_db(&copy), "PRAGMA max_page_count = 40", NULL, NULL, NULL);
}

TEST(full_by_page_count) {
    rig *g = rig_new();
    int64_t acked = 0, rows;
    int i, rc = SQLPOOL_OK;
    sim_remove_database("full.db");
    g->config.events.connect_fn = limit_pages;
    CHECK_INT(rig_open(g, "full.db"), SQLPOOL_OK);
    CHECK_INT(sqlpool_exec(g->pool, "CREATE TABLE t(id INTEGER PRIMARY KEY, data)", SQLPOOL_NO_ARGS,
                           &g->error),
              0);
    for (i = 0; i < 1000; i++) {
        rc = sqlpool_exec(g->pool, "INSERT INTO t VALUES(?, zeroblob(2000))", SQLPOOL_ARGS(i),
                          &g->error);
        if (rc != SQLPOOL_OK) break;
        acked++;
    }
    CHECK_INT(rc, SQLITE_FULL);
    CHECK_INT(g->error.result, SQLITE_FULL);
    CHECK(g->error.message[0] != '\0');
    CHECK(acked > 10);
    CHECK_INT(
        sqlpool_query_int64(g->pool, &rows, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &g->error),
        0);
    CHECK_INT(rows, acked);
    CHECK_INT(sqlpool_exec(g->pool, "DELETE FROM t WHERE id < 5", SQLPOOL_NO_ARGS, &g->error), 0);
    CHECK_INT(
        sqlpool_exec(g->pool, "INSERT INTO t VALUES(5000, 'fits')", SQLPOOL_NO_ARGS, &g->error), 0);
    if (!rig_end(g)) return;
    CHECK(file_is_sound("full.db"));
}

/*  The disk says FULL while it lasts; a transaction's work is undone as a whole. */
TEST(full_by_disk) {
    const sim_vfs_fault full = {1, SIM_VFS_WRITE, SQLITE_FULL, 1, 1};
    rig *g = rig_new();
    sqlpool_conn conn;
    int64_t rows;
    int i, rc;
    sim_remove_database("disk.db");
    g->config.vfs_name = "sim";
    CHECK_INT(rig_open(g, "disk.db"), SQLPOOL_OK);
    CHECK_INT(sqlpool_exec(g->pool, "CREATE TABLE t(id INTEGER PRIMARY KEY, data)", SQLPOOL_NO_ARGS,
                           &g->error),
              0);
    CHECK_INT(sqlpool_exec(g->pool, "INSERT INTO t VALUES(1, 'kept')", SQLPOOL_NO_ARGS, &g->error),
              0);
    sim_vfs_arm(full);
    for (i = 0; i < 3; i++) {
        CHECK_INT(sqlpool_exec(g->pool, "INSERT INTO t VALUES(2, zeroblob(20000))", SQLPOOL_NO_ARGS,
                               &g->error),
                  SQLITE_FULL);
    }
    CHECK_INT(sqlpool_conn_acquire(g->pool, SQLPOOL_WRITE, &conn, &g->error), SQLPOOL_OK);
    rc = sqlpool_conn_begin(&conn, &g->error);
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_conn_exec(&conn, "INSERT INTO t VALUES(3, zeroblob(20000))", SQLPOOL_NO_ARGS,
                               NULL, &g->error);
    }
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_commit(&conn, &g->error);
    CHECK_INT(rc, SQLITE_FULL);
    rc = sqlpool_conn_release(&conn);
    CHECK(rc == SQLPOOL_OK || rc == SQLPOOL_UNCLEAN);
    CHECK_INT(
        sqlpool_query_int64(g->pool, &rows, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &g->error),
        0);
    CHECK_INT(rows, 1);
    sim_vfs_heal();
    CHECK_INT(
        sqlpool_exec(g->pool, "INSERT INTO t VALUES(4, 'works again')", SQLPOOL_NO_ARGS, &g->error),
        0);
    if (!rig_end(g)) return;
    CHECK(file_is_sound("disk.db"));
}

/*---- the file goes away ----*/

static rig *with_rows(const char *path, int journal) {
    rig *g = rig_new();
    sim_remove_database(path);
    g->config.journal = journal;
    if (rig_open(g, path) != SQLPOOL_OK ||
        sqlpool_script(g->pool,
                       "CREATE TABLE t(id INTEGER PRIMARY KEY, data);"
                       "INSERT INTO t VALUES(1, 'old'), (2, zeroblob(50000));",
                       -1, &g->error) != 0) {
        test_fail(__FILE__, __LINE__, "%s", g->error.message);
        abort();
    }
    return g;
}
/*  What its first row says, or why it cannot be read. */
static const char *first_row(rig *g) {
    static char text[20];
    const int rc = sqlpool_query_text(g->pool, text, sizeof text, "SELECT data FROM t WHERE id = 1",
                                      SQLPOOL_NO_ARGS, &g->error);
    return rc == SQLPOOL_OK ? text : g->error.message;
}

/*  Three seconds with a tick each, far beyond validate_after_ms: the next use looks at the file. */
static bool ticks_pass(rig *g) {
    int i;
    for (i = 0; i < 3; i++) {
        sim_clock_advance(&g->clock, (int64_t)1 * 1000000000);
        if (sqlpool_tick(g->pool, 100000) != SQLPOOL_OK) {
            test_fail(__FILE__, __LINE__, "tick failed");
            return false;
        }
    }
    return true;
}

/*  Hazard B22: no write into a file that nobody will ever see is acknowledged. */
static void deleted_while_open(int journal) {
    rig *g = with_rows("gone.db", journal);
    int64_t rows;
    CHECK(unlink("gone.db") == 0);
    if (!ticks_pass(g)) return;
    CHECK_INT(sqlpool_exec(g->pool, "INSERT INTO t VALUES(3, 'lost')", SQLPOOL_NO_ARGS, &g->error),
              SQLPOOL_MOVED);
    CHECK_HAS(g->error.message, "gone.db");
    CHECK_INT(
        sqlpool_query_int64(g->pool, &rows, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &g->error),
        SQLPOOL_MOVED);
    sim_remove_database("gone.db"); /* with its log: it belongs to the old file */
    CHECK_INT(sqlpool_recycle(g->pool), SQLPOOL_OK);
    CHECK_INT(sqlpool_exec(g->pool, "CREATE TABLE t(id INTEGER PRIMARY KEY, data)", SQLPOOL_NO_ARGS,
                           &g->error),
              SQLPOOL_OK);
    CHECK_INT(sqlpool_exec(g->pool, "INSERT INTO t VALUES(9, 'new')", SQLPOOL_NO_ARGS, &g->error),
              SQLPOOL_OK);
    CHECK_INT(sqlpool_query_int64(g->pool, &rows, "SELECT id FROM t", SQLPOOL_NO_ARGS, &g->error),
              SQLPOOL_OK);
    CHECK_INT(rows, 9);
    if (!rig_end(g)) return;
    CHECK(file_is_sound("gone.db"));
}
/*  With a rollback journal SQLite itself looks before each write, so it is said at once. */
TEST(deleted_is_said_at_once) {
    rig *g = with_rows("gone.db", SQLPOOL_JOURNAL_DELETE);
    CHECK(unlink("gone.db") == 0);
    CHECK_INT(sqlpool_exec(g->pool, "INSERT INTO t VALUES(3, 'lost')", SQLPOOL_NO_ARGS, &g->error),
              SQLPOOL_MOVED);
    (void)rig_end(g);
}
TEST(deleted_while_open_wal) {
    deleted_while_open(SQLPOOL_JOURNAL_WAL);
}
TEST(deleted_while_open_delete) {
    deleted_while_open(SQLPOOL_JOURNAL_DELETE);
}

static void replaced_while_open(int journal) {
    rig *g, *other = with_rows("other.db", journal);
    CHECK_INT(sqlpool_exec(other->pool, "UPDATE t SET data = 'other'", SQLPOOL_NO_ARGS, NULL),
              SQLPOOL_OK);
    if (!rig_end(other)) return; /* closed: all of it is in other.db */
    g = with_rows("swap.db", journal);
    CHECK(rename("other.db", "swap.db") == 0);
    if (!ticks_pass(g)) return;
    CHECK_INT(sqlpool_exec(g->pool, "INSERT INTO t VALUES(3, 'lost')", SQLPOOL_NO_ARGS, &g->error),
              SQLPOOL_MOVED);
    (void)unlink("swap.db-wal");
    (void)unlink("swap.db-shm");
    CHECK_INT(sqlpool_recycle(g->pool), SQLPOOL_OK);
    CHECK_STR(first_row(g), "other");
    CHECK_INT(sqlpool_exec(g->pool, "INSERT INTO t VALUES(3, 'seen')", SQLPOOL_NO_ARGS, &g->error),
              SQLPOOL_OK);
    if (!rig_end(g)) return;
    CHECK(file_is_sound("swap.db"));
}
TEST(replaced_while_open_wal) {
    replaced_while_open(SQLPOOL_JOURNAL_WAL);
}
TEST(replaced_while_open_delete) {
    replaced_while_open(SQLPOOL_JOURNAL_DELETE);
}

/*  Someone cut the file: an honest error, never a crash, never rows that are not there. */
static void truncated_while_open(off_t keep) {
    rig *g = with_rows("cut.db", SQLPOOL_JOURNAL_WAL);
    sqlpool_rows rows;
    int rc, count = 0;
    CHECK_INT(sqlpool_checkpoint(g->pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &g->error),
              SQLPOOL_OK);
    CHECK_INT(sqlpool_recycle(g->pool), SQLPOOL_OK); /* no page caches that hide it */
    CHECK(truncate("cut.db", keep) == 0);
    rc = sqlpool_query(g->pool, &rows, "SELECT id, length(data || 'x') FROM t", SQLPOOL_NO_ARGS,
                       &g->error);
    while (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) count++;
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_rows_close(&rows, &g->error);
    } else {
        (void)sqlpool_rows_close(&rows, NULL);
    }
    if (keep == 0) {
        /* an empty file is an empty database: the table is gone, and that is said */
        CHECK(rc == SQLITE_ERROR || (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB ||
              (rc & 0xff) == SQLITE_IOERR || rc == SQLPOOL_MOVED);
    } else {
        CHECK((rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB ||
              (rc & 0xff) == SQLITE_IOERR);
    }
    CHECK(count <= 1);
    (void)rig_end(g);
}
TEST(truncated_to_nothing) {
    truncated_while_open(0);
}
TEST(truncated_to_half) {
    truncated_while_open(3 * 4096);
}
TEST(truncated_within_a_page) {
    truncated_while_open(3 * 4096 + 100);
}

/*---- another process holds the lock ----*/

/*  The other process: takes the write lock, says so, keeps it until its input ends. */
static int act_locker(const char *path) {
    sqlite3 *db = NULL;
    char c;
    if (sqlite3_open(path, &db) != SQLITE_OK) return 1;
    if (sqlite3_exec(db, "BEGIN IMMEDIATE; UPDATE t SET data = 'locked' WHERE id = 1", NULL, NULL,
                     NULL))
        return 2;
    if (write(1, "L", 1) != 1) return 3;
    while (read(0, &c, 1) > 0) {
    }
    if (sqlite3_exec(db, "COMMIT", NULL, NULL, NULL)) return 4;
    return sqlite3_close(db) == SQLITE_OK ? 0 : 5;
}

typedef struct process {
    pid_t id;
    int in, out; /* our ends */
} process;

static bool start(process *p, const char *a, const char *b, const char *c) {
    int in[2], out[2];
    if (pipe(in) != 0 || pipe(out) != 0) return false;
    fflush(stdout);
    (void)sim_self_path();
    p->id = fork();
    if (p->id == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)close(in[0]);
        (void)close(in[1]);
        (void)close(out[0]);
        (void)close(out[1]);
        sim_exec_self(a, b, c);
        _exit(99);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    p->in = in[1];
    p->out = out[0];
    return p->id > 0;
}
static int finish(process *p) {
    int status = 0;
    if (p->in >= 0) (void)close(p->in);
    while (waitpid(p->id, &status, 0) < 0 && errno == EINTR) {
    }
    (void)close(p->out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static void foreign_lock(int journal) {
    sqlpool_call call = {.timeout_ms = 80, .tag = "blocked"};
    rig *g = with_rows("foreign.db", journal);
    process p;
    char c = 0;
    int64_t before, took;
    if (!rig_end(g)) return;
    g = rig_new(); /* real time: the other process lives in it */
    memset(&g->config.clock, 0, sizeof g->config.clock);
    g->locks.clock = NULL;
    g->config.journal = journal;
    CHECK_INT(rig_open(g, "foreign.db"), SQLPOOL_OK);
    CHECK(start(&p, "act-locker", "foreign.db", NULL));
    CHECK(read(p.out, &c, 1) == 1 && c == 'L');
    before = sim_real_ns();
    CHECK_INT(sqlpool_exec_with(g->pool, &call, NULL, "INSERT INTO t VALUES(3, 'x')",
                                SQLPOOL_NO_ARGS, &g->error),
              SQLPOOL_TIMEOUT);
    took = (sim_real_ns() - before) / 1000000;
    if (took < 60 || took > 5000)
        test_fail(__FILE__, __LINE__, "an 80 ms timeout took %lld ms", (long long)took);
    CHECK_INT(g->error.sqlite_code & 0xff, SQLITE_BUSY);
    CHECK(g->error.message[0] != '\0');
    /* readers do not mind */
    CHECK_STR(first_row(g), "old");
    CHECK_INT(finish(&p), 0);
    CHECK_INT(sqlpool_exec(g->pool, "INSERT INTO t VALUES(3, 'x')", SQLPOOL_NO_ARGS, &g->error),
              SQLPOOL_OK);
    CHECK_STR(first_row(g), "locked");
    if (!rig_end(g)) return;
    CHECK(file_is_sound("foreign.db"));
}
TEST(foreign_lock_wal) {
    foreign_lock(SQLPOOL_JOURNAL_WAL);
}
TEST(foreign_lock_delete) {
    foreign_lock(SQLPOOL_JOURNAL_DELETE);
}

/*---- stopped at the last moment ----*/

/*  SQLite asks the progress handler once more after the last instruction of a statement, when its
    autocommit has already happened, and then says SQLITE_INTERRUPT for a write that is in the file.
    The pool must not: what it refuses has not happened. */
typedef struct stopper {
    bool is_on;
    int64_t stops;
} stopper;
static int stop_now(void *user) {
    stopper *s = (stopper *)user;
    if (!s->is_on) return 0;
    s->stops++;
    return 1;
}
static int chain_stopper(void *user, const sqlpool_conn *conn) {
    sqlpool_chain chain;
    sqlpool_conn copy = *conn;
    memset(&chain, 0, sizeof chain);
    chain.user = user;
    chain.progress_fn = stop_now;
    return sqlpool_conn_chain(&copy, &chain);
}
static int add_fn(sqlpool_conn *conn, void *user, int attempt) {
    (void)user;
    (void)attempt;
    return sqlpool_conn_exec(conn, "UPDATE n SET n = n + 1 WHERE rowid = 1", SQLPOOL_NO_ARGS, NULL,
                             NULL);
}
static int add_one(sqlpool *pool, int how, sqlpool_error *e) {
    sqlpool_rows rows;
    sqlpool_conn conn;
    int rc;
    switch (how) {
    case 0:
        return sqlpool_exec(pool, "UPDATE n SET n = n + 1 WHERE rowid = 1", SQLPOOL_NO_ARGS, e);
    case 1:
        rc = sqlpool_query(pool, &rows, "UPDATE n SET n = n + 1 WHERE rowid = 1 RETURNING n",
                           SQLPOOL_NO_ARGS, e);
        (void)sqlpool_rows_close(&rows, NULL);
        return rc;
    case 2:
        return sqlpool_transaction(pool, SQLPOOL_WRITE, add_fn, NULL, e);
    case 3:
        return sqlpool_script(pool, "UPDATE n SET n = n + 1 WHERE rowid = 1;", -1, e);
    case 4:
        rc = sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, NULL);
        if (rc != SQLPOOL_OK) return rc;
        rc = sqlpool_conn_exec(&conn, "UPDATE n SET n = n + 1 WHERE rowid = 1", SQLPOOL_NO_ARGS,
                               NULL, e);
        (void)sqlpool_conn_release(&conn);
        return rc;
    default:
        rc = sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, NULL);
        if (rc != SQLPOOL_OK) return rc;
        rc = sqlpool_conn_begin(&conn, e);
        if (rc == SQLPOOL_OK) rc = add_fn(&conn, NULL, 1);
        if (rc == SQLPOOL_OK) rc = sqlpool_conn_commit(&conn, e);
        (void)sqlpool_conn_release(&conn);
        return rc;
    }
}
static void stopped_at_the_end(int how) {
    stopper s = {false, 0};
    rig *g = rig_new();
    int64_t acked = 0, there = -1, refused = 0;
    char last[200] = "";
    int i;
    sim_remove_database("stop.db");
    g->config.events.connect_fn = chain_stopper;
    g->config.events.user = &s;
    CHECK_INT(rig_open(g, "stop.db"), SQLPOOL_OK);
    CHECK_INT(
        sqlpool_script(g->pool, "CREATE TABLE n(n INTEGER); INSERT INTO n VALUES(0);", -1, NULL),
        0);
    s.is_on = true;
    for (i = 0; i < 4000; i++) {
        if (add_one(g->pool, how, &g->error) == SQLPOOL_OK) {
            acked++;
        } else {
            refused++;
            (void)snprintf(last, sizeof last, "%d %.150s", g->error.result, g->error.message);
        }
    }
    s.is_on = false;
    printf("# stopped %d times: %lld acknowledged, %lld refused, last with %s\n", (int)s.stops,
           (long long)acked, (long long)refused, last);
    (void)sqlpool_query_int64(g->pool, &there, "SELECT n FROM n", SQLPOOL_NO_ARGS, NULL);
    if (!rig_end(g)) return;
    CHECK_INT(there, acked); /* refused is not done, done is not refused */
    CHECK(refused < 500);    /* one stop stops one call */
    /* a script's statements are new each time, too short to be stopped */
    CHECK(how == 3 || s.stops > 3);
}
TEST(stopped_exec) {
    stopped_at_the_end(0);
}
TEST(stopped_returning) {
    stopped_at_the_end(1);
}
TEST(stopped_transaction) {
    stopped_at_the_end(2);
}
TEST(stopped_script) {
    stopped_at_the_end(3);
}
TEST(stopped_lease_exec) {
    stopped_at_the_end(4);
}
TEST(stopped_lease_commit) {
    stopped_at_the_end(5);
}

/*---- kill -9 ----*/

/*  The writer: transaction k writes three rows of k and then says k. */
typedef struct kill_work {
    int64_t k;
    bool is_liar;
} kill_work;
static bool say(int64_t k) {
    char line[32];
    const int bytes = snprintf(line, sizeof line, "%lld\n", (long long)k);
    return write(1, line, (size_t)bytes) == bytes;
}
static int kill_fn(sqlpool_conn *conn, void *user, int attempt) {
    const kill_work *w = (const kill_work *)user;
    int n, rc = 0;
    (void)attempt;
    for (n = 0; n < 3 && rc == 0; n++) {
        rc = sqlpool_conn_exec(conn, "INSERT INTO t VALUES(?, ?, randomblob(600))",
                               SQLPOOL_ARGS(w->k, n), NULL, NULL);
    }
    if (w->is_liar && w->k % 50 == 49) { /* CONTROL: says it is done, and dies before it is */
        (void)say(w->k);
        (void)raise(SIGKILL);
    }
    return rc;
}
static int act_writer(const char *path, const char *mode) {
    sqlpool_config config = {0};
    sqlpool *pool;
    kill_work w = {0, strstr(mode, "liar") != NULL};
    config.min_connections = 2;
    config.max_connections = 3;
    config.page_cache_kib = 256;
    config.wal_budget_bytes = 200000;             /* checkpoints all the time */
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF; /* a kill is no power loss */
    config.journal = strstr(mode, "delete") != NULL ? SQLPOOL_JOURNAL_DELETE : SQLPOOL_JOURNAL_WAL;
    if (sqlpool_open(&pool, path, &config, NULL) != SQLPOOL_OK) return 1;
    if (sqlpool_exec(
            pool,
            "CREATE TABLE IF NOT EXISTS t(k INTEGER, n INTEGER, data BLOB, PRIMARY KEY(k, n))",
            SQLPOOL_NO_ARGS, NULL) != SQLPOOL_OK)
        return 2;
    if (sqlpool_query_int64(pool, &w.k, "SELECT coalesce(max(k), 0) FROM t", SQLPOOL_NO_ARGS,
                            NULL) != 0)
        return 3;
    for (;;) {
        w.k++;
        if (sqlpool_transaction(pool, SQLPOOL_WRITE, kill_fn, &w, NULL) != SQLPOOL_OK) return 4;
        if (!say(w.k)) return 5;
    }
}

/*  Returns 0 when all that was acknowledged survived, whole and in a sound file. */
static int kill_once(const char *path, const char *mode, int64_t *acks, int64_t life_us) {
    process p;
    sqlite3 *db = NULL;
    char buffer[65536], why[300] = "";
    size_t have = 0;
    int64_t last = -1, count, top, status;
    ssize_t got;
    if (!start(&p, "act-writer", path, mode)) return 1;
    (void)close(p.in);
    p.in = -1;
    if (life_us % 4 != 0) { /* three of four live on from their first acknowledged transaction */
        struct pollfd first = {p.out, POLLIN, 0};
        (void)poll(&first, 1, 20000);
    }
    sim_real_sleep_ns(life_us * 1000);
    (void)kill(p.id, SIGKILL);
    while ((got = read(p.out, buffer + have, sizeof buffer - 1 - have)) >
           0) { /* keep the last line */
        have += (size_t)got;
        if (have > sizeof buffer / 2) {
            memmove(buffer, buffer + have - 100, 100);
            have = 100;
        }
    }
    buffer[have] = '\0';
    status = finish(&p);
    if (status != 256 + SIGKILL) {
        printf("# the writer ended by itself: %lld\n", (long long)status);
        return 2;
    }
    while (have > 0 && buffer[have - 1] != '\n') have--; /* whole lines only */
    if (have > 0) {
        size_t at = have - 1;
        while (at > 0 && buffer[at - 1] != '\n') at--;
        last = strtoll(buffer + at, NULL, 10);
        *acks += 1;
    }
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
        return 3;
    (void)sqlite3_busy_timeout(db, 2000);
    if (sim_plain_integrity(db, why, sizeof why)) {
        printf("# %s\n", why);
        (void)sqlite3_close(db);
        return 4;
    }
    top = sim_plain_int64(db, "SELECT coalesce(max(k), 0) FROM t", 0);
    count = sim_plain_int64(db, "SELECT count(*) FROM t", 0);
    (void)sqlite3_close(db);
    if (last > top) {
        printf("# acknowledged up to %lld, the file has up to %lld\n", (long long)last,
               (long long)top);
        return 5;
    }
    if (count != top * 3) {
        printf("# %lld transactions but %lld rows\n", (long long)top, (long long)count);
        return 6;
    }
    return 0;
}

static void kill_loop(const char *mode, int kills) {
    int64_t acks = 0;
    int i;
    sim_remove_database("kill.db");
    for (i = 0; i < kills; i++) {
        const int64_t life_us = 3000 + (int64_t)sim_random_below(&dice, 40000);
        const int bad = kill_once("kill.db", mode, &acks, life_us);
        if (bad != 0) {
            test_fail(__FILE__, __LINE__, "seed=%llu kill %d after %lld us: reason %d",
                      (unsigned long long)seed, i, (long long)life_us, bad);
            return;
        }
    }
    printf("# kill -9 %s: %d kills, %lld with acknowledged work\n", mode, kills, (long long)acks);
    CHECK(acks >= kills / 4);
}
static int kills(void) {
    const char *given = getenv("KILLS");
    return given == NULL ? 30 : atoi(given);
}
TEST(kill_9_wal) {
    kill_loop("wal", kills());
}
TEST(kill_9_delete) {
    kill_loop("delete", kills() / 2);
}
TEST(control_false_ack_is_seen) {
    int64_t acks = 0;
    printf("# the next line is expected\n");
    sim_remove_database("kill.db");
    CHECK_INT(kill_once("kill.db", "wal liar", &acks, 4000000), 5);
}

/*---- fork ----*/

static int noop_fn(sqlpool_conn *conn, void *user, int attempt) {
    (void)conn;
    (void)user;
    (void)attempt;
    return 0;
}
static int noop_exclusive(sqlpool_conn *conn, void *user) {
    (void)conn;
    (void)user;
    return 0;
}
/*  In the child: the number of the first call that did not say FORKED, 0 when all did. */
static int calls_in_child(sqlpool *pool, sqlpool_conn *lease) {
    sqlpool_error e;
    sqlpool *second = NULL;
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlpool_stats stats;
    sqlpool_config config;
    sqlpool_holder holder;
    sqlpool_token token = {0};
    char text[100];
    int64_t value;
    struct sqlite3_stmt *statement;
    int n = 0;
#define SAYS_FORKED(call) \
    do { \
        n++; \
        if ((call) != SQLPOOL_FORKED) return n; \
    } while (0)
    SAYS_FORKED(sqlpool_exec(pool, "INSERT INTO t VALUES(7, 'child')", SQLPOOL_NO_ARGS, &e));
    SAYS_FORKED(sqlpool_query(pool, &rows, "SELECT 1", SQLPOOL_NO_ARGS, &e));
    SAYS_FORKED(sqlpool_query_int64(pool, &value, "SELECT 1", SQLPOOL_NO_ARGS, &e));
    SAYS_FORKED(sqlpool_script(pool, "SELECT 1", -1, &e));
    SAYS_FORKED(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &e));
    SAYS_FORKED(sqlpool_transaction(pool, SQLPOOL_WRITE, noop_fn, NULL, &e));
    SAYS_FORKED(sqlpool_exclusive(pool, 10, noop_exclusive, NULL, &e));
    SAYS_FORKED(sqlpool_pause(pool, 10, &e));
    SAYS_FORKED(sqlpool_resume(pool));
    SAYS_FORKED(sqlpool_recycle(pool));
    SAYS_FORKED(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &e));
    SAYS_FORKED(sqlpool_tick(pool, 10));
    SAYS_FORKED(sqlpool_cancel(pool, &token));
    SAYS_FORKED(sqlpool_get_stats(pool, &stats));
    SAYS_FORKED(sqlpool_holders(pool, &holder, 1));
    SAYS_FORKED(sqlpool_status_text(pool, text, sizeof text));
    SAYS_FORKED(sqlpool_status_json(pool, text, sizeof text));
    SAYS_FORKED(sqlpool_config_resolved(pool, &config));
    SAYS_FORKED(sqlpool_conn_exec(lease, "SELECT 1", SQLPOOL_NO_ARGS, NULL, &e));
    SAYS_FORKED(sqlpool_conn_query(lease, &rows, "SELECT 1", SQLPOOL_NO_ARGS, &e));
    SAYS_FORKED(sqlpool_conn_stmt(lease, "SELECT 1", &statement, &e));
    SAYS_FORKED(sqlpool_conn_begin(lease, &e));
    SAYS_FORKED(sqlpool_conn_release(lease));
    SAYS_FORKED(sqlpool_open(&second, "second.db", NULL, &e));
    SAYS_FORKED(sqlpool_close(pool, &e));
    return 0;
}

static void forked(bool lease_is_write) {
    rig *g = with_rows("fork.db", SQLPOOL_JOURNAL_WAL);
    sqlpool_conn lease;
    int64_t rows;
    int status = 0;
    pid_t child;
    CHECK_INT(sqlpool_conn_acquire(g->pool, lease_is_write ? SQLPOOL_WRITE : SQLPOOL_READ, &lease,
                                   &g->error),
              SQLPOOL_OK);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        sqlpool_conn copy = lease;
        _exit(calls_in_child(g->pool, &copy));
    }
    CHECK(child > 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0); /* else: the number of the SAYS_FORKED that failed */
    /* the parent is as it was */
    CHECK_INT(sqlpool_conn_release(&lease), SQLPOOL_OK);
    CHECK_INT(
        sqlpool_exec(g->pool, "INSERT INTO t VALUES(3, 'parent')", SQLPOOL_NO_ARGS, &g->error),
        SQLPOOL_OK);
    CHECK_INT(
        sqlpool_query_int64(g->pool, &rows, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &g->error),
        SQLPOOL_OK);
    CHECK_INT(rows, 3);
    if (!rig_end(g)) return;
    CHECK(file_is_sound("fork.db"));
}
TEST(fork_child_is_refused) {
    forked(false);
}
TEST(fork_child_with_writer_is_refused) {
    forked(true);
}

/*  With nothing open in the parent a child may open a pool of its own. */
TEST(fork_before_open_works) {
    int status = 0;
    pid_t child;
    fflush(stdout);
    sim_remove_database("early.db");
    child = fork();
    if (child == 0) {
        rig *g = rig_new();
        int rc = rig_open(g, "early.db");
        if (rc == SQLPOOL_OK)
            rc = sqlpool_exec(g->pool, "CREATE TABLE t(a)", SQLPOOL_NO_ARGS, NULL);
        if (rc == SQLPOOL_OK) rc = sqlpool_close(g->pool, NULL);
        _exit(rc == SQLPOOL_OK ? 0 : 1);
    }
    CHECK(child > 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(file_is_sound("early.db"));
}

int main(int argc, char **argv) {
    sim_catch_crashes();
    if (sim_alloc_install() != SQLITE_OK || sim_vfs_install() != SQLITE_OK) {
        printf("# SQLite refuses the simulator\n0 passed, 1 failed\n");
        return 1;
    }
    if (argc >= 3 && strcmp(argv[1], "act-locker") == 0) return act_locker(argv[2]);
    if (argc >= 4 && strcmp(argv[1], "act-writer") == 0) return act_writer(argv[2], argv[3]);
    seed = sim_alloc.seed = sim_vfs.seed = sim_seed();
    dice.state = seed;
    (void)snprintf(sim_replay, sizeof sim_replay, "SIM_SEED=%llu special",
                   (unsigned long long)seed);
    (void)alarm(160);
    printf("# special seed=%llu (SIM_SEED=... repeats it)\n", (unsigned long long)seed);
    RUN(fork_before_open_works);
    RUN(full_by_page_count);
    RUN(full_by_disk);
    RUN(deleted_is_said_at_once);
    RUN(deleted_while_open_wal);
    RUN(deleted_while_open_delete);
    RUN(replaced_while_open_wal);
    RUN(replaced_while_open_delete);
    RUN(truncated_to_nothing);
    RUN(truncated_to_half);
    RUN(truncated_within_a_page);
    RUN(foreign_lock_wal);
    RUN(foreign_lock_delete);
    RUN(stopped_exec);
    RUN(stopped_returning);
    RUN(stopped_transaction);
    RUN(stopped_script);
    RUN(stopped_lease_exec);
    RUN(stopped_lease_commit);
    RUN(fork_child_is_refused);
    RUN(fork_child_with_writer_is_refused);
    RUN(control_false_ack_is_seen);
    RUN(kill_9_wal);
    RUN(kill_9_delete);
    return test_end();
}
