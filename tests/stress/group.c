/*  group.c - writes that share a commit, with poison among them. SPDX-License-Identifier: MIT OR Unlicense

    Threads write small things through one writer, so that groups form by themselves. Among them are
    statements that fail alone, that end the whole transaction, that COMMIT refuses, and that run into
    their deadline or are cancelled. What must hold:

      - who was told COMMITTED is there, exactly once; who was told NOT_COMMITTED is not
      - changes, last_insert_id and RETURNING rows are the caller's own
      - a write is visible to its caller's next read
      - no result but those the statement itself earns, whatever its neighbours do

    group [SECONDS]     each journal and durability runs about this long [1] */
#define _GNU_SOURCE
#include <pthread.h>
#include <sqlite3.h>
#include <unistd.h>

#include "sqlpool.h"
#include "sim/clock.h"
#include "test.h"

enum { THREADS = 12 };

typedef struct world {
    sqlpool *pool;
    sqlpool_token tokens[THREADS];
    int64_t end_ns;
    int over;
} world;
typedef struct writer {
    world *w;
    int me;
    uint64_t dice;
    int64_t rows, increments; /* acknowledged */
    sqlpool_error error;
} writer;


/*  The result and the outcome that this statement earns. */
static void expect(const writer *x, const char *what, int rc, int primary, int outcome) {
    if ((rc > 0 ? rc & 0xff : rc) != primary || x->error.outcome != outcome)
        test_fail(__FILE__, __LINE__, "%s gave %s, outcome %d: %s", what, sqlpool_result_name(rc),
                  x->error.outcome, x->error.message);
    if (rc == SQLPOOL_OK && x->error.message[0] != '\0') /* of an earlier try */
        test_fail(__FILE__, __LINE__, "%s succeeded and says: %s", what, x->error.message);
}

static void poison(writer *x, const char *sql, int primary) {
    expect(x, sql, sqlpool_exec(x->w->pool, sql, SQLPOOL_NO_ARGS, &x->error), primary,
           SQLPOOL_OUTCOME_NOT_COMMITTED);
}

#define ENDLESS                                                                            \
    "INSERT INTO big SELECT x FROM (WITH RECURSIVE q(x) AS (SELECT 1 UNION ALL SELECT x + 1" \
    " FROM q) SELECT x FROM q)"

static void endless(writer *x) {
    sqlpool_call call = {.timeout_ms = 20, .token = &x->w->tokens[x->me]};
    int rc;
    __atomic_store_n(&call.token->fired, 0, __ATOMIC_SEQ_CST);
    rc = sqlpool_exec_with(x->w->pool, &call, NULL, ENDLESS, SQLPOOL_NO_ARGS, &x->error);
    if (rc == SQLPOOL_CANCELLED) rc = SQLPOOL_TIMEOUT;
    expect(x, "an endless insert", rc, SQLPOOL_TIMEOUT, SQLPOOL_OUTCOME_NOT_COMMITTED);
}

static void returning(writer *x, int64_t i) {
    sqlpool_rows rows;
    const int rc = sqlpool_query(x->w->pool, &rows, "INSERT INTO log(t, i) VALUES(?, ?) RETURNING t, i",
                                 SQLPOOL_ARGS(x->me, i), &x->error);
    expect(x, "RETURNING", rc, SQLPOOL_OK, SQLPOOL_OUTCOME_COMMITTED);
    if (!sqlpool_rows_next(&rows) || sqlpool_rows_int64(&rows, 0) != x->me ||
        sqlpool_rows_int64(&rows, 1) != i || sqlpool_rows_next(&rows))
        test_fail(__FILE__, __LINE__, "RETURNING gave another caller's rows");
    if (sqlpool_rows_close(&rows, NULL) != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "close failed");
    x->rows++;
}

static void plain(writer *x, int64_t i) {
    sqlpool_result result;
    int64_t seen = -1;
    int rc = sqlpool_exec_with(x->w->pool, NULL, &result, "INSERT INTO log(t, i) VALUES(?, ?)",
                               SQLPOOL_ARGS(x->me, i), &x->error);
    expect(x, "INSERT", rc, SQLPOOL_OK, SQLPOOL_OUTCOME_COMMITTED);
    if (result.changes != 1) test_fail(__FILE__, __LINE__, "changes is %lld", (long long)result.changes);
    rc = sqlpool_query_int64(x->w->pool, &seen, "SELECT i FROM log WHERE id = ? AND t = ?",
                             SQLPOOL_ARGS(result.last_insert_id, x->me), &x->error);
    if (rc != SQLPOOL_OK || seen != i)
        test_fail(__FILE__, __LINE__, "own row %lld: %s", (long long)result.last_insert_id, x->error.message);
    x->rows++;
    rc = sqlpool_exec(x->w->pool, "UPDATE counter SET n = n + 1", SQLPOOL_NO_ARGS, &x->error);
    expect(x, "UPDATE", rc, SQLPOOL_OK, SQLPOOL_OUTCOME_COMMITTED);
    x->increments++;
}

/*  Who does not want to wait is told at once that he would, or his write is there. */
static void impatient(writer *x, int64_t i) {
    const sqlpool_call call = {.timeout_ms = SQLPOOL_NO_WAIT};
    const int rc = sqlpool_exec_with(x->w->pool, &call, NULL, "INSERT INTO log(t, i) VALUES(?, ?)",
                                     SQLPOOL_ARGS(x->me, i), &x->error);
    expect(x, "NO_WAIT", rc, rc == SQLPOOL_OK ? SQLPOOL_OK : SQLPOOL_WOULD_BLOCK,
           rc == SQLPOOL_OK ? SQLPOOL_OUTCOME_COMMITTED : SQLPOOL_OUTCOME_NOT_COMMITTED);
    x->rows += rc == SQLPOOL_OK ? 1 : 0;
}

static void *writer_main(void *argument) {
    writer *x = (writer *)argument;
    int64_t i;
    for (i = 0;
         sim_real_ns() < x->w->end_ns && !__atomic_load_n(&test_failed_now, __ATOMIC_RELAXED); i++) {
        switch (sim_roll(&x->dice, 40)) {
        case 0: poison(x, "INSERT INTO one VALUES(1)", SQLITE_CONSTRAINT); break;
        case 1: poison(x, "INSERT OR ROLLBACK INTO one VALUES(1)", SQLITE_CONSTRAINT); break;
        case 2: poison(x, "INSERT INTO child VALUES(999)", SQLITE_CONSTRAINT); break; /* at COMMIT */
        case 3: poison(x, "INSERT INTO nowhere VALUES(1)", SQLITE_ERROR); break;
        case 4: poison(x, "INSERT INTO guarded VALUES(1)", SQLITE_CONSTRAINT); break; /* RAISE(ROLLBACK) */
        case 5: endless(x); break;
        case 6:
        case 7: returning(x, i); break;
        case 8:
        case 9:
        case 10: impatient(x, i); break;
        default: plain(x, i); break;
        }
    }
    return NULL;
}

static void *canceller_main(void *argument) {
    world *w = (world *)argument;
    uint64_t dice = 7;
    while (!__atomic_load_n(&w->over, __ATOMIC_ACQUIRE)) {
        (void)usleep(3000);
        (void)sqlpool_cancel(w->pool, &w->tokens[sim_roll(&dice, THREADS)]);
    }
    return NULL;
}

static const char schema[] =
    "CREATE TABLE log(id INTEGER PRIMARY KEY, t, i); CREATE TABLE big(x);"
    "CREATE TABLE one(a UNIQUE); INSERT INTO one VALUES(1);"
    "CREATE TABLE parent(a PRIMARY KEY);"
    "CREATE TABLE child(a REFERENCES parent(a) DEFERRABLE INITIALLY DEFERRED);"
    "CREATE TABLE guarded(a);"
    "CREATE TRIGGER guard BEFORE INSERT ON guarded BEGIN SELECT RAISE(ROLLBACK, 'no'); END;"
    "CREATE TABLE counter(n); INSERT INTO counter VALUES(0)";

static int64_t ask(sqlpool *pool, const char *sql) {
    int64_t value = -1;
    if (sqlpool_query_int64(pool, &value, sql, SQLPOOL_NO_ARGS, NULL) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "%s failed", sql);
    return value;
}

static double seconds = 1;
static void run(const char *path, int journal, int synchronous) {
    static writer writers[THREADS];
    pthread_t threads[THREADS], canceller;
    sqlpool_config config = sqlpool_config_default();
    sqlpool_error error;
    sqlpool_stats stats;
    int64_t rows = 0, increments = 0;
    world w;
    int i;
    memset(&w, 0, sizeof w);
    memset(writers, 0, sizeof writers);
    config.journal = journal;
    config.synchronous = synchronous;
    config.acquire_timeout_ms = 60000;
    if (sqlpool_open(&w.pool, path, &config, &error) != SQLPOOL_OK ||
        sqlpool_script(w.pool, schema, -1, &error) != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "%s", error.message);
        return;
    }
    w.end_ns = sim_real_ns() + (int64_t)(seconds * 1e9);
    CHECK_INT(pthread_create(&canceller, NULL, canceller_main, &w), 0);
    for (i = 0; i < THREADS; i++) {
        writers[i].w = &w;
        writers[i].me = i;
        writers[i].dice = (uint64_t)i;
        CHECK_INT(pthread_create(&threads[i], NULL, writer_main, &writers[i]), 0);
    }
    for (i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        rows += writers[i].rows;
        increments += writers[i].increments;
    }
    __atomic_store_n(&w.over, 1, __ATOMIC_RELEASE);
    CHECK_INT(pthread_join(canceller, NULL), 0);
    CHECK_INT(ask(w.pool, "SELECT count(*) FROM log"), rows);
    CHECK_INT(ask(w.pool, "SELECT n FROM counter"), increments);
    CHECK_INT(ask(w.pool, "SELECT count(*) FROM big"), 0);
    CHECK_INT(ask(w.pool, "SELECT (SELECT count(*) FROM child) + (SELECT count(*) FROM guarded)"), 0);
    CHECK_INT(sqlpool_get_stats(w.pool, &stats), SQLPOOL_OK);
    CHECK(stats.groups > 0 && stats.grouped >= 2 * stats.groups && stats.replayed > 0);
    CHECK_INT(sqlpool_close(w.pool, &error), SQLPOOL_OK);
    printf("# group: %s: %" PRId64 " rows; %" PRIu64 " commits, %" PRIu64 " groups with %" PRIu64
           " writes, %" PRIu64 " run again\n",
           path, rows, stats.commits, stats.groups, stats.grouped, stats.replayed);
}

TEST(wal_normal) {
    run("normal.db", SQLPOOL_JOURNAL_WAL, SQLPOOL_SYNCHRONOUS_NORMAL);
}
TEST(wal_full) {
    run("full.db", SQLPOOL_JOURNAL_WAL, SQLPOOL_SYNCHRONOUS_FULL);
}
TEST(rollback_journal) {
    run("delete.db", SQLPOOL_JOURNAL_DELETE, SQLPOOL_SYNCHRONOUS_OFF);
}
TEST(in_memory) {
    run(":memory:", SQLPOOL_JOURNAL_MEMORY, SQLPOOL_SYNCHRONOUS_OFF);
}

int main(int argc, char **argv) {
    if (argc > 1 && atof(argv[1]) > 0) seconds = atof(argv[1]);
    RUN(wal_normal);
    RUN(wal_full);
    RUN(rollback_journal);
    RUN(in_memory);
    return test_end();
}
