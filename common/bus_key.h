/* Keys of a bus between machines (ZeroMQ's CURVE): connections over tcp:// are encrypted, and both
 * ends prove their side. Each port of a broker accepts only the sides that belong there; peers
 * speak only to brokers.
 *
 * The setting holds the keys of one or more sides as `testflinger-broker make-keys` writes them:
 * lines of a name and a value. "side NAME" begins a section; "secret KEY" is the side's own; the
 * others are the public keys of its peers. A process reads the section of its side.
 *
 * Or the setting is one key that all processes share (`make-key`, for older releases): whoever has
 * it can join as any side. */
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

/* Sets the key of the settings, if any, for all sockets that this process and its children make
 * later; warns where a TCP bus shares one key. ERR_INVALID (on stderr): the setting holds no key of
 * this side, or libzmq has no CURVE. */
enum err bus_key_use(const char *program, const struct config *cfg,
                     enum bus_key_side side) MUST_CHECK;

/* Whether sockets of this endpoint use keys. */
bool bus_key_applies(const char *endpoint);

/* Sets the key options of a broker's socket before it is bound, of a peer's before it connects;
 * does nothing where keys do not apply. False: errno is set. */
bool bus_key_serve(void *socket, const char *endpoint, enum bus_side peers);
bool bus_key_connect(void *socket, const char *endpoint);

/* Makes the socket of ZeroMQ's authentication requests (ZAP); before the broker's sockets are
 * bound. NULL: errno is set. */
void *bus_key_guard(void *ctx);

/* Answers the pending authentication requests. Logs refusals, at most one line in 10 s. */
void bus_key_answer(void *guard);

/* Whether the sender of this part may take requests of a service: with keys of the sides, webhook
 * workers take only SERVICE_WEBHOOK, other workers all the rest. */
bool bus_key_allows(zmq_msg_t *part, enum service service);

#endif
