/*  callers.h - what the tests of shared and submitted writes share. SPDX-License-Identifier: MIT OR Unlicense

    A caller is one write in a thread of its own: a statement, a script, or a function. gather() holds
    the writer until all callers wait for it, in their order; the first of them then leads the others.
    A holder is a thread that has the writer until it is told to give it back. */
#ifndef CALLERS_H
#define CALLERS_H

#include "api.h"
#include "sim/sim.h"

#define TABLE "CREATE TABLE t(id INTEGER PRIMARY KEY, v);"
#define INSERT "INSERT INTO t(v) VALUES(?)"
#define COUNT_T "SELECT count(*) FROM t"
#define ENDLESS_INSERT \
    "INSERT INTO t(v) SELECT max(i) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL " \
    "SELECT i + 1 FROM n) SELECT i FROM n)"
#define POISON_TABLES \
    "CREATE TABLE u(k UNIQUE NOT NULL CHECK(k <> 'bad')); INSERT INTO u VALUES('dup');" \
    "CREATE TABLE r(v); CREATE TRIGGER r_in BEFORE INSERT ON r BEGIN SELECT CASE NEW.v " \
    "WHEN 1 THEN RAISE(ROLLBACK, 'r') WHEN 2 THEN RAISE(ABORT, 'a') ELSE RAISE(FAIL, 'f') END; " \
    "END;" \
    "CREATE TABLE parent(id INTEGER PRIMARY KEY); CREATE TABLE child(p REFERENCES parent " \
    "DEFERRABLE INITIALLY DEFERRED, k UNIQUE);"

static sqlpool_error err;

/*  Inside a function or a thread: marks the test failed and goes on. */
#define EXPECT_INT(actual, expected) \
    do { \
        const int64_t test_a = (int64_t)(actual), test_e = (int64_t)(expected); \
        if (test_a != test_e) \
            test_fail(__FILE__, __LINE__, "%s is %" PRId64 ", expected %s = %" PRId64, #actual, \
                      test_a, #expected, test_e); \
    } while (0)

static inline void mark(int *flag, int value) {
    __atomic_store_n(flag, value, __ATOMIC_SEQ_CST);
}
static inline int look(const int *flag) {
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}
static inline int count_up(int *count) {
    return __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
}
/*  Until the flag has the value, or a minute has passed. */
static inline bool await(const int *flag, int value) {
    const int64_t end = now_ms() + 60000;
    while (look(flag) != value && now_ms() < end) sleep_ms(1);
    return look(flag) == value;
}

/*---- a place where somebody stops: 0 pass, 1 stop here, 2 somebody stands here ----*/

static inline void wait_at(int *state) {
    int expected = 1;
    if (!__atomic_compare_exchange_n(state, &expected, 2, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST))
        return;
    while (look(state) == 2) sleep_ms(1);
}
static inline void arm(int *state) {
    mark(state, 1);
}
static inline bool await_holder(const int *state) {
    return await(state, 2);
}
static inline void let_go(int *state) {
    mark(state, 0);
}

/*---- log lines ----*/

enum { LOG_KEPT = 8 };
typedef struct lines {
    int counts[SQLPOOL_LOG_ITEM_COUNT];               /* atomic */
    char text[SQLPOOL_LOG_ITEM_COUNT][LOG_KEPT][400]; /* read when the count has been seen */
} lines;

static inline void write_line(void *user, sqlpool_level level, sqlpool_log_item item,
                              const char *message) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    lines *l = (lines *)user;
    (void)level;
    (void)pthread_mutex_lock(&lock);
    (void)snprintf(l->text[item][l->counts[item] % LOG_KEPT], sizeof l->text[0][0], "%s", message);
    (void)count_up(&l->counts[item]);
    (void)pthread_mutex_unlock(&lock);
}
/*  Has a line of this item with this part come? */
static inline bool has_line(const lines *l, sqlpool_log_item item, const char *part) {
    int i;
    for (i = 0; i < look(&l->counts[item]) && i < LOG_KEPT; i++) {
        if (strstr(l->text[item][i], part) != NULL) return true;
    }
    return false;
}
/*  The same within a minute. */
static inline bool await_line(const lines *l, sqlpool_log_item item, const char *part) {
    const int64_t end = now_ms() + 60000;
    while (!has_line(l, item, part) && now_ms() < end) sleep_ms(5);
    return has_line(l, item, part);
}

/*---- pools ----*/

/*  What is said goes to these lines, which are empty. */
static inline void log_to(sqlpool_config *config, lines *l) {
    memset(l, 0, sizeof *l);
    config->log.user = l;
    config->log.write_fn = write_line;
}
/*  And what is out for long is reported there at once. */
static inline void report_leaks_to(sqlpool_config *config, lines *l) {
    config->leak_report_ms = 50;
    config->upkeep_interval_ms = 10;
    log_to(config, l);
}

static inline sqlpool_config patient(void) {
    sqlpool_config config = config_of(2);
    config.acquire_timeout_ms = 120000;
    config.close_timeout_ms = 120000;
    config.group_us = 1000000;
    return config;
}
static inline sqlpool_config on_sim_disk(void) {
    sqlpool_config config = patient();
    config.vfs_name = "sim";
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    config.breaker_open_ms = SQLPOOL_OFF; /* the next write is tried */
    config.wal_budget_bytes = 1 << 30;    /* no checkpoint draws a number */
    return config;
}
static inline void fail_disk(int kind, int code, uint64_t at) {
    sim_vfs_fault fault;
    memset(&fault, 0, sizeof fault);
    fault.at = at;
    fault.kind = kind;
    fault.code = code;
    sim_vfs_arm(fault);
}
static inline int64_t ask_file(const char *path, const char *sql) {
    sqlite3 *db = raw_open(path);
    const int64_t value = db == NULL ? INT64_MIN : raw_ask(db, sql);
    (void)sqlite3_close(db);
    return value;
}

/*  The values of table t in the order of their rows. */
static inline void check_values(sqlpool *pool, const char *expected) {
    char text[400];
    CHECK_OK(sqlpool_query_text(pool, text, sizeof text,
                                "SELECT group_concat(v) FROM (SELECT v FROM t ORDER BY id)",
                                SQLPOOL_NO_ARGS, &err),
             &err);
    CHECK_STR(text, expected);
}
/*  An insert of fn(?1) and many times ?1: many instructions and no jump. */
static inline void long_insert(char *sql, size_t bytes, const char *fn) {
    size_t used = (size_t)snprintf(sql, bytes, "INSERT INTO t(v) VALUES(%s(?1)", fn);
    while (used < 1500) used += (size_t)snprintf(sql + used, bytes - used, " + ?1");
    (void)snprintf(sql + used, bytes - used, ")");
}

static inline int submit_value(sqlpool *pool, sqlpool_ticket *ticket, int64_t value) {
    return sqlpool_submit(pool, ticket, INSERT, SQLPOOL_ARGS(value), &err);
}

/*---- time that moves only when somebody waits ----*/

static sim_clock own_time;
static int64_t waited_from;

static inline void begin_own_time(sqlpool_config *config) {
    memset(&own_time, 0, sizeof own_time);
    config->clock = sim_clock_hooks(&own_time);
    waited_from = own_time.now_ns;
}
/*  Milliseconds that were waited since this was asked. */
static inline int64_t waited_ms(void) {
    const int64_t waited = (own_time.now_ns - waited_from) / 1000000;
    waited_from = own_time.now_ns;
    return waited;
}

/*---- callers ----*/

enum { MOST = 64 };
typedef struct caller {
    sqlpool *pool;
    const char *sql; /* a statement; or a script; or NULL: fn */
    sqlpool_value args[2];
    int count;
    bool is_script;
    bool is_query, walks; /* to the last row, on its own thread */
    int seen;
    sqlpool_transaction_fn fn;
    void *user;
    sqlpool_call call;
    sqlpool_token token;
    sqlpool_result result;
    sqlpool_rows rows;
    sqlpool_error error;
    int rc;
    int is_back; /* atomic */
    pthread_t thread;
} caller;

static caller callers[MOST];

static inline void *run_caller(void *argument) {
    caller *c = (caller *)argument;
    const sqlpool_value *args = c->count > 0 ? c->args : NULL;
    memset(&c->error, 0x5a, sizeof c->error);
    if (c->fn != NULL)
        c->rc = sqlpool_write_with(c->pool, &c->call, &c->result, c->fn, c->user, &c->error);
    else if (c->is_script)
        c->rc = sqlpool_script(c->pool, c->sql, -1, &c->error);
    else if (c->is_query)
        c->rc = sqlpool_query_with(c->pool, &c->call, &c->rows, c->sql, args, c->count, &c->error);
    else
        c->rc = sqlpool_exec_with(c->pool, &c->call, &c->result, c->sql, args, c->count, &c->error);
    if (c->walks && c->rc == SQLPOOL_OK) {
        while (sqlpool_rows_next(&c->rows)) c->seen++;
        c->rc = sqlpool_rows_close(&c->rows, &c->error);
    }
    mark(&c->is_back, 1);
    return NULL;
}
static inline caller *with_int(caller *c, const char *sql, int64_t value) {
    memset(c, 0, sizeof *c);
    c->sql = sql;
    c->args[0] = sqlpool_value_int64(value);
    c->count = 1;
    return c;
}
static inline caller *with_sql(caller *c, const char *sql) {
    memset(c, 0, sizeof *c);
    c->sql = sql;
    return c;
}
static inline caller *with_fn(caller *c, sqlpool_transaction_fn fn, void *user) {
    memset(c, 0, sizeof *c);
    c->fn = fn;
    c->user = user;
    return c;
}

/*  Starts caller `at` and returns when so many wait for the writer. */
static inline bool queue_caller(sqlpool *pool, int at, int waiting) {
    const int64_t end = now_ms() + 60000;
    callers[at].pool = pool;
    if (!start_thread(&callers[at].thread, run_caller, &callers[at])) return false;
    while (stats_of(pool).waiting_write != waiting && !look(&callers[at].is_back) && now_ms() < end)
        (void)usleep(100);
    return stats_of(pool).waiting_write == waiting;
}
/*  The same for a queue that somebody may leave meanwhile. */
static inline bool queue_soon(sqlpool *pool, int at) {
    const int before = stats_of(pool).waiting_write;
    const int64_t end = now_ms() + 100;
    callers[at].pool = pool;
    if (!start_thread(&callers[at].thread, run_caller, &callers[at])) return false;
    while (stats_of(pool).waiting_write <= before && !look(&callers[at].is_back) && now_ms() < end)
        (void)usleep(100);
    return true;
}
static inline void join(int count) {
    int i;
    for (i = 0; i < count; i++) (void)pthread_join(callers[i].thread, NULL);
}
/*  The writer is held and callers 0 .. count - 1 wait for it in that order. */
static inline bool gather(sqlpool *pool, int count, sqlpool_conn *writer) {
    int i;
    if (sqlpool_conn_acquire(pool, SQLPOOL_WRITE, writer, &err) != SQLPOOL_OK) {
        test_fail(__FILE__, __LINE__, "acquire: %s", err.message);
        return false;
    }
    for (i = 0; i < count; i++) {
        if (!queue_caller(pool, i, i + 1)) {
            test_fail(__FILE__, __LINE__, "caller %d does not wait: %d %s", i, callers[i].rc,
                      callers[i].error.message);
            return false;
        }
    }
    return true;
}
/*  All of them, from the first to the last. */
static inline bool run_callers(sqlpool *pool, int count) {
    sqlpool_conn writer;
    if (!gather(pool, count, &writer)) return false;
    if (sqlpool_conn_release(&writer) != SQLPOOL_OK) return false;
    join(count);
    return true;
}

/*  They begin, and whoever comes to the place first stands there. */
static inline bool bring_to(int *place, sqlpool *pool, int count) {
    sqlpool_conn writer;
    int rc;
    if (!gather(pool, count, &writer)) return false;
    arm(place);
    rc = sqlpool_conn_release(&writer);
    if (rc != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "release: %s", sqlpool_result_name(rc));
    if (rc == SQLPOOL_OK && !await_holder(place)) {
        test_fail(__FILE__, __LINE__, "nobody came to the place");
        return false;
    }
    return rc == SQLPOOL_OK;
}
/*  An SQL function: sets the flag of caller number v, as a cancellation does that comes too late to
    interrupt it. */
static inline void fire_function(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    __atomic_store_n(&callers[sqlite3_value_int(values[0])].token.fired, 1, __ATOMIC_SEQ_CST);
    sqlite3_result_value(context, values[0]);
}

/*  The call ended so, and its error agrees. */
static inline void check_caller(int at, int rc, int outcome) {
    caller *c = &callers[at];
    const char *what = c->sql != NULL ? c->sql : "sqlpool_write()";
    if (!api_agrees(__FILE__, __LINE__, what, c->rc, rc, sqlpool_result_name(rc), &c->error))
        return;
    if (c->error.outcome != outcome && !c->is_script)
        test_fail(__FILE__, __LINE__, "caller %d: %s: outcome %d, expected %d", at, what,
                  c->error.outcome, outcome);
}
static inline void check_ok(int at) {
    check_caller(at, SQLPOOL_OK, SQLPOOL_OUTCOME_COMMITTED);
}

/*  All but one, or with -1 all. */
static inline void check_others(int count, int but) {
    int i;
    for (i = 0; i < count; i++) {
        if (i != but) PART(check_ok(i));
    }
}

/*  Of callers 0 .. 3, number 1 is out of time and number 2 cancelled while the writer is held. */
static inline void two_give_up(sqlpool *pool) {
    sqlpool_conn writer;
    int i;
    callers[1].call.timeout_ms = 300;
    callers[2].call.token = &callers[2].token;
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
    CHECK(queue_caller(pool, 0, 1));
    for (i = 1; i < 4; i++) CHECK(queue_soon(pool, i));
    (void)pthread_join(callers[1].thread, NULL);
    CHECK_INT(sqlpool_cancel(pool, &callers[2].token), SQLPOOL_OK);
    (void)pthread_join(callers[2].thread, NULL);
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    (void)pthread_join(callers[0].thread, NULL);
    (void)pthread_join(callers[3].thread, NULL);
    check_ok(0);
    check_ok(3);
    check_caller(1, SQLPOOL_TIMEOUT, SQLPOOL_OUTCOME_NOT_COMMITTED);
    check_caller(2, SQLPOOL_CANCELLED, SQLPOOL_OUTCOME_NOT_COMMITTED);
}

/*---- disk and memory that fail ----*/

static inline bool install_sim(void) {
    if (sim_alloc_install() == SQLITE_OK && sim_vfs_install() == SQLITE_OK) return true;
    printf("# the simulator cannot be installed\n");
    return false;
}

/*  Those who wait for this writer run on a disk that fails once, as armed. */
static inline void run_into_fault(sqlpool_conn *writer, int count) {
    CHECK_INT(sqlpool_conn_release(writer), SQLPOOL_OK);
    join(count);
    sim_vfs_heal();
    CHECK_INT((int64_t)sim_vfs.faults, 1);
}
/*  They run while allocation number `at` fails. */
static inline void run_into_nomem(sqlpool *pool, int count, uint64_t at) {
    sqlpool_conn writer;
    CHECK(gather(pool, count, &writer));
    sim_alloc_fail(at, 0);
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    join(count);
    sim_alloc_heal();
}
static inline void check_ok_or_nomem(int at) {
    const bool is_ok = callers[at].rc == SQLPOOL_OK;
    if (!is_ok && !is_nomem(callers[at].rc)) check_ok(at);
    CHECK(is_ok || is_nomem(callers[at].rc));
    CHECK_INT(callers[at].error.outcome,
              is_ok ? SQLPOOL_OUTCOME_COMMITTED : SQLPOOL_OUTCOME_NOT_COMMITTED);
}
/*  All memory has been given back in good order. */
static inline void check_memory(void) {
    char why[400];
    if (sim_alloc_check(why, sizeof why)) test_fail(__FILE__, __LINE__, "%s", why);
    sim_alloc_forget();
}

/*---- the writer in another thread's hands ----*/

typedef struct holder {
    sqlpool *pool;
    int state; /* atomic; 1: has it, 2: give it back */
    pthread_t thread;
} holder;

static inline void *hold_writer(void *argument) {
    holder *h = (holder *)argument;
    sqlpool_conn conn;
    if (sqlpool_conn_acquire(h->pool, SQLPOOL_WRITE, &conn, NULL) != SQLPOOL_OK) {
        mark(&h->state, 3);
        return NULL;
    }
    mark(&h->state, 1);
    (void)await(&h->state, 2);
    (void)sqlpool_conn_release(&conn);
    return NULL;
}
static inline bool take_writer(holder *h, sqlpool *pool) {
    h->pool = pool;
    mark(&h->state, 0);
    if (!start_thread(&h->thread, hold_writer, h)) return false;
    while (look(&h->state) == 0) sleep_ms(1);
    return look(&h->state) == 1;
}
static inline void give_writer(holder *h) {
    mark(&h->state, 2);
    (void)pthread_join(h->thread, NULL);
}

#endif
