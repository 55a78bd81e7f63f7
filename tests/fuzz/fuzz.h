/*  fuzz.h - what the fuzz targets share. SPDX-License-Identifier: MIT OR Unlicense

    A target includes this file, writes

        static const char *const fuzz_words[]       words that mutations insert, NULL at the end
        static void fuzz_seeds(void)                inputs made by the program: fuzz_seed(bytes, n)
        static void fuzz_one(const uint8_t *, size_t)

    and ends with FUZZ_TARGET("name"). It runs in two ways:

      - under libFuzzer (clang -fsanitize=fuzzer -DFUZZ_LIBFUZZER): as any target of its kind;
        FUZZ_WRITE_SEEDS=dir makes it write the seeds it makes itself to a folder and end;
      - alone, with any compiler: `name` runs every seed and every file of tests/corpus/name, then
        mutates them for FUZZ_SECONDS (10) or until FUZZ_RUNS inputs, from SIM_SEED or the time.
        What reaches new code (-fsanitize-coverage=trace-pc -DFUZZ_TRACE) joins the corpus in
        memory.
        `name FILE ...` runs those files alone.

    An input that fails is written to ./failed-name and printed; the program then aborts.
    `make fuzz-short`, `make fuzz` and `make fuzz-controls` build and run them all. */
#ifndef FUZZ_H
#define FUZZ_H

#define SQLPOOL_IMPLEMENTATION
#include "unit/unit.h"

#include <dirent.h>

/*---- an input that fails ----*/

static const char *fuzz_name = "";
static const uint8_t *fuzz_input;
static size_t fuzz_input_bytes;
static uint64_t fuzz_seed_of_run, fuzz_runs;

static inline void fuzz_save(void) {
    char path[300];
    FILE *file;
    size_t i;
    if (fuzz_input == NULL) return;
    printf("# %s: run %llu of seed %llu: input of %zu bytes:\n# ", fuzz_name,
           (unsigned long long)fuzz_runs, (unsigned long long)fuzz_seed_of_run, fuzz_input_bytes);
    for (i = 0; i < fuzz_input_bytes && i < 4096; i++) printf("%02x", (unsigned)fuzz_input[i]);
    (void)snprintf(path, sizeof path, "failed-%s", fuzz_name);
    file = fopen(path, "wb");
    if (file != NULL) {
        (void)fwrite(fuzz_input, 1, fuzz_input_bytes, file);
        (void)fclose(file);
    }
    printf("\n# kept in %s\n", path);
    fflush(stdout);
    fuzz_input = NULL;
}

#define FUZZ_FAIL(...) \
    do { \
        printf("# %s:%d: %s: ", __FILE__, __LINE__, fuzz_name); \
        printf(__VA_ARGS__); \
        printf("\n"); \
        fuzz_save(); \
        abort(); \
    } while (0)
#define FUZZ_CHECK(condition) \
    do { \
        if (!(condition)) FUZZ_FAIL("does not hold: %s", #condition); \
    } while (0)

/*---- taking an input apart ----*/

typedef struct fuzz_reader {
    const uint8_t *at, *end;
} fuzz_reader;

static inline unsigned fuzz_byte(fuzz_reader *r) {
    return r->at < r->end ? *r->at++ : 0;
}
static inline unsigned fuzz_below(fuzz_reader *r, unsigned bound) {
    return fuzz_byte(r) % bound;
}
static inline uint64_t fuzz_number(fuzz_reader *r, int bytes) {
    uint64_t value = 0;
    while (bytes-- > 0) value = value << 8 | fuzz_byte(r);
    return value;
}
/*  A text up to `end`, a byte of the input, or `most` bytes; NUL-terminated. */
static inline size_t fuzz_text(fuzz_reader *r, char *out, size_t most, uint8_t end) {
    size_t bytes = 0;
    while (r->at < r->end && *r->at != end && bytes < most) out[bytes++] = (char)*r->at++;
    if (r->at < r->end && *r->at == end) r->at++;
    out[bytes] = '\0';
    return bytes;
}
/*  A copy in a block of its exact size: reading behind it is seen by ASan and valgrind. */
static inline void *fuzz_exact(const void *bytes, size_t n) {
    void *copy = malloc(n > 0 ? n : 1);
    FUZZ_CHECK(copy != NULL);
    if (n > 0) memcpy(copy, bytes, n);
    return copy;
}

/*---- databases ----*/

typedef struct fuzz_dump {
    char *text;
    size_t bytes, room;
} fuzz_dump;

static inline void fuzz_dump_add(fuzz_dump *d, const void *bytes, size_t n) {
    if (n == 0) return;
    if (d->bytes + n > d->room) {
        d->room = (d->bytes + n) * 2 + 256;
        d->text = (char *)realloc(d->text, d->room);
        FUZZ_CHECK(d->text != NULL);
    }
    memcpy(d->text + d->bytes, bytes, n);
    d->bytes += n;
}
/*  The rows of a statement, each value with its type. */
static inline int fuzz_dump_rows(fuzz_dump *d, sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL), i;
    while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        for (i = 0; i < sqlite3_column_count(statement); i++) {
            const char type = (char)('0' + sqlite3_column_type(statement, i));
            const void *value = sqlite3_column_blob(statement, i);
            fuzz_dump_add(d, &type, 1);
            if (value != NULL) fuzz_dump_add(d, value, (size_t)sqlite3_column_bytes(statement, i));
            fuzz_dump_add(d, "|", 1);
        }
        fuzz_dump_add(d, "\n", 1);
        rc = SQLITE_OK;
    }
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}
/*  Schema, contents of every table and the two numbers of the header that SQL can set. */
static inline fuzz_dump fuzz_dump_of(sqlite3 *db) {
    fuzz_dump d;
    sqlite3_stmt *tables = NULL;
    memset(&d, 0, sizeof d);
    (void)fuzz_dump_rows(&d, db, "SELECT type,name,tbl_name,sql FROM sqlite_master ORDER BY 1,2,4");
    (void)fuzz_dump_rows(&d, db, "PRAGMA user_version");
    (void)fuzz_dump_rows(&d, db, "PRAGMA application_id");
    (void)sqlite3_prepare_v2(
        db, "SELECT name FROM sqlite_master WHERE type='table' ORDER BY name,rowid", -1, &tables,
        NULL);
    while (sqlite3_step(tables) == SQLITE_ROW) {
        char *sql = sqlite3_mprintf("SELECT * FROM main.\"%w\"", sqlite3_column_text(tables, 0));
        FUZZ_CHECK(sql != NULL);
        fuzz_dump_add(&d, sql, strlen(sql));
        (void)fuzz_dump_rows(&d, db, sql);
        sqlite3_free(sql);
    }
    (void)sqlite3_finalize(tables);
    return d;
}
static inline bool fuzz_same_dump(const fuzz_dump *a, const fuzz_dump *b) {
    return a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->text, b->text, a->bytes) == 0);
}
static inline void fuzz_print_dumps(const fuzz_dump *a, const fuzz_dump *b) {
    printf("# pool:\n%.*s\n# plain SQLite:\n%.*s\n", (int)a->bytes, a->text, (int)b->bytes,
           b->text);
}
/*  The same of a pool, through its writer. */
static inline fuzz_dump fuzz_dump_of_pool(unit_pool *u) {
    sqlpool_conn lease;
    fuzz_dump d;
    const int rc = sqlpool_conn_acquire(u->pool, SQLPOOL_WRITE, &lease, &u->error);
    if (rc != SQLPOOL_OK) FUZZ_FAIL("no writer: %s", u->error.message);
    d = fuzz_dump_of(sqlpool_conn_db(&lease));
    FUZZ_CHECK(sqlpool_conn_release(&lease) == SQLPOOL_OK);
    return d;
}
static inline sqlite3 *fuzz_plain(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    FUZZ_CHECK(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) ==
               SQLITE_OK);
    if (sql != NULL && sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        FUZZ_FAIL("%s: %s", sql, sqlite3_errmsg(db));
    return db;
}
static inline void fuzz_open(unit_pool *u, const char *path, const sqlpool_config *config) {
    const int rc = sqlpool_open(&u->pool, path, config, &u->error);
    if (rc != SQLPOOL_OK) FUZZ_FAIL("open gave %s: %s", sqlpool_result_name(rc), u->error.message);
    u->core = u->pool->core;
}
/*  Before the pool sets what it was asked for: turning a file into one with a log syncs it. */
static inline int fuzz_on_key(void *user, sqlite3 *db) {
    (void)user;
    return sqlite3_exec(db, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
}
/*  A configuration for a pool that only this thread uses, on virtual time that moves a little with
    every look, so that whatever runs has an end. */
static inline sqlpool_config fuzz_config(unit_pool *u, int readers) {
    sqlpool_config config = unit_config(u, readers);
    u->clock.step_ns = 1000;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    config.events.key_fn = fuzz_on_key;
    return config;
}
/*  Nothing may be left of a closed pool: no memory, no lock, no broken rule. */
static inline void fuzz_check_gone(const unit_pool *u) {
    char why[700];
    if (sim_locks_check(&u->locks, why, sizeof why) != 0) FUZZ_FAIL("locks: %s", why);
    if (sim_alloc_check(why, sizeof why) != 0) FUZZ_FAIL("memory: %s", why);
}
static inline void fuzz_close(unit_pool *u) {
    sqlpool_error error;
    const int rc = sqlpool_close(u->pool, &error);
    if (rc != SQLPOOL_OK) FUZZ_FAIL("close gave %s: %s", sqlpool_result_name(rc), error.message);
    fuzz_check_gone(u);
}
/*  What every error must be, whatever was asked: terminated, of the result, no control bytes. */
static inline void fuzz_check_error(const sqlpool_error *error, int rc) {
    size_t i;
    const char *end = (const char *)memchr(error->message, 0, sizeof error->message);
    FUZZ_CHECK(end != NULL);
    if (error->result != rc)
        FUZZ_FAIL("returned %d, error.result is %d: %s", rc, error->result, error->message);
    FUZZ_CHECK(rc == SQLPOOL_OK || error->message[0] != '\0');
    for (i = 0; error->message[i] != '\0'; i++) {
        const unsigned char c = (unsigned char)error->message[i];
        if ((c < 0x20 && c != '\n') || c == 0x7f) FUZZ_FAIL("byte %u in a message", (unsigned)c);
    }
}

/*---- mutation ----*/

#define FUZZ_MOST_BYTES 4096

static uint64_t fuzz_random_state = 1;
static inline uint64_t fuzz_random(uint64_t bound) {
    uint64_t z = fuzz_random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % bound;
}

/*  Room for `n` bytes at `at`, as far as there is room in all. */
static inline size_t fuzz_make_room(uint8_t *data, size_t *bytes, size_t most, size_t at,
                                    size_t n) {
    if (n > most - *bytes) n = most - *bytes;
    memmove(data + at + n, data + at, *bytes - at);
    *bytes += n;
    return n;
}
static inline size_t fuzz_mutate(uint8_t *data, size_t bytes, size_t most, const uint8_t *other,
                                 size_t other_bytes, const char *const *words) {
    size_t at = (size_t)fuzz_random(bytes + 1), n, from;
    size_t word_count = 0;
    while (words[word_count] != NULL) word_count++;
    switch (fuzz_random(word_count > 0 ? 12 : 9)) {
    case 0: /* a bit */
        if (at < bytes) data[at] ^= (uint8_t)(1u << fuzz_random(8));
        break;
    case 1: /* a byte */
        if (at < bytes) data[at] = (uint8_t)fuzz_random(256);
        break;
    case 2: { /* one of the bytes that mean something */
        static const uint8_t special[] = "\0\xff\x80\x7f\x01 ;'\"[]`()-/*\n\\%,.=?$";
        if (at < bytes) data[at] = special[fuzz_random(sizeof special - 1)];
        break;
    }
    case 3: /* a little more or less */
        if (at < bytes) data[at] = (uint8_t)(data[at] + (uint8_t)fuzz_random(9) - 4);
        break;
    case 4: /* without a part */
        n = bytes - at > 0 ? (size_t)fuzz_random(bytes - at < 32 ? bytes - at : 32) + 1 : 0;
        if (n > bytes - at) n = bytes - at;
        memmove(data + at, data + at + n, bytes - at - n);
        bytes -= n;
        break;
    case 5: /* new bytes */
        n = fuzz_make_room(data, &bytes, most, at, (size_t)fuzz_random(8) + 1);
        while (n-- > 0) data[at++] = (uint8_t)fuzz_random(256);
        break;
    case 6: /* a part of itself again */
        if (bytes == 0) break;
        from = (size_t)fuzz_random(bytes);
        n = (size_t)fuzz_random(bytes - from < 64 ? bytes - from : 64) + 1;
        if (n > bytes - from) n = bytes - from;
        {
            uint8_t part[64];
            memcpy(part, data + from, n);
            n = fuzz_make_room(data, &bytes, most, at, n);
            memcpy(data + at, part, n);
        }
        break;
    case 7: /* a part of another input */
        if (other_bytes == 0) break;
        from = (size_t)fuzz_random(other_bytes);
        n = (size_t)fuzz_random(other_bytes - from) + 1;
        n = fuzz_make_room(data, &bytes, most, at, n);
        memcpy(data + at, other + from, n);
        break;
    case 8: /* cut off */
        if (fuzz_random(4) == 0) bytes = at;
        break;
    default: { /* a word */
        const char *word = words[fuzz_random(word_count)];
        n = fuzz_make_room(data, &bytes, most, at, strlen(word));
        memcpy(data + at, word, n);
        break;
    }
    }
    return bytes;
}

/*---- the corpus ----*/

typedef struct fuzz_entry {
    uint8_t *data;
    size_t bytes;
} fuzz_entry;
static fuzz_entry *fuzz_corpus;
static size_t fuzz_corpus_count, fuzz_corpus_room;

static inline void fuzz_seed(const void *data, size_t bytes) {
    if (bytes > FUZZ_MOST_BYTES) bytes = FUZZ_MOST_BYTES;
    if (fuzz_corpus_count == fuzz_corpus_room) {
        fuzz_corpus_room = fuzz_corpus_room * 2 + 64;
        fuzz_corpus = (fuzz_entry *)realloc(fuzz_corpus, fuzz_corpus_room * sizeof *fuzz_corpus);
        if (fuzz_corpus == NULL) abort();
    }
    fuzz_corpus[fuzz_corpus_count].data = (uint8_t *)malloc(bytes + 1);
    if (fuzz_corpus[fuzz_corpus_count].data == NULL) abort();
    if (bytes > 0) memcpy(fuzz_corpus[fuzz_corpus_count].data, data, bytes);
    fuzz_corpus[fuzz_corpus_count++].bytes = bytes;
}
static inline void fuzz_seed_text(const char *text) {
    fuzz_seed(text, strlen(text));
}
static inline int fuzz_seed_file(const char *path) {
    static uint8_t data[FUZZ_MOST_BYTES];
    FILE *file = fopen(path, "rb");
    size_t bytes;
    if (file == NULL) return -1;
    bytes = fread(data, 1, sizeof data, file);
    (void)fclose(file);
    fuzz_seed(data, bytes);
    return 0;
}
/*  Every file of tests/corpus/name, in the order of their names: a seed then replays. */
static inline void fuzz_seed_folder(const char *folder) {
    struct dirent **list;
    int i, n = scandir(folder, &list, NULL, alphasort);
    for (i = 0; i < n; i++) {
        char path[1536];
        (void)snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        if (list[i]->d_name[0] != '.') (void)fuzz_seed_file(path);
        free(list[i]);
    }
    if (n >= 0) free(list);
}

/*---- which code was reached ----*/

#define FUZZ_MAP_BYTES 65536
static uint8_t fuzz_map[FUZZ_MAP_BYTES], fuzz_known[FUZZ_MAP_BYTES];
#ifdef __clang__
#define FUZZ_NO_COVERAGE no_sanitize("coverage")
#else
#define FUZZ_NO_COVERAGE no_sanitize_coverage
#endif
#ifdef FUZZ_TRACE
static uintptr_t fuzz_last_place;
void __sanitizer_cov_trace_pc(void);
__attribute__((FUZZ_NO_COVERAGE, no_sanitize("address", "undefined"))) void
__sanitizer_cov_trace_pc(void) {
    const uintptr_t place =
        ((uintptr_t)__builtin_return_address(0) - (uintptr_t)&__sanitizer_cov_trace_pc) *
        0x9e3779b1u;
    fuzz_map[(place ^ fuzz_last_place) >> 3 & (FUZZ_MAP_BYTES - 1)]++;
    fuzz_last_place = place >> 1;
}
#define FUZZ_BLIND __attribute__((FUZZ_NO_COVERAGE))
#else
#define FUZZ_BLIND
#endif
/*  Did this run do something no run did before? Counts are looked at by their size only. */
FUZZ_BLIND static int fuzz_is_news(void) {
    const uint64_t *words = (const uint64_t *)(void *)fuzz_map;
    int news = 0;
    size_t i, k;
    for (i = 0; i < FUZZ_MAP_BYTES / 8; i++) {
        if (words[i] == 0) continue;
        for (k = i * 8; k < i * 8 + 8; k++) {
            const uint8_t n = fuzz_map[k];
            const uint8_t size = n == 0    ? 0
                                 : n == 1  ? 1
                                 : n == 2  ? 2
                                 : n < 8   ? 4
                                 : n < 32  ? 8
                                 : n < 128 ? 16
                                           : 32;
            if ((fuzz_known[k] & size) != size) news = 1;
            fuzz_known[k] |= size;
        }
    }
    return news;
}

/*---- the program ----*/

#if defined(__SANITIZE_ADDRESS__)
void __sanitizer_set_death_callback(void (*callback)(void));
#endif
static inline void fuzz_on_signal(int number) {
    printf("# signal %d%s\n", number, number == SIGALRM ? ": an input takes too long" : "");
    fuzz_save();
    (void)signal(number, SIG_DFL);
    (void)raise(number == SIGALRM ? SIGABRT : number);
}
static inline int64_t fuzz_setting(const char *name, int64_t otherwise) {
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? strtoll(text, NULL, 10) : otherwise;
}

typedef void fuzz_run_fn(const uint8_t *data, size_t bytes);

static inline void fuzz_run(fuzz_run_fn *run, const uint8_t *data, size_t bytes) {
    uint8_t *copy = (uint8_t *)fuzz_exact(data, bytes);
    fuzz_input = copy;
    fuzz_input_bytes = bytes;
    fuzz_runs++;
    memset(fuzz_map, 0, sizeof fuzz_map);
    (void)alarm(20);
    run(copy, bytes);
    (void)alarm(0);
    fuzz_input = NULL;
    free(copy);
}

static inline int fuzz_main(int argc, char **argv, fuzz_run_fn *run, void (*seeds)(void),
                            const char *const *words) {
    const char *root = getenv("TEST_ROOT");
    const int64_t seconds = fuzz_setting("FUZZ_SECONDS", 10), runs = fuzz_setting("FUZZ_RUNS", -1);
    const int64_t begin = sim_real_ns(), end = begin + seconds * 1000000000;
    static uint8_t data[FUZZ_MOST_BYTES];
    char folder[1024];
    size_t i, seed_count;
    fuzz_seed_of_run = sim_seed();
    fuzz_random_state = fuzz_seed_of_run;
    sim_alloc.seed = fuzz_seed_of_run;
    (void)signal(SIGALRM, fuzz_on_signal);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_set_death_callback(fuzz_save);
#else
    (void)signal(SIGSEGV, fuzz_on_signal);
    (void)signal(SIGBUS, fuzz_on_signal);
    (void)signal(SIGFPE, fuzz_on_signal);
    (void)signal(SIGABRT, fuzz_on_signal);
#endif
    if (argc > 1) {
        for (i = 1; i < (size_t)argc; i++) {
            if (fuzz_seed_file(argv[i]) != 0) {
                printf("cannot read %s\n", argv[i]);
                return 2;
            }
            fuzz_run(run, fuzz_corpus[i - 1].data, fuzz_corpus[i - 1].bytes);
            printf("ok %s %s\n", fuzz_name, argv[i]);
        }
        return 0;
    }
    printf("# %s: seed=%llu\n", fuzz_name, (unsigned long long)fuzz_seed_of_run);
    fflush(stdout);
    seeds();
    (void)snprintf(folder, sizeof folder, "%s/tests/corpus/%s", root != NULL ? root : ".",
                   fuzz_name);
    fuzz_seed_folder(folder);
    seed_count = fuzz_corpus_count;
    FUZZ_CHECK(seed_count > 0);
    for (i = 0; i < seed_count; i++) {
        fuzz_run(run, fuzz_corpus[i].data, fuzz_corpus[i].bytes);
        (void)fuzz_is_news();
    }
    while (runs >= 0 ? fuzz_runs < (uint64_t)runs : sim_real_ns() < end) {
        const fuzz_entry *entry = &fuzz_corpus[fuzz_random(fuzz_corpus_count)];
        const fuzz_entry *other = &fuzz_corpus[fuzz_random(fuzz_corpus_count)];
        size_t bytes = entry->bytes;
        int steps = 1 + (int)fuzz_random(fuzz_random(2) ? 3 : 12);
        memcpy(data, entry->data, bytes);
        while (steps-- > 0)
            bytes = fuzz_mutate(data, bytes, sizeof data, other->data, other->bytes, words);
        fuzz_run(run, data, bytes);
        if (fuzz_is_news() && fuzz_corpus_count < 20000) fuzz_seed(data, bytes);
    }
    printf("ok %s: %llu inputs, %.0f/s, corpus %zu + %zu, seed=%llu\n", fuzz_name,
           (unsigned long long)fuzz_runs,
           (double)fuzz_runs * 1e9 / (double)(sim_real_ns() - begin + 1), seed_count,
           fuzz_corpus_count - seed_count, (unsigned long long)fuzz_seed_of_run);
    printf("1 passed, 0 failed\n");
    for (i = 0; i < fuzz_corpus_count; i++) free(fuzz_corpus[i].data);
    free(fuzz_corpus);
    return 0;
}

/*  libFuzzer: the seeds that the program makes, as files. */
static inline void fuzz_write_seeds(const char *folder, void (*seeds)(void)) {
    size_t i;
    seeds();
    for (i = 0; i < fuzz_corpus_count; i++) {
        char path[1024];
        FILE *file;
        (void)snprintf(path, sizeof path, "%s/made-%zu", folder, i);
        file = fopen(path, "wb");
        if (file == NULL) exit(2);
        (void)fwrite(fuzz_corpus[i].data, 1, fuzz_corpus[i].bytes, file);
        (void)fclose(file);
    }
    exit(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerInitialize(int *argc, char ***argv);
#ifdef FUZZ_LIBFUZZER
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t most, unsigned seed);
#define FUZZ_ENTRY(one, seeds, words) \
    size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t most, unsigned seed) { \
        fuzz_random_state = seed; \
        if (fuzz_random(2)) return LLVMFuzzerMutate(data, bytes, most); \
        return fuzz_mutate(data, bytes, most, NULL, 0, words); \
    }
#else
#define FUZZ_ENTRY(one, seeds, words) \
    int main(int argc, char **argv) { \
        (void)LLVMFuzzerInitialize(&argc, &argv); \
        return fuzz_main(argc, argv, one, seeds, words); \
    }
#endif
#define FUZZ_TARGET(name) \
    int LLVMFuzzerInitialize(int *argc, char ***argv) { \
        const char *folder = getenv("FUZZ_WRITE_SEEDS"); \
        (void)argc; \
        (void)argv; \
        fuzz_name = name; \
        (void)signal(SIGPIPE, SIG_IGN); \
        if (folder != NULL) fuzz_write_seeds(folder, fuzz_seeds); \
        fuzz_start(); \
        return 0; \
    } \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) { \
        fuzz_input = data; \
        fuzz_input_bytes = bytes; \
        if (bytes <= FUZZ_MOST_BYTES) fuzz_one(data, bytes); \
        return 0; \
    } \
    FUZZ_ENTRY(fuzz_one, fuzz_seeds, fuzz_words)

#endif
