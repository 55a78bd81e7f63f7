/*  statements.c - white box: the cache of statements, binding, clean return (I12, I13).
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "unit.h"

/*  A pool with one lease on its writer, whose slot is what the tests look into. */
typedef struct held {
    unit_pool u;
    sqlpool_conn conn;
    sqlpool__slot *slot;
} held;

static void hold(held *h, const char *path, const sqlpool_config *config) {
    PART(unit_open(&h->u, path, config));
    CHECK_OK(sqlpool_conn_acquire(h->u.pool, SQLPOOL_WRITE, &h->conn, &h->u.error), &h->u.error);
    h->slot = unit_slot(&h->conn);
}
static void hold_plain(held *h, const char *path) {
    const sqlpool_config config = unit_config(&h->u, 1);
    hold(h, path, &config);
}
static void let_go(held *h) {
    CHECK_INT(sqlpool_conn_release(&h->conn), SQLPOOL_OK);
    unit_close(&h->u);
}

/*  What must hold between calls: counts, sums, lists, buckets and memo tell the same story. */
static bool cache_is_sane(const sqlpool__slot *slot) {
    const sqlpool__link *link;
    uint32_t i;
    int free_count = 0, out_cached = 0, in_buckets = 0;
    int64_t bytes = 0;
    for (link = slot->recent.next; link != &slot->recent; link = link->next) {
        const sqlpool__stmt *stmt = (const sqlpool__stmt *)(const void *)link;
        if (!stmt->is_cached || stmt->is_in_use) return false;
        free_count++;
        bytes += (int64_t)stmt->charge_bytes;
    }
    for (link = slot->in_use.next; link != &slot->in_use; link = link->next) {
        const sqlpool__stmt *stmt = (const sqlpool__stmt *)(const void *)link;
        if (!stmt->is_in_use) return false;
        if (!stmt->is_cached) continue;
        out_cached++;
        bytes += (int64_t)stmt->charge_bytes;
    }
    for (i = 0; i < slot->bucket_count; i++) {
        const sqlpool__stmt *stmt = slot->buckets[i];
        for (; stmt != NULL; stmt = stmt->next_in_bucket) {
            in_buckets++;
            if (!stmt->is_cached || (stmt->hash & (slot->bucket_count - 1)) != i) return false;
        }
    }
    for (i = 0; i < SQLPOOL__MEMO_SIZE; i++) {
        const sqlpool__stmt *stmt = slot->memo[i].stmt;
        if (stmt != NULL && (stmt->memo != i || !stmt->is_cached)) return false;
    }
    return in_buckets == slot->cached_count && free_count + out_cached == slot->cached_count &&
           bytes == slot->cached_bytes;
}

static sqlpool__stmt *get(held *h, const char *sql) {
    sqlpool__stmt *stmt = NULL;
    if (sqlpool__stmt_get(h->slot, sql, &stmt, &h->u.error) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", sql, h->u.error.message);
    return stmt;
}
static uint64_t hits(const held *h) {
    return h->slot->counters[SQLPOOL__COUNT_cache_hits];
}
static uint64_t misses(const held *h) {
    return h->slot->counters[SQLPOOL__COUNT_cache_misses];
}
static uint64_t evictions(const held *h) {
    return h->slot->counters[SQLPOOL__COUNT_cache_evictions];
}

TEST(same_text_same_statement) {
    held h;
    static const char first[] = "SELECT 1 + ?";
    char other[sizeof first];
    sqlpool__stmt *a, *b;
    uint64_t serial;
    memcpy(other, first, sizeof first);
    PART(hold_plain(&h, ":memory:"));
    a = get(&h, first);
    CHECK(a != NULL && a->is_cached && a->is_in_use && a->is_read_only);
    CHECK_INT(a->parameter_count, 1);
    CHECK_INT(a->column_count, 1);
    CHECK_STR(h.slot->sql, first);
    CHECK(h.slot->sql != first); /* a copy: the caller's text may go */
    CHECK(h.slot->memo[sqlpool__memo_index(first)].stmt == a);
    CHECK_INT(misses(&h), 1);
    serial = a->serial;
    sqlpool__stmt_put(h.slot, a);
    CHECK(a->serial != serial && !a->is_in_use);
    CHECK(get(&h, first) == a); /* by address */
    CHECK_INT(hits(&h), 1);
    sqlpool__stmt_put(h.slot, a);
    b = get(&h, other); /* by hash; now this address leads there, and the old one does not */
    CHECK(b == a);
    CHECK_INT(hits(&h), 2);
    CHECK_INT(misses(&h), 1);
    CHECK(h.slot->memo[sqlpool__memo_index(other)].stmt == a);
    CHECK(sqlpool__memo_index(first) == sqlpool__memo_index(other) ||
          h.slot->memo[sqlpool__memo_index(first)].stmt == NULL);
    sqlpool__stmt_put(h.slot, b);
    CHECK(cache_is_sane(h.slot));
    memcpy(other, "SELECT 2 + ?", sizeof first); /* the same address with another text */
    b = get(&h, other);
    CHECK(b != a);
    CHECK_STR(b->sql, "SELECT 2 + ?");
    CHECK_INT(misses(&h), 2);
    sqlpool__stmt_put(h.slot, b);
    memcpy(other, "SELECT 2 +  ?", sizeof first - 1); /* not terminated where it was */
    other[sizeof other - 1] = '\0';
    CHECK(cache_is_sane(h.slot));
    let_go(&h);
}

TEST(handed_out_is_not_shared) {
    held h;
    static const char sql[] = "SELECT 10";
    sqlpool__stmt *a, *b, *c;
    PART(hold_plain(&h, ":memory:"));
    a = get(&h, sql);
    b = get(&h, sql);
    c = get(&h, sql);
    CHECK(a != b && b != c && a != c && a->handle != b->handle);
    CHECK(a->is_cached && !b->is_cached && !c->is_cached);
    CHECK_INT(h.slot->cached_count, 1);
    CHECK(cache_is_sane(h.slot));
    sqlpool__stmt_put(h.slot, a);
    CHECK(get(&h, sql) == a); /* free again: found, though uncached twins are out */
    sqlpool__stmt_put(h.slot, b);
    sqlpool__stmt_put(h.slot, c);
    sqlpool__stmt_put(h.slot, a);
    CHECK_INT(h.slot->cached_count, 1);
    CHECK(cache_is_sane(h.slot));
    let_go(&h);
}

/*  A table of 16 buckets and one bucket: chains, and equal hashes with different texts. */
TEST(collisions) {
    held h;
    sqlpool_config config = unit_config(&h.u, 1);
    sqlpool__stmt *all[12], *found;
    int i, k;
    config.statement_cache_count = 16;
    PART(hold(&h, ":memory:", &config));
    CHECK_INT(h.slot->bucket_count, 16);
    for (i = 0; i < 12; i++) { /* all in bucket 5: found by text, whatever the hash says */
        char sql[32];
        (void)snprintf(sql, sizeof sql, "SELECT %d", 100 + i);
        CHECK_INT(sqlpool__stmt_create(h.slot, sql, strlen(sql), i < 6 ? 0x15 : 0x25, &all[i],
                                       &h.u.error),
                  SQLPOOL_OK);
    }
    /* same hash, same length: the second is taken for the first being out, and not cached */
    CHECK(all[0]->is_cached && all[6]->is_cached);
    for (i = 0; i < 12; i++) CHECK_INT(all[i]->is_cached, i == 0 || i == 6);
    for (i = 0; i < 12; i++) sqlpool__stmt_put(h.slot, all[i]);
    CHECK_INT(h.slot->cached_count, 2);
    CHECK(cache_is_sane(h.slot));
    for (i = 0; i < 9; i++) { /* same bucket, same hash, different lengths: all cached */
        char sql[64] = "SELECT ";
        for (k = 0; k <= i + 3; k++) sql[7 + k] = '1';
        sql[7 + k] = '\0';
        CHECK_INT(sqlpool__stmt_create(h.slot, sql, strlen(sql), 0x15, &all[i], &h.u.error),
                  SQLPOOL_OK);
        CHECK(all[i]->is_cached);
        sqlpool__stmt_put(h.slot, all[i]);
        found = sqlpool__stmt_find(h.slot, sql, strlen(sql), 0x15);
        CHECK(found == all[i]);
        CHECK(sqlpool__stmt_find(h.slot, sql, strlen(sql), 0x25) == NULL);
        sql[7] = '2';
        CHECK(sqlpool__stmt_find(h.slot, sql, strlen(sql), 0x15) == NULL);
    }
    CHECK(cache_is_sane(h.slot));
    for (i = 0; i < 9; i += 2) { /* out of the middle of the chain */
        sqlpool__stmt_destroy(h.slot, all[i]);
        CHECK(cache_is_sane(h.slot));
    }
    let_go(&h);
}

TEST(eviction_by_count) {
    held h;
    sqlpool_config config = unit_config(&h.u, 1);
    static const char *const sql[] = {"SELECT 1", "SELECT 2", "SELECT 3", "SELECT 4", "SELECT 5"};
    sqlpool__stmt *stmt, *kept[5];
    int i;
    config.statement_cache_count = 3;
    PART(hold(&h, ":memory:", &config));
    for (i = 0; i < 3; i++) sqlpool__stmt_put(h.slot, get(&h, sql[i]));
    CHECK_INT(h.slot->cached_count, 3);
    sqlpool__stmt_put(h.slot, get(&h, sql[0])); /* used again: the least recent is the second */
    sqlpool__stmt_put(h.slot, get(&h, sql[3]));
    CHECK_INT(h.slot->cached_count, 3);
    CHECK_INT(evictions(&h), 1);
    stmt = h.slot->memo[sqlpool__memo_index(sql[1])].stmt; /* another text may have the same place */
    CHECK(stmt == NULL || strcmp(stmt->sql, sql[1]) != 0); /* its memo went with it */
    CHECK(cache_is_sane(h.slot));
    CHECK_INT(misses(&h), 4);
    sqlpool__stmt_put(h.slot, get(&h, sql[0]));
    sqlpool__stmt_put(h.slot, get(&h, sql[2]));
    sqlpool__stmt_put(h.slot, get(&h, sql[3]));
    CHECK_INT(misses(&h), 4);
    sqlpool__stmt_put(h.slot, get(&h, sql[1]));
    CHECK_INT(misses(&h), 5);
    /* what is handed out is never thrown away: the cache is over its bound meanwhile */
    for (i = 0; i < 5; i++) kept[i] = get(&h, sql[i]);
    CHECK_INT(h.slot->cached_count, 5);
    for (i = 0; i < 5; i++) CHECK_INT(sqlite3_step(kept[i]->handle), SQLITE_ROW);
    for (i = 0; i < 5; i++) {
        CHECK_INT(sqlite3_column_int(kept[i]->handle, 0), i + 1);
        sqlpool__stmt_put(h.slot, kept[i]);
        CHECK(cache_is_sane(h.slot));
    }
    CHECK_INT(h.slot->cached_count, 3);
    stmt = get(&h, sql[4]);
    CHECK(stmt == kept[4]); /* came back last, stayed */
    sqlpool__stmt_put(h.slot, stmt);
    let_go(&h);
}

TEST(eviction_by_bytes) {
    held h;
    static const char *const sql[] = {"SELECT 1", "SELECT 2", "SELECT 3"};
    static char big[20000];
    sqlpool__stmt *stmt;
    int64_t charge;
    PART(hold_plain(&h, ":memory:"));
    stmt = get(&h, sql[0]);
    charge = (int64_t)stmt->charge_bytes;
    CHECK_INT(stmt->block_bytes, sizeof *stmt + strlen(sql[0]) + 1);
    CHECK(charge > (int64_t)stmt->block_bytes);
    sqlpool__stmt_put(h.slot, stmt);
    h.u.core->config.statement_cache_bytes = charge * 2;
    sqlpool__stmt_put(h.slot, get(&h, sql[1]));
    CHECK_INT(h.slot->cached_count, 2); /* exactly at the bound */
    CHECK_INT(h.slot->cached_bytes, charge * 2);
    sqlpool__stmt_put(h.slot, get(&h, sql[2]));
    CHECK_INT(h.slot->cached_count, 2);
    CHECK_INT(evictions(&h), 1);
    CHECK(cache_is_sane(h.slot));
    /* larger than the whole bound: runs, is not cached, and throws nothing out */
    memcpy(big, "SELECT '", 8);
    memset(big + 8, 'x', sizeof big - 10);
    big[sizeof big - 2] = '\'';
    big[sizeof big - 1] = '\0';
    stmt = get(&h, big);
    CHECK(stmt != NULL && !stmt->is_cached);
    CHECK(stmt->memo == SQLPOOL__MEMO_SIZE);
    CHECK_INT(sqlite3_step(stmt->handle), SQLITE_ROW);
    sqlpool__stmt_put(h.slot, stmt);
    CHECK_INT(h.slot->cached_count, 2);
    CHECK_INT(evictions(&h), 1);
    CHECK(cache_is_sane(h.slot));
    let_go(&h);
}

/*  Bytes above the bound while statements are out must come down when they come back. */
TEST(bytes_come_down_at_return) {
    held h;
    static const char *const sql[] = {"SELECT 1", "SELECT 2", "SELECT 3"};
    sqlpool__stmt *out[3];
    int i;
    PART(hold_plain(&h, ":memory:"));
    out[0] = get(&h, sql[0]);
    h.u.core->config.statement_cache_bytes = (int64_t)out[0]->charge_bytes;
    for (i = 1; i < 3; i++) out[i] = get(&h, sql[i]);
    CHECK_INT(h.slot->cached_count, 3);
    for (i = 0; i < 3; i++) sqlpool__stmt_put(h.slot, out[i]);
    CHECK(cache_is_sane(h.slot));
    CHECK(h.slot->cached_bytes <= h.u.core->config.statement_cache_bytes);
    let_go(&h);
}

/*  Many texts at few addresses and many addresses for few texts: a walk that a model checks. */
TEST(cache_random_walk) {
    held h;
    sqlpool_config config = unit_config(&h.u, 1);
    static char texts[40][32];
    char moving[32];
    sqlpool__stmt *out[6] = {NULL};
    int round;
    uint64_t state = 99;
    config.statement_cache_count = 8;
    PART(hold(&h, ":memory:", &config));
    for (round = 0; round < 40; round++)
        (void)snprintf(texts[round], sizeof texts[0], "SELECT %d", round % 20);
    for (round = 0; round < 6000; round++) {
        const uint64_t dice = sqlpool__default_random(&state);
        const size_t place = (size_t)(dice >> 8) % LENGTH(out);
        if (out[place] != NULL) {
            CHECK_INT(sqlite3_step(out[place]->handle), SQLITE_ROW);
            sqlpool__stmt_put(h.slot, out[place]);
            out[place] = NULL;
        } else {
            const size_t which = (size_t)(dice >> 20) % 40;
            const char *sql = texts[which];
            if (dice % 3 == 0) {
                memcpy(moving, sql, sizeof moving);
                sql = moving;
            }
            out[place] = get(&h, sql);
            CHECK(out[place] != NULL);
            CHECK_STR(out[place]->sql, texts[which]);
            CHECK_STR(sqlite3_sql(out[place]->handle), texts[which]);
            CHECK(!sqlite3_stmt_busy(out[place]->handle));
        }
        if (!cache_is_sane(h.slot)) {
            test_fail(__FILE__, __LINE__, "round %d", round);
            return;
        }
        CHECK(h.slot->cached_count <= 8 + 6);
    }
    for (round = 0; round < 6; round++)
        if (out[round] != NULL) sqlpool__stmt_put(h.slot, out[round]);
    CHECK(h.slot->cached_count <= 8);
    CHECK(hits(&h) > 500 && misses(&h) > 100);
    let_go(&h);
}

TEST(arena_and_binding) {
    held h;
    sqlpool__stmt *stmt, *other;
    char text[SQLPOOL__ARENA_BYTES + 8];
    sqlpool_value values[3];
    PART(hold_plain(&h, ":memory:"));
    memset(text, 'a', sizeof text);
    stmt = get(&h, "SELECT ?, ?, ?");
    values[0] = sqlpool_value_text_n(text, SQLPOOL__ARENA_BYTES);
    values[1] = sqlpool_value_text_n(text, 1); /* no room left: SQLite copies */
    values[2] = sqlpool_value_blob(NULL, 0);
    CHECK_INT(sqlpool__bind(h.slot, stmt, values, 3, true, &h.u.error), SQLPOOL_OK);
    CHECK_INT(h.slot->arena_used, SQLPOOL__ARENA_BYTES);
    memset(text, 'b', sizeof text); /* the copies stay */
    CHECK_INT(sqlite3_step(stmt->handle), SQLITE_ROW);
    CHECK_INT(sqlite3_column_bytes(stmt->handle, 0), (int)SQLPOOL__ARENA_BYTES);
    CHECK_INT(*(const char *)sqlite3_column_text(stmt->handle, 0), 'a');
    CHECK_INT(*(const char *)sqlite3_column_text(stmt->handle, 1), 'a');
    CHECK_INT(sqlite3_column_type(stmt->handle, 2), SQLITE_BLOB);
    other = get(&h, "SELECT 1");
    sqlpool__stmt_put(h.slot, other);
    CHECK_INT(h.slot->arena_used, SQLPOOL__ARENA_BYTES); /* someone still uses it */
    sqlpool__stmt_put(h.slot, stmt);
    CHECK_INT(h.slot->arena_used, 0);
    CHECK(sqlpool__arena_copy(h.slot, text, SQLPOOL__ARENA_BYTES + 1) == NULL);
    CHECK(sqlpool__arena_copy(h.slot, text, SQLPOOL__ARENA_BYTES) != NULL);
    h.slot->arena_used = 0;
    /* bindings are gone when the statement comes back */
    stmt = get(&h, "SELECT ?, ?, ?");
    CHECK_INT(sqlite3_step(stmt->handle), SQLITE_ROW);
    CHECK_INT(sqlite3_column_type(stmt->handle, 0), SQLITE_NULL);
    CHECK_INT(sqlpool__bind(h.slot, stmt, values, 2, false, &h.u.error), SQLPOOL_ARGUMENTS);
    CHECK_INT(sqlpool__bind(h.slot, stmt, NULL, 3, false, &h.u.error), SQLPOOL_ARGUMENTS);
    CHECK_INT(sqlpool__bind(h.slot, stmt, NULL, -1, false, &h.u.error), SQLPOOL_ARGUMENTS);
    (void)sqlite3_reset(stmt->handle);
    values[1].type = -1;
    CHECK_INT(sqlpool__bind(h.slot, stmt, values, 3, false, &h.u.error), SQLPOOL_ARGUMENTS);
    values[1].type = SQLPOOL_TYPE_INVALID;
    CHECK_INT(sqlpool__bind(h.slot, stmt, values, 3, false, &h.u.error), SQLPOOL_ARGUMENTS);
    values[1] = sqlpool_value_blob(text, 3);
    values[1].as.blob = NULL;
    CHECK_INT(sqlpool__bind(h.slot, stmt, values, 3, false, &h.u.error), SQLPOOL_ARGUMENTS);
    CHECK_HAS(h.u.error.message, "argument 2");
    values[1] = sqlpool_value_text_n(text, (size_t)2 << 30); /* above SQLite's bound */
    CHECK_INT(sqlpool__bind(h.slot, stmt, values, 3, false, &h.u.error), SQLITE_TOOBIG);
    sqlpool__stmt_put(h.slot, stmt);
    let_go(&h);
}

TEST(prepare_refuses_long_text) {
    held h;
    sqlpool_config config = unit_config(&h.u, 1);
    static char sql[100002];
    sqlpool__stmt *stmt;
    config.untrusted = true;
    memset(sql, ' ', sizeof sql - 1);
    memcpy(sql, "SELECT 1", 8);
    PART(hold(&h, ":memory:", &config));
    CHECK_INT(sqlpool__stmt_get(h.slot, sql, &stmt, &h.u.error), SQLITE_TOOBIG);
    CHECK_HAS(h.u.error.message, "100001 bytes, the limit is 100000");
    sql[100000] = '\0';
    CHECK_OK(sqlpool__stmt_get(h.slot, sql, &stmt, &h.u.error), &h.u.error);
    sqlpool__stmt_put(h.slot, stmt);
    let_go(&h);
}

TEST(empty_and_trailing) {
    held h;
    const sqlpool_config config = unit_config(&h.u, 1);
    sqlpool__stmt *stmt = (sqlpool__stmt *)&h;
    PART(hold(&h, ":memory:", &config));
    CHECK_INT(sqlpool__stmt_get(h.slot, "", &stmt, &h.u.error), SQLPOOL_EMPTY);
    CHECK(stmt == NULL);
    CHECK_INT(sqlpool__stmt_get(h.slot, " -- x", &stmt, &h.u.error), SQLPOOL_EMPTY);
    CHECK_INT(sqlpool__stmt_get(h.slot, ";;", &stmt, &h.u.error), SQLPOOL_EMPTY);
    CHECK_INT(sqlpool__stmt_get(h.slot, "SELECT 1;; SELECT 2", &stmt, &h.u.error),
              SQLPOOL_TRAILING);
    CHECK_INT(h.u.error.sql_offset, 11);
    CHECK_OK(sqlpool__stmt_get(h.slot, "SELECT 1;; -- 2", &stmt, &h.u.error), &h.u.error);
    sqlpool__stmt_put(h.slot, stmt);
    CHECK_INT(h.slot->cached_count, 1);
    CHECK(sqlite3_next_stmt(h.slot->db, NULL) != NULL);
    let_go(&h);
}

/*  No memory at each of the allocations of a statement and of a connection. */
TEST(no_memory_for_statements) {
    held h;
    sqlpool__stmt *stmt;
    PART(hold_plain(&h, ":memory:"));
    sim_alloc_fail(1, 0);
    CHECK_INT(sqlpool__stmt_get(h.slot, "SELECT 3", &stmt, &h.u.error), SQLPOOL_NOMEM);
    CHECK_INT(h.slot->cached_count, 0);
    CHECK(cache_is_sane(h.slot));
    sim_alloc_heal();
    sqlpool__stmt_put(h.slot, get(&h, "SELECT 3"));
    let_go(&h);
}

TEST(published_text_goes_with_its_statement) {
    held h;
    sqlpool__stmt *stmt;
    PART(hold_plain(&h, ":memory:"));
    stmt = get(&h, "SELECT 4");
    CHECK(h.slot->sql == stmt->sql);
    sqlpool__stmt_put(h.slot, stmt);
    CHECK(h.slot->sql == stmt->sql); /* what ran last */
    sqlpool__stmt_destroy(h.slot, stmt);
    CHECK(h.slot->sql == NULL);
    CHECK_INT(h.slot->cached_count, 0);
    let_go(&h);
}

/*---- I13 ----*/

static int connect_result;
static bool connect_begins;
static int on_connect(void *user, const sqlpool_conn *conn) {
    (void)user;
    if (connect_begins) {
        sqlpool_conn lease = *conn;
        (void)sqlite3_exec(sqlpool_conn_db(&lease), "BEGIN", NULL, NULL, NULL);
    }
    return connect_result;
}

TEST(connect_hook_that_fails) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 1);
    config.events.connect_fn = on_connect;
    connect_result = SQLITE_PERM;
    CHECK_INT(sqlpool_open(&u.pool, ":memory:", &config, &u.error), SQLITE_PERM);
    CHECK_HAS(u.error.message, "SQLite says");
    connect_result = SQLPOOL_NOT_FOUND;
    CHECK_INT(sqlpool_open(&u.pool, ":memory:", &config, &u.error), SQLPOOL_NOT_FOUND);
    connect_result = 0;
    connect_begins = true;
    CHECK_INT(sqlpool_open(&u.pool, ":memory:", &config, &u.error), SQLPOOL_UNCLEAN);
    CHECK_HAS(u.error.message, "left a transaction open");
    connect_begins = false;
    CHECK_INT(sim_alloc.live_blocks[SIM_DOOR_LIBRARY], 0);
    CHECK_INT(u.locks.live_mutexes + u.locks.live_conditions, 0);
}

TEST(warm_up_fits_the_connection) {
    unit_pool u;
    sqlpool_config config = unit_config(&u, 2);
    static const char *const warm[] = {"SELECT 1", "INSERT INTO none VALUES(1)", "SELECT * FROM none",
                                       NULL, "BEGIN", "PRAGMA user_version=4"};
    sqlpool__slot *slot;
    config.min_connections = 2;
    config.warmup_sql = warm;
    config.warmup_count = 6;
    PART(unit_open(&u, "warm.db", &config));
    slot = &u.core->slots[0]; /* the writer: the write that fits */
    CHECK_INT(slot->cached_count, 1);
    CHECK(sqlpool__stmt_find(slot, warm[5], strlen(warm[5]),
                             sqlpool__hash(warm[5], strlen(warm[5]))) != NULL);
    slot = &u.core->slots[1];
    CHECK_INT(slot->cached_count, 1);
    CHECK(sqlpool__stmt_find(slot, warm[0], strlen(warm[0]),
                             sqlpool__hash(warm[0], strlen(warm[0]))) != NULL);
    CHECK_OK(unit_script(&u, "CREATE TABLE x(a); INSERT INTO x VALUES(1)"), &u.error);
    CHECK_OK(sqlpool_checkpoint(u.pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &u.error), &u.error);
    CHECK_INT(u.core->checkpointer->cached_count, 0); /* it runs no statements */
    unit_close(&u);
    config = unit_config(&u, 1);
    config.topology = SQLPOOL_TOPOLOGY_GENERAL;
    config.warmup_sql = warm;
    config.warmup_count = 6;
    PART(unit_open(&u, "warm2.db", &config));
    CHECK_INT(u.core->slots[0].cached_count, 2);
    unit_close(&u);
}

/*  What the raw handle can leave behind, one thing after the other. */
TEST(raw_handle_leaves_nothing) {
    static const struct {
        const char *sql; /* run on the raw handle; NULL: see below */
        const char *found;
        bool replaced;
    } table[] = {{"PRAGMA cache_size=77", "changed the connection", true},
                 {"CREATE TEMP TABLE tt(a)", "changed the connection", true},
                 {"ATTACH ':memory:' AS other", "changed the connection", true},
                 {"BEGIN; INSERT INTO t VALUES(1)", "rolled back", false},
                 {"SAVEPOINT s", "rolled back", false},
                 {"SELECT 1", NULL, false}};
    held h;
    const sqlpool_config config = unit_config(&h.u, 1);
    size_t i;
    PART(unit_open(&h.u, "raw.db", &config));
    CHECK_OK(sqlpool_script(h.u.pool, "CREATE TABLE t(a)", -1, &h.u.error), &h.u.error);
    for (i = 0; i < LENGTH(table); i++) {
        sqlite3 *db;
        uint64_t opens;
        CHECK_OK(sqlpool_conn_acquire(h.u.pool, SQLPOOL_WRITE, &h.conn, &h.u.error), &h.u.error);
        opens = h.u.core->counters[SQLPOOL__COUNT_opens];
        h.slot = unit_slot(&h.conn);
        db = sqlpool_conn_db(&h.conn);
        CHECK(db != NULL);
        CHECK_INT(sqlite3_exec(db, table[i].sql, NULL, NULL, NULL), SQLITE_OK);
        h.u.log.last[SQLPOOL_LOG_UNCLEAN][0] = '\0';
        CHECK_INT(sqlpool_conn_release(&h.conn),
                  table[i].found != NULL ? SQLPOOL_UNCLEAN : SQLPOOL_OK);
        if (table[i].found != NULL)
            CHECK_HAS(h.u.log.last[SQLPOOL_LOG_UNCLEAN], table[i].found);
        CHECK_OK(sqlpool_conn_acquire(h.u.pool, SQLPOOL_WRITE, &h.conn, &h.u.error), &h.u.error);
        CHECK_INT(h.u.core->counters[SQLPOOL__COUNT_opens] - opens, table[i].replaced);
        CHECK_INT(sqlite3_get_autocommit(unit_slot(&h.conn)->db), 1);
        CHECK_INT(sqlpool_conn_release(&h.conn), SQLPOOL_OK);
    }
    unit_close(&h.u);
}

static int no_busy(void *user, int count) {
    (void)user, (void)count;
    return 0;
}
static int always_ok(void *user, int action, const char *a, const char *b, const char *d,
                     const char *t) {
    (void)user, (void)action, (void)a, (void)b, (void)d, (void)t;
    return SQLITE_OK;
}
static int deny_all(void *user, int action, const char *a, const char *b, const char *d,
                    const char *t) {
    (void)user, (void)action, (void)a, (void)b, (void)d, (void)t;
    return SQLITE_DENY;
}
static int no_commit(void *user) {
    (void)user;
    return 0;
}

/*  Handlers of the caller: put back; a connection whose authorizer went is not used again. */
TEST(raw_handle_handlers) {
    held h;
    sqlite3_stmt *left = NULL;
    sqlite3_blob *blob = NULL;
    sqlite3 *db;
    PART(hold_plain(&h, "handlers.db"));
    CHECK_OK(sqlpool_conn_script(&h.conn, "CREATE TABLE t(a); INSERT INTO t VALUES(x'0102')", -1,
                                 &h.u.error),
             &h.u.error);
    db = sqlpool_conn_db(&h.conn);
    (void)sqlite3_busy_handler(db, no_busy, NULL);
    (void)sqlite3_commit_hook(db, no_commit, NULL);
    CHECK_INT(sqlpool_conn_release(&h.conn), SQLPOOL_UNCLEAN);
    CHECK_HAS(h.u.log.last[SQLPOOL_LOG_UNCLEAN], "a hook was replaced");
    CHECK(h.slot->db == db);
    CHECK(sqlite3_commit_hook(db, sqlpool__on_commit, h.slot) == (void *)h.slot); /* ours again */

    CHECK_OK(sqlpool_conn_acquire(h.u.pool, SQLPOOL_WRITE, &h.conn, &h.u.error), &h.u.error);
    (void)sqlite3_set_authorizer(sqlpool_conn_db(&h.conn), always_ok, NULL);
    CHECK_INT(sqlpool_conn_release(&h.conn), SQLPOOL_UNCLEAN);
    CHECK_HAS(h.u.log.last[SQLPOOL_LOG_UNCLEAN], "the authorizer was replaced");
    CHECK(h.slot->db == NULL);

    CHECK_OK(sqlpool_conn_acquire(h.u.pool, SQLPOOL_WRITE, &h.conn, &h.u.error), &h.u.error);
    (void)sqlite3_set_authorizer(sqlpool_conn_db(&h.conn), deny_all, NULL);
    CHECK_INT(h.slot->counters[SQLPOOL__COUNT_closed_bad], 1);
    (void)sqlpool_conn_release(&h.conn);
    CHECK_INT(h.slot->counters[SQLPOOL__COUNT_closed_bad], 2); /* cannot tell: replaced */
    CHECK(h.slot->db == NULL);

    CHECK_OK(sqlpool_conn_acquire(h.u.pool, SQLPOOL_WRITE, &h.conn, &h.u.error), &h.u.error);
    CHECK_INT(sqlite3_prepare_v2(sqlpool_conn_db(&h.conn), "SELECT a FROM t", -1, &left, NULL), 0);
    CHECK_INT(sqlite3_step(left), SQLITE_ROW);
    CHECK_INT(sqlpool_conn_release(&h.conn), SQLPOOL_UNCLEAN);
    CHECK_HAS(h.u.log.last[SQLPOOL_LOG_UNCLEAN], "SELECT a FROM t");
    CHECK(!sqlite3_stmt_busy(left)); /* it pins nothing */
    CHECK(h.slot->db == NULL);
    (void)sqlite3_finalize(left);

    CHECK_OK(sqlpool_conn_acquire(h.u.pool, SQLPOOL_WRITE, &h.conn, &h.u.error), &h.u.error);
    CHECK_INT(sqlite3_blob_open(sqlpool_conn_db(&h.conn), "main", "t", "a", 1, 0, &blob), 0);
    CHECK_INT(sqlpool_conn_release(&h.conn), SQLPOOL_UNCLEAN);
    CHECK_HAS(h.u.log.last[SQLPOOL_LOG_UNCLEAN], "a blob");
    CHECK(h.slot->db == NULL);
    CHECK_INT(sqlite3_blob_close(blob), SQLITE_OK);
    unit_close(&h.u);
}

static int chained_rollbacks, chained_updates, chained_wals;
static void on_chained_rollback(void *user) {
    (void)user;
    chained_rollbacks++;
}
static void on_chained_update(void *user, int action, const char *database, const char *table,
                              int64_t rowid) {
    (void)user, (void)action, (void)database, (void)table, (void)rowid;
    chained_updates++;
}
static int on_chained_wal(void *user, sqlite3 *db, const char *database, int frames) {
    (void)user, (void)db, (void)database, (void)frames;
    chained_wals++;
    return SQLITE_OK;
}

TEST(lease_chain_ends_with_the_lease) {
    held h;
    sqlpool_chain chain;
    memset(&chain, 0, sizeof chain);
    chain.rollback_fn = on_chained_rollback;
    chain.update_fn = on_chained_update;
    chain.wal_fn = on_chained_wal;
    PART(hold_plain(&h, "chain.db"));
    CHECK_OK(sqlpool_conn_script(&h.conn, "CREATE TABLE t(a)", -1, &h.u.error), &h.u.error);
    CHECK_INT(sqlpool_conn_chain(&h.conn, &chain), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_begin(&h.conn, &h.u.error), &h.u.error);
    CHECK_OK(sqlpool_conn_exec(&h.conn, "INSERT INTO t VALUES(1)", SQLPOOL_NO_ARGS, NULL,
                               &h.u.error),
             &h.u.error);
    CHECK_OK(sqlpool_conn_rollback(&h.conn, &h.u.error), &h.u.error);
    CHECK_OK(sqlpool_conn_exec(&h.conn, "INSERT INTO t VALUES(2)", SQLPOOL_NO_ARGS, NULL,
                               &h.u.error),
             &h.u.error);
    CHECK_INT(chained_rollbacks, 1);
    CHECK_INT(chained_updates, 2);
    CHECK_INT(chained_wals, 1);
    CHECK_INT(sqlpool_conn_release(&h.conn), SQLPOOL_OK); /* nothing was unclean */
    CHECK_OK(sqlpool_exec(h.u.pool, "INSERT INTO t VALUES(3)", SQLPOOL_NO_ARGS, &h.u.error),
             &h.u.error);
    CHECK_INT(chained_updates, 2);
    CHECK_INT(chained_wals, 1);
    CHECK_OK(sqlpool_conn_acquire(h.u.pool, SQLPOOL_WRITE, &h.conn, &h.u.error), &h.u.error);
    CHECK_INT(sqlpool_conn_chain(&h.conn, NULL), SQLPOOL_OK);
    let_go(&h);
}

int main(void) {
    RUN(same_text_same_statement);
    RUN(handed_out_is_not_shared);
    RUN(collisions);
    RUN(eviction_by_count);
    RUN(eviction_by_bytes);
    RUN(bytes_come_down_at_return);
    RUN(cache_random_walk);
    RUN(arena_and_binding);
    RUN(prepare_refuses_long_text);
    RUN(empty_and_trailing);
    RUN(no_memory_for_statements);
    RUN(published_text_goes_with_its_statement);
    RUN(connect_hook_that_fails);
    RUN(warm_up_fits_the_connection);
    RUN(raw_handle_leaves_nothing);
    RUN(raw_handle_handlers);
    RUN(lease_chain_ends_with_the_lease);
    return test_end();
}
