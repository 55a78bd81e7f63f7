/*  sqlpool.h - a connection pool for SQLite in one file
    SPDX-License-Identifier: MIT OR Unlicense  */
/*==============================================================================
 * >>[D] DECLARATIONS                                                    (public)
 *============================================================================*/
#ifndef SQLPOOL_H
#define SQLPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQLPOOL_VERSION_MAJOR 0
#define SQLPOOL_VERSION_MINOR 1
#define SQLPOOL_VERSION_PATCH 0
/* 0xMMmmpp: what sqlpool_open() compares with the version the implementation was built as. */
#define SQLPOOL_VERSION \
    ((uint32_t)((SQLPOOL_VERSION_MAJOR << 16) | (SQLPOOL_VERSION_MINOR << 8) | SQLPOOL_VERSION_PATCH))

#if defined(__GNUC__) || defined(__clang__)
#define SQLPOOL__UNUSED __attribute__((unused))
#else
#define SQLPOOL__UNUSED
#endif

#ifndef SQLPOOL_API
#if defined(SQLPOOL_STATIC)
#define SQLPOOL_API static SQLPOOL__UNUSED
#elif defined(SQLPOOL_DLL) && defined(_WIN32) && defined(SQLPOOL_IMPLEMENTATION)
#define SQLPOOL_API __declspec(dllexport)
#elif defined(SQLPOOL_DLL) && defined(_WIN32)
#define SQLPOOL_API __declspec(dllimport)
#elif defined(SQLPOOL_DLL) && (defined(__GNUC__) || defined(__clang__))
#define SQLPOOL_API extern __attribute__((visibility("default")))
#else
#define SQLPOOL_API extern
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct sqlite3;
struct sqlite3_stmt;

/*------------------------------------------------------------------------------
 * >>[D1] results, errors, log items                                    (public)
 *----------------------------------------------------------------------------*/

/*  Every function that can fail returns an int: 0 is success, a positive value is SQLite's own
    (extended) result code, a negative value is one of these. The list makes the enum, the names
    and the texts, so that they cannot drift apart. */
#define SQLPOOL_RESULTS(X)                                                                        \
    X(OK, 0, "success")                                                                           \
    X(MISUSE, -1, "the call breaks a rule of the library; the message says which")                \
    X(CONFIG, -2, "the configuration is not valid; the message names each bad field")             \
    X(NOMEM, -3, "the allocator hook returned no memory")                                         \
    X(TIMEOUT, -4, "the deadline passed; the message says what was waited for and who holds it")  \
    X(CLOSED, -5, "the pool is closed or closing")                                                \
    X(CANCELLED, -6, "cancelled by sqlpool_conn_cancel() or sqlpool_cancel()")                    \
    X(FORKED, -7, "this process was forked from one that had the pool open; exec, or open later") \
    X(VERSION_MISMATCH, -8, "declarations and implementation are of different versions")          \
    X(WOULD_BLOCK, -9, "no connection is idle and the caller does not want to wait")              \
    X(DEADLOCK, -10, "waiting could never end: every holder waits for this pool as well")         \
    X(NOT_FOUND, -11, "the query gave no row")                                                    \
    X(EMPTY, -12, "the SQL text holds no statement")                                              \
    X(TRAILING, -13, "the SQL text holds more than one statement; use sqlpool_script()")          \
    X(ARGUMENTS, -14, "the arguments do not fit the statement's parameters")                      \
    X(REFUSED, -15, "the statement would change the connection; the message names the right call") \
    X(MOVED, -16, "the database file was moved, replaced or deleted; see sqlpool_recycle()")      \
    X(UNCLEAN, -17, "the connection came back with work open; the pool cleaned it up")            \
    X(ROLLED_BACK, -18, "SQLite ended the transaction after an earlier error")                    \
    X(UNSUPPORTED, -19, "this build, SQLite version or database cannot do that")                  \
    X(TOO_BIG, -20, "the buffered result passes its bound; nothing was changed")

#define SQLPOOL__RESULT_ENUM(name, value, text) SQLPOOL_##name = value,
typedef enum sqlpool_code { SQLPOOL_RESULTS(SQLPOOL__RESULT_ENUM) SQLPOOL__CODE_INT = 0x7fffffff } sqlpool_code;
#undef SQLPOOL__RESULT_ENUM

/*  What went wrong, in the caller's memory. Every call that takes one accepts NULL and fills it
    on success too (result 0, empty message). */
typedef struct sqlpool_error {
    int result;          /* what the call returned */
    int sqlite_code;     /* extended SQLite code behind it, or 0 */
    int os_code;         /* errno of the failing system call as SQLite saw it, or 0 */
    int sql_offset;      /* byte offset in the SQL text where the error starts, or -1 */
    int attempts;        /* how often the work was tried (1 = no retry) */
    int64_t waited_us;   /* slept between tries, microseconds */
    char message[1024];  /* one or more lines, NUL-terminated, control bytes replaced */
} sqlpool_error;

typedef enum sqlpool_level {
    SQLPOOL_LEVEL_DEBUG = 0,
    SQLPOOL_LEVEL_INFO = 1,
    SQLPOOL_LEVEL_WARNING = 2,
    SQLPOOL_LEVEL_ERROR = 3
} sqlpool_level;

/*  What a log line is about; the line itself has the detail. */
#define SQLPOOL_LOG_ITEMS(X)                                                                      \
    X(OPENED, "pool opened")                                                                      \
    X(CLOSED, "pool closed")                                                                      \
    X(FALLBACK, "a setting is not available here; the pool goes on without it")                   \
    X(SQLITE_VERSION, "the SQLite library has a known problem or differs from its header")        \
    X(OPEN_FAILED, "a connection could not be opened")                                            \
    X(CONNECTION_BAD, "a connection failed and is replaced")                                      \
    X(UNCLEAN, "a lease came back with a transaction or statement open")                          \
    X(LEAK, "a lease is out for longer than leak_report_ms")                                      \
    X(LEAK_ENDED, "a reported lease came back")                                                   \
    X(SATURATED, "a caller gave up waiting for a connection")                                     \
    X(NESTED, "a thread waits for a connection while it holds another")                           \
    X(MISUSE, "a call broke a rule of the library")                                               \
    X(MOVED, "the database file was moved, replaced or deleted")                                  \
    X(WAL_PINNED, "a checkpoint cannot finish because a reader holds old frames")                 \
    X(WAL_LIMIT, "the write-ahead log is above its limit")                                        \
    X(FOREIGN_KEYS, "the schema has a foreign key that cannot be enforced")                       \
    X(RETRY, "a statement or transaction is tried again")                                         \
    X(CHECKPOINT, "a checkpoint ran")

#define SQLPOOL__LOG_ENUM(name, text) SQLPOOL_LOG_##name,
typedef enum sqlpool_log_item { SQLPOOL_LOG_ITEMS(SQLPOOL__LOG_ENUM) SQLPOOL_LOG_ITEM_COUNT } sqlpool_log_item;
#undef SQLPOOL__LOG_ENUM

/*------------------------------------------------------------------------------
 * >>[D2] values and arguments                                          (public)
 *----------------------------------------------------------------------------*/

typedef enum sqlpool_type {
    SQLPOOL_TYPE_NULL = 0,
    SQLPOOL_TYPE_INT64 = 1,
    SQLPOOL_TYPE_DOUBLE = 2,
    SQLPOOL_TYPE_TEXT = 3,
    SQLPOOL_TYPE_BLOB = 4,
    SQLPOOL_TYPE_INVALID = 5 /* refused with SQLPOOL_ARGUMENTS: an unsigned above INT64_MAX */
} sqlpool_type;

/*  One SQL value. All zero is NULL. Text and blobs are borrowed: a call that finishes before it
    returns reads them in place, a cursor that outlives the call has copied them. */
typedef struct sqlpool_value {
    int type;    /* sqlpool_type */
    size_t size; /* bytes of text (without a terminator) or blob */
    union {
        int64_t integer;
        double real;
        const char *text; /* any bytes; need not end in NUL */
        const void *blob;
    } as;
} sqlpool_value;

/*------------------------------------------------------------------------------
 * >>[D3] hooks                                                         (public)
 *----------------------------------------------------------------------------*/

/*  Each table is all or none: every member set, or every member zero for the default. A table is
    copied at open; what `user` points at must live until sqlpool_close() has returned. Hooks may be
    called from any thread that uses the pool and from its upkeep thread. */

typedef struct sqlpool_allocator {
    void *user;
    void *(*alloc_fn)(void *user, size_t bytes); /* aligned for any type; NULL when there is none */
    void *(*resize_fn)(void *user, void *memory, size_t old_bytes, size_t new_bytes);
    void (*free_fn)(void *user, void *memory, size_t bytes); /* never called with NULL */
} sqlpool_allocator;

/*  Room for a mutex or a condition, in place: an implementation that needs more keeps a pointer in
    it. 128 bytes hold a pthread_mutex_t and a pthread_cond_t of every platform we know of. */
typedef struct sqlpool_mutex {
    uint64_t room[16];
} sqlpool_mutex;
typedef struct sqlpool_condition {
    uint64_t room[16];
} sqlpool_condition;

typedef struct sqlpool_locks {
    void *user;
    int (*mutex_init_fn)(void *user, sqlpool_mutex *mutex); /* 0 is success; never recursive */
    void (*mutex_destroy_fn)(void *user, sqlpool_mutex *mutex);
    void (*mutex_lock_fn)(void *user, sqlpool_mutex *mutex);
    void (*mutex_unlock_fn)(void *user, sqlpool_mutex *mutex);
    int (*condition_init_fn)(void *user, sqlpool_condition *condition);
    void (*condition_destroy_fn)(void *user, sqlpool_condition *condition);
    /* Waits until signalled or until timeout_ns from now passed (negative: no timeout). May wake
       for no reason. */
    void (*condition_wait_fn)(void *user, sqlpool_condition *condition, sqlpool_mutex *mutex,
                              int64_t timeout_ns);
    void (*condition_signal_fn)(void *user, sqlpool_condition *condition); /* wakes all waiters */
    uint64_t (*thread_id_fn)(void *user); /* unique among live threads, never 0 */
    int (*thread_create_fn)(void *user, void **thread, void (*run)(void *), void *argument);
    void (*thread_join_fn)(void *user, void *thread);
} sqlpool_locks;

typedef struct sqlpool_clock {
    void *user;
    int64_t (*now_ns_fn)(void *user); /* monotonic nanoseconds from any origin */
    void (*sleep_ns_fn)(void *user, int64_t duration_ns);
} sqlpool_clock;

typedef struct sqlpool_random {
    void *user;
    uint64_t (*next_fn)(void *user); /* 64 random bits */
} sqlpool_random;

/*  Log lines, one call each, never with a lock of the pool held. NULL: nothing is logged. */
typedef struct sqlpool_log {
    void *user;
    void (*write_fn)(void *user, sqlpool_level level, sqlpool_log_item item, const char *message);
} sqlpool_log;

/*  A lease on one connection, in the caller's memory. The members are private. A copy is as good as
    the original: what counts is the lease number, so a lease that was given back is known as such
    however many copies there are. */
typedef struct sqlpool_conn {
    struct sqlpool *pool;
    uint32_t pool_serial;
    uint32_t slot;
    uint64_t lease; /* 0: no lease */
} sqlpool_conn;

/*  Called as things happen, never with a lock of the pool held. Each member may be NULL.
    connect_fn runs once on every new connection before anyone gets it: the place for keys that need
    no earlier moment, functions, collations, ATTACH. A result other than 0 fails the opening. */
typedef struct sqlpool_events {
    void *user;
    int (*key_fn)(void *user, struct sqlite3 *db);            /* before anything else touches db */
    int (*connect_fn)(void *user, const sqlpool_conn *conn);  /* may use the lease's calls */
    void (*acquire_fn)(void *user, const sqlpool_conn *conn); /* explicit leases only */
    void (*release_fn)(void *user, const sqlpool_conn *conn); /* explicit leases only */
    void (*destroy_fn)(void *user, struct sqlite3 *db);       /* just before sqlite3_close() */
    void (*error_fn)(void *user, const sqlpool_error *error); /* a call is about to return an error */
    void (*retry_fn)(void *user, int attempt, int code, int64_t delay_us);
    void (*commit_fn)(void *user, uint64_t commits);          /* a write of this pool was committed */
} sqlpool_events;

/*------------------------------------------------------------------------------
 * >>[D4] configuration                                                 (public)
 *----------------------------------------------------------------------------*/

typedef struct sqlpool sqlpool;

typedef enum sqlpool_mode { SQLPOOL_READ = 0, SQLPOOL_WRITE = 1 } sqlpool_mode;

typedef enum sqlpool_topology {
    SQLPOOL_TOPOLOGY_WRITER_READERS = 0, /* one connection writes, the others are query_only */
    SQLPOOL_TOPOLOGY_GENERAL = 1         /* any connection may write; SQLite arbitrates */
} sqlpool_topology;

typedef enum sqlpool_journal {
    SQLPOOL_JOURNAL_WAL = 0,
    SQLPOOL_JOURNAL_DELETE = 1,
    SQLPOOL_JOURNAL_TRUNCATE = 2,
    SQLPOOL_JOURNAL_PERSIST = 3,
    SQLPOOL_JOURNAL_MEMORY = 4 /* no crash safety; what a :memory: database resolves to */
} sqlpool_journal;

typedef enum sqlpool_synchronous {
    SQLPOOL_SYNCHRONOUS_NORMAL = 0, /* in WAL: consistent after power loss, the last commits may go */
    SQLPOOL_SYNCHRONOUS_FULL = 1,   /* in WAL: every commit is on disk when it returns */
    SQLPOOL_SYNCHRONOUS_EXTRA = 2,
    SQLPOOL_SYNCHRONOUS_OFF = 3 /* a power loss may corrupt the file */
} sqlpool_synchronous;

typedef enum sqlpool_jitter {
    SQLPOOL_JITTER_FULL = 0, /* uniform in 0 .. delay */
    SQLPOOL_JITTER_EQUAL = 1, /* delay/2 plus uniform in 0 .. delay/2 */
    SQLPOOL_JITTER_NONE = 2
} sqlpool_jitter;

typedef enum sqlpool_priority { SQLPOOL_PRIORITY_NORMAL = 0, SQLPOOL_PRIORITY_CRITICAL = 1 } sqlpool_priority;

/*  Special values of times and counts. */
#define SQLPOOL_FOREVER (-1) /* a timeout: wait without a limit; elsewhere -1 switches off */
#define SQLPOOL_NO_WAIT (-2) /* a timeout: do not wait at all */
#define SQLPOOL_OFF (-1)

/*  All zero is a complete configuration: zero means "the default in brackets". Where "off" makes
    sense it is written SQLPOOL_OFF. sqlpool_open() checks every field and names all bad ones at
    once. Strings are copied. */
typedef struct sqlpool_config {
    uint32_t canary_start; /* 0; anything else is a struct that was not zeroed */

    const char *name;     /* for messages ["sqlpool"] */
    const char *vfs_name; /* SQLite VFS [the default one] */

    /* size */
    int min_connections;           /* kept open [2], 1 .. max */
    int max_connections;           /* one writer, the rest readers [10], 1 .. 1000; 1: one for all */
    int reserve_connections;       /* readers on top of max for peaks [1], OFF .. 100 */
    int reserve_threshold_percent; /* from this utilisation the reserve is open to all [80], 1 .. 101;
                                      101: critical callers only */
    int reserve_wait_ms;           /* a waiter this old may use the reserve as well [OFF] */
    int topology;                  /* sqlpool_topology [WRITER_READERS] */

    /* times, milliseconds unless named otherwise */
    int acquire_timeout_ms;      /* longest wait for a connection or lock [5000] */
    int statement_timeout_ms;    /* longest run of one statement [OFF] */
    int open_timeout_ms;         /* lock waits while a connection opens [5000] */
    int close_timeout_ms;        /* sqlpool_close() waits for leases [5000] */
    int open_retry_ms;           /* after a failed open the next try waits [200] */
    int barge_us;                /* a newcomer may pass the queue until its head is this old [2000];
                                    OFF: strict first come, first served */
    int idle_timeout_ms;         /* an idle connection above the minimum closes [30000] */
    int max_lifetime_ms;         /* a connection is replaced at this age [OFF] */
    int lifetime_jitter_percent; /* each lifetime is up to this much shorter [10], OFF .. 100 */
    int upkeep_interval_ms;      /* periodic work while connections are in use [1000] */
    int validate_after_ms;       /* unused for this long: checked before it is handed out [500] */
    int health_interval_ms;      /* an idle connection is checked this often [30000] */
    int leak_report_ms;          /* a lease out for this long is reported [60000] */
    int busy_poll_min_us;        /* locks of other processes are polled at random between [100] */
    int busy_poll_max_us;        /* and [1000] */

    /* retry of statements and transactions that SQLite asks to be tried again */
    int retry_attempts;           /* tries in all [5], 1 .. 100 */
    int retry_base_us;            /* first delay [1000] */
    int retry_cap_us;             /* longest delay [100000] */
    int retry_multiplier_percent; /* growth per try [200], 100 .. 1000 */
    int retry_jitter;             /* sqlpool_jitter [FULL] */

    /* statements */
    int statement_cache_count;      /* per connection [100], 1 .. 100000 */
    int64_t statement_cache_bytes;  /* per connection [4 MiB] */
    int64_t returning_bytes;        /* largest buffered result of INSERT ... RETURNING [1 MiB] */
    const char *const *warmup_sql;  /* prepared on every new connection it fits */
    int warmup_count;

    /* database */
    int journal;                      /* sqlpool_journal [WAL] */
    int synchronous;                  /* sqlpool_synchronous [NORMAL] */
    int page_cache_kib;               /* of the whole pool: a quarter the writer's [65536] */
    int64_t mmap_bytes;               /* memory-mapped reads [0: off] */
    int64_t journal_size_limit_bytes; /* a reset log is cut to this [64 MiB] */
    int64_t wal_budget_bytes;         /* a checkpoint follows the commit above this [4 MiB] */
    int64_t wal_limit_bytes;          /* above this a writer waits up to wal_wait_ms [64 MiB] */
    int wal_wait_ms;                  /* for readers to let the log start over [50] */
    bool read_only;                   /* open read-only */
    bool must_exist;                  /* do not create the file */
    bool enable_uri;                  /* path may be a file: URI */
    bool disable_foreign_keys;        /* foreign_keys stays off */

    /* safety */
    bool untrusted;                /* hostile files or SQL: tight limits, quick_check at open */
    bool disable_defensive;        /* SQLITE_DBCONFIG_DEFENSIVE stays off */
    bool enable_extension_loading; /* sqlite3_load_extension() from C works */

    /* operation */
    bool disable_upkeep_thread; /* the program calls sqlpool_tick() instead */
    bool pass_open_error;       /* a waiter gets a failed opening's error at once */

    sqlpool_allocator allocator;
    sqlpool_locks locks;
    sqlpool_clock clock;
    sqlpool_random random;
    sqlpool_log log;
    sqlpool_events events;

    uint32_t canary_end; /* 0 */
} sqlpool_config;

/*------------------------------------------------------------------------------
 * >>[D5] per-call options, cursors, statistics: the remaining types    (public)
 *----------------------------------------------------------------------------*/

/*  A flag that stops calls from another thread. Zero it, name it in sqlpool_call, and fire it with
    sqlpool_cancel(). It stays fired until zeroed. */
typedef struct sqlpool_token {
    uint32_t fired;
} sqlpool_token;

/*  Options of one call. All zero is the default. */
typedef struct sqlpool_call {
    int timeout_ms;       /* one deadline for waiting, locks and running
                             [waits: acquire_timeout_ms; running: statement_timeout_ms] */
    int attempts;         /* tries in all [retry_attempts] */
    int priority;         /* sqlpool_priority [NORMAL] */
    const char *tag;      /* who asks, for reports; kept by pointer: a string literal */
    sqlpool_token *token; /* cancels this call when fired; must outlive it */
} sqlpool_call;

/*  What a write did. */
typedef struct sqlpool_result {
    int64_t changes;        /* rows inserted, updated or deleted by the statement */
    int64_t last_insert_id; /* rowid of the last row this call inserted, else 0 */
} sqlpool_result;

/*  A cursor over rows, in the caller's memory; the members are private. Zeroed by the query call
    also when it fails, so that sqlpool_rows_close() is always allowed. */
typedef struct sqlpool_rows {
    sqlpool_conn conn;
    void *statement;  /* live cursor: the cached statement */
    void *buffer;     /* buffered cursor: the rows */
    uint64_t serial;  /* which use of the statement */
    int64_t position; /* rows read */
    int result;
    int column_count;
    uint32_t flags;
    uint32_t reserved;
    int64_t deadline_ns;
    sqlpool_token *token;
} sqlpool_rows;

/*  Work inside a transaction. Returning 0 commits; anything else rolls back and is returned by the
    call. attempt counts from 1: the function runs again from a fresh BEGIN when SQLite says that
    the whole transaction must restart, so what it does outside the database must bear repeating. */
typedef int (*sqlpool_transaction_fn)(sqlpool_conn *conn, void *user, int attempt);
typedef int (*sqlpool_exclusive_fn)(sqlpool_conn *conn, void *user);

/*  The caller's own handlers, run behind the pool's (see CHAINING in the manual). */
typedef struct sqlpool_chain {
    void *user;
    int (*authorizer_fn)(void *user, int action, const char *a, const char *b, const char *database,
                         const char *trigger);
    int (*progress_fn)(void *user); /* about every 1,000 virtual machine instructions */
    int (*busy_fn)(void *user, int count); /* 0 gives up; otherwise the pool goes on waiting */
    int (*commit_fn)(void *user);
    void (*rollback_fn)(void *user);
    void (*update_fn)(void *user, int action, const char *database, const char *table, int64_t rowid);
    int (*wal_fn)(void *user, struct sqlite3 *db, const char *database, int frames);
} sqlpool_chain;

/*  A lease that is out. */
typedef struct sqlpool_holder {
    uint32_t slot;
    int mode;             /* sqlpool_mode */
    uint64_t thread_id;   /* as the lock hook names it */
    int64_t held_ms;      /* held for at least this long, as far as the pool has looked */
    uint64_t wal_frames;  /* frames committed by this pool since the lease began */
    const char *file;     /* where it was acquired */
    int line;
    const char *tag;      /* or NULL */
    char sql[120];        /* what it runs or ran last, cut to fit; empty if nothing yet */
} sqlpool_holder;

/*  Counters since open; the list makes the struct members and the status texts. */
#define SQLPOOL_COUNTERS(X)                                                     \
    X(acquires, "leases given out")                                             \
    X(waits, "acquires that had to wait")                                       \
    X(timeouts, "acquires that gave up")                                        \
    X(opens, "connections opened")                                              \
    X(open_failures, "openings that failed")                                    \
    X(closed_idle, "closed after idle_timeout_ms")                              \
    X(closed_lifetime, "closed after max_lifetime_ms")                          \
    X(closed_bad, "closed because they failed")                                 \
    X(closed_recycled, "closed by sqlpool_recycle()")                           \
    X(statements, "statements run")                                             \
    X(cache_hits, "statements found prepared")                                  \
    X(cache_misses, "statements prepared")                                      \
    X(cache_evictions, "statements dropped from a full cache")                  \
    X(retries, "statements and transactions tried again")                       \
    X(busy_waits, "sleeps for a lock of another connection or process")         \
    X(commits, "write transactions committed")                                  \
    X(cancellations, "calls cancelled")                                         \
    X(expirations, "statements stopped by their deadline")                      \
    X(unclean, "leases that came back with work open")                          \
    X(leaks, "leases reported as leaked")                                       \
    X(misuses, "calls that broke a rule")                                       \
    X(checkpoints, "checkpoints run")                                           \
    X(checkpoints_pinned, "checkpoints that a reader kept from finishing")      \
    X(wal_waits, "writes that waited for the log to start over")

typedef struct sqlpool_stats {
    int min, max;            /* as configured, without the reserve */
    int open;                /* connections open */
    int used;                /* connections leased */
    int idle;                /* connections open and free */
    int waiting_read;        /* callers waiting for a reader */
    int waiting_write;       /* callers waiting for the writer */
    int utilisation_percent; /* used of max */
    int64_t wal_frames;      /* frames in the log after this pool's last commit */
    int64_t wal_bytes;       /* the same in bytes */
    int64_t memory_bytes;    /* held from the allocator hook now */
    int64_t allocations;     /* made through the allocator hook so far */
#define SQLPOOL__COUNTER_MEMBER(name, text) uint64_t name;
    SQLPOOL_COUNTERS(SQLPOOL__COUNTER_MEMBER)
#undef SQLPOOL__COUNTER_MEMBER
} sqlpool_stats;

/*  What a checkpoint did. */
typedef struct sqlpool_checkpoint_result {
    int log_frames;         /* frames in the log, -1 without a log */
    int checkpointed_frames; /* of these in the database file now */
} sqlpool_checkpoint_result;

typedef enum sqlpool_checkpoint_mode {
    SQLPOOL_CHECKPOINT_PASSIVE = 0, /* as far as readers allow */
    SQLPOOL_CHECKPOINT_TRUNCATE = 1 /* all of it, and cut the log to nothing; only when this pool is
                                       alone on the file and no reader is out */
} sqlpool_checkpoint_mode;

/*------------------------------------------------------------------------------
 * >>[D6] life of a pool                                                (public)
 *----------------------------------------------------------------------------*/

/*  Every prototype below is preceded by a sheet: what it does, its parameters, then always
    Returns, Owner, Threads, Cost, SQLite (the document behind it) and See, where they say something.
    "any error" is a positive SQLite code, or one of TIMEOUT, CLOSED, CANCELLED, FORKED, MOVED, NOMEM,
    MISUSE. `error` may be NULL everywhere. Functions named _at take the call site as their first two
    parameters; the macro of the same name fills them in, bindings call them directly. */

/*  sqlpool_config_default - the all-zero configuration, for languages without `{0}`.
    Returns  a sqlpool_config that means "all defaults"
    Threads  any  */
SQLPOOL_API sqlpool_config sqlpool_config_default(void);

/*  sqlpool_config_check - check a configuration without opening anything.
    config   [in]       NULL means all defaults
    error    [out,opt]  names every bad field with its value and the allowed range
    Returns  SQLPOOL_OK; SQLPOOL_CONFIG
    Threads  any
    See      sqlpool_open  */
SQLPOOL_API int sqlpool_config_check(const sqlpool_config *config, sqlpool_error *error);

/*  sqlpool_open - open a database and min_connections connections to it.
    Creates the file unless must_exist or read_only is set. ":memory:" is one database shared by the
    connections of this pool; it vanishes with the pool.
    pool     [out]      the pool, NULL on any error
    path     [in]       file name in UTF-8, or ":memory:"
    config   [in,opt]   NULL means all defaults; copied
    error    [out,opt]  detail
    Returns  SQLPOOL_OK; SQLPOOL_CONFIG; SQLPOOL_VERSION_MISMATCH; SQLPOOL_FORKED; SQLPOOL_NOMEM;
             SQLITE_CANTOPEN, SQLITE_NOTADB, SQLITE_BUSY and any other error of opening
    Owner    the caller; give it back with sqlpool_close()
    Threads  any; blocks for file I/O
    Cost     a file open, schema load and a dozen PRAGMAs for each connection
    SQLite   sqlite.org/c3ref/open.html, sqlite.org/wal.html
    See      sqlpool_close, sqlpool_config_resolved  */
#define sqlpool_open(pool, path, config, error) \
    sqlpool_open_at(SQLPOOL_VERSION, sizeof(sqlpool_config), (pool), (path), (config), (error))
SQLPOOL_API int sqlpool_open_at(uint32_t version, size_t config_bytes, sqlpool **pool, const char *path,
                                const sqlpool_config *config, sqlpool_error *error);

/*  sqlpool_close - refuse new work, wait for leases, checkpoint, close, free.
    From the first moment every other call on the pool returns SQLPOOL_CLOSED and waiters wake with
    it. When leases are still out after close_timeout_ms the pool stays closed to new work, the error
    names the holders, and sqlpool_close() may be called again once they are back.
    Returns  SQLPOOL_OK; SQLPOOL_TIMEOUT with holders; SQLPOOL_MISUSE when this thread holds a lease;
             SQLPOOL_CLOSED when it is closed already; SQLPOOL_FORKED
    Owner    after SQLPOOL_OK the memory is gone; later calls with the handle return SQLPOOL_CLOSED
             until the handle is used again by the 64th later sqlpool_open()
    Threads  any, also beside running calls; not beside calls that are only just being entered
    Cost     the last connection's close writes the log back into the database
    SQLite   sqlite.org/c3ref/close.html  */
SQLPOOL_API int sqlpool_close(sqlpool *pool, sqlpool_error *error);

/*  sqlpool_config_resolved - the configuration in effect: no zeros, what was not granted as it is.
    out      [out]      strings in it live as long as the pool
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE; SQLPOOL_CLOSED; SQLPOOL_FORKED
    Threads  any  */
SQLPOOL_API int sqlpool_config_resolved(sqlpool *pool, sqlpool_config *out);

/*  sqlpool_tick - do periodic work that is due: checkpoints, idle and aged connections, checks,
    leak reports, deadlines of running statements.
    Only needed with disable_upkeep_thread or SQLPOOL_NO_THREADS; harmless otherwise.
    budget_us [in]      start no further task after this many microseconds; 0: one task at most
    Returns  SQLPOOL_OK; SQLPOOL_CLOSED; SQLPOOL_FORKED; SQLPOOL_MISUSE
    Threads  any; a second caller returns at once while one is inside
    Cost     a few clock calls when nothing is due  */
SQLPOOL_API int sqlpool_tick(sqlpool *pool, int budget_us);

/*------------------------------------------------------------------------------
 * >>[D7] one call                                                      (public)
 *----------------------------------------------------------------------------*/

/*  sqlpool_exec - run one statement and throw away its rows.
    The pool sends a statement that only reads to a reader, any other to the writer, in a transaction
    of its own.
    sql      [in]       one statement, NUL-terminated, UTF-8
    args, count [in]    values for its parameters in order: SQLPOOL_ARGS(...), SQLPOOL_NO_ARGS, or an
                        array and its length
    Returns  SQLPOOL_OK; SQLPOOL_EMPTY, SQLPOOL_TRAILING, SQLPOOL_ARGUMENTS, SQLPOOL_REFUSED; any error
    Threads  any; not from a hook; SQLPOOL_MISUSE on a thread that holds the writer
    Cost     no allocation by the library once the statement is cached
    SQLite   sqlite.org/c3ref/step.html
    See      sqlpool_exec_with, sqlpool_conn_exec  */
#define sqlpool_exec(pool, ...) sqlpool_exec_at(__FILE__, __LINE__, (pool), NULL, NULL, __VA_ARGS__)
/*  sqlpool_exec_with - the same with options and the result of the write.
    sqlpool_exec_with(pool, call, result, sql, args, count, error)
    call     [in,opt]   timeout, attempts, priority, tag, token
    result   [out,opt]  rows changed and last rowid
    See      sqlpool_exec  */
#define sqlpool_exec_with(pool, ...) sqlpool_exec_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
SQLPOOL_API int sqlpool_exec_at(const char *file, int line, sqlpool *pool, const sqlpool_call *call,
                                sqlpool_result *result, const char *sql, const sqlpool_value *args,
                                int count, sqlpool_error *error);

/*  sqlpool_query - run one statement and walk its rows.
    Rows of a reading statement stream: memory does not grow with their number, and the connection is
    the cursor's until the last row was read or sqlpool_rows_close(). Rows of a writing statement
    (RETURNING) are buffered up to returning_bytes and handed out after COMMIT.
    rows     [out]      the cursor; close it whatever this call returned
    sql, args, count    as for sqlpool_exec(); text and blobs are copied
    Returns  as sqlpool_exec(); SQLPOOL_TOO_BIG
    Threads  as sqlpool_exec(); the cursor belongs to this thread
    See      sqlpool_rows_next, sqlpool_rows_close  */
#define sqlpool_query(pool, ...) sqlpool_query_at(__FILE__, __LINE__, (pool), NULL, __VA_ARGS__)
/*  sqlpool_query_with - the same with options: sqlpool_query_with(pool, call, rows, sql, args, count,
    error). call->timeout_ms bounds the whole walk. */
#define sqlpool_query_with(pool, ...) sqlpool_query_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
SQLPOOL_API int sqlpool_query_at(const char *file, int line, sqlpool *pool, const sqlpool_call *call,
                                 sqlpool_rows *rows, const char *sql, const sqlpool_value *args,
                                 int count, sqlpool_error *error);

/*  sqlpool_query_int64, _double, _text - the first column of the first row.
    sqlpool_query_int64(pool, value, sql, args, count, error)
    sqlpool_query_double(pool, value, sql, args, count, error)
    sqlpool_query_text(pool, buffer, buffer_bytes, sql, args, count, error)
    value    [out]      converted as SQLite converts; 0 on any error
    buffer   [out]      NUL-terminated; cut between UTF-8 characters when it does not fit
    Returns  as sqlpool_query(); SQLPOOL_NOT_FOUND when there is no row; SQLPOOL_TOO_BIG when text was cut
    Threads  as sqlpool_exec()  */
#define sqlpool_query_int64(pool, ...) sqlpool_query_int64_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
#define sqlpool_query_double(pool, ...) sqlpool_query_double_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
#define sqlpool_query_text(pool, ...) sqlpool_query_text_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
SQLPOOL_API int sqlpool_query_int64_at(const char *file, int line, sqlpool *pool, int64_t *value,
                                       const char *sql, const sqlpool_value *args, int count,
                                       sqlpool_error *error);
SQLPOOL_API int sqlpool_query_double_at(const char *file, int line, sqlpool *pool, double *value,
                                        const char *sql, const sqlpool_value *args, int count,
                                        sqlpool_error *error);
SQLPOOL_API int sqlpool_query_text_at(const char *file, int line, sqlpool *pool, char *buffer,
                                      size_t buffer_bytes, const char *sql, const sqlpool_value *args,
                                      int count, sqlpool_error *error);

/*  sqlpool_script - run many statements in one write transaction: all of them or none.
    sqlpool_script(pool, sql, bytes, error)
    sql      [in]       statements separated by semicolons; no BEGIN, COMMIT or parameters
    bytes    [in]       length of the text, or -1 for NUL-terminated
    error    [out,opt]  sql_offset is the byte where the failing statement or token starts
    Returns  SQLPOOL_OK, also for an empty script; SQLPOOL_REFUSED; SQLPOOL_MISUSE for a NUL inside;
             any error
    Threads  as sqlpool_exec()  */
#define sqlpool_script(pool, ...) sqlpool_script_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
SQLPOOL_API int sqlpool_script_at(const char *file, int line, sqlpool *pool, const char *sql,
                                  int64_t bytes, sqlpool_error *error);

/*  sqlpool_rows_next - step to the next row.
    Returns  true: a row is there; false: no more, or an error, which sqlpool_rows_close() tells
    Threads  the thread that made the query
    Cost     one sqlite3_step(); at the end the connection goes back by itself  */
SQLPOOL_API bool sqlpool_rows_next(sqlpool_rows *rows);

/*  sqlpool_rows_close - end the cursor, give its connection back, tell how the walk went.
    Returns  SQLPOOL_OK; what stopped the walk; a second close returns the same again
    Threads  the thread that made the query  */
SQLPOOL_API int sqlpool_rows_close(sqlpool_rows *rows, sqlpool_error *error);

/*  sqlpool_rows_int64, _double, _text, _blob, _bytes, _type, _is_null, _value - a column of the row.
    column   [in]       from 0
    Returns  the value, converted as SQLite converts; 0, 0.0 or NULL when there is no row or no such
             column; _bytes is the length of _text or _blob, whichever was asked last
    Owner    text and blobs live until the next call of sqlpool_rows_next() or _close()
    SQLite   sqlite.org/c3ref/column_blob.html  */
SQLPOOL_API int64_t sqlpool_rows_int64(sqlpool_rows *rows, int column);
SQLPOOL_API double sqlpool_rows_double(sqlpool_rows *rows, int column);
SQLPOOL_API const char *sqlpool_rows_text(sqlpool_rows *rows, int column);
SQLPOOL_API const void *sqlpool_rows_blob(sqlpool_rows *rows, int column);
SQLPOOL_API size_t sqlpool_rows_bytes(sqlpool_rows *rows, int column);
SQLPOOL_API sqlpool_type sqlpool_rows_type(sqlpool_rows *rows, int column);
SQLPOOL_API bool sqlpool_rows_is_null(sqlpool_rows *rows, int column);
SQLPOOL_API sqlpool_value sqlpool_rows_value(sqlpool_rows *rows, int column);

/*  sqlpool_rows_column_count, _name - shape of the result, known after the query call.
    Returns  0 or NULL when the cursor is closed; the name lives until the cursor ends  */
SQLPOOL_API int sqlpool_rows_column_count(sqlpool_rows *rows);
SQLPOOL_API const char *sqlpool_rows_name(sqlpool_rows *rows, int column);

/*------------------------------------------------------------------------------
 * >>[D8] leases                                                        (public)
 *----------------------------------------------------------------------------*/

/*  sqlpool_conn_acquire - borrow a connection: sqlpool_conn_acquire(pool, mode, conn, error).
    Takes an idle connection, opens one more while the pool may grow, or waits: first come, first
    served once the oldest waiter is older than barge_us.
    mode     [in]       SQLPOOL_READ: a connection that cannot write; SQLPOOL_WRITE: the writer
    conn     [out]      the lease; zeroed on any error
    Returns  SQLPOOL_OK; SQLPOOL_TIMEOUT with the list of holders; SQLPOOL_DEADLOCK; SQLPOOL_MISUSE
             when this thread holds what it asks for; any error
    Owner    the pool keeps the connection; give it back with sqlpool_conn_release()
    Threads  any; may block; the lease belongs to this thread until sqlpool_conn_adopt()
    Cost     one compare-and-swap when a connection is idle; no allocation
    See      sqlpool_conn_release, sqlpool_conn_acquire_with  */
#define sqlpool_conn_acquire(pool, mode, conn, error) \
    sqlpool_conn_acquire_at(__FILE__, __LINE__, (pool), (mode), NULL, (conn), (error))
/*  sqlpool_conn_acquire_with - the same with options. call->timeout_ms bounds the wait; SQLPOOL_NO_WAIT
    gives SQLPOOL_WOULD_BLOCK when none is idle and the pool may not grow. */
#define sqlpool_conn_acquire_with(pool, mode, call, conn, error) \
    sqlpool_conn_acquire_at(__FILE__, __LINE__, (pool), (mode), (call), (conn), (error))
SQLPOOL_API int sqlpool_conn_acquire_at(const char *file, int line, sqlpool *pool, sqlpool_mode mode,
                                        const sqlpool_call *call, sqlpool_conn *conn,
                                        sqlpool_error *error);

/*  sqlpool_conn_release - give a lease back.
    Open cursors are closed, statements reset, an open transaction is rolled back.
    Returns  SQLPOOL_OK; SQLPOOL_UNCLEAN when there was something to clean up (it is back all the
             same); SQLPOOL_MISUSE for a lease that is not out, or another thread's; SQLPOOL_CLOSED
             after the pool is gone
    Threads  the owner
    Cost     one atomic exchange when nothing was left open and nobody waits  */
SQLPOOL_API int sqlpool_conn_release(sqlpool_conn *conn);

/*  sqlpool_conn_adopt - make the calling thread the lease's owner, after a hand-over that the program
    itself ordered (a queue, a join).
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE
    Threads  the new owner, while the old one no longer uses it  */
SQLPOOL_API int sqlpool_conn_adopt(sqlpool_conn *conn);

/*  sqlpool_conn_cancel - stop what a lease runs, from any thread.
    The running statement and every later one of this lease return SQLPOOL_CANCELLED; rollback and
    release still work. It never touches the connection's next user. COMMIT and fsync run to their end.
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE when the lease is not out
    Threads  any; pass a copy of the lease
    SQLite   sqlite.org/c3ref/interrupt.html  */
SQLPOOL_API int sqlpool_conn_cancel(sqlpool_conn conn);

/*  sqlpool_conn_set_timeout - from now on everything on this lease ends within timeout_ms.
    timeout_ms [in]     milliseconds from now; SQLPOOL_FOREVER lifts the limit
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE
    Threads  the owner  */
SQLPOOL_API int sqlpool_conn_set_timeout(sqlpool_conn *conn, int timeout_ms);

/*  sqlpool_conn_exec, _query, _script - as the calls on the pool, on this lease and in its transaction.
    Returns  as sqlpool_exec(), sqlpool_query(), sqlpool_script(); SQLPOOL_ROLLED_BACK after SQLite has
             ended the lease's transaction by itself
    Threads  the owner  */
SQLPOOL_API int sqlpool_conn_exec(sqlpool_conn *conn, const char *sql, const sqlpool_value *args,
                                  int count, sqlpool_result *result, sqlpool_error *error);
SQLPOOL_API int sqlpool_conn_query(sqlpool_conn *conn, sqlpool_rows *rows, const char *sql,
                                   const sqlpool_value *args, int count, sqlpool_error *error);
SQLPOOL_API int sqlpool_conn_script(sqlpool_conn *conn, const char *sql, int64_t bytes,
                                    sqlpool_error *error);

/*  sqlpool_conn_stmt - a prepared statement from the connection's cache, reset and unbound.
    Step it with sqlite3_step(). It is taken out of the cache: asking again for the same text before
    sqlpool_conn_stmt_release() prepares another.
    statement [out]     NULL on any error
    Returns  as sqlpool_exec() without running anything
    Owner    the lease; never finalize it
    Threads  the owner
    Cost     about a hash lookup when cached
    SQLite   sqlite.org/c3ref/prepare.html  */
SQLPOOL_API int sqlpool_conn_stmt(sqlpool_conn *conn, const char *sql, struct sqlite3_stmt **statement,
                                  sqlpool_error *error);

/*  sqlpool_conn_stmt_release - put a statement back into the cache before the lease ends.
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE when it is not one of this lease
    Threads  the owner  */
SQLPOOL_API int sqlpool_conn_stmt_release(sqlpool_conn *conn, struct sqlite3_stmt *statement);

/*  sqlpool_conn_db - the connection itself, for what the library does not wrap.
    From here to the release the refusals are off, and the release checks everything: transaction,
    statements, blobs, handlers, PRAGMAs. See WHAT THE POOL OCCUPIES in the manual.
    Returns  the handle; NULL when the lease is not out
    Owner    the pool; never close it
    Threads  the owner
    Cost     the release becomes some microseconds slower  */
SQLPOOL_API struct sqlite3 *sqlpool_conn_db(sqlpool_conn *conn);

/*  sqlpool_conn_chain - run the caller's handlers behind the pool's on this connection.
    From events.connect_fn: for the connection's life. On a lease: until its release. NULL removes.
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE
    Owner    the table is copied; what `user` points at must live as long as it is set
    Threads  the owner  */
SQLPOOL_API int sqlpool_conn_chain(sqlpool_conn *conn, const sqlpool_chain *chain);

/*------------------------------------------------------------------------------
 * >>[D9] transactions                                                  (public)
 *----------------------------------------------------------------------------*/

/*  sqlpool_transaction - run fn in a transaction: sqlpool_transaction(pool, mode, fn, user, error).
    SQLPOOL_WRITE begins IMMEDIATE on the writer, SQLPOOL_READ gives one consistent image on a reader.
    fn's 0 commits, anything else rolls back. When SQLite says that the whole transaction must restart,
    fn runs again, up to retry_attempts times within the deadline.
    Returns  what fn returned; SQLPOOL_ROLLED_BACK; any error of BEGIN or COMMIT
    Threads  as sqlpool_exec(); fn runs on the calling thread
    Cost     BEGIN, COMMIT and the fsync that synchronous asks for
    SQLite   sqlite.org/lang_transaction.html
    See      sqlpool_conn_transaction for nesting  */
#define sqlpool_transaction(pool, ...) \
    sqlpool_transaction_at(__FILE__, __LINE__, (pool), NULL, __VA_ARGS__)
/*  sqlpool_transaction_with - the same with options: (pool, call, mode, fn, user, error). */
#define sqlpool_transaction_with(pool, ...) \
    sqlpool_transaction_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
SQLPOOL_API int sqlpool_transaction_at(const char *file, int line, sqlpool *pool,
                                       const sqlpool_call *call, sqlpool_mode mode,
                                       sqlpool_transaction_fn fn, void *user, sqlpool_error *error);

/*  sqlpool_conn_transaction - the same on a lease; inside a transaction it is a savepoint, and what
    must restart then is left to the outermost one.
    Returns  as sqlpool_transaction()
    Threads  the owner  */
SQLPOOL_API int sqlpool_conn_transaction(sqlpool_conn *conn, sqlpool_transaction_fn fn, void *user,
                                         sqlpool_error *error);

/*  sqlpool_conn_begin, _commit, _rollback - the same by hand. A begin inside a transaction sets a
    savepoint; commit and rollback end the innermost level.
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE without a begin; SQLPOOL_ROLLED_BACK when SQLite has ended the
             transaction; any error. A commit that failed leaves the transaction open: roll back, or
             mend what it complained of and commit again
    Threads  the owner  */
SQLPOOL_API int sqlpool_conn_begin(sqlpool_conn *conn, sqlpool_error *error);
SQLPOOL_API int sqlpool_conn_commit(sqlpool_conn *conn, sqlpool_error *error);
SQLPOOL_API int sqlpool_conn_rollback(sqlpool_conn *conn, sqlpool_error *error);

/*------------------------------------------------------------------------------
 * >>[D10] control                                                      (public)
 *----------------------------------------------------------------------------*/

/*  sqlpool_cancel - fire a token: every call that names it returns SQLPOOL_CANCELLED.
    Waiting calls wake at once, running statements stop as with sqlpool_conn_cancel().
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE; SQLPOOL_CLOSED; SQLPOOL_FORKED
    Threads  any  */
SQLPOOL_API int sqlpool_cancel(sqlpool *pool, sqlpool_token *token);

/*  sqlpool_pause - hold back new acquires (they wait) until sqlpool_resume(), and wait for all leases.
    timeout_ms [in]     0: close_timeout_ms; on SQLPOOL_TIMEOUT the pool runs on as if never paused
    Returns  SQLPOOL_OK; SQLPOOL_TIMEOUT with holders; SQLPOOL_MISUSE when paused already or when this
             thread holds a lease; SQLPOOL_CLOSED; SQLPOOL_FORKED
    Threads  any
    See      sqlpool_exclusive  */
SQLPOOL_API int sqlpool_pause(sqlpool *pool, int timeout_ms, sqlpool_error *error);
/*  sqlpool_resume - end a pause. Returns SQLPOOL_OK; SQLPOOL_MISUSE when not paused. */
SQLPOOL_API int sqlpool_resume(sqlpool *pool);

/*  sqlpool_exclusive - run fn with the writer while no other lease is out and none is given.
    Returns  what fn returned; otherwise as sqlpool_pause()
    Threads  any; fn runs on the calling thread and must not call the pool, only the lease  */
SQLPOOL_API int sqlpool_exclusive(sqlpool *pool, int timeout_ms, sqlpool_exclusive_fn fn, void *user,
                                  sqlpool_error *error);

/*  sqlpool_recycle - replace every connection: idle ones at their next use, leased ones at release.
    Also ends the SQLPOOL_MOVED state: from here on the file now at the path is used.
    Returns  SQLPOOL_OK; SQLPOOL_UNSUPPORTED for a :memory: database; SQLPOOL_MISUSE; SQLPOOL_CLOSED;
             SQLPOOL_FORKED
    Threads  any  */
SQLPOOL_API int sqlpool_recycle(sqlpool *pool);

/*  sqlpool_checkpoint - write the log back into the database file now.
    Waits for the writer's turn, so that no commit runs beside it in any process.
    result   [out,opt]  frames in the log and frames written back
    Returns  SQLPOOL_OK, also when readers kept it from finishing (compare the two numbers);
             SQLPOOL_TIMEOUT; SQLITE_BUSY when TRUNCATE finds another process or a reader on the file;
             SQLPOOL_UNSUPPORTED without a WAL; any error
    Threads  any; SQLPOOL_MISUSE on a thread that holds the writer
    SQLite   sqlite.org/c3ref/wal_checkpoint_v2.html  */
SQLPOOL_API int sqlpool_checkpoint(sqlpool *pool, sqlpool_checkpoint_mode mode,
                                   sqlpool_checkpoint_result *result, sqlpool_error *error);

/*------------------------------------------------------------------------------
 * >>[D11] looking in                                                   (public)
 *----------------------------------------------------------------------------*/

/*  sqlpool_get_stats - counters and gauges. Counters of running threads may be a moment old.
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE; SQLPOOL_CLOSED; SQLPOOL_FORKED
    Threads  any; never blocks an acquire  */
SQLPOOL_API int sqlpool_get_stats(sqlpool *pool, sqlpool_stats *stats);

/*  sqlpool_holders - the leases that are out, those held longest first.
    holders  [out]      room for `capacity` entries
    Returns  how many are out (may be more than capacity), or a negative result
    Threads  any  */
SQLPOOL_API int sqlpool_holders(sqlpool *pool, sqlpool_holder *holders, int capacity);

/*  sqlpool_status_text, sqlpool_status_json - the pool on one page: size, waits, holders, log, caches.
    buffer   [out]      NUL-terminated, cut to fit
    Returns  the bytes the whole text needs without the terminator, or a negative result
    Threads  any  */
SQLPOOL_API int sqlpool_status_text(sqlpool *pool, char *buffer, size_t buffer_bytes);
SQLPOOL_API int sqlpool_status_json(sqlpool *pool, char *buffer, size_t buffer_bytes);

/*  sqlpool_result_name, sqlpool_result_text - "SQLPOOL_TIMEOUT" or "SQLITE_BUSY", and what it means.
    Returns  a static string, never NULL
    Threads  any  */
SQLPOOL_API const char *sqlpool_result_name(int result);
SQLPOOL_API const char *sqlpool_result_text(int result);

/*------------------------------------------------------------------------------
 * >>[D12] building arguments in C                                      (public)
 *----------------------------------------------------------------------------*/

static SQLPOOL__UNUSED sqlpool_value sqlpool_value_null(const void *ignored) {
    sqlpool_value v;
    (void)ignored;
    v.type = SQLPOOL_TYPE_NULL;
    v.size = 0;
    v.as.integer = 0;
    return v;
}
static SQLPOOL__UNUSED sqlpool_value sqlpool_value_int64(int64_t integer) {
    sqlpool_value v;
    v.type = SQLPOOL_TYPE_INT64;
    v.size = 0;
    v.as.integer = integer;
    return v;
}
static SQLPOOL__UNUSED sqlpool_value sqlpool_value_uint64(uint64_t integer) {
    sqlpool_value v = sqlpool_value_int64((int64_t)(integer & INT64_MAX));
    if (integer > (uint64_t)INT64_MAX) v.type = SQLPOOL_TYPE_INVALID;
    return v;
}
static SQLPOOL__UNUSED sqlpool_value sqlpool_value_double(double real) {
    sqlpool_value v;
    v.type = SQLPOOL_TYPE_DOUBLE;
    v.size = 0;
    v.as.real = real;
    return v;
}
static SQLPOOL__UNUSED sqlpool_value sqlpool_value_text_n(const char *text, size_t bytes) {
    sqlpool_value v = sqlpool_value_null(NULL);
    if (text != NULL) {
        v.type = SQLPOOL_TYPE_TEXT;
        v.size = bytes;
        v.as.text = text;
    }
    return v;
}
static SQLPOOL__UNUSED sqlpool_value sqlpool_value_text(const char *text) {
    size_t bytes = 0;
    if (text != NULL) {
        while (text[bytes] != '\0') bytes++;
    }
    return sqlpool_value_text_n(text, bytes);
}
static SQLPOOL__UNUSED sqlpool_value sqlpool_value_blob(const void *blob, size_t bytes) {
    sqlpool_value v = sqlpool_value_null(NULL);
    if (blob != NULL || bytes == 0) {
        v.type = SQLPOOL_TYPE_BLOB;
        v.size = bytes;
        v.as.blob = blob;
    }
    return v;
}
static SQLPOOL__UNUSED sqlpool_value sqlpool_value_same(sqlpool_value value) {
    return value;
}

#ifdef __cplusplus
} /* extern "C" */
#endif

/*  SQLPOOL_ARGS(1, "two", 3.0) stands for an array of values and its length, two arguments of a call;
    up to 16 values of any arithmetic type, string, sqlpool_value or NULL pointer. */
#define SQLPOOL_NO_ARGS NULL, 0
#define SQLPOOL_NULL sqlpool_value_null(NULL)
#define SQLPOOL_TEXT(text, bytes) sqlpool_value_text_n((text), (bytes))
#define SQLPOOL_BLOB(blob, bytes) sqlpool_value_blob((blob), (bytes))

#if !defined(__cplusplus) && defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define SQLPOOL_VALUE(x)                       \
    _Generic((x),                              \
        _Bool: sqlpool_value_int64,            \
        char: sqlpool_value_int64,             \
        signed char: sqlpool_value_int64,      \
        unsigned char: sqlpool_value_int64,    \
        short: sqlpool_value_int64,            \
        unsigned short: sqlpool_value_int64,   \
        int: sqlpool_value_int64,              \
        unsigned int: sqlpool_value_int64,     \
        long: sqlpool_value_int64,             \
        long long: sqlpool_value_int64,        \
        unsigned long: sqlpool_value_uint64,   \
        unsigned long long: sqlpool_value_uint64, \
        float: sqlpool_value_double,           \
        double: sqlpool_value_double,          \
        char *: sqlpool_value_text,            \
        const char *: sqlpool_value_text,      \
        void *: sqlpool_value_null,            \
        sqlpool_value: sqlpool_value_same)(x)

#define SQLPOOL__COUNT(...) SQLPOOL__COUNT_16(__VA_ARGS__, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define SQLPOOL__COUNT_16(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, count, ...) count
#define SQLPOOL__JOIN(a, b) SQLPOOL__JOIN_(a, b)
#define SQLPOOL__JOIN_(a, b) a##b
#define SQLPOOL__EACH_1(x) SQLPOOL_VALUE(x)
#define SQLPOOL__EACH_2(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_1(__VA_ARGS__)
#define SQLPOOL__EACH_3(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_2(__VA_ARGS__)
#define SQLPOOL__EACH_4(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_3(__VA_ARGS__)
#define SQLPOOL__EACH_5(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_4(__VA_ARGS__)
#define SQLPOOL__EACH_6(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_5(__VA_ARGS__)
#define SQLPOOL__EACH_7(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_6(__VA_ARGS__)
#define SQLPOOL__EACH_8(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_7(__VA_ARGS__)
#define SQLPOOL__EACH_9(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_8(__VA_ARGS__)
#define SQLPOOL__EACH_10(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_9(__VA_ARGS__)
#define SQLPOOL__EACH_11(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_10(__VA_ARGS__)
#define SQLPOOL__EACH_12(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_11(__VA_ARGS__)
#define SQLPOOL__EACH_13(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_12(__VA_ARGS__)
#define SQLPOOL__EACH_14(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_13(__VA_ARGS__)
#define SQLPOOL__EACH_15(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_14(__VA_ARGS__)
#define SQLPOOL__EACH_16(x, ...) SQLPOOL_VALUE(x), SQLPOOL__EACH_15(__VA_ARGS__)
#define SQLPOOL_ARGS(...)                                                                           \
    (const sqlpool_value[]){SQLPOOL__JOIN(SQLPOOL__EACH_, SQLPOOL__COUNT(__VA_ARGS__))(__VA_ARGS__)}, \
        SQLPOOL__COUNT(__VA_ARGS__)
#endif

/*------------------------------------------------------------------------------
 * >>[D13] C++: arguments and owners                                    (public)
 *----------------------------------------------------------------------------*/
#if defined(__cplusplus) && !defined(SQLPOOL_NO_CPP)

/*  The C API with destructors. Nothing here throws; an exception that passes through a scope rolls
    back and releases. Every class can be moved, none can be copied. */
namespace sqlpoolpp {

inline sqlpool_value value(bool v) { return sqlpool_value_int64(v ? 1 : 0); }
inline sqlpool_value value(char v) { return sqlpool_value_int64(v); }
inline sqlpool_value value(signed char v) { return sqlpool_value_int64(v); }
inline sqlpool_value value(unsigned char v) { return sqlpool_value_int64(v); }
inline sqlpool_value value(short v) { return sqlpool_value_int64(v); }
inline sqlpool_value value(unsigned short v) { return sqlpool_value_int64(v); }
inline sqlpool_value value(int v) { return sqlpool_value_int64(v); }
inline sqlpool_value value(unsigned v) { return sqlpool_value_int64(v); }
inline sqlpool_value value(long v) { return sqlpool_value_int64(v); }
inline sqlpool_value value(long long v) { return sqlpool_value_int64(v); }
inline sqlpool_value value(unsigned long v) { return sqlpool_value_uint64(v); }
inline sqlpool_value value(unsigned long long v) { return sqlpool_value_uint64(v); }
inline sqlpool_value value(float v) { return sqlpool_value_double(static_cast<double>(v)); }
inline sqlpool_value value(double v) { return sqlpool_value_double(v); }
inline sqlpool_value value(const char *v) { return sqlpool_value_text(v); }
inline sqlpool_value value(decltype(nullptr)) { return sqlpool_value_null(nullptr); }
inline sqlpool_value value(const sqlpool_value &v) { return v; }
/*  std::string, std::string_view and their like, byte-exact. */
template <class String>
inline auto value(const String &v) -> decltype(sqlpool_value_text_n(v.data(), v.size())) {
    return sqlpool_value_text_n(v.data(), v.size());
}

template <int N>
struct pack {
    sqlpool_value values[N];
    const sqlpool_value *data() const { return values; }
};
template <class... A>
inline pack<static_cast<int>(sizeof...(A))> make_pack(const A &...a) {
    return pack<static_cast<int>(sizeof...(A))>{{value(a)...}};
}
template <class... A>
constexpr int count_of(const A &...) {
    return static_cast<int>(sizeof...(A));
}

class database {
public:
    database() : pool_(nullptr) {}
    explicit database(const char *path, const sqlpool_config *config = nullptr,
                      sqlpool_error *error = nullptr)
        : pool_(nullptr) {
        (void)sqlpool_open(&pool_, path, config, error);
    }
    database(database &&other) : pool_(other.pool_) { other.pool_ = nullptr; }
    database(const database &) = delete;
    database &operator=(const database &) = delete;
    ~database() {
        if (pool_ != nullptr) (void)sqlpool_close(pool_, nullptr);
    }
    explicit operator bool() const { return pool_ != nullptr; }
    sqlpool *get() const { return pool_; }
    operator sqlpool *() const { return pool_; }

private:
    sqlpool *pool_;
};

class lease {
public:
    lease(sqlpool *pool, sqlpool_mode mode, sqlpool_error *error = nullptr,
          const sqlpool_call *call = nullptr, const char *file = "C++", int line = 0)
        : conn_(), result_(sqlpool_conn_acquire_at(file, line, pool, mode, call, &conn_, error)) {}
    lease(lease &&other) : conn_(other.conn_), result_(other.result_) { other.conn_ = sqlpool_conn(); }
    lease(const lease &) = delete;
    lease &operator=(const lease &) = delete;
    ~lease() {
        if (conn_.lease != 0) (void)sqlpool_conn_release(&conn_);
    }
    explicit operator bool() const { return conn_.lease != 0; }
    int result() const { return result_; }
    sqlpool_conn *get() { return &conn_; }
    operator sqlpool_conn *() { return &conn_; }
    template <class... A>
    int exec(sqlpool_error *error, const char *sql, const A &...a) {
        const pack<static_cast<int>(sizeof...(A)) + 1> p = {{value(a)..., SQLPOOL_NULL}};
        return sqlpool_conn_exec(&conn_, sql, p.data(), static_cast<int>(sizeof...(A)), nullptr, error);
    }

private:
    sqlpool_conn conn_;
    int result_;
};

class rows {
public:
    template <class... A>
    rows(sqlpool *pool, sqlpool_error *error, const char *sql, const A &...a) : rows_() {
        const pack<static_cast<int>(sizeof...(A)) + 1> p = {{value(a)..., SQLPOOL_NULL}};
        result_ = sqlpool_query_at("C++", 0, pool, nullptr, &rows_, sql, p.data(),
                                   static_cast<int>(sizeof...(A)), error);
    }
    template <class... A>
    rows(lease &conn, sqlpool_error *error, const char *sql, const A &...a) : rows_() {
        const pack<static_cast<int>(sizeof...(A)) + 1> p = {{value(a)..., SQLPOOL_NULL}};
        result_ = sqlpool_conn_query(conn.get(), &rows_, sql, p.data(),
                                     static_cast<int>(sizeof...(A)), error);
    }
    rows(rows &&other) : rows_(other.rows_), result_(other.result_) { other.rows_ = sqlpool_rows(); }
    rows(const rows &) = delete;
    rows &operator=(const rows &) = delete;
    ~rows() { (void)sqlpool_rows_close(&rows_, nullptr); }
    explicit operator bool() const { return result_ == SQLPOOL_OK; }
    int result() const { return result_; }
    bool next() { return sqlpool_rows_next(&rows_); }
    int close(sqlpool_error *error = nullptr) { return sqlpool_rows_close(&rows_, error); }
    int64_t int64(int column) { return sqlpool_rows_int64(&rows_, column); }
    double real(int column) { return sqlpool_rows_double(&rows_, column); }
    const char *text(int column) { return sqlpool_rows_text(&rows_, column); }
    const void *blob(int column) { return sqlpool_rows_blob(&rows_, column); }
    size_t bytes(int column) { return sqlpool_rows_bytes(&rows_, column); }
    bool is_null(int column) { return sqlpool_rows_is_null(&rows_, column); }
    sqlpool_rows *get() { return &rows_; }

private:
    sqlpool_rows rows_;
    int result_;
};

/*  Rolls back in its destructor unless commit() succeeded. */
class transaction {
public:
    explicit transaction(lease &conn, sqlpool_error *error = nullptr)
        : conn_(conn.get()), result_(sqlpool_conn_begin(conn.get(), error)), open_(result_ == SQLPOOL_OK) {}
    transaction(const transaction &) = delete;
    transaction &operator=(const transaction &) = delete;
    ~transaction() {
        if (open_) (void)sqlpool_conn_rollback(conn_, nullptr);
    }
    explicit operator bool() const { return open_; }
    int result() const { return result_; }
    int commit(sqlpool_error *error = nullptr) {
        const int rc = sqlpool_conn_commit(conn_, error);
        if (rc == SQLPOOL_OK) open_ = false;
        return rc;
    }
    int rollback(sqlpool_error *error = nullptr) {
        open_ = false;
        return sqlpool_conn_rollback(conn_, error);
    }

private:
    sqlpool_conn *conn_;
    int result_;
    bool open_;
};

/*  exec(db, &error, "INSERT INTO t VALUES(?, ?)", 1, std::string("x")) */
template <class... A>
inline int exec(sqlpool *pool, sqlpool_error *error, const char *sql, const A &...a) {
    const pack<static_cast<int>(sizeof...(A)) + 1> p = {{value(a)..., SQLPOOL_NULL}};
    return sqlpool_exec_at("C++", 0, pool, nullptr, nullptr, sql, p.data(),
                           static_cast<int>(sizeof...(A)), error);
}

/*  A lambda (sqlpool_conn *, int attempt) -> int as a transaction; it must not throw. */
template <class F>
inline int transact(sqlpool *pool, sqlpool_mode mode, F &&work, sqlpool_error *error = nullptr) {
    struct trampoline {
        static int run(sqlpool_conn *conn, void *user, int attempt) {
            return (*static_cast<decltype(&work)>(user))(conn, attempt);
        }
    };
    return sqlpool_transaction_at("C++", 0, pool, nullptr, mode, &trampoline::run, &work, error);
}

} // namespace sqlpoolpp

#define SQLPOOL_VALUE(x) ::sqlpoolpp::value(x)
#define SQLPOOL_ARGS(...) \
    ::sqlpoolpp::make_pack(__VA_ARGS__).data(), ::sqlpoolpp::count_of(__VA_ARGS__)

#endif /* C++ */

#endif /* SQLPOOL_H */

/*==============================================================================
 * >>[END OF API] A reader who only uses the library can stop here.      (public)
 *============================================================================*/
