/*  schedule.c - tasks that are due: by sqlpool_tick() on a clock of the test's own, and on a thread.
    SPDX-License-Identifier: MIT OR Unlicense */
#include "api.h"

/*  The pool's clock stands still but for sleeps; the clock of the day is a VFS over the default one. */
static int64_t clock_ns = 1, day_ms;
static int64_t clock_now(void *user) {
    (void)user;
    return __atomic_add_fetch(&clock_ns, 1000, __ATOMIC_RELAXED);
}
static void clock_sleep(void *user, int64_t duration) {
    (void)user;
    (void)__atomic_add_fetch(&clock_ns, duration, __ATOMIC_RELAXED);
}
static int day_now(sqlite3_vfs *vfs, sqlite3_int64 *ms) {
    (void)vfs;
    *ms = INT64_C(210866760000000) + __atomic_load_n(&day_ms, __ATOMIC_RELAXED);
    return SQLITE_OK;
}
static void pass(int64_t ms) {
    (void)__atomic_add_fetch(&clock_ns, ms * 1000000, __ATOMIC_RELAXED);
    (void)__atomic_add_fetch(&day_ms, ms, __ATOMIC_RELAXED);
}
#define MINUTE INT64_C(60000)
#define MIDNIGHT (INT64_C(20000) * 1440 * MINUTE) /* of some day of 2024 */

static void twice(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    sqlite3_result_int64(context, 2 * sqlite3_value_int64(values[0]));
}
static int add_function(void *user, const sqlpool_conn *conn) {
    sqlpool_conn own = *conn;
    (void)user;
    return sqlite3_create_function(sqlpool_conn_db(&own), "twice", 1, SQLITE_UTF8, NULL, twice,
                                   NULL, NULL);
}

static sqlpool *open_ticking(const char *path, const char *script) {
    static sqlite3_vfs vfs;
    sqlpool_config config = config_of(1);
    if (vfs.zName == NULL) {
        vfs = *sqlite3_vfs_find(NULL);
        vfs.zName = "day";
        vfs.xCurrentTimeInt64 = day_now;
        (void)sqlite3_vfs_register(&vfs, 0);
    }
    day_ms = MIDNIGHT;
    config.vfs_name = "day";
    config.clock.now_ns_fn = clock_now;
    config.clock.sleep_ns_fn = clock_sleep;
    config.disable_upkeep_thread = true;
    config.events.connect_fn = add_function;
    return open_pool(path, &config, script);
}

/*  A task of the program, and what became of it. */
typedef struct work {
    int calls, result;
    int64_t takes_ms; /* by the clock */
    bool waits;       /* until it is cancelled */
    int done, done_result;
    sqlpool_task_state last;
    char order[32];
} work;

static int run_work(sqlpool *pool, const sqlpool_maintenance *options, void *user,
                    sqlpool_error *error) {
    work *w = (work *)user;
    (void)__atomic_add_fetch(&w->calls, 1, __ATOMIC_SEQ_CST);
    pass(w->takes_ms);
    if (w->waits) {
        sqlpool_call call;
        int64_t value;
        memset(&call, 0, sizeof call);
        call.token = options->token;
        while (__atomic_load_n(&options->token->fired, __ATOMIC_ACQUIRE) == 0) sleep_ms(1);
        return sqlpool_exec_with(pool, &call, NULL, ENDLESS, SQLPOOL_NO_ARGS, error) ==
                           SQLPOOL_CANCELLED &&
                       sqlpool_query_int64(pool, &value, "SELECT 1", SQLPOOL_NO_ARGS, NULL) ==
                           SQLPOOL_OK
                   ? SQLPOOL_CANCELLED
                   : 70001;
    }
    return w->result;
}
static void on_done(void *user, const sqlpool_task_state *state) {
    work *w = (work *)user;
    w->done_result = state->result;
    w->last = *state;
    (void)snprintf(w->order + strlen(w->order), sizeof w->order - strlen(w->order), "%.4s ",
                   state->name);
    (void)__atomic_add_fetch(&w->done, 1, __ATOMIC_SEQ_CST);
}

static sqlpool_task task_of(const char *name, int kind, int64_t interval_s, work *w) {
    sqlpool_task task;
    memset(&task, 0, sizeof task);
    task.name = name;
    task.kind = kind;
    task.interval_s = interval_s;
    if (kind == SQLPOOL_TASK_CALL) {
        task.fn = run_work;
        task.user = w;
    }
    return task;
}
static int set_schedule(sqlpool *pool, const sqlpool_task *tasks, int count, bool keep_state,
                        work *w, sqlpool_error *error) {
    sqlpool_schedule_config config;
    memset(&config, 0, sizeof config);
    config.tasks = tasks;
    config.count = count;
    config.keep_state = keep_state;
    config.done_fn = on_done;
    config.user = w;
    return sqlpool_schedule(pool, &config, error);
}
static void tick(sqlpool *pool, int times) {
    while (times-- > 0) CHECK_INT(sqlpool_tick(pool, 100000), SQLPOOL_OK);
}

TEST(a_task_runs_when_its_interval_has_passed) {
    sqlpool *pool = open_ticking("interval.db", NULL);
    sqlpool_task tasks[2];
    sqlpool_task_state state[3];
    sqlpool_error error;
    work w;
    if (pool == NULL) return;
    memset(&w, 0, sizeof w);
    tasks[0] = task_of("long", SQLPOOL_TASK_CALL, 100, &w);
    tasks[1] = task_of("shrt", SQLPOOL_TASK_CALL, 10, &w);
    CHECK_OK(set_schedule(pool, tasks, 2, false, &w, &error), &error);
    PART(tick(pool, 4));
    CHECK_STR(w.order, "long shrt ");
    pass(9000);
    PART(tick(pool, 4));
    CHECK_INT(w.calls, 2);
    pass(1000);
    PART(tick(pool, 4));
    CHECK_STR(w.order, "long shrt shrt ");
    CHECK_INT(sqlpool_schedule_state(pool, state, 3), 2);
    CHECK_STR(state[1].name, "shrt");
    CHECK_INT(state[1].runs, 2);
    CHECK_INT(state[1].begun_ms, MIDNIGHT + 10000);
    CHECK_INT(state[1].due_ms, MIDNIGHT + 20000);
    CHECK_INT(state[0].due_ms, MIDNIGHT + 100000);
    day_ms -= 3600000; /* a clock that is set back puts nothing off for longer than its interval */
    pass(10000);
    PART(tick(pool, 2));
    CHECK_INT(sqlpool_schedule_state(pool, state, 3), 2);
    CHECK(state[0].due_ms <= day_ms + 100000);
    CHECK_OK(sqlpool_schedule(pool, NULL, &error), &error);
    pass(1000000);
    w.calls = 0;
    PART(tick(pool, 2));
    CHECK_INT(w.calls, 0);
    CHECK_INT(sqlpool_schedule_state(pool, NULL, 0), 0);
    PART(close_pool(pool));
}

/*  The default schedule has an incremental vacuum for files that want one. */
TEST(an_incremental_vacuum_has_nothing_to_do_in_other_files) {
    static const char *const modes[] = {"PRAGMA auto_vacuum=0;", "PRAGMA auto_vacuum=1;"};
    sqlpool_task task = task_of("vacuum", SQLPOOL_TASK_INCREMENTAL_VACUUM, 10, NULL);
    int i;
    for (i = 0; i < 2; i++) {
        char name[20], script[300];
        sqlpool *pool;
        sqlpool_sizes before, after;
        sqlpool_error error;
        sqlite3 *db = NULL;
        work w;
        memset(&w, 0, sizeof w);
        (void)snprintf(name, sizeof name, "other%d.db", i);
        (void)snprintf(
            script, sizeof script,
            "%sPRAGMA journal_mode=WAL;CREATE TABLE t(x);INSERT INTO t VALUES(zeroblob(99999));"
            "DELETE FROM t",
            modes[i]);
        CHECK_INT(sqlite3_open(name, &db), SQLITE_OK);
        CHECK_INT(sqlite3_exec(db, script, NULL, NULL, NULL), SQLITE_OK);
        CHECK_INT(sqlite3_close(db), SQLITE_OK);
        pool = open_ticking(name, NULL);
        if (pool == NULL) return;
        CHECK_OK(sqlpool_get_sizes(pool, &before, &error), &error);
        CHECK_INT(before.free_pages > 0, i == 0);
        CHECK_OK(set_schedule(pool, &task, 1, false, &w, &error), &error);
        PART(tick(pool, 2));
        CHECK_INT(w.done, 1);
        CHECK_INT(w.done_result, SQLPOOL_OK);
        CHECK_OK(sqlpool_get_sizes(pool, &after, &error), &error);
        CHECK_INT(after.pages, before.pages);
        CHECK_OK(sqlpool_close(pool, &error), &error);
    }
}

TEST(a_task_waits_for_its_window_and_for_an_idle_moment) {
    sqlpool *pool = open_ticking("window.db", NULL);
    sqlpool_task task;
    sqlpool_error error;
    work w;
    int i;
    if (pool == NULL) return;
    memset(&w, 0, sizeof w);
    task = task_of("night", SQLPOOL_TASK_CALL, 3600, &w);
    task.window_from_minute = 23 * 60;
    task.window_to_minute = 2 * 60;
    day_ms = MIDNIGHT + 600 * MINUTE;
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &error), &error);
    PART(tick(pool, 2));
    CHECK_INT(w.calls, 0);
    pass(13 * 60 * MINUTE - 1000);
    PART(tick(pool, 2));
    CHECK_INT(w.calls, 0);
    pass(1000); /* 23:00 */
    PART(tick(pool, 2));
    CHECK_INT(w.calls, 1);
    pass(2 * 60 * MINUTE); /* 1:00, and due again */
    PART(tick(pool, 2));
    CHECK_INT(w.calls, 2);
    pass(60 * MINUTE); /* 2:00 */
    PART(tick(pool, 2));
    CHECK_INT(w.calls, 2);

    task = task_of("idle", SQLPOOL_TASK_CALL, 3600, &w);
    task.idle_ms = 500;
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &error), &error);
    for (i = 0; i < 5; i++) { /* somebody works all the time */
        PART((void)ask(pool, "SELECT 1"));
        pass(400);
        PART(tick(pool, 1));
    }
    CHECK_INT(w.calls, 2);
    pass(600);
    PART(tick(pool, 1));
    CHECK_INT(w.calls, 3);
    PART(close_pool(pool));
}

TEST(failures_and_overruns_are_told) {
    sqlpool *pool = open_ticking("failure.db", NULL);
    sqlpool_task task;
    sqlpool_task_state state;
    sqlpool_error error;
    work w;
    if (pool == NULL) return;
    memset(&w, 0, sizeof w);
    w.result = 70007;
    w.takes_ms = 50;
    task = task_of("bad", SQLPOOL_TASK_CALL, 10, &w);
    task.limit_ms = 40;
    CHECK_OK(set_schedule(pool, &task, 1, true, &w, &error), &error);
    PART(tick(pool, 1));
    CHECK_INT(w.done_result, 70007);
    CHECK_INT(w.last.failures, 1);
    CHECK_INT(w.last.overruns, 1);
    CHECK_HAS(w.last.message, "70007");
    w.result = 0;
    w.takes_ms = 0;
    CHECK_OK(sqlpool_schedule_run(pool, "bad", &error), &error);
    CHECK_INT(sqlpool_schedule_state(pool, &state, 1), 1);
    CHECK_INT(state.runs, 2);
    CHECK_INT(state.failures, 1);
    CHECK_INT(state.result, 0);
    CHECK_RC(sqlpool_schedule_run(pool, "other", &error), SQLPOOL_NOT_FOUND, &error);
    CHECK_RC(sqlpool_schedule_run(pool, NULL, &error), SQLPOOL_NOT_FOUND, &error);
    w.result = 70008;
    CHECK_RC(sqlpool_schedule_run(pool, "bad", &error), 70008, &error);
    CHECK_INT(
        ask(pool,
            "SELECT runs * 100 + failures * 10 + overruns FROM sqlpool_task WHERE name = 'bad'"),
        321);
    PART(close_pool(pool));
}

TEST(what_was_done_is_known_to_the_next_program_and_to_others) {
    sqlpool *pool = open_ticking("state.db", NULL), *other;
    sqlpool_task task;
    sqlpool_task_state known;
    sqlpool_error error;
    work w, v;
    if (pool == NULL) return;
    memset(&w, 0, sizeof w);
    memset(&v, 0, sizeof v);
    task = task_of("do'ily", SQLPOOL_TASK_CALL, 86400, &w);
    CHECK_OK(set_schedule(pool, &task, 1, true, &w, &error), &error);
    PART(tick(pool, 2));
    CHECK_INT(w.calls, 1);
    other = open_ticking("state.db", NULL); /* as another process would */
    if (other == NULL) return;
    task.user = &v;
    CHECK_OK(set_schedule(other, &task, 1, true, &v, &error), &error);
    CHECK_INT(sqlpool_schedule_state(other, &known, 1), 1); /* from the begin on */
    CHECK_INT(known.runs, 1);
    CHECK_INT(known.due_ms, MIDNIGHT + 86400000);
    PART(tick(other, 2));
    CHECK_INT(v.calls, 0);
    pass(86400000);
    PART(tick(other, 2));
    PART(tick(pool, 2));
    CHECK_INT(v.calls, 1);
    CHECK_INT(w.calls, 1);
    PART(close_pool(other));
    PART(close_pool(pool));
    pool = open_ticking("state.db", NULL); /* midnight again: the clock was set back */
    if (pool == NULL) return;
    task.user = &w;
    CHECK_OK(set_schedule(pool, &task, 1, true, &w, &error), &error);
    PART(tick(pool, 2));
    CHECK_INT(w.calls, 1);
    PART(close_pool(pool));
}

#define TABLES \
    "CREATE TABLE t(a UNIQUE, b);" \
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) " \
    "INSERT INTO t SELECT i, hex(zeroblob(100)) FROM n;"

TEST(the_default_tasks_do_their_work_in_ticks) {
    sqlpool *pool = open_ticking("default.db", TABLES);
    sqlpool_task_state states[8];
    sqlpool_error error;
    sqlpool_sizes before, after;
    int count = 0, i;
    const sqlpool_task *tasks = sqlpool_schedule_default(&count);
    work w;
    if (pool == NULL) return;
    memset(&w, 0, sizeof w);
    CHECK_OK(sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_INCREMENTAL, NULL, &error), &error);
    CHECK_OK(sqlpool_script(pool, "DELETE FROM t WHERE a > 100", -1, &error), &error);
    CHECK_OK(sqlpool_get_sizes(pool, &before, &error), &error);
    CHECK(before.free_pages > 50);
    CHECK_INT(count, 5);
    CHECK_OK(set_schedule(pool, tasks, count, true, &w, &error), &error);
    for (i = 0; i < 200 && w.done < count; i++) {
        pass(2000);
        CHECK_INT(sqlpool_tick(pool, 1), SQLPOOL_OK); /* the smallest pieces */
    }
    CHECK_INT(w.done, count);
    CHECK_INT(sqlpool_schedule_state(pool, states, 8), count);
    for (i = 0; i < count; i++) CHECK_INT(states[i].result, SQLPOOL_OK);
    CHECK_OK(sqlpool_get_sizes(pool, &after, &error), &error);
    CHECK(after.free_pages < 5);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 't'"), 1);
    PART(close_pool(pool));
}

TEST(a_tick_does_not_wait_for_the_writer) {
    sqlpool *pool = open_ticking("nowait.db", TABLES);
    sqlpool_task task;
    sqlpool_error error;
    sqlite3 *other;
    int64_t before;
    work w;
    if (pool == NULL) return;
    memset(&w, 0, sizeof w);
    task = task_of("optimize", SQLPOOL_TASK_OPTIMIZE, 10, &w);
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &error), &error);
    other = raw_open("nowait.db");
    if (other == NULL || !raw_exec(other, "BEGIN IMMEDIATE")) return;
    before = clock_ns;
    PART(tick(pool, 3));
    CHECK(clock_ns - before < INT64_C(1000000000)); /* the clock goes on in sleeps alone */
    CHECK_INT(w.done, 0);
    if (!raw_exec(other, "COMMIT")) return;
    pass(2000);
    PART(tick(pool, 2));
    CHECK_INT(w.done, 1);
    CHECK_INT(w.done_result, SQLPOOL_OK);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    PART(close_pool(pool));
}

TEST(a_thread_runs_them_and_is_stopped_in_the_middle) {
    sqlpool *pool = open_pool("thread.db", NULL, TABLES);
    sqlpool_task tasks[2];
    sqlpool_task_state states[2];
    sqlpool_error error;
    work w, never;
    int i;
    if (pool == NULL) return;
    memset(&w, 0, sizeof w);
    memset(&never, 0, sizeof never);
    never.waits = true;
    tasks[0] = task_of("check", SQLPOOL_TASK_QUICK_CHECK, 1000, &w);
    tasks[1] = task_of("waits", SQLPOOL_TASK_CALL, 1000, &never);
    CHECK_OK(set_schedule(pool, tasks, 2, true, &w, &error), &error);
    for (i = 0; i < 20000 && __atomic_load_n(&never.calls, __ATOMIC_SEQ_CST) == 0; i++) sleep_ms(1);
    CHECK_INT(w.done, 1);
    CHECK_INT(w.done_result, SQLPOOL_OK);
    CHECK_INT(sqlpool_schedule_state(pool, states, 2), 2);
    CHECK(states[1].is_running && !states[0].is_running);
    CHECK_RC(sqlpool_schedule_run(pool, "check", &error), SQLPOOL_WOULD_BLOCK, &error);
    CHECK_OK(sqlpool_schedule(pool, NULL, &error),
             &error);     /* waits for the task, which it cancels */
    CHECK_INT(w.done, 1); /* and which is as due as before */
    CHECK_INT(ask(pool, "SELECT begun_ms FROM sqlpool_task WHERE name = 'waits'"), 0);
    never.calls = 0;
    CHECK_OK(set_schedule(pool, &tasks[1], 1, false, &w, &error), &error);
    for (i = 0; i < 20000 && __atomic_load_n(&never.calls, __ATOMIC_SEQ_CST) == 0; i++) sleep_ms(1);
    CHECK_INT(never.calls, 1);
    PART(close_pool(pool)); /* does the same */
}

static int misuse(sqlpool *pool, const sqlpool_maintenance *options, void *user,
                  sqlpool_error *error) {
    (void)options, (void)error;
    ((int *)user)[0] = sqlpool_schedule(pool, NULL, NULL);
    ((int *)user)[1] = sqlpool_schedule_run(pool, "misuse", NULL);
    ((int *)user)[2] = sqlpool_close(pool, NULL);
    return 0;
}

TEST(tasks_that_make_no_sense_are_refused) {
    sqlpool *pool = open_ticking("refused.db", NULL);
    sqlpool_task good, bad;
    sqlpool_task two[2];
    sqlpool_error error;
    work w;
    int i, results[3] = {0, 0, 0};
    char longer[70];
    if (pool == NULL) return;
    memset(&w, 0, sizeof w);
    memset(longer, 'x', sizeof longer);
    longer[64] = '\0';
    good = task_of("good", SQLPOOL_TASK_CALL, 10, &w);
    for (i = 0; i < 16; i++) {
        bad = good;
        if (i == 0) bad.name = NULL;
        if (i == 1) bad.name = "";
        if (i == 2) bad.name = longer;
        if (i == 3) bad.kind = SQLPOOL_TASK_BACKUP + 1;
        if (i == 4) bad.fn = NULL;
        if (i == 5) bad.kind = SQLPOOL_TASK_OPTIMIZE;
        if (i == 6) bad.interval_s = 0;
        if (i == 7) bad.window_from_minute = 1440;
        if (i == 8) bad.window_to_minute = -1;
        if (i == 9) bad.idle_ms = -1;
        if (i == 10) bad.limit_ms = -1;
        if (i == 11) bad.free_percent = 101;
        if (i == 12) bad.io_bytes_per_s = -1;
        if (i >= 13) bad = task_of("backup", SQLPOOL_TASK_BACKUP, 10, &w);
        if (i == 14) bad.path = "";
        if (i == 15) bad.path = "here", bad.keep = -1;
        CHECK_RC(set_schedule(pool, &bad, 1, false, &w, &error), SQLPOOL_MISUSE, &error);
    }
    two[0] = two[1] = good;
    CHECK_RC(set_schedule(pool, two, 2, false, &w, &error), SQLPOOL_MISUSE, &error);
    CHECK_RC(set_schedule(pool, two, 101, false, &w, &error), SQLPOOL_MISUSE, &error);
    CHECK_RC(set_schedule(pool, NULL, 1, false, &w, &error), SQLPOOL_MISUSE, &error);
    CHECK_INT(sqlpool_schedule_state(pool, NULL, 1), SQLPOOL_MISUSE);
    good = task_of("misuse", SQLPOOL_TASK_CALL, 10, &w);
    good.fn = misuse;
    good.user = results;
    CHECK_OK(set_schedule(pool, &good, 1, false, &w, &error), &error);
    PART(tick(pool, 1));
    for (i = 0; i < 3; i++) CHECK_INT(results[i], SQLPOOL_MISUSE);
    PART(close_pool(pool));
}

TEST(backups_are_a_task) {
    sqlpool *pool = open_ticking("saved.db", TABLES);
    sqlpool_task task;
    sqlpool_error error;
    work w;
    int i;
    if (pool == NULL) return;
    memset(&w, 0, sizeof w);
    task = task_of("backup", SQLPOOL_TASK_BACKUP, 10, &w);
    task.path = "saved.bak";
    task.keep = 2;
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &error), &error);
    for (i = 0; i < 3; i++) {
        PART(tick(pool, 1));
        CHECK_INT(w.done, i + 1);
        CHECK_INT(w.done_result, SQLPOOL_OK);
        CHECK_OK(sqlpool_backup_verify(pool, "saved.bak", NULL, NULL, NULL, &error), &error);
        CHECK_INT(access("saved.bak.1", F_OK) == 0, i > 0);
        pass(10000);
    }
    CHECK(access("saved.bak.2", F_OK) != 0);
    CHECK(access("saved.bak-partial", F_OK) != 0);
    task.path = "nowhere/saved.bak";
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &error), &error);
    PART(tick(pool, 1));
    CHECK_INT(w.done_result, SQLPOOL_TARGET);
    CHECK_HAS(w.last.message, "nowhere");
    PART(close_pool(pool));
}

/*  The copy goes again, whatever was found; the damage is that of the copied file. */
TEST(a_copy_is_checked) {
    static const struct {
        const char *script;
        int result;
    } cases[] = {
        {"CREATE TABLE t(v, w); CREATE INDEX i ON t(v); INSERT INTO t VALUES(1, 2), (3, 4)",
         SQLPOOL_OK},
        {"CREATE TABLE t(v CHECK(twice(v) < 100)); INSERT INTO t VALUES(1)", SQLPOOL_OK},
        {"CREATE TABLE t(v, w); CREATE INDEX i ON t(v); INSERT INTO t VALUES(1, 2), (3, 4);"
         "PRAGMA writable_schema=1; UPDATE sqlite_master SET sql='CREATE INDEX i ON t(w)' WHERE "
         "name='i'; PRAGMA writable_schema=0",
         SQLITE_CORRUPT | (3 << 8)}};
    sqlpool_task task;
    sqlpool_error error;
    size_t i;
    work w;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[32];
        sqlpool *pool;
        sqlite3 *other;
        (void)snprintf(path, sizeof path, "checked%d.db", (int)i);
        other = raw_open(path);
        if (other == NULL) return;
        CHECK_INT(sqlite3_create_function(other, "twice", 1, SQLITE_UTF8, NULL, twice, NULL, NULL),
                  0);
        CHECK(raw_exec(other, cases[i].script));
        CHECK_INT(sqlite3_close(other), SQLITE_OK);
        pool = open_ticking(path, NULL);
        if (pool == NULL) return;
        memset(&w, 0, sizeof w);
        task = task_of("check", SQLPOOL_TASK_INTEGRITY_CHECK, 10, &w);
        task.path = "checked-copy";
        CHECK_OK(set_schedule(pool, &task, 1, false, &w, &error), &error);
        PART(tick(pool, 1));
        CHECK_INT(w.done, 1);
        CHECK_INT(w.done_result, cases[i].result);
        if (cases[i].result != SQLPOOL_OK) CHECK_HAS(w.last.message, "2 problems");
        CHECK(access("checked-copy-partial", F_OK) != 0);
        PART(close_pool(pool));
    }
}

TEST(a_clock_that_was_far_ahead_puts_nothing_off) {
    sqlpool *pool;
    sqlpool_task task;
    sqlpool_error error;
    work w;
    int keeps;
    for (keeps = 0; keeps < 2; keeps++) {
        pool = open_ticking(keeps ? "ahead_kept.db" : "ahead.db", NULL);
        if (pool == NULL) return;
        memset(&w, 0, sizeof w);
        task = task_of("dail", SQLPOOL_TASK_CALL, 86400, &w);
        CHECK_OK(set_schedule(pool, &task, 1, keeps, &w, &error), &error);
        day_ms = MIDNIGHT + 3650 * 1440 * MINUTE; /* ten years too far */
        PART(tick(pool, 2));
        CHECK_INT(w.calls, 1);
        day_ms = MIDNIGHT; /* and set right */
        PART(tick(pool, 2));
        pass(2 * 86400000);
        PART(tick(pool, 2));
        CHECK(w.calls >= 2);
        w.calls = 0;
        PART(tick(pool, 2));
        CHECK_INT(w.calls, 0);
        pass(86400000);
        PART(tick(pool, 2));
        CHECK_INT(w.calls, 1);
        PART(close_pool(pool));
    }
}

int main(void) {
    RUN(a_task_runs_when_its_interval_has_passed);
    RUN(an_incremental_vacuum_has_nothing_to_do_in_other_files);
    RUN(a_task_waits_for_its_window_and_for_an_idle_moment);
    RUN(failures_and_overruns_are_told);
    RUN(what_was_done_is_known_to_the_next_program_and_to_others);
    RUN(the_default_tasks_do_their_work_in_ticks);
    RUN(a_tick_does_not_wait_for_the_writer);
    RUN(a_thread_runs_them_and_is_stopped_in_the_middle);
    RUN(tasks_that_make_no_sense_are_refused);
    RUN(backups_are_a_task);
    RUN(a_copy_is_checked);
    RUN(a_clock_that_was_far_ahead_puts_nothing_off);
    return test_end();
}
