/* Keys of a bus between machines. Connections over tcp:// are encrypted by them (ZeroMQ's CURVE),
 * and each end proves that it has its own: a broker takes, on each of its ports, connections of the
 * sides only that belong there, and peers speak only to brokers.
 *
 * The setting holds the key of a side, as `testflinger-broker make-keys` writes it: lines of a name
 * and a value. "side NAME" begins what a side needs; "secret KEY" is its own; the others are public
 * keys of those that it speaks with, by the name of their side. Further sides may follow, for a
 * machine with several roles: a process takes what is its own.
 *
 * Or it is one key that all processes share (`make-key`). Then whoever has it can join as anything:
 * that is for a bus of processes of older releases. */
#ifndef COMMON_BUS_KEY_H
#define COMMON_BUS_KEY_H

#include "common/api.h"
#include "common/config.h"
#include "common/err.h"

#include <stdbool.h>
#include <zmq.h>

#define BUS_KEY_TEXT 40 /* characters of a key as text (Z85) */

/* The two ports of a broker. */
enum bus_side { BUS_FRONTENDS, BUS_WORKERS };

enum bus_key_side {
    BUS_KEY_FRONTEND,
    BUS_KEY_BROKER,
    BUS_KEY_WORKER,
    BUS_KEY_WEBHOOK,
    BUS_KEY_SIDES_
};

/* "frontend" and so on, static storage. */
const char *bus_key_side_name(enum bus_key_side side);

/* Takes the key of the settings, if there is one, for all sockets that this process and its
 * children make later. ERR_INVALID: it is no key of this side, or this libzmq has no CURVE; said on
 * stderr. Warns where all processes of a TCP bus share one. */
enum err bus_key_use(const char *program, const struct config *cfg,
                     enum bus_key_side side) MUST_CHECK;

/* Whether sockets of this endpoint have a key. */
bool bus_key_applies(const char *endpoint);

/* Set the options of a broker's socket for a side of its peers, of a peer's socket, before it is
 * bound, connected; without effect where no key applies. False: errno is set. */
bool bus_key_serve(void *socket, const char *endpoint, enum bus_side peers);
bool bus_key_connect(void *socket, const char *endpoint);

/* Makes the socket that answers a context's questions about who may connect; before the sockets of
 * brokers are bound. NULL with errno set when it cannot. */
void *bus_key_guard(void *ctx);

/* Answers the questions that are there. Refusals are logged, at most one line in 10 s. */
void bus_key_answer(void *guard);

/* Whether the peer that sent this part may take work of a service: where sides have keys of their
 * own, webhook workers take none but theirs, and no other worker takes that. */
bool bus_key_allows(zmq_msg_t *part, enum service service);

#endif
