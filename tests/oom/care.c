/*  care.c - every allocation fails while a database is looked after.
    SPDX-License-Identifier: MIT OR Unlicense

    Maintenance, full-text indexes, migrations, index sets, schedules, reports, backups and salvage
    in the loop of oom/loop.h, which says how to call this; opening is left to oom/oom.c. Each part
    begins with a copy of the same file. After each call, failed or not, the files are looked at
    with all the memory there is: a migration is done or not, an index is there as its report says,
    a copy is whole or absent, and OK means that all was done. */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"

#ifndef SQLITE_CORRUPT_INDEX /* before SQLite 3.33 */
#define SQLITE_CORRUPT_INDEX (SQLITE_CORRUPT | (3 << 8))
#endif

typedef struct own {
    bool has_schedule;
    int tasks_done;           /* told by done_fn */
    int tells;                /* of a progress_fn */
    size_t bytes;             /* of a report or a stream */
    char first[16], last[16]; /* of a report */
    sqlpool_sizes before;
    int objects;
} own;

#include "oom/loop.h"

/*---- looking at files ----*/

/*  What a plain connection finds; the loop neither counts nor fails what that takes. In memory the
    pool is asked itself. INT64_MIN: it cannot be read. */
static int64_t look_in(run *r, const char *path, const char *sql) {
    const uint64_t fail_at = sim_alloc.fail_at, requests = sim_alloc.requests;
    int64_t value = INT64_MIN;
    sqlite3 *db = NULL;
    sim_alloc_heal();
    if (strcmp(path, ":memory:") == 0) {
        sim_clock_advance(&r->clock, 300000000); /* open_retry_ms */
        if (sqlpool_query_int64(r->pool, &value, sql, SQLPOOL_NO_ARGS, NULL) != SQLPOOL_OK)
            value = INT64_MIN;
    } else {
        if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK)
            value = sim_plain_int64(db, sql, INT64_MIN);
        (void)sqlite3_close(db);
    }
    sim_alloc.requests = requests;
    sim_alloc.fail_at = fail_at;
    return value;
}
static int64_t look(run *r, const char *sql) {
    return look_in(r, r->path, sql);
}

static bool is_there(const char *path) {
    return access(path, F_OK) == 0;
}

static bool is_empty(const char *path) {
    FILE *file = fopen(path, "rb");
    const bool has_none = file != NULL && fgetc(file) == EOF;
    return file != NULL && fclose(file) == 0 && has_none;
}

/*  Is the file a whole database? It may have journals of its own. */
static bool is_whole(run *r, const char *path) {
    return look_in(r, path,
                   "SELECT count(*) FROM pragma_integrity_check "
                   "WHERE integrity_check = 'ok'") == 1;
}

static bool overwrite(const char *path, long at, size_t bytes) {
    FILE *file = fopen(path, "r+b");
    bool done = file != NULL && fseek(file, at, SEEK_SET) == 0;
    size_t i;
    for (i = 0; done && i < bytes; i++) done = fputc((int)(0x5a + i * 7) & 0xff, file) != EOF;
    return file != NULL && fclose(file) == 0 && done;
}

static bool copy_file(const char *from, const char *to) {
    static char bytes[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    size_t got = 0;
    bool done = in != NULL && out != NULL;
    while (done && (got = fread(bytes, 1, sizeof bytes, in)) > 0)
        done = fwrite(bytes, 1, got, out) == got;
    if (in != NULL) (void)fclose(in);
    return out != NULL && fclose(out) == 0 && done;
}

/*  The database of a part: made once, then copied. What a run before has left is removed. */
static int prepare(run *r, const char *file, const char *sql) {
    static const char *const made[] = {"care.copy",  "care.bak",  "care.bak.1",
                                       "care.bak.2", "care.look", "care.new"};
    static const char *const partials[] = {"care.db-partial", "care.stream-partial",
                                           "care.bak-partial", "care.look-partial",
                                           "care.new-partial"};
    char name[64];
    size_t i;
    sqlite3 *db = NULL;
    char *message = NULL;
    int rc = SQLITE_OK;
    for (i = 0; i < sizeof made / sizeof *made; i++) (void)unlink(made[i]);
    for (i = 0; i < sizeof partials / sizeof *partials; i++) sim_remove_database(partials[i]);
    (void)snprintf(name, sizeof name, "%s.%s", file, r->part->name);
    if (!is_there(name)) {
        rc = sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
        if (rc == SQLITE_OK) rc = sqlite3_exec(db, sql, NULL, NULL, &message);
        if (rc != SQLITE_OK) printf("# preparing %s: %s\n", name, message != NULL ? message : "?");
        sqlite3_free(message);
        (void)sqlite3_close(db);
    }
    if (rc == SQLITE_OK && r->journal != JOURNAL_MEMORY && !copy_file(name, file))
        rc = SQLITE_CANTOPEN;
    return rc;
}

/*---- what calls come to ----*/

/*  An error that must come, whatever memory there is: OK if it did. */
static int wants(run *r, sqlpool_error *e, int wanted, int rc) {
    if (rc == SQLPOOL_OK)
        return fail(r, "%s: passed, not %s", r->step_name, sqlpool_result_name(wanted));
    if (rc != wanted) return rc;
    memset(e, 0, sizeof *e);
    return SQLPOOL_OK;
}

static int tell(void *user, const sqlpool_progress *progress) {
    run *r = (run *)user;
    r->own.tells++;
    if (progress->fraction < 0 || progress->fraction > 1)
        (void)fail(r, "%s: progress is %g", progress->operation, progress->fraction);
    return 0;
}
static sqlpool_maintenance options_of(run *r) {
    sqlpool_maintenance options = {0};
    options.io_bytes_per_s = 1 << 20;
    options.progress_ms = 1;
    options.piece_ms = 1;
    options.tag = "care";
    options.progress_fn = tell;
    options.user = r;
    return options;
}

/*---- maintenance ----*/

static const char maintain_sql[] =
    "PRAGMA page_size = 1024;"
    "PRAGMA auto_vacuum = INCREMENTAL;"
    "CREATE TABLE parent(id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
    "CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES parent, v CHECK(v <> 13));"
    "CREATE INDEX child_parent ON child(parent);"
    "CREATE INDEX child_v ON child(v);"
    "CREATE TABLE never(a, b, UNIQUE(b));" /* analyzed */
    "CREATE TABLE bad(v CHECK(v <> 13));"
    "CREATE TABLE odd(a, b);"
    "CREATE INDEX odd_a ON odd(a);"
    "CREATE TABLE big(x);"
    "INSERT INTO parent VALUES(1, 'one'), (2, 'two');"
    "INSERT INTO child VALUES(1, 1, 1), (2, 2, 2);"
    "ANALYZE child;"
    "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n LIMIT 98) "
    "INSERT INTO child SELECT i, 1 + i % 2, 100 + i FROM n;" /* 100 rows */
    "INSERT INTO never VALUES(1, 2), (3, 4);"
    "INSERT INTO child VALUES(1000, 77, 1);" /* without a parent */
    "PRAGMA ignore_check_constraints = ON;"
    "INSERT INTO bad VALUES(13), (14);"
    "INSERT INTO odd VALUES(1, 10), (2, 20), (3, 30);"
    "PRAGMA writable_schema = ON;"
    "UPDATE sqlite_master SET sql = 'CREATE INDEX odd_a ON odd(b)' WHERE name = 'odd_a';"
    "PRAGMA writable_schema = OFF;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40) "
    "INSERT INTO big SELECT zeroblob(900) FROM n;"
    "DELETE FROM big WHERE rowid > 4;";

static int prepare_maintain(run *r) {
    return prepare(r, r->path, maintain_sql);
}

static int step_schema_of_maintain(run *r, sqlpool_error *e) {
    return sqlpool_script(
        r->pool,
        "CREATE TABLE IF NOT EXISTS parent(id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
        "CREATE TABLE IF NOT EXISTS child(id INTEGER PRIMARY KEY, parent REFERENCES parent, v);"
        "CREATE INDEX IF NOT EXISTS child_v ON child(v);"
        "INSERT OR IGNORE INTO parent VALUES(1, 'one'), (2, 'two');"
        "INSERT OR IGNORE INTO child VALUES(1, 1, 1), (2, 2, 2);",
        -1, e);
}

static int step_sizes(run *r, sqlpool_error *e) {
    sqlpool_sizes sizes;
    sqlpool_growth growth;
    int rc = sqlpool_get_sizes(r->pool, &sizes, e);
    if (rc != SQLPOOL_OK) return rc;
    if (sizes.pages != look(r, "PRAGMA page_count") || sizes.page_bytes < 1024 ||
        sizes.free_pages != look(r, "PRAGMA freelist_count"))
        return fail(r, "sizes: %lld pages, %lld free", (long long)sizes.pages,
                    (long long)sizes.free_pages);
    if (r->own.before.pages != 0) {
        growth = sqlpool_predict_growth(&r->own.before, &sizes, INT64_C(1) << 40);
        if (growth.bytes !=
            (sizes.pages - sizes.free_pages) * sizes.page_bytes -
                (r->own.before.pages - r->own.before.free_pages) * r->own.before.page_bytes)
            return fail(r, "growth: %lld bytes", (long long)growth.bytes);
    }
    r->own.before = sizes;
    return SQLPOOL_OK;
}

static int note_object(void *user, const sqlpool_object_size *object) {
    run *r = (run *)user;
    r->own.objects++;
    if (object->pages < 1) (void)fail(r, "%s has no page", object->name);
    return 0;
}
static int step_object_sizes(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    int rc;
    r->own.objects = 0;
    rc = sqlpool_object_sizes(r->pool, note_object, r, &options, e);
    if (rc == SQLPOOL_OK && /* and the schema itself */
        r->own.objects != look(r, "SELECT 1 + count(*) FROM sqlite_master WHERE rootpage > 0"))
        return fail(r, "object_sizes: %d objects", r->own.objects);
    return rc;
}

/*  Of a table that has grown, and of one that was never analyzed: OK means both are known now. */
static int step_optimize(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    int64_t analyzed = -1;
    const int rc = sqlpool_optimize(r->pool, &options, &analyzed, e);
    if (rc == SQLPOOL_OK && r->journal != JOURNAL_MEMORY &&
        (look(r, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'never'") != 1 ||
         look(r, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'child' AND stat LIKE '101 %'") !=
             2))
        return fail(r, "optimize: OK, %lld analyzed, and not all is", (long long)analyzed);
    if (analyzed < 0) return fail(r, "optimize: analyzed was not set");
    return rc;
}
static int step_analyze(run *r, sqlpool_error *e) {
    int rc = sqlpool_analyze(r->pool, "child", 50, NULL, e);
    if (rc == SQLPOOL_OK) rc = sqlpool_analyze(r->pool, NULL, 0, NULL, e);
    if (rc != SQLPOOL_OK) return rc;
    if (look(r, "SELECT count(DISTINCT tbl) FROM sqlite_stat1") <
        look(r, "SELECT count(DISTINCT tbl_name) FROM sqlite_master WHERE type = 'index'"))
        return fail(r, "analyze: OK, and tables are left out");
    rc = sqlpool_analyze(r->pool, "no such table", 0, NULL, e);
    return wants(r, e, SQLITE_ERROR, rc);
}

static bool can_check_tables(void) {
    return sqlite3_libversion_number() >= 3033000;
}
static int step_check(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    sqlpool_check_result result;
    int rc = SQLPOOL_OK;
    if (can_check_tables())
        rc = sqlpool_check(r->pool, SQLPOOL_CHECK_QUICK, "child", &options, &result, e);
    if (can_check_tables() && rc == SQLPOOL_OK)
        rc = sqlpool_check(r->pool, SQLPOOL_CHECK_INTEGRITY, "parent", &options, NULL, e);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_check(r->pool, SQLPOOL_CHECK_FOREIGN_KEYS, "parent", NULL, &result, e);
    if (rc == SQLPOOL_OK && r->journal == JOURNAL_MEMORY)
        rc = sqlpool_check(r->pool, SQLPOOL_CHECK_INTEGRITY, NULL, &options, &result, e);
    if (rc == SQLPOOL_OK)
        rc = wants(r, e, SQLITE_ERROR,
                   sqlpool_check(r->pool, SQLPOOL_CHECK_FOREIGN_KEYS, "none", NULL, &result, e));
    return rc;
}
static int step_check_finds(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    sqlpool_check_result result;
    int rc = wants(r, e, SQLITE_CONSTRAINT,
                   sqlpool_check(r->pool, SQLPOOL_CHECK_QUICK, NULL, &options, &result, e));
    if (rc != SQLPOOL_OK) return rc;
    if (result.problems != 1 || result.kinds != SQLPOOL_PROBLEM_CONTENT)
        return fail(r, "quick check: %lld problems: %s", (long long)result.problems, result.text);
    rc = wants(r, e, SQLITE_CONSTRAINT_FOREIGNKEY,
               sqlpool_check(r->pool, SQLPOOL_CHECK_FOREIGN_KEYS, NULL, &options, &result, e));
    if (rc != SQLPOOL_OK) return rc;
    if (result.problems != 1 || strstr(result.text, "child") == NULL)
        return fail(r, "foreign keys: %lld problems: %s", (long long)result.problems, result.text);
    if (!can_check_tables()) return rc;
    rc = wants(r, e, SQLITE_CORRUPT_INDEX,
               sqlpool_check(r->pool, SQLPOOL_CHECK_INTEGRITY, "odd", NULL, &result, e));
    if (rc == SQLPOOL_OK && (result.kinds != SQLPOOL_PROBLEM_INDEX || result.problems < 3))
        return fail(r, "integrity: %lld problems: %s", (long long)result.problems, result.text);
    return rc;
}
static int step_reindex(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    int rc = sqlpool_reindex(r->pool, "child", &options, e);
    if (rc == SQLPOOL_OK) rc = sqlpool_reindex(r->pool, "BINARY", NULL, e);
    if (rc == SQLPOOL_OK) rc = sqlpool_reindex(r->pool, NULL, &options, e);
    if (rc == SQLPOOL_OK && r->journal != JOURNAL_MEMORY && can_check_tables())
        rc = sqlpool_check(r->pool, SQLPOOL_CHECK_INTEGRITY, "odd", NULL, NULL, e);
    if (rc == SQLPOOL_OK) rc = wants(r, e, SQLITE_ERROR, sqlpool_reindex(r->pool, "none", NULL, e));
    return rc;
}

/*  What it says went is what went, also when it failed. */
static int step_incremental_vacuum(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    int64_t freed = -1, before, after;
    int rc;
    before = look(r, "PRAGMA freelist_count");
    rc = sqlpool_incremental_vacuum(r->pool, before > 10 ? 5 : 0, &options, &freed, e);
    after = look(r, "PRAGMA freelist_count");
    if (freed != before - after)
        return fail(r, "incremental vacuum: %lld pages of %lld went, it says %lld",
                    (long long)(before - after), (long long)before, (long long)freed);
    if (rc == SQLPOOL_OK && (before > 10 ? freed != 5 : after != 0))
        return fail(r, "incremental vacuum: OK, and %lld pages are free", (long long)after);
    return rc;
}
static int vacuum(run *r, int mode, int64_t mode_of_file, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    const int64_t was = look(r, "PRAGMA auto_vacuum");
    const int rc = sqlpool_vacuum(r->pool, mode, &options, e);
    const int64_t is = look(r, "PRAGMA auto_vacuum");
    if (rc == SQLPOOL_OK ? is != mode_of_file : is != was)
        return fail(r, "vacuum: auto_vacuum was %lld and is %lld after %s", (long long)was,
                    (long long)is, sqlpool_result_name(rc));
    if (rc == SQLPOOL_OK && look(r, "PRAGMA freelist_count") != 0)
        return fail(r, "vacuum: pages are still free");
    return rc;
}
static int step_vacuum(run *r, sqlpool_error *e) {
    int rc = vacuum(r, SQLPOOL_AUTO_VACUUM_NONE, 0, e);
    if (rc == SQLPOOL_OK) /* into a file that cannot do that */
        rc =
            wants(r, e, SQLPOOL_UNSUPPORTED, sqlpool_incremental_vacuum(r->pool, 0, NULL, NULL, e));
    if (rc == SQLPOOL_OK) rc = vacuum(r, SQLPOOL_AUTO_VACUUM_INCREMENTAL, 2, e);
    return rc;
}

/*  A copy is whole or absent. */
static int step_vacuum_into(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    int rc;
    (void)unlink("care.copy");
    rc = sqlpool_vacuum_into(r->pool, "care.copy", &options, e);
    if (r->control_lose) (void)overwrite("care.copy", 1024, 12 * 1024);
    if (rc != SQLPOOL_OK) /* where memory is gone for good, SQLite's VFS may leave an empty one */
        return is_there("care.copy") && (!r->from_on || !is_empty("care.copy"))
                   ? fail(r, "vacuum into: failed, and a file is there")
                   : rc;
    if (look_in(r, "care.copy", "SELECT count(*) FROM child") !=
            look(r, "SELECT count(*) FROM child") ||
        look_in(r, "care.copy", "SELECT sum(id) FROM child INDEXED BY child_v WHERE v > 0") !=
            look(r, "SELECT sum(id) FROM child"))
        return fail(r, "vacuum into: the copy is another");
    return wants(r, e, SQLITE_CANTOPEN, sqlpool_vacuum_into(r->pool, "care.copy", NULL, e));
}

static const step maintain_steps[] = {
    {"sizes", step_sizes},       {"object_sizes", step_object_sizes},
    {"check", step_check},       {"check_finds", step_check_finds},
    {"optimize", step_optimize}, {"analyze", step_analyze},
    {"reindex", step_reindex},   {NULL, NULL},
};
static const step vacuum_steps[] = {
    {"sizes", step_sizes},
    {"incremental_vacuum", step_incremental_vacuum},
    {"incremental_vacuum", step_incremental_vacuum},
    {"vacuum", step_vacuum},
    {"vacuum_into", step_vacuum_into},
    {"sizes", step_sizes},
    {NULL, NULL},
};

/*---- full-text indexes ----*/

static const char fts5_sql[] =
    "CREATE VIRTUAL TABLE own USING fts5(body);"
    "CREATE TABLE docs(id INTEGER PRIMARY KEY, body);"
    "CREATE VIRTUAL TABLE ext USING fts5(body, content='docs', content_rowid='id');"
    "CREATE VIRTUAL TABLE bare USING fts5(body, content='');"
    "INSERT INTO own(own, rank) VALUES('automerge', 0);"
    "INSERT INTO own(own, rank) VALUES('usermerge', 2);"
    "INSERT INTO own VALUES('the quick fox');"
    "INSERT INTO own VALUES('jumps over');"
    "INSERT INTO own VALUES('the lazy dog');"
    "INSERT INTO own VALUES('and over again');"
    "INSERT INTO docs VALUES(1, 'alpha beta'), (2, 'gamma');"
    "INSERT INTO ext(ext) VALUES('rebuild');"
    "INSERT INTO bare(rowid, body) VALUES(1, 'nobody keeps this');"
    "UPDATE docs SET body = 'delta' WHERE id = 2"; /* ext does not know */

static int prepare_nothing(run *r) {
    return prepare(r, r->path, "CREATE TABLE t(x)");
}
static int prepare_fts5(run *r) {
    return prepare(r, r->path, fts5_sql);
}

static int note_table(void *user, const sqlpool_fts5_table *table) {
    static const char *const names[] = {"bare", "ext", "own"};
    static const int contents[] = {SQLPOOL_FTS5_CONTENTLESS, SQLPOOL_FTS5_EXTERNAL,
                                   SQLPOOL_FTS5_OWN};
    run *r = (run *)user;
    const int i = r->own.objects++;
    if (i > 2 || strcmp(table->name, names[i]) != 0 || table->content != contents[i] ||
        strcmp(table->content_table, i == 1 ? "docs" : "") != 0 ||
        (i == 2 && table->automerge != 0))
        (void)fail(r, "fts5_tables: \"%s\", content %d of \"%s\", automerge %d", table->name,
                   table->content, table->content_table, table->automerge);
    return 0;
}
static int step_fts5_tables(run *r, sqlpool_error *e) {
    int rc;
    r->own.objects = 0;
    rc = sqlpool_fts5_tables(r->pool, note_table, r, e);
    if (rc == SQLPOOL_OK && r->own.objects != 3)
        return fail(r, "fts5_tables: %d tables", r->own.objects);
    return rc;
}
static int step_fts5_configure(run *r, sqlpool_error *e) {
    int rc = sqlpool_fts5_configure(r->pool, "ext", SQLPOOL_OFF, 3, e);
    if (rc == SQLPOOL_OK && (look(r, "SELECT v FROM ext_config WHERE k = 'automerge'") != 0 ||
                             look(r, "SELECT v FROM ext_config WHERE k = 'usermerge'") != 3))
        return fail(r, "fts5_configure: OK, and it is not so");
    if (rc != SQLPOOL_OK) return rc;
    return wants(r, e, SQLITE_ERROR, sqlpool_fts5_configure(r->pool, "docs", 4, 4, e));
}
static int step_fts5_merge(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    int rc = sqlpool_fts5(r->pool, NULL, SQLPOOL_FTS5_MERGE, &options, e);
    if (rc == SQLPOOL_OK) rc = sqlpool_fts5(r->pool, "own", SQLPOOL_FTS5_OPTIMIZE, &options, e);
    if (rc == SQLPOOL_OK && look(r, "SELECT count(DISTINCT segid) FROM own_idx") != 1)
        return fail(r, "fts5 optimize: OK, and there are %lld segments",
                    (long long)look(r, "SELECT count(DISTINCT segid) FROM own_idx"));
    return rc;
}
static int step_fts5_check(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    int rc = sqlpool_fts5(r->pool, "own", SQLPOOL_FTS5_CHECK, &options, e);
    if (rc == SQLPOOL_OK)
        rc = wants(r, e, SQLITE_CORRUPT_VTAB,
                   sqlpool_fts5(r->pool, "ext", SQLPOOL_FTS5_CHECK, &options, e));
    if (rc == SQLPOOL_OK)
        rc = wants(r, e, SQLPOOL_UNSUPPORTED,
                   sqlpool_fts5(r->pool, "bare", SQLPOOL_FTS5_REBUILD, NULL, e));
    return rc;
}
static int step_fts5_rebuild(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    int rc = sqlpool_fts5(r->pool, NULL, SQLPOOL_FTS5_REBUILD, &options, e);
    const int64_t delta = look(r, "SELECT count(*) FROM ext WHERE ext MATCH 'delta'");
    const int64_t over = look(r, "SELECT count(*) FROM own WHERE own MATCH 'over'");
    if (over != 2) return fail(r, "fts5 rebuild: %lld rows with 'over'", (long long)over);
    if (rc == SQLPOOL_OK && delta != 1) return fail(r, "fts5 rebuild: OK, and nothing is rebuilt");
    if (rc == SQLPOOL_OK) rc = sqlpool_fts5(r->pool, NULL, SQLPOOL_FTS5_CHECK, NULL, e);
    return rc;
}

static const step fts5_steps[] = {
    {"fts5_tables", step_fts5_tables},       {"fts5_check", step_fts5_check},
    {"fts5_configure", step_fts5_configure}, {"fts5_merge", step_fts5_merge},
    {"fts5_rebuild", step_fts5_rebuild},     {NULL, NULL},
};

/*---- migrations ----*/

static const char orders_sql[] = "CREATE TABLE orders(id INTEGER PRIMARY KEY, customer REFERENCES "
                                 "users(id));\nCREATE INDEX orders_of ON orders(customer);";
static int fill_fn(sqlpool_conn *conn, void *user, int attempt) {
    (void)user;
    (void)attempt;
    return sqlpool_conn_exec(conn, "INSERT INTO orders VALUES(1, 1), (2, 2), (3, 1)",
                             SQLPOOL_NO_ARGS, NULL, NULL);
}
enum { MIGRATIONS = 3 };
/*  The steps, and a fourth one that cannot be done. */
typedef struct plan {
    sqlpool_migration steps[MIGRATIONS + 1];
    sqlpool_migrate_config config;
    sqlpool_migrate_result result;
} plan;
static void make_plan(plan *p) {
    sqlpool_migration *steps = p->steps;
    memset(p, 0, sizeof *p);
    steps[0].version = 1;
    steps[0].name = "users";
    steps[0].up = "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n"
                  "INSERT INTO users VALUES(1, 'ann'), (2, 'bob');";
    steps[0].down = "DROP TABLE users";
    steps[1].version = 2;
    steps[1].name = "orders";
    steps[1].up = orders_sql;
    steps[1].down = "DROP TABLE orders";
    steps[1].up_fn = fill_fn;
    steps[2].version = 3;
    steps[2].name = "users anew";
    steps[2].up = "CREATE TABLE new(id INTEGER PRIMARY KEY, name TEXT, mail TEXT DEFAULT '-');\n"
                  "INSERT INTO new(id, name) SELECT id, name FROM users;\n"
                  "DROP TABLE users; ALTER TABLE new RENAME TO users; CREATE TABLE extra(x);";
    steps[2].down = "DROP TABLE extra";
    steps[3].version = 4;
    steps[3].name = "impossible";
    steps[3].up = "CREATE TABLE more(x);\nINSERT INTO users VALUES(1, 'again', '');";
    p->config.steps = steps;
    p->config.step_count = MIGRATIONS;
    p->config.application_id = 77;
}

/*  What is in the file is the version that it says, and that the result says. */
static int migrate(run *r, plan *p, sqlpool_error *e) {
    const sqlpool_migrate_config *config = &p->config;
    sqlpool_migrate_result *result = &p->result;
    const sqlpool_maintenance options = options_of(r);
    const int64_t was = look(r, "PRAGMA user_version");
    const int rc = sqlpool_migrate(r->pool, config, &options, result, e);
    const int64_t version = look(r, "PRAGMA user_version");
    const int64_t tables = look(
        r, "SELECT sum(CASE name WHEN 'users' THEN 1 WHEN 'orders' THEN 10 WHEN 'orders_of' THEN "
           "100 WHEN 'extra' THEN 1000 WHEN 'sqlpool_migrations' THEN 0 ELSE 100000 END) "
           "FROM sqlite_master");
    static const int64_t wanted[] = {0, 1, 111, 1111};
    if (r->journal == JOURNAL_MEMORY && (was == INT64_MIN || version == INT64_MIN)) return rc;
    if (version < 0 || version > MIGRATIONS ||
        tables != (version == 0 && tables == INT64_MIN ? tables : wanted[version]) ||
        (version >= 2 && look(r, "SELECT count(*) FROM orders") != 3) ||
        (version >= 1 && look(r, "SELECT count(*) FROM users") != 2))
        return fail(r, "migrate: version %lld with objects %lld", (long long)version,
                    (long long)tables);
    if (config->mode != SQLPOOL_MIGRATE_RUN ? version != was
                                            : rc == SQLPOOL_OK && version != result->to)
        return fail(r, "migrate: version was %lld and is %lld", (long long)was, (long long)version);
    if (rc != SQLPOOL_OK && result->from != 0 && result->to != version &&
        config->mode == SQLPOOL_MIGRATE_RUN)
        return fail(r, "migrate: failed, at version %d it says, at %lld it is", result->to,
                    (long long)version);
    if (rc == SQLPOOL_OK && config->mode == SQLPOOL_MIGRATE_RUN &&
        look(r, "SELECT version FROM sqlpool_migrations ORDER BY rowid DESC LIMIT 1") == INT64_MIN)
        return fail(r, "migrate: no history");
    return rc;
}
static int step_migrate_look(run *r, sqlpool_error *e) {
    plan p;
    int rc;
    make_plan(&p);
    p.config.mode = SQLPOOL_MIGRATE_CHECK;
    rc = migrate(r, &p, e);
    if (rc != SQLPOOL_OK) return rc;
    if (p.result.steps != 3 || p.result.to != 3) return fail(r, "check: %d steps", p.result.steps);
    p.config.mode = SQLPOOL_MIGRATE_DRY_RUN;
    rc = migrate(r, &p, e);
    if (rc == SQLPOOL_OK && p.result.steps != 3)
        return fail(r, "dry run: %d steps", p.result.steps);
    return rc;
}
static int step_migrate_up(run *r, sqlpool_error *e) {
    plan p;
    int rc;
    make_plan(&p);
    rc = migrate(r, &p, e);
    if (rc == SQLPOOL_OK && (p.result.to != 3 || look(r, "PRAGMA application_id") != 77))
        return fail(r, "up: OK, and at %d", p.result.to);
    return rc;
}
static int step_migrate_down(run *r, sqlpool_error *e) {
    plan p;
    int rc;
    make_plan(&p);
    p.config.target = 1;
    rc = migrate(r, &p, e);
    if (rc == SQLPOOL_OK && p.result.to != 1) return fail(r, "down: OK, and at %d", p.result.to);
    return rc;
}
static int step_migrate_fails(run *r, sqlpool_error *e) {
    plan p;
    int rc;
    make_plan(&p);
    p.config.step_count = MIGRATIONS + 1;
    rc = wants(r, e, SQLITE_CONSTRAINT_PRIMARYKEY, migrate(r, &p, e));
    if (rc == SQLPOOL_OK && (p.result.failed_version != 4 || p.result.to != 3))
        return fail(r, "the fourth step: version %d failed, at %d", p.result.failed_version,
                    p.result.to);
    if (rc != SQLPOOL_OK) return rc;
    p.config.step_count = 2;
    rc = wants(r, e, SQLPOOL_MIGRATION_NEWER, migrate(r, &p, e));
    if (rc != SQLPOOL_OK) return rc;
    p.config.step_count = MIGRATIONS;
    p.steps[1].up = "CREATE TABLE other(x)";
    rc = wants(r, e, SQLPOOL_MIGRATION_CHANGED, migrate(r, &p, e));
    if (rc != SQLPOOL_OK) return rc;
    p.steps[1].up = orders_sql;
    p.config.application_id = 78;
    return wants(r, e, SQLPOOL_MIGRATION_OTHER, migrate(r, &p, e));
}

static int prepare_migrate(run *r) {
    return prepare(r, r->path, "PRAGMA user_version = 0");
}
/*  A file that has version 2 from elsewhere. */
static int prepare_adopt(run *r) {
    return prepare(r, r->path,
                   "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
                   "INSERT INTO users VALUES(1, 'ann'), (2, 'bob');"
                   "CREATE TABLE orders(id INTEGER PRIMARY KEY, customer REFERENCES users(id));"
                   "CREATE INDEX orders_of ON orders(customer);"
                   "INSERT INTO orders VALUES(1, 1), (2, 2), (3, 1);"
                   "PRAGMA user_version = 2");
}
static int step_adopt(run *r, sqlpool_error *e) {
    plan p;
    int rc;
    make_plan(&p);
    rc = look(r, "SELECT count(*) FROM sqlpool_migrations") > 0 /* the second try */
             ? SQLPOOL_OK
             : wants(r, e, SQLPOOL_MIGRATION_CHANGED, migrate(r, &p, e));
    p.config.adopt = true;
    p.config.mode = SQLPOOL_MIGRATE_CHECK;
    if (rc == SQLPOOL_OK) rc = migrate(r, &p, e);
    if (rc == SQLPOOL_OK && p.result.to != 3) return fail(r, "adopt, check: to %d", p.result.to);
    p.config.mode = SQLPOOL_MIGRATE_RUN;
    if (rc == SQLPOOL_OK) rc = migrate(r, &p, e);
    if (rc == SQLPOOL_OK && look(r, "SELECT count(*) FROM sqlpool_migrations") != 3)
        return fail(r, "adopt: OK, and the history is another");
    return rc;
}

static const step migrate_steps[] = {
    {"migrate_look", step_migrate_look},   {"migrate_up", step_migrate_up},
    {"migrate_down", step_migrate_down},   {"migrate_up", step_migrate_up},
    {"migrate_fails", step_migrate_fails}, {NULL, NULL},
};
static const step adopt_steps[] = {{"adopt", step_adopt}, {NULL, NULL}};

/*---- index sets ----*/

static int prepare_indexes(run *r) {
    return prepare(r, r->path,
                   "CREATE TABLE t(a TEXT, b, c COLLATE NOCASE);"
                   "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50) "
                   "INSERT INTO t SELECT 'a' || i, i, i % 3 FROM n;"
                   "CREATE INDEX t_b ON t(b DESC)");
}
enum { INDEXES = 4 };
static const char *const index_texts[INDEXES] = {
    "CREATE UNIQUE INDEX t_a ON t(a)", "CREATE INDEX IF NOT EXISTS t_b ON t(b, c)",
    "CREATE INDEX t_lower ON t(lower(a), b DESC)", "CREATE INDEX t_c ON t(c) WHERE b > 5"};
static const char *const index_names[INDEXES] = {"t_a", "t_b", "t_lower", "t_c"};

/*  Each is in the file as its report says, once the call has come to the first of them. */
static int judge_reports(run *r, const sqlpool_index_report *reports, int rc) {
    int i;
    if (rc != SQLPOOL_OK && r->own.tells == 0) return rc;
    for (i = 0; i < INDEXES; i++) {
        char sql[100];
        int64_t there;
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM sqlite_master WHERE name = '%s'",
                       index_names[i]);
        there = look(r, sql);
        if (strcmp(reports[i].name, index_names[i]) != 0) {
            if (rc == SQLPOOL_OK) return fail(r, "index %d has no report", i);
            continue;
        }
        if (there != (reports[i].state != SQLPOOL_INDEX_MISSING))
            return fail(r, "%s: the report says %d, and %lld are there after %s", index_names[i],
                        reports[i].state, (long long)there, sqlpool_result_name(rc));
    }
    return rc;
}
static sqlpool_index_set index_set(void) {
    sqlpool_index_set set = {0};
    set.name = "care";
    set.indexes = index_texts;
    set.index_count = INDEXES;
    return set;
}
static int step_index_set_check(run *r, sqlpool_error *e) {
    sqlpool_index_set set = index_set();
    sqlpool_index_report reports[INDEXES];
    int rc =
        wants(r, e, SQLPOOL_INDEX_MISMATCH, sqlpool_index_set_check(r->pool, &set, reports, e));
    if (rc != SQLPOOL_OK) return rc;
    if (reports[1].state != SQLPOOL_INDEX_DIFFERS || reports[1].detail[0] == '\0')
        return fail(r, "t_b is in state %d", reports[1].state);
    rc = wants(r, e, SQLPOOL_INDEX_MISMATCH,
               sqlpool_index_set_create(r->pool, &set, NULL, reports, e));
    if (look(r, "SELECT count(*) FROM sqlite_master WHERE type = 'index'") != 1)
        return fail(r, "a set that does not fit was begun");
    return rc;
}
static int step_index_set_create(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    sqlpool_index_set set = index_set();
    sqlpool_index_report reports[INDEXES];
    int rc;
    memset(reports, 0, sizeof reports);
    r->own.tells = 0;
    set.replace = true;
    rc = judge_reports(r, reports, sqlpool_index_set_create(r->pool, &set, &options, reports, e));
    if (rc != SQLPOOL_OK) return rc;
    if (look(r, "SELECT count(*) FROM sqlite_stat1 WHERE idx IN ('t_a', 't_b', 't_lower', "
                "'t_c')") != INDEXES ||
        look(r, "SELECT count(*) FROM sqlite_master WHERE sql LIKE '%t(b, c)'") != 1)
        return fail(r, "index_set_create: OK, and not all is there");
    r->own.tells = 0;
    return judge_reports(r, reports, sqlpool_index_set_check(r->pool, &set, reports, e));
}
static int step_index_set_refused(run *r, sqlpool_error *e) {
    static const char *const texts[] = {"CREATE UNIQUE INDEX t_twice ON t(c)"};
    sqlpool_index_set set = index_set();
    int rc;
    set.indexes = texts;
    set.index_count = 1;
    rc = wants(r, e, SQLITE_CONSTRAINT_UNIQUE,
               sqlpool_index_set_create(r->pool, &set, NULL, NULL, e));
    if (look(r, "SELECT count(*) FROM sqlite_master WHERE name = 't_twice'") != 0)
        return fail(r, "an index that was refused is there");
    return rc;
}
static int step_index_set_drop(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    sqlpool_index_set set = index_set();
    sqlpool_index_report reports[INDEXES];
    int rc;
    memset(reports, 0, sizeof reports);
    r->own.tells = 0;
    rc = judge_reports(r, reports, sqlpool_index_set_drop(r->pool, &set, &options, reports, e));
    if (rc == SQLPOOL_OK && look(r, "SELECT count(*) FROM sqlite_master WHERE type = 'index'") != 0)
        return fail(r, "index_set_drop: OK, and not all is gone");
    if (rc != SQLPOOL_OK) return rc;
    return wants(r, e, SQLPOOL_NOT_FOUND, sqlpool_index_set_check(r->pool, &set, reports, e));
}
static const step index_steps[] = {
    {"index_set_check", step_index_set_check},
    {"index_set_create", step_index_set_create},
    {"index_set_refused", step_index_set_refused},
    {"index_set_drop", step_index_set_drop},
    {NULL, NULL},
};

/*---- schedules ----*/

static int task_fn(sqlpool *pool, const sqlpool_maintenance *options, void *user,
                   sqlpool_error *error) {
    (void)options;
    (void)user;
    return sqlpool_exec(pool, "INSERT INTO big VALUES('task')", SQLPOOL_NO_ARGS, error);
}
static void task_done(void *user, const sqlpool_task_state *state) {
    run *r = (run *)user;
    r->own.tasks_done++;
    if (state->result != SQLPOOL_OK && !is_nomem(state->result) &&
        state->result != SQLPOOL_ROLLED_BACK && !(state->result == SQLPOOL_TIMEOUT && r->from_on) &&
        !(state->result == SQLITE_CONSTRAINT && strstr(state->name, "check") != NULL) &&
        !(state->result == SQLITE_CORRUPT_INDEX && strstr(state->name, "check") != NULL))
        (void)fail(r, "task %s: %s: %s", state->name, sqlpool_result_name(state->result),
                   state->message);
    if ((state->result != SQLPOOL_OK) != (state->message[0] != '\0') && state->failures == 0)
        (void)fail(r, "task %s: result %d with \"%s\"", state->name, state->result, state->message);
}
enum { TASKS = 7 };
static const char *const task_names[TASKS] = {"call",        "optimize", "merge", "vacuum",
                                              "quick check", "check",    "backup"};
static int schedule(run *r, bool keep_state, sqlpool_error *e) {
    sqlpool_schedule_config config = {0};
    sqlpool_task tasks[TASKS];
    int i;
    memset(tasks, 0, sizeof tasks);
    for (i = 0; i < TASKS; i++) {
        tasks[i].name = task_names[i];
        tasks[i].kind = i;
        tasks[i].interval_s = 3600;
    }
    tasks[0].fn = task_fn;
    tasks[4].io_bytes_per_s = 1 << 20;
    tasks[SQLPOOL_TASK_INTEGRITY_CHECK].path = "care.look";
    tasks[SQLPOOL_TASK_BACKUP].path = "care.bak";
    tasks[SQLPOOL_TASK_BACKUP].keep = 1;
    config.tasks = tasks;
    config.count = TASKS;
    config.keep_state = keep_state;
    config.user = r;
    config.done_fn = task_done;
    return sqlpool_schedule(r->pool, &config, e);
}
static int step_schedule(run *r, sqlpool_error *e) {
    const int rc = schedule(r, true, e);
    if (rc == SQLPOOL_OK) r->own.has_schedule = true;
    return rc;
}
/*  Each by its name: OK is a run more in the state, and what it makes is there. */
static int step_schedule_run(run *r, sqlpool_error *e) {
    sqlpool_task_state states[TASKS];
    int i, rc;
    if (!r->own.has_schedule) return SQLPOOL_OK;
    for (i = 0; i < TASKS; i++) {
        const int64_t tasks = look(r, "SELECT count(*) FROM big WHERE x = 'task'");
        int64_t runs;
        if ((rc = sqlpool_schedule_state(r->pool, states, TASKS)) != TASKS) return bare(e, rc);
        runs = states[i].runs;
        if (i == SQLPOOL_TASK_BACKUP) (void)unlink("care.bak");
        rc = sqlpool_schedule_run(r->pool, task_names[i], e);
        if (is_there("care.look") || is_there("care.look-partial") || is_there("care.bak-partial"))
            return fail(r, "task %s: a partial is left", task_names[i]);
        if (i == 0 &&
            look(r, "SELECT count(*) FROM big WHERE x = 'task'") != tasks + (rc == SQLPOOL_OK))
            return fail(r, "task %s returned %s and did otherwise", task_names[i],
                        sqlpool_result_name(rc));
        if (i == SQLPOOL_TASK_BACKUP && is_there("care.bak") != (rc == SQLPOOL_OK))
            return fail(r, "task %s returned %s and did otherwise", task_names[i],
                        sqlpool_result_name(rc));
        if (i == SQLPOOL_TASK_QUICK_CHECK) rc = wants(r, e, SQLITE_CONSTRAINT, rc);
        if (i == SQLPOOL_TASK_INTEGRITY_CHECK) rc = wants(r, e, SQLITE_CORRUPT_INDEX, rc);
        if (rc != SQLPOOL_OK) return rc;
        if (sqlpool_schedule_state(r->pool, states, TASKS) != TASKS || states[i].runs != runs + 1)
            return fail(r, "task %s has run and does not say so", task_names[i]);
    }
    return wants(r, e, SQLPOOL_NOT_FOUND, sqlpool_schedule_run(r->pool, "none", e));
}
/*  All are due again, and again, in ticks. */
static int step_schedule_tick(run *r, sqlpool_error *e) {
    int i, rc;
    const int done = r->own.tasks_done;
    if (!r->own.has_schedule) return SQLPOOL_OK;
    rc = schedule(r, false, e);
    if (rc != SQLPOOL_OK) return rc; /* the one before goes on */
    for (i = 0; i < TASKS; i++) {
        sim_clock_advance(&r->clock, INT64_C(2000000000));
        if ((rc = sqlpool_tick(r->pool, 100000)) != SQLPOOL_OK) return bare(e, rc);
    }
    if (r->own.tasks_done == done) return fail(r, "no tick runs a task");
    rc = sqlpool_schedule(r->pool, NULL, e);
    if (rc != SQLPOOL_OK) return rc;
    r->own.has_schedule = false;
    return sqlpool_schedule_state(r->pool, NULL, 0) == 0 ? SQLPOOL_OK
                                                         : fail(r, "the schedule is not gone");
}
static const step schedule_steps[] = {
    {"schedule", step_schedule},
    {"schedule_run", step_schedule_run},
    {"schedule", step_schedule}, /* with what the table knows now */
    {NULL, NULL},
};
static const step tick_steps[] = {
    {"schedule", step_schedule},
    {"schedule_tick", step_schedule_tick},
    {NULL, NULL},
};

/*---- reports ----*/

static int keep_piece(void *user, const char *text, size_t bytes) {
    run *r = (run *)user;
    size_t i;
    for (i = 0; i < bytes; i++, r->own.bytes++) {
        const size_t end = sizeof r->own.last - 2;
        if (r->own.bytes < sizeof r->own.first - 1) r->own.first[r->own.bytes] = text[i];
        memmove(r->own.last, r->own.last + 1, end);
        r->own.last[end] = text[i];
    }
    return 0;
}
/*  A report comes whole or not at all. */
static int step_report(run *r, sqlpool_error *e) {
    static const char *const firsts[] = {"", "{", "#", "#", "<!DOCTYPE", "{"};
    static const char *const lasts[] = {"\n", "}\n", "\n", "# EOF\n", "</html>\n", "}\n"};
    int i, rc;
    for (i = 0; i < SQLPOOL_REPORT_FORMAT_COUNT; i++) {
        r->own.bytes = 0;
        memset(r->own.first, 0, sizeof r->own.first);
        memset(r->own.last, ' ', sizeof r->own.last - 1);
        rc = sqlpool_report(r->pool, (sqlpool_report_format)i, keep_piece, r, e);
        if (rc != SQLPOOL_OK && r->own.bytes != 0)
            return fail(r, "report %d failed after %zu bytes", i, r->own.bytes);
        if (rc != SQLPOOL_OK) return rc;
        if (r->own.bytes < 500 || strncasecmp(r->own.first, firsts[i], strlen(firsts[i])) != 0 ||
            strcmp(r->own.last + strlen(r->own.last) - strlen(lasts[i]), lasts[i]) != 0)
            return fail(r, "report %d: \"%s\" ... \"%s\"", i, r->own.first, r->own.last);
    }
    return SQLPOOL_OK;
}

/*  What reports are about: a lease with an open transaction, a slow cursor, a statement again and
    again, an error. */
static int step_busy(run *r, sqlpool_error *e) {
    sqlpool_rows rows;
    sqlpool_conn conn;
    int64_t value;
    int i, rc;
    rc = sqlpool_query(r->pool, &rows, "SELECT id FROM child WHERE v > ? AND id <> ?",
                       SQLPOOL_ARGS(1, "slow"), e);
    if (rc == SQLPOOL_OK) {
        while (sqlpool_rows_next(&rows)) sim_clock_advance(&r->clock, 5000000);
    }
    rc = close_rows(&rows, rc, e);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool_conn_acquire(r->pool, SQLPOOL_READ, &conn, e);
    if (rc != SQLPOOL_OK) return rc;
    for (i = 0; i < 3 && rc == SQLPOOL_OK; i++)
        rc = sqlpool_conn_exec(&conn, "SELECT v FROM child WHERE id = ?", SQLPOOL_ARGS(i), NULL, e);
    (void)sqlpool_conn_release(&conn);
    for (i = 0; i < 4 && rc == SQLPOOL_OK; i++) {
        char sql[64];
        (void)snprintf(sql, sizeof sql, "SELECT %d + count(*) FROM t%d", i, i);
        rc = wants(r, e, SQLITE_ERROR,
                   sqlpool_query_int64(r->pool, &value, sql, SQLPOOL_NO_ARGS, e));
    }
    if (rc == SQLPOOL_OK)
        rc = sqlpool_exec(r->pool, "UPDATE child SET v = v + 1 WHERE id = ?", SQLPOOL_ARGS(1), e);
    for (i = 0; i < 3 && rc == SQLPOOL_OK; i++) {
        sim_clock_advance(&r->clock, INT64_C(11000000000));
        if ((rc = sqlpool_tick(r->pool, 100000)) != SQLPOOL_OK) return bare(e, rc);
    }
    return rc;
}
static int step_figures(run *r, sqlpool_error *e) {
    static char text[32768];
    static sqlpool_event events[50];
    static sqlpool_statement_stats statements[10];
    static sqlpool_health health;
    const int64_t bounds[] = {1000, 1000000, 1000000000};
    uint64_t counts[3];
    sqlpool_latency latency;
    sqlpool_latency_step steps[5];
    sqlpool_alert alerts[4];
    sqlpool_memory memory;
    sqlpool_conn conn;
    int i, rc;
    if ((rc = sqlpool_conn_acquire(r->pool, SQLPOOL_READ, &conn, e)) != SQLPOOL_OK) return rc;
    rc = sqlpool_status_text(r->pool, text, sizeof text); /* one is out */
    if (rc > 0) rc = sqlpool_status_json(r->pool, text, sizeof text);
    (void)sqlpool_conn_release(&conn);
    if (rc <= 0) return bare(e, rc);
    if (strlen(text) != (size_t)rc || strchr("}\n", text[rc - 1]) == NULL)
        return fail(r, "status_json: %d bytes", rc);
    for (i = 0; i < SQLPOOL_TIMING_COUNT; i++) {
        rc = sqlpool_get_latency(r->pool, (sqlpool_timing)i, i % 2 * 60, &latency);
        if (rc == SQLPOOL_OK)
            rc = sqlpool_get_histogram(r->pool, (sqlpool_timing)i, 0, bounds, counts, 3, &latency);
        if (rc != SQLPOOL_OK) return bare(e, rc);
        if ((rc = sqlpool_get_latency_steps(r->pool, (sqlpool_timing)i, steps, 5)) < 0)
            return bare(e, rc);
    }
    if ((rc = sqlpool_get_events(r->pool, events, 50)) < 0) return bare(e, rc);
    if ((rc = sqlpool_get_statements(r->pool, SQLPOOL_BY_TOTAL, statements, 10)) < 0)
        return bare(e, rc);
    if (rc == 0 && !r->from_on) return fail(r, "no statement is known");
    if ((rc = sqlpool_get_health(r->pool, &health)) != SQLPOOL_OK) return bare(e, rc);
    if (health.score < 0 || health.score > 100) return fail(r, "health is %d", health.score);
    if ((rc = sqlpool_get_alerts(r->pool, alerts, 4)) < 0) return bare(e, rc);
    if ((rc = sqlpool_get_memory(r->pool, &memory)) != SQLPOOL_OK) return bare(e, rc);
    if (memory.total_bytes <= 0) return fail(r, "memory is %lld", (long long)memory.total_bytes);
    return SQLPOOL_OK;
}
static const step report_steps[] = {
    {"busy", step_busy}, {"figures", step_figures}, {"report", step_report},
    {"busy", step_busy}, {"figures", step_figures}, {NULL, NULL},
};

/*---- backups ----*/

static int keep_bytes(void *user, const void *data, size_t bytes) {
    (void)data;
    ((run *)user)->own.bytes += bytes;
    return 0;
}
static const char rows_sql[] = "SELECT count(*) FROM child";

/*  The target is what it was or the new backup; those that are kept are whole. */
static int judge_backups(run *r, int64_t before, int64_t now, int rc) {
    const int64_t rows = is_there("care.bak") ? look_in(r, "care.bak", rows_sql) : -1;
    if (rc == SQLPOOL_OK ? rows != now : rows != before && rows != now)
        return fail(r,
                    "a backup returned %s: the target has %lld rows, had %lld, the database %lld",
                    sqlpool_result_name(rc), (long long)rows, (long long)before, (long long)now);
    if (is_there("care.bak.1") && look_in(r, "care.bak.1", rows_sql) <= 0)
        return fail(r, "the backup before is spoilt");
    if (is_there("care.bak.2")) return fail(r, "more backups than keep");
    if (is_there("care.bak-partial") || is_there("care.db-partial"))
        return fail(r, "a partial is left");
    return rc;
}
static int step_backup(run *r, sqlpool_error *e) {
    sqlpool_maintenance options = options_of(r);
    sqlpool_backup_config config = {0};
    sqlpool_backup_info info;
    const int64_t before = is_there("care.bak") ? look_in(r, "care.bak", rows_sql) : -1;
    int64_t now;
    int rc = sqlpool_exec(r->pool, "INSERT INTO child(v) VALUES(1)", SQLPOOL_NO_ARGS, e);
    if (rc != SQLPOOL_OK) return rc;
    config.keep = 2;
    config.step_pages = 5;
    options.io_bytes_per_s = 0;
    now = look(r, rows_sql);
    rc = judge_backups(r, before, now,
                       sqlpool_backup(r->pool, "care.bak", &config, &options, &info, e));
    if (rc == SQLPOOL_OK && (!info.has_metadata || info.pages <= 0))
        return fail(r, "backup: no metadata");
    return rc;
}
static int step_verify(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    sqlpool_backup_config config = {0};
    sqlpool_backup_info info;
    int rc;
    if (!is_there("care.bak")) return SQLPOOL_OK; /* memory is gone for good */
    rc = sqlpool_backup_verify(r->pool, "care.bak", NULL, &options, &info, e);
    if (rc == SQLPOOL_OK && !info.has_metadata) return fail(r, "verify: no metadata");
    if (rc != SQLPOOL_OK) return rc;
    rc = wants(r, e, SQLPOOL_TARGET, sqlpool_backup_verify(r->pool, "none", NULL, NULL, &info, e));
    if (rc == SQLPOOL_OK) /* without keep */
        rc = wants(r, e, SQLPOOL_TARGET, sqlpool_backup(r->pool, "care.bak", NULL, NULL, &info, e));
    if (rc != SQLPOOL_OK) return rc;
    r->own.bytes = 0;
    config.write_fn = keep_bytes;
    config.user = r;
    rc = sqlpool_backup(r->pool, r->journal == JOURNAL_MEMORY ? "care.stream" : NULL, &config, NULL,
                        &info, e);
    if (is_there("care.stream") || is_there("care.stream-partial") || is_there("care.db-partial"))
        return fail(r, "stream: a file is left");
    if (rc == SQLPOOL_OK && (int64_t)r->own.bytes != info.bytes)
        return fail(r, "stream: %zu bytes, not %lld", r->own.bytes, (long long)info.bytes);
    return rc;
}
/*  The newest is good and is taken, however little memory there is to look at it. */
static int step_restore_newest(run *r, sqlpool_error *e) {
    sqlpool_backup_config config = {0};
    sqlpool_backup_info info;
    int rc;
    if (!is_there("care.bak") || !is_there("care.bak.1")) return SQLPOOL_OK;
    config.or_older = true;
    rc = sqlpool_restore(r->pool, "care.bak", &config, NULL, &info, e);
    if (info.kept[0] != '\0') (void)unlink(info.kept);
    if (rc == SQLPOOL_OK && info.generation != 0)
        return fail(r, "restore: an older backup was taken, generation %d", info.generation);
    return rc;
}
/*  The newest is damaged: the one before comes back, or the database is as it was. */
static int step_restore(run *r, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    sqlpool_backup_config config = {0};
    sqlpool_backup_info info;
    int64_t older, was, is;
    int rc;
    if (!is_there("care.bak") || !is_there("care.bak.1")) return SQLPOOL_OK;
    if (!overwrite("care.bak", 3 * 1024, 1500)) return fail(r, "overwriting care.bak");
    rc = wants(r, e, SQLPOOL_BAD_BACKUP,
               sqlpool_backup_verify(r->pool, "care.bak", NULL, NULL, &info, e));
    if (rc != SQLPOOL_OK) return rc;
    rc =
        wants(r, e, SQLPOOL_BAD_BACKUP, sqlpool_restore(r->pool, "care.bak", NULL, NULL, &info, e));
    if (rc != SQLPOOL_OK) return rc;
    older = look_in(r, "care.bak.1", rows_sql);
    was = look(r, rows_sql);
    config.or_older = true;
    rc = sqlpool_restore(r->pool, "care.bak", &config, &options, &info, e);
    is = look(r, rows_sql);
    if (info.kept[0] != '\0') {
        if (look_in(r, info.kept, rows_sql) != was)
            (void)fail(r, "restore: what was replaced is not kept");
        (void)unlink(info.kept);
    }
    if (is != older && (rc == SQLPOOL_OK || is != was))
        return fail(r, "restore returned %s: %lld rows, were %lld, the backup has %lld",
                    sqlpool_result_name(rc), (long long)is, (long long)was, (long long)older);
    if (rc != SQLPOOL_OK && is != was && strstr(e->message, "was replaced, but") == NULL)
        return fail(r, "restore failed and replaced the database: %s", e->message);
    if (is_there("care.db-partial")) return fail(r, "restore: a partial is left");
    if (rc == SQLPOOL_OK && info.generation != 1)
        return fail(r, "restore: generation %d", info.generation);
    return rc;
}
static const step backup_steps[] = {
    {"backup", step_backup},
    {"backup", step_backup},
    {"backup", step_backup},
    {"verify", step_verify},
    {NULL, NULL},
};
static const step restore_steps[] = {
    /* of the backups that opened() makes */
    {"restore_newest", step_restore_newest},
    {"restore", step_restore},
    {"sizes", step_sizes},
    {NULL, NULL},
};
static const step memory_steps[] = {
    {"schema_of_maintain", step_schema_of_maintain},
    {"sizes", step_sizes},
    {"object_sizes", step_object_sizes},
    {"optimize", step_optimize},
    {"check", step_check},
    {"reindex", step_reindex},
    {"backup", step_backup},
    {"backup", step_backup},
    {"verify", step_verify},
    {NULL, NULL},
};

/*---- salvage ----*/

static const char salvage_sql[] =
    "PRAGMA page_size = 512;"
    "PRAGMA user_version = 42; PRAGMA application_id = 77;"
    "CREATE TABLE parent(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);"
    "CREATE TABLE child(\"odd \"\"name\" INTEGER REFERENCES parent(id), rowid TEXT, v, "
    "twice GENERATED ALWAYS AS (v * 2));"
    "CREATE TABLE pair(a, b, c, d, PRIMARY KEY(a, b)) WITHOUT ROWID;"
    "CREATE VIEW sums AS SELECT sum(v) AS s FROM child;"
    "CREATE UNIQUE INDEX pair_c ON pair(c);"
    "CREATE TRIGGER note AFTER INSERT ON parent BEGIN DELETE FROM child; END;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60) "
    "INSERT INTO child(\"odd \"\"name\", rowid, v) SELECT NULL, 'rowid ' || i, 100 + i FROM n;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60) "
    "INSERT INTO pair SELECT i, 'b of the pair ' || i, i * 3, 'd of the pair ' || i "
    "FROM n";

/*  Where a text is in a file that has one of it; or -1. */
static long find_text(const char *path, const char *text) {
    static char bytes[65536];
    FILE *file = fopen(path, "rb");
    const size_t got = file != NULL ? fread(bytes, 1, sizeof bytes, file) : 0;
    const char *found = got > 0 ? (const char *)memmem(bytes, got, text, strlen(text)) : NULL;
    if (file != NULL) (void)fclose(file);
    return found != NULL ? (long)(found - bytes) : -1;
}
/*  The page of a row of each table is overwritten. */
static int prepare_salvage(run *r) {
    static const char *const texts[] = {"rowid 30", "d of the pair 30"};
    int i, rc = prepare(r, r->path, "CREATE TABLE t(x)");
    if (rc == SQLITE_OK) rc = prepare(r, "care.bad", salvage_sql);
    for (i = 0; i < 2 && rc == SQLITE_OK; i++) {
        const long at = find_text("care.bad", texts[i]);
        if (at < 512 || !overwrite("care.bad", at / 512 * 512, 400)) rc = SQLITE_IOERR;
    }
    return rc;
}
static int salvage(run *r, const char *source, sqlpool_salvage_info *info, sqlpool_error *e) {
    const sqlpool_maintenance options = options_of(r);
    int rc;
    (void)unlink("care.new");
    rc = sqlpool_salvage(r->pool, source, "care.new", NULL, &options, info, e);
    if (is_there("care.new-partial")) return fail(r, "salvage: a partial is left");
    if (is_there("care.new") != (rc == SQLPOOL_OK))
        return fail(r, "salvage returned %s: %s", sqlpool_result_name(rc),
                    rc == SQLPOOL_OK ? "no file" : "a file is there");
    if (rc == SQLPOOL_OK && !is_whole(r, "care.new")) return fail(r, "salvage: not whole");
    return rc;
}
/*  What was read with all the memory there is, is read with as much as suffices. */
static int step_salvage(run *r, sqlpool_error *e) {
    static int64_t expected[8];
    static const char *const questions[] = {"SELECT count(*) FROM child",
                                            "SELECT sum(v) + sum(length(rowid)) FROM child",
                                            "SELECT count(*) FROM pair",
                                            "SELECT sum(c) FROM pair",
                                            "PRAGMA user_version",
                                            "PRAGMA application_id",
                                            "SELECT count(*) FROM sqlite_master",
                                            "SELECT s FROM sums"};
    sqlpool_salvage_info info;
    size_t i;
    const int rc = salvage(r, "care.bad", &info, e);
    if (rc != SQLPOOL_OK) return rc;
    for (i = 0; i < sizeof questions / sizeof *questions; i++) {
        const int64_t value = look_in(r, "care.new", questions[i]);
        if (r->n == 0) expected[i] = value;
        if (value != expected[i])
            return fail(r, "salvage: OK, and \"%s\" is %lld, not %lld", questions[i],
                        (long long)value, (long long)expected[i]);
    }
    if (expected[0] < 20 || expected[0] >= 60 || expected[2] < 20 || expected[2] >= 60 ||
        expected[4] != 42 || expected[5] != 77)
        return fail(r, "salvage: %lld and %lld rows", (long long)expected[0],
                    (long long)expected[2]);
    if (info.tables != 4 || info.tables_damaged != 2 || info.first_problem[0] == '\0')
        return fail(r, "salvage: %d tables, %d damaged: %s", info.tables, info.tables_damaged,
                    info.first_problem);
    return rc;
}
static int step_salvage_own(run *r, sqlpool_error *e) {
    sqlpool_salvage_info info;
    const int rc = salvage(r, NULL, &info, e);
    if (rc == SQLPOOL_OK && (info.tables != 1 || info.first_problem[0] != '\0'))
        return fail(r, "salvage: %d tables: %s", info.tables, info.first_problem);
    return rc;
}
static const step salvage_steps[] = {
    {"salvage", step_salvage}, {"salvage_own", step_salvage_own}, {NULL, NULL}};

/*---- the program ----*/

static void note_line(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    if (message[0] == '\0')
        (void)fail((run *)user, "an empty line in the log: level %d, item %d", level, item);
}
static void configure(run *r, sqlpool_config *config) {
    config->statement_cache_count = 20;
    config->log.write_fn = note_line;
    config->log.user = r;
    config->slow_ms = 1;
    config->slow_values = true;
    config->repeat_count = 2;
    config->event_count = 64;
    config->statement_count = 3; /* fewer than there are: some are dropped */
}
static int opened(run *r, sqlpool_error *e) {
    int rc = SQLPOOL_OK;
    if (r->part->steps == restore_steps) rc = step_backup(r, e);
    if (r->part->steps == restore_steps && rc == SQLPOOL_OK) rc = step_backup(r, e);
    return rc;
}
static int healed(run *r, sqlpool_error *e) {
    int64_t objects;
    int rc = sqlpool_query_int64(r->pool, &objects, "SELECT count(*) FROM sqlite_master",
                                 SQLPOOL_NO_ARGS, e);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_script(r->pool, "CREATE TABLE IF NOT EXISTS healed(x)", -1, e);
    return rc;
}
/*  What was there before is there: nothing of this workload takes rows away. */
static int check_file(run *r) {
    if (r->part->prepare_fn != prepare_maintain)
        return is_whole(r, r->path) ? 0 : fail(r, "the file is damaged");
    if (look(r, "SELECT count(*) FROM child WHERE id BETWEEN 10 AND 107") != 98)
        return fail(r, "rows are gone");
    if (can_check_tables() && /* its other tables are not sound to begin with */
        look(r, "SELECT count(*) FROM pragma_integrity_check('child') "
                "WHERE integrity_check = 'ok'") != 1)
        return fail(r, "the file is damaged");
    return 0;
}

static const part parts[] = {
    {"maintain", JOURNAL_WAL, maintain_steps, 0.12, true, prepare_maintain},
    {"vacuum", JOURNAL_WAL, vacuum_steps, 0.08, true, prepare_maintain},
    {"vacuum-delete", JOURNAL_DELETE, vacuum_steps, 0.05, true, prepare_maintain},
    {"memory", JOURNAL_MEMORY, memory_steps, 0.1, true, prepare_nothing},
    {"fts5", JOURNAL_WAL, fts5_steps, 0.1, true, prepare_fts5},
    {"migrate", JOURNAL_WAL, migrate_steps, 0.13, true, prepare_migrate},
    {"adopt", JOURNAL_WAL, adopt_steps, 0.05, true, prepare_adopt},
    {"indexes", JOURNAL_WAL, index_steps, 0.08, true, prepare_indexes},
    {"schedule", JOURNAL_WAL, schedule_steps, 0.08, true, prepare_maintain},
    {"ticks", JOURNAL_WAL, tick_steps, 0.08, true, prepare_maintain},
    {"reports", JOURNAL_WAL, report_steps, 0.05, true, prepare_maintain},
    {"backup", JOURNAL_WAL, backup_steps, 0.09, true, prepare_maintain},
    {"backup-delete", JOURNAL_DELETE, backup_steps, 0.04, true, prepare_maintain},
    {"restore", JOURNAL_WAL, restore_steps, 0.07, true, prepare_maintain},
    {"restore-delete", JOURNAL_DELETE, restore_steps, 0.04, true, prepare_maintain},
    {"salvage", JOURNAL_WAL, salvage_steps, 0.1, true, prepare_salvage},
    {NULL, 0, NULL, 0, false, NULL},
};
static const program this_program = {"care", "care.db", 7,    configure, opened,
                                     healed, NULL,      NULL, check_file};

/*---- tests ----*/

TEST(every_allocation_of_checks_and_statistics) {
    loop("maintain");
}
TEST(every_allocation_of_vacuums) {
    loop("vacuum");
}
TEST(every_allocation_of_vacuums_without_wal) {
    loop("vacuum-delete");
}
TEST(every_allocation_of_a_database_in_memory) {
    loop("memory");
}
TEST(every_allocation_of_full_text) {
    if (!sqlite3_compileoption_used("ENABLE_FTS5")) return; /* this SQLite has none */
    loop("fts5");
}
TEST(every_allocation_of_migrations) {
    loop("migrate");
}
TEST(every_allocation_of_an_adoption) {
    loop("adopt");
}
TEST(every_allocation_of_index_sets) {
    loop("indexes");
}
TEST(every_allocation_of_schedules) {
    loop("schedule");
}
TEST(every_allocation_of_tasks_in_ticks) {
    loop("ticks");
}
TEST(every_allocation_of_reports) {
    loop("reports");
}
TEST(every_allocation_of_backups) {
    loop("backup");
}
TEST(every_allocation_of_backups_without_wal) {
    loop("backup-delete");
}
TEST(every_allocation_of_restores) {
    loop("restore");
}
TEST(every_allocation_of_restores_without_wal) {
    loop("restore-delete");
}
TEST(every_allocation_of_salvage) {
    loop("salvage");
}

/*---- controls: the harness sees what it must see ----*/

TEST(control_leak_is_seen) {
    control("maintain", true, "leak");
}

TEST(control_spoilt_copy_is_seen) {
    control("vacuum", false, "the copy is another");
}

int main(int argc, char **argv) {
    const int rc = loop_begin(argc, argv, &this_program, parts);
    if (rc >= 0) return rc;
    RUN(control_leak_is_seen);
    RUN(control_spoilt_copy_is_seen);
    if (is_wanted("maintain")) RUN(every_allocation_of_checks_and_statistics);
    if (is_wanted("vacuum")) RUN(every_allocation_of_vacuums);
    if (is_wanted("vacuum-delete")) RUN(every_allocation_of_vacuums_without_wal);
    if (is_wanted("memory")) RUN(every_allocation_of_a_database_in_memory);
    if (is_wanted("fts5")) RUN(every_allocation_of_full_text);
    if (is_wanted("migrate")) RUN(every_allocation_of_migrations);
    if (is_wanted("adopt")) RUN(every_allocation_of_an_adoption);
    if (is_wanted("indexes")) RUN(every_allocation_of_index_sets);
    if (is_wanted("schedule")) RUN(every_allocation_of_schedules);
    if (is_wanted("ticks")) RUN(every_allocation_of_tasks_in_ticks);
    if (is_wanted("reports")) RUN(every_allocation_of_reports);
    if (is_wanted("backup")) RUN(every_allocation_of_backups);
    if (is_wanted("backup-delete")) RUN(every_allocation_of_backups_without_wal);
    if (is_wanted("restore")) RUN(every_allocation_of_restores);
    if (is_wanted("restore-delete")) RUN(every_allocation_of_restores_without_wal);
    if (is_wanted("salvage")) RUN(every_allocation_of_salvage);
    return test_end();
}
