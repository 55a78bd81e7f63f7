/*  ram.h - a disk in memory. SPDX-License-Identifier: MIT OR Unlicense

    The files of sim/memory.h as a VFS named "ram": a test that makes millions of calls waits for no
    disk, and finds nothing of the run before. It is the default one from ram_install() on, so that
    sim/vfs.h, installed after it, puts its faults in front of it. */
#ifndef SIM_RAM_H
#define SIM_RAM_H

#include "sim/memory.h"

#include <errno.h>

/*---- what the VFS does not offer: the hooks that a backup has in sqlpool_files ----*/

static inline int ram_create(void *user, const char *path, const char *like) {
    (void)user;
    (void)like;
    if (memory_find(path) != NULL) return EEXIST;
    return memory_create(path) != NULL ? 0 : ENOMEM;
}
/*  0: nothing is there, 1: a file, 4: a file, and `other` is that file. */
static inline int ram_look(void *user, const char *path, const char *other) {
    (void)user;
    if (memory_find(path) == NULL) return 0;
    return other != NULL && strcmp(path, other) == 0 ? 4 : 1;
}
static inline int ram_rename(void *user, const char *from, const char *to) {
    memory_node *n = memory_find(from), *old = memory_find(to);
    (void)user;
    if (n == NULL) return ENOENT;
    if (old == n) return 0;
    if (old != NULL) memory_remove(old);
    (void)snprintf(n->name, sizeof n->name, "%s", to);
    return 0;
}
/*  A file has one name here, as on FAT. */
static inline int ram_link(void *user, const char *from, const char *to) {
    (void)user;
    (void)from;
    (void)to;
    return EPERM;
}
static inline int ram_sync_folder(void *user, const char *path) {
    (void)user;
    (void)path;
    return 0;
}

/*  Makes it the default VFS. */
static inline int ram_install(void) {
    static sqlite3_vfs vfs;
    memory_vfs(&vfs, "ram");
    return sqlite3_vfs_register(&vfs, 1);
}

#endif
