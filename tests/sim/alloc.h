/*  alloc.h - the simulator's memory. SPDX-License-Identifier: MIT OR Unlicense

    One allocator behind two doors: the library's sqlpool_allocator hook and SQLite's own
    SQLITE_CONFIG_MALLOC. Every block carries a header and two red zones, so that a wrong size given
    to free or resize, a block freed through the other door, a write outside a block and a block
    freed twice are all seen. Every request of either door draws the next number from one counter;
    sim_alloc_fail() makes request number n, or every request from n on, return NULL.

    Nothing here stops the program: a broken rule is counted in sim_alloc.errors, kept as text and
    printed with the seed, and the test asks sim_alloc_check() at its end.

    The hook's resize always moves the block, so that a stale pointer is a use after free for ASan
    and reads 0xdd bytes otherwise. */
#ifndef SIM_ALLOC_H
#define SIM_ALLOC_H

#include "sqlpool.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIM_DOOR_LIBRARY = 0, SIM_DOOR_SQLITE = 1, SIM_DOOR_COUNT = 2 };

#define SIM_ALLOC_LIVE 0x51a110c4e11f00d5u
#define SIM_ALLOC_DEAD 0xdeadb10cdeadb10cu
#define SIM_ALLOC_ZONE 16 /* bytes behind a block; those before it are the header's last member */

typedef struct sim_block {
    uint64_t magic;
    uint64_t bytes;
    uint64_t number; /* which request made it */
    uint64_t door;
    struct sim_block *next, *previous; /* list of live blocks, for the leak report */
    unsigned char zone[SIM_ALLOC_ZONE];
} sim_block; /* 64 bytes on a 64-bit machine: what follows is aligned for any type */

typedef struct sim_alloc_state {
    uint64_t seed;     /* printed with every failure; the test sets it */
    uint64_t requests; /* drawn so far, both doors */
    uint64_t fail_at;  /* this request fails; 0: none */
    int fail_from_on;  /* and all later ones as well */
    uint64_t fail_more; /* or so many after it */
    uint64_t failed;   /* requests that were refused */
    int64_t live_blocks[SIM_DOOR_COUNT];
    int64_t live_bytes[SIM_DOOR_COUNT];
    uint64_t errors;
    char message[256];  /* the first error */
    uint64_t leak_free; /* CONTROL: this many of the library's next frees are dropped */
    pthread_mutex_t lock;
    sim_block *blocks[SIM_DOOR_COUNT];
} sim_alloc_state;

static sim_alloc_state sim_alloc = {.seed = 1, .requests = 0, .lock = PTHREAD_MUTEX_INITIALIZER};

static inline void sim_alloc_error(const char *format, ...) {
    char text[256];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (__atomic_fetch_add(&sim_alloc.errors, 1, __ATOMIC_RELAXED) == 0) {
        memcpy(sim_alloc.message, text, sizeof text);
    }
    printf("# sim/alloc seed=%llu: %s\n", (unsigned long long)sim_alloc.seed, text);
    fflush(stdout);
}

/*  The next request's number, and whether it must fail. */
static inline int sim_alloc_draw(uint64_t *number) {
    const uint64_t fail_at = __atomic_load_n(&sim_alloc.fail_at, __ATOMIC_RELAXED);
    *number = __atomic_add_fetch(&sim_alloc.requests, 1, __ATOMIC_RELAXED);
    if (fail_at == 0 || *number < fail_at) return 0;
    if (*number > fail_at + sim_alloc.fail_more && !sim_alloc.fail_from_on) return 0;
    __atomic_fetch_add(&sim_alloc.failed, 1, __ATOMIC_RELAXED);
    if (sim_alloc.failed == 1 && getenv("SIM_ALLOC_TRAP") != NULL) __builtin_trap();
    return 1;
}

static inline void *sim_alloc_take(size_t bytes, int door) {
    uint64_t number;
    sim_block *block;
    if (sim_alloc_draw(&number)) return NULL;
    block = (sim_block *)malloc(sizeof *block + bytes + SIM_ALLOC_ZONE);
    if (block == NULL) return NULL;
    block->magic = SIM_ALLOC_LIVE;
    block->bytes = bytes;
    block->number = number;
    block->door = (uint64_t)door;
    memset(block->zone, 0xfa, SIM_ALLOC_ZONE);
    memset(block + 1, 0xcd, bytes); /* nobody may count on zeroed memory */
    memset((unsigned char *)(block + 1) + bytes, 0xfb, SIM_ALLOC_ZONE);
    (void)pthread_mutex_lock(&sim_alloc.lock);
    block->previous = NULL;
    block->next = sim_alloc.blocks[door];
    if (block->next != NULL) block->next->previous = block;
    sim_alloc.blocks[door] = block;
    sim_alloc.live_blocks[door]++;
    sim_alloc.live_bytes[door] += (int64_t)bytes;
    (void)pthread_mutex_unlock(&sim_alloc.lock);
    return block + 1;
}

/*  The header of a block, NULL when it is none of this door's. */
static inline sim_block *sim_alloc_look(void *memory, int door, const char *what) {
    sim_block *block = (sim_block *)memory - 1;
    const unsigned char *behind;
    int i, bad = 0;
    if (block->magic == SIM_ALLOC_DEAD) {
        sim_alloc_error("%s of a block that was freed before", what);
        return NULL;
    }
    if (block->magic != SIM_ALLOC_LIVE) {
        sim_alloc_error("%s of memory that came from elsewhere, or a header overwritten", what);
        return NULL;
    }
    if (block->door != (uint64_t)door) {
        sim_alloc_error("%s of request %llu through the wrong door", what,
                        (unsigned long long)block->number);
        return NULL;
    }
    behind = (const unsigned char *)memory + block->bytes;
    for (i = 0; i < SIM_ALLOC_ZONE; i++) bad |= (block->zone[i] ^ 0xfa) | (behind[i] ^ 0xfb);
    if (bad)
        sim_alloc_error("request %llu of %llu bytes was written outside its bounds",
                        (unsigned long long)block->number, (unsigned long long)block->bytes);
    return block;
}

static inline void sim_alloc_give(sim_block *block) {
    const uint64_t door = block->door;
    (void)pthread_mutex_lock(&sim_alloc.lock);
    if (block->previous != NULL) {
        block->previous->next = block->next;
    } else {
        sim_alloc.blocks[door] = block->next;
    }
    if (block->next != NULL) block->next->previous = block->previous;
    sim_alloc.live_blocks[door]--;
    sim_alloc.live_bytes[door] -= (int64_t)block->bytes;
    (void)pthread_mutex_unlock(&sim_alloc.lock);
    block->magic = SIM_ALLOC_DEAD;
    memset(block + 1, 0xdd, (size_t)block->bytes);
    free(block);
}

/*---- the library's door ----*/

static inline void *sim_hook_alloc(void *user, size_t bytes) {
    (void)user;
    if (bytes == 0) {
        sim_alloc_error("the library asked for 0 bytes");
        return NULL;
    }
    return sim_alloc_take(bytes, SIM_DOOR_LIBRARY);
}

static inline void sim_hook_free(void *user, void *memory, size_t bytes) {
    sim_block *block;
    (void)user;
    if (memory == NULL) {
        sim_alloc_error("free_fn was called with NULL");
        return;
    }
    block = sim_alloc_look(memory, SIM_DOOR_LIBRARY, "free");
    if (block == NULL) return;
    if (block->bytes != bytes) {
        sim_alloc_error("free gave %llu bytes for request %llu of %llu bytes",
                        (unsigned long long)bytes, (unsigned long long)block->number,
                        (unsigned long long)block->bytes);
    }
    if (sim_alloc.leak_free > 0) {
        sim_alloc.leak_free--;
        return;
    }
    sim_alloc_give(block);
}

static inline void *sim_hook_resize(void *user, void *memory, size_t old_bytes, size_t new_bytes) {
    sim_block *block;
    void *bigger;
    (void)user;
    if (memory == NULL) {
        if (old_bytes != 0) sim_alloc_error("resize_fn was called with NULL and a size");
        return sim_hook_alloc(user, new_bytes);
    }
    block = sim_alloc_look(memory, SIM_DOOR_LIBRARY, "resize");
    if (block == NULL) return NULL;
    if (block->bytes != old_bytes) {
        sim_alloc_error("resize gave %llu bytes for request %llu of %llu bytes",
                        (unsigned long long)old_bytes, (unsigned long long)block->number,
                        (unsigned long long)block->bytes);
    }
    if (new_bytes == 0) sim_alloc_error("resize_fn was asked for 0 bytes");
    bigger = sim_alloc_take(new_bytes, SIM_DOOR_LIBRARY);
    if (bigger == NULL) return NULL; /* the old block stays */
    memcpy(bigger, memory, block->bytes < new_bytes ? (size_t)block->bytes : new_bytes);
    sim_alloc_give(block);
    return bigger;
}

static inline sqlpool_allocator sim_allocator(void) {
    sqlpool_allocator a;
    a.user = NULL;
    a.alloc_fn = sim_hook_alloc;
    a.resize_fn = sim_hook_resize;
    a.free_fn = sim_hook_free;
    return a;
}

/*---- SQLite's door ----*/

static inline void *sim_sqlite_malloc(int bytes) {
    return sim_alloc_take((size_t)bytes, SIM_DOOR_SQLITE);
}
static inline void sim_sqlite_free(void *memory) {
    sim_block *block;
    if (memory == NULL) return;
    block = sim_alloc_look(memory, SIM_DOOR_SQLITE, "SQLite's free");
    if (block != NULL) sim_alloc_give(block);
}
static inline void *sim_sqlite_realloc(void *memory, int bytes) {
    sim_block *block = sim_alloc_look(memory, SIM_DOOR_SQLITE, "SQLite's realloc");
    void *bigger;
    if (block == NULL) return NULL;
    bigger = sim_alloc_take((size_t)bytes, SIM_DOOR_SQLITE);
    if (bigger == NULL) return NULL;
    memcpy(bigger, memory, block->bytes < (uint64_t)bytes ? (size_t)block->bytes : (size_t)bytes);
    sim_alloc_give(block);
    return bigger;
}
static inline int sim_sqlite_size(void *memory) {
    return memory == NULL ? 0 : (int)((sim_block *)memory - 1)->bytes;
}
static inline int sim_sqlite_roundup(int bytes) {
    return (bytes + 7) & ~7;
}
static inline int sim_sqlite_init(void *user) {
    (void)user;
    return SQLITE_OK;
}
static inline void sim_sqlite_shutdown(void *user) {
    (void)user;
}

/*  Puts the allocator under SQLite, lookaside off (it would hide failures). Call it in main()
    before any other use of SQLite. Returns SQLite's result. */
static inline int sim_alloc_install(void) {
    static const sqlite3_mem_methods methods = {
        sim_sqlite_malloc,  sim_sqlite_free, sim_sqlite_realloc,  sim_sqlite_size,
        sim_sqlite_roundup, sim_sqlite_init, sim_sqlite_shutdown, NULL};
    const int rc = sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    if (rc != SQLITE_OK) return rc;
    (void)sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0,
                         0); /* an error where lookaside is compiled out */
    return sqlite3_initialize();
}

/*---- what a test calls ----*/

/*  Starts numbering at 1; request number n fails (0: none), from_on: and all after it. */
static inline void sim_alloc_fail(uint64_t n, int from_on) {
    __atomic_store_n(&sim_alloc.requests, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&sim_alloc.failed, 0, __ATOMIC_RELAXED);
    sim_alloc.fail_from_on = from_on;
    sim_alloc.fail_more = 0;
    __atomic_store_n(&sim_alloc.fail_at, n, __ATOMIC_RELAXED);
}
/*  Requests n to n + count - 1 fail. */
static inline void sim_alloc_fail_some(uint64_t n, uint64_t count) {
    sim_alloc_fail(n, 0);
    sim_alloc.fail_more = count - 1;
}
/*  No request fails any more; the numbering goes on. */
static inline void sim_alloc_heal(void) {
    __atomic_store_n(&sim_alloc.fail_at, 0, __ATOMIC_RELAXED);
}

/*  Forgets the errors and, for a control that leaked on purpose, frees what the library left. */
static inline void sim_alloc_forget(void) {
    sim_alloc.leak_free = 0;
    while (sim_alloc.blocks[SIM_DOOR_LIBRARY] != NULL) {
        sim_alloc_give(sim_alloc.blocks[SIM_DOOR_LIBRARY]);
    }
    sim_alloc.errors = 0;
    sim_alloc.message[0] = '\0';
}

/*  Writes into `why` what is wrong: rules broken, blocks of the library still out. 0: nothing. */
static inline int sim_alloc_check(char *why, size_t why_bytes) {
    const sim_block *block;
    if (sim_alloc.errors != 0) {
        (void)snprintf(why, why_bytes, "%llu allocator rules broken, first: %s",
                       (unsigned long long)sim_alloc.errors, sim_alloc.message);
        return 1;
    }
    if (sim_alloc.live_blocks[SIM_DOOR_LIBRARY] != 0) {
        block = sim_alloc.blocks[SIM_DOOR_LIBRARY];
        (void)snprintf(why, why_bytes,
                       "leak: %lld blocks, %lld bytes of the library; the last is request %llu"
                       " of %llu bytes",
                       (long long)sim_alloc.live_blocks[SIM_DOOR_LIBRARY],
                       (long long)sim_alloc.live_bytes[SIM_DOOR_LIBRARY],
                       (unsigned long long)block->number, (unsigned long long)block->bytes);
        return 1;
    }
    return 0;
}

#endif
