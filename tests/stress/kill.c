/*  kill.c - a process that is killed while its threads share commits. SPDX-License-Identifier: MIT OR Unlicense

    Again and again a child process writes through one pool from several threads, WAL and synchronous
    FULL, so that groups form by themselves; among the writes are some that a constraint refuses, alone,
    with their whole transaction, or at COMMIT. Right after a call has returned, its thread puts a record
    into a pipe. At a random moment the parent kills the child (SIGKILL), empties the pipe, opens the
    file and compares:

      - what was acknowledged is there, complete and unaltered: all rows of it, in all its tables
      - what was refused is not there
      - what has no answer is there with all its rows or with none, and each thread has at most as many
        such writes as it can have under way
      - a counter per thread is what its acknowledged increments make it: no write is run twice
      - what earlier rounds left is what it was
      - quick_check says ok, every FULL_CHECK_EVERY rounds integrity_check

    The file and its log stay for the next child, which has to recover what the killed one left, until
    they have grown large. In some rounds further children are killed while they open the file, in some
    the child closes its pool about when it is killed; small wal_budget_bytes put checkpoints under it.

    A killed process loses nothing that it has handed to the kernel. So this test tells whether an
    answer comes before its COMMIT has written the log; whether it comes before the fsync only a power
    loss would tell.

    Controls, each with a bug seeded in the child, must find what they are about: answers before the
    write, transactions in two halves, refused writes that are made, increments made twice, older rows
    that vanish.

    kill [SECONDS]     at least STRESS_KILLS (environment) rounds [100], and this long [0]
    SIM_SEED=... repeats the choices, not the schedule */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sqlpool.h"
#include "sim/clock.h"
#include "test.h"

enum { THREADS = 8 };
enum { IN_FLIGHT = 5 };        /* writes of one thread without an answer, at most */
enum { NUMBERS = 1 << 16 };    /* writes of one thread in one round, at most: it rests then */
enum { BODY_BYTES = 60000 };   /* of one row, at most: a commit of many pages is more easily hit */
enum { FILE_BYTES = 6 << 20 }; /* a file this large, with its log, is replaced by a new one */
enum { FULL_CHECK_EVERY = 50, OPENING_EVERY = 4, CLOSING_EVERY = 5 };
enum { OWN_RESULT = 70000 }; /* of a transaction's function that wants it undone */
enum { PATIENCE_MS = 60000 };
enum { ENOUGH_ROUNDS = 500 }; /* for every sort of moment to have been hit */

/*---- both processes ----*/

/*  What a child tells. As short as this, a record enters a pipe whole or not at all. */
enum {
    TOLD_NOTHING,
    TOLD_COMMITTED, /* the write has returned SQLPOOL_OK */
    TOLD_REFUSED,   /* it has returned something else */
    TOLD_WRONG,     /* something returned what it must not: a printed line says more */
    TOLD_OPENING,
    TOLD_OPENED,
    TOLD_CLOSING,
    TOLD_CLOSED,
    TOLD_COUNTER /* value of counter `number` so far */
};
typedef struct record {
    uint8_t what, thread, kind, unused;
    uint32_t number; /* of the write in its thread, from 0 */
    int64_t value;
} record;
_Static_assert(sizeof(record) == 16, "one record is one write to the pipe");

enum { COUNT_COMMITS, COUNT_GROUPS, COUNT_GROUPED, COUNT_REPLAYED, COUNT_CHECKPOINTS, COUNTERS };

/*  Tables that writes leave rows in, as bits of kind.rows. All have key, kind and body. */
enum { LEDGER = 1, MIRROR = 2, DEBT = 4, TABLES = 3 };
static const char *const table_names[TABLES] = {"ledger", "mirror", "debt"};

/*  Bugs for the test to find. */
enum {
    CONTROL_NONE = '-',
    CONTROL_EARLY = 'e',   /* the answer is told before the write */
    CONTROL_HALVES = 'h',  /* a transaction is two calls */
    CONTROL_KEPT = 'k',    /* what is told as refused was written */
    CONTROL_TWICE = 't',   /* an increment is made twice */
    CONTROL_FORGETS = 'f', /* a row of an earlier round vanishes */
};
static int control = CONTROL_NONE;


/*  A key says who wrote it: each thread of each round fills a stretch of its own, so that the writes
    of a group meet on few pages and miss each other on others. */
static int64_t key_of(int64_t round, int thread, uint32_t number) {
    return round << 32 | (int64_t)thread << 24 | (int64_t)number;
}

/*  The body belongs to the key. Returns its size. */
static int body_of(int64_t key, unsigned char body[BODY_BYTES]) {
    uint64_t dice = (uint64_t)key;
    const uint64_t most = sim_roll(&dice, 32) == 0 ? BODY_BYTES : 400;
    const int bytes = (int)sim_roll(&dice, most);
    int i;
    for (i = 0; i < bytes; i += 8) {
        const uint64_t word = sim_roll(&dice, UINT64_MAX);
        memcpy(body + i, &word, (size_t)(bytes - i < 8 ? bytes - i : 8));
    }
    return bytes;
}

/*---- the child: writes until it is killed ----*/

typedef struct writer {
    sqlpool *pool;
    int64_t round, end_ns;
    int me;
    uint32_t number;
    uint64_t dice;
    int kind; /* of the present write */
    int64_t key;
    sqlpool_value body;
    unsigned char bytes[BODY_BYTES];
    sqlpool_error error;
    int under_way; /* atomic: submitted, and not answered */
} writer;

static int told_fd = -1;

static void tell(int what, int thread, int kind, uint32_t number, int64_t value) {
    record r;
    memset(&r, 0, sizeof r);
    r.what = (uint8_t)what;
    r.thread = (uint8_t)thread;
    r.kind = (uint8_t)kind;
    r.number = number;
    r.value = value;
    while (write(told_fd, &r, sizeof r) < 0 && errno == EINTR) {
    }
}
static void wrong(const char *what, int rc, const sqlpool_error *error) {
    printf("# kill: %s gave %s, outcome %d: %s\n", what, sqlpool_result_name(rc), error->outcome,
           error->message);
    fflush(stdout);
    tell(TOLD_WRONG, 0, 0, 0, rc);
}

static const char insert_ledger[] = "INSERT INTO ledger(key, kind, body) VALUES(?, ?, ?)";
static const char insert_mirror[] = "INSERT INTO mirror(key, kind, body) VALUES(?, ?, ?)";

static int write_ledger(writer *x) {
    return sqlpool_exec(x->pool, insert_ledger, SQLPOOL_ARGS(x->key, x->kind, x->body), &x->error);
}
static int write_returning(writer *x) {
    sqlpool_rows rows;
    int rc = sqlpool_query(x->pool, &rows,
                           "INSERT INTO ledger(key, kind, body) VALUES(?, ?, ?) RETURNING key",
                           SQLPOOL_ARGS(x->key, x->kind, x->body), &x->error);
    if (rc == SQLPOOL_OK && (!sqlpool_rows_next(&rows) || sqlpool_rows_int64(&rows, 0) != x->key)) {
        (void)snprintf(x->error.message, sizeof x->error.message, "RETURNING gave other rows");
        rc = SQLPOOL_NOT_FOUND;
    }
    (void)sqlpool_rows_close(&rows, NULL);
    return rc;
}
static int write_counter(writer *x) {
    return sqlpool_exec(x->pool, "UPDATE counter SET n = n + ? WHERE thread = ?",
                        SQLPOOL_ARGS(control == CONTROL_TWICE ? 2 : 1, x->me), &x->error);
}

static int both_rows(sqlpool_conn *conn, void *user, int attempt) {
    const writer *x = (const writer *)user;
    int rc =
        sqlpool_conn_exec(conn, insert_ledger, SQLPOOL_ARGS(x->key, x->kind, x->body), NULL, NULL);
    (void)attempt;
    if (rc == SQLPOOL_OK)
        rc = sqlpool_conn_exec(conn, insert_mirror, SQLPOOL_ARGS(x->key, x->kind, x->body), NULL,
                               NULL);
    return rc;
}
static int both_rows_undone(sqlpool_conn *conn, void *user, int attempt) {
    const int rc = both_rows(conn, user, attempt);
    return rc == SQLPOOL_OK ? OWN_RESULT : rc;
}
static int write_both(writer *x) {
    if (control == CONTROL_HALVES) {
        const int rc = write_ledger(x);
        return rc != SQLPOOL_OK ? rc
                                : sqlpool_exec(x->pool, insert_mirror,
                                               SQLPOOL_ARGS(x->key, x->kind, x->body), &x->error);
    }
    return sqlpool_transaction(x->pool, SQLPOOL_WRITE, both_rows, x, &x->error);
}
static int write_both_undone(writer *x) {
    return sqlpool_transaction(x->pool, SQLPOOL_WRITE, both_rows_undone, x, &x->error);
}

/*  Key 0 is taken: the second row is refused, and the first, which was inserted, must go with it. */
static int poison_statement(writer *x) {
    if (control == CONTROL_KEPT) {
        (void)write_ledger(x);
        x->error.outcome = SQLPOOL_OUTCOME_NOT_COMMITTED;
        return SQLITE_CONSTRAINT;
    }
    return sqlpool_exec(x->pool,
                        "INSERT INTO ledger(key, kind, body) VALUES(?, ?, ?), (0, 0, NULL)",
                        SQLPOOL_ARGS(x->key, x->kind, x->body), &x->error);
}
static int poison_transaction(writer *x) {
    return sqlpool_exec(
        x->pool, "INSERT OR ROLLBACK INTO ledger(key, kind, body) VALUES(?, ?, ?), (0, 0, NULL)",
        SQLPOOL_ARGS(x->key, x->kind, x->body), &x->error);
}
static int poison_commit(writer *x) { /* nobody is -1: COMMIT finds out */
    return sqlpool_exec(x->pool, "INSERT INTO debt(key, kind, body, owner) VALUES(?, ?, ?, -1)",
                        SQLPOOL_ARGS(x->key, x->kind, x->body), &x->error);
}

static int write_function(writer *x) {
    return sqlpool_write(x->pool, both_rows, x, &x->error);
}
static int write_function_undone(writer *x) {
    return sqlpool_write(x->pool, both_rows_undone, x, &x->error);
}
static int write_ticket(writer *x) {
    sqlpool_ticket ticket;
    const int rc = sqlpool_submit(x->pool, &ticket, insert_ledger,
                                  SQLPOOL_ARGS(x->key, x->kind, x->body), &x->error);
    return rc != SQLPOOL_OK ? rc
                            : sqlpool_ticket_wait(&ticket, SQLPOOL_FOREVER, NULL, &x->error);
}

/*  A submission whose answer comes later; it says who asked. */
typedef struct later {
    writer *x;
    int kind;
    uint32_t number;
} later;
static void answered(const writer *x, int kind, uint32_t number, int rc,
                     const sqlpool_error *error);
static int kinds_earned(int kind);
static void answered_later(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    later *who = (later *)user;
    (void)result;
    if (control != CONTROL_EARLY || kinds_earned(who->kind) != SQLPOOL_OK)
        answered(who->x, who->kind, who->number, error->result, error);
    (void)__atomic_sub_fetch(&who->x->under_way, 1, __ATOMIC_SEQ_CST);
    free(who);
}
enum { ANSWERED_LATER = 12345 }; /* of such a kind's function */
static int submit(writer *x, const char *sql) {
    sqlpool_submission options;
    later *who = (later *)malloc(sizeof *who);
    int rc;
    if (who == NULL) _exit(97);
    memset(&options, 0, sizeof options);
    while (__atomic_load_n(&x->under_way, __ATOMIC_SEQ_CST) >= IN_FLIGHT - 1)
        sim_real_sleep_ns(20000);
    who->x = x;
    who->kind = x->kind;
    who->number = x->number;
    options.done_fn = answered_later;
    options.user = who;
    (void)__atomic_add_fetch(&x->under_way, 1, __ATOMIC_SEQ_CST);
    rc = sqlpool_submit_with(x->pool, &options, NULL, sql, SQLPOOL_ARGS(x->key, x->kind, x->body),
                             &x->error);
    if (rc == SQLPOOL_OK) return ANSWERED_LATER;
    (void)__atomic_sub_fetch(&x->under_way, 1, __ATOMIC_SEQ_CST);
    free(who);
    return rc;
}
static int write_submitted(writer *x) {
    return submit(x, insert_ledger);
}
static int poison_submitted(writer *x) {
    return submit(x, "INSERT OR ROLLBACK INTO ledger(key, kind, body) VALUES(?, ?, ?), (0, 0, NULL)");
}

/*  The kinds of writes. Of one whose answer comes later, after other writes of its thread have begun,
    answered() is called then, with what was its kind and number, and IN_FLIGHT says how many may be
    on their way: compare() depends on no more than that. */
enum { KIND_TRIGGERED = 1, KIND_COUNTER = 3 };
static const struct kind {
    const char *name;
    int (*write)(writer *x);
    int share;  /* how often it is drawn, of the sum of all */
    int earned; /* result that it must give, the primary one */
    int rows;   /* in which tables it leaves a row once it is committed */
} kinds[] = {
    {"INSERT", write_ledger, 28, SQLPOOL_OK, LEDGER},
    {"INSERT with a trigger", write_ledger, 12, SQLPOOL_OK, LEDGER | MIRROR},
    {"INSERT RETURNING", write_returning, 6, SQLPOOL_OK, LEDGER},
    {"UPDATE", write_counter, 12, SQLPOOL_OK, 0},
    {"transaction", write_both, 12, SQLPOOL_OK, LEDGER | MIRROR},
    {"transaction that is undone", write_both_undone, 1, OWN_RESULT, 0},
    {"INSERT that fails", poison_statement, 3, SQLITE_CONSTRAINT, 0},
    {"INSERT OR ROLLBACK that fails", poison_transaction, 1, SQLITE_CONSTRAINT, 0},
    {"INSERT that COMMIT refuses", poison_commit, 1, SQLITE_CONSTRAINT, 0},
    {"function", write_function, 10, SQLPOOL_OK, LEDGER | MIRROR},
    {"function that is undone", write_function_undone, 1, OWN_RESULT, 0},
    {"submission that is waited for", write_ticket, 6, SQLPOOL_OK, LEDGER},
    {"submission", write_submitted, 14, SQLPOOL_OK, LEDGER},
    {"submission that fails", poison_submitted, 1, SQLITE_CONSTRAINT, 0},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };
static int kinds_earned(int kind) {
    return kinds[kind].earned;
}

static int draw_kind(uint64_t *dice) {
    int i, sum = 0, at;
    for (i = 0; i < KINDS; i++) sum += kinds[i].share;
    at = (int)sim_roll(dice, (uint64_t)sum);
    for (i = 0; at >= kinds[i].share; i++) at -= kinds[i].share;
    return i;
}

/*  A write has its answer: the parent hears of it before anything else happens. */
static void answered(const writer *x, int kind, uint32_t number, int rc,
                     const sqlpool_error *error) {
    const int outcome = kinds[kind].earned == SQLPOOL_OK ? SQLPOOL_OUTCOME_COMMITTED
                                                         : SQLPOOL_OUTCOME_NOT_COMMITTED;
    tell(rc == SQLPOOL_OK ? TOLD_COMMITTED : TOLD_REFUSED, x->me, kind, number, 0);
    if ((rc > 0 && rc != OWN_RESULT ? rc & 0xff : rc) != kinds[kind].earned ||
        error->outcome != outcome)
        wrong(kinds[kind].name, rc, error);
}

static void tell_counters(const writer *x) {
    sqlpool_stats stats;
    if (sqlpool_get_stats(x->pool, &stats) != SQLPOOL_OK) return;
    tell(TOLD_COUNTER, 0, 0, COUNT_COMMITS, (int64_t)stats.commits);
    tell(TOLD_COUNTER, 0, 0, COUNT_GROUPS, (int64_t)stats.groups);
    tell(TOLD_COUNTER, 0, 0, COUNT_GROUPED, (int64_t)stats.grouped);
    tell(TOLD_COUNTER, 0, 0, COUNT_REPLAYED, (int64_t)stats.replayed);
    tell(TOLD_COUNTER, 0, 0, COUNT_CHECKPOINTS, (int64_t)stats.checkpoints);
}

static void *writer_main(void *argument) {
    writer *x = (writer *)argument;
    for (; x->number < NUMBERS && sim_real_ns() < x->end_ns; x->number++) {
        int rc;
        x->kind = draw_kind(&x->dice);
        x->key = key_of(x->round, x->me, x->number);
        x->body = SQLPOOL_BLOB(x->bytes, (size_t)body_of(x->key, x->bytes));
        if (control == CONTROL_EARLY && kinds[x->kind].earned == SQLPOOL_OK) {
            tell(TOLD_COMMITTED, x->me, x->kind, x->number, 0);
            (void)kinds[x->kind].write(x);
        } else {
            rc = kinds[x->kind].write(x);
            if (rc != ANSWERED_LATER) answered(x, x->kind, x->number, rc, &x->error);
        }
        if (x->number % 16 == 1) tell_counters(x);
    }
    return NULL;
}

static sqlpool *child_open(const char *path) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_error error;
    sqlpool *pool = NULL;
    int rc;
    config.name = "kill";
    config.min_connections = 2;
    config.max_connections = 4;
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    config.acquire_timeout_ms = PATIENCE_MS;
    config.wal_budget_bytes = 200000;
    config.must_exist = true;
    tell(TOLD_OPENING, 0, 0, 0, 0);
    rc = sqlpool_open(&pool, path, &config, &error);
    if (rc != SQLPOOL_OK) wrong("sqlpool_open", rc, &error);
    tell(TOLD_OPENED, 0, 0, 0, 0);
    return pool;
}

/*  kill ROLE FD CONTROL PATH SEED ROUND WRITE_US: opens, writes that long, closes, awaits its end. */
static void child_main(char **argv) {
    static writer writers[THREADS];
    pthread_t threads[THREADS];
    sqlpool_error error;
    sqlpool *pool;
    int i, rc;
    (void)alarm(2 * PATIENCE_MS / 1000); /* a parent that was itself killed ends nobody */
    told_fd = atoi(argv[2]);
    control = argv[3][0];
    pool = child_open(argv[4]);
    if (pool == NULL || strcmp(argv[1], "open") == 0) goto wait;
    if (control == CONTROL_FORGETS)
        (void)sqlpool_exec(pool, "DELETE FROM mirror WHERE key = (SELECT min(key) FROM mirror)",
                           SQLPOOL_NO_ARGS, NULL);
    for (i = 0; i < THREADS; i++) {
        writers[i].pool = pool;
        writers[i].me = i;
        writers[i].dice = (uint64_t)strtoull(argv[5], NULL, 10) + (uint64_t)i;
        writers[i].round = strtoll(argv[6], NULL, 10);
        writers[i].end_ns = sim_real_ns() + strtoll(argv[7], NULL, 10) * 1000;
        if (pthread_create(&threads[i], NULL, writer_main, &writers[i]) != 0) _exit(98);
    }
    for (i = 0; i < THREADS; i++) (void)pthread_join(threads[i], NULL);
    tell(TOLD_CLOSING, 0, 0, 0, 0);
    rc = sqlpool_close(pool, &error);
    if (rc != SQLPOOL_OK) wrong("sqlpool_close", rc, &error);
    tell(TOLD_CLOSED, 0, 0, 0, 0);
wait:
    for (;;) (void)pause();
}

/*---- the parent: a run of rounds over one file ----*/

/*  One write of the round: what was told of it, and what is in the file. */
typedef struct fate {
    uint8_t told, kind; /* kind: as told; else as its rows say */
    uint8_t rows;       /* tables that have it */
} fate;

typedef struct sums {
    int64_t rows, keys, bytes;
} sums;

typedef struct run {
    const char *path;
    uint64_t dice;
    int64_t round;
    char doing[24]; /* control and path, for what is printed */

    /* the child */
    pid_t child;
    int fd;
    int64_t told[TOLD_COUNTER + 1]; /* records of each sort */
    int64_t counters[COUNTERS];

    /* the round */
    fate fates[THREADS][NUMBERS];
    uint32_t used[THREADS]; /* fates told or found: 0 .. used - 1 */
    int64_t increments[THREADS];

    /* what is known of the file */
    sums settled[TABLES]; /* of earlier rounds */
    int64_t settled_n[THREADS];

    /* what went wrong */
    int64_t lost, halved, kept, stray, altered, miscounted, forgotten, broken;
    int printed;

    /* what was done */
    int64_t kills, opening_kills, inside_opening, inside_closing, committed, refused, unanswered,
        torn;
    int64_t files, full_checks, totals[COUNTERS];
} run;

/*  Something is not as it must be. Controls are quiet: they are there to have this. */
static void bad(run *r, int64_t *which, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void bad(run *r, int64_t *which, const char *format, ...) {
    char text[600];
    va_list list;
    ++*which;
    if (control != CONTROL_NONE || r->printed++ >= 12) return;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    test_fail(__FILE__, __LINE__, "round %lld: %s", (long long)r->round, text);
}
static int64_t bad_count(const run *r) {
    return r->lost + r->halved + r->kept + r->stray + r->altered + r->miscounted + r->forgotten +
           r->broken;
}

/*---- children ----*/

/*  Runs this program in another role: the library works in no process that was only forked. */
static bool spawn(run *r, const char *role, int64_t write_us) {
    static char self[1024];
    char fd_text[16], control_text[2] = {(char)control, '\0'}, seed[24], round[24], us[24];
    int ends[2];
    if (self[0] == '\0') {
        const ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
        if (bytes <= 0) (void)snprintf(self, sizeof self, "/proc/self/exe");
    }
    memset(r->told, 0, sizeof r->told);
    if (pipe(ends) != 0 || fcntl(ends[0], F_SETFD, FD_CLOEXEC) != 0) return false;
    (void)snprintf(fd_text, sizeof fd_text, "%d", ends[1]);
    (void)snprintf(seed, sizeof seed, "%" PRIu64, sim_roll(&r->dice, UINT64_MAX));
    (void)snprintf(round, sizeof round, "%" PRId64, r->round);
    (void)snprintf(us, sizeof us, "%" PRId64, write_us);
    fflush(stdout);
    r->child = fork();
    if (r->child == 0) {
        const char *emulator = getenv("TEST_EMULATOR"); /* programs of another processor */
        if (emulator != NULL)
            (void)execlp(emulator, emulator, self, role, fd_text, control_text, r->path, seed,
                         round, us, (char *)NULL);
        (void)execl(self, "kill", role, fd_text, control_text, r->path, seed, round, us,
                    (char *)NULL);
        _exit(99);
    }
    (void)close(ends[1]);
    r->fd = ends[0];
    return r->child > 0;
}

static void hear(run *r, const record *t) {
    fate *f;
    if (t->what > TOLD_COUNTER) return;
    r->told[t->what]++;
    if (t->what == TOLD_WRONG) bad(r, &r->broken, "the child says so");
    if (t->what == TOLD_COUNTER && t->number < COUNTERS && t->value > r->counters[t->number])
        r->counters[t->number] = t->value; /* threads tell it in any order */
    if (t->what != TOLD_COMMITTED && t->what != TOLD_REFUSED) return;
    if (t->thread >= THREADS || t->number >= NUMBERS || t->kind >= KINDS) {
        bad(r, &r->broken, "a record of write %d.%u of kind %d", t->thread, t->number, t->kind);
        return;
    }
    f = &r->fates[t->thread][t->number];
    if (f->told != TOLD_NOTHING)
        bad(r, &r->broken, "write %d.%u has two answers", t->thread, t->number);
    f->told = t->what;
    f->kind = t->kind;
    if (t->number >= r->used[t->thread]) r->used[t->thread] = t->number + 1;
    if (t->what == TOLD_COMMITTED && t->kind == KIND_COUNTER) r->increments[t->thread]++;
}

/*  What is in the pipe; waits for more up to a moment. False at its end. */
static bool listen_until(run *r, int64_t until_ns) {
    record records[256];
    struct pollfd p;
    ssize_t got, i;
    int64_t left_ms = (until_ns - sim_real_ns()) / 1000000;
    if (left_ms < 0) left_ms = 0;
    if (left_ms > PATIENCE_MS) left_ms = PATIENCE_MS;
    p.fd = r->fd;
    p.events = POLLIN;
    if (poll(&p, 1, (int)left_ms) <= 0) return true;
    got = read(r->fd, records, sizeof records);
    if (got < 0) return errno == EINTR;
    if (got % (ssize_t)sizeof records[0] != 0) bad(r, &r->broken, "half a record");
    for (i = 0; i < got / (ssize_t)sizeof records[0]; i++) hear(r, &records[i]);
    return got > 0;
}

/*  Waits for a record of this sort, or for the end of all writing. */
static bool await(run *r, int what) {
    const int64_t until = sim_real_ns() + (int64_t)PATIENCE_MS * 1000000;
    while (r->told[what] + r->told[TOLD_CLOSED] == 0) {
        if (sim_real_ns() >= until || !listen_until(r, until)) {
            bad(r, &r->broken, "the child did not come to tell %d", what);
            return false;
        }
    }
    return true;
}

/*  Kills the child at this moment, and hears what it had told. The pipe must not fill meanwhile. */
static void kill_at(run *r, int64_t at_ns) {
    int status = 0;
    while (at_ns - sim_real_ns() >= 1000000 && listen_until(r, at_ns)) {
    }
    sim_real_sleep_ns(at_ns - sim_real_ns());
    (void)kill(r->child, SIGKILL);
    while (waitpid(r->child, &status, 0) < 0 && errno == EINTR) {
    }
    while (listen_until(r, INT64_MAX)) {
    }
    (void)close(r->fd);
    r->kills++;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        bad(r, &r->broken, "the child ended by itself, status %d", status);
}

/*---- the file ----*/

static int64_t file_bytes(const char *path, const char *tail) {
    struct stat about;
    char name[300];
    (void)snprintf(name, sizeof name, "%s%s", path, tail);
    return stat(name, &about) == 0 ? (int64_t)about.st_size : 0;
}
static uint32_t big_endian(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

/*  Does the log end in frames that no COMMIT closed (sqlite.org/fileformat2.html#walformat)? Then the
    kill has met a write of the log. Only counted: recovery must ignore them. */
static bool is_log_torn(const char *path) {
    unsigned char header[32], frame[24];
    char name[300];
    bool is_torn = false;
    int fd;
    (void)snprintf(name, sizeof name, "%s-wal", path);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    if (pread(fd, header, sizeof header, 0) == (ssize_t)sizeof header) {
        const off_t step = (off_t)sizeof frame + (off_t)big_endian(header + 8);
        off_t at = (off_t)sizeof header;
        while (pread(fd, frame, sizeof frame, at) == (ssize_t)sizeof frame &&
               memcmp(frame + 8, header + 16, 8) == 0) { /* the salts: a frame of this log */
            is_torn = big_endian(frame + 4) == 0;
            at += step;
        }
    }
    (void)close(fd);
    return is_torn;
}

static void new_file(run *r) {
    static const char *const tails[] = {"", "-wal", "-shm"};
    sqlite3 *db = NULL;
    char sql[1000], name[300];
    size_t i;
    for (i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        (void)snprintf(name, sizeof name, "%s%s", r->path, tails[i]);
        (void)unlink(name);
    }
    (void)snprintf(
        sql, sizeof sql,
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; BEGIN;"
        "CREATE TABLE ledger(key INTEGER PRIMARY KEY, kind, body);"
        "INSERT INTO ledger VALUES(0, 0, NULL);"
        "CREATE TABLE mirror(key INTEGER PRIMARY KEY, kind, body);"
        "CREATE TRIGGER copy AFTER INSERT ON ledger WHEN new.kind = %d BEGIN"
        "  INSERT INTO mirror VALUES(new.key, new.kind, new.body); END;"
        "CREATE TABLE debt(key INTEGER PRIMARY KEY, kind, body,"
        "  owner REFERENCES ledger(key) DEFERRABLE INITIALLY DEFERRED);"
        "CREATE TABLE counter(thread INTEGER PRIMARY KEY, n);"
        "WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c WHERE x < %d - 1)"
        "  INSERT INTO counter SELECT x, 0 FROM c;"
        "COMMIT",
        (int)KIND_TRIGGERED, (int)THREADS);
    if (sqlite3_open(r->path, &db) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        bad(r, &r->broken, "no new file: %s", sqlite3_errmsg(db));
    (void)sqlite3_close(db);
    memset(r->settled, 0, sizeof r->settled);
    memset(r->settled_n, 0, sizeof r->settled_n);
    r->files++;
}

/*---- what is in the file ----*/

static void check_structure(run *r, sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement = NULL;
    const unsigned char *text = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        text = sqlite3_column_text(statement, 0);
    if (text == NULL || strcmp((const char *)text, "ok") != 0)
        bad(r, &r->altered, "%s: %s", sql, text == NULL ? sqlite3_errmsg(db) : (const char *)text);
    (void)sqlite3_finalize(statement);
}

/*  A row of this round finds its write. */
static void note_row(run *r, int table, int64_t key, int kind) {
    const int64_t thread = key >> 24 & 0xff, number = key & 0xffffff;
    fate *f;
    if (key >> 32 > r->round || thread >= THREADS || number >= NUMBERS || kind < 0 ||
        kind >= KINDS) {
        bad(r, &r->stray, "%s has a row %lld of kind %d", table_names[table], (long long)key, kind);
        return;
    }
    f = &r->fates[thread][number];
    if (f->told == TOLD_NOTHING && f->rows == 0) f->kind = (uint8_t)kind;
    if (f->kind != kind)
        bad(r, &r->stray, "write %lld.%lld is of kind %d, in %s of %d", (long long)thread,
            (long long)number, f->kind, table_names[table], kind);
    f->rows |= (uint8_t)(1 << table);
    if (number >= r->used[thread]) r->used[thread] = (uint32_t)number + 1;
}

/*  Reads a table: rows of this round to their writes, the others to a sum, which must be what it was
    last time. `all` gets the sum of both, for next time. */
static void read_table(run *r, sqlite3 *db, int table, sums *all) {
    unsigned char body[BODY_BYTES];
    sqlite3_stmt *statement = NULL;
    sums older = {0, 0, 0}, newer = {0, 0, 0};
    char sql[100];
    int rc;
    (void)snprintf(sql, sizeof sql, "SELECT key, kind, body FROM %s WHERE key <> 0",
                   table_names[table]);
    rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const int64_t key = sqlite3_column_int64(statement, 0);
        const void *have = sqlite3_column_blob(statement, 2);
        const int bytes = sqlite3_column_bytes(statement, 2);
        sums *to = key >> 32 < r->round ? &older : &newer;
        to->rows++;
        to->keys += key;
        to->bytes += bytes;
        if (body_of(key, body) != bytes || (bytes > 0 && memcmp(body, have, (size_t)bytes) != 0))
            bad(r, &r->altered, "%s has another body in row %lld", table_names[table],
                (long long)key);
        if (to == &newer) note_row(r, table, key, sqlite3_column_int(statement, 1));
        rc = SQLITE_OK;
    }
    if (rc != SQLITE_DONE) bad(r, &r->altered, "%s: %s", sql, sqlite3_errmsg(db));
    (void)sqlite3_finalize(statement);
    if (memcmp(&older, &r->settled[table], sizeof older) != 0)
        bad(r, &r->forgotten, "%s had %lld rows of earlier rounds and has %lld, or other ones",
            table_names[table], (long long)r->settled[table].rows, (long long)older.rows);
    all->rows = older.rows + newer.rows;
    all->keys = older.keys + newer.keys;
    all->bytes = older.bytes + newer.bytes;
}

/*  How far a thread's counter is ahead of what was acknowledged: that many increments without an
    answer. */
static void read_counters(run *r, sqlite3 *db, int64_t ahead[THREADS]) {
    sqlite3_stmt *statement = NULL;
    const char *sql = "SELECT n FROM counter ORDER BY thread";
    const int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    int thread;
    for (thread = 0; thread < THREADS; thread++) {
        int64_t n, told;
        ahead[thread] = 0;
        if (rc != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW) {
            bad(r, &r->altered, "no counter %d: %s", thread, sqlite3_errmsg(db));
            break;
        }
        n = sqlite3_column_int64(statement, 0);
        told = r->settled_n[thread] + r->increments[thread];
        if (n < told && r->increments[thread] > 0) {
            bad(r, &r->lost, "counter %d is %lld, acknowledged were %lld", thread, (long long)n,
                (long long)told);
        } else if (n < told) {
            bad(r, &r->forgotten, "counter %d went from %lld to %lld", thread, (long long)told,
                (long long)n);
        } else if (n > told + 1) { /* its calls are waited for */
            bad(r, &r->miscounted, "counter %d is %lld, acknowledged were %lld", thread,
                (long long)n, (long long)told);
        } else {
            ahead[thread] = n - told;
        }
        r->settled_n[thread] = n;
    }
    (void)sqlite3_finalize(statement);
}

/*  One thread's writes: told against found. */
static void compare(run *r, int thread, int64_t ahead) {
    uint32_t number, told = 0; /* behind the last write with an answer */
    int64_t unanswered = 0, there = ahead;
    for (number = 0; number < r->used[thread]; number++)
        if (r->fates[thread][number].told != TOLD_NOTHING) told = number + 1;
    for (number = 0; number < r->used[thread]; number++) {
        const fate *f = &r->fates[thread][number];
        const struct kind *k = &kinds[f->kind];
        const char *where = "some rows";
        if (f->rows == 0) where = "no row";
        if (f->told == TOLD_COMMITTED) {
            r->committed++;
            if (f->rows != k->rows)
                bad(r, f->rows == 0 ? &r->lost : &r->halved,
                    "write %d.%u (%s) was acknowledged and has %s", thread, number, k->name, where);
        } else if (f->told == TOLD_REFUSED) {
            r->refused++;
            if (f->rows != 0)
                bad(r, &r->kept, "write %d.%u (%s) was refused and has %s", thread, number, k->name,
                    where);
        } else {
            unanswered += number < told ? 1 : 0;
            there += f->rows != 0 ? 1 : 0;
            if (f->rows != 0 && k->earned != SQLPOOL_OK)
                bad(r, &r->kept, "write %d.%u (%s) must not be there", thread, number, k->name);
            else if (f->rows != 0 && f->rows != k->rows)
                bad(r, &r->halved, "write %d.%u (%s) without an answer has %s", thread, number,
                    k->name, where);
            if (f->rows != 0 && number >= told + IN_FLIGHT)
                bad(r, &r->stray,
                    "write %d.%u is there, before its turn: the first %u have answers", thread,
                    number, told);
        }
    }
    if (unanswered > IN_FLIGHT - 1)
        bad(r, &r->broken, "thread %d has %lld writes without an answer before its last answer",
            thread, (long long)unanswered);
    if (there > IN_FLIGHT)
        bad(r, &r->miscounted, "thread %d has %lld writes that nobody was told of", thread,
            (long long)there);
    r->unanswered += there;
}

static void check(run *r, bool is_full) {
    sums all[TABLES];
    int64_t ahead[THREADS];
    sqlite3 *db = NULL;
    int i, rc;
    memset(all, 0, sizeof all);
    rc = sqlite3_open_v2(r->path, &db, SQLITE_OPEN_READWRITE, NULL);
    /* The log stays, for the next child to recover; and as it is, when something is wrong. */
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    if (rc != SQLITE_OK) bad(r, &r->altered, "cannot open: %s", sqlite3_errmsg(db));
    check_structure(r, db, is_full ? "PRAGMA integrity_check" : "PRAGMA quick_check");
    r->full_checks += is_full ? 1 : 0;
    for (i = 0; i < TABLES; i++) read_table(r, db, i, &all[i]);
    read_counters(r, db, ahead);
    for (i = 0; i < THREADS; i++) compare(r, i, ahead[i]);
    memcpy(r->settled, all, sizeof all);
    if (bad_count(r) == 0 && sim_roll(&r->dice, 2) == 0)
        (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, (int *)NULL);
    (void)sqlite3_close(db);
}

/*---- rounds ----*/

static void forget_round(run *r) {
    int i;
    for (i = 0; i < THREADS; i++) {
        memset(r->fates[i], 0, r->used[i] * sizeof r->fates[i][0]);
        r->used[i] = 0;
        r->increments[i] = 0;
    }
    memset(r->counters, 0, sizeof r->counters);
}

/*  A child that is killed as it opens, in the middle of recovery if there is something to recover. */
static void kill_while_opening(run *r) {
    /* sooner rather than later: it takes 1 ms */
    const uint64_t most_us = 1 + sim_roll(&r->dice, 2000);
    if (!spawn(r, "open", 0)) {
        bad(r, &r->broken, "no child");
        return;
    }
    kill_at(r, await(r, TOLD_OPENING) ? sim_real_ns() + (int64_t)sim_roll(&r->dice, most_us) * 1000
                                      : 0);
    r->opening_kills++;
    if (r->told[TOLD_OPENED] == 0) r->inside_opening++;
}

static void one_round(run *r) {
    const int64_t kill_us = 1000 + (int64_t)sim_roll(&r->dice, 29000);
    int64_t write_us = INT64_C(1000000000);
    int i;
    r->round++;
    if (file_bytes(r->path, "") + file_bytes(r->path, "-wal") > FILE_BYTES) new_file(r);
    forget_round(r);
    if (r->round % CLOSING_EVERY == 0) write_us = kill_us - (int64_t)sim_roll(&r->dice, 3000);
    if (!spawn(r, "write", write_us)) {
        bad(r, &r->broken, "no child");
        return;
    }
    kill_at(r, await(r, TOLD_COMMITTED) ? sim_real_ns() + kill_us * 1000 : 0);
    if (r->told[TOLD_CLOSING] > r->told[TOLD_CLOSED]) r->inside_closing++;
    for (i = 0; i < COUNTERS; i++) r->totals[i] += r->counters[i];
    if (is_log_torn(r->path)) r->torn++;
    if (r->round % OPENING_EVERY == 0) kill_while_opening(r);
    if (r->round % (2 * OPENING_EVERY) == 0) kill_while_opening(r);
    check(r, r->round % FULL_CHECK_EVERY == 0);
}

static void print(const run *r, int64_t began_ns) {
    printf("# kill: %lld rounds in %.1f s: %lld kills, %lld of them inside a close, "
           "%lld of %lld inside an opening; %lld logs torn; %lld files\n",
           (long long)r->round, (double)(sim_real_ns() - began_ns) / 1e9, (long long)r->kills,
           (long long)r->inside_closing, (long long)r->inside_opening, (long long)r->opening_kills,
           (long long)r->torn, (long long)r->files);
    printf("# kill: %lld writes acknowledged, %lld refused, %lld there without an answer; "
           "at least %lld commits, %lld groups of %lld writes, %lld run again, %lld checkpoints\n",
           (long long)r->committed, (long long)r->refused, (long long)r->unanswered,
           (long long)r->totals[COUNT_COMMITS], (long long)r->totals[COUNT_GROUPS],
           (long long)r->totals[COUNT_GROUPED], (long long)r->totals[COUNT_REPLAYED],
           (long long)r->totals[COUNT_CHECKPOINTS]);
    printf("# kill: %lld lost, %lld halved, %lld kept, %lld stray, %lld altered, %lld miscounted, "
           "%lld of earlier rounds gone, %lld broken\n",
           (long long)r->lost, (long long)r->halved, (long long)r->kept, (long long)r->stray,
           (long long)r->altered, (long long)r->miscounted, (long long)r->forgotten,
           (long long)r->broken);
    fflush(stdout);
}

static uint64_t seed;
static int rounds_wanted = 100;
static double seconds_wanted;

static run the_run; /* large */
static void begin_run(const char *path, int which) {
    memset(&the_run, 0, sizeof the_run);
    the_run.path = path;
    the_run.dice = seed + (uint64_t)which;
    control = which;
    new_file(&the_run);
}

/*---- tests ----*/

TEST(killed_while_writing) {
    run *r = &the_run;
    const int64_t began = sim_real_ns();
    begin_run("kill.db", CONTROL_NONE);
    while (bad_count(r) == 0 &&
           (r->round < rounds_wanted || (double)(sim_real_ns() - began) < seconds_wanted * 1e9))
        one_round(r);
    print(r, began);
    CHECK_INT(bad_count(r), 0);
    CHECK(r->totals[COUNT_GROUPS] > 0 && r->totals[COUNT_GROUPED] >= 2 * r->totals[COUNT_GROUPS]);
    if (r->round < ENOUGH_ROUNDS) return;
    CHECK(r->torn > 0 && r->unanswered > 0 && r->inside_opening > 0 && r->inside_closing > 0);
    CHECK(r->totals[COUNT_REPLAYED] > 0 && r->totals[COUNT_CHECKPOINTS] > 0 && r->files > 1);
}

/*  A seeded bug must be found within this many rounds. */
enum { CONTROL_ROUNDS = 40 };
static void find(int which, const int64_t *what) {
    run *r = &the_run;
    begin_run("control.db", which);
    while (*what == 0 && r->broken == 0 && r->round < CONTROL_ROUNDS) one_round(r);
    printf("# kill: control '%c': %lld found in round %lld\n", which, (long long)*what,
           (long long)r->round);
    control = CONTROL_NONE;
    CHECK_INT(r->broken, 0);
    CHECK(*what > 0);
}
TEST(control_early_answers_are_seen) {
    find(CONTROL_EARLY, &the_run.lost);
}
TEST(control_halves_are_seen) {
    find(CONTROL_HALVES, &the_run.halved);
}
TEST(control_kept_writes_are_seen) {
    find(CONTROL_KEPT, &the_run.kept);
}
TEST(control_double_writes_are_seen) {
    find(CONTROL_TWICE, &the_run.miscounted);
}
TEST(control_forgotten_rows_are_seen) {
    find(CONTROL_FORGETS, &the_run.forgotten);
}

int main(int argc, char **argv) {
    const char *given = getenv("SIM_SEED"), *rounds = getenv("STRESS_KILLS");
    if (argc >= 8) child_main(argv);
    seed = given != NULL && given[0] != '\0' ? strtoull(given, NULL, 0)
                                             : (uint64_t)sim_real_ns() & 0xffffffffu;
    if (rounds != NULL && atoi(rounds) > 0) rounds_wanted = atoi(rounds);
    if (argc > 1) seconds_wanted = atof(argv[1]);
    printf("# kill: SIM_SEED=%" PRIu64 "\n", seed);
    RUN(control_early_answers_are_seen);
    RUN(control_halves_are_seen);
    RUN(control_kept_writes_are_seen);
    RUN(control_double_writes_are_seen);
    RUN(control_forgotten_rows_are_seen);
    RUN(killed_while_writing);
    return test_end();
}
