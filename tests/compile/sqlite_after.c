/*  sqlite3.h between declarations and implementation, and after both. */
#include "sqlpool.h"
#include <sqlite3.h>
sqlite3 *handle(sqlpool_conn *conn);
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
#include <sqlite3.h>
#include "use.h"
sqlite3 *handle(sqlpool_conn *conn) { return sqlpool_conn_db(conn); }
int main(void) { return use_pool() + (handle(NULL) != NULL); }
