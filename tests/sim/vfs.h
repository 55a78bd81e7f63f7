/*  vfs.h - the simulator's disk. SPDX-License-Identifier: MIT OR Unlicense

    A VFS named "sim" over the default one, registered at run time, so that it works with the
    system's shared libsqlite3. Every call becomes a sim_vfs_event, which passes three stations:

      1. numbering   each call of a countable kind draws a number, of all kinds and of its own kind
      2. faults      sim_vfs.fault says which number of which kind fails, with what code, once or
                     from then on; a fault of a call that gives something back (close, unlock, shm
                     unlock, delete of nothing) happens after the real call, as a real one would
      3. recorder    record_fn, when set, gets every event after it happened, with result, data and
                     offset: a log of events is what power-loss images are built from

    Before all of them point_fn, when set, is told what is about to happen, without a lock held: the
    place where a scheduler lets another thread run.

    The trace of the last events (kind, file, result) is kept in a ring and printed on failure.
    Files keep the shm methods of the VFS below: iVersion is that of the real file, unless max_version
    lowers it. SQLite maps the first region of a WAL-index once a file; shm_mode says what whoever asks
    a second time gets: that page, a private copy of it that nobody writes, an error, nothing. */
#ifndef SIM_VFS_H
#define SIM_VFS_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*  kind, the code it fails with by default, whether a fault can be injected */
/* clang-format off */
#define SIM_VFS_CALLS(X)                                         \
    X(OPEN, SQLITE_CANTOPEN, 1)                                  \
    X(DELETE, SQLITE_IOERR_DELETE, 1)                            \
    X(ACCESS, SQLITE_IOERR_ACCESS, 1)                            \
    X(FULLPATH, SQLITE_CANTOPEN_FULLPATH, 1)                     \
    X(CLOSE, SQLITE_IOERR_CLOSE, 1)                              \
    X(READ, SQLITE_IOERR_READ, 1)                                \
    X(WRITE, SQLITE_IOERR_WRITE, 1)                              \
    X(TRUNCATE, SQLITE_IOERR_TRUNCATE, 1)                        \
    X(SYNC, SQLITE_IOERR_FSYNC, 1)                               \
    X(FILE_SIZE, SQLITE_IOERR_FSTAT, 1)                          \
    X(LOCK, SQLITE_IOERR_LOCK, 1)                                \
    X(UNLOCK, SQLITE_IOERR_UNLOCK, 1)                            \
    X(CHECK_RESERVED, SQLITE_IOERR_CHECKRESERVEDLOCK, 1)         \
    X(FILE_CONTROL, SQLITE_IOERR, 0)                             \
    X(SHM_MAP, SQLITE_IOERR_SHMMAP, 1)                           \
    X(SHM_LOCK, SQLITE_IOERR_SHMLOCK, 1)                         \
    X(SHM_UNLOCK, SQLITE_IOERR_SHMLOCK, 1)                       \
    X(SHM_BARRIER, SQLITE_OK, 0)                                 \
    X(SHM_UNMAP, SQLITE_OK, 0)                                   \
    X(FETCH, SQLITE_IOERR_MMAP, 1)                               \
    X(UNFETCH, SQLITE_OK, 0)
/* clang-format on */

#define SIM_VFS_ENUM(name, code, can_fail) SIM_VFS_##name,
typedef enum sim_vfs_kind {
    SIM_VFS_CALLS(SIM_VFS_ENUM) SIM_VFS_KINDS,
    SIM_VFS_ANY = SIM_VFS_KINDS
} sim_vfs_kind;
#undef SIM_VFS_ENUM

typedef struct sim_vfs_event {
    sim_vfs_kind kind;
    uint64_t number;    /* among all countable calls */
    const char *file;   /* path, NULL for a temporary file */
    sqlite3_file *real; /* the file of the VFS below, NULL where there is none yet */
    int open_flags;     /* of the file: SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_WAL, ... */
    int64_t offset;     /* of a shm lock: the first of `amount` locks */
    int64_t amount;     /* bytes, or the new size of a truncate */
    const void *data;   /* what a write wrote, NULL otherwise */
    int argument;       /* sync, lock or open flags of this call */
    int result;
    int faulted;    /* result came from the simulator */
    uint32_t *told; /* of the sync of a log: which failures its file was told of */
} sim_vfs_event;

typedef struct sim_vfs_fault {
    uint64_t at;    /* 0: none */
    int kind;       /* sim_vfs_kind, or SIM_VFS_ANY */
    int code;       /* 0: the kind's own */
    int from_on;    /* and every later one */
    int cut_writes; /* a failing write leaves its first half in the file */
} sim_vfs_fault;

enum { SIM_VFS_RING = 64 };

/*  What a second mapping of region 0 gives. STRANGE is a copy whose iVersion nobody knows, MARKED one
    whose commit counter is not 0. */
enum { SIM_SHM_REAL, SIM_SHM_COPY, SIM_SHM_STRANGE, SIM_SHM_MARKED, SIM_SHM_FAIL, SIM_SHM_NONE };

typedef struct sim_vfs_state {
    sqlite3_vfs base; /* what SQLite sees; must be first */
    sqlite3_vfs *real;
    uint64_t seed;
    sim_vfs_fault fault;
    int skip_sync;    /* the real sync is not made: tests of faults need no disk */
    int skip_sleep;   /* SQLite's own sleeps (WAL retries) take no time */
    int tells_each;   /* a sync of a log that fails is told to each file that is open on it, once */
    uint32_t log_syncs_failed;
    int max_version;  /* of the io methods of files opened from now on; 0: the real one's */
    int shm_mode;     /* SIM_SHM_... */
    void *last_copy;  /* that SIM_SHM_COPY gave, aligned to its size */
    int copies_freed; /* atomic; when their file was closed */
    uint64_t
        lie_write_at; /* CONTROL: write number n (and all after it) says OK and writes nothing */
    void (*record_fn)(void *user, const sim_vfs_event *event);
    void *record_user;
    void (*point_fn)(void *user, const sim_vfs_event *event);
    void *point_user;
    FILE *trace;    /* every call, as text */
    uint64_t calls; /* countable calls so far */
    uint64_t kind_calls[SIM_VFS_KINDS + 1];
    uint64_t faults; /* injected so far */
    uint64_t lies;
    uint32_t primaries; /* bit n: a fault with primary code n was injected */
    int last_kind;      /* of the last injected fault */
    int last_code;
    int open_files;
    pthread_mutex_t lock;
    struct {
        int kind, result;
        char file[24];
    } ring[SIM_VFS_RING];
    uint64_t ring_count;
} sim_vfs_state;

static sim_vfs_state sim_vfs = {.lock = PTHREAD_MUTEX_INITIALIZER};

typedef struct sim_vfs_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
    const char *path;
    int open_flags;
    int shm_maps; /* of region 0, as long as it stays mapped */
    void *copy;   /* what SIM_SHM_COPY gave */
    uint32_t told; /* of log_syncs_failed */
} sim_vfs_file;

#define SIM_VFS_NAME(name, code, can_fail) #name,
static inline const char *sim_vfs_kind_name(int kind) {
    static const char *const names[] = {SIM_VFS_CALLS(SIM_VFS_NAME) "ANY"};
    return kind >= 0 && kind <= SIM_VFS_KINDS ? names[kind] : "?";
}
#undef SIM_VFS_NAME
#define SIM_VFS_CODE(name, code, can_fail) code,
static inline int sim_vfs_kind_code(int kind) {
    static const int codes[] = {SIM_VFS_CALLS(SIM_VFS_CODE) 0};
    return codes[kind];
}
#undef SIM_VFS_CODE
#define SIM_VFS_FAIL(name, code, can_fail) can_fail,
static inline int sim_vfs_kind_can_fail(int kind) {
    static const int can[] = {SIM_VFS_CALLS(SIM_VFS_FAIL) 0};
    return can[kind];
}
#undef SIM_VFS_FAIL

/*  Whether SQLite may be told this code by this kind of call: a fault of another code would test
    SQLite against its own documentation. */
static inline int sim_vfs_code_fits(int kind, int code) {
    switch (code) {
    case 0:
        return 1;
    case SQLITE_FULL:
        return kind == SIM_VFS_WRITE || kind == SIM_VFS_TRUNCATE;
    case SQLITE_BUSY:
        return kind == SIM_VFS_LOCK || kind == SIM_VFS_SHM_LOCK;
    case SQLITE_IOERR_SHMOPEN:
        return kind == SIM_VFS_SHM_MAP;
    case SQLITE_CANTOPEN:
        return kind == SIM_VFS_OPEN || kind == SIM_VFS_SHM_MAP;
    case SQLITE_IOERR_SHORT_READ: /* the second half of what is read is not there: zeroes */
        return kind == SIM_VFS_READ;
    default:
        return 0;
    }
}

static inline void sim_vfs_point(const sim_vfs_event *event) {
    if (sim_vfs.point_fn != NULL) sim_vfs.point_fn(sim_vfs.point_user, event);
}

/*  Station 1 and 2: the code this call must fail with, or 0. */
static inline int sim_vfs_before(sim_vfs_kind kind, uint64_t *number) {
    const sim_vfs_fault *f = &sim_vfs.fault;
    uint64_t n_kind, n;
    int code = 0;
    *number = 0;
    if (!sim_vfs_kind_can_fail((int)kind)) return 0;
    (void)pthread_mutex_lock(&sim_vfs.lock);
    n = *number = ++sim_vfs.calls;
    n_kind = ++sim_vfs.kind_calls[kind];
    sim_vfs.kind_calls[SIM_VFS_ANY]++;
    if (f->at != 0 && (f->kind == SIM_VFS_ANY || f->kind == (int)kind) &&
        sim_vfs_code_fits((int)kind, f->code)) {
        if (f->kind != SIM_VFS_ANY) n = n_kind;
        if (n == f->at || (n > f->at && f->from_on)) {
            code = f->code != 0 ? f->code : sim_vfs_kind_code((int)kind);
            sim_vfs.faults++;
            sim_vfs.last_kind = (int)kind;
            sim_vfs.last_code = code;
            sim_vfs.primaries |= (uint32_t)1 << (code & 31);
        }
    }
    (void)pthread_mutex_unlock(&sim_vfs.lock);
    return code;
}

/*  Station 3: what is told of an earlier sync; ring, trace and recorder. */
static inline int sim_vfs_after(sim_vfs_event *event) {
    const char *name = event->file == NULL ? "(temporary)" : event->file;
    const char *slash = strrchr(name, '/');
    if (slash != NULL) name = slash + 1;
    (void)pthread_mutex_lock(&sim_vfs.lock);
    if (sim_vfs.tells_each && event->told != NULL) {
        sim_vfs.log_syncs_failed += event->faulted != 0;
        if (event->result == SQLITE_OK && *event->told != sim_vfs.log_syncs_failed)
            event->result = SQLITE_IOERR_FSYNC;
        *event->told = sim_vfs.log_syncs_failed;
    }
    {
        const uint64_t at = sim_vfs.ring_count++ % SIM_VFS_RING;
        sim_vfs.ring[at].kind = (int)event->kind;
        sim_vfs.ring[at].result = event->result;
        (void)snprintf(sim_vfs.ring[at].file, sizeof sim_vfs.ring[at].file, "%s", name);
    }
    if (sim_vfs.trace != NULL) {
        fprintf(sim_vfs.trace, "%6llu %-14s %-20s offset=%lld amount=%lld argument=%d -> %d%s\n",
                (unsigned long long)event->number, sim_vfs_kind_name((int)event->kind), name,
                (long long)event->offset, (long long)event->amount, event->argument, event->result,
                event->faulted ? " FAULT" : "");
    }
    if (sim_vfs.record_fn != NULL) sim_vfs.record_fn(sim_vfs.record_user, event);
    (void)pthread_mutex_unlock(&sim_vfs.lock);
    return event->result;
}

static inline sim_vfs_event sim_vfs_event_of(sim_vfs_kind kind, const sim_vfs_file *file) {
    sim_vfs_event e;
    memset(&e, 0, sizeof e);
    e.kind = kind;
    if (file != NULL) {
        e.file = file->path;
        e.real = file->real;
        e.open_flags = file->open_flags;
    }
    return e;
}

/*  Whether the real call is to be made: `before` did not fail it. */
static inline bool sim_vfs_passes(sim_vfs_event *e) {
    sim_vfs_point(e);
    e->result = sim_vfs_before(e->kind, &e->number);
    e->faulted = e->result != 0;
    return !e->faulted;
}
/*  Most calls are the same: the real call runs, unless `before` fails it; then `after`. */
#define SIM_VFS_PASS(kind, file, call) \
    do { \
        sim_vfs_event e = sim_vfs_event_of(kind, file); \
        if (sim_vfs_passes(&e)) e.result = (call); \
        return sim_vfs_after(&e); \
    } while (0)
/*  Calls that give something back do so even when they fail. */
#define SIM_VFS_PASS_ALWAYS(kind, file, arg, call) \
    do { \
        sim_vfs_event e = sim_vfs_event_of(kind, file); \
        int rc; \
        e.argument = (arg); \
        (void)sim_vfs_passes(&e); \
        rc = (call); \
        if (!e.faulted) e.result = rc; \
        return sim_vfs_after(&e); \
    } while (0)

/*---- files ----*/

static inline int sim_file_close(sqlite3_file *file) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    __atomic_fetch_sub(&sim_vfs.open_files, 1, __ATOMIC_SEQ_CST);
    if (f->copy != NULL) {
        __atomic_fetch_add(&sim_vfs.copies_freed, 1, __ATOMIC_SEQ_CST);
        free(f->copy);
        f->copy = NULL;
    }
    SIM_VFS_PASS_ALWAYS(SIM_VFS_CLOSE, f, 0, f->real->pMethods->xClose(f->real));
}
static inline int sim_file_read(sqlite3_file *file, void *to, int amount, sqlite3_int64 offset) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_READ, f);
    e.offset = offset;
    e.amount = amount;
    if (sim_vfs_passes(&e) || e.result == SQLITE_IOERR_SHORT_READ) {
        const int rc = f->real->pMethods->xRead(f->real, to, amount, offset);
        if (e.faulted) memset((char *)to + amount / 2, 0, (size_t)(amount - amount / 2));
        if (!e.faulted) e.result = rc;
    }
    return sim_vfs_after(&e);
}
static inline int sim_file_write(sqlite3_file *file, const void *from, int amount,
                                 sqlite3_int64 offset) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_WRITE, f);
    e.offset = offset;
    e.amount = amount;
    e.data = from;
    if (!sim_vfs_passes(&e)) {
        if (sim_vfs.fault.cut_writes && amount > 1) {
            (void)f->real->pMethods->xWrite(f->real, from, amount / 2, offset);
        }
    } else if (sim_vfs.lie_write_at != 0 &&
               sim_vfs.kind_calls[SIM_VFS_WRITE] >= sim_vfs.lie_write_at) {
        sim_vfs.lies++; /* the control: says OK, writes nothing */
    } else {
        e.result = f->real->pMethods->xWrite(f->real, from, amount, offset);
    }
    return sim_vfs_after(&e);
}
static inline int sim_file_truncate(sqlite3_file *file, sqlite3_int64 size) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_TRUNCATE, f);
    e.amount = size;
    if (sim_vfs_passes(&e)) e.result = f->real->pMethods->xTruncate(f->real, size);
    return sim_vfs_after(&e);
}
static inline int sim_file_sync(sqlite3_file *file, int flags) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_SYNC, f);
    e.argument = flags;
    e.told = (f->open_flags & SQLITE_OPEN_WAL) != 0 ? &f->told : NULL;
    if (sim_vfs_passes(&e) && !sim_vfs.skip_sync)
        e.result = f->real->pMethods->xSync(f->real, flags);
    return sim_vfs_after(&e);
}
static inline int sim_file_size(sqlite3_file *file, sqlite3_int64 *size) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    SIM_VFS_PASS(SIM_VFS_FILE_SIZE, f, f->real->pMethods->xFileSize(f->real, size));
}
static inline int sim_file_lock(sqlite3_file *file, int level) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_LOCK, f);
    e.argument = level;
    if (sim_vfs_passes(&e)) e.result = f->real->pMethods->xLock(f->real, level);
    return sim_vfs_after(&e);
}
static inline int sim_file_unlock(sqlite3_file *file, int level) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    SIM_VFS_PASS_ALWAYS(SIM_VFS_UNLOCK, f, level, f->real->pMethods->xUnlock(f->real, level));
}
static inline int sim_file_check_reserved(sqlite3_file *file, int *out) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    SIM_VFS_PASS(SIM_VFS_CHECK_RESERVED, f, f->real->pMethods->xCheckReservedLock(f->real, out));
}
static inline int sim_file_control(sqlite3_file *file, int op, void *argument) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_FILE_CONTROL, f);
    e.argument = op;
    sim_vfs_point(&e);
    e.result = f->real->pMethods->xFileControl(f->real, op, argument);
    return sim_vfs_after(&e);
}
static inline int sim_file_sector_size(sqlite3_file *file) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    return f->real->pMethods->xSectorSize(f->real);
}
static inline int sim_file_characteristics(sqlite3_file *file) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    return f->real->pMethods->xDeviceCharacteristics(f->real);
}
/*  Region 0 was mapped for someone who was not the first to ask. */
static inline int sim_file_shm_again(sim_vfs_file *f, int page_bytes, void volatile **out) {
    uint32_t *copy;
    if (sim_vfs.shm_mode == SIM_SHM_FAIL || sim_vfs.shm_mode == SIM_SHM_NONE) {
        *out = NULL;
        return sim_vfs.shm_mode == SIM_SHM_FAIL ? SQLITE_IOERR_SHMMAP : SQLITE_OK;
    }
    if (f->copy == NULL && posix_memalign(&f->copy, (size_t)page_bytes, (size_t)page_bytes) != 0) {
        f->copy = NULL;
        return SQLITE_NOMEM;
    }
    sim_vfs.last_copy = f->copy;
    copy = (uint32_t *)f->copy;
    memcpy(copy, (const void *)(uintptr_t)*out, (size_t)page_bytes);
    if (sim_vfs.shm_mode == SIM_SHM_STRANGE) copy[0]++;
    if (sim_vfs.shm_mode == SIM_SHM_MARKED) copy[2] = copy[14] = 77;
    *out = copy;
    return SQLITE_OK;
}
static inline int sim_file_shm_map(sqlite3_file *file, int page, int page_bytes, int extend,
                                   void volatile **out) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_SHM_MAP, f);
    e.argument = page;
    e.amount = page_bytes;
    if (!sim_vfs_passes(&e)) {
        *out = NULL;
    } else {
        e.result = f->real->pMethods->xShmMap(f->real, page, page_bytes, extend, out);
        if (page == 0 && e.result == SQLITE_OK && *out != NULL && f->shm_maps++ > 0 &&
            sim_vfs.shm_mode != SIM_SHM_REAL) {
            e.result = sim_file_shm_again(f, page_bytes, out);
        }
    }
    return sim_vfs_after(&e);
}
static inline int sim_file_shm_lock(sqlite3_file *file, int offset, int n, int flags) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    const int is_unlock = (flags & SQLITE_SHM_UNLOCK) != 0;
    const sim_vfs_kind kind = is_unlock ? SIM_VFS_SHM_UNLOCK : SIM_VFS_SHM_LOCK;
    sim_vfs_event e = sim_vfs_event_of(kind, f);
    e.offset = offset;
    e.amount = n;
    e.argument = flags;
    if (sim_vfs_passes(&e) || is_unlock) {
        const int rc = f->real->pMethods->xShmLock(f->real, offset, n, flags);
        if (!e.faulted) e.result = rc;
    }
    return sim_vfs_after(&e);
}
static inline void sim_file_shm_barrier(sqlite3_file *file) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    const sim_vfs_event e = sim_vfs_event_of(SIM_VFS_SHM_BARRIER, f);
    sim_vfs_point(&e);
    f->real->pMethods->xShmBarrier(f->real);
}
static inline int sim_file_shm_unmap(sqlite3_file *file, int delete_it) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_SHM_UNMAP, f);
    e.argument = delete_it;
    sim_vfs_point(&e);
    f->shm_maps = 0;
    e.result = f->real->pMethods->xShmUnmap(f->real, delete_it);
    return sim_vfs_after(&e);
}
static inline int sim_file_fetch(sqlite3_file *file, sqlite3_int64 offset, int amount, void **out) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    *out = NULL;
    SIM_VFS_PASS(SIM_VFS_FETCH, f, f->real->pMethods->xFetch(f->real, offset, amount, out));
}
static inline int sim_file_unfetch(sqlite3_file *file, sqlite3_int64 offset, void *page) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_UNFETCH, f);
    e.offset = offset;
    e.data = page;
    sim_vfs_point(&e);
    return f->real->pMethods->xUnfetch(f->real, offset, page);
}

#define SIM_VFS_METHODS_1 \
    sim_file_close, sim_file_read, sim_file_write, sim_file_truncate, sim_file_sync, \
        sim_file_size, sim_file_lock, sim_file_unlock, sim_file_check_reserved, sim_file_control, \
        sim_file_sector_size, sim_file_characteristics
static const sqlite3_io_methods sim_vfs_methods[4] = {
    {1, SIM_VFS_METHODS_1, NULL, NULL, NULL, NULL, NULL, NULL},
    {2, SIM_VFS_METHODS_1, sim_file_shm_map, sim_file_shm_lock, sim_file_shm_barrier,
     sim_file_shm_unmap, NULL, NULL},
    {3, SIM_VFS_METHODS_1, sim_file_shm_map, sim_file_shm_lock, sim_file_shm_barrier,
     sim_file_shm_unmap, sim_file_fetch, sim_file_unfetch},
    {3, SIM_VFS_METHODS_1, NULL, NULL, NULL, NULL, sim_file_fetch, sim_file_unfetch}};

/*---- the VFS ----*/

static inline int sim_vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                               int *out_flags) {
    sim_vfs_file *f = (sim_vfs_file *)file;
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_OPEN, NULL);
    (void)vfs;
    memset(f, 0, sizeof *f);
    f->real = (sqlite3_file *)(void *)(f + 1);
    f->path = path;
    f->open_flags = flags;
    (void)pthread_mutex_lock(&sim_vfs.lock);
    f->told = sim_vfs.log_syncs_failed;
    (void)pthread_mutex_unlock(&sim_vfs.lock);
    f->real->pMethods = NULL;
    e.file = path;
    e.open_flags = e.argument = flags;
    if (sim_vfs_passes(&e))
        e.result = sim_vfs.real->xOpen(sim_vfs.real, path, f->real, flags, out_flags);
    if (f->real->pMethods != NULL) {
        const int real = f->real->pMethods->iVersion;
        const int most = sim_vfs.max_version, version = most > 0 && most < real ? most : real;
        const int index = version <= 1                         ? 0
                          : f->real->pMethods->xShmMap == NULL ? 3
                          : version == 2                       ? 1
                                                               : 2;
        f->base.pMethods = &sim_vfs_methods[index];
        __atomic_fetch_add(&sim_vfs.open_files, 1, __ATOMIC_SEQ_CST);
    }
    return sim_vfs_after(&e);
}
static inline int sim_vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_directory) {
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_DELETE, NULL);
    (void)vfs;
    e.file = path;
    e.argument = sync_directory;
    if (sim_vfs_passes(&e)) {
        e.result =
            sim_vfs.real->xDelete(sim_vfs.real, path, sim_vfs.skip_sync ? 0 : sync_directory);
    }
    return sim_vfs_after(&e);
}
static inline int sim_vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *out) {
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_ACCESS, NULL);
    (void)vfs;
    e.file = path;
    e.argument = flags;
    if (sim_vfs_passes(&e)) e.result = sim_vfs.real->xAccess(sim_vfs.real, path, flags, out);
    return sim_vfs_after(&e);
}
static inline int sim_vfs_full_path(sqlite3_vfs *vfs, const char *path, int bytes, char *out) {
    sim_vfs_event e = sim_vfs_event_of(SIM_VFS_FULLPATH, NULL);
    (void)vfs;
    e.file = path;
    if (sim_vfs_passes(&e)) e.result = sim_vfs.real->xFullPathname(sim_vfs.real, path, bytes, out);
    return sim_vfs_after(&e);
}
static inline int sim_vfs_randomness(sqlite3_vfs *vfs, int bytes, char *out) {
    (void)vfs;
    return sim_vfs.real->xRandomness(sim_vfs.real, bytes, out);
}
static inline int sim_vfs_sleep(sqlite3_vfs *vfs, int microseconds) {
    (void)vfs;
    if (sim_vfs.skip_sleep) return microseconds;
    return sim_vfs.real->xSleep(sim_vfs.real, microseconds);
}
static inline int sim_vfs_current_time(sqlite3_vfs *vfs, double *out) {
    (void)vfs;
    return sim_vfs.real->xCurrentTime(sim_vfs.real, out);
}
static inline int sim_vfs_last_error(sqlite3_vfs *vfs, int bytes, char *out) {
    (void)vfs;
    return sim_vfs.real->xGetLastError == NULL
               ? 0
               : sim_vfs.real->xGetLastError(sim_vfs.real, bytes, out);
}
static inline int sim_vfs_current_time_64(sqlite3_vfs *vfs, sqlite3_int64 *out) {
    (void)vfs;
    return sim_vfs.real->xCurrentTimeInt64(sim_vfs.real, out);
}

/*  Registers "sim", not as the default: a pool names it in config.vfs_name. */
static inline int sim_vfs_install(void) {
    sqlite3_vfs *v = &sim_vfs.base;
    if (sim_vfs.real != NULL) return SQLITE_OK;
    sim_vfs.real = sqlite3_vfs_find(NULL);
    if (sim_vfs.real == NULL) return SQLITE_ERROR;
    memset(v, 0, sizeof *v);
    v->iVersion = sim_vfs.real->iVersion >= 2 ? 2 : 1;
    v->szOsFile = (int)sizeof(sim_vfs_file) + sim_vfs.real->szOsFile;
    v->mxPathname = sim_vfs.real->mxPathname;
    v->zName = "sim";
    v->xOpen = sim_vfs_open;
    v->xDelete = sim_vfs_delete;
    v->xAccess = sim_vfs_access;
    v->xFullPathname = sim_vfs_full_path;
    v->xRandomness = sim_vfs_randomness;
    v->xSleep = sim_vfs_sleep;
    v->xCurrentTime = sim_vfs_current_time;
    v->xGetLastError = sim_vfs_last_error;
    v->xCurrentTimeInt64 = sim_vfs_current_time_64;
    return sqlite3_vfs_register(v, 0);
}

/*  Starts numbering at 1 and arms one fault (at 0: none). */
static inline void sim_vfs_arm(sim_vfs_fault fault) {
    (void)pthread_mutex_lock(&sim_vfs.lock);
    sim_vfs.calls = 0;
    memset(sim_vfs.kind_calls, 0, sizeof sim_vfs.kind_calls);
    sim_vfs.faults = 0;
    sim_vfs.last_kind = SIM_VFS_ANY;
    sim_vfs.last_code = 0;
    sim_vfs.primaries = 0;
    sim_vfs.fault = fault;
    (void)pthread_mutex_unlock(&sim_vfs.lock);
}
static inline void sim_vfs_heal(void) {
    (void)pthread_mutex_lock(&sim_vfs.lock);
    sim_vfs.fault.at = 0;
    (void)pthread_mutex_unlock(&sim_vfs.lock);
}
static inline void sim_vfs_print_ring(void) {
    uint64_t i = sim_vfs.ring_count > SIM_VFS_RING ? sim_vfs.ring_count - SIM_VFS_RING : 0;
    printf("# sim/vfs seed=%llu: last calls:\n", (unsigned long long)sim_vfs.seed);
    for (; i < sim_vfs.ring_count; i++) {
        printf("#   %-14s %-20s -> %d\n", sim_vfs_kind_name(sim_vfs.ring[i % SIM_VFS_RING].kind),
               sim_vfs.ring[i % SIM_VFS_RING].file, sim_vfs.ring[i % SIM_VFS_RING].result);
    }
    fflush(stdout);
}

#endif
