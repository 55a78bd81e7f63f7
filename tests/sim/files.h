/*  files.h - the simulator's names of files. SPDX-License-Identifier: MIT OR Unlicense

    A table of sqlpool_files, done with what POSIX has. Every call draws a number, of all calls and of
    its own kind; sim_files.fault says which of them fails with which errno, once or from then on. A
    look that fails says that something is there which is no file: it may not say that nothing is. */
#ifndef SIM_FILES_H
#define SIM_FILES_H

#include "sqlpool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum sim_files_kind {
    SIM_FILES_CREATE,
    SIM_FILES_LOOK,
    SIM_FILES_RENAME,
    SIM_FILES_LINK,
    SIM_FILES_SYNC,
    SIM_FILES_SYSTEM, /* a call of the system in the library's own table */
    SIM_FILES_KINDS,
    SIM_FILES_ANY = SIM_FILES_KINDS
} sim_files_kind;

typedef struct sim_files_fault {
    uint64_t at; /* 0: none */
    int kind;    /* sim_files_kind, or SIM_FILES_ANY: create, rename, link and sync */
    int code;    /* errno */
    int from_on; /* and every later one */
} sim_files_fault;

typedef struct sim_files_state {
    sim_files_fault fault;
    uint64_t kind_calls[SIM_FILES_KINDS + 1]; /* the last: any */
    uint64_t faults;                          /* injected so far */
    bool has_no_links;                        /* a file system that knows one name for a file */
    void (*point_fn)(void);                   /* before and after every call */
} sim_files_state;

static sim_files_state sim_files;

static inline const char *sim_files_kind_name(int kind) {
    static const char *const names[] = {"create",      "look",   "rename", "link",
                                        "sync_folder", "system", "files"};
    return kind >= 0 && kind <= SIM_FILES_KINDS ? names[kind] : "?";
}

static inline void sim_files_point(void) {
    if (sim_files.point_fn != NULL) sim_files.point_fn();
}
/*  0, or the errno that this call must fail with. */
static inline int sim_files_begin(int kind) {
    const sim_files_fault *f = &sim_files.fault;
    const uint64_t of_kind = ++sim_files.kind_calls[kind];
    const bool is_any = kind != SIM_FILES_LOOK && kind != SIM_FILES_SYSTEM;
    uint64_t n = of_kind;
    sim_files_point();
    if (is_any) n = ++sim_files.kind_calls[SIM_FILES_ANY];
    if (f->kind == kind) n = of_kind;
    if (f->at == 0 || (f->kind != kind && (f->kind != SIM_FILES_ANY || !is_any)) ||
        !(n == f->at || (n > f->at && f->from_on)))
        return 0;
    sim_files.faults++;
    return f->code;
}
static inline int sim_files_end(int rc) {
    const int code = rc == 0 ? 0 : errno;
    sim_files_point();
    return code;
}

static inline int sim_files_create(void *user, const char *path, const char *like) {
    int code = sim_files_begin(SIM_FILES_CREATE), file;
    (void)user, (void)like;
    if (code != 0) return code;
    file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    code = sim_files_end(file < 0);
    return file < 0 ? code : close(file);
}
static inline int sim_files_look(void *user, const char *path, const char *other) {
    struct stat a, b;
    (void)user;
    if (sim_files_begin(SIM_FILES_LOOK) != 0) return SQLPOOL_FILE_OTHER;
    if (lstat(path, &a) != 0) return SQLPOOL_FILE_NONE;
    if (S_ISLNK(a.st_mode)) return SQLPOOL_FILE_LINK;
    if (!S_ISREG(a.st_mode)) return SQLPOOL_FILE_OTHER;
    return other != NULL && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino
               ? SQLPOOL_FILE_SAME
               : SQLPOOL_FILE_REGULAR;
}
static inline int sim_files_rename(void *user, const char *from, const char *to) {
    const int code = sim_files_begin(SIM_FILES_RENAME);
    (void)user;
    return code != 0 ? code : sim_files_end(rename(from, to));
}
static inline int sim_files_link(void *user, const char *from, const char *to) {
    const int code = sim_files_begin(SIM_FILES_LINK);
    (void)user;
    if (code == 0 && sim_files.has_no_links) return EPERM;
    return code != 0 ? code : sim_files_end(link(from, to));
}
static inline int sim_files_sync_folder(void *user, const char *path) {
    const int code = sim_files_begin(SIM_FILES_SYNC);
    (void)user, (void)path;
    return code != 0 ? code : sim_files_end(0);
}
static inline sqlpool_files sim_files_hooks(void) {
    const sqlpool_files hooks = {NULL,           sim_files_create,
                                 sim_files_look, sim_files_rename,
                                 sim_files_link, sim_files_sync_folder};
    return hooks;
}

/*  Starts numbering at 1 and arms one fault (at 0: none). */
static inline void sim_files_arm(sim_files_fault fault) {
    memset(sim_files.kind_calls, 0, sizeof sim_files.kind_calls);
    sim_files.faults = 0;
    sim_files.fault = fault;
}

#endif
