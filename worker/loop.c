#include "worker/loop.h"

#include "common/beat.h"
#include "common/clock.h"
#include "common/late.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/prefork.h"
#include "worker/dispatch.h"
#include "worker/events/silence.h"
#include "worker/handlers.h"
#include "worker/request/ask.h"
#include "worker/request/bus_client.h"
#include "worker/upkeep/sweep.h"
#include "worker/web/page.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    STORE_RETRY_MS = 1000, /* pause between attempts to open a store that is away */
    DRAIN_MS = 100,        /* after BYE, this long without a request ends the drain */
    SIGNS_MAX = 64         /* heartbeats taken from one broker per round */
};

struct loop {
    const struct config *cfg;
    enum service service;
    const char *store_uri;
    struct store *store;
    int64_t store_tried; /* ms, monotonic: last attempt to open it */
    struct bus_client link;
    struct sweeper *sweeper; /* NULL in login workers */
    int stop_fd;
    bool stopping;
    struct bus_item items[BUS_BUNDLE_MAX];
    struct call calls[BUS_BUNDLE_MAX];
    size_t len;
};

/* Opens the store unless that failed within the last second; ERR_INVALID is final. */
static enum err want_store(struct loop *l)
{
    int64_t now = clock_mono_ms();

    if (l->store)
        return ERR_OK;
    if (l->store_tried && now - l->store_tried < STORE_RETRY_MS)
        return ERR_UNAVAILABLE;
    enum err e = store_open(l->store_uri, l->cfg, &l->store);
    l->store_tried = clock_mono_ms();
    return e;
}

/* Tells held polls of the jobs that the bundle lets wait, which are stored. */
static void send_wakes(struct loop *l, size_t broker)
{
    for (size_t i = 0; i < l->len; i++) {
        const struct call *c = &l->calls[i];
        for (size_t k = 0; k < c->wakes_len; k++)
            bus_client_wake(&l->link, broker, (struct text){c->wakes[k], strlen(c->wakes[k])},
                            c->wakes_any);
    }
}

static void serve(struct loop *l, size_t broker)
{
    int64_t began_us = metrics_are_on() ? clock_mono_us() : 0;
    enum err e = want_store(l);

    for (size_t i = 0; i < l->len; i++) {
        l->calls[i] = (struct call){.route = route_of(l->items[i].request.op),
                                    .request = &l->items[i].request,
                                    .cfg = l->cfg,
                                    .store = l->store,
                                    .repeat = l->items[i].header.attempt > 0};
        if (e)
            reply_err(&l->calls[i], ERR_UNAVAILABLE);
        else
            ask_resolve(&l->calls[i], &l->items[i].request);
        metric_add(M_WORKER_REQUESTS, l->items[i].request.op, 1);
        metric_add(M_WORKER_REPEATS, 0, l->calls[i].repeat);
    }
    if (!e)
        dispatch_bundle(api_handlers, l->store, l->calls, l->len);
    for (size_t i = 0; i < l->len; i++)
        page_end(&l->calls[i]);
    send_wakes(l, broker);      /* before the answers: claims are on their way meanwhile */
    bool whole = !late_found(); /* else calls may be without an answer */
    for (size_t i = 0; i < l->len; i++)
        if (l->calls[i].reply.status &&
            !bus_client_reply(&l->link, broker, l->items[i].header.id,
                              route_name(l->calls[i].route), &l->calls[i].reply,
                              l->calls[i].took_us, whole && i + 1 < l->len))
            break;
    for (size_t i = 0; i < l->len; i++)
        call_done(&l->calls[i]);
    bus_items_free(l->items, l->len);
    if (began_us)
        metric_time(M_CALL_SECONDS, 0, clock_mono_us() - began_us);
}

/* On the stop signal, sends BYE to the brokers at once; drain() serves what they sent before. */
static void look_for_end(struct loop *l)
{
    struct pollfd fd = {l->stop_fd, POLLIN, 0};

    if (l->stopping || poll(&fd, 1, 0) <= 0)
        return;
    l->stopping = true;
    bus_client_leave(&l->link);
}

/* One bundle of each broker; true: there was one. */
static bool serve_round(struct loop *l)
{
    bool served = false;

    for (size_t b = 0; b < BROKERS_MAX; b++) {
        if (!bus_client_socket(&l->link, b))
            continue;
        look_for_end(l); /* a system call: not for places without a broker */
        for (int i = 0; i < SIGNS_MAX && bus_client_take(&l->link, b, l->items, &l->len); i++) {
            if (!l->len)
                continue; /* a sign of life: take the next message */
            if (late_found())
                bus_items_free(l->items, l->len); /* others run these */
            else
                serve(l, b);
            served = true;
            break;
        }
    }
    return served;
}

/* Waits for the brokers or the stop signal. */
static void await_message(const struct loop *l, long timeout_ms)
{
    zmq_pollitem_t poll[BROKERS_MAX + 1];
    int n = 0;

    for (size_t b = 0; b < BROKERS_MAX; b++)
        if (bus_client_socket(&l->link, b))
            poll[n++] =
                (zmq_pollitem_t){.socket = bus_client_socket(&l->link, b), .events = ZMQ_POLLIN};
    poll[n] = (zmq_pollitem_t){.fd = l->stop_fd, .events = ZMQ_POLLIN};
    zmq_poll(poll, n + !l->stopping, timeout_ms);
}

/* A job waits in the queue again. One broker is enough: each frontend is connected to all. */
static void on_wake(void *arg, const char *queue)
{
    struct loop *l = arg;

    for (size_t b = 0; b < BROKERS_MAX; b++)
        if (l->link.instances[b]) {
            bus_client_wake(&l->link, b, (struct text){queue, strlen(queue)}, false);
            return;
        }
}

/* Stores who was heard of, and makes a step of the sweep, when these are due. */
static void sweep(struct loop *l, bool heard)
{
    if (l->sweeper)
        sweep_look(l->sweeper, heard);
    if (l->sweeper && l->store)
        agents_heard_store(l->cfg, l->store);
    if (l->sweeper && sweep_due(l->sweeper) == 0 && want_store(l) == ERR_OK)
        sweep_step(l->sweeper, l->store);
}

/* The longest wait for a message. Nothing is swept before the store is there. */
static long pause_ms(const struct loop *l)
{
    long pause = BEAT_MS, due = l->sweeper ? sweep_due(l->sweeper) : pause;
    long store_due = l->store ? 0 : (long)(l->store_tried + STORE_RETRY_MS - clock_mono_ms());

    if (due < store_due)
        due = store_due;
    return due < pause ? due : pause;
}

/* The chores of a turn, each one bounded: under full load, too, each gets its turn. True: requests
 * were served. */
static bool turn(struct loop *l)
{
    beat_turn();
    if (late_found()) {
        bus_client_rejoin(&l->link);
        late_over();
    }
    bool served = serve_round(l);
    if (!served) /* no broker may be there */
        look_for_end(l);
    bus_client_step(&l->link);
    size_t brokers = bus_client_alive(&l->link);
    metric_set(M_BUS_BROKERS, 0, brokers);
    if (brokers && l->store)
        prefork_ready();
    if (!l->stopping)
        sweep(l, brokers > 0);
    return served;
}

/* Serves what the brokers sent before they heard BYE. */
static void drain(struct loop *l)
{
    int64_t quiet_since = clock_mono_ms(), end = quiet_since + l->cfg->grace * 1000;

    for (int64_t now = quiet_since; now < end && now - quiet_since < DRAIN_MS;
         now = clock_mono_ms()) {
        await_message(l, DRAIN_MS / 4);
        if (turn(l))
            quiet_since = clock_mono_ms();
    }
}

static int run(struct loop *l)
{
    late_watch(BUS_PATIENCE_MS);
    /* Logins come one at a time: each takes long, and its answer must not wait for others. */
    if (bus_client_open(&l->link, l->cfg, l->service, l->service == SERVICE_LOGIN ? 1 : 0,
                        "worker"))
        return EXIT_BAD_SETTING;
    l->link.one_writer = store_has_one_writer(l->store_uri);
    if (want_store(l) == ERR_INVALID)
        return EXIT_BAD_SETTING;
    while (!l->stopping)
        if (!turn(l) && !l->stopping)
            await_message(l, pause_ms(l));
    drain(l);
    return 0;
}

int loop_run(const struct config *cfg, enum service service, const char *store_uri, int stop_fd)
{
    struct loop *l = calloc(1, sizeof *l);

    if (!l)
        return 1;
    l->cfg = cfg;
    l->stop_fd = stop_fd;
    l->service = service;
    l->store_uri = store_uri;
    l->sweeper = service == SERVICE_API ? sweep_new(cfg, on_wake, l) : NULL;
    int status = run(l);
    bus_client_close(&l->link);
    sweep_free(l->sweeper);
    store_close(l->store);
    free(l);
    return status;
}
