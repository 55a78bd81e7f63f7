/*  sched.c - the scheduler itself: toys whose schedules can be counted, and bugs that it must find.
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#define SQLPOOL_TESTING
#define SQLPOOL_IMPLEMENTATION
#include "sim/sched.h"

#include "sim/disk.h"
#include "sim/explore.h"

/*  What the toys share. */
static struct toy {
    uint32_t x, y, flag;
    int variant;
    sqlpool_mutex a, b;
    sqlpool_condition condition;
    int seen[4];
} toy;

#define AT(p, kind) sched_access((p), (kind), __LINE__, __func__)

static void toy_setup(void *variant) {
    memset(&toy, 0, sizeof toy);
    toy.variant = *(int *)variant;
    (void)sched_mutex_init(NULL, &toy.a);
    (void)sched_mutex_init(NULL, &toy.b);
    (void)sched_condition_init(NULL, &toy.condition);
}
static void toy_finish(void *unused) {
    (void)unused;
    sched_condition_destroy(NULL, &toy.condition);
    sched_mutex_destroy(NULL, &toy.b);
    sched_mutex_destroy(NULL, &toy.a);
}
static void spawn(void (*run)(void *), int me) {
    static const char *const names[] = {"A", "B", "C", "D"};
    (void)sched_spawn(run, (void *)(intptr_t)me, names[me], true);
}

/*---- two threads that write `variant` times each: every merge is a schedule ----*/

static void merge_run(void *argument) {
    int i;
    for (i = 0; i < toy.variant; i++) {
        AT(&toy.x, SCHED_WRITE);
        toy.x = toy.x * 2 + (uint32_t)(intptr_t)argument;
    }
}
static void merge_begin(int variant) {
    (void)variant;
    spawn(merge_run, 0);
    spawn(merge_run, 1);
}

/*---- x = x + 1 in two steps; 1: in one ----*/

static void add_run(void *unused) {
    uint32_t value;
    (void)unused;
    if (toy.variant == 1) {
        AT(&toy.x, SCHED_WRITE);
        toy.x++;
        return;
    }
    AT(&toy.x, SCHED_READ);
    value = toy.x;
    AT(&toy.x, SCHED_WRITE);
    toy.x = value + 1;
}
static void add_begin(int variant) {
    (void)variant;
    spawn(add_run, 0);
    spawn(add_run, 1);
}
static void add_finish(void *variant) {
    if (toy.x != 2) sched_fail("an addition is lost");
    toy_finish(variant);
}

/*---- two locks in two orders; 1: in one ----*/

static void order_run(void *argument) {
    const bool is_turned = argument != NULL && toy.variant == 0;
    sched_mutex_lock(NULL, is_turned ? &toy.b : &toy.a);
    sched_mutex_lock(NULL, is_turned ? &toy.a : &toy.b);
    sched_mutex_unlock(NULL, is_turned ? &toy.a : &toy.b);
    sched_mutex_unlock(NULL, is_turned ? &toy.b : &toy.a);
}
static void order_begin(int variant) {
    (void)variant;
    spawn(order_run, 0);
    spawn(order_run, 1);
}

/*---- one waits for a flag that another sets ----
    Variants: 0 right; 1 the flag is set without a signal, and the waiter has a deadline; 2 the same
    without a deadline; 3 no look after waking, and a thread that signals for something else; 4 the
    flag is looked at before the lock is taken; 5 the waiter waits by turning round. */

static void wait_run(void *unused) {
    (void)unused;
    if (toy.variant == 5) {
        for (;;) {
            AT(&toy.flag, SCHED_READ);
            if (toy.flag != 0) return;
            sched_sleep(NULL, 0);
        }
    }
    AT(&toy.flag, SCHED_READ);
    if (toy.variant == 4 && toy.flag != 0) return;
    sched_mutex_lock(NULL, &toy.a);
    if (toy.variant == 4) {
        sched_condition_wait(NULL, &toy.condition, &toy.a, -1);
    } else {
        while (toy.flag == 0) {
            (void)sched_now(NULL);
            sched_condition_wait(NULL, &toy.condition, &toy.a,
                                 toy.variant == 1 ? 1000000000 : -1);
            if (toy.variant == 3) break;
        }
    }
    if (toy.flag == 0) sched_fail("the waiter goes on too early");
    sched_mutex_unlock(NULL, &toy.a);
}
static void wait_set(void *argument) {
    sched_mutex_lock(NULL, &toy.a);
    if (argument == NULL) {
        AT(&toy.flag, SCHED_WRITE);
        toy.flag = 1;
    }
    if (toy.variant != 1 && toy.variant != 2) sched_condition_signal(NULL, &toy.condition);
    sched_mutex_unlock(NULL, &toy.a);
}
static void wait_begin(int variant) {
    spawn(wait_run, 0);
    (void)sched_spawn(wait_set, NULL, "B", true);
    if (variant == 0) spawn(wait_run, 2);
    if (variant == 3) (void)sched_spawn(wait_set, &toy, "C", true);
}

/*---- broken rules: 0 unlock of another's mutex, 1 destroyed while held, 2 locked twice, 3 moved,
       4 a mutex that another uses is destroyed, 5 round and round ----*/

static void rules_run(void *argument) {
    sqlpool_mutex moved;
    if (argument != NULL) {
        sched_mutex_lock(NULL, &toy.b);
        sched_mutex_lock(NULL, &toy.a);
        sched_mutex_unlock(NULL, &toy.a);
        sched_mutex_unlock(NULL, &toy.b);
        return;
    }
    sched_mutex_lock(NULL, &toy.a);
    switch (toy.variant) {
    case 0:
        sched_mutex_lock(NULL, &toy.b);
        sched_mutex_unlock(NULL, &toy.b);
        sched_mutex_unlock(NULL, &toy.b);
        break;
    case 1:
        sched_mutex_destroy(NULL, &toy.a);
        break;
    case 2:
        sched_mutex_lock(NULL, &toy.a);
        break;
    case 3:
        memcpy(&moved, &toy.a, sizeof moved);
        sched_mutex_unlock(NULL, &moved);
        break;
    case 4:
        AT(&toy.x, SCHED_WRITE);
        sched_mutex_unlock(NULL, &toy.a);
        sched_mutex_destroy(NULL, &toy.a);
        break;
    default:
        for (;;) {
            AT(&toy.x, SCHED_READ);
            sched_sleep(NULL, 0);
        }
    }
}
static void rules_begin(int variant) {
    spawn(rules_run, 0);
    if (variant == 4) spawn(rules_run, 1);
}

static const explore_scenario toys[] = {
    {"merge", 7, toy_setup, merge_begin, toy_finish, ""},
    {"add", 2, toy_setup, add_begin, add_finish, ""},
    {"order", 2, toy_setup, order_begin, toy_finish, ""},
    {"wait", 6, toy_setup, wait_begin, toy_finish, ""},
    {"rules", 6, toy_setup, rules_begin, toy_finish, ""},
};

/*---- tests ----*/

static int passed, failed;
static void verdict(bool is_good, const char *name) {
    printf("%s %s\n", is_good ? "ok" : "not ok", name);
    if (is_good) passed++;
    if (!is_good) failed++;
}
static void choose(const char *name, int variant) {
    size_t i;
    for (i = 0; i < sizeof toys / sizeof toys[0]; i++) {
        if (strcmp(toys[i].name, name) == 0) explore.scenario = &toys[i];
    }
    explore.variant = variant;
    explore.now = NULL;
    sched_set_clear(&explore.traces);
}
/*  Schedules of a toy with at most so many preemptions; 0: one failed. */
static uint64_t count(const char *name, int variant, int bound, bool keeps_all, uint64_t *ends) {
    explore_figures f = {0};
    bool is_good;
    f.bound_done = -1;
    choose(name, variant);
    sched.keeps_all = keeps_all;
    is_good = explore_dfs(bound, 1000000, INT64_MAX, &f);
    sched.keeps_all = false;
    if (ends != NULL) *ends = f.ends;
    return is_good && f.bound_done == bound ? f.last_runs : 0;
}
/*  Does this strategy find it, as what, in so many runs? What it finds is shrunk, written, read, and
    must fail again with the same trace. */
static bool finds(int strategy, const char *name, int variant, uint64_t runs, const char *why) {
    static sched_plan plan;
    explore_figures f = {0};
    const char *const path = "toy.schedule";
    bool is_good;
    uint64_t hash;
    FILE *file;
    choose(name, variant);
    is_good = strategy == 2 ? explore_dfs(1, runs, INT64_MAX, &f)
                            : explore_many(strategy == 0 ? SCHED_RANDOM : SCHED_PCT, 1, runs,
                                           INT64_MAX, &f);
    if (is_good || strstr(sched.why, why) == NULL) {
        printf("# %s/%d by strategy %d: %s\n", name, variant, strategy,
               is_good ? "nothing found" : sched.why);
        return false;
    }
    plan = sched.plan;
    if (explore_replay(&plan) || strstr(sched.why, why) == NULL) return false;
    explore_shrink(&plan);
    if (explore_replay(&plan)) return false;
    hash = sched.hash;
    file = fopen(path, "w");
    if (file == NULL) return false;
    explore_write_plan(file, &plan, sched.why);
    (void)fclose(file);
    memset(&plan, 0, sizeof plan);
    if (!explore_read_plan(path, &plan) || explore_replay(&plan)) return false;
    return sched.hash == hash && strstr(sched.why, why) != NULL && sched.replay_missed == 0;
}
static bool all_find(const char *name, int variant, const char *why) {
    int strategy;
    for (strategy = 0; strategy < 3; strategy++) {
        if (!finds(strategy, name, variant, 5000, why)) return false;
    }
    return true;
}
static bool is_clean(const char *name, int variant) {
    explore_figures f = {0};
    choose(name, variant);
    return explore_many(SCHED_RANDOM, 1, 3000, INT64_MAX, &f) &&
           explore_many(SCHED_PCT, 1, 3000, INT64_MAX, &f) &&
           count(name, variant, 3, false, NULL) > 0;
}

static void test_counts(void) {
    /* n points are n + 1 pieces of each thread: C(2n + 2, n + 1) merges */
    static const uint64_t merges[] = {2, 6, 20, 70, 252, 924, 3432};
    static const uint64_t orders[] = {1, 2, 6, 20, 70, 252, 924};
    bool is_told_apart = true, is_all = true, is_bounded = true, is_pruned = true;
    uint64_t ends, pruned_ends;
    int n, bound;
    for (n = 2; n <= 6; n++) {
        const uint64_t runs = count("merge", n, 2 * n, true, NULL);
        if (runs != merges[n]) {
            printf("# %d writes each: %llu schedules\n", n, (unsigned long long)runs);
            is_all = false;
        }
        sched.checked_bytes = 0; /* only who wrote when tells */
        (void)count("merge", n, 2 * n, true, &ends);
        (void)count("merge", n, 2 * n, false, &pruned_ends);
        sched.checked_bytes = sizeof toy;
        if (ends != orders[n] || pruned_ends != orders[n]) is_told_apart = false;
        if (count("merge", n, 0, true, NULL) != 2) is_bounded = false;
        for (bound = 0; bound <= 3; bound++) {
            if (count("merge", n, bound, true, &ends) < count("merge", n, bound, false, &pruned_ends))
                is_pruned = false;
            if (ends == 0 || ends != pruned_ends) is_pruned = false;
        }
    }
    verdict(is_all, "every_merge_of_two_threads_is_run_once");
    verdict(is_told_apart, "each_order_of_writes_is_a_state_of_its_own");
    verdict(is_bounded, "without_preemptions_there_are_two_orders_of_two_threads");
    verdict(is_pruned, "leaving_known_states_loses_no_end");
}
static void test_repeats(void) {
    explore_figures f = {0};
    uint64_t first[40], i;
    bool is_same = true, is_other = false;
    explore.doublecheck = true;
    choose("merge", 6);
    verdict(explore_many(SCHED_RANDOM, 1, 500, INT64_MAX, &f) &&
                explore_many(SCHED_PCT, 1, 500, INT64_MAX, &f),
            "a_seed_gives_one_trace");
    explore.doublecheck = false;
    for (i = 0; i < 40; i++) {
        (void)explore_many(SCHED_RANDOM, 100 + i, 1, INT64_MAX, &f);
        first[i] = sched.hash;
        if (i > 0 && first[i] != first[0]) is_other = true;
    }
    choose("merge", 6); /* from the beginning, in another order */
    for (i = 40; i-- > 0;) {
        (void)explore_many(SCHED_RANDOM, 100 + i, 1, INT64_MAX, &f);
        if (sched.hash != first[i]) is_same = false;
    }
    verdict(is_same, "what_a_seed_does_does_not_hang_on_other_seeds");
    verdict(is_other, "other_seeds_give_other_traces");
}

int main(void) {
    const char *why_not = sched_why_not();
#ifdef SCHED_ASAN
    why_not = "failing runs are taken back by copying memory";
#endif
    if (why_not != NULL) {
        printf("# skipped: %s\nok skipped\n1 passed, 0 failed\n", why_not);
        return 0;
    }
    if (sched_init(&sqlpool__hint, sizeof sqlpool__hint) != 0) return 2;
    sched_keep(&toy, sizeof toy);
    sched.checked = &toy;
    sched.checked_bytes = sizeof toy;
    explore.scenarios = toys;
    explore.folder = ".";
    test_counts();
    test_repeats();
    verdict(all_find("add", 0, "an addition is lost"), "a_lost_addition_is_found_and_replayed");
    verdict(is_clean("add", 1), "nothing_is_found_when_it_is_one_step");
    verdict(all_find("order", 0, "deadlock"), "two_locks_in_two_orders_are_a_deadlock");
    verdict(is_clean("order", 1), "two_locks_in_one_order_are_none");
    verdict(is_clean("wait", 0), "a_wait_that_looks_again_is_right");
    verdict(all_find("wait", 1, "lost wake-up"), "a_missing_signal_is_found_though_a_deadline_hides_it");
    verdict(all_find("wait", 2, "lost wake-up"), "a_missing_signal_is_found_before_the_deadlock");
    verdict(all_find("wait", 3, "too early"), "a_missing_look_after_a_wake_is_found");
    verdict(all_find("wait", 4, "deadlock"), "a_look_before_the_lock_is_found");
    verdict(is_clean("wait", 5), "who_polls_lets_others_go_first");
    verdict(all_find("rules", 0, "does not hold"), "unlock_by_another_is_found");
    verdict(all_find("rules", 1, "destroyed while"), "destroying_a_held_mutex_is_found");
    verdict(all_find("rules", 2, "that it holds"), "locking_twice_is_found");
    verdict(all_find("rules", 3, "has moved"), "a_mutex_that_moved_is_found");
    verdict(all_find("rules", 4, "destroyed"), "destroying_a_mutex_that_others_use_is_found");
    verdict(all_find("rules", 5, "no end"), "a_loop_without_an_end_is_found");
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
