/*  sql.c - white box: tokens, routing, and what may not be prepared (I08, I10).
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "unit.h"

#define R SQLPOOL_READ
#define W SQLPOOL_WRITE

static uint64_t random_state = 20260711;
static uint64_t draw(uint64_t bound) {
    return sqlpool__default_random(&random_state) % bound;
}

/*  The text in a block of its exact size: a byte read behind it is seen by ASan and valgrind. */
static sqlpool_mode route_exactly(const char *sql, size_t bytes) {
    char *copy = (char *)malloc(bytes > 0 ? bytes : 1);
    sqlpool_mode mode = W;
    if (copy == NULL) return mode;
    memcpy(copy, sql, bytes);
    mode = sqlpool__route(copy, bytes);
    free(copy);
    return mode;
}

TEST(tokens) {
    static const struct {
        const char *sql;
        const char *tokens; /* separated by | ; a word is followed by w */
    } table[] = {
        {"", ""},
        {"  \t\r\n\f ", ""},
        {"a b", "aw|bw|"},
        {"a.b=1", "aw|.|bw|=|1w|"},
        {"_x$9 \xc3\xa4\xff", "_x$9w|\xc3\xa4\xffw|"},
        {"'it''s'x", "'it''s'|xw|"},
        {"\"a\"\"b\"c", "\"a\"\"b\"|cw|"},
        {"`a``b`c", "`a``b`|cw|"},
        {"[a]]b]", "[a]|]|bw|]|"}, /* in brackets nothing is doubled */
        {"'open", "'open|"},
        {"'open''", "'open''|"},
        {"'", "'|"},
        {"\"open", "\"open|"},
        {"`", "`|"},
        {"[open", "[open|"},
        {"''", "''|"},
        {"''''", "''''|"},
        {"x'00'", "xw|'00'|"},
        {"-- one\ntwo", "twow|"},
        {"--", ""},
        {"-- never ends", ""},
        {"/* one */two", "twow|"},
        {"/*", ""},
        {"/* open", ""},
        {"/* open *", ""},
        {"/*/", ""},
        {"/**/a", "aw|"},
        {"/***/a", "aw|"},
        {"/* -- */a", "aw|"},
        {"-- /* \na", "aw|"},
        {"a/**/b--c\nd", "aw|bw|dw|"},
        {"-", "-|"},
        {"- -", "-|-|"},
        {"/", "/|"},
        {"/ *", "/|*|"},
        {"a--", "aw|"},
        {";;", ";|;|"},
        {"'--'a", "'--'|aw|"},
        {"\"/*\"a", "\"/*\"|aw|"},
        {"()", "(|)|"},
    };
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        const size_t bytes = strlen(table[i].sql);
        char *copy = (char *)malloc(bytes + 1), got[200];
        const char *at = copy;
        size_t used = 0;
        CHECK(copy != NULL);
        memcpy(copy, table[i].sql, bytes); /* no terminator: the end is what counts */
        for (;;) {
            const sqlpool__token token = sqlpool__next_token(&at, copy + bytes);
            if (token.bytes == 0) break;
            memcpy(got + used, token.text, token.bytes);
            used += token.bytes;
            if (token.is_word) got[used++] = 'w';
            got[used++] = '|';
        }
        got[used] = '\0';
        CHECK(at == copy + bytes);
        free(copy);
        CHECK_STR(got, table[i].tokens);
    }
}

TEST(words) {
    const char *sql = "SeLeCt";
    sqlpool__token token = sqlpool__next_token(&sql, sql + 6);
    CHECK(sqlpool__token_is(&token, "SELECT"));
    CHECK(!sqlpool__token_is(&token, "SELEC"));
    CHECK(!sqlpool__token_is(&token, "SELECTS"));
    CHECK(!sqlpool__token_is(&token, ""));
    sql = "EELECT";
    token = sqlpool__next_token(&sql, sql + 6);
    CHECK(!sqlpool__token_is(&token, "SELECT")); /* the first letter counts, */
    sql = "SELECX";
    token = sqlpool__next_token(&sql, sql + 6);
    CHECK(!sqlpool__token_is(&token, "SELECT")); /* and so does the last */
    sql = "\"SELECT\"";
    token = sqlpool__next_token(&sql, sql + 8);
    CHECK(!sqlpool__token_is(&token, "SELECT"));
    CHECK(!sqlpool__token_is(&token, "\"SELECT\""));
    sql = "";
    token = sqlpool__next_token(&sql, sql);
    CHECK(!sqlpool__token_is(&token, "SELECT"));
}

static const struct {
    const char *sql;
    sqlpool_mode mode;
} routes[] = {
    {"", R},
    {"   \n\t", R},
    {"-- only a comment", R},
    {"/* only a comment */", R},
    {"/* left open", R},
    {";;;", R},
    {" ; ; SELECT 1", R},
    {";INSERT INTO t VALUES(1)", W},
    {";-- x\n;/* y */;DELETE FROM t", W},
    {"SELECT 1", R},
    {"select 1", R},
    {"sElEcT 1", R},
    {"SELECT", R},
    {"SELECT'a'", R},
    {"SELECT\"a\"", R},
    {"SELECT*FROM t", R},
    {"SELECT(1)", R},
    {"SELECT/**/1", R},
    {"/* a *//* b */ -- c\n SELECT 1", R},
    {"--SELECT 1\nINSERT INTO t VALUES(1)", W},
    {"/*SELECT*/INSERT INTO t VALUES(1)", W},
    {"SELECTS 1", W},
    {"SELECT1", W},
    {"_SELECT 1", W},
    {"\"SELECT\" 1", W},
    {"'SELECT' 1", W},
    {"VALUES(1)", R},
    {"values (1),(2)", R},
    {"INSERT INTO t VALUES(1)", W},
    {"insert into t select * from t", W},
    {"INSERT INTO t VALUES('SELECT')", W},
    {"REPLACE INTO t VALUES(1)", W},
    {"UPDATE t SET a=1", W},
    {"DELETE FROM t", W},
    {"DELETE FROM t RETURNING a", W},
    {"CREATE TABLE x(a)", W},
    {"CREATE TEMP TABLE x(a)", W},
    {"DROP TABLE x", W},
    {"ALTER TABLE x RENAME TO y", W},
    {"REINDEX", W},
    {"ANALYZE", W},
    {"VACUUM", W},
    {"ATTACH 'x' AS y", W},
    {"DETACH y", W},
    {"BEGIN", W},
    {"COMMIT", W},
    {"END", W},
    {"ROLLBACK", W},
    {"SAVEPOINT s", W},
    {"RELEASE s", W},
    {"EXPLAIN INSERT INTO t VALUES(1)", R},
    {"explain query plan DELETE FROM t", R},
    {"/*+*/EXPLAIN SELECT 1", R},
    {"WITH a AS (SELECT 1) SELECT * FROM a", R},
    {"with a(b, c) as (select 1, 2) select b from a", R},
    {"WITH RECURSIVE a(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM a) SELECT i FROM a", R},
    {"WITH a AS (SELECT 1) VALUES(1)", R},
    {"WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", W},
    {"WITH a AS (SELECT 1) REPLACE INTO t SELECT * FROM a", W},
    {"WITH a AS (SELECT 1) UPDATE t SET a=1", W},
    {"with a as (select 1) delete from t", W},
    {"WITH a AS (SELECT 1), b AS (SELECT (SELECT (2)) FROM a) DELETE FROM t", W},
    {"WITH a AS (SELECT ')' FROM t) DELETE FROM t", W},
    {"WITH a AS (SELECT ')' || \"(\" FROM t) SELECT 1", R},
    {"WITH a AS (SELECT '''(' /* ( */ -- (\n) DELETE FROM t", W},
    {"WITH \"insert\" AS (SELECT 1) SELECT * FROM \"insert\"", R},
    {"WITH [delete] AS (SELECT 1) SELECT 1", R},
    {"WITH `update` AS (SELECT 1) SELECT 1", R},
    {"WITH 'select' AS (SELECT 1) DELETE FROM t", W},
    {"WITH a AS MATERIALIZED (SELECT 1) SELECT 1", R},
    {"WITH a AS NOT MATERIALIZED (SELECT 1) UPDATE t SET a=1", W},
    {"WITH a AS (WITH b AS (SELECT 1) SELECT * FROM b) INSERT INTO t SELECT 1", W},
    {"WITH", R},
    {"WITH a AS (", R},
    {"WITH a AS (SELECT 1", R},
    {"WITH a AS ((SELECT 1) DELETE FROM t", R}, /* not SQL: SQLite will say so */
    {"PRAGMA user_version", R},
    {"pragma main.user_version", R},
    {"PRAGMA user_version=1", W},
    {"PRAGMA user_version = 1", W},
    {"PRAGMA user_version(1)", W},
    {"PRAGMA main.user_version=1", W},
    {"PRAGMA main . user_version /* x */ ( 1 )", W},
    {"PRAGMA \"main\".user_version=1", W},
    {"PRAGMA [main].application_id=1", W},
    {"PRAGMA APPLICATION_ID=1", W},
    {"PRAGMA application_id", R},
    {"PRAGMA optimize", W},
    {"PRAGMA main.optimize", W},
    {"PRAGMA optimize(0x10002)", W},
    {"PRAGMA incremental_vacuum", W},
    {"PRAGMA incremental_vacuum(10)", W},
    {"PRAGMA x.incremental_vacuum(10)", W},
    {"PRAGMA journal_mode", R},
    {"PRAGMA journal_mode=WAL", R}, /* refused when it is prepared */
    {"PRAGMA table_info(t)", R},
    {"PRAGMA main.table_info('t')", R},
    {"PRAGMA integrity_check(10)", R},
    {"PRAGMA foreign_key_check", R},
    {"PRAGMA", R},
    {"PRAGMA main.", R},
    {"PRAGMA .user_version=1", R},
    {"PRAGMA/**/user_version--\n=1", W},
    {"\xc3\xa4", W},
    {"\xef\xbb\xbfSELECT 1", R}, /* a byte order mark is space to SQLite */
    {"\xef\xbb\xbf;\v\xef\xbb\xbf DELETE FROM t", W},
    {"\xef\xbbSELECT 1", W},
    {"\xef\xbb;SELECT 1", W}, /* two of its bytes are a word */
    {"\v\f\vSELECT 1", R},
    {"SELECT\v1", R},
    {"SELECT '\xf0\x9f\x90\x98'", R},
    {"(SELECT 1)", W},
    {"?1", W},
};

TEST(routes_of_texts) {
    size_t i;
    for (i = 0; i < LENGTH(routes); i++) {
        const sqlpool_mode got = route_exactly(routes[i].sql, strlen(routes[i].sql));
        if (sqlpool__begins_with_select(routes[i].sql) && routes[i].mode != R)
            test_fail(__FILE__, __LINE__, "%s passes for a SELECT", routes[i].sql);
        if (got != routes[i].mode)
            test_fail(__FILE__, __LINE__, "%s goes to the %s", routes[i].sql,
                      got == W ? "writer" : "readers");
    }
}

TEST(shortcut_for_select) {
    static const struct {
        const char *sql;
        bool is_select;
    } table[] = {{"SELECT 1", true},
                 {"select 1", true},
                 {"sElEcT\n1", true},
                 {"SELECT\t1", true},
                 {"SELECT\v1", true},
                 {"SELECT", false},
                 {"", false},
                 {"SELEC", false},
                 {"SELECT(1)", false},
                 {" SELECT 1", false},
                 {"SELECTS 1", false},
                 {"S\x05"
                  "LECT 1",
                  false},
                 {"\x13"
                  "ELECT 1",
                  false},
                 {"SEXECT 1", false},
                 {"SELXCT 1", false},
                 {"INSERT 1", false},
                 {"SELECT;", false}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        char *exact = strdup(table[i].sql);
        CHECK(exact != NULL);
        if (sqlpool__begins_with_select(exact) != table[i].is_select)
            test_fail(__FILE__, __LINE__, "%s", table[i].sql);
        free(exact);
    }
}

/*  Comments, space and letter case between the tokens change nothing. */
TEST(routes_ignore_dress) {
    static const char *const dress[] = {" ",     "\n",      "\t\r\f ",     "/**/",    "/* ; ' \" */",
                                        "-- (\n", "/*-*/ ", " --\n--'\n ", "/*/ */",  "\n\n"};
    size_t i;
    int round;
    for (i = 0; i < LENGTH(routes); i++) {
        for (round = 0; round < 20; round++) {
            char text[2000];
            size_t used = 0;
            const char *at = routes[i].sql, *const end = at + strlen(at);
            for (;;) {
                const sqlpool__token token = sqlpool__next_token(&at, end);
                const char *between = dress[draw(LENGTH(dress))];
                size_t k;
                if (token.bytes == 0) break;
                memcpy(text + used, between, strlen(between));
                used += strlen(between);
                for (k = 0; k < token.bytes; k++) {
                    const char c = token.text[k];
                    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
                    text[used++] =
                        token.is_word && is_letter && draw(2) ? (char)(c ^ 0x20) : c;
                }
            }
            if (route_exactly(text, used) != routes[i].mode) {
                test_fail(__FILE__, __LINE__, "another way: %.*s", (int)used, text);
                return;
            }
        }
    }
}

/*  What SQLite says of statements that it can prepare. */
TEST(routes_agree_with_sqlite) {
    /* Where they differ the reason is given in the theory of the room: readonly() is true for
       statements that end transactions, attach or set the connection up, or that write later. */
    static const char *const differ[] = {"BEGIN",    "COMMIT",   "END",           "ROLLBACK",
                                         "SAVEPOINT s", "RELEASE s", "ATTACH 'x' AS y", "DETACH y",
                                         "PRAGMA main.optimize",
                                         "PRAGMA optimize(0x10002)", "REINDEX",
                                         "PRAGMA optimize"};
    sqlite3 *db = NULL;
    size_t i, k;
    int compared = 0;
    CHECK_INT(sqlite3_open(":memory:", &db), SQLITE_OK);
    CHECK_INT(sqlite3_exec(db, "CREATE TABLE t(a)", NULL, NULL, NULL), SQLITE_OK);
    for (i = 0; i < LENGTH(routes); i++) {
        sqlite3_stmt *statement = NULL;
        bool reads, is_known = false;
        if (sqlite3_prepare_v2(db, routes[i].sql, -1, &statement, NULL) != SQLITE_OK ||
            statement == NULL) {
            continue;
        }
        reads = sqlite3_stmt_readonly(statement) || sqlite3_stmt_isexplain(statement);
        for (k = 0; k < LENGTH(differ); k++) {
            if (strcmp(differ[k], routes[i].sql) == 0) is_known = true;
        }
        if (strncasecmp(routes[i].sql, "PRAGMA", 6) == 0 && routes[i].mode == R) {
            /* nothing that asks may be taken for a write on a reader */
            reads = reads || sqlpool__is_reading_pragma(routes[i].sql, strlen(routes[i].sql));
        }
        if (!is_known && reads != (sqlpool__route(routes[i].sql, strlen(routes[i].sql)) == R))
            test_fail(__FILE__, __LINE__, "SQLite disagrees about: %s", routes[i].sql);
        compared++;
        (void)sqlite3_finalize(statement);
    }
    CHECK(compared > 60);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
}

TEST(reading_pragmas) {
    static const struct {
        const char *sql;
        bool reads;
    } table[] = {{"PRAGMA journal_mode", true},     {"PRAGMA main.journal_mode", true},
                 {" /**/ pragma page_count", true}, {"PRAGMA user_version", true},
                 {"PRAGMA user_version=3", false},  {"PRAGMA optimize", false},
                 {"SELECT 1", false},               {"", false},
                 {"-- PRAGMA journal_mode", false}, {"INSERT INTO t VALUES('PRAGMA x')", false}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++)
        CHECK_INT(sqlpool__is_reading_pragma(table[i].sql, strlen(table[i].sql)), table[i].reads);
}

/*  An empty statement before a PRAGMA is no statement: it asks all the same. */
TEST(reading_pragma_behind_a_semicolon) {
    unit_pool u;
    sqlpool_conn conn;
    PART(unit_begin(&u, "semicolon.db", 1, NULL));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conn, &u.error), &u.error);
    CHECK_OK(unit_exec_on(&u, &conn, " PRAGMA journal_mode"), &u.error);
    if (unit_exec_on(&u, &conn, "; PRAGMA journal_mode") != 0)
        test_fail(__FILE__, __LINE__, "%s", u.error.message);
    (void)sqlpool_conn_release(&conn);
    unit_close(&u);
}

TEST(what_follows_a_statement) {
    static const struct {
        const char *sql;
        int offset; /* -1: nothing */
    } table[] = {{"", -1},         {" \t\r\n\f", -1},  {";", -1},      {";;-- x", -1},
                 {"/* x */;", -1}, {"/* left open", -1}, {"; SELECT 1", 2}, {"x", 0},
                 {"-- a\nb", 5},   {";/**/;)", 6},     {"-", 0},       {"/", 0}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        const char *found =
            sqlpool__find_statement(table[i].sql, table[i].sql + strlen(table[i].sql));
        CHECK_INT(found == NULL ? -1 : found - table[i].sql, table[i].offset);
    }
}

/*  White space to SQLite is white space here: a vertical tab within, a byte order mark. */
TEST(white_space_is_sqlites) {
    static const char *const texts[] = {"SELECT 1; \v", "SELECT 1 \v", "SELECT 1;\n\v\n",
                                        "SELECT 1; \xef\xbb\xbf", "\xef\xbb\xbfSELECT 1"};
    unit_pool u;
    sqlite3 *plain = NULL;
    size_t i;
    if (sqlite3_libversion_number() < 3036000) return; /* where a vertical tab is no white space */
    CHECK_INT(sqlite3_open(":memory:", &plain), SQLITE_OK);
    PART(unit_begin(&u, ":memory:", 1, NULL));
    for (i = 0; i < LENGTH(texts); i++) {
        sqlite3_stmt *statement = NULL, *second = NULL;
        const char *tail = NULL;
        CHECK_INT(sqlite3_prepare_v2(plain, texts[i], -1, &statement, &tail), 0);
        CHECK_INT(sqlite3_prepare_v2(plain, tail, -1, &second, NULL), 0);
        CHECK(second == NULL); /* SQLite sees nothing in what follows */
        (void)sqlite3_finalize(statement);
        if (unit_exec(&u, texts[i]) != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "text %d: %s", (int)i, u.error.message);
    }
    (void)sqlite3_close(plain);
    unit_close(&u);
}

/*  Tokens are in order, inside the text, and cover all that is not space or comment. */
static bool walk_is_sane(const char *sql, size_t bytes) {
    const char *at = sql, *const end = sql + bytes;
    const char *before = sql;
    for (;;) {
        const sqlpool__token token = sqlpool__next_token(&at, end);
        if (token.text < before || token.text + token.bytes > end) return false;
        if (at != token.text + token.bytes) return false;
        if (token.bytes == 0) return at == end;
        before = at;
    }
}

TEST(random_bytes) {
    static const char common[] = " \t\n;;--**//''\"\"``[](),.=SELECTselectWITHwithPRAGMApragma01\x80";
    static const char *const pieces[] = {
        "SELECT", "with", "PRAGMA", "INSERT", "AS", "(", ")", "--", "\n", "/*", "*/", "'", "\"",
        "`", "[", "]", ";", ".", "=", "optimize", "user_version", "EXPLAIN", " ", "x", ",", "-",
        "/", "*", "\xff", "values", "DELETE"};
    int round;
    for (round = 0; round < 100000; round++) {
        char text[256];
        size_t bytes = 0, wanted = draw(48);
        const uint64_t way = draw(3);
        char *exact;
        while (bytes < wanted) {
            if (way == 0) {
                text[bytes++] = (char)draw(256);
            } else if (way == 1) {
                text[bytes++] = common[draw(sizeof common - 1)];
            } else {
                const char *piece = pieces[draw(LENGTH(pieces))];
                memcpy(text + bytes, piece, strlen(piece));
                bytes += strlen(piece);
            }
        }
        exact = (char *)malloc(bytes > 0 ? bytes : 1);
        CHECK(exact != NULL);
        memcpy(exact, text, bytes);
        if (!walk_is_sane(exact, bytes)) test_fail(__FILE__, __LINE__, "round %d", round);
        if (sqlpool__is_reading_pragma(exact, bytes) && sqlpool__route(exact, bytes) != R)
            test_fail(__FILE__, __LINE__, "round %d: asks, yet goes to the writer", round);
        if (sqlpool__find_statement(exact, exact + bytes) == NULL &&
            sqlpool__route(exact, bytes) != R) {
            test_fail(__FILE__, __LINE__, "round %d: nothing in it, yet it goes to the writer",
                      round);
        }
        free(exact);
        if (test_failed_now) return;
    }
}

/*---- I10: what the authorizer refuses ----*/

/*  Every setting of a connection that can be read back, as one text. */
static void settings_of(sqlite3 *db, char *out, size_t room) {
    static const char *const names[] = {"analysis_limit",
                                        "automatic_index",
                                        "auto_vacuum",
                                        "busy_timeout",
                                        "cache_size",
                                        "cache_spill",
                                        "cell_size_check",
                                        "checkpoint_fullfsync",
                                        "count_changes",
                                        "data_store_directory",
                                        "default_cache_size",
                                        "defer_foreign_keys",
                                        "empty_result_callbacks",
                                        "encoding",
                                        "foreign_keys",
                                        "full_column_names",
                                        "fullfsync",
                                        "hard_heap_limit",
                                        "ignore_check_constraints",
                                        "journal_mode",
                                        "journal_size_limit",
                                        "legacy_alter_table",
                                        "locking_mode",
                                        "max_page_count",
                                        "mmap_size",
                                        "page_size",
                                        "query_only",
                                        "read_uncommitted",
                                        "recursive_triggers",
                                        "reverse_unordered_selects",
                                        "secure_delete",
                                        "short_column_names",
                                        "soft_heap_limit",
                                        "synchronous",
                                        "temp_store",
                                        "temp_store_directory",
                                        "threads",
                                        "trusted_schema",
                                        "wal_autocheckpoint",
                                        "writable_schema"};
    static const char *const others[] = {"SELECT 'a' LIKE 'A'",
                                         "SELECT count(*) FROM pragma_database_list",
                                         "SELECT count(*) FROM sqlite_temp_master"};
    size_t i, used = 0;
    for (i = 0; i < LENGTH(names) + LENGTH(others); i++) {
        char sql[100], answer[64];
        if (i < LENGTH(names)) {
            (void)snprintf(sql, sizeof sql, "PRAGMA %s", names[i]);
        } else {
            (void)snprintf(sql, sizeof sql, "%s", others[i - LENGTH(names)]);
        }
        (void)sqlpool__ask(db, sql, answer, sizeof answer);
        used += (size_t)snprintf(out + used, room - used, "%s: %s\n", sql, answer);
    }
}

static void run_one_pragma(sqlpool_conn *conn, const char *sql, int *allowed, int *refused) {
    sqlpool__slot *slot = unit_slot(conn);
    char before[4096], after[4096];
    sqlpool_error error;
    int rc;
    memset(before, 0, sizeof before);
    memset(after, 0, sizeof after);
    settings_of(slot->db, before, sizeof before);
    rc = sqlpool_conn_exec(conn, sql, SQLPOOL_NO_ARGS, NULL, &error);
    *(rc == SQLPOOL_REFUSED ? refused : allowed) += 1;
    if (rc == SQLPOOL_REFUSED) {
        CHECK_HAS(error.message, "refused PRAGMA");
        if (strstr(error.message, "use ") == NULL && strstr(error.message, "set ") == NULL &&
            strstr(error.message, " gives ") == NULL)
            test_fail(__FILE__, __LINE__, "%s: no advice: %s", sql, error.message);
    } else {
        CHECK(rc == SQLPOOL_OK || rc > 0);
    }
    settings_of(slot->db, after, sizeof after);
    if (strcmp(before, after) != 0) {
        size_t i = 0;
        while (before[i] == after[i]) i++;
        while (i > 0 && before[i - 1] != '\n') i--;
        test_fail(__FILE__, __LINE__, "%s changed the connection: %.40s... is now %.40s...", sql,
                  before + i, after + i);
    }
    CHECK(!slot->is_changed);
    CHECK(sqlite3_get_autocommit(slot->db) != 0);
    CHECK(sqlite3_next_stmt(slot->db, NULL) != NULL);
}

/*  On a lease of each mode: every PRAGMA that this SQLite has, without and with an argument. */
static void run_all_pragmas(const char *path, sqlpool_mode mode, bool untrusted) {
    static const struct {
        const char *before, *after;
    } forms[] = {{"PRAGMA ", ""},           {"PRAGMA ", "=1"},       {"PRAGMA ", "(1)"},
                 {"PRAGMA main.", "=0"},    {"PRAGMA ", "='MEMORY'"}, {"PRAGMA main.", ""},
                 {"/**/pragma/**/\"", "\" = -5"}, {"PRAGMA ", "=OFF"}};
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    sqlpool_conn conn;
    sqlite3_stmt *list = NULL;
    sqlite3 *plain = NULL;
    int allowed = 0, refused = 0, pragmas = 0;
    char settings[4096];
    config.untrusted = untrusted;
    PART(unit_open_with(&u, path, &config, "CREATE TABLE IF NOT EXISTS t(a)"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, mode, &conn, &u.error), &u.error);
    CHECK_INT(sqlite3_open(":memory:", &plain), SQLITE_OK);
    settings_of(unit_slot(&conn)->db, settings, sizeof settings); /* opens the temporary schema */
    CHECK_INT(sqlite3_prepare_v2(plain, "PRAGMA pragma_list", -1, &list, NULL), SQLITE_OK);
    while (sqlite3_step(list) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(list, 0);
        size_t i;
        pragmas++;
        for (i = 0; i < LENGTH(forms); i++) {
            char sql[128];
            (void)snprintf(sql, sizeof sql, "%s%s%s", forms[i].before, name, forms[i].after);
            PART(run_one_pragma(&conn, sql, &allowed, &refused));
        }
    }
    (void)sqlite3_finalize(list);
    (void)sqlite3_close(plain);
    CHECK(pragmas > 55);
    CHECK(refused > pragmas * 3);
    CHECK(allowed > pragmas);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    unit_close(&u);
}

TEST(every_pragma_on_the_writer) {
    run_all_pragmas("pragmas1.db", SQLPOOL_WRITE, false);
}
TEST(every_pragma_on_a_reader) {
    run_all_pragmas("pragmas2.db", SQLPOOL_READ, false);
}
TEST(every_pragma_untrusted) {
    run_all_pragmas("pragmas3.db", SQLPOOL_WRITE, true);
}

TEST(refusals) {
    static const struct {
        int action;
        const char *a, *b;
        const char *part; /* NULL: allowed */
    } table[] = {
        {SQLITE_TRANSACTION, "BEGIN", NULL, "sqlpool_transaction()"},
        {SQLITE_SAVEPOINT, "BEGIN", "s", "sqlpool_conn_transaction()"},
        {SQLITE_ATTACH, "x", NULL, "events.connect_fn"},
        {SQLITE_DETACH, "x", NULL, "events.connect_fn"},
        {SQLITE_CREATE_TEMP_INDEX, "i", "t", "sqlpool_conn_db()"},
        {SQLITE_CREATE_TEMP_TABLE, "t", NULL, "sqlpool_conn_db()"},
        {SQLITE_CREATE_TEMP_TRIGGER, "r", "t", "sqlpool_conn_db()"},
        {SQLITE_CREATE_TEMP_VIEW, "v", NULL, "sqlpool_conn_db()"},
        {SQLITE_PRAGMA, NULL, NULL, NULL},
        {SQLITE_PRAGMA, "journal_mode", NULL, NULL},
        {SQLITE_PRAGMA, "journal_mode", "wal", "set journal in"},
        {SQLITE_PRAGMA, "JOURNAL_MODE", "wal", "set journal in"},
        {SQLITE_PRAGMA, "wal_checkpoint", NULL, "sqlpool_checkpoint()"},
        {SQLITE_PRAGMA, "Wal_Checkpoint", "FULL", "sqlpool_checkpoint()"},
        {SQLITE_PRAGMA, "wal_autocheckpoint", "1", "wal_budget_bytes"},
        {SQLITE_PRAGMA, "synchronous", "0", "set synchronous"},
        {SQLITE_PRAGMA, "query_only", "0", "SQLPOOL_WRITE"},
        {SQLITE_PRAGMA, "foreign_keys", "0", "disable_foreign_keys"},
        {SQLITE_PRAGMA, "busy_timeout", "0", "acquire_timeout_ms"},
        {SQLITE_PRAGMA, "cache_size", "0", "page_cache_kib"},
        {SQLITE_PRAGMA, "mmap_size", "0", "mmap_bytes"},
        {SQLITE_PRAGMA, "journal_size_limit", "0", "journal_size_limit_bytes"},
        {SQLITE_PRAGMA, "case_sensitive_like", "1", "events.connect_fn"},
        {SQLITE_PRAGMA, "no_such_pragma", "1", "events.connect_fn"},
        {SQLITE_PRAGMA, "table_info", "t", NULL},
        {SQLITE_PRAGMA, "TABLE_INFO", "t", NULL},
        {SQLITE_PRAGMA, "quick_check", "1", NULL},
        {SQLITE_PRAGMA, "user_version", "1", NULL},
        {SQLITE_PRAGMA, "application_id", "1", NULL},
        {SQLITE_PRAGMA, "optimize", "1", NULL},
        {SQLITE_PRAGMA, "incremental_vacuum", "1", NULL},
        {SQLITE_SELECT, NULL, NULL, NULL},
        {SQLITE_INSERT, "t", NULL, NULL},
        {SQLITE_DROP_TEMP_TABLE, "t", NULL, NULL}, /* there is none to drop */
        {SQLITE_CREATE_TABLE, "t", NULL, NULL}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        const char *got = sqlpool__refusal(table[i].action, table[i].a, table[i].b, "main");
        if (table[i].part == NULL) {
            CHECK(got == NULL);
        } else {
            CHECK_HAS(got, table[i].part);
        }
    }
}

static int allow_nothing(void *user, int action, const char *a, const char *b, const char *database,
                         const char *trigger) {
    (void)a, (void)b, (void)database, (void)trigger;
    ++*(int *)user;
    return action == SQLITE_INSERT ? SQLITE_DENY : SQLITE_OK;
}

/*  The authorizer's three ways, one by one. */
TEST(authorizer) {
    unit_pool u;
    sqlpool__slot *slot;
    uint64_t before;
    int calls = 0;
    PART(unit_begin(&u, ":memory:", 1, NULL));
    slot = &u.core->slots[0];
    before = slot->authorized;
    slot->check = SQLPOOL__CHECK_ALLOW;
    CHECK_INT(sqlpool__on_authorize(slot, SQLITE_TRANSACTION, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlpool__on_authorize(slot, SQLITE_ATTACH, "x", NULL, NULL, NULL), SQLITE_OK);
    CHECK(!slot->is_changed);
    slot->check = SQLPOOL__CHECK_REFUSE;
    CHECK_INT(sqlpool__on_authorize(slot, SQLITE_TRANSACTION, "BEGIN", NULL, NULL, NULL),
              SQLITE_DENY);
    CHECK_HAS(slot->refusal, "sqlpool_transaction()");
    CHECK_STR(slot->refused_name, "");
    CHECK_INT(sqlpool__on_authorize(slot, SQLITE_PRAGMA, "synchronous", "0", NULL, NULL),
              SQLITE_DENY);
    CHECK_STR(slot->refused_name, "PRAGMA synchronous");
    CHECK_INT(sqlpool__on_authorize(slot, SQLITE_SELECT, NULL, NULL, NULL, NULL), SQLITE_OK);
    CHECK(!slot->is_changed);
    slot->check = SQLPOOL__CHECK_NOTE;
    CHECK_INT(sqlpool__on_authorize(slot, SQLITE_TRANSACTION, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlpool__on_authorize(slot, SQLITE_SAVEPOINT, "BEGIN", "s", NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlpool__on_authorize(slot, SQLITE_SELECT, NULL, NULL, NULL, NULL), SQLITE_OK);
    CHECK(!slot->is_changed);
    CHECK_INT(sqlpool__on_authorize(slot, SQLITE_PRAGMA, "synchronous", "0", NULL, NULL), SQLITE_OK);
    CHECK(slot->is_changed);
    slot->is_changed = false;
    CHECK_INT(slot->authorized - before, 9);
    slot->check = SQLPOOL__CHECK_REFUSE;
    slot->chain.user = &calls;
    slot->chain.authorizer_fn = allow_nothing;
    CHECK_INT(sqlpool__on_authorize(slot, SQLITE_INSERT, "t", NULL, NULL, NULL), SQLITE_DENY);
    CHECK_INT(sqlpool__on_authorize(slot, SQLITE_SELECT, "t", NULL, NULL, NULL), SQLITE_OK);
    CHECK_INT(sqlpool__on_authorize(slot, SQLITE_ATTACH, "t", NULL, NULL, NULL), SQLITE_DENY);
    CHECK_INT(calls, 2); /* the pool's own refusal comes first */
    memset(&slot->chain, 0, sizeof slot->chain);
    slot->check = SQLPOOL__CHECK_ALLOW;
    unit_close(&u);
}

/*  The statements of a load, whole. */
TEST(texts_of_loads) {
    static const char *const names[] = {"a", "b`c", "k"};
    static const struct {
        int action, conflict, columns, keys, rows;
        const char *sql;
    } table[] = {
        {SQLPOOL_BULK_INSERT, SQLPOOL_CONFLICT_REFUSE, 1, 0, 1,
         "INSERT INTO `t`(`a`)VALUES(?)"},
        {SQLPOOL_BULK_INSERT, SQLPOOL_CONFLICT_IGNORE, 2, 0, 1,
         "INSERT OR IGNORE INTO `t`(`a`,`b``c`)VALUES(?,?)"},
        {SQLPOOL_BULK_INSERT, SQLPOOL_CONFLICT_REPLACE, 2, 0, 3,
         "INSERT OR REPLACE INTO `t`(`a`,`b``c`)VALUES(?,?),(?,?),(?,?)"},
        {SQLPOOL_BULK_INSERT, SQLPOOL_CONFLICT_UPDATE, 3, 1, 2,
         "INSERT INTO `t`(`a`,`b``c`,`k`)VALUES(?,?,?),(?,?,?)ON CONFLICT(`k`)DO "
         "UPDATE SET "
         "`a`=excluded.`a`,`b``c`=excluded.`b``c`"},
        {SQLPOOL_BULK_INSERT, SQLPOOL_CONFLICT_UPDATE, 2, 2, 1,
         "INSERT INTO `t`(`a`,`b``c`)VALUES(?,?)ON CONFLICT(`a`,`b``c`)DO NOTHING"},
        {SQLPOOL_BULK_UPDATE, SQLPOOL_CONFLICT_REFUSE, 3, 2, 1,
         "UPDATE `t` SET `a`=? WHERE `b``c`=? AND `k`=?"},
        {SQLPOOL_BULK_DELETE, SQLPOOL_CONFLICT_REFUSE, 1, 0, 1, "DELETE FROM `t` WHERE `a`=?"},
        {SQLPOOL_BULK_DELETE, SQLPOOL_CONFLICT_REFUSE, 2, 0, 1,
         "DELETE FROM `t` WHERE `a`=? AND `b``c`=?"},
        {SQLPOOL_BULK_DELETE, SQLPOOL_CONFLICT_REFUSE, 1, 0, 2,
         "DELETE FROM `t` WHERE `a` IN(?,?)"},
        {SQLPOOL_BULK_DELETE, SQLPOOL_CONFLICT_REFUSE, 1, 0, 4,
         "DELETE FROM `t` WHERE `a` IN(?,?,?,?)"}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        char got[400];
        sqlpool__text text = sqlpool__text_into(got, sizeof got);
        sqlpool_bulk_config config;
        memset(&config, 0, sizeof config);
        config.table = "t";
        config.columns = names;
        config.column_count = table[i].columns;
        config.key_count = table[i].keys;
        config.action = table[i].action;
        config.conflict = table[i].conflict;
        sqlpool__text_bulk(&text, &config, table[i].rows);
        CHECK_STR(got, table[i].sql);
    }
}

int main(void) {
    RUN(tokens);
    RUN(words);
    RUN(routes_of_texts);
    RUN(shortcut_for_select);
    RUN(routes_ignore_dress);
    RUN(routes_agree_with_sqlite);
    RUN(reading_pragmas);
    RUN(reading_pragma_behind_a_semicolon);
    RUN(what_follows_a_statement);
    RUN(white_space_is_sqlites);
    RUN(random_bytes);
    RUN(refusals);
    RUN(authorizer);
    RUN(every_pragma_on_the_writer);
    RUN(every_pragma_on_a_reader);
    RUN(every_pragma_untrusted);
    RUN(texts_of_loads);
    return test_end();
}
