#include "broker/broker.h"

#include "broker/gather.h"
#include "broker/peers.h"
#include "broker/queue.h"
#include "broker/tally.h"
#include "broker/wire.h"
#include "common/beat.h"
#include "common/bus_key.h"
#include "common/clock.h"
#include "common/late.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/prefork.h"
#include "common/random.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    TURN_MESSAGES = 128, /* messages of one side in one turn */
    TURN_REJECTS = 1024, /* late requests in one turn */
    TURNS = 64,          /* between two checks of the stop signal */
    DEATHS_MAX = 5,      /* give up a request that so many workers died with */
    CLOSE_MS = 700,      /* of the grace time, for closing the sockets */
    LINGER_MS = 500,
    WARNING_MS = 1000, /* between two warnings about other releases */
    SETTLE_MS = 100    /* closing drops replies that a frontend has not read: wait */
};

struct broker {
    const struct config *cfg;
    struct wire wire;
    uint64_t instance;     /* differs from that of an earlier broker of this number */
    struct peers peers[2]; /* by enum bus_side */
    struct queue queue;
    struct tally tally;
    int64_t now, now_us; /* ms, us, monotonic */
    int64_t next_look;   /* us: then requests that were kept for workers at work are looked at */
    bool hurry;          /* the queue is full: nothing is kept */
    int64_t next_beat, next_warning;
    int64_t settled; /* ms: then the last reply counts as read */
    /* Phases: serving; ending: told to stop, frontends hear BYE but new requests are still taken;
     * deaf: nothing is read from frontends any more. */
    bool ending, deaf;
};

/* Puts what the worker has in hand back into the queue as repeats: it may have begun with it. */
static void take_back_hand(struct broker *b, struct peer *worker);

static void peer_gone(struct broker *b, enum bus_side side, struct peer *peer)
{
    char name[PEER_NAME_SIZE];

    if (peer->gone)
        return;
    log_debug("%s is gone", peer_name(peer, name));
    peers_remove(&b->peers[side], peer);
    if (side == BUS_FRONTENDS)
        queue_frontend_gone(&b->queue, peer);
    else if (peer->hand)
        take_back_hand(b, peer);
}

/* Sends a header without a payload; drops a peer that cannot be reached. */
static void send_control(struct broker *b, enum bus_side side, struct peer *peer,
                         const struct bus_header *h)
{
    enum err e = wire_control(&b->wire, side, peer, h);

    if (e == ERR_NOT_FOUND)
        peer_gone(b, side, peer);
    else if (e)
        tally_add(&b->tally, TALLY_UNDELIVERED, b->now);
}

static void reject(struct broker *b, struct peer *frontend, const uint8_t *id, enum err e)
{
    struct bus_header h = {.type = BUS_REJECT, .err = e};

    memcpy(h.id, id, BUS_ID_SIZE);
    send_control(b, BUS_FRONTENDS, frontend, &h);
}

/* Drops a request and tells its frontend. */
static void reject_work(struct broker *b, struct work *w, enum err e)
{
    struct peer *frontend = w->frontend;
    uint8_t id[BUS_ID_SIZE];

    memcpy(id, w->header.id, sizeof id);
    queue_remove(&b->queue, w);
    if (frontend)
        reject(b, frontend, id, e);
}

static void take_back_hand(struct broker *b, struct peer *worker)
{
    struct work *w;

    while (worker->hand) {
        w = worker->hand->prev; /* the youngest: the head's prev is the tail */
        tally_add(&b->tally, TALLY_AGAIN, b->now);
        w->deaths++;
        w->header.attempt += w->header.attempt < UINT32_MAX;
        if (w->deaths >= DEATHS_MAX) {
            tally_add(&b->tally, TALLY_GIVEN_UP, b->now);
            reject_work(b, w, ERR_INTERNAL);
        } else if (w->frontend) {
            queue_put_back(&b->queue, w);
        } else {
            queue_remove(&b->queue, w); /* nobody waits for it */
        }
    }
}

/* Sends a worker the bundle that is in its hand. */
static void send_bundle(struct broker *b, struct peer *worker, struct work *works[], size_t n)
{
    /* A worker that takes no messages counts as gone, even if connected: its next message gets
     * HELLO. */
    if (wire_begin(&b->wire, BUS_WORKERS, worker)) {
        while (n)
            queue_put_back(&b->queue, works[--n]); /* never sent: its attempt stays */
        peer_gone(b, BUS_WORKERS, worker);         /* what it was sent before may have begun */
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct bus_header h = works[i]->header;
        int64_t left = works[i]->deadline - b->now;
        zmq_msg_t head, payload;
        h.ttl_ms = left > 0 ? (uint32_t)left : 0;
        bus_header_pack(&h, &head);
        zmq_msg_init(&payload);
        zmq_msg_copy(&payload, &works[i]->payload); /* shares the content */
        wire_part(&b->wire, BUS_WORKERS, &head, true);
        wire_part(&b->wire, BUS_WORKERS, &payload, i + 1 < n);
    }
}

static void hand_over(struct broker *b, struct peer *worker, struct work *works[], size_t n)
{
    int64_t now_us = clock_mono_us();

    for (size_t i = 0; i < n; i++)
        metric_time(M_BROKER_WAIT, works[i]->header.service, now_us - works[i]->came_us);
    worker->began_us = b->now_us;
    if (n)
        send_bundle(b, worker, works, n);
    peers_put_ready(&b->peers[BUS_WORKERS], worker); /* one with a window may take more */
}

/* Hands big requests to the workers that may have one. */
static void dispatch_big(struct broker *b)
{
    struct peers *workers = &b->peers[BUS_WORKERS];
    struct peer *worker;

    while (big_may_run(&b->queue.big, workers->workers[SERVICE_API],
                       queue_runnable(&b->queue, SERVICE_API, QUEUE_ALL), b->now) &&
           (worker = peers_take_ready(workers, SERVICE_API))) {
        struct work *w = queue_take_big(&b->queue, worker, b->now);
        hand_over(b, worker, &w, w ? 1 : 0);
    }
}

/* Tells the queue which operations the workers know, after a change of the workers. */
static void learn(struct broker *b, enum service service)
{
    struct bus_ops all, some;
    bool told;

    if (!b->peers[BUS_WORKERS].changed[service])
        return;
    told = peers_known(&b->peers[BUS_WORKERS], service, &all, &some);
    if (told && memcmp(&all, &some, sizeof all) != 0)
        log_info("workers of two releases are connected: requests that only some of them know wait "
                 "for those; upgrade the others");
    queue_set_known(&b->queue, service, told, &all, &some);
}

/* Hands requests that only some workers know to those workers. */
static void dispatch_rare(struct broker *b, enum service service)
{
    struct peers *workers = &b->peers[BUS_WORKERS];
    struct peer *worker, *next;

    if (!b->queue.rare[service].len)
        return;
    DL_FOREACH_SAFE(workers->ready[service], worker, next)
    {
        struct work *w = queue_take_rare(&b->queue, service, worker, b->now);
        if (!w)
            continue;
        peers_take(workers, worker);
        hand_over(b, worker, &w, 1);
    }
}

/* Hands runnable requests to ready workers. */
static void dispatch(struct broker *b, enum service service)
{
    struct peers *workers = &b->peers[BUS_WORKERS];
    struct work *works[BUS_BUNDLE_MAX];
    struct peer *worker;

    learn(b, service);
    dispatch_rare(b, service);
    if (service == SERVICE_API)
        dispatch_big(b);
    while ((worker = workers->ready[service])) {
        struct gather g = gather_decide(&b->queue, workers, service, worker, b->hurry, b->now_us);
        if (g.look_us < b->next_look)
            b->next_look = g.look_us;
        if (!g.share)
            break;
        peers_take(workers, worker);
        size_t n = queue_take(&b->queue, service, g.kinds, g.share, worker, works, b->now);
        hand_over(b, worker, works, n);
    }
    if (service == SERVICE_API)
        dispatch_big(b); /* queue_take may have moved some there */
}

static void on_request(struct broker *b, struct peer *frontend, const struct bus_header *h,
                       zmq_msg_t *payload)
{
    struct work *known = queue_find(&b->queue, h->id);

    tally_add(&b->tally, TALLY_REQUESTS, b->now);
    if (known) { /* sent again, perhaps over a new connection, while we hold it */
        queue_attach(known, frontend);
        if (known->header.attempt < h->attempt)
            known->header.attempt = h->attempt;
        return;
    }
    enum err e = h->ttl_ms ? queue_add(&b->queue, h, payload, frontend, b->now) : ERR_TIMEOUT;
    if (e == ERR_FULL && b->peers[BUS_WORKERS].ready[h->service]) {
        b->hurry = true;
        dispatch(b, h->service); /* workers are free: make room */
        b->hurry = false;
        e = queue_add(&b->queue, h, payload, frontend, b->now);
    }
    if (e) {
        tally_add(&b->tally, e == ERR_FULL ? TALLY_FULL : TALLY_LATE, b->now);
        reject(b, frontend, h->id, e);
    }
}

/* Passes a reply on unchanged. Only the worker that has the request in hand may answer it. */
static void on_reply(struct broker *b, struct peer *worker, const struct bus_header *h,
                     zmq_msg_t *head, zmq_msg_t *payload)
{
    struct work *w = queue_find(&b->queue, h->id);
    char name[PEER_NAME_SIZE];

    if (!w || w->worker != worker) {
        log_debug(
            "dropped a late reply of %s: its request went to another worker or has its answer",
            peer_name(worker, name));
        tally_add(&b->tally, TALLY_STRAY, b->now);
        return;
    }
    struct peer *frontend = w->frontend;
    queue_note_answer(&b->queue, w, zmq_msg_size(payload), h->took_us, b->now);
    queue_remove(&b->queue, w);
    if (!worker->hand && !worker->window)
        pace_note_turn(&b->queue.pace, b->now_us - worker->began_us);
    peers_put_ready(&b->peers[BUS_WORKERS], worker);
    enum err e = frontend ? wire_begin(&b->wire, BUS_FRONTENDS, frontend) : ERR_NOT_FOUND;
    tally_add(&b->tally, e ? TALLY_UNDELIVERED : TALLY_REPLIES, b->now);
    if (e == ERR_NOT_FOUND && frontend)
        peer_gone(b, BUS_FRONTENDS, frontend);
    if (!e) {
        wire_part(&b->wire, BUS_FRONTENDS, head, true);
        wire_part(&b->wire, BUS_FRONTENDS, payload, false);
        zmq_msg_init(head);
        zmq_msg_init(payload);
        b->settled = b->now + SETTLE_MS;
    }
}

/* Passes WAKE on to all frontends. A lost WAKE only costs time: frontends also poll every few
 * seconds. */
static void on_wake(struct broker *b, const struct bus_header *h)
{
    struct peer *peer, *next;

    HASH_ITER (hh, b->peers[BUS_FRONTENDS].by_identity, peer, next)
        send_control(b, BUS_FRONTENDS, peer, h);
}

static struct bus_header hello_of(const struct broker *b)
{
    struct bus_header hello = {.type = BUS_HELLO, .instance = b->instance};

    bus_header_release(&hello);
    return hello;
}

/* Gives the worker's requests to others, and greets it, so that it may join again. */
static void take_back_and_greet(struct broker *b, struct peer *worker)
{
    struct bus_header hello = hello_of(b);

    take_back_hand(b, worker);
    peers_leave(&b->peers[BUS_WORKERS], worker, PEER_ALONE);
    send_control(b, BUS_WORKERS, worker, &hello);
}

/* Handles a malformed message. A worker's may have been an answer: without this, the request would
 * stay in hand for ever. */
static void on_garbage(struct broker *b, enum bus_side side, struct peer *peer)
{
    tally_add(&b->tally, TALLY_GARBAGE, b->now);
    if (side == BUS_WORKERS && peer->hand)
        take_back_and_greet(b, peer);
}

static bool is_empty(const zmq_msg_t *payload)
{
    return zmq_msg_size(payload) == 0;
}

/* Handles one pair of a message. */
static void on_pair(struct broker *b, enum bus_side side, struct peer *peer, zmq_msg_t *head,
                    zmq_msg_t *payload)
{
    struct bus_header h;
    bool ok = bus_header_unpack(zmq_msg_data(head), zmq_msg_size(head), &h) == ERR_OK;
    char name[PEER_NAME_SIZE];

    if (ok && side == BUS_FRONTENDS && h.type == BUS_REQUEST && h.service != SERVICE_LOCAL) {
        on_request(b, peer, &h, payload);
    } else if (ok && side == BUS_WORKERS && h.type == BUS_REPLY) {
        on_reply(b, peer, &h, head, payload);
    } else if (ok && side == BUS_WORKERS && h.type == BUS_READY && h.service != SERVICE_LOCAL &&
               is_empty(payload) && bus_key_allows(head, h.service)) {
        take_back_hand(b, peer); /* a worker that joins again has lost its requests */
        peers_join(&b->peers[side], peer, &h);
    } else if (ok && side == BUS_WORKERS && h.type == BUS_WAKE && is_empty(payload)) {
        on_wake(b, &h);
    } else if (ok && side == BUS_WORKERS && h.type == BUS_BYE && is_empty(payload)) {
        peers_leave(&b->peers[side], peer, PEER_LEAVING);
    } else {
        bus_note_version(head, peer_name(peer, name));
        on_garbage(b, side, peer);
    }
}

/* The sender of a message. Greets a new or reconnected peer; it gets no work before its READY on
 * this connection. */
static struct peer *sender(struct broker *b, enum bus_side side, zmq_msg_t *identity, bool probe)
{
    struct bus_header hello = hello_of(b);
    struct peers *peers = &b->peers[side];
    size_t len = zmq_msg_size(identity);
    struct peer *peer = peers_find(peers, zmq_msg_data(identity), len);

    if (peer && !probe)
        return peer;
    if (!peer && !(peer = peers_add(peers, zmq_msg_data(identity), len))) {
        tally_add(&b->tally, TALLY_CROWD, b->now);
        return NULL;
    }
    peers_leave(peers, peer, PEER_ALONE);
    send_control(b, side, peer, &hello);
    return peer;
}

/* Reads the parts that follow the identity. */
static void take_parts(struct broker *b, enum bus_side side, zmq_msg_t *identity)
{
    struct peer *peer = NULL;
    zmq_msg_t head, payload;
    bool more = zmq_msg_more(identity);

    for (int pair = 0; more; pair++) {
        wire_receive(&b->wire, side, &head);
        more = zmq_msg_more(&head);
        bool probe = pair == 0 && !more && zmq_msg_size(&head) == 0;
        if (pair == 0)
            peer = sender(b, side, identity, probe);
        zmq_msg_init(&payload);
        if (more) {
            wire_receive(&b->wire, side, &payload);
            more = zmq_msg_more(&payload);
            if (peer && peer->gone) /* its peer was removed before we read it */
                tally_add(&b->tally, TALLY_STRAY, b->now);
            else if (peer && (pair == 0 || side == BUS_WORKERS))
                on_pair(b, side, peer, &head, &payload);
            else if (peer) /* a frontend sends one request a message */
                tally_add(&b->tally, TALLY_GARBAGE, b->now);
        } else if (!probe && peer && !peer->gone) {
            on_garbage(b, side, peer); /* a header without its payload */
        }
        zmq_msg_close(&payload);
        zmq_msg_close(&head);
    }
}

/* Takes one message of a side; false: there is none. */
static bool take_message(struct broker *b, enum bus_side side)
{
    zmq_msg_t identity;
    bool any = wire_receive(&b->wire, side, &identity);

    if (any)
        take_parts(b, side, &identity);
    zmq_msg_close(&identity);
    return any;
}

static enum err refuse_unknown(struct broker *b, const struct work *w)
{
    if (b->now >= b->next_warning) {
        log_warn("refused a request: no worker knows operation %u, which a frontend of a later "
                 "release sent; upgrade the workers before the frontends",
                 work_op(w));
        b->next_warning = b->now + WARNING_MS;
    }
    return ERR_NO_WORKER;
}

/* Rejects requests whose deadline has passed, at most TURN_REJECTS; true: there are more. */
static bool expire(struct broker *b)
{
    struct work *w;

    for (int i = 0; i < TURN_REJECTS; i++) {
        if (!(w = queue_due(&b->queue, b->now)))
            return false;
        tally_add(&b->tally, TALLY_LATE, b->now);
        reject_work(b, w, queue_is_unknown(&b->queue, w) ? refuse_unknown(b, w) : ERR_TIMEOUT);
    }
    return queue_due(&b->queue, b->now) != NULL;
}

/* Takes requests back from workers that hang: those that have one for longer than --work-timeout.
 */
static void take_back_overdue(struct broker *b)
{
    struct peer *worker, *next;
    char name[PEER_NAME_SIZE];

    HASH_ITER (hh, b->peers[BUS_WORKERS].by_identity, worker, next) {
        if (!worker->hand || b->now - worker->hand->began <= b->cfg->work_timeout)
            continue;
        log_warn("%s has had a request for more than --work-timeout, %lld ms: its %zu requests go "
                 "to others. Look in its log for what it waits for, and check the store",
                 peer_name(worker, name), (long long)b->cfg->work_timeout, worker->hand_len);
        take_back_and_greet(b, worker);
    }
}

/* Sends PING to every peer, which also detects dead ones; while ending, frontends get BYE instead.
 */
static void beat(struct broker *b)
{
    struct peer *peer, *next;

    for (int side = BUS_FRONTENDS; side <= BUS_WORKERS; side++) {
        struct bus_header h = {.type = b->ending && side == BUS_FRONTENDS ? BUS_BYE : BUS_PING,
                               .instance = b->instance};
        HASH_ITER (hh, b->peers[side].by_identity, peer, next)
            send_control(b, (enum bus_side)side, peer, &h);
    }
    take_back_overdue(b);
    b->next_beat = b->now + b->cfg->heartbeat;
    tally_show(&b->queue, b->peers);
    tally_report(&b->tally, b->now, &b->queue);
}

/* Takes the messages of a side, within limits; true: there was one. */
static bool take_messages(struct broker *b, enum bus_side side)
{
    int n = 0;

    while (n < TURN_MESSAGES && take_message(b, side))
        n++;
    return n > 0;
}

/* The chores of a turn, each one bounded; false: nothing is left to do. */
static bool turn(struct broker *b)
{
    b->now_us = clock_mono_us();
    b->now = b->now_us / 1000;
    b->next_look = INT64_MAX;
    bool any = take_messages(b, BUS_WORKERS);
    any |= !b->deaf && take_messages(b, BUS_FRONTENDS);
    if (late_found())
        return false; /* frontends have sent these requests to other brokers */
    if (b->now >= b->next_beat)
        beat(b);
    if (expire(b))
        any = true; /* more are late: none of them may go to a worker */
    else
        for (int s = 0; s < SERVICE_COUNT_; s++)
            dispatch(b, (enum service)s);
    for (int side = BUS_FRONTENDS; side <= BUS_WORKERS; side++)
        peers_reap(&b->peers[side]);
    return any;
}

/* Milliseconds until something is due without a message. */
static long idle_ms(const struct broker *b)
{
    int64_t due = queue_next_due(&b->queue), now = clock_mono_ms();
    int64_t look = b->next_look < INT64_MAX ? b->next_look / 1000 + 1 : INT64_MAX;

    if (due > b->next_beat)
        due = b->next_beat;
    if (due > now + BEAT_MS)
        due = now + BEAT_MS;
    if (due > look)
        due = look;
    if (due > big_next_due(&b->queue.big, now))
        due = big_next_due(&b->queue.big, now);
    return due > now ? (long)(due - now) : 0;
}

/* Serves until told to stop, then until all is answered: takes new requests for half of the grace
 * time. Frontends send the rest to the next broker. Returns at once when late_found(). */
static void serve(struct broker *b, int stop_fd)
{
    zmq_pollitem_t poll[] = {
        {.socket = b->wire.sockets[BUS_WORKERS], .events = ZMQ_POLLIN},
        {.socket = b->wire.sockets[BUS_FRONTENDS], .events = ZMQ_POLLIN},
        {.fd = stop_fd, .events = ZMQ_POLLIN},
        {.socket = b->wire.guard, .events = ZMQ_POLLIN},
    };
    int sources = b->wire.guard ? 4 : 3;
    int64_t grace = b->cfg->grace * 1000 - CLOSE_MS, end = 0;

    while (!end || ((b->queue.held || b->now < b->settled) && b->now < end)) {
        long idle = idle_ms(b);
        beat_turn();
        zmq_poll(poll, sources, end && idle > SETTLE_MS ? SETTLE_MS : idle);
        if (b->wire.guard)
            bus_key_answer(b->wire.guard);
        for (int i = 0; i < TURNS && turn(b); i++)
            ;
        if (late_found())
            return;
        if (!end && poll[2].revents) {
            poll[2].events = 0; /* stop_fd stays readable */
            end = b->now + grace;
            b->ending = true;
            beat(b);
            log_debug("ending; %zu requests are left", b->queue.held);
        }
        if (end && !b->deaf && b->now > end - grace / 2) {
            b->deaf = true;
            poll[1].events = 0;
        }
    }
    if (b->queue.held)
        log_warn("%zu requests were not answered within the grace time; their frontends send them "
                 "to the next broker. Raise --grace if that happens often",
                 b->queue.held);
}

/* Serves on new sockets with an empty queue; true: late_found(), call it again. Peers then see
 * another instance, and frontends send their requests again as repeats. */
static bool serve_anew(struct broker *b, unsigned slot, int stop_fd, enum err *ret_e)
{
    const struct config *cfg = b->cfg;

    *b = (struct broker){.cfg = cfg, .now = clock_mono_ms()};
    queue_init(&b->queue, (size_t)cfg->queue_limit, (size_t)cfg->queue_bytes);
    tally_init(&b->tally, b->now);
    random_fill(&b->instance, sizeof b->instance);
    *ret_e = wire_open(&b->wire, cfg->bus, slot);
    if (!*ret_e) {
        prefork_ready();
        serve(b, stop_fd);
    }
    bool late = !*ret_e && late_found();
    queue_free(&b->queue);
    peers_free(&b->peers[BUS_FRONTENDS]);
    peers_free(&b->peers[BUS_WORKERS]);
    wire_close(&b->wire, late ? 0 : LINGER_MS);
    return late;
}

int broker_run(const struct config *cfg, unsigned slot, int stop_fd)
{
    struct broker *b = mem_alloc(sizeof *b);
    enum err e;

    b->cfg = cfg;
    late_watch(BUS_PATIENCE_MS);
    while (serve_anew(b, slot, stop_fd, &e))
        late_over();
    free(b);
    return e == ERR_OK ? 0 : e == ERR_INVALID ? EXIT_BAD_SETTING : 1;
}
