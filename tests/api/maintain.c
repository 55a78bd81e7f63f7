/*  maintain.c - optimize, vacuum, reindex, checks, full-text indexes and sizes beside a working pool.
    SPDX-License-Identifier: MIT OR Unlicense */
#include "api.h"

#define READERS 3

/*  A table whose plan depends on its statistics: `kind` has one value, `code` is different in each row,
    but without statistics SQLite takes the index that comes first. */
#define SKEWED                                                                                       \
    "CREATE TABLE skewed(id INTEGER PRIMARY KEY, kind, code, filler);"                               \
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "                          \
    "INSERT INTO skewed(kind, code, filler) SELECT 1, i, hex(zeroblob(20)) FROM n;"                  \
    "CREATE INDEX skewed_code ON skewed(code);"                                                      \
    "CREATE INDEX skewed_kind ON skewed(kind);"
#define SKEWED_QUERY "SELECT filler FROM skewed WHERE kind = 1 AND code = 7"

static void plan_of(sqlpool_conn *conn, char *plan, size_t bytes) {
    sqlpool_rows rows;
    plan[0] = '\0';
    static int number; /* a text of its own: EXPLAIN that is prepared already shows the plan it has */
    char sql[200];
    (void)snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN " SKEWED_QUERY " -- %d", number++);
    if (sqlpool_conn_query(conn, &rows, sql, SQLPOOL_NO_ARGS, NULL) == SQLPOOL_OK &&
        sqlpool_rows_next(&rows))
        (void)snprintf(plan, bytes, "%s", sqlpool_rows_text(&rows, 3));
    (void)sqlpool_rows_close(&rows, NULL);
}

/*  All readers at once, each asked for its plan and for a row by the statement that it has prepared. */
static void plans_of_readers(sqlpool *pool, const char *index) {
    sqlpool_conn conn[READERS];
    sqlpool_error error;
    char plan[200];
    int i;
    for (i = 0; i < READERS; i++) {
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn[i], &error), &error);
        PART((void)ask_conn(&conn[i], SKEWED_QUERY));
        plan_of(&conn[i], plan, sizeof plan);
        CHECK_HAS(plan, index);
    }
    for (i = 0; i < READERS; i++) CHECK_INT(sqlpool_conn_release(&conn[i]), SQLPOOL_OK);
}

/*  Steps that the prepared statement takes tell which plan it has, whatever EXPLAIN says. */
static int64_t steps_of(sqlpool_conn *conn) {
    sqlite3_stmt *statement = NULL;
    int64_t steps = -1;
    if (sqlpool_conn_stmt(conn, SKEWED_QUERY, &statement, NULL) != SQLPOOL_OK) return -1;
    while (sqlite3_step(statement) == SQLITE_ROW) {
    }
    (void)sqlite3_reset(statement);
    steps = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
    (void)sqlpool_conn_stmt_release(conn, statement);
    return steps;
}

/*  Statistics that lie: the plan is the wrong one, until they are gathered. */
#define LIE                                                                                  \
    "ANALYZE skewed;"                                                                        \
    "UPDATE sqlite_stat1 SET stat = '3000 1' WHERE idx = 'skewed_kind';"                     \
    "UPDATE sqlite_stat1 SET stat = '3000 3000' WHERE idx = 'skewed_code';"

TEST(every_reader_gets_the_new_plan) {
    sqlpool_config config = config_of(READERS);
    sqlpool_error error;
    sqlpool_conn conn;
    int64_t before;
    sqlpool *pool;
    sqlite3 *other;
    config.min_connections = READERS + 1;
    pool = open_pool("plans.db", &config, SKEWED LIE);
    if (pool == NULL) return;
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK); /* who was open before does not know the lie */
    PART(plans_of_readers(pool, "skewed_kind"));
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &error), &error);
    before = steps_of(&conn);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    other = raw_open("plans.db"); /* ANALYZE alone: nobody else hears of it */
    if (other == NULL || !raw_exec(other, "ANALYZE skewed")) return;
    PART(plans_of_readers(pool, "skewed_kind"));
    if (!raw_exec(other, "UPDATE sqlite_stat1 SET stat = '3000 1' WHERE idx = 'skewed_kind'")) return;
    CHECK_OK(sqlpool_analyze(pool, "skewed", 0, NULL, &error), &error);
    PART(plans_of_readers(pool, "skewed_code"));
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &error), &error);
    CHECK(steps_of(&conn) * 10 < before);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(raw_ask(other, "SELECT count(*) FROM sqlite_master WHERE name LIKE '%scratch%'"), 0);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    PART(close_pool(pool));
}

TEST(optimize_analyzes_what_was_never_analyzed_once) {
    sqlpool_config config = config_of(READERS);
    sqlpool_error error;
    int64_t analyzed = -1;
    sqlpool *pool;
    config.min_connections = READERS + 1;
    pool = open_pool("optimize.db", &config, SKEWED "CREATE TABLE plain(x); INSERT INTO plain VALUES(1);"
                                                     "CREATE TABLE empty(x UNIQUE);");
    if (pool == NULL) return;
    PART((void)ask(pool, SKEWED_QUERY));
    CHECK_OK(sqlpool_optimize(pool, NULL, &analyzed, &error), &error);
    CHECK(analyzed >= 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'skewed'"), 2);
    PART(plans_of_readers(pool, "skewed_code"));
    CHECK_OK(sqlpool_optimize(pool, NULL, &analyzed, &error), &error);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'skewed'"), 2);
    CHECK_OK(sqlpool_optimize(pool, NULL, &analyzed, &error), &error);
    CHECK_INT(analyzed, 0);
    PART(close_pool(pool));
}

TEST(optimize_finds_tables_that_grew_or_shrank) {
    sqlpool_config config = config_of(1);
    sqlpool_error error;
    int64_t analyzed = -1;
    sqlpool *pool = open_pool("changed.db", &config,
                              SKEWED "CREATE TABLE steady(x UNIQUE); INSERT INTO steady SELECT code FROM skewed;"
                                     "ANALYZE;");
    if (pool == NULL) return;
    CHECK_OK(sqlpool_optimize(pool, NULL, &analyzed, &error), &error);
    CHECK_INT(analyzed, 0);
    CHECK_OK(sqlpool_script(pool,
                            "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000) "
                            "INSERT INTO skewed(kind, code) SELECT 1, i FROM n;"
                            "INSERT INTO steady SELECT -code FROM skewed WHERE id < 3000",
                            -1, &error),
             &error);
    CHECK_OK(sqlpool_optimize(pool, NULL, &analyzed, &error), &error);
    CHECK_INT(analyzed, 1);
    CHECK(ask(pool, "SELECT CAST(stat AS INTEGER) FROM sqlite_stat1 WHERE idx = 'skewed_code'") > 60000);
    CHECK_OK(sqlpool_script(pool, "DELETE FROM skewed WHERE id > 1000", -1, &error), &error);
    CHECK_OK(sqlpool_optimize(pool, NULL, &analyzed, &error), &error);
    CHECK_INT(analyzed, 1);
    CHECK_INT(ask(pool, "SELECT CAST(stat AS INTEGER) FROM sqlite_stat1 WHERE idx = 'skewed_code'"), 1000);
    PART(close_pool(pool));
}

/*  What progress_fn heard. */
typedef struct heard {
    int calls, stop_at;
    double last;
    bool went_back;
    char operation[40], object[40];
    sqlpool *pool;
    sqlpool_token *token;
} heard;

static int on_progress(void *user, const sqlpool_progress *progress) {
    heard *h = (heard *)user;
    h->calls++;
    if (progress->fraction < h->last || progress->fraction < 0 || progress->fraction > 1) h->went_back = true;
    h->last = progress->fraction;
    (void)snprintf(h->operation, sizeof h->operation, "%s", progress->operation);
    if (progress->object[0] != '\0')
        (void)snprintf(h->object, sizeof h->object, "%s", progress->object);
    if (h->calls != h->stop_at) return 0;
    if (h->token == NULL) return 70001;
    return sqlpool_cancel(h->pool, h->token) == SQLPOOL_OK ? 0 : 70002;
}

static sqlpool_maintenance with_progress(heard *h) {
    sqlpool_maintenance options;
    memset(&options, 0, sizeof options);
    memset(h, 0, sizeof *h);
    options.progress_fn = on_progress;
    options.user = h;
    options.progress_ms = 1;
    return options;
}

#define ROWS(table, count)                                                                            \
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " #count ") "                     \
    "INSERT INTO " table "(a, b) SELECT i * 7919 % 100003, hex(zeroblob(100)) || i FROM n;"
#define TWO_TABLES                                                                            \
    "CREATE TABLE one(id INTEGER PRIMARY KEY, a, b); CREATE INDEX one_a ON one(a);"           \
    "CREATE INDEX one_b ON one(b COLLATE NOCASE); CREATE TABLE two(a, b UNIQUE);"

TEST(vacuum_gives_free_pages_back_and_tells_how_far_it_is) {
    sqlpool *pool = open_pool("vacuum.db", NULL, TWO_TABLES ROWS("one", 20000) "DELETE FROM one WHERE id % 10 > 0");
    sqlpool_error error;
    sqlpool_sizes before, after;
    sqlpool_maintenance options;
    heard h;
    if (pool == NULL) return;
    options = with_progress(&h);
    CHECK_OK(sqlpool_get_sizes(pool, &before, &error), &error);
    CHECK_OK(sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_KEEP, &options, &error), &error);
    CHECK_OK(sqlpool_get_sizes(pool, &after, &error), &error);
    CHECK(before.pages > 500 && after.pages * 3 < before.pages);
    CHECK_INT(after.free_pages, 0);
    CHECK(h.calls >= 2 && !h.went_back && h.last == 1.0);
    CHECK_STR(h.operation, "vacuum");
    CHECK_INT(ask(pool, "SELECT count(*) FROM one"), 2000);
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &error), &error);
    CHECK_OK(sqlpool_get_sizes(pool, &after, &error), &error);
    CHECK_INT(after.file_bytes, after.pages * after.page_bytes);
    CHECK_INT(after.wal_bytes, 0);
    PART(close_pool(pool));
}

TEST(incremental_vacuum_frees_all_that_was_asked_for) {
    sqlpool *pool = open_pool("incremental.db", NULL, TWO_TABLES ROWS("one", 20000));
    sqlpool_error error;
    sqlpool_sizes sizes;
    sqlpool_maintenance options;
    int64_t freed, all;
    heard h;
    if (pool == NULL) return;
    CHECK_RC(sqlpool_incremental_vacuum(pool, 0, NULL, &freed, &error), SQLPOOL_UNSUPPORTED, &error);
    CHECK_OK(sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_INCREMENTAL, NULL, &error), &error);
    CHECK_OK(sqlpool_script(pool, "DELETE FROM one WHERE id > 100", -1, &error), &error);
    CHECK_OK(sqlpool_get_sizes(pool, &sizes, &error), &error);
    CHECK_INT(sizes.auto_vacuum, SQLPOOL_AUTO_VACUUM_INCREMENTAL);
    all = sizes.free_pages;
    CHECK(all > 200);
    CHECK_OK(sqlpool_incremental_vacuum(pool, 50, NULL, &freed, &error), &error);
    CHECK_INT(freed, 50);
    CHECK_OK(sqlpool_get_sizes(pool, &sizes, &error), &error);
    CHECK_INT(sizes.free_pages, all - 50);
    options = with_progress(&h);
    options.piece_ms = 1;
    CHECK_OK(sqlpool_incremental_vacuum(pool, 0, &options, &freed, &error), &error);
    CHECK_INT(freed, all - 50);
    CHECK(!h.went_back && h.last == 1.0);
    CHECK_OK(sqlpool_incremental_vacuum(pool, 0, NULL, &freed, &error), &error);
    CHECK_INT(freed, 0);
    CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, NULL, &error), &error);
    PART(close_pool(pool));
}

TEST(vacuum_into_makes_a_whole_copy_in_a_new_file_only) {
    sqlpool *pool, *copy;
    sqlpool_error error;
    struct stat status;
    CHECK_INT(close(open("into.db", O_CREAT | O_RDWR, 0600)), 0);
    pool = open_pool("into.db", NULL, TWO_TABLES ROWS("one", 1000));
    if (pool == NULL) return;
    CHECK_OK(sqlpool_vacuum_into(pool, "into copy's.db", NULL, &error), &error);
    CHECK_INT(stat("into copy's.db", &status), 0);
    CHECK_INT(status.st_mode & 0777, 0600);
    CHECK_RC(sqlpool_vacuum_into(pool, "into copy's.db", NULL, &error), SQLITE_CANTOPEN, &error);
    CHECK_HAS(error.message, "exists");
    CHECK_RC(sqlpool_vacuum_into(pool, "into.db", NULL, &error), SQLITE_CANTOPEN, &error);
    CHECK_RC(sqlpool_vacuum_into(pool, "no folder/copy.db", NULL, &error), SQLITE_CANTOPEN, &error);
    CHECK_RC(sqlpool_vacuum_into(pool, "", NULL, &error), SQLPOOL_MISUSE, &error);
    CHECK_RC(sqlpool_vacuum_into(pool, NULL, NULL, &error), SQLPOOL_MISUSE, &error);
    CHECK_INT(symlink("into.db", "into link.db"), 0);
    CHECK_RC(sqlpool_vacuum_into(pool, "into link.db", NULL, &error), SQLITE_CANTOPEN, &error);
    CHECK_INT(sqlpool_exec(pool, "INSERT INTO two VALUES(1, 1)", SQLPOOL_NO_ARGS, NULL), SQLPOOL_OK);
    CHECK_OK(sqlpool_vacuum_into(pool, "file:odd?name;\n.db", NULL, &error), &error);
    copy = open_pool("file:odd?name;\n.db", NULL, NULL);
    if (copy == NULL) return;
    CHECK_INT(ask(copy, "SELECT count(*) FROM one"), 1000);
    CHECK_INT(ask(copy, "SELECT count(*) FROM two"), 1);
    PART(close_pool(copy));
    CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, NULL, &error), &error);
    CHECK_RC(sqlpool_exec(pool, "PRAGMA query_only", SQLPOOL_NO_ARGS, &error), SQLPOOL_OK, &error);
    CHECK_INT(ask(pool, "PRAGMA query_only"), 1); /* readers are what they were */
    PART(close_pool(pool));
}

TEST(reindex_by_table_index_and_collation) {
    sqlpool *pool = open_pool("reindex.db", NULL, TWO_TABLES ROWS("one", 2000) ROWS("two", 500));
    sqlpool_error error;
    sqlpool_maintenance options;
    heard h;
    if (pool == NULL) return;
    options = with_progress(&h);
    CHECK_OK(sqlpool_reindex(pool, NULL, &options, &error), &error);
    CHECK(h.last == 1.0 && !h.went_back);
    CHECK_OK(sqlpool_reindex(pool, "one", NULL, &error), &error);
    options = with_progress(&h);
    CHECK_OK(sqlpool_reindex(pool, "ONE_A", &options, &error), &error);
    CHECK_STR(h.object, "one_a");
    options = with_progress(&h);
    CHECK_OK(sqlpool_reindex(pool, "nocase", &options, &error), &error);
    CHECK_STR(h.object, "one_b");
    CHECK_RC(sqlpool_reindex(pool, "nobody", NULL, &error), SQLITE_ERROR, &error);
    CHECK_HAS(error.message, "nobody");
    CHECK_RC(sqlpool_reindex(pool, "", NULL, &error), SQLITE_ERROR, &error);
    PART(close_pool(pool));
}

int main(void) {
    RUN(every_reader_gets_the_new_plan);
    RUN(optimize_analyzes_what_was_never_analyzed_once);
    RUN(optimize_finds_tables_that_grew_or_shrank);
    RUN(vacuum_gives_free_pages_back_and_tells_how_far_it_is);
    RUN(incremental_vacuum_frees_all_that_was_asked_for);
    RUN(vacuum_into_makes_a_whole_copy_in_a_new_file_only);
    RUN(reindex_by_table_index_and_collation);
    return test_end();
}
