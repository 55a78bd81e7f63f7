/*  disk.h - the simulator's files in memory. SPDX-License-Identifier: MIT OR Unlicense

    The files of sim/memory.h as a VFS named "disk", on the heap of sim/sched.h: a run of the scheduler
    ends and begins anew with a copy of that heap, files included, and makes no system call. The
    scheduler is told who reads and who writes. Nothing here is a point of it but xSleep. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "sim/sched.h"

#include "sim/memory.h"

static struct disk_state {
    int open_files;
    int fail_writes; /* writes fail from now on with this code, while it is not 0 */
} disk;

/*---- one file ----*/

static int disk_close(sqlite3_file *file) {
    sched_note_disk(SCHED_WRITE);
    if (((memory_file *)(void *)file)->level > SQLITE_LOCK_NONE)
        sched_fail("SQLite closes a file with a lock");
    disk.open_files--;
    return memory_close(file);
}
static int disk_read(sqlite3_file *file, void *to, int amount, sqlite3_int64 offset) {
    sched_note_disk(SCHED_READ);
    return memory_read(file, to, amount, offset);
}
static int disk_write(sqlite3_file *file, const void *from, int amount, sqlite3_int64 offset) {
    sched_note_disk(SCHED_WRITE);
    sched_learn((uint64_t)disk.fail_writes);
    return disk.fail_writes != 0 ? disk.fail_writes : memory_write(file, from, amount, offset);
}
static int disk_truncate(sqlite3_file *file, sqlite3_int64 size) {
    sched_note_disk(SCHED_WRITE);
    return memory_truncate(file, size);
}
static int disk_sync(sqlite3_file *file, int flags) {
    (void)file;
    (void)flags;
    sched_learn((uint64_t)disk.fail_writes);
    return disk.fail_writes != 0 ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}
static int disk_size(sqlite3_file *file, sqlite3_int64 *size) {
    sched_note_disk(SCHED_READ);
    return memory_file_size(file, size);
}
static int disk_lock(sqlite3_file *file, int level) {
    sched_note_disk(level > SQLITE_LOCK_SHARED ? SCHED_WRITE : SCHED_READ);
    return memory_lock(file, level);
}
static int disk_unlock(sqlite3_file *file, int level) {
    const int from = ((memory_file *)(void *)file)->level;
    sched_note_disk(from > SQLITE_LOCK_SHARED ? SCHED_WRITE : SCHED_READ);
    return memory_unlock(file, level);
}
static int disk_check_reserved(sqlite3_file *file, int *out) {
    sched_note_disk(SCHED_READ);
    return memory_check_reserved(file, out);
}
static int disk_shm_map(sqlite3_file *file, int page, int page_bytes, int extend,
                        void volatile **out) {
    sched_note_disk(SCHED_READ);
    return memory_shm_map(file, page, page_bytes, extend, out);
}
static int disk_shm_lock(sqlite3_file *file, int offset, int count, int flags) {
    /* the shared memory is written under these locks; who else reads in it does not matter */
    sched_note_disk((flags & SQLITE_SHM_EXCLUSIVE) != 0 ? SCHED_WRITE : SCHED_READ);
    return memory_shm_lock(file, offset, count, flags);
}
static int disk_shm_unmap(sqlite3_file *file, int delete_it) {
    if (((memory_file *)(void *)file)->has_shm) sched_note_disk(SCHED_READ);
    return memory_shm_unmap(file, delete_it);
}

static const sqlite3_io_methods disk_methods = {
    2,
    disk_close,
    disk_read,
    disk_write,
    disk_truncate,
    disk_sync,
    disk_size,
    disk_lock,
    disk_unlock,
    disk_check_reserved,
    memory_control,
    memory_sector_size,
    memory_characteristics,
    disk_shm_map,
    disk_shm_lock,
    memory_shm_barrier,
    disk_shm_unmap,
    NULL,
    NULL,
};

/*---- the VFS ----*/

static int disk_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                     int *out_flags) {
    int rc;
    sched_note_disk(SCHED_WRITE);
    rc = memory_open(vfs, path, file, flags, out_flags);
    if (rc != SQLITE_OK) return rc;
    disk.open_files++;
    file->pMethods = &disk_methods;
    return SQLITE_OK;
}
static int disk_delete(sqlite3_vfs *vfs, const char *path, int sync_directory) {
    sched_note_disk(SCHED_WRITE);
    return memory_delete(vfs, path, sync_directory);
}
static int disk_access(sqlite3_vfs *vfs, const char *path, int flags, int *out) {
    sched_note_disk(SCHED_READ);
    return memory_access(vfs, path, flags, out);
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

/*  Locks that several may have: their number, not who was first. */
static uint64_t disk_digest(void) {
    uint64_t sum = (uint64_t)disk.open_files << 16 ^ (uint64_t)disk.fail_writes;
    const memory_node *n;
    int lock;
    for (n = memory.nodes; n != NULL; n = n->next) {
        sum = sched_join(sum, (uint64_t)(n->shared * 64 + n->shm_users));
        for (lock = 0; lock < MEMORY_LOCKS; lock++)
            sum = sum * 31 + (uint64_t)n->shm_shared[lock] * 2 + (n->shm_exclusive[lock] != NULL);
    }
    return sum;
}

/*  After sched_init(). */
SQLPOOL__UNUSED static int disk_install(void) {
    static sqlite3_vfs vfs;
    memory.alloc_fn = sched_alloc;
    memory.free_fn = sched_free;
    memory_vfs(&vfs, "disk");
    vfs.xOpen = disk_open;
    vfs.xDelete = disk_delete;
    vfs.xAccess = disk_access;
    vfs.xSleep = disk_sleep;
    vfs.xCurrentTimeInt64 = disk_time_64;
    sched_keep(&disk, sizeof disk);
    sched_keep(&memory, sizeof memory);
    sched.files_fn = disk_digest;
    return sqlite3_vfs_register(&vfs, 0);
}

#endif
