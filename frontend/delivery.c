#include "frontend/delivery.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/op.h"
#include "common/random.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

enum {
    WATCH_MS = 250,  /* without a reset for so long after the answer: arrived */
    GATHER_MS = 5,   /* a settled claim waits so long for others */
    BATCH_MAX = 128, /* claims in one request to a worker */
    RETRY_MS = 200,  /* pause after a request that failed */
    GIVE_UP_MS = 60000,
    LINE_SIZE = REQUEST_ID_SIZE + 1 /* "+ID\n" */
};

/* States: claimed (written false) -> watched (written true) -> settled (conn NULL) -> in a notice.
 */
struct delivery {
    char id[REQUEST_ID_SIZE];
    struct conn *conn; /* NULL: settled */
    bool written, arrived;
    int64_t at; /* ms: time of the write, then of the settling */
    struct delivery *prev, *next;
};

/* A notice to workers about settled claims. */
struct notice {
    struct link_request link; /* first member */
    struct deliveries *all;
    struct delivery *claims;
    struct notice *prev, *next;
};

struct deliveries {
    struct server *server;
    struct delivery *watched; /* written, oldest first */
    struct delivery *settled; /* oldest first */
    struct notice *notices;   /* notices without an answer yet */
    size_t settled_len, under_way;
    int64_t pause_end; /* ms */
    struct event *tick;
    int64_t tick_due; /* ms; 0: none */
};

/* ---- telling the workers ---- */

static void tick_in(struct deliveries *d, int64_t ms)
{
    const struct timeval in = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    int64_t due = clock_mono_ms() + ms;

    if (d->tick_due && d->tick_due <= due)
        return;
    event_add(d->tick, &in);
    d->tick_due = due;
}

static void on_told(struct link_request *r, enum err e, const struct reply *reply)
{
    struct notice *n = (struct notice *)r;
    struct deliveries *d = n->all;
    struct delivery *c, *next;
    int64_t now = clock_mono_ms();
    bool failed = e || reply->status >= 300;

    DL_FOREACH_SAFE(n->claims, c, next)
    {
        DL_DELETE(n->claims, c);
        d->under_way--;
        if (failed && now - c->at < GIVE_UP_MS) {
            DL_APPEND(d->settled, c);
            d->settled_len++;
            continue;
        }
        if (failed)
            log_warn("cannot report the delivery of claim %s to a worker; its job goes back to its "
                     "queue unless the agent reports it; check workers and store",
                     c->id);
        free(c);
    }
    if (failed) {
        d->pause_end = now + RETRY_MS;
        tick_in(d, RETRY_MS);
    }
    DL_DELETE(d->notices, n);
    free(n);
}

static void send_notice(struct deliveries *d, struct notice *n, struct text lines)
{
    struct request *r = mem_alloc(sizeof *r);
    msgpack_sbuffer out;

    random_uuid(n->link.id);
    uuid_print(n->link.id, r->id);
    r->op = OP_CLAIMS_SETTLE;
    r->received_us = clock_wall_us();
    r->peer = (struct text){"", 0};
    r->body = lines;
    msgpack_sbuffer_init(&out);
    if (request_pack(r, &out))
        abort(); /* cannot be: it always fits */
    message_of(&n->link.payload, &out);
    n->link.service = SERVICE_API;
    n->link.timeout_ms = d->server->cfg->request_timeout;
    n->link.done = on_told;
    link_send(d->server->link, &n->link);
    free(r);
}

/* Sends the oldest settled claims to a worker. */
static void tell(struct deliveries *d)
{
    char lines[BATCH_MAX * LINE_SIZE];
    struct notice *n = mem_alloc(sizeof *n);
    struct delivery *c, *next;
    size_t len = 0;

    n->all = d;
    DL_APPEND(d->notices, n);
    DL_FOREACH_SAFE(d->settled, c, next)
    {
        if (len == sizeof lines)
            break;
        lines[len] = c->arrived ? '+' : '-';
        memcpy(lines + len + 1, c->id, REQUEST_ID_SIZE - 1);
        len += LINE_SIZE;
        lines[len - 1] = '\n';
        DL_DELETE(d->settled, c);
        DL_APPEND(n->claims, c);
        d->settled_len--;
        d->under_way++;
    }
    send_notice(d, n, (struct text){lines, len});
}

static void settle(struct deliveries *d, struct delivery *c, bool arrived)
{
    if (c->conn)
        c->conn->delivery = NULL;
    c->conn = NULL;
    c->arrived = arrived;
    c->at = clock_mono_ms();
    DL_APPEND(d->settled, c);
    d->settled_len++;
    if (d->settled_len >= BATCH_MAX && c->at >= d->pause_end)
        tell(d);
    else
        tick_in(d, GATHER_MS);
}

/* ---- watching ---- */

/* True when the peer reset the connection: it did not read what was written. */
static bool is_reset(const struct conn *c)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    const int closed = 7; /* TCP_CLOSE; its header netinet/tcp.h redefines struct tcp_info */

    return getsockopt(bufferevent_getfd(c->bev), IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_state == closed;
}

static void unwatch(struct deliveries *d, struct delivery *c)
{
    if (c->written)
        DL_DELETE(d->watched, c);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct deliveries *d = arg;
    struct delivery *c, *next;
    int64_t now = clock_mono_ms();

    (void)fd;
    (void)what;
    d->tick_due = 0;
    DL_FOREACH_SAFE(d->watched, c, next)
    {
        if (now - c->at < WATCH_MS)
            break;
        unwatch(d, c);
        settle(d, c, !is_reset(c->conn));
    }
    while (d->settled && now >= d->pause_end)
        tell(d);
    if (d->settled)
        tick_in(d, d->pause_end - now);
    if (d->watched)
        tick_in(d, d->watched->at + WATCH_MS > now ? d->watched->at + WATCH_MS - now : 1);
}

void delivery_written(struct conn *c)
{
    if (!c->delivery || c->delivery->written)
        return;
    c->delivery->written = true;
    c->delivery->at = clock_mono_ms();
    DL_APPEND(c->server->deliveries->watched, c->delivery);
    tick_in(c->server->deliveries, WATCH_MS);
}

bool delivery_refused(const struct conn *c)
{
    char byte;
    ssize_t n = recv(bufferevent_getfd(c->bev), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return (n == 0 && c->polls) ||
           (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static struct delivery *new_delivery(const char *id)
{
    struct delivery *c = mem_alloc(sizeof *c);

    memcpy(c->id, id, REQUEST_ID_SIZE);
    return c;
}

void delivery_begin(struct conn *c, const char *id)
{
    delivery_next(c);
    c->delivery = new_delivery(id);
    c->delivery->conn = c;
}

void delivery_next(struct conn *c)
{
    struct delivery *claim = c->delivery;

    if (!claim)
        return;
    unwatch(c->server->deliveries, claim);
    settle(c->server->deliveries, claim, claim->written);
}

void delivery_closed(struct conn *c)
{
    struct delivery *claim = c->delivery;

    if (!claim)
        return;
    unwatch(c->server->deliveries, claim);
    settle(c->server->deliveries, claim, claim->written && !is_reset(c));
}

void delivery_return(struct server *s, const char *id)
{
    settle(s->deliveries, new_delivery(id), false);
}

/* ---- life ---- */

struct deliveries *delivery_start(struct server *s)
{
    struct deliveries *d = mem_alloc(sizeof *d);

    d->server = s;
    d->tick = event_new(s->base, -1, 0, on_tick, d);
    mem_check(d->tick);
    return d;
}

bool delivery_pending(const struct deliveries *d)
{
    return d->watched || d->settled || d->under_way;
}

static void free_claims(struct delivery *list)
{
    struct delivery *c, *next;

    DL_FOREACH_SAFE(list, c, next)
    free(c);
}

void delivery_stop(struct deliveries *d)
{
    struct notice *n, *later;

    if (!d)
        return;
    free_claims(d->settled);
    DL_FOREACH_SAFE(d->notices, n, later)
    {
        free_claims(n->claims);
        free(n);
    }
    event_free(d->tick);
    free(d);
}
