/*  salvage.c - what comes out of databases that are damaged at a chosen place.
    SPDX-License-Identifier: MIT OR Unlicense

    Pages are changed as in https://sqlite.org/fileformat2.html#b_tree_pages: an interior page has a
    number of its right-most child, and cells that begin with that of another child. */
#define _POSIX_C_SOURCE 200809L
#include "files.h"

static sqlpool_error err;

enum { PAGE = 1024 };

/*---- what the tests share ----*/

/*  A file of another program's, and a pool that salvages it. */
static sqlpool *host;
static bool make(const char *path, const char *sql) {
    sqlite3 *db;
    bool is_ok;
    (void)unlink(path);
    db = raw_open(path);
    is_ok = db != NULL && raw_exec(db, "PRAGMA page_size = 1024") && raw_exec(db, sql);
    (void)sqlite3_close(db);
    return is_ok;
}
static int salvage(const char *path, sqlpool_salvage_info *info) {
    (void)unlink("new");
    memset(&err, 0x5a, sizeof err);
    return sqlpool_salvage(host, path, "new", NULL, NULL, info, &err);
}

static bool read_page(const char *path, int64_t page, unsigned char bytes[PAGE]) {
    const int file = open(path, O_RDONLY);
    const bool is_ok = file >= 0 && pread(file, bytes, PAGE, (off_t)((page - 1) * PAGE)) == PAGE;
    return file >= 0 && close(file) == 0 && is_ok;
}
static bool write_page(const char *path, int64_t page, const unsigned char bytes[PAGE]) {
    const int file = open(path, O_WRONLY);
    const bool is_ok = file >= 0 && pwrite(file, bytes, PAGE, (off_t)((page - 1) * PAGE)) == PAGE;
    return file >= 0 && close(file) == 0 && is_ok;
}
static bool spoil_page(const char *path, int64_t page) {
    unsigned char noise[PAGE];
    memset(noise, 0xa5, sizeof noise);
    return write_page(path, page, noise);
}

/*  Where the n-th child of a tree's root is written, -1 the right-most; NULL: there is none. */
static unsigned char *child_of(unsigned char root[PAGE], int n) {
    const int count = root[3] << 8 | root[4];
    const unsigned char *cell = root + 12 + 2 * n;
    if ((root[0] != 5 && root[0] != 2) || n >= count) {
        test_fail(__FILE__, __LINE__, "a page of kind %d with %d cells", root[0], count);
        return NULL;
    }
    return n < 0 ? root + 8 : root + (cell[0] << 8 | cell[1]);
}
static int64_t page_in(const unsigned char *at) {
    return (int64_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}
static int64_t root_of(const char *path, const char *name) {
    char sql[100];
    (void)snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_master WHERE name = '%s'", name);
    return ask_file(path, sql);
}
/*  Writes over the n-th child of this table or index. */
static bool spoil_child(const char *path, const char *name, int n) {
    unsigned char root[PAGE];
    const unsigned char *at;
    if (!read_page(path, root_of(path, name), root)) return false;
    at = child_of(root, n);
    return at != NULL && spoil_page(path, page_in(at));
}
/*  Its n-th child is the m-th once more. */
static bool lead_in_a_circle(const char *path, const char *name, int n, int m) {
    unsigned char root[PAGE], *at, *to;
    const int64_t page = root_of(path, name);
    if (!read_page(path, page, root)) return false;
    at = child_of(root, n);
    to = child_of(root, m);
    if (at == NULL || to == NULL) return false;
    memcpy(at, to, 4);
    return write_page(path, page, root);
}

#define SERIES(n) "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT " #n ") "
/*  Nine rows to a page. */
#define FILLED(name) \
    "CREATE TABLE " name \
    "(id INTEGER PRIMARY KEY, v);" SERIES(500) "INSERT INTO " name \
                                               " SELECT i, printf('%0100d', i) FROM n;"
#define ARE_RIGHT "SELECT count(*) FROM t WHERE v = printf('%0100d', id)"

/*---- tables with rowids ----*/

TEST(pages_that_lead_in_a_circle) {
    static const int children[][2] = {{20, 3}, {-1, 3}, {20, 30}};
    sqlpool_salvage_info info;
    int i;
    for (i = 0; i < LENGTH(children); i++) {
        CHECK(make("circle.db", FILLED("t")));
        CHECK(lead_in_a_circle("circle.db", "t", children[i][0], children[i][1]));
        CHECK_OK(salvage("circle.db", &info), &err);
        CHECK_INT(info.tables, 1);
        CHECK_INT(info.tables_damaged, 1);
        CHECK(info.rows < 500 && info.rows >= 500 - 2 * 11 * (i == 2 ? 11 : 1));
        CHECK_INT(ask_file("new", "SELECT count(*) FROM t"), info.rows);
        CHECK_INT(ask_file("new", ARE_RIGHT), info.rows);
        CHECK_STR(info.first_problem, "t: its pages lead in a circle");
    }
}

TEST(the_last_page_of_a_table) {
    static const char ends[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, v);" SERIES(
        50) "INSERT INTO t SELECT i, zeroblob(700) FROM n; INSERT INTO t "
            "VALUES(9223372036854775806, zeroblob(700)), "
            "(9223372036854775807, zeroblob(700))";
    sqlpool_salvage_info info;
    CHECK(make("last.db", FILLED("t") "INSERT INTO t VALUES(9223372036854775807, 'last')"));
    CHECK_OK(salvage("last.db", &info), &err);
    CHECK_INT(info.rows, 501);
    CHECK_INT(info.tables_damaged, 0);
    CHECK_INT(ask_file("new", "SELECT max(id) FROM t"), INT64_MAX);
    CHECK(spoil_child("last.db", "t", -1));
    CHECK_OK(salvage("last.db", &info), &err);
    CHECK_INT(info.tables_damaged, 1);
    CHECK(info.rows < 501 && info.rows >= 500 - 11);
    CHECK_INT(ask_file("new", ARE_RIGHT), info.rows);
    CHECK_INT(ask_file("new", "SELECT max(id) FROM t"), info.rows); /* all before that page */
    /* a row to a page, and no number behind the one that is lost */
    CHECK(make("last.db", ends));
    CHECK(spoil_child("last.db", "t", -1));
    CHECK_OK(salvage("last.db", &info), &err);
    CHECK_INT(info.rows, 51);
    CHECK_INT(ask_file("new", "SELECT max(id) FROM t"), INT64_MAX - 1);
    CHECK(make("last.db", ends)); /* nor any that can be read before the last */
    CHECK(spoil_child("last.db", "t", 50));
    CHECK_OK(salvage("last.db", &info), &err);
    CHECK_INT(info.rows, 51);
    CHECK_INT(ask_file("new", "SELECT max(id) FROM t"), INT64_MAX);
    CHECK_INT(ask_file("new", "SELECT sum(id < 51) FROM t"), 50);
}

TEST(two_damaged_tables) {
    sqlpool_salvage_info info;
    CHECK(make("two.db", FILLED("t") FILLED("other")));
    CHECK(spoil_child("two.db", "t", 7) && spoil_child("two.db", "other", 9));
    CHECK_OK(salvage("two.db", &info), &err);
    CHECK_INT(info.tables, 2);
    CHECK_INT(info.tables_damaged, 2);
    CHECK(info.rows < 1000 && info.rows >= 1000 - 22);
    CHECK_STR(info.first_problem, "t: database disk image is malformed"); /* not of the last one */
    CHECK_INT(ask_file("new", ARE_RIGHT), ask_file("new", "SELECT count(*) FROM t"));
}

TEST(only_an_index_is_damaged) {
    sqlpool_salvage_info info;
    CHECK(make("index.db", FILLED("t") "CREATE INDEX t_v ON t(v)"));
    CHECK(spoil_child("index.db", "t_v", 2) && spoil_page("index.db", root_of("index.db", "t_v")));
    CHECK_OK(salvage("index.db", &info), &err);
    CHECK_INT(info.rows, 500);
    CHECK_INT(info.tables_damaged, 0);
    CHECK_INT(info.indexes_lost, 0);
    CHECK_INT(ask_file("new", "SELECT count(*) FROM t INDEXED BY t_v WHERE v > ''"), 500);
}

/*---- tables without ----*/

TEST(tables_without_rowids_are_read_from_both_ends) {
    sqlpool_salvage_info info;
    CHECK(
        make("ends.db", "CREATE TABLE t(id, part, v, PRIMARY KEY(id, part)) WITHOUT ROWID;" SERIES(
                            80) "INSERT INTO t SELECT i, 'a', printf('%0100d', i) FROM n"));
    CHECK(spoil_child("ends.db", "t", 3));
    CHECK_OK(salvage("ends.db", &info), &err);
    CHECK_INT(info.tables_damaged, 1);
    CHECK(info.rows < 80 && info.rows >= 80 - 11);
    CHECK_INT(ask_file("new", ARE_RIGHT), info.rows);
    CHECK_INT(ask_file("new", "SELECT max(id) FROM t"), 80);
    CHECK_INT(ask_file("new", "SELECT min(id) FROM t"), 1);
}

/*  Columns have all the names that its rowid could be called by: read as it comes. */
TEST(a_table_whose_rowid_has_no_name) {
    sqlpool_salvage_info info;
    CHECK(make("noname.db", "CREATE TABLE t(rowid TEXT, _rowid_ TEXT, oid TEXT);" SERIES(
                                300) "INSERT INTO t SELECT i, 'x', printf('%0100d', i) FROM n"));
    CHECK_OK(salvage("noname.db", &info), &err);
    CHECK_INT(info.rows, 300);
    CHECK_INT(ask_file("new", "SELECT sum(rowid) FROM t"), 300 * 301 / 2);
    CHECK(spoil_child("noname.db", "t", 10));
    CHECK_OK(salvage("noname.db", &info), &err);
    CHECK_INT(info.tables_damaged, 1);
    CHECK(info.rows >= 60 && info.rows <= 110); /* the ten pages before */
    CHECK_INT(ask_file("new", "SELECT max(rowid + 0) FROM t"), info.rows);
}

/*---- rows and definitions ----*/

#if SQLITE_VERSION_NUMBER >= 3037000
TEST(a_row_that_its_definition_refuses) {
    sqlpool_salvage_info info;
    if (sqlite3_libversion_number() < 3037000) return; /* STRICT */
    CHECK(make("strict.db",
               "CREATE TABLE t(a INTEGER); INSERT INTO t VALUES(1), ('two'), (3); PRAGMA "
               "writable_schema = 1; UPDATE sqlite_master SET sql = sql || ' STRICT'"));
    CHECK_OK(salvage("strict.db", &info), &err);
    CHECK_INT(info.rows, 2);
    CHECK_INT(info.tables_damaged, 1);
    CHECK_HAS(info.first_problem, "t: cannot store TEXT value in INTEGER column t.a");
    CHECK_INT(ask_file("new", "SELECT sum(a) FROM t"), 4);
}
#endif

TEST(a_schema_with_rows_of_nonsense) {
    sqlpool_salvage_info info;
    CHECK(make("schema.db",
               "CREATE TABLE a(x); INSERT INTO a VALUES(1), (2); CREATE TABLE b(x); CREATE TABLE "
               "c(x); INSERT INTO c VALUES(3); CREATE TABLE d(x); PRAGMA writable_schema = 1; "
               "UPDATE sqlite_master SET type = NULL WHERE name = 'b'; UPDATE sqlite_master SET "
               "name = NULL WHERE name = 'd'"));
    CHECK_OK(salvage("schema.db", &info), &err);
    CHECK_INT(info.tables, 2);
    CHECK_INT(info.rows, 3);
    CHECK_INT(ask_file("new", "SELECT count(*) FROM sqlite_master"), 2);
}

TEST(a_source_with_nothing_in_it) {
    sqlpool_salvage_info info;
    CHECK(make("empty.db", "PRAGMA user_version = 5"));
    CHECK_OK(salvage("empty.db", &info), &err);
    CHECK_INT(info.tables, 0);
    CHECK_INT(info.rows, 0);
    CHECK_STR(info.first_problem, "");
    CHECK_INT(ask_file("new", "PRAGMA user_version"), 5);
}

TEST(a_source_that_another_program_writes) {
    sqlpool_salvage_info info;
    sqlite3 *other;
    CHECK(make("busy.db", FILLED("t")));
    other = raw_open("busy.db");
    CHECK(other != NULL && raw_exec(other, "BEGIN EXCLUSIVE; INSERT INTO t VALUES(501, 'x')"));
    CHECK_RC(salvage("busy.db", &info), SQLITE_BUSY, &err);
    CHECK_HAS(err.message, "salvaging to \"new\" failed: database is locked");
    CHECK_INT(count_files("new"), 0);
    CHECK(raw_exec(other, "COMMIT"));
    (void)sqlite3_close(other);
    CHECK_OK(salvage("busy.db", &info), &err);
    CHECK_INT(info.rows, 501);
}

/*  The pool's own file, of which nothing can be read. */
TEST(the_pools_own_file_without_a_table_left) {
    sqlpool_config config = config_of(1);
    sqlpool_salvage_info info;
    sqlpool *pool;
    unsigned char page[PAGE];
    CHECK(make("own.db", "CREATE TABLE t(a); INSERT INTO t VALUES(1)"));
    config.journal = SQLPOOL_JOURNAL_DELETE;
    pool = open_pool("own.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT a FROM t"), 1);
    CHECK(read_page("own.db", 1, page));
    memset(page + 100, 0xa5, PAGE - 100); /* the schema; its header is whole */
    CHECK(write_page("own.db", 1, page));
    (void)unlink("new");
    CHECK_RC(sqlpool_salvage(pool, NULL, "new", NULL, NULL, &info, &err), SQLPOOL_BAD_BACKUP, &err);
    CHECK_HAS(err.message, "own.db\" is no good backup: the schema: ");
    CHECK_INT(info.tables, 0);
    CHECK_INT(count_files("new"), 0);
    close_pool(pool);
}

int main(void) {
    sqlpool_config config = config_of(1);
    host = open_pool("host.db", &config, NULL);
    RUN(pages_that_lead_in_a_circle);
    RUN(the_last_page_of_a_table);
    RUN(two_damaged_tables);
    RUN(only_an_index_is_damaged);
    RUN(tables_without_rowids_are_read_from_both_ends);
    RUN(a_table_whose_rowid_has_no_name);
#if SQLITE_VERSION_NUMBER >= 3037000
    RUN(a_row_that_its_definition_refuses);
#endif
    RUN(a_schema_with_rows_of_nonsense);
    RUN(a_source_with_nothing_in_it);
    RUN(a_source_that_another_program_writes);
    RUN(the_pools_own_file_without_a_table_left);
    close_pool(host);
    return test_end();
}
