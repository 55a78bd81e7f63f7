/*  dashboard.c - a pool under load, looked at in a browser.
    SPDX-License-Identifier: MIT OR Unlicense

    Build:  cc -O2 examples/dashboard.c -o dashboard -lmicrohttpd -lsqlite3 -lpthread
    Try:    ./dashboard --port 8080 --db shop.db       then open http://127.0.0.1:8080/

    A shop: threads look orders up, one takes orders, and every half minute the accountants come, ask
    for sums without an index and keep every connection busy for a while. The page shows it: the
    slow statement on top with its plan, connections in use, an alert that is raised and cleared.

      /             the HTML report, which the browser asks for again every other second
      /metrics      for Prometheus
      /healthz      200 while the score is at least 60, else 503; the causes
      /report.json  /report.txt  /trace.json (for ui.perfetto.dev)

    What to copy from here is serve(): a report goes through one function with a write callback,
    whatever the format. It listens on 127.0.0.1 alone; SQL is on these pages, so put something
    that asks for a password in front of them before anyone else sees them. */
#define _POSIX_C_SOURCE 200809L
#define SQLPOOL_IMPLEMENTATION
#include "../sqlpool.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LOOKERS = 4,     /* threads that look orders up */
    ACCOUNTANTS = 6, /* threads that want sums, some of the time */
    ORDERS = 60000,
    ROUND_S = 30, /* the accountants come once a round, */
    BUSY_S = 10   /* and stay so long */
};

static atomic_bool is_over;
static atomic_int failures;

static void pause_ms(int duration_ms) {
    struct timespec t;
    t.tv_sec = duration_ms / 1000;
    t.tv_nsec = (long)(duration_ms % 1000) * 1000000;
    (void)nanosleep(&t, NULL);
}

static int64_t now_s(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec;
}

/*---- the load ----*/

typedef struct worker {
    sqlpool *pool;
    pthread_t thread;
    int number;
    int64_t began_s;
} worker;

static void note(int result, const char *what, const sqlpool_error *error) {
    if (result == SQLPOOL_OK || result == SQLPOOL_NOT_FOUND || atomic_load(&is_over)) return;
    if (atomic_fetch_add(&failures, 1) < 20) fprintf(stderr, "%s: %s\n", what, error->message);
}

static void *look_up(void *argument) {
    worker *w = argument;
    unsigned seed = (unsigned)w->number;
    sqlpool_call call = {0};
    sqlpool_error error;
    call.tag = "order page";
    while (!atomic_load(&is_over)) {
        sqlpool_rows rows;
        seed = seed * 1103515245u + 12345u;
        if (sqlpool_query_with(w->pool, &call, &rows,
                               "SELECT id, customer, total FROM orders WHERE id = ?",
                               SQLPOOL_ARGS((int)(seed >> 8) % ORDERS + 1), &error) == SQLPOOL_OK) {
            while (sqlpool_rows_next(&rows)) {
            }
        }
        note(sqlpool_rows_close(&rows, &error), "look up", &error);
        if (seed % 16 == 0) {
            int64_t count;
            note(sqlpool_query_int64(w->pool, &count,
                                     "SELECT count(*) FROM orders WHERE customer = ?",
                                     SQLPOOL_ARGS((int)(seed >> 9) % 500), &error),
                 "count", &error);
        }
        pause_ms(2);
    }
    return NULL;
}

static void *take_orders(void *argument) {
    worker *w = argument;
    unsigned seed = 1;
    sqlpool_call call = {0};
    sqlpool_error error;
    call.tag = "checkout";
    while (!atomic_load(&is_over)) {
        seed = seed * 1103515245u + 12345u;
        note(sqlpool_exec_with(w->pool, &call, NULL,
                               "UPDATE orders SET total = total + 1 WHERE id = ?",
                               SQLPOOL_ARGS((int)(seed >> 8) % ORDERS + 1), &error),
             "take an order", &error);
        pause_ms(5);
    }
    return NULL;
}

static void *add_up(void *argument) {
    worker *w = argument;
    sqlpool_call call = {0};
    sqlpool_error error;
    call.tag = "accounting";
    while (!atomic_load(&is_over)) {
        sqlpool_rows rows;
        if ((now_s() - w->began_s) % ROUND_S >= BUSY_S) {
            pause_ms(50);
            continue;
        }
        if (sqlpool_query_with(w->pool, &call, &rows,
                               "SELECT a.city, count(*), sum(o.total) FROM orders o JOIN address a "
                               "ON a.customer = o.customer WHERE o.note LIKE '%fragile%' "
                               "GROUP BY a.city ORDER BY sum(o.total) DESC",
                               SQLPOOL_NO_ARGS, &error) == SQLPOOL_OK) {
            while (sqlpool_rows_next(&rows)) {
            }
        }
        note(sqlpool_rows_close(&rows, &error), "add up", &error);
    }
    return NULL;
}

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, customer INTEGER, total INTEGER,"
    " note TEXT);"
    "CREATE INDEX IF NOT EXISTS orders_customer ON orders(customer);"
    "CREATE TABLE IF NOT EXISTS address(customer INTEGER, city TEXT);"
    "INSERT INTO address SELECT value, 'city ' || (value % 20) FROM (WITH RECURSIVE n(value) AS "
    "(SELECT 0 UNION ALL SELECT value + 1 FROM n WHERE value < 499) SELECT value FROM n) "
    "WHERE NOT EXISTS (SELECT 1 FROM address);"
    "INSERT INTO orders(customer, total, note) SELECT value % 500, value % 9973, "
    "CASE value % 7 WHEN 0 THEN 'fragile, ring twice' ELSE 'leave it with the neighbours' END "
    "FROM (WITH RECURSIVE n(value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM n WHERE value < "
    "59999) SELECT value FROM n) WHERE NOT EXISTS (SELECT 1 FROM orders);";

/*---- the pages ----*/

typedef struct page {
    char *text;
    size_t bytes, room;
} page;

/*  Keeps what the report writes. */
static int keep(void *user, const char *text, size_t bytes) {
    page *p = user;
    if (bytes > p->room - p->bytes) {
        const size_t room = 2 * (p->bytes + bytes);
        char *moved = realloc(p->text, room);
        if (moved == NULL) return SQLPOOL_NOMEM;
        p->text = moved;
        p->room = room;
    }
    memcpy(p->text + p->bytes, text, bytes);
    p->bytes += bytes;
    return 0;
}

static int say(page *p, const char *text) {
    return keep(p, text, strlen(text));
}

/*  200 or 503, one cause a line. */
static unsigned write_health(sqlpool *pool, page *p) {
    sqlpool_health health;
    char line[300];
    int i;
    if (sqlpool_get_health(pool, &health) != SQLPOOL_OK) return MHD_HTTP_SERVICE_UNAVAILABLE;
    (void)snprintf(line, sizeof line, "%d of 100\n", health.score);
    (void)say(p, line);
    for (i = 0; i < health.cause_count; i++) {
        (void)snprintf(line, sizeof line, "%s\n", health.causes[i].text);
        (void)say(p, line);
    }
    return health.score >= 60 ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static const struct {
    const char *path, *type;
    sqlpool_report_format format;
} pages[] = {{"/", "text/html; charset=utf-8", SQLPOOL_REPORT_HTML},
             {"/metrics", "text/plain; version=0.0.4; charset=utf-8", SQLPOOL_REPORT_PROMETHEUS},
             {"/report.json", "application/json", SQLPOOL_REPORT_JSON},
             {"/report.txt", "text/plain; charset=utf-8", SQLPOOL_REPORT_TEXT},
             {"/trace.json", "application/json", SQLPOOL_REPORT_TRACE}};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              page *p) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(p->bytes, p->text, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result;
    if (response == NULL) {
        free(p->text);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type", type);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (strncmp(type, "text/html", 9) == 0) (void)MHD_add_response_header(response, "Refresh", "2");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result serve(void *user, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_bytes, void **state) {
    sqlpool *pool = user;
    sqlpool_error error;
    page p = {NULL, 0, 0};
    size_t i;
    (void)version;
    (void)upload;
    (void)upload_bytes;
    (void)state;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        (void)say(&p, "only GET\n");
        return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", &p);
    }
    if (strcmp(url, "/healthz") == 0) {
        const unsigned status = write_health(pool, &p);
        return answer(connection, status, "text/plain; charset=utf-8", &p);
    }
    for (i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strcmp(url, pages[i].path) != 0) continue;
        if (sqlpool_report(pool, pages[i].format, keep, &p, &error) == SQLPOOL_OK)
            return answer(connection, MHD_HTTP_OK, pages[i].type, &p);
        p.bytes = 0;
        (void)say(&p, error.message);
        return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain", &p);
    }
    (void)say(&p, "/ /metrics /healthz /report.json /report.txt /trace.json\n");
    return answer(connection, MHD_HTTP_NOT_FOUND, "text/plain", &p);
}

/*---- the program ----*/

static void on_alert(void *user, const sqlpool_alert *alert) {
    (void)user;
    printf("%s\n", alert->message);
    (void)fflush(stdout);
}

static int usage(void) {
    fprintf(stderr, "usage: dashboard --db FILE [--port N, 0: any] [--seconds N, then it ends]\n");
    return 2;
}

static bool number(const char *text, long most, long *out) {
    char *end = NULL;
    if (text == NULL) return false;
    errno = 0;
    *out = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *out >= 0 && *out <= most;
}

/*  Waits for Ctrl-C, or so many seconds. */
static void wait_for_end(const sigset_t *signals, long seconds) {
    struct timespec rest;
    rest.tv_sec = seconds;
    rest.tv_nsec = 0;
    while (sigtimedwait(signals, NULL, seconds > 0 ? &rest : NULL) < 0 && errno == EINTR) {
    }
}

static struct MHD_Daemon *listen_on(long port, sqlpool *pool) {
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, (uint16_t)port, NULL, NULL, serve,
                            pool, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_CONNECTION_LIMIT, 32u,
                            MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_END);
}

static int run(sqlpool *pool, long port, const sigset_t *signals, long seconds) {
    worker workers[LOOKERS + 1 + ACCOUNTANTS];
    const int count = (int)(sizeof workers / sizeof workers[0]);
    struct MHD_Daemon *daemon = listen_on(port, pool);
    const union MHD_DaemonInfo *info;
    int i, started = 0;
    if (daemon == NULL) {
        fprintf(stderr, "cannot listen on 127.0.0.1:%ld: %s\n", port, strerror(errno));
        return 1;
    }
    info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
    printf("http://127.0.0.1:%u/\n", info != NULL ? info->port : (unsigned)port);
    (void)fflush(stdout);
    for (i = 0; i < count; i++) {
        worker *w = &workers[i];
        w->pool = pool;
        w->number = i;
        w->began_s = now_s() + ROUND_S - BUSY_S / 2; /* the first five seconds are calm */
        if (pthread_create(&w->thread, NULL,
                           i < LOOKERS    ? look_up
                           : i == LOOKERS ? take_orders
                                          : add_up,
                           w) != 0)
            break;
        started++;
    }
    wait_for_end(signals, seconds);
    atomic_store(&is_over, true);
    for (i = 0; i < started; i++) (void)pthread_join(workers[i].thread, NULL);
    MHD_stop_daemon(daemon);
    return started == count && atomic_load(&failures) == 0 ? 0 : 1;
}

int main(int count, char **words) {
    const char *path = NULL;
    long port = 8080, seconds = 0;
    sqlpool_config config = sqlpool_config_default();
    sqlpool_error error;
    sqlpool *pool;
    sigset_t signals;
    int i, status;
    for (i = 1; i + 1 < count; i += 2) {
        if (strcmp(words[i], "--db") == 0) {
            path = words[i + 1];
        } else if (!(strcmp(words[i], "--port") == 0 && number(words[i + 1], 65535, &port)) &&
                   !(strcmp(words[i], "--seconds") == 0 && number(words[i + 1], 86400, &seconds))) {
            return usage();
        }
    }
    if (path == NULL || i != count) return usage();
    config.name = "shop";
    config.max_connections = 6;
    config.slow_ms = 20;
    for (i = 0; i < SQLPOOL_ALERT_COUNT; i++) config.alerts[i].for_ms = 3000; /* to see it soon */
    config.events.alert_fn = on_alert;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL); /* all threads: wait_for_end() has them */
    if (sqlpool_open(&pool, path, &config, &error) != SQLPOOL_OK ||
        sqlpool_script(pool, schema, -1, &error) != SQLPOOL_OK) {
        fprintf(stderr, "%s: %s\n", path, error.message);
        return 1;
    }
    status = run(pool, port, &signals, seconds);
    if (sqlpool_close(pool, &error) != SQLPOOL_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    return status;
}
