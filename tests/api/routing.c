/*  routing.c - which connection a statement goes to, and what is refused. SPDX-License-Identifier: MIT OR Unlicense */
#define _POSIX_C_SOURCE 200809L
#include "api.h"

static sqlpool_error err;
static const char schema[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES(1, 'one'), (2, 'two')";

/*  Where a statement goes shows while this thread holds the writer: what reads works, what belongs to
    the writer is SQLPOOL_MISUSE. */
TEST(reader_or_writer) {
    static const struct {
        const char *sql;
        bool writer;
    } cases[] = {
        {"SELECT * FROM t", false},
        {"select count(*) from t", false},
        {"  \n\t SeLeCt 1", false},
        {"-- INSERT\nSELECT 1", false},
        {"/* DELETE FROM t */ SELECT 1", false},
        {"/**/--\n/* ; */SELECT 1", false},
        {";SELECT 1", false},
        {" ; ; SELECT 1", false},
        {"VALUES(1), (2)", false},
        {"values (1)", false},
        {"WITH x AS (SELECT 1 AS a) SELECT a FROM x", false},
        {"WITH RECURSIVE x(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM x WHERE a < 3) SELECT * FROM x", false},
        {"SELECT 'INSERT INTO t VALUES(1)'", false},
        {"SELECT \"DELETE\" FROM (SELECT 1 AS \"DELETE\")", false},
        {"SELECT upper(v), length(v), random() FROM t", false},
        {"SELECT count(*) FROM (SELECT 1 UNION SELECT 2)", false},
        {"EXPLAIN QUERY PLAN SELECT * FROM t", false},
        {"EXPLAIN SELECT * FROM t", false},
        {"explain query plan select 1", false},
        {"PRAGMA table_info(t)", false},
        {"PRAGMA user_version", false},
        {"pragma main.page_size", false},
        {"SELECT * FROM pragma_table_info('t')", false},
        {"INSERT INTO t(v) VALUES('x')", true},
        {"insert into t(v) values('x')", true},
        {"/* SELECT */ INSERT INTO t(v) VALUES('x')", true},
        {"-- SELECT\nINSERT INTO t(v) VALUES('x')", true},
        {";INSERT INTO t(v) VALUES('x')", true},
        {"REPLACE INTO t VALUES(9, 'x')", true},
        {"INSERT INTO t(v) SELECT v FROM t", true},
        {"UPDATE t SET v = v", true},
        {"DELETE FROM t WHERE id > 1000", true},
        {"WITH x AS (SELECT 1) INSERT INTO t(v) SELECT * FROM x", true},
        {"WITH x(a) AS (SELECT 1), y AS (SELECT ')' AS b) DELETE FROM t WHERE id IN (SELECT a + 1000 FROM x)", true},
        {"WITH x AS (SELECT 1) UPDATE t SET v = v WHERE id = 1000", true},
        {"WITH x AS (SELECT 1) REPLACE INTO t VALUES(9, 'x')", true},
        {"CREATE TABLE x(y)", true},
        {"CREATE INDEX i ON t(v)", true},
        {"DROP TABLE IF EXISTS x", true},
        {"ALTER TABLE t ADD COLUMN w", true},
        {"ANALYZE", true},
        {"REINDEX", true},
        {"PRAGMA user_version=5", true},
        {"PRAGMA user_version = 5", true},
        {"PRAGMA main.user_version(5)", true},
        {"PRAGMA application_id=7", true},
        {"PRAGMA optimize", true},
    };
    int i;
    sqlpool_conn writer;
    sqlpool *pool = open_pool("routing.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
    for (i = 0; i < LENGTH(cases); i++) {
        const int rc = sqlpool_exec(pool, cases[i].sql, SQLPOOL_NO_ARGS, &err);
        if (rc != (cases[i].writer ? SQLPOOL_MISUSE : SQLPOOL_OK))
            test_fail(__FILE__, __LINE__, "%s, which belongs to a %s, gave %s: %s", cases[i].sql,
                      cases[i].writer ? "writer" : "reader", sqlpool_result_name(rc), err.message);
    }
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    for (i = 0; i < LENGTH(cases); i++) { /* and all of it runs when the writer is free */
        const int rc = sqlpool_exec(pool, cases[i].sql, SQLPOOL_NO_ARGS, &err);
        if (rc != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "%s gave %s: %s", cases[i].sql, sqlpool_result_name(rc), err.message);
    }
    CHECK_INT(ask(pool, "PRAGMA user_version"), 5);
    CHECK_INT(ask(pool, "PRAGMA application_id"), 7);
    CHECK_INT(ask(pool, "SELECT count(*) FROM pragma_table_info('t')"), 3);
    close_pool(pool);
}

TEST(writers_are_not_needed_to_read) {
    sqlpool_conn reader;
    sqlpool_config config = config_of(1);
    sqlpool *pool = open_pool("noreader.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &reader, &err), &err); /* the only reader is out */
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES('x')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sqlpool_conn_release(&reader), SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3);
    close_pool(pool);
}

TEST(explain_does_not_write) {
    static const char *const cases[] = {
        "EXPLAIN INSERT INTO t(v) VALUES('x')", "EXPLAIN QUERY PLAN INSERT INTO t(v) VALUES('x')",
        "EXPLAIN DELETE FROM t",                "EXPLAIN QUERY PLAN DELETE FROM t",
        "explain create table zz(a)",           "EXPLAIN DROP TABLE t",
    };
    sqlpool_rows rows;
    int i, count;
    sqlpool *pool = open_pool("explain.db", NULL, schema);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(cases); i++) {
        CHECK_OK(sqlpool_query(pool, &rows, cases[i], SQLPOOL_NO_ARGS, &err), &err);
        for (count = 0; sqlpool_rows_next(&rows);) count++;
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        if (strstr(cases[i], "PLAN") == NULL) CHECK(count > 3); /* a program */
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_master"), 1);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * refusals
 *----------------------------------------------------------------------------*/

static const struct {
    const char *sql;
    const char *part; /* of the call or field that the message names */
} refused[] = {
    {"BEGIN", "sqlpool_"},
    {"begin immediate", "sqlpool_"},
    {"BEGIN EXCLUSIVE TRANSACTION", "sqlpool_"},
    {"-- hello\nBEGIN", "sqlpool_"},
    {"/* x */ /* y */ BEGIN", "sqlpool_"},
    {";BEGIN", "sqlpool_"},
    {"COMMIT", "sqlpool_"},
    {"END", "sqlpool_"},
    {"END TRANSACTION", "sqlpool_"},
    {"ROLLBACK", "sqlpool_"},
    {"ROLLBACK TO x", "sqlpool_"},
    {"SAVEPOINT x", "sqlpool_"},
    {"RELEASE x", "sqlpool_"},
    {"RELEASE SAVEPOINT x", "sqlpool_"},
    {"ATTACH ':memory:' AS y", "connect_fn"},
    {"ATTACH DATABASE 'created.db' AS y", "connect_fn"},
    {"/* sly */ attach 'created.db' as y", "connect_fn"},
    {"DETACH y", "connect_fn"},
    {"PRAGMA journal_mode=DELETE", "journal"},
    {"PRAGMA journal_mode(DELETE)", "journal"},
    {"PRAGMA main.journal_mode = TRUNCATE", "journal"},
    {"pragma JOURNAL_MODE=off", "journal"},
    {"PRAGMA \"journal_mode\"=DELETE", "journal"},
    {"PRAGMA [journal_mode]=DELETE", "journal"},
    {"PRAGMA /* x */ journal_mode /* y */ = /* z */ DELETE", "journal"},
    {"-- c\nPRAGMA journal_mode=DELETE", "journal"},
    {"PRAGMA wal_checkpoint", "sqlpool_checkpoint"},
    {"PRAGMA wal_checkpoint(TRUNCATE)", "sqlpool_checkpoint"},
    {"PRAGMA main.wal_checkpoint", "sqlpool_checkpoint"},
    {"PRAGMA wal_autocheckpoint=5", "wal_budget_bytes"},
    {"PRAGMA query_only=0", "SQLPOOL_WRITE"},
    {"PRAGMA query_only=1", "SQLPOOL_WRITE"},
    {"PRAGMA query_only(OFF)", "SQLPOOL_WRITE"},
    {"PRAGMA locking_mode=EXCLUSIVE", ""},
    {"PRAGMA synchronous=OFF", "synchronous"},
    {"PRAGMA synchronous=0", "synchronous"},
    {"PRAGMA foreign_keys=OFF", "foreign_keys"},
    {"PRAGMA foreign_keys=0", "foreign_keys"},
    {"EXPLAIN PRAGMA foreign_keys=0", ""},
    {"EXPLAIN PRAGMA query_only=0", ""},
    {"PRAGMA busy_timeout=1", "timeout"},
    {"PRAGMA cache_size=5", "page_cache_kib"},
    {"PRAGMA temp_store=FILE", ""},
    {"PRAGMA mmap_size=65536", "mmap_bytes"},
    {"PRAGMA journal_size_limit=5", "journal_size_limit_bytes"},
    {"PRAGMA read_uncommitted=1", ""},
    {"PRAGMA recursive_triggers=1", ""},
    {"PRAGMA case_sensitive_like=1", ""},
    {"PRAGMA ignore_check_constraints=1", ""},
    {"PRAGMA writable_schema=1", ""},
    {"PRAGMA reverse_unordered_selects=1", ""},
    {"PRAGMA trusted_schema=1", ""},
    {"PRAGMA legacy_alter_table=1", ""},
    {"PRAGMA hard_heap_limit=100000000", ""},
    {"PRAGMA soft_heap_limit=100000000", ""},
    {"PRAGMA temp_store_directory='/tmp'", ""},
};

static void settings(sqlpool_conn *conn, char *out, size_t bytes) {
    static const char *const questions[] = {
        "SELECT * FROM pragma_journal_mode", "PRAGMA synchronous", "PRAGMA foreign_keys", "PRAGMA query_only", "PRAGMA locking_mode",
        "PRAGMA cache_size", "PRAGMA temp_store", "PRAGMA wal_autocheckpoint", "PRAGMA mmap_size",
        "PRAGMA journal_size_limit", "PRAGMA read_uncommitted", "PRAGMA recursive_triggers", "SELECT 'a' LIKE 'A'",
        "PRAGMA ignore_check_constraints", "PRAGMA reverse_unordered_selects", "PRAGMA trusted_schema",
        "PRAGMA legacy_alter_table", "SELECT count(*) FROM pragma_database_list", "SELECT count(*) FROM t",
    };
    ask_conn_all(conn, questions, LENGTH(questions), out, bytes);
}

static void check_refusal(const char *how, const char *sql, const char *part, int rc, const sqlpool_error *error) {
    if (rc != SQLPOOL_REFUSED || error->result != SQLPOOL_REFUSED)
        test_fail(__FILE__, __LINE__, "%s: %s gave %s: %s", how, sql, sqlpool_result_name(rc), error->message);
    else if (strlen(error->message) < 20 || strstr(error->message, part) == NULL)
        test_fail(__FILE__, __LINE__, "%s: %s: \"%s\" lacks \"%s\"", how, sql, error->message, part);
}

static void refuse_on_lease(sqlpool *pool, sqlpool_mode mode, bool in_transaction) {
    static char before[2000], after[2000];
    char script[300], how[100];
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlite3_stmt *statement;
    int i;
    CHECK_OK(sqlpool_conn_acquire(pool, mode, &conn, &err), &err);
    if (in_transaction) CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    settings(&conn, before, sizeof before);
    for (i = 0; i < LENGTH(refused); i++) {
        (void)snprintf(how, sizeof how, "%s lease%s", mode == SQLPOOL_READ ? "read" : "write",
                       in_transaction ? " in a transaction" : "");
        check_refusal(how, refused[i].sql, refused[i].part,
                      sqlpool_conn_exec(&conn, refused[i].sql, SQLPOOL_NO_ARGS, NULL, &err), &err);
        check_refusal(how, refused[i].sql, refused[i].part,
                      sqlpool_conn_query(&conn, &rows, refused[i].sql, SQLPOOL_NO_ARGS, &err), &err);
        (void)sqlpool_rows_close(&rows, NULL);
        statement = NULL;
        check_refusal(how, refused[i].sql, refused[i].part,
                      sqlpool_conn_stmt(&conn, refused[i].sql, &statement, &err), &err);
        if (statement != NULL) test_fail(__FILE__, __LINE__, "%s: a statement was given all the same", refused[i].sql);
        if (mode == SQLPOOL_WRITE && refused[i].sql[0] != ';') {
            (void)snprintf(script, sizeof script, "SELECT 1; INSERT INTO t(v) VALUES('lost');\n%s; SELECT 2", refused[i].sql);
            check_refusal(how, script, refused[i].part, sqlpool_conn_script(&conn, script, -1, &err), &err);
        }
        settings(&conn, after, sizeof after);
        if (strcmp(before, after) != 0)
            test_fail(__FILE__, __LINE__, "%s: %s changed the connection from\n%s to\n%s", how, refused[i].sql, before, after);
    }
    if (in_transaction) CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
}

TEST(refused_on_a_writer_lease) {
    sqlpool *pool = open_pool("refwriter.db", NULL, schema);
    CHECK(pool != NULL);
    PART(refuse_on_lease(pool, SQLPOOL_WRITE, false));
    close_pool(pool);
}
TEST(refused_in_a_transaction) {
    sqlpool *pool = open_pool("reftx.db", NULL, schema);
    CHECK(pool != NULL);
    PART(refuse_on_lease(pool, SQLPOOL_WRITE, true));
    close_pool(pool);
}
TEST(refused_on_a_reader_lease) {
    sqlpool *pool = open_pool("refreader.db", NULL, schema);
    CHECK(pool != NULL);
    PART(refuse_on_lease(pool, SQLPOOL_READ, false));
    close_pool(pool);
}

TEST(refused_by_the_pool) {
    static char before[2][2000], after[2000];
    char script[300];
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlpool_rows rows;
    int i, mode;
    sqlpool *pool = open_pool("refpool.db", &config, schema);
    CHECK(pool != NULL);
    for (mode = 0; mode < 2; mode++) {
        CHECK_OK(sqlpool_conn_acquire(pool, (sqlpool_mode)mode, &conn, &err), &err);
        settings(&conn, before[mode], sizeof before[mode]);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    for (i = 0; i < LENGTH(refused); i++) {
        check_refusal("exec", refused[i].sql, refused[i].part, sqlpool_exec(pool, refused[i].sql, SQLPOOL_NO_ARGS, &err), &err);
        check_refusal("query", refused[i].sql, refused[i].part,
                      sqlpool_query(pool, &rows, refused[i].sql, SQLPOOL_NO_ARGS, &err), &err);
        (void)sqlpool_rows_close(&rows, NULL);
        (void)snprintf(script, sizeof script, "INSERT INTO t(v) VALUES('lost'); %s", refused[i].sql);
        check_refusal("script", script, refused[i].part, sqlpool_script(pool, script, -1, &err), &err);
        check_refusal("script", refused[i].sql, refused[i].part, sqlpool_script(pool, refused[i].sql, -1, &err), &err);
    }
    for (mode = 0; mode < 2; mode++) {
        CHECK_OK(sqlpool_conn_acquire(pool, (sqlpool_mode)mode, &conn, &err), &err);
        settings(&conn, after, sizeof after);
        CHECK_STR(after, before[mode]);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    CHECK(access("created.db", F_OK) != 0); /* ATTACH made no file */
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
}

/*  What only looks like a refused statement, or only reads a setting. */
TEST(allowed_all_the_same) {
    static const char *const allowed[] = {
        "PRAGMA journal_mode",   "PRAGMA main.journal_mode",  "PRAGMA synchronous", "PRAGMA foreign_keys",
        "PRAGMA query_only",     "PRAGMA cache_size",         "PRAGMA database_list", "PRAGMA table_info('t')",
        "PRAGMA index_list(t)",  "PRAGMA foreign_key_check",  "PRAGMA integrity_check(3)", "PRAGMA quick_check",
        "PRAGMA page_count",     "PRAGMA freelist_count",     "PRAGMA compile_options",  "PRAGMA encoding",
        "PRAGMA user_version=3", "PRAGMA data_version",       "PRAGMA schema_version",
        "SELECT 'BEGIN'",        "SELECT 1 AS \"commit\"",    "SELECT 1 /* ROLLBACK */", "SELECT 1 -- ; ATTACH",
        "CREATE TABLE IF NOT EXISTS \"begin\"(\"commit\")",   "INSERT INTO \"begin\" VALUES(1)",
        "CREATE TRIGGER IF NOT EXISTS tr AFTER INSERT ON t BEGIN DELETE FROM t WHERE 0; END",
        "SELECT CASE WHEN 1 THEN 2 END",
    };
    int i;
    sqlpool *pool = open_pool("allowed.db", NULL, schema);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(allowed); i++) {
        int rc = sqlpool_exec(pool, allowed[i], SQLPOOL_NO_ARGS, &err);
        if (rc != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "%s gave %s: %s", allowed[i], sqlpool_result_name(rc), err.message);
        rc = sqlpool_script(pool, allowed[i], -1, &err);
        if (rc != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "script %s gave %s: %s", allowed[i], sqlpool_result_name(rc), err.message);
    }
    close_pool(pool);
}

/*  To ask for a setting is no change of it, on a reader lease as little as anywhere. */
TEST(settings_can_be_read_on_any_lease) {
    static const char *const questions[] = {
        "PRAGMA journal_mode", "PRAGMA synchronous", "PRAGMA foreign_keys", "PRAGMA query_only", "PRAGMA locking_mode",
        "PRAGMA cache_size", "PRAGMA temp_store", "PRAGMA wal_autocheckpoint", "PRAGMA mmap_size", "PRAGMA page_size",
        "PRAGMA journal_size_limit", "PRAGMA user_version", "PRAGMA application_id", "PRAGMA auto_vacuum",
        "PRAGMA encoding", "PRAGMA busy_timeout", "PRAGMA secure_delete", "PRAGMA freelist_count", "PRAGMA max_page_count",
        "PRAGMA data_version", "PRAGMA compile_options", "PRAGMA database_list", "PRAGMA collation_list",
    };
    int mode, i, rc;
    sqlpool_conn conn;
    sqlpool *pool = open_pool("questions.db", NULL, schema);
    CHECK(pool != NULL);
    for (mode = 0; mode < 2; mode++) {
        CHECK_OK(sqlpool_conn_acquire(pool, (sqlpool_mode)mode, &conn, &err), &err);
        for (i = 0; i < LENGTH(questions); i++) {
            rc = sqlpool_conn_exec(&conn, questions[i], SQLPOOL_NO_ARGS, NULL, &err);
            if (rc != SQLPOOL_OK)
                test_fail(__FILE__, __LINE__, "%s on a %s lease gave %s: %s", questions[i], mode ? "write" : "read",
                          sqlpool_result_name(rc), err.message);
        }
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    close_pool(pool);
}

/*  An embedded function cannot smuggle a write onto a reader. */
static void set_up(sqlite3_context *context, int count, sqlite3_value **values) {
    sqlite3 *db = sqlite3_context_db_handle(context);
    (void)count, (void)values;
    sqlite3_result_int(context, sqlite3_exec(db, "INSERT INTO t(v) VALUES('sly')", NULL, NULL, NULL));
}
static int add_sly(void *user, const sqlpool_conn *conn) {
    (void)user;
    return add_function(conn, "sly", 0, set_up);
}
TEST(function_cannot_write_through_a_reader) {
    sqlpool_config config = config_of(1);
    sqlpool *pool;
    config.events.connect_fn = add_sly;
    pool = open_pool("sly.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT sly()"), SQLITE_READONLY);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
}

TEST(general_topology) {
    sqlpool_config config = config_of(3);
    sqlpool_conn a, b;
    sqlpool *pool;
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    pool = open_pool("general.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES('x')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &a, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &b, &err), &err);
    CHECK_INT(ask_conn(&a, "SELECT count(*) FROM t"), 3);
    CHECK_INT(ask_conn(&b, "SELECT count(*) FROM t"), 3);
    CHECK_RC(sqlpool_conn_exec(&a, "PRAGMA query_only=0", SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_REFUSED, &err);
    CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &a, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&a, "INSERT INTO t(v) VALUES('y')", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&b), SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 4);
    close_pool(pool);
}

int main(void) {
    RUN(reader_or_writer);
    RUN(writers_are_not_needed_to_read);
    RUN(explain_does_not_write);
    RUN(refused_on_a_writer_lease);
    RUN(refused_in_a_transaction);
    RUN(refused_on_a_reader_lease);
    RUN(refused_by_the_pool);
    RUN(allowed_all_the_same);
    RUN(settings_can_be_read_on_any_lease);
    RUN(function_cannot_write_through_a_reader);
    RUN(general_topology);
    return test_end();
}
