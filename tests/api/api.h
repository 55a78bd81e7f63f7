/*  api.h - what the black-box tests share. SPDX-License-Identifier: MIT OR Unlicense

    Every program runs in an empty folder of its own; each test uses a database name of its own, so that
    a failed test does not pull the next one down. */
#ifndef API_H
#define API_H

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sqlpool.h"
#include "test.h"

/*  Call, with an error struct full of rubbish, and compare the result. The error must agree with it:
    the same result, a message exactly when something went wrong. */
#define CHECK_RC(call, expected, error)                                                            \
    do {                                                                                           \
        int test_rc;                                                                               \
        memset((error), 0x5a, sizeof *(error));                                                    \
        test_rc = (call);                                                                          \
        if (!api_agrees(__FILE__, __LINE__, #call, test_rc, (expected), #expected, (error))) return; \
    } while (0)
#define CHECK_OK(call, error)                                                                    \
    do {                                                                                         \
        int test_rc;                                                                             \
        memset((error), 0x5a, sizeof *(error));                                                  \
        test_rc = (call);                                                                        \
        if (!api_agrees(__FILE__, __LINE__, #call, test_rc, SQLPOOL_OK, "SQLPOOL_OK", (error))) return; \
    } while (0)

/*  For tests made of parts: end this one when a part has failed. */
#define PART(call)                                                    \
    do {                                                              \
        call;                                                         \
        if (__atomic_load_n(&test_failed_now, __ATOMIC_RELAXED)) return; \
    } while (0)

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

static inline bool api_agrees(const char *file, int line, const char *call, int rc, int expected,
                              const char *expected_text, const sqlpool_error *error) {
    char copy[sizeof error->message];
    memcpy(copy, error->message, sizeof copy);
    copy[sizeof copy - 1] = '\0';
    if (error->result == 0x5a5a5a5a) {
        test_fail(file, line, "%s gave %s (%d) and did not fill the error", call, sqlpool_result_name(rc), rc);
        return false;
    }
    /* rubbish is of 0x5a or, of a local variable that nobody set, of 0xfe or 0xaa */
    if (error->sqlite_code < 0 || error->sqlite_code > 0x50000000 || error->os_code < 0 || error->os_code > 0xffff ||
        error->sql_offset < -1 || error->sql_offset > 0x50000000 || error->attempts < 0 || error->attempts > 1000000 ||
        error->outcome < 0 || error->outcome > SQLPOOL_OUTCOME_UNKNOWN || error->waited_us < 0 ||
        error->waited_us > INT64_C(1000000000000)) {
        test_fail(file, line, "%s: the error holds rubbish: %d %d %d %d %d %lld", call, error->sqlite_code, error->os_code,
                  error->sql_offset, error->attempts, error->outcome, (long long)error->waited_us);
        return false;
    }
    if (rc != expected) {
        test_fail(file, line, "%s gave %s (%d), expected %s (%d): %s", call, sqlpool_result_name(rc), rc,
                  expected_text, expected, copy);
        return false;
    }
    if (error->result != rc) {
        test_fail(file, line, "%s gave %d but its error says %d: %s", call, rc, error->result, copy);
        return false;
    }
    if ((rc == SQLPOOL_OK) != (copy[0] == '\0')) {
        test_fail(file, line, "%s gave %s (%d) with the message \"%s\"", call, sqlpool_result_name(rc), rc, copy);
        return false;
    }
    return true;
}

static inline int64_t now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + (int64_t)t.tv_nsec / 1000000;
}

static inline void sleep_ms(int duration) {
    struct timespec t;
    t.tv_sec = duration / 1000;
    t.tv_nsec = (long)(duration % 1000) * 1000000L;
    (void)nanosleep(&t, NULL);
}

/*  Open with a configuration and an optional script; NULL marks the test failed. */
static inline sqlpool *open_pool(const char *path, const sqlpool_config *config, const char *script) {
    sqlpool *pool = NULL;
    sqlpool_error error;
    int rc = sqlpool_open(&pool, path, config, &error);
    if (rc != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "open %s: %s: %s", path, sqlpool_result_name(rc), error.message);
        return NULL;
    }
    if (script != NULL) {
        rc = sqlpool_script(pool, script, -1, &error);
        if (rc != SQLPOOL_OK) {
            test_fail(__FILE__, __LINE__, "script: %s: %s", sqlpool_result_name(rc), error.message);
            (void)sqlpool_close(pool, NULL);
            return NULL;
        }
    }
    return pool;
}

/*  A log hook: how many lines of one item there were, and the last. */
typedef struct log_ear {
    sqlpool_log_item item;
    int lines;
    sqlpool_level level;
    char last[400];
} log_ear;
static inline void log_hear(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    log_ear *t = (log_ear *)user;
    if (item != t->item) return;
    t->lines++;
    t->level = level;
    (void)snprintf(t->last, sizeof t->last, "%s", message);
}

/*  For connect_fn: a function of SQL on a connection that is being opened. */
static inline int add_function(const sqlpool_conn *conn, const char *name, int arguments,
                               void (*function)(sqlite3_context *, int, sqlite3_value **)) {
    sqlpool_conn own = *conn;
    return sqlite3_create_function(sqlpool_conn_db(&own), name, arguments, SQLITE_UTF8, NULL, function,
                                   NULL, NULL);
}

/*  A pool of one writer and `readers` readers, nothing on top. */
static inline sqlpool_config config_of(int readers) {
    sqlpool_config config = sqlpool_config_default();
    config.min_connections = 1;
    config.max_connections = readers + 1;
    config.reserve_connections = SQLPOOL_OFF;
    return config;
}

/*  Pools that differ from the usual one in one thing each; 0 does not, and may be in memory. */
static inline sqlpool_config config_of_kind(int kind) {
    sqlpool_config config = sqlpool_config_default();
    if (kind == 1) config.journal = SQLPOOL_JOURNAL_DELETE;
    if (kind == 2) config.min_connections = config.max_connections = 1;
    if (kind == 3) config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    if (kind == 4) config.disable_upkeep_thread = true;
    if (kind == 5) config.untrusted = true;
    return config;
}

/*  Options of maintenance whose progress is told. */
enum { NONE_INSIDE = 1000000 }; /* ms: only between two steps */
static inline sqlpool_maintenance told_to(int (*fn)(void *, const sqlpool_progress *), void *user,
                                          int progress_ms) {
    sqlpool_maintenance options;
    memset(&options, 0, sizeof options);
    options.progress_fn = fn;
    options.user = user;
    options.progress_ms = progress_ms;
    return options;
}

static inline int64_t ask(sqlpool *pool, const char *sql) {
    int64_t value = 0;
    sqlpool_error error;
    const int rc = sqlpool_query_int64(pool, &value, sql, SQLPOOL_NO_ARGS, &error);
    if (rc != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "%s: %s: %s", sql, sqlpool_result_name(rc), error.message);
        return INT64_MIN;
    }
    return value;
}

static inline sqlpool_stats stats_of(sqlpool *pool) {
    sqlpool_stats stats;
    memset(&stats, 0, sizeof stats);
    if (sqlpool_get_stats(pool, &stats) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "no statistics");
    return stats;
}

/*  Until somebody waits for the writer, or twenty seconds have passed. */
static inline bool await_waiting(sqlpool *pool) {
    const int64_t end = now_ms() + 20000;
    while (stats_of(pool).waiting_write == 0 && now_ms() < end) sleep_ms(1);
    return stats_of(pool).waiting_write != 0;
}

/*  The first column of the first row on a lease, as an integer or as text. */
static inline int64_t ask_conn(sqlpool_conn *conn, const char *sql) {
    sqlpool_rows rows;
    sqlpool_error error;
    int64_t value = INT64_MIN;
    int rc = sqlpool_conn_query(conn, &rows, sql, SQLPOOL_NO_ARGS, &error);
    if (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) value = sqlpool_rows_int64(&rows, 0);
    rc = rc == SQLPOOL_OK ? sqlpool_rows_close(&rows, &error) : rc;
    if (rc != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "%s: %s: %s", sql, sqlpool_result_name(rc), error.message);
        return INT64_MIN;
    }
    return value;
}
static inline void ask_conn_text(sqlpool_conn *conn, const char *sql, char *buffer, size_t buffer_bytes) {
    sqlpool_rows rows;
    sqlpool_error error;
    int rc = sqlpool_conn_query(conn, &rows, sql, SQLPOOL_NO_ARGS, &error);
    buffer[0] = '\0';
    if (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) {
        const char *text = sqlpool_rows_text(&rows, 0);
        (void)snprintf(buffer, buffer_bytes, "%s", text == NULL ? "(null)" : text);
    }
    rc = rc == SQLPOOL_OK ? sqlpool_rows_close(&rows, &error) : rc;
    if (rc != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "%s: %s: %s", sql, sqlpool_result_name(rc), error.message);
}

/*  What a connection answers to these, a line each. */
static inline void ask_conn_all(sqlpool_conn *conn, const char *const *questions, int count,
                                char *out, size_t bytes) {
    char value[100];
    size_t used = 0;
    int i;
    for (i = 0; i < count && used < bytes; i++) {
        ask_conn_text(conn, questions[i], value, sizeof value);
        used += (size_t)snprintf(out + used, bytes - used, "%s: %s\n", questions[i], value);
    }
}

/*  SQLite without the pool: the other process of most tests. */
static inline sqlite3 *raw_open(const char *path) {
    sqlite3 *db = NULL;
    if (sqlite3_open(path, &db) != SQLITE_OK) {
        test_fail(__FILE__, __LINE__, "sqlite3_open %s: %s", path, sqlite3_errmsg(db));
        (void)sqlite3_close(db);
        return NULL;
    }
    (void)sqlite3_busy_timeout(db, 2000);
    return db;
}
static inline bool raw_exec(sqlite3 *db, const char *sql) {
    char *message = NULL;
    const int rc = sqlite3_exec(db, sql, NULL, NULL, &message);
    if (rc != SQLITE_OK) test_fail(__FILE__, __LINE__, "raw %s: %d: %s", sql, rc, message);
    sqlite3_free(message);
    return rc == SQLITE_OK;
}
static inline int64_t raw_ask(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement = NULL;
    int64_t value = INT64_MIN;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        value = sqlite3_column_int64(statement, 0);
    } else {
        test_fail(__FILE__, __LINE__, "raw %s: %s", sql, sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(statement);
    return value;
}

/*  A database that somebody made before. */
static inline bool raw_make(const char *path, const char *sql) {
    sqlite3 *db = raw_open(path);
    const bool is_made = db != NULL && raw_exec(db, sql);
    return sqlite3_close(db) == SQLITE_OK && is_made;
}
/*  0, or SQLITE_BUSY: something pins the log. */
static inline int truncate_log(sqlite3 *db) {
    int rc;
    (void)sqlite3_busy_timeout(db, 0);
    rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    (void)sqlite3_busy_timeout(db, 2000);
    return rc;
}
static inline int64_t step_value(sqlite3_stmt *statement) {
    int64_t value = INT64_MIN;
    if (sqlite3_step(statement) == SQLITE_ROW) value = sqlite3_column_int64(statement, 0);
    (void)sqlite3_reset(statement);
    return value;
}
/*  -1: there is none. */
static inline int64_t file_bytes(const char *path) {
    struct stat file;
    return stat(path, &file) == 0 ? (int64_t)file.st_size : -1;
}

/*  A thread of another process, which ends its transaction while somebody waits for that. */
static inline void *commit_later(void *db) {
    sleep_ms(60);
    (void)raw_exec((sqlite3 *)db, "COMMIT");
    return NULL;
}

/*  A sqlpool_transaction_fn. */
static inline int do_nothing(sqlpool_conn *conn, void *user, int attempt) {
    (void)conn, (void)user, (void)attempt;
    return 0;
}
static inline bool is_nomem(int rc) {
    return rc == SQLPOOL_NOMEM || rc == SQLITE_NOMEM || rc == SQLITE_IOERR_NOMEM;
}

static inline void close_pool(sqlpool *pool) {
    sqlpool_error error;
    const int rc = sqlpool_close(pool, &error);
    if (rc != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "close: %s: %s", sqlpool_result_name(rc), error.message);
}

static inline bool start_thread(pthread_t *thread, void *(*run)(void *), void *argument) {
    const int rc = pthread_create(thread, NULL, run, argument);
    if (rc != 0) test_fail(__FILE__, __LINE__, "pthread_create: %d", rc);
    return rc == 0;
}

static inline int do_nothing_alone(sqlpool_conn *conn, void *user) {
    (void)conn, (void)user;
    return 0;
}

/*  Every call on the handle, with the result they all must have. */
static inline void check_every_call(sqlpool *pool, int expected) {
    sqlpool_error error;
    sqlpool_conn conn;
    sqlpool_rows rows;
    sqlpool_stats stats;
    sqlpool_config config;
    sqlpool_holder holder;
    sqlpool_token token = {0};
    int64_t integer = 5;
    double real = 5;
    char text[50] = "old";
    CHECK_RC(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &error), expected, &error);
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, &error), expected,
             &error);
    CHECK_RC(sqlpool_query(pool, &rows, "SELECT 1", SQLPOOL_NO_ARGS, &error), expected, &error);
    CHECK(!sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_column_count(&rows), 0);
    (void)sqlpool_rows_close(&rows, NULL);
    CHECK_RC(sqlpool_query_int64(pool, &integer, "SELECT 1", SQLPOOL_NO_ARGS, &error), expected,
             &error);
    CHECK_RC(sqlpool_query_double(pool, &real, "SELECT 1", SQLPOOL_NO_ARGS, &error), expected,
             &error);
    CHECK_RC(sqlpool_query_text(pool, text, sizeof text, "SELECT 1", SQLPOOL_NO_ARGS, &error),
             expected, &error);
    CHECK(integer == 0 && real == 0.0 && text[0] == '\0');
    CHECK_RC(sqlpool_script(pool, "SELECT 1", -1, &error), expected, &error);
    CHECK_RC(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &error), expected, &error);
    CHECK(conn.lease == 0);
    CHECK_RC(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &error), expected, &error);
    CHECK_RC(sqlpool_transaction(pool, SQLPOOL_WRITE, do_nothing, NULL, &error), expected, &error);
    CHECK_RC(sqlpool_pause(pool, 10, &error), expected, &error);
    CHECK_INT(sqlpool_resume(pool), expected);
    CHECK_RC(sqlpool_exclusive(pool, 10, do_nothing_alone, NULL, &error), expected, &error);
    CHECK_INT(sqlpool_recycle(pool), expected);
    CHECK_INT(sqlpool_cancel(pool, &token), expected);
    CHECK_RC(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &error), expected, &error);
    CHECK_INT(sqlpool_tick(pool, 0), expected);
    CHECK_INT(sqlpool_get_stats(pool, &stats), expected);
    CHECK_INT(sqlpool_config_resolved(pool, &config), expected);
    CHECK_INT(sqlpool_holders(pool, &holder, 1), expected);
    CHECK_INT(sqlpool_status_text(pool, text, sizeof text), expected);
    CHECK_INT(sqlpool_status_json(pool, text, sizeof text), expected);
}

/*  A slow query: never ends by itself in the life of a test. */
#define ENDLESS "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

#endif
