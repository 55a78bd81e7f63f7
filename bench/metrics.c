/*  metrics.c - what monitoring costs.  SPDX-License-Identifier: MIT OR Unlicense

        metrics [--dir FOLDER] [--rounds N] [--slice-ms N] [--json]
        metrics --ops N --workload NAME --system NAME       one slice alone, for callgrind

    Systems: the library compiled without metrics (none), and with them: off, counters, full. With
    SYSTEM this file is a private copy of the library and the loops, without it the program that calls
    them. The Makefile compiles each copy in LAYOUTS ways, with functions and loops aligned
    differently: where code happens to lie is worth several percent of a query of 350 ns, as much as
    what is to be measured. Systems are compared within a layout, and the mean of the layouts counts.

    Workloads: point    a point query on the pool, each in a transaction of its own (no kept snapshots)
               kept     the same with kept snapshots: the fastest call on the pool
               scope    the same on a lease, in a snapshot scope: the fastest call there is

    Every system has its own pool on its own copy of the file, opened anew for each layout, in an order
    and after an allocation drawn anew, since it also matters where the memory lies. A round gives each a slice in an order
    drawn anew; processor time is measured, not the wall's. The figure of a layout is the median over
    the rounds of the ratio to `none`, and to `off`, within the round.  */
#define _POSIX_C_SOURCE 200809L

#ifdef SYSTEM /*--------------------------------------------------------------------- a copy */

#define SQLPOOL_IMPLEMENTATION
#define SQLPOOL_STATIC
#include "bench.h"

#include "metrics.h"

static void die(int rc, const sqlpool_error *error) {
    bench_pool(rc, error, "metrics");
}

static void *side_open(const char *path, int metrics, int is_kept) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_error error;
    sqlpool *pool;
    config.metrics = metrics;
    if (!is_kept) config.snapshot_idle_ms = SQLPOOL_OFF;
    die(sqlpool_open(&pool, path, &config, &error), &error);
    return pool;
}

static void side_fill(void *pool) {
    sqlpool_error error;
    die(sqlpool_script((sqlpool *)pool,
                       "CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER);"
                       "INSERT INTO t WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c "
                       "WHERE x < 10000) SELECT x, x * 7 FROM c",
                       -1, &error),
        &error);
}

static void side_run(void *user, int workload, int count, uint64_t *seed) {
    sqlpool *pool = (sqlpool *)user;
    sqlpool_error error;
    sqlpool_conn conn;
    sqlpool_rows rows;
    int64_t value;
    int i;
    if (workload == WORKLOAD_SCOPE) {
        die(sqlpool_conn_acquire(pool, SQLPOOL_READ, &conn, &error), &error);
        die(sqlpool_snapshot_begin(&conn, 0, &error), &error);
    }
    for (i = 0; i < count; i++) {
        const int64_t id = 1 + (int64_t)bench_random_below(seed, 10000);
        if (workload == WORKLOAD_SCOPE) {
            die(sqlpool_conn_query(&conn, &rows, "SELECT v FROM t WHERE id = ?", SQLPOOL_ARGS(id),
                                   &error),
                &error);
            value = sqlpool_rows_next(&rows) ? sqlpool_rows_int64(&rows, 0) : 0;
            die(sqlpool_rows_close(&rows, &error), &error);
        } else {
            die(sqlpool_query_int64(pool, &value, "SELECT v FROM t WHERE id = ?", SQLPOOL_ARGS(id),
                                    &error),
                &error);
        }
        if (value != id * 7) bench_die("wrong answer");
    }
    if (workload == WORKLOAD_SCOPE) die(sqlpool_conn_release(&conn) == SQLPOOL_UNCLEAN ? 0 : 1, NULL);
}

static void side_close(void *pool) {
    sqlpool_error error;
    die(sqlpool_close((sqlpool *)pool, &error), &error);
}

const metrics_side SYSTEM = {side_open, side_fill, side_run, side_close};

#else /*-------------------------------------------------------------------------- the program */

#define SQLPOOL_IMPLEMENTATION
#define SQLPOOL_STATIC
#include "bench.h"

#include "metrics.h"

extern const metrics_side metrics_with_1, metrics_with_2, metrics_with_3, metrics_with_4;
extern const metrics_side metrics_without_1, metrics_without_2, metrics_without_3, metrics_without_4;

enum { LAYOUTS = 4, PASSES = 3 * LAYOUTS };
static const metrics_side *const with[LAYOUTS] = {&metrics_with_1, &metrics_with_2, &metrics_with_3,
                                                  &metrics_with_4};
static const metrics_side *const without[LAYOUTS] = {&metrics_without_1, &metrics_without_2,
                                                     &metrics_without_3, &metrics_without_4};

enum { NONE, OFF, COUNTERS, FULL, SYSTEMS };
static const char *const system_names[SYSTEMS] = {"none", "off", "counters", "full"};
static const char *const workload_names[WORKLOADS] = {"point", "kept", "scope"};

static const metrics_side *side_of(int system, int layout) {
    return system == NONE ? without[layout] : with[layout];
}

static void *open_one(int system, int layout, int workload) {
    static const int levels[SYSTEMS] = {0, SQLPOOL_METRICS_OFF, SQLPOOL_METRICS_COUNTERS,
                                        SQLPOOL_METRICS_FULL};
    char path[BENCH_PATH_MAX], name[64];
    void *pool;
    (void)snprintf(name, sizeof name, "metrics-%s-%s.db", system_names[system],
                   workload_names[workload]);
    bench_path(path, name);
    (void)unlink(path);
    pool = side_of(system, layout)->open_fn(path, levels[system], workload != WORKLOAD_POINT);
    side_of(system, layout)->fill_fn(pool);
    return pool;
}

static int number_of(const char *name, const char *const *names, int count) {
    int i;
    for (i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) return i;
    }
    bench_die("unknown: %s", name);
}

/*  One layout: the median time of each system, and the medians of its ratios. */
typedef struct figures {
    double ns[SYSTEMS], to_none[SYSTEMS], to_off[SYSTEMS];
} figures;

static figures compare(int workload, int layout, int rounds, int slice_ms, uint64_t *seed) {
    static double to_none[SYSTEMS][BENCH_ROUNDS_MAX], to_off[SYSTEMS][BENCH_ROUNDS_MAX],
        times[SYSTEMS][BENCH_ROUNDS_MAX];
    figures result;
    void *pools[SYSTEMS], *gaps[SYSTEMS];
    int order[SYSTEMS], system, round, count = 200;
    for (system = 0; system < SYSTEMS; system++) order[system] = system;
    bench_shuffle(seed, order, SYSTEMS);
    for (system = 0; system < SYSTEMS; system++) {
        const int which = order[system];
        gaps[system] = malloc(1 + bench_random_below(seed, 20000));
        pools[which] = open_one(which, layout, workload);
        side_of(which, layout)->run_fn(pools[which], workload, 20000, seed);
    }
    for (;; count *= 2) { /* how many make a slice? */
        const int64_t start = bench_cpu_ns();
        side_of(NONE, layout)->run_fn(pools[NONE], workload, count, seed);
        if (bench_cpu_ns() - start >= slice_ms * INT64_C(1000000)) break;
    }
    for (round = 0; round < rounds; round++) {
        bench_shuffle(seed, order, SYSTEMS);
        for (system = 0; system < SYSTEMS; system++) {
            const int which = order[system];
            const metrics_side *side = side_of(which, layout);
            int64_t start;
            side->run_fn(pools[which], workload, 500, seed); /* the caches are its own */
            start = bench_cpu_ns();
            side->run_fn(pools[which], workload, count, seed);
            times[which][round] = (double)(bench_cpu_ns() - start) / count;
        }
        for (system = 0; system < SYSTEMS; system++) {
            to_none[system][round] = times[system][round] / times[NONE][round];
            to_off[system][round] = times[system][round] / times[OFF][round];
        }
    }
    for (system = 0; system < SYSTEMS; system++) {
        result.ns[system] = bench_median(times[system], rounds);
        result.to_none[system] = bench_median(to_none[system], rounds);
        result.to_off[system] = bench_median(to_off[system], rounds);
        side_of(system, layout)->close_fn(pools[system]);
        free(gaps[system]);
    }
    return result;
}

static void report(int workload, int rounds, int slice_ms, uint64_t *seed, bool is_json) {
    figures all[PASSES];
    int pass, system;
    for (pass = 0; pass < PASSES; pass++)
        all[pass] = compare(workload, pass % LAYOUTS, rounds, slice_ms, seed);
    for (system = 0; system < SYSTEMS; system++) {
        double ns = 0, to_none = 0, to_off = 0, least = 1e9, most = 0;
        for (pass = 0; pass < PASSES; pass++) {
            const figures *f = &all[pass];
            ns += f->ns[system] / PASSES;
            to_none += (f->to_none[system] - 1) * 100 / PASSES;
            to_off += (f->to_off[system] - 1) * 100 / PASSES;
            if (f->to_none[system] < least) least = f->to_none[system];
            if (f->to_none[system] > most) most = f->to_none[system];
        }
        printf("%-9s %-9s %8.1f ns  %+7.2f %% (%+.2f .. %+.2f)  %+7.2f %%\n",
               workload_names[workload], system_names[system], ns, to_none, (least - 1) * 100,
               (most - 1) * 100, to_off);
        if (is_json)
            printf("{\"bench\":\"metrics\",\"workload\":\"%s\",\"system\":\"%s\",\"ns\":%.1f,"
                   "\"over_none_percent\":%.2f,\"over_off_percent\":%.2f}\n",
                   workload_names[workload], system_names[system], ns, to_none, to_off);
    }
}

int main(int argc, char **argv) {
    const char *dir = ".", *only_workload = NULL, *only_system = NULL;
    int rounds = 41, slice_ms = 4, ops = 0, workload, i;
    bool is_json = false;
    uint64_t seed = (uint64_t)bench_now_ns();
    for (i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--json") == 0) {
            is_json = true;
            continue;
        }
        if (strcmp(argv[i], "--dir") == 0) dir = value;
        else if (strcmp(argv[i], "--rounds") == 0) rounds = atoi(value);
        else if (strcmp(argv[i], "--slice-ms") == 0) slice_ms = atoi(value);
        else if (strcmp(argv[i], "--ops") == 0) ops = atoi(value);
        else if (strcmp(argv[i], "--workload") == 0) only_workload = value;
        else if (strcmp(argv[i], "--system") == 0) only_system = value;
        else {
            fprintf(stderr, "unknown: %s\n", argv[i]);
            return 2;
        }
        i++;
    }
    if (rounds < 1 || rounds > BENCH_ROUNDS_MAX) rounds = BENCH_ROUNDS_MAX;
    bench_folder_make(dir);
    if (ops > 0) {
        const int system = number_of(only_system != NULL ? only_system : "full", system_names, SYSTEMS);
        void *pool;
        seed = 1;
        workload = number_of(only_workload != NULL ? only_workload : "kept", workload_names, WORKLOADS);
        pool = open_one(system, 0, workload);
        side_of(system, 0)->run_fn(pool, workload, ops, &seed);
        side_of(system, 0)->close_fn(pool);
    } else {
        printf("what monitoring costs: means of %d passes, medians of %d rounds of %d ms; SQLite %s; seed "
               "%llu\n"
               "%-9s %-9s %11s  %9s (passes) %20s\n",
               PASSES, rounds, slice_ms, sqlite3_libversion(), (unsigned long long)seed, "workload",
               "system", "a query", "over none", "over off");
        for (workload = 0; workload < WORKLOADS; workload++) {
            if (only_workload == NULL || strcmp(only_workload, workload_names[workload]) == 0)
                report(workload, rounds, slice_ms, &seed, is_json);
        }
    }
    bench_folder_remove();
    return 0;
}

#endif
