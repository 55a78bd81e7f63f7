/*  maintain.c - optimize, vacuum, reindex, checks, full-text indexes and sizes beside a working pool.
    SPDX-License-Identifier: MIT OR Unlicense */
#include "api.h"

static sqlpool_error err;

#define READERS 3

/*  A table whose plan depends on its statistics: `kind` has one value, `code` is different in each row,
    but without statistics SQLite takes the index that comes first. */
#define SKEWED \
    "CREATE TABLE skewed(id INTEGER PRIMARY KEY, kind, code, filler);" \
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) " \
    "INSERT INTO skewed(kind, code, filler) SELECT 1, i, hex(zeroblob(20)) FROM n;" \
    "CREATE INDEX skewed_code ON skewed(code);" \
    "CREATE INDEX skewed_kind ON skewed(kind);"
#define SKEWED_QUERY "SELECT filler FROM skewed WHERE kind = 1 AND code = 7"

static void plan_of(sqlpool_conn *conn, char *plan, size_t bytes) {
    sqlpool_rows rows;
    plan[0] = '\0';
    static int
        number; /* a text of its own: EXPLAIN that is prepared already shows the plan it has */
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
#define LIE \
    "ANALYZE skewed;" \
    "UPDATE sqlite_stat1 SET stat = '3000 1' WHERE idx = 'skewed_kind';" \
    "UPDATE sqlite_stat1 SET stat = '3000 3000' WHERE idx = 'skewed_code';"

TEST(every_reader_gets_the_new_plan) {
    sqlpool_config config = config_of(READERS);
    sqlpool_conn conn;
    int64_t before;
    sqlpool *pool;
    sqlite3 *other;
    config.min_connections = READERS + 1;
    pool = open_pool("plans.db", &config, SKEWED LIE);
    if (pool == NULL) return;
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK); /* who was open before does not know the lie */
    PART(plans_of_readers(pool, "skewed_kind"));
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    before = steps_of(&conn);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    other = raw_open("plans.db"); /* ANALYZE alone: nobody else hears of it */
    if (other == NULL || !raw_exec(other, "ANALYZE skewed")) return;
    PART(plans_of_readers(pool, "skewed_kind"));
    if (!raw_exec(other, "UPDATE sqlite_stat1 SET stat = '3000 1' WHERE idx = 'skewed_kind'"))
        return;
    CHECK_OK(sqlpool_analyze(pool, "skewed", 0, NULL, &err), &err);
    PART(plans_of_readers(pool, "skewed_code"));
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK(steps_of(&conn) * 10 < before);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(raw_ask(other, "SELECT count(*) FROM sqlite_master WHERE name LIKE '%scratch%'"), 0);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    PART(close_pool(pool));
}

/*  It finds so many tables to analyze. */
static void optimize(sqlpool *pool, int count) {
    int64_t analyzed = -1;
    CHECK_OK(sqlpool_optimize(pool, NULL, &analyzed, &err), &err);
    CHECK_INT(analyzed, count);
}

TEST(optimize_analyzes_what_was_never_analyzed_once) {
    sqlpool_config config = config_of(READERS);
    int64_t analyzed = -1;
    sqlpool *pool;
    config.min_connections = READERS + 1;
    pool = open_pool("optimize.db", &config,
                     SKEWED "CREATE TABLE plain(x); INSERT INTO plain VALUES(1);"
                            "CREATE TABLE empty(x UNIQUE);");
    if (pool == NULL) return;
    PART((void)ask(pool, SKEWED_QUERY));
    CHECK_OK(sqlpool_optimize(pool, NULL, &analyzed, &err), &err);
    CHECK(analyzed >= 1);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'skewed'"), 2);
    if (sqlite3_libversion_number() >= 3032000) { /* put back */
        sqlpool_conn conn;
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
        CHECK_INT(ask_conn(&conn, "PRAGMA analysis_limit"), 0);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    }
    PART(plans_of_readers(pool, "skewed_code"));
    CHECK_OK(sqlpool_optimize(pool, NULL, &analyzed, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'skewed'"), 2);
    PART(optimize(pool, 0));
    PART(close_pool(pool));
}

TEST(optimize_finds_tables_that_grew_or_shrank) {
    sqlpool_config config = config_of(1);
    sqlpool *pool = open_pool(
        "changed.db", &config,
        SKEWED "CREATE TABLE steady(x UNIQUE); INSERT INTO steady SELECT code FROM skewed;"
               "ANALYZE;");
    if (pool == NULL) return;
    PART(optimize(pool, 0));
    CHECK_OK(
        sqlpool_script(pool,
                       "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000) "
                       "INSERT INTO skewed(kind, code) SELECT 1, i FROM n;"
                       "INSERT INTO steady SELECT -code FROM skewed WHERE id < 3000",
                       -1, &err),
        &err);
    PART(optimize(pool, 1));
    CHECK(ask(pool, "SELECT CAST(stat AS INTEGER) FROM sqlite_stat1 WHERE idx = 'skewed_code'") >
          20000);
    CHECK_OK(sqlpool_script(pool, "DELETE FROM skewed WHERE id > 1000", -1, &err), &err);
    PART(optimize(pool, 1));
    CHECK_INT(ask(pool, "SELECT CAST(stat AS INTEGER) FROM sqlite_stat1 WHERE idx = 'skewed_code'"),
              1000);
    PART(close_pool(pool));
}

/*  What progress_fn heard. */
typedef struct heard {
    int calls, stop_at;
    int64_t done;
    double last;
    bool went_back;
    char operation[40], object[40];
    sqlpool *pool;
    sqlpool_token *token;
} heard;

static int on_progress(void *user, const sqlpool_progress *progress) {
    heard *h = (heard *)user;
    h->calls++;
    if (progress->fraction < h->last || progress->fraction < 0 || progress->fraction > 1)
        h->went_back = true;
    h->last = progress->fraction;
    h->done = progress->done;
    (void)snprintf(h->operation, sizeof h->operation, "%s", progress->operation);
    if (progress->object[0] != '\0')
        (void)snprintf(h->object, sizeof h->object, "%s", progress->object);
    if (h->calls != h->stop_at) return 0;
    if (h->token == NULL) return 70001;
    return sqlpool_cancel(h->pool, h->token) == SQLPOOL_OK ? 0 : 70002;
}

static sqlpool_maintenance with_progress(heard *h) {
    memset(h, 0, sizeof *h);
    return told_to(on_progress, h, 1);
}

#define ROWS(table, count) \
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " #count ") " \
    "INSERT INTO " table "(a, b) SELECT i * 7919 % 100003, hex(zeroblob(100)) || i FROM n;"
#define TWO_TABLES \
    "CREATE TABLE one(id INTEGER PRIMARY KEY, a, b); CREATE INDEX one_a ON one(a);" \
    "CREATE INDEX one_b ON one(b COLLATE NOCASE); CREATE TABLE two(a, b UNIQUE);"

TEST(vacuum_gives_free_pages_back_and_tells_how_far_it_is) {
    sqlpool *pool = open_pool("vacuum.db", NULL,
                              TWO_TABLES ROWS("one", 20000) "DELETE FROM one WHERE id % 10 > 0");
    sqlpool_sizes before, after;
    sqlpool_maintenance options;
    uint64_t commits;
    heard h;
    if (pool == NULL) return;
    options = with_progress(&h);
    CHECK_OK(sqlpool_get_sizes(pool, &before, &err), &err);
    commits = stats_of(pool).commits;
    CHECK_OK(sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_KEEP, &options, &err), &err);
    CHECK_INT((int64_t)(stats_of(pool).commits - commits), 1);
    CHECK_OK(sqlpool_get_sizes(pool, &after, &err), &err);
    CHECK(before.pages > 500 && after.pages * 3 < before.pages);
    CHECK_INT(after.free_pages, 0);
    CHECK(h.calls >= 2 && !h.went_back && h.last == 1.0);
    CHECK_STR(h.operation, "vacuum");
    CHECK_INT(ask(pool, "SELECT count(*) FROM one"), 2000);
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &err), &err);
    CHECK_OK(sqlpool_get_sizes(pool, &after, &err), &err);
    CHECK_INT(after.file_bytes, after.pages * after.page_bytes);
    CHECK_INT(after.wal_bytes, 0);
    PART(close_pool(pool));
}

TEST(incremental_vacuum_frees_all_that_was_asked_for) {
    sqlpool *pool = open_pool("incremental.db", NULL, TWO_TABLES ROWS("one", 20000));
    sqlpool_sizes sizes;
    sqlpool_maintenance options;
    sqlpool_stats stats;
    uint64_t commits;
    int64_t freed, all;
    heard h;
    if (pool == NULL) return;
    CHECK_RC(sqlpool_incremental_vacuum(pool, 0, NULL, &freed, &err), SQLPOOL_UNSUPPORTED, &err);
    CHECK_OK(sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_INCREMENTAL, NULL, &err), &err);
    CHECK_OK(sqlpool_script(pool, "DELETE FROM one WHERE id > 100", -1, &err), &err);
    CHECK_OK(sqlpool_get_sizes(pool, &sizes, &err), &err);
    CHECK_INT(sizes.auto_vacuum, SQLPOOL_AUTO_VACUUM_INCREMENTAL);
    all = sizes.free_pages;
    CHECK(all > 200);
    memset(&options, 0, sizeof options);
    options.piece_ms = 100000;
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    commits = stats.commits;
    CHECK_OK(sqlpool_incremental_vacuum(pool, 50, &options, &freed, &err), &err);
    CHECK_INT(freed, 50);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.commits - commits, 1); /* all of them in one piece */
    CHECK_OK(sqlpool_get_sizes(pool, &sizes, &err), &err);
    CHECK_INT(sizes.free_pages, all - 50);
    options = with_progress(&h);
    options.piece_ms = 1;
    CHECK_OK(sqlpool_incremental_vacuum(pool, 0, &options, &freed, &err), &err);
    CHECK_INT(freed, all - 50);
    CHECK(!h.went_back && h.last == 1.0);
    CHECK_INT(h.done, freed);
    CHECK_OK(sqlpool_incremental_vacuum(pool, 0, NULL, &freed, &err), &err);
    CHECK_INT(freed, 0);
    CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, NULL, &err), &err);
    PART(close_pool(pool));
}

TEST(vacuum_into_makes_a_whole_copy_in_a_new_file_only) {
    sqlpool *pool, *copy;
    sqlpool_stats before, stats;
    struct stat status;
    CHECK_INT(close(open("into.db", O_CREAT | O_RDWR, 0600)), 0);
    pool = open_pool("into.db", NULL, TWO_TABLES ROWS("one", 1000));
    if (pool == NULL) return;
    CHECK_OK(sqlpool_vacuum_into(pool, "into copy's.db", NULL, &err), &err);
    CHECK_INT(sqlpool_get_stats(pool, &before), SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM one"), 1000);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT((int64_t)stats.opens, (int64_t)before.opens); /* its reader reads on */
    CHECK_INT(stat("into copy's.db", &status), 0);
    CHECK_INT(status.st_mode & 0777, 0600);
    CHECK_RC(sqlpool_vacuum_into(pool, "into copy's.db", NULL, &err), SQLITE_CANTOPEN, &err);
    CHECK_HAS(err.message, "exists");
    CHECK_RC(sqlpool_vacuum_into(pool, "into.db", NULL, &err), SQLITE_CANTOPEN, &err);
    CHECK_RC(sqlpool_vacuum_into(pool, "no folder/copy.db", NULL, &err), SQLITE_CANTOPEN, &err);
    CHECK_RC(sqlpool_vacuum_into(pool, "", NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_vacuum_into(pool, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(symlink("into.db", "into link.db"), 0);
    CHECK_RC(sqlpool_vacuum_into(pool, "into link.db", NULL, &err), SQLITE_CANTOPEN, &err);
    CHECK_INT(sqlpool_exec(pool, "INSERT INTO two VALUES(1, 1)", SQLPOOL_NO_ARGS, NULL),
              SQLPOOL_OK);
    CHECK_OK(sqlpool_vacuum_into(pool, "file:odd?name;\n.db", NULL, &err), &err);
    copy = open_pool("file:odd?name;\n.db", NULL, NULL);
    if (copy == NULL) return;
    CHECK_INT(ask(copy, "SELECT count(*) FROM one"), 1000);
    CHECK_INT(ask(copy, "SELECT count(*) FROM two"), 1);
    PART(close_pool(copy));
    CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, NULL, &err), &err);
    CHECK_RC(sqlpool_exec(pool, "PRAGMA query_only", SQLPOOL_NO_ARGS, &err), SQLPOOL_OK, &err);
    CHECK_INT(ask(pool, "PRAGMA query_only"), 1); /* readers are what they were */
    PART(close_pool(pool));
}

TEST(reindex_by_table_index_and_collation) {
    sqlpool *pool = open_pool("reindex.db", NULL, TWO_TABLES ROWS("one", 2000) ROWS("two", 500));
    sqlpool_maintenance options;
    heard h;
    if (pool == NULL) return;
    options = with_progress(&h);
    CHECK_OK(sqlpool_reindex(pool, NULL, &options, &err), &err);
    CHECK(h.last == 1.0 && !h.went_back);
    CHECK_OK(sqlpool_reindex(pool, "one", NULL, &err), &err);
    options = with_progress(&h);
    CHECK_OK(sqlpool_reindex(pool, "ONE_A", &options, &err), &err);
    CHECK_STR(h.object, "one_a");
    options = with_progress(&h);
    CHECK_OK(sqlpool_reindex(pool, "nocase", &options, &err), &err);
    CHECK_STR(h.object, "one_b");
    CHECK_RC(sqlpool_reindex(pool, "nobody", NULL, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "nobody");
    CHECK_RC(sqlpool_reindex(pool, "", NULL, &err), SQLITE_ERROR, &err);
    PART(close_pool(pool));
}

/*  SQLite looks for what it shall reindex in the schema that the connection has read last. */
TEST(an_index_of_another_connection_is_reindexed) {
    sqlpool *pool = open_pool("reindex_new.db", NULL, TWO_TABLES ROWS("one", 100));
    sqlite3 *db = NULL;
    CHECK_OK(sqlpool_exec(pool, "DELETE FROM one WHERE rowid = 1", SQLPOOL_NO_ARGS, &err),
             &err); /* the writer knows the schema */
    CHECK_INT(sqlite3_open("reindex_new.db", &db), SQLITE_OK);
    CHECK_INT(sqlite3_exec(db, "CREATE INDEX later ON two(b)", NULL, NULL, NULL), SQLITE_OK);
    CHECK_OK(sqlpool_reindex(pool, NULL, NULL, &err), &err);
    CHECK_INT(sqlite3_exec(db, "CREATE INDEX latest ON two(b, a)", NULL, NULL, NULL), SQLITE_OK);
    CHECK_OK(sqlpool_reindex(pool, "latest", NULL, &err), &err);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    CHECK_OK(sqlpool_close(pool, &err), &err);
}

/*  Bytes of a page of a file that nobody has open. */
static bool spoil(const char *path, int64_t offset, const char *bytes, size_t count) {
    const int file = open(path, O_RDWR);
    const bool is_done = file >= 0 && pwrite(file, bytes, count, (off_t)offset) == (ssize_t)count;
    if (file >= 0) (void)close(file);
    return is_done;
}

TEST(checks_tell_structure_indexes_content_and_foreign_keys_apart) {
    sqlpool_config config = config_of(2);
    sqlpool_check_result result;
    sqlpool_maintenance options;
    heard h;
    sqlite3 *db;
    sqlpool *pool;
    int64_t root;
    config.breaker_open_ms = SQLPOOL_OFF;
    pool = open_pool(
        "check.db", &config,
        TWO_TABLES ROWS(
            "one",
            3000) "CREATE TABLE parent(id INTEGER PRIMARY KEY); INSERT INTO parent VALUES(1);"
                  "CREATE TABLE child(p REFERENCES parent); INSERT INTO child VALUES(1);");
    if (pool == NULL) return;
    options = with_progress(&h);
    CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_QUICK, NULL, &options, &result, &err), &err);
    CHECK(h.calls > 1 && !h.went_back && h.last == 1.0 && result.problems == 0);
    CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, &options, &result, &err), &err);
    CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_FOREIGN_KEYS, NULL, NULL, &result, &err), &err);
    root = ask(pool, "SELECT rootpage FROM sqlite_master WHERE name = 'two'");
    PART(close_pool(pool));

    db = raw_open("check.db"); /* a child without a parent, a NULL too many */
    if (db == NULL ||
        !raw_exec(db, "INSERT INTO child VALUES(17); CREATE TABLE filled(x);"
                      "INSERT INTO filled VALUES(NULL), (NULL); PRAGMA writable_schema = 1;"
                      "UPDATE sqlite_master SET sql = 'CREATE TABLE filled(x NOT NULL)' "
                      "WHERE name = 'filled'"))
        return;
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    pool = open_pool("check.db", &config, NULL);
    if (pool == NULL) return;
    CHECK_RC(sqlpool_check(pool, SQLPOOL_CHECK_FOREIGN_KEYS, NULL, NULL, &result, &err),
             SQLITE_CONSTRAINT_FOREIGNKEY, &err);
    CHECK_INT(result.kinds, SQLPOOL_PROBLEM_FOREIGN_KEY);
    CHECK_HAS(result.text, "row 2 of child has no parent in parent");
    CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_FOREIGN_KEYS, "one", NULL, &result, &err), &err);
    CHECK_RC(sqlpool_check(pool, SQLPOOL_CHECK_FOREIGN_KEYS, "nobody", NULL, &result, &err),
             SQLITE_ERROR, &err);
    CHECK_RC(sqlpool_check(pool, SQLPOOL_CHECK_QUICK, NULL, NULL, &result, &err), SQLITE_CONSTRAINT,
             &err);
    CHECK_STR(result.text, "NULL value in filled.x\nNULL value in filled.x"); /* a line for each */
    CHECK_INT(result.problems, 2);
    CHECK_INT(result.kinds, SQLPOOL_PROBLEM_CONTENT);
    if (sqlite3_libversion_number() >= 3033000)
        CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, "one", NULL, &result, &err), &err);
    CHECK_RC(sqlpool_check(pool, SQLPOOL_CHECK_QUICK, "17", NULL, &result, &err),
             SQLPOOL_UNSUPPORTED, &err);
    PART(close_pool(pool));

    CHECK(root > 1 && spoil("check.db", (root - 1) * 4096, "\x55\x55\x55", 3));
    pool = open_pool("check.db", &config, NULL);
    if (pool == NULL) return;
    CHECK_RC(sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, &result, &err),
             SQLITE_CORRUPT, &err);
    CHECK((result.kinds & SQLPOOL_PROBLEM_STRUCTURE) != 0 && result.problems > 0);
    CHECK(result.text[0] != '\0');
    PART(close_pool(pool));
}

TEST(an_index_that_lacks_rows_is_found_and_mended) {
    sqlpool *pool = open_pool("index.db", NULL, TWO_TABLES ROWS("one", 100));
    sqlpool_check_result result;
    sqlite3 *db;
    if (pool == NULL) return;
    PART(close_pool(pool));
    db = raw_open("index.db"); /* a row that comes while SQLite takes the index for another one */
    if (db == NULL ||
        !raw_exec(db, "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = "
                      "'CREATE INDEX one_a ON one(a) WHERE a > 1000000' WHERE name = 'one_a'"))
        return;
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    db = raw_open("index.db");
    if (db == NULL ||
        !raw_exec(
            db,
            "INSERT INTO one(a, b) VALUES(1, 'new'); PRAGMA writable_schema = 1;"
            "UPDATE sqlite_master SET sql = 'CREATE INDEX one_a ON one(a)' WHERE name = 'one_a'"))
        return;
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    pool = open_pool("index.db", NULL, NULL);
    if (pool == NULL) return;
    CHECK_RC(sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, &result, &err),
             SQLITE_CORRUPT_INDEX, &err);
    CHECK_INT(result.kinds, SQLPOOL_PROBLEM_INDEX);
    CHECK_HAS(result.text, "one_a");
    CHECK_OK(sqlpool_reindex(pool, "one_a", NULL, &err), &err);
    CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, &result, &err), &err);
    PART(close_pool(pool));
}

/*  --- full text --- */

#define FTS \
    "CREATE VIRTUAL TABLE own USING fts5(title, body, tokenize = 'porter ascii');" \
    "CREATE TABLE text(id INTEGER PRIMARY KEY, body);" \
    "CREATE VIRTUAL TABLE \"ex'ter\"\"nal\" USING fts5(body, content=\"text\", " \
    "content_rowid='id');" \
    "CREATE VIRTUAL TABLE none USING \"fts5\" ( body , content = '' );" \
    "CREATE VIRTUAL TABLE vocabulary USING fts5vocab(own, 'row');"

typedef struct tables {
    char text[400];
} tables;
static int note_table(void *user, const sqlpool_fts5_table *table) {
    tables *t = (tables *)user;
    const size_t length = strlen(t->text);
    (void)snprintf(t->text + length, sizeof t->text - length, "%s/%d/%s/%d/%d;", table->name,
                   table->content, table->content_table, table->automerge, table->usermerge);
    return 0;
}

/*  A clock that goes on when it is looked at: a piece ends after some looks on any machine. */
static int64_t ticks;
static int64_t tick_now(void *user) {
    (void)user;
    return __atomic_add_fetch(&ticks, 300000, __ATOMIC_RELAXED);
}
static void tick_sleep(void *user, int64_t duration) {
    (void)user;
    (void)__atomic_add_fetch(&ticks, duration, __ATOMIC_RELAXED);
}

static sqlpool_config by_ticks(sqlpool_config config) {
    config.clock.now_ns_fn = tick_now;
    config.clock.sleep_ns_fn = tick_sleep;
    config.disable_upkeep_thread = true;
    config.acquire_timeout_ms = SQLPOOL_FOREVER;
    return config;
}

static sqlpool *open_fts(const char *path) {
    sqlpool_config config = by_ticks(sqlpool_config_default());
    sqlpool_error error;
    sqlpool *pool;
    int i, rc = SQLPOOL_OK;
    if (sqlite3_compileoption_used("ENABLE_FTS5") == 0) return NULL; /* this SQLite has none */
    pool = open_pool(path, &config, FTS);
    for (i = 0; pool != NULL && i < 60 && rc == SQLPOOL_OK; i++) /* a segment each */
        rc = sqlpool_script(
            pool,
            "INSERT INTO text(body) VALUES('alpha beta ' || random());"
            "INSERT INTO \"ex'ter\"\"nal\"(rowid, body) SELECT id, body FROM text WHERE id = "
            "(SELECT max(id) FROM text);"
            "INSERT INTO own VALUES('gamma', 'delta ' || random());"
            "INSERT INTO none(rowid, body) VALUES((SELECT max(id) FROM text), 'epsilon');",
            -1, &error);
    if (rc != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "%s", error.message);
    return pool;
}

static int64_t segments(sqlpool *pool) { /* each has its own rows in the shadow table's index */
    return ask(pool, "SELECT count(DISTINCT segid) FROM own_idx");
}

TEST(full_text_tables_are_found_with_their_content_and_settings) {
    sqlpool *pool = open_fts("fts.db");
    tables found;
    if (pool == NULL) return;
    memset(&found, 0, sizeof found);
    CHECK_OK(sqlpool_fts5_configure(pool, "own", SQLPOOL_OFF, 2, &err), &err);
    CHECK_OK(sqlpool_fts5_configure(pool, "NONE", 8, 0, &err), &err);
    CHECK_OK(sqlpool_fts5_tables(pool, note_table, &found, &err), &err);
    CHECK_STR(found.text, "ex'ter\"nal/1/text/4/4;none/2//8/4;own/0//0/2;");
    CHECK_RC(sqlpool_fts5_configure(pool, "own", 17, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_fts5_configure(pool, "own", 0, 1, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_fts5_configure(pool, "text", 4, 4, &err), SQLITE_ERROR, &err);
    CHECK_RC(sqlpool_fts5_configure(pool, NULL, 4, 4, &err), SQLPOOL_MISUSE, &err);
    PART(close_pool(pool));
}

TEST(full_text_indexes_are_merged_checked_and_rebuilt) {
    sqlpool *pool = open_fts("merge.db");
    sqlpool_maintenance options;
    int64_t commits, before;
    sqlpool_stats stats;
    heard h;
    int i;
    if (pool == NULL) return;
    CHECK_OK(sqlpool_fts5_configure(pool, "own", SQLPOOL_OFF, 2, &err), &err);
    for (i = 0; i < 40; i++)
        CHECK_OK(
            sqlpool_script(pool,
                           "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) "
                           "INSERT INTO own SELECT hex(randomblob(8)), hex(randomblob(200)) FROM n",
                           -1, &err),
            &err);
    before = segments(pool);
    CHECK(before > 5); /* 16 on a level are merged by the write itself */
    CHECK_OK(sqlpool_fts5(pool, "own", SQLPOOL_FTS5_MERGE, NULL, &err), &err);
    CHECK(segments(pool) < before);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO own VALUES('one', 'more')", SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK(segments(pool) > 1);
    options = with_progress(&h);
    options.piece_ms = 1;
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    commits = (int64_t)stats.commits;
    CHECK_OK(sqlpool_fts5(pool, NULL, SQLPOOL_FTS5_OPTIMIZE, &options, &err), &err);
    CHECK_INT(segments(pool), 1);
    CHECK(!h.went_back && h.last == 1.0);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK((int64_t)stats.commits - commits > 6); /* in pieces: others have their turn between */
    CHECK_OK(sqlpool_fts5(pool, NULL, SQLPOOL_FTS5_CHECK, NULL, &err), &err);

    CHECK_OK(sqlpool_exec(pool, "UPDATE text SET body = 'behind its back' WHERE id = 3",
                          SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK_RC(sqlpool_fts5(pool, "EX'TER\"NAL", SQLPOOL_FTS5_CHECK, NULL, &err), SQLITE_CORRUPT_VTAB,
             &err);
    CHECK_HAS(err.message, "REBUILD");
    CHECK_OK(sqlpool_fts5(pool, NULL, SQLPOOL_FTS5_REBUILD, NULL, &err), &err);
    CHECK_OK(sqlpool_fts5(pool, NULL, SQLPOOL_FTS5_CHECK, NULL, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM \"ex'ter\"\"nal\" WHERE body MATCH 'behind'"), 1);
    CHECK_RC(sqlpool_fts5(pool, "none", SQLPOOL_FTS5_REBUILD, NULL, &err), SQLPOOL_UNSUPPORTED,
             &err);
    CHECK_RC(sqlpool_fts5(pool, "", SQLPOOL_FTS5_CHECK, NULL, &err), SQLITE_ERROR, &err);
    CHECK_RC(sqlpool_fts5(pool, NULL, 9, NULL, &err), SQLPOOL_MISUSE, &err);
    PART(close_pool(pool));
}

/*  --- sizes --- */

typedef struct measured {
    int64_t pages, of_one, of_index, rest;
    int objects;
    sqlite3 *db; /* to compare with; NULL: it has no dbstat */
} measured;
/*  What dbstat itself says of an object; the name is put where the query has %Q. */
static int64_t ask_dbstat(sqlite3 *db, const char *query, const char *name) {
    char *sql = sqlite3_mprintf(query, name);
    const int64_t answer = raw_ask(db, sql);
    sqlite3_free(sql);
    return answer;
}
static void compare_size(sqlite3 *db, const sqlpool_object_size *object) {
    const char *name = object->name;
    CHECK_INT(object->pages, ask_dbstat(db, "SELECT count(*) FROM dbstat WHERE name = %Q", name));
    CHECK_INT(object->bytes,
              ask_dbstat(db, "SELECT sum(pgsize) FROM dbstat WHERE name = %Q", name));
    CHECK_INT(object->cells, ask_dbstat(db, "SELECT sum(ncell) FROM dbstat WHERE name = %Q", name));
    CHECK_INT(object->payload_bytes,
              ask_dbstat(db, "SELECT sum(payload) FROM dbstat WHERE name = %Q", name));
    CHECK_INT(object->unused_bytes,
              ask_dbstat(db, "SELECT sum(unused) FROM dbstat WHERE name = %Q", name));
    if (sqlite3_libversion_number() < 3025000) return; /* no window functions */
    CHECK_INT(
        object->gaps,
        ask_dbstat(db,
                   "SELECT count(*) FROM (SELECT pageno - lag(pageno) OVER (ORDER BY path) AS "
                   "step FROM dbstat WHERE pagetype <> 'internal' AND name = %Q) WHERE step <> 1",
                   name));
}
static int note_size(void *user, const sqlpool_object_size *object) {
    measured *m = (measured *)user;
    m->objects++;
    m->pages += object->pages;
    if (strcmp(object->name, "one") == 0 && !object->is_index) m->of_one = object->pages;
    if (strcmp(object->name, "one_a") == 0 && object->is_index && strcmp(object->table, "one") == 0)
        m->of_index = object->pages;
    if (m->db != NULL) compare_size(m->db, object);
    return object->pages > 0 ? 0 : 70003;
}
static int stop_at_once(void *user, const sqlpool_object_size *object) {
    (void)user, (void)object;
    return 70004;
}

TEST(sizes_of_objects_add_up_to_the_file) {
    sqlpool *pool = open_pool("sizes.db", NULL,
                              TWO_TABLES ROWS("one", 5000) "CREATE TABLE \"q'u\"\"o\ntes; \"(x);");
    sqlpool_sizes sizes;
    measured m;
    if (pool == NULL) return;
    memset(&m, 0, sizeof m);
    CHECK_OK(sqlpool_get_sizes(pool, &sizes, &err), &err);
    m.db = raw_open("sizes.db");
    if (sqlite3_exec(m.db, "SELECT 1 FROM dbstat LIMIT 1", NULL, NULL, NULL) != SQLITE_OK) {
        CHECK_INT(sqlite3_close(m.db), SQLITE_OK);
        m.db = NULL;
    }
    CHECK_OK(sqlpool_object_sizes(pool, note_size, &m, NULL, &err), &err);
    CHECK_INT(sqlite3_close(m.db), SQLITE_OK);
    CHECK_INT(m.pages, sizes.pages);
    CHECK_INT(m.objects, 7); /* the schema, three tables, two indexes and an automatic one */
    CHECK(m.of_one > 100 && m.of_index > 10 && m.of_index < m.of_one);
    CHECK_RC(sqlpool_object_sizes(pool, stop_at_once, NULL, NULL, &err), 70004, &err);
    CHECK_RC(sqlpool_object_sizes(pool, NULL, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sizes.page_bytes, 4096);
    CHECK(sizes.wal_bytes > 0 && sizes.taken_ms > INT64_C(1500000000000));
    PART(close_pool(pool));
}

static sqlpool_sizes small_file(int64_t taken_ms) {
    sqlpool_sizes sizes;
    memset(&sizes, 0, sizeof sizes);
    sizes.page_bytes = 1000;
    sizes.pages = 1000;
    sizes.taken_ms = taken_ms;
    return sizes;
}
TEST(growth_is_predicted_from_two_looks) {
    sqlpool_sizes before = small_file(0), after = small_file(86400000);
    sqlpool_growth growth;
    after.pages = 1100; /* 100,000 bytes a day, of which 50 pages were free before */
    after.free_pages = 50;
    growth = sqlpool_predict_growth(&before, &after, 1150000);
    CHECK_INT(growth.bytes, 50000);
    CHECK_INT(growth.bytes_per_day, 50000);
    CHECK_INT(growth.limit_ms, INT64_C(2) * 86400000);
    growth = sqlpool_predict_growth(&before, &after, 1000);
    CHECK_INT(growth.limit_ms, 0);
    growth = sqlpool_predict_growth(NULL, &after, 1150000);
    CHECK(growth.bytes == 0 && growth.ms == 0 && growth.limit_ms == -1);
    growth = sqlpool_predict_growth(&before, NULL, 1150000);
    CHECK(growth.bytes == 0 && growth.ms == 0 && growth.limit_ms == -1);
    growth = sqlpool_predict_growth(&after, &before, 1150000);
    CHECK_INT(growth.limit_ms, -1);
    growth = sqlpool_predict_growth(&before, &before, 1150000);
    CHECK(growth.limit_ms == -1 && growth.bytes_per_day == 0);
}

/*  --- deadlines, tokens, callbacks --- */

/*  Each operation, so that every one is stopped in every way. */
static int operate(sqlpool *pool, int which, const sqlpool_maintenance *options,
                   sqlpool_error *error) {
    char path[40];
    switch (which) {
    case 0:
        return sqlpool_optimize(pool, options, NULL, error);
    case 1:
        return sqlpool_analyze(pool, NULL, 0, options, error);
    case 2:
        return sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_KEEP, options, error);
    case 3:
        return sqlpool_incremental_vacuum(pool, 0, options, NULL, error);
    case 4:
        (void)snprintf(path, sizeof path, "operate.%d.copy", (int)getpid());
        (void)unlink(path);
        return sqlpool_vacuum_into(pool, path, options, error);
    case 5:
        return sqlpool_reindex(pool, NULL, options, error);
    case 6:
        return sqlpool_check(pool, SQLPOOL_CHECK_QUICK, NULL, options, NULL, error);
    case 7:
        return sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, options, NULL, error);
    case 8:
        return sqlpool_check(pool, SQLPOOL_CHECK_FOREIGN_KEYS, NULL, options, NULL, error);
    default:
        return sqlpool_fts5(pool, NULL, which - 9, options, error);
    }
}
#define OPERATIONS 13
#define IS_READ(which) ((which) == 4 || ((which) >= 6 && (which) <= 8))

static sqlpool *open_large(const char *path) {
    sqlpool_config config = config_of(2);
    sqlpool_error error;
    sqlpool *pool = open_pool(path, &config, TWO_TABLES);
    if (pool == NULL ||
        sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_INCREMENTAL, NULL, &error) != SQLPOOL_OK ||
        sqlpool_script(pool, ROWS("one", 30000) ROWS("two", 3000), -1, &error) != SQLPOOL_OK ||
        sqlpool_script(pool, "DELETE FROM one WHERE id < 5000", -1, &error) != SQLPOOL_OK)
        return NULL;
    if (sqlite3_compileoption_used("ENABLE_FTS5") != 0 &&
        sqlpool_script(pool,
                       "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES('some text')",
                       -1, &error) != SQLPOOL_OK)
        return NULL;
    return pool;
}

static void check_whole(sqlpool *pool) {
    sqlpool_error error;
    CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, NULL, &error), &error);
    CHECK_OK(sqlpool_exec(pool, "UPDATE two SET a = 1 WHERE rowid = 1", SQLPOOL_NO_ARGS, &error),
             &error);
}

TEST(every_operation_obeys_a_token_that_was_fired) {
    sqlpool *pool = open_large("token.db");
    sqlpool_maintenance options;
    sqlpool_token token;
    int i;
    CHECK(pool != NULL);
    memset(&options, 0, sizeof options);
    memset(&token, 0, sizeof token);
    options.token = &token;
    CHECK_INT(sqlpool_cancel(pool, &token), SQLPOOL_OK);
    for (i = 0; i < OPERATIONS; i++)
        CHECK_RC(operate(pool, i, &options, &err), SQLPOOL_CANCELLED, &err);
    options.token = NULL;
    options.piece_ms = -1;
    for (i = 0; i < OPERATIONS; i++)
        CHECK_RC(operate(pool, i, &options, &err), SQLPOOL_MISUSE, &err);
    PART(check_whole(pool));
    PART(close_pool(pool));
}

TEST(operations_in_one_statement_stop_half_way) {
    static const int which[] = {1, 2, 4, 5, 6, 7};
    sqlpool *pool = open_large("halfway.db");
    sqlpool_maintenance options;
    sqlpool_token token;
    heard h;
    size_t i;
    CHECK(pool != NULL);
    for (i = 0; i < sizeof which / sizeof *which; i++) {
        memset(&token, 0, sizeof token);
        options = with_progress(&h);
        h.stop_at = 1; /* in the statement itself: what comes before is too short to be asked */
        CHECK_RC(operate(pool, which[i], &options, &err), 70001, &err);
        CHECK_HAS(err.message, "callback");
        CHECK(h.last < 1.0);
        options = with_progress(&h);
        h.stop_at = 1; /* in the statement itself: what comes before is too short to be asked */
        h.pool = pool;
        h.token = options.token = &token;
        CHECK_RC(operate(pool, which[i], &options, &err), SQLPOOL_CANCELLED, &err);
        PART(check_whole(pool));
    }
    PART(close_pool(pool));
}

TEST(a_deadline_is_kept_while_others_hold_the_writer) {
    sqlpool *pool = open_large("deadline.db");
    sqlpool_maintenance options;
    sqlite3 *other;
    int64_t before;
    int i;
    CHECK(pool != NULL);
    other = raw_open("deadline.db");
    if (other == NULL || !raw_exec(other, "BEGIN IMMEDIATE")) return;
    memset(&options, 0, sizeof options);
    options.timeout_ms = 50;
    for (i = 0; i < OPERATIONS; i++) {
        const bool is_idle = i == 0 && sqlite3_libversion_number() <
                                           3046000; /* it looks first, and may find nothing */
        before = now_ms();
        if (IS_READ(i)) {
            options.timeout_ms = 10000;
            CHECK_OK(operate(pool, i, &options, &err), &err);
            options.timeout_ms = 50;
            continue;
        }
        if (i >= 9 && sqlite3_compileoption_used("ENABLE_FTS5") == 0) continue;
        if (is_idle) options.timeout_ms = 2000; /* counting takes its time */
        CHECK_RC(operate(pool, i, &options, &err), SQLPOOL_TIMEOUT, &err);
        CHECK(now_ms() - before < 5000);
        options.timeout_ms = 50;
    }
    if (!raw_exec(other, "COMMIT")) return;
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    PART(check_whole(pool));
    PART(close_pool(pool));
}

/*  --- names --- */

TEST(names_of_any_bytes_are_names) {
    static const char *const names[] = {
        "quo\"te",   "quo'te",     "semi;colon -- x",  "new\nline", "\xc3\xa4\xe2\x82\xac",
        "back`tick", "[brackets]", "percent %s %n %q", "a"};
    sqlpool *pool = open_pool("names.db", NULL, NULL);
    size_t i;
    if (pool == NULL) return;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        char *sql =
            sqlite3_mprintf("CREATE TABLE \"%w\"(x UNIQUE, y); CREATE INDEX \"%w.i\" ON \"%w\"(y);"
                            "INSERT INTO \"%w\" VALUES(1, 2)",
                            names[i], names[i], names[i], names[i]);
        char *index = sqlite3_mprintf("%s.i", names[i]);
        CHECK_OK(sqlpool_script(pool, sql, -1, &err), &err);
        CHECK_OK(sqlpool_analyze(pool, names[i], 0, NULL, &err), &err);
        CHECK_OK(sqlpool_reindex(pool, names[i], NULL, &err), &err);
        CHECK_OK(sqlpool_reindex(pool, index, NULL, &err), &err);
        if (sqlite3_libversion_number() >= 3033000)
            CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, names[i], NULL, NULL, &err),
                     &err);
        CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_FOREIGN_KEYS, names[i], NULL, NULL, &err), &err);
        CHECK_RC(sqlpool_fts5(pool, names[i], SQLPOOL_FTS5_CHECK, NULL, &err), SQLITE_ERROR, &err);
        sqlite3_free(sql);
        sqlite3_free(index);
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_stat1"), 2 * LENGTH(names));
    CHECK_OK(sqlpool_optimize(pool, NULL, NULL, &err), &err);
    CHECK_RC(sqlpool_analyze(pool, "", 0, NULL, &err), SQLITE_ERROR, &err);
    CHECK_RC(sqlpool_analyze(pool, "a; DROP TABLE a", 0, NULL, &err), SQLITE_ERROR, &err);
    CHECK_RC(sqlpool_analyze(pool, NULL, -1, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_vacuum(pool, 9, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_check(pool, 9, NULL, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_incremental_vacuum(pool, -1, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM a"), 1);
    PART(close_pool(pool));
}

/*  --- other kinds of pools --- */

TEST(in_memory_without_a_log_and_read_only) {
    sqlpool_config config = config_of(1);
    sqlpool_sizes sizes;
    sqlpool *pool;
    int i;
    for (i = 0; i < 3; i++) {
        const char *path = i == 0 ? ":memory:" : i == 1 ? "delete.db" : "token.db";
        config = config_of(1);
        if (i == 0 && sqlite3_libversion_number() < 3036000) continue;
        if (i == 1) config.journal = SQLPOOL_JOURNAL_DELETE;
        if (i == 2) config.read_only = true;
        pool = open_pool(path, &config, i == 2 ? NULL : TWO_TABLES ROWS("one", 1000));
        if (pool == NULL) return;
        CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_INTEGRITY, NULL, NULL, NULL, &err), &err);
        CHECK_OK(sqlpool_get_sizes(pool, &sizes, &err), &err);
        CHECK(sizes.pages > 10 && (sizes.file_bytes >= 0) == (i > 0) &&
              (sizes.wal_bytes >= 0) == (i == 2));
        if (i == 2) {
            CHECK_RC(sqlpool_vacuum(pool, 0, NULL, &err), SQLITE_READONLY, &err);
            CHECK_RC(sqlpool_analyze(pool, NULL, 0, NULL, &err), SQLITE_READONLY, &err);
        } else {
            CHECK_OK(sqlpool_vacuum(pool, 0, NULL, &err), &err);
            CHECK_OK(sqlpool_analyze(pool, NULL, 100, NULL, &err), &err);
            CHECK_OK(sqlpool_optimize(pool, NULL, NULL, &err), &err);
            CHECK_OK(sqlpool_reindex(pool, NULL, NULL, &err), &err);
        }
        (void)unlink("kinds.copy");
        CHECK_OK(sqlpool_vacuum_into(pool, "kinds.copy", NULL, &err), &err);
        PART(close_pool(pool));
    }
    config = config_of(1);
    config.untrusted = true;
    pool = open_pool("untrusted.db", &config, TWO_TABLES);
    if (pool == NULL) return;
    CHECK_OK(sqlpool_vacuum(pool, 0, NULL, &err), &err);
    CHECK_OK(sqlpool_vacuum_into(pool, "untrusted.copy", NULL, &err), &err);
    CHECK_OK(sqlpool_optimize(pool, NULL, NULL, &err), &err);
    CHECK_OK(sqlpool_reindex(pool, "one", NULL, &err), &err);
    CHECK_OK(sqlpool_object_sizes(pool, note_size, &(measured){0}, NULL, &err), &err);
    CHECK_RC(sqlpool_exec(pool, "ATTACH 'x' AS y", SQLPOOL_NO_ARGS, &err), SQLPOOL_REFUSED, &err);
    PART(close_pool(pool));
}

TEST(an_operation_reads_no_faster_than_it_may) {
    sqlpool_config config = by_ticks(config_of(1));
    sqlpool_backup_config backup;
    sqlpool_maintenance options;
    sqlpool_sizes sizes;
    sqlpool *pool;
    int64_t began, freed;
    memset(&backup, 0, sizeof backup);
    config.page_cache_kib = 256;
    pool = open_pool("pace.db", &config, TWO_TABLES);
    if (pool == NULL) return;
    CHECK_OK(sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_INCREMENTAL, NULL, &err), &err);
    CHECK_OK(sqlpool_script(pool, ROWS("one", 10000) "DELETE FROM one WHERE id > 5000", -1, &err),
             &err);
    CHECK_OK(sqlpool_get_sizes(pool, &sizes, &err), &err);
    memset(&options, 0, sizeof options);
    options.io_bytes_per_s = sizes.pages * sizes.page_bytes / 10; /* the file in ten seconds */
    began = ticks;
    CHECK_OK(sqlpool_check(pool, SQLPOOL_CHECK_QUICK, NULL, &options, NULL, &err), &err);
    CHECK(ticks - began > INT64_C(3000000000)); /* half of it is free, and not read */
    options.piece_ms = 1;
    options.pause_ms = 7;
    began = ticks;
    CHECK_OK(sqlpool_incremental_vacuum(pool, 0, &options, &freed, &err), &err);
    CHECK(freed > 100 && ticks - began > INT64_C(1000000000));
    CHECK_OK(sqlpool_get_sizes(pool, &sizes, &err), &err);
    options.io_bytes_per_s = sizes.pages * sizes.page_bytes / 10;
    options.pause_ms = 0;
    backup.step_pages = 16;
    began = ticks;
    CHECK_OK(sqlpool_backup(pool, "pace.bak", &backup, &options, NULL, &err), &err);
    CHECK(ticks - began > INT64_C(15000000000)); /* it is read and written; the last 16 are free */
    PART(check_whole(pool));
    PART(close_pool(pool));
}

TEST(incremental_vacuum_right_after_the_vacuum) {
    sqlpool_config config = config_of(1);
    int64_t freed = -1;
    sqlpool *pool = open_pool("at_once.db", &config, TWO_TABLES);
    if (pool == NULL) return;
    PART((void)ask(pool, "SELECT count(*) FROM one")); /* the reader has seen the file as it was */
    CHECK_OK(sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_INCREMENTAL, NULL, &err), &err);
    CHECK_OK(sqlpool_incremental_vacuum(pool, 0, NULL, &freed, &err), &err);
    CHECK_INT(freed, 0);
    PART(close_pool(pool));
}

TEST(vacuum_into_follows_no_link) {
    sqlpool_config config = config_of(1);
    sqlpool *pool = open_pool("nofollow.db", &config, TWO_TABLES);
    if (pool == NULL) return;
    CHECK_INT(symlink("nofollow.elsewhere", "nofollow.link"), 0); /* leads to nothing yet */
    CHECK_RC(sqlpool_vacuum_into(pool, "nofollow.link", NULL, &err), SQLITE_CANTOPEN, &err);
    CHECK(access("nofollow.elsewhere", F_OK) != 0);
    PART(close_pool(pool));
}

/*  What SQLite opens is a target, up to its longest name. */
TEST(vacuum_into_takes_the_longest_path_of_sqlite) {
    sqlpool_config config = config_of(1);
    sqlpool *pool = open_pool("longest.db", &config, TWO_TABLES);
    char path[700];
    int room, opened = 0, refused = 0;
    size_t at;
    if (pool == NULL) return;
    CHECK(getcwd(path, 300) != NULL);
    while ((at = strlen(path)) < 450) { /* a folder has at most 255 bytes */
        (void)snprintf(path + at, sizeof path - at, "/%0*d", at < 250 ? 200 : (int)(460 - at), 0);
        CHECK_INT(mkdir(path, 0700), 0);
    }
    for (room = 500 - (int)at; room < 520 - (int)at; room++) {
        sqlite3 *db = NULL;
        int rc;
        (void)snprintf(path + at, sizeof path - at, "/%0*d", room, 0);
        rc = sqlite3_open(path, &db);
        if (rc == SQLITE_OK) rc = sqlite3_exec(db, "PRAGMA user_version=1", NULL, NULL, NULL);
        (void)sqlite3_close(db);
        (void)unlink(path);
        if (rc != SQLITE_OK && rc != SQLITE_CANTOPEN) continue; /* the file, but not its log */
        opened += rc == SQLITE_OK;
        refused += rc != SQLITE_OK;
        CHECK_RC(sqlpool_vacuum_into(pool, path, NULL, &err), rc, &err);
    }
    CHECK(opened > 0 && refused > 0);
    PART(close_pool(pool));
}

/*  SQLite would take the copy for a log of the database, and remove it. */
TEST(vacuum_into_takes_no_name_of_a_log) {
    static const char *const names[] = {"named.db-journal", "named.db-wal", "./named.db-shm"};
    sqlpool_config config = config_of(1);
    sqlpool *pool;
    int i;
    config.journal = SQLPOOL_JOURNAL_DELETE;
    pool = open_pool("named.db", &config, TWO_TABLES);
    if (pool == NULL) return;
    for (i = 0; i < 3; i++) {
        CHECK_RC(sqlpool_vacuum_into(pool, names[i], NULL, &err), SQLITE_CANTOPEN, &err);
        CHECK_HAS(err.message, "keeps a log");
        CHECK(access(names[i], F_OK) != 0);
    }
    CHECK_OK(sqlpool_vacuum_into(pool, "named.db-copy", NULL, &err), &err);
    PART(close_pool(pool));
}

TEST(optimize_reads_where_as_a_word) {
    sqlpool_config config = config_of(1);
    sqlpool *pool =
        open_pool("where.db", &config,
                  "CREATE TABLE places(whereabouts, b);"
                  "CREATE INDEX places_by ON places(whereabouts);"
                  "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
                  "INSERT INTO places SELECT i, i FROM n");
    if (pool == NULL) return;
    PART(optimize(pool, 1));
    PART(close_pool(pool));
}

/*  --- what makes no sense --- */

TEST(every_number_of_the_options_is_looked_at) {
    static const char *const says[] = {"timeout_ms -2", "piece_ms -3", "pause_ms -4",
                                       "progress_ms -5", "io_bytes_per_s -6"};
    sqlpool *pool = open_pool("options.db", NULL, NULL);
    int i;
    if (pool == NULL) return;
    for (i = 0; i < LENGTH(says); i++) {
        sqlpool_maintenance options;
        memset(&options, 0, sizeof options);
        if (i == 0) options.timeout_ms = -2;
        if (i == 1) options.piece_ms = -3;
        if (i == 2) options.pause_ms = -4;
        if (i == 3) options.progress_ms = -5;
        if (i == 4) options.io_bytes_per_s = -6;
        CHECK_RC(sqlpool_check(pool, SQLPOOL_CHECK_QUICK, NULL, &options, NULL, &err),
                 SQLPOOL_MISUSE, &err);
        CHECK_HAS(err.message, says[i]);
    }
    PART(close_pool(pool));
}

TEST(arguments_that_make_no_sense_are_named) {
    sqlpool *pool = open_pool("arguments.db", NULL, NULL);
    sqlpool_sizes sizes;
    if (pool == NULL) return;
    CHECK_RC(sqlpool_vacuum(pool, -1, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "auto_vacuum is -1");
    CHECK_RC(sqlpool_check(pool, -1, NULL, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "kind is -1");
    CHECK_RC(sqlpool_fts5(pool, NULL, -1, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "action is -1");
    CHECK_RC(sqlpool_fts5_tables(pool, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "fn is NULL");
    CHECK_RC(sqlpool_get_sizes(pool, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "sizes is NULL");
    CHECK_RC(sqlpool_fts5_configure(pool, "t", SQLPOOL_OFF - 1, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "automerge -2");
    CHECK_RC(sqlpool_fts5_configure(pool, "t", 1, 0, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "automerge 1 ");
    CHECK_RC(sqlpool_fts5_configure(pool, "t", 0, -1, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "usermerge -1");
    CHECK_RC(sqlpool_fts5_configure(pool, "t", 0, 17, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "usermerge 17");
    memset(&sizes, 0x5a, sizeof sizes);
    CHECK_RC(sqlpool_get_sizes(NULL, &sizes, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sizes.pages, 0);
    CHECK_RC(sqlpool_get_sizes(NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_fts5_tables(NULL, note_table, NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_fts5_configure(NULL, "t", 4, 4, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_object_sizes(NULL, note_size, NULL, NULL, &err), SQLPOOL_MISUSE, &err);
    PART(close_pool(pool));
}

TEST(growth_at_the_ends_of_what_a_number_holds) {
    sqlpool_sizes before = small_file(0), after = small_file(86400000);
    sqlpool_growth growth;
    after.pages = 900; /* it shrinks: no limit is ever reached */
    growth = sqlpool_predict_growth(&before, &after, 1150000);
    CHECK_INT(growth.bytes, -100000);
    CHECK_INT(growth.bytes_per_day, -100000);
    CHECK_INT(growth.limit_ms, -1);
    after.pages = 1100; /* what is in the log takes room too */
    after.wal_bytes = 30000;
    growth = sqlpool_predict_growth(&before, &after, 1230000);
    CHECK_INT(growth.limit_ms, 86400000);
    after.wal_bytes = 130000;
    growth = sqlpool_predict_growth(&before, &after, 1230000);
    CHECK_INT(growth.limit_ms, 0);
    after.wal_bytes = 0;
    before.page_bytes = after.page_bytes = 1;
    after.pages = 1001; /* a byte in a century: the end of time is not passed */
    after.taken_ms = INT64_C(3155760000000);
    growth = sqlpool_predict_growth(&before, &after, INT64_C(9000000000000000));
    CHECK_INT(growth.limit_ms, INT64_MAX);
}

/*  --- odd schemas --- */

static int stop_at_table(void *user, const sqlpool_fts5_table *table) {
    (void)user, (void)table;
    return 70005;
}
static int drop_the_other(void *user, const sqlpool_fts5_table *table) {
    return strcmp(table->name, "first") == 0 &&
                   !raw_exec((sqlite3 *)user, "DROP TABLE IF EXISTS second")
               ? 70006
               : 0;
}

TEST(full_text_tables_of_odd_texts_and_those_that_vanish) {
    sqlpool_config config = config_of(1);
    sqlite3 *other;
    tables found;
    sqlpool *pool;
    if (sqlite3_compileoption_used("ENABLE_FTS5") == 0) return;
    pool = open_pool(
        "odd.db", &config,
        "CREATE VIRTUAL TABLE first USING fts5(content UNINDEXED, body, prefix='1 2');"
        "CREATE VIRTUAL TABLE second -- USING fts4(x)\n USING /* USING fts3( */ [fts5](a, "
        "content = \"\");"
        "CREATE VIRTUAL TABLE words USING \"fts5vocab\"(first, 'row');");
    if (pool == NULL) return;
    memset(&found, 0, sizeof found);
    CHECK_OK(sqlpool_fts5_tables(pool, note_table, &found, &err), &err);
    CHECK_HAS(found.text, "first/0//4/4;second/");
    CHECK(strstr(found.text, "words") == NULL);
    CHECK_RC(sqlpool_fts5_tables(pool, stop_at_table, NULL, &err), 70005, &err);
    CHECK_HAS(err.message, "stopped by its callback, which returned 70005");
    CHECK_OK(sqlpool_fts5_configure(pool, "first", 0, 0, &err), &err); /* as they are */
    memset(&found, 0, sizeof found);
    CHECK_OK(sqlpool_fts5_tables(pool, note_table, &found, &err), &err);
    CHECK_HAS(found.text, "first/0//4/4;");
    other = raw_open("odd.db");
    if (other == NULL) return;
    CHECK_RC(sqlpool_fts5_tables(pool, drop_the_other, other, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "no such table: main.second_config");
    CHECK_OK(sqlpool_fts5_tables(pool, drop_the_other, other, &err), &err);
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    PART(close_pool(pool));
}

TEST(orphans_of_every_kind_are_told) {
    sqlpool_check_result result;
    sqlite3 *other;
    sqlpool *pool =
        open_pool("orphans.db", NULL,
                  "CREATE TABLE parent(id INTEGER PRIMARY KEY);"
                  "CREATE TABLE keyed(k PRIMARY KEY, p REFERENCES parent) WITHOUT ROWID;"
                  "CREATE TABLE \"a\tb\x7f\"(p REFERENCES parent);"
                  "CREATE TABLE lost(p REFERENCES nowhere)");
    if (pool == NULL) return;
    other = raw_open("orphans.db"); /* a connection that does not enforce them */
    if (other == NULL || !raw_exec(other, "INSERT INTO keyed VALUES('k', 7);"
                                          "INSERT INTO \"a\tb\x7f\" VALUES(8);"
                                          "INSERT INTO lost VALUES(9)"))
        return;
    CHECK_INT(sqlite3_close(other), SQLITE_OK);
    CHECK_RC(sqlpool_check(pool, SQLPOOL_CHECK_FOREIGN_KEYS, NULL, NULL, &result, &err),
             SQLITE_CONSTRAINT_FOREIGNKEY, &err);
    CHECK_INT(result.problems, 3);
    CHECK_INT(result.kinds, SQLPOOL_PROBLEM_FOREIGN_KEY);
    CHECK_HAS(result.text, "a row of keyed has no parent in parent (foreign key 0)");
    CHECK_HAS(result.text, "row 1 of a?b? has no parent in parent");
    CHECK_HAS(result.text, "row 1 of lost has no parent in nowhere");
    PART(close_pool(pool));
}

TEST(reindex_of_a_table_without_indexes_does_nothing) {
    sqlpool *pool = open_pool("bare.db", NULL, "CREATE TABLE bare(x); INSERT INTO bare VALUES(1)");
    if (pool == NULL) return;
    CHECK_OK(sqlpool_reindex(pool, "BARE", NULL, &err), &err);
    CHECK_RC(sqlpool_reindex(pool, "bar", NULL, &err), SQLITE_ERROR, &err);
    CHECK_HAS(err.message, "there is no table, index or collation \"bar\" to reindex");
    PART(close_pool(pool));
}

TEST(vacuum_into_from_connections_that_write) {
    sqlpool_config config = config_of(1);
    int i;
    for (i = 0; i < 2; i++) {
        const char *const path = i == 0 ? "general.db" : "single.db";
        const char *const copy = i == 0 ? "general.copy" : "single.copy";
        sqlpool *pool;
        sqlite3 *db;
        config = config_of(1);
        if (i == 0) config.topology = SQLPOOL_TOPOLOGY_GENERAL;
        if (i == 1) config.max_connections = 1;
        pool = open_pool(path, &config, TWO_TABLES ROWS("one", 10));
        if (pool == NULL) return;
        CHECK_RC(sqlpool_vacuum_into(pool, "no folder/copy.db", NULL, &err), SQLITE_CANTOPEN, &err);
        CHECK_HAS(err.message, "is its folder there");
        CHECK_OK(sqlpool_vacuum_into(pool, copy, NULL, &err), &err);
        CHECK_OK(sqlpool_exec(pool, "INSERT INTO one(a) VALUES(1)", SQLPOOL_NO_ARGS, &err),
                 &err); /* it writes as before */
        db = raw_open(copy);
        if (db == NULL) return;
        CHECK_INT(raw_ask(db, "SELECT count(*) FROM one"), 10);
        CHECK_INT(sqlite3_close(db), SQLITE_OK);
        PART(close_pool(pool));
    }
}

TEST(statistics_that_say_nothing_and_a_table_that_is_stale_twice) {
    sqlpool *pool = open_pool("twice.db", NULL,
                              SKEWED "CREATE TABLE numb(x UNIQUE); INSERT INTO numb VALUES(1);"
                                     "ANALYZE;"
                                     "UPDATE sqlite_stat1 SET stat = NULL WHERE tbl = 'numb'");
    if (pool == NULL) return;
    PART(optimize(pool, 0));
    CHECK_OK(/* it has an index that nobody analyzed, and forty times the rows */
             sqlpool_script(
                 pool,
                 "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000) "
                 "INSERT INTO skewed(kind, code) SELECT 1, i FROM n;"
                 "CREATE INDEX skewed_both ON skewed(kind, code)",
                 -1, &err),
             &err);
    PART(optimize(pool, 1));
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'skewed'"), 3);
    PART(close_pool(pool));
}

TEST(a_paused_pool_keeps_everything_waiting_for_so_long) {
    sqlpool_config config = config_of(1);
    sqlpool_sizes sizes;
    sqlpool *pool;
    tables found;
    measured m;
    int i;
    memset(&found, 0, sizeof found);
    memset(&m, 0, sizeof m);
    config.acquire_timeout_ms = 5;
    pool = open_pool("paused.db", &config, TWO_TABLES);
    if (pool == NULL) return;
    CHECK_OK(sqlpool_pause(pool, 1000, &err), &err);
    for (i = 0; i < OPERATIONS; i++) CHECK_RC(operate(pool, i, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_RC(sqlpool_fts5_tables(pool, note_table, &found, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_RC(sqlpool_fts5_configure(pool, "f", 4, 4, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_RC(sqlpool_get_sizes(pool, &sizes, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_RC(sqlpool_object_sizes(pool, note_size, &m, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(m.objects == 0 && found.text[0] == '\0');
    CHECK_INT(sqlpool_resume(pool), SQLPOOL_OK);
    CHECK_OK(sqlpool_get_sizes(pool, &sizes, &err), &err);
    CHECK_OK(operate(pool, 1, NULL, &err), &err);
    PART(close_pool(pool));
}

/*  --- stopped at every report --- */

typedef enum way { BY_CALLBACK, BY_TOKEN, BY_TIME, WAYS } way;
typedef struct stopper {
    way how;
    int calls, stop_at;
    sqlpool *pool;
    sqlpool_token token;
} stopper;
static int stop_there(void *user, const sqlpool_progress *progress) {
    stopper *s = (stopper *)user;
    (void)progress;
    if (++s->calls != s->stop_at) return 0;
    if (s->how == BY_TOKEN) (void)sqlpool_cancel(s->pool, &s->token);
    if (s->how == BY_TIME)
        (void)__atomic_add_fetch(&ticks, INT64_C(1000000000000), __ATOMIC_RELAXED);
    return s->how == BY_CALLBACK ? 70007 : 0;
}

TEST(every_operation_stops_at_every_report) {
    static const int results[] = {70007, SQLPOOL_CANCELLED, SQLPOOL_TIMEOUT};
    sqlpool_config config = by_ticks(config_of(1));
    sqlpool_maintenance options;
    sqlpool *pool;
    stopper s;
    char path[40];
    int which, how, at, stopped = 0;
    config.page_cache_kib = 256;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    (void)snprintf(path, sizeof path, "operate.%d.copy", (int)getpid());
    for (which = 0; which < OPERATIONS; which++) {
        if (which >= 9 && sqlite3_compileoption_used("ENABLE_FTS5") == 0) continue;
        for (how = 0; how < WAYS; how++) {
            (void)unlink("reports.db");
            pool = open_pool("reports.db", &config, TWO_TABLES);
            if (pool == NULL) return;
            CHECK_OK(sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_INCREMENTAL, NULL, &err), &err);
            CHECK_OK(sqlpool_script(
                         pool, ROWS("one", 300) ROWS("two", 30) "DELETE FROM one WHERE id < 200",
                         -1, &err),
                     &err);
            if (which >= 9)
                CHECK_OK(sqlpool_script(pool,
                                        "CREATE VIRTUAL TABLE f USING fts5(x);"
                                        "CREATE VIRTUAL TABLE g USING fts5(x);"
                                        "INSERT INTO f VALUES('some text');"
                                        "INSERT INTO g VALUES('some text');"
                                        "INSERT INTO g VALUES('more text')",
                                        -1, &err),
                         &err);
            for (at = 1; at < 200; at++) {
                int rc;
                memset(&s, 0, sizeof s);
                memset(&options, 0, sizeof options);
                s.how = (way)how;
                s.stop_at = at;
                s.pool = pool;
                options.progress_fn = stop_there;
                options.user = &s;
                options.progress_ms = options.piece_ms = 1;
                options.token = &s.token;
                options.timeout_ms = 900000;
                memset(&err, 0, sizeof err);
                rc = operate(pool, which, &options, &err);
                if (rc != SQLPOOL_OK && rc != results[how])
                    test_fail(__FILE__, __LINE__, "operation %d, way %d, report %d: %d %s", which,
                              how, at, rc, err.message);
                if (rc != SQLPOOL_OK && which == 4) CHECK(access(path, F_OK) != 0);
                stopped += rc != SQLPOOL_OK;
                if (rc == SQLPOOL_OK && s.calls < at) break;
            }
            CHECK(at > 1 && at < 200);
            CHECK_INT(ask(pool, "SELECT count(*) FROM one"), 101);
            PART(check_whole(pool));
            PART(close_pool(pool));
        }
    }
    CHECK(stopped > 3 * OPERATIONS);
}

TEST(who_waits_for_its_pace_can_be_stopped) {
    sqlpool_config config = by_ticks(config_of(1));
    sqlpool_maintenance options;
    sqlpool *pool;
    int64_t began;
    stopper s;
    config.page_cache_kib = 256;
    pool = open_pool("slow.db", &config, TWO_TABLES ROWS("one", 5000));
    if (pool == NULL) return;
    memset(&options, 0, sizeof options);
    options.io_bytes_per_s = 1; /* a page in an hour */
    options.timeout_ms = 30000;
    began = ticks;
    CHECK_RC(sqlpool_check(pool, SQLPOOL_CHECK_QUICK, NULL, &options, NULL, &err), SQLPOOL_TIMEOUT,
             &err);
    CHECK(ticks - began >= INT64_C(30000000000) && ticks - began < INT64_C(60000000000));
    memset(&s, 0, sizeof s);
    s.how = BY_TOKEN;
    s.stop_at = 5;
    s.pool = pool;
    options.timeout_ms = 0;
    options.progress_fn = stop_there;
    options.progress_ms = 1000;
    options.user = &s;
    options.token = &s.token;
    CHECK_RC(sqlpool_check(pool, SQLPOOL_CHECK_QUICK, NULL, &options, NULL, &err),
             SQLPOOL_CANCELLED, &err);
    CHECK_INT(s.calls, 5);
    memset(&options, 0, sizeof options); /* who has the writer does not wait with it in hand */
    options.io_bytes_per_s = 1;
    began = ticks;
    CHECK_OK(sqlpool_vacuum(pool, SQLPOOL_AUTO_VACUUM_KEEP, &options, &err), &err);
    CHECK(ticks - began < INT64_C(30000000000));
    PART(check_whole(pool));
    PART(close_pool(pool));
}

TEST(vacuum_into_of_a_database_in_memory_makes_a_file) {
    sqlpool_config config = config_of(1);
    sqlpool *pool;
    sqlite3 *db;
    if (sqlite3_libversion_number() < 3036000) return;
    pool = open_pool(":memory:", &config, TWO_TABLES ROWS("one", 10));
    if (pool == NULL) return;
    (void)unlink("memory.copy");
    CHECK_RC(sqlpool_vacuum_into(pool, "no folder/copy.db", NULL, &err), SQLITE_CANTOPEN, &err);
    CHECK_OK(sqlpool_vacuum_into(pool, "memory.copy", NULL, &err), &err);
    CHECK_INT(access("memory.copy", F_OK), 0);
    db = raw_open("memory.copy");
    if (db == NULL) return;
    CHECK_INT(raw_ask(db, "SELECT count(*) FROM one"), 10);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    CHECK_RC(sqlpool_vacuum_into(pool, "memory.copy", NULL, &err), SQLITE_CANTOPEN, &err);
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
    RUN(an_index_of_another_connection_is_reindexed);
    RUN(checks_tell_structure_indexes_content_and_foreign_keys_apart);
    RUN(an_index_that_lacks_rows_is_found_and_mended);
    RUN(full_text_tables_are_found_with_their_content_and_settings);
    RUN(full_text_indexes_are_merged_checked_and_rebuilt);
    RUN(sizes_of_objects_add_up_to_the_file);
    RUN(growth_is_predicted_from_two_looks);
    RUN(every_operation_obeys_a_token_that_was_fired);
    RUN(operations_in_one_statement_stop_half_way);
    RUN(a_deadline_is_kept_while_others_hold_the_writer);
    RUN(names_of_any_bytes_are_names);
    RUN(in_memory_without_a_log_and_read_only);
    RUN(an_operation_reads_no_faster_than_it_may);
    RUN(incremental_vacuum_right_after_the_vacuum);
    RUN(vacuum_into_follows_no_link);
    RUN(vacuum_into_takes_the_longest_path_of_sqlite);
    RUN(vacuum_into_takes_no_name_of_a_log);
    RUN(optimize_reads_where_as_a_word);
    RUN(every_number_of_the_options_is_looked_at);
    RUN(arguments_that_make_no_sense_are_named);
    RUN(growth_at_the_ends_of_what_a_number_holds);
    RUN(full_text_tables_of_odd_texts_and_those_that_vanish);
    RUN(orphans_of_every_kind_are_told);
    RUN(reindex_of_a_table_without_indexes_does_nothing);
    RUN(vacuum_into_from_connections_that_write);
    RUN(statistics_that_say_nothing_and_a_table_that_is_stale_twice);
    RUN(a_paused_pool_keeps_everything_waiting_for_so_long);
    RUN(every_operation_stops_at_every_report);
    RUN(who_waits_for_its_pace_can_be_stopped);
    RUN(vacuum_into_of_a_database_in_memory_makes_a_file);
    return test_end();
}
