/*  weave.c - many mutants in one text. SPDX-License-Identifier: MIT OR Unlicense

        weave sqlpool.h LIST [LEFT_OUT] > woven.h 2> WOVEN

    LIST is what mutants.awk prints; the number of a mutant is that of its line there. The text that
    comes out does what sqlpool.h does, but one mutant's work when its MUTANT(number) is 1 instead of 0:

        compare  a < b     ({ left = (a); right = (b); MUTANT(n) ? left <= right : left < right; })
                 a == b    (MUTANT(n) ^ (a == b))
        logic    a && b    (MUTANT(n) ^ ((MUTANT(n) ^ !!(a)) && (MUTANT(n) ^ !!(b))))
        negate   if (a)    if (MUTANT(n) ^ !!(a))
        drop     f(a);     { if (!MUTANT(n)) f(a); }
        number   8         (8 + MUTANT(n))

    So a program is compiled once for thousands of them. Those outside of functions are not woven, nor
    those on a line whose number is in LEFT_OUT. Lines stay where they are, so that errors of the compiler,
    where it wants a constant, tell which to leave out. Prints the numbers of the woven. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct token {
    long at;
    int bytes;
    bool is_code; /* of a function */
} token;

/*  What goes in front of text[from] and behind text[to - 1]. */
typedef struct pair {
    long from, to;
    int rank; /* of pairs around the same text, the lower one is the outer one */
    char open[96], close[96];
} pair;

static char *text, *plain; /* plain: comments, literals and the preprocessor's lines are blank */
static long bytes;
static long *line_at;
static int lines;
static token *tokens;
static int token_count;
static pair *pairs;
static int pair_count, pair_room;

static char *read_all(const char *path, long *size) {
    FILE *file = fopen(path, "rb");
    char *all;
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    *size = ftell(file);
    rewind(file);
    all = (char *)malloc((size_t)*size + 2);
    if (all == NULL || fread(all, 1, (size_t)*size, file) != (size_t)*size) exit(1);
    all[*size] = all[*size + 1] = '\0';
    (void)fclose(file);
    return all;
}

static long blank(long at, long to) {
    for (; at < to; at++)
        if (plain[at] != '\n') plain[at] = ' ';
    return to;
}

static void make_plain(void) {
    bool is_first = true; /* of the line, but for blanks */
    long at = 0;
    while (at < bytes) {
        const char c = plain[at];
        if (c == '/' && plain[at + 1] == '*') {
            const char *end = strstr(plain + at + 2, "*/");
            at = blank(at, end == NULL ? bytes : end + 2 - plain);
        } else if (c == '"' || c == '\'') {
            long end = at + 1;
            while (end < bytes && plain[end] != c) end += plain[end] == '\\' ? 2 : 1;
            for (; at <= end && at < bytes; at++) plain[at] = '"';
            is_first = false;
        } else if (c == '#' && is_first) {
            long end = at;
            while (end < bytes && !(plain[end] == '\n' && plain[end - 1] != '\\')) end++;
            at = blank(at, end);
        } else {
            if (c == '\n')
                is_first = true;
            else if (c != ' ')
                is_first = false;
            at++;
        }
    }
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void make_tokens(void) {
    static const char *const long_ones[] = {"<<=", ">>=", "...", "->", "++", "--", "<<", ">>",
                                            "<=",  ">=",  "==",  "!=", "&&", "||", "+=", "-=",
                                            "*=",  "/=",  "%=",  "&=", "|=", "^="};
    long at = 0;
    int depth = 0, code_depth = 0;
    tokens = (token *)malloc((size_t)bytes * sizeof *tokens);
    while (at < bytes) {
        int size = 1;
        size_t i;
        if (plain[at] == ' ' || plain[at] == '\n') {
            at++;
            continue;
        }
        if (is_word(plain[at])) {
            while (is_word(plain[at + size]) || (plain[at] <= '9' && plain[at + size] == '.'))
                size++;
        } else if (plain[at] == '"') {
            while (plain[at + size] == '"') size++;
        } else {
            for (i = 0; i < sizeof long_ones / sizeof *long_ones; i++) {
                const size_t length = strlen(long_ones[i]);
                if (strncmp(plain + at, long_ones[i], length) == 0) {
                    size = (int)length;
                    break;
                }
            }
        }
        if (plain[at] == '{' && ++depth && code_depth == 0 && token_count > 0 &&
            plain[tokens[token_count - 1].at] == ')')
            code_depth = depth;
        tokens[token_count].at = at;
        tokens[token_count].is_code = code_depth > 0;
        tokens[token_count++].bytes = size;
        if (plain[at] == '}' && depth-- == code_depth) code_depth = 0;
        at += size;
    }
}

static bool is(int t, const char *word) {
    return t >= 0 && t < token_count && (size_t)tokens[t].bytes == strlen(word) &&
           strncmp(plain + tokens[t].at, word, strlen(word)) == 0;
}
static bool is_any(int t, const char *const *words) {
    for (; *words != NULL; words++)
        if (is(t, *words)) return true;
    return false;
}

/*  How strongly it binds as a binary operator; 99: it is none. */
static int strength(int t) {
    static const char *const orders[] = {"<", "<=", ">", ">=", NULL}, *const equals[] = {
                                                                          "==", "!=", NULL};
    static const char *const sets[] = {
        "=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>=", NULL};
    if (is_any(t, orders)) return 9;
    if (is_any(t, equals)) return 8;
    if (is(t, "&"))
        return plain[tokens[t].at + 1] == ' ' || plain[tokens[t].at + 1] == '\n' ? 7 : 99;
    if (is(t, "^")) return 6;
    if (is(t, "|")) return 5;
    if (is(t, "&&")) return 4;
    if (is(t, "||")) return 3;
    if (is(t, "?") || is(t, ":")) return 2;
    if (is_any(t, sets)) return 1;
    if (is(t, ",")) return 0;
    return 99;
}

/*  The operands of the operator: their first and last tokens. */
static void operands(int operator, int * first, int *last) {
    static const char *const begins[] = {"return", "case", "else", "do", "goto",
                                         ";",      "{",    "}",    NULL};
    const int own = strength(operator);
    int depth = 0, t;
    for (t = operator- 1; t >= 0; t--) {
        if (is(t, ")") || is(t, "]")) {
            depth++;
        } else if (is(t, "(") || is(t, "[")) {
            if (depth-- == 0) break;
        } else if (depth == 0 && (is_any(t, begins) || strength(t) < own)) {
            break;
        }
    }
    *first = t + 1;
    for (depth = 0, t = operator+ 1; t < token_count; t++) {
        if (is(t, "(") || is(t, "[")) {
            depth++;
        } else if (is(t, ")") || is(t, "]")) {
            if (depth-- == 0) break;
        } else if (depth == 0 && (is_any(t, begins) || strength(t) <= own)) {
            break;
        }
    }
    *last = t - 1;
}

static int token_at(long at) {
    int low = 0, high = token_count - 1;
    while (low <= high) {
        const int middle = (low + high) / 2;
        if (tokens[middle].at == at) return middle;
        if (tokens[middle].at < at)
            low = middle + 1;
        else
            high = middle - 1;
    }
    return -1;
}

static void add(int rank, long from, long to, const char *open, const char *close, int number) {
    pair *p;
    if (pair_count == pair_room) {
        pair_room = pair_room * 2 + 1024;
        pairs = (pair *)realloc(pairs, (size_t)pair_room * sizeof *pairs);
        if (pairs == NULL) exit(1);
    }
    p = &pairs[pair_count++];
    p->from = from;
    p->to = to;
    p->rank = rank;
    (void)snprintf(p->open, sizeof p->open, open, number);
    (void)snprintf(p->close, sizeof p->close, close, number, number, number, number, number);
}

/*  The outer ones first where they begin, last where they end. */
static int by_open(const void *a, const void *b) {
    const pair *p = *(const pair *const *)a, *q = *(const pair *const *)b;
    if (p->from != q->from) return p->from < q->from ? -1 : 1;
    if (p->to != q->to) return p->to > q->to ? -1 : 1;
    return p->rank - q->rank;
}
static int by_close(const void *a, const void *b) {
    const pair *p = *(const pair *const *)a, *q = *(const pair *const *)b;
    if (p->to != q->to) return p->to < q->to ? -1 : 1;
    if (p->from != q->from) return p->from > q->from ? -1 : 1;
    return q->rank - p->rank;
}

static bool weave(int number, const char *kind, long at, long size, long end, const char *to) {
    const int t = token_at(at);
    if (t < 0 || !tokens[t].is_code) return false; /* outside, constants are wanted */
    if (strcmp(kind, "drop") == 0) {
        add(0, at, end, "{ if (!MUTANT(%d)) ", " }", number);
    } else if (strcmp(kind, "negate") == 0) {
        add(1, at + 1, end - 1, "MUTANT(%d) ^ !!(", ")", number);
    } else if (strcmp(kind, "number") == 0) {
        add(1000, at, at + size, "(",
            strtoull(to, NULL, 10) > strtoull(text + at, NULL, 10) ? " + MUTANT(%d))"
                                                                   : " - MUTANT(%d))",
            number);
    } else {
        int first, last, rank;
        long from;
        operands(t, &first, &last);
        rank = 10 * strength(t);
        if (first >= t || last <= t) return false;
        from = tokens[first].at;
        end = tokens[last].at + tokens[last].bytes;
        if (is(t, "==") || is(t, "!=")) {
            add(rank, from, end, "(MUTANT(%d) ^ (", "))", number);
        } else if (strcmp(kind, "logic") == 0) {
            add(rank, from, end, "(MUTANT(%d) ^ (", "))", number);
            add(rank + 1, from, tokens[t - 1].at + tokens[t - 1].bytes, "(MUTANT(%d) ^ !!(", "))",
                number);
            add(rank + 1, tokens[t + 1].at, end, "(MUTANT(%d) ^ !!(", "))", number);
        } else {
            char close[96];
            (void)snprintf(close, sizeof close,
                           "; MUTANT(%%d) ? left%%d %.2s right%%d : left%%d %.2s right%%d; })", to,
                           is(t, "<")    ? "<"
                           : is(t, "<=") ? "<="
                           : is(t, ">")  ? ">"
                                         : ">=");
            add(rank, from, end, "({ ", close, number);
            add(rank + 1, from, tokens[t - 1].at + tokens[t - 1].bytes, "__auto_type left%d = (",
                "); ", number);
            add(rank + 1, tokens[t + 1].at, end, "__auto_type right%d = (", ")", number);
            memset(text + at, ' ', (size_t)size);
        }
    }
    return true;
}

int main(int count, char **arguments) {
    long list_bytes, left_out_bytes, at;
    char *list, *left_out, *line;
    const pair **opens, **closes;
    bool *is_left_out;
    int number = 0, i, o = 0, c = 0;
    if (count < 3) return 2;
    text = read_all(arguments[1], &bytes);
    plain = read_all(arguments[1], &bytes);
    list = read_all(arguments[2], &list_bytes);
    make_plain();
    make_tokens();
    line_at = (long *)malloc((size_t)(bytes + 2) * sizeof *line_at);
    line_at[++lines] = 0;
    for (at = 0; at < bytes; at++)
        if (text[at] == '\n') line_at[++lines] = at + 1;
    is_left_out = (bool *)calloc((size_t)lines + 2, sizeof *is_left_out);
    if (count > 3) {
        left_out = read_all(arguments[3], &left_out_bytes);
        for (line = strtok(left_out, "\n"); line != NULL; line = strtok(NULL, "\n")) {
            i = atoi(line);
            if (i > 0 && i <= lines) is_left_out[i] = true;
        }
    }
    for (line = strtok(list, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char kind[16] = "", edits[4096] = "", to[64] = "", *edit;
        long from = -1, size = 0, end = 0;
        bool is_fit = sscanf(line, "%15[^\t]\t%*[^\t]\t%*[^\t]\t%4095[^\t]", kind, edits) == 2;
        number++;
        for (edit = edits; is_fit && edit != NULL && *edit != '\0';) {
            int l, column, length, used = 0;
            if (sscanf(edit, "%d:%d:%d:%n", &l, &column, &length, &used) != 3 || used == 0 ||
                l > lines) {
                is_fit = false;
                break;
            }
            if (is_left_out[l]) is_fit = false;
            if (from < 0) {
                from = line_at[l] + column - 1;
                size = length;
                (void)sscanf(edit + used, "%63[^~]", to);
            }
            end = line_at[l] + column - 1 + length;
            edit = strchr(edit, '~');
            if (edit != NULL) edit++;
        }
        if (is_fit && from >= 0 && weave(number, kind, from, size, end, to))
            (void)fprintf(stderr, "%d\n", number);
    }
    opens = (const pair **)malloc(((size_t)pair_count + 1) * sizeof *opens);
    closes = (const pair **)malloc(((size_t)pair_count + 1) * sizeof *closes);
    for (i = 0; i < pair_count; i++) opens[i] = closes[i] = &pairs[i];
    qsort(opens, (size_t)pair_count, sizeof *opens, by_open);
    qsort(closes, (size_t)pair_count, sizeof *closes, by_close);
    for (at = 0; at <= bytes; at++) {
        for (; c < pair_count && closes[c]->to == at; c++) (void)fputs(closes[c]->close, stdout);
        for (; o < pair_count && opens[o]->from == at; o++) (void)fputs(opens[o]->open, stdout);
        if (at < bytes) (void)putchar(text[at]);
    }
    return 0;
}
