/* The bus between frontends, brokers and workers (ZeroMQ; docs/protocol.md).
 *
 * Peers use DEALER sockets, a broker two ROUTER sockets: one that frontends connect to, one for
 * workers. A message is a sequence of parts: one or more pairs of a header (struct bus_header as
 * msgpack) and a payload (an envelope, or an empty frame). Only workers get and send more than one
 * pair to a message: a bundle. Conversation (-> B: to the broker, B ->: from it):
 *
 *   -> B  (empty)  of ZMQ_PROBE_ROUTER at each (re)connect
 *   B ->  HELLO    instance: a new value tells that the broker forgot what it had in hand
 *   -> B  READY    service, window; sent by a worker on HELLO, makes it available
 *   B ->  PING     every heartbeat interval; a peer that hears nothing for the dead time takes the
 *                  broker for dead
 *   -> B  REQUEST  of a frontend: id, service, ttl_ms, attempt, key + request envelope
 *   B ->  REQUEST  to a worker: as it came, ttl_ms lowered by the time it waited
 *   -> B  REPLY    of a worker: id + reply envelope
 *   B ->  REPLY    to the frontend, as it came
 *   B ->  REJECT   to the frontend: id, err: ERR_FULL, ERR_TIMEOUT (the request is forgotten)
 *   -> B  WAKE     of a worker: key: a queue in which a job waits
 *   B ->  WAKE     to all frontends, as it came
 *   -> B  BYE      of a worker: takes no more work (drain)
 *   B ->  BYE      to frontends: as PING, but wants no more requests where another broker is
 *
 * A worker without a window gets its next bundle when all of one are answered; one with a window
 * gets more as long as it has fewer requests in hand than that, for answers that come late. */
#ifndef COMMON_BUS_H
#define COMMON_BUS_H

#include "common/api.h"
#include "common/bus_key.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#define BUS_VERSION     1
#define BUS_ID_SIZE     16
#define BUS_KEY_MAX     128 /* longer keys are cut: requests that then share one merely queue */
#define BUS_BUNDLE_MAX  32  /* requests in one message to a worker */
#define BUS_MESSAGE_MAX (20 * MIB)
#define BROKERS_MAX     16

enum bus_type {
    BUS_HELLO = 1,
    BUS_READY,
    BUS_PING,
    BUS_BYE,
    BUS_REQUEST,
    BUS_REPLY,
    BUS_REJECT,
    BUS_WAKE
};

struct bus_header {
    enum bus_type type;
    uint64_t instance;       /* HELLO, PING, BYE of a broker */
    uint64_t origin;         /* REQUEST: a hash of the client's address; 0: not told */
    uint32_t subject;        /* REQUEST: a hash of what is asked for, see below; 0: not told */
    enum service service;    /* READY, REQUEST */
    uint32_t window;         /* READY: requests that it takes at a time; 0: one bundle */
    uint8_t id[BUS_ID_SIZE]; /* REQUEST, REPLY, REJECT: the request id (UUID bytes) */
    uint32_t ttl_ms;         /* REQUEST: time left until its deadline */
    uint32_t attempt;        /* REQUEST: 0, raised each time it is sent again */
    enum err err;            /* REJECT */
    char key[BUS_KEY_MAX];   /* REQUEST: requests of one key run one bundle at a time; WAKE */
    size_t key_len;          /* 0: none */
};

/* A subject holds the operation in its upper bits, never 0, and a hash of its parameters below. On
 * the bus origin and subject stand in the places of instance and window: releases that do not know
 * them take no notice. */
#define BUS_SUBJECT_OP_SHIFT 24

/* Packs a header into an uninitialised message, which the caller sends or closes. */
void bus_header_pack(const struct bus_header *h, zmq_msg_t *msg);

/* ERR_INVALID for anything but a well-formed header of this version. */
enum err bus_header_unpack(const void *data, size_t len, struct bus_header *ret) MUST_CHECK;

#define BUS_ENDPOINT_SIZE 256
/* The endpoint of one broker for one side: "ipc://DIR/broker-K.frontends" for a bus that is a
 * directory; for "tcp://HOST:PORT" the port is PORT + 2K for frontends, PORT + 2K + 1 for workers.
 * ERR_INVALID when `bus` is neither or too long for a socket path. */
enum err bus_endpoint(const char *bus, unsigned broker, enum bus_side side,
                      char out[BUS_ENDPOINT_SIZE]) MUST_CHECK;

/* Splits "tcp://HOST:PORT"; ERR_INVALID for all else. An IPv6 address keeps its brackets. */
enum err bus_split(const char *bus, char *host, size_t size, unsigned *port) MUST_CHECK;

/* True when the bus leaves this machine: tcp:// to an address that is no loopback one. */
bool bus_is_remote(const char *bus);

/* Makes the broker's ROUTER socket for one side of its peers and binds it; NULL with errno set when
 * it cannot. */
void *bus_bind(void *ctx, const char *endpoint, enum bus_side peers);

/* Makes a peer's DEALER socket with a fresh identity and connects it (in the background); NULL
 * with errno set when it cannot. */
void *bus_connect(void *ctx, const char *endpoint, const char *role);

#endif
