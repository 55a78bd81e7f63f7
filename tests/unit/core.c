/*  core.c - white box: odd moments of connections, groups and what is said to be corrupt.
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION

#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>

/*  BEGIN IMMEDIATE gives this code. */
static int begin_code;
static int core_step(sqlite3_stmt *statement) {
    const char *sql = begin_code != 0 ? sqlite3_sql(statement) : NULL;
    return sql != NULL && strncmp(sql, "BEGIN IMMEDIATE", 15) == 0 ? begin_code
                                                                   : sqlite3_step(statement);
}
#define sqlite3_step core_step
#include "sqlpool.h"
#undef sqlite3_step

#include "unit.h"

/*---- what is said to be corrupt ----*/

TEST(verdicts_on_a_file) {
    unit_pool u;
    char verdict[200] = "", magic[17] = "";
    FILE *file;
    PART(unit_begin_row(&u, "verdict.db"));
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &u.error), &u.error);
    CHECK(!sqlpool__ask_if_corrupt(u.core, verdict, sizeof verdict));
    CHECK_STR(verdict, "");
    file = fopen("verdict.db", "rb");
    CHECK(file != NULL && fread(magic, 1, 16, file) == 16);
    CHECK_INT(fclose(file), 0);
    CHECK(unit_overwrite("verdict.db", 0, "no database here", 16));
    CHECK(sqlpool__ask_if_corrupt(u.core, verdict, sizeof verdict));
    CHECK_STR(verdict, "file is not a database (SQLITE_NOTADB 26)");
    CHECK(rename("verdict.db", "verdict.else") == 0); /* what is not there is no proof */
    CHECK(!sqlpool__ask_if_corrupt(u.core, verdict, sizeof verdict));
    CHECK_STR(verdict, "unable to open database file (SQLITE_CANTOPEN 14)");
    CHECK(rename("verdict.else", "verdict.db") == 0);
    file = fopen("verdict.db", "r+b");
    CHECK(file != NULL && fwrite(magic, 1, 16, file) == 16);
    CHECK_INT(fclose(file), 0);
    unit_close(&u);
}

TEST(a_verdict_is_asked_for_seldom) {
    unit_pool u;
    int64_t at;
    PART(unit_begin_row(&u, "seldom.db"));
    CHECK(!sqlpool__is_corrupt(u.core, "SQLite says so"));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_CORRUPT], 1);
    CHECK_STR(u.log.last[SQLPOOL_LOG_CORRUPT],
              "sqlpool: SQLite says so; quick_check of the file: ok: not confirmed, writes go on");
    CHECK(!sqlpool__is_corrupt(u.core, "again"));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_CORRUPT], 1); /* within ten seconds */
    sim_clock_advance(&u.clock, SQLPOOL__CONFIRM_AGAIN_NS);
    CHECK(!sqlpool__is_corrupt(u.core, "later"));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_CORRUPT], 2);
    sim_clock_advance(&u.clock, SQLPOOL__CONFIRM_AGAIN_NS);
    u.core->is_corrupt_busy = true; /* another thread is just asking: what it knew counts so long */
    u.core->is_corrupt = true;
    CHECK(sqlpool__is_corrupt(u.core, "meanwhile"));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_CORRUPT], 2);
    u.core->is_corrupt_busy = u.core->is_corrupt = false;
    at = u.clock.now_ns;
    u.core->corrupt_ns = 0; /* never asked, */
    u.clock.now_ns = 0;     /* and a clock may begin there */
    CHECK(!sqlpool__is_corrupt(u.core, "at zero"));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_CORRUPT], 3);
    CHECK(!sqlpool__is_corrupt(u.core, "at zero again"));
    CHECK_INT(u.log.counts[SQLPOOL_LOG_CORRUPT], 3);
    u.clock.now_ns = at;
    unit_close(&u);
}

/*  However large the file is: writes wait for the answer. */
TEST(damage_is_confirmed_without_reading_on) {
    unit_pool u;
    sqlpool_config c = unit_config(&u, 1);
    char verdict[200] = "";
    sqlite3 *db = NULL;
    int64_t pages, page_bytes, page, spoilt = 0;
    int file;
    c.vfs_name = "sim";
    PART(unit_open_row(&u, "large.db", &c));
    CHECK_OK(unit_script(&u, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT "
                             "500) INSERT INTO t SELECT zeroblob(3000) FROM n"),
             &u.error);
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_TRUNCATE, NULL, &u.error), &u.error);
    CHECK_INT(sqlite3_open("large.db", &db), SQLITE_OK);
    pages = sim_plain_int64(db, "PRAGMA page_count", 0);
    page_bytes = sim_plain_int64(db, "PRAGMA page_size", 0);
    (void)sqlite3_close(db);
    CHECK(pages > 300);
    sim_vfs_arm((sim_vfs_fault){0});
    CHECK(!sqlpool__ask_if_corrupt(u.core, verdict, sizeof verdict));
    CHECK(sim_vfs.kind_calls[SIM_VFS_READ] >= (uint64_t)pages); /* a sound file is read whole */
    file = open("large.db", O_RDWR);
    CHECK(file >= 0);
    for (page = 1; page < pages; page++) { /* every page that holds rows */
        char type = 0;
        CHECK_INT(pread(file, &type, 1, (off_t)(page * page_bytes)), 1);
        if (type != 13) continue;
        CHECK_INT(pwrite(file, "x", 1, (off_t)(page * page_bytes)), 1);
        spoilt++;
    }
    CHECK_INT(close(file), 0);
    CHECK(spoilt > 300);
    sim_vfs_arm((sim_vfs_fault){0});
    CHECK(sqlpool__ask_if_corrupt(u.core, verdict, sizeof verdict));
    CHECK_HAS(verdict, "btreeInitPage() returns error code 11");
    CHECK(sim_vfs.kind_calls[SIM_VFS_READ] < 20);
    unit_close(&u);
}

/*---- connections ----*/

TEST(a_connection_that_the_memory_limit_refuses) {
    unit_pool u;
    sqlpool__slot *slot;
    int64_t held, room;
    bool was_full = false;
    PART(unit_begin_row(&u, "limit.db"));
    slot = &u.core->slots[1];
    if (!sqlpool__take(slot, SQLPOOL__EMPTY)) {
        CHECK(sqlpool__take(slot, SQLPOOL__IDLE));
        sqlpool__close_connection(slot);
    }
    held = SQLPOOL__LOAD_RELAXED(&u.core->memory.held_bytes) +
           SQLPOOL__LOAD_RELAXED(&u.core->memory.outside_bytes);
    for (room = 8; room < 1000000; room += 8) { /* its cache fits exactly, and not a byte more */
        u.core->memory.limit_bytes = held + room;
        sqlpool__error_clear(&u.error);
        if (sqlpool__open_connection(slot, &u.error) == SQLPOOL_OK) break;
        CHECK_INT(u.error.result, SQLPOOL_NOMEM);
        was_full |= strstr(u.error.message, "no connection is opened") != NULL;
        if (slot->db != NULL) sqlpool__close_connection(slot);
    }
    CHECK(was_full);
    CHECK(slot->db != NULL);
    u.core->memory.limit_bytes = 0;
    sqlpool__give_back(slot, sqlpool__lane_of_slot(slot));
    unit_close(&u);
}

TEST(leases_that_end_while_the_file_is_away) {
    unit_pool u;
    sqlpool_conn reader;
    PART(unit_begin_row(&u, "away.db"));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &reader, &u.error), &u.error);
    CHECK_OK(sqlpool_conn_begin(&reader, &u.error), &u.error);
    CHECK(rename("away.db", "away.else") == 0);
    CHECK(sqlpool__note_if_moved(unit_slot(&reader)));
    CHECK(SQLPOOL__LOAD(&u.core->gate) & SQLPOOL__GATE_MOVED);
    CHECK_OK(sqlpool_conn_commit(&reader, &u.error), &u.error); /* nothing was to be written */
    unit_slot(&reader)->is_bad = true;
    CHECK(sqlpool__is_worn(unit_slot(&reader)));
    (void)sqlpool_conn_release(&reader);
    CHECK_INT(u.core->faults[SQLPOOL__FAULT_CONNECTION].count, 0); /* that is known already */
    CHECK(rename("away.else", "away.db") == 0);
    CHECK_OK(sqlpool_recycle(u.pool), &u.error);
    CHECK_INT(unit_ask(&u, "SELECT count(*) FROM t"), 1);
    unit_close(&u);
}

/*---- configurations ----*/

TEST(alerts_below_zero) {
    int field;
    for (field = 0; field < 4; field++) {
        sqlpool_config config = sqlpool_config_default();
        sqlpool_error error;
        sqlpool_alert_limits *limits = &config.alerts[1];
        if (field == 0) limits->notice = -2;
        if (field == 1) limits->warning = -2;
        if (field == 2) limits->critical = -2;
        if (field == 3) limits->for_ms = -1;
        CHECK_INT(sqlpool_config_check(&config, &error), SQLPOOL_CONFIG);
        CHECK_HAS(error.message, "alerts[1], ");
        CHECK_HAS(error.message, " has a value below 0 that is not SQLPOOL_OFF; ");
    }
}

TEST(limits_of_memory) {
    unit_pool u;
    sqlpool_config c = unit_config(&u, 3);
    c.memory_hard_bytes = INT64_C(1) << 40;
    c.memory_soft_bytes = 1; /* everything that can go */
    c.min_connections = 3;
    PART(unit_open_row(&u, "memory.db", &c));
    CHECK_INT(u.core->config.memory_hard_bytes, INT64_C(1) << 40);
    CHECK_INT(u.core->memory.limit_bytes, INT64_C(1) << 40);
    CHECK_INT(sqlpool__open_count(u.core), 3);
    sqlpool__look_at_memory(u.core, u.clock.now_ns);
    CHECK_INT(u.log.counts[SQLPOOL_LOG_MEMORY], 1);
    CHECK_INT(sqlpool__open_count(u.core), 3); /* min_connections stay */
    unit_close(&u);
}

/*---- groups and the lock of another process ----*/

/*  A group of three by hand: a waiting thread's write, a submitted one, one that is answered. */
typedef struct trio {
    sqlpool__group group;
    sqlpool__job jobs[3];
    sqlpool__request requests[3];
    sqlpool_call calls[3];
    sqlpool_error errors[3];
} trio;

static void make_trio(trio *t) {
    int i;
    memset(t, 0, sizeof *t);
    sqlpool__group_init(&t->group, 0, SQLPOOL__NEVER);
    for (i = 0; i < 3; i++) {
        t->requests[i].call = &t->calls[i];
        t->jobs[i].request = &t->requests[i];
        t->jobs[i].error = &t->errors[i];
        t->group.jobs[t->group.count++] = &t->jobs[i];
    }
    t->jobs[1].is_submitted = true;
    t->jobs[1].error = NULL;
    t->jobs[2].is_final = true;
}

TEST(until_when_a_job_waits_for_a_lock) {
    unit_pool u;
    sqlpool_config c = unit_config(&u, 1);
    trio t;
    c.acquire_timeout_ms = 1; /* not yet "never" */
    PART(unit_open_row(&u, "until.db", &c));
    make_trio(&t);
    t.group.lock_since_ns = 1000;
    CHECK(sqlpool__lock_end(u.core, &t.group, &t.jobs[0]) == 1000 + 1 * MS);
    t.calls[0].timeout_ms = SQLPOOL_FOREVER;
    CHECK(sqlpool__lock_end(u.core, &t.group, &t.jobs[0]) == SQLPOOL__NEVER);
    t.requests[0].deadline_ns = 77; /* what was computed from it when it came */
    CHECK(sqlpool__lock_end(u.core, &t.group, &t.jobs[0]) == 77);
    unit_close(&u);
}

TEST(texts_and_blobs_are_what_arguments_weigh) {
    sqlpool_value args[4];
    args[0] = sqlpool_value_int64(7);
    args[1] = sqlpool_value_text("four");
    args[2] = sqlpool_value_blob("more", 3);
    args[3] = sqlpool_value_null(NULL);
    CHECK_INT(sqlpool__args_bytes(args, 4), 7);
    CHECK_INT(sqlpool__args_bytes(args, 2), 4);
    CHECK_INT(sqlpool__args_bytes(NULL, 4), 0);
}

TEST(groups_that_cannot_begin) {
    unit_pool u;
    sqlpool_config c = unit_config(&u, 1);
    sqlpool_conn conn;
    sqlite3 *other = NULL;
    int64_t start;
    trio t;
    c.acquire_timeout_ms = 1000;
    c.statement_timeout_ms = 200;
    PART(unit_open_row(&u, "begin.db", &c));
    CHECK_OK(sqlpool_conn_acquire(u.pool, SQLPOOL_WRITE, &conn, &u.error), &u.error);
    PART(other = unit_other("begin.db", "BEGIN IMMEDIATE"));
    make_trio(&t); /* the first has its own end */
    start = u.clock.now_ns;
    t.requests[0].deadline_ns = start + 50 * MS;
    t.requests[1].deadline_ns = start + 10 * MS;
    CHECK_INT(sqlpool__run_part(unit_slot(&conn), &t.group, 0), 0);
    CHECK(t.jobs[0].is_final && t.errors[0].result == SQLPOOL_TIMEOUT);
    CHECK(!t.jobs[1].is_final); /* whoever runs what is submitted sees to its end */
    CHECK(u.clock.now_ns >= start + 50 * MS);
    CHECK_INT(t.errors[2].result, 0);
    make_trio(&t); /* statement_timeout_ms ends it before anybody's time is up */
    t.requests[0].deadline_ns = SQLPOOL__NEVER;
    unit_slot(&conn)->lease_deadline_ns = u.clock.now_ns + 20 * MS;
    CHECK_INT(sqlpool__run_part(unit_slot(&conn), &t.group, 0), 0);
    CHECK(t.jobs[0].is_final && t.errors[0].result == SQLPOOL_TIMEOUT);
    CHECK(!t.jobs[1].is_final);
    unit_slot(&conn)->lease_deadline_ns = SQLPOOL__NEVER;
    make_trio(&t); /* what may be tried again is, one by one */
    begin_code = SQLITE_BUSY_SNAPSHOT;
    CHECK_INT(sqlpool__run_part(unit_slot(&conn), &t.group, 0), 0);
    CHECK(!t.jobs[0].is_final && !t.jobs[1].is_final);
    CHECK_INT(t.group.undone, SQLPOOL__UNDONE_MOST);
    begin_code = SQLITE_FULL;
    CHECK_INT(sqlpool__run_part(unit_slot(&conn), &t.group, 0), 3);
    CHECK(t.jobs[0].is_final && t.errors[0].result == SQLITE_FULL);
    CHECK(t.jobs[1].is_final && t.jobs[1].result == SQLITE_FULL);
    CHECK_INT(t.errors[2].result, 0);
    sqlpool__free(&u.core->memory, t.jobs[1].error, sizeof *t.jobs[1].error);
    begin_code = 0;
    (void)sqlite3_close(other);
    (void)sqlpool_conn_release(&conn);
    unit_close(&u);
}

int main(void) {
    if (sim_vfs_install() != SQLITE_OK) return 2;
    RUN(verdicts_on_a_file);
    RUN(a_verdict_is_asked_for_seldom);
    RUN(damage_is_confirmed_without_reading_on);
    RUN(a_connection_that_the_memory_limit_refuses);
    RUN(leases_that_end_while_the_file_is_away);
    RUN(alerts_below_zero);
    RUN(limits_of_memory);
    RUN(until_when_a_job_waits_for_a_lock);
    RUN(texts_and_blobs_are_what_arguments_weigh);
    RUN(groups_that_cannot_begin);
    return test_end();
}
