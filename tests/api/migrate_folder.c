/*  migrate_folder.c - the migrations of the examples. SPDX-License-Identifier: MIT OR Unlicense */
#include "api.h"

#include "../../examples/migrate_folder.h"

static const char *examples(void) {
    static char path[1024];
    const char *root = getenv("TEST_ROOT");
    (void)snprintf(path, sizeof path, "%s/examples/migrations",
                   root != NULL ? root : "../../../..");
    return path;
}

static void schema_of(sqlpool *pool, char *buffer, size_t bytes) {
    sqlpool_error error;
    if (sqlpool_query_text(
            pool, buffer, bytes,
            "SELECT coalesce(group_concat(replace(sql, '\"', ''), ';'), '') FROM (SELECT sql FROM "
            "sqlite_master WHERE name NOT LIKE 'sqlpool%' AND sql IS NOT NULL ORDER BY type, name)",
            SQLPOOL_NO_ARGS, &error) != SQLPOOL_OK)
        test_fail(__FILE__, __LINE__, "%s", error.message);
}

static int go_to(sqlpool *pool, const migration_folder *folder, int target, sqlpool_error *error) {
    sqlpool_migrate_config config;
    memset(&config, 0, sizeof config);
    config.steps = folder->steps;
    config.step_count = folder->count;
    config.target = target;
    return sqlpool_migrate(pool, &config, NULL, NULL, error);
}

/*  Some of everything; `hash` stands for a key's. */
static const char rows[] =
    "INSERT INTO organisations(id, slug, name) VALUES(1, 'acme', 'Acme'), (2, 'umbrella', "
    "'Umbrella');"
    "INSERT INTO users(id, email) VALUES(1, 'ada@example.org'), (2, 'grace@example.org'), (3, "
    "'Old@example.org');"
    "UPDATE users SET deleted_at = 1 WHERE id = 3;"
    "INSERT INTO users(id, email) VALUES(4, 'old@EXAMPLE.org');" /* the address is free again */
    "INSERT INTO memberships(organisation_id, user_id, role) VALUES(1, 1, 'owner'), (1, 2, "
    "'member'), (2, 4, 'admin');"
    "INSERT INTO events(organisation_id, user_id, kind, at) VALUES(1, 1, 'login', 10), (1, NULL, "
    "'import', 11), "
    "(2, 4, 'login', 12);"
    "INSERT INTO api_keys(organisation_id, created_by, prefix, hash) VALUES(1, 1, 'ak_1', "
    "randomblob(32)), "
    "(2, NULL, 'ak_2', randomblob(32));";

TEST(up_down_and_up_again) {
    migration_folder folder;
    sqlpool_error error;
    char schema[8][8000], now[8000];
    int version;
    sqlpool *pool = open_pool("examples.db", NULL, NULL);
    CHECK(pool != NULL);
    if (!folder_read(&folder, examples())) test_fail(__FILE__, __LINE__, "%s", folder.why);
    CHECK_INT(folder.count, 6);
    schema_of(pool, schema[0], sizeof schema[0]);
    for (version = 1; version <= 6; version++) {
        CHECK_OK(go_to(pool, &folder, version, &error), &error);
        schema_of(pool, schema[version], sizeof schema[version]);
        CHECK(strcmp(schema[version], schema[version - 1]) != 0);
        if (version == 5) CHECK_OK(sqlpool_script(pool, rows, -1, &error), &error);
    }
    for (version = 5; version >= 0; version--) {
        if (version ==
            4) { /* the parent of three tables was built anew twice: all children are there */
            CHECK_INT(
                ask(pool,
                    "SELECT count(*) FROM memberships JOIN organisations ON organisation_id = id"),
                3);
            CHECK_INT(ask(pool, "SELECT count(*) FROM events JOIN organisations AS o ON "
                                "organisation_id = o.id"),
                      3);
            CHECK_INT(ask(pool, "SELECT count(*) FROM api_keys JOIN organisations AS o ON "
                                "organisation_id = o.id"),
                      2);
        }
        CHECK_OK(go_to(pool, &folder, version > 0 ? version : SQLPOOL_OFF, &error), &error);
        schema_of(pool, now, sizeof now);
        CHECK_STR(now, schema[version]);
    }
    CHECK_OK(go_to(pool, &folder, 0, &error), &error);
    schema_of(pool, now, sizeof now);
    CHECK_STR(now, schema[6]);
    CHECK_INT(ask(pool, "SELECT count(*) FROM sqlpool_migrations"), 18);
    folder_free(&folder);
    close_pool(pool);
}

/*  Each query that the indexes are there for finds its own. */
TEST(queries_find_their_indexes) {
    static const struct {
        const char *sql, *index;
    } cases[] = {
        {"SELECT id FROM organisations WHERE slug = 'ACME'", "organisations_by_slug (slug=?)"},
        {"SELECT id FROM organisations WHERE region = 'eu' AND plan = 'free'",
         "organisations_by_region (region=? AND plan=?)"},
        {"SELECT id FROM users WHERE lower(email) = lower('Ada@Example.org') AND deleted_at IS "
         "NULL",
         "users_by_email (<expr>=?)"},
        {"SELECT organisation_id FROM memberships WHERE user_id = 1",
         "memberships_by_user (user_id=?)"},
        {"SELECT kind FROM events WHERE organisation_id = 1 AND at > 5 ORDER BY at DESC LIMIT 20",
         "events_newest (organisation_id=? AND at>?)"},
        {"SELECT id FROM events WHERE organisation_id = 1 AND kind = 'login' ORDER BY at DESC "
         "LIMIT 20",
         "events_newest_of_kind (organisation_id=? AND kind=?)"},
        {"SELECT id FROM events WHERE user_id = 1 ORDER BY at DESC", "events_of_user (user_id=?)"},
        {"SELECT organisation_id FROM api_keys WHERE hash = zeroblob(32)",
         "api_keys_by_hash (hash=?)"},
        {"SELECT prefix FROM api_keys WHERE organisation_id = 1 AND revoked_at IS NULL ORDER BY "
         "prefix",
         "api_keys_in_use (organisation_id=?)"},
        {"SELECT id FROM api_keys WHERE created_by = 1", "api_keys_by_creator (created_by=?)"},
    };
    migration_folder folder;
    sqlpool_error error;
    int i;
    sqlpool *pool = open_pool("queries.db", NULL, NULL);
    CHECK(pool != NULL);
    if (!folder_read(&folder, examples())) test_fail(__FILE__, __LINE__, "%s", folder.why);
    CHECK_OK(go_to(pool, &folder, 0, &error), &error);
    for (i = 0; i < LENGTH(cases); i++) {
        char sql[400], plan[1000] = "";
        sqlpool_rows cursor;
        (void)snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s", cases[i].sql);
        CHECK_OK(sqlpool_query(pool, &cursor, sql, SQLPOOL_NO_ARGS, &error), &error);
        while (sqlpool_rows_next(&cursor)) {
            (void)snprintf(plan + strlen(plan), sizeof plan - strlen(plan), "%s; ",
                           sqlpool_rows_text(&cursor, 3));
        }
        CHECK_OK(sqlpool_rows_close(&cursor, &error), &error);
        CHECK_HAS(plan, cases[i].index);
        CHECK(strstr(plan, "TEMP B-TREE") == NULL);
    }
    folder_free(&folder);
    close_pool(pool);
}

/*---- folders that are wrong ----*/

static void put(const char *folder, const char *name, const char *text, size_t bytes) {
    char path[600];
    FILE *file;
    (void)mkdir(folder, 0700);
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(text, 1, bytes, file) != bytes)
        test_fail(__FILE__, __LINE__, "cannot write %s", path);
    if (file != NULL) (void)fclose(file);
}

TEST(folders_that_are_wrong) {
    static const struct {
        const char *folder, *file, *text;
        size_t bytes;
        const char *says;
    } cases[] = {
        {"empty", "README", "x", 1, "has no file like 0001_users.up.sql"},
        {"name", "users.up.sql", "SELECT 1", 8,
         "\"users.up.sql\" should be named like 0001_users.up.sql"},
        {"zero", "0000_a.up.sql", "SELECT 1", 8, "should be named like"},
        {"minus", "-1_a.up.sql", "SELECT 1", 8, "should be named like"},
        {"huge", "99999999999999999999_a.up.sql", "SELECT 1", 8, "should be named like"},
        {"down", "0001_a.down.sql", "SELECT 1", 8, "migration 1 \"a\" has a way down and none up"},
        {"nul", "0001_a.up.sql", "SELECT\0 1", 9, "holds a NUL"},
    };
    migration_folder folder;
    int i;
    for (i = 0; i < LENGTH(cases); i++) {
        put(cases[i].folder, cases[i].file, cases[i].text, cases[i].bytes);
        CHECK(!folder_read(&folder, cases[i].folder));
        CHECK_HAS(folder.why, cases[i].says);
        CHECK(folder.steps == NULL && folder.count == 0);
    }
    CHECK(!folder_read(&folder, "nowhere"));
    CHECK_HAS(folder.why, "the folder \"nowhere\" cannot be read");
    put("twice", "0001_a.up.sql", "SELECT 1", 8);
    put("twice", "1_a.up.sql", "SELECT 1", 8);
    CHECK(!folder_read(&folder, "twice"));
    CHECK_HAS(folder.why, "two files of version 1");
}

/*  Files are put in order by number, whatever their names sort like; the rest is said by the library. */
TEST(gaps_edits_and_names_of_files) {
    static const char one[] = "CREATE TABLE one(a);\r\nINSERT INTO one VALUES(1);",
                      two[] = "CREATE TABLE two(a)";
    migration_folder folder;
    sqlpool_error error;
    sqlpool *pool = open_pool("files.db", NULL, NULL);
    CHECK(pool != NULL);
    put("files", "10_ten \xc3\xbc '\"; x.up.sql", two, sizeof two - 1);
    put("files", "9_nine.up.sql", one, sizeof one - 1);
    CHECK(folder_read(&folder, "files"));
    CHECK_INT(folder.count, 2);
    CHECK_STR(folder.steps[0].name, "nine");
    CHECK_STR(folder.steps[1].name, "ten \xc3\xbc '\"; x");
    CHECK_RC(go_to(pool, &folder, 0, &error), SQLPOOL_MIGRATION_GAP, &error);
    folder_free(&folder);
    CHECK_OK(sqlpool_exec(pool, "PRAGMA user_version = 8", SQLPOOL_NO_ARGS, &error), &error);
    CHECK(folder_read(&folder, "files"));
    CHECK_OK(go_to(pool, &folder, 0, &error), &error);
    folder_free(&folder);
    put("files", "9_nine.up.sql", "CREATE TABLE one(a);\nINSERT INTO one VALUES(1);",
        47); /* other line ends */
    CHECK(folder_read(&folder, "files"));
    CHECK_OK(go_to(pool, &folder, 0, &error), &error);
    folder_free(&folder);
    put("files", "9_nine.up.sql", "CREATE TABLE one(b);", 20);
    CHECK(folder_read(&folder, "files"));
    CHECK_RC(go_to(pool, &folder, 0, &error), SQLPOOL_MIGRATION_CHANGED, &error);
    CHECK_HAS(error.message, "migration 9 \"nine\" was edited");
    folder_free(&folder);
    close_pool(pool);
}

/*---- the command ----*/

static int command(const char *a, const char *b, const char *c, const char *d) {
    char copies[4][1024], *argv[4];
    const char *given[4];
    int argc = 0;
    given[0] = a, given[1] = b, given[2] = c, given[3] = d;
    while (argc < 4 && given[argc] != NULL) {
        (void)snprintf(copies[argc], sizeof copies[argc], "%s", given[argc]);
        argv[argc] = copies[argc];
        argc++;
    }
    return migrate_command(argc, argv, NULL);
}
static int64_t version_of(const char *path) {
    sqlite3 *db = raw_open(path);
    const int64_t version = raw_ask(db, "PRAGMA user_version");
    (void)sqlite3_close(db);
    return version;
}

TEST(the_command) {
    const char *const folder = examples();
    CHECK_INT(command("c.db", folder, "--dry-run", NULL), 0);
    CHECK_INT(version_of("c.db"), 0);
    CHECK_INT(command("c.db", folder, NULL, NULL), 0);
    CHECK_INT(version_of("c.db"), 6);
    CHECK_INT(command("c.db", folder, "2", NULL), 0);
    CHECK_INT(version_of("c.db"), 2);
    CHECK_INT(command("c.db", folder, "--check", "5"), 0);
    CHECK_INT(version_of("c.db"), 2);
    CHECK_INT(command("c.db", folder, "0", NULL), 0);
    CHECK_INT(version_of("c.db"), 0);
    CHECK_INT(command("c.db", folder, "--id", "0x1234"), 0);
    CHECK_INT(command("c.db", folder, "--id", "77"), 1);
    CHECK_INT(command("c.db", folder, "7", NULL), 1);
    CHECK_INT(command("c.db", "nowhere", NULL, NULL), 1);
    CHECK_INT(command("no/such/folder/c.db", folder, NULL, NULL), 1);
    CHECK_INT(command("c.db", NULL, NULL, NULL), 2);
    CHECK_INT(command("c.db", folder, "five", NULL), 2);
    CHECK_INT(command("c.db", folder, "-1", NULL), 2);
    CHECK_INT(command("c.db", folder, "--id", "x"), 2);
    CHECK_INT(version_of("c.db"), 6);
}

int main(void) {
    RUN(up_down_and_up_again);
    RUN(queries_find_their_indexes);
    RUN(folders_that_are_wrong);
    RUN(gaps_edits_and_names_of_files);
    RUN(the_command);
    return test_end();
}
