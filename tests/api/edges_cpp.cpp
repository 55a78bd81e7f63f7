/*  edges_cpp.cpp - what a review found in the C++ helpers: arguments. C++11.
    SPDX-License-Identifier: MIT OR Unlicense */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <string>
#include <utility>

#include "api.h"

using sqlpoolpp::database;

static sqlpool_error err;

/*  Does SQLPOOL_VALUE(T) compile? */
template <class T>
struct is_value {
    template <class U>
    static char test(decltype(::sqlpoolpp::value(std::declval<U>())) *);
    template <class U>
    static long test(...);
    enum { yes = sizeof(test<T>(nullptr)) == 1 };
};
struct thing {
    int number;
};

TEST(pointers_that_are_not_text_do_not_compile) {
    CHECK(is_value<int>::yes);
    CHECK(is_value<unsigned char>::yes);
    CHECK(is_value<bool>::yes);
    CHECK(is_value<double>::yes);
    CHECK(is_value<const char *>::yes);
    CHECK(is_value<char *>::yes);
    CHECK(is_value<const char(&)[5]>::yes);
    CHECK(is_value<char(&)[5]>::yes);
    CHECK(is_value<decltype(nullptr)>::yes);
    CHECK(is_value<std::string>::yes);
    CHECK(is_value<sqlpool_value>::yes);
    CHECK(!is_value<const unsigned char *>::yes);
    CHECK(!is_value<unsigned char *>::yes);
    CHECK(!is_value<const signed char *>::yes);
    CHECK(!is_value<unsigned char(&)[5]>::yes);
    CHECK(!is_value<void *>::yes);
    CHECK(!is_value<const void *>::yes);
    CHECK(!is_value<int *>::yes);
    CHECK(!is_value<const wchar_t *>::yes);
    CHECK(!is_value<thing *>::yes);
    CHECK(!is_value<thing>::yes);
}

static int counted(int *calls) { return ++*calls; }
static std::string counted_text(int *calls) {
    ++*calls;
    return std::string("text that no small string holds in place, number ") + static_cast<char>('0' + *calls);
}

TEST(arguments_are_evaluated_once) {
    int calls = 0, texts = 0;
    int64_t value = 0;
    char text[80];
    database db("once.db");
    CHECK(static_cast<bool>(db));
    CHECK_OK(sqlpool_exec(db.get(), "CREATE TABLE t(a, b, c)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_exec(db.get(), "INSERT INTO t VALUES(?, ?, ?)", SQLPOOL_ARGS(counted(&calls), counted_text(&texts), 2.5), &err), &err);
    CHECK_INT(calls, 1);
    CHECK_INT(texts, 1);
    CHECK_OK(sqlpool_query_int64(db.get(), &value, "SELECT a FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(value, 1);
    CHECK_OK(sqlpool_query_text(db.get(), text, sizeof text, "SELECT b FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_STR(text, "text that no small string holds in place, number 1");
    CHECK_OK(sqlpool_query_int64(db.get(), &value, "SELECT ?1 * 10 + ?2", SQLPOOL_ARGS(calls++, ++texts), &err), &err);
    CHECK_INT(calls, 2);
    CHECK_INT(texts, 2);
    CHECK_INT(value, 12);
    CHECK_OK(sqlpoolpp::exec(db, &err, "INSERT INTO t(a) VALUES(?)", counted(&calls)), &err);
    CHECK_INT(calls, 3);
    CHECK_INT(SQLPOOL_VALUE(counted(&calls)).as.integer, 4);
    CHECK_INT(calls, 4);
}

TEST(null_pointers_and_text_with_a_nul) {
    const char *none = nullptr;
    int64_t value = 0;
    database db("nulls.db");
    CHECK(static_cast<bool>(db));
    CHECK_OK(sqlpool_query_int64(db.get(), &value, "SELECT (?1 IS NULL) + (?2 IS NULL) + (?3 IS NULL)", SQLPOOL_ARGS(none, nullptr, SQLPOOL_NULL), &err),
             &err);
    CHECK_INT(value, 3);
    CHECK_OK(sqlpool_query_int64(db.get(), &value, "SELECT length(CAST(?1 AS BLOB)) * 10 + length(CAST(?2 AS BLOB))",
                                 SQLPOOL_ARGS(std::string("a\0b", 3), SQLPOOL_TEXT("c\0de", 4)), &err),
             &err);
    CHECK_INT(value, 34);
}

int main() {
    RUN(pointers_that_are_not_text_do_not_compile);
    RUN(arguments_are_evaluated_once);
    RUN(null_pointers_and_text_with_a_nul);
    return test_end();
}
