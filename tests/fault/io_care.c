/*  io_care.c - every call to the disk fails under what the owner of a file does.
    SPDX-License-Identifier: MIT OR Unlicense

    Maintenance, migrations, index sets, the schedule, backups (new, rotated, streamed, verified),
    restore and salvage: the loop of io.h, each on a small database of its own, with an acknowledged
    row before and one after. After each run: the database is whole and has the acknowledged rows; a
    backup's target is the old copy or the new one, or it is not there; a restore leaves the old or
    the new database; a schema is at one version, and its history says so; no partial is left.

    io_care and its arguments: see io.h */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "sim/system.h"

#include "fault/io.h"

#include <dirent.h>

enum { ROWS = 60, MOST = 60 };
#define DATABASE "care.db"
#define TARGET "care.bak"
#define COPY "care.copy"
#define HURT "care.hurt"
#define SAVED "care.saved"

/*  A set of rows of the table kept: bit n is the row with the id n. */
typedef uint64_t rows;

typedef struct own {
    int next;
    rows acked, tried; /* of the database */
    rows older, newer; /* of TARGET before and after the backup at hand */
    bool was_restored;
    sqlpool_salvage_info whole; /* what there is to salvage */
    char *bytes;                /* of a stream */
    size_t used, room;
} own;
static own *own_of(const run *r) {
    return (own *)r->own;
}

/*---- files ----*/

typedef struct image {
    char *bytes;
    size_t count;
} image;
static image template, hurt; /* a database, and one that is damaged */

static bool read_file(const char *name, image *out) {
    FILE *file = fopen(name, "rb");
    long count = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0) count = ftell(file);
    out->bytes = (char *)malloc(count > 0 ? (size_t)count : 1);
    out->count = count > 0 ? (size_t)count : 0;
    if (out->bytes == NULL || count <= 0 || fseek(file, 0, SEEK_SET) != 0 ||
        fread(out->bytes, 1, out->count, file) != out->count)
        count = -1;
    if (file != NULL) (void)fclose(file);
    return count > 0;
}
static bool write_file(const char *name, const void *bytes, size_t count) {
    FILE *file = fopen(name, "wb");
    const bool ok = file != NULL && fwrite(bytes, 1, count, file) == count;
    return file != NULL && fclose(file) == 0 && ok;
}

/*  Files here whose names begin so and hold the other text; `remove` takes them away. */
static int files_like(const char *begin, const char *part, bool remove) {
    DIR *dir = opendir(".");
    struct dirent *entry;
    int count = 0;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, begin, strlen(begin)) != 0 ||
            strstr(entry->d_name, part) == NULL)
            continue;
        count++;
        if (remove) (void)unlink(entry->d_name);
    }
    if (dir != NULL) (void)closedir(dir);
    return count;
}
static bool is_there(const char *name) {
    return access(name, F_OK) == 0;
}

/*  Is this file a whole database with those rows of t that it always has? Its rows of kept. */
static bool is_whole(run *r, const char *name, rows *kept) {
    sqlite3 *db = NULL;
    char why[400] = "";
    bool ok = sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
              sim_plain_integrity(db, why, sizeof why) == 0;
    if (ok) {
        *kept = (rows)sim_plain_int64(db, "SELECT coalesce(sum(1 << id), 0) FROM kept", -1);
        ok =
            sim_plain_int64(db, "SELECT count(*) + sum(length(b)) FROM t", -1) == ROWS + ROWS * 400;
    }
    if (!ok) (void)fail(r, "%s is not whole: %s", name, why[0] != '\0' ? why : sqlite3_errmsg(db));
    (void)sqlite3_close(db);
    return ok;
}

static bool make_files(void) {
    sqlite3 *db = NULL;
    char *message = NULL;
    int rc, page;
    files_like("care.", "", true);
    rc = sqlite3_open(DATABASE, &db);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db,
                          "PRAGMA page_size = 1024; PRAGMA auto_vacuum = INCREMENTAL;"
                          "CREATE TABLE t(a UNIQUE, b, c); CREATE INDEX t_c ON t(c);"
                          "CREATE TABLE kept(id INTEGER PRIMARY KEY, v);"
                          "CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES kept);"
                          "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90) "
                          "INSERT INTO t SELECT i, hex(zeroblob(200)), i % 10 FROM n; DELETE FROM "
                          "t WHERE a > 60;",
                          NULL, NULL, &message);
    if (rc == SQLITE_OK && sqlite3_compileoption_used("ENABLE_FTS5"))
        rc = sqlite3_exec(
            db,
            "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f(f, rank) VALUES('automerge', 0);"
            "INSERT INTO f VALUES('a b'); INSERT INTO f VALUES('b c'); INSERT INTO f VALUES('c d');"
            "INSERT INTO f VALUES('a b'); INSERT INTO f VALUES('b c');",
            NULL, NULL, &message);
    if (rc != SQLITE_OK) printf("# %s\n", message != NULL ? message : "?");
    sqlite3_free(message);
    page = (int)sim_plain_int64(db, "SELECT rootpage FROM sqlite_schema WHERE name = 't'", 0);
    if (sqlite3_close(db) != SQLITE_OK || rc != SQLITE_OK || !read_file(DATABASE, &template) ||
        !read_file(DATABASE, &hurt) || page < 2)
        return false;
    /* its root is an interior page: one of its children cannot be read */
    page = (unsigned char)hurt.bytes[(page - 1) * 1024 + 11];
    page = page > 0 && (size_t)page * 1024 <= hurt.count ? page : 20;
    memset(hurt.bytes + (page - 1) * 1024, 0x5a, 1024);
    return true;
}

/*---- rows ----*/

static int step_add(run *r, sqlpool_error *e) {
    const int id = own_of(r)->next++;
    int rc;
    if (r->fault.code == SQLITE_IOERR_SHORT_READ && id > 0)
        return SQLPOOL_OK; /* what it writes would be what it has not read */
    own_of(r)->tried |= (rows)1 << id;
    rc = sqlpool_exec(r->pool, "INSERT INTO kept VALUES(?, zeroblob(300))", SQLPOOL_ARGS(id), e);
    if (rc == SQLPOOL_OK) own_of(r)->acked |= (rows)1 << id;
    return rc;
}
static int check_rows(run *r, rows found, const char *where) {
    const own *o = own_of(r);
    if ((found & o->acked) != o->acked)
        return fail(r, "%s lacks acknowledged rows: %llx, has %llx", where,
                    (unsigned long long)o->acked, (unsigned long long)found);
    if ((found & ~o->tried) != 0)
        return fail(r, "%s has rows that it cannot have: %llx", where, (unsigned long long)found);
    return 0;
}
static int step_read(run *r, sqlpool_error *e) {
    int64_t found = 0;
    const int rc =
        sqlpool_query_int64(r->pool, &found, "SELECT sum(1 << id) FROM kept", SQLPOOL_NO_ARGS, e);
    if (rc == SQLPOOL_OK) (void)check_rows(r, (rows)found, "a reader");
    return rc;
}

static void lay(run *r) {
    (void)r;
    files_like("care.", "", true);
    if (!write_file(DATABASE, template.bytes, template.count)) (void)fail(r, "no " DATABASE);
}
static int begin(run *r) {
    sqlpool_error error;
    return step_add(r, &error);
}
/*  May files be left that were to be removed? */
static bool may_leave(const run *r) {
    return r->fault.kind == SIM_VFS_DELETE || r->fault.from_on ||
           r->fault.code == SQLITE_BUSY; /* a partial that another one seems to have locked */
}
static int check(run *r) {
    rows kept = 0;
    if (!is_whole(r, DATABASE, &kept) || check_rows(r, kept, "the file") != 0) return 1;
    if (!may_leave(r) && files_like("care.", "-partial", false) != 0)
        return fail(r, "a partial is left");
    free(own_of(r)->bytes);
    return 0;
}

/*---- maintenance ----*/

static int step_optimize(run *r, sqlpool_error *e) {
    return sqlpool_optimize(r->pool, NULL, NULL, e);
}
static int step_analyze(run *r, sqlpool_error *e) {
    return sqlpool_analyze(r->pool, NULL, 100, NULL, e);
}
static int step_vacuum(run *r, sqlpool_error *e) {
    return sqlpool_vacuum(r->pool, SQLPOOL_AUTO_VACUUM_KEEP, NULL, e);
}
static int step_vacuum_none(run *r, sqlpool_error *e) {
    return sqlpool_vacuum(r->pool, SQLPOOL_AUTO_VACUUM_NONE, NULL, e);
}
static int step_incremental(run *r, sqlpool_error *e) {
    int64_t freed = -1;
    const int rc = sqlpool_incremental_vacuum(r->pool, 0, NULL, &freed, e);
    if (freed < 0) (void)fail(r, "incremental vacuum says %d pages", (int)freed);
    return rc;
}
static int step_vacuum_into(run *r, sqlpool_error *e) {
    rows kept = 0;
    int rc;
    (void)unlink(COPY);
    rc = sqlpool_vacuum_into(r->pool, COPY, NULL, e);
    if (rc == SQLPOOL_OK && is_whole(r, COPY, &kept)) (void)check_rows(r, kept, "the copy");
    if (rc != SQLPOOL_OK && !may_leave(r) && is_there(COPY))
        (void)fail(r, "a copy that is worth nothing is left: %s", e->message);
    return rc;
}
static int step_reindex(run *r, sqlpool_error *e) {
    return sqlpool_reindex(r->pool, NULL, NULL, e);
}
static int check_of(run *r, int kind, sqlpool_error *e) {
    sqlpool_check_result result;
    const int rc = sqlpool_check(r->pool, kind, NULL, NULL, &result, e);
    if ((rc == SQLPOOL_OK) != (result.problems == 0) && rc == SQLPOOL_OK)
        (void)fail(r, "a check is OK and has %d problems", (int)result.problems);
    return rc;
}
static int step_quick_check(run *r, sqlpool_error *e) {
    return check_of(r, SQLPOOL_CHECK_QUICK, e);
}
static int step_integrity_check(run *r, sqlpool_error *e) {
    return check_of(r, SQLPOOL_CHECK_INTEGRITY, e);
}
static int step_foreign_keys(run *r, sqlpool_error *e) {
    return check_of(r, SQLPOOL_CHECK_FOREIGN_KEYS, e);
}
static int fts5_of(run *r, int action, sqlpool_error *e) {
    if (!sqlite3_compileoption_used("ENABLE_FTS5")) return SQLPOOL_OK;
    return sqlpool_fts5(r->pool, NULL, action, NULL, e);
}
static int step_merge(run *r, sqlpool_error *e) {
    return fts5_of(r, SQLPOOL_FTS5_MERGE, e);
}
static int step_fts5_optimize(run *r, sqlpool_error *e) {
    return fts5_of(r, SQLPOOL_FTS5_OPTIMIZE, e);
}
static int step_fts5_rebuild(run *r, sqlpool_error *e) {
    return fts5_of(r, SQLPOOL_FTS5_REBUILD, e);
}
static int step_fts5_check(run *r, sqlpool_error *e) {
    return fts5_of(r, SQLPOOL_FTS5_CHECK, e);
}
static int count_table(void *user, const sqlpool_fts5_table *table) {
    *(int *)user += strcmp(table->name, "f") == 0;
    return 0;
}
static int step_fts5_configure(run *r, sqlpool_error *e) {
    int count = 0, rc;
    if (!sqlite3_compileoption_used("ENABLE_FTS5")) return SQLPOOL_OK;
    rc = sqlpool_fts5_tables(r->pool, count_table, &count, e);
    if (rc == SQLPOOL_OK && count != 1) (void)fail(r, "there are %d full-text tables", count);
    return rc == SQLPOOL_OK ? sqlpool_fts5_configure(r->pool, "f", 8, 4, e) : rc;
}
static int add_pages(void *user, const sqlpool_object_size *object) {
    *(int64_t *)user += object->pages;
    return 0;
}
static int step_sizes(run *r, sqlpool_error *e) {
    sqlpool_sizes sizes;
    int64_t pages = 0;
    int rc = sqlpool_get_sizes(r->pool, &sizes, e);
    if (rc == SQLPOOL_OK && (sizes.page_bytes != 1024 || sizes.pages < 40))
        (void)fail(r, "there are %d pages of %d bytes", (int)sizes.pages, (int)sizes.page_bytes);
    if (rc == SQLPOOL_OK) rc = sqlpool_object_sizes(r->pool, add_pages, &pages, NULL, e);
    if (rc == SQLPOOL_OK && (pages < 30 || pages > sizes.pages) && faults_so_far() == 0)
        (void)fail(r, "the objects have %d of %d pages", (int)pages, (int)sizes.pages);
    return rc;
}

/*  SQLite takes a new file whose size it cannot learn for one that was there. */
static bool explains_into(const run *r, int rc) {
    return rc == SQLITE_ERROR &&
           (r->fault.kind == SIM_VFS_FILE_SIZE || r->fault.kind == SIM_VFS_ANY);
}

/*---- migrations and index sets ----*/

static const sqlpool_migration versions[] = {
    {1, "one", "CREATE TABLE one(x, y); INSERT INTO one SELECT a, b FROM t WHERE a < 8",
     "DROP TABLE one", NULL, NULL, NULL},
    {2, "two", "CREATE TABLE two(x REFERENCES kept); ALTER TABLE one ADD COLUMN z",
     "DROP TABLE two; ALTER TABLE one RENAME TO old; CREATE TABLE one(x, y); "
     "INSERT INTO one SELECT x, y FROM old; DROP TABLE old",
     NULL, NULL, NULL}};

/*  The version that the tables are of, the one in the header, and that of the history. */
static int schema_at(run *r, const char *name) {
    sqlite3 *db = NULL;
    int64_t tables, header, history;
    if (sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        (void)fail(r, "%s cannot be opened", name);
    header = sim_plain_int64(db, "PRAGMA user_version", -1);
    tables =
        sim_plain_int64(db, "SELECT count(*) FROM sqlite_schema WHERE name IN ('one', 'two')", -1);
    if (tables !=
        sim_plain_int64(
            db, "SELECT count(*) FROM pragma_table_info('one') WHERE name IN ('y', 'z')", -1))
        tables = -1;
    if (tables > 0 &&
        sim_plain_int64(db, "SELECT count(*) FROM one WHERE length(y) = 400", -1) != 7)
        tables = -2;
    history = sim_plain_int64(db,
                              "SELECT count(*) FROM (SELECT direction, max(id) FROM "
                              "sqlpool_migrations GROUP BY version) WHERE direction <> 'down'",
                              0);
    (void)sqlite3_close(db);
    if (tables != header || history != header)
        (void)fail(r, "a schema of version %d by its tables, %d by its header, %d by its history",
                   (int)tables, (int)header, (int)history);
    return (int)header;
}
static int migrate_to(run *r, int target, int mode, sqlpool_error *e) {
    sqlpool_migrate_config config;
    sqlpool_migrate_result result;
    int rc;
    memset(&config, 0, sizeof config);
    config.steps = versions;
    config.step_count = 2;
    config.target = target;
    config.mode = mode;
    config.application_id = 0x63617265;
    rc = sqlpool_migrate(r->pool, &config, NULL, &result, e);
    if (rc != SQLPOOL_OK || mode == SQLPOOL_MIGRATE_RUN) {
        const int at = schema_at(r, DATABASE);
        const int wanted = target == SQLPOOL_OFF ? 0 : 2;
        if (rc == SQLPOOL_OK && at != wanted) (void)fail(r, "it migrated to version %d", at);
        if (rc != SQLPOOL_OK && result.failed_version != 0 && mode == SQLPOOL_MIGRATE_RUN &&
            e->outcome != SQLPOOL_OUTCOME_UNKNOWN && at != result.to)
            (void)fail(r, "it says version %d, and is at %d: %s", result.to, at, e->message);
    }
    return rc;
}
static int step_up(run *r, sqlpool_error *e) {
    return migrate_to(r, 0, SQLPOOL_MIGRATE_RUN, e);
}
static int step_down(run *r, sqlpool_error *e) {
    return migrate_to(r, SQLPOOL_OFF, SQLPOOL_MIGRATE_RUN, e);
}
static int step_dry(run *r, sqlpool_error *e) {
    return migrate_to(r, 0, SQLPOOL_MIGRATE_DRY_RUN, e);
}
static int step_would_go(run *r, sqlpool_error *e) {
    return migrate_to(r, 0, SQLPOOL_MIGRATE_CHECK, e);
}
static int check_schema(run *r) {
    (void)schema_at(r, DATABASE);
    return check(r);
}
/*  A schema is loaded without its statistics when those cannot be read; the transaction is over. */
static bool explains_migrate(const run *r, int rc) {
    (void)r;
    return rc == SQLPOOL_ROLLED_BACK && ((sim_vfs.primaries >> SQLITE_IOERR) & 1) != 0;
}

static const char *const indexes[] = {"CREATE UNIQUE INDEX care_1 ON t(a, length(b) DESC)",
                                      "CREATE INDEX care_2 ON t(c) WHERE c > 4"};
static int set_of(run *r, int what, sqlpool_error *e) {
    sqlpool_index_set set;
    sqlpool_index_report reports[2];
    int rc, i;
    memset(&set, 0, sizeof set);
    set.name = "care";
    set.indexes = indexes;
    set.index_count = 2;
    rc = what > 0   ? sqlpool_index_set_create(r->pool, &set, NULL, reports, e)
         : what < 0 ? sqlpool_index_set_drop(r->pool, &set, NULL, reports, e)
                    : sqlpool_index_set_check(r->pool, &set, reports, e);
    for (i = 0; i < 2 && rc == SQLPOOL_OK; i++) {
        if (reports[i].state != (what < 0 ? SQLPOOL_INDEX_MISSING : SQLPOOL_INDEX_EXISTS))
            (void)fail(r, "index %d is in state %d", i, reports[i].state);
    }
    return rc;
}
static int step_create(run *r, sqlpool_error *e) {
    return set_of(r, 1, e);
}
static int step_exist(run *r, sqlpool_error *e) {
    const int rc = set_of(r, 0, e);
    if (rc == SQLPOOL_NOT_FOUND) return set_of(r, 1, e); /* the step before has failed */
    return rc;
}
static int step_drop(run *r, sqlpool_error *e) {
    return set_of(r, -1, e);
}

/*---- backups ----*/

/*  A page that cannot be read is a problem to a check, and one more problem ends no check. */
static bool explains_reading(const run *r, int rc) {
    const bool is_read = r->fault.kind == SIM_VFS_READ || r->fault.kind == SIM_VFS_ANY;
    return is_read && (rc == SQLPOOL_BAD_BACKUP || rc == SQLITE_NOTADB ||
                       (rc > 0 && (rc & 0xff) == SQLITE_CORRUPT));
}
/*  A name of which nobody can say what it is may not be taken; every other failure has its result. */
static bool explains_system(const run *r, int rc) {
    (void)r;
    return rc == SQLITE_FULL || rc == SQLITE_READONLY || rc == SQLITE_IOERR || rc == SQLITE_BUSY ||
           rc == SQLPOOL_TARGET || rc == SQLPOOL_NOMEM;
}
static bool explains_archive(const run *r, int rc) {
    const int code = r->fault.code;
    if (r->fault.kind == IO_FILES + SIM_FILES_SYSTEM && sim_files.faults > 0)
        return explains_system(r, rc);
    if (sim_files.faults == 0) return explains_reading(r, rc);
    switch (rc) {
    case SQLITE_FULL:
        return code == ENOSPC;
    case SQLITE_READONLY:
        return code == EACCES;
    case SQLITE_IOERR:
        return code == EIO || code == EXDEV;
    case SQLPOOL_TARGET:
        return code == ENOENT || code == EEXIST || r->fault.kind == IO_FILES + SIM_FILES_LOOK;
    case SQLITE_BUSY:
        return code == EEXIST && r->fault.kind == IO_FILES + SIM_FILES_CREATE;
    case SQLPOOL_NOMEM: /* a hundred names for the old database, and all of them taken */
        return r->fault.kind == IO_FILES + SIM_FILES_LOOK && r->fault.from_on;
    default:
        return false;
    }
}
static sqlpool_backup_config config_of(const run *r, int keep) {
    sqlpool_backup_config config;
    memset(&config, 0, sizeof config);
    config.keep = keep;
    config.step_pages = 16;
    if (!(r->work->asks & WORK_SYSTEM)) config.files = sim_files_hooks();
    return config;
}

/*  Is this file a backup, by the library's own word, and what is in it? Without faults. */
static bool is_backup(run *r, const char *name, rows *kept) {
    sqlpool_error error;
    bool ok = true;
    const pause_state p = pause_faults();
    if (sqlpool_backup_verify(r->pool, name, NULL, NULL, NULL, &error) != SQLPOOL_OK) {
        (void)fail(r, "%s: %s", name, error.message);
        ok = false;
    }
    resume_faults(p);
    return ok && is_whole(r, name, kept);
}

/*  With `keep`, every backup that was there is there, or a newer one is in its place. */
static void check_target(run *r, int rc, int keep, const sqlpool_error *e) {
    own *o = own_of(r);
    const rows was = o->older;
    rows now = 0, before = 0;
    const bool is_new =
        is_there(TARGET) && is_backup(r, TARGET, &now) && (now & o->newer) == o->newer;
    if (r->why[0] != '\0') return;
    if (rc == SQLPOOL_OK && !is_new) (void)fail(r, "a backup is said to be made, and is not");
    if (!is_new && is_there(TARGET) && now != was)
        (void)fail(r, "the target is neither the old nor the new backup: %llx",
                   (unsigned long long)now);
    if (keep > 1 && was != 0) {
        if (is_there(TARGET ".1")) (void)is_backup(r, TARGET ".1", &before);
        if (now != was && before != was)
            (void)fail(r, "the backup before is nowhere: %s", rc == SQLPOOL_OK ? "" : e->message);
    } else if (was == 0 && is_there(TARGET) && rc != SQLPOOL_OK &&
               strstr(e->message, "syncing the folder") == NULL) {
        (void)fail(r, "it failed, and a target is there: %s", e->message);
    }
    if (rc != SQLPOOL_OK && !may_leave(r) && files_like("care.", "-partial", false) != 0)
        (void)fail(r, "a partial is left by what failed: %s", e->message);
    if (is_there(TARGET) && r->why[0] == '\0') o->older = now;
}
/*  A folder that was not synced is told of. */
static void check_synced(run *r, uint64_t faults, int rc) {
    if (r->fault.kind == IO_FILES + SIM_FILES_SYNC && sim_files.faults > faults && rc == SQLPOOL_OK)
        (void)fail(r, "it says nothing of a folder that was not synced");
}
static int backup_of(run *r, int keep, sqlpool_error *e) {
    const sqlpool_backup_config config = config_of(r, keep);
    own *o = own_of(r);
    sqlpool_backup_info info;
    const uint64_t faults = sim_files.faults;
    int rc;
    o->newer = o->acked;
    rc = sqlpool_backup(r->pool, TARGET, &config, NULL, &info, e);
    check_synced(r, faults, rc);
    check_target(r, rc, keep, e);
    if (rc == SQLPOOL_OK && (strcmp(info.path, TARGET) != 0 || !info.has_metadata))
        (void)fail(r, "the backup is \"%s\"", info.path);
    return rc;
}
static int step_backup_new(run *r, sqlpool_error *e) {
    (void)unlink(TARGET); /* a first try may have failed behind it */
    own_of(r)->older = 0;
    return backup_of(r, 0, e);
}
static int step_backup_over(run *r, sqlpool_error *e) {
    return backup_of(r, 3, e);
}
static int step_backup_two(run *r, sqlpool_error *e) {
    return backup_of(r, 2, e);
}
static int step_verify(run *r, sqlpool_error *e) {
    const sqlpool_backup_config config = config_of(r, 0);
    sqlpool_backup_info info;
    const int rc = sqlpool_backup_verify(r->pool, TARGET, &config, NULL, &info, e);
    if (rc == SQLPOOL_OK && (!info.has_metadata || info.page_bytes != 1024))
        (void)fail(r, "a backup is good without its metadata");
    return rc;
}
/*  A backup with the rows that there are now, and one more row behind it. */
static int begin_with_backup(run *r) {
    const sqlpool_backup_config config = {.keep = 2};
    sqlpool_error error;
    int rc = begin(r);
    if (rc == SQLPOOL_OK) rc = sqlpool_backup(r->pool, TARGET, &config, NULL, NULL, &error);
    own_of(r)->older = own_of(r)->acked;
    return rc == SQLPOOL_OK ? step_add(r, &error) : rc;
}
static int begin_with_two(run *r) {
    const sqlpool_backup_config config = {.keep = 2};
    sqlpool_error error;
    int rc = begin_with_backup(r);
    if (rc == SQLPOOL_OK) rc = sqlpool_backup(r->pool, TARGET, &config, NULL, NULL, &error);
    own_of(r)->older = own_of(r)->acked;
    return rc == SQLPOOL_OK ? step_add(r, &error) : rc;
}

static int take_bytes(void *user, const void *data, size_t bytes) {
    own *o = (own *)user;
    if (o->used + bytes > o->room) {
        char *more = (char *)realloc(o->bytes, (o->used + bytes) * 2);
        if (more == NULL) return SQLPOOL_NOMEM;
        o->bytes = more;
        o->room = (o->used + bytes) * 2;
    }
    memcpy(o->bytes + o->used, data, bytes);
    o->used += bytes;
    return 0;
}
static int step_stream(run *r, sqlpool_error *e) {
    sqlpool_backup_config config = config_of(r, 0);
    own *o = own_of(r);
    rows kept = 0;
    int rc;
    config.write_fn = take_bytes;
    config.user = o;
    o->used = 0;
    rc = sqlpool_backup(r->pool, NULL, &config, NULL, NULL, e);
    if (rc == SQLPOOL_OK) {
        if (!write_file(COPY, o->bytes, o->used)) (void)fail(r, "no " COPY);
        if (is_backup(r, COPY, &kept)) (void)check_rows(r, kept, "the stream");
    }
    if (!may_leave(r) && files_like(DATABASE "-stream", "", false) != 0)
        (void)fail(r, "a streamed backup leaves a file");
    return rc;
}

/*---- restore and salvage ----*/

/*  Neither of the two is there: the error says under which name the old one is, and nothing new has
    come in its place. */
static void give_back_name(run *r, const sqlpool_error *e) {
    const char *kept = strstr(e->message, DATABASE ".replaced-");
    char name[100];
    size_t length = 0;
    if (kept == NULL) {
        (void)fail(r, "the database is nowhere: %s", e->message);
        return;
    }
    length = strcspn(kept, "\"");
    (void)snprintf(name, sizeof name, "%.*s", (int)length, kept);
    if (sqlpool_exec(r->pool, "SELECT 1", SQLPOOL_NO_ARGS, NULL) != SQLPOOL_MOVED)
        (void)fail(r, "the pool goes on without its database");
    if (is_there(DATABASE) || rename(name, DATABASE) != 0)
        (void)fail(r, "%s cannot have its name back", name);
    {
        const pause_state p = pause_faults();
        if (sqlpool_recycle(r->pool) != SQLPOOL_OK) (void)fail(r, "recycle does not help");
        resume_faults(p);
    }
}

static int restore_of(run *r, bool or_older, sqlpool_error *e) {
    sqlpool_backup_config config = config_of(r, 0);
    own *o = own_of(r);
    sqlpool_backup_info info;
    const uint64_t faults = sim_files.faults;
    rows kept = 0;
    int rc;
    bool is_new;
    config.or_older = or_older;
    memset(e, 0, sizeof *e);
    rc = sqlpool_restore(r->pool, TARGET, &config, NULL, &info, e);
    check_synced(r, faults, rc);
    is_new = rc == SQLPOOL_OK || strstr(e->message, "was replaced, but") != NULL;
    if (is_new) {
        rows was = 0;
        if (info.kept[0] == '\0') (void)fail(r, "the replaced database has no name");
        /* it is whole by itself: all that was acknowledged is in it */
        if (r->why[0] == '\0' && is_whole(r, info.kept, &was))
            (void)check_rows(r, was, "the replaced database");
        o->acked = o->tried = o->older;
        o->was_restored = true;
    }
    if (rc != SQLPOOL_OK && !is_there(DATABASE)) give_back_name(r, e);
    if (is_whole(r, DATABASE, &kept)) {
        if (is_new && kept != o->older)
            (void)fail(r, "restored are the rows %llx, not %llx", (unsigned long long)kept,
                       (unsigned long long)o->older);
        (void)check_rows(r, kept, is_new ? "the new database" : "the old database");
    }
    if (rc != SQLPOOL_OK && !may_leave(r) && files_like("care.", "-partial", false) != 0)
        (void)fail(r, "a partial is left by what failed: %s", e->message);
    if (rc != SQLPOOL_OK && !is_new && !may_leave(r) && !o->was_restored &&
        files_like(DATABASE, ".replaced-", false) != 0)
        (void)fail(r, "a second name of the database is left: %s", e->message);
    return rc;
}
static int step_restore(run *r, sqlpool_error *e) {
    return restore_of(r, false, e);
}
/*  The target is bad, and the one before it is taken. */
static int begin_with_bad(run *r) {
    image bad;
    int rc = begin_with_two(r);
    own *o = own_of(r);
    if (rc != SQLPOOL_OK || !read_file(TARGET, &bad)) return SQLPOOL_TARGET;
    bad.bytes[2000] ^= 1;
    if (!write_file(TARGET, bad.bytes, bad.count)) rc = SQLPOOL_TARGET;
    free(bad.bytes);
    o->older = 1; /* the first row */
    return rc;
}
static int step_restore_older(run *r, sqlpool_error *e) {
    return restore_of(r, true, e);
}

static void lay_hurt(run *r) {
    lay(r);
    if (!write_file(HURT, hurt.bytes, hurt.count)) (void)fail(r, "no " HURT);
}
static int salvage_of(run *r, const char *source, sqlpool_error *e) {
    const sqlpool_backup_config config = config_of(r, 0);
    own *o = own_of(r);
    sqlpool_salvage_info info;
    int64_t least, most;
    uint64_t faults;
    int rc;
    (void)unlink(SAVED);
    faults = sim_files.faults;
    rc = sqlpool_salvage(r->pool, source, SAVED, &config, NULL, &info, e);
    check_synced(r, faults, rc);
    if (rc == SQLPOOL_OK) {
        sqlpool_error error;
        const pause_state p = pause_faults();
        if (sqlpool_backup_verify(r->pool, SAVED, NULL, NULL, NULL, &error) != SQLPOOL_OK)
            (void)fail(r, "what was salvaged: %s", error.message);
        resume_faults(p);
        least = o->whole.rows + (source == NULL ? __builtin_popcountll(o->acked) - 1 : 0);
        most = o->whole.rows + (source == NULL ? __builtin_popcountll(o->tried) - 1 : 0);
        if (info.rows > most || (info.rows < least && info.first_problem[0] == '\0'))
            (void)fail(r, "%d of %d rows, and nothing is said to be lost", (int)info.rows,
                       (int)least);
    } else {
        if (is_there(SAVED) && strstr(e->message, "syncing the folder") == NULL)
            (void)fail(r, "what failed has left a file: %s", e->message);
        if (!may_leave(r) && files_like("care.", "-partial", false) != 0)
            (void)fail(r, "a partial is left by what failed: %s", e->message);
    }
    return rc;
}
static int begin_salvage_of(run *r, const char *source) {
    sqlpool_error error;
    int rc = begin(r);
    if (rc != SQLPOOL_OK) return rc;
    rc = sqlpool_salvage(r->pool, source, SAVED, NULL, NULL, &own_of(r)->whole, &error);
    (void)unlink(SAVED);
    if (rc == SQLPOOL_OK && (own_of(r)->whole.tables_damaged > 0) != (source != NULL))
        (void)fail(r, "salvage: %s", own_of(r)->whole.first_problem);
    return rc;
}
static int begin_salvage(run *r) {
    return begin_salvage_of(r, HURT);
}
static int begin_salvage_own(run *r) {
    return begin_salvage_of(r, NULL);
}
static int step_salvage(run *r, sqlpool_error *e) {
    return salvage_of(r, HURT, e);
}
static int step_salvage_own(run *r, sqlpool_error *e) {
    return salvage_of(r, NULL, e);
}
/*  Where the older ones cannot be had either, the error is that of the newest; what a salvage cannot
    read at all is bad too. */
static bool explains_older(const run *r, int rc) {
    return explains_archive(r, rc) || rc == SQLPOOL_BAD_BACKUP;
}

/*---- schedule ----*/

static int call_task(sqlpool *pool, const sqlpool_maintenance *options, void *user,
                     sqlpool_error *error) {
    (void)options, (void)user;
    return sqlpool_exec(pool, "UPDATE t SET c = 3 WHERE a = 3", SQLPOOL_NO_ARGS, error);
}
static const sqlpool_task tasks[] = {
    {.name = "call", .kind = SQLPOOL_TASK_CALL, .interval_s = 60, .fn = call_task},
    {.name = "quick", .kind = SQLPOOL_TASK_QUICK_CHECK, .interval_s = 60},
    {.name = "vacuum", .kind = SQLPOOL_TASK_INCREMENTAL_VACUUM, .interval_s = 60},
    {.name = "backup", .kind = SQLPOOL_TASK_BACKUP, .interval_s = 60, .path = TARGET, .keep = 2},
    {.name = "integrity", .kind = SQLPOOL_TASK_INTEGRITY_CHECK, .interval_s = 60, .path = COPY}};
enum { TASKS = sizeof tasks / sizeof *tasks };

static int schedule_of(run *r, sqlpool_error *e) {
    sqlpool_schedule_config config;
    memset(&config, 0, sizeof config);
    config.tasks = tasks;
    config.count = TASKS;
    config.keep_state = true;
    return sqlpool_schedule(r->pool, &config, e);
}
static int step_schedule(run *r, sqlpool_error *e) {
    int rc = schedule_of(r, e);
    sqlpool_task_state states[TASKS];
    if (rc == SQLPOOL_OK && sqlpool_schedule_state(r->pool, states, TASKS) != TASKS)
        (void)fail(r, "tasks are missing");
    return rc;
}
/*  A run, and what is known of it then, in memory and in the file. */
static int run_task(run *r, int i, sqlpool_error *e) {
    sqlpool_task_state states[TASKS];
    int64_t runs;
    int rc = sqlpool_schedule_run(r->pool, tasks[i].name, e);
    if (rc == SQLPOOL_NOT_FOUND) { /* the step before has failed */
        rc = schedule_of(r, e);
        if (rc == SQLPOOL_OK) rc = sqlpool_schedule_run(r->pool, tasks[i].name, e);
        if (rc != SQLPOOL_OK) return rc;
    }
    if (sqlpool_schedule_state(r->pool, states, TASKS) != TASKS)
        return fail(r, "tasks are missing");
    runs = states[i].runs;
    if (states[i].is_running) (void)fail(r, "%s runs still", tasks[i].name);
    if (rc == SQLPOOL_OK) {
        int64_t in_file = -1;
        sqlpool_error error;
        char sql[100];
        (void)snprintf(sql, sizeof sql, "SELECT runs FROM sqlpool_task WHERE name='%s'",
                       tasks[i].name);
        {
            const pause_state p = pause_faults();
            if (sqlpool_query_int64(r->pool, &in_file, sql, SQLPOOL_NO_ARGS, &error) != SQLPOOL_OK)
                (void)fail(r, "%s: %s", tasks[i].name, error.message);
            resume_faults(p);
        }
        if (runs < 1 || states[i].result != SQLPOOL_OK)
            (void)fail(r, "%s: %d runs, result %d", tasks[i].name, (int)runs, states[i].result);
        if (in_file != runs && faults_so_far() == 0)
            (void)fail(r, "%s: %d runs, and %d in the file", tasks[i].name, (int)runs,
                       (int)in_file);
    }
    if (i == 3) {
        own_of(r)->newer = own_of(r)->acked;
        check_target(r, rc, 2, e);
    }
    return rc;
}
static int step_call(run *r, sqlpool_error *e) {
    return run_task(r, 0, e);
}
static int step_quick(run *r, sqlpool_error *e) {
    return run_task(r, 1, e);
}
static int step_free_pages(run *r, sqlpool_error *e) {
    return run_task(r, 2, e);
}
static int step_task_backup(run *r, sqlpool_error *e) {
    return run_task(r, 3, e);
}
static int step_integrity(run *r, sqlpool_error *e) {
    return run_task(r, 4, e);
}

/*---- all of it ----*/

#define STEPS(...) \
    .steps = (const step[]){__VA_ARGS__, {"add", step_add}, {"read", step_read}}, \
    .count = sizeof((const step[]){__VA_ARGS__}) / sizeof(step) + 2, \
    .again = sizeof((const step[]){__VA_ARGS__}) / sizeof(step) + 2, .own_bytes = sizeof(own), \
    .path = DATABASE
#define CARE .lay_fn = lay, .begin_fn = begin, .check_fn = check

static const work works[] = {
    {.name = "optimize", CARE, STEPS({"optimize", step_optimize}, {"analyze", step_analyze})},
    {.name = "vacuum", CARE, STEPS({"vacuum", step_vacuum})},
    {.name = "vacuum_none", CARE, STEPS({"vacuum", step_vacuum_none})},
    {.name = "incremental", CARE, STEPS({"incremental vacuum", step_incremental})},
    {.name = "vacuum_into",
     CARE,
     .explains_fn = explains_into,
     STEPS({"vacuum into", step_vacuum_into})},
    {.name = "reindex", CARE, STEPS({"reindex", step_reindex})},
    {.name = "check",
     CARE,
     .asks = WORK_SHORT,
     .explains_fn = explains_reading,
     STEPS({"quick check", step_quick_check}, {"integrity check", step_integrity_check},
           {"foreign keys", step_foreign_keys}, {"sizes", step_sizes})},
    {.name = "fts5",
     CARE,
     STEPS({"merge", step_merge}, {"optimize", step_fts5_optimize}, {"rebuild", step_fts5_rebuild},
           {"check", step_fts5_check}, {"configure", step_fts5_configure})},
    {.name = "migrate",
     .lay_fn = lay,
     .begin_fn = begin,
     .check_fn = check_schema,
     .explains_fn = explains_migrate,
     STEPS({"would go", step_would_go}, {"dry run", step_dry}, {"up", step_up},
           {"down", step_down})},
    {.name = "indexes",
     CARE,
     .explains_fn = explains_migrate,
     STEPS({"create", step_create}, {"check", step_exist}, {"drop", step_drop})},
    {.name = "schedule",
     CARE,
     .asks = WORK_WAL_ONLY,
     .explains_fn = explains_archive,
     STEPS({"schedule", step_schedule}, {"call", step_call}, {"quick", step_quick},
           {"vacuum", step_free_pages}, {"backup", step_task_backup},
           {"integrity", step_integrity})},
    {.name = "backup",
     CARE,
     .asks = WORK_FILES,
     .explains_fn = explains_archive,
     STEPS({"backup", step_backup_new})},
    {.name = "rotate",
     .lay_fn = lay,
     .begin_fn = begin_with_backup,
     .check_fn = check,
     .asks = WORK_FILES | WORK_WAL_ONLY,
     .explains_fn = explains_archive,
     STEPS({"backup", step_backup_over})},
    {.name = "rotate_two",
     .lay_fn = lay,
     .begin_fn = begin_with_two,
     .check_fn = check,
     .asks = WORK_FILES | WORK_WAL_ONLY,
     .explains_fn = explains_archive,
     STEPS({"backup", step_backup_two})},
    {.name = "verify",
     .lay_fn = lay,
     .begin_fn = begin_with_backup,
     .check_fn = check,
     .asks = WORK_FILES | WORK_WAL_ONLY | WORK_SHORT,
     .explains_fn = explains_archive,
     STEPS({"verify", step_verify})},
    {.name = "stream",
     CARE,
     .asks = WORK_FILES | WORK_WAL_ONLY,
     .explains_fn = explains_archive,
     STEPS({"stream", step_stream})},
    {.name = "restore",
     .lay_fn = lay,
     .begin_fn = begin_with_backup,
     .check_fn = check,
     .asks = WORK_FILES,
     .explains_fn = explains_archive,
     STEPS({"restore", step_restore})},
    {.name = "restore_older",
     .lay_fn = lay,
     .begin_fn = begin_with_bad,
     .check_fn = check,
     .asks = WORK_FILES | WORK_WAL_ONLY,
     .explains_fn = explains_older,
     STEPS({"restore", step_restore_older})},
    {.name = "rotate_no_links",
     .lay_fn = lay,
     .begin_fn = begin_with_two,
     .check_fn = check,
     .asks = WORK_FILES | WORK_NO_LINKS | WORK_WAL_ONLY,
     .explains_fn = explains_archive,
     STEPS({"backup", step_backup_two})},
    {.name = "restore_no_links",
     .lay_fn = lay,
     .begin_fn = begin_with_backup,
     .check_fn = check,
     .asks = WORK_FILES | WORK_NO_LINKS | WORK_WAL_ONLY,
     .explains_fn = explains_archive,
     STEPS({"restore", step_restore})},
    {.name = "system_backup",
     .lay_fn = lay,
     .begin_fn = begin_with_backup,
     .check_fn = check,
     .asks = WORK_SYSTEM | WORK_WAL_ONLY,
     .explains_fn = explains_archive,
     STEPS({"backup", step_backup_two})},
    {.name = "system_restore",
     .lay_fn = lay,
     .begin_fn = begin_with_backup,
     .check_fn = check,
     .asks = WORK_SYSTEM,
     .explains_fn = explains_archive,
     STEPS({"restore", step_restore})},
    {.name = "salvage",
     .lay_fn = lay_hurt,
     .begin_fn = begin_salvage,
     .check_fn = check,
     .asks = WORK_FILES | WORK_WAL_ONLY,
     .explains_fn = explains_older,
     STEPS({"salvage", step_salvage})},
    {.name = "salvage_own",
     .lay_fn = lay,
     .begin_fn = begin_salvage_own,
     .check_fn = check,
     .asks = WORK_FILES,
     .explains_fn = explains_older,
     STEPS({"salvage", step_salvage_own})},
};
enum { WORKS = sizeof works / sizeof *works };

/*---- what must be noticed ----*/

static int control_cut(run *r, sqlpool_error *e) {
    (void)e;
    if (truncate(TARGET, 20480) != 0) return SQLPOOL_OK;
    check_target(r, SQLPOOL_OK, 0, e);
    return SQLPOOL_OK;
}
static int control_lost(run *r, sqlpool_error *e) {
    own_of(r)->newer = own_of(r)->acked | 1u << 20; /* as if it had come before the backup */
    check_target(r, SQLPOOL_OK, 0, e);
    return SQLPOOL_OK;
}
static int control_version(run *r, sqlpool_error *e) {
    return sqlpool_exec(r->pool, "UPDATE sqlpool_migrations SET direction = 'down'",
                        SQLPOOL_NO_ARGS, e);
}
static int control_partial(run *r, sqlpool_error *e) {
    (void)e;
    if (!write_file(TARGET "-partial", "x", 1)) (void)fail(r, "no partial");
    return SQLPOOL_OK;
}
static int control_row(run *r, sqlpool_error *e) {
    return sqlpool_exec(r->pool, "DELETE FROM kept WHERE id = 0", SQLPOOL_NO_ARGS, e);
}
static int control_silent(run *r, sqlpool_error *e) {
    (void)r;
    e->result = SQLITE_IOERR;
    return SQLITE_IOERR;
}
static sqlite3 *left_open;
static int control_leak(run *r, sqlpool_error *e) {
    (void)r, (void)e;
    return sqlite3_open_v2(DATABASE, &left_open, SQLITE_OPEN_READONLY, "sim");
}

/*  Workloads that do what none may do. */
static const struct {
    work work;
    const char *words;
} controls[] = {
    {{.name = "cut", CARE, STEPS({"backup", step_backup_new}, {"cut", control_cut})},
     "is no good backup"},
    {{.name = "lost", CARE, STEPS({"backup", step_backup_new}, {"lost", control_lost})},
     "is said to be made, and is not"},
    {{.name = "version",
      .lay_fn = lay,
      .begin_fn = begin,
      .check_fn = check_schema,
      STEPS({"up", step_up}, {"version", control_version})},
     "by its history"},
    {{.name = "partial", CARE, STEPS({"partial", control_partial})}, "a partial is left"},
    {{.name = "row", CARE, STEPS({"row", control_row})}, "lacks acknowledged rows"},
    {{.name = "silent", CARE, STEPS({"silent", control_silent})}, "after a fault of nothing"},
    {{.name = "leak", CARE, STEPS({"leak", control_leak})}, "left open"},
};
TEST(control_what_may_not_be_is_seen) {
    const sim_vfs_fault none = {0, SIM_VFS_ANY, 0, 0, 0};
    size_t i;
    for (i = 0; i < sizeof controls / sizeof *controls; i++) {
        run *r = new_run(&controls[i].work);
        const int bad = one_run(r, none, true);
        (void)sqlite3_close(left_open);
        left_open = NULL;
        sim_locks_forget(&r->locks);
        sim_alloc_forget();
        if (!bad) test_fail(__FILE__, __LINE__, "%s is not seen", controls[i].work.name);
        CHECK_HAS(r->why, controls[i].words);
        end_run(r);
    }
}
/*  A disk that says OK and writes nothing. */
TEST(control_lying_disk_is_seen) {
    static const char *const names[] = {"vacuum", "migrate", "backup", "restore"};
    size_t i, n;
    for (n = 0; n < sizeof names / sizeof *names; n++) {
        for (i = 0; i < WORKS && strcmp(works[i].name, names[n]) != 0; i++) {
        }
        CHECK_INT(lies_seen(&works[i], 3), 3);
    }
}

static const work *work_of(const char *name) {
    int i;
    for (i = 0; i < WORKS; i++)
        if (strcmp(works[i].name, name) == 0) return &works[i];
    abort();
}
/*  A log that cannot be removed is not left beside the restored file, and a journal that is to be
    rolled back does not keep a salvage from reading. */
TEST(files_that_cannot_be_removed) {
    sim_vfs_fault fault = {1, SIM_VFS_DELETE, 0, 1, 0};
    for (; fault.at <= 7; fault.at++) {
        CHECK_INT(try_run(work_of("restore"), fault, true), 0);
        CHECK_INT(try_run(work_of("salvage_own"), fault, false), 0);
    }
}

TEST(every_call_wal) {
    loop(works, WORKS, true, 4);
}
TEST(every_call_delete) {
    loop(works, WORKS, false, 2);
}

int main(int argc, char **argv) {
    const int done = io_begin(argc, argv, works, WORKS, make_files);
    if (done >= 0) return done;
    RUN(control_what_may_not_be_is_seen);
    RUN(control_lying_disk_is_seen);
    RUN(files_that_cannot_be_removed);
    RUN(every_call_wal);
    RUN(every_call_delete);
    return test_end();
}
