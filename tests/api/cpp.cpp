/*  cpp.cpp - the C++ helpers, C++11. SPDX-License-Identifier: MIT OR Unlicense */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#if __cplusplus >= 201703L
#include <string_view>
#endif

#include "api.h"

using sqlpoolpp::database;
using sqlpoolpp::lease;
using sqlpoolpp::rows;
using sqlpoolpp::snapshot;
using sqlpoolpp::transaction;

static sqlpool_error err;

static int64_t used(sqlpool *pool) {
    sqlpool_stats stats;
    return sqlpool_get_stats(pool, &stats) == SQLPOOL_OK ? stats.used : -1;
}

TEST(values) {
    const std::string text("a\0b\xff", 4);
    char buffer[] = "from a buffer";
    const sqlpool_value null = SQLPOOL_VALUE(nullptr), truth = SQLPOOL_VALUE(true), small = SQLPOOL_VALUE('x'),
                        big = SQLPOOL_VALUE(std::numeric_limits<int64_t>::min()),
                        top = SQLPOOL_VALUE(static_cast<uint64_t>(INT64_MAX)),
                        beyond = SQLPOOL_VALUE(std::numeric_limits<uint64_t>::max()), real = SQLPOOL_VALUE(2.5f),
                        literal = SQLPOOL_VALUE("literal"), array = SQLPOOL_VALUE(buffer), exact = SQLPOOL_VALUE(text),
                        none = SQLPOOL_VALUE(static_cast<const char *>(nullptr)), same = SQLPOOL_VALUE(exact);
    CHECK_INT(null.type, SQLPOOL_TYPE_NULL);
    CHECK_INT(truth.type, SQLPOOL_TYPE_INT64);
    CHECK_INT(truth.as.integer, 1);
    CHECK_INT(SQLPOOL_VALUE(false).as.integer, 0);
    CHECK_INT(small.as.integer, 'x');
    CHECK_INT(big.as.integer, INT64_MIN);
    CHECK_INT(top.as.integer, INT64_MAX);
    CHECK_INT(beyond.type, SQLPOOL_TYPE_INVALID);
    CHECK_INT(real.type, SQLPOOL_TYPE_DOUBLE);
    CHECK(real.as.real == 2.5);
    CHECK_INT(literal.type, SQLPOOL_TYPE_TEXT);
    CHECK_INT(literal.size, 7);
    CHECK_INT(array.size, 13);
    CHECK_INT(exact.size, 4);
    CHECK(exact.as.text == text.data());
    CHECK_INT(none.type, SQLPOOL_TYPE_NULL);
    CHECK_INT(same.size, 4);
#if __cplusplus >= 201703L
    CHECK_INT(SQLPOOL_VALUE(std::string_view("view")).size, 4);
#endif
}

TEST(macros_work_in_cpp) {
    int64_t value = 0;
    database db("macros.db");
    CHECK(static_cast<bool>(db));
    CHECK_OK(sqlpool_exec(db.get(), "CREATE TABLE t(a, b, c, d)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_exec(db.get(), "INSERT INTO t VALUES(?, ?, ?, ?)",
                          SQLPOOL_ARGS(1, "two", 3.5, SQLPOOL_BLOB("\0\1", 2)), &err),
             &err);
    CHECK_OK(sqlpool_query_int64(db, &value, "SELECT count(*) FROM t WHERE a = ? AND b = ? AND c = ? AND d = x'0001'",
                                 SQLPOOL_ARGS(1, std::string("two"), 3.5), &err),
             &err);
    CHECK_INT(value, 1);
    CHECK_RC(sqlpool_exec(db.get(), "SELECT ?", SQLPOOL_ARGS(1, 2), &err), SQLPOOL_ARGUMENTS, &err);
}

TEST(database_owns_the_pool) {
    sqlpool *pool;
    {
        database db("owner.db", nullptr, &err);
        CHECK(static_cast<bool>(db));
        CHECK_INT(err.result, SQLPOOL_OK);
        pool = db;
        CHECK(pool == db.get());
        CHECK_OK(sqlpoolpp::exec(db, &err, "CREATE TABLE t(v)"), &err);
        {
            database moved(std::move(db));
            CHECK(!static_cast<bool>(db));
            CHECK(moved.get() == pool);
            CHECK_OK(sqlpoolpp::exec(moved, &err, "INSERT INTO t VALUES(?)", 1), &err);
        }
        CHECK_RC(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_CLOSED, &err);
    }
    database empty;
    CHECK(!static_cast<bool>(empty));
    database bad("no/such/folder/x.db", nullptr, &err);
    CHECK(!static_cast<bool>(bad));
    CHECK_INT(err.result & 0xff, SQLITE_CANTOPEN);
}

TEST(exec_and_rows) {
    database db("rows.db");
    const std::string name("n\0m", 3);
    CHECK(static_cast<bool>(db));
    CHECK_OK(sqlpoolpp::exec(db, &err, "CREATE TABLE t(id INTEGER PRIMARY KEY, name, score)"), &err);
    CHECK_OK(sqlpoolpp::exec(db, &err, "INSERT INTO t(name, score) VALUES(?, ?), (?, ?)", name, 1.5, nullptr, 7L), &err);
    CHECK_RC(sqlpoolpp::exec(db, &err, "INSERT INTO t(name) VALUES(?)", 1, 2), SQLPOOL_ARGUMENTS, &err);
    {
        rows r(db, &err, "SELECT id, name, score FROM t WHERE id > ? ORDER BY id", 0);
        CHECK(static_cast<bool>(r));
        CHECK_INT(used(db), 1);
        CHECK(r.next());
        CHECK_INT(r.int64(0), 1);
        CHECK(std::string(r.text(1), r.bytes(1)) == name);
        CHECK(r.real(2) == 1.5);
        rows moved(std::move(r)); /* the cursor goes on where it was */
        CHECK(!r.next());
        CHECK(moved.next());
        CHECK(moved.is_null(1));
        CHECK(moved.blob(1) == nullptr);
        CHECK_INT(moved.int64(2), 7);
        CHECK(!moved.next());
        CHECK_OK(moved.close(&err), &err);
    }
    CHECK_INT(used(db), 0);
    {
        rows r(db, &err, "SELECT id FROM t"); /* left in the middle */
        CHECK(r.next());
    }
    CHECK_INT(used(db), 0);
    {
        rows r(db, &err, "SELECT nosuch FROM t");
        CHECK(!static_cast<bool>(r));
        CHECK_INT(r.result(), SQLITE_ERROR);
        CHECK(!r.next());
        CHECK_HAS(err.message, "nosuch");
    }
    {
        std::string gone = "temporary";
        rows r(db, &err, "SELECT ?1 UNION ALL SELECT ?1", std::string("a temporary that is gone by now"));
        CHECK(r.next() && r.next());
        CHECK_STR(r.text(0), "a temporary that is gone by now");
    }
}

TEST(leases) {
    database db("leases.db");
    CHECK(static_cast<bool>(db));
    CHECK_OK(sqlpoolpp::exec(db, &err, "CREATE TABLE t(v)"), &err);
    {
        lease writer(db, SQLPOOL_WRITE, &err);
        CHECK(static_cast<bool>(writer));
        CHECK_INT(writer.result(), SQLPOOL_OK);
        CHECK_INT(used(db), 1);
        CHECK_OK(writer.exec(&err, "INSERT INTO t VALUES(?)", 5), &err);
        {
            rows r(writer, &err, "SELECT v FROM t WHERE v = ?", 5);
            CHECK(r.next());
            CHECK_INT(r.int64(0), 5);
        }
        lease moved(std::move(writer));
        CHECK(!static_cast<bool>(writer));
        CHECK(static_cast<bool>(moved));
        CHECK_INT(used(db), 1);
        CHECK_OK(moved.exec(&err, "INSERT INTO t VALUES(?)", 6), &err);
        lease second(db, SQLPOOL_WRITE, &err);
        CHECK(!static_cast<bool>(second));
        CHECK_INT(second.result(), SQLPOOL_MISUSE);
    }
    CHECK_INT(used(db), 0);
    CHECK_INT(ask(db, "SELECT count(*) FROM t"), 2);
}

static void fail_in_transaction(sqlpool *pool) {
    lease writer(pool, SQLPOOL_WRITE);
    transaction t(writer);
    if (writer.exec(nullptr, "INSERT INTO t VALUES(1)") != SQLPOOL_OK) return;
    throw std::runtime_error("out");
}

TEST(transactions) {
    database db("transactions.db");
    bool caught = false;
    CHECK(static_cast<bool>(db));
    CHECK_OK(sqlpoolpp::exec(db, &err, "CREATE TABLE t(v)"), &err);
    {
        lease writer(db, SQLPOOL_WRITE);
        transaction t(writer, &err);
        CHECK(static_cast<bool>(t));
        CHECK_OK(writer.exec(&err, "INSERT INTO t VALUES(1)"), &err);
    } /* rolled back */
    CHECK_INT(ask(db, "SELECT count(*) FROM t"), 0);
    {
        lease writer(db, SQLPOOL_WRITE);
        transaction t(writer);
        CHECK_OK(writer.exec(&err, "INSERT INTO t VALUES(1)"), &err);
        {
            transaction inner(writer);
            CHECK_OK(writer.exec(&err, "INSERT INTO t VALUES(2)"), &err);
        } /* the savepoint only */
        CHECK_OK(t.commit(&err), &err);
        CHECK(!static_cast<bool>(t));
    }
    CHECK_INT(ask(db, "SELECT count(*) FROM t"), 1);
    {
        lease writer(db, SQLPOOL_WRITE);
        transaction t(writer);
        CHECK_OK(writer.exec(&err, "INSERT INTO t VALUES(3)"), &err);
        CHECK_OK(t.rollback(&err), &err);
    }
    CHECK_INT(ask(db, "SELECT count(*) FROM t"), 1);
    CHECK_OK(sqlpoolpp::exec(db, &err, "CREATE TABLE p(id INTEGER PRIMARY KEY)"), &err);
    CHECK_OK(
        sqlpoolpp::exec(db, &err, "CREATE TABLE c(p REFERENCES p DEFERRABLE INITIALLY DEFERRED)"),
        &err);
    {
        lease writer(db, SQLPOOL_WRITE);
        transaction t(writer);
        CHECK_OK(writer.exec(&err, "INSERT INTO c VALUES(1)"), &err);
        CHECK_INT(t.commit(&err), SQLITE_CONSTRAINT_FOREIGNKEY);
        CHECK(static_cast<bool>(t)); /* it is open: what is missing may be added */
        CHECK_OK(writer.exec(&err, "INSERT INTO p VALUES(1)"), &err);
        CHECK_OK(t.commit(&err), &err);
    }
    CHECK_INT(ask(db, "SELECT count(*) FROM c"), 1);
    try {
        fail_in_transaction(db);
    } catch (const std::runtime_error &) {
        caught = true;
    }
    CHECK(caught);
    CHECK_INT(ask(db, "SELECT count(*) FROM t"), 1);
    CHECK_INT(used(db), 0);
    {
        sqlpool_stats stats;
        CHECK_INT(sqlpool_get_stats(db, &stats), SQLPOOL_OK);
        CHECK_INT(stats.unclean, 0); /* the owners cleaned up themselves */
    }
}

TEST(snapshots) {
    database db("snapshots.db");
    CHECK(static_cast<bool>(db));
    CHECK_OK(sqlpoolpp::exec(db, &err, "CREATE TABLE t(v)"), &err);
    CHECK_OK(sqlpoolpp::exec(db, &err, "INSERT INTO t VALUES(1)"), &err);
    {
        lease reader(db, SQLPOOL_READ);
        {
            snapshot image(reader, 0, &err);
            CHECK(static_cast<bool>(image));
            CHECK_INT(image.result(), SQLPOOL_OK);
            CHECK_OK(sqlpoolpp::exec(db, &err, "UPDATE t SET v = 2"), &err);
            CHECK_INT(ask_conn(reader.get(), "SELECT v FROM t"), 1);
            CHECK_INT(ask(db, "SELECT v FROM t"), 2);
            {
                snapshot nested(reader, 0, &err); /* refused, and its end is not the outer one's */
                CHECK(!static_cast<bool>(nested));
                CHECK_INT(nested.result(), SQLPOOL_MISUSE);
            }
            CHECK_INT(ask_conn(reader.get(), "SELECT v FROM t"), 1);
        }
        CHECK_INT(ask_conn(reader.get(), "SELECT v FROM t"), 2);
        snapshot bad(reader, -1, &err);
        CHECK(!static_cast<bool>(bad));
        CHECK_HAS(err.message, "max_age_ms");
        try {
            snapshot image(reader, 1000000);
            CHECK(static_cast<bool>(image));
            throw std::runtime_error("out");
        } catch (const std::runtime_error &) {
        }
        CHECK_OK(sqlpoolpp::exec(db, &err, "UPDATE t SET v = 3"), &err);
        CHECK_INT(ask_conn(reader.get(), "SELECT v FROM t"), 3);
    }
    sqlpool_stats stats;
    CHECK_INT(sqlpool_get_stats(db, &stats), SQLPOOL_OK);
    CHECK_INT(stats.unclean, 0);
    CHECK_INT(stats.used, 0);
}

TEST(lambdas) {
    database db("lambdas.db");
    int calls = 0;
    CHECK(static_cast<bool>(db));
    CHECK_OK(sqlpoolpp::exec(db, &err, "CREATE TABLE t(v)"), &err);
    CHECK_OK(sqlpoolpp::transact(db, SQLPOOL_WRITE,
                                 [&](sqlpool_conn *conn, int attempt) {
                                     calls = attempt;
                                     const int rc = sqlpool_conn_exec(conn, "INSERT INTO t VALUES(?)", SQLPOOL_ARGS(attempt), nullptr, nullptr);
                                     return attempt < 3 && rc == SQLPOOL_OK ? SQLITE_BUSY_SNAPSHOT : rc;
                                 },
                                 &err),
             &err);
    CHECK_INT(calls, 3);
    CHECK_INT(ask(db, "SELECT count(*) FROM t"), 1);
    CHECK_INT(ask(db, "SELECT v FROM t"), 3);
    auto named = [&](sqlpool_conn *conn, int) {
        (void)sqlpool_conn_exec(conn, "INSERT INTO t VALUES(9)", SQLPOOL_NO_ARGS, nullptr, nullptr);
        return 4711;
    };
    CHECK_INT(sqlpoolpp::transact(db, SQLPOOL_WRITE, named, &err), 4711);
    CHECK_INT(ask(db, "SELECT count(*) FROM t"), 1);
    CHECK_OK(sqlpoolpp::transact(db, SQLPOOL_READ, [](sqlpool_conn *, int) { return 0; }, &err), &err);
}

TEST(writes_of_a_lambda) {
    database db("write.db");
    int64_t sum = 0;
    int runs = 0;
    CHECK_OK(sqlpoolpp::exec(db, &err, "CREATE TABLE t(a)"), &err);
    CHECK_OK(sqlpoolpp::write(db, [&runs](sqlpool_conn *conn, int attempt) {
                 int rc = sqlpool_conn_exec(conn, "INSERT INTO t VALUES(?)", SQLPOOL_ARGS(attempt), nullptr, nullptr);
                 runs++;
                 if (rc == SQLPOOL_OK)
                     rc = sqlpool_conn_exec(conn, "INSERT INTO t VALUES(20)", SQLPOOL_NO_ARGS, nullptr, nullptr);
                 return rc;
             }, &err), &err);
    CHECK_INT(runs, 1);
    CHECK_RC(sqlpoolpp::write(db, [](sqlpool_conn *conn, int) {
                 (void)sqlpool_conn_exec(conn, "INSERT INTO t VALUES(400)", SQLPOOL_NO_ARGS, nullptr, nullptr);
                 return 70000;
             }, &err), 70000, &err);
    CHECK_INT(err.outcome, SQLPOOL_OUTCOME_NOT_COMMITTED);
    CHECK_OK(sqlpool_query_int64(db, &sum, "SELECT sum(a) FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sum, 21);
}

TEST(tickets_and_bulk) {
    static const char *const columns[] = {"a", "b"};
    database db("ticket.db");
    sqlpool_result result;
    sqlpool_bulk_config config = sqlpool_bulk_config();
    sqlpool_bulk_progress progress;
    int64_t count = 0;
    CHECK_OK(sqlpoolpp::exec(db, &err, "CREATE TABLE t(a, b)"), &err);
    {
        std::string text("copied");
        sqlpoolpp::ticket first(db, &err, "INSERT INTO t VALUES(?, ?)", 1, text);
        sqlpoolpp::ticket moved(std::move(first));
        sqlpoolpp::ticket dropped(db, &err, "INSERT INTO t VALUES(2, 'dropped')");
        text = "changed";
        CHECK(static_cast<bool>(moved));
        CHECK(!static_cast<bool>(first));
        CHECK_OK(moved.wait(0, &result, &err), &err);
        CHECK_INT(result.changes, 1);
        CHECK(!static_cast<bool>(moved));
        CHECK_INT(moved.wait(), SQLPOOL_MISUSE);
    }
    CHECK_OK(sqlpoolpp::submit(db, &err, "INSERT INTO t VALUES(3, ?)", std::string("gone")), &err);
    CHECK_OK(sqlpool_flush(db, 0, &err), &err);
    CHECK_OK(sqlpool_query_int64(db, &count, "SELECT count(*) FROM t WHERE b IN ('copied', 'dropped', 'gone')",
                                 SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(count, 3);
    config.table = "t";
    config.columns = columns;
    config.column_count = 2;
    {
        sqlpoolpp::bulk load(db, config, &err);
        CHECK(static_cast<bool>(load));
        for (int i = 0; i < 1000; i++) CHECK_OK(load.row(&err, i, std::string("row")), &err);
        CHECK_RC(load.row(&err, 1), SQLPOOL_ARGUMENTS, &err);
        CHECK_INT(load.next_row(), 1000);
        CHECK_OK(load.end(&progress, &err), &err);
        CHECK_INT(progress.changes, 1000);
        CHECK(!static_cast<bool>(load));
    }
    {
        sqlpoolpp::bulk abandoned(db, config, &err);
        CHECK_OK(abandoned.row(&err, 1, "never"), &err);
    }
    CHECK_OK(sqlpool_query_int64(db, &count, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(count, 1003);
    config.table = "nosuch";
    sqlpoolpp::bulk bad(db, config, &err);
    CHECK(!static_cast<bool>(bad));
    CHECK_INT(bad.result(), SQLITE_ERROR);
}

int main() {
    RUN(values);
    RUN(macros_work_in_cpp);
    RUN(database_owns_the_pool);
    RUN(exec_and_rows);
    RUN(leases);
    RUN(transactions);
    RUN(snapshots);
    RUN(lambdas);
    RUN(writes_of_a_lambda);
    RUN(tickets_and_bulk);
    return test_end();
}
