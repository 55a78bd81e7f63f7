/*  names.c - fuzz: names that become SQL text or file names: the table, the columns and the name
    of a bulk load (I22), the tables of a schema that is looked at for foreign keys (I10), and the
    path. SPDX-License-Identifier: MIT OR Unlicense

    An input is lines. The first has a digit each for the kind (0 bulk, 1 foreign keys, 2 path),
    the action, the conflict, the key count, and a mask of columns that the table lacks; then the
    table, then the columns. A tab in a name stands for a newline. The oracle quotes with %w and
    asks sqlite3_table_column_metadata(), which needs no quotes. */
#include "fuzz/fuzz.h"

/* clang-format off */
static const char *const fuzz_words[] = {
    "00000\n", "01010\n", "02020\n", "00320\n", "01011\n", "02011\n", "1\n", "2\n", "\n", "a", "x",
    "\"", "\"\"", "'", "`", "[", "]", ";", "--", "/*", ")", "(", "\"; DROP TABLE a;--",
    "\") VALUES(1);--", "rowid", "main.a", "a\".\"x", "sqlite_master", "sqlite_sequence",
    "sqlpool_bulk", "excluded", "?", "?1", "\\", "%s", "%w", "\t", "\xff", "\xEF\xBB\xBF", "file:",
    "#", "&", "=", "-wal", "-journal", ".", "select", "\x7f", NULL};
static const char *const fixed_seeds[] = {
    "00010\nt\nx\ny", "00110\nt\nx\ny", "00210\nt\nx\ny", "00310\nt\nx\ny", "01010\nt\nx\ny",
    "02020\nt\nx\ny", "02010\nt\nx", "01020\nt\"u\na\"\"b\nc'd\n[e]",
    "00000\n\"; DROP TABLE a;--\n\"",
    "00000\na\nx", "00000\nselect\nfrom\nwhere",
    "00320\ntab\tle\nco`l\n\"\"\"\n]", "00000\n\xff\xfe\n\x80", "10000\nt\"x\nc\"\n--",
    "10000\n');--\n\"'\"\n`", "2\nx.db", "2\n\"", "2\nfile:x", "2\nx y#z", "2\n\xff", "00000\n\n",
    "02000\na\ny\nx", "00010\nsqlpool_bulk\nname\nrow", "00000\nmain.a\nx"};
/* clang-format on */

static void fuzz_seeds(void) {
    size_t i;
    for (i = 0; i < LENGTH(fixed_seeds); i++) fuzz_seed_text(fixed_seeds[i]);
}
static void fuzz_start(void) {}

enum { COLUMNS = 6, ROWS = 12 };

typedef struct names {
    int digits[5];
    char table[64], columns[COLUMNS][64];
    int count;
} names;

static void read_names(fuzz_reader *r, names *n) {
    char first[8];
    size_t i, length = fuzz_text(r, first, 7, '\n');
    memset(n, 0, sizeof *n);
    for (i = 0; i < length && i < LENGTH(n->digits); i++) n->digits[i] = first[i] & 7;
    (void)fuzz_text(r, n->table, 63, '\n');
    while (r->at < r->end && n->count < COLUMNS)
        (void)fuzz_text(r, n->columns[n->count++], 63, '\n');
    for (i = 0; n->table[i] != '\0'; i++)
        if (n->table[i] == '\t') n->table[i] = '\n';
}

/*---- plain SQLite ----*/

static char *add(char *text, const char *format, ...) {
    va_list list;
    char *more, *all;
    va_start(list, format);
    more = sqlite3_vmprintf(format, list);
    va_end(list);
    all = sqlite3_mprintf("%z%z", text, more);
    FUZZ_CHECK(all != NULL);
    return all;
}
static char *add_columns(char *text, const names *n, int first, int last, const char *between,
                         const char *after) {
    int i;
    for (i = first; i < last; i++)
        text = add(text, "%s\"%w\"%s", i > first ? between : "", n->columns[i], after);
    return text;
}
static bool is_missing(const names *n, int column) {
    return (n->digits[4] >> column & 1) != 0;
}
static char *create_statement(const names *n) {
    char *sql = add(NULL, "CREATE TABLE \"%w\"(", n->table);
    const int keys = n->digits[3];
    bool has_key = keys > 0 && keys <= n->count;
    int i, made = 0;
    for (i = 0; i < n->count; i++) {
        if (is_missing(n, i)) {
            if (i >= n->count - keys) has_key = false;
            continue;
        }
        sql = add(sql, "%s\"%w\"", made++ > 0 ? "," : "", n->columns[i]);
    }
    if (has_key) {
        sql = add(sql, ",UNIQUE(");
        sql = add_columns(sql, n, n->count - keys, n->count, ",", "");
        sql = add(sql, ")");
    }
    return add(sql, ")");
}
/*  One row of what the load is asked to do. */
static char *row_statement(const names *n) {
    static const char *const inserts[] = {"INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE",
                                          "INSERT"};
    const int set = n->count - n->digits[3];
    char *sql;
    int i;
    if (n->digits[1] == SQLPOOL_BULK_UPDATE) {
        sql = add(NULL, "UPDATE \"%w\" SET ", n->table);
        sql = add(add_columns(sql, n, 0, set, ",", "=?"), " WHERE ");
        return add_columns(sql, n, set, n->count, " AND ", "=?");
    }
    if (n->digits[1] == SQLPOOL_BULK_DELETE) {
        sql = add(NULL, "DELETE FROM \"%w\" WHERE ", n->table);
        return add_columns(sql, n, 0, n->count, " AND ", "=?");
    }
    sql = add(NULL, "%s INTO \"%w\"(", inserts[n->digits[2]], n->table);
    sql = add(add_columns(sql, n, 0, n->count, ",", ""), ") VALUES(?");
    for (i = 1; i < n->count; i++) sql = add(sql, ",?");
    sql = add(sql, ")");
    if (n->digits[2] != SQLPOOL_CONFLICT_UPDATE) return sql;
    sql = add_columns(add(sql, " ON CONFLICT("), n, set, n->count, ",", "");
    sql = add(sql, set > 0 ? ") DO UPDATE SET " : ") DO NOTHING");
    for (i = 0; i < set; i++)
        sql = add(sql, "%s\"%w\"=excluded.\"%w\"", i > 0 ? "," : "", n->columns[i], n->columns[i]);
    return sql;
}
static bool has_names(sqlite3 *db, const names *n) {
    int i;
    for (i = 0; i < n->count; i++) {
        if (sqlite3_table_column_metadata(db, "main", n->table, n->columns[i], NULL, NULL, NULL,
                                          NULL, NULL) != SQLITE_OK)
            return false;
    }
    return true;
}

/*  Values that meet again, and the text of the column's name. */
static sqlpool_value value_of(const names *n, int row, int column) {
    switch ((row * 3 + column) % 5) {
    case 0:
        return sqlpool_value_text(n->columns[column]);
    case 1:
        return sqlpool_value_text(n->table);
    case 2:
        return row % 2 ? sqlpool_value_null(NULL) : sqlpool_value_double(1.5);
    default:
        return sqlpool_value_int64(row % 3);
    }
}
static void bind(sqlite3_stmt *statement, int index, const sqlpool_value *v) {
    if (v->type == SQLPOOL_TYPE_TEXT) {
        (void)sqlite3_bind_text(statement, index, v->as.text, (int)v->size, SQLITE_TRANSIENT);
    } else if (v->type == SQLPOOL_TYPE_INT64) {
        (void)sqlite3_bind_int64(statement, index, v->as.integer);
    } else if (v->type == SQLPOOL_TYPE_DOUBLE) {
        (void)sqlite3_bind_double(statement, index, v->as.real);
    } else {
        (void)sqlite3_bind_null(statement, index);
    }
}

/*---- a bulk load ----*/

static int refused;
static int on_refused(void *user, int64_t row, const sqlpool_value *values,
                      const sqlpool_error *error) {
    (void)user;
    (void)values;
    FUZZ_CHECK(row >= 0 && row < ROWS);
    fuzz_check_error(error, error->result);
    refused++;
    return 0;
}

static bool is_allowed(const names *n) {
    const int action = n->digits[1], keys = n->digits[3];
    if (n->count < 1 || keys > n->count || action > SQLPOOL_BULK_DELETE) return false;
    if (n->digits[2] > SQLPOOL_CONFLICT_UPDATE) return false;
    if (n->digits[2] != SQLPOOL_CONFLICT_REFUSE && action != SQLPOOL_BULK_INSERT) return false;
    if (action == SQLPOOL_BULK_UPDATE && (keys < 1 || keys == n->count)) return false;
    return n->digits[2] != SQLPOOL_CONFLICT_UPDATE || keys >= 1;
}

static void load(unit_pool *u, sqlite3 *plain, const names *n) {
    const char *columns[COLUMNS];
    sqlpool_bulk_config config;
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk;
    sqlpool_error error;
    sqlite3_stmt *statement = NULL;
    char *sql = NULL;
    int i, row, rc, expected = SQLITE_ERROR, refusals = 0;
    int64_t changes = 0;
    for (i = 0; i < n->count; i++) columns[i] = n->columns[i];
    memset(&config, 0, sizeof config);
    config.table = n->table;
    config.columns = columns;
    config.column_count = n->count;
    config.action = n->digits[1];
    config.conflict = n->digits[2];
    config.key_count = n->digits[3];
    config.batch_bytes = 4096;
    config.refused_fn = on_refused;
    if (sqlite3_stricmp(n->table, "sqlpool_bulk") != 0) config.name = n->table;
    memset(&error, 0xaa, sizeof error);
    rc = sqlpool_bulk_begin(u->pool, &config, &bulk, &error);
    fuzz_check_error(&error, rc);
    FUZZ_CHECK((rc == SQLPOOL_OK) == (bulk != NULL));
    if (!is_allowed(n)) {
        FUZZ_CHECK(rc == SQLPOOL_MISUSE);
        return;
    }
    sql = row_statement(n);
    if (has_names(plain, n)) expected = sqlite3_prepare_v2(plain, sql, -1, &statement, NULL);
    if ((rc == SQLPOOL_OK) != (expected == SQLITE_OK))
        FUZZ_FAIL("begin gave %s (%s); SQLite: %d for %s", sqlpool_result_name(rc), error.message,
                  expected, sql);
    sqlite3_free(sql);
    if (rc != SQLPOOL_OK) return;
    FUZZ_CHECK(sqlpool_bulk_next_row(bulk) == 0);
    refused = 0;
    (void)sqlite3_exec(plain, "BEGIN", NULL, NULL, NULL);
    for (row = 0; row < ROWS; row++) {
        sqlpool_value values[COLUMNS];
        for (i = 0; i < n->count; i++) {
            values[i] = value_of(n, row, i);
            bind(statement, i + 1, &values[i]);
        }
        rc = sqlpool_bulk_row(bulk, values, n->count, &error);
        if (rc != SQLPOOL_OK) FUZZ_FAIL("row %d: %s", row, error.message);
        if (sqlite3_step(statement) == SQLITE_DONE) {
            changes += sqlite3_changes(plain);
        } else {
            refusals++;
        }
        (void)sqlite3_reset(statement);
    }
    (void)sqlite3_exec(plain, "COMMIT", NULL, NULL, NULL);
    (void)sqlite3_finalize(statement);
    rc = sqlpool_bulk_end(bulk, &progress, &error);
    if (rc != SQLPOOL_OK) FUZZ_FAIL("end: %s", error.message);
    if (refused != refusals || progress.refused != refusals)
        FUZZ_FAIL("%d rows refused, SQLite refuses %d", refused, refusals);
    FUZZ_CHECK(progress.rows == ROWS && progress.next_row == ROWS);
    if (progress.changes != changes)
        FUZZ_FAIL("%lld changes, SQLite has %lld", (long long)progress.changes, (long long)changes);
}

static const char *const schema =
    "CREATE TABLE a(x,y);CREATE TABLE b(id INTEGER PRIMARY KEY,z);"
    "INSERT INTO a VALUES(1,2),(0,'x'),('a','y'),('y','no such column');INSERT INTO b VALUES(1,1);"
    "CREATE TABLE sqlpool_bulk(name TEXT PRIMARY KEY, row INTEGER NOT NULL) WITHOUT ROWID;";

static void check_bulk(const names *n) {
    unit_pool u;
    sqlpool_config config = fuzz_config(&u, 1);
    sqlite3 *plain = fuzz_plain(":memory:", schema);
    char *create = create_statement(n);
    fuzz_dump ours, theirs;
    fuzz_open(&u, ":memory:", &config);
    FUZZ_CHECK(sqlpool_script(u.pool, schema, -1, NULL) == SQLPOOL_OK);
    if (sqlite3_exec(plain, create, NULL, NULL, NULL) == SQLITE_OK &&
        sqlpool_script(u.pool, create, -1, &u.error) != SQLPOOL_OK)
        FUZZ_FAIL("%s: %s", create, u.error.message);
    sqlite3_free(create);
    load(&u, plain, n);
    ours = fuzz_dump_of_pool(&u);
    theirs = fuzz_dump_of(plain);
    if (!fuzz_same_dump(&ours, &theirs)) {
        fuzz_print_dumps(&ours, &theirs);
        FUZZ_FAIL("the tables differ");
    }
    free(ours.text);
    free(theirs.text);
    (void)sqlite3_close(plain);
    fuzz_close(&u);
}

/*---- tables that are looked at ----*/

/*  Opening a pool changes nothing, and warns of what SQLite cannot enforce. */
static void check_foreign_keys(const names *n) {
    static const char path[] = "keys.db";
    unit_pool u;
    sqlpool_config config = fuzz_config(&u, 1);
    sqlite3 *plain;
    fuzz_dump before, after;
    char *sql = NULL;
    int i, bad = 0;
    sim_remove_database(path);
    plain = fuzz_plain(path, "PRAGMA synchronous=OFF;PRAGMA journal_mode=OFF");
    (void)sqlite3_exec(plain, schema, NULL, NULL, NULL);
    sql = sqlite3_mprintf("CREATE TABLE \"%w\"(\"%w\" UNIQUE, other)", n->table,
                          n->count > 0 ? n->columns[0] : "p");
    if (sqlite3_exec(plain, sql, NULL, NULL, NULL) != SQLITE_OK) bad = -1;
    sqlite3_free(sql);
    for (i = 1; i < n->count && bad >= 0; i++) { /* odd ones refer to what is not unique */
        sql = sqlite3_mprintf("CREATE TABLE \"%w\"(c REFERENCES \"%w\"(\"%w\"))", n->columns[i],
                              n->table, i % 2 ? "other" : n->columns[0]);
        if (sqlite3_exec(plain, sql, NULL, NULL, NULL) == SQLITE_OK) bad += i % 2;
        sqlite3_free(sql);
    }
    before = fuzz_dump_of(plain);
    (void)sqlite3_close(plain);
    fuzz_open(&u, path, &config);
    if (bad >= 0 && (n->count < 1 || sqlite3_stricmp(n->columns[0], "other") != 0) &&
        u.log.counts[SQLPOOL_LOG_FOREIGN_KEYS] != bad)
        FUZZ_FAIL("%d foreign keys reported, %d are wrong: %s",
                  u.log.counts[SQLPOOL_LOG_FOREIGN_KEYS], bad,
                  u.log.last[SQLPOOL_LOG_FOREIGN_KEYS]);
    after = fuzz_dump_of_pool(&u);
    FUZZ_CHECK(fuzz_same_dump(&before, &after));
    free(before.text);
    free(after.text);
    fuzz_close(&u);
}

/*---- a path ----*/

/*  The pool's file is the one of that name in this folder, whatever builds of SQLite make of it. */
static void check_path(const char *path) {
    unit_pool u;
    sqlpool_config config = fuzz_config(&u, 1);
    char other[400], here[80];
    const char *name;
    sqlite3 *plain = NULL;
    int rc, plain_rc;
    if (strpbrk(path, "/%?") != NULL || path[0] == '\0' || strncmp(path, ":memory:", 8) == 0)
        return;
    memset(&u.error, 0xaa, sizeof u.error);
    rc = sqlpool_open(&u.pool, path, &config, &u.error);
    fuzz_check_error(&u.error, rc);
    if (rc == SQLPOOL_OK)
        FUZZ_CHECK(sqlpool_script(u.pool, "CREATE TABLE mark(x);", -1, &u.error) == SQLPOOL_OK);
    (void)snprintf(here, sizeof here, "./%s", path);
    plain_rc = sqlite3_open_v2(here, &plain, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    (void)fuzz_on_key(NULL, plain);
    if (plain_rc == SQLITE_OK)
        plain_rc = sqlite3_exec(plain, "PRAGMA user_version=1", NULL, NULL, NULL);
    name = plain_rc == SQLITE_OK ? sqlite3_db_filename(plain, "main") : NULL;
    (void)snprintf(other, sizeof other, "%s", name != NULL ? name : "");
    if (rc == SQLPOOL_OK) {
        if (plain_rc != SQLITE_OK || other[0] == '\0')
            FUZZ_FAIL("the pool opens \"%s\", SQLite %d \"%s\"", path, plain_rc, other);
        FUZZ_CHECK(sim_plain_int64(plain, "SELECT count(*) FROM mark", -1) == 0);
    } else if (plain_rc == SQLITE_OK && other[0] != '\0') {
        FUZZ_FAIL("SQLite opens \"%s\", the pool says %s", path, u.error.message);
    }
    (void)sqlite3_close(plain);
    if (rc == SQLPOOL_OK) fuzz_close(&u);
    if (rc != SQLPOOL_OK) fuzz_check_gone(&u);
    if (other[0] != '\0') sim_remove_database(other);
}

static void fuzz_one(const uint8_t *data, size_t bytes) {
    fuzz_reader r = {data, data + bytes};
    names n;
    if (memchr(data, 0, bytes) != NULL) return;
    read_names(&r, &n);
    if (n.digits[0] == 2) {
        check_path(n.table);
    } else if (n.digits[0] == 1) {
        check_foreign_keys(&n);
    } else {
        check_bulk(&n);
    }
}

FUZZ_TARGET("names")
