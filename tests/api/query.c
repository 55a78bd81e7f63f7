/*  query.c - the one-call layer: values, arguments, cursors, errors. SPDX-License-Identifier: MIT OR Unlicense */
#define _POSIX_C_SOURCE 200809L
#include "api.h"

static sqlpool_error err;

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wdouble-promotion" /* a float argument is promoted on purpose */
#endif

static const char binary_text[] = "a\0b\xff\xfe\xc3(\xed\xa0\x80";

/*  Compares what came back with what was put in, bit by bit. */
static bool same_value(const sqlpool_value *a, const sqlpool_value *b) {
    if (a->type != b->type) return false;
    switch (a->type) {
    case SQLPOOL_TYPE_NULL: return true;
    case SQLPOOL_TYPE_INT64: return a->as.integer == b->as.integer;
    case SQLPOOL_TYPE_DOUBLE: return memcmp(&a->as.real, &b->as.real, sizeof(double)) == 0;
    default: return a->size == b->size && (a->size == 0 || memcmp(a->as.blob, b->as.blob, a->size) == 0);
    }
}

TEST(values_round_trip) {
    static char big[200000];
    const sqlpool_value values[] = {
        SQLPOOL_NULL,
        SQLPOOL_VALUE(0),
        SQLPOOL_VALUE(-1),
        SQLPOOL_VALUE(INT64_MIN),
        SQLPOOL_VALUE(INT64_MAX),
        SQLPOOL_VALUE((unsigned long long)INT64_MAX),
        SQLPOOL_VALUE(true),
        SQLPOOL_VALUE((unsigned char)255),
        SQLPOOL_VALUE((signed char)-128),
        SQLPOOL_VALUE((short)-32768),
        SQLPOOL_VALUE((unsigned short)65535),
        SQLPOOL_VALUE(UINT32_MAX),
        SQLPOOL_VALUE(1.5),
        SQLPOOL_VALUE(0.25f),
        SQLPOOL_VALUE(1e308),
        SQLPOOL_VALUE(5e-324),
        SQLPOOL_VALUE((double)INFINITY),
        SQLPOOL_VALUE(-(double)INFINITY),
        SQLPOOL_VALUE(""),
        SQLPOOL_VALUE("bob"),
        SQLPOOL_VALUE((const char *)"z\xc3\xbc\xe2\x82\xac"),
        SQLPOOL_TEXT(binary_text, sizeof binary_text - 1),
        SQLPOOL_TEXT("", 0),
        SQLPOOL_VALUE((char *)NULL),
        SQLPOOL_VALUE((const char *)NULL),
        SQLPOOL_VALUE((void *)NULL),
        SQLPOOL_TEXT(NULL, 10),
        SQLPOOL_BLOB("", 0),
        SQLPOOL_BLOB(NULL, 0),
        SQLPOOL_BLOB(binary_text, sizeof binary_text),
        SQLPOOL_BLOB(big, sizeof big),
        SQLPOOL_TEXT(big, sizeof big),
    };
    int i;
    sqlpool *pool = open_pool("values.db", NULL, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    CHECK(pool != NULL);
    for (i = 0; i < (int)sizeof big; i++) big[i] = (char)(i * 7);
    for (i = 0; i < LENGTH(values); i++) {
        sqlpool_rows rows;
        sqlpool_value back;
        CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(?, ?)", SQLPOOL_ARGS(i, values[i]), &err), &err);
        CHECK_OK(sqlpool_query(pool, &rows, "SELECT v FROM t WHERE id = ?", SQLPOOL_ARGS(i), &err), &err);
        CHECK(sqlpool_rows_next(&rows));
        back = sqlpool_rows_value(&rows, 0);
        if (!same_value(&values[i], &back))
            test_fail(__FILE__, __LINE__, "value %d: type %d size %d came back as type %d size %d", i,
                      values[i].type, (int)values[i].size, back.type, (int)back.size);
        CHECK_INT(sqlpool_rows_type(&rows, 0), values[i].type);
        CHECK_INT(sqlpool_rows_is_null(&rows, 0), values[i].type == SQLPOOL_TYPE_NULL);
        CHECK(!sqlpool_rows_next(&rows));
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    }
    close_pool(pool);
}

TEST(single_accessors_and_conversion) {
    sqlpool_rows rows;
    sqlpool *pool = open_pool("accessors.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT 42 AS a, 2.5 AS b, '7up' AS c, x'0041' AS d, NULL AS e, ? AS f, '' AS g",
                           SQLPOOL_ARGS(SQLPOOL_TEXT("x\0y", 3)), &err),
             &err);
    CHECK_INT(sqlpool_rows_column_count(&rows), 7);
    CHECK_STR(sqlpool_rows_name(&rows, 0), "a");
    CHECK_STR(sqlpool_rows_name(&rows, 6), "g");
    CHECK(sqlpool_rows_name(&rows, 7) == NULL);
    CHECK(sqlpool_rows_name(&rows, -1) == NULL);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 42);
    CHECK(sqlpool_rows_double(&rows, 1) == 2.5);
    CHECK_INT(sqlpool_rows_int64(&rows, 1), 2);
    CHECK_INT(sqlpool_rows_int64(&rows, 2), 7);
    CHECK_STR(sqlpool_rows_text(&rows, 2), "7up");
    CHECK_INT(sqlpool_rows_bytes(&rows, 2), 3);
    CHECK(sqlpool_rows_blob(&rows, 3) != NULL);
    CHECK_INT(sqlpool_rows_bytes(&rows, 3), 2);
    CHECK(memcmp(sqlpool_rows_blob(&rows, 3), "\0A", 2) == 0);
    CHECK(sqlpool_rows_is_null(&rows, 4));
    CHECK(sqlpool_rows_text(&rows, 4) == NULL);
    CHECK_INT(sqlpool_rows_int64(&rows, 4), 0);
    CHECK(memcmp(sqlpool_rows_text(&rows, 5), "x\0y", 4) == 0);
    CHECK_INT(sqlpool_rows_bytes(&rows, 5), 3);
    CHECK_STR(sqlpool_rows_text(&rows, 6), "");
    CHECK(!sqlpool_rows_is_null(&rows, 6));
    CHECK_STR(sqlpool_rows_text(&rows, 0), "42");
    CHECK_INT(sqlpool_rows_bytes(&rows, 0), 2);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    close_pool(pool);
}

/*  Every accessor of a cursor that has no row gives its nothing. */
static void check_no_row(sqlpool_rows *rows, int column) {
    const sqlpool_value value = sqlpool_rows_value(rows, column);
    CHECK_INT(sqlpool_rows_int64(rows, column), 0);
    CHECK(sqlpool_rows_double(rows, column) == 0.0);
    CHECK(sqlpool_rows_text(rows, column) == NULL);
    CHECK(sqlpool_rows_blob(rows, column) == NULL);
    CHECK_INT(sqlpool_rows_bytes(rows, column), 0);
    CHECK_INT(sqlpool_rows_type(rows, column), SQLPOOL_TYPE_NULL);
    CHECK(sqlpool_rows_is_null(rows, column));
    CHECK_INT(value.type, SQLPOOL_TYPE_NULL);
}

TEST(columns_without_a_row) {
    sqlpool_rows rows;
    sqlpool *pool = open_pool("norow.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT 5, 'five'", SQLPOOL_NO_ARGS, &err), &err);
    PART(check_no_row(&rows, 0)); /* before the first row */
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 5);
    PART(check_no_row(&rows, 2));
    PART(check_no_row(&rows, -1));
    PART(check_no_row(&rows, INT32_MAX));
    PART(check_no_row(&rows, INT32_MIN));
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 5); /* none of that moved the cursor */
    CHECK(!sqlpool_rows_next(&rows));
    PART(check_no_row(&rows, 0)); /* after the last */
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    PART(check_no_row(&rows, 0)); /* after close */
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_column_count(&rows), 0);
    CHECK(sqlpool_rows_name(&rows, 0) == NULL);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    close_pool(pool);
}

TEST(arguments_are_counted_and_checked) {
    static const sqlpool_value no_type = {99, 0, {0}};
    static const struct {
        const char *sql;
        int given;
        int expected;
    } counts[] = {
        {"SELECT ?", 0, SQLPOOL_ARGUMENTS},       {"SELECT ?", 1, SQLPOOL_OK},
        {"SELECT ?", 2, SQLPOOL_ARGUMENTS},       {"SELECT 1", 1, SQLPOOL_ARGUMENTS},
        {"SELECT ?, ?", 1, SQLPOOL_ARGUMENTS},    {"SELECT ?2, ?1", 2, SQLPOOL_OK},
        {"SELECT ?1, ?1", 1, SQLPOOL_OK},         {"SELECT ?1, ?1", 2, SQLPOOL_ARGUMENTS},
        {"SELECT :a, @b, $c", 3, SQLPOOL_OK},     {"SELECT :a, :a", 1, SQLPOOL_OK},
        {"SELECT :a, @b, $c", 2, SQLPOOL_ARGUMENTS}, {"SELECT ?3", 3, SQLPOOL_OK},
        {"INSERT INTO t VALUES(?)", 0, SQLPOOL_ARGUMENTS},
        {"INSERT INTO t VALUES(?)", 2, SQLPOOL_ARGUMENTS},
        {"SELECT ?", -1, SQLPOOL_ARGUMENTS},      {"SELECT 1", -1, SQLPOOL_ARGUMENTS},
        {"SELECT ?", INT32_MIN, SQLPOOL_ARGUMENTS}, {"SELECT ?", INT32_MAX, SQLPOOL_ARGUMENTS},
    };
    const sqlpool_value three[3] = {SQLPOOL_VALUE(1), SQLPOOL_VALUE(2), SQLPOOL_VALUE(3)};
    int i;
    int64_t value;
    sqlpool *pool = open_pool("arguments.db", NULL, "CREATE TABLE t(v)");
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(counts); i++) {
        const int rc = sqlpool_exec(pool, counts[i].sql, three, counts[i].given, &err);
        if (rc != counts[i].expected || err.result != rc)
            test_fail(__FILE__, __LINE__, "%s with %d arguments gave %s: %s", counts[i].sql, counts[i].given,
                      sqlpool_result_name(rc), err.message);
    }
    CHECK_RC(sqlpool_exec(pool, "SELECT ?, ?, ?", three, 1, &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_HAS(err.message, "3"); /* wanted */
    CHECK_HAS(err.message, "1"); /* given */
    CHECK_RC(sqlpool_exec(pool, "SELECT ?", SQLPOOL_ARGS((double)NAN), &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_HAS(err.message, "NaN");
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO t VALUES(?)", SQLPOOL_ARGS((double)NAN), &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO t VALUES(?)", SQLPOOL_ARGS(UINT64_MAX), &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO t VALUES(?)", SQLPOOL_ARGS((uint64_t)INT64_MAX + 1), &err),
             SQLPOOL_ARGUMENTS, &err);
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO t VALUES(?)", SQLPOOL_ARGS(no_type), &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_RC(sqlpool_exec(pool, "SELECT ?", (const sqlpool_value *)NULL, 1, &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0); /* nothing of that was stored */
    CHECK_OK(sqlpool_query_int64(pool, &value, "SELECT ?1+?2+?3+?4+?5+?6+?7+?8+?9+?10+?11+?12+?13+?14+?15+?16",
                                 SQLPOOL_ARGS(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16), &err),
             &err);
    CHECK_INT(value, 136);
    {
        sqlpool_value many[200];
        char sql[2000] = "SELECT ?";
        for (i = 0; i < 200; i++) many[i] = SQLPOOL_VALUE(i);
        for (i = 1; i < 200; i++) strcat(sql, "+?");
        CHECK_OK(sqlpool_query_int64(pool, &value, sql, many, 200, &err), &err);
        CHECK_INT(value, 199 * 200 / 2);
    }
    close_pool(pool);
}

TEST(text_that_is_no_single_statement) {
    static const struct {
        const char *sql;
        int expected;
        const char *part; /* of the message */
    } cases[] = {
        {"", SQLPOOL_EMPTY, ""},
        {" \t\r\n", SQLPOOL_EMPTY, ""},
        {"-- only a comment", SQLPOOL_EMPTY, ""},
        {"/* only */ /* comments */", SQLPOOL_EMPTY, ""},
        {"/* not closed", SQLPOOL_EMPTY, ""},
        {";", SQLPOOL_EMPTY, ""},
        {" ; ; ", SQLPOOL_EMPTY, ""},
        {"SELECT 1; SELECT 2", SQLPOOL_TRAILING, "sqlpool_script"},
        {"SELECT 1;;SELECT 2", SQLPOOL_TRAILING, "sqlpool_script"},
        {"INSERT INTO t VALUES(1); INSERT INTO t VALUES(2)", SQLPOOL_TRAILING, "sqlpool_script"},
        {"INSERT INTO t VALUES(1); -- then\n DELETE FROM t", SQLPOOL_TRAILING, "sqlpool_script"},
        {"INSERT INTO t VALUES(1); garbage", SQLPOOL_TRAILING, "sqlpool_script"},
        {"SELECT 1;", SQLPOOL_OK, NULL},
        {"SELECT 1 ;;; ", SQLPOOL_OK, NULL},
        {"SELECT 1; -- the end", SQLPOOL_OK, NULL},
        {"SELECT 1 /* the end */", SQLPOOL_OK, NULL},
        {"SELECT 1; /* the end */ ;\n", SQLPOOL_OK, NULL},
        {"-- first\nSELECT 1", SQLPOOL_OK, NULL},
        {"SELECT ';--'", SQLPOOL_OK, NULL},
    };
    int i, rc;
    sqlpool_rows rows;
    sqlpool *pool = open_pool("single.db", NULL, "CREATE TABLE t(v)");
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(cases); i++) {
        memset(&err, 0x5a, sizeof err);
        rc = sqlpool_exec(pool, cases[i].sql, SQLPOOL_NO_ARGS, &err);
        if (rc != cases[i].expected || err.result != rc)
            test_fail(__FILE__, __LINE__, "exec \"%s\" gave %s: %s", cases[i].sql, sqlpool_result_name(rc), err.message);
        if (cases[i].part != NULL && cases[i].part[0] != '\0' && strstr(err.message, cases[i].part) == NULL)
            test_fail(__FILE__, __LINE__, "\"%s\": \"%s\" lacks %s", cases[i].sql, err.message, cases[i].part);
        memset(&rows, 0x5a, sizeof rows);
        rc = sqlpool_query(pool, &rows, cases[i].sql, SQLPOOL_NO_ARGS, &err);
        if (rc != cases[i].expected)
            test_fail(__FILE__, __LINE__, "query \"%s\" gave %s: %s", cases[i].sql, sqlpool_result_name(rc), err.message);
        if (rc != SQLPOOL_OK && (sqlpool_rows_next(&rows) || sqlpool_rows_column_count(&rows) != 0))
            test_fail(__FILE__, __LINE__, "\"%s\" failed but has rows", cases[i].sql);
        (void)sqlpool_rows_close(&rows, NULL);
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    rc = sqlpool_exec(pool, (const char *)NULL, SQLPOOL_NO_ARGS, &err);
    CHECK(rc == SQLPOOL_MISUSE || rc == SQLPOOL_EMPTY);
    CHECK(err.message[0] != '\0');
    rc = sqlpool_query(pool, &rows, (const char *)NULL, SQLPOOL_NO_ARGS, &err);
    CHECK(rc == SQLPOOL_MISUSE || rc == SQLPOOL_EMPTY);
    (void)sqlpool_rows_close(&rows, NULL);
    close_pool(pool);
}

TEST(statement_errors) {
    static const struct {
        const char *sql;
        int expected;
        const char *part;
    } cases[] = {
        {"SELECT * FROM nosuch", SQLITE_ERROR, "no such table: nosuch"},
        {"INSERT INTO nosuch VALUES(1)", SQLITE_ERROR, "no such table: nosuch"},
        {"SELECT nosuch FROM t", SQLITE_ERROR, "no such column: nosuch"},
        {"SELECT nosuch(1)", SQLITE_ERROR, "nosuch"},
        {"SELECT abs(-9223372036854775808)", SQLITE_ERROR, "integer overflow"},
        {"INSERT INTO t(id, name) VALUES(1, 'one')", SQLITE_CONSTRAINT_PRIMARYKEY, "t.id"},
        {"INSERT INTO t(id, name) VALUES(2, 'uno')", SQLITE_CONSTRAINT_UNIQUE, "t.name"},
        {"INSERT INTO t(id, name) VALUES(3, NULL)", SQLITE_CONSTRAINT_NOTNULL, "t.name"},
        {"INSERT INTO t(id, name, age) VALUES(4, 'four', -1)", SQLITE_CONSTRAINT_CHECK, "old_enough"},
        {"INSERT INTO child VALUES(99)", SQLITE_CONSTRAINT_FOREIGNKEY, "FOREIGN KEY"},
        {"INSERT INTO t(id, name) VALUES('text', 'five')", SQLITE_MISMATCH, "datatype mismatch"},
        {"INSERT INTO s VALUES('x')", SQLITE_CONSTRAINT_TRIGGER, "not on my watch"},
    };
    int i;
    sqlpool *pool = open_pool("errors.db", NULL,
                              "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
                              " age INT CONSTRAINT old_enough CHECK(age >= 0));"
                              "CREATE TABLE child(t REFERENCES t(id));"
                              "CREATE TABLE s(x);"
                              "CREATE TRIGGER tr BEFORE INSERT ON s BEGIN SELECT RAISE(ABORT, 'not on my watch'); END;"
                              "INSERT INTO t VALUES(1, 'uno', 3)");
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(cases); i++) {
        const int rc = sqlpool_exec(pool, cases[i].sql, SQLPOOL_NO_ARGS, &err);
        if (rc != cases[i].expected || err.result != rc || strstr(err.message, cases[i].part) == NULL)
            test_fail(__FILE__, __LINE__, "%s: result %d, expected %d with \"%s\": \"%s\"", cases[i].sql, rc,
                      cases[i].expected, cases[i].part, err.message);
        if (err.sqlite_code != cases[i].expected)
            test_fail(__FILE__, __LINE__, "%s: sqlite_code %d, expected %d", cases[i].sql, err.sqlite_code,
                      cases[i].expected);
        if (err.attempts != 1) test_fail(__FILE__, __LINE__, "%s: tried %d times", cases[i].sql, err.attempts);
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK_RC(sqlpool_exec(pool, "  SELEC 1", SQLPOOL_NO_ARGS, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "near \"SELEC\"");
    if (sqlite3_libversion_number() >= 3038000) {
        CHECK_INT(err.sql_offset, 2);
        CHECK_RC(sqlpool_exec(pool, "SELECT 1 FORM t", SQLPOOL_NO_ARGS, &err), SQLITE_ERROR, &err);
        CHECK_INT(err.sql_offset, 14);
    }
    CHECK_OK(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(err.sql_offset, -1);
    CHECK_INT(err.sqlite_code, 0);
    close_pool(pool);
}

TEST(text_beyond_the_limit) {
    const size_t bytes = 1000000 + 1000; /* SQLITE_LIMIT_SQL_LENGTH is 1,000,000 in every usual build */
    char *sql = malloc(bytes + 1);
    sqlite3 *db = raw_open(":memory:");
    sqlpool *pool = open_pool("long.db", NULL, NULL);
    CHECK(pool != NULL && db != NULL && sql != NULL);
    memset(sql, ' ', bytes);
    memcpy(sql, "SELECT 1", 8);
    sql[bytes] = '\0';
    if (sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, -1) < (int)bytes) {
        CHECK_RC(sqlpool_exec(pool, sql, SQLPOOL_NO_ARGS, &err), SQLITE_TOOBIG, &err);
        CHECK_RC(sqlpool_script(pool, sql, -1, &err), SQLITE_TOOBIG, &err);
    } else {
        CHECK_OK(sqlpool_exec(pool, sql, SQLPOOL_NO_ARGS, &err), &err);
    }
    CHECK_OK(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err), &err);
    (void)sqlite3_close(db);
    free(sql);
    close_pool(pool);
}

TEST(big_result_streams) {
    sqlpool_rows rows;
    sqlpool_stats before, during;
    int64_t count = 0, sum = 0;
    sqlpool *pool = open_pool("big.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_get_stats(pool, &before), SQLPOOL_OK);
    CHECK_OK(sqlpool_query(pool, &rows,
                           "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                           " SELECT i, printf('row %d', i) FROM n",
                           SQLPOOL_ARGS(100000), &err),
             &err);
    while (sqlpool_rows_next(&rows)) {
        count++;
        sum += sqlpool_rows_int64(&rows, 0);
        if (count == 50000) CHECK_STR(sqlpool_rows_text(&rows, 1), "row 50000");
    }
    CHECK_INT(sqlpool_get_stats(pool, &during), SQLPOOL_OK);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_INT(count, 100000);
    CHECK_INT(sum, (int64_t)100000 * 100001 / 2);
    CHECK(during.memory_bytes - before.memory_bytes < 512 * 1024); /* the rows would be 2 MB */
    close_pool(pool);
}

TEST(error_in_the_middle_of_a_walk) {
    sqlpool_rows rows;
    int count = 0;
    sqlpool *pool = open_pool("middle.db", NULL,
                              "CREATE TABLE t(v); INSERT INTO t VALUES(1),(2),(-9223372036854775808),(4)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT abs(v) FROM t ORDER BY rowid", SQLPOOL_NO_ARGS, &err), &err);
    while (sqlpool_rows_next(&rows)) count++;
    CHECK_INT(count, 2);
    CHECK_RC(sqlpool_rows_close(&rows, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "integer overflow");
    CHECK_INT(sqlpool_rows_close(&rows, NULL), SQLITE_ERROR); /* the same again */
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 4);
    close_pool(pool);
}

TEST(cursor_gives_its_connection_back) {
    const sqlpool_call no_wait = {SQLPOOL_NO_WAIT, 0, 0, NULL, NULL};
    sqlpool_config config = config_of(1);
    sqlpool_rows rows, second;
    sqlpool_stats stats;
    int i, rc;
    sqlpool *pool = open_pool("back.db", &config, "CREATE TABLE t(v); INSERT INTO t VALUES(1),(2),(3)");
    CHECK(pool != NULL);
    for (i = 0; i < 3; i++) { /* an early close */
        CHECK_OK(sqlpool_query_with(pool, &no_wait, &rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), &err);
        CHECK(sqlpool_rows_next(&rows));
        CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
        CHECK_INT(stats.used, 1);
        rc = sqlpool_query_with(pool, &no_wait, &second, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err);
        CHECK(rc == SQLPOOL_WOULD_BLOCK || rc == SQLPOOL_DEADLOCK || rc == SQLPOOL_MISUSE);
        (void)sqlpool_rows_close(&second, NULL);
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
        CHECK_INT(stats.used, 0);
    }
    CHECK_OK(sqlpool_query_with(pool, &no_wait, &rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), &err);
    for (i = 0; sqlpool_rows_next(&rows);) i++; /* to the end: back by itself */
    CHECK_INT(i, 3);
    CHECK_OK(sqlpool_query_with(pool, &no_wait, &second, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err); /* must not touch the second cursor's connection */
    CHECK(sqlpool_rows_next(&second));
    CHECK_INT(sqlpool_rows_int64(&second, 0), 1);
    CHECK_OK(sqlpool_rows_close(&second, &err), &err);
    close_pool(pool);
}

TEST(cursor_copies_its_arguments) {
    char text[] = "hello", blob[] = {1, 2, 3};
    sqlpool_value args[2];
    sqlpool_rows rows;
    int i;
    sqlpool *pool = open_pool("copies.db", NULL, NULL);
    CHECK(pool != NULL);
    args[0] = SQLPOOL_TEXT(text, 5);
    args[1] = SQLPOOL_BLOB(blob, 3);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT ?1, ?2 UNION ALL SELECT ?1, ?2 UNION ALL SELECT ?1, ?2", args, 2, &err), &err);
    memset(text, 'x', sizeof text);
    memset(blob, 9, sizeof blob);
    memset(args, 0x5a, sizeof args);
    for (i = 0; i < 3; i++) {
        CHECK(sqlpool_rows_next(&rows));
        CHECK_STR(sqlpool_rows_text(&rows, 0), "hello");
        CHECK(memcmp(sqlpool_rows_blob(&rows, 1), "\1\2\3", 3) == 0);
    }
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    close_pool(pool);
}

TEST(several_cursors_at_once) {
    sqlpool_rows a, b, c;
    int i;
    sqlpool *pool = open_pool("several.db", NULL, "CREATE TABLE t(v); INSERT INTO t VALUES(1),(2),(3)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_query(pool, &a, "SELECT v FROM t ORDER BY v", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_query(pool, &b, "SELECT v FROM t ORDER BY v", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_query(pool, &c, "SELECT v FROM t ORDER BY v", SQLPOOL_NO_ARGS, &err), &err);
    for (i = 1; i <= 3; i++) {
        CHECK(sqlpool_rows_next(&a) && sqlpool_rows_next(&b) && sqlpool_rows_next(&c));
        CHECK_INT(sqlpool_rows_int64(&a, 0) * 100 + sqlpool_rows_int64(&b, 0) * 10 + sqlpool_rows_int64(&c, 0), i * 111);
    }
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(4)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_rows_close(&b, &err), &err);
    CHECK_OK(sqlpool_rows_close(&a, &err), &err);
    CHECK_OK(sqlpool_rows_close(&c, &err), &err);
    close_pool(pool);
}

TEST(schema_change_reaches_a_cached_statement) {
    sqlpool_rows rows;
    sqlpool_config config = config_of(1);
    sqlpool *pool = open_pool("schema.db", &config, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT * FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sqlpool_rows_column_count(&rows), 1);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "ALTER TABLE t ADD COLUMN b DEFAULT 'two'", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT * FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sqlpool_rows_column_count(&rows), 2);
    CHECK_STR(sqlpool_rows_name(&rows, 1), "b");
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_column_count(&rows), 2);
    CHECK_STR(sqlpool_rows_text(&rows, 1), "two");
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_OK(sqlpool_script(pool, "DROP TABLE t; CREATE TABLE t(x, y, z); INSERT INTO t VALUES(7, 8, 9)", -1, &err), &err);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT * FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sqlpool_rows_column_count(&rows), 3);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_int64(&rows, 2), 9);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    close_pool(pool);
}

TEST(returning_is_buffered_and_committed_first) {
    sqlpool_rows rows;
    sqlpool_config config = config_of(1);
    sqlpool *pool;
    if (sqlite3_libversion_number() < 3035000) return;
    pool = open_pool("returning.db", &config, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_query(pool, &rows, "INSERT INTO t(v) VALUES(?), (?), (?) RETURNING id, v AS what, x'00ff', NULL, 1.5",
                           SQLPOOL_ARGS("a", SQLPOOL_TEXT("b\0c", 3), SQLPOOL_NULL), &err),
             &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 3); /* a reader sees it before the first row is read */
    CHECK_OK(sqlpool_exec(pool, "UPDATE t SET v = 'later'", SQLPOOL_NO_ARGS, &err), &err); /* the writer is free */
    CHECK_INT(sqlpool_rows_column_count(&rows), 5);
    CHECK_STR(sqlpool_rows_name(&rows, 1), "what");
    PART(check_no_row(&rows, 0));
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 1);
    CHECK_STR(sqlpool_rows_text(&rows, 1), "a");
    CHECK_INT(sqlpool_rows_bytes(&rows, 1), 1);
    CHECK(memcmp(sqlpool_rows_blob(&rows, 2), "\0\xff", 2) == 0);
    CHECK_INT(sqlpool_rows_bytes(&rows, 2), 2);
    CHECK(sqlpool_rows_is_null(&rows, 3));
    CHECK(sqlpool_rows_double(&rows, 4) == 1.5);
    CHECK_INT(sqlpool_rows_int64(&rows, 4), 1);   /* converted as SQLite converts, buffered or not */
    CHECK_STR(sqlpool_rows_text(&rows, 0), "1");
    PART(check_no_row(&rows, 5));
    CHECK(sqlpool_rows_next(&rows));
    CHECK(memcmp(sqlpool_rows_text(&rows, 1), "b\0c", 4) == 0);
    CHECK_INT(sqlpool_rows_bytes(&rows, 1), 3);
    CHECK(sqlpool_rows_next(&rows));
    CHECK(sqlpool_rows_is_null(&rows, 1));
    CHECK(!sqlpool_rows_next(&rows));
    PART(check_no_row(&rows, 0));
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    /* an early close of a buffered cursor, and one without rows */
    CHECK_OK(sqlpool_query(pool, &rows, "UPDATE t SET v = 1 RETURNING id", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_OK(sqlpool_query(pool, &rows, "DELETE FROM t WHERE id > 100 RETURNING id", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    /* a write without RETURNING has no columns, and is done */
    CHECK_OK(sqlpool_query(pool, &rows, "DELETE FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sqlpool_rows_column_count(&rows), 0);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    close_pool(pool);
}

TEST(returning_too_big_changes_nothing) {
    sqlpool_rows rows;
    sqlpool_config config = config_of(1);
    int64_t value = 7;
    sqlpool *pool;
    static const char sql[] = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                              " SELECT printf('%0100d', i) FROM n RETURNING v";
    if (sqlite3_libversion_number() < 3035000) return;
    config.returning_bytes = 65536;
    pool = open_pool("toobig.db", &config, "CREATE TABLE t(v); INSERT INTO t VALUES('first')");
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_query(pool, &rows, sql, SQLPOOL_ARGS(5000), &err), SQLPOOL_TOO_BIG, &err);
    CHECK_HAS(err.message, "returning_bytes");
    CHECK(!sqlpool_rows_next(&rows));
    (void)sqlpool_rows_close(&rows, NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK_OK(sqlpool_query(pool, &rows, sql, SQLPOOL_ARGS(50), &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 51);
    CHECK_OK(sqlpool_exec(pool, sql, SQLPOOL_ARGS(5000), &err), &err); /* exec throws its rows away: no bound */
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 5051);
    CHECK_OK(sqlpool_query_int64(pool, &value, "DELETE FROM t WHERE rowid = 1 RETURNING rowid", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(value, 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 5050);
    close_pool(pool);
}

TEST(one_value_helpers) {
    static const struct {
        const char *sql;
        int64_t integer;
        double real;
        const char *text;
    } cases[] = {
        {"SELECT 42", 42, 42.0, "42"},          {"SELECT 2.75", 2, 2.75, "2.75"},
        {"SELECT '12 monkeys'", 12, 12.0, "12 monkeys"}, {"SELECT NULL", 0, 0.0, ""},
        {"SELECT ''", 0, 0.0, ""},              {"SELECT 7, 8, 9", 7, 7.0, "7"},
        {"VALUES(3),(4),(5)", 3, 3.0, "3"},     {"SELECT -9223372036854775808", INT64_MIN, -9223372036854775808.0, "-9223372036854775808"},
    };
    int i;
    int64_t integer;
    double real;
    char text[64];
    sqlpool *pool = open_pool("helpers.db", NULL, "CREATE TABLE t(v)");
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(cases); i++) {
        integer = -1, real = -1.0;
        CHECK_OK(sqlpool_query_int64(pool, &integer, cases[i].sql, SQLPOOL_NO_ARGS, &err), &err);
        CHECK_OK(sqlpool_query_double(pool, &real, cases[i].sql, SQLPOOL_NO_ARGS, &err), &err);
        CHECK_OK(sqlpool_query_text(pool, text, sizeof text, cases[i].sql, SQLPOOL_NO_ARGS, &err), &err);
        CHECK_INT(integer, cases[i].integer);
        CHECK(real == cases[i].real);
        CHECK_STR(text, cases[i].text);
    }
    integer = -1, real = -1.0;
    strcpy(text, "old");
    CHECK_RC(sqlpool_query_int64(pool, &integer, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), SQLPOOL_NOT_FOUND, &err);
    CHECK_RC(sqlpool_query_double(pool, &real, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), SQLPOOL_NOT_FOUND, &err);
    CHECK_RC(sqlpool_query_text(pool, text, sizeof text, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), SQLPOOL_NOT_FOUND, &err);
    CHECK_INT(integer, 0);
    CHECK(real == 0.0);
    CHECK_STR(text, "");
    integer = -1, real = -1.0;
    strcpy(text, "old");
    CHECK_RC(sqlpool_query_int64(pool, &integer, "SELECT v FROM x", SQLPOOL_NO_ARGS, &err), SQLITE_ERROR, &err);
    CHECK_RC(sqlpool_query_double(pool, &real, "SELECT ?", SQLPOOL_NO_ARGS, &err), SQLPOOL_ARGUMENTS, &err);
    CHECK_RC(sqlpool_query_text(pool, text, sizeof text, "", SQLPOOL_NO_ARGS, &err), SQLPOOL_EMPTY, &err);
    CHECK_INT(integer, 0);
    CHECK(real == 0.0);
    CHECK_STR(text, "");
    CHECK_OK(sqlpool_query_int64(pool, &integer, "SELECT ? + ?", SQLPOOL_ARGS(2, 3), &err), &err);
    CHECK_INT(integer, 5);
    close_pool(pool);
}

TEST(text_is_cut_between_characters) {
    static const struct {
        size_t room;
        int expected;
        const char *text;
    } cases[] = { /* a, e acute (2 bytes), euro (3), clef (4): 10 bytes */
        {1, SQLPOOL_TOO_BIG, ""},     {2, SQLPOOL_TOO_BIG, "a"},     {3, SQLPOOL_TOO_BIG, "a"},
        {4, SQLPOOL_TOO_BIG, "a\xc3\xa9"}, {5, SQLPOOL_TOO_BIG, "a\xc3\xa9"}, {6, SQLPOOL_TOO_BIG, "a\xc3\xa9"},
        {7, SQLPOOL_TOO_BIG, "a\xc3\xa9\xe2\x82\xac"}, {10, SQLPOOL_TOO_BIG, "a\xc3\xa9\xe2\x82\xac"},
        {11, SQLPOOL_OK, "a\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e"}, {64, SQLPOOL_OK, "a\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e"},
    };
    char buffer[80];
    int i;
    sqlpool *pool = open_pool("cut.db", NULL, NULL);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(cases); i++) {
        memset(buffer, '#', sizeof buffer);
        CHECK_RC(sqlpool_query_text(pool, buffer, cases[i].room, "SELECT ?",
                                    SQLPOOL_ARGS("a\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e"), &err),
                 cases[i].expected, &err);
        CHECK_STR(buffer, cases[i].text);
        CHECK(buffer[cases[i].room] == '#'); /* nothing beyond the room was touched */
    }
    memset(buffer, '#', sizeof buffer);
    CHECK(sqlpool_query_text(pool, buffer, 0, "SELECT 'x'", SQLPOOL_NO_ARGS, &err) != SQLPOOL_OK);
    CHECK(buffer[0] == '#');
    /* all continuation bytes, no character to cut between: still inside the room and terminated */
    CHECK_RC(sqlpool_query_text(pool, buffer, 4, "SELECT CAST(x'8080808080808080' AS TEXT)", SQLPOOL_NO_ARGS, &err),
             SQLPOOL_TOO_BIG, &err);
    CHECK(memchr(buffer, '\0', 4) != NULL);
    close_pool(pool);
}

TEST(result_of_a_write) {
    static const struct {
        const char *sql;
        int64_t changes, last_insert_id;
    } steps[] = {
        {"CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE)", 0, 0},
        {"CREATE TABLE u(id INTEGER PRIMARY KEY, v)", 0, 0},
        {"INSERT INTO t(v) VALUES('a'), ('b'), ('c')", 3, 3},
        {"UPDATE t SET v = v || 'x' WHERE id < 3", 2, 0},
        {"UPDATE t SET v = 0 WHERE id > 100", 0, 0},
        {"INSERT OR IGNORE INTO t(v) VALUES('c')", 0, 0},
        {"INSERT INTO u(id, v) VALUES(3, 'same rowid as the last insert')", 1, 3},
        {"INSERT INTO t(id, v) VALUES(-5, 'negative')", 1, -5},
        {"SELECT count(*) FROM t", 0, 0},
        {"DELETE FROM t WHERE id = 1", 1, 0},
        {"INSERT INTO t(id, v) SELECT id + 1000, v || 'y' FROM t WHERE id > 0", 2, 1003},
        {"REPLACE INTO t(id, v) VALUES(2, 'again')", 1, 2},
        {"DELETE FROM t", 5, 0},
        {"DROP TABLE u", 0, 0},
    };
    int i;
    sqlpool *pool = open_pool("result.db", NULL, NULL);
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(steps); i++) {
        sqlpool_result result = {-7, -7, 7};
        CHECK_OK(sqlpool_exec_with(pool, NULL, &result, steps[i].sql, SQLPOOL_NO_ARGS, &err), &err);
        if (result.changes != steps[i].changes || result.last_insert_id != steps[i].last_insert_id)
            test_fail(__FILE__, __LINE__, "%s: changes %d id %d, expected %d and %d", steps[i].sql,
                      (int)result.changes, (int)result.last_insert_id, (int)steps[i].changes,
                      (int)steps[i].last_insert_id);
    }
    close_pool(pool);
}

TEST(null_pointers) {
    sqlpool_rows rows;
    int64_t integer;
    char text[8];
    sqlpool *pool = open_pool("null.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_exec((sqlpool *)NULL, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_query((sqlpool *)NULL, &rows, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE, &err);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_RC(sqlpool_query(pool, (sqlpool_rows *)NULL, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_query_int64((sqlpool *)NULL, &integer, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_query_text((sqlpool *)NULL, text, sizeof text, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_script((sqlpool *)NULL, "", -1, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, NULL), SQLPOOL_OK); /* no error wanted */
    CHECK_INT(sqlpool_exec(pool, "SELEC 1", SQLPOOL_NO_ARGS, NULL), SQLITE_ERROR);
    memset(&rows, 0, sizeof rows);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_column_count(&rows), 0);
    (void)sqlpool_rows_close(&rows, NULL);
    close_pool(pool);
}

/*  Whoever only looks at the end of the walk hears of it too. */
TEST(a_query_that_could_not_begin_fails_at_its_close) {
    sqlpool *pool = open_pool("begin.db", NULL, NULL);
    sqlpool_conn conn;
    sqlpool_rows rows;
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_RC(sqlpool_conn_query(&conn, &rows, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE, &err);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_close(&rows, NULL), SQLPOOL_MISUSE);
    CHECK_OK(sqlpool_close(pool, &err), &err);
    CHECK_RC(sqlpool_query(pool, &rows, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_CLOSED, &err);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_close(&rows, NULL), SQLPOOL_CLOSED);
}

TEST(call_options_are_checked) {
    sqlpool_call call = {0, 0, 0, NULL, NULL};
    sqlpool *pool = open_pool("options.db", NULL, NULL);
    CHECK(pool != NULL);
    call.tag = "a tag";
    call.timeout_ms = 1000;
    call.attempts = 1;
    call.priority = SQLPOOL_PRIORITY_CRITICAL;
    CHECK_OK(sqlpool_exec_with(pool, &call, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &err), &err);
    call.timeout_ms = SQLPOOL_FOREVER;
    CHECK_OK(sqlpool_exec_with(pool, &call, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &err), &err);
    call.timeout_ms = INT32_MAX;
    CHECK_OK(sqlpool_exec_with(pool, &call, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &err), &err);
    call.timeout_ms = -3;
    CHECK_RC(sqlpool_exec_with(pool, &call, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE, &err);
    call.timeout_ms = 0;
    call.attempts = -1;
    CHECK_RC(sqlpool_exec_with(pool, &call, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE, &err);
    call.attempts = 0;
    call.priority = 77;
    CHECK_RC(sqlpool_exec_with(pool, &call, NULL, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE, &err);
    close_pool(pool);
}

TEST(messages_hold_no_control_bytes) {
    const char *p;
    sqlpool *pool = open_pool("control.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_exec(pool, "SELECT * FROM \"a\x1b[31m\x07\rb%n%s\"", SQLPOOL_NO_ARGS, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "%n%s");
    for (p = err.message; *p != '\0'; p++) CHECK((unsigned char)*p >= 0x20 || *p == '\n');
    {
        char sql[5000];
        memset(sql, 'y', sizeof sql);
        memcpy(sql, "SELECT * FROM ", 14);
        sql[sizeof sql - 1] = '\0';
        CHECK_RC(sqlpool_exec(pool, sql, SQLPOOL_NO_ARGS, &err), SQLITE_ERROR, &err);
        CHECK(memchr(err.message, '\0', sizeof err.message) != NULL);
    }
    close_pool(pool);
}

TEST(statements_that_need_no_transaction) {
    sqlpool *pool = open_pool("plain.db", NULL, "CREATE TABLE t(v); INSERT INTO t VALUES(1)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_exec(pool, "VACUUM", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "ANALYZE", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_exec(pool, "REINDEX", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
}

TEST(result_names) {
    static const struct {
        int code;
        const char *name;
    } names[] = {
        {SQLPOOL_OK, "SQLPOOL_OK"},           {SQLPOOL_MISUSE, "SQLPOOL_MISUSE"}, {SQLPOOL_TOO_BIG, "SQLPOOL_TOO_BIG"},
        {SQLITE_BUSY, "SQLITE_BUSY"},         {SQLITE_NOTADB, "SQLITE_NOTADB"},   {SQLITE_ERROR, "SQLITE_ERROR"},
        {SQLITE_CONSTRAINT_UNIQUE, "SQLITE_CONSTRAINT"}, {SQLPOOL_TIMEOUT, "SQLPOOL_TIMEOUT"},
    };
    int i;
    for (i = 0; i < LENGTH(names); i++) {
        CHECK_HAS(sqlpool_result_name(names[i].code), names[i].name);
        CHECK(sqlpool_result_text(names[i].code)[0] != '\0');
    }
    for (i = -1000; i < 10000; i++) CHECK(sqlpool_result_name(i) != NULL && sqlpool_result_text(i) != NULL);
    CHECK(sqlpool_result_name(INT32_MIN) != NULL && sqlpool_result_text(INT32_MAX) != NULL);
}

typedef struct one_row {
    int calls, result;
    int64_t number;
    char text[20];
} one_row;

static int take_row(sqlpool_rows *row, void *user) {
    one_row *r = (one_row *)user;
    r->calls++;
    r->number = sqlpool_rows_int64(row, 0);
    (void)snprintf(r->text, sizeof r->text, "%s", sqlpool_rows_text(row, 1));
    return r->result;
}

/*  Goes on to a row that fails, and does not mind. */
static int take_two(sqlpool_rows *rows, void *user) {
    (void)user;
    (void)sqlpool_rows_next(rows);
    return 0;
}
TEST(one_row_by_function) {
    one_row r = {0, 0, 0, ""};
    sqlpool *pool = open_pool("row.db", NULL, "CREATE TABLE p(id INTEGER PRIMARY KEY, v)");
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_query_row(pool, take_row, &r, "SELECT id, v FROM p", SQLPOOL_NO_ARGS, &err), SQLPOOL_NOT_FOUND, &err);
    CHECK_INT(r.calls, 0);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO p(v) VALUES('a'), ('b')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_query_row(pool, take_row, &r, "SELECT id, v FROM p WHERE id >= ? ORDER BY id", SQLPOOL_ARGS(2), &err), &err);
    CHECK_INT(r.calls, 1);
    CHECK_INT(r.number, 2);
    CHECK_STR(r.text, "b");
    r.result = 70000; /* its own result comes back, and the connection does too */
    CHECK_RC(sqlpool_query_row(pool, take_row, &r, "SELECT id, v FROM p", SQLPOOL_NO_ARGS, &err), 70000, &err);
    CHECK_INT(r.calls, 2);
    CHECK_RC(sqlpool_query_row(pool, NULL, &r, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_query_row(pool, take_row, &r, "SELECT nothing", SQLPOOL_NO_ARGS, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "nothing");
    CHECK_INT(r.calls, 2);
    CHECK_RC(sqlpool_query_row(pool, take_two, NULL, "SELECT abs(v) FROM (SELECT 1 AS v UNION ALL SELECT -9223372036854775807 - 1)",
                               SQLPOOL_NO_ARGS, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "overflow");
    close_pool(pool);
}

int main(void) {
    RUN(one_row_by_function);
    RUN(values_round_trip);
    RUN(single_accessors_and_conversion);
    RUN(columns_without_a_row);
    RUN(arguments_are_counted_and_checked);
    RUN(text_that_is_no_single_statement);
    RUN(statement_errors);
    RUN(text_beyond_the_limit);
    RUN(big_result_streams);
    RUN(error_in_the_middle_of_a_walk);
    RUN(cursor_gives_its_connection_back);
    RUN(cursor_copies_its_arguments);
    RUN(several_cursors_at_once);
    RUN(schema_change_reaches_a_cached_statement);
    RUN(returning_is_buffered_and_committed_first);
    RUN(returning_too_big_changes_nothing);
    RUN(one_value_helpers);
    RUN(text_is_cut_between_characters);
    RUN(result_of_a_write);
    RUN(null_pointers);
    RUN(a_query_that_could_not_begin_fails_at_its_close);
    RUN(call_options_are_checked);
    RUN(messages_hold_no_control_bytes);
    RUN(statements_that_need_no_transaction);
    RUN(result_names);
    return test_end();
}
