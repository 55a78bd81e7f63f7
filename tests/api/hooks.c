/*  hooks.c - allocator, locks, clock, random, log, events, and the caller's own SQLite handlers.
    SPDX-License-Identifier: MIT OR Unlicense */
#define _POSIX_C_SOURCE 200809L
#include "api.h"
#include <unistd.h>
#include <sys/wait.h>

#include <signal.h>

static sqlpool_error err;
static const char schema[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES('one')";

/*------------------------------------------------------------------------------
 * allocator
 *----------------------------------------------------------------------------*/

typedef struct heap {
    pthread_mutex_t lock;
    int64_t live_bytes, live_blocks, calls, fail_at;
    int wrong;
} heap;
static heap the_heap = {PTHREAD_MUTEX_INITIALIZER, 0, 0, 0, 0, 0};

/*  Each block is preceded by its size and a mark, so that a wrong size or a foreign block shows. */
typedef union block_head {
    struct {
        size_t bytes;
        uint64_t mark;
    } is;
    long double align;
    void *pointer;
} block_head;
static const uint64_t mark = UINT64_C(0x73716c706f6f6c21);

static void *heap_alloc(void *user, size_t bytes) {
    heap *h = (heap *)user;
    block_head *block = NULL;
    (void)pthread_mutex_lock(&h->lock);
    h->calls++;
    if (bytes == 0) h->wrong = __LINE__;
    if (h->calls != h->fail_at) {
        block = (block_head *)malloc(sizeof(block_head) + bytes);
        if (block != NULL) {
            block->is.bytes = bytes;
            block->is.mark = mark;
            h->live_bytes += (int64_t)bytes;
            h->live_blocks++;
        }
    }
    (void)pthread_mutex_unlock(&h->lock);
    return block == NULL ? NULL : (void *)(block + 1);
}
static void heap_free(void *user, void *memory, size_t bytes) {
    heap *h = (heap *)user;
    block_head *block = (block_head *)memory - 1;
    (void)pthread_mutex_lock(&h->lock);
    if (memory == NULL) {
        h->wrong = __LINE__;
    } else {
        if (block->is.mark != mark) h->wrong = __LINE__;
        if (block->is.bytes != bytes) h->wrong = __LINE__;
        block->is.mark = 0;
        h->live_bytes -= (int64_t)bytes;
        h->live_blocks--;
        free(block);
    }
    (void)pthread_mutex_unlock(&h->lock);
}
static void *heap_resize(void *user, void *memory, size_t old_bytes, size_t new_bytes) {
    void *fresh = heap_alloc(user, new_bytes);
    if (fresh == NULL) return NULL;
    if (memory != NULL) {
        memcpy(fresh, memory, old_bytes < new_bytes ? old_bytes : new_bytes);
        heap_free(user, memory, old_bytes);
    }
    return fresh;
}
static void use_heap(sqlpool_config *config) {
    config->allocator.user = &the_heap;
    config->allocator.alloc_fn = heap_alloc;
    config->allocator.resize_fn = heap_resize;
    config->allocator.free_fn = heap_free;
    the_heap.live_bytes = the_heap.live_blocks = the_heap.calls = the_heap.fail_at = 0;
    the_heap.wrong = 0;
}

static int insert_two(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_script(conn, "INSERT INTO t(v) VALUES(2); INSERT INTO t(v) VALUES(3)", -1, NULL);
}

/*  A bit of everything; the first result that is not OK. */
static int use_everything(sqlpool *pool) {
    sqlpool_conn conn, second;
    sqlpool_rows rows;
    sqlpool_error error;
    sqlite3_stmt *statement;
    char text[3000];
    int64_t value;
    int rc;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    if ((rc = sqlpool_exec(pool, "INSERT INTO t(v) VALUES(?)", SQLPOOL_ARGS(text), &error)) != SQLPOOL_OK) return rc;
    if ((rc = sqlpool_query(pool, &rows, "SELECT v, ? FROM t", SQLPOOL_ARGS(text), &error)) != SQLPOOL_OK) return rc;
    while (sqlpool_rows_next(&rows)) continue;
    if ((rc = sqlpool_rows_close(&rows, &error)) != SQLPOOL_OK) return rc;
    if (sqlite3_libversion_number() >= 3035000) {
        rc = sqlpool_query(pool, &rows, "UPDATE t SET v = v RETURNING v, v || v", SQLPOOL_NO_ARGS, &error);
        while (sqlpool_rows_next(&rows)) continue;
        if (rc == SQLPOOL_OK) rc = sqlpool_rows_close(&rows, &error);
        if (rc != SQLPOOL_OK) return rc;
    }
    if ((rc = sqlpool_query_int64(pool, &value, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, &error)) != SQLPOOL_OK) return rc;
    if ((rc = sqlpool_transaction(pool, SQLPOOL_WRITE, insert_two, NULL, &error)) != SQLPOOL_OK) return rc;
    if ((rc = sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &error)) != SQLPOOL_OK) return rc;
    rc = sqlpool_conn_stmt(&conn, "SELECT 1", &statement, &error);
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_stmt(&conn, "SELECT 1", &statement, &error);
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_query(&conn, &rows, "SELECT ?", SQLPOOL_ARGS(text), &error);
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_acquire(pool, SQLPOOL_READ, &second, &error);
    if (rc == SQLPOOL_OK) (void)sqlpool_conn_release(&second);
    (void)sqlpool_conn_release(&conn);
    if (rc != SQLPOOL_OK) return rc;
    return sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &error);
}

TEST(allocator_gets_everything_back) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_stats stats;
    sqlpool *pool;
    use_heap(&config);
    pool = open_pool("heap.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_INT(use_everything(pool), SQLPOOL_OK);
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    CHECK_INT(use_everything(pool), SQLPOOL_OK);
    CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    CHECK(the_heap.live_bytes > 0);
    CHECK_INT(stats.memory_bytes, the_heap.live_bytes);
    CHECK_INT(stats.allocations, the_heap.calls);
    close_pool(pool);
    CHECK_INT(the_heap.live_blocks, 0);
    CHECK_INT(the_heap.live_bytes, 0);
    CHECK_INT(the_heap.wrong, 0);
    pool = NULL;
    use_heap(&config);
    CHECK(sqlpool_open(&pool, "no/such/folder/heap.db", &config, &err) > 0); /* a failed open too */
    CHECK_INT(the_heap.live_blocks, 0);
    CHECK_INT(the_heap.wrong, 0);
}

TEST(every_allocation_of_open_can_fail) {
    int64_t n;
    int successes = 0;
    for (n = 1; n < 2000 && successes == 0; n++) {
        sqlpool_config config = sqlpool_config_default();
        sqlpool *pool = (sqlpool *)(void *)&config;
        int rc;
        use_heap(&config);
        config.disable_upkeep_thread = true;
        the_heap.fail_at = n;
        rc = sqlpool_open(&pool, "oom.db", &config, &err);
        if (rc == SQLPOOL_OK) {
            successes += the_heap.calls < n; /* it never came to the failing one */
            CHECK_INT(sqlpool_close(pool, &err), SQLPOOL_OK);
        } else {
            if (rc != SQLPOOL_NOMEM || err.message[0] == '\0')
                test_fail(__FILE__, __LINE__, "allocation %d: %s: %s", (int)n, sqlpool_result_name(rc), err.message);
            CHECK(pool == NULL);
        }
        CHECK_INT(the_heap.live_blocks, 0);
        CHECK_INT(the_heap.wrong, 0);
    }
    CHECK_INT(successes, 1);
    CHECK(n > 3);
}

/*------------------------------------------------------------------------------
 * locks, clock, random
 *----------------------------------------------------------------------------*/

typedef struct counts {
    int mutexes, conditions, threads; /* alive; atomic */
    int locks, waits, nows, sleeps, randoms;
    int inits, fail_init_at, fail_create, wrong;
    uint64_t random;
} counts;
static counts the_counts;
#define ADD(member, n) (void)__atomic_add_fetch(&the_counts.member, (n), __ATOMIC_SEQ_CST)

typedef char mutex_fits[sizeof(pthread_mutex_t) <= sizeof(sqlpool_mutex) ? 1 : -1];
typedef char condition_fits[sizeof(pthread_cond_t) <= sizeof(sqlpool_condition) ? 1 : -1];

static bool init_fails(void) {
    const int n = __atomic_add_fetch(&the_counts.inits, 1, __ATOMIC_SEQ_CST);
    return n == the_counts.fail_init_at;
}
static int lock_init(void *user, sqlpool_mutex *mutex) {
    pthread_mutexattr_t attributes;
    int rc;
    (void)user;
    if (init_fails()) return 1;
    (void)pthread_mutexattr_init(&attributes);
    (void)pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    rc = pthread_mutex_init((pthread_mutex_t *)(void *)mutex, &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
    ADD(mutexes, 1);
    return rc;
}
static void lock_destroy(void *user, sqlpool_mutex *mutex) {
    (void)user;
    if (pthread_mutex_destroy((pthread_mutex_t *)(void *)mutex) != 0) the_counts.wrong = __LINE__;
    ADD(mutexes, -1);
}
static void lock_lock(void *user, sqlpool_mutex *mutex) {
    (void)user;
    if (pthread_mutex_lock((pthread_mutex_t *)(void *)mutex) != 0) the_counts.wrong = __LINE__; /* recursive? */
    ADD(locks, 1);
}
static void lock_unlock(void *user, sqlpool_mutex *mutex) {
    (void)user;
    if (pthread_mutex_unlock((pthread_mutex_t *)(void *)mutex) != 0) the_counts.wrong = __LINE__; /* not the owner? */
}
static int condition_init(void *user, sqlpool_condition *condition) {
    pthread_condattr_t attributes;
    int rc;
    (void)user;
    if (init_fails()) return 1;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    rc = pthread_cond_init((pthread_cond_t *)(void *)condition, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    ADD(conditions, 1);
    return rc;
}
static void condition_destroy(void *user, sqlpool_condition *condition) {
    (void)user;
    if (pthread_cond_destroy((pthread_cond_t *)(void *)condition) != 0) the_counts.wrong = __LINE__;
    ADD(conditions, -1);
}
static void condition_wait(void *user, sqlpool_condition *condition, sqlpool_mutex *mutex, int64_t timeout_ns) {
    (void)user;
    ADD(waits, 1);
    if (timeout_ns < 0) {
        (void)pthread_cond_wait((pthread_cond_t *)(void *)condition, (pthread_mutex_t *)(void *)mutex);
    } else {
        struct timespec t;
        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        if (timeout_ns > INT64_C(3600000000000)) timeout_ns = INT64_C(3600000000000);
        t.tv_sec += (time_t)(timeout_ns / 1000000000);
        t.tv_nsec += (long)(timeout_ns % 1000000000);
        if (t.tv_nsec >= 1000000000L) t.tv_sec++, t.tv_nsec -= 1000000000L;
        (void)pthread_cond_timedwait((pthread_cond_t *)(void *)condition, (pthread_mutex_t *)(void *)mutex, &t);
    }
}
static void condition_signal(void *user, sqlpool_condition *condition) {
    (void)user;
    (void)pthread_cond_broadcast((pthread_cond_t *)(void *)condition);
}
static uint64_t thread_id(void *user) {
    (void)user;
    return (uint64_t)pthread_self();
}
typedef struct thread_start {
    pthread_t thread;
    void (*run)(void *);
    void *argument;
} thread_start;
static void *thread_main(void *argument) {
    thread_start *start = (thread_start *)argument;
    start->run(start->argument);
    return NULL;
}
static int thread_create(void *user, void **thread, void (*run)(void *), void *argument) {
    thread_start *start;
    (void)user;
    if (the_counts.fail_create) return 1;
    start = (thread_start *)malloc(sizeof *start);
    if (start == NULL) return 1;
    start->run = run;
    start->argument = argument;
    if (pthread_create(&start->thread, NULL, thread_main, start) != 0) {
        free(start);
        return 1;
    }
    *thread = start;
    ADD(threads, 1);
    return 0;
}
static void thread_join(void *user, void *thread) {
    thread_start *start = (thread_start *)thread;
    (void)user;
    if (pthread_join(start->thread, NULL) != 0) the_counts.wrong = __LINE__;
    free(start);
    ADD(threads, -1);
}
static int64_t clock_now(void *user) {
    struct timespec t;
    (void)user;
    ADD(nows, 1);
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_nsec;
}
static void clock_sleep(void *user, int64_t ns) {
    struct timespec t;
    (void)user;
    ADD(sleeps, 1);
    if (ns < 0 || ns > INT64_C(10000000000)) the_counts.wrong = __LINE__, ns = 1000;
    t.tv_sec = (time_t)(ns / 1000000000);
    t.tv_nsec = (long)(ns % 1000000000);
    (void)nanosleep(&t, NULL);
}
static uint64_t random_next(void *user) {
    (void)user;
    ADD(randoms, 1);
    return the_counts.random;
}
static void use_all_hooks(sqlpool_config *config) {
    use_heap(config);
    memset(&the_counts, 0, sizeof the_counts);
    config->locks.mutex_init_fn = lock_init;
    config->locks.mutex_destroy_fn = lock_destroy;
    config->locks.mutex_lock_fn = lock_lock;
    config->locks.mutex_unlock_fn = lock_unlock;
    config->locks.condition_init_fn = condition_init;
    config->locks.condition_destroy_fn = condition_destroy;
    config->locks.condition_wait_fn = condition_wait;
    config->locks.condition_signal_fn = condition_signal;
    config->locks.thread_id_fn = thread_id;
    config->locks.thread_create_fn = thread_create;
    config->locks.thread_join_fn = thread_join;
    config->clock.now_ns_fn = clock_now;
    config->clock.sleep_ns_fn = clock_sleep;
    config->random.next_fn = random_next;
}
static void check_all_back(void) {
    CHECK_INT(the_counts.mutexes, 0);
    CHECK_INT(the_counts.conditions, 0);
    CHECK_INT(the_counts.threads, 0);
    CHECK_INT(the_counts.wrong, 0);
    CHECK_INT(the_heap.live_blocks, 0);
    CHECK_INT(the_heap.wrong, 0);
}

static void *wait_a_little(void *argument) {
    sqlpool *pool = (sqlpool *)argument;
    sqlpool_call call = {3000, 0, 0, NULL, NULL};
    if (sqlpool_exec_with(pool, &call, NULL, "INSERT INTO t(v) VALUES(5)", SQLPOOL_NO_ARGS, NULL) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "a waiting write failed");
    return NULL;
}

TEST(locks_clock_and_random) {
    static const uint64_t numbers[] = {0, UINT64_MAX, 1, UINT64_C(0x8000000000000000)};
    int i;
    for (i = 0; i < LENGTH(numbers); i++) {
        sqlpool_config config = sqlpool_config_default();
        sqlpool_conn conn;
        pthread_t thread;
        sqlite3 *db;
        sqlpool *pool;
        sqlpool_call call = {60, 0, 0, NULL, NULL};
        use_all_hooks(&config);
        the_counts.random = numbers[i];
        (void)unlink("allhooks.db");
        pool = open_pool("allhooks.db", &config, schema);
        CHECK(pool != NULL);
        CHECK_INT(the_counts.threads, 1); /* upkeep */
        CHECK_INT(use_everything(pool), SQLPOOL_OK);
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
        CHECK(start_thread(&thread, wait_a_little, pool));
        sleep_ms(20);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_INT(pthread_join(thread, NULL), 0);
        db = raw_open("allhooks.db"); /* polling another connection's lock */
        CHECK(db != NULL && raw_exec(db, "BEGIN IMMEDIATE"));
        CHECK_RC(sqlpool_exec_with(pool, &call, NULL, "INSERT INTO t(v) VALUES(9)", SQLPOOL_NO_ARGS, &err), SQLPOOL_TIMEOUT, &err);
        CHECK_INT(sqlite3_close(db), SQLITE_OK);
        CHECK(__atomic_load_n(&the_counts.locks, __ATOMIC_SEQ_CST) > 0 && __atomic_load_n(&the_counts.waits, __ATOMIC_SEQ_CST) > 0);
        CHECK(__atomic_load_n(&the_counts.nows, __ATOMIC_SEQ_CST) > 0 && __atomic_load_n(&the_counts.randoms, __ATOMIC_SEQ_CST) > 0);
        close_pool(pool);
        PART(check_all_back());
    }
}

TEST(locks_that_cannot_be_made) {
    int n, rc = -1;
    sqlpool_config config = sqlpool_config_default();
    sqlpool *pool;
    for (n = 1; n < 500; n++) {
        use_all_hooks(&config);
        the_counts.fail_init_at = n;
        pool = (sqlpool *)(void *)&config;
        rc = sqlpool_open(&pool, "nolocks.db", &config, &err);
        if (rc == SQLPOOL_OK) {
            const bool all = the_counts.inits < n;
            CHECK_INT(sqlpool_close(pool, &err), SQLPOOL_OK);
            PART(check_all_back());
            if (all) break;
        } else {
            CHECK(pool == NULL);
            CHECK(err.message[0] != '\0' && err.result == rc);
            PART(check_all_back());
        }
    }
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK(n > 1 && n < 500);
    use_all_hooks(&config);
    the_counts.fail_create = 1;
    CHECK(sqlpool_open(&pool, "nolocks.db", &config, &err) != SQLPOOL_OK); /* no upkeep thread */
    CHECK(pool == NULL);
    CHECK_HAS(err.message, "thread");
    PART(check_all_back());
    use_all_hooks(&config);
    the_counts.fail_create = 1;
    config.disable_upkeep_thread = true;
    pool = open_pool("nolocks.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_tick(pool, 1000), SQLPOOL_OK);
    close_pool(pool);
    PART(check_all_back());
}

static int no_work(sqlpool *pool, const sqlpool_maintenance *options, void *user, sqlpool_error *error) {
    (void)pool, (void)options, (void)error;
    (void)__atomic_add_fetch((int *)user, 1, __ATOMIC_SEQ_CST);
    return 0;
}
TEST(a_schedule_without_its_condition_or_thread) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_schedule_config schedule;
    sqlpool_task task;
    sqlpool *pool;
    int i, calls = 0;
    memset(&schedule, 0, sizeof schedule);
    memset(&task, 0, sizeof task);
    task.name = "work";
    task.fn = no_work;
    task.user = &calls;
    task.interval_s = 86400;
    schedule.tasks = &task;
    schedule.count = 1;
    use_all_hooks(&config);
    pool = open_pool("noplan.db", &config, NULL);
    CHECK(pool != NULL);
    the_counts.fail_init_at = the_counts.inits + 1;
    CHECK_RC(sqlpool_schedule(pool, &schedule, &err), SQLPOOL_NOMEM, &err);
    CHECK_HAS(err.message, "no memory for the schedule");
    the_counts.fail_create = 1;
    CHECK_RC(sqlpool_schedule(pool, &schedule, &err), SQLPOOL_NOMEM, &err);
    CHECK_HAS(err.message, "no thread for the schedule");
    CHECK_INT(sqlpool_schedule_state(pool, NULL, 0), 0);
    the_counts.fail_create = 0;
    CHECK_OK(sqlpool_schedule(pool, &schedule, &err), &err);
    for (i = 0; i < 20000 && __atomic_load_n(&calls, __ATOMIC_SEQ_CST) == 0; i++) sleep_ms(1);
    CHECK_INT(calls, 1);
    close_pool(pool);
    PART(check_all_back());
}

/*------------------------------------------------------------------------------
 * events
 *----------------------------------------------------------------------------*/

static struct {
    pthread_mutex_t lock;
    char order[4000];
    size_t used;
    uint64_t commits;
    int retry_code, retry_attempt;
    int64_t retry_delay;
    sqlpool_error last_error;
    int fail_key, fail_connect; /* the n-th returns this code */
    int code;
    int keys, connects;
    sqlpool *pool; /* for hooks that look into it */
} seen;

static void note(char what) {
    sqlpool *pool;
    (void)pthread_mutex_lock(&seen.lock);
    if (seen.used < sizeof seen.order - 1) seen.order[seen.used++] = what;
    seen.order[seen.used] = '\0';
    (void)pthread_mutex_unlock(&seen.lock);
    pool = __atomic_load_n(&seen.pool, __ATOMIC_ACQUIRE);
    if (pool != NULL) { /* no lock of the pool is held: looking in is allowed */
        sqlpool_stats stats;
        sqlpool_holder holder;
        char text[200];
        if (sqlpool_get_stats(pool, &stats) != SQLPOOL_OK || sqlpool_holders(pool, &holder, 1) < 0 ||
            sqlpool_status_text(pool, text, sizeof text) < 0)
            test_fail(__FILE__, __LINE__, "looking into the pool from event %c failed", what);
    }
}
static int count_of(char what) {
    int n = 0;
    const char *p;
    (void)pthread_mutex_lock(&seen.lock);
    for (p = seen.order; *p != '\0'; p++) n += *p == what;
    (void)pthread_mutex_unlock(&seen.lock);
    return n;
}
static int on_key(void *user, sqlite3 *db) {
    note('K');
    if (user != &seen || db == NULL) test_fail(__FILE__, __LINE__, "wrong user pointer");
    if (sqlite3_exec(db, "PRAGMA page_size=8192", NULL, NULL, NULL) != SQLITE_OK) return SQLITE_ERROR;
    return __atomic_add_fetch(&seen.keys, 1, __ATOMIC_SEQ_CST) == seen.fail_key ? seen.code : 0;
}
static int on_connect(void *user, const sqlpool_conn *conn) {
    sqlpool_conn copy = *conn;
    (void)user;
    note('C');
    if (sqlpool_conn_exec(&copy, "SELECT 1", SQLPOOL_NO_ARGS, NULL, NULL) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "connect_fn cannot use its lease");
    return __atomic_add_fetch(&seen.connects, 1, __ATOMIC_SEQ_CST) == seen.fail_connect ? seen.code : 0;
}
static void on_acquire(void *user, const sqlpool_conn *conn) {
    (void)user;
    if (conn->lease == 0) test_fail(__FILE__, __LINE__, "acquire_fn without a lease");
    note('A');
}
static void on_release(void *user, const sqlpool_conn *conn) {
    (void)user, (void)conn;
    note('R');
}
static void on_destroy(void *user, sqlite3 *db) {
    (void)user;
    if (db == NULL || sqlite3_db_filename(db, "main") == NULL) test_fail(__FILE__, __LINE__, "destroy_fn without a connection");
    note('D');
}
static void on_error(void *user, const sqlpool_error *error) {
    (void)user;
    (void)pthread_mutex_lock(&seen.lock);
    seen.last_error = *error;
    (void)pthread_mutex_unlock(&seen.lock);
    note('E');
}
static void on_retry(void *user, int attempt, int code, int64_t delay_us) {
    (void)user;
    seen.retry_attempt = attempt;
    seen.retry_code = code;
    seen.retry_delay = delay_us;
    note('T');
}
static void on_commit(void *user, uint64_t commits) {
    (void)user;
    (void)pthread_mutex_lock(&seen.lock);
    seen.commits = commits;
    (void)pthread_mutex_unlock(&seen.lock);
    note('M');
}
static void watch(sqlpool_config *config) {
    memset(&seen, 0, sizeof seen);
    (void)pthread_mutex_init(&seen.lock, NULL);
    config->events.user = &seen;
    config->events.key_fn = on_key;
    config->events.connect_fn = on_connect;
    config->events.acquire_fn = on_acquire;
    config->events.release_fn = on_release;
    config->events.destroy_fn = on_destroy;
    config->events.error_fn = on_error;
    config->events.retry_fn = on_retry;
    config->events.commit_fn = on_commit;
}

static int restart_once(sqlpool_conn *conn, void *user, int attempt) {
    (void)conn, (void)user;
    return attempt == 1 ? SQLITE_BUSY_SNAPSHOT : 0;
}

TEST(events_in_order) {
    sqlpool_config config = config_of(2);
    sqlpool_conn conn;
    int commits;
    sqlpool *pool;
    config.max_lifetime_ms = SQLPOOL_OFF;
    watch(&config);
    pool = open_pool("events.db", &config, schema);
    CHECK(pool != NULL);
    __atomic_store_n(&seen.pool, pool, __ATOMIC_RELEASE);
    CHECK(seen.order[0] == 'K' && seen.order[1] == 'C'); /* before anyone gets it, the key first */
    CHECK_INT(count_of('K'), count_of('C'));
    CHECK_INT(count_of('A'), 0);
    CHECK_INT(ask(pool, "PRAGMA page_size"), 8192); /* before anything else touched the connection */
    commits = count_of('M');
    CHECK(commits >= 1); /* the schema */
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(count_of('M'), commits + 1);
    CHECK_INT(seen.commits, commits + 1);
    CHECK_OK(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(count_of('M'), commits + 1);
    CHECK_INT(count_of('A') + count_of('R'), 0); /* explicit leases only */
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK_INT(count_of('A'), 1);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(count_of('R'), 1);
    CHECK_INT(count_of('E'), 0);
    CHECK_RC(sqlpool_exec(pool, "SELECT * FROM nosuch", SQLPOOL_NO_ARGS, &err), SQLITE_ERROR, &err);
    CHECK_INT(count_of('E'), 1);
    CHECK_INT(seen.last_error.result, SQLITE_ERROR);
    CHECK_HAS(seen.last_error.message, "nosuch");
    CHECK_INT(sqlpool_exec(pool, "SELECT * FROM nosuch", SQLPOOL_NO_ARGS, NULL), SQLITE_ERROR); /* no error struct given */
    CHECK_INT(count_of('E'), 2);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, restart_once, NULL, &err), &err);
    CHECK_INT(count_of('T'), 1);
    CHECK_INT(seen.retry_code, SQLITE_BUSY_SNAPSHOT);
    CHECK(seen.retry_attempt == 1 || seen.retry_attempt == 2);
    CHECK(seen.retry_delay >= 0 && seen.retry_delay <= 1000);
    __atomic_store_n(&seen.pool, NULL, __ATOMIC_RELEASE);
    close_pool(pool);
    CHECK_INT(count_of('D'), count_of('K')); /* each that came has gone */
    CHECK(count_of('D') >= 2);
}

/*  An open that fails is told as well, once, with what the caller gets. */
TEST(an_open_that_fails_is_an_error_event) {
    sqlpool_config config = config_of(1);
    sqlpool *pool = NULL;
    watch(&config);
    config.events.destroy_fn = NULL;
    CHECK_INT(sqlpool_open(&pool, "no/such/folder/events.db", &config, &err) & 0xff, SQLITE_CANTOPEN);
    CHECK(pool == NULL);
    CHECK_INT(count_of('E'), 1);
    CHECK_INT(seen.last_error.result, err.result);
    CHECK_STR(seen.last_error.message, err.message);
}

/*  Whatever fails is told once, as the caller gets it. */
#define TOLD(call, expected) \
    do { \
        const int told_before = count_of('E'); \
        CHECK_RC(call, expected, &err); \
        CHECK_INT(count_of('E'), told_before + 1); \
        CHECK_INT(seen.last_error.result, err.result); \
        CHECK_STR(seen.last_error.message, err.message); \
    } while (0)
#define BAD "SELECT * FROM nosuch"
/* at the second row: SQLite before 3.32 works out what is constant at the first, within a CASE too */
#define SOME_FAIL "SELECT CASE WHEN id > 1 THEN abs(-9223372036854775807 - id / id) ELSE 1 END FROM t"
static int fail_inside(sqlpool_conn *conn, void *user, int attempt) {
    (void)conn, (void)user, (void)attempt;
    return 70007;
}
TEST(every_call_that_fails_is_told_once) {
    static const sqlpool_migration step = {1, "first", BAD, NULL, NULL, NULL, NULL};
    static const char *const column = "a";
    sqlpool_config config = config_of(1);
    sqlpool_migrate_config migrations;
    sqlpool_backup_config backup;
    sqlpool_bulk_config load;
    sqlpool_value args[1];
    sqlpool_conn conn, none;
    sqlpool_rows rows;
    sqlpool_result result;
    sqlpool_ticket ticket = {0};
    sqlpool_bulk *bulk = NULL;
    sqlite3_stmt *stmt;
    sqlpool *pool;
    int64_t number;
    double real;
    char text[20];
    int i;
    watch(&config);
    config.events.destroy_fn = NULL;
    config.events.key_fn = NULL;
    pool = open_pool("told.db", &config, schema);
    CHECK(pool != NULL);
    for (i = 0; i < 3; i++)
        CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
    memset(&migrations, 0, sizeof migrations);
    migrations.steps = &step;
    migrations.step_count = 1;
    memset(&backup, 0, sizeof backup);
    memset(&load, 0, sizeof load);
    args[0] = sqlpool_value_int64(1);

    i = count_of('E'); /* that there is no row is an answer */
    CHECK_RC(sqlpool_query_int64(pool, &number, "SELECT 1 WHERE 0", SQLPOOL_NO_ARGS, &err),
             SQLPOOL_NOT_FOUND, &err);
    CHECK_INT(count_of('E'), i);
    TOLD(sqlpool_exec(pool, BAD, SQLPOOL_NO_ARGS, &err), SQLITE_ERROR);
    TOLD(sqlpool_exec(pool, NULL, SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE);
    TOLD(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(1)", args, 1, &err), SQLPOOL_ARGUMENTS);
    TOLD(sqlpool_exec(pool, "INSERT INTO t(id) VALUES(1)", SQLPOOL_NO_ARGS, &err),
         SQLITE_CONSTRAINT_PRIMARYKEY);
    TOLD(sqlpool_query(pool, &rows, BAD, SQLPOOL_NO_ARGS, &err), SQLITE_ERROR);
    TOLD(sqlpool_query_int64(pool, &number, BAD, SQLPOOL_NO_ARGS, &err), SQLITE_ERROR);
    TOLD(sqlpool_query_double(pool, &real, BAD, SQLPOOL_NO_ARGS, &err), SQLITE_ERROR);
    TOLD(sqlpool_query_text(pool, text, sizeof text, BAD, SQLPOOL_NO_ARGS, &err), SQLITE_ERROR);
    TOLD(sqlpool_script(pool, "SELECT 1; " BAD, -1, &err), SQLITE_ERROR);
    TOLD(sqlpool_script(pool, NULL, -1, &err), SQLPOOL_MISUSE);
    TOLD(sqlpool_transaction(pool, SQLPOOL_WRITE, fail_inside, NULL, &err), 70007);
    TOLD(sqlpool_transaction(pool, SQLPOOL_WRITE, NULL, NULL, &err), SQLPOOL_MISUSE);
    TOLD(sqlpool_write(pool, fail_inside, NULL, &err), 70007);

    CHECK_OK(sqlpool_query(pool, &rows, SOME_FAIL, SQLPOOL_NO_ARGS, &err), &err);
    while (sqlpool_rows_next(&rows)) continue;
    TOLD(sqlpool_rows_close(&rows, &err), SQLITE_ERROR);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    TOLD(sqlpool_conn_exec(&conn, BAD, SQLPOOL_NO_ARGS, NULL, &err), SQLITE_ERROR);
    TOLD(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, NULL, &err),
         SQLITE_READONLY);
    CHECK_OK(sqlpool_conn_query(&conn, &rows, SOME_FAIL, SQLPOOL_NO_ARGS, &err), &err);
    while (sqlpool_rows_next(&rows)) continue;
    TOLD(sqlpool_rows_close(&rows, &err), SQLITE_ERROR);
    TOLD(sqlpool_conn_query(&conn, &rows, BAD, SQLPOOL_NO_ARGS, &err), SQLITE_ERROR);
    TOLD(sqlpool_conn_script(&conn, BAD, -1, &err), SQLITE_ERROR);
    TOLD(sqlpool_conn_stmt(&conn, BAD, &stmt, &err), SQLITE_ERROR);
    TOLD(sqlpool_conn_commit(&conn, &err), SQLPOOL_MISUSE);
    TOLD(sqlpool_conn_rollback(&conn, &err), SQLPOOL_MISUSE);
    TOLD(sqlpool_snapshot_end(&conn, &err), SQLPOOL_MISUSE);
    TOLD(sqlpool_conn_transaction(&conn, fail_inside, NULL, &err), 70007);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    TOLD(sqlpool_conn_acquire(pool, (sqlpool_mode)9, &none, &err), SQLPOOL_MISUSE);

    CHECK_OK(sqlpool_submit(pool, &ticket, BAD, SQLPOOL_NO_ARGS, &err), &err);
    TOLD(sqlpool_ticket_wait(&ticket, 5000, &result, &err), SQLITE_ERROR);
    TOLD(sqlpool_submit(pool, &ticket, NULL, SQLPOOL_NO_ARGS, &err), SQLPOOL_MISUSE);
    load.table = "nosuch";
    load.columns = &column;
    load.column_count = 1;
    TOLD(sqlpool_bulk_begin(pool, &load, &bulk, &err), SQLITE_ERROR);
    TOLD(sqlpool_checkpoint(pool, (sqlpool_checkpoint_mode)9, NULL, &err), SQLPOOL_MISUSE);
    TOLD(sqlpool_exclusive(pool, 100, NULL, NULL, &err), SQLPOOL_MISUSE);
    TOLD(sqlpool_migrate(pool, &migrations, NULL, NULL, &err), SQLITE_ERROR);
    TOLD(sqlpool_migrate(pool, NULL, NULL, NULL, &err), SQLPOOL_MISUSE);
    TOLD(sqlpool_backup(pool, "no folder/copy.db", &backup, NULL, NULL, &err), SQLPOOL_TARGET);
    TOLD(sqlpool_vacuum_into(pool, "no folder/copy.db", NULL, &err), SQLITE_CANTOPEN);
    TOLD(sqlpool_reindex(pool, "nosuch", NULL, &err), SQLITE_ERROR);
    TOLD(sqlpool_fts5(pool, "none", SQLPOOL_FTS5_REBUILD, NULL, &err), SQLITE_ERROR);
    TOLD(sqlpool_object_sizes(pool, NULL, NULL, NULL, &err), SQLPOOL_MISUSE);
    TOLD(sqlpool_schedule_run(pool, "none", &err), SQLPOOL_NOT_FOUND);
    close_pool(pool);
}

TEST(connect_fn_that_fails) {
    int n;
    for (n = 1; n <= 2; n++) { /* the writer's, a reader's */
        sqlpool_config config = sqlpool_config_default();
        sqlpool *pool = (sqlpool *)(void *)&config;
        use_heap(&config);
        watch(&config);
        seen.fail_connect = n;
        seen.code = SQLITE_AUTH;
        CHECK_RC(sqlpool_open(&pool, "connectfails.db", &config, &err), SQLITE_AUTH, &err);
        CHECK_HAS(err.message, "connect_fn");
        CHECK(pool == NULL);
        CHECK_INT(the_heap.live_blocks, 0);
        watch(&config);
        seen.fail_key = n;
        seen.code = 4711;
        CHECK_RC(sqlpool_open(&pool, "connectfails.db", &config, &err), 4711, &err);
        CHECK_HAS(err.message, "key_fn");
        CHECK(pool == NULL);
        CHECK_INT(the_heap.live_blocks, 0);
    }
    { /* later, when the pool grows: the waiter gets the error or a time-out that names it */
        sqlpool_config config = config_of(2);
        sqlpool_call call = {300, 0, 0, NULL, NULL};
        sqlpool_conn a, b;
        sqlpool *pool;
        int rc;
        watch(&config);
        pool = open_pool("growfails.db", &config, schema);
        CHECK(pool != NULL);
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &a, &err), &err);
        seen.fail_connect = seen.connects + 1;
        seen.code = SQLITE_AUTH;
        rc = sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &call, &b, &err); /* the second try works */
        if (rc == SQLPOOL_OK) CHECK_INT(sqlpool_conn_release(&b), SQLPOOL_OK);
        CHECK(rc == SQLPOOL_OK || rc == SQLITE_AUTH);
        CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
        close_pool(pool);
    }
}

static void answer(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count, (void)values;
    sqlite3_result_int(context, 42);
}
static int add_things(void *user, const sqlpool_conn *conn) {
    sqlpool_conn copy = *conn;
    sqlite3 *db = sqlpool_conn_db(&copy);
    (void)user;
    if (sqlite3_exec(db, "ATTACH 'attached.db' AS extra", NULL, NULL, NULL) != SQLITE_OK) return SQLITE_ERROR;
    return sqlite3_create_function_v2(db, "answer", 0, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, answer, NULL, NULL, NULL);
}

TEST(connect_fn_reaches_every_connection) {
    sqlpool_config config = config_of(4);
    sqlpool_conn readers[4], writer;
    int i, round;
    sqlpool *pool;
    sqlite3 *db = raw_open("attached.db");
    CHECK(db != NULL && raw_exec(db, "PRAGMA journal_mode=WAL; CREATE TABLE x(y); INSERT INTO x VALUES(7)"));
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    config.events.connect_fn = add_things;
    pool = open_pool("every.db", &config, schema);
    CHECK(pool != NULL);
    for (round = 0; round < 2; round++) {
        for (i = 0; i < 4; i++) {
            CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &readers[i], &err), &err);
            CHECK_INT(ask_conn(&readers[i], "SELECT answer() + (SELECT y FROM extra.x)"), 49);
        }
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
        CHECK_INT(ask_conn(&writer, "SELECT answer() + (SELECT y FROM extra.x)"), 49);
        CHECK(sqlpool_conn_db(&writer) != NULL); /* a full check at release must leave it alone */
        CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
        CHECK_OK(sqlpool_exec(pool, "UPDATE extra.x SET y = 7", SQLPOOL_NO_ARGS, &err), &err);
        for (i = 0; i < 4; i++) CHECK_INT(sqlpool_conn_release(&readers[i]), SQLPOOL_OK);
        CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    }
    close_pool(pool);
}

/*  What a hook's `user` points at must live until sqlpool_close() has returned, and no longer: so close
    must not return while a call of another thread is still inside a hook. */
static int inside; /* atomic: 0 not yet, 1 in the hook, 2 out of it */
static void linger(void) {
    int none = 0;
    if (!__atomic_compare_exchange_n(&inside, &none, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    sleep_ms(80);
    __atomic_store_n(&inside, 2, __ATOMIC_SEQ_CST);
}
static void slow_error(void *user, const sqlpool_error *error) {
    (void)user, (void)error;
    linger();
}
static void slow_lease_event(void *user, const sqlpool_conn *conn) {
    (void)user, (void)conn;
    linger();
}
static void slow_commit(void *user, uint64_t commits) {
    (void)user, (void)commits;
    linger();
}
static void slow_log(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)user, (void)level, (void)message;
    if (item == SQLPOOL_LOG_UNCLEAN) linger();
}
static void *call_into_the_hook(void *argument) {
    sqlpool *pool = (sqlpool *)argument;
    sqlpool_conn conn;
    sqlpool_call call = {0, 0, 0, NULL, NULL};
    (void)sqlpool_exec_with(pool, &call, NULL, "INSERT INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, NULL); /* commit_fn */
    if (sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, NULL) == SQLPOOL_OK) { /* acquire_fn */
        (void)sqlpool_conn_begin(&conn, NULL);
        (void)sqlpool_conn_release(&conn); /* log, release_fn */
        (void)sqlpool_exec(pool, "SELECT * FROM nosuch", SQLPOOL_NO_ARGS, NULL); /* error_fn */
    }
    return NULL;
}

TEST(close_waits_for_hooks) {
    int which;
    for (which = 0; which < 5; which++) {
        sqlpool_config config = config_of(2);
        pthread_t thread;
        int rc, state;
        sqlpool *pool = open_pool("closehooks.db", NULL, "CREATE TABLE IF NOT EXISTS t(v)");
        CHECK(pool != NULL);
        close_pool(pool);
        if (which == 0) config.events.error_fn = slow_error;
        if (which == 1) config.events.acquire_fn = slow_lease_event;
        if (which == 2) config.events.release_fn = slow_lease_event;
        if (which == 3) config.events.commit_fn = slow_commit;
        if (which == 4) config.log.write_fn = slow_log;
        __atomic_store_n(&inside, 0, __ATOMIC_SEQ_CST);
        pool = open_pool("closehooks.db", &config, NULL);
        CHECK(pool != NULL);
        CHECK(start_thread(&thread, call_into_the_hook, pool));
        while (__atomic_load_n(&inside, __ATOMIC_SEQ_CST) == 0) sleep_ms(1);
        rc = sqlpool_close(pool, &err);
        state = __atomic_load_n(&inside, __ATOMIC_SEQ_CST);
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(rc, SQLPOOL_OK);
        if (state != 2) test_fail(__FILE__, __LINE__, "close returned while hook %d (error, acquire, release, commit, log) ran", which);
    }
}

/*------------------------------------------------------------------------------
 * log
 *----------------------------------------------------------------------------*/

static struct {
    pthread_mutex_t lock;
    unsigned items; /* a bit each */
    char last[SQLPOOL_LOG_ITEM_COUNT][1024];
    int wrong;
    sqlpool *pool;
} logged = {PTHREAD_MUTEX_INITIALIZER, 0, {""}, 0, NULL};

static void write_log(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    sqlpool *pool;
    const char *p;
    if (user != &logged || level > SQLPOOL_LEVEL_ERROR || item >= SQLPOOL_LOG_ITEM_COUNT || message == NULL || message[0] == '\0') {
        logged.wrong = __LINE__;
        return;
    }
    for (p = message; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 && *p != '\n') logged.wrong = __LINE__;
    (void)pthread_mutex_lock(&logged.lock);
    logged.items |= 1u << item;
    (void)snprintf(logged.last[item], sizeof logged.last[item], "%s", message);
    (void)pthread_mutex_unlock(&logged.lock);
    pool = __atomic_load_n(&logged.pool, __ATOMIC_ACQUIRE);
    if (pool != NULL) {
        char text[100];
        sqlpool_stats stats;
        if (sqlpool_status_json(pool, text, sizeof text) < 0 || sqlpool_get_stats(pool, &stats) != SQLPOOL_OK)
            logged.wrong = __LINE__;
    }
}
static bool was_logged(sqlpool_log_item item, const char *part) {
    bool found;
    (void)pthread_mutex_lock(&logged.lock);
    found = (logged.items & (1u << item)) != 0 && strstr(logged.last[item], part) != NULL;
    if (!found) test_fail(__FILE__, __LINE__, "log item %d: \"%s\" lacks \"%s\"", (int)item, logged.last[item], part);
    (void)pthread_mutex_unlock(&logged.lock);
    return found;
}
static void *acquire_in_vain(void *argument) {
    sqlpool_call call = {30, 0, 0, NULL, NULL};
    sqlpool_conn conn;
    if (sqlpool_conn_acquire_with((sqlpool *)argument, SQLPOOL_WRITE, &call, &conn, NULL) != SQLPOOL_TIMEOUT)
        test_fail(__FILE__, __LINE__, "no time-out");
    return NULL;
}

TEST(log_items) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn, second;
    pthread_t thread;
    sqlite3 *db;
    sqlpool *pool;
    db = raw_open("log.db");
    CHECK(db != NULL && raw_exec(db, "CREATE TABLE parent(a); CREATE TABLE broken_child(x REFERENCES parent(a))"));
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    config.name = "the logging pool";
    config.log.user = &logged;
    config.log.write_fn = write_log;
    pool = open_pool("log.db", &config, schema);
    CHECK(pool != NULL);
    __atomic_store_n(&logged.pool, pool, __ATOMIC_RELEASE);
    CHECK(was_logged(SQLPOOL_LOG_OPENED, "the logging pool"));
    CHECK(was_logged(SQLPOOL_LOG_FOREIGN_KEYS, "broken_child"));
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK(start_thread(&thread, acquire_in_vain, pool));
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(was_logged(SQLPOOL_LOG_SATURATED, "hooks.c:"));
    CHECK_RC(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &second, &err), SQLPOOL_MISUSE, &err);
    CHECK(was_logged(SQLPOOL_LOG_MISUSE, ""));
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
    CHECK(was_logged(SQLPOOL_LOG_UNCLEAN, "hooks.c:"));
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_MISUSE);
    CHECK_OK(sqlpool_transaction(pool, SQLPOOL_WRITE, restart_once, NULL, &err), &err);
    CHECK(was_logged(SQLPOOL_LOG_RETRY, ""));
    CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &err), &err);
    CHECK(was_logged(SQLPOOL_LOG_CHECKPOINT, ""));
    __atomic_store_n(&logged.pool, NULL, __ATOMIC_RELEASE);
    close_pool(pool);
    CHECK(was_logged(SQLPOOL_LOG_CLOSED, "the logging pool"));
    CHECK_INT(logged.wrong, 0);
}

/*  Names are data: not a format, not SQL, not control characters for somebody's terminal. */
TEST(hostile_names) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    pthread_t thread;
    sqlpool_call call = {0, 0, 0, "tag %s%n \x1b[2J", NULL};
    char text[4000];
    sqlite3 *db;
    sqlpool *pool;
    db = raw_open("100%s%n.db");
    CHECK(db != NULL && raw_exec(db, "CREATE TABLE \"p\"\"; DROP TABLE x;--\"(a); CREATE TABLE x(y);"
                                     "CREATE TABLE \"c\"\"%s%n ]\n\x1b[2J'\"(x REFERENCES \"p\"\"; DROP TABLE x;--\"(a))"));
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    memset(&logged.items, 0, sizeof logged.items);
    config.name = "pool %s%n%d \x1b[2J";
    config.log.user = &logged;
    config.log.write_fn = write_log;
    pool = open_pool("100%s%n.db", &config, schema);
    CHECK(pool != NULL);
    CHECK(was_logged(SQLPOOL_LOG_OPENED, "%s%n%d"));
    CHECK(was_logged(SQLPOOL_LOG_FOREIGN_KEYS, "%s%n"));
    CHECK_INT(ask(pool, "SELECT count(*) FROM x"), 0); /* still there */
    CHECK_OK(sqlpool_conn_acquire_with(pool, SQLPOOL_WRITE, &call, &conn, &err), &err);
    CHECK(start_thread(&thread, acquire_in_vain, pool));
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(was_logged(SQLPOOL_LOG_SATURATED, "tag %s%n"));
    CHECK(sqlpool_status_text(pool, text, sizeof text) > 0);
    CHECK_HAS(text, "tag %s%n");
    CHECK(strchr(text, '\x1b') == NULL);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
    CHECK_INT(logged.wrong, 0); /* no control byte reached the log */
}

/*------------------------------------------------------------------------------
 * the caller's own handlers
 *----------------------------------------------------------------------------*/

typedef struct chained {
    int authorizer, progress, busy, commit, rollback, update, wal; /* calls */
    int deny_table, stop, veto, give_up;
    int64_t last_rowid;
    char last_table[50];
} chained;

static int chain_authorizer(void *user, int action, const char *a, const char *b, const char *database, const char *trigger) {
    chained *c = (chained *)user;
    (void)b, (void)database, (void)trigger;
    c->authorizer++;
    return c->deny_table && action == SQLITE_READ && a != NULL && strcmp(a, "secret") == 0 ? SQLITE_DENY : SQLITE_OK;
}
static int chain_progress(void *user) {
    chained *c = (chained *)user;
    c->progress++;
    return c->stop;
}
static int chain_busy(void *user, int count) {
    chained *c = (chained *)user;
    (void)count;
    c->busy++;
    return !c->give_up;
}
static int chain_commit(void *user) {
    chained *c = (chained *)user;
    c->commit++;
    return c->veto;
}
static void chain_rollback(void *user) { ((chained *)user)->rollback++; }
static void chain_update(void *user, int action, const char *database, const char *table, int64_t rowid) {
    chained *c = (chained *)user;
    (void)action, (void)database;
    c->update++;
    c->last_rowid = rowid;
    (void)snprintf(c->last_table, sizeof c->last_table, "%s", table);
}
static int chain_wal(void *user, sqlite3 *db, const char *database, int frames) {
    chained *c = (chained *)user;
    if (db != NULL && strcmp(database, "main") == 0 && frames > 0) c->wal++;
    return SQLITE_OK;
}
static sqlpool_chain chain_of(chained *c) {
    sqlpool_chain chain;
    memset(&chain, 0, sizeof chain);
    memset(c, 0, sizeof *c);
    chain.user = c;
    chain.authorizer_fn = chain_authorizer;
    chain.progress_fn = chain_progress;
    chain.busy_fn = chain_busy;
    chain.commit_fn = chain_commit;
    chain.rollback_fn = chain_rollback;
    chain.update_fn = chain_update;
    chain.wal_fn = chain_wal;
    return chain;
}

static const char counting[] =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT count(*) FROM n";

/*  What is bound is nobody's business: no text that leaves the library holds it, whatever went wrong. */
static const char secret_text[] = "canary-in-a-text";
static const char secret_blob[] = "canary-in-a-blob";
static const int64_t secret_number = INT64_C(471147114711);
static int secrets_told; /* atomic */
static bool tells(const char *text) {
    return strstr(text, "canary-in-a") != NULL || strstr(text, "471147114711") != NULL ||
           strstr(text, "63616e617279") != NULL;
}
static void look_for_secrets(const char *where, const char *text) {
    if (!tells(text)) return;
    (void)__atomic_add_fetch(&secrets_told, 1, __ATOMIC_SEQ_CST);
    test_fail(__FILE__, __LINE__, "%s tells a bound value: %s", where, text);
}
static void secret_log(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)user, (void)level, (void)item;
    look_for_secrets("the log", message);
}
static void secret_error(void *user, const sqlpool_error *error) {
    (void)user;
    look_for_secrets("error_fn", error->message);
}
static void look_everywhere(sqlpool *pool) {
    static char text[60000];
    sqlpool_holder holders[8];
    int i, count;
    look_for_secrets("the error", err.message);
    CHECK(sqlpool_status_text(pool, text, sizeof text) > 0);
    look_for_secrets("the status", text);
    CHECK(sqlpool_status_json(pool, text, sizeof text) > 0);
    look_for_secrets("the JSON status", text);
    count = sqlpool_holders(pool, holders, 8);
    for (i = 0; i < count && i < 8; i++) look_for_secrets("a holder", holders[i].sql);
}
#define SECRETS SQLPOOL_ARGS(secret_text, SQLPOOL_BLOB(secret_blob, sizeof secret_blob), secret_number)
static int write_secrets(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    (void)sqlpool_conn_exec(conn, "INSERT INTO s VALUES(?, ?, ?)", SECRETS, NULL, NULL);
    return sqlpool_conn_exec(conn, "INSERT INTO s VALUES(?, ?, ?)", SECRETS, NULL, NULL);
}
TEST(bound_values_stay_secret) {
    static const char *const failing[] = {
        "INSERT INTO s VALUES(?1, ?2, ?3)",                                   /* UNIQUE */
        "INSERT INTO s(a, b, n) VALUES(NULL, ?2, ?3 || ?1)",                  /* NOT NULL */
        "INSERT INTO s VALUES(?1 || 'x', ?2, -?3)",                           /* CHECK */
        "INSERT INTO child VALUES(?3), (length(?1 || ?2))",                   /* FOREIGN KEY */
        "INSERT INTO strict_one VALUES(?1), (?2), (?3)",                      /* datatype */
        "SELECT ?1, ?2, ?3 FROM nosuch",                                      /* prepare */
        "SELECT ?1, ?2, abs(-9223372036854775807 - (?3 > 0))",                /* step */
        "SELECT ?1, ?2, ?3, ?4",                                              /* too few */
        "SELECT json_extract(?1, '$.x'), ?2, ?3",                             /* a function that quotes */
        "UPDATE s SET n = 'no' WHERE a = ?1 AND b = ?2 AND n = ?3 RETURNING nothing",
    };
    sqlpool_config config = config_of(1);
    sqlpool_call call = {60, 0, 0, "teller", NULL};
    sqlpool_conn conn;
    sqlpool_ticket ticket;
    sqlpool_rows rows;
    pthread_t thread;
    int i;
    sqlpool *pool;
    config.leak_report_ms = 1;
    config.upkeep_interval_ms = 5;
    config.log.write_fn = secret_log;
    config.events.error_fn = secret_error;
    pool = open_pool("secret.db", &config,
                     "CREATE TABLE s(a UNIQUE NOT NULL, b, n CHECK(n > 0)); CREATE TABLE parent(id INTEGER PRIMARY KEY);"
                     "CREATE TABLE child(p REFERENCES parent(id))");
    CHECK(pool != NULL);
    if (sqlite3_libversion_number() >= 3037000)
        CHECK_OK(sqlpool_exec(pool, "CREATE TABLE strict_one(v INTEGER) STRICT", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_exec(pool, failing[0], SECRETS, &err), &err);
    for (i = 0; i < LENGTH(failing); i++) {
        if (sqlpool_exec(pool, failing[i], SECRETS, &err) == SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "\"%s\" did not fail", failing[i]);
        /* "malformed JSON" and the like are SQLite's own words, and hold no value here */
        PART(look_everywhere(pool));
    }
    CHECK(sqlpool_transaction(pool, SQLPOOL_WRITE, write_secrets, NULL, &err) != SQLPOOL_OK);
    PART(look_everywhere(pool));
    CHECK_OK(sqlpool_submit(pool, &ticket, failing[0], SECRETS, &err), &err);
    CHECK(sqlpool_ticket_wait(&ticket, 0, NULL, &err) != SQLPOOL_OK);
    PART(look_everywhere(pool));
    CHECK_RC(sqlpool_exec_with(pool, &call, NULL, ENDLESS " WHERE ?1 <> '' AND ?2 <> '' AND ?3 > 0", SECRETS, &err),
             SQLPOOL_TIMEOUT, &err);
    PART(look_everywhere(pool));
    CHECK_OK(sqlpool_conn_acquire_with(pool, SQLPOOL_WRITE, &call, &conn, &err), &err); /* held, reported, waited for */
    CHECK_OK(sqlpool_conn_query(&conn, &rows, "SELECT ?, ?, ? UNION ALL SELECT 1, 2, 3", SECRETS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK(start_thread(&thread, acquire_in_vain, pool));
    CHECK_INT(pthread_join(thread, NULL), 0);
    sleep_ms(30);
    PART(look_everywhere(pool));
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_UNCLEAN);
    close_pool(pool);
    CHECK_INT(__atomic_load_n(&secrets_told, __ATOMIC_SEQ_CST), 0);
    CHECK(tells("x canary-in-a-text")); /* and it would be seen */
}

/*  The library's thread has the stack that the program gives it: 128 KiB, as musl's threads have by
    default, are enough for all that upkeep, submitted writes and its reports need. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACKS_ARE_LARGER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define STACKS_ARE_LARGER 1
#endif
#endif
#ifndef STACKS_ARE_LARGER
static int create_on_a_small_stack(pthread_t *thread, void *(*run)(void *), void *argument) {
    pthread_attr_t attributes;
    int rc = pthread_attr_init(&attributes);
    if (rc != 0) return rc;
    rc = pthread_attr_setstacksize(&attributes, 128 * 1024);
    if (rc == 0) rc = pthread_create(thread, &attributes, run, argument);
    (void)pthread_attr_destroy(&attributes);
    return rc;
}
static int small_thread_create(void *user, void **thread, void (*run)(void *), void *argument) {
    thread_start *start = (thread_start *)malloc(sizeof *start);
    (void)user;
    if (start == NULL) return 1;
    start->run = run;
    start->argument = argument;
    if (create_on_a_small_stack(&start->thread, thread_main, start) != 0) {
        free(start);
        return 1;
    }
    *thread = start;
    ADD(threads, 1);
    return 0;
}
static int submitted_function(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, "INSERT INTO t(v) SELECT max(v) FROM t GROUP BY id ORDER BY 1", SQLPOOL_NO_ARGS, NULL, NULL);
}
static void *use_everything_once(void *argument) {
    const int rc = use_everything((sqlpool *)argument);
    if (rc != SQLPOOL_OK) test_fail(__FILE__, __LINE__, "%s", sqlpool_result_name(rc));
    return NULL;
}
TEST(threads_with_small_stacks) {
    sqlpool_config config = config_of(2);
    sqlpool_stats stats;
    sqlpool_conn conn;
    pthread_t thread;
    int64_t end = now_ms() + 30000;
    int i;
    sqlpool *pool;
    use_all_hooks(&config);
    config.locks.thread_create_fn = small_thread_create;
    config.upkeep_interval_ms = 1;
    config.health_interval_ms = 1;
    config.idle_timeout_ms = 1;
    config.leak_report_ms = 1;
    config.wal_budget_bytes = 4096;
    config.log.user = &logged;
    config.log.write_fn = write_log;
    memset(&logged.items, 0, sizeof logged.items);
    pool = open_pool("small.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    do { /* the thread has reported a leak, written a log line, and made a checkpoint */
        for (i = 0; i < 3; i++) CHECK_OK(sqlpool_submit(pool, NULL, "INSERT INTO t(v) VALUES(hex(zeroblob(2000)))", SQLPOOL_NO_ARGS, &err), &err);
        CHECK_OK(sqlpool_submit_write(pool, NULL, NULL, submitted_function, NULL, &err), &err);
        CHECK_OK(sqlpool_submit(pool, NULL, "DELETE FROM t WHERE id > 5", SQLPOOL_NO_ARGS, &err), &err);
        CHECK_OK(sqlpool_flush(pool, 0, &err), &err);
        CHECK_INT(sqlpool_get_stats(pool, &stats), SQLPOOL_OK);
    } while ((stats.leaks == 0 || stats.checkpoints == 0) && now_ms() < end);
    CHECK(stats.leaks > 0 && stats.checkpoints > 0);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(create_on_a_small_stack(&thread, use_everything_once, pool), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    close_pool(pool);
    PART(check_all_back());
}
#endif

TEST(chained_handlers) {
    chained c, before;
    sqlpool_config config = config_of(1);
    sqlpool_chain chain = chain_of(&c), gone;
    sqlpool_conn conn;
    sqlite3 *db;
    int rc, progressed;
    int64_t start;
    sqlpool *pool = open_pool("chain.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_exec(pool, "CREATE TABLE secret(x)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    gone = chain;
    CHECK_INT(sqlpool_conn_chain(&conn, &gone), SQLPOOL_OK);
    memset(&gone, 0, sizeof gone); /* the table was copied */
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t(id, v) VALUES(77, 'x')", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_INT(c.commit, 1);
    CHECK_INT(c.update, 1);
    CHECK_INT(c.last_rowid, 77);
    CHECK_STR(c.last_table, "t");
    CHECK_INT(c.wal, 1);
    CHECK(c.authorizer > 0);
    CHECK_INT(c.rollback, 0);
    CHECK_INT(ask_conn(&conn, counting), 20000);
    CHECK(c.progress > 0);
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES('y')", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_OK(sqlpool_conn_rollback(&conn, &err), &err);
    CHECK_INT(c.rollback, 1);
    c.deny_table = 1;
    CHECK_INT(sqlpool_conn_exec(&conn, "SELECT x FROM secret", SQLPOOL_NO_ARGS, NULL, &err) & 0xff, SQLITE_AUTH);
    c.deny_table = 0;
    CHECK_OK(sqlpool_conn_exec(&conn, "SELECT x FROM secret", SQLPOOL_NO_ARGS, NULL, &err), &err);
    c.veto = 1;
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES('z')", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_RC(sqlpool_conn_commit(&conn, &err), SQLITE_CONSTRAINT_COMMITHOOK, &err);
    (void)sqlpool_conn_rollback(&conn, NULL);
    CHECK_RC(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES('z')", SQLPOOL_NO_ARGS, NULL, &err), SQLITE_CONSTRAINT_COMMITHOOK, &err);
    c.veto = 0;
    CHECK_INT(ask_conn(&conn, "SELECT count(*) FROM t"), 2);
    c.stop = 1;
    rc = sqlpool_conn_exec(&conn, counting, SQLPOOL_NO_ARGS, NULL, &err);
    CHECK(rc == SQLITE_INTERRUPT || rc == SQLPOOL_CANCELLED);
    c.stop = 0;
    CHECK_INT(ask_conn(&conn, counting), 20000);
    /* another connection's lock: busy_fn is asked and may give up */
    db = raw_open("chain.db");
    CHECK(db != NULL && raw_exec(db, "BEGIN IMMEDIATE"));
    c.give_up = 1;
    start = now_ms();
    rc = sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES('z')", SQLPOOL_NO_ARGS, NULL, &err);
    CHECK(rc != SQLPOOL_OK);
    CHECK_INT(err.sqlite_code & 0xff, SQLITE_BUSY);
    CHECK(now_ms() - start < 1000);
    CHECK(c.busy >= 1);
    c.give_up = 0;
    CHECK_INT(sqlpool_conn_set_timeout(&conn, 60), SQLPOOL_OK);
    CHECK_RC(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES('z')", SQLPOOL_NO_ARGS, NULL, &err), SQLPOOL_TIMEOUT, &err);
    CHECK(c.busy >= 3);
    CHECK_INT(sqlpool_conn_set_timeout(&conn, SQLPOOL_FOREVER), SQLPOOL_OK);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    /* taken off by hand */
    CHECK_INT(sqlpool_conn_chain(&conn, NULL), SQLPOOL_OK);
    before = c;
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES('w')", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_INT(c.commit + c.update + c.wal, before.commit + before.update + before.wal);
    CHECK_INT(sqlpool_conn_chain(&conn, &chain), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    /* and by the release */
    before = c;
    progressed = c.progress;
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES('v')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_INT(ask_conn(&conn, counting), 20000);
    CHECK_OK(sqlpool_conn_exec(&conn, "UPDATE t SET v = 'new text of a statement'", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(c.commit + c.update + c.wal + c.rollback + c.authorizer, before.commit + before.update + before.wal + before.rollback + before.authorizer);
    CHECK_INT(c.progress, progressed);
    close_pool(pool);
}

static chained for_life;
static int chain_for_life(void *user, const sqlpool_conn *conn) {
    sqlpool_conn copy = *conn;
    return sqlpool_conn_chain(&copy, (const sqlpool_chain *)user);
}
TEST(chain_for_the_connections_life) {
    sqlpool_config config = config_of(1);
    sqlpool_chain chain = chain_of(&for_life);
    sqlpool_conn conn;
    sqlpool *pool;
    int i;
    chain.progress_fn = NULL; /* not all need be set */
    chain.authorizer_fn = NULL;
    config.events.user = &chain;
    config.events.connect_fn = chain_for_life;
    pool = open_pool("life.db", &config, schema);
    CHECK(pool != NULL);
    for (i = 0; i < 3; i++) {
        const int before = for_life.update;
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
        CHECK(sqlpool_conn_db(&conn) != NULL);
        CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
        CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
        CHECK_INT(for_life.update, before + 1);
    }
    close_pool(pool);
}

/*  SQLite asks wal_fn when the commit is made, and reports what it answers as the commit's failure.
    The pool does not: it would be told as failed, or, to whom the program calls that worth another
    try, be made twice. */
static int wal_answer, wal_calls; /* atomic */
static int wal_says_no(void *user, struct sqlite3 *db, const char *database, int frames) {
    (void)user, (void)db, (void)database, (void)frames;
    (void)__atomic_add_fetch(&wal_calls, 1, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&wal_answer, __ATOMIC_SEQ_CST);
}
static int refuse_in_wal(void *user, const sqlpool_conn *conn) {
    sqlpool_conn copy = *conn;
    sqlpool_chain chain;
    (void)user;
    memset(&chain, 0, sizeof chain);
    chain.wal_fn = wal_says_no;
    return sqlpool_conn_chain(&copy, &chain);
}
static int all_again(void *user, int code, int is_retryable) {
    (void)user, (void)code, (void)is_retryable;
    return 1;
}
static int insert_2(sqlpool_conn *conn, void *user, int attempt) {
    (void)user, (void)attempt;
    return sqlpool_conn_exec(conn, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, NULL, NULL);
}
TEST(what_wal_fn_says_of_a_commit_changes_nothing) {
    int tries;
    for (tries = 0; tries <= 1; tries++) {
        sqlpool_config config = config_of(1);
        sqlpool_ticket ticket;
        sqlpool_rows rows;
        sqlpool *pool;
        config.events.connect_fn = refuse_in_wal;
        config.retry_base_us = 1;
        if (tries) config.events.retryable_fn = all_again;
        pool = open_pool(tries ? "wal_again.db" : "wal_no.db", &config, schema);
        CHECK(pool != NULL);
        __atomic_store_n(&wal_calls, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&wal_answer, SQLITE_ERROR, __ATOMIC_SEQ_CST);
        CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_COMMITTED);
        CHECK_INT(err.attempts, 1);
        CHECK_OK(sqlpool_write(pool, insert_2, NULL, &err), &err);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_COMMITTED);
        CHECK_INT(err.attempts, 1);
        CHECK_OK(sqlpool_submit(pool, &ticket, "INSERT INTO t(v) VALUES(3)", SQLPOOL_NO_ARGS, &err), &err);
        CHECK_OK(sqlpool_ticket_wait(&ticket, SQLPOOL_FOREVER, NULL, &err), &err);
        CHECK_INT(err.outcome, SQLPOOL_OUTCOME_COMMITTED);
        CHECK_OK(sqlpool_query(pool, &rows, sqlite3_libversion_number() >= 3035000
                                                ? "INSERT INTO t(v) VALUES(4) RETURNING v"
                                                : "INSERT INTO t(v) VALUES(4)",
                               SQLPOOL_NO_ARGS, &err), &err);
        CHECK_INT(sqlpool_rows_next(&rows), sqlite3_libversion_number() >= 3035000);
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHECK_INT(__atomic_load_n(&wal_calls, __ATOMIC_SEQ_CST), 4);
        CHECK_INT(ask(pool, "SELECT group_concat(v) = 'one,1,2,3,4' FROM (SELECT v FROM t ORDER BY id)"), 1);
        __atomic_store_n(&wal_answer, 0, __ATOMIC_SEQ_CST);
        close_pool(pool);
    }
}

/*---- who pins the log from outside ----*/

static void keep_pin(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)level;
    if (item == SQLPOOL_LOG_WAL_PINNED) (void)snprintf((char *)user, 600, "%s", message);
}

/*  Is a lock of this process in the kernel's table, as this process sees it? */
static bool is_lock_listed(pid_t process) {
    char line[200], word[20];
    bool is_listed = false;
    FILE *file = fopen("/proc/locks", "r");
    (void)snprintf(word, sizeof word, " %ld ", (long)process);
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        is_listed = is_listed || strstr(line, word) != NULL;
    if (file != NULL) (void)fclose(file);
    return is_listed;
}

/*  A process that reads in the database from one byte to the next. */
static void read_on(const char *path, int from, int to) {
    sqlite3 *db = NULL;
    char byte;
    if (read(from, &byte, 1) == 1 && sqlite3_open(path, &db) == SQLITE_OK &&
        sqlite3_exec(db, "BEGIN; SELECT * FROM t", NULL, NULL, NULL) == SQLITE_OK &&
        write(to, "r", 1) == 1)
        (void)read(from, &byte, 1);
    (void)kill(getpid(), SIGKILL); /* without exit handlers */
}

TEST(a_process_that_pins_the_log_is_named) {
    sqlpool_config config = config_of(1);
    int there[2], back[2], i;
    char said[600] = "", wanted[40], byte;
    sqlpool *pool;
    pid_t child;
    CHECK(pipe(there) == 0 && pipe(back) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)close(there[1]); /* so that it also ends when this process does */
        (void)close(back[0]);
        read_on("outside.db", there[0], back[1]);
    }
    config.log.user = said;
    config.log.write_fn = keep_pin;
    config.disable_upkeep_thread = true;
    pool = open_pool("outside.db", &config, "CREATE TABLE t(a)");
    CHECK(pool != NULL);
    CHECK(write(there[1], "g", 1) == 1 && read(back[0], &byte, 1) == 1);
    for (i = 0; i < 6; i++) {
        CHECK_OK(sqlpool_exec(pool, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, &err), &err);
        CHECK_OK(sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &err), &err);
    }
    CHECK_HAS(said, "a reader of another process");
    (void)snprintf(wanted, sizeof wanted, ": process %ld", (long)child);
    if (is_lock_listed(child)) {
        CHECK_HAS(said, wanted);
    } else {
        printf("# no lock of another process in /proc/locks: nothing to name\n");
        CHECK(strstr(said, "process ") == NULL || strstr(said, ": process") == NULL);
    }
    CHECK(write(there[1], "e", 1) == 1);
    CHECK(waitpid(child, NULL, 0) == child);
    for (i = 0; i < 2; i++) CHECK(close(there[i]) == 0 && close(back[i]) == 0);
    close_pool(pool);
}

int main(void) {
    RUN(allocator_gets_everything_back);
    RUN(every_allocation_of_open_can_fail);
    RUN(locks_clock_and_random);
    RUN(locks_that_cannot_be_made);
    RUN(a_schedule_without_its_condition_or_thread);
    RUN(events_in_order);
    RUN(an_open_that_fails_is_an_error_event);
    RUN(every_call_that_fails_is_told_once);
    RUN(connect_fn_that_fails);
    RUN(connect_fn_reaches_every_connection);
    RUN(close_waits_for_hooks);
    RUN(log_items);
    RUN(hostile_names);
    RUN(bound_values_stay_secret);
#ifndef STACKS_ARE_LARGER
    RUN(threads_with_small_stacks);
#endif
    RUN(chained_handlers);
    RUN(chain_for_the_connections_life);
    RUN(what_wal_fn_says_of_a_commit_changes_nothing);
    RUN(a_process_that_pins_the_log_is_named);
    return test_end();
}
