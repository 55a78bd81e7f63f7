/*  One part of main.c; PART is its name. With SQLPOOL_STATIC it has a copy of its own. */
#ifdef SQLPOOL_STATIC
#define SQLPOOL_IMPLEMENTATION
#endif
#include "sqlpool.h"
#include "use.h"
int PART(void);
int PART(void) { return use_pool(); }
