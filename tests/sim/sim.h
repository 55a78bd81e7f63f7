/*  sim.h - the simulator in one include, and what its test loops share.
    SPDX-License-Identifier: MIT OR Unlicense */
#ifndef SIM_H
#define SIM_H

#include "sim/alloc.h"
#include "sim/clock.h"
#include "sim/vfs.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/*  How to run again what runs now: printed by every failure, by a crash and by a hang. */
static char sim_replay[256];

static inline void sim_die(int number) {
    static const char crashed[] = "# crashed or hung: replay with ";
    ssize_t ignored = write(1, crashed, sizeof crashed - 1);
    ignored = write(1, sim_replay, strlen(sim_replay));
    ignored = write(1, "\n", 1);
    (void)ignored;
    (void)signal(number, SIG_DFL);
    (void)raise(number == SIGALRM ? SIGABRT : number);
}
static inline void sim_catch_crashes(void) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    (void)signal(SIGSEGV, sim_die);
    (void)signal(SIGBUS, sim_die);
    (void)signal(SIGFPE, sim_die);
    (void)signal(SIGABRT, sim_die);
#endif
    (void)signal(SIGALRM, sim_die);
    (void)signal(SIGPIPE, SIG_IGN);
}

/*  Removes a database and what SQLite puts beside it. */
static inline void sim_remove_database(const char *path) {
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    char name[512];
    size_t i;
    for (i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, tails[i]);
        (void)unlink(name);
    }
}

/*  One integer from a plain connection through the default VFS; `otherwise` on any error. */
static inline int64_t sim_plain_int64(sqlite3 *db, const char *sql, int64_t otherwise) {
    sqlite3_stmt *statement = NULL;
    int64_t value = otherwise;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        value = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return value;
}
/*  PRAGMA integrity_check on a plain connection: 0 when it says "ok". */
static inline int sim_plain_integrity(sqlite3 *db, char *why, size_t why_bytes) {
    sqlite3_stmt *statement = NULL;
    int bad = 1;
    if (sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        bad = text == NULL || strcmp(text, "ok") != 0;
        if (bad) (void)snprintf(why, why_bytes, "integrity_check: %s", text == NULL ? "?" : text);
    } else {
        (void)snprintf(why, why_bytes, "integrity_check cannot run: %s", sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(statement);
    return bad;
}

/*  This program's file, resolved once: under valgrind /proc/self/exe is not this program. */
static inline const char *sim_self_path(void) {
    static char self[1024];
    if (self[0] == '\0') {
        const ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
        (void)snprintf(self + (bytes > 0 ? bytes : 0), 20, "%s", bytes > 0 ? "" : "/proc/self/exe");
    }
    return self;
}

/*  In a forked child: this program again, with up to three arguments; TEST_EMULATOR runs programs of
    another processor. Returns when that failed. */
static inline void sim_exec_self(const char *a, const char *b, const char *c) {
    const char *const emulator = getenv("TEST_EMULATOR");
    if (emulator != NULL && emulator[0] != '\0') {
        (void)execlp(emulator, emulator, sim_self_path(), a, b, c, (char *)NULL);
    } else {
        (void)execl(sim_self_path(), "self", a, b, c, (char *)NULL);
    }
}

/*  Runs this program again with an argument, in the same folder: returns its exit status (or 256 +
    the signal that ended it), its output in `out`. How a control runs that must fail, and how a
    second process is made without forking a process that has SQLite open. */
static inline int sim_run_self(const char *argument, const char *argument2, char *out,
                               size_t out_bytes) {
    int ends[2], status = 0;
    size_t have = 0;
    pid_t child;
    ssize_t got;
    if (pipe(ends) != 0) return -1;
    fflush(stdout);
    (void)sim_self_path();
    child = fork();
    if (child == 0) {
        (void)dup2(ends[1], 1);
        (void)dup2(ends[1], 2);
        (void)close(ends[0]);
        (void)close(ends[1]);
        sim_exec_self(argument, argument2, NULL);
        _exit(99);
    }
    (void)close(ends[1]);
    if (child < 0) {
        (void)close(ends[0]);
        return -1;
    }
    for (;;) {
        char spill[512];
        if (have + 1 < out_bytes) {
            got = read(ends[0], out + have, out_bytes - have - 1);
            if (got > 0) have += (size_t)got;
        } else {
            got = read(ends[0], spill, sizeof spill);
        }
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
    }
    if (out_bytes > 0) out[have] = '\0';
    (void)close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

#endif
