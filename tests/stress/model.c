/*  model.c - random operations, compared with a model in plain C.
    SPDX-License-Identifier: MIT OR Unlicense

    An episode is a seed. From it come a configuration, one or two pools on one file in memory, and
    some thousand operations: single calls, cursors left half read, scripts, leases with levels of
    transactions and snapshot scopes held over many operations, functions, submitted writes,
    loads, changes of the schema, checkpoints, recycling, pauses, upkeep, maintenance and its
    schedule, copies, backups, restores, reports, closing and opening again; disk and memory fail, and time jumps in both directions. One thread runs all of it, and
    every source of chance is the seed's: an episode repeats exactly.

    The model is what the tables hold: an array of rows for each, whether it is there, its columns
    and index. Every operation says in the model what it must give: its result code, the rows
    changed, the last rowid, each row of a read. The answers must agree. Where nobody knows what
    became of a write (SQLPOOL_OUTCOME_UNKNOWN), the model is a set of states; each later answer
    must fit one of them, and those that it does not fit are dropped. Cursors, transactions and
    scopes have sets of their own, from when they began.

    What must hold besides: a code that only a fault, a lock, or a cancellation explains comes
    only after one; without a fault nothing is unknown; sqlpool_changed() misses no commit;
    done_fn is told once, in order, what the ticket says; after a fault is over, everything works
    again; after each close a plain connection finds integrity_check ok and the rows of the model,
    and no memory, lock or file is left.

    model [SECONDS]       the controls, then episodes for so long [4]
    model one [OPS]       the episode of SIM_SEED alone
    model ops N           episodes until N operations were checked, from SIM_SEED on; says where the
                          next part begins
    A failure prints the seed, the number of the operation, and the last ones. MODEL_TRACE=1
    prints them all, MODEL_NO_FAULTS=1 leaves out the faults. model_controls.sh seeds bugs in the
    library. */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"

#include "sim/ram.h"
#include "sim/sim.h"
#include "test.h"

enum { TABLES = 3, KEYS = 20, BODIES = 48 };
enum { MOST = 64 };    /* states of a set */
enum { ITEMS = 1024 }; /* values of one answer */
enum { WORKS = 5 };    /* statements of a function or script */
enum { LEASES = 3, CURSORS = 3, TICKETS = 8, PENDING = 256 };
enum { LEVELS = 4 };
enum { OWN_RESULT = 70001 };
enum { LAST = 30 }; /* operations printed by a failure */
static const char *const path = "model.db";

/*---- bodies: what a row holds beside numbers ----*/

static struct body {
    int bytes;
    unsigned char *data; /* the first byte is its number: no two are alike */
} bodies[BODIES];

static void make_bodies(void) {
    int i, j;
    for (i = 1; i < BODIES; i++) {
        bodies[i].bytes = i < 36 ? i : i < 44 ? 300 + i * 10 : 3000 + (i - 44) * 3000;
        bodies[i].data = (unsigned char *)malloc((size_t)bodies[i].bytes);
        for (j = 0; j < bodies[i].bytes; j++) bodies[i].data[j] = (unsigned char)(i + j);
    }
}
static int64_t body_number(const void *data, size_t bytes) {
    const int i = bytes == 0 ? 0 : *(const unsigned char *)data;
    if (bytes == 0) return 0;
    if (i >= BODIES || (size_t)bodies[i].bytes != bytes) return -1;
    return memcmp(bodies[i].data, data, bytes) == 0 ? i : -1;
}

/*---- the model ----*/

typedef struct row {
    int64_t v, x;
    uint8_t body;
    bool is_there;
} row;
typedef struct table {
    bool is_there, has_x, has_no_rowid;
    row rows[KEYS];
} table;
typedef struct index {
    int8_t of; /* table, -1: there is no such index */
    bool is_unique;
} index_of_v;
typedef struct state {
    table tables[TABLES];
    index_of_v indexes[TABLES];
    int64_t load_next; /* of the load with a name */
} state;

/*  Every state that may be. */
typedef struct set {
    int count;
    state s[MOST];
} set;

typedef enum kind {
    W_INSERT,
    W_UPDATE,
    W_ADD,
    W_BODY,
    W_DELETE,
    W_CLEAR,
    W_COPY,
    W_UPSERT,
    W_SET_X, /* change rows */
    D_CREATE,
    D_DROP,
    D_ADD_X,
    D_INDEX,
    D_DROP_INDEX,
    D_RENAME, /* the schema */
    R_POINT,
    R_SCAN,
    R_RANGE,
    R_SUM,
    R_JOIN,
    R_SCHEMA, /* read */
    KINDS
} kind;
static const char *const kind_names[] = {
    "insert",       "update",     "add",          "body",         "delete",     "clear",
    "copy",         "upsert",     "set x",        "create table", "drop table", "add column",
    "create index", "drop index", "rename table", "point",        "scan",       "range",
    "sum",          "join",       "schema"};

enum { C_ABORT, C_IGNORE, C_REPLACE, C_FAIL, C_ROLLBACK };
static const char *const conflict_words[] = {"", "OR IGNORE ", "OR REPLACE ", "OR FAIL ",
                                             "OR ROLLBACK "};

/*  One statement. */
typedef struct work {
    kind kind;
    int t, u; /* table; another one, or the index */
    int conflict;
    int count; /* rows of an insert */
    int64_t key[3], v[3];
    uint8_t body[3];
    bool flag; /* unique, WITHOUT ROWID, IF (NOT) EXISTS */
    bool returning;
} work;

/*  What the model says that it gives. */
typedef struct answer {
    int code; /* 0 or SQLite's primary code */
    int64_t changes, last_id;
    bool has_counts; /* these two are known */
    bool ends;       /* it ends the transaction */
    int items;
    int64_t item[ITEMS];
} answer;

static int64_t unique_v; /* never twice in an episode */

static int row_with_v(const table *t, int64_t v, int but) {
    int k;
    for (k = 0; k < KEYS; k++) {
        if (k != but && t->rows[k].is_there && t->rows[k].v == v) return k;
    }
    return -1;
}
static bool is_unique(const state *s, int t) {
    int i;
    for (i = 0; i < TABLES; i++) {
        if (s->indexes[i].of == t && s->indexes[i].is_unique) return true;
    }
    return false;
}

/*  One row of an insert. 0: inserted, 1: passed over, else SQLITE_CONSTRAINT. */
static int insert_row(table *t, bool unique, int64_t key, int64_t v, uint8_t body, int conflict) {
    const int twin = unique ? row_with_v(t, v, (int)key) : -1;
    row *r = &t->rows[key];
    if (v == 13 || ((r->is_there || twin >= 0) && conflict != C_REPLACE)) {
        return conflict == C_IGNORE ? 1 : SQLITE_CONSTRAINT;
    }
    if (twin >= 0) memset(&t->rows[twin], 0, sizeof t->rows[twin]);
    r->is_there = true;
    r->v = v;
    r->x = 7;
    r->body = body;
    return 0;
}

static void predict_write(state *s, const work *w, answer *a) {
    table *t = &s->tables[w->t], before;
    bool unique;
    int k, i, rc = 0;
    int64_t from = w->key[0], to = w->key[1];
    if (!t->is_there || (w->kind == W_COPY && !s->tables[w->u].is_there) ||
        (w->kind == W_SET_X && !t->has_x)) {
        a->code = SQLITE_ERROR;
        return;
    }
    before = *t;
    unique = is_unique(s, w->t);
    a->has_counts = true;
    switch (w->kind) {
    case W_INSERT:
        for (i = 0; i < w->count && rc != SQLITE_CONSTRAINT; i++) {
            rc = insert_row(t, unique, w->key[i], w->v[i], w->body[i], w->conflict);
            if (rc != 0) continue;
            a->changes++;
            if (!t->has_no_rowid) a->last_id = w->key[i];
            if (w->returning) {
                a->item[a->items++] = w->key[i];
                a->item[a->items++] = w->v[i];
            }
        }
        break;
    case W_UPSERT: /* v is new */
        if (t->rows[w->key[0]].is_there) {
            t->rows[w->key[0]].v = w->v[0];
        } else {
            (void)insert_row(t, unique, w->key[0], w->v[0], w->body[0], C_ABORT);
            if (!t->has_no_rowid) a->last_id = w->key[0];
        }
        a->changes = 1;
        break;
    case W_COPY:
        for (k = 0; k < KEYS; k++) {
            const row *r = &s->tables[w->u].rows[k];
            if (!r->is_there || insert_row(t, unique, k, r->v, r->body, C_IGNORE) != 0) continue;
            a->changes++;
            if (!t->has_no_rowid) a->last_id = k;
        }
        break;
    case W_UPDATE:
        from = to = w->key[0]; /* fall through */
    case W_ADD:
        for (k = (int)from; k <= (int)to && rc == 0; k++) {
            row *r = &t->rows[k];
            int64_t v;
            if (!r->is_there) continue;
            v = w->kind == W_ADD ? r->v + w->v[0] : w->v[0];
            if (v == 13 || (unique && row_with_v(t, v, k) >= 0)) rc = SQLITE_CONSTRAINT;
            r->v = v;
            a->changes++;
        }
        break;
    case W_BODY:
    case W_SET_X:
    case W_DELETE:
        for (k = (int)from; k <= (int)to; k++) {
            row *r = &t->rows[k];
            if (!r->is_there) continue;
            if (w->kind == W_BODY) r->body = w->body[0];
            if (w->kind == W_SET_X) r->x = w->v[0];
            if (w->kind == W_DELETE) memset(r, 0, sizeof *r);
            a->changes++;
        }
        break;
    default: /* W_CLEAR */
        for (k = 0; k < KEYS; k++) {
            a->changes += t->rows[k].is_there;
            memset(&t->rows[k], 0, sizeof t->rows[k]);
        }
    }
    if (rc != SQLITE_CONSTRAINT) return;
    a->code = rc;
    a->has_counts = false;
    a->items = 0;
    a->ends = w->conflict == C_ROLLBACK && w->kind == W_INSERT;
    /* what a query's OR FAIL did before is undone with its transaction */
    if (!(w->conflict == C_FAIL && w->kind == W_INSERT && !w->returning)) *t = before;
}

static void predict_schema(state *s, const work *w, answer *a) {
    table *t = &s->tables[w->t];
    index_of_v *index = &s->indexes[w->u];
    int k, l;
    switch (w->kind) {
    case D_CREATE:
        if (t->is_there) {
            if (!w->flag) a->code = SQLITE_ERROR;
            return;
        }
        memset(t, 0, sizeof *t);
        t->is_there = true;
        t->has_no_rowid = w->u == 0;
        return;
    case D_DROP:
        if (!t->is_there && !w->flag) a->code = SQLITE_ERROR;
        memset(t, 0, sizeof *t);
        for (k = 0; k < TABLES; k++) {
            if (s->indexes[k].of == w->t) s->indexes[k].of = -1;
        }
        return;
    case D_ADD_X:
        if (!t->is_there || t->has_x) {
            a->code = SQLITE_ERROR;
            return;
        }
        t->has_x = true;
        for (k = 0; k < KEYS; k++) t->rows[k].x = t->rows[k].is_there ? 7 : 0;
        return;
    case D_INDEX:
        if (!t->is_there || index->of >= 0) {
            a->code = SQLITE_ERROR;
            return;
        }
        for (k = 0; w->flag && k < KEYS; k++) {
            for (l = k + 1; t->rows[k].is_there && l < KEYS; l++) {
                if (t->rows[l].is_there && t->rows[l].v == t->rows[k].v)
                    a->code = SQLITE_CONSTRAINT;
            }
        }
        if (a->code != 0) return;
        index->of = (int8_t)w->t;
        index->is_unique = w->flag;
        return;
    case D_DROP_INDEX:
        if (index->of < 0) a->code = SQLITE_ERROR;
        index->of = -1;
        return;
    default: /* D_RENAME */
        if (!t->is_there || s->tables[w->u].is_there) {
            a->code = SQLITE_ERROR;
            return;
        }
        s->tables[w->u] = *t;
        memset(t, 0, sizeof *t);
        for (k = 0; k < TABLES; k++) {
            if (s->indexes[k].of == w->t) s->indexes[k].of = (int8_t)w->u;
        }
    }
}

static void give_row(answer *a, int64_t key, const row *r, bool has_x) {
    a->item[a->items++] = key;
    a->item[a->items++] = r->v;
    a->item[a->items++] = r->body;
    if (has_x) a->item[a->items++] = r->x;
}
static void predict_read(const state *s, const work *w, answer *a) {
    const table *t = &s->tables[w->t], *u = &s->tables[w->u];
    int64_t sum = 0, count = 0;
    int k, n;
    if (w->kind == R_SCHEMA) {
        for (n = 0; n < TABLES; n++) {
            if (s->indexes[n].of >= 0) a->item[a->items++] = 'i' * 256 + '0' + n;
        }
        for (n = 0; n < TABLES; n++) {
            if (s->tables[n].is_there) a->item[a->items++] = 't' * 256 + '0' + n;
        }
        return;
    }
    if (!t->is_there || (w->kind == R_JOIN && !u->is_there)) {
        a->code = SQLITE_ERROR;
        return;
    }
    switch (w->kind) {
    case R_POINT:
        if (!t->rows[w->key[0]].is_there) return;
        a->item[a->items++] = t->rows[w->key[0]].v;
        a->item[a->items++] = t->rows[w->key[0]].body;
        return;
    case R_SCAN:
        for (k = 0; k < KEYS; k++) {
            if (t->rows[k].is_there) give_row(a, k, &t->rows[k], t->has_x);
        }
        return;
    case R_RANGE: { /* by v, then by key */
        int order[KEYS], i;
        n = 0;
        for (k = 0; k < KEYS; k++) {
            const row *r = &t->rows[k];
            if (!r->is_there || r->v < w->v[0] || r->v > w->v[1]) continue;
            for (i = n++; i > 0 && t->rows[order[i - 1]].v > r->v; i--) order[i] = order[i - 1];
            order[i] = k;
        }
        for (i = 0; i < n; i++) {
            a->item[a->items++] = order[i];
            a->item[a->items++] = t->rows[order[i]].v;
        }
        return;
    }
    case R_SUM:
        for (k = 0; k < KEYS; k++) {
            if (!t->rows[k].is_there) continue;
            count++;
            sum += t->rows[k].v;
        }
        a->item[a->items++] = count;
        a->item[a->items++] = sum;
        return;
    default: /* R_JOIN */
        for (k = 0; k < KEYS; k++) {
            if (!t->rows[k].is_there || !u->rows[k].is_there) continue;
            a->item[a->items++] = k;
            a->item[a->items++] = u->rows[k].v;
        }
    }
}
static bool is_read(const work *w) {
    return w->kind >= R_POINT;
}
static void predict(state *s, const work *w, answer *a) {
    a->code = a->items = 0;
    a->changes = a->last_id = 0;
    a->has_counts = a->ends = false;
    if (is_read(w)) {
        predict_read(s, w, a);
    } else if (w->kind >= D_CREATE) {
        predict_schema(s, w, a);
    } else {
        predict_write(s, w, a);
    }
}

/*---- one episode ----*/

typedef struct holder_pool {
    sqlpool *pool;
    sqlpool_config config;
    int readers_out, writers_out; /* leases and cursors of this thread */
    int cursors_out; /* of these: one that is at its end has given its connection back */
    uint64_t sequence;
    uint64_t done; /* the last submission that was: they are done in their order */
    sqlpool_stamp stamp;
    uint64_t stamp_at; /* commits that were known when it was taken */
    bool has_stamp;
} holder_pool;

/*  A function's statements, and what each gave when it ran last. */
typedef struct job {
    work works[WORKS];
    int count;
    bool goes_on; /* after a statement that failed */
    bool only_reads;
    int from, to;   /* a level of its own around these, -1: none */
    bool undoes;    /* that level */
    int own_result; /* what it returns, if all goes well */
    int ran, returned, runs;
    int codes[WORKS];
    sqlpool_result results[WORKS];
    answer reads[WORKS]; /* what a read gave */
    int level_code;
} job;

typedef struct ticket {
    bool is_out, has_ticket, is_done;
    int pool, rc, outcome;
    sqlpool_ticket ticket;
    sqlpool_result result;
    uint64_t number;
    bool is_function, is_cancelled;
    bool may_expire;
    job job;
} ticket;

typedef struct lease {
    bool is_out, is_suspect, is_cancelled, is_ended, has_read, in_scope, may_age;
    int pool, mode, depth;
    sqlpool_conn conn;
    set now;           /* what it must see, with depth > 0 */
    set saved[LEVELS]; /* at the begin of each level */
} lease;

typedef struct cursor {
    bool is_out, is_suspect, has_begun;
    int pool;
    sqlpool_rows rows;
    work work;
    answer got;
    set seen;
} cursor;

static struct world {
    uint64_t seed;
    sim_random dice;
    sim_clock clock;
    sim_random random;
    sim_locks locks;
    holder_pool pools[2];
    int pool_count;
    int drawing_for; /* the pool that the next statements are for */
    bool is_wal, is_general, has_faults;
    set base, ghosts; /* what is committed; what may yet turn out to be */
    set backup;       /* what the backup holds, if there is one */
    bool in_doubt, gives_up, has_backup;
    uint64_t commits; /* that changed something */
    lease leases[LEASES];
    cursor cursors[CURSORS];
    ticket *tickets[PENDING];
    int ticket_count;
    uint64_t submitted;
    bool in_write, in_drain;
    bool is_faulty; /* a fault is armed, or has been and not all is well yet */
    bool has_alloc_fault, had_sync_fault;
    uint32_t primaries;
    int settle_in;
    uint64_t step, steps;
    char why[900];
    char message[300]; /* of the last error */
    uint64_t hash;     /* of all results */
    struct {
        uint64_t step;
        char text[150];
    } last[LAST];
    uint64_t last_count;
    bool control_forget; /* a bug seeded in the test */
} w;

/*  Over all episodes. */
static struct sums {
    uint64_t episodes, ops, reads, rows, writes, jobs, submitted, schema, vfs_faults, alloc_faults,
        committed, refused, not_committed, unknown, appeared, adopted, blocked, jumps, opens, loads,
        constraints, settles, cursors, scopes, outer_commits, cares, copies, backups, restores;
} sums;

static bool failed(void) {
    return w.why[0] != '\0';
}
static int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int fail(const char *format, ...) {
    va_list list;
    va_start(list, format);
    if (!failed() && !w.gives_up) (void)vsnprintf(w.why, sizeof w.why, format, list);
    va_end(list);
    return 1;
}
static uint64_t roll(uint64_t bound) {
    return sim_random_below(&w.dice, bound);
}
static bool chance(int percent) {
    return (int)roll(100) < percent;
}

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool is_noting, is_traced;
static void note(const char *format, ...) {
    va_list list;
    if (!is_noting) return;
    va_start(list, format);
    w.last[w.last_count % LAST].step = w.step;
    (void)vsnprintf(w.last[w.last_count % LAST].text, sizeof w.last[0].text, format, list);
    va_end(list);
    if (is_traced) {
        printf("# %llu: %s\n", (unsigned long long)w.step, w.last[w.last_count % LAST].text);
        fflush(stdout);
    }
    w.last_count++;
}
/*  The result of every call goes into the hash of the episode. */
static int gave(int rc) {
    w.hash = (w.hash ^ (uint64_t)(uint32_t)rc) * 0x100000001b3u;
    if (is_noting && w.last_count > 0) {
        char *text = w.last[(w.last_count - 1) % LAST].text;
        const size_t have = strlen(text);
        (void)snprintf(text + have, sizeof w.last[0].text - have, " = %s", sqlpool_result_name(rc));
    }
    return rc;
}

/*---- sets of states ----*/

static void set_copy(set *to, const set *from) {
    to->count = from->count;
    memcpy(to->s, from->s, (size_t)from->count * sizeof *from->s);
}
static void set_add(set *to, const state *s) {
    int i;
    for (i = 0; i < to->count; i++) {
        if (memcmp(&to->s[i], s, sizeof *s) == 0) return;
    }
    if (to->count == MOST) {
        w.gives_up = true; /* many writes in doubt, one after the other: the episode ends here */
        return;
    }
    to->s[to->count++] = *s;
}
static void set_join(set *to, const set *from) {
    int i;
    for (i = 0; i < from->count; i++) set_add(to, &from->s[i]);
}

static bool same_items(const answer *want, const answer *got, bool is_whole) {
    if (got->items > want->items || (is_whole && got->items != want->items)) return false;
    return memcmp(want->item, got->item, (size_t)got->items * sizeof *got->item) == 0;
}

/*---- what explains a result ----*/

static bool is_busy_code(int rc) {
    return rc > 0 && ((rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED);
}
/*  Codes of waiting in vain. */
static bool is_blocked_code(int rc) {
    return rc == SQLPOOL_TIMEOUT || rc == SQLPOOL_WOULD_BLOCK || rc == SQLPOOL_DEADLOCK ||
           rc == SQLPOOL_MISUSE || is_busy_code(rc);
}
static bool is_fault_code(int rc) {
    const int primary = rc & 0xff;
    const uint32_t primaries = w.primaries | sim_vfs.primaries;
    if (!w.is_faulty) return false;
    if (rc == SQLPOOL_NOMEM) return w.has_alloc_fault;
    if (rc == SQLPOOL_TIMEOUT || rc == SQLPOOL_WOULD_BLOCK || rc == SQLPOOL_ROLLED_BACK)
        return true;
    if (rc < 0) return false;
    if (primary == SQLITE_NOMEM || rc == SQLITE_IOERR_NOMEM) return w.has_alloc_fault;
    if (primary == SQLITE_PROTOCOL || primary == SQLITE_BUSY)
        return (primaries >> SQLITE_BUSY & 1u) != 0;
    return (primaries >> (primary & 31) & 1u) != 0;
}

static holder_pool *any_pool(void) {
    w.drawing_for = (int)roll((uint64_t)w.pool_count);
    return &w.pools[w.drawing_for];
}
static int index_of(const holder_pool *p) {
    return (int)(p - w.pools);
}
/*  A lease of this thread is in a write transaction. */
static bool writes_open(void) {
    int i;
    for (i = 0; i < LEASES; i++) {
        const lease *l = &w.leases[i];
        if (l->is_out && l->mode == SQLPOOL_WRITE && (l->depth > 0 || l->is_suspect)) return true;
    }
    return false;
}
static int all_out(void) {
    int i, n = 0;
    for (i = 0; i < w.pool_count; i++) n += w.pools[i].readers_out + w.pools[i].writers_out;
    return n;
}
/*  A sync copies the whole log after one that failed, and readers keep it from that. */
static bool is_log_doubtful(int rc) {
    return rc == SQLITE_IOERR_FSYNC && w.had_sync_fault && (all_out() > 0 || w.pool_count > 1);
}
static bool read_may_wait(const holder_pool *p) {
    const int out = p->readers_out + p->writers_out;
    if (!w.is_wal && (writes_open() || p->writers_out > 0)) return true;
    if (p->config.max_connections == 1 || w.is_general) return out > 0;
    return p->readers_out >= p->config.max_connections - 1;
}
static bool write_may_wait(const holder_pool *p) {
    const int out = p->readers_out + p->writers_out;
    if (writes_open()) return true;
    if (!w.is_wal) return all_out() > 0;
    if (p->config.max_connections == 1 || w.is_general) return out > 0;
    return p->writers_out > 0;
}

/*---- SQL ----*/

typedef struct text {
    char sql[400];
    sqlpool_value args[9];
    int count;
} text;

static void add_int(text *x, int64_t value) {
    x->args[x->count++] = sqlpool_value_int64(value);
}
static void add_body(text *x, int body) {
    x->args[x->count++] = sqlpool_value_blob(bodies[body].data, (size_t)bodies[body].bytes);
}
static void sql_of(const work *o, text *x) {
    const int t = o->t, u = o->u;
    int i;
    x->count = 0;
#define SQL(...) (void)snprintf(x->sql, sizeof x->sql, __VA_ARGS__)
    switch (o->kind) {
    case W_INSERT:
        SQL("INSERT %sINTO t%d(id, v, body) VALUES(?, ?, ?)%s%s%s", conflict_words[o->conflict], t,
            o->count > 1 ? ", (?, ?, ?)" : "", o->count > 2 ? ", (?, ?, ?)" : "",
            o->returning ? " RETURNING id, v" : "");
        for (i = 0; i < o->count; i++) {
            add_int(x, o->key[i]);
            add_int(x, o->v[i]);
            add_body(x, o->body[i]);
        }
        break;
    case W_UPSERT:
        SQL("INSERT INTO t%d(id, v, body) VALUES(?, ?, ?) ON CONFLICT(id) DO UPDATE SET "
            "v = excluded.v",
            t);
        add_int(x, o->key[0]);
        add_int(x, o->v[0]);
        add_body(x, o->body[0]);
        break;
    case W_COPY:
        SQL("INSERT OR IGNORE INTO t%d(id, v, body) SELECT id, v, body FROM t%d ORDER BY id", t, u);
        break;
    case W_UPDATE:
        SQL("UPDATE t%d SET v = ? WHERE id = ?", t);
        add_int(x, o->v[0]);
        add_int(x, o->key[0]);
        break;
    case W_ADD:
        SQL("UPDATE t%d SET v = v + ? WHERE id BETWEEN ? AND ?", t);
        add_int(x, o->v[0]);
        add_int(x, o->key[0]);
        add_int(x, o->key[1]);
        break;
    case W_BODY:
        SQL("UPDATE t%d SET body = ? WHERE id BETWEEN ? AND ?", t);
        add_body(x, o->body[0]);
        add_int(x, o->key[0]);
        add_int(x, o->key[1]);
        break;
    case W_SET_X:
        SQL("UPDATE t%d SET x = ? WHERE id BETWEEN ? AND ?", t);
        add_int(x, o->v[0]);
        add_int(x, o->key[0]);
        add_int(x, o->key[1]);
        break;
    case W_DELETE:
        SQL("DELETE FROM t%d WHERE id BETWEEN ? AND ?", t);
        add_int(x, o->key[0]);
        add_int(x, o->key[1]);
        break;
    case W_CLEAR:
        SQL("DELETE FROM t%d", t);
        break;
    case D_CREATE:
        SQL("CREATE TABLE %st%d(id INTEGER PRIMARY KEY, v INTEGER CHECK(v <> 13), body BLOB)%s",
            o->flag ? "IF NOT EXISTS " : "", t, o->u == 0 ? " WITHOUT ROWID" : "");
        break;
    case D_DROP:
        SQL("DROP TABLE %st%d", o->flag ? "IF EXISTS " : "", t);
        break;
    case D_ADD_X:
        SQL("ALTER TABLE t%d ADD COLUMN x INTEGER DEFAULT 7", t);
        break;
    case D_INDEX:
        SQL("CREATE %sINDEX i%d ON t%d(v)", o->flag ? "UNIQUE " : "", u, t);
        break;
    case D_DROP_INDEX:
        SQL("DROP INDEX i%d", u);
        break;
    case D_RENAME:
        SQL("ALTER TABLE t%d RENAME TO t%d", t, u);
        break;
    case R_POINT:
        SQL("SELECT v, body FROM t%d WHERE id = ?", t);
        add_int(x, o->key[0]);
        break;
    case R_SCAN:
        SQL("SELECT * FROM t%d ORDER BY id", t);
        break;
    case R_RANGE:
        SQL("SELECT id, v FROM t%d WHERE v BETWEEN ? AND ? ORDER BY v, id", t);
        add_int(x, o->v[0]);
        add_int(x, o->v[1]);
        break;
    case R_SUM:
        SQL("SELECT count(*), coalesce(sum(v), 0) FROM t%d", t);
        break;
    case R_JOIN:
        SQL("SELECT a.id, b.v FROM t%d a JOIN t%d b ON a.id = b.id ORDER BY a.id", t, u);
        break;
    case R_SCHEMA:
        SQL("SELECT name FROM sqlite_schema WHERE name GLOB '[it][0-9]' ORDER BY name");
        break;
    default:
        SQL("SELECT 1");
    }
#undef SQL
}
/*  The same with the values in the text, for scripts; bodies are empty there. */
static size_t literal_of(const work *o, char *out, size_t room) {
    text x;
    size_t have = 0;
    const char *at;
    int arg = 0;
    sql_of(o, &x);
    for (at = x.sql; *at != '\0'; at++) {
        int n;
        if (*at != '?') {
            n = snprintf(out + have, room - have, "%c", *at);
        } else if (x.args[arg].type == SQLPOOL_TYPE_INT64) {
            n = snprintf(out + have, room - have, "%lld", (long long)x.args[arg++].as.integer);
        } else {
            n = snprintf(out + have, room - have, "x''");
            arg++;
        }
        have += (size_t)n;
    }
    return have + (size_t)snprintf(out + have, room - have, ";\n");
}

/*  Takes a row into the answer; what each column holds follows from the statement. */
static void take_row(sqlpool_rows *rows, const work *o, answer *a) {
    const int columns = sqlpool_rows_column_count(rows);
    int c;
    sums.rows++;
    for (c = 0; c < columns && a->items < ITEMS; c++) {
        const bool is_body = (o->kind == R_SCAN && c == 2) || (o->kind == R_POINT && c == 1);
        if (is_body) {
            const void *data = sqlpool_rows_blob(rows, c);
            a->item[a->items++] = body_number(data, sqlpool_rows_bytes(rows, c));
        } else if (o->kind == R_SCHEMA) {
            const char *name = sqlpool_rows_text(rows, c);
            a->item[a->items++] = name == NULL ? -1 : name[0] * 256 + name[1];
        } else {
            a->item[a->items++] = sqlpool_rows_int64(rows, c);
        }
    }
}
static int take_stmt_row(sqlite3_stmt *statement, const work *o, answer *a) {
    const int columns = sqlite3_column_count(statement);
    int c;
    sums.rows++;
    for (c = 0; c < columns && a->items < ITEMS; c++) {
        if ((o->kind == R_SCAN && c == 2) || (o->kind == R_POINT && c == 1)) {
            const void *data = sqlite3_column_blob(statement, c);
            a->item[a->items++] = body_number(data, (size_t)sqlite3_column_bytes(statement, c));
        } else if (o->kind == R_SCHEMA) {
            const unsigned char *name = sqlite3_column_text(statement, c);
            a->item[a->items++] = name == NULL ? -1 : name[0] * 256 + name[1];
        } else {
            a->item[a->items++] = sqlite3_column_int64(statement, c);
        }
    }
    return columns;
}

/*---- random statements ----*/

static int64_t some_v(void) {
    return chance(70) ? (int64_t)roll(40) : 1000 + unique_v++;
}
static uint8_t some_body(void) {
    return (uint8_t)(chance(90) ? roll(36) : roll(BODIES));
}
static void some_range(work *o) {
    o->key[0] = (int64_t)roll(KEYS);
    o->key[1] = o->key[0] + (int64_t)roll(5);
    if (o->key[1] >= KEYS) o->key[1] = KEYS - 1;
}
static work some_read(void) {
    work o;
    memset(&o, 0, sizeof o);
    {
        const uint64_t n = roll(100);
        o.kind = n < 45   ? R_POINT
                 : n < 65 ? R_SCAN
                 : n < 78 ? R_RANGE
                 : n < 92 ? R_SUM
                 : n < 97 ? R_JOIN
                          : R_SCHEMA;
    }
    o.t = (int)roll(TABLES);
    o.u = (int)roll(TABLES);
    o.key[0] = (int64_t)roll(KEYS);
    o.v[0] = (int64_t)roll(30);
    o.v[1] = o.v[0] + (int64_t)roll(2000);
    return o;
}
static work some_write(bool may_end) {
    work o;
    const uint64_t n = roll(100);
    int i;
    memset(&o, 0, sizeof o);
    o.kind = n < 45   ? W_INSERT
             : n < 58 ? W_UPDATE
             : n < 64 ? W_ADD
             : n < 72 ? W_BODY
             : n < 84 ? W_DELETE
             : n < 85 ? W_CLEAR
             : n < 88 ? W_COPY
             : n < 95 ? W_UPSERT
                      : W_SET_X;
    o.t = (int)roll(TABLES);
    o.u = (o.t + 1 + (int)roll(TABLES - 1)) % TABLES;
    o.conflict = chance(50) ? C_ABORT : (int)roll(5);
    if (o.conflict == C_ROLLBACK && !may_end) o.conflict = C_ABORT;
    o.count = chance(75) ? 1 : 1 + (int)roll(3);
    some_range(&o);
    for (i = 0; i < 3; i++) {
        if (o.kind == W_INSERT) o.key[i] = (int64_t)roll(KEYS);
        o.v[i] = o.kind == W_UPSERT ? INT64_C(1000000000) + unique_v++ * 10000
                 : o.kind == W_ADD  ? (int64_t)roll(9) - 4
                                    : some_v();
        o.body[i] = some_body();
    }
    return o;
}
static work some_schema(void) {
    work o;
    const uint64_t n = roll(100);
    memset(&o, 0, sizeof o);
    o.kind = n < 45   ? D_CREATE
             : n < 50 ? D_DROP
             : n < 58 ? D_ADD_X
             : n < 77 ? D_INDEX
             : n < 92 ? D_DROP_INDEX
                      : D_RENAME;
    /* SQLite refuses these by the schema that its connection has seen last ("there is already
       another table with this name", of one that another connection has dropped): so only one
       does them */
    if (o.kind != D_CREATE && (w.is_general ? o.kind != D_DROP : w.drawing_for != 0))
        o.kind = D_CREATE;
    o.t = (int)roll(TABLES);
    o.u = o.kind == D_RENAME ? (o.t + 1 + (int)roll(TABLES - 1)) % TABLES : (int)roll(TABLES);
    o.flag = chance(50);
    return o;
}
static work some_change(bool may_end) {
    return chance(4) ? some_schema() : some_write(may_end);
}
static const char *describe(const work *o) {
    static char out[110];
    (void)snprintf(out, sizeof out, "%s %st%d/%d key %lld..%lld v %lld body %d rows %d%s%s",
                   kind_names[o->kind], o->kind == W_INSERT ? conflict_words[o->conflict] : "",
                   o->t, o->u, (long long)o->key[0], (long long)o->key[1], (long long)o->v[0],
                   o->body[0], o->count, o->flag ? " flag" : "", o->returning ? " returning" : "");
    return out;
}

/*---- an answer against a set ----*/

static answer want; /* scratch */

static bool fits(const answer *a, int rc, const sqlpool_result *result, const answer *got) {
    if (a->code != 0) return rc > 0 && (rc & 0xff) == a->code;
    if (rc != SQLPOOL_OK) return false;
    if (result != NULL && a->has_counts &&
        (result->changes != a->changes || result->last_insert_id != a->last_id)) {
        return false;
    }
    return got == NULL || same_items(a, got, true);
}

/*  What one of the states would have said, for the message. */
static const char *expected(const state *s, const work *o) {
    static char out[160];
    static state copy;
    int i;
    size_t have;
    copy = *s;
    predict(&copy, o, &want);
    have = (size_t)snprintf(out, sizeof out, "code %d, %lld changes, id %lld, %d items:", want.code,
                            (long long)want.changes, (long long)want.last_id, want.items);
    for (i = 0; i < want.items && i < 8; i++) {
        have += (size_t)snprintf(out + have, sizeof out - have, " %lld", (long long)want.item[i]);
    }
    return out;
}
static const char *observed(int rc, const sqlpool_result *result, const answer *got) {
    static char out[200];
    int i;
    size_t have = (size_t)snprintf(out, sizeof out, "%s (%d)", sqlpool_result_name(rc), rc);
    if (result != NULL) {
        have += (size_t)snprintf(out + have, sizeof out - have, ", %lld changes, id %lld",
                                 (long long)result->changes, (long long)result->last_insert_id);
    }
    if (got == NULL) return out;
    have += (size_t)snprintf(out + have, sizeof out - have, ", %d items:", got->items);
    for (i = 0; i < got->items && i < 8; i++) {
        have += (size_t)snprintf(out + have, sizeof out - have, " %lld", (long long)got->item[i]);
    }
    return out;
}

/*  A read of a set that is no longer in doubt: states that say otherwise go. */
static bool set_read(set *of, const work *o, int rc, const answer *got, bool is_whole) {
    int i, kept = 0;
    for (i = 0; i < of->count; i++) {
        predict(&of->s[i], o, &want);
        if (want.code != 0 ? rc > 0 && (rc & 0xff) == want.code
                           : (rc == SQLPOOL_OK || !is_whole) && same_items(&want, got, is_whole)) {
            if (kept != i) of->s[kept] = of->s[i];
            kept++;
        }
    }
    if (kept == 0) return false;
    of->count = kept;
    return true;
}
/*  A write in a transaction: the states change. */
static bool set_write(set *of, const work *o, int rc, const sqlpool_result *result,
                      const answer *got) {
    static state s;
    int i, kept = 0;
    for (i = 0; i < of->count; i++) {
        s = of->s[i];
        predict(&s, o, &want);
        if (fits(&want, rc, result, got)) of->s[kept++] = s;
    }
    if (kept == 0) return false;
    of->count = kept;
    return true;
}

/*  What someone who begins to look now may see. */
static void set_visible(set *to) {
    set_copy(to, &w.base);
    if (w.in_doubt) set_join(to, &w.ghosts);
}

/*  A read of what is committed. A state that it contradicts may still turn out to be while nobody
    knows what the last COMMIT left in the log. */
static void base_read(const work *o, int rc, const answer *got, bool is_whole, const char *how) {
    static set was;
    static char said[160];
    if (w.base.count == 1 && !w.in_doubt) {
        if (!set_read(&w.base, o, rc, got, is_whole)) {
            (void)snprintf(said, sizeof said, "%s", expected(&w.base.s[0], o));
            (void)fail("%s, %s: gave %s; the model says %s", how, describe(o),
                       observed(rc, NULL, got), said);
        }
        return;
    }
    set_copy(&was, &w.base);
    if (!set_read(&w.base, o, rc, got, is_whole)) {
        if (w.in_doubt && set_read(&w.ghosts, o, rc, got, is_whole)) {
            set_copy(&w.base, &w.ghosts);
            sums.appeared++;
        } else {
            (void)snprintf(said, sizeof said, "%s", expected(&w.base.s[0], o));
            (void)fail("%s, %s: gave %s; none of %d states and %d in doubt fits, one says %s", how,
                       describe(o), observed(rc, NULL, got), w.base.count, w.ghosts.count, said);
            return;
        }
    }
    if (w.in_doubt) {
        int i, j;
        w.ghosts.count = w.in_doubt ? w.ghosts.count : 0;
        for (i = 0; i < was.count; i++) {
            for (j = 0; j < w.base.count; j++) {
                if (memcmp(&w.base.s[j], &was.s[i], sizeof was.s[i]) == 0) break;
            }
            if (j == w.base.count) set_add(&w.ghosts, &was.s[i]);
        }
    }
}

static bool is_any_queued(void) {
    int i;
    for (i = 0; i < w.ticket_count; i++) {
        if (!w.tickets[i]->is_done) return true;
    }
    return false;
}

/*  The committed states become these: someone saw the commit. Where nothing was changed nothing was
    committed either, and what was in doubt still is. */
static void base_becomes(const set *now, bool is_changed) {
    if (!is_changed && w.in_doubt) {
        set_join(&w.ghosts, &w.base);
        set_copy(&w.base, now);
        return;
    }
    if (w.base.count != 1 || now->count != 1 ||
        memcmp(&w.base.s[0], &now->s[0], sizeof now->s[0]) != 0) {
        w.commits += w.base.count == 1 && now->count == 1;
    }
    /* not where the model has given up: it takes what is in the file then */
    if (w.control_forget && !w.gives_up && w.step > w.steps / 3 && !is_any_queued() &&
        now->count == 1 && w.base.count == 1 &&
        memcmp(&w.base.s[0], &now->s[0], sizeof now->s[0]) != 0) {
        w.control_forget = false; /* the control: the model forgets an acknowledged write */
        w.settle_in = 1;          /* read it all before another write goes over it */
        note("(the model forgets this one)");
        return;
    }
    set_copy(&w.base, now);
    w.ghosts.count = 0;
    w.in_doubt = false;
}
/*  They may also have become these. */
static void base_may_become(const set *now) {
    sums.unknown++;
    if (!w.is_faulty && !w.had_sync_fault) (void)fail("an outcome is UNKNOWN without a fault");
    set_join(&w.base, now);
    w.in_doubt = true;
    if (w.base.count > 6) w.settle_in = 1;
}

typedef struct excuse {
    bool may_wait, may_cancel, may_expire, is_suspect;
} excuse;
static bool is_explained(int rc, excuse why) {
    if (why.may_wait && is_blocked_code(rc)) {
        sums.blocked++;
        return true;
    }
    if (why.may_cancel && rc == SQLPOOL_CANCELLED) return true;
    if (why.may_expire && rc == SQLPOOL_TIMEOUT) return true;
    if (why.is_suspect) return true;
    return is_fault_code(rc);
}
static int error_agrees(int rc, const sqlpool_error *e, const char *what) {
    memcpy(w.message, e->message, sizeof w.message - 1);
    if (e->result != rc) return fail("%s gave %d, its error says %d", what, rc, e->result);
    if ((rc == SQLPOOL_OK) != (e->message[0] == '\0'))
        return fail("%s gave %d with the message \"%s\"", what, rc, e->message);
    return 0;
}

/*---- functions and scripts ----*/

/*  Runs a job's statements on a state as they were run; false when they would have said
    otherwise. */
static bool job_fits(const job *j, state *s) {
    static state saved;
    int i;
    for (i = 0; i < j->ran; i++) {
        if (i == j->from) saved = *s;
        predict(s, &j->works[i], &want);
        if (is_read(&j->works[i])) {
            if (want.code != 0 ? (j->codes[i] & 0xff) != want.code || j->codes[i] <= 0
                               : j->codes[i] != 0 || !same_items(&want, &j->reads[i], true)) {
                if (!is_fault_code(j->codes[i]) || i + 1 != j->ran) return false;
            }
        } else if (!fits(&want, j->codes[i], &j->results[i], NULL)) {
            return (is_fault_code(j->codes[i]) || is_busy_code(j->codes[i])) && i + 1 == j->ran;
        }
        if (i == j->to && j->undoes) *s = saved;
    }
    return true;
}

static int job_fn(sqlpool_conn *conn, void *user, int attempt) {
    job *j = (job *)user;
    int i, rc = SQLPOOL_OK;
    (void)attempt;
    j->runs++;
    j->ran = 0;
    j->level_code = j->returned = 0;
    for (i = 0; i < j->count; i++) {
        text x;
        sql_of(&j->works[i], &x);
        if (i == j->from && (rc = sqlpool_conn_begin(conn, NULL)) != SQLPOOL_OK)
            return j->returned = j->level_code = rc;
        if (is_read(&j->works[i])) {
            sqlpool_rows rows;
            j->reads[i].items = 0;
            rc = sqlpool_conn_query(conn, &rows, x.sql, x.args, x.count, NULL);
            while (rc == SQLPOOL_OK && sqlpool_rows_next(&rows))
                take_row(&rows, &j->works[i], &j->reads[i]);
            rc = sqlpool_rows_close(&rows, NULL);
        } else {
            rc = sqlpool_conn_exec(conn, x.sql, x.args, x.count, &j->results[i], NULL);
        }
        j->codes[i] = rc;
        j->ran++;
        if (rc != SQLPOOL_OK &&
            (!j->goes_on || ((rc & 0xff) != SQLITE_CONSTRAINT && (rc & 0xff) != SQLITE_ERROR) ||
             rc < 0 || j->works[i].conflict == C_ROLLBACK)) {
            return j->returned = rc;
        }
        if (i == j->to) {
            rc = j->undoes ? sqlpool_conn_rollback(conn, NULL) : sqlpool_conn_commit(conn, NULL);
            if (rc != SQLPOOL_OK) return j->returned = j->level_code = rc;
        }
    }
    return j->returned = j->own_result;
}

static void job_draw(job *j, bool reads_only) {
    int i;
    memset(j, 0, offsetof(job, reads));
    j->level_code = 0;
    j->only_reads = reads_only;
    j->count = 1 + (int)roll(WORKS);
    j->goes_on = chance(50);
    j->from = j->to = -1;
    if (chance(35)) {
        j->from = (int)roll((uint64_t)j->count);
        j->to = j->from + (int)roll((uint64_t)(j->count - j->from));
        j->undoes = chance(50);
    }
    j->own_result = chance(12) ? OWN_RESULT : SQLPOOL_OK;
    for (i = 0; i < j->count; i++) {
        j->works[i] = reads_only || chance(30) ? some_read() : some_change(true);
        note("  job %d: %s%s", i, describe(&j->works[i]), i == j->from ? " (level)" : "");
    }
}

/*  What a job of a call, whose result and outcome these are, makes of the committed states. */
static void job_judge(const job *j, int rc, int outcome, excuse why, const char *how) {
    static set after;
    static state s;
    static set storage;
    set *visible = &storage;
    bool is_changed = true;
    int i, fit = 0;
    sums.jobs++;
    set_visible(visible);
    after.count = 0;
    if (j->runs == 0) {
        if (rc == SQLPOOL_OK || !is_explained(rc, why))
            (void)fail("%s: gave %s without running the function", how, sqlpool_result_name(rc));
        return;
    }
    if (outcome == SQLPOOL_OUTCOME_COMMITTED && rc != SQLPOOL_OK)
        (void)fail("%s gave %s and says COMMITTED", how, sqlpool_result_name(rc));
    for (i = 0; i < visible->count; i++) {
        s = visible->s[i];
        if (!job_fits(j, &s)) continue;
        fit++;
        is_changed = is_changed && memcmp(&s, &visible->s[i], sizeof s) != 0;
        set_add(&after, &s);
    }
    if (fit == 0 && rc != j->returned && is_explained(rc, why) &&
        outcome == SQLPOOL_OUTCOME_NOT_COMMITTED) {
        return; /* it may have seen what others of its group did, which is undone as well */
    }
    if (fit == 0 && !why.is_suspect) {
        char said[400] = "";
        size_t have = 0;
        for (i = 0; i < j->ran; i++) {
            have += (size_t)snprintf(said + have, sizeof said - have, " [%d] %s", i,
                                     observed(j->codes[i],
                                              is_read(&j->works[i]) ? NULL : &j->results[i],
                                              is_read(&j->works[i]) ? &j->reads[i] : NULL));
            if (have >= sizeof said) break;
        }
        (void)fail("%s: none of %d states fits what its statements said:%s", how, visible->count,
                   said);
        return;
    }
    if (rc == SQLPOOL_OK) {
        if (j->returned != SQLPOOL_OK) {
            (void)fail("%s gave OK where its function returned %d", how, j->returned);
        } else if (outcome != SQLPOOL_OUTCOME_COMMITTED) {
            (void)fail("%s gave OK with outcome %d", how, outcome);
        } else {
            base_becomes(&after, is_changed);
        }
        return;
    }
    if (rc != j->returned && !is_explained(rc, why)) {
        (void)fail("%s gave %s (%d), its function returned %d", how, sqlpool_result_name(rc), rc,
                   j->returned);
    }
    if (rc == j->returned && rc != OWN_RESULT && j->level_code != 0 && !is_explained(rc, why)) {
        (void)fail("%s: a level in it gave %s", how, sqlpool_result_name(rc));
    }
    if (outcome == SQLPOOL_OUTCOME_UNKNOWN) {
        if (j->returned != SQLPOOL_OK) (void)fail("%s: UNKNOWN, though its function gave up", how);
        base_may_become(&after);
    } else {
        sums.not_committed++;
    }
}

/*---- single statements on a pool ----*/

/*  What a write of one statement makes of the committed states. */
static void write_judge(const work *o, int rc, int outcome, const sqlpool_result *result,
                        const answer *got, excuse why, const char *how) {
    static set after, visible;
    static state s;
    bool is_changed = true;
    int i;
    sums.writes++;
    set_visible(&visible);
    after.count = 0;
    for (i = 0; i < visible.count; i++) {
        s = visible.s[i];
        predict(&s, o, &want);
        if (fits(&want, rc, rc == SQLPOOL_OK ? result : NULL, rc == SQLPOOL_OK ? got : NULL)) {
            is_changed = is_changed && memcmp(&s, &visible.s[i], sizeof s) != 0;
            set_add(&after, &s);
        }
    }
    if (rc == SQLPOOL_OK && outcome != SQLPOOL_OUTCOME_COMMITTED) {
        (void)fail("%s gave OK with outcome %d", how, outcome);
    }
    if (after.count > 0) { /* as predicted: done, or refused for its own reasons */
        if (rc == SQLPOOL_OK) {
            sums.committed++;
        } else {
            sums.constraints++;
            if (outcome == SQLPOOL_OUTCOME_COMMITTED || outcome == SQLPOOL_OUTCOME_UNKNOWN)
                (void)fail("%s gave %s with outcome %d", how, sqlpool_result_name(rc), outcome);
        }
        if (rc == SQLPOOL_OK || o->conflict == C_FAIL) base_becomes(&after, is_changed);
        return;
    }
    if (rc == SQLPOOL_OK || !is_explained(rc, why)) {
        static char said[160];
        (void)snprintf(said, sizeof said, "%s", expected(&w.base.s[0], o));
        (void)fail("%s, %s: gave %s; the model says %s", how, describe(o),
                   observed(rc, rc == SQLPOOL_OK ? result : NULL, rc == SQLPOOL_OK ? got : NULL),
                   said);
        return;
    }
    if (outcome == SQLPOOL_OUTCOME_COMMITTED) {
        (void)fail("%s gave %s and says COMMITTED", how, sqlpool_result_name(rc));
    } else if (outcome == SQLPOOL_OUTCOME_UNKNOWN) {
        for (i = 0; i < visible.count; i++) {
            s = visible.s[i];
            predict(&s, o, &want);
            if (want.code == 0 || o->conflict == C_FAIL) set_add(&after, &s);
        }
        if (after.count == 0) (void)fail("%s: UNKNOWN, though it cannot succeed", how);
        base_may_become(&after);
    } else {
        sums.not_committed++;
    }
}
static void sequence_judge(holder_pool *p, uint64_t sequence, const char *how) {
    if (sequence < p->sequence)
        (void)fail("%s: sequence %llu after %llu", how, (unsigned long long)sequence,
                   (unsigned long long)p->sequence);
    p->sequence = sequence;
}
static excuse write_excuse(const holder_pool *p) {
    excuse why = {false, false, false, false};
    why.may_wait = write_may_wait(p);
    return why;
}
static excuse read_excuse(const holder_pool *p) {
    excuse why = {false, false, false, false};
    why.may_wait = read_may_wait(p);
    return why;
}

static void op_write(void) {
    holder_pool *p = any_pool();
    work o = some_change(true);
    excuse why = write_excuse(p);
    sqlpool_error e;
    sqlpool_result result;
    sqlpool_call call;
    sqlpool_token token = {0};
    text x;
    int rc;
    sql_of(&o, &x);
    memset(&call, 0, sizeof call);
    if (chance(2)) {
        (void)sqlpool_cancel(p->pool, &token);
        call.token = &token;
        why.may_cancel = true;
    }
    if (chance(4)) {
        call.timeout_ms = chance(50) ? SQLPOOL_NO_WAIT : 1 + (int)roll(50);
        why.may_expire = true;
    }
    note("pool %d exec %s%s", index_of(p), describe(&o), why.may_cancel ? ", cancelled" : "");
    w.in_write = true;
    memset(&result, 0, sizeof result);
    rc = gave(sqlpool_exec_with(p->pool, &call, &result, x.sql, x.args, x.count, &e));
    w.in_write = false;
    if (error_agrees(rc, &e, "exec")) return;
    write_judge(&o, rc, e.outcome, &result, NULL, why, "exec");
    if (why.may_cancel && rc == SQLPOOL_OK) (void)fail("a cancelled write was done");
    if (rc == SQLPOOL_OK) sequence_judge(p, result.sequence, "exec");
    if (rc == SQLPOOL_OK && o.kind >= D_CREATE) sums.schema++;
}

static void op_returning(void) {
    holder_pool *p = any_pool();
    work o = some_write(true);
    const excuse why = write_excuse(p);
    static answer got;
    sqlpool_rows rows;
    sqlpool_error e;
    text x;
    int rc;
    o.kind = W_INSERT;
    o.key[0] = (int64_t)roll(KEYS);
    o.returning = true;
    sql_of(&o, &x);
    note("pool %d query %s", index_of(p), describe(&o));
    got.items = 0;
    rc = gave(sqlpool_query(p->pool, &rows, x.sql, x.args, x.count, &e));
    if (error_agrees(rc, &e, "query")) return;
    while (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) take_row(&rows, &o, &got);
    write_judge(&o, rc, e.outcome, NULL, &got, why, "query with RETURNING");
    rc = sqlpool_rows_close(&rows, &e);
    if (rc != e.result && rc == SQLPOOL_OK) (void)fail("closing rows gave %d", rc);
}

typedef struct one_row {
    const work *o;
    answer *got;
} one_row;
static int take_one(sqlpool_rows *row, void *user) {
    const one_row *r = (const one_row *)user;
    take_row(row, r->o, r->got);
    return 4242;
}
static void op_read(void) {
    holder_pool *p = any_pool();
    const work o = some_read();
    const excuse why = read_excuse(p);
    static answer got;
    sqlpool_error e;
    text x;
    const int how = (int)roll(10);
    int rc;
    sql_of(&o, &x);
    note("pool %d read %s, way %d", index_of(p), describe(&o), how);
    sums.reads++;
    got.items = 0;
    if (how <= 6 || o.kind == R_SCHEMA) {
        sqlpool_rows rows;
        const int most = chance(85) ? 1000 : (int)roll(4);
        int taken = 0, closed;
        bool at_end = false;
        rc = sqlpool_query(p->pool, &rows, x.sql, x.args, x.count, &e);
        if (error_agrees(rc, &e, "query")) return;
        if (rc == SQLPOOL_OK) {
            while (taken < most && !at_end) {
                at_end = !sqlpool_rows_next(&rows);
                if (!at_end) take_row(&rows, &o, &got);
                taken++;
            }
        }
        closed = sqlpool_rows_close(&rows, &e);
        if (rc == SQLPOOL_OK)
            rc = closed;
        else if (closed != rc)
            (void)fail("query gave %d, closing its rows %d", rc, closed);
        (void)gave(rc);
        if (rc != SQLPOOL_OK && is_explained(rc, why)) return;
        base_read(&o, rc, &got, at_end || rc != SQLPOOL_OK, "query");
        return;
    }
    if (how == 7) {
        const one_row row = {&o, &got};
        rc = gave(sqlpool_query_row(p->pool, take_one, (void *)&row, x.sql, x.args, x.count, &e));
        if (e.result != rc) (void)fail("query_row gave %d, its error says %d", rc, e.result);
        if (rc != SQLPOOL_OK && rc != 4242 && rc != SQLPOOL_NOT_FOUND && is_explained(rc, why))
            return;
        if (rc == SQLPOOL_OK) (void)fail("query_row gave OK, its function 4242");
        if (rc == 4242 && got.items == 0) (void)fail("query_row called with no columns");
        base_read(&o, rc == 4242 || rc == SQLPOOL_NOT_FOUND ? SQLPOOL_OK : rc, &got,
                  rc == SQLPOOL_NOT_FOUND, "query_row");
        return;
    }
    if (how == 8) {
        int64_t value = 77;
        rc = gave(sqlpool_query_int64(p->pool, &value, x.sql, x.args, x.count, &e));
        if (rc == SQLPOOL_OK) got.item[got.items++] = value;
    } else {
        char buffer[24];
        rc = gave(sqlpool_query_text(p->pool, buffer, sizeof buffer, x.sql, x.args, x.count, &e));
        if (rc == SQLPOOL_OK) got.item[got.items++] = strtoll(buffer, NULL, 10);
    }
    if (error_agrees(rc, &e, "query_int64 or _text")) return;
    if (rc != SQLPOOL_OK && rc != SQLPOOL_NOT_FOUND && is_explained(rc, why)) return;
    base_read(&o, rc == SQLPOOL_NOT_FOUND ? SQLPOOL_OK : rc, &got, rc == SQLPOOL_NOT_FOUND,
              "query_int64 or _text");
}

static void op_job(void) {
    static job j;
    holder_pool *p = any_pool();
    const int way = (int)roll(10);
    const bool reads = way == 9;
    excuse why = reads ? read_excuse(p) : write_excuse(p);
    sqlpool_result result;
    sqlpool_error e;
    const char *how = way < 5 ? "write" : reads ? "read transaction" : "transaction";
    int rc;
    note("pool %d %s", index_of(p), how);
    job_draw(&j, reads);
    w.in_write = true;
    memset(&result, 0, sizeof result);
    rc = gave(way < 5 ? sqlpool_write_with(p->pool, NULL, &result, job_fn, &j, &e)
                      : sqlpool_transaction(p->pool, reads ? SQLPOOL_READ : SQLPOOL_WRITE, job_fn,
                                            &j, &e));
    w.in_write = false;
    if (error_agrees(rc, &e, how)) return;
    if (reads && rc == SQLPOOL_OK) {
        if (e.outcome != SQLPOOL_OUTCOME_NONE) (void)fail("a read has outcome %d", e.outcome);
        job_judge(&j, rc, SQLPOOL_OUTCOME_COMMITTED, why, how);
        return;
    }
    job_judge(&j, rc, e.outcome, why, how);
    if (way < 5 && rc == SQLPOOL_OK) sequence_judge(p, result.sequence, how);
}

static void op_script(void) {
    static char sql[4000];
    static job j;
    holder_pool *p = any_pool();
    const excuse why = write_excuse(p);
    sqlpool_error e;
    size_t have = 0;
    int i, rc;
    note("pool %d script", index_of(p));
    job_draw(&j, false);
    j.goes_on = false;
    j.from = j.to = -1;
    j.own_result = 0;
    for (i = 0; i < j.count; i++) {
        memset(j.works[i].body, 0, sizeof j.works[i].body);
        if (is_read(&j.works[i])) j.works[i] = some_write(true), memset(j.works[i].body, 0, 3);
        note("  script %d: %s", i, describe(&j.works[i]));
        have += literal_of(&j.works[i], sql + have, sizeof sql - have);
    }
    rc = gave(sqlpool_script(p->pool, sql, chance(50) ? -1 : (int64_t)have, &e));
    if (error_agrees(rc, &e, "script")) return;
    { /* its statements as a function's would be: which one failed, the model says */
        static set after, visible;
        static state s;
        bool is_predicted = false, is_changed = true;
        set_visible(&visible);
        after.count = 0;
        for (i = 0; i < visible.count; i++) {
            int k, code = 0;
            s = visible.s[i];
            for (k = 0; k < j.count && code == 0; k++) {
                predict(&s, &j.works[k], &want);
                code = want.code;
            }
            if (code == 0) {
                is_changed = is_changed && memcmp(&s, &visible.s[i], sizeof s) != 0;
                set_add(&after, &s);
            }
            if (code == 0 ? rc == SQLPOOL_OK : rc > 0 && (rc & 0xff) == code) is_predicted = true;
        }
        if (rc == SQLPOOL_OK) {
            if (!is_predicted)
                (void)fail("a script gave OK that must fail");
            else if (e.outcome != SQLPOOL_OUTCOME_COMMITTED)
                (void)fail("script: outcome %d", e.outcome);
            else
                base_becomes(&after, is_changed);
        } else if (!is_predicted && !is_explained(rc, why)) {
            (void)fail("a script gave %s (%d): %s", sqlpool_result_name(rc), rc, e.message);
        } else if (e.outcome == SQLPOOL_OUTCOME_UNKNOWN) {
            if (after.count == 0) (void)fail("script: UNKNOWN, though it cannot succeed");
            base_may_become(&after);
        } else if (e.outcome == SQLPOOL_OUTCOME_COMMITTED) {
            (void)fail("a script failed and says COMMITTED");
        }
    }
}

/*---- leases ----*/

static void lease_forget(lease *l) {
    holder_pool *p = &w.pools[l->pool];
    if (l->mode == SQLPOOL_WRITE) {
        p->writers_out--;
    } else {
        p->readers_out--;
    }
    l->is_out = false;
}
static void lease_release(lease *l) {
    const int rc = gave(sqlpool_conn_release(&l->conn));
    const bool is_open = l->depth > 0 || l->in_scope;
    if (rc != SQLPOOL_OK && rc != SQLPOOL_UNCLEAN) (void)fail("release gave %d", rc);
    if (rc == SQLPOOL_UNCLEAN && !is_open && !l->is_suspect) (void)fail("a clean lease is UNCLEAN");
    if (rc == SQLPOOL_OK && l->depth > 0 && !l->is_suspect && !l->is_ended)
        (void)fail("a lease with a transaction open was given back and called clean");
    lease_forget(l);
}
static excuse lease_excuse(const lease *l) {
    excuse why = {false, false, false, false};
    why.may_cancel = l->is_cancelled;
    why.is_suspect = l->is_suspect;
    why.may_expire = l->may_age;
    return why;
}
/*  What a read in a lease is compared with: its own set inside a transaction, else what is
    committed. */
static void lease_read(lease *l, const work *o, int rc, const answer *got, bool is_whole,
                       const char *how) {
    if (l->depth == 0 && !l->in_scope) {
        base_read(o, rc, got, is_whole, how);
        return;
    }
    if (l->mode == SQLPOOL_READ && !l->has_read && !l->in_scope) {
        static set visible; /* BEGIN takes no snapshot: the first read does, or one kept is used */
        set_visible(&visible);
        set_join(&l->now, &visible);
    }
    if (!set_read(&l->now, o, rc, got, is_whole)) {
        static char said[160];
        if (l->is_suspect) return;
        (void)snprintf(said, sizeof said, "%s", expected(&l->now.s[0], o));
        (void)fail("%s in a %s, %s: gave %s; none of %d states fits, one says %s", how,
                   l->in_scope ? "scope" : "transaction", describe(o), observed(rc, NULL, got),
                   l->now.count, said);
        return;
    }
    l->has_read = true;
}

static void op_lease(void) {
    lease *l = &w.leases[roll(LEASES)];
    const int index = (int)(l - w.leases);
    static answer got;
    sqlpool_error e;
    text x;
    int rc;
    uint64_t n = roll(100);
    if (!l->is_out) {
        holder_pool *p = any_pool();
        const int mode = chance(60) ? SQLPOOL_READ : SQLPOOL_WRITE;
        sqlpool_call call;
        bool may_wait = mode == SQLPOOL_READ ? read_may_wait(p) : write_may_wait(p);
        memset(&call, 0, sizeof call);
        if (chance(30)) call.timeout_ms = SQLPOOL_NO_WAIT;
        note("lease %d of pool %d: acquire %s", index, index_of(p),
             mode == SQLPOOL_READ ? "reader" : "writer");
        rc = gave(sqlpool_conn_acquire_with(p->pool, (sqlpool_mode)mode, &call, &l->conn, &e));
        if (error_agrees(rc, &e, "acquire")) return;
        if (rc != SQLPOOL_OK) {
            excuse why = {false, false, false, false};
            why.may_wait = may_wait;
            if (!is_explained(rc, why))
                (void)fail("acquire gave %s (%d): %s", sqlpool_result_name(rc), rc, e.message);
            return;
        }
        l->pool = index_of(p);
        l->mode = mode;
        l->depth = 0;
        l->is_out = true;
        l->is_suspect = l->is_cancelled = l->is_ended = l->in_scope = l->may_age = false;
        if (mode == SQLPOOL_WRITE) {
            p->writers_out++;
            if (p->writers_out > 1 && !w.is_general) (void)fail("two writers of one pool");
        } else {
            p->readers_out++;
        }
        return;
    }
    w.drawing_for = l->pool;
    if (w.is_faulty) l->is_suspect = true; /* what it runs now may be hit */
    if (n < 12) {
        note("lease %d: release", index);
        lease_release(l);
    } else if (n < 14) {
        note("lease %d: cancel", index);
        rc = gave(sqlpool_conn_cancel(l->conn));
        if (rc != SQLPOOL_OK) (void)fail("conn_cancel gave %d", rc);
        l->is_cancelled = true;
    } else if (n < 30) { /* begin, scope */
        const bool scope = l->mode == SQLPOOL_READ && chance(50);
        note("lease %d: %s at depth %d", index, scope ? "snapshot_begin" : "begin", l->depth);
        rc = gave(scope ? sqlpool_snapshot_begin(&l->conn, chance(70) ? 0 : 100, &e)
                        : sqlpool_conn_begin(&l->conn, &e));
        if (error_agrees(rc, &e, "begin")) return;
        if (scope && (l->depth > 0 || l->in_scope)) {
            if (rc == SQLPOOL_OK) (void)fail("a scope begins inside a level");
            return;
        }
        if (rc != SQLPOOL_OK) {
            excuse why = lease_excuse(l);
            bool was_out = l->is_out;
            l->is_out = false; /* its own level is no reason to wait */
            why.may_wait = l->depth == 0 && (writes_open() || (!w.is_wal && all_out() > 1));
            l->is_out = was_out;
            if (l->is_ended && rc == SQLPOOL_ROLLED_BACK) return;
            if (!is_explained(rc, why))
                (void)fail("begin gave %s (%d): %s", sqlpool_result_name(rc), rc, e.message);
            return;
        }
        if (scope) {
            l->in_scope = true;
            l->may_age = true;
            l->has_read = true;
            set_visible(&l->now);
            sums.scopes++;
            return;
        }
        if (l->depth == 0 && !l->in_scope) {
            set_visible(&l->now);
            l->has_read = l->mode == SQLPOOL_WRITE;
            l->is_ended = false;
        }
        set_copy(&l->saved[l->depth], &l->now);
        l->depth++;
        if (l->depth == LEVELS) { /* no deeper */
            rc = sqlpool_conn_rollback(&l->conn, &e);
            if (rc != SQLPOOL_OK && !is_explained(rc, lease_excuse(l)) && !l->is_ended)
                (void)fail("rollback of a level gave %d", rc);
            l->depth--;
            if (rc != SQLPOOL_OK) l->is_suspect = true;
        }
    } else if (n < 45) { /* end a level */
        const bool commits = chance(65);
        if (l->in_scope && l->depth == 0) {
            note("lease %d: snapshot_end", index);
            rc = gave(sqlpool_snapshot_end(&l->conn, &e));
            if (rc != SQLPOOL_OK && !is_explained(rc, lease_excuse(l)))
                (void)fail("snapshot_end gave %d: %s", rc, e.message);
            if (rc == SQLPOOL_OK) l->in_scope = l->may_age = false;
            return;
        }
        note("lease %d: %s at depth %d%s", index, commits ? "commit" : "rollback", l->depth,
             l->is_ended ? ", ended" : "");
        rc =
            gave(commits ? sqlpool_conn_commit(&l->conn, &e) : sqlpool_conn_rollback(&l->conn, &e));
        if (error_agrees(rc, &e, "end of a level")) return;
        if (l->depth == 0) {
            if (rc != SQLPOOL_MISUSE) (void)fail("the end of no level gave %d", rc);
            return;
        }
        if (rc == SQLPOOL_OK && commits) {
            if (l->is_ended) (void)fail("a transaction that SQLite had ended was committed");
            l->depth--;
            if (l->depth == 0 && l->mode == SQLPOOL_WRITE) {
                bool is_changed = true;
                int i;
                for (i = 0; i < l->now.count; i++) {
                    int k;
                    for (k = 0; k < l->saved[0].count; k++) {
                        if (memcmp(&l->now.s[i], &l->saved[0].s[k], sizeof(state)) == 0)
                            is_changed = false;
                    }
                }
                base_becomes(&l->now, is_changed);
            }
        } else if (rc == SQLPOOL_OK) {
            l->depth--;
            if (l->mode == SQLPOOL_WRITE) set_copy(&l->now, &l->saved[l->depth]);
            if (l->depth == 0) l->is_ended = false;
        } else if (commits && (is_explained(rc, lease_excuse(l)) || l->is_ended ||
                               (!w.is_wal && (is_busy_code(rc) || rc == SQLPOOL_TIMEOUT)))) {
            /* it is open still: undone by hand, and what of it is in the log nobody knows; a COMMIT
               that waits for readers of the other pool may pass the deadline */
            const bool was_busy = is_busy_code(rc) || (!w.is_wal && rc == SQLPOOL_TIMEOUT);
            const bool in_doubt = !l->is_ended && l->depth == 1 && l->mode == SQLPOOL_WRITE &&
                                  !was_busy && w.is_faulty && rc != SQLPOOL_CANCELLED;
            if (rc == SQLPOOL_OK) return;
            if (in_doubt) base_may_become(&l->now);
            l->is_suspect = true;
            lease_release(l);
        } else if (!is_explained(rc, lease_excuse(l)) && !l->is_ended) {
            (void)fail("the end of a level gave %s (%d): %s", sqlpool_result_name(rc), rc,
                       e.message);
        } else {
            l->is_suspect = true;
            lease_release(l);
        }
    } else if (n < 70) { /* a write */
        work o = some_change(l->mode == SQLPOOL_WRITE);
        sqlpool_result result;
        excuse why = lease_excuse(l);
        if (l->mode == SQLPOOL_READ && w.is_general) return;
        sql_of(&o, &x);
        note("lease %d: exec %s", index, describe(&o));
        memset(&result, 0, sizeof result);
        rc = gave(sqlpool_conn_exec(&l->conn, x.sql, x.args, x.count, &result, &e));
        if (error_agrees(rc, &e, "conn_exec")) return;
        if (l->mode == SQLPOOL_READ) { /* IF EXISTS and the like change nothing */
            if (rc == SQLPOOL_OK && o.kind < D_CREATE) (void)fail("a reader wrote");
            if (l->depth > 0 && !l->has_read) { /* to prepare it may take the snapshot */
                static set visible;
                set_visible(&visible);
                set_join(&l->now, &visible);
            }
            return;
        }
        if (l->is_ended) {
            if (rc == SQLPOOL_OK) (void)fail("a statement ran in a transaction that had ended");
            return;
        }
        if (l->depth == 0) {
            why.may_wait = !w.is_wal ? all_out() > 1 : writes_open();
            l->is_suspect = l->is_suspect || w.is_faulty;
            if (rc != SQLPOOL_OK && is_fault_code(rc))
                e.outcome = SQLPOOL_OUTCOME_UNKNOWN;
            else if (rc == SQLPOOL_OK)
                e.outcome = SQLPOOL_OUTCOME_COMMITTED;
            if (e.outcome == SQLPOOL_OUTCOME_UNKNOWN) { /* leases do not say; both may be */
                static set after, visible;
                static state s;
                int i;
                set_visible(&visible);
                after.count = 0;
                for (i = 0; i < visible.count; i++) {
                    s = visible.s[i];
                    predict(&s, &o, &want);
                    if (want.code == 0 || o.conflict == C_FAIL) set_add(&after, &s);
                }
                if (after.count > 0) base_may_become(&after);
                return;
            }
            write_judge(&o, rc, e.outcome, &result, NULL, why, "conn_exec");
            return;
        }
        if (rc != SQLPOOL_OK && is_explained(rc, why) && !set_write(&l->now, &o, rc, NULL, NULL)) {
            l->is_suspect = true;
            lease_release(l); /* SQLite may have ended all of it */
            return;
        }
        if (rc != SQLPOOL_OK && is_explained(rc, why)) return;
        {
            bool ends = o.kind == W_INSERT && o.conflict == C_ROLLBACK && rc != SQLPOOL_OK &&
                        (rc & 0xff) == SQLITE_CONSTRAINT && rc > 0;
            if (!set_write(&l->now, &o, rc, rc == SQLPOOL_OK ? &result : NULL, NULL)) {
                static char said[160];
                (void)snprintf(said, sizeof said, "%s", expected(&l->now.s[0], &o));
                (void)fail("conn_exec, %s: gave %s; the model says %s", describe(&o),
                           observed(rc, &result, NULL), said);
                return;
            }
            if (ends) l->is_ended = true;
        }
    } else { /* a read */
        const work o = some_read();
        const bool by_hand = chance(30);
        bool at_end = false;
        sql_of(&o, &x);
        note("lease %d: read %s%s", index, describe(&o), by_hand ? " by hand" : "");
        sums.reads++;
        got.items = 0;
        if (by_hand) {
            sqlite3_stmt *statement;
            int i;
            rc = gave(sqlpool_conn_stmt(&l->conn, x.sql, &statement, &e));
            if (error_agrees(rc, &e, "conn_stmt")) return;
            if (rc == SQLPOOL_OK) {
                for (i = 0; i < x.count; i++)
                    (void)sqlite3_bind_int64(statement, i + 1, x.args[i].as.integer);
                while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
                    (void)take_stmt_row(statement, &o, &got);
                if (rc == SQLITE_DONE) rc = SQLPOOL_OK;
                (void)gave(rc);
                if (sqlpool_conn_stmt_release(&l->conn, statement) != SQLPOOL_OK)
                    (void)fail("stmt_release refused");
                if (rc == SQLITE_INTERRUPT && l->is_cancelled) return;
            }
        } else {
            sqlpool_rows rows;
            rc = sqlpool_conn_query(&l->conn, &rows, x.sql, x.args, x.count, &e);
            while (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) take_row(&rows, &o, &got);
            rc = gave(sqlpool_rows_close(&rows, NULL));
        }
        at_end = true;
        if (l->is_ended) {
            if (rc == SQLPOOL_OK && !by_hand)
                (void)fail("a read ran in a transaction that had ended");
            return;
        }
        if (rc != SQLPOOL_OK) {
            excuse why = lease_excuse(l);
            why.may_wait = !w.is_wal && l->depth == 0 && writes_open();
            if (is_explained(rc, why)) return;
        }
        lease_read(l, &o, rc, &got, at_end, by_hand ? "conn_stmt" : "conn_query");
    }
}

/*---- cursors that stay open ----*/

static void cursor_forget(cursor *c) {
    w.pools[c->pool].readers_out--;
    w.pools[c->pool].cursors_out--;
    c->is_out = false;
}
static void cursor_close(cursor *c) {
    const int rc = gave(sqlpool_rows_close(&c->rows, NULL));
    cursor_forget(c);
    if (rc == SQLPOOL_OK || c->is_suspect || w.is_faulty) return;
    if (!c->has_begun) return;
    if (!set_read(&c->seen, &c->work, rc, &c->got, true))
        (void)fail("a cursor, %s, ended with %s (%d)", describe(&c->work), sqlpool_result_name(rc),
                   rc);
}
static void op_cursor(void) {
    cursor *c = &w.cursors[roll(CURSORS)];
    sqlpool_error e;
    text x;
    int rc, i;
    if (!c->is_out) {
        holder_pool *p = any_pool();
        excuse why = read_excuse(p);
        c->work = some_read();
        sql_of(&c->work, &x);
        note("cursor %d of pool %d: %s", (int)(c - w.cursors), index_of(p), describe(&c->work));
        rc = gave(sqlpool_query(p->pool, &c->rows, x.sql, x.args, x.count, &e));
        if (error_agrees(rc, &e, "query")) return;
        c->got.items = 0;
        if (rc != SQLPOOL_OK) {
            (void)sqlpool_rows_close(&c->rows, NULL);
            if (!is_explained(rc, why)) base_read(&c->work, rc, &c->got, true, "query");
            return;
        }
        sums.cursors++;
        c->pool = index_of(p);
        p->readers_out++;
        p->cursors_out++;
        c->is_out = true;
        c->has_begun = false;
        c->is_suspect = w.is_faulty;
        set_visible(&c->seen);
        if (chance(30)) return; /* its first row comes later */
    }
    if (w.is_faulty) c->is_suspect = true;
    if (chance(20)) {
        note("cursor %d: close", (int)(c - w.cursors));
        cursor_close(c);
        return;
    }
    if (!c->has_begun) { /* the image is that of the query call or of the first step */
        static set visible;
        set_visible(&visible);
        set_join(&c->seen, &visible);
        c->has_begun = true;
    }
    note("cursor %d: next", (int)(c - w.cursors));
    for (i = (int)roll(6); i >= 0; i--) {
        if (sqlpool_rows_next(&c->rows)) {
            take_row(&c->rows, &c->work, &c->got);
            continue;
        }
        rc = gave(sqlpool_rows_close(&c->rows, NULL));
        cursor_forget(c);
        if (rc != SQLPOOL_OK && (c->is_suspect || is_fault_code(rc))) return;
        if (rc != SQLPOOL_OK && !w.is_wal && is_busy_code(rc)) return;
        if (!set_read(&c->seen, &c->work, rc, &c->got, true)) {
            static char said[160];
            (void)snprintf(said, sizeof said, "%s", expected(&c->seen.s[0], &c->work));
            (void)fail("a cursor to its end, %s: gave %s; none of %d states fits, one says %s",
                       describe(&c->work), observed(rc, NULL, &c->got), c->seen.count, said);
        }
        return;
    }
    if (!set_read(&c->seen, &c->work, SQLPOOL_OK, &c->got, false)) {
        static char said[160];
        (void)snprintf(said, sizeof said, "%s", expected(&c->seen.s[0], &c->work));
        (void)fail("a cursor, %s: gave %s; none of %d states fits, one says %s", describe(&c->work),
                   observed(SQLPOOL_OK, NULL, &c->got), c->seen.count, said);
    }
}

static void release_all(void) {
    int i;
    for (i = 0; i < LEASES; i++) {
        if (w.leases[i].is_out) lease_release(&w.leases[i]);
    }
    for (i = 0; i < CURSORS; i++) {
        if (w.cursors[i].is_out) cursor_close(&w.cursors[i]);
    }
}

/*---- writes that are submitted ----*/

static void on_done(void *user, const sqlpool_result *result, const sqlpool_error *e) {
    ticket *t = (ticket *)user;
    excuse why = write_excuse(&w.pools[t->pool]);
    if (failed()) return;
    if (t->is_done) {
        (void)fail("submission %llu is told twice", (unsigned long long)t->number);
        return;
    }
    if (w.in_write) (void)fail("a submission ran inside another write");
    note("  done %llu, outcome %d", (unsigned long long)t->number, e->outcome);
    (void)gave(e->result);
    t->is_done = true;
    t->rc = e->result;
    t->outcome = e->outcome;
    t->result = *result;
    why.may_cancel = t->is_cancelled;
    why.may_expire = t->may_expire;
    sums.submitted++;
    if (e->outcome == SQLPOOL_OUTCOME_NONE) (void)fail("a submission is done with no outcome");
    if (e->outcome != SQLPOOL_OUTCOME_NOT_COMMITTED) {
        uint64_t *done = &w.pools[t->pool].done;
        if (t->number < *done)
            (void)fail("submission %llu is done after %llu", (unsigned long long)t->number,
                       (unsigned long long)*done);
        *done = t->number;
    }
    w.in_drain = true;
    if (t->is_function) {
        job_judge(&t->job, t->rc, t->outcome, why, "submit_write");
    } else {
        write_judge(&t->job.works[0], t->rc, t->outcome, &t->result, NULL, why, "submit");
    }
    w.in_drain = false;
    if (t->rc == SQLPOOL_OK) sequence_judge(&w.pools[t->pool], t->result.sequence, "submit");
}
static void sweep_tickets(void) {
    int i, kept = 0;
    for (i = 0; i < w.ticket_count; i++) {
        if (w.tickets[i]->is_done && !w.tickets[i]->has_ticket) {
            free(w.tickets[i]);
        } else {
            w.tickets[kept++] = w.tickets[i];
        }
    }
    w.ticket_count = kept;
}
static int outstanding(const holder_pool *p) {
    int i, n = 0;
    for (i = 0; i < w.ticket_count; i++) n += w.tickets[i]->pool == index_of(p);
    return n;
}

static void op_submit(void) {
    holder_pool *p = any_pool();
    sqlpool_submission submission;
    sqlpool_error e;
    ticket *t;
    text x;
    int rc;
    bool is_full;
    sweep_tickets();
    is_full = outstanding(p) >= p->config.submit_count;
    if (w.ticket_count == PENDING) return;
    t = (ticket *)calloc(1, sizeof *t);
    if (t == NULL) abort();
    w.tickets[w.ticket_count++] = t;
    t->pool = index_of(p);
    t->number = ++w.submitted;
    t->has_ticket = chance(50);
    memset(&submission, 0, sizeof submission);
    submission.done_fn = on_done;
    submission.user = t;
    submission.relaxed = chance(30);
    if (chance(70)) submission.wait_ms = SQLPOOL_NO_WAIT;
    if (chance(5)) {
        submission.timeout_ms = 1 + (int)roll(200);
        t->may_expire = true;
    }
    t->is_function = chance(25);
    note("pool %d submit %llu%s%s", t->pool, (unsigned long long)t->number,
         t->has_ticket ? " with ticket" : "", is_full ? ", full" : "");
    if (t->is_function) {
        job_draw(&t->job, false);
        rc = gave(sqlpool_submit_write(p->pool, &submission, t->has_ticket ? &t->ticket : NULL,
                                       job_fn, &t->job, &e));
    } else {
        t->job.works[0] = some_write(true);
        note("  %s", describe(&t->job.works[0]));
        sql_of(&t->job.works[0], &x);
        rc = gave(sqlpool_submit_with(p->pool, &submission, t->has_ticket ? &t->ticket : NULL,
                                      x.sql, x.args, x.count, &e));
    }
    if (error_agrees(rc, &e, "submit")) return;
    if (rc == SQLPOOL_OK) return;
    if (t->is_done) (void)fail("a submission was refused, and done");
    w.ticket_count--;
    if (w.tickets[w.ticket_count] != t) {
        (void)fail("the harness lost a submission");
        return;
    }
    free(t);
    if (is_blocked_code(rc) && is_full && write_may_wait(p)) {
        sums.blocked++;
    } else if (rc == SQLPOOL_WOULD_BLOCK || rc == SQLPOOL_TIMEOUT) {
        if (!is_full && !is_fault_code(rc))
            (void)fail("a queue of %d is full at %d: %s", p->config.submit_count, outstanding(p),
                       e.message);
    } else if (!is_fault_code(rc)) {
        (void)fail("submit gave %s (%d): %s", sqlpool_result_name(rc), rc, e.message);
    }
}

/*  The result that a ticket gives is what done_fn was told. */
static void ticket_judge(ticket *t, int rc, const sqlpool_result *result, const sqlpool_error *e) {
    t->has_ticket = false;
    if (!t->is_done) {
        (void)fail("ticket %llu gave %d before it was done", (unsigned long long)t->number, rc);
    } else if (rc != t->rc || e->outcome != t->outcome) {
        (void)fail("ticket %llu gave %d, outcome %d; done_fn was told %d, %d",
                   (unsigned long long)t->number, rc, e->outcome, t->rc, t->outcome);
    } else if (rc == SQLPOOL_OK && memcmp(result, &t->result, sizeof *result) != 0) {
        (void)fail("ticket %llu: another result than done_fn's", (unsigned long long)t->number);
    }
}
static void op_ticket(void) {
    holder_pool *p = any_pool();
    const uint64_t n = roll(100);
    sqlpool_error e;
    sqlpool_result result;
    ticket *t = NULL;
    int i, rc;
    sweep_tickets();
    if (n < 60) {
        for (i = 0; i < w.ticket_count && t == NULL; i++) {
            if (w.tickets[i]->has_ticket && chance(40)) t = w.tickets[i];
        }
        if (t == NULL) return;
        p = &w.pools[t->pool];
        memset(&result, 0, sizeof result);
    }
    if (n < 20) {
        const bool was_done = t->is_done;
        note("poll %llu", (unsigned long long)t->number);
        rc = gave(sqlpool_ticket_poll(&t->ticket, &result, &e));
        if (rc == SQLPOOL_WOULD_BLOCK && !was_done) return;
        ticket_judge(t, rc, &result, &e);
    } else if (n < 38) {
        note("wait %llu", (unsigned long long)t->number);
        if (p->writers_out > 0) return;
        rc = gave(sqlpool_ticket_wait(&t->ticket, chance(20) ? SQLPOOL_NO_WAIT : 0, &result, &e));
        if (rc == SQLPOOL_WOULD_BLOCK && !t->is_done) return;
        if (rc == SQLPOOL_MISUSE && !t->is_done && write_may_wait(p))
            return; /* it holds what it needs */
        ticket_judge(t, rc, &result, &e);
    } else if (n < 48) {
        const bool was_done = t->is_done;
        note("cancel %llu", (unsigned long long)t->number);
        t->is_cancelled = true;
        rc = gave(sqlpool_ticket_cancel(&t->ticket));
        if (rc == SQLPOOL_OK) {
            t->has_ticket = false;
            if (was_done) (void)fail("a submission that was done was cancelled");
            if (!t->is_done || t->rc != SQLPOOL_CANCELLED || t->job.runs > 0)
                (void)fail("cancelled: done %d, rc %d, %d runs", t->is_done, t->rc, t->job.runs);
        } else if (rc != SQLPOOL_TOO_LATE || !was_done) {
            (void)fail("ticket_cancel gave %d", rc);
        } else {
            t->is_cancelled = false;
        }
    } else if (n < 60) {
        note("drop %llu", (unsigned long long)t->number);
        rc = gave(sqlpool_ticket_drop(&t->ticket));
        if (rc != SQLPOOL_OK) (void)fail("ticket_drop gave %d", rc);
        t->has_ticket = false;
    } else if (n < 80) {
        note("pool %d flush", index_of(p));
        rc = gave(sqlpool_flush(p->pool, 0, &e));
        if (error_agrees(rc, &e, "flush")) return;
        if (rc == SQLPOOL_OK) {
            for (i = 0; i < w.ticket_count; i++) {
                if (w.tickets[i]->pool == index_of(p) && !w.tickets[i]->is_done)
                    (void)fail("flushed, and submission %llu is not done",
                               (unsigned long long)w.tickets[i]->number);
            }
        } else if (!(write_may_wait(p) && is_blocked_code(rc)) && !is_fault_code(rc)) {
            (void)fail("flush gave %s (%d): %s", sqlpool_result_name(rc), rc, e.message);
        }
    } else {
        note("pool %d sync", index_of(p));
        rc = gave(sqlpool_sync(p->pool, chance(50) ? 0 : p->sequence, 0, &e));
        if (error_agrees(rc, &e, "sync")) return;
        if (is_log_doubtful(rc)) return;
        if (!w.is_wal
                ? rc != SQLPOOL_UNSUPPORTED
                : rc != SQLPOOL_OK && !(all_out() > 0 && is_blocked_code(rc)) && !is_fault_code(rc))
            (void)fail("sync gave %s (%d): %s", sqlpool_result_name(rc), rc, e.message);
    }
    sweep_tickets();
}

/*---- loads ----*/

typedef struct load {
    work rows[24];
    bool refused[24];
    int pushed, told;
    bool has_name;
    int64_t begin;
    int conflict;
} load;

static int on_refused(void *user, int64_t row, const sqlpool_value *values,
                      const sqlpool_error *e) {
    load *l = (load *)user;
    (void)values;
    row -= l->begin;
    if (row < 0 || row >= l->pushed + 1) return fail("row %lld is refused", (long long)row);
    if ((e->result & 0xff) != SQLITE_CONSTRAINT && (e->result & 0xff) != SQLITE_ERROR)
        (void)fail("a row is refused with %d", e->result);
    l->refused[row] = true;
    return 0;
}
/*  The rows up to there, on every state that may be. */
static void load_rows(load *l, set *of, int from, int to) {
    int i, k, kept = 0;
    for (i = 0; i < of->count; i++) {
        static state s;
        bool fit = true;
        s = of->s[i];
        for (k = from; k < to && fit; k++) {
            predict(&s, &l->rows[k], &want);
            fit = (want.code != 0) == l->refused[k];
            if (!fit) note("  row %d: refused %d, the model says %d", k, l->refused[k], want.code);
        }
        if (l->has_name) s.load_next = l->begin + to;
        if (fit) of->s[kept++] = s;
    }
    of->count = kept;
}
static int on_progress(void *user, const sqlpool_bulk_progress *progress) {
    static set after;
    load *l = (load *)user;
    const int to = (int)(progress->next_row - l->begin);
    if (failed()) return 0;
    if (to < l->told || to > l->pushed + 1)
        return fail("progress is at row %d of %d", to, l->pushed);
    if (to == l->told) return 0;
    set_visible(&after);
    load_rows(l, &after, l->told, to);
    l->told = to;
    if (after.count == 0) return fail("a load: other rows are refused than the model says");
    base_becomes(&after, true);
    return 0;
}

static void op_load(void) {
    static const char *const columns[] = {"id", "v", "body"};
    static load l;
    holder_pool *p = any_pool();
    excuse why = write_excuse(p);
    sqlpool_bulk_config config;
    sqlpool_bulk_progress progress;
    sqlpool_bulk *bulk;
    sqlpool_error e;
    char table_name[4];
    const int t = (int)roll(TABLES), count = 1 + (int)roll(24);
    const bool abandons = chance(20);
    bool is_there;
    int i, rc, end;
    memset(&config, 0, sizeof config);
    memset(&l, 0, sizeof l);
    (void)snprintf(table_name, sizeof table_name, "t%d", t);
    l.conflict = (int)roll(3);
    l.has_name = chance(40);
    config.table = table_name;
    config.columns = columns;
    config.column_count = 3;
    config.conflict = l.conflict == C_IGNORE    ? SQLPOOL_CONFLICT_IGNORE
                      : l.conflict == C_REPLACE ? SQLPOOL_CONFLICT_REPLACE
                                                : SQLPOOL_CONFLICT_REFUSE;
    config.batch_bytes = chance(50) ? 1 + (int)roll(1500) : 0;
    config.batch_ms = chance(30) ? 1 : 1000000;
    config.relaxed = chance(40);
    config.name = l.has_name ? "load" : NULL;
    config.user = &l;
    config.refused_fn = on_refused;
    config.progress_fn = on_progress;
    if (w.in_doubt || w.base.count > 1) return;
    is_there = w.base.s[0].tables[t].is_there;
    note("pool %d load of t%d, %d rows, conflict %d%s%s", index_of(p), t, count, l.conflict,
         l.has_name ? ", with a name" : "", abandons ? ", abandoned" : "");
    rc = gave(sqlpool_bulk_begin(p->pool, &config, &bulk, &e));
    if (error_agrees(rc, &e, "bulk_begin")) return;
    if (rc != SQLPOOL_OK) {
        if (bulk != NULL) (void)fail("bulk_begin failed and gave a load");
        if (read_may_wait(p)) why.may_wait = true;
        if (!is_explained(rc, why) && !(rc > 0 && (rc & 0xff) == SQLITE_ERROR && !is_there))
            (void)fail("bulk_begin gave %s (%d): %s", sqlpool_result_name(rc), rc, e.message);
        return;
    }
    sums.loads++;
    if (!is_there) (void)fail("a load of a table that is not there begins");
    if (!is_there) {
        (void)sqlpool_bulk_abandon(bulk, NULL);
        return;
    }
    l.begin = sqlpool_bulk_next_row(bulk);
    if (l.begin != (l.has_name ? w.base.s[0].load_next : 0))
        (void)fail("a load begins at row %lld, the model says %lld", (long long)l.begin,
                   (long long)w.base.s[0].load_next);
    for (i = 0; i < count && rc == SQLPOOL_OK && !failed(); i++) {
        work *o = &l.rows[i];
        o->kind = W_INSERT;
        o->t = t;
        o->count = 1;
        o->conflict = l.conflict;
        o->key[0] = (int64_t)roll(KEYS);
        o->v[0] = some_v();
        o->body[0] = some_body();
        note("  row %d: %s", i, describe(o));
        rc = gave(sqlpool_bulk_row(
            bulk,
            SQLPOOL_ARGS(o->key[0], o->v[0],
                         SQLPOOL_BLOB(bodies[o->body[0]].data, (size_t)bodies[o->body[0]].bytes)),
            &e));
        l.pushed = i + 1;
        if (rc == SQLPOOL_OK && chance(5) && w.base.count == 1 && !w.is_faulty) {
            work other = some_write(true);
            text x;
            sqlpool_result result;
            sqlpool_error other_e;
            int other_rc;
            sql_of(&other, &x);
            note("  between: %s", describe(&other));
            other_rc =
                gave(sqlpool_exec_with(p->pool, NULL, &result, x.sql, x.args, x.count, &other_e));
            write_judge(&other, other_rc, other_e.outcome, &result, NULL, why,
                        "exec beside a load");
        }
    }
    memset(&progress, 0, sizeof progress);
    if (abandons) {
        end = gave(sqlpool_bulk_abandon(bulk, &progress));
        if (end != SQLPOOL_OK) (void)fail("bulk_abandon gave %d", end);
    } else {
        end = gave(sqlpool_bulk_end(bulk, &progress, &e));
        if (rc != SQLPOOL_OK && end != rc) (void)fail("bulk_row gave %d, bulk_end %d", rc, end);
        rc = end;
    }
    if (failed()) return;
    if (rc != SQLPOOL_OK && !is_explained(rc, why) && !is_log_doubtful(rc))
        (void)fail("a load gave %s (%d): %s", sqlpool_result_name(rc), rc, e.message);
    if (rc == SQLPOOL_OK && !abandons && progress.next_row != l.begin + l.pushed)
        (void)fail("a load of %d rows ended at %lld", l.pushed,
                   (long long)(progress.next_row - l.begin));
    if (progress.next_row - l.begin < l.told)
        (void)fail("a load told row %d, and ends at %lld", l.told,
                   (long long)(progress.next_row - l.begin));
    if (progress.next_row - l.begin > l.told) {
        static set after;
        set_visible(&after);
        load_rows(&l, &after, l.told, (int)(progress.next_row - l.begin));
        l.told = (int)(progress.next_row - l.begin);
        if (after.count == 0)
            (void)fail("the end of a load: other rows are refused than the model says");
        else
            base_becomes(&after, true);
    }
    if (rc != SQLPOOL_OK && e.outcome == SQLPOOL_OUTCOME_UNKNOWN) {
        static set after, all; /* a part of what is left may be there as well */
        all.count = 0;
        for (i = l.told + 1; i <= l.pushed; i++) {
            int k;
            set_visible(&after);
            for (k = l.told; k < i; k++) l.refused[k] = false;
            for (k = 0; k < after.count; k++) {
                int r;
                for (r = l.told; r < i; r++) predict(&after.s[k], &l.rows[r], &want);
                if (l.has_name) after.s[k].load_next = l.begin + i;
            }
            if (all.count + after.count < MOST - 2) set_join(&all, &after);
        }
        if (all.count > 0) base_may_become(&all);
    }
    if (l.has_name && !abandons &&
        (rc == SQLPOOL_OK || w.is_faulty ||
         w.had_sync_fault)) { /* an end forgets the place, in a transaction of its own */
        static set after;
        int k;
        set_visible(&after);
        for (k = 0; k < after.count; k++) after.s[k].load_next = 0;
        if (rc == SQLPOOL_OK) {
            base_becomes(&after, true);
        } else {
            base_may_become(&after);
        }
    }
}

/*---- control ----*/

/*  The pools here have no upkeep thread, whose place the loop takes; snapshots are kept all the
    same, as in a pool that has one. */
static void keep_snapshots(holder_pool *p) {
    sqlpool__core *core = p->pool->core;
    uint32_t i;
    if (p->config.snapshot_idle_ms <= 0) return;
    core->config.snapshot_idle_ms = p->config.snapshot_idle_ms;
    for (i = 0; i + 1 < core->slot_count; i++) {
        sqlpool__slot *slot = &core->slots[i];
        slot->may_pin = slot->stamp_map != NULL && slot->role == SQLPOOL__ROLE_READER;
    }
}

static void arm_fault(void) {
    w.is_faulty = true;
    w.settle_in = 1 + (int)roll(25);
    if (chance(25)) {
        w.has_alloc_fault = true;
        sums.alloc_faults += sim_alloc.failed;
        if (chance(30)) {
            sim_alloc_fail_some(1 + roll(80), 1 + roll(20));
        } else {
            sim_alloc_fail(1 + roll(150), chance(15));
        }
        note("memory fails at request %llu%s", (unsigned long long)sim_alloc.fail_at,
             sim_alloc.fail_from_on ? " and on" : "");
    } else {
        static const int kinds[] = {SIM_VFS_WRITE,    SIM_VFS_WRITE,     SIM_VFS_READ,
                                    SIM_VFS_SYNC,     SIM_VFS_LOCK,      SIM_VFS_OPEN,
                                    SIM_VFS_TRUNCATE, SIM_VFS_FILE_SIZE, SIM_VFS_SHM_LOCK,
                                    SIM_VFS_SHM_MAP,  SIM_VFS_DELETE,    SIM_VFS_ACCESS};
        static const int codes[] = {0, SQLITE_FULL, SQLITE_BUSY, SQLITE_CANTOPEN};
        sim_vfs_fault fault;
        memset(&fault, 0, sizeof fault);
        fault.kind = chance(10) ? (int)SIM_VFS_ANY : kinds[roll(sizeof kinds / sizeof kinds[0])];
        fault.code = codes[roll(4)];
        if (fault.kind == SIM_VFS_ANY || !sim_vfs_code_fits(fault.kind, fault.code)) fault.code = 0;
        fault.at = 1 + roll(fault.kind == SIM_VFS_SHM_LOCK || fault.kind == SIM_VFS_READ ? 40 : 5);
        if (chance(15)) fault.kind = SIM_VFS_SYNC;
        fault.from_on = chance(fault.kind == SIM_VFS_SYNC ? 60 : 30);
        fault.cut_writes = chance(50);
        w.primaries |= sim_vfs.primaries;
        w.had_sync_fault =
            w.had_sync_fault || fault.kind == SIM_VFS_SYNC || fault.kind == SIM_VFS_ANY;
        sums.vfs_faults += sim_vfs.faults;
        sim_vfs_arm(fault);
        note("disk: %s fails at %llu%s with %d", sim_vfs_kind_name(fault.kind),
             (unsigned long long)fault.at, fault.from_on ? " and on" : "", fault.code);
    }
}
static void heal(void) {
    sim_vfs_heal();
    sim_alloc_heal();
    w.primaries |= sim_vfs.primaries;
}

/*  All faults are over: everything must work again, and what was in doubt be resolved. */
static void settle(void) {
    work o;
    answer *got = (answer *)malloc(sizeof *got);
    int i, t, tries, rc;
    note("settle, %d states, %d ghosts", w.base.count, w.in_doubt ? w.ghosts.count : 0);
    if (got == NULL) abort();
    heal();
    sums.settles++;
    release_all();
    for (i = 0; i < w.pool_count && !failed(); i++) {
        sim_clock_advance(&w.clock, INT64_C(20000000000));
        (void)sqlpool_tick(w.pools[i].pool, 1000000);
    }
    for (i = 0; i < w.pool_count && !failed(); i++) {
        for (t = 0; t < TABLES + 1 && !failed(); t++) {
            sqlpool_error e;
            memset(&o, 0, sizeof o);
            o.kind = t == TABLES ? R_SCHEMA : R_SCAN;
            o.t = t;
            for (tries = 0; tries < 4; tries++) {
                text x;
                sqlpool_rows rows;
                sql_of(&o, &x);
                got->items = 0;
                rc = sqlpool_query(w.pools[i].pool, &rows, x.sql, x.args, x.count, &e);
                while (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) take_row(&rows, &o, got);
                rc = sqlpool_rows_close(&rows, rc == SQLPOOL_OK ? &e : NULL);
                if (rc == SQLPOOL_OK || (rc & 0xff) == SQLITE_ERROR) break;
                sim_clock_advance(&w.clock, INT64_C(5000000000));
            }
            (void)gave(rc);
            if (rc < 0 || (rc > 0 && (rc & 0xff) != SQLITE_ERROR)) {
                (void)fail("after the faults, pool %d: %s: %s", i, describe(&o), e.message);
            } else {
                base_read(&o, rc, got, true, "after the faults");
            }
        }
        if (!failed() && !w.pools[i].config.read_only) { /* and a write commits */
            sqlpool_error e;
            rc = SQLPOOL_OK;
            for (tries = 0; tries < 4; tries++) {
                rc = gave(sqlpool_exec(w.pools[i].pool, "UPDATE mark SET x = x + 1",
                                       SQLPOOL_NO_ARGS, &e));
                if (rc == SQLPOOL_OK) break;
                sim_clock_advance(&w.clock, INT64_C(5000000000));
            }
            if (rc != SQLPOOL_OK)
                (void)fail("after the faults, pool %d: a write gave %s: %s", i,
                           sqlpool_result_name(rc), e.message);
        }
    }
    free(got);
    /* states that differ in nothing that the reads show */
    if (!failed() && w.base.count > 1) {
        int64_t next = 0;
        const int first = w.base.count;
        sqlpool_error e;
        rc = sqlpool_query_int64(w.pools[0].pool, &next,
                                 "SELECT coalesce((SELECT max(row) FROM sqlpool_bulk), 0)",
                                 SQLPOOL_NO_ARGS, &e);
        if (rc != SQLPOOL_OK) next = 0;
        for (i = t = 0; i < first; i++) {
            if (w.base.s[i].load_next == next) w.base.s[t++] = w.base.s[i];
        }
        if (t == 0) (void)fail("the place of a load is %lld", (long long)next);
        w.base.count = t > 0 ? 1 : w.base.count;
    }
    w.is_faulty = w.has_alloc_fault = false;
    w.primaries = 0;
    sim_vfs.primaries = 0;
    w.settle_in = 0;
    for (i = 0; i < w.pool_count && !failed(); i++) keep_snapshots(&w.pools[i]);
}

static int in_exclusive(sqlpool_conn *conn, void *user) {
    (void)conn;
    ++*(int *)user;
    return 4711;
}
static void op_control(void) {
    holder_pool *p = any_pool();
    const int out = p->readers_out + p->writers_out, least = out - p->cursors_out;
    const uint64_t n = roll(100);
    sqlpool_error e;
    int rc, i;
    memset(&e, 0, sizeof e);
    if (n < 20) {
        const bool truncates = chance(40);
        sqlpool_checkpoint_result result;
        note("pool %d checkpoint%s", index_of(p), truncates ? ", truncate" : "");
        rc = gave(sqlpool_checkpoint(
            p->pool, truncates ? SQLPOOL_CHECKPOINT_TRUNCATE : SQLPOOL_CHECKPOINT_PASSIVE, &result,
            &e));
        if (error_agrees(rc, &e, "checkpoint")) return;
        if (!w.is_wal ? rc == SQLPOOL_UNSUPPORTED : rc == SQLPOOL_OK) return;
        if (is_blocked_code(rc) && (all_out() > 0 || (truncates && w.pool_count > 1))) return;
        if (!is_fault_code(rc))
            (void)fail("checkpoint gave %s (%d): %s", sqlpool_result_name(rc), rc, e.message);
    } else if (n < 24) {
        note("pool %d recycle", index_of(p));
        rc = gave(sqlpool_recycle(p->pool));
        if (rc != SQLPOOL_OK && !is_fault_code(rc) && !(write_may_wait(p) && is_blocked_code(rc)))
            (void)fail("recycle gave %s (%d)", sqlpool_result_name(rc), rc);
        for (i = 0; i < LEASES; i++)
            w.leases[i].is_suspect = w.leases[i].is_suspect || rc != SQLPOOL_OK;
        keep_snapshots(p);
    } else if (n < 30) {
        note("pool %d pause", index_of(p));
        rc = gave(sqlpool_pause(p->pool, 10, &e));
        if (error_agrees(rc, &e, "pause")) return;
        if (rc == SQLPOOL_OK ? least > 0
                             : out == 0 || (rc != SQLPOOL_MISUSE && rc != SQLPOOL_TIMEOUT))
            (void)fail("pause with %d out gave %s", out, sqlpool_result_name(rc));
        if (rc == SQLPOOL_OK) {
            int64_t value;
            rc = gave(sqlpool_query_int64(p->pool, &value, "SELECT 1", SQLPOOL_NO_ARGS, &e));
            if (rc == SQLPOOL_OK) (void)fail("a read ran in a pause");
            rc = gave(sqlpool_resume(p->pool));
            if (rc != SQLPOOL_OK) (void)fail("resume gave %d", rc);
        } else if (sqlpool_resume(p->pool) != SQLPOOL_MISUSE) {
            (void)fail("resume without a pause");
        }
    } else if (n < 35) {
        int runs = 0;
        note("pool %d exclusive", index_of(p));
        rc = gave(sqlpool_exclusive(p->pool, 10, in_exclusive, &runs, &e));
        if (rc == 4711 ? runs != 1 || least > 0 : runs != 0)
            (void)fail("exclusive gave %d, %d runs, %d out", rc, runs, out);
        if (rc != 4711 && out == 0 && !is_fault_code(rc) && !(writes_open() && is_blocked_code(rc)))
            (void)fail("exclusive gave %s: %s", sqlpool_result_name(rc), e.message);
    } else if (n < 60) {
        note("pool %d tick", index_of(p));
        rc = gave(sqlpool_tick(p->pool, chance(50) ? 0 : 1000000));
        if (rc != SQLPOOL_OK && !is_fault_code(rc)) (void)fail("tick gave %d", rc);
    } else if (n < 85) {
        static const int64_t far[] = {1000,       1000000,     60000000,
                                      2000000000, 90000000000, INT64_C(86400000000000)};
        int64_t jump = far[roll(6)] * (int64_t)(1 + roll(5));
        if (chance(30)) jump = -jump;
        if (w.clock.now_ns + jump < 1000) jump = 1000 - w.clock.now_ns;
        note("time jumps by %lld us", (long long)(jump / 1000));
        sim_clock_advance(&w.clock, jump);
        sums.jumps++;
        for (i = 0; i < LEASES; i++) w.leases[i].may_age = w.leases[i].in_scope;
    } else if (n < 97) {
        const uint64_t seen = w.commits;
        note("pool %d changed", index_of(p));
        rc = gave(sqlpool_changed(p->pool, &p->stamp));
        if (rc == 0 && p->has_stamp && seen != p->stamp_at && w.base.count == 1)
            (void)fail("%llu commits, and nothing has changed",
                       (unsigned long long)(seen - p->stamp_at));
        if (rc != 0 && rc != 1 && rc != SQLPOOL_UNSUPPORTED) (void)fail("changed gave %d", rc);
        if (rc == 0 && !p->has_stamp) (void)fail("changed gave 0 at the first call");
        p->has_stamp = rc == 0 || rc == 1;
        p->stamp_at = seen;
    } else {
        sqlpool_stats stats;
        char status[6000];
        note("pool %d reports", index_of(p));
        rc = gave(sqlpool_get_stats(p->pool, &stats));
        if (rc != SQLPOOL_OK || stats.used > out || stats.used < least)
            (void)fail("stats: %d, used %d, out %d", rc, stats.used, out);
        rc = sqlpool_holders(p->pool, NULL, 0);
        if (rc < least || rc > out) (void)fail("%d holders, %d out", rc, out);
        if (sqlpool_status_json(p->pool, status, sizeof status) <= 0) (void)fail("status_json");
    }
}

/*  A file through a plain connection. */
static void check_file(const char *name, const char *how) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement;
    static answer got;
    int t, rc;
    work o;
    rc = sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE, "ram");
    if (rc == SQLITE_OK && sim_plain_integrity(db, w.why, sizeof w.why)) {
        (void)sqlite3_close(db);
        return;
    }
    for (t = 0; t < TABLES + 1 && rc == SQLITE_OK && how != NULL; t++) {
        text x;
        memset(&o, 0, sizeof o);
        o.kind = t == TABLES ? R_SCHEMA : R_SCAN;
        o.t = t;
        sql_of(&o, &x);
        got.items = 0;
        rc = sqlite3_prepare_v2(db, x.sql, -1, &statement, NULL);
        if (rc == SQLITE_OK) {
            while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
                (void)take_stmt_row(statement, &o, &got);
            rc = sqlite3_finalize(statement);
        }
        base_read(&o, rc, &got, true, how);
        if (rc == SQLITE_ERROR) rc = SQLITE_OK;
    }
    if (rc != SQLITE_OK) (void)fail("%s: %s", how, sqlite3_errmsg(db));
    (void)sqlite3_close(db);
}

/*---- what looks after the file ----*/

static const char *const copy_path = "copy.db", *const backup_path = "backup.db";

static int count_bytes(void *user, const char *data, size_t bytes) {
    (void)data;
    *(size_t *)user += bytes;
    return 0;
}
static int count_object(void *user, const sqlpool_object_size *object) {
    *(int64_t *)user += object->pages;
    return 0;
}
static int task_fn(sqlpool *pool, const sqlpool_maintenance *options, void *user,
                   sqlpool_error *error) {
    (void)user;
    return sqlpool_check(pool, SQLPOOL_CHECK_QUICK, NULL, options, NULL, error);
}
static void ram_remove(const char *name) {
    (void)memory_delete(NULL, name, 0);
}
static sqlpool_backup_config ram_backup_config(void) {
    sqlpool_backup_config config;
    memset(&config, 0, sizeof config);
    config.keep = chance(30) ? 2 : 1;
    config.step_pages = chance(30) ? 1 + (int)roll(5) : 0;
    config.files.create_fn = ram_create;
    config.files.look_fn = ram_look;
    config.files.rename_fn = ram_rename;
    config.files.link_fn = ram_link;
    config.files.sync_folder_fn = ram_sync_folder;
    return config;
}
/*  What writes here looks with a reader first. */
static excuse care_excuse(const holder_pool *p) {
    excuse why = write_excuse(p);
    why.may_wait = why.may_wait || read_may_wait(p);
    return why;
}
/*  None of these changes what the tables hold: OK, or a reason why not. */
static bool care_judge(int rc, const sqlpool_error *e, excuse why, const char *what) {
    if (error_agrees(rc, e, what) || rc == SQLPOOL_OK) return rc == SQLPOOL_OK;
    if (!is_explained(rc, why))
        (void)fail("%s gave %s (%d): %s", what, sqlpool_result_name(rc), rc, e->message);
    return false;
}

static void op_copy(holder_pool *p) {
    sqlpool_error e;
    int rc;
    note("pool %d vacuum_into", index_of(p));
    rc = gave(sqlpool_vacuum_into(p->pool, copy_path, NULL, &e));
    /* SQLite's word for a new file whose size it cannot learn */
    if (w.is_faulty && rc == SQLITE_ERROR && strstr(e.message, "output file already exists")) {
        if (memory_find(copy_path) != NULL) (void)fail("vacuum_into left its file");
    } else if (care_judge(rc, &e, read_excuse(p), "vacuum_into")) {
        sums.copies++;
        if (!w.is_faulty) check_file(copy_path, "the copy");
    } else if (!w.is_faulty && memory_find(copy_path) != NULL) {
        (void)fail("vacuum_into gave %s and left its file", sqlpool_result_name(rc));
    }
    ram_remove(copy_path);
    ram_remove("copy.db-journal");
}

static void op_backup(holder_pool *p) {
    const sqlpool_backup_config config = ram_backup_config();
    sqlpool_backup_info info;
    sqlpool_error e;
    int rc;
    note("pool %d backup", index_of(p));
    rc = gave(sqlpool_backup(p->pool, backup_path, &config, NULL, &info, &e));
    if (care_judge(rc, &e, read_excuse(p), "backup")) {
        set_copy(&w.backup, &w.base);
        w.has_backup = true;
        sums.backups++;
    }
    if (!w.has_backup && rc != SQLPOOL_OK && memory_find(backup_path) != NULL)
        (void)fail("a backup that failed is there");
    if (!w.has_backup || failed()) return;
    note("pool %d verify", index_of(p));
    rc = gave(sqlpool_backup_verify(p->pool, backup_path, &config, NULL, &info, &e));
    (void)care_judge(rc, &e, read_excuse(p), "verify");
}

/*  With one pool, which has the file for itself. */
static void op_restore(holder_pool *p) {
    const sqlpool_backup_config config = ram_backup_config();
    sqlpool_backup_info info;
    sqlpool_error e;
    excuse why = {false, false, false, false};
    int rc;
    if (!w.has_backup || w.pool_count != 1) return;
    if (chance(80)) {
        release_all();
        (void)gave(sqlpool_flush(p->pool, 1000, NULL));
    }
    if (is_any_queued() || w.settle_in == 1) return; /* it is to be read before it is replaced */
    why.may_wait = all_out() > 0;
    note("restore");
    memset(&info, 0, sizeof info);
    rc = gave(sqlpool_restore(p->pool, backup_path, &config, NULL, &info, &e));
    if (care_judge(rc, &e, why, "restore")) {
        if (all_out() > p->cursors_out) (void)fail("restored with %d leases out", all_out());
        sums.restores++;
    }
    if (rc == SQLPOOL_OK || strstr(e.message, "was replaced, but") != NULL) {
        set_copy(&w.base, &w.backup);
        w.ghosts.count = 0;
        w.in_doubt = false;
        w.commits++;
        keep_snapshots(p);
    }
    if (info.kept[0] != '\0') ram_remove(info.kept);
}

static void op_schedule(holder_pool *p) {
    sqlpool_task tasks[4];
    sqlpool_schedule_config config;
    sqlpool_task_state states[4];
    sqlpool_error e;
    const excuse why = care_excuse(p);
    int i, rc;
    memset(tasks, 0, sizeof tasks);
    memset(&config, 0, sizeof config);
    for (i = 0; i < 4; i++) tasks[i].interval_s = 1 + (int64_t)roll(100000);
    tasks[0].name = "call";
    tasks[0].fn = task_fn;
    tasks[1].name = "optimize";
    tasks[1].kind = SQLPOOL_TASK_OPTIMIZE;
    tasks[2].name = "check";
    tasks[2].kind = SQLPOOL_TASK_INTEGRITY_CHECK;
    tasks[3].name = "vacuum";
    tasks[3].kind = SQLPOOL_TASK_INCREMENTAL_VACUUM;
    config.tasks = tasks;
    config.count = 4;
    config.keep_state = chance(40);
    note("pool %d schedule%s", index_of(p), config.keep_state ? ", kept" : "");
    rc = gave(sqlpool_schedule(p->pool, chance(20) ? NULL : &config, &e));
    if (!care_judge(rc, &e, why, "schedule")) return;
    rc = sqlpool_schedule_state(p->pool, states, 4);
    if (rc != 0 && rc != 4) (void)fail("%d tasks", rc);
    if (rc == 0 || chance(50)) return;
    note("pool %d schedule_run", index_of(p));
    rc = gave(sqlpool_schedule_run(p->pool, tasks[roll(4)].name, &e));
    if (rc != SQLPOOL_UNSUPPORTED) (void)care_judge(rc, &e, why, "schedule_run");
}

static void op_care(void) {
    holder_pool *p = any_pool();
    const uint64_t n = roll(100);
    sqlpool_error e;
    int rc;
    memset(&e, 0, sizeof e);
    sums.cares++;
    if (n < 10) {
        note("pool %d optimize", index_of(p));
        rc = gave(sqlpool_optimize(p->pool, NULL, NULL, &e));
        (void)care_judge(rc, &e, care_excuse(p), "optimize");
    } else if (n < 18) {
        note("pool %d analyze", index_of(p));
        rc = gave(sqlpool_analyze(p->pool, NULL, chance(50) ? 0 : 100, NULL, &e));
        (void)care_judge(rc, &e, care_excuse(p), "analyze");
    } else if (n < 26) {
        const int mode = (int)roll(4);
        note("pool %d vacuum %d", index_of(p), mode);
        rc = gave(sqlpool_vacuum(p->pool, mode, NULL, &e));
        (void)care_judge(rc, &e, care_excuse(p), "vacuum");
    } else if (n < 32) {
        int64_t freed = 0;
        note("pool %d incremental_vacuum", index_of(p));
        rc = gave(sqlpool_incremental_vacuum(p->pool, (int64_t)roll(5), NULL, &freed, &e));
        if (rc != SQLPOOL_UNSUPPORTED)
            (void)care_judge(rc, &e, care_excuse(p), "incremental_vacuum");
    } else if (n < 38) {
        note("pool %d reindex", index_of(p));
        rc = gave(sqlpool_reindex(p->pool, NULL, NULL, &e));
        (void)care_judge(rc, &e, care_excuse(p), "reindex");
    } else if (n < 48) {
        sqlpool_check_result found;
        const int kind = (int)roll(3);
        note("pool %d check %d", index_of(p), kind);
        rc = gave(sqlpool_check(p->pool, kind, NULL, NULL, &found, &e));
        /* of a page that it could not read SQLite does not always say why */
        if (w.is_faulty && (rc & 0xff) == SQLITE_CORRUPT && rc > 0 &&
            (strstr(found.text, "ailed to get page") || strstr(found.text, "ailed to read ptrmap")))
            return;
        (void)care_judge(rc, &e, read_excuse(p), "check");
        if (rc == SQLPOOL_OK && found.problems != 0) (void)fail("check: %s", found.text);
    } else if (n < 52) {
        int64_t pages = 0;
        note("pool %d object_sizes", index_of(p));
        rc = gave(sqlpool_object_sizes(p->pool, count_object, &pages, NULL, &e));
        if (care_judge(rc, &e, read_excuse(p), "object_sizes") && pages == 0)
            (void)fail("object_sizes: no pages");
    } else if (n < 55) {
        sqlpool_sizes sizes;
        note("pool %d sizes", index_of(p));
        rc = gave(sqlpool_get_sizes(p->pool, &sizes, &e));
        if (care_judge(rc, &e, read_excuse(p), "sizes") && sizes.pages < 1) (void)fail("sizes");
    } else if (n < 65) {
        op_copy(p);
    } else if (n < 76) {
        op_backup(p);
    } else if (n < 84) {
        op_restore(p);
    } else if (n < 90) {
        op_schedule(p);
    } else {
        const sqlpool_report_format format =
            (sqlpool_report_format)roll(SQLPOOL_REPORT_FORMAT_COUNT);
        size_t bytes = 0;
        note("pool %d report %d", index_of(p), (int)format);
        rc = gave(sqlpool_report(p->pool, format, count_bytes, &bytes, &e));
        if (care_judge(rc, &e, read_excuse(p), "report") && bytes < 100) (void)fail("report");
    }
}

/*  What is refused without being run. */
static void op_misuse(void) {
    static const struct {
        const char *sql;
        int args, expected;
    } cases[] = {{"", 0, SQLPOOL_EMPTY},
                 {"SELECT 1; SELECT 2", 0, SQLPOOL_TRAILING},
                 {"SELECT ?", 0, SQLPOOL_ARGUMENTS},
                 {"BEGIN", 0, SQLPOOL_REFUSED},
                 {"PRAGMA journal_mode = DELETE", 0, SQLPOOL_REFUSED},
                 {"SELEC", 0, SQLITE_ERROR},
                 {"INSERT INTO mark VALUES(?)", 0, SQLPOOL_ARGUMENTS}};
    const int n = (int)roll(sizeof cases / sizeof cases[0]);
    holder_pool *p = any_pool();
    excuse why = {false, false, false, false};
    sqlpool_error e;
    const int rc = (note("pool %d \"%s\"", index_of(p), cases[n].sql),
                    gave(sqlpool_exec(p->pool, cases[n].sql, SQLPOOL_NO_ARGS, &e)));
    if (error_agrees(rc, &e, "exec")) return;
    why.may_wait = read_may_wait(p) || write_may_wait(p);
    if (rc != cases[n].expected && !(rc != 0 && is_explained(rc, why)))
        (void)fail("\"%s\" gave %s: %s", cases[n].sql, sqlpool_result_name(rc), e.message);
}

/*---- opening and closing ----*/

static int64_t sqlite_memory_base = -1;

static void on_log(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)user;
    (void)level;
    if (item == SQLPOOL_LOG_MISUSE || !is_traced) return;
    printf("# log: %s\n", message);
}

static void draw_config(holder_pool *p) {
    sqlpool_config *c = &p->config;
    static const int counts[] = {1, 2, 5, 100};
    memset(c, 0, sizeof *c);
    c->name = p == &w.pools[0] ? "a" : "b";
    c->vfs_name = "sim";
    c->max_connections = chance(12) ? 1 : 2 + (int)roll(3);
    c->min_connections = 1 + (int)roll((uint64_t)c->max_connections);
    c->reserve_connections = SQLPOOL_OFF;
    c->topology = w.is_general ? SQLPOOL_TOPOLOGY_GENERAL : SQLPOOL_TOPOLOGY_WRITER_READERS;
    c->acquire_timeout_ms = 20;
    c->close_timeout_ms = 50;
    c->open_timeout_ms = 50;
    c->open_retry_ms = 20;
    c->idle_timeout_ms = chance(50) ? 1000 : 0;
    c->max_lifetime_ms = chance(20) ? 5000 : 0;
    c->snapshot_idle_ms = chance(80) ? 50 : SQLPOOL_OFF;
    c->retry_preset = (int)roll(4);
    c->breaker_open_ms = chance(50) ? SQLPOOL_OFF : 0;
    c->group_count = chance(20) ? SQLPOOL_OFF : chance(40) ? 2 : 0;
    c->submit_count = 4 + (int)roll(40);
    c->statement_cache_count = counts[roll(4)];
    c->journal = w.is_wal ? SQLPOOL_JOURNAL_WAL : w.pools[0].config.journal;
    c->synchronous = chance(40) ? SQLPOOL_SYNCHRONOUS_FULL : (int)roll(4);
    c->page_cache_kib = chance(20) ? 64 : 1024;
    c->wal_budget_bytes = chance(40) ? 65536 : 1000000;
    c->disable_upkeep_thread = true;
    c->allocator = sim_allocator();
    c->clock = sim_clock_hooks(&w.clock);
    c->random = sim_random_hooks(&w.random);
    c->locks = sim_locks_hooks(&w.locks);
    c->log.write_fn = on_log;
}

static void open_pools(void) {
    int i, tries, rc;
    sqlpool_error e;
    for (i = 0; i < w.pool_count && !failed(); i++) {
        holder_pool *p = &w.pools[i];
        p->sequence = 0;
        p->readers_out = p->writers_out = 0;
        p->has_stamp = false;
        memset(&p->stamp, 0, sizeof p->stamp);
        for (tries = 0; tries < 2; tries++) {
            note("open pool %d", i);
            rc = gave(sqlpool_open(&p->pool, path, &p->config, &e));
            sums.opens++;
            if (rc == SQLPOOL_OK) break;
            if (p->pool != NULL) (void)fail("open failed and gave a pool");
            if (!is_fault_code(rc)) break;
            heal();
            sim_clock_advance(&w.clock, 1000000000);
        }
        if (rc != SQLPOOL_OK) {
            (void)fail("open gave %s (%d): %s", sqlpool_result_name(rc), rc, e.message);
            return;
        }
        keep_snapshots(p);
    }
}

static void close_pools(void) {
    char why[400];
    sqlpool_error e;
    bool gave_up;
    int i, rc, tries;
    if (!failed() && chance(20)) {
        for (i = 0; i < w.pool_count; i++) {
            if (w.pools[i].readers_out + w.pools[i].writers_out == w.pools[i].cursors_out) continue;
            note("close pool %d with leases out", i);
            rc = gave(sqlpool_close(w.pools[i].pool, &e));
            if (rc != SQLPOOL_MISUSE) (void)fail("close with leases out gave %d", rc);
        }
    }
    release_all();
    for (i = 0; i < w.pool_count; i++) {
        note("close pool %d", i);
        for (tries = 0; tries < 3; tries++) {
            rc = gave(sqlpool_close(w.pools[i].pool, &e));
            if (rc == SQLPOOL_OK) break;
            if (!is_fault_code(rc))
                (void)fail("close gave %s (%d): %s", sqlpool_result_name(rc), rc, e.message);
            heal();
            sim_clock_advance(&w.clock, INT64_C(5000000000));
        }
        if (rc != SQLPOOL_OK)
            (void)fail("close gave %s again: %s", sqlpool_result_name(rc), e.message);
        w.pools[i].pool = NULL;
    }
    for (i = 0; i < w.ticket_count; i++) {
        if (!w.tickets[i]->is_done)
            (void)fail("closed, and submission %llu was never told",
                       (unsigned long long)w.tickets[i]->number);
        free(w.tickets[i]);
    }
    w.ticket_count = 0;
    heal();
    gave_up = w.gives_up;
    w.gives_up = false;
    if (failed()) return;
    if (sim_vfs.open_files != 0) (void)fail("%d files were left open", sim_vfs.open_files);
    if (sim_alloc_check(why, sizeof why)) (void)fail("%s", why);
    if (sim_locks_check(&w.locks, why, sizeof why)) (void)fail("%s", why);
    if (sqlite_memory_base >= 0 && sim_alloc.live_bytes[SIM_DOOR_SQLITE] != sqlite_memory_base)
        (void)fail("SQLite holds %lld bytes more than before",
                   (long long)(sim_alloc.live_bytes[SIM_DOOR_SQLITE] - sqlite_memory_base));
    if (!failed()) check_file(path, gave_up ? NULL : "the file, after the close");
    w.gives_up = gave_up;
    sums.adopted += gave_up;
    w.is_faulty = w.has_alloc_fault = false;
    w.primaries = 0;
    sim_vfs.primaries = 0;
    w.settle_in = 0;
    if (w.base.count == 1) w.in_doubt = false;
}

/*---- an episode ----*/

static void op_any(void) {
    const uint64_t n = roll(1000);
    if (n < 420) {
        op_read();
    } else if (n < 600) {
        op_write();
    } else if (n < 625) {
        op_returning();
    } else if (n < 675) {
        op_job();
    } else if (n < 690) {
        op_script();
    } else if (n < 810) {
        op_lease();
    } else if (n < 860) {
        op_cursor();
    } else if (n < 905) {
        op_submit();
    } else if (n < 945) {
        op_ticket();
    } else if (n < 952) {
        op_load();
    } else if (n < 978) {
        op_control();
    } else if (n < 983) {
        op_care();
    } else if (n < 990) {
        op_misuse();
    } else if (n < 998) {
        if (w.has_faults) {
            arm_fault();
        } else {
            release_all();
        }
    } else if (chance(30)) {
        close_pools();
        if (!failed()) open_pools();
    } else {
        release_all();
    }
}

static bool no_faults;

static int episode(uint64_t seed, uint64_t steps, const char *control) {
    int i;
    uint64_t blocked;
    bool is_open = true;
    state empty;
    sqlpool_error e;
    memset(&w, 0, sizeof w);
    w.seed = sim_alloc.seed = sim_vfs.seed = seed;
    w.random.state = seed; /* neighbouring seeds give streams that are not each other's tails */
    w.dice.state = sim_random_next(&w.random) * 0xff51afd7ed558ccdu;
    w.random.state = seed;
    w.clock.step_ns = 1000;
    w.clock.now_ns = INT64_C(1000000000000);
    w.locks.clock = &w.clock;
    w.locks.solo = 1;
    w.locks.seed = seed;
    w.steps = steps;
    w.hash = 0xcbf29ce484222325u;
    w.control_forget = control != NULL && strcmp(control, "forget") == 0;
    unique_v = 0;
    memory_clear();
    memory.random = seed;
    sqlite3_randomness(0, NULL); /* SQLite's own begin anew from the VFS's */
    sim_alloc_fail(0, 0);
    {
        const sim_vfs_fault none = {0, SIM_VFS_ANY, 0, 0, 0};
        sim_vfs_arm(none);
    }
    (void)snprintf(sim_replay, sizeof sim_replay, "SIM_SEED=%llu model one %llu",
                   (unsigned long long)seed, (unsigned long long)steps);
    w.is_wal = chance(75);
    w.is_general = chance(10);
    w.pool_count = chance(35) ? 2 : 1;
    w.has_faults = chance(60) && !no_faults;
    w.pools[0].config.journal = 1 + (int)roll(3);
    for (i = 0; i < w.pool_count; i++) {
        const int journal = w.pools[0].config.journal;
        draw_config(&w.pools[i]);
        w.pools[i].config.journal = w.is_wal ? SQLPOOL_JOURNAL_WAL : journal;
    }
    memset(&empty, 0, sizeof empty);
    for (i = 0; i < TABLES; i++) empty.indexes[i].of = -1;
    w.base.count = 1;
    w.base.s[0] = empty;
    note("journal %d, %s, %d pools, max %d, faults %d", w.pools[0].config.journal,
         w.is_general ? "general" : "writer and readers", w.pool_count,
         w.pools[0].config.max_connections, w.has_faults);
    open_pools();
    if (!failed() &&
        sqlpool_script(w.pools[0].pool, "CREATE TABLE mark(x); INSERT INTO mark VALUES(0)", -1,
                       &e) != SQLPOOL_OK)
        (void)fail("%s", e.message);
    (void)alarm(60);
    for (w.step = 1; w.step <= steps && !failed() && !w.gives_up; w.step++) {
        blocked = sums.blocked;
        op_any();
        if (sums.blocked > blocked && chance(60)) release_all();
        if (w.in_doubt && w.is_faulty && !failed() &&
            chance(25)) { /* who opens it next finds out */
            close_pools();
            if (!failed() && !w.gives_up) open_pools();
            is_open = !w.gives_up;
            if (!is_open) break;
        }
        if (w.settle_in > 0 && --w.settle_in == 0 && !failed()) settle();
        if (w.step % 32 == 0 && !failed()) {
            for (i = 0; i < w.pool_count; i++) keep_snapshots(&w.pools[i]);
        }
        if (!failed() && sim_alloc.errors != 0) (void)fail("%s", sim_alloc.message);
        if (!failed() && w.locks.errors != 0) (void)fail("%s", w.locks.message);
    }
    if (!failed() && is_open) close_pools();
    (void)alarm(0);
    sums.episodes++;
    sums.ops += w.step - 1;
    sums.vfs_faults += sim_vfs.faults;
    sums.alloc_faults += sim_alloc.failed;
    if (!failed()) return 0;
    if (control == NULL) {
        uint64_t n = w.last_count > LAST ? w.last_count - LAST : 0;
        printf("# model: seed %llu, operation %llu: %s\n# last message: %s\n# replay: "
               "SIM_SEED=%llu model one %llu\n",
               (unsigned long long)seed, (unsigned long long)w.step, w.why, w.message,
               (unsigned long long)seed, (unsigned long long)steps);
        for (; is_noting && n < w.last_count; n++) {
            printf("#   %6llu %s\n", (unsigned long long)w.last[n % LAST].step,
                   w.last[n % LAST].text);
        }
        fflush(stdout);
    }
    return 1;
}

static void print_sums(double seconds) {
    const uint64_t checked = sums.ops;
    printf("# model: %llu episodes, %llu operations checked, %.0f a second\n"
           "#   %llu reads, %llu rows compared, %llu writes, %llu functions, %llu submissions, "
           "%llu loads, %llu cursors, %llu scopes\n"
           "#   %llu schema changes, %llu refused by the data, %llu blocked, %llu time jumps, %llu "
           "openings\n"
           "#   %llu times maintenance, of these %llu copies and %llu backups, %llu restores\n"
           "#   %.1f s, %.0f operations a second of the processor's time\n"
           "#   faults: %llu of the disk, %llu of memory; %llu writes not committed, %llu unknown, "
           "%llu "
           "of these appeared later; %llu times all well again, "
           "%llu episodes ended for too many of them\n",
           (unsigned long long)sums.episodes, (unsigned long long)checked,
           seconds > 0 ? (double)checked / seconds : 0.0, (unsigned long long)sums.reads,
           (unsigned long long)sums.rows, (unsigned long long)sums.writes,
           (unsigned long long)sums.jobs, (unsigned long long)sums.submitted,
           (unsigned long long)sums.loads, (unsigned long long)sums.cursors,
           (unsigned long long)sums.scopes, (unsigned long long)sums.schema,
           (unsigned long long)sums.constraints, (unsigned long long)sums.blocked,
           (unsigned long long)sums.jumps, (unsigned long long)sums.opens,
           (unsigned long long)sums.cares, (unsigned long long)sums.copies,
           (unsigned long long)sums.backups, (unsigned long long)sums.restores, seconds,
           (double)checked / ((double)clock() / CLOCKS_PER_SEC),
           (unsigned long long)sums.vfs_faults, (unsigned long long)sums.alloc_faults,
           (unsigned long long)sums.not_committed, (unsigned long long)sums.unknown,
           (unsigned long long)sums.appeared, (unsigned long long)sums.settles,
           (unsigned long long)sums.adopted);
    fflush(stdout);
}

enum { EPISODE = 3000 };
static uint64_t seed;
static double budget_seconds = 4;

TEST(every_answer_is_the_models) {
    const int64_t start = sim_real_ns();
    uint64_t s = seed;
    int bad = 0;
    while (bad == 0 && (double)(sim_real_ns() - start) / 1e9 < budget_seconds) {
        bad = episode(s++, EPISODE, NULL);
    }
    print_sums((double)(sim_real_ns() - start) / 1e9);
    CHECK_INT(bad, 0);
    CHECK(sums.ops > 0);
}

/*  Runs the same episode twice: every result is the same. */
TEST(an_episode_repeats_exactly) {
    uint64_t hash, s;
    for (s = seed; s < seed + 3; s++) {
        CHECK_INT(episode(s, EPISODE, NULL), 0);
        hash = w.hash;
        CHECK_INT(episode(s, EPISODE, NULL), 0);
        CHECK_INT(w.hash, hash);
    }
}

/*  A model that forgets one acknowledged write must be found out. An episode in which submissions
    were queued at every write forgets none. */
enum { NOTHING_FORGOTTEN = 3 };
TEST(control_a_forgotten_write_is_found) {
    char out[4000], number[32];
    int rc, found = 0;
    uint64_t s;
    if (getenv("TEST_EMULATOR") != NULL) return; /* this program's file is the emulator there */
    for (s = seed; found < 6 && s < seed + 60; s++) {
        (void)snprintf(number, sizeof number, "%llu", (unsigned long long)s);
        rc = sim_run_self("forget", number, out, sizeof out);
        if (rc == NOTHING_FORGOTTEN) continue;
        CHECK_INT(rc, 1);
        found++;
    }
    CHECK_INT(found, 6);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    if (sim_alloc_install() != SQLITE_OK || ram_install() != SQLITE_OK ||
        sim_vfs_install() != SQLITE_OK) {
        printf("# SQLite refuses the simulator\n0 passed, 1 failed\n");
        return 1;
    }
    sim_vfs.skip_sleep = 1;
    make_bodies();
    sim_catch_crashes();
    seed = sim_seed();
    is_noting = true;
    is_traced = getenv("MODEL_TRACE") != NULL;
    no_faults = getenv("MODEL_NO_FAULTS") != NULL;
    if (strcmp(how, "forget") == 0) {
        const int bad = episode(strtoull(argv[2], NULL, 10), EPISODE, "forget");
        return bad == 0 && w.control_forget ? NOTHING_FORGOTTEN : bad;
    }
    if (strcmp(how, "one") == 0) {
        const int bad = episode(seed, argc > 2 ? strtoull(argv[2], NULL, 10) : EPISODE, NULL);
        printf("# model: seed %llu, hash %016llx\n", (unsigned long long)seed,
               (unsigned long long)w.hash);
        return bad;
    }
    if (strcmp(how, "ops") == 0) {
        const uint64_t most = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
        const int64_t start = sim_real_ns();
        int bad = 0;
        while (bad == 0 && sums.ops < most) bad = episode(seed++, EPISODE, NULL);
        print_sums((double)(sim_real_ns() - start) / 1e9);
        printf("# the next part begins at SIM_SEED=%llu\n", (unsigned long long)seed);
        printf("%s every_answer_is_the_models\n%d passed, %d failed\n", bad ? "not ok" : "ok", !bad,
               bad);
        return bad;
    }
    if (argc > 1) budget_seconds = atof(argv[1]);
    printf("# model seed=%llu (SIM_SEED=... repeats it)\n", (unsigned long long)seed);
    RUN(control_a_forgotten_write_is_found);
    RUN(an_episode_repeats_exactly);
    RUN(every_answer_is_the_models);
    return test_end();
}
