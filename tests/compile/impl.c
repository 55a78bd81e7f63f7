/*  The implementation and nothing else. */
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
