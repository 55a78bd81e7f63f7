/*  locks.c - white box: the processes that pin a log, as the kernel's table of locks tells (I16.1).
    SPDX-License-Identifier: MIT OR Unlicense

    The table is read past the VFS of the pool, by SQLite's own of the name "unix": here another one of
    that name gives tables that a test has written. */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "unit/unit.h"

#ifdef __linux__

typedef struct table_file {
    const sqlite3_io_methods *methods;
} table_file;

static const char *table;
static int open_code, read_code, is_left_open; /* what the file answers */
static int opened, closed, flags_seen;

static int table_close(sqlite3_file *file) {
    (void)file;
    closed++;
    return SQLITE_OK;
}
static int table_read(sqlite3_file *file, void *out, int bytes, sqlite3_int64 at) {
    const int length = (int)strlen(table);
    (void)file;
    if (at != 0) return SQLITE_IOERR_READ;
    memcpy(out, table, (size_t)(length < bytes ? length : bytes));
    return read_code != SQLITE_OK ? read_code
           : length < bytes       ? SQLITE_IOERR_SHORT_READ
                                  : SQLITE_OK;
}
static int table_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out) {
    static sqlite3_io_methods methods;
    (void)vfs;
    (void)out;
    methods.iVersion = 1;
    methods.xClose = table_close;
    methods.xRead = table_read;
    flags_seen = flags;
    if (strcmp(path, "/proc/locks") != 0) return SQLITE_CANTOPEN;
    if (open_code == SQLITE_OK || is_left_open) file->pMethods = &methods;
    if (file->pMethods != NULL) opened++;
    return open_code;
}
static sqlite3_vfs table_vfs;

/*  What is told of the table; nothing stays allocated or open. */
static void check_told(unit_pool *u, const char *lines, const char *told) {
    char out[400];
    const int64_t before = u->core->memory.held_bytes;
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    table = lines;
    opened = closed = 0;
    CHECK_INT(sqlite3_vfs_register(&table_vfs, 1), SQLITE_OK);
    sqlpool__text_foreign_readers(u->core, &text);
    CHECK_INT(sqlite3_vfs_unregister(&table_vfs), SQLITE_OK);
    CHECK_STR(out, told);
    CHECK_INT(u->core->memory.held_bytes, before);
    CHECK_INT(opened, closed);
}

static void open_here(unit_pool *u) {
    const sqlpool_config config = unit_config(u, 1);
    memset(&table_vfs, 0, sizeof table_vfs);
    table_vfs.iVersion = 1;
    table_vfs.szOsFile = (int)sizeof(table_file);
    table_vfs.mxPathname = 100;
    table_vfs.zName = "unix";
    table_vfs.xOpen = table_open;
    open_code = read_code = SQLITE_OK;
    is_left_open = 0;
    unit_open(u, "locks.db", &config);
}

/*  A table with the lock of this process, of who has an index open, then these lines. */
static const char *with_own(const char *lines) {
    static char all[4000];
    (void)snprintf(all, sizeof all, "1: POSIX  ADVISORY  READ %d 08:01:77 128 128\n%s",
                   (int)getpid(), lines);
    return all;
}

TEST(processes_that_read_in_the_log_are_named) {
    unit_pool u;
    PART(open_here(&u));
    PART(check_told(&u, with_own("2: POSIX  ADVISORY  READ 9000345 08:01:77 124 124\n"),
                    ": process 9000345"));
    CHECK((flags_seen & SQLITE_OPEN_READONLY) != 0);
    PART(check_told(
        &u,
        with_own("2: POSIX  ADVISORY  READ 9000345 08:01:77 124 124\n"
                 "3: POSIX  ADVISORY  READ 9000345 08:01:77 125 125\n" /* once is enough */
                 "4: POSIX  ADVISORY  WRITE 9000346 08:01:77 127 127\n"
                 "5: POSIX  ADVISORY  READ 9000007 08:01:77 120 127"), /* without an end */
        ": process 9000345, 9000346, 9000007"));
    unit_close(&u);
}

TEST(locks_that_pin_nothing_name_nobody) {
    unit_pool u;
    char own[200];
    PART(open_here(&u));
    PART(check_told(&u, with_own("2: POSIX  ADVISORY  READ 9000345 08:01:78 124 124\n"),
                    "")); /* another file */
    PART(check_told(&u, with_own("2: POSIX  ADVISORY  READ 9000345 08:01:77 128 128\n"),
                    "")); /* has it open */
    PART(check_told(&u, with_own("2: POSIX  ADVISORY  WRITE 9000345 08:01:77 120 120\n"),
                    "")); /* writes */
    PART(check_told(&u, with_own("2: POSIX  ADVISORY  WRITE 9000345 08:01:77 123 123\n"),
                    "")); /* mark 0 */
    PART(check_told(&u, with_own("2: POSIX  ADVISORY  READ -1 08:01:77 124 124\n"),
                    "")); /* no process */
    PART(check_told(&u, with_own("2: OFDLCK ADVISORY  READ 9000345 08:01:77 124 124\n"), ""));
    PART(check_told(&u, with_own("2: FLOCK  ADVISORY  WRITE 9000345 08:01:77 0 EOF\n"), ""));
    PART(check_told(&u, with_own("2: POSIX  ADVISORY  READ 9000345 08:01:77 124 EOF\n"), ""));
    PART(check_told(
        &u, with_own("2: -> POSIX  ADVISORY  READ 9000345 08:01:77 124 124\n\nnot a line\n"), ""));
    (void)snprintf(own, sizeof own, "2: POSIX  ADVISORY  READ %d 08:01:77 124 124\n",
                   (int)getpid());
    PART(check_told(&u, with_own(own), "")); /* is no other process */
    unit_close(&u);
}

/*  Which index is this pool's? Only where this process has one alone it is known. */
TEST(the_index_is_known_where_there_is_one_only) {
    static const char reader[] = "9: POSIX  ADVISORY  READ 9000345 08:01:77 124 124\n";
    char lines[600];
    const int self = (int)getpid();
    unit_pool u;
    PART(open_here(&u));
    PART(check_told(&u, "", ""));
    PART(check_told(&u, reader, ""));
    (void)snprintf(lines, sizeof lines, "2: POSIX  ADVISORY  READ %d 08:01:77 128 128\n%s", self,
                   reader);
    PART(check_told(&u, with_own(lines), ": process 9000345")); /* the same again */
    (void)snprintf(lines, sizeof lines,
                   "2: POSIX  ADVISORY  READ %d 08:01:99 128 128\n"
                   "3: POSIX  ADVISORY  READ %d 08:01:77 128 128\n%s",
                   self, self, reader);
    PART(check_told(&u, with_own(lines), "")); /* two */
    (void)snprintf(lines, sizeof lines,
                   "2: POSIX  ADVISORY  READ %d 08:01:99 128 128\n"
                   "3: POSIX  ADVISORY  READ %d 08:01:99 128 128\n"
                   "4: POSIX  ADVISORY  READ 9000345 08:01:99 124 124\n%s",
                   self, self, reader);
    PART(check_told(&u, with_own(lines), "")); /* and the last of them twice */
    (void)snprintf(lines, sizeof lines,
                   "2: POSIX  ADVISORY  READ %d 08:01:99 129 129\n"
                   "3: POSIX  ADVISORY  READ %d 08:01:99 120 127\n"
                   "4: POSIX  ADVISORY  WRITE %d 08:01:99 0 1073742335\n%s",
                   self, self, self, reader);
    PART(check_told(&u, with_own(lines),
                    ": process 9000345")); /* locks of other files and other bytes */
    unit_close(&u);
}

TEST(eight_processes_are_enough) {
    char lines[1000];
    size_t used = 0;
    unit_pool u;
    int i;
    PART(open_here(&u));
    for (i = 1; i <= 10; i++)
        used +=
            (size_t)snprintf(lines + used, sizeof lines - used,
                             "%d: POSIX  ADVISORY  READ %d 08:01:77 125 125\n", i + 1, 9000000 + i);
    PART(check_told(
        &u, with_own(lines),
        ": process 9000001, 9000002, 9000003, 9000004, 9000005, 9000006, 9000007, 9000008"));
    unit_close(&u);
}

TEST(a_table_that_cannot_be_read_tells_nothing) {
    unit_pool u;
    const char *lines = with_own("2: POSIX  ADVISORY  READ 9000345 08:01:77 124 124\n");
    PART(open_here(&u));
    open_code = SQLITE_CANTOPEN;
    PART(check_told(&u, lines, ""));
    is_left_open = 1; /* a VFS may want it closed all the same (sqlite.org/c3ref/io_methods.html) */
    PART(check_told(&u, lines, ""));
    CHECK_INT(closed, 1);
    open_code = SQLITE_OK;
    read_code = SQLITE_IOERR_READ;
    PART(check_told(&u, lines, ""));
    read_code = SQLITE_OK;
    u.core->memory.limit_bytes = u.core->memory.held_bytes + u.core->memory.outside_bytes + 1000;
    PART(check_told(&u, lines, "")); /* no room for the table, */
    u.core->memory.limit_bytes += SQLPOOL__LOCKS_BYTES - 1000;
    PART(check_told(&u, lines, "")); /* or for its file */
    u.core->memory.limit_bytes += 1000;
    PART(check_told(&u, lines, ": process 9000345"));
    unit_close(&u);
}

/*  More than is read of it: the line that is cut says nothing. */
TEST(a_long_table_is_read_as_far_as_there_is_room) {
    static char lines[SQLPOOL__LOCKS_BYTES + 200];
    static const char filler[] = "3: FLOCK  ADVISORY  WRITE 12 00:17:5 0 EOF\n";
    const char *own = with_own("2: POSIX  ADVISORY  READ 9000345 08:01:77 124 124\n");
    static const char last[] = "4: POSIX  ADVISORY  READ 9000346 08:01:77 125 125\n";
    size_t used = strlen(own);
    unit_pool u;
    PART(open_here(&u));
    memcpy(lines, own, used);
    while (used + sizeof filler - 1 < SQLPOOL__LOCKS_BYTES - 100) {
        memcpy(lines + used, filler, sizeof filler - 1);
        used += sizeof filler - 1;
    }
    while (used < SQLPOOL__LOCKS_BYTES - 10) lines[used++] = '\n';
    memcpy(lines + used, last, sizeof last);
    PART(check_told(&u, lines, ": process 9000345"));
    unit_close(&u);
}

/*  Without SQLite's own VFS there is nothing to read with. */
static sqlite3_vfs *no_vfs(void) {
    sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");
    return unix_vfs != NULL && sqlite3_vfs_unregister(unix_vfs) == SQLITE_OK ? unix_vfs : NULL;
}
TEST(without_a_vfs_there_is_no_table) {
    char out[100];
    sqlpool__text text = sqlpool__text_into(out, sizeof out);
    sqlite3_vfs *removed;
    unit_pool u;
    PART(open_here(&u));
    removed = no_vfs();
    CHECK(removed != NULL);
    sqlpool__text_foreign_readers(u.core, &text);
    CHECK_INT(sqlite3_vfs_register(removed, 1), SQLITE_OK);
    CHECK_STR(out, "");
    unit_close(&u);
}

#endif

int main(void) {
#ifdef __linux__
    RUN(processes_that_read_in_the_log_are_named);
    RUN(locks_that_pin_nothing_name_nobody);
    RUN(the_index_is_known_where_there_is_one_only);
    RUN(eight_processes_are_enough);
    RUN(a_table_that_cannot_be_read_tells_nothing);
    RUN(a_long_table_is_read_as_far_as_there_is_room);
    RUN(without_a_vfs_there_is_no_table);
#endif
    return test_end();
}
