/*  sqlite3.h first, then both parts of the header. */
#include <sqlite3.h>
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
#include "use.h"
sqlite3 *handle(sqlpool_conn *conn);
sqlite3 *handle(sqlpool_conn *conn) { return sqlpool_conn_db(conn); }
int main(void) { return use_pool() + (handle(NULL) != NULL); }
