/* The key of a bus between machines: one secret that all its processes share. Connections over
 * tcp:// are encrypted by it (ZeroMQ's CURVE), and a peer without it gets nothing: a broker takes
 * connections of peers that prove to have this very key, and peers speak only to brokers that do.
 */
#ifndef COMMON_BUS_KEY_H
#define COMMON_BUS_KEY_H

#include "common/config.h"
#include "common/err.h"

#include <stdbool.h>

#define BUS_KEY_TEXT 40 /* characters of a key as text (Z85) */

/* Takes the key of the settings, if there is one, for all sockets that this process and its
 * children make later. ERR_INVALID: it is no key, or this libzmq has no CURVE; said on stderr. */
enum err bus_key_use(const char *program, const struct config *cfg) MUST_CHECK;

/* Whether sockets of this endpoint have a key. */
bool bus_key_applies(const char *endpoint);

/* Set the options of a broker's, a peer's socket before it is bound, connected; without effect
 * where no key applies. False: errno is set. */
bool bus_key_serve(void *socket, const char *endpoint);
bool bus_key_connect(void *socket, const char *endpoint);

/* Makes the socket that answers a context's questions about who may connect; before the sockets of
 * brokers are bound. NULL with errno set when it cannot. */
void *bus_key_guard(void *ctx);

/* Answers the questions that are there. */
void bus_key_answer(void *guard);

/* Prints a new key; returns an exit status. */
int bus_key_make(void);

#endif
