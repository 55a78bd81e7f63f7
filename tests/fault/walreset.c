/*  walreset.c - a checkpoint beside a writer, in every order. SPDX-License-Identifier: MIT OR Unlicense

    SQLite 3.7.0 to 3.51.2 can corrupt a file when a checkpoint runs beside a writer (fixed in 3.51.3,
    3.50.7 and 3.44.6; sqlite.org/wal.html, the WAL-reset bug). A checkpointer has read how many frames
    the log has, N, all of them copied already; before it looks how many are copied a writer starts the
    log over, with M frames, and that number is 0. The checkpointer then works for nothing and notes
    that N frames are copied. While M < N no later checkpoint looks at what is written after M, and when
    the log starts over once more it is gone.

    This program looks for that by running threads with real connections on real files one at a time,
    and switching between them at the calls of the VFS ("sim", which also makes syncs take no time). A
    schedule is a name and can be run again:

      SCENARIO:walk:SEED           at each call another thread goes on with a chance of 1/2 to 1/32
      SCENARIO:window:SEED         at few calls, but a checkpointer is held up for a while before it
                                   begins and, more often, when it has just read N (xUnfetch of
                                   everything is the one call that SQLite makes there)
      SCENARIO:bound:SEED:K.T,L.U  threads run a whole statement in turn, but at call K thread T goes
                                   on, and at call L thread U: all such K.T are tried, then all pairs

    Controls, which must find it where the SQLite in use has the bug and nothing where it has the fix: a
    plain program that checkpoints, one whose writers do by themselves (wal_autocheckpoint), a plain
    program that checkpoints beside a pool, and pools whose checkpoint loses the locks of its
    transaction. The same writes through one pool, through pools beside a plain writer, and through two
    pools must never find it, in at least ten times as many schedules as the controls needed.

    It is found when integrity_check fails after everything was closed, or when a row is not what the
    last successful write made it; for the pool also when more frames are copied than the log has, at
    any call.

    walreset                    a few seconds; the seed is printed, SIM_SEED repeats all of it
    WALRESET_SCHEDULES=n        so many of each scenario of the pool and strategy: make walreset
    walreset --replay NAME      one schedule, with every call it makes */
#define _GNU_SOURCE
#include "sqlpool.h"

#include "sim/sim.h"
#include "test.h"

#include <ctype.h>
#include <sched.h>
#include <semaphore.h>

enum { WORKERS = 3, TASKS = WORKERS + 3, MAIN = 0 };
enum { ROWS = 96, BODY_BYTES = 7000, PAGE_BYTES = 1024, CUTS = 2 };
enum { MOST_STEPS = 100000, MOST_TURNS = 4000, RING = 1 << 14, NAME_BYTES = 96 };
enum { WRITE_LOCK = 0, CHECKPOINT_LOCK = 1 }; /* of the log's index, in the order of its locks */
static const char path[] = "reset.db";

static void give_up(const char *what) {
    printf("# %s; replay with --replay %s\n0 passed, 1 failed\n", what, sim_replay);
    exit(1);
}

/*---- what a schedule is ----*/

/* clang-format off */
/*  name, whether the bug must be found in it, what it is */
#define SCENARIOS(X)                                                                                 \
    X(CHECKPOINTER, "checkpointer", true, "plain: a writer, two connections that checkpoint")        \
    X(AUTO, "auto", true, "plain: writers with wal_autocheckpoint")                                  \
    X(OUTSIDE, "outside", true, "a pool writes, a plain connection checkpoints")                     \
    X(LIE, "lie", true, "two pools checkpoint without a transaction, a plain connection writes")      \
    X(POOL, "pool", false, "a pool writes and checkpoints")                                          \
    X(BESIDE, "beside", false, "a pool writes and checkpoints, a plain connection writes")           \
    X(POOLS, "pools", false, "two pools write and checkpoint")
/* clang-format on */
#define SCENARIO_ENUM(id, name, is_control, text) id,
typedef enum scenario { SCENARIOS(SCENARIO_ENUM) SCENARIO_COUNT } scenario;
#define SCENARIO_ROW(id, name, is_control, text) {name, is_control, text},
static const struct {
    const char *name;
    bool is_control;
    const char *text;
} scenarios[SCENARIO_COUNT] = {SCENARIOS(SCENARIO_ROW)};

typedef enum strategy { WALK, WINDOW, BOUND, STRATEGIES } strategy;
static const char *const strategy_names[STRATEGIES] = {"walk", "window", "bound"};

typedef struct plan {
    scenario what;
    strategy how;
    uint64_t seed;
    int cut_count;
    struct {
        uint64_t step;
        int task;
    } cuts[CUTS];
} plan;

typedef struct outcome {
    bool is_marked;  /* more frames copied than there are, at some call */
    bool is_damaged; /* the file is corrupt, or rows are not what they were */
    char why[256];
    uint64_t steps, hash;
    uint64_t windows;  /* calls between reading N and acting on it */
    uint64_t restarts; /* the log started over */
    uint64_t checkpoints, writes;
} outcome;

static void name_plan(const plan *p, char name[NAME_BYTES]) {
    int i, used = snprintf(name, NAME_BYTES, "%s:%s:%llu", scenarios[p->what].name,
                           strategy_names[p->how], (unsigned long long)p->seed);
    for (i = 0; i < p->cut_count; i++) {
        used += snprintf(name + used, (size_t)(NAME_BYTES - used), "%c%llu.%d", i == 0 ? ':' : ',',
                         (unsigned long long)p->cuts[i].step, p->cuts[i].task);
    }
}
/*  The other way round; false: that is no plan. */
static bool read_plan(const char *name, plan *p) {
    const char *colon = strchr(name, ':');
    char *end;
    size_t i;
    memset(p, 0, sizeof *p);
    if (colon == NULL) return false;
    for (i = 0; i < SCENARIO_COUNT; i++) {
        const char *s = scenarios[i].name;
        if (strlen(s) == (size_t)(colon - name) && strncmp(s, name, strlen(s)) == 0) break;
    }
    p->what = (scenario)i;
    if (i == SCENARIO_COUNT) return false;
    name = colon + 1;
    colon = strchr(name, ':');
    if (colon == NULL) return false;
    for (i = 0; i < STRATEGIES; i++) {
        const char *s = strategy_names[i];
        if (strlen(s) == (size_t)(colon - name) && strncmp(s, name, strlen(s)) == 0) break;
    }
    p->how = (strategy)i;
    if (i == STRATEGIES || !isdigit((unsigned char)colon[1])) return false;
    p->seed = strtoull(colon + 1, &end, 10);
    while ((*end == ':' || *end == ',') && p->cut_count < CUTS) {
        p->cuts[p->cut_count].step = strtoull(end + 1, &end, 10);
        if (*end != '.') return false;
        p->cuts[p->cut_count].task = (int)strtol(end + 1, &end, 10);
        p->cut_count++;
    }
    return *end == '\0';
}

/*---- one thread at a time ----*/

typedef enum task_state { READY, WANTS_LOCK, WAITS, SLEEPS, JOINS, DONE } task_state;

typedef struct task {
    pthread_t thread;
    sem_t go;
    task_state state;
    const void *on;      /* lock, condition or task that it waits for */
    int64_t until_ns;    /* of SLEEPS, and WAITS: INT64_MAX without a timeout */
    uint64_t held_until; /* it is not to go on before that turn unless it is the only one */
    bool is_checkpointing;
    sqlite3_file *writer; /* CONTROL: has begun the transaction of the checkpoint */
    int reader;           /* CONTROL: and holds this lock, besides SQLite's write lock */
    bool has_let_go;      /* CONTROL: of both */
    void (*run)(void *argument);
    void *argument;
} task;

/*  A call where a cut means something. */
typedef struct turning {
    uint64_t step;
    unsigned tasks; /* bit n: thread n could go on there */
} turning;

/*  Only the thread whose turn it is reads or writes this; the semaphores order that. */
static struct {
    task tasks[TASKS];
    int count;
    bool is_on; /* switching at calls; what blocks switches always */
    bool is_told;
    const plan *p;
    sim_random dice;
    uint64_t odds;  /* 1 in so many calls is a switch */
    uint64_t turns; /* calls, and times that a thread had to wait */
    int turning_count;
    turning turnings[MOST_TURNS]; /* after the last cut */
    int64_t now_ns;
    const volatile uint32_t *index; /* of the log */
    uint32_t salt;
    outcome out;
    struct {
        int task, kind, next;
        char file;
        int64_t offset;
        uint32_t frames, copied;
    } ring[RING];
} world;

static __thread int self = -1;

static uint64_t roll(uint64_t bound) {
    return sim_random_below(&world.dice, bound);
}

static bool can_go_on(int i) {
    const task *t = &world.tasks[i];
    switch (t->state) {
    case READY:
    case SLEEPS:
        return true;
    case WANTS_LOCK:
        return *(const uint64_t *)t->on == 0;
    case WAITS:
        return t->until_ns <= world.now_ns;
    case JOINS:
        return ((const task *)t->on)->state == DONE;
    default:
        return false;
    }
}
/*  Another task that can go on, or -1. Those that are held up only when there is no other. */
static int another(void) {
    int found[TASKS], held[TASKS], i, count = 0, held_count = 0;
    for (i = 1; i <= world.count; i++) {
        const int n = (self + i) % world.count;
        if (n == self || !can_go_on(n)) continue;
        if (world.tasks[n].held_until > world.turns) {
            held[held_count++] = n;
        } else {
            found[count++] = n;
        }
    }
    if (count == 0) {
        if (held_count == 0) return -1;
        return held[world.p->how == BOUND ? 0 : roll((uint64_t)held_count)];
    }
    return found[world.p->how == BOUND ? 0 : roll((uint64_t)count)];
}
static void wait_turn(task *t) {
    while (sem_wait(&t->go) != 0 && errno == EINTR) {
    }
}
static void hand_to(int next) {
    task *const to = &world.tasks[next], *const me = &world.tasks[self];
    const bool is_over = me->state == DONE;
    if (to->state == SLEEPS && to->until_ns > world.now_ns) world.now_ns = to->until_ns;
    if (next == self) return;
    (void)sem_post(&to->go);
    if (!is_over) wait_turn(me);
}
/*  This task cannot go on now: one that can does, or time passes until one can. */
static void block(void) {
    int next = another(), i;
    world.turns++;
    if (next < 0 && can_go_on(self)) next = self;
    if (next < 0) {
        int64_t first = INT64_MAX;
        for (i = 0; i < world.count; i++) {
            if (world.tasks[i].state == WAITS && world.tasks[i].until_ns < first) {
                first = world.tasks[i].until_ns;
                next = i;
            }
        }
        if (next < 0) give_up("no thread can go on");
        world.now_ns = first;
    }
    hand_to(next);
}
static void nap(int64_t ns) {
    task *t;
    if (self < 0) return;
    t = &world.tasks[self];
    t->state = SLEEPS;
    t->until_ns = world.now_ns + (ns > 0 ? ns : 0);
    block();
    t->state = READY;
}
/*  Between two statements. */
static void statement_ends(void) {
    if (world.p->how == BOUND || roll(2) == 0) {
        const int next = another();
        if (next > MAIN) hand_to(next);
    }
}

/*  What the log's index says, looked at before each call. Its header changes as a whole between two
    calls, and the number of copied frames with it. */
static void look_at_index(void) {
    uint32_t frames, copied, salt;
    if (world.index == NULL) return;
    frames = world.index[4];
    salt = world.index[8];
    copied = world.index[24];
    if (copied > frames && !world.out.is_marked) {
        world.out.is_marked = true;
        (void)snprintf(world.out.why, sizeof world.out.why, "%u of %u frames are copied", copied,
                       frames);
    }
    if (salt != world.salt) world.out.restarts++;
    world.salt = salt;
}

static void remember(const sim_vfs_event *e, int next) {
    const char *dash = e->file == NULL ? NULL : strrchr(e->file, '-');
    const uint64_t words[4] = {(uint64_t)self, (uint64_t)e->kind, (uint64_t)e->offset,
                               (uint64_t)next};
    const size_t at = (size_t)(world.out.steps % RING);
    size_t i;
    for (i = 0; i < 4; i++) world.out.hash = (world.out.hash ^ words[i]) * UINT64_C(0x100000001b3);
    world.ring[at].task = self;
    world.ring[at].kind = (int)e->kind;
    world.ring[at].next = next;
    world.ring[at].offset = e->offset;
    world.ring[at].file = dash == NULL ? 'd' : dash[1];
    world.ring[at].frames = world.index == NULL ? 0 : world.index[4];
    world.ring[at].copied = world.index == NULL ? 0 : world.index[24];
}

/*  CONTROL: the pool's checkpoint has begun a transaction on the writer, and without a word it is no
    more while SQLite's call copies. Its write lock keeps writers out, and either of its locks keeps
    the log from starting over beside the copying: so both are lost. */
static void lose_the_locks(task *me, const sim_vfs_event *e) {
    enum { LOSE_WRITE = SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE };
    enum { LOSE_READ = SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED };
    enum { TAKE_WRITE = SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE };
    enum { TAKE_READ = SQLITE_SHM_LOCK | SQLITE_SHM_SHARED };
    const bool is_begin = e->kind == SIM_VFS_SHM_LOCK, is_end = e->kind == SIM_VFS_SHM_UNLOCK;
    if (is_begin && !me->has_let_go) {
        if (e->argument == TAKE_READ) me->reader = (int)e->offset;
        if (e->offset == WRITE_LOCK) me->writer = e->real;
    }
    if (me->writer == NULL) return;
    if (is_begin && e->offset == CHECKPOINT_LOCK && !me->has_let_go) {
        (void)me->writer->pMethods->xShmLock(me->writer, WRITE_LOCK, 1, LOSE_WRITE);
        (void)me->writer->pMethods->xShmLock(me->writer, me->reader, 1, LOSE_READ);
        me->has_let_go = true;
    } else if (is_end && me->has_let_go &&
               (e->offset == CHECKPOINT_LOCK ||
                (e->offset == WRITE_LOCK && e->real == me->writer))) { /* it was refused */
        while (me->writer->pMethods->xShmLock(me->writer, me->reader, 1, TAKE_READ) != SQLITE_OK)
            nap(100000);
        while (me->writer->pMethods->xShmLock(me->writer, WRITE_LOCK, 1, TAKE_WRITE) != SQLITE_OK)
            nap(100000);
        me->has_let_go = false;
        me->writer = NULL;
    }
}

/*  BOUND: what a cut here could do. Threads meet at locks and in the index: a switch elsewhere
    has the effect of one at the next of these. */
static void note_turning(const sim_vfs_event *e) {
    const plan *p = world.p;
    unsigned tasks = 0;
    int i;
    if (e->kind != SIM_VFS_SHM_LOCK && e->kind != SIM_VFS_SHM_BARRIER && e->kind != SIM_VFS_UNFETCH)
        return;
    if (p->cut_count > 0 && world.out.steps <= p->cuts[p->cut_count - 1].step) return;
    for (i = 1; i < world.count; i++)
        if (i != self && can_go_on(i)) tasks |= 1u << i;
    if (tasks == 0 || world.turning_count == MOST_TURNS) return;
    world.turnings[world.turning_count].step = world.out.steps;
    world.turnings[world.turning_count++].tasks = tasks;
}

/*  sim_vfs.point_fn: before each call of the VFS. */
static void point(void *user, const sim_vfs_event *e) {
    const bool is_window = e->kind == SIM_VFS_UNFETCH && e->data == NULL;
    const bool is_start = e->kind == SIM_VFS_SHM_LOCK && e->offset == CHECKPOINT_LOCK;
    task *me;
    int next = -1, i;
    (void)user;
    if (self < 0 || !world.is_on) return;
    me = &world.tasks[self];
    world.turns++;
    if (++world.out.steps > MOST_STEPS) give_up("no end");
    if (is_window) world.out.windows++;
    look_at_index();
    if (world.p->how == BOUND) {
        for (i = 0; i < world.p->cut_count; i++) {
            const int to = world.p->cuts[i].task;
            if (world.p->cuts[i].step == world.out.steps && to < world.count && can_go_on(to))
                next = to;
        }
        note_turning(e);
    } else if (world.p->how == WINDOW && is_window && roll(4) != 0) {
        me->held_until = world.turns + 20 + roll(200);
        next = another();
    } else if (world.p->how == WINDOW && is_start && roll(2) == 0) {
        me->held_until = world.turns + roll(100);
        next = another();
    } else if (roll(world.odds) == 0) {
        next = another();
    }
    remember(e, next);
    if (next >= 0 && next != self) hand_to(next);
    if (world.p->what == LIE && me->is_checkpointing) lose_the_locks(me, e);
}

static void print_calls(void) {
    uint64_t i = world.out.steps > RING ? world.out.steps - RING : 0;
    for (i++; i <= world.out.steps; i++) {
        const size_t at = (size_t)(i % RING);
        printf("#  %5llu thread %d  %-12s %s %-6lld frames %u copied %u", (unsigned long long)i,
               world.ring[at].task, sim_vfs_kind_name(world.ring[at].kind),
               world.ring[at].file == 'w'   ? "log"
               : world.ring[at].file == 's' ? "index"
                                            : "file",
               (long long)world.ring[at].offset, world.ring[at].frames, world.ring[at].copied);
        if (world.ring[at].next >= 0) printf("  -> thread %d first", world.ring[at].next);
        printf("\n");
    }
}

static void *thread_main(void *argument) {
    task *t = (task *)argument;
    wait_turn(t);
    self = (int)(t - world.tasks);
    t->run(t->argument);
    t->state = DONE;
    block();
    return NULL;
}
static task *begin_task(void (*run)(void *), void *argument) {
    task *t;
    if (world.count == TASKS) give_up("too many threads");
    t = &world.tasks[world.count];
    memset(t, 0, sizeof *t);
    t->run = run;
    t->argument = argument;
    if (sem_init(&t->go, 0, 0) != 0 || pthread_create(&t->thread, NULL, thread_main, t) != 0)
        give_up("no thread");
    world.count++;
    return t;
}
static void join_task(task *t) {
    task *me = &world.tasks[self];
    while (t->state != DONE) {
        me->state = JOINS;
        me->on = t;
        block();
    }
    me->state = READY;
    (void)pthread_join(t->thread, NULL);
    (void)sem_destroy(&t->go);
}

/*---- the pool's hooks ----*/

static int init_mutex(void *user, sqlpool_mutex *mutex) {
    (void)user;
    mutex->room[0] = 0;
    return 0;
}
static void destroy_mutex(void *user, sqlpool_mutex *mutex) {
    (void)user;
    (void)mutex;
}
static void take_mutex(void *user, sqlpool_mutex *mutex) {
    task *me = &world.tasks[self];
    (void)user;
    while (mutex->room[0] != 0) {
        me->state = WANTS_LOCK;
        me->on = &mutex->room[0];
        block();
    }
    me->state = READY;
    mutex->room[0] = (uint64_t)self + 1;
}
static void leave_mutex(void *user, sqlpool_mutex *mutex) {
    (void)user;
    if (mutex->room[0] != (uint64_t)self + 1) give_up("a lock is left by who does not hold it");
    mutex->room[0] = 0;
}
static int init_condition(void *user, sqlpool_condition *condition) {
    (void)user;
    (void)condition;
    return 0;
}
static void destroy_condition(void *user, sqlpool_condition *condition) {
    (void)user;
    (void)condition;
}
static void await(void *user, sqlpool_condition *condition, sqlpool_mutex *mutex,
                  int64_t timeout_ns) {
    task *me = &world.tasks[self];
    leave_mutex(user, mutex);
    me->state = WAITS;
    me->on = condition;
    me->until_ns = timeout_ns < 0 || timeout_ns > INT64_MAX - world.now_ns
                       ? INT64_MAX
                       : world.now_ns + timeout_ns;
    block();
    take_mutex(user, mutex);
}
static void wake_all(void *user, sqlpool_condition *condition) {
    int i;
    (void)user;
    for (i = 0; i < world.count; i++) {
        if (world.tasks[i].state == WAITS && world.tasks[i].on == condition)
            world.tasks[i].state = READY;
    }
}
static uint64_t who(void *user) {
    (void)user;
    return (uint64_t)self + 1;
}
static int begin_thread(void *user, void **thread, void (*run)(void *), void *argument) {
    (void)user;
    *thread = begin_task(run, argument);
    return 0;
}
static void join_thread(void *user, void *thread) {
    (void)user;
    join_task((task *)thread);
}
static const sqlpool_locks locks = {
    NULL,  init_mutex, destroy_mutex, take_mutex,   leave_mutex, init_condition, destroy_condition,
    await, wake_all,   who,           begin_thread, join_thread};

static int64_t tell_time(void *user) {
    (void)user;
    return world.now_ns += 1000;
}
static void sleep_hook(void *user, int64_t ns) {
    (void)user;
    nap(ns);
}
static int vfs_sleep(sqlite3_vfs *vfs, int us) {
    (void)vfs;
    nap((int64_t)us * 1000);
    return us;
}
static int busy(void *user, int count) {
    (void)user;
    if (count > 500) return 0;
    nap(100000);
    return 1;
}

/*---- what the threads do ----*/

/*  The rows as the last successful write made them. */
static struct {
    bool is_there;
    int version, bytes;
    int tried; /* the last version that was written, with or without success */
} rows[ROWS];
static int row_count;
static void *template_bytes;
static size_t template_size;

static void fill(int id, int version, int bytes, unsigned char *body) {
    int i;
    for (i = 0; i < bytes; i++) body[i] = (unsigned char)(id * 31 + version * 7 + i);
}

typedef struct worker {
    sqlpool *pool; /* or a plain connection */
    sqlite3 *db;
    int writes, checkpoints, ticks; /* that it has to make, mixed */
    bool has_truncate;
    int row; /* that is its own, to be updated; a few bytes of each page change */
    sim_random dice;
    task *thread;
    unsigned char body[BODY_BYTES];
} worker;

static void went_wrong(const char *what, int code, const char *message) {
    if (world.out.is_damaged) return;
    world.out.is_damaged = true;
    (void)snprintf(world.out.why, sizeof world.out.why, "%s: %d (%.180s)", what, code, message);
}

static void write_row(worker *w) {
    static const int sizes[] = {20, 400, 900, 3000, BODY_BYTES};
    const bool is_update = sim_random_below(&w->dice, 4) == 0;
    const int bytes = sizes[sim_random_below(&w->dice, sizeof sizes / sizeof sizes[0])];
    const int id = is_update ? w->row : row_count < ROWS ? row_count++ : w->row;
    const int version = ++rows[id].tried;
    static const char sql[] = "REPLACE INTO t(id, version, body) VALUES(?1, ?2, ?3)";
    int rc;
    char message[200] = "";
    fill(id, version, bytes, w->body);
    if (w->pool != NULL) {
        sqlpool_error error;
        rc = sqlpool_exec(w->pool, sql,
                          SQLPOOL_ARGS(id, version, SQLPOOL_BLOB(w->body, (size_t)bytes)), &error);
        if (rc != SQLPOOL_OK) (void)snprintf(message, sizeof message, "%.199s", error.message);
        if (rc == SQLPOOL_TIMEOUT) rc = SQLITE_BUSY;
    } else {
        sqlite3_stmt *statement = NULL;
        rc = sqlite3_prepare_v2(w->db, sql, -1, &statement, NULL);
        if (rc == SQLITE_OK) {
            (void)sqlite3_bind_int(statement, 1, id);
            (void)sqlite3_bind_int(statement, 2, version);
            (void)sqlite3_bind_blob(statement, 3, w->body, bytes, SQLITE_STATIC);
            (void)sqlite3_step(statement);
            rc = sqlite3_finalize(statement);
        }
        if (rc != SQLITE_OK) (void)snprintf(message, sizeof message, "%s", sqlite3_errmsg(w->db));
    }
    if (rc == SQLITE_OK) {
        rows[id].is_there = true;
        rows[id].version = version;
        rows[id].bytes = bytes;
        world.out.writes++;
    } else if ((rc & 0xff) != SQLITE_BUSY && rc != SQLITE_PROTOCOL) {
        went_wrong("a write failed", rc, message);
    }
}
static void run_checkpoint(worker *w) {
    int rc, frames = -1, copied = -1;
    if (w->pool != NULL) {
        const bool is_truncate = w->has_truncate && sim_random_below(&w->dice, 2) == 0;
        sqlpool_error error;
        world.tasks[self].is_checkpointing = true;
        rc = sqlpool_checkpoint(
            w->pool, is_truncate ? SQLPOOL_CHECKPOINT_TRUNCATE : SQLPOOL_CHECKPOINT_PASSIVE, NULL,
            &error);
        world.tasks[self].is_checkpointing = false;
        if (rc != SQLPOOL_OK && rc != SQLPOOL_TIMEOUT && (rc & 0xff) != SQLITE_BUSY)
            went_wrong("a checkpoint failed", rc, error.message);
    } else {
        rc = sqlite3_wal_checkpoint_v2(w->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
        if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
            went_wrong("a checkpoint failed", rc, sqlite3_errmsg(w->db));
    }
    if (rc == SQLITE_OK) world.out.checkpoints++;
}
static void work(void *argument) {
    worker *w = (worker *)argument;
    while (w->writes + w->checkpoints + w->ticks > 0) {
        const uint64_t left = (uint64_t)(w->writes + w->checkpoints + w->ticks);
        const uint64_t draw = sim_random_below(&w->dice, left);
        if (draw < (uint64_t)w->writes) {
            w->writes--;
            write_row(w);
        } else if (draw < (uint64_t)(w->writes + w->checkpoints)) {
            w->checkpoints--;
            run_checkpoint(w);
        } else {
            w->ticks--;
            (void)sqlpool_tick(w->pool, 1000000);
        }
        statement_ends();
    }
}

/*---- one schedule ----*/

static sqlite3 *open_plain(int autocheckpoint) {
    sqlite3 *db = NULL;
    char sql[128];
    (void)snprintf(sql, sizeof sql, "PRAGMA wal_autocheckpoint=%d; SELECT count(*) FROM t",
                   autocheckpoint);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "sim") != SQLITE_OK ||
        sqlite3_busy_handler(db, busy, NULL) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        give_up(sqlite3_errmsg(db));
    return db;
}
static sqlpool *open_pool(bool has_own_checkpoints) {
    sqlpool_config config = {0};
    sqlpool_error error;
    sqlpool *pool = NULL;
    config.vfs_name = "sim";
    config.min_connections = 1;
    config.max_connections = 2;
    config.reserve_connections = SQLPOOL_OFF;
    config.locks = locks;
    config.clock.now_ns_fn = tell_time;
    config.clock.sleep_ns_fn = sleep_hook;
    config.random = sim_random_hooks(&world.dice);
    config.acquire_timeout_ms = 60000;
    config.upkeep_interval_ms = 10;
    config.group_count = roll(2) == 0 ? SQLPOOL_OFF : 0;
    config.wal_budget_bytes = config.wal_limit_bytes = 1 << 30;
    config.disable_upkeep_thread = true;
    if (has_own_checkpoints) {
        config.wal_budget_bytes = 4096;
        config.wal_limit_bytes = roll(4) == 0 ? 8192 : 1 << 30;
        config.disable_upkeep_thread = roll(2) == 0;
    }
    if (sqlpool_open(&pool, path, &config, &error) != SQLPOOL_OK) give_up(error.message);
    return pool;
}
static void restore_template(void) {
    FILE *file;
    sim_remove_database(path);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(template_bytes, 1, template_size, file) != template_size ||
        fclose(file) != 0)
        give_up("the file cannot be written");
}
/*  The file that every schedule begins with: WAL, and a row for each worker to update. */
static void make_template(void) {
    sqlite3 *db = NULL;
    FILE *file;
    char sql[400];
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
                   "CREATE TABLE t(id INTEGER PRIMARY KEY, version INT, body BLOB);"
                   "CREATE INDEX by_version ON t(version, length(body))",
                   PAGE_BYTES);
    sim_remove_database(path);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        give_up(sqlite3_errmsg(db));
    (void)sqlite3_close(db);
    file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) give_up("the file cannot be read");
    template_size = (size_t)ftell(file);
    template_bytes = malloc(template_size);
    rewind(file);
    if (template_bytes == NULL || fread(template_bytes, 1, template_size, file) != template_size)
        give_up("the file cannot be read");
    (void)fclose(file);
}

/*  A plain connection opens what is left of it all. */
static void check_file(void) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    unsigned char expected[BODY_BYTES];
    int id = 0, rc, missing = 0, different = 0;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        give_up(sqlite3_errmsg(db));
    }
    if (sim_plain_integrity(db, world.out.why, sizeof world.out.why)) world.out.is_damaged = true;
    rc =
        sqlite3_prepare_v2(db, "SELECT id, version, body FROM t ORDER BY id", -1, &statement, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        const bool is_row = (rc = sqlite3_step(statement)) == SQLITE_ROW;
        const int end = is_row ? sqlite3_column_int(statement, 0) : row_count;
        for (; id < end && id < ROWS; id++) missing += rows[id].is_there;
        if (!is_row) break;
        if (id < 0 || id >= ROWS || end != id || !rows[id].is_there ||
            sqlite3_column_int(statement, 1) != rows[id].version ||
            sqlite3_column_bytes(statement, 2) != rows[id].bytes) {
            different++;
        } else {
            fill(id, rows[id].version, rows[id].bytes, expected);
            different +=
                memcmp(sqlite3_column_blob(statement, 2), expected, (size_t)rows[id].bytes) != 0;
        }
        if (end == id) id++;
    }
    if (rc != SQLITE_DONE) went_wrong("the rows cannot be read", rc, sqlite3_errmsg(db));
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    if (missing + different > 0 && !world.out.is_damaged) {
        world.out.is_damaged = true;
        (void)snprintf(world.out.why, sizeof world.out.why, "%d rows are gone, %d are different",
                       missing, different);
    }
}

static worker *prepare_workers(worker workers[WORKERS], sqlpool *pools[2]) {
    const plan *p = world.p;
    int i;
    memset(workers, 0, sizeof *workers * WORKERS);
    pools[0] = pools[1] = NULL;
    for (i = 0; i < WORKERS; i++) {
        workers[i].row = row_count++;
        workers[i].dice.state = p->seed * 1000003 + (uint64_t)i * 7919;
    }
    switch (p->what) {
    case CHECKPOINTER:
        for (i = 0; i < WORKERS; i++) workers[i].db = open_plain(0);
        workers[0].writes = 5 + (int)roll(8);
        workers[1].checkpoints = 3 + (int)roll(4);
        workers[2].checkpoints = (int)roll(5);
        break;
    case AUTO:
        for (i = 0; i < WORKERS; i++) {
            workers[i].db = open_plain(1 + (int)roll(8));
            workers[i].writes = 3 + (int)roll(4);
        }
        break;
    case OUTSIDE:
        pools[0] = workers[0].pool = workers[1].pool = open_pool(false);
        workers[0].writes = 4 + (int)roll(6);
        workers[1].writes = (int)roll(6);
        workers[2].db = open_plain(0);
        workers[2].checkpoints = 4 + (int)roll(6);
        break;
    case LIE:
        pools[0] = workers[0].pool = open_pool(false);
        pools[1] = workers[1].pool = open_pool(false);
        workers[0].checkpoints = 3 + (int)roll(4);
        workers[1].checkpoints = 1 + (int)roll(4);
        workers[2].db = open_plain(0);
        workers[2].writes = 5 + (int)roll(8);
        break;
    case POOL:
        pools[0] = open_pool(roll(2) == 0);
        for (i = 0; i < WORKERS; i++) workers[i].pool = pools[0];
        workers[0].writes = 4 + (int)roll(6);
        workers[1].writes = (int)roll(6);
        workers[1].checkpoints = (int)roll(4);
        workers[2].checkpoints = 2 + (int)roll(4);
        workers[2].ticks = (int)roll(3);
        workers[2].has_truncate = roll(4) == 0;
        break;
    case BESIDE:
        pools[0] = workers[0].pool = workers[1].pool = open_pool(roll(2) == 0);
        if (roll(2) == 0) pools[1] = workers[1].pool = open_pool(roll(2) == 0);
        workers[0].writes = 1 + (int)roll(5);
        workers[0].checkpoints = (int)roll(4);
        workers[1].checkpoints = 3 + (int)roll(5);
        workers[1].ticks = (int)roll(3);
        workers[2].db = open_plain(0);
        workers[2].writes = 4 + (int)roll(6);
        break;
    default:
        pools[0] = workers[0].pool = open_pool(roll(2) == 0);
        pools[1] = workers[1].pool = workers[2].pool = open_pool(roll(2) == 0);
        workers[0].writes = 3 + (int)roll(5);
        workers[0].checkpoints = 2 + (int)roll(4);
        workers[1].writes = 3 + (int)roll(5);
        workers[2].checkpoints = 2 + (int)roll(4);
        workers[2].ticks = (int)roll(3);
        break;
    }
    return workers;
}

static outcome run_plan(const plan *p) {
    static worker workers[WORKERS];
    sqlpool *pools[2];
    sqlpool_error error;
    sqlite3 *watcher;
    sqlite3_file *file = NULL;
    void volatile *index = NULL;
    int i;
    name_plan(p, sim_replay);
    memset(rows, 0, sizeof rows);
    row_count = 0;
    memset(&world.out, 0, sizeof world.out);
    world.out.hash = UINT64_C(0xcbf29ce484222325);
    world.p = p;
    memset(&world.dice, 0, sizeof world.dice);
    world.dice.state = p->seed;
    world.odds = UINT64_C(2) << (roll(5) + (p->how == WINDOW ? 6 : 0));
    world.turns = 0;
    world.turning_count = 0;
    world.now_ns = INT64_C(1000000000);
    world.count = 1;
    memset(&world.tasks[MAIN], 0, sizeof world.tasks[MAIN]);
    if (sem_init(&world.tasks[MAIN].go, 0, 0) != 0) give_up("no semaphore");
    self = MAIN;

    restore_template();
    watcher = open_plain(0);
    if (sqlite3_file_control(watcher, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        file->pMethods->xShmMap(file, 0, 32768, 0, &index) != SQLITE_OK || index == NULL)
        give_up("the log has no index");
    world.index = (const volatile uint32_t *)index;
    world.salt = world.index[8];
    (void)prepare_workers(workers, pools);
    for (i = 0; i < WORKERS; i++) workers[i].thread = begin_task(work, &workers[i]);
    world.is_on = true;
    for (i = 0; i < WORKERS; i++) join_task(workers[i].thread);
    world.is_on = false;
    look_at_index();
    for (i = 0; i < 2; i++)
        if (pools[i] != NULL && sqlpool_close(pools[i], &error) != SQLPOOL_OK)
            give_up(error.message);
    for (i = 0; i < WORKERS; i++) (void)sqlite3_close(workers[i].db);
    look_at_index();
    world.index = NULL;
    (void)sqlite3_close(watcher);
    check_file();
    self = -1;
    (void)sem_destroy(&world.tasks[MAIN].go);
    return world.out;
}

/*---- many schedules ----*/

typedef struct tally {
    uint64_t schedules, calls, writes, checkpoints, windows, restarts;
    uint64_t marked, damaged;
    uint64_t first;     /* so many schedules until it was found */
    uint64_t workloads; /* of which every schedule within the bound was run */
    plan found;
    outcome how;
    int64_t ns;
} tally;
static tally tallies[SCENARIO_COUNT][STRATEGIES];
static uint64_t seed;
static uint64_t long_run; /* WALRESET_SCHEDULES: of each scenario and strategy; 0: a short run */

/*  Where the short run ends. A control finds it in one of 30 schedules or more of WINDOW, so that
    1000 that miss it are one in 10^14. */
static const uint64_t short_run[STRATEGIES] = {60, 150, 100};
enum { CONTROL_ENDS = 1000, RATIO = 10 };

static bool is_affected(void) {
    const int v = sqlite3_libversion_number();
    return v >= 3007000 && v < 3051003 && !(v >= 3050007 && v < 3051000) &&
           !(v >= 3044006 && v < 3045000);
}

/*  Runs one and adds it up; true: it is found, the file is damaged. Through the pool the state that
    leads to it counts as well. */
static bool try_plan(const plan *p) {
    tally *t = &tallies[p->what][p->how];
    const int64_t begin = sim_real_ns();
    outcome o = run_plan(p);
    char *c;
    t->ns += sim_real_ns() - begin;
    for (c = o.why; *c != '\0'; c++)
        if (*c == '\n') *c = ';';
    t->schedules++;
    t->calls += o.steps;
    t->writes += o.writes;
    t->checkpoints += o.checkpoints;
    t->windows += o.windows;
    t->restarts += o.restarts;
    t->marked += o.is_marked;
    t->damaged += o.is_damaged;
    if (t->first == 0 && (o.is_damaged || (o.is_marked && !scenarios[p->what].is_control))) {
        t->first = t->schedules;
        t->found = *p;
        t->how = o;
    }
    return t->first != 0;
}

/*  So many random schedules; is_until: or fewer, when it is found. */
static void search_random(scenario what, strategy how, uint64_t count, bool is_until) {
    plan p = {0};
    uint64_t i;
    p.what = what;
    p.how = how;
    for (i = 0; i < count; i++) {
        p.seed = seed + i;
        if (try_plan(&p) && is_until) return;
    }
}

/*  This plan, and with one cut more after its last all that differ, until it has `depth`. False: no
    schedule is left, or it is found and that is the end. */
static bool search_below(plan *p, int depth, uint64_t *left, bool is_until) {
    const int n = p->cut_count;
    turning *turnings;
    int count, i, task;
    bool is_all = true;
    if (*left == 0) return false;
    --*left;
    if (try_plan(p) && is_until) return false;
    if (n == depth) return true;
    count = world.turning_count;
    turnings = malloc(sizeof world.turnings);
    if (turnings == NULL) give_up("no memory");
    memcpy(turnings, world.turnings, sizeof world.turnings);
    p->cut_count++;
    for (i = 0; i < count && is_all; i++) {
        p->cuts[n].step = turnings[i].step;
        for (task = 1; task < TASKS && is_all; task++) {
            p->cuts[n].task = task;
            if (turnings[i].tasks >> task & 1u) is_all = search_below(p, depth, left, is_until);
        }
    }
    p->cut_count--;
    free(turnings);
    return is_all;
}
/*  Every schedule of one workload after the other: with one cut in the first half, then with two. */
static void search_bound(scenario what, uint64_t count, bool is_until) {
    tally *t = &tallies[what][BOUND];
    int depth;
    for (depth = 1; depth <= CUTS; depth++) {
        uint64_t left = depth == CUTS ? count - count / 2 : count / 2;
        plan p = {0};
        p.what = what;
        p.how = BOUND;
        for (p.seed = seed; left > 0; p.seed++) {
            p.cut_count = 0;
            if (search_below(&p, depth, &left, is_until)) {
                t->workloads++;
            } else if (is_until && t->first != 0) {
                return;
            }
        }
    }
}

/*---- tests ----*/

/*  The first that was found, again: nothing of it is left to chance. */
static void check_again(const tally *t) {
    char name[NAME_BYTES];
    const outcome o = run_plan(&t->found);
    name_plan(&t->found, name);
    printf("# %s: %s\n", name, t->how.why);
    CHECK(o.is_damaged == t->how.is_damaged && o.is_marked == t->how.is_marked);
    CHECK(o.hash == t->how.hash);
    CHECK_INT(o.steps, t->how.steps);
}

static void check_control(scenario what) {
    const uint64_t count = long_run ? long_run / 4 + 1 : CONTROL_ENDS;
    const tally *const t = &tallies[what][WINDOW];
    int how;
    if (is_affected()) {
        search_random(what, WINDOW, count, !long_run);
        if (long_run) search_random(what, WALK, count, false);
        if (long_run) search_bound(what, count, false);
        CHECK(t->damaged > 0);
        check_again(t);
    } else {
        printf("# SQLite %s has the fix: this control must find nothing\n", sqlite3_libversion());
        search_random(what, WALK, long_run ? count : short_run[WALK], false);
        search_random(what, WINDOW, long_run ? count : short_run[WINDOW], false);
        search_bound(what, long_run ? count : short_run[BOUND], false);
        for (how = 0; how < STRATEGIES; how++) {
            if (tallies[what][how].first != 0) check_again(&tallies[what][how]);
            CHECK_INT(tallies[what][how].damaged, 0);
        }
    }
}
TEST(a_plain_program_that_checkpoints_beside_its_writer_loses_rows) {
    check_control(CHECKPOINTER);
}
TEST(a_plain_program_that_leaves_checkpoints_to_sqlite_loses_rows) {
    check_control(AUTO);
}
TEST(a_plain_checkpoint_beside_a_pool_loses_rows) {
    check_control(OUTSIDE);
}
TEST(pools_whose_checkpoint_has_lost_its_locks_lose_rows) {
    check_control(LIE);
}

static void check_protected(scenario what) {
    int how;
    search_random(what, WALK, long_run ? long_run : short_run[WALK], false);
    search_random(what, WINDOW, long_run ? long_run : short_run[WINDOW], false);
    search_bound(what, long_run ? long_run : short_run[BOUND], false);
    for (how = 0; how < STRATEGIES; how++) {
        const tally *const t = &tallies[what][how];
        if (t->first != 0) check_again(t);
        CHECK_INT(t->marked, 0);
        CHECK_INT(t->damaged, 0);
        /* It was near: checkpoints were in the window, and the log started over. More than once a
           schedule, over many workloads; the short run's BOUND is the first schedules of one, and
           where that has few checkpoints only one of them finds something to copy. */
        if (how == BOUND && !long_run) {
            CHECK(t->windows > 0 && t->restarts > 0);
        } else {
            CHECK(t->windows > t->schedules && t->restarts > t->schedules);
        }
    }
}
TEST(a_pool_that_writes_and_checkpoints_loses_nothing) {
    check_protected(POOL);
}
TEST(pools_that_checkpoint_beside_a_plain_writer_lose_nothing) {
    check_protected(BESIDE);
}
TEST(two_pools_that_write_and_checkpoint_lose_nothing) {
    check_protected(POOLS);
}

TEST(the_pool_was_tried_ten_times_as_often_as_the_controls_needed) {
    uint64_t needed = 0, tried = 0;
    int what;
    if (!is_affected()) {
        printf("# SQLite %s has the fix: nothing to compare with\n", sqlite3_libversion());
        return;
    }
    for (what = 0; what < SCENARIO_COUNT; what++)
        if (scenarios[what].is_control && tallies[what][WINDOW].first > needed)
            needed = tallies[what][WINDOW].first;
    CHECK(needed > 0);
    for (what = 0; what < SCENARIO_COUNT; what++)
        if (!scenarios[what].is_control) tried += tallies[what][WINDOW].schedules;
    if (!long_run) {
        plan p = {0};
        p.what = POOLS;
        p.how = WINDOW;
        for (; tried < RATIO * needed; tried++) {
            p.seed = seed + tallies[POOLS][WINDOW].schedules;
            CHECK(!try_plan(&p));
        }
    }
    CHECK(tried >= RATIO * needed);
}

TEST(a_schedule_has_a_name_and_runs_the_same_way_again) {
    plan p = {0}, again;
    int what, how;
    for (what = 0; what < SCENARIO_COUNT; what++) {
        for (how = 0; how < STRATEGIES; how++) {
            char name[NAME_BYTES], name_again[NAME_BYTES];
            outcome one, two;
            p.what = (scenario)what;
            p.how = (strategy)how;
            p.seed = seed + 77;
            p.cut_count = how == BOUND ? 2 : 0;
            p.cuts[0].step = 40;
            p.cuts[0].task = 3;
            p.cuts[1].step = 90;
            p.cuts[1].task = 1;
            name_plan(&p, name);
            CHECK(read_plan(name, &again));
            name_plan(&again, name_again);
            CHECK_STR(name_again, name);
            one = run_plan(&p);
            two = run_plan(&again);
            CHECK(one.steps > 50);
            CHECK_INT(two.steps, one.steps);
            CHECK(two.hash == one.hash);
            p.seed++;
            if (how != BOUND) CHECK(run_plan(&p).hash != one.hash);
        }
    }
    CHECK(!read_plan("pool", &again) && !read_plan("pool:walk:", &again));
    CHECK(!read_plan("pond:walk:1", &again) && !read_plan("pool:bound:1:5", &again));
}

static void print_report(void) {
    uint64_t schedules = 0, calls = 0;
    int64_t ns = 0;
    int what, how;
    printf("# WAL-reset bug, SQLite %s (%s), seed %llu\n", sqlite3_libversion(),
           is_affected() ? "affected" : "has the fix", (unsigned long long)seed);
    printf("# scenario     strategy schedules     calls    writes checkpoints restarts  windows  "
           "damaged first at\n");
    for (what = 0; what < SCENARIO_COUNT; what++) {
        for (how = 0; how < STRATEGIES; how++) {
            const tally *const t = &tallies[what][how];
            char name[NAME_BYTES] = "";
            if (t->schedules == 0) continue;
            if (t->first != 0) name_plan(&t->found, name);
            printf("# %-12s %-8s %9llu %9llu %9llu %11llu %8llu %8llu %8llu %llu%s%s\n",
                   scenarios[what].name, strategy_names[how], (unsigned long long)t->schedules,
                   (unsigned long long)t->calls, (unsigned long long)t->writes,
                   (unsigned long long)t->checkpoints, (unsigned long long)t->restarts,
                   (unsigned long long)t->windows, (unsigned long long)t->damaged,
                   (unsigned long long)t->first, t->first != 0 ? "  " : "", name);
            schedules += t->schedules;
            calls += t->calls;
            ns += t->ns;
        }
        if (tallies[what][BOUND].schedules > 0)
            printf("# %-12s %llu workloads with all their switches\n", "",
                   (unsigned long long)tallies[what][BOUND].workloads);
    }
    for (what = 0; what < SCENARIO_COUNT; what++)
        printf("#   %-12s %s\n", scenarios[what].name, scenarios[what].text);
    printf("# %llu schedules, %llu calls in %.1f s\n", (unsigned long long)schedules,
           (unsigned long long)calls, (double)ns / 1e9);
}

/*  One schedule as text. */
static int replay(const char *name) {
    plan p;
    outcome o;
    if (!read_plan(name, &p)) {
        printf("no schedule is named %s\n", name);
        return 2;
    }
    o = run_plan(&p);
    print_calls();
    printf("# %s: %s: %llu calls, hash %016llx, %s\n", name, scenarios[p.what].text,
           (unsigned long long)o.steps, (unsigned long long)o.hash,
           o.is_damaged || o.is_marked ? o.why : "the file is as it should be");
    return o.is_damaged || o.is_marked;
}

int main(int argc, char **argv) {
    const char *given = getenv("WALRESET_SCHEDULES");
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one); /* one thread runs at a time: several are but slower */
    (void)sched_setaffinity(0, sizeof one, &one);
    if (sim_vfs_install() != SQLITE_OK) return 1;
    sim_vfs.skip_sync = 1;
    sim_vfs.base.xSleep = vfs_sleep;
    sim_vfs.point_fn = point;
    sim_catch_crashes();
    make_template();
    if (argc == 3 && strcmp(argv[1], "--replay") == 0) return replay(argv[2]);
    seed = sim_seed();
    if (given != NULL) long_run = strtoull(given, NULL, 10);
    printf("# SIM_SEED=%llu\n", (unsigned long long)seed);
    RUN(a_schedule_has_a_name_and_runs_the_same_way_again);
    RUN(a_plain_program_that_checkpoints_beside_its_writer_loses_rows);
    RUN(a_plain_program_that_leaves_checkpoints_to_sqlite_loses_rows);
    RUN(a_plain_checkpoint_beside_a_pool_loses_rows);
    RUN(pools_whose_checkpoint_has_lost_its_locks_lose_rows);
    RUN(a_pool_that_writes_and_checkpoints_loses_nothing);
    RUN(pools_that_checkpoint_beside_a_plain_writer_lose_nothing);
    RUN(two_pools_that_write_and_checkpoint_lose_nothing);
    RUN(the_pool_was_tried_ten_times_as_often_as_the_controls_needed);
    print_report();
    return test_end();
}
