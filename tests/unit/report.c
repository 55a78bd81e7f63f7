/*  report.c - white box: what charts draw, value by value, and reports of pools in every state (I25).
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "unit/unit.h"

#include <math.h>

#define SECOND (1000 * MS)

/*---- numbers of charts ----*/

static void check_unit(sqlpool__unit unit, int64_t value, const char *expected) {
    char out[64];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    sqlpool__text_unit(&text, unit, value);
    CHECK_STR(out, expected);
}
static void check_tick(sqlpool__unit unit, int64_t value, const char *expected) {
    char out[64];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    sqlpool__text_tick(&text, unit, value);
    CHECK_STR(out, expected);
}

TEST(a_value_has_the_words_of_its_unit) {
    PART(check_unit(SQLPOOL__UNIT_PERCENT, 7, "7 %"));
    PART(check_unit(SQLPOOL__UNIT_COUNT, 7, "7"));
    PART(check_unit(SQLPOOL__UNIT_COUNT, INT64_MAX, "9223372036854775807"));
    PART(check_unit(SQLPOOL__UNIT_BYTES, 1536, "1.50 KiB"));
    PART(check_unit(SQLPOOL__UNIT_TIME, 1240000, "1.24 ms"));
    PART(check_unit(SQLPOOL__UNIT_RATE, 0, "0/s")); /* thousandths of one a second */
    PART(check_unit(SQLPOOL__UNIT_RATE, 5000, "5/s"));
    PART(check_unit(SQLPOOL__UNIT_RATE, 1500, "1.5/s"));
    PART(check_unit(SQLPOOL__UNIT_RATE, 9940, "9.9/s"));
    PART(check_unit(SQLPOOL__UNIT_RATE, 9960, "10/s"));
    PART(check_unit(SQLPOOL__UNIT_RATE, 12300, "12/s"));
    PART(check_unit(SQLPOOL__UNIT_RATE, 999499, "999/s"));
    PART(check_unit(SQLPOOL__UNIT_RATE, 1000000, "1.00 k/s"));
    PART(check_unit(SQLPOOL__UNIT_RATE, 999400000, "999 k/s"));
    PART(check_unit(SQLPOOL__UNIT_RATE, 999500000, "1.00 M/s"));
    PART(check_unit(SQLPOOL__UNIT_RATE, INT64_MAX, "9223372037 M/s"));
}

TEST(a_label_of_an_axis_has_no_decimals) {
    PART(check_tick(SQLPOOL__UNIT_TIME, 0, "0 s"));
    PART(check_tick(SQLPOOL__UNIT_TIME, 1, "1 ns"));
    PART(check_tick(SQLPOOL__UNIT_TIME, 100, "100 ns"));
    PART(check_tick(SQLPOOL__UNIT_TIME, 1000, "1 us"));
    PART(check_tick(SQLPOOL__UNIT_TIME, 10000000, "10 ms"));
    PART(check_tick(SQLPOOL__UNIT_TIME, INT64_C(1000000000), "1 s"));
    PART(check_tick(SQLPOOL__UNIT_TIME, INT64_C(100000000000000), "100000 s"));
    PART(check_tick(SQLPOOL__UNIT_BYTES, 0, "0 B"));
    PART(check_tick(SQLPOOL__UNIT_BYTES, 1536, "1536 B"));
    PART(check_tick(SQLPOOL__UNIT_BYTES, 4096, "4 KiB"));
    PART(check_tick(SQLPOOL__UNIT_BYTES, INT64_C(1) << 33, "8 GiB"));
    PART(check_tick(SQLPOOL__UNIT_BYTES, INT64_C(1) << 60, "1048576 TiB")); /* no larger unit */
    PART(check_tick(SQLPOOL__UNIT_RATE, 0, "0/s"));
    PART(check_tick(SQLPOOL__UNIT_RATE, 2000, "2/s"));
    PART(check_tick(SQLPOOL__UNIT_RATE, 2500000, "2500/s"));
    PART(check_tick(SQLPOOL__UNIT_RATE, 2500, "2.5/s"));
    PART(check_tick(SQLPOOL__UNIT_COUNT, 4, "4"));
    PART(check_tick(SQLPOOL__UNIT_PERCENT, 50, "50 %"));
}

/*  Four to a power of ten, from the first behind a microsecond up to ten seconds. */
TEST(bars_have_round_bounds) {
    int i;
    for (i = 0; i < SQLPOOL__BARS; i++)
        CHECK_INT(sqlpool__bar_bounds[i], (int64_t)(1000 * pow(10, (i + 1) / 4.0) + 0.5));
    CHECK_INT(sqlpool__bar_bounds[SQLPOOL__BARS - 1], INT64_C(10000000000));
}

TEST(the_top_of_a_chart_is_a_round_number) {
    static const struct {
        sqlpool__unit unit;
        int64_t value, top;
    } table[] = {
        {SQLPOOL__UNIT_PERCENT, 0, 100},
        {SQLPOOL__UNIT_PERCENT, 100, 100},
        {SQLPOOL__UNIT_PERCENT, 101, 150},
        {SQLPOOL__UNIT_PERCENT, 150, 150},
        {SQLPOOL__UNIT_COUNT, 1, 4},
        {SQLPOOL__UNIT_COUNT, 4, 4},
        {SQLPOOL__UNIT_COUNT, 5, 5},
        {SQLPOOL__UNIT_COUNT, 6, 10},
        {SQLPOOL__UNIT_COUNT, 11, 20},
        {SQLPOOL__UNIT_COUNT, 21, 50},
        {SQLPOOL__UNIT_COUNT, 51, 100},
        {SQLPOOL__UNIT_COUNT, 100, 100},
        {SQLPOOL__UNIT_COUNT, INT64_MAX, INT64_C(1000000000000000000)},
        {SQLPOOL__UNIT_RATE, 1, 1000},
        {SQLPOOL__UNIT_RATE, 1000, 1000},
        {SQLPOOL__UNIT_RATE, 1001, 2000},
        {SQLPOOL__UNIT_RATE, 2001, 5000},
        {SQLPOOL__UNIT_RATE, 5001, 10000},
        {SQLPOOL__UNIT_BYTES, 1, 4096},
        {SQLPOOL__UNIT_BYTES, 4096, 4096},
        {SQLPOOL__UNIT_BYTES, 4097, 8192},
        {SQLPOOL__UNIT_BYTES, INT64_MAX, INT64_C(1) << 61},
    };
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        const int64_t top = sqlpool__round_up(table[i].unit, table[i].value);
        if (top != table[i].top)
            test_fail(__FILE__, __LINE__, "unit %d, %" PRId64 ": %" PRId64 " instead of %" PRId64,
                      (int)table[i].unit, table[i].value, top, table[i].top);
    }
}

TEST(logarithms_without_a_library) {
    int64_t value, before = -1;
    CHECK_INT(sqlpool__log_scale(-5), 0);
    CHECK_INT(sqlpool__log_scale(0), 0);
    CHECK_INT(sqlpool__log_scale(1), 0);
    CHECK_INT(sqlpool__log_scale(2), 1024);
    CHECK_INT(sqlpool__log_scale(3), 1536);
    CHECK_INT(sqlpool__log_scale(4), 2048);
    CHECK_INT(sqlpool__log_scale(1000000), 19 * 1024 + 929);
    CHECK_INT(sqlpool__log_scale(INT64_C(1) << 53), 53 * 1024);
    for (value = 1; value < INT64_C(1) << 53; value += value / 3 + 1) {
        CHECK(sqlpool__log_scale(value) > before);
        before = sqlpool__log_scale(value);
    }
}

/*  Up to the longest time there is: a clock may jump while a statement runs. */
TEST(logarithms_of_the_longest_times) {
    int64_t value = INT64_C(1) << 50, before = sqlpool__log_scale(value);
    CHECK_INT(sqlpool__log_scale(INT64_C(3) << 53), 54 * 1024 + 512); /* 312 days in nanoseconds */
    CHECK_INT(sqlpool__log_scale(INT64_MAX), 62 * 1024 + 1023);
    for (value += value / 3; value < INT64_MAX / 2; value += value / 3) {
        CHECK(sqlpool__log_scale(value) > before);
        before = sqlpool__log_scale(value);
    }
}

static sqlpool__series drawn[3];

/*  A chart of one line with these values, a second wide. */
static sqlpool__chart chart_of(sqlpool__unit unit, const int64_t *values, int count) {
    sqlpool__chart chart;
    int i;
    memset(&chart, 0, sizeof chart);
    memset(drawn, 0, sizeof drawn);
    for (i = 0; i < count; i++) {
        drawn[0].x[i] = SECOND - SECOND * i / (count > 1 ? count - 1 : 1);
        drawn[0].y[i] = values[i];
    }
    if (count < SQLPOOL__CHART_POINTS) { /* what is behind the last one is none */
        drawn[0].x[count] = SECOND * 1000;
        drawn[0].y[count] = INT64_MAX / 3;
    }
    drawn[0].points = count;
    drawn[0].name = "line";
    chart.title = "chart";
    chart.unit = unit;
    chart.series_count = 1;
    chart.series = drawn;
    chart.span_ns = SECOND;
    return chart;
}

static void check_range(sqlpool__unit unit, int64_t a, int64_t b, int64_t low, int64_t high) {
    const int64_t values[2] = {a, b};
    const sqlpool__chart chart = chart_of(unit, values, 2);
    int64_t bottom = -1, top = -1;
    sqlpool__chart_range(&chart, &bottom, &top);
    CHECK_INT(bottom, low);
    CHECK_INT(top, high);
}
TEST(a_chart_reaches_from_below_the_least_to_above_the_most) {
    PART(check_range(SQLPOOL__UNIT_COUNT, 0, 0, 0, 4));
    PART(check_range(SQLPOOL__UNIT_COUNT, 7, 7, 0, 10));
    PART(check_range(SQLPOOL__UNIT_COUNT, -3, 7, 0, 10));
    PART(check_range(SQLPOOL__UNIT_PERCENT, 0, 0, 0, 100));
    PART(check_range(SQLPOOL__UNIT_BYTES, 0, INT64_MAX, 0, INT64_C(1) << 61));
    PART(check_range(SQLPOOL__UNIT_RATE, 0, 0, 0, 1000));
    PART(check_range(SQLPOOL__UNIT_TIME, 0, 0, 1, 10)); /* powers of ten from here on */
    PART(check_range(SQLPOOL__UNIT_TIME, 5, 5, 1, 10));
    PART(check_range(SQLPOOL__UNIT_TIME, 0, 50, 10, 100));
    PART(check_range(SQLPOOL__UNIT_TIME, 2500, 9999, 1000, 10000));
    PART(check_range(SQLPOOL__UNIT_TIME, 2500, 10001, 1000, 100000));
    PART(check_range(SQLPOOL__UNIT_TIME, 12345678, 12345678, 1000000, 100000000));
    PART(check_range(SQLPOOL__UNIT_TIME, 1, INT64_MAX, 1, INT64_C(100000000000000000)));
    PART(check_range(SQLPOOL__UNIT_TIME, INT64_MAX, INT64_MAX, INT64_C(10000000000000000),
                     INT64_C(100000000000000000)));
}
TEST(a_chart_of_no_points_has_a_range) {
    const sqlpool__chart chart = chart_of(SQLPOOL__UNIT_TIME, NULL, 0);
    int64_t low, high;
    sqlpool__chart_range(&chart, &low, &high);
    CHECK_INT(low, 1);
    CHECK_INT(high, 10);
}

static int64_t y_of(sqlpool__unit unit, int64_t low, int64_t high, int64_t value) {
    sqlpool__chart chart;
    memset(&chart, 0, sizeof chart);
    chart.unit = unit;
    return sqlpool__chart_y(&chart, low, high, value);
}
TEST(points_are_where_their_values_are) { /* in thousandths from the top */
    CHECK_INT(y_of(SQLPOOL__UNIT_COUNT, 0, 4, 0), 1000);
    CHECK_INT(y_of(SQLPOOL__UNIT_COUNT, 0, 4, 1), 750);
    CHECK_INT(y_of(SQLPOOL__UNIT_COUNT, 0, 4, 4), 0);
    CHECK_INT(y_of(SQLPOOL__UNIT_COUNT, 0, 4, 9), 0);     /* not above the box */
    CHECK_INT(y_of(SQLPOOL__UNIT_COUNT, 0, 4, -3), 1000); /* nor below it */
    CHECK_INT(y_of(SQLPOOL__UNIT_COUNT, 4, 4, 4), 1000);
    CHECK_INT(y_of(SQLPOOL__UNIT_BYTES, 0, INT64_C(1) << 61, INT64_C(1) << 60), 500);
    CHECK_INT(y_of(SQLPOOL__UNIT_BYTES, 0, INT64_C(1) << 61, INT64_MAX), 0);
    CHECK_INT(y_of(SQLPOOL__UNIT_BYTES, 0, INT64_MAX, INT64_MAX), 0);
    CHECK_INT(y_of(SQLPOOL__UNIT_TIME, 1, 1024, 32), 500);
    CHECK_INT(y_of(SQLPOOL__UNIT_TIME, 1, 1024, 0), 1000);
    CHECK_INT(y_of(SQLPOOL__UNIT_TIME, 8, 8, 8), 1000);
}

static void check_points(sqlpool__chart chart, int64_t low, int64_t high, const char *expected) {
    char out[200];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    sqlpool__chart_points(&text, &chart, 0, low, high);
    CHECK_STR(out, expected);
}
TEST(a_line_stays_in_its_box) {
    static const int64_t values[] = {0, 1, 2, 4, INT64_MAX};
    sqlpool__chart chart = chart_of(SQLPOOL__UNIT_COUNT, values, 5);
    PART(check_points(chart, 0, 4, "0,100.0 250,75.0 500,50.0 750,0.0 1000,0.0"));
    chart = chart_of(SQLPOOL__UNIT_COUNT, values, 1);
    PART(check_points(chart, 0, 4, "0,100.0"));
    drawn[0].x[0] = 3 * SECOND; /* before the left edge */
    PART(check_points(chart, 0, 4, "0,100.0"));
    chart.span_ns = 500; /* there is no such chart, but nothing is divided by 0 */
    drawn[0].x[0] = 400;
    PART(check_points(chart, 0, 4, "600,100.0"));
}

static void check_edge(sqlpool__unit unit, int64_t low, int64_t high, const char *labels,
                       int lines) {
    char out[2000];
    const char *at;
    int found = 0;
    const sqlpool__chart chart = chart_of(unit, NULL, 0);
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    sqlpool__chart_labels(&text, &chart, low, high);
    CHECK_HAS(out, "<div class=\"y\"><span>");
    CHECK_STR(strstr(out, "<span>"), labels);
    text = sqlpool__text_into(out, sizeof out);
    sqlpool__chart_grid(&text, &chart, low, high);
    for (at = out; (at = strstr(at, "<path")) != NULL; at++) found++;
    CHECK_INT(found, lines);
    CHECK_HAS(out, "d=\"M0 0H1000\"");
    CHECK_HAS(out, "d=\"M0 100H1000\"");
}
TEST(there_is_a_line_for_each_label) {
    PART(check_edge(SQLPOOL__UNIT_COUNT, 0, 10, "<span>10</span><span>5</span><span>0</span></div>",
                    3));
    PART(check_edge(SQLPOOL__UNIT_PERCENT, 0, 100,
                    "<span>100 %</span><span>50 %</span><span>0</span></div>", 3));
    PART(check_edge(SQLPOOL__UNIT_RATE, 0, 1000,
                    "<span>1/s</span><span>0.5/s</span><span>0</span></div>", 3));
    PART(check_edge(SQLPOOL__UNIT_BYTES, 0, 4096,
                    "<span>4 KiB</span><span>2 KiB</span><span>0</span></div>", 3));
    PART(check_edge(SQLPOOL__UNIT_TIME, 1000, 100000,
                    "<span>100 us</span><span>10 us</span><span>1 us</span></div>", 3));
    PART(check_edge(SQLPOOL__UNIT_TIME, 1, 10, "<span>10 ns</span><span>1 ns</span></div>", 2));
    PART(
        check_edge(SQLPOOL__UNIT_TIME, 10, 10, "<span>10 ns</span></div>", 2)); /* top and bottom */
    PART(check_edge(SQLPOOL__UNIT_TIME, 0, 10, "<span>10 ns</span><span>1 ns</span></div>", 3));
}

static char page[600000];

static const char *html_of(const sqlpool__chart *chart) {
    sqlpool__text text = sqlpool__text_into(page, sizeof page);
    sqlpool__html_chart(&text, chart, "wide");
    return page;
}
TEST(a_chart_of_one_point_says_that_there_is_nothing) {
    static const int64_t values[] = {5, 7};
    sqlpool__chart chart = chart_of(SQLPOOL__UNIT_COUNT, values, 0);
    CHECK_HAS(html_of(&chart), "<i class=\"s0\"></i>line</span></span></figcaption>"
                               "<div class=\"none\">nothing yet</div></figure>");
    chart = chart_of(SQLPOOL__UNIT_COUNT, values, 1);
    CHECK_HAS(html_of(&chart),
              "<i class=\"s0\"></i>line<b>5</b></span>"); /* but its value is known */
    CHECK_HAS(page, "nothing yet");
    chart = chart_of(SQLPOOL__UNIT_COUNT, values, 2);
    CHECK_HAS(html_of(&chart), "<b>7</b>"); /* the newest */
    CHECK_HAS(page, "<polyline class=\"l s0\" points=\"0,50.0 1000,30.0\"/>");
    CHECK_HAS(page, "<polygon class=\"f s0\" points=\"");
    CHECK_HAS(page, ",100 0,50.0 1000,30.0 1000,100\"/>"); /* down to the bottom on both sides */
    CHECK_HAS(page, "<span>1.00 s ago</span>");
    CHECK(strstr(page, "nothing yet") == NULL);
}

/*---- reports of pools in every state ----*/

static int keep(void *user, const char *text, size_t bytes) {
    sqlpool__text *out = (sqlpool__text *)user;
    while (bytes-- > 0) sqlpool__text_byte(out, *text++);
    return 0;
}
/*  A whole report, in `page`. */
static const char *report_of(unit_pool *u, sqlpool_report_format format) {
    sqlpool__text out = sqlpool__text_into(page, sizeof page);
    const int rc = sqlpool_report(u->pool, format, keep, &out, &u->error);
    if (rc != SQLPOOL_OK || out.length + 1 >= sizeof page)
        test_fail(__FILE__, __LINE__, "report %d: %d: %s", (int)format, rc, u->error.message);
    return page;
}
static void seconds(unit_pool *u, int count) {
    while (count-- > 0) {
        u->clock.now_ns += SECOND;
        u->core->next_reap_ns = 0; /* a pool that does nothing is looked at less often */
        CHECK_INT(sqlpool_tick(u->pool, 1000000), SQLPOOL_OK);
    }
}
static void run(unit_pool *u, const char *sql) {
    CHECK_OK(unit_exec(u, sql), &u->error);
}
static int count_of(const char *text, const char *part) {
    int count = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part)) count++;
    return count;
}
/*  Quotes, brackets and braces of a JSON text are closed; nothing in a string is below a space. */
static void check_json(const char *text) {
    int braces = 0, brackets = 0;
    bool is_in = false;
    for (; *text != '\0'; text++) {
        if (is_in && *text == '\\' && text[1] != '\0') {
            text++;
        } else if (*text == '"') {
            is_in = !is_in;
        } else if (is_in) {
            CHECK((unsigned char)*text >= 0x20 && *text != 0x7f);
        } else {
            braces += *text == '{' ? 1 : *text == '}' ? -1 : 0;
            brackets += *text == '[' ? 1 : *text == ']' ? -1 : 0;
            CHECK(braces >= 0 && brackets >= 0);
            CHECK(strncmp(text, ",,", 2) != 0 && strncmp(text, ",]", 2) != 0 &&
                  strncmp(text, "[,", 2) != 0 && strncmp(text, ",}", 2) != 0);
        }
    }
    CHECK(!is_in);
    CHECK_INT(braces, 0);
    CHECK_INT(brackets, 0);
}

TEST(every_cause_and_every_alert_is_in_every_format) {
    static const char *const foreign = "disk <\"I/O\"> \x1b[31m \xe2\x80\xae error \xff\\ \x85";
    unit_pool u;
    sqlpool_config config = unit_config(&u, 2);
    sqlpool_conn writer, readers[2];
    sqlpool_health health;
    sqlpool_call call = unit_call(0);
    int kind;
    config.wal_budget_bytes = 1000000;
    for (kind = 0; kind < SQLPOOL_ALERT_COUNT; kind++) {
        config.alerts[kind].notice = 10;
        config.alerts[kind].warning = 20;
        config.alerts[kind].critical = 30;
    }
    PART(unit_open(&u, "causes.db", &config));
    PART(run(&u, "CREATE TABLE t(x)"));
    PART(seconds(&u, 2));
    unit_meet(&u, SQLPOOL__FAULT_CORRUPT, SQLITE_CORRUPT, foreign);
    unit_meet(&u, SQLPOOL__FAULT_IO, SQLITE_IOERR_WRITE, foreign);
    unit_meet(&u, SQLPOOL__FAULT_FULL, SQLITE_FULL, "database or disk is full");
    unit_meet(&u, SQLPOOL__FAULT_LOCK, SQLITE_BUSY, "database is locked");
    u.core->config.memory_soft_bytes = 1000;
    u.core->wal_frames = 1000;
    u.core->pinned_in_row = SQLPOOL__PINS_BEFORE_LOG;
    for (kind = 0; kind < SQLPOOL_ALERT_COUNT; kind++) {
        u.core->alarms[kind].severity = SQLPOOL_SEVERITY_NOTICE + kind % 3;
        u.core->alarms[kind].value = 2000 + kind;
        u.core->alarms[kind].since_ns = u.clock.now_ns - 90 * SECOND;
    }
    call.tag = "who \x1b]0;<b>\xe2\x81\xa6\"";
    CHECK_OK(
        sqlpool_conn_acquire_at("fi<le>.c", 7, u.pool, SQLPOOL_WRITE, &call, &writer, &u.error),
        &u.error);
    CHECK_OK(sqlpool_conn_acquire_at(NULL, 0, u.pool, SQLPOOL_READ, NULL, &readers[0], &u.error),
             &u.error);
    u.clock.now_ns += 6 * SECOND; /* the writer is out, and does nothing */
    CHECK_INT(sqlpool_get_health(u.pool, &health), SQLPOOL_OK);
    CHECK_INT(health.score, 0);
    CHECK_INT(health.cause_count, 7);
    CHECK_INT(health.causes[0].kind, SQLPOOL_CAUSE_CORRUPT);
    CHECK_INT(health.causes[1].kind, SQLPOOL_CAUSE_FAILING_DISK);
    CHECK_INT(health.causes[2].kind, SQLPOOL_CAUSE_FULL_DISK);
    CHECK_INT(health.causes[3].kind, SQLPOOL_CAUSE_STUCK_WRITER);
    CHECK_INT(health.causes[4].kind, SQLPOOL_CAUSE_LOCKED);
    CHECK_INT(health.causes[5].kind, SQLPOOL_CAUSE_PINNED_LOG);
    CHECK_INT(health.causes[6].kind, SQLPOOL_CAUSE_MEMORY);

    report_of(&u, SQLPOOL_REPORT_TEXT);
    CHECK_HAS(page, "health       0 of 100:\n");
    CHECK_HAS(
        page,
        "\n  the database file is damaged: SQLite found damage, 6 s ago: disk <\"I/O\"> ?[31m\n"
        "    ??? error ?\\ ?\n");
    CHECK_HAS(page,
              "\n  the disk is full: a write found no room, 6 s ago: database or disk is full\n");
    CHECK_HAS(page, "alerts       9\n");
    CHECK_HAS(page, "\n  p95 is 2.00 ms; critical from 30.0 us on, for 96 s\n");

    report_of(&u, SQLPOOL_REPORT_JSON);
    PART(check_json(page));
    CHECK_HAS(page,
              "\"health\":{\"score\":0,\"causes\":[{\"cause\":\"corrupt\",\"meaning\":"
              "\"the database file is damaged\",\"slot\":1,\"code\":11,\"text\":\"SQLite found "
              "damage, 6 s ago: disk <\\\"I/O\\\"> ?[31m ??? error ?\\\\ ?\"},");
    CHECK_HAS(page, "\"alerts\":[{\"alert\":\"p95\",\"severity\":\"critical\",\"value\":2002,");
    CHECK_HAS(page, ",{\"alert\":\"waiting\",\"severity\":\"critical\"");
    CHECK_HAS(page, "\"tag\":\"who ?]0;<b>???\\\"\"");
    CHECK_INT(count_of(page, "{\"cause\":"), 7);
    CHECK_INT(count_of(page, "{\"alert\":"), SQLPOOL_ALERT_COUNT);

    report_of(&u, SQLPOOL_REPORT_PROMETHEUS);
    CHECK_HAS(page, ",cause=\"failing_disk\"} 1\n");
    CHECK_HAS(page, ",cause=\"moved\"} 0\n");
    CHECK_HAS(page, ",alert=\"p95\"} 3\n");
    CHECK_HAS(page, ",alert=\"utilisation\"} 1\n");

    report_of(&u, SQLPOOL_REPORT_HTML);
    CHECK_HAS(page, "<header class=\"bad\">");
    CHECK(strstr(page, "class=\"now\"") == NULL); /* nothing is left of the ring */
    CHECK_HAS(page, "<b title=\"health, of 100\">0</b>");
    CHECK_HAS(page,
              "<div class=\"card say bad\"><b>the database file is damaged</b><span>SQLite found "
              "damage, 6 s ago: disk &lt;&quot;I/O&quot;&gt; ?[31m ??? error ?\\ ?</span>");
    CHECK_HAS(page, "<div class=\"card say warn\"><b>another process kept a lock");
    CHECK_HAS(page,
              "<div class=\"card say bad alert\"><b>p95 is 2.00 ms; critical from 30.0 us on</b>"
              "<span>critical for 96.0 s</span>");
    CHECK_INT(count_of(page, "<div class=\"card say bad alert\">"), 3);
    CHECK_INT(count_of(page, "<div class=\"card say warn alert\">"), 3);
    CHECK_INT(count_of(page, "<div class=\"card say alert\">"), 3);
    CHECK_HAS(page, "<span class=\"seat used write\">0</span><span class=\"seat used\">1</span>"
                    "<span class=\"seat\">2</span>");
    CHECK_HAS(page, "<b>writer 0</b> held for at least 6.00 s by <b>who ?]0;&lt;b&gt;???&quot;</b>"
                    " <span class=\"soft\">fi&lt;le&gt;.c:7</span><code></code>");
    CHECK_HAS(
        page,
        "<b>reader 1</b> held for at least 0 ns<code></code></div>"); /* it did not say where */
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&readers[0]), SQLPOOL_OK);
    unit_close(&u);
}

/*  Green up to a notice, yellow from a warning or below 90 on, red below 60. */
TEST(the_colour_of_a_page_is_its_health) {
    unit_pool u;
    PART(unit_begin(&u, "mood.db", 1, NULL));
    CHECK_HAS(report_of(&u, SQLPOOL_REPORT_HTML), "<header class=\"good\">");
    CHECK_HAS(page, "stroke-dasharray=\"100 100\"");
    u.core->alarms[SQLPOOL_ALERT_WAITING].severity = SQLPOOL_SEVERITY_NOTICE;
    CHECK_HAS(report_of(&u, SQLPOOL_REPORT_HTML), "<header class=\"good\">");
    CHECK_HAS(page, "<div class=\"card say alert\">");
    u.core->alarms[SQLPOOL_ALERT_WAITING].severity = SQLPOOL_SEVERITY_WARNING;
    CHECK_HAS(report_of(&u, SQLPOOL_REPORT_HTML), "<header class=\"warn\">");
    u.core->alarms[SQLPOOL_ALERT_WAITING].severity = SQLPOOL_SEVERITY_NONE;
    unit_meet(&u, SQLPOOL__FAULT_CONNECTION, SQLITE_CANTOPEN,
              "unable to open database file"); /* 10 */
    CHECK_HAS(report_of(&u, SQLPOOL_REPORT_HTML), "<header class=\"good\">");
    CHECK_HAS(page, "stroke-dasharray=\"90 100\"");
    unit_meet(&u, SQLPOOL__FAULT_LOCK, SQLITE_BUSY, "database is locked"); /* 25 of 90 */
    CHECK_HAS(report_of(&u, SQLPOOL_REPORT_HTML), "<header class=\"warn\">");
    CHECK_HAS(page, "stroke-dasharray=\"68 100\"");
    CHECK_INT(count_of(page, "card say warn\""), 2);
    unit_meet(&u, SQLPOOL__FAULT_FULL, SQLITE_FULL, "database or disk is full"); /* 60 of 100 */
    CHECK_HAS(report_of(&u, SQLPOOL_REPORT_HTML), "<header class=\"bad\">");
    CHECK_HAS(page, "stroke-dasharray=\"27 100\"");
    u.clock.now_ns += 61 * SECOND; /* none was met in the last minute */
    CHECK_HAS(report_of(&u, SQLPOOL_REPORT_HTML), "<header class=\"good\">");
    CHECK_HAS(report_of(&u, SQLPOOL_REPORT_TEXT), "health       100 of 100\n");
    unit_close(&u);
}

static void check_head(sqlpool_config *config, unit_pool *u, const char *path, const char *journal,
                       const char *word, const char *read_only) {
    char expected[200];
    PART(unit_open(u, path, config));
    (void)snprintf(expected, sizeof expected, " (%s%s)\n", word, read_only);
    CHECK(sqlpool_status_text(u->pool, page, sizeof page) > 0); /* a report breaks this line */
    CHECK_HAS(page, expected);
    (void)snprintf(expected, sizeof expected, " &middot; %s%s</p></div></header>", word, read_only);
    CHECK_HAS(report_of(u, SQLPOOL_REPORT_HTML), expected);
    (void)snprintf(expected, sizeof expected, "\"journal\":\"%s\",\"read_only\":%s", journal,
                   read_only[0] != '\0' ? "true" : "false");
    CHECK_HAS(report_of(u, SQLPOOL_REPORT_JSON), expected);
    PART(check_json(page));
    (void)snprintf(expected, sizeof expected, ",journal=\"%s\",", journal);
    CHECK_HAS(report_of(u, SQLPOOL_REPORT_OPENMETRICS), expected);
    CHECK_STR(page + strlen(page) - 6, "# EOF\n");
    unit_close(u);
}
TEST(a_report_names_the_journal) {
    static const char *const names[] = {"wal", "delete", "truncate", "persist", "memory"};
    unit_pool u;
    sqlpool_config config;
    int mode;
    for (mode = SQLPOOL_JOURNAL_WAL; mode <= SQLPOOL_JOURNAL_MEMORY; mode++) {
        config = unit_config(&u, 1);
        config.journal = mode;
        PART(check_head(&config, &u, "modes.db", names[mode], mode == 0 ? "WAL" : names[mode], ""));
    }
    config = unit_config(&u, 1);
    config.journal = SQLPOOL_JOURNAL_DELETE;
    config.read_only = true;
    PART(check_head(&config, &u, "modes.db", "delete", "delete", ", read-only"));
    config = unit_config(&u, 1);
    PART(check_head(&config, &u, ":memory:", "memory", "memory", ""));
}

TEST(a_page_shows_the_first_128_connections) {
    unit_pool u;
    sqlpool_conn conns[40];
    int i;
    PART(unit_begin(&u, "many.db", 140, NULL));
    for (i = 0; i < 40; i++)
        CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &conns[i], &u.error), &u.error);
    CHECK_INT(sqlpool_conn_release(&conns[0]), SQLPOOL_OK);
    report_of(&u, SQLPOOL_REPORT_HTML);
    CHECK_INT(count_of(page, "<span class=\"seat used\">"), 39);
    CHECK_INT(count_of(page, "<span class=\"seat idle\">"), 2); /* and the writer */
    CHECK_INT(count_of(page, "<span class=\"seat\">"), 128 - 41);
    CHECK_INT(count_of(page, "<div class=\"lease\">"), SQLPOOL__REPORT_HOLDERS);
    report_of(&u, SQLPOOL_REPORT_JSON);
    CHECK_INT(count_of(page, "{\"slot\":"), SQLPOOL__REPORT_HOLDERS);
    CHECK_HAS(page, "\"used\":39,");
    report_of(&u, SQLPOOL_REPORT_TRACE);
    CHECK_INT(count_of(page, "\"thread_name\""), 143);
    CHECK_HAS(page, "{\"name\":\"connection 140\"}");
    for (i = 1; i < 40; i++) CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
    unit_close(&u);
}

TEST(a_report_has_the_twenty_kinds_that_took_longest) {
    unit_pool u;
    int i;
    PART(unit_begin(&u, "twenty.db", 1, "CREATE TABLE t(x)"));
    for (i = 0; i < 25; i++) {
        char sql[60];
        (void)snprintf(sql, sizeof sql, "SELECT x AS k%d FROM t", i);
        PART(run(&u, sql));
    }
    CHECK_INT(count_of(report_of(&u, SQLPOOL_REPORT_JSON), "{\"fingerprint\""), 20);
    unit_close(&u);
}

TEST(without_metrics_a_report_has_less) {
    int level, i;
    for (level = SQLPOOL_METRICS_COUNTERS; level <= SQLPOOL_METRICS_OFF; level++) {
        unit_pool u;
        sqlpool_config config = unit_config(&u, 1);
        sqlpool_memory memory;
        config.metrics = level;
        config.history_count = level == SQLPOOL_METRICS_OFF ? SQLPOOL_OFF : 0;
        PART(unit_open(&u, level == SQLPOOL_METRICS_OFF ? "off.db" : "counters.db", &config));
        PART(run(&u, "CREATE TABLE t(x)"));
        PART(seconds(&u, 5));
        for (i = 0; i < 3; i++) PART(run(&u, "SELECT count(*) FROM t"));
        CHECK_HAS(report_of(&u, SQLPOOL_REPORT_HTML), "</html>\n");
        CHECK_HAS(page, "How long statements take</h2>");
        CHECK_INT(count_of(page, "<div class=\"none\">nothing yet</div>"),
                  level == SQLPOOL_METRICS_OFF ? 7 : 3);
        CHECK_INT(count_of(page, "of the time</span>"), level == SQLPOOL_METRICS_OFF ? 0 : 2);
        if (level == SQLPOOL_METRICS_COUNTERS) CHECK_HAS(page, "<b>0.0 %</b> of the time</span>");
        CHECK_HAS(report_of(&u, SQLPOOL_REPORT_JSON), "\"statement\":{\"count\":0,");
        PART(check_json(page));
        CHECK_INT(count_of(page, "{\"fingerprint\""), level == SQLPOOL_METRICS_OFF ? 0 : 2);
        CHECK_INT(count_of(page, "{\"age_ms\":"), level == SQLPOOL_METRICS_OFF ? 0 : 5);
        CHECK_HAS(report_of(&u, SQLPOOL_REPORT_TRACE), "\"traceEvents\":[");
        PART(check_json(page));
        CHECK_INT(count_of(page, "\"cat\":\"sqlpool\"") > 0, level == SQLPOOL_METRICS_COUNTERS);
        CHECK_INT(sqlpool__event_room(u.core) > 0, level == SQLPOOL_METRICS_COUNTERS);
        CHECK_HAS(report_of(&u, SQLPOOL_REPORT_TEXT), "health       100 of 100\n");
        CHECK_INT(sqlpool_get_memory(u.pool, &memory), SQLPOOL_OK);
        CHECK_INT(memory.monitoring_bytes > 0, level == SQLPOOL_METRICS_COUNTERS);
        CHECK_INT(memory.growth_bytes, 0);
        unit_close(&u);
    }
}

TEST(a_report_of_a_pool_that_has_done_nothing) {
    unit_pool u;
    PART(unit_begin(&u, "nothing.db", 1, NULL));
    CHECK_HAS(report_of(&u, SQLPOOL_REPORT_HTML),
              "by total time; a click shows the plan of the last slow call</small></figcaption>\n"
              "<div class=\"none\">nothing yet</div></section>");
    CHECK_INT(count_of(page, "nothing yet"), 7);
    CHECK_INT(count_of(page, "<polyline"), 0);
    CHECK_HAS(page, "<span>statements</span><b>0/s</b>");
    PART(seconds(&u, 1)); /* one sample is not a line */
    CHECK_INT(count_of(report_of(&u, SQLPOOL_REPORT_HTML), "<polyline"), 0);
    PART(seconds(&u, 1)); /* two are one point: what was between them */
    CHECK_INT(count_of(report_of(&u, SQLPOOL_REPORT_HTML), "<polyline"), 0);
    PART(seconds(&u, 1));
    CHECK_INT(count_of(report_of(&u, SQLPOOL_REPORT_HTML), "<polyline"), 6 + 2 + 3 + 3);
    CHECK_HAS(page, "<span>2.00 s ago</span><span>now</span>");
    unit_close(&u);
}

/*  The clock of the program went back by an hour, so that samples and events lie ahead. */
TEST(a_report_after_the_clock_went_back) {
    unit_pool u;
    int i;
    PART(unit_begin(&u, "back.db", 1, NULL));
    u.clock.now_ns += 7200 * SECOND;
    PART(run(&u, "CREATE TABLE t(x)"));
    u.clock.step_ns = MS;
    for (i = 0; i < 12; i++) {
        PART(run(&u, "INSERT INTO t VALUES(1)"));
        PART(seconds(&u, 2));
    }
    u.clock.step_ns = 0;
    u.clock.now_ns -= 3600 * SECOND;
    report_of(&u, SQLPOOL_REPORT_HTML);
    CHECK_HAS(page, "points=\"1000,"); /* at the right edge, not beyond it */
    CHECK_HAS(page, "<span>1.00 s ago</span>");
    CHECK(strstr(page, "points=\"-") == NULL && strstr(page, " -") == NULL);
    PART(seconds(&u, 1));
    report_of(&u, SQLPOOL_REPORT_TRACE);
    PART(check_json(page));
    CHECK_INT(count_of(page, "\"ph\":\"C\""), 25);
    CHECK(strstr(page, "\"ts\":-") == NULL);
    report_of(&u, SQLPOOL_REPORT_JSON);
    PART(check_json(page));
    CHECK_HAS(page, "{\"age_ms\":-3");
    unit_close(&u);
}

/*  A plan of several steps has a line for each, in a page and in JSON. */
TEST(a_report_has_the_plans_line_by_line) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    config.slow_ms = 1;
    PART(unit_open(&u, "plans.db", &config));
    PART(run(&u, "CREATE TABLE t(x)"));
    u.clock.step_ns = 2 * MS;
    PART(run(&u, "SELECT a.x FROM t AS a, t AS \"b<&>\" ORDER BY \"b<&>\".x + 1"));
    u.clock.step_ns = 0;
    report_of(&u, SQLPOOL_REPORT_HTML);
    CHECK_HAS(page, "<pre>SCAN ");
    CHECK_HAS(page, "b&lt;&amp;&gt;");
    CHECK_HAS(page, "\nUSE TEMP B-TREE FOR ORDER BY\n</pre>");
    CHECK_HAS(page, "<span class=\"pill warn\">1 slow</span>");
    report_of(&u, SQLPOOL_REPORT_JSON);
    PART(check_json(page));
    CHECK_HAS(page, "\"plan\":[\"SCAN ");
    CHECK_HAS(page, "\",\"USE TEMP B-TREE FOR ORDER BY\"]");
    CHECK_HAS(page, "\"plan\":[]"); /* that of a statement that was quick */
    unit_close(&u);
}

/*  More samples than a chart has points, equal and immense values, and two of one moment. */
TEST(charts_of_any_samples) {
    static sqlpool__report report;
    static sqlpool__sample samples[700];
    static sqlpool__drawing drawing;
    unit_pool u;
    sqlpool__text text;
    int i;
    PART(unit_begin(&u, "samples.db", 1, NULL));
    (void)sqlpool__view_take(u.core, &report.view);
    report.samples = samples;
    report.sample_count = 700;
    for (i = 0; i < 700; i++) {
        samples[i].at_ns = report.view.now - (699 - i) * SECOND;
        samples[i].wal_bytes = INT64_MAX;
        samples[i].statements = 5 * (uint64_t)i;
        samples[i].used = 1;
    }
    sqlpool__draw_samples(&report, SQLPOOL__DRAW_LOG, "log", &drawing.series[0]);
    CHECK_INT(drawing.series[0].points, 233); /* each of three, the last one among them */
    CHECK_INT(drawing.series[0].x[232], 0);
    CHECK_INT(drawing.series[0].y[0], INT64_MAX);
    sqlpool__draw_samples(&report, SQLPOOL__DRAW_STATEMENTS, "statements", &drawing.series[0]);
    CHECK_INT(drawing.series[0].y[100], 5000); /* a second, in thousandths */
    sqlpool__draw_samples(&report, SQLPOOL__DRAW_UTILISATION, "used", &drawing.series[0]);
    CHECK_INT(drawing.series[0].y[100], 50);
    samples[699].at_ns = samples[696].at_ns; /* no time between them */
    sqlpool__draw_samples(&report, SQLPOOL__DRAW_STATEMENTS, "statements", &drawing.series[0]);
    CHECK_INT(drawing.series[0].y[232], 0);
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__html_tile(&report, &text, &drawing, "log", SQLPOOL__UNIT_BYTES, SQLPOOL__DRAW_LOG, -1,
                       0);
    CHECK_HAS(page, "<b>8388608 TiB</b>");
    CHECK_HAS(page, "points=\"5,0.0 9,0.0 ");
    samples[699].at_ns = report.view.now + 5 * SECOND; /* the clock went back */
    sqlpool__draw_samples(&report, SQLPOOL__DRAW_USED, "used", &drawing.series[0]);
    CHECK_INT(drawing.series[0].x[231], 3 * SECOND);
    CHECK_INT(drawing.series[0].x[232], 0);
    report.sample_count = 1;
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__html_tile(&report, &text, &drawing, "log", SQLPOOL__UNIT_BYTES, SQLPOOL__DRAW_LOG, -1,
                       0);
    CHECK_HAS(page, "<b>0 B</b>");
    CHECK(strstr(page, "polyline") == NULL);
    CHECK_INT(sqlpool__history_span(&report), SECOND);
    unit_close(&u);
}

/*  Where steps reach further back than samples the chart is as wide as they are. */
TEST(charts_of_any_latencies) {
    static sqlpool__report report;
    static sqlpool__drawing drawing;
    unit_pool u;
    sqlpool__text text;
    int i;
    PART(unit_begin(&u, "steps.db", 1, NULL));
    (void)sqlpool__view_take(u.core, &report.view);
    report.step_count[1] = 4;
    for (i = 0; i < 4; i++) {
        report.steps[1][i].to_ns = report.view.now - (2 - i) * 10 * SECOND; /* the last is ahead */
        report.steps[1][i].latency.count = i == 1 ? 0 : 5;
        report.steps[1][i].latency.p50_ns = 2000;
        report.steps[1][i].latency.p95_ns = 3000;
        report.steps[1][i].latency.p99_ns = 50000;
    }
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__html_latency(&report, &text, &drawing, "Time", 1);
    CHECK_INT(drawing.series[2].points, 3); /* nothing ran in one of the four */
    CHECK_INT(drawing.series[2].x[0], 20 * SECOND);
    CHECK_INT(drawing.series[2].x[2], 0);
    CHECK_INT(drawing.series[2].y[2], 50000);
    CHECK_HAS(page, "<span>20.0 s ago</span>");
    CHECK_HAS(page, "p99<b>50.0 us</b>");
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__html_latency(&report, &text, &drawing, "Wait", 0);
    CHECK_HAS(page, "nothing yet");
    report.latencies[SQLPOOL_TIMING_STATEMENT].count = 3;
    report.latencies[SQLPOOL_TIMING_STATEMENT].p99_ns = INT64_C(20000000000); /* beyond the edge */
    report.bars[0] = 2;
    report.bars[27] = 1;
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__html_bars(&report, &text);
    CHECK_INT(count_of(page, "<rect "), 2);
    CHECK_HAS(page, "<title>2 up to 1.78 us</title>");
    CHECK_HAS(page, "y=\"50.0\" width=\"29\" height=\"50.0\"><title>1 up to 10.0 s</title>");
    CHECK_HAS(page, "class=\"m s1\" d=\"M0 0V100\"");
    unit_close(&u);
}

TEST(the_table_of_latencies) {
    static sqlpool__report report;
    unit_pool u;
    sqlpool__text text;
    sqlpool_latency *waits = &report.latencies[SQLPOOL_TIMING_WAIT];
    char wanted[200];
    PART(unit_begin(&u, "table.db", 1, NULL));
    (void)sqlpool__view_take(u.core, &report.view);
    waits->count = 7;
    waits->p50_ns = 2000;
    waits->p95_ns = 3000;
    waits->p99_ns = 50000;
    waits->max_ns = INT64_C(7000000000);
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__html_tables(&report, &text);
    (void)snprintf(wanted, sizeof wanted,
                   "<tr><td>%s</td><td>7</td><td>2.00 us</td><td>3.00 us</td><td>50.0 us</td>"
                   "<td class=\"rare\">7.00 s</td></tr>",
                   sqlpool_timing_name(SQLPOOL_TIMING_WAIT));
    CHECK_HAS(page, wanted);
    unit_close(&u);
}

/*---- whole reports ----*/

/*  A report of known values, each another one, whatever SQLite, pointer size and machine. */
static int64_t next_value;
static int64_t another(void) {
    return next_value = next_value * 13 % 10007 + 1;
}
static void invent_latency(sqlpool_latency *latency) {
    latency->count = (uint64_t)another();
    latency->mean_ns = 1000 * another();
    latency->p50_ns = 900 * another();
    latency->p95_ns = latency->p50_ns + 7000 * another();
    latency->p99_ns = latency->p95_ns + 50000 * another();
    latency->p999_ns = latency->p99_ns + 300000 * another();
    latency->max_ns = latency->p999_ns + 2000000 * another();
}
static void invent_view(sqlpool__view *view) {
    int i;
#define INVENT(name, text) view->stats.name = another() % 5 == 0 ? 0 : (uint64_t)another();
    SQLPOOL_COUNTERS(INVENT)
#undef INVENT
    view->now = 100000 * SECOND;
    view->stats.min = 1;
    view->stats.max = 4;
    view->stats.open = 3;
    view->stats.used = 2;
    view->stats.idle = 1;
    view->stats.waiting_read = 5;
    view->stats.waiting_write = 6;
    view->stats.submitted_now = 7;
    view->stats.breaker_write = 1;
    view->stats.utilisation_percent = 50;
    view->stats.wal_frames = 250;
    view->stats.wal_bytes = 1024120;
    view->stats.memory_bytes = 345678;
    view->stats.allocations = 912;
    view->holder_count = 3;
    view->holders_known = 2;
    for (i = 0; i < 2; i++) {
        sqlpool_holder *holder = &view->holders[i];
        memset(holder, 0, sizeof *holder);
        holder->slot = (uint32_t)i;
        holder->mode = i == 0 ? SQLPOOL_WRITE : SQLPOOL_READ;
        holder->thread_id = UINT64_C(0xabc0) + (uint64_t)i;
        holder->held_ms = 1234 + i;
        holder->wal_frames = i == 0 ? 0 : 17;
        holder->snapshot_ms = i == 0 ? -1 : 4321;
        holder->file = i == 0 ? "orders.c" : NULL;
        holder->line = i == 0 ? 88 : 0;
        holder->tag = i == 0 ? NULL : "GET <orders>";
        (void)snprintf(holder->sql, sizeof holder->sql, i == 0 ? "" : "SELECT \"a\" FROM t");
    }
    memset(view->breakers, 0, sizeof view->breakers);
    view->breakers[1].state = SQLPOOL__BREAKER_OPEN;
    view->breakers[1].code = SQLITE_FULL;
    view->breakers[1].opened_ns = view->now - 12 * SECOND;
    view->breakers[1].try_ns = view->now + 3 * SECOND;
    (void)snprintf(view->breakers[1].message, sizeof view->breakers[1].message, "disk is full");
}
static void invent_statement(sqlpool_statement_stats *stats, int which) {
    stats->fingerprint = UINT64_C(0x1234567890abcdef) + (uint64_t)which;
    stats->calls = (uint64_t)another();
    stats->rows = (uint64_t)another();
    stats->errors = which == 0 ? 0 : 3;
    stats->busy = which == 0 ? 0 : 4;
    stats->cache_hits = stats->calls / 2;
    stats->slow = which == 0 ? 0 : 5;
    stats->total_ns = 1000000 * another();
    stats->mean_ns = 1000 * another();
    stats->min_ns = 100 * another();
    stats->max_ns = 9000000 * another();
    stats->p50_ns = 1000 * another();
    stats->p95_ns = 2000 * another();
    stats->p99_ns = 4000 * another();
    stats->vm_steps = (uint64_t)another();
    stats->fullscan_steps = which == 0 ? 0 : 6;
    stats->sorts = which == 0 ? 0 : 7;
    stats->autoindexes = which == 0 ? 0 : 8;
    stats->reprepares = which == 0 ? 0 : 9;
    stats->last_ns = 100000 * SECOND - another() * MS;
    (void)snprintf(stats->sql, sizeof stats->sql,
                   which == 0 ? "SELECT a FROM t WHERE b < ?" : "INSERT INTO t VALUES(?, ?)");
    if (which > 0)
        (void)snprintf(stats->plan, sizeof stats->plan, "SCAN t\n  SEARCH u USING INDEX i (a=?)");
}
static void invent_rest(sqlpool__report *report) {
    static sqlpool__sample samples[9];
    static sqlpool_event events[SQLPOOL_EVENT_KIND_COUNT];
    int i, k;
    report->health.score = 47;
    report->health.cause_count = 2;
    for (i = 0; i < 2; i++) {
        sqlpool_cause *cause = &report->health.causes[i];
        cause->kind = i == 0 ? SQLPOOL_CAUSE_FULL_DISK : SQLPOOL_CAUSE_LOCKED;
        cause->slot = i - 1;
        cause->code = i == 0 ? SQLITE_FULL : 0;
        (void)snprintf(cause->text, sizeof cause->text, "seen %d s ago & more", 5 + i);
    }
    report->alert_count = 2;
    for (i = 0; i < 2; i++) {
        sqlpool_alert *alert = &report->alerts[i];
        alert->kind = i == 0 ? SQLPOOL_ALERT_P95 : SQLPOOL_ALERT_WAITING;
        alert->severity = i == 0 ? SQLPOOL_SEVERITY_CRITICAL : SQLPOOL_SEVERITY_NOTICE;
        alert->value = 111 + i;
        alert->limit = 99 + i;
        alert->since_ns = 99990 * SECOND - i * SECOND;
        (void)snprintf(alert->message, sizeof alert->message, "it is %d, <limit> %d", 111 + i,
                       99 + i);
    }
#define INVENT(name, text) report->memory.name = 1000 * another();
    SQLPOOL_MEMORY_MEMBERS(INVENT)
    SQLPOOL_FILE_MEMBERS(INVENT)
#undef INVENT
    report->memory.total_bytes = 7654321;
    report->memory.process_bytes = 9876543;
    for (i = 0; i < SQLPOOL_TIMING_COUNT; i++) {
        uint64_t up_to = 0;
        invent_latency(&report->latencies[i]);
        report->totals_ns[i] = 1000000 * another();
        for (k = 0; k < SQLPOOL__BUCKETS; k++)
            report->buckets[i][k] = up_to += (uint64_t)another() % 9;
    }
    for (i = 0; i < SQLPOOL__BARS; i++) report->bars[i] = (uint64_t)another() % 50;
    for (k = 0; k < 2; k++) {
        report->step_count[k] = 6 + k;
        for (i = 0; i < report->step_count[k]; i++) {
            sqlpool_latency_step *step = &report->steps[k][i];
            step->from_ns = (99900 + 10 * i) * SECOND;
            step->to_ns = step->from_ns + 10 * SECOND;
            if (i != 2) invent_latency(&step->latency);
        }
    }
    report->statement_count = 2;
    for (i = 0; i < 2; i++) invent_statement(&report->statements[i], i);
    report->samples = samples;
    report->sample_count = 9;
    for (i = 0; i < 9; i++) {
        samples[i].at_ns = (99000 + 100 * i) * SECOND;
        samples[i].open = 1 + i % 3;
        samples[i].used = i % 3;
        samples[i].waiting = i % 4;
        samples[i].statements = (uint64_t)(1000 * i * i);
        samples[i].commits = (uint64_t)(100 * i);
        samples[i].failures = (uint64_t)(i / 4);
        samples[i].slow = (uint64_t)(i / 2);
        samples[i].wal_bytes = 4096 * another();
        samples[i].file_bytes = 4096 * another();
        samples[i].memory_bytes = 1000 * another();
    }
    report->events = events;
    report->event_count = SQLPOOL_EVENT_KIND_COUNT;
    for (i = 0; i < SQLPOOL_EVENT_KIND_COUNT; i++) {
        events[i].at_ns = 99999 * SECOND + i * 1234567;
        events[i].duration_ns = i % 3 == 0 ? 0 : 1000 * another();
        events[i].cause = i % 2 == 0 ? UINT64_C(0x1234567890abcdef) : (uint64_t)(i % 2);
        events[i].kind = i;
        events[i].result = i % 4 == 0 ? SQLITE_BUSY : SQLPOOL_OK;
        events[i].slot = i % 3 - 1;
    }
}

/*  In `page`, in place; `new_text` is no longer. */
static void replace_all(const char *old_text, const char *new_text) {
    const size_t old_bytes = strlen(old_text), new_bytes = strlen(new_text);
    char *at = page;
    while ((at = strstr(at, old_text)) != NULL) {
        memcpy(at, new_text, new_bytes);
        memmove(at + new_bytes, at + old_bytes, strlen(at + old_bytes) + 1);
        at += new_bytes;
    }
}
/*  Compares `page` with tests/report/golden/NAME, which was looked through when it was made; with
    GOLDEN=new in the environment it is made anew, and the test fails. */
static void check_golden(const char *name) {
    static char golden[sizeof page];
    const char *root = getenv("TEST_ROOT");
    char path[1000];
    size_t bytes, at = 0, line = 1, begin = 0;
    FILE *file;
    replace_all(sqlite3_libversion(), "3.x");
    (void)snprintf(path, sizeof path, "%s/tests/report/golden/%s", root != NULL ? root : ".", name);
    if (getenv("GOLDEN") != NULL && strcmp(getenv("GOLDEN"), "new") == 0) {
        file = fopen(path, "wb");
        CHECK(file != NULL);
        CHECK(fputs(page, file) >= 0 && fclose(file) == 0);
        test_fail(__FILE__, __LINE__, "%s was made anew: look through it", name);
        return;
    }
    file = fopen(path, "rb");
    if (file == NULL) {
        test_fail(__FILE__, __LINE__, "%s cannot be opened", path);
        return;
    }
    bytes = fread(golden, 1, sizeof golden - 1, file);
    (void)fclose(file);
    CHECK(bytes > 1000 && bytes + 1 < sizeof golden);
    golden[bytes] = '\0';
    for (; page[at] == golden[at] && page[at] != '\0'; at++) {
        if (page[at] == '\n') line++, begin = at + 1;
    }
    if (page[at] != golden[at])
        test_fail(__FILE__, __LINE__, "%s:%d:%d: \"%.60s\" instead of \"%.60s\"", name, (int)line,
                  (int)(at - begin + 1), page + at, golden + at);
}

TEST(whole_reports_are_what_they_were) {
    static sqlpool__report report;
    static sqlpool__drawing drawing;
    unit_pool u;
    sqlpool_config config = unit_config(&u, 3);
    sqlpool__text text;
    char *path;
    config.name = "golden <pool>";
    PART(unit_open(&u, "golden.db", &config));
    path = u.core->path;
    u.core->path = "folder/golden.db"; /* wherever the test runs, with whatever SQLite */
    SQLPOOL__STORE(&u.core->snapshot_state, "on");
    next_value = 1;
    report.view.core = u.core;
    invent_view(&report.view);
    invent_rest(&report);
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__report_text(&report, &text);
    check_golden("text");
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__report_json(&report, &text);
    check_golden("json");
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__report_metrics(&report, &text, false);
    check_golden("prometheus");
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__report_metrics(&report, &text, true);
    check_golden("openmetrics");
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__report_trace(&report, &text);
    check_golden("trace");
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__report_html(&report, &text, &drawing);
    check_golden("html");
    u.core->path = path;
    unit_close(&u);
}

TEST(a_report_without_memory_says_so) {
    unit_pool u;
    sqlpool__text out = sqlpool__text_into(page, sizeof page);
    PART(unit_begin(&u, "no_memory.db", 1, NULL));
    u.core->memory.limit_bytes = u.core->memory.held_bytes + u.core->memory.outside_bytes + 1000;
    CHECK_INT(sqlpool_report(u.pool, SQLPOOL_REPORT_TEXT, keep, &out, &u.error), SQLPOOL_NOMEM);
    CHECK_HAS(u.error.message, "no memory for a report: ");
    CHECK_INT((int64_t)out.length, 0);
    u.core->memory.limit_bytes = 0;
    CHECK_HAS(report_of(&u, SQLPOOL_REPORT_TEXT), "health       100 of 100\n");
    unit_close(&u);
}

TEST(a_trace_of_no_events) {
    unit_pool u;
    uint32_t slot;
    PART(unit_begin(&u, "no_events.db", 1, NULL));
    CHECK_INT(count_of(report_of(&u, SQLPOOL_REPORT_TRACE), "\"cat\":\"sqlpool\""),
              1); /* it was opened */
    for (slot = 0; slot < u.core->slot_count; slot++)
        if (u.core->slots[slot].recorder != NULL) u.core->slots[slot].recorder->ring.written = 0;
    u.core->monitor->ring.written = 0;
    report_of(&u, SQLPOOL_REPORT_TRACE);
    PART(check_json(page));
    CHECK_INT(count_of(page, "\"cat\":\"sqlpool\""), 0);
    CHECK_INT(count_of(page, "\"thread_name\""), 4);
    unit_close(&u);
}

/*  A lock that a trace shows, of a statement that the report does not know any more. */
TEST(a_trace_of_any_events) {
    static sqlpool__report report;
    static sqlpool_event events[3];
    static sqlpool__sample samples[2];
    unit_pool u;
    sqlpool__text text;
    PART(unit_begin(&u, "trace.db", 1, NULL));
    (void)sqlpool__view_take(u.core, &report.view);
    report.events = events;
    report.samples = samples;
    events[0].kind = SQLPOOL_EVENT_STATEMENT;
    events[0].at_ns = 5000;
    events[0].duration_ns = 1234;
    events[0].cause = 0xabcd;
    events[0].slot = 1;
    events[1].kind = SQLPOOL_EVENT_ERROR;
    events[1].result = SQLITE_CONSTRAINT_UNIQUE;
    events[1].at_ns = 7001;
    events[1].cause = 0xef;
    events[2].kind = SQLPOOL_EVENT_WAIT;
    events[2].at_ns = 9000;
    events[2].slot = -1;
    report.statements[0].fingerprint = 0xabcd;
    (void)snprintf(report.statements[0].sql, sizeof report.statements[0].sql, "select \"\x01\"");
    report.statement_count = 1;
    samples[0].at_ns = 8000;
    samples[1].at_ns = 4000; /* the clock went back */
    samples[1].used = 2;
    report.event_count = 3;
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__report_trace(&report, &text);
    PART(check_json(page));
    CHECK_HAS(
        page,
        "\"tid\":2,\"ph\":\"X\",\"ts\":0.000,\"dur\":1.234,\"args\":{\"result\":\"SQLPOOL_OK\","
        "\"fingerprint\":\"000000000000abcd\",\"sql\":\"select \\\"?\\\"\"}}");
    CHECK_HAS(page, "\"ph\":\"i\",\"s\":\"t\",\"ts\":2.001,\"dur\":0.000,\"args\":{\"result\":"
                    "\"SQLITE_CONSTRAINT\",\"fingerprint\":\"00000000000000ef\",\"sql\":\"\"}}");
    CHECK_HAS(page, "\"tid\":0,\"ph\":\"i\",\"s\":\"t\",\"ts\":4.000,");
    report.sample_count = 2;
    text = sqlpool__text_into(page, sizeof page);
    sqlpool__report_trace(&report, &text);
    CHECK_HAS(page, "\"ts\":3.000,\"args\":{\"used\":0,\"waiting\":0}}");
    CHECK_HAS(page, "\"ts\":0.000,\"args\":{\"used\":2,\"waiting\":0}}");
    unit_close(&u);
}

static void check_lines(const char *string, int width, const char *expected) {
    char out[300];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    sqlpool__sheet sheet;
    memset(&sheet, 0, sizeof sheet);
    sheet.text = &text;
    sheet.width = width;
    sheet.indent = 2;
    sqlpool__sheet_string(&sheet, string);
    CHECK_STR(out, expected);
}
TEST(lines_are_broken_at_spaces) {
    char out[100];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    sqlpool__sheet sheet;
    memset(&sheet, 0, sizeof sheet);
    sheet.text = &text;
    sheet.width = 8;
    sqlpool__sheet_string(&sheet, "abcde");
    sqlpool__sheet_string(&sheet, "fghijk"); /* no space is there to break at */
    CHECK_STR(out, "abcdefgh\nijk");
    PART(check_lines("one two three", 0, "one two three"));
    PART(check_lines("one two three", 20, "one two three"));
    PART(check_lines("one two three", 9, "one two\n  three"));
    PART(check_lines("onetwothreefour", 6, "onetwo\n  thre\n  efou\n  r")); /* one word */
    PART(check_lines(" 123456", 6, " 12345\n  6")); /* the line would begin with it anyway */
    PART(check_lines("abc cd\xe6\x97\xa5\xe6\x9c\xac", 8, "abc\n  cd\xe6\x97\xa5\xe6\x9c\xac"));
}

int main(void) {
    RUN(a_value_has_the_words_of_its_unit);
    RUN(a_label_of_an_axis_has_no_decimals);
    RUN(bars_have_round_bounds);
    RUN(the_top_of_a_chart_is_a_round_number);
    RUN(logarithms_without_a_library);
    RUN(logarithms_of_the_longest_times);
    RUN(a_chart_reaches_from_below_the_least_to_above_the_most);
    RUN(a_chart_of_no_points_has_a_range);
    RUN(points_are_where_their_values_are);
    RUN(a_line_stays_in_its_box);
    RUN(there_is_a_line_for_each_label);
    RUN(a_chart_of_one_point_says_that_there_is_nothing);
    RUN(every_cause_and_every_alert_is_in_every_format);
    RUN(the_colour_of_a_page_is_its_health);
    RUN(a_report_names_the_journal);
    RUN(a_page_shows_the_first_128_connections);
    RUN(a_report_has_the_twenty_kinds_that_took_longest);
    RUN(without_metrics_a_report_has_less);
    RUN(a_report_of_a_pool_that_has_done_nothing);
    RUN(a_report_after_the_clock_went_back);
    RUN(a_report_has_the_plans_line_by_line);
    RUN(charts_of_any_samples);
    RUN(charts_of_any_latencies);
    RUN(the_table_of_latencies);
    RUN(whole_reports_are_what_they_were);
    RUN(a_report_without_memory_says_so);
    RUN(a_trace_of_no_events);
    RUN(a_trace_of_any_events);
    RUN(lines_are_broken_at_spaces);
    return test_end();
}
