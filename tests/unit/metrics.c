/*  metrics.c - white box: histograms, rings of events, fingerprints (I08.2, I09).
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "unit/unit.h"

#include "sim/sim.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

/*---- histograms ----*/

TEST(buckets_join_without_gaps) {
    unsigned i;
    for (i = 0; i < SQLPOOL__HISTOGRAM_BUCKETS; i++) {
        const uint64_t middle = sqlpool__bucket_value(i);
        CHECK_INT(sqlpool__bucket_of(middle), i);
        if (i > 0) CHECK(middle > sqlpool__bucket_value(i - 1));
    }
    CHECK_INT(sqlpool__bucket_of(0), 0);
    CHECK_INT(sqlpool__bucket_of(UINT64_MAX), SQLPOOL__HISTOGRAM_BUCKETS - 1);
}
TEST(a_clock_that_goes_back_is_no_time) {
    CHECK(sqlpool__duration(5, 12) == 7);
    CHECK(sqlpool__duration(12, 5) == 0);
    CHECK(sqlpool__duration(UINT64_MAX - 1, 3) == 5); /* a counter that wraps */
}
TEST(a_bucket_is_within_a_64th) {
    int64_t value;
    for (value = 1; value < INT64_C(1) << 41; value += value / 37 + 1) {
        const double middle = (double)sqlpool__bucket_value(sqlpool__bucket_of((uint64_t)value));
        CHECK(fabs(middle - (double)value) <= (double)value / 64 + 0.5);
    }
}

static int by_value(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}
/*  Pareto, with a tail over seven powers of ten; and what a disk does now and then. */
static int64_t heavy(sim_random *random) {
    const double u = ((double)(sim_random_next(random) >> 11) + 1) / 9007199254740993.0;
    const double value = 300 * pow(u, -1.1);
    if (sim_random_next(random) % 2000 == 0) return 20000000;
    return value < 1e12 ? (int64_t)value : INT64_C(1000000000000);
}
/*  Percentiles of a recorded stream against sorting it. */
TEST(percentiles_are_within_two_percent) {
    enum { COUNT = 200000 };
    static const int millionths[] = {1,      100000, 500000, 900000, 950000,
                                     990000, 999000, 999900, 1000000};
    static sqlpool__histogram histogram, sum;
    int64_t *values = (int64_t *)malloc(COUNT * sizeof *values);
    sim_random random = {sim_seed(), NULL, 0, 0};
    int round, i;
    CHECK(values != NULL);
    for (round = 0; round < 3; round++) {
        memset(&histogram, 0, sizeof histogram);
        memset(&sum, 0, sizeof sum);
        for (i = 0; i < COUNT; i++) {
            values[i] = heavy(&random);
            (void)sqlpool__histogram_add(&histogram, (uint64_t)values[i]);
        }
        sqlpool__histogram_merge(&sum, &histogram);
        qsort(values, COUNT, sizeof *values, by_value);
        CHECK_INT((int64_t)sqlpool__histogram_count(&sum), COUNT);
        CHECK_INT((int64_t)sum.most, values[COUNT - 1]);
        for (i = 0; i < (int)(sizeof millionths / sizeof *millionths); i++) {
            const int64_t rank = ((int64_t)COUNT * millionths[i] + 999999) / 1000000;
            const double exact = (double)values[rank > 0 ? rank - 1 : 0];
            const double told = (double)sqlpool__histogram_at(&sum, COUNT, millionths[i]);
            if (fabs(told - exact) > exact * 0.02 + 0.5)
                test_fail(__FILE__, __LINE__, "at %d millionths: %.0f instead of %.0f",
                          millionths[i], told, exact);
        }
    }
    free(values);
}
TEST(an_empty_histogram) {
    static sqlpool__histogram histogram;
    CHECK_INT((int64_t)sqlpool__histogram_at(&histogram, 0, 500000), 0);
    (void)sqlpool__histogram_add(&histogram, 0);
    CHECK_INT((int64_t)sqlpool__histogram_at(&histogram, 1, 1000000), 0);
    CHECK_INT((int64_t)histogram.total, 0);
}

TEST(the_least_value_is_the_one_that_none_is_below) {
    static sqlpool__histogram histogram;
    memset(&histogram, 0, sizeof histogram);
    (void)sqlpool__histogram_add(&histogram, 7);
    (void)sqlpool__histogram_add(&histogram, 900);
    CHECK_INT((int64_t)sqlpool__histogram_at(&histogram, 2, 0), 7); /* at least one value is passed */
    CHECK_INT((int64_t)sqlpool__histogram_at(&histogram, 2, 500000), 7);
    CHECK_INT((int64_t)sqlpool__histogram_at(&histogram, 2, 1000000), 900);
    sqlpool__histogram_share(&histogram, 5); /* less than the most */
    CHECK_INT((int64_t)histogram.most, 900);
    CHECK_INT((int64_t)sqlpool__histogram_at(&histogram, 3, 0), 5);
    sqlpool__histogram_share(&histogram, 5000);
    CHECK_INT((int64_t)histogram.most, 5000);
}

/*---- rings ----*/

enum { RING = 8 };
static sqlpool__u64 ring_words[RING * SQLPOOL__EVENT_WORDS];
static sqlpool__ring ring;
static int ring_done;

static void put_number(uint64_t number) {
    sqlpool__ring_put(&ring, number * 4, number * 4 + 1, number * 4 + 2, number * 4 + 3);
}
static bool is_number(const uint64_t *event, uint64_t number) {
    int i;
    for (i = 0; i < SQLPOOL__EVENT_WORDS; i++)
        if (event[i] != number * 4 + (uint64_t)i) return false;
    return true;
}
TEST(a_ring_keeps_the_last_events) {
    uint64_t event[SQLPOOL__EVENT_WORDS], n;
    ring.size = RING;
    ring.words = ring_words;
    ring.written = 0;
    CHECK(!sqlpool__ring_get(&ring, 0, event));
    for (n = 0; n < 20; n++) put_number(n);
    CHECK(!sqlpool__ring_get(&ring, 20, event));        /* not there yet */
    CHECK(!sqlpool__ring_get(&ring, 20 - RING, event)); /* the next one goes there */
    for (n = 20 - RING + 1; n < 20; n++) {
        CHECK(sqlpool__ring_get(&ring, n, event));
        CHECK(is_number(event, n));
    }
}
static void *put_many(void *unused) {
    uint64_t n;
    (void)unused;
    for (n = 0; !__atomic_load_n(&ring_done, __ATOMIC_SEQ_CST); n++) {
        put_number(n);
        if (n % 5000 == 0) (void)sched_yield(); /* or it laps the reader for ever */
    }
    return NULL;
}
TEST(no_event_is_torn) {
    pthread_t thread;
    uint64_t got = 0, missed = 0;
    ring.written = 0;
    ring_done = 0;
    CHECK(pthread_create(&thread, NULL, put_many, NULL) == 0);
    while (got < 20000) {
        const uint64_t written = SQLPOOL__LOAD(&ring.written);
        uint64_t event[SQLPOOL__EVENT_WORDS], n;
        for (n = written > RING ? written - RING : 0; n < written; n++) {
            if (!sqlpool__ring_get(&ring, n, event)) {
                missed++;
            } else {
                got++;
                if (!is_number(event, n))
                    test_fail(__FILE__, __LINE__, "event %llu is torn", (unsigned long long)n);
            }
        }
    }
    __atomic_store_n(&ring_done, 1, __ATOMIC_SEQ_CST);
    (void)pthread_join(thread, NULL);
    printf("# %llu events read, %llu gone meanwhile\n", (unsigned long long)got,
           (unsigned long long)missed);
}

/*---- fingerprints ----*/

static void check_kind(const char *sql, const char *kind) {
    char out[400];
    CHECK(sqlpool_fingerprint(sql, out, sizeof out) != 0);
    if (strcmp(out, kind) != 0)
        test_fail(__FILE__, __LINE__, "%s: \"%s\" instead of \"%s\"", sql, out, kind);
}
TEST(fingerprints) {
    check_kind("SELECT a FROM t WHERE id = 7", "select a from t where id=?");
    check_kind("select  A\n\tfrom T -- comment\n where ID=?1;", "select a from t where id=?");
    check_kind("SELECT 'it''s', x'00ff', 1.5e-3, .5, 0x1F, 1e+9, -3, NULL FROM t",
               "select ?,?,?,?,?,?,-?,null from t");
    check_kind("SELECT * FROM t WHERE a IN (1, 2, 'x', -4) AND b IN (?,:n,@m,$p)",
               "select*from t where a in(?...)and b in(?...)");
    check_kind("SELECT * FROM t WHERE a IN (SELECT b FROM u WHERE c = 1)",
               "select*from t where a in(select b from u where c=?)");
    check_kind("INSERT INTO t VALUES (1, 2), (3, 4), (?, ?)", "insert into t values(?...)");
    check_kind("INSERT INTO t VALUES (1, random()), (3, 4)",
               "insert into t values(?,random()),(?,?)");
    check_kind("SELECT \"Quoted Name\", [B], `c` FROM t LIMIT 5 OFFSET 10",
               "select\"Quoted Name\",[B],`c`from t limit ? offset ?");
    check_kind("SELECT 1;;  /* the end */", "select ?");
    check_kind("DELETE FROM t WHERE a = b - -1 AND c = 2", "delete from t where a=b- -? and c=?");
    check_kind("", "");
    check_kind("SELECT 'open", "select ?");
    check_kind("SELECT a1, b2 FROM t3 WHERE c=1and d=2", "select a1,b2 from t3 where c=? d=?");
}
/*  Blobs, parameters of every form, and what only begins like one. */
TEST(values_of_every_form) {
    PART(check_kind("SELECT x'00ff', X'00'", "select ?,?"));
    PART(check_kind("SELECT x", "select x")); /* a word at the end of the text */
    PART(check_kind("SELECT X, x2 'a'", "select x,x2 ?"));
    PART(check_kind("SELECT x 'a'", "select x ?"));
    PART(check_kind("SELECT ?, ?17, :name, @name, $name, #name", "select ?,?,?,?,?,?"));
    PART(check_kind("SELECT ?", "select ?"));
    PART(check_kind("SELECT .5, 1., 1.5, 1e5, 1.5e-5, 0x1f", "select ?,?,?,?,?,?"));
    PART(check_kind("SELECT a FROM t WHERE b IN (TRUE, false, NULL, -1, +2, x'00', :c)",
                    "select a from t where b in(?...)"));
    PART(check_kind("SELECT a FROM t WHERE b IN (falsehood)", "select a from t where b in(falsehood)"));
    PART(check_kind("SELECT a FROM t WHERE b IN (\xc3\xbc)", "select a from t where b in(\xc3\xbc)"));
    PART(check_kind("SELECT a FROM t WHERE b IN (1, 2", "select a from t where b in(?,?"));
    PART(check_kind("SELECT a FROM t WHERE b IN (1,", "select a from t where b in(?,"));
}
/*  This text was made so that its hash is 0, which means "no kind" wherever a kind is kept. */
TEST(no_kind_has_the_number_0) {
    const char sql[] = "select\"c==(\372h<v\007+5\006M&\"";
    CHECK(sqlpool__hash_byte(0, 0) == 0 && sqlpool__mix(0) == 0);
    CHECK(sqlpool__hash(sql, strlen(sql)) == 0);
    CHECK(sqlpool_fingerprint(sql, NULL, 0) == 1);
}
TEST(one_thread_at_a_time_is_at_the_kinds) {
    sqlpool__monitor *monitor = (sqlpool__monitor *)calloc(1, sizeof *monitor);
    CHECK(monitor != NULL);
    CHECK(sqlpool__kinds_try(monitor));
    CHECK(!sqlpool__kinds_try(monitor));
    sqlpool__kinds_leave(monitor);
    CHECK(sqlpool__kinds_try(monitor));
    free(monitor);
}
TEST(what_has_no_name_or_no_text) {
    char text[8] = "as it is";
    CHECK(sqlpool_fingerprint("SELECT 1", text, 0) == sqlpool_fingerprint("SELECT 2", NULL, 8));
    CHECK(memcmp(text, "as it is", 8) == 0);
    CHECK(sqlpool_fingerprint(NULL, text, sizeof text) == 0);
    CHECK_STR(text, "");
    CHECK_STR(sqlpool_timing_name(SQLPOOL_TIMING_WAIT), "wait");
    CHECK_STR(sqlpool_timing_name(-1), "unknown");
    CHECK_STR(sqlpool_timing_name(SQLPOOL_TIMING_COUNT), "unknown");
    CHECK_STR(sqlpool_event_name(SQLPOOL_EVENT_STATEMENT), "statement");
    CHECK_STR(sqlpool_event_name(-1), "unknown");
    CHECK_STR(sqlpool_event_name(SQLPOOL_EVENT_KIND_COUNT), "unknown");
}
TEST(many_semicolons_are_one) {
    const size_t bytes = (size_t)1 << 20;
    char *million;
    PART(check_kind(";; ;SELECT 1", "select ?"));
    PART(check_kind("SELECT 1;; ;/**/;SELECT 2;;", "select ?;select ?"));
    million = (char *)malloc(bytes + 10);
    CHECK(million != NULL);
    memset(million, ';', bytes);
    memcpy(million + bytes, "SELECT 1", 9);
    PART(check_kind(million, "select ?")); /* hours, if each looked at all that follow */
    free(million);
}
TEST(null_is_a_value_of_a_list) {
    PART(check_kind("INSERT INTO t VALUES (1, NULL), (Null, 4), (5, 6)", "insert into t values(?...)"));
    PART(check_kind("SELECT a FROM t WHERE b IN (1, NULL, true)", "select a from t where b in(?...)"));
    PART(check_kind("SELECT a FROM t WHERE b IS NULL", "select a from t where b is null"));
    PART(check_kind("INSERT INTO t VALUES (1, nullable)", "insert into t values(?,nullable)"));
}
/*  The kind of a kind is itself, for any bytes. */
TEST(a_fingerprint_is_a_fixed_point) {
    static const char *const words[] = {
        "select", "a",  " ", "1", "'x'",   ",",     "(",  ")", "in", "values", "?", ":b",  "=",
        "-",      "x'", ".", "e", "\"q\"", "--c\n", "/*", ";", "5e", "+",      "@", "\xff"};
    sim_random random = {sim_seed(), NULL, 0, 0};
    int round;
    for (round = 0; round < 200000; round++) {
        char sql[200], once[900], twice[900];
        size_t used = 0;
        int parts = (int)(sim_random_next(&random) % 12);
        sql[0] = '\0';
        while (parts-- > 0)
            used +=
                (size_t)snprintf(sql + used, sizeof sql - used, "%s",
                                 words[sim_random_next(&random) % (sizeof words / sizeof *words)]);
        (void)sqlpool__fingerprint(sql, used, once, sizeof once);
        (void)sqlpool__fingerprint(once, strlen(once), twice, sizeof twice);
        if (strcmp(once, twice) != 0) test_fail(__FILE__, __LINE__, "%s: %s is %s", sql, once, twice);
        if (strlen(once) > 2 * used + 8) test_fail(__FILE__, __LINE__, "%s grew to %s", sql, once);
    }
}

int main(void) {
    printf("# seed %llu\n", (unsigned long long)sim_seed());
    RUN(buckets_join_without_gaps);
    RUN(a_clock_that_goes_back_is_no_time);
    RUN(a_bucket_is_within_a_64th);
    RUN(percentiles_are_within_two_percent);
    RUN(an_empty_histogram);
    RUN(the_least_value_is_the_one_that_none_is_below);
    RUN(a_ring_keeps_the_last_events);
    RUN(no_event_is_torn);
    RUN(fingerprints);
    RUN(values_of_every_form);
    RUN(no_kind_has_the_number_0);
    RUN(one_thread_at_a_time_is_at_the_kinds);
    RUN(what_has_no_name_or_no_text);
    RUN(many_semicolons_are_one);
    RUN(null_is_a_value_of_a_list);
    RUN(a_fingerprint_is_a_fixed_point);
    return test_end();
}
