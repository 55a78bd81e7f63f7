/*  explore.h - campaigns of the scheduler. SPDX-License-Identifier: MIT OR Unlicense

    A *scenario* is a few threads that use a pool, and what must hold whoever comes first. A program
    lists its scenarios and calls explore_main(), which runs them under the strategies of
    sim/sched.h: without arguments a quick campaign, as a test program does; see explore_usage(). */
#ifndef SIM_EXPLORE_H
#define SIM_EXPLORE_H

#include "sim/sched.h"

#include <dirent.h>
#include <errno.h>

typedef struct explore_scenario {
    const char *name;
    int variants;
    void (*setup)(void *variant);  /* as a thread: opens what the others use */
    void (*begin)(int variant);    /* sched_spawn() of the threads */
    void (*finish)(void *variant); /* as a thread, when all have returned: checks, closes */
    const char *bounds; /* a digit for each variant: preemptions up to which the long campaign must
                           run all schedules */
} explore_scenario;

typedef struct explore_figures {
    uint64_t runs, steps, decisions, distinct;
    int64_t ns;
    int bound_done;    /* dfs: all schedules with so many preemptions were run; -1: none */
    uint64_t last_runs; /* dfs: for that bound; and states and ends that were met */
    uint64_t states, ends;
} explore_figures;

static struct explore_state {
    const explore_scenario *scenarios;
    int scenario_count;
    const explore_scenario *scenario;
    int variant;
    uint64_t seed;
    bool doublecheck, says_progress;
    const char *folder; /* of failing schedules */
    sched_set traces;
    int64_t said_ns;    /* when progress was printed last */
    uint64_t decisions; /* of a run, about */
    const explore_scenario *now; /* whose world it is */
    int now_variant;
    sched_copy nothing, ready; /* the world before any scenario, and after this one's setup */
    sched_plan failure;
    int failures, deadlocks, lost;
    uint64_t learned; /* runs that only looked where it matters */
} explore = {.seed = 1};

static int64_t explore_real_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/*  Processor time: figures that hold on a machine with other work, too. */
static int64_t explore_processor_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/*---- one run ----*/

/*  The world as it is after the scenario's setup. false: that has failed. */
static bool explore_reset(void) {
    const bool is_new = explore.now != explore.scenario || explore.now_variant != explore.variant;
    if (!is_new && !sched.fresh) {
        sched_restore(&explore.ready);
        return true;
    }
    if (explore.nothing.bytes == NULL && !sched.fresh) sched_save(&explore.nothing);
    if (!sched.fresh) sched_restore(&explore.nothing);
    if (is_new) {
        memset(sched.places, 0, sizeof sched.places);
        sched.place_count = sched.conflict_count = 0;
        explore.now = NULL;
    }
    (void)sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 1, NULL);
    sched_alone(explore.scenario->setup, &explore.variant, "setup");
    if (sched.has_failed) return false;
    if (!sched.fresh) sched_save(&explore.ready);
    explore.now = explore.scenario;
    explore.now_variant = explore.variant;
    return true;
}

/*  Runs the scenario once with the strategy that is set up; true: nothing was wrong. */
static bool explore_once(uint64_t seed) {
    sched.has_failed = false;
    sched.why[0] = '\0';
    if (!explore_reset()) return false;
    sched.plan.count = 0;
    sched.plan.variant = explore.variant;
    sched.plan.seed = seed;
    (void)snprintf(sched.plan.scenario, sizeof sched.plan.scenario, "%s", explore.scenario->name);
    (void)sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, (int)(seed & 0x7fffffff) | 1, NULL);
    world.random = sched_mix(seed);
    sched.step = sched.asked = 0;
    sched.jumps = sched.idle_jumps = 0;
    sched.hash = UINT64_C(0xcbf29ce484222325);
    sched.replay_at = sched.replay_missed = 0;
    sched.frame_count = 0;
    sched.is_cut = sched.did_not_repeat = sched.is_known = false;
    sched.run++;
    world.places_digest = world.disk_digest = world.interrupts = 0;
    sched.last_function = NULL;
    explore.scenario->begin(explore.variant);
    sched.is_exploring = true;
    sched_go();
    sched.is_exploring = false;
    if (!sched.has_failed && !sched.is_known)
        sched_alone(explore.scenario->finish, &explore.variant, "finish");
    return !sched.has_failed;
}

static void explore_setup_random(uint64_t seed) {
    uint64_t dice = sched_mix(seed ^ UINT64_C(0x5eed));
    static const uint32_t chances[] = {32768, 16384, 8192, 4096, 2048, 1024, 512, 256};
    sched.strategy = SCHED_RANDOM;
    sched.plan.look_ns = SCHED_LOOK_NS;
    sched.dice = sched_roll(&dice);
    sched.filter = (sched_roll(&dice) & 3) != 0 && !sched.fresh; /* new places in each run */
    sched.chance_switch = chances[sched_roll(&dice) & 7];
    sched.allow_clock = (sched_roll(&dice) & 3) != 0;
    sched.chance_clock = chances[sched_roll(&dice) & 7] / 8;
    sched.allow_wake = (sched_roll(&dice) & 3) == 0;
    sched.chance_wake = chances[sched_roll(&dice) & 7] / 8;
    (void)snprintf(sched.plan.strategy, sizeof sched.plan.strategy, "random");
}
static void explore_setup_pct(uint64_t seed) {
    uint64_t dice = sched_mix(seed ^ UINT64_C(0x9c7));
    const uint64_t steps = explore.decisions + 1;
    int i;
    sched.strategy = SCHED_PCT;
    sched.plan.look_ns = SCHED_LOOK_NS;
    sched.filter = (sched_roll(&dice) & 7) != 0 && !sched.fresh;
    sched.allow_clock = (sched_roll(&dice) & 1) != 0;
    sched.allow_wake = false;
    for (i = 0; i <= SCHED_TASKS; i++)
        sched.priority[i] = (int)(1000 + sched_roll(&dice) % 1000000);
    sched.lowest = 999;
    sched.change_count = (int)(sched_roll(&dice) % 5); /* d - 1 */
    for (i = 0; i < sched.change_count; i++)
        sched.changes[i] = 1 + (uint32_t)(sched_roll(&dice) % steps);
    sched.dice = sched_roll(&dice);
    (void)snprintf(sched.plan.strategy, sizeof sched.plan.strategy, "pct");
}

/*---- files ----*/

static void explore_write_plan(FILE *out, const sched_plan *plan, const char *why) {
    int i;
    fprintf(out, "# a schedule of tests/unit/schedules.c: run it with --replay FILE\n");
    fprintf(out, "scenario %s\nvariant %d\nseed %llu\nlook %d\n", plan->scenario, plan->variant,
            (unsigned long long)plan->seed, plan->look_ns);
    for (i = 0; i < plan->count; i++) {
        const int c = plan->moves[i].choice;
        fprintf(out, "at %u ", plan->moves[i].step);
        if (c == SCHED_CLOCK) {
            fprintf(out, "clock\n");
        } else if (c == SCHED_CLOCK_OWN) {
            fprintf(out, "clock-own\n");
        } else if (c >= SCHED_WAKE) {
            fprintf(out, "wake %d\n", c - SCHED_WAKE);
        } else {
            fprintf(out, "run %d\n", c);
        }
    }
    fprintf(out, "why %s\n", why);
}
static bool explore_read_plan(const char *path, sched_plan *plan) {
    char line[1200], word[32];
    FILE *in = fopen(path, "r");
    if (in == NULL) return false;
    memset(plan, 0, sizeof *plan);
    while (fgets(line, sizeof line, in) != NULL) {
        unsigned step;
        unsigned long long seed;
        int task = 0, fields;
        if (sscanf(line, "scenario %47s", plan->scenario) == 1) continue;
        if (sscanf(line, "variant %d", &plan->variant) == 1) continue;
        if (sscanf(line, "seed %llu", &seed) == 1) plan->seed = seed;
        if (sscanf(line, "look %d", &plan->look_ns) == 1) continue;
        fields = sscanf(line, "at %u %31s %d", &step, word, &task);
        if (fields < 2 || plan->count == SCHED_MOVES) continue;
        plan->moves[plan->count].step = step;
        plan->moves[plan->count++].choice = strcmp(word, "clock") == 0       ? SCHED_CLOCK
                                            : strcmp(word, "clock-own") == 0 ? SCHED_CLOCK_OWN
                                            : strcmp(word, "wake") == 0      ? SCHED_WAKE + task
                                                                             : task;
    }
    (void)fclose(in);
    return plan->scenario[0] != '\0';
}

static bool explore_replay(const sched_plan *plan) {
    sched.strategy = SCHED_REPLAY;
    sched.plan.look_ns = plan->look_ns;
    sched.replay = plan;
    sched.filter = false;
    (void)snprintf(sched.plan.strategy, sizeof sched.plan.strategy, "replay");
    return explore_once(plan->seed);
}

/*---- a failure ----*/

/*  Leaves out what is not needed: later decisions first, in halves, then one by one. */
static void explore_shrink(sched_plan *plan) {
    static sched_plan smaller;
    int size, tries = 0;
    for (size = (plan->count + 1) / 2; size > 0; size = size == 1 ? 0 : (size + 1) / 2) {
        int from = plan->count - size;
        for (; from > -size && tries < 3000; from -= size, tries++) {
            const int first = from < 0 ? 0 : from, last = from + size;
            if (last > plan->count || last <= first) continue;
            smaller = *plan;
            memmove(&smaller.moves[first], &smaller.moves[last],
                    (size_t)(plan->count - last) * sizeof smaller.moves[0]);
            smaller.count -= last - first;
            if (!explore_replay(&smaller) && !sched.did_not_repeat) *plan = sched.plan;
        }
    }
}

static void explore_report(void) {
    static sched_plan plan;
    char path[600], why[1024], strategy[16];
    FILE *out;
    const uint64_t hash = sched.hash;
    int before;
    plan = sched.plan;
    explore.failures++;
    explore.deadlocks += strncmp(sched.why, "deadlock", 8) == 0;
    explore.lost += strncmp(sched.why, "lost", 4) == 0;
    (void)snprintf(why, sizeof why, "%s", sched.why);
    (void)snprintf(strategy, sizeof strategy, "%s", plan.strategy);
    before = plan.count;
    printf("# %s/%d: %s\n", plan.scenario, plan.variant, why);
    printf("#   found by %s, seed %llu, after %u points, %d decisions, trace %016llx\n", strategy,
           (unsigned long long)plan.seed, sched.step, before, (unsigned long long)hash);
    fflush(stdout);
    if (sched.fresh) { /* what the run left cannot be taken back: one failure is all there is */
        (void)snprintf(path, sizeof path, "%s/%s-%d.schedule", explore.folder, plan.scenario,
                       plan.variant);
        out = fopen(path, "w");
        if (out != NULL) explore_write_plan(out, &plan, why);
        if (out != NULL) (void)fclose(out);
        printf("#   schedule: %s\n0 passed, 1 failed\n", path);
        fflush(stdout);
        _exit(1);
    }
    if (explore_replay(&plan)) printf("#   it does not fail again: the run did not repeat\n");
    explore_shrink(&plan);
    sched.verbose = true;
    (void)explore_replay(&plan);
    sched.verbose = false;
    (void)snprintf(path, sizeof path, "%s/%s-%d-%016llx.schedule", explore.folder, plan.scenario,
                   plan.variant, (unsigned long long)(sched.hash));
    out = fopen(path, "w");
    if (out != NULL) {
        explore_write_plan(out, &plan, sched.why);
        (void)fclose(out);
    }
    printf("#   %d of %d decisions are needed: %s\n#   schedule: %s\n", plan.count, before, sched.why,
           path);
    fflush(stdout);
    explore.failure = plan;
}

/*  A crash: the schedule is what there is to say. */
SQLPOOL__UNUSED static void explore_crashed(int number) {
    char path[600];
    FILE *out;
    (void)signal(number, SIG_DFL);
    if (sched.has_failed) _exit(3);
    sched.has_failed = true;
    (void)snprintf(sched.why, sizeof sched.why, "crash: signal %d at %s:%d in %s", number,
                   sched.last_function != NULL ? sched.last_function : "-", sched.last_line,
                   world.current < 0 ? "the explorer" : world.tasks[world.current].name);
    (void)snprintf(path, sizeof path, "%s/%s-%d-crash.schedule", explore.folder, sched.plan.scenario,
                   sched.plan.variant);
    out = fopen(path, "w");
    if (out != NULL) {
        explore_write_plan(out, &sched.plan, sched.why);
        (void)fclose(out);
    }
    printf("# %s/%d: %s\n#   found by %s, seed %llu\n#   schedule: %s\n0 passed, 1 failed\n",
           sched.plan.scenario, sched.plan.variant, sched.why, sched.plan.strategy,
           (unsigned long long)sched.plan.seed, path);
    fflush(stdout);
    _exit(3);
}
static void explore_catch_crashes(void) {
#ifndef SCHED_ASAN
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
    static char stack[64 * 1024];
    stack_t alternate;
    size_t i;
    memset(&alternate, 0, sizeof alternate);
    alternate.ss_sp = stack;
    alternate.ss_size = sizeof stack;
    (void)sigaltstack(&alternate, NULL);
    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = explore_crashed;
        action.sa_flags = SA_ONSTACK;
        (void)sigaction(numbers[i], &action, NULL);
    }
#endif
}

/*---- many runs ----*/

/*  Now and then a line, for whoever waits. */
static void explore_say_progress(const explore_figures *f) {
    const int64_t now = explore_real_ns();
    if (!explore.says_progress || now - explore.said_ns < INT64_C(20000000000)) return;
    explore.said_ns = now;
    printf("#   ... %s/%d %s: %llu schedules\n", explore.scenario->name, explore.variant,
           sched.plan.strategy, (unsigned long long)f->runs);
    fflush(stdout);
}
static void explore_count(explore_figures *f) {
    if ((++f->runs & 0xff) == 0) explore_say_progress(f);
    f->steps += sched.step;
    f->decisions += sched.asked;
    (void)sched_set_add(&explore.traces, sched.hash);
}

/*  Learns where it matters who comes first, and how many decisions a run has, from a few runs: the same
    ones whenever a scenario begins, so that what a seed does hangs on nothing but the seed. */
static bool explore_enter(void) {
    enum { LEARN = 48, COUNT = 16 };
    uint64_t decisions = 0, seed;
    if (explore.now == explore.scenario && explore.now_variant == explore.variant) return true;
    for (seed = 0; seed < (sched.fresh ? 4 : LEARN + COUNT); seed++) {
        explore_setup_random(seed);
        sched.filter = seed >= LEARN;
        if (seed == LEARN) sched_fix_places();
        explore.learned++;
        if (!explore_once(seed)) return false;
        if (seed >= LEARN) decisions += sched.asked;
    }
    sched_fix_places();
    explore.decisions = sched.fresh ? 200 : decisions / COUNT;
    return true;
}

/*  Random or PCT runs; false: one of them failed. */
static bool explore_many(sched_strategy strategy, uint64_t first_seed, uint64_t runs, int64_t end_ns,
                         explore_figures *f) {
    const int64_t start = explore_processor_ns();
    enum { ALWAYS_CHECKED = 8 };
    bool is_good = runs == 0 || explore_enter();
    uint64_t i;
    for (i = 0; i < runs && is_good; i++) {
        const uint64_t seed = first_seed + i;
        if (strategy == SCHED_RANDOM) explore_setup_random(seed);
        if (strategy == SCHED_PCT) explore_setup_pct(seed);
        is_good = explore_once(seed);
        explore_count(f);
        if (is_good && (explore.doublecheck || (i < ALWAYS_CHECKED && !sched.fresh))) {
            const uint64_t hash = sched.hash;
            const uint32_t step = sched.step;
            if (strategy == SCHED_RANDOM) explore_setup_random(seed);
            if (strategy == SCHED_PCT) explore_setup_pct(seed);
            is_good = explore_once(seed);
            if (is_good && (hash != sched.hash || step != sched.step)) {
                sched.has_failed = true;
                is_good = false;
                (void)snprintf(sched.why, sizeof sched.why,
                               "the same seed gave two traces: %016llx and %016llx",
                               (unsigned long long)hash, (unsigned long long)sched.hash);
            }
        }
        if ((i & 15) == 15 && explore_real_ns() >= end_ns) break;
    }
    f->ns += explore_processor_ns() - start;
    return is_good;
}

/*  All schedules with at most `bound` preemptions, up to so many; false: one of them failed. */
static bool explore_dfs(int bound, uint64_t runs, int64_t end_ns, explore_figures *f) {
    const int64_t start = explore_processor_ns();
    bool is_good = explore_enter(), is_whole = false;
    uint64_t i = 0, first = 0;
    while (is_good && !is_whole && i < runs && explore_real_ns() < end_ns) {
        sched.forced = 0;
        sched_set_clear(&sched.known);
        sched_set_clear(&sched.ends);
        sched_fix_places();
        is_whole = true;
        first = i;
        for (;; i++) {
            int at;
            if (i == runs || ((i & 15) == 15 && explore_real_ns() >= end_ns)) {
                is_whole = false;
                break;
            }
            sched.strategy = SCHED_DFS;
            sched.plan.look_ns = 0;
            sched.filter = sched.allow_clock = true;
            sched.allow_wake = false;
            sched.bound = bound;
            (void)snprintf(sched.plan.strategy, sizeof sched.plan.strategy, "dfs-%d", bound);
            is_good = explore_once(1);
            explore_count(f);
            if (!is_good) break;
            for (at = sched.frame_count - 1; at >= 0; at--) {
                sched_frame *frame = &sched.frames[at];
                do {
                    frame->index++;
                } while (frame->index < frame->count &&
                         frame->spent + frame->costs[frame->index] > bound);
                if (frame->index < frame->count) break;
            }
            if (at < 0) break; /* that was the last one */
            sched.forced = at + 1;
        }
        if (sched.has_grown) is_whole = false; /* some points were passed before they counted */
    }
    if (is_good && is_whole && f->bound_done < bound) {
        f->bound_done = bound;
        f->last_runs = i - first + 1;
        f->states = sched.known.count;
        f->ends = sched.ends.count;
    }
    f->ns += explore_processor_ns() - start;
    return is_good;
}

/*---- campaigns ----*/

#define EXPLORE_ALL (UINT64_C(1) << 62)

/*  What one scenario gets. */
typedef struct explore_budget {
    uint64_t random, pct, dfs; /* runs, of each variant */
    int bound;
    int64_t ns;     /* of each variant; 0: no limit */
    bool is_long;   /* the bounds that each variant says, all of them */
} explore_budget;

static void explore_figures_line(const char *strategy, const explore_figures *f) {
    const double seconds = (double)f->ns / 1e9;
    if (f->runs == 0) return;
    printf("#   %-7s %9llu schedules, %6.0f/s, %4.0f points and %4.0f decisions each\n", strategy,
           (unsigned long long)f->runs, seconds > 0 ? (double)f->runs / seconds : 0.0,
           (double)f->steps / (double)f->runs, (double)f->decisions / (double)f->runs);
    if (f->bound_done >= 0)
        printf("#   exhausted %llu schedules with at most %d preemptions: %llu states, %llu ends\n",
               (unsigned long long)f->last_runs, f->bound_done,
               (unsigned long long)f->states, (unsigned long long)f->ends);
}

/*  All variants of a scenario; false: a run failed. */
static bool explore_scenario_runs(const explore_scenario *s, int only_variant,
                                  const explore_budget *budget, explore_figures *total) {
    bool is_good = true;
    int v;
    explore.scenario = s;
    for (v = 0; v < s->variants; v++) {
        explore_figures random = {0}, pct = {0}, dfs = {0};
        const int64_t start = explore_real_ns();
        const int64_t ns = budget->ns > 0 ? budget->ns : INT64_C(1) << 60;
        bool is_this_good;
        const int last = budget->is_long ? s->bounds[v] - '0' : budget->bound;
        int bound;
        if (only_variant >= 0 && v != only_variant) continue;
        random.bound_done = pct.bound_done = dfs.bound_done = -1;
        explore.variant = v;
        sched_set_clear(&explore.traces);
        explore.scenario = s;
        is_this_good = explore_many(SCHED_RANDOM, explore.seed, budget->random, start + ns / 3,
                                    &random);
        if (is_this_good)
            is_this_good =
                explore_many(SCHED_PCT, explore.seed, budget->pct, start + 2 * ns / 3, &pct);
        for (bound = 0; bound <= last && is_this_good; bound++) {
            if (dfs.runs < budget->dfs)
                is_this_good = explore_dfs(bound, budget->dfs - dfs.runs, start + ns, &dfs);
            if (dfs.bound_done < bound) break;
        }
        if (!is_this_good) {
            explore_report();
            is_good = false;
        } else if (budget->is_long && dfs.bound_done < last) {
            printf("# %s/%d: not all schedules with %d preemptions were run\n", s->name, v, last);
            is_good = budget->dfs < EXPLORE_ALL && is_good; /* as was asked for */
        }
        printf("# %s/%d: %llu schedules, %llu distinct traces, %d places matter\n", s->name, v,
               (unsigned long long)(random.runs + pct.runs + dfs.runs),
               (unsigned long long)explore.traces.count, sched.conflict_count);
        explore_figures_line("random", &random);
        explore_figures_line("pct", &pct);
        explore_figures_line("dfs", &dfs);
        fflush(stdout);
        total->runs += random.runs + pct.runs + dfs.runs;
        total->distinct += explore.traces.count;
        total->steps += random.steps + pct.steps + dfs.steps;
        total->ns += random.ns + pct.ns + dfs.ns;
    }
    return is_good;
}

/*  Which strategy finds something, and after how many runs: for controls. Each has `runs` runs of
    each variant, in rounds that double. */
static int explore_hunt(const char *only, uint64_t runs, const int64_t ns) {
    static const char *const names[] = {"random", "pct", "dfs"};
    int found = 0, strategy;
    for (strategy = 0; strategy < 3; strategy++) {
        uint64_t done = 0, round = 0, chunk = 100, total = 0;
        explore.learned = 0;
        explore.now = NULL;
        const int64_t start = explore_real_ns();
        bool is_good = true;
        while (is_good && done < runs && explore_real_ns() - start < ns) {
            int i, v;
            const uint64_t size = done + chunk > runs ? runs - done : chunk;
            for (i = 0; i < explore.scenario_count && is_good; i++) {
                const explore_scenario *s = &explore.scenarios[i];
                if (only != NULL && strcmp(only, s->name) != 0) continue;
                for (v = 0; v < s->variants && is_good; v++) {
                    explore_figures f = {0};
                    const int64_t end = start + ns;
                    explore.scenario = s;
                    explore.variant = v;
                    if (strategy == 0)
                        is_good = explore_many(SCHED_RANDOM, explore.seed + done, size, end, &f);
                    if (strategy == 1)
                        is_good = explore_many(SCHED_PCT, explore.seed + done, size, end, &f);
                    if (strategy == 2)
                        is_good = explore_dfs(round > 0 ? 2 : 1, done + size, end, &f);
                    total += f.runs;
                }
            }
            done += size;
            chunk *= 2;
            round++;
        }
        if (is_good) {
            printf("# %s: nothing in %llu runs\n", names[strategy], (unsigned long long)total);
        } else {
            found++;
            printf("# %s: found in run %llu, %s/%d: %s\n", names[strategy],
                   (unsigned long long)(total + explore.learned), explore.scenario->name, explore.variant, sched.why);
            explore_report();
        }
        fflush(stdout);
    }
    return found;
}

static void explore_usage(void) {
    printf("schedules [OPTION...]\n"
           "  --list             scenarios and how many variants they have\n"
           "  --scenario NAME    only this one\n"
           "  --variant N        only this variant\n"
           "  --seed N           first seed [1, or SIM_SEED]\n"
           "  --random N --pct N --dfs N   runs of each variant under each strategy\n"
           "  --bound N          preemptions of dfs, at most [2]\n"
           "  --seconds N        at most so long, shared by all variants\n"
           "  --long             dfs up to the preemptions that each variant is small enough for, all of\n"
           "                     it unless --dfs behind it says how much\n"
           "  --fresh            opens the pool for each run instead of copying one; no dfs\n"
           "  --keep-all         dfs runs what it knows, too\n"
           "  --doublecheck      each random and PCT run twice: the traces must be equal; else the first\n"
           "                     eight are\n"
           "  --hunt N           which strategy fails first, with N runs of each variant; fails when\n"
           "                     none does (for controls)\n"
           "  --replay FILE      a schedule again, each change of threads printed\n"
           "  --chatty           before it: each point printed\n"
           "  --folder PATH      where failing schedules are written [.]\n");
}

static int explore_list(void) {
    int i;
    for (i = 0; i < explore.scenario_count; i++)
        printf("%s %d\n", explore.scenarios[i].name, explore.scenarios[i].variants);
    return 0;
}
static int explore_replay_file(const char *path) {
    static sched_plan plan;
    int i;
    bool is_good;
    if (!explore_read_plan(path, &plan)) {
        printf("# %s cannot be read\n", path);
        return 2;
    }
    for (i = 0; i < explore.scenario_count; i++) {
        if (strcmp(explore.scenarios[i].name, plan.scenario) == 0)
            explore.scenario = &explore.scenarios[i];
    }
    if (explore.scenario == NULL) {
        printf("# there is no scenario %s\n", plan.scenario);
        return 2;
    }
    explore.variant = plan.variant;
    sched.verbose = true;
    is_good = explore_replay(&plan);
    printf("# %s/%d, trace %016llx, %d of %d decisions fitted: %s\n", plan.scenario, plan.variant,
           (unsigned long long)sched.hash, plan.count - sched.replay_missed, plan.count,
           is_good ? "nothing is wrong" : sched.why);
    printf("%d passed, %d failed\n", is_good ? 1 : 0, is_good ? 0 : 1);
    return is_good ? 0 : 1;
}

/*  The schedules that were kept because they failed once. */
static int explore_compare(const void *a, const void *b) {
    return strcmp((const char *)a, (const char *)b);
}
static void explore_kept(const char *folder, int *passed, int *failed) {
    static char names[64][256];
    static sched_plan plan;
    const struct dirent *entry;
    DIR *dir = opendir(folder);
    int count = 0, i, s;
    if (dir == NULL) return;
    while ((entry = readdir(dir)) != NULL && count < 64) {
        if (strstr(entry->d_name, ".schedule") != NULL)
            (void)snprintf(names[count++], sizeof names[0], "%s", entry->d_name);
    }
    (void)closedir(dir);
    qsort(names, (size_t)count, sizeof names[0], explore_compare);
    for (i = 0; i < count; i++) {
        char path[1400];
        bool is_good = false;
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        explore.scenario = NULL;
        if (!explore_read_plan(path, &plan)) plan.scenario[0] = '\0';
        for (s = 0; s < explore.scenario_count; s++) {
            if (strcmp(explore.scenarios[s].name, plan.scenario) == 0)
                explore.scenario = &explore.scenarios[s];
        }
        explore.variant = plan.variant;
        if (explore.scenario == NULL || plan.variant >= explore.scenario->variants) {
            printf("# %s cannot be read or has no scenario\n", path);
        } else {
            is_good = explore_replay(&plan);
            printf("# kept %s: %d of %d decisions fitted%s%s\n", names[i],
                   plan.count - sched.replay_missed, plan.count, is_good ? "" : ": ",
                   is_good ? "" : sched.why);
        }
        printf("%s kept/%s\n", is_good ? "ok" : "not ok", names[i]);
        *passed += is_good;
        *failed += !is_good;
        explore.now = NULL; /* no runs have shown where it matters */
        if (!is_good && sched.fresh) return;
    }
}

SQLPOOL__UNUSED static int explore_main(int argc, char **argv, const explore_scenario *scenarios, int count) {
    explore_budget budget = {150, 150, 400, 1, 0, false};
    const char *only = NULL, *seed = getenv("SIM_SEED");
    int only_variant = -1, i, passed = 0, failed = 0, variants = 0;
    int64_t seconds = 0;
    uint64_t hunt = 0;
    explore_figures total = {0};
    explore.scenarios = scenarios;
    explore.scenario_count = count;
    explore.folder = ".";
    if (seed != NULL && seed[0] != '\0') explore.seed = strtoull(seed, NULL, 0);
#ifdef SCHED_ASAN
    sched.fresh = true; /* copies of memory would hide and invent errors */
    budget.random = budget.pct = 40;
#endif
    explore_catch_crashes();
    for (i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--list") == 0) return explore_list();
        if (strcmp(argv[i], "--fresh") == 0) {
            sched.fresh = true;
            continue;
        }
        if (strcmp(argv[i], "--chatty") == 0) {
            sched.chatty = true;
            continue;
        }
        if (strcmp(argv[i], "--keep-all") == 0) {
            sched.keeps_all = true;
            continue;
        }
        if (strcmp(argv[i], "--long") == 0) {
            budget.is_long = explore.says_progress = true;
            budget.dfs = EXPLORE_ALL;
            continue;
        }
        if (strcmp(argv[i], "--doublecheck") == 0) {
            explore.doublecheck = true;
            continue;
        }
        i++;
        if (strcmp(argv[i - 1], "--scenario") == 0) only = value;
        else if (strcmp(argv[i - 1], "--variant") == 0) only_variant = atoi(value);
        else if (strcmp(argv[i - 1], "--seed") == 0) explore.seed = strtoull(value, NULL, 0);
        else if (strcmp(argv[i - 1], "--random") == 0) budget.random = strtoull(value, NULL, 0);
        else if (strcmp(argv[i - 1], "--pct") == 0) budget.pct = strtoull(value, NULL, 0);
        else if (strcmp(argv[i - 1], "--dfs") == 0) budget.dfs = strtoull(value, NULL, 0);
        else if (strcmp(argv[i - 1], "--bound") == 0) budget.bound = atoi(value);
        else if (strcmp(argv[i - 1], "--seconds") == 0) seconds = atoll(value);
        else if (strcmp(argv[i - 1], "--hunt") == 0) hunt = strtoull(value, NULL, 0);
        else if (strcmp(argv[i - 1], "--folder") == 0) explore.folder = value;
        else if (strcmp(argv[i - 1], "--replay") == 0) return explore_replay_file(value);
        else {
            explore_usage();
            return strcmp(argv[i - 1], "--help") == 0 ? 0 : 2;
        }
    }
    if (hunt > 0)
        return explore_hunt(only, hunt, seconds > 0 ? seconds * 1000000000 : INT64_C(1) << 60) > 0 ? 0
                                                                                                 : 1;
    if (sched.fresh) budget.dfs = 0; /* memory is elsewhere in each run: it cannot be repeated so far */
    for (i = 0; i < count; i++) {
        if (only == NULL || strcmp(only, scenarios[i].name) == 0)
            variants += only_variant >= 0 ? 1 : scenarios[i].variants;
    }
    if (seconds > 0 && variants > 0) budget.ns = seconds * 1000000000 / variants;
    printf("# seed=%llu\n", (unsigned long long)explore.seed);
    if (argc == 1 && getenv("TEST_ROOT") != NULL) {
        char kept[1024];
        (void)snprintf(kept, sizeof kept, "%s/tests/sim/schedules", getenv("TEST_ROOT"));
        explore_kept(kept, &passed, &failed);
    }
    for (i = 0; i < count; i++) {
        if (only != NULL && strcmp(only, scenarios[i].name) != 0) continue;
        if (explore_scenario_runs(&scenarios[i], only_variant, &budget, &total)) {
            passed++;
            printf("ok %s\n", scenarios[i].name);
        } else {
            failed++;
            printf("not ok %s\n", scenarios[i].name);
        }
        fflush(stdout);
    }
    printf("# %d deadlocks, %d lost wake-ups, %d other failures\n", explore.deadlocks, explore.lost,
           explore.failures - explore.deadlocks - explore.lost);
    printf("# %llu schedules, %llu distinct, %llu points, %.1f s of a processor\n", (unsigned long long)total.runs,
           (unsigned long long)total.distinct, (unsigned long long)total.steps,
           (double)total.ns / 1e9);
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}

#endif
