/*  report.c - fuzz: whatever is in names, tags, files, SQL and SQLite's messages, the status is
    valid JSON that says it (I25), and texts, messages and log lines have no control bytes (I05).
    SPDX-License-Identifier: MIT OR Unlicense

    An input is lines: the pool's name, a tag, a file, SQL for a reader, SQL for the writer, the
    text that the SQL function oops() fails with. A byte 1 stands for a newline. The JSON is read
    by a strict parser here and by SQLite's. */
#include "fuzz/fuzz.h"

/* clang-format off */
static const char *const fuzz_words[] = {
    "\n", "\"", "\\", "\\u0041", "\\\"", "\",\"x\":1", "}", "]", "{", "\x01", "\x7f", "\x1b[31m",
    "%s", "%n",
    "\xff", "\xC3\xA4", "\xED\xA0\x80", "/", "//", "</script>", "SELECT ", "SELECT 1", "'", "--",
    "INSERT INTO t VALUES(oops())", "oops()", "SELECT * FROM none", ": ", "\t", "\r", "\b", "null",
    NULL};
static const char *const fixed_seeds[] = {
    "pool\ntag\nfile.c\nSELECT 1\nINSERT INTO t VALUES(1)\noops",
    "a\"b\\c\nt\"\nf\\\nSELECT '\"\\' FROM t\nINSERT INTO t VALUES(oops())\n\x1b[2J\x01line",
    "\n\n\n\n\n", "\xC3\xA4\n\xff\n\x7f\nSELECT '\xE2\x82\xAC'\nSELECT nothing\n",
    "%s%n\n%d\n%\nSELECT '%s'",
    "n\x01m\nt\x01g\nf\x01l\nSELECT\x01 1,\x01 2\nINSERT INTO t VALUES(oops()) -- \x01\n\"\\\x01"};
/* clang-format on */

static void fuzz_seeds(void) {
    size_t i;
    for (i = 0; i < LENGTH(fixed_seeds); i++) fuzz_seed_text(fixed_seeds[i]);
}
static void fuzz_start(void) {}

/*---- a strict parser of JSON, which finds strings by their place ----*/

typedef struct json {
    const char *at, *end;
    char path[200];     /* as .holders[0].tag */
    const char *wanted; /* a path */
    char value[4096];   /* the string there */
    bool is_found;
} json;

static void json_fail(const json *j, const char *what) {
    FUZZ_FAIL("JSON at %s: %s, before: %.60s", j->path, what, j->at);
}
static char json_next(json *j) {
    if (j->at == j->end) json_fail(j, "ends early");
    return *j->at++;
}
static void json_expect(json *j, const char *text) {
    for (; *text != '\0'; text++)
        if (json_next(j) != *text) json_fail(j, "something else is expected");
}
static void json_string(json *j, char *out, size_t room) {
    size_t length = 0;
    json_expect(j, "\"");
    for (;;) {
        char c = json_next(j);
        if (c == '"') break;
        if ((unsigned char)c < 0x20 || c == 0x7f) json_fail(j, "a control byte");
        if (c == '\\') {
            c = json_next(j);
            if (c != '"' && c != '\\') json_fail(j, "an escape that is not needed");
        }
        if (length + 1 < room) out[length++] = c;
    }
    out[length] = '\0';
}
static void json_digits(json *j) {
    if (j->at == j->end || *j->at < '0' || *j->at > '9') json_fail(j, "no digit");
    while (j->at < j->end && *j->at >= '0' && *j->at <= '9') j->at++;
}
static void json_number(json *j) {
    const char *start;
    if (*j->at == '-') j->at++;
    start = j->at;
    json_digits(j);
    if (*start == '0' && j->at - start > 1) json_fail(j, "a number begins with 0");
}
/*  Objects, arrays, strings, whole numbers, true and false: more is not written. */
static void json_value(json *j, int depth) {
    char text[sizeof j->value], *end = j->path + strlen(j->path);
    const size_t room = sizeof j->path - (size_t)(end - j->path);
    int i = 0;
    if (depth > 3) json_fail(j, "too deep");
    if (j->at == j->end) json_fail(j, "no value");
    switch (*j->at) {
    case '{':
    case '[': {
        const bool is_object = *j->at == '{';
        const char close = is_object ? '}' : ']';
        j->at++;
        if (j->at < j->end && *j->at == close) {
            j->at++;
            break;
        }
        for (;; i++) {
            if (is_object) {
                json_string(j, text, sizeof text);
                json_expect(j, ":");
                (void)snprintf(end, room, ".%s", text);
            } else {
                (void)snprintf(end, room, "[%d]", i);
            }
            json_value(j, depth + 1);
            *end = '\0';
            if (j->at < j->end && *j->at == close) break;
            json_expect(j, ",");
        }
        j->at++;
        break;
    }
    case '"':
        json_string(j, text, sizeof text);
        if (strcmp(j->path, j->wanted) == 0) {
            if (j->is_found) json_fail(j, "it is there twice");
            j->is_found = true;
            memcpy(j->value, text, sizeof text);
        }
        break;
    case 't':
        json_expect(j, "true");
        break;
    case 'f':
        json_expect(j, "false");
        break;
    default:
        json_number(j);
        break;
    }
}
/*  Bytes of the character there that a report shows as it is; 0: it shows '?' for the byte. */
static size_t shown(const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    uint32_t code = *at;
    size_t more = 0, i;
    if ((*at & 0xe0) == 0xc0) more = 1, code = *at & 0x1f;
    if ((*at & 0xf0) == 0xe0) more = 2, code = *at & 0x0f;
    if ((*at & 0xf8) == 0xf0) more = 3, code = *at & 0x07;
    if (*at >= 0x80 && more == 0) return 0;
    for (i = 1; i <= more; i++) {
        if (at[i] < 0x80 || at[i] > 0xbf) return 0;
        code = code * 64 + (at[i] & 0x3f);
    }
    if ((more == 1 && code < 0x80) || (more == 2 && code < 0x800) || (more == 3 && code < 0x10000))
        return 0;
    if (code < 0x20 || (code > 0x7e && code < 0xa0) || code > 0x10ffff) return 0;
    if ((code > 0xd7ff && code < 0xe000) || code == 0x200e || code == 0x200f) return 0;
    if ((code > 0x2027 && code < 0x202f) || (code > 0x2065 && code < 0x206a)) return 0;
    return more + 1;
}
/*  The string at a path must be `text`, as far as that is UTF-8 without control characters. */
static void check_string(const char *document, const char *path, const char *text) {
    static json j;
    size_t i, bytes;
    memset(&j, 0, sizeof j);
    j.at = document;
    j.end = document + strlen(document);
    j.wanted = path;
    json_value(&j, 0);
    json_expect(&j, "\n");
    if (j.at != j.end) json_fail(&j, "more behind the end");
    if (!j.is_found) FUZZ_FAIL("no %s in: %s", path, document);
    for (i = 0; text[i] != '\0'; i += bytes > 0 ? bytes : 1) {
        bytes = shown(text + i);
        if (bytes > 0 ? memcmp(j.value + i, text + i, bytes) != 0 : j.value[i] != '?')
            FUZZ_FAIL("%s is \"%s\", expected \"%s\"", path, j.value, text);
    }
    if (j.value[i] != '\0') FUZZ_FAIL("%s is \"%s\", expected \"%s\"", path, j.value, text);
}

/*---- the pool ----*/

static const char *oops_text = "";
static void oops(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    (void)values;
    sqlite3_result_error(context, oops_text, -1);
    sqlite3_result_error_code(context, SQLITE_FULL);
}
static int on_connect(void *user, const sqlpool_conn *conn) {
    sqlpool_conn lease = *conn;
    (void)user;
    return sqlite3_create_function(sqlpool_conn_db(&lease), "oops", 0, SQLITE_UTF8, NULL, oops,
                                   NULL, NULL);
}

static void check_plain(const char *what, const char *text) {
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        if ((c < 0x20 && c != '\n') || c == 0x7f) FUZZ_FAIL("byte %u in %s", (unsigned)c, what);
    }
}
/*  The whole of it, and that smaller buffers get its beginning. Owned by the caller. */
static char *status(sqlpool *pool, int (*fn)(sqlpool *, char *, size_t)) {
    const int bytes = fn(pool, NULL, 0);
    const size_t room = (size_t)bytes + 64;
    char *all = (char *)malloc(room);
    int again, i;
    FUZZ_CHECK(bytes > 0 && all != NULL);
    again = fn(pool, all, room);
    FUZZ_CHECK(again == (int)strlen(all) && again < (int)room);
    for (i = 1; i < again; i += again / 7 + 1) {
        char *part = (char *)fuzz_exact(all, (size_t)i);
        memset(part, 'x', (size_t)i);
        FUZZ_CHECK(fn(pool, part, (size_t)i) == again);
        FUZZ_CHECK(part[i - 1] == '\0' && strlen(part) == (size_t)i - 1);
        FUZZ_CHECK(memcmp(part, all, (size_t)i - 1) == 0);
        free(part);
    }
    return all;
}
static void run(sqlpool_conn *conn, const char *sql) {
    sqlpool_error error;
    int rc;
    memset(&error, 0xaa, sizeof error);
    rc = sqlpool_conn_exec(conn, sql, SQLPOOL_NO_ARGS, NULL, &error);
    fuzz_check_error(&error, rc);
}

static void fuzz_one(const uint8_t *data, size_t bytes) {
    unit_pool u;
    sqlpool_config config = fuzz_config(&u, 2);
    sqlpool_conn reader, other, third;
    sqlpool_holder holders[4];
    sqlpool_call call;
    sqlpool_error error;
    static char texts[6][500];
    fuzz_reader r = {data, data + bytes};
    char *text, *json_text, *sql, path[40];
    size_t i, k;
    int count, rc;
    static sqlite3 *plain;
    if (memchr(data, 0, bytes) != NULL) return;
    for (i = 0; i < LENGTH(texts); i++) {
        (void)fuzz_text(&r, texts[i], sizeof texts[i] - 1, '\n');
        for (k = 0; texts[i][k] != '\0'; k++)
            if (texts[i][k] == '\x01') texts[i][k] = '\n';
    }
    config.name = texts[0];
    config.statement_timeout_ms = 1;
    config.leak_report_ms = 1;
    config.events.connect_fn = on_connect;
    oops_text = texts[5];
    fuzz_open(&u, ":memory:", &config);
    FUZZ_CHECK(sqlpool_script(u.pool, "CREATE TABLE t(x)", -1, NULL) == SQLPOOL_OK);
    memset(&error, 0xaa, sizeof error);
    rc = sqlpool_exec(u.pool, texts[4], SQLPOOL_NO_ARGS, &error);
    fuzz_check_error(&error, rc);
    memset(&call, 0, sizeof call);
    call.tag = texts[1];
    FUZZ_CHECK(sqlpool_conn_acquire_at(texts[2], 7, u.pool, SQLPOOL_READ, &call, &reader, NULL) ==
               SQLPOOL_OK);
    run(&reader, texts[3]);
    FUZZ_CHECK(sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &other, NULL) == SQLPOOL_OK);
    sim_clock_advance(&u.clock, 5 * MS);
    (void)sqlpool_tick(u.pool, 1000000);
    rc = sqlpool_conn_acquire(u.pool, SQLPOOL_READ, &third, &error); /* names the holders */
    fuzz_check_error(&error, rc);
    FUZZ_CHECK(rc != SQLPOOL_OK);

    text = status(u.pool, sqlpool_status_text);
    check_plain("the status", text);
    count = sqlpool_holders(u.pool, holders, 4);
    FUZZ_CHECK(count >= 1 && count <= 3);
    json_text = status(u.pool, sqlpool_status_json);
    check_string(json_text, ".name", texts[0]);
    for (i = 0; i < (size_t)count; i++) {
        if (strcmp(holders[i].file, __FILE__) == 0) continue;
        (void)snprintf(path, sizeof path, ".holders[%zu].tag", i);
        check_string(json_text, path, texts[1]);
        (void)snprintf(path, sizeof path, ".holders[%zu].file", i);
        check_string(json_text, path, texts[2]);
        (void)snprintf(path, sizeof path, ".holders[%zu].sql", i);
        check_string(json_text, path, holders[i].sql);
    }
    if (plain == NULL) plain = fuzz_plain(":memory:", NULL);
    sql = sqlite3_mprintf("SELECT json_valid(%Q)", json_text);
    FUZZ_CHECK(sim_plain_int64(plain, sql, -1) == 1);
    sqlite3_free(sql);
    free(text);
    free(json_text);
    for (i = 0; i < SQLPOOL_LOG_ITEM_COUNT; i++) check_plain("a log line", u.log.last[i]);
    (void)sqlpool_conn_release(&other);
    (void)sqlpool_conn_release(&reader);
    fuzz_close(&u);
}

FUZZ_TARGET("report")
