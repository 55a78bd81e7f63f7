/*  clock.h - the simulator's time, randomness and locks. SPDX-License-Identifier: MIT OR Unlicense

    Time is a number that moves only when someone sleeps, waits, or a test says so: a test of a
    five-second timeout takes microseconds. Random numbers come from a seed, or from a script first.
    Locks are pthread's with every rule of sqlpool_locks checked: unlock and wait by the owner only,
    no recursive lock, destroyed only when free and without waiters, never moved in memory, all of
    them destroyed at the end, every thread joined. Initialisations can be made to fail. A broken
    rule is counted, printed with the seed, and found by sim_locks_check(). */
#ifndef SIM_CLOCK_H
#define SIM_CLOCK_H

#include "sqlpool.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline int64_t sim_real_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static inline void sim_real_sleep_ns(int64_t ns) {
    struct timespec t;
    if (ns <= 0) return;
    t.tv_sec = (time_t)(ns / 1000000000);
    t.tv_nsec = (long)(ns % 1000000000);
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}
/*  The same as a clock hook, beside a now_ns_fn of the test's own. */
static inline void sim_real_sleep(void *user, int64_t ns) {
    (void)user;
    sim_real_sleep_ns(ns);
}

/*---- clock ----*/

typedef struct sim_clock {
    int64_t now_ns;
    int64_t step_ns; /* added at every look: time that always moves a little */
    uint64_t looks;
    uint64_t sleeps;
    int64_t slept_ns;
} sim_clock;

static inline int64_t sim_clock_now(void *user) {
    sim_clock *c = (sim_clock *)user;
    __atomic_fetch_add(&c->looks, 1, __ATOMIC_RELAXED);
    return __atomic_add_fetch(&c->now_ns, c->step_ns, __ATOMIC_SEQ_CST);
}
/*  Moves the time; a negative jump is allowed, to see what a bad clock hook does. */
static inline void sim_clock_advance(sim_clock *c, int64_t ns) {
    __atomic_fetch_add(&c->now_ns, ns, __ATOMIC_SEQ_CST);
}
static inline void sim_clock_sleep(void *user, int64_t ns) {
    sim_clock *c = (sim_clock *)user;
    __atomic_fetch_add(&c->sleeps, 1, __ATOMIC_RELAXED);
    if (ns <= 0) return;
    __atomic_fetch_add(&c->slept_ns, ns, __ATOMIC_RELAXED);
    sim_clock_advance(c, ns);
}
static inline sqlpool_clock sim_clock_hooks(sim_clock *c) {
    sqlpool_clock hooks;
    if (c->now_ns == 0) c->now_ns = 1000000000;
    hooks.user = c;
    hooks.now_ns_fn = sim_clock_now;
    hooks.sleep_ns_fn = sim_clock_sleep;
    return hooks;
}

/*---- random ----*/

typedef struct sim_random {
    uint64_t state;
    const uint64_t *script; /* these first */
    uint64_t script_count;
    uint64_t draws;
} sim_random;

/*  splitmix64: any seed is a good one, and one atomic add makes it safe for many threads. */
#define SIM_RANDOM_STEP 0x9e3779b97f4a7c15u
static inline uint64_t sim_random_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static inline uint64_t sim_random_next(void *user) {
    sim_random *r = (sim_random *)user;
    const uint64_t draw = __atomic_fetch_add(&r->draws, 1, __ATOMIC_RELAXED);
    if (draw < r->script_count) return r->script[draw];
    return sim_random_mix(__atomic_add_fetch(&r->state, SIM_RANDOM_STEP, __ATOMIC_RELAXED));
}
/*  One thread's own: 0 .. bound - 1. */
static inline uint64_t sim_roll(uint64_t *dice, uint64_t bound) {
    return sim_random_mix(*dice += SIM_RANDOM_STEP) % bound;
}
static inline uint64_t sim_random_below(sim_random *r, uint64_t bound) {
    return bound == 0 ? 0 : sim_random_next(r) % bound;
}
static inline sqlpool_random sim_random_hooks(sim_random *r) {
    sqlpool_random hooks;
    hooks.user = r;
    hooks.next_fn = sim_random_next;
    return hooks;
}
/*  The seed of a run: SIM_SEED of the environment, else from the time. The test prints it. */
static inline uint64_t sim_seed(void) {
    const char *given = getenv("SIM_SEED");
    if (given != NULL && given[0] != '\0') return strtoull(given, NULL, 0);
    return (uint64_t)sim_real_ns() & 0xffffffffu;
}

/*---- locks ----*/

typedef struct sim_lock_object {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    const void *home; /* the sqlpool_mutex or sqlpool_condition it stands for */
    uint64_t owner;   /* thread that holds the mutex, 0: free */
    int waiters;
    int is_condition;
    struct sim_lock_object *next, *previous;
} sim_lock_object;

typedef struct sim_locks {
    uint64_t seed;
    sim_clock *clock; /* virtual time: a timed wait lasts 50 us and moves the clock; NULL: real */
    int solo;         /* with it: one thread only, nobody can signal, a timed wait takes no time */
    uint64_t fail_init_at;      /* this initialisation or thread creation fails; 0: none */
    uint64_t drop_signal_every; /* CONTROL: every n-th signal is lost */
    uint64_t inits;
    uint64_t locks, waits, signals, dropped, wakeups;
    int live_mutexes, live_conditions, live_threads;
    uint64_t errors;
    char message[256];
    pthread_mutex_t table_lock; /* zero bytes are PTHREAD_MUTEX_INITIALIZER where this runs */
    sim_lock_object *objects;
} sim_locks;

static inline void sim_locks_error(sim_locks *l, const char *format, ...) {
    char text[256];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (__atomic_fetch_add(&l->errors, 1, __ATOMIC_RELAXED) == 0) {
        memcpy(l->message, text, sizeof text);
    }
    printf("# sim/locks seed=%llu: %s\n", (unsigned long long)l->seed, text);
    fflush(stdout);
}

static inline uint64_t sim_thread_id(void *user) {
    static uint64_t last;
    static __thread uint64_t mine;
    (void)user;
    if (mine == 0) mine = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
    return mine;
}

static inline int sim_locks_draw(sim_locks *l) {
    const uint64_t n = __atomic_add_fetch(&l->inits, 1, __ATOMIC_RELAXED);
    return l->fail_init_at != 0 && n == l->fail_init_at;
}

static inline sim_lock_object *sim_lock_object_of(sim_locks *l, const void *home, int is_condition,
                                                  const char *what) {
    const uint64_t *room = (const uint64_t *)home;
    sim_lock_object *o;
    memcpy(&o, room, sizeof o);
    if (o == NULL || o->home != home || o->is_condition != is_condition) {
        sim_locks_error(l, "%s of a lock that was never initialised, was destroyed or has moved",
                        what);
        return NULL;
    }
    return o;
}

static inline int sim_lock_object_init(sim_locks *l, void *home, int is_condition) {
    sim_lock_object *o, *other;
    pthread_condattr_t attributes;
    if (sim_locks_draw(l)) return 1;
    o = (sim_lock_object *)calloc(1, sizeof *o);
    if (o == NULL) return 1;
    o->home = home;
    o->is_condition = is_condition;
    if (is_condition) {
        (void)pthread_condattr_init(&attributes);
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&o->condition, &attributes);
        (void)pthread_condattr_destroy(&attributes);
    } else {
        (void)pthread_mutex_init(&o->mutex, NULL);
    }
    (void)pthread_mutex_lock(&l->table_lock);
    for (other = l->objects; other != NULL; other = other->next) {
        if (other->home == home) sim_locks_error(l, "a lock is initialised twice");
    }
    o->next = l->objects;
    if (o->next != NULL) o->next->previous = o;
    l->objects = o;
    if (is_condition) {
        l->live_conditions++;
    } else {
        l->live_mutexes++;
    }
    (void)pthread_mutex_unlock(&l->table_lock);
    memcpy(home, &o, sizeof o);
    return 0;
}

static inline void sim_lock_object_destroy(sim_locks *l, void *home, int is_condition) {
    sim_lock_object *o = sim_lock_object_of(l, home, is_condition, "destroy");
    if (o == NULL) return;
    if (__atomic_load_n(&o->owner, __ATOMIC_SEQ_CST) != 0) {
        sim_locks_error(l, "a mutex is destroyed while thread %llu holds it",
                        (unsigned long long)o->owner);
        return; /* leave it be: freeing it would only hide what comes next */
    }
    if (__atomic_load_n(&o->waiters, __ATOMIC_SEQ_CST) != 0) {
        sim_locks_error(l, "a lock is destroyed with %d waiters", o->waiters);
        return;
    }
    (void)pthread_mutex_lock(&l->table_lock);
    if (o->previous != NULL) {
        o->previous->next = o->next;
    } else {
        l->objects = o->next;
    }
    if (o->next != NULL) o->next->previous = o->previous;
    if (is_condition) {
        l->live_conditions--;
    } else {
        l->live_mutexes--;
    }
    (void)pthread_mutex_unlock(&l->table_lock);
    if (is_condition) {
        (void)pthread_cond_destroy(&o->condition);
    } else {
        (void)pthread_mutex_destroy(&o->mutex);
    }
    memset(home, 0, sizeof(uint64_t));
    free(o);
}

static inline int sim_mutex_init(void *user, sqlpool_mutex *m) {
    return sim_lock_object_init((sim_locks *)user, m, 0);
}
static inline void sim_mutex_destroy(void *user, sqlpool_mutex *m) {
    sim_lock_object_destroy((sim_locks *)user, m, 0);
}
static inline void sim_mutex_lock(void *user, sqlpool_mutex *m) {
    sim_locks *l = (sim_locks *)user;
    sim_lock_object *o = sim_lock_object_of(l, m, 0, "lock");
    const uint64_t me = sim_thread_id(NULL);
    if (o == NULL) return;
    if (__atomic_load_n(&o->owner, __ATOMIC_RELAXED) == me) {
        sim_locks_error(l, "thread %llu locks a mutex that it holds", (unsigned long long)me);
        abort(); /* going on would hang */
    }
    __atomic_fetch_add(&l->locks, 1, __ATOMIC_RELAXED);
    (void)pthread_mutex_lock(&o->mutex);
    __atomic_store_n(&o->owner, me, __ATOMIC_RELAXED);
}
static inline void sim_mutex_unlock(void *user, sqlpool_mutex *m) {
    sim_locks *l = (sim_locks *)user;
    sim_lock_object *o = sim_lock_object_of(l, m, 0, "unlock");
    const uint64_t me = sim_thread_id(NULL);
    if (o == NULL) return;
    if (__atomic_load_n(&o->owner, __ATOMIC_RELAXED) != me) {
        sim_locks_error(l, "thread %llu unlocks a mutex of thread %llu", (unsigned long long)me,
                        (unsigned long long)o->owner);
        return;
    }
    __atomic_store_n(&o->owner, 0, __ATOMIC_RELAXED);
    (void)pthread_mutex_unlock(&o->mutex);
}
static inline int sim_condition_init(void *user, sqlpool_condition *c) {
    return sim_lock_object_init((sim_locks *)user, c, 1);
}
static inline void sim_condition_destroy(void *user, sqlpool_condition *c) {
    sim_lock_object_destroy((sim_locks *)user, c, 1);
}
static inline void sim_condition_wait(void *user, sqlpool_condition *c, sqlpool_mutex *m,
                                      int64_t timeout_ns) {
    sim_locks *l = (sim_locks *)user;
    sim_lock_object *condition = sim_lock_object_of(l, c, 1, "wait");
    sim_lock_object *mutex = sim_lock_object_of(l, m, 0, "wait");
    const uint64_t me = sim_thread_id(NULL);
    struct timespec until;
    int64_t end;
    if (condition == NULL || mutex == NULL) return;
    if (__atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) != me) {
        sim_locks_error(l, "thread %llu waits without holding the mutex", (unsigned long long)me);
        return;
    }
    __atomic_fetch_add(&l->waits, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&condition->waiters, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&mutex->owner, 0, __ATOMIC_RELAXED);
    if (timeout_ns < 0) {
        (void)pthread_cond_wait(&condition->condition, &mutex->mutex);
    } else if (l->clock != NULL && l->solo) {
        sim_clock_advance(l->clock, timeout_ns);
    } else {
        const int64_t longest = (int64_t)1 << 60;
        const int64_t wait_ns = l->clock != NULL       ? 50000
                                : timeout_ns > longest ? longest
                                                       : timeout_ns;
        int rc;
        end = sim_real_ns() + wait_ns;
        until.tv_sec = (time_t)(end / 1000000000);
        until.tv_nsec = (long)(end % 1000000000);
        rc = pthread_cond_timedwait(&condition->condition, &mutex->mutex, &until);
        if (l->clock != NULL && rc != 0) sim_clock_advance(l->clock, timeout_ns);
    }
    __atomic_store_n(&mutex->owner, me, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&condition->waiters, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&l->wakeups, 1, __ATOMIC_RELAXED);
}
static inline void sim_condition_signal(void *user, sqlpool_condition *c) {
    sim_locks *l = (sim_locks *)user;
    sim_lock_object *o = sim_lock_object_of(l, c, 1, "signal");
    const uint64_t n = __atomic_add_fetch(&l->signals, 1, __ATOMIC_RELAXED);
    if (o == NULL) return;
    if (l->drop_signal_every != 0 && n % l->drop_signal_every == 0) {
        __atomic_fetch_add(&l->dropped, 1, __ATOMIC_RELAXED);
        return;
    }
    (void)pthread_cond_broadcast(&o->condition);
}

typedef struct sim_thread {
    pthread_t thread;
    void (*run)(void *);
    void *argument;
} sim_thread;

static inline void *sim_thread_main(void *argument) {
    sim_thread *t = (sim_thread *)argument;
    t->run(t->argument);
    return NULL;
}
static inline int sim_thread_create(void *user, void **thread, void (*run)(void *),
                                    void *argument) {
    sim_locks *l = (sim_locks *)user;
    sim_thread *t;
    if (sim_locks_draw(l)) return 1;
    t = (sim_thread *)calloc(1, sizeof *t);
    if (t == NULL) return 1;
    t->run = run;
    t->argument = argument;
    if (pthread_create(&t->thread, NULL, sim_thread_main, t) != 0) {
        free(t);
        return 1;
    }
    *thread = t;
    __atomic_fetch_add(&l->live_threads, 1, __ATOMIC_SEQ_CST);
    return 0;
}
static inline void sim_thread_join(void *user, void *thread) {
    sim_locks *l = (sim_locks *)user;
    sim_thread *t = (sim_thread *)thread;
    (void)pthread_join(t->thread, NULL);
    free(t);
    __atomic_fetch_sub(&l->live_threads, 1, __ATOMIC_SEQ_CST);
}

static inline sqlpool_locks sim_locks_hooks(sim_locks *l) {
    sqlpool_locks hooks;
    hooks.user = l;
    hooks.mutex_init_fn = sim_mutex_init;
    hooks.mutex_destroy_fn = sim_mutex_destroy;
    hooks.mutex_lock_fn = sim_mutex_lock;
    hooks.mutex_unlock_fn = sim_mutex_unlock;
    hooks.condition_init_fn = sim_condition_init;
    hooks.condition_destroy_fn = sim_condition_destroy;
    hooks.condition_wait_fn = sim_condition_wait;
    hooks.condition_signal_fn = sim_condition_signal;
    hooks.thread_id_fn = sim_thread_id;
    hooks.thread_create_fn = sim_thread_create;
    hooks.thread_join_fn = sim_thread_join;
    return hooks;
}

/*  After the pool is closed: 0 when no rule was broken and nothing is left. */
static inline int sim_locks_check(const sim_locks *l, char *why, size_t why_bytes) {
    if (l->errors != 0) {
        (void)snprintf(why, why_bytes, "%llu lock rules broken, first: %s",
                       (unsigned long long)l->errors, l->message);
        return 1;
    }
    if (l->live_mutexes != 0 || l->live_conditions != 0 || l->live_threads != 0) {
        (void)snprintf(why, why_bytes, "left behind: %d mutexes, %d conditions, %d threads",
                       l->live_mutexes, l->live_conditions, l->live_threads);
        return 1;
    }
    return 0;
}
/*  Frees what a control, or a failed test, left behind. */
static inline void sim_locks_forget(sim_locks *l) {
    while (l->objects != NULL) {
        sim_lock_object *o = l->objects;
        l->objects = o->next;
        free(o);
    }
    l->live_mutexes = l->live_conditions = 0;
    l->errors = 0;
}

#endif
