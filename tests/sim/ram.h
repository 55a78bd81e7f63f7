/*  ram.h - files in memory. SPDX-License-Identifier: MIT OR Unlicense

    A VFS named "ram" whose files, file locks and shared memory are blocks of malloc(): a test
    that makes millions of calls waits for no disk, and finds nothing of the run before. It is the
    default one from ram_install() on, so that sim/vfs.h, installed after it, puts its faults in
    front of it. Locks are those that SQLite's connections of one process are to each other: a
    call never waits, it says BUSY. For one thread at a time. */
#ifndef SIM_RAM_H
#define SIM_RAM_H

#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RAM_REGIONS = 16, RAM_LOCKS = 8 };

typedef struct ram_node {
    struct ram_node *next;
    char name[64]; /* "": a temporary one */
    unsigned char *data;
    int64_t bytes, room;
    int handles;
    bool is_there;        /* has a name in the folder */
    int shared;           /* holders of SHARED and more */
    const void *reserved; /* its holder */
    const void *pending;  /* likewise; EXCLUSIVE once it is the only one */
    unsigned char *regions[RAM_REGIONS];
    int shm_users;
    int shm_shared[RAM_LOCKS];
    const void *shm_exclusive[RAM_LOCKS];
} ram_node;

typedef struct ram_file {
    sqlite3_file base;
    ram_node *node;
    int level;
    unsigned shm_shared;
    bool has_shm;
} ram_file;

static struct ram_state {
    ram_node *nodes;
    uint64_t random; /* what SQLite draws its salts from */
} ram;

static inline ram_node *ram_find(const char *name) {
    ram_node *n;
    for (n = ram.nodes; n != NULL; n = n->next) {
        if (n->is_there && strcmp(n->name, name) == 0) return n;
    }
    return NULL;
}
static inline int64_t ram_size(const char *name) {
    const ram_node *n = ram_find(name);
    return n == NULL ? 0 : n->bytes;
}
static inline void ram_forget_shm(ram_node *n) {
    int i;
    for (i = 0; i < RAM_REGIONS; i++) {
        free(n->regions[i]);
        n->regions[i] = NULL;
    }
}
static inline void ram_forget(ram_node *n) {
    ram_node **at = &ram.nodes;
    if (n->handles > 0 || n->is_there) return;
    while (*at != n) at = &(*at)->next;
    *at = n->next;
    ram_forget_shm(n);
    free(n->data);
    free(n);
}
/*  Deletes every file that nobody has open. */
static inline void ram_clear(void) {
    ram_node *n = ram.nodes;
    while (n != NULL) {
        ram_node *next = n->next;
        n->is_there = false;
        ram_forget(n);
        n = next;
    }
}

/*---- one file ----*/

static inline int ram_close(sqlite3_file *file) {
    ram_node *n = ((ram_file *)(void *)file)->node;
    n->handles--;
    ram_forget(n);
    return SQLITE_OK;
}
static inline int ram_read(sqlite3_file *file, void *to, int amount, sqlite3_int64 offset) {
    const ram_node *n = ((ram_file *)(void *)file)->node;
    int64_t have = n->bytes - offset;
    if (have < 0) have = 0;
    if (have > amount) have = amount;
    if (have > 0) memcpy(to, n->data + offset, (size_t)have);
    if (have == amount) return SQLITE_OK;
    memset((char *)to + have, 0, (size_t)(amount - have));
    return SQLITE_IOERR_SHORT_READ;
}
static inline int ram_write(sqlite3_file *file, const void *from, int amount,
                            sqlite3_int64 offset) {
    ram_node *n = ((ram_file *)(void *)file)->node;
    if (offset + amount > n->room) {
        int64_t room = n->room == 0 ? 16384 : n->room;
        unsigned char *bigger;
        while (room < offset + amount) room *= 2;
        bigger = (unsigned char *)realloc(n->data, (size_t)room);
        if (bigger == NULL) return SQLITE_FULL;
        n->data = bigger;
        n->room = room;
    }
    if (offset > n->bytes) memset(n->data + n->bytes, 0, (size_t)(offset - n->bytes));
    memcpy(n->data + offset, from, (size_t)amount);
    if (offset + amount > n->bytes) n->bytes = offset + amount;
    return SQLITE_OK;
}
static inline int ram_truncate(sqlite3_file *file, sqlite3_int64 size) {
    ram_node *n = ((ram_file *)(void *)file)->node;
    if (size < n->bytes) n->bytes = size;
    return SQLITE_OK;
}
static inline int ram_sync(sqlite3_file *file, int flags) {
    (void)file;
    (void)flags;
    return SQLITE_OK;
}
static inline int ram_file_size(sqlite3_file *file, sqlite3_int64 *size) {
    *size = ((ram_file *)(void *)file)->node->bytes;
    return SQLITE_OK;
}
static inline int ram_lock(sqlite3_file *file, int level) {
    ram_file *f = (ram_file *)(void *)file;
    ram_node *n = f->node;
    if (f->level >= level) return SQLITE_OK;
    if (f->level == SQLITE_LOCK_NONE) {
        if (n->pending != NULL) return SQLITE_BUSY;
        n->shared++;
        f->level = SQLITE_LOCK_SHARED;
    }
    if (level == SQLITE_LOCK_RESERVED) {
        if (n->reserved != NULL && n->reserved != f) return SQLITE_BUSY;
        n->reserved = f;
        f->level = SQLITE_LOCK_RESERVED;
    }
    if (level >= SQLITE_LOCK_PENDING) {
        if (n->reserved != NULL && n->reserved != f) return SQLITE_BUSY;
        if (n->pending != NULL && n->pending != f) return SQLITE_BUSY;
        n->pending = f;
        if (f->level < SQLITE_LOCK_PENDING) f->level = SQLITE_LOCK_PENDING;
        if (level == SQLITE_LOCK_PENDING) return SQLITE_OK;
        if (n->shared > 1) return SQLITE_BUSY;
        f->level = SQLITE_LOCK_EXCLUSIVE;
    }
    return SQLITE_OK;
}
static inline int ram_unlock(sqlite3_file *file, int level) {
    ram_file *f = (ram_file *)(void *)file;
    ram_node *n = f->node;
    if (f->level <= level) return SQLITE_OK;
    if (n->pending == f) n->pending = NULL;
    if (n->reserved == f) n->reserved = NULL;
    if (level == SQLITE_LOCK_NONE) n->shared--;
    f->level = level;
    return SQLITE_OK;
}
static inline int ram_check_reserved(sqlite3_file *file, int *out) {
    const ram_node *n = ((ram_file *)(void *)file)->node;
    *out = n->reserved != NULL || n->pending != NULL;
    return SQLITE_OK;
}
static inline int ram_control(sqlite3_file *file, int op, void *argument) {
    if (op != SQLITE_FCNTL_HAS_MOVED) return SQLITE_NOTFOUND;
    *(int *)argument = ((ram_file *)(void *)file)->node->is_there ? 0 : 1;
    return SQLITE_OK;
}
static inline int ram_sector_size(sqlite3_file *file) {
    (void)file;
    return 512;
}
static inline int ram_characteristics(sqlite3_file *file) {
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}
static inline int ram_shm_map(sqlite3_file *file, int page, int page_bytes, int extend,
                              void volatile **out) {
    ram_file *f = (ram_file *)(void *)file;
    ram_node *n = f->node;
    *out = NULL;
    if (!f->has_shm) {
        f->has_shm = true;
        n->shm_users++;
    }
    if (page >= RAM_REGIONS) return SQLITE_IOERR_SHMMAP;
    if (n->regions[page] == NULL && extend) {
        /* aligned as what mmap() gives is */
        n->regions[page] = (unsigned char *)aligned_alloc((size_t)page_bytes, (size_t)page_bytes);
        if (n->regions[page] == NULL) return SQLITE_NOMEM;
        memset(n->regions[page], 0, (size_t)page_bytes);
    }
    *out = n->regions[page];
    return SQLITE_OK;
}
static inline int ram_shm_lock(sqlite3_file *file, int offset, int count, int flags) {
    ram_file *f = (ram_file *)(void *)file;
    ram_node *n = f->node;
    int i;
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
        for (i = offset; i < offset + count; i++) {
            if (n->shm_exclusive[i] == f) n->shm_exclusive[i] = NULL;
            if ((f->shm_shared >> i & 1u) != 0) n->shm_shared[i]--;
            f->shm_shared &= ~(1u << i);
        }
        return SQLITE_OK;
    }
    for (i = offset; i < offset + count; i++) {
        const int others = n->shm_shared[i] - (int)(f->shm_shared >> i & 1u);
        if (n->shm_exclusive[i] != NULL && n->shm_exclusive[i] != f) return SQLITE_BUSY;
        if ((flags & SQLITE_SHM_EXCLUSIVE) != 0 && others > 0) return SQLITE_BUSY;
    }
    for (i = offset; i < offset + count; i++) {
        if ((flags & SQLITE_SHM_EXCLUSIVE) != 0) {
            n->shm_exclusive[i] = f;
        } else if ((f->shm_shared >> i & 1u) == 0) {
            f->shm_shared |= 1u << i;
            n->shm_shared[i]++;
        }
    }
    return SQLITE_OK;
}
static inline void ram_shm_barrier(sqlite3_file *file) {
    (void)file;
}
static inline int ram_shm_unmap(sqlite3_file *file, int delete_it) {
    ram_file *f = (ram_file *)(void *)file;
    if (!f->has_shm) return SQLITE_OK;
    (void)delete_it; /* as a file of the system's would: what is in it is void without users */
    (void)ram_shm_lock(file, 0, RAM_LOCKS, SQLITE_SHM_UNLOCK);
    f->has_shm = false;
    if (--f->node->shm_users == 0) ram_forget_shm(f->node);
    return SQLITE_OK;
}

static const sqlite3_io_methods ram_methods = {2,
                                               ram_close,
                                               ram_read,
                                               ram_write,
                                               ram_truncate,
                                               ram_sync,
                                               ram_file_size,
                                               ram_lock,
                                               ram_unlock,
                                               ram_check_reserved,
                                               ram_control,
                                               ram_sector_size,
                                               ram_characteristics,
                                               ram_shm_map,
                                               ram_shm_lock,
                                               ram_shm_barrier,
                                               ram_shm_unmap,
                                               NULL,
                                               NULL};

/*---- the VFS ----*/

static inline int ram_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                           int *out_flags) {
    ram_file *f = (ram_file *)(void *)file;
    ram_node *n = path == NULL ? NULL : ram_find(path);
    (void)vfs;
    memset(f, 0, sizeof *f);
    if (n == NULL) {
        if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
        n = (ram_node *)calloc(1, sizeof *n);
        if (n == NULL) return SQLITE_NOMEM;
        if (path != NULL) (void)snprintf(n->name, sizeof n->name, "%s", path);
        n->is_there = path != NULL && (flags & SQLITE_OPEN_DELETEONCLOSE) == 0;
        n->next = ram.nodes;
        ram.nodes = n;
    }
    n->handles++;
    f->node = n;
    f->base.pMethods = &ram_methods;
    if (out_flags != NULL) *out_flags = flags;
    return SQLITE_OK;
}
static inline int ram_delete(sqlite3_vfs *vfs, const char *path, int sync_directory) {
    ram_node *n = ram_find(path);
    (void)vfs;
    (void)sync_directory;
    if (n == NULL) return SQLITE_IOERR_DELETE_NOENT;
    n->is_there = false;
    ram_forget(n);
    return SQLITE_OK;
}
static inline int ram_access(sqlite3_vfs *vfs, const char *path, int flags, int *out) {
    const ram_node *n = ram_find(path);
    (void)vfs;
    *out = n != NULL && (flags != SQLITE_ACCESS_EXISTS || n->bytes > 0);
    return SQLITE_OK;
}
static inline int ram_full_path(sqlite3_vfs *vfs, const char *path, int bytes, char *out) {
    (void)vfs;
    (void)snprintf(out, (size_t)bytes, "%s", path);
    return SQLITE_OK;
}
static inline int ram_randomness(sqlite3_vfs *vfs, int bytes, char *out) {
    int i;
    (void)vfs;
    for (i = 0; i < bytes; i++) {
        ram.random = ram.random * 6364136223846793005u + 1442695040888963407u;
        out[i] = (char)(ram.random >> 56);
    }
    return bytes;
}
static inline int ram_sleep(sqlite3_vfs *vfs, int microseconds) {
    (void)vfs;
    return microseconds;
}
static inline int ram_time_64(sqlite3_vfs *vfs, sqlite3_int64 *out) {
    (void)vfs;
    *out = INT64_C(212900000000000);
    return SQLITE_OK;
}
static inline int ram_time(sqlite3_vfs *vfs, double *out) {
    (void)vfs;
    *out = 212900000000000.0 / 86400000.0;
    return SQLITE_OK;
}
static inline int ram_last_error(sqlite3_vfs *vfs, int bytes, char *out) {
    (void)vfs;
    (void)bytes;
    (void)out;
    return 0;
}

/*---- what the VFS does not offer: the hooks that a backup has in sqlpool_files ----*/

static inline int ram_create(void *user, const char *path, const char *like) {
    ram_node *n;
    (void)user;
    (void)like;
    if (ram_find(path) != NULL) return EEXIST;
    n = (ram_node *)calloc(1, sizeof *n);
    if (n == NULL) return ENOMEM;
    (void)snprintf(n->name, sizeof n->name, "%s", path);
    n->is_there = true;
    n->next = ram.nodes;
    ram.nodes = n;
    return 0;
}
/*  0: nothing is there, 1: a file, 4: a file, and `other` is that file. */
static inline int ram_look(void *user, const char *path, const char *other) {
    (void)user;
    if (ram_find(path) == NULL) return 0;
    return other != NULL && strcmp(path, other) == 0 ? 4 : 1;
}
static inline int ram_rename(void *user, const char *from, const char *to) {
    ram_node *n = ram_find(from), *old = ram_find(to);
    (void)user;
    if (n == NULL) return ENOENT;
    if (old == n) return 0;
    if (old != NULL) {
        old->is_there = false;
        ram_forget(old);
    }
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
    vfs.iVersion = 2;
    vfs.szOsFile = (int)sizeof(ram_file);
    vfs.mxPathname = 60;
    vfs.zName = "ram";
    vfs.xOpen = ram_open;
    vfs.xDelete = ram_delete;
    vfs.xAccess = ram_access;
    vfs.xFullPathname = ram_full_path;
    vfs.xRandomness = ram_randomness;
    vfs.xSleep = ram_sleep;
    vfs.xCurrentTime = ram_time;
    vfs.xGetLastError = ram_last_error;
    vfs.xCurrentTimeInt64 = ram_time_64;
    return sqlite3_vfs_register(&vfs, 1);
}

#endif
