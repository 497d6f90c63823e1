#include "common/bus_brokers.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_MS = 1000, /* limit of the wait for the first lookup */
    CALM_MS = 5000,  /* between lookups */
    EAGER_MS = 1000, /* while a broker is away */
    ADDRESSES_MAX = 64
};

/* A lookup by glibc's resolver thread (getaddrinfo_a). */
struct bus_lookup {
    struct gaicb request;
    struct addrinfo hints;
    char host[BUS_ENDPOINT_SIZE];
    unsigned port;
    bool is_open;     /* a lookup is running */
    int last_error;   /* of the last answer: each is logged once */
    bool was_crowded; /* already logged that brokers outnumber the slots */
    int64_t answered_ms;
};

/* ---- sockets ---- */

/* Makes the slot's socket; bus_brokers_step tries again when it cannot. */
static bool connect_slot(struct bus_brokers *b, size_t slot)
{
    const char *endpoint = b->slots[slot].endpoint;

    b->slots[slot].socket = bus_connect(b->ctx, endpoint, b->role);
    if (!b->slots[slot].socket) {
        log_error("cannot connect to the bus at %s: %s; check --bus and the limit of open files",
                  endpoint, zmq_strerror(errno));
        return false;
    }
    b->owner.opened(b->owner.arg, slot);
    return true;
}

static bool open_slot(struct bus_brokers *b, size_t slot, const char *endpoint)
{
    snprintf(b->slots[slot].endpoint, BUS_ENDPOINT_SIZE, "%s", endpoint);
    b->slots[slot].listed = true;
    return connect_slot(b, slot);
}

static void disconnect_slot(struct bus_brokers *b, size_t slot)
{
    if (!b->slots[slot].socket)
        return;
    b->owner.closing(b->owner.arg, slot);
    zmq_close(b->slots[slot].socket);
    b->slots[slot].socket = NULL;
}

static void close_slot(struct bus_brokers *b, size_t slot)
{
    disconnect_slot(b, slot);
    *b->slots[slot].endpoint = '\0';
}

void bus_brokers_renew_one(struct bus_brokers *b, size_t slot, int linger_ms)
{
    void *socket = b->slots[slot].socket;

    if (!socket)
        return;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    disconnect_slot(b, slot);
    connect_slot(b, slot);
}

void bus_brokers_renew(struct bus_brokers *b, int linger_ms)
{
    for (size_t i = 0; i < BROKERS_MAX; i++)
        bus_brokers_renew_one(b, i, linger_ms);
}

/* The slot of an endpoint ("": a free one); BROKERS_MAX: none. */
static size_t find_slot(const struct bus_brokers *b, const char *endpoint)
{
    size_t i = 0;

    while (i < BROKERS_MAX && strcmp(b->slots[i].endpoint, endpoint) != 0)
        i++;
    return i;
}

/* Closes sockets whose address was removed from the name and where no broker answers. */
static void drop_unlisted(struct bus_brokers *b)
{
    for (size_t i = 0; i < BROKERS_MAX; i++)
        if (*b->slots[i].endpoint && !b->slots[i].listed && !b->owner.is_alive(b->owner.arg, i)) {
            log_info("closed the connection to %s: the broker is gone and the name of --bus has no "
                     "such address any more",
                     b->slots[i].endpoint);
            close_slot(b, i);
        }
}

/* ---- the name ---- */

/* Writes the numeric address as endpoints have it; false: none. */
static bool address_text(const struct addrinfo *a, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN];

    if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
        return false;
    int n = snprintf(out, size, a->ai_family == AF_INET6 ? "[%s]" : "%s", text);
    return n > 0 && (size_t)n < size;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The addresses of one family, sorted, so that all processes pick the same ones when there are more
 * than slots. */
static size_t pick(const struct addrinfo *all, char out[ADDRESSES_MAX][BUS_ENDPOINT_SIZE / 2],
                   bool *ret_crowded)
{
    int family = AF_INET6;
    size_t n = 0;

    for (const struct addrinfo *a = all; a; a = a->ai_next)
        if (a->ai_family == AF_INET)
            family = AF_INET;
    for (const struct addrinfo *a = all; a; a = a->ai_next) {
        if (a->ai_family != family)
            continue;
        if (n == ADDRESSES_MAX)
            *ret_crowded = true;
        else if (address_text(a, out[n], sizeof out[n]))
            n++;
    }
    qsort(out, n, sizeof *out, compare);
    return n;
}

/* The endpoints of all brokers at these addresses; returns their number. */
static size_t endpoints_of(const struct bus_brokers *b,
                           char addresses[ADDRESSES_MAX][BUS_ENDPOINT_SIZE / 2], size_t n,
                           char out[BROKERS_MAX][BUS_ENDPOINT_SIZE], bool *ret_crowded)
{
    char bus[BUS_ENDPOINT_SIZE];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; k < (unsigned)b->cfg->brokers; k++) {
            snprintf(bus, sizeof bus, "tcp://%s:%u", addresses[i], b->lookup->port);
            if (len == BROKERS_MAX)
                *ret_crowded = true;
            else if (bus_endpoint(bus, k, b->side, out[len]) == ERR_OK)
                len++;
        }
    return len;
}

/* Opens and closes sockets to match the answer. */
static void follow(struct bus_brokers *b, const struct addrinfo *all)
{
    struct bus_lookup *l = b->lookup;
    char addresses[ADDRESSES_MAX][BUS_ENDPOINT_SIZE / 2];
    char endpoints[BROKERS_MAX][BUS_ENDPOINT_SIZE];
    bool crowded = false;
    size_t n = pick(all, addresses, &crowded);

    n = endpoints_of(b, addresses, n, endpoints, &crowded);
    for (size_t i = 0; i < BROKERS_MAX; i++)
        b->slots[i].listed = false;
    for (size_t i = 0, slot; i < n; i++)
        if ((slot = find_slot(b, endpoints[i])) < BROKERS_MAX)
            b->slots[slot].listed = true;
    drop_unlisted(b); /* makes room */
    for (size_t i = 0, slot; i < n; i++)
        if (find_slot(b, endpoints[i]) == BROKERS_MAX && (slot = find_slot(b, "")) < BROKERS_MAX)
            open_slot(b, slot, endpoints[i]);
    if (crowded && !l->was_crowded)
        log_warn("%s has more than %d brokers; only the first ones are used", l->host, BROKERS_MAX);
    l->was_crowded = crowded;
}

static bool all_alive(const struct bus_brokers *b)
{
    size_t n = 0;

    for (size_t i = 0; i < BROKERS_MAX; i++)
        if (b->slots[i].socket) {
            n++;
            if (!b->owner.is_alive(b->owner.arg, i))
                return false;
        }
    return n > 0;
}

static void ask(struct bus_lookup *l)
{
    struct gaicb *requests[] = {&l->request};

    l->hints = (struct addrinfo){.ai_socktype = SOCK_STREAM};
    l->request = (struct gaicb){.ar_name = l->host, .ar_request = &l->hints};
    l->is_open = getaddrinfo_a(GAI_NOWAIT, requests, 1, NULL) == 0;
}

/* Takes the answer of the lookup, if it has come. */
static void take_answer(struct bus_brokers *b, int64_t now)
{
    struct bus_lookup *l = b->lookup;
    int e = gai_error(&l->request);

    if (e == EAI_INPROGRESS)
        return;
    l->is_open = false;
    if (e == 0) {
        follow(b, l->request.ar_result);
        freeaddrinfo(l->request.ar_result);
        l->request.ar_result = NULL;
    }
    if (e && e != l->last_error)
        log_warn("cannot resolve the bus's name %s: %s; known addresses stay in use, "
                 "check --bus",
                 l->host, gai_strerror(e));
    l->last_error = e;
    l->answered_ms = now;
}

void bus_brokers_step(struct bus_brokers *b, int64_t now_ms)
{
    struct bus_lookup *l = b->lookup;

    for (size_t i = 0; i < BROKERS_MAX; i++)
        if (*b->slots[i].endpoint && !b->slots[i].socket)
            connect_slot(b, i);
    if (!l)
        return;
    if (l->is_open)
        take_answer(b, now_ms);
    else if (now_ms - l->answered_ms >= (all_alive(b) ? CALM_MS : EAGER_MS))
        ask(l);
    drop_unlisted(b);
}

/* ---- life ---- */

static bool is_name(const char *host)
{
    struct in_addr v4;

    return *host != '[' && inet_pton(AF_INET, host, &v4) != 1;
}

static void open_name(struct bus_brokers *b, const char *host, unsigned port)
{
    struct bus_lookup *l = b->lookup = mem_alloc(sizeof *l);
    const struct gaicb *requests[] = {&l->request};
    const struct timespec wait = {.tv_sec = FIRST_MS / 1000};

    snprintf(l->host, sizeof l->host, "%s", host);
    l->port = port;
    ask(l);
    if (l->is_open && gai_suspend(requests, 1, &wait) != EAI_AGAIN)
        take_answer(b, clock_mono_ms());
}

enum err bus_brokers_open(struct bus_brokers *b, const struct config *cfg, enum bus_side side,
                          const char *role, const struct bus_brokers_owner *owner)
{
    char endpoint[BUS_ENDPOINT_SIZE], host[BUS_ENDPOINT_SIZE / 2];
    unsigned port;

    *b = (struct bus_brokers){
        .cfg = cfg, .side = side, .role = role, .owner = *owner, .ctx = zmq_ctx_new()};
    if (!b->ctx || cfg->brokers == 0) {
        log_error("no broker to connect to; set --brokers and --bus");
        return ERR_INVALID;
    }
    if (bus_split(cfg->bus, host, sizeof host, &port) == ERR_OK && is_name(host)) {
        open_name(b, host, port);
        return ERR_OK;
    }
    for (size_t i = 0; i < (size_t)cfg->brokers; i++)
        if (bus_endpoint(cfg->bus, (unsigned)i, side, endpoint) || !open_slot(b, i, endpoint))
            return ERR_INVALID;
    return ERR_OK;
}

void bus_brokers_close(struct bus_brokers *b, int linger_ms)
{
    for (size_t i = 0; i < BROKERS_MAX; i++)
        if (b->slots[i].socket) {
            zmq_setsockopt(b->slots[i].socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
            zmq_close(b->slots[i].socket);
        }
    if (b->ctx)
        zmq_ctx_term(b->ctx);
    /* The resolver thread still writes to a running request: leak it rather than free it. */
    if (b->lookup && (!b->lookup->is_open || gai_cancel(&b->lookup->request) != EAI_NOTCANCELED)) {
        if (b->lookup->request.ar_result)
            freeaddrinfo(b->lookup->request.ar_result);
        free(b->lookup);
    }
    *b = (struct bus_brokers){0};
}
