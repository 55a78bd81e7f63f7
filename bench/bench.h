/*  bench.h - what the programs under bench/ share: clock, random numbers, histogram, thread team,
    the test database, the hand-written side, printing.
    SPDX-License-Identifier: MIT OR Unlicense

    A program defines _POSIX_C_SOURCE and SQLPOOL_IMPLEMENTATION and includes this file first.

    How the comparison is kept fair
    - Every system in a table works on its own copy of one database file, so that no system pays for
      another one's connections in SQLite's per-file lists, and all copies are byte for byte equal.
    - Every connection of every system has the same settings: journal_mode WAL, synchronous NORMAL,
      the cache_size that the pool gave its readers, temp_store, mmap_size 0, the log's limits.
      bench_settings_compare() reads them back from both sides and stops the run when they differ.
    - The hand-written side is the best that plain sqlite3 offers in autocommit: one connection
      (SQLITE_OPEN_NOMUTEX) and one persistent prepared statement per thread, no lock of its own.
      Where SQLite itself sets the limit, there is a column for the limit.
    - Every page a query needs is in the connection's page cache before anything is timed, where
      nobody writes and the cache is large enough.
    - All systems run in one process, one at a time, in slices: each round gives every system one
      slice in an order drawn anew (the seed is printed). Ratios are taken within a round, and the
      median of the rounds is printed, so that what disturbs the machine disturbs both sides.
    - Each operation's answer is compared with the expected value in every system. Every return code
      is looked at; anything unexpected ends the run.

    With --defaults the second rule is left out on purpose: the file is in WAL mode, and beyond that
    each side is as it comes, sqlite3_open() without a PRAGMA against sqlpool_open() without a
    configuration. Each side's settings are printed.  */
#ifndef SQLPOOL_BENCH_H
#define SQLPOOL_BENCH_H

#include "../sqlpool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__GNUC__) || defined(__clang__)
#define BENCH_PRINTF(at, first) __attribute__((format(printf, at, first)))
#else
#define BENCH_PRINTF(at, first)
#endif

enum {
    BENCH_LINE =
        128, /* bytes between data of two threads: two cache lines, since x86 fetches pairs */
    BENCH_THREADS_MAX = 64,
    BENCH_ROUNDS_MAX = 101,
    BENCH_PATH_MAX = 1024,
    BENCH_GRID_ROWS = 8, /* numbers of threads */
    BENCH_ITEMS = 100000 /* rows of the test table */
};

/*------------------------------------------------------------------------------
 * The temporary folder, and how a run ends
 *----------------------------------------------------------------------------*/

/*  The folder of this run; empty when there is none. Written before the first thread starts. */
static char bench_folder[BENCH_PATH_MAX];

static inline void bench_folder_remove(void) {
    DIR *dir;
    struct dirent *entry;
    if (bench_folder[0] == '\0') return;
    dir = opendir(bench_folder);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[BENCH_PATH_MAX + 300];
        if (entry->d_name[0] == '.') continue;
        (void)snprintf(path, sizeof path, "%s/%s", bench_folder, entry->d_name);
        (void)unlink(path);
    }
    if (dir != NULL) (void)closedir(dir);
    (void)rmdir(bench_folder);
    bench_folder[0] = '\0';
}

/*  Print why, remove the folder, end the program. Other threads may still run: no atexit work. */
BENCH_PRINTF(1, 2)
static inline _Noreturn void bench_die(const char *format, ...) {
    va_list list;
    (void)fflush(stdout);
    va_start(list, format);
    (void)fputs("bench: ", stderr);
    (void)vfprintf(stderr, format, list);
    (void)fputc('\n', stderr);
    va_end(list);
    bench_folder_remove();
    (void)fflush(NULL);
    _Exit(1);
}

static inline void bench_folder_make(const char *parent) {
    const int n = snprintf(bench_folder, sizeof bench_folder, "%s/sqlpool-bench.XXXXXX", parent);
    if (n < 0 || (size_t)n >= sizeof bench_folder) {
        bench_folder[0] = '\0';
        bench_die("the folder name is too long: %s", parent);
    }
    if (mkdtemp(bench_folder) == NULL) {
        bench_folder[0] = '\0';
        bench_die("no temporary folder in %s: %s", parent, strerror(errno));
    }
}

static inline void bench_path(char out[BENCH_PATH_MAX], const char *name) {
    const int n = snprintf(out, BENCH_PATH_MAX, "%s/%s", bench_folder, name);
    if (n < 0 || n >= BENCH_PATH_MAX) bench_die("the path is too long: %s/%s", bench_folder, name);
}

static inline void *bench_alloc(size_t bytes) {
    /* aligned_alloc() wants a multiple of the alignment. */
    const size_t whole = (bytes + BENCH_LINE - 1) / BENCH_LINE * BENCH_LINE;
    void *memory = aligned_alloc(BENCH_LINE, whole);
    if (memory == NULL) bench_die("no memory for %zu bytes", bytes);
    memset(memory, 0, whole);
    return memory;
}

/*  Unexpected results end the run. */
static inline void bench_sqlite(sqlite3 *db, int rc, int expected, const char *what) {
    if (rc != expected) {
        bench_die("%s: sqlite3 returned %d (%s), expected %d: %s", what, rc, sqlite3_errstr(rc),
                  expected, db != NULL ? sqlite3_errmsg(db) : "");
    }
}
static inline void bench_pool(int rc, const sqlpool_error *error, const char *what) {
    if (rc != SQLPOOL_OK) {
        bench_die("%s: %d %s: %s", what, rc, sqlpool_result_name(rc),
                  error != NULL && error->message[0] != '\0' ? error->message
                                                             : sqlpool_result_text(rc));
    }
}
static inline void bench_posix(int rc, const char *what) {
    if (rc != 0) bench_die("%s: %s", what, strerror(rc));
}

/*------------------------------------------------------------------------------
 * Clock, random numbers, statistics
 *----------------------------------------------------------------------------*/

static inline int64_t bench_now_ns(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) bench_die("clock_gettime: %s", strerror(errno));
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/*  Processor time of the calling thread. */
static inline int64_t bench_cpu_ns(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0)
        bench_die("clock_gettime: %s", strerror(errno));
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void bench_sleep_us(int64_t us) {
    struct timespec t;
    t.tv_sec = (time_t)(us / 1000000);
    t.tv_nsec = (long)(us % 1000000 * 1000);
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

/*  splitmix64: any seed is good, and one multiplication chain is nothing beside a query. */
static inline uint64_t bench_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/*  Uniform in 0 .. n-1, n below 2^32; the bias of the multiplication is below n / 2^32. */
static inline uint32_t bench_random_below(uint64_t *state, uint32_t n) {
    return (uint32_t)(((bench_random(state) >> 32) * n) >> 32);
}

static inline void bench_shuffle(uint64_t *state, int *order, int count) {
    for (int i = count - 1; i > 0; i--) {
        const int j = (int)bench_random_below(state, (uint32_t)i + 1);
        const int t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

static inline int bench_compare_double(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double bench_median(const double *values, int count) {
    double sorted[BENCH_ROUNDS_MAX];
    if (count < 1 || count > BENCH_ROUNDS_MAX) bench_die("a median of %d values", count);
    memcpy(sorted, values, sizeof(double) * (size_t)count);
    qsort(sorted, (size_t)count, sizeof(double), bench_compare_double);
    return count % 2 != 0 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0;
}

/*  The median of a[i] / b[i]: both sides of one round saw the same machine. */
static inline double bench_median_ratio(const double *a, const double *b, int count) {
    double ratio[BENCH_ROUNDS_MAX];
    if (count > BENCH_ROUNDS_MAX) bench_die("a median of %d values", count);
    for (int i = 0; i < count; i++) ratio[i] = b[i] > 0.0 ? a[i] / b[i] : 0.0;
    return bench_median(ratio, count);
}

/*  Newton's method, to do without libm. */
static inline double bench_sqrt(double v) {
    double x = v > 1.0 ? v : 1.0;
    if (v <= 0.0) return 0.0;
    for (int i = 0; i < 200; i++) {
        const double next = (x + v / x) / 2.0;
        if (next >= x) break;
        x = next;
    }
    return x;
}

/*  Latencies in nanoseconds; each power of two is cut into 32 buckets, so that a percentile is at
    most 3 % too high. The maximum is exact. One thread writes. */
enum { BENCH_SUB_BITS = 5, BENCH_BUCKETS = 60 << BENCH_SUB_BITS };
typedef struct bench_histogram {
    uint64_t count;
    int64_t max_ns;
    uint64_t buckets[BENCH_BUCKETS];
} bench_histogram;

static inline unsigned bench_log2(uint64_t v) {
    unsigned e = 0;
    for (unsigned step = 32; step > 0; step /= 2) {
        if (v >> step != 0) {
            v >>= step;
            e += step;
        }
    }
    return e;
}

static inline size_t bench_bucket(int64_t ns) {
    const uint64_t v = ns > 0 ? (uint64_t)ns : 0;
    unsigned e;
    if (v < (1u << BENCH_SUB_BITS)) return (size_t)v;
    e = bench_log2(v) - BENCH_SUB_BITS;
    return ((size_t)(e + 1) << BENCH_SUB_BITS) + (size_t)((v >> e) & ((1u << BENCH_SUB_BITS) - 1));
}

static inline int64_t bench_bucket_end(size_t bucket) {
    const size_t e = bucket >> BENCH_SUB_BITS, sub = bucket & ((1u << BENCH_SUB_BITS) - 1);
    if (e == 0) return (int64_t)sub;
    return (int64_t)((((uint64_t)1 << BENCH_SUB_BITS) + sub + 1) << (e - 1)) - 1;
}

static inline void bench_histogram_add(bench_histogram *h, int64_t ns) {
    h->count++;
    if (ns > h->max_ns) h->max_ns = ns;
    h->buckets[bench_bucket(ns)]++;
}

static inline void bench_histogram_merge(bench_histogram *to, const bench_histogram *from) {
    to->count += from->count;
    if (from->max_ns > to->max_ns) to->max_ns = from->max_ns;
    for (size_t i = 0; i < BENCH_BUCKETS; i++) to->buckets[i] += from->buckets[i];
}

/*  part in 1000ths of a percent: 99900 is p99.9. */
static inline double bench_percentile_us(const bench_histogram *h, uint64_t part) {
    const uint64_t target = (h->count * part + 99999) / 100000;
    uint64_t seen = 0;
    if (h->count == 0) return 0.0;
    for (size_t i = 0; i < BENCH_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= target) {
            const int64_t end = bench_bucket_end(i);
            return (double)(end < h->max_ns ? end : h->max_ns) / 1000.0;
        }
    }
    return (double)h->max_ns / 1000.0;
}

/*  What one round's latencies come to. */
typedef struct bench_latency {
    double p50_us, p99_us, p999_us, max_us;
} bench_latency;

static inline bench_latency bench_latency_of(const bench_histogram *h) {
    bench_latency l;
    l.p50_us = bench_percentile_us(h, 50000);
    l.p99_us = bench_percentile_us(h, 99000);
    l.p999_us = bench_percentile_us(h, 99900);
    l.max_us = (double)h->max_ns / 1000.0;
    return l;
}

/*  One double out of each round's struct; BENCH_MEDIAN and BENCH_WORST name the member. */
static inline void bench_member(double *out, const void *structs, size_t bytes, size_t member,
                                int count) {
    if (count > BENCH_ROUNDS_MAX) bench_die("%d rounds", count);
    for (int i = 0; i < count; i++)
        memcpy(&out[i], (const char *)structs + (size_t)i * bytes + member, sizeof out[i]);
}

static inline double bench_member_median(const void *structs, size_t bytes, size_t member,
                                         int count) {
    double v[BENCH_ROUNDS_MAX];
    bench_member(v, structs, bytes, member, count);
    return bench_median(v, count);
}

static inline double bench_member_worst(const void *structs, size_t bytes, size_t member,
                                        int count) {
    double v[BENCH_ROUNDS_MAX], worst = 0.0;
    bench_member(v, structs, bytes, member, count);
    for (int i = 0; i < count; i++) {
        if (v[i] > worst) worst = v[i];
    }
    return worst;
}
#define BENCH_MEDIAN(structs, count, type, member) \
    bench_member_median((structs), sizeof(type), offsetof(type, member), (count))
#define BENCH_WORST(structs, count, type, member) \
    bench_member_worst((structs), sizeof(type), offsetof(type, member), (count))

/*------------------------------------------------------------------------------
 * A team of threads that live as long as the program
 *----------------------------------------------------------------------------*/

/*  Threads are kept between slices, as a server keeps them, so that what a system stores per thread
    stays warm for everyone. The main thread sleeps meanwhile: a second thread is always alive, and
    glibc's shortcuts for single-threaded programs are never taken. */
typedef struct bench_team bench_team;

typedef struct bench_seat {
    bench_team *team;
    int thread;
} bench_seat;

struct bench_team {
    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t generation; /* which job; a thread that has not seen it takes it */
    int active;          /* threads 0 .. active-1 take part in this job */
    int arrived;         /* at the gate of this job */
    int finished;
    bool quit;
    int64_t opened_ns; /* when the gate opened */
    void (*work)(void *context, int thread, bench_team *team);
    void *context;
    /* main thread only */
    int size;
    pthread_t threads[BENCH_THREADS_MAX];
    bench_seat seats[BENCH_THREADS_MAX];
};

static inline void bench_lock(bench_team *team) {
    bench_posix(pthread_mutex_lock(&team->lock), "pthread_mutex_lock");
}
static inline void bench_unlock(bench_team *team) {
    bench_posix(pthread_mutex_unlock(&team->lock), "pthread_mutex_unlock");
}

/*  Waits until every thread of the job is ready. Returns when the gate opened, the same for all. */
static inline int64_t bench_gate(bench_team *team) {
    int64_t opened;
    uint64_t generation;
    bench_lock(team);
    generation = team->generation;
    if (++team->arrived == team->active) {
        team->opened_ns = bench_now_ns();
        bench_posix(pthread_cond_broadcast(&team->changed), "pthread_cond_broadcast");
    }
    while (team->arrived < team->active && team->generation == generation) {
        bench_posix(pthread_cond_wait(&team->changed, &team->lock), "pthread_cond_wait");
    }
    opened = team->opened_ns;
    bench_unlock(team);
    return opened;
}

static inline void *bench_team_thread(void *argument) {
    const bench_seat seat = *(const bench_seat *)argument;
    bench_team *team = seat.team;
    uint64_t seen = 0;
    bench_lock(team);
    for (;;) {
        while (!team->quit && (team->generation == seen || seat.thread >= team->active)) {
            seen = team->generation;
            bench_posix(pthread_cond_wait(&team->changed, &team->lock), "pthread_cond_wait");
        }
        if (team->quit) break;
        seen = team->generation;
        bench_unlock(team);
        team->work(team->context, seat.thread, team);
        bench_lock(team);
        if (++team->finished == team->active) {
            bench_posix(pthread_cond_broadcast(&team->changed), "pthread_cond_broadcast");
        }
    }
    bench_unlock(team);
    return NULL;
}

static inline bench_team *bench_team_start(int size) {
    bench_team *team = bench_alloc(sizeof *team);
    if (size < 1 || size > BENCH_THREADS_MAX)
        bench_die("%d threads; 1 .. %d", size, BENCH_THREADS_MAX);
    team->size = size;
    bench_posix(pthread_mutex_init(&team->lock, NULL), "pthread_mutex_init");
    bench_posix(pthread_cond_init(&team->changed, NULL), "pthread_cond_init");
    for (int i = 0; i < size; i++) {
        team->seats[i].team = team;
        team->seats[i].thread = i;
        bench_posix(pthread_create(&team->threads[i], NULL, bench_team_thread, &team->seats[i]),
                    "pthread_create");
    }
    return team;
}

/*  Runs work() on threads 0 .. active-1 and waits for all of them. */
static inline void bench_team_run(bench_team *team, int active,
                                  void (*work)(void *context, int thread, bench_team *team),
                                  void *context) {
    if (active < 1 || active > team->size) bench_die("%d of %d threads", active, team->size);
    bench_lock(team);
    team->work = work;
    team->context = context;
    team->active = active;
    team->arrived = 0;
    team->finished = 0;
    team->generation++;
    bench_posix(pthread_cond_broadcast(&team->changed), "pthread_cond_broadcast");
    while (team->finished < active) {
        bench_posix(pthread_cond_wait(&team->changed, &team->lock), "pthread_cond_wait");
    }
    bench_unlock(team);
}

static inline void bench_team_end(bench_team *team) {
    bench_lock(team);
    team->quit = true;
    bench_posix(pthread_cond_broadcast(&team->changed), "pthread_cond_broadcast");
    bench_unlock(team);
    for (int i = 0; i < team->size; i++)
        bench_posix(pthread_join(team->threads[i], NULL), "pthread_join");
    bench_posix(pthread_cond_destroy(&team->changed), "pthread_cond_destroy");
    bench_posix(pthread_mutex_destroy(&team->lock), "pthread_mutex_destroy");
    free(team);
}

/*------------------------------------------------------------------------------
 * The test database
 *----------------------------------------------------------------------------*/

/*  What row `id` holds in column `value`: every query checks its answer against it. */
static inline int64_t bench_item_value(int64_t id) {
    return id * 7919 % 1000003;
}
static inline void bench_expect(int64_t id, int64_t value) {
    if (value != bench_item_value(id)) bench_die("item %" PRId64 " has value %" PRId64, id, value);
}

static const char bench_schema[] =
    "CREATE TABLE item(id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, value INTEGER NOT NULL,"
    " price REAL NOT NULL, note TEXT NOT NULL);"
    "CREATE TABLE log(id INTEGER PRIMARY KEY, thread INTEGER NOT NULL, n INTEGER NOT NULL,"
    " note TEXT NOT NULL);"
    "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);"
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 64)"
    " INSERT INTO account SELECT i, 1000 FROM c;";

static const char bench_items[] =
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?1)"
    " INSERT INTO item SELECT i, printf('code-%08d', i), i * 7919 % 1000003, i / 8.0,"
    " 'note of item ' || i FROM c";

/*  Settings every connection of every system has. cache_kib comes from the pool (see
    bench_settings_read), the other values are the pool's defaults. */
typedef struct bench_settings {
    char journal_mode[16];
    int64_t synchronous;
    int64_t cache_size;
    int64_t temp_store;
    int64_t mmap_size;
    int64_t page_size;
    int64_t journal_size_limit;
} bench_settings;

static inline int64_t bench_pragma(sqlite3 *db, const char *sql, char *text, size_t text_bytes) {
    sqlite3_stmt *statement = NULL;
    int64_t value;
    bench_sqlite(db, sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK, sql);
    bench_sqlite(db, sqlite3_step(statement), SQLITE_ROW, sql);
    value = sqlite3_column_int64(statement, 0);
    if (text != NULL)
        (void)snprintf(text, text_bytes, "%s", (const char *)sqlite3_column_text(statement, 0));
    bench_sqlite(db, sqlite3_finalize(statement), SQLITE_OK, sql);
    return value;
}

static inline bench_settings bench_settings_read(sqlite3 *db) {
    bench_settings s;
    memset(&s, 0, sizeof s);
    (void)bench_pragma(db, "PRAGMA journal_mode", s.journal_mode, sizeof s.journal_mode);
    s.synchronous = bench_pragma(db, "PRAGMA synchronous", NULL, 0);
    s.cache_size = bench_pragma(db, "PRAGMA cache_size", NULL, 0);
    s.temp_store = bench_pragma(db, "PRAGMA temp_store", NULL, 0);
    s.mmap_size = bench_pragma(db, "PRAGMA mmap_size", NULL, 0);
    s.page_size = bench_pragma(db, "PRAGMA page_size", NULL, 0);
    s.journal_size_limit = bench_pragma(db, "PRAGMA journal_size_limit", NULL, 0);
    return s;
}

static inline void bench_exec(sqlite3 *db, const char *sql) {
    char *message = NULL;
    const int rc = sqlite3_exec(db, sql, NULL, NULL, &message);
    if (rc != SQLITE_OK)
        bench_die("%s: %d: %s", sql, rc, message != NULL ? message : sqlite3_errstr(rc));
}

static inline void bench_settings_apply(sqlite3 *db, const bench_settings *s) {
    char sql[512];
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA journal_mode=%s; PRAGMA synchronous=%" PRId64
                   "; PRAGMA cache_size=%" PRId64 "; PRAGMA temp_store=%" PRId64
                   "; PRAGMA mmap_size=%" PRId64 "; PRAGMA journal_size_limit=%" PRId64,
                   s->journal_mode, s->synchronous, s->cache_size, s->temp_store, s->mmap_size,
                   s->journal_size_limit);
    bench_exec(db, sql);
}

static inline void bench_settings_compare(const bench_settings *a, const bench_settings *b) {
    if (strcmp(a->journal_mode, b->journal_mode) != 0 || a->synchronous != b->synchronous ||
        a->cache_size != b->cache_size || a->temp_store != b->temp_store ||
        a->mmap_size != b->mmap_size || a->page_size != b->page_size ||
        a->journal_size_limit != b->journal_size_limit) {
        bench_die("two systems have different settings: journal_mode %s/%s synchronous %" PRId64
                  "/%" PRId64 " cache_size %" PRId64 "/%" PRId64 " temp_store %" PRId64 "/%" PRId64
                  " mmap_size %" PRId64 "/%" PRId64 " page_size %" PRId64 "/%" PRId64
                  " journal_size_limit %" PRId64 "/%" PRId64,
                  a->journal_mode, b->journal_mode, a->synchronous, b->synchronous, a->cache_size,
                  b->cache_size, a->temp_store, b->temp_store, a->mmap_size, b->mmap_size,
                  a->page_size, b->page_size, a->journal_size_limit, b->journal_size_limit);
    }
}

/*  Creates `name` with `items` rows, in WAL mode unless rollback is set, and closes it. */
static inline void bench_database_make(const char *name, int items, bool rollback) {
    char path[BENCH_PATH_MAX];
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    bench_path(path, name);
    bench_sqlite(NULL, sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
                 SQLITE_OK, path);
    bench_exec(db, rollback ? "PRAGMA journal_mode=DELETE" : "PRAGMA journal_mode=WAL");
    bench_exec(db, "BEGIN");
    bench_exec(db, bench_schema);
    bench_sqlite(db, sqlite3_prepare_v2(db, bench_items, -1, &statement, NULL), SQLITE_OK,
                 bench_items);
    bench_sqlite(db, sqlite3_bind_int64(statement, 1, items), SQLITE_OK, bench_items);
    bench_sqlite(db, sqlite3_step(statement), SQLITE_DONE, bench_items);
    bench_sqlite(db, sqlite3_finalize(statement), SQLITE_OK, bench_items);
    bench_exec(db, "COMMIT; ANALYZE");
    bench_sqlite(NULL, sqlite3_close(db), SQLITE_OK,
                 "sqlite3_close"); /* checkpoints, removes the log */
}

/*  Copies a database file that nobody has open. */
static inline void bench_file_copy(const char *from, const char *to) {
    static char block[1 << 16];
    FILE *in, *out;
    size_t n;
    in = fopen(from, "rb");
    out = fopen(to, "wb");
    if (in == NULL || out == NULL) bench_die("copying %s: %s", from, strerror(errno));
    while ((n = fread(block, 1, sizeof block, in)) > 0) {
        if (fwrite(block, 1, n, out) != n) bench_die("writing %s: %s", to, strerror(errno));
    }
    if (ferror(in) != 0 || fclose(in) != 0 || fclose(out) != 0)
        bench_die("copying %s: %s", from, strerror(errno));
}

/*  The same within the folder. */
static inline void bench_database_copy(const char *from_name, const char *to_name) {
    char from[BENCH_PATH_MAX], to[BENCH_PATH_MAX];
    bench_path(from, from_name);
    bench_path(to, to_name);
    bench_file_copy(from, to);
}

static const char bench_warm_sql[] =
    "SELECT sum(length(note)) + (SELECT count(*) FROM item INDEXED BY sqlite_autoindex_item_1"
    " WHERE code > '') FROM item";

/*------------------------------------------------------------------------------
 * The hand-written side
 *----------------------------------------------------------------------------*/

/*  One connection as a careful program opens it for one thread; without settings as it comes. */
static inline sqlite3 *bench_hand_open(const char *name, const bench_settings *settings) {
    char path[BENCH_PATH_MAX];
    sqlite3 *db = NULL;
    bench_settings got;
    bench_path(path, name);
    if (settings == NULL) {
        bench_sqlite(db, sqlite3_open(path, &db), SQLITE_OK, path);
        return db;
    }
    bench_sqlite(NULL,
                 sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL),
                 SQLITE_OK, path);
    bench_settings_apply(db, settings);
    got = bench_settings_read(db);
    bench_settings_compare(settings, &got);
    return db;
}

static inline sqlite3_stmt *bench_hand_prepare(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement = NULL;
    bench_sqlite(db, sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL),
                 SQLITE_OK, sql);
    return statement;
}

/*  Reads every page of the table into the connection's cache. */
static inline void bench_hand_warm(sqlite3 *db) {
    (void)bench_pragma(db, bench_warm_sql, NULL, 0);
}

/*  The classic textbook pool: a mutex, a condition, a stack of connections. */
typedef struct bench_textbook {
    pthread_mutex_t lock;
    pthread_cond_t returned;
    int free_count;
    uint64_t waits; /* acquires that slept */
    int free_slots[BENCH_THREADS_MAX];
    /* fixed after open */
    int size;
    sqlite3 *db[BENCH_THREADS_MAX];
    sqlite3_stmt
        *statement[BENCH_THREADS_MAX]; /* for programs that keep one per connection, or NULL */
} bench_textbook;

static inline int bench_textbook_acquire(bench_textbook *pool) {
    int slot;
    bench_posix(pthread_mutex_lock(&pool->lock), "pthread_mutex_lock");
    if (pool->free_count == 0) pool->waits++;
    while (pool->free_count == 0) {
        bench_posix(pthread_cond_wait(&pool->returned, &pool->lock), "pthread_cond_wait");
    }
    slot = pool->free_slots[--pool->free_count];
    bench_posix(pthread_mutex_unlock(&pool->lock), "pthread_mutex_unlock");
    return slot;
}

static inline void bench_textbook_release(bench_textbook *pool, int slot) {
    bench_posix(pthread_mutex_lock(&pool->lock), "pthread_mutex_lock");
    pool->free_slots[pool->free_count++] = slot;
    bench_posix(pthread_cond_signal(&pool->returned), "pthread_cond_signal");
    bench_posix(pthread_mutex_unlock(&pool->lock), "pthread_mutex_unlock");
}

static inline bench_textbook *bench_textbook_open(const char *name, int size,
                                                  const bench_settings *settings,
                                                  const char *keep_sql) {
    bench_textbook *pool = bench_alloc(sizeof *pool);
    if (size < 1 || size > BENCH_THREADS_MAX) bench_die("a textbook pool of %d", size);
    bench_posix(pthread_mutex_init(&pool->lock, NULL), "pthread_mutex_init");
    bench_posix(pthread_cond_init(&pool->returned, NULL), "pthread_cond_init");
    pool->size = size;
    for (int i = 0; i < size; i++) {
        pool->db[i] = bench_hand_open(name, settings);
        if (keep_sql != NULL) pool->statement[i] = bench_hand_prepare(pool->db[i], keep_sql);
        pool->free_slots[pool->free_count++] = i;
    }
    return pool;
}

static inline void bench_textbook_warm(bench_textbook *pool) {
    for (int i = 0; i < pool->size; i++) bench_hand_warm(pool->db[i]);
}

static inline void bench_textbook_close(bench_textbook *pool) {
    for (int i = 0; i < pool->size; i++) {
        bench_sqlite(pool->db[i], sqlite3_finalize(pool->statement[i]), SQLITE_OK,
                     "sqlite3_finalize");
        bench_sqlite(NULL, sqlite3_close(pool->db[i]), SQLITE_OK, "sqlite3_close");
    }
    bench_posix(pthread_cond_destroy(&pool->returned), "pthread_cond_destroy");
    bench_posix(pthread_mutex_destroy(&pool->lock), "pthread_mutex_destroy");
    free(pool);
}

/*------------------------------------------------------------------------------
 * The pool's side
 *----------------------------------------------------------------------------*/

/*  Warnings and errors of the pool are printed: figures taken beside a warning say little. */
static inline void bench_log(void *user, sqlpool_level level, sqlpool_log_item item,
                             const char *message) {
    (void)user;
    if (level >= SQLPOOL_LEVEL_WARNING && item != SQLPOOL_LOG_SQLITE_VERSION) {
        (void)fprintf(stderr, "sqlpool: %s\n", message);
    }
}

/*  Defaults but for the size: `readers` readers that stay open, as the hand-written connections do,
    each with room for the whole table in its page cache. */
static inline sqlpool_config bench_pool_config(int readers) {
    sqlpool_config config = sqlpool_config_default();
    config.name = "bench";
    config.max_connections = readers + 1;
    config.min_connections = readers + 1;
    config.reserve_connections = SQLPOOL_OFF;
    config.page_cache_kib = readers * 16384 / 3 * 4; /* a quarter of it is the writer's */
    config.log.write_fn = bench_log;
    return config;
}

/*  The library as it comes and with one switch set: each is a column of bench and mixed. Another
    switch is one more line: enumerator, column, text, member of sqlpool_config, its value. */
#define BENCH_VARIANTS(X) \
    X(BENCH_AS_IT_COMES, "sqlpool", "sqlpool_query() and sqlpool_exec()", snapshot_idle_ms, 0) \
    X(BENCH_SNAPSHOTS_OFF, "snap-off", "the same with snapshot_idle_ms off", snapshot_idle_ms, \
      SQLPOOL_OFF) \
    X(BENCH_SINGLE_PROCESS, "excl", "the same with single_process: no file locks", single_process, true)

#define BENCH_VARIANT_ENUMERATOR(id, name, text, member, value) id,
typedef enum bench_variant {
    BENCH_VARIANTS(BENCH_VARIANT_ENUMERATOR) BENCH_VARIANT_COUNT
} bench_variant;
#undef BENCH_VARIANT_ENUMERATOR

static inline void bench_variant_set(sqlpool_config *config, bench_variant variant) {
#define BENCH_VARIANT_SET(id, name, text, member, value) \
    if (variant == id) config->member = value;
    BENCH_VARIANTS(BENCH_VARIANT_SET)
#undef BENCH_VARIANT_SET
}

/*  Without a configuration as it comes. */
static inline sqlpool *bench_pool_open(const char *name, const sqlpool_config *config) {
    char path[BENCH_PATH_MAX];
    sqlpool *pool = NULL;
    sqlpool_error error;
    if (strcmp(name, ":memory:") == 0) {
        (void)snprintf(path, sizeof path, "%s", name);
    } else {
        bench_path(path, name);
    }
    bench_pool(sqlpool_open(&pool, path, config, &error), &error, "sqlpool_open");
    return pool;
}

/*  A column of the library on its own file: one variant with `readers` readers, or as it comes. */
static inline sqlpool *bench_variant_open(const char *name, bench_variant variant, int readers,
                                          bool defaults) {
    sqlpool_config config = bench_pool_config(readers);
    bench_variant_set(&config, variant);
    return bench_pool_open(name, defaults ? NULL : &config);
}

/*  Holds every reader at once so that each one gets its page cache filled. Returns the settings
    they run with, the same for all of them or the run ends. */
static inline bench_settings bench_pool_warm(sqlpool *pool, int readers) {
    sqlpool_conn conns[BENCH_THREADS_MAX];
    sqlpool_error error;
    bench_settings settings, other;
    sqlpool_call call;
    memset(&call, 0, sizeof call);
    call.tag = "warm-up";
    memset(&settings, 0, sizeof settings);
    for (int i = 0; i < readers; i++) {
        sqlite3 *db;
        bench_pool(sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &call, &conns[i], &error), &error,
                   "sqlpool_conn_acquire");
        db = sqlpool_conn_db(&conns[i]);
        if (db == NULL) bench_die("sqlpool_conn_db() returned NULL");
        other = bench_settings_read(db);
        if (i == 0) settings = other;
        bench_settings_compare(&settings, &other);
        bench_hand_warm(db);
    }
    for (int i = 0; i < readers; i++)
        bench_pool(sqlpool_conn_release(&conns[i]), NULL, "sqlpool_conn_release");
    return settings;
}

static inline void bench_pool_close(sqlpool *pool) {
    sqlpool_error error;
    bench_pool(sqlpool_close(pool, &error), &error, "sqlpool_close");
}

/*------------------------------------------------------------------------------
 * Command line and printing
 *----------------------------------------------------------------------------*/

typedef struct bench_options {
    int rounds;
    uint64_t seed;
    const char *dir; /* parent of the temporary folder */
    bool json;       /* print lines that start with { beside the tables */
    bool defaults;   /* each side as it comes instead of equal settings; bench and mixed */
} bench_options;

/*  argv[*i] is `name`: takes the number behind it. */
static inline bool bench_option_number(int argc, char **argv, int *i, const char *name, long low,
                                       long high, long *out) {
    char *end = NULL;
    if (strcmp(argv[*i], name) != 0) return false;
    if (*i + 1 >= argc) bench_die("%s needs a number", name);
    *i += 1;
    errno = 0;
    *out = strtol(argv[*i], &end, 10);
    if (errno != 0 || end == argv[*i] || *end != '\0' || *out < low || *out > high) {
        bench_die("%s %s: a number from %ld to %ld is needed", name, argv[*i], low, high);
    }
    return true;
}

static inline bool bench_option_text(int argc, char **argv, int *i, const char *name,
                                     const char **out) {
    if (strcmp(argv[*i], name) != 0) return false;
    if (*i + 1 >= argc) bench_die("%s needs a value", name);
    *i += 1;
    *out = argv[*i];
    return true;
}

/*  A list such as "1,2,4,8" of numbers of threads. Returns how many there are. */
static inline int bench_thread_list(const char *list, int *out, int room, int most) {
    int count = 0;
    for (const char *at = list; *at != '\0';) {
        char *end = NULL;
        const long n = strtol(at, &end, 10);
        if (end == at || n < 1 || n > most || (*end != ',' && *end != '\0'))
            bench_die("--threads %s: a list of numbers from 1 to %d is needed", list, most);
        if (count == room) bench_die("--threads %s: at most %d numbers", list, room);
        out[count++] = (int)n;
        at = *end == ',' ? end + 1 : end;
    }
    if (count == 0) bench_die("--threads: an empty list");
    return count;
}

static inline bench_options bench_options_default(int rounds) {
    bench_options o;
    o.rounds = rounds;
    o.seed = (uint64_t)bench_now_ns() % 1000000;
    o.dir = ".";
    o.json = false;
    o.defaults = false;
    return o;
}

static inline bool bench_option_common(int argc, char **argv, int *i, bench_options *o) {
    long number;
    if (bench_option_number(argc, argv, i, "--rounds", 1, BENCH_ROUNDS_MAX, &number)) {
        o->rounds = (int)number;
        return true;
    }
    if (bench_option_number(argc, argv, i, "--seed", 0, 1000000000, &number)) {
        o->seed = (uint64_t)number;
        return true;
    }
    if (bench_option_text(argc, argv, i, "--dir", &o->dir)) return true;
    if (strcmp(argv[*i], "--json") == 0) {
        o->json = true;
        return true;
    }
    return false;
}

/*  A table with a row for each number of threads and a column for each system. */
typedef struct bench_grid {
    const char *threads, *columns; /* lists, as they are given */
    long slice_ms;
    int rows;
    int row_threads[BENCH_GRID_ROWS];
    int threads_max;
} bench_grid;

/*  Also takes --defaults, which leaves the columns that then say nothing out. */
static inline bool bench_option_grid(int argc, char **argv, int *i, bench_options *o,
                                     bench_grid *grid) {
    if (strcmp(argv[*i], "--defaults") == 0) {
        o->defaults = true;
        return true;
    }
    return bench_option_common(argc, argv, i, o) ||
           bench_option_number(argc, argv, i, "--slice-ms", 1, 600000, &grid->slice_ms) ||
           bench_option_text(argc, argv, i, "--threads", &grid->threads) ||
           bench_option_text(argc, argv, i, "--columns", &grid->columns);
}

static inline void bench_grid_rows(bench_grid *grid, int most) {
    grid->rows = bench_thread_list(grid->threads, grid->row_threads, BENCH_GRID_ROWS, most);
    for (int i = 0; i < grid->rows; i++) {
        if (grid->row_threads[i] > grid->threads_max) grid->threads_max = grid->row_threads[i];
    }
}

/*  `name` in a list such as "hand,query"; an empty list holds everything. */
static inline bool bench_listed(const char *list, const char *name) {
    const size_t bytes = strlen(name);
    if (list == NULL || list[0] == '\0') return true;
    for (const char *at = list; *at != '\0';) {
        const size_t n = strcspn(at, ",");
        if (n == bytes && memcmp(at, name, n) == 0) return true;
        at += n;
        if (*at == ',') at++;
    }
    return false;
}

static inline int bench_cpus(void) {
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/*  Median microseconds of a 4 KiB append and fsync in the folder of this run. */
static inline double bench_fsync_us(void) {
    enum { TRIES = 21 };
    char path[BENCH_PATH_MAX];
    static const char block[4096];
    double us[TRIES];
    int fd;
    bench_path(path, "fsync");
    fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    if (fd < 0) bench_die("%s: %s", path, strerror(errno));
    for (int i = 0; i < TRIES; i++) {
        int64_t start;
        if (write(fd, block, sizeof block) != (ssize_t)sizeof block)
            bench_die("%s: %s", path, strerror(errno));
        start = bench_now_ns();
        if (fsync(fd) != 0) bench_die("fsync: %s", strerror(errno));
        us[i] = (double)(bench_now_ns() - start) / 1000.0;
    }
    if (close(fd) != 0 || unlink(path) != 0) bench_die("%s: %s", path, strerror(errno));
    return bench_median(us, TRIES);
}

/*  The load of the last minute where the system tells it, else -1: what else ran on the machine. */
static inline double bench_load(void) {
    FILE *file = fopen("/proc/loadavg", "r");
    double load = -1.0;
    if (file == NULL) return load;
    if (fscanf(file, "%lf", &load) != 1) load = -1.0;
    (void)fclose(file);
    return load;
}

/*  What of the machine and of SQLite a figure depends on. */
static inline void bench_header(const char *title, const bench_options *o) {
    static const char *const of_note[] = {"THREADSAFE",
                                          "DEFAULT_MEMSTATUS",
                                          "DEFAULT_SYNCHRONOUS",
                                          "DEFAULT_WAL_SYNCHRONOUS",
                                          "SECURE_DELETE",
                                          "SYSTEM_MALLOC",
                                          "DEFAULT_LOOKASIDE",
                                          "DEFAULT_PCACHE_INITSZ",
                                          "ENABLE_SETLK_TIMEOUT",
                                          "ENABLE_STMT_SCANSTATUS",
                                          "DIRECT_OVERFLOW_READ",
                                          "MUTEX_",
                                          "OMIT_SHARED_CACHE",
                                          "ENABLE_UNLOCK_NOTIFY",
                                          "DEBUG"};
    const double load = bench_load(), fsync_us = bench_fsync_us();
    const char *option;
    (void)printf("\n== %s\n", title);
    (void)printf("   CPUs %d; SQLite %s;", bench_cpus(), sqlite3_libversion());
    for (int i = 0; (option = sqlite3_compileoption_get(i)) != NULL; i++) {
        for (size_t k = 0; k < sizeof of_note / sizeof of_note[0]; k++) {
            if (strncmp(option, of_note[k], strlen(of_note[k])) == 0) {
                (void)printf(" %s", option);
                break;
            }
        }
    }
    (void)printf("\n   a 4 KiB append with fsync takes %.0f us (median); load at the start %.2f%s;"
                 " seed %" PRIu64 ", %d rounds\n",
                 fsync_us, load, load > 0.5 ? " (other programs run: rough figures)" : "", o->seed,
                 o->rounds);
    if (o->json) {
        (void)printf("{\"bench\":\"%s\",\"cpus\":%d,\"sqlite\":\"%s\",\"fsync_us\":%.1f,", title,
                     bench_cpus(), sqlite3_libversion(), fsync_us);
        (void)printf("\"load\":%.2f,\"seed\":%" PRIu64 ",\"rounds\":%d}\n", load, o->seed,
                     o->rounds);
    }
}

static inline void bench_settings_print(const char *who, const bench_settings *s) {
    (void)printf("   %s: journal_mode %s, synchronous %s, cache_size %" PRId64
                 ", temp_store %" PRId64 ", mmap_size %" PRId64 ", page_size %" PRId64 "\n",
                 who, s->journal_mode,
                 s->synchronous == 1   ? "NORMAL"
                 : s->synchronous == 2 ? "FULL"
                                       : "other",
                 s->cache_size, s->temp_store, s->mmap_size, s->page_size);
}

/*  A line that says whether a goal of the project is met in this run. */
static inline void bench_goal(const char *what, double measured, const char *relation,
                              double goal) {
    const bool met = relation[0] == '<' ? measured <= goal : measured >= goal;
    (void)printf("   goal %-58s %9.3f %s %-7g %s\n", what, measured, relation, goal,
                 met ? "met" : "NOT MET");
}

#endif
