/*  base.c - white box: platform, memory, diagnostics, numbers, containers (I02, I04 to I07).
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION

/*  What the default hooks ask of libc can be made to fail here. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int fail_malloc, fail_thread, fail_condattr, fail_setclock;
static int fail_chown, fail_chmod, fail_close, fail_fsync; /* with this errno */
static int broken_vsnprintf;

static void *base_malloc(size_t bytes) {
    return fail_malloc ? NULL : malloc(bytes);
}
static int base_pthread_create(pthread_t *id, const pthread_attr_t *attribute, void *(*run)(void *),
                               void *argument) {
    return fail_thread ? EAGAIN : pthread_create(id, attribute, run, argument);
}
static int base_condattr_init(pthread_condattr_t *attribute) {
    return fail_condattr ? ENOMEM : pthread_condattr_init(attribute);
}
static int base_condattr_setclock(pthread_condattr_t *attribute, clockid_t id) {
    return fail_setclock ? EINVAL : pthread_condattr_setclock(attribute, id);
}
static int base_vsnprintf(char *out, size_t room, const char *format, va_list list)
    __attribute__((format(printf, 3, 0)));
static int base_vsnprintf(char *out, size_t room, const char *format, va_list list) {
    return broken_vsnprintf ? -1 : vsnprintf(out, room, format, list);
}
static int base_refuse(int code) {
    errno = code;
    return -1;
}
static int base_chown(const char *path, uid_t user, gid_t group) {
    return fail_chown != 0 ? base_refuse(fail_chown) : chown(path, user, group);
}
static int base_chmod(const char *path, mode_t mode) {
    return fail_chmod != 0 ? base_refuse(fail_chmod) : chmod(path, mode);
}
static int base_close(int file) { /* like the system's it closes, whatever it says */
    const int rc = close(file);
    return fail_close != 0 ? base_refuse(fail_close) : rc;
}
static int base_fsync(int file) {
    return fail_fsync != 0 ? base_refuse(fail_fsync) : fsync(file);
}
#define chown(path, user, group) base_chown(path, user, group)
#define chmod(path, mode) base_chmod(path, mode)
#define close(file) base_close(file)
#define fsync(file) base_fsync(file)
#define malloc base_malloc
#define pthread_create base_pthread_create
#define pthread_condattr_init base_condattr_init
#define pthread_condattr_setclock base_condattr_setclock
#define vsnprintf base_vsnprintf
#include "sqlpool.h"
#undef chown
#undef chmod
#undef close
#undef fsync
#undef malloc
#undef pthread_create
#undef pthread_condattr_init
#undef pthread_condattr_setclock
#undef vsnprintf

#include "unit.h"

/*---- I02 ----*/

TEST(default_memory) {
    char *block = (char *)sqlpool__default_alloc(NULL, 8);
    CHECK(block != NULL);
    memcpy(block, "1234567", 8);
    block = (char *)sqlpool__default_resize(NULL, block, 8, 4096);
    CHECK(block != NULL);
    CHECK_STR(block, "1234567");
    sqlpool__default_free(NULL, block, 4096);
    fail_malloc = 1;
    CHECK(sqlpool__default_alloc(NULL, 8) == NULL);
    fail_malloc = 0;
}

TEST(default_clock_is_monotonic_time) {
    struct timespec t;
    int64_t before, after, now;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    before = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    now = sqlpool__default_now(NULL);
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    after = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    CHECK(before <= now && now <= after);
    sqlpool__default_sleep(NULL, 3 * MS);
    CHECK(sqlpool__default_now(NULL) - now >= 3 * MS);
    now = sqlpool__default_now(NULL);
    sqlpool__default_sleep(NULL, 0);
    CHECK(sqlpool__default_now(NULL) - now < 1000 * MS);
}

typedef struct meeting {
    sqlpool_mutex mutex;
    sqlpool_condition condition;
    int64_t timeout_ns;
    int waiting, woken;
    uint64_t id;
    bool all_blocked;
} meeting;

static void attend(void *argument) {
    meeting *m = (meeting *)argument;
    sigset_t now;
    int number;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &now);
    sqlpool__default_mutex_lock(NULL, &m->mutex);
    m->all_blocked = true;
    for (number = 1; number < 32; number++) {
        if (number != SIGKILL && number != SIGSTOP && sigismember(&now, number) != 1)
            m->all_blocked = false;
    }
    m->id = sqlpool__default_thread_id(NULL);
    m->waiting++;
    sqlpool__default_condition_wait(NULL, &m->condition, &m->mutex, m->timeout_ns);
    m->woken++;
    sqlpool__default_mutex_unlock(NULL, &m->mutex);
}

/*  Two sleepers, one signal: both wake; the thread blocks signals and has a name of its own. */
static void meet(int64_t timeout_ns) {
    meeting m;
    void *threads[2];
    int i;
    const int64_t start = sqlpool__default_now(NULL);
    memset(&m, 0, sizeof m);
    m.timeout_ns = timeout_ns;
    CHECK_INT(sqlpool__default_mutex_init(NULL, &m.mutex), 0);
    CHECK_INT(sqlpool__default_condition_init(NULL, &m.condition), 0);
    for (i = 0; i < 2; i++)
        CHECK_INT(sqlpool__default_thread_create(NULL, &threads[i], attend, &m), 0);
    for (;;) {
        sqlpool__default_mutex_lock(NULL, &m.mutex);
        if (m.waiting == 2) break;
        sqlpool__default_mutex_unlock(NULL, &m.mutex);
        sqlpool__default_sleep(NULL, 100000);
    }
    CHECK_INT(m.woken, 0); /* both sleep: they gave the mutex up, and nothing woke them yet */
    sqlpool__default_condition_signal(NULL, &m.condition);
    sqlpool__default_mutex_unlock(NULL, &m.mutex);
    for (i = 0; i < 2; i++) sqlpool__default_thread_join(NULL, threads[i]);
    CHECK_INT(m.woken, 2);
    CHECK(m.all_blocked);
    CHECK(m.id != 0 && m.id != sqlpool__default_thread_id(NULL));
    CHECK(sqlpool__default_now(NULL) - start < 20000 * MS);
    sqlpool__default_condition_destroy(NULL, &m.condition);
    sqlpool__default_mutex_destroy(NULL, &m.mutex);
}

TEST(default_threads_wait_without_limit) {
    meet(-1);
}
TEST(default_threads_wait_with_a_limit) {
    meet(30000 * MS);
}
TEST(default_threads_wait_for_the_longest_time) {
    meet(INT64_MAX); /* an overflow would wake them at once */
    if (!test_failed_now) meet(INT64_MAX - sqlpool__default_now(NULL));
}

TEST(default_timed_wait_ends) {
    meeting m;
    int64_t start, took;
    memset(&m, 0, sizeof m);
    CHECK_INT(sqlpool__default_mutex_init(NULL, &m.mutex), 0);
    CHECK_INT(sqlpool__default_condition_init(NULL, &m.condition), 0);
    sqlpool__default_mutex_lock(NULL, &m.mutex);
    start = sqlpool__default_now(NULL);
    sqlpool__default_condition_wait(NULL, &m.condition, &m.mutex, 0);
    CHECK(sqlpool__default_now(NULL) - start < 2000 * MS);
    start = sqlpool__default_now(NULL);
    sqlpool__default_condition_wait(NULL, &m.condition, &m.mutex, 20 * MS);
    took = sqlpool__default_now(NULL) - start;
    CHECK(took >= 19 * MS && took < 5000 * MS);
    sqlpool__default_mutex_unlock(NULL, &m.mutex);
    sqlpool__default_condition_destroy(NULL, &m.condition);
    sqlpool__default_mutex_destroy(NULL, &m.mutex);
}

static void nothing(void *argument) {
    (void)argument;
}

TEST(default_locks_that_cannot_be_made) {
    sqlpool_condition condition;
    void *thread = NULL;
    fail_malloc = 1;
    CHECK(sqlpool__default_thread_create(NULL, &thread, nothing, NULL) != 0);
    fail_malloc = 0;
    fail_thread = 1;
    CHECK_INT(sqlpool__default_thread_create(NULL, &thread, nothing, NULL), EAGAIN);
    fail_thread = 0;
    fail_condattr = 1;
    CHECK_INT(sqlpool__default_condition_init(NULL, &condition), ENOMEM);
    fail_condattr = 0;
    fail_setclock = 1;
    CHECK_INT(sqlpool__default_condition_init(NULL, &condition), EINVAL);
    fail_setclock = 0;
}

/*  Opening with the default hooks when the machine refuses: an error, nothing left. */
TEST(open_when_libc_refuses) {
    sqlpool_error error;
    sqlpool *pool = NULL;
    fail_malloc = 1;
    CHECK_INT(sqlpool_open(&pool, "libc.db", NULL, &error), SQLPOOL_NOMEM);
    fail_malloc = 0;
    fail_condattr = 1;
    CHECK_INT(sqlpool_open(&pool, "libc.db", NULL, &error), SQLPOOL_NOMEM);
    fail_condattr = 0;
    fail_thread = 1;
    CHECK_INT(sqlpool_open(&pool, "libc.db", NULL, &error), SQLPOOL_NOMEM);
    CHECK_HAS(error.message, "disable_upkeep_thread");
    CHECK(pool == NULL);
    fail_thread = 0;
    CHECK_INT(sqlpool__global.open_count, 0);
    CHECK_OK(sqlpool_open(&pool, "libc.db", NULL, &error), &error);
    CHECK_INT(sqlpool__global.open_count, 1);
    CHECK_OK(sqlpool_close(pool, &error), &error);
    CHECK_INT(sqlpool__global.open_count, 0);
}

TEST(fork_mark) {
    CHECK(!sqlpool__is_forked());
    sqlpool__after_fork_in_child(); /* no pool is open: the child may open one */
    CHECK(!sqlpool__is_forked());
    sqlpool__global.open_count = 1;
    sqlpool__after_fork_in_child();
    CHECK(sqlpool__is_forked());
    sqlpool__global.open_count = 0;
    sqlpool__global.forked = 0;
}

/*---- I02.3 ----*/

static bool make_file(const char *path, mode_t mode) {
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    return file >= 0 && close(file) == 0 && chmod(path, mode) == 0;
}
static int mode_of(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 ? (int)(status.st_mode & 0777) : -1;
}

TEST(a_new_file_belongs_to_whom_its_model_does) {
    CHECK(make_file("model", 0644));
    CHECK_INT(sqlpool__default_create(NULL, "alone", NULL), 0);
    CHECK_INT(mode_of("alone"), 0600);
    CHECK_INT(sqlpool__default_create(NULL, "alone", NULL), EEXIST);
    CHECK_INT(sqlpool__default_create(NULL, "like", "model"), 0);
    CHECK_INT(mode_of("like"), 0644);
    CHECK_INT(sqlpool__default_create(NULL, "like_none", "no_model"), 0);
    CHECK_INT(mode_of("like_none"), 0600);
    CHECK_INT(sqlpool__default_create(NULL, "no_folder/file", NULL), ENOENT);
    fail_chown = EPERM; /* the model is another one's: nobody else may read the new file */
    CHECK_INT(sqlpool__default_create(NULL, "own", "model"), 0);
    CHECK_INT(mode_of("own"), 0600);
    fail_chown = 0;
}

TEST(what_the_system_refuses_of_a_new_file_is_told) {
    CHECK(make_file("strict", 0640));
    fail_chmod = EROFS;
    CHECK_INT(sqlpool__default_create(NULL, "unset", "strict"), EROFS);
    fail_close = EIO; /* the first reason is the one to tell */
    CHECK_INT(sqlpool__default_create(NULL, "unset_2", "strict"), EROFS);
    fail_chmod = 0;
    CHECK_INT(sqlpool__default_create(NULL, "unclosed", NULL), EIO);
    fail_close = 0;
}

TEST(what_is_at_a_path) {
    CHECK(make_file("one", 0600) && make_file("two", 0600));
    CHECK(mkdir("folder", 0700) == 0 && symlink("one", "symbolic") == 0);
    CHECK_INT(sqlpool__default_look(NULL, "nothing", NULL), SQLPOOL_FILE_NONE);
    CHECK_INT(sqlpool__default_look(NULL, "one/below", NULL), SQLPOOL_FILE_NONE);
    CHECK_INT(sqlpool__default_look(NULL, "folder", NULL), SQLPOOL_FILE_OTHER);
    CHECK_INT(sqlpool__default_look(NULL, "symbolic", "one"), SQLPOOL_FILE_LINK);
    CHECK_INT(sqlpool__default_look(NULL, "one", NULL), SQLPOOL_FILE_REGULAR);
    CHECK_INT(sqlpool__default_look(NULL, "one", "nothing"), SQLPOOL_FILE_REGULAR);
    CHECK_INT(sqlpool__default_look(NULL, "one", "two"), SQLPOOL_FILE_REGULAR);
    CHECK_INT(sqlpool__default_look(NULL, "one", "/dev/null"), SQLPOOL_FILE_REGULAR); /* on another device */
    CHECK_INT(sqlpool__default_look(NULL, "one", "one"), SQLPOOL_FILE_SAME);
    CHECK_INT(sqlpool__default_link(NULL, "one", "another"), 0);
    CHECK_INT(sqlpool__default_look(NULL, "one", "another"), SQLPOOL_FILE_SAME);
    CHECK_INT(sqlpool__default_look(NULL, "one", "symbolic"), SQLPOOL_FILE_SAME);
    CHECK_INT(sqlpool__default_link(NULL, "one", "two"), EEXIST);
    CHECK_INT(sqlpool__default_link(NULL, "nothing", "three"), ENOENT);
    CHECK_INT(sqlpool__default_rename(NULL, "two", "three"), 0);
    CHECK_INT(sqlpool__default_look(NULL, "two", NULL), SQLPOOL_FILE_NONE);
    CHECK_INT(sqlpool__default_rename(NULL, "two", "three"), ENOENT);
    CHECK_INT(sqlpool__default_rename(NULL, "three", "folder"), EISDIR);
}

TEST(a_folder_is_synced_or_it_is_told_why_not) {
    CHECK(mkdir("synced", 0700) == 0);
    CHECK_INT(sqlpool__default_sync_folder(NULL, "of_this_folder"), 0);
    CHECK_INT(sqlpool__default_sync_folder(NULL, "synced/file"), 0);
    CHECK_INT(sqlpool__default_sync_folder(NULL, "/file"), 0);
    CHECK_INT(sqlpool__default_sync_folder(NULL, "not_there/file"), ENOENT);
    fail_malloc = 1;
    CHECK_INT(sqlpool__default_sync_folder(NULL, "synced/file"), ENOMEM);
    fail_malloc = 0;
    fail_fsync = EINVAL; /* a file system that never syncs folders */
    CHECK_INT(sqlpool__default_sync_folder(NULL, "synced/file"), 0);
    fail_fsync = EIO;
    CHECK_INT(sqlpool__default_sync_folder(NULL, "synced/file"), EIO);
    fail_close = EDQUOT;
    CHECK_INT(sqlpool__default_sync_folder(NULL, "synced/file"), EIO);
    fail_fsync = 0;
    CHECK_INT(sqlpool__default_sync_folder(NULL, "synced/file"), EDQUOT);
    fail_close = 0;
}

/*---- I04 ----*/

static int refuse_memory;
static void *small_alloc(void *user, size_t bytes) {
    (void)user;
    return refuse_memory ? NULL : malloc(bytes);
}
static void *small_resize(void *user, void *memory, size_t old_bytes, size_t new_bytes) {
    (void)user;
    (void)old_bytes;
    return refuse_memory ? NULL : realloc(memory, new_bytes);
}
static void small_free(void *user, void *memory, size_t bytes) {
    (void)user;
    (void)bytes;
    free(memory);
}

TEST(memory_is_accounted) {
    sqlpool__memory memory;
    char *block, *bigger;
    memset(&memory, 0, sizeof memory);
    memory.hook.alloc_fn = small_alloc;
    memory.hook.resize_fn = small_resize;
    memory.hook.free_fn = small_free;
    block = (char *)sqlpool__alloc(&memory, 100);
    CHECK(block != NULL);
    CHECK_INT(memory.held_bytes, 100);
    CHECK_INT(memory.allocations, 1);
    memcpy(block, "kept", 5);
    refuse_memory = 1;
    CHECK(sqlpool__alloc(&memory, 1) == NULL);
    CHECK(sqlpool__resize(&memory, block, 100, 200) == NULL);
    CHECK(sqlpool__resize(&memory, NULL, 0, 200) == NULL);
    CHECK(sqlpool__copy_text(&memory, "x") == NULL);
    refuse_memory = 0;
    CHECK_STR(block, "kept"); /* a failed resize leaves the old block */
    CHECK_INT(memory.held_bytes, 100);
    CHECK_INT(memory.allocations, 1);
    bigger = (char *)sqlpool__resize(&memory, block, 100, 300);
    CHECK(bigger != NULL);
    CHECK_STR(bigger, "kept");
    CHECK_INT(memory.held_bytes, 300);
    CHECK_INT(memory.allocations, 2);
    sqlpool__free(&memory, bigger, 300);
    sqlpool__free(&memory, NULL, 300);
    CHECK_INT(memory.held_bytes, 0);
    block = (char *)sqlpool__resize(&memory, NULL, 0, 10);
    CHECK(block != NULL);
    CHECK_INT(memory.held_bytes, 10);
    sqlpool__free(&memory, block, 10);
    block = sqlpool__copy_prefixed(&memory, "./", "file:x");
    CHECK_STR(block, "./file:x");
    CHECK_INT(memory.held_bytes, 9);
    sqlpool__free(&memory, block, 9);
    block = sqlpool__copy_text(&memory, "");
    CHECK_STR(block, "");
    CHECK_INT(memory.held_bytes, 1);
    sqlpool__free(&memory, block, 1);
    CHECK_INT(memory.held_bytes, 0);
}

TEST(memory_has_a_limit) {
    sqlpool__memory memory;
    char *block;
    memset(&memory, 0, sizeof memory);
    memory.hook = sim_allocator();
    memory.limit_bytes = 100;
    block = (char *)sqlpool__alloc(&memory, 60);
    CHECK(block != NULL);
    CHECK(sqlpool__alloc(&memory, 41) == NULL);
    CHECK(sqlpool__alloc(&memory, SIZE_MAX) == NULL);
    CHECK(sqlpool__resize(&memory, block, 60, 101) == NULL);
    CHECK_INT(memory.held_bytes, 60);
    CHECK_INT(memory.allocations, 1);
    block = (char *)sqlpool__resize(&memory, block, 60, 100); /* to the byte */
    CHECK(block != NULL);
    CHECK_INT(memory.held_bytes, 100);
    memory.outside_bytes = 1; /* SQLite's counts too, and may be above it */
    CHECK(sqlpool__is_above_limit(&memory, 0));
    CHECK(sqlpool__alloc(&memory, 1) == NULL);
    sqlpool__free(&memory, block, 100);
    memory.outside_bytes = 0;
    CHECK(!sqlpool__is_above_limit(&memory, 100) && sqlpool__is_above_limit(&memory, 101));
    CHECK_INT(memory.held_bytes, 0);
}

TEST(size_sums_do_not_wrap) {
    CHECK(sqlpool__size_sum(0, 0) == 0);
    CHECK(sqlpool__size_sum(2, 3) == 5);
    CHECK(sqlpool__size_sum(SIZE_MAX, 0) == SIZE_MAX);
    CHECK(sqlpool__size_sum(SIZE_MAX - 1, 1) == SIZE_MAX);
    CHECK(sqlpool__size_sum(SIZE_MAX, 1) == 0);
    CHECK(sqlpool__size_sum(1, SIZE_MAX) == 0);
    CHECK(sqlpool__size_sum(SIZE_MAX, 5) == 0);
    CHECK(sqlpool__size_sum(SIZE_MAX - 2, 100) == 0);
    CHECK(sqlpool__size_sum(SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 1) == 0);
}

/*---- I05 ----*/

TEST(text_is_cut_and_counted) {
    char out[8];
    sqlpool__text text;
    size_t room;
    for (room = 0; room <= sizeof out; room++) {
        memset(out, '#', sizeof out);
        text = sqlpool__text_into(room > 0 ? out : NULL, room);
        sqlpool__text_add(&text, "%s-%d", "abc", 42);
        CHECK_INT(text.length, 6);
        if (room == 0) continue;
        CHECK(strlen(out) == (room - 1 < 6 ? room - 1 : 6));
        CHECK(strncmp(out, "abc-42", room - 1) == 0);
        CHECK(room == sizeof out || out[room] == '#'); /* nothing behind the room */
    }
    text = sqlpool__text_into(NULL, 0);
    sqlpool__text_json(&text, "a\"b");
    CHECK_INT(text.length, 6);
}

TEST(control_bytes_become_question_marks) {
    char out[300];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    int byte;
    for (byte = 1; byte < 256; byte++) sqlpool__text_add(&text, "%c", byte);
    CHECK_INT(text.length, 255);
    for (byte = 1; byte < 256; byte++) {
        const bool is_plain = (byte >= 0x20 || byte == '\n') && byte < 0x7f;
        CHECK_INT((unsigned char)out[byte - 1], is_plain ? byte : '?'); /* above: not UTF-8 alone */
    }
    text = sqlpool__text_into(out, sizeof out);
    sqlpool__text_add(&text, "%s", "\xc3\xa4 \xe2\x82\xac \xc2\x9b \xe2\x80\xae \xe2\x82");
    CHECK_STR(out, "\xc3\xa4 \xe2\x82\xac ?? ??? ??");
}

static int bytes_of(const char *text) {
    uint32_t code = 0;
    return (int)sqlpool__utf8_bytes((const unsigned char *)text, &code);
}
/*  The marks of direction, the two separators, the embeddings and the isolates; what is beside them
    is text. */
TEST(characters_that_turn_the_writing_are_none) {
    static const char *const turns[] = {
        "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaa",
        "\xe2\x80\xab", "\xe2\x80\xac", "\xe2\x80\xad", "\xe2\x80\xae", "\xe2\x81\xa6",
        "\xe2\x81\xa7", "\xe2\x81\xa8", "\xe2\x81\xa9"};
    static const char *const beside[] = {"\xe2\x80\x8d", "\xe2\x80\x90", "\xe2\x80\xa7",
                                         "\xe2\x80\xaf", "\xe2\x81\xa5", "\xe2\x81\xaa",
                                         "\xef\xbf\xbd", "\xe1\x84\x80"};
    char out[16];
    sqlpool__text text;
    size_t i;
    for (i = 0; i < LENGTH(turns); i++) {
        CHECK_INT(bytes_of(turns[i]), 0);
        text = sqlpool__text_into(out, sizeof out);
        sqlpool__text_escaped(&text, turns[i], SQLPOOL__ESCAPE_HTML);
        CHECK_STR(out, "???");
    }
    for (i = 0; i < LENGTH(beside); i++) CHECK_INT(bytes_of(beside[i]), 3);
    CHECK_INT(bytes_of("a"), 1);
    CHECK_INT(bytes_of("\xc2\x9f"), 0);
    CHECK_INT(bytes_of("\xc2\xa0"), 2);
    CHECK_INT(bytes_of("\xf0\x9f\x90\x98"), 4);
    CHECK_INT(bytes_of("\xf4\x8f\xbf\xbf"), 4);
    CHECK_INT(bytes_of("\xf5\x80\x80\x80"), 0);
}

TEST(a_text_without_receiver_is_not_handed_on) {
    char out[8];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    sqlpool__text_add(&text, "left");
    sqlpool__text_flush(&text);
    CHECK_STR(out, "left");
    CHECK_INT(text.flushed, 0);
    CHECK_INT(text.result, 0);
}

TEST(a_piece_of_text_has_a_bound) {
    char out[4096], longer[3000];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    sqlpool__text_add(&text, "%s", longer);
    CHECK_INT(text.length, 1023);
    CHECK(strlen(out) == 1023);
    broken_vsnprintf = 1;
    sqlpool__text_add(&text, "%s", "lost");
    broken_vsnprintf = 0;
    CHECK_INT(text.length, 1023);
}

TEST(json_strings) {
    static const struct {
        const char *in, *out;
    } table[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"tab\tline\nend\x01", "\"tab?line?end?\""},
        {"\x7f\x80\xff", "\"???\""},
        {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x98", "\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x98\""},
        {"\xc3 \xe2\x82 \xf0\x9f\x90", "\"? ?? ???\""},    /* cut */
        {"\xc0\xaf \xe0\x80\xaf", "\"?? ???\""},           /* longer than they need be */
        {"\xed\xa0\x80 \xf4\x90\x80\x80", "\"??? ????\""}, /* no characters */
        {"\xc2\x9b \xe2\x80\xae", "\"?? ???\""},           /* C1, and one that turns */
        {"</script>", "\"</script>\""}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        char out[64];
        sqlpool__text text = sqlpool__text_into(out, sizeof out);
        sqlpool__text_json(&text, table[i].in);
        CHECK_STR(out, table[i].out);
        CHECK_INT(text.length, strlen(table[i].out));
    }
}

TEST(texts_are_escaped_as_their_format_wants) {
    static const struct {
        sqlpool__escape escape;
        const char *in, *out;
    } table[] = {
        {SQLPOOL__ESCAPE_NONE, "a\"b\\c<&>\n", "a\"b\\c<&>?"},
        {SQLPOOL__ESCAPE_LABEL, "a\"b\\c<&>\n", "a\\\"b\\\\c<&>?"},
        {SQLPOOL__ESCAPE_HTML, "a\"b\\c<&>\n", "a&quot;b\\c&lt;&amp;&gt;?"},
    };
    size_t i;
    for (i = 0; i < LENGTH(table); i++) {
        char out[64];
        sqlpool__text text = sqlpool__text_into(out, sizeof out);
        sqlpool__text_escaped(&text, table[i].in, table[i].escape);
        CHECK_STR(out, table[i].out);
    }
}

typedef struct pieces {
    char all[400];
    size_t bytes;
    int count, stop_at;
} pieces;
static int take_piece(void *user, const char *text, size_t bytes) {
    pieces *p = (pieces *)user;
    memcpy(p->all + p->bytes, text, bytes);
    p->bytes += bytes;
    p->all[p->bytes] = '\0';
    return ++p->count == p->stop_at ? 7 : 0;
}

TEST(a_text_that_is_handed_on_loses_nothing) {
    char out[16], expected[301];
    sqlpool__text text;
    pieces p;
    int i;
    for (i = 0; i < 300; i++) expected[i] = (char)('a' + i % 26);
    expected[300] = '\0';
    memset(&p, 0, sizeof p);
    text = sqlpool__text_into(out, sizeof out);
    text.write_fn = take_piece;
    text.user = &p;
    for (i = 0; i < 300; i += 60) sqlpool__text_add(&text, "%.60s", expected + i);
    sqlpool__text_flush(&text);
    sqlpool__text_flush(&text); /* once is enough */
    CHECK_STR(p.all, expected);
    CHECK_INT(p.count, 20);
    CHECK_INT(text.length, 300);
    CHECK_INT(text.result, 0);
    memset(&p, 0, sizeof p);
    p.stop_at = 3;
    text = sqlpool__text_into(out, sizeof out);
    text.write_fn = take_piece;
    text.user = &p;
    sqlpool__text_string(&text, expected);
    sqlpool__text_flush(&text);
    CHECK_INT(p.count, 3); /* not asked again */
    CHECK_INT(text.result, 7);
    CHECK_INT(text.length, 300);
}

/*  The values of sqlite.org/security.html. */
TEST(limits_of_a_file_from_outside) {
    static const int limits[][2] = {
        {SQLITE_LIMIT_LENGTH, 1000000},      {SQLITE_LIMIT_SQL_LENGTH, 100000},
        {SQLITE_LIMIT_COLUMN, 100},          {SQLITE_LIMIT_EXPR_DEPTH, 10},
        {SQLITE_LIMIT_COMPOUND_SELECT, 3},   {SQLITE_LIMIT_VDBE_OP, 25000},
        {SQLITE_LIMIT_FUNCTION_ARG, 8},      {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50}, {SQLITE_LIMIT_VARIABLE_NUMBER, 10},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 10}};
    sqlite3 *db = NULL;
    size_t i;
    CHECK_INT(sqlite3_open(":memory:", &db), SQLITE_OK);
    sqlpool__set_limits(db);
    for (i = 0; i < sizeof limits / sizeof *limits; i++)
        CHECK_INT(sqlite3_limit(db, limits[i][0], -1), limits[i][1]);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
}

static void check_number(int64_t value, bool is_bytes, const char *expected) {
    char out[40];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    if (is_bytes) {
        sqlpool__text_bytes(&text, value);
    } else {
        sqlpool__text_duration(&text, value);
    }
    CHECK_STR(out, expected);
}

TEST(numbers_as_people_read_them) {
    PART(check_number(0, false, "0 ns"));
    PART(check_number(999, false, "999 ns"));
    PART(check_number(1000, false, "1.00 us"));
    PART(check_number(1240000, false, "1.24 ms"));
    PART(check_number(12400000, false, "12.4 ms"));
    PART(check_number(1000000, false, "1.00 ms"));
    PART(check_number(1000000000, false, "1.00 s"));
    PART(check_number(INT64_C(90000000000), false, "90.0 s"));
    PART(check_number(INT64_C(119000000000), false, "119 s"));
    PART(check_number(INT64_C(120000000000), false, "2.00 min"));
    PART(check_number(INT64_C(7200000000000), false, "2.00 h"));
    PART(check_number(INT64_C(720000000000), false, "12.0 min"));
    PART(check_number(INT64_C(10800000000000), false, "3.00 h"));
    PART(check_number(512, true, "512 B"));
    PART(check_number(1536, true, "1.50 KiB"));
    PART(check_number(INT64_C(64) << 20, true, "64.0 MiB"));
    PART(check_number(INT64_C(5) << 40, true, "5.00 TiB"));
    PART(check_number(-5, true, "-5 B"));
    PART(check_number(1023, true, "1023 B"));
    PART(check_number(1024, true, "1.00 KiB"));
    PART(check_number(INT64_C(1023) << 30, true, "1023 GiB"));
    PART(check_number(INT64_C(5) << 50, true, "5120 TiB")); /* there is no larger unit */
    PART(check_number(INT64_MAX, true, "8388608 TiB"));
    PART(check_number(INT64_MAX, false, "2562048 h"));
}

static void check_excerpt(const char *in, size_t most, const char *expected) {
    char out[64];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    sqlpool__text_excerpt(&text, in, most);
    CHECK_STR(out, expected);
}

TEST(excerpts) {
    PART(check_excerpt("", 10, ""));
    PART(check_excerpt("SELECT 1", 20, "SELECT 1"));
    PART(check_excerpt("  \n\t SELECT\r\n\r\n  1", 20, "SELECT 1"));
    PART(check_excerpt("a\x7f\x01"
                       "b\x1b[31mc",
                       20, "a b [31mc"));
    PART(check_excerpt("abcdefghijkl", 10, "abcdefghij..."));
    PART(check_excerpt("\xc3\xa4\xc3\xb6", 20, "\xc3\xa4\xc3\xb6"));
}

/*  Nothing was cut, so nothing may say so. */
TEST(excerpt_that_fits_exactly) {
    static const char script[] = "abcdefghij; more";
    char out[64];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    PART(check_excerpt("abcdefghij", 10, "abcdefghij"));
    sqlpool__text_excerpt_of(&text, script, script + 10, 10); /* its statement ends here */
    CHECK_STR(out, "abcdefghij");
    text = sqlpool__text_into(out, sizeof out);
    sqlpool__text_excerpt_of(&text, script, script + 10, 9);
    CHECK_STR(out, "abcdefghi...");
}

TEST(every_result_has_name_and_text) {
    static const struct {
        int value;
        const char *name;
    } own[] = {{0, "SQLPOOL_OK"},
               {-1, "SQLPOOL_MISUSE"},
               {-2, "SQLPOOL_CONFIG"},
               {-3, "SQLPOOL_NOMEM"},
               {-4, "SQLPOOL_TIMEOUT"},
               {-5, "SQLPOOL_CLOSED"},
               {-6, "SQLPOOL_CANCELLED"},
               {-7, "SQLPOOL_FORKED"},
               {-8, "SQLPOOL_VERSION_MISMATCH"},
               {-9, "SQLPOOL_WOULD_BLOCK"},
               {-10, "SQLPOOL_DEADLOCK"},
               {-11, "SQLPOOL_NOT_FOUND"},
               {-12, "SQLPOOL_EMPTY"},
               {-13, "SQLPOOL_TRAILING"},
               {-14, "SQLPOOL_ARGUMENTS"},
               {-15, "SQLPOOL_REFUSED"},
               {-16, "SQLPOOL_MOVED"},
               {-17, "SQLPOOL_UNCLEAN"},
               {-18, "SQLPOOL_ROLLED_BACK"},
               {-19, "SQLPOOL_UNSUPPORTED"},
              {-21, "SQLPOOL_TOO_LATE"},
              {-31, "SQLPOOL_MIGRATION_GAP"},
              {-32, "SQLPOOL_MIGRATION_CHANGED"},
              {-33, "SQLPOOL_MIGRATION_NEWER"},
              {-34, "SQLPOOL_MIGRATION_OTHER"},
              {-35, "SQLPOOL_INDEX_MISMATCH"},
               {-20, "SQLPOOL_TOO_BIG"}};
    static const struct {
        int value;
        const char *name;
    } theirs[] = {
        {SQLITE_ERROR, "SQLITE_ERROR"},           {SQLITE_BUSY, "SQLITE_BUSY"},
        {SQLITE_LOCKED, "SQLITE_LOCKED"},         {SQLITE_INTERRUPT, "SQLITE_INTERRUPT"},
        {SQLITE_NOTFOUND, "SQLITE_NOTFOUND"},     {SQLITE_PROTOCOL, "SQLITE_PROTOCOL"},
        {SQLITE_CONSTRAINT, "SQLITE_CONSTRAINT"}, {SQLITE_NOLFS, "SQLITE_NOLFS"},
        {SQLITE_RANGE, "SQLITE_RANGE"},           {SQLITE_NOTADB, "SQLITE_NOTADB"},
        {SQLITE_WARNING, "SQLITE_WARNING"},       {SQLITE_BUSY_SNAPSHOT, "SQLITE_BUSY"},
        {SQLITE_IOERR_FSYNC, "SQLITE_IOERR"},     {SQLITE_READONLY_DBMOVED, "SQLITE_READONLY"}};
    size_t i, k;
    for (i = 0; i < LENGTH(own); i++) {
        CHECK_STR(sqlpool_result_name(own[i].value), own[i].name);
        CHECK(strlen(sqlpool_result_text(own[i].value)) >= 7);
        CHECK(strcmp(sqlpool_result_text(own[i].value), "unknown result") != 0);
        for (k = 0; k < i; k++)
            CHECK(strcmp(sqlpool_result_text(own[i].value), sqlpool_result_text(own[k].value)) !=
                  0);
    }
    for (i = 0; i < LENGTH(theirs); i++) {
        CHECK_STR(sqlpool_result_name(theirs[i].value), theirs[i].name);
        CHECK_HAS(sqlpool_result_text(theirs[i].value), "sqlite.org/rescode.html");
    }
    CHECK_STR(sqlpool_result_name(-99), "unknown result");
    CHECK_STR(sqlpool_result_text(-99), "unknown result");
    CHECK_STR(sqlpool_result_name(INT32_MIN), "unknown result");
    CHECK_STR(sqlpool_result_name(29), "unknown result");
    CHECK_STR(sqlpool_result_name(SQLITE_ROW), "unknown result");
    CHECK_STR(sqlpool_result_name(0xff), "unknown result");
}

TEST(error_detail) {
    sqlpool_error error;
    memset(&error, 0x5a, sizeof error);
    sqlpool__error_clear(&error);
    CHECK_INT(error.result, 0);
    CHECK_INT(error.sqlite_code, 0);
    CHECK_INT(error.os_code, 0);
    CHECK_INT(error.sql_offset, -1);
    CHECK_INT(error.attempts, 1);
    CHECK_INT(error.waited_us, 0);
    CHECK_STR(error.message, "");
    CHECK_INT(SQLPOOL__FAIL(&error, SQLPOOL_MISUSE, "a %s\x1b", "b"), SQLPOOL_MISUSE);
    CHECK_STR(error.message, "a b?");
    CHECK_INT(error.sqlite_code, 0);
    CHECK_INT(SQLPOOL__FAIL(&error, SQLITE_TOOBIG, "c"), SQLITE_TOOBIG);
    CHECK_INT(error.sqlite_code, SQLITE_TOOBIG);
    CHECK_INT(SQLPOOL__FAIL(&error, SQLITE_ERROR, "d"), SQLITE_ERROR); /* the least of them */
    CHECK_INT(error.sqlite_code, SQLITE_ERROR);
}

/*---- I06 ----*/

TEST(deadlines_saturate) {
    static const struct {
        int64_t time, duration, sum;
    } table[] = {
        {0, 0, 0},
        {5, 7, 12},
        {-100, 30, -70},
        {INT64_MIN, INT64_MAX, -1},
        {INT64_MIN, 0, INT64_MIN},
        {-1, INT64_MAX, INT64_MAX - 1},
        {0, INT64_MAX, INT64_MAX},
        {1, INT64_MAX, INT64_MAX},
        {INT64_MAX - 1, 1, INT64_MAX},
        {INT64_MAX - 1, 2, INT64_MAX},
        {INT64_MAX - 10, 9, INT64_MAX - 1},
        {INT64_MAX, 0, INT64_MAX},
        {INT64_MAX, INT64_MAX, INT64_MAX},
        {INT64_MAX - (int64_t)INT32_MAX * 1000000, (int64_t)INT32_MAX * 1000000, INT64_MAX},
        {1000000000, (int64_t)INT32_MAX * 1000000, 1000000000 + (int64_t)INT32_MAX * 1000000}};
    size_t i;
    for (i = 0; i < LENGTH(table); i++)
        CHECK_INT(sqlpool__time_add(table[i].time, table[i].duration), table[i].sum);
    /* INT_MAX milliseconds are 24.8 days */
    CHECK_INT(INT32_MAX * SQLPOOL__NS_PER_MS / 1000000000 / 3600 / 24, 24);
    CHECK_INT(sqlpool__earlier(3, 4), 3);
    CHECK_INT(sqlpool__earlier(SQLPOOL__NEVER, 4), 4);
    CHECK_INT(sqlpool__earlier(SQLPOOL__NEVER, SQLPOOL__NEVER), SQLPOOL__NEVER);
    CHECK_INT(sqlpool__earlier(-5, 4), -5);
}

TEST(random_stays_in_bounds) {
    static const uint64_t extremes[] = {
        0, 1, 2, 0x7fffffffffffffffu, 0x8000000000000000u, UINT64_MAX - 1, UINT64_MAX};
    static const int64_t ranges[] = {0, 1, 2, 9, 1000, 1000000, INT64_MAX - 1, INT64_MAX};
    bool seen[10] = {false};
    size_t i, k;
    uint64_t state = 1;
    for (i = 0; i < LENGTH(extremes); i++) {
        for (k = 0; k < LENGTH(ranges); k++) {
            const int64_t got = sqlpool__random_up_to(extremes[i], ranges[k]);
            CHECK(got >= 0 && got <= ranges[k]);
        }
        CHECK_INT(sqlpool__random_up_to(extremes[i], -1), 0);
        CHECK_INT(sqlpool__random_up_to(extremes[i], INT64_MIN), 0);
    }
    CHECK_INT(sqlpool__random_up_to(10, 9), 0); /* the bound itself is reached, one more is not */
    CHECK_INT(sqlpool__random_up_to(9, 9), 9);
    CHECK_INT(sqlpool__random_up_to(INT64_MAX, INT64_MAX), INT64_MAX);
    for (i = 0; i < 1000; i++) {
        const int64_t got = sqlpool__random_up_to(sqlpool__default_random(&state), 9);
        CHECK(got >= 0 && got <= 9);
        seen[got] = true;
    }
    for (i = 0; i < LENGTH(seen); i++) CHECK(seen[i]);
}

TEST(backoff) {
    static const struct {
        int attempt, base, cap, percent;
        int64_t delay;
    } table[] = {{2, 1000, 100000, 200, 1000},
                 {3, 1000, 100000, 200, 2000},
                 {4, 1000, 100000, 200, 4000},
                 {8, 1000, 100000, 200, 64000},
                 {9, 1000, 100000, 200, 100000},
                 {100, 1000, 100000, 200, 100000},
                 {100, 1000, 100000, 100, 1000},
                 {1, 1000, 100000, 200, 1000},
                 {2, 5000, 1000, 200, 1000},
                 {101, 60000000, 60000000, 1000, 60000000},
                 {3, 1, 60000000, 1000, 10},
                 {101, 1, 60000000, 150, 1}, /* growth below one microsecond is none */
                 {5, 2, 60000000, 150, 6}};
    static const uint64_t extremes[] = {0, 1, UINT64_MAX, 0x8000000000000000u, 12345678901234567u};
    size_t i, k;
    for (i = 0; i < LENGTH(table); i++) {
        const int64_t full = table[i].delay;
        CHECK_INT(sqlpool__backoff_us(table[i].attempt, table[i].base, table[i].cap,
                                      table[i].percent, SQLPOOL_JITTER_NONE, UINT64_MAX),
                  full);
        for (k = 0; k < LENGTH(extremes); k++) {
            int64_t got = sqlpool__backoff_us(table[i].attempt, table[i].base, table[i].cap,
                                              table[i].percent, SQLPOOL_JITTER_FULL, extremes[k]);
            CHECK(got >= 0 && got <= full);
            got = sqlpool__backoff_us(table[i].attempt, table[i].base, table[i].cap,
                                      table[i].percent, SQLPOOL_JITTER_EQUAL, extremes[k]);
            CHECK(got >= full / 2 && got <= full);
        }
        CHECK_INT(sqlpool__backoff_us(table[i].attempt, table[i].base, table[i].cap,
                                      table[i].percent, SQLPOOL_JITTER_FULL, 0),
                  0);
        CHECK_INT(sqlpool__backoff_us(table[i].attempt, table[i].base, table[i].cap,
                                      table[i].percent, SQLPOOL_JITTER_FULL, (uint64_t)full),
                  full);
        CHECK_INT(sqlpool__backoff_us(table[i].attempt, table[i].base, table[i].cap,
                                      table[i].percent, SQLPOOL_JITTER_EQUAL, 0),
                  full / 2);
    }
}

TEST(hashes_and_mixing) {
    uint64_t state = 0;
    const uint64_t first = sqlpool__default_random(&state),
                   second = sqlpool__default_random(&state);
    CHECK(first != second);
    CHECK(state == 2 * UINT64_C(0x9e3779b97f4a7c15));
    CHECK(sqlpool__hash("SELECT 1", 8) == sqlpool__hash("SELECT 12", 8));
    CHECK(sqlpool__hash("SELECT 1", 8) != sqlpool__hash("SELECT 2", 8));
    CHECK(sqlpool__hash("a\0b", 3) != sqlpool__hash("a\0c", 3));
    CHECK(sqlpool__hash("", 0) == sqlpool__hash("x", 0));
    /* splitmix64 of seed 0 by its authors: the first outputs */
    CHECK(sqlpool__mix(UINT64_C(0x9e3779b97f4a7c15)) == UINT64_C(0xe220a8397b1dcdaf));
    CHECK(sqlpool__mix(2 * UINT64_C(0x9e3779b97f4a7c15)) == UINT64_C(0x6e789e6aa1b965f4));
}

/*---- I07 ----*/

TEST(lists) {
    sqlpool__link list, items[4], *at;
    int order[4], n = 0;
    sqlpool__list_init(&list);
    CHECK(sqlpool__list_is_empty(&list));
    sqlpool__list_insert_before(&list, &items[1]);     /* 1 */
    sqlpool__list_insert_before(&list, &items[3]);     /* 1 3 */
    sqlpool__list_insert_before(&items[3], &items[2]); /* 1 2 3 */
    sqlpool__list_insert_before(list.next, &items[0]); /* 0 1 2 3 */
    CHECK(!sqlpool__list_is_empty(&list));
    for (at = list.next; at != &list; at = at->next) order[n++] = (int)(at - items);
    CHECK_INT(n, 4);
    for (n = 0; n < 4; n++) CHECK_INT(order[n], n);
    n = 3;
    for (at = list.prev; at != &list; at = at->prev) CHECK_INT(at - items, n--);
    sqlpool__list_remove(&items[1]);
    CHECK(items[0].next == &items[2] && items[2].prev == &items[0]);
    sqlpool__list_remove(&items[1]); /* alone: removing again changes nothing */
    CHECK(items[0].next == &items[2] && items[2].prev == &items[0]);
    for (n = 0; n < 4; n++) sqlpool__list_remove(&items[n]);
    CHECK(sqlpool__list_is_empty(&list));
    CHECK(list.prev == &list);
}

TEST(digits) {
    CHECK_INT(sqlpool__to_int64(""), 0);
    CHECK_INT(sqlpool__to_int64("-"), 0);
    CHECK_INT(sqlpool__to_int64("-2000"), -2000);
    CHECK_INT(sqlpool__to_int64("1099511627776"), INT64_C(1099511627776));
    CHECK_INT(sqlpool__to_int64("12x3"), 12);
    CHECK_INT(sqlpool__to_int64("off"), 0);
}

int main(void) {
    RUN(default_memory);
    RUN(default_clock_is_monotonic_time);
    RUN(default_threads_wait_without_limit);
    RUN(default_threads_wait_with_a_limit);
    RUN(default_threads_wait_for_the_longest_time);
    RUN(default_timed_wait_ends);
    RUN(default_locks_that_cannot_be_made);
    RUN(open_when_libc_refuses);
    RUN(fork_mark);
    RUN(a_new_file_belongs_to_whom_its_model_does);
    RUN(what_the_system_refuses_of_a_new_file_is_told);
    RUN(what_is_at_a_path);
    RUN(a_folder_is_synced_or_it_is_told_why_not);
    RUN(memory_is_accounted);
    RUN(memory_has_a_limit);
    RUN(size_sums_do_not_wrap);
    RUN(text_is_cut_and_counted);
    RUN(control_bytes_become_question_marks);
    RUN(characters_that_turn_the_writing_are_none);
    RUN(a_text_without_receiver_is_not_handed_on);
    RUN(a_piece_of_text_has_a_bound);
    RUN(json_strings);
    RUN(texts_are_escaped_as_their_format_wants);
    RUN(a_text_that_is_handed_on_loses_nothing);
    RUN(limits_of_a_file_from_outside);
    RUN(numbers_as_people_read_them);
    RUN(excerpts);
    RUN(excerpt_that_fits_exactly);
    RUN(every_result_has_name_and_text);
    RUN(error_detail);
    RUN(deadlines_saturate);
    RUN(random_stays_in_bounds);
    RUN(backoff);
    RUN(hashes_and_mixing);
    RUN(lists);
    RUN(digits);
    return test_end();
}
