/*  group.c - fuzz: a list of writes through groups (I20, I21) must leave and answer what the same
    list does one by one under SQLite's autocommit. SPDX-License-Identifier: MIT OR Unlicense

    An input is lines. The first is digits: 0 ":memory:" or 1 a file, then the size of a group. Each
    other line is a letter and SQL; '|' separates the statements of a function:
        s submit            a submit with two arguments       e exec, after a flush   p script
        w function that ends with the first error             k function that goes on after errors
        n function, each statement in a savepoint of its own  x function that returns 70000
        t tick              c cancel the submission before it
    Plain SQLite runs the list first, which also says what is left out: what the pool refuses, what
    depends on the connection or the clock, and what runs too long. */
#include "fuzz/fuzz.h"

/* clang-format off */
static const char *const fuzz_words[] = {
    "\nsINSERT INTO a(id,v) VALUES(", "\nsINSERT OR ROLLBACK INTO a VALUES(1,1)", "\nw", "\nk",
    "\nn",
    "\nx", "\ns", "\na", "\ne", "\np", "\nt", "\nc", "|", ";",
    "INSERT INTO a(v) VALUES(1),(2),(NULL)",
    "INSERT OR FAIL INTO a VALUES(9,1),(1,1),(8,1)", "INSERT OR IGNORE INTO a VALUES(1,1)",
    "INSERT OR REPLACE INTO a VALUES(1,1)", "UPDATE a SET v=v+1", "UPDATE OR FAIL a SET id=id+1",
    "DELETE FROM a", "DELETE FROM parent", "INSERT INTO child VALUES(77)",
    "INSERT INTO late VALUES(77)", "INSERT INTO t VALUES('abort')", "INSERT INTO t VALUES('fail')",
    "INSERT INTO t VALUES('rollback')", "INSERT INTO t VALUES('ignore')",
    "UPDATE a SET v=fail(13)", "SELECT fail(10) FROM a", "fail(", "zeroblob(99999)",
    "zeroblob(100001)",
    "CREATE TABLE z(q)", "DROP TABLE a", "CREATE INDEX i ON a(v)", "ALTER TABLE a RENAME TO r",
    "CREATE TRIGGER g AFTER INSERT ON a BEGIN UPDATE b SET n=n+1; END", " WHERE id=1", "VALUES",
    " RETURNING id", " ON CONFLICT DO UPDATE SET v=9", "NULL", "?", "1", "2", "(3,3)", ",", "id",
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n<9) ",
    "INSERT INTO b SELECT v FROM a", "REPLACE INTO u VALUES(1,2)", NULL};

static const char *const fixed_seeds[] = {
    "064\nsINSERT INTO a VALUES(1,1)\nsINSERT INTO a VALUES(1,2)\nsINSERT INTO a VALUES(2,2)",
    "164\nsINSERT INTO a VALUES(1,1)\nsINSERT OR ROLLBACK INTO a VALUES(3,3),(1,1)\nsUPDATE a "
    "SET v=5",
    "064\nsINSERT INTO a VALUES(4,1),(5,2),(3,3),(6,NULL)\nsINSERT INTO b VALUES(1)",
    "064\nsINSERT OR FAIL INTO a VALUES(5,1),(3,1),(6,1)\nsINSERT OR ROLLBACK INTO a VALUES(3,1)",
    "064\nwINSERT INTO a VALUES(7,7)|INSERT INTO late VALUES(99)\nsINSERT INTO b VALUES(2)",
    "064\nkINSERT INTO b VALUES(1)|INSERT OR ROLLBACK INTO a VALUES(3,1)|INSERT INTO b VALUES(2)",
    "064\nnINSERT INTO b VALUES(1)|INSERT OR FAIL INTO a VALUES(6,1),(3,1)|INSERT INTO b "
    "VALUES(2)\nt",
    "064\nxINSERT INTO b VALUES(1)\nsUPDATE b SET n=n+1\nc\nsINSERT INTO child VALUES(1)",
    "064\nsINSERT INTO t VALUES('fail')\nsINSERT INTO t VALUES('rollback')\nsINSERT INTO t "
    "VALUES('ok')",
    "062\naINSERT INTO a VALUES(?,?)\naINSERT INTO a VALUES(?,?)\nsINSERT INTO a VALUES(?,1)",
    "063\nsINSERT INTO b VALUES(1)\nsINSERT INTO b SELECT fail(13)\nsINSERT INTO b "
    "VALUES(zeroblob(100001))",
    "064\nsUPDATE b SET n=fail(10)\nsINSERT INTO b VALUES(fail(7))\nwINSERT INTO b VALUES(fail(9))",
    "164\nsCREATE TABLE z(q)\nsINSERT INTO z VALUES(1)\nsDROP TABLE z\nsINSERT INTO z VALUES(2)",
    "064\npINSERT INTO b VALUES(1);INSERT INTO a VALUES(3,3)\neDELETE FROM b RETURNING "
    "n\nsINSERT INTO",
    "064\nsINSERT OR REPLACE INTO u VALUES(1,2)\nsINSERT INTO u VALUES(1,1) ON CONFLICT DO "
    "NOTHING"};
/* clang-format on */

static void fuzz_seeds(void) {
    size_t i;
    for (i = 0; i < LENGTH(fixed_seeds); i++) fuzz_seed_text(fixed_seeds[i]);
}

/* clang-format off */
static const char *const schema =
    "CREATE TABLE a(id INTEGER PRIMARY KEY, v NOT NULL CHECK(typeof(v)<>'blob' OR length(v)<9));"
    "CREATE TABLE b(n);CREATE TABLE u(x UNIQUE, y);CREATE TABLE parent(id INTEGER PRIMARY KEY);"
    "CREATE TABLE child(p REFERENCES parent(id));"
    "CREATE TABLE late(p REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED);"
    "CREATE TABLE t(what);"
    "CREATE TRIGGER t1 AFTER INSERT ON t BEGIN INSERT INTO b VALUES(new.what);"
    " SELECT CASE new.what WHEN 'abort' THEN raise(ABORT,'a') WHEN 'fail' THEN raise(FAIL,'f')"
    " WHEN 'rollback' THEN raise(ROLLBACK,'r') WHEN 'ignore' THEN raise(IGNORE) END; END;"
    "INSERT INTO a VALUES(3,'three');INSERT INTO b VALUES(0);INSERT INTO parent VALUES(1),(2);"
    "INSERT INTO child VALUES(2);INSERT INTO u VALUES(1,1);";
/* clang-format on */

enum { ITEMS = 24, PARTS = 6, MOST_STEPS = 200, FN_RESULT = 70000, LONGEST_VALUE = 100000 };

typedef struct item {
    char kind;
    char text[400];
    char *parts[PARTS]; /* of `text` */
    int part_count;
    int result;
    bool has_result; /* changes and last_insert_id are known */
    int64_t changes, rowid;
    sqlpool_ticket ticket;
} item;

static const sqlpool_value two_args[2] = {{SQLPOOL_TYPE_INT64, 0, {.integer = 7}},
                                          {SQLPOOL_TYPE_TEXT, 5, {.text = "seven"}}};

/*---- both sides ----*/

static void fail_fn(sqlite3_context *context, int count, sqlite3_value **values) {
    const int code = sqlite3_value_int(values[0]) & 31;
    (void)count;
    sqlite3_result_error(context, "fail() was asked to", -1);
    sqlite3_result_error_code(context, code == 0 || code > 28 ? SQLITE_ERROR : code);
}
static int prepare_connection(sqlite3 *db) {
    (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, LONGEST_VALUE);
    return sqlite3_create_function(db, "fail", 1, SQLITE_UTF8, NULL, fail_fn, NULL, NULL);
}
static int on_connect(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    (void)user;
    return prepare_connection(sqlpool_conn_db(&lease));
}

/*---- plain SQLite, one after the other ----*/

static sqlite3 *plain;
static bool is_out; /* of what can be compared */
static int steps_left;

static int on_progress(void *user) {
    (void)user;
    if (--steps_left >= 0) return 0;
    is_out = true;
    return 1;
}
static int on_authorize(void *user, int action, const char *a, const char *b, const char *database,
                        const char *trigger) {
    static const char *const functions[] = {
        "fail",     "abs",      "length", "upper", "lower",  "substr", "hex",   "typeof",
        "coalesce", "sum",      "count",  "total", "max",    "min",    "round", "group_concat",
        "quote",    "zeroblob", "like",   "glob",  "ifnull", "nullif"};
    size_t i;
    (void)user;
    (void)trigger;
    switch (action) {
    case SQLITE_FUNCTION:
        for (i = 0; i < LENGTH(functions) && sqlite3_stricmp(b, functions[i]) != 0; i++) {
        }
        if (i == LENGTH(functions)) is_out = true;
        break;
    case SQLITE_READ:
        if (a != NULL && (sqlite3_strnicmp(a, "pragma_", 7) == 0 || strcmp(a, "dbstat") == 0 ||
                          strcmp(a, "sqlite_stmt") == 0))
            is_out = true;
        break;
    case SQLITE_SELECT:
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_VIEW:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_INDEX:
    case SQLITE_DROP_VIEW:
    case SQLITE_DROP_TRIGGER:
    case SQLITE_ALTER_TABLE:
    case SQLITE_REINDEX:
    case SQLITE_RECURSIVE:
        break;
    default:
        is_out = true;
        break;
    }
    if (database != NULL && strcmp(database, "main") != 0) is_out = true;
    return SQLITE_OK;
}

/*  One statement in whatever transaction there is. */
static int plain_statement(const char *sql, int args, bool is_script) {
    sqlite3_stmt *statement = NULL;
    const char *tail = sql;
    int rc;
    do {
        rc = sqlite3_prepare_v2(plain, tail, -1, &statement, &tail);
        if (rc != SQLITE_OK) return sqlite3_extended_errcode(plain);
        if (statement == NULL) {
            if (*tail == '\0' && !is_script) is_out = true; /* empty: the pool says so */
            continue;
        }
        if (sqlite3_stmt_isexplain(statement)) is_out = true;
        if (!is_script && sqlpool__find_statement(tail, tail + strlen(tail)) != NULL) is_out = true;
        if (is_out) {
            (void)sqlite3_finalize(statement);
            return SQLITE_OK;
        }
        if (sqlite3_bind_parameter_count(statement) != args) {
            (void)sqlite3_finalize(statement);
            return SQLPOOL_ARGUMENTS;
        }
        if (args == 2) {
            (void)sqlite3_bind_int64(statement, 1, 7);
            (void)sqlite3_bind_text(statement, 2, "seven", 5, SQLITE_STATIC);
        }
        do {
            rc = sqlite3_step(statement);
        } while (rc == SQLITE_ROW);
        if (rc != SQLITE_DONE) rc = sqlite3_extended_errcode(plain);
        (void)sqlite3_finalize(statement);
        if (rc != SQLITE_DONE) return rc;
    } while (is_script && *tail != '\0');
    return SQLITE_OK;
}
static void plain_do(const char *sql) {
    (void)sqlite3_set_authorizer(plain, NULL, NULL);
    (void)sqlite3_exec(plain, sql, NULL, NULL, NULL);
    (void)sqlite3_set_authorizer(plain, on_authorize, NULL);
}
/*  A function, as if it had a transaction to itself. */
static int plain_function(const item *it) {
    int i, rc = SQLITE_OK, result = SQLITE_OK;
    plain_do("BEGIN IMMEDIATE");
    for (i = 0; i < it->part_count && !is_out; i++) {
        if (it->kind == 'n') plain_do("SAVEPOINT part");
        rc = plain_statement(it->parts[i], 0, it->kind == 'p');
        if (sqlite3_get_autocommit(plain) != 0) break;
        if (it->kind == 'n')
            plain_do(rc != SQLITE_OK ? "ROLLBACK TO part;RELEASE part" : "RELEASE part");
        if (rc != SQLITE_OK && (it->kind == 'w' || it->kind == 'p')) break;
    }
    if (it->kind == 'w' || it->kind == 'p') result = rc;
    if (it->kind == 'x') result = FN_RESULT;
    if (sqlite3_get_autocommit(plain) != 0)
        return result != SQLITE_OK ? result : SQLPOOL_ROLLED_BACK;
    if (result == SQLITE_OK && !is_out) {
        (void)sqlite3_set_authorizer(plain, NULL, NULL);
        if (sqlite3_exec(plain, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
            result = sqlite3_extended_errcode(plain);
    }
    if (sqlite3_get_autocommit(plain) == 0) plain_do("ROLLBACK");
    (void)sqlite3_set_authorizer(plain, on_authorize, NULL);
    return result;
}
/*  False: it is left out, and nothing of it is there. */
static bool plain_item(item *it) {
    const int before = sqlite3_total_changes(plain);
    const bool is_one = strchr("sae", it->kind) != NULL;
    is_out = false;
    steps_left = MOST_STEPS;
    sqlite3_set_last_insert_rowid(plain, 0);
    it->result =
        is_one ? plain_statement(it->text, it->kind == 'a' ? 2 : 0, false) : plain_function(it);
    if (is_out) return false;
    it->has_result = it->result == SQLPOOL_OK && it->kind != 'p';
    it->changes = sqlite3_total_changes(plain) - before;
    if (is_one && it->changes != 0) {
        it->changes = sqlite3_changes(plain);
        it->rowid = sqlite3_last_insert_rowid(plain);
    }
    return true;
}

/*---- the pool ----*/

static unit_pool u;

static int savepoint_fn(sqlpool_conn *conn, void *user, int attempt) {
    (void)attempt;
    return sqlpool_conn_exec(conn, (const char *)user, SQLPOOL_NO_ARGS, NULL, NULL);
}
static int run_fn(sqlpool_conn *conn, void *user, int attempt) {
    const item *it = (const item *)user;
    int i, rc = SQLPOOL_OK;
    (void)attempt;
    for (i = 0; i < it->part_count; i++) {
        rc = it->kind == 'n' ? sqlpool_conn_transaction(conn, savepoint_fn, it->parts[i], NULL)
                             : sqlpool_conn_exec(conn, it->parts[i], SQLPOOL_NO_ARGS, NULL, NULL);
        if (rc != SQLPOOL_OK && it->kind == 'w') return rc;
    }
    return it->kind == 'x' ? FN_RESULT : SQLPOOL_OK;
}

static void compare(const item *it, int rc, const sqlpool_result *result,
                    const sqlpool_error *error) {
    fuzz_check_error(error, rc);
    if (rc != it->result)
        FUZZ_FAIL("%c%s gave %s (%d: %s), SQLite %d", it->kind, it->text, sqlpool_result_name(rc),
                  rc, error->message, it->result);
    if (!(it->kind == 'e' && error->outcome == SQLPOOL_OUTCOME_NONE && it->changes == 0) &&
        error->outcome !=
            (rc == SQLPOOL_OK ? SQLPOOL_OUTCOME_COMMITTED : SQLPOOL_OUTCOME_NOT_COMMITTED))
        FUZZ_FAIL("%c%s gave %d with outcome %d", it->kind, it->text, rc, error->outcome);
    if (!it->has_result || result == NULL) return;
    if (result->changes != it->changes || result->last_insert_id != it->rowid)
        FUZZ_FAIL("%c%s: %lld changes, rowid %lld; SQLite: %lld, %lld", it->kind, it->text,
                  (long long)result->changes, (long long)result->last_insert_id,
                  (long long)it->changes, (long long)it->rowid);
}

static void pool_item(item *it) {
    sqlpool_error error;
    sqlpool_result result;
    int rc;
    memset(&error, 0xaa, sizeof error);
    switch (it->kind) {
    case 's':
    case 'a':
        rc = sqlpool_submit(u.pool, &it->ticket, it->text, it->kind == 'a' ? two_args : NULL,
                            it->kind == 'a' ? 2 : 0, &error);
        break;
    case 'e':
    case 'p':
        FUZZ_CHECK(sqlpool_flush(u.pool, 0, NULL) == SQLPOOL_OK);
        rc = it->kind == 'e'
                 ? sqlpool_exec_with(u.pool, NULL, &result, it->text, SQLPOOL_NO_ARGS, &error)
                 : sqlpool_script(u.pool, it->text, -1, &error);
        compare(it, rc, it->kind == 'e' ? &result : NULL, &error);
        return;
    default:
        rc = sqlpool_submit_write(u.pool, NULL, &it->ticket, run_fn, it, &error);
        break;
    }
    fuzz_check_error(&error, rc);
    if (rc != SQLPOOL_OK) FUZZ_FAIL("%c%s was not taken: %s", it->kind, it->text, error.message);
}

/*---- an input ----*/

static void split(item *it) {
    char *at = it->text;
    it->part_count = 0;
    if (strchr("wknx", it->kind) == NULL) {
        it->parts[it->part_count++] = it->text;
        return;
    }
    while (at != NULL && it->part_count < PARTS) {
        it->parts[it->part_count++] = at;
        at = strchr(at, '|');
        if (at != NULL) *at++ = '\0';
    }
}
static bool is_comparable(const char *text) {
    char lower[sizeof((item *)0)->text];
    size_t i;
    for (i = 0; text[i] != '\0'; i++)
        lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
    lower[i] = '\0';
    return strstr(lower, "vacuum") == NULL && strstr(lower, "current_") == NULL &&
           strstr(lower, "random") == NULL && strstr(lower, "temp") == NULL &&
           strchr(text, '\v') == NULL && strstr(text, "\xEF\xBB\xBF") == NULL;
}

static item items[ITEMS];

static int read_items(fuzz_reader *r) {
    int count = 0;
    while (r->at < r->end && count < ITEMS) {
        item *it = &items[count];
        const size_t length = sizeof it->text - 1;
        memset(it, 0, sizeof *it);
        it->kind = (char)fuzz_byte(r);
        (void)fuzz_text(r, it->text, length, '\n');
        if (memchr("sawknxeptc", it->kind, 10) == NULL || !is_comparable(it->text)) continue;
        if (it->kind == 'c') { /* taken back: it never was */
            if (count > 0 && strchr("sawknx", items[count - 1].kind) != NULL)
                items[count - 1].part_count = -1;
            continue;
        }
        split(it);
        count++;
    }
    return count;
}

static void fuzz_start(void) {}

static void fuzz_one(const uint8_t *data, size_t bytes) {
    static const char path[] = "group.db";
    fuzz_reader r = {data, data + bytes};
    sqlpool_config config = fuzz_config(&u, 1);
    fuzz_dump ours, theirs;
    char first[8];
    int count, kept = 0, i;
    bool is_file;
    if (memchr(data, 0, bytes) != NULL) return;
    (void)fuzz_text(&r, first, 7, '\n');
    is_file = first[0] == '1';
    config.group_count = first[0] != '\0' && first[1] != '\0' ? atoi(first + 1) & 127 : 0;
    config.breaker_open_ms = SQLPOOL_OFF;
    config.events.connect_fn = on_connect;
    count = read_items(&r);

    plain = fuzz_plain(":memory:", "PRAGMA foreign_keys=ON");
    (void)sqlite3_extended_result_codes(plain, 1);
    (void)sqlite3_db_config(plain, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    FUZZ_CHECK(sqlite3_exec(plain, schema, NULL, NULL, NULL) == SQLITE_OK);
    (void)prepare_connection(plain);
    sqlite3_progress_handler(plain, 1000, on_progress, NULL);
    (void)sqlite3_set_authorizer(plain, on_authorize, NULL);
    for (i = 0; i < count; i++) {
        if (items[i].kind != 't' && items[i].part_count > 0 && !plain_item(&items[i]))
            items[i].kind = '\0';
    }

    if (is_file) sim_remove_database(path);
    fuzz_open(&u, is_file ? path : ":memory:", &config);
    FUZZ_CHECK(sqlpool_script(u.pool, schema, -1, NULL) == SQLPOOL_OK);
    for (i = 0; i < count; i++) {
        item *it = &items[i];
        if (it->kind == '\0') continue;
        if (it->kind == 't') {
            FUZZ_CHECK(sqlpool_tick(u.pool, 1000) == SQLPOOL_OK);
            continue;
        }
        pool_item(it);
        if (it->part_count >= 0) continue;
        if (sqlpool_ticket_cancel(&it->ticket) != SQLPOOL_OK) FUZZ_FAIL("%s ran already", it->text);
        it->kind = '\0';
    }
    FUZZ_CHECK(sqlpool_flush(u.pool, 0, NULL) == SQLPOOL_OK);
    for (i = 0; i < count; i++) {
        sqlpool_result result;
        sqlpool_error error;
        int rc;
        if (items[i].kind == '\0' || strchr("tep", items[i].kind) != NULL) continue;
        memset(&error, 0xaa, sizeof error);
        rc = sqlpool_ticket_poll(&items[i].ticket, &result, &error);
        compare(&items[i], rc, &result, &error);
        kept++;
    }
    ours = fuzz_dump_of_pool(&u);
    theirs = fuzz_dump_of(plain);
    if (!fuzz_same_dump(&ours, &theirs)) {
        fuzz_print_dumps(&ours, &theirs);
        FUZZ_FAIL("the tables differ after %d submissions", kept);
    }
    free(ours.text);
    free(theirs.text);
    (void)sqlite3_close(plain);
    fuzz_close(&u);
}

FUZZ_TARGET("group")
