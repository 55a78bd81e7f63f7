/*  indexes.c - sets of indexes. SPDX-License-Identifier: MIT OR Unlicense */
#include "api.h"

static sqlpool_error err;

#define TABLES \
    "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, mail TEXT, age INT, " \
    "\"or der\" TEXT);" \
    "CREATE TABLE events(id INTEGER PRIMARY KEY, user_id INT, kind TEXT, at INT);"

static const char *const every_kind[] = {
    "CREATE UNIQUE INDEX users_mail ON users(mail)",
    "CREATE INDEX users_adults ON users(age, name) WHERE age >= 18",
    "CREATE INDEX users_lower ON users(lower(name), substr(mail, 1, 3))",
    "CREATE INDEX events_recent ON events(user_id, at DESC)",
    "CREATE INDEX users_name ON users(name COLLATE RTRIM)",
    ("CREATE UNIQUE INDEX IF NOT EXISTS events_once ON events(user_id, kind) WHERE kind IS NOT "
     "NULL;")};
enum { KINDS = sizeof every_kind / sizeof *every_kind };

static sqlpool_index_set set_of(const char *const *indexes, int count) {
    sqlpool_index_set set;
    memset(&set, 0, sizeof set);
    set.name = "queries";
    set.indexes = indexes;
    set.index_count = count;
    return set;
}

TEST(made_and_dropped_as_often_as_one_likes) {
    const sqlpool_index_set set = set_of(every_kind, KINDS);
    sqlpool_index_report reports[KINDS];
    int64_t schema;
    int i, round;
    sqlpool *pool = open_pool("often.db", NULL, TABLES);
    CHECK(pool != NULL);
    for (round = 0; round < 2; round++) {
        CHECK_RC(sqlpool_index_set_check(pool, &set, reports, &err), SQLPOOL_NOT_FOUND, &err);
        CHECK_HAS(err.message,
                  "index \"users_mail\" is missing: sqlpool_index_set_create() makes it");
        for (i = 0; i < KINDS; i++) {
            CHECK_INT(reports[i].state, SQLPOOL_INDEX_MISSING);
            CHECK(!reports[i].is_changed);
        }
        CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, reports, &err), &err);
        for (i = 0; i < KINDS; i++) {
            CHECK_INT(reports[i].state, SQLPOOL_INDEX_EXISTS);
            CHECK(reports[i].is_changed);
        }
        CHECK_STR(reports[3].name, "events_recent");
        CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE type = 'index'"), KINDS);
        CHECK_OK(sqlpool_index_set_check(pool, &set, reports, &err), &err);
        schema = ask(pool, "PRAGMA schema_version");
        CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, reports, &err), &err);
        for (i = 0; i < KINDS; i++)
            CHECK(reports[i].state == SQLPOOL_INDEX_EXISTS && !reports[i].is_changed);
        CHECK_INT(ask(pool, "PRAGMA schema_version"), schema);
        CHECK_OK(sqlpool_index_set_drop(pool, &set, NULL, reports, &err), &err);
        for (i = 0; i < KINDS; i++)
            CHECK(reports[i].state == SQLPOOL_INDEX_MISSING && reports[i].is_changed);
        CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE type = 'index'"), 0);
        schema = ask(pool, "PRAGMA schema_version");
        CHECK_OK(sqlpool_index_set_drop(pool, &set, NULL, NULL, &err), &err);
        CHECK_INT(ask(pool, "PRAGMA schema_version"), schema);
    }
    /* some are there, and the caller wants no reports */
    CHECK_OK(sqlpool_exec(pool, every_kind[2], SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), &err);
    CHECK_OK(sqlpool_index_set_check(pool, &set, NULL, &err), &err);
    close_pool(pool);
}

/*  The index that is there, and how the set writes it. */
TEST(definitions_are_compared_by_what_they_mean) {
    static const struct {
        const char *there, *wanted;
        const char *detail; /* NULL: the same */
    } cases[] = {
        {"CREATE INDEX i ON users(mail, age)",
         "create  index\n\"I\" on `Users` ( [MAIL] , 'age' ) -- same", NULL},
        {"CREATE INDEX i ON users(mail)", "CREATE INDEX i ON users(mail ASC)", NULL},
        {"CREATE INDEX i ON users(mail)", "CREATE INDEX i ON users((mail))", NULL},
        {"CREATE INDEX i ON users(mail)", "CREATE INDEX i ON users(mail COLLATE binary)", NULL},
        {"CREATE INDEX i ON users(name)", "CREATE INDEX i ON users(name COLLATE NoCase ASC)", NULL},
        {"CREATE INDEX i ON users(\"or der\")", "CREATE INDEX i ON users([or der])", NULL},
        {"CREATE INDEX i ON users(age) WHERE age > 3",
         "CREATE INDEX i ON users(age) WHERE ((AGE /* x */ > 3));", NULL},
        {"CREATE INDEX i ON users(age) WHERE age <> 3",
         "CREATE INDEX i ON users(age) WHERE age != 3", NULL},
        {"CREATE INDEX i ON users(age) WHERE mail = 'a;b'",
         "CREATE INDEX i ON users(age) WHERE \"mail\" == 'a;b'", NULL},
        {"CREATE INDEX i ON users(lower(name) DESC)",
         "CREATE INDEX i ON users(LOWER ( `name` ) desc)", NULL},
        {"CREATE INDEX i ON users((age + 1) COLLATE NOCASE)",
         "CREATE INDEX i ON users(((age+1)) COLLATE nocase)", NULL},
        {"CREATE INDEX i ON users(mail)", "CREATE UNIQUE INDEX i ON users(mail)",
         "there it is not unique"},
        {"CREATE UNIQUE INDEX i ON users(mail)", "CREATE INDEX i ON users(mail)",
         "there it is unique"},
        {"CREATE INDEX i ON events(kind)", "CREATE INDEX i ON users(mail)",
         "there it is on table events"},
        {"CREATE INDEX i ON users(mail, age)", "CREATE INDEX i ON users(age, mail)",
         "there column 1 is mail"},
        {"CREATE INDEX i ON users(mail, age)", "CREATE INDEX i ON users(mail)",
         "there it has more columns"},
        {"CREATE INDEX i ON users(mail)", "CREATE INDEX i ON users(mail, age)",
         "there it has fewer columns"},
        {"CREATE INDEX i ON users(mail, age DESC)", "CREATE INDEX i ON users(mail, age)",
         "there column 2 is age DESC"},
        {"CREATE INDEX i ON users(name)", "CREATE INDEX i ON users(name COLLATE BINARY)",
         "there column 1 is name"},
        {"CREATE INDEX i ON users(mail COLLATE NOCASE)", "CREATE INDEX i ON users(mail)",
         "there column 1 is mail COLLATE NOCASE"},
        {"CREATE INDEX i ON users(lower(name))", "CREATE INDEX i ON users(upper(name))",
         "there column 1 is lower(name)"},
        {"CREATE INDEX i ON users(name || 'A')", "CREATE INDEX i ON users(name || 'a')",
         "there column 1 is name || 'A'"},
        {"CREATE INDEX i ON users(lower(name))", "CREATE INDEX i ON users(name)",
         "there column 1 is lower(name)"},
        {"CREATE INDEX i ON users(age) WHERE age > 3", "CREATE INDEX i ON users(age)",
         "there it is WHERE age > 3"},
        {"CREATE INDEX i ON users(age)", "CREATE INDEX i ON users(age) WHERE age > 3",
         "there it has no WHERE"},
        {"CREATE INDEX i ON users(age) WHERE age > 3", "CREATE INDEX i ON users(age) WHERE age > 4",
         "there it is WHERE age > 3"},
        {"CREATE INDEX i ON users(age) WHERE age < 3", "CREATE INDEX i ON users(age) WHERE age<3",
         NULL},
        {"CREATE INDEX i ON users(age) WHERE age < 3",
         "CREATE INDEX i ON users(age) WHERE age <= 3", "there it is WHERE age < 3"},
        {"CREATE INDEX i ON users(age) WHERE age < 3",
         "CREATE INDEX i ON users(age) WHERE age <> 3", "there it is WHERE age < 3"},
        {"CREATE INDEX i ON users(substr(mail, 1, 11111111111111111111111111111111111111111111) || "
         "'22222222222222222222222222222222222222222222222222222222222222222222222222222222')",
         "CREATE INDEX i ON users(lower(mail))",
         "there column 1 is substr(mail, 1, 11111111111111111111111111111111111111111111) || "
         "'22222222222222222222222222222222222222222222222222222"},
        {"CREATE TABLE i(a)", "CREATE INDEX i ON users(age)", "there it is a table"},
    };
    int i;
    sqlpool *pool = open_pool("compare.db", NULL, TABLES);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(cases); i++) {
        const sqlpool_index_set set = set_of(&cases[i].wanted, 1);
        sqlpool_index_report report;
        CHECK_OK(sqlpool_exec(pool, cases[i].there, SQLPOOL_NO_ARGS, &err), &err);
        if (cases[i].detail == NULL) {
            CHECK_OK(sqlpool_index_set_check(pool, &set, &report, &err), &err);
            CHECK_INT(report.state, SQLPOOL_INDEX_EXISTS);
            CHECK_STR(report.detail, "");
        } else {
            CHECK_RC(sqlpool_index_set_check(pool, &set, &report, &err), SQLPOOL_INDEX_MISMATCH,
                     &err);
            CHECK_INT(report.state, SQLPOOL_INDEX_DIFFERS);
            CHECK_STR(report.detail, cases[i].detail);
            CHECK_HAS(err.message, cases[i].detail);
            CHECK_HAS(err.message, "set replace, or give it another name");
        }
        CHECK_OK(sqlpool_script(pool,
                                strstr(cases[i].there, "TABLE") != NULL ? "DROP TABLE i"
                                                                        : "DROP INDEX i",
                                -1, &err),
                 &err);
        /* and what the set says is an index that, once made, is the same */
        CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, &report, &err), &err);
        CHECK_INT(report.state, SQLPOOL_INDEX_EXISTS);
        CHECK_OK(sqlpool_index_set_drop(pool, &set, NULL, NULL, &err), &err);
    }
    close_pool(pool);
}

TEST(one_that_differs_stops_all_or_is_replaced) {
    sqlpool_index_set set = set_of(every_kind, KINDS);
    sqlpool_index_report reports[KINDS];
    int i;
    sqlpool *pool =
        open_pool("replace.db", NULL, TABLES "CREATE INDEX events_recent ON events(user_id, at);");
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_index_set_create(pool, &set, NULL, reports, &err), SQLPOOL_INDEX_MISMATCH,
             &err);
    CHECK_HAS(err.message,
              "index \"events_recent\" is there with another definition (there column 2 is at)");
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE type = 'index'"), 1);
    for (i = 0; i < KINDS; i++)
        CHECK_INT(reports[i].state, i == 3 ? SQLPOOL_INDEX_DIFFERS : SQLPOOL_INDEX_MISSING);
    set.replace = true;
    CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, reports, &err), &err);
    CHECK(reports[3].is_changed && reports[3].state == SQLPOOL_INDEX_EXISTS);
    CHECK_INT(
        ask(pool, "SELECT sql LIKE '%at DESC%' FROM sqlite_master WHERE name = 'events_recent'"),
        1);
    /* dropped by name, whatever it is */
    CHECK_OK(sqlpool_script(pool,
                            "DROP INDEX events_recent; CREATE INDEX events_recent ON events(at)",
                            -1, &err),
             &err);
    CHECK_OK(sqlpool_index_set_drop(pool, &set, NULL, reports, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE type = 'index'"), 0);
    /* but no table of that name */
    CHECK_OK(sqlpool_script(pool, "CREATE TABLE events_recent(a)", -1, &err), &err);
    CHECK_OK(sqlpool_index_set_drop(pool, &set, NULL, reports, &err), &err);
    CHECK_INT(reports[3].state, SQLPOOL_INDEX_DIFFERS);
    CHECK_INT(ask(pool, "SELECT count(*) FROM events_recent"), 0);
    CHECK_RC(sqlpool_index_set_create(pool, &set, NULL, reports, &err), SQLITE_ERROR, &err);
    CHECK_HAS(
        err.message,
        "index \"events_recent\" of set \"queries\": there is already a table named events_recent");
    CHECK(reports[2].is_changed && reports[2].state == SQLPOOL_INDEX_EXISTS);
    CHECK_INT(reports[4].state, SQLPOOL_INDEX_MISSING);
    close_pool(pool);
}

TEST(tables_and_columns_that_are_renamed) {
    static const char *const indexes[] = {
        "CREATE INDEX by_name ON people(full_name, age) WHERE full_name <> ''"};
    const sqlpool_index_set set = set_of(indexes, 1);
    sqlpool *pool = open_pool(
        "renamed.db", NULL,
        TABLES
        "CREATE INDEX by_name ON users(name, age) WHERE name <> '';"
        "ALTER TABLE users RENAME COLUMN name TO full_name; ALTER TABLE users RENAME TO people;");
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT sql LIKE '%\"people\"%' FROM sqlite_master WHERE name = 'by_name'"),
              1);
    CHECK_OK(sqlpool_index_set_check(pool, &set, NULL, &err), &err);
    close_pool(pool);
}

TEST(rows_in_the_way_of_a_unique_index) {
    static const char *const indexes[] = {"CREATE INDEX first ON users(age)",
                                          "CREATE UNIQUE INDEX second ON users(mail)",
                                          "CREATE INDEX third ON users(name)"};
    const sqlpool_index_set set = set_of(indexes, 3);
    sqlpool_index_report reports[3];
    sqlpool *pool =
        open_pool("unique.db", NULL, TABLES "INSERT INTO users(mail) VALUES('a'), ('b'), ('a');");
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_index_set_create(pool, &set, NULL, reports, &err), SQLITE_CONSTRAINT_UNIQUE,
             &err);
    CHECK_HAS(err.message,
              "index \"second\" of set \"queries\": UNIQUE constraint failed: users.mail");
    CHECK_HAS(err.message, "rows with the same values are in the way");
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(reports[0].state, SQLPOOL_INDEX_EXISTS);
    CHECK_INT(reports[1].state, SQLPOOL_INDEX_MISSING);
    CHECK_INT(reports[2].state, SQLPOOL_INDEX_MISSING);
    CHECK_OK(sqlpool_exec(pool, "UPDATE users SET mail = id", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, reports, &err), &err);
    CHECK(!reports[0].is_changed && reports[1].is_changed && reports[2].is_changed);
    close_pool(pool);
}

/*---- others have their turn ----*/

typedef struct turns {
    sqlpool *pool;
    sqlite3 *other;
    int calls, writes, stop_at;
    char told[400];
    double fraction;
} turns;
static void *write_one(void *argument) {
    turns *t = (turns *)argument;
    sqlpool_call call;
    memset(&call, 0, sizeof call);
    call.timeout_ms = SQLPOOL_NO_WAIT;
    t->writes += sqlpool_exec_with(t->pool, &call, NULL, "INSERT INTO users(age) VALUES(1)",
                                   SQLPOOL_NO_ARGS, NULL) == SQLPOOL_OK;
    return NULL;
}
/*  Between two indexes nobody holds the writer or SQLite's write lock: another thread, and another
    connection, write without waiting. */
static int take_turns(void *user, const sqlpool_progress *progress) {
    turns *t = (turns *)user;
    const size_t length = strlen(t->told);
    pthread_t thread;
    (void)snprintf(t->told + length, sizeof t->told - length, "%s %s %d/%d; ", progress->operation,
                   progress->object, (int)progress->done, (int)progress->total);
    if (progress->fraction < t->fraction || strcmp(progress->unit, "indexes") != 0)
        t->writes = -1000;
    t->fraction = progress->fraction;
    if (start_thread(&thread, write_one, t)) (void)pthread_join(thread, NULL);
    (void)sqlite3_busy_timeout(t->other, 0);
    t->writes +=
        sqlite3_exec(t->other, "INSERT INTO users(age) VALUES(2)", NULL, NULL, NULL) == SQLITE_OK;
    return ++t->calls == t->stop_at ? 4712 : 0;
}

TEST(others_write_between_two_indexes) {
    const sqlpool_index_set set = set_of(every_kind, 4);
    sqlpool_index_report reports[4];
    turns t = {0};
    sqlpool_maintenance options = told_to(take_turns, &t, NONE_INSIDE);
    sqlpool *pool = open_pool(
        "turns.db", NULL,
        TABLES "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
               "INSERT INTO users(name, mail, age) SELECT 'n' || i, i, i FROM n;");
    CHECK(pool != NULL);
    t.pool = pool;
    t.other = raw_open("turns.db");
    CHECK(t.other != NULL);
    options.pause_ms = 1;
    t.stop_at = 3;
    CHECK_RC(sqlpool_index_set_create(pool, &set, &options, reports, &err), 4712, &err);
    CHECK_HAS(err.message, "stopped by its callback, which returned 4712");
    CHECK_STR(t.told, "create indexes users_mail 0/4; create indexes users_adults 1/4; create "
                      "indexes users_lower 2/4; ");
    CHECK_INT(t.writes, 6);
    CHECK_INT(reports[1].state, SQLPOOL_INDEX_EXISTS);
    CHECK_INT(reports[2].state, SQLPOOL_INDEX_MISSING);
    memset(t.told, 0, sizeof t.told);
    t.fraction = 0;
    t.stop_at = 0;
    CHECK_OK(sqlpool_index_set_create(pool, &set, &options, reports, &err), &err);
    CHECK_STR(
        t.told,
        "create indexes users_lower 0/2; create indexes events_recent 1/2; create indexes  2/2; ");
    CHECK_INT(t.writes, 12);
    memset(t.told, 0, sizeof t.told);
    t.fraction = 0;
    CHECK_OK(sqlpool_index_set_drop(pool, &set, &options, NULL, &err), &err);
    CHECK_STR(t.told, "drop indexes users_mail 0/4; drop indexes users_adults 1/4; drop indexes "
                      "users_lower 2/4; drop "
                      "indexes events_recent 3/4; drop indexes  4/4; ");
    CHECK_INT(t.writes, 22);
    (void)sqlite3_close(t.other);
    close_pool(pool);
}

/*  A long one says how far it is, and can be stopped there. */
typedef struct inside {
    int between, stop;
    double last;
} inside;
static int tell_inside(void *user, const sqlpool_progress *progress) {
    inside *in = (inside *)user;
    if (progress->fraction < in->last || progress->fraction > 1) in->between = -1000000;
    in->last = progress->fraction;
    if (progress->fraction > 0 && progress->fraction < 1 &&
        strcmp(progress->object, "users_mail") == 0)
        in->between++;
    return in->stop && in->between > 0 ? 4713 : 0;
}
TEST(progress_inside_an_index) {
    const sqlpool_index_set set = set_of(every_kind, 1);
    sqlpool_index_report report;
    inside in = {0, 1, 0};
    const sqlpool_maintenance options = told_to(tell_inside, &in, 1);
    sqlpool *pool = open_pool(
        "inside.db", NULL,
        TABLES "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
               "INSERT INTO users(mail) SELECT hex(randomblob(8)) || i FROM n;");
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_index_set_create(pool, &set, &options, &report, &err), 4713, &err);
    CHECK_INT(report.state, SQLPOOL_INDEX_MISSING);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE type = 'index'"), 0);
    in.stop = 0;
    in.last = in.between = 0;
    CHECK_OK(sqlpool_index_set_create(pool, &set, &options, &report, &err), &err);
    CHECK(in.between > 1 && in.last == 1);
    close_pool(pool);
}

/*  Another one that holds the lock, or has made the index meanwhile. */
static int make_it(void *user, const sqlpool_progress *progress) {
    sqlite3 *other = (sqlite3 *)user;
    return progress->done == 0 && !raw_exec(other, every_kind[0]) ? 1 : 0;
}
static int make_another(void *user, const sqlpool_progress *progress) {
    sqlite3 *other = (sqlite3 *)user;
    return progress->done == 0 && !raw_exec(other, "CREATE INDEX users_mail ON users(age)") ? 1 : 0;
}
static void count_made(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)level;
    if (item == SQLPOOL_LOG_MIGRATION && strstr(message, "\" made in ") != NULL) ++*(int *)user;
}
TEST(another_process_at_the_same_time) {
    const sqlpool_index_set set = set_of(every_kind, 2);
    sqlpool_index_report reports[2];
    sqlpool_maintenance options;
    sqlpool_token token = {0};
    sqlpool_config config = sqlpool_config_default();
    sqlite3 *other;
    sqlpool *pool;
    int made = 0;
    config.log.write_fn = count_made;
    config.log.user = &made;
    pool = open_pool("same.db", &config, TABLES);
    CHECK(pool != NULL);
    other = raw_open("same.db");
    CHECK(other != NULL && raw_exec(other, "BEGIN IMMEDIATE"));
    memset(&options, 0, sizeof options);
    options.timeout_ms = 100;
    CHECK_RC(sqlpool_index_set_create(pool, &set, &options, reports, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_HAS(err.message, "index \"users_mail\" of set \"queries\": the deadline passed");
    CHECK_RC(sqlpool_index_set_check(pool, &set, reports, &err), SQLPOOL_NOT_FOUND, &err);
    options.timeout_ms = 0;
    options.token = &token;
    CHECK_INT(sqlpool_cancel(pool, &token), SQLPOOL_OK);
    CHECK_RC(sqlpool_index_set_create(pool, &set, &options, reports, &err), SQLPOOL_CANCELLED,
             &err);
    options.token = NULL;
    CHECK(raw_exec(other, "ROLLBACK"));
    options.progress_ms = 1000000; /* none inside */
    options.progress_fn = make_it;
    options.user = other;
    CHECK_OK(sqlpool_index_set_create(pool, &set, &options, reports, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE type = 'index'"), 2);
    CHECK(!reports[0].is_changed && reports[1].is_changed);
    CHECK_INT(made, 1); /* of what it has not made it says nothing */
    CHECK_OK(sqlpool_index_set_drop(pool, &set, NULL, NULL, &err), &err);
    CHECK_INT(raw_ask(other, "SELECT count(*) FROM sqlite_master WHERE type = 'index'"), 0);
    options.progress_fn = make_another;
    CHECK_RC(sqlpool_index_set_create(pool, &set, &options, reports, &err), SQLPOOL_INDEX_MISMATCH,
             &err);
    CHECK_HAS(err.message,
              "index \"users_mail\" is there with another definition (there it is not unique)");
    CHECK_INT(reports[0].state, SQLPOOL_INDEX_DIFFERS);
    CHECK_INT(reports[1].state, SQLPOOL_INDEX_MISSING);
    (void)sqlite3_close(other);
    close_pool(pool);
}

/*  Index and statistics come with one commit: the plan of a reader changes with its next statement,
    and needs the statistics to choose between two. */
static int
steps_of(sqlpool_conn *conn) { /* of the virtual machine, for one row by two conditions */
    sqlite3_stmt *statement = NULL;
    int steps = -1;
    if (sqlpool_conn_stmt(conn, "SELECT id FROM users WHERE age = 7 AND name = 'n7'", &statement,
                          NULL) == SQLPOOL_OK &&
        sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1) >= 0 &&
        sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) == 7 &&
        sqlite3_step(statement) == SQLITE_DONE)
        steps = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 0);
    (void)sqlpool_conn_stmt_release(conn, statement);
    return steps;
}
TEST(every_reader_plans_with_the_statistics) {
    /* by age all rows are alike: without statistics the first of the two is as good as the other */
    static const char *const poor[] = {"CREATE INDEX poor ON users(age)"};
    static const char *const good[] = {"CREATE INDEX good ON users(name)"};
    sqlpool_index_set set = set_of(poor, 1);
    sqlpool_config config = config_of(3);
    sqlpool_conn readers[3];
    int i;
    sqlpool *pool = open_pool(
        "plans.db", &config,
        TABLES "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
               "INSERT INTO users(name, age) SELECT 'n' || i, 7 FROM n;");
    CHECK(pool != NULL);
    for (i = 0; i < 3; i++)
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &readers[i], &err), &err);
    for (i = 0; i < 3; i++) CHECK(steps_of(&readers[i]) > 2000);
    CHECK_INT(sqlpool_conn_release(&readers[2]), SQLPOOL_OK);
    CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), &err);
    set = set_of(good, 1);
    CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_stat1 WHERE idx IN ('poor', 'good')"), 2);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &readers[2], &err), &err);
    for (i = 0; i < 3; i++) {
        CHECK(steps_of(&readers[i]) > 0 && steps_of(&readers[i]) < 100);
        CHECK_INT(sqlpool_conn_release(&readers[i]), SQLPOOL_OK);
    }
    CHECK_OK(sqlpool_index_set_drop(pool, &set, NULL, NULL, &err), &err);
    set.keep_statistics = true;
    CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_stat1 WHERE idx = 'good'"), 0);
    close_pool(pool);
}

/*---- bad input ----*/

TEST(texts_that_are_no_index) {
    static const struct {
        const char *sql, *says;
    } cases[] = {
        {NULL, "indexes[1]: it is NULL"},
        {"", "indexes[1]: it does not begin with CREATE INDEX"},
        {"DROP TABLE users", "it does not begin with CREATE INDEX"},
        {"CREATE TABLE x(a)", "it does not begin with CREATE INDEX"},
        {"CREATE UNIQUE x ON users(a)", "it does not begin with CREATE INDEX"},
        {"CREATE INDEX", "it has no name"},
        {"CREATE INDEX (a)", "it has no name"},
        {"CREATE INDEX IF NOT EXISTS", "it has no name"},
        {"CREATE INDEX main.x ON users(mail)", "its name has a schema"},
        {"CREATE INDEX x ON users;", "its columns must stand in parentheses"},
        {"CREATE INDEX x users(mail)", "ON and a table must follow its name"},
        {"CREATE INDEX x ON", "ON and a table must follow its name"},
        {"CREATE INDEX x ON users", "its columns must stand in parentheses"},
        {"CREATE INDEX x ON users(lower(mail)", "its columns must stand in parentheses"},
        {"CREATE INDEX x ON users(mail) USING btree", "something else follows its columns"},
        {"CREATE INDEX x ON users(mail); DROP TABLE users", "another statement follows it"},
        {"CREATE INDEX x ON users(mail) WHERE mail > 3; DROP TABLE users",
         "another statement follows it"},
    };
    sqlpool_index_report reports[2];
    sqlpool_index_set set;
    sqlpool_maintenance options;
    int i;
    sqlpool *pool = open_pool("texts.db", NULL, TABLES);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(cases); i++) {
        const char *indexes[2] = {every_kind[0], NULL};
        indexes[1] = cases[i].sql;
        set = set_of(indexes, 2);
        CHECK_RC(sqlpool_index_set_create(pool, &set, NULL, reports, &err), SQLPOOL_MISUSE, &err);
        CHECK_HAS(err.message, cases[i].says);
        CHECK_STR(reports[0].name, "users_mail"); /* nothing was done for it yet */
        CHECK_INT(reports[0].state, SQLPOOL_INDEX_MISSING);
        CHECK_RC(sqlpool_index_set_check(pool, &set, reports, &err), SQLPOOL_MISUSE, &err);
        CHECK_RC(sqlpool_index_set_drop(pool, &set, NULL, reports, &err), SQLPOOL_MISUSE, &err);
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE type = 'index'"), 0);
    set = set_of(every_kind, -1);
    CHECK_RC(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    set = set_of(NULL, 1);
    CHECK_RC(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_index_set_create(pool, NULL, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_index_set_create(NULL, &set, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    set = set_of(NULL, 0);
    CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), &err);
    memset(&options, 0, sizeof options);
    options.pause_ms = -1;
    CHECK_RC(sqlpool_index_set_create(pool, &set, &options, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "pause_ms -1");
    {
        static const char *const nowhere[] = {"CREATE INDEX x ON nowhere(a)"};
        set = set_of(nowhere, 1);
        set.name = NULL;
        CHECK_RC(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), SQLITE_ERROR, &err);
        CHECK_HAS(err.message, "index \"x\": no such table: main.nowhere");
        CHECK_RC(sqlpool_index_set_check(pool, &set, NULL, &err), SQLPOOL_NOT_FOUND, &err);
        CHECK_OK(sqlpool_index_set_drop(pool, &set, NULL, NULL, &err), &err);
    }
    close_pool(pool);
}

TEST(names_of_every_kind) {
    static const char *const indexes[] = {
        "CREATE INDEX \"a \"\"quoted\"\" one\" ON \"t\"\"a;ble\"(\"col\numn\")",
        "CREATE INDEX [x]] ON `t\"a;ble`(`back``tick` DESC)",
        "CREATE INDEX \xc3\xbc\xe4\xba\xba\xf0\x9f\x98\x80 ON \"t\"\"a;ble\"(\xc3\xa4)",
        "CREATE INDEX 'text''s' ON \"t\"\"a;ble\"([col\numn], \xc3\xa4)",
        "CREATE INDEX \"two\nlines\" ON \"t\"\"a;ble\"(\"back`tick\")",
        "CREATE INDEX "
        "\"x_123456789_123456789_123456789_123456789_123456789_123456789_123456789_123456789\" ON "
        "\"t\"\"a;ble\"(\xc3\xa4)"};
    static const char *const table[] = {
        "CREATE TABLE \"t\"\"a;ble\"(\"col\numn\", \"back`tick\", \xc3\xa4)"};
    sqlpool_index_set set = set_of(indexes, LENGTH(indexes));
    sqlpool_index_report reports[LENGTH(indexes)];
    int i;
    sqlpool *pool = open_pool("names.db", NULL, table[0]);
    CHECK(pool != NULL);
    set.indexes = indexes;
    CHECK_RC(sqlpool_index_set_create(pool, &set, NULL, reports, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "indexes[1]"); /* a bracket cannot be quoted in brackets */
    set.indexes = indexes + 2;
    set.index_count = 4;
    CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, reports, &err), &err);
    set.indexes = indexes;
    set.index_count = 1;
    CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, reports, &err), &err);
    CHECK_STR(reports[0].name, "a \"quoted\" one");
    CHECK_INT(ask(pool,
                  "SELECT count(*) FROM sqlite_master WHERE name IN ('a \"quoted\" one', "
                  "'text''s', 'two' || "
                  "char(10) || 'lines') OR length(name) > 60 OR name GLOB '*\xf0\x9f\x98\x80'"),
              5);
    set.indexes = indexes + 2;
    set.index_count = 4;
    CHECK_OK(sqlpool_index_set_check(pool, &set, reports, &err), &err);
    for (i = 0; i < 4; i++) CHECK(strchr(reports[i].name, '\n') == NULL);
    CHECK(strlen(reports[3].name) == 63 && strcmp(reports[3].name + 60, "...") == 0);
    CHECK_OK(sqlpool_index_set_drop(pool, &set, NULL, reports, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE type = 'index'"), 1);
    close_pool(pool);
}

TEST(pools_of_every_kind) {
    int i;
    for (i = 0; i < 5; i++) {
        static const char *const paths[] = {":memory:", "kind1.db", "kind2.db", "kind3.db",
                                            "kind4.db"};
        const sqlpool_index_set set = set_of(every_kind, KINDS);
        sqlpool_config config = config_of_kind(i);
        sqlpool *pool = open_pool(paths[i], &config, TABLES);
        CHECK(pool != NULL);
        CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), &err);
        CHECK_OK(sqlpool_index_set_check(pool, &set, NULL, &err), &err);
        CHECK_OK(sqlpool_index_set_drop(pool, &set, NULL, NULL, &err), &err);
        close_pool(pool);
        if (i == 0) continue;
        config.read_only = true;
        pool = open_pool(paths[i], &config, NULL);
        CHECK(pool != NULL);
        CHECK_RC(sqlpool_index_set_check(pool, &set, NULL, &err), SQLPOOL_NOT_FOUND, &err);
        CHECK_RC(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), SQLITE_READONLY, &err);
        close_pool(pool);
    }
}

TEST(two_of_one_name_are_refused) {
    static const char *const indexes[] = {"CREATE INDEX i ON t(a)", "CREATE INDEX \"I\" ON t(b)"};
    sqlpool_index_set set = set_of(indexes, LENGTH(indexes));
    sqlpool *pool = open_pool("twice.db", NULL, "CREATE TABLE t(a, b)");
    CHECK(pool != NULL);
    set.replace = true;
    CHECK_RC(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE type = 'index'"), 0);
    close_pool(pool);
}

/*  A column that the table does not have has no collation; the index of a constraint has no text,
    and a text that was tampered with is none of an index. */
TEST(what_cannot_be_compared_is_different) {
    static const char *const indexes[] = {
        "CREATE INDEX sqlite_autoindex_pairs_1 ON pairs(a)", "CREATE INDEX i ON pairs(nowhere)",
        "CREATE INDEX i ON pairs(a)", "CREATE INDEX if ON pairs(b)"};
    sqlpool_index_set set = set_of(indexes, 1);
    sqlpool_index_report report;
    sqlite3 *other;
    sqlpool *pool = open_pool("odd.db", NULL,
                              "CREATE TABLE pairs(a, b, UNIQUE(a, b)); CREATE INDEX i ON pairs(a)");
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_index_set_check(pool, &set, &report, &err), SQLPOOL_INDEX_MISMATCH, &err);
    CHECK_STR(report.detail, "there it is an index");
    set.replace = true; /* SQLite does not let it go */
    CHECK_RC(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), SQLITE_ERROR, &err);
    set = set_of(indexes + 1, 1);
    CHECK_RC(sqlpool_index_set_check(pool, &set, &report, &err), SQLPOOL_INDEX_MISMATCH, &err);
    CHECK_STR(report.detail, "there column 1 is a");
    set = set_of(indexes + 3, 1); /* a word that is a name for us, and none for SQLite */
    CHECK_RC(sqlpool_index_set_check(pool, &set, &report, &err), SQLPOOL_NOT_FOUND, &err);
    CHECK_STR(report.name, "if");
    CHECK_RC(sqlpool_index_set_create(pool, &set, NULL, &report, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "index \"if\" of set \"queries\": near \"ON\": syntax error");
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE type = 'index'"), 2);
    close_pool(pool);
    other = raw_open("odd.db");
    CHECK(other != NULL && raw_exec(other, "PRAGMA writable_schema = 1; UPDATE sqlite_master SET "
                                           "sql = sql || '; SELECT 1' WHERE name = 'i'"));
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    other = raw_open("odd.db");
    /* SQLite has become strict about such a text */
    if (sqlite3_exec(other, "SELECT 1 FROM pairs", NULL, NULL, NULL) != SQLITE_OK) {
        CHECK_INT(sqlite3_close(other), SQLITE_OK);
        return;
    }
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    pool = open_pool("odd.db", NULL, NULL);
    CHECK(pool != NULL);
    set = set_of(indexes + 2, 1);
    CHECK_RC(sqlpool_index_set_check(pool, &set, &report, &err), SQLPOOL_INDEX_MISMATCH, &err);
    CHECK_STR(report.detail, "there it is an index");
    set.replace = true;
    CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, &report, &err), &err);
    CHECK_INT(report.state, SQLPOOL_INDEX_EXISTS);
    close_pool(pool);
}

/*  Between two of them it can be told to stop: what was made stays. */
typedef struct ended {
    sqlpool *pool;
    sqlpool_token token;
} ended;
static void end_it(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    ended *e = (ended *)user;
    (void)level;
    if (item == SQLPOOL_LOG_MIGRATION && strstr(message, "users_mail") != NULL)
        (void)sqlpool_cancel(e->pool, &e->token);
}
TEST(cancelled_between_two_indexes) {
    const sqlpool_index_set set = set_of(every_kind, 3);
    sqlpool_index_report reports[3];
    sqlpool_maintenance options;
    sqlpool_config config = sqlpool_config_default();
    ended e;
    memset(&e, 0, sizeof e);
    config.log.write_fn = end_it;
    config.log.user = &e;
    e.pool = open_pool("between.db", &config, TABLES);
    CHECK(e.pool != NULL);
    memset(&options, 0, sizeof options);
    options.token = &e.token;
    CHECK_RC(sqlpool_index_set_create(e.pool, &set, &options, reports, &err), SQLPOOL_CANCELLED,
             &err);
    CHECK_HAS(err.message, "the create indexes was cancelled");
    CHECK(reports[0].is_changed && reports[0].state == SQLPOOL_INDEX_EXISTS);
    CHECK(!reports[1].is_changed && reports[1].state == SQLPOOL_INDEX_MISSING);
    CHECK_INT(ask(e.pool, "SELECT count(*) FROM sqlite_master WHERE type = 'index'"), 1);
    close_pool(e.pool);
}

int main(void) {
    RUN(made_and_dropped_as_often_as_one_likes);
    RUN(definitions_are_compared_by_what_they_mean);
    RUN(one_that_differs_stops_all_or_is_replaced);
    RUN(tables_and_columns_that_are_renamed);
    RUN(rows_in_the_way_of_a_unique_index);
    RUN(others_write_between_two_indexes);
    RUN(progress_inside_an_index);
    RUN(another_process_at_the_same_time);
    RUN(every_reader_plans_with_the_statistics);
    RUN(texts_that_are_no_index);
    RUN(names_of_every_kind);
    RUN(pools_of_every_kind);
    RUN(two_of_one_name_are_refused);
    RUN(what_cannot_be_compared_is_different);
    RUN(cancelled_between_two_indexes);
    return test_end();
}
