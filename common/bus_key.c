#include "common/bus_key.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

enum { ZAP_PARTS = 7, PART_MAX = 256 };

#define DOMAIN "testflinger"

static char secret_key[BUS_KEY_TEXT + 1], public_key[BUS_KEY_TEXT + 1];
static uint8_t public_bytes[32];

enum err bus_key_use(const char *program, const struct config *cfg)
{
    const char *key = cfg->bus_key;

    if (!*key)
        return ERR_OK;
    if (!zmq_has("curve")) {
        fprintf(stderr, "%s: bus-key: this libzmq was built without CURVE; install one with it\n",
                program);
        return ERR_INVALID;
    }
    if (strlen(key) != BUS_KEY_TEXT || zmq_curve_public(public_key, key) != 0 ||
        !zmq_z85_decode(public_bytes, public_key)) {
        fprintf(stderr,
                "%s: bus-key: TESTFLINGER_BUS_KEY is no key; make one by: testflinger-broker "
                "make-key\n",
                program);
        return ERR_INVALID;
    }
    memcpy(secret_key, key, sizeof secret_key);
    return ERR_OK;
}

bool bus_key_applies(const char *endpoint)
{
    return *secret_key && strncmp(endpoint, "tcp://", 6) == 0;
}

static bool set_text(void *socket, int option, const char *text)
{
    return zmq_setsockopt(socket, option, text, strlen(text)) == 0;
}

bool bus_key_serve(void *socket, const char *endpoint)
{
    const int yes = 1;

    if (!bus_key_applies(endpoint))
        return true;
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof yes) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_key, BUS_KEY_TEXT + 1) == 0 &&
           set_text(socket, ZMQ_ZAP_DOMAIN, DOMAIN);
}

bool bus_key_connect(void *socket, const char *endpoint)
{
    if (!bus_key_applies(endpoint))
        return true;
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, public_key, BUS_KEY_TEXT + 1) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, public_key, BUS_KEY_TEXT + 1) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_key, BUS_KEY_TEXT + 1) == 0;
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
    return guard;
}

struct question {
    char id[PART_MAX];
    size_t id_len;
    char mechanism[PART_MAX];
    size_t mechanism_len;
    uint8_t key[PART_MAX];
    size_t key_len;
    int parts;
};

/* Receives one question; false: there is none. */
static bool ask(void *guard, struct question *q)
{
    char dropped[PART_MAX];
    int more = 1, n;
    size_t size = sizeof more;

    *q = (struct question){0};
    while (more) {
        void *to = q->parts == 1 ? q->id : q->parts == 5 ? q->mechanism : (void *)dropped;
        if (q->parts == 6)
            to = q->key;
        n = zmq_recv(guard, to, PART_MAX, ZMQ_DONTWAIT);
        if (n < 0)
            return false;
        size_t len = n < PART_MAX ? (size_t)n : PART_MAX;
        if (q->parts == 1)
            q->id_len = len;
        if (q->parts == 5)
            q->mechanism_len = len;
        if (q->parts == 6)
            q->key_len = (size_t)n;
        q->parts++;
        if (zmq_getsockopt(guard, ZMQ_RCVMORE, &more, &size) != 0)
            return false;
    }
    return true;
}

static bool is_ours(const struct question *q)
{
    return q->parts == ZAP_PARTS && q->mechanism_len == strlen("CURVE") &&
           memcmp(q->mechanism, "CURVE", q->mechanism_len) == 0 &&
           q->key_len == sizeof public_bytes &&
           memcmp(q->key, public_bytes, sizeof public_bytes) == 0;
}

void bus_key_answer(void *guard)
{
    struct question q;

    while (ask(guard, &q)) {
        bool yes = is_ours(&q);
        zmq_send(guard, "1.0", 3, ZMQ_SNDMORE);
        zmq_send(guard, q.id, q.id_len, ZMQ_SNDMORE);
        zmq_send(guard, yes ? "200" : "400", 3, ZMQ_SNDMORE);
        zmq_send(guard, yes ? "OK" : "No", 2, ZMQ_SNDMORE);
        zmq_send(guard, "", 0, ZMQ_SNDMORE);
        zmq_send(guard, "", 0, 0);
    }
}

int bus_key_make(void)
{
    char public_text[BUS_KEY_TEXT + 1], secret_text[BUS_KEY_TEXT + 1];

    if (zmq_curve_keypair(public_text, secret_text) != 0) {
        fprintf(stderr, "testflinger-broker: this libzmq was built without CURVE\n");
        return 1;
    }
    return puts(secret_text) < 0 || fflush(stdout) != 0;
}
