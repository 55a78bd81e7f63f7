/*  use.h - names most of the API in an executable way. SPDX-License-Identifier: MIT OR Unlicense
    Plain C99 and C++11, so that every translation unit here can include it. */
#ifndef USE_H
#define USE_H
#include "sqlpool.h"

static SQLPOOL__UNUSED int use_transaction(sqlpool_conn *conn, void *user, int attempt) {
    (void)user;
    (void)attempt;
    return sqlpool_conn_exec(conn, "INSERT INTO t VALUES(2)", NULL, 0, NULL, NULL);
}

/*  Opens a pool in memory, writes, reads, closes. 0 is success. */
static SQLPOOL__UNUSED int use_pool(void) {
    sqlpool *pool = NULL;
    sqlpool_config config = sqlpool_config_default();
    sqlpool_error error;
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlpool_value one = sqlpool_value_int64(1);
    int64_t count = 0;
    int rc, seen = 0;
    config.max_connections = 2;
    rc = sqlpool_open(&pool, ":memory:", &config, &error);
    if (rc != SQLPOOL_OK) return 10;
    rc = sqlpool_script(pool, "CREATE TABLE t(x INTEGER);", -1, &error);
    if (rc == 0) rc = sqlpool_exec(pool, "INSERT INTO t VALUES(?)", &one, 1, &error);
    if (rc == 0) rc = sqlpool_transaction(pool, SQLPOOL_WRITE, use_transaction, NULL, &error);
    if (rc == 0) rc = sqlpool_query_int64(pool, &count, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &error);
    if (rc != 0 || count != 2) return 11;
    rc = sqlpool_query(pool, &rows, "SELECT x FROM t ORDER BY x", SQLPOOL_NO_ARGS, &error);
    while (sqlpool_rows_next(&rows)) seen += (int)sqlpool_rows_int64(&rows, 0);
    if (sqlpool_rows_close(&rows, &error) != 0 || rc != 0 || seen != 3) return 12;
    rc = sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &error);
    if (rc != 0 || sqlpool_conn_release(&conn) != 0) return 13;
    return sqlpool_close(pool, &error) == SQLPOOL_OK ? 0 : 14;
}
#endif
