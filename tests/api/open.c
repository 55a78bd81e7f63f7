/*  open.c - opening, closing, and what happens to the file meanwhile. SPDX-License-Identifier: MIT OR Unlicense */
#define _POSIX_C_SOURCE 200809L
#include <sys/resource.h>

#include "api.h"

static sqlpool_error err;
static const char schema[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES('one')";

static bool write_file(const char *path, const char *bytes, size_t count) {
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    const bool good = fd >= 0 && write(fd, bytes, count) == (ssize_t)count;
    if (fd >= 0) (void)close(fd);
    if (!good) test_fail(__FILE__, __LINE__, "cannot write %s", path);
    return good;
}
static bool make_database(const char *path, const char *journal, const char *value) {
    char sql[300];
    sqlite3 *db = raw_open(path);
    bool good;
    (void)snprintf(sql, sizeof sql, "PRAGMA journal_mode=%s; CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES('%s')", journal, value);
    good = db != NULL && raw_exec(db, sql);
    (void)sqlite3_close(db);
    return good;
}

TEST(paths_that_cannot_be_opened) {
    static char long_path[5001];
    static const struct {
        const char *path;
        bool must_exist, read_only;
        int expected; /* primary code, or 0 for SQLPOOL_MISUSE or SQLPOOL_CONFIG */
        const char *part;
    } cases[] = {
        {NULL, false, false, 0, "path"},
        {"", false, false, 0, "path"},
        {"no/such/folder/x.db", false, false, SQLITE_CANTOPEN, "no/such/folder/x.db"},
        {"folder", false, false, SQLITE_CANTOPEN, "folder"},
        {"folder/", false, false, SQLITE_CANTOPEN, "folder"},
        {"folder", false, true, SQLITE_CANTOPEN, "folder"},
        {"text.txt", false, false, SQLITE_NOTADB, "text.txt"},
        {"text.txt", true, true, SQLITE_NOTADB, "text.txt"},
        {"text.txt/x.db", false, false, SQLITE_CANTOPEN, "text.txt/x.db"},
        {"missing.db", true, false, SQLITE_CANTOPEN, "missing.db"},
        {"missing.db", false, true, SQLITE_CANTOPEN, "missing.db"},
        {"missing.db", true, true, SQLITE_CANTOPEN, "missing.db"},
        {long_path, false, false, SQLITE_CANTOPEN, "yyyy"},
    };
    static char text[4096];
    sqlpool *pool;
    int i, rc;
    CHECK(mkdir("folder", 0755) == 0);
    memset(long_path, 'y', sizeof long_path - 1);
    memset(text, 'x', sizeof text);
    CHECK(write_file("text.txt", text, sizeof text));
    for (i = 0; i < LENGTH(cases); i++) {
        sqlpool_config config = sqlpool_config_default();
        config.must_exist = cases[i].must_exist;
        config.read_only = cases[i].read_only;
        pool = (sqlpool *)(void *)&config;
        memset(&err, 0x5a, sizeof err);
        rc = sqlpool_open(&pool, cases[i].path, &config, &err);
        if (cases[i].expected == 0 ? rc != SQLPOOL_MISUSE && rc != SQLPOOL_CONFIG : (rc & 0xff) != cases[i].expected || rc < 0)
            test_fail(__FILE__, __LINE__, "open %.50s gave %s: %s", cases[i].path, sqlpool_result_name(rc), err.message);
        if (pool != NULL || err.result != rc)
            test_fail(__FILE__, __LINE__, "open %.50s: pool or error not set", cases[i].path);
        if (strstr(err.message, cases[i].part) == NULL)
            test_fail(__FILE__, __LINE__, "open %.50s: \"%s\" lacks %s", cases[i].path, err.message, cases[i].part);
        if (rc == SQLPOOL_OK) (void)sqlpool_close(pool, NULL);
    }
    CHECK(access("missing.db", F_OK) != 0); /* not created */
    CHECK_INT(file_bytes("text.txt"), sizeof text);
    CHECK(access("text.txt-wal", F_OK) != 0 && access("text.txt-journal", F_OK) != 0);
    CHECK_RC(sqlpool_open(NULL, "x.db", NULL, &err), SQLPOOL_MISUSE, &err);
    CHECK_INT(sqlpool_open(&pool, "no/such/folder/x.db", NULL, NULL) & 0xff, SQLITE_CANTOPEN);
    pool = (sqlpool *)(void *)text;
    CHECK((sqlpool_open(&pool, "no/such/folder/x.db", NULL, &err) & 0xff) == SQLITE_CANTOPEN);
    CHECK(pool == NULL);
}

TEST(damaged_database) {
    char garbage[8192];
    int fd, i, rc;
    sqlpool *pool = NULL;
    sqlpool_config config = sqlpool_config_default();
    CHECK(make_database("damaged.db", "DELETE", "one"));
    for (i = 0; i < (int)sizeof garbage; i++) garbage[i] = (char)(i * 31 + 7);
    fd = open("damaged.db", O_WRONLY);
    CHECK(fd >= 0);
    CHECK(pwrite(fd, garbage, 3000, 100) == 3000); /* the schema page behind a good header */
    CHECK(close(fd) == 0);
    rc = sqlpool_open(&pool, "damaged.db", &config, &err);
    if (rc == SQLPOOL_OK) { /* found at the first use then */
        rc = sqlpool_exec(pool, "SELECT * FROM t", SQLPOOL_NO_ARGS, &err);
        close_pool(pool);
    }
    CHECK_INT(rc & 0xff, SQLITE_CORRUPT);
    CHECK(err.message[0] != '\0');
    pool = NULL;
    config.untrusted = true;
    CHECK_INT(sqlpool_open(&pool, "damaged.db", &config, &err) & 0xff, SQLITE_CORRUPT); /* quick_check at open */
    CHECK(pool == NULL);
}

TEST(zero_byte_file_is_an_empty_database) {
    sqlpool *pool;
    CHECK(write_file("zero.db", "", 0));
    pool = open_pool("zero.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
    CHECK(file_bytes("zero.db") > 0);
}

TEST(closing_leaves_one_clean_file) {
    sqlite3 *db;
    int i;
    sqlpool *pool = open_pool("clean.db", NULL, schema);
    CHECK(pool != NULL);
    for (i = 0; i < 20; i++) CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(?)", SQLPOOL_ARGS(i), &err), &err);
    close_pool(pool);
    CHECK(access("clean.db-wal", F_OK) != 0);
    CHECK(access("clean.db-shm", F_OK) != 0);
    db = raw_open("clean.db");
    CHECK(db != NULL);
    CHECK_INT(raw_ask(db, "SELECT count(*) FROM t"), 21);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
    pool = open_pool("clean.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 21);
    close_pool(pool);
}

TEST(read_only_database) {
    static const char *const journals[] = {"DELETE", "WAL"};
    char path[50];
    int i, rc;
    for (i = 0; i < LENGTH(journals); i++) {
        sqlpool_config config = sqlpool_config_default();
        sqlpool_rows rows;
        sqlpool *pool;
        (void)snprintf(path, sizeof path, "ro-%s.db", journals[i]);
        CHECK(make_database(path, journals[i], "one"));
        config.read_only = true;
        pool = open_pool(path, &config, NULL);
        CHECK(pool != NULL);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
        CHECK_OK(sqlpool_query(pool, &rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), &err);
        CHECK(sqlpool_rows_next(&rows));
        CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
        CHECK_RC(sqlpool_exec(pool, "INSERT INTO t(v) VALUES('two')", SQLPOOL_NO_ARGS, &err), SQLITE_READONLY, &err);
        CHECK_RC(sqlpool_script(pool, "INSERT INTO t(v) VALUES('two')", -1, &err), SQLITE_READONLY, &err);
        rc = sqlpool_checkpoint(pool, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &err);
        CHECK(rc == SQLITE_READONLY || rc == SQLPOOL_UNSUPPORTED);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
        close_pool(pool);
    }
}

/*------------------------------------------------------------------------------
 * as somebody without rights
 *----------------------------------------------------------------------------*/

/*  Runs the body in a child process as the user nobody; false when that cannot be had here. */
static bool as_nobody(void (*body)(void)) {
    int status = 0;
    pid_t child;
    if (geteuid() != 0) {
        printf("# %s: skipped, not root\n", test_name);
        return false;
    }
    fflush(stdout);
    child = fork();
    if (child == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0 || access(".", R_OK | X_OK) != 0) _exit(77);
        body();
        fflush(stdout);
        _exit(__atomic_load_n(&test_failed_now, __ATOMIC_RELAXED) ? 1 : 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        test_fail(__FILE__, __LINE__, "fork or wait failed");
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        printf("# %s: skipped, this folder is closed to nobody\n", test_name);
        return false;
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        test_fail(__FILE__, __LINE__, "the child ended with status %d", status);
    }
    return true;
}

/*  Either it opens, reads and refuses writes with SQLITE_READONLY, or it names file and reason. */
static void readable_or_explained(const char *path, bool read_only) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool *pool = NULL;
    int rc;
    config.read_only = read_only;
    rc = sqlpool_open(&pool, path, &config, &err);
    if (rc == SQLPOOL_OK) {
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
        rc = sqlpool_exec(pool, "INSERT INTO t(v) VALUES('two')", SQLPOOL_NO_ARGS, &err);
        if ((rc & 0xff) != SQLITE_READONLY)
            test_fail(__FILE__, __LINE__, "write to %s gave %s: %s", path, sqlpool_result_name(rc), err.message);
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
        close_pool(pool);
    } else {
        if ((rc & 0xff) != SQLITE_READONLY && (rc & 0xff) != SQLITE_CANTOPEN)
            test_fail(__FILE__, __LINE__, "open %s gave %s: %s", path, sqlpool_result_name(rc), err.message);
        CHECK_HAS(err.message, path);
        if (strstr(err.message, "read") == NULL && strstr(err.message, "writ") == NULL)
            test_fail(__FILE__, __LINE__, "\"%s\" does not say what to do", err.message);
    }
}
static void without_rights(void) {
    sqlpool *pool = NULL;
    PART(readable_or_explained("ro_file.db", true));
    PART(readable_or_explained("ro_file.db", false));
    PART(readable_or_explained("ro_dir/delete.db", true));
    PART(readable_or_explained("ro_dir/delete.db", false));
    PART(readable_or_explained("ro_dir/wal.db", true));
    PART(readable_or_explained("ro_dir/wal.db", false));
    CHECK_INT(sqlpool_open(&pool, "ro_dir/new.db", NULL, &err) & 0xff, SQLITE_CANTOPEN);
    CHECK_HAS(err.message, "ro_dir/new.db");
    CHECK_INT(sqlpool_open(&pool, "closed.db", NULL, &err) & 0xff, SQLITE_CANTOPEN);
    CHECK_HAS(err.message, "closed.db");
}
TEST(file_or_folder_without_rights) {
    CHECK(make_database("ro_file.db", "DELETE", "one") && make_database("closed.db", "DELETE", "one"));
    CHECK(mkdir("ro_dir", 0755) == 0);
    CHECK(make_database("ro_dir/delete.db", "DELETE", "one") && make_database("ro_dir/wal.db", "WAL", "one"));
    CHECK(chmod("ro_file.db", 0444) == 0 && chmod("closed.db", 0) == 0 && chmod("ro_dir/wal.db", 0444) == 0 && chmod("ro_dir/delete.db", 0444) == 0 && chmod("ro_dir", 0555) == 0);
    (void)as_nobody(without_rights);
    CHECK(access("ro_dir/new.db", F_OK) != 0);
    CHECK(chmod("ro_dir", 0755) == 0);
}

/*------------------------------------------------------------------------------
 * memory, URIs, versions, paths
 *----------------------------------------------------------------------------*/

TEST(memory_database_is_shared_and_private) {
    sqlpool_rows rows;
    sqlpool_config resolved;
    sqlpool *a = open_pool(":memory:", NULL, schema), *b = open_pool(":memory:", NULL, NULL);
    CHECK(a != NULL && b != NULL);
    CHECK_INT(ask(a, "SELECT count(*) FROM t"), 1); /* written by the writer, seen by a reader */
    CHECK_INT(ask(b, "SELECT count(*) FROM sqlite_master"), 0);
    CHECK_INT(sqlpool_config_resolved(a, &resolved), SQLPOOL_OK);
    CHECK_INT(resolved.journal, SQLPOOL_JOURNAL_MEMORY);
    CHECK_OK(sqlpool_query(a, &rows, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_OK(sqlpool_exec(a, "INSERT INTO t(v) VALUES('two')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(a, "SELECT count(*) FROM t"), 2);
    if (sqlite3_libversion_number() >= 3036000) { /* the data outlives its connections */
        CHECK_INT(sqlpool_recycle(a), SQLPOOL_OK);
        CHECK_INT(ask(a, "SELECT count(*) FROM t"), 2);
    } else {
        CHECK_INT(sqlpool_recycle(a), SQLPOOL_UNSUPPORTED);
    }
    CHECK_RC(sqlpool_checkpoint(a, SQLPOOL_CHECKPOINT_PASSIVE, NULL, &err), SQLPOOL_UNSUPPORTED, &err);
    close_pool(a);
    close_pool(b);
    a = open_pool(":memory:", NULL, NULL);
    CHECK(a != NULL);
    CHECK_INT(ask(a, "SELECT count(*) FROM sqlite_master"), 0); /* it vanished with its pool */
    close_pool(a);
    CHECK(access(":memory:", F_OK) != 0);
}

TEST(memory_database_outlives_idle_connections) {
    sqlpool_config config = config_of(3);
    sqlpool *pool;
    int i;
    config.idle_timeout_ms = 20;
    config.upkeep_interval_ms = 10;
    config.max_lifetime_ms = 40;
    pool = open_pool(":memory:", &config, schema);
    CHECK(pool != NULL);
    for (i = 0; i < 4; i++) {
        CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
        sleep_ms(40);
        CHECK_INT(sqlpool_tick(pool, 100000), SQLPOOL_OK);
    }
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
}

TEST(a_uri_is_a_plain_name_unless_enabled) {
    static const char *const names[] = {"file:plain.db?mode=memory", "file:plain.db?vfs=nosuch", "file:plain.db"};
    sqlpool_config config = sqlpool_config_default();
    sqlpool *pool;
    int i;
    for (i = 0; i < LENGTH(names); i++) {
        pool = open_pool(names[i], NULL, schema);
        CHECK(pool != NULL);
        close_pool(pool);
        CHECK(access(names[i], F_OK) == 0);
    }
    CHECK(access("plain.db", F_OK) != 0);
    config.enable_uri = true;
    pool = open_pool("file:uri.db?cache=private", &config, schema);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
    CHECK(access("uri.db", F_OK) == 0);
    CHECK(sqlpool_open(&pool, "file:uri.db?vfs=nosuch", &config, &err) > 0);
    CHECK(pool == NULL);
    CHECK_HAS(err.message, "nosuch");
}

/*  Whatever the name looks like, it is the name of one file, and every connection opens that one. */
TEST(unusual_names) {
    static const char *const names[] = {
        "with space.db", "quo'te\".db", "per%41cent.db", "100%sure%n.db", "ques?mode=memory&cache=shared.db", "ha#sh.db",
        "\xc3\xbcml\xc3\xa4ut.db", "\xff\xfe.db", "-dash.db", ":memory:x.db", "file:", "file::memory:", "FILE:upper.db",
        "file:///absolute.db", "back\\slash.db", "semi;colon.db", "new\nline.db", " :memory:",
    };
    static const char *const unwanted[] = {"perAcent.db", "ques", "ha", "upper.db", "x.db", "/absolute.db", ":memory:"};
    sqlpool_config config = config_of(2);
    sqlpool_conn a, b;
    sqlite3 *db;
    int i;
    CHECK(mkdir("names", 0755) == 0 && chdir("names") == 0);
    CHECK(mkdir("file:", 0755) == 0); /* so that file:///absolute.db is a path below this folder */
    for (i = 0; i < LENGTH(names); i++) {
        char path[200];
        sqlpool *pool;
        const bool is_folder = strcmp(names[i], "file:") == 0;
        if (is_folder) {
            CHECK_INT(sqlpool_open(&pool, names[i], &config, &err) & 0xff, SQLITE_CANTOPEN);
            continue;
        }
        pool = open_pool(names[i], &config, schema);
        if (pool == NULL) continue;
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &a, &err), &err);
        CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &b, &err), &err);
        CHECK_INT(ask_conn(&b, "SELECT count(*) FROM t"), 1);
        CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
        CHECK_INT(sqlpool_conn_release(&b), SQLPOOL_OK);
        close_pool(pool);
        if (access(names[i], F_OK) != 0) test_fail(__FILE__, __LINE__, "%s was not created under that name", names[i]);
        (void)snprintf(path, sizeof path, "./%s", names[i]); /* with a folder before it SQLite sees no URI */
        db = raw_open(path);
        CHECK(db != NULL);
        CHECK_INT(raw_ask(db, "SELECT count(*) FROM t"), 1);
        CHECK_INT(sqlite3_close(db), SQLITE_OK);
    }
    for (i = 0; i < LENGTH(unwanted); i++)
        if (access(unwanted[i], F_OK) == 0) test_fail(__FILE__, __LINE__, "%s was created", unwanted[i]);
    CHECK(chdir("..") == 0);
}

TEST(vfs_by_name) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool *pool = NULL;
    config.vfs_name = "no-such-vfs";
    CHECK(sqlpool_open(&pool, "vfs.db", &config, &err) != SQLPOOL_OK);
    CHECK(pool == NULL);
    CHECK_HAS(err.message, "no-such-vfs");
    CHECK(access("vfs.db", F_OK) != 0);
    config.vfs_name = "unix";
    pool = open_pool("vfs.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    close_pool(pool);
}

TEST(version_mismatch) {
    static const struct {
        uint32_t version;
        size_t bytes;
    } cases[] = {
        {SQLPOOL_VERSION + 1, sizeof(sqlpool_config)}, {0, sizeof(sqlpool_config)},
        {SQLPOOL_VERSION + 0x10000, sizeof(sqlpool_config)}, {SQLPOOL_VERSION, sizeof(sqlpool_config) - 8},
        {SQLPOOL_VERSION, sizeof(sqlpool_config) + 8}, {SQLPOOL_VERSION, 0},
        {UINT32_MAX, (size_t)-1},
    };
    int i;
    for (i = 0; i < LENGTH(cases); i++) {
        sqlpool *pool = (sqlpool *)(void *)&i;
        CHECK_RC(sqlpool_open_at(cases[i].version, cases[i].bytes, &pool, "version.db", NULL, &err),
                 SQLPOOL_VERSION_MISMATCH, &err);
        CHECK(pool == NULL);
        CHECK_HAS(err.message, "0.1.0");
        CHECK_HAS(err.message, "compile");
    }
    {
        sqlpool *pool = NULL; /* both versions are named */
        CHECK_RC(sqlpool_open_at(0x050607, sizeof(sqlpool_config), &pool, "version.db", NULL, &err),
                 SQLPOOL_VERSION_MISMATCH, &err);
        CHECK_HAS(err.message, "5.6.7");
    }
    CHECK(access("version.db", F_OK) != 0);
}

TEST(path_is_kept_over_a_change_of_folder) {
    sqlpool_config config = config_of(3);
    sqlpool_conn a, b, c;
    sqlpool *pool = open_pool("chdir.db", &config, schema);
    CHECK(pool != NULL);
    CHECK(mkdir("elsewhere", 0755) == 0 && chdir("elsewhere") == 0);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &a, &err), &err); /* grows here */
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &b, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &c, &err), &err);
    CHECK_INT(ask_conn(&c, "SELECT count(*) FROM t"), 1);
    CHECK_INT(sqlpool_conn_release(&a), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&b), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&c), SQLPOOL_OK);
    close_pool(pool);
    CHECK(access("chdir.db", F_OK) != 0);
    CHECK(chdir("..") == 0);
}

TEST(two_pools_on_one_file) {
    int i;
    sqlpool *a = open_pool("two.db", NULL, schema), *b = open_pool("two.db", NULL, NULL);
    CHECK(a != NULL && b != NULL);
    for (i = 0; i < 20; i++) {
        CHECK_OK(sqlpool_exec(i % 2 ? a : b, "INSERT INTO t(v) VALUES(?)", SQLPOOL_ARGS(i), &err), &err);
        CHECK_INT(ask(i % 2 ? b : a, "SELECT count(*) FROM t"), i + 2);
    }
    close_pool(a);
    CHECK_INT(ask(b, "SELECT count(*) FROM t"), 21);
    close_pool(b);
}

TEST(a_symbolic_link_is_the_same_database) {
    sqlpool *a = open_pool("target.db", NULL, schema), *b;
    int i;
    CHECK(a != NULL);
    CHECK(symlink("target.db", "link.db") == 0);
    b = open_pool("link.db", NULL, NULL);
    CHECK(b != NULL);
    for (i = 0; i < 20; i++) {
        CHECK_OK(sqlpool_exec(i % 2 ? a : b, "INSERT INTO t(v) VALUES(?)", SQLPOOL_ARGS(i), &err), &err);
        CHECK_INT(ask(i % 2 ? b : a, "SELECT count(*) FROM t"), i + 2);
    }
    CHECK(access("target.db-wal", F_OK) == 0);
    CHECK(access("link.db-wal", F_OK) != 0); /* a second log would hold commits that the other never sees */
    close_pool(a);
    CHECK_INT(ask(b, "SELECT count(*) FROM t"), 21);
    close_pool(b);
}

/*  Connections that share a page cache lock each other by table, and no busy handler waits for that. */
static void apart_from_the_writer(const char *path, const sqlpool_config *config) {
    sqlpool_conn writer, reader;
    sqlpool *pool = open_pool(path, config, "CREATE TABLE IF NOT EXISTS t(v); DELETE FROM t; INSERT INTO t VALUES(1)");
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &writer, &err), &err);
    CHECK_OK(sqlpool_conn_begin(&writer, &err), &err);
    CHECK_OK(sqlpool_conn_exec(&writer, "INSERT INTO t VALUES(2)", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &reader, &err), &err);
    CHECK_INT(ask_conn(&reader, "SELECT count(*) FROM t"), 1);
    CHECK_INT(sqlpool_conn_release(&reader), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_commit(&writer, &err), &err);
    CHECK_INT(sqlpool_conn_release(&writer), SQLPOOL_OK);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
}
TEST(a_shared_cache_of_the_process_is_not_used) {
    const sqlpool_config config = config_of(1);
    if (sqlite3_compileoption_used("OMIT_SHARED_CACHE")) return;
    CHECK_INT(sqlite3_enable_shared_cache(1), SQLITE_OK);
    apart_from_the_writer("process_cache.db", &config);
    CHECK_INT(sqlite3_enable_shared_cache(0), SQLITE_OK);
}
TEST(a_uri_cannot_ask_for_a_shared_cache) {
    sqlpool_config config = config_of(1);
    sqlpool *pool = NULL;
    if (sqlite3_compileoption_used("OMIT_SHARED_CACHE")) return;
    config.enable_uri = true;
    if (sqlpool_open(&pool, "file:uri_cache.db?cache=shared", &config, &err) != SQLPOOL_OK) {
        CHECK_HAS(err.message, "cache"); /* refused, and the reason is said */
        return;
    }
    close_pool(pool);
    apart_from_the_writer("file:uri_cache.db?cache=shared", &config);
}

/*  In a child of its own. Descriptors run out: an error that names the file, what is open goes on, and
    once there are some again the pool grows. */
static void without_descriptors(void) {
    sqlpool_config config = config_of(2);
    sqlpool_call call = {50, 0, 0, NULL, NULL};
    sqlpool_conn first, second;
    sqlpool *pool, *other = NULL;
    struct rlimit limit;
    int taken[256], count = 0, rc;
    config.open_retry_ms = 1;
    config.disable_upkeep_thread = true;
    pool = open_pool("few.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = LENGTH(taken);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (count < LENGTH(taken) && (taken[count] = dup(1)) >= 0) count++;
    rc = sqlpool_open(&other, "none.db", &config, &err);
    CHECK_INT(rc & 0xff, SQLITE_CANTOPEN);
    CHECK(other == NULL);
    CHECK_HAS(err.message, "none.db");
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &first, &err), &err);
    rc = sqlpool_conn_acquire_with(pool, SQLPOOL_READ, &call, &second, &err); /* would be a new one */
    CHECK(rc != SQLPOOL_OK && second.lease == 0 && err.message[0] != '\0');
    CHECK_INT(ask_conn(&first, "SELECT count(*) FROM t"), 1);
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES(2)", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask_conn(&first, "SELECT count(*) FROM t"), 2);
    while (count > 0) (void)close(taken[--count]);
    sleep_ms(5);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &second, &err), &err);
    CHECK_INT(ask_conn(&second, "SELECT count(*) FROM t"), 2);
    CHECK_INT(sqlpool_conn_release(&second), SQLPOOL_OK);
    CHECK_INT(sqlpool_conn_release(&first), SQLPOOL_OK);
    close_pool(pool);
}
TEST(descriptors_that_run_out) {
    int status = 0;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        without_descriptors();
        fflush(stdout);
        _exit(__atomic_load_n(&test_failed_now, __ATOMIC_RELAXED) ? 1 : 0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
}

/*------------------------------------------------------------------------------
 * the file goes away
 *----------------------------------------------------------------------------*/

static void remove_database(const char *path) {
    char name[100];
    (void)unlink(path);
    (void)snprintf(name, sizeof name, "%s-wal", path);
    (void)unlink(name);
    (void)snprintf(name, sizeof name, "%s-shm", path);
    (void)unlink(name);
}

typedef enum change { RENAMED, DELETED, DELETED_WITH_LOG, REPLACED } change;

static void file_goes_away(int journal, change how, const char *fresh_journal) {
    static int number;
    char path[50], away[50], fresh[50], value[50];
    sqlpool_config config = config_of(2);
    sqlpool *pool;
    sqlite3 *db;
    int rc;
    config.journal = journal;
    config.validate_after_ms = 1;
    config.upkeep_interval_ms = 5;
    (void)snprintf(path, sizeof path, "moved%d.db", ++number);
    (void)snprintf(away, sizeof away, "away%d.db", number);
    (void)snprintf(fresh, sizeof fresh, "fresh%d.db", number);
    pool = open_pool(path, &config, schema);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK(make_database(fresh, fresh_journal, "fresh"));
    if (how == RENAMED) CHECK(rename(path, away) == 0);
    if (how == DELETED) CHECK(unlink(path) == 0);
    if (how == DELETED_WITH_LOG) remove_database(path);
    if (how == REPLACED) CHECK(rename(fresh, path) == 0);
    sleep_ms(60);
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO t(v) VALUES('into the void')", SQLPOOL_NO_ARGS, &err), SQLPOOL_MOVED, &err);
    CHECK_HAS(err.message, "sqlpool_recycle");
    CHECK_HAS(err.message, path);
    sleep_ms(5);
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO t(v) VALUES('again')", SQLPOOL_NO_ARGS, &err), SQLPOOL_MOVED, &err);
    CHECK_RC(sqlpool_exec(pool, "SELECT * FROM t", SQLPOOL_NO_ARGS, &err), SQLPOOL_MOVED, &err);
    if (how == RENAMED || how == DELETED || how == DELETED_WITH_LOG) {
        CHECK(rename(fresh, path) == 0); /* a new one takes its place */
    }
    if (journal == SQLPOOL_JOURNAL_WAL && how != DELETED_WITH_LOG) {
        char name[60]; /* the old log must go first: SQLite would apply it to the new file */
        CHECK_INT(sqlpool_recycle(pool), SQLPOOL_MOVED);
        CHECK_RC(sqlpool_exec(pool, "SELECT * FROM t", SQLPOOL_NO_ARGS, &err), SQLPOOL_MOVED, &err);
        (void)snprintf(name, sizeof name, "%s-wal", path);
        CHECK(unlink(name) == 0);
        (void)snprintf(name, sizeof name, "%s-shm", path);
        (void)unlink(name);
    }
    CHECK_INT(sqlpool_recycle(pool), SQLPOOL_OK);
    rc = sqlpool_query_text(pool, value, sizeof value, "SELECT v FROM t", SQLPOOL_NO_ARGS, &err);
    CHECK_INT(rc, SQLPOOL_OK);
    CHECK_STR(value, "fresh");
    CHECK_OK(sqlpool_exec(pool, "INSERT INTO t(v) VALUES('two')", SQLPOOL_NO_ARGS, &err), &err);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
    db = raw_open(path);
    CHECK(db != NULL);
    CHECK_INT(raw_ask(db, "SELECT count(*) FROM t WHERE v IN ('fresh', 'two')"), 2);
    CHECK_INT(raw_ask(db, "SELECT count(*) FROM t"), 2);
    CHECK_INT(raw_ask(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    CHECK_INT(sqlite3_close(db), SQLITE_OK);
}

TEST(file_renamed_under_a_log) { PART(file_goes_away(SQLPOOL_JOURNAL_WAL, RENAMED, "WAL")); }
TEST(file_replaced_under_a_log) { PART(file_goes_away(SQLPOOL_JOURNAL_WAL, REPLACED, "WAL")); }
TEST(file_deleted_under_a_log) { PART(file_goes_away(SQLPOOL_JOURNAL_WAL, DELETED, "WAL")); }
TEST(file_deleted_with_its_log) { PART(file_goes_away(SQLPOOL_JOURNAL_WAL, DELETED_WITH_LOG, "WAL")); }
TEST(file_moved_under_a_journal) {
    PART(file_goes_away(SQLPOOL_JOURNAL_DELETE, RENAMED, "DELETE"));
    PART(file_goes_away(SQLPOOL_JOURNAL_DELETE, DELETED, "DELETE"));
    PART(file_goes_away(SQLPOOL_JOURNAL_DELETE, REPLACED, "DELETE"));
}
TEST(file_replaced_by_one_of_another_journal) {
    PART(file_goes_away(SQLPOOL_JOURNAL_WAL, DELETED_WITH_LOG, "DELETE"));
    PART(file_goes_away(SQLPOOL_JOURNAL_DELETE, REPLACED, "WAL"));
}

/*  With nothing but the documented field set: unused for that long means checked before use. */
TEST(unused_connection_is_checked_before_use) {
    sqlpool_config config = config_of(1);
    sqlpool *pool;
    config.validate_after_ms = 20;
    pool = open_pool("unused.db", &config, schema);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 1);
    CHECK(unlink("unused.db") == 0);
    sleep_ms(100);
    CHECK_RC(sqlpool_exec(pool, "INSERT INTO t(v) VALUES('into the void')", SQLPOOL_NO_ARGS, &err), SQLPOOL_MOVED, &err);
    CHECK_RC(sqlpool_exec(pool, "SELECT * FROM t", SQLPOOL_NO_ARGS, &err), SQLPOOL_MOVED, &err);
    (void)sqlpool_close(pool, NULL);
}

/*------------------------------------------------------------------------------
 * close
 *----------------------------------------------------------------------------*/

TEST(calls_after_close) {
    sqlpool_conn before;
    int i;
    sqlpool *pool = open_pool("after.db", NULL, schema);
    CHECK(pool != NULL);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &before, &err), &err);
    CHECK_INT(sqlpool_conn_release(&before), SQLPOOL_OK);
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_READ, &before, &err), &err);
    {
        sqlpool_conn copy = before;
        CHECK_INT(sqlpool_conn_release(&copy), SQLPOOL_OK);
    }
    close_pool(pool);
    PART(check_every_call(pool, SQLPOOL_CLOSED));
    CHECK_RC(sqlpool_close(pool, &err), SQLPOOL_CLOSED, &err);
    CHECK_INT(sqlpool_conn_release(&before), SQLPOOL_CLOSED);
    for (i = 0; i < 50; i++) { /* still known after many more pools */
        sqlpool_config config = config_of(0);
        sqlpool *other;
        config.disable_upkeep_thread = true;
        other = open_pool(":memory:", &config, NULL);
        CHECK(other != NULL && other != pool);
        close_pool(other);
    }
    CHECK_RC(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_CLOSED, &err);
    CHECK_RC(sqlpool_close(NULL, &err), SQLPOOL_MISUSE, &err);
}

typedef struct closer {
    sqlpool *pool;
    int started; /* atomic */
    int result;
    sqlpool_error error;
    int64_t elapsed_ms;
} closer;
static void *close_it(void *argument) {
    closer *c = (closer *)argument;
    const int64_t start = now_ms();
    __atomic_store_n(&c->started, 1, __ATOMIC_RELEASE);
    c->result = sqlpool_close(c->pool, &c->error);
    c->elapsed_ms = now_ms() - start;
    return NULL;
}
static void *wait_for_writer(void *argument) {
    closer *c = (closer *)argument;
    const int64_t start = now_ms();
    c->result = sqlpool_exec(c->pool, "INSERT INTO t(v) VALUES('late')", SQLPOOL_NO_ARGS, &c->error);
    c->elapsed_ms = now_ms() - start;
    return NULL;
}

TEST(close_with_a_lease_out) {
    sqlpool_config config = sqlpool_config_default();
    sqlpool_call call = {0, 0, 0, "late-returner", NULL};
    sqlpool_conn conn;
    pthread_t closing, waiting;
    closer c, w;
    char site[64];
    int line;
    sqlpool *pool;
    config.close_timeout_ms = 80;
    pool = open_pool("leaseout.db", &config, schema);
    CHECK(pool != NULL);
    memset(&c, 0, sizeof c);
    memset(&w, 0, sizeof w);
    c.pool = w.pool = pool;
    CHECK_OK((line = __LINE__, sqlpool_conn_acquire_with(pool, SQLPOOL_WRITE, &call, &conn, &err)), &err);
    (void)snprintf(site, sizeof site, "open.c:%d", line);
    CHECK_RC(sqlpool_close(pool, &err), SQLPOOL_MISUSE, &err); /* this very thread holds it */
    CHECK_HAS(err.message, "lease");
    CHECK_OK(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err), &err); /* and nothing happened */
    CHECK(start_thread(&waiting, wait_for_writer, &w));
    sleep_ms(30);
    CHECK(start_thread(&closing, close_it, &c));
    CHECK_INT(pthread_join(waiting, NULL), 0);
    CHECK_INT(w.result, SQLPOOL_CLOSED); /* the waiter woke at once */
    CHECK(w.elapsed_ms < 2000);
    CHECK_INT(pthread_join(closing, NULL), 0);
    CHECK_INT(c.result, SQLPOOL_TIMEOUT);
    CHECK(c.elapsed_ms >= 75 && c.elapsed_ms < 2000);
    CHECK_HAS(c.error.message, site);
    CHECK_HAS(c.error.message, "late-returner");
    CHECK_RC(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_CLOSED, &err); /* closed to new work */
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_RC(sqlpool_exec(pool, "SELECT 1", SQLPOOL_NO_ARGS, &err), SQLPOOL_CLOSED, &err);
    CHECK_OK(sqlpool_close(pool, &err), &err);
    CHECK_RC(sqlpool_close(pool, &err), SQLPOOL_CLOSED, &err);
    CHECK(access("leaseout.db-wal", F_OK) != 0);
}

/*  As soon as the pool closes, not when its close has waited for the leases in vain. */
static int woken, given_up; /* atomic: the waiter, the close is back */
static void *wait_and_say(void *argument) {
    (void)wait_for_writer(argument);
    __atomic_store_n(&woken, 1, __ATOMIC_SEQ_CST);
    return NULL;
}
static void *close_and_say(void *argument) {
    (void)close_it(argument);
    __atomic_store_n(&given_up, 1, __ATOMIC_SEQ_CST);
    return NULL;
}
TEST(close_wakes_who_waits_at_once) {
    sqlpool_config config = config_of(1);
    sqlpool_conn conn;
    pthread_t closing, waiting;
    closer c, w;
    bool is_first;
    sqlpool *pool;
    config.close_timeout_ms = 20000;
    config.acquire_timeout_ms = SQLPOOL_OFF;
    pool = open_pool("wakes.db", &config, schema);
    CHECK(pool != NULL);
    memset(&c, 0, sizeof c);
    memset(&w, 0, sizeof w);
    c.pool = w.pool = pool;
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK(start_thread(&waiting, wait_and_say, &w));
    CHECK(await_waiting(pool));
    CHECK(start_thread(&closing, close_and_say, &c));
    while (!__atomic_load_n(&woken, __ATOMIC_SEQ_CST) && !__atomic_load_n(&given_up, __ATOMIC_SEQ_CST)) sleep_ms(1);
    is_first = !__atomic_load_n(&given_up, __ATOMIC_SEQ_CST);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK_INT(pthread_join(waiting, NULL), 0);
    CHECK_INT(pthread_join(closing, NULL), 0);
    CHECK(is_first);
    CHECK_INT(w.result, SQLPOOL_CLOSED);
    CHECK_INT(c.result, SQLPOOL_OK);
}

TEST(close_waits_for_a_lease) {
    sqlpool_conn conn;
    sqlpool_rows rows;
    pthread_t closing;
    closer c;
    sqlpool *pool = open_pool("waits.db", NULL, schema);
    CHECK(pool != NULL);
    memset(&c, 0, sizeof c);
    c.pool = pool;
    CHECK_OK(sqlpool_conn_acquire(pool, SQLPOOL_WRITE, &conn, &err), &err);
    CHECK_OK(sqlpool_query(pool, &rows, "SELECT v FROM t UNION ALL SELECT 2", SQLPOOL_NO_ARGS, &err), &err);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_OK(sqlpool_conn_begin(&conn, &err), &err);
    CHECK(start_thread(&closing, close_it, &c));
    while (!__atomic_load_n(&c.started, __ATOMIC_ACQUIRE)) sleep_ms(1);
    sleep_ms(60);
    /* who is inside may finish what he does */
    CHECK_OK(sqlpool_conn_exec(&conn, "INSERT INTO t(v) VALUES('at the last moment')", SQLPOOL_NO_ARGS, NULL, &err), &err);
    CHECK_OK(sqlpool_conn_commit(&conn, &err), &err);
    CHECK_INT(sqlpool_conn_release(&conn), SQLPOOL_OK);
    CHECK(sqlpool_rows_next(&rows));
    CHECK_INT(sqlpool_rows_int64(&rows, 0), 2);
    CHECK_OK(sqlpool_rows_close(&rows, &err), &err);
    CHECK_INT(pthread_join(closing, NULL), 0);
    CHECK_INT(c.result, SQLPOOL_OK);
    CHECK(c.elapsed_ms >= 40 && c.elapsed_ms < 3000);
    pool = open_pool("waits.db", NULL, NULL);
    CHECK(pool != NULL);
    CHECK_INT(ask(pool, "SELECT count(*) FROM t"), 2);
    close_pool(pool);
}

int main(void) {
    RUN(file_or_folder_without_rights); /* first: forks, so before any pool */
    RUN(descriptors_that_run_out);      /* likewise */
    RUN(paths_that_cannot_be_opened);
    RUN(damaged_database);
    RUN(zero_byte_file_is_an_empty_database);
    RUN(closing_leaves_one_clean_file);
    RUN(read_only_database);
    RUN(memory_database_is_shared_and_private);
    RUN(memory_database_outlives_idle_connections);
    RUN(a_uri_is_a_plain_name_unless_enabled);
    RUN(unusual_names);
    RUN(vfs_by_name);
    RUN(version_mismatch);
    RUN(path_is_kept_over_a_change_of_folder);
    RUN(two_pools_on_one_file);
    RUN(a_symbolic_link_is_the_same_database);
    RUN(a_shared_cache_of_the_process_is_not_used);
    RUN(a_uri_cannot_ask_for_a_shared_cache);
    RUN(file_renamed_under_a_log);
    RUN(file_replaced_under_a_log);
    RUN(file_deleted_under_a_log);
    RUN(file_deleted_with_its_log);
    RUN(file_moved_under_a_journal);
    RUN(file_replaced_by_one_of_another_journal);
    RUN(unused_connection_is_checked_before_use);
    RUN(calls_after_close);
    RUN(close_with_a_lease_out);
    RUN(close_wakes_who_waits_at_once);
    RUN(close_waits_for_a_lease);
    return test_end();
}
