// The C++ helpers, all of them, and SQLPOOL_ARGS as C++ has it.
#include <string>
#include <utility>
#include "sqlpool.h"
#include "use.h"
int wrappers(const char *path);
int wrappers(const char *path) {
    sqlpool_error error;
    sqlpoolpp::database db(path, nullptr, &error);
    if (!db) return 1;
    std::string name = "n";
    int rc = sqlpoolpp::exec(db, &error, "INSERT INTO t VALUES(?, ?, ?)", 1, name, nullptr);
    rc += sqlpool_exec(db, "SELECT ?", SQLPOOL_ARGS(1, 2u, 3L, 4UL, 5LL, 6ULL, 'c', true, 1.0f, 2.0), &error);
    rc += sqlpool_exec(db, "SELECT ?", SQLPOOL_ARGS("text", name, SQLPOOL_NULL, nullptr), &error);
    sqlpoolpp::rows rows(db.get(), &error, "SELECT ?", std::string("temporary"));
    while (rows.next()) rc += static_cast<int>(rows.int64(0)) + (rows.text(1) != nullptr);
    rc += rows.close(&error);
    sqlpoolpp::lease lease(db, SQLPOOL_WRITE, &error);
    sqlpoolpp::lease moved(std::move(lease));
    {
        sqlpoolpp::transaction transaction(moved, &error);
        rc += moved.exec(&error, "SELECT 1");
        rc += moved.exec(&error, "SELECT ?", 1);
        sqlpoolpp::rows inner(moved, &error, "SELECT 1");
        rc += inner.result();
        rc += transaction.commit(&error);
    }
    rc += sqlpoolpp::transact(db, SQLPOOL_WRITE,
                              [&](sqlpool_conn *conn, int attempt) { return conn == nullptr ? attempt : 0; }, &error);
    return rc;
}
