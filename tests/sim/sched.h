/*  sched.h - the simulator's scheduler. SPDX-License-Identifier: MIT OR Unlicense

    Include it first, with SQLPOOL_TESTING and SQLPOOL_IMPLEMENTATION defined: it includes sqlpool.h so
    that every atomic access of it is a *point*, as are the operations of the lock, clock and thread
    hooks below. Threads are fibers of the one thread there is: exactly one runs, and at each point a
    *strategy* decides who goes on. Time is a number that jumps to the next deadline when all wait, or
    when the strategy says so. Everything comes from the seed, so a run repeats exactly.

      world      all that a run changes: a heap of its own (the library's memory, SQLite's, the files
                 of sim/disk.h), the stacks, tasks and time. It is copied once, after a scenario's
                 setup, and copied back before each run: a run costs what its calls cost, not what
                 opening a pool does. sched.fresh makes the setup anew instead
      strategy   random   at a point another thread with a probability, drawn for each run
                 pct      priorities, lowered at d - 1 points (Burckhardt and others, ASPLOS 2010)
                 dfs      depth first over all decisions with at most `bound` preemptions; a state that
                          was met before with as few is left there: what follows is known
                 replay   what a file says
      point      those that the strategies ask about can be limited to accesses that matter: of
                 variables that two threads use and one of them writes, which is learned on the way
      failure    a check that does not hold, a deadlock, a lost wake-up, a run without an end (step
                 bound), a broken rule of the lock hooks, a crash. Written to a file with the
                 decisions that led there, after those that are not needed were left out

    What a state is: for each thread a digest of all that it has seen, of whom it has it and when, for
    each lock and atomic the digest of who wrote there last, the files, the time, and what scenarios
    share. Two runs with the same have the same future. sched.keeps_all leaves nothing out: a
    test compares both.

    A lost wake-up is a thread that sleeps although it could go on. So when nobody can run, each that
    sleeps is woken for no reason, as a condition may, with the time standing still: it must go back
    to sleep without having done anything. Only then the time jumps. */
#ifndef SIM_SCHED_H
#define SIM_SCHED_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCHED_READ, SCHED_WRITE };

static void sched_access(const volatile void *at, int kind, int line, const char *function);
static void sched_interrupt(sqlite3 *db);
static void sched_fail(const char *format, ...)
#ifdef __GNUC__
    __attribute__((format(printf, 1, 2), noreturn))
#endif
    ;

/*---- the library, with its points ----*/

#ifndef NDEBUG
#undef SQLPOOL_ASSERT
#define SQLPOOL_ASSERT(x) \
    ((x) ? (void)0 : sched_fail("sqlpool.h:%d: assertion failed: %s", __LINE__, #x))
#endif
#define SCHED_AT(p, kind) sched_access((p), (kind), __LINE__, __func__)
#define __atomic_load_n(p, order) (SCHED_AT(p, SCHED_READ), __atomic_load_n(p, order))
#define __atomic_store_n(p, v, order) (SCHED_AT(p, SCHED_WRITE), __atomic_store_n(p, v, order))
#define __atomic_exchange_n(p, v, order) \
    (SCHED_AT(p, SCHED_WRITE), __atomic_exchange_n(p, v, order))
#define __atomic_fetch_add(p, v, order) (SCHED_AT(p, SCHED_WRITE), __atomic_fetch_add(p, v, order))
#define __atomic_fetch_and(p, v, order) (SCHED_AT(p, SCHED_WRITE), __atomic_fetch_and(p, v, order))
#define __atomic_fetch_or(p, v, order) (SCHED_AT(p, SCHED_WRITE), __atomic_fetch_or(p, v, order))
#define __atomic_compare_exchange_n(p, e, v, weak, success, failure) \
    (SCHED_AT(p, SCHED_WRITE), __atomic_compare_exchange_n(p, e, v, weak, success, failure))
#define sqlite3_interrupt(db) sched_interrupt(db)
#include "sqlpool.h"
#undef sqlite3_interrupt
#undef __atomic_load_n
#undef __atomic_store_n
#undef __atomic_exchange_n
#undef __atomic_fetch_add
#undef __atomic_fetch_and
#undef __atomic_fetch_or
#undef __atomic_compare_exchange_n

void sqlpool_testing_point(void) {} /* the accesses above say more */

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SCHED_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SCHED_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define SCHED_TSAN 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define SCHED_TSAN 1
#endif
#ifdef SCHED_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

enum {
    SCHED_TASKS = 12,
    SCHED_STACK_BYTES = 512 * 1024,
    SCHED_LOCAL_BYTES = 64,    /* of the library's thread-local variables */
    SCHED_STEPS = 60000,       /* points of a run before it is one without an end */
    SCHED_JUMPS = 3000,        /* of time, likewise */
    SCHED_IDLE_JUMPS = 300,    /* in which no thread of the scenario ran: they are stuck */
    SCHED_PROBE_POINTS = 2000, /* that a thread passes which had nothing to do */
    SCHED_MOVES = 4096,        /* decisions of a run that are not the default */
    SCHED_FRAMES = 60000,      /* decisions of a run */
    SCHED_OPTIONS = SCHED_TASKS + 2,
    SCHED_PLACES = 8192        /* addresses that are known */
};
#define SCHED_HEAP_BYTES ((size_t)48 << 20)
#define SCHED_NEVER INT64_MAX
#define SCHED_FAR_NS INT64_C(3600000000000) /* a deadline so far off is none */
/*  A look at the clock takes time; in depth-first runs it does not, or the order of looks would be one
    more thing that makes states differ. */
#define SCHED_LOOK_NS 100
#define SCHED_POLL_NS 50000 /* who waits no longer than that looks again by himself */

/*  What is decided: a task, or one of these. */
enum {
    SCHED_CLOCK = 100,        /* the time jumps to the next deadline */
    SCHED_CLOCK_OWN = 101,    /* to the next one of the scenario's threads */
    SCHED_WAKE = 200          /* + task: it wakes for no reason */
};

/*----------------------------------------------------------------------------
 * The heap: size classes over a region at a fixed place, so that it can be copied and is the same
 * in each process.
 *---------------------------------------------------------------------------*/

typedef struct sched_block {
    uint32_t size_class;
    uint32_t magic;
    struct sched_block *next; /* in the free list */
} sched_block;                /* 16 bytes; the memory follows */

enum { SCHED_CLASSES = 96, SCHED_MAGIC = 0x5c4ed000, SCHED_FREED = 0x5c4edf4e };

typedef struct sched_heap {
    char *top;
    sched_block *first[SCHED_CLASSES], *last[SCHED_CLASSES];
    int64_t live_blocks;
} sched_heap;

/*  Sizes 16, 32, ... 512, then four steps to each doubling. */
static uint32_t sched_class_of(size_t bytes, size_t *rounded) {
    size_t step = 128, size = 512;
    uint32_t index = 32;
    if (bytes == 0) bytes = 1;
    if (bytes <= 512) {
        *rounded = (bytes + 15) / 16 * 16;
        return (uint32_t)(*rounded / 16) - 1;
    }
    for (;;) {
        int i;
        for (i = 0; i < 4; i++, index++) {
            size += step;
            if (bytes > size) continue;
            *rounded = size;
            return index;
        }
        step *= 2;
    }
}

/*----------------------------------------------------------------------------
 * Tasks and the world.
 *---------------------------------------------------------------------------*/

typedef enum sched_state {
    SCHED_READY,
    SCHED_LOCKING, /* waits for a mutex */
    SCHED_WAITING, /* on a condition */
    SCHED_ASLEEP,
    SCHED_JOINING,
    SCHED_AWAITING, /* what another thread of the scenario does */
    SCHED_DONE
} sched_state;

/*  What a sqlpool_mutex or sqlpool_condition stands for; on the heap. */
typedef struct sched_object {
    const void *home;
    int owner; /* task that holds the mutex, -1: free */
    int waiters;
    bool is_condition;
    bool is_quiet; /* its waiters poll or are none of the scenario's: no probe */
} sched_object;

typedef struct sched_task {
    void *stack_pointer;
    sched_state state;
    sched_object *object; /* that it waits for */
    sched_object *mutex;  /* to take again after the condition */
    int64_t deadline_ns;
    int64_t since_ns;
    int64_t looked_ns; /* at the clock */
    int joined;   /* the task that it joins */
    bool (*awaited)(void);
    uint64_t polled_at; /* world.turns when it let others go first, to look again; 0: it did not */
    uint64_t ran_at;    /* likewise when it went on last */
    uint64_t digest;    /* of what it has seen */
    uint64_t loose_out; /* what scenarios share, when it stopped */
    bool is_own;  /* a thread of the scenario, not one of the pool's */
    bool is_late; /* the deadline woke it */
    void (*run)(void *);
    void *argument;
    const char *name;
    unsigned char local[SCHED_LOCAL_BYTES];
#ifdef SCHED_ASAN
    void *fake_stack;
#endif
} sched_task;

typedef struct sched_world {
    sched_heap heap;
    sched_task tasks[SCHED_TASKS];
    int count;
    int current; /* -1: the explorer */
    int64_t now_ns;
    uint64_t random;  /* of the random hook, and of SQLite */
    uint64_t signals, turns;
    int mutexes, conditions, threads;
    int probe;      /* the task that was woken for no reason, -1 */
    unsigned probed; /* those that had nothing to do */
    uint64_t places_digest, disk_digest, interrupts;
    uint64_t probe_signals;
    sched_object *probe_object;
} sched_world;

static sched_world world;

/*  What a failing run was, and what a file holds. */
typedef struct sched_move {
    uint32_t step;
    int choice;
} sched_move;

typedef struct sched_plan {
    char scenario[48];
    int variant;
    uint64_t seed; /* of the random hook and of the strategy */
    int look_ns;   /* that a look at the clock takes */
    char strategy[16];
    sched_move moves[SCHED_MOVES];
    int count;
} sched_plan;

typedef enum sched_strategy {
    SCHED_DEFAULT, /* goes on as long as it can */
    SCHED_RANDOM,
    SCHED_PCT,
    SCHED_DFS,
    SCHED_REPLAY
} sched_strategy;

/*  A copy of the world. */
typedef struct sched_copy {
    char *bytes;
} sched_copy;

/*  One decision of a depth-first run. */
typedef struct sched_frame {
    uint32_t step;
    uint8_t count, index, spent; /* options, the one taken, preemptions before it */
    uint8_t options[SCHED_OPTIONS];
    uint8_t costs[SCHED_OPTIONS];
} sched_frame;

/*  An address that atomics or locks were at. */
typedef struct sched_place {
    uintptr_t at;
    uint16_t readers, writers; /* tasks */
    bool is_ignored;
    bool counts; /* strategies ask here; changes between runs only */
    bool is_sum; /* who adds what first does not matter */
    uint32_t run;
    uint64_t digest; /* in that run */
} sched_place;

/*  A set of numbers. */
typedef struct sched_set {
    uint64_t *at;
    uint64_t room, count;
} sched_set;

static struct sched_explorer {
    /* fixed */
    bool fresh;      /* no copy: setup and close with each run */
    bool verbose;    /* prints who goes on, and with `chatty` each point */
    bool chatty;
    void *local;     /* the thread-local variables that belong to a task */
    size_t local_bytes;
    char *heap, *stacks;
    struct {
        void *at;
        size_t bytes;
    } extra[8]; /* more that belongs to the world */
    int extra_count;
    void *main_stack_pointer;
    unsigned char main_local[SCHED_LOCAL_BYTES];
#ifdef SCHED_ASAN
    void *main_fake_stack;
    const void *main_bottom;
    size_t main_size;
#endif

    /* of this run */
    bool is_exploring; /* the scenario's threads run: decisions are made and counted */
    bool has_failed;
    char why[1024];
    uint32_t step;
    uint32_t asked; /* decisions that the strategy was asked about */
    int jumps, idle_jumps;
    int probe_points;
    uint64_t hash;
    sched_strategy strategy;
    sched_plan plan; /* what was decided, as deviations from the default */
    uint64_t dice;
    uint64_t switches;
    bool filter;     /* asked only about what matters */
    bool allow_clock, allow_wake;
    uint32_t chance_switch, chance_clock, chance_wake; /* of 65536 */
    int priority[SCHED_TASKS + 1];                     /* pct; the last one is the clock's */
    int lowest;
    uint32_t changes[16];
    int change_count;
    const sched_plan *replay;
    int replay_at;
    int replay_missed;
    sched_frame *frames;
    int frame_count; /* dfs: forced by the run before, then found by this one */
    int forced;
    int bound;
    uint32_t run;
    bool keeps_all;
    bool is_known; /* the run ended in a state that was met before */
    sched_set known, ends;
    const void *loose, *checked; /* what scenarios share; what they only check */
    size_t loose_bytes, checked_bytes;
    uint64_t (*files_fn)(void); /* digest of the state of files that no order is kept of */
    bool is_cut; /* more decisions than frames */
    bool did_not_repeat;

    /* over all runs of a scenario */
    sched_place places[SCHED_PLACES];
    int place_count, conflict_count;
    bool has_grown; /* a new conflict was found */
    const char *last_function;
    int last_line;
} sched = {.fresh = false};

static uint64_t sched_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static uint64_t sched_roll(uint64_t *dice) {
    return sched_mix(*dice += UINT64_C(0x9e3779b97f4a7c15));
}

/*  Adds a number; false: it was there. Half a gibibyte is the end: then nothing is added. */
static bool sched_set_add(sched_set *set, uint64_t number) {
    uint64_t i;
    if (number == 0) number = 1;
    if (set->count * 2 >= set->room && set->room < (UINT64_C(1) << 26)) {
        sched_set bigger = {NULL, set->room == 0 ? 1u << 14 : set->room * 4, 0};
        bigger.at = (uint64_t *)calloc((size_t)bigger.room, sizeof(uint64_t));
        if (bigger.at == NULL) abort();
        for (i = 0; i < set->room; i++) {
            if (set->at[i] != 0) (void)sched_set_add(&bigger, set->at[i]);
        }
        free(set->at);
        *set = bigger;
    }
    for (i = number % set->room; set->at[i] != 0; i = (i + 1) % set->room) {
        if (set->at[i] == number) return false;
    }
    if (set->count * 8 >= set->room * 7) return true;
    set->at[i] = number;
    set->count++;
    return true;
}
static bool sched_set_has(const sched_set *set, uint64_t number) {
    uint64_t i;
    if (number == 0) number = 1;
    if (set->room == 0) return false;
    for (i = number % set->room; set->at[i] != 0; i = (i + 1) % set->room) {
        if (set->at[i] == number) return true;
    }
    return false;
}
static void sched_set_clear(sched_set *set) {
    if (set->at != NULL) memset(set->at, 0, (size_t)set->room * sizeof(uint64_t));
    set->count = 0;
}

/*---- memory ----*/

SQLPOOL__UNUSED static void sched_poison(void *at, size_t bytes) {
#ifdef SCHED_ASAN
    ASAN_POISON_MEMORY_REGION(at, bytes);
#else
    (void)at;
    (void)bytes;
#endif
}
static void sched_unpoison(void *at, size_t bytes) {
#ifdef SCHED_ASAN
    ASAN_UNPOISON_MEMORY_REGION(at, bytes);
#else
    (void)at;
    (void)bytes;
#endif
}

static void *sched_alloc(size_t bytes) {
    size_t rounded;
    const uint32_t index = sched_class_of(bytes, &rounded);
    sched_block *block = world.heap.first[index];
#ifdef SCHED_ASAN
    /* used again as late as possible */
    if (block != NULL && block->next == NULL) block = NULL;
#endif
    if (block != NULL) {
        world.heap.first[index] = block->next;
        if (block->next == NULL) world.heap.last[index] = NULL;
    } else {
        block = (sched_block *)(void *)world.heap.top;
        if (index >= SCHED_CLASSES ||
            (size_t)(world.heap.top - sched.heap) + rounded + sizeof *block > SCHED_HEAP_BYTES) {
            fprintf(stderr, "# sched: the heap is full\n");
            abort();
        }
        world.heap.top += sizeof *block + rounded;
        sched_unpoison(block, sizeof *block);
    }
    block->size_class = index;
    block->magic = SCHED_MAGIC;
    block->next = NULL;
    world.heap.live_blocks++;
    sched_unpoison(block + 1, bytes);
    return block + 1;
}

static void sched_free(void *memory) {
    sched_block *block;
    if (memory == NULL) return;
    block = (sched_block *)memory - 1;
    if (block->magic != SCHED_MAGIC) sched_fail("memory is freed twice, or was never allocated");
    block->magic = SCHED_FREED;
    block->next = NULL;
    world.heap.live_blocks--;
    {
#ifdef SCHED_ASAN
        size_t bytes = 16, probe;
        while (sched_class_of(bytes, &probe) != block->size_class) bytes = probe + 1;
        sched_poison(memory, probe);
        if (world.heap.last[block->size_class] != NULL) {
            world.heap.last[block->size_class]->next = block;
            world.heap.last[block->size_class] = block;
            return;
        }
#endif
    }
    block->next = world.heap.first[block->size_class];
    world.heap.first[block->size_class] = block;
    if (world.heap.last[block->size_class] == NULL) world.heap.last[block->size_class] = block;
}

static size_t sched_size(const void *memory) {
    const uint32_t index = ((const sched_block *)memory - 1)->size_class;
    static size_t sizes[SCHED_CLASSES];
    if (sizes[0] == 0) {
        size_t bytes = 1, rounded;
        for (;;) {
            const uint32_t i = sched_class_of(bytes, &rounded);
            if (i >= SCHED_CLASSES) break;
            sizes[i] = rounded;
            bytes = rounded + 1;
        }
    }
    return sizes[index];
}

/*  The library's door: the checks of sim/alloc.h over this heap. */
#define malloc sched_alloc
#define free sched_free
#include "sim/alloc.h"
#undef malloc
#undef free

/*  SQLite's door. It asks how large a block is, and uses all of it. */
static void *sched_sqlite_malloc(int bytes) {
    void *memory = sched_alloc((size_t)bytes);
    sched_unpoison(memory, sched_size(memory));
    return memory;
}
static int sched_sqlite_size(void *memory) {
    return memory == NULL ? 0 : (int)sched_size(memory);
}
static void *sched_sqlite_realloc(void *memory, int bytes) {
    void *bigger;
    const size_t have = sched_size(memory);
    if ((size_t)bytes <= have && (size_t)bytes * 2 > have) return memory;
    bigger = sched_sqlite_malloc(bytes);
    memcpy(bigger, memory, have < (size_t)bytes ? have : (size_t)bytes);
    sched_free(memory);
    return bigger;
}
static int sched_sqlite_roundup(int bytes) {
    size_t rounded;
    (void)sched_class_of((size_t)bytes, &rounded);
    return (int)rounded;
}
static int sched_sqlite_init(void *user) {
    (void)user;
    return SQLITE_OK;
}
static void sched_sqlite_shutdown(void *user) { (void)user; }

/*---- fibers ----*/

#if defined(SCHED_TSAN)
#define SCHED_HAS_FIBERS 0 /* one thread has no races, and ThreadSanitizer loses its way */
#elif defined(__x86_64__) && !defined(__ILP32__)
#define SCHED_HAS_FIBERS 1
/*  Saves what a called function must keep, swaps the stacks, returns on the other one. */
void sched_swap(void **from, void *to);
__asm__(".text\n"
        ".p2align 4\n"
        ".globl sched_swap\n"
        ".type sched_swap, @function\n"
        "sched_swap:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size sched_swap, . - sched_swap\n");
static void *sched_first_frame(char *top, void (*entry)(void)) {
    void **sp = (void **)(void *)top;
    *--sp = NULL; /* entry never returns; and the stack is aligned as after a call */
    *--sp = (void *)(uintptr_t)entry;
    sp -= 6;
    memset(sp, 0, 6 * sizeof *sp);
    return sp;
}
#elif defined(__aarch64__)
#define SCHED_HAS_FIBERS 1
void sched_swap(void **from, void *to);
__asm__(".text\n"
        ".p2align 4\n"
        ".globl sched_swap\n"
        ".type sched_swap, %function\n"
        "sched_swap:\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        ".size sched_swap, . - sched_swap\n");
static void *sched_first_frame(char *top, void (*entry)(void)) {
    void **sp = (void **)(void *)top - 20;
    memset(sp, 0, 20 * sizeof *sp);
    sp[11] = (void *)(uintptr_t)entry; /* x30 */
    return sp;
}
#else
#define SCHED_HAS_FIBERS 0
#endif
#if !SCHED_HAS_FIBERS
static void sched_swap(void **from, void *to) {
    (void)from;
    (void)to;
    abort();
}
static void *sched_first_frame(char *top, void (*entry)(void)) {
    (void)entry;
    return top;
}
#endif

/*  Why there can be no fibers here; NULL: there can. */
static const char *sched_why_not(void) {
    const char *preload = getenv("LD_PRELOAD");
    if (!SCHED_HAS_FIBERS) return "no fibers on this machine, or under ThreadSanitizer";
    if (preload != NULL && strstr(preload, "vgpreload_memcheck") != NULL)
        return "memcheck loses its way on stacks that are copied";
    return NULL;
}

static char *sched_stack_top(int task) {
    return sched.stacks + (size_t)(task + 1) * SCHED_STACK_BYTES;
}

/*  What scenarios share, and interrupts, is written and read without any order of the library's. */
static uint64_t sched_loose(void) {
    uint64_t sum = world.interrupts, word;
    size_t i;
    for (i = 0; i + sizeof word <= sched.loose_bytes; i += sizeof word) {
        memcpy(&word, (const char *)sched.loose + i, sizeof word);
        sum = (sum ^ word) * UINT64_C(0x9fb21c651e98df25);
        sum ^= sum >> 32;
    }
    return sum;
}
static uint64_t sched_join(uint64_t a, uint64_t b) {
    return sched_mix(a * 3 + b + UINT64_C(0x9e3779b97f4a7c15));
}
/*  Digests are for depth-first runs. */
static bool sched_digests(void) {
    return sched.is_exploring && sched.strategy == SCHED_DFS && world.current >= 0;
}
/*  The current task has learned something. */
static void sched_learn(uint64_t what) {
    if (!sched_digests()) return;
    world.tasks[world.current].digest = sched_join(world.tasks[world.current].digest, what);
}

/*  Runs that task, or the explorer (-1), from here on; returns when someone switches back. */
static void sched_switch(int to) {
    const int from = world.current;
    void **save = from < 0 ? &sched.main_stack_pointer : &world.tasks[from].stack_pointer;
    void *target = to < 0 ? sched.main_stack_pointer : world.tasks[to].stack_pointer;
    if (from == to) return;
    memcpy(from < 0 ? sched.main_local : world.tasks[from].local, sched.local, sched.local_bytes);
    memcpy(sched.local, to < 0 ? sched.main_local : world.tasks[to].local, sched.local_bytes);
    world.current = to;
    sched.switches++;
#ifdef SCHED_ASAN
    {
        const bool is_over = from >= 0 && world.tasks[from].state == SCHED_DONE;
        void **fake = from < 0 ? &sched.main_fake_stack : &world.tasks[from].fake_stack;
        __sanitizer_start_switch_fiber(
            is_over ? NULL : fake,
            to < 0 ? sched.main_bottom : sched.stacks + (size_t)to * SCHED_STACK_BYTES,
            to < 0 ? sched.main_size : SCHED_STACK_BYTES);
    }
#endif
    if (from >= 0 && sched.strategy == SCHED_DFS) world.tasks[from].loose_out = sched_loose();
    sched_swap(save, target);
    if (from >= 0 && sched_digests()) {
        const uint64_t loose = sched_loose();
        if (loose != world.tasks[from].loose_out) sched_learn(loose);
    }
#ifdef SCHED_ASAN
    __sanitizer_finish_switch_fiber(
        from < 0 ? sched.main_fake_stack : world.tasks[from].fake_stack, NULL, NULL);
#endif
}

/*---- failing ----*/

/*  Ends the run: back to the explorer, for good. What the run left is forgotten with the world. */
static void sched_fail(const char *format, ...) {
    if (!sched.has_failed) {
        va_list list;
        va_start(list, format);
        (void)vsnprintf(sched.why, sizeof sched.why, format, list);
        va_end(list);
        sched.has_failed = true;
    }
    if (world.current < 0) {
        fprintf(stderr, "# sched: %s\n", sched.why);
        abort();
    }
    sched_switch(-1);
    abort(); /* nobody comes back here */
}

/*----------------------------------------------------------------------------
 * Deciding.
 *---------------------------------------------------------------------------*/

/*  All that the future depends on, but for the decisions to come. */
static uint64_t sched_state_digest(void) {
    uint64_t sum = sched_join(world.places_digest, world.disk_digest);
    int i;
    sum = sched_join(sum, sched_loose());
    sum = sched_join(sum, sched.files_fn != NULL ? sched.files_fn() : 0);
    sum = sched_join(sum, (uint64_t)world.now_ns);
    for (i = 0; i < world.count; i++) {
        const sched_task *t = &world.tasks[i];
        sum = sched_join(sum, t->digest);
        sum = sched_join(sum, (uint64_t)t->state << 1 | (uint64_t)t->is_late);
        if (t->state == SCHED_WAITING || t->state == SCHED_ASLEEP)
            sum = sched_join(sum, (uint64_t)t->deadline_ns);
        if (t->polled_at != 0) {
            unsigned others = 0;
            int other;
            for (other = 0; other < world.count; other++)
                others |= world.tasks[other].ran_at < t->polled_at ? 1u << other : 0u;
            sum = sched_join(sum, others);
        }
    }
    for (i = 0; i < (int)(sched.checked_bytes / sizeof(uint64_t)); i++) {
        uint64_t word;
        memcpy(&word, (const char *)sched.checked + (size_t)i * sizeof word, sizeof word);
        sum = (sum ^ word) * UINT64_C(0x9fb21c651e98df25);
        sum ^= sum >> 32;
    }
    return sched_join(sum, world.probed);
}
/*  Ends the run, of which all that follows is known. */
static void sched_leave(void) {
    sched.is_known = true;
    sched_switch(-1);
    abort(); /* nobody comes back here */
}

static bool sched_is_due(const sched_task *t) {
    return t->deadline_ns <= world.now_ns;
}

/*  Can the task go on now? */
static bool sched_can_run(const sched_task *t) {
    switch (t->state) {
    case SCHED_READY:
        return true;
    case SCHED_LOCKING:
        return t->object->owner < 0;
    case SCHED_WAITING:
        return sched_is_due(t) && t->mutex->owner < 0;
    case SCHED_ASLEEP:
        return sched_is_due(t);
    case SCHED_JOINING:
        return world.tasks[t->joined].state == SCHED_DONE;
    case SCHED_AWAITING:
        return t->awaited();
    default:
        return false;
    }
}

/*  Who polls has looked in vain: that he looks again before those could do something that he lets go
    first is worth a preemption, or there would be schedules without an end. */
static bool sched_is_early(int task) {
    const uint64_t polled_at = world.tasks[task].polled_at;
    int i;
    if (polled_at == 0) return false;
    for (i = 0; i < world.count; i++) {
        if (i != task && world.tasks[i].ran_at < polled_at && sched_can_run(&world.tasks[i]))
            return true;
    }
    return false;
}

/*  The next deadline that has not passed; of the scenario's threads only. */
static int64_t sched_next_deadline(bool own) {
    int64_t next = SCHED_NEVER;
    int i;
    for (i = 0; i < world.count; i++) {
        const sched_task *t = &world.tasks[i];
        if (t->state != SCHED_WAITING && t->state != SCHED_ASLEEP) continue;
        if (own && !t->is_own) continue;
        if (t->deadline_ns > world.now_ns && t->deadline_ns < next) next = t->deadline_ns;
    }
    if (next != SCHED_NEVER && next - world.now_ns > SCHED_FAR_NS) return SCHED_NEVER;
    return next;
}

static void sched_jump(int64_t to) {
    if (++sched.jumps > SCHED_JUMPS) sched_fail("no end: the time was moved %d times", sched.jumps);
    if (to > world.now_ns) world.now_ns = to;
}

/*  Wakes a waiter of a condition without a signal. */
static void sched_wake(sched_task *t) {
    t->object->waiters--;
    t->state = SCHED_LOCKING;
    t->object = t->mutex;
    t->deadline_ns = SCHED_NEVER;
}

static const char *sched_task_name(int task) {
    return task < 0 ? "the explorer" : world.tasks[task].name;
}
static const char *sched_state_name(const sched_task *t) {
    static const char *const names[] = {"before", "waits for a mutex at", "waits at", "sleeps at",
                                        "joins at", "awaits another at",
                                        "ends after"};
    return names[t->state];
}
/*  For whoever reads a failing run: who stops where, and who goes on. */
static void sched_tell(int choice) {
    const sched_task *t = world.current < 0 ? NULL : &world.tasks[world.current];
    char what[80] = "";
    if (!sched.verbose || choice == world.current) return;
    if (choice == SCHED_CLOCK) (void)snprintf(what, sizeof what, "the clock jumps");
    if (choice == SCHED_CLOCK_OWN)
        (void)snprintf(what, sizeof what, "the clock jumps to a deadline of the scenario's threads");
    if (choice >= SCHED_WAKE)
        (void)snprintf(what, sizeof what, "%s wakes for no reason",
                       world.tasks[choice - SCHED_WAKE].name);
    printf("#   %5u %9.3f ms  %s %s %s:%d, %s%s\n", sched.step, (double)world.now_ns / 1e6,
           sched_task_name(world.current), t == NULL ? "" : sched_state_name(t),
           sched.last_function != NULL ? sched.last_function : "-", sched.last_line,
           what[0] != '\0' ? what : sched_task_name(choice), what[0] != '\0' ? "" : " goes on");
}
/*  A decision that was not the default. */
static void sched_note_move(int choice) {
    if (sched.plan.count >= SCHED_MOVES) return;
    sched.plan.moves[sched.plan.count].step = sched.step;
    sched.plan.moves[sched.plan.count++].choice = choice;
}

static int sched_pct_best(const int *options, int count) {
    int best = 0, i;
    for (i = 1; i < count; i++) {
        const int a = options[i] >= SCHED_CLOCK ? SCHED_TASKS : options[i];
        const int b = options[best] >= SCHED_CLOCK ? SCHED_TASKS : options[best];
        if (sched.priority[a] > sched.priority[b]) best = i;
    }
    return best;
}

/*  Which of the options; options[0] is the default, the first `runnable` are tasks, those from `fair`
    on such that look again too early. */
static int sched_choose(const int *options, int count, int runnable, int fair, bool may_stay) {
    int chosen = 0;
    switch (sched.strategy) {
    case SCHED_RANDOM:
        if (sched.allow_clock && count > runnable &&
            (sched_roll(&sched.dice) & 0xffff) < sched.chance_clock) {
            chosen = runnable + (int)(sched_roll(&sched.dice) % (uint64_t)(count - runnable));
        } else if (!may_stay) {
            chosen = (int)(sched_roll(&sched.dice) % (uint64_t)runnable);
        } else if (runnable > 1 && (sched_roll(&sched.dice) & 0xffff) < sched.chance_switch) {
            chosen = 1 + (int)(sched_roll(&sched.dice) % (uint64_t)(runnable - 1));
        }
        break;
    case SCHED_PCT: {
        int i;
        for (i = 0; i < sched.change_count; i++) {
            if (sched.changes[i] == sched.asked && world.current >= 0)
                sched.priority[world.current] = sched.lowest--;
        }
        chosen = sched_pct_best(options, sched.allow_clock ? count : runnable);
        if (options[chosen] >= SCHED_CLOCK) {
            sched.priority[SCHED_TASKS] = sched.lowest--; /* once */
            if (count > runnable + 1 && (sched_roll(&sched.dice) & 1) != 0) chosen = runnable + 1;
        }
        break;
    }
    case SCHED_DFS: {
        const int at = (int)sched.asked - 1;
        sched_frame *f;
        if (at >= SCHED_FRAMES) {
            sched.is_cut = true;
            break;
        }
        f = &sched.frames[at];
        sched.frame_count = at + 1;
        if (at < sched.forced) {
            if (f->step != sched.step || f->count == 0) {
                sched.did_not_repeat = true;
                sched_fail("the run did not repeat: decision %d was at step %u, is at %u", at,
                           f->step, sched.step);
            }
            for (chosen = 0; chosen < count; chosen++) {
                if (options[chosen] == (int)f->options[f->index]) return chosen;
            }
            sched.did_not_repeat = true;
            sched_fail("the run did not repeat: decision %d has other options", at);
        }
        {
            int i, limit = sched.allow_clock ? count : runnable;
            f->step = sched.step;
            f->index = 0;
            f->count = (uint8_t)limit;
            f->spent = at == 0 ? 0
                               : (uint8_t)(sched.frames[at - 1].spent +
                                           sched.frames[at - 1].costs[sched.frames[at - 1].index]);
            for (i = 0; i < limit; i++) {
                f->options[i] = (uint8_t)options[i];
                f->costs[i] = i >= fair || (i > 0 && may_stay) ? 1 : 0;
            }
            if (!sched.keeps_all) {
                uint64_t state = sched_join(sched_state_digest(), (uint64_t)(unsigned)fair);
                unsigned spent;
                for (i = 0; i < limit; i++) state = sched_join(state, (uint64_t)options[i]);
                state = sched_join(state, (uint64_t)(unsigned)world.current << 1 | (may_stay ? 1 : 0));
                for (spent = 0; spent <= f->spent; spent++) {
                    if (!sched_set_has(&sched.known, state + spent)) continue;
                    sched.frame_count = at;
                    sched_leave();
                }
                (void)sched_set_add(&sched.known, state + f->spent);
            }
        }
        break;
    }
    default:
        break;
    }
    return chosen;
}

/*  Decides who goes on. The current task is first among the options when it can. */
static int sched_decide(bool may_stay, bool matters) {
    int options[SCHED_OPTIONS], early[SCHED_TASKS], early_count = 0;
    int count = 0, runnable, fair, i, chosen = 0;
    if (may_stay) options[count++] = world.current;
    for (i = 0; i < world.count; i++) {
        if ((may_stay && i == world.current) || !sched_can_run(&world.tasks[i])) continue;
        if (sched_is_early(i)) {
            early[early_count++] = i;
        } else {
            options[count++] = i;
        }
    }
    fair = count;
    for (i = 0; i < early_count; i++) options[count++] = early[i];
    runnable = count;
    if (runnable == 0) return -1;
    if (!sched.is_exploring) return options[0];
    if (sched.strategy == SCHED_REPLAY) {
        const sched_plan *plan = sched.replay;
        while (sched.replay_at < plan->count && plan->moves[sched.replay_at].step < sched.step) {
            sched.replay_at++;
            sched.replay_missed++;
        }
        if (sched.replay_at < plan->count && plan->moves[sched.replay_at].step == sched.step) {
            const int wanted = plan->moves[sched.replay_at++].choice;
            bool is_there = wanted == SCHED_CLOCK ? sched_next_deadline(false) != SCHED_NEVER
                            : wanted == SCHED_CLOCK_OWN
                                ? sched_next_deadline(true) != SCHED_NEVER
                                : wanted >= SCHED_WAKE &&
                                      world.tasks[wanted - SCHED_WAKE].state == SCHED_WAITING;
            for (i = 0; i < runnable; i++) {
                if (options[i] == wanted) is_there = true;
            }
            if (is_there) {
                if (wanted != options[0]) sched_note_move(wanted);
                return wanted;
            }
            sched.replay_missed++;
        }
        return options[0];
    }
    if (!matters && may_stay) return options[0];
    {
        const int64_t any = sched_next_deadline(false), own = sched_next_deadline(true);
        if (any != SCHED_NEVER) options[count++] = SCHED_CLOCK;
        if (own != SCHED_NEVER && own != any) options[count++] = SCHED_CLOCK_OWN;
    }
    if (count == 1) return options[0];
    sched.asked++;
    chosen = sched_choose(options, count, runnable, fair, may_stay);
    if (sched.strategy == SCHED_RANDOM && sched.allow_wake &&
        (sched_roll(&sched.dice) & 0xffff) < sched.chance_wake) {
        const int lucky = (int)(sched_roll(&sched.dice) % (uint64_t)world.count);
        if (world.tasks[lucky].state == SCHED_WAITING) {
            sched_note_move(SCHED_WAKE + lucky);
            return SCHED_WAKE + lucky;
        }
    }
    if (chosen != 0) sched_note_move(options[chosen]);
    return options[chosen];
}

/*  Nobody can run. Each thread that sleeps on a condition is woken once for no reason; then the time
    jumps. */
static void sched_idle(void) {
    int64_t next;
    int i;
    if (sched.is_exploring) {
        for (i = 0; i < world.count; i++) {
            sched_task *t = &world.tasks[i];
            if (t->state != SCHED_WAITING || !t->is_own || (world.probed >> i & 1u) != 0 ||
                t->object->is_quiet || t->deadline_ns - t->since_ns <= SCHED_POLL_NS ||
                t->deadline_ns - world.now_ns <= SCHED_POLL_NS || /* as good as over */
                t->since_ns - t->looked_ns > SCHED_POLL_NS) /* it slept by an old time */
                continue;
            world.probe = i;
            world.probe_object = t->object;
            world.probe_signals = world.signals;
            sched.probe_points = 0;
            sched_wake(t);
            return;
        }
    }
    next = sched_next_deadline(false);
    if (next == SCHED_NEVER)
        sched_fail("deadlock: every thread waits, and none of them has a deadline");
    if (++sched.idle_jumps > SCHED_IDLE_JUMPS)
        sched_fail("deadlock: the scenario's threads wait for ever (%lld ms so far)",
                   (long long)(world.now_ns / 1000000));
    sched_jump(next);
}

/*  The task that runs next; the caller is current and may be it. */
static int sched_next(bool may_stay, bool matters) {
    for (;;) {
        int choice;
        if (sched.is_exploring && ++sched.step > SCHED_STEPS)
            sched_fail("no end: more than %d points", SCHED_STEPS);
        if (world.probe >= 0) {
            const sched_task *t = &world.tasks[world.probe];
            if (may_stay && ++sched.probe_points < SCHED_PROBE_POINTS)
                return world.probe; /* it goes on */
            if (t->state == SCHED_LOCKING && t->object->owner < 0)
                return world.probe; /* it begins */
            if (t->state == SCHED_WAITING && t->object == world.probe_object &&
                world.signals == world.probe_signals) {
                world.probed |= 1u << world.probe;
                world.probe = -1;
            } else {
                sched_fail("lost wake-up: %s slept although it could go on", t->name);
            }
        }
        choice = sched_decide(may_stay, matters);
        if (choice >= 0) sched_tell(choice);
        if (choice < 0) {
            sched_idle();
        } else if (choice >= SCHED_WAKE) {
            sched_wake(&world.tasks[choice - SCHED_WAKE]);
        } else if (choice == SCHED_CLOCK || choice == SCHED_CLOCK_OWN) {
            sched_jump(sched_next_deadline(choice == SCHED_CLOCK_OWN));
        } else {
            world.probed = 0;
            if (world.tasks[choice].is_own) sched.idle_jumps = 0;
            world.tasks[choice].ran_at = ++world.turns;
            return choice;
        }
    }
}

/*  The current task goes on, or another one does first. */
static void sched_pause(bool matters) {
    sched_switch(sched_next(true, matters));
}
/*  It cannot go on until its state says so. */
static void sched_stop(void) {
    const int next = sched_next(false, true);
    sched_task *t = &world.tasks[world.current];
    sched_switch(next);
    t->is_late = false;
    t->polled_at = 0;
    if (t->state == SCHED_WAITING) { /* the deadline has passed */
        t->object->waiters--;
        t->object = t->mutex;
        t->is_late = true;
    }
    t->state = SCHED_READY;
}

/*---- points ----*/

static sched_place *sched_find_place(uintptr_t at) {
    size_t i = (size_t)(sched_mix(at) % SCHED_PLACES);
    for (;; i = (i + 1) % SCHED_PLACES) {
        sched_place *p = &sched.places[i];
        if (p->at == at) return p;
        if (p->at != 0) continue;
        if (sched.place_count >= SCHED_PLACES - 64) {
            fprintf(stderr, "# sched: too many places\n");
            abort();
        }
        sched.place_count++;
        p->at = at;
        return p;
    }
}
/*  Not worth a decision: nobody decides by them. */
SQLPOOL__UNUSED static void sched_ignore(const volatile void *at, size_t bytes) {
    uintptr_t a = (uintptr_t)at;
    for (; a < (uintptr_t)at + bytes; a += 4) sched_find_place(a)->is_ignored = true;
}

/*  Only added to, by callers that do not look at the sum. */
SQLPOOL__UNUSED static void sched_is_a_sum(const volatile void *at) {
    sched_find_place((uintptr_t)at)->is_sum = true;
}

/*  Notes the access; does it matter who comes first here? */
static bool sched_matters(uintptr_t at, int kind, bool *is_ignored) {
    sched_place *p = sched_find_place(at);
    const uint16_t me = (uint16_t)(1u << world.current);
    *is_ignored = p->is_ignored;
    if (p->is_ignored) return false;
    if (kind == SCHED_READ ? (p->readers & me) == 0 : (p->writers & me) == 0) {
        const uint16_t all = (uint16_t)(p->readers | p->writers);
        const bool before = p->writers != 0 && (all & (all - 1)) != 0;
        if (kind == SCHED_READ) p->readers |= me;
        if (kind == SCHED_WRITE) p->writers |= me;
        {
            const uint16_t now = (uint16_t)(p->readers | p->writers);
            if (!before && p->writers != 0 && (now & (now - 1)) != 0) {
                sched.has_grown = true;
                sched.conflict_count++;
            }
        }
    }
    return p->counts;
}
/*  From here on strategies ask at what is known to matter now. */
static void sched_fix_places(void) {
    size_t i;
    for (i = 0; i < SCHED_PLACES; i++) {
        sched_place *p = &sched.places[i];
        const uint16_t all = (uint16_t)(p->readers | p->writers);
        p->counts = !p->is_ignored && p->writers != 0 && (all & (all - 1)) != 0;
    }
    sched.has_grown = false;
}

static void sched_hash(uint64_t what) {
    sched.hash = (sched.hash ^ what) * UINT64_C(0x100000001b3);
    sched.hash ^= sched.hash >> 29;
}

/*  What the current task reads or writes there, as far as digests go. */
static void sched_note_access(sched_place *p, int kind, uint64_t what) {
    sched_task *me = &world.tasks[world.current];
    const uint64_t old = p->run == sched.run ? p->digest : 0;
    if (p->is_sum) { /* its value is all there is to it */
        uint32_t value;
        memcpy(&value, (const void *)p->at, sizeof value);
        me->digest = sched_join(me->digest, kind == SCHED_READ ? what + value : what);
        if (kind == SCHED_WRITE) world.places_digest += sched_mix(p->at + what);
        return;
    }
    me->digest = sched_join(me->digest, sched_join(what, old));
    if (kind == SCHED_READ) {
        if (p->writers == 0) me->digest = sched_join(me->digest, world.disk_digest);
        return;
    }
    p->run = sched.run;
    p->digest = me->digest;
    if (old != 0) world.places_digest -= sched_mix(p->at ^ old);
    world.places_digest += sched_mix(p->at ^ p->digest);
}
static void sched_interrupt(sqlite3 *db) {
    if (sched_digests())
        world.interrupts = sched_join(world.interrupts, world.tasks[world.current].digest);
    sqlite3_interrupt(db);
}
/*  Files: who writes what in which order is the order of their digests. */
static void sched_note_disk(int kind) {
    if (!sched_digests()) return;
    sched_learn(world.disk_digest);
    if (kind == SCHED_WRITE) world.disk_digest = world.tasks[world.current].digest;
}

static void sched_access(const volatile void *at, int kind, int line, const char *function) {
    bool matters, is_ignored;
    if (sched.chatty && sched.verbose)
        printf("#   %5u %s %s:%d %s\n", sched.step, sched_task_name(world.current), function, line,
               kind == SCHED_READ ? "reads" : "writes");
    sched.last_line = line;
    sched.last_function = function;
    if (!sched.is_exploring || world.current < 0) return;
    matters = sched_matters((uintptr_t)at, kind, &is_ignored);
    if (is_ignored) return;
    sched_hash((uint64_t)line << 8 | (uint64_t)(unsigned)world.current << 1 | (uint64_t)kind);
    sched_pause(matters || !sched.filter);
    if (sched_digests())
        sched_note_access(sched_find_place((uintptr_t)at), kind, (uint64_t)(unsigned)line);
}

/*  Operations of the hooks. What a thread does before it blocks, or after it let go of a lock, is
    decided with its next point as well: those matter only where all points are asked about. */
enum { SCHED_OP_LOCK = 1, SCHED_OP_UNLOCK, SCHED_OP_WAIT, SCHED_OP_SIGNAL, SCHED_OP_CREATE, SCHED_OP_YIELD };

static void sched_operation(const void *object, int what) {
    bool is_ignored, matters;
    if (sched.chatty && sched.verbose)
        printf("#   %5u %s %s\n", sched.step, sched_task_name(world.current),
               what == SCHED_OP_LOCK     ? "locks"
               : what == SCHED_OP_UNLOCK ? "unlocks"
               : what == SCHED_OP_WAIT   ? "waits"
               : what == SCHED_OP_SIGNAL ? "signals"
               : what == SCHED_OP_CREATE ? "creates a thread"
                                         : "yields");
    if (!sched.is_exploring || world.current < 0) return;
    matters = sched_matters((uintptr_t)object, SCHED_WRITE, &is_ignored);
    sched_hash((uint64_t)(100000 + what) << 8 | (uint64_t)(unsigned)world.current << 1);
    if (what == SCHED_OP_WAIT || what == SCHED_OP_YIELD) return;
    sched_pause((matters && what == SCHED_OP_LOCK) || !sched.filter);
}

static void sched_note_object(const sched_object *o, int what) {
    if (!sched_digests()) return;
    sched_note_access(sched_find_place((uintptr_t)o), SCHED_WRITE, (uint64_t)(100000 + what));
}

/*----------------------------------------------------------------------------
 * The hooks.
 *---------------------------------------------------------------------------*/

static sched_object *sched_object_of(const void *home, bool is_condition, const char *what) {
    sched_object *o;
    memcpy(&o, home, sizeof o);
    if (o == NULL || o->home != home || o->is_condition != is_condition)
        sched_fail("%s of a lock that was never initialised, was destroyed or has moved", what);
    return o;
}
static int sched_object_init(void *home, bool is_condition) {
    sched_object *o = (sched_object *)sched_alloc(sizeof *o);
    memset(o, 0, sizeof *o);
    o->home = home;
    o->owner = -1;
    o->is_condition = is_condition;
    if (is_condition) {
        world.conditions++;
    } else {
        world.mutexes++;
    }
    memcpy(home, &o, sizeof o);
    return 0;
}
static void sched_object_destroy(void *home, bool is_condition) {
    sched_object *o = sched_object_of(home, is_condition, "destroy");
    int i;
    if (o->owner >= 0)
        sched_fail("a mutex is destroyed while %s holds it", world.tasks[o->owner].name);
    for (i = 0; i < world.count; i++) {
        const sched_task *t = &world.tasks[i];
        if ((t->state == SCHED_WAITING && (t->object == o || t->mutex == o)) ||
            (t->state == SCHED_LOCKING && t->object == o))
            sched_fail("a lock is destroyed while %s waits for it", t->name);
    }
    if (is_condition) {
        world.conditions--;
    } else {
        world.mutexes--;
    }
    memset(home, 0, sizeof o);
    sched_free(o);
}

/*  Who polls lets others go first: no priority is for that. */
static void sched_yields(bool does) {
    if (!does) return;
    world.tasks[world.current].polled_at = ++world.turns;
    if (sched.is_exploring && sched.strategy == SCHED_PCT)
        sched.priority[world.current] = sched.lowest--;
}

static int sched_mutex_init(void *user, sqlpool_mutex *m) {
    (void)user;
    return sched_object_init(m, false);
}
static void sched_mutex_destroy(void *user, sqlpool_mutex *m) {
    (void)user;
    sched_object_destroy(m, false);
}
static void sched_mutex_lock(void *user, sqlpool_mutex *m) {
    sched_object *o = sched_object_of(m, false, "lock");
    sched_task *me = &world.tasks[world.current];
    (void)user;
    if (o->owner == world.current) sched_fail("%s locks a mutex that it holds", me->name);
    sched_operation(o, SCHED_OP_LOCK);
    if (o->owner >= 0) {
        me->state = SCHED_LOCKING;
        me->object = o;
        sched_stop();
        o = sched_object_of(m, false, "lock");
    }
    o->owner = world.current;
    sched_note_object(o, SCHED_OP_LOCK);
}
static void sched_mutex_unlock(void *user, sqlpool_mutex *m) {
    sched_object *o = sched_object_of(m, false, "unlock");
    (void)user;
    if (o->owner != world.current)
        sched_fail("%s unlocks a mutex that it does not hold", world.tasks[world.current].name);
    sched_note_object(o, SCHED_OP_UNLOCK);
    o->owner = -1;
    sched_operation(o, SCHED_OP_UNLOCK);
}
static int sched_condition_init(void *user, sqlpool_condition *c) {
    (void)user;
    return sched_object_init(c, true);
}
static void sched_condition_destroy(void *user, sqlpool_condition *c) {
    (void)user;
    sched_object_destroy(c, true);
}
static void sched_condition_wait(void *user, sqlpool_condition *c, sqlpool_mutex *m,
                                 int64_t timeout_ns) {
    sched_object *condition = sched_object_of(c, true, "wait");
    sched_object *mutex = sched_object_of(m, false, "wait");
    sched_task *me = &world.tasks[world.current];
    (void)user;
    if (mutex->owner != world.current) sched_fail("%s waits without the mutex", me->name);
    sched_operation(condition, SCHED_OP_WAIT);
    sched_note_object(mutex, SCHED_OP_WAIT);
    sched_learn((uint64_t)world.now_ns);
    mutex->owner = -1;
    condition->waiters++;
    me->state = SCHED_WAITING;
    me->object = condition;
    me->mutex = mutex;
    me->since_ns = world.now_ns;
    me->deadline_ns = timeout_ns < 0 || timeout_ns > SCHED_NEVER - world.now_ns
                          ? SCHED_NEVER
                          : world.now_ns + timeout_ns;
    sched_yields(timeout_ns >= 0 && timeout_ns <= SCHED_POLL_NS);
    sched_stop();
    mutex->owner = world.current;
    sched_note_object(mutex, SCHED_OP_LOCK);
}
static void sched_condition_signal(void *user, sqlpool_condition *c) {
    sched_object *o = sched_object_of(c, true, "signal");
    int i;
    (void)user;
    sched_operation(o, SCHED_OP_SIGNAL);
    world.signals++;
    for (i = 0; i < world.count && o->waiters > 0; i++) {
        if (world.tasks[i].state == SCHED_WAITING && world.tasks[i].object == o)
            sched_wake(&world.tasks[i]);
    }
}
static uint64_t sched_thread_id(void *user) {
    (void)user;
    return (uint64_t)world.current + 1;
}

static void sched_task_main(void) {
    sched_task *me = &world.tasks[world.current];
#ifdef SCHED_ASAN
    __sanitizer_finish_switch_fiber(NULL, sched.main_bottom == NULL ? &sched.main_bottom : NULL,
                                    sched.main_bottom == NULL ? &sched.main_size : NULL);
#endif
    sched_learn(sched_loose());
    me->run(me->argument);
    me->state = SCHED_DONE;
    {
        bool is_over = me->is_own;
        int i;
        for (i = 0; i < world.count; i++) {
            if (world.tasks[i].is_own && world.tasks[i].state != SCHED_DONE) is_over = false;
        }
        if (world.probe >= 0) sched_fail("lost wake-up: %s slept although it could go on", me->name);
        if (is_over && sched_digests()) (void)sched_set_add(&sched.ends, sched_state_digest());
        sched_switch(is_over ? -1 : sched_next(false, true));
    }
    abort(); /* a task that is done does not run */
}

static int sched_spawn(void (*run)(void *), void *argument, const char *name, bool is_own) {
    int i;
    sched_task *t;
    for (i = 0; i < world.count && world.tasks[i].state != SCHED_DONE; i++) {
    }
    if (i == SCHED_TASKS) {
        fprintf(stderr, "# sched: too many tasks\n");
        abort();
    }
    if (i == world.count) world.count++;
    t = &world.tasks[i];
    memset(t, 0, sizeof *t);
    t->state = SCHED_READY;
    t->deadline_ns = SCHED_NEVER;
    t->run = run;
    t->argument = argument;
    t->name = name;
    t->is_own = is_own;
    t->digest = world.current >= 0 ? world.tasks[world.current].digest : (uint64_t)i;
    sched_unpoison(sched_stack_top(i) - SCHED_STACK_BYTES + 4096, SCHED_STACK_BYTES - 4096);
    t->stack_pointer = sched_first_frame(sched_stack_top(i), sched_task_main);
    return i;
}

static int sched_thread_create(void *user, void **thread, void (*run)(void *), void *argument) {
    static const char *const names[] = {"pool thread 1", "pool thread 2", "pool thread 3"};
    const int i = sched_spawn(run, argument, names[world.threads < 3 ? world.threads : 2], false);
    (void)user;
    world.threads++;
    *thread = (void *)(uintptr_t)(i + 1);
    sched_operation(&world.tasks[i], SCHED_OP_CREATE);
    return 0;
}
static void sched_thread_join(void *user, void *thread) {
    const int i = (int)(uintptr_t)thread - 1;
    sched_task *me = &world.tasks[world.current];
    (void)user;
    if (i < 0 || i >= world.count) sched_fail("a thread is joined that was never created");
    if (world.tasks[i].state != SCHED_DONE) {
        me->state = SCHED_JOINING;
        me->joined = i;
        sched_stop();
    }
    sched_learn(world.tasks[i].digest);
    world.threads--;
}

static int64_t sched_now(void *user) {
    (void)user;
    if (world.probe < 0) world.now_ns += sched.is_exploring ? sched.plan.look_ns : SCHED_LOOK_NS;
    world.tasks[world.current].looked_ns = world.now_ns;
    sched_learn((uint64_t)world.now_ns);
    return world.now_ns;
}
/*  The time, for a scenario. */
SQLPOOL__UNUSED static int64_t sched_time(void) {
    sched_learn((uint64_t)world.now_ns);
    return world.now_ns;
}
static void sched_sleep(void *user, int64_t duration_ns) {
    sched_task *me = &world.tasks[world.current];
    (void)user;
    sched_yields(duration_ns <= SCHED_POLL_NS);
    sched_operation(me, SCHED_OP_YIELD);
    if (duration_ns <= 0) {
        sched_stop(); /* it is ready: after the others */
        return;
    }
    me->state = SCHED_ASLEEP;
    me->since_ns = world.now_ns;
    me->deadline_ns =
        duration_ns > SCHED_NEVER - world.now_ns ? SCHED_NEVER : world.now_ns + duration_ns;
    sched_stop();
}
/*  Goes on when `holds` says so: a scenario's own order, without polling. */
SQLPOOL__UNUSED static void sched_await(bool (*holds)(void)) {
    sched_task *me = &world.tasks[world.current];
    if (holds()) return;
    me->awaited = holds;
    me->state = SCHED_AWAITING;
    sched_stop();
}
static uint64_t sched_random(void *user) {
    const uint64_t random = sched_roll(&world.random);
    (void)user;
    sched_learn(random);
    return random;
}

/*  Fills the hooks of a configuration. */
SQLPOOL__UNUSED static void sched_hooks(sqlpool_config *config) {
    static const sqlpool_locks locks = {NULL,
                                        sched_mutex_init,
                                        sched_mutex_destroy,
                                        sched_mutex_lock,
                                        sched_mutex_unlock,
                                        sched_condition_init,
                                        sched_condition_destroy,
                                        sched_condition_wait,
                                        sched_condition_signal,
                                        sched_thread_id,
                                        sched_thread_create,
                                        sched_thread_join};
    config->allocator = sim_allocator();
    config->locks = locks;
    config->clock.now_ns_fn = sched_now;
    config->clock.sleep_ns_fn = sched_sleep;
    config->random.next_fn = sched_random;
}

/*  A condition whose waiters look again by themselves, or have nothing to do with the scenario. */
SQLPOOL__UNUSED static void sched_quiet(sqlpool_condition *c) {
    sched_object_of(c, true, "quiet")->is_quiet = true;
}

/*----------------------------------------------------------------------------
 * Runs.
 *---------------------------------------------------------------------------*/

static void sched_keep(void *at, size_t bytes) {
    sched.extra[sched.extra_count].at = at;
    sched.extra[sched.extra_count++].bytes = bytes;
}

/*  Once in a program, before any other use of SQLite. */
static int sched_init(void *local, size_t local_bytes) {
    static const sqlite3_mem_methods methods = {
        sched_sqlite_malloc,  sched_free,        sched_sqlite_realloc,  sched_sqlite_size,
        sched_sqlite_roundup, sched_sqlite_init, sched_sqlite_shutdown, NULL};
    const size_t stacks = (size_t)SCHED_TASKS * SCHED_STACK_BYTES;
    void *wanted = (void *)(uintptr_t)UINT64_C(0x200000000000);
    char *region;
    int i;
    if (local_bytes > SCHED_LOCAL_BYTES) return 1;
#if defined(SCHED_ASAN) || !defined(__LP64__)
    wanted = NULL;
#endif
    region = (char *)mmap(wanted, SCHED_HEAP_BYTES + stacks, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED) return 1;
    sched.heap = region;
    sched.stacks = region + SCHED_HEAP_BYTES;
    for (i = 0; i < SCHED_TASKS; i++) /* a stack that overflows is a crash */
        (void)mprotect(sched.stacks + (size_t)i * SCHED_STACK_BYTES, 4096, PROT_NONE);
    sched.frames = (sched_frame *)calloc(SCHED_FRAMES, sizeof *sched.frames);
    sched.local = local;
    sched.local_bytes = local_bytes;
    memset(&world, 0, sizeof world);
    world.heap.top = sched.heap;
    world.current = world.probe = -1;
    world.now_ns = 1000000000;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK) return 1;
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
    (void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0); /* pages one by one: less to copy */
    if (sqlite3_initialize() != SQLITE_OK) return 1;
    sched_keep(&world, sizeof world);
    sched_keep(&sim_alloc, sizeof sim_alloc);
    return 0;
}

/*  Copies the world; nobody runs. */
static void sched_save(sched_copy *copy) {
    const size_t used = (size_t)(world.heap.top - sched.heap);
    size_t bytes = used;
    char *at;
    int i;
    for (i = 0; i < sched.extra_count; i++) bytes += sched.extra[i].bytes;
    for (i = 0; i < world.count; i++)
        bytes += (size_t)(sched_stack_top(i) - (char *)world.tasks[i].stack_pointer);
    free(copy->bytes);
    copy->bytes = at = (char *)malloc(bytes);
    if (at == NULL) abort();
    for (i = 0; i < sched.extra_count; i++) {
        memcpy(at, sched.extra[i].at, sched.extra[i].bytes);
        at += sched.extra[i].bytes;
    }
    memcpy(at, sched.heap, used);
    at += used;
    for (i = 0; i < world.count; i++) {
        char *from = (char *)world.tasks[i].stack_pointer;
        if (world.tasks[i].state == SCHED_DONE) continue;
        memcpy(at, from, (size_t)(sched_stack_top(i) - from));
        at += sched_stack_top(i) - from;
    }
}

static void sched_restore(const sched_copy *copy) {
    const char *at = copy->bytes;
    size_t used;
    int i;
    for (i = 0; i < sched.extra_count; i++) {
        memcpy(sched.extra[i].at, at, sched.extra[i].bytes);
        at += sched.extra[i].bytes;
    }
    used = (size_t)(world.heap.top - sched.heap);
    memcpy(sched.heap, at, used);
    at += used;
    for (i = 0; i < world.count; i++) {
        char *to = (char *)world.tasks[i].stack_pointer;
        if (world.tasks[i].state == SCHED_DONE) continue;
        memcpy(to, at, (size_t)(sched_stack_top(i) - to));
        at += sched_stack_top(i) - to;
    }
}

/*  Runs until every thread of the scenario is done, or the run has failed. */
static void sched_go(void) {
    int i, own = 0;
    for (i = 0; i < world.count; i++) own += world.tasks[i].is_own && world.tasks[i].state != SCHED_DONE;
    if (own == 0) return;
    sched_switch(sched_next(false, true));
}

/*  Runs one function as a thread to its end, without decisions. */
static void sched_alone(void (*run)(void *), void *argument, const char *name) {
    const bool was = sched.is_exploring;
    sched.is_exploring = false;
    (void)sched_spawn(run, argument, name, true);
    sched.jumps = sched.idle_jumps = 0;
    sched_go();
    sched.is_exploring = was;
}

#endif
