/*  loop.h - the loop in which every allocation fails; what is done in it is the program's.
    SPDX-License-Identifier: MIT OR Unlicense

    A part is a list of steps on a pool. It runs once to count the allocations; then once for each n
    with the n-th failing, and once with all from the n-th on failing. After each run: every call
    returned OK or an out-of-memory code with a message; the program's own check_fn found what was
    acknowledged and nothing of what was refused; nothing leaked; the allocator's and the locks'
    rules were kept; and when one request only had failed, the very same work succeeds on the second
    try.

    PROGRAM                      all parts, a stride that fits the time, seed printed
    PROGRAM full [PART]          every n
    PROGRAM at N MODE PART       one run: MODE is once or on

    The program defines `own`, what one run of it knows, includes this file behind it, and hands its
    parts to loop_begin(). */
#ifndef LOOP_H
#define LOOP_H

#include "sim/sim.h"
#include "test.h"

enum { JOURNAL_WAL, JOURNAL_DELETE, JOURNAL_MEMORY };

struct part;
typedef struct run {
    sqlpool *pool;
    const struct part *part;
    const char *path;
    int journal;
    uint64_t n;
    int from_on;
    own own;
    sim_clock clock;
    sim_random random;
    sim_locks locks;
    char why[700];
    const char *step_name;
    bool pass_open_error; /* every second run */
    /* controls: a bug seeded in the test environment */
    int control_leak, control_lose;
} run;

#include "sim/run.h"

typedef struct step {
    const char *name;
    int (*work)(run *r, sqlpool_error *error);
} step;

typedef struct part {
    const char *name;
    int journal;
    const step *steps;         /* up to one without a name; the others need the first */
    double share;              /* of the time of a run with a stride */
    bool opens_before;         /* its allocations are counted from the open pool on */
    int (*prepare_fn)(run *r); /* before the pool, with all the memory there is; or NULL */
} part;

/*  What the parts of a program share. */
typedef struct program {
    const char *name;
    const char *path; /* of the database, unless the journal is in memory */
    double seconds;   /* a run with a stride takes */
    void (*configure_fn)(run *r, sqlpool_config *config);
    int (*opened_fn)(run *r, sqlpool_error *e);
    int (*healed_fn)(run *r, sqlpool_error *e); /* memory is back, after it was gone: work */
    void (*leave_fn)(run *r);                   /* before sqlpool_close(), or NULL */
    void (*left_fn)(run *r);                    /* and after it */
    int (*check_fn)(run *r);                    /* what is there now? */
} program;

static program loop_program;
static const part *loop_parts;
static uint64_t loop_seed;
static bool loop_full;
static const char *loop_only;

/*  What memory running out may look like to a caller. */
static bool is_nomem(int rc) {
    return rc == SQLPOOL_NOMEM || rc == SQLITE_NOMEM || rc == SQLITE_IOERR_NOMEM;
}

/*  The result of a call that has no error to write to. */
static int bare(sqlpool_error *e, int rc) {
    e->result = rc;
    (void)snprintf(e->message, sizeof e->message, "told by its result alone");
    return rc;
}

static int open_pool(run *r, sqlpool_error *e) {
    sqlpool_config config = {0};
    config.name = loop_program.name;
    if (r->journal != JOURNAL_MEMORY) config.vfs_name = "sim"; /* whose syncs take no time */
    config.min_connections = 2;
    config.max_connections = 3;
    config.reserve_connections = 1;
    config.page_cache_kib = 256;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    config.journal = r->journal == JOURNAL_WAL      ? SQLPOOL_JOURNAL_WAL
                     : r->journal == JOURNAL_DELETE ? SQLPOOL_JOURNAL_DELETE
                                                    : SQLPOOL_JOURNAL_MEMORY;
    run_hooks(r, &config);
    config.pass_open_error = r->pass_open_error;
    loop_program.configure_fn(r, &config);
    if (sqlpool_open(&r->pool, r->path, &config, e) == SQLPOOL_OK && loop_program.opened_fn != NULL)
        return loop_program.opened_fn(r, e);
    return e->result;
}

/*  A result must be OK, or out of memory with the same result and a message in the error. */
static int judge(run *r, const char *name, int rc, const sqlpool_error *e, const char *when) {
    if (r->why[0] != '\0') return 1;
    if (rc == SQLPOOL_OK) return 0;
    if (rc == SQLPOOL_TIMEOUT && r->from_on && !r->pass_open_error &&
        strstr(e->message, "last failed opening") != NULL) {
        return 0; /* waited for a connection that cannot be opened, and says so */
    }
    if (rc == SQLPOOL_ROLLED_BACK && e->result == rc &&
        (strstr(e->message, "NOMEM") != NULL || strstr(e->message, "after error 0") != NULL)) {
        /* what SQLite makes of it inside a transaction, and the message says why; but not where a
           statement with an old schema ended it, and went on with the new one by itself */
        return 0;
    }
    if (!is_nomem(rc)) {
        return fail(r, "%s%s returned %s (%d): %s", name, when, sqlpool_result_name(rc), rc,
                    e->message);
    }
    if (e->result != rc)
        return fail(r, "%s%s returned %d but error.result is %d", name, when, rc, e->result);
    if (e->message[0] == '\0') return fail(r, "%s%s returned %d without a word", name, when, rc);
    if (sim_alloc.failed == 0)
        return fail(r, "%s%s: out of memory without a failed allocation", name, when);
    return 0;
}

/*  SQLite's memdb keeps the array of its databases, empty, when making the mutex of a new one
    fails; the next one uses it again and frees it at its end. So: one that works, and what is left
    then is a leak. */
static void settle_memdb(void) {
    sqlite3 *db = NULL;
    (void)sqlite3_open_v2("file:/settle?vfs=memdb", &db,
                          SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, NULL);
    (void)sqlite3_close(db);
}

/*  The steps, until one cannot be done. Returns how many requests there were when memory came back,
    or 0 if it did not. */
static uint64_t run_steps(run *r) {
    const step *s;
    sqlpool_error error;
    uint64_t requests;
    int rc;
    for (s = r->part->steps; s->name != NULL && r->why[0] == '\0'; s++) {
        memset(&error, 0, sizeof error);
        r->step_name = s->name;
        rc = s->work(r, &error);
        if (judge(r, s->name, rc, &error, "")) return 0;
        if (rc != SQLPOOL_OK && r->from_on && s == r->part->steps) break;
        if (rc != SQLPOOL_OK && !r->from_on) {
            if (r->pass_open_error) sim_clock_advance(&r->clock, 300000000); /* open_retry_ms */
            memset(&error, 0, sizeof error);
            rc = s->work(r, &error); /* memory is back: the pool works */
            if (rc != SQLPOOL_OK) {
                (void)fail(r, "%s returned %s (%d) after memory came back: %s", s->name,
                           sqlpool_result_name(rc), rc, error.message);
            }
        }
    }
    if (!r->from_on || r->why[0] != '\0' || r->n % 2 != 0) return 0;
    requests = sim_alloc.requests; /* every second time memory comes back */
    sim_alloc_heal();
    sim_clock_advance(&r->clock, 300000000); /* open_retry_ms */
    memset(&error, 0, sizeof error);
    rc = loop_program.healed_fn(r, &error);
    if (rc != SQLPOOL_OK)
        (void)fail(r, "after memory came back: %s: %s", sqlpool_result_name(rc), error.message);
    return requests;
}

/*  Returns 0 when everything held, otherwise r->why says what did not. */
static int one_run(run *r, uint64_t n, int from_on, const part *p) {
    int64_t base_blocks, base_memory;
    sqlpool_error error;
    uint64_t requests = 0; /* up to when memory came back */
    int rc, retry_open = 0;
    r->n = n;
    r->from_on = from_on;
    r->pass_open_error = (n / 2) % 2 == 1;
    r->part = p;
    r->journal = p->journal;
    r->path = p->journal == JOURNAL_MEMORY ? ":memory:" : loop_program.path;
    run_from_the_start(r);
    (void)snprintf(sim_replay, sizeof sim_replay, "%s at %llu %s %s", loop_program.name,
                   (unsigned long long)n, from_on ? "on" : "once", p->name);
    (void)alarm(20);
    if (p->journal != JOURNAL_MEMORY) sim_remove_database(r->path);
    if (p->prepare_fn != NULL && p->prepare_fn(r) != 0) return fail(r, "prepare failed");
    if (p->journal == JOURNAL_MEMORY) settle_memdb();
    base_blocks = sim_alloc.live_blocks[SIM_DOOR_SQLITE];
    base_memory = sqlite3_memory_used();
    sim_alloc_fail(p->opens_before ? 0 : n, from_on);
    if (r->control_leak) sim_alloc.leak_free = 1;

    do {
        rc = open_pool(r, &error);
        if (judge(r, "open", rc, &error, retry_open ? " (second try)" : "")) break;
        if (rc != SQLPOOL_OK && r->pool != NULL) (void)fail(r, "open failed and gave a pool");
    } while (rc != SQLPOOL_OK && !from_on && r->why[0] == '\0' && !retry_open++);
    if (rc != SQLPOOL_OK && !from_on) (void)fail(r, "open fails after memory came back");
    if (rc == SQLPOOL_OK) {
        if (p->opens_before) sim_alloc_fail(n, from_on);
        requests = run_steps(r);
        if (loop_program.leave_fn != NULL) loop_program.leave_fn(r);
        rc = sqlpool_close(r->pool, &error);
        if (rc != SQLPOOL_OK)
            (void)fail(r, "close returned %s: %s", sqlpool_result_name(rc), error.message);
        if (loop_program.left_fn != NULL) loop_program.left_fn(r);
    }
    if (requests == 0) requests = sim_alloc.requests;
    sim_alloc_heal();
    if (r->why[0] == '\0' && n != 0 && n <= requests && sim_alloc.failed == 0) {
        (void)fail(r, "no allocation failed: the harness does nothing");
    }
    if (p->journal == JOURNAL_MEMORY) settle_memdb();
    if (r->why[0] == '\0' && sim_alloc.live_blocks[SIM_DOOR_SQLITE] > base_blocks) {
        (void)fail(r, "leak: %lld blocks of SQLite; the last is request %llu of %llu bytes",
                   (long long)(sim_alloc.live_blocks[SIM_DOOR_SQLITE] - base_blocks),
                   (unsigned long long)sim_alloc.blocks[SIM_DOOR_SQLITE]->number,
                   (unsigned long long)sim_alloc.blocks[SIM_DOOR_SQLITE]->bytes);
    }
    run_check_rules(r, base_memory);
    if (r->why[0] == '\0' && p->journal != JOURNAL_MEMORY && access(r->path, F_OK) == 0)
        (void)loop_program.check_fn(r);
    (void)alarm(0);
    return r->why[0] != '\0';
}

/*  Runs in fresh state, prints what failed. */
static int try_run(uint64_t n, int from_on, const part *p) {
    run *r = (run *)calloc(1, sizeof *r);
    int bad;
    if (r == NULL) return 1;
    bad = one_run(r, n, from_on, p);
    if (bad) run_report(r);
    free(r);
    return bad;
}

static const part *find_part(const char *name) {
    const part *p = loop_parts;
    while (p[1].name != NULL && strcmp(p->name, name) != 0) p++;
    return p;
}

/*  A test: the whole loop of a part. */
static void loop(const char *name) {
    const part *p = find_part(name);
    const double seconds = loop_program.seconds * p->share;
    uint64_t sites, n, runs = 0, failures = 0;
    int64_t start;
    double each;
    pace runs_of;
    int from_on;
    CHECK_STR(p->name, name);
    CHECK(try_run(0, 0, p) == 0); /* warm: SQLite's globals and file caches */
    start = sim_real_ns();
    CHECK(try_run(0, 0, p) == 0);
    each = (double)(sim_real_ns() - start) / 1e9;
    sites = sim_alloc.requests;
    CHECK(sites > 100);
    runs_of = pace_of(each * (double)sites * 2, seconds, loop_full);
    for (from_on = 0; from_on <= 1; from_on++) {
        for (n = 1 + (loop_seed + (uint64_t)from_on) % runs_of.stride; n <= sites && failures < 20;
             n += runs_of.stride) {
            failures += (uint64_t)try_run(n, from_on, p);
            runs++;
            pace_keep(&runs_of);
        }
    }
    printf("# %s %s: %llu sites, %llu runs, stride %llu, seed %llu, %.1f s, %llu failed\n",
           loop_program.name, name, (unsigned long long)sites, (unsigned long long)runs,
           (unsigned long long)runs_of.stride, (unsigned long long)loop_seed, pace_took(&runs_of),
           (unsigned long long)failures);
    CHECK_INT(failures, 0);
}
/*  A test: a bug that is seeded in the environment, a leak or a loss, is seen and called so. */
static void control(const char *name, bool is_leak, const char *called) {
    run *r = (run *)calloc(1, sizeof *r);
    CHECK(r != NULL);
    r->control_leak = is_leak;
    r->control_lose = !is_leak;
    CHECK(one_run(r, 0, 0, find_part(name)) != 0);
    CHECK_HAS(r->why, called);
    sim_alloc_forget();
    free(r);
}
static bool is_wanted(const char *part_name) {
    return loop_only == NULL || strcmp(loop_only, part_name) == 0;
}

/*  Parts end with one without a name. Returns -1 when the tests are to run, else what main() does.
    */
static int loop_begin(int argc, char **argv, const program *of, const part *parts) {
    loop_program = *of;
    loop_parts = parts;
    if (!run_install()) return 1;
    sim_catch_crashes();
    loop_seed = sim_alloc.seed = sim_seed();
    if (argc >= 5 && strcmp(argv[1], "at") == 0) {
        const part *p = find_part(argv[4]);
        (void)try_run(0, 0, p);
        return try_run(strtoull(argv[2], NULL, 10), strcmp(argv[3], "on") == 0, p);
    }
    loop_full = argc >= 2 && strcmp(argv[1], "full") == 0;
    loop_only = argc >= 3 ? argv[2] : NULL;
    printf("# %s seed=%llu (SIM_SEED=... repeats it)\n", of->name, (unsigned long long)loop_seed);
    return -1;
}

#endif
