/*  ingest_log.h - what ingest.c writes: events, from lines of a log or made from a seed. No SQL here.
    SPDX-License-Identifier: MIT OR Unlicense  */
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MAX_LINE = 1024 * 1024, /* bytes; what is longer becomes several events */
    FIELD = 48              /* bytes of a source or a word, with the end */
};

typedef struct event {
    int64_t number; /* in its run, from 1 */
    char *line;     /* without its newline */
    size_t bytes, room;
    bool is_text;  /* UTF-8 without NULs; anything else becomes a blob, byte for byte */
    char time[32]; /* for SQLite's datetime(), which makes it UTC, or NULL of what is no time */
    const char *level;
    char source[FIELD], word[FIELD];
    uint32_t checksum; /* of number and line */
} event;

/*  Memory for the program's own use. Running out ends the program; what was committed stays. */
static void *need(void *memory) {
    if (memory != NULL) return memory;
    fputs("ingest: out of memory\n", stderr);
    exit(1);
}

/*  FNV-1a, first over the number, so that a line stored twice for another does not pass. */
static uint32_t checksum_of(int64_t number, const char *line, size_t bytes) {
    uint32_t sum = 2166136261u;
    size_t i;
    for (i = 0; i < 8; i++) sum = (sum ^ (uint32_t)(number >> 8 * i & 0xff)) * 16777619u;
    for (i = 0; i < bytes; i++) sum = (sum ^ (unsigned char)line[i]) * 16777619u;
    return sum;
}

/*  Does each character have the bytes that its first one announces? */
static bool is_text(const char *line, size_t bytes) {
    size_t i = 0;
    while (i < bytes) {
        const unsigned char c = (unsigned char)line[i++];
        int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if (c == 0 || (c >= 0x80 && c < 0xc2) || c > 0xf4) return false;
        for (; more > 0; more--)
            if (i == bytes || ((unsigned char)line[i++] & 0xc0) != 0x80) return false;
    }
    return true;
}

/*  The next run of letters, digits and ._-/@ goes to `field`; the result stands behind it. */
static const char *take_field(const char *p, char field[FIELD]) {
    size_t n = 0;
    while (*p != '\0' && !isalnum((unsigned char)*p) && *p != '/') p++;
    for (; isalnum((unsigned char)*p) || (*p != '\0' && strchr("._-/@", *p) != NULL); p++)
        if (n + 1 < FIELD) field[n++] = *p;
    field[n] = '\0';
    return p;
}

static const char *level_named(const char *word) {
    static const char *const names[][2] = {
        {"error", "error"}, {"err", "error"},    {"fatal", "error"},     {"critical", "error"},
        {"crit", "error"},  {"warn", "warning"}, {"warning", "warning"}, {"debug", "debug"}};
    size_t i;
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(names[i][0], word) == 0) return names[i][1];
    return NULL;
}

/*  The time at the beginning, or in brackets, for SQLite to read; the result stands behind it. */
static const char *take_time(event *e, const char *p, const char *year) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const char *found, *bracket = strchr(p, '[');
    char y[5], name[4] = "", m[3] = "", d[3], hms[9], hours[4] = "+00", minutes[3] = "00";
    int used = 0;
    snprintf(y, sizeof y, "%s", year);
    e->time[0] = '\0';
    if (sscanf(p, "%4[0-9]%*1[-/]%2[0-9]%*1[-/]%2[0-9]%*1[T ]%8[0-9:]%n%*[.,0-9]%n", y, m, d, hms,
               &used, &used) == 4) { /* 2023-10-11T22:14:15.003+02:00, 2023/10/11 22:14:15 */
        if (sscanf(p + used, "%3[+0-9-]:%2[0-9]", hours, minutes) != 2 &&
            sscanf(p + used, "%3[+0-9-]%2[0-9]", hours, minutes) != 2)
            strcpy(hours, "+00"), strcpy(minutes, "00");
        used += (int)strcspn(p + used, " ");
    } else if (sscanf(p, "%3[A-Za-z] %2[0-9] %8[0-9:]%n", name, d, hms, &used) != 3) {
        used = 0; /* not Oct 11 22:14:15 either */
        if (bracket == NULL ||
            sscanf(bracket, "[%2[0-9]/%3[A-Za-z]/%4[0-9]:%8[0-9:] %3[+0-9-]%2[0-9]", d, name, y,
                   hms, hours, minutes) != 6)
            return p;
    }
    found = strlen(name) == 3 ? strstr(months, name) : NULL;
    if (found != NULL) {
        const int month = (int)(found - months) / 3 + 1;
        m[0] = (char)('0' + month / 10), m[1] = (char)('0' + month % 10), m[2] = '\0';
    }
    snprintf(e->time, sizeof e->time, "%s-%s-%02dT%s%s:%s", y, m, atoi(d), hms, hours, minutes);
    return p + used;
}

/*  Access logs: host ident user [10/Oct/2000:13:55:36 -0700] "GET /word ..." status bytes. Others:
    [time] [level] [host] source[pid]: word ... Only the beginning counts, and of that ASCII. */
static void parse(event *e, const char *year) {
    char head[512], next[FIELD];
    const char *p, *quote;
    size_t i;
    for (i = 0; i < e->bytes && i + 1 < sizeof head; i++)
        head[i] = e->line[i] < ' ' || e->line[i] > '~' ? ' ' : e->line[i];
    head[i] = '\0';
    p = take_time(e, head, year);
    quote = e->time[0] != '\0' && p == head ? strstr(head, "] \"") : NULL;
    if (quote != NULL) {
        const char *end = strchr(quote + 3, '"');
        const int status = end != NULL ? atoi(end + 1) : 0;
        snprintf(e->source, FIELD, "%.*s", (int)strcspn(head, " "), head);
        (void)take_field(take_field(quote, next), e->word);
        e->level = status >= 500 ? "error" : status >= 400 ? "warning" : "info";
        return;
    }
    p = take_field(p, e->source);
    e->level = level_named(e->source);
    if (e->level != NULL) p = take_field(p, e->source);
    if (*p == ' ') { /* that was a host, if a program with its colon or number follows */
        const char *behind = take_field(p, next);
        if (*behind == ':' || *behind == '[') memcpy(e->source, next, FIELD), p = behind;
    }
    if (*p == '[') p += strcspn(p, "]");
    (void)take_field(p, e->word);
    while (e->level == NULL && *p != '\0') p = take_field(p, next), e->level = level_named(next);
    if (e->level == NULL) e->level = "info";
}

static void add_byte(event *e, int c) {
    if (e->bytes == e->room) {
        e->room = e->room * 2 + 256;
        e->line = (char *)need(realloc(e->line, e->room));
    }
    e->line[e->bytes++] = (char)c;
}

/*  The next line of the file, or the next MAX_LINE bytes of it; false at the end. */
static bool read_line(event *e, FILE *file) {
    int c = getc_unlocked(file);
    if (c == EOF) return false;
    add_byte(e, 0), e->bytes = 0; /* an empty line is not NULL */
    for (; c != '\n' && c != EOF && e->bytes < MAX_LINE; c = getc_unlocked(file)) add_byte(e, c);
    if (c != '\n' && c != EOF) ungetc(c, file);
    return true;
}

/*  splitmix64: a small generator of good quality. */
static uint64_t random_of(uint64_t z) {
    z += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/*  Event n is the same whichever thread makes it; there are 100 in a second. */
static void make_line(event *e, uint64_t seed) {
    static const char *const levels[] = {"error", "warning", "warning", "info"};
    static const char *const words[] = {"login", "upload", "search", "logout", "backup", "cart"};
    const uint64_t r = random_of(seed ^ random_of((uint64_t)e->number));
    const int64_t s = e->number / 100;
    char text[160];
    int i;
    snprintf(text, sizeof text, "2024-03-%02dT%02d:%02d:%02dZ web%d app[%d]: %s: %s took %d us",
             (int)(s / 86400 % 28) + 1, (int)(s / 3600 % 24), (int)(s / 60 % 60), (int)(s % 60),
             (int)(r & 7), (int)(r >> 8 & 0xff), levels[(r >> 16 & 31) < 3 ? (r >> 16 & 31) : 3],
             words[(r >> 24) % 6], (int)(r >> 32 & 0xffff));
    for (i = 0; text[i] != '\0'; i++) add_byte(e, text[i]);
}
