/*  test.h - the few macros every test program uses. SPDX-License-Identifier: MIT OR Unlicense

    A program calls RUN(name) for each test and returns test_end(). It prints one line a test ("ok" or
    "not ok") and closes with "N passed, N failed". A failed CHECK is printed with its place and ends
    the test it stands in; checks in other threads only mark it failed. */
#ifndef TEST_H
#define TEST_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_passed_count, test_failed_count;
static volatile int test_failed_now; /* written from any thread: only ever set to 1 while a test runs */
static const char *test_name = "";

static inline void test_fail(const char *file, int line, const char *format, ...) {
    char text[2048];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    printf("# %s:%d: %s: %s\n", file, line, test_name, text);
    fflush(stdout);
    __atomic_store_n(&test_failed_now, 1, __ATOMIC_RELAXED);
}

#define CHECK(condition)                                            \
    do {                                                            \
        if (!(condition)) {                                         \
            test_fail(__FILE__, __LINE__, "failed: %s", #condition); \
            return;                                                 \
        }                                                           \
    } while (0)

#define CHECK_INT(actual, expected)                                                                 \
    do {                                                                                            \
        const int64_t test_a = (int64_t)(actual), test_e = (int64_t)(expected);                     \
        if (test_a != test_e) {                                                                     \
            test_fail(__FILE__, __LINE__, "%s is %" PRId64 ", expected %s = %" PRId64, #actual, test_a, \
                      #expected, test_e);                                                           \
            return;                                                                                 \
        }                                                                                           \
    } while (0)

#define CHECK_STR(actual, expected)                                                                 \
    do {                                                                                            \
        const char *test_a = (actual), *test_e = (expected);                                        \
        if (test_a == NULL || strcmp(test_a, test_e) != 0) {                                        \
            test_fail(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #actual,                 \
                      test_a == NULL ? "(null)" : test_a, test_e);                                  \
            return;                                                                                 \
        }                                                                                           \
    } while (0)

/*  The text must contain the part: for messages, which must name who, what and where. */
#define CHECK_HAS(text, part)                                                                       \
    do {                                                                                            \
        const char *test_a = (text), *test_e = (part);                                              \
        if (test_a == NULL || strstr(test_a, test_e) == NULL) {                                     \
            test_fail(__FILE__, __LINE__, "%s is \"%s\", which lacks \"%s\"", #text,                \
                      test_a == NULL ? "(null)" : test_a, test_e);                                  \
            return;                                                                                 \
        }                                                                                           \
    } while (0)

#define TEST(name) static void name(void)
#define RUN(name) test_run(#name, name)

static inline void test_run(const char *name, void (*test)(void)) {
    test_name = name;
    __atomic_store_n(&test_failed_now, 0, __ATOMIC_RELAXED);
    test();
    if (__atomic_load_n(&test_failed_now, __ATOMIC_RELAXED)) {
        test_failed_count++;
        printf("not ok %s\n", name);
    } else {
        test_passed_count++;
        printf("ok %s\n", name);
    }
    fflush(stdout);
}

static inline int test_end(void) {
    printf("%d passed, %d failed\n", test_passed_count, test_failed_count);
    return test_failed_count == 0 ? 0 : 1;
}

#endif
