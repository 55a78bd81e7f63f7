/*  codeindex.c - index a source tree from many threads, search it, and serve it under load.
    SPDX-License-Identifier: MIT OR Unlicense

    Build:  cc -O2 examples/codeindex.c -o codeindex -lsqlite3 -lpthread

    What to copy from here, and where it stands:
      open with a configuration, log hook, schema script         open_index
      a prepared point query without handling a statement        find_known
      one transaction per batch, safe to run a second time       write_batch
      cancelling what runs from another thread                   cmd_index (second Ctrl-C)
      several queries on one consistent image of the database    search_image
      reads from many threads beside a writer                    serve_reader, serve_writer

    One row of `files` stands for one regular file below DIR, whatever became of it: its state says
    whether its text is indexed. Paths are absolute and free of symbolic links (realpath of DIR;
    links below it are not followed), so one database can hold several trees. */
#define _XOPEN_SOURCE 700
#define SQLPOOL_IMPLEMENTATION
#include "../sqlpool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    HUGE_BYTES = 8 * 1024 * 1024,  /* larger files get a row but no text */
    SNIFF_BYTES = 8 * 1024,        /* a NUL among the first 8 KiB means binary, as git says */
    QUEUE_ITEMS = 64 * 1024,       /* far ahead enough to estimate the rest, yet some MiB at most */
    BATCH_FILES = 256,             /* one transaction holds this many files */
    BATCH_BYTES = 2 * 1024 * 1024, /* or this much text: the others wait that long for the writer */
    MAX_THREADS = 256,
    MAX_WORDS = 16,
    SAMPLE_CAPACITY = 1 << 18 /* latencies kept per thread and kind; beyond that a fair sample */
};

/*------------------------------------------------------------------------------------------------
 * small things
 *----------------------------------------------------------------------------------------------*/

static atomic_int interrupts; /* Ctrl-C and SIGTERM so far; lock-free, so a handler may add to it */

static void on_signal(int number) {
    (void)number;
    atomic_fetch_add(&interrupts, 1);
}

/*  Memory for the program's own use. Running out ends the program; what was committed stays. */
static void *need(void *memory) {
    if (memory == NULL) {
        fputs("codeindex: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static int64_t clock_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pause_ms(long ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static double mib(int64_t bytes) {
    return (double)bytes / (1024.0 * 1024.0);
}

/*  Every failure of the library ends up here: the message says what happened and what to do. */
static void complain(const char *what, int rc, const sqlpool_error *error) {
    fprintf(stderr, "codeindex: %s: %s: %s\n", what, sqlpool_result_name(rc),
            error->message[0] != '\0' ? error->message : sqlpool_result_text(rc));
}

/*------------------------------------------------------------------------------------------------
 * the database
 *----------------------------------------------------------------------------------------------*/

/*  symbols has no rowid: its key keeps the symbols of a file together, so that replacing a file is
    one short range. They go with their file (foreign keys are on by default). contents is a plain
    FTS5 table with the rowid of files; '_' is part of a word, as in code and in `grep -w`. */
static const char SCHEMA[] =
    "CREATE TABLE IF NOT EXISTS files("
    "  id INTEGER PRIMARY KEY,"
    "  path TEXT NOT NULL UNIQUE,"
    "  size INTEGER NOT NULL,"
    "  mtime_ns INTEGER NOT NULL," /* 0: too fresh to be trusted, read the file again */
    "  hash TEXT,"                 /* FNV-1a, 64 bits, of the bytes; NULL when they were not read */
    "  language TEXT,"
    "  state TEXT NOT NULL,"
    "  note TEXT);"
    "CREATE TABLE IF NOT EXISTS symbols("
    "  file INTEGER NOT NULL REFERENCES files(id) ON DELETE CASCADE,"
    "  line INTEGER NOT NULL,"
    "  name TEXT NOT NULL,"
    "  kind TEXT NOT NULL,"
    "  PRIMARY KEY(file, line, name, kind)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS symbols_name ON symbols(name);"
    "CREATE VIRTUAL TABLE IF NOT EXISTS contents USING fts5("
    "  body, tokenize = \"unicode61 remove_diacritics 0 tokenchars '_'\");";

static void log_line(void *user, sqlpool_level level, sqlpool_log_item item, const char *message) {
    (void)user;
    /* What the library says about the installed SQLite does not change from run to run. */
    if (item == SQLPOOL_LOG_SQLITE_VERSION && getenv("CODEINDEX_VERBOSE") == NULL) return;
    if (level >= SQLPOOL_LEVEL_WARNING) fprintf(stderr, "%s\n", message); /* begins with the name */
}

/*  Readers for every thread, so that no one waits for a reader, and the one writer. */
static sqlpool *open_index(const char *path, int readers, bool create) {
    sqlpool_config config = {0};
    sqlpool_error error;
    sqlpool *pool = NULL;
    int rc;
    config.name = "codeindex";
    config.max_connections = readers + 1;
    config.must_exist = !create;
    /* A thread that wrote its batch queues behind all the others' batches; on a slow disk with many
       threads that is longer than the default of 5 s, and it is no sign of trouble. */
    config.acquire_timeout_ms = 120000;
    config.log.write_fn = log_line;
    rc = sqlpool_open(&pool, path, &config, &error);
    if (rc == SQLPOOL_OK && create) rc = sqlpool_script(pool, SCHEMA, -1, &error);
    if (rc != SQLPOOL_OK) {
        complain(path, rc, &error);
        if (pool != NULL) (void)sqlpool_close(pool, NULL);
        return NULL;
    }
    return pool;
}

/*  Closing can fail too (a checkpoint on a full disk): a program that ignores it hides that. */
static int close_index(sqlpool *pool, int exit_code) {
    sqlpool_error error;
    const int rc = sqlpool_close(pool, &error);
    if (rc == SQLPOOL_OK) return exit_code;
    complain("close", rc, &error);
    return exit_code != 0 ? exit_code : 1;
}

/*------------------------------------------------------------------------------------------------
 * languages and their symbols: a scanner of lines, not a parser. It finds what stands at the start
 * of a line: C functions begin in column 0, methods inside a C++ class are not found.
 *----------------------------------------------------------------------------------------------*/

enum {                     /* what the text of a language looks like */
       STYLE_SLASH = 1,    /* comments with // and slash-star */
       STYLE_HASH = 2,     /* comments with # */
       STYLE_BACKTICK = 4, /* `strings` over several lines */
       STYLE_QUOTE = 8,    /* 'strings', not only 'c'haracters */
       STYLE_TRIPLE = 16,  /* """strings""" over several lines */
       STYLE_NO_STRINGS = 32
};

typedef struct symbol {
    const char *name; /* points into the text */
    const char *kind;
    uint32_t bytes;
    uint32_t line;
} symbol;

typedef struct symbols {
    symbol *at;
    size_t count, room;
} symbols;

typedef struct rule { /* a word at the start of a line, and the kind of what is named behind it */
    const char *word;
    const char *kind; /* NULL: a modifier, the word that counts follows */
} rule;

static const rule RULES_PYTHON[] = {
    {"def", "function"}, {"class", "class"}, {"async", NULL}, {NULL, NULL}};
static const rule RULES_GO[] = {{"func", "function"}, {"type", "type"}, {NULL, NULL}};
static const rule RULES_RUST[] = {{"fn", "function"}, {"struct", "struct"}, {"enum", "enum"},
                                  {"trait", "trait"}, {"union", "union"},   {"type", "type"},
                                  {"pub", NULL},      {"async", NULL},      {"unsafe", NULL},
                                  {"const", NULL},    {"extern", NULL},     {"default", NULL},
                                  {NULL, NULL}};
static const rule RULES_JS[] = {
    {"function", "function"}, {"class", "class"}, {"interface", "interface"},
    {"enum", "enum"},         {"type", "type"},   {"export", NULL},
    {"default", NULL},        {"async", NULL},    {"abstract", NULL},
    {"declare", NULL},        {NULL, NULL}};

typedef struct language {
    const char *name;
    const char *extensions; /* each between two spaces */
    unsigned style;
    const rule *rules; /* NULL: the scanner is written out (C, shell) or there is none */
} language;

static const language LANGUAGES[] = {
    {"C", " c h ", STYLE_SLASH, NULL},
    {"C++", " cc cpp cxx c++ hh hpp hxx h++ ipp tcc inl ", STYLE_SLASH, NULL},
    {"Python", " py pyi pyw ", STYLE_HASH | STYLE_QUOTE | STYLE_TRIPLE, RULES_PYTHON},
    {"Go", " go ", STYLE_SLASH | STYLE_BACKTICK, RULES_GO},
    {"Rust", " rs ", STYLE_SLASH, RULES_RUST},
    {"JavaScript", " js jsx mjs cjs ", STYLE_SLASH | STYLE_BACKTICK | STYLE_QUOTE, RULES_JS},
    {"TypeScript", " ts tsx mts cts ", STYLE_SLASH | STYLE_BACKTICK | STYLE_QUOTE, RULES_JS},
    {"shell", " sh bash ksh zsh ", STYLE_HASH | STYLE_NO_STRINGS, NULL},
    {"Markdown", " md markdown ", 0, NULL},
    {"JSON", " json ", 0, NULL},
    {"XML", " xml html htm svg ", 0, NULL},
    {"SQL", " sql ", 0, NULL},
    {"assembler", " s asm ", 0, NULL}};

static const language *language_of(const char *path) {
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(path, '.');
    char key[16] = " ";
    size_t length, i;
    if (dot == NULL || (slash != NULL && dot < slash)) return NULL;
    length = strlen(dot + 1);
    if (length == 0 || length > sizeof key - 3) return NULL;
    for (i = 0; i < length; i++) {
        const char c = dot[1 + i];
        key[1 + i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    key[1 + length] = ' ';
    for (i = 0; i < sizeof LANGUAGES / sizeof LANGUAGES[0]; i++)
        if (strstr(LANGUAGES[i].extensions, key) != NULL) return &LANGUAGES[i];
    return NULL;
}

static const language *language_named(const char *name) {
    size_t i;
    for (i = 0; name != NULL && i < sizeof LANGUAGES / sizeof LANGUAGES[0]; i++)
        if (strcmp(LANGUAGES[i].name, name) == 0) return &LANGUAGES[i];
    return NULL;
}

static bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}
static bool is_name_char(char c) {
    return is_name_start(c) || (c >= '0' && c <= '9');
}
static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}
static const char *skip_space(const char *p, const char *end) {
    while (p < end && is_space(*p)) p++;
    return p;
}
static const char *skip_name(const char *p, const char *end) {
    while (p < end && is_name_char(*p)) p++;
    return p;
}
static bool word_is(const char *p, const char *end, const char *word) {
    const size_t length = strlen(word);
    return (size_t)(end - p) == length && memcmp(p, word, length) == 0;
}
static bool word_in(const char *p, const char *end, const char *const *words) {
    for (; *words != NULL; words++)
        if (word_is(p, end, *words)) return true;
    return false;
}
static const char *line_end(const char *p, const char *end) {
    const char *newline = (const char *)memchr(p, '\n', (size_t)(end - p));
    return newline != NULL ? newline : end;
}

/*  p stands on an opening bracket; the result stands behind its partner, or is NULL when there is
    none within 4 KiB, longer than any parameter list that is worth the look on every line. */
static const char *skip_brackets(const char *p, const char *end, char open, char close) {
    int depth = 0;
    if (end - p > 4096) end = p + 4096;
    for (; p < end; p++) {
        if (*p == open) depth++;
        if (*p == close && --depth == 0) return p + 1;
    }
    return NULL;
}

static void add_symbol(symbols *found, const char *name, const char *end, const char *kind,
                       uint32_t line) {
    symbol s;
    if (name == end) return;
    if (found->count == found->room) {
        found->room = found->room != 0 ? found->room * 2 : 64;
        found->at = (symbol *)need(realloc(found->at, found->room * sizeof *found->at));
    }
    s.name = name;
    s.kind = kind;
    s.bytes = (uint32_t)(end - name);
    s.line = line;
    found->at[found->count++] = s;
}

/*  Where a string that begins at p ends; p itself when it is none after all. */
static const char *string_end(const char *p, const char *end, unsigned style) {
    const char quote = *p;
    const bool is_multiline = quote == '`';
    const char *q;
    if ((style & STYLE_TRIPLE) != 0 && end - p >= 6 && p[1] == quote && p[2] == quote) {
        for (q = p + 3; q + 3 <= end; q++)
            if (q[0] == quote && q[1] == quote && q[2] == quote) return q + 3;
        return end;
    }
    for (q = p + 1; q < end; q++) {
        if (*q == '\\')
            q++;
        else if (*q == quote)
            return q + 1;
        else if (*q == '\n' && !is_multiline)
            return (style & STYLE_QUOTE) != 0 || quote == '"' ? q : p;
        /* C's 'x' is short; what is longer is a Rust lifetime, a digit mark or an apostrophe. */
        if (quote == '\'' && (style & STYLE_QUOTE) == 0 && q - p > 10) return p;
    }
    return is_multiline ? end : p;
}

/*  Overwrites comments and strings with blanks, so that the scanners below meet code only. */
static void blank(char *text, size_t bytes, unsigned style) {
    char *p = text;
    const char *end = text + bytes;
    while (p < end) {
        const char *stop = p;
        if ((style & STYLE_SLASH) != 0 && *p == '/' && end - p > 1 && p[1] == '/') {
            stop = line_end(p, end);
        } else if ((style & STYLE_SLASH) != 0 && *p == '/' && end - p > 1 && p[1] == '*') {
            for (stop = p + 2; stop < end && !(stop[0] == '*' && stop + 1 < end && stop[1] == '/');)
                stop++;
            stop = end - stop > 2 ? stop + 2 : end;
        } else if ((style & STYLE_HASH) != 0 && *p == '#' && (p == text || is_space(p[-1]))) {
            stop = line_end(p, end);
        } else if ((style & STYLE_NO_STRINGS) == 0 &&
                   (*p == '"' || *p == '\'' || (*p == '`' && (style & STYLE_BACKTICK) != 0))) {
            stop = string_end(p, end, style);
        }
        if (stop == p) p++;
        for (; p < stop; p++)
            if (*p != '\n') *p = ' ';
    }
}

/*  typedef ... name;  typedef ... (*name)(...);  typedef struct { ... } name; */
static void scan_typedef(symbols *found, const char *p, const char *end, uint32_t line) {
    const char *name = p, *name_end = p;
    uint32_t name_line = line;
    int depth = 0;
    if (end - p > 65536) end = p + 65536;
    for (; p < end; p++) {
        if (*p == '\n') line++;
        if (*p == '{' || *p == '[') depth++;
        if (*p == '}' || *p == ']') depth--;
        if (depth != 0) continue;
        if (*p == ';') {
            add_symbol(found, name, name_end, "typedef", name_line);
            return;
        }
        if (*p == '(') { /* (*name)(...), (CALL name)(...) or name(...) */
            const char *after = skip_brackets(p, end, '(', ')'), *q = p;
            const bool is_attribute = word_is(name, name_end, "__attribute__");
            if (after == NULL) return;
            if (is_attribute) {
                p = after - 1;
                continue;
            }
            if (after < end && (*skip_space(after, end) == '(' || *skip_space(after, end) == '['))
                for (name_end = name = q; q < after; q++)
                    if (is_name_start(*q)) name = q, name_end = q = skip_name(q, after);
            add_symbol(found, name, name_end, "typedef", name_line);
            return;
        }
        if (is_name_start(*p) && !is_name_char(p[-1])) {
            name = p;
            name_end = skip_name(p, end);
            name_line = line;
            p = name_end - 1;
        }
    }
}

/*  struct name {    class EXPORT name final : public base {    enum class name : int { */
static void scan_aggregate(symbols *found, const char *p, const char *end, uint32_t line,
                           const char *kind) {
    const char *name = p, *name_end = p;
    for (;;) {
        p = skip_space(p, end);
        if (p == end) return;
        if (*p == '{' || (*p == ':' && !(end - p > 1 && p[1] == ':'))) break;
        if (*p == '(') { /* an attribute's argument */
            p = skip_brackets(p, end, '(', ')');
            if (p == NULL) return;
        } else if (is_name_start(*p)) {
            const char *word_end = skip_name(p, end);
            if (!word_is(p, word_end, "final") && !word_is(p, word_end, "class") &&
                !word_is(p, word_end, "struct")) {
                name = p;
                name_end = word_end;
            }
            p = word_end;
        } else {
            return; /* a variable, a parameter, a forward declaration */
        }
    }
    add_symbol(found, name, name_end, kind, line);
}

/*  A line that begins in column 0 with a name and has a parenthesis: `type name(...) {` is a
    function, with a semicolon a prototype; a name in column 0 (its type stands above) counts with a
    body only. */
static void scan_function(symbols *found, const char *p, const char *eol, const char *end,
                          uint32_t line) {
    static const char *const no_name[] = {"if",     "for",  "while", "switch",    "return",
                                          "sizeof", "do",   "else",  "defined",   "alignas",
                                          "case",   "goto", "using", "namespace", NULL};
    static const char *const attribute[] = {"__attribute__", "__declspec", "__extension__",
                                            "alignas",       "_Alignas",   "__asm__",
                                            "decltype",      NULL};
    const char *start = p, *name = p, *name_end = p;
    for (; p < eol; p++) {
        if (*p == '=' || *p == ';' || *p == '{' || *p == '}') return;
        if (is_name_start(*p)) {
            name = p;
            name_end = skip_name(p, eol);
            if (word_in(name, name_end, no_name)) return;
            p = name_end - 1;
        } else if (*p == '(') {
            if (!word_in(name, name_end, attribute)) break;
            p = skip_brackets(p, end, '(', ')');
            if (p == NULL || p > eol) return;
            p--;
        }
    }
    if (p >= eol || name == name_end) return;
    if (skip_space(name_end, end) != p) return; /* `int (*f)(void)`, `a * (b)` */
    if (*skip_space(p + 1, eol) == '*') return; /* a function pointer */
    p = skip_brackets(p, end, '(', ')');
    if (p == NULL) return;
    for (; p < end; p++) { /* attributes, `const`, initialisers of a constructor */
        if (*p == '{') add_symbol(found, name, name_end, "function", line);
        if (*p == ';' && name != start) add_symbol(found, name, name_end, "prototype", line);
        if (*p == '{' || *p == ';' || *p == '=' || *p == '#' || *p == '}') return;
        if (*p == '(') {
            p = skip_brackets(p, end, '(', ')');
            if (p == NULL) return;
            p--;
        }
    }
}

static void scan_c_line(symbols *found, const char *line_start, const char *eol, const char *end,
                        uint32_t line) {
    static const char *const prefixes[] = {"typedef", "static",   "const",
                                           "extern",  "template", NULL};
    static const char *const aggregates[] = {"struct", "union", "enum", "class", NULL};
    const char *p = skip_space(line_start, eol), *word_end = skip_name(p, eol);
    bool is_typedef = false;
    int i;
    while (word_in(p, word_end, prefixes)) {
        if (word_is(p, word_end, "typedef")) {
            scan_typedef(found, word_end, end, line);
            is_typedef = true;
        }
        p = skip_space(word_end, eol);
        if (p < eol && *p == '<') p = skip_brackets(p, end, '<', '>');
        if (p == NULL) return;
        p = skip_space(p, eol);
        word_end = skip_name(p, eol);
    }
    for (i = 0; aggregates[i] != NULL; i++)
        if (word_is(p, word_end, aggregates[i]))
            scan_aggregate(found, word_end, end, line, aggregates[i]);
    if (is_name_start(*line_start) && !is_typedef) scan_function(found, line_start, eol, end, line);
}

/*  One line of a language whose definitions begin with a word. */
static void scan_ruled_line(symbols *found, const rule *rules, const char *p, const char *eol,
                            uint32_t line) {
    for (;;) {
        const char *word, *word_end;
        const rule *r;
        p = skip_space(p, eol);
        word = p;
        word_end = skip_name(p, eol);
        for (r = rules; r->word != NULL && !word_is(word, word_end, r->word);) r++;
        if (r->word == NULL) return;
        p = skip_space(word_end, eol);
        if (p < eol && *p == '(' &&
            (r->kind == NULL || rules == RULES_GO)) { /* pub(crate), a receiver */
            p = skip_brackets(p, eol, '(', ')');
            if (p == NULL) return;
            p = skip_space(p, eol);
        }
        if (r->kind == NULL) continue;
        if (p < eol && *p == '*') p = skip_space(p + 1, eol); /* function *generator() */
        word_end = p < eol && is_name_start(*p) ? skip_name(p, eol) : p;
        if (!word_is(p, word_end, "extends")) add_symbol(found, p, word_end, r->kind, line);
        return;
    }
}

static void scan_shell_line(symbols *found, const char *p, const char *eol, uint32_t line) {
    const char *word = skip_space(p, eol);
    const char *word_end = skip_name(word, eol);
    if (word_is(word, word_end, "function")) {
        word = skip_space(word_end, eol);
        add_symbol(found, word, skip_name(word, eol), "function", line);
    } else if (word != word_end) {
        p = skip_space(word_end, eol);
        if (eol - p >= 2 && p[0] == '(' && p[1] == ')')
            add_symbol(found, word, word_end, "function", line);
    }
}

/*  All symbols of a text. Names point into `text`, positions come from a blanked copy of it. */
static void scan_symbols(symbols *found, const language *lang, const char *text, size_t bytes) {
    char *copy;
    const char *p, *end;
    uint32_t line = 1;
    size_t i;
    bool is_continued = false; /* inside a #define of several lines */
    found->count = 0;
    if (lang == NULL || lang->style == 0 || bytes == 0) return;
    copy = (char *)need(malloc(bytes + 1));
    memcpy(copy, text, bytes);
    copy[bytes] = '\n'; /* what looks one byte past a line meets an end */
    blank(copy, bytes, lang->style);
    end = copy + bytes;
    for (p = copy; p < end; line++) {
        const char *eol = line_end(p, end);
        const char *first = skip_space(p, eol);
        if (lang->rules != NULL) {
            scan_ruled_line(found, lang->rules, p, eol, line);
        } else if ((lang->style & STYLE_HASH) != 0) {
            scan_shell_line(found, p, eol, line);
        } else if (is_continued || (first < eol && *first == '#')) {
            const char *last = eol;
            if (!is_continued) {
                const char *word = skip_space(first + 1, eol);
                const char *name = skip_space(skip_name(word, eol), eol);
                if (word_is(word, skip_name(word, eol), "define"))
                    add_symbol(found, name, skip_name(name, eol), "macro", line);
            }
            while (last > p && is_space(last[-1])) last--;
            is_continued = last > p && last[-1] == '\\';
        } else {
            scan_c_line(found, p, eol, end, line);
        }
        p = eol + 1;
    }
    for (i = 0; i < found->count; i++) found->at[i].name = text + (found->at[i].name - copy);
    free(copy);
}

/*------------------------------------------------------------------------------------------------
 * one file: read, hash, classify
 *----------------------------------------------------------------------------------------------*/

/*  What became of a file. The first two have their text in the index. */
typedef enum state {
    STATE_TEXT,
    STATE_REPAIRED,
    STATE_BINARY,
    STATE_HUGE,
    STATE_UNREADABLE,
    STATE_COUNT
} state;
static const char *const STATE_NAMES[STATE_COUNT] = {"text", "repaired", "binary", "huge",
                                                     "unreadable"};

static state state_named(const char *name) {
    int i;
    for (i = 0; name != NULL && i < STATE_COUNT; i++)
        if (strcmp(STATE_NAMES[i], name) == 0) return (state)i;
    return STATE_UNREADABLE; /* a row we do not understand: read the file again */
}

typedef struct record { /* all that is stored about a file */
    char *path;
    int64_t size, mtime_ns;
    state state;
    bool is_gone;  /* vanished between the walk and now: no row */
    bool is_touch; /* the content is the stored one: only the time is written */
    char hash[17]; /* empty: none */
    char note[96]; /* empty: none */
    const language *lang;
    char *body; /* UTF-8; NULL when the text is not indexed */
    size_t bytes;
    symbols symbols;
    int64_t id;   /* set by the transaction */
    bool was_new; /* set by the transaction */
} record;

static void record_free(record *r) {
    free(r->path);
    free(r->body);
    free(r->symbols.at);
    memset(r, 0, sizeof *r);
}

/*  Length of the UTF-8 character at p; 0 if invalid (RFC 3629: shortest form, no surrogates). */
static size_t utf8_length(const unsigned char *p, const unsigned char *end) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t length = p[0] < 0x80 ? 1 : p[0] < 0xC0 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    uint32_t c = p[0] & (0x7FU >> length);
    size_t i;
    if (length > (size_t)(end - p) || p[0] >= 0xF8) return 0;
    for (i = 1; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (p[i] & 0x3F);
    }
    if (length > 1 && c < smallest[length]) return 0;
    return c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF) ? 0 : length;
}

/*  Replaces each invalid byte by U+FFFD. Returns how many there were. */
static size_t utf8_repair(char **text, size_t *bytes) {
    const unsigned char *p = (const unsigned char *)*text, *end = p + *bytes;
    const unsigned char *scan;
    size_t invalid = 0, length, used = 0;
    char *out;
    for (scan = p; scan < end; scan += length != 0 ? length : 1) {
        length = utf8_length(scan, end);
        if (length == 0) invalid++;
    }
    if (invalid == 0) return 0;
    out = (char *)need(malloc(*bytes + 2 * invalid + 1));
    for (; p < end; p += length != 0 ? length : 1) {
        length = utf8_length(p, end);
        if (length != 0)
            memcpy(out + used, p, length);
        else
            memcpy(out + used, "\xEF\xBF\xBD", 3);
        used += length != 0 ? length : 3;
    }
    free(*text);
    *text = out;
    *bytes = used;
    return invalid;
}

static int64_t mtime_of(const struct stat *st) {
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/*  Reads an open file up to its end or past HUGE_BYTES, hashing on the way. 0 or errno. */
static int read_body(int fd, record *r) {
    uint64_t hash = UINT64_C(14695981039346656037);
    size_t room = (size_t)r->size + 1; /* one more: the read that finds the end needs room too */
    r->body = (char *)need(malloc(room));
    for (;;) {
        ssize_t got;
        size_t i;
        if (r->bytes == room) {
            room = room * 2;
            r->body = (char *)need(realloc(r->body, room));
        }
        got = read(fd, r->body + r->bytes, room - r->bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        if (got == 0) break;
        for (i = 0; i < (size_t)got; i++) {
            hash ^= (unsigned char)r->body[r->bytes + i];
            hash *= UINT64_C(1099511628211);
        }
        r->bytes += (size_t)got;
        if (r->bytes > HUGE_BYTES) return 0;
    }
    snprintf(r->hash, sizeof r->hash, "%016llx", (unsigned long long)hash);
    return 0;
}

static void drop_body(record *r) {
    free(r->body);
    r->body = NULL;
    r->bytes = 0;
}

/*  Fills everything but the path. Whatever happens to the file is an answer, not an error. */
static void read_file(record *r) {
    struct stat st, after;
    int fd, code = 0;
    memset(&st, 0, sizeof st);
    r->lang = language_of(r->path);
    /* O_NONBLOCK: should a FIFO have taken the file's place, opening it must not hang. */
    fd = open(r->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) code = errno;
    if (fd >= 0 && fstat(fd, &st) != 0) code = errno;
    if (code == ENOENT || code == ENOTDIR || code == ELOOP || (code == 0 && !S_ISREG(st.st_mode))) {
        r->is_gone = true;
    } else if (code == 0) {
        const int64_t age_ns = clock_ns(CLOCK_REALTIME) - mtime_of(&st);
        r->size = st.st_size;
        r->mtime_ns = mtime_of(&st);
        r->state = STATE_HUGE;
        if (r->size <= HUGE_BYTES) code = read_body(fd, r);
        if (code == 0 && r->bytes > HUGE_BYTES) drop_body(r); /* it grew meanwhile */
        /* A write within one tick of the file system's clock leaves the time as it is, so a file
           younger than 2 s (FAT's tick) or changed while we read it is read again next time. */
        if ((age_ns >= 0 && age_ns < INT64_C(2000000000)) || fstat(fd, &after) != 0 ||
            after.st_size != st.st_size || mtime_of(&after) != r->mtime_ns)
            r->mtime_ns = 0;
    }
    if (fd >= 0) close(fd);
    if (r->is_gone) return;
    if (code != 0) {
        drop_body(r);
        r->hash[0] = '\0';
        r->state = STATE_UNREADABLE;
        snprintf(r->note, sizeof r->note, "%s", strerror(code));
    } else if (r->body != NULL) {
        const size_t sniff = r->bytes < SNIFF_BYTES ? r->bytes : SNIFF_BYTES;
        if (memchr(r->body, '\0', sniff) != NULL) {
            r->state = STATE_BINARY;
            drop_body(r);
        } else {
            const size_t invalid = utf8_repair(&r->body, &r->bytes);
            r->state = invalid == 0 ? STATE_TEXT : STATE_REPAIRED;
            if (invalid != 0)
                snprintf(r->note, sizeof r->note, "%zu invalid bytes replaced", invalid);
            scan_symbols(&r->symbols, r->lang, r->body, r->bytes);
        }
    }
}

/*------------------------------------------------------------------------------------------------
 * index: one walker, a bounded queue, and workers that read, compare and write
 *----------------------------------------------------------------------------------------------*/

typedef struct item { /* a file as the walker saw it */
    char *path;
    int64_t size, mtime_ns;
} item;

typedef struct job {
    sqlpool *pool;
    char root[4096];     /* without a slash at the end; empty for "/" */
    sqlpool_token token; /* fired by a second Ctrl-C: takes back the running transactions */
    dev_t own_device[3]; /* the database, its log and its shared memory */
    ino_t own_inode[3];
    int own_count;

    pthread_mutex_t lock; /* of everything down to the next blank line */
    pthread_cond_t filled, drained;
    item *queue; /* ring of QUEUE_ITEMS */
    size_t head, queued;
    bool walk_ended, walk_complete;
    uint8_t *seen; /* one bit per files.id met in this run */
    size_t seen_bytes;
    char **blind; /* directories that could not be read: nothing below them is removed */
    size_t blind_count;

    atomic_bool failed; /* the database refused something: stop */
    atomic_int working; /* workers that still run */
    atomic_llong found, found_bytes, done, done_bytes, fresh, changed, touched, unchanged, removed,
        vanished, own, special, symbols;
    atomic_llong states[STATE_COUNT];
} job;

static bool stopping(const job *j) {
    return atomic_load(&interrupts) != 0 || atomic_load(&j->failed);
}

static void queue_push(job *j, char *path, const struct stat *st) {
    item it;
    it.path = path;
    it.size = st->st_size;
    it.mtime_ns = mtime_of(st);
    pthread_mutex_lock(&j->lock);
    while (j->queued == QUEUE_ITEMS && !stopping(j)) pthread_cond_wait(&j->drained, &j->lock);
    if (j->queued < QUEUE_ITEMS) {
        j->queue[(j->head + j->queued++) % QUEUE_ITEMS] = it;
        atomic_fetch_add(&j->found, 1);
        atomic_fetch_add(&j->found_bytes, it.size);
        path = NULL;
    }
    pthread_cond_signal(&j->filled);
    pthread_mutex_unlock(&j->lock);
    free(path);
}

/*  False: there is nothing more to do, or the program is stopping. */
static bool queue_pop(job *j, item *it) {
    bool got = false;
    pthread_mutex_lock(&j->lock);
    while (j->queued == 0 && !j->walk_ended && !stopping(j))
        pthread_cond_wait(&j->filled, &j->lock);
    if (j->queued != 0 && !stopping(j)) {
        *it = j->queue[j->head];
        j->head = (j->head + 1) % QUEUE_ITEMS;
        j->queued--;
        got = true;
    }
    pthread_cond_signal(&j->drained);
    pthread_mutex_unlock(&j->lock);
    return got;
}

static char *path_join(const char *directory, const char *name) {
    const size_t bytes = strlen(directory) + strlen(name) + 2;
    char *path = (char *)need(malloc(bytes));
    snprintf(path, bytes, "%s/%s", directory, name);
    return path;
}

static void add_blind(job *j, const char *directory, int code) {
    fprintf(stderr, "codeindex: %s/: %s; its rows are kept\n", directory, strerror(code));
    pthread_mutex_lock(&j->lock);
    j->blind = (char **)need(realloc(j->blind, (j->blind_count + 1) * sizeof *j->blind));
    j->blind[j->blind_count++] = path_join(directory, ""); /* ends in a slash: a prefix of paths */
    pthread_mutex_unlock(&j->lock);
}

/*  Opening and closing a live database file behind SQLite's back drops SQLite's locks on it
    (sqlite.org/howtocorrupt.html, section 2.2): when the database lies inside the tree that it
    indexes, its files must not even be opened. */
static bool is_own(const job *j, const struct stat *st) {
    int i;
    for (i = 0; i < j->own_count; i++)
        if (st->st_dev == j->own_device[i] && st->st_ino == j->own_inode[i]) return true;
    return false;
}

static void note_own_files(job *j, const char *database) {
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    int i;
    for (i = 0; i < 3; i++) {
        char path[4096 + 8];
        struct stat st;
        snprintf(path, sizeof path, "%s%s", database, suffixes[i]);
        if (stat(path, &st) != 0) continue;
        j->own_device[j->own_count] = st.st_dev;
        j->own_inode[j->own_count++] = st.st_ino;
    }
}

typedef struct stack {
    char **at;
    size_t count, room;
} stack;

static void stack_push(stack *s, char *path) {
    if (s->count == s->room) {
        s->room = s->room * 2 + 64;
        s->at = (char **)need(realloc(s->at, s->room * sizeof *s->at));
    }
    s->at[s->count++] = path;
}

static void walk_directory(job *j, stack *todo, const char *directory) {
    const int fd = open(directory[0] != '\0' ? directory : "/",
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    int code = errno, trouble = 0;
    if (dir == NULL) {
        if (fd >= 0) close(fd);
        if (code != ENOENT && code != ENOTDIR && code != ELOOP) add_blind(j, directory, code);
        return;
    }
    while (!stopping(j) && (errno = 0, entry = readdir(dir)) != NULL) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno != ENOENT) trouble = errno;
        } else if (S_ISDIR(st.st_mode)) {
            stack_push(todo, path_join(directory, entry->d_name));
        } else if (!S_ISREG(st.st_mode)) {
            atomic_fetch_add(&j->special, 1);
        } else if (is_own(j, &st)) {
            atomic_fetch_add(&j->own, 1);
        } else {
            queue_push(j, path_join(directory, entry->d_name), &st);
        }
    }
    if (trouble == 0) trouble = errno;
    if (trouble != 0 && !stopping(j)) add_blind(j, directory, trouble);
    closedir(dir);
}

/*  An explicit stack: no limit of depth, and one open directory at a time. */
static void *walk(void *user) {
    job *j = (job *)user;
    stack todo = {0};
    stack_push(&todo, path_join(j->root, ""));
    todo.at[0][strlen(j->root)] = '\0';
    while (todo.count != 0) {
        char *directory = todo.at[--todo.count];
        if (!stopping(j)) walk_directory(j, &todo, directory);
        free(directory);
    }
    free(todo.at);
    pthread_mutex_lock(&j->lock);
    j->walk_ended = true;
    j->walk_complete = !stopping(j);
    pthread_cond_broadcast(&j->filled);
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

static void mark_seen(job *j, int64_t id) {
    const size_t byte = (size_t)id / 8;
    pthread_mutex_lock(&j->lock);
    if (byte >= j->seen_bytes) {
        const size_t room = byte * 2 + 4096;
        j->seen = (uint8_t *)need(realloc(j->seen, room));
        memset(j->seen + j->seen_bytes, 0, room - j->seen_bytes);
        j->seen_bytes = room;
    }
    j->seen[byte] = (uint8_t)(j->seen[byte] | 1U << (id % 8));
    pthread_mutex_unlock(&j->lock);
}

static bool was_seen(const job *j, int64_t id) {
    const size_t byte = (size_t)id / 8;
    return byte < j->seen_bytes && (j->seen[byte] >> (id % 8) & 1) != 0;
}

typedef struct known {          /* what the index says about a path */
    int64_t id, size, mtime_ns; /* id 0: nothing */
    char hash[17];
    state state;
} known;

/*  A point query from any thread: the pool picks an idle reader that has the statement prepared. */
static int find_known(sqlpool *pool, const char *path, known *k, sqlpool_error *error) {
    sqlpool_rows rows;
    memset(k, 0, sizeof *k);
    (void)sqlpool_query(pool, &rows,
                        "SELECT id, size, mtime_ns, hash, state FROM files WHERE path = ?1",
                        SQLPOOL_ARGS(path), error);
    if (sqlpool_rows_next(&rows)) {
        const char *hash = sqlpool_rows_text(&rows, 3);
        k->id = sqlpool_rows_int64(&rows, 0);
        k->size = sqlpool_rows_int64(&rows, 1);
        k->mtime_ns = sqlpool_rows_int64(&rows, 2);
        snprintf(k->hash, sizeof k->hash, "%s", hash != NULL ? hash : "");
        k->state = state_named(sqlpool_rows_text(&rows, 4));
    }
    return sqlpool_rows_close(&rows, error); /* tells how the query and the walk went */
}

/*  Replaces the text and the symbols of a file: a step of a transaction. */
static int replace_text(sqlpool_conn *conn, int64_t id, const char *body, size_t bytes,
                        const symbols *found, sqlpool_error *error) {
    size_t i;
    int rc = sqlpool_conn_exec(conn, "DELETE FROM symbols WHERE file = ?1", SQLPOOL_ARGS(id), NULL,
                               error);
    if (rc == SQLPOOL_OK)
        rc = sqlpool_conn_exec(conn, "DELETE FROM contents WHERE rowid = ?1", SQLPOOL_ARGS(id),
                               NULL, error);
    if (rc == SQLPOOL_OK && body != NULL)
        rc = sqlpool_conn_exec(conn, "INSERT INTO contents(rowid, body) VALUES(?1, ?2)",
                               SQLPOOL_ARGS(id, SQLPOOL_TEXT(body, bytes)), NULL, error);
    for (i = 0; rc == SQLPOOL_OK && i < found->count; i++) {
        const symbol *s = &found->at[i];
        rc = sqlpool_conn_exec(
            conn, "INSERT OR IGNORE INTO symbols(file, line, name, kind) VALUES(?1, ?2, ?3, ?4)",
            SQLPOOL_ARGS(id, s->line, SQLPOOL_TEXT(s->name, s->bytes), s->kind), NULL, error);
    }
    return rc;
}

static int write_record(sqlpool_conn *conn, record *r, sqlpool_error *error) {
    const char *hash = r->hash[0] != '\0' ? r->hash : NULL; /* a NULL pointer is stored as NULL */
    const char *note = r->note[0] != '\0' ? r->note : NULL;
    const char *lang = r->lang != NULL ? r->lang->name : NULL;
    sqlpool_result result;
    sqlpool_rows rows;
    int rc;
    /* What was read before the transaction began may be old by now: another process may index the
       same tree. Only what the transaction itself reads is sure to hold until it commits. */
    (void)sqlpool_conn_query(conn, &rows, "SELECT id FROM files WHERE path = ?1",
                             SQLPOOL_ARGS(r->path), error);
    r->id = sqlpool_rows_next(&rows) ? sqlpool_rows_int64(&rows, 0) : 0;
    rc = sqlpool_rows_close(&rows, error);
    if (rc != SQLPOOL_OK) return rc;
    r->was_new = r->id == 0;
    if (r->was_new) {
        rc = sqlpool_conn_exec(
            conn,
            "INSERT INTO files(path, size, mtime_ns, hash, language, state, note)"
            " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            SQLPOOL_ARGS(r->path, r->size, r->mtime_ns, hash, lang, STATE_NAMES[r->state], note),
            &result, error);
        r->id = result.last_insert_id;
    } else {
        rc = sqlpool_conn_exec(
            conn,
            "UPDATE files SET size = ?2, mtime_ns = ?3, hash = ?4, language = ?5, state = ?6,"
            " note = ?7 WHERE id = ?1",
            SQLPOOL_ARGS(r->id, r->size, r->mtime_ns, hash, lang, STATE_NAMES[r->state], note),
            NULL, error);
    }
    if (rc != SQLPOOL_OK || (r->is_touch && !r->was_new)) return rc;
    return replace_text(conn, r->id, r->body, r->bytes, &r->symbols, error);
}

typedef struct batch {
    record records[BATCH_FILES];
    size_t count, bytes;
    sqlpool_error error; /* of the transaction, and of the calls inside it */
} batch;

/*  The pool runs this again from a fresh BEGIN when SQLite asks for it. So it only reads the batch,
    except for outputs that the next run overwrites; counters wait until the commit is certain. Its
    calls fill the same sqlpool_error as the transaction, which so tells the first cause. */
static int write_batch(sqlpool_conn *conn, void *user, int attempt) {
    batch *b = (batch *)user;
    size_t i;
    int rc = SQLPOOL_OK;
    (void)attempt;
    for (i = 0; rc == SQLPOOL_OK && i < b->count; i++)
        rc = write_record(conn, &b->records[i], &b->error);
    return rc;
}

static void fail(job *j, const char *what, int rc, const sqlpool_error *error) {
    /* One cause is enough: the other workers stop for the same reason a moment later. */
    if (!atomic_exchange(&j->failed, true) && rc != SQLPOOL_CANCELLED) complain(what, rc, error);
}

static void flush(job *j, batch *b) {
    sqlpool_call call = {0};
    bool is_committed = false;
    size_t i;
    call.tag = "index batch"; /* how reports name this holder of the writer */
    call.token = &j->token;
    if (b->count != 0 && !atomic_load(&j->failed)) {
        int rc;
        rc = sqlpool_transaction_with(j->pool, &call, SQLPOOL_WRITE, write_batch, b, &b->error);
        if (rc != SQLPOOL_OK) fail(j, "writing a batch", rc, &b->error);
        is_committed = rc == SQLPOOL_OK;
    }
    for (i = 0; i < b->count; i++) {
        record *r = &b->records[i];
        if (is_committed) {
            mark_seen(j, r->id);
            atomic_fetch_add(r->was_new ? &j->fresh : r->is_touch ? &j->touched : &j->changed, 1);
            atomic_fetch_add(&j->states[r->state], 1);
            atomic_fetch_add(&j->symbols, (long long)r->symbols.count);
            atomic_fetch_add(&j->done, 1);
            atomic_fetch_add(&j->done_bytes, r->size);
        }
        record_free(r);
    }
    b->count = b->bytes = 0;
}

static void count_unchanged(job *j, const known *k, int64_t bytes) {
    mark_seen(j, k->id);
    atomic_fetch_add(&j->unchanged, 1);
    atomic_fetch_add(&j->states[k->state], 1);
    atomic_fetch_add(&j->done, 1);
    atomic_fetch_add(&j->done_bytes, bytes);
}

/*  Decides what a file needs: nothing, or a record in the batch. Takes over it->path. */
static void consider(job *j, batch *b, item *it) {
    record *r = &b->records[b->count];
    sqlpool_error error;
    known k;
    const int rc = find_known(j->pool, it->path, &k, &error);
    memset(r, 0, sizeof *r);
    r->path = it->path;
    r->size = it->size;
    r->mtime_ns = it->mtime_ns;
    if (rc != SQLPOOL_OK) {
        fail(j, "looking up a file", rc, &error);
        record_free(r);
        return;
    }
    /* An unreadable file is tried each time: a change of permissions does not move its time. */
    if (k.id != 0 && k.size == it->size && k.mtime_ns == it->mtime_ns &&
        k.state != STATE_UNREADABLE) {
        count_unchanged(j, &k, it->size);
        record_free(r);
        return;
    }
    read_file(r);
    if (r->is_gone) {
        atomic_fetch_add(&j->vanished, 1);
        atomic_fetch_add(&j->done, 1);
        record_free(r);
        return;
    }
    /* Nothing but the time differs: no need to touch text and symbols. Of huge and unreadable files
       nothing but size and time is stored, so this is all that can be said of them. */
    r->is_touch =
        k.id != 0 && k.state == r->state && k.size == r->size && strcmp(k.hash, r->hash) == 0;
    if (r->is_touch && k.mtime_ns == r->mtime_ns) { /* nothing at all to write */
        count_unchanged(j, &k, r->size);
        record_free(r);
        return;
    }
    b->count++;
    b->bytes += r->bytes + 512;
}

static void *work(void *user) {
    job *j = (job *)user;
    batch *b = (batch *)need(calloc(1, sizeof *b));
    item it;
    while (queue_pop(j, &it)) {
        consider(j, b, &it);
        if (b->count == BATCH_FILES || b->bytes >= BATCH_BYTES) flush(j, b);
    }
    flush(j, b); /* after Ctrl-C too: what is ready is worth keeping */
    free(b);
    atomic_fetch_sub(&j->working, 1);
    return NULL;
}

/*  At the end of a complete walk: the files of this tree that were not met are gone. */
typedef struct removal {
    int64_t *ids;
    size_t count, room;
    size_t from, to; /* the part that the next transaction deletes */
    sqlpool_error error;
} removal;

static int remove_some(sqlpool_conn *conn, void *user, int attempt) {
    removal *m = (removal *)user;
    size_t i;
    int rc = SQLPOOL_OK;
    (void)attempt;
    for (i = m->from; rc == SQLPOOL_OK && i < m->to; i++) {
        rc = sqlpool_conn_exec(conn, "DELETE FROM contents WHERE rowid = ?1",
                               SQLPOOL_ARGS(m->ids[i]), NULL, &m->error);
        if (rc == SQLPOOL_OK)
            rc = sqlpool_conn_exec(conn, "DELETE FROM files WHERE id = ?1", SQLPOOL_ARGS(m->ids[i]),
                                   NULL, &m->error);
    }
    return rc;
}

static bool is_blind(const job *j, const char *path) {
    size_t i;
    for (i = 0; i < j->blind_count; i++)
        if (strncmp(path, j->blind[i], strlen(j->blind[i])) == 0) return true;
    return false;
}

static void remove_gone(job *j) {
    removal m = {0};
    sqlpool_rows rows;
    char first[4096 + 2], last[4096 + 2]; /* paths below DIR lie between "DIR/" and "DIR0" */
    int rc;
    snprintf(first, sizeof first, "%s/", j->root);
    snprintf(last, sizeof last, "%s0", j->root);
    (void)sqlpool_query(j->pool, &rows, "SELECT id, path FROM files WHERE path >= ?1 AND path < ?2",
                        SQLPOOL_ARGS(first, last), &m.error);
    while (sqlpool_rows_next(&rows)) {
        const int64_t id = sqlpool_rows_int64(&rows, 0);
        if (was_seen(j, id) || is_blind(j, sqlpool_rows_text(&rows, 1))) continue;
        if (m.count == m.room) {
            m.room = m.room * 2 + 256;
            m.ids = (int64_t *)need(realloc(m.ids, m.room * sizeof *m.ids));
        }
        m.ids[m.count++] = id;
    }
    rc = sqlpool_rows_close(&rows, &m.error);
    for (m.from = 0; rc == SQLPOOL_OK && m.from < m.count && !stopping(j); m.from = m.to) {
        m.to = m.count - m.from > BATCH_FILES ? m.from + BATCH_FILES : m.count;
        rc = sqlpool_transaction(j->pool, SQLPOOL_WRITE, remove_some, &m, &m.error);
        if (rc == SQLPOOL_OK) atomic_fetch_add(&j->removed, (long long)(m.to - m.from));
    }
    if (rc != SQLPOOL_OK) fail(j, "removing files that are gone", rc, &m.error);
    free(m.ids);
}

/*  One line that rewrites itself on a terminal, plain lines elsewhere. The total is what the walker
    has met so far; a plus sign says that it is still walking. */
static void show_progress(job *j, int64_t began_ns, bool is_terminal, bool is_last) {
    const double seconds = (double)(clock_ns(CLOCK_MONOTONIC) - began_ns) / 1e9;
    const int64_t found = atomic_load(&j->found), done = atomic_load(&j->done);
    const int64_t found_bytes = atomic_load(&j->found_bytes),
                  done_bytes = atomic_load(&j->done_bytes);
    const double rate = seconds > 0 ? (double)done / seconds : 0;
    const double left =
        done_bytes > 0 ? seconds * (double)(found_bytes - done_bytes) / (double)done_bytes : 0;
    bool walking;
    pthread_mutex_lock(&j->lock);
    walking = !j->walk_ended;
    pthread_mutex_unlock(&j->lock);
    fprintf(stderr, "%s%lld/%lld%s files  %.1f/%.1f MiB  %.0f files/s  %.0f s left%s%s",
            is_terminal ? "\r" : "", (long long)done, (long long)found, walking ? "+" : "",
            mib(done_bytes), mib(found_bytes), rate, left > 0 ? left : 0,
            is_terminal ? "\x1b[K" : "", is_terminal && !is_last ? "" : "\n");
    fflush(stderr);
}

/*  0 or errno. Walking what is no directory would find nothing, and remove all known below it. */
static int find_root(job *j, const char *directory) {
    char *root = realpath(directory, NULL);
    struct stat st;
    int code = 0;
    if (root == NULL || stat(root, &st) != 0) code = errno;
    else if (!S_ISDIR(st.st_mode)) code = ENOTDIR;
    else if (strlen(root) >= sizeof j->root) code = ENAMETOOLONG;
    else snprintf(j->root, sizeof j->root, "%s", strcmp(root, "/") == 0 ? "" : root);
    free(root);
    return code;
}

/*  Starts the walker and the workers, shows how far they are, passes on signals, waits for them. */
static void run_threads(job *j, int threads, int64_t began_ns, bool is_terminal) {
    const int64_t interval_ns = (is_terminal ? 100 : 2000) * INT64_C(1000000);
    pthread_t walker, workers[MAX_THREADS];
    int64_t shown_ns = began_ns;
    int i;
    atomic_store(&j->working, threads);
    if (pthread_create(&walker, NULL, walk, j) != 0) need(NULL);
    for (i = 0; i < threads; i++)
        if (pthread_create(&workers[i], NULL, work, j) != 0) need(NULL);
    while (atomic_load(&j->working) > 0) {
        pause_ms(20);
        if (clock_ns(CLOCK_MONOTONIC) - shown_ns >= interval_ns) {
            show_progress(j, began_ns, is_terminal, false);
            shown_ns = clock_ns(CLOCK_MONOTONIC);
        }
        if (stopping(j)) { /* a handler cannot signal a condition, so this thread does */
            pthread_mutex_lock(&j->lock);
            pthread_cond_broadcast(&j->filled);
            pthread_cond_broadcast(&j->drained);
            pthread_mutex_unlock(&j->lock);
        }
        /* The first Ctrl-C lets the running batches finish; the second takes them back. */
        if (atomic_load(&interrupts) >= 2) (void)sqlpool_cancel(j->pool, &j->token);
    }
    pthread_join(walker, NULL);
    for (i = 0; i < threads; i++) pthread_join(workers[i], NULL);
}

static void print_summary(const job *j, const char *database, int threads, double seconds) {
    int i;
    printf("%s %s/ -> %s in %.2f s, %d threads\n", stopping(j) ? "stopped" : "indexed", j->root,
           database, seconds, threads);
    printf("found=%lld bytes=%lld new=%lld changed=%lld touched=%lld unchanged=%lld removed=%lld\n",
           (long long)j->found, (long long)j->found_bytes, (long long)j->fresh,
           (long long)j->changed, (long long)j->touched, (long long)j->unchanged,
           (long long)j->removed);
    for (i = 0; i < STATE_COUNT; i++) printf("%s=%lld ", STATE_NAMES[i], (long long)j->states[i]);
    printf("vanished=%lld own=%lld special=%lld blind_directories=%zu symbols_written=%lld\n",
           (long long)j->vanished, (long long)j->own, (long long)j->special, j->blind_count,
           (long long)j->symbols);
    if (atomic_load(&interrupts) != 0)
        printf("interrupted: what was committed stays; the same command again does the rest\n");
}

static int cmd_index(const char *directory, const char *database, int threads) {
    static job the_job; /* all zero */
    job *j = &the_job;
    const bool is_terminal = isatty(2) != 0;
    const int64_t began = clock_ns(CLOCK_MONOTONIC);
    const int code = find_root(j, directory);
    if (code != 0) {
        fprintf(stderr, "codeindex: %s: %s\n", directory, strerror(code));
        return 1;
    }
    j->pool = open_index(database, threads, true);
    if (j->pool == NULL) return 1;
    note_own_files(j, database);
    j->queue = (item *)need(malloc(QUEUE_ITEMS * sizeof *j->queue));
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->filled, NULL);
    pthread_cond_init(&j->drained, NULL);
    run_threads(j, threads, began, is_terminal);
    if (j->walk_complete && !stopping(j)) remove_gone(j);
    show_progress(j, began, is_terminal, true);
    print_summary(j, database, threads, (double)(clock_ns(CLOCK_MONOTONIC) - began) / 1e9);

    for (; j->queued != 0; j->queued--) { /* left over after Ctrl-C */
        free(j->queue[j->head].path);
        j->head = (j->head + 1) % QUEUE_ITEMS;
    }
    while (j->blind_count != 0) free(j->blind[--j->blind_count]);
    free(j->blind);
    free(j->queue);
    free(j->seen);
    if (atomic_load(&interrupts) != 0) return close_index(j->pool, 130);
    return close_index(j->pool, atomic_load(&j->failed) ? 1 : 0);
}

/*------------------------------------------------------------------------------------------------
 * search
 *----------------------------------------------------------------------------------------------*/

typedef struct search {
    char **words;
    int count;
    int limit;       /* text hits; as many symbols again */
    bool files_only; /* all matching files, like grep -l */
    FILE *out;       /* a stream in memory; NULL: find, fetch, and print nothing (serve-test) */
    int64_t hits;
    sqlpool_error error;
} search;

/*  Marks that highlight() sets around a match; nothing that a text file holds by accident. */
static const char MARK_ON[] = "\x01\x02<", MARK_OFF[] = "\x01\x02>";

/*  Every word becomes a quoted FTS5 string, so nothing in it can be an operator or a syntax error;
    strings side by side mean AND. */
static char *match_expression(const search *s) {
    size_t bytes = 1, used = 0;
    char *text;
    int i;
    for (i = 0; i < s->count; i++) bytes += 2 * strlen(s->words[i]) + 3;
    text = (char *)need(malloc(bytes));
    for (i = 0; i < s->count; i++) {
        const char *p;
        text[used++] = '"';
        for (p = s->words[i]; *p != '\0'; p++) {
            if (*p == '"') text[used++] = '"';
            text[used++] = *p;
        }
        text[used++] = '"';
        text[used++] = ' ';
    }
    text[used] = '\0';
    return text;
}

/*  Prints the line [p, end) without marks and control bytes, cut after 160 bytes. */
static void print_snippet(FILE *out, const char *p, const char *end) {
    int column = 0;
    while (p < end && is_space(*p)) p++;
    for (; p < end && column < 160; p++) {
        if (end - p >= 3 && (memcmp(p, MARK_ON, 3) == 0 || memcmp(p, MARK_OFF, 3) == 0)) {
            p += 2;
        } else {
            fputc((unsigned char)*p < 0x20 || *p == 0x7F ? ' ' : *p, out);
            column++;
        }
    }
    while (p < end && ((unsigned char)*p & 0xC0) == 0x80) fputc(*p++, out); /* a whole character */
    fputc('\n', out);
}

static void print_hit(FILE *out, const char *path, const char *body, size_t bytes) {
    const char *end = body + bytes, *start = body, *p, *mark = end;
    int64_t line = 1;
    for (p = body; end - p >= 3; p++)
        if (*p == MARK_ON[0] && memcmp(p, MARK_ON, 3) == 0) {
            mark = p;
            break;
        }
    for (p = body; mark != end && p < mark; p++)
        if (*p == '\n') {
            line++;
            start = p + 1;
        }
    fprintf(out, "%s:%lld: ", path, (long long)line);
    print_snippet(out, start, line_end(start, end));
}

static int search_symbols(sqlpool_conn *conn, search *s, const char *word) {
    sqlpool_rows rows;
    (void)sqlpool_conn_query(
        conn, &rows,
        "SELECT path, line, kind, (SELECT body FROM contents WHERE rowid = file)"
        " FROM symbols JOIN files ON id = file WHERE name = ?1"
        " ORDER BY kind = 'prototype', path, line LIMIT ?2",
        SQLPOOL_ARGS(word, s->limit), &s->error);
    while (sqlpool_rows_next(&rows)) {
        s->hits++;
        if (s->out != NULL) {
            const int64_t line = sqlpool_rows_int64(&rows, 1);
            const char *text = sqlpool_rows_text(&rows, 3);
            const char *body = text != NULL ? text : "";
            const char *end = body + (text != NULL ? sqlpool_rows_bytes(&rows, 3) : 0);
            int64_t n;
            for (n = 1; n < line && body < end; n++)
                body = line_end(body, end) + (line_end(body, end) < end);
            fprintf(s->out, "%s:%lld: [%s] ", sqlpool_rows_text(&rows, 0), (long long)line,
                    sqlpool_rows_text(&rows, 2));
            print_snippet(s->out, body, line_end(body, end));
        }
    }
    return sqlpool_rows_close(&rows, &s->error);
}

static int search_text(sqlpool_conn *conn, search *s) {
    char *expression = match_expression(s);
    sqlpool_rows rows;
    if (s->files_only)
        (void)sqlpool_conn_query(
            conn, &rows,
            "SELECT (SELECT path FROM files WHERE id = contents.rowid) FROM contents"
            " WHERE contents MATCH ?1",
            SQLPOOL_ARGS(expression), &s->error);
    else /* rank is bm25; highlight() shows where FTS5's own tokenizer found the words */
        (void)sqlpool_conn_query(conn, &rows,
                                 "SELECT (SELECT path FROM files WHERE id = contents.rowid),"
                                 " highlight(contents, 0, ?2, ?3) FROM contents"
                                 " WHERE contents MATCH ?1 ORDER BY rank LIMIT ?4",
                                 SQLPOOL_ARGS(expression, MARK_ON, MARK_OFF, s->limit), &s->error);
    while (sqlpool_rows_next(&rows)) {
        const char *path = sqlpool_rows_text(&rows, 0);
        const char *body = s->files_only ? NULL : sqlpool_rows_text(&rows, 1);
        s->hits++;
        if (s->out != NULL && s->files_only) fprintf(s->out, "%s\n", path);
        if (s->out != NULL && body != NULL)
            print_hit(s->out, path, body, sqlpool_rows_bytes(&rows, 1));
    }
    free(expression);
    return sqlpool_rows_close(&rows, &s->error);
}

/*  A read transaction: symbols and text come from the same state of the database, whatever is
    committed meanwhile. It may run again, so it starts its output over, and prints nothing. */
static int search_image(sqlpool_conn *conn, void *user, int attempt) {
    search *s = (search *)user;
    int i, rc = SQLPOOL_OK;
    (void)attempt;
    s->hits = 0;
    if (s->out != NULL) rewind(s->out);
    for (i = 0; rc == SQLPOOL_OK && !s->files_only && i < s->count; i++)
        rc = search_symbols(conn, s, s->words[i]);
    return rc == SQLPOOL_OK ? search_text(conn, s) : rc;
}

static int cmd_search(const char *database, char **words, int count, int limit, bool files_only) {
    search s = {0};
    sqlpool *pool = open_index(database, 1, false);
    char *text = NULL;
    size_t bytes = 0;
    int rc;
    if (pool == NULL) return 1;
    s.words = words;
    s.count = count;
    s.limit = limit;
    s.files_only = files_only;
    s.out = (FILE *)need(open_memstream(&text, &bytes));
    rc = sqlpool_transaction(pool, SQLPOOL_READ, search_image, &s, &s.error);
    fclose(s.out);
    if (rc == SQLPOOL_OK) fwrite(text, 1, bytes, stdout);
    free(text);
    if (rc != SQLPOOL_OK) complain("search", rc, &s.error);
    return close_index(pool, rc != SQLPOOL_OK || s.hits == 0 ? 1 : 0);
}

/*------------------------------------------------------------------------------------------------
 * serve-test: real searches and look-ups from many threads beside a thread that writes
 *----------------------------------------------------------------------------------------------*/

typedef enum kind { KIND_SEARCH, KIND_BY_ID, KIND_BY_NAME, KIND_REWRITE, KIND_COUNT } kind;
static const char *const KIND_NAMES[] = {"search", "file by id", "symbol by name", "rewrite"};

/*  Latencies of one kind on one thread: all of them, or past SAMPLE_CAPACITY a uniform sample
    (Vitter's algorithm R). The maximum is exact in any case. */
typedef struct latencies {
    int64_t *ns;
    int64_t seen, max;
} latencies;

typedef struct serve {
    sqlpool *pool;
    char **names; /* sampled symbols, in the order of their files */
    size_t name_count;
    int64_t *ids; /* files with text */
    size_t id_count;
    int64_t deadline_ns;
    atomic_bool failed;
} serve;

typedef struct server { /* one thread */
    serve *shared;
    uint64_t random;
    latencies kinds[KIND_COUNT];
    int64_t misses; /* what is asked for exists: each rewrite replaces its rows in one commit */
} server;

/*  splitmix64: a small generator of good quality; one per thread. */
static uint64_t next_random(uint64_t *state_word) {
    uint64_t z = *state_word += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static size_t pick(server *t, size_t count) {
    return (size_t)(next_random(&t->random) % count);
}

static void add_latency(server *t, kind k, int64_t ns) {
    latencies *l = &t->kinds[k];
    if (l->ns == NULL) l->ns = (int64_t *)need(malloc(SAMPLE_CAPACITY * sizeof *l->ns));
    if (ns > l->max) l->max = ns;
    if (l->seen < SAMPLE_CAPACITY) {
        l->ns[l->seen] = ns;
    } else {
        const size_t at = pick(t, (size_t)l->seen + 1);
        if (at < SAMPLE_CAPACITY) l->ns[at] = ns;
    }
    l->seen++;
}

static void serve_failed(serve *v, const char *what, int rc, const sqlpool_error *error) {
    if (!atomic_exchange(&v->failed, true)) complain(what, rc, error);
}

static bool serving(const serve *v, int64_t now) {
    return now < v->deadline_ns && atomic_load(&interrupts) == 0 && !atomic_load(&v->failed);
}

static void serve_search(server *t) {
    serve *v = t->shared;
    search s = {0};
    const size_t at = pick(t, v->name_count);
    int rc;
    s.words = v->names + at; /* neighbours in the sample often stand in the same file */
    s.count = at + 1 < v->name_count && pick(t, 4) == 0 ? 2 : 1;
    s.limit = 10;
    rc = sqlpool_transaction(v->pool, SQLPOOL_READ, search_image, &s, &s.error);
    if (rc != SQLPOOL_OK) serve_failed(v, "search", rc, &s.error);
    if (s.hits == 0) t->misses++;
}

static void serve_lookup(server *t, const char *sql, sqlpool_value key) {
    sqlpool_rows rows;
    sqlpool_error error;
    int rc, hits = 0;
    (void)sqlpool_query(t->shared->pool, &rows, sql, SQLPOOL_ARGS(key), &error);
    while (sqlpool_rows_next(&rows))
        if (sqlpool_rows_text(&rows, 0) != NULL) hits++;
    rc = sqlpool_rows_close(&rows, &error);
    if (hits == 0) t->misses++;
    if (rc != SQLPOOL_OK) serve_failed(t->shared, sql, rc, &error);
}

/*  A tenth searches, the rest point look-ups of two kinds. Each thread asks again as soon as it has
    its answer (a closed loop), so the latencies are those at full load. */
static void *serve_reader(void *user) {
    server *t = (server *)user;
    serve *v = t->shared;
    int64_t before = clock_ns(CLOCK_MONOTONIC);
    while (serving(v, before)) {
        const size_t dice = pick(t, 20);
        const kind k = dice < 2 ? KIND_SEARCH : dice < 11 ? KIND_BY_ID : KIND_BY_NAME;
        int64_t after;
        if (k == KIND_SEARCH)
            serve_search(t);
        else if (k == KIND_BY_ID)
            serve_lookup(t, "SELECT path, size, language FROM files WHERE id = ?1",
                         SQLPOOL_VALUE(v->ids[pick(t, v->id_count)]));
        else
            serve_lookup(t,
                         "SELECT path, line, kind FROM symbols JOIN files ON id = file"
                         " WHERE name = ?1 LIMIT 5",
                         SQLPOOL_VALUE(v->names[pick(t, v->name_count)]));
        after = clock_ns(CLOCK_MONOTONIC);
        add_latency(t, k, after - before);
        before = after;
    }
    return NULL;
}

typedef struct rewrite {
    int64_t id;
    sqlpool_error error;
} rewrite;

/*  Reads a file's text back, scans it and writes text and symbols anew: the same rows as before. */
static int rewrite_file(sqlpool_conn *conn, void *user, int attempt) {
    rewrite *w = (rewrite *)user;
    symbols found = {0};
    char *body = NULL;
    size_t bytes = 0;
    const language *lang = NULL;
    sqlpool_rows rows;
    int rc;
    (void)attempt;
    (void)sqlpool_conn_query(conn, &rows,
                             "SELECT body, language FROM contents JOIN files ON id = contents.rowid"
                             " WHERE contents.rowid = ?1",
                             SQLPOOL_ARGS(w->id), &w->error);
    if (sqlpool_rows_next(&rows)) {
        const char *text = sqlpool_rows_text(&rows, 0);
        bytes = sqlpool_rows_bytes(&rows, 0);
        body = (char *)need(malloc(bytes + 1)); /* a row's text ends with the cursor: keep a copy */
        if (text != NULL) memcpy(body, text, bytes);
        lang = language_named(sqlpool_rows_text(&rows, 1));
    }
    rc = sqlpool_rows_close(&rows, &w->error);
    if (rc == SQLPOOL_OK && body != NULL) {
        scan_symbols(&found, lang, body, bytes);
        rc = replace_text(conn, w->id, body, bytes, &found, &w->error);
    }
    free(found.at);
    free(body);
    return rc;
}

static void *serve_writer(void *user) {
    server *t = (server *)user;
    serve *v = t->shared;
    int64_t before = clock_ns(CLOCK_MONOTONIC);
    while (serving(v, before)) {
        rewrite w = {0};
        int64_t after;
        int rc;
        w.id = v->ids[pick(t, v->id_count)];
        rc = sqlpool_transaction(v->pool, SQLPOOL_WRITE, rewrite_file, &w, &w.error);
        if (rc != SQLPOOL_OK) serve_failed(v, "rewrite", rc, &w.error);
        after = clock_ns(CLOCK_MONOTONIC);
        add_latency(t, KIND_REWRITE, after - before);
        before = after;
    }
    return NULL;
}

typedef struct weighted { /* a kept latency stands for `weight` measured ones */
    int64_t ns;
    double weight;
} weighted;

static int by_latency(const void *a, const void *b) {
    const weighted *x = (const weighted *)a, *y = (const weighted *)b;
    return (x->ns > y->ns) - (x->ns < y->ns);
}

/*  The smallest latency that at least `part` of all requests did not exceed. */
static double percentile_us(const weighted *all, size_t count, double total, double part) {
    double sum = 0;
    size_t i;
    for (i = 0; i + 1 < count; i++) {
        sum += all[i].weight;
        if (sum >= part * total) break;
    }
    return count != 0 ? (double)all[i].ns / 1e3 : 0;
}

static void report_kind(const server *threads, int count, kind k, double seconds) {
    weighted *all;
    size_t kept = 0;
    int64_t seen = 0, max = 0;
    int i;
    for (i = 0; i < count; i++) {
        const latencies *l = &threads[i].kinds[k];
        kept += (size_t)(l->seen < SAMPLE_CAPACITY ? l->seen : SAMPLE_CAPACITY);
        seen += l->seen;
        if (l->max > max) max = l->max;
    }
    all = (weighted *)need(malloc((kept + 1) * sizeof *all));
    kept = 0;
    for (i = 0; i < count; i++) {
        const latencies *l = &threads[i].kinds[k];
        const int64_t have = l->seen < SAMPLE_CAPACITY ? l->seen : SAMPLE_CAPACITY;
        int64_t n;
        for (n = 0; n < have; n++) {
            all[kept].ns = l->ns[n];
            all[kept++].weight = (double)l->seen / (double)have;
        }
    }
    qsort(all, kept, sizeof *all, by_latency);
    printf("%-15s %10lld %11.0f %10.1f %10.1f %10.1f %10.1f%s\n", KIND_NAMES[k], (long long)seen,
           (double)seen / seconds, percentile_us(all, kept, (double)seen, 0.50),
           percentile_us(all, kept, (double)seen, 0.99),
           percentile_us(all, kept, (double)seen, 0.999), (double)max / 1e3,
           (int64_t)kept < seen ? "  (percentiles of a sample)" : "");
    free(all);
}

/*  Loads what the threads ask for. */
static int load_samples(serve *v, sqlpool_error *error) {
    enum { NAMES = 4096 };
    sqlpool_rows rows;
    size_t room = 0;
    int rc;
    v->names = (char **)need(malloc(NAMES * sizeof *v->names));
    (void)sqlpool_query(
        v->pool, &rows,
        "SELECT name FROM (SELECT file, line, name FROM symbols ORDER BY random() LIMIT ?1)"
        " ORDER BY file, line",
        SQLPOOL_ARGS((int)NAMES), error);
    while (v->name_count < NAMES && sqlpool_rows_next(&rows)) {
        const size_t bytes = sqlpool_rows_text(&rows, 0) != NULL ? sqlpool_rows_bytes(&rows, 0) : 0;
        char *name = (char *)need(calloc(1, bytes + 1));
        if (bytes != 0) memcpy(name, sqlpool_rows_text(&rows, 0), bytes);
        v->names[v->name_count++] = name;
    }
    rc = sqlpool_rows_close(&rows, error);
    if (rc != SQLPOOL_OK) return rc;
    (void)sqlpool_query(v->pool, &rows, "SELECT id FROM files WHERE state IN ('text', 'repaired')",
                        SQLPOOL_NO_ARGS, error);
    while (sqlpool_rows_next(&rows)) {
        if (v->id_count == room) {
            room = room * 2 + 1024;
            v->ids = (int64_t *)need(realloc(v->ids, room * sizeof *v->ids));
        }
        v->ids[v->id_count++] = sqlpool_rows_int64(&rows, 0);
    }
    return sqlpool_rows_close(&rows, error);
}

/*  Returns the number of answers without a row. */
static int64_t report_serve(const serve *v, const server *threads, int readers, double seconds) {
    sqlpool_stats stats;
    char text[8192];
    int64_t misses = 0;
    int k;
    printf("%d readers and 1 writer for %.2f s\n", readers, seconds);
    printf("%-15s %10s %11s %10s %10s %10s %10s\n", "", "requests", "per second", "p50 us",
           "p99 us", "p99.9 us", "max us");
    for (k = 0; k < KIND_COUNT; k++) report_kind(threads, readers + 1, (kind)k, seconds);
    for (k = 0; k < readers; k++) misses += threads[k].misses;
    printf("answers without a row: %lld\n", (long long)misses);
    if (sqlpool_get_stats(v->pool, &stats) == SQLPOOL_OK) {
        const double asked = (double)(stats.cache_hits + stats.cache_misses);
        printf("statement cache: %.4f %% hits of %.0f\n",
               asked > 0 ? 100.0 * (double)stats.cache_hits / asked : 0.0, asked);
    }
    if (sqlpool_status_text(v->pool, text, sizeof text) >= 0) printf("%s\n", text);
    return misses;
}

static int cmd_serve_test(const char *database, int readers, int seconds) {
    serve v = {0};
    sqlpool_error error;
    server *threads;
    pthread_t handles[MAX_THREADS + 1];
    int64_t began;
    int i, rc, exit_code = 1;
    v.pool = open_index(database, readers, false);
    if (v.pool == NULL) return 1;
    rc = load_samples(&v, &error);
    threads = (server *)need(calloc((size_t)readers + 1, sizeof *threads));
    if (rc != SQLPOOL_OK) {
        complain("serve-test", rc, &error);
    } else if (v.name_count == 0 || v.id_count == 0) {
        fputs("codeindex: the index holds no text with symbols; index something first\n", stderr);
    } else {
        began = clock_ns(CLOCK_MONOTONIC);
        v.deadline_ns = began + seconds * INT64_C(1000000000);
        for (i = 0; i <= readers; i++) {
            threads[i].shared = &v;
            threads[i].random = (uint64_t)i + 1;
            if (pthread_create(&handles[i], NULL, i < readers ? serve_reader : serve_writer,
                               &threads[i]) != 0)
                need(NULL);
        }
        for (i = 0; i <= readers; i++) pthread_join(handles[i], NULL);
        exit_code = report_serve(&v, threads, readers,
                                 (double)(clock_ns(CLOCK_MONOTONIC) - began) / 1e9) != 0;
        if (atomic_load(&v.failed)) exit_code = 1;
        else if (atomic_load(&interrupts) != 0) exit_code = 130;
    }
    for (i = 0; i <= readers; i++) {
        int k;
        for (k = 0; k < KIND_COUNT; k++) free(threads[i].kinds[k].ns);
    }
    free(threads);
    while (v.name_count != 0) free(v.names[--v.name_count]);
    free(v.names);
    free(v.ids);
    return close_index(v.pool, exit_code);
}

/*------------------------------------------------------------------------------------------------
 * looking in: stats, list, check
 *----------------------------------------------------------------------------------------------*/

/*  Prints what a query of two columns says, as key=value. */
static int print_pairs(sqlpool *pool, const char *sql) {
    sqlpool_rows rows;
    sqlpool_error error;
    int rc;
    (void)sqlpool_query(pool, &rows, sql, SQLPOOL_NO_ARGS, &error);
    while (sqlpool_rows_next(&rows)) {
        const char *key = sqlpool_rows_text(&rows, 0);
        printf("%s=%lld\n", key != NULL ? key : "", (long long)sqlpool_rows_int64(&rows, 1));
    }
    rc = sqlpool_rows_close(&rows, &error);
    if (rc != SQLPOOL_OK) complain("stats", rc, &error);
    return rc;
}

static int cmd_stats(const char *database) {
    static const char *const queries[] = {
        "SELECT 'files', count(*) FROM files",
        "SELECT 'bytes', total(size) FROM files",
        "SELECT state, count(*) FROM files GROUP BY 1 ORDER BY 1",
        "SELECT 'language_' || ifnull(language, 'none'), count(*) FROM files GROUP BY 1 ORDER BY 1",
        "SELECT 'symbols', count(*) FROM symbols",
        "SELECT 'symbols_' || kind, count(*) FROM symbols GROUP BY 1 ORDER BY 1",
        "SELECT 'texts', count(*) FROM contents"};
    sqlpool *pool = open_index(database, 1, false);
    size_t i;
    int rc = SQLPOOL_OK;
    if (pool == NULL) return 1;
    for (i = 0; rc == SQLPOOL_OK && i < sizeof queries / sizeof queries[0]; i++)
        rc = print_pairs(pool, queries[i]);
    return close_index(pool, rc != SQLPOOL_OK);
}

/*  Paths, each followed by `terminator`: those of one state, or all (NULL). */
static int cmd_list(const char *database, const char *wanted, int terminator) {
    sqlpool_rows rows;
    sqlpool_error error;
    sqlpool *pool = open_index(database, 1, false);
    int rc;
    if (pool == NULL) return 1;
    (void)sqlpool_query(pool, &rows,
                        "SELECT path FROM files WHERE ?1 IS NULL OR state = ?1 ORDER BY path",
                        SQLPOOL_ARGS(wanted), &error);
    while (sqlpool_rows_next(&rows)) {
        const char *path = sqlpool_rows_text(&rows, 0);
        if (path != NULL) fputs(path, stdout);
        fputc(terminator, stdout);
    }
    rc = sqlpool_rows_close(&rows, &error);
    if (rc != SQLPOOL_OK) complain("list", rc, &error);
    return close_index(pool, rc != SQLPOOL_OK);
}

static int cmd_check(const char *database) {
    static const char *const counts[][2] = {
        {"texts without a file",
         "SELECT count(*) FROM contents WHERE rowid NOT IN (SELECT id FROM files)"},
        {"files without their text",
         "SELECT count(*) FROM files WHERE state IN ('text', 'repaired')"
         " AND id NOT IN (SELECT rowid FROM contents)"},
        {"texts that should not be",
         "SELECT count(*) FROM files WHERE state NOT IN ('text', 'repaired')"
         " AND id IN (SELECT rowid FROM contents)"},
        {"symbols without a file",
         "SELECT count(*) FROM symbols WHERE file NOT IN (SELECT id FROM files)"}};
    sqlpool_rows rows;
    sqlpool_error error;
    sqlpool *pool = open_index(database, 1, false);
    size_t i;
    int rc, bad = 0;
    if (pool == NULL) return 1;
    (void)sqlpool_query(pool, &rows, "PRAGMA integrity_check", SQLPOOL_NO_ARGS, &error);
    while (sqlpool_rows_next(&rows)) {
        const char *line = sqlpool_rows_text(&rows, 0);
        printf("integrity_check: %s\n", line != NULL ? line : "");
        if (line == NULL || strcmp(line, "ok") != 0) bad++;
    }
    rc = sqlpool_rows_close(&rows, &error);
    if (rc == SQLPOOL_OK) { /* compares the full-text index with every stored text */
        rc = sqlpool_exec(pool, "INSERT INTO contents(contents) VALUES('integrity-check')",
                          SQLPOOL_NO_ARGS, &error);
        if (rc == SQLPOOL_OK) printf("full-text index: ok\n");
    }
    for (i = 0; rc == SQLPOOL_OK && i < sizeof counts / sizeof counts[0]; i++) {
        int64_t count = 0;
        rc = sqlpool_query_int64(pool, &count, counts[i][1], SQLPOOL_NO_ARGS, &error);
        if (rc == SQLPOOL_OK) printf("%s: %lld\n", counts[i][0], (long long)count);
        if (count != 0) bad++;
    }
    if (rc != SQLPOOL_OK) complain("check", rc, &error);
    return close_index(pool, rc != SQLPOOL_OK || bad != 0);
}

/*------------------------------------------------------------------------------------------------
 * commands
 *----------------------------------------------------------------------------------------------*/

static const char USAGE[] =
    "codeindex - index a source tree into SQLite and search it\n"
    "\n"
    "  codeindex index [--threads N] DIR DB      add what is new or changed, remove what is gone\n"
    "  codeindex search [--limit N] DB WORDS...  hits with all words: symbols first, then by rank\n"
    "  codeindex search --files DB WORDS...      only the paths, all of them\n"
    "  codeindex serve-test DB [--threads N] [--seconds S]\n"
    "                                            searches and look-ups beside a writer\n"
    "  codeindex stats DB                        counts as key=value lines\n"
    "  codeindex list [-0] [--state S] DB        paths; S: text repaired binary huge unreadable\n"
    "  codeindex check DB                        integrity of the database and of the index in it\n"
    "\n"
    "Exit code: 0 done, 1 nothing found or an error, 2 usage, 130 interrupted: run it again\n";

typedef struct options {
    int threads, seconds, limit;
    bool files_only, zero;
    const char *state;
    char *operands[2 + MAX_WORDS];
    int count;
} options;

static bool parse_count(const char *text, int max, int *value) {
    char *end;
    const long n = text != NULL ? strtol(text, &end, 10) : 0;
    if (text == NULL || *text == '\0' || *end != '\0' || n < 1 || n > max) return false;
    *value = (int)n;
    return true;
}

/*  Options may stand anywhere before "--"; false: usage. */
static bool parse(options *o, int argc, char **argv) {
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    bool plain = false;
    int i;
    memset(o, 0, sizeof *o);
    o->threads = processors < 1 ? 1 : processors > 16 ? 16 : (int)processors;
    o->seconds = 5;
    o->limit = 20;
    for (i = 2; i < argc; i++) {
        const char *a = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (plain || a[0] != '-' || a[1] == '\0') {
            if (o->count == (int)(sizeof o->operands / sizeof o->operands[0])) return false;
            o->operands[o->count++] = argv[i];
        } else if (strcmp(a, "--") == 0) {
            plain = true;
        } else if (strcmp(a, "--threads") == 0) {
            if (!parse_count(next, MAX_THREADS, &o->threads)) return false;
            i++;
        } else if (strcmp(a, "--seconds") == 0) {
            if (!parse_count(next, 86400, &o->seconds)) return false;
            i++;
        } else if (strcmp(a, "--limit") == 0) {
            if (!parse_count(next, 1000000, &o->limit)) return false;
            i++;
        } else if (strcmp(a, "--state") == 0 && next != NULL) {
            o->state = next;
            i++;
        } else if (strcmp(a, "--files") == 0) {
            o->files_only = true;
        } else if (strcmp(a, "-0") == 0) {
            o->zero = true;
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv) {
    struct sigaction action;
    options o;
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "--help") == 0 || strcmp(command, "help") == 0) {
        fputs(USAGE, stdout);
        return 0;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    if (strcmp(command, "index") == 0 || strcmp(command, "serve-test") == 0) {
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
    }
    if (parse(&o, argc, argv)) {
        if (strcmp(command, "index") == 0 && o.count == 2)
            return cmd_index(o.operands[0], o.operands[1], o.threads);
        if (strcmp(command, "search") == 0 && o.count >= 2)
            return cmd_search(o.operands[0], o.operands + 1, o.count - 1, o.limit, o.files_only);
        if (strcmp(command, "serve-test") == 0 && o.count == 1)
            return cmd_serve_test(o.operands[0], o.threads, o.seconds);
        if (strcmp(command, "stats") == 0 && o.count == 1) return cmd_stats(o.operands[0]);
        if (strcmp(command, "list") == 0 && o.count == 1)
            return cmd_list(o.operands[0], o.state, o.zero ? '\0' : '\n');
        if (strcmp(command, "check") == 0 && o.count == 1) return cmd_check(o.operands[0]);
    }
    fputs(USAGE, stderr);
    return 2;
}
