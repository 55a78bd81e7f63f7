/*  schedule.c - tasks that are due: by sqlpool_tick() on a clock of the test's own, and on a thread.
    SPDX-License-Identifier: MIT OR Unlicense */
#include "api.h"
#include "sim/clock.h"

static sqlpool_error err;

/*  The pool's clock stands still but for sleeps and what each look takes; the clock of the day is a VFS over the default one. */
static int64_t clock_ns = 1, day_ms, clock_step = 1000;
static int64_t clock_now(void *user) {
    (void)user;
    return __atomic_add_fetch(&clock_ns, clock_step, __ATOMIC_RELAXED);
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
static int add_functions(void *user, const sqlpool_conn *conn) {
    (void)user;
    return add_function(conn, "twice", 1, twice);
}

static sqlpool_log log_hook; /* of the pools that are opened from here on */
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
    config.events.connect_fn = add_functions;
    config.log = log_hook;
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

/*  A run for which each look at the clock takes five milliseconds. */
static int run_slowly(sqlpool *pool, const char *name, sqlpool_error *error) {
    int rc;
    clock_step = 5000000;
    rc = sqlpool_schedule_run(pool, name, error);
    clock_step = 1000;
    return rc;
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
    config.done_fn = w != NULL ? on_done : NULL;
    config.user = w;
    return sqlpool_schedule(pool, &config, error);
}
static void tick(sqlpool *pool, int times) {
    while (times-- > 0) CHECK_INT(sqlpool_tick(pool, 100000), SQLPOOL_OK);
}
/*  The number is so when as many ticks are over. */
#define AFTER_TICKS(pool, times, number, expected) \
    do { \
        PART(tick(pool, times)); \
        CHECK_INT(number, expected); \
    } while (0)
static bool came_to(const int *number, int value) { /* within twenty seconds */
    int i;
    for (i = 0; i < 20000 && __atomic_load_n(number, __ATOMIC_SEQ_CST) != value; i++) sleep_ms(1);
    return i < 20000;
}

TEST(a_task_runs_when_its_interval_has_passed) {
    sqlpool *pool = open_ticking("interval.db", NULL);
    sqlpool_task tasks[2];
    sqlpool_task_state state[3];
    work w = {0};
    if (pool == NULL) return;
    tasks[0] = task_of("long", SQLPOOL_TASK_CALL, 100, &w);
    tasks[1] = task_of("shrt", SQLPOOL_TASK_CALL, 10, &w);
    CHECK_OK(set_schedule(pool, tasks, 2, false, &w, &err), &err);
    PART(tick(pool, 4));
    CHECK_STR(w.order, "long shrt ");
    pass(9000);
    AFTER_TICKS(pool, 4, w.calls, 2);
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
    CHECK_OK(sqlpool_schedule(pool, NULL, &err), &err);
    pass(1000000);
    w.calls = 0;
    AFTER_TICKS(pool, 2, w.calls, 0);
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
        sqlite3 *db = NULL;
        work w = {0};
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
        CHECK_OK(sqlpool_get_sizes(pool, &before, &err), &err);
        CHECK_INT(before.free_pages > 0, i == 0);
        CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
        AFTER_TICKS(pool, 2, w.done, 1);
        CHECK_INT(w.done_result, SQLPOOL_OK);
        CHECK_OK(sqlpool_get_sizes(pool, &after, &err), &err);
        CHECK_INT(after.pages, before.pages);
        CHECK_OK(sqlpool_close(pool, &err), &err);
    }
}

TEST(a_task_waits_for_its_window_and_for_an_idle_moment) {
    sqlpool *pool = open_ticking("window.db", NULL);
    sqlpool_task task;
    work w = {0};
    int i;
    if (pool == NULL) return;
    task = task_of("night", SQLPOOL_TASK_CALL, 3600, &w);
    task.window_from_minute = 23 * 60;
    task.window_to_minute = 2 * 60;
    day_ms = MIDNIGHT + 600 * MINUTE;
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    AFTER_TICKS(pool, 2, w.calls, 0);
    pass(13 * 60 * MINUTE - 1000);
    AFTER_TICKS(pool, 2, w.calls, 0);
    pass(1000); /* 23:00 */
    AFTER_TICKS(pool, 2, w.calls, 1);
    pass(2 * 60 * MINUTE); /* 1:00, and due again */
    AFTER_TICKS(pool, 2, w.calls, 2);
    pass(60 * MINUTE); /* 2:00 */
    AFTER_TICKS(pool, 2, w.calls, 2);

    task = task_of("idle", SQLPOOL_TASK_CALL, 3600, &w);
    task.idle_ms = 500;
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    for (i = 0; i < 5; i++) { /* somebody works all the time */
        PART((void)ask(pool, "SELECT 1"));
        pass(400);
        PART(tick(pool, 1));
    }
    CHECK_INT(w.calls, 2);
    pass(600);
    AFTER_TICKS(pool, 1, w.calls, 3);
    PART(close_pool(pool));
}

TEST(failures_and_overruns_are_told) {
    sqlpool *pool = open_ticking("failure.db", NULL);
    sqlpool_task task;
    sqlpool_task_state state;
    work w = {0};
    if (pool == NULL) return;
    w.result = 70007;
    w.takes_ms = 50;
    task = task_of("bad", SQLPOOL_TASK_CALL, 10, &w);
    task.limit_ms = 40;
    CHECK_OK(set_schedule(pool, &task, 1, true, &w, &err), &err);
    AFTER_TICKS(pool, 1, w.done_result, 70007);
    CHECK_INT(w.last.failures, 1);
    CHECK_INT(w.last.overruns, 1);
    CHECK_HAS(w.last.message, "70007");
    w.result = 0;
    w.takes_ms = 0;
    CHECK_OK(sqlpool_schedule_run(pool, "bad", &err), &err);
    CHECK_INT(sqlpool_schedule_state(pool, &state, 1), 1);
    CHECK_INT(state.runs, 2);
    CHECK_INT(state.failures, 1);
    CHECK_INT(state.result, 0);
    CHECK_RC(sqlpool_schedule_run(pool, "other", &err), SQLPOOL_NOT_FOUND, &err);
    CHECK_RC(sqlpool_schedule_run(pool, NULL, &err), SQLPOOL_NOT_FOUND, &err);
    w.result = 70008;
    CHECK_RC(sqlpool_schedule_run(pool, "bad", &err), 70008, &err);
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
    work w = {0}, v = {0};
    if (pool == NULL) return;
    task = task_of("do'ily", SQLPOOL_TASK_CALL, 86400, &w);
    CHECK_OK(set_schedule(pool, &task, 1, true, &w, &err), &err);
    AFTER_TICKS(pool, 2, w.calls, 1);
    other = open_ticking("state.db", NULL); /* as another process would */
    if (other == NULL) return;
    task.user = &v;
    CHECK_OK(set_schedule(other, &task, 1, true, &v, &err), &err);
    CHECK_INT(sqlpool_schedule_state(other, &known, 1), 1); /* from the begin on */
    CHECK_INT(known.runs, 1);
    CHECK_INT(known.due_ms, MIDNIGHT + 86400000);
    AFTER_TICKS(other, 2, v.calls, 0);
    pass(86400000);
    PART(tick(other, 2));
    AFTER_TICKS(pool, 2, v.calls, 1);
    CHECK_INT(w.calls, 1);
    PART(close_pool(other));
    PART(close_pool(pool));
    pool = open_ticking("state.db", NULL); /* midnight again: the clock was set back */
    if (pool == NULL) return;
    task.user = &w;
    CHECK_OK(set_schedule(pool, &task, 1, true, &w, &err), &err);
    AFTER_TICKS(pool, 2, w.calls, 1);
    PART(close_pool(pool));
}

#define TABLES \
    "CREATE TABLE t(a UNIQUE, b);" \
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) " \
    "INSERT INTO t SELECT i, hex(zeroblob(100)) FROM n;"

/*  As the public sheet has them. */
TEST(the_default_tasks_are_what_they_are_said_to_be) {
    static const struct {
        int kind;
        int64_t interval_s, io_bytes_per_s;
        int free_percent;
    } expected[] = {{SQLPOOL_TASK_OPTIMIZE, 86400, 0, 0},
                    {SQLPOOL_TASK_FTS5_MERGE, 3600, 0, 0},
                    {SQLPOOL_TASK_INCREMENTAL_VACUUM, 3600, 0, 20},
                    {SQLPOOL_TASK_QUICK_CHECK, 7 * 86400, 33554432, 0},
                    {SQLPOOL_TASK_INTEGRITY_CHECK, 30 * 86400, 33554432, 0}};
    int count = 0, i;
    const sqlpool_task *tasks = sqlpool_schedule_default(&count);
    CHECK_INT(count, LENGTH(expected));
    for (i = 0; i < count; i++) {
        CHECK_INT(tasks[i].kind, expected[i].kind);
        CHECK_INT(tasks[i].interval_s, expected[i].interval_s);
        CHECK_INT(tasks[i].io_bytes_per_s, expected[i].io_bytes_per_s);
        CHECK_INT(tasks[i].free_percent, expected[i].free_percent);
        CHECK_INT(tasks[i].idle_ms, 1000);
        CHECK(tasks[i].window_from_minute == 0 && tasks[i].window_to_minute == 0); /* any time */
    }
}

TEST(a_schedule_has_up_to_100_tasks) {
    sqlpool *pool = open_ticking("many.db", NULL);
    static sqlpool_task tasks[101];
    static char names[101][8];
    work w = {0};
    int i;
    if (pool == NULL) return;
    for (i = 0; i < 101; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%d", i);
        tasks[i] = task_of(names[i], SQLPOOL_TASK_CALL, 10, &w);
    }
    CHECK_OK(set_schedule(pool, tasks, 100, false, &w, &err), &err);
    CHECK_INT(sqlpool_schedule_state(pool, NULL, 0), 100);
    CHECK_RC(set_schedule(pool, tasks, 101, false, &w, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "100");
    CHECK_INT(sqlpool_schedule_state(pool, NULL, 0), 100);
    PART(close_pool(pool));
}

TEST(the_default_tasks_do_their_work_in_ticks) {
    sqlpool *pool = open_ticking("default.db", TABLES);
    sqlpool_task_state states[8];
    sqlpool_sizes before, after;
    int count = 0, i;
    const sqlpool_task *tasks = sqlpool_schedule_default(&count);
    work w = {0};
    if (pool == NULL) return;
    CHECK_OK(sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_INCREMENTAL, NULL, &err), &err);
    CHECK_OK(sqlpool_script(pool, "DELETE FROM t WHERE a > 100", -1, &err), &err);
    CHECK_OK(sqlpool_get_sizes(pool, &before, &err), &err);
    CHECK(before.free_pages > 50);
    CHECK_INT(count, 5);
    CHECK_OK(set_schedule(pool, tasks, count, true, &w, &err), &err);
    for (i = 0; i < 200 && w.done < count; i++) {
        pass(2000);
        CHECK_INT(sqlpool_tick(pool, 1), SQLPOOL_OK); /* the smallest pieces */
    }
    CHECK_INT(w.done, count);
    CHECK_INT(sqlpool_schedule_state(pool, states, 8), count);
    for (i = 0; i < count; i++) CHECK_INT(states[i].result, SQLPOOL_OK);
    CHECK_OK(sqlpool_get_sizes(pool, &after, &err), &err);
    CHECK(after.free_pages < 5);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 't'"), 1);
    PART(close_pool(pool));
}

TEST(a_tick_does_not_wait_for_the_writer) {
    sqlpool *pool = open_ticking("nowait.db", TABLES);
    sqlpool_task task;
    sqlite3 *other;
    int64_t before;
    work w = {0};
    if (pool == NULL) return;
    task = task_of("optimize", SQLPOOL_TASK_OPTIMIZE, 10, &w);
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    other = raw_open("nowait.db");
    if (other == NULL || !raw_exec(other, "BEGIN IMMEDIATE")) return;
    before = clock_ns;
    PART(tick(pool, 3));
    CHECK(clock_ns - before < INT64_C(1000000000)); /* the clock goes on in sleeps alone */
    CHECK_INT(w.done, 0);
    if (!raw_exec(other, "COMMIT")) return;
    pass(2000);
    AFTER_TICKS(pool, 2, w.done, 1);
    CHECK_INT(w.done_result, SQLPOOL_OK);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    PART(close_pool(pool));
}

TEST(a_thread_runs_them_and_is_stopped_in_the_middle) {
    sqlpool *pool = open_pool("thread.db", NULL, TABLES);
    sqlpool_task tasks[2];
    sqlpool_task_state states[2];
    work w = {0}, never = {0};
    if (pool == NULL) return;
    never.waits = true;
    tasks[0] = task_of("check", SQLPOOL_TASK_QUICK_CHECK, 1000, &w);
    tasks[1] = task_of("waits", SQLPOOL_TASK_CALL, 1000, &never);
    CHECK_OK(set_schedule(pool, tasks, 2, true, &w, &err), &err);
    CHECK(came_to(&never.calls, 1));
    CHECK_INT(w.done, 1);
    CHECK_INT(w.done_result, SQLPOOL_OK);
    CHECK_INT(sqlpool_schedule_state(pool, states, 2), 2);
    CHECK(states[1].is_running && !states[0].is_running);
    CHECK_RC(sqlpool_schedule_run(pool, "check", &err), SQLPOOL_WOULD_BLOCK, &err);
    CHECK_OK(sqlpool_schedule(pool, NULL, &err), &err); /* waits for the task, which it cancels */
    CHECK_INT(w.done, 1); /* and which is as due as before */
    CHECK_INT(ask(pool, "SELECT begun_ms FROM sqlpool_task WHERE name = 'waits'"), 0);
    never.calls = 0;
    CHECK_OK(set_schedule(pool, &tasks[1], 1, false, &w, &err), &err);
    CHECK(came_to(&never.calls, 1));
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
    work w = {0};
    int i, results[3] = {0, 0, 0};
    char longer[70];
    if (pool == NULL) return;
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
        CHECK_RC(set_schedule(pool, &bad, 1, false, &w, &err), SQLPOOL_MISUSE, &err);
    }
    two[0] = two[1] = good;
    CHECK_RC(set_schedule(pool, two, 2, false, &w, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(set_schedule(pool, two, 101, false, &w, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(set_schedule(pool, NULL, 1, false, &w, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_schedule_state(pool, NULL, 1), SQLPOOL_MISUSE);
    good = task_of("misuse", SQLPOOL_TASK_CALL, 10, &w);
    good.fn = misuse;
    good.user = results;
    CHECK_OK(set_schedule(pool, &good, 1, false, &w, &err), &err);
    PART(tick(pool, 1));
    for (i = 0; i < 3; i++) CHECK_INT(results[i], SQLPOOL_MISUSE);
    PART(close_pool(pool));
}

TEST(backups_are_a_task) {
    sqlpool *pool = open_ticking("saved.db", TABLES);
    sqlpool_task task;
    work w = {0};
    int i;
    if (pool == NULL) return;
    task = task_of("backup", SQLPOOL_TASK_BACKUP, 10, &w);
    task.path = "saved.bak";
    task.keep = 2;
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    for (i = 0; i < 3; i++) {
        AFTER_TICKS(pool, 1, w.done, i + 1);
        CHECK_INT(w.done_result, SQLPOOL_OK);
        CHECK_OK(sqlpool_backup_verify(pool, "saved.bak", NULL, NULL, NULL, &err), &err);
        CHECK_INT(access("saved.bak.1", F_OK) == 0, i > 0);
        pass(10000);
    }
    CHECK(access("saved.bak.2", F_OK) != 0);
    CHECK(access("saved.bak-partial", F_OK) != 0);
    task.path = "nowhere/saved.bak";
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    AFTER_TICKS(pool, 1, w.done_result, SQLPOOL_TARGET);
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
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[32];
        work w = {0};
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
        task = task_of("check", SQLPOOL_TASK_INTEGRITY_CHECK, 10, &w);
        task.path = "checked-copy";
        CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
        AFTER_TICKS(pool, 1, w.done, 1);
        CHECK_INT(w.done_result, cases[i].result);
        if (cases[i].result != SQLPOOL_OK) CHECK_HAS(w.last.message, "2 problems");
        CHECK(access("checked-copy-partial", F_OK) != 0);
        PART(close_pool(pool));
    }
}

TEST(a_clock_that_was_far_ahead_puts_nothing_off) {
    sqlpool_task task;
    int keeps;
    for (keeps = 0; keeps < 2; keeps++) {
        work w = {0};
        sqlpool *pool = open_ticking(keeps ? "ahead_kept.db" : "ahead.db", NULL);
        if (pool == NULL) return;
        task = task_of("dail", SQLPOOL_TASK_CALL, 86400, &w);
        CHECK_OK(set_schedule(pool, &task, 1, keeps, &w, &err), &err);
        day_ms = MIDNIGHT + 3650 * 1440 * MINUTE; /* ten years too far */
        AFTER_TICKS(pool, 2, w.calls, 1);
        day_ms = MIDNIGHT; /* and set right */
        PART(tick(pool, 2));
        pass(2 * 86400000);
        PART(tick(pool, 2));
        CHECK(w.calls >= 2);
        w.calls = 0;
        AFTER_TICKS(pool, 2, w.calls, 0);
        pass(86400000);
        AFTER_TICKS(pool, 2, w.calls, 1);
        PART(close_pool(pool));
    }
}

/*  --- odd moments and odd states --- */

TEST(numbers_at_their_limits) {
    sqlpool *pool = open_ticking("limits.db", NULL), *reading;
    sqlpool_config config = config_of(1);
    sqlpool_task good, bad;
    sqlpool_task_state state;
    const char *says = "";
    char name[65];
    work w = {0};
    int i;
    if (pool == NULL) return;
    good = task_of("good", SQLPOOL_TASK_CALL, INT64_C(3155760000), &w); /* once in a century */
    for (i = 0; i < 5; i++) {
        bad = good;
        if (i == 0) bad.kind = SQLPOOL_TASK_CALL - 1, says = "kind is none of sqlpool_task_kind";
        if (i == 1) bad.interval_s++, says = "interval_s is 1 to 3155760000";
        if (i == 2) bad.window_from_minute = -1, says = "a window is between minutes 0 and 1440";
        if (i == 3) bad.window_to_minute = 1441, says = "a window is between minutes 0 and 1440";
        if (i == 4) bad.free_percent = -1, says = "free_percent 0 to 100";
        CHECK_RC(set_schedule(pool, &bad, 1, false, &w, &err), SQLPOOL_MISUSE, &err);
        CHECK_HAS(err.message, says);
    }
    memset(name, 'n', 64);
    name[64] = '\0';
    bad = good;
    bad.name = name;
    CHECK_RC(set_schedule(pool, &bad, 1, false, &w, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "name has 1 to 63 bytes");
    name[63] = '\0';
    CHECK_OK(set_schedule(pool, &bad, 1, false, &w, &err), &err);
    CHECK_RC(set_schedule(pool, &good, -1, false, &w, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "count is -1");
    CHECK_OK(set_schedule(pool, NULL, 0, false, &w, &err), &err); /* none: as NULL */
    CHECK_INT(sqlpool_schedule_state(pool, NULL, 0), 0);
    CHECK_RC(sqlpool_schedule_run(pool, "good", &err), SQLPOOL_NOT_FOUND, &err);
    CHECK_INT(sqlpool_schedule_state(pool, &state, -1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_schedule_state(NULL, &state, 1), SQLPOOL_MISUSE);
    CHECK_RC(sqlpool_schedule_run(NULL, "good", &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_schedule(NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_schedule_default(NULL)->kind, SQLPOOL_TASK_OPTIMIZE);
    CHECK_OK(set_schedule(pool, &good, 1, false, &w, &err), &err);
    AFTER_TICKS(pool, 3, w.calls, 1);
    memset(&state, 0, sizeof state);
    CHECK_INT(sqlpool_schedule_state(pool, &state, 0), 1); /* no room for any */
    CHECK_STR(state.name, "");
    CHECK_INT(sqlpool_schedule_state(pool, &state, 1), 1);
    CHECK_INT(state.due_ms, MIDNIGHT + INT64_C(3155760000000));
    pass(INT64_C(36525) * 1440 * MINUTE - 1000);
    AFTER_TICKS(pool, 1, w.calls, 1);
    pass(1000);
    AFTER_TICKS(pool, 1, w.calls, 2);
    config.read_only = true;
    reading = open_pool("limits.db", &config, NULL);
    if (reading == NULL) return;
    CHECK_RC(set_schedule(reading, &good, 1, true, &w, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "a read-only pool cannot keep_state");
    CHECK_OK(set_schedule(reading, &good, 1, false, &w, &err), &err);
    PART(close_pool(reading));
    PART(close_pool(pool));
}

TEST(a_window_of_one_day_and_the_one_that_waits_for_longest) {
    sqlpool *pool = open_ticking("day.db", NULL);
    sqlpool_task tasks[2];
    work w = {0};
    if (pool == NULL) return;
    tasks[0] = task_of("noon", SQLPOOL_TASK_CALL, 30, &w);
    tasks[0].window_from_minute = 12 * 60;
    tasks[0].window_to_minute = 12 * 60 + 2;
    day_ms = MIDNIGHT + 12 * 60 * MINUTE - 1;
    CHECK_OK(set_schedule(pool, tasks, 1, false, &w, &err), &err);
    AFTER_TICKS(pool, 1, w.calls, 0); /* 11:59:59.999 */
    pass(1);
    AFTER_TICKS(pool, 1, w.calls, 1);
    pass(2 * MINUTE - 1); /* 12:01:59.999 */
    AFTER_TICKS(pool, 1, w.calls, 2);
    pass(30001); /* 12:02:30: due, and too late */
    AFTER_TICKS(pool, 1, w.calls, 2);

    memset(&w, 0, sizeof w);
    tasks[0] = task_of("slow", SQLPOOL_TASK_CALL, 100, &w);
    tasks[1] = task_of("fast", SQLPOOL_TASK_CALL, 10, &w);
    CHECK_OK(set_schedule(pool, tasks, 2, false, &w, &err), &err);
    PART(tick(pool, 2));
    pass(200000); /* both are due, the second for longer */
    PART(tick(pool, 2));
    CHECK_STR(w.order, "slow fast fast slow ");
    PART(close_pool(pool));
}

static sqlpool *open_heard(const char *path, const char *script, log_ear *heard) {
    sqlpool *pool;
    heard->item = SQLPOOL_LOG_TASK;
    log_hook.write_fn = log_hear;
    log_hook.user = heard;
    pool = open_ticking(path, script);
    log_hook.write_fn = NULL;
    return pool;
}

TEST(an_overrun_is_a_warning_and_a_task_that_cancels_itself_a_failure) {
    sqlpool *pool;
    sqlpool_task task;
    log_ear heard = {0};
    work w = {0};
    pool = open_heard("overrun.db", NULL, &heard);
    if (pool == NULL) return;
    w.takes_ms = 50;
    task = task_of("late", SQLPOOL_TASK_CALL, 10, &w);
    task.limit_ms = 40;
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    PART(tick(pool, 1));
    CHECK_INT(w.last.overruns, 1);
    CHECK_INT(w.last.failures, 0);
    CHECK_INT(heard.lines, 1);
    CHECK_INT(heard.level, SQLPOOL_LEVEL_WARNING);
    CHECK_HAS(heard.last, "the task \"late\" took 50 ms, more than its limit_ms");
    w.takes_ms = 39;
    CHECK_OK(sqlpool_schedule_run(pool, "late", &err), &err);
    CHECK_INT(w.last.overruns, 1);
    CHECK_INT(heard.level, SQLPOOL_LEVEL_INFO);
    w.takes_ms = 40; /* is stopped at its end */
    CHECK_OK(sqlpool_schedule_run(pool, "late", &err), &err);
    CHECK_INT(w.last.overruns, 2);
    CHECK_INT(heard.level, SQLPOOL_LEVEL_WARNING);
    w.result = SQLPOOL_CANCELLED; /* nobody asked it to */
    CHECK_RC(sqlpool_schedule_run(pool, "late", &err), SQLPOOL_CANCELLED, &err);
    CHECK_INT(w.last.failures, 1);
    CHECK_INT(w.last.runs, 4);
    CHECK_INT(heard.level, SQLPOOL_LEVEL_ERROR);
    PART(close_pool(pool));
}

TEST(a_table_of_states_that_is_not_as_it_should_be) {
    sqlpool *pool;
    sqlpool_task task;
    sqlpool_task_state state;
    log_ear heard = {0};
    work w = {0};
    pool = open_heard("table.db", /* of a version without constraints, with rows of others */
                      "CREATE TABLE sqlpool_task(name, begun_ms, ended_ms, result, runs, failures,"
                      "overruns, message);"
                      "INSERT INTO sqlpool_task VALUES(NULL, 1, 2, 3, 4, 5, 6, 'nobody''s'),"
                      "('other', 1, 2, 3, 4, 5, 6, 'of another'),"
                      "('mine', 11, 12, 13, 14, 15, 16, NULL)",
                      &heard);
    if (pool == NULL) return;
    task = task_of("mine", SQLPOOL_TASK_CALL, 10, &w);
    CHECK_OK(set_schedule(pool, &task, 1, true, &w, &err), &err);
    CHECK_INT(sqlpool_schedule_state(pool, &state, 1), 1);
    CHECK(state.begun_ms == 11 && state.ended_ms == 12 && state.result == 13 && state.runs == 14 &&
          state.failures == 15 && state.overruns == 16);
    CHECK_STR(state.message, "");
    PART(tick(pool, 1));
    CHECK_INT(w.last.runs, 15);
    CHECK_OK(sqlpool_script(pool, "ALTER TABLE sqlpool_task DROP COLUMN overruns", -1, &err), &err);
    CHECK_RC(set_schedule(pool, &task, 1, true, &w, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "no such column: overruns");
    CHECK_INT(sqlpool_schedule_state(pool, &state, 1), 1); /* the one before goes on, */
    pass(10000);
    PART(tick(pool, 1)); /* and cannot begin: told, and tried again in a minute */
    CHECK_INT(w.calls, 1);
    CHECK_INT(heard.level, SQLPOOL_LEVEL_ERROR);
    CHECK_HAS(heard.last, "the task \"mine\" cannot begin: its state is not to be kept");
    CHECK_OK(sqlpool_script(pool, "ALTER TABLE sqlpool_task ADD overruns", -1, &err), &err);
    pass(59000);
    AFTER_TICKS(pool, 2, w.calls, 1);
    pass(1000);
    AFTER_TICKS(pool, 1, w.calls, 2);
    PART(close_pool(pool));
}

TEST(a_claim_that_another_process_keeps_waiting) {
    sqlpool *pool = open_ticking("claim.db", "CREATE TABLE t(a)");
    sqlpool_task task;
    sqlite3 *other;
    work w = {0};
    if (pool == NULL) return;
    task = task_of("claimed", SQLPOOL_TASK_CALL, 10, &w);
    CHECK_OK(set_schedule(pool, &task, 1, true, &w, &err), &err);
    other = raw_open("claim.db");
    if (other == NULL || !raw_exec(other, "BEGIN IMMEDIATE")) return;
    AFTER_TICKS(pool, 2, w.calls, 0);
    CHECK_RC(run_slowly(pool, "claimed", &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(w.calls + w.done, 0); /* it did not begin: no run, no failure */
    if (!raw_exec(other, "COMMIT")) return;
    AFTER_TICKS(pool, 2, w.calls, 0); /* in a second */
    pass(1000);
    AFTER_TICKS(pool, 1, w.calls, 1);
    CHECK_INT(w.last.failures, 0);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    PART(close_pool(pool));
}

TEST(free_pages_that_are_too_few_stay) {
    sqlpool *pool = open_ticking("few.db", TABLES);
    sqlpool_task task;
    sqlpool_sizes sizes;
    int64_t free_pages;
    work w = {0};
    if (pool == NULL) return;
    CHECK_OK(sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_INCREMENTAL, NULL, &err), &err);
    task = task_of("vacu", SQLPOOL_TASK_INCREMENTAL_VACUUM, 10, &w);
    task.free_percent = 50;
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    PART(tick(pool, 1)); /* none are free */
    CHECK_INT(w.done_result, SQLPOOL_OK);
    CHECK_OK(sqlpool_script(pool, "DELETE FROM t WHERE a > 2700", -1, &err), &err);
    CHECK_OK(sqlpool_get_sizes(pool, &sizes, &err), &err);
    free_pages = sizes.free_pages;
    CHECK(free_pages > 0 && free_pages * 2 < sizes.pages);
    pass(10000);
    AFTER_TICKS(pool, 1, w.done, 2);
    CHECK_OK(sqlpool_get_sizes(pool, &sizes, &err), &err);
    CHECK_INT(sizes.free_pages, free_pages);
    CHECK_OK(sqlpool_script(pool, "DELETE FROM t WHERE a > 100", -1, &err), &err);
    pass(10000);
    AFTER_TICKS(pool, 1, w.done_result, SQLPOOL_OK);
    CHECK_OK(sqlpool_get_sizes(pool, &sizes, &err), &err);
    CHECK_INT(sizes.free_pages, 0);
    task.limit_ms = 10;
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    CHECK_OK(sqlpool_pause(pool, 1000, &err), &err); /* not even looked at: a failure */
    CHECK_RC(run_slowly(pool, "vacu", &err), SQLPOOL_TIMEOUT, &err);
    CHECK_INT(w.last.failures, 1);
    CHECK_INT(sqlpool_resume(pool), SQLPOOL_OK);
    PART(close_pool(pool));
}

TEST(archives_that_a_task_cannot_make) {
    sqlpool *pool = open_ticking("kept.db", TABLES);
    sqlpool_config config = config_of(1);
    sqlpool_task task;
    work w = {0};
    if (pool == NULL) return;
    task = task_of("backup", SQLPOOL_TASK_BACKUP, 10, &w);
    task.path = "kept.bak";
    task.keep = 101;
    CHECK_RC(set_schedule(pool, &task, 1, false, &w, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "keep is 0 to 100");
    task.keep = 100;
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    AFTER_TICKS(pool, 1, w.done_result, SQLPOOL_OK);
    CHECK_INT(access("kept.bak", F_OK), 0);
    task = task_of("copy", SQLPOOL_TASK_INTEGRITY_CHECK, 10, &w); /* checks a copy: there is no place for it */
    task.path = "missing/kept-copy";
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    CHECK_RC(sqlpool_schedule_run(pool, "copy", &err), SQLPOOL_TARGET, &err);
    PART(close_pool(pool));
    if (sqlite3_libversion_number() < 3036000) return;
    config.disable_upkeep_thread = true; /* a database in memory is checked itself */
    pool = open_pool(":memory:", &config, TABLES);
    if (pool == NULL) return;
    task = task_of("check", SQLPOOL_TASK_INTEGRITY_CHECK, 10, &w);
    task.path = "kept-copy";
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    CHECK_OK(sqlpool_schedule_run(pool, "check", &err), &err);
    CHECK(access("kept-copy-partial", F_OK) != 0);
    PART(close_pool(pool));
}

static int tick_inside(sqlpool *pool, const sqlpool_maintenance *options, void *user,
                       sqlpool_error *error) {
    work *w = (work *)user;
    (void)options, (void)error;
    w->calls++;
    return sqlpool_tick(pool, 100000);
}

TEST(a_tick_inside_a_task_begins_no_other) {
    sqlpool *pool = open_ticking("inside.db", NULL);
    sqlpool_task tasks[2];
    work w = {0};
    if (pool == NULL) return;
    tasks[0] = task_of("tick", SQLPOOL_TASK_CALL, 10, &w);
    tasks[0].fn = tick_inside;
    tasks[1] = task_of("next", SQLPOOL_TASK_CALL, 10, &w);
    CHECK_OK(set_schedule(pool, tasks, 2, false, &w, &err), &err);
    CHECK_OK(sqlpool_schedule_run(pool, "tick", &err), &err);
    CHECK_STR(w.order, "tick ");
    PART(tick(pool, 2));
    CHECK_STR(w.order, "tick next ");
    PART(close_pool(pool));
}

/*  A full-text table of so many segments, which nothing but a merge makes fewer. */
static void add_segments(sqlpool *pool, const char *name, int count) {
    char sql[300];
    (void)snprintf(sql, sizeof sql,
                   "CREATE VIRTUAL TABLE %s USING fts5(x);"
                   "INSERT INTO %s(%s, rank) VALUES('automerge', 0);"
                   "INSERT INTO %s(%s, rank) VALUES('usermerge', 2)",
                   name, name, name, name, name);
    CHECK_OK(sqlpool_script(pool, sql, -1, &err), &err);
    (void)snprintf(sql, sizeof sql,
                   "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) "
                   "INSERT INTO %s SELECT hex(randomblob(100)) FROM n",
                   name);
    while (count-- > 0) CHECK_OK(sqlpool_script(pool, sql, -1, &err), &err);
}

/*  Ticks that are over after each piece, by a clock that goes on by itself. */
TEST(a_task_that_is_cut_goes_on_until_it_is_done_once) {
    static const int kinds[] = {SQLPOOL_TASK_OPTIMIZE, SQLPOOL_TASK_FTS5_MERGE,
                                SQLPOOL_TASK_INCREMENTAL_VACUUM};
    int which, keeps;
    for (which = 0; which < LENGTH(kinds); which++) {
        for (keeps = 0; keeps < 2; keeps++) {
            char path[32];
            sqlpool *pool;
            sqlpool_task task;
            sqlpool_task_state state;
            sqlpool_sizes sizes;
            work w = {0};
            int ticks = 0;
            if (which == 1 && sqlite3_compileoption_used("ENABLE_FTS5") == 0) continue;
            (void)snprintf(path, sizeof path, "cut%d%d.db", which, keeps);
            pool = open_ticking(path, TABLES "CREATE TABLE u(a UNIQUE); INSERT INTO u VALUES(1);"
                                             "CREATE TABLE v(a UNIQUE); INSERT INTO v VALUES(1)");
            if (pool == NULL) return;
            if (which == 1) PART(add_segments(pool, "f", 15));
            CHECK_OK(sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_INCREMENTAL, NULL, &err), &err);
            CHECK_OK(sqlpool_script(pool, "DELETE FROM t WHERE a > 100", -1, &err), &err);
            task = task_of("cutt", kinds[which], 3600, &w);
            CHECK_OK(set_schedule(pool, &task, 1, keeps, &w, &err), &err);
            clock_step = 5000000;
            while (w.done == 0 && ticks < 200) {
                CHECK_INT(sqlpool_tick(pool, 1), SQLPOOL_OK);
                CHECK_INT(sqlpool_schedule_state(pool, &state, 1), 1);
                if (w.done == 0) CHECK_INT(state.begun_ms, 0); /* as due as it was */
                ticks++;
            }
            clock_step = 1000;
            CHECK(ticks > 1 && ticks < 200);
            CHECK_INT(w.last.runs, 1);
            CHECK_INT(w.done_result, SQLPOOL_OK);
            CHECK_INT(w.last.begun_ms, MIDNIGHT);
            CHECK_OK(sqlpool_get_sizes(pool, &sizes, &err), &err);
            if (which == 0)
                CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_stat1 WHERE tbl <> 'sqlpool_task'"), 3);
            if (which == 2) CHECK_INT(sizes.free_pages, 0);
            AFTER_TICKS(pool, 3, w.done, 1);
            PART(close_pool(pool));
        }
    }
}

TEST(a_piece_that_cannot_be_paid_in_this_tick_is_the_last_of_it) {
    sqlpool *pool = open_ticking("paid.db", TABLES "CREATE TABLE u(a UNIQUE); INSERT INTO u "
                                                   "VALUES(1)");
    sqlpool_task task;
    int64_t before;
    work w = {0};
    if (pool == NULL) return;
    task = task_of("slow", SQLPOOL_TASK_OPTIMIZE, 3600, &w);
    task.io_bytes_per_s = 1;
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    before = clock_ns;
    CHECK_INT(sqlpool_tick(pool, 1000000), SQLPOOL_OK); /* a second, in which it reads a byte */
    CHECK_INT(w.done, 0);
    CHECK(clock_ns - before < INT64_C(1000000000));
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_stat1"), 1);
    PART(close_pool(pool));
}

/*  --- threads --- */

static int wait_for_flag(sqlpool *pool, const sqlpool_maintenance *options, void *user,
                         sqlpool_error *error) {
    work *w = (work *)user;
    (void)pool, (void)options, (void)error;
    (void)__atomic_add_fetch(&w->calls, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&w->result, __ATOMIC_SEQ_CST) == 0) sleep_ms(1);
    return 0;
}
typedef struct caller {
    sqlpool *pool;
    const sqlpool_task *task; /* NULL: runs the task "held" */
    work *w;
    int result, is_done;
} caller;
static void *call_schedule(void *argument) {
    caller *c = (caller *)argument;
    sqlpool_error error;
    c->result = c->task == NULL ? sqlpool_schedule_run(c->pool, "held", &error)
                                : set_schedule(c->pool, c->task, 1, false, c->w, &error);
    __atomic_store_n(&c->is_done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

TEST(one_task_at_a_time_by_thread_and_by_call) {
    sqlpool *pool = open_pool("one.db", NULL, NULL);
    sqlpool_task tasks[2];
    pthread_t thread;
    work often = {0}, held = {0};
    caller runs = {0};
    if (pool == NULL) return;
    tasks[0] = task_of("often", SQLPOOL_TASK_CALL, 1, &often);
    tasks[1] = task_of("held", SQLPOOL_TASK_CALL, 86400, &held);
    held.result = 1; /* the first time it ends at once */
    tasks[1].fn = wait_for_flag;
    CHECK_OK(set_schedule(pool, tasks, 2, false, &often, &err), &err);
    CHECK(came_to(&held.calls, 1));
    CHECK(came_to(&often.done, 2));
    held.result = 0;
    runs.pool = pool;
    CHECK(start_thread(&thread, call_schedule, &runs));
    CHECK(came_to(&held.calls, 2));
    held.done = often.calls;
    sleep_ms(1100); /* the other is due now */
    CHECK_INT(often.calls, held.done);
    CHECK_INT(sqlpool_tick(pool, 1000), SQLPOOL_OK); /* leaves it to the thread */
    CHECK_INT(often.calls, held.done);
    __atomic_store_n(&held.result, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(runs.result, SQLPOOL_OK);
    CHECK(came_to(&often.calls, held.done + 1));
    PART(close_pool(pool));
}

static void await_state(sqlpool *pool, int count) { /* or twenty seconds */
    int i;
    for (i = 0; i < 20000 && sqlpool_schedule_state(pool, NULL, 0) != count; i++) sleep_ms(1);
}
static void *close_it(void *argument) {
    caller *c = (caller *)argument;
    c->result = sqlpool_close(c->pool, NULL);
    return NULL;
}

TEST(two_that_set_a_schedule_and_one_that_closes) {
    int closes;
    for (closes = 0; closes < 2; closes++) {
        sqlpool *pool = open_ticking(closes ? "closed.db" : "two.db", NULL);
        sqlpool_task held_task, other;
        sqlpool_task_state state;
        pthread_t runner, setter, closer;
        caller runs = {0}, sets = {0}, ends = {0};
        work held = {0}, w = {0};
        if (pool == NULL) return;
        held_task = task_of("held", SQLPOOL_TASK_CALL, 10, &held);
        held_task.fn = wait_for_flag;
        other = task_of("other", SQLPOOL_TASK_CALL, 10, &w);
        CHECK_OK(set_schedule(pool, &held_task, 1, false, &w, &err), &err);
        runs.pool = sets.pool = ends.pool = pool;
        CHECK(start_thread(&runner, call_schedule, &runs));
        CHECK(came_to(&held.calls, 1));
        sets.task = &other;
        sets.w = &w;
        CHECK(start_thread(&setter, call_schedule, &sets)); /* waits for the end of the task */
        await_state(pool, 0);
        if (closes) {
            CHECK(start_thread(&closer, close_it, &ends));
            await_state(pool, SQLPOOL_CLOSED);
        } else {
            other.name = "first";
            CHECK_OK(set_schedule(pool, &other, 1, false, &w, &err), &err);
        }
        CHECK_INT(sets.is_done, 0);
        __atomic_store_n(&held.result, 1, __ATOMIC_SEQ_CST);
        CHECK_INT(pthread_join(runner, NULL), 0);
        CHECK_INT(pthread_join(setter, NULL), 0);
        CHECK_INT(runs.result, SQLPOOL_OK);
        CHECK_INT(sets.result, closes ? SQLPOOL_CLOSED : SQLPOOL_WOULD_BLOCK);
        if (closes) {
            CHECK_INT(pthread_join(closer, NULL), 0);
            CHECK_INT(ends.result, SQLPOOL_OK);
            continue;
        }
        CHECK_INT(sqlpool_schedule_state(pool, &state, 1), 1);
        CHECK_STR(state.name, "first");
        PART(close_pool(pool));
    }
}

TEST(a_claim_that_waits_ends_with_its_schedule) {
    sqlpool *pool = open_pool("ends.db", NULL, "CREATE TABLE t(a)");
    sqlpool_task task;
    sqlpool_stats stats;
    sqlite3 *other;
    work w = {0};
    int i;
    if (pool == NULL) return;
    other = raw_open("ends.db");
    if (other == NULL || !raw_exec(other, "BEGIN IMMEDIATE")) return;
    task = task_of("never", SQLPOOL_TASK_CALL, 10, &w);
    CHECK_OK(set_schedule(pool, &task, 1, true, &w, &err), &err);
    for (i = 0; i < 20000; i++) { /* until its thread has the writer */
        CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
        if (stats.used > 0) break;
        sleep_ms(1);
    }
    sleep_ms(20);
    CHECK_OK(sqlpool_schedule(pool, NULL, &err), &err);
    CHECK_INT(w.calls + w.done, 0);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    PART(close_pool(pool));
}

/*  It goes on where the tick before it stopped: not with the first table again. */
TEST(a_merge_that_is_cut_comes_to_every_table) {
    sqlpool *pool;
    sqlpool_task task;
    work w = {0};
    int ticks = 0;
    if (sqlite3_compileoption_used("ENABLE_FTS5") == 0) return;
    pool = open_ticking("every.db", NULL);
    if (pool == NULL) return;
    PART(add_segments(pool, "f", 1));
    PART(add_segments(pool, "g", 5));
    task = task_of("merge", SQLPOOL_TASK_FTS5_MERGE, 3600, &w);
    CHECK_OK(set_schedule(pool, &task, 1, false, &w, &err), &err);
    clock_step = 5000000;
    while (w.done == 0 && ticks++ < 200) CHECK_INT(sqlpool_tick(pool, 1), SQLPOOL_OK);
    clock_step = 1000;
    CHECK_INT(w.done, 1);
    CHECK_INT(ask(pool, "SELECT count(DISTINCT segid) FROM g_idx"), 1);
    PART(close_pool(pool));
}

/*  Also while its schedule is being replaced; nor does it close the pool that waits for its thread. */
static int set_another(sqlpool *pool, const sqlpool_maintenance *options, void *user,
                       sqlpool_error *error) {
    int *results = (int *)user;
    (void)error;
    results[1] = sqlpool_close(pool, NULL);
    __atomic_store_n(&results[0], 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&options->token->fired, __ATOMIC_ACQUIRE) == 0) sleep_ms(1);
    results[0] = sqlpool_schedule(pool, NULL, NULL);
    return 0;
}
TEST(a_task_sets_no_schedule_when_its_own_is_replaced) {
    sqlpool *pool = open_pool("itself.db", NULL, NULL);
    sqlpool_task task;
    int results[2] = {0, 0};
    if (pool == NULL) return;
    task = task_of("itself", SQLPOOL_TASK_CALL, 10, NULL);
    task.fn = set_another;
    task.user = results;
    CHECK_OK(set_schedule(pool, &task, 1, false, NULL, &err), &err);
    CHECK(came_to(&results[0], 1));
    CHECK_OK(sqlpool_schedule(pool, NULL, &err), &err);
    CHECK_INT(results[0], SQLPOOL_MISUSE);
    CHECK_INT(results[1], SQLPOOL_MISUSE);
    PART(close_pool(pool));
}

/*  A task of one pool runs one of another pool, which asks the first for what would wait for both. */
typedef struct pair {
    sqlpool *first, *second;
    int run, set, unset, close, own;
} pair;
static int turn_to_first(sqlpool *pool, const sqlpool_maintenance *options, void *user,
                         sqlpool_error *error) {
    pair *p = (pair *)user;
    sqlpool_schedule_config config;
    (void)options, (void)error;
    memset(&config, 0, sizeof config);
    p->set = sqlpool_schedule(p->first, &config, NULL);
    p->unset = sqlpool_schedule(p->first, NULL, NULL);
    p->close = sqlpool_close(p->first, NULL);
    p->own = sqlpool_schedule(pool, NULL, NULL);
    return 0;
}
static int run_second(sqlpool *pool, const sqlpool_maintenance *options, void *user,
                      sqlpool_error *error) {
    pair *p = (pair *)user;
    (void)pool, (void)options;
    return p->run = sqlpool_schedule_run(p->second, "inner", error);
}
TEST(a_task_sets_no_schedule_through_another_pools_task) {
    sqlpool_task outer, inner;
    pair p = {0};
    int rc;
    p.run = -1;
    p.first = open_ticking("first.db", NULL);
    p.second = open_ticking("second.db", NULL);
    if (p.first == NULL || p.second == NULL) return;
    outer = task_of("outer", SQLPOOL_TASK_CALL, 10, NULL);
    outer.fn = run_second;
    inner = task_of("inner", SQLPOOL_TASK_CALL, 10, NULL);
    inner.fn = turn_to_first;
    outer.user = inner.user = &p;
    CHECK_OK(set_schedule(p.first, &outer, 1, false, NULL, &err), &err);
    CHECK_OK(set_schedule(p.second, &inner, 1, false, NULL, &err), &err);
    (void)alarm(20); /* who waits here waits for itself */
    rc = sqlpool_schedule_run(p.first, "outer", &err);
    (void)alarm(0);
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK_INT(p.run, SQLPOOL_OK);
    CHECK_INT(p.set, SQLPOOL_MISUSE);
    CHECK_INT(p.unset, SQLPOOL_MISUSE);
    CHECK_INT(p.close, SQLPOOL_MISUSE);
    CHECK_INT(p.own, SQLPOOL_MISUSE);
    CHECK_OK(sqlpool_schedule(p.second, NULL, &err), &err); /* out of both tasks again */
    CHECK_OK(sqlpool_schedule(p.first, NULL, &err), &err);
    PART(close_pool(p.second));
    PART(close_pool(p.first));
}

/*  The thread of the schedule looks at the tasks while others run them and ask what they did, with a
    slow clock between: for ThreadSanitizer, and nothing is counted twice. */
static int64_t slow_now(void *user) {
    (void)user;
    sim_real_sleep_ns(200000);
    return sim_real_ns();
}
static int has_run; /* atomic */
static void *ask_states(void *argument) {
    sqlpool *pool = (sqlpool *)argument;
    while (__atomic_load_n(&has_run, __ATOMIC_ACQUIRE) == 0) {
        sqlpool_task_state state;
        const int count = sqlpool_schedule_state(pool, &state, 1);
        if (count != 1 || state.runs < 0 || state.runs > 13)
            test_fail(__FILE__, __LINE__, "%d tasks, %lld runs", count, (long long)state.runs);
    }
    return NULL;
}
TEST(states_are_asked_for_beside_the_runs) {
    int i, rc = SQLPOOL_OK, keeps;
    for (keeps = 0; keeps < 2; keeps++) {
        sqlpool_config config = config_of(2);
        work w = {0};
        sqlpool_task task = task_of("work", SQLPOOL_TASK_CALL, 3600, &w);
        sqlpool_task_state state;
        pthread_t asker;
        sqlpool *pool;
        config.clock.now_ns_fn = slow_now;
        config.clock.sleep_ns_fn = sim_real_sleep;
        pool = open_pool("asked.db", &config, NULL);
        CHECK(pool != NULL);
        CHECK_OK(set_schedule(pool, &task, 1, keeps == 1, NULL, &err), &err);
        has_run = 0;
        CHECK(start_thread(&asker, ask_states, pool));
        for (i = 0; i < 12 && (rc == SQLPOOL_OK || rc == SQLPOOL_WOULD_BLOCK);
             i += rc == SQLPOOL_OK) /* the thread has its first turn as well */
            rc = sqlpool_schedule_run(pool, "work", &err);
        __atomic_store_n(&has_run, 1, __ATOMIC_RELEASE);
        CHECK_INT(pthread_join(asker, NULL), 0);
        CHECK_INT(i, 12);
        CHECK_INT(sqlpool_schedule_state(pool, &state, 1), 1);
        CHECK_INT(state.runs, __atomic_load_n(&w.calls, __ATOMIC_SEQ_CST));
        CHECK(state.runs == 12 || state.runs == 13);
        close_pool(pool);
    }
}

/*  The claim of a run shares its commit with a write that undoes it, so it is tried again. */
static void *undo(void *argument) {
    sqlpool_error e;
    const int rc = sqlpool_exec((sqlpool *)argument, "INSERT OR ROLLBACK INTO t VALUES(1)", SQLPOOL_NO_ARGS, &e);
    if (rc != SQLITE_CONSTRAINT_UNIQUE) test_fail(__FILE__, __LINE__, "%d: %s", rc, e.message);
    return NULL;
}
static bool are_waiting(sqlpool *pool, int count) {
    const int64_t end = now_ms() + 20000;
    while (stats_of(pool).waiting_write != count && now_ms() < end) sleep_ms(1);
    return stats_of(pool).waiting_write == count;
}
TEST(a_claim_that_is_undone_is_tried_again) {
    sqlpool_config config = config_of(1);
    work w = {0};
    const sqlpool_task task = task_of("work", SQLPOOL_TASK_CALL, 3600, &w);
    sqlpool_conn conn;
    pthread_t undoer;
    int64_t end;
    sqlpool *pool = open_pool("undone.db", &config, "CREATE TABLE t(v UNIQUE); INSERT INTO t VALUES(1)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(set_schedule(pool, &task, 1, true, &w, &err), &err);
    CHECK(are_waiting(pool, 1));
    CHECK(start_thread(&undoer, undo, pool));
    CHECK(are_waiting(pool, 2));
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(pthread_join(undoer, NULL), 0);
    end = now_ms() + 10000;
    while (__atomic_load_n(&w.done, __ATOMIC_SEQ_CST) == 0 && now_ms() < end) sleep_ms(1);
    CHECK_INT(__atomic_load_n(&w.done, __ATOMIC_SEQ_CST), 1);
    CHECK_INT(w.last.runs, 1);
    close_pool(pool);
}

int main(void) {
    RUN(a_task_runs_when_its_interval_has_passed);
    RUN(an_incremental_vacuum_has_nothing_to_do_in_other_files);
    RUN(a_task_waits_for_its_window_and_for_an_idle_moment);
    RUN(failures_and_overruns_are_told);
    RUN(what_was_done_is_known_to_the_next_program_and_to_others);
    RUN(the_default_tasks_are_what_they_are_said_to_be);
    RUN(a_schedule_has_up_to_100_tasks);
    RUN(the_default_tasks_do_their_work_in_ticks);
    RUN(a_tick_does_not_wait_for_the_writer);
    RUN(a_thread_runs_them_and_is_stopped_in_the_middle);
    RUN(tasks_that_make_no_sense_are_refused);
    RUN(backups_are_a_task);
    RUN(a_copy_is_checked);
    RUN(a_clock_that_was_far_ahead_puts_nothing_off);
    RUN(numbers_at_their_limits);
    RUN(a_window_of_one_day_and_the_one_that_waits_for_longest);
    RUN(an_overrun_is_a_warning_and_a_task_that_cancels_itself_a_failure);
    RUN(a_table_of_states_that_is_not_as_it_should_be);
    RUN(a_claim_that_another_process_keeps_waiting);
    RUN(free_pages_that_are_too_few_stay);
    RUN(archives_that_a_task_cannot_make);
    RUN(a_tick_inside_a_task_begins_no_other);
    RUN(a_task_that_is_cut_goes_on_until_it_is_done_once);
    RUN(a_piece_that_cannot_be_paid_in_this_tick_is_the_last_of_it);
    RUN(one_task_at_a_time_by_thread_and_by_call);
    RUN(two_that_set_a_schedule_and_one_that_closes);
    RUN(a_claim_that_waits_ends_with_its_schedule);
    RUN(a_merge_that_is_cut_comes_to_every_table);
    RUN(a_task_sets_no_schedule_when_its_own_is_replaced);
    RUN(a_task_sets_no_schedule_through_another_pools_task);
    RUN(states_are_asked_for_beside_the_runs);
    RUN(a_claim_that_is_undone_is_tried_again);
    return test_end();
}
