#include "frontend/link.h"

#include "common/bus_brokers.h"
#include "common/clock.h"
#include "common/late.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    DEAD_BEATS = 4, /* a broker is dead after so many silent heartbeats */
    TURN_MESSAGES = 256,
    WARNING_MS = 1000 /* between two warnings about unreadable replies */
};

/* States: dead (new, silent, or its queue is full) -> alive, when it is heard -> leaving, after BYE
 * -> closed when its endpoint is gone. */
struct broker {
    struct link *link;
    void *socket; /* NULL: there is none of this number */
    struct event *readable;
    bool alive;
    bool leaving;       /* after BYE: no new requests */
    uint32_t hash;      /* of its endpoint */
    uint64_t instance;  /* of the process that knows our requests; 0: none does */
    int64_t last_heard; /* ms */
};

struct link {
    const struct config *cfg;
    struct event_base *base;
    struct bus_brokers bus;
    struct broker brokers[BROKERS_MAX]; /* by slot of `bus` */
    size_t last;                        /* whose turn it was */
    struct link_request *by_id;
    struct link_request *pending; /* oldest first */
    struct event *tick;
    bool resting;       /* the tick is a heartbeat away, since nothing is pending */
    link_wake_fn *wake; /* may be NULL */
    void *wake_arg;
    size_t unreadable; /* replies, since the last warning */
    int64_t next_warning_ms;
};

/* While requests are pending their deadlines are looked at often; at rest the brokers alone are. */
static enum err tick_later(struct link *l)
{
    int64_t beat = (int64_t)l->cfg->heartbeat, often = beat < 200 ? beat / 2 : 100;
    int64_t ms = l->resting ? beat : often;
    const struct timeval in = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    return event_add(l->tick, &in) == 0 ? ERR_OK : ERR_INTERNAL;
}

static void answer(struct link *l, struct link_request *r, enum err e, const struct reply *reply)
{
    HASH_DEL(l->by_id, r);
    DL_DELETE(l->pending, r);
    zmq_msg_close(&r->payload);
    if (e)
        metric_add(M_BUS_ERRORS, e, 1);
    r->done(r, e, reply);
}

/* ---- sending ---- */

static bool send_to(struct broker *b, struct link_request *r, int64_t now)
{
    struct bus_header h = {.type = BUS_REQUEST,
                           .service = r->service,
                           .attempt = r->attempt,
                           .origin = r->origin,
                           .subject = r->subject,
                           .key_len = r->key_len};
    zmq_msg_t head, payload;

    h.ttl_ms = r->deadline > now ? (uint32_t)(r->deadline - now) : 1;
    memcpy(h.id, r->id, sizeof h.id);
    memcpy(h.key, r->key, r->key_len);
    bus_header_pack(&h, &head);
    zmq_msg_init(&payload);
    zmq_msg_copy(&payload, &r->payload); /* shares the content */
    if (zmq_msg_send(&head, b->socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&head);
        zmq_msg_close(&payload);
        return false;
    }
    if (zmq_msg_send(&payload, b->socket, ZMQ_DONTWAIT) < 0)
        zmq_msg_close(&payload);
    /* ZMQ_FD is edge-triggered, and sending may have consumed the edge of incoming messages. */
    event_active(b->readable, EV_READ, 0);
    return true;
}

/* Rendezvous hashing: the live broker with the highest weight gets a key's requests. All frontends
 * agree, and a broker that comes or goes moves few keys. */
static uint32_t weight(const struct broker *b, uint32_t key_hash)
{
    uint32_t h = b->hash ^ key_hash;

    h = (h ^ (h >> 16)) * 0x85ebca6bu; /* the final mix of MurmurHash3 */
    h = (h ^ (h >> 13)) * 0xc2b2ae35u;
    return h ^ (h >> 16);
}

/* The broker for the request, leaving or not as asked; NULL: none of that kind is alive. */
static struct broker *choose_of(struct link *l, const struct link_request *r, bool leaving)
{
    uint32_t key_hash = fnv_32(r->key, r->key_len);
    struct broker *best = NULL;

    for (size_t i = 1; i <= BROKERS_MAX; i++) {
        struct broker *b = &l->brokers[(l->last + i) % BROKERS_MAX];
        if (!b->alive || b->leaving != leaving)
            continue;
        if (!best || (r->key_len && weight(b, key_hash) > weight(best, key_hash)))
            best = b;
        if (!r->key_len)
            break;
    }
    if (best && !r->key_len)
        l->last = (size_t)(best - l->brokers);
    return best;
}

static struct broker *choose(struct link *l, const struct link_request *r)
{
    struct broker *b = choose_of(l, r, false);

    return b ? b : choose_of(l, r, true);
}

/* Sends the request to a live broker, or makes it wait for one. */
static void dispatch(struct link *l, struct link_request *r, int64_t now)
{
    struct broker *b;

    /* The broker would cut the connection with all its requests: let this one get 504. */
    if (zmq_msg_size(&r->payload) > BUS_MESSAGE_MAX) {
        log_error(
            "dropping a request of %zu bytes: a message takes %zu; this is a defect, report it",
            zmq_msg_size(&r->payload), BUS_MESSAGE_MAX);
        return;
    }
    while ((b = choose(l, r))) {
        if (send_to(b, r, now)) {
            r->broker = (int)(b - l->brokers);
            metric_add(M_BUS_SENT, (unsigned)r->broker, 1);
            return;
        }
        b->alive = false; /* its queue is full: dead until it is heard again */
    }
}

/* Sends again the requests of this broker, or those of no broker. */
static void dispatch_again(struct link *l, int broker, int64_t now)
{
    struct link_request *r;

    DL_FOREACH (l->pending, r) {
        if (r->broker != broker)
            continue;
        r->attempt += broker >= 0;
        metric_add(M_BUS_RETRIES, 0, broker >= 0);
        r->broker = -1;
        dispatch(l, r, now);
    }
}

void link_send(struct link *l, struct link_request *r)
{
    int64_t now = clock_mono_ms();

    r->deadline = now + r->timeout_ms;
    r->attempt = 0;
    r->broker = -1;
    HASH_ADD(hh, l->by_id, id, BUS_ID_SIZE, r);
    DL_APPEND(l->pending, r);
    if (l->resting) {
        l->resting = false;
        tick_later(l);
    }
    dispatch(l, r, now);
}

/* A broker came or went: what it had for us on the old connection may be lost. */
static void doubt_wakes(struct link *l)
{
    if (l->wake)
        l->wake(l->wake_arg, (struct text){NULL, 0}, false);
}

/* ---- receiving ---- */

static void warn_unreadable(struct link *l)
{
    int64_t now = clock_mono_ms();

    metric_add(M_BUS_MALFORMED, 0, 1);
    l->unreadable++;
    if (now < l->next_warning_ms)
        return;
    log_error("cannot parse %zu replies on the bus, their clients got 500; run the same release "
              "in all processes",
              l->unreadable);
    l->unreadable = 0;
    l->next_warning_ms = now + WARNING_MS;
}

static void on_reply(struct link *l, const struct bus_header *h, zmq_msg_t *payload)
{
    struct link_request *r;
    struct reply reply;
    msgpack_zone zone;

    HASH_FIND(hh, l->by_id, h->id, BUS_ID_SIZE, r);
    if (!r)
        return; /* late: the client got 504 */
    if (h->type == BUS_REJECT) {
        answer(l, r, h->err, NULL);
        return;
    }
    mem_check(msgpack_zone_init(&zone, 1024));
    enum err e = reply_unpack(zmq_msg_data(payload), zmq_msg_size(payload), &zone, &reply);
    if (e)
        warn_unreadable(l);
    answer(l, r, e ? ERR_INTERNAL : ERR_OK, &reply);
    msgpack_zone_destroy(&zone);
}

static void on_message(struct broker *b, const struct bus_header *h, zmq_msg_t *payload)
{
    struct link *l = b->link;
    bool was_alive = b->alive;
    int64_t now = clock_mono_ms();

    b->last_heard = now;
    switch (h->type) {
    case BUS_REPLY:
    case BUS_REJECT:
        on_reply(l, h, payload);
        break;
    case BUS_HELLO: /* a new connection: requests on the old one may be lost */
    case BUS_PING:
    case BUS_BYE:
        b->alive = true;
        b->leaving = h->type == BUS_BYE || (b->leaving && h->instance == b->instance);
        if (h->type == BUS_HELLO || h->instance != b->instance) {
            b->instance = h->instance;
            dispatch_again(l, (int)(b - l->brokers), now);
            doubt_wakes(l);
        }
        if (!was_alive)
            dispatch_again(l, -1, now);
        break;
    case BUS_WAKE:
        if (l->wake)
            l->wake(l->wake_arg, (struct text){h->key, h->key_len}, h->attempt == 1);
        break;
    case BUS_READY:
    case BUS_REQUEST:
        metric_add(M_BUS_MALFORMED, 0, 1);
        log_warn(
            "dropping a message of the wrong type from a broker; do all processes run the same "
            "version?");
        break;
    }
}

/* Takes one message; false: there was none. */
static bool take_message(struct broker *b)
{
    zmq_msg_t head, payload, rest;
    struct bus_header h;

    if (!message_receive(b->socket, &head))
        return false;
    bool ok = bus_header_unpack(zmq_msg_data(&head), zmq_msg_size(&head), &h) == ERR_OK;
    bool more = zmq_msg_more(&head);
    if (!ok)
        bus_note_version(&head, "a broker");
    zmq_msg_close(&head);
    metric_add(M_BUS_MALFORMED, 0, !ok || !more);
    if (!more || !message_receive(b->socket, &payload))
        return true;
    more = zmq_msg_more(&payload);
    while (more && message_receive(b->socket, &rest)) {
        more = zmq_msg_more(&rest);
        zmq_msg_close(&rest);
    }
    if (ok)
        on_message(b, &h, &payload);
    zmq_msg_close(&payload);
    return true;
}

/* After a pause of the process, drops what was sent and received and joins all brokers anew;
 * pending requests are then sent again as repeats. */
static void rejoin(struct link *l)
{
    for (size_t i = 0; i < BROKERS_MAX; i++)
        l->brokers[i].alive = false; /* send nothing before all sockets are new */
    bus_brokers_renew(&l->bus, 0);
    late_over();
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct broker *b = arg;

    (void)fd;
    (void)what;
    if (late_found()) {
        rejoin(b->link);
        return;
    }
    /* Receiving until there is nothing takes what ZMQ_FD tells, as asking for ZMQ_EVENTS does. */
    for (int i = 0; i < TURN_MESSAGES; i++)
        if (!take_message(b))
            return;
    event_active(b->readable, EV_READ, 0); /* more may be there: next turn */
}

/* ---- time ---- */

static size_t count_alive(const struct link *l)
{
    size_t alive = 0;

    for (size_t i = 0; i < BROKERS_MAX; i++)
        alive += l->brokers[i].alive;
    return alive;
}

/* Nothing is pending, and every broker is heard: there is nothing to look at often. */
static bool may_rest(const struct link *l)
{
    bool heard = !l->pending && count_alive(l) > 0;

    for (size_t i = 0; i < BROKERS_MAX && heard; i++)
        heard = l->brokers[i].alive || !l->brokers[i].socket;
    return heard;
}

/* Sets the gauges. */
static void show(const struct link *l)
{
    size_t alive = count_alive(l);

    metric_set(M_BUS_BROKERS, 0, alive);
    metric_set(M_BUS_PENDING, 0, link_pending(l));
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct link *l = arg;
    int64_t now = clock_mono_ms();

    (void)fd;
    (void)what;
    if (late_found())
        rejoin(l);
    for (size_t i = 0; i < BROKERS_MAX; i++) {
        struct broker *b = &l->brokers[i];
        if (b->alive && now - b->last_heard > DEAD_BEATS * l->cfg->heartbeat) {
            log_warn("the broker at %s is silent; its requests go to another when there is one",
                     l->bus.slots[i].endpoint);
            b->alive = false;
            b->instance = 0; /* if it comes back, it gets its requests again */
            dispatch_again(l, (int)i, now);
            doubt_wakes(l);
        }
    }
    bus_brokers_step(&l->bus, now);
    show(l);
    struct link_request *r, *next;
    DL_FOREACH_SAFE(l->pending, r, next)
    if (r->deadline <= now)
        answer(l, r, r->broker < 0 && !r->attempt ? ERR_NO_BROKER : ERR_TIMEOUT, NULL);
    l->resting = may_rest(l);
    tick_later(l);
}

/* ---- life ---- */

static void on_opened(void *arg, size_t slot)
{
    struct link *l = arg;
    struct broker *b = &l->brokers[slot];
    const char *endpoint = l->bus.slots[slot].endpoint;
    int fd = -1;
    size_t size = sizeof fd;

    *b = (struct broker){.link = l, .socket = l->bus.slots[slot].socket};
    b->hash = fnv_32(endpoint, strlen(endpoint));
    if (zmq_getsockopt(b->socket, ZMQ_FD, &fd, &size) == 0)
        b->readable = event_new(l->base, fd, EV_READ | EV_PERSIST, on_readable, b);
    if (!b->readable || event_add(b->readable, NULL) != 0) {
        log_error(
            "cannot watch the connection to the broker at %s, not using it; check the limit of "
            "open files",
            endpoint);
        return;
    }
    /* ZMQ_FD is edge-triggered: process what arrived before we polled. */
    event_active(b->readable, EV_READ, 0);
}

static void on_closing(void *arg, size_t slot)
{
    struct link *l = arg;
    struct broker *b = &l->brokers[slot];

    if (b->readable)
        event_free(b->readable);
    *b = (struct broker){.link = l};
    dispatch_again(l, (int)slot, clock_mono_ms());
    doubt_wakes(l);
}

static bool is_alive(void *arg, size_t slot)
{
    return ((struct link *)arg)->brokers[slot].alive;
}

void link_name_metrics(void)
{
    static const char *const numbers[BROKERS_MAX] = {"0", "1", "2",  "3",  "4",  "5",  "6",  "7",
                                                     "8", "9", "10", "11", "12", "13", "14", "15"};

    metrics_name_labels(LABELS_BROKER, numbers, BROKERS_MAX);
}

struct link *link_new(struct event_base *base, const struct config *cfg)
{
    struct link *l = mem_alloc(sizeof *l);
    const struct bus_brokers_owner owner = {
        .opened = on_opened, .closing = on_closing, .is_alive = is_alive, .arg = l};

    l->cfg = cfg;
    l->base = base;
    late_watch(BUS_PATIENCE_MS);
    enum err e = bus_brokers_open(&l->bus, cfg, BUS_FRONTENDS, "frontend", &owner);
    l->tick = event_new(base, -1, 0, on_tick, l);
    if (e || !l->tick || tick_later(l) != ERR_OK) {
        link_free(l);
        return NULL;
    }
    return l;
}

void link_on_wake(struct link *l, link_wake_fn *wake, void *arg)
{
    l->wake = wake;
    l->wake_arg = arg;
}

size_t link_pending(const struct link *l)
{
    return HASH_COUNT(l->by_id);
}

bool link_is_up(const struct link *l)
{
    for (size_t i = 0; i < BROKERS_MAX; i++)
        if (l->brokers[i].alive)
            return true;
    return false;
}

void link_free(struct link *l)
{
    struct link_request *r;

    if (!l)
        return;
    HASH_CLEAR(hh, l->by_id);
    DL_FOREACH (l->pending, r)
        zmq_msg_close(&r->payload);
    if (l->tick)
        event_free(l->tick);
    for (size_t i = 0; i < BROKERS_MAX; i++)
        if (l->brokers[i].readable)
            event_free(l->brokers[i].readable);
    bus_brokers_close(&l->bus, 0);
    free(l);
}
