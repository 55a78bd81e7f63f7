/*  threads.c - many threads, growth, reserve, queues, and what upkeep does. SPDX-License-Identifier: MIT OR Unlicense */
#define _POSIX_C_SOURCE 200809L
#include "api.h"

static sqlpool_error err;

/*------------------------------------------------------------------------------
 * a bank: money moves, its sum stays
 *----------------------------------------------------------------------------*/

enum { accounts = 20, workers = 8, fortune = accounts * 1000 };
static const char bank_schema[] =
    "CREATE TABLE account(id INTEGER PRIMARY KEY, money INT NOT NULL CHECK(money >= 0));"
    "CREATE TABLE journal(worker INT, n INT);"
    "INSERT INTO account WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19) SELECT i, 1000 FROM n";

typedef struct bank {
    sqlpool *pool, *other; /* other: a second pool on the same file, or the same again */
    int64_t end_ms;
    int64_t transfers, reads; /* atomic */
} bank;
typedef struct worker {
    bank *of;
    int number;
    unsigned seed;
    int written;
} worker;

static unsigned roll(worker *w) {
    w->seed = w->seed * 1103515245u + 12345u;
    return w->seed >> 16;
}
static int transfer(sqlpool_conn *conn, void *user, int attempt) {
    worker *w = (worker *)user;
    const int from = (int)(roll(w) % accounts), to = (int)(roll(w) % accounts), amount = (int)(roll(w) % 50);
    int rc;
    (void)attempt;
    if (ask_conn(conn, "SELECT sum(money) FROM account") != fortune) return 4711;
    rc = sqlpool_conn_exec(conn, "UPDATE account SET money = money - ? WHERE id = ?", SQLPOOL_ARGS(amount, from), NULL, NULL);
    if (rc == SQLITE_CONSTRAINT_CHECK) return 4712; /* not enough: roll back */
    if (rc == SQLPOOL_OK)
        rc = sqlpool_conn_exec(conn, "UPDATE account SET money = money + ? WHERE id = ?", SQLPOOL_ARGS(amount, to), NULL, NULL);
    return rc;
}
static int look_twice(sqlpool_conn *conn, void *user, int attempt) {
    const int64_t first = ask_conn(conn, "SELECT sum(money) FROM account"), n = ask_conn(conn, "SELECT count(*) FROM journal");
    (void)user, (void)attempt;
    sleep_ms(1);
    return first == fortune && ask_conn(conn, "SELECT sum(money) FROM account") == fortune &&
                   ask_conn(conn, "SELECT count(*) FROM journal") == n ? 0 : 4713;
}

static void *work(void *argument) {
    worker *w = (worker *)argument;
    sqlpool_error error;
    sqlpool_rows rows;
    while (now_ms() < w->of->end_ms && !__atomic_load_n(&test_failed_now, __ATOMIC_RELAXED)) {
        sqlpool *pool = roll(w) % 2 ? w->of->pool : w->of->other;
        int64_t sum = 0;
        int rc, n = 0;
        const unsigned what = roll(w) % 6;
        if (what == 0) {
            rc = sqlpool_transaction(pool, SQLPOOL_WRITE, transfer, w, &error);
            if (rc == 4712) rc = SQLPOOL_OK;
            __atomic_add_fetch(&w->of->transfers, 1, __ATOMIC_RELAXED);
        } else if (what == 1) {
            rc = sqlpool_exec(pool, "INSERT INTO journal VALUES(?, ?)", SQLPOOL_ARGS(w->number, w->written), &error);
            if (rc == SQLPOOL_OK) w->written++;
        } else if (what == 2) {
            rc = sqlpool_transaction(pool, SQLPOOL_READ, look_twice, NULL, &error);
        } else if (what == 3) {
            rc = sqlpool_query(pool, &rows, "SELECT money FROM account", SQLPOOL_NO_ARGS, &error);
            while (sqlpool_rows_next(&rows)) sum += sqlpool_rows_int64(&rows, 0), n++;
            if (rc == SQLPOOL_OK) rc = sqlpool_rows_close(&rows, &error);
            if (rc == SQLPOOL_OK && (n != accounts || sum != fortune)) rc = 4714;
        } else {
            rc = sqlpool_query_int64(pool, &sum, "SELECT sum(money) FROM account", SQLPOOL_NO_ARGS, &error);
            if (rc == SQLPOOL_OK && sum != fortune) rc = 4715;
            __atomic_add_fetch(&w->of->reads, 1, __ATOMIC_RELAXED);
        }
        if (rc != SQLPOOL_OK) {
            test_fail(__FILE__, __LINE__, "worker %d, work %u: %s (%d): %s", w->number, what, sqlpool_result_name(rc), rc, error.message);
            return NULL;
        }
    }
    return NULL;
}

static void run_bank(const char *path, const sqlpool_config *config, bool two_pools, int duration_ms) {
    bank b;
    worker w[workers];
    pthread_t threads[workers];
    sqlpool_stats stats;
    int64_t written = 0;
    int i;
    memset(&b, 0, sizeof b);
    b.pool = open_pool(path, config, bank_schema);
    CHECK(b.pool != NULL);
    b.other = two_pools ? open_pool(path, config, NULL) : b.pool;
    CHECK(b.other != NULL);
    b.end_ms = now_ms() + duration_ms;
    for (i = 0; i < workers; i++) {
        w[i].of = &b;
        w[i].number = i;
        w[i].seed = (unsigned)i * 7919u + 1u;
        w[i].written = 0;
        CHECK(start_thread(&threads[i], work, &w[i]));
    }
    for (i = 0; i < workers; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        written += w[i].written;
    }
    if (__atomic_load_n(&test_failed_now, __ATOMIC_RELAXED)) return;
    CHECK(b.transfers > 0 && b.reads > 0 && written > 0);
    CHECK_INT(ask(b.pool, "SELECT sum(money) FROM account"), fortune);
    CHECK_INT(ask(b.pool, "SELECT count(*) FROM journal"), written); /* each acknowledged write is there */
    CHECK_INT(ask(b.pool, "SELECT count(*) FROM (SELECT worker, n FROM journal GROUP BY 1, 2)"), written);
    CHECK_INT(ask(b.pool, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    for (i = 0; i < 1000; i++) { /* upkeep itself borrows a connection now and then */
        CHECK_INT(sqlpool_get_stats(b.pool, &stats), SQLPOOL_OK);
        if (stats.used == 0) break;
        sleep_ms(1);
    }
    CHECK_INT(stats.used, 0);
    CHECK_INT(stats.waiting_read + stats.waiting_write, 0);
    CHECK_INT(stats.misuses + stats.unclean + stats.timeouts, 0);
    CHECK(stats.open <= stats.max + 1);
    /* own threads queue for the writer in memory: they hardly ever poll for a lock (opening and closing
       connections all the time, as one test does, takes locks of its own) */
    if (!two_pools && config->topology == SQLPOOL_TOPOLOGY_WRITER_READERS && config->max_lifetime_ms == 0)
        CHECK((int64_t)stats.busy_waits <= 20 + (b.transfers + written) / 20);
    if (two_pools) close_pool(b.other);
    close_pool(b.pool);
}

TEST(bank_with_a_log) {
    const sqlpool_config config = sqlpool_config_default();
    PART(run_bank("bankwal.db", &config, false, 400));
}
TEST(bank_with_few_connections) {
    const sqlpool_config config = config_of(2);
    PART(run_bank("bankfew.db", &config, false, 300));
}
TEST(bank_with_one_connection) {
    const sqlpool_config config = config_of(0);
    PART(run_bank("bankone.db", &config, false, 250));
}
TEST(bank_with_a_journal) {
    sqlpool_config config = sqlpool_config_default();
    config.journal = SQLPOOL_JOURNAL_DELETE;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    PART(run_bank("bankdelete.db", &config, false, 350));
}
TEST(bank_in_memory) {
    const sqlpool_config config = sqlpool_config_default();
    PART(run_bank(":memory:", &config, false, 350));
}
TEST(bank_in_general_topology) {
    sqlpool_config config = config_of(4);
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    PART(run_bank("bankgeneral.db", &config, false, 300));
}
TEST(bank_with_two_pools) {
    const sqlpool_config config = config_of(3);
    PART(run_bank("banktwo.db", &config, true, 400));
}
TEST(bank_with_a_small_log_and_restless_connections) {
    sqlpool_config config = config_of(4);
    config.wal_budget_bytes = 64 * 1024;
    config.max_lifetime_ms = 40;
    config.idle_timeout_ms = 20;
    config.upkeep_interval_ms = 10;
    config.validate_after_ms = 1;
    config.statement_cache_count = 2;
    PART(run_bank("bankrestless.db", &config, false, 400));
}

/*------------------------------------------------------------------------------
 * growth and reserve
 *----------------------------------------------------------------------------*/

static const char schema[] = "CREATE TABLE t(v); INSERT INTO t VALUES(1)";
static const sqlpool_call no_wait = {SQLPOOL_NO_WAIT, 0, SQLPOOL_PRIORITY_NORMAL, NULL, NULL};
static const sqlpool_call critical = {SQLPOOL_NO_WAIT, 0, SQLPOOL_PRIORITY_CRITICAL, NULL, NULL};

TEST(grows_when_needed_and_not_before) {
    sqlpool_config config = config_of(4);
    sqlpool_conn conn[5];
    sqlpool_stats stats;
    int i, rc;
    sqlpool *pool;
    config.min_connections = 2;
    pool = open_pool("grow.db", &config, schema);
    CHECK(pool != NULL);
    for (i = 0; i < 50; i++) CHECK_OK(sqlpool_exec(pool, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.open, 2); /* one reader was always enough */
    for (i = 0; i < 4; i++) {
        CHECK_OK(sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &no_wait, &conn[i], &err), &err);
        CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
        CHECK_INT(stats.open, i + 2);
        CHECK_INT(stats.used, i + 1);
    }
    rc = sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &no_wait, &conn[4], &err);
    CHECK(rc == SQLPOOL_WOULD_BLOCK || rc == SQLPOOL_DEADLOCK || rc == SQLPOOL_MISUSE);
    CHECK_INT(conn[4].lease, 0);
    for (i = 0; i < 4; i++) CHECK_INT(sqlpool_conn_release(&conn[i]), SQLPOOL_OK);
    close_pool(pool);
}

typedef struct asker {
    sqlpool *pool;
    sqlpool_call call;
    int result;
    int64_t elapsed_ms;
} asker;
static void *ask_for_a_reader(void *argument) {
    asker *a = (asker *)argument;
    sqlpool_conn conn;
    const int64_t start = now_ms();
    a->result = sqlpool_conn_acquire_with(a->pool, SQLPOOL_READ, &a->call, &conn, NULL);
    a->elapsed_ms = now_ms() - start;
    if (a->result == SQLPOOL_OK) (void)sqlpool_conn_release(&conn);
    return NULL;
}
static int ask_in_a_thread(sqlpool *pool, const sqlpool_call *call, int64_t *elapsed_ms) {
    asker a;
    pthread_t thread;
    memset(&a, 0, sizeof a);
    a.pool = pool;
    a.call = *call;
    if (!start_thread(&thread, ask_for_a_reader, &a)) return -999;
    (void)pthread_join(thread, NULL);
    if (elapsed_ms != NULL) *elapsed_ms = a.elapsed_ms;
    return a.result;
}

TEST(reserve_for_the_critical) {
    sqlpool_config config = config_of(2);
    sqlpool_conn a, b, writer;
    sqlpool_call patient = {2000, 0, 0, NULL, NULL};
    int64_t elapsed;
    sqlpool *pool;
    config.reserve_connections = 1;
    config.reserve_threshold_percent = 101; /* critical callers only */
    pool = open_pool("reserve.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &a, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &b, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
    CHECK_INT(ask_in_a_thread(pool, &no_wait, NULL), SQLPOOL_WOULD_BLOCK);
    CHECK_INT(ask_in_a_thread(pool, &critical, NULL), SQLPOOL_OK);
    CHECK_INT(ask_in_a_thread(pool, &no_wait, NULL), SQLPOOL_WOULD_BLOCK); /* still not for all */
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&b), SQLPOOL_OK);
    close_pool(pool);

    config.reserve_threshold_percent = 80; /* open to all above it */
    pool = open_pool("reserve.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &a, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &b, &err), &err);
    CHECK_INT(ask_in_a_thread(pool, &no_wait, NULL), SQLPOOL_WOULD_BLOCK); /* 2 of 3 */
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
    CHECK_INT(ask_in_a_thread(pool, &no_wait, NULL), SQLPOOL_OK); /* 3 of 3 */
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&b), SQLPOOL_OK);
    close_pool(pool);

    config.reserve_threshold_percent = 101; /* to those who waited for long */
    config.reserve_wait_ms = 50;
    pool = open_pool("reserve.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &a, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &b, &err), &err);
    CHECK_INT(ask_in_a_thread(pool, &patient, &elapsed), SQLPOOL_OK);
    CHECK(elapsed >= 40 && elapsed < 1500);
    CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&b), SQLPOOL_OK);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * queues
 *----------------------------------------------------------------------------*/

typedef struct queue {
    sqlpool *pool;
    pthread_mutex_t lock;
    char order[64];
    int used;
} queue;
typedef struct waiter {
    queue *of;
    sqlpool_mode mode;
    int priority;
    char name;
} waiter;
static void *wait_in_line(void *argument) {
    waiter *w = (waiter *)argument;
    sqlpool_call call = {4000, 0, 0, NULL, NULL};
    sqlpool_conn conn;
    call.priority = w->priority;
    if (sqlpool_conn_acquire_with(w->of->pool, w->mode, &call, &conn, NULL) != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "waiter %c got nothing", w->name);
        return NULL;
    }
    (void)pthread_mutex_lock(&w->of->lock);
    w->of->order[w->of->used++] = w->name;
    (void)pthread_mutex_unlock(&w->of->lock);
    sleep_ms(2);
    if (sqlpool_conn_release(&conn) != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "release failed");
    return NULL;
}

static void stand_in_line(sqlpool_mode mode, const char *names, const int *priorities, const char *expected) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    sqlpool_stats stats;
    queue q;
    waiter w[8];
    pthread_t threads[8];
    const int count = (int)strlen(names);
    int i;
    memset(&q, 0, sizeof q);
    (void)pthread_mutex_init(&q.lock, NULL);
    config.barge_us = SQLPOOL_OFF;
    q.pool = open_pool("line.db", &config, "CREATE TABLE IF NOT EXISTS t(v)");
    CHECK(q.pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(q.pool, mode, &conn, &err), &err);
    for (i = 0; i < count; i++) {
        w[i].of = &q;
        w[i].mode = mode;
        w[i].priority = priorities[i];
        w[i].name = names[i];
        CHECK(start_thread(&threads[i], wait_in_line, &w[i]));
        do { /* until it stands in line */
            sleep_ms(1);
            CHECK_INT(sqlpool_get_stats(q.pool, &stats), SQLPOOL_OK);
        } while (stats.waiting_read + stats.waiting_write != i + 1);
    }
    CHECK_INT(mode == SQLPOOL_READ ? stats.waiting_read : stats.waiting_write, count);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    for (i = 0; i < count; i++) CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK_STR(q.order, expected);
    (void)pthread_mutex_destroy(&q.lock);
    close_pool(q.pool);
}

TEST(first_come_first_served) {
    static const int normal[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    PART(stand_in_line(SQLPOOL_READ, "abcdef", normal, "abcdef"));
    PART(stand_in_line(SQLPOOL_WRITE, "abcdef", normal, "abcdef"));
}
TEST(the_critical_go_first) {
    static const int priorities[4] = {0, 0, 1, 1};
    PART(stand_in_line(SQLPOOL_READ, "abXY", priorities, "XYab"));
    PART(stand_in_line(SQLPOOL_WRITE, "abXY", priorities, "XYab"));
}

TEST(a_waiting_writer_holds_up_no_reader) {
    sqlpool_config config = config_of(2);
    sqlpool_conn conn;
    sqlpool_stats stats;
    queue q;
    waiter w;
    pthread_t thread;
    int i;
    memset(&q, 0, sizeof q);
    (void)pthread_mutex_init(&q.lock, NULL);
    q.pool = open_pool("separate.db", &config, schema);
    CHECK(q.pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(q.pool, SQLPOOL_WRITE, &conn, &err), &err);
    w.of = &q;
    w.mode = SQLPOOL_WRITE;
    w.priority = 0;
    w.name = 'w';
    CHECK(start_thread(&thread, wait_in_line, &w));
    do {
        sleep_ms(1);
        CHECK_INT(sqlpool_get_stats(q.pool, &stats), SQLPOOL_OK);
    } while (stats.waiting_write != 1);
    for (i = 0; i < 20; i++)
        CHECK_OK(sqlpool_exec_with(q.pool, &no_wait, NULL, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(pthread_join(thread, NULL), 0);
    (void)pthread_mutex_destroy(&q.lock);
    close_pool(q.pool);
}

/*------------------------------------------------------------------------------
 * upkeep
 *----------------------------------------------------------------------------*/

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static int log_leaks, log_ends;
static char leak_message[1024];
static void write_log(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)user, (void)level;
    (void)pthread_mutex_lock(&log_lock);
    if (item == SQLPOOL_LOG_LEAK) {
        log_leaks++;
        (void)snprintf(leak_message, sizeof leak_message, "%s", message);
    }
    if (item == SQLPOOL_LOG_LEAK_ENDED) log_ends++;
    (void)pthread_mutex_unlock(&log_lock);
}
static int read_locked(const int *value) {
    int copy;
    (void)pthread_mutex_lock(&log_lock);
    copy = *value;
    (void)pthread_mutex_unlock(&log_lock);
    return copy;
}

/*  Waits until the statistics say so, for 3 s at most, ticking where there is no upkeep thread. */
#define WAIT_FOR(condition)                                          \
    do {                                                             \
        const int64_t wait_end = now_ms() + 3000;                    \
        do {                                                         \
            sleep_ms(5);                                             \
            if (tick) CHECK_INT(sqlpool_tick(pool, 100000), SQLPOOL_OK); \
            CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);  \
        } while (!(condition) && now_ms() < wait_end);               \
        CHECK(condition);                                            \
    } while (0)

static void report_leak(bool tick) {
    sqlpool_config config = config_of(2);
    sqlpool_call call = {0, 0, 0, "forgetful", NULL};
    sqlpool_conn conn;
    sqlpool_stats stats;
    char site[64];
    int line;
    sqlpool *pool;
    log_leaks = log_ends = 0;
    config.leak_report_ms = 40;
    config.upkeep_interval_ms = 10;
    config.disable_upkeep_thread = tick;
    config.log.write_fn = write_log;
    pool = open_pool("leak.db", &config, NULL); /* no other lease: on a slow disk it would be reported */
    CHECK(pool != NULL);
    CHECK_OK((line = __LINE__, sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &call, &conn, &err)), &err);
    (void)snprintf(site, sizeof site, "threads.c:%d", line);
    CHECK_OK(sqlpool_conn_exec(&conn, "SELECT 'last thing done'", SQLPOOL_NO_ARGS, NULL, &err), &err);
    WAIT_FOR(stats.leaks == 1 && read_locked(&log_leaks) == 1); /* counted, then told */
    (void)pthread_mutex_lock(&log_lock);
    if (strstr(leak_message, site) == NULL || strstr(leak_message, "forgetful") == NULL || strstr(leak_message, "last thing done") == NULL)
        test_fail(__FILE__, __LINE__, "\"%s\" lacks site, tag or SQL", leak_message);
    (void)pthread_mutex_unlock(&log_lock);
    sleep_ms(100);
    if (tick) CHECK_INT(sqlpool_tick(pool, 100000), SQLPOOL_OK);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.leaks, 1); /* reported once */
    CHECK_INT(read_locked(&log_ends), 0);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    WAIT_FOR(read_locked(&log_ends) == 1);
    close_pool(pool);
}
TEST(leak_report) {
    PART(report_leak(false));
    PART(report_leak(true));
}

typedef struct forgetful {
    sqlpool *pool;
    sqlpool_conn conn;
    char site[64];
    int result;
} forgetful;
static void *begin_and_end(void *argument) {
    forgetful *f = (forgetful *)argument;
    const int line = __LINE__ + 1;
    f->result = sqlpool_conn_acquire(f->pool, SQLPOOL_WRITE, &f->conn, NULL);
    (void)snprintf(f->site, sizeof f->site, "threads.c:%d", line);
    if (f->result == SQLPOOL_OK) f->result = sqlpool_conn_begin(&f->conn, NULL);
    if (f->result == SQLPOOL_OK)
        f->result = sqlpool_conn_exec(&f->conn, "INSERT INTO t VALUES('half')", SQLPOOL_NO_ARGS, NULL, NULL);
    return NULL;
}

/*  A thread that ends, however it ends, leaves its lease out: whoever waits is told where it came from,
    it is reported, another thread may adopt it, and what it had begun is undone. */
TEST(a_thread_that_ends_with_its_lease) {
    const bool tick = true;
    sqlpool_config config = config_of(1);
    sqlpool_call call = {60, 0, 0, NULL, NULL};
    sqlpool_stats stats;
    forgetful f;
    pthread_t thread;
    sqlpool *pool;
    log_leaks = log_ends = 0;
    config.leak_report_ms = 20;
    config.close_timeout_ms = 50;
    config.disable_upkeep_thread = tick;
    config.log.write_fn = write_log;
    pool = open_pool("ended.db", &config, "CREATE TABLE t(v)");
    CHECK(pool != NULL);
    memset(&f, 0, sizeof f);
    f.pool = pool;
    CHECK(start_thread(&thread, begin_and_end, &f));
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(f.result, SQLPOOL_OK);
    CHECK_RC(sqlpool_exec_with(pool, &call, NULL, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, &err), SQLPOOL_TIMEOUT, &err);
    CHECK_HAS(err.message, f.site);
    WAIT_FOR(stats.leaks == 1);
    CHECK_HAS(leak_message, f.site);
    CHECK_INT(sqlpool_conn_release(&f.conn), SQLPOOL_MISUSE); /* not this thread's */
    CHECK_INT(sqlpool_conn_adopt(&f.conn), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&f.conn), SQLPOOL_UNCLEAN);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 0);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(start_thread(&thread, begin_and_end, &f));
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_RC(sqlpool_close(pool, &err), SQLPOOL_TIMEOUT, &err); /* close does not hang, and says who */
    CHECK_HAS(err.message, f.site);
    CHECK_INT(sqlpool_conn_adopt(&f.conn), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&f.conn), SQLPOOL_UNCLEAN);
    CHECK_OK(sqlpool_close(pool, &err), &err);
}

static void reap_idle(bool tick) {
    sqlpool_config config = config_of(5);
    sqlpool_conn conn[5];
    sqlpool_stats stats;
    int i;
    sqlpool *pool;
    config.min_connections = 3;
    config.idle_timeout_ms = 40;
    config.upkeep_interval_ms = 10;
    config.disable_upkeep_thread = tick;
    pool = open_pool("idle.db", &config, "CREATE TABLE IF NOT EXISTS t(v)");
    CHECK(pool != NULL);
    for (i = 0; i < 5; i++) CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn[i], &err), &err);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK(stats.open >= 5);
    for (i = 0; i < 5; i++) CHECK_INT(sqlpool_conn_release(&conn[i]), SQLPOOL_OK);
    WAIT_FOR(stats.open == 3);
    CHECK(stats.closed_idle >= 2);
    sleep_ms(100);
    if (tick) CHECK_INT(sqlpool_tick(pool, 100000), SQLPOOL_OK);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK_INT(stats.open, 3); /* the minimum stays */
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(ask(pool, "SELECT count(*) FROM t") > 0);
    close_pool(pool);
}
TEST(idle_connections_are_closed) {
    PART(reap_idle(false));
    PART(reap_idle(true));
}

static bool use_both(sqlpool *pool) {
    const int rc = sqlpool_exec(pool, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, NULL);
    if (rc != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "write gave %s", sqlpool_result_name(rc));
    return rc == SQLPOOL_OK && ask(pool, "SELECT count(*) FROM t") > 0;
}
static void end_of_life(bool tick) {
    sqlpool_config config = config_of(2);
    sqlpool_conn conn;
    sqlpool_stats stats;
    sqlpool *pool;
    config.max_lifetime_ms = 40;
    config.lifetime_jitter_percent = SQLPOOL_OFF;
    config.upkeep_interval_ms = 10;
    config.disable_upkeep_thread = tick;
    pool = open_pool("lifetime.db", &config, "CREATE TABLE IF NOT EXISTS t(v)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(ask_conn(&conn, "SELECT 5"), 5);
    sleep_ms(60);
    if (tick) CHECK_INT(sqlpool_tick(pool, 100000), SQLPOOL_OK);
    CHECK_INT(ask_conn(&conn, "SELECT 6"), 6); /* never while it is leased */
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    WAIT_FOR(use_both(pool) && stats.closed_lifetime >= 2); /* reader and writer were replaced */
    CHECK_INT(stats.closed_bad, 0);
    close_pool(pool);
}

TEST(old_connections_are_replaced) {
    PART(end_of_life(false));
    PART(end_of_life(true));
}

/*------------------------------------------------------------------------------
 * close beside running calls
 *----------------------------------------------------------------------------*/

typedef struct last_call {
    sqlpool *pool;
    const char *sql;
    int way; /* one call, a cursor, a lease */
    int result;
} last_call;
static void *call_for_the_last_time(void *argument) {
    last_call *c = (last_call *)argument;
    sqlpool_error error;
    sqlpool_rows rows;
    sqlpool_conn conn;
    if (c->way == 0) {
        c->result = sqlpool_exec(c->pool, c->sql, SQLPOOL_NO_ARGS, &error);
    } else if (c->way == 1) {
        c->result = sqlpool_query(c->pool, &rows, c->sql, SQLPOOL_NO_ARGS, &error);
        while (sqlpool_rows_next(&rows)) continue;
        if (c->result == SQLPOOL_OK) c->result = sqlpool_rows_close(&rows, &error);
    } else {
        c->result = sqlpool_conn_acquire(c->pool, SQLPOOL_READ, &conn, &error);
        if (c->result == SQLPOOL_OK) {
            c->result = sqlpool_conn_exec(&conn, c->sql, SQLPOOL_NO_ARGS, NULL, &error);
            sleep_ms(20);
            (void)sqlpool_conn_release(&conn);
        }
    }
    return NULL;
}

static int arrived_count; /* atomic */
static void arrived(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count, (void)values;
    (void)__atomic_add_fetch(&arrived_count, 1, __ATOMIC_SEQ_CST);
    sqlite3_result_int(context, 1);
}
static int add_arrived(void *user, const sqlpool_conn *conn) {
    (void)user;
    return add_function(conn, "arrived", 0, arrived);
}

/*  Calls that are inside when the pool closes run to their end, and what they still touch then must
    still be there. */
TEST(close_beside_running_calls) {
    static const char good[] = "WITH RECURSIVE n(i) AS (SELECT arrived() UNION ALL SELECT i + 1 FROM n WHERE i < 60000) SELECT count(*) FROM n";
    static const char bad[] = "WITH RECURSIVE n(i) AS (SELECT arrived() UNION ALL SELECT i + 1 FROM n WHERE i < 60000)"
                              " SELECT abs(-9223372036854775807 - (count(*) > 5)) FROM n";
    static const char write[] = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT arrived() UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
                                " SELECT count(*) FROM n";
    const int64_t end = now_ms() + 500;
    int i;
    do {
        sqlpool_config config = config_of(5);
        last_call calls[6];
        pthread_t threads[6];
        sqlpool *pool;
        config.close_timeout_ms = 60000; /* under a checker the calls take their time */
        config.events.connect_fn = add_arrived;
        config.wal_budget_bytes = 4096; /* the write is followed by a checkpoint */
        pool = open_pool("lastcalls.db", &config, "CREATE TABLE IF NOT EXISTS t(v)");
        CHECK(pool != NULL);
        __atomic_store_n(&arrived_count, 0, __ATOMIC_SEQ_CST);
        for (i = 0; i < 6; i++) {
            calls[i].pool = pool;
            calls[i].sql = i == 5 ? write : i % 2 ? bad : good;
            calls[i].way = i == 5 ? 0 : i % 3;
            calls[i].result = -999;
            CHECK(start_thread(&threads[i], call_for_the_last_time, &calls[i]));
        }
        while (__atomic_load_n(&arrived_count, __ATOMIC_SEQ_CST) < 6) sleep_ms(1); /* all are inside, or were */
        CHECK_OK(sqlpool_close(pool, &err), &err);
        for (i = 0; i < 6; i++) {
            CHECK_INT(pthread_join(threads[i], NULL), 0);
            CHECK_INT(calls[i].result, calls[i].sql == bad ? SQLITE_ERROR : SQLPOOL_OK);
        }
    } while (now_ms() < end);
}

int main(void) {
    RUN(bank_with_a_log);
    RUN(bank_with_few_connections);
    RUN(bank_with_one_connection);
    RUN(bank_with_a_journal);
    RUN(bank_in_memory);
    RUN(bank_in_general_topology);
    RUN(bank_with_two_pools);
    RUN(bank_with_a_small_log_and_restless_connections);
    RUN(grows_when_needed_and_not_before);
    RUN(reserve_for_the_critical);
    RUN(first_come_first_served);
    RUN(the_critical_go_first);
    RUN(a_waiting_writer_holds_up_no_reader);
    RUN(leak_report);
    RUN(a_thread_that_ends_with_its_lease);
    RUN(idle_connections_are_closed);
    RUN(old_connections_are_replaced);
    RUN(close_beside_running_calls);
    return test_end();
}
