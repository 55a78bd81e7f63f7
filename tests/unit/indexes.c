/*  indexes.c - what sqlpool.h reads from a CREATE INDEX, against SQLite and against nonsense.
    SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"

#include "test.h"

static uint64_t dice;
static uint64_t draw(uint64_t bound) { /* splitmix64 */
    uint64_t z = (dice += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % bound;
}

/*---- nonsense ----*/

/*  Whatever the text: the parts lie inside it, in order, and every walk ends. */
static bool is_sane(const char *sql) {
    const char *const end = sql + strlen(sql);
    sqlpool__index index;
    sqlpool__term term;
    sqlpool__span list;
    int terms = 0;
    if (sqlpool__parse_index(sql, &index) != NULL) return true;
    if (index.name.text < sql || index.name.text + index.name.bytes > index.table.text ||
        index.table.text + index.table.bytes > index.terms.at || index.terms.at > index.terms.end ||
        index.terms.end > index.where.at || index.where.at > index.where.end ||
        index.where.end > end)
        return false;
    for (list = index.terms; sqlpool__next_term(&list, &term); terms++) {
        if (terms > 1000 || term.whole.at < index.terms.at || term.whole.end > index.terms.end ||
            term.body.at < term.whole.at || term.body.end > term.whole.end ||
            term.body.at > term.body.end)
            return false;
        if (!sqlpool__same_body(&term.body, &term.body)) return false;
    }
    return sqlpool__same_span(&index.terms, &index.terms) &&
           sqlpool__same_span(&index.where, &index.where);
}

TEST(nonsense_is_read_without_harm) {
    static const char *const words[] = {
        "CREATE", "UNIQUE", "INDEX", "IF", "NOT", "EXISTS", "ON",      "WHERE",    "(",
        ")",      "(",      ")",     ",",  ";",   ".",      "a",       "\"b\"",    "[c]",
        "`d`",    "'e'",    "\"",    "'",  "[",   "`",      "--x\n",   "/*",       "*/",
        "ASC",    "DESC",   "=",     "!=", "<>",  "==",     "COLLATE", "\xc3\xbc", "\x01"};
    int round;
    dice = 1;
    for (round = 0; round < 200000; round++) {
        char sql[400] = "";
        int left = 1 + (int)draw(24);
        size_t length = 0;
        if (draw(2) == 0) length = (size_t)snprintf(sql, sizeof sql, "CREATE INDEX i ON t(");
        while (left-- > 0 && length < 350) {
            length += (size_t)snprintf(sql + length, sizeof sql - length, "%s%s",
                                       words[draw(sizeof words / sizeof *words)],
                                       draw(3) == 0 ? "" : " ");
        }
        if (!is_sane(sql)) {
            test_fail(__FILE__, __LINE__, "round %d: %s", round, sql);
            return;
        }
    }
}

/*---- the same index in other words, and other indexes ----*/

/*  A definition, as numbers that choose. */
typedef struct choice {
    int unique, count, where;
    int column[4], collation[4], descending[4];
} choice;

static const char *const columns[] = {"a", "b", "\"c d\"", "lower(a)", "a || b", "b + 1"};
static const char *const styled[] = {"\"A\"",       "[b]",          "`c D`",
                                     "LOWER ( a )", "( a||\"B\" )", "((b+1))"};
enum { COLUMNS = 6 };
static const char *const collations[] = {"", " COLLATE NOCASE", " COLLATE RTRIM",
                                         " COLLATE BINARY"};
static const char *const wheres[] = {"", " WHERE a > 1", " WHERE a IS NOT NULL AND b <> 'X'",
                                     " WHERE b = 'x'"};
static const char *const where_styled[] = {
    "", "\twhere((\"a\">1))", " WHERE (A is not null and [b] != 'X') ;", " wHeRe b == 'x' -- end"};

static choice draw_choice(void) {
    choice c;
    int i;
    memset(&c, 0, sizeof c);
    c.unique = (int)draw(2);
    c.count = 1 + (int)draw(4);
    c.where = (int)draw(4);
    for (i = 0; i < c.count; i++) {
        c.column[i] = (int)draw(COLUMNS);
        c.collation[i] = (int)draw(4);
        c.descending[i] = (int)draw(2);
    }
    return c;
}
static void write_choice(const choice *c, bool is_styled, char *sql, size_t bytes) {
    size_t n = (size_t)snprintf(
        sql, bytes, is_styled ? "create%s  index \"I\" on [T](" : "CREATE%s INDEX i ON t(",
        c->unique ? " UNIQUE" : "");
    int i;
    for (i = 0; i < c->count; i++) {
        const bool is_column = c->column[i] < 3;
        /* `a` is declared COLLATE NOCASE, the others are BINARY */
        const bool may_drop =
            is_styled && is_column && c->collation[i] == (c->column[i] == 0 ? 1 : 3);
        n += (size_t)snprintf(sql + n, bytes - n, "%s%s%s%s",
                              i > 0 ? (is_styled ? " ,\n" : ", ") : "",
                              (is_styled ? styled : columns)[c->column[i]],
                              may_drop ? "" : collations[c->collation[i]],
                              c->descending[i] ? " DESC"
                              : is_styled      ? " asc"
                                               : "");
    }
    (void)snprintf(sql + n, bytes - n, ")%s", (is_styled ? where_styled : wheres)[c->where]);
}
/*  Do two choices mean the same index? Leaving out a column's own collation is the same. */
static int meant_collation(const choice *c, int i) {
    if (c->column[i] >= 3 || c->collation[i] != 0) return c->collation[i];
    return c->column[i] == 0 ? 1 : 3;
}
static bool is_same(const choice *x, const choice *y) {
    int i;
    if (x->unique != y->unique || x->count != y->count || x->where != y->where) return false;
    for (i = 0; i < x->count; i++) {
        if (x->column[i] != y->column[i] || x->descending[i] != y->descending[i] ||
            meant_collation(x, i) != meant_collation(y, i))
            return false;
    }
    return true;
}

static int check(sqlpool *pool, const char *sql, sqlpool_error *error) {
    sqlpool_index_set set;
    memset(&set, 0, sizeof set);
    set.indexes = &sql;
    set.index_count = 1;
    return sqlpool_index_set_check(pool, &set, NULL, error);
}

TEST(other_words_are_the_same_and_other_indexes_are_not) {
    sqlpool *pool = NULL;
    sqlpool_error error;
    int round, same = 0, other = 0;
    CHECK_INT(sqlpool_open(&pool, ":memory:", NULL, &error), SQLPOOL_OK);
    CHECK_INT(
        sqlpool_script(pool, "CREATE TABLE t(a TEXT COLLATE NOCASE, b, \"c d\" TEXT)", -1, &error),
        SQLPOOL_OK);
    dice = 2;
    for (round = 0; round < 1500; round++) {
        const choice c = draw_choice();
        choice d = c;
        char sql[500], in_other_words[500], changed[500];
        int rc;
        write_choice(&c, false, sql, sizeof sql);
        write_choice(&c, true, in_other_words, sizeof in_other_words);
        if (sqlpool_exec(pool, sql, SQLPOOL_NO_ARGS, &error) != SQLPOOL_OK) {
            test_fail(__FILE__, __LINE__, "%s: %s", sql, error.message);
            break;
        }
        rc = check(pool, in_other_words, &error);
        if (rc != SQLPOOL_OK) {
            test_fail(__FILE__, __LINE__, "%s is not %s: %s", in_other_words, sql, error.message);
            break;
        }
        switch (draw(6)) {
        case 0:
            d.unique = !d.unique;
            break;
        case 1:
            d.where = (int)draw(4);
            break;
        case 2:
            d.count = 1 + (int)draw((uint64_t)d.count);
            break;
        case 3:
            d.column[draw((uint64_t)d.count)] = (int)draw(COLUMNS);
            break;
        case 4:
            d.collation[draw((uint64_t)d.count)] = (int)draw(4);
            break;
        default:
            d.descending[draw((uint64_t)d.count)] = (int)draw(2);
            break;
        }
        write_choice(&d, draw(2) == 0, changed, sizeof changed);
        rc = check(pool, changed, &error);
        if (rc != (is_same(&c, &d) ? SQLPOOL_OK : SQLPOOL_INDEX_MISMATCH)) {
            test_fail(__FILE__, __LINE__, "%s and %s: %d, %s", sql, changed, rc, error.message);
            break;
        }
        same += is_same(&c, &d);
        other += !is_same(&c, &d);
        CHECK_INT(sqlpool_script(pool, "DROP INDEX i", -1, &error), SQLPOOL_OK);
    }
    CHECK_INT(sqlpool_close(pool, &error), SQLPOOL_OK);
    CHECK(same > 100 && other > 500);
}

int main(void) {
    RUN(nonsense_is_read_without_harm);
    RUN(other_words_are_the_same_and_other_indexes_are_not);
    return test_end();
}
