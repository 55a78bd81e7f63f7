/*==============================================================================
 * >>[M] MANUAL                                                          (public)
 *==============================================================================
    sqlpool.h 0.1.0 - a connection pool for SQLite in one file, C11 and C++11
    SPDX-License-Identifier: MIT OR Unlicense        (both texts stand at the end)

    Build: in exactly one .c or .cpp file

        #define SQLPOOL_IMPLEMENTATION
        #include "sqlpool.h"

    and link with -lsqlite3 -lpthread. Everywhere else only include it.

    It gives many threads one database: readers that never wait for each other, one writer that
    nobody fights for, statements prepared once, one deadline for everything, and errors that say
    who holds what since when from where.

    It does NOT: map objects, invent an SQL dialect, talk to a network, hide SQLite (the sqlite3*
    and sqlite3_stmt* are one call away), print, exit, abort, or touch the database file other than
    through SQLite.

    A first program, complete:

        | #include <stdio.h>
        | #define SQLPOOL_IMPLEMENTATION
        | #include "sqlpool.h"
        |
        | int main(void) {
        |     sqlpool *pool;
        |     sqlpool_rows rows;
        |     sqlpool_error error;
        |     if (sqlpool_open(&pool, "first.db", NULL, &error) != SQLPOOL_OK ||
        |         sqlpool_script(pool, "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, name)",
        |                        -1, &error) != SQLPOOL_OK ||
        |         sqlpool_exec(pool, "INSERT INTO t(name) VALUES(?)", SQLPOOL_ARGS("Ada"),
        |                      &error) != SQLPOOL_OK) {
        |         fprintf(stderr, "%s\n", error.message);
        |         return 1;
        |     }
        |     sqlpool_query(pool, &rows, "SELECT id, name FROM t WHERE id > ?", SQLPOOL_ARGS(0),
        |                   &error);
        |     while (sqlpool_rows_next(&rows)) {
        |         printf("%lld %s\n", (long long)sqlpool_rows_int64(&rows, 0),
        |                sqlpool_rows_text(&rows, 1));
        |     }
        |     if (sqlpool_rows_close(&rows, &error) != SQLPOOL_OK) {
        |         fprintf(stderr, "%s\n", error.message);
        |     }
        |     return sqlpool_close(pool, NULL);
        | }

    MAP - `grep -n '>>\[' sqlpool.h` lists the same rooms with their parts

      [M] MANUAL
      [D] DECLARATIONS
      [D1] results, errors, log items
      [D2] values and arguments
      [D3] hooks
      [D4] configuration
      [D5] per-call options, cursors, statistics
      [D6] life of a pool
      [D7] one call
      [D8] leases
      [D9] transactions
      [D10] writes that are submitted
      [D11] many rows
      [D12] control
      [D13] looking in
      [D14] building arguments in C
      [D15] C++
      [I01] PRELUDE
      [I02] PLATFORM
      [I03] CHECKS
      [I04] MEMORY
      [I05] DIAGNOSTICS
      [I06] NUMBERS AND TIME
      [I07] CONTAINERS
      [I08] SQL TEXT
      [I10] ENGINE
      [I11] STAMP
      [I12] STATEMENTS
      [I13] CONNECTION
      [I14] POOL
      [I15] RETRY
      [I16] CHECKPOINT
      [I17] LEASE AND TRANSACTION
      [I20] QUERY
      [I21] SUBMIT
      [I22] BULK
      [I24] UPKEEP
      [I25] REPORT
      [I26] LIFECYCLE
      [I27] PROCESS
      [T] TAIL

    A room uses only rooms above it; the compiler checks that, since nothing is declared ahead.

    GLOSSARY
      pool         the connections to one database and everything around them
      lease        one connection, borrowed by one thread: sqlpool_conn
      reader       a connection that cannot write (query_only); any number read at once
      writer       the one connection that writes; callers queue for it
      lane         the slots that serve one mode, and the queue before them
      log, WAL     the write-ahead log, where commits go before a checkpoint moves them to the file
      checkpoint   copying the log back into the database file
      pin          a reader's snapshot that keeps part of the log from being reused
      upkeep       periodic work: checkpoints, idle connections, checks, leak reports
      saturation   nobody gets a connection any more; the error then lists every holder

    CHOOSING A CALL
      one statement                    sqlpool_exec(), sqlpool_query(), sqlpool_query_int64(), ...
      several that belong together     sqlpool_write(), sqlpool_transaction()
      a write that nobody waits for    sqlpool_submit()
      many rows of one table           sqlpool_bulk_begin()
      a schema                         sqlpool_script()
      many reads of one image          sqlpool_snapshot_begin() on a lease
      SQLite's own interface           sqlpool_conn_acquire() and sqlpool_conn_stmt() or _db()

      A transaction function gets the lease and works with the _conn_ calls:

        | static int transfer(sqlpool_conn *conn, void *user, int attempt) {
        |     int rc = sqlpool_conn_exec(conn, "UPDATE account SET sum = sum - ? WHERE id = ?",
        |                                SQLPOOL_ARGS(100, 1), NULL, NULL);
        |     if (rc == SQLPOOL_OK) {
        |         rc = sqlpool_conn_exec(conn, "UPDATE account SET sum = sum + ? WHERE id = ?",
        |                                SQLPOOL_ARGS(100, 2), NULL, NULL);
        |     }
        |     (void)user, (void)attempt;
        |     return rc; // its detail is in the error of sqlpool_transaction()
        | }

    OPTIONS, defined before the implementation is included
      SQLPOOL_IMPLEMENTATION    this file is the one with the code
      SQLPOOL_STATIC            everything static: a private copy in each file that defines this and
                                SQLPOOL_IMPLEMENTATION
      SQLPOOL_DLL               export, or import on Windows
      SQLPOOL_API               your own linkage words instead of the two above
      SQLPOOL_SQLITE3_H         another header with SQLite's interface, e.g. "sqlcipher/sqlite3.h"
      SQLPOOL_NO_THREADS        no locks, no upkeep thread, no waiting for other callers: an acquire
                                that would wait gives SQLPOOL_TIMEOUT or SQLPOOL_MISUSE at once; no
                                pthread symbol is referenced
      SQLPOOL_NO_DEFAULT_HOOKS  no libc allocation, clock or pthread: open wants the allocator,
                                clock and, with threads, lock tables; there is no fork guard.
                                vsnprintf and the mem and str functions remain
      SQLPOOL_NO_CPP            no C++ classes
      SQLPOOL_MAX_POOLS         pools open at once in a process [64]; 32 bytes each
      SQLPOOL_ASSERT(x)         checks of the library's own invariants [assert; none under NDEBUG]
      `make size` prints what each costs. None changes the layout of a public struct.

    THREADS, LOCKS AND CALLBACKS
      A sqlpool* may be used from any thread at any time. A lease, and a cursor, belong to the
      thread that acquired them; every call checks that. To hand one over, order the hand-over
      yourself (a queue, a join) and call sqlpool_conn_adopt() on the new thread.
      The pool has one lock, held for some instructions in the slow path, never while SQLite or a
      callback runs. Log, event and chain callbacks may call the pool, but not use the lease whose
      call they are in: reads work, a write on a thread that is inside a write is refused. Lock,
      clock, random and allocator hooks may not call it. No call is safe in a signal handler. A
      thread that waits for a connection while it holds another can deadlock: the pool finds the
      certain cases at once (SQLPOOL_MISUSE, SQLPOOL_DEADLOCK), logs the others
      (SQLPOOL_LOG_NESTED), and every wait has a deadline. On the thread that holds the writer, a
      write through the pool is refused; use the lease. A read through the pool there sees what is
      committed. After fork() every call of the child on an inherited pool returns SQLPOOL_FORKED,
      and so does opening a new one: SQLite keeps a table of open files per process, which the child
      inherits, and file locks, which it does not.

    TRANSACTIONS AND FRESHNESS
      A read that begins after a commit returned sees it. A cursor, and a read transaction, see one
      moment: that of their first step. A write statement is committed when its call returns. Write
      transactions begin IMMEDIATE: they wait for the writer's turn, not for luck.
      Without a WAL (journal set otherwise, or ":memory:") readers and the writer exclude each
      other; the pool queues them, a cursor counting as a reader until it ends.

    SNAPSHOTS THAT ARE USED AGAIN
      Most of a point read is the file locks around it. In a WAL database readers keep their read
      transaction open and compare, before each statement, the header of the log's index in shared
      memory, which changes with every commit of every process: equal means that nobody committed,
      so the open snapshot is the newest state; different means that it is ended and begun anew.
      Freshness is exactly what SQLite gives without it. Room I11 has the rules and why they are
      safe; tests/stress/freshness.c looks for stale reads against other processes that commit, roll
      back, checkpoint, vacuum and are killed, and its control without the comparison finds them at
      once.
      A snapshot that waits unused ends after snapshot_idle_ms, also on a lease that is held, and
      before a checkpoint, pause or exclusive section; another process that wants readers out of the
      log (TRUNCATE, RESTART) waits about that long. One that asks within microseconds of a commit,
      while a thread here reads without a pause, can wait in vain for a lock that SQLite passes on
      from snapshot to snapshot, and gets SQLITE_BUSY; its next try succeeds. None is kept with
      attached databases, without the upkeep thread, for statements that the caller steps, or when
      commits come so fast that it does not pay. SQLPOOL_OFF switches it off. snapshot_state of
      sqlpool_config_resolved() says whether it is on and why not, as the log hook does at open
      (SQLPOOL_LOG_STAMP); snapshot_hits and snapshot_misses count.
      The same header answers sqlpool_changed(): has anyone committed since I last looked?

        | static int refresh(sqlpool *pool, sqlpool_stamp *seen, int64_t *total) {
        |     if (sqlpool_changed(pool, seen) == 0) return SQLPOOL_OK; // nothing new
        |     return sqlpool_query_int64(pool, total, "SELECT sum(n) FROM stock",
        |                                SQLPOOL_NO_ARGS, NULL);
        | }

      A page or a frame that runs many statements wants one image for all of them, and no comparing:
      a snapshot scope. It sees nothing newer, and pins the log while it lasts, so give it an age.

        | static int count(sqlpool_conn *conn, const char *sql, int64_t *n, sqlpool_error *error) {
        |     sqlpool_rows rows;
        |     sqlpool_conn_query(conn, &rows, sql, SQLPOOL_NO_ARGS, error);
        |     *n = sqlpool_rows_next(&rows) ? sqlpool_rows_int64(&rows, 0) : 0;
        |     return sqlpool_rows_close(&rows, error);
        | }
        | static int draw(sqlpool_conn *conn, int64_t n[2], sqlpool_error *error) {
        |     int rc = sqlpool_snapshot_begin(conn, 100, error); // no read when it is 100 ms old
        |     if (rc != SQLPOOL_OK) return rc;
        |     rc = count(conn, "SELECT count(*) FROM unit", &n[0], error);
        |     if (rc == SQLPOOL_OK) rc = count(conn, "SELECT count(*) FROM item", &n[1], error);
        |     sqlpool_snapshot_end(conn, NULL);
        |     return rc;
        | }

    GROUP COMMIT
      A commit costs an fsync with SQLPOOL_SYNCHRONOUS_FULL, and file locks always, however little
      it carries. So whoever gets the writer for a write also runs those that wait for it, up to
      group_count, in the same transaction: statements as they are, functions of sqlpool_write() and
      scripts in a savepoint each. Nobody hears of success before that has
      committed; each has its own result; a write that meets nobody is run as it always was. There
      is no thread for it and no delay: a group is what waits anyway. Threads that write need no
      connection each: 32 of them and two readers do with max_connections 3. Once it is in a group a
      write is waited out, whatever its deadline says: its arguments are on its caller's stack.
      One write does not fail its neighbours, and does what it does by itself. A statement that
      fails on its way, one that ends the whole transaction (OR ROLLBACK, RAISE(ROLLBACK), a full
      disk, an interrupt by its own deadline or token), and a COMMIT that refuses (a deferred
      foreign key) are set apart, and the others run again without it; the counter `replayed` tells.
      So a function of sqlpool_write(), or an SQL function of the program, may run on the thread of
      another caller, and more than once for one write.
      error.outcome says what became of a write. SQLPOOL_OUTCOME_UNKNOWN is a disk that failed after
      COMMIT had begun: the write is in the log or not, who opens the file next finds out, and the
      library never repeats it. Statements and scripts that begin with other words than INSERT,
      REPLACE, UPDATE or DELETE, leases, and sqlpool_transaction() have their transaction for
      themselves.

        | static int pay(sqlpool_conn *conn, void *user, int attempt) {
        |     const int64_t *payment = (const int64_t *)user; // from, to, sum
        |     int rc = sqlpool_conn_exec(conn, "UPDATE account SET sum = sum - ? WHERE id = ?",
        |                                SQLPOOL_ARGS(payment[2], payment[0]), NULL, NULL);
        |     if (rc == SQLPOOL_OK) {
        |         rc = sqlpool_conn_exec(conn, "UPDATE account SET sum = sum + ? WHERE id = ?",
        |                                SQLPOOL_ARGS(payment[2], payment[1]), NULL, NULL);
        |     }
        |     (void)attempt;
        |     return rc; // anything but 0 undoes both
        | }
        | static int pay_one(sqlpool *pool, int64_t payment[3], sqlpool_error *error) {
        |     return sqlpool_write(pool, pay, payment, error);
        | }

    SUBMITTED WRITES
      sqlpool_submit() copies a write into a queue and returns; a thread of the pool's (without the
      upkeep thread: sqlpool_tick() and whoever waits) runs the queue in groups. Submissions of a
      thread are committed in their order. What became of one is told once: by its ticket, or to
      done_fn, or by both. The queue is bounded in entries and bytes (submit_count, submit_bytes):
      when it is full the call waits, or says SQLPOOL_WOULD_BLOCK. A ticket whose result nobody
      fetched keeps its place. sqlpool_close() runs what is left.
      `relaxed`, where synchronous is FULL, is done when it is committed but before it is on the
      disk: readers see it, a power loss may take it and all relaxed ones after it.
      sqlpool_sync() waits for the disk, up to the sequence of a sqlpool_result or for everything;
      it serves the default, SQLPOOL_SYNCHRONOUS_NORMAL, as well.

        | static int save(sqlpool *pool, const char *name, int64_t level, sqlpool_error *error) {
        |     sqlpool_ticket ticket;
        |     sqlpool_result result;
        |     int rc = sqlpool_submit(pool, &ticket, "UPDATE player SET level = ? WHERE name = ?",
        |                             SQLPOOL_ARGS(level, name), error);
        |     if (rc != SQLPOOL_OK) return rc; // the queue is full, say
        |     // ... frames are drawn ...
        |     rc = sqlpool_ticket_wait(&ticket, 0, &result, error);
        |     if (rc == SQLPOOL_OK) rc = sqlpool_sync(pool, result.sequence, 0, error);
        |     return rc;
        | }

    MANY ROWS
      sqlpool_bulk_begin() writes rows of one table in batches: each batch is one transaction, with
      statements of up to 64 rows, and between batches other writers have their turn. A row that a
      constraint refuses leaves nothing behind (not even where its conflict clause says FAIL), is
      reported with its number and reason, and the others go on. With a name
      the place to go on after a crash is kept in the table sqlpool_bulk, in the same transactions.

        | static int load(sqlpool *pool, const char *const *words, int n, sqlpool_error *error) {
        |     static const char *const columns[] = {"word", "length"};
        |     sqlpool_bulk_config config = {0};
        |     sqlpool_bulk *bulk;
        |     int rc;
        |     config.table = "words";
        |     config.columns = columns;
        |     config.column_count = 2;
        |     config.name = "words of the book";
        |     rc = sqlpool_bulk_begin(pool, &config, &bulk, error);
        |     if (rc != SQLPOOL_OK) return rc;
        |     while (rc == SQLPOOL_OK && sqlpool_bulk_next_row(bulk) < n) {
        |         const char *word = words[sqlpool_bulk_next_row(bulk)];
        |         rc = sqlpool_bulk_row(bulk, SQLPOOL_ARGS(word, strlen(word)), error);
        |     }
        |     return sqlpool_bulk_end(bulk, NULL, error);
        | }

    TRYING AGAIN, AND WHEN THE DISK FAILS
      Threads of one pool never make each other BUSY. What SQLite asks to be tried again because of
      other processes is: statements, and whole transactions, retry_attempts times with growing
      random delays, within the call's deadline and the retry budget. retry_preset chooses other
      delays, retry_schedule_us gives them one by one, events.retryable_fn decides about other
      codes. What is not known to have failed (SQLPOOL_OUTCOME_UNKNOWN) is never tried again.
      A full disk or one that fails would make each write wait for its failure. So a write that ends
      with FULL, READONLY, IOERR, CORRUPT or NOTADB, or a breaker_percent of breaker_failures calls
      that end with those, CANTOPEN, PROTOCOL or a lock that another process keeps, opens the
      circuit breaker of writes or of reads: calls fail at once with the first cause. Every
      breaker_open_ms one call is let through, and closes it when it goes well. Reads go on while
      writes fail. sqlpool_status_text() shows it, events.breaker_fn hears of it.

    A PROGRAM THAT OWNS ITS PROCESS
      sqlpool_global_init(), before any other use of SQLite, gives SQLite the program's allocator
      and a limit, and replaces its memory statistics, which take a lock of the whole process at
      each allocation, by counters per thread.
      single_process keeps every other process out of the file (SQLite's VFS "unix-excl") and saves
      all file locks: reads without a kept snapshot get cheaper, and so do commits. Every connection
      of the process to that file must be made so; SQLite's own tools cannot look at it meanwhile.

    OWNERSHIP
      The pool owns connections and statements; the caller owns sqlpool_conn, sqlpool_rows and
      sqlpool_error, which need no freeing. Text and blobs of arguments are read in place or copied
      before the call returns. Text and blobs of a row live until the cursor moves. Tags and the
      strings of call sites are kept by pointer: use literals.

    ERRORS AND LOGGING
      Results are int: 0, SQLite's (extended) codes above it, SQLPOOL_... codes below. Detail goes
      into a sqlpool_error of the caller; NULL is allowed. Messages are for people and name the
      statement, the pool, the tag and the place of the call.
      The log hook gets a level, an item (SQLPOOL_LOG_...) and a line. SQL text appears
      there; bound values are never added by the library, but SQLite's own messages may quote one
      (those of FTS5 do).
      Codes that callers handle: SQLPOOL_TIMEOUT (try later, or read who holds what),
      SQLPOOL_ROLLED_BACK and SQLite's constraints (return from the transaction function; nothing is
      kept). SQLite's codes are extended: compare the primary one, rc > 0 && (rc & 0xff) ==
      SQLITE_CONSTRAINT.

    HOOKS
      Allocator, locks, clock, random, log and events, per pool, `user` first. Steady state
      (acquire, cached statement, query, release) allocates nothing through the allocator hook. The
      memory that SQLite takes is SQLite's: sqlite3_config(SQLITE_CONFIG_MALLOC) before anything
      else redirects it. events.key_fn runs before anything else on a new handle (encryption keys);
      events.connect_fn once it is configured: functions, collations, ATTACH, further PRAGMAs.

        | static int add_functions(void *user, const sqlpool_conn *conn) {
        |     sqlpool_conn lease = *conn;
        |     (void)user;
        |     return sqlpool_conn_exec(&lease, "PRAGMA cache_spill = 0", SQLPOOL_NO_ARGS, NULL,
        |                              NULL);
        | }

    WHAT THE POOL OCCUPIES of a connection, and CHAINING
      authorizer          refuses what would change the connection (BEGIN, ATTACH, most PRAGMAs,
                          TEMP) when it is prepared through the pool, and names the right call
      progress handler    every 1,000 instructions: deadline and cancellation
      busy handler        waits for other processes until the deadline
      commit, rollback    counts commits; wakes waiters
      wal_hook            counts frames; wal_autocheckpoint is 0 (setting it would remove the hook)
      update_hook         only while a caller's is chained
      The caller's own go into a sqlpool_chain, by sqlpool_conn_chain(): from events.connect_fn for
      the connection's life, on a lease until its release. They run behind the pool's: the
      authorizer for what the pool allows, the progress handler when no deadline has passed, the
      busy handler before each wait (0 gives up), commit (nonzero makes it a rollback), rollback,
      update, wal. Setting them with SQLite's functions through the raw handle works until the
      release, which puts the pool's back and reports SQLPOOL_UNCLEAN where it can tell.

        | static int count_commits(void *user) {
        |     ++*(int *)user;
        |     return 0;
        | }
        | static int with_chain(sqlpool_conn *conn, int *commits) {
        |     sqlpool_chain chain = {0};
        |     chain.user = commits;
        |     chain.commit_fn = count_commits;
        |     return sqlpool_conn_chain(conn, &chain);
        | }

      Raw handle: sqlpool_conn_db() lifts the refusals for the rest of the lease. At release open
      transactions are rolled back and statements reset; a connection on which a PRAGMA was set, a
      database attached, a temporary object made or a statement left stepped is closed and replaced.
      Functions and collations added there stay: add them in events.connect_fn. Incremental blobs:
      sqlite3_blob_open() on the raw handle of a lease, sqlite3_blob_close() before the release. A
      blob that is left open keeps its old connection, and its pin on the log, alive until it is
      closed; the release says so. Two pools on one file, in one process or several, are safe: they
      wait for each other through SQLite's locks and the busy handler, without the queue's fairness.
      Two copies of SQLite in one process are not (sqlite.org/howtocorrupt.html); nor is opening and
      closing the database file by any other means in a process that has it open, which drops
      SQLite's locks. Exceptions and longjmp must not pass through a callback (transaction function,
      hook, chain): the frames between would be skipped and the lease stays out. It is then reported
      as a leak, with the place that acquired it, and sqlpool_close() names it.

    WHAT IT ASKS OF SQLITE AND CHANGES THERE
      SQLite 3.31 or later with threads (SQLITE_THREADSAFE 1 or 2). Newer versions add: RETURNING
      3.35, several connections to ":memory:" 3.36 (below: one), byte offset of syntax errors 3.38.
      Per connection: WAL, synchronous NORMAL, foreign_keys ON, page cache by share, temp_store
      MEMORY on readers and FILE on the writer, journal_size_limit, mmap off (an I/O error in mapped
      memory is a SIGBUS), query_only on readers, DEFENSIVE, no extension loading; `untrusted` adds
      trusted_schema off, no double-quoted strings, cell_size_check, a quick_check by the first
      connection, and the limits of sqlite.org/security.html: 10 parameters, 100 columns,
      expressions 10 deep, SQL of 100,000 bytes, values of 1,000,000, LIKE patterns of 50, no
      ATTACH. What is not granted is logged (SQLPOOL_LOG_FALLBACK) and shows in
      sqlpool_config_resolved(). Nothing global without sqlpool_global_init(): no sqlite3_config(),
      no shared cache.

    CAVEATS
      On readers a BEGIN of the pool's may be open, for the snapshot that is used again: SQL
      functions and hooks find sqlite3_get_autocommit() 0 there and cannot begin a transaction. Off
      with snapshot_idle_ms = SQLPOOL_OFF.
      COMMIT, fsync and a DELETE without WHERE run to their end whatever the deadline.
      A lease's age is measured from when someone looked: a lower bound, exact to
      upkeep_interval_ms, after an idle spell to health_interval_ms.
      SQLite 3.7.0 to 3.51.2 can corrupt a file when a checkpoint runs beside a writer. The pool's
      own checkpoints hold the write lock and are safe; a TRUNCATE by sqlpool_checkpoint() on such a
      version is safe only while no other process writes the file, and so is any other program's
      checkpoint. What such a program leaves behind is noticed (SQLPOOL_LOG_WAL_RESET): the log
      counts more frames as copied than it has. Readers do not see the commits among them, and the
      next checkpoint would lose them, so every call gives SQLITE_CORRUPT, and the pool's
      connections close without a checkpoint. Once every process has left the file like that,
      whoever opens it finds all commits: sqlpool_recycle() with no lease out does it where this
      process is the only one. Files on network file systems: SQLite's locks, and with them all
      promises, are only as good as the file system's. Use SQLPOOL_JOURNAL_DELETE there, or better a
      local disk. Tested on Linux; other POSIX systems should work. Windows needs hook tables for
      locks and clock.

    UPGRADING
      Before 1.0 any version may change the interface. sqlpool_open() compares the version and the
      size of the configuration, so objects compiled with different copies fail with a named error.
*/

/*==============================================================================
 * >>[D] DECLARATIONS                                                    (public)
 *============================================================================*/
#ifndef SQLPOOL_H
#define SQLPOOL_H

#if defined(SQLPOOL_IMPLEMENTATION) && defined(__STRICT_ANSI__) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L /* strict C modes hide the clock and the threads */
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQLPOOL_VERSION_MAJOR 0
#define SQLPOOL_VERSION_MINOR 1
#define SQLPOOL_VERSION_PATCH 0
/* 0xMMmmpp: what sqlpool_open() compares with the version the implementation was built as. */
#define SQLPOOL_VERSION                                                           \
    ((uint32_t)((SQLPOOL_VERSION_MAJOR << 16) | (SQLPOOL_VERSION_MINOR << 8) |      \
                SQLPOOL_VERSION_PATCH))

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
    X(FORKED, -7, "forked from a process that had a pool open: call exec, or fork before opening") \
    X(VERSION_MISMATCH, -8, "declarations and implementation are of different versions")          \
    X(WOULD_BLOCK, -9, "no connection or lock is free and the caller does not want to wait") \
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
    X(TOO_BIG, -20, "the result does not fit its bound; the message says which")                  \
    X(TOO_LATE, -21, "it has begun or is done already; wait for its result")

#define SQLPOOL__RESULT_ENUM(name, value, text) SQLPOOL_##name = value,
typedef enum sqlpool_code {
    SQLPOOL_RESULTS(SQLPOOL__RESULT_ENUM) SQLPOOL__CODE_INT = 0x7fffffff /* as wide as int */
} sqlpool_code;
#undef SQLPOOL__RESULT_ENUM

/*  What became of a write. */
typedef enum sqlpool_outcome {
    SQLPOOL_OUTCOME_NONE = 0,          /* nothing was written, or only read */
    SQLPOOL_OUTCOME_COMMITTED = 1,     /* COMMIT returned: as durable as synchronous makes it */
    SQLPOOL_OUTCOME_NOT_COMMITTED = 2, /* nothing of it is there, but what OR FAIL keeps */
    SQLPOOL_OUTCOME_UNKNOWN = 3        /* the disk failed in COMMIT: look at what is there */
} sqlpool_outcome;

/*  What went wrong, in the caller's memory. Every call that takes one accepts NULL and fills it
    on success too (result 0, empty message). */
typedef struct sqlpool_error {
    int result;          /* what the call returned */
    int sqlite_code;     /* extended SQLite code behind it, or 0 */
    int os_code;         /* errno of the failing system call as SQLite saw it, or 0 */
    int sql_offset;      /* byte offset in the SQL text where the error starts, or -1 */
    int attempts;        /* how often the work was tried (1 = no retry) */
    int outcome;         /* sqlpool_outcome, of a write on the pool or a transaction */
    int64_t waited_us;   /* slept for locks and between tries since the lease began */
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
    X(WAL_RESET, "the log lost its place: the pool stops, so that no commit is lost")             \
    X(FOREIGN_KEYS, "the schema has a foreign key that cannot be enforced")                       \
    X(RETRY, "a statement or transaction is tried again")                                         \
    X(CHECKPOINT, "a checkpoint ran")                                                             \
    X(BREAKER, "the circuit breaker of reads or writes opened or closed")                         \
    X(STAMP, "whether commits are seen in shared memory, and why not")                            \
    X(SNAPSHOT_OLD, "a snapshot scope is older than its maximum age")

#define SQLPOOL__LOG_ENUM(name, text) SQLPOOL_LOG_##name,
typedef enum sqlpool_log_item {
    SQLPOOL_LOG_ITEMS(SQLPOOL__LOG_ENUM) SQLPOOL_LOG_ITEM_COUNT
} sqlpool_log_item;
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
    SQLPOOL_TYPE_INVALID = 5 /* refused: an unsigned above INT64_MAX, a pointer that is not text */
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
    /* These two may be NULL with disable_upkeep_thread. */
    int (*thread_create_fn)(void *user, void **thread, void (*run)(void *), void *argument);
    void (*thread_join_fn)(void *user, void *thread);
} sqlpool_locks;

typedef struct sqlpool_clock {
    void *user;
    int64_t (*now_ns_fn)(void *user); /* monotonic nanoseconds from any origin */
    void (*sleep_ns_fn)(void *user, int64_t duration_ns); /* 0: let other threads run */
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
    connect_fn runs once on every new connection before anyone gets it: the place for functions,
    collations, ATTACH; on readers it cannot write. A result other than 0 fails the opening. Both it
    and key_fn also run on the connection that the pool keeps for checkpoints, beside
    max_connections. */
typedef struct sqlpool_events {
    void *user;
    int (*key_fn)(void *user, struct sqlite3 *db);            /* before anything else touches db */
    int (*connect_fn)(void *user, const sqlpool_conn *conn);  /* may use the lease's calls */
    void (*acquire_fn)(void *user, const sqlpool_conn *conn); /* explicit leases only */
    void (*release_fn)(void *user, const sqlpool_conn *conn); /* explicit leases only */
    void (*destroy_fn)(void *user, struct sqlite3 *db);       /* just before sqlite3_close(), also
                                                                 of one that failed to open */
    void (*error_fn)(void *user, const sqlpool_error *error); /* before a call fails */
    void (*retry_fn)(void *user, int attempt, int code, int64_t delay_us);
    /* Shall a call that failed with this SQLite code be tried again? is_retryable is the library's
       own opinion; what the function returns counts, 0 or 1. */
    int (*retryable_fn)(void *user, int code, int is_retryable);
    /* The breaker of a sqlpool_mode opened (state 1) for that code, or closed (state 0). */
    void (*breaker_fn)(void *user, int mode, int state, int code);
    void (*commit_fn)(void *user, uint64_t commits);          /* after a write of this pool */
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
    SQLPOOL_SYNCHRONOUS_NORMAL = 0, /* in WAL: consistent after power loss; last commits may go */
    SQLPOOL_SYNCHRONOUS_FULL = 1,   /* in WAL: every commit is on disk when it returns */
    SQLPOOL_SYNCHRONOUS_EXTRA = 2,
    SQLPOOL_SYNCHRONOUS_OFF = 3 /* a power loss may corrupt the file */
} sqlpool_synchronous;

typedef enum sqlpool_jitter {
    SQLPOOL_JITTER_FULL = 0, /* uniform in 0 .. delay */
    SQLPOOL_JITTER_EQUAL = 1, /* delay/2 plus uniform in 0 .. delay/2 */
    SQLPOOL_JITTER_NONE = 2,
    SQLPOOL_JITTER_DECORRELATED = 3 /* uniform in base .. 3 times the delay before */
} sqlpool_jitter;

/*  What the zeros of the retry settings stand for. */
typedef enum sqlpool_retry {
    SQLPOOL_RETRY_LOCAL = 0,       /* 5 tries, 1 ms to 100 ms: a file that other processes use */
    SQLPOOL_RETRY_DATABASE = 1,    /* 3 tries, 500 ms to 5 s: a call that may wait */
    SQLPOOL_RETRY_TRANSACTION = 2, /* 5 tries, 100 ms to 2 s */
    SQLPOOL_RETRY_FAILOVER = 3     /* after 100, 500 and 2000 ms, within 5 s: a file that moves */
} sqlpool_retry;

typedef enum sqlpool_priority {
    SQLPOOL_PRIORITY_NORMAL = 0,
    SQLPOOL_PRIORITY_CRITICAL = 1
} sqlpool_priority;

/*  Special values of times and counts. */
#define SQLPOOL_FOREVER (-1) /* a timeout: wait without a limit; elsewhere -1 switches off */
#define SQLPOOL_NO_WAIT (-2) /* a timeout: do not wait at all */
#define SQLPOOL_OFF (-1)

/*  All zero is a complete configuration: zero means "the default in brackets". Where "off" makes
    sense (idle_timeout_ms, leak_report_ms, acquire_timeout_ms, ...; the message of a refused value
    says) it is written SQLPOOL_OFF. sqlpool_open() checks every field and names all bad ones at
    once. Strings are copied. */
typedef struct sqlpool_config {
    uint32_t canary_start; /* 0; anything else is a struct that was not zeroed */

    const char *name;     /* for messages ["sqlpool"] */
    const char *vfs_name; /* SQLite VFS [the default one] */

    /* size */
    int min_connections;           /* kept open [2], 1 .. max */
    int max_connections;           /* one writer, the rest readers [10], .. 1000; 1: one for all */
    int reserve_connections;       /* readers on top of max for peaks [1], OFF .. 100 */
    int reserve_threshold_percent; /* utilisation from which the reserve is for all [80], .. 101;
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
    int validate_after_ms;       /* unused for this long: checked before use [500]; a reader up to
                                    one upkeep interval later, the writer also while in use */
    int health_interval_ms;      /* an idle connection is checked this often [30000] */
    int leak_report_ms;          /* a lease out for this long is reported [60000] */
    int snapshot_idle_ms;        /* an idle reader keeps its snapshot open for reuse this long [50];
                                    OFF: every read begins its own */
    int busy_poll_min_us;        /* locks of other processes are polled at random between [100] */
    int busy_poll_max_us;        /* and [1000] */

    /* retry of statements and transactions that SQLite asks to be tried again */
    int retry_preset;             /* sqlpool_retry: the defaults of the next ones [LOCAL] */
    int retry_attempts;           /* tries in all [5], 1 .. 100 */
    int retry_base_us;            /* first delay [1000] */
    int retry_cap_us;             /* longest delay [100000] */
    int retry_multiplier_percent; /* growth per try [200], 100 .. 1000 */
    int retry_jitter;             /* sqlpool_jitter [FULL] */
    const int *retry_schedule_us; /* these delays instead, as they are; tries: one more [none] */
    int retry_schedule_count;     /* .. 99 */
    int retry_total_ms;           /* of all delays of a call together [OFF] */
    int retry_budget_percent;     /* of all calls, so many may be repetitions [20], .. 1000, */
    int retry_budget_per_s;       /* and so many a second [10]; OFF: none but the percentage.
                                     retry_budget_percent OFF: no budget */

    /* circuit breaker, one for reads and one for writes: see WHEN THE DISK FAILS in the manual */
    int breaker_open_ms;          /* calls fail at once for so long, then one tries [1000]; OFF */
    int breaker_failures;         /* opens at so many failures [20] */
    int breaker_percent;          /* and such a share of calls [50], .. 100 */
    int breaker_window_ms;        /* within this time [10000] */

    /* writes of several threads that share a commit; see GROUP COMMIT in the manual */
    int group_count;         /* most of them in one transaction [64], .. 256; OFF: each its own */
    int group_us;            /* none is added after so many microseconds [2000] */
    int64_t group_bytes;     /* nor above so many bytes of arguments [1 MiB] */
    int submit_count;        /* submitted writes that wait, run, or have a ticket out [1024] */
    int64_t submit_bytes;    /* their text and arguments [8 MiB] */

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
    int64_t wal_budget_bytes;         /* a checkpoint follows the commit above this; where many
                                         write, ten a second up to wal_limit_bytes / 2 [4 MiB] */
    int64_t wal_limit_bytes;          /* above this a writer waits up to wal_wait_ms [64 MiB] */
    int wal_wait_ms;                  /* for readers to let the log start over [50] */
    bool read_only;                   /* open read-only */
    bool must_exist;                  /* do not create the file */
    bool enable_uri;                  /* path may be a file: URI */
    bool single_process;              /* no other process uses the file: no file locks, they are
                                         kept out while the pool is open, unless a connection of
                                         this process without it has the file. VFS "unix-excl" */
    bool disable_foreign_keys;        /* foreign_keys stays off */

    /* safety */
    bool untrusted;                /* hostile files or SQL: tight limits, quick_check at open */
    bool disable_defensive;        /* SQLITE_DBCONFIG_DEFENSIVE stays off */
    bool enable_extension_loading; /* sqlite3_load_extension() from C works */

    /* operation */
    bool disable_upkeep_thread; /* the program calls sqlpool_tick() instead */
    bool pass_open_error;       /* a waiter gets a failed opening's error at once */

    /* set by sqlpool_config_resolved(), ignored elsewhere */
    const char *snapshot_state; /* "on", or what of SNAPSHOTS THAT ARE USED AGAIN is off, and why */

    sqlpool_allocator allocator;
    sqlpool_locks locks;
    sqlpool_clock clock;
    sqlpool_random random;
    sqlpool_log log;
    sqlpool_events events;

    uint32_t canary_end; /* 0 */
} sqlpool_config;

/*------------------------------------------------------------------------------
 * >>[D5] per-call options, cursors, statistics                           (public)
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
    uint64_t sequence;      /* counts commits since open, for sqlpool_sync(): writes that shared a
                               commit have the same; 0 inside a transaction */
} sqlpool_result;

/*  A write that was submitted. In the caller's memory; the members are private; a copy is as good
    as the original. It is used up by the call that gives its result. */
typedef struct sqlpool_ticket {
    struct sqlpool *pool;
    uint32_t pool_serial;
    uint32_t entry;
    uint64_t number; /* in the order of submission; 0: no ticket */
} sqlpool_ticket;

/*  Called once for a submitted write when its fate is known, on the thread that ran it: the pool's
    own for submissions, one in sqlpool_tick(), _ticket_wait(), _flush() or _close(), or the one
    that cancels. It may use the pool, and submit; it may not wait for a ticket or close the pool.
    Others wait until it has returned. */
typedef void (*sqlpool_done_fn)(void *user, const sqlpool_result *result,
                                const sqlpool_error *error);

/*  Options of a submission. All zero is the default. */
typedef struct sqlpool_submission {
    int wait_ms;     /* for room in a full queue [acquire_timeout_ms]; SQLPOOL_FOREVER,
                        SQLPOOL_NO_WAIT */
    int timeout_ms;  /* from now until it has run; a COMMIT is waited out [none, but no longer than
                        acquire_timeout_ms for the lock of another process] */
    int attempts;    /* tries in all [retry_attempts] */
    bool relaxed;    /* done when committed, before it is on the disk: see sqlpool_sync() */
    const char *tag; /* who asks, for reports; kept by pointer: a string literal */
    sqlpool_done_fn done_fn;
    void *user; /* of done_fn */
} sqlpool_submission;

/*  A bulk load that is open: sqlpool_bulk_begin(). */
typedef struct sqlpool_bulk sqlpool_bulk;

typedef enum sqlpool_bulk_action {
    SQLPOOL_BULK_INSERT = 0,
    SQLPOOL_BULK_UPDATE = 1, /* of the row with the key */
    SQLPOOL_BULK_DELETE = 2  /* the row with the key; all columns are the key */
} sqlpool_bulk_action;

/*  What an insert does about a row that a UNIQUE or PRIMARY KEY constraint knows already. */
typedef enum sqlpool_conflict {
    SQLPOOL_CONFLICT_REFUSE = 0,  /* as the schema says: normally the row is refused */
    SQLPOOL_CONFLICT_IGNORE = 1,  /* the old row stays, without a word */
    SQLPOOL_CONFLICT_REPLACE = 2, /* the old row goes, with what hangs on it */
    SQLPOOL_CONFLICT_UPDATE = 3   /* the old row with the same key gets the new values */
} sqlpool_conflict;

typedef struct sqlpool_bulk_progress {
    int64_t rows;       /* taken by sqlpool_bulk_row() since the begin */
    int64_t next_row;   /* all before it are dealt with for good (relaxed: once it is ended well, or
                           sqlpool_sync() was called): where to go on after a failure */
    int64_t refused;    /* of these */
    int64_t changes;    /* rows inserted, updated or deleted */
    int64_t elapsed_ms; /* since the begin */
    int64_t rows_per_s; /* dealt with */
    int64_t left_ms;    /* until expected_rows, at this rate; -1: not known */
} sqlpool_bulk_progress;

/*  What sqlpool_bulk_begin() is to do. Names are plain ones, not quoted; all is copied but user. */
typedef struct sqlpool_bulk_config {
    const char *table;
    const char *const *columns; /* in the order of the values of a row */
    int column_count;
    int key_count;          /* so many of the last columns are the key: for BULK_UPDATE and
                               CONFLICT_UPDATE */
    int action;             /* sqlpool_bulk_action [INSERT] */
    int conflict;           /* sqlpool_conflict [REFUSE]; INSERT only */
    int64_t batch_bytes;    /* rows are kept until they fill this, then written [1 MiB] */
    int batch_ms;           /* a batch that takes longer is committed in parts [50] */
    bool relaxed;           /* batches are committed without a sync, sqlpool_bulk_end() syncs: for
                               synchronous FULL and EXTRA with a log */
    const char *name;       /* keeps next_row in the table sqlpool_bulk, in the transaction of each
                               batch: a load of that name goes on there [none] */
    int64_t expected_rows;  /* for left_ms, counted from row 0 [unknown] */
    int timeout_ms;         /* each batch waits so long for the writer [acquire_timeout_ms] */
    sqlpool_token *token;   /* cancels the load when fired; must outlive it */
    const char *tag;        /* who loads, for reports; kept by pointer: a string literal */
    void *user;             /* of the two */
    /* A row that cannot be written, after the others of its batch were committed. 0 goes on,
       anything else ends the load with that. NULL: the first refused row ends it, those before it
       are committed. */
    int (*refused_fn)(void *user, int64_t row, const sqlpool_value *values,
                      const sqlpool_error *error);
    /* After each batch. 0 goes on, anything else ends the load with that. */
    int (*progress_fn)(void *user, const sqlpool_bulk_progress *progress);
} sqlpool_bulk_config;

/*  A cursor over rows, in the caller's memory; the members are private; not to be copied. Zeroed by
    the query call also when it fails, so that sqlpool_rows_close() is always allowed. */
typedef struct sqlpool_rows {
    sqlpool_conn conn;
    void *slot;       /* live cursor: its connection */
    void *statement;  /* live cursor: the cached statement */
    void *buffer;     /* buffered cursor: the rows */
    uint64_t serial;  /* which use of the statement */
    int64_t position; /* rows read */
    int result;
    int column_count;
    uint32_t flags;
    int64_t deadline_ns;
} sqlpool_rows;

/*  Work inside a transaction. Returning 0 commits; anything else rolls back and is returned by the
    call. attempt counts from 1: the function runs again from a fresh BEGIN when SQLite says that
    the whole transaction must restart, so what it does outside the database must bear repeating. */
typedef int (*sqlpool_transaction_fn)(sqlpool_conn *conn, void *user, int attempt);
typedef int (*sqlpool_exclusive_fn)(sqlpool_conn *conn, void *user);

/*  One row, to be read with sqlpool_rows_int64() and its like; what it returns the call returns. */
typedef int (*sqlpool_row_fn)(sqlpool_rows *row, void *user);

/*  The caller's own handlers, run behind the pool's (see CHAINING in the manual). */
typedef struct sqlpool_chain {
    void *user;
    int (*authorizer_fn)(void *user, int action, const char *a, const char *b, const char *database,
                         const char *trigger);
    int (*progress_fn)(void *user); /* about every 1,000 virtual machine instructions */
    int (*busy_fn)(void *user, int count); /* 0 gives up; otherwise the pool goes on waiting */
    int (*commit_fn)(void *user);
    void (*rollback_fn)(void *user);
    void (*update_fn)(void *user, int action, const char *database, const char *table,
                      int64_t rowid);
    int (*wal_fn)(void *user, struct sqlite3 *db, const char *database, int frames);
} sqlpool_chain;

/*  A lease that is out. */
typedef struct sqlpool_holder {
    uint32_t slot;
    int mode;             /* sqlpool_mode */
    uint64_t thread_id;   /* as the lock hook names it */
    int64_t held_ms;      /* held for at least this long, as far as the pool has looked */
    uint64_t wal_frames;  /* frames committed by this pool since the lease began */
    int64_t snapshot_ms;  /* age of its snapshot scope; -1: it has none */
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
    X(retry_refusals, "not tried again for want of retry budget")               \
    X(breaker_opens, "times that a circuit breaker opened")                     \
    X(breaker_refusals, "calls that it refused")                                \
    X(busy_waits, "sleeps for a lock of another connection or process")         \
    X(snapshot_hits, "reads that reused an open snapshot")                      \
    X(snapshot_misses, "open snapshots found out of date")                      \
    X(commits, "write transactions committed")                                  \
    X(groups, "of these, with writes of several callers")                       \
    X(grouped, "writes in them")                                                \
    X(replayed, "writes run again because another one ended their group")       \
    X(submitted, "writes submitted")                                            \
    X(submit_waits, "submissions that had to wait for room")                    \
    X(submit_refusals, "submissions that found none")                           \
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
    int submitted_now;       /* submitted writes that wait for their turn */
    int breaker_read;        /* 0: closed; 1: calls fail at once; 2: one call tries */
    int breaker_write;
    int utilisation_percent; /* used of max; above 100 with the reserve */
    int64_t wal_frames;      /* frames in the log after this pool's last commit */
    int64_t wal_bytes;       /* the same in bytes */
    int64_t memory_bytes;    /* held from the allocator hook now */
    int64_t allocations;     /* made through the allocator hook so far */
#define SQLPOOL__COUNTER_MEMBER(name, text) uint64_t name;
    SQLPOOL_COUNTERS(SQLPOOL__COUNTER_MEMBER)
#undef SQLPOOL__COUNTER_MEMBER
} sqlpool_stats;

/*  What sqlpool_changed() remembers. All zero: nothing seen yet. The members are private. */
typedef struct sqlpool_stamp {
    uint64_t words[6];
} sqlpool_stamp;

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
    Returns, Owner, Threads, Cost, SQLite (the document behind it) and See, where they say
    something. "any error" is a positive SQLite code, or one of TIMEOUT, CLOSED, CANCELLED, FORKED,
    MOVED, NOMEM, MISUSE. `error` may be NULL everywhere. Functions named _at take the call site as
    their first two parameters; the macro of the same name fills them in, bindings call them
    directly. */

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
    Returns  SQLPOOL_OK; SQLPOOL_CONFIG, also when SQLPOOL_MAX_POOLS are open; SQLPOOL_FORKED;
             SQLPOOL_VERSION_MISMATCH; SQLPOOL_NOMEM; SQLITE_CANTOPEN, SQLITE_NOTADB, SQLITE_BUSY
             and any other error of opening
    Owner    the caller; give it back with sqlpool_close()
    Threads  any; blocks for file I/O
    Cost     a file open, schema load and a dozen PRAGMAs for each connection
    SQLite   sqlite.org/c3ref/open.html, sqlite.org/wal.html
    See      sqlpool_close, sqlpool_config_resolved  */
#define sqlpool_open(pool, path, config, error) \
    sqlpool_open_at(SQLPOOL_VERSION, sizeof(sqlpool_config), (pool), (path), (config), (error))
SQLPOOL_API int sqlpool_open_at(uint32_t version, size_t config_bytes, sqlpool **pool,
                                const char *path, const sqlpool_config *config,
                                sqlpool_error *error);

/*  sqlpool_close - refuse new work, wait for leases, run what is submitted, checkpoint, close,
    free.
    From the first moment every other call on the pool returns SQLPOOL_CLOSED and waiters wake with
    it; who waits for a ticket still gets its result, results that nobody fetched are gone. When
    leases are still out after close_timeout_ms the pool stays closed to new work, the error names
    the holders, and sqlpool_close() may be called again once they are back.
    Returns  SQLPOOL_OK; SQLPOOL_TIMEOUT with holders, or submitted writes that are left;
             SQLPOOL_MISUSE when this thread holds a lease
             or from a hook; SQLPOOL_CLOSED when it is closed already; SQLPOOL_FORKED
    Owner    after SQLPOOL_OK the memory is gone; later calls with the handle return SQLPOOL_CLOSED
             until a later sqlpool_open() uses the handle again, which takes those closed longest
             ago first out of SQLPOOL_MAX_POOLS
    Threads  any, also beside running calls; not beside calls that are only just being entered
    Cost     the last connection's close writes the log back into the database; where it cannot (a
             full disk, another process on the file) the log stays, and nothing in it is lost
    SQLite   sqlite.org/c3ref/close.html  */
SQLPOOL_API int sqlpool_close(sqlpool *pool, sqlpool_error *error);

/*  sqlpool_config_resolved - the configuration in effect: every default filled in, what was not
    granted as it is.
    out      [out]      strings in it live as long as the pool
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE; SQLPOOL_CLOSED; SQLPOOL_FORKED
    Threads  any  */
SQLPOOL_API int sqlpool_config_resolved(sqlpool *pool, sqlpool_config *out);

/*  sqlpool_tick - do periodic work that is due: checkpoints, idle and aged connections, checks,
    leak reports, deadlines of running statements, submitted writes. It does not wait for the writer
    or for the lock of another process; a submitted write that cannot be grouped, or that failed in
    its group and is run by itself, does.
    Only needed with disable_upkeep_thread or SQLPOOL_NO_THREADS; harmless otherwise. There a commit
    that passes wal_budget_bytes checkpoints before it returns: raise the budget and call
    sqlpool_checkpoint() to choose the moment.
    budget_us [in]      begin no further task after this many microseconds; one is always begun and
                        may take longer
    Returns  SQLPOOL_OK; SQLPOOL_CLOSED; SQLPOOL_FORKED; SQLPOOL_MISUSE
    Threads  any; a second caller returns at once while one is inside
    Cost     a few clock calls when nothing is due  */
SQLPOOL_API int sqlpool_tick(sqlpool *pool, int budget_us);

/*  Options of sqlpool_global_init(). All zero is a complete set. */
typedef struct sqlpool_global_config {
    sqlpool_allocator allocator;  /* of SQLite [libc's]; must serve every thread, for ever */
    int64_t memory_limit_bytes;   /* SQLite gets no more than this [none], 1 MiB or more */
    int lookaside_bytes;          /* of a lookaside slot [as SQLite was built], 64 .. 65528; OFF */
    int lookaside_count;          /* slots per connection [as SQLite was built], .. 10000 */
    bool keep_memory_statistics;  /* sqlite3_memory_used() and _status() go on counting */
} sqlpool_global_config;

/*  sqlpool_global_init - set up SQLite for a program that owns its process. Optional.
    SQLite's memory comes from the allocator hook, and its memory statistics, which take a lock of
    the whole process for every allocation, are replaced by counters per thread.
    config   [in,opt]   NULL means all defaults; copied
    Returns  SQLPOOL_OK; SQLPOOL_CONFIG; SQLPOOL_NOMEM; SQLPOOL_MISUSE when it was called before, or
             SQLite has been used already: that cannot be changed then
    Threads  once, before any other use of SQLite in the process, also by others
    Cost     memory: 16 bytes an allocation; what it gains: `make bench`, part "process"; SQLite's
             own heap limits have no effect unless keep_memory_statistics is set
    SQLite   sqlite.org/c3ref/c_config_covering_index_scan.html
    See      sqlpool_global_memory  */
SQLPOOL_API int sqlpool_global_init(const sqlpool_global_config *config, sqlpool_error *error);

/*  sqlpool_global_memory - bytes that SQLite holds in this process.
    Returns  bytes, counted by sqlpool_global_init() if that was called, else by SQLite; a sum over
             running threads, so it may be some allocations old
    Threads  any  */
SQLPOOL_API int64_t sqlpool_global_memory(void);

/*------------------------------------------------------------------------------
 * >>[D7] one call                                                      (public)
 *----------------------------------------------------------------------------*/

/*  sqlpool_exec - run one statement and throw away its rows.
    The pool sends a statement that only reads to a reader, any other to the writer, in a
    transaction of its own or one that it shares (GROUP COMMIT in the manual).
    error    [out,opt]  outcome says whether a write that failed is in the database
    sql      [in]       one statement, UTF-8; ends at its first NUL
    args, count [in]    values for its parameters in order: SQLPOOL_ARGS(...), SQLPOOL_NO_ARGS, or
                        an array and its length
    Returns  SQLPOOL_OK; SQLPOOL_EMPTY, SQLPOOL_TRAILING, SQLPOOL_ARGUMENTS, SQLPOOL_REFUSED; any
             error
    Threads  any; a write gives SQLPOOL_MISUSE on a thread that holds the writer
    Cost     no allocation by the library once the statement is cached
    SQLite   sqlite.org/c3ref/step.html
    See      sqlpool_exec_with, sqlpool_conn_exec  */
#define sqlpool_exec(pool, ...) sqlpool_exec_at(__FILE__, __LINE__, (pool), NULL, NULL, __VA_ARGS__)
/*  sqlpool_exec_with - the same with options and the result of the write.
    sqlpool_exec_with(pool, call, result, sql, args, count, error)
    call     [in,opt]   timeout, attempts, priority, tag, token
    result   [out,opt]  rows changed, last rowid, sequence of the commit
    See      sqlpool_exec  */
#define sqlpool_exec_with(pool, ...) sqlpool_exec_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
SQLPOOL_API int sqlpool_exec_at(const char *file, int line, sqlpool *pool, const sqlpool_call *call,
                                sqlpool_result *result, const char *sql, const sqlpool_value *args,
                                int count, sqlpool_error *error);

/*  sqlpool_query - run one statement and walk its rows.
    Rows of a reading statement stream: memory does not grow with their number, and the connection
    is the cursor's until the last row was read or sqlpool_rows_close(). Rows of a writing statement
    (RETURNING) are buffered up to returning_bytes and handed out after COMMIT.
    rows     [out]      the cursor; close it whatever this call returned
    sql, args, count    as for sqlpool_exec(); text and blobs are copied
    Returns  as sqlpool_exec(); SQLPOOL_TOO_BIG
    Threads  as sqlpool_exec(); the cursor belongs to this thread
    See      sqlpool_rows_next, sqlpool_rows_close  */
#define sqlpool_query(pool, ...) sqlpool_query_at(__FILE__, __LINE__, (pool), NULL, __VA_ARGS__)
/*  sqlpool_query_with - the same with options: sqlpool_query_with(pool, call, rows, sql, args,
    count, error). call->timeout_ms bounds the whole walk. */
#define sqlpool_query_with(pool, ...) sqlpool_query_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
SQLPOOL_API int sqlpool_query_at(const char *file, int line, sqlpool *pool,
                                 const sqlpool_call *call, sqlpool_rows *rows, const char *sql,
                                 const sqlpool_value *args, int count, sqlpool_error *error);

/*  sqlpool_query_int64, _double, _text - the first column of the first row.
    sqlpool_query_int64(pool, value, sql, args, count, error)
    sqlpool_query_double(pool, value, sql, args, count, error)
    sqlpool_query_text(pool, buffer, buffer_bytes, sql, args, count, error)
    value    [out]      converted as SQLite converts; 0 on any error
    buffer   [out]      NUL-terminated; cut between UTF-8 characters when it does not fit
    Returns  as sqlpool_query(); SQLPOOL_NOT_FOUND when there is no row; SQLPOOL_TOO_BIG when text
             was cut
    Threads  as sqlpool_exec()  */
#define sqlpool_query_int64(pool, ...) \
    sqlpool_query_int64_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
#define sqlpool_query_double(pool, ...) \
    sqlpool_query_double_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
#define sqlpool_query_text(pool, ...) \
    sqlpool_query_text_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
SQLPOOL_API int sqlpool_query_int64_at(const char *file, int line, sqlpool *pool, int64_t *value,
                                       const char *sql, const sqlpool_value *args, int count,
                                       sqlpool_error *error);
SQLPOOL_API int sqlpool_query_double_at(const char *file, int line, sqlpool *pool, double *value,
                                        const char *sql, const sqlpool_value *args, int count,
                                        sqlpool_error *error);
SQLPOOL_API int sqlpool_query_text_at(const char *file, int line, sqlpool *pool, char *buffer,
                                      size_t buffer_bytes, const char *sql,
                                      const sqlpool_value *args, int count, sqlpool_error *error);

/*  sqlpool_query_row - the whole first row: sqlpool_query_row(pool, fn, user, sql, args, count,
    error).
    fn       [in]       called once, on the calling thread, with the row; not called when there is
                        none
    Returns  what fn returned; as sqlpool_query(); SQLPOOL_NOT_FOUND when there is no row
    Owner    text and blobs of the row live until fn returns
    Threads  as sqlpool_exec()  */
#define sqlpool_query_row(pool, ...) sqlpool_query_row_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
SQLPOOL_API int sqlpool_query_row_at(const char *file, int line, sqlpool *pool, sqlpool_row_fn fn,
                                     void *user, const char *sql, const sqlpool_value *args,
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
    error    [out,opt]  what stopped the walk; left as it is when the query call itself had failed,
                        or the cursor was closed before
    Returns  SQLPOOL_OK; what stopped the walk or failed the query; a second close the same again
    Threads  the thread that made the query  */
SQLPOOL_API int sqlpool_rows_close(sqlpool_rows *rows, sqlpool_error *error);

/*  sqlpool_rows_int64, _double, _text, _blob, _bytes, _type, _is_null, _value - a column of the
    row.
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
/*  sqlpool_conn_acquire_with - the same with options. call->timeout_ms bounds the wait;
    SQLPOOL_NO_WAIT gives SQLPOOL_WOULD_BLOCK when none is idle and the pool may not grow. */
#define sqlpool_conn_acquire_with(pool, mode, call, conn, error) \
    sqlpool_conn_acquire_at(__FILE__, __LINE__, (pool), (mode), (call), (conn), (error))
SQLPOOL_API int sqlpool_conn_acquire_at(const char *file, int line, sqlpool *pool,
                                        sqlpool_mode mode, const sqlpool_call *call,
                                        sqlpool_conn *conn, sqlpool_error *error);

/*  sqlpool_conn_release - give a lease back.
    Open cursors are closed, statements reset, an open transaction is rolled back.
    Returns  SQLPOOL_OK; SQLPOOL_UNCLEAN when there was something to clean up (it is back all the
             same); SQLPOOL_MISUSE for a lease that is not out, or another thread's; SQLPOOL_CLOSED
             after the pool is gone
    Threads  the owner
    Cost     one atomic exchange when nothing was left open and nobody waits  */
SQLPOOL_API int sqlpool_conn_release(sqlpool_conn *conn);

/*  sqlpool_conn_adopt - make the calling thread the lease's owner, after a hand-over that the
    program itself ordered (a queue, a join).
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE
    Threads  the new owner, while the old one no longer uses it  */
SQLPOOL_API int sqlpool_conn_adopt(sqlpool_conn *conn);

/*  sqlpool_conn_cancel - stop what a lease runs, from any thread.
    The running statement and every later one of this lease return SQLPOOL_CANCELLED; rollback and
    release still work. It never touches the connection's next user. COMMIT and fsync run to their
    end.
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE when the lease is not out
    Threads  any; pass a copy of the lease
    SQLite   sqlite.org/c3ref/interrupt.html  */
SQLPOOL_API int sqlpool_conn_cancel(sqlpool_conn conn);

/*  sqlpool_conn_set_timeout - from now on everything on this lease ends within timeout_ms.
    timeout_ms [in]     milliseconds from now, 0: at once; SQLPOOL_FOREVER lifts the limit
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE
    Threads  the owner  */
SQLPOOL_API int sqlpool_conn_set_timeout(sqlpool_conn *conn, int timeout_ms);

/*  sqlpool_conn_exec, _query, _script - as the calls on the pool, on this lease and in its
    transaction.
    Returns  as sqlpool_exec(), sqlpool_query(), sqlpool_script(); SQLPOOL_ROLLED_BACK after SQLite
             has ended the lease's transaction by itself
    Threads  the owner  */
SQLPOOL_API int sqlpool_conn_exec(sqlpool_conn *conn, const char *sql, const sqlpool_value *args,
                                  int count, sqlpool_result *result, sqlpool_error *error);
SQLPOOL_API int sqlpool_conn_query(sqlpool_conn *conn, sqlpool_rows *rows, const char *sql,
                                   const sqlpool_value *args, int count, sqlpool_error *error);
SQLPOOL_API int sqlpool_conn_script(sqlpool_conn *conn, const char *sql, int64_t bytes,
                                    sqlpool_error *error);

/*  sqlpool_snapshot_begin - from here to sqlpool_snapshot_end() every read of this lease sees one
    moment: now (of an attached database: the first read of it). For a page or a frame, which wants
    many statements of one image; statements of sqlpool_conn_stmt() are in it too. While it lasts it
    pins the log.
    max_age_ms [in]     0: no limit; else a statement that begins later gets SQLPOOL_TIMEOUT, and
                        the log hook is told who holds it (SQLPOOL_LOG_SNAPSHOT_OLD)
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE for a writer's lease, inside a transaction or scope, or
             beside an open cursor; any error
    Threads  the owner
    Cost     one read transaction; inside it a point read costs a fifth of one in autocommit
    SQLite   sqlite.org/isolation.html
    See      sqlpool_conn_begin, sqlpool_transaction  */
SQLPOOL_API int sqlpool_snapshot_begin(sqlpool_conn *conn, int max_age_ms, sqlpool_error *error);
/*  sqlpool_snapshot_end - end it; reads see the newest state again.
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE without a scope, or inside a level begun in it; any error
    Threads  the owner  */
SQLPOOL_API int sqlpool_snapshot_end(sqlpool_conn *conn, sqlpool_error *error);

/*  sqlpool_conn_stmt - a prepared statement from the connection's cache, reset and unbound.
    Step it with sqlite3_step(); stopped by deadline or cancel it gives SQLITE_INTERRUPT. It is
    taken out of the cache: asking again for the same text before
    sqlpool_conn_stmt_release() prepares another.
    statement [out]     NULL on any error
    Returns  as sqlpool_exec() without running anything
    Owner    the lease; never finalize it
    Threads  the owner
    Cost     about a hash lookup when cached
    SQLite   sqlite.org/c3ref/prepare.html  */
SQLPOOL_API int sqlpool_conn_stmt(sqlpool_conn *conn, const char *sql,
                                  struct sqlite3_stmt **statement, sqlpool_error *error);

/*  sqlpool_conn_stmt_release - put a statement back into the cache before the lease ends.
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE when it is not one of this lease
    Threads  the owner  */
SQLPOOL_API int sqlpool_conn_stmt_release(sqlpool_conn *conn, struct sqlite3_stmt *statement);

/*  sqlpool_conn_db - the connection itself, for what the library does not wrap.
    From here to the release the refusals are off, and the release checks everything: transaction,
    statements, blobs, handlers, PRAGMAs. See WHAT THE POOL OCCUPIES in the manual. What an earlier
    call failed with is in its sqlpool_error: sqlite3_errmsg() may have forgotten it.
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
    SQLPOOL_WRITE begins IMMEDIATE on the writer, SQLPOOL_READ gives one consistent image on a
    reader. fn's 0 commits, anything else rolls back. When SQLite says that the whole transaction
    must restart, fn runs again, up to retry_attempts times within the deadline. Numbers of fn's own
    should be above 65535 or below -1000: others are read as SQLite's or the library's.
    error    [out,opt]  what fn's lease call failed with, when fn returned that result
    Returns  what fn returned; SQLPOOL_ROLLED_BACK; any error of BEGIN or COMMIT; SQLPOOL_MISUSE
             when fn released the lease or left a level open
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
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE without a begin; SQLPOOL_ROLLED_BACK when SQLite has ended
             the transaction; any error. A commit that failed leaves the transaction open: roll
             back, or mend what it complained of and commit again
    Threads  the owner  */
SQLPOOL_API int sqlpool_conn_begin(sqlpool_conn *conn, sqlpool_error *error);
SQLPOOL_API int sqlpool_conn_commit(sqlpool_conn *conn, sqlpool_error *error);
SQLPOOL_API int sqlpool_conn_rollback(sqlpool_conn *conn, sqlpool_error *error);

/*  sqlpool_write - run fn in a transaction that other writes may share:
    sqlpool_write(pool, fn, user, error).
    As sqlpool_transaction() with SQLPOOL_WRITE; but under contention fn runs in a savepoint of a
    group (GROUP COMMIT in the manual), on the thread that leads it, with that thread's lease, and
    again, as often as the group has to be given up, at last alone. It sees what earlier writes of
    the group did.
    fn       [in]       uses `conn` only, and not after it returned: no release, no
                        sqlpool_conn_db(), _chain(), _adopt(), _cancel(), and no _commit() or
                        _rollback() but of levels it began; statements it leaves open are reset and
                        reported (SQLPOOL_LOG_UNCLEAN)
    error    [out,opt]  outcome says whether what fn did is in the database; the detail of a lease
                        call whose result fn returned
    Returns  what fn returned; otherwise as sqlpool_transaction()
    Threads  any; SQLPOOL_MISUSE on a thread that holds the writer; fn may run on another thread of
             the program while this one waits
    Cost     alone that of sqlpool_transaction(); in a group a savepoint, and a share of the commit
    See      sqlpool_exec for one statement, sqlpool_submit_write  */
#define sqlpool_write(pool, ...) \
    sqlpool_write_at(__FILE__, __LINE__, (pool), NULL, NULL, __VA_ARGS__)
/*  sqlpool_write_with - the same with options and a result: (pool, call, result, fn, user, error).
    result   [out,opt]  changes of all that fn did, and sequence; last_insert_id is 0  */
#define sqlpool_write_with(pool, ...) sqlpool_write_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
SQLPOOL_API int sqlpool_write_at(const char *file, int line, sqlpool *pool,
                                 const sqlpool_call *call, sqlpool_result *result,
                                 sqlpool_transaction_fn fn, void *user, sqlpool_error *error);

/*------------------------------------------------------------------------------
 * >>[D10] writes that are submitted                                    (public)
 *----------------------------------------------------------------------------*/

/*  sqlpool_submit - hand in a write and go on: sqlpool_submit(pool, ticket, sql, args, count,
    error).
    It is copied into the pool's queue and run in a group with what else is there, by a thread of
    the pool's that begins with the first submission; without the upkeep thread by sqlpool_tick(),
    _ticket_wait(), _flush() and _close(). Submissions of a thread are committed in their order;
    between them and its other writes there is none (sqlpool_flush() makes one).
    ticket   [out,opt]  for its result, which takes a place of submit_count until it is fetched by
                        sqlpool_ticket_wait() or _poll(), or given up by sqlpool_ticket_drop(). NULL
                        when nobody asks
    sql, args, count    as for sqlpool_exec(); all copied; rows it returns are thrown away
    error    [out,opt]  why it was not accepted; what becomes of it is told by the ticket
    Returns  SQLPOOL_OK: it will be done or tried, exactly once is reported; SQLPOOL_WOULD_BLOCK or
             SQLPOOL_TIMEOUT when the queue is full; SQLPOOL_TOO_BIG; SQLPOOL_CLOSED; any error
    Threads  any; in done_fn, or with the writer's lease in hand, it never waits for room
    Cost     a copy under the lock, and a wake-up when the pool's thread sleeps; some 500 bytes for
             each of submit_count, once
    See      sqlpool_submit_with, sqlpool_sync  */
#define sqlpool_submit(pool, ...) \
    sqlpool_submit_at(__FILE__, __LINE__, (pool), NULL, __VA_ARGS__)
/*  sqlpool_submit_with - the same with options:
    sqlpool_submit_with(pool, submission, ticket, sql, args, count, error)
    submission [in,opt] waits, deadline, relaxed durability, done_fn */
#define sqlpool_submit_with(pool, ...) sqlpool_submit_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
SQLPOOL_API int sqlpool_submit_at(const char *file, int line, sqlpool *pool,
                                  const sqlpool_submission *submission, sqlpool_ticket *ticket,
                                  const char *sql, const sqlpool_value *args, int count,
                                  sqlpool_error *error);

/*  sqlpool_submit_write - hand in a function, as sqlpool_write() would run it:
    sqlpool_submit_write(pool, submission, ticket, fn, user, error).
    user     [in]       must live until the write is done
    Returns  as sqlpool_submit()
    Threads  any; fn runs on the thread that done_fn would run on  */
#define sqlpool_submit_write(pool, ...) \
    sqlpool_submit_write_at(__FILE__, __LINE__, (pool), __VA_ARGS__)
SQLPOOL_API int sqlpool_submit_write_at(const char *file, int line, sqlpool *pool,
                                        const sqlpool_submission *submission,
                                        sqlpool_ticket *ticket, sqlpool_transaction_fn fn,
                                        void *user, sqlpool_error *error);

/*  sqlpool_ticket_wait - wait for what became of a submitted write.
    timeout_ms [in]     0: acquire_timeout_ms; SQLPOOL_FOREVER; SQLPOOL_NO_WAIT
    result   [out,opt]  as of sqlpool_exec_with()
    error    [out,opt]  detail; outcome is never SQLPOOL_OUTCOME_NONE once it is done
    Returns  what sqlpool_exec() would have; SQLPOOL_WOULD_BLOCK with an outcome of
             SQLPOOL_OUTCOME_NONE: not done yet, ask again; SQLPOOL_NOMEM: no condition to wait on;
             SQLPOOL_MISUSE for what is no ticket any more, while another thread waits for it, in
             done_fn, or with the writer's lease in hand; SQLPOOL_CLOSED; SQLPOOL_FORKED
    Owner    the ticket is used up once the outcome is not SQLPOOL_OUTCOME_NONE
    Threads  any, one at a time for a ticket  */
SQLPOOL_API int sqlpool_ticket_wait(sqlpool_ticket *ticket, int timeout_ms, sqlpool_result *result,
                                    sqlpool_error *error);
/*  sqlpool_ticket_poll - the same without waiting; runs nothing. */
SQLPOOL_API int sqlpool_ticket_poll(sqlpool_ticket *ticket, sqlpool_result *result,
                                    sqlpool_error *error);

/*  sqlpool_ticket_cancel - take a submitted write back before it begins.
    Returns  SQLPOOL_OK: nothing of it is in the database or will be, the ticket is used up, done_fn
             and a thread that waits hear SQLPOOL_CANCELLED (it never ran, but in a group that was
             given up as a whole); SQLPOOL_TOO_LATE: it has begun or is done, the
             ticket is as before; SQLPOOL_MISUSE; SQLPOOL_CLOSED; SQLPOOL_FORKED
    Threads  any  */
SQLPOOL_API int sqlpool_ticket_cancel(sqlpool_ticket *ticket);

/*  sqlpool_ticket_drop - give up a ticket; the write goes on.
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE; SQLPOOL_CLOSED; SQLPOOL_FORKED
    Threads  any  */
SQLPOOL_API int sqlpool_ticket_drop(sqlpool_ticket *ticket);

/*  sqlpool_flush - wait until everything submitted before is done.
    timeout_ms [in]     0: acquire_timeout_ms; SQLPOOL_FOREVER
    A write that another thread takes back by sqlpool_ticket_cancel() counts as done before its
    done_fn has returned there.
    Returns  SQLPOOL_OK: done, well or not (tickets and done_fn tell); SQLPOOL_TIMEOUT;
             SQLPOOL_WOULD_BLOCK with SQLPOOL_NO_THREADS, while a lease keeps the writer;
             SQLPOOL_MISUSE in done_fn, or with the writer's lease in hand; SQLPOOL_CLOSED;
             SQLPOOL_FORKED
    Threads  any  */
SQLPOOL_API int sqlpool_flush(sqlpool *pool, int timeout_ms, sqlpool_error *error);

/*  sqlpool_sync - wait until commits are on the disk, as if synchronous had been FULL.
    For SQLPOOL_SYNCHRONOUS_NORMAL, where a commit waits in the operating system's cache for the
    next checkpoint, and for relaxed submissions. Needs no turn of the writer; commits go on.
    sequence [in]       of a sqlpool_result: that commit and all before it; 0: all so far
    timeout_ms [in]     0: acquire_timeout_ms; bounds the wait for a checkpoint, not the sync itself
    Returns  SQLPOOL_OK; SQLPOOL_TIMEOUT; SQLPOOL_UNSUPPORTED without a log (journal set otherwise,
             or ":memory:"), where commits are as durable as synchronous makes them; SQLITE_IOERR...
             when the disk refused: then it is not known what of the log it holds, and what is not
             known to be there is written again before the next sync or checkpoint
    Threads  any
    Cost     one fsync of the log; none when a later commit or sync has done it already
    SQLite   sqlite.org/pragma.html#pragma_synchronous  */
SQLPOOL_API int sqlpool_sync(sqlpool *pool, uint64_t sequence, int timeout_ms,
                             sqlpool_error *error);

/*------------------------------------------------------------------------------
 * >>[D11] many rows                                                    (public)
 *----------------------------------------------------------------------------*/

/*  sqlpool_bulk_begin - begin to insert, update or delete many rows of one table:
    sqlpool_bulk_begin(pool, config, bulk, error).
    Rows are copied into a batch; when that is full the writer is taken, the batch written with
    statements of up to 64 rows and committed, and the writer given back: other writes have their
    turn between batches, and a slow source of rows blocks nobody.
    config   [in]       table and columns; copied
    bulk     [out]      the load; NULL on any error
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE for a bad config; SQLITE_ERROR for a table or column that is
             not there; SQLITE_READONLY; any error
    Owner    the caller; sqlpool_bulk_end() or _abandon() frees it. Before that sqlpool_close()
             gives SQLPOOL_TIMEOUT, and ends the load: rows not written yet are not any more
    Threads  any, one at a time, also different ones; it holds no lease between calls
    Cost     batch_bytes of memory
    See      bench W7 for what it gains over one statement a row  */
#define sqlpool_bulk_begin(pool, config, bulk, error) \
    sqlpool_bulk_begin_at(__FILE__, __LINE__, (pool), (config), (bulk), (error))
SQLPOOL_API int sqlpool_bulk_begin_at(const char *file, int line, sqlpool *pool,
                                      const sqlpool_bulk_config *config, sqlpool_bulk **bulk,
                                      sqlpool_error *error);

/*  sqlpool_bulk_row - add a row: sqlpool_bulk_row(bulk, SQLPOOL_ARGS(...), error).
    args, count [in]    a value for each column; copied
    Returns  SQLPOOL_OK; SQLPOOL_ARGUMENTS: this row was not taken, the load goes on; anything else
             ended the load: every later call says the same, and sqlpool_bulk_end() frees it
    Threads  one at a time; SQLPOOL_MISUSE on a thread that holds the writer
    Cost     a copy; a batch is written when it is full  */
SQLPOOL_API int sqlpool_bulk_row(sqlpool_bulk *bulk, const sqlpool_value *args, int count,
                                 sqlpool_error *error);

/*  sqlpool_bulk_next_row - the number of the row that the load wants next, from 0.
    Above 0 right after the begin of a load with a name that was not ended: the rows before it are
    in the database, give it those from there on.
    Returns  the number; a negative result for what is no load  */
SQLPOOL_API int64_t sqlpool_bulk_next_row(const sqlpool_bulk *bulk);

/*  sqlpool_bulk_end - write what is left, sync if it is relaxed, and free the load.
    progress [out,opt]  next_row says what is in the database, also when it failed; after an error
                        whose outcome is SQLPOOL_OUTCOME_UNKNOWN the batch behind it may be too: a
                        load with a name knows when it is begun again
    Returns  SQLPOOL_OK; what ended the load
    Owner    `bulk` is gone, whatever this returns  */
SQLPOOL_API int sqlpool_bulk_end(sqlpool_bulk *bulk, sqlpool_bulk_progress *progress,
                                 sqlpool_error *error);

/*  sqlpool_bulk_abandon - free the load without writing the rows of its last batch.
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE  */
SQLPOOL_API int sqlpool_bulk_abandon(sqlpool_bulk *bulk, sqlpool_bulk_progress *progress);

/*------------------------------------------------------------------------------
 * >>[D12] control                                                      (public)
 *----------------------------------------------------------------------------*/

/*  sqlpool_cancel - fire a token: every call that names it returns SQLPOOL_CANCELLED.
    Waiting calls wake at once, running statements stop as with sqlpool_conn_cancel().
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE; SQLPOOL_CLOSED; SQLPOOL_FORKED
    Threads  any  */
SQLPOOL_API int sqlpool_cancel(sqlpool *pool, sqlpool_token *token);

/*  sqlpool_pause - hold back new acquires (they wait) until sqlpool_resume(), and wait for all
    leases.
    timeout_ms [in]     0: close_timeout_ms; not negative; on SQLPOOL_TIMEOUT the pool runs on as if
                        never paused
    Returns  SQLPOOL_OK; SQLPOOL_TIMEOUT with holders; SQLPOOL_MISUSE when paused already or when
             this thread holds a lease; SQLPOOL_CLOSED; SQLPOOL_FORKED
    Threads  any
    See      sqlpool_exclusive  */
SQLPOOL_API int sqlpool_pause(sqlpool *pool, int timeout_ms, sqlpool_error *error);
/*  sqlpool_resume - end a pause. Returns SQLPOOL_OK; SQLPOOL_MISUSE when not paused. */
SQLPOOL_API int sqlpool_resume(sqlpool *pool);

/*  sqlpool_exclusive - run fn with the writer while no other lease is out and none is given.
    Returns  what fn returned; otherwise as sqlpool_pause()
    Threads  any; fn runs on the calling thread and must not call the pool, only the lease  */
SQLPOOL_API int sqlpool_exclusive(sqlpool *pool, int timeout_ms, sqlpool_exclusive_fn fn,
                                  void *user, sqlpool_error *error);

/*  sqlpool_recycle - replace every connection: idle ones now, leased ones at their release.
    Also ends the SQLPOOL_MOVED state: from here on the file now at the path is used. The old file's
    -wal and -shm must be moved or deleted first, since SQLite would apply them to the new one.
    And it ends the state after SQLPOOL_LOG_WAL_RESET where no other process has the file open.
    Returns  SQLPOOL_OK; SQLPOOL_MOVED while an old log is there (the log hook names it) or a lease
             on the old file is out; SQLITE_CORRUPT while a log that lost its place is kept open by
             a lease or another process;
             SQLPOOL_UNSUPPORTED for ":memory:" below SQLite 3.36, whose only connection is the
             database; any error of opening the writer anew
    Threads  any
    SQLite   sqlite.org/howtocorrupt.html (1.4)  */
SQLPOOL_API int sqlpool_recycle(sqlpool *pool);

/*  sqlpool_checkpoint - write the log back into the database file now.
    Waits for the writer's turn, so that no commit runs beside it in any process.
    result   [out,opt]  frames in the log and frames written back
    Returns  SQLPOOL_OK, also when readers kept it from finishing (compare the two numbers);
             SQLPOOL_TIMEOUT; SQLITE_BUSY when TRUNCATE finds another process or a reader on the
             file; SQLPOOL_UNSUPPORTED without a WAL; any error
    Threads  any; SQLPOOL_MISUSE on a thread that holds the writer
    SQLite   sqlite.org/c3ref/wal_checkpoint_v2.html  */
SQLPOOL_API int sqlpool_checkpoint(sqlpool *pool, sqlpool_checkpoint_mode mode,
                                   sqlpool_checkpoint_result *result, sqlpool_error *error);

/*------------------------------------------------------------------------------
 * >>[D13] looking in                                                   (public)
 *----------------------------------------------------------------------------*/

/*  sqlpool_get_stats - counters and gauges. Counters of running threads may be a moment old.
    Returns  SQLPOOL_OK; SQLPOOL_MISUSE; SQLPOOL_CLOSED; SQLPOOL_FORKED
    Threads  any; never blocks an acquire  */
SQLPOOL_API int sqlpool_get_stats(sqlpool *pool, sqlpool_stats *stats);

/*  sqlpool_changed - has anyone committed since the stamp was taken? Takes the new one.
    Call it first and read then: what is committed between the two is reported next time.
    stamp    [in,out]   zeroed before the first call; one for each that asks
    Returns  1: a commit of any thread or process may have come; 0: none; SQLPOOL_UNSUPPORTED where
             there is no stamp (snapshot_state of sqlpool_config_resolved() says why);
             SQLPOOL_MISUSE; SQLPOOL_CLOSED; SQLPOOL_FORKED
    Threads  any
    Cost     nanoseconds: four atomic additions and 48 bytes compared, no lock, no system call; once
             after the connection whose mapping it reads was closed or handed out raw, the lock, and
             1 while no other is idle
    SQLite   sqlite.org/walformat.html (2.1)
    See      SNAPSHOTS THAT ARE USED AGAIN in the manual  */
SQLPOOL_API int sqlpool_changed(sqlpool *pool, sqlpool_stamp *stamp);

/*  sqlpool_holders - the leases that are out, those held longest first.
    holders  [out]      room for `capacity` entries
    Returns  how many are out (may be more than capacity), or a negative result
    Threads  any  */
SQLPOOL_API int sqlpool_holders(sqlpool *pool, sqlpool_holder *holders, int capacity);

/*  sqlpool_status_text, sqlpool_status_json - the pool on one page: size, waits, holders, log,
    caches.
    At most 32 holders; what is not ASCII becomes '?' in JSON.
    buffer   [out]      NUL-terminated, cut to fit (cut JSON is not valid: compare the result)
    Returns  the bytes the whole text needs without the terminator, or a negative result
    Threads  any  */
SQLPOOL_API int sqlpool_status_text(sqlpool *pool, char *buffer, size_t buffer_bytes);
SQLPOOL_API int sqlpool_status_json(sqlpool *pool, char *buffer, size_t buffer_bytes);

/*  sqlpool_result_name, sqlpool_result_text - "SQLPOOL_TIMEOUT" or "SQLITE_BUSY", and what it
    means.
    Returns  a static string, never NULL
    Threads  any  */
SQLPOOL_API const char *sqlpool_result_name(int result);
SQLPOOL_API const char *sqlpool_result_text(int result);

/*------------------------------------------------------------------------------
 * >>[D14] building arguments in C                                      (public)
 *----------------------------------------------------------------------------*/

static SQLPOOL__UNUSED sqlpool_value sqlpool_value_null(const void *ignored) {
    sqlpool_value v;
    (void)ignored;
    v.type = SQLPOOL_TYPE_NULL;
    v.size = 0;
    v.as.integer = 0;
    return v;
}
static SQLPOOL__UNUSED sqlpool_value sqlpool_value_pointer(const void *pointer) {
    sqlpool_value v = sqlpool_value_null(NULL);
    if (pointer != NULL) v.type = SQLPOOL_TYPE_INVALID; /* bytes need a length: SQLPOOL_BLOB */
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
static SQLPOOL__UNUSED sqlpool_value sqlpool_value_float(float real) {
    return sqlpool_value_double((double)real);
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

/*  SQLPOOL_ARGS(1, "two", 3.0) stands for an array of values and its length, two arguments of a
    call; up to 16 values of any arithmetic type, string, sqlpool_value or null pointer (in C++
    nullptr or SQLPOOL_NULL: NULL is the number 0 there). Without values write SQLPOOL_NO_ARGS. C99
    has no SQLPOOL_ARGS: pass an array and its length. */
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
        float: sqlpool_value_float,            \
        double: sqlpool_value_double,          \
        char *: sqlpool_value_text,            \
        const char *: sqlpool_value_text,      \
        void *: sqlpool_value_pointer,         \
        sqlpool_value: sqlpool_value_same)(x)

#define SQLPOOL__COUNT(...) \
    SQLPOOL__COUNT_16(__VA_ARGS__, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
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
#define SQLPOOL_ARGS(...)                                                                        \
    (const sqlpool_value[]){                                                                     \
        SQLPOOL__JOIN(SQLPOOL__EACH_, SQLPOOL__COUNT(__VA_ARGS__))(__VA_ARGS__)},                \
        SQLPOOL__COUNT(__VA_ARGS__)
#endif

/*------------------------------------------------------------------------------
 * >>[D15] C++: arguments and owners                                    (public)
 *----------------------------------------------------------------------------*/
#if defined(__cplusplus) && !defined(SQLPOOL_NO_CPP)

/*  The C API with destructors. Nothing here throws; an exception that passes through a scope rolls
    back and releases. None can be copied; pool, lease, rows and ticket can be moved. */
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
inline sqlpool_value value(float v) { return sqlpool_value_float(v); }
inline sqlpool_value value(double v) { return sqlpool_value_double(v); }
inline sqlpool_value value(const char *v) { return sqlpool_value_text(v); }
inline sqlpool_value value(char *v) { return sqlpool_value_text(v); }
template <class T>
sqlpool_value value(T *) = delete; /* bytes need a length: SQLPOOL_BLOB */
inline sqlpool_value value(decltype(nullptr)) { return sqlpool_value_null(nullptr); }
inline sqlpool_value value(const sqlpool_value &v) { return v; }
/*  std::string, std::string_view and their like, byte-exact. */
template <class String>
inline auto value(const String &v) -> decltype(sqlpool_value_text_n(v.data(), v.size())) {
    return sqlpool_value_text_n(v.data(), v.size());
}

template <size_t N>
struct pack {
    sqlpool_value values[N];
    const sqlpool_value *data() const { return values; }
};
template <class... A>
inline pack<sizeof...(A)> make_pack(const A &...a) {
    return pack<sizeof...(A)>{{value(a)...}};
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
    lease(lease &&other) : conn_(other.conn_), result_(other.result_) {
        other.conn_ = sqlpool_conn();
    }
    lease(const lease &) = delete;
    lease &operator=(const lease &) = delete;
    ~lease() {
        if (conn_.lease != 0) (void)sqlpool_conn_release(&conn_);
    }
    explicit operator bool() { return conn_.lease != 0; }
    int result() const { return result_; }
    sqlpool_conn *get() { return &conn_; }
    operator sqlpool_conn *() { return &conn_; }
    template <class... A>
    int exec(sqlpool_error *error, const char *sql, const A &...a) {
        const pack<sizeof...(A) + 1> p = {{value(a)..., SQLPOOL_NULL}};
        return sqlpool_conn_exec(&conn_, sql, p.data(), static_cast<int>(sizeof...(A)), nullptr,
                                 error);
    }

private:
    sqlpool_conn conn_;
    int result_;
};

class rows {
public:
    template <class... A>
    rows(sqlpool *pool, sqlpool_error *error, const char *sql, const A &...a) : rows_() {
        const pack<sizeof...(A) + 1> p = {{value(a)..., SQLPOOL_NULL}};
        result_ = sqlpool_query_at("C++", 0, pool, nullptr, &rows_, sql, p.data(),
                                   static_cast<int>(sizeof...(A)), error);
    }
    template <class... A>
    rows(lease &conn, sqlpool_error *error, const char *sql, const A &...a) : rows_() {
        const pack<sizeof...(A) + 1> p = {{value(a)..., SQLPOOL_NULL}};
        result_ = sqlpool_conn_query(conn.get(), &rows_, sql, p.data(),
                                     static_cast<int>(sizeof...(A)), error);
    }
    rows(rows &&other) : rows_(other.rows_), result_(other.result_) {
        other.rows_ = sqlpool_rows();
    }
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
        : conn_(conn.get()), result_(sqlpool_conn_begin(conn.get(), error)),
          open_(result_ == SQLPOOL_OK) {}
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

/*  One image for many reads, until its end. */
class snapshot {
public:
    explicit snapshot(lease &conn, int max_age_ms = 0, sqlpool_error *error = nullptr)
        : conn_(conn.get()), result_(sqlpool_snapshot_begin(conn.get(), max_age_ms, error)) {}
    snapshot(const snapshot &) = delete;
    snapshot &operator=(const snapshot &) = delete;
    ~snapshot() {
        if (result_ == SQLPOOL_OK) (void)sqlpool_snapshot_end(conn_, nullptr);
    }
    explicit operator bool() const { return result_ == SQLPOOL_OK; }
    int result() const { return result_; }

private:
    sqlpool_conn *conn_;
    int result_;
};

/*  exec(db, &error, "INSERT INTO t VALUES(?, ?)", 1, std::string("x")) */
template <class... A>
inline int exec(sqlpool *pool, sqlpool_error *error, const char *sql, const A &...a) {
    const pack<sizeof...(A) + 1> p = {{value(a)..., SQLPOOL_NULL}};
    return sqlpool_exec_at("C++", 0, pool, nullptr, nullptr, sql, p.data(),
                           static_cast<int>(sizeof...(A)), error);
}

/*  A submitted write; given up by its destructor unless it was fetched. */
class ticket {
public:
    template <class... A>
    ticket(sqlpool *pool, sqlpool_error *error, const char *sql, const A &...a) : ticket_() {
        const pack<sizeof...(A) + 1> p = {{value(a)..., SQLPOOL_NULL}};
        result_ = sqlpool_submit_at("C++", 0, pool, nullptr, &ticket_, sql, p.data(),
                                    static_cast<int>(sizeof...(A)), error);
    }
    ticket(ticket &&other) : ticket_(other.ticket_), result_(other.result_) {
        other.ticket_ = sqlpool_ticket();
    }
    ticket(const ticket &) = delete;
    ticket &operator=(const ticket &) = delete;
    ~ticket() {
        if (ticket_.number != 0) (void)sqlpool_ticket_drop(&ticket_);
    }
    explicit operator bool() const { return ticket_.number != 0; }
    int result() const { return result_; }
    int wait(int timeout_ms = 0, sqlpool_result *result = nullptr, sqlpool_error *error = nullptr) {
        return sqlpool_ticket_wait(&ticket_, timeout_ms, result, error);
    }
    int cancel() { return sqlpool_ticket_cancel(&ticket_); }
    sqlpool_ticket *get() { return &ticket_; }

private:
    sqlpool_ticket ticket_;
    int result_;
};

/*  Many rows; what is not ended is abandoned by the destructor. */
class bulk {
public:
    bulk(sqlpool *pool, const sqlpool_bulk_config &config, sqlpool_error *error = nullptr)
        : bulk_(nullptr),
          result_(sqlpool_bulk_begin_at("C++", 0, pool, &config, &bulk_, error)) {}
    bulk(const bulk &) = delete;
    bulk &operator=(const bulk &) = delete;
    ~bulk() {
        if (bulk_ != nullptr) (void)sqlpool_bulk_abandon(bulk_, nullptr);
    }
    explicit operator bool() const { return bulk_ != nullptr; }
    int result() const { return result_; }
    template <class... A>
    int row(sqlpool_error *error, const A &...a) {
        const pack<sizeof...(A) + 1> p = {{value(a)..., SQLPOOL_NULL}};
        return sqlpool_bulk_row(bulk_, p.data(), static_cast<int>(sizeof...(A)), error);
    }
    int64_t next_row() const { return sqlpool_bulk_next_row(bulk_); }
    int end(sqlpool_bulk_progress *progress = nullptr, sqlpool_error *error = nullptr) {
        const int rc = sqlpool_bulk_end(bulk_, progress, error);
        bulk_ = nullptr;
        return rc;
    }
    sqlpool_bulk *get() { return bulk_; }

private:
    sqlpool_bulk *bulk_;
    int result_;
};

/*  submit(db, &error, "INSERT INTO t VALUES(?)", 1): nobody asks what became of it. */
template <class... A>
inline int submit(sqlpool *pool, sqlpool_error *error, const char *sql, const A &...a) {
    const pack<sizeof...(A) + 1> p = {{value(a)..., SQLPOOL_NULL}};
    return sqlpool_submit_at("C++", 0, pool, nullptr, nullptr, sql, p.data(),
                             static_cast<int>(sizeof...(A)), error);
}

template <class F>
struct trampoline {
    static int run(sqlpool_conn *conn, void *user, int attempt) {
        return (*static_cast<F *>(user))(conn, attempt);
    }
};

/*  A lambda (sqlpool_conn *, int attempt) -> int as a write that may share its commit, and run on
    another thread; it must not throw. */
template <class F>
inline int write(sqlpool *pool, F work, sqlpool_error *error = nullptr) {
    return sqlpool_write_at("C++", 0, pool, nullptr, nullptr, &trampoline<F>::run, &work, error);
}

/*  The same as a transaction of its own. */
template <class F>
inline int transact(sqlpool *pool, sqlpool_mode mode, F work, sqlpool_error *error = nullptr) {
    return sqlpool_transaction_at("C++", 0, pool, nullptr, mode, &trampoline<F>::run, &work, error);
}

} // namespace sqlpoolpp

#define SQLPOOL_VALUE(x) ::sqlpoolpp::value(x)
#define SQLPOOL_ARGS(...)                         \
    ::sqlpoolpp::make_pack(__VA_ARGS__).data(), /* the size is not evaluated */ \
        static_cast<int>(sizeof(::sqlpoolpp::make_pack(__VA_ARGS__)) / sizeof(sqlpool_value))

#endif /* C++ */

#endif /* SQLPOOL_H */

/*==============================================================================
 * >>[END OF API] A reader who only uses the library can stop here        (public)
 *============================================================================*/

#ifdef SQLPOOL_IMPLEMENTATION
#ifndef SQLPOOL__IMPLEMENTATION_DONE
#define SQLPOOL__IMPLEMENTATION_DONE

/*==============================================================================
 * >>[I01] PRELUDE: options, sanity checks, includes                    (private)
 *============================================================================*/

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifdef SQLPOOL_SQLITE3_H
#include SQLPOOL_SQLITE3_H
#else
#include <sqlite3.h>
#endif

#if SQLITE_VERSION_NUMBER < 3031000
#error "sqlpool.h needs SQLite 3.31 or later"
#endif

#ifndef SQLPOOL_NO_DEFAULT_HOOKS
#include <stdlib.h>
#include <sched.h>
#include <time.h>
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#ifndef SQLPOOL_NO_THREADS
#include <pthread.h>
#include <signal.h>
#endif
#endif

/*  How many pools a process may have open at once. Handles are static so that a call on a closed
    pool finds memory that says so. */
#ifndef SQLPOOL_MAX_POOLS
#define SQLPOOL_MAX_POOLS 64
#endif

#if !defined(__GNUC__) && !defined(__clang__) && !defined(SQLPOOL_NO_THREADS)
#error "this compiler's atomics are not known: define SQLPOOL_NO_THREADS"
#endif

#if defined(__GNUC__) || defined(__clang__)
#define SQLPOOL__PRINTF(at, first) __attribute__((__format__(__printf__, at, first)))
#define SQLPOOL__NOINLINE __attribute__((noinline))
#define SQLPOOL__ASSUME(x) ((x) ? (void)0 : __builtin_unreachable())
#define SQLPOOL__ALIGNED(bytes) __attribute__((aligned(bytes)))
#define SQLPOOL__LIKELY(x) __builtin_expect(!!(x), 1)
#define SQLPOOL__UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define SQLPOOL__PRINTF(at, first)
#define SQLPOOL__NOINLINE
#define SQLPOOL__ASSUME(x) ((void)0)
#define SQLPOOL__ALIGNED(bytes)
#define SQLPOOL__LIKELY(x) (x)
#define SQLPOOL__UNLIKELY(x) (x)
#endif

/*==============================================================================
 * >>[I02] PLATFORM: atomics, locks, threads, clock                     (private)
 *==============================================================================
    The only room that knows an operating system. Above the hook tables nothing does: a pool built
    with its own tables never comes here but for the atomics.

    Atomics are wrappers over the compiler's builtins, since _Atomic is not C++ and <stdatomic.h> is
    refused by g++ before C++23. Without threads they are plain accesses.

    Fork: a child inherits the memory but not SQLite's file locks, so nothing of an inherited pool
    may be used, not even closed. pthread_atfork() marks the child, and the mark is one plain load
    on every call. Tried and dropped: a MADV_WIPEONFORK page, which also sees a raw clone(2), at the
    price of a page, a mapping and names that strict C modes hide. Without threads there is no
    atfork and each call asks getpid(). */

/*  Members that are read and written atomically, where a 32-bit machine aligns them to 4 bytes. */
typedef uint64_t sqlpool__u64 SQLPOOL__ALIGNED(8);
typedef int64_t sqlpool__i64 SQLPOOL__ALIGNED(8);

/*  tests/sim lets another thread run before any atomic access. */
#ifdef SQLPOOL_TESTING
extern void sqlpool_testing_point(void);
#define SQLPOOL__POINT sqlpool_testing_point(),
#else
#define SQLPOOL__POINT
#endif

#ifndef SQLPOOL_NO_THREADS
#define SQLPOOL__LOAD(p) (SQLPOOL__POINT __atomic_load_n((p), __ATOMIC_ACQUIRE))
#define SQLPOOL__LOAD_RELAXED(p) (SQLPOOL__POINT __atomic_load_n((p), __ATOMIC_RELAXED))
#define SQLPOOL__LOAD_ORDERED(p) (SQLPOOL__POINT __atomic_load_n((p), __ATOMIC_SEQ_CST))
#define SQLPOOL__STORE(p, v) (SQLPOOL__POINT __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#define SQLPOOL__STORE_RELAXED(p, v) (SQLPOOL__POINT __atomic_store_n((p), (v), __ATOMIC_RELAXED))
#define SQLPOOL__EXCHANGE(p, v) (SQLPOOL__POINT __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST))
#define SQLPOOL__ADD(p, v) (SQLPOOL__POINT __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST))
#define SQLPOOL__AND(p, v) (SQLPOOL__POINT __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST))
#define SQLPOOL__OR(p, v) (SQLPOOL__POINT __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST))
#define SQLPOOL__CAS(p, expected, v) \
    (SQLPOOL__POINT __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_SEQ_CST, \
                                                __ATOMIC_RELAXED))
#define SQLPOOL__THREAD_LOCAL __thread
#else
#define SQLPOOL__LOAD(p) (*(p))
#define SQLPOOL__LOAD_RELAXED(p) (*(p))
#define SQLPOOL__LOAD_ORDERED(p) (*(p))
#define SQLPOOL__STORE(p, v) ((void)(*(p) = (v)))
#define SQLPOOL__STORE_RELAXED(p, v) ((void)(*(p) = (v)))
#define SQLPOOL__EXCHANGE(p, v) ((void)(*(p) = (v)))
#define SQLPOOL__ADD(p, v) ((*(p) += (v)) - (v))
#define SQLPOOL__AND(p, v) ((void)(*(p) &= (v)))
#define SQLPOOL__OR(p, v) ((void)(*(p) |= (v)))
#define SQLPOOL__CAS(p, expected, v) (*(p) == *(expected) ? (*(p) = (v), true) : false)
#define SQLPOOL__THREAD_LOCAL
#endif

struct sqlpool__core;
struct sqlpool__process;

/*  What a caller's sqlpool* points at. */
struct sqlpool {
    struct sqlpool__core *core; /* atomic; NULL: closed */
    uint32_t serial;       /* atomic; number of the pool that has or had this handle; 0: none */
    uint32_t taken;        /* atomic; 1 from open to the end of close */
    sqlpool__u64 freed_at; /* atomic; order of closing, so that the oldest is used again first */
    uint32_t alive;        /* atomic; the serial while the pool is open in this process, else 0 */
} SQLPOOL__ALIGNED(32);

/*  The library's only global state. Handles must outlive their pools (above), the fork mark and the
    count of open pools belong to the process, not to a pool. */
static struct sqlpool__global_state {
    struct sqlpool pools[SQLPOOL_MAX_POOLS];
    sqlpool__u64 closed_count; /* atomic */
    uint32_t opened_count;     /* atomic; makes serials */
    uint32_t open_count;       /* atomic; pools with connections */
    uint32_t forked;           /* atomic; this process is the child of one that had a pool open */
    uint32_t fork_registered;  /* atomic; 1: the atfork handler is in place */
    uint32_t version_warned;   /* atomic; the WAL-reset warning was given */
    struct sqlpool__process *process; /* atomic; set once by sqlpool_global_init() */
    uint32_t next_shard;              /* atomic */
    int64_t process_id;               /* without threads: who opened the pools */
} sqlpool__global;

/*  The slot that this thread used last, tried first next time: its cache lines and statements are
    warm. Its address also tells live threads apart. A wrong hint costs a scan, nothing else. */
static SQLPOOL__THREAD_LOCAL struct sqlpool__hint_state {
    const struct sqlpool__core *core;
    uint32_t slot;
    uint32_t shard;  /* of sqlpool_global_init()'s counters, from 1; 0: none yet */
    uint32_t inside; /* calls of this thread that use a pool without a lease: none may close it */
} sqlpool__hint;

#ifndef SQLPOOL_NO_DEFAULT_HOOKS

static void *sqlpool__default_alloc(void *user, size_t bytes) {
    (void)user;
    return malloc(bytes);
}
static void *sqlpool__default_resize(void *user, void *memory, size_t old_bytes, size_t new_bytes) {
    (void)user;
    (void)old_bytes;
    return realloc(memory, new_bytes);
}
static void sqlpool__default_free(void *user, void *memory, size_t bytes) {
    (void)user;
    (void)bytes;
    free(memory);
}

/*  A strict C mode hides these when a system header came before this file. */
#if defined(__linux__) && !defined(CLOCK_MONOTONIC)
#define CLOCK_MONOTONIC 1
#ifdef __cplusplus
extern "C" {
#endif
int clock_gettime(int clock, struct timespec *now);
int nanosleep(const struct timespec *duration, struct timespec *left);
#ifndef SQLPOOL_NO_THREADS
int pthread_condattr_setclock(pthread_condattr_t *attribute, int clock);
#endif
#ifdef __cplusplus
}
#endif
#endif

static int64_t sqlpool__default_now(void *user) {
    struct timespec now;
    (void)user;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + (int64_t)now.tv_nsec;
}
static void sqlpool__default_sleep(void *user, int64_t duration_ns) {
    struct timespec duration;
    (void)user;
    if (duration_ns == 0) {
        (void)sched_yield();
        return;
    }
    duration.tv_sec = (time_t)(duration_ns / 1000000000);
    duration.tv_nsec = (long)(duration_ns % 1000000000);
    (void)nanosleep(&duration, NULL);
}

#ifndef SQLPOOL_NO_THREADS

static pthread_mutex_t *sqlpool__pthread_mutex(sqlpool_mutex *mutex) {
    return (pthread_mutex_t *)(void *)mutex->room;
}
static pthread_cond_t *sqlpool__pthread_condition(sqlpool_condition *condition) {
    return (pthread_cond_t *)(void *)condition->room;
}
static int sqlpool__default_mutex_init(void *user, sqlpool_mutex *mutex) {
    (void)user;
    return pthread_mutex_init(sqlpool__pthread_mutex(mutex), NULL);
}
static void sqlpool__default_mutex_destroy(void *user, sqlpool_mutex *mutex) {
    (void)user;
    (void)pthread_mutex_destroy(sqlpool__pthread_mutex(mutex));
}
static void sqlpool__default_mutex_lock(void *user, sqlpool_mutex *mutex) {
    (void)user;
    (void)pthread_mutex_lock(sqlpool__pthread_mutex(mutex));
}
static void sqlpool__default_mutex_unlock(void *user, sqlpool_mutex *mutex) {
    (void)user;
    (void)pthread_mutex_unlock(sqlpool__pthread_mutex(mutex));
}
static int sqlpool__default_condition_init(void *user, sqlpool_condition *condition) {
    pthread_condattr_t attribute;
    int rc = pthread_condattr_init(&attribute);
    (void)user;
    if (rc != 0) return rc;
#if !defined(__APPLE__)
    rc = pthread_condattr_setclock(&attribute, CLOCK_MONOTONIC); /* a wall clock jumps */
#endif
    if (rc == 0) rc = pthread_cond_init(sqlpool__pthread_condition(condition), &attribute);
    (void)pthread_condattr_destroy(&attribute);
    return rc;
}
static void sqlpool__default_condition_destroy(void *user, sqlpool_condition *condition) {
    (void)user;
    (void)pthread_cond_destroy(sqlpool__pthread_condition(condition));
}
static void sqlpool__default_condition_wait(void *user, sqlpool_condition *condition,
                                            sqlpool_mutex *mutex, int64_t timeout_ns) {
    if (timeout_ns < 0) {
        (void)pthread_cond_wait(sqlpool__pthread_condition(condition),
                                sqlpool__pthread_mutex(mutex));
        return;
    }
    {
        struct timespec until;
#if defined(__APPLE__)
        until.tv_sec = (time_t)(timeout_ns / 1000000000);
        until.tv_nsec = (long)(timeout_ns % 1000000000);
        (void)user;
        (void)pthread_cond_timedwait_relative_np(sqlpool__pthread_condition(condition),
                                                 sqlpool__pthread_mutex(mutex), &until);
#else
        const int64_t now = sqlpool__default_now(user);
        const int64_t end = timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
        until.tv_sec = (time_t)(end / 1000000000);
        until.tv_nsec = (long)(end % 1000000000);
        (void)pthread_cond_timedwait(sqlpool__pthread_condition(condition),
                                     sqlpool__pthread_mutex(mutex), &until);
#endif
    }
}
static void sqlpool__default_condition_signal(void *user, sqlpool_condition *condition) {
    (void)user;
    (void)pthread_cond_broadcast(sqlpool__pthread_condition(condition));
}
static uint64_t sqlpool__default_thread_id(void *user) {
    (void)user;
    return (uint64_t)(uintptr_t)&sqlpool__hint;
}

/*  pthread_create() wants a function that returns a pointer; this block lives until it has started.
    */
typedef struct sqlpool__thread_start {
    void (*run)(void *);
    void *argument;
} sqlpool__thread_start;

static void *sqlpool__thread_main(void *block) {
    sqlpool__thread_start start = *(sqlpool__thread_start *)block;
    free(block);
#ifdef SIG_SETMASK
    { /* signals are the program's: its handlers must not run on the pool's thread */
        sigset_t all;
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, NULL);
    }
#endif
    start.run(start.argument);
    return NULL;
}
static int sqlpool__default_thread_create(void *user, void **thread, void (*run)(void *),
                                          void *argument) {
    sqlpool__thread_start *start = (sqlpool__thread_start *)malloc(sizeof *start);
    pthread_t id;
    int rc;
    (void)user;
    if (start == NULL) return 1;
    start->run = run;
    start->argument = argument;
    rc = pthread_create(&id, NULL, sqlpool__thread_main, start);
    if (rc != 0) {
        free(start);
        return rc;
    }
    *thread = NULL;
    memcpy(thread, &id, sizeof id < sizeof *thread ? sizeof id : sizeof *thread);
    return 0;
}
static void sqlpool__default_thread_join(void *user, void *thread) {
    pthread_t id;
    (void)user;
    memset(&id, 0, sizeof id);
    memcpy(&id, &thread, sizeof id < sizeof thread ? sizeof id : sizeof thread);
    (void)pthread_join(id, NULL);
}

static void sqlpool__after_fork_in_child(void) {
    if (SQLPOOL__LOAD_RELAXED(&sqlpool__global.open_count) != 0) {
        int i;
        SQLPOOL__STORE_RELAXED(&sqlpool__global.forked, 1);
        for (i = 0; i < SQLPOOL_MAX_POOLS; i++)
            SQLPOOL__STORE_RELAXED(&sqlpool__global.pools[i].alive, 0u);
    }
}

#endif /* threads */
#endif /* default hooks */

/*  Called by every open: from the first one on, children know what they are. */
static void sqlpool__fork_watch(void) {
#if !defined(SQLPOOL_NO_DEFAULT_HOOKS) && !defined(SQLPOOL_NO_THREADS)
    uint32_t none = 0;
    if (SQLPOOL__CAS(&sqlpool__global.fork_registered, &none, 1)) {
        (void)pthread_atfork(NULL, NULL, sqlpool__after_fork_in_child);
    }
#elif !defined(SQLPOOL_NO_DEFAULT_HOOKS) && (defined(__unix__) || defined(__APPLE__))
    if (sqlpool__global.open_count == 0) sqlpool__global.process_id = (int64_t)getpid();
#endif
}

static bool sqlpool__is_forked(void) {
#if defined(SQLPOOL_NO_THREADS) && !defined(SQLPOOL_NO_DEFAULT_HOOKS) && \
    (defined(__unix__) || defined(__APPLE__))
    return sqlpool__global.open_count != 0 && sqlpool__global.process_id != (int64_t)getpid();
#else
    return SQLPOOL__LOAD_RELAXED(&sqlpool__global.forked) != 0;
#endif
}

/*==============================================================================
 * >>[I03] CHECKS: assertions                                           (private)
 *==============================================================================
    SQLPOOL_ASSERT states what must hold whatever the caller does; a caller's mistake is answered
    with SQLPOOL_MISUSE instead. The default is assert() in a debug build and nothing under NDEBUG.
    */

#ifndef SQLPOOL_ASSERT
#if defined(NDEBUG) || defined(SQLPOOL_NO_DEFAULT_HOOKS)
#define SQLPOOL_ASSERT(condition) ((void)0)
#else
#include <assert.h>
#define SQLPOOL_ASSERT(condition) assert(condition)
#endif
#endif

/*==============================================================================
 * >>[I04] MEMORY: the allocator hook and its accounting                (private)
 *==============================================================================
    Every block carries no header: the caller of free knows the size, as the hook wants it. Sizes
    come from counts that a configuration bounds, or are added with sqlpool__size_sum(). */

typedef struct sqlpool__memory {
    sqlpool_allocator hook;   /* fixed after open */
    sqlpool__i64 held_bytes;  /* atomic */
    sqlpool__i64 allocations; /* atomic */
} sqlpool__memory;

static void *sqlpool__alloc(sqlpool__memory *memory, size_t bytes) {
    void *block;
    SQLPOOL_ASSERT(bytes > 0);
    block = memory->hook.alloc_fn(memory->hook.user, bytes);
    if (block == NULL) return NULL;
    (void)SQLPOOL__ADD(&memory->held_bytes, (int64_t)bytes);
    (void)SQLPOOL__ADD(&memory->allocations, (int64_t)1);
    return block;
}

static void sqlpool__free(sqlpool__memory *memory, void *block, size_t bytes) {
    if (block == NULL) return;
    SQLPOOL_ASSERT(SQLPOOL__LOAD_RELAXED(&memory->held_bytes) >= (int64_t)bytes);
    (void)SQLPOOL__ADD(&memory->held_bytes, -(int64_t)bytes);
    memory->hook.free_fn(memory->hook.user, block, bytes);
}

/*  NULL leaves the old block as it was. */
static void *sqlpool__resize(sqlpool__memory *memory, void *block, size_t old_bytes,
                             size_t new_bytes) {
    void *moved;
    SQLPOOL_ASSERT(new_bytes > old_bytes);
    if (block == NULL) return sqlpool__alloc(memory, new_bytes);
    moved = memory->hook.resize_fn(memory->hook.user, block, old_bytes, new_bytes);
    if (moved == NULL) return NULL;
    (void)SQLPOOL__ADD(&memory->held_bytes, (int64_t)(new_bytes - old_bytes));
    (void)SQLPOOL__ADD(&memory->allocations, (int64_t)1);
    return moved;
}

/*  0 when the sum does not fit; no caller asks for 0 bytes. */
static size_t sqlpool__size_sum(size_t a, size_t b) {
    return b > SIZE_MAX - a ? 0 : a + b;
}

static char *sqlpool__copy_prefixed(sqlpool__memory *memory, const char *prefix, const char *text) {
    const size_t head = strlen(prefix), tail = strlen(text) + 1;
    char *copy = (char *)sqlpool__alloc(memory, sqlpool__size_sum(head, tail)), *at = copy;
    if (copy == NULL) return NULL;
    while (*prefix != '\0') *at++ = *prefix++;
    memcpy(at, text, tail);
    return copy;
}

static char *sqlpool__copy_text(sqlpool__memory *memory, const char *text) {
    return sqlpool__copy_prefixed(memory, "", text);
}

/*==============================================================================
 * >>[I05] DIAGNOSTICS: results, text building, error detail            (private)
 *==============================================================================
    Texts are built in place by a writer that counts what it could not fit, so a report knows its
    own length. Control bytes of foreign text (SQL, file names, SQLite's messages) become '?',
    because logs end on terminals. */

typedef struct sqlpool__text {
    char *out;     /* NULL only counts */
    size_t room;   /* bytes of out, the terminator included */
    size_t length; /* of the whole text, fitted or not */
} sqlpool__text;

static sqlpool__text sqlpool__text_into(char *out, size_t room) {
    sqlpool__text text;
    text.out = out;
    text.room = room;
    text.length = 0;
    if (room > 0) out[0] = '\0';
    return text;
}

static void sqlpool__text_byte(sqlpool__text *text, char byte) {
    if (text->length + 1 < text->room) {
        text->out[text->length] = byte;
        text->out[text->length + 1] = '\0';
    }
    text->length++;
}

/*  A text of any length, foreign or ours. */
static void sqlpool__text_string(sqlpool__text *text, const char *string) {
    for (; *string != '\0'; string++) {
        const unsigned char byte = (unsigned char)*string;
        const bool is_control = (byte < 0x20 && byte != '\n') || byte == 0x7f;
        sqlpool__text_byte(text, is_control ? '?' : *string);
    }
}

static void sqlpool__text_add_list(sqlpool__text *text, const char *format, va_list list) {
    char line[1024]; /* one piece; longer ones are cut */
    if (vsnprintf(line, sizeof line, format, list) >= 0) sqlpool__text_string(text, line);
}

SQLPOOL__PRINTF(2, 3)
static void sqlpool__text_add(sqlpool__text *text, const char *format, ...) {
    va_list list;
    va_start(list, format);
    sqlpool__text_add_list(text, format, list);
    va_end(list);
}

/*  A JSON string with its quotes; what is not ASCII text is escaped or replaced. */
static void sqlpool__text_json(sqlpool__text *text, const char *string) {
    sqlpool__text_byte(text, '"');
    for (; *string != '\0'; string++) {
        const unsigned char byte = (unsigned char)*string;
        if (byte == '"' || byte == '\\') sqlpool__text_byte(text, '\\');
        sqlpool__text_byte(text, byte < 0x20 || byte >= 0x7f ? '?' : *string);
    }
    sqlpool__text_byte(text, '"');
}

/*  SQL or another foreign text on one line, cut to `most` bytes. */
static void sqlpool__text_excerpt(sqlpool__text *text, const char *string, size_t most) {
    bool is_space = true;
    size_t written = 0;
    for (; *string != '\0'; string++) {
        const unsigned char byte = (unsigned char)*string;
        if (byte <= 0x20 || byte == 0x7f) {
            if (is_space) continue;
            is_space = true;
            sqlpool__text_byte(text, ' ');
        } else {
            is_space = false;
            sqlpool__text_byte(text, *string);
        }
        if (++written == most && string[1] != '\0') {
            sqlpool__text_add(text, "...");
            return;
        }
    }
}

static const char *const sqlpool__sqlite_names[] = {
    "SQLITE_OK",       "SQLITE_ERROR",   "SQLITE_INTERNAL", "SQLITE_PERM",     "SQLITE_ABORT",
    "SQLITE_BUSY",     "SQLITE_LOCKED",  "SQLITE_NOMEM",    "SQLITE_READONLY", "SQLITE_INTERRUPT",
    "SQLITE_IOERR",    "SQLITE_CORRUPT", "SQLITE_NOTFOUND", "SQLITE_FULL",     "SQLITE_CANTOPEN",
    "SQLITE_PROTOCOL", "SQLITE_EMPTY",   "SQLITE_SCHEMA",   "SQLITE_TOOBIG",   "SQLITE_CONSTRAINT",
    "SQLITE_MISMATCH", "SQLITE_MISUSE",  "SQLITE_NOLFS",    "SQLITE_AUTH",     "SQLITE_FORMAT",
    "SQLITE_RANGE",    "SQLITE_NOTADB",  "SQLITE_NOTICE",   "SQLITE_WARNING"};

SQLPOOL_API const char *sqlpool_result_name(int result) {
    switch (result) {
#define SQLPOOL__RESULT_CASE(name, value, text) \
    case value: \
        return "SQLPOOL_" #name;
        SQLPOOL_RESULTS(SQLPOOL__RESULT_CASE)
#undef SQLPOOL__RESULT_CASE
    default:
        break;
    }
    if (result > 0 &&
        (size_t)(result & 0xff) < sizeof sqlpool__sqlite_names / sizeof *sqlpool__sqlite_names) {
        return sqlpool__sqlite_names[result & 0xff];
    }
    return "unknown result";
}

SQLPOOL_API const char *sqlpool_result_text(int result) {
    switch (result) {
#define SQLPOOL__RESULT_CASE(name, value, text) \
    case value: \
        return text;
        SQLPOOL_RESULTS(SQLPOOL__RESULT_CASE)
#undef SQLPOOL__RESULT_CASE
    default:
        return result > 0 ? "an error of SQLite; see sqlite.org/rescode.html" : "unknown result";
    }
}

static void sqlpool__error_clear(sqlpool_error *error) {
    error->result = SQLPOOL_OK;
    error->sqlite_code = 0;
    error->os_code = 0;
    error->sql_offset = -1;
    error->attempts = 1;
    error->waited_us = 0;
    error->outcome = SQLPOOL_OUTCOME_NONE;
    error->message[0] = '\0';
}

/*  Sets result and message and is the result: `return SQLPOOL__FAIL(error, SQLPOOL_CLOSED, "...")`.
    A macro over a function, so that analysers see the value. */
#define SQLPOOL__FAIL(error, code, ...) \
    (sqlpool__error_text((error), (code), __VA_ARGS__), (error)->result = (code))

SQLPOOL__PRINTF(3, 4)
static void sqlpool__error_text(sqlpool_error *error, int code, const char *format, ...) {
    sqlpool__text text = sqlpool__text_into(error->message, sizeof error->message);
    va_list list;
    va_start(list, format);
    sqlpool__text_add_list(&text, format, list);
    va_end(list);
    if (code > 0) error->sqlite_code = code;
}

/*==============================================================================
 * >>[I06] NUMBERS AND TIME: deadlines, backoff, hash, random           (private)
 *==============================================================================
    A deadline is an absolute number of nanoseconds on the clock hook; SQLPOOL__NEVER means none.
    All arithmetic saturates: INT_MAX milliseconds are 24.8 days, never a wrap into the past. */

#define SQLPOOL__NEVER INT64_MAX
#define SQLPOOL__NS_PER_MS INT64_C(1000000)
#define SQLPOOL__NS_PER_US INT64_C(1000)

static int64_t sqlpool__time_add(int64_t time, int64_t duration) {
    SQLPOOL_ASSERT(duration >= 0);
    if (time == SQLPOOL__NEVER || duration > SQLPOOL__NEVER - (time < 0 ? 0 : time))
        return SQLPOOL__NEVER;
    return time + duration;
}

static int64_t sqlpool__earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/*  SplitMix64 (Steele, Lea, Flood 2014): one addition and three mixes, good enough for jitter and
    safe to share between threads because its state only counts. */
static uint64_t sqlpool__mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/*  0 <= result <= most; the bias of the modulo is below 2^-32 for every range used here. */
static int64_t sqlpool__random_up_to(uint64_t random, int64_t most) {
    return most <= 0 ? 0 : (int64_t)(random % ((uint64_t)most + 1));
}

/*  FNV-1a over SQL text. Texts come from the program, the table is bounded and the whole text is
    compared, so flooding it gains nothing. */
static uint64_t sqlpool__hash(const char *text, size_t bytes) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    size_t i;
    for (i = 0; i < bytes; i++) hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return sqlpool__mix(hash);
}

/*  Delay before try number `attempt` (2, 3, ...): base * multiplier^(attempt-2), capped, with
    jitter. */
static int64_t sqlpool__backoff_us(int attempt, int base_us, int cap_us, int multiplier_percent,
                                   int jitter, uint64_t random) {
    int64_t delay = base_us;
    for (; attempt > 2 && delay < cap_us; attempt--) delay = delay * multiplier_percent / 100;
    if (delay > cap_us) delay = cap_us;
    if (jitter == SQLPOOL_JITTER_FULL) return sqlpool__random_up_to(random, delay);
    if (jitter == SQLPOOL_JITTER_EQUAL)
        return delay / 2 + sqlpool__random_up_to(random, delay - delay / 2);
    return delay;
}

/*==============================================================================
 * >>[I07] CONTAINERS: the intrusive list                               (private)
 *============================================================================*/

typedef struct sqlpool__link {
    struct sqlpool__link *prev, *next;
} sqlpool__link;

static void sqlpool__list_init(sqlpool__link *list) {
    list->prev = list->next = list;
}
static bool sqlpool__list_is_empty(const sqlpool__link *list) {
    return list->next == list;
}
static void sqlpool__list_insert_before(sqlpool__link *place, sqlpool__link *item) {
    item->prev = place->prev;
    item->next = place;
    place->prev->next = item;
    place->prev = item;
}
static void sqlpool__list_remove(sqlpool__link *item) {
    item->prev->next = item->next;
    item->next->prev = item->prev;
    item->prev = item->next = item;
}

/*==============================================================================
 * >>[I08] SQL TEXT: tokens and routing                                 (private)
 *==============================================================================
    Where a statement should run must be known before there is a connection to prepare it on, so its
    text is read as far as needed: to the first word for nearly all, to the main verb for WITH, to
    the argument for PRAGMA. This only chooses a lane. What is allowed is decided by the authorizer
    when the statement is prepared (I10), and whether it really only reads by
    sqlite3_stmt_readonly() (I20): that function is true for COMMIT, ATTACH and PRAGMA optimize and
    false for EXPLAIN INSERT, so it cannot route alone. */

typedef struct sqlpool__token {
    const char *text;
    size_t bytes; /* 0: the end */
    bool is_word;
} sqlpool__token;

static bool sqlpool__is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}
static bool sqlpool__is_word_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || (unsigned char)c >= 0x80;
}

/*  Past white space and comments, which SQLite ends at the end of the text if they are left open.
    */
static const char *sqlpool__skip_space(const char *at, const char *end) {
    while (at < end) {
        if (sqlpool__is_space(*at)) {
            at++;
        } else if (end - at >= 3 && memcmp(at, "\xEF\xBB\xBF", 3) == 0) {
            at += 3; /* a byte order mark is space to SQLite */
        } else if (end - at >= 2 && at[0] == '-' && at[1] == '-') {
            while (at < end && *at != '\n') at++;
        } else if (end - at >= 2 && at[0] == '/' && at[1] == '*') {
            for (at += 2; at < end && !(end - at >= 2 && at[0] == '*' && at[1] == '/'); at++) {
            }
            at = end - at >= 2 ? at + 2 : end;
        } else {
            break;
        }
    }
    return at;
}

/*  The next token: a word, a quoted string or name, or one byte of anything else. */
static sqlpool__token sqlpool__next_token(const char **position, const char *end) {
    sqlpool__token token;
    const char *at = sqlpool__skip_space(*position, end);
    token.text = at;
    token.is_word = false;
    if (at < end && sqlpool__is_word_byte(*at)) {
        token.is_word = true;
        while (at < end && sqlpool__is_word_byte(*at)) at++;
    } else if (at < end && (*at == '\'' || *at == '"' || *at == '`' || *at == '[')) {
        const char close = *at == '[' ? ']' : *at;
        for (at++; at < end; at++) {
            if (*at != close) continue;
            if (close == ']' || at + 1 >= end || at[1] != close) break;
            at++; /* a doubled quote stands for one */
        }
        if (at < end) at++;
    } else if (at < end) {
        at++;
    }
    token.bytes = (size_t)(at - token.text);
    *position = at;
    return token;
}

static bool sqlpool__token_is(const sqlpool__token *token, const char *upper) {
    size_t i;
    if (!token->is_word) return false;
    for (i = 0; i < token->bytes; i++) {
        const char c = token->text[i];
        if (upper[i] == '\0' || upper[i] != (c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c))
            return false;
    }
    return upper[i] == '\0';
}

/*  The same of a name, which may stand in quotes. */
static bool sqlpool__name_is(const sqlpool__token *token, const char *upper) {
    sqlpool__token name = *token;
    if (!name.is_word && name.bytes >= 2) {
        name.text++;
        name.bytes -= 2;
        name.is_word = true;
    }
    return sqlpool__token_is(&name, upper);
}

/*  An empty statement before the first one is no statement. */
static sqlpool__token sqlpool__first_token(const char **position, const char *end) {
    sqlpool__token token;
    do {
        token = sqlpool__next_token(position, end);
    } while (token.bytes == 1 && *token.text == ';');
    return token;
}

/*  PRAGMAs that write to the file; everything else a PRAGMA may do here only reads. */
static bool sqlpool__pragma_writes(const char *at, const char *end) {
    sqlpool__token name = sqlpool__next_token(&at, end);
    sqlpool__token next = sqlpool__next_token(&at, end);
    if (next.bytes == 1 && *next.text == '.') { /* schema.name */
        name = sqlpool__next_token(&at, end);
        next = sqlpool__next_token(&at, end);
    }
    if (sqlpool__name_is(&name, "OPTIMIZE") || sqlpool__name_is(&name, "INCREMENTAL_VACUUM"))
        return true;
    if (next.bytes == 1 && (*next.text == '=' || *next.text == '(')) {
        return sqlpool__name_is(&name, "USER_VERSION") || sqlpool__name_is(&name, "APPLICATION_ID");
    }
    return false;
}

/*  SELECT, VALUES, INSERT, ... behind a WITH clause: the first verb outside parentheses. */
static bool sqlpool__with_writes(const char *at, const char *end) {
    int depth = 0;
    bool is_behind =
        false; /* a ): only there the statement proper begins; REPLACE is also a name */
    for (;;) {
        const sqlpool__token token = sqlpool__next_token(&at, end);
        const bool may_begin = is_behind;
        if (token.bytes == 0) return false;
        is_behind = *token.text == ')';
        if (*token.text == '(') depth++;
        if (*token.text == ')') depth--;
        if (depth != 0 || !may_begin) continue;
        if (sqlpool__token_is(&token, "SELECT") || sqlpool__token_is(&token, "VALUES"))
            return false;
        if (sqlpool__token_is(&token, "INSERT") || sqlpool__token_is(&token, "REPLACE") ||
            sqlpool__token_is(&token, "UPDATE") || sqlpool__token_is(&token, "DELETE")) {
            return true;
        }
    }
}

/*  Most statements begin like this; they need no tokens. */
static bool sqlpool__begins_with_select(const char *sql) {
    return (sql[0] | 0x20) == 's' && (sql[1] | 0x20) == 'e' && (sql[2] | 0x20) == 'l' &&
           (sql[3] | 0x20) == 'e' && (sql[4] | 0x20) == 'c' && (sql[5] | 0x20) == 't' &&
           sqlpool__is_space(sql[6]);
}

static sqlpool_mode sqlpool__route(const char *sql, size_t bytes) {
    const char *at = sql, *const end = sql + bytes;
    const sqlpool__token token = sqlpool__first_token(&at, end);
    if (sqlpool__token_is(&token, "SELECT") || sqlpool__token_is(&token, "VALUES") ||
        sqlpool__token_is(&token, "EXPLAIN") || token.bytes == 0) {
        return SQLPOOL_READ;
    }
    if (sqlpool__token_is(&token, "WITH"))
        return sqlpool__with_writes(at, end) ? SQLPOOL_WRITE : SQLPOOL_READ;
    if (sqlpool__token_is(&token, "PRAGMA")) {
        return sqlpool__pragma_writes(at, end) ? SQLPOOL_WRITE : SQLPOOL_READ;
    }
    return SQLPOOL_WRITE;
}

/*  SQLite says of PRAGMA journal_mode and others that they write even where they only ask. What the
    authorizer lets through and pragma_writes() does not name asks. */
static bool sqlpool__is_reading_pragma(const char *sql, size_t bytes) {
    const char *at = sql;
    const sqlpool__token token = sqlpool__first_token(&at, sql + bytes);
    return sqlpool__token_is(&token, "PRAGMA") && !sqlpool__pragma_writes(at, sql + bytes);
}

/*  Whether anything but space, comments and semicolons is left: where, or NULL. */
static const char *sqlpool__find_statement(const char *at, const char *end) {
    for (;;) {
        at = sqlpool__skip_space(at, end);
        if (at == end) return NULL;
        if (*at != ';') return at;
        at++;
    }
}

/*==============================================================================
 * >>[I10] ENGINE: structures, callbacks, opening a connection          (private)
 *==============================================================================
    From here on the rooms know SQLite. The engine is the one place that opens, configures and
    closes connections and the one that translates SQLite's answers.

    A *slot* is the place of one connection. Its `word` holds a lease number and a state:

        EMPTY ---claim---> LEASED ---give back---> RETURNING ---> IDLE ---take---> LEASED ...
          ^                  |                                      |
          +---- close -------+<------------- upkeep takes it -------+

    The lease number grows with every take, so a handle with an old number is known as stale.
    Whoever made the slot LEASED owns everything under "lease holder only" until it leaves that
    state; opening and closing a connection is done by a holder too, never under the pool's lock.

    RETURNING is what makes the fast path safe without a lock. A releaser exchanges LEASED for
    RETURNING (a full barrier), then looks whether anyone waits, cancels or has closed the gate, and
    only if not stores IDLE. Whoever waits or drains announces itself first and looks at the words
    then: it sees IDLE, or the releaser sees it, or it sees RETURNING and looks again soon.

    One authorizer stays installed on every connection, since each new one makes SQLite prepare all
    statements again (sqlite.org/c3ref/set_authorizer.html). What it does depends on `slot->check`.
    */

/*------------------------------------------------------------------------------
 * >>[I10.1] structures of a connection                                (private)
 *----------------------------------------------------------------------------*/

enum {
    SQLPOOL__EMPTY = 0,
    SQLPOOL__IDLE = 1,
    SQLPOOL__LEASED = 2,
    SQLPOOL__RETURNING = 3,
    SQLPOOL__STATE_MASK = 3
};
#define SQLPOOL__NUMBER_SHIFT 2

/*  Bits of core->gate: any of them sends acquire and release to the slow path. */
enum {
    SQLPOOL__GATE_CLOSED = 1,    /* no new leases, ever */
    SQLPOOL__GATE_PAUSED = 2,    /* new leases wait: sqlpool_pause() */
    SQLPOOL__GATE_EXCLUSIVE = 4, /* new leases wait: sqlpool_exclusive() */
    SQLPOOL__GATE_MOVED = 8,     /* new leases are refused: the file is not ours any more */
    SQLPOOL__GATE_SHARED = 16,   /* readers and the writer exclude each other (no WAL) */
    SQLPOOL__GATE_HOLD = 32,     /* new readers wait a moment so that the log can start over */
    SQLPOOL__GATE_DOUBT = 64     /* nobody waits, but who writes empties the log before */
};

enum {
    SQLPOOL__COUNTER_ZERO = 0,
#define SQLPOOL__COUNTER_ENUM(name, text) SQLPOOL__COUNT_##name,
    SQLPOOL_COUNTERS(SQLPOOL__COUNTER_ENUM)
#undef SQLPOOL__COUNTER_ENUM
        SQLPOOL__COUNTERS
};

/*  What the authorizer does with statements that change the connection. */
typedef enum sqlpool__check {
    SQLPOOL__CHECK_ALLOW = 0, /* the pool's own statements, and re-preparing of old ones */
    SQLPOOL__CHECK_REFUSE,    /* text of the caller is being prepared through the pool */
    SQLPOOL__CHECK_NOTE       /* the raw handle is out: remember that the connection was changed */
} sqlpool__check;

typedef enum sqlpool__role {
    SQLPOOL__ROLE_WRITER,
    SQLPOOL__ROLE_READER,
    SQLPOOL__ROLE_ANY,
    SQLPOOL__ROLE_CHECKPOINTER
} sqlpool__role;

enum {
    SQLPOOL__BEGIN,
    SQLPOOL__BEGIN_IMMEDIATE,
    SQLPOOL__COMMIT,
    SQLPOOL__ROLLBACK,
    SQLPOOL__TOUCH, /* reads the header and nothing else: begins a read transaction */
    SQLPOOL__OWN_STATEMENTS
};

/*  A copy of the log's index header: it changes with every commit of every process. */
#define SQLPOOL__STAMP_WORDS 12
#define SQLPOOL__STAMP_UNUSED 1   /* a word that is 0 */
#define SQLPOOL__STAMP_COUNTER 2  /* the word that counts commits: iChange */
#define SQLPOOL__STAMP_FRAMES 4   /* mxFrame: frames in the log */
#define SQLPOOL__STAMP_SALT 8     /* another one each time that the log starts over */
#define SQLPOOL__BACKFILL 24      /* behind both copies, nBackfill: frames in the database file */
#define SQLPOOL__RENEW UINT32_MAX /* as slot->backfill: begin anew with the next statement */
typedef struct sqlpool__stamp {
    uint32_t words[SQLPOOL__STAMP_WORDS];
} sqlpool__stamp;

/*  A prepared statement with a copy of its text, in one block. The text is freed under the pool's
    lock, because reports on other threads read it. */
typedef struct sqlpool__stmt {
    sqlpool__link link; /* in slot->recent (in the cache) or slot->in_use (handed out) */
    struct sqlpool__stmt *next_in_bucket;
    sqlite3_stmt *handle;
    const char *sql;
    size_t sql_bytes;
    uint64_t hash;
    uint64_t serial;     /* changes whenever it is handed out or comes back */
    size_t block_bytes;  /* of this block */
    size_t charge_bytes; /* against statement_cache_bytes */
    int parameter_count;
    int column_count;
    uint32_t memo;     /* the entry of slot->memo that points here, or SQLPOOL__MEMO_SIZE */
    bool is_cached;    /* has a place in the hash table */
    bool is_in_use;    /* handed out */
    bool is_own;       /* text of ours, which the caller may not run */
    bool reads_rowid;  /* calls last_insert_rowid() */
    bool is_bound;     /* has values from its last use; none of them points anywhere */
    bool has_pointers; /* a value points into the caller's memory or the arena */
    bool is_read_only; /* changes nothing: may run on a reader */
} sqlpool__stmt;

static sqlpool__stmt *sqlpool__stmt_of_link(sqlpool__link *link) {
    return (sqlpool__stmt *)(void *)link; /* link is the first member */
}

/*  slot->has_snapshot: whether upkeep has met the snapshot before. */
enum { SQLPOOL__SNAPSHOT_FRESH = 1, SQLPOOL__SNAPSHOT_SEEN = 2 };

/*  slot->parked: a lease that is held while nothing of it runs. Upkeep may end its snapshot. */
enum { SQLPOOL__NOT_PARKED = 0, SQLPOOL__PARKED = 1, SQLPOOL__UNPINNING = 2 };

#define SQLPOOL__MEMO_SIZE 64u     /* entries of the lookup by pointer: one cache line holds 4 */
#define SQLPOOL__ARENA_BYTES 4096u /* copied arguments of cursors; longer ones SQLite copies */
#define SQLPOOL__PROGRESS_OPS \
    1000 /* VM instructions between looks at deadline and cancel flag: some
                                      10 us; fewer would cost more than the look is worth */

typedef struct sqlpool__memo {
    const char *pointer;
    sqlpool__stmt *stmt;
} sqlpool__memo;

/*  Two cache lines: processors fetch them in pairs, and no slot may share a pair with the next one.
    */
#define SQLPOOL__SLOT_LINE 128

typedef struct sqlpool__slot {
    /* shared: atomic */
    uint64_t word;           /* lease number << 2 | state */
    uint32_t has_snapshot;   /* an open snapshot waits for reuse: SQLPOOL__SNAPSHOT_..., or 0 */
    uint32_t parked;         /* SQLPOOL__PARKED: the holder is not inside a call */
    int64_t scope_since_ns;  /* begin of its snapshot scope; SQLPOOL__NEVER: it has none */
    int64_t scope_report_ns; /* when upkeep reports that scope; SQLPOOL__NEVER: not, or done */
    uint64_t interrupted;    /* the lease number that an interrupt was sent to */
    uint32_t attention;      /* look at the connection before handing it out */
    uint32_t interrupting;   /* a canceller is about to call sqlite3_interrupt() */
    uint64_t cancelled;      /* the lease number that was cancelled */
    uint64_t expired;        /* the lease number whose deadline upkeep saw pass */
    int64_t deadline_ns;     /* of what runs; SQLPOOL__NEVER */
    int64_t dies_ns;         /* end of the connection's lifetime; SQLPOOL__NEVER */
    uint64_t owner;          /* thread of the holder */
    sqlpool_token *token;    /* that cancels what runs; compared by others, read by the holder */
    const char *file;        /* acquire site */
    const char *tag;
    const char *sql;        /* text of a sqlpool__stmt of this slot; freed under the pool's lock */
    sqlpool__u64 frames_at; /* core->frames_total when the lease began */
    uint32_t line;
    uint32_t floor;   /* levels that end with a function of sqlpool_write(), not
                                             by its hand; 0: the lease is its caller's own */
    uint32_t mode;    /* sqlpool_mode of the lease */
    uint32_t is_open; /* has a connection */
    uint32_t epoch;   /* core->epoch when it was opened */
    sqlpool__u64 counters[SQLPOOL__COUNTERS]; /* written by the holder only */

    /* under the pool's lock: what upkeep and reports saw of it */
    uint64_t seen_word;     /* the word last seen */
    int64_t seen_ns;        /* since when it has been that */
    uint64_t seen_use;      /* leases and statements so far, as last seen */
    int64_t seen_use_ns;    /* since when it has been so many */
    uint64_t reported_word; /* the lease that was reported as a leak, while it is out; 0: none */
    bool is_shared_hold;    /* counts in core->holds_read or holds_write */

    /* fixed after open */
    struct sqlpool__core *core;
    sqlpool__role role;

    /* lease holder only */
    sqlite3 *db;
    uint64_t number;    /* of this lease */
    int64_t checked_ns; /* last look at the file */
    int64_t lease_deadline_ns;
    int64_t busy_deadline_ns; /* end of the lock wait of the running statement; 0: not begun */
    bool is_lent; /* the caller has the lease, not only a call or a cursor: see sqlpool__park() */
    int lock_timeout_ms; /* sqlpool_call.timeout_ms of a one-call lease; 0: the default */
    int64_t waited_us;   /* slept for locks since the lease began */
    sqlpool__check check;
    const char *refusal;        /* why the authorizer refused; static text */
    char refused_name[32];      /* of the PRAGMA */
    uint64_t authorized;        /* calls of the authorizer */
    int depth;                  /* 0: no transaction of ours; 1: BEGIN; more: savepoints */
    sqlpool_error cursor_error; /* of the cursor that failed last, until it is closed */
    const void *cursor_failed;  /* its statement */
    sqlpool_error last_error;   /* of the last statement of this lease that failed */
    int trouble;                /* code of a failure that is the disk's or the file's; 0: none */
    char trouble_message[200];
    bool has_failed;          /* something of this lease did: it proves nothing */
    int64_t retry_delay_us;   /* the last one, and */
    int64_t retry_total_us;   /* all of this call */
    int ended_by;             /* code of the error after which SQLite ended our transaction */
    int careful_groups;       /* so many groups to come give each statement a savepoint */
    bool is_bad;              /* close it at release */
    bool is_changed;          /* the raw handle changed it: close it at release */
    bool is_raw;              /* the raw handle is out */
    bool is_relaxed;          /* its COMMITs do not sync now */
    bool saw_rowid;           /* the authorizer saw last_insert_rowid() in what is being prepared */
    bool is_own_text;         /* SQL of ours is being prepared through the cache */
    bool is_committed;        /* a write transaction ended well since this was cleared */
    bool has_frames;          /* and wrote to the log, so that FULL has synced that */
    bool has_commit_begun;    /* since this was cleared: its failure may leave it committed */
    bool is_busy_expired;     /* the busy handler gave up because of the deadline */
    bool is_shielded;         /* one of the pool's own statements runs: never stopped half-way */
    bool is_ending;           /* COMMIT or ROLLBACK runs: cancelling no longer helps */
    bool has_lease_chain;     /* chain was set on this lease */
    sqlpool_chain chain;      /* the caller's handlers in effect */
    sqlpool_chain base_chain; /* as the connect hook left them */
    const volatile uint32_t *stamp_map; /* the log's index in shared memory; NULL: not to be had */
    sqlpool__stamp stamp;               /* as it was before the snapshot began */
    uint32_t backfill;       /* atomic; the log's frames in the database file then, or RENEW */
    bool may_pin;            /* this connection may keep a snapshot */
    bool is_pinned;          /* a BEGIN of ours is open: its snapshot is to be reused */
    bool is_scope;           /* depth 1 is a snapshot scope */
    int64_t scope_end_ns;    /* no statement of the scope begins later */
    uint32_t counter_before; /* of commits, in the stamp, as COMMIT began */
    bool has_counter;        /* it was taken: VACUUM calls no commit hook */
    int pin_credit;          /* above 0: keeping snapshots pays */
    int pin_rest;            /* statements until it is tried again */
    sqlite3_stmt *own[SQLPOOL__OWN_STATEMENTS];

    /* lease holder only: statements (I12) */
    sqlpool__link recent;    /* cached and free, most recently used first */
    sqlpool__link in_use;    /* handed out */
    sqlpool__stmt **buckets; /* hash table */
    uint32_t bucket_count;   /* a power of two */
    int cached_count;
    int64_t cached_bytes;
    sqlpool__memo memo[SQLPOOL__MEMO_SIZE];
    char *arena; /* SQLPOOL__ARENA_BYTES */
    size_t arena_used;
} SQLPOOL__ALIGNED(SQLPOOL__SLOT_LINE) sqlpool__slot;

/*------------------------------------------------------------------------------
 * >>[I10.2] structures of the pool                                    (private)
 *----------------------------------------------------------------------------*/

/*  Slots that serve one mode, and who waits for them. */
typedef struct sqlpool__lane {
    uint32_t first, normal_end, end; /* fixed after open; from normal_end on the reserve */
    uint32_t waiting;                /* atomic; length of the queue, as releasers see it */
    sqlpool__link queue;             /* under the pool's lock: critical first, then by arrival */
    /* under the pool's lock: the last hand-over, when its thread ran, and how long that took */
    int64_t handed_ns, taken_ns, wake_ns;
} sqlpool__lane;

#define SQLPOOL__PRIORITY_NESTED \
    (SQLPOOL_PRIORITY_CRITICAL + 1) /* a reader that holds a reader, where
                                                                    readers and writer exclude */

/*  A write that waits for the writer, and may be run by whoever has it (I20.4): a statement, or a
    function. Everything it points to is its caller's, who sleeps until it is done, or of the entry
    of the submit queue that it is in (I21). */
typedef struct sqlpool__job {
    const struct sqlpool__request *request;
    struct sqlpool__work *work; /* the statement; NULL: fn */
    sqlpool_transaction_fn fn;
    void *user;
    sqlpool_result *result_out;     /* what it did; or NULL */
    sqlpool_error *error;           /* NULL: submitted, and has not failed (or without memory) */
    struct sqlpool__waiter *waiter; /* who sleeps; NULL: the leader's own, or submitted */
    int64_t bytes;                  /* of its arguments */
    int attempt;                    /* how often fn has run */
    int result;
    int outcome; /* sqlpool_outcome, once it is final */
    bool is_submitted;
    bool has_run; /* in the open transaction of its group; it failed, or that holds what it did */
    bool has_failed;
    bool is_alone; /* its group goes on without it */
    bool is_final; /* result and outcome say what became of it */
} sqlpool__job;

/*  A caller that waits; lives on its stack, linked while it holds the lock or sleeps. */
typedef struct sqlpool__waiter {
    sqlpool__link link;
    sqlpool_condition condition;
    uint64_t thread;
    uint64_t arrival;
    int64_t since_ns;
    sqlpool_token *token;
    int priority;
    sqlpool_mode mode;
    sqlpool__job *job; /* a write that whoever has the writer may run with its own; or NULL */
    uint32_t slot;     /* granted by hand-off */
    bool is_taken;     /* the job is in a group: nothing but its end wakes the waiter */
    bool is_done;      /* and that has come */
    bool is_granted;
    bool can_be_refused; /* by the breaker */
    bool is_refused;     /* and that has come: it is in no queue any more */
    bool is_signalled;   /* woken and not yet back: no second signal */
    bool is_queued;
} sqlpool__waiter;

/*  Where a caller stands that leaves the queue only for a moment. */
typedef struct sqlpool__place {
    uint64_t arrival; /* 0: not in the queue yet */
    int64_t since_ns;
} sqlpool__place;

/*  The circuit breaker of a mode. */
enum { SQLPOOL__BREAKER_CLOSED = 0, SQLPOOL__BREAKER_OPEN = 1, SQLPOOL__BREAKER_TRYING = 2 };
typedef struct sqlpool__breaker {
    uint32_t state; /* atomic */
    /* under the pool's lock */
    int code;              /* why it opened */
    char message[200];     /* the same in words */
    int64_t opened_ns;     /* since when it has not been closed */
    int64_t try_ns;        /* when the next call may try */
    int64_t window_ns;     /* since when failures are counted */
    int failures;          /* since then */
    uint64_t window_calls; /* sum of the calls then */
    bool is_locked;        /* nobody tries */
} sqlpool__breaker;

typedef struct sqlpool__core {
    /* fixed after open */
    sqlpool *handle;
    uint32_t serial;
    uint32_t slot_count;
    sqlpool__slot *slots; /* on cache-line boundaries inside slot_block */
    void *slot_block;
    size_t slot_block_bytes;
    sqlpool_config config; /* resolved; its strings are ours */
    char *path;
    char *vfs_name;
    char *name;
    char **warmup;
    int *schedule; /* copy of retry_schedule_us */
    bool is_memory;
    bool is_wal;
    bool is_shared_gate; /* readers and writer exclude each other */
    bool has_thread;     /* the upkeep thread runs */
    bool has_stamp;      /* commits show in shared memory */
    int64_t page_bytes;
    sqlpool__memory memory;
    sqlite3 *keep_alive;         /* :memory: databases live while one connection does */
    sqlpool__slot *checkpointer; /* the last of the slots; in no lane */

    /* atomic */
    uint32_t gate;
    uint32_t is_stamp_bad;            /* it did not show a commit: nothing relies on it any more */
    uint32_t epoch;                   /* recycle: connections of an older one are replaced */
    sqlpool__u64 random;              /* state of the default generator */
    sqlpool__u64 frames_total;        /* frames committed by this pool since open */
    sqlpool__u64 wal_frames;          /* in the log after the last commit or checkpoint */
    sqlpool__u64 log_end;             /* where it was then: start << 32 | frames */
    sqlpool__u64 log_synced;          /* up to where all of it is known to be on the disk */
    uint32_t log_salt;                /* of that start; who has the writer */
    uint32_t syncing;                 /* a sync beside the writer is under way */
    uint32_t checkpoint_due;          /* the log is above its budget */
    uint32_t checkpointing;           /* someone takes care of the log */
    uint32_t is_log_lost;             /* it counts more frames as copied than it has */
    sqlpool__u64 frames_checkpointed; /* frames_total at the last checkpoint */
    uint32_t busy_sleepers;           /* busy handlers that sleep until a commit */
    uint32_t buffers_out;             /* buffered results and bulk loads not closed yet */
    uint32_t ticking;                 /* someone is inside upkeep */
    sqlpool__i64 next_checkpoint_ns;  /* upkeep begins none before this, below half the limit */
    sqlpool__i64 next_wal_hold_ns;    /* no holding of readers before this */
    sqlpool__i64 next_limit_log_ns;   /* no word about the limit before this; who has the writer */
    sqlpool__i64 next_yield_ns;       /* leaders do not yield before this */
    uint32_t contention;              /* writes led less writes alone, up to a limit */
    uint32_t is_awake;                /* upkeep's next pass is at most upkeep_interval_ms away */
    uint32_t inside;                  /* calls that use the core without a lease */
    sqlpool__i64 upkeep_wake_ns;      /* when the upkeep thread wakes by itself */
    sqlpool__u64 commits;
    uint32_t is_counter_checked;        /* a commit of ours moved the stamp's counter */
    uint32_t is_log_doubtful;           /* a sync of it failed, and it was not emptied since */
    const char *snapshot_state;         /* static text, for sqlpool_config_resolved() */
    const volatile uint32_t *stamp_map; /* for sqlpool_changed(); NULL: nobody lends one now */
    uint32_t stamp_users;               /* calls that read through it */
    uint32_t stamp_lent;                /* how often one was lent */
    uint32_t stamp_slot;                /* whose mapping it is: closing that slot waits for them */
    uint32_t scopes;                    /* snapshot scopes that are open */
    sqlpool__u64 durable;               /* commits up to this one are on the disk */
    sqlpool__i64 done_since_ns;         /* since when a done_fn runs; 0: none does */
    sqlpool__u64 counters[SQLPOOL__COUNTERS]; /* what no lease holder counts */

    /* shared, read by everyone in the slow path only */
    sqlpool__lane lanes[2];
    sqlpool__lane *lane_of[2];    /* by sqlpool_mode; the same one in the general topology; fixed */
    sqlpool__breaker breakers[2]; /* by sqlpool_mode */

    sqlpool_mutex lock;
    /* under lock */
    sqlpool_condition commit_condition; /* a commit, for busy handlers */
    sqlpool_condition drain_condition;  /* a lease came back, for drains */
    sqlpool_condition upkeep_condition;
    double retry_tokens;     /* repetitions that the budget allows now */
    int64_t retry_ns;        /* as of then, */
    uint64_t retry_calls;    /* and so many calls */
    int64_t next_pin_log_ns; /* no pin report before this */
    uint64_t arrivals;
    struct sqlpool__entry *entries;   /* the submit queue (I20.3), from the first submission on */
    sqlpool__link entries_free;       /* those of them */
    sqlpool__link entries_queued;     /* in their order */
    int entries_used;                 /* not free */
    int entries_queued_count;         /* and not begun */
    int entries_timed;                /* and with a deadline */
    int room_sleepers;                /* on that */
    int64_t entries_bytes;            /* of their text and arguments */
    uint64_t submit_number;           /* of the last submission */
    sqlpool__place drain_place;       /* of the drainer in the writer's queue */
    uint64_t running_number;          /* the first of the group that runs; 0: none does */
    uint64_t drainer;                 /* thread that runs it; 0: nobody */
    sqlpool_condition work_condition; /* for the submit thread */
    sqlpool_condition room_condition; /* for who waits for room, a flush, or to drain */
    void *submit_thread;
    int pinned_in_row; /* checkpoints that did not finish, since the last that did */
    int draining;      /* sleepers on drain_condition */
    int holds_read;    /* leases under the shared gate */
    int holds_write;
    bool is_upkeep_kicked;
    bool is_upkeep_stopping;
    bool is_submit_idle; /* the thread sleeps on work_condition */
    bool is_submit_stopping;
    bool has_submit_thread;
    bool is_submit_starting; /* someone makes entries and thread */
    bool is_closing;         /* a sqlpool_close() is inside */
    bool is_bypassed;        /* a drained section hands leases to its own thread only */
    uint64_t bypass_thread;
    uint64_t pause_thread; /* for messages */
    int64_t open_retry_ns; /* no opening before this */
    int open_error;        /* of the last failed opening */
    char open_message[256];
    void *upkeep_thread;

    /* upkeep only (one thread at a time, see ticking) */
    int64_t next_reap_ns, next_health_ns;
    int64_t done_reported_ns;  /* done_since_ns of the report */
    uint32_t next_health_slot; /* in turn */
    uint64_t last_activity;    /* sum of lease numbers at the last pass */
} sqlpool__core;

/*------------------------------------------------------------------------------
 * >>[I10.3] small services: time, random, counters, log, lock          (private)
 *----------------------------------------------------------------------------*/

static int64_t sqlpool__now(sqlpool__core *core) {
    return core->config.clock.now_ns_fn(core->config.clock.user);
}
static void sqlpool__sleep(sqlpool__core *core, int64_t duration_ns) {
    core->config.clock.sleep_ns_fn(core->config.clock.user, duration_ns);
}
/*  The default of the random hook; `state` is core->random. */
static uint64_t sqlpool__default_random(void *state) {
    return sqlpool__mix(SQLPOOL__ADD((sqlpool__u64 *)state, UINT64_C(0x9e3779b97f4a7c15)));
}
static uint64_t sqlpool__random(sqlpool__core *core) {
    return core->config.random.next_fn(core->config.random.user);
}
static void sqlpool__lock(sqlpool__core *core) {
    core->config.locks.mutex_lock_fn(core->config.locks.user, &core->lock);
}
static void sqlpool__unlock(sqlpool__core *core) {
    core->config.locks.mutex_unlock_fn(core->config.locks.user, &core->lock);
}
static void sqlpool__signal(sqlpool__core *core, sqlpool_condition *condition) {
    core->config.locks.condition_signal_fn(core->config.locks.user, condition);
}
/*  Waits until signalled or the deadline; the caller looks at its reason again either way. */
static void sqlpool__wait_locked(sqlpool__core *core, sqlpool_condition *condition, int64_t now,
                                 int64_t deadline_ns) {
    const int64_t left = deadline_ns == SQLPOOL__NEVER ? -1
                         : deadline_ns > now           ? deadline_ns - now
                                                       : 0;
    core->config.locks.condition_wait_fn(core->config.locks.user, condition, &core->lock, left);
}
static inline uint64_t sqlpool__thread_id(sqlpool__core *core) {
#if !defined(SQLPOOL_NO_THREADS) && !defined(SQLPOOL_NO_DEFAULT_HOOKS)
    if (SQLPOOL__LIKELY(core->config.locks.thread_id_fn == sqlpool__default_thread_id))
        return sqlpool__default_thread_id(NULL); /* known here: no call through a pointer */
#endif
    return core->config.locks.thread_id_fn(core->config.locks.user);
}

/*  Does this thread hold the slot's lease? With the library's own thread numbers one comparison. */
static inline bool sqlpool__is_mine(const sqlpool__slot *slot) {
    const uint64_t owner = SQLPOOL__LOAD_RELAXED(&slot->owner);
    return SQLPOOL__LIKELY(owner == (uint64_t)(uintptr_t)&sqlpool__hint) ||
           owner == sqlpool__thread_id(slot->core);
}

static void sqlpool__kick_upkeep(sqlpool__core *core) {
    sqlpool__lock(core);
    core->is_upkeep_kicked = true;
    sqlpool__signal(core, &core->upkeep_condition);
    sqlpool__unlock(core);
}

/*  After an idle spell upkeep is far off: work has begun again. */
static void sqlpool__wake_upkeep(sqlpool__core *core) {
    if (!core->has_thread || SQLPOOL__LOAD_RELAXED(&core->is_awake) != 0) return;
    SQLPOOL__STORE(&core->is_awake, 1u);
    sqlpool__kick_upkeep(core);
}

/*  Holder's counters need no read-modify-write; the pool's do. */
#define SQLPOOL__TALLY(slot, name) \
    SQLPOOL__STORE_RELAXED(&(slot)->counters[SQLPOOL__COUNT_##name], \
                           SQLPOOL__LOAD_RELAXED(&(slot)->counters[SQLPOOL__COUNT_##name]) + 1)
#define SQLPOOL__TALLY_POOL(core, name) \
    ((void)SQLPOOL__ADD(&(core)->counters[SQLPOOL__COUNT_##name], (uint64_t)1))

/*  Never called with the lock held: the hook may call the pool. */
SQLPOOL__PRINTF(4, 5)
static void sqlpool__log_line(sqlpool__core *core, sqlpool_level level, sqlpool_log_item item,
                              const char *format, ...) {
    char line[1280];
    sqlpool__text text = sqlpool__text_into(line, sizeof line);
    va_list list;
    if (core->config.log.write_fn == NULL) return;
    sqlpool__text_add(&text, "%s: ", core->config.name);
    va_start(list, format);
    sqlpool__text_add_list(&text, format, list);
    va_end(list);
    core->config.log.write_fn(core->config.log.user, level, item, line);
}

/*  A lease keeps the pool alive: sqlpool_close() waits for it. Who works on the pool without one
    counts as inside meanwhile; leaving is the last touch. */
static void sqlpool__go_inside(sqlpool__core *core) {
    (void)SQLPOOL__ADD(&core->inside, 1u);
    sqlpool__hint.inside++;
}
static void sqlpool__go_outside(sqlpool__core *core) {
    sqlpool__hint.inside--;
    (void)SQLPOOL__ADD(&core->inside, (uint32_t)-1);
}

/*  The one way out of a public call that failed: log misuse, tell the error hook. */
static int sqlpool__finish(sqlpool__core *core, const sqlpool_error *error) {
    const int result = error->result;
    if (SQLPOOL__LIKELY(result == SQLPOOL_OK)) return SQLPOOL_OK;
    sqlpool__go_inside(core); /* a hook must not close the pool under the next one */
    if (result == SQLPOOL_MISUSE) {
        SQLPOOL__TALLY_POOL(core, misuses);
        sqlpool__log_line(core, SQLPOOL_LEVEL_ERROR, SQLPOOL_LOG_MISUSE, "%s", error->message);
    }
    if (core->config.events.error_fn != NULL)
        core->config.events.error_fn(core->config.events.user, error);
    sqlpool__go_outside(core);
    return result;
}

static bool sqlpool__is_memory_path(const char *path) {
    return strcmp(path, ":memory:") == 0;
}

static uint64_t sqlpool__counter(const sqlpool__core *core, int which) {
    uint64_t sum = SQLPOOL__LOAD_RELAXED(&core->counters[which]);
    uint32_t i;
    for (i = 0; i < core->slot_count; i++)
        sum += SQLPOOL__LOAD_RELAXED(&core->slots[i].counters[which]);
    return sum;
}

/*------------------------------------------------------------------------------
 * >>[I10.4] callbacks that SQLite calls                                (private)
 *----------------------------------------------------------------------------*/

static inline bool sqlpool__is_cancelled(const sqlpool__slot *slot) {
    const sqlpool_token *token = SQLPOOL__LOAD_RELAXED(&slot->token);
    return SQLPOOL__LOAD_RELAXED(&slot->cancelled) == slot->number ||
           (token != NULL && SQLPOOL__LOAD_RELAXED(&token->fired) != 0);
}

static int sqlpool__on_progress(void *argument) {
    sqlpool__slot *slot = (sqlpool__slot *)argument;
    const int64_t deadline = SQLPOOL__LOAD_RELAXED(&slot->deadline_ns);
    if (slot->is_shielded || slot->is_committed)
        return 0; /* SQLite also asks after an autocommit */
    if (sqlpool__is_cancelled(slot)) return 1;
    if (deadline != SQLPOOL__NEVER && sqlpool__now(slot->core) >= deadline) {
        SQLPOOL__STORE_RELAXED(&slot->expired, slot->number);
        return 1;
    }
    return slot->chain.progress_fn != NULL && slot->chain.progress_fn(slot->chain.user) != 0;
}

/*  SQLite's own timeout ignores an interrupt while it sleeps and its growing delays punish the
    oldest waiter. This one sees deadline and cancel flag, wakes with every commit of this process
    and polls other processes at a flat random interval. SQLite does not call it where waiting could
    not help: that is the retry's work (I15). */
static int sqlpool__on_busy(void *argument, int count) {
    sqlpool__slot *slot = (sqlpool__slot *)argument;
    sqlpool__core *core = slot->core;
    const sqlpool_config *config = &core->config;
    const int64_t now = sqlpool__now(core);
    int64_t pause;
    if (slot->chain.busy_fn != NULL && slot->chain.busy_fn(slot->chain.user, count) == 0) return 0;
    if (!slot->is_ending && sqlpool__is_cancelled(slot)) return 0;
    if (slot->busy_deadline_ns == 0) {
        const int timeout =
            slot->lock_timeout_ms != 0 ? slot->lock_timeout_ms : config->acquire_timeout_ms;
        slot->busy_deadline_ns =
            sqlpool__earlier(SQLPOOL__LOAD_RELAXED(&slot->deadline_ns),
                             timeout == SQLPOOL_NO_WAIT ? now
                             : timeout < 0              ? SQLPOOL__NEVER
                                           : sqlpool__time_add(now, timeout * SQLPOOL__NS_PER_MS));
    }
    if (now >= slot->busy_deadline_ns) {
        slot->is_busy_expired = true;
        return 0;
    }
    pause = SQLPOOL__NS_PER_US *
            (config->busy_poll_min_us +
             sqlpool__random_up_to(sqlpool__random(core),
                                   config->busy_poll_max_us - config->busy_poll_min_us));
    pause = sqlpool__earlier(pause, slot->busy_deadline_ns - now);
    SQLPOOL__TALLY(slot, busy_waits);
#ifdef SQLPOOL_NO_THREADS
    sqlpool__sleep(core, pause);
#else
    (void)SQLPOOL__ADD(&core->busy_sleepers, 1u);
    sqlpool__lock(core);
    sqlpool__wait_locked(core, &core->commit_condition, now, now + pause);
    sqlpool__unlock(core);
    (void)SQLPOOL__ADD(&core->busy_sleepers, (uint32_t)-1);
#endif
    slot->waited_us += (sqlpool__now(core) - now) / SQLPOOL__NS_PER_US;
    return 1;
}

/*  Has no commit of this pool shown yet that the stamp can be relied on? */
static bool sqlpool__is_counter_due(const sqlpool__slot *slot) {
    return SQLPOOL__UNLIKELY(SQLPOOL__LOAD_RELAXED(&slot->core->is_counter_checked) == 0) &&
           slot->stamp_map != NULL && !slot->is_raw;
}

static int sqlpool__on_commit(void *argument) {
    sqlpool__slot *slot = (sqlpool__slot *)argument;
    /* SQLite has ended the transaction, and a function that missed it steps on: each statement
       would commit by itself what was to be all or nothing */
    if (slot->depth > 0 && !slot->is_ending && !slot->is_raw) return 1;
    if (slot->chain.commit_fn != NULL && slot->chain.commit_fn(slot->chain.user) != 0) return 1;
    slot->is_committed = slot->has_commit_begun = true;
    slot->has_frames = false; /* the wal_hook comes after this, if anything was written */
    if (sqlpool__is_counter_due(slot)) { /* nobody else commits: the write lock is ours */
        slot->counter_before = SQLPOOL__LOAD(&slot->stamp_map[SQLPOOL__STAMP_COUNTER]);
        slot->has_counter = true;
    }
    return 0;
}

static void sqlpool__on_rollback(void *argument) {
    sqlpool__slot *slot = (sqlpool__slot *)argument;
    if (slot->is_pinned || slot->is_scope) return; /* the pool's own BEGIN */
    slot->is_committed = false;
    if (slot->chain.rollback_fn != NULL) slot->chain.rollback_fn(slot->chain.user);
}

static void sqlpool__on_update(void *argument, int action, const char *database, const char *table,
                               sqlite3_int64 rowid) {
    sqlpool__slot *slot = (sqlpool__slot *)argument;
    if (slot->chain.update_fn != NULL)
        slot->chain.update_fn(slot->chain.user, action, database, table, rowid);
}

/*  Runs inside COMMIT, after the write: only records. A smaller log than before has started over.
    */
static int sqlpool__on_wal(void *argument, sqlite3 *db, const char *database, int frames) {
    sqlpool__slot *slot = (sqlpool__slot *)argument;
    sqlpool__core *core = slot->core;
    if (strcmp(database, "main") == 0 && frames >= 0) {
        const uint64_t now = (uint64_t)frames, before = SQLPOOL__LOAD_RELAXED(&core->wal_frames);
        const uint32_t salt =
            slot->stamp_map != NULL ? SQLPOOL__LOAD(&slot->stamp_map[SQLPOOL__STAMP_SALT]) : 0;
        uint64_t start = SQLPOOL__LOAD_RELAXED(&core->log_end) >> 32;
        if (salt != SQLPOOL__LOAD_RELAXED(&core->log_salt) || now <= before) start++; /* over */
        SQLPOOL__STORE_RELAXED(&core->log_salt, salt);
        slot->has_frames = true;
        SQLPOOL__STORE_RELAXED(&core->wal_frames, now);
        SQLPOOL__STORE(&core->log_end, start << 32 | now);
        (void)SQLPOOL__ADD(&core->frames_total, now > before ? now - before : now);
        if (sqlpool__is_counter_due(slot) && slot->has_counter) {
            if (SQLPOOL__LOAD(&slot->stamp_map[SQLPOOL__STAMP_COUNTER]) == slot->counter_before)
                SQLPOOL__STORE(&core->is_stamp_bad, 1u);
            SQLPOOL__STORE_RELAXED(&core->is_counter_checked, 1u);
        }
        slot->has_counter = false;
    }
    if (slot->chain.wal_fn != NULL)
        (void)slot->chain.wal_fn(slot->chain.user, db, database, frames);
    return SQLITE_OK; /* SQLite would report a failure of what it has committed */
}

static bool sqlpool__is_one_of(const char *word, const char *const *list) {
    for (; *list != NULL; list++) {
        if (sqlite3_stricmp(word, *list) == 0) return true;
    }
    return false;
}

/*  PRAGMAs whose argument names something to look at, or that write to the file, not the
    connection. */
static const char *const sqlpool__harmless_pragmas[] = {
    "table_info",   "table_xinfo",      "table_list",        "index_list",         "index_info",
    "index_xinfo",  "foreign_key_list", "foreign_key_check", "integrity_check",    "quick_check",
    "user_version", "application_id",   "optimize",          "incremental_vacuum", NULL};

/*  What to say instead, per PRAGMA; the last entry is for all others. */
static const struct {
    const char *pragma, *instead;
} sqlpool__pragma_advice[] = {
    {"wal_checkpoint", "use sqlpool_checkpoint()"},
    {"wal_autocheckpoint",
     "the pool checkpoints by itself; set wal_budget_bytes in sqlpool_config"},
    {"journal_mode", "set journal in sqlpool_config"},
    {"synchronous", "set synchronous in sqlpool_config"},
    {"query_only", "sqlpool_conn_acquire() with SQLPOOL_WRITE gives a lease that writes"},
    {"foreign_keys", "set disable_foreign_keys in sqlpool_config"},
    {"busy_timeout", "set acquire_timeout_ms in sqlpool_config or timeout_ms in sqlpool_call"},
    {"cache_size", "set page_cache_kib in sqlpool_config"},
    {"mmap_size", "set mmap_bytes in sqlpool_config"},
    {"journal_size_limit", "set journal_size_limit_bytes in sqlpool_config"},
    {NULL, "set it in events.connect_fn, or use the raw handle of a lease, sqlpool_conn_db()"}};

/*  Why a statement may not be prepared through the pool, or NULL. */
static const char *sqlpool__refusal(int action, const char *a, const char *b,
                                    const char *database) {
    size_t i;
    switch (action) {
    case SQLITE_TRANSACTION:
        return "use sqlpool_transaction(), or sqlpool_conn_begin() and _commit() on a lease";
    case SQLITE_SAVEPOINT:
        return "use sqlpool_conn_transaction(), or sqlpool_conn_begin() inside a transaction";
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
        return "attach in events.connect_fn, so that every connection has the database";
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
        return "a temporary object lives on one connection: use the raw handle of a lease, "
               "sqlpool_conn_db()";
    case SQLITE_CREATE_VTABLE:
        return database != NULL && sqlite3_stricmp(database, "temp") == 0
                   ? "a temporary object lives on one connection: use the raw handle of a lease, "
                     "sqlpool_conn_db()"
                   : NULL;
    case SQLITE_PRAGMA:
        if (a == NULL || (b == NULL && sqlite3_stricmp(a, "wal_checkpoint") != 0)) return NULL;
        if (sqlpool__is_one_of(a, sqlpool__harmless_pragmas)) return NULL;
        for (i = 0; sqlpool__pragma_advice[i].pragma != NULL; i++) {
            if (sqlite3_stricmp(a, sqlpool__pragma_advice[i].pragma) == 0) break;
        }
        return sqlpool__pragma_advice[i].instead;
    default:
        return NULL;
    }
}

static int sqlpool__on_authorize(void *argument, int action, const char *a, const char *b,
                                 const char *database, const char *trigger) {
    sqlpool__slot *slot = (sqlpool__slot *)argument;
    slot->authorized++;
    if (action == SQLITE_FUNCTION && b != NULL && sqlite3_stricmp(b, "last_insert_rowid") == 0) {
        slot->saw_rowid = true;
    }
    if (slot->check != SQLPOOL__CHECK_ALLOW) {
        const char *refusal = sqlpool__refusal(action, a, b, database);
        if (refusal != NULL && slot->check == SQLPOOL__CHECK_REFUSE) {
            sqlpool__text name = sqlpool__text_into(slot->refused_name, sizeof slot->refused_name);
            slot->refusal = refusal;
            if (action == SQLITE_PRAGMA) sqlpool__text_add(&name, "PRAGMA %s", a);
            return SQLITE_DENY;
        }
        if (refusal != NULL && action != SQLITE_TRANSACTION && action != SQLITE_SAVEPOINT)
            slot->is_changed = true;
    }
    if (slot->chain.authorizer_fn != NULL) {
        return slot->chain.authorizer_fn(slot->chain.user, action, a, b, database, trigger);
    }
    return SQLITE_OK;
}

/*  All but the authorizer; also after the raw handle was out. The progress handler and the hooks
    cost nothing until they are called. */
static void sqlpool__install_handlers(sqlpool__slot *slot) {
    sqlite3_busy_handler(slot->db, sqlpool__on_busy, slot);
    sqlite3_progress_handler(slot->db, SQLPOOL__PROGRESS_OPS, sqlpool__on_progress, slot);
    (void)sqlite3_commit_hook(slot->db, sqlpool__on_commit, slot);
    (void)sqlite3_rollback_hook(slot->db, sqlpool__on_rollback, slot);
    (void)sqlite3_update_hook(slot->db, slot->chain.update_fn != NULL ? sqlpool__on_update : NULL,
                              slot);
    (void)sqlite3_wal_autocheckpoint(slot->db, 0); /* also removes a wal_hook: so before ours */
    (void)sqlite3_wal_hook(slot->db, sqlpool__on_wal, slot);
}

/*------------------------------------------------------------------------------
 * >>[I10.5] errors of SQLite                                           (private)
 *----------------------------------------------------------------------------*/

static int sqlpool__primary(int code) {
    return code > 0 ? code & 0xff : code;
}

/*  After these the connection's idea of the file is not to be trusted: it is opened anew. */
static bool sqlpool__is_connection_bad(int code) {
    switch (sqlpool__primary(code)) {
    case SQLITE_IOERR:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CANTOPEN:
        return code != SQLITE_IOERR_NOMEM;
    default:
        return false;
    }
}

/*  The pool's result for a code of SQLite, given why the statement was stopped. */
static int sqlpool__translate(sqlpool__slot *slot, int code) {
    const int primary = sqlpool__primary(code);
    if (primary == SQLITE_AUTH && slot->refusal != NULL) return SQLPOOL_REFUSED;
    if (code == SQLITE_READONLY_DBMOVED) return SQLPOOL_MOVED;
    if (primary == SQLITE_BUSY && slot->is_busy_expired) {
        return slot->lock_timeout_ms == SQLPOOL_NO_WAIT ? SQLPOOL_WOULD_BLOCK : SQLPOOL_TIMEOUT;
    }
    if ((primary == SQLITE_INTERRUPT || primary == SQLITE_BUSY) && sqlpool__is_cancelled(slot)) {
        return SQLPOOL_CANCELLED;
    }
    if (primary == SQLITE_INTERRUPT && SQLPOOL__LOAD_RELAXED(&slot->expired) == slot->number) {
        return SQLPOOL_TIMEOUT;
    }
    if (primary == SQLITE_INTERRUPT && SQLPOOL__LOAD_RELAXED(&slot->interrupted) == slot->number)
        return SQLPOOL_CANCELLED; /* by a token that its owner has zeroed meanwhile */
    return code;
}

/*  Who asked: tag and place of the lease. */
static void sqlpool__text_site(sqlpool__text *text, const sqlpool__slot *slot) {
    const char *tag = SQLPOOL__LOAD_RELAXED(&slot->tag), *file = SQLPOOL__LOAD_RELAXED(&slot->file);
    if (tag != NULL) sqlpool__text_add(text, " [%s]", tag);
    if (file != NULL && SQLPOOL__LOAD_RELAXED(&slot->line) != 0)
        sqlpool__text_add(text, " at %s:%u", file, SQLPOOL__LOAD_RELAXED(&slot->line));
}

/*  A failure that the breaker counts: not the statement's, but the disk's, the file's, or of locks
    that nobody gave back in time. */
static void sqlpool__note_trouble(sqlpool__slot *slot, int code, int result, const char *message) {
    const int primary = sqlpool__primary(code);
    sqlpool__text text;
    if (slot->core->config.breaker_open_ms <= 0 || slot->role == SQLPOOL__ROLE_CHECKPOINTER) return;
    if (!(sqlpool__is_connection_bad(code) || primary == SQLITE_FULL ||
          primary == SQLITE_PROTOCOL || (primary == SQLITE_BUSY && result == SQLPOOL_TIMEOUT) ||
          (primary == SQLITE_READONLY && result != SQLPOOL_MOVED && !slot->core->config.read_only &&
           SQLPOOL__LOAD_RELAXED(&slot->mode) == SQLPOOL_WRITE)))
        return;
    if (slot->trouble != 0 || code == SQLITE_CORRUPT_VTAB) return; /* the first cause; an index */
    slot->trouble = code;
    text = sqlpool__text_into(slot->trouble_message, sizeof slot->trouble_message);
    sqlpool__text_excerpt(&text, message, sizeof slot->trouble_message - 4);
}

/*  Is every commit synced by itself, unless it is relaxed? */
static bool sqlpool__is_full(const sqlpool__core *core) {
    return core->config.synchronous == SQLPOOL_SYNCHRONOUS_FULL ||
           core->config.synchronous == SQLPOOL_SYNCHRONOUS_EXTRA;
}

/*  A sync of the log failed. It is not made good by one that succeeds: the system may have dropped
    what it could not write, and says so once. There may be a hole in the log: what is committed
    behind it would be lost with it, and a checkpoint could not be repeated after a power loss. So
    what was not known to be on the disk is written over itself, the same bytes, and synced, before
    the next checkpoint, and before the next commit that has to be durable. Where every commit was
    synced by itself, and the one that was not has failed, there is nothing to doubt. */
static void sqlpool__doubt_log(sqlpool__core *core) {
    const bool is_full = sqlpool__is_full(core);
    if (is_full && SQLPOOL__LOAD(&core->durable) >= SQLPOOL__LOAD(&core->commits)) return;
    SQLPOOL__STORE(&core->is_log_doubtful, 1u);
    if (is_full && core->is_wal) (void)SQLPOOL__OR(&core->gate, (uint32_t)SQLPOOL__GATE_DOUBT);
}

/*  A sync beside the writer begins. Until it is known how it ended no commit is called durable: its
    own sync may have succeeded because this one was told of what is lost. */
static uint64_t sqlpool__sync_begins(sqlpool__core *core) {
    (void)SQLPOOL__ADD(&core->syncing, 1u);
    return SQLPOOL__LOAD_ORDERED(&core->log_synced);
}
static void sqlpool__sync_ends(sqlpool__core *core, int rc, uint64_t synced_before) {
    if (rc != SQLITE_OK && rc != SQLITE_NOTFOUND) {
        SQLPOOL__STORE(&core->is_log_doubtful, 1u);
        SQLPOOL__STORE(&core->log_synced, synced_before);
        if (sqlpool__is_full(core)) (void)SQLPOOL__OR(&core->gate, (uint32_t)SQLPOOL__GATE_DOUBT);
    }
    (void)SQLPOOL__ADD(&core->syncing, (uint32_t)-1);
}
static void sqlpool__await_sync(sqlpool__core *core) {
    while (SQLPOOL__LOAD_ORDERED(&core->syncing) != 0)
        sqlpool__sleep(core, 10 * SQLPOOL__NS_PER_US);
}

/*  The log was synced, and had come so far before. */
static void sqlpool__log_is_synced(sqlpool__core *core, uint64_t end) {
    if (SQLPOOL__LOAD(&core->log_synced) < end) SQLPOOL__STORE(&core->log_synced, end);
}

/*  Fills the error from the connection, before anything else touches it. `sql` may be NULL. */
static int sqlpool__sqlite_failed(sqlpool__slot *slot, int code, const char *sql,
                                  sqlpool_error *error) {
    sqlpool__core *core = slot->core;
    const int result = sqlpool__translate(slot, code);
    sqlpool__text text = sqlpool__text_into(error->message, sizeof error->message);
    error->result = result;
    error->sqlite_code = code;
    error->os_code = slot->db != NULL ? sqlite3_system_errno(slot->db) : 0;
    error->waited_us = slot->waited_us;
    slot->has_failed = true;
    if (code == SQLITE_IOERR_FSYNC && slot->role != SQLPOOL__ROLE_CHECKPOINTER)
        sqlpool__doubt_log(core); /* before a checkpoint the log is synced, so that is the file */
    if (result == SQLPOOL_REFUSED) {
        sqlpool__text_add(&text, "refused%s%s: %s", slot->refused_name[0] != '\0' ? " " : "",
                          slot->refused_name, slot->refusal);
    } else if (result == SQLPOOL_WOULD_BLOCK) {
        sqlpool__text_add(&text, "another connection or process holds a lock");
    } else if (result == SQLPOOL_TIMEOUT && sqlpool__primary(code) == SQLITE_BUSY) {
        sqlpool__text_add(&text,
                          "the deadline passed after %lld ms of waiting for a lock that another "
                          "connection or process holds",
                          (long long)(slot->waited_us / 1000));
        SQLPOOL__TALLY(slot, expirations);
    } else if (result == SQLPOOL_TIMEOUT) {
        sqlpool__text_add(
            &text, "the statement ran into its deadline; raise the timeout or make it cheaper");
        SQLPOOL__TALLY(slot, expirations);
    } else if (result == SQLPOOL_MOVED) {
        (void)SQLPOOL__OR(&core->gate, (uint32_t)SQLPOOL__GATE_MOVED);
        sqlpool__text_add(&text,
                          "the database file \"%s\" was moved, replaced or deleted; call "
                          "sqlpool_recycle() to go on with what is at that path now",
                          core->path);
    } else if (result == SQLPOOL_CANCELLED) {
        sqlpool__text_add(&text, "cancelled");
        SQLPOOL__TALLY(slot, cancellations);
    } else {
        sqlpool__text_excerpt(
            &text, slot->db != NULL ? sqlite3_errmsg(slot->db) : sqlite3_errstr(code), 500);
        sqlpool__text_add(&text, " (%s %d)", sqlpool_result_name(code), code);
#if SQLITE_VERSION_NUMBER >= 3038000
        if (slot->db != NULL && sqlpool__primary(code) == SQLITE_ERROR) {
            error->sql_offset = sqlite3_error_offset(slot->db);
        }
#endif
        if (sqlpool__primary(code) == SQLITE_READONLY &&
            SQLPOOL__LOAD_RELAXED(&slot->is_open) != 0) {
            sqlpool__text_add(&text, core->config.read_only
                                         ? "; the pool is read-only"
                                         : "; a reader cannot write: acquire with SQLPOOL_WRITE");
        }
    }
    sqlpool__note_trouble(slot, code, result, error->message);
    if (sql != NULL) {
        sqlpool__text_add(&text, "; in: ");
        sqlpool__text_excerpt(&text, sql, 200);
    }
    sqlpool__text_add(&text, "; %s", core->config.name);
    sqlpool__text_site(&text, slot);
    if (sqlpool__is_connection_bad(code)) slot->is_bad = true;
    return result;
}

/*------------------------------------------------------------------------------
 * >>[I10.6] opening and configuring                                    (private)
 *----------------------------------------------------------------------------*/

/*  Runs SQL that we wrote; the first column of the first row goes to `value` (text is cut to fit).
    */
static int sqlpool__ask(sqlite3 *db, const char *sql, char *value, size_t value_bytes) {
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (value_bytes > 0) value[0] = '\0';
    while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (value_bytes > 0 && value[0] == '\0' && text != NULL) {
            sqlpool__text into = sqlpool__text_into(value, value_bytes);
            sqlpool__text_add(&into, "%s", text);
        }
        rc = SQLITE_OK;
    }
    { /* finalize repeats the error of the step */
        const int final_rc = sqlite3_finalize(statement);
        return rc == SQLITE_DONE || rc == SQLITE_OK ? final_rc : rc;
    }
}

static int64_t sqlpool__to_int64(const char *digits) {
    int64_t value = 0;
    const bool is_negative = *digits == '-';
    for (digits += is_negative ? 1 : 0; *digits >= '0' && *digits <= '9'; digits++) {
        value = value * 10 + (*digits - '0');
    }
    return is_negative ? -value : value;
}

/*  Sets an integer PRAGMA, reads it back; what it is now goes to `granted`. */
static int sqlpool__set_pragma(sqlpool__slot *slot, const char *name, int64_t value,
                               int64_t *granted) {
    char sql[96], answer[32];
    sqlpool__text text = sqlpool__text_into(sql, sizeof sql);
    int rc;
    sqlpool__text_add(&text, "PRAGMA %s=%lld", name, (long long)value);
    rc = sqlpool__ask(slot->db, sql, NULL, 0);
    if (rc != SQLITE_OK) return rc;
    text = sqlpool__text_into(sql, sizeof sql);
    sqlpool__text_add(&text, "PRAGMA %s", name);
    rc = sqlpool__ask(slot->db, sql, answer, sizeof answer);
    *granted = answer[0] == '\0' ? 0 : sqlpool__to_int64(answer);
    if (rc == SQLITE_OK && *granted != value) {
        sqlpool__log_line(slot->core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_FALLBACK,
                          "PRAGMA %s=%lld is not available here; it is %lld", name,
                          (long long)value, (long long)*granted);
    }
    return rc;
}

static const char *const sqlpool__journal_names[] = {"wal", "delete", "truncate", "persist",
                                                     "memory"};
enum { SQLPOOL__JOURNALS = 5 };

/*  SQLite refuses the change to WAL with BUSY, without asking the busy handler, while anyone else
    uses the file: so the waiting is done here. */
static int sqlpool__set_journal(sqlpool__slot *slot, int64_t deadline_ns) {
    sqlpool__core *core = slot->core;
    char sql[64], answer[16];
    sqlpool__text text = sqlpool__text_into(sql, sizeof sql);
    int rc, i;
    sqlpool__text_add(&text, "PRAGMA journal_mode=%s",
                      sqlpool__journal_names[core->config.journal]);
    while ((rc = sqlpool__primary(sqlpool__ask(slot->db, sql, answer, sizeof answer))) ==
               SQLITE_BUSY ||
           rc == SQLITE_LOCKED) {
        if (sqlpool__now(core) >= deadline_ns) return rc;
        sqlpool__sleep(core, core->config.busy_poll_max_us * SQLPOOL__NS_PER_US);
    }
    if (rc != SQLITE_OK) return rc;
    for (i = 0; i < SQLPOOL__JOURNALS; i++) {
        if (sqlite3_stricmp(answer, sqlpool__journal_names[i]) != 0) continue;
        if (i == core->config.journal || core->is_memory) return SQLITE_OK;
        sqlpool__log_line(core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_FALLBACK,
                          "journal_mode=%s is not available here; it is %s",
                          sqlpool__journal_names[core->config.journal], answer);
        if (core->page_bytes != 0)
            return SQLITE_CANTOPEN; /* others run in the mode found at open */
        core->config.journal = i;
    }
    return SQLITE_OK;
}

/*  The values that sqlite.org/security.html recommends for SQL and files from outside. */
static void sqlpool__set_limits(sqlite3 *db) {
    static const struct {
        int id, most;
    } limits[] = {{SQLITE_LIMIT_LENGTH, 1000000},
                  {SQLITE_LIMIT_SQL_LENGTH, 100000},
                  {SQLITE_LIMIT_COLUMN, 100},
                  {SQLITE_LIMIT_EXPR_DEPTH, 10},
                  {SQLITE_LIMIT_COMPOUND_SELECT, 3},
                  {SQLITE_LIMIT_VDBE_OP, 25000},
                  {SQLITE_LIMIT_FUNCTION_ARG, 8},
                  {SQLITE_LIMIT_ATTACHED, 0},
                  {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50},
                  {SQLITE_LIMIT_VARIABLE_NUMBER, 10},
                  {SQLITE_LIMIT_TRIGGER_DEPTH, 10}};
    size_t i;
    for (i = 0; i < sizeof limits / sizeof *limits; i++)
        (void)sqlite3_limit(db, limits[i].id, limits[i].most);
}

static void sqlpool__set_defences(sqlpool__slot *slot) {
    const sqlpool_config *config = &slot->core->config;
    int now = 0;
    (void)sqlite3_db_config(slot->db, SQLITE_DBCONFIG_DEFENSIVE, config->disable_defensive ? 0 : 1,
                            &now);
    (void)sqlite3_db_config(slot->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION,
                            config->enable_extension_loading ? 1 : 0, &now);
    if (!config->untrusted) return;
    (void)sqlite3_db_config(slot->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, &now);
    (void)sqlite3_db_config(slot->db, SQLITE_DBCONFIG_DQS_DML, 0, &now);
    (void)sqlite3_db_config(slot->db, SQLITE_DBCONFIG_DQS_DDL, 0, &now);
    sqlpool__set_limits(slot->db);
}

/*  The writer has a quarter of the page cache, the readers share the rest; in the general topology
    all are equal. The reserve comes on top: it is rarely open. */
static int64_t sqlpool__cache_kib(const sqlpool__slot *slot) {
    const sqlpool_config *config = &slot->core->config;
    int64_t share;
    switch (slot->role) {
    case SQLPOOL__ROLE_WRITER:
        share = config->page_cache_kib / 4;
        break;
    case SQLPOOL__ROLE_READER:
        share = (int64_t)config->page_cache_kib * 3 / 4 /
                (config->max_connections > 1 ? config->max_connections - 1 : 1);
        break;
    case SQLPOOL__ROLE_ANY:
        share = config->page_cache_kib / config->max_connections;
        break;
    default:
        share = 64; /* a checkpoint copies pages past the cache */
        break;
    }
    return share < 64 ? 64 : share;
}

/*------------------------------------------------------------------------------
 * >>[I10.7] the connection's settings, and the handle itself         (private)
 *----------------------------------------------------------------------------*/

/*  Only what SQLite can do without is a fallback; a PRAGMA that fails outright fails the opening.
    */
static int sqlpool__configure(sqlpool__slot *slot, int64_t deadline_ns) {
    sqlpool__core *core = slot->core;
    sqlpool_config *config = &core->config;
    static const int synchronous_levels[] = {1, 2, 3, 0}; /* by sqlpool_synchronous */
    const bool writes = slot->role == SQLPOOL__ROLE_WRITER || slot->role == SQLPOOL__ROLE_ANY;
    int64_t granted = 0;
    int rc = sqlpool__ask(slot->db, "SELECT count(*) FROM sqlite_master", NULL,
                          0); /* reads the header */
    if (rc == SQLITE_OK && writes && !config->read_only)
        rc = sqlpool__set_journal(slot, deadline_ns);
    if (rc == SQLITE_OK)
        rc = sqlpool__set_pragma(slot, "synchronous", synchronous_levels[config->synchronous],
                                 &granted);
    if (rc == SQLITE_OK)
        rc = sqlpool__set_pragma(slot, "cache_size", -sqlpool__cache_kib(slot), &granted);
    if (rc == SQLITE_OK) rc = sqlpool__set_pragma(slot, "temp_store", writes ? 1 : 2, &granted);
    if (rc == SQLITE_OK)
        rc = sqlpool__set_pragma(slot, "foreign_keys", config->disable_foreign_keys ? 0 : 1,
                                 &granted);
    if (rc == SQLITE_OK && !core->is_memory) {
        rc = sqlpool__set_pragma(slot, "journal_size_limit", config->journal_size_limit_bytes,
                                 &granted);
    }
    if (rc == SQLITE_OK && !core->is_memory) {
        rc = sqlpool__set_pragma(slot, "mmap_size", config->mmap_bytes, &granted);
        if (rc == SQLITE_OK && core->page_bytes == 0) config->mmap_bytes = granted;
    }
    if (rc == SQLITE_OK && config->untrusted)
        rc = sqlpool__set_pragma(slot, "cell_size_check", 1, &granted);
    if (rc == SQLITE_OK && slot->role == SQLPOOL__ROLE_READER)
        rc = sqlpool__set_pragma(slot, "query_only", 1, &granted);
    return rc;
}

/*  A schema whose foreign keys cannot be enforced fails at some later DELETE; name it now.
    Preparing an insert makes SQLite look for the parent's unique index without running anything. */
static void sqlpool__check_foreign_keys(sqlpool__slot *slot) {
    sqlite3_stmt *tables = NULL;
    if (sqlite3_prepare_v2(
            slot->db,
            "SELECT name FROM sqlite_master WHERE type='table' AND sql LIKE '%REFERENCES%'", -1,
            &tables, NULL) != SQLITE_OK) {
        return;
    }
    while (sqlite3_step(tables) == SQLITE_ROW) {
        sqlite3_stmt *probe = NULL;
        char *sql =
            sqlite3_mprintf("INSERT INTO \"%w\" DEFAULT VALUES", sqlite3_column_text(tables, 0));
        if (sql != NULL && sqlite3_prepare_v2(slot->db, sql, -1, &probe, NULL) == SQLITE_ERROR &&
            strstr(sqlite3_errmsg(slot->db), "foreign key mismatch") != NULL) {
            sqlpool__log_line(slot->core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_FOREIGN_KEYS,
                              "%s: the parent columns need a PRIMARY KEY or UNIQUE index",
                              sqlite3_errmsg(slot->db));
        }
        (void)sqlite3_finalize(probe);
        sqlite3_free(sql);
    }
    (void)sqlite3_finalize(tables);
}

/*  Whether the file the connection has open is still the one at its path. The question is a stat().
    */
static bool sqlpool__has_moved(sqlpool__slot *slot) {
    int moved = 0;
    if (slot->core->is_memory) return false;
    if (sqlite3_file_control(slot->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK)
        return false;
    return moved != 0;
}

/*  After this no canceller can still be about to interrupt the connection: it announces itself,
    then looks at the word; the caller changed the word, then looks here. */
static inline void sqlpool__fence_interrupts(sqlpool__slot *slot) {
    if (SQLPOOL__LIKELY(SQLPOOL__LOAD_ORDERED(&slot->interrupting) == 0)) return;
    sqlpool__lock(slot->core); /* cancellers hold it */
    sqlpool__unlock(slot->core);
}

/*  Closes whatever is left of it. A leftover statement or blob of the caller keeps a zombie alive
    until he finalizes it; its statements are reset so that it pins nothing (a blob's must not be:
    the handle points into it). */
static void sqlpool__close_db(sqlpool__slot *slot) {
    sqlpool__core *core = slot->core;
    sqlite3_stmt *left = NULL;
    if (slot->db == NULL) return;
    (void)SQLPOOL__EXCHANGE(&slot->is_open,
                            0u); /* cancellers look at it after they announced themselves */
    sqlpool__fence_interrupts(slot);
    (void)sqlite3_set_authorizer(slot->db, NULL, NULL);
    (void)sqlite3_commit_hook(slot->db, NULL, NULL);
    (void)sqlite3_rollback_hook(slot->db, NULL, NULL);
    (void)sqlite3_update_hook(slot->db, NULL, NULL);
    (void)sqlite3_wal_hook(slot->db, NULL, NULL);
    sqlite3_progress_handler(slot->db, 0, NULL, NULL);
    if (core->config.events.destroy_fn != NULL)
        core->config.events.destroy_fn(core->config.events.user, slot->db);
    if (SQLPOOL__LOAD(&core->is_log_lost) != 0) /* what only the log has must stay there */
        (void)sqlite3_db_config(slot->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    if (sqlite3_close(slot->db) !=
        SQLITE_OK) { /* it closes virtual tables' own statements itself */
        while ((left = sqlite3_next_stmt(slot->db, left)) != NULL) {
            const char *sql = sqlite3_sql(left);
            sqlpool__log_line(core, SQLPOOL_LEVEL_ERROR, SQLPOOL_LOG_UNCLEAN,
                              "a connection closes with %s not finalized: %s",
                              sql != NULL ? "a statement" : "a blob",
                              sql != NULL ? sql : "(sqlite3_blob_close() was not called)");
            if (sql != NULL) (void)sqlite3_reset(left);
        }
        (void)sqlite3_busy_handler(slot->db, NULL, NULL);
        (void)sqlite3_close_v2(slot->db);
    }
    slot->db = NULL;
}

/*  Open flags: SQLite's own mutex per connection is off, since a lease has one thread at a time. */
static int sqlpool__open_flags(const sqlpool__slot *slot) {
    const sqlpool_config *config = &slot->core->config;
    const bool may_create = !config->must_exist && slot->role != SQLPOOL__ROLE_READER &&
                            slot->role != SQLPOOL__ROLE_CHECKPOINTER;
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    flags |=
        config->read_only && !slot->core->is_memory ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if ((may_create && !config->read_only) || slot->core->is_memory) flags |= SQLITE_OPEN_CREATE;
    if (config->enable_uri || slot->core->is_memory) flags |= SQLITE_OPEN_URI;
    return flags;
}

/*  Why a handle could not be opened, with the path and what to look at. */
static void sqlpool__open_failed(sqlpool__slot *slot, int rc, const char *what,
                                 sqlpool_error *error) {
    sqlpool__core *core = slot->core;
    char reason[300];
    sqlpool__text text = sqlpool__text_into(reason, sizeof reason);
    (void)sqlpool__sqlite_failed(slot, rc, NULL, error);
    sqlpool__text_add(&text, "%.280s", error->message);
    text = sqlpool__text_into(error->message, sizeof error->message);
#ifdef EISDIR
    if (error->os_code == EISDIR) { /* SQLite opens a folder and fails to read it */
        error->result = error->sqlite_code = SQLITE_CANTOPEN;
        sqlpool__text_add(&text, "\"%s\" is a folder, not a database file", core->path);
        return;
    }
#endif
    sqlpool__text_add(&text, "\"%s\" could not be opened: %s%s", core->path, what, reason);
    if (sqlpool__primary(rc) == SQLITE_CANTOPEN || sqlpool__primary(rc) == SQLITE_READONLY) {
        sqlpool__text_add(&text,
                          "; check that the folder exists and may be written; a WAL database in a "
                          "read-only folder needs its -wal and -shm files, or enable_uri and "
                          "\"file:...?immutable=1\"");
    }
    if (sqlpool__primary(rc) == SQLITE_BUSY && core->config.single_process) {
        sqlpool__text_add(&text,
                          "; single_process wants the file alone, and another process has it open");
    }
    if (sqlpool__primary(rc) == SQLITE_NOTADB) {
        sqlpool__text_add(&text, "; the file is something else, or encrypted: see events.key_fn");
    }
}

/*  Opens the slot's database handle and makes it ours: key, handlers, settings, authorizer. On any
    error the handle is closed again and `error` says why. */
static int sqlpool__open_db(sqlpool__slot *slot, sqlpool_error *error) {
    sqlpool__core *core = slot->core;
    const int64_t now = sqlpool__now(core);
    const int64_t deadline =
        sqlpool__time_add(now, core->config.open_timeout_ms * SQLPOOL__NS_PER_MS);
    const char *failed = "";
    int rc;
    SQLPOOL_ASSERT(slot->db == NULL);
    slot->check = SQLPOOL__CHECK_ALLOW;
    slot->refusal = NULL;
    slot->is_bad = slot->is_changed = slot->is_raw = slot->is_busy_expired = false;
    slot->waited_us = 0;
    slot->busy_deadline_ns = deadline;
    memset(&slot->chain, 0, sizeof slot->chain);
    memset(&slot->base_chain, 0, sizeof slot->base_chain);
    SQLPOOL__STORE_RELAXED(&slot->deadline_ns, SQLPOOL__NEVER);
    SQLPOOL__STORE_RELAXED(&slot->epoch, SQLPOOL__LOAD(&core->epoch));
    rc = sqlite3_open_v2(core->path, &slot->db, sqlpool__open_flags(slot),
                         core->is_memory ? NULL : core->vfs_name);
    if (rc == SQLITE_OK) {
        (void)sqlite3_extended_result_codes(slot->db, 1);
        (void)sqlite3_busy_handler(slot->db, sqlpool__on_busy, slot);
        if (core->config.events.key_fn != NULL) {
            rc = core->config.events.key_fn(core->config.events.user, slot->db);
            failed = rc == SQLITE_OK ? "" : "events.key_fn failed: ";
        }
    }
    if (rc == SQLITE_OK) {
        sqlpool__install_handlers(slot);
        sqlpool__set_defences(slot);
        rc = sqlpool__configure(slot, deadline);
    }
    if (rc == SQLITE_OK && core->config.untrusted && core->page_bytes == 0) { /* the first one */
        char verdict[64];
        rc = sqlpool__ask(slot->db, "PRAGMA quick_check(1)", verdict, sizeof verdict);
        if (rc == SQLITE_OK && strcmp(verdict, "ok") != 0) rc = SQLITE_CORRUPT;
    }
    if (rc == SQLITE_OK) rc = sqlite3_set_authorizer(slot->db, sqlpool__on_authorize, slot);
    if (rc != SQLITE_OK) {
        sqlpool__open_failed(slot, rc, failed, error);
        sqlpool__close_db(slot);
        SQLPOOL__TALLY_POOL(core, open_failures);
        return error->result;
    }
    slot->checked_ns = now;
    SQLPOOL__STORE_RELAXED(&slot->dies_ns, SQLPOOL__NEVER);
    if (core->config.max_lifetime_ms > 0) {
        const int64_t life = core->config.max_lifetime_ms * SQLPOOL__NS_PER_MS;
        const int64_t jitter = core->config.lifetime_jitter_percent > 0
                                   ? life / 100 * core->config.lifetime_jitter_percent
                                   : 0;
        SQLPOOL__STORE_RELAXED(
            &slot->dies_ns,
            sqlpool__time_add(now, life - sqlpool__random_up_to(sqlpool__random(core), jitter)));
    }
    SQLPOOL__TALLY_POOL(core, opens);
    SQLPOOL__STORE(&slot->is_open, 1u);
    return SQLPOOL_OK;
}

/*==============================================================================
 * >>[I11] STAMP: has anyone committed? and reusable snapshots          (private)
 *==============================================================================
    Beginning and ending a read transaction costs several times the point query inside it, nearly
    all of it system calls for file locks. A reader therefore keeps its read transaction open
    between calls: a BEGIN of the pool's stays open on the connection, the first statement takes the
    snapshot, and every statement that follows shares it. What makes that safe is knowing, before
    each of them, whether the snapshot is still the newest state.

    A WAL database publishes that: the first 48 bytes of the WAL-index (sqlite.org/walformat.html,
    "The WAL-Index Header"), in memory that every connection of every process maps, change with each
    commit; iChange alone counts them. SQLite makes the same comparison when it begins a read. Equal
    means that nobody has committed since; then the open snapshot is what a new one would be. A
    commit that returned before the comparison has written both copies of the header, so comparing
    the first one is enough: a torn read is a difference, and a difference only costs a new
    snapshot. The copy to compare with is taken before the BEGIN, so it is never newer than the
    snapshot: who commits in between makes the next comparison fail, not a stale read pass.

    The rules that keep it safe:
      - Compared at the start of every statement that the library steps, unless another statement of
        the lease is open (it fixes the snapshot for both, as SQLite does) or a transaction is.
      - Only on readers, only in WAL, only with an upkeep thread, never with an attached database
        (its commits are not in main's header), never while the raw handle or a raw statement is
        out.
      - The pointer comes through xShmMap of the connection's own file, asked for only while that
        connection has a read transaction in WAL; it is valid until the connection closes. What is
        found there must look like the one format there is, and the first commit of this pool must
        move the counter: it is looked at while COMMIT holds the write lock, and again before COMMIT
        returns. Whatever does not fit means ordinary reads (snapshot_state says so).
      - A lease of the caller's may be held unused, and only its thread may touch it: between his
        calls it is *parked*, and then upkeep may end the snapshot, for which his next call waits.
      - Ended when idle for snapshot_idle_ms, before a checkpoint, pause, exclusive section or
        close, when the raw handle or a raw statement goes out, and after any interrupt.
      - When commits come so fast that snapshots are seldom used again, keeping them rests a while.
      - Readers that are never idle would keep a log that other processes write from ever starting
        over: above wal_budget_bytes only a snapshot that needs nothing of the log is kept. And a
        snapshot that was begun before a checkpoint moved frames (nBackfill) is begun anew after it:
        when all of them are moved, the new one reads the database file alone and lets a TRUNCATE or
        RESTART of another process through. SQLite may use the log all the same, if the checkpoint
        is just ending; so upkeep has every snapshot begun anew once in snapshot_idle_ms.

    Tried and dropped: a stepped statement (PRAGMA schema_version, not reset) instead of the BEGIN.
    It keeps the snapshot as well, but every other statement then ends in autocommit, which costs
    500 instructions and, where SQLite was built with ENABLE_UNLOCK_NOTIFY, a mutex of the whole
    process: the half of it at two threads. And an interrupt would stick to it. */

#define SQLPOOL__STAMP_VERSION 3007000u /* iVersion of the only format there is */
#define SQLPOOL__SHM_REGION 32768       /* bytes of a WAL-index region */
#define SQLPOOL__PIN_CREDIT 8           /* a reader loses it within 4 useless snapshots in a row */
#define SQLPOOL__PIN_REST 64 /* statements without, before it is tried again: 1.5 % of them */

static uint32_t sqlpool__stamp_word(const volatile uint32_t *map, int i) {
    return SQLPOOL__LOAD(&map[i]); /* in order: the first copy before the second */
}

/*  Both copies, which a writer writes one after the other; false while one is being written. */
static bool sqlpool__stamp_read(const volatile uint32_t *map, sqlpool__stamp *stamp) {
    bool is_whole = true;
    int i;
    for (i = 0; i < SQLPOOL__STAMP_WORDS; i++) stamp->words[i] = sqlpool__stamp_word(map, i);
    for (i = 0; i < SQLPOOL__STAMP_WORDS; i++) {
        if (sqlpool__stamp_word(map, SQLPOOL__STAMP_WORDS + i) != stamp->words[i]) is_whole = false;
    }
    return is_whole;
}

static bool sqlpool__stamp_is(const volatile uint32_t *map, const sqlpool__stamp *stamp) {
#ifdef SQLPOOL_TESTING_BLIND_STAMP
    (void)map;
    (void)stamp;
    return true; /* the control of tests/stress/freshness.c: stale reads must show */
#else
#define SQLPOOL__DIFFERENCE(i) (sqlpool__stamp_word(map, i) ^ stamp->words[i])
    return (SQLPOOL__DIFFERENCE(0) | SQLPOOL__DIFFERENCE(1) | SQLPOOL__DIFFERENCE(2) |
            SQLPOOL__DIFFERENCE(3) | SQLPOOL__DIFFERENCE(4) | SQLPOOL__DIFFERENCE(5) |
            SQLPOOL__DIFFERENCE(6) | SQLPOOL__DIFFERENCE(7) | SQLPOOL__DIFFERENCE(8) |
            SQLPOOL__DIFFERENCE(9) | SQLPOOL__DIFFERENCE(10) | SQLPOOL__DIFFERENCE(11)) == 0;
#undef SQLPOOL__DIFFERENCE
#endif
}

/*  The header in shared memory, or NULL and why it cannot be had or is not what we know. The
    connection has a read transaction open. */
static const volatile uint32_t *sqlpool__stamp_find(sqlite3 *db, const char **why) {
    sqlite3_file *file = NULL;
    volatile void *region = NULL;
    const volatile uint32_t *map;
    char mode[16];
    *why = "off: the VFS shares no memory";
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        file == NULL || file->pMethods == NULL || file->pMethods->iVersion < 2 ||
        file->pMethods->xShmMap == NULL) {
        return NULL;
    }
    *why = "off: a first read failed";
    if (sqlpool__ask(db, "PRAGMA main.locking_mode", mode, sizeof mode) != SQLITE_OK) return NULL;
    *why = "off: locking_mode is not NORMAL"; /* its index is in private memory */
    if (sqlite3_stricmp(mode, "normal") != 0) return NULL;
    *why = "off: the WAL-index cannot be mapped";
    if (file->pMethods->xShmMap(file, 0, SQLPOOL__SHM_REGION, 0, &region) != SQLITE_OK) return NULL;
    map = (const volatile uint32_t *)region;
    if (map == NULL) return NULL;
    *why = "off: the WAL-index has a format that is not known";
    if (sqlpool__stamp_word(map, 0) != SQLPOOL__STAMP_VERSION) return NULL;
    return ((const volatile unsigned char *)region)[12] == 1 ? map : NULL; /* isInit */
}

/*  sqlpool_changed() reads through the mapping of one connection, which must not be closed
    meanwhile: it announces itself, then looks whether there is a mapping; the closing connection
    takes it away, then waits for the announced. */
static void sqlpool__lend_stamp(sqlpool__slot *slot) {
    sqlpool__core *core = slot->core;
    if (slot->stamp_map == NULL) return;
    sqlpool__lock(core);
    if (SQLPOOL__LOAD_RELAXED(&core->stamp_map) == NULL) {
        core->stamp_slot = (uint32_t)(slot - core->slots);
        (void)SQLPOOL__ADD(&core->stamp_lent, 1u);
        SQLPOOL__STORE(&core->stamp_map, slot->stamp_map);
    }
    sqlpool__unlock(core);
}
static void sqlpool__reclaim_stamp(sqlpool__slot *slot) {
    sqlpool__core *core = slot->core;
    bool is_lent = false;
    if (slot->stamp_map == NULL) return;
    sqlpool__lock(core);
    if (core->stamp_slot == (uint32_t)(slot - core->slots)) {
        is_lent = true;
        (void)SQLPOOL__EXCHANGE(&core->stamp_map, (const volatile uint32_t *)NULL);
    }
    sqlpool__unlock(core);
    while (is_lent && SQLPOOL__LOAD_ORDERED(&core->stamp_users) != 0)
        sqlpool__sleep(core, 10 * SQLPOOL__NS_PER_US);
}

/*  Would an open snapshot keep a long log from starting over? One that begins when all of the log
    is in the database file reads that file and not the log, and is in nobody's way; above
    wal_budget_bytes only such a one is kept. */
static bool sqlpool__is_in_the_way(const sqlpool__slot *slot) {
    const uint32_t frames = sqlpool__stamp_word(slot->stamp_map, SQLPOOL__STAMP_FRAMES);
    return (int64_t)frames * slot->core->page_bytes >= slot->core->config.wal_budget_bytes &&
           sqlpool__stamp_word(slot->stamp_map, SQLPOOL__BACKFILL) != frames;
}

/*  An interrupt stays pending for every statement of the connection while any is open: end them. */
static void sqlpool__stop_statements(sqlpool__slot *slot) {
    sqlpool__link *link;
    for (link = slot->in_use.next; link != &slot->in_use; link = link->next) {
        sqlpool__stmt *stmt = sqlpool__stmt_of_link(link);
        if (!sqlite3_stmt_busy(stmt->handle)) continue;
        (void)sqlite3_reset(stmt->handle);
        stmt->serial++; /* its cursor is known as stale */
    }
}

/*  Ends the open snapshot, if there is one. COMMIT fails only while an interrupt is pending, which
    SQLite keeps until no statement runs: those that still do could not go on either. */
static void sqlpool__unpin(sqlpool__slot *slot) {
    sqlite3_stmt *commit = slot->own[SQLPOOL__COMMIT];
    int rc;
    if (!slot->is_pinned) return;
    slot->is_pinned = false;
    SQLPOOL__STORE_RELAXED(&slot->has_snapshot, 0u);
    if (sqlite3_get_autocommit(slot->db) != 0) return; /* an error ended it */
    rc = sqlite3_step(commit);
    (void)sqlite3_reset(commit);
    if (SQLPOOL__LIKELY(rc == SQLITE_DONE)) return;
    sqlpool__stop_statements(slot);
    rc = sqlite3_step(commit);
    (void)sqlite3_reset(commit);
    if (rc == SQLITE_DONE) return;
    (void)sqlite3_step(slot->own[SQLPOOL__ROLLBACK]);
    (void)sqlite3_reset(slot->own[SQLPOOL__ROLLBACK]);
    if (sqlite3_get_autocommit(slot->db) == 0) slot->is_bad = true; /* and nothing runs on it */
}

/*  Opens a transaction whose snapshot is kept: the caller's statement begins it. On any doubt there
    is none, and the statement begins its own. */
static SQLPOOL__NOINLINE void sqlpool__pin(sqlpool__slot *slot) {
    sqlpool__core *core = slot->core;
    sqlite3_stmt *begin = slot->own[SQLPOOL__BEGIN];
    int rc;
    SQLPOOL__STORE_RELAXED(&slot->backfill,
                           sqlpool__stamp_word(slot->stamp_map, SQLPOOL__BACKFILL));
    if (!sqlpool__stamp_read(slot->stamp_map, &slot->stamp)) return;
    rc = sqlite3_step(begin);
    (void)sqlite3_reset(begin);
    if (rc != SQLITE_DONE) return;
    slot->is_pinned = true;
    (void)SQLPOOL__EXCHANGE(&slot->has_snapshot, (uint32_t)SQLPOOL__SNAPSHOT_FRESH);
    /* upkeep sees it, or is kicked now */
    if (sqlpool__time_add(sqlpool__now(core), core->config.snapshot_idle_ms * SQLPOOL__NS_PER_MS) <
        SQLPOOL__LOAD_ORDERED(&core->upkeep_wake_ns)) {
        sqlpool__kick_upkeep(core); /* it will end the snapshot */
    }
}

/*  The holder of a lease returns from a call: until his next one upkeep may end the snapshot, since
    a lease may be held unused for long. */
static void sqlpool__park(sqlpool__slot *slot) {
    if (slot->is_pinned && slot->is_lent && sqlpool__list_is_empty(&slot->in_use))
        SQLPOOL__STORE(&slot->parked, (uint32_t)SQLPOOL__PARKED);
}

static SQLPOOL__NOINLINE void sqlpool__unpark_slow(sqlpool__slot *slot) {
    uint32_t parked;
    while ((parked = SQLPOOL__LOAD(&slot->parked)) != SQLPOOL__NOT_PARKED) {
        if (parked == SQLPOOL__PARKED &&
            SQLPOOL__CAS(&slot->parked, &parked, (uint32_t)SQLPOOL__NOT_PARKED)) {
            return;
        }
        sqlpool__sleep(slot->core, 10 * SQLPOOL__NS_PER_US);
    }
}

/*  He calls again: waits while upkeep is at it. */
static inline void sqlpool__unpark(sqlpool__slot *slot) {
    if (SQLPOOL__UNLIKELY(SQLPOOL__LOAD(&slot->parked) != SQLPOOL__NOT_PARKED))
        sqlpool__unpark_slow(slot);
}

/*  Upkeep's side: ends the snapshot of a lease whose holder is not inside a call. */
static void sqlpool__unpin_parked(sqlpool__slot *slot) {
    uint32_t parked = SQLPOOL__PARKED;
    if (!SQLPOOL__CAS(&slot->parked, &parked, (uint32_t)SQLPOOL__UNPINNING)) return;
    sqlpool__unpin(slot);
    SQLPOOL__STORE(&slot->parked, (uint32_t)SQLPOOL__NOT_PARKED);
}

/*  A statement is about to run and nothing else is open on the connection: makes sure that it sees
    the newest state, in a snapshot that stays where that pays. */
static void sqlpool__refresh(sqlpool__slot *slot) {
    if (SQLPOOL__LIKELY(slot->is_pinned)) {
        if (SQLPOOL__LIKELY(sqlpool__stamp_is(slot->stamp_map, &slot->stamp) &&
                            SQLPOOL__LOAD_RELAXED(&slot->core->is_stamp_bad) == 0)) {
            if (SQLPOOL__LIKELY(sqlpool__stamp_word(slot->stamp_map, SQLPOOL__BACKFILL) ==
                                SQLPOOL__LOAD_RELAXED(&slot->backfill))) {
                SQLPOOL__TALLY(slot, snapshot_hits);
                if (slot->pin_credit < SQLPOOL__PIN_CREDIT) slot->pin_credit++;
                return;
            }
            sqlpool__unpin(slot); /* newest, but it may be in the way of a checkpoint */
        } else {
            SQLPOOL__TALLY(slot, snapshot_misses);
            sqlpool__unpin(slot);
            slot->pin_credit -= 2;
            if (slot->pin_credit <= 0) slot->pin_rest = SQLPOOL__PIN_REST;
        }
    }
    if (slot->is_raw || slot->is_bad || SQLPOOL__LOAD_RELAXED(&slot->core->is_stamp_bad) != 0)
        return;
    if (slot->pin_rest > 0) {
        if (--slot->pin_rest == 0) slot->pin_credit = 2; /* one more chance */
        return;
    }
    if (!sqlpool__is_in_the_way(slot)) sqlpool__pin(slot);
}

/*==============================================================================
 * >>[I12] STATEMENTS: the cache of prepared statements                 (private)
 *==============================================================================
    Per connection, used by the lease holder only. Three steps to a statement, cheapest first:

      memo      by the address of the text: programs use string literals. A hit is proved by
                comparing the text, since the address may hold another one by now.
      table     by hash and whole text.
      prepare   and insert; the least recently used ones leave when count or bytes pass their
      bounds.

    A statement that is handed out stays in the table but is passed over by lookups, so that asking
    for the same text again prepares a second one that is not cached. What comes back is reset;
    bindings that may point into memory that is gone are cleared, numbers stay for the next use to
    overwrite. */

static void sqlpool__stmt_unlink(sqlpool__slot *slot, sqlpool__stmt *stmt) {
    sqlpool__stmt **at = &slot->buckets[stmt->hash & (slot->bucket_count - 1)];
    while (*at != stmt) at = &(*at)->next_in_bucket;
    *at = stmt->next_in_bucket;
    if (stmt->memo < SQLPOOL__MEMO_SIZE) slot->memo[stmt->memo].stmt = NULL;
    stmt->memo = SQLPOOL__MEMO_SIZE;
    slot->cached_count--;
    slot->cached_bytes -= (int64_t)stmt->charge_bytes;
}

/*  Takes the lock for a moment: a report may be reading the text. */
static void sqlpool__stmt_destroy(sqlpool__slot *slot, sqlpool__stmt *stmt) {
    sqlpool__core *core = slot->core;
    if (stmt->is_cached) sqlpool__stmt_unlink(slot, stmt);
    sqlpool__list_remove(&stmt->link);
    (void)sqlite3_finalize(stmt->handle);
    sqlpool__lock(core);
    if (SQLPOOL__LOAD_RELAXED(&slot->sql) == stmt->sql)
        SQLPOOL__STORE_RELAXED(&slot->sql, (const char *)NULL);
    sqlpool__unlock(core);
    sqlpool__free(&core->memory, stmt, stmt->block_bytes);
}

static void sqlpool__stmt_trim(sqlpool__slot *slot) {
    const sqlpool_config *config = &slot->core->config;
    while ((slot->cached_count > config->statement_cache_count ||
            slot->cached_bytes > config->statement_cache_bytes) &&
           !sqlpool__list_is_empty(&slot->recent)) {
        sqlpool__stmt_destroy(slot, sqlpool__stmt_of_link(slot->recent.prev));
        SQLPOOL__TALLY(slot, cache_evictions);
    }
}

/*  Finds a free cached statement. */
static sqlpool__stmt *sqlpool__stmt_find(sqlpool__slot *slot, const char *sql, size_t bytes,
                                         uint64_t hash) {
    sqlpool__stmt *stmt = slot->buckets[hash & (slot->bucket_count - 1)];
    for (; stmt != NULL; stmt = stmt->next_in_bucket) {
        if (!stmt->is_in_use && stmt->hash == hash && stmt->is_own == slot->is_own_text &&
            stmt->sql_bytes == bytes && memcmp(stmt->sql, sql, bytes) == 0) {
            return stmt;
        }
    }
    return NULL;
}

static uint32_t sqlpool__memo_index(const char *sql) {
    const uintptr_t address = (uintptr_t)sql;
    return (uint32_t)((address ^ (address >> 6) ^ (address >> 12)) & (SQLPOOL__MEMO_SIZE - 1));
}

/*  From now on this address leads to this statement; it keeps one address. */
static void sqlpool__memo_set(sqlpool__slot *slot, const char *sql, sqlpool__stmt *stmt) {
    const uint32_t index = sqlpool__memo_index(sql);
    sqlpool__memo *memo = &slot->memo[index];
    if (stmt->memo < SQLPOOL__MEMO_SIZE) slot->memo[stmt->memo].stmt = NULL;
    if (memo->stmt != NULL) memo->stmt->memo = SQLPOOL__MEMO_SIZE;
    memo->pointer = sql;
    memo->stmt = stmt;
    stmt->memo = index;
}

static void sqlpool__stmt_hand_out(sqlpool__slot *slot, sqlpool__stmt *stmt) {
    sqlpool__list_remove(&stmt->link);
    sqlpool__list_insert_before(&slot->in_use, &stmt->link);
    stmt->is_in_use = true;
    stmt->serial++;
    SQLPOOL__STORE(&slot->sql, stmt->sql); /* with the text behind it */
}

/*  Why there is no statement although SQLite was content. */
static int sqlpool__no_statement(sqlpool_error *error) {
    return SQLPOOL__FAIL(error, SQLPOOL_EMPTY,
                         "the SQL text holds no statement, only space or comments");
}

/*  When SQLite cannot read the schema's cookie (a lock, an I/O error) it goes by the schema that it
    knows and says "no such table" of a new one. So an error counts only if the file can be read; if
    not, that is the error. */
static int sqlpool__prepare_again(sqlpool__slot *slot, const char *sql, size_t bytes,
                                  unsigned flags, sqlite3_stmt **handle, const char **tail) {
    const sqlpool__check check = slot->check;
    int rc;
    slot->check = SQLPOOL__CHECK_ALLOW;
    slot->busy_deadline_ns = 0;
    rc = slot->is_busy_expired ? SQLITE_BUSY
                               : sqlpool__ask(slot->db, "PRAGMA schema_version", NULL, 0);
    slot->check = check;
    return rc != SQLITE_OK ? rc
                           : sqlite3_prepare_v3(slot->db, sql, (int)bytes + 1, flags, handle, tail);
}

/*  Prepares text of the caller: one statement, none that changes the connection. A NUL follows the
    text, so that SQLite need not copy it. flags is 0 for a script, of which this is the rest. */
static int sqlpool__prepare(sqlpool__slot *slot, const char *sql, size_t bytes, unsigned flags,
                            sqlite3_stmt **handle, const char **tail, sqlpool_error *error) {
    int rc;
    *handle = NULL;
    if (flags != 0 && bytes > (size_t)sqlite3_limit(slot->db, SQLITE_LIMIT_SQL_LENGTH, -1)) {
        return SQLPOOL__FAIL(error, SQLITE_TOOBIG, "the SQL text has %llu bytes, the limit is %d",
                             (unsigned long long)bytes,
                             sqlite3_limit(slot->db, SQLITE_LIMIT_SQL_LENGTH, -1));
    }
    slot->check = slot->is_own_text ? SQLPOOL__CHECK_ALLOW
                  : slot->is_raw    ? SQLPOOL__CHECK_NOTE
                                    : SQLPOOL__CHECK_REFUSE;
    slot->refusal = NULL;
    slot->saw_rowid = false;
    slot->refused_name[0] = '\0';
    rc = sqlite3_prepare_v3(slot->db, sql, (int)bytes + 1, flags, handle, tail);
    if (sqlpool__primary(rc) == SQLITE_ERROR)
        rc = sqlpool__prepare_again(slot, sql, bytes, flags, handle, tail);
    slot->check = slot->is_raw ? SQLPOOL__CHECK_NOTE : SQLPOOL__CHECK_ALLOW;
    if (rc != SQLITE_OK) return sqlpool__sqlite_failed(slot, rc, sql, error);
    return SQLPOOL_OK;
}

static SQLPOOL__NOINLINE int sqlpool__stmt_create(sqlpool__slot *slot, const char *sql,
                                                  size_t bytes, uint64_t hash, sqlpool__stmt **out,
                                                  sqlpool_error *error) {
    sqlpool__core *core = slot->core;
    sqlite3_stmt *handle;
    const char *tail = NULL, *more;
    sqlpool__stmt *stmt;
    char *text;
    const size_t block_bytes = sqlpool__size_sum(sizeof *stmt, sqlpool__size_sum(bytes, 1));
    int rc = sqlpool__prepare(slot, sql, bytes, SQLITE_PREPARE_PERSISTENT, &handle, &tail, error);
    if (rc != SQLPOOL_OK) return rc;
    if (handle == NULL) return sqlpool__no_statement(error);
    more = sqlpool__find_statement(tail, sql + bytes);
    if (more != NULL) {
        (void)sqlite3_finalize(handle);
        (void)SQLPOOL__FAIL(
            error, SQLPOOL_TRAILING,
            "a second statement starts at byte %lld; use sqlpool_script() for several",
            (long long)(more - sql));
        error->sql_offset = (int)(more - sql);
        return SQLPOOL_TRAILING;
    }
    stmt = (sqlpool__stmt *)sqlpool__alloc(&core->memory, block_bytes);
    if (stmt == NULL) {
        (void)sqlite3_finalize(handle);
        return SQLPOOL__FAIL(error, SQLPOOL_NOMEM, "no memory to cache a statement of %llu bytes",
                             (unsigned long long)bytes);
    }
    memset(stmt, 0, sizeof *stmt);
    text = (char *)(void *)(stmt + 1);
    memcpy(text, sql, bytes);
    text[bytes] = '\0';
    stmt->handle = handle;
    stmt->sql = text;
    stmt->sql_bytes = bytes;
    stmt->hash = hash;
    stmt->block_bytes = block_bytes;
    stmt->parameter_count = sqlite3_bind_parameter_count(handle);
    stmt->column_count = sqlite3_column_count(handle);
    stmt->charge_bytes =
        block_bytes + (size_t)sqlite3_stmt_status(handle, SQLITE_STMTSTATUS_MEMUSED, 0);
    stmt->is_read_only = sqlite3_stmt_readonly(handle) != 0 ||
                         sqlite3_stmt_isexplain(handle) != 0 ||
                         sqlpool__is_reading_pragma(sql, bytes);
    stmt->is_own = slot->is_own_text;
    stmt->reads_rowid = slot->saw_rowid;
    stmt->memo = SQLPOOL__MEMO_SIZE;
    stmt->link.prev = stmt->link.next = &stmt->link;
    SQLPOOL__TALLY(slot, cache_misses);
    if (sqlpool__stmt_find(slot, sql, bytes, hash) == NULL) {
        sqlpool__stmt *other = slot->buckets[hash & (slot->bucket_count - 1)];
        while (other != NULL && (other->hash != hash || other->sql_bytes != bytes))
            other = other->next_in_bucket;
        if (other == NULL && !slot->is_raw &&
            /* what that allows is not for others */ (int64_t)stmt->charge_bytes <=
                core->config.statement_cache_bytes) {
            stmt->is_cached = true;
            stmt->next_in_bucket = slot->buckets[hash & (slot->bucket_count - 1)];
            slot->buckets[hash & (slot->bucket_count - 1)] = stmt;
            slot->cached_count++;
            slot->cached_bytes += (int64_t)stmt->charge_bytes;
            sqlpool__stmt_hand_out(slot, stmt); /* before the trim, which takes free ones only */
            sqlpool__stmt_trim(slot);
            *out = stmt;
            return SQLPOOL_OK;
        }
    }
    sqlpool__stmt_hand_out(slot, stmt);
    *out = stmt;
    return SQLPOOL_OK;
}

/*  A statement for this text, reset, unbound and taken out of the cache. */
static int sqlpool__stmt_get(sqlpool__slot *slot, const char *sql, sqlpool__stmt **out,
                             sqlpool_error *error) {
    const sqlpool__memo *memo = &slot->memo[sqlpool__memo_index(sql)];
    sqlpool__stmt *stmt = memo->stmt;
    size_t bytes;
    uint64_t hash;
    if (SQLPOOL__LIKELY(stmt != NULL && memo->pointer == sql && !stmt->is_in_use &&
                        stmt->is_own == slot->is_own_text && strcmp(stmt->sql, sql) == 0)) {
        SQLPOOL__TALLY(slot, cache_hits);
        sqlpool__stmt_hand_out(slot, stmt);
        *out = stmt;
        return SQLPOOL_OK;
    }
    *out = NULL;
    bytes = strlen(sql);
    hash = sqlpool__hash(sql, bytes);
    stmt = sqlpool__stmt_find(slot, sql, bytes, hash);
    if (stmt == NULL) {
        const int rc = sqlpool__stmt_create(slot, sql, bytes, hash, &stmt, error);
        if (rc != SQLPOOL_OK) return rc;
    } else {
        SQLPOOL__TALLY(slot, cache_hits);
        sqlpool__stmt_hand_out(slot, stmt);
    }
    if (stmt->is_cached) sqlpool__memo_set(slot, sql, stmt);
    *out = stmt;
    return SQLPOOL_OK;
}

/*  Back into the cache. The reset repeats the error of the last step, which its caller has seen. */
static void sqlpool__stmt_put(sqlpool__slot *slot, sqlpool__stmt *stmt) {
    SQLPOOL_ASSERT(stmt->is_in_use);
    (void)sqlite3_reset(stmt->handle);
    if (stmt->has_pointers) {
        (void)sqlite3_clear_bindings(stmt->handle);
        stmt->has_pointers = stmt->is_bound = false;
    }
    stmt->serial++;
    stmt->is_in_use = false;
    sqlpool__list_remove(&stmt->link);
    if (SQLPOOL__LIKELY(stmt->is_cached)) {
        sqlpool__list_insert_before(slot->recent.next, &stmt->link);
        if (slot->cached_count > slot->core->config.statement_cache_count ||
            slot->cached_bytes > slot->core->config.statement_cache_bytes) {
            sqlpool__stmt_trim(slot);
        }
    } else {
        sqlpool__stmt_destroy(slot, stmt);
    }
    if (sqlpool__list_is_empty(&slot->in_use)) slot->arena_used = 0;
}

static void sqlpool__cache_clear(sqlpool__slot *slot) {
    while (!sqlpool__list_is_empty(&slot->in_use)) {
        sqlpool__stmt_destroy(slot, sqlpool__stmt_of_link(slot->in_use.next));
    }
    while (!sqlpool__list_is_empty(&slot->recent)) {
        sqlpool__stmt_destroy(slot, sqlpool__stmt_of_link(slot->recent.next));
    }
    slot->arena_used = 0;
}

/*  The hash table and the arena belong to the slot: they stay while connections come and go. */
static int sqlpool__cache_init(sqlpool__slot *slot) {
    sqlpool__core *core = slot->core;
    uint32_t count = 16;
    sqlpool__list_init(&slot->recent);
    sqlpool__list_init(&slot->in_use);
    while (count < (uint32_t)core->config.statement_cache_count) count *= 2;
    if (slot->buckets == NULL) { /* one may be left of a try that ran out of memory */
        slot->buckets =
            (sqlpool__stmt **)sqlpool__alloc(&core->memory, count * sizeof *slot->buckets);
        if (slot->buckets == NULL) return SQLPOOL_NOMEM;
        memset(slot->buckets, 0, count * sizeof *slot->buckets);
        slot->bucket_count = count;
    }
    if (slot->arena == NULL)
        slot->arena = (char *)sqlpool__alloc(&core->memory, SQLPOOL__ARENA_BYTES);
    return slot->arena != NULL ? SQLPOOL_OK : SQLPOOL_NOMEM;
}

static void sqlpool__cache_free(sqlpool__slot *slot) {
    sqlpool__memory *memory = &slot->core->memory;
    sqlpool__free(memory, slot->buckets, slot->bucket_count * sizeof *slot->buckets);
    sqlpool__free(memory, slot->arena, SQLPOOL__ARENA_BYTES);
    slot->buckets = NULL;
    slot->arena = NULL;
}

/*------------------------------------------------------------------------------
 * >>[I12.2] binding                                                    (private)
 *----------------------------------------------------------------------------*/

/*  Text of a cursor that outlives the call is copied into the slot's arena while it fits there;
    SQLite copies the rest. */
static const void *sqlpool__arena_copy(sqlpool__slot *slot, const void *bytes, size_t size) {
    char *place;
    if (size > SQLPOOL__ARENA_BYTES - slot->arena_used) return NULL;
    place = slot->arena + slot->arena_used;
    memcpy(place, bytes, size);
    slot->arena_used += size;
    return place;
}

static int sqlpool__bind_one(sqlpool__slot *slot, sqlite3_stmt *handle, int index,
                             const sqlpool_value *value, bool copy) {
    switch (value->type) {
    case SQLPOOL_TYPE_NULL:
        return sqlite3_bind_null(handle, index);
    case SQLPOOL_TYPE_INT64:
        return sqlite3_bind_int64(handle, index, value->as.integer);
    case SQLPOOL_TYPE_DOUBLE:
        return sqlite3_bind_double(handle, index, value->as.real);
    default: {
        const bool is_text = value->type == SQLPOOL_TYPE_TEXT;
        const void *bytes = is_text ? (const void *)value->as.text : value->as.blob;
        sqlite3_destructor_type owner = SQLITE_STATIC;
        if (value->size == 0) {
            bytes = "";
        } else if (copy) {
            const void *kept = sqlpool__arena_copy(slot, bytes, value->size);
            if (kept == NULL) {
                const intptr_t transient = -1; /* SQLITE_TRANSIENT, whose cast warns in C++ */
                memcpy(&owner, &transient, sizeof owner);
            } else {
                bytes = kept;
            }
        }
        if (is_text)
            return sqlite3_bind_text64(handle, index, (const char *)bytes, value->size, owner,
                                       SQLITE_UTF8);
        return sqlite3_bind_blob64(handle, index, bytes, value->size, owner);
    }
    }
}

/*  SQLite would bind a NaN as NULL without a word. */
static inline int sqlpool__check_value(const sqlpool_value *value, int index,
                                       sqlpool_error *error) {
    if (value->type == SQLPOOL_TYPE_DOUBLE && value->as.real != value->as.real) {
        return SQLPOOL__FAIL(
            error, SQLPOOL_ARGUMENTS,
            "argument %d is not a number (NaN), which SQLite would store as NULL: pass "
            "SQLPOOL_NULL if that is meant",
            index + 1);
    }
    if (value->type < SQLPOOL_TYPE_NULL || value->type > SQLPOOL_TYPE_BLOB) {
        return SQLPOOL__FAIL(error, SQLPOOL_ARGUMENTS,
                             "argument %d is not a value of SQL (an unsigned integer above "
                             "INT64_MAX, a pointer that is not text, or a sqlpool_value that was "
                             "not initialised)",
                             index + 1);
    }
    if (value->size > 0 && value->type >= SQLPOOL_TYPE_TEXT && value->as.blob == NULL) {
        return SQLPOOL__FAIL(error, SQLPOOL_ARGUMENTS, "argument %d is a NULL pointer with a size",
                             index + 1);
    }
    return SQLPOOL_OK;
}

/*  Every value is checked, and that none is missing: SQLite would take NULL for it. */
static int sqlpool__bind(sqlpool__slot *slot, sqlpool__stmt *stmt, const sqlpool_value *args,
                         int count, bool copy, sqlpool_error *error) {
    int i;
    if (count != stmt->parameter_count || (count > 0 && args == NULL)) {
        return SQLPOOL__FAIL(error, SQLPOOL_ARGUMENTS,
                             "the statement has %d parameters, %d arguments were given: %.200s",
                             stmt->parameter_count, args == NULL && count > 0 ? 0 : count,
                             stmt->sql);
    }
    for (i = 0; i < count; i++) {
        const sqlpool_value *value = &args[i];
        int rc;
        if (SQLPOOL__UNLIKELY(sqlpool__check_value(value, i, error) != SQLPOOL_OK))
            return error->result;
        stmt->is_bound = true;
        if (value->type >= SQLPOOL_TYPE_TEXT) stmt->has_pointers = true;
        rc = sqlpool__bind_one(slot, stmt->handle, i + 1, value, copy);
        if (rc != SQLITE_OK) return sqlpool__sqlite_failed(slot, rc, stmt->sql, error);
    }
    return SQLPOOL_OK;
}

/*==============================================================================
 * >>[I13] CONNECTION: slot life cycle and the clean-return contract    (private)
 *==============================================================================
    The functions here are called by a slot's lease holder. What a lease leaves behind must not
    reach the next one: no transaction, no stepped statement (it would pin the log although
    autocommit says 1), no handler, no changed PRAGMA. What the pool handed out it tracks, so that a
    clean release costs a few comparisons; walking all statements happens only after the raw handle
    was out. */

/*  Runs one of the pool's own statements; they are prepared with the connection. */
static int sqlpool__run_own(sqlpool__slot *slot, int which) {
    const sqlpool__check check = slot->check;
    const bool was_shielded = slot->is_shielded;
    int rc;
    slot->check = SQLPOOL__CHECK_ALLOW; /* SQLite may have to prepare it again */
    slot->is_shielded = true;
    slot->is_ending = which == SQLPOOL__COMMIT || which == SQLPOOL__ROLLBACK;
    slot->busy_deadline_ns = 0;
    slot->is_busy_expired = false;
    rc = sqlite3_step(slot->own[which]);
    if (rc == SQLITE_DONE) rc = SQLITE_OK;
    { /* the reset clears the message, so it waits until the caller has read it when there is one */
        if (rc == SQLITE_OK) (void)sqlite3_reset(slot->own[which]);
    }
    slot->is_shielded = was_shielded;
    slot->is_ending = false;
    slot->check = check;
    return rc;
}

/*  After an error of sqlpool__run_own() was read. */
static void sqlpool__reset_own(sqlpool__slot *slot, int which) {
    (void)sqlite3_reset(slot->own[which]);
}

static const char *const sqlpool__own_sql[SQLPOOL__OWN_STATEMENTS] = {
    "BEGIN", "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", "PRAGMA schema_version"};

static void sqlpool__close_connection(sqlpool__slot *slot) {
    int i;
    if (slot->db == NULL) return;
    sqlpool__unpin(slot);
    sqlpool__reclaim_stamp(slot);
    slot->stamp_map = NULL;
    slot->may_pin = false;
    sqlpool__cache_clear(slot);
    for (i = 0; i < SQLPOOL__OWN_STATEMENTS; i++) {
        (void)sqlite3_finalize(slot->own[i]);
        slot->own[i] = NULL;
    }
    slot->depth = 0;
    sqlpool__close_db(slot);
}

/*  The handle that the lease's holder passes to the public calls. */
static sqlpool_conn sqlpool__conn_of(const sqlpool__slot *slot) {
    sqlpool_conn conn;
    SQLPOOL__ASSUME(slot != NULL);
    conn.pool = slot->core->handle;
    conn.pool_serial = slot->core->serial;
    conn.slot = (uint32_t)(slot - slot->core->slots);
    conn.lease = slot->number;
    return conn;
}

/*  Statements that the program wants prepared before the first request. One that does not fit (no
    such table yet, a write on a reader) is left out. */
static void sqlpool__warm_up(sqlpool__slot *slot) {
    sqlpool__core *core = slot->core;
    sqlpool_error ignored;
    int i;
    for (i = 0; i < core->config.warmup_count; i++) {
        sqlpool__stmt *stmt;
        if (slot->role == SQLPOOL__ROLE_CHECKPOINTER) return;
        if ((sqlpool__route(core->warmup[i], strlen(core->warmup[i])) == SQLPOOL_WRITE) !=
                (slot->role == SQLPOOL__ROLE_WRITER) &&
            slot->role != SQLPOOL__ROLE_ANY) {
            continue;
        }
        sqlpool__error_clear(&ignored);
        if (sqlpool__stmt_get(slot, core->warmup[i], &stmt, &ignored) == SQLPOOL_OK)
            sqlpool__stmt_put(slot, stmt);
    }
}

/*  No database is attached: its commits would not show in main's header. */
static bool sqlpool__is_alone(sqlpool__slot *slot) {
    sqlite3_stmt *list = NULL;
    bool is_alone =
        sqlite3_prepare_v2(slot->db, "PRAGMA database_list", -1, &list, NULL) == SQLITE_OK;
    while (is_alone && sqlite3_step(list) == SQLITE_ROW) {
        is_alone = sqlite3_column_int(list, 0) < 2; /* 0 is main, 1 is temp */
    }
    (void)sqlite3_finalize(list);
    return is_alone;
}

/*  Finds the stamp while a read transaction is open, as xShmMap wants it. */
static void sqlpool__watch(sqlpool__slot *slot) {
    sqlpool__core *core = slot->core;
    const char *why = "off: a first read failed";
    slot->pin_credit = SQLPOOL__PIN_CREDIT;
    slot->pin_rest = 0;
    if (!core->is_wal || slot->role == SQLPOOL__ROLE_CHECKPOINTER) return;
    slot->busy_deadline_ns = 0;
    if (sqlite3_step(slot->own[SQLPOOL__TOUCH]) == SQLITE_ROW)
        slot->stamp_map = sqlpool__stamp_find(slot->db, &why);
    sqlpool__reset_own(slot, SQLPOOL__TOUCH);
    if (slot->stamp_map == NULL) { /* of the first connection: later ones only read without */
        if (!core->has_stamp) SQLPOOL__STORE(&core->snapshot_state, why);
        return;
    }
    sqlpool__lend_stamp(slot);
    if (slot->role != SQLPOOL__ROLE_READER || core->config.snapshot_idle_ms <= 0) return;
    slot->may_pin = sqlpool__is_alone(slot);
    why = "stamp only: a database is attached";
    if (!slot->may_pin && SQLPOOL__LOAD_RELAXED(&core->is_stamp_bad) == 0)
        SQLPOOL__STORE(&core->snapshot_state, why);
}

/*  Opens and readies the connection of a slot that the caller holds. On any error the slot has
    none. */
static int sqlpool__open_connection(sqlpool__slot *slot, sqlpool_error *error) {
    sqlpool__core *core = slot->core;
    int rc, i;
    if (sqlpool__cache_init(slot) != SQLPOOL_OK) {
        SQLPOOL__TALLY_POOL(core, open_failures);
        return SQLPOOL__FAIL(error, SQLPOOL_NOMEM, "no memory for a connection's statement cache");
    }
    rc = sqlpool__open_db(slot, error);
    if (rc != SQLPOOL_OK) return rc;
    for (i = 0; i < SQLPOOL__OWN_STATEMENTS && rc == SQLITE_OK; i++) {
        rc = sqlite3_prepare_v3(slot->db, sqlpool__own_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &slot->own[i], NULL);
    }
    if (rc == SQLITE_OK && core->config.events.connect_fn != NULL) {
        const sqlpool_conn conn = sqlpool__conn_of(slot);
        slot->check = SQLPOOL__CHECK_NOTE;
        slot->is_raw =
            true; /* so that the hook may ATTACH and set PRAGMAs through the pool's calls too */
        rc = core->config.events.connect_fn(core->config.events.user, &conn);
        if (rc != SQLPOOL_OK) {
            char said[300];
            sqlpool__text text = sqlpool__text_into(said, sizeof said);
            if (rc > 0) sqlpool__text_excerpt(&text, sqlite3_errmsg(slot->db), sizeof said - 4);
            (void)SQLPOOL__FAIL(error, rc, "events.connect_fn returned %d (%s)%s%s", rc,
                                sqlpool_result_name(rc), rc > 0 ? "; SQLite says: " : "", said);
        } else if (sqlite3_get_autocommit(slot->db) == 0) {
            rc = SQLPOOL__FAIL(error, SQLPOOL_UNCLEAN, "events.connect_fn left a transaction open");
        } else if (core->config.untrusted) {
            /* the schema was parsed before the program's functions were known: only those that
               SQLite knows while it parses are kept from being called out of it */
            rc = sqlite3_exec(slot->db,
                              "PRAGMA writable_schema=RESET; SELECT 1 FROM sqlite_master LIMIT 1",
                              NULL, NULL, NULL);
            if (rc != SQLITE_OK) rc = sqlpool__sqlite_failed(slot, rc, NULL, error);
        }
        while (!sqlpool__list_is_empty(&slot->in_use)) {
            sqlpool__stmt_put(slot, sqlpool__stmt_of_link(slot->in_use.next));
        }
        slot->is_raw = slot->is_changed = false;
        slot->check = SQLPOOL__CHECK_ALLOW;
        slot->base_chain = slot->chain;
        slot->has_lease_chain = false;
    } else if (rc != SQLITE_OK) {
        (void)sqlpool__sqlite_failed(slot, rc, NULL, error);
        rc = error->result;
    }
    if (rc != SQLPOOL_OK) {
        sqlpool__close_connection(slot);
        SQLPOOL__TALLY_POOL(core, open_failures);
        return rc;
    }
    sqlpool__watch(slot);
    sqlpool__warm_up(slot);
    SQLPOOL__STORE_RELAXED(&slot->attention, 0u);
    return SQLPOOL_OK;
}

/*------------------------------------------------------------------------------
 * >>[I13.2] cleaning                                                  (private)
 *----------------------------------------------------------------------------*/

static void sqlpool__forget_scope(sqlpool__slot *slot) {
    if (!slot->is_scope) return;
    slot->is_scope = false;
    slot->scope_end_ns = SQLPOOL__NEVER;
    SQLPOOL__STORE_RELAXED(&slot->scope_since_ns, SQLPOOL__NEVER);
    SQLPOOL__STORE_RELAXED(&slot->scope_report_ns, SQLPOOL__NEVER);
    (void)SQLPOOL__ADD(&slot->core->scopes, (uint32_t)-1);
}

/*  Ends whatever SQLite has open. A connection that cannot is not used again. */
static void sqlpool__end_transaction(sqlpool__slot *slot) {
    int tries;
    for (tries = 0; tries < 2 && sqlite3_get_autocommit(slot->db) == 0; tries++) {
        if (tries > 0) sqlpool__stop_statements(slot);
        if (sqlpool__run_own(slot, SQLPOOL__ROLLBACK) != SQLITE_OK) {
            sqlpool__reset_own(slot, SQLPOOL__ROLLBACK);
        }
    }
    if (sqlite3_get_autocommit(slot->db) == 0) slot->is_bad = true;
}

/*  The same with all that the pool knows of it. */
static void sqlpool__abandon_transaction(sqlpool__slot *slot) {
    sqlpool__end_transaction(slot);
    sqlpool__forget_scope(slot);
    slot->depth = 0;
    slot->ended_by = 0;
}

/*  The walk after the raw handle was out. Writes what it found into `text`. */
static void sqlpool__clean_raw(sqlpool__slot *slot, sqlpool__text *text) {
    sqlite3_stmt *at = NULL, *probe = NULL;
    uint64_t authorized;
    int rc;
    while ((at = sqlite3_next_stmt(slot->db, at)) != NULL) {
        sqlpool__link *link;
        int i;
        bool is_ours = false;
        for (i = 0; i < SQLPOOL__OWN_STATEMENTS && !is_ours; i++) is_ours = slot->own[i] == at;
        for (link = slot->recent.next; link != &slot->recent && !is_ours; link = link->next) {
            is_ours = sqlpool__stmt_of_link(link)->handle == at;
        }
        if (is_ours || !sqlite3_stmt_busy(at)) continue; /* idle ones may be a virtual table's */
        sqlpool__text_add(text, "%s not finalized: %.100s; ",
                          sqlite3_sql(at) != NULL ? "a statement" : "a blob",
                          sqlite3_sql(at) != NULL ? sqlite3_sql(at) : "(sqlite3_blob_open)");
        if (sqlite3_sql(at) != NULL) (void)sqlite3_reset(at);
        slot->is_bad = true; /* nobody else may meet it */
    }
    if (slot->is_changed)
        sqlpool__text_add(text, "PRAGMA, ATTACH or a temporary object changed the connection; ");
    if (sqlite3_commit_hook(slot->db, sqlpool__on_commit, slot) != (void *)slot) {
        sqlpool__text_add(text, "a hook was replaced (use sqlpool_conn_chain()); ");
    }
    authorized = slot->authorized;
    slot->check = SQLPOOL__CHECK_ALLOW;
    rc = sqlite3_prepare_v2(slot->db, "SELECT 1", -1, &probe, NULL);
    (void)sqlite3_finalize(probe);
    if (rc != SQLITE_OK) {
        slot->is_bad = true; /* cannot tell: replace it */
    } else if (slot->authorized == authorized) {
        sqlpool__text_add(text, "the authorizer was replaced (use sqlpool_conn_chain()); ");
        slot->is_bad = true;
    }
    sqlpool__install_handlers(slot);
    slot->is_raw = false;
}

/*  What one authorizer allowed or altered must not run under another: the cache is emptied, and
    what is in use does not come back to it. */
static void sqlpool__set_chain(sqlpool__slot *slot, const sqlpool_chain *chain) {
    const bool is_other =
        slot->chain.authorizer_fn != chain->authorizer_fn || slot->chain.user != chain->user;
    sqlpool__link *link;
    if (is_other && (slot->chain.authorizer_fn != NULL || chain->authorizer_fn != NULL)) {
        while (!sqlpool__list_is_empty(&slot->recent)) {
            sqlpool__stmt_destroy(slot, sqlpool__stmt_of_link(slot->recent.next));
        }
        for (link = slot->in_use.next; link != &slot->in_use; link = link->next) {
            sqlpool__stmt *stmt = sqlpool__stmt_of_link(link);
            if (stmt->is_cached) sqlpool__stmt_unlink(slot, stmt);
            stmt->is_cached = false;
        }
    }
    slot->chain = *chain;
    (void)sqlite3_update_hook(slot->db, slot->chain.update_fn != NULL ? sqlpool__on_update : NULL,
                              slot);
}

/*  Statements that were handed out come back, those that are not finished by name. */
static void sqlpool__put_statements(sqlpool__slot *slot, sqlpool__text *text) {
    while (!sqlpool__list_is_empty(&slot->in_use)) {
        sqlpool__stmt *stmt = sqlpool__stmt_of_link(slot->in_use.next);
        if (sqlite3_stmt_busy(stmt->handle))
            sqlpool__text_add(text, "a statement was not finished: %.150s; ", stmt->sql);
        sqlpool__stmt_put(slot, stmt);
    }
}

static void sqlpool__report_unclean(sqlpool__slot *slot, const char *found) {
    char site[200];
    sqlpool__text where = sqlpool__text_into(site, sizeof site);
    sqlpool__text_site(&where, slot);
    SQLPOOL__TALLY(slot, unclean);
    sqlpool__log_line(slot->core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_UNCLEAN, "%slease%s", found,
                      site);
}

/*  Makes the connection fit for the next lease; true when there was something to clean up. */
static SQLPOOL__NOINLINE bool sqlpool__clean_slow(sqlpool__slot *slot) {
    char found[600];
    sqlpool__text text = sqlpool__text_into(found, sizeof found);
    sqlpool__put_statements(slot, &text);
    if (slot->depth > 0 || (!slot->is_pinned && sqlite3_get_autocommit(slot->db) == 0)) {
        sqlpool__text_add(&text, slot->is_scope ? "a snapshot scope was open and is ended; "
                                                : "a transaction was open and is rolled back; ");
        sqlpool__abandon_transaction(slot);
    }
    if (slot->has_lease_chain) {
        sqlpool__set_chain(slot, &slot->base_chain);
        slot->has_lease_chain = false;
    }
    if (slot->is_raw) sqlpool__clean_raw(slot, &text);
    if (text.length == 0) return false;
    sqlpool__report_unclean(slot, found);
    return true;
}

static bool sqlpool__clean(sqlpool__slot *slot) {
    if (SQLPOOL__LIKELY(sqlpool__list_is_empty(&slot->in_use) && slot->depth == 0 &&
                        !slot->is_raw && !slot->has_lease_chain &&
                        (SQLPOOL__LOAD_RELAXED(&slot->mode) == SQLPOOL_READ ||
                         sqlite3_get_autocommit(slot->db) != 0))) {
        return false;
    }
    return sqlpool__clean_slow(slot);
}

/*  Must the connection be closed instead of going back? Counts the reason. */
static bool sqlpool__is_worn(sqlpool__slot *slot) {
    sqlpool__core *core = slot->core;
    if (core->is_memory && core->keep_alive == NULL) return false; /* it is the database */
    if (SQLPOOL__UNLIKELY(slot->is_bad)) {
        SQLPOOL__TALLY(slot, closed_bad);
        sqlpool__log_line(core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_CONNECTION_BAD,
                          "connection %u is closed after an error and opened anew",
                          (unsigned)(slot - core->slots));
        return true;
    }
    if (SQLPOOL__UNLIKELY(slot->is_changed || SQLPOOL__LOAD_RELAXED(&slot->epoch) !=
                                                  SQLPOOL__LOAD_RELAXED(&core->epoch))) {
        SQLPOOL__TALLY(slot, closed_recycled);
        return true;
    }
    return false;
}

/*==============================================================================
 * >>[I14] POOL: acquire, wait queues, release, drain                   (private)
 *==============================================================================
    Fast path: one compare-and-swap on the slot this thread used last, or on the first idle one; one
    exchange to give it back. No lock, no allocation, and for a reader no clock (the writer's is
    read to know when to look at the file again).

    Slow path, under the one lock: the caller queues (critical callers before the others, each kind
    by arrival) and sleeps on its own condition. Who may take an idle connection:

      - the head of the queue, always;
      - a newcomer past the queue, while the head is younger than barge_us. This *bounded barging*
        keeps the throughput of an unfair lock when connections are held for microseconds (no
        context switch a hand-over) and the fairness of a queue when they are not. Once the head is
        older, release hands the slot over directly and nobody can get between; not oftener than
        waking a thread takes.

    Whoever leaves the queue wakes the next head if there may be something for it, so one signal is
    never lost, and one release wakes one caller.

    A caller that waits with a *job* (a write of one statement) may find it done instead of getting
    the slot: who has the writer takes such callers out of the queue and runs their jobs with its
    own (I20.4). Once taken a caller sleeps until that has ended, whatever his deadline says.

    Under GATE_SHARED (no WAL) readers share the database and the writer has it alone, as SQLite's
    own locks would have it, but as a queue: whoever came earlier and has waited for barge_us goes
    first.

    Order of locks: core->lock is the only one. Nothing is opened, closed, prepared, logged or
    called back while it is held. */

static sqlpool__lane *sqlpool__lane_of(sqlpool__core *core, sqlpool_mode mode) {
    return core->lane_of[mode];
}
static uint64_t sqlpool__word(uint64_t number, unsigned state) {
    return number << SQLPOOL__NUMBER_SHIFT | state;
}
static unsigned sqlpool__state(uint64_t word) {
    return (unsigned)(word & SQLPOOL__STATE_MASK);
}

/*  From IDLE or EMPTY to LEASED. */
static bool sqlpool__take(sqlpool__slot *slot, unsigned from) {
    uint64_t word = SQLPOOL__LOAD_ORDERED(&slot->word);
    const uint64_t number = (word >> SQLPOOL__NUMBER_SHIFT) + 1;
    if (sqlpool__state(word) != from ||
        !SQLPOOL__CAS(&slot->word, &word, sqlpool__word(number, SQLPOOL__LEASED))) {
        return false;
    }
    slot->number = number;
    return true;
}

/*  What an acquire wants and for whom. */
typedef struct sqlpool__request {
    const char *file;
    int line;
    sqlpool_mode mode;
    const sqlpool_call *call; /* never NULL */
    int64_t deadline_ns;      /* end of the wait; 0: not computed yet */
    bool is_internal;         /* upkeep or a drained section: not counted */
    bool is_drain;            /* and it is for submitted writes: what fails is theirs */
    bool is_trial;            /* the open breaker lets this one through */
    sqlpool__job *job;        /* what another holder of the writer may run instead; or NULL */
    sqlpool__place *place;    /* of a caller that comes back to the queue; or NULL */
} sqlpool__request;

static const sqlpool_call sqlpool__default_call = {0, 0, 0, NULL, NULL};

/*  Does a failure end a caller's call, or what was submitted? */
static bool sqlpool__is_of_caller(const sqlpool__request *request) {
    return !request->is_internal || request->is_drain;
}

/*  Now that the slot is held: who holds it, for reports and for cancellation. */
static inline void sqlpool__lease_begin(sqlpool__slot *slot, const sqlpool__request *request,
                                        uint64_t thread) {
    SQLPOOL__STORE_RELAXED(&slot->owner, thread);
    SQLPOOL__STORE_RELAXED(&slot->file, request->file);
    SQLPOOL__STORE_RELAXED(&slot->line, (uint32_t)request->line);
    SQLPOOL__STORE_RELAXED(&slot->tag, request->call->tag);
    SQLPOOL__STORE_RELAXED(&slot->token, request->call->token);
    SQLPOOL__STORE_RELAXED(&slot->mode, (uint32_t)request->mode);
    SQLPOOL__STORE_RELAXED(&slot->frames_at, SQLPOOL__LOAD_RELAXED(&slot->core->frames_total));
    SQLPOOL__STORE_RELAXED(&slot->deadline_ns, SQLPOOL__NEVER);
    slot->lease_deadline_ns = SQLPOOL__NEVER;
    slot->lock_timeout_ms = 0;
    slot->is_lent = false;
    slot->waited_us = 0;
    slot->ended_by = 0;
    slot->trouble = 0; /* of whoever had it before, without a lease_end */
    slot->has_failed = false;
    slot->last_error.result = SQLPOOL_OK;
    SQLPOOL__STORE_RELAXED(&slot->sql, (const char *)NULL);
    if (!request->is_internal) SQLPOOL__TALLY(slot, acquires);
}

/*------------------------------------------------------------------------------
 * >>[I14.2] reports: who holds what                                    (private)
 *----------------------------------------------------------------------------*/

/*  Notes which leases are out and since when they have been seen. Without a clock call on acquire
    this is all that is known of a lease's age: a lower bound. */
static void sqlpool__observe_locked(sqlpool__core *core, int64_t now) {
    uint32_t i;
    for (i = 0; i < core->slot_count; i++) {
        sqlpool__slot *slot = &core->slots[i];
        const uint64_t word = SQLPOOL__LOAD_ORDERED(&slot->word);
        if (word == slot->seen_word) continue;
        slot->seen_word = word;
        slot->seen_ns = now;
    }
}

static bool sqlpool__is_leased(const sqlpool__slot *slot) {
    const unsigned state = sqlpool__state(SQLPOOL__LOAD_ORDERED(&slot->word));
    return state == SQLPOOL__LEASED || state == SQLPOOL__RETURNING;
}

/*  One lease, as sqlpool_holders() gives it. The SQL text is safe to read under the lock. */
static void sqlpool__holder_locked(sqlpool__slot *slot, int64_t now, sqlpool_holder *holder) {
    sqlpool__core *core = slot->core;
    const char *sql = SQLPOOL__LOAD(&slot->sql);
    const int64_t scope = SQLPOOL__LOAD_RELAXED(&slot->scope_since_ns);
    const int64_t since =
        slot->seen_word == SQLPOOL__LOAD_ORDERED(&slot->word) ? slot->seen_ns : now;
    sqlpool__text text = sqlpool__text_into(holder->sql, sizeof holder->sql);
    holder->slot = (uint32_t)(slot - core->slots);
    holder->mode = (int)SQLPOOL__LOAD_RELAXED(&slot->mode);
    holder->thread_id = SQLPOOL__LOAD_RELAXED(&slot->owner);
    holder->held_ms = (now - since) / SQLPOOL__NS_PER_MS;
    holder->wal_frames =
        SQLPOOL__LOAD_RELAXED(&core->frames_total) - SQLPOOL__LOAD_RELAXED(&slot->frames_at);
    holder->snapshot_ms = scope == SQLPOOL__NEVER ? -1 : (now - scope) / SQLPOOL__NS_PER_MS;
    holder->file = SQLPOOL__LOAD_RELAXED(&slot->file);
    holder->line = (int)SQLPOOL__LOAD_RELAXED(&slot->line);
    holder->tag = SQLPOOL__LOAD_RELAXED(&slot->tag);
    if (sql != NULL) sqlpool__text_excerpt(&text, sql, sizeof holder->sql - 4);
}

static void sqlpool__text_holder(sqlpool__text *text, const sqlpool_holder *holder) {
    sqlpool__text_add(text, "%s #%u held for >= %lld ms",
                      holder->mode == SQLPOOL_WRITE ? "writer" : "reader", (unsigned)holder->slot,
                      (long long)holder->held_ms);
    if (holder->tag != NULL) sqlpool__text_add(text, " [%s]", holder->tag);
    if (holder->file != NULL) sqlpool__text_add(text, " at %s:%d", holder->file, holder->line);
    sqlpool__text_add(text, " by thread %llx", (unsigned long long)holder->thread_id);
    if (holder->wal_frames > 0)
        sqlpool__text_add(text, ", %llu frames behind", (unsigned long long)holder->wal_frames);
    if (holder->snapshot_ms >= 0)
        sqlpool__text_add(text, ", in a snapshot scope for %lld ms",
                          (long long)holder->snapshot_ms);
    if (holder->sql[0] != '\0') sqlpool__text_add(text, ": %s", holder->sql);
}

/*  The saturation card: what a caller who gave up needs to know. */
static void sqlpool__text_card_locked(sqlpool__core *core, int64_t now, sqlpool__text *text) {
    uint32_t i;
    sqlpool__text_add(text, "; waiting: %u read, %u write; leases out:", core->lanes[0].waiting,
                      core->lanes[1].waiting);
    for (i = 0; i + 1 < core->slot_count; i++) {
        sqlpool_holder holder;
        if (!sqlpool__is_leased(&core->slots[i])) continue;
        sqlpool__holder_locked(&core->slots[i], now, &holder);
        sqlpool__text_add(text, "\n  ");
        sqlpool__text_holder(text, &holder);
    }
    if (core->open_error != 0)
        sqlpool__text_add(text, "\n  last failed opening: %s", core->open_message);
}

/*------------------------------------------------------------------------------
 * >>[I14.3] giving back                                                (private)
 *----------------------------------------------------------------------------*/

static int64_t sqlpool__barge_ns(const sqlpool__core *core) {
    return core->config.barge_us > 0 ? core->config.barge_us * SQLPOOL__NS_PER_US : 0;
}

static sqlpool__waiter *sqlpool__head_locked(const sqlpool__lane *lane) {
    return sqlpool__list_is_empty(&lane->queue) ? NULL
                                                : (sqlpool__waiter *)(void *)lane->queue.next;
}

/*  Must the head be served before any newcomer? When it has waited for barge_us. But a hand-over to
    a sleeping thread leaves the slot unused until that wakes: microseconds, or milliseconds where
    all processors are busy. So after one, those who run go on for as long as the last one took to
    wake: at most half of the time is lost to waking. */
static bool sqlpool__is_head_due(const sqlpool__core *core, const sqlpool__lane *lane,
                                 int64_t now) {
    const sqlpool__waiter *head = sqlpool__head_locked(lane);
    if (head == NULL || now - head->since_ns < sqlpool__barge_ns(core)) return false;
    return core->config.barge_us <= 0 || now - lane->taken_ns >= lane->wake_ns;
}

/*  Wakes whoever may have something to take now; a waiter that is awake already is left alone. */
static void sqlpool__wake_locked(sqlpool__core *core) {
    int i;
    for (i = 0; i < 2; i++) {
        sqlpool__waiter *head = sqlpool__head_locked(&core->lanes[i]);
        if (head == NULL || head->is_signalled || head->is_granted) continue;
        head->is_signalled = true;
        sqlpool__signal(core, &head->condition);
    }
    if (core->draining > 0) sqlpool__signal(core, &core->drain_condition);
}

static void sqlpool__wake_all_locked(sqlpool__core *core) {
    int i;
    for (i = 0; i < 2; i++) {
        sqlpool__link *link;
        for (link = core->lanes[i].queue.next; link != &core->lanes[i].queue; link = link->next) {
            sqlpool__waiter *waiter = (sqlpool__waiter *)(void *)link;
            waiter->is_signalled = true;
            sqlpool__signal(core, &waiter->condition);
        }
    }
    if (core->draining > 0) sqlpool__signal(core, &core->drain_condition);
    if (core->room_sleepers > 0) sqlpool__signal(core, &core->room_condition);
}

static void sqlpool__dequeue_locked(sqlpool__core *core, sqlpool__waiter *waiter) {
    if (!waiter->is_queued) return;
    sqlpool__list_remove(&waiter->link);
    waiter->is_queued = false;
    (void)SQLPOOL__ADD(&sqlpool__lane_of(core, waiter->mode)->waiting, (uint32_t)-1);
}

static void sqlpool__drop_hold_locked(sqlpool__core *core, sqlpool__slot *slot) {
    if (!slot->is_shared_hold) return;
    slot->is_shared_hold = false;
    if (SQLPOOL__LOAD_RELAXED(&slot->mode) == SQLPOOL_WRITE) {
        core->holds_write--;
    } else {
        core->holds_read--;
    }
    SQLPOOL_ASSERT(core->holds_read >= 0 && core->holds_write >= 0);
}

#define SQLPOOL__GATE_BLOCKING \
    (SQLPOOL__GATE_CLOSED | SQLPOOL__GATE_PAUSED | SQLPOOL__GATE_EXCLUSIVE | SQLPOOL__GATE_MOVED | \
     SQLPOOL__GATE_HOLD)

/*  The slot is RETURNING, or LEASED and about to become `to`. */
static SQLPOOL__NOINLINE void sqlpool__return_slow(sqlpool__slot *slot, sqlpool__lane *lane,
                                                   unsigned to) {
    sqlpool__core *core = slot->core;
    const uint64_t number = slot->number;
    const int64_t now = sqlpool__now(core);
    sqlpool__waiter *head;
    sqlpool__lock(core);
    sqlpool__drop_hold_locked(core, slot);
    head = lane != NULL ? sqlpool__head_locked(lane) : NULL;
    if (to == SQLPOOL__IDLE && head != NULL && !head->is_granted &&
        (SQLPOOL__LOAD(&core->gate) & (uint32_t)(SQLPOOL__GATE_BLOCKING | SQLPOOL__GATE_SHARED)) ==
            0 &&
        sqlpool__is_head_due(core, lane, now)) {
        lane->handed_ns = now;
        head->is_granted = true; /* the slot never looks idle: nobody can take it in between */
        head->slot = (uint32_t)(slot - core->slots);
        sqlpool__dequeue_locked(core, head);
        slot->number = number + 1;
        SQLPOOL__STORE(&slot->word, sqlpool__word(number + 1, SQLPOOL__LEASED));
        sqlpool__signal(core, &head->condition);
    } else {
        SQLPOOL__STORE(&slot->word, sqlpool__word(number, to));
        sqlpool__wake_locked(core);
    }
    sqlpool__unlock(core);
}

/*  What others match a lease by must be gone before the next lease has the slot: they look at the
    word first and at these after it. */
static void sqlpool__forget_lease(sqlpool__slot *slot) {
    SQLPOOL__STORE_RELAXED(&slot->owner, (uint64_t)0);
    SQLPOOL__STORE_RELAXED(&slot->token, (sqlpool_token *)NULL);
    SQLPOOL__STORE_RELAXED(&slot->deadline_ns, SQLPOOL__NEVER);
}

/*  Ends a lease whose connection is clean, or closes the connection when it should not go back. */
static void sqlpool__give_back(sqlpool__slot *slot, sqlpool__lane *lane) {
    sqlpool__core *core = slot->core;
    const uint64_t number = slot->number;
    if (SQLPOOL__UNLIKELY(slot->db != NULL && sqlpool__is_worn(slot))) {
        if (SQLPOOL__LOAD_RELAXED(&slot->epoch) == SQLPOOL__LOAD(&core->epoch) &&
            sqlpool__has_moved(slot)) {
            (void)SQLPOOL__OR(&core->gate, (uint32_t)SQLPOOL__GATE_MOVED);
        }
        sqlpool__close_connection(slot);
    }
    sqlpool__forget_lease(slot);
    (void)SQLPOOL__EXCHANGE(&slot->word, sqlpool__word(number, SQLPOOL__RETURNING));
    sqlpool__fence_interrupts(slot);
    if (SQLPOOL__UNLIKELY(SQLPOOL__LOAD_RELAXED(&slot->interrupted) == number)) {
        sqlpool__unpin(slot); /* the next lease begins with nothing of a cancelled one */
        if (slot->is_bad) sqlpool__close_connection(slot);
    }
    if (SQLPOOL__UNLIKELY(slot->db == NULL)) {
        sqlpool__return_slow(slot, lane, SQLPOOL__EMPTY);
    } else if (SQLPOOL__UNLIKELY(SQLPOOL__LOAD_ORDERED(&core->gate) != 0 || lane == NULL ||
                                 SQLPOOL__LOAD_ORDERED(&lane->waiting) != 0)) {
        sqlpool__return_slow(slot, lane, SQLPOOL__IDLE);
    } else {
        SQLPOOL__STORE(&slot->word, sqlpool__word(number, SQLPOOL__IDLE));
    }
}

/*------------------------------------------------------------------------------
 * >>[I14.4] circuit breaker                                            (private)
 *------------------------------------------------------------------------------
    A disk that is full or fails makes every write wait for it to fail again. So the first such
    failure of a write, or many of reads, opens the breaker of that mode: calls fail at once with
    its cause. After breaker_open_ms one call a period is let through, as a trial: when it goes well
    the breaker closes. What a lease met (slot->trouble) counts when it ends, and not at all if it
    committed something after that. Calls that the pool makes for itself pass always. */

static const char *sqlpool__mode_noun(int mode) {
    return mode == SQLPOOL_WRITE ? "writes" : "reads";
}

static int sqlpool__breaker_refuse_locked(sqlpool__core *core, sqlpool_mode mode, int64_t now,
                                          sqlpool_error *error) {
    const sqlpool__breaker *breaker = &core->breakers[mode];
    const int64_t left = breaker->try_ns - now;
    SQLPOOL__TALLY_POOL(core, breaker_refusals);
    error->sqlite_code = breaker->code;
    if (breaker->is_locked)
        return SQLPOOL__FAIL(error, breaker->code, "not tried: %s of %s stopped %lld ms ago: %s",
                             sqlpool__mode_noun((int)mode), core->config.name,
                             (long long)((now - breaker->opened_ns) / SQLPOOL__NS_PER_MS),
                             breaker->message);
    return SQLPOOL__FAIL(error, breaker->code,
                         "not tried: %s of %s fail at once for %lld ms now, since: %s; the next "
                         "try is in %lld ms",
                         sqlpool__mode_noun((int)mode), core->config.name,
                         (long long)((now - breaker->opened_ns) / SQLPOOL__NS_PER_MS),
                         breaker->message, (long long)(left > 0 ? left / SQLPOOL__NS_PER_MS : 0));
}

/*  The breaker is not closed: OK makes this call the trial. */
static SQLPOOL__NOINLINE int sqlpool__breaker_admit(sqlpool__core *core, sqlpool_mode mode,
                                                    sqlpool_error *error) {
    sqlpool__breaker *breaker = &core->breakers[mode];
    const int64_t now = sqlpool__now(core);
    int rc = SQLPOOL_OK;
    sqlpool__lock(core);
    if (breaker->state == SQLPOOL__BREAKER_CLOSED) {
        /* meanwhile */
    } else if (breaker->is_locked ||
               (now < breaker->try_ns &&
                now >= breaker->try_ns - core->config.breaker_open_ms * SQLPOOL__NS_PER_MS)) {
        rc = sqlpool__breaker_refuse_locked(core, mode, now, error);
    } else {
        breaker->try_ns = sqlpool__time_add(now, core->config.breaker_open_ms * SQLPOOL__NS_PER_MS);
        SQLPOOL__STORE(&breaker->state, (uint32_t)SQLPOOL__BREAKER_TRYING);
    }
    sqlpool__unlock(core);
    return rc;
}

static void sqlpool__breaker_tell(sqlpool__core *core, int mode, int state, int code,
                                  const char *message) {
    const sqlpool_events *events = &core->config.events;
    if (state != 0) {
        SQLPOOL__TALLY_POOL(core, breaker_opens);
        sqlpool__log_line(core, SQLPOOL_LEVEL_ERROR, SQLPOOL_LOG_BREAKER,
                          "%s fail at once, one every %d ms tries: %s", sqlpool__mode_noun(mode),
                          core->config.breaker_open_ms, message);
    } else {
        sqlpool__log_line(core, SQLPOOL_LEVEL_INFO, SQLPOOL_LOG_BREAKER, "%s go well again",
                          sqlpool__mode_noun(mode));
    }
    if (events->breaker_fn != NULL) events->breaker_fn(events->user, mode, state, code);
}

/*  Who waits for a connection of this mode leaves the queue, and is refused. */
static void sqlpool__refuse_waiters_locked(sqlpool__core *core, sqlpool_mode mode) {
    sqlpool__lane *lane = sqlpool__lane_of(core, mode);
    sqlpool__link *link, *next;
    for (link = lane->queue.next; link != &lane->queue; link = next) {
        sqlpool__waiter *waiter = (sqlpool__waiter *)(void *)link;
        next = link->next;
        if (waiter->mode != mode || !waiter->can_be_refused) continue;
        sqlpool__dequeue_locked(core, waiter);
        waiter->is_refused = true;
        sqlpool__signal(core, &waiter->condition);
    }
    sqlpool__wake_locked(core);
}

static void sqlpool__breaker_open(sqlpool__core *core, int mode, int code, const char *message) {
    sqlpool__breaker *breaker = &core->breakers[mode];
    const int64_t now = sqlpool__now(core);
    bool was_closed;
    sqlpool__lock(core);
    was_closed = breaker->state == SQLPOOL__BREAKER_CLOSED;
    if (was_closed) breaker->opened_ns = now;
    if (!breaker->is_locked) {
        breaker->code = code;
        breaker->try_ns = sqlpool__time_add(now, core->config.breaker_open_ms * SQLPOOL__NS_PER_MS);
        memcpy(breaker->message, message, strlen(message) + 1);
    }
    SQLPOOL__STORE(&breaker->state, (uint32_t)SQLPOOL__BREAKER_OPEN);
    sqlpool__refuse_waiters_locked(core, (sqlpool_mode)mode);
    sqlpool__unlock(core);
    if (was_closed) sqlpool__breaker_tell(core, mode, 1, code, message);
}

/*  Something went well. */
static SQLPOOL__NOINLINE void sqlpool__breaker_close(sqlpool__core *core, int mode) {
    sqlpool__breaker *breaker = &core->breakers[mode];
    bool was_open;
    sqlpool__lock(core);
    was_open = breaker->state != SQLPOOL__BREAKER_CLOSED && !breaker->is_locked;
    if (!breaker->is_locked) {
        breaker->failures = 0;
        SQLPOOL__STORE(&breaker->state, (uint32_t)SQLPOOL__BREAKER_CLOSED);
    }
    sqlpool__unlock(core);
    if (was_open) sqlpool__breaker_tell(core, mode, 0, SQLITE_OK, "");
}

/*  Counts a failure; are there too many? */
static bool sqlpool__breaker_count(sqlpool__core *core, int mode) {
    const sqlpool_config *config = &core->config;
    sqlpool__breaker *breaker = &core->breakers[mode];
    const int64_t now = sqlpool__now(core);
    const sqlpool__lane *lane = sqlpool__lane_of(core, (sqlpool_mode)mode);
    uint64_t calls = 0;
    uint32_t i;
    bool is_over;
    for (i = lane->first; i < lane->end; i++)
        calls += SQLPOOL__LOAD_ORDERED(&core->slots[i].word) >> SQLPOOL__NUMBER_SHIFT;
    sqlpool__lock(core);
    if (breaker->failures == 0 ||
        now - breaker->window_ns > config->breaker_window_ms * SQLPOOL__NS_PER_MS) {
        breaker->window_ns = now;
        breaker->window_calls = calls - 1; /* this one */
        breaker->failures = 0;
    }
    breaker->failures++;
    is_over = breaker->failures >= config->breaker_failures &&
              (uint64_t)breaker->failures * 100 >=
                  (calls - breaker->window_calls) * (uint64_t)config->breaker_percent;
    sqlpool__unlock(core);
    return is_over;
}

/*  SQLite says FULL too when an AUTOINCREMENT table has used its last number, and READONLY of a
    database that is attached: no fault of the disk. */
static bool sqlpool__is_harmless(sqlpool__slot *slot, int code) {
    char answer[8] = "";
    if (slot->db == NULL) return false;
    if (code == SQLITE_READONLY)
        return sqlite3_db_readonly(slot->db, "main") == 0 && !sqlpool__is_alone(slot);
    return code == SQLITE_FULL &&
           sqlpool__ask(slot->db,
                        "SELECT 1 FROM sqlite_sequence WHERE seq=9223372036854775807 LIMIT 1",
                        answer, sizeof answer) == SQLITE_OK &&
           answer[0] == '1';
}

/*  The lease that ends met trouble. */
static SQLPOOL__NOINLINE void sqlpool__breaker_failed(sqlpool__slot *slot) {
    sqlpool__core *core = slot->core;
    const int code = slot->trouble, primary = sqlpool__primary(code);
    const int mode = (int)SQLPOOL__LOAD_RELAXED(&slot->mode);
    const bool is_corrupt = primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
    const bool is_plain = is_corrupt || primary == SQLITE_FULL || primary == SQLITE_READONLY ||
                          primary == SQLITE_IOERR;
    slot->trouble = 0;
    if (sqlpool__is_harmless(slot, code)) return;
    if ((mode == SQLPOOL_WRITE && is_plain) || sqlpool__breaker_count(core, mode) ||
        SQLPOOL__LOAD(&core->breakers[mode].state) != SQLPOOL__BREAKER_CLOSED)
        sqlpool__breaker_open(core, mode, code, slot->trouble_message);
    if (mode == SQLPOOL_READ && is_corrupt) /* nothing more goes into a broken file */
        sqlpool__breaker_open(core, SQLPOOL_WRITE, code, slot->trouble_message);
}

/*------------------------------------------------------------------------------
 * >>[I14.5] taking                                                     (private)
 *----------------------------------------------------------------------------*/

static sqlpool__slot *sqlpool__take_fast(sqlpool__core *core, const sqlpool__lane *lane) {
    uint32_t i;
    if (SQLPOOL__LIKELY(sqlpool__hint.core == core && sqlpool__hint.slot >= lane->first &&
                        sqlpool__hint.slot < lane->normal_end)) {
        sqlpool__slot *slot = &core->slots[sqlpool__hint.slot];
        if (sqlpool__take(slot, SQLPOOL__IDLE)) return slot;
    }
    for (i = lane->first; i < lane->normal_end; i++) {
        if (!sqlpool__take(&core->slots[i], SQLPOOL__IDLE)) continue;
        if (lane->normal_end - lane->first > 1) { /* the writer's lane needs no hint */
            sqlpool__hint.core = core;
            sqlpool__hint.slot = i;
        }
        return &core->slots[i];
    }
    return NULL;
}

/*  The reserve is for critical callers, for all above a utilisation, and for the long-suffering.
    The question is only asked when no normal slot is idle. */
static bool sqlpool__may_use_reserve_locked(sqlpool__core *core, const sqlpool__waiter *waiter,
                                            int64_t now) {
    const sqlpool_config *config = &core->config;
    uint32_t used = 0, i;
    if (waiter->priority >= SQLPOOL_PRIORITY_CRITICAL) return true;
    if (config->reserve_wait_ms > 0 &&
        now - waiter->since_ns >= config->reserve_wait_ms * SQLPOOL__NS_PER_MS)
        return true;
    for (i = 0; i < (uint32_t)config->max_connections; i++)
        used += sqlpool__is_leased(&core->slots[i]) ? 1u : 0u;
    return used * 100 >=
           (uint32_t)config->reserve_threshold_percent * (uint32_t)config->max_connections;
}

/*  Whether queue and gate let this waiter take a slot now. */
static bool sqlpool__may_take_locked(sqlpool__core *core, const sqlpool__waiter *waiter,
                                     int64_t now) {
    const uint32_t gate = SQLPOOL__LOAD(&core->gate);
    const int64_t barge_ns = sqlpool__barge_ns(core);
    sqlpool__lane *lane = sqlpool__lane_of(core, waiter->mode);
    const sqlpool__waiter *head = sqlpool__head_locked(lane);
    if (core->is_bypassed && waiter->thread == core->bypass_thread) return true;
    if ((gate & (SQLPOOL__GATE_PAUSED | SQLPOOL__GATE_EXCLUSIVE)) != 0) return false;
    if ((gate & SQLPOOL__GATE_HOLD) != 0 && waiter->mode == SQLPOOL_READ) return false;
    if (head != NULL && head != waiter && sqlpool__is_head_due(core, lane, now)) return false;
    if ((gate & SQLPOOL__GATE_SHARED) != 0) {
        const sqlpool__waiter *other = sqlpool__head_locked(
            sqlpool__lane_of(core, waiter->mode == SQLPOOL_READ ? SQLPOOL_WRITE : SQLPOOL_READ));
        if (core->holds_write > 0 || (waiter->mode == SQLPOOL_WRITE && core->holds_read > 0))
            return false;
        if (waiter->priority != SQLPOOL__PRIORITY_NESTED && other != NULL &&
            other->mode != waiter->mode && other->arrival < waiter->arrival &&
            now - other->since_ns >= barge_ns) {
            return false;
        }
    }
    return true;
}

/*  After a failed opening the next waits; a clock that went back does not make that longer. */
static bool sqlpool__may_open(const sqlpool__core *core, int64_t now) {
    return now >= core->open_retry_ns ||
           now < core->open_retry_ns - core->config.open_retry_ms * SQLPOOL__NS_PER_MS;
}

/*  An idle slot, or an empty one to open a connection in (then is_open is 0). `is_unsettled` says
    that a slot was just being given back, so that the caller should look again soon. */
static sqlpool__slot *sqlpool__take_locked(sqlpool__core *core, const sqlpool__waiter *waiter,
                                           int64_t now, bool *is_unsettled, bool *can_grow_later) {
    sqlpool__lane *lane = sqlpool__lane_of(core, waiter->mode);
    uint32_t end = lane->normal_end, i;
    int pass;
    for (pass = 0; pass < 2; pass++) {
        for (i = pass == 0 ? lane->first : lane->normal_end; i < end; i++) {
            unsigned state;
            if (sqlpool__take(&core->slots[i], SQLPOOL__IDLE)) return &core->slots[i];
            state = sqlpool__state(SQLPOOL__LOAD_ORDERED(&core->slots[i].word));
            /* IDLE: it was RETURNING a moment ago, and who gave it back may not have seen us wait
                */
            if (state == SQLPOOL__RETURNING || state == SQLPOOL__IDLE) *is_unsettled = true;
        }
        for (i = pass == 0 ? lane->first : lane->normal_end; i < end; i++) {
            if (sqlpool__state(SQLPOOL__LOAD_ORDERED(&core->slots[i].word)) != SQLPOOL__EMPTY)
                continue;
            *can_grow_later = true;
            if (sqlpool__may_open(core, now) && sqlpool__take(&core->slots[i], SQLPOOL__EMPTY))
                return &core->slots[i];
        }
        if (lane->end == lane->normal_end || !sqlpool__may_use_reserve_locked(core, waiter, now))
            break;
        end = lane->end;
    }
    return NULL;
}

/*  Whether a thread waits in this lane. One that waits in the other lane may yet get its turn
    there. */
static bool sqlpool__is_waiting_locked(const sqlpool__lane *lane, uint64_t thread) {
    const sqlpool__link *link;
    for (link = lane->queue.next; link != &lane->queue; link = link->next) {
        if (((const sqlpool__waiter *)(const void *)link)->thread == thread) return true;
    }
    return false;
}

/*  Can this wait ever end? Not when every slot of the lane is held by this thread or by threads
    that wait here too, nor under the shared gate when this thread itself is in the way. Fills the
    error. */
static int sqlpool__find_deadlock_locked(sqlpool__core *core, const sqlpool__waiter *waiter,
                                         sqlpool_error *error) {
    const sqlpool__lane *lane = sqlpool__lane_of(core, waiter->mode);
    const bool is_shared = (SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_SHARED) != 0;
    const sqlpool__slot *own = NULL;
    bool is_stuck = true, is_all_own = true;
    uint32_t i;
    SQLPOOL_ASSERT(core->slots != NULL);
    for (i = 0; i < core->slot_count; i++) {
        const sqlpool__slot *slot = &core->slots[i];
        const uint64_t owner = SQLPOOL__LOAD_RELAXED(&slot->owner);
        const bool is_in_lane = i >= lane->first && i < lane->end;
        const bool is_in_way =
            is_shared && slot->is_shared_hold &&
            (waiter->mode == SQLPOOL_WRITE || SQLPOOL__LOAD_RELAXED(&slot->mode) == SQLPOOL_WRITE);
        if (!sqlpool__is_leased(slot)) {
            if (is_in_lane) is_stuck = false;
            continue;
        }
        if (owner == waiter->thread) {
            if (is_in_lane || is_in_way) own = slot;
            if (is_in_way) {
                is_stuck = is_all_own = true;
                break;
            }
        } else if (is_in_lane) {
            is_all_own = false;
            if (!sqlpool__is_waiting_locked(lane, owner)) is_stuck = false;
        }
    }
    if (!is_stuck || own == NULL) return SQLPOOL_OK;
    return SQLPOOL__FAIL(
        error, is_all_own ? SQLPOOL_MISUSE : SQLPOOL_DEADLOCK,
        "this thread would wait for itself: it holds %s acquired at %s:%u%s; use the sqlpool_conn_ "
        "calls on that lease, or release it first",
        SQLPOOL__LOAD_RELAXED(&own->mode) == SQLPOOL_WRITE ? "the writer" : "a connection",
        SQLPOOL__LOAD_RELAXED(&own->file), SQLPOOL__LOAD_RELAXED(&own->line),
        is_all_own ? "" : ", and so does every other holder");
}

/*  A lease of this thread, for the message of a nested wait. */
static const sqlpool__slot *sqlpool__find_own_locked(const sqlpool__core *core, uint64_t thread) {
    uint32_t i;
    for (i = 0; i < core->slot_count; i++) {
        if (sqlpool__is_leased(&core->slots[i]) &&
            SQLPOOL__LOAD_RELAXED(&core->slots[i].owner) == thread)
            return &core->slots[i];
    }
    return NULL;
}

static int sqlpool__count_own_locked(const sqlpool__core *core, uint64_t thread) {
    uint32_t i;
    int count = 0;
    for (i = 0; i < core->slot_count; i++) {
        if (sqlpool__is_leased(&core->slots[i]) &&
            SQLPOOL__LOAD_RELAXED(&core->slots[i].owner) == thread)
            count++;
    }
    return count;
}

static int sqlpool__refuse_closed(const sqlpool__core *core, sqlpool_error *error) {
    return SQLPOOL__FAIL(error, SQLPOOL_CLOSED, "the pool %s is closed", core->config.name);
}
static int sqlpool__refuse_moved(const sqlpool__core *core, sqlpool_error *error) {
    return SQLPOOL__FAIL(
        error, SQLPOOL_MOVED,
        "the database file \"%s\" was moved, replaced or deleted; call sqlpool_recycle() to go on "
        "with what is at that path now",
        core->path);
}

static void sqlpool__enqueue_locked(sqlpool__core *core, sqlpool__waiter *waiter) {
    sqlpool__lane *lane = sqlpool__lane_of(core, waiter->mode);
    sqlpool__link *place = &lane->queue;
    while (place->prev != &lane->queue) { /* from the back: nearly always the right place already */
        const sqlpool__waiter *before = (const sqlpool__waiter *)(const void *)place->prev;
        if (before->priority > waiter->priority ||
            (before->priority == waiter->priority && before->arrival < waiter->arrival)) {
            break;
        }
        place = place->prev;
    }
    sqlpool__list_insert_before(place, &waiter->link);
    waiter->is_queued = true;
    (void)SQLPOOL__ADD(&lane->waiting, 1u); /* from here on every releaser looks at the queue */
}

static int64_t sqlpool__acquire_deadline(sqlpool__core *core, const sqlpool__request *request,
                                         int64_t now) {
    const int timeout = request->call->timeout_ms != 0 ? request->call->timeout_ms
                                                       : core->config.acquire_timeout_ms;
    if (request->deadline_ns != 0) return request->deadline_ns;
    if (timeout == SQLPOOL_NO_WAIT) return now;
    return timeout < 0 ? SQLPOOL__NEVER : sqlpool__time_add(now, timeout * SQLPOOL__NS_PER_MS);
}

/*------------------------------------------------------------------------------
 * >>[I14.6] deadlock, deadline, moved files                            (private)
 *----------------------------------------------------------------------------*/

/*  Why the waiter must leave the queue without a slot; OK: it may sleep on. */
static int sqlpool__must_leave_locked(sqlpool__core *core, sqlpool__waiter *waiter,
                                      const sqlpool__request *request, int64_t now,
                                      int64_t deadline, sqlpool_error *error) {
    sqlpool__text text;
    const sqlpool__slot *own;
    if ((SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_CLOSED) != 0)
        return sqlpool__refuse_closed(core, error);
    if ((SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_MOVED) != 0)
        return sqlpool__refuse_moved(core, error);
    if (waiter->token != NULL && SQLPOOL__LOAD_RELAXED(&waiter->token->fired) != 0) {
        SQLPOOL__TALLY_POOL(core, cancellations);
        return SQLPOOL__FAIL(error, SQLPOOL_CANCELLED, "cancelled while waiting for a connection");
    }
    if (SQLPOOL__LOAD(&core->breakers[waiter->mode].state) != SQLPOOL__BREAKER_CLOSED &&
        !request->is_trial && !request->is_internal)
        return sqlpool__breaker_refuse_locked(core, waiter->mode, now, error);
    if (request->call->timeout_ms == SQLPOOL_NO_WAIT) {
        return SQLPOOL__FAIL(error, SQLPOOL_WOULD_BLOCK, "no connection is idle");
    }
    if (sqlpool__find_deadlock_locked(core, waiter, error) != SQLPOOL_OK) return error->result;
#ifdef SQLPOOL_NO_THREADS
    deadline = now; /* nobody else could give one back */
#endif
    if (now < deadline) return SQLPOOL_OK;
    if (!request->is_internal) SQLPOOL__TALLY_POOL(core, timeouts);
    own = sqlpool__find_own_locked(core, waiter->thread);
    text = sqlpool__text_into(error->message, sizeof error->message);
    sqlpool__text_add(&text, "%s: no %s became free within %lld ms for %s:%d", core->config.name,
                      waiter->mode == SQLPOOL_WRITE ? "writer" : "reader",
                      (long long)((now - waiter->since_ns) / SQLPOOL__NS_PER_MS),
                      request->file != NULL ? request->file : "?", request->line);
    if ((SQLPOOL__LOAD(&core->gate) & (SQLPOOL__GATE_PAUSED | SQLPOOL__GATE_EXCLUSIVE)) != 0) {
        sqlpool__text_add(&text, " (the pool is paused or in an exclusive section of thread %llx)",
                          (unsigned long long)core->pause_thread);
    }
    if (own != NULL) {
        sqlpool__text_add(&text,
                          "; this thread itself holds a lease from %s:%u: release it first, or "
                          "give the pool at least "
                          "one connection more than threads that hold one",
                          SQLPOOL__LOAD_RELAXED(&own->file), SQLPOOL__LOAD_RELAXED(&own->line));
    }
    sqlpool__text_card_locked(core, now, &text);
    error->result = SQLPOOL_TIMEOUT;
    return SQLPOOL_TIMEOUT;
}

static void sqlpool__note_open_error_locked(sqlpool__core *core, const sqlpool_error *error,
                                            int64_t now) {
    sqlpool__text text = sqlpool__text_into(core->open_message, sizeof core->open_message);
    core->open_error = error->result;
    core->open_retry_ns = sqlpool__time_add(now, core->config.open_retry_ms * SQLPOOL__NS_PER_MS);
    sqlpool__text_add(&text, "%.200s", error->message);
}

static sqlpool__lane *sqlpool__lane_of_slot(sqlpool__slot *slot) {
    return sqlpool__lane_of(slot->core, (sqlpool_mode)SQLPOOL__LOAD_RELAXED(&slot->mode));
}

static sqlpool__request sqlpool__internal_request(sqlpool_mode mode, const sqlpool_call *call,
                                                  int64_t deadline_ns) {
    sqlpool__request request;
    request.file = "sqlpool.h";
    request.line = 0;
    request.mode = mode;
    request.call = call;
    request.deadline_ns = deadline_ns;
    request.is_internal = true;
    request.is_drain = request.is_trial = false;
    request.job = NULL;
    request.place = NULL;
    return request;
}

/*  Takes an idle slot for upkeep itself. */
static bool sqlpool__claim(sqlpool__slot *slot) {
    sqlpool__request request;
    if (!sqlpool__take(slot, SQLPOOL__IDLE)) return false;
    request =
        sqlpool__internal_request(slot->role == SQLPOOL__ROLE_WRITER ? SQLPOOL_WRITE : SQLPOOL_READ,
                                  &sqlpool__default_call, SQLPOOL__NEVER);
    sqlpool__lease_begin(slot, &request, sqlpool__thread_id(slot->core));
    return true;
}

/*  Has the file of this open connection gone? Then no new lease is given until sqlpool_recycle().
    */
static bool sqlpool__note_if_moved(sqlpool__slot *slot) {
    sqlpool__core *core = slot->core;
    if (!sqlpool__has_moved(slot)) return false;
    (void)SQLPOOL__OR(&core->gate, (uint32_t)SQLPOOL__GATE_MOVED);
    sqlpool__log_line(core, SQLPOOL_LEVEL_ERROR, SQLPOOL_LOG_MOVED,
                      "the file \"%s\" is not the one that was opened", core->path);
    sqlpool__lock(core);
    sqlpool__wake_all_locked(core);
    sqlpool__unlock(core);
    return true;
}

/*  The same of any connection that is idle now: before another one is opened beside it. */
static bool sqlpool__have_others_moved(sqlpool__core *core) {
    uint32_t i;
    for (i = 0; i + 1 < core->slot_count; i++) {
        sqlpool__slot *slot = &core->slots[i];
        bool has_moved;
        if (SQLPOOL__LOAD_RELAXED(&slot->epoch) != SQLPOOL__LOAD(&core->epoch) ||
            !sqlpool__claim(slot))
            continue;
        has_moved = sqlpool__note_if_moved(slot);
        sqlpool__give_back(slot, sqlpool__lane_of_slot(slot));
        return has_moved;
    }
    return false;
}

/*  What failed is tried in another way; what the caller said of a refusal stays. */
static void sqlpool__forget_failure(sqlpool_error *error) {
    const int outcome = error->outcome;
    sqlpool__error_clear(error);
    error->outcome = outcome;
}

/*------------------------------------------------------------------------------
 * >>[I14.7] growing, and waiting in the queue                          (private)
 *----------------------------------------------------------------------------*/

/*  Opens a connection in a slot that was EMPTY and is held by the caller. On failure the slot is
    EMPTY again and the failure is noted, by the breaker too if it is the end of a call. */
static int sqlpool__grow(sqlpool__slot *slot, sqlpool__lane *lane, bool is_end,
                         sqlpool_error *error) {
    sqlpool__core *core = slot->core;
    sqlpool_token *token = SQLPOOL__LOAD_RELAXED(&slot->token);
    int rc;
    sqlpool__wake_upkeep(core);
    if (sqlpool__have_others_moved(core)) {
        sqlpool__give_back(slot, lane);
        return sqlpool__refuse_moved(core, error);
    }
    SQLPOOL__STORE_RELAXED(&slot->token,
                           (sqlpool_token *)NULL); /* the connection is for others too */
    rc = sqlpool__open_connection(slot, error);
    SQLPOOL__STORE_RELAXED(&slot->token, token);
    if (rc == SQLPOOL_OK) return SQLPOOL_OK;
    sqlpool__log_line(core, SQLPOOL_LEVEL_ERROR, SQLPOOL_LOG_OPEN_FAILED, "%s", error->message);
    sqlpool__lock(core);
    sqlpool__note_open_error_locked(core, error, sqlpool__now(core));
    sqlpool__unlock(core);
    if (slot->trouble != 0 && is_end) sqlpool__breaker_failed(slot);
    sqlpool__give_back(slot, lane);
    return rc;
}

static bool sqlpool__lane_has_open(const sqlpool__core *core, const sqlpool__lane *lane) {
    uint32_t i;
    for (i = lane->first; i < lane->end; i++) {
        if (SQLPOOL__LOAD(&core->slots[i].is_open) != 0) return true;
    }
    return false;
}

static void sqlpool__take_hold_locked(sqlpool__core *core, sqlpool__slot *slot, sqlpool_mode mode) {
    SQLPOOL__STORE_RELAXED(&slot->mode, (uint32_t)mode);
    if ((SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_SHARED) == 0) return;
    slot->is_shared_hold = true;
    if (mode == SQLPOOL_WRITE) {
        core->holds_write++;
    } else {
        core->holds_read++;
    }
}

#define SQLPOOL__UNSETTLED_NS \
    (50 * SQLPOOL__NS_PER_US) /* a slot stays RETURNING for nanoseconds unless
                                                           its thread is preempted just there */

/*  Waits in the queue until a slot is ours; with it, is_open says whether it has a connection. */
static int sqlpool__wait_for_slot(sqlpool__core *core, const sqlpool__request *request,
                                  sqlpool__waiter *waiter, sqlpool__slot **out,
                                  sqlpool_error *error) {
    int64_t now = sqlpool__now(core), deadline = sqlpool__acquire_deadline(core, request, now);
    bool has_slept = false, has_nested = false;
    int rc = SQLPOOL_OK;
    sqlpool__lock(core);
    if (waiter->arrival == 0) waiter->arrival = ++core->arrivals;
    sqlpool__observe_locked(core, now);
    if ((SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_SHARED) != 0 && waiter->mode == SQLPOOL_READ &&
        sqlpool__find_own_locked(core, waiter->thread) != NULL) {
        waiter->priority =
            SQLPOOL__PRIORITY_NESTED; /* a waiting writer waits for this very thread */
    }
    sqlpool__enqueue_locked(core, waiter);
    for (;;) {
        bool is_unsettled = false, can_grow_later = false;
        int64_t wake_at = deadline;
        *out = NULL;
        if (waiter->is_taken) { /* its arguments are on our stack: it is waited out */
            while (!waiter->is_done)
                sqlpool__wait_locked(core, &waiter->condition, now, SQLPOOL__NEVER);
            break;
        }
        if (waiter->is_refused) {
            rc = sqlpool__breaker_refuse_locked(core, waiter->mode, now, error);
            break;
        }
        if (waiter->is_granted) {
            sqlpool__lane *lane = sqlpool__lane_of(core, waiter->mode);
            *out = &core->slots[waiter->slot];
            lane->taken_ns = now;
            lane->wake_ns = now - lane->handed_ns;
        } else if ((SQLPOOL__LOAD(&core->gate) & (SQLPOOL__GATE_CLOSED | SQLPOOL__GATE_MOVED)) ==
                       0 &&
                   sqlpool__may_take_locked(core, waiter, now)) {
            *out = sqlpool__take_locked(core, waiter, now, &is_unsettled, &can_grow_later);
            if (*out != NULL) sqlpool__take_hold_locked(core, *out, waiter->mode);
        }
        if (*out != NULL) break;
        rc = sqlpool__must_leave_locked(core, waiter, request, now, deadline, error);
        if (is_unsettled &&
            (rc == SQLPOOL_WOULD_BLOCK || rc == SQLPOOL_DEADLOCK || rc == SQLPOOL_MISUSE)) {
            rc = SQLPOOL_OK;
            sqlpool__forget_failure(error);
        }
        if (rc != SQLPOOL_OK) break;
        if (core->config.pass_open_error && core->open_error != 0 &&
            !sqlpool__may_open(core, now) && can_grow_later) {
            const int code = core->open_error;
            rc = SQLPOOL__FAIL(error, code, "%s", core->open_message);
            break;
        }
        if (is_unsettled) wake_at = sqlpool__earlier(wake_at, now + SQLPOOL__UNSETTLED_NS);
        if (can_grow_later) wake_at = sqlpool__earlier(wake_at, core->open_retry_ns);
        if (core->config.reserve_wait_ms > 0) {
            const int64_t reserve_at = sqlpool__time_add(
                waiter->since_ns, core->config.reserve_wait_ms * SQLPOOL__NS_PER_MS);
            if (reserve_at > now) wake_at = sqlpool__earlier(wake_at, reserve_at);
        }
        if (!has_slept && !request->is_internal) SQLPOOL__TALLY_POOL(core, waits);
        if (!has_slept) has_nested = sqlpool__find_own_locked(core, waiter->thread) != NULL;
        has_slept = true;
        waiter->is_signalled = false;
        sqlpool__wait_locked(core, &waiter->condition, now, wake_at);
        now = sqlpool__now(core);
        if (has_nested && now - waiter->since_ns > 0 && rc == SQLPOOL_OK &&
            core->config.log.write_fn != NULL) {
            has_nested = false; /* said once, when the first sleep did not bring a slot at once */
            if (!waiter->is_granted) {
                sqlpool__unlock(core);
                sqlpool__log_line(core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_NESTED,
                                  "a thread waits for a connection at %s:%d while it holds "
                                  "another; this can deadlock",
                                  request->file != NULL ? request->file : "?", request->line);
                sqlpool__lock(core);
                now = sqlpool__now(core);
            }
        }
    }
    sqlpool__dequeue_locked(core, waiter);
    sqlpool__wake_locked(core); /* the next head may have something too */
    sqlpool__unlock(core);
    return rc;
}

static SQLPOOL__NOINLINE int sqlpool__acquire_slow(sqlpool__core *core,
                                                   const sqlpool__request *request,
                                                   sqlpool__slot **out, sqlpool_error *error) {
    sqlpool__lane *lane = sqlpool__lane_of(core, request->mode);
    sqlpool__waiter waiter;
    sqlpool__request again = *request, opening = *request;
    bool is_last;
    int rc;
    memset(&waiter, 0, sizeof waiter);
    opening.is_internal = true; /* counted when it is open */
    waiter.thread = sqlpool__thread_id(core);
    waiter.priority = request->call->priority;
    waiter.mode = request->mode;
    waiter.token = request->call->token;
    waiter.job = request->job;
    waiter.can_be_refused = !request->is_internal && !request->is_trial;
    if (core->config.locks.condition_init_fn(core->config.locks.user, &waiter.condition) != 0) {
        return SQLPOOL__FAIL(error, SQLPOOL_NOMEM,
                             "the lock hook could not make a condition to wait on");
    }
    waiter.since_ns = sqlpool__now(core);
    if (request->place != NULL && request->place->arrival != 0) {
        waiter.arrival = request->place->arrival;
        waiter.since_ns = request->place->since_ns;
    }
    if (request->call->timeout_ms != SQLPOOL_NO_WAIT) { /* one deadline over several openings */
        again.deadline_ns = sqlpool__acquire_deadline(core, request, waiter.since_ns);
    }
    for (;;) {
        rc = sqlpool__wait_for_slot(core, &again, &waiter, out, error);
        if (rc != SQLPOOL_OK || *out == NULL || (*out)->db != NULL) break;
        sqlpool__lease_begin(*out, &opening, waiter.thread);
        is_last = core->config.pass_open_error || request->is_internal ||
                  !sqlpool__lane_has_open(core, lane);
        rc = sqlpool__grow(*out, lane, is_last && sqlpool__is_of_caller(request), error);
        if (rc == SQLPOOL_OK || is_last) break;
        waiter.is_granted = false; /* others are open: wait for one of them */
        sqlpool__forget_failure(error);
    }
    core->config.locks.condition_destroy_fn(core->config.locks.user, &waiter.condition);
    if (request->place != NULL) {
        request->place->arrival = rc == SQLPOOL_TIMEOUT ? waiter.arrival : 0;
        request->place->since_ns = waiter.since_ns;
    }
    if (rc == SQLPOOL_TIMEOUT && !request->is_internal)
        sqlpool__log_line(core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_SATURATED, "%s", error->message);
    return rc;
}

/*------------------------------------------------------------------------------
 * >>[I14.8] validation, and acquire as a whole                       (private)
 *----------------------------------------------------------------------------*/

/*  The connection of a slot just taken was idle for long, is too old, or belongs to an older epoch.
    */
static SQLPOOL__NOINLINE int sqlpool__revalidate(sqlpool__slot *slot, sqlpool__lane *lane,
                                                 bool is_end, sqlpool_error *error) {
    sqlpool__core *core = slot->core;
    const int64_t now = sqlpool__now(core);
    const bool is_recycled = SQLPOOL__LOAD_RELAXED(&slot->epoch) != SQLPOOL__LOAD(&core->epoch);
    SQLPOOL__STORE_RELAXED(&slot->attention, 0u);
    sqlpool__wake_upkeep(core);
    slot->checked_ns = now;
    if (!is_recycled &&
        sqlpool__note_if_moved(slot)) { /* first: a new connection would find another file */
        sqlpool__give_back(slot, lane);
        return sqlpool__refuse_moved(core, error);
    }
    if (!is_recycled && now < SQLPOOL__LOAD_RELAXED(&slot->dies_ns)) return SQLPOOL_OK;
    if (is_recycled) {
        SQLPOOL__TALLY(slot, closed_recycled);
    } else {
        SQLPOOL__TALLY(slot, closed_lifetime);
    }
    sqlpool__close_connection(slot);
    return sqlpool__grow(slot, lane, is_end, error);
}

/*  Upkeep marks readers that were unused for validate_after_ms, so that taking one needs no clock.
    A write is worth one: no commit goes into a file that was moved longer ago than that. */
static inline bool sqlpool__is_check_due(const sqlpool__slot *slot) {
    const sqlpool__core *core = slot->core;
    if (SQLPOOL__LOAD_RELAXED(&slot->mode) == SQLPOOL_READ && core->has_thread) return false;
    return core->config.clock.now_ns_fn(core->config.clock.user) - slot->checked_ns >=
           core->config.validate_after_ms * SQLPOOL__NS_PER_MS;
}

static int sqlpool__take_or_wait(sqlpool__core *core, const sqlpool__request *request,
                                 sqlpool__slot **out, sqlpool_error *error) {
    sqlpool__lane *lane = sqlpool__lane_of(core, request->mode);
    int rc = SQLPOOL_OK;
    *out = NULL;
    if (request->mode == SQLPOOL_WRITE && core->config.read_only) {
        return SQLPOOL__FAIL(error, SQLITE_READONLY, "the pool %s is read-only", core->config.name);
    }
    rc = sqlpool__acquire_slow(core, request, out, error);
    if (rc != SQLPOOL_OK || *out == NULL) return rc;
    sqlpool__lease_begin(*out, request, sqlpool__thread_id(core));
    return SQLPOOL__LOAD_RELAXED(&(*out)->attention) != 0 || sqlpool__is_check_due(*out)
               ? sqlpool__revalidate(*out, lane, sqlpool__is_of_caller(request), error)
               : SQLPOOL_OK;
}

/*  The one way to a slot. On success the caller is its lease holder; a slot of NULL means that the
    request's job was done by another. On failure everything was said (log, error hook) and the pool
    may be gone: the caller only returns the result. */
static int sqlpool__acquire(sqlpool__core *core, const sqlpool__request *request,
                            sqlpool__slot **out, sqlpool_error *error) {
    const sqlpool__lane *lane = sqlpool__lane_of(core, request->mode);
    sqlpool__request trial;
    int rc;
    if (SQLPOOL__UNLIKELY(SQLPOOL__LOAD_RELAXED(&core->breakers[request->mode].state) !=
                          SQLPOOL__BREAKER_CLOSED) &&
        !request->is_internal) {
        sqlpool__go_inside(core);
        rc = sqlpool__breaker_admit(core, request->mode, error);
        if (rc != SQLPOOL_OK) (void)sqlpool__finish(core, error);
        sqlpool__go_outside(core);
        if (rc != SQLPOOL_OK) return rc;
        trial = *request;
        trial.is_trial = true;
        request = &trial;
    }
    if (SQLPOOL__LIKELY(SQLPOOL__LOAD_RELAXED(&core->gate) == 0 &&
                        (request->mode == SQLPOOL_READ || !core->config.read_only))) {
        sqlpool__slot *slot = sqlpool__take_fast(core, lane);
        if (SQLPOOL__LIKELY(slot != NULL)) {
            sqlpool__lease_begin(slot, request, sqlpool__thread_id(core));
            if (SQLPOOL__LIKELY(SQLPOOL__LOAD_ORDERED(&core->gate) == 0 &&
                                SQLPOOL__LOAD_RELAXED(&slot->attention) == 0 &&
                                !sqlpool__is_check_due(slot))) {
                *out = slot;
                return SQLPOOL_OK;
            }
            sqlpool__go_inside(core); /* the slot holds the pool until here */
            if (SQLPOOL__LOAD_ORDERED(&core->gate) == 0) {
                rc = sqlpool__revalidate(slot, sqlpool__lane_of(core, request->mode),
                                         sqlpool__is_of_caller(request), error);
                if (rc == SQLPOOL_OK) *out = slot;
            } else { /* the gate closed in between */
                sqlpool__give_back(slot, sqlpool__lane_of(core, request->mode));
                rc = sqlpool__take_or_wait(core, request, out, error);
            }
            if (rc != SQLPOOL_OK || *out == NULL) (void)sqlpool__finish(core, error);
            sqlpool__go_outside(core);
            return rc;
        }
    }
    sqlpool__go_inside(core);
    rc = sqlpool__take_or_wait(core, request, out, error);
    if (rc != SQLPOOL_OK || *out == NULL) /* a job that another did may have failed */
        (void)sqlpool__finish(core, error);
    sqlpool__go_outside(core);
    return rc;
}

/*------------------------------------------------------------------------------
 * >>[I14.9] drain, cancel                                              (private)
 *----------------------------------------------------------------------------*/

/*  Is any lease out in slots [first, end)? RETURNING counts as out and unsettled. */
static bool sqlpool__any_out(const sqlpool__core *core, uint32_t first, uint32_t end,
                             bool *is_unsettled) {
    bool any = false;
    uint32_t i;
    for (i = first; i < end; i++) {
        /* one look: who has not begun to give it back finds the gate closed, and wakes us */
        const unsigned state = sqlpool__state(SQLPOOL__LOAD_ORDERED(&core->slots[i].word));
        any |= state == SQLPOOL__LEASED || state == SQLPOOL__RETURNING;
        *is_unsettled |= state == SQLPOOL__RETURNING;
    }
    return any;
}

/*  With `bit` of the gate set by the caller: waits until no lease of [first, end) is out, or until
    another thread cleared the bit. */
static int sqlpool__drain_locked(sqlpool__core *core, uint32_t first, uint32_t end, uint32_t bit,
                                 int64_t deadline_ns) {
    int rc = SQLPOOL_OK;
    sqlpool__observe_locked(core, sqlpool__now(core));
    core->draining++;
    for (;;) {
        const int64_t now = sqlpool__now(core);
        bool is_unsettled = false;
        if (!sqlpool__any_out(core, first, end, &is_unsettled)) break;
        if ((SQLPOOL__LOAD(&core->gate) & bit) == 0) break; /* given up by another thread */
#ifdef SQLPOOL_NO_THREADS
        deadline_ns = now;
#endif
        if (now >= deadline_ns) {
            rc = SQLPOOL_TIMEOUT;
            break;
        }
        sqlpool__wait_locked(core, &core->drain_condition, now,
                             is_unsettled
                                 ? sqlpool__earlier(deadline_ns, now + SQLPOOL__UNSETTLED_NS)
                                 : deadline_ns);
    }
    core->draining--;
    return rc;
}

/*  Ends a snapshot that waits for reuse, unless a call is just using it. */
static bool sqlpool__retire(sqlpool__slot *slot) {
    if (sqlpool__claim(slot)) {
        sqlpool__unpin(slot);
        sqlpool__give_back(slot, sqlpool__lane_of_slot(slot));
    } else {
        sqlpool__unpin_parked(slot);
    }
    return SQLPOOL__LOAD_RELAXED(&slot->has_snapshot) == 0;
}

/*  So that nothing of this pool pins the log but what runs, and transactions. */
static void sqlpool__retire_snapshots(sqlpool__core *core) {
    uint32_t i;
    for (i = 0; i + 1 < core->slot_count; i++) {
        if (SQLPOOL__LOAD_RELAXED(&core->slots[i].has_snapshot) != 0)
            (void)sqlpool__retire(&core->slots[i]);
    }
}

/*  Sends an interrupt to what the lease runs, if it is still out and still has that deadline
    (NEVER: any): announce, look, act. Who ends a lease or a deadline changes it, then looks for an
    announcement. */
static void sqlpool__interrupt_locked(sqlpool__slot *slot, uint64_t number, int64_t deadline_ns) {
    (void)SQLPOOL__EXCHANGE(&slot->interrupting, 1u);
    if (SQLPOOL__LOAD_ORDERED(&slot->word) == sqlpool__word(number, SQLPOOL__LEASED) &&
        (deadline_ns == SQLPOOL__NEVER ||
         SQLPOOL__LOAD_ORDERED(&slot->deadline_ns) == deadline_ns) &&
        SQLPOOL__LOAD_ORDERED(&slot->is_open) != 0) {
        SQLPOOL__STORE(&slot->interrupted, number);
        sqlite3_interrupt(slot->db);
    }
    SQLPOOL__STORE(&slot->interrupting, 0u);
}

/*  The log is above its budget, and has grown by a quarter of it since the last checkpoint: what a
    reader pins cannot be moved, and trying after every commit would cost more than it brings. */
static bool sqlpool__is_checkpoint_wanted(sqlpool__core *core) {
    const int64_t frames = (int64_t)SQLPOOL__LOAD_RELAXED(&core->wal_frames);
    const int64_t fresh = (int64_t)(SQLPOOL__LOAD_RELAXED(&core->frames_total) -
                                    SQLPOOL__LOAD_RELAXED(&core->frames_checkpointed));
    return frames * core->page_bytes >= core->config.wal_budget_bytes &&
           fresh * core->page_bytes >= core->config.wal_budget_bytes / 4;
}

/*  All who write stand still meanwhile: where they are many, ten times a second is enough while the
    log is below half its limit. At 115,000 small commits/s that is 0.07 % of them with eight
    writers, and was 0.4 % with a checkpoint for every budget (bench W6). A longer log costs readers
    and a lone writer 10 % (bench W5): they have a checkpoint for every budget. */
#define SQLPOOL__CHECKPOINT_REST_MS 100

static bool sqlpool__may_upkeep_checkpoint(sqlpool__core *core, int64_t now) {
    const int64_t bytes = (int64_t)SQLPOOL__LOAD_RELAXED(&core->wal_frames) * core->page_bytes;
    return bytes >= core->config.wal_limit_bytes / 2 ||
           SQLPOOL__LOAD_RELAXED(&core->contention) == 0 ||
           now >= SQLPOOL__LOAD_RELAXED(&core->next_checkpoint_ns);
}

/*  The first commit did not move the stamp. No reader was misled: it was found before that commit
    returned. */
static void sqlpool__distrust(sqlpool__core *core) {
    const char *why = "off: a commit did not change the WAL-index header";
    uint32_t found = 1;
    if (!SQLPOOL__CAS(&core->is_stamp_bad, &found, 2u)) return;
    SQLPOOL__STORE(&core->snapshot_state, why);
    sqlpool__log_line(core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_STAMP, "snapshots are %s", why);
}

/*  Busy handlers of this process sleep until a commit: tell them. */
static void sqlpool__after_commit(sqlpool__slot *slot) {
    sqlpool__core *core = slot->core;
    const sqlpool_events *events = &core->config.events;
    uint64_t commits;
    slot->is_committed = false;
    slot->trouble = 0;
    if (SQLPOOL__UNLIKELY(SQLPOOL__LOAD_RELAXED(&core->breakers[SQLPOOL_WRITE].state) !=
                          SQLPOOL__BREAKER_CLOSED) &&
        (slot->has_frames || !core->is_wal)) /* a commit of nothing proves nothing */
        sqlpool__breaker_close(core, SQLPOOL_WRITE);
    SQLPOOL__TALLY(slot, commits);
    if (SQLPOOL__UNLIKELY(SQLPOOL__LOAD_RELAXED(&core->is_stamp_bad) == 1)) sqlpool__distrust(core);
    commits = SQLPOOL__ADD(&core->commits, (uint64_t)1) + 1;
    if (sqlpool__is_full(core)) sqlpool__await_sync(core);
    if (core->is_wal && !slot->is_relaxed && slot->has_frames &&
        SQLPOOL__LOAD(&core->is_log_doubtful) == 0 &&
        slot->role == SQLPOOL__ROLE_WRITER && /* several writers count in another order */
        sqlpool__is_full(core)) {
        SQLPOOL__STORE(&core->durable, commits);
        sqlpool__log_is_synced(core, SQLPOOL__LOAD(&core->log_end));
    }
    if (SQLPOOL__LOAD_ORDERED(&core->busy_sleepers) != 0) {
        sqlpool__lock(core);
        sqlpool__signal(core, &core->commit_condition);
        sqlpool__unlock(core);
    }
    if (core->is_wal && sqlpool__is_checkpoint_wanted(core))
        SQLPOOL__STORE(&core->checkpoint_due, 1u);
    if (events->commit_fn != NULL) events->commit_fn(events->user, commits);
}

/*==============================================================================
 * >>[I15] RETRY: which code is tried again, and when                   (private)
 *==============================================================================
    Writers of one pool never meet BUSY: they queue in memory. What is left comes from other
    processes and other pools, and from SQLite where it does not call the busy handler because
    waiting cannot help. What must be repeated then is a property of the code
    (sqlite.org/rescode.html). Everything not in the table is the caller's mistake or the machine's,
    and is never tried again; TIMEOUT is not, since the deadline is for all tries together. */

typedef enum sqlpool__again {
    SQLPOOL__AGAIN_NEVER,
    SQLPOOL__AGAIN_STATEMENT,
    SQLPOOL__AGAIN_TRANSACTION
} sqlpool__again;

static const struct {
    int code;
    sqlpool__again again;
} sqlpool__again_table[] = {
    {SQLITE_BUSY, SQLPOOL__AGAIN_STATEMENT}, /* the handler was not called: a deadlock of locks */
    {SQLITE_BUSY_RECOVERY, SQLPOOL__AGAIN_STATEMENT}, /* another process recovers the log */
    {SQLITE_BUSY_SNAPSHOT,
     SQLPOOL__AGAIN_TRANSACTION}, /* read, then someone committed, then write */
    {SQLITE_BUSY | (3 << 8), SQLPOOL__AGAIN_STATEMENT}, /* BUSY_TIMEOUT, SQLite 3.32 */
    {SQLITE_PROTOCOL, SQLPOOL__AGAIN_STATEMENT},        /* a race for the log's locks */
    {SQLITE_ABORT_ROLLBACK, SQLPOOL__AGAIN_TRANSACTION} /* the transaction ended under a cursor */
};

static sqlpool__again sqlpool__again_for(int code) {
    size_t i;
    for (i = 0; i < sizeof sqlpool__again_table / sizeof *sqlpool__again_table; i++) {
        if (sqlpool__again_table[i].code == code) return sqlpool__again_table[i].again;
    }
    return SQLPOOL__AGAIN_NEVER;
}

/*  What is tried again for this code, if it is the whole answer: the table, or the program. */
static bool sqlpool__is_retryable(const sqlpool__core *core, int code) {
    const sqlpool_events *events = &core->config.events;
    const bool is_retryable = sqlpool__again_for(code) != SQLPOOL__AGAIN_NEVER;
    if (SQLPOOL__LIKELY(events->retryable_fn == NULL) || code <= 0) return is_retryable;
    return events->retryable_fn(events->user, code, is_retryable ? 1 : 0) != 0;
}

/*  Where disk or memory fail after COMMIT has begun, the log may hold it all the same: whoever
    opens the file next finds it or does not. */
static bool sqlpool__is_unknown(const sqlpool__slot *slot, const sqlpool_error *error) {
    const int code = sqlpool__primary(error->sqlite_code);
    return error->result != SQLPOOL_OK && slot->has_commit_begun &&
           (sqlpool__is_connection_bad(error->sqlite_code) || code == SQLITE_NOMEM ||
            code == SQLITE_FULL || error->sqlite_code == SQLITE_IOERR_NOMEM);
}

/*  A token for one repetition: so many a second, and so many per call, for ten seconds' worth. */
static bool sqlpool__take_retry_token(sqlpool__core *core) {
    const sqlpool_config *config = &core->config;
    const int64_t now = sqlpool__now(core);
    uint64_t calls;
    const double per_s = config->retry_budget_per_s > 0 ? config->retry_budget_per_s : 0;
    const double most = per_s * 10 + 10;
    bool is_granted;
    if (config->retry_budget_percent <= 0) return true;
    sqlpool__lock(core);
    calls =
        sqlpool__counter(core, SQLPOOL__COUNT_acquires); /* never less than who was here before */
    if (core->retry_ns == 0) {
        core->retry_tokens = most;
    } else {
        core->retry_tokens +=
            per_s * (double)(now > core->retry_ns ? now - core->retry_ns : 0) / 1e9 +
            (double)(calls - core->retry_calls) * (double)config->retry_budget_percent / 100;
    }
    core->retry_ns = now;
    core->retry_calls = calls;
    if (core->retry_tokens > most) core->retry_tokens = most;
    is_granted = core->retry_tokens >= 1;
    if (is_granted) core->retry_tokens -= 1;
    sqlpool__unlock(core);
    return is_granted;
}

/*  How long to wait before try number `attempt` + 1; negative: there is none. */
static int64_t sqlpool__retry_delay(sqlpool__slot *slot, const sqlpool_call *call, int attempt) {
    sqlpool__core *core = slot->core;
    const sqlpool_config *config = &core->config;
    const int most = call->attempts > 0 ? call->attempts : config->retry_attempts;
    int64_t delay_us;
    if (attempt == 1) slot->retry_total_us = slot->retry_delay_us = 0;
    if (attempt >= most) return -1;
    if (config->retry_schedule_count > 0) {
        delay_us = config->retry_schedule_us[attempt <= config->retry_schedule_count
                                                 ? attempt - 1
                                                 : config->retry_schedule_count - 1];
    } else if (config->retry_jitter == SQLPOOL_JITTER_DECORRELATED) {
        const int64_t base = config->retry_base_us;
        const int64_t last = slot->retry_delay_us > base ? slot->retry_delay_us : base;
        delay_us = base + sqlpool__random_up_to(sqlpool__random(core), 3 * last - base);
        delay_us = sqlpool__earlier(delay_us, config->retry_cap_us);
    } else {
        delay_us = sqlpool__backoff_us(attempt + 1, config->retry_base_us, config->retry_cap_us,
                                       config->retry_multiplier_percent, config->retry_jitter,
                                       sqlpool__random(core));
    }
    if (config->retry_total_ms > 0 &&
        slot->retry_total_us + delay_us > config->retry_total_ms * INT64_C(1000))
        return -1;
    slot->retry_delay_us = delay_us;
    slot->retry_total_us += delay_us;
    return delay_us;
}

/*  After try number `attempt` failed: waits and says true when there is to be another one. The
    error keeps what happened if there is none. */
static bool sqlpool__retry_wait(sqlpool__slot *slot, const sqlpool_call *call, int attempt,
                                sqlpool_error *error) {
    sqlpool__core *core = slot->core;
    const sqlpool_config *config = &core->config;
    const int code = error->result;
    int64_t delay_us;
    error->attempts = attempt;
    if (sqlpool__is_cancelled(slot)) return false;
    delay_us = sqlpool__retry_delay(slot, call, attempt);
    if (delay_us < 0) return false;
    if (slot->lease_deadline_ns != SQLPOOL__NEVER &&
        sqlpool__time_add(sqlpool__now(core), delay_us * SQLPOOL__NS_PER_US) >=
            slot->lease_deadline_ns) {
        return false;
    }
    if (!sqlpool__take_retry_token(core)) {
        const size_t length = strlen(error->message);
        sqlpool__text text =
            sqlpool__text_into(error->message + length, sizeof error->message - length);
        SQLPOOL__TALLY(slot, retry_refusals);
        sqlpool__text_add(&text, "; not tried again: the retry budget is used up");
        return false;
    }
    SQLPOOL__TALLY(slot, retries);
    sqlpool__log_line(core, SQLPOOL_LEVEL_INFO, SQLPOOL_LOG_RETRY,
                      "try %d failed with %s, next in %lld us", attempt, sqlpool_result_name(code),
                      (long long)delay_us);
    if (config->events.retry_fn != NULL)
        config->events.retry_fn(config->events.user, attempt, code, delay_us);
#ifdef SQLPOOL_NO_THREADS
    sqlpool__sleep(core, delay_us * SQLPOOL__NS_PER_US);
#else
    {
        int64_t now = sqlpool__now(core);
        const int64_t until = sqlpool__time_add(now, delay_us * SQLPOOL__NS_PER_US);
        sqlpool__lock(core);
        for (; now < until && !sqlpool__is_cancelled(slot); now = sqlpool__now(core))
            sqlpool__wait_locked(core, &core->commit_condition, now, until);
        sqlpool__unlock(core);
    }
#endif
    slot->waited_us += delay_us;
    sqlpool__error_clear(error);
    error->attempts = attempt + 1;
    error->waited_us = slot->waited_us;
    return true;
}

/*==============================================================================
 * >>[I16] CHECKPOINT: the log's budgets, the safe checkpoint, pins     (private)
 *==============================================================================
    SQLite 3.7.0 to 3.51.2 can corrupt a database when a checkpoint runs beside a writer (fixed in
    3.51.3, 3.50.7 and 3.44.6): so no connection of the pool ever checkpoints by itself
    (wal_autocheckpoint is 0), and the pool's checkpoint is

        the writer's turn in memory, then BEGIN IMMEDIATE on the writer
        PASSIVE on a connection kept for this
        ROLLBACK on the writer

    SQLite's own write lock is held meanwhile, against every process. It costs writers the time of
    copying at most the budget's worth of pages and two fsyncs, and readers nothing.

    Above the first budget a commit asks for a checkpoint: the upkeep thread runs it, or without one
    the thread that gave the writer back. The log starts over when all of it is copied and no reader
    uses it; readers that overlap without end prevent that, so above the second budget new readers
    are held back for at most wal_wait_ms. A checkpoint that cannot finish names the lease that pins
    the log.

    Tried and dropped: copying most of the log beside the writers, while a reader of the pool stands
    in it, which keeps everybody from starting it over, and only the rest with the write lock held.
    With more writers than processors the copying thread is off its processor for whole slices of
    the scheduler and falls behind: the log passed its limit, and the 99.9th percentile of a write
    by 8 threads rose from 4.1 to 7.6 ms (synchronous NORMAL, two processors). Writers that wait
    give the checkpoint a processor. */

static const sqlpool_call sqlpool__checkpoint_call = {0, 0, SQLPOOL_PRIORITY_CRITICAL, "checkpoint",
                                                      NULL};

/*  A checkpoint beside readers seldom gets all; that nothing came of several in a row is news. */
#define SQLPOOL__PINS_BEFORE_LOG 4

/*  The lease that pins most frames, in words; at most once in 10 s. */
static void sqlpool__report_pin(sqlpool__core *core, int log_frames, int done_frames) {
    const int64_t now = sqlpool__now(core);
    sqlpool_holder worst, holder;
    char line[512];
    sqlpool__text text = sqlpool__text_into(line, sizeof line);
    bool has_holder = false, is_short;
    uint32_t i;
    SQLPOOL__TALLY_POOL(core, checkpoints_pinned);
    sqlpool__lock(core);
    core->pinned_in_row++;
    if (now < core->next_pin_log_ns ||
        (core->pinned_in_row < SQLPOOL__PINS_BEFORE_LOG &&
         log_frames * core->page_bytes < core->config.wal_limit_bytes)) {
        sqlpool__unlock(core);
        return;
    }
    core->next_pin_log_ns = sqlpool__time_add(now, 10000 * SQLPOOL__NS_PER_MS);
    sqlpool__observe_locked(core, now);
    for (i = 0; i < core->slot_count; i++) {
        if (!sqlpool__is_leased(&core->slots[i]) ||
            SQLPOOL__LOAD_RELAXED(&core->slots[i].mode) == SQLPOOL_WRITE)
            continue;
        sqlpool__holder_locked(&core->slots[i], now, &holder);
        if (!has_holder || holder.wal_frames > worst.wal_frames) worst = holder;
        has_holder = true;
    }
    sqlpool__unlock(core);
    sqlpool__text_add(&text, "a checkpoint moved %d of %d frames; the rest is pinned by ",
                      done_frames, log_frames);
    if (has_holder) {
        sqlpool__text_holder(&text, &worst);
    } else {
        sqlpool__text_add(&text, "a reader of another process or pool, or one that has just ended");
    }
    is_short = has_holder && worst.held_ms < 1000 &&
               log_frames * core->page_bytes < core->config.wal_limit_bytes;
    sqlpool__log_line(core, is_short ? SQLPOOL_LEVEL_INFO : SQLPOOL_LEVEL_WARNING,
                      SQLPOOL_LOG_WAL_PINNED, "%s", line);
}

static void sqlpool__checkpoint_report(sqlpool__core *core,
                                       const sqlpool_checkpoint_result *result) {
    sqlpool__log_line(core, SQLPOOL_LEVEL_DEBUG, SQLPOOL_LOG_CHECKPOINT,
                      "%d of %d frames are in the database file", result->checkpointed_frames,
                      result->log_frames);
    if (result->checkpointed_frames < result->log_frames) {
        sqlpool__report_pin(core, result->log_frames, result->checkpointed_frames);
    } else {
        sqlpool__lock(core);
        core->pinned_in_row = 0;
        sqlpool__unlock(core);
    }
}

/*  The connection that copies, opened when first needed; whoever holds the writer may use it. */
static int sqlpool__checkpointer_ready(sqlpool__core *core, sqlpool_error *error) {
    sqlpool__slot *slot = core->checkpointer;
    if (slot->db != NULL && SQLPOOL__LOAD_RELAXED(&slot->epoch) != SQLPOOL__LOAD(&core->epoch)) {
        sqlpool__close_connection(slot);
    }
    if (slot->db != NULL) return SQLPOOL_OK;
    slot->number++; /* never leased: only the connect hook sees the number */
    SQLPOOL__STORE(&slot->word, sqlpool__word(slot->number, SQLPOOL__LEASED));
    SQLPOOL__STORE_RELAXED(&slot->owner, sqlpool__thread_id(core));
    {
        const int rc = sqlpool__open_connection(slot, error);
        SQLPOOL__STORE_RELAXED(&slot->owner, (uint64_t)0);
        SQLPOOL__STORE(
            &slot->word,
            sqlpool__word(slot->number, SQLPOOL__EMPTY)); /* in no lane: nobody takes it */
        return rc;
    }
}

/*------------------------------------------------------------------------------
 * >>[I16.2] a log that lost its place, and the checkpoint itself       (private)
 *------------------------------------------------------------------------------
    The bug named above, in whatever process it struck, leaves a log whose index counts more frames
    as copied than it has. No reader looks for commits among them in the log, no checkpoint copies
    them, and they are gone when the log starts over or is cut. All of it is still in the log: once
    every process has left the file without a checkpoint, the next one to open it counts anew and
    finds them. So from then on nothing is read, written or checkpointed here, and the connections
    are closed without the checkpoint that SQLite makes of the last one. */

static int sqlpool__refuse_lost(sqlpool_error *error) {
    error->sqlite_code = SQLITE_CORRUPT;
    return SQLPOOL__FAIL(error, SQLITE_CORRUPT,
                         "the log counts more frames as copied than it has (SQLite's WAL-reset "
                         "bug): a checkpoint would lose commits; close the file everywhere without "
                         "one, or call sqlpool_recycle() while no lease is out");
}

static void sqlpool__lock_breakers(sqlpool__core *core, bool is_locked) {
    sqlpool__lock(core);
    core->breakers[SQLPOOL_READ].is_locked = core->breakers[SQLPOOL_WRITE].is_locked = is_locked;
    sqlpool__unlock(core);
}

static int sqlpool__lose_log(sqlpool__core *core, uint32_t frames, uint32_t copied,
                             sqlpool_error *error) {
    static const char why[] = "the log counts more frames as copied than it has: sqlpool_recycle() "
                              "while no lease is out, or close it everywhere without a checkpoint";
    uint32_t none = 0;
    (void)sqlpool__refuse_lost(error);
    if (!SQLPOOL__CAS(&core->is_log_lost, &none, 1u)) return error->result;
    sqlpool__breaker_open(core, SQLPOOL_WRITE, SQLITE_CORRUPT, why);
    sqlpool__breaker_open(core, SQLPOOL_READ, SQLITE_CORRUPT, why);
    sqlpool__lock_breakers(core, true);
    sqlpool__log_line(core, SQLPOOL_LEVEL_ERROR, SQLPOOL_LOG_WAL_RESET,
                      "%u frames count as copied, the log has %u; %s", (unsigned)copied,
                      (unsigned)frames, error->message);
    return error->result;
}

/*  All connections were opened anew: has the first of them found its place again? */
static void sqlpool__log_recovered(sqlpool__slot *writer) {
    sqlpool__core *core = writer->core;
    const volatile uint32_t *map = writer->stamp_map;
    if (SQLPOOL__LOAD(&core->is_log_lost) == 0 || map == NULL ||
        sqlpool__stamp_word(map, SQLPOOL__BACKFILL) >
            sqlpool__stamp_word(map, SQLPOOL__STAMP_FRAMES))
        return;
    SQLPOOL__STORE(&core->is_log_lost, 0u);
    sqlpool__lock_breakers(core, false);
    sqlpool__breaker_close(core, SQLPOOL_READ);
    sqlpool__breaker_close(core, SQLPOOL_WRITE);
}

/*  Takes SQLite's write lock, against every process. */
static int sqlpool__lock_log(sqlpool__slot *writer, sqlpool_error *error) {
    const int rc = sqlpool__run_own(writer, SQLPOOL__BEGIN_IMMEDIATE);
    if (rc == SQLITE_OK) return SQLPOOL_OK;
    (void)sqlpool__sqlite_failed(writer, rc, "BEGIN IMMEDIATE", error);
    sqlpool__reset_own(writer, SQLPOOL__BEGIN_IMMEDIATE);
    return error->result;
}

#define SQLPOOL__LOG_HEADER 32   /* bytes before the first frame (sqlite.org/walformat.html) */
#define SQLPOOL__FRAME_HEADER 24 /* and before each page */

/*  Syncs one of the checkpointer's files; SQLITE_NOTFOUND where the VFS does not hand it out. */
static int sqlpool__sync_file(sqlpool__core *core, int which) {
    sqlite3_file *file = NULL;
    if (sqlite3_file_control(core->checkpointer->db, "main", which, &file) != SQLITE_OK ||
        file == NULL || file->pMethods == NULL)
        return SQLITE_NOTFOUND;
    return file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
}

static int sqlpool__sync_failed(sqlpool__core *core, int code, sqlpool_error *error) {
    sqlpool__doubt_log(core);
    return SQLPOOL__FAIL(error, code, "the disk refused to sync (%s)", sqlpool_result_name(code));
}

/*  With that lock held: how far the log has come, whoever wrote it. */
static uint64_t sqlpool__log_end(sqlpool__slot *writer) {
    sqlpool__core *core = writer->core;
    uint64_t end = SQLPOOL__LOAD(&core->log_end);
    if (writer->stamp_map != NULL) {
        const uint32_t salt = sqlpool__stamp_word(writer->stamp_map, SQLPOOL__STAMP_SALT);
        if (salt != SQLPOOL__LOAD_RELAXED(&core->log_salt)) end += UINT64_C(1) << 32; /* not us */
        SQLPOOL__STORE_RELAXED(&core->log_salt, salt);
        end = (end >> 32 << 32) | sqlpool__stamp_word(writer->stamp_map, SQLPOOL__STAMP_FRAMES);
        SQLPOOL__STORE(&core->log_end, end);
    }
    return end;
}

/*  With that lock held: syncs the log if need be. SQLite's own sync inside a checkpoint then has
    nothing left to bring to the disk, and a checkpoint that fails to sync means the database
    file. */
static int sqlpool__sync_rest(sqlpool__slot *writer, sqlpool_error *error) {
    sqlpool__core *core = writer->core;
    const uint64_t end = sqlpool__log_end(writer);
    int rc;
    if (core->config.synchronous == SQLPOOL_SYNCHRONOUS_OFF ||
        (SQLPOOL__LOAD(&core->log_synced) == end && writer->stamp_map != NULL))
        return SQLPOOL_OK;
    rc = sqlpool__sync_file(core, SQLITE_FCNTL_JOURNAL_POINTER);
    if (rc == SQLITE_OK) sqlpool__log_is_synced(core, end);
    if (rc == SQLITE_OK || rc == SQLITE_NOTFOUND) return SQLPOOL_OK;
    return sqlpool__sync_failed(core, rc, error);
}

/*  With that lock held: writes what is doubtful of the log over itself and syncs it. Nobody sees a
    difference, but the system has to bring it to the disk once more. What is known to be there
    stays as it is: a power loss could spoil it. */
static int sqlpool__rewrite_log(sqlpool__slot *writer, sqlpool_error *error) {
    sqlpool__core *core = writer->core;
    const uint64_t commits = SQLPOOL__LOAD(&core->commits), end = sqlpool__log_end(writer);
    const uint64_t synced = SQLPOOL__LOAD(&core->log_synced);
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0, at = 0;
    char bytes[4096];
    int rc = sqlite3_file_control(writer->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
    if (synced >> 32 == end >> 32 && (synced & UINT32_MAX) != 0 && writer->stamp_map != NULL)
        at = SQLPOOL__LOG_HEADER +
             (sqlite3_int64)(synced & UINT32_MAX) * (core->page_bytes + SQLPOOL__FRAME_HEADER);
    if (rc == SQLITE_OK && (file == NULL || file->pMethods == NULL)) rc = SQLITE_NOTFOUND;
    if (rc == SQLITE_OK) rc = file->pMethods->xFileSize(file, &size);
    for (; rc == SQLITE_OK && at < size; at += (sqlite3_int64)sizeof bytes) {
        const int count = size - at < (sqlite3_int64)sizeof bytes ? (int)(size - at) : 4096;
        rc = file->pMethods->xRead(file, bytes, count, at);
        if (rc == SQLITE_OK) rc = file->pMethods->xWrite(file, bytes, count, at);
    }
    if (rc == SQLITE_OK) rc = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    if (rc != SQLITE_OK)
        return SQLPOOL__FAIL(error, rc,
                             "a sync of the log failed, and so does writing it again (%s)",
                             sqlpool_result_name(rc));
    SQLPOOL__STORE(&core->is_log_doubtful, 0u);
    (void)SQLPOOL__AND(&core->gate, ~(uint32_t)SQLPOOL__GATE_DOUBT);
    if (SQLPOOL__LOAD(&core->durable) < commits) SQLPOOL__STORE(&core->durable, commits);
    sqlpool__log_is_synced(core, end);
    return SQLPOOL_OK;
}

/*  With the writer in hand, and no transaction. */
static SQLPOOL__NOINLINE int sqlpool__mend_log(sqlpool__slot *writer, sqlpool_error *error) {
    if (sqlpool__lock_log(writer, error) != SQLPOOL_OK) return error->result;
    (void)sqlpool__rewrite_log(writer, error);
    sqlpool__abandon_transaction(writer);
    return error->result;
}

/*  With the writer in hand: the three steps above. */
static int sqlpool__checkpoint_held(sqlpool__slot *writer, sqlpool_checkpoint_result *result,
                                    sqlpool_error *error) {
    sqlpool__core *core = writer->core;
    int rc = sqlpool__checkpointer_ready(core, error);
    if (rc != SQLPOOL_OK) return rc;
    sqlpool__retire_snapshots(core);
    rc = sqlpool__lock_log(writer, error);
    if (rc != SQLPOOL_OK) return rc;
    rc = SQLPOOL__LOAD(&core->is_log_doubtful) != 0 ? sqlpool__rewrite_log(writer, error)
                                                    : sqlpool__sync_rest(writer, error);
    if (rc != SQLPOOL_OK) {
        sqlpool__abandon_transaction(writer);
        return rc;
    }
    SQLPOOL__STORE(&core->checkpoint_due, 0u); /* of the commits so far: this is it */
    rc = sqlite3_wal_checkpoint_v2(core->checkpointer->db, NULL, SQLITE_CHECKPOINT_PASSIVE,
                                   &result->log_frames, &result->checkpointed_frames);
    /* it has copied nothing then */
    if (rc == SQLITE_OK && result->checkpointed_frames > result->log_frames) {
        (void)sqlpool__lose_log(core, (uint32_t)result->log_frames,
                                (uint32_t)result->checkpointed_frames, error);
    } else if (rc != SQLITE_OK) {
        (void)sqlpool__sqlite_failed(core->checkpointer, rc, "PRAGMA wal_checkpoint", error);
    }
    sqlpool__abandon_transaction(writer);
    SQLPOOL__TALLY_POOL(core, checkpoints);
    SQLPOOL__STORE_RELAXED(
        &core->next_checkpoint_ns,
        sqlpool__time_add(sqlpool__now(core), SQLPOOL__CHECKPOINT_REST_MS * SQLPOOL__NS_PER_MS));
    SQLPOOL__STORE_RELAXED(&core->frames_checkpointed, SQLPOOL__LOAD_RELAXED(&core->frames_total));
    if (rc != SQLITE_OK && core->checkpointer->is_bad)
        sqlpool__close_connection(core->checkpointer);
    return error->result;
}

/*  Closes the gate to new readers and waits until those of this pool are back. */
static int sqlpool__hold_readers(sqlpool__core *core) {
    const sqlpool__lane *readers = sqlpool__lane_of(core, SQLPOOL_READ);
    const int64_t deadline =
        sqlpool__time_add(sqlpool__now(core), core->config.wal_wait_ms * SQLPOOL__NS_PER_MS);
    int rc;
    (void)SQLPOOL__OR(&core->gate, (uint32_t)SQLPOOL__GATE_HOLD);
    sqlpool__lock(core);
    rc = sqlpool__drain_locked(core, readers->first, readers->end, SQLPOOL__GATE_HOLD, deadline);
    sqlpool__unlock(core);
    return rc;
}

static void sqlpool__free_readers(sqlpool__core *core) {
    (void)SQLPOOL__AND(&core->gate, ~(uint32_t)SQLPOOL__GATE_HOLD);
    sqlpool__lock(core);
    sqlpool__wake_all_locked(core);
    sqlpool__unlock(core);
}

/*  Only the writer's lane stands apart from the readers' so that a writer can wait for all of them.
    */
static bool sqlpool__can_hold_readers(sqlpool__core *core) {
    return sqlpool__lane_of(core, SQLPOOL_READ) != sqlpool__lane_of(core, SQLPOOL_WRITE);
}

/*  TRUNCATE waits for readers of this pool itself, so that SQLite's call finds nothing to wait for.
    */
static int sqlpool__truncate_held(sqlpool__core *core, sqlpool_checkpoint_result *result,
                                  sqlpool_error *error) {
    int rc = sqlpool__can_hold_readers(core) ? sqlpool__hold_readers(core) : SQLPOOL_OK;
    sqlpool__retire_snapshots(core);
    if (rc == SQLPOOL_OK) {
        core->checkpointer->busy_deadline_ns =
            sqlpool__time_add(sqlpool__now(core), core->config.wal_wait_ms * SQLPOOL__NS_PER_MS);
        rc = sqlite3_wal_checkpoint_v2(core->checkpointer->db, NULL, SQLITE_CHECKPOINT_TRUNCATE,
                                       &result->log_frames, &result->checkpointed_frames);
        core->checkpointer->is_busy_expired = false; /* it is BUSY that the caller asked about */
        if (rc == SQLITE_OK) {
            SQLPOOL__STORE_RELAXED(&core->wal_frames, (uint64_t)0);
        } else {
            (void)sqlpool__sqlite_failed(core->checkpointer, rc, "PRAGMA wal_checkpoint(TRUNCATE)",
                                         error);
        }
    } else {
        sqlpool__text text = sqlpool__text_into(error->message, sizeof error->message);
        sqlpool__lock(core);
        sqlpool__text_add(&text,
                          "readers did not come back within wal_wait_ms, so the log cannot be cut");
        sqlpool__text_card_locked(core, sqlpool__now(core), &text);
        sqlpool__unlock(core);
        error->result = error->sqlite_code = SQLITE_BUSY;
    }
    if (sqlpool__can_hold_readers(core)) sqlpool__free_readers(core);
    return error->result;
}

/*------------------------------------------------------------------------------
 * >>[I16.3] checkpoints and syncs as a whole                           (private)
 *----------------------------------------------------------------------------*/

/*  In the general topology several writers' leases exist: one checkpoint at a time all the same. */
static bool sqlpool__checkpoint_enter(sqlpool__core *core, int64_t deadline_ns) {
    uint32_t none = 0;
    while (!SQLPOOL__CAS(&core->checkpointing, &none, 1u)) {
        if (sqlpool__now(core) >= deadline_ns) return false;
        sqlpool__sleep(core, SQLPOOL__NS_PER_MS);
        none = 0;
    }
    return true;
}

/*  Brings the log to the disk before the writer's turn is taken, so that the checkpoint's own sync
    of it, under the write lock, finds little to do. Reads no page and moves nothing. A failure ends
    the checkpoint: SQLite's sync would succeed after it, and pages of the database be overwritten
    by frames that a power loss takes away. */
static int sqlpool__sync_log(sqlpool__core *core, sqlpool_error *error) {
    const uint64_t end = SQLPOOL__LOAD(&core->log_end);
    uint64_t before;
    int rc;
    if (core->checkpointer->db == NULL || core->config.synchronous == SQLPOOL_SYNCHRONOUS_OFF ||
        SQLPOOL__LOAD(&core->is_log_doubtful) != 0) /* it is written again first */
        return SQLPOOL_OK;
    before = sqlpool__sync_begins(core);
    rc = sqlpool__sync_file(core, SQLITE_FCNTL_JOURNAL_POINTER);
    if (rc == SQLITE_OK) sqlpool__log_is_synced(core, end);
    sqlpool__sync_ends(core, rc, before);
    if (rc == SQLITE_OK || rc == SQLITE_NOTFOUND) return SQLPOOL_OK;
    return sqlpool__sync_failed(core, rc, error);
}

/*  Brings every commit so far to the disk. What a checkpoint has moved out of the log it has synced
    itself, unless synchronous is OFF. */
static int sqlpool__sync_commits(sqlpool__core *core, int64_t deadline_ns, sqlpool_error *error) {
    uint64_t commits, end;
    int rc;
    if (!sqlpool__checkpoint_enter(core, deadline_ns))
        return SQLPOOL__FAIL(error, SQLPOOL_TIMEOUT, "a checkpoint is running");
    commits = SQLPOOL__LOAD_ORDERED(&core->commits);
    end = SQLPOOL__LOAD(&core->log_end);
    if (SQLPOOL__LOAD(&core->is_log_doubtful) != 0) {
        (void)SQLPOOL__FAIL(error, SQLITE_IOERR_FSYNC,
                            "a sync of the log failed once more on another thread: try again");
    } else if (sqlpool__checkpointer_ready(core, error) == SQLPOOL_OK) {
        const uint64_t before = sqlpool__sync_begins(core);
        rc = sqlpool__sync_file(core, SQLITE_FCNTL_JOURNAL_POINTER);
        sqlpool__sync_ends(core, rc, before);
        if (rc == SQLITE_OK && core->config.synchronous == SQLPOOL_SYNCHRONOUS_OFF)
            rc = sqlpool__sync_file(core, SQLITE_FCNTL_FILE_POINTER);
        if (rc == SQLITE_NOTFOUND) {
            (void)SQLPOOL__FAIL(error, SQLPOOL_UNSUPPORTED,
                                "the VFS does not give the files of the database out");
        } else if (rc != SQLITE_OK) {
            (void)sqlpool__sync_failed(core, rc, error);
        } else {
            sqlpool__log_is_synced(core, end);
            if (commits > SQLPOOL__LOAD(&core->durable)) SQLPOOL__STORE(&core->durable, commits);
        }
    }
    SQLPOOL__STORE(&core->checkpointing, 0u);
    return error->result;
}

/*  Takes the writer's turn and checkpoints. The deadline is for waiting, not for the disk. */
static int sqlpool__checkpoint(sqlpool__core *core, sqlpool_checkpoint_mode mode,
                               int64_t deadline_ns, sqlpool_checkpoint_result *result,
                               sqlpool_error *error) {
    sqlpool__request request =
        sqlpool__internal_request(SQLPOOL_WRITE, &sqlpool__checkpoint_call, deadline_ns);
    sqlpool__slot *writer;
    int64_t begin, now;
    int rc;
    if (SQLPOOL__LOAD(&core->is_log_lost) != 0) return sqlpool__refuse_lost(error);
    if (!sqlpool__checkpoint_enter(core, deadline_ns)) {
        return SQLPOOL__FAIL(error, SQLPOOL_TIMEOUT, "another checkpoint is running");
    }
    begin = sqlpool__now(core);
    rc = sqlpool__sync_log(core, error);
    now = sqlpool__now(core);
    if (now > begin) deadline_ns = sqlpool__time_add(deadline_ns, now - begin);
    request.deadline_ns = deadline_ns;
    if (rc == SQLPOOL_OK) rc = sqlpool__acquire(core, &request, &writer, error);
    if (rc == SQLPOOL_OK) {
        writer->lease_deadline_ns = deadline_ns;
        SQLPOOL__STORE_RELAXED(&writer->deadline_ns, deadline_ns); /* the busy handler ends there */
        rc = sqlpool__checkpoint_held(writer, result, error);
        if (rc == SQLPOOL_OK && mode == SQLPOOL_CHECKPOINT_TRUNCATE) {
            rc = sqlpool__truncate_held(core, result, error);
        }
        if (rc == SQLPOOL_OK) sqlpool__checkpoint_report(core, result);
        sqlpool__give_back(writer, sqlpool__lane_of(core, SQLPOOL_WRITE));
    }
    SQLPOOL__STORE(&core->checkpointing, 0u);
    return rc;
}

/*  A commit asked for a checkpoint and its writer is about to go back. Above the first budget the
    upkeep thread does it; above the second one, or without that thread, this thread does, so that
    who fills the log empties it. Above the second one new readers wait meanwhile, so that the log
    has a moment without any and starts over with the next write: at most wal_wait_ms and a third of
    the time, and once a second when some did not come back. True: somebody else is at it, and this
    thread has to let him, once the writer is given back. */
static SQLPOOL__NOINLINE bool sqlpool__care_for_log(sqlpool__slot *writer) {
    sqlpool__core *core = writer->core;
    const int64_t now = sqlpool__now(core);
    const int64_t bytes = (int64_t)SQLPOOL__LOAD_RELAXED(&core->wal_frames) * core->page_bytes;
    sqlpool_checkpoint_result result = {-1, -1};
    sqlpool_error error;
    int64_t end;
    const bool is_above = bytes >= core->config.wal_limit_bytes;
    const bool can_help = SQLPOOL__LOAD_RELAXED(&core->scopes) == 0; /* or no wait empties it */
    const bool may_hold = is_above && can_help && sqlpool__can_hold_readers(core) &&
                          now >= SQLPOOL__LOAD_RELAXED(&core->next_wal_hold_ns);
    bool is_hold = may_hold, is_calm = true;
    int rc;
    if (SQLPOOL__LOAD(&core->is_log_lost) != 0) return false;
    if (!is_above && core->has_thread) {
        if (sqlpool__may_upkeep_checkpoint(core, now)) sqlpool__kick_upkeep(core);
        return false;
    }
    if (!sqlpool__checkpoint_enter(core, now)) return is_above && can_help;
    SQLPOOL__STORE(&core->checkpoint_due, 0u);
    sqlpool__error_clear(&error);
    if (is_hold) {
        SQLPOOL__TALLY_POOL(core, wal_waits);
        sqlpool__lock(core); /* a thread that also holds a reader would wait for itself */
        is_hold = sqlpool__count_own_locked(core, sqlpool__thread_id(core)) < 2;
        sqlpool__unlock(core);
    }
    if (is_hold) is_calm = sqlpool__hold_readers(core) == SQLPOOL_OK;
    SQLPOOL__STORE_RELAXED(&writer->deadline_ns, /* for the lock of another process */
                           sqlpool__time_add(now, core->config.wal_wait_ms * SQLPOOL__NS_PER_MS));
    rc = sqlpool__checkpoint_held(writer, &result, &error);
    if (is_hold) sqlpool__free_readers(core);
    end = sqlpool__now(core);
    if (may_hold)
        SQLPOOL__STORE_RELAXED(&core->next_wal_hold_ns,
                               sqlpool__time_add(end, is_hold && is_calm && end > now
                                                          ? 2 * (end - now)
                                                          : 1000 * SQLPOOL__NS_PER_MS));
    SQLPOOL__STORE(&core->checkpointing, 0u);
    if (rc == SQLPOOL_OK) sqlpool__checkpoint_report(core, &result);
    if (is_above && end >= core->next_limit_log_ns &&
        (!is_calm || result.checkpointed_frames < result.log_frames)) {
        core->next_limit_log_ns = sqlpool__time_add(end, 10000 * SQLPOOL__NS_PER_MS);
        sqlpool__log_line(core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_WAL_LIMIT,
                          "the log has %lld bytes, more than wal_limit_bytes, and readers keep it "
                          "from starting over",
                          (long long)bytes);
    }
    return false;
}

/*  Who commits faster than the log can be synced and copied waits for that, wal_wait_ms at most. */
static SQLPOOL__NOINLINE void sqlpool__wait_for_log(sqlpool__core *core) {
    const int64_t deadline =
        sqlpool__time_add(sqlpool__now(core), core->config.wal_wait_ms * SQLPOOL__NS_PER_MS);
    SQLPOOL__TALLY_POOL(core, wal_waits);
    while (SQLPOOL__LOAD(&core->checkpointing) != 0 && sqlpool__now(core) < deadline)
        sqlpool__sleep(core, SQLPOOL__NS_PER_MS);
}

/*  The end of every lease that a caller had: the last thing he does with the pool. True: something
    had to be cleaned up. */
static bool sqlpool__lease_end(sqlpool__slot *slot) {
    sqlpool__core *core = slot->core;
    sqlpool__lane *lane = sqlpool__lane_of_slot(slot);
    bool was_unclean, has_to_wait = false;
    sqlpool__unpark(slot);
    was_unclean = slot->db != NULL && sqlpool__clean(slot);
    if (SQLPOOL__UNLIKELY(slot->is_committed)) sqlpool__after_commit(slot);
    if (SQLPOOL__UNLIKELY(slot->trouble != 0)) {
        sqlpool__breaker_failed(slot);
    } else if (SQLPOOL__UNLIKELY(SQLPOOL__LOAD_RELAXED(&core->breakers[SQLPOOL_READ].state) !=
                                 SQLPOOL__BREAKER_CLOSED) &&
               SQLPOOL__LOAD_RELAXED(&slot->mode) == SQLPOOL_READ && !slot->has_failed &&
               SQLPOOL__LOAD_RELAXED(&slot->sql) != NULL) {
        sqlpool__breaker_close(core, SQLPOOL_READ);
    }
    if (SQLPOOL__UNLIKELY(SQLPOOL__LOAD_RELAXED(&core->checkpoint_due) != 0) && slot->db != NULL &&
        SQLPOOL__LOAD_RELAXED(&slot->mode) == SQLPOOL_WRITE && !slot->is_bad) {
        has_to_wait = sqlpool__care_for_log(slot);
    }
    if (SQLPOOL__LIKELY(!has_to_wait)) {
        sqlpool__give_back(slot, lane);
        return was_unclean;
    }
    sqlpool__go_inside(core);
    sqlpool__give_back(slot, lane);
    sqlpool__wait_for_log(core);
    sqlpool__go_outside(core);
    return was_unclean;
}

/*==============================================================================
 * >>[I17] LEASE AND TRANSACTION                                        (private)
 *==============================================================================
    Every public call comes in through sqlpool__enter() or sqlpool__enter_conn(), which turn
    whatever the caller passes into a pool that is open or a slot that he holds, or into the result
    that says what is wrong. Then the work, then sqlpool__finish(). */

static sqlpool_error *sqlpool__error_or(sqlpool_error *error, sqlpool_error *local) {
    if (error == NULL) error = local;
    sqlpool__error_clear(error);
    return error;
}

/*  The pool behind a handle, whatever bits are in that: one of ours, open, not inherited by fork;
    or NULL. */
static inline sqlpool__core *sqlpool__core_of(const sqlpool *pool) {
    const uintptr_t offset = (uintptr_t)pool - (uintptr_t)sqlpool__global.pools;
    if (SQLPOOL__UNLIKELY(offset >= sizeof sqlpool__global.pools || offset % sizeof *pool != 0 ||
                          sqlpool__is_forked()))
        return NULL;
    return SQLPOOL__LOAD(&pool->core);
}

static SQLPOOL__NOINLINE int sqlpool__enter_failed(const sqlpool *pool, sqlpool_error *error) {
    const uintptr_t offset = (uintptr_t)pool - (uintptr_t)sqlpool__global.pools;
    if (offset >= sizeof sqlpool__global.pools || offset % sizeof *pool != 0 ||
        SQLPOOL__LOAD_RELAXED(&pool->serial) == 0) {
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             pool == NULL ? "the pool is NULL: did sqlpool_open() succeed?"
                                          : "this is not a pool from sqlpool_open()");
    }
    if (sqlpool__is_forked()) {
        return SQLPOOL__FAIL(
            error, SQLPOOL_FORKED,
            "this process was forked while a pool was open; SQLite's locks are not inherited: call "
            "exec, or fork before the first sqlpool_open()");
    }
    return SQLPOOL__FAIL(error, SQLPOOL_CLOSED, "the pool is closed");
}

static inline int sqlpool__enter(sqlpool *pool, sqlpool__core **core, sqlpool_error *error) {
    int rc;
    *core = sqlpool__core_of(pool);
    if (SQLPOOL__LIKELY(*core != NULL)) return SQLPOOL_OK;
    rc = sqlpool__enter_failed(pool, error);
    SQLPOOL__ASSUME(rc != SQLPOOL_OK);
    return rc;
}

static bool sqlpool__is_serial_open(uint32_t serial) {
    int i;
    for (i = 0; i < SQLPOOL_MAX_POOLS; i++) {
        const sqlpool *handle = &sqlpool__global.pools[i];
        if (SQLPOOL__LOAD(&handle->core) != NULL && SQLPOOL__LOAD(&handle->serial) == serial)
            return true;
    }
    return false;
}

static SQLPOOL__NOINLINE int sqlpool__find_lease_failed(const sqlpool_conn *conn,
                                                        sqlpool_error *error) {
    sqlpool__core *core;
    if (conn == NULL || conn->lease == 0) {
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "this is not a lease, or it was given back: acquire one first");
    }
    if (sqlpool__enter(conn->pool, &core, error) != SQLPOOL_OK) return error->result;
    if (core->serial != conn->pool_serial && !sqlpool__is_serial_open(conn->pool_serial))
        return SQLPOOL__FAIL(error, SQLPOOL_CLOSED, "the pool of this lease is closed");
    (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                        core->serial != conn->pool_serial
                            ? "the lease is of another pool"
                            : "the lease was given back already, or is not of this pool");
    return sqlpool__finish(core, error);
}

/*  The slot of a lease that is out; any thread. */
static inline int sqlpool__find_lease(const sqlpool_conn *conn, sqlpool__slot **slot,
                                      sqlpool_error *error) {
    const sqlpool__core *core = conn != NULL ? sqlpool__core_of(conn->pool) : NULL;
    if (SQLPOOL__UNLIKELY(core == NULL || core->serial != conn->pool_serial ||
                          conn->slot >= core->slot_count ||
                          SQLPOOL__LOAD(&core->slots[conn->slot].word) !=
                              sqlpool__word(conn->lease, SQLPOOL__LEASED))) {
        const int rc = sqlpool__find_lease_failed(conn, error);
        SQLPOOL__ASSUME(rc != SQLPOOL_OK);
        *slot = NULL;
        return rc;
    }
    *slot = &core->slots[conn->slot];
    return SQLPOOL_OK;
}

/*  The slot of a lease that this thread holds. A snapshot on it stays: the caller parks it again.
    */
static int sqlpool__enter_lease(const sqlpool_conn *conn, sqlpool__slot **slot,
                                sqlpool_error *error) {
    sqlpool__slot *found;
    const int rc = sqlpool__find_lease(conn, &found, error);
    *slot = NULL;
    if (SQLPOOL__UNLIKELY(rc != SQLPOOL_OK)) return rc;
    if (SQLPOOL__UNLIKELY(!sqlpool__is_mine(found))) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                            "the lease belongs to another thread: after an ordered hand-over "
                            "call sqlpool_conn_adopt()");
        return sqlpool__finish(found->core, error);
    }
    sqlpool__unpark(found);
    *slot = found;
    return SQLPOOL_OK;
}

/*  The same for calls that a function of sqlpool_write() must not make: the lease is the group's.
    */
static int sqlpool__enter_own(const sqlpool_conn *conn, sqlpool__slot **slot, const char *call,
                              sqlpool_error *error) {
    const int rc = sqlpool__enter_lease(conn, slot, error);
    if (SQLPOOL__LIKELY(rc != SQLPOOL_OK || SQLPOOL__LOAD_RELAXED(&(*slot)->floor) == 0)) return rc;
    (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                        "%s() in a function of sqlpool_write(), which shares its connection and "
                        "transaction with other writes: use sqlpool_transaction()",
                        call);
    return sqlpool__finish((*slot)->core, error);
}

/*  The same for all calls but those that may go on with the snapshot. */
static int sqlpool__enter_conn(const sqlpool_conn *conn, sqlpool__slot **slot,
                               sqlpool_error *error) {
    const int rc = sqlpool__enter_lease(conn, slot, error);
    if (rc == SQLPOOL_OK) sqlpool__unpin(*slot);
    return rc;
}

/*  Options, or a mode that is none: checked before anything is done. */
static SQLPOOL__NOINLINE int sqlpool__check_request(sqlpool__core *core, sqlpool_mode mode,
                                                    const sqlpool_call *call,
                                                    sqlpool__request *request,
                                                    sqlpool_error *error) {
    if (SQLPOOL__UNLIKELY(mode != SQLPOOL_READ && mode != SQLPOOL_WRITE)) {
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "mode is %d: use SQLPOOL_READ or SQLPOOL_WRITE",
                             (int)mode);
    }
    if (call == NULL) return SQLPOOL_OK;
    if (call->timeout_ms < SQLPOOL_NO_WAIT || call->attempts < 0 ||
        (call->priority != SQLPOOL_PRIORITY_NORMAL &&
         call->priority != SQLPOOL_PRIORITY_CRITICAL)) {
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "sqlpool_call: timeout_ms %d (-2 or more), attempts %d (0 or "
                             "more), priority %d (0 or 1)",
                             call->timeout_ms, call->attempts, call->priority);
    }
    if (call->token != NULL && SQLPOOL__LOAD_RELAXED(&call->token->fired) != 0) {
        SQLPOOL__TALLY_POOL(core, cancellations);
        return SQLPOOL__FAIL(error, SQLPOOL_CANCELLED, "cancelled before it began");
    }
    if (call->timeout_ms > 0) {
        request->deadline_ns =
            sqlpool__time_add(sqlpool__now(core), call->timeout_ms * SQLPOOL__NS_PER_MS);
    }
    return SQLPOOL_OK;
}

/*  Fills what acquire needs from what the caller gave. */
static inline int sqlpool__make_request(sqlpool__core *core, const char *file, int line,
                                        sqlpool_mode mode, const sqlpool_call *call,
                                        sqlpool__request *request, sqlpool_error *error) {
    request->file = file;
    request->line = line;
    request->mode = mode;
    request->call = call != NULL ? call : &sqlpool__default_call;
    request->deadline_ns = 0;
    request->is_internal = request->is_drain = false;
    request->is_trial = false;
    request->job = NULL;
    request->place = NULL;
    if (SQLPOOL__LIKELY(call == NULL && (mode == SQLPOOL_READ || mode == SQLPOOL_WRITE)))
        return SQLPOOL_OK;
    return sqlpool__check_request(core, mode, call, request, error);
}

/*  For calls that use the pool without a lease: each returns through sqlpool__leave(). */
static int sqlpool__enter_inside(sqlpool *pool, sqlpool__core **core, sqlpool_error *error) {
    const int rc = sqlpool__enter(pool, core, error);
    if (rc == SQLPOOL_OK) sqlpool__go_inside(*core);
    return rc;
}
static int sqlpool__leave(sqlpool__core *core, int result) {
    sqlpool__go_outside(core);
    return result;
}

/*  The lease lasts for one call: its timeout bounds everything, not only the wait for the lease. */
static void sqlpool__bound_lease(sqlpool__slot *slot, const sqlpool__request *request) {
    slot->lock_timeout_ms = request->call->timeout_ms;
    if (request->deadline_ns != 0) slot->lease_deadline_ns = request->deadline_ns;
}

/*------------------------------------------------------------------------------
 * >>[I17.2] the frame around every statement                           (private)
 *----------------------------------------------------------------------------*/

/*  From now on upkeep and the progress handler stop the connection at this time. */
static void sqlpool__arm(sqlpool__slot *slot, int64_t deadline_ns) {
    sqlpool__core *core = slot->core;
    (void)SQLPOOL__EXCHANGE(&slot->deadline_ns,
                            deadline_ns); /* upkeep sees it, or the kick below is sent */
    if (core->has_thread && deadline_ns < SQLPOOL__LOAD_ORDERED(&core->upkeep_wake_ns))
        sqlpool__kick_upkeep(core);
}

/*  The statement is over: a late interrupt must not reach the next one. */
static void sqlpool__disarm(sqlpool__slot *slot) {
    if (SQLPOOL__LIKELY(SQLPOOL__LOAD_RELAXED(&slot->deadline_ns) == SQLPOOL__NEVER)) return;
    (void)SQLPOOL__EXCHANGE(&slot->deadline_ns, SQLPOOL__NEVER);
    sqlpool__fence_interrupts(slot);
}

/*  A transaction that could not be ended: what runs in it would see an old image. */
static bool sqlpool__is_stuck(sqlpool__slot *slot, sqlpool_error *error) {
    if (slot->depth > 0 || slot->is_raw || slot->is_pinned || sqlite3_get_autocommit(slot->db) != 0)
        return false;
    (void)SQLPOOL__FAIL(error, SQLITE_ABORT,
                        "a transaction could not be rolled back: release the lease");
    return true;
}

/*  May a statement run on this lease now? Sets its deadline. */
static inline int sqlpool__statement_begin(sqlpool__slot *slot, sqlpool_error *error) {
    sqlpool__core *core = slot->core;
    int64_t deadline = slot->lease_deadline_ns;
    slot->busy_deadline_ns = 0;
    slot->is_busy_expired = false;
    slot->has_commit_begun = false;
    slot->refusal = NULL;
    if (SQLPOOL__UNLIKELY(slot->is_committed) && slot->depth == 0) sqlpool__after_commit(slot);
    if (SQLPOOL__UNLIKELY(slot->is_bad) && sqlpool__is_stuck(slot, error)) return error->result;
    if (SQLPOOL__UNLIKELY((SQLPOOL__LOAD_RELAXED(&core->gate) &
                           (SQLPOOL__GATE_MOVED | SQLPOOL__GATE_DOUBT)) != 0) &&
        SQLPOOL__LOAD_RELAXED(&slot->mode) == SQLPOOL_WRITE) {
        if ((SQLPOOL__LOAD_RELAXED(&core->gate) & SQLPOOL__GATE_MOVED) != 0)
            return sqlpool__refuse_moved(core, error); /* nothing more goes into the old file */
        if (sqlite3_get_autocommit(slot->db) != 0 && sqlpool__mend_log(slot, error) != SQLPOOL_OK)
            return error->result;
    }
    if (SQLPOOL__UNLIKELY(sqlpool__is_cancelled(slot))) {
        SQLPOOL__TALLY(slot, cancellations);
        return SQLPOOL__FAIL(error, SQLPOOL_CANCELLED,
                             "the lease was cancelled: release it and acquire another");
    }
    if (SQLPOOL__UNLIKELY(slot->depth > 0 && sqlite3_get_autocommit(slot->db) != 0)) {
        error->sqlite_code = slot->ended_by;
        return SQLPOOL__FAIL(error, SQLPOOL_ROLLED_BACK,
                             "SQLite ended the transaction after error %d (%s); call %s",
                             slot->ended_by, sqlpool_result_name(slot->ended_by),
                             slot->is_scope && slot->depth == 1
                                 ? "sqlpool_snapshot_end()"
                                 : "sqlpool_conn_rollback(), or return from the transaction "
                                   "function");
    }
    if (SQLPOOL__UNLIKELY(slot->scope_end_ns != SQLPOOL__NEVER) &&
        sqlpool__now(core) >= slot->scope_end_ns) {
        SQLPOOL__TALLY(slot, expirations);
        return SQLPOOL__FAIL(error, SQLPOOL_TIMEOUT,
                             "the snapshot is older than its max_age_ms: end it with "
                             "sqlpool_snapshot_end() and begin another");
    }
    if (SQLPOOL__LIKELY(deadline == SQLPOOL__NEVER && core->config.statement_timeout_ms <= 0))
        return SQLPOOL_OK;
    {
        const int64_t now = sqlpool__now(core);
        if (core->config.statement_timeout_ms > 0) {
            deadline = sqlpool__earlier(
                deadline,
                sqlpool__time_add(now, core->config.statement_timeout_ms * SQLPOOL__NS_PER_MS));
        }
        if (now >= deadline) {
            SQLPOOL__TALLY(slot, expirations);
            return SQLPOOL__FAIL(error, SQLPOOL_TIMEOUT,
                                 "the deadline passed before the statement began");
        }
    }
    if (SQLPOOL__LOAD_RELAXED(&slot->expired) == slot->number)
        SQLPOOL__STORE_RELAXED(&slot->expired, UINT64_MAX);
    sqlpool__arm(slot, deadline);
    return SQLPOOL_OK;
}

/*  A step failed: fills the error before the statement is reset, and notes a transaction that
    ended. */
static int sqlpool__statement_failed(sqlpool__slot *slot, int code, const char *sql,
                                     sqlpool_error *error) {
    (void)sqlpool__sqlite_failed(slot, code, sql, error);
    if (sqlpool__primary(code) == SQLITE_ERROR) { /* as in sqlpool__prepare_again() */
        const int why = sqlpool__ask(slot->db, "PRAGMA schema_version", NULL, 0);
        if (why != SQLITE_OK) (void)sqlpool__sqlite_failed(slot, why, sql, error);
    }
    if (slot->is_pinned && sqlite3_get_autocommit(slot->db) != 0) sqlpool__unpin(slot);
    slot->is_committed = false;
    if (slot->depth > 0 && sqlite3_get_autocommit(slot->db) != 0) slot->ended_by = code;
    return error->result;
}

/*------------------------------------------------------------------------------
 * >>[I17.3] levels of a transaction                                    (private)
 *----------------------------------------------------------------------------*/

/*  SAVEPOINT, RELEASE and ROLLBACK TO of one depth, through the cache. */
static int sqlpool__run_savepoint(sqlpool__slot *slot, const char *verb, int depth,
                                  sqlpool_error *error) {
    char sql[64];
    sqlpool__text text = sqlpool__text_into(sql, sizeof sql);
    sqlpool__stmt *stmt;
    int rc;
    sqlpool__text_add(&text, "%s sqlpool_%d", verb, depth);
    slot->is_own_text = true;
    rc = sqlpool__stmt_get(slot, sql, &stmt, error);
    if (rc == SQLPOOL_OK) {
        const bool was_shielded = slot->is_shielded;
        const sqlpool__check check = slot->check;
        slot->is_shielded = true;
        slot->check = SQLPOOL__CHECK_ALLOW;
        rc = sqlite3_step(stmt->handle);
        rc = rc == SQLITE_DONE ? SQLPOOL_OK : sqlpool__statement_failed(slot, rc, stmt->sql, error);
        slot->is_shielded = was_shielded;
        slot->check = check;
        sqlpool__stmt_put(slot, stmt);
    }
    slot->is_own_text = false;
    return rc;
}

static int sqlpool__level_begin(sqlpool__slot *slot, sqlpool_error *error) {
    int rc = sqlpool__statement_begin(slot, error);
    if (rc != SQLPOOL_OK) return rc;
    slot->has_commit_begun = false;
    sqlpool__unpin(slot); /* the transaction has a snapshot of its own */
    if (slot->depth == 0) {
        const int which = SQLPOOL__LOAD_RELAXED(&slot->mode) == SQLPOOL_WRITE
                              ? SQLPOOL__BEGIN_IMMEDIATE
                              : SQLPOOL__BEGIN;
        if (sqlite3_get_autocommit(slot->db) == 0) {
            return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                                 "a transaction was begun through the raw handle: end it there");
        }
        rc = sqlpool__run_own(slot, which);
        if (rc != SQLITE_OK) {
            (void)sqlpool__statement_failed(slot, rc, sqlpool__own_sql[which], error);
            sqlpool__reset_own(slot, which);
            sqlpool__abandon_transaction(slot); /* SQLite may have begun it before it failed */
            rc = error->result;
        }
    } else {
        rc = sqlpool__run_savepoint(slot, "SAVEPOINT", slot->depth, error);
    }
    sqlpool__disarm(slot);
    if (rc == SQLPOOL_OK) slot->depth++;
    return rc;
}

static int sqlpool__refuse_scope(sqlpool_error *error) {
    return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                         "this is a snapshot scope: end it with sqlpool_snapshot_end()");
}

/*  The innermost level ends well. On failure it stays open, unless SQLite has ended all of it. */
static int sqlpool__level_commit(sqlpool__slot *slot, sqlpool_error *error) {
    int rc;
    slot->has_commit_begun = false;
    if (slot->depth == 0)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "no transaction is open: sqlpool_conn_begin() first");
    if (slot->is_scope && slot->depth == 1) return sqlpool__refuse_scope(error);
    if (sqlite3_get_autocommit(slot->db) != 0) {
        slot->depth--; /* the outer levels hear of it too */
        error->sqlite_code = slot->ended_by;
        return SQLPOOL__FAIL(error, SQLPOOL_ROLLED_BACK,
                             "SQLite ended the transaction after error %d (%s)", slot->ended_by,
                             sqlpool_result_name(slot->ended_by));
    }
    if (slot->depth > 1) {
        rc = sqlpool__run_savepoint(slot, "RELEASE", slot->depth - 1, error);
        if (rc == SQLPOOL_OK) slot->depth--;
        return rc;
    }
    if (sqlpool__is_cancelled(slot)) {
        SQLPOOL__TALLY(slot, cancellations);
        return SQLPOOL__FAIL(error, SQLPOOL_CANCELLED, "the lease was cancelled before COMMIT");
    }
    if ((SQLPOOL__LOAD_RELAXED(&slot->core->gate) & SQLPOOL__GATE_MOVED) != 0 &&
        SQLPOOL__LOAD_RELAXED(&slot->mode) == SQLPOOL_WRITE) {
        return sqlpool__refuse_moved(slot->core, error);
    }
    rc = sqlpool__run_own(slot, SQLPOOL__COMMIT);
    if (rc != SQLITE_OK) {
        (void)sqlpool__statement_failed(slot, rc, "COMMIT", error);
        sqlpool__reset_own(slot, SQLPOOL__COMMIT);
        if (sqlite3_get_autocommit(slot->db) != 0) slot->depth = 0;
        return error->result;
    }
    slot->depth = 0;
    if (slot->is_committed) sqlpool__after_commit(slot);
    if (SQLPOOL__UNLIKELY((SQLPOOL__LOAD(&slot->core->gate) & SQLPOOL__GATE_DOUBT) != 0) &&
        SQLPOOL__LOAD_RELAXED(&slot->mode) == SQLPOOL_WRITE)
        return sqlpool__mend_log(slot, error);
    return SQLPOOL_OK;
}

/*  The innermost level is undone; keeps the error that led here. */
static int sqlpool__level_rollback(sqlpool__slot *slot, sqlpool_error *error) {
    const int depth = slot->depth - 1;
    int rc;
    if (slot->depth == 0) {
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "no transaction is open: sqlpool_conn_begin() first");
    }
    if (slot->is_scope && slot->depth == 1) return sqlpool__refuse_scope(error);
    if (slot->depth == 1) {
        sqlpool__abandon_transaction(slot);
        if (sqlite3_get_autocommit(slot->db) != 0) return SQLPOOL_OK;
        return SQLPOOL__FAIL(error, SQLITE_ABORT,
                             "the transaction could not be rolled back: release the lease");
    }
    slot->depth = depth;
    if (sqlite3_get_autocommit(slot->db) != 0)
        return SQLPOOL_OK; /* the outer levels hear of it too */
    rc = sqlpool__run_savepoint(slot, "ROLLBACK TO", depth, error);
    if (rc != SQLPOOL_OK && sqlite3_get_autocommit(slot->db) == 0) {
        sqlpool__stop_statements(slot);
        sqlpool__error_clear(error);
        rc = sqlpool__run_savepoint(slot, "ROLLBACK TO", depth, error);
    }
    if (rc == SQLPOOL_OK) rc = sqlpool__run_savepoint(slot, "RELEASE", depth, error);
    if (rc == SQLPOOL_OK) return SQLPOOL_OK;
    slot->is_bad = true;            /* half undone: none of it may be committed */
    sqlpool__end_transaction(slot); /* a scope around it is ended by its owner */
    slot->depth = depth;
    slot->ended_by = error->sqlite_code != 0 ? error->sqlite_code : SQLITE_ABORT;
    return rc;
}

/*  A read transaction that has its snapshot from the first moment. */
static int sqlpool__scope_begin(sqlpool__slot *slot, int max_age_ms, sqlpool_error *error) {
    sqlpool__core *core = slot->core;
    sqlpool__link *link;
    sqlite3_stmt *at = NULL;
    bool is_busy = false;
    int64_t now;
    int rc;
    if (SQLPOOL__LOAD_RELAXED(&slot->mode) != SQLPOOL_READ)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "a writer's lease has no snapshot scope: use sqlpool_conn_begin()");
    if (max_age_ms < 0)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "max_age_ms is %d: use 0 (no limit) or more",
                             max_age_ms);
    if (slot->depth > 0)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "a %s is open on this lease, which is one image already",
                             slot->is_scope ? "snapshot scope" : "transaction");
    for (link = slot->in_use.next; link != &slot->in_use && !is_busy; link = link->next)
        is_busy = sqlite3_stmt_busy(sqlpool__stmt_of_link(link)->handle) != 0;
    while (slot->is_raw && !is_busy && (at = sqlite3_next_stmt(slot->db, at)) != NULL)
        is_busy = sqlite3_stmt_busy(at) != 0;
    if (is_busy) {
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "a cursor or statement is open on this lease, and the scope would see "
                             "its older image: close it first");
    }
    rc = sqlpool__level_begin(slot, error);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool__run_own(slot, SQLPOOL__TOUCH);
    if (rc != SQLITE_ROW)
        (void)sqlpool__statement_failed(slot, rc, sqlpool__own_sql[SQLPOOL__TOUCH], error);
    sqlpool__reset_own(slot, SQLPOOL__TOUCH);
    if (rc != SQLITE_ROW) {
        sqlpool__abandon_transaction(slot);
        return error->result;
    }
    now = sqlpool__now(core);
    slot->is_scope = true;
    (void)SQLPOOL__ADD(&core->scopes, 1u);
    SQLPOOL__STORE_RELAXED(&slot->scope_since_ns, now);
    if (max_age_ms == 0) return SQLPOOL_OK;
    slot->scope_end_ns = sqlpool__time_add(now, max_age_ms * SQLPOOL__NS_PER_MS);
    (void)SQLPOOL__EXCHANGE(&slot->scope_report_ns, slot->scope_end_ns);
    if (core->has_thread && slot->scope_end_ns < SQLPOOL__LOAD_ORDERED(&core->upkeep_wake_ns))
        sqlpool__kick_upkeep(core);
    return SQLPOOL_OK;
}

static int sqlpool__scope_end(sqlpool__slot *slot, sqlpool_error *error) {
    if (!slot->is_scope)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "no snapshot scope is open: sqlpool_snapshot_begin() first");
    if (slot->depth > 1)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "a level begun inside the scope is open: end it first");
    sqlpool__abandon_transaction(slot);
    return sqlite3_get_autocommit(slot->db) == 0
               ? SQLPOOL__FAIL(error, SQLITE_ABORT,
                               "the snapshot could not be ended: release the lease")
               : SQLPOOL_OK;
}

/*  What became of a write that is over. A sync that failed on another thread while it ran may have
    left a hole before it. */
static void sqlpool__note_outcome(sqlpool__slot *slot, sqlpool_error *error) {
    if (SQLPOOL__LOAD_RELAXED(&slot->mode) != SQLPOOL_WRITE) return;
    if (error->result == SQLPOOL_OK && slot->is_committed) sqlpool__after_commit(slot);
    if (SQLPOOL__UNLIKELY((SQLPOOL__LOAD(&slot->core->gate) & SQLPOOL__GATE_DOUBT) != 0) &&
        error->result == SQLPOOL_OK && slot->db != NULL && sqlite3_get_autocommit(slot->db) != 0 &&
        sqlpool__mend_log(slot, error) != SQLPOOL_OK) {
        error->outcome = SQLPOOL_OUTCOME_UNKNOWN;
        return;
    }
    error->outcome = error->result == SQLPOOL_OK        ? SQLPOOL_OUTCOME_COMMITTED
                     : sqlpool__is_unknown(slot, error) ? SQLPOOL_OUTCOME_UNKNOWN
                                                        : SQLPOOL_OUTCOME_NOT_COMMITTED;
}

/*  Runs fn in one level and again while SQLite wants the whole transaction restarted; the first
    time as try number `attempt`. */
static int sqlpool__transact(sqlpool__slot *slot, const sqlpool_call *call, int attempt,
                             sqlpool_transaction_fn fn, void *user, sqlpool_error *error) {
    const int outer = slot->depth;
    const uint64_t number = slot->number;
    sqlpool_conn conn = sqlpool__conn_of(slot);
    sqlpool_error ignored;
    bool has_ended = false; /* fn itself committed or rolled back: what it did may stand */
    int rc;
    if (attempt > 1) slot->retry_total_us = slot->retry_delay_us = 0; /* of who was here before */
    for (;; attempt++) {
        rc = sqlpool__level_begin(slot, error);
        if (rc == SQLPOOL_OK) {
            rc = fn(&conn, user, attempt);
            has_ended =
                SQLPOOL__LOAD_ORDERED(&slot->word) == sqlpool__word(number, SQLPOOL__LEASED) &&
                slot->depth <= outer;
            if (SQLPOOL__LOAD_ORDERED(&slot->word) != sqlpool__word(number, SQLPOOL__LEASED)) {
                return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                                     "the transaction function released the lease it works on");
            }
            if (rc == SQLPOOL_OK && slot->depth == outer + 1) {
                rc = sqlpool__level_commit(slot, error);
            } else if (rc == SQLPOOL_OK) {
                rc = SQLPOOL__FAIL(
                    error, SQLPOOL_MISUSE,
                    "the transaction function left a begin without its end, or one too many");
            } else if (error->result != rc && slot->last_error.result == rc) {
                *error = slot->last_error; /* fn kept the detail to itself */
            } else if (error->result != rc) {
                (void)SQLPOOL__FAIL(error, rc, "the transaction function returned %d (%s)", rc,
                                    sqlpool_result_name(rc));
            }
            sqlpool__error_clear(&ignored);
            while (rc != SQLPOOL_OK && slot->depth > outer) {
                if (slot->is_scope && slot->depth == 1) {
                    sqlpool__abandon_transaction(slot); /* fn ended its level and began a scope */
                } else {
                    (void)sqlpool__level_rollback(slot, &ignored);
                }
            }
        }
        if (rc == SQLPOOL_OK || outer > 0 || has_ended) break;
        error->result = rc;
        if (sqlpool__is_unknown(slot, error) || !sqlpool__is_retryable(slot->core, rc)) break;
        if (!sqlpool__retry_wait(slot, call, attempt, error)) break;
    }
    if (rc == SQLPOOL_OK) error->result = SQLPOOL_OK;
    error->attempts = attempt;
    if (outer == 0 && !has_ended) sqlpool__note_outcome(slot, error);
    return rc;
}

/*------------------------------------------------------------------------------
 * >>[I17.4] public calls on leases                                      (public)
 *----------------------------------------------------------------------------*/

SQLPOOL_API int sqlpool_conn_acquire_at(const char *file, int line, sqlpool *pool,
                                        sqlpool_mode mode, const sqlpool_call *call,
                                        sqlpool_conn *conn, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__core *core;
    sqlpool__request request;
    sqlpool__slot *slot;
    int rc;
    error = sqlpool__error_or(error, &local);
    if (conn != NULL) memset(conn, 0, sizeof *conn);
    rc = sqlpool__enter(pool, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    if (conn == NULL) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                            "conn is NULL: pass the address of a sqlpool_conn");
        return sqlpool__finish(core, error);
    }
    rc = sqlpool__make_request(core, file, line, mode, call, &request, error);
    if (rc != SQLPOOL_OK) return sqlpool__finish(core, error);
    rc = sqlpool__acquire(core, &request, &slot, error);
    if (rc != SQLPOOL_OK) return rc;
    slot->is_lent = true;
    sqlpool__park(slot);
    *conn = sqlpool__conn_of(slot);
    if (core->config.events.acquire_fn != NULL)
        core->config.events.acquire_fn(core->config.events.user, conn);
    return SQLPOOL_OK;
}

SQLPOOL_API int sqlpool_conn_release(sqlpool_conn *conn) {
    sqlpool_error local;
    sqlpool__slot *slot;
    sqlpool__error_clear(&local);
    if (SQLPOOL__UNLIKELY(sqlpool__enter_own(conn, &slot, "sqlpool_conn_release", &local) !=
                          SQLPOOL_OK))
        return local.result;
    if (slot->core->config.events.release_fn != NULL) {
        slot->core->config.events.release_fn(slot->core->config.events.user, conn);
    }
    memset(conn, 0, sizeof *conn);
    return sqlpool__lease_end(slot) ? SQLPOOL_UNCLEAN : SQLPOOL_OK;
}

SQLPOOL_API int sqlpool_conn_adopt(sqlpool_conn *conn) {
    sqlpool_error local;
    sqlpool__slot *slot;
    sqlpool__error_clear(&local);
    if (sqlpool__find_lease(conn, &slot, &local) != SQLPOOL_OK) return local.result;
    if (SQLPOOL__LOAD_RELAXED(&slot->floor) != 0)
        return sqlpool__enter_own(conn, &slot, "sqlpool_conn_adopt", &local);
    SQLPOOL__STORE_RELAXED(&slot->owner, sqlpool__thread_id(slot->core));
    return SQLPOOL_OK;
}

SQLPOOL_API int sqlpool_conn_cancel(sqlpool_conn conn) {
    sqlpool_error local;
    sqlpool__slot *slot;
    sqlpool__core *core;
    sqlpool__error_clear(&local);
    if (sqlpool__find_lease(&conn, &slot, &local) != SQLPOOL_OK) return local.result;
    core = slot->core;
    if (SQLPOOL__LOAD_RELAXED(&slot->floor) != 0) {
        (void)SQLPOOL__FAIL(&local, SQLPOOL_MISUSE,
                            "the lease serves a group of writes: cancel the one that is meant by "
                            "the token of its sqlpool_call");
        return sqlpool__finish(core, &local);
    }
    sqlpool__go_inside(core);
    sqlpool__lock(core);
    SQLPOOL__STORE(&slot->cancelled, conn.lease); /* a number: it means nothing to the next lease */
    sqlpool__interrupt_locked(slot, conn.lease, SQLPOOL__NEVER);
    sqlpool__signal(core, &core->commit_condition);
    sqlpool__unlock(core);
    sqlpool__go_outside(core);
    return SQLPOOL_OK;
}

SQLPOOL_API int sqlpool_conn_set_timeout(sqlpool_conn *conn, int timeout_ms) {
    sqlpool_error local;
    sqlpool__slot *slot;
    sqlpool__error_clear(&local);
    if (sqlpool__enter_lease(conn, &slot, &local) != SQLPOOL_OK) return local.result;
    sqlpool__park(slot); /* the connection is not touched */
    if (timeout_ms < SQLPOOL_FOREVER) {
        (void)SQLPOOL__FAIL(&local, SQLPOOL_MISUSE,
                            "timeout_ms is %d: use -1 (SQLPOOL_FOREVER) or more", timeout_ms);
        return sqlpool__finish(slot->core, &local);
    }
    slot->lease_deadline_ns =
        timeout_ms == SQLPOOL_FOREVER
            ? SQLPOOL__NEVER
            : sqlpool__time_add(sqlpool__now(slot->core), timeout_ms * SQLPOOL__NS_PER_MS);
    return SQLPOOL_OK;
}

SQLPOOL_API int sqlpool_conn_stmt(sqlpool_conn *conn, const char *sql, sqlite3_stmt **statement,
                                  sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__slot *slot;
    sqlpool__stmt *stmt;
    int rc;
    error = sqlpool__error_or(error, &local);
    if (statement != NULL) *statement = NULL;
    rc = sqlpool__enter_conn(conn, &slot, error);
    if (rc != SQLPOOL_OK) return rc;
    if (sql == NULL || statement == NULL) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "%s is NULL", sql == NULL ? "sql" : "statement");
        return sqlpool__finish(slot->core, error);
    }
    rc = sqlpool__statement_begin(slot, error);
    if (rc == SQLPOOL_OK) rc = sqlpool__stmt_get(slot, sql, &stmt, error);
    if (rc != SQLPOOL_OK) return sqlpool__finish(slot->core, error);
    SQLPOOL__TALLY(slot, statements);
    if (stmt->is_bound) (void)sqlite3_clear_bindings(stmt->handle);
    stmt->is_bound = stmt->has_pointers =
        stmt->parameter_count > 0; /* the caller may bind anything */
    *statement = stmt->handle;
    return SQLPOOL_OK;
}

SQLPOOL_API int sqlpool_conn_stmt_release(sqlpool_conn *conn, sqlite3_stmt *statement) {
    sqlpool_error local;
    sqlpool__slot *slot;
    sqlpool__link *link;
    sqlpool__error_clear(&local);
    if (sqlpool__enter_conn(conn, &slot, &local) != SQLPOOL_OK) return local.result;
    for (link = slot->in_use.prev; link != &slot->in_use; link = link->prev) {
        sqlpool__stmt *stmt = sqlpool__stmt_of_link(link);
        if (statement == NULL || stmt->handle != statement) continue;
        sqlpool__stmt_put(slot, stmt);
        sqlpool__disarm(slot);
        if (slot->is_committed) sqlpool__after_commit(slot);
        return SQLPOOL_OK;
    }
    (void)SQLPOOL__FAIL(&local, SQLPOOL_MISUSE,
                        "the statement is not one that sqlpool_conn_stmt() gave to this lease");
    return sqlpool__finish(slot->core, &local);
}

SQLPOOL_API sqlite3 *sqlpool_conn_db(sqlpool_conn *conn) {
    sqlpool_error local;
    sqlpool__slot *slot;
    sqlpool__error_clear(&local);
    if (sqlpool__enter_own(conn, &slot, "sqlpool_conn_db", &local) != SQLPOOL_OK) return NULL;
    sqlpool__unpin(slot);
    slot->is_raw = true;
    slot->check = SQLPOOL__CHECK_NOTE;
    sqlpool__reclaim_stamp(slot); /* PRAGMA journal_mode would take the mapping away */
    return slot->db;
}

SQLPOOL_API int sqlpool_conn_chain(sqlpool_conn *conn, const sqlpool_chain *chain) {
    sqlpool_error local;
    sqlpool_chain none;
    sqlpool__slot *slot;
    sqlpool__error_clear(&local);
    if (sqlpool__enter_own(conn, &slot, "sqlpool_conn_chain", &local) != SQLPOOL_OK)
        return local.result;
    sqlpool__unpin(slot);
    memset(&none, 0, sizeof none);
    sqlpool__set_chain(slot, chain != NULL ? chain : &none);
    slot->has_lease_chain = true;
    return SQLPOOL_OK;
}

static int sqlpool__level_call(sqlpool_conn *conn, sqlpool_error *error,
                               int (*work)(sqlpool__slot *, sqlpool_error *)) {
    sqlpool_error local;
    sqlpool__slot *slot;
    int rc;
    error = sqlpool__error_or(error, &local);
    rc = sqlpool__enter_conn(conn, &slot, error);
    if (rc != SQLPOOL_OK) return rc;
    if (work != sqlpool__level_begin && SQLPOOL__LOAD_RELAXED(&slot->floor) != 0 &&
        (uint32_t)slot->depth <= SQLPOOL__LOAD_RELAXED(&slot->floor)) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                            "this level is sqlpool_write()'s own: return 0 to commit it, anything "
                            "else to roll it back");
    } else {
        (void)work(slot, error);
    }
    return sqlpool__finish(slot->core, error);
}

SQLPOOL_API int sqlpool_conn_begin(sqlpool_conn *conn, sqlpool_error *error) {
    return sqlpool__level_call(conn, error, sqlpool__level_begin);
}
SQLPOOL_API int sqlpool_conn_commit(sqlpool_conn *conn, sqlpool_error *error) {
    return sqlpool__level_call(conn, error, sqlpool__level_commit);
}
SQLPOOL_API int sqlpool_conn_rollback(sqlpool_conn *conn, sqlpool_error *error) {
    return sqlpool__level_call(conn, error, sqlpool__level_rollback);
}

SQLPOOL_API int sqlpool_snapshot_begin(sqlpool_conn *conn, int max_age_ms, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__slot *slot;
    int rc;
    error = sqlpool__error_or(error, &local);
    rc = sqlpool__enter_conn(conn, &slot, error);
    if (rc != SQLPOOL_OK) return rc;
    (void)sqlpool__scope_begin(slot, max_age_ms, error);
    return sqlpool__finish(slot->core, error);
}
SQLPOOL_API int sqlpool_snapshot_end(sqlpool_conn *conn, sqlpool_error *error) {
    return sqlpool__level_call(conn, error, sqlpool__scope_end);
}

SQLPOOL_API int sqlpool_conn_transaction(sqlpool_conn *conn, sqlpool_transaction_fn fn, void *user,
                                         sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__slot *slot;
    int rc;
    error = sqlpool__error_or(error, &local);
    rc = sqlpool__enter_conn(conn, &slot, error);
    if (rc != SQLPOOL_OK) return rc;
    if (fn == NULL) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "fn is NULL");
    } else {
        (void)sqlpool__transact(slot, &sqlpool__default_call, 1, fn, user, error);
    }
    return sqlpool__finish(slot->core, error);
}

SQLPOOL_API int sqlpool_transaction_at(const char *file, int line, sqlpool *pool,
                                       const sqlpool_call *call, sqlpool_mode mode,
                                       sqlpool_transaction_fn fn, void *user,
                                       sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__core *core;
    sqlpool__request request;
    sqlpool__slot *slot;
    uint64_t held;
    int rc;
    error = sqlpool__error_or(error, &local);
    rc = sqlpool__enter(pool, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool__make_request(core, file, line, mode, call, &request, error);
    if (rc == SQLPOOL_OK && fn == NULL) rc = SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "fn is NULL");
    if (rc != SQLPOOL_OK) return sqlpool__finish(core, error);
    if (mode == SQLPOOL_WRITE) error->outcome = SQLPOOL_OUTCOME_NOT_COMMITTED; /* if refused */
    rc = sqlpool__acquire(core, &request, &slot, error);
    if (rc != SQLPOOL_OK) return rc;
    error->outcome = SQLPOOL_OUTCOME_NONE;
    sqlpool__bound_lease(slot, &request);
    slot->is_lent = true;
    held = sqlpool__word(slot->number, SQLPOOL__LEASED);
    rc = sqlpool__transact(slot, request.call, 1, fn, user, error);
    if (SQLPOOL__LOAD_ORDERED(&slot->word) != held) return rc; /* fn released it */
    (void)sqlpool__finish(core, error);
    (void)sqlpool__lease_end(slot);
    return rc;
}

/*==============================================================================
 * >>[I20] QUERY: routing, running, rows, scripts                       (private)
 *==============================================================================
    A one-call statement is routed by its text (I08), acquires a lease like anybody, runs through
    the same functions as on a lease, and gives it back. If the text looked like a read and SQLite
    says that it writes, it moves to the writer before anything ran.

    A cursor is live (a stepped statement, taken out of the cache) or buffered (the rows of a write
    with RETURNING, complete and committed before the first is handed out, so that a caller who
    stops early cannot be wrong about what happened). The cursor is the caller's memory and nothing
    of the pool points to it: it names its lease by number and its statement by serial, so a cursor
    that outlived either is known as stale. */

enum {
    SQLPOOL__ROWS_LIVE = 1,     /* rows->statement is stepped */
    SQLPOOL__ROWS_BUFFERED = 2, /* rows->buffer holds the rows */
    SQLPOOL__ROWS_PENDING = 4,  /* the query call stepped to the first row already */
    SQLPOOL__ROWS_ON_ROW = 8,   /* columns may be read */
    SQLPOOL__ROWS_OWNS = 16,    /* the lease ends with the cursor */
    SQLPOOL__ROWS_FAILED = 32   /* the step failed; its message is still in the connection */
};

/*  Rows of RETURNING: values that SQLite copied, so that conversions are SQLite's. */
typedef struct sqlpool__buffer {
    sqlite3_value **cells;
    char **names;
    size_t count, room; /* cells */
    size_t bytes;       /* counted against returning_bytes */
    int column_count;
} sqlpool__buffer;

#define SQLPOOL__CELL_BYTES 64u /* what a copied value costs besides its text or blob */

static void sqlpool__buffer_free(sqlpool__core *core, sqlpool__buffer *buffer) {
    size_t i;
    int c;
    if (buffer == NULL) return;
    for (i = 0; i < buffer->count; i++) sqlite3_value_free(buffer->cells[i]);
    for (c = 0; buffer->names != NULL && c < buffer->column_count; c++)
        sqlite3_free(buffer->names[c]);
    sqlpool__free(&core->memory, buffer->names,
                  (size_t)buffer->column_count * sizeof *buffer->names);
    sqlpool__free(&core->memory, buffer->cells, buffer->room * sizeof(sqlite3_value *));
    sqlpool__free(&core->memory, buffer, sizeof *buffer);
    (void)SQLPOOL__ADD(&core->buffers_out, (uint32_t)-1);
}

static sqlpool__buffer *sqlpool__buffer_new(sqlpool__core *core, sqlite3_stmt *handle,
                                            int column_count) {
    sqlpool__buffer *buffer = (sqlpool__buffer *)sqlpool__alloc(&core->memory, sizeof *buffer);
    int c;
    if (buffer == NULL) return NULL;
    (void)SQLPOOL__ADD(&core->buffers_out, 1u);
    memset(buffer, 0, sizeof *buffer);
    buffer->column_count = column_count;
    buffer->names =
        (char **)sqlpool__alloc(&core->memory, (size_t)column_count * sizeof *buffer->names);
    if (buffer->names == NULL) {
        sqlpool__buffer_free(core, buffer);
        return NULL;
    }
    memset(buffer->names, 0, (size_t)column_count * sizeof *buffer->names);
    for (c = 0; c < column_count; c++) {
        buffer->names[c] = sqlite3_mprintf("%s", sqlite3_column_name(handle, c));
        if (buffer->names[c] != NULL) continue;
        sqlpool__buffer_free(core, buffer);
        return NULL;
    }
    return buffer;
}

/*  Copies the row that the statement stands on. */
static int sqlpool__buffer_row(sqlpool__core *core, sqlpool__buffer *buffer, sqlite3_stmt *handle) {
    int c;
    for (c = 0; c < buffer->column_count; c++) {
        sqlite3_value *copy;
        buffer->bytes += SQLPOOL__CELL_BYTES + (size_t)sqlite3_column_bytes(handle, c);
        if (buffer->bytes > (size_t)core->config.returning_bytes) return SQLPOOL_TOO_BIG;
        if (buffer->count == buffer->room) {
            const size_t room = buffer->room == 0 ? 16 : buffer->room * 2;
            void *cells = sqlpool__resize(&core->memory, buffer->cells,
                                          buffer->room * sizeof(sqlite3_value *),
                                          room * sizeof(sqlite3_value *));
            if (cells == NULL) return SQLPOOL_NOMEM;
            buffer->cells = (sqlite3_value **)cells;
            buffer->room = room;
        }
        copy = sqlite3_value_dup(sqlite3_column_value(handle, c));
        if (copy == NULL) return SQLPOOL_NOMEM;
        buffer->cells[buffer->count++] = copy;
    }
    return SQLPOOL_OK;
}

/*------------------------------------------------------------------------------
 * >>[I20.2] one statement on a held slot                               (private)
 *----------------------------------------------------------------------------*/

/*  What to run, for the functions that follow. */
typedef struct sqlpool__work {
    const char *sql;
    const sqlpool_value *args;
    int count;
    sqlpool_result *result; /* or NULL */
    sqlpool_rows *rows;     /* or NULL: rows are thrown away */
    bool wants_writer;      /* out: it writes and this connection cannot */
    bool has_begun;         /* out: it was stepped, and is not undone by a level of its own */
} sqlpool__work;

/*  What a write is to be compared with when it has ended. */
typedef struct sqlpool__before {
    int total;
    sqlite3_int64 rowid;
} sqlpool__before;

/*  The connection's last rowid is set to 0 for the time of the statement, so that one which inserts
    nothing is known by it; not where the statement itself reads it. */
static sqlpool__before sqlpool__before_write(sqlpool__slot *slot, const sqlpool__stmt *stmt,
                                             const sqlpool_result *result) {
    sqlpool__before before = {0, 0};
    if (result == NULL) return before;
    before.total = sqlite3_total_changes(slot->db);
    before.rowid = sqlite3_last_insert_rowid(slot->db);
    if (!stmt->reads_rowid) sqlite3_set_last_insert_rowid(slot->db, 0);
    return before;
}

static void sqlpool__after_write(sqlpool__slot *slot, const sqlpool__stmt *stmt,
                                 const sqlpool__before *before, sqlpool_result *result) {
    const bool has_changed = result != NULL && sqlite3_total_changes(slot->db) != before->total;
    if (result == NULL) return;
    result->changes = has_changed ? sqlite3_changes(slot->db) : 0;
    result->last_insert_id = has_changed ? sqlite3_last_insert_rowid(slot->db) : 0;
    if (!stmt->reads_rowid && sqlite3_last_insert_rowid(slot->db) == 0) {
        sqlite3_set_last_insert_rowid(slot->db, before->rowid);
    }
}

/*  Steps to the end. SQLite asks the progress handler once more after the last instruction, and
    reports an interrupt for a statement that it has committed: that one has succeeded. */
static int sqlpool__run_to_end(sqlpool__slot *slot, sqlpool__stmt *stmt, sqlpool_result *result,
                               sqlpool_error *error) {
    const sqlpool__before before = sqlpool__before_write(slot, stmt, result);
    int rc;
    do {
        rc = sqlite3_step(stmt->handle);
    } while (rc == SQLITE_ROW);
    if (SQLPOOL__UNLIKELY(rc == SQLITE_INTERRUPT && slot->is_committed && slot->depth == 0))
        rc = SQLITE_DONE;
    if (rc != SQLITE_DONE) rc = sqlpool__statement_failed(slot, rc, stmt->sql, error);
    sqlpool__after_write(slot, stmt, &before, result);
    return rc == SQLITE_DONE ? SQLPOOL_OK : rc;
}

/*  A write that returns rows: all of it happens before the first row is shown. */
static int sqlpool__run_buffered(sqlpool__slot *slot, sqlpool__stmt *stmt,
                                 const sqlpool__work *work, sqlpool_error *error) {
    sqlpool__core *core = slot->core;
    sqlpool__buffer *buffer = NULL;
    sqlpool__before before;
    sqlpool_error ignored;
    int rc = sqlpool__level_begin(slot, error);
    if (rc != SQLPOOL_OK) return rc;
    before = sqlpool__before_write(slot, stmt, work->result);
    rc = sqlpool__statement_begin(slot, error);
    while (rc == SQLPOOL_OK) {
        rc = sqlite3_step(stmt->handle);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
            rc = sqlpool__statement_failed(slot, rc, stmt->sql, error);
            break;
        }
        if (buffer == NULL) { /* only now: the first step may have prepared it for a new schema */
            work->rows->column_count = sqlite3_column_count(stmt->handle);
            buffer = sqlpool__buffer_new(core, stmt->handle, work->rows->column_count);
            if (buffer == NULL) rc = SQLPOOL_NOMEM;
        }
        if (rc == SQLITE_ROW) rc = sqlpool__buffer_row(core, buffer, stmt->handle);
        if (rc == SQLITE_DONE) break;
    }
    sqlpool__disarm(slot);
    sqlpool__after_write(slot, stmt, &before, work->result);
    if (rc == SQLITE_DONE) {
        (void)sqlite3_reset(stmt->handle);
        rc = sqlpool__level_commit(slot, error);
    } else if (rc == SQLPOOL_TOO_BIG) {
        (void)SQLPOOL__FAIL(
            error, rc,
            "the rows of RETURNING pass returning_bytes (%lld); nothing was changed: %.200s",
            (long long)core->config.returning_bytes, stmt->sql);
    } else if (rc == SQLPOOL_NOMEM) {
        (void)SQLPOOL__FAIL(error, rc,
                            "no memory to buffer the rows of RETURNING; nothing was changed");
    }
    if (rc != SQLPOOL_OK) {
        (void)sqlite3_reset(stmt->handle);
        sqlpool__error_clear(&ignored);
        if (slot->depth > 0) (void)sqlpool__level_rollback(slot, &ignored);
        sqlpool__buffer_free(core, buffer);
        return error->result;
    }
    work->rows->buffer = buffer;
    work->rows->flags |= SQLPOOL__ROWS_BUFFERED;
    return SQLPOOL_OK;
}

/*  The first step of a cursor is made here, so that its errors are the query call's and can be
    retried. */
static int sqlpool__run_cursor(sqlpool__slot *slot, sqlpool__stmt *stmt, sqlpool_rows *rows,
                               bool *is_done, sqlpool_error *error) {
    const int rc = sqlite3_step(stmt->handle);
    *is_done = rc != SQLITE_ROW;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return sqlpool__statement_failed(slot, rc, stmt->sql, error);
    if (rc == SQLITE_DONE) return SQLPOOL_OK;
    rows->slot = slot;
    rows->statement = stmt;
    rows->serial = stmt->serial;
    rows->column_count = sqlite3_data_count(stmt->handle);
    rows->deadline_ns = SQLPOOL__LOAD_RELAXED(&slot->deadline_ns);
    rows->flags |= SQLPOOL__ROWS_LIVE | SQLPOOL__ROWS_PENDING;
    return SQLPOOL_OK;
}

static int sqlpool__run_once(sqlpool__slot *slot, sqlpool__work *work, sqlpool_error *error) {
    sqlpool__stmt *stmt;
    bool is_done = true;
    int rc = sqlpool__statement_begin(slot, error);
    if (SQLPOOL__UNLIKELY(rc != SQLPOOL_OK)) return rc;
    SQLPOOL__TALLY(slot, statements);
    if (slot->may_pin && slot->depth == 0 && sqlpool__list_is_empty(&slot->in_use)) {
        sqlpool__refresh(slot);
        if (SQLPOOL__UNLIKELY(slot->is_bad && sqlpool__is_stuck(slot, error))) {
            sqlpool__disarm(slot);
            return error->result;
        }
    }
    rc = sqlpool__stmt_get(slot, work->sql, &stmt, error);
    if (SQLPOOL__UNLIKELY(rc != SQLPOOL_OK)) {
        sqlpool__disarm(slot);
        return rc;
    }
    if (SQLPOOL__UNLIKELY(!stmt->is_read_only &&
                          SQLPOOL__LOAD_RELAXED(&slot->mode) == SQLPOOL_READ && !slot->is_raw)) {
        work->wants_writer = true;
        rc = SQLPOOL__FAIL(error, SQLITE_READONLY,
                           "a reader cannot write: acquire with SQLPOOL_WRITE; in: %.200s",
                           stmt->sql);
    } else {
        const bool is_cursor = work->rows != NULL && stmt->is_read_only && stmt->column_count > 0;
        if (work->rows != NULL) work->rows->column_count = stmt->column_count;
        rc = sqlpool__bind(slot, stmt, work->args, work->count, is_cursor, error);
        if (SQLPOOL__UNLIKELY(rc != SQLPOOL_OK)) {
            /* nothing ran */
        } else if (is_cursor) {
            rc = sqlpool__run_cursor(slot, stmt, work->rows, &is_done, error);
        } else if (work->rows != NULL && stmt->column_count > 0) {
            rc = sqlpool__run_buffered(slot, stmt, work, error);
        } else {
            work->has_begun = true;
            rc = sqlpool__run_to_end(slot, stmt, work->result, error);
        }
    }
    if (!is_done) return SQLPOOL_OK; /* the cursor goes on */
    sqlpool__stmt_put(slot, stmt);
    sqlpool__disarm(slot);
    if (slot->is_committed && slot->depth == 0) sqlpool__after_commit(slot);
    return rc;
}

/*  The same, again while that helps. Inside a transaction only its owner can start over. */
static int sqlpool__run(sqlpool__slot *slot, const sqlpool_call *call, sqlpool__work *work,
                        sqlpool_error *error) {
    int attempt, rc;
    for (attempt = 1;; attempt++) {
        rc = sqlpool__run_once(slot, work, error);
        if (SQLPOOL__LIKELY(rc == SQLPOOL_OK)) {
            error->result = SQLPOOL_OK;
            return SQLPOOL_OK;
        }
        if (slot->depth > 0 || sqlpool__is_unknown(slot, error) ||
            !sqlpool__is_retryable(slot->core, rc))
            return rc;
        if (!sqlpool__retry_wait(slot, call, attempt, error)) return rc;
    }
}

/*------------------------------------------------------------------------------
 * >>[I20.3] the submit queue                                           (private)
 *------------------------------------------------------------------------------
    Entries in an array that the first submission makes: a ticket is an index and a number, so that
    a stale one is known. From submission to completion an entry belongs to the queue, then to the
    group that runs it; what it points to is inside it, or one block. */

#define SQLPOOL__ENTRY_ROOM 256 /* bytes of text and arguments inside an entry: a row of a log */

typedef enum sqlpool__entry_state {
    SQLPOOL__ENTRY_FREE = 0,
    SQLPOOL__ENTRY_QUEUED,
    SQLPOOL__ENTRY_RUNNING,
    SQLPOOL__ENTRY_DONE /* until its result is fetched */
} sqlpool__entry_state;

typedef struct sqlpool__entry {
    sqlpool__link link; /* in core->entries_queued or entries_free */
    /* under the pool's lock */
    sqlpool__entry_state state;
    bool has_ticket;            /* somebody may ask for the result */
    uint64_t number;            /* of the submission; 0: free */
    sqlpool_condition *sleeper; /* of the thread that waits for it, on that one's stack */
    /* fixed from submission to completion */
    bool is_relaxed;
    bool can_group;
    bool is_unasked; /* neither ticket nor done_fn: events.error_fn hears of its failure */
    sqlpool_done_fn done_fn;
    void *done_user;
    void *block; /* for what the room does not hold; or NULL */
    size_t block_bytes;
    sqlpool_call call;
    sqlpool__request request;
    sqlpool__work work;
    /* of the group that runs it, then fixed until it is fetched */
    sqlpool__job job;
    sqlpool_result result;
    union {
        sqlpool_value align;
        char bytes[SQLPOOL__ENTRY_ROOM];
    } room;
} sqlpool__entry;

static sqlpool__entry *sqlpool__entry_of_link(sqlpool__link *link) {
    return (sqlpool__entry *)(void *)link; /* link is the first member */
}

static sqlpool__entry *sqlpool__entry_of_job(sqlpool__job *job) {
    return (sqlpool__entry *)(void *)((char *)job - offsetof(sqlpool__entry, job));
}

static sqlpool__entry *sqlpool__first_entry_locked(sqlpool__core *core) {
    return sqlpool__list_is_empty(&core->entries_queued)
               ? NULL
               : sqlpool__entry_of_link(core->entries_queued.next);
}

static void sqlpool__unqueue_entry_locked(sqlpool__core *core, sqlpool__entry *entry) {
    SQLPOOL_ASSERT(entry->state == SQLPOOL__ENTRY_QUEUED);
    sqlpool__list_remove(&entry->link);
    core->entries_queued_count--;
    if (entry->request.deadline_ns != 0) core->entries_timed--;
}

static void sqlpool__begin_entry_locked(sqlpool__core *core, sqlpool__entry *entry) {
    sqlpool__unqueue_entry_locked(core, entry);
    entry->state = SQLPOOL__ENTRY_RUNNING;
    if (core->running_number == 0) core->running_number = entry->number;
}

/*  Everything before this number is done. */
static uint64_t sqlpool__oldest_entry_locked(sqlpool__core *core) {
    const sqlpool__entry *first = sqlpool__first_entry_locked(core);
    const uint64_t queued = first != NULL ? first->number : core->submit_number + 1;
    return core->running_number != 0 && core->running_number < queued ? core->running_number
                                                                      : queued;
}

/*  What an entry holds besides itself; it is not in the queue any more. */
static void sqlpool__empty_entry(sqlpool__core *core, sqlpool__entry *entry) {
    sqlpool__free(&core->memory, entry->job.error, sizeof *entry->job.error);
    sqlpool__free(&core->memory, entry->block, entry->block_bytes);
    entry->job.error = NULL;
    entry->block = NULL;
}

static void sqlpool__free_entry_locked(sqlpool__core *core, sqlpool__entry *entry) {
    SQLPOOL_ASSERT(entry->block == NULL && entry->job.error == NULL && entry->sleeper == NULL);
    core->entries_used--;
    core->entries_bytes -= entry->job.bytes;
    entry->state = SQLPOOL__ENTRY_FREE;
    entry->number = 0;
    sqlpool__list_insert_before(&core->entries_free, &entry->link);
    if (core->room_sleepers > 0) sqlpool__signal(core, &core->room_condition);
}

static void sqlpool__free_entry(sqlpool__core *core, sqlpool__entry *entry) {
    sqlpool__empty_entry(core, entry);
    sqlpool__lock(core);
    sqlpool__free_entry_locked(core, entry);
    sqlpool__unlock(core);
}

/*  The error of an entry that is done. */
static void sqlpool__entry_error(const sqlpool__entry *entry, sqlpool_error *error) {
    const sqlpool__job *job = &entry->job;
    sqlpool__error_clear(error);
    if (job->error != NULL) {
        *error = *job->error;
    } else if (job->result == SQLPOOL_CANCELLED) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_CANCELLED, "cancelled before it began");
    } else if (job->result != SQLPOOL_OK) {
        (void)SQLPOOL__FAIL(error, job->result, "%s (%s); there was no memory for the detail",
                            sqlpool_result_text(job->result), sqlpool_result_name(job->result));
    }
    error->outcome = job->outcome;
}

/*------------------------------------------------------------------------------
 * >>[I20.4] writes that share a commit                                 (private)
 *------------------------------------------------------------------------------
    A commit costs an fsync, or at least the file locks, however little it carries. So whoever gets
    the writer for a write of one statement runs, in one transaction with its own, those that wait
    in the writer's queue: it is the *leader*, they *follow*, and sleep until it is done. There is
    no thread for it, a write that meets nobody is run as it always was, and a leader leads one
    group: it never works for others longer than that.

    Nobody hears of success before COMMIT has returned. One write must not fail its neighbours:
      - a statement that fails on its way may leave a part of what it did: SQLite undoes it by
        itself only where it foresaw that (not for a type of STRICT, a text too long, OR FAIL). So
        the transaction is rolled back and run again *carefully*, with a savepoint for each
        statement; those of the next groups have them from the start. The one that failed is run
        by itself once the others are committed, and so has exactly the effect it has alone;
      - one that ends the whole transaction (OR ROLLBACK, RAISE(ROLLBACK), a full disk, no memory,
        an interrupt) takes the others' work with it: they are run again without it. So is one that
        leaves a deferred foreign key open, which a neighbour might mend;
      - when COMMIT refuses, as for a commit hook, so are the two halves, and their halves, until
        the culprit is by itself;
      - what failed before it did anything, or was undone whole, counts as failed once those are
        committed whose work it may have failed for;
      - after a COMMIT that failed on the disk it is not known what is in the log: nobody is run
        again, and everybody hears that (SQLPOOL_OUTCOME_UNKNOWN).
    Submitted writes keep their order: what has to be run by itself is, before those behind it.
    Of statements only INSERT, REPLACE, UPDATE and DELETE are grouped: the others may refuse to run
    inside a transaction, change what the neighbours meet, or turn out to read (WITH). A function
    of sqlpool_write(), which runs several, has a savepoint, so that it too is undone alone. Writes
    of the submit queue (I21) come in here as well: only into a group that its drain leads. */

#define SQLPOOL__GROUP_MOST 256 /* jobs in a group: their list is on the leader's stack */

/*  Jobs of one transaction, in their order. */
typedef struct sqlpool__group {
    sqlpool__job *jobs[SQLPOOL__GROUP_MOST];
    int count;
    int submitted_step; /* how many the submit queue gives at a time; 0: none */
    bool is_relaxed;    /* COMMIT does not sync: only for those who agreed to that */
    bool is_single;     /* its only job has to run by itself */
    bool is_full;       /* no more are taken */
    bool is_careful;    /* each statement has a savepoint */
    int undone;         /* transactions whose work was lost to one job */
    int refused_end;    /* COMMIT refused for one of those before this one */
    int64_t bytes;
    int64_t until_ns;      /* none is added later */
    int64_t lock_ns;       /* so long it waits for another process's lock, */
    int64_t lock_since_ns; /* and since then; 0: not yet */
    bool is_hasty;         /* or not at all; */
    bool is_put_back;      /* then those without an answer wait in the queue again */
    sqlpool_error scratch; /* of submitted jobs while they run */
} sqlpool__group;

static void sqlpool__group_init(sqlpool__group *group, int submitted_step, int64_t until_ns) {
    group->count = group->undone = group->refused_end = 0;
    group->submitted_step = submitted_step;
    group->is_relaxed = group->is_single = group->is_full = group->is_careful = false;
    group->bytes = 0;
    group->until_ns = until_ns;
    group->lock_ns = SQLPOOL__NEVER;
    group->lock_since_ns = 0;
    group->is_hasty = group->is_put_back = false;
}

static bool sqlpool__can_share(const sqlpool__core *core) {
    return core->config.group_count > 1 &&
           core->lane_of[SQLPOOL_READ] != core->lane_of[SQLPOOL_WRITE];
}

static bool sqlpool__can_group(const sqlpool__core *core, const char *sql, size_t bytes) {
    const char *at = sql;
    sqlpool__token token;
    if (!sqlpool__can_share(core)) return false;
    token = sqlpool__first_token(&at, sql + bytes);
    return sqlpool__token_is(&token, "INSERT") || sqlpool__token_is(&token, "UPDATE") ||
           sqlpool__token_is(&token, "DELETE") || sqlpool__token_is(&token, "REPLACE");
}

static int64_t sqlpool__args_bytes(const sqlpool_value *args, int count) {
    int64_t bytes = 0;
    int i;
    for (i = 0; args != NULL && i < count; i++) {
        if (args[i].type == SQLPOOL_TYPE_TEXT || args[i].type == SQLPOOL_TYPE_BLOB)
            bytes += (int64_t)args[i].size;
    }
    return bytes;
}

static sqlpool__job sqlpool__job_of(const sqlpool__request *request, sqlpool__work *work,
                                    sqlpool_transaction_fn fn, void *user, sqlpool_error *error) {
    sqlpool__job job;
    memset(&job, 0, sizeof job);
    job.request = request;
    job.work = work;
    job.fn = fn;
    job.user = user;
    job.error = error;
    job.bytes = (int64_t)sizeof job;
    if (work != NULL) {
        job.bytes += sqlpool__args_bytes(work->args, work->count);
        job.result_out = work->result;
    }
    return job;
}

/*  Takes writes of waiting threads out of the writer's queue. What is paused or closed stays where
    it is. */
static void sqlpool__take_waiting_locked(sqlpool__core *core, sqlpool__group *group) {
    sqlpool__lane *lane = sqlpool__lane_of(core, SQLPOOL_WRITE);
    sqlpool__link *link, *next;
    for (link = lane->queue.next; link != &lane->queue && group->count < core->config.group_count;
         link = next) {
        sqlpool__waiter *waiter = (sqlpool__waiter *)(void *)link;
        next = link->next;
        if ((SQLPOOL__LOAD(&core->gate) & (uint32_t)SQLPOOL__GATE_BLOCKING) != 0) break;
        if (waiter->job == NULL || /* or one that would not wait for a whole group */
            waiter->job->request->call->timeout_ms == SQLPOOL_NO_WAIT ||
            (waiter->token != NULL && SQLPOOL__LOAD_RELAXED(&waiter->token->fired) != 0))
            continue;
        if (group->bytes + waiter->job->bytes > core->config.group_bytes) break;
        sqlpool__dequeue_locked(core, waiter);
        waiter->is_taken = true;
        waiter->job->waiter = waiter;
        group->bytes += waiter->job->bytes;
        group->jobs[group->count++] = waiter->job;
    }
}

/*  Takes the next writes of the submit queue. */
static void sqlpool__take_submitted_locked(sqlpool__core *core, sqlpool__group *group) {
    int step = group->submitted_step;
    for (; step > 0 && (group->count == 0 || group->count < core->config.group_count); step--) {
        sqlpool__entry *entry = sqlpool__first_entry_locked(core);
        if (entry == NULL) return;
        if (group->count == 0) { /* the first also where nothing is grouped */
            group->is_relaxed = entry->is_relaxed;
            group->is_single = !entry->can_group;
        } else if ((group->is_relaxed && !entry->is_relaxed) || !entry->can_group ||
                   group->bytes + entry->job.bytes > core->config.group_bytes) {
            group->is_full = true; /* the order is kept: nobody passes it */
            return;
        }
        sqlpool__begin_entry_locked(core, entry);
        group->bytes += entry->job.bytes;
        group->jobs[group->count++] = &entry->job;
        if (group->is_single) return;
    }
}

/*  Adds what has come since. */
static void sqlpool__take_jobs(sqlpool__core *core, sqlpool__group *group) {
    const bool has_waiting =
        SQLPOOL__LOAD_ORDERED(&sqlpool__lane_of(core, SQLPOOL_WRITE)->waiting) != 0;
    if (group->is_full || group->is_single || (!has_waiting && group->submitted_step == 0)) return;
    sqlpool__lock(core);
    if (has_waiting && !group->is_relaxed) sqlpool__take_waiting_locked(core, group);
    if (group->submitted_step > 0) sqlpool__take_submitted_locked(core, group);
    sqlpool__unlock(core);
}

/*  The lease now works for this caller: reports, deadline and cancellation are his. */
static void sqlpool__serve(sqlpool__slot *slot, const sqlpool__request *request) {
    SQLPOOL__STORE_RELAXED(&slot->file, request->file);
    SQLPOOL__STORE_RELAXED(&slot->line, (uint32_t)request->line);
    SQLPOOL__STORE_RELAXED(&slot->tag, request->call->tag);
    SQLPOOL__STORE(&slot->token, request->call->token);
    SQLPOOL__STORE_RELAXED(&slot->interrupted, UINT64_MAX); /* of whom it served before */
    SQLPOOL__STORE_RELAXED(&slot->expired, UINT64_MAX);
    slot->lease_deadline_ns = SQLPOOL__NEVER;
    slot->waited_us = 0;
    slot->last_error.result = SQLPOOL_OK; /* of whom it served before */
    sqlpool__bound_lease(slot, request);
}

/*  It works for nobody in particular: BEGIN and COMMIT of a group are not his who was served last.
    A cancellation that has seen his token must not meet the next one's statement. */
static void sqlpool__serve_nobody(sqlpool__slot *slot) {
    if (SQLPOOL__LOAD_RELAXED(&slot->token) != NULL) {
        (void)SQLPOOL__EXCHANGE(&slot->token, (sqlpool_token *)NULL);
        sqlpool__lock(slot->core); /* cancellers hold it from the look to the interrupt */
        sqlpool__unlock(slot->core);
    }
    SQLPOOL__STORE_RELAXED(&slot->interrupted, UINT64_MAX);
    SQLPOOL__STORE_RELAXED(&slot->expired, UINT64_MAX);
    slot->lease_deadline_ns = SQLPOOL__NEVER;
    slot->lock_timeout_ms = 0;
}

static void sqlpool__finish_job(sqlpool__core *core, sqlpool__job *job, int outcome) {
    job->is_final = true;
    job->outcome = outcome;
    if (job->error != NULL) job->error->outcome = outcome;
    if (outcome == SQLPOOL_OUTCOME_COMMITTED && job->result_out != NULL)
        job->result_out->sequence = SQLPOOL__LOAD(&core->commits);
}

/*  The error of a job; a submitted one keeps a copy of its own when it has failed. */
static void sqlpool__set_job_error(sqlpool__core *core, sqlpool__job *job,
                                   const sqlpool_error *error) {
    job->result = error->result;
    if (job->error == error) return;
    if (job->error == NULL && error->result != SQLPOOL_OK)
        job->error = (sqlpool_error *)sqlpool__alloc(&core->memory, sizeof *error);
    if (job->error != NULL) *job->error = *error;
}

/*  The function of the job, and what it left open. */
static int sqlpool__write_body(sqlpool_conn *conn, void *user, int attempt) {
    sqlpool__job *job = (sqlpool__job *)user;
    sqlpool__core *core = SQLPOOL__LOAD(&conn->pool->core);
    sqlpool__slot *slot = &core->slots[conn->slot];
    char found[600];
    sqlpool__text text = sqlpool__text_into(found, sizeof found);
    unsigned before;
    int rc;
    job->attempt = attempt;
    before = (unsigned)sqlite3_total_changes(slot->db);
    rc = job->fn(conn, job->user, attempt);
    sqlpool__put_statements(slot, &text);
    if (text.length > 0) sqlpool__report_unclean(slot, found);
    if (job->result_out != NULL) /* SQLite's count wraps around */
        job->result_out->changes =
            rc == SQLPOOL_OK ? (unsigned)sqlite3_total_changes(slot->db) - before : 0;
    return rc;
}

/*  Runs the job, in the group or with a transaction of its own. */
static int sqlpool__try_job(sqlpool__slot *slot, sqlpool__job *job, sqlpool_error *error) {
    const sqlpool_call *call = job->request->call;
    const uint32_t floor = SQLPOOL__LOAD_RELAXED(&slot->floor);
    int rc;
    if (job->work != NULL)
        return slot->depth > 0 ? sqlpool__run_once(slot, job->work, error)
                               : sqlpool__run(slot, call, job->work, error);
    SQLPOOL__STORE_RELAXED(&slot->floor, (uint32_t)slot->depth + 1);
    rc = sqlpool__transact(slot, call, job->attempt + 1, sqlpool__write_body, job, error);
    SQLPOOL__STORE_RELAXED(&slot->floor, floor);
    return rc;
}

/*  May it have failed for what a neighbour did, which is not committed yet? Then it counts only
    once that is. */
static bool sqlpool__depends_on_data(const sqlpool__core *core, const sqlpool__job *job) {
    if (job->fn != NULL) return true; /* its own reasons may be among them */
    switch (sqlpool__primary(job->result)) {
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_ERROR: /* of an SQL function */
    case SQLPOOL_TOO_BIG:
        return true;
    default:
        return sqlpool__is_retryable(core, job->result);
    }
}

/*------------------------------------------------------------------------------
 * >>[I20.5] running a group                                            (private)
 *----------------------------------------------------------------------------*/

/*  What it did in a transaction that is not there, its caller must not see. */
static void sqlpool__forget_output(sqlpool__core *core, sqlpool__job *job) {
    if (job->work != NULL && job->work->rows != NULL) {
        sqlpool__buffer_free(core, (sqlpool__buffer *)job->work->rows->buffer);
        memset(job->work->rows, 0, sizeof *job->work->rows);
    }
    if (job->result_out != NULL) memset(job->result_out, 0, sizeof *job->result_out);
}

/*  As if it had not run yet. */
static void sqlpool__reset_job(sqlpool__slot *slot, sqlpool__job *job) {
    sqlpool__forget_output(slot->core, job);
    if (job->error != NULL) sqlpool__error_clear(job->error);
    if (job->has_run) SQLPOOL__TALLY(slot, replayed);
    job->result = SQLPOOL_OK;
    job->has_run = job->has_failed = false;
}

/*  By itself, in a transaction of its own, as if it had never been in a group. */
static void sqlpool__run_alone(sqlpool__slot *slot, sqlpool__job *job, sqlpool_error *scratch) {
    sqlpool__core *core = slot->core;
    sqlpool_error *error = job->error != NULL ? job->error : scratch;
    sqlpool__reset_job(slot, job);
    sqlpool__error_clear(error);
    slot->has_commit_begun = false;
    if (slot->db != NULL && slot->is_bad &&
        SQLPOOL__LOAD_RELAXED(&slot->epoch) == SQLPOOL__LOAD(&core->epoch) &&
        sqlpool__note_if_moved(slot)) { /* opened anew it would be another file */
        (void)sqlpool__refuse_moved(core, error);
        sqlpool__set_job_error(core, job, error);
        sqlpool__finish_job(core, job, SQLPOOL_OUTCOME_NOT_COMMITTED);
        return;
    }
    if (slot->db != NULL && sqlpool__is_worn(slot)) sqlpool__close_connection(slot);
    SQLPOOL__STORE_RELAXED(&slot->floor, 0u); /* events.connect_fn has the connection for itself */
    if (slot->db != NULL || sqlpool__open_connection(slot, error) == SQLPOOL_OK) {
        SQLPOOL__STORE_RELAXED(&slot->floor, 1u);
        sqlpool__serve(slot, job->request);
        (void)sqlpool__try_job(slot, job, error);
        sqlpool__serve_nobody(slot);
    }
    sqlpool__note_outcome(slot, error);
    if (job->fn != NULL && error->result != SQLPOOL_OK) sqlpool__forget_output(core, job);
    sqlpool__set_job_error(core, job, error);
    sqlpool__finish_job(core, job, error->outcome);
}

/*  Runs one job of the open transaction. */
static void sqlpool__run_in_group(sqlpool__slot *slot, sqlpool__group *group, sqlpool__job *job,
                                  bool is_first) {
    sqlpool_error *error = job->error != NULL ? job->error : &group->scratch;
    const bool has_level = group->is_careful && job->work != NULL;
    sqlpool_error ignored;
    int rc;
    sqlpool__error_clear(error);
    sqlpool__serve(slot, job->request);
    if (job->work != NULL) job->work->has_begun = false;
    rc = has_level ? sqlpool__level_begin(slot, error) : SQLPOOL_OK;
    if (rc == SQLPOOL_OK) {
        rc = sqlpool__try_job(slot, job, error);
        SQLPOOL_ASSERT(job->work == NULL || job->work->rows == NULL ||
                       (job->work->rows->flags & SQLPOOL__ROWS_LIVE) == 0);
        if (has_level && rc == SQLPOOL_OK) rc = sqlpool__level_commit(slot, error);
        if (has_level && rc != SQLPOOL_OK) (void)sqlpool__level_rollback(slot, &ignored);
    }
    sqlpool__serve_nobody(slot);
    sqlpool__set_job_error(slot->core, job, error);
    job->has_run = true;
    job->has_failed = rc != SQLPOOL_OK;
    if (!job->has_failed) return;
    job->is_alone = (job->work != NULL && job->work->has_begun) ||
                    sqlpool__is_retryable(slot->core, job->result);
    if ((is_first && !job->is_alone) || !sqlpool__depends_on_data(slot->core, job))
        sqlpool__finish_job(slot->core, job, SQLPOOL_OUTCOME_NOT_COMMITTED);
}

/*  Why no more jobs of a transaction are run. */
typedef enum sqlpool__fill_end {
    SQLPOOL__ALL_HAVE_RUN,
    SQLPOOL__ONE_STOPS,    /* jobs[at] is run by itself, and before those behind it */
    SQLPOOL__ONE_SPOILS,   /* jobs[at] may have left a part of what it did */
    SQLPOOL__ONE_HAS_ENDED /* jobs[at] has ended the transaction */
} sqlpool__fill_end;

/*  Is a foreign key left open for COMMIT to look at? A neighbour might mend it. */
static bool sqlpool__is_deferring(sqlite3 *db) {
    int now = 0, most = 0;
    return sqlite3_db_status(db, SQLITE_DBSTATUS_DEFERRED_FKS, &now, &most, 0) == SQLITE_OK &&
           now != 0;
}

/*  The transaction is open: runs jobs[from] to jobs[to - 1], of those that come meanwhile too; *at
    is the first that is not dealt with. */
static sqlpool__fill_end sqlpool__fill_group(sqlpool__slot *slot, sqlpool__group *group, int from,
                                             int to, int *at) {
    sqlpool__core *core = slot->core;
    bool is_first = true;
    for (*at = from;;) {
        for (; *at < group->count && *at < to; (*at)++) {
            sqlpool__job *job = group->jobs[*at];
            if (!job->is_final && !job->is_alone) {
                sqlpool__run_in_group(slot, group, job, is_first);
                if (sqlite3_get_autocommit(slot->db) != 0 || slot->is_bad ||
                    sqlpool__is_deferring(slot->db))
                    return SQLPOOL__ONE_HAS_ENDED;
                if (!job->has_failed) {
                    is_first = false;
                } else if (!group->is_careful && job->work != NULL && job->work->has_begun) {
                    return SQLPOOL__ONE_SPOILS;
                }
            }
            if (job->is_alone && !job->is_final && job->is_submitted) return SQLPOOL__ONE_STOPS;
        }
        if (*at == to) return SQLPOOL__ALL_HAVE_RUN;
        if (sqlpool__now(core) < group->until_ns) sqlpool__take_jobs(core, group);
        if (*at == group->count) return SQLPOOL__ALL_HAVE_RUN;
    }
}

/*  Commits what has run. False: COMMIT refuses it for something that one of them did. */
static bool sqlpool__commit_group(sqlpool__slot *slot, sqlpool__group *group, int from, int to) {
    sqlpool__core *core = slot->core;
    sqlpool_error error;
    bool is_any_inside = false, is_before = false;
    int i, grouped = 0;
    sqlpool__error_clear(&error);
    for (i = from; i < to; i++)
        is_any_inside |= group->jobs[i]->has_run && !group->jobs[i]->has_failed;
    if (!is_any_inside) {
        sqlpool__abandon_transaction(slot); /* a COMMIT would say that the disk is well */
    } else if (sqlpool__level_commit(slot, &error) != SQLPOOL_OK) {
        const bool is_refused = sqlite3_get_autocommit(slot->db) == 0 ||
                                sqlpool__primary(error.sqlite_code) == SQLITE_CONSTRAINT;
        sqlpool__note_outcome(slot, &error);
        sqlpool__abandon_transaction(slot);
        if (is_refused && error.result != SQLPOOL_TIMEOUT) return false;
    } else {
        sqlpool__note_outcome(slot, &error);
    }
    for (i = from; i < to; i++) {
        sqlpool__job *job = group->jobs[i];
        if (job->is_final || !job->has_run) continue;
        if (job->has_failed) {
            if (job->is_alone) continue;
            if (is_before &&
                error.result != SQLPOOL_OK) /* its own reason may be gone with theirs */
                sqlpool__set_job_error(core, job, &error);
            sqlpool__finish_job(core, job, SQLPOOL_OUTCOME_NOT_COMMITTED);
            continue;
        }
        is_before = true;
        if (error.result != SQLPOOL_OK) {
            sqlpool__forget_output(core, job);
            sqlpool__set_job_error(core, job, &error);
            sqlpool__finish_job(core, job, error.outcome);
        } else {
            sqlpool__finish_job(core, job, SQLPOOL_OUTCOME_COMMITTED);
            grouped++;
        }
    }
    if (grouped < 2) return true;
    SQLPOOL__TALLY(slot, groups);
    while (grouped-- > 0) SQLPOOL__TALLY(slot, grouped);
    return true;
}

#define SQLPOOL__UNDONE_MOST 3     /* then the rest is run one by one */
#define SQLPOOL__CAREFUL_GROUPS 16 /* after a statement that may have left a part */

/*  Where a transaction that begins with jobs[from] ends at the latest: halves of what was refused.
    */
static int sqlpool__part_end(const sqlpool__group *group, int from) {
    if (group->undone >= SQLPOOL__UNDONE_MOST) return from + 1;
    if (group->refused_end <= from) return SQLPOOL__GROUP_MOST;
    return from + (group->refused_end - from + 1) / 2;
}

/*  Until when this job waits for the lock of another process. */
static int64_t sqlpool__lock_end(const sqlpool__core *core, const sqlpool__group *group,
                                 const sqlpool__job *job) {
    const int timeout_ms = job->request->call->timeout_ms;
    if (job->request->deadline_ns != 0) return job->request->deadline_ns;
    if (timeout_ms == SQLPOOL_FOREVER || core->config.acquire_timeout_ms <= 0)
        return SQLPOOL__NEVER;
    return sqlpool__time_add(group->lock_since_ns,
                             core->config.acquire_timeout_ms * SQLPOOL__NS_PER_MS);
}

/*  One transaction with jobs[from] and those behind it; what comes next. */
static int sqlpool__run_part(sqlpool__slot *slot, sqlpool__group *group, int from) {
    sqlpool__core *core = slot->core;
    sqlpool__fill_end end;
    int64_t lock_ns = SQLPOOL__NEVER;
    bool is_cut; /* before acquire_timeout_ms */
    int at, i, rc;
    sqlpool__error_clear(&group->scratch);
    sqlpool__serve(slot, group->jobs[from]->request); /* who waits for the file's lock */
    if (core->config.acquire_timeout_ms > 0)
        lock_ns = sqlpool__time_add(sqlpool__now(core),
                                    core->config.acquire_timeout_ms * SQLPOOL__NS_PER_MS);
    is_cut = group->is_hasty || group->lock_ns < lock_ns;
    if (group->lock_ns != SQLPOOL__NEVER)
        slot->lease_deadline_ns =
            sqlpool__earlier(slot->lease_deadline_ns, sqlpool__earlier(lock_ns, group->lock_ns));
    if (group->is_hasty) slot->lock_timeout_ms = SQLPOOL_NO_WAIT;
    if (group->lock_since_ns == 0) group->lock_since_ns = sqlpool__now(core);
    for (i = from; i < group->count && !group->jobs[from]->is_submitted; i++) {
        if (!group->jobs[i]->is_final && !group->jobs[i]->is_submitted)
            slot->lease_deadline_ns = sqlpool__earlier(
                slot->lease_deadline_ns, sqlpool__lock_end(core, group, group->jobs[i]));
    }
    rc = sqlpool__level_begin(slot, &group->scratch);
    sqlpool__serve_nobody(slot);
    if ((rc == SQLPOOL_TIMEOUT || rc == SQLPOOL_WOULD_BLOCK) && is_cut) {
        group->is_put_back = true; /* the wait was cut short for one of them, or for who drains */
        return group->count;
    }
    if (rc != SQLPOOL_OK) {
        const sqlpool_error error = group->scratch;
        if (rc == SQLPOOL_TIMEOUT && !group->jobs[from]->is_submitted) {
            const int64_t now = sqlpool__now(core);
            bool is_any_late = false;
            for (i = from; i < group->count; i++) { /* all have waited, some long enough */
                if (group->jobs[i]->is_final || group->jobs[i]->is_submitted ||
                    sqlpool__lock_end(core, group, group->jobs[i]) > now)
                    continue;
                sqlpool__set_job_error(core, group->jobs[i], &error);
                sqlpool__finish_job(core, group->jobs[i], SQLPOOL_OUTCOME_NOT_COMMITTED);
                is_any_late = true;
            }
            if (!is_any_late) { /* statement_timeout_ms */
                sqlpool__set_job_error(core, group->jobs[from], &error);
                sqlpool__finish_job(core, group->jobs[from], SQLPOOL_OUTCOME_NOT_COMMITTED);
            }
            return from;
        }
        group->undone = SQLPOOL__UNDONE_MOST;
        if (rc == SQLPOOL_CANCELLED || sqlpool__is_retryable(core, rc)) return from;
        for (i = from; i < group->count; i++) {
            if (group->jobs[i]->is_final) continue;
            sqlpool__set_job_error(core, group->jobs[i], &error);
            sqlpool__finish_job(core, group->jobs[i], SQLPOOL_OUTCOME_NOT_COMMITTED);
        }
        return group->count;
    }
    if (slot->careful_groups > 0) group->is_careful = true;
    end = sqlpool__fill_group(slot, group, from, sqlpool__part_end(group, from), &at);
    if (end == SQLPOOL__ALL_HAVE_RUN || end == SQLPOOL__ONE_STOPS) {
        if (slot->careful_groups > 0) slot->careful_groups--;
        if (sqlpool__commit_group(slot, group, from, at)) return at;
        group->refused_end = at;
    } else {
        sqlpool__abandon_transaction(slot);
        if (end == SQLPOOL__ONE_SPOILS) {
            group->is_careful = true;
            slot->careful_groups = SQLPOOL__CAREFUL_GROUPS;
            group->jobs[at]->is_alone = at == from; /* or it is run once more, with a savepoint */
        } else {
            group->jobs[at]->is_alone = true;
            if (at > from) group->undone++;
        }
        at++;
    }
    for (i = from; i < at; i++) { /* is run again */
        if (!group->jobs[i]->is_final) sqlpool__reset_job(slot, group->jobs[i]);
    }
    return from;
}

/*------------------------------------------------------------------------------
 * >>[I20.6] leading a group, or none                                   (private)
 *----------------------------------------------------------------------------*/

/*  The sleepers wake: from here on their jobs, and what those point to, are gone. */
static void sqlpool__wake_group(sqlpool__core *core, sqlpool__group *group) {
    int i, kept = 0;
    sqlpool__lock(core);
    for (i = 0; i < group->count; i++) {
        sqlpool__waiter *waiter = group->jobs[i]->waiter;
        if (waiter == NULL) {
            group->jobs[kept++] = group->jobs[i];
            continue;
        }
        waiter->is_done = true;
        sqlpool__signal(core, &waiter->condition);
    }
    sqlpool__unlock(core);
    group->count = kept;
}

/*  Runs a group, with the writer in hand; jobs[0] is there. Afterwards the group holds those of
    its jobs that nobody slept for, with their results. Returns how many there were. */
static int sqlpool__lead(sqlpool__slot *slot, sqlpool__group *group) {
    sqlpool__core *core = slot->core;
    int at = 0;
    SQLPOOL__STORE_RELAXED(&slot->floor, 1u);
    sqlpool__serve_nobody(slot);
    while (at < group->count) {
        sqlpool__job *job = group->jobs[at];
        if (job->is_final || (job->is_alone && !job->is_submitted)) {
            at++;
        } else if (job->is_alone || group->is_single || slot->db == NULL || slot->is_bad ||
                   sqlpool__part_end(group, at) == at + 1) {
            sqlpool__run_alone(slot, job, &group->scratch);
            at++;
        } else {
            at = sqlpool__run_part(slot, group, at);
        }
    }
    for (at = 0; at < group->count; at++) {
        if (group->jobs[at]->is_final || (group->is_put_back && group->jobs[at]->is_submitted))
            continue;
        sqlpool__run_alone(slot, group->jobs[at], &group->scratch);
    }
    sqlpool__wake_group(core, group);
    SQLPOOL__STORE_RELAXED(&slot->floor, 0u);
    return at;
}

#define SQLPOOL__CONTENTION_MOST 2048 /* lone writes until it is over: some slices long */
#define SQLPOOL__YIELD_EVERY 4        /* of them */

/*  A write with the writer in hand: those that wait for it are led, or it runs plainly alone. The
    result is in the job's error. True: it is time to let other threads of this processor run. */
static bool sqlpool__run_job(sqlpool__slot *slot, const sqlpool__request *request,
                             sqlpool__job *job) {
    sqlpool__core *core = slot->core;
    uint32_t contention = SQLPOOL__LOAD_RELAXED(&core->contention);
    if (request->job != NULL &&
        SQLPOOL__LOAD_ORDERED(&sqlpool__lane_of(core, SQLPOOL_WRITE)->waiting) != 0) {
        sqlpool__group group;
        sqlpool__group_init(
            &group, 0,
            sqlpool__time_add(sqlpool__now(core), core->config.group_us * SQLPOOL__NS_PER_US));
        group.jobs[group.count++] = job;
        group.bytes = job->bytes;
        contention += (uint32_t)sqlpool__lead(slot, &group);
        sqlpool__serve(slot, request);
        SQLPOOL__STORE_RELAXED(&core->contention, contention < SQLPOOL__CONTENTION_MOST
                                                      ? contention
                                                      : (uint32_t)SQLPOOL__CONTENTION_MOST);
        return true;
    }
    (void)sqlpool__try_job(slot, job, job->error);
    sqlpool__note_outcome(slot, job->error);
    if (job->fn != NULL && job->result_out != NULL && job->error->result != SQLPOOL_OK)
        memset(job->result_out, 0, sizeof *job->result_out);
    if (job->result_out != NULL && job->error->result == SQLPOOL_OK)
        job->result_out->sequence = SQLPOOL__LOAD(&core->commits);
    if (SQLPOOL__LIKELY(contention == 0)) return false;
    SQLPOOL__STORE_RELAXED(&core->contention, --contention);
    return contention % SQLPOOL__YIELD_EVERY == 0;
}

#define SQLPOOL__YIELD_NS (5 * SQLPOOL__NS_PER_MS) /* longer than a slice: others have run */

/*  The end of a one-call lease. Who has led lets those run that it woke: it would take the writer
    again before them, and their answers wait for a time slice of the scheduler (bench W6). Where
    the processor goes to others instead (readers, other programs), and comes back only after a
    slice, that is not done again for 16 times as long. A shorter absence is the price of answers
    in time: with 200 us here, that is after every checkpoint, the 99.9th percentile of 8 writers on
    two processors was 4.2 ms instead of 1.6. And who writes alone after a group may only look
    alone: those it woke want this processor and cannot say so before they have it. Without a yield
    now and then among those calls it was 2.9 ms, with it 0.6. */
static void sqlpool__end_call(sqlpool__slot *slot, bool is_turn_over) {
    sqlpool__core *core = slot->core;
    int64_t start, end;
    if (SQLPOOL__LIKELY(!is_turn_over)) {
        (void)sqlpool__lease_end(slot);
        return;
    }
    sqlpool__go_inside(core);
    (void)sqlpool__lease_end(slot);
    start = sqlpool__now(core);
    if (start >= SQLPOOL__LOAD_RELAXED(&core->next_yield_ns)) {
        sqlpool__sleep(core, 0);
        end = sqlpool__now(core);
        if (end - start > SQLPOOL__YIELD_NS)
            SQLPOOL__STORE_RELAXED(&core->next_yield_ns,
                                   sqlpool__time_add(end, 16 * (end - start)));
    }
    sqlpool__go_outside(core);
}

/*------------------------------------------------------------------------------
 * >>[I20.7] a statement on the pool                                    (private)
 *----------------------------------------------------------------------------*/

/*  Route, acquire, run, give back unless a cursor keeps the lease. */
static int sqlpool__run_on_pool(sqlpool__core *core, sqlpool__request *request, sqlpool__job *job,
                                sqlpool__work *work, sqlpool_error *error) {
    sqlpool_conn home;
    sqlpool__slot *slot;
    bool is_turn_over = false;
    int rc;
    request->mode = sqlpool__begins_with_select(work->sql)
                        ? SQLPOOL_READ
                        : sqlpool__route(work->sql, strlen(work->sql));
    for (;;) {
        const bool is_write = request->mode == SQLPOOL_WRITE;
        if (is_write) {
            *job = sqlpool__job_of(request, work, NULL, NULL, error);
            if (sqlpool__can_group(core, work->sql, strlen(work->sql))) request->job = job;
            memset(&home, 0, sizeof home);
            home.pool = core->handle;
            home.pool_serial = core->serial;
            error->outcome = SQLPOOL_OUTCOME_NOT_COMMITTED; /* if it is refused */
        }
        rc = sqlpool__acquire(core, request, &slot, error);
        if (SQLPOOL__UNLIKELY(rc != SQLPOOL_OK)) return rc;
        if (SQLPOOL__UNLIKELY(slot ==
                              NULL)) { /* a leader has run it; the pool may be gone by now */
            if (work->rows != NULL) work->rows->conn = home;
            return error->result;
        }
        sqlpool__bound_lease(slot, request);
        work->wants_writer = false;
        if (is_write) {
            is_turn_over = sqlpool__run_job(slot, request, job);
            rc = error->result;
        } else {
            rc = sqlpool__run(slot, request->call, work, error);
        }
        if (SQLPOOL__LIKELY(!work->wants_writer) || core->config.read_only) break;
        (void)sqlpool__lease_end(slot);
        sqlpool__error_clear(error);
        request->mode = SQLPOOL_WRITE;
    }
    if (work->rows != NULL) {
        work->rows->conn = sqlpool__conn_of(slot);
        if ((work->rows->flags & SQLPOOL__ROWS_LIVE) != 0) {
            work->rows->flags |= SQLPOOL__ROWS_OWNS;
            return SQLPOOL_OK;
        }
    }
    (void)sqlpool__finish(core, error);
    sqlpool__end_call(slot, is_turn_over);
    return rc;
}

/*  A function on the pool, in a group if it may share one. */
static int sqlpool__write_on_pool(sqlpool__core *core, sqlpool__request *request, bool can_share,
                                  int64_t bytes, sqlpool_result *result, sqlpool_transaction_fn fn,
                                  void *user, sqlpool_error *error) {
    sqlpool__job job = sqlpool__job_of(request, NULL, fn, user, error);
    sqlpool__slot *slot;
    bool is_turn_over;
    int rc;
    job.bytes += bytes;
    job.result_out = result;
    if (can_share) request->job = &job;
    error->outcome = SQLPOOL_OUTCOME_NOT_COMMITTED; /* if it is refused */
    rc = sqlpool__acquire(core, request, &slot, error);
    if (rc != SQLPOOL_OK || slot == NULL) {
        request->job = NULL;
        return error->result; /* a leader may have run it; the pool may be gone by now */
    }
    sqlpool__bound_lease(slot, request);
    is_turn_over = sqlpool__run_job(slot, request, &job);
    request->job = NULL;
    rc = error->result;
    (void)sqlpool__finish(core, error);
    sqlpool__end_call(slot, is_turn_over);
    return rc;
}

/*------------------------------------------------------------------------------
 * >>[I20.8] public calls: exec, query, one value                        (public)
 *----------------------------------------------------------------------------*/

static void sqlpool__rows_clear(sqlpool_rows *rows) {
    memset(rows, 0, sizeof *rows);
}

/*  Both one-call functions: `rows` tells them apart. */
static int sqlpool__one_call(const char *file, int line, sqlpool *pool, const sqlpool_call *call,
                             sqlpool__work *work, sqlpool_error *error) {
    sqlpool__core *core;
    sqlpool__request request;
    sqlpool__job job;
    int rc;
    if (work->result != NULL) memset(work->result, 0, sizeof *work->result);
    rc = sqlpool__enter(pool, &core, error);
    if (SQLPOOL__UNLIKELY(rc != SQLPOOL_OK)) {
        if (work->rows != NULL) work->rows->result = rc;
        return rc;
    }
    rc = sqlpool__make_request(core, file, line, SQLPOOL_READ, call, &request, error);
    if (SQLPOOL__UNLIKELY(rc == SQLPOOL_OK && work->sql == NULL))
        rc = SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "sql is NULL");
    if (SQLPOOL__UNLIKELY(rc != SQLPOOL_OK)) {
        (void)sqlpool__finish(core, error);
    } else {
        (void)sqlpool__run_on_pool(core, &request, &job, work, error);
    }
    if (work->rows != NULL) work->rows->result = error->result;
    return error->result;
}

static sqlpool__work sqlpool__work_of(const char *sql, const sqlpool_value *args, int count,
                                      sqlpool_result *result, sqlpool_rows *rows) {
    sqlpool__work work;
    work.has_begun = false;
    work.sql = sql;
    work.args = args;
    work.count = count;
    work.result = result;
    work.rows = rows;
    work.wants_writer = false;
    return work;
}

SQLPOOL_API int sqlpool_exec_at(const char *file, int line, sqlpool *pool, const sqlpool_call *call,
                                sqlpool_result *result, const char *sql, const sqlpool_value *args,
                                int count, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__work work = sqlpool__work_of(sql, args, count, result, NULL);
    error = sqlpool__error_or(error, &local);
    return sqlpool__one_call(file, line, pool, call, &work, error);
}

SQLPOOL_API int sqlpool_write_at(const char *file, int line, sqlpool *pool,
                                 const sqlpool_call *call, sqlpool_result *result,
                                 sqlpool_transaction_fn fn, void *user, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__core *core;
    sqlpool__request request;
    int rc;
    error = sqlpool__error_or(error, &local);
    if (result != NULL) memset(result, 0, sizeof *result);
    rc = sqlpool__enter(pool, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool__make_request(core, file, line, SQLPOOL_WRITE, call, &request, error);
    if (rc == SQLPOOL_OK && fn == NULL) rc = SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "fn is NULL");
    if (rc != SQLPOOL_OK) return sqlpool__finish(core, error);
    return sqlpool__write_on_pool(core, &request, sqlpool__can_share(core), 0, result, fn, user,
                                  error);
}

SQLPOOL_API int sqlpool_query_at(const char *file, int line, sqlpool *pool,
                                 const sqlpool_call *call, sqlpool_rows *rows, const char *sql,
                                 const sqlpool_value *args, int count, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__work work = sqlpool__work_of(sql, args, count, NULL, rows);
    error = sqlpool__error_or(error, &local);
    if (SQLPOOL__UNLIKELY(rows == NULL)) {
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "rows is NULL: pass the address of a sqlpool_rows");
    }
    sqlpool__rows_clear(rows);
    return sqlpool__one_call(file, line, pool, call, &work, error);
}

/*  Both lease functions. */
static int sqlpool__lease_call(sqlpool_conn *conn, sqlpool__work *work, sqlpool_error *error) {
    sqlpool__slot *slot;
    int rc;
    if (work->result != NULL) memset(work->result, 0, sizeof *work->result);
    rc = sqlpool__enter_lease(conn, &slot, error);
    if (SQLPOOL__UNLIKELY(rc != SQLPOOL_OK)) {
        if (work->rows != NULL) work->rows->result = rc;
        return rc;
    }
    if (SQLPOOL__UNLIKELY(work->sql == NULL)) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "sql is NULL");
    } else {
        (void)sqlpool__run(slot, &sqlpool__default_call, work, error);
    }
    if (SQLPOOL__UNLIKELY(error->result != SQLPOOL_OK)) slot->last_error = *error;
    if (work->rows != NULL) {
        work->rows->conn = *conn;
        work->rows->result = error->result;
    }
    sqlpool__park(slot);
    return sqlpool__finish(slot->core, error);
}

SQLPOOL_API int sqlpool_conn_exec(sqlpool_conn *conn, const char *sql, const sqlpool_value *args,
                                  int count, sqlpool_result *result, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__work work = sqlpool__work_of(sql, args, count, result, NULL);
    error = sqlpool__error_or(error, &local);
    return sqlpool__lease_call(conn, &work, error);
}

SQLPOOL_API int sqlpool_conn_query(sqlpool_conn *conn, sqlpool_rows *rows, const char *sql,
                                   const sqlpool_value *args, int count, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__work work = sqlpool__work_of(sql, args, count, NULL, rows);
    error = sqlpool__error_or(error, &local);
    if (SQLPOOL__UNLIKELY(rows == NULL)) {
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "rows is NULL: pass the address of a sqlpool_rows");
    }
    sqlpool__rows_clear(rows);
    return sqlpool__lease_call(conn, &work, error);
}

/*------------------------------------------------------------------------------
 * >>[I20.9] rows                                                        (public)
 *----------------------------------------------------------------------------*/

/*  The statement of a cursor with ROWS_LIVE if pool, lease and statement are still what they were,
    else NULL. The slot may be looked at only while its pool is open. */
static inline sqlpool__stmt *sqlpool__rows_stmt(const sqlpool_rows *rows, sqlpool__slot **out) {
    sqlpool__stmt *stmt = (sqlpool__stmt *)rows->statement;
    sqlpool__slot *slot = (sqlpool__slot *)rows->slot;
    *out = slot;
#ifdef SQLPOOL_NO_THREADS
    if (sqlpool__is_forked()) return NULL; /* nothing else marks the handles in a child */
#endif
    if (SQLPOOL__UNLIKELY(SQLPOOL__LOAD(&rows->conn.pool->alive) != rows->conn.pool_serial ||
                          SQLPOOL__LOAD_ORDERED(&slot->word) !=
                              sqlpool__word(rows->conn.lease, SQLPOOL__LEASED)))
        return NULL;
    return SQLPOOL__LIKELY(stmt->serial == rows->serial) ? stmt : NULL;
}

/*  A live cursor is over: statement back to the cache, own lease back to the pool. */
static void sqlpool__rows_end(sqlpool_rows *rows, sqlpool__slot *slot, sqlpool__stmt *stmt) {
    const bool owns = (rows->flags & SQLPOOL__ROWS_OWNS) != 0;
    rows->flags = 0;
    rows->statement = NULL;
    sqlpool__stmt_put(slot, stmt);
    sqlpool__disarm(slot);
    if (owns) {
        (void)sqlpool__lease_end(slot);
    } else {
        sqlpool__park(slot);
    }
}

/*  There is no further row. */
static SQLPOOL__NOINLINE bool sqlpool__rows_stop(sqlpool_rows *rows, int rc) {
    sqlpool__slot *slot = (sqlpool__slot *)rows->slot;
    sqlpool__stmt *stmt = (sqlpool__stmt *)rows->statement;
    rows->flags &= ~(uint32_t)SQLPOOL__ROWS_ON_ROW;
    if (rc == SQLITE_DONE) {
        sqlpool__rows_end(rows, slot, stmt);
    } else { /* the message is read by close; until then the lease stays */
        rows->flags |= SQLPOOL__ROWS_FAILED;
        sqlpool__error_clear(&slot->cursor_error);
        rows->result = sqlpool__statement_failed(slot, rc, stmt->sql, &slot->cursor_error);
        slot->cursor_failed = stmt;
        if (slot->in_use.next == &stmt->link && slot->in_use.prev == &stmt->link)
            sqlpool__unpin(slot); /* it may stay unclosed for long */
    }
    return false;
}

/*  Rows of RETURNING, which wait in memory. */
static SQLPOOL__NOINLINE bool sqlpool__rows_next_buffered(sqlpool_rows *rows) {
    const sqlpool__buffer *buffer = (const sqlpool__buffer *)rows->buffer;
    if ((rows->flags & SQLPOOL__ROWS_ON_ROW) != 0) rows->position++;
    rows->flags |= SQLPOOL__ROWS_ON_ROW;
    if ((size_t)rows->position * (size_t)buffer->column_count < buffer->count) return true;
    rows->flags &= ~(uint32_t)SQLPOOL__ROWS_ON_ROW;
    rows->position = INT32_MAX; /* stays past the end */
    return false;
}

SQLPOOL_API bool sqlpool_rows_next(sqlpool_rows *rows) {
    sqlpool__slot *slot;
    sqlpool__stmt *stmt;
    int rc;
    if (rows == NULL) return false;
    if (SQLPOOL__UNLIKELY((rows->flags & (SQLPOOL__ROWS_LIVE | SQLPOOL__ROWS_FAILED)) !=
                          SQLPOOL__ROWS_LIVE)) {
        return (rows->flags & SQLPOOL__ROWS_BUFFERED) != 0 && sqlpool__rows_next_buffered(rows);
    }
    stmt = sqlpool__rows_stmt(rows, &slot);
    if (SQLPOOL__UNLIKELY(stmt == NULL || !sqlpool__is_mine(slot))) {
        if (sqlpool__is_forked()) return false; /* close says so */
        rows->result = SQLPOOL_MISUSE;          /* its lease ended, or another thread calls */
        if (stmt == NULL) rows->flags = 0;
        return false;
    }
    if ((rows->flags & SQLPOOL__ROWS_PENDING) != 0) {
        rows->flags = (rows->flags & ~(uint32_t)SQLPOOL__ROWS_PENDING) | SQLPOOL__ROWS_ON_ROW;
        return true;
    }
    if (SQLPOOL__UNLIKELY(rows->deadline_ns != SQLPOOL__LOAD_RELAXED(&slot->deadline_ns)))
        sqlpool__arm(slot, rows->deadline_ns);
    rc = sqlite3_step(stmt->handle); /* an interrupt stays pending while it is on a row */
    return SQLPOOL__LIKELY(rc == SQLITE_ROW) ? true : sqlpool__rows_stop(rows, rc);
}

SQLPOOL_API int sqlpool_rows_close(sqlpool_rows *rows, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__slot *slot = NULL;
    sqlpool__stmt *stmt;
    int rc;
    if (rows != NULL && rows->flags == 0 && rows->result != SQLPOOL_OK) {
        rows->column_count = 0;
        return rows->result; /* it was told already: the caller's error still says it better */
    }
    error = sqlpool__error_or(error, &local);
    if (rows == NULL) return SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "rows is NULL");
    rows->column_count = 0;
    if (rows->flags != 0 && sqlpool__is_forked()) {
        rows->flags = 0;
        rows->result = SQLPOOL_FORKED;
    }
    if ((rows->flags & SQLPOOL__ROWS_BUFFERED) != 0) {
        sqlpool__core *core = SQLPOOL__LOAD(&rows->conn.pool->core);
        if (core != NULL && core->serial == rows->conn.pool_serial)
            sqlpool__buffer_free(core, (sqlpool__buffer *)rows->buffer);
        rows->buffer = NULL;
        rows->flags = 0;
    }
    if ((rows->flags & SQLPOOL__ROWS_LIVE) != 0) {
        sqlpool__core *core;
        stmt = sqlpool__rows_stmt(rows, &slot);
        if (stmt == NULL) { /* an own lease cannot end before its cursor but by misuse */
            rows->flags = 0;
            rows->result = SQLPOOL_MISUSE;
            return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                                 "the lease of this cursor ended before the cursor was closed, or "
                                 "an interrupt of the lease ended it");
        }
        core = slot->core;
        if (!sqlpool__is_mine(slot)) {
            (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "the cursor belongs to another thread");
            return sqlpool__finish(core, error);
        }
        if ((rows->flags & SQLPOOL__ROWS_FAILED) != 0) {
            if (slot->cursor_failed == stmt) {
                *error = slot->cursor_error;
            } else { /* two cursors of one lease failed, and this is not the later one */
                (void)SQLPOOL__FAIL(error, rows->result, "%s", sqlpool_result_text(rows->result));
            }
            (void)sqlpool__finish(core, error);
            sqlpool__rows_end(rows, slot, stmt);
            return error->result;
        }
        /* on a row: had sqlite3_column_...() no memory? */
        rc = (rows->flags & SQLPOOL__ROWS_ON_ROW) != 0 ? sqlite3_reset(stmt->handle) : SQLITE_OK;
        if (SQLPOOL__UNLIKELY(rc != SQLITE_OK)) {
            rows->result = sqlpool__statement_failed(slot, rc, stmt->sql, error);
            (void)sqlpool__finish(core, error);
            sqlpool__rows_end(rows, slot, stmt);
            return error->result;
        }
        sqlpool__rows_end(rows, slot, stmt);
    }
    if (rows->result != SQLPOOL_OK) {
        (void)SQLPOOL__FAIL(error, rows->result, "%s", sqlpool_result_text(rows->result));
    }
    return rows->result;
}

static inline bool sqlpool__rows_has(const sqlpool_rows *rows, int column, unsigned kind) {
    return rows != NULL &&
           (rows->flags & (kind | SQLPOOL__ROWS_ON_ROW)) == (kind | SQLPOOL__ROWS_ON_ROW) &&
           (unsigned)column < (unsigned)rows->column_count;
}

/*  The statement to read a column of a live cursor from; NULL: none, or the cursor is buffered. */
static inline sqlite3_stmt *sqlpool__rows_live(const sqlpool_rows *rows, int column) {
    sqlpool__slot *slot = NULL;
    const sqlpool__stmt *stmt;
    if (!sqlpool__rows_has(rows, column, SQLPOOL__ROWS_LIVE)) return NULL;
    stmt = sqlpool__rows_stmt(rows, &slot);
    return stmt != NULL ? stmt->handle : NULL;
}

/*  The value of a buffered cursor; NULL: none, or the cursor is live. */
static sqlite3_value *sqlpool__rows_cell(const sqlpool_rows *rows, int column) {
    const sqlpool__buffer *buffer;
    if (!sqlpool__rows_has(rows, column, SQLPOOL__ROWS_BUFFERED)) return NULL;
    buffer = (const sqlpool__buffer *)rows->buffer;
    return buffer->cells[(size_t)rows->position * (size_t)buffer->column_count + (size_t)column];
}

#define SQLPOOL__ROWS_READ(type, suffix, none) \
    sqlite3_stmt *handle = sqlpool__rows_live(rows, column); \
    sqlite3_value *cell; \
    if (SQLPOOL__LIKELY(handle != NULL)) return (type)sqlite3_column_##suffix(handle, column); \
    cell = sqlpool__rows_cell(rows, column); \
    return cell != NULL ? (type)sqlite3_value_##suffix(cell) : (none)

SQLPOOL_API int64_t sqlpool_rows_int64(sqlpool_rows *rows, int column) {
    SQLPOOL__ROWS_READ(int64_t, int64, 0);
}
SQLPOOL_API double sqlpool_rows_double(sqlpool_rows *rows, int column) {
    SQLPOOL__ROWS_READ(double, double, 0.0);
}
SQLPOOL_API const char *sqlpool_rows_text(sqlpool_rows *rows, int column) {
    SQLPOOL__ROWS_READ(const char *, text, NULL);
}
SQLPOOL_API const void *sqlpool_rows_blob(sqlpool_rows *rows, int column) {
    SQLPOOL__ROWS_READ(const void *, blob, NULL);
}
SQLPOOL_API size_t sqlpool_rows_bytes(sqlpool_rows *rows, int column) {
    SQLPOOL__ROWS_READ(size_t, bytes, 0);
}
static int sqlpool__rows_type(sqlpool_rows *rows, int column) {
    SQLPOOL__ROWS_READ(int, type, SQLITE_NULL);
}
SQLPOOL_API sqlpool_type sqlpool_rows_type(sqlpool_rows *rows, int column) {
    switch (sqlpool__rows_type(rows, column)) {
    case SQLITE_INTEGER:
        return SQLPOOL_TYPE_INT64;
    case SQLITE_FLOAT:
        return SQLPOOL_TYPE_DOUBLE;
    case SQLITE_TEXT:
        return SQLPOOL_TYPE_TEXT;
    case SQLITE_BLOB:
        return SQLPOOL_TYPE_BLOB;
    default:
        return SQLPOOL_TYPE_NULL;
    }
}
SQLPOOL_API bool sqlpool_rows_is_null(sqlpool_rows *rows, int column) {
    return sqlpool_rows_type(rows, column) == SQLPOOL_TYPE_NULL;
}
SQLPOOL_API sqlpool_value sqlpool_rows_value(sqlpool_rows *rows, int column) {
    sqlpool_value value = sqlpool_value_null(NULL);
    switch (sqlpool_rows_type(rows, column)) {
    case SQLPOOL_TYPE_INT64:
        value = sqlpool_value_int64(sqlpool_rows_int64(rows, column));
        break;
    case SQLPOOL_TYPE_DOUBLE:
        value = sqlpool_value_double(sqlpool_rows_double(rows, column));
        break;
    case SQLPOOL_TYPE_TEXT: {
        const char *text = sqlpool_rows_text(rows, column);
        value = sqlpool_value_text_n(text, sqlpool_rows_bytes(rows, column));
        break;
    }
    case SQLPOOL_TYPE_BLOB: {
        const void *blob = sqlpool_rows_blob(rows, column);
        value = sqlpool_value_blob(blob, sqlpool_rows_bytes(rows, column));
        break;
    }
    default:
        break;
    }
    return value;
}
SQLPOOL_API int sqlpool_rows_column_count(sqlpool_rows *rows) {
    return rows != NULL ? rows->column_count : 0;
}
SQLPOOL_API const char *sqlpool_rows_name(sqlpool_rows *rows, int column) {
    sqlpool__slot *slot = NULL;
    const sqlpool__stmt *stmt;
    if (rows == NULL || column < 0 || column >= rows->column_count) return NULL;
    if ((rows->flags & SQLPOOL__ROWS_BUFFERED) != 0)
        return ((const sqlpool__buffer *)rows->buffer)->names[column];
    if ((rows->flags & SQLPOOL__ROWS_LIVE) == 0) return NULL;
    stmt = sqlpool__rows_stmt(rows, &slot);
    return stmt != NULL ? sqlite3_column_name(stmt->handle, column) : NULL;
}

/*------------------------------------------------------------------------------
 * >>[I20.10] one value                                                   (public)
 *----------------------------------------------------------------------------*/

/*  Query and stand on the first row; NOT_FOUND when there is none. The caller closes. */
static int sqlpool__first_row(const char *file, int line, sqlpool *pool, sqlpool_rows *rows,
                              const char *sql, const sqlpool_value *args, int count,
                              sqlpool_error *error) {
    const int rc = sqlpool_query_at(file, line, pool, NULL, rows, sql, args, count, error);
    if (rc != SQLPOOL_OK) return rc;
    if (sqlpool_rows_next(rows)) return SQLPOOL_OK;
    if (sqlpool_rows_close(rows, error) != SQLPOOL_OK) return error->result;
    return SQLPOOL__FAIL(error, SQLPOOL_NOT_FOUND, "the query gave no row: %.200s", sql);
}

/*  The end of a query that went well so far; `error` keeps its tries. */
static int sqlpool__close_row(sqlpool_rows *rows, sqlpool_error *error) {
    sqlpool_error ended;
    const int rc = sqlpool_rows_close(rows, &ended);
    if (rc != SQLPOOL_OK) *error = ended;
    return rc;
}

SQLPOOL_API int sqlpool_query_row_at(const char *file, int line, sqlpool *pool, sqlpool_row_fn fn,
                                     void *user, const char *sql, const sqlpool_value *args,
                                     int count, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool_rows rows;
    int rc;
    error = sqlpool__error_or(error, &local);
    if (fn == NULL) return SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "fn is NULL");
    rc = sqlpool__first_row(file, line, pool, &rows, sql, args, count, error);
    if (rc != SQLPOOL_OK) return rc;
    rc = fn(&rows, user);
    if (sqlpool__close_row(&rows, error) != SQLPOOL_OK) return error->result;
    if (rc != SQLPOOL_OK) {
        (void)SQLPOOL__FAIL(error, rc, "the row function returned %d (%s)", rc,
                            sqlpool_result_name(rc));
    }
    return rc;
}

SQLPOOL_API int sqlpool_query_int64_at(const char *file, int line, sqlpool *pool, int64_t *value,
                                       const char *sql, const sqlpool_value *args, int count,
                                       sqlpool_error *error) {
    sqlpool_error local;
    sqlpool_rows rows;
    error = sqlpool__error_or(error, &local);
    if (value == NULL) return SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "value is NULL");
    *value = 0;
    if (sqlpool__first_row(file, line, pool, &rows, sql, args, count, error) != SQLPOOL_OK)
        return error->result;
    *value = sqlpool_rows_int64(&rows, 0);
    return sqlpool__close_row(&rows, error);
}

SQLPOOL_API int sqlpool_query_double_at(const char *file, int line, sqlpool *pool, double *value,
                                        const char *sql, const sqlpool_value *args, int count,
                                        sqlpool_error *error) {
    sqlpool_error local;
    sqlpool_rows rows;
    error = sqlpool__error_or(error, &local);
    if (value == NULL) return SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "value is NULL");
    *value = 0.0;
    if (sqlpool__first_row(file, line, pool, &rows, sql, args, count, error) != SQLPOOL_OK)
        return error->result;
    *value = sqlpool_rows_double(&rows, 0);
    return sqlpool__close_row(&rows, error);
}

SQLPOOL_API int sqlpool_query_text_at(const char *file, int line, sqlpool *pool, char *buffer,
                                      size_t buffer_bytes, const char *sql,
                                      const sqlpool_value *args, int count, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool_rows rows;
    size_t bytes, kept;
    const char *text;
    error = sqlpool__error_or(error, &local);
    if (buffer == NULL || buffer_bytes == 0) {
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "buffer is NULL or has no room for the terminator");
    }
    buffer[0] = '\0';
    if (sqlpool__first_row(file, line, pool, &rows, sql, args, count, error) != SQLPOOL_OK)
        return error->result;
    text = sqlpool_rows_text(&rows, 0);
    bytes = text != NULL ? sqlpool_rows_bytes(&rows, 0) : 0;
    kept = bytes < buffer_bytes ? bytes : buffer_bytes - 1;
    while (kept < bytes && kept > 0 && ((unsigned char)text[kept] & 0xc0) == 0x80)
        kept--; /* not inside a character */
    if (text != NULL) memcpy(buffer, text, kept);
    buffer[kept] = '\0';
    if (sqlpool__close_row(&rows, error) != SQLPOOL_OK) return error->result;
    if (kept == bytes) return SQLPOOL_OK;
    return SQLPOOL__FAIL(error, SQLPOOL_TOO_BIG, "the text has %llu bytes, the buffer %llu",
                         (unsigned long long)bytes, (unsigned long long)buffer_bytes);
}

/*------------------------------------------------------------------------------
 * >>[I20.11] scripts                                                     (public)
 *----------------------------------------------------------------------------*/

/*  Runs the statements one after the other; the offset of an error counts from the script's start.
    */
static int sqlpool__run_script(sqlpool__slot *slot, const char *sql, size_t bytes,
                               sqlpool_error *error) {
    const char *at = sql, *const end = sql + bytes;
    while ((at = sqlpool__find_statement(at, end)) != NULL) {
        sqlite3_stmt *handle;
        const char *tail = NULL;
        int rc = sqlpool__prepare(slot, at, (size_t)(end - at), 0, &handle, &tail, error);
        SQLPOOL__TALLY(slot, statements);
        if (rc == SQLPOOL_OK) rc = sqlpool__statement_begin(slot, error);
        if (rc == SQLPOOL_OK && sqlite3_bind_parameter_count(handle) > 0) {
            rc = SQLPOOL__FAIL(error, SQLPOOL_ARGUMENTS,
                               "a script has no parameters: use sqlpool_exec()");
        }
        if (rc == SQLPOOL_OK) {
            do {
                rc = sqlite3_step(handle);
            } while (rc == SQLITE_ROW);
            rc = rc == SQLITE_DONE ? SQLPOOL_OK : sqlpool__statement_failed(slot, rc, at, error);
        }
        (void)sqlite3_finalize(handle);
        sqlpool__disarm(slot);
        if (rc != SQLPOOL_OK) {
            error->sql_offset = (int)(at - sql) + (error->sql_offset > 0 ? error->sql_offset : 0);
            return rc;
        }
        at = tail;
    }
    return SQLPOOL_OK;
}

typedef struct sqlpool__script {
    const char *sql;
    size_t bytes;
    bool is_terminated; /* a NUL follows */
    sqlpool_error *error;
} sqlpool__script;

static int sqlpool__script_body(sqlpool_conn *conn, void *user, int attempt) {
    const sqlpool__script *script = (const sqlpool__script *)user;
    sqlpool__core *core = SQLPOOL__LOAD(&conn->pool->core);
    sqlpool__slot *slot = &core->slots[conn->slot];
    char *copy;
    int rc;
    (void)attempt;
    if (script->is_terminated)
        return sqlpool__run_script(slot, script->sql, script->bytes, script->error);
    copy = (char *)sqlpool__alloc(&core->memory, script->bytes + 1);
    if (copy == NULL)
        return SQLPOOL__FAIL(script->error, SQLPOOL_NOMEM, "no memory to copy the script");
    memcpy(copy, script->sql, script->bytes);
    copy[script->bytes] = '\0';
    rc = sqlpool__run_script(slot, copy, script->bytes, script->error);
    sqlpool__free(&core->memory, copy, script->bytes + 1);
    return rc;
}

static int sqlpool__check_script(const char *sql, int64_t *bytes, sqlpool_error *error) {
    const char *nul;
    if (sql == NULL || *bytes < -1)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             sql == NULL ? "sql is NULL" : "bytes is below -1");
    if (*bytes < 0) *bytes = (int64_t)strlen(sql);
    if (*bytes > INT32_MAX - 1)
        return SQLPOOL__FAIL(error, SQLITE_TOOBIG, "the script has more than 2 GiB");
    nul = (const char *)memchr(sql, 0, (size_t)*bytes);
    if (nul == NULL) return SQLPOOL_OK;
    (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                        "the script holds a NUL at byte %lld; SQLite would ignore the rest",
                        (long long)(nul - sql));
    error->sql_offset = (int)(nul - sql);
    return SQLPOOL_MISUSE;
}

SQLPOOL_API int sqlpool_script_at(const char *file, int line, sqlpool *pool, const char *sql,
                                  int64_t bytes, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__core *core;
    sqlpool__request request;
    sqlpool__script script;
    const bool is_terminated = bytes == -1;
    int rc;
    error = sqlpool__error_or(error, &local);
    rc = sqlpool__enter(pool, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    if (sqlpool__check_script(sql, &bytes, error) != SQLPOOL_OK)
        return sqlpool__finish(core, error);
    script.sql = sql;
    script.is_terminated = is_terminated;
    script.bytes = (size_t)bytes;
    script.error = error;
    rc = sqlpool__make_request(core, file, line, SQLPOOL_WRITE, NULL, &request, error);
    if (rc != SQLPOOL_OK) return sqlpool__finish(core, error);
    return sqlpool__write_on_pool(core, &request, sqlpool__can_group(core, sql, script.bytes),
                                  bytes, NULL, sqlpool__script_body, &script, error);
}

SQLPOOL_API int sqlpool_conn_script(sqlpool_conn *conn, const char *sql, int64_t bytes,
                                    sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__slot *slot;
    sqlpool__script script;
    const bool is_terminated = bytes == -1;
    int rc;
    error = sqlpool__error_or(error, &local);
    rc = sqlpool__enter_conn(conn, &slot, error);
    if (rc != SQLPOOL_OK) return rc;
    if (sqlpool__check_script(sql, &bytes, error) != SQLPOOL_OK)
        return sqlpool__finish(slot->core, error);
    script.sql = sql;
    script.is_terminated = is_terminated;
    script.bytes = (size_t)bytes;
    script.error = error;
    return sqlpool_conn_transaction(conn, sqlpool__script_body, &script, error);
}

/*==============================================================================
 * >>[I21] SUBMIT: writes that nobody waits for                         (private)
 *==============================================================================
    A submitted write is copied into the queue (I20.3). One thread at a time, the *drainer*, takes
    the writer, leads a group (I20.4) with the head of the queue, gives the writer back, and only
    then tells: done_fn, tickets, room. It is a thread of the pool's own, begun by the first
    submission, or without threads whoever is in sqlpool_tick(), _ticket_wait(), _flush(), _close()
    or waits for room. Between two groups the writer's queue has its turn, so that submissions do
    not hold up those who wait; and those who wait are in the drainer's groups as well.

    The order of the queue is the order of commits: a group takes from its head only, what ends a
    group early or has to be repeated is repeated before anything behind it, and what cannot be
    grouped is a group of one.

    A *relaxed* group, all of whose members agreed, commits with synchronous NORMAL where the pool
    has FULL. The PRAGMA cannot be changed in a transaction, so it is set and restored around the
    group; a connection that does not take it back is closed. */

static const sqlpool_call sqlpool__no_wait_call = {SQLPOOL_NO_WAIT, 0, 0, NULL, NULL};

static bool sqlpool__can_relax(const sqlpool__core *core) {
    return core->is_wal && sqlpool__is_full(core);
}

/*  Commits without a sync from here on, or with it again. */
static void sqlpool__relax(sqlpool__slot *slot, bool is_relaxed) {
    const int level = is_relaxed                                                    ? 1
                      : slot->core->config.synchronous == SQLPOOL_SYNCHRONOUS_EXTRA ? 3
                                                                                    : 2;
    int64_t granted = -1;
    if (slot->db == NULL || slot->is_relaxed == is_relaxed) return; /* opened anew meanwhile */
    if (sqlpool__set_pragma(slot, "synchronous", level, &granted) == SQLITE_OK &&
        granted == level) {
        slot->is_relaxed = is_relaxed;
    } else if (is_relaxed) {
        slot->is_relaxed = true; /* it may be: set back all the same */
    } else {
        slot->is_bad = true;
    }
}

/*  Everybody who asks hears of these entries, and those that nobody asks for are free again. */
static void sqlpool__tell_done(sqlpool__core *core, sqlpool__job **jobs, int count) {
    sqlpool__link unasked;
    int i;
    for (i = 0; i < count; i++) {
        sqlpool__entry *entry = sqlpool__entry_of_job(jobs[i]);
        sqlpool_error error;
        if (entry->is_unasked && entry->job.result != SQLPOOL_OK) {
            sqlpool__entry_error(entry, &error);
            (void)sqlpool__finish(core, &error);
        }
        if (entry->done_fn == NULL) continue;
        sqlpool__entry_error(entry, &error);
        SQLPOOL__STORE(&core->done_since_ns, sqlpool__now(core));
        entry->done_fn(entry->done_user, &entry->result, &error);
    }
    SQLPOOL__STORE(&core->done_since_ns, (int64_t)0);
    sqlpool__list_init(&unasked);
    sqlpool__lock(core);
    for (i = 0; i < count; i++) {
        sqlpool__entry *entry = sqlpool__entry_of_job(jobs[i]);
        entry->state = SQLPOOL__ENTRY_DONE;
        if (entry->sleeper != NULL) sqlpool__signal(core, entry->sleeper);
        if (!entry->has_ticket) sqlpool__list_insert_before(&unasked, &entry->link);
    }
    if (!sqlpool__list_is_empty(&unasked)) {
        sqlpool__link *link;
        sqlpool__unlock(core);
        for (link = unasked.next; link != &unasked; link = link->next)
            sqlpool__empty_entry(core, sqlpool__entry_of_link(link));
        sqlpool__lock(core);
    }
    while (!sqlpool__list_is_empty(&unasked)) {
        sqlpool__entry *entry = sqlpool__entry_of_link(unasked.next);
        sqlpool__list_remove(&entry->link);
        sqlpool__free_entry_locked(core, entry);
    }
    core->running_number = 0; /* a flush finds room as well */
    if (core->room_sleepers > 0) sqlpool__signal(core, &core->room_condition);
    sqlpool__unlock(core);
}

/*  The writer is not to be had, and will not be: all that wait fail with that; or those that are
    too late. */
static void sqlpool__fail_submitted(sqlpool__core *core, const sqlpool_error *error,
                                    bool only_late) {
    uint64_t last;
    sqlpool__lock(core);
    last = core->submit_number; /* those that come now were not meant */
    sqlpool__unlock(core);
    for (;;) {
        sqlpool__job *jobs[SQLPOOL__GROUP_MOST];
        sqlpool__link *link, *next;
        const int64_t now = sqlpool__now(core);
        int count = 0, i;
        sqlpool__lock(core);
        for (link = only_late && core->entries_timed == 0 ? &core->entries_queued
                                                          : core->entries_queued.next;
             link != &core->entries_queued && count < SQLPOOL__GROUP_MOST; link = next) {
            sqlpool__entry *entry = sqlpool__entry_of_link(link);
            next = link->next;
            if (entry->number > last) break;
            if (only_late && (entry->request.deadline_ns == 0 || entry->request.deadline_ns > now))
                continue;
            sqlpool__begin_entry_locked(core, entry);
            jobs[count++] = &entry->job;
        }
        sqlpool__unlock(core);
        if (count == 0) return;
        for (i = 0; i < count; i++) {
            sqlpool__set_job_error(core, jobs[i], error);
            sqlpool__finish_job(core, jobs[i], SQLPOOL_OUTCOME_NOT_COMMITTED);
        }
        sqlpool__tell_done(core, jobs, count);
    }
}

/*  Another process keeps the lock: what has no answer yet is the head of the queue again. */
static void sqlpool__put_back(sqlpool__core *core, sqlpool__group *group) {
    int i, kept = 0;
    sqlpool__lock(core);
    for (i = group->count; i-- > 0;) {
        sqlpool__entry *entry = sqlpool__entry_of_job(group->jobs[i]);
        if (group->jobs[i]->is_final) continue;
        entry->state = SQLPOOL__ENTRY_QUEUED;
        sqlpool__list_insert_before(core->entries_queued.next, &entry->link);
        core->entries_queued_count++;
        if (entry->request.deadline_ns != 0) core->entries_timed++;
        group->jobs[i] = NULL;
    }
    core->running_number = 0;
    for (i = 0; i < group->count; i++) {
        if (group->jobs[i] == NULL) continue;
        group->jobs[kept] = group->jobs[i];
        if (kept++ == 0) core->running_number = sqlpool__entry_of_job(group->jobs[0])->number;
    }
    group->count = kept;
    sqlpool__unlock(core);
}

/*  One group with the writer in hand, which goes back. */
static void sqlpool__drain_held(sqlpool__core *core, sqlpool__slot *slot, bool can_wait, int step,
                                int64_t stop_ns) {
    const int64_t until_ns =
        sqlpool__time_add(sqlpool__now(core), core->config.group_us * SQLPOOL__NS_PER_US);
    sqlpool__group group;
    sqlpool__group_init(&group, step, sqlpool__earlier(until_ns, stop_ns));
    sqlpool__lock(core);
    sqlpool__take_submitted_locked(core, &group);
    sqlpool__unlock(core);
    group.is_hasty = !can_wait;
    if (group.count > 0) {
        int i;
        if (can_wait) group.lock_ns = stop_ns;
        for (i = 0; i < group.count; i++) {
            const int64_t deadline = group.jobs[i]->request->deadline_ns;
            if (deadline != 0) group.lock_ns = sqlpool__earlier(group.lock_ns, deadline);
        }
        if (group.is_relaxed) sqlpool__relax(slot, true);
        sqlpool__lead(slot, &group);
        sqlpool__relax(slot, false);
    }
    if (group.is_put_back) slot->trouble = 0; /* it is tried again: no failure yet */
    (void)sqlpool__lease_end(slot);
    if (group.is_put_back) sqlpool__put_back(core, &group);
    if (group.count > 0) sqlpool__tell_done(core, group.jobs, group.count);
    if (group.is_put_back) {
        sqlpool_error error;
        sqlpool__error_clear(&error);
        (void)SQLPOOL__FAIL(&error, SQLPOOL_TIMEOUT, "the deadline passed before it could begin");
        sqlpool__fail_submitted(core, &error, true);
    }
}

#define SQLPOOL__LATE_NS \
    (50 * SQLPOOL__NS_PER_MS) /* how often deadlines in the queue are looked at */

/*  Takes the writer and runs one group. OK also when the writer is not free, or what waits has
    failed; the result is for who drains on its own account. */
static int sqlpool__drain_once(sqlpool__core *core, bool can_wait, int step, int64_t stop_ns,
                               sqlpool_error *error) {
    const int64_t look_ns = sqlpool__time_add(sqlpool__now(core), SQLPOOL__LATE_NS);
    sqlpool__request request = sqlpool__internal_request(
        SQLPOOL_WRITE, can_wait ? &sqlpool__default_call : &sqlpool__no_wait_call,
        can_wait ? sqlpool__earlier(stop_ns, look_ns) : 0);
    sqlpool__slot *slot;
    int rc;
    request.place = &core->drain_place;
    request.is_drain = true;
    rc = SQLPOOL__LOAD(&core->breakers[SQLPOOL_WRITE].state) == SQLPOOL__BREAKER_CLOSED
             ? SQLPOOL_OK
             : sqlpool__breaker_admit(core, SQLPOOL_WRITE, error);
    if (rc == SQLPOOL_OK) rc = sqlpool__take_or_wait(core, &request, &slot, error);
    switch (rc) {
    case SQLPOOL_OK:
        sqlpool__drain_held(core, slot, can_wait, step, stop_ns);
        return SQLPOOL_OK;
    case SQLPOOL_TIMEOUT:
    case SQLPOOL_WOULD_BLOCK:
        sqlpool__error_clear(error);
        (void)SQLPOOL__FAIL(error, SQLPOOL_TIMEOUT, "the deadline passed before it could begin");
        sqlpool__fail_submitted(core, error, true);
        sqlpool__error_clear(error);
        return SQLPOOL_OK;
    case SQLPOOL_CLOSED:   /* sqlpool_close() does the rest */
    case SQLPOOL_MISUSE:   /* the mistake of this thread, which holds the writer */
    case SQLPOOL_DEADLOCK: /* the same */
        return rc;
    default:
        sqlpool__fail_submitted(core, error, false);
        sqlpool__error_clear(error);
        return SQLPOOL_OK;
    }
}

/*------------------------------------------------------------------------------
 * >>[I21.2] who drains, and who waits                                  (private)
 *----------------------------------------------------------------------------*/

/*  May this thread drain now? Until sqlpool__end_drain() nobody else does. */
static bool sqlpool__begin_drain_locked(sqlpool__core *core) {
    if (core->drainer != 0 || core->has_submit_thread || core->entries == NULL) return false;
    core->drainer = sqlpool__thread_id(core);
    return true;
}
static void sqlpool__end_drain(sqlpool__core *core) {
    sqlpool__lock(core);
    core->drainer = 0;
    core->drain_place.arrival = 0;
    if (core->room_sleepers > 0) sqlpool__signal(core, &core->room_condition);
    sqlpool__unlock(core);
}

#ifndef SQLPOOL_NO_THREADS
static void sqlpool__submit_main(void *argument) {
    sqlpool__core *core = (sqlpool__core *)argument;
    sqlpool_error error;
    sqlpool__hint.inside++; /* done_fn cannot close the pool that joins it */
    sqlpool__lock(core);
    core->drainer = sqlpool__thread_id(core);
    while (!core->is_submit_stopping) {
        if (sqlpool__first_entry_locked(core) == NULL ||
            (SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_CLOSED) != 0) {
            core->is_submit_idle = true;
            sqlpool__wait_locked(core, &core->work_condition, 0, SQLPOOL__NEVER);
            core->is_submit_idle = false;
            continue;
        }
        sqlpool__unlock(core);
        sqlpool__error_clear(&error);
        (void)sqlpool__drain_once(core, true, 16, SQLPOOL__NEVER, &error);
        sqlpool__lock(core);
    }
    core->drainer = 0;
    sqlpool__unlock(core);
}
#endif

/*  Drains on this thread for a caller that waits for something, while `is_wanted` says so; with the
    lock, which is given up meanwhile. True when it did something or slept: look again. */
static int sqlpool__help_or_sleep_locked(sqlpool__core *core, sqlpool_condition *condition,
                                         int64_t deadline_ns, sqlpool_error *error) {
    int rc = SQLPOOL_OK;
    if (!sqlpool__list_is_empty(&core->entries_queued) && sqlpool__begin_drain_locked(core)) {
        const uint64_t before = sqlpool__oldest_entry_locked(core);
        sqlpool__unlock(core);
        rc = sqlpool__drain_once(core, true, 16, deadline_ns, error);
        sqlpool__end_drain(core);
        sqlpool__lock(core);
#ifdef SQLPOOL_NO_THREADS
        if (rc == SQLPOOL_OK && sqlpool__oldest_entry_locked(core) == before)
            rc = SQLPOOL__FAIL(error, SQLPOOL_WOULD_BLOCK, "the writer is not free");
#else
        (void)before;
#endif
        return rc;
    }
#ifdef SQLPOOL_NO_THREADS
    (void)condition;
    (void)deadline_ns;
    return SQLPOOL__FAIL(error, SQLPOOL_WOULD_BLOCK,
                         "without threads nobody can change that while this call waits: fetch or "
                         "drop tickets, or resume the pool");
#else
    core->room_sleepers++;
    sqlpool__wait_locked(core, condition, sqlpool__now(core), deadline_ns);
    core->room_sleepers--;
    return rc;
#endif
}

/*  Would this thread wait for itself? It runs what is submitted, or holds what that needs. */
static int sqlpool__check_wait_locked(sqlpool__core *core, sqlpool_error *error) {
    const uint64_t me = sqlpool__thread_id(core);
    const sqlpool__lane *lane = sqlpool__lane_of(core, SQLPOOL_WRITE);
    uint32_t i;
    if (core->drainer == me)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "this thread runs the submitted writes, and would wait for itself: do "
                             "not wait in done_fn");
    for (i = lane->first; i < lane->end && lane->end - lane->first == 1; i++) {
        const sqlpool__slot *slot = &core->slots[i];
        if (!sqlpool__is_leased(slot) || SQLPOOL__LOAD_RELAXED(&slot->owner) != me) continue;
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "this thread holds the writer, acquired at %s:%u, and would wait for "
                             "itself: release it first",
                             SQLPOOL__LOAD_RELAXED(&slot->file),
                             SQLPOOL__LOAD_RELAXED(&slot->line));
    }
    for (i = 0; i + 1 < core->slot_count && core->is_shared_gate; i++) {
        const sqlpool__slot *slot = &core->slots[i];
        if (!slot->is_shared_hold || !sqlpool__is_leased(slot) ||
            SQLPOOL__LOAD_RELAXED(&slot->owner) != me)
            continue;
        return SQLPOOL__FAIL(
            error, SQLPOOL_MISUSE,
            "this thread has a cursor or a lease, acquired at %s:%u, which without "
            "a WAL keeps the writer out, and would wait for itself: end it first",
            SQLPOOL__LOAD_RELAXED(&slot->file), SQLPOOL__LOAD_RELAXED(&slot->line));
    }
    return SQLPOOL_OK;
}

static int64_t sqlpool__timeout_deadline(sqlpool__core *core, int timeout_ms) {
    const int64_t now = sqlpool__now(core);
    if (timeout_ms == 0) timeout_ms = core->config.acquire_timeout_ms;
    if (timeout_ms == SQLPOOL_NO_WAIT) return now;
    return timeout_ms < 0 ? SQLPOOL__NEVER
                          : sqlpool__time_add(now, timeout_ms * SQLPOOL__NS_PER_MS);
}

/*------------------------------------------------------------------------------
 * >>[I21.3] submitting                                                 (private)
 *----------------------------------------------------------------------------*/

/*  Entries and the thread, made by the first submission; others wait for it. */
static int sqlpool__start_submit(sqlpool__core *core, sqlpool_error *error) {
    const size_t bytes = (size_t)core->config.submit_count * sizeof(sqlpool__entry);
    sqlpool__entry *entries;
    bool is_started = true;
    int i;
    sqlpool__lock(core);
    while (core->is_submit_starting) {
        core->room_sleepers++;
        sqlpool__wait_locked(core, &core->room_condition, 0, SQLPOOL__NEVER);
        core->room_sleepers--;
    }
    if (core->entries != NULL || (SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_CLOSED) != 0) {
        sqlpool__unlock(
            core); /* a thread made now would outlive the pool; the wait for room says so */
        return SQLPOOL_OK;
    }
    core->is_submit_starting = true;
    sqlpool__unlock(core);
    entries = (sqlpool__entry *)sqlpool__alloc(&core->memory, bytes);
    if (entries != NULL) memset(entries, 0, bytes);
#ifndef SQLPOOL_NO_THREADS
    if (entries != NULL && core->has_thread) {
        const sqlpool_locks *locks = &core->config.locks;
        is_started = locks->thread_create_fn(locks->user, &core->submit_thread,
                                             sqlpool__submit_main, core) == 0;
    }
#endif
    sqlpool__lock(core);
    if (entries != NULL && is_started) {
        core->has_submit_thread = core->has_thread;
        core->entries = entries;
        for (i = 0; i < core->config.submit_count; i++)
            sqlpool__list_insert_before(&core->entries_free, &entries[i].link);
    }
    core->is_submit_starting = false;
    if (core->room_sleepers > 0) sqlpool__signal(core, &core->room_condition);
    sqlpool__unlock(core);
    if (entries != NULL && is_started) return SQLPOOL_OK;
    sqlpool__free(&core->memory, entries, bytes);
    return SQLPOOL__FAIL(error, SQLPOOL_NOMEM, "no %s for the submit queue",
                         is_started ? "memory" : "thread");
}

/*  Waits for room for one more entry of so many bytes; with the lock. */
static int sqlpool__wait_for_room_locked(sqlpool__core *core, int wait_ms, int64_t bytes,
                                         sqlpool_error *error) {
    const int64_t deadline = sqlpool__timeout_deadline(core, wait_ms);
    const sqlpool_config *config = &core->config;
    bool has_waited = false;
    for (;;) {
        if ((SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_CLOSED) != 0)
            return sqlpool__refuse_closed(core, error);
        if (!sqlpool__list_is_empty(&core->entries_free) &&
            (core->entries_bytes + bytes <= config->submit_bytes || core->entries_used == 0))
            return SQLPOOL_OK;
        if (wait_ms == SQLPOOL_NO_WAIT || sqlpool__now(core) >= deadline ||
            sqlpool__check_wait_locked(core, error) != SQLPOOL_OK) {
            const int done = core->entries_used - core->entries_queued_count;
            const bool is_late = wait_ms != SQLPOOL_NO_WAIT && sqlpool__now(core) >= deadline;
            sqlpool__error_clear(error);
            SQLPOOL__TALLY_POOL(core, submit_refusals);
            return SQLPOOL__FAIL(
                error, is_late ? SQLPOOL_TIMEOUT : SQLPOOL_WOULD_BLOCK,
                "the submit queue is full: %d writes wait, %d run or are done and not fetched "
                "(sqlpool_ticket_wait(), _poll() or _drop() do that), %lld bytes; submit_count is "
                "%d, submit_bytes %lld",
                core->entries_queued_count, done, (long long)core->entries_bytes,
                config->submit_count, (long long)config->submit_bytes);
        }
        if (!has_waited) SQLPOOL__TALLY_POOL(core, submit_waits);
        has_waited = true;
        if (sqlpool__help_or_sleep_locked(core, &core->room_condition, deadline, error) !=
            SQLPOOL_OK)
            return error->result;
    }
}

/*  Copies what the write needs to `place`, which has room for it. */
static void sqlpool__copy_work(sqlpool__entry *entry, char *place, const char *sql,
                               size_t sql_bytes, const sqlpool_value *args, int count) {
    sqlpool_value *values = (sqlpool_value *)(void *)place;
    char *at = place + (size_t)count * sizeof *values;
    int i;
    for (i = 0; i < count; i++) {
        values[i] = args[i];
        if ((args[i].type != SQLPOOL_TYPE_TEXT && args[i].type != SQLPOOL_TYPE_BLOB) ||
            args[i].size == 0)
            continue;
        memcpy(at, args[i].as.blob, args[i].size);
        values[i].as.blob = at;
        at += args[i].size;
    }
    memcpy(at, sql, sql_bytes);
    entry->work = sqlpool__work_of(at, values, count, &entry->result, NULL);
    entry->job.work = &entry->work;
}

/*  What a submission asks for, before it has an entry. */
typedef struct sqlpool__submission {
    const char *file;
    int line;
    sqlpool_submission options;
    sqlpool_ticket *ticket;
    const char *sql; /* or NULL: fn */
    const sqlpool_value *args;
    int count;
    sqlpool_transaction_fn fn;
    void *user;
    size_t sql_bytes, bytes; /* of all that is copied */
} sqlpool__submission;

static int sqlpool__check_submission(const sqlpool__core *core, sqlpool__submission *what,
                                     sqlpool_error *error) {
    const sqlpool_submission *options = &what->options;
    const size_t most = (size_t)sqlpool__earlier(core->config.submit_bytes, INT32_MAX);
    int i;
    if (what->sql == NULL && what->fn == NULL)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "sql or fn is NULL");
    if (options->wait_ms < SQLPOOL_NO_WAIT || options->timeout_ms < 0 || options->attempts < 0)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "sqlpool_submission: wait_ms %d (-2 or more), timeout_ms %d (0 or "
                             "more), attempts %d (0 or more)",
                             options->wait_ms, options->timeout_ms, options->attempts);
    if (core->config.read_only)
        return SQLPOOL__FAIL(error, SQLITE_READONLY, "the pool %s is read-only", core->config.name);
    if (what->count < 0 || (what->count > 0 && what->args == NULL))
        return SQLPOOL__FAIL(error, SQLPOOL_ARGUMENTS, "args is NULL or count %d is negative",
                             what->count);
    if (what->sql != NULL) what->sql_bytes = strlen(what->sql) + 1;
    what->bytes = what->sql_bytes + (size_t)what->count * sizeof *what->args;
    for (i = 0; i < what->count && what->bytes <= most; i++) {
        const sqlpool_value *value = &what->args[i];
        if (sqlpool__check_value(value, i, error) != SQLPOOL_OK) return error->result;
        if (value->type < SQLPOOL_TYPE_TEXT) continue;
        what->bytes = value->size > most ? most + 1 : what->bytes + value->size;
    }
    if (what->bytes > most)
        return SQLPOOL__FAIL(error, SQLPOOL_TOO_BIG,
                             "the statement and its arguments pass submit_bytes (%lld)",
                             (long long)core->config.submit_bytes);
    return SQLPOOL_OK;
}

/*  Into the queue; with the lock, and room. */
static void sqlpool__queue_entry_locked(sqlpool__core *core, const sqlpool__submission *what,
                                        void *block) {
    sqlpool__entry *entry = sqlpool__entry_of_link(core->entries_free.next);
    sqlpool__list_remove(&entry->link);
    memset(&entry->result, 0, sizeof entry->result);
    entry->request = sqlpool__internal_request(SQLPOOL_WRITE, &entry->call, 0);
    entry->request.file = what->file;
    entry->request.line = what->line;
    memset(&entry->call, 0, sizeof entry->call);
    entry->call.attempts = what->options.attempts;
    entry->call.tag = what->options.tag;
    entry->job = sqlpool__job_of(&entry->request, NULL, what->fn, what->user, NULL);
    entry->job.bytes += (int64_t)what->bytes;
    entry->job.is_submitted = true;
    entry->job.result_out = &entry->result;
    entry->block = block;
    entry->block_bytes = what->bytes;
    if (what->sql != NULL)
        sqlpool__copy_work(entry, block != NULL ? (char *)block : entry->room.bytes, what->sql,
                           what->sql_bytes, what->args, what->count);
    entry->can_group = what->sql != NULL
                           ? sqlpool__can_group(core, entry->work.sql, what->sql_bytes - 1)
                           : sqlpool__can_share(core);
    entry->is_relaxed = what->options.relaxed && sqlpool__can_relax(core);
    entry->done_fn = what->options.done_fn;
    entry->done_user = what->options.user;
    entry->has_ticket = what->ticket != NULL;
    entry->is_unasked = what->ticket == NULL && what->options.done_fn == NULL;
    entry->sleeper = NULL;
    entry->state = SQLPOOL__ENTRY_QUEUED;
    entry->number = ++core->submit_number;
    core->entries_used++;
    core->entries_queued_count++;
    core->entries_bytes += entry->job.bytes;
    if (what->options.timeout_ms > 0) {
        entry->request.deadline_ns = sqlpool__timeout_deadline(core, what->options.timeout_ms);
        core->entries_timed++;
    }
    sqlpool__list_insert_before(&core->entries_queued, &entry->link);
    if (core->is_submit_idle) sqlpool__signal(core, &core->work_condition);
    if (what->ticket == NULL) return;
    what->ticket->pool = core->handle;
    what->ticket->pool_serial = core->serial;
    what->ticket->entry = (uint32_t)(entry - core->entries);
    what->ticket->number = entry->number;
}

static int sqlpool__submit(sqlpool *pool, const sqlpool_submission *options,
                           sqlpool__submission *what, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__core *core;
    void *block = NULL;
    int rc;
    error = sqlpool__error_or(error, &local);
    if (options != NULL) what->options = *options;
    if (what->ticket != NULL) memset(what->ticket, 0, sizeof *what->ticket);
    rc = sqlpool__enter_inside(pool, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool__check_submission(core, what, error);
    if (rc == SQLPOOL_OK && (SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_CLOSED) != 0)
        rc = sqlpool__refuse_closed(core, error);
    if (rc == SQLPOOL_OK) rc = sqlpool__start_submit(core, error);
    if (rc == SQLPOOL_OK && what->bytes > SQLPOOL__ENTRY_ROOM) {
        block = sqlpool__alloc(&core->memory, what->bytes);
        if (block == NULL)
            rc = SQLPOOL__FAIL(error, SQLPOOL_NOMEM, "no memory to copy %llu bytes",
                               (unsigned long long)what->bytes);
    }
    if (rc == SQLPOOL_OK) {
        sqlpool__lock(core);
        rc =
            sqlpool__wait_for_room_locked(core, what->options.wait_ms, (int64_t)what->bytes, error);
        if (rc == SQLPOOL_OK) {
            sqlpool__queue_entry_locked(core, what, block);
            SQLPOOL__TALLY_POOL(core, submitted);
        }
        sqlpool__unlock(core);
        if (rc != SQLPOOL_OK) sqlpool__free(&core->memory, block, what->bytes);
    }
    if (rc != SQLPOOL_OK) error->outcome = SQLPOOL_OUTCOME_NOT_COMMITTED;
    return sqlpool__leave(core, sqlpool__finish(core, error));
}

SQLPOOL_API int sqlpool_submit_at(const char *file, int line, sqlpool *pool,
                                  const sqlpool_submission *submission, sqlpool_ticket *ticket,
                                  const char *sql, const sqlpool_value *args, int count,
                                  sqlpool_error *error) {
    sqlpool__submission what;
    memset(&what, 0, sizeof what);
    what.file = file;
    what.line = line;
    what.ticket = ticket;
    what.sql = sql;
    what.args = args;
    what.count = count;
    return sqlpool__submit(pool, submission, &what, error);
}

SQLPOOL_API int sqlpool_submit_write_at(const char *file, int line, sqlpool *pool,
                                        const sqlpool_submission *submission,
                                        sqlpool_ticket *ticket, sqlpool_transaction_fn fn,
                                        void *user, sqlpool_error *error) {
    sqlpool__submission what;
    memset(&what, 0, sizeof what);
    what.file = file;
    what.line = line;
    what.ticket = ticket;
    what.fn = fn;
    what.user = user;
    return sqlpool__submit(pool, submission, &what, error);
}

/*------------------------------------------------------------------------------
 * >>[I21.4] tickets, flush, sync                                       (private)
 *----------------------------------------------------------------------------*/

/*  The pool of a ticket, inside; each caller leaves again. */
static int sqlpool__enter_ticket(const sqlpool_ticket *ticket, sqlpool__core **core,
                                 sqlpool_error *error) {
    int rc;
    if (ticket == NULL || ticket->number == 0)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "this is no ticket, or its result was fetched already");
    rc = sqlpool__enter_inside(ticket->pool, core, error);
    if (rc != SQLPOOL_OK) return rc;
    if ((*core)->serial == ticket->pool_serial) return SQLPOOL_OK;
    (void)SQLPOOL__FAIL(error, SQLPOOL_CLOSED, "the pool of this ticket is closed");
    return sqlpool__leave(*core, sqlpool__finish(*core, error));
}

/*  The entry of a ticket that is still good, or NULL; with the lock. */
static sqlpool__entry *sqlpool__find_entry_locked(sqlpool__core *core, const sqlpool_ticket *ticket,
                                                  sqlpool_error *error) {
    sqlpool__entry *entry = NULL;
    if (core->entries != NULL && ticket->entry < (uint32_t)core->config.submit_count)
        entry = &core->entries[ticket->entry];
    if (entry != NULL && entry->number == ticket->number && entry->has_ticket) return entry;
    (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                        "the result of this ticket was fetched already, or given up");
    return NULL;
}

/*  Waits with the lock until the entry is done; OK also when it is not. */
static int sqlpool__wait_for_entry_locked(sqlpool__core *core, sqlpool__entry *entry,
                                          sqlpool_condition *condition, int64_t deadline_ns,
                                          sqlpool_error *error) {
    int rc = SQLPOOL_OK;
    entry->sleeper = condition;
    while (rc == SQLPOOL_OK && entry->state != SQLPOOL__ENTRY_DONE &&
           sqlpool__now(core) < deadline_ns) {
        if (core->drainer != 0 && !core->has_submit_thread) /* then one of us may be the next */
            rc = sqlpool__help_or_sleep_locked(core, &core->room_condition, deadline_ns, error);
        else
            rc = sqlpool__help_or_sleep_locked(core, condition, deadline_ns, error);
        if (rc == SQLPOOL_CLOSED && entry->state != SQLPOOL__ENTRY_DONE) { /* close drains it */
            sqlpool__error_clear(error);
            rc = SQLPOOL_OK;
            sqlpool__wait_locked(core, condition, sqlpool__now(core), deadline_ns);
        }
    }
    entry->sleeper = NULL;
    if (rc != SQLPOOL_OK &&
        entry->state == SQLPOOL__ENTRY_DONE) { /* meanwhile, by sqlpool_close() */
        sqlpool__error_clear(error);
        rc = SQLPOOL_OK;
    }
    return rc;
}

SQLPOOL_API int sqlpool_ticket_wait(sqlpool_ticket *ticket, int timeout_ms, sqlpool_result *result,
                                    sqlpool_error *error) {
    sqlpool_error local;
    sqlpool_condition condition;
    const sqlpool_locks *locks;
    sqlpool__core *core;
    sqlpool__entry *entry;
    const bool is_poll = timeout_ms == SQLPOOL_NO_WAIT;
    int rc;
    error = sqlpool__error_or(error, &local);
    if (result != NULL) memset(result, 0, sizeof *result);
    rc = sqlpool__enter_ticket(ticket, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    locks = &core->config.locks;
    if (timeout_ms < SQLPOOL_NO_WAIT) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "timeout_ms is %d: use -2 or more", timeout_ms);
        return sqlpool__leave(core, sqlpool__finish(core, error));
    }
    if (!is_poll && locks->condition_init_fn(locks->user, &condition) != 0) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_NOMEM,
                            "the lock hook could not make a condition to wait on");
        return sqlpool__leave(core, sqlpool__finish(core, error));
    }
    sqlpool__lock(core);
    entry = sqlpool__find_entry_locked(core, ticket, error);
    if (entry != NULL && entry->sleeper != NULL) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "another thread waits for this ticket");
    } else if (entry != NULL && entry->state != SQLPOOL__ENTRY_DONE) {
        if (!is_poll && sqlpool__check_wait_locked(core, error) == SQLPOOL_OK) {
            (void)sqlpool__wait_for_entry_locked(
                core, entry, &condition, sqlpool__timeout_deadline(core, timeout_ms), error);
        }
        if (error->result == SQLPOOL_OK && entry->state != SQLPOOL__ENTRY_DONE)
            (void)SQLPOOL__FAIL(error, SQLPOOL_WOULD_BLOCK, "the write is not done yet");
    }
    if (error->result == SQLPOOL_OK) entry->has_ticket = false; /* from here on it is ours */
    sqlpool__unlock(core);
    if (!is_poll) locks->condition_destroy_fn(locks->user, &condition);
    if (error->result == SQLPOOL_OK) {
        ticket->number = 0;
        if (result != NULL) *result = entry->result;
        sqlpool__entry_error(entry, error);
        sqlpool__free_entry(core, entry);
    }
    if (error->result == SQLPOOL_WOULD_BLOCK) return sqlpool__leave(core, SQLPOOL_WOULD_BLOCK);
    return sqlpool__leave(core, sqlpool__finish(core, error));
}

SQLPOOL_API int sqlpool_ticket_poll(sqlpool_ticket *ticket, sqlpool_result *result,
                                    sqlpool_error *error) {
    return sqlpool_ticket_wait(ticket, SQLPOOL_NO_WAIT, result, error);
}

SQLPOOL_API int sqlpool_ticket_cancel(sqlpool_ticket *ticket) {
    sqlpool_error local;
    sqlpool__core *core;
    sqlpool__entry *entry;
    bool is_mine = false;
    int rc;
    sqlpool__error_clear(&local);
    rc = sqlpool__enter_ticket(ticket, &core, &local);
    if (rc != SQLPOOL_OK) return rc;
    sqlpool__lock(core);
    entry = sqlpool__find_entry_locked(core, ticket, &local);
    if (entry != NULL && entry->state == SQLPOOL__ENTRY_QUEUED) {
        sqlpool__unqueue_entry_locked(core, entry);
        entry->state = SQLPOOL__ENTRY_RUNNING; /* nobody else looks at it until it is told */
        entry->job.result = SQLPOOL_CANCELLED;
        entry->job.outcome = SQLPOOL_OUTCOME_NOT_COMMITTED;
        is_mine = true;
        entry->has_ticket = entry->sleeper != NULL; /* done_fn cannot wait for it */
    } else if (entry != NULL) {
        local.result = SQLPOOL_TOO_LATE;
    }
    sqlpool__unlock(core);
    if (!is_mine) {
        if (local.result == SQLPOOL_TOO_LATE) return sqlpool__leave(core, SQLPOOL_TOO_LATE);
        return sqlpool__leave(core, sqlpool__finish(core, &local));
    }
    SQLPOOL__TALLY_POOL(core, cancellations);
    if (entry->done_fn != NULL) {
        sqlpool__entry_error(entry, &local);
        entry->done_fn(entry->done_user, &entry->result, &local);
    }
    sqlpool__lock(core);
    ticket->number = 0; /* who slept may have given up meanwhile, and asked again never finds it */
    entry->state = SQLPOOL__ENTRY_DONE;
    is_mine = entry->sleeper == NULL; /* or who sleeps fetches it */
    if (!is_mine) sqlpool__signal(core, entry->sleeper);
    if (core->room_sleepers > 0)
        sqlpool__signal(core, &core->room_condition); /* it may sleep there */
    sqlpool__unlock(core);
    if (is_mine) sqlpool__free_entry(core, entry);
    return sqlpool__leave(core, SQLPOOL_OK);
}

SQLPOOL_API int sqlpool_ticket_drop(sqlpool_ticket *ticket) {
    sqlpool_error local;
    sqlpool__core *core;
    sqlpool__entry *entry;
    bool is_done = false;
    int rc;
    sqlpool__error_clear(&local);
    rc = sqlpool__enter_ticket(ticket, &core, &local);
    if (rc != SQLPOOL_OK) return rc;
    sqlpool__lock(core);
    entry = sqlpool__find_entry_locked(core, ticket, &local);
    if (entry != NULL && entry->sleeper != NULL) {
        (void)SQLPOOL__FAIL(&local, SQLPOOL_MISUSE, "another thread waits for this ticket");
    } else if (entry != NULL) {
        entry->has_ticket = false; /* who is done with it frees it */
        is_done = entry->state == SQLPOOL__ENTRY_DONE;
        ticket->number = 0;
    }
    sqlpool__unlock(core);
    if (is_done) sqlpool__free_entry(core, entry);
    return sqlpool__leave(core, sqlpool__finish(core, &local));
}

SQLPOOL_API int sqlpool_flush(sqlpool *pool, int timeout_ms, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__core *core;
    uint64_t last;
    int64_t deadline;
    int rc;
    error = sqlpool__error_or(error, &local);
    rc = sqlpool__enter_inside(pool, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    if (timeout_ms < SQLPOOL_FOREVER) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "timeout_ms is %d: use -1 or more", timeout_ms);
        return sqlpool__leave(core, sqlpool__finish(core, error));
    }
    deadline = sqlpool__timeout_deadline(core, timeout_ms);
    sqlpool__lock(core);
    last = core->submit_number;
    while (error->result == SQLPOOL_OK && sqlpool__oldest_entry_locked(core) <= last) {
        if ((SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_CLOSED) != 0) {
            (void)sqlpool__refuse_closed(core, error);
        } else if (sqlpool__check_wait_locked(core, error) != SQLPOOL_OK) {
            break;
        } else if (sqlpool__now(core) >= deadline) {
            (void)SQLPOOL__FAIL(error, SQLPOOL_TIMEOUT, "%d submitted writes are not done",
                                core->entries_queued_count);
        } else {
            (void)sqlpool__help_or_sleep_locked(core, &core->room_condition, deadline, error);
        }
    }
    sqlpool__unlock(core);
    return sqlpool__leave(core, sqlpool__finish(core, error));
}

SQLPOOL_API int sqlpool_sync(sqlpool *pool, uint64_t sequence, int timeout_ms,
                             sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__core *core;
    uint64_t commits;
    int rc;
    error = sqlpool__error_or(error, &local);
    rc = sqlpool__enter_inside(pool, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    commits = SQLPOOL__LOAD_ORDERED(&core->commits);
    if (timeout_ms < SQLPOOL_FOREVER || sequence > commits) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                            "timeout_ms is %d (-1 or more), sequence %llu (this pool has counted "
                            "%llu commits)",
                            timeout_ms, (unsigned long long)sequence, (unsigned long long)commits);
    } else if ((SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_CLOSED) != 0) {
        (void)sqlpool__refuse_closed(core, error);
    } else if (!core->is_wal) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_UNSUPPORTED,
                            "there is no write-ahead log to sync: without one commits are as "
                            "durable as synchronous makes them");
    } else if (SQLPOOL__LOAD(&core->durable) < (sequence != 0 ? sequence : commits)) {
        const int64_t deadline = sqlpool__timeout_deadline(core, timeout_ms);
        sqlpool_checkpoint_result moved;
        if (SQLPOOL__LOAD(&core->is_log_doubtful) == 0 ||
            sqlpool__checkpoint(core, SQLPOOL_CHECKPOINT_PASSIVE, deadline, &moved, error) ==
                SQLPOOL_OK)
            (void)sqlpool__sync_commits(core, deadline, error);
    }
    return sqlpool__leave(core, sqlpool__finish(core, error));
}

/*==============================================================================
 * >>[I22] BULK: many rows of one table                                 (private)
 *==============================================================================
    Rows are copied into an arena, their values from the front, text and blobs from the back, so
    that the values of any run of rows are an array that can be bound at once. A full arena is
    written in one transaction with statements of 64, 8 and 1 rows: SQLite's work for a statement is
    then shared by its rows, which is what makes it faster than one prepared statement a row
    (bench W7), copying included.

    A statement that fails on its way may leave a part of what it did, as in a group (I20.4): then
    the transaction is run again with a savepoint for each statement, as all that follow. The rows
    of one that fails are run one by one, to find those that are refused. A transaction that ends
    early (OR ROLLBACK, RAISE(ROLLBACK)), or whose COMMIT refuses (a deferred foreign key), is run
    again in halves, down to the row that does it. What the disk or the memory refuse is no row's
    fault: it ends the load at the last commit. */

#define SQLPOOL__BULK_MAGIC 0x6b6c7562u
#define SQLPOOL__BULK_SIZES 3
#define SQLPOOL__BULK_PARAMETERS 999 /* of a statement: what every SQLite takes */

/*  Why a row was refused, until its batch is committed. */
typedef struct sqlpool__refused_row {
    int row; /* of the arena */
    int result, sqlite_code;
    char message[240];
} sqlpool__refused_row;

struct sqlpool_bulk {
    uint32_t magic;
    uint32_t serial;
    sqlpool *pool;
    sqlpool__core *core;
    sqlpool_bulk_config config; /* without the names: they are in the statements */
    sqlpool_call call;
    const char *file;
    int line;
    char *name; /* or NULL */
    char *sql[SQLPOOL__BULK_SIZES];
    int per[SQLPOOL__BULK_SIZES]; /* rows of each, most first; 0: not used */
    char *arena;
    size_t arena_bytes, payload; /* payload: where the lowest text or blob begins */
    int row_count;               /* in the arena */
    int single_rows;             /* run one by one before the next try with more */
    int single_step;             /* how many when a statement of several failed last */
    int64_t first_row;           /* number of the first row in the arena */
    int64_t start_row, began_ns;
    int64_t refused, changes;
    int64_t batch_changes; /* not committed yet */
    sqlpool__refused_row *refusals;
    int refusal_count, refusal_room;
    bool is_careful;     /* each statement has a savepoint */
    bool is_spoilt;      /* the transaction may hold a part of what a statement did */
    bool is_stopped;     /* by a refused row: those before it are to be committed */
    bool is_telling;     /* refused_fn or progress_fn runs */
    sqlpool_error error; /* what ended the load */
};

/*  Not in double quotes: a name that is missing would be taken for a text in those. */
static void sqlpool__text_identifier(sqlpool__text *text, const char *name) {
    sqlpool__text_byte(text, '`');
    for (; *name != '\0'; name++) {
        if (*name == '`') sqlpool__text_byte(text, '`');
        sqlpool__text_byte(text, *name);
    }
    sqlpool__text_byte(text, '`');
}

/*  `first` .. `last` - 1 of the columns, each as a name and `after`. */
static void sqlpool__text_columns(sqlpool__text *text, const sqlpool_bulk_config *config, int first,
                                  int last, const char *between, const char *after,
                                  bool is_excluded) {
    int i;
    for (i = first; i < last; i++) {
        if (i > first) sqlpool__text_string(text, between);
        sqlpool__text_identifier(text, config->columns[i]);
        sqlpool__text_string(text, after);
        if (is_excluded) sqlpool__text_identifier(text, config->columns[i]);
    }
}

/*  The statement for so many rows. */
static void sqlpool__text_bulk(sqlpool__text *text, const sqlpool_bulk_config *config, int rows) {
    static const char *const insert[] = {"INSERT INTO ", "INSERT OR IGNORE INTO ",
                                         "INSERT OR REPLACE INTO ", "INSERT INTO "};
    const int columns = config->column_count, set = columns - config->key_count;
    int i, k;
    if (config->action == SQLPOOL_BULK_UPDATE) {
        sqlpool__text_add(text, "UPDATE ");
        sqlpool__text_identifier(text, config->table);
        sqlpool__text_add(text, " SET ");
        sqlpool__text_columns(text, config, 0, set, ",", "=?", false);
        sqlpool__text_add(text, " WHERE ");
        sqlpool__text_columns(text, config, set, columns, " AND ", "=?", false);
        return;
    }
    if (config->action == SQLPOOL_BULK_DELETE) {
        sqlpool__text_add(text, "DELETE FROM ");
        sqlpool__text_identifier(text, config->table);
        sqlpool__text_add(text, " WHERE ");
        sqlpool__text_columns(text, config, 0, columns, " AND ", rows == 1 ? "=?" : " IN(?", false);
        for (i = 1; i < rows; i++) sqlpool__text_add(text, i + 1 < rows ? ",?" : ",?)");
        return;
    }
    sqlpool__text_string(text, insert[config->conflict]);
    sqlpool__text_identifier(text, config->table);
    sqlpool__text_add(text, "(");
    sqlpool__text_columns(text, config, 0, columns, ",", "", false);
    sqlpool__text_add(text, ")VALUES");
    for (i = 0; i < rows; i++) {
        for (k = 0; k < columns; k++) sqlpool__text_add(text, k > 0 ? ",?" : i > 0 ? ",(?" : "(?");
        sqlpool__text_add(text, ")");
    }
    if (config->conflict != SQLPOOL_CONFLICT_UPDATE) return;
    sqlpool__text_add(text, "ON CONFLICT(");
    sqlpool__text_columns(text, config, set, columns, ",", "", false);
    sqlpool__text_add(text, set > 0 ? ")DO UPDATE SET " : ")DO NOTHING");
    sqlpool__text_columns(text, config, 0, set, ",", "=excluded.", true);
}

static int sqlpool__check_bulk(const sqlpool_bulk_config *config, sqlpool_error *error) {
    const char *wrong = NULL;
    int i;
    if (config == NULL || config->table == NULL || config->columns == NULL) {
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "%s is NULL",
                             config == NULL          ? "config"
                             : config->table == NULL ? "table"
                                                     : "columns");
    }
    for (i = 0; i < config->column_count && wrong == NULL; i++)
        if (config->columns[i] == NULL) wrong = "a column is NULL";
    if (config->column_count < 1 || config->column_count > SQLPOOL__BULK_PARAMETERS)
        wrong = "column_count is not in 1 .. 999";
    else if (config->key_count < 0 || config->key_count > config->column_count)
        wrong = "key_count is not in 0 .. column_count";
    else if (config->action < SQLPOOL_BULK_INSERT || config->action > SQLPOOL_BULK_DELETE)
        wrong = "action is none of sqlpool_bulk_action";
    else if (config->conflict < SQLPOOL_CONFLICT_REFUSE ||
             config->conflict > SQLPOOL_CONFLICT_UPDATE)
        wrong = "conflict is none of sqlpool_conflict";
    else if (config->conflict != SQLPOOL_CONFLICT_REFUSE && config->action != SQLPOOL_BULK_INSERT)
        wrong = "conflict is for SQLPOOL_BULK_INSERT only";
    else if (config->action == SQLPOOL_BULK_UPDATE &&
             (config->key_count < 1 || config->key_count == config->column_count))
        wrong = "SQLPOOL_BULK_UPDATE wants key_count in 1 .. column_count - 1";
    else if (config->conflict == SQLPOOL_CONFLICT_UPDATE && config->key_count < 1)
        wrong = "SQLPOOL_CONFLICT_UPDATE wants a key_count";
    else if (config->batch_bytes < 0 || config->batch_bytes > INT32_MAX)
        wrong = "batch_bytes is not in 0 .. 2147483647";
    else if (config->batch_ms < 0 || config->timeout_ms < SQLPOOL_FOREVER ||
             config->expected_rows < 0)
        wrong = "batch_ms or expected_rows is negative, or timeout_ms below -1";
    return wrong != NULL ? SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "sqlpool_bulk_config: %s", wrong)
                         : SQLPOOL_OK;
}

static void sqlpool__bulk_free(sqlpool_bulk *bulk) {
    sqlpool__core *core = bulk->core;
    int i;
    for (i = 0; i < SQLPOOL__BULK_SIZES; i++) {
        if (bulk->sql[i] != NULL)
            sqlpool__free(&core->memory, bulk->sql[i], strlen(bulk->sql[i]) + 1);
    }
    if (bulk->name != NULL) sqlpool__free(&core->memory, bulk->name, strlen(bulk->name) + 1);
    sqlpool__free(&core->memory, bulk->refusals,
                  (size_t)bulk->refusal_room * sizeof *bulk->refusals);
    sqlpool__free(&core->memory, bulk->arena, bulk->arena_bytes);
    bulk->magic = 0;
    sqlpool__free(&core->memory, bulk, sizeof *bulk);
    (void)SQLPOOL__ADD(&core->buffers_out, (uint32_t)-1);
}

/*  Statements for 64, 8 and 1 rows, as far as they make sense and fit SQLite's limit. */
static bool sqlpool__bulk_prepare(sqlpool_bulk *bulk, const sqlpool_bulk_config *config) {
    static const int wanted[SQLPOOL__BULK_SIZES] = {64, 8, 1};
    sqlpool__core *core = bulk->core;
    const int most =
        (core->config.untrusted ? 10 : SQLPOOL__BULK_PARAMETERS) / config->column_count;
    const bool is_single = config->action == SQLPOOL_BULK_UPDATE ||
                           (config->action == SQLPOOL_BULK_DELETE && config->column_count > 1);
    int i;
    for (i = 0; i < SQLPOOL__BULK_SIZES; i++) {
        sqlpool__text text = sqlpool__text_into(NULL, 0);
        size_t bytes;
        int rows = wanted[i];
        if (rows > 1 && (is_single || most < 2)) continue;
        if (rows > most && rows > 1) {
            if (i + 1 < SQLPOOL__BULK_SIZES && most <= wanted[i + 1]) continue;
            rows = most;
        }
        sqlpool__text_bulk(&text, config, rows);
        bytes = text.length + 1;
        bulk->sql[i] = (char *)sqlpool__alloc(&core->memory, bytes);
        if (bulk->sql[i] == NULL) return false;
        text = sqlpool__text_into(bulk->sql[i], bytes);
        sqlpool__text_bulk(&text, config, rows);
        bulk->per[i] = rows;
    }
    return true;
}

static sqlpool_bulk *sqlpool__bulk_new(sqlpool__core *core, const sqlpool_bulk_config *config) {
    sqlpool_bulk *bulk = (sqlpool_bulk *)sqlpool__alloc(&core->memory, sizeof *bulk);
    const size_t row_bytes = (size_t)config->column_count * sizeof(sqlpool_value);
    bool is_made;
    if (bulk == NULL) return NULL;
    (void)SQLPOOL__ADD(&core->buffers_out, 1u);
    memset(bulk, 0, sizeof *bulk);
    bulk->magic = SQLPOOL__BULK_MAGIC;
    bulk->core = core;
    bulk->pool = core->handle;
    bulk->serial = core->serial;
    bulk->config = *config;
    bulk->config.table = NULL;
    bulk->config.columns = NULL;
    bulk->config.name = NULL;
    if (bulk->config.batch_bytes == 0) bulk->config.batch_bytes = INT64_C(1) << 20;
    if (bulk->config.batch_ms == 0) bulk->config.batch_ms = 50;
    bulk->arena_bytes = (size_t)bulk->config.batch_bytes & ~(size_t)(sizeof(sqlpool_value) - 1);
    if (bulk->arena_bytes < row_bytes) bulk->arena_bytes = row_bytes;
    bulk->payload = bulk->arena_bytes;
    bulk->single_step = 64;
    bulk->call.timeout_ms = config->timeout_ms;
    bulk->call.tag = config->tag;
    bulk->call.token = config->token;
    is_made = sqlpool__bulk_prepare(bulk, config);
    if (is_made) bulk->arena = (char *)sqlpool__alloc(&core->memory, bulk->arena_bytes);
    if (is_made && config->name != NULL)
        bulk->name = sqlpool__copy_text(&core->memory, config->name);
    if (is_made && bulk->arena != NULL && (config->name == NULL || bulk->name != NULL)) return bulk;
    if (bulk->arena == NULL) bulk->arena_bytes = 0;
    sqlpool__bulk_free(bulk);
    return NULL;
}

/*------------------------------------------------------------------------------
 * >>[I22.2] writing a batch                                            (private)
 *----------------------------------------------------------------------------*/

static const sqlpool_value *sqlpool__bulk_values(const sqlpool_bulk *bulk, int row) {
    return (const sqlpool_value *)(const void *)bulk->arena +
           (size_t)row * (size_t)bulk->config.column_count;
}

/*  One statement for rows [row, row + bulk->per[size]). */
static int sqlpool__bulk_run(sqlpool_bulk *bulk, sqlpool__slot *slot, int size, int row,
                             sqlpool_error *error) {
    sqlpool_result result;
    sqlpool__work work =
        sqlpool__work_of(bulk->sql[size], sqlpool__bulk_values(bulk, row),
                         bulk->per[size] * bulk->config.column_count, &result, NULL);
    sqlpool_error ignored;
    int rc = bulk->is_careful ? sqlpool__level_begin(slot, error) : SQLPOOL_OK;
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool__run_once(slot, &work, error);
    if (bulk->is_careful && rc == SQLPOOL_OK) rc = sqlpool__level_commit(slot, error);
    if (bulk->is_careful && rc != SQLPOOL_OK) (void)sqlpool__level_rollback(slot, &ignored);
    if (rc == SQLPOOL_OK) bulk->batch_changes += result.changes;
    return rc;
}

/*  Is it the row's fault, so that others may go well? */
static bool sqlpool__is_row_fault(sqlpool_bulk *bulk, sqlpool__slot *slot, int rc) {
    sqlite3_stmt *probe = NULL;
    switch (sqlpool__primary(rc)) {
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return true;
    case SQLITE_ERROR: /* of a function or trigger, unless the statement itself is wrong now */
        rc = sqlite3_prepare_v2(slot->db, bulk->sql[SQLPOOL__BULK_SIZES - 1], -1, &probe, NULL);
        (void)sqlite3_finalize(probe);
        return rc == SQLITE_OK;
    default:
        return false;
    }
}

/*  Notes why a row is refused; the load fails with it when nobody wants to hear of such rows. */
static int sqlpool__bulk_refuse(sqlpool_bulk *bulk, int row, sqlpool_error *error) {
    sqlpool__refused_row *refusal;
    sqlpool__text text;
    if (bulk->config.refused_fn == NULL) {
        char said[700];
        text = sqlpool__text_into(said, sizeof said);
        sqlpool__text_string(&text, error->message);
        text = sqlpool__text_into(error->message, sizeof error->message);
        sqlpool__text_add(&text, "row %lld: %s", (long long)(bulk->first_row + row), said);
        bulk->is_stopped = true;
        return error->result;
    }
    if (bulk->refusal_count == bulk->refusal_room) {
        const int room = bulk->refusal_room == 0 ? 16 : bulk->refusal_room * 2;
        void *list = sqlpool__resize(&bulk->core->memory, bulk->refusals,
                                     (size_t)bulk->refusal_room * sizeof *bulk->refusals,
                                     (size_t)room * sizeof *bulk->refusals);
        if (list == NULL)
            return SQLPOOL__FAIL(error, SQLPOOL_NOMEM, "no memory to report refused rows");
        bulk->refusals = (sqlpool__refused_row *)list;
        bulk->refusal_room = room;
    }
    refusal = &bulk->refusals[bulk->refusal_count++];
    refusal->row = row;
    refusal->result = error->result;
    refusal->sqlite_code = error->sqlite_code;
    text = sqlpool__text_into(refusal->message, sizeof refusal->message);
    sqlpool__text_string(&text, error->message);
    sqlpool__error_clear(error);
    return SQLPOOL_OK;
}

/*  The place to go on after a failure, in the batch's own transaction. */
static int sqlpool__bulk_note(sqlpool_bulk *bulk, sqlpool__slot *slot, int64_t next_row,
                              sqlpool_error *error) {
    static const char *const sql =
        "INSERT INTO sqlpool_bulk(name,row)VALUES(?,?)ON CONFLICT(name)DO UPDATE SET "
        "row=excluded.row";
    sqlpool_value args[2];
    sqlpool__work work;
    if (bulk->name == NULL) return SQLPOOL_OK;
    args[0] = sqlpool_value_text(bulk->name);
    args[1] = sqlpool_value_int64(next_row);
    work = sqlpool__work_of(sql, args, 2, NULL, NULL);
    return sqlpool__run_once(slot, &work, error);
}

/*  Rows [from, to) in the open transaction, until `until_ns`; *at says how far it came. A failure
    of one statement leaves the transaction open, unless SQLite ended it. */
static int sqlpool__bulk_fill(sqlpool_bulk *bulk, sqlpool__slot *slot, int *at, int to,
                              int64_t until_ns, sqlpool_error *error) {
    const int last = SQLPOOL__BULK_SIZES - 1;
    while (*at < to) {
        int size = bulk->single_rows > 0 ? last : 0, rc;
        while (size < last && (bulk->per[size] == 0 || bulk->per[size] > to - *at)) size++;
        rc = sqlpool__bulk_run(bulk, slot, size, *at, error);
        if (rc == SQLPOOL_OK) {
            *at += bulk->per[size];
            if (bulk->single_rows > 0) bulk->single_rows--;
            if (size == 0) bulk->single_step = 64;
            if (sqlpool__now(bulk->core) >= until_ns) return SQLPOOL_OK;
            continue;
        }
        if (sqlite3_get_autocommit(slot->db) != 0 || !sqlpool__is_row_fault(bulk, slot, rc))
            return rc;
        if (!bulk->is_careful) {
            bulk->is_careful = bulk->is_spoilt = true;
            return rc;
        }
        if (size < last) { /* which one? longer if that happens again and again */
            bulk->single_rows = bulk->single_step;
            if (bulk->single_step < 4096) bulk->single_step *= 2;
            sqlpool__error_clear(error);
            continue;
        }
        rc = sqlpool__bulk_refuse(bulk, *at, error);
        if (rc != SQLPOOL_OK) return rc;
        ++*at;
    }
    return SQLPOOL_OK;
}

/*  What the open transaction holds, up to row `at`, is committed with the place to go on. */
static int sqlpool__bulk_commit(sqlpool_bulk *bulk, sqlpool__slot *slot, int at, int *reached,
                                sqlpool_error *error) {
    int rc = sqlpool__bulk_note(bulk, slot, bulk->first_row + at, error);
    if (rc == SQLPOOL_OK) rc = sqlpool__level_commit(slot, error);
    if (rc != SQLPOOL_OK) return rc;
    bulk->changes += bulk->batch_changes;
    *reached = at;
    return SQLPOOL_OK;
}

/*  Rows from `from` on, to *end at most, in a transaction of their own. True: nothing of them is
    in, and which row below the new *end is to blame is not known. */
static bool sqlpool__bulk_try(sqlpool_bulk *bulk, sqlpool__slot *slot, int from, int *end,
                              int64_t until_ns, int *reached, sqlpool_error *error) {
    const int refusals = bulk->refusal_count;
    int at, rc;
    bool is_to_split;
    for (;;) {
        at = from;
        bulk->batch_changes = 0;
        bulk->is_stopped = bulk->is_spoilt = false;
        if (sqlpool__level_begin(slot, error) != SQLPOOL_OK) return false;
        rc = sqlpool__bulk_fill(bulk, slot, &at, *end, until_ns, error);
        if (!bulk->is_spoilt) break;
        sqlpool__abandon_transaction(slot);
        sqlpool__error_clear(error);
    }
    if (rc == SQLPOOL_OK) {
        rc = sqlpool__bulk_commit(bulk, slot, at, reached, error);
        if (rc == SQLPOOL_OK) return false;
        *end = at;
        is_to_split = sqlpool__primary(rc) == SQLITE_CONSTRAINT;
    } else if (bulk->is_stopped) {
        sqlpool_error other;
        sqlpool__error_clear(&other);
        if (sqlpool__bulk_commit(bulk, slot, at, reached, &other) == SQLPOOL_OK) return false;
        *end = at;
        is_to_split = at > from && sqlpool__primary(other.result) == SQLITE_CONSTRAINT;
        *error = other;
    } else {
        is_to_split =
            sqlite3_get_autocommit(slot->db) != 0 && sqlpool__primary(rc) == SQLITE_CONSTRAINT;
    }
    sqlpool__note_outcome(slot, error);
    sqlpool__abandon_transaction(slot);
    bulk->refusal_count = refusals; /* they are found again */
    return is_to_split;
}

/*  The same, in halves where rows do not go in together: a few calls deep, as the logarithm of
    their number. */
static int sqlpool__bulk_range(sqlpool_bulk *bulk, sqlpool__slot *slot, int from, int to,
                               int64_t until_ns, int *reached, sqlpool_error *error) {
    int end = to, middle, rc;
    if (!sqlpool__bulk_try(bulk, slot, from, &end, until_ns, reached, error)) return error->result;
    if (end - from == 1) {
        rc = sqlpool__bulk_refuse(bulk, from, error);
        if (rc != SQLPOOL_OK) return rc;
        rc = sqlpool__bulk_note(bulk, slot, bulk->first_row + end, error);
        if (rc == SQLPOOL_OK)
            *reached = end;
        else
            bulk->refusal_count--; /* it is met again */
        return rc;
    }
    sqlpool__error_clear(error);
    middle = from + (end - from) / 2;
    rc = sqlpool__bulk_range(bulk, slot, from, middle, SQLPOOL__NEVER, reached, error);
    if (rc == SQLPOOL_OK)
        rc = sqlpool__bulk_range(bulk, slot, middle, end, SQLPOOL__NEVER, reached, error);
    return rc;
}

/*------------------------------------------------------------------------------
 * >>[I22.3] the arena is written, and who hears of it                  (private)
 *----------------------------------------------------------------------------*/

static void sqlpool__bulk_report(const sqlpool_bulk *bulk, sqlpool_bulk_progress *progress) {
    const int64_t now = sqlpool__now(bulk->core);
    const int64_t dealt = bulk->first_row - bulk->start_row;
    memset(progress, 0, sizeof *progress);
    progress->rows = dealt + bulk->row_count;
    progress->next_row = bulk->first_row;
    progress->refused = bulk->refused;
    progress->changes = bulk->changes;
    progress->elapsed_ms = (now - bulk->began_ns) / SQLPOOL__NS_PER_MS;
    progress->left_ms = -1;
    if (now > bulk->began_ns) {
        const double rate = (double)dealt * 1e9 / (double)(now - bulk->began_ns);
        const double left = (double)bulk->config.expected_rows - (double)bulk->first_row;
        progress->rows_per_s = (int64_t)rate;
        if (bulk->config.expected_rows > 0 && rate > 0) {
            const double left_ms = left > 0 ? left * 1000 / rate : 0;
            progress->left_ms = left_ms < 9e18 ? (int64_t)left_ms : INT64_MAX;
        }
    }
}

/*  Refused rows by number and reason; the rows are still in the arena. */
static int sqlpool__bulk_tell_refused(sqlpool_bulk *bulk, sqlpool_error *error) {
    int i, rc = SQLPOOL_OK, said_rc;
    for (i = 0; i < bulk->refusal_count; i++) { /* all, also when one of them ends the load */
        const sqlpool__refused_row *refusal = &bulk->refusals[i];
        sqlpool_error said;
        sqlpool__error_clear(&said);
        (void)SQLPOOL__FAIL(&said, refusal->result, "%s", refusal->message);
        said.sqlite_code = refusal->sqlite_code;
        said.outcome = SQLPOOL_OUTCOME_NOT_COMMITTED;
        said_rc = bulk->config.refused_fn(bulk->config.user, bulk->first_row + refusal->row,
                                          sqlpool__bulk_values(bulk, refusal->row), &said);
        if (said_rc == SQLPOOL_OK || rc != SQLPOOL_OK) continue;
        rc = said_rc;
        (void)SQLPOOL__FAIL(error, rc, "refused_fn returned %d for row %lld: %s", rc,
                            (long long)(bulk->first_row + refusal->row), refusal->message);
    }
    bulk->refused += bulk->refusal_count;
    bulk->refusal_count = 0;
    return rc;
}

/*  The first `count` rows are dealt with: the others move up. */
static void sqlpool__bulk_forget_rows(sqlpool_bulk *bulk, int count) {
    const size_t row_bytes = (size_t)bulk->config.column_count * sizeof(sqlpool_value);
    bulk->first_row += count;
    bulk->row_count -= count;
    if (bulk->row_count == 0) {
        bulk->payload = bulk->arena_bytes;
    } else {
        memmove(bulk->arena, bulk->arena + (size_t)count * row_bytes,
                (size_t)bulk->row_count * row_bytes);
    }
}

/*  The writer's turn for one transaction, or as many as the rows need. */
static int sqlpool__bulk_write(sqlpool_bulk *bulk, int *reached, sqlpool_error *error) {
    sqlpool__core *core = bulk->core;
    sqlpool__request request;
    sqlpool__slot *slot;
    int attempt;
    int rc = sqlpool__make_request(core, bulk->file, bulk->line, SQLPOOL_WRITE, &bulk->call,
                                   &request, error);
    if (rc != SQLPOOL_OK) return sqlpool__finish(core, error);
    rc = sqlpool__acquire(core, &request, &slot, error);
    if (rc != SQLPOOL_OK) return rc;
    slot->lock_timeout_ms = bulk->call.timeout_ms; /* of the wait for the lock, not of the run */
    if (bulk->config.relaxed && sqlpool__can_relax(core)) sqlpool__relax(slot, true);
    for (attempt = 1;; attempt++) {
        rc = sqlpool__bulk_range(
            bulk, slot, 0, bulk->row_count,
            sqlpool__time_add(sqlpool__now(core), bulk->config.batch_ms * SQLPOOL__NS_PER_MS),
            reached, error);
        if (rc == SQLPOOL_OK || *reached > 0 || bulk->is_stopped ||
            error->outcome == SQLPOOL_OUTCOME_UNKNOWN || !sqlpool__is_retryable(core, rc) ||
            !sqlpool__retry_wait(slot, &bulk->call, attempt, error))
            break;
    }
    sqlpool__relax(slot, false);
    if (rc != SQLPOOL_OK) (void)sqlpool__finish(core, error);
    (void)sqlpool__lease_end(slot);
    return rc;
}

/*  Writes the arena. */
static int sqlpool__bulk_flush(sqlpool_bulk *bulk, sqlpool_error *error) {
    while (bulk->row_count > 0) {
        sqlpool_bulk_progress progress;
        sqlpool_error refused;
        int reached = 0, rc = sqlpool__bulk_write(bulk, &reached, error);
        sqlpool__error_clear(&refused);
        bulk->is_telling = true;
        if (sqlpool__bulk_tell_refused(bulk, &refused) != SQLPOOL_OK && rc == SQLPOOL_OK) {
            *error = refused;
            rc = sqlpool__finish(bulk->core, error);
        }
        sqlpool__bulk_forget_rows(bulk, reached);
        if (rc == SQLPOOL_OK && bulk->config.progress_fn != NULL) {
            sqlpool__bulk_report(bulk, &progress);
            rc = bulk->config.progress_fn(bulk->config.user, &progress);
            if (rc != SQLPOOL_OK)
                (void)SQLPOOL__FAIL(error, rc, "progress_fn returned %d at row %lld", rc,
                                    (long long)bulk->first_row);
            if (rc != SQLPOOL_OK) (void)sqlpool__finish(bulk->core, error);
        }
        bulk->is_telling = false;
        if (rc != SQLPOOL_OK) return rc;
    }
    return SQLPOOL_OK;
}

/*------------------------------------------------------------------------------
 * >>[I22.4] public calls: bulk                                          (public)
 *----------------------------------------------------------------------------*/

/*  Is the statement right? And where does a load of that name go on? */
static int sqlpool__bulk_start(sqlpool_bulk *bulk, sqlpool_error *error) {
    sqlpool__core *core = bulk->core;
    sqlpool__request request;
    sqlpool__slot *slot;
    sqlite3_stmt *handle;
    const char *tail;
    int rc = sqlpool__make_request(core, bulk->file, bulk->line, SQLPOOL_WRITE, &bulk->call,
                                   &request, error);
    if (rc != SQLPOOL_OK) return sqlpool__finish(core, error);
    rc = sqlpool__acquire(core, &request, &slot, error);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool__statement_begin(slot, error);
    if (rc == SQLPOOL_OK) { /* a step loads the schema if someone has changed it */
        rc = sqlpool__ask(slot->db, "SELECT 1 FROM sqlite_master LIMIT 1", NULL, 0);
        if (rc != SQLITE_OK)
            rc = sqlpool__statement_failed(slot, rc, bulk->sql[SQLPOOL__BULK_SIZES - 1], error);
    }
    if (rc == SQLPOOL_OK) /* one of the cache would not say that the table has gone since */
        rc = sqlpool__prepare(slot, bulk->sql[SQLPOOL__BULK_SIZES - 1],
                              strlen(bulk->sql[SQLPOOL__BULK_SIZES - 1]), SQLITE_PREPARE_PERSISTENT,
                              &handle, &tail, error);
    if (rc == SQLPOOL_OK) (void)sqlite3_finalize(handle);
    sqlpool__disarm(slot);
    if (rc != SQLPOOL_OK) (void)sqlpool__finish(core, error);
    (void)sqlpool__lease_end(slot);
    if (rc != SQLPOOL_OK || bulk->name == NULL) return rc;
    rc = sqlpool_exec_at(bulk->file, bulk->line, bulk->pool, &bulk->call, NULL,
                         "CREATE TABLE IF NOT EXISTS sqlpool_bulk(name TEXT PRIMARY KEY, row "
                         "INTEGER NOT NULL) WITHOUT ROWID",
                         NULL, 0, error);
    if (rc == SQLPOOL_OK) {
        const sqlpool_value name = sqlpool_value_text(bulk->name);
        sqlpool_rows rows;
        (void)sqlpool_query_at(bulk->file, bulk->line, bulk->pool, &bulk->call, &rows,
                               "SELECT row FROM sqlpool_bulk WHERE name=?", &name, 1, error);
        if (sqlpool_rows_next(&rows)) bulk->first_row = sqlpool_rows_int64(&rows, 0);
        rc = sqlpool_rows_close(&rows, error);
    }
    bulk->start_row = bulk->first_row;
    return rc;
}

SQLPOOL_API int sqlpool_bulk_begin_at(const char *file, int line, sqlpool *pool,
                                      const sqlpool_bulk_config *config, sqlpool_bulk **bulk,
                                      sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__core *core;
    sqlpool_bulk *made;
    int rc;
    error = sqlpool__error_or(error, &local);
    if (bulk != NULL) *bulk = NULL;
    rc = sqlpool__enter_inside(pool, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    rc = bulk == NULL ? SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                                      "bulk is NULL: pass the address of a sqlpool_bulk*")
                      : sqlpool__check_bulk(config, error);
    if (rc != SQLPOOL_OK) return sqlpool__leave(core, sqlpool__finish(core, error));
    made = sqlpool__bulk_new(core, config);
    if (made == NULL) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_NOMEM, "no memory for a batch of rows");
        return sqlpool__leave(core, sqlpool__finish(core, error));
    }
    made->file = file;
    made->line = line;
    made->began_ns = sqlpool__now(core);
    rc = sqlpool__bulk_start(made, error);
    if (rc != SQLPOOL_OK) {
        sqlpool__bulk_free(made);
    } else {
        *bulk = made;
    }
    return sqlpool__leave(core, rc);
}

static int sqlpool__enter_bulk(const sqlpool_bulk *bulk, sqlpool_error *error) {
    sqlpool__core *core;
    if (bulk == NULL || bulk->magic != SQLPOOL__BULK_MAGIC)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "this is no load of sqlpool_bulk_begin(), or it was ended");
    if (sqlpool__enter(bulk->pool, &core, error) != SQLPOOL_OK) return error->result;
    return SQLPOOL_OK;
}

/*  The same for calls that change the load. */
static int sqlpool__enter_bulk_free(const sqlpool_bulk *bulk, sqlpool_error *error) {
    const int rc = sqlpool__enter_bulk(bulk, error);
    if (rc != SQLPOOL_OK || !bulk->is_telling) return rc;
    (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                        "refused_fn and progress_fn may not add rows to their load or end it: "
                        "return something else than 0, or keep the row for later");
    return sqlpool__finish(bulk->core, error);
}

/*  What is wrong with a row before it is taken. */
static int sqlpool__check_row(const sqlpool_bulk *bulk, const sqlpool_value *args, int count,
                              size_t *payload, sqlpool_error *error) {
    int i;
    *payload = 0;
    if (args == NULL || count != bulk->config.column_count)
        return SQLPOOL__FAIL(error, SQLPOOL_ARGUMENTS, "the load has %d columns, %d values given",
                             bulk->config.column_count, args == NULL ? 0 : count);
    for (i = 0; i < count; i++) {
        const sqlpool_value *value = &args[i];
        const bool has_bytes = value->type == SQLPOOL_TYPE_TEXT || value->type == SQLPOOL_TYPE_BLOB;
        if (SQLPOOL__UNLIKELY(sqlpool__check_value(value, i, error) != SQLPOOL_OK))
            return error->result;
        if (!has_bytes) continue;
        if (SQLPOOL__UNLIKELY(value->size > INT32_MAX))
            return SQLPOOL__FAIL(error, SQLPOOL_ARGUMENTS, "argument %d has more than 2 GiB",
                                 i + 1);
        *payload += value->size;
    }
    return SQLPOOL_OK;
}

/*  Copies a row that fits. */
static void sqlpool__bulk_copy(sqlpool_bulk *bulk, const sqlpool_value *args) {
    sqlpool_value *row = (sqlpool_value *)(void *)bulk->arena +
                         (size_t)bulk->row_count * (size_t)bulk->config.column_count;
    int i;
    memcpy(row, args, (size_t)bulk->config.column_count * sizeof *row);
    for (i = 0; i < bulk->config.column_count; i++) {
        if ((row[i].type != SQLPOOL_TYPE_TEXT && row[i].type != SQLPOOL_TYPE_BLOB) ||
            row[i].size == 0)
            continue;
        bulk->payload -= row[i].size;
        memcpy(bulk->arena + bulk->payload, row[i].as.blob, row[i].size);
        row[i].as.blob = bulk->arena + bulk->payload;
    }
    bulk->row_count++;
}

/*  A row that is bigger than the arena gets one for itself. */
static int sqlpool__bulk_big_row(sqlpool_bulk *bulk, const sqlpool_value *args, size_t row_bytes,
                                 size_t payload, sqlpool_error *error) {
    sqlpool__core *core = bulk->core;
    char *const arena = bulk->arena;
    const size_t arena_bytes = bulk->arena_bytes, big = row_bytes + payload;
    int rc;
    bulk->arena = (char *)sqlpool__alloc(&core->memory, big);
    if (bulk->arena == NULL) {
        bulk->arena = arena;
        return SQLPOOL__FAIL(error, SQLPOOL_NOMEM, "no memory for a row of %llu bytes",
                             (unsigned long long)big);
    }
    bulk->arena_bytes = bulk->payload = big;
    sqlpool__bulk_copy(bulk, args);
    rc = sqlpool__bulk_flush(bulk, error);
    sqlpool__free(&core->memory, bulk->arena, big);
    bulk->arena = arena;
    bulk->arena_bytes = bulk->payload = arena_bytes;
    bulk->row_count = 0;
    return rc;
}

SQLPOOL_API int sqlpool_bulk_row(sqlpool_bulk *bulk, const sqlpool_value *args, int count,
                                 sqlpool_error *error) {
    sqlpool_error local;
    size_t row_bytes, used, payload;
    int rc;
    error = sqlpool__error_or(error, &local);
    rc = sqlpool__enter_bulk_free(bulk, error);
    if (SQLPOOL__UNLIKELY(rc != SQLPOOL_OK)) return rc;
    if (SQLPOOL__UNLIKELY(bulk->error.result != SQLPOOL_OK)) {
        *error = bulk->error;
        return error->result;
    }
    if (SQLPOOL__UNLIKELY(sqlpool__check_row(bulk, args, count, &payload, error) != SQLPOOL_OK))
        return sqlpool__finish(bulk->core, error);
    row_bytes = (size_t)count * sizeof *args;
    used = (size_t)bulk->row_count * row_bytes;
    if (SQLPOOL__LIKELY(used + row_bytes + payload <= bulk->payload)) {
        sqlpool__bulk_copy(bulk, args);
        return SQLPOOL_OK;
    }
    rc = sqlpool__bulk_flush(bulk, error);
    if (rc == SQLPOOL_OK && row_bytes + payload > bulk->arena_bytes) {
        rc = sqlpool__bulk_big_row(bulk, args, row_bytes, payload, error);
    } else if (rc == SQLPOOL_OK) {
        sqlpool__bulk_copy(bulk, args);
    }
    if (rc != SQLPOOL_OK) bulk->error = *error;
    return rc;
}

SQLPOOL_API int64_t sqlpool_bulk_next_row(const sqlpool_bulk *bulk) {
    sqlpool_error local;
    sqlpool__error_clear(&local);
    if (sqlpool__enter_bulk(bulk, &local) != SQLPOOL_OK) return local.result;
    return bulk->first_row + (bulk->error.result == SQLPOOL_OK ? bulk->row_count : 0);
}

SQLPOOL_API int sqlpool_bulk_end(sqlpool_bulk *bulk, sqlpool_bulk_progress *progress,
                                 sqlpool_error *error) {
    sqlpool_error local;
    int rc;
    error = sqlpool__error_or(error, &local);
    if (progress != NULL) memset(progress, 0, sizeof *progress);
    rc = sqlpool__enter_bulk_free(bulk, error);
    if (rc != SQLPOOL_OK) return rc;
    if (bulk->error.result != SQLPOOL_OK) {
        *error = bulk->error;
        rc = error->result;
    } else {
        rc = sqlpool__bulk_flush(bulk, error);
    }
    if (rc == SQLPOOL_OK && bulk->config.relaxed && sqlpool__can_relax(bulk->core)) {
        rc = sqlpool_sync(bulk->pool, 0, bulk->call.timeout_ms, error);
    }
    if (rc == SQLPOOL_OK && bulk->name != NULL) {
        const sqlpool_value name = sqlpool_value_text(bulk->name);
        rc = sqlpool_exec_at(bulk->file, bulk->line, bulk->pool, &bulk->call, NULL,
                             "DELETE FROM sqlpool_bulk WHERE name=?", &name, 1, error);
    }
    if (progress != NULL) sqlpool__bulk_report(bulk, progress);
    sqlpool__bulk_free(bulk);
    return rc;
}

SQLPOOL_API int sqlpool_bulk_abandon(sqlpool_bulk *bulk, sqlpool_bulk_progress *progress) {
    sqlpool_error local;
    sqlpool__error_clear(&local);
    if (progress != NULL) memset(progress, 0, sizeof *progress);
    if (sqlpool__enter_bulk_free(bulk, &local) != SQLPOOL_OK) return local.result;
    if (progress != NULL) sqlpool__bulk_report(bulk, progress);
    sqlpool__bulk_free(bulk);
    return SQLPOOL_OK;
}

/*==============================================================================
 * >>[I24] UPKEEP: all periodic work                                    (private)
 *==============================================================================
    One function does everything that is due, in order of urgency, and says when it wants to run
    again: deadlines of running statements, a checkpoint that was asked for, then once per
    upkeep_interval_ms idle and aged connections and leaks, then once per health_interval_ms a look
    at one idle connection. The thread sleeps until then or until it is kicked; without a thread
    sqlpool_tick() calls the same function. When a pass finds that nothing happened since the last
    one, the next is as far off as the health check, so an idle program is woken every 30 s, not
    every second. */

/*  Stops what ran past its deadline and may not call the progress handler for long; returns the
    next deadline. */
static int64_t sqlpool__stop_expired(sqlpool__core *core, int64_t now) {
    int64_t next = SQLPOOL__NEVER;
    uint32_t i;
    sqlpool__lock(core);
    for (i = 0; i < core->slot_count; i++) {
        sqlpool__slot *slot = &core->slots[i];
        const uint64_t word = SQLPOOL__LOAD_ORDERED(&slot->word);
        const int64_t deadline = SQLPOOL__LOAD_ORDERED(&slot->deadline_ns);
        const uint64_t number = word >> SQLPOOL__NUMBER_SHIFT;
        if (sqlpool__state(word) != SQLPOOL__LEASED || deadline == SQLPOOL__NEVER) continue;
        if (deadline > now) {
            next = sqlpool__earlier(next, deadline);
        } else { /* again and again: one sent just before the statement began is forgotten by SQLite
            */
            SQLPOOL__STORE(&slot->expired, number);
            sqlpool__interrupt_locked(slot, number, deadline);
            next = sqlpool__earlier(next, sqlpool__time_add(now, 10 * SQLPOOL__NS_PER_MS));
        }
    }
    sqlpool__unlock(core);
    return next;
}

/*  A snapshot scope that is older than its maximum age is reported once; returns the next. */
static int64_t sqlpool__report_scopes(sqlpool__core *core, int64_t now) {
    int64_t next = SQLPOOL__NEVER;
    uint32_t i;
    for (i = 0; i + 1 < core->slot_count && SQLPOOL__LOAD_RELAXED(&core->scopes) != 0; i++) {
        sqlpool__slot *slot = &core->slots[i];
        int64_t report = SQLPOOL__LOAD_ORDERED(&slot->scope_report_ns);
        sqlpool_holder holder;
        char line[512];
        sqlpool__text text = sqlpool__text_into(line, sizeof line);
        if (report == SQLPOOL__NEVER) continue;
        if (report > now) {
            next = sqlpool__earlier(next, report);
            continue;
        }
        sqlpool__lock(core);
        sqlpool__observe_locked(core, now);
        sqlpool__holder_locked(slot, now, &holder);
        sqlpool__unlock(core);
        if (!SQLPOOL__CAS(&slot->scope_report_ns, &report, SQLPOOL__NEVER))
            continue; /* it has ended: that may have been another one's name */
        sqlpool__text_holder(&text, &holder);
        sqlpool__log_line(core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_SNAPSHOT_OLD,
                          "older than its max_age_ms, and pins the log: %s", line);
    }
    return next;
}

static int sqlpool__open_count(const sqlpool__core *core) {
    uint32_t i;
    int count = 0;
    for (i = 0; i + 1 < core->slot_count; i++)
        count += SQLPOOL__LOAD(&core->slots[i].is_open) != 0 ? 1 : 0;
    return count;
}

/*  A lease that is out for long is reported once, and once more when it is back; a completion
    callback that does not return too. */
static void sqlpool__report_leaks(sqlpool__core *core, int64_t now) {
    const int64_t limit = core->config.leak_report_ms * SQLPOOL__NS_PER_MS;
    int64_t done_since;
    uint32_t i;
    for (i = 0; i + 1 < core->slot_count; i++) {
        sqlpool__slot *slot = &core->slots[i];
        sqlpool_holder holder;
        char line[400];
        sqlpool__text text = sqlpool__text_into(line, sizeof line);
        bool is_new = false, is_over = false;
        sqlpool__lock(core);
        if (slot->reported_word != 0 && slot->reported_word != SQLPOOL__LOAD_ORDERED(&slot->word)) {
            slot->reported_word = 0;
            is_over = true;
        } else if (limit > 0 && slot->reported_word == 0 && sqlpool__is_leased(slot) &&
                   slot->seen_word == SQLPOOL__LOAD_ORDERED(&slot->word) &&
                   now - slot->seen_ns >= limit) {
            slot->reported_word = slot->seen_word;
            is_new = true;
            sqlpool__holder_locked(slot, now, &holder);
        }
        sqlpool__unlock(core);
        if (is_over) {
            sqlpool__log_line(core, SQLPOOL_LEVEL_INFO, SQLPOOL_LOG_LEAK_ENDED,
                              "the reported lease of connection %u came back", i);
        }
        if (!is_new) continue;
        SQLPOOL__TALLY_POOL(core, leaks);
        sqlpool__text_holder(&text, &holder);
        sqlpool__log_line(core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_LEAK,
                          "not given back for long: %s", line);
    }
    done_since = SQLPOOL__LOAD(&core->done_since_ns);
    if (limit > 0 && done_since != 0 && done_since != core->done_reported_ns &&
        now - done_since >= limit) {
        core->done_reported_ns = done_since;
        sqlpool__log_line(core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_LEAK,
                          "the done_fn of a submitted write has not returned for %lld ms; the "
                          "others wait for it",
                          (long long)((now - done_since) / SQLPOOL__NS_PER_MS));
    }
}

/*  Ends snapshots that were not used for snapshot_idle_ms; returns when to look again. */
static int64_t sqlpool__end_idle_snapshots(sqlpool__core *core, int64_t now) {
    const int64_t idle = core->config.snapshot_idle_ms * SQLPOOL__NS_PER_MS;
    int64_t next = SQLPOOL__NEVER;
    uint32_t i;
    if (!core->is_wal || idle < 0) return next;
    for (i = 0; i + 1 < core->slot_count; i++) {
        sqlpool__slot *slot = &core->slots[i];
        uint32_t fresh = SQLPOOL__SNAPSHOT_FRESH;
        uint64_t use;
        bool is_old;
        if (SQLPOOL__LOAD_ORDERED(&slot->has_snapshot) == 0) continue;
        use = SQLPOOL__LOAD_ORDERED(&slot->word) + /* a held lease keeps its word */
              SQLPOOL__LOAD_RELAXED(&slot->counters[SQLPOOL__COUNT_statements]);
        sqlpool__lock(core);
        if (use != slot->seen_use) {
            slot->seen_use = use;
            slot->seen_use_ns = now;
        }
        is_old = now - slot->seen_use_ns >= idle;
        sqlpool__unlock(core);
        if (is_old && sqlpool__retire(slot)) continue;
        if (!SQLPOOL__CAS(&slot->has_snapshot, &fresh, (uint32_t)SQLPOOL__SNAPSHOT_SEEN))
            SQLPOOL__STORE_RELAXED(&slot->backfill, SQLPOOL__RENEW);
        next = sqlpool__time_add(now, idle);
    }
    return next;
}

/*  Idle connections above the minimum close, from the last slot down so that the warm ones stay;
    those unused for a while or too old are marked to be looked at before their next use. */
static void sqlpool__reap(sqlpool__core *core, int64_t now) {
    const sqlpool_config *config = &core->config;
    uint32_t i = core->slot_count - 1; /* the checkpointer is in no lane */
    int open = sqlpool__open_count(core);
    while (i-- > 0) {
        sqlpool__slot *slot = &core->slots[i];
        int64_t unused;
        bool is_idle;
        sqlpool__lock(core);
        is_idle = sqlpool__state(SQLPOOL__LOAD_ORDERED(&slot->word)) == SQLPOOL__IDLE &&
                  slot->seen_word == SQLPOOL__LOAD_ORDERED(&slot->word);
        unused = now - slot->seen_ns;
        sqlpool__unlock(core);
        if (now >= SQLPOOL__LOAD_RELAXED(&slot->dies_ns))
            SQLPOOL__STORE_RELAXED(&slot->attention, 1u);
        if (!is_idle) continue;
        if (unused >= config->validate_after_ms * SQLPOOL__NS_PER_MS)
            SQLPOOL__STORE_RELAXED(&slot->attention, 1u);
        if (config->idle_timeout_ms <= 0 || unused < config->idle_timeout_ms * SQLPOOL__NS_PER_MS)
            continue;
        if (open <= config->min_connections || slot->role == SQLPOOL__ROLE_WRITER ||
            !sqlpool__claim(slot))
            continue;
        SQLPOOL__TALLY(slot, closed_idle);
        sqlpool__close_connection(slot);
        sqlpool__give_back(slot, sqlpool__lane_of_slot(slot));
        open--;
    }
}

/*  The index is looked at without a lock, and may be about to change: a checkpoint looks again. */
static void sqlpool__suspect_log(sqlpool__core *core, const sqlpool__slot *slot) {
    if (slot->stamp_map == NULL || SQLPOOL__LOAD(&core->is_log_lost) != 0) return;
    if (sqlpool__stamp_word(slot->stamp_map, SQLPOOL__BACKFILL) >
        sqlpool__stamp_word(slot->stamp_map, SQLPOOL__STAMP_FRAMES))
        SQLPOOL__STORE(&core->checkpoint_due, 1u);
}

/*  One idle connection: is its file still there, does it still answer? A bad one is opened anew.
    Under the shared gate a read could meet the writer, so there only the file is looked at. */
static void sqlpool__check_health(sqlpool__core *core) {
    const uint32_t count = core->slot_count - 1;
    uint32_t tried;
    if ((SQLPOOL__LOAD(&core->gate) & (uint32_t)SQLPOOL__GATE_BLOCKING) != 0) return;
    for (tried = 0; tried < count; tried++) {
        const uint32_t i = (core->next_health_slot + tried) % count;
        sqlpool__slot *slot = &core->slots[i];
        sqlpool__lane *lane;
        sqlpool_error error;
        if (!sqlpool__claim(slot)) continue;
        core->next_health_slot = i + 1;
        lane = sqlpool__lane_of_slot(slot);
        sqlpool__error_clear(&error);
        sqlpool__suspect_log(core, slot);
        if (!core->is_shared_gate) {
            const int rc = sqlpool__ask(slot->db, "SELECT 1 FROM sqlite_master LIMIT 1", NULL, 0);
            if (sqlpool__is_connection_bad(rc)) slot->is_bad = true;
        }
        if (sqlpool__revalidate(slot, lane, false, &error) == SQLPOOL_OK)
            sqlpool__give_back(slot, lane);
        return;
    }
}

/*------------------------------------------------------------------------------
 * >>[I24.2] the pass, the thread, the tick                            (private)
 *----------------------------------------------------------------------------*/

/*  Sum of what callers did: tells an idle pass. */
static uint64_t sqlpool__activity(const sqlpool__core *core) {
    uint64_t sum = 0;
    uint32_t i;
    for (i = 0; i < core->slot_count; i++)
        sum += SQLPOOL__LOAD_ORDERED(&core->slots[i].word) >> SQLPOOL__NUMBER_SHIFT;
    return sum;
}

#define SQLPOOL__UPKEEP_PATIENCE \
    (10 * SQLPOOL__NS_PER_MS) /* a queue of short writes is through by then */

/*  Does what is due; tells when it wants to be called again. Never called by two threads at once.
    */
static int64_t sqlpool__upkeep_pass(sqlpool__core *core, int64_t budget_ns) {
    const sqlpool_config *config = &core->config;
    int64_t now = sqlpool__now(core), next = sqlpool__stop_expired(core, now);
    const int64_t stop_at = sqlpool__time_add(now, budget_ns);
    bool may_begin = true; /* one task, whatever the budget */
    next = sqlpool__earlier(next, sqlpool__end_idle_snapshots(core, now));
    next = sqlpool__earlier(next, sqlpool__report_scopes(core, now));
    if (SQLPOOL__LOAD(&core->is_awake) != 0) {
        core->next_reap_ns =
            sqlpool__earlier(core->next_reap_ns, sqlpool__time_add(now, config->upkeep_interval_ms *
                                                                            SQLPOOL__NS_PER_MS));
    }
    if (SQLPOOL__LOAD_RELAXED(&core->checkpoint_due) != 0 &&
        !sqlpool__may_upkeep_checkpoint(core, now)) {
        next = sqlpool__earlier(next, SQLPOOL__LOAD_RELAXED(&core->next_checkpoint_ns));
    } else if (SQLPOOL__LOAD_RELAXED(&core->checkpoint_due) != 0) {
        sqlpool_checkpoint_result result = {-1, -1};
        sqlpool_error error;
        sqlpool__error_clear(&error);
        SQLPOOL__STORE(&core->checkpoint_due, 0u);
        if (sqlpool__checkpoint(core, SQLPOOL_CHECKPOINT_PASSIVE,
                                sqlpool__time_add(now, SQLPOOL__UPKEEP_PATIENCE), &result,
                                &error) == SQLPOOL_TIMEOUT) {
            SQLPOOL__STORE(&core->checkpoint_due,
                           1u); /* the writer is out: deadlines must not wait for it */
            next = sqlpool__earlier(next, sqlpool__time_add(now, 2 * SQLPOOL__UPKEEP_PATIENCE));
        }
        /* who commits meanwhile does not kick */
        next = sqlpool__earlier(next, SQLPOOL__LOAD_RELAXED(&core->next_checkpoint_ns));
        now = sqlpool__now(core);
        next = sqlpool__earlier(next, sqlpool__stop_expired(core, now));
        may_begin = now < stop_at;
    }
    if (now >= core->next_reap_ns && may_begin) {
        const uint64_t activity = sqlpool__activity(core);
        bool is_busy;
        sqlpool__report_leaks(core, now);
        sqlpool__lock(core);
        sqlpool__observe_locked(core, now);
        sqlpool__unlock(core);
        sqlpool__reap(core, now);
        sqlpool__lock(core);
        is_busy =
            activity != core->last_activity || sqlpool__open_count(core) > config->min_connections;
        sqlpool__unlock(core);
        core->last_activity = sqlpool__activity(core);
        {
            uint32_t i;
            for (i = 0; i < core->slot_count && !is_busy; i++)
                is_busy = sqlpool__is_leased(&core->slots[i]);
        }
        SQLPOOL__STORE(&core->is_awake, is_busy ? 1u : 0u);
        if (!is_busy) { /* the next pass is far off: what is taken until then was long unused */
            uint32_t i;
            for (i = 0; i + 1 < core->slot_count; i++)
                SQLPOOL__STORE_RELAXED(&core->slots[i].attention, 1u);
        }
        core->next_reap_ns = sqlpool__time_add(
            now, (is_busy ? config->upkeep_interval_ms : config->health_interval_ms) *
                     SQLPOOL__NS_PER_MS);
        now = sqlpool__now(core);
        may_begin = now < stop_at;
    }
    if (now >= core->next_health_ns && may_begin) {
        sqlpool__check_health(core);
        core->next_health_ns =
            sqlpool__time_add(now, config->health_interval_ms * SQLPOOL__NS_PER_MS);
        core->last_activity = sqlpool__activity(core);
    }
    return sqlpool__earlier(next, sqlpool__earlier(core->next_reap_ns, core->next_health_ns));
}

#ifndef SQLPOOL_NO_THREADS
static void sqlpool__upkeep_main(void *argument) {
    sqlpool__core *core = (sqlpool__core *)argument;
    sqlpool__hint.inside++; /* its hooks cannot close the pool that joins it */
    sqlpool__lock(core);
    while (!core->is_upkeep_stopping) {
        uint32_t none = 0;
        int64_t wake_at = 0;
        core->is_upkeep_kicked = false;
        sqlpool__unlock(core);
        if (SQLPOOL__CAS(&core->ticking, &none, 1u)) {
            wake_at = sqlpool__upkeep_pass(core, SQLPOOL__NEVER);
            SQLPOOL__STORE(&core->ticking, 0u);
        } else { /* a sqlpool_tick() is inside; look again when it is done */
            wake_at = sqlpool__time_add(sqlpool__now(core), 10 * SQLPOOL__NS_PER_MS);
        }
        sqlpool__lock(core);
        if (core->is_upkeep_kicked || core->is_upkeep_stopping) continue;
        SQLPOOL__STORE(&core->upkeep_wake_ns, wake_at); /* earlier deadlines kick from here on */
        sqlpool__wait_locked(core, &core->upkeep_condition, sqlpool__now(core), wake_at);
        (void)SQLPOOL__EXCHANGE(&core->upkeep_wake_ns,
                                SQLPOOL__NEVER); /* every new deadline kicks */
    }
    sqlpool__unlock(core);
}
#endif

/*  Runs submitted writes until then, without waiting for the writer; at least one. */
static void sqlpool__tick_submitted(sqlpool__core *core, int64_t stop_ns) {
    bool is_drainer, is_left;
    int before, queued;
    sqlpool_error error;
    sqlpool__lock(core);
    queued = core->entries_queued_count;
    is_drainer = queued > 0 && sqlpool__begin_drain_locked(core);
    sqlpool__unlock(core);
    if (!is_drainer) return;
    do {
        sqlpool__error_clear(&error);
        if (sqlpool__drain_once(core, false, 1, stop_ns, &error) != SQLPOOL_OK) break;
        before = queued;
        sqlpool__lock(core);
        queued = core->entries_queued_count;
        sqlpool__unlock(core);
        is_left = queued > 0 && queued != before;
    } while (is_left && sqlpool__now(core) < stop_ns);
    sqlpool__end_drain(core);
}

SQLPOOL_API int sqlpool_tick(sqlpool *pool, int budget_us) {
    sqlpool_error local;
    sqlpool__core *core;
    int64_t now;
    uint32_t none = 0;
    int rc;
    sqlpool__error_clear(&local);
    rc = sqlpool__enter_inside(pool, &core, &local);
    if (rc != SQLPOOL_OK) return rc;
    if (budget_us < 0) {
        (void)SQLPOOL__FAIL(&local, SQLPOOL_MISUSE, "budget_us is %d: use 0 or more", budget_us);
        return sqlpool__leave(core, sqlpool__finish(core, &local));
    }
    if ((SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_CLOSED) != 0)
        return sqlpool__leave(core, SQLPOOL_CLOSED);
    if (!SQLPOOL__CAS(&core->ticking, &none, 1u)) return sqlpool__leave(core, SQLPOOL_OK);
    now = sqlpool__now(core);
    (void)sqlpool__upkeep_pass(core, budget_us * SQLPOOL__NS_PER_US);
    sqlpool__tick_submitted(core, sqlpool__time_add(now, budget_us * SQLPOOL__NS_PER_US));
    SQLPOOL__STORE(&core->ticking, 0u);
    return sqlpool__leave(core, SQLPOOL_OK);
}

/*==============================================================================
 * >>[I25] REPORT: statistics, holders, status                          (private)
 *==============================================================================
    Everything here reads atomics, and the lock only for the list of holders; no report waits for a
    connection or makes anyone wait. */

static void sqlpool__collect(sqlpool__core *core, sqlpool_stats *stats) {
    uint32_t i;
    memset(stats, 0, sizeof *stats);
    stats->min = core->config.min_connections;
    stats->max = core->config.max_connections;
    for (i = 0; i + 1 < core->slot_count; i++) {
        const unsigned state = sqlpool__state(SQLPOOL__LOAD_ORDERED(&core->slots[i].word));
        stats->open += SQLPOOL__LOAD(&core->slots[i].is_open) != 0 ? 1 : 0;
        stats->used += state == SQLPOOL__LEASED || state == SQLPOOL__RETURNING ? 1 : 0;
        stats->idle += state == SQLPOOL__IDLE ? 1 : 0;
    }
    stats->waiting_read = (int)SQLPOOL__LOAD(&core->lanes[0].waiting);
    stats->waiting_write = (int)SQLPOOL__LOAD(&core->lanes[1].waiting);
    sqlpool__lock(core);
    stats->submitted_now = core->entries_queued_count;
    stats->breaker_read = (int)core->breakers[SQLPOOL_READ].state;
    stats->breaker_write = (int)core->breakers[SQLPOOL_WRITE].state;
    sqlpool__unlock(core);
    stats->utilisation_percent = stats->used * 100 / stats->max;
    stats->wal_frames = (int64_t)SQLPOOL__LOAD_RELAXED(&core->wal_frames);
    stats->wal_bytes = stats->wal_frames * core->page_bytes;
    stats->memory_bytes = SQLPOOL__LOAD_RELAXED(&core->memory.held_bytes);
    stats->allocations = SQLPOOL__LOAD_RELAXED(&core->memory.allocations);
#define SQLPOOL__COUNTER_COLLECT(name, text) \
    stats->name = sqlpool__counter(core, SQLPOOL__COUNT_##name);
    SQLPOOL_COUNTERS(SQLPOOL__COUNTER_COLLECT)
#undef SQLPOOL__COUNTER_COLLECT
}

SQLPOOL_API int sqlpool_get_stats(sqlpool *pool, sqlpool_stats *stats) {
    sqlpool_error local;
    sqlpool__core *core;
    int rc;
    sqlpool__error_clear(&local);
    if (stats != NULL) memset(stats, 0, sizeof *stats);
    rc = sqlpool__enter_inside(pool, &core, &local);
    if (rc != SQLPOOL_OK) return rc;
    if (stats == NULL) {
        (void)SQLPOOL__FAIL(&local, SQLPOOL_MISUSE, "stats is NULL");
        return sqlpool__leave(core, sqlpool__finish(core, &local));
    }
    sqlpool__collect(core, stats);
    return sqlpool__leave(core, SQLPOOL_OK);
}

/*  The connection that lent its mapping was closed: another idle one does. */
static void sqlpool__lend_any_stamp(sqlpool__core *core) {
    uint32_t i;
    for (i = 0; i + 1 < core->slot_count; i++) {
        sqlpool__slot *slot = &core->slots[i];
        if (SQLPOOL__LOAD(&core->stamp_map) != NULL) return;
        if (!sqlpool__claim(slot)) continue;
        sqlpool__lend_stamp(slot);
        sqlpool__give_back(slot, sqlpool__lane_of_slot(slot));
    }
}

/*  The header as it is now; false while it is being written, or no connection is idle to lend its
    mapping. When all connections were closed meanwhile the log was deleted, and a new one may begin
    with the same header: the number of the lending, in a word that SQLite does not use, tells them
    apart. */
static bool sqlpool__stamp_now(sqlpool__core *core, sqlpool__stamp *stamp) {
    const volatile uint32_t *map;
    bool is_known = false;
    if (SQLPOOL__UNLIKELY(SQLPOOL__LOAD(&core->stamp_map) == NULL)) sqlpool__lend_any_stamp(core);
    (void)SQLPOOL__ADD(&core->stamp_users, 1u);
    map = SQLPOOL__LOAD_ORDERED(&core->stamp_map);
    if (map != NULL) is_known = sqlpool__stamp_read(map, stamp);
    stamp->words[SQLPOOL__STAMP_UNUSED] = SQLPOOL__LOAD(&core->stamp_lent);
    (void)SQLPOOL__ADD(&core->stamp_users, (uint32_t)-1);
    return is_known;
}

/*  What sqlpool_changed() says of a core. */
static int sqlpool__has_changed(sqlpool__core *core, sqlpool_stamp *stamp) {
    sqlpool__stamp now;
    memset(&now, 0, sizeof now);
    if (core->is_memory) { /* nobody else can reach it */
        const uint64_t commits = SQLPOOL__LOAD_ORDERED(&core->commits) + 1;
        memcpy(now.words, &commits, sizeof commits);
    } else if (!core->has_stamp || SQLPOOL__LOAD(&core->is_stamp_bad) != 0) {
        return SQLPOOL_UNSUPPORTED;
    } else if (!sqlpool__stamp_now(core, &now)) {
        memset(stamp, 0, sizeof *stamp); /* cannot tell now: yes, and again next time */
        return 1;
    }
    if (memcmp(stamp->words, now.words, sizeof now.words) == 0) return 0;
    memcpy(stamp->words, now.words, sizeof now.words);
    return 1;
}

SQLPOOL_API int sqlpool_changed(sqlpool *pool, sqlpool_stamp *stamp) {
    sqlpool_error local;
    sqlpool__core *core;
    int rc;
    sqlpool__error_clear(&local);
    rc = sqlpool__enter_inside(pool, &core, &local);
    if (SQLPOOL__UNLIKELY(rc != SQLPOOL_OK)) return rc;
    if (SQLPOOL__UNLIKELY(stamp == NULL)) {
        (void)SQLPOOL__FAIL(&local, SQLPOOL_MISUSE, "stamp is NULL");
        return sqlpool__leave(core, sqlpool__finish(core, &local));
    }
    if ((SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_CLOSED) != 0)
        return sqlpool__leave(core, SQLPOOL_CLOSED);
    return sqlpool__leave(core, sqlpool__has_changed(core, stamp));
}

SQLPOOL_API int sqlpool_holders(sqlpool *pool, sqlpool_holder *holders, int capacity) {
    sqlpool_error local;
    sqlpool__core *core;
    int64_t now;
    uint32_t i;
    int count = 0, rc;
    sqlpool__error_clear(&local);
    rc = sqlpool__enter_inside(pool, &core, &local);
    if (rc != SQLPOOL_OK) return rc;
    if (capacity < 0 || (capacity > 0 && holders == NULL)) {
        (void)SQLPOOL__FAIL(&local, SQLPOOL_MISUSE, "holders is NULL or capacity %d is negative",
                            capacity);
        return sqlpool__leave(core, sqlpool__finish(core, &local));
    }
    now = sqlpool__now(core);
    sqlpool__lock(core);
    sqlpool__observe_locked(core, now);
    for (i = 0; i + 1 < core->slot_count; i++) { /* the checkpointer is the pool's own */
        sqlpool_holder holder;
        int at;
        if (!sqlpool__is_leased(&core->slots[i])) continue;
        sqlpool__holder_locked(&core->slots[i], now, &holder);
        count++;
        for (at = count <= capacity ? count - 1 : capacity;
             at > 0 && holders[at - 1].held_ms < holder.held_ms; at--) {
            if (at < capacity) holders[at] = holders[at - 1];
        }
        if (at < capacity) holders[at] = holder;
    }
    sqlpool__unlock(core);
    return sqlpool__leave(core, count);
}

/*  A breaker that is not closed, with its cause. */
static void sqlpool__status_breaker(sqlpool__core *core, int mode, sqlpool__text *text) {
    sqlpool__breaker breaker;
    int64_t now;
    if (SQLPOOL__LOAD(&core->breakers[mode].state) == SQLPOOL__BREAKER_CLOSED) return;
    now = sqlpool__now(core);
    sqlpool__lock(core);
    breaker = core->breakers[mode];
    sqlpool__unlock(core);
    sqlpool__text_add(text,
                      "breaker      %s fail at once for %lld ms, %s: ", sqlpool__mode_noun(mode),
                      (long long)((now - breaker.opened_ns) / SQLPOOL__NS_PER_MS),
                      breaker.state == SQLPOOL__BREAKER_TRYING ? "one tries" : "none tries");
    sqlpool__text_string(text, breaker.message);
    sqlpool__text_add(text, "\n");
}

static void sqlpool__status_as_text(sqlpool__core *core, const sqlpool_stats *stats,
                                    const sqlpool_holder *holders, int count, int known,
                                    sqlpool__text *text) {
    int i;
    sqlpool__text_string(text, core->config.name);
    sqlpool__text_add(text, ": ");
    sqlpool__text_string(text, core->path);
    sqlpool__text_add(text, " (%s%s)\n",
                      core->is_wal ? "WAL" : sqlpool__journal_names[core->config.journal],
                      core->config.read_only ? ", read-only" : "");
    sqlpool__text_add(text, "connections  %d open of %d..%d, %d used (%d %%), %d idle\n",
                      stats->open, stats->min, stats->max, stats->used, stats->utilisation_percent,
                      stats->idle);
    sqlpool__text_add(text,
                      "waiting      %d for a reader, %d for the writer, %d submitted writes\n",
                      stats->waiting_read, stats->waiting_write, stats->submitted_now);
    sqlpool__status_breaker(core, SQLPOOL_READ, text);
    sqlpool__status_breaker(core, SQLPOOL_WRITE, text);
    sqlpool__text_add(text, "log          %lld frames, %lld bytes\n", (long long)stats->wal_frames,
                      (long long)stats->wal_bytes);
    sqlpool__text_add(text, "snapshots    %s\n", SQLPOOL__LOAD(&core->snapshot_state));
    sqlpool__text_add(text, "memory       %lld bytes in %lld allocations so far\n",
                      (long long)stats->memory_bytes, (long long)stats->allocations);
#define SQLPOOL__COUNTER_LINE(name, meaning) \
    sqlpool__text_add(text, "%-20s %12llu  %s\n", #name, (unsigned long long)stats->name, meaning);
    SQLPOOL_COUNTERS(SQLPOOL__COUNTER_LINE)
#undef SQLPOOL__COUNTER_LINE
    sqlpool__text_add(text, "leases out   %d", count);
    for (i = 0; i < count && i < known; i++) {
        sqlpool__text_add(text, "\n  ");
        sqlpool__text_holder(text, &holders[i]);
    }
    sqlpool__text_add(text, "\n");
}

static void sqlpool__status_as_json(sqlpool__core *core, const sqlpool_stats *stats,
                                    const sqlpool_holder *holders, int count, int known,
                                    sqlpool__text *text) {
    int i;
    sqlpool__text_add(text, "{\"name\":");
    sqlpool__text_json(text, core->config.name);
    sqlpool__text_add(text, ",\"path\":");
    sqlpool__text_json(text, core->path);
    sqlpool__text_add(text, ",\"journal\":\"%s\",\"read_only\":%s,\"snapshot_state\":",
                      sqlpool__journal_names[core->config.journal],
                      core->config.read_only ? "true" : "false");
    sqlpool__text_json(text, SQLPOOL__LOAD(&core->snapshot_state));
    sqlpool__text_add(
        text,
        ",\"min\":%d,\"max\":%d,\"open\":%d,\"used\":%d,\"idle\":%d,\"waiting_read\":"
        "%d,\"waiting_write\":%d,\"submitted_now\":%d,\"breaker_read\":%d,\"breaker_write\":%d,"
        "\"utilisation_percent\":%d,\"wal_frames\":%lld,\"wal_bytes\":%lld,\"memory_"
        "bytes\":%lld,\"allocations\":%lld",
        stats->min, stats->max, stats->open, stats->used, stats->idle, stats->waiting_read,
        stats->waiting_write, stats->submitted_now, stats->breaker_read, stats->breaker_write,
        stats->utilisation_percent, (long long)stats->wal_frames, (long long)stats->wal_bytes,
        (long long)stats->memory_bytes, (long long)stats->allocations);
#define SQLPOOL__COUNTER_JSON(name, meaning) \
    sqlpool__text_add(text, ",\"" #name "\":%llu", (unsigned long long)stats->name);
    SQLPOOL_COUNTERS(SQLPOOL__COUNTER_JSON)
#undef SQLPOOL__COUNTER_JSON
    sqlpool__text_add(text, ",\"holders\":[");
    for (i = 0; i < count && i < known; i++) {
        const sqlpool_holder *holder = &holders[i];
        sqlpool__text_add(text,
                          "%s{\"slot\":%u,\"mode\":\"%s\",\"held_ms\":%lld,\"wal_frames\":%llu,"
                          "\"snapshot_ms\":%lld,\"file\":",
                          i > 0 ? "," : "", (unsigned)holder->slot,
                          holder->mode == SQLPOOL_WRITE ? "write" : "read",
                          (long long)holder->held_ms, (unsigned long long)holder->wal_frames,
                          (long long)holder->snapshot_ms);
        sqlpool__text_json(text, holder->file != NULL ? holder->file : "");
        sqlpool__text_add(text, ",\"line\":%d,\"tag\":", holder->line);
        sqlpool__text_json(text, holder->tag != NULL ? holder->tag : "");
        sqlpool__text_add(text, ",\"sql\":");
        sqlpool__text_json(text, holder->sql);
        sqlpool__text_add(text, "}");
    }
    sqlpool__text_add(text, "]}\n");
}

#define SQLPOOL__STATUS_HOLDERS 32 /* on the stack of the caller: 6 KiB */

static int sqlpool__status(sqlpool *pool, char *buffer, size_t buffer_bytes, bool is_json) {
    sqlpool_error local;
    sqlpool__core *core;
    sqlpool_stats stats;
    sqlpool_holder holders[SQLPOOL__STATUS_HOLDERS];
    sqlpool__text text;
    int count, rc;
    sqlpool__error_clear(&local);
    if (buffer != NULL && buffer_bytes > 0) buffer[0] = '\0';
    rc = sqlpool__enter_inside(pool, &core, &local);
    if (rc != SQLPOOL_OK) return rc;
    if (buffer == NULL && buffer_bytes > 0) {
        (void)SQLPOOL__FAIL(&local, SQLPOOL_MISUSE, "buffer is NULL but buffer_bytes is not 0");
        return sqlpool__leave(core, sqlpool__finish(core, &local));
    }
    count = sqlpool_holders(pool, holders, SQLPOOL__STATUS_HOLDERS);
    if (count < 0) return sqlpool__leave(core, count);
    sqlpool__collect(core, &stats);
    text = sqlpool__text_into(buffer, buffer_bytes);
    (is_json ? sqlpool__status_as_json : sqlpool__status_as_text)(core, &stats, holders, count,
                                                                  SQLPOOL__STATUS_HOLDERS, &text);
    return sqlpool__leave(core, (int)text.length);
}

SQLPOOL_API int sqlpool_status_text(sqlpool *pool, char *buffer, size_t buffer_bytes) {
    return sqlpool__status(pool, buffer, buffer_bytes, false);
}
SQLPOOL_API int sqlpool_status_json(sqlpool *pool, char *buffer, size_t buffer_bytes) {
    return sqlpool__status(pool, buffer, buffer_bytes, true);
}

/*==============================================================================
 * >>[I26] LIFECYCLE: configuration, open, control, close               (private)
 *==============================================================================
    Open: check and resolve the configuration, take a handle, build the pool, open the writer (which
    settles journal mode, page size and whether the file can be written), then the readers, then
    start upkeep. Close runs the same way back: gate, thread, leases, readers, checkpointer, writer
    last, because a last connection that cannot write leaves the log behind (sqlite.org/wal.html).

    Pause, exclusive section and close are the same three steps: set a bit of the gate, wait until
    no lease is out, act. */

/*------------------------------------------------------------------------------
 * >>[I26.1] configuration                                              (private)
 *----------------------------------------------------------------------------*/

/*  Every number of the configuration: its range, its default, and whether -1 (off) is allowed. One
    list checks, resolves and documents. */
#define SQLPOOL__INT_FIELDS(X) \
    X(min_connections, 1, 1000, 2, false) \
    X(max_connections, 1, 1000, 10, false) \
    X(reserve_connections, 1, 100, 1, true) \
    X(reserve_threshold_percent, 1, 101, 80, false) \
    X(reserve_wait_ms, 1, INT32_MAX, -1, true) \
    X(topology, 0, 1, 0, false) \
    X(acquire_timeout_ms, 1, INT32_MAX, 5000, true) \
    X(statement_timeout_ms, 1, INT32_MAX, -1, true) \
    X(open_timeout_ms, 1, INT32_MAX, 5000, false) \
    X(close_timeout_ms, 1, INT32_MAX, 5000, false) \
    X(open_retry_ms, 1, INT32_MAX, 200, false) \
    X(barge_us, 1, INT32_MAX, 2000, true) \
    X(idle_timeout_ms, 1, INT32_MAX, 30000, true) \
    X(max_lifetime_ms, 1, INT32_MAX, -1, true) \
    X(lifetime_jitter_percent, 1, 100, 10, true) \
    X(upkeep_interval_ms, 1, INT32_MAX, 1000, false) \
    X(validate_after_ms, 1, INT32_MAX, 500, false) \
    X(health_interval_ms, 1, INT32_MAX, 30000, false) \
    X(leak_report_ms, 1, INT32_MAX, 60000, true) \
    X(snapshot_idle_ms, 1, 60000, 50, true) \
    X(group_count, 1, 256, 64, true) \
    X(group_us, 1, 1000000, 2000, false) \
    X(submit_count, 1, 1000000, 1024, false) \
    X(busy_poll_min_us, 1, 1000000, 100, false) \
    X(busy_poll_max_us, 1, 1000000, 1000, false) \
    X(retry_preset, 0, 3, 0, false) \
    X(retry_attempts, 1, 100, 5, false) \
    X(retry_base_us, 1, 60000000, 1000, false) \
    X(retry_cap_us, 1, 60000000, 100000, false) \
    X(retry_multiplier_percent, 100, 1000, 200, false) \
    X(retry_jitter, 0, 3, 0, false) \
    X(retry_schedule_count, 0, 99, 0, false) \
    X(retry_total_ms, 1, INT32_MAX, -1, true) \
    X(retry_budget_percent, 1, 1000, 20, true) \
    X(retry_budget_per_s, 1, 1000000, 10, true) \
    X(breaker_open_ms, 1, INT32_MAX, 1000, true) \
    X(breaker_failures, 1, 1000000, 20, false) \
    X(breaker_percent, 1, 100, 50, false) \
    X(breaker_window_ms, 1, INT32_MAX, 10000, false) \
    X(statement_cache_count, 1, 100000, 100, false) \
    X(warmup_count, 0, 100000, 0, false) \
    X(journal, 0, 4, 0, false) \
    X(synchronous, 0, 3, 0, false) \
    X(page_cache_kib, 1, 1 << 30, 65536, false) \
    X(wal_wait_ms, 1, 60000, 50, false)

#define SQLPOOL__INT64_FIELDS(X) \
    X(statement_cache_bytes, 1, INT64_C(1) << 40, INT64_C(4) << 20) \
    X(returning_bytes, 1, INT64_C(1) << 30, INT64_C(1) << 20) \
    X(group_bytes, 1, INT64_C(1) << 30, INT64_C(1) << 20) \
    X(submit_bytes, 1024, INT64_C(1) << 40, INT64_C(8) << 20) \
    X(mmap_bytes, 0, INT64_C(1) << 40, 0) \
    X(journal_size_limit_bytes, 1, INT64_C(1) << 40, INT64_C(64) << 20) \
    X(wal_budget_bytes, 4096, INT64_C(1) << 40, INT64_C(4) << 20) \
    X(wal_limit_bytes, 4096, INT64_C(1) << 40, INT64_C(64) << 20)

/*  A hook table is all or none. Each member is named once, here; the first missing one is reported.
    */
#define SQLPOOL__ALLOCATOR_MEMBERS(X) X(alloc_fn) X(resize_fn) X(free_fn)
#define SQLPOOL__CLOCK_MEMBERS(X) X(now_ns_fn) X(sleep_ns_fn)
#define SQLPOOL__LOCKS_MEMBERS(X) \
    X(mutex_init_fn) \
    X(mutex_destroy_fn) \
    X(mutex_lock_fn) \
    X(mutex_unlock_fn) \
    X(condition_init_fn) \
    X(condition_destroy_fn) \
    X(condition_wait_fn) \
    X(condition_signal_fn) \
    X(thread_id_fn)
#define SQLPOOL__THREAD_MEMBERS(X) X(thread_create_fn) X(thread_join_fn)

/*------------------------------------------------------------------------------
 * >>[I26.2] checking and resolving                                     (private)
 *----------------------------------------------------------------------------*/

static void sqlpool__check_table(sqlpool__text *text, const char *name, int count, int set,
                                 const char *missing) {
    bool is_needed = false;
#ifdef SQLPOOL_NO_DEFAULT_HOOKS
    is_needed = true;
#endif
    if (set == count || (set == 0 && !is_needed)) return;
    sqlpool__text_add(text, "%s: %s.%s is NULL, %s; ", name, name, missing,
                      set == 0 ? "and this build has no default: set every member"
                               : "but others are set: set every member or none");
}

#define SQLPOOL__COUNT_MEMBER(member) \
    count++; \
    if (table->member != NULL) { \
        set++; \
    } else if (missing == NULL) { \
        missing = #member; \
    }
#define SQLPOOL__CHECK_MEMBERS(type, name, members) \
    do { \
        const type *table = &config->name; \
        const char *missing = NULL; \
        int count = 0, set = 0; \
        members(SQLPOOL__COUNT_MEMBER) sqlpool__check_table(&text, #name, count, set, missing); \
    } while (0)

/*  Names every bad field. `config` is not NULL. */
static int sqlpool__check_config(const sqlpool_config *config, sqlpool_error *error) {
    sqlpool__text text = sqlpool__text_into(error->message, sizeof error->message);
    size_t start;
    int i;
    sqlpool__text_add(&text, "bad configuration: ");
    start = text.length;
    if (config->canary_start != 0 || config->canary_end != 0) {
        sqlpool__text_add(
            &text, "canary_start or canary_end is not 0: the struct was not zeroed; start from "
                   "sqlpool_config_default(); ");
    }
#define SQLPOOL__CHECK_INT(name, least, most, fallback, may_be_off) \
    if (config->name != 0 && (config->name < (least) || config->name > (most)) && \
        !((may_be_off) && config->name == SQLPOOL_OFF)) { \
        sqlpool__text_add(&text, "%s is %d, allowed: %d..%d%s; ", #name, config->name, (least), \
                          (most), (may_be_off) ? ", 0 (default) or -1 (off)" : " or 0 (default)"); \
    }
    SQLPOOL__INT_FIELDS(SQLPOOL__CHECK_INT)
#undef SQLPOOL__CHECK_INT
#define SQLPOOL__CHECK_INT64(name, least, most, fallback) \
    if (config->name != 0 && (config->name < (least) || config->name > (most))) { \
        sqlpool__text_add(&text, "%s is %lld, allowed: %lld..%lld or 0 (default); ", #name, \
                          (long long)config->name, (long long)(least), (long long)(most)); \
    }
    SQLPOOL__INT64_FIELDS(SQLPOOL__CHECK_INT64)
#undef SQLPOOL__CHECK_INT64
    if (config->canary_start == 0 &&
        config->canary_end == 0) { /* pointers of garbage are not followed */
        SQLPOOL__CHECK_MEMBERS(sqlpool_allocator, allocator, SQLPOOL__ALLOCATOR_MEMBERS);
        SQLPOOL__CHECK_MEMBERS(sqlpool_clock, clock, SQLPOOL__CLOCK_MEMBERS);
#ifndef SQLPOOL_NO_THREADS
        SQLPOOL__CHECK_MEMBERS(sqlpool_locks, locks, SQLPOOL__LOCKS_MEMBERS);
        if (config->locks.mutex_init_fn != NULL && !config->disable_upkeep_thread) {
            SQLPOOL__CHECK_MEMBERS(sqlpool_locks, locks, SQLPOOL__THREAD_MEMBERS);
            if (config->locks.thread_create_fn == NULL && config->locks.thread_join_fn == NULL) {
                sqlpool__text_add(
                    &text, "locks.thread_create_fn is NULL: set it, or disable_upkeep_thread; ");
            }
        }
#endif
        if (config->warmup_count > 0 && config->warmup_sql == NULL) {
            sqlpool__text_add(&text, "warmup_sql is NULL but warmup_count is %d; ",
                              config->warmup_count);
        }
        if (config->retry_schedule_count > 0 && config->retry_schedule_us == NULL) {
            sqlpool__text_add(&text, "retry_schedule_us is NULL but retry_schedule_count is %d; ",
                              config->retry_schedule_count);
        }
        for (i = 0; i < config->retry_schedule_count && config->retry_schedule_us != NULL &&
                    config->retry_schedule_count < 100; /* else nobody knows its length */
             i++) {
            if (config->retry_schedule_us[i] >= 0) continue;
            sqlpool__text_add(&text, "retry_schedule_us[%d] is %d, below 0; ", i,
                              config->retry_schedule_us[i]);
            break;
        }
        if (config->max_connections > 0 && config->min_connections > config->max_connections) {
            sqlpool__text_add(&text, "min_connections is %d, above max_connections %d; ",
                              config->min_connections, config->max_connections);
        }
        if (config->busy_poll_max_us > 0 && config->busy_poll_min_us > config->busy_poll_max_us) {
            sqlpool__text_add(&text, "busy_poll_min_us is %d, above busy_poll_max_us %d; ",
                              config->busy_poll_min_us, config->busy_poll_max_us);
        }
        if (config->single_process && config->vfs_name != NULL) {
            sqlpool__text_add(&text, "single_process chooses the VFS: vfs_name must be NULL; ");
        }
        if (config->wal_limit_bytes > 0 && config->wal_budget_bytes > config->wal_limit_bytes) {
            sqlpool__text_add(&text, "wal_budget_bytes is %lld, above wal_limit_bytes %lld; ",
                              (long long)config->wal_budget_bytes,
                              (long long)config->wal_limit_bytes);
        }
    }
    if (text.length == start) {
        sqlpool__error_clear(error);
        return SQLPOOL_OK;
    }
    error->result = SQLPOOL_CONFIG;
    return SQLPOOL_CONFIG;
}

#ifdef SQLPOOL_NO_THREADS
static int sqlpool__no_init(void *user, sqlpool_mutex *mutex) {
    (void)user;
    (void)mutex;
    return 0;
}
static void sqlpool__no_mutex(void *user, sqlpool_mutex *mutex) {
    (void)user;
    (void)mutex;
}
static int sqlpool__no_condition_init(void *user, sqlpool_condition *condition) {
    (void)user;
    (void)condition;
    return 0;
}
static void sqlpool__no_condition(void *user, sqlpool_condition *condition) {
    (void)user;
    (void)condition;
}
static void sqlpool__no_wait(void *user, sqlpool_condition *condition, sqlpool_mutex *mutex,
                             int64_t timeout_ns) {
    (void)user;
    (void)condition;
    (void)mutex;
    (void)timeout_ns;
}
static uint64_t sqlpool__no_thread_id(void *user) {
    (void)user;
    return 1;
}
#endif

/*  The lock table in effect. */
static sqlpool_locks sqlpool__default_locks(void) {
    sqlpool_locks locks;
    memset(&locks, 0, sizeof locks);
#if defined(SQLPOOL_NO_THREADS)
    locks.mutex_init_fn = sqlpool__no_init;
    locks.mutex_destroy_fn = sqlpool__no_mutex;
    locks.mutex_lock_fn = sqlpool__no_mutex;
    locks.mutex_unlock_fn = sqlpool__no_mutex;
    locks.condition_init_fn = sqlpool__no_condition_init;
    locks.condition_destroy_fn = sqlpool__no_condition;
    locks.condition_wait_fn = sqlpool__no_wait;
    locks.condition_signal_fn = sqlpool__no_condition;
    locks.thread_id_fn = sqlpool__no_thread_id;
#elif !defined(SQLPOOL_NO_DEFAULT_HOOKS)
    locks.mutex_init_fn = sqlpool__default_mutex_init;
    locks.mutex_destroy_fn = sqlpool__default_mutex_destroy;
    locks.mutex_lock_fn = sqlpool__default_mutex_lock;
    locks.mutex_unlock_fn = sqlpool__default_mutex_unlock;
    locks.condition_init_fn = sqlpool__default_condition_init;
    locks.condition_destroy_fn = sqlpool__default_condition_destroy;
    locks.condition_wait_fn = sqlpool__default_condition_wait;
    locks.condition_signal_fn = sqlpool__default_condition_signal;
    locks.thread_id_fn = sqlpool__default_thread_id;
    locks.thread_create_fn = sqlpool__default_thread_create;
    locks.thread_join_fn = sqlpool__default_thread_join;
#endif
    return locks;
}

/*  What a preset puts in the place of zeros. */
static void sqlpool__resolve_retry(sqlpool_config *config) {
    static const int failover[] = {100000, 500000, 2000000};
    static const struct {
        int attempts, base_us, cap_us, total_ms;
    } presets[] = {{5, 1000, 100000, 0},
                   {3, 500000, 5000000, 0},
                   {5, 100000, 2000000, 0},
                   {4, 100000, 2000000, 5000}};
    const int preset = config->retry_preset;
    if (preset == SQLPOOL_RETRY_FAILOVER && config->retry_schedule_count == 0) {
        config->retry_schedule_us = failover;
        config->retry_schedule_count = 3;
    }
    if (config->retry_attempts == 0 && config->retry_schedule_count > 0)
        config->retry_attempts = config->retry_schedule_count + 1;
    if (config->retry_attempts == 0) config->retry_attempts = presets[preset].attempts;
    if (config->retry_base_us == 0) config->retry_base_us = presets[preset].base_us;
    if (config->retry_cap_us == 0) config->retry_cap_us = presets[preset].cap_us;
    if (config->retry_total_ms == 0) config->retry_total_ms = presets[preset].total_ms;
}

/*  Zeros become defaults. `config` was checked. */
static void sqlpool__resolve_config(sqlpool_config *config) {
    const bool has_max = config->max_connections != 0;
    sqlpool__resolve_retry(config);
#define SQLPOOL__RESOLVE(name, least, most, fallback, may_be_off) \
    if (config->name == 0) config->name = (fallback);
    SQLPOOL__INT_FIELDS(SQLPOOL__RESOLVE)
#undef SQLPOOL__RESOLVE
#define SQLPOOL__RESOLVE(name, least, most, fallback) \
    if (config->name == 0) config->name = (fallback);
    SQLPOOL__INT64_FIELDS(SQLPOOL__RESOLVE)
#undef SQLPOOL__RESOLVE
    if (config->name == NULL) config->name = "sqlpool";
    if (has_max && config->min_connections > config->max_connections)
        config->min_connections = config->max_connections;
    if (!has_max && config->min_connections > config->max_connections)
        config->max_connections = config->min_connections;
    if (config->busy_poll_max_us < config->busy_poll_min_us)
        config->busy_poll_max_us = config->busy_poll_min_us;
    if (config->wal_limit_bytes < config->wal_budget_bytes)
        config->wal_limit_bytes = config->wal_budget_bytes;
    if (config->max_connections == 1) {
        config->topology = SQLPOOL_TOPOLOGY_GENERAL; /* one connection reads and writes */
        config->reserve_connections = SQLPOOL_OFF;
    }
#ifndef SQLPOOL_NO_DEFAULT_HOOKS
    if (config->allocator.alloc_fn == NULL) {
        config->allocator.alloc_fn = sqlpool__default_alloc;
        config->allocator.resize_fn = sqlpool__default_resize;
        config->allocator.free_fn = sqlpool__default_free;
    }
    if (config->clock.now_ns_fn == NULL) {
        config->clock.now_ns_fn = sqlpool__default_now;
        config->clock.sleep_ns_fn = sqlpool__default_sleep;
    }
#endif
    if (config->disable_upkeep_thread)
        config->snapshot_idle_ms = SQLPOOL_OFF; /* nobody would end them */
#ifdef SQLPOOL_NO_THREADS
    config->snapshot_idle_ms = SQLPOOL_OFF;
    config->disable_upkeep_thread = true;
    config->locks = sqlpool__default_locks();
#else
    if (config->locks.mutex_init_fn == NULL) config->locks = sqlpool__default_locks();
#endif
}

SQLPOOL_API sqlpool_config sqlpool_config_default(void) {
    sqlpool_config config;
    memset(&config, 0, sizeof config);
    return config;
}

SQLPOOL_API int sqlpool_config_check(const sqlpool_config *config, sqlpool_error *error) {
    const sqlpool_config none = sqlpool_config_default();
    sqlpool_error local;
    error = sqlpool__error_or(error, &local);
    return sqlpool__check_config(config != NULL ? config : &none, error);
}

SQLPOOL_API int sqlpool_config_resolved(sqlpool *pool, sqlpool_config *out) {
    sqlpool_error local;
    sqlpool__core *core;
    int rc;
    sqlpool__error_clear(&local);
    rc = sqlpool__enter_inside(pool, &core, &local);
    if (rc != SQLPOOL_OK) return rc;
    if (out == NULL) {
        (void)SQLPOOL__FAIL(&local, SQLPOOL_MISUSE, "out is NULL");
        return sqlpool__leave(core, sqlpool__finish(core, &local));
    }
    *out = core->config;
    out->snapshot_state = SQLPOOL__LOAD(&core->snapshot_state);
    return sqlpool__leave(core, SQLPOOL_OK);
}

/*------------------------------------------------------------------------------
 * >>[I26.3] building and taking apart                                  (private)
 *----------------------------------------------------------------------------*/

/*  The free handle that was closed longest ago, so that a stale one says CLOSED for long. */
static sqlpool *sqlpool__take_handle(void) {
    for (;;) {
        sqlpool *best = NULL;
        uint32_t none = 0;
        int i;
        for (i = 0; i < SQLPOOL_MAX_POOLS; i++) {
            sqlpool *handle = &sqlpool__global.pools[i];
            if (SQLPOOL__LOAD(&handle->taken) != 0) continue;
            if (best == NULL || SQLPOOL__LOAD(&handle->freed_at) < SQLPOOL__LOAD(&best->freed_at))
                best = handle;
        }
        if (best == NULL) return NULL;
        if (!SQLPOOL__CAS(&best->taken, &none, 1u)) continue;
        SQLPOOL__STORE(&best->serial, SQLPOOL__ADD(&sqlpool__global.opened_count, 1u) + 1);
        return best;
    }
}

/*  From here on calls find the pool, or with NULL no longer. */
static void sqlpool__publish(sqlpool *handle, sqlpool__core *core) {
    SQLPOOL__STORE(&handle->core, core);
    SQLPOOL__STORE(&handle->alive, core != NULL ? core->serial : 0u);
}

static void sqlpool__free_handle(sqlpool *handle) {
    sqlpool__publish(handle, NULL);
    SQLPOOL__STORE(&handle->freed_at, SQLPOOL__ADD(&sqlpool__global.closed_count, (uint64_t)1) + 1);
    SQLPOOL__STORE(&handle->taken, 0u);
}

/*  Frees everything. No lease is out; connections that are still open are closed, the writer last.
    */
static void sqlpool__destroy(sqlpool__core *core) {
    const sqlpool_locks locks = core->config.locks;
    sqlpool__memory *memory = &core->memory;
    uint32_t i;
    if (core->slots != NULL) {
        for (i = core->slot_count; i-- > 0;) sqlpool__close_connection(&core->slots[i]);
        for (i = 0; i < core->slot_count; i++) sqlpool__cache_free(&core->slots[i]);
    }
    if (core->keep_alive != NULL) (void)sqlite3_close_v2(core->keep_alive);
    if (core->warmup != NULL) {
        int n;
        for (n = 0; n < core->config.warmup_count; n++) {
            if (core->warmup[n] != NULL)
                sqlpool__free(memory, core->warmup[n], strlen(core->warmup[n]) + 1);
        }
        sqlpool__free(memory, core->warmup,
                      (size_t)core->config.warmup_count * sizeof *core->warmup);
    }
    if (core->schedule != NULL) {
        sqlpool__free(memory, core->schedule,
                      (size_t)core->config.retry_schedule_count * sizeof *core->schedule);
    }
    if (core->path != NULL) sqlpool__free(memory, core->path, strlen(core->path) + 1);
    if (core->vfs_name != NULL) sqlpool__free(memory, core->vfs_name, strlen(core->vfs_name) + 1);
    if (core->name != NULL) sqlpool__free(memory, core->name, strlen(core->name) + 1);
    sqlpool__free(memory, core->slot_block, core->slot_block_bytes);
    if (core->entries != NULL) {
        int n; /* done, and never fetched */
        for (n = 0; n < core->config.submit_count; n++)
            sqlpool__empty_entry(core, &core->entries[n]);
        sqlpool__free(memory, core->entries,
                      (size_t)core->config.submit_count * sizeof *core->entries);
    }
    locks.condition_destroy_fn(locks.user, &core->room_condition);
    locks.condition_destroy_fn(locks.user, &core->work_condition);
    locks.condition_destroy_fn(locks.user, &core->upkeep_condition);
    locks.condition_destroy_fn(locks.user, &core->drain_condition);
    locks.condition_destroy_fn(locks.user, &core->commit_condition);
    locks.mutex_destroy_fn(locks.user, &core->lock);
    SQLPOOL_ASSERT(SQLPOOL__LOAD_RELAXED(&memory->held_bytes) == (int64_t)sizeof *core);
    memory->hook.free_fn(memory->hook.user, core, sizeof *core);
}

/*  The core with its locks, nothing else yet; NULL when there is no memory or no lock. */
static sqlpool__core *sqlpool__new_core(const sqlpool_config *config) {
    const sqlpool_locks *locks = &config->locks;
    sqlpool__memory memory;
    sqlpool__core *core;
    int made = 0;
    memset(&memory, 0, sizeof memory);
    memory.hook = config->allocator;
    core = (sqlpool__core *)sqlpool__alloc(&memory, sizeof *core);
    if (core == NULL) return NULL;
    memset(core, 0, sizeof *core);
    core->config = *config;
    core->memory = memory;
    core->upkeep_wake_ns = SQLPOOL__NEVER;
    core->snapshot_state = "off: the pool is being opened";
    core->random = (uint64_t)(uintptr_t)core ^ (uint64_t)sqlpool__now(core);
    if (core->config.random.next_fn == NULL) {
        core->config.random.user = &core->random;
        core->config.random.next_fn = sqlpool__default_random;
    }
    sqlpool__list_init(&core->lanes[0].queue);
    sqlpool__list_init(&core->lanes[1].queue);
    sqlpool__list_init(&core->entries_free);
    sqlpool__list_init(&core->entries_queued);
    if (locks->mutex_init_fn(locks->user, &core->lock) == 0) made = 1;
    if (made == 1 && locks->condition_init_fn(locks->user, &core->commit_condition) == 0) made = 2;
    if (made == 2 && locks->condition_init_fn(locks->user, &core->drain_condition) == 0) made = 3;
    if (made == 3 && locks->condition_init_fn(locks->user, &core->upkeep_condition) == 0) made = 4;
    if (made == 4 && locks->condition_init_fn(locks->user, &core->work_condition) == 0) made = 5;
    if (made == 5 && locks->condition_init_fn(locks->user, &core->room_condition) == 0) return core;
    if (made > 4) locks->condition_destroy_fn(locks->user, &core->work_condition);
    if (made > 3) locks->condition_destroy_fn(locks->user, &core->upkeep_condition);
    if (made > 2) locks->condition_destroy_fn(locks->user, &core->drain_condition);
    if (made > 1) locks->condition_destroy_fn(locks->user, &core->commit_condition);
    if (made > 0) locks->mutex_destroy_fn(locks->user, &core->lock);
    memory.hook.free_fn(memory.hook.user, core, sizeof *core);
    return NULL;
}

/*  Copies what the caller's pointers say and makes the slots. */
static int sqlpool__furnish(sqlpool__core *core, const char *path, sqlpool_error *error) {
    sqlpool_config *config = &core->config;
    sqlpool__memory *memory = &core->memory;
    const size_t line = SQLPOOL__SLOT_LINE;
    const char *vfs_name;
    bool is_ok;
    uint32_t i;
    int n;
    core->is_memory = sqlpool__is_memory_path(path);
    if (core->is_memory && sqlite3_libversion_number() >= 3036000) {
        char name[64]; /* a memdb database is shared by those who know its name */
        sqlpool__text text = sqlpool__text_into(name, sizeof name);
        sqlpool__text_add(&text, "file:/sqlpool-%llx-%u?vfs=memdb",
                          (unsigned long long)(uintptr_t)core, core->serial);
        core->path = sqlpool__copy_text(memory, name);
    } else if (!config->enable_uri && strncmp(path, "file:", 5) == 0) {
        core->path =
            sqlpool__copy_prefixed(memory, "./", path); /* SQLITE_USE_URI builds read any file: */
    } else {
        core->path = sqlpool__copy_text(memory, path);
    }
    core->name = sqlpool__copy_text(memory, config->name);
    if (core->is_memory) {
        vfs_name = "memdb";
    } else if (config->vfs_name != NULL) {
        vfs_name = config->vfs_name;
    } else if (config->single_process) {
        vfs_name = "unix-excl";
    } else {
        const sqlite3_vfs *vfs = sqlite3_vfs_find(NULL); /* NULL when SQLite could not start */
        vfs_name = vfs != NULL ? vfs->zName : "";
    }
    core->vfs_name = sqlpool__copy_text(memory, vfs_name);
    core->slot_count = (uint32_t)config->max_connections + 1;
    if (config->reserve_connections > 0) core->slot_count += (uint32_t)config->reserve_connections;
    core->slot_block_bytes = core->slot_count * sizeof(sqlpool__slot) + line;
    core->slot_block = sqlpool__alloc(memory, core->slot_block_bytes);
    is_ok = core->path != NULL && core->name != NULL && core->slot_block != NULL &&
            core->vfs_name != NULL;
    if (is_ok && config->warmup_count > 0) {
        core->warmup =
            (char **)sqlpool__alloc(memory, (size_t)config->warmup_count * sizeof *core->warmup);
        is_ok = core->warmup != NULL;
        if (is_ok) memset(core->warmup, 0, (size_t)config->warmup_count * sizeof *core->warmup);
        for (n = 0; is_ok && n < config->warmup_count; n++) {
            core->warmup[n] = sqlpool__copy_text(
                memory, config->warmup_sql[n] != NULL ? config->warmup_sql[n] : "");
            is_ok = core->warmup[n] != NULL;
        }
    }
    if (is_ok && config->retry_schedule_count > 0) {
        const size_t bytes = (size_t)config->retry_schedule_count * sizeof *core->schedule;
        core->schedule = (int *)sqlpool__alloc(memory, bytes);
        is_ok = core->schedule != NULL;
        if (is_ok) memcpy(core->schedule, config->retry_schedule_us, bytes);
    }
    if (!is_ok) return SQLPOOL__FAIL(error, SQLPOOL_NOMEM, "no memory to open the pool");
    config->name = core->name;
    config->vfs_name = core->vfs_name;
    config->warmup_sql = (const char *const *)core->warmup;
    config->retry_schedule_us = core->schedule;
    memset(core->slot_block, 0, core->slot_block_bytes);
    core->slots = (sqlpool__slot *)(((uintptr_t)core->slot_block + line - 1) / line * line);
    for (i = 0; i < core->slot_count; i++) {
        sqlpool__slot *slot = &core->slots[i];
        slot->core = core;
        slot->cancelled = slot->expired = slot->interrupted = UINT64_MAX;
        slot->deadline_ns = slot->dies_ns = slot->lease_deadline_ns = SQLPOOL__NEVER;
        slot->scope_since_ns = slot->scope_report_ns = slot->scope_end_ns = SQLPOOL__NEVER;
        slot->role = config->topology == SQLPOOL_TOPOLOGY_GENERAL ? SQLPOOL__ROLE_ANY
                     : i == 0                                     ? SQLPOOL__ROLE_WRITER
                                                                  : SQLPOOL__ROLE_READER;
        sqlpool__list_init(&slot->recent);
        sqlpool__list_init(&slot->in_use);
    }
    core->checkpointer = &core->slots[core->slot_count - 1];
    core->checkpointer->role = SQLPOOL__ROLE_CHECKPOINTER;
    return SQLPOOL_OK;
}

/*  Which slots serve which mode, once it is known whether anything can be written. */
static void sqlpool__lay_lanes(sqlpool__core *core) {
    const uint32_t max = (uint32_t)core->config.max_connections, end = core->slot_count - 1;
    const bool is_split =
        core->config.topology == SQLPOOL_TOPOLOGY_WRITER_READERS && !core->config.read_only;
    sqlpool__lane *readers = &core->lanes[SQLPOOL_READ], *writer = &core->lanes[SQLPOOL_WRITE];
    readers->first = is_split ? 1 : 0;
    readers->normal_end = max;
    readers->end = end;
    writer->first = 0;
    writer->normal_end = writer->end = 1;
    core->lane_of[SQLPOOL_READ] = readers;
    core->lane_of[SQLPOOL_WRITE] = is_split ? writer : readers;
}

static int sqlpool__open_slot(sqlpool__core *core, uint32_t index, sqlpool_error *error) {
    sqlpool__slot *slot = &core->slots[index];
    const sqlpool__request request =
        sqlpool__internal_request(slot->role == SQLPOOL__ROLE_READER ? SQLPOOL_READ : SQLPOOL_WRITE,
                                  &sqlpool__default_call, SQLPOOL__NEVER);
    int rc;
    if (!sqlpool__take(slot, SQLPOOL__EMPTY))
        return SQLPOOL_OK; /* a connect hook's call opened it */
    sqlpool__lease_begin(slot, &request, sqlpool__thread_id(core));
    rc = sqlpool__open_connection(slot, error);
    sqlpool__forget_lease(slot);
    SQLPOOL__STORE(&slot->word,
                   sqlpool__word(slot->number, rc == SQLPOOL_OK ? SQLPOOL__IDLE : SQLPOOL__EMPTY));
    return rc;
}

/*------------------------------------------------------------------------------
 * >>[I26.4] opening                                                  (private)
 *----------------------------------------------------------------------------*/

/*  What the settings leave of snapshots; what the file does is found later. */
static const char *sqlpool__snapshot_state(const sqlpool__core *core) {
    if (core->is_memory) return "off: \":memory:\" has no log";
    if (!core->is_wal) return "off: the journal is not WAL";
    if (core->config.disable_upkeep_thread) return "stamp only: no upkeep thread";
    if (core->config.snapshot_idle_ms <= 0) return "stamp only: snapshot_idle_ms is off";
    if (core->config.topology == SQLPOOL_TOPOLOGY_GENERAL)
        return "stamp only: no connection is a reader only";
    return "on";
}

/*  The first connection tells what the file is and what may be done with it. */
static int sqlpool__open_first(sqlpool__core *core, sqlpool_error *error) {
    sqlpool__slot *slot = &core->slots[0];
    char answer[32];
    int rc;
    if (core->is_memory && sqlite3_libversion_number() >= 3036000) {
        rc = sqlite3_open_v2(core->path, &core->keep_alive,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI |
                                 SQLITE_OPEN_NOMUTEX,
                             NULL);
        if (rc != SQLITE_OK)
            return SQLPOOL__FAIL(error, rc, "the memory database could not be made: %s",
                                 sqlite3_errstr(rc));
    }
    rc = sqlpool__open_slot(core, 0, error);
    if (rc != SQLPOOL_OK) return rc;
    if (!core->config.read_only && sqlite3_db_readonly(slot->db, "main") == 1) {
        core->config.read_only = true;
        sqlpool__log_line(core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_FALLBACK,
                          "the file \"%s\" cannot be written: the pool is read-only", core->path);
    }
    if (core->config.read_only && slot->role == SQLPOOL__ROLE_WRITER)
        slot->role = SQLPOOL__ROLE_READER;
    rc = sqlpool__ask(slot->db, "PRAGMA journal_mode", answer, sizeof answer);
    core->is_wal = rc == SQLITE_OK && sqlite3_stricmp(answer, "wal") == 0;
    core->is_shared_gate =
        !core->is_wal && !core->config.read_only && core->config.max_connections > 1;
    if (rc == SQLITE_OK) rc = sqlpool__ask(slot->db, "PRAGMA page_size", answer, sizeof answer);
    if (rc != SQLITE_OK) return sqlpool__sqlite_failed(slot, rc, "PRAGMA page_size", error);
    core->page_bytes = sqlpool__to_int64(answer);
    if (core->config.enable_uri && !core->is_memory) {
        const char *file = sqlite3_db_filename(slot->db, "main");
        const char *cache = file == NULL ? NULL : sqlite3_uri_parameter(file, "cache");
        if (cache != NULL && sqlite3_stricmp(cache, "shared") == 0)
            return SQLPOOL__FAIL(
                error, SQLPOOL_MISUSE,
                "the URI asks for a shared cache (cache=shared), where connections "
                "lock each other by table: leave it out");
        if (file == NULL || file[0] == '\0') {
            return SQLPOOL__FAIL(
                error, SQLPOOL_MISUSE,
                "the URI names no file, and every connection would have a database of its own: "
                "use \":memory:\"");
        }
    }
    if (!core->is_memory &&
        !core->config.enable_uri) { /* absolute from here on: the program may chdir() */
        const char *full = sqlite3_db_filename(slot->db, "main");
        char *copy =
            full != NULL && full[0] != '\0' ? sqlpool__copy_text(&core->memory, full) : NULL;
        if (copy == NULL)
            return SQLPOOL__FAIL(error, SQLPOOL_NOMEM,
                                 "no memory for the full path of the database");
        sqlpool__free(&core->memory, core->path, strlen(core->path) + 1);
        core->path = copy;
    }
    if (!core->is_wal) core->config.snapshot_idle_ms = SQLPOOL_OFF;
    core->snapshot_state = sqlpool__snapshot_state(core);
    sqlpool__watch(slot);
    core->has_stamp = slot->stamp_map != NULL;
    if (core->is_shared_gate) (void)SQLPOOL__OR(&core->gate, (uint32_t)SQLPOOL__GATE_SHARED);
    if (!core->config.disable_foreign_keys) sqlpool__check_foreign_keys(slot);
    return SQLPOOL_OK;
}

/*  Checkpoints beside a writer corrupt on these (sqlite.org/wal.html, the WAL-reset bug). The
    pool's own are safe; what other programs on the file do is not its to decide. */
static void sqlpool__warn_of_version(sqlpool__core *core) {
    const int version = sqlite3_libversion_number();
    const bool is_fixed = version >= 3051003 || (version >= 3050007 && version < 3051000) ||
                          (version >= 3044006 && version < 3045000);
    uint32_t none = 0;
    if (version < SQLITE_VERSION_NUMBER) {
        sqlpool__log_line(core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_SQLITE_VERSION,
                          "compiled with SQLite %s, running with %s", SQLITE_VERSION,
                          sqlite3_libversion());
    }
    if (is_fixed || !core->is_wal || !SQLPOOL__CAS(&sqlpool__global.version_warned, &none, 1u))
        return;
    sqlpool__log_line(core, SQLPOOL_LEVEL_WARNING, SQLPOOL_LOG_SQLITE_VERSION,
                      "SQLite %s has the WAL-reset bug: this pool's checkpoints hold the write "
                      "lock and are safe; other "
                      "programs that checkpoint the same file are not",
                      sqlite3_libversion());
}

static int sqlpool__open_all(sqlpool__core *core, sqlpool_error *error) {
    int rc, open;
    sqlpool__lay_lanes(core);
    rc = sqlpool__open_first(core, error);
    if (rc != SQLPOOL_OK) return rc;
    sqlpool__lay_lanes(core);
    for (open = 1; open < core->config.min_connections; open++) {
        rc = sqlpool__open_slot(core, (uint32_t)open, error);
        if (rc != SQLPOOL_OK) return rc;
    }
    core->next_reap_ns =
        sqlpool__time_add(sqlpool__now(core), core->config.upkeep_interval_ms * SQLPOOL__NS_PER_MS);
    core->next_health_ns =
        sqlpool__time_add(sqlpool__now(core), core->config.health_interval_ms * SQLPOOL__NS_PER_MS);
#ifndef SQLPOOL_NO_THREADS
    if (!core->config.disable_upkeep_thread) {
        core->has_thread = true;
        if (core->config.locks.thread_create_fn(core->config.locks.user, &core->upkeep_thread,
                                                sqlpool__upkeep_main, core) != 0) {
            core->has_thread = false;
            return SQLPOOL__FAIL(
                error, SQLPOOL_NOMEM,
                "the upkeep thread could not be started; set disable_upkeep_thread and "
                "call sqlpool_tick()");
        }
    }
#endif
    return SQLPOOL_OK;
}

/*------------------------------------------------------------------------------
 * >>[I26.5] open                                                     (private)
 *----------------------------------------------------------------------------*/

/*  What can be said before anything is built. */
static int sqlpool__check_open(uint32_t version, size_t config_bytes, const char *path,
                               const sqlpool_config *config, sqlpool_error *error) {
    if (version != SQLPOOL_VERSION || config_bytes != sizeof *config) {
        return SQLPOOL__FAIL(
            error, SQLPOOL_VERSION_MISMATCH,
            "version mismatch: the caller was compiled with sqlpool.h %u.%u.%u (config of %llu "
            "bytes), the implementation is "
            "%d.%d.%d (%llu bytes): compile both with the same file",
            (unsigned)(version >> 16), (unsigned)(version >> 8 & 0xff), (unsigned)(version & 0xff),
            (unsigned long long)config_bytes, SQLPOOL_VERSION_MAJOR, SQLPOOL_VERSION_MINOR,
            SQLPOOL_VERSION_PATCH, (unsigned long long)sizeof *config);
    }
    if (sqlpool__is_forked()) {
        return SQLPOOL__FAIL(
            error, SQLPOOL_FORKED,
            "this process was forked while a pool was open: SQLite's file locks would not hold "
            "here; call exec, or fork before the first sqlpool_open()");
    }
    if (path == NULL || path[0] == '\0') {
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "path is %s: name a file, or \":memory:\"",
                             path == NULL ? "NULL" : "empty");
    }
    if (sqlpool__check_config(config, error) != SQLPOOL_OK) return error->result;
    if (config->single_process && sqlite3_vfs_find("unix-excl") == NULL) {
        return SQLPOOL__FAIL(error, SQLPOOL_UNSUPPORTED,
                             "single_process needs SQLite's VFS \"unix-excl\", which is not here");
    }
    if (sqlite3_libversion_number() < 3031000) {
        return SQLPOOL__FAIL(error, SQLPOOL_UNSUPPORTED, "SQLite %s is older than 3.31",
                             sqlite3_libversion());
    }
#ifndef SQLPOOL_NO_THREADS
    if (sqlite3_threadsafe() == 0) {
        return SQLPOOL__FAIL(error, SQLPOOL_UNSUPPORTED,
                             "this SQLite was built with SQLITE_THREADSAFE=0: build sqlpool.h with "
                             "SQLPOOL_NO_THREADS, or another SQLite");
    }
#endif
    return SQLPOOL_OK;
}

SQLPOOL_API int sqlpool_open_at(uint32_t version, size_t config_bytes, sqlpool **pool,
                                const char *path, const sqlpool_config *config,
                                sqlpool_error *error) {
    sqlpool_config resolved = sqlpool_config_default();
    sqlpool_error local;
    sqlpool__core *core;
    sqlpool *handle;
    error = sqlpool__error_or(error, &local);
    if (pool == NULL)
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "pool is NULL: pass the address of a sqlpool*");
    *pool = NULL;
    if (sqlpool__check_open(version, config_bytes, path, config != NULL ? config : &resolved,
                            error) != SQLPOOL_OK) {
        return error->result;
    }
    if (config != NULL) resolved = *config;
    sqlpool__resolve_config(&resolved);
    if (sqlpool__is_memory_path(path)) {
        resolved.journal = SQLPOOL_JOURNAL_MEMORY;
        resolved.read_only = resolved.single_process = false; /* nobody else sees it anyway */
        if (sqlite3_libversion_number() <
            3036000) { /* no shared memory databases yet: one connection for all */
            resolved.max_connections = resolved.min_connections = 1;
            resolved.reserve_connections = SQLPOOL_OFF;
            resolved.topology = SQLPOOL_TOPOLOGY_GENERAL;
            resolved.max_lifetime_ms = SQLPOOL_OFF;
        }
    }
    sqlpool__fork_watch();
    handle = sqlpool__take_handle();
    if (handle == NULL) {
        return SQLPOOL__FAIL(error, SQLPOOL_CONFIG,
                             "%d pools are open already: define SQLPOOL_MAX_POOLS higher",
                             SQLPOOL_MAX_POOLS);
    }
    core = sqlpool__new_core(&resolved);
    if (core == NULL) {
        sqlpool__free_handle(handle);
        return SQLPOOL__FAIL(error, SQLPOOL_NOMEM, "no memory or no lock to open the pool");
    }
    core->handle = handle;
    core->serial = SQLPOOL__LOAD(&handle->serial);
    if (sqlpool__furnish(core, path, error) == SQLPOOL_OK) {
        (void)SQLPOOL__ADD(&sqlpool__global.open_count, 1u);
        sqlpool__publish(handle, core); /* the connect hook's calls find it here */
        (void)sqlpool__open_all(core, error);
        if (error->result == SQLPOOL_OK) {
            sqlpool__warn_of_version(core);
            sqlpool__log_line(core, SQLPOOL_LEVEL_INFO, SQLPOOL_LOG_OPENED,
                              "\"%s\" with %d connections of %d", core->path,
                              sqlpool__open_count(core), core->config.max_connections);
            sqlpool__log_line(core, SQLPOOL_LEVEL_INFO, SQLPOOL_LOG_STAMP, "snapshots are %s",
                              SQLPOOL__LOAD(&core->snapshot_state));
            *pool = handle;
            return SQLPOOL_OK;
        }
        sqlpool__publish(handle, NULL);
        (void)SQLPOOL__ADD(&sqlpool__global.open_count, (uint32_t)-1);
    }
    if (core->config.events.error_fn != NULL)
        core->config.events.error_fn(core->config.events.user, error);
    sqlpool__destroy(core);
    sqlpool__free_handle(handle);
    return error->result;
}

/*------------------------------------------------------------------------------
 * >>[I26.6] control                                                     (public)
 *----------------------------------------------------------------------------*/

/*  Sets a bit of the gate and waits for every lease. On failure the bit is cleared again unless it
    is CLOSED, and the error names the holders. */
static int sqlpool__stop(sqlpool__core *core, uint32_t bit, int64_t timeout_ms,
                         sqlpool_error *error) {
    const int64_t start = sqlpool__now(core);
    const uint64_t me = sqlpool__thread_id(core);
    const sqlpool__slot *own;
    sqlpool__lock(core);
    own = sqlpool__find_own_locked(core, me);
    if (own != NULL) {
        (void)SQLPOOL__FAIL(
            error, SQLPOOL_MISUSE,
            "this thread holds a lease from %s:%u and would wait for itself: release it first",
            SQLPOOL__LOAD_RELAXED(&own->file), SQLPOOL__LOAD_RELAXED(&own->line));
    } else if (bit != SQLPOOL__GATE_CLOSED &&
               (SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_CLOSED) != 0) {
        (void)sqlpool__refuse_closed(core, error);
    } else if (bit != SQLPOOL__GATE_CLOSED &&
               (SQLPOOL__LOAD(&core->gate) & (SQLPOOL__GATE_PAUSED | SQLPOOL__GATE_EXCLUSIVE)) !=
                   0) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                            "the pool is paused or in an exclusive section already, by thread %llx",
                            (unsigned long long)core->pause_thread);
    } else {
        (void)SQLPOOL__OR(&core->gate, bit);
        if (bit == SQLPOOL__GATE_CLOSED) {
            sqlpool__wake_all_locked(core);
        } else {
            core->pause_thread = me;
        }
        if (sqlpool__drain_locked(core, 0, core->slot_count, bit,
                                  sqlpool__time_add(start, timeout_ms * SQLPOOL__NS_PER_MS)) !=
            SQLPOOL_OK) {
            sqlpool__text text = sqlpool__text_into(error->message, sizeof error->message);
            sqlpool__text_add(&text, "leases are still out after %lld ms", (long long)timeout_ms);
            sqlpool__text_card_locked(core, sqlpool__now(core), &text);
            error->result = SQLPOOL_TIMEOUT;
            if (bit != SQLPOOL__GATE_CLOSED) {
                (void)SQLPOOL__AND(&core->gate, ~bit);
                sqlpool__wake_all_locked(core);
            }
        } else if ((SQLPOOL__LOAD(&core->gate) & bit) == 0) {
            (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "another thread resumed the pool meanwhile");
        }
    }
    sqlpool__unlock(core);
    if (error->result == SQLPOOL_OK) sqlpool__retire_snapshots(core);
    return error->result;
}

static void sqlpool__go_on(sqlpool__core *core, uint32_t bits) {
    (void)SQLPOOL__AND(&core->gate, ~bits);
    sqlpool__lock(core);
    if ((bits & SQLPOOL__GATE_EXCLUSIVE) != 0) core->is_bypassed = false;
    sqlpool__wake_all_locked(core);
    sqlpool__unlock(core);
}

SQLPOOL_API int sqlpool_pause(sqlpool *pool, int timeout_ms, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__core *core;
    int rc;
    error = sqlpool__error_or(error, &local);
    rc = sqlpool__enter_inside(pool, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    if (timeout_ms < 0) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "timeout_ms is %d: use 0 or more", timeout_ms);
    } else {
        (void)sqlpool__stop(core, SQLPOOL__GATE_PAUSED,
                            timeout_ms > 0 ? timeout_ms : core->config.close_timeout_ms, error);
    }
    return sqlpool__leave(core, sqlpool__finish(core, error));
}

SQLPOOL_API int sqlpool_resume(sqlpool *pool) {
    sqlpool_error local;
    sqlpool__core *core;
    int rc;
    sqlpool__error_clear(&local);
    rc = sqlpool__enter_inside(pool, &core, &local);
    if (rc != SQLPOOL_OK) return rc;
    if ((SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_PAUSED) == 0) {
        (void)SQLPOOL__FAIL(&local, SQLPOOL_MISUSE, "the pool is not paused");
        return sqlpool__leave(core, sqlpool__finish(core, &local));
    }
    sqlpool__go_on(core, SQLPOOL__GATE_PAUSED);
    return sqlpool__leave(core, SQLPOOL_OK);
}

SQLPOOL_API int sqlpool_exclusive(sqlpool *pool, int timeout_ms, sqlpool_exclusive_fn fn,
                                  void *user, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__core *core;
    sqlpool__slot *slot;
    int rc;
    error = sqlpool__error_or(error, &local);
    rc = sqlpool__enter_inside(pool, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    if (fn == NULL || timeout_ms < 0) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                            fn == NULL ? "fn is NULL" : "timeout_ms is negative");
        return sqlpool__leave(core, sqlpool__finish(core, error));
    }
    if (timeout_ms == 0) timeout_ms = core->config.close_timeout_ms;
    rc = sqlpool__stop(core, SQLPOOL__GATE_EXCLUSIVE, timeout_ms, error);
    if (rc == SQLPOOL_OK) {
        const sqlpool_mode mode = core->config.read_only ? SQLPOOL_READ : SQLPOOL_WRITE;
        sqlpool__request request = sqlpool__internal_request(
            mode, &sqlpool__default_call,
            sqlpool__time_add(sqlpool__now(core), timeout_ms * SQLPOOL__NS_PER_MS));
        sqlpool__lock(core);
        core->is_bypassed = true;
        core->bypass_thread = sqlpool__thread_id(core);
        sqlpool__unlock(core);
        rc = sqlpool__acquire(core, &request, &slot, error);
        if (rc == SQLPOOL_OK) {
            sqlpool_conn conn = sqlpool__conn_of(slot);
            const uint64_t held = sqlpool__word(slot->number, SQLPOOL__LEASED);
            slot->is_lent = true;
            rc = fn(&conn, user);
            if (SQLPOOL__LOAD_ORDERED(&slot->word) == held) (void)sqlpool__lease_end(slot);
            if (rc != SQLPOOL_OK && error->result != rc) {
                (void)SQLPOOL__FAIL(error, rc, "the exclusive function returned %d (%s)", rc,
                                    sqlpool_result_name(rc));
            }
            if (rc == SQLPOOL_OK) sqlpool__error_clear(error);
        }
        sqlpool__go_on(core, SQLPOOL__GATE_EXCLUSIVE);
    }
    return sqlpool__leave(core, sqlpool__finish(core, error));
}

/*  A log or journal beside the path belongs to the file that was there: SQLite would apply it to
    the new one and destroy that (sqlite.org/howtocorrupt.html, 1.4). Asked when our connections are
    closed. */
static bool sqlpool__has_old_log(sqlpool__core *core) {
    static const char *const suffixes[] = {"-wal", "-journal"};
    sqlite3_vfs *vfs = sqlite3_vfs_find(core->vfs_name);
    size_t i;
    for (i = 0; i < 2 && vfs != NULL && !core->config.enable_uri; i++) {
        char *name = sqlite3_mprintf("%s%s", core->path, suffixes[i]);
        int is_there = 0;
        const int rc =
            name != NULL ? vfs->xAccess(vfs, name, SQLITE_ACCESS_EXISTS, &is_there) : SQLITE_NOMEM;
        if (rc == SQLITE_OK && is_there) {
            sqlpool__log_line(core, SQLPOOL_LEVEL_ERROR, SQLPOOL_LOG_MOVED,
                              "\"%s\" is left of the old file: move or delete it, then call "
                              "sqlpool_recycle() again",
                              name);
        }
        sqlite3_free(name);
        if (rc != SQLITE_OK || is_there) return true;
    }
    return false;
}

/*  All leave the old file, the writer last, so that it can tidy up; then the writer is the first on
    the new one and settles its journal mode alone. */
static int sqlpool__replace_idle(sqlpool__core *core, sqlpool_error *error) {
    const bool is_moved = (SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_MOVED) != 0;
    const bool has_checkpointer = /* if it is busy for longer, it is replaced at its next use */
        sqlpool__checkpoint_enter(core,
                                  sqlpool__time_add(sqlpool__now(core), 100 * SQLPOOL__NS_PER_MS));
    sqlpool__slot *writer = &core->slots[0];
    uint32_t i = core->slot_count - 1;
    int rc = SQLPOOL_OK;
    if (is_moved) { /* whoever still works on the old file holds its log: the new one must not meet
        it */
        sqlpool__lock(core);
        rc = sqlpool__drain_locked(core, 0, i, SQLPOOL__GATE_MOVED,
                                   sqlpool__time_add(sqlpool__now(core), 100 * SQLPOOL__NS_PER_MS));
        sqlpool__unlock(core);
        if (rc != SQLPOOL_OK) {
            rc =
                SQLPOOL__FAIL(error, SQLPOOL_MOVED,
                              "leases on the old file are still out: sqlpool_holders() names them");
        }
    }
    if (has_checkpointer) sqlpool__close_connection(core->checkpointer);
    while (i-- > 0 && rc == SQLPOOL_OK) {
        sqlpool__slot *slot = &core->slots[i];
        if (!sqlpool__claim(slot)) continue;
        SQLPOOL__TALLY(slot, closed_recycled);
        sqlpool__close_connection(slot);
        sqlpool__give_back(slot, sqlpool__lane_of_slot(slot));
    }
    if (rc == SQLPOOL_OK && is_moved && sqlpool__has_old_log(core))
        rc = sqlpool__refuse_moved(core, error);
    if (rc == SQLPOOL_OK && sqlpool__take(writer, SQLPOOL__EMPTY)) { /* unless it is leased */
        const sqlpool__request request = sqlpool__internal_request(
            writer->role == SQLPOOL__ROLE_READER ? SQLPOOL_READ : SQLPOOL_WRITE,
            &sqlpool__default_call, SQLPOOL__NEVER);
        sqlpool__lease_begin(writer, &request, sqlpool__thread_id(core));
        rc = sqlpool__grow(writer, sqlpool__lane_of_slot(writer), false, error);
        if (rc == SQLPOOL_OK) {
            sqlpool__log_recovered(writer);
            sqlpool__give_back(writer, sqlpool__lane_of_slot(writer));
        }
    }
    if (rc == SQLPOOL_OK && SQLPOOL__LOAD(&core->is_log_lost) != 0)
        rc = sqlpool__refuse_lost(error);
    if (has_checkpointer) SQLPOOL__STORE(&core->checkpointing, 0u);
    return rc;
}

SQLPOOL_API int sqlpool_recycle(sqlpool *pool) {
    sqlpool_error local;
    sqlpool__core *core;
    uint32_t i;
    int rc;
    sqlpool__error_clear(&local);
    rc = sqlpool__enter_inside(pool, &core, &local);
    if (rc != SQLPOOL_OK) return rc;
    if ((SQLPOOL__LOAD(&core->gate) & SQLPOOL__GATE_CLOSED) != 0)
        return sqlpool__leave(core, SQLPOOL_CLOSED);
    if (core->is_memory && core->keep_alive == NULL)
        return sqlpool__leave(core, SQLPOOL_UNSUPPORTED); /* its only connection is the database */
    (void)SQLPOOL__ADD(&core->epoch, 1u);
    for (i = 0; i < core->slot_count; i++) SQLPOOL__STORE(&core->slots[i].attention, 1u);
    rc = sqlpool__replace_idle(core, &local);
    if (rc != SQLPOOL_MOVED) sqlpool__go_on(core, SQLPOOL__GATE_MOVED);
    return sqlpool__leave(core, rc == SQLPOOL_OK ? SQLPOOL_OK : sqlpool__finish(core, &local));
}

SQLPOOL_API int sqlpool_checkpoint(sqlpool *pool, sqlpool_checkpoint_mode mode,
                                   sqlpool_checkpoint_result *result, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool_checkpoint_result ignored;
    sqlpool__core *core;
    int rc;
    error = sqlpool__error_or(error, &local);
    if (result == NULL) result = &ignored;
    result->log_frames = result->checkpointed_frames = -1;
    rc = sqlpool__enter_inside(pool, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    if (mode != SQLPOOL_CHECKPOINT_PASSIVE && mode != SQLPOOL_CHECKPOINT_TRUNCATE) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "mode is %d", (int)mode);
    } else if (!core->is_wal || core->config.read_only) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_UNSUPPORTED,
                            "there is no write-ahead log to write back");
    } else {
        const int timeout = core->config.acquire_timeout_ms;
        (void)sqlpool__checkpoint(
            core, mode,
            timeout < 0 ? SQLPOOL__NEVER
                        : sqlpool__time_add(sqlpool__now(core), timeout * SQLPOOL__NS_PER_MS),
            result, error);
    }
    return sqlpool__leave(core, sqlpool__finish(core, error));
}

SQLPOOL_API int sqlpool_cancel(sqlpool *pool, sqlpool_token *token) {
    sqlpool_error local;
    sqlpool__core *core;
    uint32_t i;
    int rc;
    sqlpool__error_clear(&local);
    rc = sqlpool__enter_inside(pool, &core, &local);
    if (rc != SQLPOOL_OK) return rc;
    if (token == NULL) {
        (void)SQLPOOL__FAIL(&local, SQLPOOL_MISUSE, "token is NULL");
        return sqlpool__leave(core, sqlpool__finish(core, &local));
    }
    SQLPOOL__STORE(&token->fired, 1u);
    sqlpool__lock(core);
    for (i = 0; i < core->slot_count; i++) {
        sqlpool__slot *slot = &core->slots[i];
        const uint64_t word = SQLPOOL__LOAD_ORDERED(&slot->word);
        if (sqlpool__state(word) != SQLPOOL__LEASED || SQLPOOL__LOAD_ORDERED(&slot->token) != token)
            continue;
        sqlpool__interrupt_locked(slot, word >> SQLPOOL__NUMBER_SHIFT, SQLPOOL__NEVER);
    }
    sqlpool__wake_all_locked(core);
    sqlpool__signal(core, &core->commit_condition);
    sqlpool__unlock(core);
    return sqlpool__leave(core, SQLPOOL_OK);
}

/*------------------------------------------------------------------------------
 * >>[I26.7] close                                                    (public)
 *----------------------------------------------------------------------------*/

/*  The upkeep thread is told and joined; a program's tick is waited for. */
static void sqlpool__stop_upkeep(sqlpool__core *core) {
#ifndef SQLPOOL_NO_THREADS
    if (core->has_thread) {
        sqlpool__lock(core);
        core->is_upkeep_stopping = true;
        sqlpool__signal(core, &core->upkeep_condition);
        sqlpool__unlock(core);
        core->config.locks.thread_join_fn(core->config.locks.user, core->upkeep_thread);
        core->has_thread = false;
    }
#endif
    while (SQLPOOL__LOAD(&core->ticking) != 0) sqlpool__sleep(core, SQLPOOL__NS_PER_MS);
}

/*  The submit thread is told and joined. */
static void sqlpool__stop_submit(sqlpool__core *core) {
    sqlpool__lock(core);
    while (core->is_submit_starting) { /* its thread must be known before it can be joined */
        core->room_sleepers++;
        sqlpool__wait_locked(core, &core->room_condition, 0, SQLPOOL__NEVER);
        core->room_sleepers--;
    }
#ifndef SQLPOOL_NO_THREADS
    if (core->has_submit_thread) {
        core->is_submit_stopping = true;
        sqlpool__signal(core, &core->work_condition);
        sqlpool__unlock(core);
        core->config.locks.thread_join_fn(core->config.locks.user, core->submit_thread);
        sqlpool__lock(core);
        core->has_submit_thread = false;
    }
#endif
    while (core->drainer != 0) { /* who drains on his own account hears of the end */
        core->room_sleepers++;
        sqlpool__wait_locked(core, &core->room_condition, 0, SQLPOOL__NEVER);
        core->room_sleepers--;
    }
    core->drainer = sqlpool__thread_id(core);
    sqlpool__unlock(core);
}

/*  A connection that writes, of a pool that is closed to everybody else; NULL: not now, or the
    error says why never. */
static sqlpool__slot *sqlpool__claim_writer(sqlpool__core *core, sqlpool_error *error) {
    const sqlpool__lane *lane = sqlpool__lane_of(core, SQLPOOL_WRITE);
    const sqlpool__request request =
        sqlpool__internal_request(SQLPOOL_WRITE, &sqlpool__default_call, SQLPOOL__NEVER);
    sqlpool__slot *slot = &core->slots[lane->first];
    if (!sqlpool__take(slot, SQLPOOL__IDLE) && !sqlpool__take(slot, SQLPOOL__EMPTY)) return NULL;
    sqlpool__lease_begin(slot, &request, sqlpool__thread_id(core));
    if (slot->db != NULL || sqlpool__open_connection(slot, error) == SQLPOOL_OK) return slot;
    sqlpool__give_back(slot, sqlpool__lane_of_slot(slot));
    return NULL;
}

/*  What was submitted is done before the pool goes. */
static int sqlpool__drain_closing(sqlpool__core *core, int64_t deadline_ns, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__stop_submit(core);
    sqlpool__hint.inside++; /* done_fn cannot close */
    while (!sqlpool__list_is_empty(&core->entries_queued) && error->result == SQLPOOL_OK) {
        sqlpool__slot *slot;
        sqlpool__error_clear(&local);
        slot = sqlpool__claim_writer(core, &local);
        if (slot != NULL) {
            sqlpool__drain_held(core, slot, true, 16, deadline_ns);
        } else if (local.result != SQLPOOL_OK) {
            sqlpool__fail_submitted(core, &local, false);
        } else {
            sqlpool__sleep(core, SQLPOOL__NS_PER_MS); /* upkeep has it */
        }
        if (sqlpool__now(core) >= deadline_ns && core->entries_queued_count > 0)
            (void)SQLPOOL__FAIL(error, SQLPOOL_TIMEOUT,
                                "%d submitted writes are not done: close again to go on",
                                core->entries_queued_count);
    }
    sqlpool__hint.inside--;
    sqlpool__end_drain(core);
    return error->result;
}

SQLPOOL_API int sqlpool_close(sqlpool *pool, sqlpool_error *error) {
    sqlpool_error local;
    sqlpool__core *core;
    int64_t deadline;
    int rc;
    error = sqlpool__error_or(error, &local);
    rc = sqlpool__enter(pool, &core, error);
    if (rc != SQLPOOL_OK) return rc;
    if (sqlpool__hint.inside != 0) {
        (void)SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                            "sqlpool_close() was called from a hook of the library: close later");
        return sqlpool__finish(core, error);
    }
    sqlpool__lock(core);
    if (core->is_closing) {
        sqlpool__unlock(core);
        return SQLPOOL__FAIL(error, SQLPOOL_CLOSED, "another thread is closing the pool");
    }
    core->is_closing = true;
    sqlpool__unlock(core);
    deadline = sqlpool__timeout_deadline(core, core->config.close_timeout_ms);
    rc = sqlpool__stop(core, SQLPOOL__GATE_CLOSED, core->config.close_timeout_ms, error);
    if (rc == SQLPOOL_OK) rc = sqlpool__drain_closing(core, deadline, error);
    if (rc == SQLPOOL_OK && SQLPOOL__LOAD(&core->buffers_out) != 0) {
        rc = SQLPOOL__FAIL(
            error, SQLPOOL_TIMEOUT,
            "%u buffered results or bulk loads are open: call sqlpool_rows_close() or "
            "sqlpool_bulk_end(), then close again",
            SQLPOOL__LOAD(&core->buffers_out));
    }
    if (rc != SQLPOOL_OK) {
        sqlpool__lock(core);
        core->is_closing = false;
        sqlpool__unlock(core);
        return sqlpool__finish(core, error);
    }
    sqlpool__stop_upkeep(core);
    while (SQLPOOL__LOAD_ORDERED(&core->inside) != 0) {
        sqlpool__sleep(core, SQLPOOL__NS_PER_MS); /* woken waiters are on their way out */
    }
    sqlpool__log_line(core, SQLPOOL_LEVEL_INFO, SQLPOOL_LOG_CLOSED, "\"%s\"", core->path);
    sqlpool__publish(pool, NULL);
    sqlpool__destroy(core);
    (void)SQLPOOL__ADD(&sqlpool__global.open_count, (uint32_t)-1);
    sqlpool__free_handle(pool);
    return SQLPOOL_OK;
}

/*==============================================================================
 * >>[I27] PROCESS: SQLite's own memory                                 (public)
 *==============================================================================
    SQLite counts every allocation under one mutex of the process (SQLITE_CONFIG_MEMSTATUS), which
    threads that only read meet at every query. sqlpool_global_init() switches that off and puts an
    allocator in between that counts in shards, one for a few threads each.

    The limit works by shares: a shard takes a chunk of it when it runs out and gives chunks back
    when it has plenty, so the common allocation touches its own shard only. What lies in shards
    unused is the inaccuracy: up to two chunks each. */

#define SQLPOOL__SHARDS 16u
#define SQLPOOL__SHARD_CHUNK (INT64_C(64) * 1024)
#define SQLPOOL__BLOCK_HEAD 16 /* before every block: its size, and the alignment stays */

typedef struct sqlpool__shard {
    int64_t held;  /* atomic; may be negative: a block is freed by another thread */
    int64_t share; /* atomic; what is left of the chunks taken from the limit */
} SQLPOOL__ALIGNED(SQLPOOL__SLOT_LINE) sqlpool__shard;

typedef struct sqlpool__process {
    sqlpool_allocator hook;
    int64_t limit;       /* 0: none */
    sqlpool__i64 handed; /* atomic; chunks of the limit that shards have */
    sqlpool__shard *shards;
} sqlpool__process;

static sqlpool__shard *sqlpool__shard_of(const sqlpool__process *process) {
    if (SQLPOOL__UNLIKELY(sqlpool__hint.shard == 0))
        sqlpool__hint.shard = 1 + SQLPOOL__ADD(&sqlpool__global.next_shard, 1u) % SQLPOOL__SHARDS;
    return &process->shards[sqlpool__hint.shard - 1];
}

/*  May SQLite have so much more? */
static bool sqlpool__share_take(sqlpool__process *process, sqlpool__shard *shard, int64_t bytes) {
    int64_t more;
    if (process->limit == 0 || SQLPOOL__ADD(&shard->share, -bytes) >= bytes) return true;
    more = (bytes / SQLPOOL__SHARD_CHUNK + 1) * SQLPOOL__SHARD_CHUNK;
    if (SQLPOOL__ADD(&process->handed, more) + more <= process->limit) {
        (void)SQLPOOL__ADD(&shard->share, more);
        return true;
    }
    (void)SQLPOOL__ADD(&process->handed, -more);
    (void)SQLPOOL__ADD(&shard->share, bytes);
    return false;
}

static void sqlpool__share_give(sqlpool__process *process, sqlpool__shard *shard, int64_t bytes) {
    int64_t share, spare;
    if (process->limit == 0) return;
    share = SQLPOOL__ADD(&shard->share, bytes) + bytes;
    do { /* all chunks but one: others may need them */
        if (share < 2 * SQLPOOL__SHARD_CHUNK) return;
        spare = (share / SQLPOOL__SHARD_CHUNK - 1) * SQLPOOL__SHARD_CHUNK;
    } while (!SQLPOOL__CAS(&shard->share, &share, share - spare));
    (void)SQLPOOL__ADD(&process->handed, -spare);
}

/*  SQLite's interface has no room for a pointer of ours: the process's state is the global one. */
static void *sqlpool__sqlite_malloc(int bytes) {
    sqlpool__process *process = SQLPOOL__LOAD(&sqlpool__global.process);
    sqlpool__shard *shard = sqlpool__shard_of(process);
    const int64_t whole = (int64_t)bytes + SQLPOOL__BLOCK_HEAD;
    char *block;
    if (!sqlpool__share_take(process, shard, whole)) return NULL;
    block = (char *)process->hook.alloc_fn(process->hook.user, (size_t)whole);
    if (block == NULL) {
        sqlpool__share_give(process, shard, whole);
        return NULL;
    }
    (void)SQLPOOL__ADD(&shard->held, whole);
    memcpy(block, &bytes, sizeof bytes);
    return block + SQLPOOL__BLOCK_HEAD;
}

static int sqlpool__sqlite_size(void *memory) {
    int bytes;
    memcpy(&bytes, (char *)memory - SQLPOOL__BLOCK_HEAD, sizeof bytes);
    return bytes;
}

static void sqlpool__sqlite_free(void *memory) {
    sqlpool__process *process = SQLPOOL__LOAD(&sqlpool__global.process);
    sqlpool__shard *shard = sqlpool__shard_of(process);
    const int64_t whole = (int64_t)sqlpool__sqlite_size(memory) + SQLPOOL__BLOCK_HEAD;
    (void)SQLPOOL__ADD(&shard->held, -whole);
    sqlpool__share_give(process, shard, whole);
    process->hook.free_fn(process->hook.user, (char *)memory - SQLPOOL__BLOCK_HEAD, (size_t)whole);
}

static void *sqlpool__sqlite_realloc(void *memory, int bytes) {
    sqlpool__process *process = SQLPOOL__LOAD(&sqlpool__global.process);
    sqlpool__shard *shard = sqlpool__shard_of(process);
    const int64_t old_whole = (int64_t)sqlpool__sqlite_size(memory) + SQLPOOL__BLOCK_HEAD;
    const int64_t whole = (int64_t)bytes + SQLPOOL__BLOCK_HEAD, more = whole - old_whole;
    char *block;
    if (more > 0 && !sqlpool__share_take(process, shard, more)) return NULL;
    block = (char *)process->hook.resize_fn(
        process->hook.user, (char *)memory - SQLPOOL__BLOCK_HEAD, (size_t)old_whole, (size_t)whole);
    if (block == NULL) {
        if (more > 0) sqlpool__share_give(process, shard, more);
        return NULL;
    }
    if (more < 0) sqlpool__share_give(process, shard, -more);
    (void)SQLPOOL__ADD(&shard->held, more);
    memcpy(block, &bytes, sizeof bytes);
    return block + SQLPOOL__BLOCK_HEAD;
}

static int sqlpool__sqlite_roundup(int bytes) {
    return (bytes + 7) & ~7;
}
static int sqlpool__sqlite_init(void *user) {
    (void)user;
    return SQLITE_OK;
}
static void sqlpool__sqlite_shutdown(void *user) {
    (void)user;
}

/*  Names every bad field, as sqlpool__check_config() does. */
static int sqlpool__check_global(const sqlpool_global_config *config, sqlpool_error *error) {
    sqlpool__text text = sqlpool__text_into(error->message, sizeof error->message);
    size_t start;
    sqlpool__text_add(&text, "bad configuration: ");
    start = text.length;
    SQLPOOL__CHECK_MEMBERS(sqlpool_allocator, allocator, SQLPOOL__ALLOCATOR_MEMBERS);
    if (config->memory_limit_bytes != 0 && config->memory_limit_bytes < (1 << 20)) {
        sqlpool__text_add(&text, "memory_limit_bytes is %lld, allowed: 1048576 or more, or 0; ",
                          (long long)config->memory_limit_bytes);
    }
    if (config->lookaside_bytes != 0 && config->lookaside_bytes != SQLPOOL_OFF &&
        (config->lookaside_bytes < 64 || config->lookaside_bytes > 65528)) {
        sqlpool__text_add(&text, "lookaside_bytes is %d, allowed: 64..65528, 0 or -1 (off); ",
                          config->lookaside_bytes);
    }
    if (config->lookaside_count < 0 || config->lookaside_count > 10000 ||
        (config->lookaside_bytes > 0) != (config->lookaside_count > 0)) {
        sqlpool__text_add(&text, "lookaside_count is %d, allowed: 1..10000 with lookaside_bytes; ",
                          config->lookaside_count);
    }
    if (text.length != start) return error->result = SQLPOOL_CONFIG;
    sqlpool__error_clear(error);
    return SQLPOOL_OK;
}

/*  Tells SQLite. The first refusal means that it is running already. */
static int sqlpool__configure_sqlite(const sqlpool_global_config *config) {
    sqlite3_mem_methods methods;
    int rc;
    memset(&methods, 0, sizeof methods);
    methods.xMalloc = sqlpool__sqlite_malloc;
    methods.xFree = sqlpool__sqlite_free;
    methods.xRealloc = sqlpool__sqlite_realloc;
    methods.xSize = sqlpool__sqlite_size;
    methods.xRoundup = sqlpool__sqlite_roundup;
    methods.xInit = sqlpool__sqlite_init;
    methods.xShutdown = sqlpool__sqlite_shutdown;
    rc = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, config->keep_memory_statistics ? 1 : 0);
    if (rc == SQLITE_OK && config->lookaside_bytes != 0) {
        rc = sqlite3_config(SQLITE_CONFIG_LOOKASIDE,
                            config->lookaside_bytes > 0 ? config->lookaside_bytes : 0,
                            config->lookaside_count);
    }
    if (rc == SQLITE_OK) /* last: the memory behind it must not be freed once SQLite knows it */
        rc = sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    return rc;
}

SQLPOOL_API int sqlpool_global_init(const sqlpool_global_config *config, sqlpool_error *error) {
    sqlpool_global_config options;
    sqlpool_error local;
    sqlpool__memory memory;
    sqlpool__process *process, *none = NULL;
    const size_t bytes =
        sizeof *process + SQLPOOL__SHARDS * sizeof(sqlpool__shard) + SQLPOOL__SLOT_LINE;
    error = sqlpool__error_or(error, &local);
    memset(&options, 0, sizeof options);
    if (config != NULL) options = *config;
    if (sqlpool__check_global(&options, error) != SQLPOOL_OK) return error->result;
#ifndef SQLPOOL_NO_DEFAULT_HOOKS
    if (options.allocator.alloc_fn == NULL) {
        options.allocator.alloc_fn = sqlpool__default_alloc;
        options.allocator.resize_fn = sqlpool__default_resize;
        options.allocator.free_fn = sqlpool__default_free;
    }
#endif
    memset(&memory, 0, sizeof memory);
    memory.hook = options.allocator;
    process = (sqlpool__process *)sqlpool__alloc(&memory, bytes);
    if (process == NULL)
        return SQLPOOL__FAIL(error, SQLPOOL_NOMEM, "no memory for the counters of the process");
    memset(process, 0, bytes);
    process->hook = options.allocator;
    process->limit = options.memory_limit_bytes;
    process->shards = (sqlpool__shard *)(((uintptr_t)(process + 1) + SQLPOOL__SLOT_LINE - 1) /
                                         SQLPOOL__SLOT_LINE * SQLPOOL__SLOT_LINE);
    if (!SQLPOOL__CAS(&sqlpool__global.process, &none, process)) {
        sqlpool__free(&memory, process, bytes);
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE, "sqlpool_global_init() was called before");
    }
    if (sqlpool__configure_sqlite(&options) != SQLITE_OK) {
        SQLPOOL__STORE(&sqlpool__global.process, (sqlpool__process *)NULL);
        sqlpool__free(&memory, process, bytes);
        return SQLPOOL__FAIL(error, SQLPOOL_MISUSE,
                             "SQLite is in use already: call sqlpool_global_init() before anything "
                             "else uses it in this process");
    }
    return SQLPOOL_OK;
}

SQLPOOL_API int64_t sqlpool_global_memory(void) {
    const sqlpool__process *process = SQLPOOL__LOAD(&sqlpool__global.process);
    int64_t sum = 0;
    uint32_t i;
    if (process == NULL) return (int64_t)sqlite3_memory_used();
    for (i = 0; i < SQLPOOL__SHARDS; i++) sum += SQLPOOL__LOAD_RELAXED(&process->shards[i].held);
    return sum;
}

#endif /* SQLPOOL__IMPLEMENTATION_DONE */
#endif /* SQLPOOL_IMPLEMENTATION */

/*==============================================================================
 * >>[T] TAIL: rules of change, revision history, licence               (public)
 *==============================================================================
    HOW TO CHANGE THIS FILE
      Public names are sqlpool_ + object + verb, types sqlpool_ + thing, constants SQLPOOL_ + THING,
      with units in the name (_ms, _us, _ns, _bytes, _count); internal ones have two underscores
      after sqlpool. _locked: the caller holds the pool's lock. _fn: a function pointer.
      A room uses only rooms above it. No prototype of a static function: order is the architecture.
      Every room begins with its theory; every public function has a sheet; every number has a why.
      A caller's mistake returns SQLPOOL_MISUSE with what to do; SQLPOOL_ASSERT is for our own.
      A new number of the configuration goes into sqlpool_config and into one line of
      SQLPOOL__INT_FIELDS or SQLPOOL__INT64_FIELDS; a new counter into SQLPOOL_COUNTERS; a new
      result into SQLPOOL_RESULTS. Nothing else lists them.
      Only I02 knows an operating system; only I10 opens, configures and closes connections.
      Before a change is done: make test lint symbols compile-check asan tsan analyze.

    REVISION HISTORY
      0.1.0  2026-11-20  The pool: queues, leases, statement cache, transactions, checkpoints,
      upkeep.

    LICENCE - choose either.

    MIT

    Copyright (c) 2026 the sqlpool.h authors

    Permission is hereby granted, free of charge, to any person obtaining a copy of this software
    and associated documentation files (the "Software"), to deal in the Software without
    restriction, including without limitation the rights to use, copy, modify, merge, publish,
    distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
    Software is furnished to do so, subject to the following conditions:

    The above copyright notice and this permission notice shall be included in all copies or
    substantial portions of the Software.

    THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING
    BUT
    NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
    NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
    DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
    OUT
    OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

    Public domain (www.unlicense.org)

    This is free and unencumbered software released into the public domain. Anyone is free to copy,
    modify, publish, use, compile, sell, or distribute this software, either in source code form or
    as a compiled binary, for any purpose, commercial or non-commercial, and by any means. In
    jurisdictions that recognize copyright laws, the author or authors of this software dedicate any
    and all copyright interest in the software to the public domain. We make this dedication for the
    benefit of the public at large and to the detriment of our heirs and successors. We intend this
    dedication to be an overt act of relinquishment in perpetuity of all present and future rights
    to this software under copyright law.

    THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING
    BUT
    NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
    NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
    LIABILITY,
    WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH
    THE
    SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
