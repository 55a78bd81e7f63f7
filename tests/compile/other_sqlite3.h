/*  Stands for the header of another engine with SQLite's API (see SQLPOOL_SQLITE3_H). */
#define OTHER_SQLITE3_H 1
#include <sqlite3.h>
