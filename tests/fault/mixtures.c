/*  mixtures.c - does sqlpool_get_health() name what is wrong? SPDX-License-Identifier: MIT OR Unlicense

    Draws mixtures of faults, puts each into a pool of its own, and compares the causes that are found
    with the faults that were put in: all of them and no other. At least 99 of 100 must be right. The
    clock is the real one plus what the program adds, so that threads may wait and minutes pass.

        mixtures [COUNT]      that many instead of 100; SIM_SEED chooses others */
#include "api/api.h"
#include "sim/sim.h"

enum { COUNT = 100, RIGHT = 99, READERS = 3 };

#define FAULTS(X) \
    X(DEAD_CONNECTION) \
    X(STUCK_WRITER) \
    X(PINNED_LOG) \
    X(EXHAUSTED) \
    X(SLOW_DISK) \
    X(FULL_DISK) \
    X(CORRUPT) \
    X(MOVED) \
    X(LOCKED)
#define FAULT_BIT(name) BIT_##name = 1 << SQLPOOL_CAUSE_##name,
enum { FAULTS(FAULT_BIT) NO_BIT = 0 };
#define FAULT_ENTRY(name) BIT_##name,
static const int bits[] = {FAULTS(FAULT_ENTRY)};

static int64_t added_ns; /* atomic */
static int is_disk_slow;
static int wrong_steps;

static int64_t now_ns(void *user) {
    (void)user;
    return sim_real_ns() + __atomic_load_n(&added_ns, __ATOMIC_SEQ_CST);
}
static void add_ms(int64_t ms) {
    __atomic_fetch_add(&added_ns, ms * 1000000, __ATOMIC_SEQ_CST);
}
static void on_vfs(void *user, const sim_vfs_event *event) {
    (void)user;
    if (is_disk_slow && (event->kind == SIM_VFS_WRITE || event->kind == SIM_VFS_SYNC)) add_ms(40);
}

typedef struct mixture {
    int faults, number;
    char path[64];
    sqlpool *pool;
    sqlite3 *other; /* another program's connection */
    sqlpool_conn readers[READERS], writer;
    int readers_held;
    bool is_writer_held;
    pthread_t waiter;
    sqlpool_token token;
    sqlpool_error error;
} mixture;

static void expect(mixture *m, int got, int wanted, const char *what) {
    if (got == wanted || (wanted == SQLITE_ERROR && got > 0)) return;
    wrong_steps++;
    test_fail(__FILE__, __LINE__, "mixture %d: %s gave %d, expected %d: %s", m->number, what, got,
              wanted, m->error.message);
}

static int insert(mixture *m, sqlpool_conn *lease) {
    static const char sql[] = "INSERT INTO t VALUES(zeroblob(3000))";
    return lease != NULL ? sqlpool_conn_exec(lease, sql, SQLPOOL_NO_ARGS, NULL, &m->error)
                         : sqlpool_exec(m->pool, sql, SQLPOOL_NO_ARGS, &m->error);
}
static int read_table(mixture *m, sqlpool_conn *lease, const char *sql) {
    sqlpool_rows rows;
    sqlpool_call call = {0};
    call.timeout_ms = 300; /* where the file is gone no connection comes */
    if (lease != NULL) {
        (void)sqlpool_conn_query(lease, &rows, sql, SQLPOOL_NO_ARGS, &m->error);
    } else {
        (void)sqlpool_query_with(m->pool, &call, &rows, sql, SQLPOOL_NO_ARGS, &m->error);
    }
    while (sqlpool_rows_next(&rows)) {
    }
    return sqlpool_rows_close(&rows, &m->error);
}

/*  A file with a table whose page is rubbish. */
static void make_file(mixture *m) {
    static const char rubbish[64] = "\x7f this is no page of a b-tree";
    sqlite3 *db = NULL;
    FILE *file;
    long page;
    sim_remove_database(m->path);
    db = raw_open(m->path);
    (void)raw_exec(db, "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; CREATE TABLE t(x);"
                       "CREATE TABLE victim(x); INSERT INTO victim VALUES(1)");
    page = (long)raw_ask(db, "SELECT rootpage FROM sqlite_master WHERE name='victim'");
    (void)sqlite3_close(db);
    file = fopen(m->path, "r+b");
    if (file == NULL || fseek(file, (page - 1) * 4096, SEEK_SET) != 0 ||
        fwrite(rubbish, 1, sizeof rubbish, file) != sizeof rubbish || fclose(file) != 0)
        expect(m, 1, 0, "damaging the file");
}

static void open_it(mixture *m) {
    sqlpool_config config = config_of(READERS);
    config.vfs_name = "sim";
    config.disable_upkeep_thread = true;
    config.clock.now_ns_fn = now_ns;
    config.clock.sleep_ns_fn = sim_real_sleep;
    config.acquire_timeout_ms = SQLPOOL_FOREVER;
    config.wal_budget_bytes = 65536;
    expect(m, sqlpool_open(&m->pool, m->path, &config, &m->error), SQLPOOL_OK, "open");
    m->other = raw_open(m->path);
}

static void seconds(mixture *m, int count) {
    while (count-- > 0) {
        add_ms(1000);
        expect(m, sqlpool_tick(m->pool, 100000), SQLPOOL_OK, "tick");
    }
}

static void *wait_for_a_reader(void *argument) {
    mixture *m = argument;
    sqlpool_call call = {0};
    sqlpool_conn conn;
    call.token = &m->token;
    if (sqlpool_conn_acquire_with(m->pool, SQLPOOL_READ, &call, &conn, NULL) == SQLPOOL_OK)
        (void)sqlpool_conn_release(&conn);
    return NULL;
}

static void exhaust(mixture *m) {
    sqlpool_stats stats;
    while (m->readers_held < READERS)
        expect(
            m,
            sqlpool_conn_acquire(m->pool, SQLPOOL_READ, &m->readers[m->readers_held++], &m->error),
            SQLPOOL_OK, "acquire a reader");
    (void)start_thread(&m->waiter, wait_for_a_reader, m);
    do {
        sim_real_sleep_ns(200000);
        (void)sqlpool_get_stats(m->pool, &stats);
    } while (stats.waiting_read == 0);
}

static void pin(mixture *m) {
    int i;
    sqlpool_conn *conn = &m->readers[m->readers_held++];
    expect(m, sqlpool_conn_acquire(m->pool, SQLPOOL_READ, conn, &m->error), SQLPOOL_OK, "acquire");
    expect(m, sqlpool_snapshot_begin(conn, 3600000, &m->error), SQLPOOL_OK, "snapshot_begin");
    expect(m, read_table(m, conn, "SELECT count(*) FROM t"), SQLPOOL_OK, "read in the scope");
    for (i = 0; i < 60; i++) expect(m, insert(m, NULL), SQLPOOL_OK, "insert beside the scope");
}

static void lock_out(mixture *m) {
    sqlpool_call call = {0};
    call.timeout_ms = 20;
    call.attempts = 1;
    (void)raw_exec(m->other, "BEGIN IMMEDIATE");
    expect(m,
           sqlpool_exec_with(m->pool, &call, NULL, "DELETE FROM t WHERE 0", SQLPOOL_NO_ARGS,
                             &m->error),
           SQLPOOL_TIMEOUT, "a write beside another program's");
    (void)raw_exec(m->other, "ROLLBACK");
}

static void fail_once(mixture *m, int kind, int code, bool is_write) {
    sim_vfs_fault fault = {1, 0, 0, 0, 0};
    fault.kind = kind;
    fault.code = code;
    fault.from_on = is_write;
    sim_vfs_arm(fault);
    expect(m,
           is_write ? insert(m, m->is_writer_held ? &m->writer : NULL)
                    : read_table(m, NULL, "SELECT count(*) FROM t"),
           SQLITE_ERROR, "a call that must fail");
    sim_vfs_heal();
}

/*  Everything that was drawn, in the order in which each still can happen. */
static void break_it(mixture *m) {
    int i;
    for (i = 0; i < 20; i++) {
        expect(m, insert(m, NULL), SQLPOOL_OK, "insert");
        expect(m, read_table(m, NULL, "SELECT count(*) FROM t"), SQLPOOL_OK, "read");
    }
    seconds(m, 2);
    if (m->faults & BIT_SLOW_DISK) {
        is_disk_slow = 1;
        for (i = 0; i < 30; i++) expect(m, insert(m, NULL), SQLPOOL_OK, "slow insert");
        is_disk_slow = 0;
    }
    if (m->faults & BIT_DEAD_CONNECTION) fail_once(m, SIM_VFS_SHM_LOCK, 0, false);
    if (m->faults & BIT_LOCKED) lock_out(m);
    if (m->faults & BIT_PINNED_LOG) pin(m);
    if (m->faults & BIT_STUCK_WRITER) {
        m->is_writer_held = true;
        expect(m, sqlpool_conn_acquire(m->pool, SQLPOOL_WRITE, &m->writer, &m->error), SQLPOOL_OK,
               "acquire the writer");
    }
    if (m->faults & BIT_FULL_DISK) fail_once(m, SIM_VFS_WRITE, SQLITE_FULL, true);
    if (m->faults & BIT_EXHAUSTED) exhaust(m);
    if (m->faults & BIT_CORRUPT)
        expect(m,
               read_table(m, m->faults & BIT_EXHAUSTED ? &m->readers[READERS - 1] : NULL,
                          "SELECT * FROM victim"),
               SQLITE_ERROR, "reading the damaged table");
    seconds(m, 7);
    if (m->faults & BIT_MOVED) {
        char moved[80];
        (void)snprintf(moved, sizeof moved, "%s.moved", m->path);
        expect(m, rename(m->path, moved), 0, "rename");
        seconds(m, 1);
        (void)read_table(m, NULL, "SELECT count(*) FROM t"); /* notices, if upkeep did not */
    }
}

static void end_it(mixture *m) {
    int i;
    if (m->faults & BIT_EXHAUSTED) {
        (void)sqlpool_cancel(m->pool, &m->token);
        (void)pthread_join(m->waiter, NULL);
    }
    for (i = 0; i < m->readers_held; i++) (void)sqlpool_conn_release(&m->readers[i]);
    if (m->is_writer_held) (void)sqlpool_conn_release(&m->writer);
    (void)sqlite3_close(m->other);
    expect(m, sqlpool_close(m->pool, &m->error), SQLPOOL_OK, "close");
    sim_remove_database(m->path);
}

static void print_faults(const char *what, int faults) {
    size_t i;
    static const char *const names[] = {
#define FAULT_NAME(name) #name,
        FAULTS(FAULT_NAME)};
    printf("# %s:", what);
    for (i = 0; i < sizeof bits / sizeof bits[0]; i++)
        if (faults & bits[i]) printf(" %s", names[i]);
    printf("\n");
}

/*  Is it named as it is? */
static bool try_one(int number, int faults) {
    static mixture m; /* a thread may still look at it when a step has failed */
    sqlpool_health health;
    int found = 0, i;
    bool is_right;
    memset(&m, 0, sizeof m);
    m.number = number;
    m.faults = faults;
    (void)snprintf(m.path, sizeof m.path, "mixture%d.db", number);
    make_file(&m);
    open_it(&m);
    break_it(&m);
    expect(&m, sqlpool_get_health(m.pool, &health), SQLPOOL_OK, "get_health");
    for (i = 0; i < health.cause_count; i++) found |= 1 << health.causes[i].kind;
    is_right = found == faults && (health.score == 100) == (faults == 0);
    if (!is_right) {
        printf("# mixture %d: score %d\n", number, health.score);
        print_faults("put in", faults);
        print_faults("found ", found);
        for (i = 0; i < health.cause_count; i++) printf("#   %s\n", health.causes[i].text);
    }
    end_it(&m);
    return is_right;
}

static uint64_t state;
static uint64_t draw(void) {
    state += UINT64_C(0x9e3779b97f4a7c15);
    {
        uint64_t x = state;
        x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
        return x ^ (x >> 31);
    }
}

static int count = COUNT;

/*  Nothing, each fault alone, then up to four at once. A moved file takes no callers, so nobody waits
    for a reader of it. */
TEST(mixtures_of_faults_are_named) {
    int right = 0, i;
    for (i = 0; i < count; i++) {
        const int several = i == 0 ? 0 : i <= LENGTH(bits) ? 1 : (int)(draw() % 5);
        int faults = 0, k;
        for (k = 0; k < several; k++)
            faults |= several == 1 && i <= LENGTH(bits) ? bits[i - 1]
                                                        : bits[draw() % (uint64_t)LENGTH(bits)];
        if (faults & BIT_MOVED) faults &= ~BIT_EXHAUSTED;
        right += try_one(i, faults) ? 1 : 0;
    }
    printf("# %d of %d mixtures are named as they are\n", right, count);
    CHECK_INT(wrong_steps, 0);
    CHECK(right * 100 >= count * RIGHT);
}

int main(int words, char **word) {
    const char *seed = getenv("SIM_SEED");
    state = seed != NULL ? strtoull(seed, NULL, 10) : 1;
    if (words > 1 && atoi(word[1]) > 0) count = atoi(word[1]);
    sim_catch_crashes();
    (void)snprintf(sim_replay, sizeof sim_replay, "SIM_SEED=%s mixtures %d", seed ? seed : "1",
                   count);
    if (sim_vfs_install() != SQLITE_OK) return 1;
    sim_vfs.point_fn = on_vfs;
    sim_vfs.skip_sync = 1;
    RUN(mixtures_of_faults_are_named);
    return test_end();
}
