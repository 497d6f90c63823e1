/* Connections that always have one request on its way, or take what is due by the clock: epoll,
 * keep-alive. */
#include "tests/bench/load_run.h"

#include "tests/bench/http.h"
#include "tests/bench/stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY_MAX  65536
#define EVENTS     64
#define TICK_MS    500
#define TIMEOUT_NS (15 * 1000000000LL)
#define HOLD_NS    (60 * 1000000000LL) /* instead, of agents: their claims are held */
#define COOKIE_MAX 48

struct connection {
    int fd;
    bool busy; /* a request is on its way */
    size_t step;
    int64_t began_ns, sent_ns; /* of the round, of the request */
    char job_id[LOAD_ID_SIZE];
    char cookie[COOKIE_MAX]; /* header line of an agent */
    char *request;
    size_t request_len, request_sent;
    size_t reply_len;
    char reply[REPLY_MAX];
};

struct run {
    struct load *l;
    int epoll;
    struct connection *all;
    unsigned busy;
    size_t request_max, next_id;
    uint64_t started;
    int64_t begin_ns;
    int64_t start_ns, end_ns; /* replies in this time are measured */
    struct connection **idle; /* with a rate: those that wait for their next round */
    unsigned idle_len;
    bool starved; /* none was left */
};

static void die(const char *what)
{
    fprintf(stderr, "bench-load: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* Keeps the first error's text, without what would need escapes in JSON. */
static void error_add(struct load *l, const char *what, const char *text, size_t len)
{
    if (l->errors++)
        return;
    snprintf(l->first_error, sizeof l->first_error, "%s%.*s", what, len > 150 ? 150 : (int)len,
             text);
    for (char *p = l->first_error; *p; p++)
        if (*p == '"' || *p == '\\')
            *p = '\'';
        else if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
            *p = ' ';
}

static void connection_open(struct run *r, struct connection *c)
{
    const int on = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&r->l->address, sizeof r->l->address) != 0)
        die("cannot connect to the server under test");
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("connection");
    c->reply_len = 0;
}

static void events_set(struct run *r, struct connection *c, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};

    if (epoll_ctl(r->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
        die("epoll");
}

/* Writes what is left of the request. A failure shows in the read that follows. */
static void connection_write(struct run *r, struct connection *c)
{
    bool waited = c->request_sent > 0;
    ssize_t n =
        send(c->fd, c->request + c->request_sent, c->request_len - c->request_sent, MSG_NOSIGNAL);

    if (n > 0)
        c->request_sent += (size_t)n;
    if (c->request_sent < c->request_len)
        events_set(r, c, EPOLLIN | EPOLLOUT);
    else if (waited)
        events_set(r, c, EPOLLIN);
}

static bool is_over(const struct run *r, int64_t now)
{
    return r->l->errors >= LOAD_ERRORS_MAX || now >= r->end_ns ||
           (r->l->count && r->started >= r->l->count);
}

static void send_step(struct run *r, struct connection *c, const char *id, int64_t now)
{
    const struct load_step *s = &r->l->steps[c->step];

    if (s->stamp)
        stamp_write(s->stamp, now);
    c->reply_len = 0;
    c->request_sent = 0;
    c->request_len = (size_t)snprintf(c->request, r->request_max, "%s%s%s%s%s", s->before,
                                      s->has_id ? id : "", s->line_end, c->cookie, s->after);
    c->sent_ns = now;
    connection_write(r, c);
}

/* When the next round is due by the clock. */
static int64_t due_ns(const struct run *r)
{
    return r->begin_ns + (int64_t)((double)r->started * 1e9 / r->l->rate);
}

static void connection_begin(struct run *r, struct connection *c, int64_t now)
{
    const struct load *l = r->l;
    const char *id = "";

    if (l->ids_len) {
        id = l->ids[r->next_id];
        r->next_id = (r->next_id + 1) % l->ids_len;
    }
    r->started++;
    r->busy++;
    c->busy = true;
    c->step = 0;
    c->began_ns = now;
    send_step(r, c, id, now);
}

/* Begins the next round, when there is to be one. */
static void connection_next(struct run *r, struct connection *c, int64_t now)
{
    if (is_over(r, now))
        return;
    if (r->l->rate > 0)
        r->idle[r->idle_len++] = c;
    else
        connection_begin(r, c, now);
}

/* Begins the rounds that are due. Where no connection was free in time, the wait for one counts. */
static void send_due(struct run *r)
{
    for (int64_t now = hist_now_ns(); r->idle_len && now >= due_ns(r) && !is_over(r, now);
         now = hist_now_ns()) {
        int64_t due = due_ns(r);
        connection_begin(r, r->idle[--r->idle_len], r->starved ? due : now);
    }
    r->starved = !r->idle_len;
}

static void save_id(const struct load *l, struct connection *c, const struct http_reply *reply)
{
    static const char name[] = "\"job_id\"";
    const char *at = (l->save || l->steps_len > 1) && reply->body_len
                         ? memmem(reply->body, reply->body_len, name, sizeof name - 1)
                         : NULL;

    if (!at)
        return;
    const char *last = reply->body + reply->body_len;
    at = memchr(at + sizeof name - 1, '"', (size_t)(last - at) - (sizeof name - 1));
    const char *end = at ? memchr(at + 1, '"', (size_t)(last - at - 1)) : NULL;
    if (!end || end - at - 1 >= LOAD_ID_SIZE)
        return;
    snprintf(c->job_id, sizeof c->job_id, "%.*s", (int)(end - at - 1), at + 1);
    if (l->save)
        fprintf(l->save, "%s\n", c->job_id);
}

/* The request of this connection has ended, in one way or other: on with the next. */
static void connection_done(struct run *r, struct connection *c, bool reopen)
{
    c->busy = false;
    r->busy--;
    if (reopen) {
        close(c->fd);
        connection_open(r, c);
    }
    connection_next(r, c, hist_now_ns());
}

static bool is_measured(const struct run *r, int64_t now)
{
    return r->l->count || (now >= r->start_ns && now <= r->end_ns);
}

/* A job came to an agent. */
static void arrived_add(struct run *r, const struct http_reply *reply, int64_t now)
{
    int64_t sent = stamp_read(reply->body, reply->body_len);

    if (!sent)
        error_add(r->l, "a job without a stamp: ", reply->body, reply->body_len);
    else if (is_measured(r, now))
        hist_add(&r->l->hist, (uint64_t)(now - sent) / 1000);
}

static void reply_take(struct run *r, struct connection *c, const struct http_reply *reply)
{
    struct load *l = r->l;
    int64_t now = hist_now_ns();

    bool ok = reply->status == l->expect;
    save_id(l, c, reply);
    if (l->agents && c->step == 0 && reply->status == 204 && !reply->close) {
        send_step(r, c, "", now);
        return;
    }
    if (!ok)
        error_add(l, "unexpected: ", c->reply, reply->len);
    if (l->agents && ok && c->step == 0)
        arrived_add(r, reply, now);
    if (ok && !reply->close && ++c->step < l->steps_len) {
        send_step(r, c, c->job_id, now);
        return;
    }
    if (ok && !l->agents && is_measured(r, now))
        hist_add(&l->hist, (uint64_t)(now - c->began_ns) / 1000);
    l->answered++;
    connection_done(r, c, reply->close);
}

static void connection_read(struct run *r, struct connection *c)
{
    struct http_reply reply;
    ssize_t n = recv(c->fd, c->reply + c->reply_len, sizeof c->reply - c->reply_len, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 && !c->busy) { /* closed between requests, which a server may do */
        close(c->fd);
        connection_open(r, c);
        return;
    }
    if (n <= 0) {
        error_add(r->l, "connection lost: ", n ? strerror(errno) : "closed", n ? 40 : 6);
        connection_done(r, c, true);
        return;
    }
    c->reply_len += (size_t)n;
    enum http_state state = http_parse(c->reply, c->reply_len, &reply);
    if (state == HTTP_DONE) {
        reply_take(r, c, &reply);
    } else if (state == HTTP_BAD || c->reply_len == sizeof c->reply) {
        error_add(r->l, "not understood: ", c->reply, c->reply_len);
        connection_done(r, c, true);
    }
}

static void time_outs(struct run *r)
{
    int64_t now = hist_now_ns(), most = r->l->agents ? HOLD_NS : TIMEOUT_NS;

    for (unsigned i = 0; i < r->l->connections; i++)
        if (r->all[i].busy && now - r->all[i].sent_ns > most) {
            error_add(r->l, "no answer in time", "", 0);
            connection_done(r, &r->all[i], true);
        }
}

/* How long to wait for replies. */
static struct timespec pause_of(const struct run *r)
{
    int64_t ns = TICK_MS * 1000000LL, left = r->idle_len ? due_ns(r) - hist_now_ns() : ns;

    ns = left < 0 ? 0 : left < ns ? left : ns;
    return (struct timespec){.tv_nsec = ns};
}

/* Whether there is more to do: rounds to begin, or replies to come; those of held claims do not
 * count. */
static bool goes_on(const struct run *r)
{
    int64_t now = hist_now_ns();

    if (r->l->agents)
        return now < r->end_ns && r->l->errors < LOAD_ERRORS_MAX;
    return r->busy || (r->l->rate > 0 && !is_over(r, now));
}

static void loop(struct run *r)
{
    struct epoll_event events[EVENTS];

    while (goes_on(r)) {
        if (r->l->rate > 0)
            send_due(r);
        struct timespec pause = pause_of(r);
        int n = epoll_pwait2(r->epoll, events, EVENTS, &pause, NULL);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                connection_write(r, c);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                connection_read(r, c);
        }
        if (n < EVENTS)
            time_outs(r);
    }
}

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n, size);

    if (!p)
        die("memory");
    return p;
}

void load_run(struct load *l)
{
    struct run r = {.l = l, .epoll = epoll_create1(EPOLL_CLOEXEC)};

    if (r.epoll < 0)
        die("epoll");
    for (size_t i = 0; i < l->steps_len; i++) {
        size_t size = strlen(l->steps[i].before) + strlen(l->steps[i].line_end) +
                      strlen(l->steps[i].after) + LOAD_ID_SIZE + COOKIE_MAX;
        r.request_max = size > r.request_max ? size : r.request_max;
    }
    r.all = allocate(l->connections, sizeof *r.all);
    r.idle = allocate(l->connections, sizeof *r.idle);
    for (unsigned i = 0; i < l->connections; i++) {
        r.all[i].request = allocate(1, r.request_max);
        if (l->agents)
            snprintf(r.all[i].cookie, COOKIE_MAX, "Cookie: agent_name=bench-%u\r\n", i);
        connection_open(&r, &r.all[i]);
    }
    int64_t begin = r.begin_ns = hist_now_ns();
    r.start_ns = begin + (l->count ? 0 : (int64_t)(l->warm_up * 1e9));
    r.end_ns = r.start_ns + (int64_t)(l->seconds * 1e9);
    for (unsigned i = 0; i < l->connections; i++)
        connection_next(&r, &r.all[i], begin);
    loop(&r);
    l->measured_s = l->count ? (double)(hist_now_ns() - begin) / 1e9 : l->seconds;
    for (unsigned i = 0; i < l->connections; i++) {
        close(r.all[i].fd);
        free(r.all[i].request);
    }
    free(r.all);
    free(r.idle);
    close(r.epoll);
}
