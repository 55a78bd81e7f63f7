/*  sql.c - fuzz: splitting and routing SQL text (I08), and what sqlpool_conn_stmt() says of it,
    against sqlite3_prepare() and sqlite3_complete(). SPDX-License-Identifier: MIT OR Unlicense

    The oracle is a plain connection with the same schema whose authorizer tells what a statement
    does. Two differences to SQLite are known, harmless and left out: SQLite takes a comment that is
    only opened at the very end as a division, and a vertical tab as space only behind space. */
#include "fuzz/fuzz.h"

static const char *const fuzz_words[] = {
    "SELECT ", "select 1", "VALUES(1)", "INSERT INTO a(x) VALUES(1)", "REPLACE INTO a VALUES(1,2)",
    "UPDATE a SET x=1", "DELETE FROM a", "WITH c(n) AS (SELECT 1) ", "WITH RECURSIVE ",
    "EXPLAIN ", "EXPLAIN QUERY PLAN ", "PRAGMA ", "PRAGMA main.", "user_version",
    "application_id=1",
    "optimize", "incremental_vacuum(2)", "table_info(a)", "journal_mode", "BEGIN", "COMMIT",
    "SAVEPOINT s", "ATTACH 'x' AS y", "CREATE TABLE z(q)", "CREATE TEMP TABLE z(q)", "DROP TABLE a",
    "REINDEX", "ANALYZE", "VACUUM", "/*", "*/", "--", "\n", ";", "''", "\"\"", "[", "]", "`", "(",
    ")", "\xEF\xBB\xBF", " RETURNING x", "x'00'", " AS MATERIALIZED (", ",", "replace", "a", "$x",
    "?1", ".", "=", NULL};

static const char *const fixed_seeds[] = {
    "SELECT 1", "select\n*\tfrom a", " ;; -- x\n SELECT 2;", "/* c */ INSERT INTO a(x) VALUES(1)",
    "WITH c AS (SELECT 1) SELECT * FROM c", "WITH c AS (SELECT 1) INSERT INTO a(x) SELECT * FROM c",
    "WITH replace(x) AS (VALUES(1)) SELECT replace(x,1,2) FROM replace",
    "WITH \"update\" AS (SELECT 1), [delete] AS (SELECT 2) DELETE FROM a",
    "PRAGMA user_version=3", "PRAGMA main . application_id ( 4 )", "PRAGMA \"optimize\"",
    "EXPLAIN DELETE FROM a", "VALUES(1),(2)", "/* open", "-- open", "SELECT 'it''s;';SELECT 2",
    "UPDATE a SET x=';' -- \n;", "REPLACE INTO a VALUES(1,2);", "CREATE TABLE \"q;\"(x)",
    "CREATE TRIGGER g AFTER INSERT ON a BEGIN DELETE FROM b; END;", "\xEF\xBB\xBFSELECT 1", "",
    "SELECT 1;/* */;--\n;", "BEGIN", "DELETE FROM a WHERE x=[y];]"};

static void fuzz_seeds(void) {
    size_t i;
    for (i = 0; i < LENGTH(fixed_seeds); i++) fuzz_seed_text(fixed_seeds[i]);
}

static const char *const schema =
    "CREATE TABLE a(x,y);CREATE TABLE b(id INTEGER PRIMARY KEY,z);"
    "CREATE VIEW v AS SELECT x FROM a;";

/*---- the oracle ----*/

typedef struct seen {
    bool is_refused; /* by the pool's rules: transactions, ATTACH, TEMP, most PRAGMAs */
    bool is_pragma, has_argument;
    char pragma[64];
} seen;
static seen saw;

static int on_authorize(void *user, int action, const char *a, const char *b, const char *database,
                        const char *trigger) {
    (void)user;
    (void)trigger;
    switch (action) {
    case SQLITE_PRAGMA:
        saw.is_pragma = true;
        saw.has_argument = b != NULL;
        (void)snprintf(saw.pragma, sizeof saw.pragma, "%s", a != NULL ? a : "");
        break;
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
        saw.is_refused = true;
        break;
    case SQLITE_CREATE_VTABLE:
        if (database != NULL && sqlite3_stricmp(database, "temp") == 0) saw.is_refused = true;
        break;
    default:
        break;
    }
    return SQLITE_OK;
}

static sqlite3 *plain;
static unit_pool pooled;
static sqlpool_conn lease;

static void fuzz_start(void) {
    sqlpool_config config = fuzz_config(&pooled, 1);
    plain = fuzz_plain(":memory:", schema);
    (void)sqlite3_set_authorizer(plain, on_authorize, NULL);
    (void)sqlite3_db_config(plain, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    config.statement_cache_count = 4;
    fuzz_open(&pooled, ":memory:", &config);
    FUZZ_CHECK(sqlpool_script(pooled.pool, schema, -1, NULL) == SQLPOOL_OK);
    FUZZ_CHECK(sqlpool_conn_acquire(pooled.pool, SQLPOOL_WRITE, &lease, NULL) == SQLPOOL_OK);
}

/*  The first statement that is one: 1, with what SQLite found out; 0: there is none; -1: an error.
    `tail` is behind it. */
static int first_statement(const char *sql, const char **tail, sqlite3_stmt **statement) {
    *tail = sql;
    *statement = NULL;
    while (**tail != '\0') {
        memset(&saw, 0, sizeof saw);
        if (sqlite3_prepare_v2(plain, *tail, -1, statement, tail) != SQLITE_OK) return -1;
        if (*statement != NULL) return 1;
    }
    return 0;
}

static bool opens_comment_at_end(const char *sql, size_t bytes) {
    return bytes >= 2 && sql[bytes - 2] == '/' && sql[bytes - 1] == '*';
}

/*---- the checks ----*/

static void check_tokens(const char *sql, size_t bytes) {
    const char *at = sql, *const end = sql + bytes;
    for (;;) {
        const char *before = at;
        const sqlpool__token token = sqlpool__next_token(&at, end);
        FUZZ_CHECK(at >= before && at <= end && token.text >= before &&
                   token.text + token.bytes == at);
        FUZZ_CHECK(token.bytes > 0 || at == end);
        if (token.bytes == 0) return;
    }
}

/*  Whether there is a statement, and where it begins. */
static void check_splitting(const char *sql, size_t bytes) {
    const char *found = sqlpool__find_statement(sql, sql + bytes), *tail;
    sqlite3_stmt *statement;
    int has;
    if (memchr(sql, '\v', bytes) != NULL || opens_comment_at_end(sql, bytes)) return;
    has = first_statement(sql, &tail, &statement);
    (void)sqlite3_finalize(statement);
    if ((found != NULL) != (has != 0))
        FUZZ_FAIL("find_statement %s one, SQLite %d", found != NULL ? "finds" : "does not find",
                  has);
    if (found != NULL && strstr(sql, "\xEF\xBB\xBF") == NULL) {
        /* before it there is nothing but space, whole comments and semicolons */
        const size_t before = (size_t)(found - sql);
        char *text = (char *)malloc(before + 3);
        FUZZ_CHECK(text != NULL);
        memcpy(text, "x;", 2);
        memcpy(text + 2, sql, before);
        text[before + 2] = '\0';
        if (sqlite3_complete(text) != 1) FUZZ_FAIL("a statement begins before byte %zu", before);
        free(text);
    }
}

/*  The lane, by what SQLite knows of the prepared statement. */
static void check_routing(const char *sql, size_t bytes) {
    const sqlpool_mode mode = sqlpool__route(sql, bytes);
    const char *tail;
    sqlite3_stmt *statement;
    const int has = first_statement(sql, &tail, &statement);
    const bool is_explain = has == 1 && sqlite3_stmt_isexplain(statement) != 0;
    const bool reads = has == 1 && sqlite3_stmt_readonly(statement) != 0;
    (void)sqlite3_finalize(statement);
    if (sqlpool__begins_with_select(sql)) FUZZ_CHECK(mode == SQLPOOL_READ);
    if (has == 0 && !opens_comment_at_end(sql, bytes)) FUZZ_CHECK(mode == SQLPOOL_READ);
    if (has != 1 || saw.is_refused) return;
    if (saw.is_pragma) {
        const bool writes = sqlite3_stricmp(saw.pragma, "optimize") == 0 ||
                            sqlite3_stricmp(saw.pragma, "incremental_vacuum") == 0 ||
                            (saw.has_argument &&
                             (sqlite3_stricmp(saw.pragma, "user_version") == 0 ||
                              sqlite3_stricmp(saw.pragma, "application_id") == 0));
        if (is_explain) return;
        if (writes != (mode == SQLPOOL_WRITE))
            FUZZ_FAIL("PRAGMA %s%s goes to the %s", saw.pragma, saw.has_argument ? "=" : "",
                      mode == SQLPOOL_WRITE ? "writer" : "readers");
        FUZZ_CHECK(sqlpool__is_reading_pragma(sql, bytes) == !writes);
        return;
    }
    FUZZ_CHECK(!sqlpool__is_reading_pragma(sql, bytes) || is_explain);
    if ((reads || is_explain) != (mode == SQLPOOL_READ)) {
        /* REINDEX of nothing and its like write nothing, but would */
        const char *at = sql;
        const sqlpool__token token = sqlpool__first_token(&at, sql + bytes);
        if (mode == SQLPOOL_WRITE && !sqlpool__token_is(&token, "SELECT") &&
            !sqlpool__token_is(&token, "WITH") && !sqlpool__token_is(&token, "VALUES"))
            return;
        FUZZ_FAIL("%s is routed to the %s", reads ? "a reading statement" : "a writing statement",
                  mode == SQLPOOL_WRITE ? "writer" : "readers");
    }
}

/*  The public call: none, one, several or a refused statement. */
static void check_call(const char *sql, size_t bytes) {
    const char *tail;
    sqlite3_stmt *statement, *of_pool = NULL;
    sqlpool_error error;
    int has, rc;
    if (memchr(sql, '\v', bytes) != NULL || opens_comment_at_end(sql, bytes)) return;
    memset(&error, 0xaa, sizeof error);
    rc = sqlpool_conn_stmt(&lease, sql, &of_pool, &error);
    fuzz_check_error(&error, rc);
    FUZZ_CHECK((rc == SQLPOOL_OK) == (of_pool != NULL));
    FUZZ_CHECK(error.sql_offset >= -1 && error.sql_offset <= (int)bytes);
    if (of_pool != NULL) FUZZ_CHECK(sqlpool_conn_stmt_release(&lease, of_pool) == SQLPOOL_OK);
    memset(&saw, 0, sizeof saw);
    has = sqlite3_prepare_v2(plain, sql, -1, &statement, &tail) != SQLITE_OK ? -1
          : statement != NULL                                                ? 1
                                                                             : 0;
    (void)sqlite3_finalize(statement);
    if (rc == SQLPOOL_REFUSED) {
        FUZZ_CHECK(saw.is_refused || saw.is_pragma || has == -1);
    } else if (rc > 0) {
        if (has != -1) FUZZ_FAIL("SQLite takes it, the pool says %s", error.message);
    } else if (rc == SQLPOOL_OK) {
        sqlite3_stmt *next;
        FUZZ_CHECK(has == 1 && !saw.is_refused);
        FUZZ_CHECK(first_statement(tail, &tail, &next) == 0);
    } else if (rc == SQLPOOL_TRAILING) {
        sqlite3_stmt *next;
        int more;
        FUZZ_CHECK(has == 1 && error.sql_offset > 0);
        FUZZ_CHECK(sql + error.sql_offset >= tail);
        more = first_statement(tail, &tail, &next);
        (void)sqlite3_finalize(next);
        FUZZ_CHECK(more != 0);
    } else {
        FUZZ_CHECK(rc == SQLPOOL_EMPTY);
        FUZZ_CHECK(has == 0);
    }
}

static void fuzz_one(const uint8_t *data, size_t bytes) {
    const char *nul = (const char *)memchr(data, 0, bytes);
    const size_t length = nul != NULL ? (size_t)(nul - (const char *)data) : bytes;
    char *exact = (char *)fuzz_exact(data, bytes), *text;
    /* any bytes, without a terminator: nothing is read behind the end */
    check_tokens(exact, bytes);
    (void)sqlpool__find_statement(exact, exact + bytes);
    (void)sqlpool__route(exact, bytes);
    (void)sqlpool__is_reading_pragma(exact, bytes);
    (void)sqlpool__can_group(pooled.core, exact, bytes);
    free(exact);
    text = (char *)malloc(length + 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data, length);
    text[length] = '\0';
    check_splitting(text, length);
    check_routing(text, length);
    check_call(text, length);
    free(text);
}

FUZZ_TARGET("sql")
