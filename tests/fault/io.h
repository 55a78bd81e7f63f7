/*  io.h - the harness of the programs in which every call to the disk fails. SPDX-License-Identifier: MIT OR Unlicense

    A workload runs once through the "sim" VFS to count the calls of each kind; then again for each
    kind, each code that kind may return and each n: with the n-th call failing, and with all from
    the n-th on failing; and with the whole disk gone from call n on. Where a workload uses the table
    of sqlpool_files, the same with each of its functions and each errno. During a run every result is
    OK or belongs to the injected code, with a message; after a single fault the same work succeeds on
    the second try, after a persistent one as soon as the disk is back. At the end no file stays open
    and nothing leaks, and the workload looks at what is in the files.

    Included behind sqlpool.h with its implementation. Arguments of such a program, NAME:

    NAME                       all kinds, a stride that fits the time, seed printed
    NAME full [WORK]           every n, of all workloads or one
    NAME at WORK N KIND CODE MODE JOURNAL CUT   one run: MODE is once or on, JOURNAL is wal or delete,
                               CUT is cut or whole; SIM_TRACE=1 prints every call, SIM_VERBOSE=1 the
                               last ones of a run that failed */
#ifndef FAULT_IO_H
#define FAULT_IO_H

#include "sim/files.h"
#include "sim/sim.h"
#include "test.h"

typedef struct run {
    const struct work *work;
    sqlpool *pool;
    const char *step_name;
    void *own; /* of the workload, zeroed */
    bool is_wal;
    sim_vfs_fault fault; /* kinds above SIM_VFS_ANY are those of sim_files */
    sim_clock clock;
    sim_random random;
    sim_locks locks;
    char why[700];
    uint64_t control_lie_at;
} run;

#include "sim/run.h"

typedef struct step {
    const char *name;
    int (*work)(run *r, sqlpool_error *error);
} step;

typedef struct work {
    const char *name;
    const step *steps;
    int count;
    int must;  /* so many first ones are done again even while the disk stays away */
    int again; /* so many are done again when it comes back */
    int asks;  /* WORK_... */
    size_t own_bytes;
    const char *path;
    void (*lay_fn)(run *r); /* lays out files [the database is removed] */
    int (*begin_fn)(
        run *r); /* with the pool open, before anything fails [faults are in opening too] */
    int (*check_fn)(run *r); /* of the files, when everything is closed */
    bool (*explains_fn)(const run *r,
                        int rc); /* results that the harness does not expect by itself */
} work;
enum {
    WORK_FILES = 1,     /* it calls functions of sqlpool_files */
    WORK_SHORT = 2,     /* reads that lack their end: it may not write what it has read */
    WORK_SYSTEM = 8,    /* it calls those of the library, compiled with sim/system.h */
    WORK_NO_LINKS = 16, /* of sqlpool_files: link_fn is refused */
    WORK_WAL_ONLY = 4   /* the journal makes no difference */
};
enum { IO_FILES = SIM_VFS_KINDS + 1, IO_KINDS = IO_FILES + SIM_FILES_KINDS };

static const char *kind_name(int kind) {
    return kind >= IO_FILES ? sim_files_kind_name(kind - IO_FILES) : sim_vfs_kind_name(kind);
}
static uint64_t kind_calls(int kind) {
    return kind >= IO_FILES ? sim_files.kind_calls[kind - IO_FILES] : sim_vfs.kind_calls[kind];
}
static uint64_t faults_so_far(void) {
    return sim_vfs.faults + sim_files.faults;
}
static void arm(sim_vfs_fault fault) {
    sim_files_fault files = {0, 0, 0, 0};
    if (fault.kind >= IO_FILES) {
        files.at = fault.at;
        files.kind = fault.kind - IO_FILES;
        files.code = fault.code;
        files.from_on = fault.from_on;
        fault.at = 0;
    }
    sim_files_arm(files);
    sim_vfs_arm(fault);
}
static void heal(void) {
    sim_files.fault.at = 0;
    sim_vfs_heal();
}
/*  While a step looks at what was left nothing fails, and no call is counted. */
typedef struct pause_state {
    sim_files_state files;
    sim_vfs_fault fault;
    uint64_t calls, kind_calls[SIM_VFS_KINDS + 1];
} pause_state;
static inline pause_state pause_faults(void) {
    pause_state p;
    p.files = sim_files;
    p.fault = sim_vfs.fault;
    p.calls = sim_vfs.calls;
    memcpy(p.kind_calls, sim_vfs.kind_calls, sizeof p.kind_calls);
    heal();
    return p;
}
static inline void resume_faults(pause_state p) {
    sim_files = p.files;
    sim_vfs.fault = p.fault;
    sim_vfs.calls = p.calls;
    memcpy(sim_vfs.kind_calls, p.kind_calls, sizeof p.kind_calls);
}

/*---- one run ----*/

static int open_pool(run *r, sqlpool_error *e) {
    sqlpool_config config = {0};
    config.name = r->work->name;
    config.vfs_name = "sim";
    config.min_connections = 2;
    config.max_connections = 3;
    config.page_cache_kib = 256;
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    config.journal = r->is_wal ? SQLPOOL_JOURNAL_WAL : SQLPOOL_JOURNAL_DELETE;
    config.acquire_timeout_ms = 500;
    config.breaker_open_ms = SQLPOOL_OFF; /* every call is to meet the disk */
    config.open_timeout_ms = 50;
    config.open_retry_ms = 20;
    run_hooks(r, &config);
    if (sqlpool_open(&r->pool, r->work->path, &config, e) == SQLPOOL_OK) keep_snapshots(r->pool);
    return e->result;
}

/*  Whether a result is one that the injected codes explain. */
static bool is_explained(const run *r, int rc) {
    const bool busy = (sim_vfs.primaries >> SQLITE_BUSY) & 1;
    if (rc == SQLPOOL_OK) return true;
    if (faults_so_far() == 0) return false;
    if (r->work->explains_fn != NULL && r->work->explains_fn(r, rc)) return true;
    if (rc == SQLPOOL_TIMEOUT)
        return busy || r->fault.from_on; /* waiting for a connection that can open */
    if (rc < 0) return false;
    if (busy && (rc & 0xff) == SQLITE_PROTOCOL) return true; /* a WAL lock that stays busy */
    return (sim_vfs.primaries >> (rc & 31)) & 1;
}

/*  How the last fault is called. */
static const char *fault_name(const run *r) {
    if (sim_files.faults > 0) return strerror(r->fault.code);
    return sim_vfs.last_code == 0 ? "nothing" : sqlite3_errstr(sim_vfs.last_code);
}

static int judge(run *r, const char *name, int rc, const sqlpool_error *e, const char *when) {
    if (r->why[0] != '\0') return 1;
    if (!is_explained(r, rc)) {
        return fail(r, "%s%s returned %s (%d) after a fault of %s: %s", name, when,
                    sqlpool_result_name(rc), rc, fault_name(r), e->message);
    }
    if (rc != SQLPOOL_OK && e->result != rc)
        return fail(r, "%s: returned %d, error.result %d", name, rc, e->result);
    return 0;
}

/*  The fault is over; connections keep what they have read, also what was not there. */
static void come_back(run *r) {
    heal();
    sim_clock_advance(&r->clock, 100000000);
    if (r->fault.code == SQLITE_IOERR_SHORT_READ) (void)sqlpool_recycle(r->pool);
}

static int do_step(run *r, int number, sqlpool_error *e) {
    const step *s = &r->work->steps[number];
    r->step_name = s->name;
    memset(e, 0, sizeof *e);
    return s->work(r, e);
}
/*  Once more, and now it must go well. */
static void do_step_again(run *r, int number, sqlpool_error *e) {
    const int rc = do_step(r, number, e);
    if (rc == SQLPOOL_OK) return;
    (void)fail(r, "%s returned %s (%d) after the disk came back: %s", r->step_name,
               sqlpool_result_name(rc), rc, e->message);
}

static int one_run(run *r, sim_vfs_fault fault, bool is_wal) {
    const work *const w = r->work;
    const int base_files = sim_vfs.open_files;
    const int64_t base_memory = sqlite3_memory_used();
    const sim_vfs_fault none = {0, SIM_VFS_ANY, 0, 0, 0};
    sqlpool_error error;
    uint64_t calls = UINT64_MAX; /* up to when the disk came back */
    int i, rc, retry_open = 0;
    r->fault = fault;
    r->is_wal = is_wal;
    run_from_the_start(r);
    (void)snprintf(sim_replay, sizeof sim_replay, "at %s %llu %s %d %s %s %s", w->name,
                   (unsigned long long)fault.at, kind_name(fault.kind), fault.code,
                   fault.from_on ? "on" : "once", is_wal ? "wal" : "delete",
                   fault.cut_writes ? "cut" : "whole");
    (void)alarm(20);
    sim_remove_database(w->path);
    if (w->lay_fn != NULL) w->lay_fn(r);
    sim_alloc_fail(0, 0);
    sim_files.has_no_links = (w->asks & WORK_NO_LINKS) != 0;
    arm(w->begin_fn == NULL ? fault : none);
    sim_vfs.lie_write_at = w->begin_fn == NULL ? r->control_lie_at : 0;

    do {
        rc = open_pool(r, &error);
        if (judge(r, "open", rc, &error, retry_open ? " (second try)" : "")) break;
        if (rc != SQLPOOL_OK && r->pool != NULL) (void)fail(r, "open failed and gave a pool");
        if (rc != SQLPOOL_OK && fault.from_on && !retry_open) {
            if (sim_vfs.open_files != base_files)
                (void)fail(r, "open failed and left %d files open",
                           sim_vfs.open_files - base_files);
            heal();
        }
    } while (rc != SQLPOOL_OK && r->why[0] == '\0' && !retry_open++);
    if (rc != SQLPOOL_OK) {
        (void)fail(r, "open fails after the disk came back: %s: %s", sqlpool_result_name(rc),
                   error.message);
    } else {
        if (w->begin_fn != NULL) {
            if (w->begin_fn(r) != SQLPOOL_OK) (void)fail(r, "the run cannot begin");
            arm(fault);
            sim_vfs.lie_write_at = r->control_lie_at;
        }
        for (i = 0; i < w->count && r->why[0] == '\0'; i++) {
            rc = do_step(r, i, &error);
            if (judge(r, r->step_name, rc, &error, "")) break;
            if (rc != SQLPOOL_OK && error.message[0] == '\0' && w->begin_fn != NULL)
                (void)fail(r, "%s failed with %d and no word", r->step_name, rc);
            if (rc != SQLPOOL_OK && (!fault.from_on || i < w->must)) {
                come_back(r); /* a single fault is over; without tables nothing can go on */
                do_step_again(r, i, &error);
            }
        }
        if (r->why[0] == '\0' && fault.from_on &&
            fault.at % 2 == 0) { /* every second time the disk comes back */
            calls = kind_calls(fault.kind);
            come_back(r);
            for (i = 0; i < w->again && r->why[0] == '\0'; i++) do_step_again(r, i, &error);
        }
        rc = sqlpool_close(r->pool, &error);
        if (rc != SQLPOOL_OK)
            (void)fail(r, "close returned %s: %s", sqlpool_result_name(rc), error.message);
    }
    if (calls == UINT64_MAX) calls = kind_calls(fault.kind);
    if (r->why[0] == '\0' && fault.at != 0 && faults_so_far() == 0 && calls >= fault.at) {
        (void)fail(r, "no call failed: the harness does nothing");
    }
    heal();
    sim_vfs.lie_write_at = 0;
    if (r->why[0] == '\0' && sim_vfs.open_files != base_files) {
        (void)fail(r, "%d files were left open", sim_vfs.open_files - base_files);
    }
    run_check_rules(r, base_memory);
    if (r->why[0] == '\0') (void)w->check_fn(r);
    (void)alarm(0);
    return r->why[0] != '\0';
}

static run *new_run(const work *w) {
    run *r = (run *)calloc(1, sizeof *r);
    if (r == NULL || (r->own = calloc(1, w->own_bytes)) == NULL) abort();
    r->work = w;
    return r;
}
static void end_run(run *r) {
    free(r->own);
    free(r);
}

static int try_run(const work *w, sim_vfs_fault fault, bool is_wal) {
    run *r = new_run(w);
    int bad;
    bad = one_run(r, fault, is_wal);
    if (bad) run_report(r);
    end_run(r);
    return bad;
}

/*---- all of them ----*/

static uint64_t seed;
static bool full;
static const char *only; /* this workload */

typedef struct campaign {
    bool is_wal;
    uint64_t turn, runs, failures, calls;
    pace pace; /* of stride 0: its cases are counted */
} campaign;

static const int vfs_codes[] = {
    0, SQLITE_FULL, SQLITE_BUSY, SQLITE_CANTOPEN, SQLITE_IOERR_SHMOPEN, SQLITE_IOERR_SHORT_READ};
static const int files_codes[] = {ENOSPC, EACCES, EIO, ENOENT, EEXIST, EXDEV};
enum { VFS_CODES = sizeof vfs_codes / sizeof *vfs_codes };
enum { FILES_CODES = sizeof files_codes / sizeof *files_codes };

/*  The c-th code for this kind of call; -1: it cannot fail so. */
static int code_for(const work *w, int kind, int c) {
    if (kind >= IO_FILES) {
        const int asked = kind == IO_FILES + SIM_FILES_SYSTEM ? WORK_SYSTEM : WORK_FILES;
        if (!(w->asks & asked) || c >= FILES_CODES) return -1;
        return kind == IO_FILES + SIM_FILES_LOOK && c > 0 ? -1 : files_codes[c];
    }
    if (c >= VFS_CODES || (w->asks & WORK_SYSTEM)) return -1;
    if (kind == SIM_VFS_ANY) return c == 0 ? 0 : -1;
    if (vfs_codes[c] == SQLITE_IOERR_SHORT_READ && !(w->asks & WORK_SHORT)) return -1;
    return sim_vfs_kind_can_fail(kind) && sim_vfs_code_fits(kind, vfs_codes[c]) ? vfs_codes[c] : -1;
}

/*  Every n of one workload that the stride meets; with a stride of 0 they are counted. */
static uint64_t each_fault(campaign *c, const work *w, const uint64_t counts[IO_KINDS], int first,
                           int end) {
    uint64_t cases = 0;
    int kind, i, from_on;
    for (kind = first; kind < end; kind++) {
        for (i = 0; i < VFS_CODES || i < FILES_CODES; i++) {
            const int code = code_for(w, kind, i);
            if (code < 0) continue;
            for (from_on = kind == SIM_VFS_ANY; from_on <= 1; from_on++) {
                uint64_t n;
                cases += counts[kind];
                for (n = 1; n <= counts[kind] && c->pace.stride > 0 && c->failures < 30; n++) {
                    sim_vfs_fault fault = {n, kind, code, from_on, 0};
                    if (kind < IO_FILES || full) {
                        if (c->turn++ % c->pace.stride != 0) continue;
                    } else if (i != (kind == IO_FILES + SIM_FILES_LOOK
                                         ? 0
                                         : (int)(n + (uint64_t)from_on) % FILES_CODES)) {
                        continue; /* there are few: all of them, with a code each */
                    }
                    if (kind < IO_FILES) pace_keep(&c->pace);
                    fault.cut_writes = (int)(c->runs & 1);
                    c->failures += (uint64_t)try_run(w, fault, c->is_wal);
                    c->runs++;
                }
            }
        }
    }
    return cases;
}

/*  All workloads; for how many seconds about. */
static void loop(const work *works, int count, bool is_wal, double seconds) {
    const sim_vfs_fault none = {0, SIM_VFS_ANY, 0, 0, 0};
    uint64_t(*counts)[IO_KINDS] = (uint64_t(*)[IO_KINDS])calloc((size_t)count, sizeof *counts);
    campaign c = {is_wal, seed, 0, 0, 0, {0, 0, 0, 0, false}};
    uint64_t cases = 0;
    double needed = 0;
    int i, kind;
    if (counts == NULL) abort();
    for (i = 0; i < count; i++) {
        int64_t first;
        uint64_t mine;
        if (!is_wal && (works[i].asks & WORK_WAL_ONLY)) continue;
        if (only != NULL && strcmp(works[i].name, only) != 0) continue;
        c.failures += (uint64_t)try_run(&works[i], none, is_wal);
        first = sim_real_ns();
        c.failures += (uint64_t)try_run(&works[i], none, is_wal);
        first = sim_real_ns() - first;
        for (kind = 0; kind < IO_KINDS; kind++) counts[i][kind] = kind_calls(kind);
        if (sim_vfs.calls <= 20)
            test_fail(__FILE__, __LINE__, "%s meets the disk %d times", works[i].name,
                      (int)sim_vfs.calls);
        mine = each_fault(&c, &works[i], counts[i], 0, full ? IO_KINDS : IO_FILES);
        c.calls += sim_vfs.calls;
        cases += mine;
        needed += (double)mine * (double)first / 1e9;
    }
    c.pace = pace_of(needed, seconds, full);
    for (i = 0; i < count && !full; i++)
        (void)each_fault(&c, &works[i], counts[i], IO_FILES, IO_KINDS);
    c.pace.start = sim_real_ns();
    for (i = 0; i < count; i++) {
        const uint64_t runs = c.runs, failures = c.failures;
        const int64_t start = sim_real_ns();
        (void)each_fault(&c, &works[i], counts[i], 0, full ? IO_KINDS : IO_FILES);
        if (full && c.runs > runs)
            printf("# %s %s: %llu runs, %.1f s, %llu failed\n", works[i].name,
                   is_wal ? "wal" : "delete", (unsigned long long)(c.runs - runs),
                   (double)(sim_real_ns() - start) / 1e9,
                   (unsigned long long)(c.failures - failures));
        fflush(stdout);
    }
    free(counts);
    printf("# %s: %llu calls, %llu cases, %llu runs, stride %llu, seed %llu, %.1f s, %llu failed\n",
           is_wal ? "wal" : "delete", (unsigned long long)c.calls, (unsigned long long)cases,
           (unsigned long long)c.runs, (unsigned long long)c.pace.stride, (unsigned long long)seed,
           pace_took(&c.pace), (unsigned long long)c.failures);
    CHECK(c.runs > 20 || only != NULL);
    CHECK_INT(c.failures, 0);
}

/*  A disk that says OK and writes nothing must be noticed: in how many of so many runs it was. */
static int lies_seen(const work *w, int parts) {
    const sim_vfs_fault none = {0, SIM_VFS_ANY, 0, 0, 0};
    uint64_t writes;
    int part, seen = 0;
    if (try_run(w, none, true) != 0) return -1;
    writes = sim_vfs.kind_calls[SIM_VFS_WRITE];
    for (part = 1; part <= parts; part++) {
        run *r = new_run(w);
        r->control_lie_at = writes * (uint64_t)part / (uint64_t)(parts + 2);
        if (r->control_lie_at == 0) r->control_lie_at = 1;
        seen += one_run(r, none, true) != 0;
        sim_locks_forget(&r->locks);
        sim_alloc_forget();
        end_run(r);
    }
    return seen;
}

/*  The simulator, the files that make_fn makes, and one run if the arguments ask for one: -1, or what main() returns. */
static int io_begin(int argc, char **argv, const work *works, int count, bool (*make_fn)(void)) {
    int i;
    if (!run_install()) return 1;
    sim_catch_crashes();
    seed = sim_alloc.seed = sim_vfs.seed = sim_seed();
    if (make_fn != NULL && !make_fn()) {
        printf("# the files cannot be made\n0 passed, 1 failed\n");
        return 1;
    }
    if (argc >= 9 && strcmp(argv[1], "at") == 0) {
        sim_vfs_fault fault = {strtoull(argv[3], NULL, 10), 0, atoi(argv[5]),
                               strcmp(argv[6], "on") == 0, strcmp(argv[8], "cut") == 0};
        while (fault.kind < IO_KINDS && strcmp(argv[4], kind_name(fault.kind)) != 0) fault.kind++;
        if (getenv("SIM_TRACE") != NULL) sim_vfs.trace = stdout;
        for (i = 0; i < count; i++) {
            if (strcmp(works[i].name, argv[2]) == 0)
                return try_run(&works[i], fault, strcmp(argv[7], "wal") == 0);
        }
        return 2;
    }
    full = argc >= 2 && strcmp(argv[1], "full") == 0;
    only = argc >= 3 ? argv[2] : NULL;
    printf("# seed=%llu (SIM_SEED=... repeats it)\n", (unsigned long long)seed);
    return -1;
}

#endif
