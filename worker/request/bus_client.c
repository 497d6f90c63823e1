#include "worker/request/bus_client.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/metrics.h"
#include "common/random.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of a packed answer beside its body. */
#define SECRET_HEAD_MAX ((size_t)16 * 1024)

enum {
    DEAD_BEATS = 4, /* a broker that is silent for so many heartbeats is taken for dead */
    LINGER_MS = 500,
    WARNING_MS = 1000 /* between two warnings of requests that could not be read */
};

void *bus_client_socket(const struct bus_client *l, size_t broker)
{
    return l->bus.slots[broker].socket;
}

static void send_header(struct bus_client *l, size_t broker, const struct bus_header *h)
{
    zmq_msg_t msg, empty;

    if (!bus_client_socket(l, broker))
        return;
    bus_header_pack(h, &msg);
    zmq_msg_init(&empty);
    if (zmq_msg_send(&msg, bus_client_socket(l, broker), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&msg); /* no connection: the broker says HELLO at the next one */
        l->instances[broker] = 0;
        return;
    }
    if (zmq_msg_send(&empty, bus_client_socket(l, broker), ZMQ_DONTWAIT) < 0)
        zmq_msg_close(&empty);
}

static void send_simple(struct bus_client *l, size_t broker, enum bus_type type)
{
    struct bus_header h = {
        .type = type, .service = l->service, .window = l->window, .one_writer = l->one_writer};
    const struct route *route;

    if (type == BUS_READY) {
        for (unsigned op = 0; (route = route_of(op)); op++)
            if (route_service(route) == l->service)
                bus_ops_add(&h.ops, route_wire(route));
        bus_header_release(&h);
    }
    send_header(l, broker, &h);
}

void bus_client_wake(struct bus_client *l, size_t broker, struct text queue, bool any)
{
    struct bus_header h = {.type = BUS_WAKE, .service = l->service};

    h.attempt = any && queue.len <= BUS_KEY_MAX; /* a cut name may be that of another queue */
    h.key_len = queue.len < BUS_KEY_MAX ? queue.len : BUS_KEY_MAX;
    if (h.key_len)
        memcpy(h.key, queue.s, h.key_len);
    send_header(l, broker, &h);
}

static void on_change(void *arg, size_t slot)
{
    struct bus_client *l = arg;

    l->looked_ms[slot] = l->heard_ms[slot] = 0;
    l->instances[slot] = 0;
    l->joined[slot] = l->broken[slot] = false;
    l->changes[slot]++;
}

static bool heard(const struct bus_client *l, size_t slot)
{
    return l->heard_ms[slot] && clock_mono_ms() - l->heard_ms[slot] <= l->silence_ms;
}

static bool is_alive(void *arg, size_t slot)
{
    return heard(arg, slot);
}

enum err bus_client_open(struct bus_client *l, const struct config *cfg, enum service service,
                         uint32_t window, const char *role)
{
    const struct bus_brokers_owner owner = {
        .opened = on_change, .closing = on_change, .is_alive = is_alive, .arg = l};

    *l = (struct bus_client){.service = service,
                             .window = window,
                             .silence_ms = DEAD_BEATS * cfg->heartbeat,
                             .trust_ms = cfg->work_timeout / 2};
    return bus_brokers_open(&l->bus, cfg, BUS_WORKERS, role, &owner);
}

void bus_client_step(struct bus_client *l)
{
    for (size_t b = 0; b < BROKERS_MAX; b++)
        if (l->broken[b])
            bus_brokers_renew_one(&l->bus, b, LINGER_MS);
    bus_brokers_step(&l->bus, clock_mono_ms());
}

/* Answers a request that this worker cannot serve: the broker's count of the worker's hand stays
 * right, and the client does not wait for its timeout. */
static void refuse(struct bus_client *l, size_t broker, const struct bus_header *h, const char *why)
{
    static const char body[] =
        "{\"detail\": {}, \"message\": \"Internal Server Error: a worker could "
        "not read the request\"}";
    const struct reply reply = {.status = 500,
                                .headers = {{"Content-Type", "application/json"}},
                                .headers_len = 1,
                                .body = {body, sizeof body - 1}};
    int64_t now = clock_mono_ms();

    metric_add(M_BUS_MALFORMED, 0, 1);
    l->refused++;
    if (now >= l->next_warning_ms) {
        log_warn("answered %zu requests of the bus with 500, the last one since %s; do all "
                 "processes run the same version, and does nobody else use the bus?",
                 l->refused, why);
        l->refused = 0;
        l->next_warning_ms = now + WARNING_MS;
    }
    bus_client_reply(l, broker, h->id, "(not read)", &reply, 0, false);
}

static void on_control(struct bus_client *l, size_t broker, const struct bus_header *h)
{
    if (h->type != BUS_HELLO && h->type != BUS_PING)
        return;
    /* A second HELLO: the connection was lost, and the broker has given what it sent over it to
     * others. Some of that may be unread: a new socket drops it. */
    if (h->type == BUS_HELLO && l->joined[broker]) {
        l->broken[broker] = true;
        return;
    }
    /* HELLO: a new connection; PING of another instance: its HELLO was missed. */
    if (h->type == BUS_HELLO || h->instance != l->instances[broker]) {
        l->instances[broker] = h->instance;
        if (!l->leaving)
            send_simple(l, broker, BUS_READY);
        l->joined[broker] = true;
    }
}

/* What one pair of header and payload asks for; true: it has become an item. */
static bool take_pair(struct bus_client *l, size_t broker, const struct bus_header *h,
                      struct bus_item *it, bool has_room)
{
    const char *fault = "its bundle is too large";

    if (h->type != BUS_REQUEST) {
        on_control(l, broker, h);
    } else {
        it->header = *h;
        if (has_room && !(fault = bus_item_decode(it, l->service)))
            return true;
        refuse(l, broker, h, fault);
    }
    return false;
}

/* True: what is unread may have come before the last look, so long ago that the broker gives it to
 * others. */
static bool is_overdue(struct bus_client *l, size_t broker)
{
    int64_t now = clock_mono_ms(), before = l->looked_ms[broker];

    l->looked_ms[broker] = now;
    if (before && now - before > l->trust_ms && !l->broken[broker]) {
        log_warn(
            "did not look at the bus for %lld ms: dropping what came meanwhile and joining the "
            "broker anew. Look for what the store waited for",
            (long long)(now - before));
        l->broken[broker] = true;
    }
    return l->broken[broker];
}

bool bus_client_take(struct bus_client *l, size_t broker, struct bus_item items[BUS_BUNDLE_MAX],
                     size_t *ret_n)
{
    void *socket = bus_client_socket(l, broker);
    struct bus_item extra;
    zmq_msg_t head;

    *ret_n = 0;
    if (!socket || is_overdue(l, broker) || !message_receive(socket, &head))
        return false;
    l->heard_ms[broker] = clock_mono_ms();
    for (;;) {
        struct bus_header h;
        bool bad = bus_header_unpack(zmq_msg_data(&head), zmq_msg_size(&head), &h) != ERR_OK;
        bool more = zmq_msg_more(&head);
        metric_add(M_BUS_MALFORMED, 0, bad || !more);
        if (bad)
            bus_note_version(&head, "a broker");
        struct bus_item *it = *ret_n < BUS_BUNDLE_MAX ? &items[*ret_n] : &extra;
        zmq_msg_close(&head);
        if (!more || !message_receive(socket, &it->payload))
            return true;
        more = zmq_msg_more(&it->payload);
        if (!bad && take_pair(l, broker, &h, it, it != &extra))
            ++*ret_n;
        else
            zmq_msg_close(&it->payload);
        if (!more || !message_receive(socket, &head))
            return true;
    }
}

/* Packs the reply, or 500 where a message cannot hold it: ZeroMQ would cut the connection, and the
 * broker would try the request on one worker after the other. */
static void pack_fitting(const uint8_t id[BUS_ID_SIZE], const char *route, const struct reply *r,
                         msgpack_sbuffer *out)
{
    static const char body[] =
        "{\"detail\": {}, \"message\": \"The answer is larger than the server can send\"}";
    const struct reply refusal = {.status = 500,
                                  .headers = {{"Content-Type", "application/json"}},
                                  .headers_len = 1,
                                  .body = {body, sizeof body - 1}};
    char text[UUID_TEXT_SIZE];

    msgpack_sbuffer_init(out);
    if (r->secret) { /* room for all: no copy stays behind when it grows */
        out->alloc = r->body.len + SECRET_HEAD_MAX;
        out->data = mem_alloc(out->alloc);
    }
    if (reply_pack(r, out) == ERR_OK && out->size <= BUS_MESSAGE_MAX)
        return;
    uuid_print(id, text);
    log_error("request %s, %s: the answer has %zu bytes, a message takes %zu; 500 is answered "
              "instead, report it as a defect",
              text, route, out->size, BUS_MESSAGE_MAX);
    msgpack_sbuffer_destroy(out);
    msgpack_sbuffer_init(out);
    if (reply_pack(&refusal, out))
        abort();
}

bool bus_client_reply(struct bus_client *l, size_t broker, const uint8_t id[BUS_ID_SIZE],
                      const char *route, const struct reply *reply, uint32_t took_us, bool more)
{
    struct bus_header h = {.type = BUS_REPLY, .took_us = took_us};
    void *socket = bus_client_socket(l, broker);
    msgpack_sbuffer out;
    zmq_msg_t head, payload;

    memcpy(h.id, id, BUS_ID_SIZE);
    pack_fitting(id, route, reply, &out);
    bus_header_pack(&h, &head);
    (reply->secret ? message_of_secret : message_of)(&payload, &out);
    if (!socket || zmq_msg_send(&head, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&head);
        zmq_msg_close(&payload);
        return false;
    }
    if (zmq_msg_send(&payload, socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0)
        zmq_msg_close(&payload);
    return true;
}

size_t bus_client_alive(const struct bus_client *l)
{
    size_t n = 0;

    for (size_t b = 0; b < BROKERS_MAX; b++)
        n += bus_client_socket(l, b) && heard(l, b);
    return n;
}

void bus_client_leave(struct bus_client *l)
{
    l->leaving = true;
    for (size_t b = 0; b < BROKERS_MAX; b++)
        send_simple(l, b, BUS_BYE);
}

void bus_client_rejoin(struct bus_client *l)
{
    bus_brokers_renew(&l->bus, LINGER_MS);
}

void bus_client_close(struct bus_client *l)
{
    bus_brokers_close(&l->bus, LINGER_MS);
}
