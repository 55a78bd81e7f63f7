/*  quickstart.c - open, write, all or nothing, read.   cc -I. quickstart.c -lsqlite3 -lpthread
    SPDX-License-Identifier: MIT OR Unlicense  */
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
#include <stdio.h>

static int lend(sqlpool_conn *conn, void *user, int attempt) { /* both happen, or neither */
    sqlpool_error *error = user;
    int rc = sqlpool_conn_exec(conn, "DELETE FROM book WHERE title = ?", SQLPOOL_ARGS("Emma"), NULL,
                               error);
    (void)attempt; /* counts from 1: SQLite may ask for the whole transaction again */
    if (rc != SQLPOOL_OK) return rc;
    return sqlpool_conn_exec(conn, "INSERT INTO lent VALUES(?)", SQLPOOL_ARGS("Emma"), NULL, error);
}

static const char schema[] = "CREATE TABLE IF NOT EXISTS book(title TEXT, year INTEGER);"
                             "CREATE TABLE IF NOT EXISTS lent(title TEXT); DELETE FROM book;";

int main(void) {
    sqlpool *pool;
    sqlpool_rows rows;
    sqlpool_error error; /* every call returns 0 or an error, with the reason in here */
    if (sqlpool_open(&pool, "quickstart.db", NULL, &error) ||
        sqlpool_script(pool, schema, -1, &error) ||
        sqlpool_exec(pool, "INSERT INTO book VALUES(?, ?)", SQLPOOL_ARGS("Emma", 1815), &error) ||
        sqlpool_exec(pool, "INSERT INTO book VALUES(?, ?)", SQLPOOL_ARGS("Dune", 1965), &error) ||
        sqlpool_transaction(pool, SQLPOOL_WRITE, lend, &error, &error))
        goto failed;
    (void)sqlpool_query(pool, &rows, "SELECT title, year FROM book WHERE year > ?",
                        SQLPOOL_ARGS(1900), &error);
    while (sqlpool_rows_next(&rows))
        printf("%s (%d)\n", sqlpool_rows_text(&rows, 0), (int)sqlpool_rows_int64(&rows, 1));
    if (!sqlpool_rows_close(&rows, &error) && !sqlpool_close(pool, &error)) return 0;
failed:
    fprintf(stderr, "%s: %s\n", sqlpool_result_name(error.result), error.message);
    return 1;
}
