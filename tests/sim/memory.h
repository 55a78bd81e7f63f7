/*  memory.h - files in memory. SPDX-License-Identifier: MIT OR Unlicense

    What the VFS of sim/ram.h, of sim/disk.h and of fault/powerloss.c have in common: files, file locks
    and shared memory that are blocks of memory.alloc_fn. Locks are those that SQLite's connections of
    one process are to each other: a call never waits, it says BUSY. For one thread at a time. Whoever
    uses it fills an sqlite3_vfs with memory_vfs(), puts his own calls into it, and registers it. */
#ifndef SIM_MEMORY_H
#define SIM_MEMORY_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY_REGIONS = 16, MEMORY_LOCKS = 8 };

typedef struct memory_content {
    unsigned char *at;
    int64_t bytes, room;
} memory_content;

typedef struct memory_node {
    struct memory_node *next;
    char name[64]; /* "": a temporary one */
    memory_content content;
    int handles;
    bool is_there;        /* has a name in the folder */
    int shared;           /* holders of SHARED and more */
    const void *reserved; /* its holder */
    const void *pending;  /* likewise; EXCLUSIVE once it is the only one */
    unsigned char *regions[MEMORY_REGIONS];
    int shm_users;
    int shm_shared[MEMORY_LOCKS];
    const void *shm_exclusive[MEMORY_LOCKS];
} memory_node;

typedef struct memory_file {
    sqlite3_file base;
    memory_node *node;
    int level;
    unsigned shm_shared;
    bool has_shm;
} memory_file;

/*  Blocks begin at a page, as what mmap() gives does. */
static inline void *memory_pages(size_t bytes) {
    return aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
}

static struct memory_state {
    memory_node *nodes; /* the oldest first */
    uint64_t random;    /* what SQLite draws its salts from */
    void *(*alloc_fn)(size_t bytes);
    void (*free_fn)(void *block);
} memory = {NULL, 0, memory_pages, free};

static inline memory_node *memory_node_of(sqlite3_file *file) {
    return ((memory_file *)(void *)file)->node;
}

/*---- what is in a file ----*/

static inline bool memory_put(memory_content *c, const void *from, int64_t offset, int64_t bytes) {
    const int64_t end = offset + bytes;
    if (end > c->room) {
        int64_t room = c->room == 0 ? 16384 : c->room;
        unsigned char *bigger;
        while (room < end) room *= 2;
        bigger = (unsigned char *)memory.alloc_fn((size_t)room);
        if (bigger == NULL) return false;
        if (c->bytes > 0) memcpy(bigger, c->at, (size_t)c->bytes);
        memory.free_fn(c->at);
        c->at = bigger;
        c->room = room;
    }
    if (offset > c->bytes) memset(c->at + c->bytes, 0, (size_t)(offset - c->bytes));
    if (bytes > 0) memcpy(c->at + offset, from, (size_t)bytes);
    if (end > c->bytes) c->bytes = end;
    return true;
}
/*  Bytes that come back later are zero. */
static inline void memory_cut(memory_content *c, int64_t bytes) {
    if (bytes < c->bytes) c->bytes = bytes;
}

/*---- the folder ----*/

static inline memory_node *memory_find(const char *name) {
    memory_node *n;
    for (n = memory.nodes; n != NULL; n = n->next) {
        if (n->is_there && strcmp(n->name, name) == 0) return n;
    }
    return NULL;
}
/*  An empty file, the last of all; without a name when it is NULL. */
static inline memory_node *memory_create(const char *name) {
    memory_node **at = &memory.nodes;
    memory_node *n = (memory_node *)memory.alloc_fn(sizeof *n);
    if (n == NULL) return NULL;
    memset(n, 0, sizeof *n);
    if (name != NULL) (void)snprintf(n->name, sizeof n->name, "%s", name);
    n->is_there = name != NULL;
    while (*at != NULL) at = &(*at)->next;
    *at = n;
    return n;
}
static inline void memory_forget_shm(memory_node *n) {
    int i;
    for (i = 0; i < MEMORY_REGIONS; i++) {
        memory.free_fn(n->regions[i]);
        n->regions[i] = NULL;
    }
}
/*  The file is gone once it has neither a name nor a handle. */
static inline void memory_forget(memory_node *n) {
    memory_node **at = &memory.nodes;
    if (n->handles > 0 || n->is_there) return;
    while (*at != n) at = &(*at)->next;
    *at = n->next;
    memory_forget_shm(n);
    memory.free_fn(n->content.at);
    memory.free_fn(n);
}
static inline void memory_remove(memory_node *n) {
    n->is_there = false;
    memory_forget(n);
}
/*  Deletes every file that nobody has open. */
static inline void memory_clear(void) {
    memory_node *n = memory.nodes;
    while (n != NULL) {
        memory_node *next = n->next;
        memory_remove(n);
        n = next;
    }
}

/*---- one file ----*/

static inline int memory_close(sqlite3_file *file) {
    memory_node *n = memory_node_of(file);
    n->handles--;
    memory_forget(n);
    return SQLITE_OK;
}
static inline int memory_read(sqlite3_file *file, void *to, int amount, sqlite3_int64 offset) {
    const memory_content *c = &memory_node_of(file)->content;
    int64_t have = c->bytes - offset;
    if (have < 0) have = 0;
    if (have > amount) have = amount;
    if (have > 0) memcpy(to, c->at + offset, (size_t)have);
    if (have == amount) return SQLITE_OK;
    memset((char *)to + have, 0, (size_t)(amount - have));
    return SQLITE_IOERR_SHORT_READ;
}
static inline int memory_write(sqlite3_file *file, const void *from, int amount,
                               sqlite3_int64 offset) {
    return memory_put(&memory_node_of(file)->content, from, offset, amount) ? SQLITE_OK
                                                                            : SQLITE_FULL;
}
static inline int memory_truncate(sqlite3_file *file, sqlite3_int64 size) {
    memory_cut(&memory_node_of(file)->content, size);
    return SQLITE_OK;
}
static inline int memory_sync(sqlite3_file *file, int flags) {
    (void)file;
    (void)flags;
    return SQLITE_OK;
}
static inline int memory_file_size(sqlite3_file *file, sqlite3_int64 *size) {
    *size = memory_node_of(file)->content.bytes;
    return SQLITE_OK;
}
static inline int memory_lock(sqlite3_file *file, int level) {
    memory_file *f = (memory_file *)(void *)file;
    memory_node *n = f->node;
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
static inline int memory_unlock(sqlite3_file *file, int level) {
    memory_file *f = (memory_file *)(void *)file;
    memory_node *n = f->node;
    if (f->level <= level) return SQLITE_OK;
    if (n->pending == f) n->pending = NULL;
    if (n->reserved == f) n->reserved = NULL;
    if (level == SQLITE_LOCK_NONE) n->shared--;
    f->level = level;
    return SQLITE_OK;
}
static inline int memory_check_reserved(sqlite3_file *file, int *out) {
    const memory_node *n = memory_node_of(file);
    *out = n->reserved != NULL || n->pending != NULL;
    return SQLITE_OK;
}
static inline int memory_control(sqlite3_file *file, int op, void *argument) {
    if (op != SQLITE_FCNTL_HAS_MOVED) return SQLITE_NOTFOUND;
    *(int *)argument = memory_node_of(file)->is_there ? 0 : 1;
    return SQLITE_OK;
}
static inline int memory_sector_size(sqlite3_file *file) {
    (void)file;
    return 512;
}
static inline int memory_characteristics(sqlite3_file *file) {
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as os_unix.c says of its files */
}
static inline int memory_shm_map(sqlite3_file *file, int page, int page_bytes, int extend,
                                 void volatile **out) {
    memory_file *f = (memory_file *)(void *)file;
    memory_node *n = f->node;
    *out = NULL;
    if (!f->has_shm) {
        f->has_shm = true;
        n->shm_users++;
    }
    if (page >= MEMORY_REGIONS) return SQLITE_IOERR_SHMMAP;
    if (n->regions[page] == NULL && extend) {
        n->regions[page] = (unsigned char *)memory.alloc_fn((size_t)page_bytes);
        if (n->regions[page] == NULL) return SQLITE_NOMEM;
        memset(n->regions[page], 0, (size_t)page_bytes);
    }
    *out = n->regions[page];
    return SQLITE_OK;
}
static inline int memory_shm_lock(sqlite3_file *file, int offset, int count, int flags) {
    memory_file *f = (memory_file *)(void *)file;
    memory_node *n = f->node;
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
static inline void memory_shm_barrier(sqlite3_file *file) {
    (void)file;
}
static inline int memory_shm_unmap(sqlite3_file *file, int delete_it) {
    memory_file *f = (memory_file *)(void *)file;
    if (!f->has_shm) return SQLITE_OK;
    (void)delete_it; /* as a file of the system's would: what is in it is void without users */
    (void)memory_shm_lock(file, 0, MEMORY_LOCKS, SQLITE_SHM_UNLOCK);
    f->has_shm = false;
    if (--f->node->shm_users == 0) memory_forget_shm(f->node);
    return SQLITE_OK;
}

static const sqlite3_io_methods memory_methods = {
    2,
    memory_close,
    memory_read,
    memory_write,
    memory_truncate,
    memory_sync,
    memory_file_size,
    memory_lock,
    memory_unlock,
    memory_check_reserved,
    memory_control,
    memory_sector_size,
    memory_characteristics,
    memory_shm_map,
    memory_shm_lock,
    memory_shm_barrier,
    memory_shm_unmap,
    NULL,
    NULL,
};

/*---- the VFS ----*/

static inline int memory_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                              int *out_flags) {
    memory_file *f = (memory_file *)(void *)file;
    memory_node *n = path == NULL ? NULL : memory_find(path);
    (void)vfs;
    memset(f, 0, sizeof *f);
    if (n == NULL) {
        if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
        n = memory_create((flags & SQLITE_OPEN_DELETEONCLOSE) != 0 ? NULL : path);
        if (n == NULL) return SQLITE_NOMEM;
    }
    n->handles++;
    f->node = n;
    f->base.pMethods = &memory_methods;
    if (out_flags != NULL) *out_flags = flags;
    return SQLITE_OK;
}
static inline int memory_delete(sqlite3_vfs *vfs, const char *path, int sync_directory) {
    memory_node *n = memory_find(path);
    (void)vfs;
    (void)sync_directory;
    if (n == NULL) return SQLITE_IOERR_DELETE_NOENT;
    memory_remove(n);
    return SQLITE_OK;
}
static inline int memory_access(sqlite3_vfs *vfs, const char *path, int flags, int *out) {
    const memory_node *n = memory_find(path);
    (void)vfs;
    *out = n != NULL && (flags != SQLITE_ACCESS_EXISTS || n->content.bytes > 0);
    return SQLITE_OK;
}
static inline int memory_full_path(sqlite3_vfs *vfs, const char *path, int bytes, char *out) {
    (void)vfs;
    (void)snprintf(out, (size_t)bytes, "%s", path);
    return SQLITE_OK;
}
static inline int memory_randomness(sqlite3_vfs *vfs, int bytes, char *out) {
    int i;
    (void)vfs;
    for (i = 0; i < bytes; i++) {
        memory.random = memory.random * 6364136223846793005u + 1442695040888963407u;
        out[i] = (char)(memory.random >> 56);
    }
    return bytes;
}
static inline int memory_sleep(sqlite3_vfs *vfs, int microseconds) {
    (void)vfs;
    return microseconds;
}
static inline int memory_time_64(sqlite3_vfs *vfs, sqlite3_int64 *out) {
    (void)vfs;
    *out = INT64_C(212900000000000);
    return SQLITE_OK;
}
static inline int memory_time(sqlite3_vfs *vfs, double *out) {
    sqlite3_int64 now;
    (void)vfs->xCurrentTimeInt64(vfs, &now);
    *out = (double)now / 86400000.0;
    return SQLITE_OK;
}
static inline int memory_last_error(sqlite3_vfs *vfs, int bytes, char *out) {
    (void)vfs;
    (void)bytes;
    (void)out;
    return 0;
}

static inline void memory_vfs(sqlite3_vfs *vfs, const char *name) {
    memset(vfs, 0, sizeof *vfs);
    vfs->iVersion = 2;
    vfs->szOsFile = (int)sizeof(memory_file);
    vfs->mxPathname = 60;
    vfs->zName = name;
    vfs->xOpen = memory_open;
    vfs->xDelete = memory_delete;
    vfs->xAccess = memory_access;
    vfs->xFullPathname = memory_full_path;
    vfs->xRandomness = memory_randomness;
    vfs->xSleep = memory_sleep;
    vfs->xCurrentTime = memory_time;
    vfs->xGetLastError = memory_last_error;
    vfs->xCurrentTimeInt64 = memory_time_64;
}

#endif
