/*  SQLPOOL_SQLITE3_H names the header to use. */
#define SQLPOOL_SQLITE3_H "other_sqlite3.h"
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
#ifndef OTHER_SQLITE3_H
#error "SQLPOOL_SQLITE3_H is not heard"
#endif
int main(void) { return sqlpool_result_name(0) == NULL; }
