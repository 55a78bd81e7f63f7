/*  Declarations twice, the implementation twice, declarations again. */
#include "sqlpool.h"
#include "sqlpool.h"
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
#include "sqlpool.h"
#undef SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
#include "use.h"
int main(void) { return use_pool(); }
