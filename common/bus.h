/* The bus between frontends, brokers and workers (ZeroMQ; docs/protocol.md).
 *
 * Peers use DEALER sockets, a broker two ROUTER sockets: one for frontends, one for workers. A
 * message is one or more pairs of a header (struct bus_header as msgpack) and a payload (an
 * envelope or an empty frame). Only workers receive and send more than one pair: a bundle.
 * Conversation
 * (-> B: to the broker, B ->: from it):
 *
 *   -> B  (empty)  of ZMQ_PROBE_ROUTER at each (re)connect
 *   B ->  HELLO    instance: a new value means that the broker knows none of our requests; release
 *   -> B  READY    service, window, operations, release; sent by a worker on HELLO, makes it
 *                  available
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
 * A worker without a window gets its next bundle once it answered all of the last one. A worker
 * with a window of N, whose answers depend on others, gets requests while it has fewer than N in
 * hand. */
#ifndef COMMON_BUS_H
#define COMMON_BUS_H

#include "common/api.h"
#include "common/bus_key.h"
#include "common/bus_ops.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#define BUS_VERSION 1
#define BUS_ID_SIZE 16
/* Header of the answer to a claim that a pause or a mode keeps from jobs. Both may end by their
 * time, of which no WAKE tells: its poll asks again soon. */
#define BUS_CLAIM_HELD "X-Claim-Held"

#define BUS_KEY_MAX     128 /* longer keys are cut; equal cut keys only serialise requests */
#define BUS_BUNDLE_MAX  32  /* requests in one message to a worker, at most */
#define BUS_MESSAGE_MAX (20 * MIB)
#define BROKERS_MAX     16

/* ms: ZeroMQ closes a connection whose peer was silent for so long. A process that did not run
 * for longer joins anew (late.h): its peers may have given its requests to others. */
#define BUS_PATIENCE_MS 1500

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
    uint64_t origin;         /* REQUEST: a hash of the client's address; 0: unknown */
    uint32_t subject;        /* REQUEST: operation and parameters, see below; 0: unknown */
    enum service service;    /* READY, REQUEST */
    uint32_t window;         /* READY: requests that the worker holds at a time; 0: one bundle */
    uint32_t took_us;        /* REPLY: time that the request took alone; 0: none, or unknown */
    uint8_t id[BUS_ID_SIZE]; /* REQUEST, REPLY, REJECT: the request id (UUID bytes) */
    uint32_t ttl_ms;         /* REQUEST: time left until its deadline */
    uint32_t attempt;        /* REQUEST: 0, plus 1 for each time that it is sent again */
    enum err err;            /* REJECT */
    char key[BUS_KEY_MAX];   /* REQUEST: requests of one key run one bundle at a time; WAKE */
    size_t key_len;          /* 0: none. HELLO, READY: the sender's release */
    struct bus_ops ops;      /* READY: operations that the worker knows */
    bool one_writer;         /* READY: the worker's store takes one writer at a time */
};

/* Subject: the operation's number + 1 in the upper 8 bits, a hash of the parameters below them.
 * On the bus, origin and subject take the places of instance and window, which a REQUEST does not
 * use; took_us takes the place of window in a REPLY. */
#define BUS_SUBJECT_OP_SHIFT 24

/* Writes this release into the key of a HELLO or READY. */
void bus_header_release(struct bus_header *h);

/* Initialises `msg` with the packed header; the caller sends or closes it. */
void bus_header_pack(const struct bus_header *h, zmq_msg_t *msg);

/* ERR_INVALID: not a well-formed header of this version; *ret is untouched. */
enum err bus_header_unpack(const void *data, size_t len, struct bus_header *ret) MUST_CHECK;

/* The version of the protocol in a header, of whatever release; 0: not a header. */
unsigned bus_header_version(const void *data, size_t len);

/* Logs that `peer` speaks another version of the protocol, if the header does; once a second. */
void bus_note_version(zmq_msg_t *head, const char *peer);

#define BUS_ENDPOINT_SIZE 256
/* The endpoint of broker K for one side: "ipc://DIR/broker-K.frontends" where `bus` is a folder; of
 * "tcp://HOST:PORT" port PORT + 2K for frontends, PORT + 2K + 1 for workers. ERR_INVALID: `bus` is
 * neither, or too long for a socket path. */
enum err bus_endpoint(const char *bus, unsigned broker, enum bus_side side,
                      char out[BUS_ENDPOINT_SIZE]) MUST_CHECK;

/* Splits "tcp://HOST:PORT"; ERR_INVALID: it is something else. IPv6 keeps its brackets. */
enum err bus_split(const char *bus, char *host, size_t size, unsigned *port) MUST_CHECK;

/* Whether the setting `bus` is valid; false: the reason is on stderr. */
bool bus_setting_ok(const char *program, const struct config *cfg);

/* True for tcp:// with an address that is not a loopback one. */
bool bus_is_remote(const char *bus);

/* Makes and binds the broker's ROUTER socket for one side; NULL: errno is set. */
void *bus_bind(void *ctx, const char *endpoint, enum bus_side peers);

/* Makes a peer's DEALER socket with a new identity, which connects in the background; NULL: errno
 * is set. */
void *bus_connect(void *ctx, const char *endpoint, const char *role);

#endif
