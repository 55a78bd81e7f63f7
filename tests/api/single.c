/*  single.c - config.single_process: no file locks, and nobody else on the file.
    SPDX-License-Identifier: MIT OR Unlicense

    Other processes are this program started again, with a line of what they found on their output. */
#define _GNU_SOURCE
#include "api.h"
#include "sim/sim.h"

static sqlpool_error err;

#define TABLE "CREATE TABLE t(v INTEGER); INSERT INTO t VALUES(0);"
#define VALUE "SELECT v FROM t"

static sqlpool_config single(int readers) {
    sqlpool_config config = config_of(readers);
    config.single_process = true;
    return config;
}

/*---- the other processes ----*/

/*  Reads the value by a plain connection: exit status 0 and the value, or SQLite's result. */
static int act_read(const char *path) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(db, VALUE, -1, &statement, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) printf("%d\n", sqlite3_column_int(statement, 0));
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return rc == SQLITE_ROW ? 0 : rc & 0xff;
}
static int act_write(const char *path) {
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, "UPDATE t SET v = v + 1", NULL, NULL, NULL);
    (void)sqlite3_close(db);
    return rc & 0xff;
}
/*  Opens the file, does what `sql` says, tells so and stays until its input ends. */
static int act_hold(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    char c;
    int rc = sqlite3_open(path, &db);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK || write(1, "H", 1) != 1) return 1;
    while (read(0, &c, 1) > 0) continue;
    return sqlite3_close(db) == SQLITE_OK ? 0 : 2;
}
/*  A pool with the file for itself: commits 1, 2, 3 ..., tells every one, until it is killed. */
static int act_pool(const char *path) {
    const sqlpool_config config = single(2);
    sqlpool *pool = open_pool(path, &config, NULL);
    int64_t i;
    if (pool == NULL) return 1;
    for (i = 1; i < 100000000; i++) {
        if (sqlpool_exec(pool, "UPDATE t SET v = ?", SQLPOOL_ARGS(i), &err) != SQLPOOL_OK) return 2;
        if (write(1, &i, sizeof i) != (ssize_t)sizeof i) return 3;
    }
    return 4;
}

typedef struct process {
    pid_t id;
    int in, out; /* our ends */
} process;
static bool start(process *p, const char *role, const char *path, const char *sql) {
    int in[2], out[2];
    if (pipe(in) != 0 || pipe(out) != 0) return false;
    fflush(stdout);
    p->id = fork();
    if (p->id == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)close(in[0]), (void)close(in[1]), (void)close(out[0]), (void)close(out[1]);
        sim_exec_self(role, path, sql);
        _exit(99);
    }
    (void)close(in[0]), (void)close(out[1]);
    p->in = in[1], p->out = out[0];
    return p->id > 0;
}
static int finish(process *p) {
    int status = 0;
    (void)close(p->in), (void)close(p->out);
    while (waitpid(p->id, &status, 0) < 0 && errno == EINTR) continue;
    return status;
}
static bool hold(process *p, const char *path, const char *sql) {
    char c = 0;
    return start(p, "hold", path, sql) && read(p->out, &c, 1) == 1 && c == 'H';
}

static bool make_file(const char *path) {
    return raw_make(path, "PRAGMA journal_mode = WAL;" TABLE);
}
static bool is_there(const char *path, const char *tail) {
    char name[200];
    (void)snprintf(name, sizeof name, "%s%s", path, tail);
    return access(name, F_OK) == 0;
}

/*---- it works ----*/

TEST(reads_are_fresh_and_the_stamp_works_without_a_shm_file) {
    sqlpool_config config = single(3), resolved;
    sqlpool *pool = open_pool("plain.db", &config, TABLE);
    sqlpool_stamp stamp = {{0}};
    sqlpool_conn first, second;
    sqlpool_stats stats;
    int i;
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_config_resolved(pool, &resolved), SQLPOOL_OK);
    CHECK_STR(resolved.snapshot_state, "on");
    CHECK_STR(resolved.vfs_name, "unix-excl");
    CHECK(resolved.single_process);
    CHECK_INT(resolved.journal, SQLPOOL_JOURNAL_WAL);
    CHECK_INT(sqlpool_changed(pool, &stamp), 1);
    CHECK_INT(sqlpool_changed(pool, &stamp), 0);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &first, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &second, &err), &err);
    for (i = 1; i <= 50; i++) {
        CHECK_OK(sqlpool_exec(pool, "UPDATE t SET v = ?", SQLPOOL_ARGS(i), &err), &err);
        CHECK_INT(sqlpool_changed(pool, &stamp), 1);
        CHECK_INT(ask(pool, VALUE), i);
        CHECK_INT(ask(pool, VALUE), i);
        CHECK_INT(ask_conn(&first, VALUE), i);
        CHECK_INT(ask_conn(&second, VALUE), i);
        CHECK_INT(sqlpool_changed(pool, &stamp), 0);
    }
    CHECK_INT(sqlpool_conn_release(&first), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&second), SQLPOOL_OK);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK(stats.snapshot_hits > 0);
    CHECK(is_there("plain.db", "-wal"));
    CHECK(!is_there("plain.db", "-shm"));
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &err), &err);
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    CHECK_INT(ask(pool, VALUE), 50);
    CHECK(!is_there("plain.db", "-shm"));
    close_pool(pool);
    CHECK(!is_there("plain.db", "-wal") && !is_there("plain.db", "-shm"));
}

enum { THREADS = 4, ROUNDS = 100 };
typedef struct worker {
    sqlpool *pool;
    int failed;
} worker;
static int move_one(sqlpool_conn *conn, void *user, int attempt) {
    int rc = sqlpool_conn_exec(conn, "UPDATE a SET v = v - 1", SQLPOOL_NO_ARGS, NULL, NULL);
    (void)user, (void)attempt;
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_exec(conn, "UPDATE b SET v = v + 1", SQLPOOL_NO_ARGS, NULL, NULL);
    return rc;
}
static void *work(void *argument) {
    worker *w = (worker *)argument;
    sqlpool_error error;
    int64_t sum = 0;
    int i;
    for (i = 0; i < ROUNDS && w->failed == 0; i++) {
        w->failed = sqlpool_transaction(w->pool, SQLPOOL_WRITE, move_one, NULL, &error);
        if (w->failed == 0) {
            w->failed = sqlpool_query_int64(w->pool, &sum, "SELECT (SELECT v FROM a) + (SELECT v FROM b)",
                                            SQLPOOL_NO_ARGS, &error);
        }
        if (w->failed == 0 && sum != 1000) w->failed = 70000;
    }
    return NULL;
}
static void run_threads(const char *path, int journal) {
    sqlpool_config config = single(3);
    pthread_t threads[THREADS];
    worker workers[THREADS];
    sqlpool *pool;
    int i;
    config.journal = journal;
    pool = open_pool(path, &config,
                     "CREATE TABLE a(v); CREATE TABLE b(v);"
                     "INSERT INTO a VALUES(1000); INSERT INTO b VALUES(0)");
    CHECK(pool != NULL);
    memset(workers, 0, sizeof workers);
    for (i = 0; i < THREADS; i++) {
        workers[i].pool = pool;
        CHECK(start_thread(&threads[i], work, &workers[i]));
    }
    for (i = 0; i < THREADS; i++) CHECK_INT(pthread_join(threads[i], NULL), 0);
    for (i = 0; i < THREADS; i++) CHECK_INT(workers[i].failed, 0);
    CHECK_INT(ask(pool, "SELECT v FROM b"), THREADS * ROUNDS);
    CHECK_INT(ask(pool, "SELECT v FROM a"), 1000 - THREADS * ROUNDS);
    close_pool(pool);
}
TEST(writes_of_four_threads_are_all_there) {
    PART(run_threads("threads.db", SQLPOOL_JOURNAL_WAL));
    PART(run_threads("threads_delete.db", SQLPOOL_JOURNAL_DELETE));
}

TEST(works_with_a_rollback_journal) {
    sqlpool_config config = single(2), resolved;
    sqlpool_stamp stamp = {{0}};
    char out[500];
    sqlpool *pool;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    pool = open_pool("journal.db", &config, TABLE);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_config_resolved(pool, &resolved), SQLPOOL_OK);
    CHECK_INT(resolved.journal, SQLPOOL_JOURNAL_DELETE);
    CHECK_STR(resolved.snapshot_state, "off: the journal is not WAL");
    CHECK_INT(sqlpool_changed(pool, &stamp), SQLPOOL_UNSUPPORTED);
    CHECK_OK(sqlpool_exec(pool, "UPDATE t SET v = 5", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(pool, VALUE), 5);
    CHECK_INT(sim_run_self("write", "journal.db", out, sizeof out), SQLITE_BUSY);
    CHECK_INT(ask(pool, VALUE), 5);
    close_pool(pool);
    CHECK_INT(sim_run_self("write", "journal.db", out, sizeof out), 0);
}

TEST(is_ignored_for_a_memory_database) {
    sqlpool_config config = single(2), resolved;
    sqlpool *pool = open_pool(":memory:", &config, TABLE);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_config_resolved(pool, &resolved), SQLPOOL_OK);
    CHECK(!resolved.single_process);
    CHECK_INT(ask(pool, VALUE), 0);
    close_pool(pool);
}

/*---- the others ----*/

TEST(other_processes_are_kept_out_until_the_close) {
    const sqlpool_config config = single(2);
    sqlpool *pool = open_pool("out.db", &config, TABLE);
    char out[500];
    CHECK(pool != NULL);
    CHECK_INT(sim_run_self("read", "out.db", out, sizeof out), SQLITE_BUSY); /* from the open on */
    CHECK_INT(sim_run_self("write", "out.db", out, sizeof out), SQLITE_BUSY);
    CHECK_OK(sqlpool_exec(pool, "UPDATE t SET v = 7", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sim_run_self("read", "out.db", out, sizeof out), SQLITE_BUSY);
    CHECK_INT(sim_run_self("write", "out.db", out, sizeof out), SQLITE_BUSY);
    CHECK_INT(ask(pool, VALUE), 7);
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    CHECK_INT(sim_run_self("write", "out.db", out, sizeof out), SQLITE_BUSY);
    close_pool(pool);
    CHECK_INT(sim_run_self("write", "out.db", out, sizeof out), 0);
    CHECK_INT(sim_run_self("read", "out.db", out, sizeof out), 0);
    CHECK_STR(out, "8\n");
}

static void refuses(const char *path, const char *holds) {
    sqlpool_config config = single(1);
    sqlpool *pool = NULL;
    process p;
    int64_t took;
    CHECK(make_file(path));
    CHECK(hold(&p, path, holds));
    config.open_timeout_ms = 100;
    took = now_ms();
    CHECK_RC(sqlpool_open(&pool, path, &config, &err), SQLPOOL_TIMEOUT, &err);
    took = now_ms() - took;
    CHECK(pool == NULL);
    CHECK(took >= 90 && took < 20000); /* it waited, not for ever */
    CHECK_INT(err.sqlite_code & 0xff, SQLITE_BUSY);
    CHECK_HAS(err.message, path);
    CHECK_HAS(err.message, "could not be opened");
    CHECK_HAS(err.message, "single_process wants the file alone");
    CHECK_HAS(err.message, "another process");
    CHECK_INT(finish(&p), 0);
    CHECK_OK(sqlpool_open(&pool, path, &config, &err), &err);
    CHECK_INT(ask(pool, VALUE), 0);
    close_pool(pool);
}
TEST(open_fails_while_another_process_reads) {
    PART(refuses("reads.db", "BEGIN; SELECT v FROM t"));
}
TEST(open_fails_while_another_process_merely_has_the_log_open) {
    PART(refuses("merely.db", "SELECT v FROM t"));
}
TEST(open_fails_while_another_process_writes) {
    PART(refuses("writes.db", "BEGIN IMMEDIATE; SELECT v FROM t"));
}

/*  What a plain connection reads; the last one to close takes the log away. */
static int64_t value_of(const char *path) {
    sqlite3 *db = NULL;
    int64_t value = -1;
    if (sqlite3_open(path, &db) == SQLITE_OK) value = sim_plain_int64(db, VALUE, -1);
    return sqlite3_close(db) == SQLITE_OK ? value : -1;
}

/*  SQLite knows both by the file: whichever came first decides, and nothing is lost. */
static void beside_a_plain_pool(const char *path, bool is_plain_first) {
    const sqlpool_config alone = single(1), shared = config_of(1);
    sqlpool_stamp stamp = {{0}};
    sqlpool *first, *second;
    int i;
    CHECK(make_file(path));
    first = open_pool(path, is_plain_first ? &shared : &alone, NULL);
    second = open_pool(path, is_plain_first ? &alone : &shared, NULL);
    CHECK(first != NULL && second != NULL);
    CHECK_INT(sqlpool_changed(first, &stamp), 1);
    for (i = 1; i <= 20; i++) {
        CHECK_OK(sqlpool_exec(i % 2 ? first : second, "UPDATE t SET v = ?", SQLPOOL_ARGS(i), &err), &err);
        CHECK_INT(sqlpool_changed(first, &stamp), 1);
        CHECK_INT(ask(first, VALUE), i);
        CHECK_INT(ask(second, VALUE), i);
    }
    close_pool(first);
    CHECK_OK(sqlpool_exec(second, "UPDATE t SET v = v + 1", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(second, VALUE), 21);
    close_pool(second);
    /* SQLite 3.54 leaves the log behind where the pool without the others was first; nothing is lost */
    CHECK(is_plain_first ? !is_there(path, "-wal") && !is_there(path, "-shm")
                         : value_of(path) == 21 && !is_there(path, "-wal"));
}
TEST(nothing_is_lost_beside_a_plain_pool_of_this_process) {
    PART(beside_a_plain_pool("beside_plain.db", true));
    PART(beside_a_plain_pool("beside_alone.db", false));
}

/*  Two such pools of one process share the memory, and see each other's commits. */
TEST(two_such_pools_of_one_process_work_together) {
    const sqlpool_config config = single(2);
    sqlpool *one = open_pool("both.db", &config, TABLE);
    sqlpool *two = open_pool("both.db", &config, NULL);
    sqlpool_stamp stamp = {{0}};
    int i;
    CHECK(one != NULL && two != NULL);
    CHECK_INT(sqlpool_changed(one, &stamp), 1);
    for (i = 1; i <= 20; i++) {
        CHECK_OK(sqlpool_exec(i % 2 ? one : two, "UPDATE t SET v = ?", SQLPOOL_ARGS(i), &err), &err);
        CHECK_INT(sqlpool_changed(one, &stamp), 1);
        CHECK_INT(sqlpool_changed(one, &stamp), 0);
        CHECK_INT(ask(one, VALUE), i);
        CHECK_INT(ask(two, VALUE), i);
    }
    close_pool(one);
    CHECK_INT(ask(two, VALUE), 20);
    close_pool(two);
}

TEST(vfs_name_beside_it_is_refused) {
    sqlpool_config config = single(1);
    sqlpool *pool = NULL;
    config.vfs_name = "unix-none";
    CHECK_RC(sqlpool_open(&pool, "vfs.db", &config, &err), SQLPOOL_CONFIG, &err);
    CHECK(pool == NULL);
    CHECK_HAS(err.message, "vfs_name must be NULL");
    CHECK_HAS(err.message, "single_process");
    CHECK(!is_there("vfs.db", ""));
}

/*---- killed ----*/

TEST(what_a_killed_process_committed_is_there) {
    const sqlpool_config config = single(1);
    char out[500];
    sqlpool *pool;
    process p;
    int64_t told = 0, value;
    int i, status;
    CHECK(make_file("killed.db"));
    for (i = 0; i < 3; i++) {
        CHECK(start(&p, "pool", "killed.db", NULL));
        while (told < 200 + i) CHECK(read(p.out, &told, sizeof told) == (ssize_t)sizeof told);
        CHECK_INT(kill(p.id, SIGKILL), 0);
        while (read(p.out, &value, sizeof value) == (ssize_t)sizeof value) told = value; /* said before */
        status = finish(&p);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        CHECK(is_there("killed.db", "-wal"));
        CHECK(!is_there("killed.db", "-shm"));
        if (i == 1) { /* by a plain connection of another process */
            CHECK_INT(sim_run_self("read", "killed.db", out, sizeof out), 0);
            value = atoi(out);
        } else {
            pool = open_pool("killed.db", &config, NULL);
            CHECK(pool != NULL);
            value = ask(pool, VALUE);
            CHECK_OK(sqlpool_exec(pool, "UPDATE t SET v = 0", SQLPOOL_NO_ARGS, &err), &err);
            CHECK_INT(ask(pool, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
            close_pool(pool);
        }
        CHECK(value == told || value == told + 1); /* the last one may have been in the file, untold */
        told = 0;
    }
}

int main(int argc, char **argv) {
    if (argc >= 3 && strcmp(argv[1], "read") == 0) return act_read(argv[2]);
    if (argc >= 3 && strcmp(argv[1], "write") == 0) return act_write(argv[2]);
    if (argc >= 4 && strcmp(argv[1], "hold") == 0) return act_hold(argv[2], argv[3]);
    if (argc >= 3 && strcmp(argv[1], "pool") == 0) return act_pool(argv[2]);
    (void)sim_self_path();
    (void)signal(SIGPIPE, SIG_IGN);
    RUN(reads_are_fresh_and_the_stamp_works_without_a_shm_file);
    RUN(writes_of_four_threads_are_all_there);
    RUN(works_with_a_rollback_journal);
    RUN(is_ignored_for_a_memory_database);
    RUN(other_processes_are_kept_out_until_the_close);
    RUN(open_fails_while_another_process_reads);
    RUN(open_fails_while_another_process_merely_has_the_log_open);
    RUN(open_fails_while_another_process_writes);
    RUN(nothing_is_lost_beside_a_plain_pool_of_this_process);
    RUN(two_such_pools_of_one_process_work_together);
    RUN(vfs_name_beside_it_is_refused);
    RUN(what_a_killed_process_committed_is_there);
    return test_end();
}
