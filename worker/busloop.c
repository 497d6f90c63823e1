#include "worker/busloop.h"

#include "common/bus.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/dispatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    STORE_RETRY_MS = 1000, /* pause between attempts to open a store that is away */
    DRAIN_MS = 100         /* this long without a request after BYE: nothing more will come */
};

/* One request of a bundle: where it came from, decoded. */
struct item {
    struct bus_header header;
    zmq_msg_t payload;
    msgpack_zone zone;
    struct request request;
};

struct loop {
    const struct config *cfg;
    const char *store_uri;
    struct store *store;
    int64_t store_tried; /* ms; when the store was last tried in vain */
    void *ctx;
    void *brokers[BROKERS_MAX];
    uint64_t instances[BROKERS_MAX]; /* the broker process that knows this worker */
    size_t brokers_len;
    bool stopping;
    struct item items[BUS_BUNDLE_MAX];
    struct call calls[BUS_BUNDLE_MAX];
    size_t len;
};

static void send_simple(struct loop *l, size_t broker, enum bus_type type)
{
    struct bus_header h = {.type = type, .service = SERVICE_API};
    zmq_msg_t msg, empty;

    bus_header_pack(&h, &msg);
    zmq_msg_init(&empty);
    if (zmq_msg_send(&msg, l->brokers[broker], ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&msg); /* no connection: the broker says HELLO at the next one */
        l->instances[broker] = 0;
        return;
    }
    if (zmq_msg_send(&empty, l->brokers[broker], ZMQ_DONTWAIT) < 0)
        zmq_msg_close(&empty);
}

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

static void item_free(struct item *it)
{
    msgpack_zone_destroy(&it->zone);
    zmq_msg_close(&it->payload);
}

/* Decodes the payload just received into items[len]; false: it is dropped. */
static bool item_decode(struct loop *l, struct item *it)
{
    if (!msgpack_zone_init(&it->zone, 1024))
        return false;
    if (request_unpack(zmq_msg_data(&it->payload), zmq_msg_size(&it->payload), &it->zone,
                       &it->request) ||
        routes[it->request.op].service != SERVICE_API) {
        log_warn("a request on the bus is malformed and was dropped; do all processes run the "
                 "same version?");
        msgpack_zone_destroy(&it->zone);
        return false;
    }
    l->calls[l->len] = (struct call){.route = &routes[it->request.op],
                                     .request = &it->request,
                                     .cfg = l->cfg,
                                     .store = l->store,
                                     .repeat = it->header.attempt > 0};
    return true;
}

static void on_control(struct loop *l, size_t broker, const struct bus_header *h)
{
    if (h->type != BUS_HELLO && h->type != BUS_PING)
        return;
    /* HELLO: a new connection; PING of another instance: its HELLO was missed. */
    if (h->type == BUS_HELLO || h->instance != l->instances[broker]) {
        l->instances[broker] = h->instance;
        if (!l->stopping)
            send_simple(l, broker, BUS_READY);
    }
}

/* Receives one part; false at the end of what is there. */
static bool receive(void *socket, zmq_msg_t *msg)
{
    zmq_msg_init(msg);
    if (zmq_msg_recv(msg, socket, ZMQ_DONTWAIT) >= 0)
        return true;
    zmq_msg_close(msg);
    return false;
}

/* Takes one message of a broker: its requests become items. False: there was none. */
static bool take_message(struct loop *l, size_t broker)
{
    void *socket = l->brokers[broker];
    zmq_msg_t head;

    l->len = 0;
    if (!receive(socket, &head))
        return false;
    for (;;) {
        struct bus_header h;
        bool bad = bus_header_unpack(zmq_msg_data(&head), zmq_msg_size(&head), &h) != ERR_OK;
        bool more = zmq_msg_more(&head);
        struct item *it = &l->items[l->len];
        zmq_msg_close(&head);
        if (!more || !receive(socket, &it->payload))
            return true;
        more = zmq_msg_more(&it->payload);
        it->header = h;
        if (!bad && h.type == BUS_REQUEST && l->len < BUS_BUNDLE_MAX && item_decode(l, it)) {
            l->len++;
        } else {
            zmq_msg_close(&it->payload);
            if (!bad)
                on_control(l, broker, &h);
        }
        if (!more || !receive(socket, &head))
            return true;
    }
}

static void free_buffer(void *data, void *hint)
{
    (void)hint;
    free(data);
}

/* Sends the reply of item i as the next pair of one message; false: the broker is gone, it or
 * another one gets the requests again. */
static bool send_reply(struct loop *l, size_t broker, size_t i, bool last)
{
    struct bus_header h = {.type = BUS_REPLY};
    msgpack_sbuffer out;
    zmq_msg_t head, payload;

    memcpy(h.id, l->items[i].header.id, BUS_ID_SIZE);
    msgpack_sbuffer_init(&out);
    if (reply_pack(&l->calls[i].reply, &out))
        log_error("a reply could not be packed; this is a defect");
    bus_header_pack(&h, &head);
    size_t size = out.size;
    if (zmq_msg_init_data(&payload, msgpack_sbuffer_release(&out), size, free_buffer, NULL) != 0)
        abort();
    if (zmq_msg_send(&head, l->brokers[broker], ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&head);
        zmq_msg_close(&payload);
        return false;
    }
    if (zmq_msg_send(&payload, l->brokers[broker], ZMQ_DONTWAIT | (last ? 0 : ZMQ_SNDMORE)) < 0)
        zmq_msg_close(&payload);
    return true;
}

static void serve(struct loop *l, size_t broker)
{
    enum err e = want_store(l);

    for (size_t i = 0; i < l->len; i++) {
        l->calls[i].store = l->store;
        if (e)
            reply_err(&l->calls[i], ERR_UNAVAILABLE);
    }
    if (!e)
        dispatch_bundle(l->store, l->calls, l->len);
    for (size_t i = 0; i < l->len && send_reply(l, broker, i, i + 1 == l->len); i++)
        ;
    for (size_t i = 0; i < l->len; i++) {
        call_done(&l->calls[i]);
        item_free(&l->items[i]);
    }
    l->len = 0;
}

/* One message of each broker in turn; true when a request was among them. */
static bool serve_round(struct loop *l)
{
    bool served = false;

    for (size_t b = 0; b < l->brokers_len; b++)
        while (take_message(l, b)) {
            if (!l->len)
                continue; /* only signs of life: take the next */
            serve(l, b);
            served = true;
            break;
        }
    return served;
}

static bool connect_all(struct loop *l)
{
    char endpoint[BUS_ENDPOINT_SIZE];

    l->ctx = zmq_ctx_new();
    for (size_t b = 0; l->ctx && b < (size_t)l->cfg->brokers; b++) {
        if (bus_endpoint(l->cfg->bus, (unsigned)b, BUS_WORKERS, endpoint))
            return false;
        l->brokers[b] = bus_connect(l->ctx, endpoint, "worker");
        if (!l->brokers[b]) {
            log_error("cannot connect to the bus at %s: %s; check --bus", endpoint,
                      zmq_strerror(errno));
            return false;
        }
        l->brokers_len++;
    }
    return l->brokers_len > 0;
}

/* Waits for the brokers or the stop signal. */
static void wait_turn(struct loop *l, int stop_fd, long timeout_ms)
{
    zmq_pollitem_t poll[BROKERS_MAX + 1];

    for (size_t b = 0; b < l->brokers_len; b++)
        poll[b] = (zmq_pollitem_t){.socket = l->brokers[b], .events = ZMQ_POLLIN};
    poll[l->brokers_len] = (zmq_pollitem_t){.fd = stop_fd, .events = ZMQ_POLLIN};
    size_t n = l->brokers_len + (l->stopping ? 0 : 1);
    if (zmq_poll(poll, (int)n, timeout_ms) > 0 && !l->stopping && poll[n - 1].revents)
        l->stopping = true;
}

static int run(struct loop *l, int stop_fd)
{
    if (!connect_all(l))
        return EXIT_BAD_SETTING;
    if (want_store(l) == ERR_INVALID)
        return EXIT_BAD_SETTING;
    while (!l->stopping) {
        wait_turn(l, stop_fd, -1);
        while (serve_round(l) && !l->stopping)
            ;
    }
    for (size_t b = 0; b < l->brokers_len; b++)
        send_simple(l, b, BUS_BYE);
    int64_t quiet_since = clock_mono_ms(), end = quiet_since + l->cfg->grace * 1000;
    for (int64_t now = quiet_since; now < end && now - quiet_since < DRAIN_MS;
         now = clock_mono_ms()) {
        wait_turn(l, stop_fd, DRAIN_MS / 4);
        if (serve_round(l))
            quiet_since = clock_mono_ms();
    }
    return 0;
}

int busloop_run(const struct config *cfg, const char *store_uri, int stop_fd)
{
    struct loop *l = calloc(1, sizeof *l);
    const int linger_ms = 500;

    if (!l)
        return 1;
    l->cfg = cfg;
    l->store_uri = store_uri;
    int status = run(l, stop_fd);
    for (size_t b = 0; b < l->brokers_len; b++) {
        zmq_setsockopt(l->brokers[b], ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(l->brokers[b]);
    }
    if (l->ctx)
        zmq_ctx_term(l->ctx);
    store_close(l->store);
    free(l);
    return status;
}
