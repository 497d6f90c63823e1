#include "worker/webhook/dispatcher.h"

#include "common/beat.h"
#include "common/clock.h"
#include "common/late.h"
#include "common/log.h"
#include "common/prefork.h"
#include "worker/dispatch.h"
#include "worker/events/silence.h"
#include "worker/webhook/attempts.h"
#include "worker/webhook/handlers.h"
#include "worker/webhook/posts.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    END_MS = 1000,      /* reserve of the grace time (at most half) for closing */
    DRAIN_MS = 100,     /* after BYE: without a request for so long, stop reading */
    TURN_MESSAGES = 32, /* of one broker in a turn of the loop */
    PUMP_MS = 4,        /* most time of a turn for tries alone */
    PUMP_REST_MS = 1,   /* and without one that ends */
    PURGE_MS = 60000,
    PURGE_MAX = 1000,
    PURGES_TO_MEND = 10,
    REST_MS = 10000
};

/* ---- requests ---- */

static void serve(struct dispatcher *d, size_t broker, struct bus_item *items, size_t n)
{
    struct call calls[BUS_BUNDLE_MAX];
    struct store *s = dispatcher_store(d);
    /* Posts that wait for a try are bounded by the brokers: they give this process no more. */
    bool crowded = d->cfg->webhook_reply == WEBHOOK_REPLY_QUEUED &&
                   d->attempts >= (size_t)d->cfg->webhook_transfers;

    d->behind = d->behind || crowded;
    for (size_t i = 0; i < n; i++) {
        calls[i] = (struct call){.route = route_of(items[i].request.op),
                                 .request = &items[i].request,
                                 .cfg = d->cfg,
                                 .store = s,
                                 .repeat = items[i].header.attempt > 0,
                                 .crowded = crowded};
        if (!s)
            reply_err(&calls[i], ERR_UNAVAILABLE);
    }
    if (s)
        dispatch_bundle(webhook_handlers, s, calls, n);
    for (size_t i = 0; i < n; i++) {
        metric_add(M_EVENTS, 0, calls[i].later != NULL);
        if (calls[i].later)
            post_begin(d, &calls[i], &items[i], broker);
        if (calls[i].reply.status)
            bus_client_reply(&d->link, broker, items[i].header.id, route_name(calls[i].route),
                             &calls[i].reply, 0, false);
        call_done(&calls[i]);
        bus_item_free(&items[i]);
    }
}

/* Takes what has come from a broker, up to a bundle or a bit more. Brokers send a process with a
 * window each request as it comes; those that are stored together wait for the disk together. */
static size_t gather(struct dispatcher *d, size_t broker)
{
    size_t len = 0, n;

    for (int i = 0;
         i < TURN_MESSAGES && len < BUS_BUNDLE_MAX && bus_client_socket(&d->link, broker) &&
         bus_client_take(&d->link, broker, d->items + len, &n);
         i++)
        len += n;
    return len;
}

/* Takes requests of all brokers; true: there were some. */
static bool take_requests(struct dispatcher *d)
{
    struct bus_item *items = d->items;
    bool any = false;

    for (size_t b = 0; b < BROKERS_MAX; b++) {
        size_t len = gather(d, b);
        any |= len > 0;
        if (len && late_found()) { /* turn() rejoins the bus; other workers run these */
            bus_items_free(items, len);
            return any;
        }
        for (size_t i = 0; i < len; i += BUS_BUNDLE_MAX)
            serve(d, b, items + i, len - i < BUS_BUNDLE_MAX ? len - i : BUS_BUNDLE_MAX);
    }
    return any;
}

/* ZMQ_FD is edge-triggered: process what has arrived before waiting. */
static bool has_messages(const struct dispatcher *d)
{
    for (size_t b = 0; b < BROKERS_MAX; b++) {
        int events = 0;
        size_t size = sizeof events;
        void *socket = bus_client_socket(&d->link, b);
        if (socket && zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 &&
            events & ZMQ_POLLIN)
            return true;
    }
    return false;
}

/* Callback without work: the event only ends the wait. */
static void on_nothing(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void watch(struct dispatcher *d, size_t broker)
{
    void *socket = bus_client_socket(&d->link, broker);
    int fd = -1;
    size_t size = sizeof fd;

    if (socket && zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0)
        d->readable[broker] = event_new(d->base, fd, EV_READ | EV_PERSIST, on_nothing, d);
    if (d->readable[broker])
        event_add(d->readable[broker], NULL);
    else if (socket)
        log_error("cannot watch the connection to a broker: its requests are served late; restart "
                  "and check the limit of memory");
}

/* Steps the bus client, and watches the sockets that it has now. */
static void watch_brokers(struct dispatcher *d)
{
    bool changed[BROKERS_MAX];

    bus_client_step(&d->link);
    /* First remove all old events: a new socket may have the descriptor of an old one. */
    for (size_t b = 0; b < BROKERS_MAX; b++) {
        changed[b] = d->changes[b] != d->link.changes[b];
        d->changes[b] = d->link.changes[b];
        if (changed[b] && d->readable[b]) {
            event_free(d->readable[b]);
            d->readable[b] = NULL;
        }
    }
    for (size_t b = 0; b < BROKERS_MAX; b++)
        if (changed[b])
            watch(d, b);
}

/* ---- tries ---- */

/* While tries wait for their turn at a receiver: lets those that run end, and starts the next ones.
 * Else events would be accepted faster than they are sent, as the store takes most of a turn. */
static void pump(struct dispatcher *d)
{
    const struct timeval rest = {.tv_usec = PUMP_REST_MS * 1000};
    int64_t now = clock_mono_ms(), end = now + PUMP_MS, progress = now;
    const struct attempt *last = d->settled ? d->settled->prev : NULL;

    attempts_turn(d);
    for (; receivers_waiting(d->receivers) && now < end && now <= progress + PUMP_REST_MS;
         now = clock_mono_ms()) {
        event_add(d->wait, &rest);
        event_base_loop(d->base, EVLOOP_ONCE);
        attempts_turn(d);
        if (d->settled && d->settled->prev != last) {
            last = d->settled->prev;
            progress = clock_mono_ms();
        }
    }
}

/* ---- upkeep ---- */

static void purge(struct dispatcher *d)
{
    int64_t now = clock_mono_ms();
    struct store *s = now >= d->purge_at && !d->stopping ? dispatcher_store(d) : NULL;

    if (!s)
        return;
    int64_t now_ms = store_now_ms(s);
    struct outbox_purge p = {.now_ms = now_ms,
                             .mend = d->purges % PURGES_TO_MEND == 0,
                             .delivered_before_ms = now_ms - d->cfg->webhook_keep * 1000,
                             .dead_before_ms = now_ms - d->cfg->webhook_keep_dead * 1000,
                             .limit = PURGE_MAX};
    d->purges++;
    d->purge_at = now + PURGE_MS;
    if (!store_outbox_purge(s, &p) && p.removed >= PURGE_MAX)
        d->purge_at = now;
}

static void upkeep(struct dispatcher *d)
{
    int64_t now = clock_mono_ms();

    purge(d);
    if (d->store)
        agents_heard_store(d->cfg, d->store);
    if (now >= d->rest_at) {
        d->rest_at = now + REST_MS;
        receivers_rest(d->receivers, now);
    }
    metric_set(M_EVENTS_IN_HAND, 0, d->attempts);
    size_t brokers = bus_client_alive(&d->link);
    metric_set(M_BUS_BROKERS, 0, brokers);
    if (brokers && d->store)
        prefork_ready();
}

/* ---- the loop ---- */

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct dispatcher *d = arg;

    (void)fd;
    (void)what;
    d->stopping = true;
    event_del(d->stop);
}

/* Waits for an event, then handles all that is due. True: there were requests. */
static bool turn(struct dispatcher *d, int64_t most_ms)
{
    int64_t now = clock_mono_ms(), wait = posts_due(d, most_ms);

    if (!d->stopping && d->claim_at - now < wait)
        wait = d->claim_at > now ? d->claim_at - now : 0;
    if (has_messages(d))
        wait = 0;
    if (late_found()) {
        bus_client_rejoin(&d->link);
        late_over();
    }
    struct timeval t = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    beat_turn();
    watch_brokers(d);
    event_add(d->wait, &t);
    /* NONBLOCK alone spins while a descriptor is readable, and ZMQ_FD stays readable until its
     * events are read. */
    event_base_loop(d->base, wait ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
    bool any = take_requests(d);
    pump(d);
    attempts_settle(d);
    attempts_claim(d);
    posts_turn(d);
    upkeep(d);
    return any;
}

/* Takes no new work and finishes what is in hand. After the grace time posts lose their answer, but
 * events stay in the outbox. */
static void drain(struct dispatcher *d)
{
    int64_t quiet_since = clock_mono_ms(), grace = d->cfg->grace * 1000;
    int64_t end = quiet_since + grace - (grace / 2 < END_MS ? grace / 2 : END_MS);

    bus_client_leave(&d->link);
    for (int64_t now = quiet_since;
         now < end && (d->attempts || d->posts || now - quiet_since < DRAIN_MS);
         now = clock_mono_ms()) {
        attempts_put_back(d);
        if (turn(d, DRAIN_MS / 4))
            quiet_since = clock_mono_ms();
    }
}

static int open_all(struct dispatcher *d, int stop_fd)
{
    const struct config *cfg = d->cfg;

    late_watch(BUS_PATIENCE_MS);
    if (bus_client_open(&d->link, cfg, SERVICE_WEBHOOK, (uint32_t)cfg->webhook_transfers,
                        "webhook"))
        return EXIT_BAD_SETTING;
    if (store_open(d->store_uri, cfg, &d->store) == ERR_INVALID)
        return EXIT_BAD_SETTING;
    d->store_tried = clock_mono_ms();
    d->base = event_base_new();
    d->receivers = receivers_new((size_t)cfg->webhook_parallel);
    d->transfers = d->base ? transfers_new(d->base, cfg, attempt_done) : NULL;
    if (!d->transfers)
        return 1;
    d->stop = event_new(d->base, stop_fd, EV_READ | EV_PERSIST, on_stop, d);
    d->wait = event_new(d->base, -1, 0, on_nothing, d);
    if (!d->stop || !d->wait || event_add(d->stop, NULL) != 0)
        return 1;
    return 0;
}

/* Frees all lanes with their attempts and posts; at the end, after the transfers. */
static void lanes_free(struct dispatcher *d)
{
    struct lane *l, *next;
    struct post *p, *next_post;

    HASH_ITER (hh, d->lanes, l, next) {
        if (l->attempt)
            attempt_free(l->attempt);
        DL_FOREACH_SAFE(l->posts, p, next_post)
        free(p);
        HASH_DEL(d->lanes, l);
        free(l->id);
        free(l);
    }
    d->posts = NULL;
    d->settled = NULL;
}

/* Events in hand stay in the outbox: their leases end. */
static void close_all(struct dispatcher *d)
{
    transfers_free(d->transfers);
    lanes_free(d);
    receivers_free(d->receivers);
    for (size_t b = 0; b < BROKERS_MAX; b++)
        if (d->readable[b])
            event_free(d->readable[b]);
    if (d->stop)
        event_free(d->stop);
    if (d->wait)
        event_free(d->wait);
    if (d->base)
        event_base_free(d->base);
    bus_client_close(&d->link);
    store_close(d->store);
}

int dispatcher_run(const struct config *cfg, const char *store_uri, int stop_fd)
{
    struct dispatcher *d = calloc(1, sizeof *d);

    if (!d) {
        log_error("no memory to start; give the machine or the container more");
        return 1;
    }
    d->cfg = cfg;
    d->store_uri = store_uri;
    d->attempt_ended = posts_attempt_ended;
    signal(SIGPIPE, SIG_IGN); /* libcurl leaves that to us */
    int status = open_all(d, stop_fd);
    if (!status) {
        while (!d->stopping)
            turn(d, BEAT_MS);
        drain(d);
    }
    close_all(d);
    free(d);
    return status;
}
