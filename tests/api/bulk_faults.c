/*  bulk_faults.c - loads that do not come to their end, and what else runs meanwhile: after every failure
    next_row is where to go on, and going on from there gives each row exactly once.
    SPDX-License-Identifier: MIT OR Unlicense

    Memory and disk are the simulator's, so that they can fail.

    bulk_faults             all tests
    bulk_faults kill PATH   loads until it is killed */
#define _GNU_SOURCE
#include "bulk.h"

/*---- what the tests share ----*/

static sqlpool_bulk_config plain_load(void) {
    sqlpool_bulk_config load;
    memset(&load, 0, sizeof load);
    load.table = "t";
    load.columns = abc;
    load.column_count = 3;
    load.batch_bytes = 3000; /* some 30 rows */
    return load;
}

/*  Rows 0 .. count - 1, each once. */
static void check_full(sqlpool *pool, int64_t count) {
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), count);
    CHECK_INT(ask(pool, "SELECT count(DISTINCT a) FROM t"), count);
    CHECK_INT(ask(pool, "SELECT coalesce(min(a), 0) FROM t"), 0);
    CHECK_INT(ask(pool, "SELECT coalesce(max(a), -1) FROM t"), count - 1);
}
/*  The rest of a load from `from` on. */
static void go_on(sqlpool *pool, const sqlpool_bulk_config *load, const source *s, int64_t from) {
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    CHECK_OK(sqlpool_bulk_begin(pool, load, &bulk, &err), &err);
    if (load->name != NULL) {
        CHECK_INT(sqlpool_bulk_next_row(bulk), from);
        CHECK_OK(feed(bulk, s, from, s->count, &err), &err);
    } else { /* this one counts from 0 again */
        room *r = new_room();
        int64_t row;
        for (row = from; row < s->count; row++) {
            make_row(s, row, r);
            if (sqlpool_bulk_row(bulk, r->values, s->columns, &err) != SQLPOOL_OK)
                test_fail(__FILE__, __LINE__, "row %" PRId64 ": %s", row, err.message);
        }
        free(r);
    }
    CHECK_OK(sqlpool_bulk_end(bulk, &progress, &err), &err);
    CHECK_INT(progress.rows, s->count - from);
    check_full(pool, s->count);
}
static void close_clean(sqlpool *pool) {
    close_pool(pool);
    check_memory();
}

/*---- going on by name ----*/

TEST(an_abandoned_load_goes_on) {
    static const int64_t stops[] = {0, 1, 40, 41, 100, 160, 199};
    const sqlpool_config config = plain_config();
    const source s = plain_source(3, 200);
    sqlpool_bulk_config load = plain_load();
    sqlpool *pool = open_pool(next_file(), &config, ABC);
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    int64_t next = 0;
    int i;
    CHECK(pool != NULL);
    load.name = "abandoned";
    for (i = 0; i < LENGTH(stops); i++) {
        CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
        CHECK_INT(sqlpool_bulk_next_row(bulk), next);
        CHECK_OK(feed(bulk, &s, next, stops[i], &err), &err);
        CHECK_INT(sqlpool_bulk_abandon(bulk, &progress), SQLPOOL_OK);
        CHECK(progress.next_row >= next && progress.next_row <= stops[i]);
        CHECK(stops[i] < 100 || progress.next_row > 0);
        next = progress.next_row;
        PART(check_full(pool, next));
    }
    go_on(pool, &load, &s, next);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlpool_bulk"), 0);
    CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err); /* that name is new again */
    CHECK_INT(sqlpool_bulk_next_row(bulk), 0);
    CHECK_INT(sqlpool_bulk_abandon(bulk, NULL), SQLPOOL_OK);
    close_clean(pool);
}

#define LIKES_NO_77 "DROP TABLE IF EXISTS t; CREATE TABLE t(a CHECK(a <> 77), b, c)"
TEST(a_load_goes_on_at_the_row_that_ended_it) {
    const sqlpool_config config = plain_config();
    const source s = plain_source(3, 200);
    sqlpool_bulk_config load = plain_load();
    int named;
    for (named = 0; named <= 1; named++) {
        sqlpool *pool = open_pool(next_file(), &config, LIKES_NO_77);
        sqlpool_bulk_progress progress;
        CHECK(pool != NULL);
        load.name = named ? "refused" : NULL;
        CHECK_RC(run_load(pool, &load, &s, &progress, &err), SQLITE_CONSTRAINT_CHECK, &err);
        CHECK_INT(progress.next_row, 77);
        PART(check_full(pool, 77));
        if (named) { /* the same end again */
            CHECK_RC(run_load(pool, &load, &s, &progress, &err), SQLITE_CONSTRAINT_CHECK, &err);
            CHECK_INT(progress.next_row, 77);
            CHECK_INT(progress.rows > 0, 1);
        }
        CHECK_OK(sqlpool_script(pool,
                                "CREATE TABLE u(a, b, c); INSERT INTO u SELECT * FROM t; "
                                "DROP TABLE t; ALTER TABLE u RENAME TO t",
                                -1, &err),
                 &err);
        go_on(pool, &load, &s, 77);
        close_clean(pool);
    }
}

/*  A batch whose COMMIT a row refuses is written in halves. One that meets a lock behind a half that is committed ends
    the load there: tried again from its begin the first half would be there twice. */
static const struct {
    int rows, orphan, locked, done;
} stumbled[] = {{24, 20, 15, 12}, {2, 1, 1, 1}};
static int stumbles, stumbled_at;
static void stumble(sqlite3_context *context, int count, sqlite3_value **values) {
    const int row = sqlite3_value_int(values[0]);
    (void)count;
    if (row == stumbled[stumbled_at].orphan && stumbles == 0) {
        stumbles = 1;
    } else if (row == stumbled[stumbled_at].locked && stumbles == 1) {
        stumbles |= 2;
        sqlite3_result_error_code(context, SQLITE_BUSY);
    }
}
static int add_stumble(void *user, const sqlpool_conn *conn) {
    (void)user;
    return add_function(conn, "stumble", 1, stumble);
}
TEST(a_lock_behind_half_a_batch) {
    sqlpool_config config = plain_config();
    config.events.connect_fn = add_stumble;
    for (stumbled_at = 0; stumbled_at < LENGTH(stumbled); stumbled_at++) {
        const source s = plain_source(3, stumbled[stumbled_at].rows);
        sqlpool_bulk_config load = plain_load();
        sqlpool_bulk_progress progress;
        char sql[500];
        sqlpool *pool;
        stumbles = 0;
        (void)snprintf(sql, sizeof sql,
                       "CREATE TABLE p(id INTEGER PRIMARY KEY); WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL "
                       "SELECT i + 1 FROM n LIMIT 24) INSERT INTO p SELECT i FROM n WHERE i <> %d; "
                       "CREATE TABLE t(a REFERENCES p DEFERRABLE INITIALLY DEFERRED, b, c); "
                       "CREATE TRIGGER g BEFORE INSERT ON t BEGIN SELECT stumble(new.a); END",
                       stumbled[stumbled_at].orphan);
        pool = open_pool(next_file(), &config, sql);
        CHECK(pool != NULL);
        CHECK_RC(run_load(pool, &load, &s, &progress, &err), SQLITE_BUSY, &err);
        CHECK_INT(stumbles, 3);
        CHECK_INT(progress.next_row, stumbled[stumbled_at].done);
        PART(check_full(pool, stumbled[stumbled_at].done));
        close_clean(pool);
    }
}

/*  A row that ends its transaction is told once, also when it was the last of its batch. */
TEST(a_name_remembers_refused_rows) {
    static const char *const causes[] = {"ABORT", "ROLLBACK"};
    const sqlpool_config config = plain_config();
    int i;
    for (i = 0; i < LENGTH(causes); i++) {
        char schema[300];
        source s = plain_source(1, 150);
        sqlpool_bulk_config load = plain_load();
        hearing *h = new_hearing(&s);
        sqlpool_bulk_progress progress;
        sqlpool_bulk *bulk = NULL;
        sqlpool *pool;
        (void)snprintf(schema, sizeof schema,
                       ABC
                       "; CREATE TRIGGER i BEFORE INSERT ON t BEGIN SELECT RAISE(%s, 'no') WHERE "
                       "NEW.a = 99; END",
                       causes[i]);
        pool = open_pool(next_file(), &config, schema);
        CHECK(pool != NULL);
        load.column_count = 1;
        load.batch_bytes = 100 * (int64_t)sizeof(sqlpool_value); /* 100 rows */
        load.name = "refused";
        load.user = h;
        load.refused_fn = on_refused;
        CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
        CHECK_OK(feed(bulk, &s, 0, 101, &err), &err);
        CHECK_INT(h->count, 1);
        CHECK_INT(sqlpool_bulk_abandon(bulk, &progress), SQLPOOL_OK);
        CHECK_INT(progress.next_row, 100);
        CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
        CHECK_INT(sqlpool_bulk_next_row(bulk), 100);
        CHECK_OK(feed(bulk, &s, 100, 150, &err), &err);
        CHECK_OK(sqlpool_bulk_end(bulk, NULL, &err), &err);
        CHECK_INT(h->count, 1);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 149);
        free(h);
        close_clean(pool);
    }
}

/*---- a process that is killed ----*/

static int report_fd = 1;
static int on_kill_progress(void *user, const sqlpool_bulk_progress *progress) {
    const char byte = 'p';
    (void)user;
    (void)progress;
    return write(report_fd, &byte, 1) == 1 ? 0 : 1;
}
/*  The child. Every report is a byte in the pipe. */
static int be_killed(const char *path, bool is_relaxed) {
    sqlpool_config config = plain_config();
    const source s = plain_source(3, 100000000);
    sqlpool_bulk_config load = plain_load();
    sqlpool_bulk_progress progress;
    sqlpool *pool;
    config.synchronous = is_relaxed ? SQLPOOL_SYNCHRONOUS_FULL : SQLPOOL_SYNCHRONOUS_NORMAL;
    load.name = "killed";
    load.relaxed = is_relaxed;
    load.batch_bytes = 20000;
    load.progress_fn = on_kill_progress;
    pool = open_pool(path, &config, NULL);
    if (pool == NULL) return 1;
    return run_load(pool, &load, &s, &progress, &err);
}
static bool kill_one(const char *path, bool is_relaxed, int64_t after_us) {
    int ends[2], status = 0;
    char byte;
    pid_t child;
    bool was_loading;
    if (pipe(ends) != 0) return false;
    (void)sim_self_path();
    fflush(stdout);
    child = fork();
    if (child == 0) {
        (void)dup2(ends[1], 1);
        (void)close(ends[0]);
        sim_exec_self("kill", path, is_relaxed ? "relaxed" : "plain");
        _exit(99);
    }
    (void)close(ends[1]);
    was_loading = child > 0 && read(ends[0], &byte, 1) == 1;
    sim_real_sleep_ns(after_us * 1000);
    if (child > 0) (void)kill(child, SIGKILL);
    (void)close(ends[0]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return was_loading && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
TEST(a_killed_load_goes_on) {
    const sqlpool_config config = plain_config();
    const char *const path = next_file();
    sqlpool_bulk_config load = plain_load();
    sqlpool *pool = open_pool(path, &config, ABC);
    uint64_t dice = (uint64_t)sim_real_ns();
    int64_t before = 0, next = 0;
    source s;
    int i;
    CHECK(pool != NULL);
    close_pool(pool);
    for (i = 0; i < 16; i++) {
        sqlite3 *db;
        CHECK(kill_one(path, i % 3 == 0, (int64_t)roll(&dice, 15000)));
        db = raw_open(path);
        CHECK(db != NULL);
        next = raw_ask(db, "SELECT row FROM sqlpool_bulk WHERE name = 'killed'");
        CHECK(next > before);
        CHECK_INT(raw_ask(db, "SELECT count(*) FROM t"), next);
        CHECK_INT(raw_ask(db, "SELECT count(DISTINCT a) FROM t"), next);
        CHECK_INT(raw_ask(db, "SELECT max(a) FROM t"), next - 1);
        before = next;
        (void)sqlite3_close(db);
    }
    printf("# killed %d times in %" PRId64 " rows\n", i, next);
    pool = open_pool(path, &config, NULL);
    CHECK(pool != NULL);
    load.name = "killed";
    s = plain_source(3, next + 500);
    go_on(pool, &load, &s, next);
    close_clean(pool);
}

/*---- two loads ----*/

TEST(two_loads_take_turns) {
    const sqlpool_config config = plain_config();
    const source s = plain_source(3, 300);
    sqlpool *pool = open_pool(next_file(), &config, ABC "; CREATE TABLE u(a, b, c)");
    sqlpool_bulk_config load[2] = {plain_load(), plain_load()};
    sqlpool_bulk *bulk[2];
    int64_t next[2] = {0, 0};
    int i, k, round;
    CHECK(pool != NULL);
    load[0].name = "one";
    load[1].name = "two";
    load[1].table = "u";
    load[1].batch_bytes = 200 * (int64_t)sizeof(sqlpool_value);
    for (round = 0; round < 3; round++) {
        for (k = 0; k < 2; k++) {
            CHECK_OK(sqlpool_bulk_begin(pool, &load[k], &bulk[k], &err), &err);
            CHECK_INT(sqlpool_bulk_next_row(bulk[k]), next[k]);
        }
        for (i = 0; i < 80; i++) {
            for (k = 0; k < 2; k++)
                CHECK_OK(feed(bulk[k], &s, next[k] + i, next[k] + i + 1, &err), &err);
        }
        for (k = 0; k < 2; k++) {
            sqlpool_bulk_progress progress;
            CHECK_INT(sqlpool_bulk_abandon(bulk[k], &progress), SQLPOOL_OK);
            CHECK(progress.next_row > next[k]);
            next[k] = progress.next_row;
        }
    }
    CHECK(next[0] != next[1]);
    go_on(pool, &load[0], &s, next[0]);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlpool_bulk"), 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM u"), next[1]);
    CHECK_OK(sqlpool_bulk_begin(pool, &load[1], &bulk[1], &err), &err);
    CHECK_INT(sqlpool_bulk_next_row(bulk[1]), next[1]);
    CHECK_OK(feed(bulk[1], &s, next[1], s.count, &err), &err);
    CHECK_OK(sqlpool_bulk_end(bulk[1], NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) = 300 AND count(DISTINCT a) = 300 FROM u"), 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlpool_bulk"), 0);
    close_clean(pool);
}

typedef struct loader {
    sqlpool *pool;
    sqlpool_bulk_config load;
    source source;
    sqlpool_bulk_progress progress;
    sqlpool_error error;
    int rc;
    pthread_t thread;
} loader;
static void *run_loader(void *argument) {
    loader *l = (loader *)argument;
    l->rc = run_load(l->pool, &l->load, &l->source, &l->progress, &l->error);
    return NULL;
}
static void shifted_row(const source *s, int64_t row, room *r) {
    plain_row(s, row, r);
    r->values[0] = sqlpool_value_int64(row + (int64_t)s->seed);
}
TEST(loads_of_several_threads) {
    static const char *const names[] = {"w", "x", "y", "z"};
    const sqlpool_config config = plain_config();
    sqlpool *pool = open_pool(next_file(), &config, ABC);
    loader loaders[4];
    int i;
    CHECK(pool != NULL);
    for (i = 0; i < 4; i++) {
        loader *l = &loaders[i];
        memset(l, 0, sizeof *l);
        l->pool = pool;
        l->load = plain_load();
        l->load.name = names[i];
        l->source = plain_source(3, 1000);
        l->source.make = shifted_row;
        l->source.seed = (uint64_t)i * 1000;
        CHECK(start_thread(&l->thread, run_loader, l));
    }
    for (i = 0; i < 4; i++) (void)pthread_join(loaders[i].thread, NULL);
    for (i = 0; i < 4; i++) CHECK_INT(loaders[i].rc, SQLPOOL_OK);
    check_full(pool, 4000);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlpool_bulk"), 0);
    close_clean(pool);
}

/*---- relaxed ----*/

static int log_syncs;
static void count_syncs(void *user, const sim_vfs_event *event) {
    (void)user;
    if (event->kind == SIM_VFS_SYNC && (event->open_flags & SQLITE_OPEN_WAL) != 0) log_syncs++;
}
static int synchronous_now(sqlpool *pool) {
    sqlpool_conn conn;
    int64_t value = -1;
    if (sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err) == SQLPOOL_OK) {
        value = ask_conn(&conn, "PRAGMA synchronous");
        (void)sqlpool_conn_release(&conn);
    }
    return (int)value;
}
static sqlpool_config on_sim_disk(void) {
    sqlpool_config config = plain_config();
    config.vfs_name = "sim";
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    config.breaker_open_ms = SQLPOOL_OFF; /* the next write is tried */
    config.wal_budget_bytes = 1 << 30;    /* no checkpoint on the way */
    config.min_connections = 2;
    return config;
}
static void sync_at_the_end(int synchronous, int pragma) {
    sqlpool_config config = on_sim_disk();
    const source s = plain_source(3, 300);
    sqlpool_bulk_config load = plain_load();
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    sqlpool *pool;
    uint64_t commits;
    int during;
    config.synchronous = synchronous;
    pool = open_pool(next_file(), &config, LIKES_NO_77);
    CHECK(pool != NULL);
    load.relaxed = true;
    CHECK_RC(run_load(pool, &load, &s, &progress, &err), SQLITE_CONSTRAINT_CHECK, &err);
    CHECK_INT(progress.next_row, 77);
    CHECK_INT(synchronous_now(pool), pragma);
    log_syncs = 0;
    CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(log_syncs, 1);
    CHECK_OK(sqlpool_script(pool, ABC, -1, &err), &err);
    /* without `relaxed` every batch syncs */
    load.relaxed = false;
    log_syncs = 0;
    commits = stats_of(pool).commits;
    CHECK_OK(run_load(pool, &load, &s, &progress, &err), &err);
    CHECK_INT(log_syncs, stats_of(pool).commits - commits);
    CHECK(log_syncs > 5);
    CHECK_OK(sqlpool_script(pool, ABC, -1, &err), &err);
    /* and with it the end */
    load.relaxed = true;
    log_syncs = 0;
    CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
    CHECK_OK(feed(bulk, &s, 0, 300, &err), &err);
    during = log_syncs;
    commits = stats_of(pool).commits - commits;
    CHECK_INT(synchronous_now(pool), pragma); /* between two batches too */
    CHECK_OK(sqlpool_bulk_end(bulk, NULL, &err), &err);
    CHECK_INT(during, 0);
    CHECK_INT(log_syncs, 1);
    CHECK(commits > 5);
    CHECK_INT(synchronous_now(pool), pragma);
    check_full(pool, 300);
    CHECK_OK(sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(log_syncs, 2);
    close_clean(pool);
}
TEST(relaxed_syncs_once_at_the_end) {
    sim_vfs.record_fn = count_syncs;
    sync_at_the_end(SQLPOOL_SYNCHRONOUS_FULL, 2);
    sync_at_the_end(SQLPOOL_SYNCHRONOUS_EXTRA, 3);
    sim_vfs.record_fn = NULL;
}

/*  What a failed sync at the end leaves is not called done. */
TEST(a_sync_that_fails_at_the_end) {
    const sqlpool_config config = on_sim_disk();
    const source s = plain_source(3, 100);
    sqlpool_bulk_config load = plain_load();
    sim_vfs_fault fault = {1, SIM_VFS_SYNC, 0, 0, 0};
    sqlpool_bulk *bulk = NULL;
    sqlpool *pool = open_pool(next_file(), &config, ABC);
    CHECK(pool != NULL);
    load.relaxed = true;
    load.name = "unsynced";
    CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
    CHECK_OK(feed(bulk, &s, 0, 100, &err), &err);
    sim_vfs_arm(fault);
    CHECK_RC(sqlpool_bulk_end(bulk, NULL, &err), SQLITE_IOERR_FSYNC, &err);
    sim_vfs_heal();
    CHECK_INT((int64_t)sim_vfs.faults, 1);
    CHECK_INT(ask(pool, "SELECT row FROM sqlpool_bulk WHERE name = 'unsynced'"), 100);
    go_on(pool, &load, &s, 100);
    close_clean(pool);
}

/*---- others ----*/

static int writer_may_stop; /* atomic */
typedef struct bystander {
    sqlpool *pool;
    int64_t longest_us;
    int writes, failures;
} bystander;
static void *write_beside(void *argument) {
    bystander *b = (bystander *)argument;
    while (__atomic_load_n(&writer_may_stop, __ATOMIC_SEQ_CST) == 0) {
        const int64_t begin = sim_real_ns();
        sqlpool_error error;
        if (sqlpool_exec(b->pool, "INSERT INTO u VALUES(1)", SQLPOOL_NO_ARGS, &error) == SQLPOOL_OK)
            b->writes++;
        else
            b->failures++;
        if ((sim_real_ns() - begin) / 1000 > b->longest_us)
            b->longest_us = (sim_real_ns() - begin) / 1000;
        sleep_ms(1);
    }
    return NULL;
}
TEST(others_write_during_a_long_load) {
    const sqlpool_config config = plain_config();
    const source s = plain_source(3, 40000);
    sqlpool_bulk_config load = plain_load();
    sqlpool *pool =
        open_pool(next_file(), &config, ABC "; CREATE INDEX t_b ON t(b); CREATE TABLE u(v)");
    bystander b = {pool, 0, 0, 0};
    sqlpool_bulk_progress progress;
    pthread_t thread;
    CHECK(pool != NULL);
    load.batch_bytes = 0;
    load.batch_ms = 5;
    writer_may_stop = 0;
    CHECK(start_thread(&thread, write_beside, &b));
    CHECK_OK(run_load(pool, &load, &s, &progress, &err), &err);
    __atomic_store_n(&writer_may_stop, 1, __ATOMIC_SEQ_CST);
    (void)pthread_join(thread, NULL);
    printf("# beside a load of %" PRId64 " ms with batch_ms 5: %d writes, the longest %" PRId64
           " us\n",
           progress.elapsed_ms, b.writes, b.longest_us);
    CHECK_INT(b.failures, 0);
    CHECK(b.writes > 2);
    CHECK_INT(ask(pool, "SELECT count(*) FROM u"), b.writes);
    check_full(pool, 40000);
    close_clean(pool);
}

/*  Another process has the lock: the load ends when its time is over, and goes on later. */
TEST(a_lock_that_another_process_holds) {
    const sqlpool_config config = plain_config();
    const source s = plain_source(3, 200);
    const char *const path = next_file();
    sqlpool_bulk_config load = plain_load();
    sqlpool *pool = open_pool(path, &config, ABC);
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    sqlite3 *db = raw_open(path);
    int64_t begin;
    CHECK(pool != NULL && db != NULL);
    load.timeout_ms = 100;
    CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
    CHECK_OK(feed(bulk, &s, 0, 60, &err), &err);
    CHECK(raw_exec(db, "BEGIN IMMEDIATE"));
    begin = now_ms();
    CHECK_RC(feed(bulk, &s, 60, 200, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(now_ms() - begin >= 90 && now_ms() - begin < 30000);
    CHECK(raw_exec(db, "ROLLBACK"));
    CHECK_RC(sqlpool_bulk_end(bulk, &progress, &err), SQLPOOL_TIMEOUT, &err);
    PART(check_full(pool, progress.next_row));
    go_on(pool, &load, &s, progress.next_row);
    (void)sqlite3_close(db);
    close_clean(pool);
}

/*  BEGIN fails in a way that is worth another try: nothing of the batch has run, so it is tried. */
static int again_told, again_attempt; /* atomic */
static int again_if_locked(void *user, int code, int is_retryable) {
    (void)user;
    return code == SQLITE_IOERR_SHMLOCK ? 1 : is_retryable;
}
static void on_again(void *user, int attempt, int code, int64_t delay_us) {
    (void)user, (void)code, (void)delay_us;
    (void)__atomic_add_fetch(&again_told, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&again_attempt, attempt, __ATOMIC_SEQ_CST);
}
TEST(a_begin_that_fails_is_tried_again) {
    sqlpool_config config = on_sim_disk();
    const source s = plain_source(3, 200);
    int named, most;
    config.retry_base_us = 1;
    config.events.retryable_fn = again_if_locked;
    config.events.retry_fn = on_again;
    for (named = 0; named <= 1; named++) {
        for (most = 0; most <= 1; most++) {
            sqlpool_bulk_config load = plain_load();
            sqlpool *pool = open_pool(next_file(), &config, ABC);
            sqlpool_bulk_progress progress;
            sqlpool_bulk *bulk = NULL;
            sim_vfs_fault fault;
            CHECK(pool != NULL);
            load.name = named ? "again" : NULL;
            CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
            CHECK_OK(feed(bulk, &s, 0, most ? 190 : 10, &err), &err);
            memset(&fault, 0, sizeof fault);
            fault.at = 1;
            fault.kind = SIM_VFS_SHM_LOCK;
            __atomic_store_n(&again_told, 0, __ATOMIC_SEQ_CST);
            sim_vfs_arm(fault);
            CHECK_OK(feed(bulk, &s, most ? 190 : 10, s.count, &err), &err);
            CHECK_OK(sqlpool_bulk_end(bulk, &progress, &err), &err);
            sim_vfs_heal();
            CHECK_INT((int64_t)sim_vfs.faults, 1);
            CHECK_INT(__atomic_load_n(&again_told, __ATOMIC_SEQ_CST), 1);
            CHECK_INT(__atomic_load_n(&again_attempt, __ATOMIC_SEQ_CST), 1);
            CHECK_INT(progress.next_row, s.count);
            PART(check_full(pool, s.count));
            close_clean(pool);
        }
    }
}

/*---- disk ----*/

static void fat_row(const source *s, int64_t row, room *r) {
    plain_row(s, row, r);
    memset(r->bytes + r->used, 'f', 300);
    r->values[1] = SQLPOOL_BLOB(r->bytes + r->used, 300);
    r->used += 300;
}
/*  What the disk does not take is no row's fault. */
static int nobody_is_refused(void *user, int64_t row, const sqlpool_value *values,
                             const sqlpool_error *error) {
    (void)user;
    (void)values;
    test_fail(__FILE__, __LINE__, "row %" PRId64 " is refused: %s", row, error->message);
    return 0;
}
/*  One fault, then the disk is whole again. Returns whether the load met it. */
static bool fail_disk(sim_vfs_fault fault, bool named, const char *what) {
    sqlpool_config config = on_sim_disk();
    sqlpool_bulk_config load = plain_load();
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    source s = plain_source(3, 250);
    sqlpool *pool;
    sqlpool_error error;
    int64_t there;
    int rc;
    config.page_cache_kib = 64; /* a batch spills */
    s.make = fat_row;
    load.batch_bytes = 20000; /* some 50 rows */
    load.name = named ? "disk" : NULL;
    load.refused_fn = nobody_is_refused;
    pool = open_pool(next_file(), &config, ABC);
    if (pool == NULL || sqlpool_bulk_begin(pool, &load, &bulk, &err) != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "%s: %s", what, err.message);
        return false;
    }
    sim_vfs_arm(fault);
    rc = feed(bulk, &s, 0, s.count, &error);
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_bulk_end(bulk, &progress, &error);
    } else if (sqlpool_bulk_end(bulk, &progress, &err) != rc) {
        test_fail(__FILE__, __LINE__, "%s: ended with %d, end says %d", what, rc, err.result);
    }
    sim_vfs_heal();
    there = ask(pool, "SELECT count(*) FROM t");
    if (rc == SQLPOOL_OK) {
        check_full(pool, s.count);
    } else if ((rc & 0xff) != (sim_vfs.last_code & 0xff)) {
        test_fail(__FILE__, __LINE__, "%s: %d: %s", what, rc, error.message);
    } else if (there != progress.next_row &&
               !(error.outcome == SQLPOOL_OUTCOME_UNKNOWN && there > progress.next_row)) {
        test_fail(__FILE__, __LINE__, "%s: next_row %" PRId64 ", %" PRId64 " rows, outcome %d: %s",
                  what, progress.next_row, there, error.outcome, error.message);
    } else if (progress.next_row < s.count) {
        go_on(pool, &load, &s, there);
    }
    if (test_failed_now) printf("# with %s\n", what);
    close_clean(pool);
    return rc != SQLPOOL_OK;
}
TEST(a_disk_that_fails_in_the_middle) {
    static const struct {
        int kind, code;
        const char *name;
    } faults[] = {{SIM_VFS_WRITE, SQLITE_FULL, "full"},
                  {SIM_VFS_WRITE, 0, "write"},
                  {SIM_VFS_SYNC, 0, "sync"},
                  {SIM_VFS_SHM_LOCK, 0, "lock"}};
    int i, at, met = 0;
    for (i = 0; i < LENGTH(faults); i++) {
        for (at = 1; at <= 40; at += 1 + at / 3) {
            char what[60];
            const sim_vfs_fault fault = {(uint64_t)at, faults[i].kind, faults[i].code, 0, at % 2};
            (void)snprintf(what, sizeof what, "%s %d, %s", faults[i].name, at,
                           at % 3 == 0 ? "named" : "no name");
            met += fail_disk(fault, at % 3 == 0, what);
            if (test_failed_now) return;
        }
    }
    CHECK(met > 10);
}

static int page_limit;
static int set_page_limit(void *user, const sqlpool_conn *conn) {
    sqlpool_conn own = *conn;
    char sql[60];
    (void)user;
    if (page_limit == 0) return 0;
    (void)snprintf(sql, sizeof sql, "PRAGMA max_page_count = %d", page_limit);
    return sqlite3_exec(sqlpool_conn_db(&own), sql, NULL, NULL, NULL);
}
/*  Two writes that a constraint may refuse: SQLite undoes such a statement alone, others with their
    transaction. */
#define WITH_COPY \
    "CREATE TABLE t(a UNIQUE, b, c); CREATE TABLE copy(a UNIQUE, b); CREATE TRIGGER i AFTER " \
    "INSERT ON t " \
    "BEGIN INSERT INTO copy VALUES(NEW.a, NEW.b); END"
TEST(a_file_that_may_not_grow) {
    sqlpool_config config = plain_config();
    sqlpool_bulk_config load = plain_load();
    source s = plain_source(3, 1000);
    int named;
    config.events.connect_fn = set_page_limit;
    config.breaker_open_ms = SQLPOOL_OFF; /* the next load is tried */
    s.make = fat_row;
    for (named = 0; named <= 1; named++) {
        sqlpool_bulk_progress progress;
        sqlpool *pool;
        page_limit = 40;
        pool = open_pool(next_file(), &config, named ? WITH_COPY : ABC);
        CHECK(pool != NULL);
        load.batch_bytes = 20000;
        load.name = named ? "pages" : NULL;
        load.refused_fn = nobody_is_refused;
        CHECK_RC(run_load(pool, &load, &s, &progress, &err), SQLITE_FULL, &err);
        CHECK(progress.next_row > 30 && progress.next_row < 1000);
        PART(check_full(pool, progress.next_row));
        page_limit = 0;
        CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
        go_on(pool, &load, &s, progress.next_row);
        close_clean(pool);
    }
}

/*---- memory ----*/

static int ignore_refused(void *user, int64_t row, const sqlpool_value *values,
                          const sqlpool_error *error) {
    (void)user;
    (void)row;
    (void)values;
    (void)error;
    return 0;
}
/*  Every allocation of a relaxed load fails: it ends at next_row, and the writer syncs again. */
static bool fail_memory(sqlpool *pool, uint64_t at, bool named, bool *was_ok) {
    sqlpool_bulk_config load = plain_load();
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    source s = plain_source(3, 60);
    hearing *h = new_hearing(&s);
    int rc;
    bool has_failed;
    load.relaxed = true;
    load.name = named ? "memory" : NULL;
    load.batch_bytes = 2000;
    load.user = h;
    load.refused_fn = on_refused;
    progress.next_row = 0;
    *was_ok = false;
    if (sqlpool_exec(pool, "DELETE FROM t", SQLPOOL_NO_ARGS, &err) != SQLPOOL_OK) return false;
    s.make = shifted_row;
    s.seed = 50; /* row 27 is refused */
    sim_alloc_fail(at, 0);
    rc = sqlpool_bulk_begin(pool, &load, &bulk, &err);
    if (rc == SQLPOOL_OK) {
        rc = feed(bulk, &s, sqlpool_bulk_next_row(bulk), s.count, &err);
        if (rc == SQLPOOL_OK)
            rc = sqlpool_bulk_end(bulk, &progress, &err);
        else
            (void)sqlpool_bulk_end(bulk, &progress, NULL);
    }
    sim_alloc_heal();
    has_failed = sim_alloc.failed > 0;
    if (rc != SQLPOOL_OK && rc != SQLPOOL_NOMEM && rc != SQLITE_NOMEM && rc != SQLITE_IOERR_NOMEM)
        test_fail(__FILE__, __LINE__, "allocation %d: %d: %s", (int)at, rc, err.message);
    if (synchronous_now(pool) != 2)
        test_fail(__FILE__, __LINE__,
                  "after a failed allocation %d, and result %d, synchronous is %d", (int)at, rc,
                  synchronous_now(pool));
    if (rc != SQLPOOL_OK && !test_failed_now) {
        const int64_t there = ask(pool, "SELECT count(*) FROM t"), next = progress.next_row;
        if (there != next - (next > 27))
            test_fail(__FILE__, __LINE__, "allocation %d: next_row %" PRId64 ", %" PRId64 " rows",
                      (int)at, next, there);
        load.refused_fn = ignore_refused; /* without a name it counts from 0 */
        rc = sqlpool_bulk_begin(pool, &load, &bulk, &err);
        if (rc == SQLPOOL_OK && named && sqlpool_bulk_next_row(bulk) != next)
            test_fail(__FILE__, __LINE__, "allocation %d: next_row %" PRId64 ", then %" PRId64,
                      (int)at, next, sqlpool_bulk_next_row(bulk));
        if (rc == SQLPOOL_OK) {
            room *r = new_room();
            int64_t row;
            for (row = next; row < s.count && rc == SQLPOOL_OK; row++) {
                make_row(&s, row, r);
                rc = sqlpool_bulk_row(bulk, r->values, 3, &err);
            }
            free(r);
            rc = sqlpool_bulk_end(bulk, NULL, &err);
        }
        if (rc != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "allocation %d: %s", (int)at, err.message);
    }
    *was_ok = ask(pool, "SELECT count(*) = 59 AND count(DISTINCT a) = 59 FROM t") == 1;
    free(h);
    return has_failed;
}
TEST(memory_that_fails_in_a_load) {
    sqlpool_config config = on_sim_disk();
    sqlpool *pool;
    uint64_t at;
    int named;
    bool was_ok = true, has_failed = true;
    config.disable_upkeep_thread = true; /* only the load draws numbers */
    pool = open_pool(next_file(), &config, LIKES_NO_77);
    CHECK(pool != NULL);
    /* the first load makes its table: where memory fails in a statement that finds the schema changed,
       SQLite 3.40 ends the transaction and goes on without one */
    (void)fail_memory(pool, 0, true, &was_ok);
    for (named = 0; named <= 1; named++) {
        for (at = 1, has_failed = true; has_failed && at < 3000; at++) {
            has_failed = fail_memory(pool, at, named != 0, &was_ok);
            if (!was_ok)
                test_fail(__FILE__, __LINE__, "allocation %d: rows are missing or twice", (int)at);
            if (test_failed_now) break;
        }
        if (test_failed_now) break;
        printf("# %d allocations failed in turn\n", (int)at - 2);
        CHECK(at > 60 && !has_failed);
    }
    close_clean(pool);
}

/*---- cancelled, closed, misused ----*/

static sqlpool_token token;
static int fire_at_100(void *user, const sqlpool_bulk_progress *progress) {
    sqlpool *pool = *(sqlpool **)user;
    if (progress->next_row >= 100) (void)sqlpool_cancel(pool, &token);
    return 0;
}
static void slow_function(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    sleep_ms(2);
    sqlite3_result_value(context, values[0]);
}
static int add_slow(void *user, const sqlpool_conn *conn) {
    (void)user;
    return add_function(conn, "slow", 1, slow_function);
}
TEST(a_token_ends_the_load) {
    sqlpool_config config = plain_config();
    const source s = plain_source(3, 400);
    sqlpool_bulk_config load = plain_load();
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    sqlpool *pool;
    loader l;
    config.events.connect_fn = add_slow;
    pool = open_pool(next_file(), &config, ABC);
    CHECK(pool != NULL);
    load.token = &token;
    load.name = "cancelled";
    load.user = &pool;
    token.fired = 0;
    CHECK_INT(sqlpool_cancel(pool, &token), SQLPOOL_OK); /* before */
    CHECK_RC(sqlpool_bulk_begin(pool, &load, &bulk, &err), SQLPOOL_CANCELLED, &err);
    CHECK(bulk == NULL);
    token.fired = 0; /* between batches */
    load.progress_fn = fire_at_100;
    CHECK_RC(run_load(pool, &load, &s, &progress, &err), SQLPOOL_CANCELLED, &err);
    CHECK(progress.next_row >= 100 && progress.next_row < 200);
    PART(check_full(pool, progress.next_row));
    token.fired = 0; /* within a statement */
    load.progress_fn = NULL;
    CHECK_OK(sqlpool_script(pool, "CREATE TRIGGER i AFTER INSERT ON t BEGIN SELECT slow(1); END",
                            -1, &err),
             &err);
    memset(&l, 0, sizeof l);
    l.pool = pool;
    l.load = load;
    l.load.batch_bytes = 20000;
    l.source = s;
    CHECK(start_thread(&l.thread, run_loader, &l));
    sleep_ms(150);
    CHECK_INT(sqlpool_cancel(pool, &token), SQLPOOL_OK);
    (void)pthread_join(l.thread, NULL);
    CHECK_INT(l.rc, SQLPOOL_CANCELLED);
    CHECK_INT(l.error.result, SQLPOOL_CANCELLED);
    PART(check_full(pool, l.progress.next_row));
    CHECK_OK(sqlpool_script(pool, "DROP TRIGGER i", -1, &err), &err);
    token.fired = 0;
    go_on(pool, &load, &s, l.progress.next_row);
    close_clean(pool);
}

TEST(a_pool_is_not_closed_under_a_load) {
    sqlpool_config config = plain_config();
    const source s = plain_source(3, 100);
    sqlpool_bulk_config load = plain_load();
    int has_rows;
    config.close_timeout_ms = 50;
    for (has_rows = 0; has_rows <= 1; has_rows++) {
        const char *const path = next_file();
        sqlpool *pool = open_pool(path, &config, ABC);
        sqlpool_bulk_progress progress;
        sqlpool_bulk *bulk = NULL;
        sqlite3 *db;
        CHECK(pool != NULL);
        CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
        if (has_rows) CHECK_OK(feed(bulk, &s, 0, 70, &err), &err);
        CHECK_RC(sqlpool_close(pool, &err), SQLPOOL_TIMEOUT, &err);
        CHECK_HAS(err.message, "bulk");
        if (has_rows) CHECK_RC(feed(bulk, &s, 70, 200, &err), SQLPOOL_CLOSED, &err);
        CHECK_RC(sqlpool_bulk_end(bulk, &progress, &err), has_rows ? SQLPOOL_CLOSED : SQLPOOL_OK,
                 &err);
        CHECK_OK(sqlpool_close(pool, &err), &err);
        CHECK_RC(sqlpool_bulk_begin(pool, &load, &bulk, &err), SQLPOOL_CLOSED, &err);
        db = raw_open(path);
        CHECK(db != NULL);
        CHECK_INT(raw_ask(db, "SELECT count(*) FROM t"), progress.next_row);
        CHECK((progress.next_row > 0) == (has_rows != 0));
        (void)sqlite3_close(db);
        check_memory();
    }
}

/*  Memory that is freed keeps its content until the end. */
typedef struct kept {
    struct kept *next;
    size_t bytes;
} kept;
static kept *kept_blocks;
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static void *keep_alloc(void *user, size_t bytes) {
    kept *block = (kept *)malloc(sizeof *block + bytes);
    (void)user;
    if (block == NULL) return NULL;
    block->bytes = bytes;
    (void)pthread_mutex_lock(&kept_lock);
    block->next = kept_blocks;
    kept_blocks = block;
    (void)pthread_mutex_unlock(&kept_lock);
    return block + 1;
}
static void *keep_resize(void *user, void *memory, size_t old_bytes, size_t new_bytes) {
    void *moved = keep_alloc(user, new_bytes);
    if (moved != NULL && memory != NULL)
        memcpy(moved, memory, old_bytes < new_bytes ? old_bytes : new_bytes);
    return moved;
}
static void keep_free(void *user, void *memory, size_t bytes) {
    (void)user;
    (void)memory;
    (void)bytes;
}
TEST(what_is_no_load) {
    sqlpool_config config = config_of(1);
    const source s = plain_source(3, 10);
    const sqlpool_bulk_config load = plain_load();
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    sqlpool *pool;
    room *r = new_room();
    int round;
    config.allocator.alloc_fn = keep_alloc;
    config.allocator.resize_fn = keep_resize;
    config.allocator.free_fn = keep_free;
    pool = open_pool(next_file(), &config, ABC);
    CHECK(pool != NULL);
    make_row(&s, 0, r);
    for (round = 0; round < 3; round++) { /* NULL, ended, abandoned */
        memset(&progress, 0x5a, sizeof progress);
        CHECK_RC(sqlpool_bulk_row(bulk, r->values, 3, &err), SQLPOOL_MISUSE, &err);
        CHECK_INT(sqlpool_bulk_row(bulk, r->values, 3, NULL), SQLPOOL_MISUSE);
        CHECK_INT(sqlpool_bulk_next_row(bulk), SQLPOOL_MISUSE);
        CHECK_INT(sqlpool_bulk_abandon(bulk, &progress), SQLPOOL_MISUSE);
        CHECK(progress.rows == 0 && progress.next_row == 0 && progress.refused == 0 && progress.changes == 0);
        memset(&progress, 0x5a, sizeof progress);
        CHECK_RC(sqlpool_bulk_end(bulk, &progress, &err), SQLPOOL_MISUSE, &err);
        CHECK_INT(progress.rows, 0);
        CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
        CHECK_OK(sqlpool_bulk_row(bulk, r->values, 3, &err), &err);
        if (round == 0) CHECK_OK(sqlpool_bulk_end(bulk, &progress, &err), &err);
        if (round == 1) CHECK_INT(sqlpool_bulk_abandon(bulk, NULL), SQLPOOL_OK);
        if (round == 2) CHECK_INT(sqlpool_bulk_end(bulk, NULL, NULL), SQLPOOL_OK);
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
    free(r);
    while (kept_blocks != NULL) {
        kept *block = kept_blocks;
        kept_blocks = block->next;
        free(block);
    }
}

TEST(on_a_thread_that_holds_the_writer) {
    sqlpool_config config = plain_config();
    const source s = plain_source(3, 100);
    const sqlpool_bulk_config load = plain_load();
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    sqlpool *pool;
    sqlpool_conn conn;
    config.max_connections = 3;
    pool = open_pool(next_file(), &config, ABC);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_RC(sqlpool_bulk_begin(pool, &load, &bulk, &err), SQLPOOL_MISUSE, &err);
    CHECK(bulk == NULL);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
    CHECK_OK(feed(bulk, &s, 0, 50, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_RC(feed(bulk, &s, 50, 100, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_bulk_end(bulk, &progress, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK(progress.next_row > 0 && progress.next_row < 50);
    PART(check_full(pool, progress.next_row));
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err),
             &err); /* a reader does not matter */
    go_on(pool, &load, &s, progress.next_row);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_clean(pool);
}

/*  In the functions of a load itself the writer is free: they may write. */
static int write_inside(void *user, int64_t row, const sqlpool_value *values,
                        const sqlpool_error *error) {
    sqlpool *pool = *(sqlpool **)user;
    (void)values;
    (void)error;
    return sqlpool_exec(pool, "INSERT INTO log VALUES(?)", SQLPOOL_ARGS(row), &err);
}
static int write_report(void *user, const sqlpool_bulk_progress *progress) {
    sqlpool *pool = *(sqlpool **)user;
    return sqlpool_exec(pool, "UPDATE log SET v = max(v, ?)", SQLPOOL_ARGS(progress->next_row),
                        &err);
}
TEST(its_functions_may_write) {
    const sqlpool_config config = plain_config();
    const source s = plain_source(3, 100);
    sqlpool_bulk_config load = plain_load();
    sqlpool *pool = open_pool(next_file(), &config, LIKES_NO_77 "; CREATE TABLE log(v)");
    sqlpool_bulk_progress progress;
    CHECK(pool != NULL);
    load.user = &pool;
    load.refused_fn = write_inside;
    load.progress_fn = write_report;
    CHECK_OK(run_load(pool, &load, &s, &progress, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) * 1000 + max(v) FROM log"), 1100);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 99);
    close_clean(pool);
}

static int done_rc = -1000;
static void load_when_done(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    const source s = plain_source(3, 100);
    sqlpool_bulk_config load = plain_load();
    sqlpool_bulk_progress progress;
    sqlpool_error inner;
    int rc;
    (void)result;
    load.relaxed = true;
    load.name = "done";
    rc = error->result != SQLPOOL_OK ? error->result
                                     : run_load((sqlpool *)user, &load, &s, &progress, &inner);
    if (rc != SQLPOOL_OK) printf("# %s\n", inner.message);
    __atomic_store_n(&done_rc, rc, __ATOMIC_SEQ_CST);
}
TEST(a_load_in_done_fn) {
    const sqlpool_config config = on_sim_disk();
    sqlpool *pool = open_pool(next_file(), &config, ABC);
    sqlpool_submission submission;
    int i;
    CHECK(pool != NULL);
    memset(&submission, 0, sizeof submission);
    submission.done_fn = load_when_done;
    submission.user = pool;
    CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, "DELETE FROM t", SQLPOOL_NO_ARGS, &err),
             &err);
    for (i = 0; i < 20000 && __atomic_load_n(&done_rc, __ATOMIC_SEQ_CST) == -1000; i++) sleep_ms(1);
    CHECK_INT(__atomic_load_n(&done_rc, __ATOMIC_SEQ_CST), SQLPOOL_OK);
    check_full(pool, 100);
    close_clean(pool);
}

/*---- what else may change ----*/

/*  No row is to blame when the table goes: nobody hears of refused rows. */
TEST(a_table_that_goes_away) {
    static const char *const changes[] = {"DROP TABLE t", "ALTER TABLE t RENAME TO u",
                                          "ALTER TABLE t RENAME COLUMN b TO bb"};
    const sqlpool_config config = plain_config();
    const source s = plain_source(3, 200);
    int i;
    for (i = 0; i < LENGTH(changes); i++) {
        sqlpool_bulk_config load = plain_load();
        hearing *h = new_hearing(&s);
        sqlpool *pool = open_pool(next_file(), &config, ABC);
        sqlpool_bulk_progress progress;
        sqlpool_bulk *bulk = NULL;
        CHECK(pool != NULL);
        load.user = h;
        load.refused_fn = on_refused;
        CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
        CHECK_OK(feed(bulk, &s, 0, 100, &err), &err);
        CHECK_OK(sqlpool_script(pool, changes[i], -1, &err), &err);
        CHECK_RC(feed(bulk, &s, 100, 200, &err), SQLITE_ERROR, &err);
        CHECK_RC(sqlpool_bulk_end(bulk, &progress, &err), SQLITE_ERROR, &err);
        CHECK_INT(h->count, 0);
        CHECK(progress.next_row > 0 && progress.next_row < 100);
        if (i > 0) {
            CHECK_INT(ask(pool, i == 1 ? "SELECT count(*) FROM u" : "SELECT count(*) FROM t"),
                      progress.next_row);
        }
        free(h);
        close_clean(pool);
    }
}
TEST(a_table_that_grows_a_column) {
    const sqlpool_config config = plain_config();
    const source s = plain_source(3, 200);
    const sqlpool_bulk_config load = plain_load();
    sqlpool *pool = open_pool(next_file(), &config, ABC);
    sqlpool_bulk *bulk = NULL;
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
    CHECK_OK(feed(bulk, &s, 0, 100, &err), &err);
    CHECK_OK(sqlpool_script(pool, "ALTER TABLE t ADD COLUMN d DEFAULT 5; CREATE INDEX t_b ON t(b)",
                            -1, &err),
             &err);
    CHECK_OK(feed(bulk, &s, 100, 200, &err), &err);
    CHECK_OK(sqlpool_bulk_end(bulk, NULL, &err), &err);
    check_full(pool, 200);
    CHECK_INT(ask(pool, "SELECT sum(d) FROM t"), 1000);
    close_clean(pool);
}

/*  A program's own limits may be below what statements of many rows want: then they are not used. */
static int own_limit;
static int set_own_limit(void *user, const sqlpool_conn *conn) {
    sqlpool_conn own = *conn;
    (void)user;
    (void)sqlite3_limit(sqlpool_conn_db(&own), own_limit,
                        own_limit == SQLITE_LIMIT_SQL_LENGTH ? 200 : 30);
    return 0;
}
TEST(limits_of_the_program) {
    static const int limits[] = {SQLITE_LIMIT_VARIABLE_NUMBER, SQLITE_LIMIT_SQL_LENGTH,
                                 SQLITE_LIMIT_COMPOUND_SELECT};
    sqlpool_config config = plain_config();
    const source s = plain_source(3, 300);
    int i;
    config.events.connect_fn = set_own_limit;
    for (i = 0; i < LENGTH(limits); i++) {
        sqlpool_bulk_config load = plain_load();
        hearing *h = new_hearing(&s);
        sqlpool_bulk_progress progress;
        sqlpool *pool;
        own_limit = limits[i];
        pool = open_pool(next_file(), &config, LIKES_NO_77);
        CHECK(pool != NULL);
        load.batch_bytes = 0;
        load.user = h;
        load.refused_fn = on_refused;
        CHECK_OK(run_load(pool, &load, &s, &progress, &err), &err);
        CHECK_INT(h->count, 1);
        CHECK_INT(h->list[0].row, 77);
        CHECK_INT(ask(pool, "SELECT count(*) = 299 AND count(DISTINCT a) = 299 FROM t"), 1);
        free(h);
        close_clean(pool);
    }
}

/*  events.error_fn hears of every call that fails, before it does. */
static int errors_told, last_told;
static void count_errors(void *user, const sqlpool_error *error) {
    (void)user;
    errors_told++;
    last_told = error->result;
}
static int refuse_with_5000(void *user, int64_t row, const sqlpool_value *values,
                            const sqlpool_error *error) {
    (void)user;
    (void)row;
    (void)values;
    (void)error;
    return 5000;
}
static int report_with_6000(void *user, const sqlpool_bulk_progress *progress) {
    (void)user;
    (void)progress;
    return 6000;
}
TEST(errors_reach_the_hook) {
    sqlpool_config config = plain_config();
    const source s = plain_source(3, 200);
    int i;
    config.events.error_fn = count_errors;
    for (i = 0; i < 4; i++) {
        static const int expected[] = {SQLITE_CONSTRAINT_CHECK, SQLPOOL_ARGUMENTS, 5000, 6000};
        sqlpool_bulk_config load = plain_load();
        sqlpool *pool = open_pool(next_file(), &config, LIKES_NO_77);
        sqlpool_bulk *bulk = NULL;
        int rc;
        CHECK(pool != NULL);
        errors_told = last_told = 0;
        if (i == 2) load.refused_fn = refuse_with_5000;
        if (i == 3) load.progress_fn = report_with_6000;
        CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
        CHECK_INT(errors_told, 0);
        rc = i == 1 ? sqlpool_bulk_row(bulk, SQLPOOL_NO_ARGS, &err) : feed(bulk, &s, 0, 200, &err);
        CHECK_INT(sqlpool_bulk_abandon(bulk, NULL), SQLPOOL_OK);
        close_clean(pool);
        CHECK_INT(rc, expected[i]);
        if (i == 2) CHECK(err.sqlite_code == 5000 && err.os_code == 0 && err.waited_us == 0);
        CHECK_INT(errors_told, 1);
        CHECK_INT(last_told, expected[i]);
    }
}

/*---- other pools ----*/

static void load_in(const char *path, const sqlpool_config *config) {
    source s = plain_source(3, 500);
    hearing *h = new_hearing(&s);
    sqlpool *pool = open_pool(path, config, LIKES_NO_77);
    sqlpool_bulk_config load = plain_load();
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    int64_t next;
    CHECK(pool != NULL);
    load.name = "elsewhere";
    load.relaxed = true;
    load.user = h;
    load.refused_fn = on_refused;
    load.progress_fn = on_progress;
    CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
    CHECK_OK(feed(bulk, &s, 0, 300, &err), &err);
    CHECK_INT(sqlpool_bulk_abandon(bulk, &progress), SQLPOOL_OK);
    next = progress.next_row;
    CHECK(next > 200);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), next - 1);
    memset(&h->last, 0, sizeof h->last);
    h->count = 0;
    CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
    CHECK_INT(sqlpool_bulk_next_row(bulk), next);
    CHECK_OK(feed(bulk, &s, next, 500, &err), &err);
    CHECK_OK(sqlpool_bulk_end(bulk, &progress, &err), &err);
    CHECK_INT(progress.rows, 500 - next);
    CHECK_INT(ask(pool, "SELECT count(*) = 499 AND count(DISTINCT a) = 499 FROM t"), 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlpool_bulk"), 0);
    free(h);
    close_clean(pool);
}
TEST(in_other_journals_and_topologies) {
    sqlpool_config config = plain_config();
    PART(load_in(":memory:", &config));
    config.journal = SQLPOOL_JOURNAL_DELETE;
    PART(load_in(next_file(), &config));
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    PART(load_in(next_file(), &config));
    config = plain_config();
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    config.max_connections = 3;
    PART(load_in(next_file(), &config));
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    PART(load_in(next_file(), &config));
    config = plain_config();
    config.max_connections = 1;
    PART(load_in(next_file(), &config));
    config.disable_upkeep_thread = true;
    PART(load_in(next_file(), &config));
    config.untrusted = true;
    PART(load_in(next_file(), &config));
}

TEST(a_pool_that_only_reads) {
    sqlpool_config config = plain_config();
    const char *const path = next_file();
    const sqlpool_bulk_config load = plain_load();
    sqlpool_bulk *bulk = NULL;
    sqlpool *pool = open_pool(path, &config, ABC);
    CHECK(pool != NULL);
    close_pool(pool);
    config.read_only = true;
    pool = open_pool(path, &config, NULL);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_bulk_begin(pool, &load, &bulk, &err), SQLITE_READONLY, &err);
    CHECK(bulk == NULL);
    close_clean(pool);
}

TEST(a_file_that_is_moved_away) {
    sqlpool_config config = plain_config();
    const source s = plain_source(3, 300);
    sqlpool_bulk_config load = plain_load();
    const char *const path = next_file();
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    sqlpool *pool;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    config.validate_after_ms = 1;
    config.upkeep_interval_ms = 5;
    pool = open_pool(path, &config, ABC);
    CHECK(pool != NULL);
    load.name = "moved";
    CHECK_OK(sqlpool_bulk_begin(pool, &load, &bulk, &err), &err);
    CHECK_OK(feed(bulk, &s, 0, 100, &err), &err);
    CHECK(rename(path, "away.db") == 0);
    sleep_ms(60);
    CHECK_RC(feed(bulk, &s, 100, 300, &err), SQLPOOL_MOVED, &err);
    CHECK_RC(sqlpool_bulk_end(bulk, &progress, &err), SQLPOOL_MOVED, &err);
    CHECK(progress.next_row > 0 && progress.next_row <= 100);
    CHECK_RC(sqlpool_bulk_begin(pool, &load, &bulk, &err), SQLPOOL_MOVED, &err);
    CHECK(rename("away.db", path) == 0);
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    PART(check_full(pool, progress.next_row));
    go_on(pool, &load, &s, progress.next_row);
    close_clean(pool);
}

int main(int argc, char **argv) {
    if (sim_alloc_install() != SQLITE_OK || sim_vfs_install() != SQLITE_OK) {
        printf("# the simulator cannot be installed\n");
        return 1;
    }
    sim_vfs.skip_sync = 1;
    if (argc == 4 && strcmp(argv[1], "kill") == 0)
        return be_killed(argv[2], strcmp(argv[3], "relaxed") == 0);
    RUN_CLEAN(an_abandoned_load_goes_on);
    RUN_CLEAN(a_load_goes_on_at_the_row_that_ended_it);
    RUN_CLEAN(a_lock_behind_half_a_batch);
    RUN_CLEAN(a_name_remembers_refused_rows);
    RUN_CLEAN(a_killed_load_goes_on);
    RUN_CLEAN(two_loads_take_turns);
    RUN_CLEAN(loads_of_several_threads);
    RUN_CLEAN(relaxed_syncs_once_at_the_end);
    RUN_CLEAN(a_sync_that_fails_at_the_end);
    RUN_CLEAN(others_write_during_a_long_load);
    RUN_CLEAN(a_lock_that_another_process_holds);
    RUN_CLEAN(a_begin_that_fails_is_tried_again);
    RUN_CLEAN(a_disk_that_fails_in_the_middle);
    RUN_CLEAN(a_file_that_may_not_grow);
    RUN_CLEAN(memory_that_fails_in_a_load);
    RUN_CLEAN(a_token_ends_the_load);
    RUN_CLEAN(a_pool_is_not_closed_under_a_load);
    RUN_CLEAN(what_is_no_load);
    RUN_CLEAN(on_a_thread_that_holds_the_writer);
    RUN_CLEAN(its_functions_may_write);
    RUN_CLEAN(a_load_in_done_fn);
    RUN_CLEAN(a_table_that_goes_away);
    RUN_CLEAN(a_table_that_grows_a_column);
    RUN_CLEAN(limits_of_the_program);
    RUN_CLEAN(errors_reach_the_hook);
    RUN_CLEAN(in_other_journals_and_topologies);
    RUN_CLEAN(a_pool_that_only_reads);
    RUN_CLEAN(a_file_that_is_moved_away);
    return test_end();
}
