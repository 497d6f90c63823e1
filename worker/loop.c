#include "worker/loop.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "worker/dispatch.h"
#include "worker/handlers.h"
#include "worker/request/ask.h"
#include "worker/request/bus_client.h"
#include "worker/upkeep/sweep.h"

#include <stdlib.h>
#include <string.h>

enum {
    STORE_RETRY_MS = 1000, /* pause between attempts to open a store that is away */
    DRAIN_MS = 100         /* this long without a request after BYE: nothing more will come */
};

struct loop {
    const struct config *cfg;
    enum service service;
    const char *store_uri;
    struct store *store;
    int64_t store_tried; /* ms; when the store was last tried in vain */
    struct bus_client link;
    struct sweeper *sweeper; /* NULL: others do that */
    bool stopping;
    struct bus_item items[BUS_BUNDLE_MAX];
    struct call calls[BUS_BUNDLE_MAX];
    size_t len;
};

/* Opens the store unless it was tried in vain a moment ago; ERR_INVALID is final. */
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
    for (size_t i = 0; i < l->len && bus_client_reply(&l->link, broker, l->items[i].header.id,
                                                      route_name(l->calls[i].route),
                                                      &l->calls[i].reply, i + 1 < l->len);
         i++)
        ;
    for (size_t i = 0; i < l->len; i++) {
        if (l->calls[i].wake && l->calls[i].reply.status < 300)
            bus_client_wake(&l->link, broker,
                            (struct text){l->calls[i].wake, strlen(l->calls[i].wake)});
        call_done(&l->calls[i]);
        bus_item_free(&l->items[i]);
    }
    l->len = 0;
    if (began_us)
        metric_time(M_CALL_SECONDS, 0, clock_mono_us() - began_us);
}

/* One message of each broker in turn; true when a request was among them. */
static bool serve_round(struct loop *l)
{
    bool served = false;

    for (size_t b = 0; b < BROKERS_MAX; b++)
        while (bus_client_take(&l->link, b, l->items, &l->len)) {
            if (!l->len)
                continue; /* only signs of life: take the next */
            serve(l, b);
            served = true;
            break;
        }
    return served;
}

/* Waits for the brokers or the stop signal. */
static void wait_turn(struct loop *l, int stop_fd, long timeout_ms)
{
    zmq_pollitem_t poll[BROKERS_MAX + 1];
    int n = 0;

    for (size_t b = 0; b < BROKERS_MAX; b++)
        if (bus_client_socket(&l->link, b))
            poll[n++] =
                (zmq_pollitem_t){.socket = bus_client_socket(&l->link, b), .events = ZMQ_POLLIN};
    poll[n] = (zmq_pollitem_t){.fd = stop_fd, .events = ZMQ_POLLIN};
    if (zmq_poll(poll, n + !l->stopping, timeout_ms) > 0 && !l->stopping && poll[n].revents)
        l->stopping = true;
}

/* A queue in which a job waits again. Frontends are connected to all brokers; one is enough. */
static void on_wake(void *arg, const char *queue)
{
    struct loop *l = arg;

    for (size_t b = 0; b < BROKERS_MAX; b++)
        if (l->link.instances[b]) {
            bus_client_wake(&l->link, b, (struct text){queue, strlen(queue)});
            return;
        }
}

/* The moment between two messages: looks after old things when it is time. */
static void sweep(struct loop *l)
{
    if (l->sweeper && sweep_due(l->sweeper) == 0 && want_store(l) == ERR_OK)
        sweep_step(l->sweeper, l->store);
}

/* The longest wait for a message. Nothing is swept before the store is there. */
static long pause_ms(const struct loop *l)
{
    long pause = 2 * (long)l->cfg->heartbeat, due = l->sweeper ? sweep_due(l->sweeper) : pause;
    long store_due = l->store ? 0 : (long)(l->store_tried + STORE_RETRY_MS - clock_mono_ms());

    if (due < store_due)
        due = store_due;
    return due < pause ? due : pause;
}

static int run(struct loop *l, int stop_fd)
{
    /* Logins come one at a time: each takes long, and its answer must not wait for others. */
    if (bus_client_open(&l->link, l->cfg, l->service, l->service == SERVICE_LOGIN ? 1 : 0,
                        "worker"))
        return EXIT_BAD_SETTING;
    if (want_store(l) == ERR_INVALID)
        return EXIT_BAD_SETTING;
    while (!l->stopping) {
        wait_turn(l, stop_fd, pause_ms(l));
        bus_client_step(&l->link);
        metric_set(M_BUS_BROKERS, 0, bus_client_alive(&l->link));
        while (serve_round(l) && !l->stopping)
            ;
        sweep(l);
    }
    bus_client_leave(&l->link);
    int64_t quiet_since = clock_mono_ms(), end = quiet_since + l->cfg->grace * 1000;
    for (int64_t now = quiet_since; now < end && now - quiet_since < DRAIN_MS;
         now = clock_mono_ms()) {
        wait_turn(l, stop_fd, DRAIN_MS / 4);
        if (serve_round(l))
            quiet_since = clock_mono_ms();
    }
    return 0;
}

int loop_run(const struct config *cfg, enum service service, const char *store_uri, int stop_fd)
{
    struct loop *l = calloc(1, sizeof *l);

    if (!l)
        return 1;
    l->cfg = cfg;
    l->service = service;
    l->store_uri = store_uri;
    l->sweeper = service == SERVICE_API ? sweep_new(cfg, on_wake, l) : NULL;
    int status = run(l, stop_fd);
    bus_client_close(&l->link);
    sweep_free(l->sweeper);
    store_close(l->store);
    free(l);
    return status;
}
