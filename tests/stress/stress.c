/*  stress.c - many threads, few connections, everything at once.
    SPDX-License-Identifier: MIT OR Unlicense

    Threads draw random operations over one small pool: single calls, leases, cursors left half
    read, transactions that roll back, leases given back unclean, tiny timeouts, tokens and
    cancellations (some much too late), pause, exclusive, recycle, checkpoint, reports. What must
    hold:

      - money moves between accounts and its sum never changes, for readers at any moment and at
        the end
      - a counter per thread equals the acknowledged increments exactly: an error means not done
      - a call that says CANCELLED was the target of a cancellation, by operation number
      - no other result than the operation allows; with the long timeout TIMEOUT is not allowed at
        all, since nothing here holds a connection for long: it would be a lost wake-up
      - one writer at a time, never more readers than the pool has, nobody else inside an exclusive
        section; no opening fails, whatever happens to the caller on whose behalf it is made
      - no call lasts longer than its timeout and 5 seconds (the watchdog prints the pool and ends)
      - close says OK; nothing is allocated, locked or open afterwards

    stress [SECONDS]      each of the modes runs this long [2]
    stress one MODE SECONDS   one of them; SIM_SEED=... repeats the choices, not the schedule */
#define _GNU_SOURCE
#include "sim/sim.h"
#include "test.h"

enum { WORKERS = 12, CHAOS = 2, CANCELLERS = 2, ACCOUNTS = 40, START_BALANCE = 1000 };
enum { LONG_MS = 20000 };

typedef struct mode {
    const char *name;
    int journal;
    int topology;
    bool is_memory, default_hooks, no_upkeep;
} mode;
static const mode modes[] = {
    {"wal", SQLPOOL_JOURNAL_WAL, SQLPOOL_TOPOLOGY_WRITER_READERS, false, false, false},
    {"wal-default-hooks", SQLPOOL_JOURNAL_WAL, SQLPOOL_TOPOLOGY_WRITER_READERS, false, true, false},
    {"wal-tick", SQLPOOL_JOURNAL_WAL, SQLPOOL_TOPOLOGY_WRITER_READERS, false, false, true},
    {"wal-general", SQLPOOL_JOURNAL_WAL, SQLPOOL_TOPOLOGY_GENERAL, false, false, false},
    {"delete", SQLPOOL_JOURNAL_DELETE, SQLPOOL_TOPOLOGY_WRITER_READERS, false, false, false},
    {"memory", SQLPOOL_JOURNAL_MEMORY, SQLPOOL_TOPOLOGY_WRITER_READERS, true, false, false},
};
enum { MODES = sizeof modes / sizeof modes[0] };

/*  What an operation may return beside OK. */
enum {
    MAY_TIMEOUT = 1,
    MAY_BLOCK = 2, /* WOULD_BLOCK */
    MAY_DEADLOCK = 4,
    MAY_UNCLEAN = 8,
    MAY_ROLL_BACK = 16, /* ROLLED_BACK, after a cancellation or timeout inside a transaction */
    MAY_BUSY = 32,
    MAY_MISUSE = 64,
    MAY_UNSUPPORTED = 128,
    MAY_OWN = 256, /* OWN_RESULT, which the transaction's function returned */
    MAY_INTERRUPT = 512
};
enum { OWN_RESULT = 4242 };

typedef struct world world;

/*  One thread, and what others may know of it. */
typedef struct worker {
    world *w;
    int index;
    pthread_t thread;
    sim_random dice;
    int64_t acked; /* increments */

    /* the watchdog reads these */
    const char *call_name;
    int64_t call_end_ns; /* 0: not in a call */
    int64_t longest_ns;

    /* under lock: the cancellers read these */
    pthread_mutex_t lock;
    uint64_t op;       /* number of the operation that runs */
    uint64_t targeted; /* the last operation that a cancellation was aimed at */
    bool has_lease, has_token;
    sqlpool_conn lease;
    sqlpool_token token;

    uint64_t ops, timeouts, cancelled, unclean;
    struct {
        const char *what;
        int rc;
        char message[160];
    } refused[4]; /* the last writes that returned an error */
    uint64_t refused_count;
} worker;

struct world {
    const mode *mode;
    sqlpool *pool;
    sim_locks locks;
    worker workers[WORKERS + CHAOS + CANCELLERS];
    int stop, done;
    int reports, log_lines;
    int64_t total;
    int writers_in, readers_in;
    uint64_t cancels_hit, cancels_late, tokens_fired, pauses, exclusives, checkpoints;
    /* controls: bugs seeded in the test */
    bool control_signals, control_theft, control_target, control_leak;
    int long_ms;
};

static uint64_t seed;

static void bad(world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void bad(world *w, const char *format, ...) {
    char text[1500];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (__atomic_fetch_add(&w->reports, 1, __ATOMIC_SEQ_CST) < 8) {
        printf("# stress %s seed=%llu: %s\n", w->mode->name, (unsigned long long)seed, text);
        fflush(stdout);
    }
    __atomic_store_n(&test_failed_now, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&w->stop, 1, __ATOMIC_SEQ_CST);
}
static bool stopped(const world *w) {
    return __atomic_load_n(&w->stop, __ATOMIC_SEQ_CST) != 0;
}
static uint64_t roll(worker *me, uint64_t bound) {
    return sim_random_below(&me->dice, bound);
}

/*---- a call: known to the watchdog while it lasts ----*/

static void call_begin(worker *me, const char *name, int timeout_ms) {
    __atomic_store_n(&me->call_name, name, __ATOMIC_RELAXED);
    __atomic_store_n(&me->call_end_ns, sim_real_ns() + ((int64_t)timeout_ms + 5000) * 1000000,
                     __ATOMIC_SEQ_CST);
}
static void call_end(worker *me, int timeout_ms) {
    const int64_t end = __atomic_exchange_n(&me->call_end_ns, 0, __ATOMIC_SEQ_CST);
    const int64_t took = sim_real_ns() - (end - ((int64_t)timeout_ms + 5000) * 1000000);
    if (took > me->longest_ns) me->longest_ns = took;
}

static bool is_target(worker *me) {
    bool is;
    (void)pthread_mutex_lock(&me->lock);
    is = me->targeted == me->op;
    (void)pthread_mutex_unlock(&me->lock);
    return is;
}

/*  A write was refused: it must not be in the database. Kept for the report when it is. */
static void refused(worker *me, const char *what, int rc, const sqlpool_error *e) {
    const uint64_t at = me->refused_count++ % 4;
    me->refused[at].what = what;
    me->refused[at].rc = rc;
    (void)snprintf(me->refused[at].message, sizeof me->refused[at].message, "%.150s",
                   e == NULL ? "" : e->message);
}
static void print_refused(const worker *me) {
    uint64_t i = me->refused_count > 4 ? me->refused_count - 4 : 0;
    for (; i < me->refused_count; i++) {
        printf("#   thread %d was refused: %s: %s: %s\n", me->index, me->refused[i % 4].what,
               sqlpool_result_name(me->refused[i % 4].rc), me->refused[i % 4].message);
    }
}

/*  Judges a result; returns it. */
static int expect(worker *me, const char *what, int rc, int may, const sqlpool_error *e) {
    bool ok = false;
    if (rc != SQLPOOL_OK && e != NULL) refused(me, what, rc, e);
    switch (rc) {
    case SQLPOOL_OK:
        ok = true;
        break;
    case SQLPOOL_TIMEOUT:
        ok = (may & MAY_TIMEOUT) != 0;
        me->timeouts++;
        break;
    case SQLPOOL_CANCELLED:
        me->cancelled++;
        ok = is_target(me);
        if (!ok) bad(me->w, "untargeted: %s was cancelled and nobody aimed at it", what);
        return rc;
    case SQLPOOL_WOULD_BLOCK:
        ok = (may & MAY_BLOCK) != 0;
        break;
    case SQLPOOL_DEADLOCK:
        ok = (may & MAY_DEADLOCK) != 0;
        break;
    case SQLPOOL_UNCLEAN:
        ok = (may & MAY_UNCLEAN) != 0;
        me->unclean++;
        break;
    case SQLPOOL_ROLLED_BACK:
        ok = (may & MAY_ROLL_BACK) != 0;
        break;
    case SQLPOOL_MISUSE:
        ok = (may & MAY_MISUSE) != 0;
        break;
    case SQLPOOL_UNSUPPORTED:
        ok = (may & MAY_UNSUPPORTED) != 0;
        break;
    case SQLITE_BUSY:
        ok = (may & MAY_BUSY) != 0;
        break;
    case SQLITE_INTERRUPT:
        ok = (may & MAY_INTERRUPT) != 0 && is_target(me);
        break;
    case OWN_RESULT:
        ok = (may & MAY_OWN) != 0;
        break;
    default:
        break;
    }
    if (!ok) {
        bad(me->w, "%s returned %s (%d): %s", what, sqlpool_result_name(rc), rc,
            e == NULL ? "" : e->message);
    } else if (rc != SQLPOOL_OK && e != NULL && e->result != rc) {
        bad(me->w, "%s returned %d and error.result is %d", what, rc, e->result);
    }
    return rc;
}

/*---- an operation: has a number, perhaps a token, perhaps a lease that others see ----*/

/*  Options of a call: one in four has a tiny timeout, one in four a token. Returns what it may. */
static int op_begin(worker *me, sqlpool_call *call) {
    int may = 0;
    const uint64_t dice = roll(me, 8);
    memset(call, 0, sizeof *call);
    call->timeout_ms = me->w->long_ms;
    call->tag = "stress";
    if (dice < 2) {
        call->timeout_ms = 1 + (int)roll(me, 3);
        may |= MAY_TIMEOUT;
    }
    if (dice == 7) call->priority = SQLPOOL_PRIORITY_CRITICAL;
    (void)pthread_mutex_lock(&me->lock);
    me->op++;
    if (dice >= 2 && dice < 4) {
        me->token.fired = 0;
        me->has_token = true;
        call->token = &me->token;
    }
    (void)pthread_mutex_unlock(&me->lock);
    return may;
}
static void op_end(worker *me) {
    (void)pthread_mutex_lock(&me->lock);
    me->has_token = false;
    me->has_lease = false;
    (void)pthread_mutex_unlock(&me->lock);
    me->ops++;
}
static void came_in(worker *me, sqlpool_mode how) {
    world *w = me->w;
    if (how == SQLPOOL_WRITE && w->mode->topology == SQLPOOL_TOPOLOGY_WRITER_READERS) {
        const int in = __atomic_add_fetch(&w->writers_in, 1, __ATOMIC_SEQ_CST);
        if (in > 1) bad(w, "%d threads hold the writer", in);
    } else {
        const int in = __atomic_add_fetch(&w->readers_in, 1, __ATOMIC_SEQ_CST);
        if (in > 4) bad(w, "%d threads hold connections of %s", in, w->mode->name);
    }
}
static void goes_out(worker *me, sqlpool_mode how) {
    world *w = me->w;
    const bool writer =
        how == SQLPOOL_WRITE && w->mode->topology == SQLPOOL_TOPOLOGY_WRITER_READERS;
    __atomic_sub_fetch(writer ? &w->writers_in : &w->readers_in, 1, __ATOMIC_SEQ_CST);
}

/*  Acquires and lets the cancellers see the lease. */
static int take(worker *me, sqlpool_mode how, const sqlpool_call *call, int may,
                sqlpool_conn *conn) {
    sqlpool_error e;
    int rc;
    call_begin(me, "acquire", call->timeout_ms);
    rc = sqlpool_conn_acquire_with(me->w->pool, how, call, conn, &e);
    call_end(me, call->timeout_ms);
    if (expect(me, "acquire", rc, may, &e) != SQLPOOL_OK) return rc;
    came_in(me, how);
    (void)pthread_mutex_lock(&me->lock);
    me->lease = *conn;
    me->has_lease = true;
    (void)pthread_mutex_unlock(&me->lock);
    return rc;
}
static void give(worker *me, sqlpool_mode how, sqlpool_conn *conn, int may) {
    (void)pthread_mutex_lock(&me->lock);
    me->has_lease = false;
    (void)pthread_mutex_unlock(&me->lock);
    goes_out(me, how);
    call_begin(me, "release", 0);
    (void)expect(me, "release", sqlpool_conn_release(conn), may, NULL);
    call_end(me, 0);
}

static void linger(worker *me) {
    const uint64_t dice = roll(me, 10);
    if (dice == 0) sim_real_sleep_ns(1000000 + (int64_t)roll(me, 1000000));
    if (dice < 4) sim_real_sleep_ns((int64_t)roll(me, 100000));
}

/*---- the operations ----*/

static const char long_sql[] =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 30000) "
    "SELECT count(*) FROM c";

static void op_increment(worker *me) {
    sqlpool_call call;
    sqlpool_result result = {0, 0, 0};
    sqlpool_error e;
    const int may = op_begin(me, &call);
    int rc;
    call_begin(me, "increment", call.timeout_ms);
    rc = sqlpool_exec_with(me->w->pool, &call, &result, "UPDATE counter SET n = n + 1 WHERE id = ?",
                           SQLPOOL_ARGS(me->index), &e);
    call_end(me, call.timeout_ms);
    if (expect(me, "increment", rc, may, &e) == SQLPOOL_OK) {
        me->acked++;
        if (result.changes != 1)
            bad(me->w, "an increment changed %lld rows", (long long)result.changes);
    }
    op_end(me);
}

typedef struct transfer {
    worker *me;
    int64_t amount;
    int64_t from, to;
    bool undo, inner;
    int fn_result;
} transfer;
static int transfer_inner(sqlpool_conn *conn, void *user, int attempt) {
    transfer *t = (transfer *)user;
    (void)attempt;
    return sqlpool_conn_exec(conn, "UPDATE account SET balance = balance + ? WHERE id = ?",
                             SQLPOOL_ARGS(t->amount, t->to), NULL, NULL);
}
static int transfer_fn(sqlpool_conn *conn, void *user, int attempt) {
    transfer *t = (transfer *)user;
    int rc;
    (void)attempt;
    came_in(t->me, SQLPOOL_WRITE);
    rc = sqlpool_conn_exec(conn, "UPDATE account SET balance = balance - ? WHERE id = ?",
                           SQLPOOL_ARGS(t->amount, t->from), NULL, NULL);
    if (rc == SQLPOOL_OK) {
        linger(t->me);
        if (t->me->w->control_theft && t->me->ops > 20) {
            rc = SQLPOOL_OK; /* CONTROL: the money goes nowhere */
        } else if (t->inner) {
            rc = sqlpool_conn_transaction(conn, transfer_inner, t, NULL);
        } else {
            rc = transfer_inner(conn, t, 1);
        }
    }
    if (rc == SQLPOOL_OK && t->undo) rc = OWN_RESULT;
    goes_out(t->me, SQLPOOL_WRITE);
    t->fn_result = rc;
    return rc;
}
static void op_transfer(worker *me) {
    sqlpool_call call;
    sqlpool_error e;
    const int may = op_begin(me, &call);
    transfer t;
    int rc;
    memset(&t, 0, sizeof t);
    t.me = me;
    t.amount = 1 + (int64_t)roll(me, 50);
    t.from = 1 + (int64_t)roll(me, ACCOUNTS);
    t.to = 1 + (int64_t)roll(me, ACCOUNTS);
    t.undo = roll(me, 4) == 0;
    t.inner = roll(me, 3) == 0;
    call_begin(me, "transaction", call.timeout_ms);
    rc = sqlpool_transaction_with(me->w->pool, &call, SQLPOOL_WRITE, transfer_fn, &t, &e);
    call_end(me, call.timeout_ms);
    (void)expect(me, "transaction", rc,
                 may | MAY_OWN | (may & MAY_TIMEOUT || call.token != NULL ? MAY_ROLL_BACK : 0), &e);
    if (rc == OWN_RESULT && !t.undo) bad(me->w, "a transaction returned what its function did not");
    if (rc == SQLPOOL_OK && t.fn_result != SQLPOOL_OK)
        bad(me->w, "a transaction says OK, its function said %d", t.fn_result);
    op_end(me);
}

static void check_sum(worker *me, const char *who, int64_t sum) {
    if (sum != me->w->total) {
        bad(me->w, "sum of accounts: %s saw %lld instead of %lld", who, (long long)sum,
            (long long)me->w->total);
    }
}
static void op_sum(worker *me) {
    sqlpool_call call;
    sqlpool_error e;
    sqlpool_rows rows;
    int64_t sum = 0;
    const int may = op_begin(me, &call);
    int count = 0, rc;
    call_begin(me, "query", call.timeout_ms);
    rc = sqlpool_query_with(me->w->pool, &call, &rows, "SELECT balance FROM account WHERE id > ?",
                            SQLPOOL_ARGS(0), &e);
    if (expect(me, "query", rc, may, &e) == SQLPOOL_OK) {
        while (sqlpool_rows_next(&rows)) {
            sum += sqlpool_rows_int64(&rows, 0);
            count++;
            if (count == 20) linger(me);
        }
        rc = sqlpool_rows_close(&rows, &e);
        if (expect(me, "rows_close", rc, may, &e) == SQLPOOL_OK) {
            check_sum(me, "a cursor", sum);
            if (count != ACCOUNTS) bad(me->w, "%d accounts", count);
        }
    } else {
        (void)sqlpool_rows_close(&rows, NULL);
    }
    call_end(me, call.timeout_ms);
    op_end(me);
}
static void op_half_read(worker *me) {
    sqlpool_call call;
    sqlpool_error e;
    sqlpool_rows rows;
    const int may = op_begin(me, &call);
    int i, rc, steps = (int)roll(me, 10);
    call_begin(me, "half_read", call.timeout_ms);
    rc = sqlpool_query_with(me->w->pool, &call, &rows, "SELECT id, ?, balance FROM account",
                            SQLPOOL_ARGS("arena"), &e);
    if (expect(me, "half_read", rc, may, &e) == SQLPOOL_OK) {
        for (i = 0; i < steps && sqlpool_rows_next(&rows); i++) {
            const char *text = sqlpool_rows_text(&rows, 1);
            if (text == NULL || strcmp(text, "arena") != 0)
                bad(me->w, "a cursor's argument is \"%s\"", text == NULL ? "(null)" : text);
        }
        linger(me);
    }
    rc = sqlpool_rows_close(&rows, &e);
    if (rc != SQLPOOL_OK) (void)expect(me, "half_read close", rc, may, NULL);
    call_end(me, call.timeout_ms);
    op_end(me);
}
static void op_long(worker *me) {
    sqlpool_call call;
    sqlpool_error e;
    int64_t value;
    sqlpool_rows rows;
    const int may = op_begin(me, &call);
    int rc;
    call_begin(me, "long query", call.timeout_ms);
    rc = sqlpool_query_with(me->w->pool, &call, &rows, long_sql, SQLPOOL_NO_ARGS, &e);
    value = -1;
    if (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) value = sqlpool_rows_int64(&rows, 0);
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_rows_close(&rows, &e);
    } else {
        (void)sqlpool_rows_close(&rows, NULL);
    }
    call_end(me, call.timeout_ms);
    if (expect(me, "long query", rc, may, &e) == SQLPOOL_OK && value != 30000) {
        bad(me->w, "a long query gave %lld", (long long)value);
    }
    op_end(me);
}
static void op_returning(worker *me) {
    sqlpool_call call;
    sqlpool_error e;
    sqlpool_rows rows;
    const int may = op_begin(me, &call);
    int64_t value = -1;
    int rc;
    call_begin(me, "returning", call.timeout_ms);
    rc = sqlpool_query_with(me->w->pool, &call, &rows,
                            "UPDATE counter SET n = n + 1 WHERE id = ? RETURNING n",
                            SQLPOOL_ARGS(me->index), &e);
    if (expect(me, "returning", rc, may, &e) == SQLPOOL_OK) {
        me->acked++;
        if (sqlpool_rows_next(&rows)) value = sqlpool_rows_int64(&rows, 0);
        if (value != me->acked) {
            print_refused(me);
            bad(me->w, "RETURNING gave %lld instead of %lld", (long long)value,
                (long long)me->acked);
        }
        (void)expect(me, "returning close", sqlpool_rows_close(&rows, &e), 0, NULL);
    } else {
        (void)sqlpool_rows_close(&rows, NULL);
    }
    call_end(me, call.timeout_ms);
    op_end(me);
}
static void op_script(worker *me) {
    sqlpool_call call;
    sqlpool_error e;
    char sql[300];
    int rc;
    (void)op_begin(me, &call); /* a script takes no options: the pool's own timeout holds */
    (void)pthread_mutex_lock(&me->lock);
    me->has_token = false;
    (void)pthread_mutex_unlock(&me->lock);
    (void)snprintf(sql, sizeof sql,
                   "UPDATE account SET balance = balance - 3 WHERE id = 1; -- comment\n"
                   "UPDATE account SET balance = balance + 3 WHERE id = 2;"
                   "UPDATE counter SET n = n + 1 WHERE id = %d",
                   me->index);
    call_begin(me, "script", me->w->long_ms);
    rc = sqlpool_script(me->w->pool, sql, -1, &e);
    call_end(me, me->w->long_ms);
    if (expect(me, "script", rc, 0, &e) == SQLPOOL_OK) me->acked++;
    op_end(me);
}

static void op_lease_read(worker *me) {
    sqlpool_call call;
    sqlpool_error e;
    sqlpool_conn conn;
    sqlpool_rows rows;
    int may = op_begin(me, &call), rc, i;
    bool dirty = false;
    if (take(me, SQLPOOL_READ, &call, may, &conn) == SQLPOOL_OK) {
        call_begin(me, "lease read", me->w->long_ms);
        may = 0; /* the timeout bounded the acquire */
        if (roll(me, 4) == 0) {
            (void)expect(me, "set_timeout", sqlpool_conn_set_timeout(&conn, 3), 0, NULL);
            may |= MAY_TIMEOUT;
        }
        for (i = 0; i < 3; i++) {
            int64_t sum = 0;
            rc = sqlpool_conn_query(&conn, &rows,
                                    i == 1 ? long_sql : "SELECT sum(balance) FROM account",
                                    SQLPOOL_NO_ARGS, &e);
            if (expect(me, "conn_query", rc, may, &e) != SQLPOOL_OK) {
                (void)sqlpool_rows_close(&rows, NULL);
                break;
            }
            if (sqlpool_rows_next(&rows)) sum = sqlpool_rows_int64(&rows, 0);
            if (roll(me, 10) == 0) {
                dirty = true; /* the release closes the cursor */
                break;
            }
            rc = sqlpool_rows_close(&rows, &e);
            if (expect(me, "conn rows_close", rc, may, &e) != SQLPOOL_OK) break;
            if (i != 1) check_sum(me, "a lease", sum);
            linger(me);
        }
        call_end(me, me->w->long_ms);
        give(me, SQLPOOL_READ, &conn, dirty ? MAY_UNCLEAN : 0);
    }
    op_end(me);
}

static void op_lease_write(worker *me) {
    sqlpool_call call;
    sqlpool_error e;
    sqlpool_conn conn;
    int rc, may = op_begin(me, &call);
    const uint64_t how = roll(me, 6);
    if (take(me, SQLPOOL_WRITE, &call, may, &conn) != SQLPOOL_OK) {
        op_end(me);
        return;
    }
    call_begin(me, "lease write", me->w->long_ms);
    may = 0; /* the timeout bounded the acquire */
    rc = sqlpool_conn_begin(&conn, &e);
    (void)expect(me, "begin", rc, may, &e);
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_conn_exec(&conn, "UPDATE account SET balance = balance - 7 WHERE id = ?",
                               SQLPOOL_ARGS(1 + (int64_t)roll(me, ACCOUNTS)), NULL, &e);
        (void)expect(me, "lease update 1", rc, may, &e);
    }
    if (rc == SQLPOOL_OK) {
        linger(me);
        rc = sqlpool_conn_exec(&conn, "UPDATE account SET balance = balance + 7 WHERE id = ?",
                               SQLPOOL_ARGS(1 + (int64_t)roll(me, ACCOUNTS)), NULL, &e);
        (void)expect(me, "lease update 2", rc, may | MAY_ROLL_BACK, &e);
    }
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_conn_exec(&conn, "UPDATE counter SET n = n + 1 WHERE id = ?",
                               SQLPOOL_ARGS(me->index), NULL, &e);
        (void)expect(me, "lease update 3", rc, may | MAY_ROLL_BACK, &e);
    }
    if (rc == SQLPOOL_OK && how >= 2) {
        rc = sqlpool_conn_commit(&conn, &e);
        if (expect(me, "commit", rc, may | MAY_ROLL_BACK, &e) == SQLPOOL_OK) me->acked++;
    } else if (how == 1) {
        const int undone = sqlpool_conn_rollback(&conn, &e);
        /* nothing to roll back when the begin or SQLite has ended it */
        (void)expect(me, "rollback", undone, rc == SQLPOOL_OK ? 0 : MAY_MISUSE | MAY_ROLL_BACK, &e);
        if (undone == SQLPOOL_OK && rc == SQLPOOL_OK) rc = -1000;
    }
    call_end(me, me->w->long_ms);
    give(me, SQLPOOL_WRITE, &conn, rc == SQLPOOL_OK && how >= 2 ? 0 : MAY_UNCLEAN);
    op_end(me);
}

/*  Statements stepped by hand, the raw handle, a transaction begun behind the pool's back. */
static void op_raw(worker *me) {
    sqlpool_call call;
    sqlpool_error e;
    sqlpool_conn conn;
    struct sqlite3_stmt *statement = NULL;
    int rc, may = op_begin(me, &call);
    bool dirty = false;
    if (take(me, SQLPOOL_READ, &call, may, &conn) != SQLPOOL_OK) {
        op_end(me);
        return;
    }
    call_begin(me, "raw", me->w->long_ms);
    may = 0; /* the timeout bounded the acquire */
    rc = sqlpool_conn_stmt(&conn, "SELECT balance FROM account", &statement, &e);
    if (expect(me, "conn_stmt", rc, may, &e) == SQLPOOL_OK) {
        const int stepped = sqlite3_step(statement);
        if (stepped != SQLITE_ROW) (void)expect(me, "step by hand", stepped, MAY_INTERRUPT, NULL);
        if (roll(me, 2) == 0) {
            (void)expect(me, "stmt_release", sqlpool_conn_stmt_release(&conn, statement), 0, NULL);
        } else {
            dirty = true; /* left stepped */
        }
    }
    if (roll(me, 6) == 0) {
        sqlite3 *db = sqlpool_conn_db(&conn);
        if (db == NULL) {
            bad(me->w, "conn_db gave NULL");
        } else if (sqlite3_exec(db, "BEGIN; SELECT count(*) FROM account", NULL, NULL, NULL) ==
                   SQLITE_OK) {
            dirty = true; /* a read transaction is left open */
        } else {
            dirty = true;
        }
    }
    linger(me);
    call_end(me, me->w->long_ms);
    give(me, SQLPOOL_READ, &conn, dirty ? MAY_UNCLEAN : 0);
    op_end(me);
}

/*  Holds a reader and asks for more: an answer within the timeout, whatever it is. */
static void op_nested(worker *me) {
    sqlpool_call call, second = {.timeout_ms = 4, .tag = "nested"};
    sqlpool_error e;
    sqlpool_conn a, b;
    int rc, may = op_begin(me, &call);
    if (take(me, SQLPOOL_READ, &call, may, &a) != SQLPOOL_OK) {
        op_end(me);
        return;
    }
    if (roll(me, 2) == 0) {
        if (roll(me, 2) == 0) second.timeout_ms = SQLPOOL_NO_WAIT;
        call_begin(me, "nested acquire", 4);
        rc = sqlpool_conn_acquire_with(me->w->pool, SQLPOOL_READ, &second, &b, &e);
        call_end(me, 4);
        (void)expect(me, "nested acquire", rc,
                     second.timeout_ms == SQLPOOL_NO_WAIT ? MAY_BLOCK : MAY_TIMEOUT | MAY_DEADLOCK,
                     &e);
        if (rc == SQLPOOL_OK) {
            came_in(me, SQLPOOL_READ);
            goes_out(me, SQLPOOL_READ);
            (void)expect(me, "nested release", sqlpool_conn_release(&b), 0, NULL);
        }
    } else {
        /* one writer for all: a thread that holds the gate shared cannot write behind it */
        const bool gate = me->w->mode->journal != SQLPOOL_JOURNAL_WAL;
        call_begin(me, "nested write", 4);
        rc = sqlpool_exec_with(me->w->pool, &second, NULL,
                               "UPDATE counter SET n = n + 1 WHERE id = ?", SQLPOOL_ARGS(me->index),
                               &e);
        call_end(me, 4);
        (void)expect(me, "nested write", rc, MAY_TIMEOUT | MAY_DEADLOCK | (gate ? MAY_MISUSE : 0),
                     &e);
        if (rc == SQLPOOL_OK) me->acked++;
    }
    give(me, SQLPOOL_READ, &a, 0);
    op_end(me);
}
static void op_no_wait(worker *me) {
    sqlpool_call call;
    sqlpool_conn conn;
    const sqlpool_mode how = roll(me, 2) == 0 ? SQLPOOL_READ : SQLPOOL_WRITE;
    (void)op_begin(me, &call);
    call.timeout_ms = SQLPOOL_NO_WAIT;
    if (take(me, how, &call, MAY_BLOCK, &conn) == SQLPOOL_OK) give(me, how, &conn, 0);
    op_end(me);
}

static void *worker_main(void *argument) {
    worker *me = (worker *)argument;
    static void (*const ops[])(worker *) = {
        op_increment,   op_increment, op_increment,  op_transfer,   op_transfer,
        op_transfer,    op_sum,       op_sum,        op_half_read,  op_half_read,
        op_long,        op_returning, op_lease_read, op_lease_read, op_lease_write,
        op_lease_write, op_raw,       op_nested,     op_no_wait,    op_script};
    while (!stopped(me->w)) ops[roll(me, sizeof ops / sizeof ops[0])](me);
    return NULL;
}

/*---- those who disturb ----*/

static int exclusive_fn(sqlpool_conn *conn, void *user) {
    worker *me = (worker *)user;
    sqlpool_rows rows;
    int rc;
    const int in = __atomic_load_n(&me->w->writers_in, __ATOMIC_SEQ_CST) +
                   __atomic_load_n(&me->w->readers_in, __ATOMIC_SEQ_CST);
    if (in != 0) bad(me->w, "%d leases are out inside an exclusive section", in);
    rc = sqlpool_conn_query(conn, &rows, "SELECT sum(balance) FROM account", SQLPOOL_NO_ARGS, NULL);
    if (rc == SQLPOOL_OK && sqlpool_rows_next(&rows))
        check_sum(me, "an exclusive section", sqlpool_rows_int64(&rows, 0));
    if (rc != SQLPOOL_OK) {
        (void)sqlpool_rows_close(&rows, NULL);
        return rc;
    }
    return sqlpool_rows_close(&rows, NULL);
}

static void *chaos_main(void *argument) {
    worker *me = (worker *)argument;
    world *w = me->w;
    static const char *const names[] = {"pause", "exclusive", "recycle", "passive", "truncate",
                                        "stats", "holders",   "text",    "json",    "tick"};
    char text[8192];
    sqlpool_error e;
    sqlpool_stats stats;
    sqlpool_holder holders[4];
    sqlpool_checkpoint_result result;
    while (!stopped(w)) {
        const uint64_t what = roll(me, 10);
        const char *name = names[what];
        const int none = w->mode->journal != SQLPOOL_JOURNAL_WAL ? MAY_UNSUPPORTED : 0;
        int rc;
        me->op++; /* nobody aims at these */
        call_begin(me, name, what <= 1 ? 100 : w->long_ms);
        switch (what) {
        case 0:
            rc = expect(me, name, sqlpool_pause(w->pool, 100, &e), MAY_TIMEOUT | MAY_MISUSE, &e);
            if (rc == SQLPOOL_OK) {
                const int in = __atomic_load_n(&w->writers_in, __ATOMIC_SEQ_CST) +
                               __atomic_load_n(&w->readers_in, __ATOMIC_SEQ_CST);
                if (in != 0) bad(w, "%d leases are out while the pool is paused", in);
                sim_real_sleep_ns((int64_t)roll(me, 3000000));
                (void)expect(me, "resume", sqlpool_resume(w->pool), 0, NULL);
                __atomic_fetch_add(&w->pauses, 1, __ATOMIC_RELAXED);
            }
            break;
        case 1:
            rc = sqlpool_exclusive(w->pool, 100, exclusive_fn, me, &e);
            if (expect(me, name, rc, MAY_TIMEOUT | MAY_MISUSE, &e) == SQLPOOL_OK)
                __atomic_fetch_add(&w->exclusives, 1, __ATOMIC_RELAXED);
            break;
        case 2:
            (void)expect(me, name, sqlpool_recycle(w->pool),
                         w->mode->is_memory ? MAY_UNSUPPORTED : 0, NULL);
            break;
        case 3:
            rc = sqlpool_checkpoint(w->pool, SQLPOOL_CHECKPOINT_PASSIVE, &result, &e);
            if (expect(me, name, rc, none, &e) == SQLPOOL_OK)
                __atomic_fetch_add(&w->checkpoints, 1, __ATOMIC_RELAXED);
            break;
        case 4:
            rc = sqlpool_checkpoint(w->pool, SQLPOOL_CHECKPOINT_TRUNCATE, &result, &e);
            if (expect(me, name, rc, none | MAY_BUSY, &e) == SQLPOOL_OK)
                __atomic_fetch_add(&w->checkpoints, 1, __ATOMIC_RELAXED);
            break;
        case 5:
            (void)expect(me, name, sqlpool_get_stats(w->pool, &stats), 0, NULL);
            if (stats.used < 0 || stats.open < 0 || stats.used > 4)
                bad(w, "stats: used %d open %d", stats.used, stats.open);
            break;
        case 6:
            rc = sqlpool_holders(w->pool, holders, 4);
            if (rc < 0 || rc > 4) bad(w, "holders says %d", rc);
            break;
        case 7:
            rc = sqlpool_status_text(w->pool, text, roll(me, sizeof text) + 1);
            if (rc <= 0) bad(w, "status_text says %d", rc);
            break;
        case 8:
            rc = sqlpool_status_json(w->pool, text, sizeof text);
            if (rc <= 0 ||
                (rc < (int)sizeof text && (text[0] != '{' || strlen(text) != (size_t)rc))) {
                bad(w, "status_json says %d: %.60s", rc, text);
            }
            break;
        default:
            (void)expect(me, name, sqlpool_tick(w->pool, 500), 0, NULL);
            break;
        }
        call_end(me, what <= 1 ? 100 : w->long_ms);
        /* by turns a storm of 128 ms and a calm of the same length, where the fast paths are hot */
        sim_real_sleep_ns((int64_t)roll(me, (sim_real_ns() >> 27) & 1 ? 60000000 : 3000000));
    }
    return NULL;
}

/*  Aims at a lease under the victim's lock, and often fires much later, when the lease is long over
    and its connection belongs to someone else: that must hit nobody. */
static void *canceller_main(void *argument) {
    worker *me = (worker *)argument;
    world *w = me->w;
    enum { LATE = 8 };
    sqlpool_conn late[LATE];
    int late_count = 0, i;
    while (!stopped(w)) {
        worker *victim = &w->workers[roll(me, WORKERS)];
        sqlpool_conn copy;
        bool have = false;
        (void)pthread_mutex_lock(&victim->lock);
        if (victim->has_lease) {
            copy = victim->lease;
            have = true;
            if (!w->control_target) victim->targeted = victim->op;
        } else if (victim->has_token && roll(me, 2) == 0) {
            victim->targeted = victim->op;
            call_begin(me, "cancel token", 0);
            (void)expect(me, "sqlpool_cancel", sqlpool_cancel(w->pool, &victim->token), 0, NULL);
            call_end(me, 0);
            __atomic_fetch_add(&w->tokens_fired, 1, __ATOMIC_RELAXED);
        }
        (void)pthread_mutex_unlock(&victim->lock);
        if (have) {
            if (roll(me, 2) == 0 && late_count < LATE) {
                late[late_count++] = copy;
            } else {
                int rc;
                if (roll(me, 2) == 0) sim_real_sleep_ns((int64_t)roll(me, 200000));
                call_begin(me, "conn_cancel", 0);
                rc = sqlpool_conn_cancel(copy);
                call_end(me, 0);
                if (rc == SQLPOOL_OK) {
                    __atomic_fetch_add(&w->cancels_hit, 1, __ATOMIC_RELAXED);
                } else if (rc == SQLPOOL_MISUSE) {
                    __atomic_fetch_add(&w->cancels_late, 1, __ATOMIC_RELAXED);
                } else {
                    bad(w, "conn_cancel returned %d", rc);
                }
            }
        }
        if (late_count == LATE || (late_count > 0 && roll(me, 8) == 0)) {
            for (i = 0; i < late_count; i++) {
                const int rc = sqlpool_conn_cancel(late[i]);
                if (rc == SQLPOOL_MISUSE) __atomic_fetch_add(&w->cancels_late, 1, __ATOMIC_RELAXED);
                if (rc != SQLPOOL_OK && rc != SQLPOOL_MISUSE)
                    bad(w, "a late conn_cancel returned %d", rc);
            }
            late_count = 0;
        }
        sim_real_sleep_ns(50000 + (int64_t)roll(me, 400000));
    }
    return NULL;
}

static void *watchdog_main(void *argument) {
    world *w = (world *)argument;
    static char text[16384];
    size_t i;
    while (!__atomic_load_n(&w->done, __ATOMIC_SEQ_CST)) {
        const int64_t now = sim_real_ns();
        for (i = 0; i < sizeof w->workers / sizeof w->workers[0]; i++) {
            const int64_t end = __atomic_load_n(&w->workers[i].call_end_ns, __ATOMIC_SEQ_CST);
            if (end != 0 && now > end) {
                printf("# stress %s seed=%llu: lost wake-up or hang: %s of thread %d lasts %lld ms "
                       "longer than allowed\n",
                       w->mode->name, (unsigned long long)seed, w->workers[i].call_name, (int)i,
                       (long long)((now - end) / 1000000 + 5000));
                fflush(stdout);
                if (sqlpool_status_text(w->pool, text, sizeof text) > 0) printf("%s\n", text);
                printf("0 passed, 1 failed\n");
                fflush(stdout);
                _exit(1);
            }
        }
        sim_real_sleep_ns(50000000);
    }
    return NULL;
}

/*---- one mode ----*/

static int connect_raw(void *user, const sqlpool_conn *conn) {
    sqlpool_conn copy = *conn;
    (void)user;
    return sqlpool_conn_exec(&copy, "SELECT 1", SQLPOOL_NO_ARGS, NULL, NULL);
}

static void count_log(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    world *w = (world *)user;
    (void)level;
    __atomic_fetch_add(&w->log_lines, 1, __ATOMIC_RELAXED);
    /* nothing here keeps a connection from opening: a cancelled or late caller must not, or all
       others wait open_retry_ms for him */
    if (item == SQLPOOL_LOG_OPEN_FAILED) bad(w, "an opening failed: %s", message);
}

static bool set_up(world *w) {
    sqlpool_config config = {0};
    sqlpool_error e;
    char sql[300];
    const char *path = w->mode->is_memory ? ":memory:" : "stress.db";
    config.name = "stress";
    config.min_connections = 1;
    config.max_connections = 3;
    config.reserve_connections = 1;
    config.reserve_threshold_percent = 80;
    config.acquire_timeout_ms = w->long_ms;
    config.open_timeout_ms = w->long_ms;
    config.close_timeout_ms = 5000;
    config.validate_after_ms = 20;
    config.idle_timeout_ms = 30;
    config.max_lifetime_ms = 300;
    config.upkeep_interval_ms = 5;
    config.leak_report_ms = 50;
    config.statement_cache_count = 8;
    config.page_cache_kib = 512;
    config.wal_budget_bytes = 100000;
    config.wal_limit_bytes = 1000000;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    config.journal = w->mode->journal;
    config.topology = w->mode->topology;
    config.disable_upkeep_thread = w->mode->no_upkeep;
    config.events.connect_fn = connect_raw;
    config.log.write_fn = count_log;
    config.log.user = w;
    if (!w->mode->default_hooks) {
        config.allocator = sim_allocator();
        config.locks = sim_locks_hooks(&w->locks);
    }
    sim_remove_database("stress.db");
    if (sqlpool_open(&w->pool, path, &config, &e) != SQLPOOL_OK) {
        bad(w, "open: %s", e.message);
        return false;
    }
    (void)snprintf(sql, sizeof sql,
                   "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER);"
                   "CREATE TABLE counter(id INTEGER PRIMARY KEY, n INTEGER);"
                   "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < %d) "
                   "INSERT INTO account SELECT x, %d FROM c;",
                   (int)ACCOUNTS, (int)START_BALANCE);
    if (sqlpool_script(w->pool, sql, -1, &e) != SQLPOOL_OK ||
        sqlpool_exec(
            w->pool,
            "WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c WHERE x < ? - 1) "
            "INSERT INTO counter SELECT x, 0 FROM c",
            SQLPOOL_ARGS((int)WORKERS), &e) != SQLPOOL_OK) {
        bad(w, "set-up: %s", e.message);
        return false;
    }
    return true;
}

static void run_mode(const mode *m, double seconds, int control) {
    static world w; /* large */
    pthread_t watchdog;
    const int64_t base_memory = sqlite3_memory_used();
    sqlpool_error e;
    sqlpool_stats stats;
    char why[400];
    int i, rc;
    int64_t value, longest = 0;
    uint64_t ops = 0, timeouts = 0, cancelled = 0, unclean = 0;
    memset(&w, 0, sizeof w);
    w.mode = m;
    w.locks.seed = seed;
    w.total = (int64_t)ACCOUNTS * START_BALANCE;
    w.long_ms = LONG_MS;
    w.control_signals = control == 's';
    w.control_theft = control == 't';
    w.control_target = control == 'c';
    w.control_leak = control == 'l';
    if (w.control_signals) w.long_ms = 300;
    if (!set_up(&w)) return;
    if (w.control_signals) w.locks.drop_signal_every = 2;
    for (i = 0; i < WORKERS + CHAOS + CANCELLERS; i++) {
        w.workers[i].w = &w;
        w.workers[i].index = i;
        w.workers[i].dice.state = seed + (uint64_t)i * 1000003;
        (void)pthread_mutex_init(&w.workers[i].lock, NULL);
    }
    (void)pthread_create(&watchdog, NULL, watchdog_main, &w);
    for (i = 0; i < WORKERS + CHAOS + CANCELLERS; i++) {
        (void)pthread_create(&w.workers[i].thread, NULL,
                             i < WORKERS           ? worker_main
                             : i < WORKERS + CHAOS ? chaos_main
                                                   : canceller_main,
                             &w.workers[i]);
    }
    {
        const int64_t end = sim_real_ns() + (int64_t)(seconds * 1e9);
        while (sim_real_ns() < end && !stopped(&w)) sim_real_sleep_ns(10000000);
    }
    __atomic_store_n(&w.stop, 1, __ATOMIC_SEQ_CST);
    for (i = 0; i < WORKERS + CHAOS + CANCELLERS; i++)
        (void)pthread_join(w.workers[i].thread, NULL);
    __atomic_store_n(&w.done, 1, __ATOMIC_SEQ_CST);
    (void)pthread_join(watchdog, NULL);
    w.locks.drop_signal_every = 0;

    if (sqlpool_query_int64(w.pool, &value, "SELECT sum(balance) FROM account", SQLPOOL_NO_ARGS,
                            &e) != SQLPOOL_OK) {
        bad(&w, "the sum at the end: %s", e.message);
    } else if (value != w.total) {
        bad(&w, "sum of accounts: %lld instead of %lld at the end", (long long)value,
            (long long)w.total);
    }
    for (i = 0; i < WORKERS; i++) {
        worker *k = &w.workers[i];
        rc = sqlpool_query_int64(w.pool, &value, "SELECT n FROM counter WHERE id = ?",
                                 SQLPOOL_ARGS(i), &e);
        if (rc != SQLPOOL_OK) bad(&w, "counter %d: %s", i, e.message);
        if (rc == SQLPOOL_OK && value != k->acked) {
            print_refused(k);
            bad(&w, "counter %d is %lld, acknowledged were %lld", i, (long long)value,
                (long long)k->acked);
        }
        ops += k->ops;
        timeouts += k->timeouts;
        cancelled += k->cancelled;
        unclean += k->unclean;
        if (k->longest_ns > longest) longest = k->longest_ns;
    }
    /* The pool's own upkeep may be at a checkpoint: what nobody gives back stays. */
    const int64_t settled_by = sim_real_ns() + 5000000000;
    do {
        memset(&stats, 0, sizeof stats);
        rc = sqlpool_get_stats(w.pool, &stats);
        if (rc != SQLPOOL_OK || stats.used == 0) break;
        sim_real_sleep_ns(1000000);
    } while (sim_real_ns() < settled_by);
    if (rc != SQLPOOL_OK || stats.used != 0 || stats.waiting_read != 0 ||
        stats.waiting_write != 0) {
        bad(&w, "at the end: used %d, waiting %d and %d", stats.used, stats.waiting_read,
            stats.waiting_write);
    }
    if (sqlpool_holders(w.pool, NULL, 0) != 0) bad(&w, "at the end holders are left");
    printf(
        "# stress %s: %llu operations in %.1f s, longest call %.1f ms, %llu timeouts, %llu "
        "cancelled (%llu hit, %llu late, "
        "%llu tokens), %llu unclean, %llu pauses, %llu exclusive, %llu checkpoints, %d log lines\n",
        m->name, (unsigned long long)ops, seconds, (double)longest / 1e6,
        (unsigned long long)timeouts, (unsigned long long)cancelled,
        (unsigned long long)w.cancels_hit, (unsigned long long)w.cancels_late,
        (unsigned long long)w.tokens_fired, (unsigned long long)unclean,
        (unsigned long long)w.pauses, (unsigned long long)w.exclusives,
        (unsigned long long)w.checkpoints, w.log_lines);
    if (w.control_leak) sim_alloc.leak_free = 1;
    rc = sqlpool_close(w.pool, &e);
    if (rc != SQLPOOL_OK) {
        bad(&w, "close returned %s: %s", sqlpool_result_name(rc), e.message);
        return;
    }
    if (sim_alloc_check(why, sizeof why)) bad(&w, "%s", why);
    if (sim_locks_check(&w.locks, why, sizeof why)) bad(&w, "%s", why);
    if (sqlite3_memory_used() != base_memory) {
        bad(&w, "sqlite3_memory_used is %lld above its base",
            (long long)(sqlite3_memory_used() - base_memory));
    }
    for (i = 0; i < WORKERS + CHAOS + CANCELLERS; i++)
        (void)pthread_mutex_destroy(&w.workers[i].lock);
    if (!m->is_memory) {
        sqlite3 *db = NULL;
        if (sqlite3_open_v2("stress.db", &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
            sim_plain_integrity(db, why, sizeof why)) {
            bad(&w, "%s", why);
        }
        (void)sqlite3_close(db);
    }
}

/*---- tests ----*/

static double seconds_each = 2;
TEST(wal) {
    run_mode(&modes[0], seconds_each, 0);
}
TEST(wal_default_hooks) {
    run_mode(&modes[1], seconds_each, 0);
}
TEST(wal_tick) {
    run_mode(&modes[2], seconds_each, 0);
}
TEST(wal_general) {
    run_mode(&modes[3], seconds_each, 0);
}
TEST(rollback_journal) {
    run_mode(&modes[4], seconds_each, 0);
}
TEST(memory) {
    run_mode(&modes[5], seconds_each, 0);
}

/*  Each control is this program with one bug seeded in the test: it must fail, and say why. */
static char control_output[65536];
TEST(control_lost_signals_are_seen) {
    CHECK(sim_run_self("control", "s", control_output, sizeof control_output) != 0);
    CHECK(strstr(control_output, "SQLPOOL_TIMEOUT") != NULL ||
          strstr(control_output, "lost wake-up") != NULL);
}
TEST(control_theft_is_seen) {
    CHECK(sim_run_self("control", "t", control_output, sizeof control_output) != 0);
    CHECK_HAS(control_output, "sum of accounts");
}
TEST(control_wrong_cancel_is_seen) {
    CHECK(sim_run_self("control", "c", control_output, sizeof control_output) != 0);
    CHECK_HAS(control_output, "untargeted");
}
TEST(control_leak_is_seen) {
    CHECK(sim_run_self("control", "l", control_output, sizeof control_output) != 0);
    CHECK_HAS(control_output, "leak");
}

static int control_kind;
static double one_seconds;
static const mode *one_mode;
TEST(the_control) {
    run_mode(&modes[0], 1.5, control_kind);
}
TEST(the_one) {
    run_mode(one_mode, one_seconds, 0);
}

int main(int argc, char **argv) {
    sim_catch_crashes();
    seed = sim_alloc.seed = sim_seed();
    (void)snprintf(sim_replay, sizeof sim_replay, "SIM_SEED=%llu stress", (unsigned long long)seed);
    if (argc >= 3 && strcmp(argv[1], "control") == 0) {
        control_kind = argv[2][0];
        RUN(the_control);
        return test_end();
    }
    printf("# stress seed=%llu\n", (unsigned long long)seed);
    if (argc >= 4 && strcmp(argv[1], "one") == 0) {
        int i = 0;
        while (i < MODES - 1 && strcmp(argv[2], modes[i].name) != 0) i++;
        one_mode = &modes[i];
        one_seconds = atof(argv[3]);
        RUN(the_one);
        return test_end();
    }
    if (argc >= 2) seconds_each = atof(argv[1]);
    RUN(control_lost_signals_are_seen);
    RUN(control_theft_is_seen);
    RUN(control_wrong_cancel_is_seen);
    RUN(control_leak_is_seen);
    RUN(wal);
    RUN(wal_default_hooks);
    RUN(wal_tick);
    RUN(wal_general);
    RUN(rollback_journal);
    RUN(memory);
    return test_end();
}
