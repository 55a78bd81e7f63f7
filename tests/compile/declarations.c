/*  The declarations alone, in any C from C99 on and in C++; needs no sqlite3.h. */
#include "sqlpool.h"
#include "use.h"
int declarations(void);
int declarations(void) {
    sqlpool_config config = {0};
    sqlpool_value values[3];
    values[0] = SQLPOOL_NULL;
    values[1] = SQLPOOL_TEXT("a\0b", 3);
    values[2] = SQLPOOL_BLOB("x", 1);
    return use_pool() + config.min_connections + values[0].type + (int)SQLPOOL_VERSION;
}
