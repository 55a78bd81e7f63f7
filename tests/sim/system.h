/*  system.h - the calls of the system in the library's own sqlpool_files. SPDX-License-Identifier: MIT OR Unlicense

    Includes sqlpool.h with its implementation, whose calls of these functions become calls of the ones
    below: they fail as sim_files.fault of the kind SIM_FILES_SYSTEM says. What closes a file does so
    also when it fails; that nothing is there is no failure of lstat(). */
#ifndef SIM_SYSTEM_H
#define SIM_SYSTEM_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int sim_system_fault(void);

static inline int sim_system_say(int rc, int code) {
    if (code != 0) errno = code;
    return code != 0 ? -1 : rc;
}
#define SIM_SYSTEM_CALL(call) \
    const int code = sim_system_fault(); \
    return code != 0 ? sim_system_say(-1, code) : (call)

static inline int sim_system_open(const char *path, int flags, int mode) {
    SIM_SYSTEM_CALL(open(path, flags, mode));
}
static inline int sim_system_close(int file) {
    const int code = sim_system_fault();
    return sim_system_say(close(file), code);
}
static inline int sim_system_fsync(int file) {
    (void)file;
    SIM_SYSTEM_CALL(0);
}
static inline int sim_system_chmod(const char *path, mode_t mode) {
    SIM_SYSTEM_CALL(chmod(path, mode));
}
static inline int sim_system_chown(const char *path, uid_t user, gid_t group) {
    SIM_SYSTEM_CALL(chown(path, user, group));
}
static inline int sim_system_lstat(const char *path, struct stat *status) {
    const int code = sim_system_fault();
    return code != 0 ? sim_system_say(-1, code == ENOENT ? EIO : code) : lstat(path, status);
}
static inline int sim_system_stat(const char *path, struct stat *status) {
    SIM_SYSTEM_CALL(stat(path, status));
}
static inline int sim_system_rename(const char *from, const char *to) {
    SIM_SYSTEM_CALL(rename(from, to));
}
static inline int sim_system_link(const char *from, const char *to) {
    SIM_SYSTEM_CALL(link(from, to));
}

#define SIM_SYSTEM_THIRD(path, flags, mode, ...) path, flags, mode
#define open(...) sim_system_open(SIM_SYSTEM_THIRD(__VA_ARGS__, 0, 0))
#define close(file) sim_system_close(file)
#define fsync(file) sim_system_fsync(file)
#define chmod(path, mode) sim_system_chmod(path, mode)
#define chown(path, user, group) sim_system_chown(path, user, group)
#define lstat(path, status) sim_system_lstat(path, status)
#define stat(path, status) sim_system_stat(path, status)
#define rename(from, to) sim_system_rename(from, to)
#define link(from, to) sim_system_link(from, to)

#include "sqlpool.h"

#undef open
#undef close
#undef fsync
#undef chmod
#undef chown
#undef lstat
#undef stat
#undef rename
#undef link

#include "sim/files.h"

static int sim_system_fault(void) {
    return sim_files_begin(SIM_FILES_SYSTEM);
}

#endif
