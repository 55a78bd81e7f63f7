/*  report.c - reports in every format, over hostile texts. SPDX-License-Identifier: MIT OR Unlicense

        report write FOLDER      writes the reports of a pool that has met everything, one file each,
                                 for parsers that are not ours (tests/report/formats.sh) */
#include "api.h"

static sqlpool_error err;

typedef struct sink {
    char *text;
    size_t bytes, room;
    int pieces, stop_at, stop_with; /* the piece that is answered so */
} sink;

static int keep(void *user, const char *text, size_t bytes) {
    sink *s = user;
    if (s->room - s->bytes < bytes + 1) {
        s->room = 2 * (s->bytes + bytes) + 1;
        s->text = realloc(s->text, s->room);
        if (s->text == NULL) abort();
    }
    memcpy(s->text + s->bytes, text, bytes);
    s->bytes += bytes;
    s->text[s->bytes] = '\0';
    s->pieces++;
    return s->stop_at == s->pieces ? s->stop_with : 0;
}

static const sqlpool_report_format formats[] = {
    SQLPOOL_REPORT_TEXT,        SQLPOOL_REPORT_JSON, SQLPOOL_REPORT_PROMETHEUS,
    SQLPOOL_REPORT_OPENMETRICS, SQLPOOL_REPORT_HTML, SQLPOOL_REPORT_TRACE};
static const char *const files[] = {"report.txt", "report.json", "metrics.txt",
                                    "metrics.om", "report.html", "trace.json"};

#define CANARY "canary-4711-of-a-bound-value"

/*  Texts that would break a report that does not escape them. */
static const char *const hostile[] = {
    "SELECT 1 AS \"quote\"\"d\", 'single''s', `back\\slash` FROM (SELECT 2 AS `back\\slash`)",
    "SELECT 1 AS \"</code></script><script>alert(1)</script><img src=x onerror=alert(2)>\"",
    "SELECT 2 AS \"line\nfeed\r\ttab \x01\x02\x1b[31mred\x1b[0m \x7f\"",
    "SELECT 3 AS \"bad \xff\xfe\xc3 \xe2\x82 utf-8 \xed\xa0\x80\"",
    "SELECT 4 AS \"Gr\xc3\xbc\xc3\x9f"
    "e \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x90\x98\"",
    "SELECT 5 AS \"turn \xe2\x80\xae around \xc2\x9b"
    "31m c1\"",
    "SELECT 6 AS \"{\\\"a\\\":1}, # EOF\n# TYPE x counter\"",
    "SELECT 7 AS \"%s%n%d %%\""};

static char *million;

/*  SQL of a million bytes. */
static const char *huge(void) {
    if (million == NULL) {
        size_t i;
        million = malloc(1048577);
        if (million == NULL) abort();
        memcpy(million, "SELECT 8 AS \"", 13);
        for (i = 13; i < 1048575; i++) million[i] = "<&>x\\"[i % 5];
        million[1048575] = '"';
        million[1048576] = '\0';
    }
    return million;
}

static int slow_function_calls;
static void slow_function(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    (void)values;
    slow_function_calls++;
    sleep_ms(25);
    sqlite3_result_int(context, 1);
}
static int add_functions(void *user, const sqlpool_conn *conn) {
    (void)user;
    return add_function(conn, "slowly", 0, slow_function);
}

/*  A pool that has met everything; its name, a tag and the file of a call are hostile as well. */
static sqlpool *make(const char *path, sqlpool_conn *held) {
    sqlpool_config config = config_of(3);
    sqlpool_call call = {0};
    sqlpool *pool;
    size_t i;
    config.name = "po\"ol\\ <b>\n\xff";
    config.slow_ms = 10;
    config.upkeep_interval_ms = 20;
    config.events.connect_fn = add_functions;
    config.alerts[SQLPOOL_ALERT_WAITING].for_ms = 1;
    config.alerts[SQLPOOL_ALERT_UTILISATION].notice = 1;
    config.alerts[SQLPOOL_ALERT_UTILISATION].for_ms = 1;
    pool = open_pool(path, &config, "CREATE TABLE t(x); INSERT INTO t VALUES(1),(2),(3)");
    if (pool == NULL) return NULL;
    for (i = 0; i < LENGTH(hostile); i++)
        (void)sqlpool_exec(pool, hostile[i], SQLPOOL_NO_ARGS, &err);
    (void)sqlpool_exec(pool, huge(), SQLPOOL_NO_ARGS, &err);
    (void)sqlpool_exec(pool, "SELECT * FROM \"no <such> table\"", SQLPOOL_NO_ARGS, &err);
    (void)sqlpool_exec(pool, "SELECT count(*) FROM t WHERE x = ? OR slowly() = 2 ORDER BY x + 1",
                       SQLPOOL_ARGS(CANARY), &err);
    call.tag = "tag \"<i>\\\n\x1b]0;title\x07";
    (void)sqlpool_conn_acquire_at("fi<le>\"\n.c", 7, pool, SQLPOOL_READ, &call, held, &err);
    (void)sqlpool_conn_exec(held, hostile[1], SQLPOOL_NO_ARGS, NULL, &err);
    sleep_ms(200); /* some samples; the alert */
    return pool;
}

static bool is_utf8_without_controls(const char *text, size_t bytes) {
    const unsigned char *at = (const unsigned char *)text, *end = at + bytes;
    while (at < end) {
        int more = *at < 0x80                  ? 0
                   : *at >= 0xc2 && *at < 0xe0 ? 1
                   : *at >= 0xe0 && *at < 0xf0 ? 2
                   : *at >= 0xf0 && *at < 0xf5 ? 3
                                               : -1;
        if (more < 0 || at + more >= end) return false;
        if ((*at < 0x20 && *at != '\n') || *at == 0x7f) return false;
        if (*at == 0xc2 && at[1] < 0xa0) return false; /* C1 */
        if (*at == 0xe2 && at[1] == 0x80 && at[2] >= 0xaa && at[2] <= 0xae)
            return false; /* turns */
        for (at++; more > 0; more--, at++)
            if ((*at & 0xc0) != 0x80) return false;
    }
    return true;
}

static void report(sqlpool *pool, sqlpool_report_format format, sink *s) {
    memset(s, 0, sizeof *s);
    CHECK_OK(sqlpool_report(pool, format, keep, s, &err), &err);
}

TEST(every_format_survives_hostile_texts) {
    sqlpool_conn held;
    sqlpool *pool = make("hostile.db", &held);
    size_t i;
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(formats); i++) {
        sink s;
        PART(report(pool, formats[i], &s));
        CHECK(s.bytes > 1000 && s.bytes < 300 * 1024);
        CHECK_INT(strlen(s.text), s.bytes);
        CHECK(is_utf8_without_controls(s.text, s.bytes));
        CHECK(strstr(s.text, CANARY) == NULL);
        CHECK(s.text[s.bytes - 1] == '\n');
        free(s.text);
    }
    CHECK(slow_function_calls > 0);
    CHECK_INT(sqlpool_conn_release(&held), SQLPOOL_OK);
    close_pool(pool);
}

TEST(text_has_80_columns) {
    sqlpool_conn held;
    sqlpool *pool = make("columns.db", &held);
    const char *at;
    sink s;
    CHECK(pool != NULL);
    PART(report(pool, SQLPOOL_REPORT_TEXT, &s));
    for (at = s.text; *at != '\0';) {
        int columns = 0;
        for (; *at != '\n' && *at != '\0'; at++) columns += (*at & 0xc0) != 0x80 ? 1 : 0;
        if (columns > 80)
            test_fail(__FILE__, __LINE__, "%d columns: %.120s", columns, at - columns);
        if (*at == '\n') at++;
    }
    CHECK_HAS(s.text, "health       ");
    CHECK_HAS(s.text, "alerts       1");
    CHECK_HAS(s.text, "latency    ");
    CHECK_HAS(s.text, "slowly()");
    CHECK_HAS(s.text, "leases out   1");
    CHECK_HAS(s.text, "fi<le>\"?.c:7");
    CHECK_HAS(s.text, "tag \"<i>\\??]0;title?");
    free(s.text);
    CHECK_INT(sqlpool_conn_release(&held), SQLPOOL_OK);
    close_pool(pool);
}

TEST(html_runs_and_loads_nothing) {
    static const char *const never[] = {"<script", "<img",     "<iframe", "<b>\"",  "onerror=\"",
                                        "http://", "https://", "url(",    "@import"};
    sqlpool_conn held;
    sqlpool *pool = make("html.db", &held);
    size_t i;
    sink s;
    CHECK(pool != NULL);
    PART(report(pool, SQLPOOL_REPORT_HTML, &s));
    for (i = 0; i < LENGTH(never); i++)
        if (strstr(s.text, never[i]) != NULL)
            test_fail(__FILE__, __LINE__, "the page has %s", never[i]);
    CHECK_HAS(s.text, "default-src 'none'");
    CHECK_HAS(s.text, "&lt;/code&gt;&lt;/script&gt;&lt;script&gt;alert(1)");
    CHECK_HAS(s.text, "<title>po&quot;ol\\ &lt;b&gt;?"
                      "?</title>");
    CHECK_HAS(s.text, "prefers-color-scheme:dark");
    CHECK_HAS(s.text, "width=device-width");
    free(s.text);
    CHECK_INT(sqlpool_conn_release(&held), SQLPOOL_OK);
    close_pool(pool);
}

/*  A page of a pool with as much in it as there can be. */
TEST(html_of_a_busy_pool_is_below_300_kib) {
    sqlpool_config config = config_of(100);
    sqlpool_conn conns[60];
    sqlpool *pool;
    char sql[300];
    int i;
    sink s;
    config.upkeep_interval_ms = 1;
    config.history_count = 5000;
    pool = open_pool("busy.db", &config, "CREATE TABLE t(x)");
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(conns); i++)
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conns[i], &err), &err);
    for (i = 0; i < 150; i++) {
        memset(sql, '<', sizeof sql);
        (void)snprintf(sql, sizeof sql, "SELECT \"a%d<<<<<<<<<<<<<<<<<<<<<<<<<<<\" FROM t", i);
        sql[strlen(sql)] = ' ';
        memcpy(sql + sizeof sql - 6, "-- <\"", 6);
        (void)sqlpool_conn_exec(&conns[i % LENGTH(conns)], sql, SQLPOOL_NO_ARGS, NULL, &err);
    }
    sleep_ms(700);
    PART(report(pool, SQLPOOL_REPORT_HTML, &s));
    printf("# %zu bytes\n", s.bytes);
    CHECK(s.bytes > 20000 && s.bytes < 300 * 1024);
    free(s.text);
    for (i = 0; i < LENGTH(conns); i++) CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
    close_pool(pool);
}

TEST(a_write_function_that_fails_ends_the_report) {
    sqlpool_conn held;
    sqlpool *pool = make("fails.db", &held);
    size_t i;
    CHECK(pool != NULL);
    for (i = 0; i < LENGTH(formats); i++) {
        sqlpool_stats before, after;
        sink all, s;
        PART(report(pool, formats[i], &all));
        CHECK(all.pieces > 1);
        CHECK_INT(sqlpool_get_stats(pool, &before), SQLPOOL_OK);
        memset(&s, 0, sizeof s);
        s.stop_at = 1 + (int)i % (all.pieces - 1);
        s.stop_with = 4711;
        CHECK_RC(sqlpool_report(pool, formats[i], keep, &s, &err), 4711, &err);
        CHECK_HAS(err.message, "the write function ended the report");
        CHECK_INT(s.pieces, s.stop_at);
        memset(&err, 0, sizeof err);
        s.pieces = 0;
        s.stop_at = 1;
        s.stop_with = SQLPOOL_MISUSE; /* of the caller's: no misuse of the pool */
        CHECK_RC(sqlpool_report(pool, formats[i], keep, &s, &err), SQLPOOL_MISUSE, &err);
        CHECK_INT(sqlpool_get_stats(pool, &after), SQLPOOL_OK);
        CHECK_INT(after.misuses, before.misuses);
        CHECK_INT(after.memory_bytes, before.memory_bytes);
        free(s.text);
        free(all.text);
    }
    CHECK_INT(sqlpool_conn_release(&held), SQLPOOL_OK);
    close_pool(pool);
}

typedef struct nested {
    sqlpool *pool;
    int report_rc, close_rc, status_rc;
    int64_t value;
    int value_rc;
} nested;

static int ask_back(void *user, const char *text, size_t bytes) {
    nested *n = user;
    char status[200];
    sink s;
    (void)text;
    (void)bytes;
    memset(&s, 0, sizeof s);
    n->report_rc = sqlpool_report(n->pool, SQLPOOL_REPORT_TEXT, keep, &s, NULL);
    n->close_rc = sqlpool_close(n->pool, NULL);
    n->status_rc = sqlpool_status_text(n->pool, status, sizeof status);
    n->value_rc = sqlpool_query_int64(n->pool, &n->value, "SELECT 42", SQLPOOL_NO_ARGS, NULL);
    free(s.text);
    return 0;
}

TEST(a_write_function_may_use_the_pool_but_not_report_or_close) {
    sqlpool_conn held;
    nested n;
    memset(&n, 0, sizeof n);
    n.pool = make("nested.db", &held);
    CHECK(n.pool != NULL);
    CHECK_INT(sqlpool_conn_release(&held), SQLPOOL_OK);
    CHECK_OK(sqlpool_report(n.pool, SQLPOOL_REPORT_JSON, ask_back, &n, &err), &err);
    CHECK_INT(n.report_rc, SQLPOOL_MISUSE);
    CHECK_INT(n.close_rc, SQLPOOL_MISUSE);
    CHECK(n.status_rc > 0);
    CHECK_INT(n.value_rc, SQLPOOL_OK);
    CHECK_INT(n.value, 42);
    { /* and afterwards reports go on */
        sink s;
        PART(report(n.pool, SQLPOOL_REPORT_TEXT, &s));
        free(s.text);
    }
    close_pool(n.pool);
}

static void *close_it(void *user) {
    sqlpool *pool = user;
    int rc;
    do {
        rc = sqlpool_close(pool, NULL);
    } while (rc == SQLPOOL_TIMEOUT);
    return rc == SQLPOOL_OK ? user : NULL;
}

TEST(a_report_while_closing_shows_who_keeps_it_open) {
    sqlpool_conn held, other;
    sqlpool *pool = make("closing.db", &held);
    pthread_t thread;
    void *closed = NULL;
    sink s;
    int i;
    CHECK(pool != NULL);
    CHECK(start_thread(&thread, close_it, pool));
    for (i = 0; i < 5000; i++) { /* until no lease is given any more */
        if (sqlpool_conn_acquire(pool, SQLPOOL_READ, &other, NULL) == SQLPOOL_CLOSED) break;
        (void)sqlpool_conn_release(&other);
        sleep_ms(1);
    }
    PART(report(pool, SQLPOOL_REPORT_TEXT, &s));
    CHECK_HAS(s.text, "leases out   1");
    CHECK_HAS(s.text, "fi<le>\"?.c:7");
    free(s.text);
    CHECK_INT(sqlpool_conn_release(&held), SQLPOOL_OK);
    (void)pthread_join(thread, &closed);
    CHECK(closed == pool);
    memset(&s, 0, sizeof s);
    CHECK_RC(sqlpool_report(pool, SQLPOOL_REPORT_TEXT, keep, &s, &err), SQLPOOL_CLOSED, &err);
    CHECK_INT(s.bytes, 0);
}

/*  Two that report for ever, so that one of them is always inside: each waits in its write function
    until the other one is in its own, or was refused. */
typedef struct relay {
    sqlpool *pool;
    int inside[2], refused, is_late; /* atomic */
    int64_t until_ms;
} relay;
typedef struct runner {
    relay *relay;
    int number;
    bool has_met;
} runner;

static int hand_over(void *user, const char *text, size_t bytes) {
    runner *r = user;
    (void)text;
    (void)bytes;
    if (r->has_met) return 0;
    __atomic_store_n(&r->relay->inside[r->number], 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&r->relay->inside[1 - r->number], __ATOMIC_SEQ_CST) == 0 &&
           __atomic_load_n(&r->relay->refused, __ATOMIC_SEQ_CST) == 0)
        sleep_ms(1);
    r->has_met = true;
    return 0;
}

static void *report_for_ever(void *user) {
    runner *r = user;
    for (;;) {
        r->has_met = false;
        if (sqlpool_report(r->relay->pool, SQLPOOL_REPORT_TEXT, hand_over, r, NULL) != SQLPOOL_OK ||
            now_ms() > r->relay->until_ms)
            break;
        if (__atomic_load_n(&r->relay->refused, __ATOMIC_SEQ_CST) != 0) return NULL;
        __atomic_store_n(&r->relay->inside[r->number], 0, __ATOMIC_SEQ_CST);
    }
    if (now_ms() > r->relay->until_ms) __atomic_store_n(&r->relay->is_late, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&r->relay->refused, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

TEST(reports_without_end_do_not_keep_a_pool_from_closing) {
    sqlpool_conn held;
    pthread_t closer, threads[2];
    runner runners[2];
    void *closed = NULL;
    relay both;
    int i;
    memset(&both, 0, sizeof both);
    both.pool = make("endless.db", &held);
    CHECK(both.pool != NULL);
    CHECK_INT(sqlpool_conn_release(&held), SQLPOOL_OK);
    both.until_ms = now_ms() + 10000;
    for (i = 0; i < 2; i++) {
        runners[i].relay = &both;
        runners[i].number = i;
        CHECK(start_thread(&threads[i], report_for_ever, &runners[i]));
    }
    while (__atomic_load_n(&both.inside[0], __ATOMIC_SEQ_CST) == 0) sleep_ms(1);
    CHECK(start_thread(&closer, close_it, both.pool));
    for (i = 0; i < 2; i++) (void)pthread_join(threads[i], NULL);
    (void)pthread_join(closer, &closed);
    CHECK(closed == both.pool);
    CHECK_INT(both.is_late, 0);
}

TEST(misuse_has_a_name) {
    sqlpool_health health;
    sqlpool_alert alert;
    sqlpool_memory memory;
    sqlpool *pool = open_pool("misuse.db", NULL, NULL);
    sink s;
    memset(&s, 0, sizeof s);
    CHECK(pool != NULL);
    CHECK_RC(sqlpool_report(pool, SQLPOOL_REPORT_TEXT, NULL, &s, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_report(pool, SQLPOOL_REPORT_FORMAT_COUNT, keep, &s, &err), SQLPOOL_MISUSE,
             &err);
    CHECK_RC(sqlpool_report(pool, (sqlpool_report_format)-1, keep, &s, &err), SQLPOOL_MISUSE, &err);
    CHECK_RC(sqlpool_report(NULL, SQLPOOL_REPORT_TEXT, keep, &s, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(s.pieces, 0);
    CHECK_INT(sqlpool_get_health(pool, NULL), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_health(NULL, &health), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_memory(pool, NULL), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_memory(NULL, &memory), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_alerts(pool, NULL, 1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_alerts(pool, &alert, -1), SQLPOOL_MISUSE);
    CHECK_INT(sqlpool_get_alerts(pool, NULL, 0), 0);
    close_pool(pool);
    CHECK_INT(sqlpool_get_health(pool, &health), SQLPOOL_CLOSED);
    CHECK_INT(sqlpool_get_alerts(pool, &alert, 1), SQLPOOL_CLOSED);
    CHECK_INT(sqlpool_get_memory(pool, &memory), SQLPOOL_CLOSED);
}

/*  Threads that read as fast as they can, and reports beside them. */
static volatile int is_over; /* atomic */
static int64_t us_between(const struct timespec *a, const struct timespec *b) {
    return (int64_t)(b->tv_sec - a->tv_sec) * 1000000 + (b->tv_nsec - a->tv_nsec) / 1000;
}
/*  Returns the longest of its acquires. */
static void *work(void *user) {
    sqlpool *pool = user;
    int64_t longest_us = 0;
    while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
        sqlpool_conn conn;
        struct timespec a, b;
        (void)clock_gettime(CLOCK_MONOTONIC, &a);
        if (sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, NULL) != SQLPOOL_OK) break;
        (void)clock_gettime(CLOCK_MONOTONIC, &b);
        (void)sqlpool_conn_exec(&conn, "SELECT count(*) FROM t", SQLPOOL_NO_ARGS, NULL, NULL);
        (void)sqlpool_conn_release(&conn);
        if (us_between(&a, &b) > longest_us) longest_us = us_between(&a, &b);
    }
    return (void *)(intptr_t)longest_us;
}
static int drop(void *user, const char *text, size_t bytes) {
    (void)text;
    *(size_t *)user += bytes;
    return 0;
}

enum { WORKERS = 2, ROUNDS = 60 };

/*  The longest acquire while `format` is reported again and again; below 0: no report, as long. */
static int64_t longest_acquire(sqlpool *pool, int k, int64_t *report_us) {
    pthread_t threads[WORKERS];
    int64_t worst_us = 0;
    size_t bytes = 0;
    int i;
    __atomic_store_n(&is_over, 0, __ATOMIC_RELAXED);
    for (i = 0; i < WORKERS; i++) (void)start_thread(&threads[i], work, pool);
    *report_us = 0;
    for (i = 0; i < ROUNDS; i++) {
        struct timespec a, b;
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        if (k >= 0 && sqlpool_report(pool, formats[k], drop, &bytes, &err) != SQLPOOL_OK)
            test_fail(__FILE__, __LINE__, "%s", err.message);
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        if (us_between(&a, &b) > *report_us) *report_us = us_between(&a, &b);
        sleep_ms(1);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
    for (i = 0; i < WORKERS; i++) {
        void *longest = NULL;
        (void)pthread_join(threads[i], &longest);
        if ((int64_t)(intptr_t)longest > worst_us) worst_us = (int64_t)(intptr_t)longest;
    }
    if (k >= 0 && bytes < 10000) test_fail(__FILE__, __LINE__, "%zu bytes", bytes);
    return worst_us;
}

TEST(reports_beside_a_full_load) {
    sqlpool_config config = config_of(WORKERS);
    int64_t report_us;
    sqlpool *pool;
    int k;
    config.upkeep_interval_ms = 1;
    pool = open_pool("load.db", &config, "CREATE TABLE t(x); INSERT INTO t VALUES(1)");
    CHECK(pool != NULL);
    for (k = -1; k < LENGTH(formats); k++) {
        const int64_t acquire_us = longest_acquire(pool, k, &report_us);
        printf("# %-12s longest acquire %6" PRId64 " us", k < 0 ? "no report" : files[k],
               acquire_us);
        if (k >= 0) printf(", longest report %5" PRId64 " us of processor time", report_us);
        printf("\n");
    }
    close_pool(pool);
}

static int write_all(const char *folder) {
    sqlpool_conn held;
    sqlpool *pool = make("written.db", &held);
    size_t i;
    if (pool == NULL) return 1;
    for (i = 0; i < LENGTH(formats); i++) {
        char path[1024];
        FILE *file;
        sink s;
        report(pool, formats[i], &s);
        (void)snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        file = fopen(path, "wb");
        if (file == NULL || fwrite(s.text, 1, s.bytes, file) != s.bytes || fclose(file) != 0)
            return 1;
        free(s.text);
    }
    (void)sqlpool_conn_release(&held);
    close_pool(pool);
    return __atomic_load_n(&test_failed_now, __ATOMIC_RELAXED);
}

int main(int count, char **words) {
    int result;
    if (count == 3 && strcmp(words[1], "write") == 0) {
        result = write_all(words[2]);
    } else {
        RUN(every_format_survives_hostile_texts);
        RUN(text_has_80_columns);
        RUN(html_runs_and_loads_nothing);
        RUN(html_of_a_busy_pool_is_below_300_kib);
        RUN(a_write_function_that_fails_ends_the_report);
        RUN(a_write_function_may_use_the_pool_but_not_report_or_close);
        RUN(a_report_while_closing_shows_who_keeps_it_open);
        RUN(reports_without_end_do_not_keep_a_pool_from_closing);
        RUN(misuse_has_a_name);
        RUN(reports_beside_a_full_load);
        result = test_end();
    }
    free(million);
    return result;
}
