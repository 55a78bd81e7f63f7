/*  freshness.c - a read that begins after a commit returned sees it: in any thread, connection or
    process. SPDX-License-Identifier: MIT OR Unlicense

    Processes write the database: plain SQLite, plain SQLite that gets killed, and one with a pool of
    its own. They move money, change the schema, roll back, checkpoint in every mode, VACUUM, die in
    the middle of a commit and between the two copies of the WAL-index header (so that the next reader
    must recover it), and come back. This process reads through two pools, and writes as well.

      - after COMMIT returned, and never before, a writer raises `floor` in shared memory; a reader
        too raises it to what it has read. A reader takes `floor` and then reads: less than that is
        a stale read.
      - the sum over two tables never changes, in one statement and in one transaction; a mirror of
        the counter is always equal to it
      - a table has as many columns as its row says, and as many as its last change gave it

    Between rounds everybody closes: the log is removed by the last close, the journal mode is switched
    away and back.

    Only who holds the turn (a lock on a file, freed by the kernel when its holder dies) writes or
    checkpoints, since in SQLite before 3.51.3 a checkpoint beside another process's writer can
    corrupt the file.

    freshness [SECONDS]     about this long in all [4]
    freshness_blind.c is the control: without the comparison the same reads must be stale. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sqlpool.h"
#include "sim/clock.h"
#include "test.h"

#define DATABASE "freshness.db"
enum { ACCOUNTS = 20, START_BALANCE = 1000, TOTAL = 2 * ACCOUNTS * START_BALANCE };
enum { WRITERS = 3, READERS = 3, COLUMN_CYCLE = 20, OWN_ROLLBACK = 4242 };
enum { WRITER_PLAIN, WRITER_KILLED, WRITER_POOL };

/*---- what the processes share ----*/

typedef struct shared {
    int64_t floor;        /* newest counter that anybody has committed or read */
    int64_t schema_floor; /* the same of schema changes */
    int64_t round;        /* odd: everybody has the database closed */
    int64_t parked[WRITERS];
    int64_t stop;
    int64_t commits, rollbacks, changes, vacuums, checkpoints[4], checkpoints_busy;
    int64_t kills, torn, closes;
    int64_t checked, stale, wrong, reports; /* of all processes */
    int64_t filled_bytes;                   /* by the writer of the idle test */
} shared;

static shared *common;
static const char *who = "parent";
static int64_t sqlite_ms = 5000;

static int64_t load(const int64_t *value) {
    return __atomic_load_n(value, __ATOMIC_ACQUIRE);
}
static void store(int64_t *value, int64_t to) {
    __atomic_store_n(value, to, __ATOMIC_SEQ_CST);
}
static void add(int64_t *value, int64_t more) {
    (void)__atomic_fetch_add(value, more, __ATOMIC_RELAXED);
}
static void raise_to(int64_t *value, int64_t to) {
    int64_t have = load(value);
    while (have < to &&
           !__atomic_compare_exchange_n(value, &have, to, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) {
    }
}

static void sleep_us(uint64_t duration) {
    sim_real_sleep_ns((int64_t)duration * 1000);
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
    char text[900];
    va_list list;
    if (__atomic_fetch_add(&common->reports, 1, __ATOMIC_SEQ_CST) >= 12) return;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    printf("# freshness (%s): %s\n", who, text);
    fflush(stdout);
}
static void stale(const char *kind, const char *what, int64_t have, int64_t floor) {
    add(&common->stale, 1);
    say("stale: %s: %s is %lld, %lld was committed before it began", kind, what, (long long)have,
        (long long)floor);
}
static void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void wrong(const char *format, ...) {
    char text[800];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    add(&common->wrong, 1);
    say("%s", text);
}

static bool map_common(bool is_new) {
    void *at;
    const int fd = open("freshness.shared", O_RDWR | O_CLOEXEC | (is_new ? O_CREAT | O_TRUNC : 0), 0600);
    if (fd < 0 || (is_new && ftruncate(fd, (off_t)sizeof(shared)) != 0)) return false;
    at = mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (at == MAP_FAILED) return false;
    common = (shared *)at;
    return true;
}

static int turn_open(void) {
    return open("freshness.turn", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}
static void turn_take(int fd) {
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR) {
    }
}
static void turn_give(int fd) {
    (void)flock(fd, LOCK_UN);
}

/*  A child that runs this program in another role. */
static pid_t spawn(const char *role, const char *argument) {
    static char self[1024];
    pid_t child;
    if (self[0] == '\0') {
        const ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
        if (bytes <= 0) (void)snprintf(self, sizeof self, "/proc/self/exe");
    }
    fflush(stdout);
    child = fork();
    if (child == 0) {
        const char *emulator = getenv("TEST_EMULATOR"); /* programs of another processor */
        if (emulator != NULL) (void)execlp(emulator, emulator, self, role, argument, (char *)NULL);
        (void)execl(self, "freshness", role, argument, (char *)NULL);
        _exit(99);
    }
    return child;
}
static int reap(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

/*---- writing, by a plain connection or a lease ----*/

typedef struct hand {
    sqlite3 *db;
    sqlpool_conn *conn;
    uint64_t *dice;
    int64_t n, schema;
} hand;

static int hand_exec(hand *h, const char *sql) {
    int rc;
    if (h->conn != NULL) {
        sqlpool_error error;
        rc = sqlpool_conn_exec(h->conn, sql, SQLPOOL_NO_ARGS, NULL, &error);
        if (rc != SQLPOOL_OK) say("%s: %s", sql, error.message);
    } else {
        char *message = NULL;
        rc = sqlite3_exec(h->db, sql, NULL, NULL, &message);
        if (rc != SQLITE_OK) say("%s: %d: %s", sql, rc, message == NULL ? "" : message);
        sqlite3_free(message);
    }
    return rc;
}
static int hand_pair(hand *h, const char *sql, int64_t *one, int64_t *two) {
    int rc = SQLITE_ERROR;
    if (h->conn != NULL) {
        sqlpool_rows rows;
        rc = sqlpool_conn_query(h->conn, &rows, sql, SQLPOOL_NO_ARGS, NULL);
        if (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) {
            *one = sqlpool_rows_int64(&rows, 0);
            *two = sqlpool_rows_int64(&rows, 1);
        }
        return sqlpool_rows_close(&rows, NULL);
    } else {
        sqlite3_stmt *statement = NULL;
        if (sqlite3_prepare_v2(h->db, sql, -1, &statement, NULL) == SQLITE_OK &&
            sqlite3_step(statement) == SQLITE_ROW) {
            *one = sqlite3_column_int64(statement, 0);
            *two = sqlite3_column_int64(statement, 1);
            rc = SQLITE_OK;
        }
        (void)sqlite3_finalize(statement);
    }
    return rc;
}

/*  What stands between BEGIN and COMMIT. */
static int write_once(hand *h) {
    char sql[300];
    int rc;
    const unsigned amount = 1 + (unsigned)sim_roll(h->dice, 50);
    (void)snprintf(sql, sizeof sql, "UPDATE account_a SET balance = balance - %u WHERE id = %u", amount,
                   1 + (unsigned)sim_roll(h->dice, ACCOUNTS));
    rc = hand_exec(h, sql);
    (void)snprintf(sql, sizeof sql, "UPDATE account_b SET balance = balance + %u WHERE id = %u", amount,
                   1 + (unsigned)sim_roll(h->dice, ACCOUNTS));
    if (rc == 0) rc = hand_exec(h, sql);
    if (rc == 0) rc = hand_exec(h, "UPDATE counter SET n = n + 1");
    if (rc == 0) rc = hand_exec(h, "UPDATE mirror SET n = n + 1");
    if (rc == 0) rc = hand_pair(h, "SELECT n, g FROM counter", &h->n, &h->schema);
    if (rc == 0 && sim_roll(h->dice, 40) == 0) {
        const int64_t g = ++h->schema;
        add(&common->changes, 1);
        if (g % COLUMN_CYCLE == 0) {
            rc = hand_exec(h, "DROP TABLE wide");
            if (rc == 0) rc = hand_exec(h, "CREATE TABLE wide(g INTEGER, c0)");
            if (rc == 0) rc = hand_exec(h, "INSERT INTO wide VALUES(0, 0)");
        } else {
            (void)snprintf(sql, sizeof sql, "ALTER TABLE wide ADD COLUMN c%d", (int)(g % COLUMN_CYCLE));
            rc = hand_exec(h, sql);
        }
        if (rc == 0) rc = hand_exec(h, "UPDATE wide SET g = (SELECT g + 1 FROM counter)");
        if (rc == 0) rc = hand_exec(h, "UPDATE counter SET g = g + 1");
    }
    return rc;
}
static void committed(const hand *h) {
    raise_to(&common->floor, h->n);
    raise_to(&common->schema_floor, h->schema);
    add(&common->commits, 1);
}

/*---- the plain writers ----*/

static sqlite3_io_methods torn_methods;
static int torn_armed;
static void torn_barrier(sqlite3_file *file) {
    (void)file;
    if (torn_armed) { /* one copy of the header is written, the other is not */
        add(&common->torn, 1);
        (void)raise(SIGKILL);
    }
    __sync_synchronize();
}

static sqlite3 *plain_open(void) {
    sqlite3 *db = NULL;
    sqlite3_file *file = NULL;
    if (sqlite3_open(DATABASE, &db) != SQLITE_OK) {
        wrong("cannot open: %s", sqlite3_errmsg(db));
        (void)sqlite3_close(db);
        return NULL;
    }
    (void)sqlite3_busy_timeout(db, (int)sqlite_ms);
    (void)sqlite3_exec(db, "PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 200", NULL, NULL, NULL);
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK && file != NULL &&
        file->pMethods != NULL && file->pMethods->iVersion >= 2) {
        torn_methods = *file->pMethods;
        torn_methods.xShmBarrier = torn_barrier;
        file->pMethods = &torn_methods;
    }
    return db;
}

static void plain_checkpoint(sqlite3 *db, uint64_t *dice) {
    const int mode = (int)sim_roll(dice, 4); /* SQLITE_CHECKPOINT_PASSIVE to _TRUNCATE */
    int rc;
    (void)sqlite3_busy_timeout(db, 20);
    rc = sqlite3_wal_checkpoint_v2(db, NULL, mode, NULL, NULL);
    (void)sqlite3_busy_timeout(db, (int)sqlite_ms);
    if (rc == SQLITE_OK) {
        add(&common->checkpoints[mode], 1);
    } else if (rc == SQLITE_BUSY) {
        add(&common->checkpoints_busy, 1);
    } else {
        wrong("checkpoint %d: %d: %s", mode, rc, sqlite3_errmsg(db));
    }
}

/*  Takes the turn, writes, and does now and then what else a program does. */
static void plain_turn(sqlite3 *db, int turn, uint64_t *dice, bool may_die) {
    hand h = {NULL, NULL, NULL, 0, 0};
    int rc;
    h.db = db;
    h.dice = dice;
    turn_take(turn);
    rc = hand_exec(&h, "BEGIN IMMEDIATE");
    if (rc == 0) rc = write_once(&h);
    if (rc == 0 && sim_roll(dice, 8) != 0) {
        torn_armed = may_die && sim_roll(dice, 60) == 0;
        rc = hand_exec(&h, "COMMIT");
        if (rc == 0) committed(&h);
    } else if (rc == 0) {
        rc = hand_exec(&h, "ROLLBACK");
        add(&common->rollbacks, 1);
    }
    if (rc != 0) wrong("a write failed: %d: %s", rc, sqlite3_errmsg(db));
    if (sim_roll(dice, 15) == 0) plain_checkpoint(db, dice);
    if (sim_roll(dice, 150) == 0) {
        rc = sqlite3_exec(db, "VACUUM", NULL, NULL, NULL);
        if (rc == SQLITE_OK) add(&common->vacuums, 1);
        if (rc != SQLITE_OK && rc != SQLITE_BUSY) wrong("VACUUM: %s", sqlite3_errmsg(db));
    }
    turn_give(turn);
}

/*---- a reader: every way to read, each checked ----*/

typedef struct reader {
    sqlpool *pool;
    uint64_t dice;
    uint64_t checked;
    const char *kind;
    int64_t floor, schema_floor; /* when the read began */
    pthread_t thread;
    sqlpool_error error;
} reader;

static void begins(reader *r, const char *kind) {
    r->kind = kind;
    r->floor = load(&common->floor);
    r->schema_floor = load(&common->schema_floor);
}
/*  What was read must be at least the floor; a later read may not see less. */
static void saw(reader *r, int64_t n) {
    r->checked++;
    if (n < r->floor) {
        stale(r->kind, "the counter", n, r->floor);
    } else if (n > r->floor) {
        raise_to(&common->floor, n);
    }
}
static void failed(reader *r, const char *what, int rc) {
    wrong("%s: %s: %s: %s", r->kind, what, sqlpool_result_name(rc), r->error.message);
}

static int64_t conn_ask(reader *r, sqlpool_conn *conn, const char *sql) {
    sqlpool_rows rows;
    int64_t value = INT64_MIN;
    int rc = sqlpool_conn_query(conn, &rows, sql, SQLPOOL_NO_ARGS, &r->error);
    if (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) value = sqlpool_rows_int64(&rows, 0);
    if (rc == SQLPOOL_OK) rc = sqlpool_rows_close(&rows, &r->error);
    if (rc != SQLPOOL_OK) failed(r, sql, rc);
    return value;
}

#define COUNTER "SELECT n FROM counter"
#define SUM "SELECT (SELECT sum(balance) FROM account_a) + (SELECT sum(balance) FROM account_b)"

static void read_cheap(reader *r, int times) {
    while (times-- > 0) {
        int64_t n = 0;
        int rc;
        begins(r, "query_int64");
        rc = sqlpool_query_int64(r->pool, &n, COUNTER, SQLPOOL_NO_ARGS, &r->error);
        if (rc == SQLPOOL_OK) saw(r, n);
        if (rc != SQLPOOL_OK) failed(r, COUNTER, rc);
    }
}

static void read_rows(reader *r) {
    sqlpool_rows rows;
    int rc;
    begins(r, "query");
    rc = sqlpool_query(r->pool, &rows, "SELECT c.n, m.n, (" SUM ") FROM counter c, mirror m", SQLPOOL_NO_ARGS,
                       &r->error);
    if (rc == SQLPOOL_OK && sqlpool_rows_next(&rows)) {
        saw(r, sqlpool_rows_int64(&rows, 0));
        if (sqlpool_rows_int64(&rows, 1) != sqlpool_rows_int64(&rows, 0)) wrong("%s: counter and mirror differ", r->kind);
        if (sqlpool_rows_int64(&rows, 2) != TOTAL)
            wrong("%s: the sum is %lld", r->kind, (long long)sqlpool_rows_int64(&rows, 2));
    }
    if (rc == SQLPOOL_OK) rc = sqlpool_rows_close(&rows, &r->error);
    if (rc != SQLPOOL_OK) failed(r, "counter, mirror and sum", rc);
}

static void check_wide(reader *r, sqlpool_rows *rows) {
    if (sqlpool_rows_next(rows)) {
        const int64_t g = sqlpool_rows_int64(rows, 0);
        const int columns = sqlpool_rows_column_count(rows);
        r->checked++;
        if (g < r->schema_floor) stale(r->kind, "the schema", g, r->schema_floor);
        if (columns != 2 + (int)(g % COLUMN_CYCLE))
            wrong("%s: %d columns after change %lld", r->kind, columns, (long long)g);
        if (g > r->schema_floor) raise_to(&common->schema_floor, g);
    } else {
        wrong("%s: no row in wide", r->kind);
    }
}
static void read_schema(reader *r) {
    sqlpool_rows rows;
    int rc;
    begins(r, "columns");
    rc = sqlpool_query(r->pool, &rows, "SELECT * FROM wide", SQLPOOL_NO_ARGS, &r->error);
    if (rc == SQLPOOL_OK) check_wide(r, &rows);
    if (rc == SQLPOOL_OK) rc = sqlpool_rows_close(&rows, &r->error);
    if (rc != SQLPOOL_OK) failed(r, "SELECT * FROM wide", rc);
}

static int64_t step_counter(reader *r, sqlite3_stmt *statement) {
    int64_t n = INT64_MIN;
    const int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        n = sqlite3_column_int64(statement, 0);
    } else {
        wrong("%s: step: %d", r->kind, rc);
    }
    (void)sqlite3_reset(statement);
    return n;
}

/*  Two ways to a read that begins now and must see the newest counter. */
static void ask_newest(reader *r, sqlpool_conn *conn, const char *kind) {
    begins(r, kind);
    saw(r, conn_ask(r, conn, COUNTER));
}
static void step_newest(reader *r, sqlite3_stmt *statement, const char *kind) {
    begins(r, kind);
    saw(r, step_counter(r, statement));
}
static void linger(reader *r) {
    if (sim_roll(&r->dice, 4) == 0) sleep_us(sim_roll(&r->dice, 1500));
}

static void lease_statements(reader *r, sqlpool_conn *conn) {
    ask_newest(r, conn, "first on a lease");
    linger(r);
    ask_newest(r, conn, "second on a lease");
}

/*  The cursor's moment is the lease's while it is open; statements after it see the newest. */
static void lease_cursor(reader *r, sqlpool_conn *conn) {
    sqlpool_rows rows;
    int64_t n = 0;
    int i, rows_to_read = (int)sim_roll(&r->dice, ACCOUNTS + 2);
    int rc;
    begins(r, "cursor");
    rc = sqlpool_conn_query(conn, &rows, "SELECT n, id FROM counter, account_a", SQLPOOL_NO_ARGS, &r->error);
    if (rc != SQLPOOL_OK) failed(r, "cursor", rc);
    for (i = 0; i < rows_to_read && sqlpool_rows_next(&rows); i++) {
        if (i == 0) {
            n = sqlpool_rows_int64(&rows, 0);
            saw(r, n);
        }
        if (sqlpool_rows_int64(&rows, 0) != n) wrong("cursor: moved within its snapshot");
        if (i % 5 == 0 && i < ACCOUNTS && conn_ask(r, conn, COUNTER) != n) wrong("beside a cursor: another snapshot");
    }
    if (rc == SQLPOOL_OK) rc = sqlpool_rows_close(&rows, &r->error);
    if (rc != SQLPOOL_OK) failed(r, "cursor close", rc);
    ask_newest(r, conn, "after a cursor");
}

static void lease_stmt(reader *r, sqlpool_conn *conn) {
    sqlite3_stmt *statement;
    int rc = sqlpool_conn_stmt(conn, "SELECT n FROM counter WHERE 1", &statement, &r->error);
    if (rc != SQLPOOL_OK) {
        failed(r, "conn_stmt", rc);
        return;
    }
    step_newest(r, statement, "raw statement");
    ask_newest(r, conn, "beside a raw statement");
    linger(r);
    step_newest(r, statement, "raw statement again");
    rc = sqlpool_conn_stmt_release(conn, statement);
    if (rc != SQLPOOL_OK) wrong("conn_stmt_release: %d", rc);
    ask_newest(r, conn, "after a raw statement");
}

/*  A raw statement that was taken beside an open cursor, and is stepped after it. */
static void lease_stmt_of_cursor(reader *r, sqlpool_conn *conn) {
    sqlite3_stmt *statement = NULL;
    sqlpool_rows rows;
    int rc = sqlpool_conn_query(conn, &rows, "SELECT id FROM account_a", SQLPOOL_NO_ARGS, &r->error);
    if (rc == SQLPOOL_OK) rc = sqlpool_conn_stmt(conn, "SELECT n FROM counter WHERE 1", &statement, &r->error);
    (void)sqlpool_rows_close(&rows, NULL);
    if (rc != SQLPOOL_OK || statement == NULL) {
        failed(r, "conn_stmt beside a cursor", rc);
        return;
    }
    step_newest(r, statement, "raw statement of a cursor's time");
    ask_newest(r, conn, "beside a raw statement of a cursor's time");
    rc = sqlpool_conn_stmt_release(conn, statement);
    if (rc != SQLPOOL_OK) wrong("conn_stmt_release: %d", rc);
}

static void lease_raw(reader *r, sqlpool_conn *conn) {
    sqlite3 *db = sqlpool_conn_db(conn);
    sqlite3_stmt *statement = NULL;
    if (db == NULL || sqlite3_prepare_v2(db, COUNTER, -1, &statement, NULL) != SQLITE_OK) {
        wrong("raw handle: %s", db == NULL ? "none" : sqlite3_errmsg(db));
        return;
    }
    step_newest(r, statement, "raw handle");
    ask_newest(r, conn, "beside a raw handle");
    step_newest(r, statement, "raw handle again");
    (void)sqlite3_finalize(statement);
}

static void lease_transaction(reader *r, sqlpool_conn *conn) {
    sqlpool_rows rows;
    int64_t n, sum;
    const bool is_commit = sim_roll(&r->dice, 2) == 0;
    int rc = sqlpool_conn_begin(conn, &r->error);
    if (rc != SQLPOOL_OK) {
        failed(r, "begin", rc);
        return;
    }
    begins(r, "transaction");
    n = conn_ask(r, conn, COUNTER);
    saw(r, n);
    sum = conn_ask(r, conn, "SELECT sum(balance) FROM account_a");
    linger(r);
    sum += conn_ask(r, conn, "SELECT sum(balance) FROM account_b");
    if (sum != TOTAL) wrong("transaction: the sum is %lld", (long long)sum);
    rc = sqlpool_conn_query(conn, &rows, "SELECT * FROM wide", SQLPOOL_NO_ARGS, &r->error);
    if (rc == SQLPOOL_OK) check_wide(r, &rows);
    if (rc == SQLPOOL_OK) rc = sqlpool_rows_close(&rows, &r->error);
    if (rc != SQLPOOL_OK) failed(r, "wide in a transaction", rc);
    if (conn_ask(r, conn, "SELECT n FROM mirror") != n) wrong("transaction: moved within its snapshot");
    rc = is_commit ? sqlpool_conn_commit(conn, &r->error) : sqlpool_conn_rollback(conn, &r->error);
    if (rc != SQLPOOL_OK) failed(r, "commit", rc);
    ask_newest(r, conn, "after a transaction");
}

/*  One image: from begin on, not from its first read on; not older than what was committed before it. */
static void lease_scope(reader *r, sqlpool_conn *conn) {
    sqlpool_rows rows;
    sqlite3_stmt *statement = NULL;
    int64_t n, sum;
    int i, rc, reads = 1 + (int)sim_roll(&r->dice, 5);
    begins(r, "scope");
    rc = sqlpool_snapshot_begin(conn, sim_roll(&r->dice, 2) == 0 ? 0 : 600000, &r->error);
    if (rc != SQLPOOL_OK) {
        failed(r, "snapshot_begin", rc);
        return;
    }
    linger(r);
    n = conn_ask(r, conn, COUNTER);
    saw(r, n);
    sum = conn_ask(r, conn, "SELECT sum(balance) FROM account_a");
    for (i = 0; i < reads; i++) {
        linger(r);
        if (conn_ask(r, conn, COUNTER) != n || conn_ask(r, conn, "SELECT n FROM mirror") != n)
            wrong("scope: moved within its snapshot");
    }
    sum += conn_ask(r, conn, "SELECT sum(balance) FROM account_b");
    if (sum != TOTAL) wrong("scope: the sum is %lld", (long long)sum);
    rc = sqlpool_conn_stmt(conn, "SELECT n FROM counter WHERE 1", &statement, &r->error);
    if (rc == SQLPOOL_OK) {
        for (i = 0; i < reads; i++) {
            if (step_counter(r, statement) != n) wrong("scope: a raw statement is not in it");
        }
        rc = sqlpool_conn_stmt_release(conn, statement);
    }
    if (rc != SQLPOOL_OK) failed(r, "conn_stmt in a scope", rc);
    rc = sqlpool_conn_query(conn, &rows, "SELECT * FROM wide", SQLPOOL_NO_ARGS, &r->error);
    if (rc == SQLPOOL_OK) check_wide(r, &rows);
    if (rc == SQLPOOL_OK) rc = sqlpool_rows_close(&rows, &r->error);
    if (rc != SQLPOOL_OK) failed(r, "wide in a scope", rc);
    rc = sqlpool_snapshot_end(conn, &r->error);
    if (rc != SQLPOOL_OK) failed(r, "snapshot_end", rc);
    ask_newest(r, conn, "after a scope");
}

/*  Holds a lease for long and reads on it: its snapshot is used again, and between two reads anyone
    may end it. */
static void read_held(reader *r) {
    sqlpool_conn conn;
    int rc, times = 100 + (int)sim_roll(&r->dice, 500);
    rc = sqlpool_conn_acquire(r->pool, SQLPOOL_READ, &conn, &r->error);
    if (rc != SQLPOOL_OK) {
        failed(r, "acquire", rc);
        return;
    }
    while (times-- > 0) {
        begins(r, "held lease");
        saw(r, conn_ask(r, &conn, COUNTER));
        if (sim_roll(&r->dice, 50) == 0) sleep_us(sim_roll(&r->dice, 1500));
        if (sim_roll(&r->dice, 4000) == 0) sleep_us(60000); /* it gets idle */
    }
    rc = sqlpool_conn_release(&conn);
    if (rc != SQLPOOL_OK) wrong("release of a held lease: %s", sqlpool_result_name(rc));
}

static void read_on_lease(reader *r) {
    static void (*const ways[])(reader *, sqlpool_conn *) = {lease_statements,     lease_cursor, lease_stmt,
                                                             lease_stmt_of_cursor, lease_raw,    lease_transaction,
                                                             lease_scope};
    const uint64_t count = sizeof ways / sizeof ways[0];
    sqlpool_conn conn;
    uint64_t parts = 1 + sim_roll(&r->dice, 3);
    int rc = sqlpool_conn_acquire(r->pool, SQLPOOL_READ, &conn, &r->error);
    if (rc != SQLPOOL_OK) {
        failed(r, "acquire", rc);
        return;
    }
    begins(r, "lease");
    while (parts-- > 0) ways[sim_roll(&r->dice, count)](r, &conn);
    rc = sqlpool_conn_release(&conn);
    if (rc != SQLPOOL_OK) wrong("release after \"%s\": %s", r->kind, sqlpool_result_name(rc));
}

/*  Mostly cheap reads, in a row so that snapshots are used again. */
static void read_some(reader *r) {
    switch (sim_roll(&r->dice, 16)) {
    case 0: read_rows(r); break;
    case 1: read_schema(r); break;
    case 2:
    case 3: read_on_lease(r); break;
    case 4: sleep_us(sim_roll(&r->dice, 300)); break;
    case 5: read_held(r); break;
    default: read_cheap(r, 100); break;
    }
}
static void count_checked(reader *r) {
    add(&common->checked, (int64_t)r->checked);
    r->checked = 0;
}

/*---- a writer through a pool ----*/

static int pool_work(sqlpool_conn *conn, void *user, int attempt) {
    hand *h = (hand *)user;
    int rc;
    (void)attempt;
    h->conn = conn;
    rc = write_once(h);
    return rc == 0 && sim_roll(h->dice, 8) == 0 ? OWN_ROLLBACK : rc;
}
static void pool_turn(reader *r, int turn) {
    hand h = {NULL, NULL, NULL, 0, 0};
    int rc;
    h.dice = &r->dice;
    r->kind = "pool's writer";
    turn_take(turn);
    rc = sqlpool_transaction(r->pool, SQLPOOL_WRITE, pool_work, &h, &r->error);
    if (rc == SQLPOOL_OK) {
        committed(&h);
    } else if (rc == OWN_ROLLBACK) {
        add(&common->rollbacks, 1);
    } else {
        failed(r, "transaction", rc);
    }
    if (sim_roll(&r->dice, 40) == 0) {
        const sqlpool_checkpoint_mode mode =
            sim_roll(&r->dice, 2) == 0 ? SQLPOOL_CHECKPOINT_PASSIVE : SQLPOOL_CHECKPOINT_TRUNCATE;
        rc = sqlpool_checkpoint(r->pool, mode, NULL, &r->error);
        if (rc == SQLPOOL_OK) {
            add(&common->checkpoints[mode == SQLPOOL_CHECKPOINT_PASSIVE ? 0 : 3], 1);
        } else if (rc == SQLITE_BUSY) {
            add(&common->checkpoints_busy, 1);
        } else {
            failed(r, "checkpoint", rc);
        }
    }
    turn_give(turn);
    read_cheap(r, 3); /* what it wrote itself */
}

static void count_log(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)user;
    (void)level;
    if (item == SQLPOOL_LOG_OPEN_FAILED || item == SQLPOOL_LOG_CONNECTION_BAD) wrong("log: %s", message);
}
static sqlpool *pool_open(const char *name, int readers) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_error error;
    sqlpool *pool = NULL;
    int rc;
    config.name = name;
    config.max_connections = readers + 1;
    config.reserve_connections = SQLPOOL_OFF;
    config.acquire_timeout_ms = config.open_timeout_ms = 30000;
    config.close_timeout_ms = 30000;
    config.synchronous = SQLPOOL_SYNCHRONOUS_OFF;
    config.wal_budget_bytes = 1 << 20;
    config.upkeep_interval_ms = 20;
    config.validate_after_ms = 100;
    config.log.write_fn = count_log;
    rc = sqlpool_open(&pool, DATABASE, &config, &error);
    if (rc != SQLPOOL_OK) wrong("%s: open: %s", name, error.message);
    return pool;
}
static void pool_close(sqlpool *pool) {
    sqlpool_error error;
    const int rc = sqlpool_close(pool, &error);
    if (rc != SQLPOOL_OK) wrong("close: %s", error.message);
}

/*---- the writer processes ----*/

static bool is_over(void) {
    return load(&common->stop) != 0 || getppid() == 1;
}
static void park(int kind) {
    const int64_t round = load(&common->round);
    store(&common->parked[kind], round);
    while (load(&common->round) == round && !is_over()) sleep_us(1000);
}
/*  A moment between writes: mostly short, sometimes long enough for thousands of reads. */
static void breathe(uint64_t *dice) {
    sleep_us(sim_roll(dice, 10) == 0 ? sim_roll(dice, 30000) : sim_roll(dice, 4000));
}

static int writer_main(int kind) {
    const int turn = turn_open();
    uint64_t dice = (uint64_t)sim_real_ns() ^ (uint64_t)getpid() << 32;
    if (turn < 0) return 1;
    while (!is_over()) {
        const int64_t round = load(&common->round);
        if (round % 2 != 0) {
            park(kind);
        } else if (kind == WRITER_POOL) {
            reader r;
            memset(&r, 0, sizeof r);
            r.dice = dice++;
            r.pool = pool_open("writer", 2);
            if (r.pool == NULL) return 1;
            while (load(&common->round) == round && !is_over()) {
                int i;
                pool_turn(&r, turn);
                for (i = 0; i < 3; i++) read_some(&r);
                count_checked(&r);
                breathe(&r.dice);
            }
            pool_close(r.pool);
        } else {
            sqlite3 *db = plain_open();
            const uint64_t turns = 200 + sim_roll(&dice, 400); /* then it closes and opens again */
            uint64_t i;
            if (db == NULL) return 1;
            for (i = 0; i < turns && load(&common->round) == round && !is_over(); i++) {
                plain_turn(db, turn, &dice, kind == WRITER_KILLED);
                breathe(&dice);
            }
            (void)sqlite3_close(db);
            add(&common->closes, 1);
        }
    }
    return 0;
}

/*  Has no SQLite: starts the writers, kills one of them again and again, starts it anew. */
static int supervisor_main(void) {
    static const char *const kinds[WRITERS] = {"0", "1", "2"};
    pid_t children[WRITERS];
    uint64_t dice = (uint64_t)getpid();
    int i, bad = 0;
    for (i = 0; i < WRITERS; i++) children[i] = spawn("@writer", kinds[i]);
    while (!is_over()) {
        int status;
        const int64_t next = sim_real_ns() + (int64_t)(50 + sim_roll(&dice, 200)) * 1000000;
        pid_t child = 0;
        while (sim_real_ns() < next && child == 0 && !is_over()) {
            child = waitpid(-1, &status, WNOHANG);
            if (child == 0) sleep_us(2000);
        }
        if (is_over() && child == 0) break;
        if (child == 0 && load(&common->round) % 2 == 0) {
            (void)kill(children[WRITER_KILLED], SIGKILL);
            add(&common->kills, 1);
            status = reap(children[WRITER_KILLED]);
            child = children[WRITER_KILLED];
        }
        if (child <= 0) continue;
        for (i = 0; i < WRITERS; i++) {
            if (children[i] != child) continue;
            if (i != WRITER_KILLED && !is_over()) {
                wrong("writer %d ended with status %d", i, status);
                bad++;
            }
            if (bad < 5) children[i] = spawn("@writer", kinds[i]);
        }
    }
    for (i = 0; i < WRITERS; i++) {
        const int status = reap(children[i]);
        if (i != WRITER_KILLED && status != 0) wrong("writer %d ended with status %d", i, status);
    }
    return 0;
}

/*  For the idle test: up to 60 MB of log a second, with SQLite's own checkpoints. */
static int filler_main(void) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_open("idle.db", &db);
    (void)sqlite3_busy_timeout(db, (int)sqlite_ms);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(db, "UPDATE filler SET v = randomblob(60000)", -1, &statement, NULL);
    while (rc == SQLITE_OK && !is_over()) {
        rc = sqlite3_step(statement) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(db);
        (void)sqlite3_reset(statement);
        add(&common->filled_bytes, 60000);
        sleep_us(1000);
    }
    if (rc != SQLITE_OK) wrong("filler: %s", sqlite3_errmsg(db));
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return rc == SQLITE_OK ? 0 : 1;
}

/*---- the reading process ----*/

static int64_t round_end_ns;
static uint64_t hits, misses;

static void *reader_main(void *argument) {
    reader *r = (reader *)argument;
    while (sim_real_ns() < round_end_ns) {
        read_some(r);
        count_checked(r);
    }
    return NULL;
}
static void *own_writer_main(void *argument) {
    reader *r = (reader *)argument;
    const int turn = turn_open();
    while (sim_real_ns() < round_end_ns) {
        pool_turn(r, turn);
        count_checked(r);
        breathe(&r->dice);
        if (sim_roll(&r->dice, 20) == 0) { /* what else happens to a pool */
            int rc = SQLPOOL_OK;
            switch (sim_roll(&r->dice, 3)) {
            case 0: rc = sqlpool_recycle(r->pool); break;
            case 1:
                rc = sqlpool_pause(r->pool, 30000, &r->error);
                if (rc == SQLPOOL_OK) rc = sqlpool_resume(r->pool);
                break;
            default: sleep_us(60000); break; /* snapshots get idle */
            }
            if (rc != SQLPOOL_OK) wrong("recycle or pause: %s", sqlpool_result_name(rc));
        }
    }
    (void)close(turn);
    return NULL;
}
static void take_statistics(sqlpool *pool) {
    sqlpool_stats stats;
    if (sqlpool_get_stats(pool, &stats) != SQLPOOL_OK) return;
    hits += stats.snapshot_hits;
    misses += stats.snapshot_misses;
}
/*  A second pool on the same file in this process, that comes and goes. */
static void *second_main(void *argument) {
    reader *r = (reader *)argument;
    const int turn = turn_open();
    while (sim_real_ns() < round_end_ns) {
        int i;
        const int many = 50 + (int)sim_roll(&r->dice, 400);
        r->pool = pool_open("second", 2);
        if (r->pool == NULL) break;
        for (i = 0; i < many && sim_real_ns() < round_end_ns; i++) {
            read_some(r);
            if (sim_roll(&r->dice, 30) == 0) pool_turn(r, turn);
            count_checked(r);
        }
        take_statistics(r->pool);
        pool_close(r->pool);
    }
    (void)close(turn);
    return NULL;
}

static void run_round(double seconds, uint64_t number) {
    reader readers[READERS + 2];
    sqlpool *pool = pool_open("first", READERS + 1);
    int i;
    if (pool == NULL) return;
    round_end_ns = sim_real_ns() + (int64_t)(seconds * 1e9);
    memset(readers, 0, sizeof readers);
    for (i = 0; i < READERS + 2; i++) {
        readers[i].pool = pool;
        readers[i].dice = number * 100 + (uint64_t)i;
        (void)pthread_create(&readers[i].thread, NULL,
                             i < READERS ? reader_main : i == READERS ? own_writer_main : second_main, &readers[i]);
    }
    for (i = 0; i < READERS + 2; i++) (void)pthread_join(readers[i].thread, NULL);
    take_statistics(pool);
    pool_close(pool);
}

/*  Everybody closes; the last close removes the log; another journal mode and back. */
static void run_gap(void) {
    const int64_t round = load(&common->round) + 1, give_up = sim_real_ns() + INT64_C(20000000000);
    sqlite3 *db = NULL;
    char *message = NULL;
    int i;
    store(&common->round, round);
    for (i = 0; i < WRITERS; i++) {
        while (load(&common->parked[i]) != round && sim_real_ns() < give_up) sleep_us(1000);
        if (load(&common->parked[i]) != round) wrong("writer %d does not park", i);
    }
    if (sqlite3_open(DATABASE, &db) != SQLITE_OK ||
        sqlite3_exec(db,
                     "PRAGMA journal_mode = DELETE; UPDATE counter SET n = n + 1; UPDATE mirror SET n = n + 1;"
                     "PRAGMA journal_mode = WAL",
                     NULL, NULL, &message) != SQLITE_OK) {
        wrong("between rounds: %s", message == NULL ? sqlite3_errmsg(db) : message);
    } else {
        sqlite3_stmt *statement = NULL;
        if (sqlite3_prepare_v2(db, "SELECT n, (SELECT n FROM mirror), (" SUM ") FROM counter", -1, &statement, NULL) !=
                SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_ROW) {
            wrong("between rounds: %s", sqlite3_errmsg(db));
        } else {
            const int64_t n = sqlite3_column_int64(statement, 0);
            if (n <= load(&common->floor)) wrong("a commit was lost: %lld of %lld", (long long)n, (long long)load(&common->floor));
            if (n != sqlite3_column_int64(statement, 1) || sqlite3_column_int64(statement, 2) != TOTAL)
                wrong("mirror or sum between rounds");
            raise_to(&common->floor, n);
        }
        (void)sqlite3_finalize(statement);
        if (sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL) != SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_ROW ||
            strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0) {
            wrong("integrity_check between rounds");
        }
        (void)sqlite3_finalize(statement);
    }
    sqlite3_free(message);
    (void)sqlite3_close(db);
    if (access(DATABASE "-wal", F_OK) == 0) wrong("the last close left a log");
    store(&common->round, round + 1);
}

static bool make_database(void) {
    char sql[900];
    sqlite3 *db = NULL;
    char *message = NULL;
    bool ok;
    (void)unlink(DATABASE);
    (void)unlink(DATABASE "-wal");
    (void)unlink(DATABASE "-shm");
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA journal_mode = WAL;"
                   "CREATE TABLE counter(n INTEGER, g INTEGER); INSERT INTO counter VALUES(0, 0);"
                   "CREATE TABLE mirror(n INTEGER); INSERT INTO mirror VALUES(0);"
                   "CREATE TABLE wide(g INTEGER, c0); INSERT INTO wide VALUES(0, 0);"
                   "CREATE TABLE account_a(id INTEGER PRIMARY KEY, balance INTEGER);"
                   "CREATE TABLE account_b(id INTEGER PRIMARY KEY, balance INTEGER);"
                   "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < %d) "
                   "INSERT INTO account_a SELECT x, %d FROM c;"
                   "INSERT INTO account_b SELECT id, balance FROM account_a;",
                   (int)ACCOUNTS, (int)START_BALANCE);
    ok = sqlite3_open(DATABASE, &db) == SQLITE_OK && sqlite3_exec(db, sql, NULL, NULL, &message) == SQLITE_OK;
    if (!ok) wrong("set-up: %s", message == NULL ? "" : message);
    sqlite3_free(message);
    return sqlite3_close(db) == SQLITE_OK && ok;
}

static double seconds_in_all = 4;

static void run_rounds(double seconds, int rounds) {
    pid_t supervisor;
    const int64_t begin = sim_real_ns();
    int i;
    if (!make_database()) return;
    supervisor = spawn("@supervisor", "");
    for (i = 0; i < rounds; i++) {
        run_round(seconds / rounds, (uint64_t)begin + (uint64_t)i);
        run_gap();
    }
    store(&common->stop, 1);
    (void)reap(supervisor);
    store(&common->stop, 0);
    printf("# freshness: %lld reads checked in %.1f s, %lld stale, %lld other errors; %llu snapshot hits, "
           "%llu misses in this process\n"
           "# freshness: %lld commits, %lld rollbacks, %lld schema changes, %lld VACUUM, checkpoints "
           "%lld passive, %lld full, %lld restart, %lld truncate, %lld busy; %lld kills, %lld torn "
           "headers, %lld closes, %d rounds\n",
           (long long)common->checked, (double)(sim_real_ns() - begin) / 1e9,
           (long long)common->stale,
           (long long)common->wrong, (unsigned long long)hits, (unsigned long long)misses,
           (long long)common->commits, (long long)common->rollbacks, (long long)common->changes,
           (long long)common->vacuums, (long long)common->checkpoints[0], (long long)common->checkpoints[1],
           (long long)common->checkpoints[2], (long long)common->checkpoints[3],
           (long long)common->checkpoints_busy, (long long)common->kills, (long long)common->torn,
           (long long)common->closes, rounds);
}

#ifdef FRESHNESS_BLIND

TEST(without_the_comparison_reads_are_stale) {
    run_rounds(1.5, 1);
    CHECK(hits > 0);
    CHECK(common->commits > 10);
    CHECK(common->stale > 0);
}

#else

TEST(no_read_is_stale) {
    const double seconds = seconds_in_all > 3.5 ? seconds_in_all - 2 : 1.5;
    const int rounds = seconds < 20 ? 2 : (int)(seconds / 5);
    run_rounds(seconds, rounds);
    CHECK_INT(common->stale, 0);
    CHECK_INT(common->wrong, 0);
    CHECK(common->commits >= 20 && common->changes > 0 && common->rollbacks > 0);
    CHECK(common->kills + common->torn > 0);
    CHECK(hits >= 1000 && hits >= (uint64_t)common->checked / 4); /* else this proves nothing */
    if (seconds >= 60) CHECK(common->torn > 0 && common->vacuums > 0 && common->checkpoints[1] > 0);
}

/*---- nothing stays pinned ----*/

#define PART(call)                                                       \
    do {                                                                 \
        call;                                                            \
        if (__atomic_load_n(&test_failed_now, __ATOMIC_RELAXED)) return; \
    } while (0)

typedef struct idle_test {
    sqlpool *pool;
    int64_t largest; /* the log's greatest size */
    int64_t written;
} idle_test;

static int64_t size_of_log(void) {
    struct stat status;
    return stat("idle.db-wal", &status) == 0 ? (int64_t)status.st_size : 0;
}

static int idle_over;
static void read_beside(sqlpool *pool) {
    int64_t value;
    if (sqlpool_query_int64(pool, &value, "SELECT n FROM counter", SQLPOOL_NO_ARGS, NULL) != SQLPOOL_OK)
        wrong("a read beside the filler failed");
}
static void *steady_main(void *argument) {
    while (__atomic_load_n(&idle_over, __ATOMIC_ACQUIRE) == 0) read_beside((sqlpool *)argument);
    return NULL;
}

/*  Another process writes all the time with SQLite's own checkpoints. This one has read on all its
    connections, keeps two leases, and then reads once in 250 ms, or on some threads without a
    pause. */
enum { FILL_BYTES = 40000000 }; /* at least; the log may be half as large */
static void run_idle(idle_test *t, double seconds, int threads) {
    int64_t end_ns, give_up_ns, next_read_ns = 0;
    sqlpool_config config = sqlpool_config_default();
    sqlpool_conn conns[4];
    sqlpool_error error;
    pthread_t thread[4];
    pid_t filler;
    sqlite3 *db = NULL;
    const int held = threads == 0 ? 2 : 0; /* leases that are out and not used */
    bool ok;
    int i, status;
    memset(t, 0, sizeof *t);
    (void)unlink("idle.db");
    ok = sqlite3_open("idle.db", &db) == SQLITE_OK &&
         sqlite3_exec(db,
                      "PRAGMA journal_mode = WAL; CREATE TABLE filler(v); INSERT INTO filler VALUES(0);"
                      "CREATE TABLE counter(n INTEGER); INSERT INTO counter VALUES(1)",
                      NULL, NULL, NULL) == SQLITE_OK;
    (void)sqlite3_close(db);
    CHECK(ok);
    store(&common->stop, 0);
    store(&common->filled_bytes, 0);
    store(&common->reports, 0);
    store(&common->wrong, 0);
    filler = spawn("@filler", "");
    config.max_connections = 5;
    CHECK(sqlpool_open(&t->pool, "idle.db", &config, &error) == SQLPOOL_OK);
    while (load(&common->filled_bytes) == 0) sleep_us(1000);
    for (i = 0; i < 4; i++) {
        int64_t value;
        sqlpool_rows rows;
        CHECK(sqlpool_conn_acquire(t->pool, SQLPOOL_READ, &conns[i], &error) == SQLPOOL_OK);
        CHECK(sqlpool_conn_query(&conns[i], &rows, "SELECT n FROM counter", SQLPOOL_NO_ARGS, &error) == SQLPOOL_OK);
        CHECK(sqlpool_rows_next(&rows));
        value = sqlpool_rows_int64(&rows, 0);
        CHECK_INT(value, 1);
        CHECK(sqlpool_rows_close(&rows, &error) == SQLPOOL_OK);
    }
    for (i = held; i < 4; i++) CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
    __atomic_store_n(&idle_over, 0, __ATOMIC_RELEASE);
    for (i = 0; i < threads; i++) (void)pthread_create(&thread[i], NULL, steady_main, t->pool);
    end_ns = sim_real_ns() + (int64_t)(seconds * 1e9);
    give_up_ns = end_ns + INT64_C(30000000000);
    while (sim_real_ns() < end_ns ||
           (load(&common->filled_bytes) < FILL_BYTES && sim_real_ns() < give_up_ns)) {
        const int64_t size = size_of_log();
        if (size > t->largest) t->largest = size;
        if (threads == 0 && sim_real_ns() >= next_read_ns) {
            read_beside(t->pool);
            next_read_ns = sim_real_ns() + 250000000;
        }
        sleep_us(5000);
    }
    __atomic_store_n(&idle_over, 1, __ATOMIC_RELEASE);
    for (i = 0; i < threads; i++) (void)pthread_join(thread[i], NULL);
    store(&common->stop, 1);
    status = reap(filler);
    store(&common->stop, 0);
    t->written = load(&common->filled_bytes);
    for (i = 0; i < held; i++) CHECK_INT(sqlpool_conn_release(&conns[i]), SQLPOOL_OK);
    CHECK(sqlpool_close(t->pool, &error) == SQLPOOL_OK);
    CHECK_INT(status, 0);
    CHECK_INT(common->wrong, 0);
    printf("# freshness: %s: %.1f MB written, log at most %.1f MB\n",
           threads == 0 ? "idle pool" : "pool that reads all the time", (double)t->written / 1e6,
           (double)t->largest / 1e6);
}

/*  SQLite starts the log over at 1,000 pages; what comes within snapshot_idle_ms is on top. */
TEST(an_idle_pool_pins_no_log) {
    idle_test t;
    PART(run_idle(&t, seconds_in_all < 30 ? 0.6 : seconds_in_all, 0)); /* `make stress`: a minute */
    CHECK(t.written >= FILL_BYTES);
    CHECK(t.largest > 0 && t.largest < FILL_BYTES / 2);
}
TEST(a_reading_pool_lets_the_log_start_over) {
    idle_test t;
    PART(run_idle(&t, seconds_in_all < 30 ? 0.6 : seconds_in_all / 10, 2));
    CHECK(t.written >= FILL_BYTES);
    CHECK(t.largest > 0 && t.largest < FILL_BYTES / 2);
}

#endif

int main(int argc, char **argv) {
    const bool is_child = argc >= 2 && argv[1][0] == '@';
    if (!map_common(!is_child)) {
        printf("# no shared memory: %s\n", strerror(errno));
        return 1;
    }
    if (is_child) {
        who = argv[1];
        if (strcmp(argv[1], "@supervisor") == 0) return supervisor_main();
        if (strcmp(argv[1], "@writer") == 0 && argc >= 3) return writer_main(atoi(argv[2]));
        return strcmp(argv[1], "@filler") == 0 ? filler_main() : 2;
    }
    if (argc >= 2) seconds_in_all = atof(argv[1]);
#ifdef FRESHNESS_BLIND
    RUN(without_the_comparison_reads_are_stale);
#else
    RUN(no_read_is_stale);
    RUN(an_idle_pool_pins_no_log);
    RUN(a_reading_pool_lets_the_log_start_over);
#endif
    return test_end();
}
