#include "broker/broker.h"

#include "broker/peers.h"
#include "broker/queue.h"
#include "common/bus.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    TURN_MESSAGES = 128,   /* messages of one side before the other side gets its turn */
    GARBAGE_LOG_MS = 1000, /* at most one line in this time */
    DRAIN_POLL_MS = 20
};

struct broker {
    const struct config *cfg;
    void *ctx;
    void *sockets[2]; /* by enum bus_side */
    uint64_t instance;
    struct peers peers[2]; /* by enum bus_side */
    struct queue queue;
    int64_t now;
    int64_t next_beat;
    uint64_t garbage; /* messages dropped since they were logged last */
    int64_t garbage_logged;
};

static void peer_gone(struct broker *b, enum bus_side side, struct peer *peer);

/* Something that no correct peer sends. */
static void count_garbage(struct broker *b)
{
    b->garbage++;
    if (b->now - b->garbage_logged < GARBAGE_LOG_MS)
        return;
    log_warn("%llu malformed messages on the bus were dropped; do all processes run the same "
             "version, and does nobody else use the bus?",
             (unsigned long long)b->garbage);
    b->garbage = 0;
    b->garbage_logged = b->now;
}

/* Sends the identity frame that names the receiver. ERR_NOT_FOUND: it is gone; ERR_FULL: it does
 * not take what was sent before. */
static enum err send_identity(struct broker *b, enum bus_side side, const struct peer *peer)
{
    if (zmq_send(b->sockets[side], peer->identity, peer->identity_len,
                 ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
        return ERR_OK;
    return errno == EAGAIN ? ERR_FULL : ERR_NOT_FOUND;
}

/* Sends one part and takes it. After the identity was accepted, the further parts are too. */
static void send_part(struct broker *b, enum bus_side side, zmq_msg_t *msg, bool more)
{
    if (zmq_msg_send(msg, b->sockets[side], ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0)
        zmq_msg_close(msg);
}

/* Sends a header without a payload. False: the peer was gone and is forgotten. */
static bool send_control(struct broker *b, enum bus_side side, struct peer *peer,
                         const struct bus_header *h)
{
    zmq_msg_t head, empty;
    enum err e = send_identity(b, side, peer);

    if (e) {
        if (e == ERR_NOT_FOUND)
            peer_gone(b, side, peer);
        return e != ERR_NOT_FOUND;
    }
    bus_header_pack(h, &head);
    zmq_msg_init(&empty);
    send_part(b, side, &head, true);
    send_part(b, side, &empty, false);
    return true;
}

static void reject(struct broker *b, struct peer *frontend, const uint8_t *id, enum err e)
{
    struct bus_header h = {.type = BUS_REJECT, .err = e};

    memcpy(h.id, id, BUS_ID_SIZE);
    if (!frontend->gone)
        send_control(b, BUS_FRONTENDS, frontend, &h);
}

/* A request that is past its deadline, or whose frontend is gone. */
static void drop_work(struct work *w, void *arg)
{
    struct broker *b = arg;
    struct peer *frontend = peer_ref(w->frontend);
    uint8_t id[BUS_ID_SIZE];

    memcpy(id, w->header.id, sizeof id);
    queue_remove(&b->queue, w);
    reject(b, frontend, id, ERR_TIMEOUT);
    peer_unref(frontend);
}

/* Queues again what the worker has in hand, in front and in its order. */
static void take_back_hand(struct broker *b, struct peer *worker)
{
    while (worker->hand) {
        struct work *youngest = worker->hand->prev; /* utlist: the head's prev is the tail */
        if (youngest->header.attempt + 1 >= ATTEMPTS_MAX) {
            log_error("a request was in the hands of %d workers that died; it is given up. Look "
                      "for the reason in the workers' log",
                      ATTEMPTS_MAX);
            reject(b, youngest->frontend, youngest->header.id, ERR_INTERNAL);
            queue_remove(&b->queue, youngest);
        } else {
            queue_put_back(&b->queue, youngest);
        }
    }
}

static void peer_gone(struct broker *b, enum bus_side side, struct peer *peer)
{
    log_debug("%.*s is gone", (int)peer->identity_len, peer->identity);
    if (peer->hand)
        log_warn("worker %.*s is gone with requests in hand; they go to another",
                 (int)peer->identity_len, peer->identity);
    peers_remove(&b->peers[side], peer_ref(peer));
    take_back_hand(b, peer);
    peer_unref(peer);
}

/* Sends a bundle to the worker that has it in hand. */
static bool send_bundle(struct broker *b, struct peer *worker, struct work *works[], size_t n)
{
    enum err e = send_identity(b, BUS_WORKERS, worker);

    if (e == ERR_NOT_FOUND) {
        peer_gone(b, BUS_WORKERS, worker);
        return false;
    }
    if (e) { /* it took nothing for thousands of messages: out, until it says READY */
        peers_worker_leaves(&b->peers[BUS_WORKERS], worker);
        take_back_hand(b, worker);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct bus_header h = works[i]->header;
        zmq_msg_t head, payload;
        h.ttl_ms = (uint32_t)(works[i]->deadline - b->now);
        bus_header_pack(&h, &head);
        zmq_msg_init(&payload);
        zmq_msg_copy(&payload, &works[i]->payload); /* shares the content */
        send_part(b, BUS_WORKERS, &head, true);
        send_part(b, BUS_WORKERS, &payload, i + 1 < n);
    }
    return true;
}

/* Hands waiting requests to ready workers. */
static void dispatch(struct broker *b, enum service service)
{
    struct peers *workers = &b->peers[BUS_WORKERS];
    struct peer *worker;

    while (b->queue.runnable[service] && (worker = peers_take_ready(workers, service))) {
        struct work *works[BUS_BUNDLE_MAX];
        size_t share = b->queue.waiting_of[service] / workers->workers[service];
        size_t n =
            queue_take(&b->queue, service, share ? share : 1, worker, b->now, works, drop_work, b);
        if (n)
            send_bundle(b, worker, works, n);
        else
            peers_put_ready(workers, worker);
    }
}

static void on_request(struct broker *b, struct peer *frontend, const struct bus_header *h,
                       zmq_msg_t *payload)
{
    struct work *known = queue_find(&b->queue, h->id);

    if (known) { /* sent again over a new connection while we still have it */
        struct peer *old = known->frontend;
        known->frontend = peer_ref(frontend);
        peer_unref(old);
        return;
    }
    if (h->service == SERVICE_LOCAL) {
        count_garbage(b);
        return;
    }
    enum err e = queue_add(&b->queue, h, payload, frontend, b->now);
    if (e)
        reject(b, frontend, h->id, e);
}

static void on_reply(struct broker *b, struct peer *worker, const struct bus_header *h,
                     zmq_msg_t *head, zmq_msg_t *payload)
{
    struct work *w = queue_find(&b->queue, h->id);

    if (!w || w->worker != worker)
        return; /* late: it was given to another, or is forgotten */
    struct peer *frontend = peer_ref(w->frontend);
    queue_remove(&b->queue, w);
    if (!worker->hand)
        peers_put_ready(&b->peers[BUS_WORKERS], worker);
    enum err e = frontend->gone ? ERR_OK : send_identity(b, BUS_FRONTENDS, frontend);
    if (e == ERR_NOT_FOUND)
        peer_gone(b, BUS_FRONTENDS, frontend);
    if (!e && !frontend->gone) {
        zmq_msg_t parts[2];
        zmq_msg_init(&parts[0]);
        zmq_msg_init(&parts[1]);
        zmq_msg_move(&parts[0], head);
        zmq_msg_move(&parts[1], payload);
        send_part(b, BUS_FRONTENDS, &parts[0], true);
        send_part(b, BUS_FRONTENDS, &parts[1], false);
    }
    peer_unref(frontend);
}

static void on_pair(struct broker *b, enum bus_side side, struct peer *peer, zmq_msg_t *head,
                    zmq_msg_t *payload)
{
    struct bus_header h;

    if (bus_header_unpack(zmq_msg_data(head), zmq_msg_size(head), &h)) {
        count_garbage(b);
    } else if (side == BUS_FRONTENDS && h.type == BUS_REQUEST) {
        on_request(b, peer, &h, payload);
    } else if (side == BUS_WORKERS && h.type == BUS_REPLY) {
        on_reply(b, peer, &h, head, payload);
    } else if (side == BUS_WORKERS && h.type == BUS_READY && h.service != SERVICE_LOCAL) {
        take_back_hand(b, peer); /* joins anew: what it had is lost */
        peers_worker_ready(&b->peers[side], peer, h.service);
    } else if (side == BUS_WORKERS && h.type == BUS_BYE) {
        peers_worker_leaves(&b->peers[side], peer);
    } else {
        count_garbage(b);
    }
}

/* The peer that a message comes from; greets one that is new or connects anew. */
static struct peer *sender(struct broker *b, enum bus_side side, const zmq_msg_t *identity,
                           bool probe)
{
    struct bus_header hello = {.type = BUS_HELLO, .instance = b->instance};
    struct peers *peers = &b->peers[side];
    const void *data = zmq_msg_data((zmq_msg_t *)(uintptr_t)identity);
    size_t len = zmq_msg_size(identity);
    struct peer *peer = peers_find(peers, data, len);
    bool known = peer != NULL;

    if (!peer && !(peer = peers_add(peers, data, len))) {
        count_garbage(b);
        return NULL;
    }
    if ((probe || !known) && !send_control(b, side, peer, &hello))
        return NULL;
    return peer;
}

static bool receive_more(void *socket, zmq_msg_t *msg)
{
    zmq_msg_init(msg);
    return zmq_msg_recv(msg, socket, ZMQ_DONTWAIT) >= 0;
}

/* Takes one message of a side; false: there is none. */
static bool take_message(struct broker *b, enum bus_side side)
{
    void *socket = b->sockets[side];
    zmq_msg_t identity, head, payload;

    if (!receive_more(socket, &identity)) {
        zmq_msg_close(&identity);
        return false;
    }
    bool more = zmq_msg_more(&identity);
    struct peer *peer = NULL;
    for (bool first = true; more; first = false) {
        receive_more(socket, &head);
        more = zmq_msg_more(&head);
        if (first) /* a probe is one empty part */
            peer = sender(b, side, &identity, !more && zmq_msg_size(&head) == 0);
        if (first && peer)
            peer_ref(peer); /* an answer that cannot be sent forgets the peer meanwhile */
        if (!more && !(first && zmq_msg_size(&head) == 0))
            count_garbage(b); /* a header without its payload */
        if (more) {
            receive_more(socket, &payload);
            more = zmq_msg_more(&payload);
            if (peer && !peer->gone)
                on_pair(b, side, peer, &head, &payload);
            zmq_msg_close(&payload);
        }
        zmq_msg_close(&head);
    }
    peer_unref(peer);
    zmq_msg_close(&identity);
    return true;
}

/* A sign of life to every peer; it also finds out who is gone. */
static void beat(struct broker *b)
{
    struct bus_header ping = {.type = BUS_PING, .instance = b->instance};

    for (int side = BUS_FRONTENDS; side <= BUS_WORKERS; side++) {
        struct peer *peer, *next;
        HASH_ITER (hh, b->peers[side].by_identity, peer, next)
            send_control(b, (enum bus_side)side, peer, &ping);
    }
    b->next_beat = b->now + b->cfg->heartbeat;
}

static void turn(struct broker *b)
{
    bool any = true;

    while (any) {
        any = false;
        b->now = clock_mono_ms();
        for (int side = BUS_WORKERS; side >= BUS_FRONTENDS; side--)
            for (int i = 0; i < TURN_MESSAGES && take_message(b, (enum bus_side)side); i++)
                any = true;
        for (int s = 0; s < SERVICE_COUNT_; s++)
            dispatch(b, (enum service)s);
        if (b->now >= b->next_beat) {
            queue_expire(&b->queue, b->now, drop_work, b);
            beat(b);
        }
    }
}

static bool bind_all(struct broker *b, unsigned slot)
{
    char endpoint[BUS_ENDPOINT_SIZE];

    b->ctx = zmq_ctx_new();
    for (int side = BUS_FRONTENDS; b->ctx && side <= BUS_WORKERS; side++) {
        if (bus_endpoint(b->cfg->bus, slot, (enum bus_side)side, endpoint))
            return false;
        b->sockets[side] = bus_bind(b->ctx, endpoint);
        if (!b->sockets[side]) {
            log_error("cannot serve the bus at %s: %s; check --bus, and that no other broker "
                      "uses it",
                      endpoint, zmq_strerror(errno));
            return false;
        }
        log_info("serving the bus at %s", endpoint);
    }
    return b->ctx != NULL;
}

static void serve(struct broker *b, int stop_fd)
{
    zmq_pollitem_t poll[3] = {
        {.socket = b->sockets[0], .events = ZMQ_POLLIN},
        {.socket = b->sockets[1], .events = ZMQ_POLLIN},
        {.fd = stop_fd,           .events = ZMQ_POLLIN}
    };
    int64_t end = INT64_MAX;

    while (b->now < end && (end == INT64_MAX || b->queue.by_id)) {
        int64_t left = b->next_beat - clock_mono_ms();
        bool stopping = end != INT64_MAX;
        if (stopping && left > DRAIN_POLL_MS)
            left = DRAIN_POLL_MS;
        zmq_poll(poll, stopping ? 2 : 3, left > 0 ? (long)left : 0);
        turn(b);
        if (!stopping && poll[2].revents)
            end = b->now + b->cfg->grace * 1000;
    }
}

static void forget_peers(struct peers *peers)
{
    struct peer *peer, *next;

    HASH_ITER (hh, peers->by_identity, peer, next)
        peers_remove(peers, peer);
}

int broker_run(const struct config *cfg, unsigned slot, int stop_fd)
{
    struct broker *b = calloc(1, sizeof *b);
    const int linger_ms = 500;
    int status = 1;

    if (!b)
        return 1;
    b->cfg = cfg;
    b->now = clock_mono_ms();
    queue_init(&b->queue, (size_t)cfg->queue_limit, (size_t)cfg->queue_bytes);
    if (getrandom(&b->instance, sizeof b->instance, 0) != sizeof b->instance)
        b->instance = (uint64_t)clock_wall_us();
    if (bind_all(b, slot)) {
        serve(b, stop_fd);
        status = 0;
    }
    queue_free(&b->queue);
    for (int side = BUS_FRONTENDS; side <= BUS_WORKERS; side++) {
        forget_peers(&b->peers[side]);
        if (b->sockets[side]) {
            zmq_setsockopt(b->sockets[side], ZMQ_LINGER, &linger_ms, sizeof linger_ms);
            zmq_close(b->sockets[side]);
        }
    }
    if (b->ctx)
        zmq_ctx_term(b->ctx);
    free(b);
    return status;
}
