/* bench-fleet: agents that have nothing to do. Each keeps a connection and makes the seven requests
 * of an agent's loop, one after the other, then sleeps until its period is over; with --wait it
 * starts again at once, and its claim is a long poll. Prints a line when the measurement begins and
 * a line of JSON at its end. */
#include "tests/bench/hist.h"
#include "tests/bench/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REPLY_MAX = 8192,
    REQUEST_MAX = 1024,
    EVENTS = 256,
    STEPS = 7, /* requests of a loop; the last one is the claim */
    LATE_S = 30
};

/* What an agent says when it starts, then its loop. %1$s: its name. */
static const char start_body[] =
    "{\"state\": \"waiting\", \"comment\": \"\", \"queues\": [\"%1$s\", \"lab\"], "
    "\"location\": \"lab\", \"provision_type\": \"none\"}";
static const struct step {
    const char *method, *path, *body;
} steps[STEPS] = {
    {"GET", "/v1/", NULL},
    {"GET", "/v1/agents/data/%1$s", NULL},
    {"POST", "/v1/agents/data/%1$s", "{\"state\": \"waiting\", \"comment\": \"\"}"},
    {"GET", "/v1/agents/data/%1$s", NULL},
    {"POST", "/v1/agents/queues", "{\"%1$s\": \"the queue of one device\", \"lab\": \"all\"}"},
    {"GET", "/v1/agents/data/%1$s", NULL},
    {"GET", "/v1/job?queue=%1$s&queue=lab%2$s", NULL},
};

struct agent {
    int fd, step; /* step -1: it starts */
    bool busy;
    int64_t due_ns, sent_ns;
    unsigned number;
    size_t reply_len;
    char reply[REPLY_MAX];
};

static struct fleet {
    struct sockaddr_in address;
    unsigned agents;
    double seconds, warm_up, period;
    char wait[32];
    int epoll;
    struct agent *all;
    int64_t start_ns, end_ns;
    struct hist hist;
    uint64_t answered, claims, faults, errors;
    char first_error[200];
} fleet;

static void die(const char *what)
{
    fprintf(stderr, "bench-fleet: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static void error_add(const char *text, size_t len)
{
    if (fleet.errors++)
        return;
    snprintf(fleet.first_error, sizeof fleet.first_error, "%.*s", len > 150 ? 150 : (int)len, text);
    for (char *p = fleet.first_error; *p; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ' || (unsigned char)*p > '~')
            *p = ' ';
}

static void agent_connect(struct agent *a)
{
    const int on = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = a};

    a->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (a->fd < 0 || connect(a->fd, (struct sockaddr *)&fleet.address, sizeof fleet.address) != 0)
        die("cannot connect to the server under test");
    if (fcntl(a->fd, F_SETFL, O_NONBLOCK) != 0 ||
        setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        epoll_ctl(fleet.epoll, EPOLL_CTL_ADD, a->fd, &event) != 0)
        die("connection");
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the texts above */
static void text_of(char *out, size_t size, const char *format, const char *name)
{
    snprintf(out, size, format, name, fleet.wait);
}
#pragma GCC diagnostic pop

static void agent_send(struct agent *a, int64_t now)
{
    const struct step *s = &steps[a->step < 0 ? 2 : a->step];
    const char *body_format = a->step < 0 ? start_body : s->body;
    char name[32], path[128], body[256] = "", text[REQUEST_MAX];

    snprintf(name, sizeof name, "agent-%u", a->number);
    text_of(path, sizeof path, s->path, name);
    if (body_format)
        text_of(body, sizeof body, body_format, name);
    int n = snprintf(text, sizeof text,
                     "%s %s HTTP/1.1\r\nHost: bench\r\nCookie: agent_name=%s\r\n%s"
                     "Content-Length: %zu\r\n\r\n%s",
                     s->method, path, name, *body ? "Content-Type: application/json\r\n" : "",
                     strlen(body), body);
    a->busy = true;
    a->reply_len = 0;
    a->sent_ns = now;
    if (send(a->fd, text, (size_t)n, MSG_NOSIGNAL) != n) /* an empty socket takes so little */
        error_add("not sent", 8);
}

static void agent_done(struct agent *a, int64_t now)
{
    a->busy = false;
    if (++a->step < STEPS) {
        agent_send(a, now);
        return;
    }
    a->step = 0;
    a->due_ns += (int64_t)(fleet.period * 1e9);
    if (*fleet.wait || a->due_ns < now)
        a->due_ns = now;
}

static void reply_take(struct agent *a, const struct http_reply *r, int64_t now)
{
    bool claim = a->step == STEPS - 1;

    if (r->status >= 300)
        error_add(a->reply, a->reply_len);
    fleet.faults += r->status >= 500;
    if (now >= fleet.start_ns) {
        fleet.answered++;
        fleet.claims += claim;
        if (!claim || !*fleet.wait)
            hist_add(&fleet.hist, (uint64_t)(now - a->sent_ns) / 1000);
    }
    if (r->close) {
        close(a->fd);
        agent_connect(a);
    }
    agent_done(a, now);
}

static void agent_read(struct agent *a)
{
    struct http_reply reply;
    ssize_t n = recv(a->fd, a->reply + a->reply_len, sizeof a->reply - a->reply_len, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0)
        a->reply_len += (size_t)n;
    enum http_state state = n > 0 ? http_parse(a->reply, a->reply_len, &reply) : HTTP_BAD;
    if (state == HTTP_DONE) {
        reply_take(a, &reply, hist_now_ns());
    } else if (state == HTTP_BAD || a->reply_len == sizeof a->reply) {
        if (a->busy)
            error_add("connection lost", 15);
        close(a->fd);
        agent_connect(a);
        agent_done(a, hist_now_ns());
    }
}

/* Agents whose next loop is due, and those that got no answer. */
static void look(int64_t now)
{
    for (unsigned i = 0; i < fleet.agents; i++) {
        struct agent *a = &fleet.all[i];
        if (!a->busy && now >= a->due_ns)
            agent_send(a, now);
        else if (a->busy && now - a->sent_ns > LATE_S * 1000000000LL) {
            error_add("no answer", 9);
            a->sent_ns = now;
        }
    }
}

static void run(void)
{
    struct epoll_event events[EVENTS];
    int64_t begin = hist_now_ns(), looked = 0;
    bool told = false;

    fleet.start_ns = begin + (int64_t)(fleet.warm_up * 1e9);
    fleet.end_ns = fleet.start_ns + (int64_t)(fleet.seconds * 1e9);
    for (unsigned i = 0; i < fleet.agents; i++)
        fleet.all[i].due_ns = begin + (int64_t)(fleet.period * 1e9 / fleet.agents * i);
    for (int64_t now = begin; now < fleet.end_ns; now = hist_now_ns()) {
        if (!told && now >= fleet.start_ns) {
            puts("begun");
            fflush(stdout);
            told = true;
        }
        if (now - looked > 2000000) {
            look(now);
            looked = now;
        }
        int n = epoll_wait(fleet.epoll, events, EVENTS, 2);
        for (int i = 0; i < n; i++)
            agent_read(events[i].data.ptr);
    }
}

static void report(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    printf("{\"answered\": %llu, \"claims\": %llu, \"per_s\": %.1f, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f, \"errors\": %llu, \"faults\": %llu, \"first_error\": \"%s\"}\n",
           (unsigned long long)fleet.answered, (unsigned long long)fleet.claims,
           (double)fleet.answered / fleet.seconds, (double)hist_percentile(&fleet.hist, 50) / 1e3,
           (double)hist_percentile(&fleet.hist, 99) / 1e3, (unsigned long long)fleet.errors,
           (unsigned long long)fleet.faults, fleet.first_error);
}

static double number(const char *text)
{
    char *end;
    double n = strtod(text, &end);

    if (end == text || *end || n < 0) {
        errno = EINVAL;
        die(text);
    }
    return n;
}

static void arguments(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},    {"agents", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'}, {"period", required_argument, NULL, 't'},
        {"wait", required_argument, NULL, 'w'},    {0}};
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1)
        switch (c) {
        case 'p':
            fleet.address.sin_port = htons((uint16_t)number(optarg));
            break;
        case 'n':
            fleet.agents = (unsigned)number(optarg);
            break;
        case 's':
            fleet.seconds = number(optarg);
            break;
        case 't':
            fleet.period = number(optarg);
            break;
        case 'w':
            if (number(optarg) > 0)
                snprintf(fleet.wait, sizeof fleet.wait, "&wait=%.0f", number(optarg));
            break;
        default:
            exit(EXIT_FAILURE);
        }
}

int main(int argc, char **argv)
{
    fleet.seconds = fleet.period = 10;
    fleet.address.sin_family = AF_INET;
    fleet.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    arguments(argc, argv);
    fleet.warm_up = fleet.period + 1;
    struct rlimit files = {.rlim_cur = fleet.agents + 64, .rlim_max = fleet.agents + 64};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    fleet.epoll = epoll_create1(EPOLL_CLOEXEC);
    fleet.all = calloc(fleet.agents + 1, sizeof *fleet.all);
    if (fleet.epoll < 0 || !fleet.all)
        die("start");
    for (unsigned i = 0; i < fleet.agents; i++) {
        fleet.all[i].number = i;
        fleet.all[i].step = -1;
        agent_connect(&fleet.all[i]);
    }
    run();
    report();
    return 0;
}
