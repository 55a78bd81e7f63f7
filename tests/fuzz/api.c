/*  api.c - fuzz: sequences of calls on one pool by one thread, against a model that knows what is
    committed, what each lease sees, and what each call must say.
    SPDX-License-Identifier: MIT OR Unlicense

    An input is calls of four bytes: a letter, then digits: which lease, cursor or ticket, a key, a
    value. The letters stand at the functions below. What the model does not know is left alone:
    other letters do nothing. At the end all is given back and plain SQLite reads the file. */
#include "fuzz/fuzz.h"

/* clang-format off */
static const char *const fuzz_words[] = {
    "i012", "d010", "g010", "a000", "a010", "a100", "a110", "a210", "r000", "r100", "b000", "b100",
    "c000",
    "c100", "x000", "w034", "w154", "f034", "o034", "q030", "q130", "s000", "s100", "e000", "e100",
    "u067",
    "u168", "t000", "l000", "p000", "p100", "k000", "y000", "z000", "R000", "N000", "N000", "J000",
    "h000",
    "v000", "m050", "m090", "C000", "S000", "P000", "E055", "T046", "T146", "W047", "W147", "B000",
    "K000", NULL};
static const char *const fixed_seeds[] = {
    "i011i022d010g010g020", "a010w034q030r000g030", "a010b000w034b000w035x000q030c000g030r000",
    "a000a100s000i055q050e000q050r000r100", "u067u168l000p000p100g060",
    "a010u067t000p000r000t000p000",
    "i011i022R000N000i033N000N000", "a010b000f011f012c000r000", "a010b000w011o012r000",
    "u011k000u122z100l000",
    "T046T146W047W147E055g040g050", "a000K000q010r000g010", "B000g010g020v000g010",
    "m090g010m050a000m090r000", "a000b000q010i019q010c000q010r000", "C000i011C000C000S000h000P000",
    "a010a110a000a100a200g010r000g010r100r200", "a010b000r000g010u011y000"};
/* clang-format on */

static void fuzz_seeds(void) {
    size_t i;
    for (i = 0; i < LENGTH(fixed_seeds); i++) fuzz_seed_text(fixed_seeds[i]);
}
static void fuzz_start(void) {}

/*---- the model ----*/

enum {
    KEYS = 8,
    NONE = -1,
    LEASES = 4,
    CURSORS = 2,
    TICKETS = 6,
    LEVELS = 5,
    READERS = 2,
    FN_RESULT = 70000
};

typedef struct image {
    int values[KEYS]; /* NONE: no row */
} image;

typedef struct lease {
    sqlpool_conn conn;
    bool is_out, is_writer, is_cancelled, has_scope, has_image;
    int depth, depth_of_scope;
    image seen;           /* of a reader's scope or transaction */
    image levels[LEVELS]; /* of the writer: as they were before each begin */
} lease;
typedef struct cursor {
    sqlpool_rows rows;
    bool is_open;
    image seen;
    int at;
} cursor;
enum { FREE = 0, PENDING, DONE };
typedef struct ticket {
    sqlpool_ticket ticket;
    int state;
} ticket;
typedef struct pending { /* in the order of submission */
    int key, value, ticket;
} pending;

static unit_pool u;
static image now, committed; /* now: with what the writer's transaction did */
static lease leases[LEASES];
static cursor cursors[CURSORS];
static ticket tickets[TICKETS];
static pending queue[64];
static int queue_count;
static bool has_changed;
static sqlpool_stamp stamp;

static int out(bool is_writer) {
    int i, count = 0;
    for (i = 0; i < LEASES; i++) count += leases[i].is_out && leases[i].is_writer == is_writer;
    for (i = 0; i < CURSORS && !is_writer; i++) count += cursors[i].is_open;
    return count;
}
static bool in_transaction(void) {
    int i;
    for (i = 0; i < LEASES; i++)
        if (leases[i].is_out && leases[i].is_writer && leases[i].depth > 0) return true;
    return false;
}
static void commit(void) {
    if (memcmp(&committed, &now, sizeof now) != 0) has_changed = true;
    committed = now;
}
static void put(int key, int value) {
    now.values[key] = value;
    if (!in_transaction()) commit();
}
/*  What is submitted runs now: the writer is free. */
static void drain(void) {
    int i;
    for (i = 0; i < queue_count; i++) {
        put(queue[i].key, queue[i].value);
        if (queue[i].ticket >= 0) tickets[queue[i].ticket].state = DONE;
    }
    queue_count = 0;
}

/*---- checking ----*/

static const char *doing = "";
static void expect(int rc, int expected, const sqlpool_error *error) {
    if (error != NULL) fuzz_check_error(error, rc);
    if (rc != expected)
        FUZZ_FAIL("%.4s: %s, expected %s: %s", doing, sqlpool_result_name(rc),
                  sqlpool_result_name(expected), error != NULL ? error->message : "");
}
static void expect_refused(int rc, const sqlpool_error *error) {
    if (error != NULL) fuzz_check_error(error, rc);
    if (rc != SQLPOOL_MISUSE && rc != SQLPOOL_DEADLOCK && rc != SQLPOOL_TIMEOUT)
        FUZZ_FAIL("%.4s: %s, expected a refusal", doing, sqlpool_result_name(rc));
}
static void expect_value(int rc, int64_t value, const image *seen, int key,
                         const sqlpool_error *error) {
    expect(rc, seen->values[key] == NONE ? SQLPOOL_NOT_FOUND : SQLPOOL_OK, error);
    if (rc == SQLPOOL_OK && value != seen->values[key])
        FUZZ_FAIL("%.4s: key %d is %d, expected %d", doing, key, (int)value, seen->values[key]);
}

#define PUT "INSERT OR REPLACE INTO kv VALUES(?,?)"

/*---- calls on the pool ----*/

static void call_put(int key, int value) { /* i d */
    sqlpool_error error;
    sqlpool_result result;
    const int before = now.values[key];
    const int rc =
        value == NONE
            ? sqlpool_exec_with(u.pool, NULL, &result, "DELETE FROM kv WHERE k=?",
                                SQLPOOL_ARGS(key), &error)
            : sqlpool_exec_with(u.pool, NULL, &result, PUT, SQLPOOL_ARGS(key, value), &error);
    if (out(true) > 0) {
        expect(rc, SQLPOOL_MISUSE, &error);
        return;
    }
    expect(rc, SQLPOOL_OK, &error);
    FUZZ_CHECK(error.outcome == SQLPOOL_OUTCOME_COMMITTED);
    FUZZ_CHECK(result.changes == (value == NONE ? before != NONE : 1));
    put(key, value);
}
static void call_get(int key) { /* g */
    sqlpool_error error;
    int64_t value = 0;
    const int rc = sqlpool_query_int64(u.pool, &value, "SELECT v FROM kv WHERE k=?",
                                       SQLPOOL_ARGS(key), &error);
    if (out(false) >= READERS) {
        expect_refused(rc, &error);
    } else {
        expect_value(rc, value, &committed, key, &error);
    }
}

typedef struct work {
    int key, value, result;
} work;
static int work_fn(sqlpool_conn *conn, void *user, int attempt) {
    const work *w = (const work *)user;
    const int rc = sqlpool_conn_exec(conn, PUT, SQLPOOL_ARGS(w->key, w->value), NULL, NULL);
    (void)attempt;
    return rc != SQLPOOL_OK ? rc : w->result;
}
static int exclusive_fn(sqlpool_conn *conn, void *user) {
    return work_fn(conn, user, 1);
}

static void call_function(char letter, bool fails, int key, int value) { /* T W E */
    sqlpool_error error;
    work w = {key, value, fails ? FN_RESULT : SQLPOOL_OK};
    const bool is_free = letter == 'E' ? out(true) + out(false) == 0 : out(true) == 0;
    const int rc = letter == 'T'   ? sqlpool_transaction(u.pool, SQLPOOL_WRITE, work_fn, &w, &error)
                   : letter == 'W' ? sqlpool_write(u.pool, work_fn, &w, &error)
                                   : sqlpool_exclusive(u.pool, 0, exclusive_fn, &w, &error);
    expect(rc, !is_free ? SQLPOOL_MISUSE : w.result, &error);
    if (is_free && (!fails || letter == 'E'))
        put(key, value); /* an exclusive one has no transaction */
}
static void call_bulk(void) { /* B */
    static const char *const columns[] = {"k", "v"};
    sqlpool_bulk_config config;
    sqlpool_bulk *bulk;
    sqlpool_error error;
    int i, rc;
    memset(&config, 0, sizeof config);
    config.table = "kv";
    config.columns = columns;
    config.column_count = 2;
    config.conflict = SQLPOOL_CONFLICT_REPLACE;
    config.batch_bytes = 4096;
    rc = sqlpool_bulk_begin(u.pool, &config, &bulk, &error);
    if (out(true) > 0) {
        expect(rc, SQLPOOL_MISUSE, &error);
        return;
    }
    expect(rc, SQLPOOL_OK, &error);
    for (i = 0; i < KEYS; i += 2)
        expect(sqlpool_bulk_row(bulk, SQLPOOL_ARGS(i, i + 1), &error), SQLPOOL_OK, &error);
    expect(sqlpool_bulk_end(bulk, NULL, &error), SQLPOOL_OK, &error);
    for (i = 0; i < KEYS; i += 2) put(i, i + 1);
}

/*---- leases ----*/

static void call_acquire(lease *l, bool is_writer) { /* a */
    sqlpool_error error;
    int rc;
    if (l->is_out) return;
    rc = sqlpool_conn_acquire(u.pool, is_writer ? SQLPOOL_WRITE : SQLPOOL_READ, &l->conn, &error);
    if (out(is_writer) >= (is_writer ? 1 : READERS)) {
        expect_refused(rc, &error);
        FUZZ_CHECK(l->conn.lease == 0);
        return;
    }
    expect(rc, SQLPOOL_OK, &error);
    l->is_out = true;
    l->is_writer = is_writer;
    l->is_cancelled = l->has_scope = l->has_image = false;
    l->depth = 0;
}
static void call_release(lease *l) { /* r */
    const int rc = sqlpool_conn_release(&l->conn);
    if (!l->is_out) {
        expect(rc, SQLPOOL_MISUSE, NULL);
        return;
    }
    if (l->depth > 0) {
        expect(rc, SQLPOOL_UNCLEAN, NULL);
    } else if (rc != SQLPOOL_OK && !l->has_scope) {
        expect(rc, SQLPOOL_OK, NULL);
    }
    if (l->is_writer) now = committed;
    l->is_out = false;
}
/*  True: there is nothing to do with the lease but what was just checked. */
static bool is_gone(const lease *l, int rc, const sqlpool_error *error) {
    if (l->is_out) return false;
    expect(rc, SQLPOOL_MISUSE, error);
    return true;
}
static void call_begin(lease *l) { /* b */
    sqlpool_error error;
    int rc;
    if (l->is_cancelled || l->depth == LEVELS) return;
    rc = sqlpool_conn_begin(&l->conn, &error);
    if (is_gone(l, rc, &error)) return;
    expect(rc, SQLPOOL_OK, &error);
    l->levels[l->depth++] = now;
}
static void call_end(lease *l, bool commits) { /* c x */
    sqlpool_error error;
    int rc;
    if (l->is_cancelled) return;
    rc = commits ? sqlpool_conn_commit(&l->conn, &error) : sqlpool_conn_rollback(&l->conn, &error);
    if (is_gone(l, rc, &error)) return;
    expect(rc, l->depth == 0 ? SQLPOOL_MISUSE : SQLPOOL_OK, &error);
    if (l->depth == 0) return;
    l->depth--;
    if (l->is_writer && !commits) now = l->levels[l->depth];
    if (l->is_writer && l->depth == 0) commit();
    if (!l->is_writer && l->depth == 0 && !l->has_scope) l->has_image = false;
}
static void call_write(lease *l, char letter, int key, int value) { /* w f o */
    const char *sql = letter == 'w'   ? PUT
                      : letter == 'f' ? "INSERT INTO kv VALUES(?,?)"
                                      : "INSERT OR ROLLBACK INTO kv VALUES(?,?)";
    sqlpool_error error;
    int rc = sqlpool_conn_exec(&l->conn, sql, SQLPOOL_ARGS(key, value), NULL, &error);
    if (is_gone(l, rc, &error)) return;
    if (l->is_cancelled) {
        expect(rc, SQLPOOL_CANCELLED, &error);
    } else if (!l->is_writer) {
        expect(rc, SQLITE_READONLY, &error);
    } else if (letter == 'w' || now.values[key] == NONE) {
        expect(rc, SQLPOOL_OK, &error);
        put(key, value);
    } else {
        expect(rc, SQLITE_CONSTRAINT_PRIMARYKEY, &error);
        if (letter != 'o' || l->depth == 0) return;
        rc = sqlpool_conn_exec(&l->conn, PUT, SQLPOOL_ARGS(key, value), NULL, &error);
        expect(rc, SQLPOOL_ROLLED_BACK, &error);
        rc = sqlpool_conn_release(&l->conn);
        if (rc != SQLPOOL_OK) expect(rc, SQLPOOL_UNCLEAN, NULL);
        now = committed;
        l->is_out = false;
    }
}
static void call_read(lease *l, int key) { /* q */
    sqlpool_error error;
    sqlpool_rows rows;
    int64_t value = 0;
    bool has_row;
    int rc;
    (void)sqlpool_conn_query(&l->conn, &rows, "SELECT v FROM kv WHERE k=?", SQLPOOL_ARGS(key),
                             &error);
    has_row = sqlpool_rows_next(&rows);
    if (has_row) value = sqlpool_rows_int64(&rows, 0);
    rc = sqlpool_rows_close(&rows, &error);
    if (is_gone(l, rc, &error)) return;
    if (l->is_cancelled) {
        expect(rc, SQLPOOL_CANCELLED, &error);
        return;
    }
    expect(rc, SQLPOOL_OK, &error);
    if (!l->is_writer && l->depth > 0 && !l->has_image) {
        l->has_image = true;
        l->seen = committed;
    }
    expect_value(has_row ? SQLPOOL_OK : SQLPOOL_NOT_FOUND, value,
                 l->is_writer   ? &now
                 : l->has_image ? &l->seen
                                : &committed,
                 key, NULL);
}
static void call_scope(lease *l, bool begins) { /* s e */
    sqlpool_error error;
    bool is_right;
    int rc;
    if (l->is_cancelled) return;
    rc = begins ? sqlpool_snapshot_begin(&l->conn, 0, &error)
                : sqlpool_snapshot_end(&l->conn, &error);
    if (is_gone(l, rc, &error)) return;
    is_right =
        begins ? !l->is_writer && l->depth == 0 && !l->has_scope : l->has_scope && l->depth == 0;
    expect(rc, is_right ? SQLPOOL_OK : SQLPOOL_MISUSE, &error);
    if (!is_right) return;
    l->has_scope = l->has_image = begins;
    l->seen = committed;
}

/*---- cursors ----*/

static void close_cursor(cursor *c) { /* J */
    sqlpool_error error;
    const int rc = sqlpool_rows_close(&c->rows, &error);
    if (c->is_open) expect(rc, SQLPOOL_OK, &error);
    c->is_open = false;
}
static void open_cursor(cursor *c) { /* R */
    sqlpool_error error;
    int i, rc;
    if (c->is_open) return;
    rc = sqlpool_query(u.pool, &c->rows, "SELECT k,v FROM kv ORDER BY k", SQLPOOL_NO_ARGS, &error);
    if (out(false) >= READERS) {
        expect_refused(rc, &error);
        return;
    }
    expect(rc, SQLPOOL_OK, &error);
    c->seen = committed;
    c->at = 0;
    for (i = 0; i < KEYS && !c->is_open; i++) c->is_open = committed.values[i] != NONE;
}
static void next_row(cursor *c) { /* N */
    const bool has_row = sqlpool_rows_next(&c->rows);
    if (!c->is_open) {
        FUZZ_CHECK(!has_row);
        return;
    }
    while (c->at < KEYS && c->seen.values[c->at] == NONE) c->at++;
    FUZZ_CHECK(has_row == (c->at < KEYS));
    if (has_row) {
        FUZZ_CHECK(sqlpool_rows_int64(&c->rows, 0) == c->at);
        FUZZ_CHECK(sqlpool_rows_int64(&c->rows, 1) == c->seen.values[c->at]);
        c->at++;
    } else {
        c->is_open = false; /* it gave its connection back */
    }
}

/*---- submissions ----*/

static void call_submit(int at, int key, int value) { /* u */
    sqlpool_error error;
    ticket *t = &tickets[at];
    if (queue_count == (int)LENGTH(queue) || t->state != FREE) return;
    expect(sqlpool_submit(u.pool, &t->ticket, PUT, SQLPOOL_ARGS(key, value), &error), SQLPOOL_OK,
           &error);
    t->state = PENDING;
    queue[queue_count].key = key;
    queue[queue_count].value = value;
    queue[queue_count++].ticket = at;
}
static void unqueue(int at, bool stays) {
    int i;
    for (i = 0; i < queue_count && queue[i].ticket != at; i++) {
    }
    if (i == queue_count) return;
    queue[i].ticket = -1;
    if (stays) return;
    memmove(&queue[i], &queue[i + 1], (size_t)(queue_count - i - 1) * sizeof queue[0]);
    queue_count--;
}
static void call_ticket(char letter, int at) { /* p y k z */
    ticket *t = &tickets[at];
    sqlpool_error error;
    sqlpool_result result;
    int rc;
    if (letter == 'k' || letter == 'z') {
        rc = letter == 'k' ? sqlpool_ticket_cancel(&t->ticket) : sqlpool_ticket_drop(&t->ticket);
        expect(rc,
               t->state == FREE                    ? SQLPOOL_MISUSE
               : letter == 'k' && t->state == DONE ? SQLPOOL_TOO_LATE
                                                   : SQLPOOL_OK,
               NULL);
        if (rc != SQLPOOL_OK) return;
        if (t->state == PENDING) unqueue(at, letter == 'z');
        t->state = FREE;
        return;
    }
    rc = letter == 'p' ? sqlpool_ticket_poll(&t->ticket, &result, &error)
                       : sqlpool_ticket_wait(&t->ticket, 0, &result, &error);
    if (t->state == FREE || (letter == 'y' && t->state == PENDING && out(true) > 0)) {
        expect(rc, SQLPOOL_MISUSE, &error);
        return;
    }
    if (letter == 'y') { /* runs what is before it too, and maybe what is behind */
        if (t->state == PENDING) drain();
    }
    expect(rc, t->state == PENDING ? SQLPOOL_WOULD_BLOCK : SQLPOOL_OK, &error);
    if (rc != SQLPOOL_OK) return;
    FUZZ_CHECK(result.changes == 1 && error.outcome == SQLPOOL_OUTCOME_COMMITTED);
    t->state = FREE;
}

/*---- control ----*/

static void call_control(char letter, int amount) {
    sqlpool_error error;
    sqlpool_stats stats;
    int rc;
    switch (letter) {
    case 'm':
        sim_clock_advance(&u.clock, (int64_t)amount * amount * amount * amount * 10 * MS);
        /* fall through */
    case 't':
        expect(sqlpool_tick(u.pool, 1000000000), SQLPOOL_OK, NULL);
        if (out(true) == 0) drain();
        break;
    case 'l':
        rc = sqlpool_flush(u.pool, 0, &error);
        if (rc == SQLPOOL_OK && queue_count == 0) break; /* with the writer in hand as well */
        expect(rc, out(true) > 0 ? SQLPOOL_MISUSE : SQLPOOL_OK, &error);
        if (out(true) == 0) drain();
        break;
    case 'h':
        expect(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &error),
               out(true) > 0 ? SQLPOOL_MISUSE : SQLPOOL_OK, &error);
        break;
    case 'v':
        expect(sqlpool_recycle(u.pool), SQLPOOL_OK, NULL);
        break;
    case 'C':
        rc = sqlpool_changed(u.pool, &stamp);
        if (rc == SQLPOOL_UNSUPPORTED) break;
        FUZZ_CHECK(rc == 0 || rc == 1);
        FUZZ_CHECK(rc == 1 || !has_changed);
        has_changed = false;
        break;
    case 'S':
        expect(sqlpool_get_stats(u.pool, &stats), SQLPOOL_OK, NULL);
        FUZZ_CHECK(stats.used == out(true) + out(false));
        FUZZ_CHECK(stats.submitted_now == queue_count);
        FUZZ_CHECK(sqlpool_holders(u.pool, NULL, 0) == stats.used);
        break;
    case 'P':
        rc = sqlpool_pause(u.pool, 0, &error);
        expect(rc, out(true) + out(false) > 0 ? SQLPOOL_MISUSE : SQLPOOL_OK, &error);
        expect(sqlpool_resume(u.pool), rc, NULL);
        break;
    default:
        break;
    }
}

/*---- an input ----*/

static void call(const uint8_t *c) {
    const char letter = (char)c[0];
    const int a = c[1] & 7, key = c[2] & 7, value = c[3] & 15;
    lease *l = &leases[a % LEASES];
    cursor *r = &cursors[a % CURSORS];
    switch (letter) {
    case 'i':
    case 'd':
        call_put(key, letter == 'i' ? value : NONE);
        break;
    case 'g':
        call_get(key);
        break;
    case 'T':
    case 'W':
    case 'E':
        call_function(letter, a % 2 != 0, key, value);
        break;
    case 'B':
        call_bulk();
        break;
    case 'a':
        call_acquire(l, key % 2 != 0);
        break;
    case 'r':
        call_release(l);
        break;
    case 'b':
        call_begin(l);
        break;
    case 'c':
    case 'x':
        call_end(l, letter == 'c');
        break;
    case 'w':
    case 'f':
    case 'o':
        call_write(l, letter, key, value);
        break;
    case 'q':
        call_read(l, key);
        break;
    case 's':
    case 'e':
        call_scope(l, letter == 's');
        break;
    case 'K':
        expect(sqlpool_conn_cancel(l->conn), l->is_out ? SQLPOOL_OK : SQLPOOL_MISUSE, NULL);
        l->is_cancelled = l->is_out;
        break;
    case 'R':
        open_cursor(r);
        break;
    case 'N':
        next_row(r);
        break;
    case 'J':
        close_cursor(r);
        break;
    case 'u':
        call_submit(a % TICKETS, key, value);
        break;
    case 'p':
    case 'y':
    case 'k':
    case 'z':
        call_ticket(letter, a % TICKETS);
        break;
    default:
        call_control(letter, c[2] & 15);
        break;
    }
}

static void fuzz_one(const uint8_t *data, size_t bytes) {
    static const char path[] = "api.db";
    sqlpool_config config = fuzz_config(&u, READERS);
    sqlite3 *plain;
    sqlpool_error error;
    size_t at;
    int i;
    memset(leases, 0, sizeof leases);
    memset(cursors, 0, sizeof cursors);
    memset(tickets, 0, sizeof tickets);
    memset(&stamp, 0, sizeof stamp);
    for (i = 0; i < KEYS; i++) now.values[i] = NONE;
    committed = now;
    queue_count = 0;
    has_changed = true;
    sim_remove_database(path);
    fuzz_open(&u, path, &config);
    FUZZ_CHECK(sqlpool_script(u.pool, "CREATE TABLE kv(k INTEGER PRIMARY KEY, v)", -1, NULL) ==
               SQLPOOL_OK);
    for (at = 0; at + 4 <= bytes && at < 1200; at += 4) {
        doing = (const char *)data + at;
        call(data + at);
    }
    doing = "end";
    for (i = 0; i < LEASES; i++)
        if (leases[i].is_out) call_release(&leases[i]);
    for (i = 0; i < CURSORS; i++) close_cursor(&cursors[i]);
    drain();
    expect(sqlpool_close(u.pool, &error), SQLPOOL_OK, &error);
    fuzz_check_gone(&u);
    plain = fuzz_plain(path, NULL);
    for (i = 0; i < KEYS; i++) {
        char sql[80];
        (void)snprintf(sql, sizeof sql, "SELECT v FROM kv WHERE k=%d", i);
        FUZZ_CHECK(sim_plain_int64(plain, sql, NONE) == committed.values[i]);
    }
    (void)sqlite3_close(plain);
}

FUZZ_TARGET("api")
