/*  Under -std=c11 the C library hides POSIX; the headers are closed for good once included without a
    feature macro. The implementation has to live with what is then declared. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
#include "use.h"
int main(void) { return use_pool(); }
