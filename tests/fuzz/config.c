/*  config.c - fuzz: configurations (I26.1, I26.2). What is refused, and why; that open says the
    same; and that what is in effect is what was asked for, with the documented defaults for zeros.
    Options of a call are looked at as well. SPDX-License-Identifier: MIT OR Unlicense

    An input is lines "name value" of the table below, and some that are no numbers. The table is a
    second account of the ranges and defaults: a mistake in the library's is seen by it. */
#include "fuzz/fuzz.h"

/* clang-format off */
#define OFF true /* SQLPOOL_OFF is a value of it */
#define ON false
static const struct field {
    const char *name;
    size_t at;
    int bytes;
    int64_t least, most, fallback;
    bool may_be_off;
} fields[] = {
#define INT(name, least, most, fallback, off) \
    {#name, offsetof(sqlpool_config, name), 4, least, most, fallback, off},
#define INT64(name, least, most, fallback) \
    {#name, offsetof(sqlpool_config, name), 8, least, most, fallback, ON},
    INT(min_connections, 1, 1000, 2, ON)           INT(max_connections, 1, 1000, 10, ON)
    INT(reserve_connections, 1, 100, 1, OFF)       INT(reserve_threshold_percent, 1, 101, 80, ON)
    INT(reserve_wait_ms, 1, INT32_MAX, -1, OFF)    INT(topology, 0, 1, 0, ON)
    INT(acquire_timeout_ms, 1, INT32_MAX, 5000, OFF)
    INT(statement_timeout_ms, 1, INT32_MAX, -1, OFF)
    INT(open_timeout_ms, 1, INT32_MAX, 5000, ON)   INT(close_timeout_ms, 1, INT32_MAX, 5000, ON)
    INT(open_retry_ms, 1, INT32_MAX, 200, ON)      INT(barge_us, 1, INT32_MAX, 2000, OFF)
    INT(idle_timeout_ms, 1, INT32_MAX, 30000, OFF) INT(max_lifetime_ms, 1, INT32_MAX, -1, OFF)
    INT(lifetime_jitter_percent, 1, 100, 10, OFF)  INT(upkeep_interval_ms, 1, INT32_MAX, 1000, ON)
    INT(validate_after_ms, 1, INT32_MAX, 500, ON)  INT(health_interval_ms, 1, INT32_MAX, 30000, ON)
    INT(leak_report_ms, 1, INT32_MAX, 60000, OFF)  INT(snapshot_idle_ms, 1, 60000, 50, OFF)
    INT(busy_poll_min_us, 1, 1000000, 100, ON)     INT(busy_poll_max_us, 1, 1000000, 1000, ON)
    INT(retry_preset, 0, 3, 0, ON)                 INT(retry_attempts, 1, 100, 5, ON)
    INT(retry_base_us, 1, 60000000, 1000, ON)      INT(retry_cap_us, 1, 60000000, 100000, ON)
    INT(retry_multiplier_percent, 100, 1000, 200, ON)
    INT(retry_jitter, 0, 3, 0, ON)                 INT(retry_total_ms, 1, INT32_MAX, -1, OFF)
    INT(retry_budget_percent, 1, 1000, 20, OFF)    INT(retry_budget_per_s, 1, 1000000, 10, OFF)
    INT(breaker_open_ms, 1, INT32_MAX, 1000, OFF)  INT(breaker_failures, 1, 1000000, 20, ON)
    INT(breaker_percent, 1, 100, 50, ON)           INT(breaker_window_ms, 1, INT32_MAX, 10000, ON)
    INT(group_count, 1, 256, 64, OFF)              INT(group_us, 1, 1000000, 2000, ON)
    INT64(group_bytes, 1, 1 << 30, 1 << 20)        INT(submit_count, 1, 1000000, 1024, ON)
    INT64(submit_bytes, 1024, INT64_C(1) << 40, 8 << 20)
    INT(statement_cache_count, 1, 100000, 100, ON)
    INT64(statement_cache_bytes, 1, INT64_C(1) << 40, 4 << 20)
    INT64(returning_bytes, 1, 1 << 30, 1 << 20)
    INT(journal, 0, 4, 0, ON)                      INT(synchronous, 0, 3, 0, ON)
    INT(page_cache_kib, 1, 1 << 30, 65536, ON)     INT64(mmap_bytes, 0, INT64_C(1) << 40, 0)
    INT64(journal_size_limit_bytes, 1, INT64_C(1) << 40, 64 << 20)
    INT64(wal_budget_bytes, 4096, INT64_C(1) << 40, 4 << 20)
    INT64(wal_limit_bytes, 4096, INT64_C(1) << 40, 64 << 20)
    INT(wal_wait_ms, 1, 60000, 50, ON)
#undef INT
#undef INT64
};

static const char *const fuzz_words[] = {
    "\n", " ", "-1", "-2", "0", "1", "2", "3", "4", "5", "100", "101", "1000", "1001", "4095",
    "4096", "60000",
    "60001", "1000000", "1000001", "2147483647", "2147483648", "-2147483648", "9223372036854775807",
    "1073741824", "1099511627776", "1099511627777", "min_connections ", "max_connections ",
    "busy_poll_min_us ", "busy_poll_max_us ", "wal_budget_bytes ", "wal_limit_bytes ",
    "retry_preset ",
    "schedule ", "warmup ", "name ", "canary ", "hooks ", "flags ", "call ", "reserve_connections ",
    "topology ", "journal ", "synchronous ", "group_count ", "retry_attempts ", "breaker_percent ",
    "SELECT 1", "snapshot_idle_ms ", "statement_cache_count ", NULL};
static const char *const fixed_seeds[] = {
    "", "min_connections 1\nmax_connections 1", "min_connections 4\nmax_connections 3",
    "min_connections 12", "busy_poll_min_us 5000", "busy_poll_min_us 99\nbusy_poll_max_us 50",
    "wal_budget_bytes 99999999999",
    "wal_budget_bytes 8192\nwal_limit_bytes 6000", "retry_preset 3", "retry_preset 3\nschedule 5",
    "retry_preset 1\nretry_attempts 9",
    "schedule 100\nschedule 0\nschedule 7", "schedule -1", "warmup SELECT 1\nwarmup SELECT FROM",
    "canary 1", "canary 2", "hooks 1", "hooks 6", "name a\"b", "flags 255", "flags 4",
    "call -2 0 1",
    "call -3 101 7", "topology 1\njournal 3\nsynchronous 2", "group_count -1\nsnapshot_idle_ms -1",
    "breaker_percent 101\nretry_jitter 4\nretry_multiplier_percent 99\nreserve_connections -2"};
/* clang-format on */

static void fuzz_seeds(void) {
    size_t i;
    for (i = 0; i < LENGTH(fixed_seeds); i++) fuzz_seed_text(fixed_seeds[i]);
    for (i = 0; i < LENGTH(fields); i++) {
        char line[200];
        (void)snprintf(line, sizeof line, "%s %lld\n%s %lld\n%s %d", fields[i].name,
                       (long long)fields[i].least, fields[i].name, (long long)fields[i].most,
                       fields[i].name, -1);
        fuzz_seed_text(line);
    }
}
static void fuzz_start(void) {}

static int64_t value_of(const sqlpool_config *config, const struct field *field) {
    const char *at = (const char *)config + field->at;
    int small;
    int64_t big;
    memcpy(&small, at, sizeof small);
    memcpy(&big, at, field->bytes == 8 ? sizeof big : sizeof small);
    return field->bytes == 8 ? big : small;
}
static void set_value(sqlpool_config *config, const struct field *field, int64_t value) {
    char *at = (char *)config + field->at;
    const int small = (int)(value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : value);
    memcpy(at, field->bytes == 8 ? (const void *)&value : (const void *)&small,
           (size_t)field->bytes);
}

/*---- an input ----*/

enum { MOST_LISTED = 8 };

typedef struct wanted {
    sqlpool_config config;
    sqlpool_call call;
    bool has_call;
    char name[100];
    int schedule[MOST_LISTED];
    char warmup[MOST_LISTED][100];
    const char *warmup_list[MOST_LISTED];
} wanted;

static unit_pool u;

static void read_line(wanted *w, char *line) {
    sqlpool_config *config = &w->config;
    char *value = strchr(line, ' ');
    int64_t number;
    size_t i;
    if (value == NULL) return;
    *value++ = '\0';
    number = strtoll(value, NULL, 10);
    for (i = 0; i < LENGTH(fields); i++)
        if (strcmp(line, fields[i].name) == 0) set_value(config, &fields[i], number);
    if (strcmp(line, "schedule") == 0 && config->retry_schedule_count < MOST_LISTED) {
        w->schedule[config->retry_schedule_count++] = (int)number;
        config->retry_schedule_us = w->schedule;
    } else if (strcmp(line, "warmup") == 0 && config->warmup_count < MOST_LISTED) {
        (void)snprintf(w->warmup[config->warmup_count], sizeof w->warmup[0], "%s", value);
        w->warmup_list[config->warmup_count] = w->warmup[config->warmup_count];
        config->warmup_count++;
        config->warmup_sql = w->warmup_list;
    } else if (strcmp(line, "name") == 0) {
        (void)snprintf(w->name, sizeof w->name, "%s", value);
        config->name = w->name;
    } else if (strcmp(line, "canary") == 0) {
        if (number & 1) config->canary_start = 1;
        if (number & 2) config->canary_end = 7;
    } else if (strcmp(line, "hooks") == 0) { /* members that are missing */
        if (number & 1) config->allocator.resize_fn = NULL;
        if (number & 2) config->clock.sleep_ns_fn = NULL;
        if (number & 4) config->locks.thread_id_fn = NULL;
    } else if (strcmp(line, "flags") == 0) {
        config->untrusted = (number & 1) != 0;
        config->disable_defensive = (number & 2) != 0;
        config->must_exist = (number & 4) != 0;
        config->disable_foreign_keys = (number & 8) != 0;
        config->pass_open_error = (number & 16) != 0;
        config->enable_extension_loading = (number & 32) != 0;
    } else if (strcmp(line, "call") == 0) {
        w->has_call = true;
        w->call.timeout_ms = (int)strtol(value, &value, 10);
        w->call.attempts = (int)strtol(value, &value, 10);
        w->call.priority = (int)strtol(value, &value, 10);
    }
}

/*---- the oracle ----*/

static bool is_in_range(const sqlpool_config *config, const struct field *field) {
    const int64_t value = value_of(config, field);
    return value == 0 || (value >= field->least && value <= field->most) ||
           (field->may_be_off && value == SQLPOOL_OFF);
}
/*  The first thing that is wrong, as the message must name it; NULL: nothing. */
static const char *what_is_wrong(const wanted *w) {
    const sqlpool_config *config = &w->config;
    size_t i;
    if (config->canary_start != 0 || config->canary_end != 0) return "canary_start";
    for (i = 0; i < LENGTH(fields); i++)
        if (!is_in_range(config, &fields[i])) return fields[i].name;
    if (config->allocator.resize_fn == NULL) return "allocator.resize_fn";
    if (config->clock.sleep_ns_fn == NULL) return "clock.sleep_ns_fn";
    if (config->locks.thread_id_fn == NULL) return "locks.thread_id_fn";
    for (i = 0; i < (size_t)config->retry_schedule_count; i++)
        if (w->schedule[i] < 0) return "retry_schedule_us";
    if (config->max_connections > 0 && config->min_connections > config->max_connections)
        return "min_connections";
    if (config->busy_poll_max_us > 0 && config->busy_poll_min_us > config->busy_poll_max_us)
        return "busy_poll_min_us";
    if (config->wal_limit_bytes > 0 && config->wal_budget_bytes > config->wal_limit_bytes)
        return "wal_budget_bytes";
    return NULL;
}
static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}
/*  What a zero stands for, given the other fields; `given` elsewhere. */
static int64_t expected_of(const sqlpool_config *asked, const struct field *field) {
    static const int presets[][4] = {{5, 1000, 100000, -1},
                                     {3, 500000, 5000000, -1},
                                     {5, 100000, 2000000, -1},
                                     {4, 100000, 2000000, 5000}};
    const int *preset = presets[asked->retry_preset];
    const int64_t given = value_of(asked, field);
    const char *name = field->name;
    const bool is_alone = asked->max_connections == 1;
    if (strcmp(name, "snapshot_idle_ms") == 0) return SQLPOOL_OFF; /* no upkeep thread here */
    if (strcmp(name, "journal") == 0) return SQLPOOL_JOURNAL_MEMORY;
    if (strcmp(name, "topology") == 0 && is_alone) return SQLPOOL_TOPOLOGY_GENERAL;
    if (strcmp(name, "reserve_connections") == 0 && is_alone) return SQLPOOL_OFF;
    if (given != 0) return given;
    if (strcmp(name, "retry_attempts") == 0)
        return asked->retry_schedule_count > 0 ? asked->retry_schedule_count + 1 : preset[0];
    if (strcmp(name, "retry_base_us") == 0) return preset[1];
    if (strcmp(name, "retry_cap_us") == 0) return preset[2];
    if (strcmp(name, "retry_total_ms") == 0) return preset[3];
    if (strcmp(name, "min_connections") == 0) return is_alone ? 1 : 2;
    if (strcmp(name, "max_connections") == 0) return larger(10, asked->min_connections);
    if (strcmp(name, "busy_poll_max_us") == 0) return larger(1000, asked->busy_poll_min_us);
    if (strcmp(name, "busy_poll_min_us") == 0) return field->fallback;
    if (strcmp(name, "wal_limit_bytes") == 0)
        return larger(field->fallback, asked->wal_budget_bytes);
    return field->fallback;
}

static void check_resolved(const wanted *w) {
    sqlpool_config out;
    sqlpool_error error;
    size_t i;
    FUZZ_CHECK(sqlpool_config_resolved(u.pool, &out) == SQLPOOL_OK);
    for (i = 0; i < LENGTH(fields); i++) {
        const struct field *field = &fields[i];
        int64_t is = value_of(&out, field), expected = expected_of(&w->config, field);
        if (is == expected || strcmp(field->name, "mmap_bytes") == 0) continue;
        if (strcmp(field->name, "busy_poll_max_us") == 0 ||
            strcmp(field->name, "wal_limit_bytes") == 0)
            continue; /* raised to the other */
        FUZZ_FAIL("%s is %lld, expected %lld", field->name, (long long)is, (long long)expected);
    }
    FUZZ_CHECK(out.busy_poll_min_us <= out.busy_poll_max_us);
    FUZZ_CHECK(out.wal_budget_bytes <= out.wal_limit_bytes);
    FUZZ_CHECK(out.min_connections <= out.max_connections);
    FUZZ_CHECK(strcmp(out.name, w->config.name != NULL ? w->name : "sqlpool") == 0);
    if (sqlpool_config_check(&out, &error) != SQLPOOL_OK)
        FUZZ_FAIL("what is in effect is refused: %s", error.message);
}
static void check_call(const wanted *w) {
    int64_t one = 0;
    sqlpool_rows rows;
    sqlpool_error error;
    const sqlpool_call *c = &w->call;
    const bool is_valid = c->timeout_ms >= SQLPOOL_NO_WAIT && c->attempts >= 0 &&
                          (c->priority == 0 || c->priority == 1);
    int rc;
    memset(&error, 0xaa, sizeof error);
    (void)sqlpool_query_with(u.pool, c, &rows, "SELECT 1", SQLPOOL_NO_ARGS, &error);
    if (sqlpool_rows_next(&rows)) one = sqlpool_rows_int64(&rows, 0);
    rc = sqlpool_rows_close(&rows, &error);
    fuzz_check_error(&error, rc);
    if ((rc == SQLPOOL_MISUSE) == is_valid || (rc == SQLPOOL_OK) != (one == 1))
        FUZZ_FAIL("options %d, %d, %d: %s (%s)", c->timeout_ms, c->attempts, c->priority,
                  sqlpool_result_name(rc), error.message);
}

static void fuzz_one(const uint8_t *data, size_t bytes) {
    static wanted w;
    fuzz_reader r = {data, data + bytes};
    sqlpool_error error, open_error;
    const char *wrong;
    int rc;
    if (memchr(data, 0, bytes) != NULL) return;
    memset(&w, 0, sizeof w);
    w.config = fuzz_config(&u, 1);
    w.config.max_connections = w.config.min_connections = w.config.reserve_connections = 0;
    w.config.synchronous = 0;
    while (r.at < r.end) {
        char line[160];
        (void)fuzz_text(&r, line, sizeof line - 1, '\n');
        read_line(&w, line);
    }
    wrong = what_is_wrong(&w);
    memset(&error, 0xaa, sizeof error);
    rc = sqlpool_config_check(&w.config, &error);
    fuzz_check_error(&error, rc);
    if (rc != (wrong != NULL ? SQLPOOL_CONFIG : SQLPOOL_OK))
        FUZZ_FAIL("check gave %s (%s), wrong is %s", sqlpool_result_name(rc), error.message,
                  wrong != NULL ? wrong : "nothing");
    if (wrong != NULL && strstr(error.message, wrong) == NULL)
        FUZZ_FAIL("%s is not named: %s", wrong, error.message);
    if (w.config.min_connections > 8 || w.config.max_connections > 64 ||
        w.config.statement_cache_count > 5000 || w.config.submit_count > 5000)
        return; /* slow, and not another thing */
    memset(&open_error, 0xaa, sizeof open_error);
    rc = sqlpool_open(&u.pool, ":memory:", &w.config, &open_error);
    fuzz_check_error(&open_error, rc);
    if ((rc == SQLPOOL_CONFIG) != (wrong != NULL))
        FUZZ_FAIL("open gave %s (%s), wrong is %s", sqlpool_result_name(rc), open_error.message,
                  wrong != NULL ? wrong : "nothing");
    if (wrong != NULL) {
        FUZZ_CHECK(strcmp(error.message, open_error.message) == 0);
        FUZZ_CHECK(u.pool == NULL);
    }
    if (rc != SQLPOOL_OK) {
        fuzz_check_gone(&u);
        return;
    }
    u.core = u.pool->core;
    check_resolved(&w);
    if (w.has_call) check_call(&w);
    fuzz_close(&u);
}

FUZZ_TARGET("config")
