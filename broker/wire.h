/* The two ROUTER sockets of a broker. No call blocks. */
#ifndef BROKER_WIRE_H
#define BROKER_WIRE_H

#include "broker/peers.h"

#include <stdbool.h>

struct wire {
    void *ctx;
    void *sockets[2]; /* by enum bus_side */
    void *guard;      /* of keys; NULL: the bus has none */
    int lock_fd;      /* holds the lock of this broker's number in the folder; -1: none */
};

/* Binds both endpoints of broker number `slot`. ERR_INVALID: the setting is wrong; ERR_UNAVAILABLE:
 * a retry may help; both are logged. Call wire_close in any case. */
enum err wire_open(struct wire *w, const char *bus, unsigned slot) MUST_CHECK;

/* Closes the sockets; what was sent has `linger_ms` to leave. */
void wire_close(struct wire *w, int linger_ms);

/* Begins a message to a peer. ERR_NOT_FOUND: it is gone; ERR_FULL: its queue is full since it does
 * not read. After ERR_OK the parts must follow. */
enum err wire_begin(struct wire *w, enum bus_side side, const struct peer *peer) MUST_CHECK;

/* Sends the next part; takes `msg`. */
void wire_part(struct wire *w, enum bus_side side, zmq_msg_t *msg, bool more);

/* Sends a header with an empty payload; errors as wire_begin. */
enum err wire_control(struct wire *w, enum bus_side side, const struct peer *peer,
                      const struct bus_header *h) MUST_CHECK;

/* Receives one part into `msg`, which it initialises in any case. False: none (never within a
 * message). */
bool wire_receive(struct wire *w, enum bus_side side, zmq_msg_t *msg);

#endif
