/*  migrate.c - migrations as a program sees them. SPDX-License-Identifier: MIT OR Unlicense */
#include "api.h"

static sqlpool_error err;

/*  Most tests begin with these three; the last gives a child's parent a new shape. */
static const char users_up[] = "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT);\n"
                               "INSERT INTO users VALUES(1, 'Ada'), (2, 'Grace');";
static const char posts_up[] =
    "CREATE TABLE posts(id INTEGER PRIMARY KEY,\n"
    "  user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE, text);\n"
    "INSERT INTO posts VALUES(10, 1, 'a'), (11, 1, 'b'), (12, 2, 'c');";
static const char rebuild_up[] =
    "CREATE TABLE users_new(id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT);\n"
    "INSERT INTO users_new(id, name) SELECT id, name FROM users;\n"
    "DROP TABLE users;\n"
    "ALTER TABLE users_new RENAME TO users;";
static const char rebuild_down[] = "CREATE TABLE users_old(id INTEGER PRIMARY KEY, name TEXT);\n"
                                   "INSERT INTO users_old SELECT id, name FROM users;\n"
                                   "DROP TABLE users;\n"
                                   "ALTER TABLE users_old RENAME TO users;";

#define STEPS \
    {1, "users", users_up, "DROP TABLE users", NULL, NULL, NULL}, \
        {2, "posts", posts_up, "DROP TABLE posts", NULL, NULL, NULL}, { \
        3, "email of users", rebuild_up, rebuild_down, NULL, NULL, NULL \
    }

static const sqlpool_migration three[] = {STEPS};

static sqlpool_migrate_config plan_of(const sqlpool_migration *steps, int count) {
    sqlpool_migrate_config config;
    memset(&config, 0, sizeof config);
    config.steps = steps;
    config.step_count = count;
    return config;
}

static int go_to(sqlpool *pool, const sqlpool_migration *steps, int count, int target,
                 sqlpool_migrate_result *result, sqlpool_error *error) {
    sqlpool_migrate_config config = plan_of(steps, count);
    config.target = target;
    return sqlpool_migrate(pool, &config, NULL, result, error);
}

static void ask_text(sqlpool *pool, const char *sql, char *buffer, size_t bytes) {
    sqlpool_error error;
    const int rc = sqlpool_query_text(pool, buffer, bytes, sql, SQLPOOL_NO_ARGS, &error);
    if (rc != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "%s: %s", sql, error.message);
}

/*  The whole schema but the library's own table, as one text. */
static void schema_of(sqlpool *pool, char *buffer, size_t bytes) {
    ask_text(pool,
             "SELECT coalesce(group_concat(replace(sql, '\"', ''), ';'), '') FROM (SELECT sql FROM "
             "sqlite_master "
             "WHERE name NOT LIKE "
             "'sqlpool%' ORDER BY name)",
             buffer, bytes);
}

static const char *integrity(sqlpool *pool) {
    static char verdict[200];
    ask_text(pool, "PRAGMA integrity_check", verdict, sizeof verdict);
    return verdict;
}

#define VERSION(pool) ask((pool), "PRAGMA user_version")
#define HISTORY(pool) ask((pool), "SELECT count(*) FROM sqlpool_migrations")

/*  foreign_keys of the writer is what it was, however the call ended. */
static bool keys_are_on(sqlpool *pool) {
    sqlpool_conn conn;
    sqlpool_error error;
    int64_t on;
    if (sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &error) != SQLPOOL_OK) return false;
    on = ask_conn(&conn, "PRAGMA foreign_keys");
    return sqlpool_conn_release(&conn) == SQLPOOL_OK && on == 1;
}

TEST(up_down_and_up_again) {
    sqlpool_migrate_result result;
    char schemas[4][1000], now[1000], text[300];
    int version;
    int64_t opens;
    sqlpool *pool = open_pool("updown.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK(ask(pool, "SELECT 1") == 1 && keys_are_on(pool));
    opens = (int64_t)stats_of(pool).opens;
    schema_of(pool, schemas[0], sizeof schemas[0]);
    for (version = 1; version <= 3; version++) {
        CHECK_OK(go_to(pool, three, 3, version, &result, &err), &err);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_COMMITTED);
        CHECK_INT(result.from, version - 1);
        CHECK_INT(result.to, version);
        CHECK_INT(result.steps, 1);
        CHECK_INT(VERSION(pool), version);
        schema_of(pool, schemas[version], sizeof schemas[version]);
    }
    CHECK_OK(go_to(pool, three, 3, 0, &result, &err), &err);
    CHECK_INT(result.steps, 0);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NONE);
    CHECK_INT(HISTORY(pool), 3);
    CHECK_OK(go_to(pool, three, 3, 1, &result, &err), &err);
    CHECK_INT(result.from, 3);
    CHECK_INT(result.to, 1);
    CHECK_INT(result.steps, 2);
    schema_of(pool, now, sizeof now);
    CHECK_STR(now, schemas[1]);
    CHECK_OK(go_to(pool, three, 3, SQLPOOL_OFF, &result, &err), &err);
    CHECK_INT(VERSION(pool), 0);
    schema_of(pool, now, sizeof now);
    CHECK_STR(now, schemas[0]);
    CHECK_OK(go_to(pool, three, 3, 0, &result, &err), &err);
    CHECK_INT(result.steps, 3);
    CHECK_INT(VERSION(pool), 3);
    schema_of(pool, now, sizeof now);
    CHECK_STR(now, schemas[3]);
    CHECK_INT(ask(pool, "SELECT count(*) FROM posts JOIN users ON users.id = user_id"), 3);
    ask_text(pool, "SELECT group_concat(direction || version, ' ') FROM sqlpool_migrations", text,
             sizeof text);
    CHECK_STR(text, "up1 up2 up3 down3 down2 down1 up1 up2 up3");
    ask_text(pool, "SELECT name FROM sqlpool_migrations WHERE version = 3", text, sizeof text);
    CHECK_STR(text, "email of users");
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlpool_migrations WHERE length(checksum) = 16 AND "
                        "duration_us >= 0 AND "
                        "abs(julianday('now') - julianday(time)) < 1"),
              9);
    CHECK_INT(ask(pool, "SELECT count(DISTINCT checksum) FROM sqlpool_migrations"), 3);
    CHECK_STR(integrity(pool), "ok");
    CHECK_INT(stats_of(pool).opens, opens); /* foreign_keys was put back: nobody was replaced */
    close_pool(pool);
}

/*  DROP TABLE with foreign_keys on deletes the rows first, and with them the children. */
TEST(a_parent_is_rebuilt_and_no_child_lost) {
    sqlpool *pool = open_pool("rebuild.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_OK(go_to(pool, three, 3, 2, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM posts"), 3);
    CHECK_OK(go_to(pool, three, 3, 3, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM posts"), 3);
    CHECK_INT(ask(pool, "SELECT count(*) FROM users WHERE email IS NULL"), 2);
    /* the parent's rows still rule over the child's */
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO posts VALUES(13, 9, 'x')", SQLPOOL_NO_ARGS, &err),
             SQLITE_CONSTRAINT_FOREIGNKEY, &err);
    CHECK_OK(sqlpool_exec(pool, "DELETE FROM users WHERE id = 1", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM posts"), 1);
    /* and this is what the same text does in a script */
    CHECK_OK(sqlpool_script(pool, rebuild_down, -1, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM posts"), 0);
    close_pool(pool);
}

TEST(a_row_without_a_parent_stops_the_step) {
    static const sqlpool_migration steps[] = {
        STEPS,
        {4, "forget Grace", "UPDATE users SET name = 'A'; DELETE FROM users WHERE id = 2;", NULL,
         NULL, NULL, NULL}};
    static const sqlpool_migration mended[] = {
        STEPS,
        {4, "forget Grace", "DELETE FROM posts WHERE user_id = 2; DELETE FROM users WHERE id = 2;",
         NULL, NULL, NULL, NULL}};
    sqlpool_config config = sqlpool_config_default();
    sqlpool_migrate_result result;
    sqlpool *pool = open_pool("orphan.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_RC(go_to(pool, steps, 4, 0, &result, &err), SQLITE_CONSTRAINT_FOREIGNKEY, &err);
    CHECK_INT(err.sqlite_code, SQLITE_CONSTRAINT_FOREIGNKEY);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_HAS(err.message, "migration 4 \"forget Grace\" (up)");
    CHECK_HAS(err.message,
              "row 12 of posts has no parent in users (foreign key 0), one of 1 such rows");
    CHECK_HAS(err.message, "the database stays at version 3");
    CHECK_INT(result.to, 3);
    CHECK_INT(result.steps, 3);
    CHECK_INT(result.failed_version, 4);
    CHECK_INT(ask(pool, "SELECT count(*) FROM users WHERE name = 'Grace'"), 1);
    CHECK_OK(go_to(pool, mended, 4, 0, &result, &err), &err);
    CHECK_INT(result.failed_version, 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM posts"), 2);
    close_pool(pool);
    /* a program that does not want foreign keys is not asked about them */
    config.disable_foreign_keys = true;
    pool = open_pool("orphan2.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_OK(go_to(pool, steps, 4, 0, NULL, &err), &err);
    CHECK_INT(ask(pool, "PRAGMA foreign_keys"), 0);
    close_pool(pool);
}

TEST(a_step_that_fails_leaves_the_version_before) {
    static const sqlpool_migration steps[] = {STEPS,
                                              {4, "half",
                                               "CREATE TABLE one(a);\n-- a comment\nINSERT INTO "
                                               "one VALUES(1);\nINSERT INTO nowhere VALUES(2);\n"
                                               "CREATE TABLE two(b);",
                                               NULL, NULL, NULL, NULL}};
    sqlpool_migrate_result result;
    sqlpool *pool = open_pool("half.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_RC(go_to(pool, steps, 4, 0, &result, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "migration 4 \"half\" (up), line 4: no such table: nowhere");
    CHECK_HAS(err.message, "the database stays at version 3: correct the step and migrate again");
    CHECK(err.sql_offset >= 61 && err.sql_offset < 61 + 40);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(result.from, 0);
    CHECK_INT(result.to, 3);
    CHECK_INT(result.steps, 3);
    CHECK_INT(result.failed_version, 4);
    CHECK_INT(VERSION(pool), 3);
    CHECK_INT(HISTORY(pool), 3);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE name IN ('one', 'two')"), 0);
    CHECK(keys_are_on(pool));
    CHECK_STR(integrity(pool), "ok");
    CHECK_RC(go_to(pool, steps, 4, 0, &result, &err), SQLITE_ERROR, &err);
    CHECK_INT(result.from, 3);
    close_pool(pool);
}

/*  What would end the transaction, or needs none, is refused or fails; nothing of it is done. */
TEST(what_a_step_may_not_say) {
    static const struct {
        const char *sql;
        int result;
        const char *says;
    } cases[] = {
        {"CREATE TABLE x(a); COMMIT; CREATE TABLE y(b);", SQLPOOL_REFUSED,
         "a step has its transaction"},
        {"CREATE TABLE x(a); BEGIN;", SQLPOOL_REFUSED, "a step has its transaction"},
        {"CREATE TABLE x(a); ROLLBACK;", SQLPOOL_REFUSED, "a step has its transaction"},
        {"CREATE TABLE x(a); SAVEPOINT s;", SQLPOOL_REFUSED, "a step has its transaction"},
        {"CREATE TABLE x(a); PRAGMA foreign_keys = ON;", SQLPOOL_REFUSED, "needs no foreign_keys"},
        {"CREATE TABLE x(a); CREATE TEMP TABLE y(b);", SQLPOOL_REFUSED, "temporary"},
        {"CREATE TABLE x(a); ATTACH 'other.db' AS other;", SQLPOOL_REFUSED, "events.connect_fn"},
        {"CREATE TABLE x(a); VACUUM;", SQLITE_ERROR, "cannot VACUUM from within a transaction"},
        {"CREATE TABLE x(a UNIQUE); INSERT INTO x VALUES(1); INSERT OR ROLLBACK INTO x VALUES(1);",
         SQLITE_CONSTRAINT_UNIQUE, "UNIQUE constraint failed"},
        {"CREATE TABLE x(a); INSERT INTO x VALUES(?);", SQLPOOL_ARGUMENTS, "no parameters"},
    };
    int i;
    sqlpool *pool = open_pool("maynot.db", NULL, NULL);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(cases); i++) {
        const sqlpool_migration step = {1, "bad", cases[i].sql, NULL, NULL, NULL, NULL};
        CHECK_RC(go_to(pool, &step, 1, 0, NULL, &err), cases[i].result, &err);
        CHECK_HAS(err.message, cases[i].says);
        CHECK_HAS(err.message, "migration 1 \"bad\" (up)");
        CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master"), 0);
        CHECK_INT(VERSION(pool), 0);
        CHECK(keys_are_on(pool));
    }
    close_pool(pool);
}

/*---- functions ----*/

enum {
    GOOD,
    FAILS,
    SAYS,
    COMMITS,
    ROLLS_BACK,
    RELEASES,
    RAW,
    LEAVES_BEGIN,
    LEAVES_CURSOR,
    IGNORES_ROLLBACK,
    NESTED
};
typedef struct fn_case {
    int what, calls, seen;
    sqlpool_rows rows;
} fn_case;

static int step_fn(sqlpool_conn *conn, void *user, int attempt) {
    fn_case *c = (fn_case *)user;
    int rc = sqlpool_conn_exec(conn, "INSERT INTO made VALUES('by function')", SQLPOOL_NO_ARGS,
                               NULL, NULL);
    c->calls++;
    if (rc != SQLPOOL_OK || attempt != 1) return rc != SQLPOOL_OK ? rc : 70001;
    switch (c->what) {
    case FAILS:
        return 70000;
    case SAYS:
        return sqlpool_conn_exec(conn, "INSERT INTO missing VALUES(1)", SQLPOOL_NO_ARGS, NULL,
                                 NULL);
    case COMMITS:
        c->seen = sqlpool_conn_commit(conn, NULL);
        return SQLPOOL_OK;
    case ROLLS_BACK:
        c->seen = sqlpool_conn_rollback(conn, NULL);
        return SQLPOOL_OK;
    case RELEASES:
        c->seen = sqlpool_conn_release(conn);
        return SQLPOOL_OK;
    case RAW:
        c->seen = sqlpool_conn_db(conn) == NULL ? SQLPOOL_MISUSE : SQLPOOL_OK;
        return SQLPOOL_OK;
    case LEAVES_BEGIN:
        return sqlpool_conn_begin(conn, NULL);
    case LEAVES_CURSOR:
        rc = sqlpool_conn_query(conn, &c->rows, "SELECT a FROM made UNION ALL SELECT a FROM made",
                                SQLPOOL_NO_ARGS, NULL);
        return rc == SQLPOOL_OK && !sqlpool_rows_next(&c->rows) ? 70002 : rc;
    case IGNORES_ROLLBACK:
        c->seen = sqlpool_conn_exec(conn, "INSERT OR ROLLBACK INTO made SELECT a FROM made",
                                    SQLPOOL_NO_ARGS, NULL, NULL);
        return SQLPOOL_OK;
    case NESTED:
        rc = sqlpool_conn_begin(conn, NULL);
        if (rc == SQLPOOL_OK)
            rc = sqlpool_conn_exec(conn, "DELETE FROM made", SQLPOOL_NO_ARGS, NULL, NULL);
        return rc == SQLPOOL_OK ? sqlpool_conn_rollback(conn, NULL) : rc;
    default:
        return SQLPOOL_OK;
    }
}

TEST(functions_of_a_step) {
    static const struct {
        int what, result, seen;
        const char *says;
    } cases[] = {
        {FAILS, 70000, 0, "its function returned 70000"},
        {SAYS, SQLITE_ERROR, 0, "no such table: missing"},
        {LEAVES_BEGIN, SQLPOOL_MISUSE, 0, "a begin without its end"},
        {IGNORES_ROLLBACK, SQLPOOL_ROLLED_BACK, SQLITE_CONSTRAINT_UNIQUE,
         "SQLite ended the transaction"},
        {COMMITS, SQLPOOL_OK, SQLPOOL_MISUSE, ""},
        {ROLLS_BACK, SQLPOOL_OK, SQLPOOL_MISUSE, ""},
        {RELEASES, SQLPOOL_OK, SQLPOOL_MISUSE, ""},
        {RAW, SQLPOOL_OK, SQLPOOL_MISUSE, ""},
        {LEAVES_CURSOR, SQLPOOL_OK, 0, ""},
        {NESTED, SQLPOOL_OK, 0, ""},
        {GOOD, SQLPOOL_OK, 0, ""},
    };
    int i;
    sqlpool *pool = open_pool("functions.db", NULL, NULL);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(cases); i++) {
        fn_case c = {0};
        sqlpool_migration step = {
            1, "made", "CREATE TABLE made(a UNIQUE)", "DROP TABLE made", step_fn, NULL, &c};
        c.what = cases[i].what;
        CHECK_RC(go_to(pool, &step, 1, 0, NULL, &err), cases[i].result, &err);
        CHECK_HAS(err.message, cases[i].says);
        CHECK_INT(c.calls, 1);
        CHECK_INT(c.seen, cases[i].seen);
        CHECK(keys_are_on(pool));
        if (c.rows.result != SQLPOOL_OK || c.rows.slot != NULL)
            (void)sqlpool_rows_close(&c.rows, NULL);
        CHECK_INT(VERSION(pool), cases[i].result == SQLPOOL_OK ? 1 : 0);
        CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE name = 'made'"),
                  cases[i].result == SQLPOOL_OK ? 1 : 0);
        if (cases[i].result == SQLPOOL_OK) {
            CHECK_INT(ask(pool, "SELECT count(*) FROM made"), 1);
            CHECK_OK(go_to(pool, &step, 1, SQLPOOL_OFF, NULL, &err), &err);
        }
    }
    close_pool(pool);
}

/*  A cursor that a function forgets would lock its table for the next step. */
TEST(a_forgotten_cursor_is_in_nobodys_way) {
    fn_case c = {0};
    sqlpool_migration steps[] = {
        {1, "made", "CREATE TABLE made(a UNIQUE)", NULL, step_fn, NULL, &c},
        {2, "gone", "DROP TABLE made", NULL, NULL, NULL, NULL}};
    sqlpool *pool = open_pool("cursor.db", NULL, NULL);
    CHECK(pool != NULL);
    c.what = LEAVES_CURSOR;
    CHECK_OK(go_to(pool, steps, 2, 0, NULL, &err), &err);
    CHECK_INT(sqlpool_rows_next(&c.rows), false);
    (void)sqlpool_rows_close(&c.rows, NULL);
    close_pool(pool);
}

static int fill_fn(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, "CREATE TABLE by_function(a)", SQLPOOL_NO_ARGS, NULL, NULL);
}
static int empty_fn(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, "DROP TABLE by_function", SQLPOOL_NO_ARGS, NULL, NULL);
}
TEST(functions_alone_both_ways) {
    const sqlpool_migration step = {1, "f", NULL, NULL, fill_fn, empty_fn, NULL};
    sqlpool *pool = open_pool("alone.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_OK(go_to(pool, &step, 1, 0, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM by_function"), 0);
    CHECK_OK(go_to(pool, &step, 1, SQLPOOL_OFF, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master WHERE name = 'by_function'"), 0);
    close_pool(pool);
}

/*---- plans that are wrong ----*/

TEST(gaps_are_named) {
    static const sqlpool_migration missing[] = {{1, "a", "SELECT 1", NULL, NULL, NULL, NULL},
                                                {3, "c", "SELECT 1", NULL, NULL, NULL, NULL}};
    static const sqlpool_migration twice[] = {{1, "a", "SELECT 1", NULL, NULL, NULL, NULL},
                                              {1, "b", "SELECT 1", NULL, NULL, NULL, NULL}};
    static const sqlpool_migration backwards[] = {{2, "b", "SELECT 1", NULL, NULL, NULL, NULL},
                                                  {1, "a", "SELECT 1", NULL, NULL, NULL, NULL}};
    static const sqlpool_migration late[] = {
        {4, "d", "CREATE TABLE d(a)", "DROP TABLE d", NULL, NULL, NULL}};
    sqlpool *pool = open_pool("gaps.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_RC(go_to(pool, missing, 2, 0, NULL, &err), SQLPOOL_MIGRATION_GAP, &err);
    CHECK_HAS(err.message, "migration 3 \"c\" follows migration 1 \"a\": 2 is missing; add it");
    CHECK_RC(go_to(pool, twice, 2, 0, NULL, &err), SQLPOOL_MIGRATION_GAP, &err);
    CHECK_HAS(err.message, "two of one version; renumber one");
    CHECK_RC(go_to(pool, backwards, 2, 0, NULL, &err), SQLPOOL_MIGRATION_GAP, &err);
    CHECK_HAS(err.message, "in the order of their versions");
    CHECK_RC(go_to(pool, late, 1, 0, NULL, &err), SQLPOOL_MIGRATION_GAP, &err);
    CHECK_HAS(err.message, "at version 0, and the steps begin with 4");
    CHECK_RC(go_to(pool, late, 1, 2, NULL, &err), SQLPOOL_MIGRATION_GAP, &err);
    CHECK_HAS(err.message, "the target is version 2, and the steps begin with 4");
    CHECK_RC(go_to(pool, late, 1, SQLPOOL_OFF, NULL, &err), SQLPOOL_MIGRATION_GAP, &err);
    CHECK_RC(go_to(pool, three, 3, 4, NULL, &err), SQLPOOL_MIGRATION_GAP, &err);
    CHECK_HAS(err.message, "the target is version 4, and the steps end with 3");
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master"), 0);
    /* steps that every database has behind it need not be kept */
    CHECK_OK(go_to(pool, three, 3, 0, NULL, &err), &err);
    CHECK_OK(go_to(pool, late, 1, 0, NULL, &err), &err);
    CHECK_INT(VERSION(pool), 4);
    CHECK_OK(go_to(pool, late, 1, 3, NULL, &err), &err);
    CHECK_INT(VERSION(pool), 3);
    close_pool(pool);
}

TEST(what_has_run_must_not_change) {
    static const char posts_crlf[] =
        "CREATE TABLE posts(id INTEGER PRIMARY KEY,\r\n"
        "  user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE, text);\r\n"
        "INSERT INTO posts VALUES(10, 1, 'a'), (11, 1, 'b'), (12, 2, 'c');";
    sqlpool_migration steps[3] = {STEPS};
    sqlpool *pool = open_pool("changed.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_OK(go_to(pool, steps, 3, 2, NULL, &err), &err);
    steps[0].up = "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT);";
    CHECK_RC(go_to(pool, steps, 3, 0, NULL, &err), SQLPOOL_MIGRATION_CHANGED, &err);
    CHECK_HAS(err.message,
              "migration 1 \"users\" was edited after it had run in this database as \"users\"");
    CHECK_HAS(err.message, "make the change a new migration");
    CHECK_RC(go_to(pool, steps, 3, 1, NULL, &err), SQLPOOL_MIGRATION_CHANGED, &err);
    steps[0] = three[0];
    steps[1].name = "articles";
    CHECK_RC(go_to(pool, steps, 3, 0, NULL, &err), SQLPOOL_MIGRATION_CHANGED, &err);
    CHECK_HAS(err.message, "migration 2 \"articles\" has run in this database as \"posts\"");
    steps[1] = three[1];
    steps[1].up_fn = fill_fn;
    CHECK_RC(go_to(pool, steps, 3, 0, NULL, &err), SQLPOOL_MIGRATION_CHANGED, &err);
    CHECK_INT(VERSION(pool), 2);
    steps[1] = three[1];
    steps[1].up = posts_crlf;           /* line ends that a version control system has changed */
    steps[2].up = "CREATE TABLE y(a);"; /* has not run yet */
    steps[0].down = "DROP TABLE IF EXISTS users";
    CHECK_OK(go_to(pool, steps, 3, 0, NULL, &err), &err);
    close_pool(pool);
}

TEST(newer_other_and_set_back) {
    static const sqlpool_migration *const older = three;
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool *pool = open_pool("newer.db", NULL, NULL);
    CHECK(pool != NULL);
    config.application_id = 0x5a5a0001;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, NULL, &err), &err);
    CHECK_INT(ask(pool, "PRAGMA application_id"), 0x5a5a0001);
    CHECK_RC(go_to(pool, older, 2, 0, NULL, &err), SQLPOOL_MIGRATION_NEWER, &err);
    CHECK_HAS(
        err.message,
        "is at version 3, the program ends with migration 2 \"posts\": run the newer program");
    CHECK_RC(go_to(pool, older, 2, 1, NULL, &err), SQLPOOL_MIGRATION_NEWER, &err);
    config.application_id = 7;
    CHECK_RC(sqlpool_migrate(pool, &config, NULL, NULL, &err), SQLPOOL_MIGRATION_OTHER, &err);
    CHECK_HAS(err.message, "(0x5a5a0001), the program's is 7");
    CHECK_OK(sqlpool_exec(pool, "PRAGMA user_version = 2", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_RC(go_to(pool, three, 3, 0, NULL, &err), SQLPOOL_MIGRATION_CHANGED, &err);
    CHECK_HAS(err.message,
              "the history has version 3 \"email of users\" as reached, but user_version is 2");
    CHECK_OK(sqlpool_exec(pool, "PRAGMA user_version = 3", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(go_to(pool, three, 3, 0, NULL, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "PRAGMA user_version = -3", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_RC(go_to(pool, three, 3, 0, NULL, &err), SQLPOOL_MIGRATION_CHANGED, &err);
    close_pool(pool);
    pool = open_pool("negative.db", NULL, "PRAGMA user_version = -3");
    CHECK(pool != NULL);
    CHECK_RC(go_to(pool, three, 3, 0, NULL, &err), SQLPOOL_MIGRATION_GAP, &err);
    close_pool(pool);
}

/*  A database that was migrated years ago knows its steps again: the checksums are of one kind for
    ever. These were taken from a database that version 0.1.0 had migrated. */
TEST(checksums_stay_what_they_are) {
    static const sqlpool_migration steps[] = {
        {1, "users", "CREATE TABLE users(id INTEGER PRIMARY KEY);", NULL, NULL, NULL, NULL},
        {2, "fill", NULL, NULL, fill_fn, NULL, NULL}};
    char text[100];
    sqlpool *pool = open_pool("checksums.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_OK(go_to(pool, steps, 2, 0, NULL, &err), &err);
    ask_text(pool, "SELECT group_concat(checksum, ' ') FROM sqlpool_migrations", text, sizeof text);
    CHECK_STR(text, "5257e27e4cc1b4cc ed94a4756e62ee24");
    close_pool(pool);
}

/*  The id of a file that has none yet is set, also where all steps have run. */
TEST(the_id_is_set_late) {
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool_migrate_result result;
    sqlpool *pool = open_pool("late.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, &result, &err), &err);
    CHECK_INT(ask(pool, "PRAGMA application_id"), 0);
    config.application_id = -5;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, &result, &err), &err);
    CHECK_INT(result.steps, 0);
    CHECK_INT(ask(pool, "PRAGMA application_id"), -5);
    close_pool(pool);
}

TEST(versions_without_a_history_are_adopted_on_request) {
    sqlpool_migrate_config config = plan_of(three, 3);
    char text[100];
    sqlpool *pool = open_pool("adopt.db", NULL, users_up);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_script(pool, posts_up, -1, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "PRAGMA user_version = 2", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_RC(sqlpool_migrate(pool, &config, NULL, NULL, &err), SQLPOOL_MIGRATION_CHANGED, &err);
    CHECK_HAS(
        err.message,
        "has only 0 of the 2 migrations from 1 on: if the schema is what they make, set adopt");
    config.steps = three + 1; /* the first that are known here is the one that it is at */
    config.step_count = 2;
    CHECK_RC(sqlpool_migrate(pool, &config, NULL, NULL, &err), SQLPOOL_MIGRATION_CHANGED, &err);
    CHECK_HAS(err.message, "has only 0 of the 1 migrations from 2 on");
    config = plan_of(three, 3);
    config.adopt = true;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, NULL, &err), &err);
    ask_text(pool, "SELECT group_concat(direction || version, ' ') FROM sqlpool_migrations", text,
             sizeof text);
    CHECK_STR(text, "adopted1 adopted2 up3");
    config.adopt = false;
    CHECK_OK(go_to(pool, three, 3, SQLPOOL_OFF, NULL, &err), &err);
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, NULL, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "DELETE FROM sqlpool_migrations WHERE version = 2", SQLPOOL_NO_ARGS,
                          &err),
             &err);
    CHECK_RC(sqlpool_migrate(pool, &config, NULL, NULL, &err), SQLPOOL_MIGRATION_CHANGED, &err);
    CHECK_HAS(err.message, "has only 2 of the 3 migrations from 1 on");
    config.adopt = true;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, NULL, &err), &err);
    config.adopt = false;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, NULL, &err), &err);
    close_pool(pool);
}

TEST(a_step_without_a_way_down) {
    sqlpool_migration steps[3] = {STEPS};
    sqlpool *pool = open_pool("noway.db", NULL, NULL);
    CHECK(pool != NULL);
    steps[1].down = NULL;
    CHECK_OK(go_to(pool, steps, 3, 0, NULL, &err), &err);
    CHECK_OK(go_to(pool, steps, 3, 2, NULL, &err), &err);
    CHECK_OK(go_to(pool, steps, 3, 3, NULL, &err), &err);
    CHECK_RC(go_to(pool, steps, 3, 1, NULL, &err), SQLPOOL_MIGRATION_GAP, &err);
    CHECK_HAS(err.message, "migration 2 \"posts\" has no way down");
    CHECK_INT(VERSION(pool), 3); /* not half the way either */
    close_pool(pool);
}

TEST(misuse_is_named) {
    static const sqlpool_migration zero = {0, "z", "SELECT 1", NULL, NULL, NULL, NULL};
    static const sqlpool_migration nameless = {1, "", "SELECT 1", NULL, NULL, NULL, NULL};
    static const sqlpool_migration unnamed = {1, NULL, "SELECT 1", NULL, NULL, NULL, NULL};
    static const sqlpool_migration only_fn = {1, NULL, NULL, NULL, fill_fn, NULL, NULL};
    static const sqlpool_migration empty = {1, "e", NULL, "SELECT 1", NULL, NULL, NULL};
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool_maintenance options = {0};
    sqlpool_conn conn;
    sqlpool *pool = open_pool("misuse.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_migrate(NULL, &config, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_migrate(pool, NULL, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "config is NULL");
    CHECK_RC(go_to(pool, NULL, 3, 0, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "steps is NULL");
    CHECK_RC(go_to(pool, three, 0, 0, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "step_count is below 1");
    CHECK_RC(go_to(pool, three, 3, -2, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(go_to(pool, &zero, 1, 0, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "steps[0] (version 0): versions begin with 1");
    CHECK_RC(go_to(pool, &nameless, 1, 0, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "no name");
    CHECK_RC(go_to(pool, &unnamed, 1, 0, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "steps[0] (version 1): it has no name");
    CHECK_RC(go_to(pool, &only_fn, 1, 0, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "steps[0] (version 1): it has no name");
    CHECK_RC(go_to(pool, &empty, 1, 0, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "neither SQL nor a function");
    config.mode = 3;
    CHECK_RC(sqlpool_migrate(pool, &config, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    config.mode = -1;
    CHECK_RC(sqlpool_migrate(pool, &config, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "mode is -1 (0 .. 2)");
    config.mode = SQLPOOL_MIGRATE_RUN;
    options.timeout_ms = -3;
    CHECK_RC(sqlpool_migrate(pool, &config, &options, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "timeout_ms -3");
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_RC(sqlpool_migrate(pool, &config, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(sqlpool_migrate(pool, &config, NULL, NULL, NULL), SQLPOOL_OK);
    close_pool(pool);
    CHECK_RC(sqlpool_migrate(pool, &config, NULL, NULL, &err), SQLPOOL_CLOSED, &err);
}

/*---- dry runs and looks ----*/

TEST(a_dry_run_does_all_and_leaves_nothing) {
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool_migration bad[4] = {
        STEPS, {4, "bad", "INSERT INTO users(id) VALUES(3)", NULL, NULL, NULL, NULL}};
    sqlpool_migrate_result result;
    fn_case c = {0};
    sqlpool *pool = open_pool("dry.db", NULL, NULL);
    CHECK(pool != NULL);
    config.mode = SQLPOOL_MIGRATE_DRY_RUN;
    config.application_id = 77;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, &result, &err), &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NONE);
    CHECK_INT(result.from, 0);
    CHECK_INT(result.to, 3);
    CHECK_INT(result.steps, 3);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master"), 0);
    CHECK_INT(VERSION(pool), 0);
    CHECK_INT(ask(pool, "PRAGMA application_id"), 0);
    CHECK(keys_are_on(pool));
    /* the third step of the dry run needs the first two; the fourth fails as it would */
    config.steps = bad;
    config.step_count = 4;
    CHECK_RC(sqlpool_migrate(pool, &config, NULL, &result, &err), SQLITE_CONSTRAINT_NOTNULL, &err);
    CHECK_HAS(err.message, "migration 4 \"bad\" (up)");
    CHECK_HAS(err.message, "the database stays at version 0");
    CHECK_INT(result.failed_version, 4);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master"), 0);
    CHECK(keys_are_on(pool));
    /* functions run in it too */
    bad[3].up = "CREATE TABLE made(a UNIQUE)";
    bad[3].up_fn = step_fn;
    bad[3].user = &c;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, &result, &err), &err);
    CHECK_INT(c.calls, 1);
    CHECK_INT(result.steps, 4);
    /* down as well */
    CHECK_OK(go_to(pool, three, 3, 0, NULL, &err), &err);
    config = plan_of(three, 3);
    config.mode = SQLPOOL_MIGRATE_DRY_RUN;
    config.target = SQLPOOL_OFF;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, &result, &err), &err);
    CHECK_INT(result.to, 0);
    CHECK_INT(VERSION(pool), 3);
    CHECK_INT(HISTORY(pool), 3);
    CHECK_INT(ask(pool, "SELECT count(*) FROM posts"), 3);
    close_pool(pool);
}

/*  A program that has nothing to do waits for nobody who writes; one that only looks neither. */
TEST(looking_needs_no_lock) {
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool_migrate_result result;
    sqlite3 *other;
    sqlpool *pool = open_pool("look.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_OK(go_to(pool, three, 3, 1, NULL, &err), &err);
    other = raw_open("look.db");
    CHECK(other != NULL && raw_exec(other, "BEGIN IMMEDIATE"));
    config.mode = SQLPOOL_MIGRATE_CHECK;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, &result, &err), &err);
    CHECK_INT(result.from, 1);
    CHECK_INT(result.to, 3);
    CHECK_INT(result.steps, 2);
    config.target = SQLPOOL_OFF;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, &result, &err), &err);
    CHECK_INT(result.steps, 1);
    CHECK_OK(go_to(pool, three, 3, 1, &result, &err), &err);
    CHECK_INT(result.steps, 0);
    config.steps = three + 1;
    config.step_count = 2;
    CHECK_RC(sqlpool_migrate(pool, &config, NULL, &result, &err), SQLPOOL_MIGRATION_GAP, &err);
    CHECK(raw_exec(other, "ROLLBACK"));
    CHECK_INT(VERSION(pool), 1);
    (void)sqlite3_close(other);
    close_pool(pool);
}

TEST(read_only_pools_look) {
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool_config options = sqlpool_config_default();
    sqlpool_migrate_result result;
    sqlpool *pool = open_pool("readonly.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_OK(go_to(pool, three, 3, 2, NULL, &err), &err);
    close_pool(pool);
    options.read_only = true;
    pool = open_pool("readonly.db", &options, NULL);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_migrate(pool, &config, NULL, &result, &err), SQLITE_READONLY, &err);
    config.mode = SQLPOOL_MIGRATE_CHECK;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, &result, &err), &err);
    CHECK_INT(result.steps, 1);
    CHECK_OK(go_to(pool, three, 2, 0, &result, &err), &err);
    close_pool(pool);
}

/*---- others on the same file ----*/

TEST(a_lock_held_for_long_ends_in_time) {
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool_maintenance options = {0};
    sqlite3 *other;
    int64_t began;
    sqlpool *pool = open_pool("held.db", NULL, NULL);
    CHECK(pool != NULL);
    other = raw_open("held.db");
    CHECK(other != NULL && raw_exec(other, "BEGIN IMMEDIATE"));
    options.timeout_ms = 150;
    began = now_ms();
    CHECK_RC(sqlpool_migrate(pool, &config, &options, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(now_ms() - began >= 150 && now_ms() - began < 5000);
    CHECK_HAS(err.message, "it may be migrating: wait longer, with timeout_ms");
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK(raw_exec(other, "ROLLBACK"));
    CHECK_OK(sqlpool_migrate(pool, &config, &options, NULL, &err), &err);
    (void)sqlite3_close(other);
    close_pool(pool);
}

/*  Another process that migrates is waited for longer than acquire_timeout_ms, if that is wanted. */
static void *let_go(void *argument) {
    sleep_ms(300);
    (void)raw_exec((sqlite3 *)argument, "ROLLBACK");
    return NULL;
}
TEST(a_lock_is_waited_for_as_long_as_said) {
    static const int timeouts[] = {60000, SQLPOOL_FOREVER};
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool_config options = sqlpool_config_default();
    sqlpool_maintenance patient = {0};
    pthread_t thread;
    sqlite3 *other;
    sqlpool *pool;
    int i;
    options.acquire_timeout_ms = 20;
    pool = open_pool("patient.db", &options, NULL);
    CHECK(pool != NULL);
    other = raw_open("patient.db");
    CHECK(other != NULL);
    for (i = 0; i < 2; i++) {
        CHECK(raw_exec(other, "BEGIN IMMEDIATE"));
        CHECK(start_thread(&thread, let_go, other));
        patient.timeout_ms = timeouts[i];
        config.target = i == 0 ? 1 : 2;
        CHECK_OK(sqlpool_migrate(pool, &config, &patient, NULL, &err), &err);
        (void)pthread_join(thread, NULL);
    }
    (void)sqlite3_close(other);
    close_pool(pool);
}

static const sqlpool_migration endless[] = {
    STEPS, {4, "endless", "CREATE TABLE e AS " ENDLESS, NULL, NULL, NULL, NULL}};

typedef struct firing {
    sqlpool *pool;
    sqlpool_token token;
} firing;
static void *fire(void *argument) {
    firing *f = (firing *)argument;
    while (ask(f->pool, "PRAGMA user_version") != 3) sleep_ms(1);
    sleep_ms(20);
    (void)sqlpool_cancel(f->pool, &f->token);
    return NULL;
}

TEST(a_step_that_takes_too_long_is_stopped) {
    sqlpool_migrate_config config = plan_of(endless, 4);
    sqlpool_migrate_result result;
    sqlpool_maintenance options = {0};
    pthread_t thread;
    firing f = {0};
    sqlpool *pool = open_pool("endless.db", NULL, NULL);
    CHECK(pool != NULL);
    options.timeout_ms = 200;
    CHECK_RC(sqlpool_migrate(pool, &config, &options, &result, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_HAS(err.message, "migration 4 \"endless\" (up)");
    CHECK_HAS(err.message, "stays at version 3: migrate again with more time");
    CHECK_INT(VERSION(pool), 3);
    f.pool = pool;
    options.timeout_ms = 0;
    options.token = &f.token;
    CHECK(start_thread(&thread, fire, &f));
    CHECK_RC(sqlpool_migrate(pool, &config, &options, &result, &err), SQLPOOL_CANCELLED, &err);
    (void)pthread_join(thread, NULL);
    CHECK(keys_are_on(pool));
    CHECK_INT(VERSION(pool), 3);
    close_pool(pool);
}

/*  statement_timeout_ms is for what the program does every day. */
TEST(a_step_has_the_time_it_takes) {
    sqlpool_config config = sqlpool_config_default();
    static const sqlpool_migration steps[] = {{1, "long",
                                               "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 "
                                               "UNION ALL SELECT i + 1 FROM n WHERE i < 300000) "
                                               "SELECT i FROM n",
                                               NULL, NULL, NULL, NULL}};
    static const char *const indexes[] = {"CREATE INDEX t_i ON t(i)"};
    sqlpool_index_set set = {0};
    sqlpool *pool;
    config.statement_timeout_ms = 1;
    pool = open_pool("longer.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_script(pool, steps[0].up, -1, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_OK(go_to(pool, steps, 1, 0, NULL, &err), &err);
    set.indexes = indexes;
    set.index_count = 1;
    CHECK_OK(sqlpool_index_set_create(pool, &set, NULL, NULL, &err), &err);
    CHECK_RC(sqlpool_script(pool, "DELETE FROM t WHERE i % 2", -1, &err), SQLPOOL_TIMEOUT, &err);
    close_pool(pool);
}

/*  Processes that begin at once: each step is run by one of them, and all find the whole schema. */
static const sqlpool_migration slow[] = {
    {1, "one",
     "CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
     "60000) "
     "INSERT INTO t SELECT i FROM n;",
     "DROP TABLE t", NULL, NULL, NULL},
    {2, "two", "CREATE TABLE u AS SELECT a + 1 AS a FROM t;", "DROP TABLE u", NULL, NULL, NULL},
    {3, "three", "UPDATE t SET a = a + 1;", "UPDATE t SET a = a - 1;", NULL, NULL, NULL},
    {4, "four", "CREATE INDEX t_a ON t(a);", "DROP INDEX t_a;", NULL, NULL, NULL}};

TEST(processes_that_migrate_at_once) {
    enum { PROCESSES = 4 };
    pid_t child[PROCESSES];
    int go[2], i, steps = 0;
    char byte = 0;
    sqlpool *pool;
    CHECK(pipe(go) == 0);
    fflush(stdout);
    for (i = 0; i < PROCESSES; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            sqlpool_migrate_config config = plan_of(slow, 4);
            sqlpool_maintenance options = {0};
            sqlpool_migrate_result result;
            (void)close(go[1]);
            (void)!read(go[0], &byte, 1); /* until all are there */
            options.timeout_ms = 60000;
            if (sqlpool_open(&pool, "atonce.db", NULL, &err) != SQLPOOL_OK ||
                sqlpool_migrate(pool, &config, &options, &result, &err) != SQLPOOL_OK) {
                printf("# child: %s\n", err.message);
                fflush(stdout);
                _exit(100);
            }
            if (result.to != 4 || ask(pool, "PRAGMA user_version") != 4 ||
                ask(pool, "SELECT count(*) FROM t") != 60000)
                _exit(101);
            _exit(sqlpool_close(pool, NULL) == SQLPOOL_OK ? result.steps : 102);
        }
        CHECK(child[i] > 0);
    }
    (void)close(go[0]);
    (void)close(go[1]);
    for (i = 0; i < PROCESSES; i++) {
        int status = 0;
        CHECK_INT(waitpid(child[i], &status, 0), child[i]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) < 100);
        steps += WEXITSTATUS(status);
    }
    CHECK_INT(steps, 4);
    pool = open_pool("atonce.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_INT(HISTORY(pool), 4);
    CHECK_INT(ask(pool, "SELECT sum(a) FROM t") - ask(pool, "SELECT sum(a) FROM u"), 0);
    CHECK_STR(integrity(pool), "ok");
    close_pool(pool);
}

/*  progress_fn stands between two steps: another process may have its turn there. */
typedef struct between {
    char told[400];
    double fraction;
    int stop_at, calls, result;
    sqlite3 *other;
    const char *sql;
} between;
static int tell(void *user, const sqlpool_progress *progress) {
    between *b = (between *)user;
    const size_t length = strlen(b->told);
    (void)snprintf(b->told + length, sizeof b->told - length, "%s %s %d/%d; ", progress->operation,
                   progress->object, (int)progress->done, (int)progress->total);
    if (progress->fraction < b->fraction || progress->fraction > 1) b->result = -1;
    b->fraction = progress->fraction;
    if (strcmp(progress->unit, "steps") != 0) b->result = -2;
    if (b->sql != NULL && progress->done == 1) {
        if (!raw_exec(b->other, b->sql)) b->result = -3;
        b->sql = NULL;
    }
    return ++b->calls == b->stop_at ? 4711 : 0;
}

TEST(progress_is_told_and_stops) {
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool_migrate_result result;
    between b = {0};
    const sqlpool_maintenance options = told_to(tell, &b, NONE_INSIDE);
    sqlpool *pool = open_pool("progress.db", NULL, NULL);
    CHECK(pool != NULL);
    config.mode = SQLPOOL_MIGRATE_DRY_RUN;
    CHECK_OK(sqlpool_migrate(pool, &config, &options, &result, &err), &err);
    CHECK_STR(b.told,
              "dry run users 0/3; dry run posts 1/3; dry run email of users 2/3; dry run  3/3; ");
    CHECK_INT(b.result, 0);
    config.mode = SQLPOOL_MIGRATE_RUN;
    memset(&b, 0, sizeof b);
    b.stop_at = 3;
    CHECK_RC(sqlpool_migrate(pool, &config, &options, &result, &err), 4711, &err);
    CHECK_HAS(err.message, "stopped by its callback, which returned 4711");
    CHECK_STR(b.told, "migrate users 0/3; migrate posts 1/3; migrate email of users 2/3; ");
    CHECK_INT(result.to, 2);
    CHECK_INT(result.failed_version, 0);
    CHECK_INT(VERSION(pool), 2);
    CHECK(keys_are_on(pool));
    memset(&b, 0, sizeof b);
    CHECK_OK(sqlpool_migrate(pool, &config, &options, &result, &err), &err);
    CHECK_STR(b.told, "migrate email of users 0/1; migrate  1/1; ");
    memset(&b, 0, sizeof b);
    CHECK_OK(sqlpool_migrate(pool, &config, &options, &result, &err), &err);
    CHECK_STR(b.told, "migrate  0/0; ");
    CHECK(b.fraction == 1);
    memset(&b, 0, sizeof b);
    config.target = 1;
    CHECK_OK(sqlpool_migrate(pool, &config, &options, &result, &err), &err);
    CHECK_STR(b.told, "migrate email of users 0/2; migrate posts 1/2; migrate  2/2; ");
    CHECK_INT(b.result, 0);
    close_pool(pool);
}

/*  Inside a step that would never end. */
static int tell_often(void *user, const sqlpool_progress *progress) {
    int *calls = (int *)user;
    if (strcmp(progress->object, "endless") == 0) ++*calls;
    return *calls == 5 && progress->done == 3 ? 4714 : 0;
}
TEST(progress_is_told_inside_a_step) {
    sqlpool_migrate_config config = plan_of(endless, 4);
    sqlpool_migrate_result result;
    int calls = 0;
    const sqlpool_maintenance options = told_to(tell_often, &calls, 1);
    sqlpool *pool = open_pool("inside.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_migrate(pool, &config, &options, &result, &err), 4714, &err);
    CHECK_INT(calls, 5);
    CHECK_INT(result.failed_version, 4);
    CHECK_INT(result.to, 3);
    CHECK_INT(VERSION(pool), 3);
    CHECK(keys_are_on(pool));
    close_pool(pool);
}

TEST(another_process_between_two_steps) {
    static const char back[] =
        "BEGIN; DROP TABLE users; INSERT INTO sqlpool_migrations(version, direction, name, "
        "checksum, time, "
        "duration_us) VALUES(1, 'down', 'users', '', '', 0); PRAGMA user_version = 0; COMMIT";
    static const char newer[] = "PRAGMA user_version = 9";
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool_migrate_result result;
    between b = {0};
    const sqlpool_maintenance options = told_to(tell, &b, NONE_INSIDE);
    sqlpool *pool = open_pool("between.db", NULL, NULL);
    CHECK(pool != NULL);
    b.other = raw_open("between.db");
    CHECK(b.other != NULL);
    b.sql = back;
    CHECK_RC(sqlpool_migrate(pool, &config, &options, &result, &err), SQLPOOL_MIGRATION_CHANGED,
             &err);
    CHECK_HAS(err.message, "migrates this database the other way: it was at version 1 and is at 0");
    CHECK_INT(b.result, 0);
    b.sql = newer;
    CHECK_RC(sqlpool_migrate(pool, &config, &options, &result, &err), SQLPOOL_MIGRATION_NEWER,
             &err);
    CHECK_INT(result.to, 1);
    CHECK(raw_exec(b.other, "PRAGMA user_version = 1"));
    b.other = (sqlite3_close(b.other), NULL);
    CHECK_OK(sqlpool_migrate(pool, &config, &options, &result, &err), &err);
    CHECK_INT(result.steps, 2);
    close_pool(pool);
}

/*  A step that is tried again looks at the file anew; what that finds is not the step's fault. */
static int busy_fn(sqlpool_conn *conn, void *user, int attempt) {
    (void)conn, (void)user;
    return attempt == 1 ? SQLITE_BUSY : SQLPOOL_OK;
}
static void newer_meanwhile(void *user, int attempt, int code, int64_t delay_us) {
    between *b = (between *)user;
    (void)attempt, (void)code, (void)delay_us;
    b->result = raw_exec(b->other, b->sql) ? 0 : 1;
}
TEST(another_process_between_two_attempts) {
    const sqlpool_migration step = {1, "made", NULL, NULL, busy_fn, NULL, NULL};
    sqlpool_migrate_config config = plan_of(&step, 1);
    sqlpool_migrate_result result;
    sqlpool_config pooled = config_of(1);
    between b = {0};
    sqlpool *pool;
    pooled.events.retry_fn = newer_meanwhile;
    pooled.events.user = &b;
    b.sql = "PRAGMA user_version = 9";
    b.result = -1;
    pool = open_pool("attempts.db", &pooled, NULL);
    CHECK(pool != NULL);
    b.other = raw_open("attempts.db");
    CHECK(b.other != NULL);
    CHECK_RC(sqlpool_migrate(pool, &config, NULL, &result, &err), SQLPOOL_MIGRATION_NEWER, &err);
    CHECK_INT(b.result, 0);
    CHECK_INT(result.failed_version, 0);
    CHECK(strstr(err.message, "made\" (up)") == NULL);
    (void)sqlite3_close(b.other);
    close_pool(pool);
}

/*  One that goes further while this one has a nearer target is left alone. */
TEST(another_process_goes_further) {
    static const char further[] = "BEGIN; CREATE TABLE posts(a); CREATE TABLE more(a); INSERT INTO "
                                  "sqlpool_migrations(version, direction, name, "
                                  "checksum, time, duration_us) SELECT 2, 'up', 'posts', checksum, "
                                  "'', 0 FROM given WHERE version = 2 UNION ALL "
                                  "SELECT 3, 'up', 'email of users', checksum, '', 0 FROM given "
                                  "WHERE version = 3; PRAGMA user_version = 3; "
                                  "COMMIT";
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool_migrate_result result;
    between b = {0};
    const sqlpool_maintenance options = told_to(tell, &b, NONE_INSIDE);
    sqlpool *pool = open_pool("further.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_OK(go_to(pool, three, 3, 0, NULL, &err), &err);
    CHECK_OK(sqlpool_script(
                 pool, "CREATE TABLE given AS SELECT version, checksum FROM sqlpool_migrations", -1,
                 &err),
             &err);
    CHECK_OK(go_to(pool, three, 3, SQLPOOL_OFF, NULL, &err), &err);
    b.other = raw_open("further.db");
    CHECK(b.other != NULL);
    b.sql = further;
    config.target = 2;
    CHECK_OK(sqlpool_migrate(pool, &config, &options, &result, &err), &err);
    CHECK_INT(result.steps, 1);
    CHECK_INT(VERSION(pool), 3);
    CHECK_INT(b.result, 0);
    (void)sqlite3_close(b.other);
    close_pool(pool);
}

/*---- readers ----*/

TEST(readers_go_on_and_get_the_new_schema) {
    static const char sql[] = "SELECT * FROM users ORDER BY id";
    sqlpool_config config = config_of(2);
    sqlpool_conn scope, lease;
    sqlpool_rows rows;
    sqlpool *pool = open_pool("readers.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_OK(go_to(pool, three, 3, 2, NULL, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &scope, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &lease, &err), &err);
    CHECK_OK(sqlpool_conn_query(&lease, &rows, sql, SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sqlpool_rows_column_count(&rows), 2);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_OK(sqlpool_snapshot_begin(&scope, 0, &err), &err);
    CHECK_INT(sqlpool_conn_release(&lease), SQLPOOL_OK);
    CHECK_OK(go_to(pool, three, 3, 3, NULL, &err), &err); /* with the other reader */
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &lease, &err), &err);
    CHECK_OK(sqlpool_conn_query(&lease, &rows, sql, SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_column_count(&rows), 3);
    CHECK_STR(sqlpool_rows_name(&rows, 2), "email");
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    /* an image is an image */
    CHECK_OK(sqlpool_conn_query(&scope, &rows, sql, SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sqlpool_rows_column_count(&rows), 2);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_OK(sqlpool_snapshot_end(&scope, &err), &err);
    CHECK_OK(sqlpool_conn_query(&scope, &rows, sql, SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sqlpool_rows_column_count(&rows), 3);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_INT(sqlpool_conn_release(&scope), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&lease), SQLPOOL_OK);
    close_pool(pool);
}

/*---- names, and other sorts of pools ----*/

TEST(names_of_every_kind) {
    static const char *const names[] = {"it's \"quoted\" [x] `y`; DROP TABLE users; --",
                                        "two\nlines\r\n\tand a tab",
                                        "\xc3\xbc\xe4\xba\xba\xf0\x9f\x98\x80", "%s%n%d", " "};
    sqlpool_migration steps[LENGTH(names)];
    char sql[LENGTH(names)][64], name[100];
    int i;
    sqlpool *pool = open_pool("names.db", NULL, NULL);
    CHECK(pool != NULL);
    memset(steps, 0, sizeof steps);
    for (i = 0; i < LENGTH(names); i++) {
        (void)snprintf(sql[i], sizeof sql[i], "CREATE TABLE t%d(a)", i);
        steps[i].version = i + 1;
        steps[i].name = names[i];
        steps[i].up = sql[i];
    }
    CHECK_OK(go_to(pool, steps, LENGTH(names), 0, NULL, &err), &err);
    for (i = 0; i < LENGTH(names); i++) {
        int64_t count = 0;
        CHECK_OK(sqlpool_query_int64(
                     pool, &count,
                     "SELECT count(*) FROM sqlpool_migrations WHERE version = ? AND name = ?",
                     SQLPOOL_ARGS(i + 1, names[i]), &err),
                 &err);
        CHECK_INT(count, 1);
    }
    CHECK_RC(go_to(pool, steps, LENGTH(names), 1, NULL, &err), SQLPOOL_MIGRATION_GAP, &err);
    CHECK(strchr(err.message, '\n') == NULL);
    steps[1].up = "";
    CHECK_RC(go_to(pool, steps, LENGTH(names), 0, NULL, &err), SQLPOOL_MIGRATION_CHANGED, &err);
    CHECK_HAS(err.message, "migration 2 \"two lines and a tab\" was edited");
    memset(name, 'n', sizeof name - 1); /* a long one is cut behind 80 bytes */
    name[sizeof name - 1] = '\0';
    steps[0].name = name;
    CHECK_RC(go_to(pool, steps, LENGTH(names), 0, NULL, &err), SQLPOOL_MIGRATION_CHANGED, &err);
    name[0] = '"';
    memcpy(name + 81, "...\"", 5);
    CHECK_HAS(err.message, name);
    close_pool(pool);
}

TEST(pools_of_every_kind) {
    int i;
    for (i = 0; i < 6; i++) {
        static const char *const paths[] = {":memory:", "kind1.db", "kind2.db",
                                            "kind3.db", "kind4.db", "kind5.db"};
        const sqlpool_config config = config_of_kind(i);
        sqlpool *pool = open_pool(paths[i], &config, NULL);
        CHECK(pool != NULL);
        CHECK_OK(go_to(pool, three, 3, 0, NULL, &err), &err);
        CHECK_INT(ask(pool, "SELECT count(*) FROM posts"), 3);
        CHECK_OK(go_to(pool, three, 3, SQLPOOL_OFF, NULL, &err), &err);
        CHECK_OK(go_to(pool, three, 3, 0, NULL, &err), &err);
        CHECK(keys_are_on(pool));
        CHECK_STR(integrity(pool), "ok");
        close_pool(pool);
    }
}

/*  A table of the same name that is not the library's. */
TEST(a_history_that_is_none) {
    sqlpool *pool = open_pool("none.db", NULL, "CREATE TABLE sqlpool_migrations(a)");
    CHECK(pool != NULL);
    CHECK_RC(go_to(pool, three, 3, 0, NULL, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "no such column");
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master"), 1);
    close_pool(pool);
}

static int told_count;
static void count_log(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)user;
    if (item == SQLPOOL_LOG_MIGRATION && level == SQLPOOL_LEVEL_INFO &&
        strstr(message, "\"posts\" up in ") != NULL)
        told_count++;
}
static int error_count;
static void count_error(void *user, const sqlpool_error *error) {
    (void)user, (void)error;
    error_count++;
}
TEST(hooks_hear_of_steps_and_of_a_failure_once) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_migration steps[3] = {STEPS};
    sqlpool *pool;
    config.log.write_fn = count_log;
    config.events.error_fn = count_error;
    pool = open_pool("log.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_OK(go_to(pool, steps, 3, 2, NULL, &err), &err);
    CHECK_INT(told_count, 1);
    CHECK_INT(error_count, 0);
    steps[2].up = "nonsense";
    CHECK_RC(go_to(pool, steps, 3, 0, NULL, &err), SQLITE_ERROR, &err);
    CHECK_INT(error_count, 1);
    CHECK_HAS(err.message, "line 1");
    close_pool(pool);
}

/*  The id is the program's already: only the versions are written down. */
TEST(versions_are_adopted_by_a_program_whose_file_it_is) {
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool *pool = open_pool("own.db", NULL, users_up);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_script(pool, posts_up, -1, &err), &err);
    CHECK_OK(sqlpool_script(pool, "PRAGMA user_version = 2; PRAGMA application_id = 77", -1, &err),
             &err);
    config.application_id = 77;
    config.target = 2;
    config.adopt = true;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlpool_migrations WHERE direction = 'adopted'"), 2);
    CHECK_INT(ask(pool, "PRAGMA application_id"), 77);
    CHECK_INT(VERSION(pool), 2);
    config.adopt = false;
    config.target = 3;
    CHECK_OK(sqlpool_migrate(pool, &config, NULL, NULL, &err), &err);
    CHECK_INT(HISTORY(pool), 3);
    close_pool(pool);
}

/*  Where it stands in the text of the function, which is not the step's. */
static int say_nonsense(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, "CREATE TABLE t(a);\n\nNONSENSE", SQLPOOL_NO_ARGS, NULL, NULL);
}
static int say_other_nonsense(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, "SELECT nowhere", SQLPOOL_NO_ARGS, NULL, NULL);
}
TEST(a_function_that_fails_in_its_sql_names_no_line_of_the_step) {
    sqlpool_migration step = {1, "fn", NULL, NULL, say_nonsense, NULL, NULL};
    sqlpool *pool = open_pool("fnline.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK(go_to(pool, &step, 1, 0, NULL, &err) != SQLPOOL_OK);
    step.up_fn = say_other_nonsense;
    CHECK_RC(go_to(pool, &step, 1, 0, NULL, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "migration 1 \"fn\" (up): no such column: nowhere");
    CHECK(strstr(err.message, "line") == NULL);
    CHECK_INT(VERSION(pool), 0);
    close_pool(pool);
}

static int stop_second(void *user, const sqlpool_progress *progress) {
    return ++*(int *)user == 2 || progress->done == 2 ? 4714 : 0;
}
TEST(a_dry_run_is_stopped_between_two_steps) {
    sqlpool_migrate_config config = plan_of(three, 3);
    sqlpool_migrate_result result;
    int calls = 0;
    const sqlpool_maintenance options = told_to(stop_second, &calls, NONE_INSIDE);
    sqlpool *pool = open_pool("drystop.db", NULL, NULL);
    CHECK(pool != NULL);
    config.mode = SQLPOOL_MIGRATE_DRY_RUN;
    CHECK_RC(sqlpool_migrate(pool, &config, &options, &result, &err), 4714, &err);
    CHECK_HAS(err.message, "the dry run was stopped by its callback, which returned 4714");
    CHECK_INT(calls, 2);
    CHECK_INT(result.to, 0);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master"), 0);
    CHECK(keys_are_on(pool));
    close_pool(pool);
}

int main(void) {
    RUN(processes_that_migrate_at_once); /* first: it forks */
    RUN(up_down_and_up_again);
    RUN(a_parent_is_rebuilt_and_no_child_lost);
    RUN(a_row_without_a_parent_stops_the_step);
    RUN(a_step_that_fails_leaves_the_version_before);
    RUN(what_a_step_may_not_say);
    RUN(functions_of_a_step);
    RUN(a_forgotten_cursor_is_in_nobodys_way);
    RUN(functions_alone_both_ways);
    RUN(gaps_are_named);
    RUN(what_has_run_must_not_change);
    RUN(newer_other_and_set_back);
    RUN(checksums_stay_what_they_are);
    RUN(the_id_is_set_late);
    RUN(versions_without_a_history_are_adopted_on_request);
    RUN(a_step_without_a_way_down);
    RUN(misuse_is_named);
    RUN(a_dry_run_does_all_and_leaves_nothing);
    RUN(looking_needs_no_lock);
    RUN(read_only_pools_look);
    RUN(a_lock_held_for_long_ends_in_time);
    RUN(a_lock_is_waited_for_as_long_as_said);
    RUN(a_step_that_takes_too_long_is_stopped);
    RUN(a_step_has_the_time_it_takes);
    RUN(progress_is_told_and_stops);
    RUN(progress_is_told_inside_a_step);
    RUN(another_process_between_two_steps);
    RUN(another_process_between_two_attempts);
    RUN(another_process_goes_further);
    RUN(readers_go_on_and_get_the_new_schema);
    RUN(names_of_every_kind);
    RUN(pools_of_every_kind);
    RUN(a_history_that_is_none);
    RUN(hooks_hear_of_steps_and_of_a_failure_once);
    RUN(versions_are_adopted_by_a_program_whose_file_it_is);
    RUN(a_function_that_fails_in_its_sql_names_no_line_of_the_step);
    RUN(a_dry_run_is_stopped_between_two_steps);
    return test_end();
}
