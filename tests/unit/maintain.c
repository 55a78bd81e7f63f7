/*  maintain.c - white box: maintenance, migrations and index sets with an SQLite of another version,
    rows that SQLite does not give, and something that happens before any of their statements.
    SPDX-License-Identifier: MIT OR Unlicense

    Some of SQLite's functions are replaced by ones that can be told to answer otherwise, and
    sqlite3_step() by one that does something else first, the n-th time. */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION

#include <sqlite3.h>
#include <stdbool.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int version_now = SQLITE_VERSION_NUMBER, fail_code, fail_count;
static bool no_vfs, no_option;
static const char *fail_sql; /* statements that begin so fail, `fail_count` times */
static const char *undo_sql; /* they do not fail, but this comes right behind them */
static int64_t steps, act_at;
static void (*act_fn)(void);

static int care_version(void) {
    return version_now;
}
static int care_option(const char *name) {
    return no_option ? 0 : sqlite3_compileoption_used(name);
}
static sqlite3_vfs *care_vfs_find(const char *name) {
    return no_vfs ? NULL : sqlite3_vfs_find(name);
}
static int care_step(sqlite3_stmt *statement) {
    const char *sql = sqlite3_sql(statement);
    if (++steps == act_at) act_fn();
    if (fail_sql != NULL && fail_count > 0 && sql != NULL &&
        strncmp(sql, fail_sql, strlen(fail_sql)) == 0) {
        int rc = fail_code;
        fail_count--;
        if (undo_sql == NULL) return rc;
        rc = sqlite3_step(statement);
        (void)sqlite3_exec(sqlite3_db_handle(statement), undo_sql, NULL, NULL, NULL);
        return rc;
    }
    return sqlite3_step(statement);
}
#define sqlite3_libversion_number care_version
#define sqlite3_compileoption_used care_option
#define sqlite3_vfs_find care_vfs_find
#define sqlite3_step care_step
#include "sqlpool.h"
#undef sqlite3_libversion_number
#undef sqlite3_compileoption_used
#undef sqlite3_vfs_find
#undef sqlite3_step

#include "unit.h"

/*  Nothing here is about a disk: none is waited for. */
int fsync(int file) {
    (void)file;
    return 0;
}
int fdatasync(int file) {
    (void)file;
    return 0;
}

#define NO_ARGS SQLPOOL_NO_ARGS
static const char tables_sql[] =
    "CREATE TABLE one(a INTEGER PRIMARY KEY, b, c UNIQUE); CREATE INDEX one_b ON one(b);"
    "CREATE TABLE two(a REFERENCES one, b); CREATE INDEX two_b ON two(b) WHERE a > 3;"
    "CREATE TABLE bare(x);"
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80) "
    "INSERT INTO one SELECT i, hex(zeroblob(100)), i FROM n;"
    "INSERT INTO two SELECT a, b FROM one WHERE a < 50;";

static int64_t ask(sqlpool *pool, const char *sql) {
    sqlpool_error error;
    int64_t value = INT64_MIN;
    if (sqlpool_query_int64(pool, &value, sql, NO_ARGS, &error) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", sql, error.message);
    return value;
}
static bool has_fts5(void) {
    return sqlite3_compileoption_used("ENABLE_FTS5") != 0;
}
static bool run_raw(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    char *message = NULL;
    int rc = sqlite3_open(path, &db);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, &message);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, sql, NULL, NULL, &message);
    if (rc != SQLITE_OK) test_fail(__FILE__, __LINE__, "%s: %s", sql, message);
    sqlite3_free(message);
    (void)sqlite3_close(db);
    return rc == SQLITE_OK;
}

/*  A pool on a file that has the tables already. */
static void begin_with_tables(unit_pool *u, const char *path) {
    if (run_raw(path, tables_sql)) unit_begin(u, path, 1, NULL);
}

/*---- something happens before any statement ----*/

enum { WORKS = 21 };
static const sqlpool_migration migrations[] = {
    {1, "one", "CREATE TABLE m1(a)", "DROP TABLE m1", NULL, NULL, NULL},
    {2, "two", "CREATE TABLE m2(a)", "DROP TABLE m2", NULL, NULL, NULL},
    {3, "three", "CREATE TABLE m3(a)", "DROP TABLE m3", NULL, NULL, NULL}};
static const char *const indexes[] = {"CREATE INDEX set_one ON one(b, a)",
                                      "CREATE INDEX set_two ON two(a)"};

static int count_size(void *user, const sqlpool_object_size *size) {
    *(int *)user += size->pages > 0;
    return 0;
}
static int migrate(sqlpool *pool, int mode, int target, bool adopt,
                   const sqlpool_maintenance *options, sqlpool_error *error) {
    sqlpool_migrate_config config;
    memset(&config, 0, sizeof config);
    config.steps = migrations;
    config.step_count = 3;
    config.mode = mode;
    config.target = target;
    config.adopt = adopt;
    config.application_id = adopt ? 4711 : 0;
    return sqlpool_migrate(pool, &config, options, NULL, error);
}

static int operate(sqlpool *pool, int which, const sqlpool_maintenance *options,
                   sqlpool_error *error) {
    sqlpool_index_set set;
    sqlpool__chore chore;
    int64_t freed;
    int count = 0;
    memset(&set, 0, sizeof set);
    set.indexes = indexes;
    set.index_count = 2;
    switch (which) {
    case 0:
        return sqlpool_optimize(pool, options, NULL, error);
    case 1:
        return sqlpool_analyze(pool, NULL, 10, options, error);
    case 2:
        return sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_INCREMENTAL, options, error);
    case 3:
        return sqlpool_incremental_vacuum(pool, 3, options, &freed, error);
    case 4:
        (void)unlink("work.copy");
        return sqlpool_vacuum_into(pool, "work.copy", options, error);
    case 5:
        return sqlpool_reindex(pool, NULL, options, error);
    case 6:
        return sqlpool_reindex(pool, "bare", options, error);
    case 7:
        return sqlpool_reindex(pool, "binary", options, error);
    case 8:
    case 9:
    case 10:
        return sqlpool_check(pool, which - 8, NULL, options, NULL, error);
    case 11:
        return sqlpool_object_sizes(pool, count_size, &count, options, error);
    case 12: /* as where dbstat is missing */
        if (sqlpool__enter_chore(pool, "count", options, &chore, error) != SQLPOOL_OK)
            return error->result;
        (void)sqlpool__object_sizes(&chore, count_size, &count, false);
        return sqlpool__leave_chore(&chore);
    case 13:
        return migrate(pool, SQLPOOL_MIGRATE_DRY_RUN, 0, false, options, error);
    case 14:
        return migrate(pool, SQLPOOL_MIGRATE_RUN, 0, true, options, error);
    case 15:
        return migrate(pool, SQLPOOL_MIGRATE_RUN, SQLPOOL_OFF, false, options, error);
    case 16:
        return sqlpool_index_set_create(pool, &set, options, NULL, error);
    case 17:
        return sqlpool_index_set_drop(pool, &set, options, NULL, error);
    default:
        return sqlpool_fts5(pool, NULL, which - 18 < 2 ? which - 18 : SQLPOOL_FTS5_CHECK, options,
                            error);
    }
}

static unit_pool *acting;
static sqlpool_token token;
static void cancel_it(void) {
    (void)sqlpool_cancel(acting->pool, &token);
}
static void pass_time(void) {
    sim_clock_advance(&acting->clock, INT64_C(1000000000000000));
}

/*  Stopped before each of its statements, and then not stopped: the file is whole, and it works. */
static void stop_everywhere(int which, bool by_time) {
    const int expected = by_time ? SQLPOOL_TIMEOUT : SQLPOOL_CANCELLED;
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_maintenance options;
    sqlpool_error error;
    int stopped = 0;
    int64_t at;
    sim_remove_database("work.db");
    if (!run_raw("work.db", "PRAGMA auto_vacuum = INCREMENTAL; VACUUM") ||
        !run_raw("work.db", tables_sql) || !run_raw("work.db", "DELETE FROM two WHERE a > 20"))
        return;
    if (which == 14 &&
        !run_raw("work.db", "CREATE TABLE m1(a); CREATE TABLE m2(a); PRAGMA user_version = 2"))
        return;
    if (which >= 18 &&
        !run_raw("work.db",
                 "CREATE VIRTUAL TABLE f USING fts5(x); CREATE VIRTUAL TABLE g USING fts5(x);"
                 "INSERT INTO f VALUES('a'); INSERT INTO f VALUES('b')"))
        return;
    config.acquire_timeout_ms = SQLPOOL_FOREVER;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    PART(unit_open(&u, "work.db", &config));
    if (which == 15) CHECK_OK(migrate(u.pool, 0, 0, false, NULL, &u.error), &u.error);
    if (which == 17) CHECK_OK(operate(u.pool, 16, NULL, &u.error), &u.error);
    acting = &u;
    act_fn = by_time ? pass_time : cancel_it;
    for (at = 1; at < 400; at++) {
        int rc;
        memset(&token, 0, sizeof token);
        memset(&options, 0, sizeof options);
        memset(&error, 0, sizeof error);
        options.token = &token;
        options.timeout_ms = 100000000;
        steps = 0;
        act_at = at;
        rc = operate(u.pool, which, &options, &error);
        act_at = 0;
        if (rc != SQLPOOL_OK && rc != expected)
            test_fail(__FILE__, __LINE__, "work %d, statement %d: %d %s", which, (int)at, rc,
                      error.message);
        if (rc != SQLPOOL_OK && which == 4 && access("work.copy", F_OK) == 0)
            test_fail(__FILE__, __LINE__, "statement %d: a copy is left", (int)at);
        stopped += rc != SQLPOOL_OK;
        if (steps < at) break;
    }
    CHECK(at < 400 && stopped > 0);
    CHECK_OK(operate(u.pool, which, NULL, &u.error), &u.error);
    CHECK_OK(sqlpool_check(u.pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, NULL, &u.error), &u.error);
    CHECK_INT(ask(u.pool, "SELECT count(*) FROM one"), 80);
    CHECK_INT(ask(u.pool, "SELECT count(*) FROM sqlite_master WHERE name LIKE '%scratch%'"), 0);
    CHECK_INT(ask(u.pool, "PRAGMA query_only"), 1);
    CHECK_INT(ask(u.pool, "SELECT count(*) FROM sqlite_master WHERE name GLOB 'm[123]'"),
              which == 14 ? 3 : 0);
    unit_close(&u);
}
TEST(cancelled_before_any_statement) {
    int which;
    for (which = 0; which < (has_fts5() ? WORKS : 18); which++) PART(stop_everywhere(which, false));
}
TEST(out_of_time_before_any_statement) {
    int which;
    for (which = 0; which < (has_fts5() ? WORKS : 18); which++) PART(stop_everywhere(which, true));
}

/*---- other processes meanwhile ----*/

static const char *other_sql; /* NULL: it migrates */
static int other_rc;
static void *migrate_too(void *argument) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool *pool = NULL;
    config.acquire_timeout_ms = 1;
    config.open_retry_ms = 1;
    config.disable_upkeep_thread = true;
    other_rc = sqlpool_open(&pool, "work.db", &config, NULL);
    if (other_rc != SQLPOOL_OK) return argument;
    other_rc = migrate(pool, SQLPOOL_MIGRATE_RUN, 0, false, NULL, NULL);
    (void)sqlpool_close(pool, NULL);
    return argument;
}
static void do_other(void) {
    sqlite3 *db = NULL;
    if (other_sql == NULL) {
        pthread_t thread; /* one that is in no call of the library */
        act_at = 0;
        other_rc = SQLPOOL_NOMEM;
        if (pthread_create(&thread, NULL, migrate_too, NULL) == 0) (void)pthread_join(thread, NULL);
        return;
    }
    if (sqlite3_open("work.db", &db) == SQLITE_OK)
        other_rc = sqlite3_exec(db, other_sql, NULL, NULL, NULL);
    (void)sqlite3_close(db);
}
/*  `sql` of another connection before each statement; what results are seen, a bit each: 1 OK, 2
    SQLITE_ERROR, 4 any other; 8: the other one was refused. */
static int meanwhile(int which, const char *script, const char *sql, char *message, size_t bytes) {
    int64_t at;
    int seen = 0;
    for (at = 1; at < 300 && !test_failed_now; at++) {
        unit_pool u;
        sqlpool_config config = unit_config(&u, 1);
        sqlpool_error error;
        int rc;
        config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
        sim_remove_database("work.db");
        if (!run_raw("work.db", "PRAGMA auto_vacuum = INCREMENTAL; VACUUM") ||
            !run_raw("work.db", tables_sql) || !run_raw("work.db", script))
            return -1;
        unit_open(&u, "work.db", &config);
        if (test_failed_now) return -1;
        other_sql = sql;
        other_rc = SQLITE_OK;
        act_fn = do_other;
        steps = 0;
        act_at = at;
        memset(&error, 0, sizeof error);
        rc = operate(u.pool, which, NULL, &error);
        act_at = 0;
        seen |= rc == SQLPOOL_OK ? 1 : rc == SQLITE_ERROR ? 2 : 4;
        if (rc == SQLITE_ERROR) (void)snprintf(message, bytes, "%s", error.message);
        if (other_rc != SQLITE_OK) seen |= 8;
        if (sqlpool_check(u.pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, NULL, &error) != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "work %d, statement %d: %s", which, (int)at,
                      error.message);
        unit_close(&u);
        if (steps < at) break;
    }
    if (at >= 300) test_fail(__FILE__, __LINE__, "work %d does not end", which);
    return seen;
}

TEST(a_table_that_vanishes_meanwhile_is_named) {
    char message[1000] = "";
    int seen;
    seen = meanwhile(0, "SELECT 1", "DROP TABLE IF EXISTS one", message, sizeof message);
    CHECK_INT(seen & 1, 1);
    CHECK_INT(seen & 4, 0);
    if (sqlite3_libversion_number() < 3046000) /* from then on SQLite names the tables */
        CHECK_INT(seen & 2, 2);
    if ((seen & 2) != 0) CHECK_HAS(message, "no such table: main.one");
    seen = meanwhile(0, "ANALYZE", "DROP TABLE IF EXISTS one", message, sizeof message);
    CHECK_INT(seen & 1, 1);
    CHECK_INT(seen & 4, 0);
    if (sqlite3_libversion_number() < 3046000) CHECK_INT(seen & 2, 2);
    if ((seen & 2) != 0) CHECK_HAS(message, "no such table: main.one");
    seen = meanwhile(1, "SELECT 1", "DROP TABLE IF EXISTS two", message, sizeof message);
    CHECK_INT(seen & (1 | 2 | 4), 1 | 2);
    CHECK_HAS(message, "no such table");
    seen = meanwhile(5, "SELECT 1", "DROP INDEX IF EXISTS one_b", message, sizeof message);
    CHECK_INT(seen & (1 | 2 | 4), 1 | 2);
    CHECK_HAS(message, "unable to identify the object to be reindexed");
}

TEST(free_pages_that_others_take_are_not_waited_for) {
    char message[1000] = "";
    const int seen = meanwhile(3, "DELETE FROM one", "VACUUM", message, sizeof message);
    CHECK_INT(seen & (1 | 2 | 4), 1);
}

/*  The look says that there is something to do; when its turn comes, another one has done it. */
TEST(a_dry_run_after_another_process_has_migrated) {
    char message[1000] = "";
    const int seen = meanwhile(13, "SELECT 1", NULL, message, sizeof message);
    CHECK_INT(seen & (1 | 2 | 4), 1); /* nothing to do, or what it would have done */
}

/*---- an SQLite of another version ----*/

TEST(what_other_versions_can_do) {
    unit_pool u;
    sqlpool_maintenance options;
    sqlpool_error error;
    int64_t analyzed = -1;
    PART(begin_with_tables(&u, "versions.db"));
    version_now = 3031000; /* without analysis_limit: each row is read */
    CHECK_OK(sqlpool_analyze(u.pool, "one", 10, NULL, &error), &error);
    CHECK_INT(ask(u.pool, "SELECT CAST(stat AS INTEGER) FROM sqlite_stat1 WHERE idx = 'one_b'"),
              80);
    CHECK_INT(sqlpool_check(u.pool, SQLPOOL_CHECK_QUICK, "one", NULL, NULL, &error),
              SQLPOOL_UNSUPPORTED);
    CHECK_HAS(error.message, "PRAGMA quick_check takes no table \"one\"");
    version_now = 3033000;
    CHECK_OK(sqlpool_check(u.pool, SQLPOOL_CHECK_FOREIGN_KEYS, "two", NULL, NULL, &error), &error);
    version_now = 3046000; /* SQLite says itself what is stale */
    CHECK_OK(sqlpool_script(u.pool, "ANALYZE bare", -1, &error), &error);
    CHECK_OK(sqlpool_exec(u.pool, "UPDATE one SET b = 1 WHERE b = 'x' AND a > 7", NO_ARGS, &error),
             &error); /* it asks for the statistics, by the writer */
    CHECK_OK(sqlpool_optimize(u.pool, NULL, &analyzed, &error), &error);
    CHECK(analyzed >= 0 && analyzed <= 2);
    memset(&token, 0, sizeof token);
    memset(&options, 0, sizeof options);
    options.token = &token;
    CHECK_INT(sqlpool_cancel(u.pool, &token), SQLPOOL_OK);
    CHECK_INT(sqlpool_optimize(u.pool, &options, &analyzed, &error), SQLPOOL_CANCELLED);
    version_now = SQLITE_VERSION_NUMBER;
    unit_close(&u);
}

/*---- rows that SQLite does not give ----*/

static sqlite3 *plain;
static sqlite3_stmt *row_of(const char *sql) {
    sqlite3_stmt *row = NULL;
    if (sqlite3_prepare_v2(plain, sql, -1, &row, NULL) != SQLITE_OK ||
        sqlite3_step(row) != SQLITE_ROW)
        test_fail(__FILE__, __LINE__, "%s: %s", sql, sqlite3_errmsg(plain));
    return row;
}
#define ROW(call, sql) \
    do { \
        sqlite3_stmt *row = row_of(sql); \
        result = (call); \
        (void)sqlite3_finalize(row); \
    } while (0)

TEST(rows_that_are_empty_say_nothing) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_check_result found;
    sqlpool__check_findings findings;
    sqlpool_fts5_table table;
    sqlpool__chore chore;
    sqlpool__names names;
    sqlpool__walk walk;
    sqlpool__migrating m;
    sqlpool_migrate_config plan;
    sqlpool_error error;
    int result, told = 0;
    PART(unit_open(&u, ":memory:", &config));
    CHECK_INT(sqlite3_open(":memory:", &plain), SQLITE_OK);
    memset(&error, 0, sizeof error);
    CHECK_INT(sqlpool__chore_begin(&chore, u.core, "test", NULL, &error), SQLPOOL_OK);
    memset(&names, 0, sizeof names);
    ROW(sqlpool__take_name(&chore, row, &names), "SELECT NULL");
    CHECK_INT(result, SQLPOOL_OK);
    ROW(sqlpool__take_command(&chore, row, &names), "SELECT NULL");
    CHECK_INT(result, SQLPOOL_OK);
    ROW(sqlpool__take_command(&chore, row, &names), "SELECT 'PRAGMA \"main\".\"t\"'");
    CHECK_INT(result, SQLPOOL_OK);
    ROW(sqlpool__take_seen(&chore, row, &names), "SELECT NULL, 'x'");
    CHECK_INT(result, SQLPOOL_OK);
    ROW(sqlpool__take_seen(&chore, row, &names), "SELECT 'x', NULL");
    CHECK_INT(result, SQLPOOL_OK);
    ROW(sqlpool__take_fts5(&chore, row, &names),
        "SELECT NULL, 'CREATE VIRTUAL TABLE t USING fts5'");
    CHECK_INT(result, SQLPOOL_OK);
    ROW(sqlpool__take_fts5(&chore, row, &names), "SELECT 't', NULL");
    CHECK_INT(result, SQLPOOL_OK);
    ROW(sqlpool__take_fts5(&chore, row, &names), "SELECT 't', 'CREATE VIRTUAL TABLE t'");
    CHECK_INT(result, SQLPOOL_OK);
    CHECK_INT(names.count, 0);
    ROW(sqlpool__take_command(&chore, row, &names), "SELECT 'ANALYZE \"main\".\"we\"\"ird\"'");
    CHECK_INT(names.count, 1);
    CHECK_STR(names.text, "we\"ird");
    ROW(sqlpool__take_command(&chore, row, &names), "SELECT 'ANALYZE \"main\".\"we\"\"ird\"'");
    CHECK_INT(names.count, 1);
    sqlpool__names_free(u.core, &names);

    memset(&table, 0, sizeof table);
    table.automerge = 3;
    ROW(sqlpool__take_setting(&chore, row, &table), "SELECT NULL, 9");
    CHECK(result == SQLPOOL_OK && table.automerge == 3);
    memset(&found, 0, sizeof found);
    findings.result = &found;
    findings.text = sqlpool__text_into(found.text, sizeof found.text);
    ROW(sqlpool__take_problem(&chore, row, &findings), "SELECT NULL");
    CHECK_INT(found.problems, 0);
    ROW(sqlpool__take_problem(&chore, row, &findings),
        "SELECT '*** in database main ***' || char(10, 10) || 'a' || char(9) || 'b' || char(127)");
    CHECK_INT(found.problems, 1);
    CHECK_STR(found.text, "a?b?");
    ROW(sqlpool__take_orphan(&chore, row, &findings), "SELECT NULL, 7, NULL, 1");
    CHECK_HAS(found.text, "row 7 of ? has no parent in ? (foreign key 1)");

    memset(&walk, 0, sizeof walk);
    walk.fn = count_size;
    walk.user = &told;
    ROW(sqlpool__take_stat(&chore, row, &walk), "SELECT NULL, 1, 'leaf', 1, 1, 1, 1, 't', 0");
    ROW(sqlpool__take_stat(&chore, row, &walk), "SELECT 't', 1, NULL, 1, 1, 1, 1, 't', 0");
    ROW(sqlpool__count_object(&chore, row, &walk), "SELECT NULL, 't', 0, NULL");
    ROW(sqlpool__count_object(&chore, row, &walk), "SELECT 't', NULL, 0, NULL");
    CHECK(result == 0 && told == 0 && walk.name == NULL && walk.object.pages == 0);

    memset(&m, 0, sizeof m);
    memset(&plan, 0, sizeof plan);
    plan.steps = migrations;
    plan.step_count = 3;
    m.config = &plan;
    ROW(sqlpool__history_row(&chore, row, &m), "SELECT 1, NULL, 'x'");
    CHECK_INT(result, SQLITE_NOMEM);
    ROW(sqlpool__history_row(&chore, row, &m), "SELECT 1, 'one', NULL");
    CHECK_INT(result, SQLITE_NOMEM);
    CHECK_INT(sqlite3_close(plain), SQLITE_OK);
    unit_close(&u);
}

TEST(texts_at_their_ends) {
    static const char arguments[] = "(body, f(content, 'x'), content = \"the \"\"text\"), rest";
    static const char column[] = "(content, body)";
    static const struct {
        const char *a, *b;
        bool same;
    } spans[] = {{"a ! b", "a ! b", true}, {"a ! b", "a != b", false}, {"a != b", "a <> b", true}};
    const sqlpool__token content = sqlpool__find_content(arguments, arguments + strlen(arguments));
    char *name = sqlpool__plain_name(&content);
    size_t i;
    CHECK_STR(name, "the \"text");
    sqlite3_free(name);
    CHECK_INT(sqlpool__find_content(column, column + strlen(column)).bytes, 0);
    CHECK_INT(sqlpool__line_of("a\nb", 2), 2);
    CHECK_INT(sqlpool__line_of("a\nb", 100), 2); /* beyond its end */
    for (i = 0; i < LENGTH(spans); i++) {
        const sqlpool__span a = {spans[i].a, spans[i].a + strlen(spans[i].a)},
                            b = {spans[i].b, spans[i].b + strlen(spans[i].b)};
        CHECK_INT(sqlpool__same_span(&a, &b), spans[i].same);
    }
}

/*---- numbers ----*/

static int stop_progress(void *user, const sqlpool_progress *progress) {
    *(double *)user = progress->fraction;
    return 0;
}
TEST(a_bill_that_is_paid_after_decades_and_a_report_past_the_end) {
    unit_pool u;
    sqlpool_maintenance options;
    sqlpool__chore chore;
    sqlpool_error error;
    double fraction = -1;
    PART(unit_begin(&u, ":memory:", 1, NULL));
    memset(&error, 0, sizeof error);
    memset(&options, 0, sizeof options);
    options.io_bytes_per_s = 1;
    options.progress_fn = stop_progress;
    options.user = &fraction;
    CHECK_INT(sqlpool__chore_begin(&chore, u.core, "test", &options, &error), SQLPOOL_OK);
    chore.io_bytes = INT64_C(2000000000);
    CHECK_INT(sqlpool__chore_paid(&chore), chore.began_ns + INT64_C(1000000000000000000));
    chore.from = 0.75;
    chore.share = 0.5;
    CHECK_INT(sqlpool__chore_tell(&chore, 0.9, u.clock.now_ns), 0);
    CHECK(fraction == 1.0);
    CHECK_INT(sqlpool__chore_tick(&chore, 1, 2), SQLPOOL_OK);
    memset(&token, 0, sizeof token);
    chore.call.token = &token;
    CHECK_INT(sqlpool_cancel(u.pool, &token), SQLPOOL_OK);
    CHECK_INT(sqlpool__chore_tick(&chore, 1, 2), SQLPOOL_CANCELLED);
    chore.is_over = true; /* it was stopped: nothing is asked again */
    error.result = 70009;
    CHECK_INT(sqlpool__chore_tick(&chore, 2, 2), 70009);
    CHECK_INT(chore.progress.done, 1);
    unit_close(&u);
}

/*---- calls of SQLite that fail ----*/

TEST(what_may_pass_is_tried_again_so_often) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_error error;
    sqlpool_stats stats;
    config.retry_attempts = 3;
    if (!run_raw("retry.db", tables_sql)) return;
    PART(unit_open(&u, "retry.db", &config));
    fail_sql = "ANALYZE";
    fail_code = SQLITE_PROTOCOL;
    fail_count = 1;
    CHECK_OK(sqlpool_analyze(u.pool, "one", 0, NULL, &error), &error);
    CHECK_INT(sqlpool_get_stats(u.pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.retries, 1);
    fail_count = 100;
    CHECK_INT(sqlpool_analyze(u.pool, "one", 0, NULL, &error), SQLITE_PROTOCOL);
    CHECK_INT(fail_count, 97);
    fail_sql = NULL;
    CHECK_OK(sqlpool_analyze(u.pool, "one", 0, NULL, &error), &error);
    unit_close(&u);
}

TEST(settings_that_cannot_be_put_back_end_the_connection) {
    unit_pool u;
    sqlpool_error error;
    PART(begin_with_tables(&u, "settings.db"));
    (void)unlink("settings.copy");
    CHECK_INT(ask(u.pool, "PRAGMA query_only"), 1); /* its reader is open */
    fail_sql = "PRAGMA query_only=1";
    fail_code = SQLITE_ERROR;
    fail_count = 1;
    CHECK_OK(sqlpool_vacuum_into(u.pool, "settings.copy", NULL, &error), &error);
    CHECK_INT(fail_count, 0);
    CHECK_INT(ask(u.pool, "PRAGMA query_only"), 1); /* on a new one */
    fail_sql = "PRAGMA foreign_keys=1";
    fail_count = 1;
    CHECK_OK(migrate(u.pool, SQLPOOL_MIGRATE_RUN, 1, false, NULL, &error), &error);
    CHECK_INT(fail_count, 0);
    CHECK_INT(sqlpool_exec(u.pool, "INSERT INTO two(a) VALUES(100000)", NO_ARGS, &error),
              SQLITE_CONSTRAINT_FOREIGNKEY);
    fail_sql = "PRAGMA foreign_keys=0"; /* and one that cannot be switched off: nothing is run */
    fail_count = 1;
    CHECK_INT(migrate(u.pool, SQLPOOL_MIGRATE_RUN, 2, false, NULL, &error), SQLITE_ERROR);
    CHECK_INT(ask(u.pool, "PRAGMA user_version"), 1);
    undo_sql = "PRAGMA foreign_keys = 1"; /* it says that it was, and they are on */
    fail_count = 1;
    CHECK_INT(migrate(u.pool, SQLPOOL_MIGRATE_RUN, 2, false, NULL, &error), SQLPOOL_UNSUPPORTED);
    CHECK_HAS(error.message, "foreign_keys cannot be switched off");
    CHECK_INT(migrate(u.pool, SQLPOOL_MIGRATE_DRY_RUN, 2, false, NULL, &error), SQLPOOL_OK);
    fail_count = 1;
    CHECK_INT(migrate(u.pool, SQLPOOL_MIGRATE_DRY_RUN, 2, false, NULL, &error),
              SQLPOOL_UNSUPPORTED);
    CHECK_INT(ask(u.pool, "PRAGMA user_version"), 1);
    fail_sql = "PRAGMA foreign_keys=1";
    undo_sql = "PRAGMA foreign_keys = 0";
    fail_count = 1;
    CHECK_OK(migrate(u.pool, SQLPOOL_MIGRATE_RUN, 2, false, NULL, &error), &error);
    CHECK_INT(fail_count, 0);
    fail_sql = undo_sql = NULL;
    CHECK_INT(sqlpool_exec(u.pool, "INSERT INTO two(a) VALUES(100000)", NO_ARGS, &error),
              SQLITE_CONSTRAINT_FOREIGNKEY);
    unit_close(&u);
}

TEST(copies_where_the_file_system_is_not_known) {
    unit_pool u;
    sqlpool_error error;
    PART(begin_with_tables(&u, "known.db"));
    (void)unlink("known.copy");
    no_vfs = true;
    CHECK_INT(sqlpool_vacuum_into(u.pool, "known.copy", NULL, &error), SQLITE_ERROR);
    CHECK_HAS(error.message, "\"known.copy\" is no usable path");
    CHECK_INT(sqlpool__touch_file(u.core, "known.copy", true, NULL), SQLITE_ERROR);
    no_vfs = false;
    CHECK(access("known.copy", F_OK) != 0);
    CHECK_OK(sqlpool_vacuum_into(u.pool, "known.copy", NULL, &error), &error);
    CHECK_INT(access("known.copy", F_OK), 0);
    unit_close(&u);
}

/*  SQLite opens what it cannot make to read it: a file that came between the look and the open is
    somebody else's, and stays. */
static int see_no_copy(sqlite3_vfs *vfs, const char *path, int flags, int *out) {
    if (strstr(path, "theirs.copy") != NULL) {
        *out = 0;
        return SQLITE_OK;
    }
    return sqlite3_vfs_find(NULL)->xAccess(vfs, path, flags, out);
}
TEST(a_copy_takes_no_file_that_came_between) {
    static sqlite3_vfs vfs;
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_error error;
    struct stat before, after;
    int file;
    if (!run_raw("theirs.db", tables_sql)) return;
    vfs = *sqlite3_vfs_find(NULL);
    vfs.zName = "blind";
    vfs.xAccess = see_no_copy;
    CHECK_INT(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
    config.vfs_name = "blind";
    PART(unit_open(&u, "theirs.db", &config));
    file = open("theirs.copy", O_CREAT | O_WRONLY, 0600);
    CHECK(file >= 0);
    CHECK_INT(close(file), 0);
    CHECK_INT(stat("theirs.copy", &before), 0);
    CHECK_INT(sqlpool_vacuum_into(u.pool, "theirs.copy", NULL, &error), SQLITE_CANTOPEN);
    CHECK_INT(stat("theirs.copy", &after), 0);
    CHECK_INT(after.st_ino, before.st_ino);
    CHECK_INT(after.st_size, 0);
    unit_close(&u);
    CHECK_INT(sqlite3_vfs_unregister(&vfs), SQLITE_OK);
}

/*---- a module, a function that is missing ----*/

static int drop_modules(void *user, const sqlpool_conn *conn) {
    static const char *keep[] = {"pragma_module_list", NULL};
    sqlpool_conn own = *conn;
    (void)user;
    return sqlite3_drop_modules(sqlpool_conn_db(&own), keep);
}
TEST(full_text_tables_without_the_module) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_error error;
    if (!has_fts5() || !run_raw("module.db", "CREATE VIRTUAL TABLE f USING fts5(x);"
                                             "INSERT INTO f VALUES('a')"))
        return;
    no_option = true; /* it may have been loaded */
    PART(unit_open(&u, "module.db", &config));
    CHECK_OK(sqlpool_fts5(u.pool, NULL, SQLPOOL_FTS5_CHECK, NULL, &error), &error);
    acting = &u;
    act_fn = cancel_it;
    for (act_at = 1; act_at < 10; act_at++) {
        sqlpool_maintenance options;
        int rc;
        memset(&token, 0, sizeof token);
        memset(&options, 0, sizeof options);
        options.token = &token;
        steps = 0;
        rc = sqlpool_fts5(u.pool, NULL, SQLPOOL_FTS5_CHECK, &options, &error);
        CHECK(rc == SQLPOOL_OK || rc == SQLPOOL_CANCELLED);
    }
    act_at = 0;
    unit_close(&u);
    config = unit_config(&u, 1);
    config.events.connect_fn = drop_modules;
    PART(unit_open(&u, "module.db", &config));
    CHECK_INT(sqlpool_fts5(u.pool, NULL, SQLPOOL_FTS5_CHECK, NULL, &error), SQLPOOL_UNSUPPORTED);
    CHECK_HAS(error.message, "the module fts5 is not in this SQLite");
    no_option = false;
    unit_close(&u);
}

/*  Where a merge that was cut goes on, when the writer is somebody else's in between. */
TEST(a_merge_that_would_block_goes_on_where_it_was) {
    unit_pool u;
    sqlpool__chore chore;
    sqlpool_error error;
    sqlite3 *other = NULL;
    if (!has_fts5() || !run_raw("skip.db", "CREATE VIRTUAL TABLE f USING fts5(x);"
                                           "CREATE VIRTUAL TABLE g USING fts5(x);"
                                           "CREATE VIRTUAL TABLE h USING fts5(x)"))
        return;
    PART(unit_begin(&u, "skip.db", 1, NULL));
    PART(other = unit_other("skip.db", "BEGIN IMMEDIATE"));
    CHECK_OK(sqlpool__enter_chore(u.pool, "merge", NULL, &chore, &error), &error);
    chore.call.timeout_ms = SQLPOOL_NO_WAIT;
    chore.skip = 2;
    (void)sqlpool__fts5(&chore, NULL, SQLPOOL_FTS5_MERGE);
    CHECK_INT(sqlpool__leave_chore(&chore), SQLPOOL_WOULD_BLOCK);
    CHECK_INT(chore.skip, 2);
    CHECK_INT(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    CHECK_OK(sqlpool__enter_chore(u.pool, "merge", NULL, &chore, &error), &error);
    chore.call.timeout_ms = SQLPOOL_NO_WAIT;
    chore.skip = 2;
    (void)sqlpool__fts5(&chore, NULL, SQLPOOL_FTS5_MERGE);
    CHECK_INT(sqlpool__leave_chore(&chore), SQLPOOL_OK);
    CHECK_INT(chore.skip, 0); /* through: the next one begins with the first */
    unit_close(&u);
}

static void unknown(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count, (void)values;
    sqlite3_result_int(context, 1);
}
TEST(pages_of_an_index_whose_function_is_missing_cannot_be_counted) {
    unit_pool u;
    sqlpool__chore chore;
    sqlpool_error error;
    sqlite3 *db = NULL;
    int count = 0;
    CHECK_INT(sqlite3_open("missing.db", &db), SQLITE_OK);
    CHECK_INT(sqlite3_create_function(db, "unknown", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                      unknown, NULL, NULL),
              SQLITE_OK);
    CHECK_INT(sqlite3_exec(db,
                           "CREATE TABLE t(a); CREATE INDEX i ON t(a) WHERE unknown(a) = 1;"
                           "INSERT INTO t VALUES(1)",
                           NULL, NULL, NULL),
              SQLITE_OK);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    PART(unit_begin(&u, "missing.db", 1, NULL));
    CHECK_OK(sqlpool__enter_chore(u.pool, "count", NULL, &chore, &error), &error);
    CHECK_INT(sqlpool__object_sizes(&chore, count_size, &count, false), SQLITE_ERROR);
    CHECK_INT(sqlpool__leave_chore(&chore), SQLITE_ERROR);
    CHECK_HAS(error.message, "no such function: unknown");
    CHECK(count > 0);
    unit_close(&u);
}

/*  What was analyzed is told to every connection, also when the time is over right behind it. */
TEST(statistics_that_are_made_are_made_known) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_maintenance options;
    sqlpool_error error;
    int64_t at, version;
    sim_remove_database("known.db");
    if (!run_raw("known.db", tables_sql)) return;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    PART(unit_open(&u, "known.db", &config));
    CHECK_OK(sqlpool_analyze(u.pool, "one", 0, NULL, &error), &error);
    acting = &u;
    act_fn = cancel_it;
    for (at = 1; at < 100; at++) {
        int rc;
        CHECK(run_raw("known.db", "UPDATE sqlite_stat1 SET stat = 'old' WHERE tbl = 'one'"));
        version = ask(u.pool, "PRAGMA schema_version");
        memset(&token, 0, sizeof token);
        memset(&options, 0, sizeof options);
        options.token = &token;
        steps = 0;
        act_at = at;
        rc = sqlpool_analyze(u.pool, "one", 0, &options, &error);
        act_at = 0;
        CHECK(rc == SQLPOOL_OK || rc == SQLPOOL_CANCELLED);
        if (ask(u.pool, "SELECT count(*) FROM sqlite_stat1 WHERE stat = 'old'") == 0)
            CHECK(ask(u.pool, "PRAGMA schema_version") != version);
        if (steps < at) break;
    }
    CHECK(at < 100);
    unit_close(&u);
}

int main(void) {
    RUN(cancelled_before_any_statement);
    RUN(out_of_time_before_any_statement);
    RUN(a_table_that_vanishes_meanwhile_is_named);
    RUN(free_pages_that_others_take_are_not_waited_for);
    RUN(a_dry_run_after_another_process_has_migrated);
    RUN(what_other_versions_can_do);
    RUN(rows_that_are_empty_say_nothing);
    RUN(texts_at_their_ends);
    RUN(a_bill_that_is_paid_after_decades_and_a_report_past_the_end);
    RUN(what_may_pass_is_tried_again_so_often);
    RUN(settings_that_cannot_be_put_back_end_the_connection);
    RUN(copies_where_the_file_system_is_not_known);
    RUN(a_copy_takes_no_file_that_came_between);
    RUN(full_text_tables_without_the_module);
    RUN(a_merge_that_would_block_goes_on_where_it_was);
    RUN(pages_of_an_index_whose_function_is_missing_cannot_be_counted);
    RUN(statistics_that_are_made_are_made_known);
    return test_end();
}
