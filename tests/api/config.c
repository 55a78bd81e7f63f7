/*  config.c - the configuration: checked, resolved, and really set. SPDX-License-Identifier: MIT OR Unlicense */
#define _POSIX_C_SOURCE 200809L
#include "api.h"

static sqlpool_error err;

/*  Every int field: its default in effect and, where the declaration states it, its range. In a range
    with OFF (-1) zero still means the default. */
static const struct {
    const char *name;
    size_t offset;
    int expected; /* what sqlpool_config_resolved() says for an all-zero configuration */
    int low, high; /* the documented range; low 0: not stated */
} ints[] = {
#define INT(name, expected, low, high) {#name, offsetof(sqlpool_config, name), expected, low, high}
    INT(min_connections, 2, 1, 0),
    INT(max_connections, 10, 1, 1000),
    INT(reserve_connections, 1, -1, 100),
    INT(reserve_threshold_percent, 80, 1, 101),
    INT(reserve_wait_ms, -1, -1, 0),
    INT(topology, 0, 0, 1),
    INT(acquire_timeout_ms, 5000, 0, 0),
    INT(statement_timeout_ms, -1, -1, 0),
    INT(open_timeout_ms, 5000, 0, 0),
    INT(close_timeout_ms, 5000, 0, 0),
    INT(open_retry_ms, 200, 0, 0),
    INT(barge_us, 2000, -1, 0),
    INT(idle_timeout_ms, 30000, 0, 0),
    INT(max_lifetime_ms, -1, -1, 0),
    INT(lifetime_jitter_percent, 10, -1, 100),
    INT(upkeep_interval_ms, 1000, 0, 0),
    INT(validate_after_ms, 500, 0, 0),
    INT(health_interval_ms, 30000, 0, 0),
    INT(leak_report_ms, 60000, 0, 0),
    INT(busy_poll_min_us, 100, 0, 0),
    INT(busy_poll_max_us, 1000, 0, 0),
    INT(retry_attempts, 5, 1, 100),
    INT(retry_base_us, 1000, 0, 0),
    INT(retry_cap_us, 100000, 0, 0),
    INT(retry_multiplier_percent, 200, 100, 1000),
    INT(retry_preset, 0, 0, 3),
    INT(retry_jitter, 0, 0, 3),
    INT(retry_schedule_count, 0, 0, 0),
    INT(retry_total_ms, -1, 0, 0),
    INT(retry_budget_percent, 20, 0, 1000),
    INT(retry_budget_per_s, 10, 0, 1000000),
    INT(breaker_open_ms, 1000, 0, 0),
    INT(breaker_failures, 20, 0, 1000000),
    INT(breaker_percent, 50, 0, 100),
    INT(breaker_window_ms, 10000, 0, 0),
    INT(group_count, 64, 0, 256),
    INT(group_us, 2000, 0, 1000000),
    INT(submit_count, 1024, 0, 1000000),
    INT(statement_cache_count, 100, 1, 100000),
    INT(warmup_count, 0, 0, 0),
    INT(journal, 0, 0, 4),
    INT(synchronous, 0, 0, 3),
    INT(page_cache_kib, 65536, 0, 0),
    INT(wal_wait_ms, 50, 0, 0),
#undef INT
};
static const struct {
    const char *name;
    size_t offset;
    int64_t expected;
} longs[] = {
#define LONG(name, expected) {#name, offsetof(sqlpool_config, name), expected}
    LONG(statement_cache_bytes, 4 << 20),     LONG(returning_bytes, 1 << 20),
    LONG(mmap_bytes, 0),                      LONG(journal_size_limit_bytes, 64 << 20),
    LONG(wal_budget_bytes, 4 << 20),          LONG(wal_limit_bytes, 64 << 20),
    LONG(group_bytes, 1 << 20),               LONG(submit_bytes, 8 << 20),
#undef LONG
};

static int get_int(const sqlpool_config *config, int i) {
    int value;
    memcpy(&value, (const char *)config + ints[i].offset, sizeof value);
    return value;
}
static void set_int(sqlpool_config *config, int i, int value) {
    memcpy((char *)config + ints[i].offset, &value, sizeof value);
}
static int64_t get_long(const sqlpool_config *config, int i) {
    int64_t value;
    memcpy(&value, (const char *)config + longs[i].offset, sizeof value);
    return value;
}
static void set_long(sqlpool_config *config, int i, int64_t value) {
    memcpy((char *)config + longs[i].offset, &value, sizeof value);
}

/*  This configuration must be refused by check and by open, naming the parts. */
static void refuse(const sqlpool_config *config, const char *first, const char *second) {
    sqlpool *pool = NULL;
    int rc = sqlpool_config_check(config, &err);
    if (rc != SQLPOOL_CONFIG || err.result != rc) {
        test_fail(__FILE__, __LINE__, "%s %s: check gave %s", first, second, sqlpool_result_name(rc));
        return;
    }
    if (strstr(err.message, first) == NULL || strstr(err.message, second) == NULL)
        test_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\" or \"%s\"", err.message, first, second);
    pool = (sqlpool *)(void *)&err;
    rc = sqlpool_open(&pool, "refused.db", config, &err);
    if (rc != SQLPOOL_CONFIG || pool != NULL)
        test_fail(__FILE__, __LINE__, "%s %s: open gave %s", first, second, sqlpool_result_name(rc));
    if (access("refused.db", F_OK) == 0) test_fail(__FILE__, __LINE__, "%s: the file was created", first);
}
static void accept(const sqlpool_config *config, const char *name, int64_t value) {
    const int rc = sqlpool_config_check(config, &err);
    if (rc != SQLPOOL_OK || err.result != rc)
        test_fail(__FILE__, __LINE__, "%s = %" PRId64 " was refused: %s", name, value, err.message);
}

TEST(zero_is_complete) {
    sqlpool_config zero, config;
    memset(&zero, 0, sizeof zero);
    config = sqlpool_config_default();
    CHECK(memcmp(&zero, &config, sizeof zero) == 0);
    CHECK_OK(sqlpool_config_check(&zero, &err), &err);
    CHECK_OK(sqlpool_config_check(NULL, &err), &err);
    CHECK_INT(sqlpool_config_check(NULL, NULL), SQLPOOL_OK);
}

static int now_calls;
static int64_t count_calls(void *user) {
    (void)user;
    return ++now_calls;
}

TEST(garbage_is_named) {
    static const int bytes[] = {0xA5, 0xFF, 0xCC, 0x01};
    sqlpool_config config;
    int i;
    for (i = 0; i < LENGTH(bytes); i++) {
        memset(&config, bytes[i], sizeof config);
        refuse(&config, "canary_start", "zero");
    }
    config = sqlpool_config_default();
    config.canary_end = 7;
    refuse(&config, "canary_end", "zero");
    config = sqlpool_config_default();
    config.canary_start = 1;
    refuse(&config, "canary_start", "zero");
    /* what is behind it is not looked at */
    config.clock.now_ns_fn = count_calls;
    refuse(&config, "canary_start", "zero");
    CHECK(strstr(err.message, "clock") == NULL);
    config.canary_start = 0;
    config.canary_end = 1;
    refuse(&config, "canary_end", "zero");
    CHECK(strstr(err.message, "clock") == NULL);
    config.canary_end = 0;
    refuse(&config, "clock", "sleep_ns_fn");
    CHECK_INT(now_calls, 0);
}

#ifndef SQLPOOL_NO_METRICS
TEST(every_limit_of_every_alert) {
    static const size_t members[] = {
        offsetof(sqlpool_alert_limits, notice), offsetof(sqlpool_alert_limits, warning),
        offsetof(sqlpool_alert_limits, critical)};
    const int64_t off = SQLPOOL_OFF, below = SQLPOOL_OFF - 1;
#define WORD(name, word, unit, notice, warning, critical) #word,
    static const char *const words[] = {SQLPOOL_ALERTS(WORD)};
#undef WORD
    int kind, i;
    for (kind = 0; kind < SQLPOOL_ALERT_COUNT; kind++) {
        char name[40];
        sqlpool_config config = sqlpool_config_default();
        (void)snprintf(name, sizeof name, "alerts[%d], %s,", kind, words[kind]);
        for (i = 0; i < LENGTH(members); i++) {
            char *limit = (char *)&config.alerts[kind] + members[i];
            memcpy(limit, &below, sizeof below);
            refuse(&config, name, "SQLPOOL_OFF");
            memcpy(limit, &off, sizeof off);
            accept(&config, name, off);
        }
        config.alerts[kind].for_ms = -1;
        refuse(&config, name, "below 0");
    }
}
#endif

TEST(every_int_field) {
    char value[32];
    int i, k;
    for (i = 0; i < LENGTH(ints); i++) {
        static const int extremes[] = {INT32_MIN, INT32_MIN + 1, -1000, -3, -2, -1, INT32_MAX, INT32_MAX - 1};
        for (k = 0; k < LENGTH(extremes); k++) {
            sqlpool_config config = sqlpool_config_default();
            int rc;
            set_int(&config, i, extremes[k]);
            rc = sqlpool_config_check(&config, &err);
            (void)snprintf(value, sizeof value, "%d", extremes[k]);
            if (rc == SQLPOOL_CONFIG) {
                PART(refuse(&config, ints[i].name, value));
            } else if (rc != SQLPOOL_OK) {
                test_fail(__FILE__, __LINE__, "%s = %s gave %s", ints[i].name, value, sqlpool_result_name(rc));
            } else if (extremes[k] < -2) {
                test_fail(__FILE__, __LINE__, "%s = %s was accepted", ints[i].name, value);
            } else if (extremes[k] > 0 && ints[i].high > 0) {
                test_fail(__FILE__, __LINE__, "%s = %s was accepted, its range ends at %d", ints[i].name, value, ints[i].high);
            }
        }
        if (ints[i].high > 0) {
            sqlpool_config config = sqlpool_config_default();
            set_int(&config, i, ints[i].high);
            accept(&config, ints[i].name, ints[i].high);
            set_int(&config, i, ints[i].high + 1);
            (void)snprintf(value, sizeof value, "%d", ints[i].high);
            PART(refuse(&config, ints[i].name, value)); /* the message names the allowed range */
            (void)snprintf(value, sizeof value, "%d", ints[i].high + 1);
            PART(refuse(&config, ints[i].name, value));
        }
        if (ints[i].low != 0) {
            sqlpool_config config = sqlpool_config_default();
            set_int(&config, i, ints[i].low);
            accept(&config, ints[i].name, ints[i].low);
            set_int(&config, i, ints[i].low == 1 ? -1 : ints[i].low - 1);
            PART(refuse(&config, ints[i].name, ints[i].name));
        }
    }
}

TEST(every_long_field) {
    static const int64_t negatives[] = {INT64_MIN, INT64_MIN + 1, -1000000, -3};
    char value[32];
    int i, k;
    for (i = 0; i < LENGTH(longs); i++) {
        sqlpool_config config = sqlpool_config_default();
        int rc;
        for (k = 0; k < LENGTH(negatives); k++) {
            set_long(&config, i, negatives[k]);
            (void)snprintf(value, sizeof value, "%" PRId64, negatives[k]);
            PART(refuse(&config, longs[i].name, value));
        }
        set_long(&config, i, INT64_MAX);
        rc = sqlpool_config_check(&config, &err);
        if (rc != SQLPOOL_OK) PART(refuse(&config, longs[i].name, "9223372036854775807"));
    }
}

TEST(all_bad_fields_at_once) {
    sqlpool_config config = sqlpool_config_default();
    config.max_connections = 5000;
    config.retry_attempts = 777;
    config.journal = 99;
    config.mmap_bytes = -12345;
    CHECK_RC(sqlpool_config_check(&config, &err), SQLPOOL_CONFIG, &err);
    CHECK_HAS(err.message, "max_connections");
    CHECK_HAS(err.message, "5000");
    CHECK_HAS(err.message, "1000");
    CHECK_HAS(err.message, "retry_attempts");
    CHECK_HAS(err.message, "777");
    CHECK_HAS(err.message, "journal");
    CHECK_HAS(err.message, "99");
    CHECK_HAS(err.message, "mmap_bytes");
    CHECK_HAS(err.message, "-12345");
    {
        int i; /* more than a message can hold: still a message, still ended */
        for (i = 0; i < LENGTH(ints); i++) set_int(&config, i, INT32_MIN);
        CHECK_RC(sqlpool_config_check(&config, &err), SQLPOOL_CONFIG, &err);
        CHECK(memchr(err.message, '\0', sizeof err.message) != NULL);
        CHECK_HAS(err.message, "min_connections");
    }
}

TEST(fields_that_contradict_each_other) {
    sqlpool_config config = sqlpool_config_default();
    config.min_connections = 5;
    config.max_connections = 3;
    PART(refuse(&config, "min_connections", "5"));
    config = sqlpool_config_default();
    config.max_connections = 1; /* below the default minimum: the default gives way */
    accept(&config, "max_connections", 1);
    config = sqlpool_config_default();
    config.busy_poll_min_us = 5000;
    config.busy_poll_max_us = 200;
    PART(refuse(&config, "busy_poll_m", "5000"));
    config = sqlpool_config_default();
    config.warmup_count = 3;
    PART(refuse(&config, "warmup_", "3"));
}

/*------------------------------------------------------------------------------
 * hook tables: all or none
 *----------------------------------------------------------------------------*/

static void *some_alloc(void *user, size_t bytes) { return (void)user, malloc(bytes); }
static void *some_resize(void *user, void *memory, size_t old_bytes, size_t new_bytes) {
    return (void)user, (void)old_bytes, realloc(memory, new_bytes);
}
static void some_free(void *user, void *memory, size_t bytes) { (void)user, (void)bytes, free(memory); }
static int some_init(void *user, sqlpool_mutex *m) { return (void)user, (void)m, 0; }
static void some_mutex(void *user, sqlpool_mutex *m) { (void)user, (void)m; }
static int some_cinit(void *user, sqlpool_condition *c) { return (void)user, (void)c, 0; }
static void some_condition(void *user, sqlpool_condition *c) { (void)user, (void)c; }
static void some_wait(void *user, sqlpool_condition *c, sqlpool_mutex *m, int64_t ns) { (void)user, (void)c, (void)m, (void)ns; }
static uint64_t some_id(void *user) { return (void)user, 1; }
static int some_create(void *user, void **thread, void (*run)(void *), void *argument) {
    return (void)user, (void)thread, (void)run, (void)argument, 1;
}
static void some_join(void *user, void *thread) { (void)user, (void)thread; }
static int64_t some_now(void *user) { return (void)user, 1; }
static void some_sleep(void *user, int64_t ns) { (void)user, (void)ns; }

TEST(half_filled_hook_tables) {
    sqlpool_config full = sqlpool_config_default(), config;
    full.allocator.alloc_fn = some_alloc;
    full.allocator.resize_fn = some_resize;
    full.allocator.free_fn = some_free;
    full.locks.mutex_init_fn = some_init;
    full.locks.mutex_destroy_fn = full.locks.mutex_lock_fn = full.locks.mutex_unlock_fn = some_mutex;
    full.locks.condition_init_fn = some_cinit;
    full.locks.condition_destroy_fn = full.locks.condition_signal_fn = some_condition;
    full.locks.condition_wait_fn = some_wait;
    full.locks.thread_id_fn = some_id;
    full.locks.thread_create_fn = some_create;
    full.locks.thread_join_fn = some_join;
    full.clock.now_ns_fn = some_now;
    full.clock.sleep_ns_fn = some_sleep;
    accept(&full, "full tables", 0);
#define WITHOUT(table, member)             \
    do {                                   \
        config = full;                     \
        config.table.member = NULL;        \
        PART(refuse(&config, #table, "every member")); \
    } while (0)
    WITHOUT(allocator, alloc_fn);
    WITHOUT(allocator, resize_fn);
    WITHOUT(allocator, free_fn);
    WITHOUT(locks, mutex_init_fn);
    WITHOUT(locks, mutex_destroy_fn);
    WITHOUT(locks, mutex_lock_fn);
    WITHOUT(locks, mutex_unlock_fn);
    WITHOUT(locks, condition_init_fn);
    WITHOUT(locks, condition_destroy_fn);
    WITHOUT(locks, condition_wait_fn);
    WITHOUT(locks, condition_signal_fn);
    WITHOUT(locks, thread_id_fn);
    WITHOUT(locks, thread_create_fn);
    WITHOUT(locks, thread_join_fn);
    WITHOUT(clock, now_ns_fn);
    WITHOUT(clock, sleep_ns_fn);
#undef WITHOUT
    config = sqlpool_config_default();
    config.allocator.alloc_fn = some_alloc;
    PART(refuse(&config, "allocator", "every member"));
    config = sqlpool_config_default();
    config.locks.thread_id_fn = some_id;
    PART(refuse(&config, "locks", "every member"));
}

/*------------------------------------------------------------------------------
 * resolved
 *----------------------------------------------------------------------------*/

TEST(resolved_defaults) {
    sqlpool_config config;
    int i;
    sqlpool *pool = open_pool("defaults.db", NULL, NULL);
    CHECK(pool != NULL);
    memset(&config, 0x5a, sizeof config);
    CHECK_INT(sqlpool_config_resolved(pool, &config), SQLPOOL_OK);
    for (i = 0; i < LENGTH(ints); i++) {
        if (get_int(&config, i) != ints[i].expected)
            test_fail(__FILE__, __LINE__, "%s is %d, documented as %d", ints[i].name, get_int(&config, i), ints[i].expected);
    }
    for (i = 0; i < LENGTH(longs); i++) {
        if (get_long(&config, i) != longs[i].expected)
            test_fail(__FILE__, __LINE__, "%s is %" PRId64 ", documented as %" PRId64, longs[i].name, get_long(&config, i), longs[i].expected);
    }
    CHECK_STR(config.name, "sqlpool");
    CHECK(config.vfs_name != NULL && config.vfs_name[0] != '\0');
    CHECK_INT(config.canary_start, 0);
    CHECK_INT(config.canary_end, 0);
    CHECK(config.allocator.alloc_fn != NULL && config.allocator.resize_fn != NULL && config.allocator.free_fn != NULL);
    CHECK(config.locks.mutex_lock_fn != NULL && config.clock.now_ns_fn != NULL);
    CHECK(!config.read_only && !config.must_exist && !config.untrusted && !config.disable_foreign_keys);
    CHECK_INT(sqlpool_config_resolved(pool, NULL), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_config_resolved(NULL, &config), SQLPOOL_MISUSE);
    close_pool(pool);
}

TEST(resolved_is_what_was_asked) {
    char name[] = "my pool";
    sqlpool_config config = sqlpool_config_default(), back;
    sqlpool *pool;
    config.name = name;
    config.min_connections = 1;
    config.max_connections = 4;
    config.reserve_connections = SQLPOOL_OFF;
    config.barge_us = SQLPOOL_OFF;
    config.acquire_timeout_ms = 1234;
    config.journal = SQLPOOL_JOURNAL_TRUNCATE;
    config.synchronous = SQLPOOL_SYNCHRONOUS_EXTRA;
    config.statement_cache_count = 17;
    config.page_cache_kib = 4000;
    config.returning_bytes = 99999;
    pool = open_pool("asked.db", &config, NULL);
    CHECK(pool != NULL);
    memset(name, 'x', sizeof name - 1); /* strings are copied */
    CHECK_INT(sqlpool_config_resolved(pool, &back), SQLPOOL_OK);
    CHECK_STR(back.name, "my pool");
    CHECK_INT(back.min_connections, 1);
    CHECK_INT(back.max_connections, 4);
    CHECK_INT(back.reserve_connections, SQLPOOL_OFF);
    CHECK_INT(back.barge_us, SQLPOOL_OFF);
    CHECK_INT(back.acquire_timeout_ms, 1234);
    CHECK_INT(back.journal, SQLPOOL_JOURNAL_TRUNCATE);
    CHECK_INT(back.synchronous, SQLPOOL_SYNCHRONOUS_EXTRA);
    CHECK_INT(back.statement_cache_count, 17);
    CHECK_INT(back.page_cache_kib, 4000);
    CHECK_INT(back.returning_bytes, 99999);
    /* what is resolved is itself a good configuration */
    back.name = "again";
    CHECK_OK(sqlpool_config_check(&back, &err), &err);
    close_pool(pool);
}

/*  A bound that is given moves the default of the other one. */
TEST(defaults_give_way) {
    sqlpool_config config = sqlpool_config_default(), back;
    sqlpool *pool;
    config.min_connections = 12; /* above the default maximum */
    accept(&config, "min_connections", 12);
    pool = open_pool("giveway.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_config_resolved(pool, &back), SQLPOOL_OK);
    CHECK_INT(back.min_connections, 12);
    CHECK(back.max_connections >= 12);
    close_pool(pool);
    config = sqlpool_config_default();
    config.max_connections = 1; /* below the default minimum */
    pool = open_pool("giveway.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_INT(sqlpool_config_resolved(pool, &back), SQLPOOL_OK);
    CHECK_INT(back.min_connections, 1);
    CHECK_INT(back.max_connections, 1);
    close_pool(pool);
}

TEST(largest_values_work) {
    sqlpool_config config = sqlpool_config_default();
    int i;
    sqlpool *pool;
    for (i = 0; i < LENGTH(ints); i++) {
        const int before = get_int(&config, i);
        if (strstr(ints[i].name, "_ms") == NULL && strstr(ints[i].name, "_us") == NULL) continue;
        set_int(&config, i, INT32_MAX);
        if (sqlpool_config_check(&config, &err) != SQLPOOL_OK) set_int(&config, i, before);
    }
    for (i = 0; i < LENGTH(longs); i++) {
        const int64_t before = get_long(&config, i);
        set_long(&config, i, INT64_MAX);
        if (sqlpool_config_check(&config, &err) != SQLPOOL_OK) set_long(&config, i, before);
    }
    config.mmap_bytes = 0;
    pool = open_pool("largest.db", &config, "CREATE TABLE t(v); INSERT INTO t VALUES(1)");
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK_INT(sqlpool_tick(pool, INT32_MAX), SQLPOOL_OK);
    CHECK_INT(sqlpool_tick(pool, INT32_MIN) == SQLPOOL_OK || sqlpool_tick(pool, INT32_MIN) == SQLPOOL_MISUSE, 1);
    close_pool(pool);
}

/*------------------------------------------------------------------------------
 * really set
 *----------------------------------------------------------------------------*/

static void check_settings(sqlpool *pool, sqlpool_mode mode, const char *const questions[][2], int count) {
    sqlpool_conn conn;
    char value[100];
    int i;
    CHECK_OK(sqlpool_conn_acquire(pool, mode, &conn, &err), &err);
    for (i = 0; i < count; i++) {
        ask_conn_text(&conn, questions[i][0], value, sizeof value);
        if (strcmp(value, questions[i][1]) != 0)
            test_fail(__FILE__, __LINE__, "%s on a %s is %s, expected %s", questions[i][0],
                      mode == SQLPOOL_READ ? "reader" : "writer", value, questions[i][1]);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
}

TEST(default_settings_are_set) {
    static const char *const both[][2] = {
        {"SELECT * FROM pragma_journal_mode", "wal"}, {"PRAGMA synchronous", "1"}, {"PRAGMA foreign_keys", "1"},
        {"PRAGMA wal_autocheckpoint", "0"}, {"PRAGMA mmap_size", "0"}, {"PRAGMA locking_mode", "normal"},
        {"PRAGMA journal_size_limit", "67108864"},
    };
    static const char *const writer[][2] = {
        {"PRAGMA query_only", "0"}, {"PRAGMA temp_store", "1"}, {"PRAGMA cache_size", "-16384"}};
    static const char *const reader[][2] = {{"PRAGMA query_only", "1"}, {"PRAGMA temp_store", "2"}};
    sqlpool_conn conn;
    sqlpool_config config = config_of(3);
    int64_t cache;
    sqlpool *pool = open_pool("settings.db", &config, NULL);
    CHECK(pool != NULL);
    PART(check_settings(pool, SQLPOOL_READ, both, LENGTH(both)));
    PART(check_settings(pool, SQLPOOL_WRITE, both, LENGTH(both)));
    PART(check_settings(pool, SQLPOOL_READ, reader, LENGTH(reader)));
    PART(check_settings(pool, SQLPOOL_WRITE, writer, LENGTH(writer)));
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    cache = ask_conn(&conn, "PRAGMA cache_size"); /* three readers share 48 MiB */
    CHECK_INT(cache, -16384);
    {
        int defensive = -1, loading = -1;
        sqlite3 *db = sqlpool_conn_db(&conn);
        CHECK_INT(sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, -1, &defensive), SQLITE_OK);
        CHECK_INT(defensive, 1);
        CHECK_INT(sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, -1, &loading), SQLITE_OK);
        CHECK_INT(loading, 0);
    }
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

TEST(asked_settings_are_set) {
    static const struct {
        int journal, synchronous;
        const char *journal_text, *synchronous_text;
    } cases[] = {
        {SQLPOOL_JOURNAL_WAL, SQLPOOL_SYNCHRONOUS_FULL, "wal", "2"},
        {SQLPOOL_JOURNAL_WAL, SQLPOOL_SYNCHRONOUS_OFF, "wal", "0"},
        {SQLPOOL_JOURNAL_DELETE, SQLPOOL_SYNCHRONOUS_NORMAL, "delete", "1"},
        {SQLPOOL_JOURNAL_TRUNCATE, SQLPOOL_SYNCHRONOUS_FULL, "truncate", "2"},
        {SQLPOOL_JOURNAL_PERSIST, SQLPOOL_SYNCHRONOUS_EXTRA, "persist", "3"},
        {SQLPOOL_JOURNAL_MEMORY, SQLPOOL_SYNCHRONOUS_OFF, "memory", "0"},
    };
    int i, first;
    for (i = 0; i < LENGTH(cases); i++) { /* one file through all modes */
        sqlpool_config config = config_of(2), resolved;
        const char *expected[6][2];
        sqlpool *pool;
        config.journal = cases[i].journal;
        config.synchronous = cases[i].synchronous;
        config.disable_foreign_keys = true;
        config.page_cache_kib = 8000;
        config.mmap_bytes = 1 << 20;
        pool = open_pool("modes.db", &config, "CREATE TABLE IF NOT EXISTS t(v); INSERT INTO t VALUES(1)");
        CHECK(pool != NULL);
        expected[0][0] = "SELECT * FROM pragma_journal_mode", expected[0][1] = cases[i].journal_text;
        expected[1][0] = "PRAGMA synchronous", expected[1][1] = cases[i].synchronous_text;
        expected[2][0] = "PRAGMA foreign_keys", expected[2][1] = "0";
        expected[3][0] = "PRAGMA mmap_size", expected[3][1] = "1048576";
        expected[4][0] = "PRAGMA cache_size", expected[4][1] = "-2000";
        PART(check_settings(pool, SQLPOOL_WRITE, (const char *const(*)[2])expected, 5));
        expected[4][1] = "-3000";
        /* a rollback journal's kind matters to who writes; the log is a property of the file */
        first = cases[i].journal == SQLPOOL_JOURNAL_WAL ? 0 : 1;
        PART(check_settings(pool, SQLPOOL_READ, (const char *const(*)[2])expected + first, 5 - first));
        CHECK_INT(sqlpool_config_resolved(pool, &resolved), SQLPOOL_OK);
        CHECK_INT(resolved.journal, cases[i].journal);
        CHECK_INT(resolved.synchronous, cases[i].synchronous);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), i + 1);
        close_pool(pool);
    }
}

TEST(untrusted_is_tight) {
    static const char *const both[][2] = {{"PRAGMA trusted_schema", "0"}, {"PRAGMA cell_size_check", "1"}};
    static const char *const plain[][2] = {{"PRAGMA cell_size_check", "0"}};
    sqlpool_config config = config_of(2);
    sqlpool_conn conn;
    sqlpool *pool = open_pool("untrusted.db", &config, "CREATE TABLE t(v)");
    CHECK(pool != NULL);
    PART(check_settings(pool, SQLPOOL_WRITE, plain, 1));
    close_pool(pool);
    config.untrusted = true;
    pool = open_pool("untrusted.db", &config, NULL);
    CHECK(pool != NULL);
    PART(check_settings(pool, SQLPOOL_WRITE, both, 2));
    PART(check_settings(pool, SQLPOOL_READ, both, 2));
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &err), &err);
    CHECK(sqlite3_limit(sqlpool_conn_db(&conn), SQLITE_LIMIT_LENGTH, -1) <= 16000000);
    CHECK(sqlite3_limit(sqlpool_conn_db(&conn), SQLITE_LIMIT_SQL_LENGTH, -1) <= 100000);
    CHECK_INT(sqlite3_limit(sqlpool_conn_db(&conn), SQLITE_LIMIT_ATTACHED, -1), 0);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    close_pool(pool);
}

/*  What an untrusted pool refuses, one statement each; every one of them works in an ordinary pool, but for
    those that no pool takes. */
TEST(untrusted_refuses_what_costs_too_much) {
    static char wide[2000], deep[300];
    static const struct {
        const char *sql;
        int refused; /* primary code; 0 for any */
        bool always;
    } cases[] = {
        {"SELECT \"nosuchcolumn\"", SQLITE_ERROR, false},
        {"CREATE TABLE dqs(a CHECK(a <> \"nosuchcolumn\"))", SQLITE_ERROR, false},
        {"SELECT ?11", 0, false},
        {wide, 0, false},
        {deep, 0, false},
        {"SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4", 0, false},
        {"SELECT max(1, 2, 3, 4, 5, 6, 7, 8, 9)", 0, false},
        {"SELECT 'a' LIKE '123456789012345678901234567890123456789012345678901'", 0, false},
        {"SELECT zeroblob(1000001)", SQLITE_TOOBIG, false},
        {"ATTACH 'attached_file.db' AS other", SQLPOOL_REFUSED, true},
        {"SELECT load_extension('nothing')", SQLITE_ERROR, true},
        {"INSERT INTO sqlite_schema(type) VALUES('table')", SQLITE_ERROR, true},
    };
    sqlpool_config config = config_of(1);
    sqlpool_value eleven[11];
    sqlpool_conn conn;
    int untrusted, i;
    strcpy(wide, "SELECT 1");
    for (i = 1; i < 101; i++) strcat(wide, ", 1");
    strcpy(deep, "SELECT ");
    for (i = 0; i < 11; i++) strcat(deep, "-(");
    strcat(deep, "random()");
    for (i = 0; i < 11; i++) strcat(deep, ")");
    for (i = 0; i < 11; i++) eleven[i] = SQLPOOL_VALUE(i);
    for (untrusted = 0; untrusted <= 1; untrusted++) {
        sqlpool *pool;
        config.untrusted = untrusted == 1;
        pool = open_pool("costs.db", &config, "DROP TABLE IF EXISTS dqs");
        CHECK(pool != NULL);
        for (i = 0; i < LENGTH(cases); i++) {
            const int count = strchr(cases[i].sql, '?') != NULL ? 11 : 0;
            const bool must_fail = untrusted == 1 || cases[i].always;
            const int rc = sqlpool_exec(pool, cases[i].sql, eleven, count, &err);
            const int code = rc > 0 ? rc & 0xff : rc;
            if ((rc != SQLPOOL_OK) != must_fail || (must_fail && cases[i].refused != 0 && code != cases[i].refused))
                test_fail(__FILE__, __LINE__, "\"%.60s\" in %s pool gave %s: %s", cases[i].sql,
                          untrusted ? "an untrusted" : "an ordinary", sqlpool_result_name(rc), err.message);
        }
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err); /* past the refusals */
        CHECK_INT(sqlite3_exec(sqlpool_conn_db(&conn), "ATTACH 'attached_file.db' AS other", NULL, NULL, NULL) == SQLITE_OK,
                  untrusted == 0);
        if (untrusted == 1) CHECK(access("attached_file.db", F_OK) != 0);
        CHECK(sqlite3_exec(sqlpool_conn_db(&conn),
                           "PRAGMA writable_schema=ON; INSERT INTO sqlite_schema(type) VALUES('table')", NULL, NULL,
                           NULL) != SQLITE_OK); /* DEFENSIVE, in every pool */
        (void)sqlpool_conn_release(&conn);
        close_pool(pool);
        (void)unlink("attached_file.db");
    }
}

TEST(safety_can_be_switched_off) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    int value = -1;
    sqlpool *pool;
    config.disable_defensive = true;
    config.enable_extension_loading = true;
    pool = open_pool("safety.db", &config, NULL);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_INT(sqlite3_db_config(sqlpool_conn_db(&conn), SQLITE_DBCONFIG_DEFENSIVE, -1, &value), SQLITE_OK);
    CHECK_INT(value, 0);
    CHECK_INT(sqlite3_db_config(sqlpool_conn_db(&conn), SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, -1, &value), SQLITE_OK);
    CHECK_INT(value, 1);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK(sqlpool_exec(pool, "SELECT load_extension('nothing')", SQLPOOL_NO_ARGS, &err) != SQLPOOL_OK);
    close_pool(pool);
}

int main(void) {
    RUN(zero_is_complete);
    RUN(garbage_is_named);
#ifndef SQLPOOL_NO_METRICS
    RUN(every_limit_of_every_alert);
#endif
    RUN(every_int_field);
    RUN(every_long_field);
    RUN(all_bad_fields_at_once);
    RUN(fields_that_contradict_each_other);
    RUN(half_filled_hook_tables);
    RUN(resolved_defaults);
    RUN(resolved_is_what_was_asked);
    RUN(defaults_give_way);
    RUN(largest_values_work);
    RUN(default_settings_are_set);
    RUN(asked_settings_are_set);
    RUN(untrusted_is_tight);
    RUN(untrusted_refuses_what_costs_too_much);
    RUN(safety_can_be_switched_off);
    return test_end();
}
