#include "common/bus_key.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

enum { ZAP_PARTS = 7, PART_MAX = 256, KEY_BYTES = 32, WARNING_MS = 10000 };

/* ZAP domain of each port, by enum bus_side. */
static const char *const domains[] = {"frontends", "workers"};

static const char *const names[BUS_KEY_SIDES_] = {"frontend", "broker", "worker", "webhook"};

static struct {
    bool is_guarding; /* this process is a broker that checks keys */
    bool is_shared;   /* one key for all sides: all public keys are the same */
    char secret[BUS_KEY_TEXT + 1], public[BUS_KEY_TEXT + 1];
    struct {
        char text[BUS_KEY_TEXT + 1]; /* "": unknown */
        uint8_t bytes[KEY_BYTES];
    } sides[BUS_KEY_SIDES_]; /* public keys */
} keys;

const char *bus_key_side_name(enum bus_key_side side)
{
    return names[side];
}

/* ---- the setting ---- */

static bool is_key(const char *s, size_t len, char out[BUS_KEY_TEXT + 1], uint8_t bytes[KEY_BYTES])
{
    if (len != BUS_KEY_TEXT || memchr(s, '\0', len))
        return false;
    memcpy(out, s, len);
    out[len] = '\0';
    return zmq_z85_decode(bytes, out) != NULL;
}

/* Reads a line of this side's section; false: the value is no key. */
static bool take_line(const char *name, size_t name_len, const char *value, size_t len)
{
    uint8_t bytes[KEY_BYTES];

    if (name_len == strlen("secret") && memcmp(name, "secret", name_len) == 0)
        return is_key(value, len, keys.secret, bytes) &&
               zmq_curve_public(keys.public, keys.secret) == 0;
    for (int i = 0; i < BUS_KEY_SIDES_; i++)
        if (name_len == strlen(names[i]) && memcmp(name, names[i], name_len) == 0)
            return is_key(value, len, keys.sides[i].text, keys.sides[i].bytes);
    return true; /* ignore an unknown name: a later release's */
}

/* Reads the section of a side; NULL: complete, else what is wrong. */
static const char *take_sides(const char *text, enum bus_key_side own)
{
    bool is_own = false, was_there = false;

    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\n"), name = strcspn(line, " \n");
        const char *value = line + name + strspn(line + name, " ");
        size_t value_len = (size_t)(line + len - value);
        while (value_len && (value[value_len - 1] == '\r' || value[value_len - 1] == ' '))
            value_len--;
        if (name == strlen("side") && memcmp(line, "side", name) == 0) {
            is_own = value_len == strlen(names[own]) && memcmp(value, names[own], value_len) == 0;
            was_there |= is_own;
        } else if (is_own && *line != '#' && len && !take_line(line, name, value, value_len)) {
            return "a line of it holds no key";
        }
        line += len + (line[len] == '\n');
    }
    if (!was_there)
        return "it is that of another side";
    if (!*keys.secret)
        return "it has no secret";
    if (own == BUS_KEY_BROKER)
        return *keys.sides[BUS_KEY_FRONTEND].text && *keys.sides[BUS_KEY_WORKER].text
                   ? NULL
                   : "it lacks the public keys of frontends and workers";
    return *keys.sides[BUS_KEY_BROKER].text ? NULL : "it lacks the public key of brokers";
}

static const char *take_shared(const char *key)
{
    uint8_t bytes[KEY_BYTES];

    if (!is_key(key, strlen(key), keys.secret, bytes) ||
        zmq_curve_public(keys.public, keys.secret) != 0)
        return "it is no key";
    for (int i = 0; i < BUS_KEY_SIDES_; i++) {
        memcpy(keys.sides[i].text, keys.public, sizeof keys.public);
        if (!zmq_z85_decode(keys.sides[i].bytes, keys.public))
            return "it is no key";
    }
    keys.is_shared = true;
    return NULL;
}

enum err bus_key_use(const char *program, const struct config *cfg, enum bus_key_side side)
{
    const char *fault, *key = cfg->bus_key;

    if (!*key)
        return ERR_OK;
    if (!zmq_has("curve")) {
        fprintf(stderr, "%s: bus-key: this libzmq was built without CURVE; install one with it\n",
                program);
        return ERR_INVALID;
    }
    fault = strchr(key, ' ') ? take_sides(key, side) : take_shared(key);
    if (fault) {
        fprintf(stderr,
                "%s: bus-key: TESTFLINGER_BUS_KEY is no key of a %s: %s; give it %s.key of: "
                "testflinger-broker make-keys DIR\n",
                program, names[side], fault, names[side]);
        return ERR_INVALID;
    }
    if (keys.is_shared && strncmp(cfg->bus, "tcp://", 6) == 0)
        log_warn("all processes of the bus share one key: whoever takes one over can join as any "
                 "other, also as a worker of logins; make a key for each side with "
                 "testflinger-broker make-keys DIR, give each process its own and restart all");
    return ERR_OK;
}

bool bus_key_applies(const char *endpoint)
{
    return *keys.secret && strncmp(endpoint, "tcp://", 6) == 0;
}

/* ---- sockets ---- */

static bool set_text(void *socket, int option, const char *text)
{
    return zmq_setsockopt(socket, option, text, strlen(text)) == 0;
}

static bool set_key(void *socket, int option, const char key[BUS_KEY_TEXT + 1])
{
    return zmq_setsockopt(socket, option, key, BUS_KEY_TEXT + 1) == 0;
}

bool bus_key_serve(void *socket, const char *endpoint, enum bus_side peers)
{
    const int yes = 1;

    if (!bus_key_applies(endpoint))
        return true;
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof yes) == 0 &&
           set_key(socket, ZMQ_CURVE_SECRETKEY, keys.secret) &&
           set_text(socket, ZMQ_ZAP_DOMAIN, domains[peers]);
}

bool bus_key_connect(void *socket, const char *endpoint)
{
    if (!bus_key_applies(endpoint))
        return true;
    return set_key(socket, ZMQ_CURVE_SERVERKEY, keys.sides[BUS_KEY_BROKER].text) &&
           set_key(socket, ZMQ_CURVE_PUBLICKEY, keys.public) &&
           set_key(socket, ZMQ_CURVE_SECRETKEY, keys.secret);
}

/* ---- who may connect (ZeroMQ's RFC 27, ZAP) ---- */

void *bus_key_guard(void *ctx)
{
    void *guard = zmq_socket(ctx, ZMQ_REP);
    const int linger_ms = 0;

    if (!guard)
        return NULL;
    if (zmq_setsockopt(guard, ZMQ_LINGER, &linger_ms, sizeof linger_ms) != 0 ||
        zmq_bind(guard, "inproc://zeromq.zap.01") != 0) {
        zmq_close(guard);
        return NULL;
    }
    keys.is_guarding = true;
    return guard;
}

/* Indices of the parts of a request. A part longer than PART_MAX is cut and then matches nothing.
 */
enum part { PART_ID = 1, PART_DOMAIN, PART_ADDRESS, PART_MECHANISM = 5, PART_KEY };

struct question {
    struct {
        char data[PART_MAX];
        size_t len;
    } parts[ZAP_PARTS];
    int count;
};

/* Receives one authentication request; false: there is none. */
static bool ask(void *guard, struct question *q)
{
    char dropped[PART_MAX];
    int more = 1;
    size_t size = sizeof more;

    memset(q, 0, sizeof *q);
    while (more) {
        void *to = q->count < ZAP_PARTS ? q->parts[q->count].data : dropped;
        int n = zmq_recv(guard, to, PART_MAX, ZMQ_DONTWAIT);
        if (n < 0)
            return false;
        if (q->count < ZAP_PARTS)
            q->parts[q->count].len = n < PART_MAX ? (size_t)n : PART_MAX;
        q->count++;
        if (zmq_getsockopt(guard, ZMQ_RCVMORE, &more, &size) != 0)
            return false;
    }
    return true;
}

static bool part_is(const struct question *q, enum part part, const void *data, size_t len)
{
    return q->parts[part].len == len && memcmp(q->parts[part].data, data, len) == 0;
}

/* The side that owns the connection's key, if that side may use this port; NULL: refuse. */
static const char *side_of(const struct question *q)
{
    static const enum bus_key_side may[][2] = {
        [BUS_FRONTENDS] = {BUS_KEY_FRONTEND, BUS_KEY_FRONTEND},
        [BUS_WORKERS] = {BUS_KEY_WORKER, BUS_KEY_WEBHOOK},
    };

    if (q->count != ZAP_PARTS || !part_is(q, PART_MECHANISM, "CURVE", strlen("CURVE")))
        return NULL;
    for (int port = BUS_FRONTENDS; port <= BUS_WORKERS; port++)
        for (int i = 0; i < 2 && part_is(q, PART_DOMAIN, domains[port], strlen(domains[port])); i++)
            if (*keys.sides[may[port][i]].text &&
                part_is(q, PART_KEY, keys.sides[may[port][i]].bytes, KEY_BYTES))
                return names[may[port][i]];
    return NULL;
}

static void warn_refused(const struct question *q)
{
    static int64_t next;
    static size_t refused;
    int64_t now = clock_mono_ms();

    refused++;
    if (now < next)
        return;
    log_warn("refused %zu connections to the port of %.*s, the last one from %.*s: their key does "
             "not belong there; give each process the key file of its side",
             refused, (int)q->parts[PART_DOMAIN].len, q->parts[PART_DOMAIN].data,
             (int)q->parts[PART_ADDRESS].len, q->parts[PART_ADDRESS].data);
    refused = 0;
    next = now + WARNING_MS;
}

void bus_key_answer(void *guard)
{
    struct question q;

    while (ask(guard, &q)) {
        const char *side = side_of(&q);
        zmq_send(guard, "1.0", 3, ZMQ_SNDMORE);
        zmq_send(guard, q.parts[PART_ID].data, q.parts[PART_ID].len, ZMQ_SNDMORE);
        zmq_send(guard, side ? "200" : "400", 3, ZMQ_SNDMORE);
        zmq_send(guard, side ? "OK" : "No", 2, ZMQ_SNDMORE);
        zmq_send(guard, side ? side : "", side ? strlen(side) : 0, ZMQ_SNDMORE);
        zmq_send(guard, "", 0, 0);
        if (!side)
            warn_refused(&q);
    }
}

bool bus_key_allows(zmq_msg_t *part, enum service service)
{
    const char *side;

    if (!keys.is_guarding || keys.is_shared)
        return true;
    side = zmq_msg_gets(part, "User-Id"); /* set by bus_key_answer */
    return side && (strcmp(side, names[BUS_KEY_WEBHOOK]) == 0) == (service == SERVICE_WEBHOOK);
}
