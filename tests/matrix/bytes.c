/*  bytes.c - the same calls give the same results and the same file. SPDX-License-Identifier: MIT OR Unlicense

    A small program that `make matrix` builds for every target: it writes a database in every way the
    library has, reads it again, and prints what it saw and a checksum of the file. Time is virtual,
    nothing is random, and one thread does it all: so the lines that begin with "= " are the same
    whatever compiler, processor, byte order and operating system, for one version of SQLite.

      = SECTION results HASH     of all that the program read, counted and was told
      = SECTION file HASH BYTES  of the database file, byte for byte
      = SECTION content HASH     the same without the version of SQLite and the counters in its header

    One more test, without a line, has threads where the target has them: the lock hooks.

      MATRIX_NO_WAL    no "wal" section: the target has no shared memory */
#ifdef __TINYC__ /* knows no atomics, and has one thread here */
#define __ATOMIC_RELAXED 0
#define __atomic_store_n(p, v, order) ((void)(*(p) = (v)))
#define __atomic_load_n(p, order) (*(p))
#endif

#include <sqlite3.h>
#include "sqlpool.h"

#include "test.h"

#ifdef _WIN32
#include "matrix/windows.h"
#elif !defined(SQLPOOL_NO_THREADS)
#include <pthread.h>
#endif

enum { ITEMS = 400, ROUNDS = 1500, BULKS = 10, BULK_ROWS = 300, BODY_BYTES = 9000 };
enum { THREADS = 4, THREAD_WRITES = 100 };

/*---- what is printed ----*/

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count) {
    const unsigned char *p = (const unsigned char *)bytes;
    size_t i;
    for (i = 0; i < count; i++) hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}
#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

static uint64_t seen = HASH_BEGIN;

/*  Byte order is none of the results' business. */
static void see_int64(int64_t value) {
    unsigned char bytes[8];
    int i;
    for (i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)value >> (8 * i));
    seen = hash_bytes(seen, bytes, sizeof bytes);
}
static void see_text(const char *text) {
    seen = hash_bytes(seen, text, strlen(text) + 1);
}
static int64_t bits_of(double real) {
    int64_t bits;
    memcpy(&bits, &real, sizeof bits);
    return bits;
}
static void print_hash(const char *section, const char *what, uint64_t hash, long bytes) {
    printf("= %s %s %08lx%08lx", section, what, (unsigned long)(hash >> 32),
           (unsigned long)(hash & 0xffffffffu));
    if (bytes >= 0) printf(" %ld", bytes);
    printf("\n");
}

/*---- the pool ----*/

static int64_t virtual_ns = 1000000000;
static int64_t tell_time(void *user) {
    (void)user;
    return virtual_ns += 1000;
}
static void pass_time(void *user, int64_t duration_ns) {
    (void)user;
    virtual_ns += duration_ns;
}
static uint64_t dice_state;
static uint64_t next_random(void *user) {
    (void)user;
    dice_state = dice_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return dice_state >> 11;
}
static int64_t roll(int64_t bound) {
    return (int64_t)(next_random(NULL) % (uint64_t)bound);
}

static char complaint[1200];
static void note_log(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)user;
    if (level >= SQLPOOL_LEVEL_WARNING && item != SQLPOOL_LOG_SQLITE_VERSION)
        (void)snprintf(complaint, sizeof complaint, "%s", message);
}

static sqlpool_config config_of(int journal) {
    sqlpool_config config = sqlpool_config_default();
#ifdef _WIN32
    windows_hooks(&config);
#endif
    config.min_connections = 1;
    config.max_connections = 3;
    config.journal = journal;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF; /* the bytes are the same, and nobody crashes */
    config.disable_upkeep_thread = true;
    config.clock.user = NULL;
    config.clock.now_ns_fn = tell_time;
    config.clock.sleep_ns_fn = pass_time;
    config.random.next_fn = next_random;
    config.log.write_fn = note_log;
    return config;
}

static sqlpool_error error;
#define CHECK_OK(call) \
    do { \
        const int test_rc = (call); \
        if (test_rc != SQLPOOL_OK) { \
            test_fail(__FILE__, __LINE__, "%s gave %s: %s", #call, sqlpool_result_name(test_rc), \
                      error.message); \
            return; \
        } \
    } while (0)
/*  A result that is to be the same everywhere. */
#define CHECK_RC(call, expected) \
    do { \
        const int test_rc = (call); \
        see_int64(test_rc); \
        see_int64(error.outcome); \
        if (test_rc != (expected)) { \
            test_fail(__FILE__, __LINE__, "%s gave %s: %s", #call, sqlpool_result_name(test_rc), \
                      error.message); \
            return; \
        } \
    } while (0)
#define PART(call) \
    do { \
        call; \
        if (test_failed_now) return; \
    } while (0)

static void remove_files(const char *path) {
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    char name[64];
    size_t i;
    for (i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, tails[i]);
        (void)remove(name);
    }
}

/*---- what is written ----*/

static unsigned char body[BODY_BYTES];
static void fill_body(int64_t number, size_t bytes) {
    size_t i;
    for (i = 0; i < bytes; i++) body[i] = (unsigned char)(number * 31 + (int64_t)(i * i / 7) + 3);
}
static void fill_text(int64_t number, char *text, size_t bytes) {
    static const char *const parts[] = {"ab", "\xc3\xa4",        "Z", "\xe2\x82\xac", "0",
                                        " ",  "\xf0\x9f\x98\x80"};
    size_t used = 0;
    uint64_t n = (uint64_t)number * 2654435761u + 17;
    while (used + 5 < bytes) {
        const char *part = parts[n % 7];
        memcpy(text + used, part, strlen(part));
        used += strlen(part);
        n = n / 7 + (n & 1) * 1234567 + used;
    }
    text[used] = '\0';
}

static const char schema[] =
    "CREATE TABLE item(id INTEGER PRIMARY KEY, n INT, r REAL, t TEXT COLLATE NOCASE, b BLOB);"
    "CREATE INDEX item_n ON item(n, r);"
    "CREATE INDEX item_t ON item(t) WHERE n % 3 = 0;"
    "CREATE TABLE pair(a TEXT, b INT, sum INT DEFAULT 0, PRIMARY KEY(a, b)) WITHOUT ROWID;"
    "CREATE TABLE event(id INTEGER PRIMARY KEY AUTOINCREMENT, item INT REFERENCES item(id)"
    " ON DELETE CASCADE, what TEXT);"
    "CREATE INDEX event_item ON event(item);"
    "CREATE TRIGGER noted AFTER UPDATE OF n ON item WHEN new.n > old.n BEGIN"
    " INSERT INTO event(item, what) VALUES(new.id, 'up'); END;"
    "CREATE VIEW busy AS SELECT item, count(*) AS c FROM event GROUP BY item;"
    "CREATE TABLE account(id INTEGER PRIMARY KEY, sum INT CHECK(sum >= 0));"
    "INSERT INTO account VALUES(1, 100), (2, 50), (3, 0);";

static void write_values(sqlpool *pool) {
    static const int64_t integers[] = {
        0,         1,        -1,       127,       128,
        -129,      32768,    -8388609, INT32_MAX, INT64_C(140737488355328),
        INT64_MAX, INT64_MIN};
    static const double reals[] = {
        0.0,  -0.0,         0.1, -1.5, 1e308, 5e-324, 2.2250738585072014e-308, 9007199254740993.0,
        1e19, -123456.78125};
    char text[300];
    size_t i;
    for (i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        sqlpool_value v[4];
        v[0] = sqlpool_value_int64(integers[i]);
        v[1] = sqlpool_value_double(reals[i % (sizeof reals / sizeof reals[0])]);
        fill_text((int64_t)i, text, i * 20);
        v[2] = i == 3 ? sqlpool_value_text_n("a\0b", 3) : sqlpool_value_text(text);
        fill_body((int64_t)i, i * 700);
        v[3] = i == 5 ? sqlpool_value_null(NULL) : sqlpool_value_blob(body, i * 700);
        CHECK_RC(
            sqlpool_exec(pool, "INSERT INTO item(n, r, t, b) VALUES(?, ?, ?, ?)", v, 4, &error),
            SQLPOOL_OK);
    }
    for (; i < ITEMS; i++) {
        sqlpool_value v[4];
        const size_t bytes = (size_t)roll(i % 40 == 0 ? BODY_BYTES : 200);
        v[0] = sqlpool_value_int64(roll(1000) - 300);
        v[1] = sqlpool_value_double((double)(roll(4000) - 2000) * 0.125);
        fill_text((int64_t)i, text, (size_t)roll(sizeof text - 8) + 8);
        v[2] = sqlpool_value_text(text);
        fill_body((int64_t)i, bytes);
        v[3] = sqlpool_value_blob(body, bytes);
        CHECK_OK(
            sqlpool_exec(pool, "INSERT INTO item(n, r, t, b) VALUES(?, ?, ?, ?)", v, 4, &error));
    }
}

typedef struct payment {
    int64_t from, to, sum;
    int fails;
} payment;
static int pay(sqlpool_conn *conn, void *user, int attempt) {
    const payment *p = (const payment *)user;
    sqlpool_value v[2];
    int rc;
    (void)attempt;
    v[0] = sqlpool_value_int64(p->sum);
    v[1] = sqlpool_value_int64(p->to);
    rc = sqlpool_conn_exec(conn, "UPDATE account SET sum = sum + ? WHERE id = ?", v, 2, NULL, NULL);
    v[1] = sqlpool_value_int64(p->from);
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_conn_exec(conn, "UPDATE account SET sum = sum - ? WHERE id = ?", v, 2, NULL,
                               NULL);
    }
    return rc == SQLPOOL_OK && p->fails ? 4711 : rc;
}
static void write_transactions(sqlpool *pool) {
    payment p = {1, 2, 30, 0};
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, pay, &p, &error), SQLPOOL_OK);
    p.sum = 1000; /* more than there is */
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, pay, &p, &error), 275 /* CONSTRAINT_CHECK */);
    p.sum = 5;
    p.fails = 1;
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, pay, &p, &error), 4711);
    CHECK_RC(sqlpool_write(pool, pay, &p, &error), 4711);
    p.fails = 0;
    CHECK_RC(sqlpool_write(pool, pay, &p, &error), SQLPOOL_OK);
}

static void write_bulk(sqlpool *pool) {
    static const char *const columns[] = {"sum", "a", "b"};
    sqlpool_bulk_config config;
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk = NULL;
    char text[40];
    int i;
    memset(&config, 0, sizeof config);
    config.table = "pair";
    config.columns = columns;
    config.column_count = 3;
    config.key_count = 2;
    config.conflict = SQLPOOL_CONFLICT_UPDATE;
    config.batch_bytes =
        1 << 20; /* never full: what a row takes depends on the size of a pointer */
    config.batch_ms = 60000;
    CHECK_OK(sqlpool_bulk_begin(pool, &config, &bulk, &error));
    for (i = 0; i < BULK_ROWS; i++) {
        sqlpool_value v[3];
        v[0] = sqlpool_value_int64(i);
        (void)snprintf(text, sizeof text, "k%d", (int)roll(50));
        v[1] = sqlpool_value_text(text);
        v[2] = sqlpool_value_int64(roll(40));
        CHECK_OK(sqlpool_bulk_row(bulk, v, 3, &error));
    }
    memset(&progress, 0, sizeof progress);
    CHECK_OK(sqlpool_bulk_end(bulk, &progress, &error));
    see_int64(progress.rows);
    see_int64(progress.next_row);
    see_int64(progress.refused);
    see_int64(progress.changes);
}

static int told;
static void tell(void *user, const sqlpool_result *result, const sqlpool_error *why) {
    (void)user;
    told++;
    see_int64(result->last_insert_id);
    see_int64(result->changes);
    see_int64((int64_t)result->sequence);
    see_int64(why->result);
    see_int64(why->outcome);
}
static void write_submitted(sqlpool *pool) {
    static const char sql[] = "INSERT INTO event(item, what) VALUES(?, ?)";
    sqlpool_submission submission;
    sqlpool_ticket ticket;
    sqlpool_result result;
    int i;
    memset(&submission, 0, sizeof submission);
    submission.done_fn = tell;
    told = 0;
    for (i = 0; i < 200; i++) { /* each eleventh has an item that is not there */
        sqlpool_value v[2];
        v[0] = sqlpool_value_int64(i % 11 == 0 ? 1000000 + i : i % 100 + 1);
        v[1] = sqlpool_value_text("submitted");
        CHECK_OK(sqlpool_submit_with(pool, &submission, NULL, sql, v, 2, &error));
    }
    {
        sqlpool_value v[2];
        v[0] = sqlpool_value_int64(7);
        v[1] = sqlpool_value_null(NULL);
        CHECK_OK(sqlpool_submit(pool, &ticket, sql, v, 2, &error));
    }
    CHECK_OK(sqlpool_flush(pool, 0, &error));
    CHECK_INT(told, 200);
    CHECK_RC(sqlpool_ticket_wait(&ticket, 0, &result, &error), SQLPOOL_OK);
    see_int64(result.last_insert_id);
}

static void write_rounds(sqlpool *pool, bool has_log) {
    sqlpool_conn conn;
    char text[120];
    int i;
    for (i = 0; i < ROUNDS; i++) {
        const int64_t id = roll(ITEMS) + 1;
        sqlpool_value v[2];
        sqlpool_result result;
        v[1] = sqlpool_value_int64(id);
        memset(&result, 0, sizeof result);
        switch (roll(6)) {
        case 0:
            CHECK_OK(sqlpool_exec_with(pool, NULL, &result, "DELETE FROM item WHERE id = ?", &v[1],
                                       1, &error));
            break;
        case 1: {
            const size_t bytes = (size_t)roll(i % 30 == 0 ? BODY_BYTES : 300);
            fill_body(i, bytes);
            v[0] = sqlpool_value_blob(body, bytes);
            CHECK_OK(sqlpool_exec_with(pool, NULL, &result, "UPDATE item SET b = ? WHERE id = ?", v,
                                       2, &error));
            break;
        }
        case 2:
            fill_text(i, text, sizeof text);
            v[0] = sqlpool_value_text(text);
            CHECK_OK(
                sqlpool_exec_with(pool, NULL, &result,
                                  "INSERT INTO item(t, id) VALUES(?, ?) ON CONFLICT(id) DO UPDATE"
                                  " SET t = excluded.t",
                                  v, 2, &error));
            break;
        case 3:
            CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &error));
            CHECK_OK(sqlpool_conn_begin(&conn, &error));
            v[0] = sqlpool_value_int64(roll(500));
            CHECK_OK(sqlpool_conn_exec(&conn, "UPDATE item SET n = ? WHERE id = ?", v, 2, &result,
                                       &error));
            CHECK_OK(sqlpool_conn_begin(&conn, &error));
            CHECK_OK(sqlpool_conn_exec(&conn, "UPDATE item SET r = r * 2 WHERE id < ?", &v[1], 1,
                                       NULL, &error));
            CHECK_OK(sqlpool_conn_rollback(&conn, &error));
            CHECK_OK(sqlpool_conn_commit(&conn, &error));
            CHECK_OK(sqlpool_conn_release(&conn));
            break;
        default:
            v[0] = sqlpool_value_int64(roll(2000));
            CHECK_OK(sqlpool_exec_with(pool, NULL, &result,
                                       "UPDATE item SET n = n % 100000 + ? WHERE id = ?", v, 2,
                                       &error));
            break;
        }
        see_int64(result.changes);
        if (i % 500 == 499) {
            CHECK_RC(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &error),
                     has_log ? SQLPOOL_OK : SQLPOOL_UNSUPPORTED);
        }
    }
}

/*---- what is read ----*/

static void read_all(sqlpool *pool, const char *sql) {
    sqlpool_rows rows;
    int column;
    CHECK_OK(sqlpool_query(pool, &rows, sql, NULL, 0, &error));
    while (sqlpool_rows_next(&rows)) {
        for (column = 0; column < sqlpool_rows_column_count(&rows); column++) {
            const sqlpool_value v = sqlpool_rows_value(&rows, column);
            const char *name = sqlpool_rows_name(&rows, column);
            CHECK(name != NULL);
            see_text(name);
            see_int64(v.type);
            see_int64((int64_t)v.size);
            if (v.type == SQLPOOL_TYPE_INT64) see_int64(v.as.integer);
            if (v.type == SQLPOOL_TYPE_DOUBLE) see_int64(bits_of(v.as.real));
            if (v.type == SQLPOOL_TYPE_TEXT) seen = hash_bytes(seen, v.as.text, v.size);
            if (v.type == SQLPOOL_TYPE_BLOB) seen = hash_bytes(seen, v.as.blob, v.size);
        }
    }
    CHECK_OK(sqlpool_rows_close(&rows, &error));
}
static void read_everything(sqlpool *pool) {
    static const char *const queries[] = {
        "SELECT * FROM item ORDER BY id",
        "SELECT t, count(*), sum(n), total(r) FROM item WHERE n % 3 = 0 GROUP BY substr(t, 1, 2)"
        " ORDER BY 1, 2, 3, 4",
        "SELECT a, b, sum FROM pair ORDER BY b, a",
        "SELECT item, c FROM busy ORDER BY c DESC, item",
        "SELECT group_concat(what, ',') FROM (SELECT what FROM event ORDER BY id)",
        "SELECT id, sum FROM account ORDER BY id",
        "SELECT seq FROM sqlite_sequence",
        "WITH RECURSIVE f(a, b) AS (SELECT 0, 1 UNION ALL SELECT b, a + b FROM f LIMIT 80)"
        " SELECT a FROM f",
        "SELECT hex(upper(quote(b))), typeof(t), length(t) FROM item ORDER BY n, id LIMIT 20",
        "SELECT type, name, sql FROM sqlite_master ORDER BY name",
    };
    static const struct {
        const char *sql;
        int rc;
    } bad[] = {
        {"SELECT nothing FROM item", 1},
        {"INSERT INTO item(id) VALUES(1), (1)", 1555}, /* CONSTRAINT_PRIMARYKEY */
        {"INSERT INTO event(item) VALUES(-5)", 787},   /* CONSTRAINT_FOREIGNKEY */
        {"UPDATE account SET sum = -1", 275},          /* CONSTRAINT_CHECK */
        {"SELECT 1; SELECT 2", SQLPOOL_TRAILING},
        {"-- nothing", SQLPOOL_EMPTY},
        {"PRAGMA journal_mode = OFF", SQLPOOL_REFUSED},
        {"SELECT ?", SQLPOOL_ARGUMENTS},
    };
    sqlpool_stats stats;
    size_t i;
    for (i = 0; i < sizeof queries / sizeof queries[0]; i++) PART(read_all(pool, queries[i]));
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_RC(sqlpool_exec(pool, bad[i].sql, NULL, 0, &error), bad[i].rc);
        see_text(sqlpool_result_name(error.result));
    }
    CHECK_OK(sqlpool_get_stats(pool, &stats));
    see_int64((int64_t)stats.commits);
    see_int64((int64_t)stats.submitted);
    see_int64((int64_t)stats.misuses);
    see_int64(stats.used);
}

/*---- one section ----*/

static void print_file(const char *section, const char *path) {
    static unsigned char bytes[8192];
    FILE *file = fopen(path, "rb");
    uint64_t hash = HASH_BEGIN, content = HASH_BEGIN;
    size_t got;
    long size = 0;
    CHECK(file != NULL);
    while ((got = fread(bytes, 1, sizeof bytes, file)) > 0) {
        hash = hash_bytes(hash, bytes, got);
        if (size == 0 && got >= 100) { /* change counter; what it was for, and SQLite's version */
            memset(bytes + 24, 0, 4);
            memset(bytes + 92, 0, 8);
        }
        content = hash_bytes(content, bytes, got);
        size += (long)got;
    }
    CHECK(fclose(file) == 0 && size > 100000);
    print_hash(section, "file", hash, size);
    print_hash(section, "content", content, -1);
}

static void write_section(const char *section, int journal) {
    const sqlpool_config config = config_of(journal);
    char path[40];
    sqlpool *pool = NULL;
    int64_t count = 0;
    int i;
    (void)snprintf(path, sizeof path, "%s.db", section);
    remove_files(path);
    seen = HASH_BEGIN;
    dice_state = 1;
    complaint[0] = '\0';
    CHECK_OK(sqlpool_open(&pool, path, &config, &error));
    CHECK_OK(sqlpool_script(pool, schema, -1, &error));
    PART(write_values(pool));
    PART(write_transactions(pool));
    for (i = 0; i < BULKS; i++) PART(write_bulk(pool));
    PART(write_submitted(pool));
    PART(write_rounds(pool, journal == SQLPOOL_JOURNAL_WAL));
    PART(read_everything(pool));
    CHECK_OK(sqlpool_close(pool, &error));
    /* and by a pool that finds the file as it is */
    CHECK_OK(sqlpool_open(&pool, path, &config, &error));
    PART(read_everything(pool));
    CHECK_OK(sqlpool_query_int64(pool, &count,
                                 "SELECT count(*) FROM pragma_integrity_check"
                                 " WHERE integrity_check <> 'ok'",
                                 NULL, 0, &error));
    CHECK_INT(count, 0);
    CHECK_OK(sqlpool_close(pool, &error));
    CHECK_STR(complaint, "");
    print_hash(section, "results", seen, -1);
    print_file(section, path);
}

#ifndef MATRIX_NO_WAL
TEST(a_file_with_a_log_is_written_and_read) {
    write_section("wal", SQLPOOL_JOURNAL_WAL);
}
#endif
TEST(a_file_with_a_journal_is_written_and_read) {
    write_section("delete", SQLPOOL_JOURNAL_DELETE);
}

TEST(a_database_in_memory_is_written_and_read) {
    const sqlpool_config config = config_of(SQLPOOL_JOURNAL_WAL);
    sqlpool *pool = NULL;
    int i;
    seen = HASH_BEGIN;
    dice_state = 1;
    CHECK_OK(sqlpool_open(&pool, ":memory:", &config, &error));
    CHECK_OK(sqlpool_script(pool, schema, -1, &error));
    PART(write_values(pool));
    PART(write_transactions(pool));
    for (i = 0; i < BULKS; i++) PART(write_bulk(pool));
    PART(read_everything(pool));
    CHECK_OK(sqlpool_close(pool, &error));
    print_hash("memory", "results", seen, -1);
}

TEST(every_value_comes_back_bit_for_bit) {
    static const double reals[] = {0.1, -0.0, 1e308, 5e-324, 9007199254740993.0, -1.0 / 3};
    const sqlpool_config config = config_of(SQLPOOL_JOURNAL_DELETE);
    sqlpool *pool = NULL;
    int64_t integer = 0;
    size_t i;
    int shift;
    remove_files("values.db");
    CHECK_OK(sqlpool_open(&pool, "values.db", &config, &error));
    CHECK_OK(sqlpool_script(pool, "CREATE TABLE v(x)", -1, &error));
    for (shift = 0; shift < 64; shift++) {
        const int64_t given = (int64_t)(UINT64_C(0x8123456789abcdef) >> shift);
        sqlpool_value v = sqlpool_value_int64(given);
        CHECK_OK(sqlpool_exec(pool, "DELETE FROM v", NULL, 0, &error));
        CHECK_OK(sqlpool_exec(pool, "INSERT INTO v VALUES(?)", &v, 1, &error));
        CHECK_OK(sqlpool_query_int64(pool, &integer, "SELECT x FROM v", NULL, 0, &error));
        CHECK_INT(integer, given);
    }
    for (i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        sqlpool_value v = sqlpool_value_double(reals[i]);
        double real = 4711;
        CHECK_OK(sqlpool_exec(pool, "DELETE FROM v", NULL, 0, &error));
        CHECK_OK(sqlpool_exec(pool, "INSERT INTO v VALUES(?)", &v, 1, &error));
        CHECK_OK(sqlpool_query_double(pool, &real, "SELECT x FROM v", NULL, 0, &error));
        if (reals[i] != 0)
            CHECK_INT(bits_of(real), bits_of(reals[i])); /* SQLite stores -0.0 as 0 */
    }
    CHECK_OK(sqlpool_close(pool, &error));
}

/*---- threads ----*/

#ifndef SQLPOOL_NO_THREADS
static sqlpool *shared;
static void count_up(void *user) {
    sqlpool_error own;
    int i;
    for (i = 0; i < THREAD_WRITES; i++) {
        const bool is_submitted = i % 4 == 3;
        const char *sql = "UPDATE account SET sum = sum + 1 WHERE id = 1";
        const int rc = is_submitted ? sqlpool_submit(shared, NULL, sql, NULL, 0, &own)
                                    : sqlpool_exec(shared, sql, NULL, 0, &own);
        int64_t sum = -1;
        if (rc != SQLPOOL_OK ||
            sqlpool_query_int64(shared, &sum, "SELECT sum FROM account WHERE id = 1", NULL, 0,
                                &own) != SQLPOOL_OK ||
            sum < 100) {
            test_fail(__FILE__, __LINE__, "thread: %d, sum %d: %s", rc, (int)sum, own.message);
            return;
        }
    }
    (void)user;
}
#ifndef _WIN32
static void *thread_main(void *user) {
    count_up(user);
    return NULL;
}
#endif
static void run_threads(void) {
#ifdef _WIN32
    void *threads[THREADS];
    int i;
    for (i = 0; i < THREADS; i++)
        CHECK(windows_thread_create(NULL, &threads[i], count_up, NULL) == 0);
    for (i = 0; i < THREADS; i++) windows_thread_join(NULL, threads[i]);
#else
    pthread_t threads[THREADS];
    int i;
    for (i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, thread_main, NULL) == 0);
    for (i = 0; i < THREADS; i++) (void)pthread_join(threads[i], NULL);
#endif
}
TEST(threads_share_a_pool_with_its_own_threads) {
    sqlpool_config config = sqlpool_config_default();
    int64_t sum = 0;
#ifdef _WIN32
    windows_hooks(&config);
#endif
#ifdef MATRIX_NO_WAL
    config.journal = SQLPOOL_JOURNAL_DELETE;
#endif
    config.max_connections = 3;
    config.acquire_timeout_ms = 60000;
    remove_files("threads.db");
    CHECK_OK(sqlpool_open(&shared, "threads.db", &config, &error));
    CHECK_OK(sqlpool_script(shared, schema, -1, &error));
    PART(run_threads());
    CHECK_OK(sqlpool_flush(shared, 60000, &error));
    CHECK_OK(
        sqlpool_query_int64(shared, &sum, "SELECT sum FROM account WHERE id = 1", NULL, 0, &error));
    CHECK_INT(sum, 100 + THREADS * THREAD_WRITES);
    CHECK_OK(sqlpool_close(shared, &error));
}
#endif

int main(void) {
    printf("= SQLite %s\n", sqlite3_libversion());
    RUN(every_value_comes_back_bit_for_bit);
#ifndef MATRIX_NO_WAL
    RUN(a_file_with_a_log_is_written_and_read);
#endif
    RUN(a_file_with_a_journal_is_written_and_read);
    RUN(a_database_in_memory_is_written_and_read);
#ifndef SQLPOOL_NO_THREADS
    RUN(threads_share_a_pool_with_its_own_threads);
#endif
    return test_end();
}
