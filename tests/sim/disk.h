/*  disk.h - the simulator's files in memory. SPDX-License-Identifier: MIT OR Unlicense

    A VFS named "disk" whose files, file locks and shared memory live on the heap of sim/sched.h: a run
    of the scheduler ends and begins anew with a copy of that heap, files included, and makes no system
    call. Locks are those of one process that SQLite's connections are to each other: a call never
    waits, it says BUSY. Nothing here is a point of the scheduler but xSleep. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "sim/sched.h"

enum { DISK_REGIONS = 4, DISK_FILES = 8, DISK_LOCKS = 8 };

typedef struct disk_node {
    char name[64]; /* "": a temporary one */
    unsigned char *data;
    int64_t bytes, room;
    int handles;
    bool is_there;             /* has a name in the folder */
    int shared;                /* holders of SHARED and more */
    const void *reserved;      /* its holder */
    const void *pending;       /* likewise; EXCLUSIVE once it is the only one */
    unsigned char *regions[DISK_REGIONS];
    int region_bytes;
    int shm_users;
    int shm_shared[DISK_LOCKS];
    const void *shm_exclusive[DISK_LOCKS];
} disk_node;

typedef struct disk_file {
    sqlite3_file base;
    disk_node *node;
    int level;
    unsigned shm_shared;
    bool has_shm;
} disk_file;

static struct disk_state {
    disk_node *nodes[DISK_FILES];
    uint64_t random;
    int open_files;
    int fail_writes; /* writes fail from now on with this code, while it is not 0 */
} disk;

static disk_node *disk_find(const char *name) {
    int i;
    for (i = 0; i < DISK_FILES; i++) {
        disk_node *n = disk.nodes[i];
        if (n != NULL && n->is_there && strcmp(n->name, name) == 0) return n;
    }
    return NULL;
}
static void disk_forget(disk_node *n) {
    int i;
    if (n->handles > 0 || n->is_there) return;
    for (i = 0; i < DISK_FILES; i++) {
        if (disk.nodes[i] == n) disk.nodes[i] = NULL;
    }
    for (i = 0; i < DISK_REGIONS; i++) sched_free(n->regions[i]);
    sched_free(n->data);
    sched_free(n);
}
static bool disk_room(disk_node *n, int64_t bytes) {
    unsigned char *bigger;
    int64_t room = n->room == 0 ? 16384 : n->room;
    if (bytes <= n->room) return true;
    while (room < bytes) room *= 2;
    bigger = (unsigned char *)sched_alloc((size_t)room);
    if (n->bytes > 0) memcpy(bigger, n->data, (size_t)n->bytes);
    sched_free(n->data);
    n->data = bigger;
    n->room = room;
    return true;
}

/*---- one file ----*/

static int disk_close(sqlite3_file *file) {
    disk_file *f = (disk_file *)(void *)file;
    sched_note_disk(SCHED_WRITE);
    if (f->level > SQLITE_LOCK_NONE) sched_fail("SQLite closes a file with a lock");
    f->node->handles--;
    disk.open_files--;
    disk_forget(f->node);
    return SQLITE_OK;
}
static int disk_read(sqlite3_file *file, void *to, int amount, sqlite3_int64 offset) {
    disk_node *n = ((disk_file *)(void *)file)->node;
    int64_t have = n->bytes - offset;
    sched_note_disk(SCHED_READ);
    if (have < 0) have = 0;
    if (have > amount) have = amount;
    if (have > 0) memcpy(to, n->data + offset, (size_t)have);
    if (have == amount) return SQLITE_OK;
    memset((char *)to + have, 0, (size_t)(amount - have));
    return SQLITE_IOERR_SHORT_READ;
}
static int disk_write(sqlite3_file *file, const void *from, int amount, sqlite3_int64 offset) {
    disk_node *n = ((disk_file *)(void *)file)->node;
    sched_note_disk(SCHED_WRITE);
    sched_learn((uint64_t)disk.fail_writes);
    if (disk.fail_writes != 0) return disk.fail_writes;
    (void)disk_room(n, offset + amount);
    if (offset > n->bytes) memset(n->data + n->bytes, 0, (size_t)(offset - n->bytes));
    memcpy(n->data + offset, from, (size_t)amount);
    if (offset + amount > n->bytes) n->bytes = offset + amount;
    return SQLITE_OK;
}
static int disk_truncate(sqlite3_file *file, sqlite3_int64 size) {
    disk_node *n = ((disk_file *)(void *)file)->node;
    sched_note_disk(SCHED_WRITE);
    if (size < n->bytes) n->bytes = size;
    return SQLITE_OK;
}
static int disk_sync(sqlite3_file *file, int flags) {
    (void)file;
    (void)flags;
    sched_learn((uint64_t)disk.fail_writes);
    return disk.fail_writes != 0 ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}
static int disk_size(sqlite3_file *file, sqlite3_int64 *size) {
    sched_note_disk(SCHED_READ);
    *size = ((disk_file *)(void *)file)->node->bytes;
    return SQLITE_OK;
}
static int disk_lock(sqlite3_file *file, int level) {
    disk_file *f = (disk_file *)(void *)file;
    disk_node *n = f->node;
    sched_note_disk(level > SQLITE_LOCK_SHARED ? SCHED_WRITE : SCHED_READ);
    if (f->level >= level) return SQLITE_OK;
    if (f->level == SQLITE_LOCK_NONE) {
        if (n->pending != NULL) return SQLITE_BUSY;
        n->shared++;
        f->level = SQLITE_LOCK_SHARED;
    }
    if (level >= SQLITE_LOCK_RESERVED && f->level < SQLITE_LOCK_RESERVED) {
        if (n->reserved != NULL && n->reserved != f) return SQLITE_BUSY;
        n->reserved = f;
        f->level = SQLITE_LOCK_RESERVED;
    }
    if (level >= SQLITE_LOCK_PENDING) {
        if (n->pending != NULL && n->pending != f) return SQLITE_BUSY;
        n->pending = f;
        f->level = SQLITE_LOCK_PENDING;
        if (n->shared > 1) return SQLITE_BUSY;
        f->level = SQLITE_LOCK_EXCLUSIVE;
    }
    return SQLITE_OK;
}
static int disk_unlock(sqlite3_file *file, int level) {
    disk_file *f = (disk_file *)(void *)file;
    disk_node *n = f->node;
    sched_note_disk(f->level > SQLITE_LOCK_SHARED ? SCHED_WRITE : SCHED_READ);
    if (f->level <= level) return SQLITE_OK;
    if (n->pending == f) n->pending = NULL;
    if (n->reserved == f) n->reserved = NULL;
    if (level == SQLITE_LOCK_NONE) n->shared--;
    f->level = level;
    return SQLITE_OK;
}
static int disk_check_reserved(sqlite3_file *file, int *out) {
    const disk_node *n = ((disk_file *)(void *)file)->node;
    sched_note_disk(SCHED_READ);
    *out = n->reserved != NULL || n->pending != NULL;
    return SQLITE_OK;
}
static int disk_control(sqlite3_file *file, int op, void *argument) {
    (void)file;
    if (op == SQLITE_FCNTL_HAS_MOVED) {
        *(int *)argument = 0;
        return SQLITE_OK;
    }
    return SQLITE_NOTFOUND;
}
static int disk_sector_size(sqlite3_file *file) {
    (void)file;
    return 512;
}
static int disk_characteristics(sqlite3_file *file) {
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}
static int disk_shm_map(sqlite3_file *file, int page, int page_bytes, int extend,
                        void volatile **out) {
    disk_file *f = (disk_file *)(void *)file;
    disk_node *n = f->node;
    sched_note_disk(SCHED_READ);
    if (!f->has_shm) {
        f->has_shm = true;
        n->shm_users++;
    }
    *out = NULL;
    if (page >= DISK_REGIONS) return SQLITE_IOERR_SHMMAP;
    if (n->regions[page] == NULL && extend) {
        n->regions[page] = (unsigned char *)sched_alloc((size_t)page_bytes);
        memset(n->regions[page], 0, (size_t)page_bytes);
    }
    *out = n->regions[page];
    return SQLITE_OK;
}
static int disk_shm_lock(sqlite3_file *file, int offset, int count, int flags) {
    disk_file *f = (disk_file *)(void *)file;
    disk_node *n = f->node;
    int i;
    /* the shared memory is written under these locks; who else reads in it does not matter */
    sched_note_disk((flags & SQLITE_SHM_EXCLUSIVE) != 0 ? SCHED_WRITE : SCHED_READ);
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
static void disk_shm_barrier(sqlite3_file *file) { (void)file; }
static int disk_shm_unmap(sqlite3_file *file, int delete_it) {
    disk_file *f = (disk_file *)(void *)file;
    disk_node *n = f->node;
    int i;
    if (!f->has_shm) return SQLITE_OK;
    (void)disk_shm_lock(file, 0, DISK_LOCKS, SQLITE_SHM_UNLOCK);
    f->has_shm = false;
    n->shm_users--;
    if (!delete_it || n->shm_users > 0) return SQLITE_OK;
    for (i = 0; i < DISK_REGIONS; i++) {
        sched_free(n->regions[i]);
        n->regions[i] = NULL;
    }
    return SQLITE_OK;
}

static const sqlite3_io_methods disk_methods = {
    2,           disk_close,  disk_read,           disk_write,   disk_truncate,
    disk_sync,   disk_size,   disk_lock,           disk_unlock,  disk_check_reserved,
    disk_control, disk_sector_size, disk_characteristics, disk_shm_map, disk_shm_lock,
    disk_shm_barrier, disk_shm_unmap, NULL, NULL};

/*---- the VFS ----*/

static int disk_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                     int *out_flags) {
    disk_file *f = (disk_file *)(void *)file;
    disk_node *n = path == NULL ? NULL : disk_find(path);
    int i;
    (void)vfs;
    sched_note_disk(SCHED_WRITE);
    memset(f, 0, sizeof *f);
    if (n == NULL) {
        if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
        for (i = 0; i < DISK_FILES && disk.nodes[i] != NULL; i++) {
        }
        if (i == DISK_FILES) return SQLITE_CANTOPEN;
        n = (disk_node *)sched_alloc(sizeof *n);
        memset(n, 0, sizeof *n);
        if (path != NULL) (void)snprintf(n->name, sizeof n->name, "%s", path);
        n->is_there = path != NULL && (flags & SQLITE_OPEN_DELETEONCLOSE) == 0;
        disk.nodes[i] = n;
    }
    n->handles++;
    disk.open_files++;
    f->node = n;
    f->base.pMethods = &disk_methods;
    if (out_flags != NULL) *out_flags = flags;
    return SQLITE_OK;
}
static int disk_delete(sqlite3_vfs *vfs, const char *path, int sync_directory) {
    disk_node *n = disk_find(path);
    (void)vfs;
    (void)sync_directory;
    sched_note_disk(SCHED_WRITE);
    if (n == NULL) return SQLITE_IOERR_DELETE_NOENT;
    n->is_there = false;
    disk_forget(n);
    return SQLITE_OK;
}
static int disk_access(sqlite3_vfs *vfs, const char *path, int flags, int *out) {
    const disk_node *n = disk_find(path);
    (void)vfs;
    sched_note_disk(SCHED_READ);
    *out = n != NULL && (flags != SQLITE_ACCESS_EXISTS || n->bytes > 0);
    return SQLITE_OK;
}
static int disk_full_path(sqlite3_vfs *vfs, const char *path, int bytes, char *out) {
    (void)vfs;
    (void)snprintf(out, (size_t)bytes, "%s", path);
    return SQLITE_OK;
}
static int disk_randomness(sqlite3_vfs *vfs, int bytes, char *out) {
    int i;
    (void)vfs;
    for (i = 0; i < bytes; i++) out[i] = (char)sched_roll(&disk.random);
    return bytes;
}
static int disk_sleep(sqlite3_vfs *vfs, int microseconds) {
    (void)vfs;
    sched_sleep(NULL, (int64_t)microseconds * 1000);
    return microseconds;
}
static int disk_time_64(sqlite3_vfs *vfs, sqlite3_int64 *out) {
    (void)vfs;
    *out = INT64_C(212900000000000) + world.now_ns / 1000000;
    return SQLITE_OK;
}
static int disk_time(sqlite3_vfs *vfs, double *out) {
    sqlite3_int64 now;
    (void)disk_time_64(vfs, &now);
    *out = (double)now / 86400000.0;
    return SQLITE_OK;
}
static int disk_last_error(sqlite3_vfs *vfs, int bytes, char *out) {
    (void)vfs;
    (void)bytes;
    (void)out;
    return 0;
}

/*  Locks that several may have: their number, not who was first. */
static uint64_t disk_digest(void) {
    uint64_t sum = (uint64_t)disk.open_files << 16 ^ (uint64_t)disk.fail_writes;
    int i, lock;
    for (i = 0; i < DISK_FILES; i++) {
        const disk_node *n = disk.nodes[i];
        if (n == NULL) continue;
        sum = sched_join(sum, (uint64_t)(n->shared * 64 + n->shm_users));
        for (lock = 0; lock < DISK_LOCKS; lock++)
            sum = sum * 31 + (uint64_t)n->shm_shared[lock] * 2 + (n->shm_exclusive[lock] != NULL);
    }
    return sum;
}

/*  After sched_init(). */
SQLPOOL__UNUSED static int disk_install(void) {
    static sqlite3_vfs vfs;
    vfs.iVersion = 2;
    vfs.szOsFile = (int)sizeof(disk_file);
    vfs.mxPathname = 60;
    vfs.zName = "disk";
    vfs.xOpen = disk_open;
    vfs.xDelete = disk_delete;
    vfs.xAccess = disk_access;
    vfs.xFullPathname = disk_full_path;
    vfs.xRandomness = disk_randomness;
    vfs.xSleep = disk_sleep;
    vfs.xCurrentTime = disk_time;
    vfs.xGetLastError = disk_last_error;
    vfs.xCurrentTimeInt64 = disk_time_64;
    sched_keep(&disk, sizeof disk);
    sched.files_fn = disk_digest;
    return sqlite3_vfs_register(&vfs, 0);
}

#endif
