/*  Macros that other headers are known to leave behind: windows.h (min, max, near, far, small,
    interface, ERROR, ...), X11 (Bool, Status, None, Success), complex.h (I), and debugging allocators
    that replace malloc by a macro with arguments. Whoever defines those has included the C library
    before, so it is included here too. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sqlite3.h>

static void *debug_malloc(size_t bytes, const char *file, int line) {
    (void)file;
    return line > 0 ? malloc(bytes) : NULL;
}
static void *debug_calloc(size_t count, size_t bytes, const char *file, int line) {
    (void)file;
    return line > 0 ? calloc(count, bytes) : NULL;
}
static void *debug_realloc(void *memory, size_t bytes, const char *file, int line) {
    (void)file;
    return line > 0 ? realloc(memory, bytes) : NULL;
}
static void debug_free(void *memory, const char *file, int line) {
    (void)file;
    if (line > 0) free(memory);
}
#define malloc(bytes) debug_malloc((bytes), __FILE__, __LINE__)
#define calloc(count, bytes) debug_calloc((count), (bytes), __FILE__, __LINE__)
#define realloc(memory, bytes) debug_realloc((memory), (bytes), __FILE__, __LINE__)
#define free(memory) debug_free((memory), __FILE__, __LINE__)

#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define MIN(a, b) min(a, b)
#define MAX(a, b) max(a, b)
#define near
#define far
#define small char
#define hyper long
#define interface struct
#define cdecl
#define pascal
#define IN
#define OUT
#define OPTIONAL
#define CONST const
#define VOID void
#define TRUE 1
#define FALSE 0
#define YES 1
#define NO 0
#define OK 77
#define ERROR 0
#define DEBUG 1
#define INFO 2
#define WARNING 3
#define READ 1
#define WRITE 2
#define DELETE 0x10000
#define TRUNCATE 5
#define PERSIST 6
#define MEMORY 7
#define WAL 8
#define NORMAL 9
#define FULL 10
#define EXTRA 11
#define OFF 12
#define NONE 13
#define EQUAL 14
#define CRITICAL 15
#define TIMEOUT 16
#define CLOSED 17
#define CANCELLED 18
#define EMPTY 19
#define CONFIG 20
#define MISUSE 21
#define NOMEM 22
#define BUSY 23
#define LEAK 24
#define MOVED 25
#define RETRY 26
#define CHECKPOINT 27
#define NULL_VALUE 0
#define TEXT(x) L##x
#define BLOB 28
#define Bool int
#define Status int
#define None 0L
#define Success 0
#define Always 2
#define Never 0
#define True 1
#define False 0
#define I 1.0
#define _ 0
#define unix 1
#define linux 1
#define major(x) (x)
#define minor(x) (x)
#define index(s, c) strchr((s), (c))
#define check(x) ((void)(x))
#define verify(x) ((void)(x))
#define require(x) ((void)(x))
#define TEST(x) x
#define CHECK(x) x
#define ASSERT(x) ((void)(x))
#define assert_that(x) ((void)(x))
#define STATIC static
#define INLINE inline
#define PRIVATE static
#define PUBLIC
#define API
#define POOL 1
#define COUNT(x) (sizeof(x))
#define LENGTH(x) (sizeof(x))
#define ARRAY_SIZE(x) (sizeof(x))
#define CONTAINER_OF(x) (x)
#define LIKELY(x) (x)
#define UNLIKELY(x) (x)
#define ATOMIC 1
#define LOCK 1
#define UNLOCK 0
#define X(a) a

#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
#include "use.h"
int main(void) {
    void *memory = malloc(8);
    memory = realloc(memory, 16);
    free(memory);
    memory = calloc(1, 1);
    free(memory);
    return use_pool();
}
