/*  opening.c - W10: from nothing open to the first answer.
    SPDX-License-Identifier: MIT OR Unlicense

    opening [--dir DIR] [--rounds N] [--seed N] [--json]

    Each system opens the database as it comes, answers one point query by rowid, and closes;
    closing is not counted. The file is in WAL mode and nobody else has it open, so that every
    opening makes the log and its index anew; the operating system has it in memory.

    hand      sqlite3_open(), one statement prepared and stepped
    textbook  as many connections as sqlpool_open() opens, then a query through the pool
    sqlpool   sqlpool_open() without a configuration, sqlpool_query_int64()  */
#define _POSIX_C_SOURCE 200809L
#define SQLPOOL_IMPLEMENTATION
#include "bench.h"

enum { HAND, TEXTBOOK, POOL, SYSTEMS };

static const char *const names[SYSTEMS] = {"hand", "textbook", "sqlpool"};
static const char point_sql[] = "SELECT value FROM item WHERE id = ?1";

static int64_t answer(sqlite3 *db, int64_t id) {
    sqlite3_stmt *statement = NULL;
    int64_t value;
    bench_sqlite(db, sqlite3_prepare_v2(db, point_sql, -1, &statement, NULL), SQLITE_OK, point_sql);
    bench_sqlite(db, sqlite3_bind_int64(statement, 1, id), SQLITE_OK, "sqlite3_bind_int64");
    bench_sqlite(db, sqlite3_step(statement), SQLITE_ROW, "sqlite3_step");
    value = sqlite3_column_int64(statement, 0);
    bench_sqlite(db, sqlite3_finalize(statement), SQLITE_OK, "sqlite3_finalize");
    return value;
}

/*  Opens, asks, closes. Returns nanoseconds up to the answer. */
static int64_t measure(int system, int connections, int64_t id) {
    const int64_t start = bench_now_ns();
    int64_t end, value = -1;
    if (system == HAND) {
        sqlite3 *db = bench_hand_open("hand.db", NULL);
        value = answer(db, id);
        end = bench_now_ns();
        bench_sqlite(NULL, sqlite3_close(db), SQLITE_OK, "sqlite3_close");
    } else if (system == TEXTBOOK) {
        bench_textbook *pool = bench_textbook_open("textbook.db", connections, NULL, NULL);
        const int slot = bench_textbook_acquire(pool);
        value = answer(pool->db[slot], id);
        bench_textbook_release(pool, slot);
        end = bench_now_ns();
        bench_textbook_close(pool);
    } else {
        sqlpool *pool = bench_pool_open("sqlpool.db", NULL);
        sqlpool_error error;
        bench_pool(sqlpool_query_int64(pool, &value, point_sql, SQLPOOL_ARGS(id), &error), &error,
                   "sqlpool_query_int64");
        end = bench_now_ns();
        bench_pool_close(pool);
    }
    if (value != bench_item_value(id)) bench_die("item %" PRId64 " has value %" PRId64, id, value);
    return end - start;
}

/*  How many connections sqlpool_open() opens. */
static int pool_connections(void) {
    sqlpool *pool = bench_pool_open("sqlpool.db", NULL);
    sqlpool_config config;
    bench_pool(sqlpool_config_resolved(pool, &config), NULL, "sqlpool_config_resolved");
    bench_pool_close(pool);
    return config.min_connections;
}

int main(int argc, char **argv) {
    static double us[SYSTEMS][BENCH_ROUNDS_MAX];
    bench_options o = bench_options_default(BENCH_ROUNDS_MAX);
    uint64_t random;
    int connections;
    for (int i = 1; i < argc; i++) {
        if (bench_option_common(argc, argv, &i, &o)) continue;
        (void)printf("opening [--dir DIR] [--rounds N] [--seed N] [--json]\n");
        return strcmp(argv[i], "--help") == 0 ? 0 : 2;
    }
    random = o.seed;
    bench_folder_make(o.dir);
    bench_header("open to first answer, each side with its own defaults", &o);
    bench_database_make("hand.db", BENCH_ITEMS, false);
    bench_database_copy("hand.db", "textbook.db");
    bench_database_copy("hand.db", "sqlpool.db");
    connections = pool_connections();
    for (int round = 0; round < o.rounds; round++) {
        int order[SYSTEMS] = {0, 1, 2};
        bench_shuffle(&random, order, SYSTEMS);
        for (int k = 0; k < SYSTEMS; k++) {
            const int64_t id = (int64_t)bench_random_below(&random, BENCH_ITEMS) + 1;
            us[order[k]][round] = (double)measure(order[k], connections, id) / 1000.0;
        }
    }
    (void)printf("\nW10  open to first answer; hand 1 connection, the others %d\n%-10s %10s %14s\n",
                 connections, "system", "median us", "times hand");
    for (int s = 0; s < SYSTEMS; s++) {
        const double ratio = bench_median_ratio(us[s], us[HAND], o.rounds);
        (void)printf("%-10s %10.0f %14.2f\n", names[s], bench_median(us[s], o.rounds), ratio);
        if (o.json) {
            (void)printf("{\"workload\":\"W10\",\"settings\":\"defaults\",\"system\":\"%s\","
                         "\"us\":%.1f,\"times_hand\":%.4f}\n",
                         names[s], bench_median(us[s], o.rounds), ratio);
        }
    }
    bench_folder_remove();
    return 0;
}
