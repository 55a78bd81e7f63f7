/*  global.c - sqlpool_global_init() and sqlpool_global_memory().
    SPDX-License-Identifier: MIT OR Unlicense

    What they set holds for the life of a process, so each case is this program started again with the
    case's name as its argument; what fails there is printed here. */
#define _GNU_SOURCE
#include "api.h"
#include "sim/sim.h"

static sqlpool_error err;

#define TABLE "CREATE TABLE t(v INTEGER); INSERT INTO t VALUES(0);"
#define VALUE "SELECT v FROM t"
#define MIB (INT64_C(1) << 20)

/*---- an allocator that looks ----*/

static int64_t live_bytes, peak_bytes; /* atomic */

static void add_live(int64_t bytes) {
    const int64_t now = __atomic_add_fetch(&live_bytes, bytes, __ATOMIC_SEQ_CST);
    int64_t peak = __atomic_load_n(&peak_bytes, __ATOMIC_SEQ_CST);
    while (now > peak &&
           !__atomic_compare_exchange_n(&peak_bytes, &peak, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        continue;
}
static void *count_alloc(void *user, size_t bytes) {
    void *memory = sim_hook_alloc(user, bytes);
    if (memory != NULL) add_live((int64_t)bytes);
    return memory;
}
static void *count_resize(void *user, void *memory, size_t old_bytes, size_t new_bytes) {
    void *bigger = sim_hook_resize(user, memory, old_bytes, new_bytes);
    if (bigger != NULL) add_live((int64_t)new_bytes - (int64_t)old_bytes);
    return bigger;
}
static void count_free(void *user, void *memory, size_t bytes) {
    add_live(-(int64_t)bytes);
    sim_hook_free(user, memory, bytes);
}
static sqlpool_allocator counting(void) {
    sqlpool_allocator a;
    a.user = &live_bytes;
    a.alloc_fn = count_alloc;
    a.resize_fn = count_resize;
    a.free_fn = count_free;
    return a;
}
static sqlpool_global_config with_counting(int64_t limit) {
    sqlpool_global_config config;
    memset(&config, 0, sizeof config);
    config.allocator = counting();
    config.memory_limit_bytes = limit;
    return config;
}
static int64_t live(void) {
    return __atomic_load_n(&live_bytes, __ATOMIC_SEQ_CST);
}
static int64_t peak(void) {
    return __atomic_load_n(&peak_bytes, __ATOMIC_SEQ_CST);
}

/*  Every rule of the allocator was kept: sizes given back as taken, nothing twice, nothing foreign. */
static void rules_were_kept(void) {
    if (sim_alloc.errors != 0) test_fail(__FILE__, __LINE__, "%s", sim_alloc.message);
}

/*  A pool with some work of every kind; `look` runs while it is open. */
static void use_a_pool(void (*look)(void)) {
    static int number;
    sqlpool_config config = config_of(2);
    char path[100];
    sqlpool *pool;
    int i;
    (void)snprintf(path, sizeof path, "%s%d.db", test_name, ++number);
    pool = open_pool(path, &config, TABLE "CREATE TABLE b(x);");
    CHECK(pool != NULL);
    for (i = 1; i <= 20; i++) {
        CHECK_OK(sqlpool_exec(pool, "UPDATE t SET v = ?", SQLPOOL_ARGS(i), &err), &err);
        CHECK_OK(sqlpool_exec(pool, "INSERT INTO b VALUES(randomblob(2000))", SQLPOOL_NO_ARGS, &err), &err);
        CHECK_INT(ask(pool, VALUE), i);
    }
    CHECK(ask(pool, "SELECT count(*) FROM (SELECT x FROM b ORDER BY x)") == 20);
    CHECK(ask(pool, "SELECT length(group_concat(hex(x))) FROM b") > 80000); /* grows by reallocation */
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    CHECK_INT(ask(pool, VALUE), 20);
    look();
    close_pool(pool);
}

static int64_t own; /* of the hook's bytes: the library's counters */

static void hook_is_used(void) {
    CHECK(live() > own);
    CHECK_INT(sqlpool_global_memory(), live() - own);
}
static void hook_is_used_without_statistics(void) {
    PART(hook_is_used());
    CHECK_INT(sqlite3_memory_used(), 0);
}
static void hook_is_used_with_statistics(void) {
    PART(hook_is_used());
    CHECK(sqlite3_memory_used() > 0);
    CHECK(sqlite3_memory_used() < sqlpool_global_memory()); /* it does not know of the heads */
}
static void libc_is_used(void) {
    CHECK_INT(live(), 0);
    CHECK(sqlpool_global_memory() > 0);
    CHECK_INT(sqlite3_memory_used(), 0);
}
static void sqlite_counts_itself(void) {
    CHECK_INT(live(), 0);
    CHECK(sqlite3_memory_used() > 0);
    CHECK_INT(sqlpool_global_memory(), sqlite3_memory_used());
}

/*---- what it sets up ----*/

static void defaults(void) {
    CHECK_OK(sqlpool_global_init(NULL, &err), &err);
    CHECK_INT(sqlpool_global_memory(), 0);
    PART(use_a_pool(libc_is_used));
    CHECK_INT(sqlite3_shutdown(), SQLITE_OK);
    CHECK_INT(sqlpool_global_memory(), 0);
}

static void zeroes_and_no_error(void) {
    sqlpool_global_config config;
    memset(&config, 0, sizeof config);
    CHECK_INT(sqlpool_global_init(&config, NULL), SQLPOOL_OK);
    PART(use_a_pool(libc_is_used));
    CHECK_INT(sqlpool_global_init(&config, NULL), SQLPOOL_MISUSE);
}

static void *read_and_write(void *argument) {
    sqlpool *pool = (sqlpool *)argument;
    sqlpool_error error;
    int64_t value;
    int i;
    for (i = 0; i < 50; i++) {
        (void)sqlpool_exec(pool, "UPDATE t SET v = v + 1", SQLPOOL_NO_ARGS, &error);
        (void)sqlpool_query_int64(pool, &value, VALUE, SQLPOOL_NO_ARGS, &error);
    }
    return NULL;
}
static void allocator_gets_every_byte_back(void) {
    sqlpool_global_config config = with_counting(0);
    sqlpool_config of_pool = config_of(3);
    pthread_t threads[6];
    sqlpool *pool;
    int i;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    memset(&config, 0x5a, sizeof config); /* it was copied */
    own = live();
    CHECK(own > 0 && own < 64 * 1024); /* the counters */
    PART(use_a_pool(hook_is_used));
    CHECK_INT(sqlpool_global_memory(), live() - own);
    pool = open_pool("threads.db", &of_pool, TABLE);
    CHECK(pool != NULL);
    for (i = 0; i < 6; i++) CHECK(start_thread(&threads[i], read_and_write, pool));
    for (i = 0; i < 6; i++) CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK_INT(ask(pool, VALUE), 300);
    close_pool(pool);
    CHECK_INT(sqlpool_global_memory(), live() - own); /* quiet: several threads freed what others took */
    CHECK_INT(sqlite3_shutdown(), SQLITE_OK);
    CHECK_INT(sqlpool_global_memory(), 0);
    CHECK_INT(live(), own);
    PART(rules_were_kept());
    PART(use_a_pool(hook_is_used)); /* SQLite starts again, with the same */
    CHECK_INT(sqlpool_global_memory(), live() - own);
    CHECK_INT(sqlite3_shutdown(), SQLITE_OK);
    CHECK_INT(live(), own);
    PART(rules_were_kept());
}

static void fill(unsigned char *memory, int from, int to) {
    int i;
    for (i = from; i < to; i++) memory[i] = (unsigned char)(i * 7);
}
static bool is_filled(const unsigned char *memory, int to) {
    int i;
    for (i = 0; i < to; i++) {
        if (memory[i] != (unsigned char)(i * 7)) return false;
    }
    return true;
}
static void blocks_are_aligned_and_keep_their_bytes(void) {
    const sqlpool_global_config config = with_counting(64 * MIB);
    const uintptr_t line = 2 * sizeof(void *); /* as the hook gives it */
    int size;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    CHECK_INT(sqlite3_initialize(), SQLITE_OK);
    own = live() - sqlpool_global_memory();
    for (size = 1; size < 5000; size += size < 100 ? 1 : 97) {
        unsigned char *memory = (unsigned char *)sqlite3_malloc(size);
        CHECK(memory != NULL);
        CHECK_INT((uintptr_t)memory % line, 0);
        CHECK((int64_t)sqlite3_msize(memory) >= size);
        fill(memory, 0, size);
        memory = (unsigned char *)sqlite3_realloc(memory, 3 * size);
        CHECK(memory != NULL && (uintptr_t)memory % line == 0);
        CHECK(is_filled(memory, size));
        CHECK((int64_t)sqlite3_msize(memory) >= 3 * size);
        CHECK_INT(sqlpool_global_memory(), live() - own);
        fill(memory, size, 3 * size);
        memory = (unsigned char *)sqlite3_realloc(memory, 2 * size);
        CHECK(memory != NULL && is_filled(memory, 2 * size));
        CHECK_INT(sqlpool_global_memory(), live() - own);
        sqlite3_free(memory);
    }
    CHECK_INT(sqlite3_shutdown(), SQLITE_OK);
    CHECK_INT(live(), own);
    PART(rules_were_kept());
}

/*---- what it refuses ----*/

static void a_second_call_changes_nothing(void) {
    sqlpool_global_config config = with_counting(0);
    CHECK_OK(sqlpool_global_init(NULL, &err), &err);
    CHECK_RC(sqlpool_global_init(&config, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "called before");
    CHECK_INT(live(), 0); /* nothing of it stays */
    PART(use_a_pool(libc_is_used));
    CHECK_RC(sqlpool_global_init(NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlite3_shutdown(), SQLITE_OK);
    CHECK_INT(sqlpool_global_memory(), 0);
    CHECK_RC(sqlpool_global_init(&config, &err), SQLPOOL_MISUSE, &err);
    PART(rules_were_kept());
}

static void too_late(bool is_by_a_pool) {
    const sqlpool_global_config config = with_counting(0);
    sqlpool *pool = NULL;
    if (is_by_a_pool) {
        pool = open_pool("late.db", NULL, TABLE);
        CHECK(pool != NULL);
    } else {
        CHECK_INT(sqlite3_initialize(), SQLITE_OK);
    }
    CHECK_RC(sqlpool_global_init(&config, &err), SQLPOOL_MISUSE, &err);
    CHECK_HAS(err.message, "in use already");
    CHECK_HAS(err.message, "before anything");
    CHECK_RC(sqlpool_global_init(NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(live(), 0);
    if (pool != NULL) {
        CHECK_INT(ask(pool, VALUE), 0);
        CHECK(sqlite3_memory_used() > 0);
        close_pool(pool);
    }
    PART(use_a_pool(sqlite_counts_itself));
    CHECK_INT(sqlite3_shutdown(), SQLITE_OK);
    CHECK_OK(sqlpool_global_init(&config, &err), &err); /* the refusal was not the call */
    own = live();
    PART(use_a_pool(hook_is_used_without_statistics));
    PART(rules_were_kept());
}
static void after_sqlite_was_started(void) {
    too_late(false);
}
static void after_a_pool_was_opened(void) {
    too_late(true);
}

static void bad(const sqlpool_global_config *config, const char *name, const char *value) {
    CHECK_RC(sqlpool_global_init(config, &err), SQLPOOL_CONFIG, &err);
    CHECK_HAS(err.message, "bad configuration");
    CHECK_HAS(err.message, name);
    CHECK_HAS(err.message, value);
    CHECK_INT(live(), 0);
}
static void bad_fields_are_named(void) {
    static const int bytes[] = {7, 63, 65529, 70000, -2, INT32_MAX, INT32_MIN};
    static const int64_t limits[] = {5, -1, MIB - 1, INT64_MIN};
    static const int counts[] = {-1, 20000, 10001, INT32_MIN, 0};
    sqlpool_global_config config;
    char value[40];
    int i;
    for (i = 0; i < 3; i++) {
        config = with_counting(0);
        if (i == 0) config.allocator.alloc_fn = NULL;
        if (i == 1) config.allocator.resize_fn = NULL;
        if (i == 2) config.allocator.free_fn = NULL;
        PART(bad(&config, "allocator", i == 0 ? "alloc_fn" : i == 1 ? "resize_fn" : "free_fn"));
    }
    for (i = 0; i < LENGTH(limits); i++) {
        config = with_counting(limits[i]);
        (void)snprintf(value, sizeof value, "%" PRId64, limits[i]);
        PART(bad(&config, "memory_limit_bytes is", value));
    }
    for (i = 0; i < LENGTH(bytes); i++) {
        config = with_counting(0);
        config.lookaside_bytes = bytes[i];
        config.lookaside_count = bytes[i] > 0 ? 10 : 0;
        (void)snprintf(value, sizeof value, "is %d,", bytes[i]);
        PART(bad(&config, "lookaside_bytes is", value));
    }
    for (i = 0; i < LENGTH(counts); i++) {
        config = with_counting(0);
        config.lookaside_bytes = 128;
        config.lookaside_count = counts[i];
        (void)snprintf(value, sizeof value, "is %d,", counts[i]);
        PART(bad(&config, "lookaside_count is", value));
    }
    config = with_counting(0);
    config.lookaside_count = 10;
    PART(bad(&config, "lookaside_count is 10", "with lookaside_bytes"));
    config.lookaside_bytes = SQLPOOL_OFF;
    PART(bad(&config, "lookaside_count is 10", "with lookaside_bytes"));
    config = with_counting(5); /* several at once */
    config.lookaside_bytes = 7;
    config.lookaside_count = -3;
    config.allocator.free_fn = NULL;
    PART(bad(&config, "memory_limit_bytes is 5", "lookaside_bytes is 7"));
    CHECK_HAS(err.message, "lookaside_count is -3");
    CHECK_HAS(err.message, "allocator");
    CHECK_INT(sqlpool_global_init(&config, NULL), SQLPOOL_CONFIG);
    config = with_counting(MIB);
    config.lookaside_bytes = 64;
    config.lookaside_count = 10000;
    CHECK_OK(sqlpool_global_init(&config, &err), &err); /* none of those was the call */
}

static void an_allocator_that_fails_at_init(void) {
    const sqlpool_global_config config = with_counting(0);
    sim_alloc_fail(1, 1);
    CHECK_RC(sqlpool_global_init(&config, &err), SQLPOOL_NOMEM, &err);
    CHECK_RC(sqlpool_global_init(&config, &err), SQLPOOL_NOMEM, &err);
    sim_alloc_heal();
    CHECK_INT(live(), 0);
    CHECK_INT(sqlpool_global_memory(), 0);
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    own = live();
    PART(use_a_pool(hook_is_used));
}

/*  Each allocation of SQLite fails in turn: an error, no crash, and the count stays true. */
static void an_allocator_that_fails_later(void) {
    const sqlpool_global_config config = with_counting(16 * MIB);
    const sqlpool_config of_pool = config_of(1);
    sqlpool *pool;
    int64_t value;
    uint64_t n;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    own = live();
    pool = open_pool("later.db", &of_pool, TABLE);
    CHECK(pool != NULL);
    for (n = 1; n < 60; n++) {
        sim_alloc_fail(n, 0);
        (void)sqlpool_query_int64(pool, &value, "SELECT length(group_concat(hex(randomblob(900)))) FROM t",
                                  SQLPOOL_NO_ARGS, &err);
        (void)sqlpool_recycle(pool);
        (void)sqlpool_exec(pool, "UPDATE t SET v = v", SQLPOOL_NO_ARGS, &err);
        sim_alloc_heal();
        CHECK_INT(ask(pool, VALUE), 0);
        CHECK_INT(sqlpool_global_memory(), live() - own);
    }
    for (n = 0; n < 2; n++) { /* a block that cannot be made larger, or smaller, stays as it is */
        char *block = (char *)sqlite3_malloc(5000);
        CHECK(block != NULL);
        memset(block, 7, 5000);
        sim_alloc_fail(1, 1);
        CHECK(sqlite3_realloc(block, n == 0 ? 9000 : 3000) == NULL);
        sim_alloc_heal();
        CHECK_INT(sqlpool_global_memory(), live() - own);
        CHECK_INT(sqlite3_msize(block) >= 5000, 1);
        CHECK_INT(block[4999], 7);
        sqlite3_free(block);
    }
    close_pool(pool);
    CHECK_INT(sqlite3_shutdown(), SQLITE_OK);
    CHECK_INT(live(), own);
    CHECK(peak() - own <= 16 * MIB);
    PART(rules_were_kept());
}

/*---- the limit ----*/

static void a_query_above_the_limit_fails_and_the_pool_goes_on(void) {
    const sqlpool_global_config config = with_counting(8 * MIB);
    const sqlpool_config of_pool = config_of(2);
    sqlpool *pool;
    int64_t value;
    int i, rc;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    own = live();
    pool = open_pool("limit.db", &of_pool, TABLE);
    CHECK(pool != NULL);
    for (i = 1; i <= 100; i++) {
        rc = sqlpool_query_int64(pool, &value, "SELECT length(hex(randomblob(5000000)))", SQLPOOL_NO_ARGS,
                                 &err);
        CHECK(rc == SQLPOOL_NOMEM || (rc > 0 && (rc & 0xff) == SQLITE_NOMEM));
        CHECK(err.message[0] != '\0');
        CHECK_OK(sqlpool_exec(pool, "UPDATE t SET v = v + 1", SQLPOOL_NO_ARGS, &err), &err);
        CHECK_INT(ask(pool, VALUE), i);
        CHECK_INT(ask(pool, "SELECT length(hex(randomblob(1000000)))"), 2000000); /* what fits, fits again */
    }
    CHECK(peak() - own <= 8 * MIB);
    CHECK(peak() - own > 2 * MIB);
    close_pool(pool);
    CHECK_INT(sqlite3_shutdown(), SQLITE_OK);
    CHECK_INT(live(), own);
    PART(rules_were_kept());
}

static void freed_memory_is_there_again(void) {
    const sqlpool_global_config config = with_counting(8 * MIB);
    int i;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    CHECK_INT(sqlite3_initialize(), SQLITE_OK);
    for (i = 0; i < 100; i++) {
        void *a = sqlite3_malloc(3 << 20), *b = sqlite3_malloc(3 << 20), *c;
        CHECK(a != NULL && b != NULL);
        CHECK(sqlite3_malloc(3 << 20) == NULL);
        sqlite3_free(a);
        c = sqlite3_realloc(b, 6 << 20); /* the hook has two at once, the count one */
        CHECK(c != NULL);
        CHECK(sqlite3_realloc(c, 9 << 20) == NULL);
        c = sqlite3_realloc(c, 1 << 20);
        CHECK(c != NULL);
        sqlite3_free(c);
    }
    PART(rules_were_kept());
}

/*  What the hook refused was not taken from the limit. */
static void what_the_hook_refuses_costs_nothing(void) {
    const sqlpool_global_config config = with_counting(8 * MIB);
    int i;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    CHECK_INT(sqlite3_initialize(), SQLITE_OK);
    for (i = 0; i < 20; i++) {
        void *block = sqlite3_malloc(1 << 20);
        CHECK(block != NULL);
        sim_alloc_fail(1, 1);
        CHECK(sqlite3_malloc(5 << 20) == NULL);
        CHECK(sqlite3_realloc(block, 5 << 20) == NULL);
        sim_alloc_heal();
        block = sqlite3_realloc(block, 6 << 20);
        CHECK(block != NULL);
        sqlite3_free(block);
        block = sqlite3_malloc(7 << 20);
        CHECK(block != NULL);
        sqlite3_free(block);
    }
    PART(rules_were_kept());
}

/*  One thread after the other takes more than half of the limit and frees it. */
static void *take_and_free(void *argument) {
    void **block = (void **)argument;
    *block = sqlite3_malloc(5 << 20);
    if (*block == NULL) return (void *)"the memory that another thread freed is not to be had";
    sqlite3_free(*block);
    return NULL;
}
static void freed_memory_is_there_for_other_threads(void) {
    const sqlpool_global_config config = with_counting(8 * MIB);
    int i;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    CHECK_INT(sqlite3_initialize(), SQLITE_OK);
    for (i = 0; i < 40; i++) {
        pthread_t thread;
        void *block = NULL, *said = NULL;
        CHECK(start_thread(&thread, take_and_free, &block));
        CHECK_INT(pthread_join(thread, &said), 0);
        if (said != NULL) test_fail(__FILE__, __LINE__, "thread %d: %s", i, (const char *)said);
        CHECK(said == NULL);
    }
    PART(rules_were_kept());
}

/*  What one thread takes another one frees. */
static void *only_take(void *argument) {
    *(void **)argument = sqlite3_malloc(3 << 20);
    return NULL;
}
static void *only_free(void *argument) {
    sqlite3_free(*(void **)argument);
    return NULL;
}
static void blocks_freed_by_other_threads_count(void) {
    const sqlpool_global_config config = with_counting(8 * MIB);
    int64_t before;
    int i;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    CHECK_INT(sqlite3_initialize(), SQLITE_OK);
    before = sqlpool_global_memory();
    for (i = 0; i < 40; i++) {
        pthread_t taker, freer;
        void *block = NULL;
        CHECK(start_thread(&taker, only_take, &block));
        CHECK_INT(pthread_join(taker, NULL), 0);
        CHECK(block != NULL);
        CHECK(sqlpool_global_memory() - before >= 3 << 20);
        CHECK(start_thread(&freer, only_free, &block));
        CHECK_INT(pthread_join(freer, NULL), 0);
        CHECK_INT(sqlpool_global_memory(), before);
    }
    PART(rules_were_kept());
}

/*  Many at once around the limit: never above it, and in the end all of it is there. */
typedef struct crowd {
    uint64_t dice;
    int refused;
} crowd;
static void *take_many(void *argument) {
    crowd *c = (crowd *)argument;
    void *blocks[16] = {NULL};
    int i;
    for (i = 0; i < 3000; i++) {
        int at, size;
        c->dice = c->dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
        at = (int)(c->dice >> 60);
        size = 1 + (int)(c->dice >> 33) % ((c->dice >> 56 & 7) == 0 ? 700000 : 20000);
        if (c->dice >> 55 & 1) {
            void *moved = sqlite3_realloc(blocks[at], size);
            if (moved != NULL) blocks[at] = moved;
            if (moved == NULL) c->refused++;
        } else {
            sqlite3_free(blocks[at]);
            blocks[at] = sqlite3_malloc(size);
            if (blocks[at] == NULL) c->refused++;
        }
    }
    for (i = 0; i < 16; i++) sqlite3_free(blocks[i]);
    return NULL;
}
static void never_above_the_limit(void) {
    sqlpool_global_config config = with_counting(4 * MIB);
    pthread_t threads[20];
    crowd crowds[20];
    void *block;
    int64_t before;
    int i, refused = 0;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    own = live();
    CHECK_INT(sqlite3_initialize(), SQLITE_OK);
    before = sqlpool_global_memory();
    for (i = 0; i < 20; i++) {
        crowds[i].dice = (uint64_t)i + 1, crowds[i].refused = 0;
        CHECK(start_thread(&threads[i], take_many, &crowds[i]));
    }
    for (i = 0; i < 20; i++) CHECK_INT(pthread_join(threads[i], NULL), 0);
    for (i = 0; i < 20; i++) refused += crowds[i].refused;
    CHECK(refused > 0); /* it was tight */
    CHECK_INT(sqlpool_global_memory(), before);
    CHECK_INT(live() - own, before);
    CHECK(peak() - own <= 4 * MIB);
    block = sqlite3_malloc(3 << 19); /* 16 shards may keep two chunks of 64 KiB each: the rest is there */
    CHECK(block != NULL);
    sqlite3_free(block);
    PART(rules_were_kept());
}

static void the_least_limit_gives_errors_not_crashes(void) {
    const sqlpool_global_config config = with_counting(MIB);
    const sqlpool_config of_pool = config_of(3);
    sqlpool *pool = NULL;
    int64_t value;
    int i, rc;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    own = live();
    rc = sqlpool_open(&pool, "least.db", &of_pool, &err);
    if (rc == SQLPOOL_OK) {
        (void)sqlpool_script(pool, TABLE, -1, &err);
        for (i = 0; i < 50; i++) {
            (void)sqlpool_exec(pool, "UPDATE t SET v = v + 1", SQLPOOL_NO_ARGS, &err);
            rc = sqlpool_query_int64(pool, &value, "SELECT length(hex(randomblob(600000)))", SQLPOOL_NO_ARGS,
                                     &err);
            CHECK(rc != SQLPOOL_OK);
        }
        close_pool(pool);
    } else {
        CHECK(rc == SQLPOOL_NOMEM || (rc & 0xff) == SQLITE_NOMEM);
    }
    CHECK(peak() - own <= MIB);
    PART(rules_were_kept());
}

/*---- lookaside and statistics ----*/

/*  Debian's SQLite has none: there the settings must only do no harm. */
static bool has_lookaside(void) {
    return sqlite3_compileoption_used("OMIT_LOOKASIDE") == 0;
}
static int lookaside(sqlite3 *db, int which) {
    int now = 0, most = 0;
    (void)sqlite3_db_status(db, which, &now, &most, 0);
    return most;
}
static void some_work(sqlite3 *db) {
    CHECK(raw_exec(db, "CREATE TABLE a(b, c, d); CREATE INDEX i ON a(b, c); INSERT INTO a VALUES(1, 2, 3);"
                       "SELECT * FROM a JOIN a AS x JOIN a AS y WHERE a.b = x.c OR y.d IN (1, 2, 3)"));
}
static void lookaside_is_as_told(void) {
    sqlpool_global_config config;
    sqlite3 *db;
    memset(&config, 0, sizeof config);
    config.lookaside_bytes = 128;
    config.lookaside_count = 10;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    db = raw_open(":memory:");
    CHECK(db != NULL);
    PART(some_work(db));
    if (has_lookaside()) {
        CHECK(lookaside(db, SQLITE_DBSTATUS_LOOKASIDE_HIT) > 0);
        CHECK(lookaside(db, SQLITE_DBSTATUS_LOOKASIDE_MISS_FULL) > 0);
        CHECK_INT(lookaside(db, SQLITE_DBSTATUS_LOOKASIDE_USED), 10);
    }
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    PART(use_a_pool(libc_is_used));
}
static void lookaside_is_off(void) {
    sqlpool_global_config config;
    sqlite3 *db;
    memset(&config, 0, sizeof config);
    config.lookaside_bytes = SQLPOOL_OFF;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    db = raw_open(":memory:");
    CHECK(db != NULL);
    PART(some_work(db));
    CHECK_INT(lookaside(db, SQLITE_DBSTATUS_LOOKASIDE_HIT), 0);
    CHECK_INT(lookaside(db, SQLITE_DBSTATUS_LOOKASIDE_USED), 0);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    PART(use_a_pool(libc_is_used));
}
static void lookaside_stays_as_built(void) {
    sqlite3 *db;
    CHECK_OK(sqlpool_global_init(NULL, &err), &err);
    db = raw_open(":memory:");
    CHECK(db != NULL);
    PART(some_work(db));
    if (has_lookaside()) CHECK(lookaside(db, SQLITE_DBSTATUS_LOOKASIDE_USED) > 10);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
}

static void statistics_are_kept(void) {
    sqlpool_global_config config = with_counting(0);
    config.keep_memory_statistics = true;
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    own = live();
    PART(use_a_pool(hook_is_used_with_statistics));
}
static void statistics_are_off_by_default(void) {
    const sqlpool_global_config config = with_counting(0);
    CHECK_OK(sqlpool_global_init(&config, &err), &err);
    own = live();
    PART(use_a_pool(hook_is_used_without_statistics));
}

static void without_it_sqlite_counts(void) {
    PART(use_a_pool(sqlite_counts_itself));
}

/*---- the cases ----*/

#define CASES(X)                                          \
    X(defaults)                                           \
    X(zeroes_and_no_error)                                \
    X(allocator_gets_every_byte_back)                     \
    X(blocks_are_aligned_and_keep_their_bytes)            \
    X(a_second_call_changes_nothing)                      \
    X(after_sqlite_was_started)                           \
    X(after_a_pool_was_opened)                            \
    X(bad_fields_are_named)                               \
    X(an_allocator_that_fails_at_init)                    \
    X(an_allocator_that_fails_later)                      \
    X(a_query_above_the_limit_fails_and_the_pool_goes_on) \
    X(freed_memory_is_there_again)                        \
    X(what_the_hook_refuses_costs_nothing)                \
    X(freed_memory_is_there_for_other_threads)            \
    X(blocks_freed_by_other_threads_count)                \
    X(never_above_the_limit)                              \
    X(the_least_limit_gives_errors_not_crashes)           \
    X(lookaside_is_as_told)                               \
    X(lookaside_is_off)                                   \
    X(lookaside_stays_as_built)                           \
    X(statistics_are_kept)                                \
    X(statistics_are_off_by_default)                      \
    X(without_it_sqlite_counts)

typedef struct test_case {
    const char *name;
    void (*run)(void);
} test_case;
#define CASE(name) {#name, name},
static const test_case cases[] = {CASES(CASE)};

/*  In the child: exit status 0 when all went well. */
static int run_case(const char *name) {
    int i;
    for (i = 0; i < LENGTH(cases); i++) {
        if (strcmp(cases[i].name, name) != 0) continue;
        test_name = name;
        cases[i].run();
        fflush(stdout);
        return __atomic_load_n(&test_failed_now, __ATOMIC_RELAXED) ? 1 : 0;
    }
    return 98;
}
/*  In the parent. */
static void run_child(void) {
    static char out[20000];
    const int status = sim_run_self(test_name, NULL, out, sizeof out);
    if (status != 0) test_fail(__FILE__, __LINE__, "its process ended with %d: %s", status, out);
}

int main(int argc, char **argv) {
    int i;
    if (argc == 2) return run_case(argv[1]);
    (void)sim_self_path();
    for (i = 0; i < LENGTH(cases); i++) test_run(cases[i].name, run_child);
    return test_end();
}
