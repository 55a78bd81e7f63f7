/*  windows.h - the hook tables for Windows. SPDX-License-Identifier: MIT OR Unlicense

    sqlpool.h knows pthreads and POSIX clocks alone; built with SQLPOOL_NO_DEFAULT_HOOKS it runs on
    these: slim locks and condition variables in the room that the pool gives, threads by
    CreateThread(), QueryPerformanceCounter(). Copy it into a program for Windows and call
    windows_hooks() on the configuration. */
#ifndef MATRIX_WINDOWS_H
#define MATRIX_WINDOWS_H

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>

#include <stdlib.h>

static void *windows_alloc(void *user, size_t bytes) {
    (void)user;
    return malloc(bytes);
}
static void *windows_resize(void *user, void *memory, size_t old_bytes, size_t new_bytes) {
    (void)user;
    (void)old_bytes;
    return realloc(memory, new_bytes);
}
static void windows_free(void *user, void *memory, size_t bytes) {
    (void)user;
    (void)bytes;
    free(memory);
}

static int64_t windows_now(void *user) {
    LARGE_INTEGER now, per_second;
    (void)user;
    (void)QueryPerformanceCounter(&now);
    (void)QueryPerformanceFrequency(&per_second);
    return now.QuadPart / per_second.QuadPart * 1000000000 +
           now.QuadPart % per_second.QuadPart * 1000000000 / per_second.QuadPart;
}
/*  Never shorter than asked for; INFINITE is taken. */
static DWORD windows_ms(int64_t duration_ns) {
    const int64_t ms = duration_ns / 1000000 + (duration_ns % 1000000 != 0);
    return ms < 0x7fffffff ? (DWORD)ms : 0x7fffffff;
}
static void windows_sleep(void *user, int64_t duration_ns) {
    (void)user;
    Sleep(windows_ms(duration_ns)); /* 0 lets other threads run */
}

static SRWLOCK *windows_lock_in(sqlpool_mutex *mutex) {
    return (SRWLOCK *)(void *)mutex->room;
}
static CONDITION_VARIABLE *windows_condition_in(sqlpool_condition *condition) {
    return (CONDITION_VARIABLE *)(void *)condition->room;
}
static int windows_mutex_init(void *user, sqlpool_mutex *mutex) {
    (void)user;
    InitializeSRWLock(windows_lock_in(mutex));
    return 0;
}
static void windows_mutex_destroy(void *user, sqlpool_mutex *mutex) {
    (void)user;
    (void)mutex;
}
static void windows_mutex_lock(void *user, sqlpool_mutex *mutex) {
    (void)user;
    AcquireSRWLockExclusive(windows_lock_in(mutex));
}
static void windows_mutex_unlock(void *user, sqlpool_mutex *mutex) {
    (void)user;
    ReleaseSRWLockExclusive(windows_lock_in(mutex));
}
static int windows_condition_init(void *user, sqlpool_condition *condition) {
    (void)user;
    InitializeConditionVariable(windows_condition_in(condition));
    return 0;
}
static void windows_condition_destroy(void *user, sqlpool_condition *condition) {
    (void)user;
    (void)condition;
}
static void windows_condition_wait(void *user, sqlpool_condition *condition, sqlpool_mutex *mutex,
                                   int64_t timeout_ns) {
    (void)user;
    (void)SleepConditionVariableSRW(windows_condition_in(condition), windows_lock_in(mutex),
                                    timeout_ns < 0 ? INFINITE : windows_ms(timeout_ns), 0);
}
static void windows_condition_signal(void *user, sqlpool_condition *condition) {
    (void)user;
    WakeAllConditionVariable(windows_condition_in(condition));
}
static uint64_t windows_thread_id(void *user) {
    (void)user;
    return GetCurrentThreadId();
}

typedef struct windows_start {
    void (*run)(void *argument);
    void *argument;
} windows_start;
static DWORD WINAPI windows_thread_main(void *block) {
    const windows_start start = *(windows_start *)block;
    free(block);
    start.run(start.argument);
    return 0;
}
static int windows_thread_create(void *user, void **thread, void (*run)(void *), void *argument) {
    windows_start *start = (windows_start *)malloc(sizeof *start);
    (void)user;
    if (start == NULL) return 1;
    start->run = run;
    start->argument = argument;
    *thread = CreateThread(NULL, 0, windows_thread_main, start, 0, NULL);
    if (*thread == NULL) {
        free(start);
        return 1;
    }
    return 0;
}
static void windows_thread_join(void *user, void *thread) {
    (void)user;
    (void)WaitForSingleObject(thread, INFINITE);
    (void)CloseHandle(thread);
}

static void windows_hooks(sqlpool_config *config) {
    static const sqlpool_allocator allocator = {NULL, windows_alloc, windows_resize, windows_free};
    static const sqlpool_clock clock = {NULL, windows_now, windows_sleep};
    static const sqlpool_locks locks = {
        NULL,
        windows_mutex_init,
        windows_mutex_destroy,
        windows_mutex_lock,
        windows_mutex_unlock,
        windows_condition_init,
        windows_condition_destroy,
        windows_condition_wait,
        windows_condition_signal,
        windows_thread_id,
        windows_thread_create,
        windows_thread_join,
    };
    config->allocator = allocator;
    config->clock = clock;
    config->locks = locks;
}

#endif
