/*  SQLPOOL_ARGS with every type it takes, in C11. */
#include "use.h"
int arguments(sqlpool *pool);
int arguments(sqlpool *pool) {
    const char *text = "t";
    char buffer[4] = "u";
    const unsigned long long big = 1;
    _Bool flag = 1;
    float real = 1.0f;
    void *none = NULL;
    sqlpool_value value = sqlpool_value_double(2.5);
    int rc = sqlpool_exec(pool, "SELECT ?", SQLPOOL_ARGS(1), NULL);
    rc += sqlpool_exec(pool, "x", SQLPOOL_ARGS(text, buffer, "literal", 'c', flag, real, 2.0), NULL);
    rc += sqlpool_exec(pool, "x", SQLPOOL_ARGS(big, 1UL, 1L, 1LL, (short)1, (unsigned char)1, value), NULL);
    rc += sqlpool_exec(pool, "x", SQLPOOL_ARGS(none, SQLPOOL_NULL, SQLPOOL_BLOB(buffer, 2)), NULL);
    rc += sqlpool_exec(pool, "x", SQLPOOL_ARGS(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16), NULL);
    return rc;
}
