/*  bulk.h - rows made by a function of their number, loads of them, and what a load tells: for the tests of
    sqlpool_bulk_*(). SPDX-License-Identifier: MIT OR Unlicense

    The memory of each row is overwritten as soon as the call that took it has returned; memory is the
    simulator's, and none of it may be left. */
#ifndef BULK_H
#define BULK_H

#include "api.h"
#include "sim/sim.h"

static sqlpool_error err;

enum { MOST_COLUMNS = 999, MOST_TOLD = 2000 };

/*---- rows ----*/

/*  Where the text and blobs of one row are, until it was taken. */
typedef struct room {
    size_t used;
    sqlpool_value values[MOST_COLUMNS];
    char bytes[4 << 20];
} room;

typedef struct source source;
struct source {
    int columns;
    int64_t count;
    void (*make)(const source *s, int64_t row, room *r);
    uint64_t seed;
    const void *user;
    int pattern;
};

static inline uint64_t roll(uint64_t *dice, uint64_t bound) { /* splitmix64 */
    uint64_t z = (*dice += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % bound;
}

static inline sqlpool_value in_room(room *r, bool is_text, const void *bytes, size_t size) {
    char *at = r->bytes + r->used;
    if (r->used + size > sizeof r->bytes) abort();
    if (size > 0) memcpy(at, bytes, size);
    r->used += size;
    if (!is_text) return SQLPOOL_BLOB(at, size);
    return sqlpool_value_text_n(at, size);
}
static inline sqlpool_value text_in(room *r, const char *format, int64_t number) {
    char text[100];
    (void)snprintf(text, sizeof text, format, (long long)number);
    return in_room(r, true, text, strlen(text));
}

/*  A row that knows its number. */
static inline void plain_row(const source *s, int64_t row, room *r) {
    r->values[0] = sqlpool_value_int64(row);
    if (s->columns > 1) r->values[1] = text_in(r, "text of row %lld", row);
    if (s->columns > 2) r->values[2] = sqlpool_value_int64(row * 10);
}
static inline source plain_source(int columns, int64_t count) {
    const source s = {columns, count, plain_row, 0, NULL, 0};
    return s;
}

static inline bool is_same_value(const sqlpool_value *a, const sqlpool_value *b) {
    if (a->type != b->type) return false;
    switch (a->type) {
    case SQLPOOL_TYPE_INT64:
        return a->as.integer == b->as.integer;
    case SQLPOOL_TYPE_DOUBLE:
        return memcmp(&a->as.real, &b->as.real, sizeof a->as.real) == 0;
    case SQLPOOL_TYPE_TEXT:
    case SQLPOOL_TYPE_BLOB:
        return a->size == b->size && (a->size == 0 || memcmp(a->as.blob, b->as.blob, a->size) == 0);
    default:
        return a->type == SQLPOOL_TYPE_NULL;
    }
}

static inline void make_row(const source *s, int64_t row, room *r) {
    r->used = 0;
    s->make(s, row, r);
}
static inline room *new_room(void) {
    room *r = (room *)malloc(sizeof *r);
    if (r == NULL) abort();
    r->used = 0;
    return r;
}

/*  Rows [from, to) into a load; on an error the rest is not given. */
static inline int feed(sqlpool_bulk *bulk, const source *s, int64_t from, int64_t to,
                       sqlpool_error *error) {
    room *r = new_room();
    int64_t row;
    int rc = SQLPOOL_OK;
    memset(error, 0, sizeof *error);
    for (row = from; row < to && rc == SQLPOOL_OK; row++) {
        make_row(s, row, r);
        rc = sqlpool_bulk_row(bulk, r->values, s->columns, error);
        memset(r->bytes, 0xee, r->used);
        memset(r->values, 0xee, (size_t)s->columns * sizeof r->values[0]);
        if (rc == SQLPOOL_OK && sqlpool_bulk_next_row(bulk) != row + 1) {
            test_fail(__FILE__, __LINE__, "row %" PRId64 " is taken, next_row is %" PRId64, row,
                      sqlpool_bulk_next_row(bulk));
            break;
        }
    }
    free(r);
    return rc;
}

/*---- what a load tells ----*/

typedef struct told {
    int64_t row;
    int result, code;
    char why[200]; /* the message without the SQL text and what follows it */
} told;

typedef struct hearing {
    const source *source;
    told list[MOST_TOLD];
    int count;
    int64_t stop_row; /* refused_fn returns stop_with for it */
    int stop_with;
    int64_t stop_progress; /* progress_fn returns stop_with from this row on; 0: never */
    sqlpool_bulk_progress last;
    int reports;
    void (*on_progress)(const sqlpool_bulk_progress *progress);
} hearing;

static inline void note_told(hearing *h, int64_t row, const sqlpool_error *error) {
    told *t = &h->list[h->count];
    char *cut;
    if (h->count == MOST_TOLD) {
        test_fail(__FILE__, __LINE__, "more than %d rows are refused", MOST_TOLD);
        return;
    }
    h->count++;
    t->row = row;
    t->result = error->result;
    t->code = error->sqlite_code;
    (void)snprintf(t->why, sizeof t->why, "%.*s", (int)sizeof t->why - 1, error->message);
    cut = strstr(t->why, "; in: ");
    if (cut != NULL) *cut = '\0';
}

static inline int on_refused(void *user, int64_t row, const sqlpool_value *values,
                             const sqlpool_error *error) {
    hearing *h = (hearing *)user;
    room *r = new_room();
    int c;
    if (h->count > 0 && row <= h->list[h->count - 1].row)
        test_fail(__FILE__, __LINE__, "row %" PRId64 " is told after %" PRId64, row,
                  h->list[h->count - 1].row);
    if (error->result == SQLPOOL_OK || error->message[0] == '\0' ||
        error->outcome != SQLPOOL_OUTCOME_NOT_COMMITTED)
        test_fail(__FILE__, __LINE__, "row %" PRId64 " is refused with %d, outcome %d: %s", row,
                  error->result, error->outcome, error->message);
    make_row(h->source, row, r);
    for (c = 0; c < h->source->columns; c++) {
        if (is_same_value(&values[c], &r->values[c])) continue;
        test_fail(__FILE__, __LINE__, "value %d of row %" PRId64 " is not what was given", c, row);
        break;
    }
    free(r);
    note_told(h, row, error);
    return h->stop_with != 0 && row == h->stop_row ? h->stop_with : 0;
}

static inline int on_progress(void *user, const sqlpool_bulk_progress *progress) {
    hearing *h = (hearing *)user;
    const sqlpool_bulk_progress *last = &h->last;
    if (progress->rows < last->rows || progress->next_row < last->next_row ||
        progress->refused < last->refused || progress->changes < last->changes ||
        progress->elapsed_ms < last->elapsed_ms || progress->rows > progress->next_row + 100000 ||
        (h->reports > 0 && progress->next_row == last->next_row))
        test_fail(__FILE__, __LINE__, "report %d goes back", h->reports);
    if (progress->refused != h->count)
        test_fail(__FILE__, __LINE__, "%" PRId64 " refused, %d told", progress->refused, h->count);
    h->last = *progress;
    h->reports++;
    if (h->on_progress != NULL) h->on_progress(progress);
    return h->stop_progress > 0 && progress->next_row >= h->stop_progress ? h->stop_with : 0;
}

static inline hearing *new_hearing(const source *s) {
    hearing *h = (hearing *)calloc(1, sizeof *h);
    if (h == NULL) abort();
    h->source = s;
    return h;
}

/*---- databases and loads ----*/

static int file_count;
static inline const char *next_file(void) {
    static char names[4][32];
    char *name = names[++file_count % 4];
    (void)snprintf(name, 32, "bulk%d.db", file_count);
    sim_remove_database(name);
    return name;
}
static inline sqlpool_config plain_config(void) {
    sqlpool_config config = config_of(1);
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    config.acquire_timeout_ms = 60000;
    config.allocator = sim_allocator();
    return config;
}
/*  Nothing of the library's memory may be left, but what failed tests left open before. */
static int64_t left_before;
static inline void check_memory(void) {
    if (sim_alloc.errors != 0) test_fail(__FILE__, __LINE__, "%s", sim_alloc.message);
    sim_alloc.errors = 0;
    if (sim_alloc.live_blocks[SIM_DOOR_LIBRARY] != left_before)
        test_fail(__FILE__, __LINE__, "%lld blocks of the library are left",
                  (long long)(sim_alloc.live_blocks[SIM_DOOR_LIBRARY] - left_before));
}
#define RUN_CLEAN(name) \
    do { \
        left_before = sim_alloc.live_blocks[SIM_DOOR_LIBRARY]; \
        RUN(name); \
    } while (0)

/*  A whole load. Returns what sqlpool_bulk_end() said, which is what ended the load. */
static inline int run_load(sqlpool *pool, const sqlpool_bulk_config *config, const source *s,
                           sqlpool_bulk_progress *progress, sqlpool_error *error) {
    sqlpool_bulk *bulk = NULL;
    sqlpool_error again;
    int rc = sqlpool_bulk_begin(pool, config, &bulk, error);
    int end;
    memset(progress, 0, sizeof *progress);
    if (rc != SQLPOOL_OK) {
        if (bulk != NULL) test_fail(__FILE__, __LINE__, "begin failed and gave a load");
        return rc;
    }
    rc = feed(bulk, s, sqlpool_bulk_next_row(bulk), s->count, error);
    if (rc != SQLPOOL_OK) { /* and so says every later call */
        room *r = new_room();
        int64_t next = sqlpool_bulk_next_row(bulk);
        make_row(s, 0, r);
        memset(&again, 0, sizeof again);
        if (sqlpool_bulk_row(bulk, r->values, s->columns, &again) != rc || again.result != rc ||
            strcmp(again.message, error->message) != 0)
            test_fail(__FILE__, __LINE__, "a load that ended with %d says %d: %s", rc, again.result,
                      again.message);
        free(r);
        end = sqlpool_bulk_end(bulk, progress, &again);
        if (end != rc || strcmp(again.message, error->message) != 0)
            test_fail(__FILE__, __LINE__, "a load that ended with %d ends with %d: %s", rc, end,
                      again.message);
        if (next != progress->next_row)
            test_fail(__FILE__, __LINE__, "next_row is %" PRId64 ", at the end %" PRId64, next,
                      progress->next_row);
        return rc;
    }
    return sqlpool_bulk_end(bulk, progress, error);
}

static const char *const abc[] = {"a", "b", "c", NULL};
#define ABC "DROP TABLE IF EXISTS t; CREATE TABLE t(a, b, c)"

#endif
