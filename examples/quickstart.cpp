// quickstart.cpp - quickstart.c with destructors.   c++ -I. quickstart.cpp -lsqlite3 -lpthread
// SPDX-License-Identifier: MIT OR Unlicense
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
#include <cstdio>
#include <string>

static int run(sqlpool_error *error) {
    sqlpoolpp::database db("quickstart_cpp.db", nullptr, error); // closes itself, last of all
    if (!db) return error->result;
    int rc = sqlpool_script(
        db, "CREATE TABLE IF NOT EXISTS book(title TEXT, year INT); DELETE FROM book", -1, error);
    const std::string title = "Emma"; // any string type, byte-exact
    if (rc == SQLPOOL_OK)
        rc = sqlpoolpp::exec(db, error, "INSERT INTO book VALUES(?, ?)", title, 1815);
    if (rc != SQLPOOL_OK) return rc;

    auto add_and_correct = [error](sqlpool_conn *conn, int /* attempt */) { // both, or none
        const int code = sqlpool_conn_exec(conn, "INSERT INTO book VALUES(?, ?)",
                                           SQLPOOL_ARGS("Dune", 1956), nullptr, error);
        if (code != SQLPOOL_OK) return code;
        return sqlpool_conn_exec(conn, "UPDATE book SET year = ? WHERE title = ?",
                                 SQLPOOL_ARGS(1965, "Dune"), nullptr, error);
    };
    rc = sqlpoolpp::transact(db, SQLPOOL_WRITE, add_and_correct, error);
    if (rc != SQLPOOL_OK) return rc;

    sqlpoolpp::rows rows(db, error, "SELECT title, year FROM book WHERE year < ? ORDER BY year",
                         2000);
    while (rows.next())
        std::printf("%s (%lld)\n", rows.text(0), static_cast<long long>(rows.int64(1)));
    return rows.close(error);
}

int main() {
    sqlpool_error error;
    const int rc = run(&error);
    if (rc != SQLPOOL_OK) std::fprintf(stderr, "%s: %s\n", sqlpool_result_name(rc), error.message);
    return rc == SQLPOOL_OK ? 0 : 1;
}
