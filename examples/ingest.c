/*  ingest.c - many threads write the lines of a log into one database: group commit.
    SPDX-License-Identifier: MIT OR Unlicense

    Build:  cc -O2 examples/ingest.c -o ingest -lsqlite3 -lpthread
            (beside it: sqlpool.h, and ingest_log.h, which makes events of lines)
    Try:    ./ingest app.db --compare          ./ingest app.db /var/log/syslog

    Each producer thread inserts one event at a time and hears of success when it is on the disk. A
    commit costs a sync of the disk, so one after the other that is slow; the pool lets writes that
    wait at the same moment share one commit, and so one sync. Nothing has to be done for that: the
    producers call sqlpool_exec(). Beside them readers aggregate, and a thread counts errors with a
    function of several statements. In the end everything is read back. (To load a file alone, where
    nobody waits for the answer to a line, sqlpool_bulk_begin() is faster.)

    What to copy from here, and where it stands:
      one statement from many threads, shared commits             pool_insert
      a write nobody waits for: back-pressure, answers, sync      submit_insert, submit_done, settle
      several statements that share a commit with other writes    count_errors
      several reads of one moment                                 pool_look
      what to do with an error                                    failed

    The database keeps what it has: every run adds to it. */
#define _XOPEN_SOURCE 700
#define SQLPOOL_IMPLEMENTATION
#include "../sqlpool.h"
#include "ingest_log.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    READERS = 2,
    PAUSE_MS = 10,    /* of a reader between two looks, and of the counter of errors */
    MAX_THREADS = 256 /* that produce */
};

typedef struct options {
    const char *database, *log;
    int threads;
    uint64_t events, seed; /* events: 0 for all lines of the log */
    bool normal, compare, submit;
} options;

typedef struct look { /* what a reader saw at one moment: the newest event, and three aggregates */
    int64_t newest, sum[3];
    char text[3][64];
} look;

typedef struct answer { /* to one event: how long it took, and which commit it was in */
    uint32_t us, commit;
} answer;

enum { EVENTS_PER_S, COMMITS_PER_S, P50, P99, P999, MOST, FIGURES };
static const char *const FIGURE_NAMES[] = {"events/s", "commits/s", "p50 of a write, ms",
                                           "p99",      "p99.9",     "longest"};

typedef struct way way;
typedef struct load { /* producers, readers, the counter of errors, and what they measure */
    const options *options;
    const way *way;
    const char *path;
    sqlpool *pool;
    int64_t run, first_id; /* its row in the table run; the newest event before */
    uint64_t first_sequence;
    atomic_bool has_failed, is_settled; /* settled: the producers have ended, all is answered */
    atomic_int producing;               /* producers at work */
    atomic_llong acknowledged, blobs;   /* events; of them, not text */
    atomic_llong busy, unknown;         /* tried again for SQLITE_BUSY; COMMIT failed on the disk */
    pthread_mutex_t feed_lock;          /* of the next three */
    FILE *log;                          /* NULL: events are made */
    int64_t taken, limit;
    char year[5];         /* of lines that name none (syslog): that of the log's last change */
    pthread_mutex_t lock; /* of the rest */
    answer *answers;
    size_t count, room;
    uint64_t checksums; /* the sum over what was acknowledged */
    int64_t looks, stale, torn, error_calls, began_ns, ended_ns;
    look last;
    double figure[FIGURES];
} load;

typedef struct worker { /* a thread */
    load *load;
    int (*work)(struct worker *w);
    pthread_t thread;
    event event;
    look look;
    sqlpool_error error;
    sqlite3 *db; /* without the pool: its own connection, and its statement */
    sqlite3_stmt *insert;
} worker;

struct way { /* how a load writes and reads; results are 0, SQLite's codes or the pool's */
    const char *name;
    int (*begin)(worker *w); /* or NULL */
    int (*insert)(worker *w, int64_t began_ns);
    int (*look)(worker *w);
    int (*count_errors)(worker *w, bool *is_idle); /* idle: there was nothing new */
    int (*settle)(worker *w);                      /* or NULL; when the producers have ended */
    void (*end)(worker *w);                        /* or NULL */
};

static atomic_int interrupted; /* by Ctrl-C; lock-free, so a signal handler may set it */

static void on_signal(int number) {
    (void)number;
    atomic_store(&interrupted, 1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pause_ms(long ms) {
    const struct timespec t = {0, ms * 1000000};
    nanosleep(&t, NULL);
}

/*  Every failure ends up here: the message says what happened and what to do. It ends the load, but
    not the program: what was acknowledged is verified all the same. */
static void failed(load *l, const char *what, int rc, const sqlpool_error *error) {
    if (error->outcome == SQLPOOL_OUTCOME_UNKNOWN) atomic_fetch_add(&l->unknown, 1);
    if (atomic_exchange(&l->has_failed, true)) return; /* the first one is told */
    fprintf(stderr, "ingest: %s: %s: %s\n", what, sqlpool_result_name(rc),
            error->message[0] != '\0' ? error->message : sqlpool_result_text(rc));
}

/*------------------------------------------------------------------------------------------------
 * the database
 *----------------------------------------------------------------------------------------------*/

static const char SCHEMA[] =
    "CREATE TABLE IF NOT EXISTS run(id INTEGER PRIMARY KEY, began TEXT NOT NULL, log TEXT);"
    "CREATE TABLE IF NOT EXISTS event("
    "  id INTEGER PRIMARY KEY,"                        /* in the order of commits, without gaps */
    "  run INTEGER NOT NULL, number INTEGER NOT NULL," /* in the order of the log */
    "  time TEXT, level TEXT NOT NULL, source TEXT NOT NULL, word TEXT NOT NULL,"
    "  checksum INTEGER NOT NULL, line NOT NULL);"
    "CREATE TABLE IF NOT EXISTS error_count("
    "  source TEXT PRIMARY KEY, errors INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS error_position("
    "  id INTEGER PRIMARY KEY CHECK (id = 1), event INTEGER NOT NULL);"
    "INSERT OR IGNORE INTO error_position VALUES(1, 0);";

static const char INSERT_EVENT[] =
    "INSERT INTO event(run, number, time, level, source, word, checksum, line)"
    " VALUES(?, ?, datetime(?), ?, ?, ?, ?, ?)";
#define EVENT_ARGS(l, e) \
    SQLPOOL_ARGS( \
        (l)->run, (e)->number, (e)->time, (e)->level, (e)->source, (e)->word, (e)->checksum, \
        (e)->is_text ? SQLPOOL_TEXT((e)->line, (e)->bytes) : SQLPOOL_BLOB((e)->line, (e)->bytes))

/*  What a reader looks at: the newest event, and counts of the newest 2,000. */
#define RECENT " FROM event WHERE id > (SELECT max(id) FROM event) - 2000 GROUP BY 1 ORDER BY "
enum { LOOKS = 4 };
static const char *const LOOK[LOOKS] = {"SELECT NULL, max(id) FROM event",
                                        "SELECT level, count(*)" RECENT "2 DESC",
                                        "SELECT source, count(*)" RECENT "2 DESC",
                                        "SELECT substr(time, 1, 16), count(*)" RECENT "1 DESC"};

static void add_to_look(look *k, int which, const char *name, int64_t count) {
    char *text = k->text[which > 0 ? which - 1 : 0];
    const size_t used = strlen(text);
    if (which == 0) k->newest = count;
    if (which == 0) return;
    k->sum[which - 1] += count;
    if (used < sizeof k->text[0] - 26) /* the first few are enough to show */
        snprintf(text + used, sizeof k->text[0] - used, "  %.16s %d", name != NULL ? name : "-",
                 (int)count);
}

/*  The counter of errors goes on where error_position says: it adds the errors among the next 1,000
    events to the counters of their sources, and moves the position. */
#define ERRORS_ADD \
    "INSERT INTO error_count(source, errors) SELECT source, count(*) FROM event" \
    " WHERE id > (SELECT event FROM error_position)" \
    " AND id <= (SELECT event + 1000 FROM error_position) AND level = 'error'" \
    " GROUP BY source ON CONFLICT(source) DO UPDATE SET errors = errors + excluded.errors"
#define ERRORS_MOVE \
    "UPDATE error_position SET event = min(event + 1000, (SELECT max(id) FROM event))" \
    " WHERE event < (SELECT max(id) FROM event)"

/*  An event is committed. The `sequence` of its result numbers the pool's commits: events that share
    one have the same, which tells exactly how many each commit carried. */
static void acknowledge(load *l, uint32_t checksum, int64_t began_ns, uint64_t sequence) {
    const int64_t us = (now_ns() - began_ns) / 1000;
    pthread_mutex_lock(&l->lock);
    if (l->count == l->room) {
        l->room = l->room * 2 + 4096;
        l->answers = (answer *)need(realloc(l->answers, l->room * sizeof *l->answers));
    }
    l->answers[l->count].us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    l->answers[l->count++].commit = (uint32_t)(sequence - l->first_sequence);
    l->checksums += checksum;
    pthread_mutex_unlock(&l->lock);
    atomic_fetch_add(&l->acknowledged, 1);
}

/*------------------------------------------------------------------------------------------------
 * with the pool
 *----------------------------------------------------------------------------------------------*/

static void log_line(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)user;
    if (item == SQLPOOL_LOG_SQLITE_VERSION) return; /* does not change from run to run */
    if (item == SQLPOOL_LOG_SLOW) return; /* a busy machine or disk: nothing is wrong */
    if (item == SQLPOOL_LOG_WAL_PINNED) return; /* by a look: the next checkpoint does the rest */
    if (level >= SQLPOOL_LEVEL_WARNING) fprintf(stderr, "%s\n", message);
}

static int open_pool(load *l, sqlpool_error *error) {
    sqlpool_config config = {0};
    config.name = "ingest";
    config.max_connections = READERS + 1; /* the one writer is for all producers */
    config.acquire_timeout_ms = 60000;    /* a slow disk and many threads are no error */
    /* FULL: what is acknowledged is on the disk. NORMAL, the default: the last of it may go when
       the power does, and a commit costs so little that sharing it matters less. */
    config.synchronous = l->options->normal ? SQLPOOL_SYNCHRONOUS_NORMAL : SQLPOOL_SYNCHRONOUS_FULL;
    config.log.write_fn = log_line;
    return sqlpool_open(&l->pool, l->path, &config, error);
}

/*  Returns when the event is committed and, with synchronous FULL, on the disk. If other threads are
    in here too, one of them writes for all: that is group commit. */
static int pool_insert(worker *w, int64_t began_ns) {
    load *l = w->load;
    sqlpool_result result;
    const int rc = sqlpool_exec_with(l->pool, NULL, &result, INSERT_EVENT, EVENT_ARGS(l, &w->event),
                                     &w->error);
    if (rc == SQLPOOL_OK) acknowledge(l, w->event.checksum, began_ns, result.sequence);
    return rc;
}

typedef struct submitted { /* an event on its way, until submit_done */
    load *load;
    int64_t began_ns;
    uint32_t checksum;
} submitted;

/*  Called once for each event that was accepted, on a thread of the pool. */
static void submit_done(void *user, const sqlpool_result *result, const sqlpool_error *error) {
    submitted *s = (submitted *)user;
    if (error->result == SQLPOOL_OK)
        acknowledge(s->load, s->checksum, s->began_ns, result->sequence);
    else
        failed(s->load, "write", error->result, error);
    free(s);
}

/*  Returns when the event is in the pool's queue. That is bounded (submit_count, submit_bytes): when
    it is full the call waits, which keeps the producers as slow as the database. */
static int submit_insert(worker *w, int64_t began_ns) {
    load *l = w->load;
    submitted *s = (submitted *)need(malloc(sizeof *s));
    sqlpool_submission how = {0};
    int rc;
    s->load = l;
    s->began_ns = began_ns;
    s->checksum = w->event.checksum;
    how.relaxed = true; /* its commit does not wait for the disk; settle() does, once for all */
    how.wait_ms = SQLPOOL_FOREVER;
    how.done_fn = submit_done;
    how.user = s;
    rc =
        sqlpool_submit_with(l->pool, &how, NULL, INSERT_EVENT, EVENT_ARGS(l, &w->event), &w->error);
    if (rc != SQLPOOL_OK) free(s); /* not accepted: submit_done is not called */
    return rc;
}

/*  First everything submitted is done, then on the disk. */
static int settle(worker *w) {
    const int rc = sqlpool_flush(w->load->pool, SQLPOOL_FOREVER, &w->error);
    return rc == SQLPOOL_OK ? sqlpool_sync(w->load->pool, 0, 0, &w->error) : rc;
}

/*  Several reads of one moment, whatever is committed meanwhile: a snapshot scope on a lease. */
static int pool_look(worker *w) {
    sqlpool_conn conn;
    int i, rc = sqlpool_conn_acquire(w->load->pool, SQLPOOL_READ, &conn, &w->error);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool_snapshot_begin(&conn, 0, &w->error);
    for (i = 0; rc == SQLPOOL_OK && i < LOOKS; i++) {
        sqlpool_rows rows;
        (void)sqlpool_conn_query(&conn, &rows, LOOK[i], SQLPOOL_NO_ARGS, &w->error);
        while (sqlpool_rows_next(&rows))
            add_to_look(&w->look, i, sqlpool_rows_text(&rows, 0), sqlpool_rows_int64(&rows, 1));
        rc = sqlpool_rows_close(&rows, &w->error); /* also tells what the query failed with */
    }
    if (rc == SQLPOOL_OK) rc = sqlpool_snapshot_end(&conn, &w->error);
    (void)sqlpool_conn_release(&conn); /* ends the scope too, if it is open */
    return rc;
}

/*  Counts and moves the position: both or neither. Inserts of the producers may share the commit;
    then this runs on a thread of theirs, and perhaps a second time, so it touches nothing but `conn`
    and what is its own. The errors of its calls come out of sqlpool_write(). */
static int count_errors(sqlpool_conn *conn, void *user, int attempt) {
    sqlpool_result *moved = (sqlpool_result *)user;
    int rc = sqlpool_conn_exec(conn, ERRORS_ADD, SQLPOOL_NO_ARGS, NULL, NULL);
    (void)attempt;
    if (rc != SQLPOOL_OK) return rc; /* anything but 0 rolls back */
    return sqlpool_conn_exec(conn, ERRORS_MOVE, SQLPOOL_NO_ARGS, moved, NULL);
}

static int pool_count_errors(worker *w, bool *is_idle) {
    sqlpool_result moved = {0};
    const int rc = sqlpool_write(w->load->pool, count_errors, &moved, &w->error);
    *is_idle = moved.changes == 0;
    return rc;
}

static const way EXEC = {.name = "sqlpool_exec(): each event waits for its commit",
                         .insert = pool_insert,
                         .look = pool_look,
                         .count_errors = pool_count_errors};
static const way SUBMIT = {.name = "sqlpool_submit(): nobody waits; relaxed, one sync at the end",
                           .insert = submit_insert,
                           .look = pool_look,
                           .count_errors = pool_count_errors,
                           .settle = settle};

/*------------------------------------------------------------------------------------------------
 * without it: a connection for each thread, a busy timeout, each event a transaction
 *----------------------------------------------------------------------------------------------*/

static int bare_result(worker *w, int rc) {
    w->error.result = rc;
    w->error.outcome = rc == SQLITE_OK ? SQLPOOL_OUTCOME_NONE : SQLPOOL_OUTCOME_UNKNOWN;
    snprintf(w->error.message, sizeof w->error.message, "%s", sqlite3_errmsg(w->db));
    if (rc != SQLITE_OK) (void)sqlite3_exec(w->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static int bare_begin(worker *w) {
    int rc = sqlite3_open(w->load->path, &w->db); /* in WAL mode already: that is in the file */
    if (rc == SQLITE_OK) rc = sqlite3_busy_timeout(w->db, 5000);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(w->db,
                          w->load->options->normal ? "PRAGMA synchronous = NORMAL"
                                                   : "PRAGMA synchronous = FULL",
                          NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(w->db, INSERT_EVENT, -1, &w->insert, NULL);
    return bare_result(w, rc);
}

static void bare_end(worker *w) {
    sqlite3_finalize(w->insert);
    sqlite3_close(w->db);
}

static int bare_insert(worker *w, int64_t began_ns) {
    const event *e = &w->event;
    int rc;
    sqlite3_bind_int64(w->insert, 1, w->load->run);
    sqlite3_bind_int64(w->insert, 2, e->number);
    sqlite3_bind_text(w->insert, 3, e->time, -1, SQLITE_STATIC);
    sqlite3_bind_text(w->insert, 4, e->level, -1, SQLITE_STATIC);
    sqlite3_bind_text(w->insert, 5, e->source, -1, SQLITE_STATIC);
    sqlite3_bind_text(w->insert, 6, e->word, -1, SQLITE_STATIC);
    sqlite3_bind_int64(w->insert, 7, e->checksum);
    if (e->is_text) sqlite3_bind_text(w->insert, 8, e->line, (int)e->bytes, SQLITE_STATIC);
    if (!e->is_text) sqlite3_bind_blob(w->insert, 8, e->line, (int)e->bytes, SQLITE_STATIC);
    (void)sqlite3_step(w->insert);
    rc = sqlite3_reset(w->insert); /* says what the step failed with */
    if (rc != SQLITE_OK) return bare_result(w, rc);
    acknowledge(w->load, e->checksum, began_ns, 0);
    return rc;
}

static int bare_look(worker *w) {
    int i, rc = sqlite3_exec(w->db, "BEGIN", NULL, NULL, NULL);
    for (i = 0; rc == SQLITE_OK && i < LOOKS; i++) {
        sqlite3_stmt *s;
        rc = sqlite3_prepare_v2(w->db, LOOK[i], -1, &s, NULL);
        if (rc != SQLITE_OK) break;
        while (sqlite3_step(s) == SQLITE_ROW)
            add_to_look(&w->look, i, (const char *)sqlite3_column_text(s, 0),
                        sqlite3_column_int64(s, 1));
        rc = sqlite3_finalize(s);
    }
    if (rc == SQLITE_OK) rc = sqlite3_exec(w->db, "COMMIT", NULL, NULL, NULL);
    return bare_result(w, rc);
}

static int bare_count_errors(worker *w, bool *is_idle) {
    const int rc = sqlite3_exec(w->db, "BEGIN IMMEDIATE;" ERRORS_ADD ";" ERRORS_MOVE "; COMMIT",
                                NULL, NULL, NULL);
    *is_idle = rc == SQLITE_OK && sqlite3_changes(w->db) == 0;
    return bare_result(w, rc);
}

static const way BARE = {.name = "without a pool: a connection for each thread, busy_timeout 5 s",
                         .begin = bare_begin,
                         .insert = bare_insert,
                         .look = bare_look,
                         .count_errors = bare_count_errors,
                         .end = bare_end};

/*------------------------------------------------------------------------------------------------
 * the threads
 *----------------------------------------------------------------------------------------------*/

static bool next_event(load *l, event *e) {
    bool is_there;
    e->bytes = 0;
    pthread_mutex_lock(&l->feed_lock);
    is_there = l->taken < l->limit && (l->log == NULL || read_line(e, l->log));
    if (is_there) e->number = ++l->taken;
    pthread_mutex_unlock(&l->feed_lock);
    if (!is_there) return false;
    if (l->log == NULL) make_line(e, l->options->seed);
    e->is_text = is_text(e->line, e->bytes);
    e->checksum = checksum_of(e->number, e->line, e->bytes);
    if (!e->is_text) atomic_fetch_add(&l->blobs, 1);
    parse(e, l->year);
    return true;
}

/*  SQLITE_BUSY says that nothing was written and that it may be tried again. A pool meets it only
    when another process holds the database for longer than the call may take. */
static bool is_busy(load *l, int rc) {
    if (rc <= 0 || (rc & 0xff) != SQLITE_BUSY) return false;
    atomic_fetch_add(&l->busy, 1);
    return true;
}

static int produce(worker *w) {
    load *l = w->load;
    while (!atomic_load(&interrupted) && !atomic_load(&l->has_failed) && next_event(l, &w->event)) {
        const int64_t began_ns = now_ns();
        int rc;
        do rc = l->way->insert(w, began_ns);
        while (is_busy(l, rc) && !atomic_load(&interrupted));
        if (rc != 0 && !atomic_load(&interrupted)) return rc;
    }
    return 0;
}

/*  Looks again and again, and once more when all is written. It must see what was acknowledged
    before it began, and the aggregates of one moment must agree. */
static int read_on(worker *w) {
    load *l = w->load;
    bool is_last = false;
    while (!is_last && !atomic_load(&l->has_failed)) {
        const int64_t before = atomic_load(&l->acknowledged);
        int rc;
        is_last = atomic_load(&l->is_settled);
        memset(&w->look, 0, sizeof w->look);
        rc = l->way->look(w);
        if (rc != 0) return rc;
        pthread_mutex_lock(&l->lock);
        l->looks++;
        if (w->look.newest - l->first_id < before) l->stale++;
        if (w->look.sum[0] != w->look.sum[1] || w->look.sum[0] != w->look.sum[2]) l->torn++;
        if (w->look.newest >= l->last.newest) l->last = w->look;
        pthread_mutex_unlock(&l->lock);
        if (!is_last) pause_ms(PAUSE_MS);
    }
    return 0;
}

/*  Follows the events, and ends when it has gone through all of them. */
static int count_on(worker *w) {
    load *l = w->load;
    bool is_end = false, is_idle = false;
    while (!(is_end && is_idle) && !atomic_load(&l->has_failed)) {
        int rc;
        is_end = atomic_load(&l->is_settled);
        rc = l->way->count_errors(w, &is_idle);
        if (rc != 0 && !is_busy(l, rc)) return rc;
        l->error_calls++; /* nobody else looks at it while this thread runs */
        if (!is_end) pause_ms(PAUSE_MS);
    }
    return 0;
}

static void *run_worker(void *user) {
    worker *w = (worker *)user;
    load *l = w->load;
    int rc = l->way->begin != NULL ? l->way->begin(w) : 0;
    if (rc == 0) rc = w->work(w);
    if (rc != 0) failed(l, w->work == produce ? "write" : "read", rc, &w->error);
    if (l->way->end != NULL) l->way->end(w);
    free(w->event.line);
    if (w->work == produce) atomic_fetch_sub(&l->producing, 1);
    return NULL;
}

/*  Runs them all, and says twice a second how it goes. */
static void run_threads(load *l) {
    const int threads = l->options->threads, all = threads + READERS + 1;
    worker *w = (worker *)need(calloc((size_t)all, sizeof *w));
    int i, ticks, rc;
    atomic_store(&l->producing, threads);
    l->began_ns = now_ns();
    for (i = 0; i < all; i++) {
        w[i].load = l;
        w[i].work = i < threads ? produce : i < threads + READERS ? read_on : count_on;
        if (pthread_create(&w[i].thread, NULL, run_worker, &w[i]) == 0) continue;
        fputs("ingest: the system gives no more threads: use fewer --threads\n", stderr);
        exit(1); /* like a crash: what was committed stays */
    }
    for (ticks = 1; atomic_load(&l->producing) > 0; ticks++) {
        pause_ms(5);
        if (ticks % 100 != 0) continue;
        pthread_mutex_lock(&l->lock);
        printf("  %6.1f s  acknowledged %lld; minutes%s\n", (double)(now_ns() - l->began_ns) / 1e9,
               (long long)l->count, l->last.text[2]);
        pthread_mutex_unlock(&l->lock);
        fflush(stdout);
    }
    for (i = 0; i < threads; i++) pthread_join(w[i].thread, NULL);
    rc = l->way->settle != NULL ? l->way->settle(&w[0]) : 0;
    if (rc != 0) failed(l, "settle", rc, &w[0].error);
    l->ended_ns = now_ns();
    atomic_store(&l->is_settled, true);
    for (; i < all; i++) pthread_join(w[i].thread, NULL);
    free(w);
}

/*------------------------------------------------------------------------------------------------
 * what was measured, and whether everything is there
 *----------------------------------------------------------------------------------------------*/

static int by_us(const void *a, const void *b) {
    const answer *x = (const answer *)a, *y = (const answer *)b;
    return (x->us > y->us) - (x->us < y->us);
}
static int by_commit(const void *a, const void *b) {
    const answer *x = (const answer *)a, *y = (const answer *)b;
    return (x->commit > y->commit) - (x->commit < y->commit);
}

/*  How many commits carried 1, 2, 3 to 4, 5 to 8 ... events. */
static void print_sizes(load *l) {
    static const char bar[] = "########################################";
    int64_t commits[9] = {0}, events[9] = {0};
    size_t first, next;
    int k;
    qsort(l->answers, l->count, sizeof *l->answers, by_commit);
    for (first = 0; first < l->count; first = next) {
        for (next = first; next < l->count; next++)
            if (l->answers[next].commit != l->answers[first].commit) break;
        for (k = 0; k < 8 && (size_t)1 << k < next - first;) k++;
        commits[k]++;
        events[k] += (int64_t)(next - first);
    }
    printf("  in a commit     commits     events\n");
    for (k = 0; k < 9; k++)
        if (commits[k] != 0)
            printf("  %4d .. %-4d  %9lld  %9lld  %.*s\n", k == 0 ? 1 : (1 << (k - 1)) + 1, 1 << k,
                   (long long)commits[k], (long long)events[k],
                   (int)(events[k] * 40 / (int64_t)l->count), bar);
}

static void report(load *l, const sqlpool_stats *before, const sqlpool_stats *after) {
    static const double parts[] = {0.5, 0.99, 0.999, 1};
    const double seconds = (double)(l->ended_ns - l->began_ns) / 1e9;
    int i;
    l->figure[EVENTS_PER_S] = (double)l->count / seconds;
    l->figure[COMMITS_PER_S] = (double)(after->commits - before->commits) / seconds;
    if (l->way == &BARE) l->figure[COMMITS_PER_S] = l->figure[EVENTS_PER_S];
    if (l->count > 0) qsort(l->answers, l->count, sizeof *l->answers, by_us);
    for (i = 0; i < 4 && l->count > 0; i++)
        l->figure[P50 + i] =
            l->answers[(size_t)(parts[i] * (double)(l->count - 1) + 0.5)].us / 1000.0;
    printf("  %lld events in %.2f s, busy=%lld unknown=%lld blobs=%lld\n", (long long)l->count,
           seconds, (long long)l->busy, (long long)l->unknown, (long long)l->blobs);
    for (i = 0; i < FIGURES; i++)
        printf("  %-20s %10.*f\n", FIGURE_NAMES[i], i < P50 ? 0 : 2, l->figure[i]);
    if (l->count > 0 && l->way != &BARE) print_sizes(l);
    if (l->way != &BARE)
        printf("  by the pool's counters %llu writes shared %llu commits (errors=%lld)\n",
               (unsigned long long)(after->grouped - before->grouped),
               (unsigned long long)(after->groups - before->groups), (long long)l->error_calls);
    printf("  %d readers: looks=%lld stale=%lld torn=%lld and the last saw of the newest 2,000\n"
           "    levels %s\n    sources%s\n    minutes%s\n",
           READERS, (long long)l->looks, (long long)l->stale, (long long)l->torn, l->last.text[0],
           l->last.text[1], l->last.text[2]);
}

#define ERRORS_AGAIN \
    "SELECT source, count(*) FROM event WHERE level = 'error' AND id <= " \
    "(SELECT event FROM error_position) GROUP BY source"
static const char WRONG_COUNTERS[] =
    "SELECT (SELECT count(*) FROM (SELECT * FROM error_count EXCEPT " ERRORS_AGAIN "))"
    " + (SELECT count(*) FROM (" ERRORS_AGAIN " EXCEPT SELECT * FROM error_count))";

/*  Reads all runs back: every acknowledged event of this one must be there, once and unchanged, and
    nothing else of it; each counter of errors must be what counting them all again gives. */
static bool verify(load *l) {
    sqlpool_error error;
    sqlpool_rows rows;
    const int64_t unknown = atomic_load(&l->unknown), acknowledged = (int64_t)l->count;
    int64_t all = 0, stored = 0, damaged = 0, twice = 0, errors = 0, wrong = 0;
    uint64_t checksums = 0;
    bool is_right;
    int rc;
    (void)sqlpool_query(l->pool, &rows, "SELECT run, number, checksum, line FROM event",
                        SQLPOOL_NO_ARGS, &error);
    while (sqlpool_rows_next(&rows)) {
        const int64_t number = sqlpool_rows_int64(&rows, 1), sum = sqlpool_rows_int64(&rows, 2);
        const char *line = (const char *)sqlpool_rows_blob(&rows, 3); /* of a text, its bytes */
        all++;
        if (checksum_of(number, line, sqlpool_rows_bytes(&rows, 3)) != sum) damaged++;
        if (sqlpool_rows_int64(&rows, 0) != l->run) continue;
        stored++;
        checksums += (uint64_t)sum;
    }
    rc = sqlpool_rows_close(&rows, &error);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_query_int64(
            l->pool, &twice, "SELECT count(*) - count(DISTINCT number) FROM event WHERE run = ?",
            SQLPOOL_ARGS(l->run), &error);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_query_int64(l->pool, &errors, "SELECT ifnull(sum(errors), 0) FROM error_count",
                                 SQLPOOL_NO_ARGS, &error);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_query_int64(l->pool, &wrong, WRONG_COUNTERS, SQLPOOL_NO_ARGS, &error);
    if (rc != SQLPOOL_OK) failed(l, "read back", rc, &error);
    is_right = rc == SQLPOOL_OK && stored >= acknowledged && stored <= acknowledged + unknown &&
               (unknown != 0 || checksums == l->checksums) && twice == 0 && damaged == 0 &&
               wrong == 0 && l->stale == 0 && l->torn == 0;
    printf("  %s: run=%lld acknowledged=%lld stored=%lld twice=%lld checksums=%s\n"
           "  all runs: rows=%lld damaged=%lld errors=%lld wrong_counters=%lld\n",
           is_right ? "verified" : "WRONG", (long long)l->run, (long long)acknowledged,
           (long long)stored, (long long)twice, checksums == l->checksums ? "equal" : "different",
           (long long)all, (long long)damaged, (long long)errors, (long long)wrong);
    return is_right;
}

/*------------------------------------------------------------------------------------------------
 * the program
 *----------------------------------------------------------------------------------------------*/

/*  false: the log cannot be read; the message says why. */
static bool open_log(load *l, const char *path, const char *database) {
    struct stat log, other;
    struct tm changed = {0};
    if (path == NULL) return true;
    if (stat(path, &log) != 0) {
        fprintf(stderr, "ingest: %s: %s\n", path, strerror(errno));
    } else if (!S_ISREG(log.st_mode)) {
        fprintf(stderr, "ingest: %s is %s, not a file\n", path,
                S_ISDIR(log.st_mode) ? "a directory" : "a pipe or device");
    } else if (stat(database, &other) == 0 && other.st_dev == log.st_dev &&
               other.st_ino == log.st_ino) {
        fprintf(stderr, "ingest: %s is the database itself\n", path);
    } else if ((l->log = fopen(path, "rb")) == NULL) {
        fprintf(stderr, "ingest: %s: %s\n", path, strerror(errno));
    } else {
        (void)gmtime_r(&log.st_mtime, &changed);
        if (strftime(l->year, sizeof l->year, "%Y", &changed) == 0) l->year[0] = '\0';
        return true;
    }
    return false;
}

static int begin_run(load *l, sqlpool_error *error) {
    sqlpool_result result = {0};
    int rc = open_pool(l, error);
    if (rc == SQLPOOL_OK) rc = sqlpool_script(l->pool, SCHEMA, -1, error);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_exec_with(l->pool, NULL, &result,
                               "INSERT INTO run(began, log) VALUES(datetime('now'), ?)",
                               SQLPOOL_ARGS(l->options->log), error);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_query_int64(l->pool, &l->first_id, "SELECT ifnull(max(id), 0) FROM event",
                                 SQLPOOL_NO_ARGS, error);
    l->run = result.last_insert_id;
    l->first_sequence = result.sequence;
    return rc;
}

/*  One load: open, run, report, read back. The pool is closed while BARE runs. */
static bool run(load *l) {
    sqlpool_stats before = {0}, after = {0};
    sqlpool_error error;
    bool is_right = false;
    int rc;
    if (pthread_mutex_init(&l->lock, NULL) != 0 || pthread_mutex_init(&l->feed_lock, NULL) != 0)
        need(NULL);
    if (!open_log(l, l->options->log, l->path)) return false;
    printf("\n%s\n", l->way->name);
    rc = begin_run(l, &error);
    if (rc == SQLPOOL_OK && l->way == &BARE) rc = sqlpool_close(l->pool, &error);
    if (rc == SQLPOOL_OK) {
        if (l->way != &BARE) (void)sqlpool_get_stats(l->pool, &before);
        run_threads(l);
        if (l->way != &BARE)
            (void)sqlpool_get_stats(l->pool, &after);
        else
            rc = open_pool(l, &error);
        report(l, &before, &after);
    }
    if (rc == SQLPOOL_OK)
        is_right = verify(l);
    else
        failed(l, l->path, rc, &error);
    rc = l->pool != NULL ? sqlpool_close(l->pool, &error) : SQLPOOL_OK;
    if (rc != SQLPOOL_OK && rc != SQLPOOL_CLOSED) failed(l, "close", rc, &error);
    if (l->log != NULL && ferror(l->log)) {
        fprintf(stderr, "ingest: %s cannot be read to its end\n", l->options->log);
        is_right = false;
    }
    if (l->log != NULL) fclose(l->log);
    free(l->answers);
    return is_right && !atomic_load(&l->has_failed);
}

static const char USAGE[] =
    "ingest DB [LOGFILE] [options] - write a log into an SQLite database from many threads\n"
    "\n"
    "LOGFILE: access logs of Apache and nginx, syslog, any lines. Without it events are made.\n"
    "  --threads N   that write, up to 256 [8]\n"
    "  --events N    to write at most [20000; with LOGFILE all its lines]\n"
    "  --seed S      of the events that are made [from the clock]\n"
    "  --full        synchronous FULL: what is acknowledged is on the disk [so]\n"
    "  --normal      synchronous NORMAL: the last of it may go when the power does\n"
    "  --submit      hand in events and do not wait for each\n"
    "  --compare     do the same without the pool, in DB-compare, and remove that\n"
    "Exit code: 0 all is there, 1 an error or something is not, 2 usage, 130 interrupted and all\n"
    "that was acknowledged is there\n";

static bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *value) {
    char *end;
    errno = 0;
    if (text == NULL || !isdigit((unsigned char)*text)) return false;
    *value = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0 && *value >= least && *value <= most;
}

static bool parse_options(options *o, int argc, char **argv) {
    uint64_t n;
    int i;
    for (i = 1; i < argc; i++) {
        const char *a = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(a, "--full") == 0)
            o->normal = false;
        else if (strcmp(a, "--normal") == 0)
            o->normal = true;
        else if (strcmp(a, "--compare") == 0)
            o->compare = true;
        else if (strcmp(a, "--submit") == 0)
            o->submit = true;
        else if (strcmp(a, "--threads") == 0 && parse_number(next, 1, MAX_THREADS, &n))
            o->threads = (int)n, i++;
        else if (strcmp(a, "--events") == 0 && parse_number(next, 1, UINT32_MAX, &o->events))
            i++;
        else if (strcmp(a, "--seed") == 0 && parse_number(next, 0, UINT64_MAX, &o->seed))
            i++;
        else if (a[0] == '-' || a[0] == '\0' || o->log != NULL)
            return false;
        else if (o->database == NULL)
            o->database = a;
        else
            o->log = a;
    }
    if (o->log == NULL && o->events == 0) o->events = 20000;
    return o->database != NULL;
}

/*  The load with the pool, then the same without it if that is asked for. */
static int run_all(const options *o, load *with, load *without, char *path, size_t bytes) {
    static const char *const tails[] = {"", "-wal", "-shm"};
    int i;
    with->options = without->options = o;
    with->path = o->database;
    with->way = o->submit ? &SUBMIT : &EXEC;
    with->limit = o->events != 0 ? (int64_t)o->events : INT64_MAX;
    if (!run(with)) return 1;
    if (!o->compare || atomic_load(&interrupted)) return 0;
    without->path = path;
    without->way = &BARE;
    without->limit = with->taken; /* the log may have grown */
    if (!run(without)) return 1;
    printf("\n%24s %12s %12s %12s\n", "", "pool", "without", "pool/without");
    for (i = 0; i < FIGURES; i++)
        printf("%24s %12.2f %12.2f %12.2f\n", FIGURE_NAMES[i], with->figure[i], without->figure[i],
               without->figure[i] > 0 ? with->figure[i] / without->figure[i] : 0);
    printf("\nWithout the pool a thread that has just written finds the lock free while the\n"
           "others sleep: most of its writes wait for nobody, theirs may wait for seconds.\n");
    for (i = 2; i >= 0; i--) {
        snprintf(path, bytes, "%s-compare%s", o->database, tails[i]);
        (void)unlink(path);
    }
    return 0;
}

int main(int argc, char **argv) {
    static load loads[2]; /* zeroed, and too large for some stacks */
    struct sigaction action = {0};
    options o = {0};
    char path[4096];
    int code;
    o.threads = 8;
    o.seed = (uint64_t)time(NULL);
    if (!parse_options(&o, argc, argv)) {
        fputs(USAGE, stderr);
        return 2;
    }
    snprintf(path, sizeof path, "%s-compare", o.database);
    if (o.compare && access(path, F_OK) == 0) {
        fprintf(stderr, "ingest: %s is there already: remove it, --compare needs the name\n", path);
        return 1;
    }
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND | SA_RESTART; /* a second Ctrl-C ends the program at once */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (o.log == NULL)
        printf("%llu events from seed %llu", (unsigned long long)o.events,
               (unsigned long long)o.seed);
    else
        printf("lines of %s", o.log);
    printf(" to %s, %d threads, synchronous %s\n", o.database, o.threads,
           o.normal ? "NORMAL" : "FULL");
    code = run_all(&o, &loads[0], &loads[1], path, sizeof path);
    return code == 0 && atomic_load(&interrupted) ? 130 : code;
}
