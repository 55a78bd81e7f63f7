/*  file.c - fuzz: hostile database files. Opening, reading, checking, writing and closing one
    through a pool ends with results that are named, and nothing is left; what is read of a sound
    one is what plain SQLite reads (of others that depends on what its cache holds); `untrusted`
    lets no function of the program run that only the schema calls.
    SPDX-License-Identifier: MIT OR Unlicense

    An input is a database image; or lines: a digit for one of the images made here, one for the
    settings (1 untrusted, 2 read-only), then changes to it: "OFFSET HEX", with a w before it in
    the log, "c SIZE" and "wc SIZE" to cut. */
#include "fuzz/fuzz.h"

/* clang-format off */
static const char *const fuzz_words[] = {
    "\n", "00\n", "10\n", "11\n", "20\n", "22\n", "30\n", "31\n", "\n16 0200", "\n18 0101",
    "\n18 0202",
    "\n28 0000ffff", "\n32 00000003", "\n44 00000009", "\n52 00000001", "\n56 00000003",
    "\n100 0d", "\n100 05",
    "\n103 ffff", "\n105 0000", "\n108 00000001", "\n512 0d", "\n512 00", "\n1024 ff", "\nc 511",
    "\nc 1024",
    "\nw0 377f0682", "\nw8 00000200", "\nw24 00000001", "\nw28 00000000", "\nwc 31", "\nwc 600",
    "ff", "7f",
    "CREATE VIEW", "CREATE TABLE", "danger(", "sqlite_master", NULL};
static const char *const fixed_seeds[] = {
    "00\n", "01\n", "02\n", "10\n", "20\n", "21\n", "22\n", "30\n", "00\n28 00000001\nc 700",
    "00\n100 05",
    "00\n105 0003\n108 00ff", "00\n20 ff", "00\n512 0d0000\n520 ffff", "20\nw24 00000001",
    "20\nwc 1000",
    "20\nw40 0000", "30\n32 00000001\n36 00000009", "00\n0 00", "00\nc 0", "00\n56 00000002",
    "10\n60 ff"};
static const char *const schemas[] = {
    "CREATE TABLE a(x INTEGER PRIMARY KEY, y);CREATE INDEX ay ON a(y);CREATE TABLE b(k PRIMARY "
    "KEY, v)"
    " WITHOUT ROWID;INSERT INTO a VALUES(1,'one'),(2,zeroblob(700)),(9,2.5);INSERT INTO b "
    "VALUES('k',1);",
    "CREATE TABLE a(x, y CHECK(danger(1)), z DEFAULT(danger(2)), g AS (danger(x)));"
    "CREATE TABLE b(v);CREATE VIEW v AS SELECT danger(v) FROM b;INSERT INTO b VALUES(1);"
    "CREATE TRIGGER t AFTER INSERT ON b BEGIN INSERT INTO a(x) VALUES(danger(4)); END;"
    "CREATE INDEX i ON b(danger(v));",
    "PRAGMA journal_mode=WAL;CREATE TABLE a(x,y);INSERT INTO a VALUES(1,'in the log');"
    "PRAGMA wal_checkpoint;INSERT INTO a VALUES(2,'later');CREATE TABLE b(v);",
    "PRAGMA auto_vacuum=FULL;CREATE TABLE a(x,y);CREATE TABLE b(v);CREATE TABLE c(d);"
    "INSERT INTO a VALUES(1,zeroblob(300));DROP TABLE c;PRAGMA user_version=7;"};
/* clang-format on */

enum { IMAGES = LENGTH(schemas), MOST_IMAGE = 16384 };
typedef struct image {
    uint8_t db[MOST_IMAGE], wal[MOST_IMAGE];
    size_t db_bytes, wal_bytes;
} image;
static image images[IMAGES];
static int danger_calls;
static bool may_be_dangerous;

static void danger(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    danger_calls++;
    sqlite3_result_value(context, values[0]);
}
static int add_danger(sqlite3 *db) {
    return sqlite3_create_function(db, "danger", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                   danger, NULL, NULL);
}
static int on_connect(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    (void)user;
    return add_danger(sqlpool_conn_db(&lease));
}

static size_t read_file(const char *path, uint8_t *data) {
    FILE *file = fopen(path, "rb");
    size_t bytes = 0;
    if (file == NULL) return 0;
    bytes = fread(data, 1, MOST_IMAGE, file);
    (void)fclose(file);
    return bytes;
}
static void write_file(const char *path, const uint8_t *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    FUZZ_CHECK(file != NULL && fwrite(data, 1, bytes, file) == bytes);
    (void)fclose(file);
}
static void make_images(void) {
    static const char path[] = "image.db";
    int i;
    if (images[0].db_bytes > 0) return;
    for (i = 0; i < IMAGES; i++) {
        sqlite3 *db;
        sim_remove_database(path);
        db = fuzz_plain(path, "PRAGMA page_size=512;PRAGMA synchronous=OFF");
        FUZZ_CHECK(add_danger(db) == SQLITE_OK);
        if (sqlite3_exec(db, schemas[i], NULL, NULL, NULL) != SQLITE_OK)
            FUZZ_FAIL("%s: %s", schemas[i], sqlite3_errmsg(db));
        images[i].db_bytes = read_file(path, images[i].db);
        images[i].wal_bytes = read_file("image.db-wal", images[i].wal);
        (void)sqlite3_close(db);
        sim_remove_database(path);
    }
}
static void fuzz_seeds(void) {
    size_t i;
    make_images();
    for (i = 0; i < LENGTH(fixed_seeds); i++) fuzz_seed_text(fixed_seeds[i]);
    for (i = 0; i < IMAGES; i++)
        if (images[i].db_bytes <= FUZZ_MOST_BYTES) fuzz_seed(images[i].db, images[i].db_bytes);
}
static void fuzz_start(void) {
    make_images();
}

/*---- an input ----*/

static int hex_of(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
static void change(image *m, const char *line) {
    const bool is_wal = *line == 'w';
    uint8_t *data = is_wal ? m->wal : m->db;
    size_t *bytes = is_wal ? &m->wal_bytes : &m->db_bytes;
    unsigned long at;
    char *rest;
    if (is_wal) line++;
    if (*line == 'c') {
        at = strtoul(line + 1, NULL, 10);
        if (at < *bytes) *bytes = at;
        return;
    }
    at = strtoul(line, &rest, 10);
    if (*rest == ' ') rest++;
    for (; at < *bytes && hex_of(rest[0]) >= 0 && hex_of(rest[1]) >= 0; rest += 2)
        data[at++] = (uint8_t)(hex_of(rest[0]) * 16 + hex_of(rest[1]));
}
/*  Returns the settings. */
static unsigned read_image(const uint8_t *data, size_t bytes, image *m) {
    fuzz_reader r = {data, data + bytes};
    unsigned which, settings;
    if (bytes > 16 && memcmp(data, "SQLite format 3", 16) == 0) {
        memcpy(m->db, data, bytes);
        m->db_bytes = bytes;
        m->wal_bytes = 0;
        return (unsigned)bytes & 3;
    }
    which = fuzz_below(&r, 10);
    settings = fuzz_byte(&r) & 3;
    *m = images[(which + 2) % 10 % IMAGES]; /* '0' % 10 is 8 */
    while (r.at < r.end) {
        char line[200];
        (void)fuzz_text(&r, line, sizeof line - 1, '\n');
        change(m, line);
    }
    return settings;
}

/*---- reading, on both sides ----*/

/* clang-format off */
static const char *const reads[] = {
    "SELECT count(*) FROM sqlite_master",
    "SELECT type,name,tbl_name,rootpage,sql FROM sqlite_master",
    "SELECT * FROM a", "SELECT x FROM a WHERE y>='o' ORDER BY y", "SELECT * FROM b",
    "SELECT * FROM v",
    "SELECT count(*), max(rowid) FROM a", "PRAGMA table_info(a)", "PRAGMA user_version",
    "SELECT * FROM a JOIN b ON x=v"};
static const char *const writes[] = {
    "INSERT INTO a(x,y) VALUES(77,'new')", "INSERT INTO b DEFAULT VALUES", "UPDATE a SET y=y||'+'",
    "INSERT INTO b(v) VALUES(5)", "DELETE FROM a WHERE x=1", "CREATE TABLE made(z)",
    "DELETE FROM b",
    "PRAGMA user_version=9", "DROP TABLE a", "INSERT INTO made VALUES(1)", "REINDEX"};
/* clang-format on */

enum { MOST_STEPS = 100 };
static int steps_left;
static int on_progress(void *user) {
    (void)user;
    return --steps_left < 0;
}
static void add_value(fuzz_dump *d, int type, const void *bytes, size_t n) {
    const char head = (char)('0' + type);
    fuzz_dump_add(d, &head, 1);
    fuzz_dump_add(d, bytes, n);
    fuzz_dump_add(d, "|", 1);
}
static int read_plain(sqlite3 *db, const char *sql, fuzz_dump *d) {
    sqlite3_stmt *statement = NULL;
    int i, rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        for (i = 0; i < sqlite3_column_count(statement); i++) {
            const void *value = sqlite3_column_blob(statement, i);
            add_value(d, sqlite3_column_type(statement, i), value,
                      (size_t)sqlite3_column_bytes(statement, i));
        }
        rc = SQLITE_OK;
    }
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}
static void check_result(int rc, const sqlpool_error *error) {
    fuzz_check_error(error, rc);
    FUZZ_CHECK(strcmp(sqlpool_result_name(rc), "unknown result") != 0);
    if (rc == SQLPOOL_MISUSE || rc == SQLITE_MISUSE || rc == SQLITE_INTERNAL)
        FUZZ_FAIL("%s: %s", sqlpool_result_name(rc), error->message);
    if (!may_be_dangerous && danger_calls != 0) FUZZ_FAIL("the schema called a function");
}
static int read_pool(sqlpool *pool, const char *sql, fuzz_dump *d) {
    static const int types[] = {SQLITE_NULL, SQLITE_INTEGER, SQLITE_FLOAT, SQLITE_TEXT,
                                SQLITE_BLOB};
    sqlpool_rows rows;
    sqlpool_error error;
    int i, rc;
    memset(&error, 0xaa, sizeof error);
    (void)sqlpool_query(pool, &rows, sql, SQLPOOL_NO_ARGS, &error);
    while (sqlpool_rows_next(&rows)) {
        for (i = 0; i < sqlpool_rows_column_count(&rows); i++) {
            const int type = types[sqlpool_rows_type(&rows, i)];
            const void *value = sqlpool_rows_blob(&rows, i);
            add_value(d, type, value, sqlpool_rows_bytes(&rows, i));
        }
    }
    rc = sqlpool_rows_close(&rows, &error);
    check_result(rc, &error);
    return rc;
}

/*---- the program ----*/

static const char path[] = "hostile.db", wal_path[] = "hostile.db-wal";

static void put(const image *m) {
    sim_remove_database(path);
    write_file(path, m->db, m->db_bytes);
    if (m->wal_bytes > 0) write_file(wal_path, m->wal, m->wal_bytes);
}

static int write_fn(sqlpool_conn *conn, void *user, int attempt) {
    (void)user;
    (void)attempt;
    (void)sqlpool_conn_exec(conn, writes[0], SQLPOOL_NO_ARGS, NULL, NULL);
    return sqlpool_conn_exec(conn, writes[2], SQLPOOL_NO_ARGS, NULL, NULL);
}
static void write_all(sqlpool *pool) {
    static const char *const columns[] = {"x", "y"};
    sqlpool_bulk_config load;
    sqlpool_bulk *bulk;
    sqlpool_error error;
    size_t i;
    int rc;
    rc = sqlpool_write(pool, write_fn, NULL, &error);
    check_result(rc, &error);
    for (i = 0; i < LENGTH(writes); i++) {
        rc = sqlpool_exec(pool, writes[i], SQLPOOL_NO_ARGS, &error);
        check_result(rc, &error);
        FUZZ_CHECK(rc != SQLPOOL_OK || error.outcome == SQLPOOL_OUTCOME_COMMITTED);
        (void)sqlpool_submit(pool, NULL, writes[i], SQLPOOL_NO_ARGS, &error);
    }
    rc = sqlpool_flush(pool, 0, &error);
    check_result(rc, &error);
    memset(&load, 0, sizeof load);
    load.table = "a";
    load.columns = columns;
    load.column_count = 2;
    load.batch_bytes = 4096;
    rc = sqlpool_bulk_begin(pool, &load, &bulk, &error);
    check_result(rc, &error);
    for (i = 0; rc == SQLPOOL_OK && i < 9; i++)
        rc = sqlpool_bulk_row(bulk, SQLPOOL_ARGS(i, "bulk"), &error);
    if (bulk != NULL) {
        rc = sqlpool_bulk_end(bulk, NULL, &error);
        check_result(rc, &error);
    }
    rc = sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &error);
    check_result(rc, &error);
}

static void run_input(const uint8_t *data, size_t bytes) {
    static image m;
    unit_pool u;
    sqlpool_config config = fuzz_config(&u, 1);
    fuzz_dump theirs[LENGTH(reads)], ours;
    int plain_rc[LENGTH(reads)], rc;
    const unsigned settings = read_image(data, bytes, &m);
    sqlite3 *plain;
    char verdict[200];
    bool is_sound;
    size_t i;
    config.untrusted = (settings & 1) != 0;
    config.read_only = (settings & 2) != 0;
    config.statement_timeout_ms = 20;
    config.events.connect_fn = on_connect;
    u.clock.step_ns = MS / 10;
    danger_calls = 0;
    may_be_dangerous = true;

    put(&m);
    plain = fuzz_plain(path, NULL);
    (void)sqlite3_db_config(plain, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_exec(plain, "PRAGMA foreign_keys=ON", NULL, NULL, NULL);
    (void)fuzz_on_key(NULL, plain);
    (void)add_danger(plain);
    sqlite3_progress_handler(plain, 1000, on_progress, NULL);
    for (i = 0; i < LENGTH(reads); i++) {
        memset(&theirs[i], 0, sizeof theirs[i]);
        steps_left = MOST_STEPS;
        plain_rc[i] = read_plain(plain, reads[i], &theirs[i]);
    }
    steps_left = MOST_STEPS;
    is_sound = sim_plain_integrity(plain, verdict, sizeof verdict) == 0;
    (void)sqlite3_close(plain);

    put(&m);
    danger_calls = 0;
    may_be_dangerous = !config.untrusted;
    memset(&u.error, 0xaa, sizeof u.error);
    rc = sqlpool_open(&u.pool, path, &config, &u.error);
    check_result(rc, &u.error);
    FUZZ_CHECK((rc == SQLPOOL_OK) == (u.pool != NULL));
    if (rc == SQLPOOL_OK && plain_rc[0] != SQLITE_OK)
        FUZZ_FAIL("it opens, and SQLite cannot read it: %d", plain_rc[0]);
    for (i = 0; rc == SQLPOOL_OK && i < LENGTH(reads); i++) {
        int read_rc;
        memset(&ours, 0, sizeof ours);
        read_rc = read_pool(u.pool, reads[i], &ours);
        if (is_sound && !config.untrusted && plain_rc[i] != SQLITE_INTERRUPT &&
            read_rc != SQLPOOL_TIMEOUT &&
            ((read_rc & 0xff) != (plain_rc[i] & 0xff) || !fuzz_same_dump(&ours, &theirs[i])))
            FUZZ_FAIL("%s: %d %.*s, SQLite %d %.*s", reads[i], read_rc, (int)ours.bytes,
                      ours.text != NULL ? ours.text : "", plain_rc[i], (int)theirs[i].bytes,
                      theirs[i].text != NULL ? theirs[i].text : "");
        free(ours.text);
    }
    for (i = 0; i < LENGTH(reads); i++) free(theirs[i].text);
    if (rc != SQLPOOL_OK) {
        fuzz_check_gone(&u);
        return;
    }
    rc = sqlpool_query_text(u.pool, verdict, sizeof verdict, "PRAGMA integrity_check",
                            SQLPOOL_NO_ARGS, &u.error);
    check_result(rc, &u.error);
    write_all(u.pool);
    FUZZ_CHECK(sqlpool_tick(u.pool, 1000) == SQLPOOL_OK);
    (void)sqlpool_recycle(u.pool);
    (void)sqlpool_status_text(u.pool, verdict, sizeof verdict);
    fuzz_close(&u);
}

static void fuzz_one(const uint8_t *data, size_t bytes) {
    const int64_t before = sqlite3_memory_used();
    run_input(data, bytes);
    if (sqlite3_memory_used() != before)
        FUZZ_FAIL("SQLite holds %lld bytes more", (long long)(sqlite3_memory_used() - before));
}

FUZZ_TARGET("file")
