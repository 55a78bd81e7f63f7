/*  migrate.c - migrations and index sets on a machine that fails. SPDX-License-Identifier: MIT OR Unlicense

    A workload goes up, makes indexes, goes down, runs dry, goes up again and drops the indexes. It runs
    once to count the calls to the disk and the allocations; then again and again with one of them
    failing, alone or with all that follow. Every call returns OK or what the fault explains, with a
    message; when the fault is over, the same call succeeds. After it the file is at one version: its
    tables are those of that version, the rows are all there, the history agrees, integrity_check says
    ok.

    Then processes are killed (SIGKILL) before their n-th call to the disk, one after the other on the
    same file, going up and down from wherever the last one was stopped; the same is looked for.

    migrate            a stride that fits the time, MIGRATE_KILLS [40] kills, seed printed
    migrate full [io | oom]   every n
    migrate io N KIND CODE MODE JOURNAL     one run: MODE is once or on, JOURNAL is wal or delete
    migrate oom N MODE JOURNAL              one run */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"

#include "sim/sim.h"
#include "test.h"

enum { VERSIONS = 4, USERS = 120, POSTS = 90 };
static const char *const path = "migrate.db";

static int fill_log(sqlpool_conn *conn, void *user, int attempt) {
    int i, rc = SQLPOOL_OK;
    (void)user, (void)attempt;
    for (i = 0; i < 5 && rc == SQLPOOL_OK; i++)
        rc =
            sqlpool_conn_exec(conn, "INSERT INTO log(line) VALUES(?)", SQLPOOL_ARGS(i), NULL, NULL);
    return rc;
}
#define NUMBERS(most) \
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " #most ")"
static const sqlpool_migration steps[VERSIONS] = {
    {1, "users",
     "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT);" NUMBERS(
         120) "INSERT INTO users SELECT i, 'name of ' || i || hex(zeroblob(40)) FROM n;",
     "DROP TABLE users", NULL, NULL, NULL},
    {2, "posts",
     "CREATE TABLE posts(id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id) ON "
     "DELETE "
     "CASCADE, text TEXT);" NUMBERS(90) "INSERT INTO posts SELECT i, i, hex(zeroblob(50)) FROM n;",
     "DROP TABLE posts", NULL, NULL, NULL},
    {3, "email",
     "CREATE TABLE users_new(id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT);"
     "INSERT INTO users_new(id, name) SELECT id, name FROM users; DROP TABLE users;"
     "ALTER TABLE users_new RENAME TO users;",
     "CREATE TABLE users_old(id INTEGER PRIMARY KEY, name TEXT);"
     "INSERT INTO users_old SELECT id, name FROM users; DROP TABLE users;"
     "ALTER TABLE users_old RENAME TO users;",
     NULL, NULL, NULL},
    {4, "log", "CREATE TABLE log(line UNIQUE)", "DROP TABLE log", fill_log, NULL, NULL}};

static const char *const indexes[] = {
    "CREATE UNIQUE INDEX users_by_name ON users(name COLLATE NOCASE)",
    "CREATE INDEX posts_by_user ON posts(user_id, length(text) DESC)",
    "CREATE INDEX posts_late ON posts(id) WHERE id > 50"};

typedef struct run {
    sqlpool *pool;
    const char *step_name;
    bool is_wal, is_oom;
    sim_vfs_fault fault;
    sim_clock clock;
    sim_random random;
    sim_locks locks;
    char why[900];
} run;

#include "sim/run.h"

/*---- what a file must be ----*/

static char signatures[VERSIONS + 1][1200]; /* the tables of each version, from a first run */

static void plain_text(sqlite3 *db, const char *sql, char *out, size_t bytes) {
    sqlite3_stmt *statement = NULL;
    out[0] = '\0';
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        (void)snprintf(out, bytes, "%s", (const char *)sqlite3_column_text(statement, 0));
    else
        (void)snprintf(out, bytes, "(%s)", sqlite3_errmsg(db));
    (void)sqlite3_finalize(statement);
}

/*  Of the schema, and of all rows. */
static void signature_of(sqlite3 *db, int64_t version, char *out, size_t bytes) {
    static const char *const queries[] = {
        "SELECT coalesce(group_concat(sql, ';'), '') FROM (SELECT replace(sql, '\"', '') AS sql "
        "FROM sqlite_master WHERE "
        "type = 'table' AND name NOT LIKE 'sql%' ORDER BY name)",
        "SELECT count(*) || ' ' || sum(id) || ' ' || sum(length(name)) FROM users",
        "SELECT count(*) || ' ' || sum(user_id) || ' ' || sum(length(text)) FROM posts",
        "SELECT count(email) FROM users", "SELECT sum(line) FROM log"};
    int64_t i;
    out[0] = '\0';
    for (i = 0; i <= version && i <= VERSIONS; i++) {
        const size_t length = strlen(out);
        plain_text(db, queries[i], out + length, bytes - length);
    }
}

/*  Opens the file without the simulator; which version it is at, or -1 and why it is none. */
static int64_t check_file(char *why, size_t why_bytes) {
    sqlite3 *db = NULL;
    char found[1200];
    int64_t version = -1;
    why[0] = '\0';
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        (void)snprintf(why, why_bytes, "reopening: %s", sqlite3_errmsg(db));
    } else if (!sim_plain_integrity(db, why, why_bytes)) {
        const bool has_history = sim_plain_int64(db,
                                                 "SELECT count(*) FROM sqlite_master WHERE name = "
                                                 "'sqlpool_migrations'",
                                                 -1) == 1;
        version = sim_plain_int64(db, "PRAGMA user_version", -1);
        signature_of(db, version, found, sizeof found);
        if (version < 0 || version > VERSIONS || strcmp(found, signatures[version]) != 0) {
            (void)snprintf(why, why_bytes, "at version %d there is \"%.400s\", expected \"%.400s\"",
                           (int)version, found,
                           version >= 0 && version <= VERSIONS ? signatures[version] : "");
        } else if (sim_plain_int64(db, "SELECT count(*) FROM pragma_foreign_key_check", -1) != 0) {
            (void)snprintf(why, why_bytes, "at version %d rows have no parent", (int)version);
        } else if (has_history && sim_plain_int64(db,
                                                  "SELECT count(*) FROM (SELECT direction, max(id) "
                                                  "FROM sqlpool_migrations GROUP BY "
                                                  "version) WHERE direction <> 'down'",
                                                  -1) != version) {
            (void)snprintf(why, why_bytes, "at version %d the history says something else",
                           (int)version);
        } else if (!has_history && version != 0) {
            (void)snprintf(why, why_bytes, "at version %d there is no history", (int)version);
        }
    }
    (void)sqlite3_close(db);
    return why[0] == '\0' ? version : -1;
}

/*---- the workload ----*/

static int migrate_to(sqlpool *pool, int target, int mode, sqlpool_migrate_result *result,
                      sqlpool_error *error) {
    sqlpool_migrate_config config;
    memset(&config, 0, sizeof config);
    config.steps = steps;
    config.step_count = VERSIONS;
    config.application_id = 0x6d6967;
    config.target = target;
    config.mode = mode;
    return sqlpool_migrate(pool, &config, NULL, result, error);
}
static int set_call(sqlpool *pool, bool is_create, sqlpool_error *error) {
    sqlpool_index_set set;
    memset(&set, 0, sizeof set);
    set.name = "faults";
    set.indexes = indexes;
    set.index_count = 3;
    return is_create ? sqlpool_index_set_create(pool, &set, NULL, NULL, error)
                     : sqlpool_index_set_drop(pool, &set, NULL, NULL, error);
}
static int step_up(sqlpool *pool, sqlpool_migrate_result *result, sqlpool_error *error) {
    return migrate_to(pool, 0, SQLPOOL_MIGRATE_RUN, result, error);
}
static int step_down(sqlpool *pool, sqlpool_migrate_result *result, sqlpool_error *error) {
    return migrate_to(pool, 1, SQLPOOL_MIGRATE_RUN, result, error);
}
static int step_dry(sqlpool *pool, sqlpool_migrate_result *result, sqlpool_error *error) {
    return migrate_to(pool, 0, SQLPOOL_MIGRATE_DRY_RUN, result, error);
}
static int step_create(sqlpool *pool, sqlpool_migrate_result *result, sqlpool_error *error) {
    (void)result;
    return set_call(pool, true, error);
}
static int step_drop(sqlpool *pool, sqlpool_migrate_result *result, sqlpool_error *error) {
    (void)result;
    return set_call(pool, false, error);
}
static const struct {
    const char *name;
    int (*work)(sqlpool *pool, sqlpool_migrate_result *result, sqlpool_error *error);
    int version; /* after it */
} works[] = {{"up", step_up, 4},    {"create", step_create, 4}, {"down", step_down, 1},
             {"dry", step_dry, 1},  {"again", step_up, 4},      {"create", step_create, 4},
             {"drop", step_drop, 4}};
enum { WORKS = sizeof works / sizeof *works };

static int open_pool(run *r, sqlpool_error *e) {
    sqlpool_config config = {0};
    config.name = "migrate";
    config.vfs_name = "sim";
    config.min_connections = 2;
    config.max_connections = 2;
    config.page_cache_kib = 256;
    config.journal = r->is_wal ? SQLPOOL_JOURNAL_WAL : SQLPOOL_JOURNAL_DELETE;
    config.synchronous = SQLPOOL_SYNCHRONOUS_FULL;
    config.acquire_timeout_ms = 500;
    config.breaker_open_ms = SQLPOOL_OFF;
    config.open_timeout_ms = 50;
    config.open_retry_ms = 20;
    run_hooks(r, &config);
    return sqlpool_open(&r->pool, path, &config, e);
}

static void heal(void) {
    sim_vfs_heal();
    sim_alloc_heal();
}

static bool is_explained(const run *r, int rc) {
    const bool busy = (sim_vfs.primaries >> SQLITE_BUSY) & 1;
    if (rc == SQLPOOL_OK) return true;
    if (r->is_oom) return rc == SQLPOOL_NOMEM || rc == SQLITE_NOMEM || rc == SQLITE_IOERR_NOMEM;
    if (sim_vfs.primaries == 0) return false;
    if (rc == SQLPOOL_TIMEOUT) return busy || r->fault.from_on;
    /* a schema is loaded without its statistics when those cannot be read; the transaction is over */
    if (rc == SQLPOOL_ROLLED_BACK) return (sim_vfs.primaries >> SQLITE_IOERR) & 1;
    if (rc < 0) return false;
    if (busy && (rc & 0xff) == SQLITE_PROTOCOL) return true;
    return (sim_vfs.primaries >> (rc & 31)) & 1;
}

/*  One call, and once more when it failed and the fault is over. */
static void call_twice(run *r, size_t i) {
    sqlpool_migrate_result result;
    sqlpool_error error;
    int rc;
    int64_t version = -1;
    memset(&result, 0, sizeof result);
    r->step_name = works[i].name;
    rc = works[i].work(r->pool, &result, &error);
    if (!is_explained(r, rc)) {
        (void)fail(r, "%s returned %s (%d): %s", r->step_name, sqlpool_result_name(rc), rc,
                   error.message);
        return;
    }
    if (rc == SQLPOOL_OK) return;
    if (error.result != rc || error.message[0] == '\0')
        (void)fail(r, "%s returned %d, error.result %d: \"%s\"", r->step_name, rc, error.result,
                   error.message);
    heal();
    sim_clock_advance(&r->clock, 100000000);
    if (sqlpool_query_int64(r->pool, &version, "PRAGMA user_version", SQLPOOL_NO_ARGS, NULL) !=
        SQLPOOL_OK)
        (void)fail(r, "no read after the fault in %s", r->step_name);
    if (result.failed_version != 0 && error.outcome != SQLPOOL_OUTCOME_UNKNOWN &&
        works[i].work != step_dry && version != result.to) {
        (void)fail(r, "%s says version %d, and it is %d: %s", r->step_name, result.to, (int)version,
                   error.message);
    }
    rc = works[i].work(r->pool, &result, &error);
    if (rc != SQLPOOL_OK)
        (void)fail(r, "%s again returned %s (%d): %s", r->step_name, sqlpool_result_name(rc), rc,
                   error.message);
}

static void run_works(run *r) {
    sqlpool_error error;
    int64_t value = -1;
    size_t i;
    for (i = 0; i < WORKS && r->why[0] == '\0'; i++) {
        call_twice(r, i);
        if (r->why[0] != '\0') return;
        if (sqlpool_query_int64(r->pool, &value, "PRAGMA user_version", SQLPOOL_NO_ARGS, &error) !=
            SQLPOOL_OK) {
            heal(); /* the fault is in this one */
            if (sqlpool_query_int64(r->pool, &value, "PRAGMA user_version", SQLPOOL_NO_ARGS,
                                    &error) != SQLPOOL_OK)
                (void)fail(r, "user_version: %s", error.message);
        }
        if (value != works[i].version)
            (void)fail(r, "after %s the version is %d", works[i].name, (int)value);
    }
    heal();
    sim_clock_advance(&r->clock, 100000000);
    if (sqlpool_exec(r->pool, "DELETE FROM users WHERE id = 200", SQLPOOL_NO_ARGS, &error) !=
            SQLPOOL_OK ||
        sqlpool_exec(r->pool, "INSERT INTO posts VALUES(1000, 1000, 'x')", SQLPOOL_NO_ARGS,
                     &error) != SQLITE_CONSTRAINT_FOREIGNKEY)
        (void)fail(r, "foreign keys are off afterwards: %s", error.message);
}

static int one_run(run *r) {
    const int base_files = sim_vfs.open_files;
    const int64_t base_memory = sqlite3_memory_used();
    sqlpool_error error;
    char why[900];
    int rc, tries = 0;
    run_from_the_start(r);
    (void)alarm(20);
    sim_remove_database(path);
    sim_alloc_fail(r->is_oom ? r->fault.at : 0, r->is_oom ? r->fault.from_on : 0);
    if (r->is_oom) {
        sim_vfs_heal();
    } else {
        sim_vfs_arm(r->fault);
    }
    do {
        rc = open_pool(r, &error);
        if (!is_explained(r, rc))
            (void)fail(r, "open returned %s: %s", sqlpool_result_name(rc), error.message);
        if (rc != SQLPOOL_OK) heal();
    } while (rc != SQLPOOL_OK && r->why[0] == '\0' && tries++ == 0);
    if (rc == SQLPOOL_OK) {
        run_works(r);
        rc = sqlpool_close(r->pool, &error);
        if (rc != SQLPOOL_OK)
            (void)fail(r, "close returned %s: %s", sqlpool_result_name(rc), error.message);
    } else {
        (void)fail(r, "open: %s", error.message);
    }
    heal();
    if (r->why[0] == '\0' && sim_vfs.open_files != base_files)
        (void)fail(r, "%d files were left open", sim_vfs.open_files - base_files);
    run_check_rules(r, base_memory);
    if (r->why[0] == '\0' && check_file(why, sizeof why) != VERSIONS) (void)fail(r, "%s", why);
    (void)alarm(0);
    return r->why[0] != '\0';
}

static int try_run(sim_vfs_fault fault, bool is_oom, bool is_wal) {
    run *r = (run *)calloc(1, sizeof *r);
    int bad;
    if (r == NULL) return 1;
    r->fault = fault;
    r->is_oom = is_oom;
    r->is_wal = is_wal;
    if (is_oom) {
        (void)snprintf(sim_replay, sizeof sim_replay, "migrate oom %d %s %s", (int)fault.at,
                       fault.from_on ? "on" : "once", is_wal ? "wal" : "delete");
    } else {
        (void)snprintf(sim_replay, sizeof sim_replay, "migrate io %d %s %d %s %s", (int)fault.at,
                       sim_vfs_kind_name(fault.kind), fault.code, fault.from_on ? "on" : "once",
                       is_wal ? "wal" : "delete");
    }
    bad = one_run(r);
    if (bad) run_report(r);
    free(r);
    return bad;
}

/*---- faults ----*/

static uint64_t seed;
static bool full;

/*  What each version looks like: from steps that nothing disturbs. */
TEST(every_version_as_it_should_be) {
    run *r = (run *)calloc(1, sizeof *r);
    sqlpool_error error;
    int version;
    CHECK(r != NULL);
    r->is_wal = true;
    run_from_the_start(r);
    sim_remove_database(path);
    CHECK(open_pool(r, &error) == SQLPOOL_OK);
    for (version = 0; version <= VERSIONS; version++) {
        sqlite3 *db = NULL;
        if (version > 0)
            CHECK(migrate_to(r->pool, version, SQLPOOL_MIGRATE_RUN, NULL, &error) == SQLPOOL_OK);
        CHECK(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
        signature_of(db, version, signatures[version], sizeof signatures[version]);
        (void)sqlite3_close(db);
        CHECK(strchr(signatures[version], '(') == NULL ||
              strstr(signatures[version], "no such") == NULL);
    }
    CHECK_HAS(signatures[4], "CREATE TABLE log");
    CHECK_HAS(signatures[4], "120 7260");
    CHECK_INT(sqlpool_close(r->pool, &error), SQLPOOL_OK);
    free(r);
}

typedef struct campaign {
    bool is_wal;
    uint64_t turn, runs, failures;
    pace pace;
} campaign;

static void one_of_many(campaign *c, sim_vfs_fault fault, bool is_oom) {
    if (c->failures >= 20 || c->turn++ % c->pace.stride != 0) return;
    pace_keep(&c->pace);
    c->failures += (uint64_t)try_run(fault, is_oom, c->is_wal);
    c->runs++;
}
/*  How many seconds a run takes that nothing disturbs; less than 0 when it fails. */
static double one_takes(bool is_oom, bool is_wal) {
    const sim_vfs_fault none = {0, SIM_VFS_ANY, 0, 0, 0};
    int64_t start;
    if (try_run(none, is_oom, is_wal) != 0) return -1;
    start = sim_real_ns();
    if (try_run(none, is_oom, is_wal) != 0) return -1;
    return (double)(sim_real_ns() - start) / 1e9;
}
static campaign campaign_of(bool is_wal, uint64_t cases, double each, double seconds) {
    campaign c = {is_wal, seed, 0, 0, {0, 0, 0, 0, false}};
    c.pace = pace_of(each * (double)cases, seconds, full);
    return c;
}
static void end_campaign(const campaign *c, const char *of, uint64_t count, const char *what) {
    printf("# %s: %llu %s, %llu runs, stride %llu, seed %llu, %.1f s, %llu failed\n", of,
           (unsigned long long)count, what, (unsigned long long)c->runs,
           (unsigned long long)c->pace.stride, (unsigned long long)seed, pace_took(&c->pace),
           (unsigned long long)c->failures);
    CHECK(c->runs > 20);
    CHECK_INT(c->failures, 0);
}

static void every_call(bool is_wal, double seconds) {
    static const int codes[] = {0, SQLITE_FULL, SQLITE_BUSY, SQLITE_CANTOPEN};
    const double each = one_takes(false, is_wal);
    uint64_t counts[SIM_VFS_KINDS + 1], cases = 0;
    campaign c;
    size_t code;
    int kind, from_on;
    CHECK(each >= 0);
    memcpy(counts, sim_vfs.kind_calls, sizeof counts);
    CHECK(sim_vfs.calls > 100);
    for (kind = 0; kind < SIM_VFS_KINDS; kind++)
        for (code = 0; code < sizeof codes / sizeof *codes; code++)
            if (sim_vfs_kind_can_fail(kind) && sim_vfs_code_fits(kind, codes[code]))
                cases += counts[kind] * 2;
    c = campaign_of(is_wal, cases, each, seconds);
    for (kind = 0; kind < SIM_VFS_KINDS; kind++) {
        for (code = 0; code < sizeof codes / sizeof *codes; code++) {
            if (!sim_vfs_kind_can_fail(kind) || !sim_vfs_code_fits(kind, codes[code])) continue;
            for (from_on = 0; from_on <= 1; from_on++) {
                uint64_t n;
                for (n = 1; n <= counts[kind]; n++) {
                    const sim_vfs_fault fault = {n, kind, codes[code], from_on, (int)(n & 1)};
                    one_of_many(&c, fault, false);
                }
            }
        }
    }
    end_campaign(&c, is_wal ? "io wal" : "io delete", cases, "cases");
}
TEST(every_call_wal) {
    every_call(true, 5);
}
TEST(every_call_delete) {
    every_call(false, 4);
}

TEST(every_allocation) {
    const double each = one_takes(true, true);
    const uint64_t allocations = sim_alloc.requests;
    campaign c = campaign_of(true, allocations * 2, each, 5);
    uint64_t n;
    int from_on;
    CHECK(each >= 0);
    CHECK(allocations > 1000);
    for (from_on = 0; from_on <= 1; from_on++) {
        for (n = 1; n <= allocations; n++) {
            const sim_vfs_fault fault = {n, SIM_VFS_ANY, 0, from_on, 0};
            one_of_many(&c, fault, true);
        }
    }
    end_campaign(&c, "oom", allocations, "allocations");
}

/*---- processes that are killed ----*/

static uint64_t kill_at;
static void kill_point(void *user, const sim_vfs_event *event) {
    (void)user, (void)event;
    if (kill_at > 0 && sim_vfs.calls >= kill_at) (void)kill(getpid(), SIGKILL);
}

/*  The steps without the library's care, statement by statement: a control. */
static int careless(bool is_up) {
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "sim"), i;
    const int64_t version = sim_plain_int64(db, "PRAGMA user_version", 0);
    (void)sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, sqlpool__history_sql, NULL, NULL, NULL);
    for (i = 0; i < 3 && rc == SQLITE_OK; i++) {
        const int64_t number = is_up ? version + i : version - 1 - i;
        char *sql;
        if (number < 0 || number > 2) break;
        rc = sqlite3_exec(db, is_up ? steps[number].up : steps[number].down, NULL, NULL, NULL);
        sql = sqlite3_mprintf(
            "INSERT INTO sqlpool_migrations(version, direction, name, checksum, time, duration_us) "
            "VALUES(%d, %Q, '', '', '', 0); PRAGMA user_version = %d",
            (int)number + 1, is_up ? "up" : "down", (int)(is_up ? number + 1 : number));
        if (rc == SQLITE_OK) rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
        sqlite3_free(sql);
    }
    (void)sqlite3_close(db);
    printf("%llu calls\n", (unsigned long long)sim_vfs.calls);
    return rc == SQLITE_OK ? 0 : 2;
}

/*  The process that is killed. `how` is a letter (w and d: journals, c: the control), u or d, and the
    number of the call. Ends with 0 when it was not; 1 is a wrong result. */
static int child(const char *how) {
    static run only;
    run *r = &only;
    const bool is_up = how[1] == 'u';
    sqlpool_migrate_result result;
    sqlpool_error error;
    int rc;
    kill_at = strtoull(how + 2, NULL, 10);
    sim_vfs.point_fn = kill_point;
    if (how[0] == 'c') return careless(is_up);
    r->is_wal = how[0] == 'w';
    run_from_the_start(r);
    rc = open_pool(r, &error);
    if (rc == SQLPOOL_OK)
        rc = migrate_to(r->pool, is_up ? 0 : SQLPOOL_OFF, SQLPOOL_MIGRATE_RUN, &result, &error);
    if (rc == SQLPOOL_OK && is_up) rc = set_call(r->pool, true, &error);
    if (rc == SQLPOOL_OK) rc = sqlpool_close(r->pool, &error);
    if (rc != SQLPOOL_OK) printf("%s: %s\n", sqlpool_result_name(rc), error.message);
    printf("%llu calls\n", (unsigned long long)sim_vfs.calls);
    return rc == SQLPOOL_OK ? 0 : 1;
}

static uint64_t draw(uint64_t *dice, uint64_t bound) { /* splitmix64 */
    uint64_t z = (*dice += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % bound;
}

/*  Kills so many processes; how many of them left the file half done, or -1. */
static int kill_many(char journal, int kills, int *versions_seen) {
    uint64_t dice = seed, most = 0;
    int done = 0, bad = 0, rounds;
    bool is_up = true;
    char how[64], out[4096], why[900];
    sim_remove_database(path);
    for (rounds = 0; done < kills && rounds < kills * 4; rounds++) {
        int64_t version;
        int status;
        (void)snprintf(how, sizeof how, "%c%c%llu", journal, is_up ? 'u' : 'd',
                       (unsigned long long)(rounds < 2 ? 0 : 1 + draw(&dice, most)));
        (void)snprintf(sim_replay, sizeof sim_replay, "migrate child %s", how);
        status = sim_run_self("child", how, out, sizeof out);
        if (status != 0 && status != 256 + SIGKILL) {
            printf("# %s ended with %d: %s\n", how, status, out);
            return -1;
        }
        done += status != 0;
        version = check_file(why, sizeof why);
        if (version < 0) {
            if (bad++ == 0 || journal != 'c') printf("# %s: %s\n", how, why);
            if (journal != 'c') return bad;
            sim_remove_database(path);
            continue;
        }
        versions_seen[version]++;
        if (status == 0) { /* it went to its end: that is how far calls go */
            const uint64_t calls = strtoull(out, NULL, 10);
            if (calls > most) most = calls;
            if (version != (is_up ? VERSIONS : 0) && journal != 'c') {
                printf("# %s ended well at version %d\n", how, (int)version);
                return -1;
            }
            is_up = !is_up;
        } else if (draw(&dice, 4) == 0) {
            is_up = !is_up;
        }
    }
    printf("# %c: %d processes killed, %d that ended well; versions left:", journal, done,
           rounds - done);
    for (rounds = 0; rounds <= VERSIONS; rounds++) printf(" %d", versions_seen[rounds]);
    printf("\n");
    return done == kills ? bad : -1;
}
static int kills_wanted(void) {
    const char *given = getenv("MIGRATE_KILLS");
    return given != NULL && atoi(given) > 0 ? atoi(given) : 40;
}

TEST(killed_anywhere_wal) {
    int versions[VERSIONS + 1] = {0};
    CHECK_INT(kill_many('w', (kills_wanted() + 1) / 2, versions), 0);
    CHECK(kills_wanted() < 40 || versions[1] + versions[2] + versions[3] > 0);
}
TEST(killed_anywhere_delete) {
    int versions[VERSIONS + 1] = {0};
    CHECK_INT(kill_many('d', kills_wanted() / 2, versions), 0);
    CHECK(kills_wanted() < 40 || versions[1] + versions[2] + versions[3] > 0);
}
TEST(control_half_done_steps_are_seen) {
    int versions[VERSIONS + 1] = {0};
    printf("# the next line is expected\n");
    CHECK(kill_many('c', 30, versions) > 0);
}

int main(int argc, char **argv) {
    if (!run_install()) return 1;
    if (argc >= 3 && strcmp(argv[1], "child") == 0) return child(argv[2]);
    sim_catch_crashes();
    seed = sim_alloc.seed = sim_vfs.seed = sim_seed();
    if (argc >= 5) {
        const bool is_oom = strcmp(argv[1], "oom") == 0;
        sim_vfs_fault fault = {strtoull(argv[2], NULL, 10), SIM_VFS_ANY, 0, 0, 0};
        every_version_as_it_should_be();
        if (!is_oom && argc >= 7) {
            fault.kind = 0;
            while (fault.kind < SIM_VFS_KINDS &&
                   strcmp(argv[3], sim_vfs_kind_name(fault.kind)) != 0)
                fault.kind++;
            fault.code = atoi(argv[4]);
            fault.cut_writes = (int)(fault.at & 1);
        }
        fault.from_on = strcmp(argv[is_oom ? 3 : 5], "on") == 0;
        if (getenv("SIM_TRACE") != NULL) sim_vfs.trace = stdout;
        return try_run(fault, is_oom, strcmp(argv[is_oom ? 4 : 6], "wal") == 0);
    }
    full = argc >= 2 && strcmp(argv[1], "full") == 0;
    printf("# migrate seed=%llu (SIM_SEED=... repeats it)\n", (unsigned long long)seed);
    RUN(every_version_as_it_should_be);
    if (getenv("MIGRATE_KILLS") == NULL) {
        if (argc < 3 || strcmp(argv[2], "io") == 0) {
            RUN(every_call_wal);
            RUN(every_call_delete);
        }
        if (argc < 3 || strcmp(argv[2], "oom") == 0) RUN(every_allocation);
    }
    RUN(control_half_done_steps_are_seen);
    RUN(killed_anywhere_wal);
    RUN(killed_anywhere_delete);
    return test_end();
}
