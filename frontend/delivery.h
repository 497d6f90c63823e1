/* Detects whether a claim's response reached the agent, and tells the workers.
 *
 * It did if it was written to the socket and the connection was not reset for 250 ms after, or
 * until the agent sent its next request or closed in good order. The workers are told in batches; a
 * job that did not arrive goes back to its queue. */
#ifndef FRONTEND_DELIVERY_H
#define FRONTEND_DELIVERY_H

#include "frontend/server.h"

struct deliveries;

struct deliveries *delivery_start(struct server *s);
/* After the link, which may still hold notices to workers. The argument may be NULL. */
void delivery_stop(struct deliveries *d);

/* Whether there are claims that the workers were not told about. */
bool delivery_pending(const struct deliveries *d);

/* True when the client has closed before its answer: nothing needs to be written any more. */
bool delivery_refused(const struct conn *c);

/* The answer of this claim is about to be handed to the library. `id`: of the request, a UUID. */
void delivery_begin(struct conn *c, const char *id);

/* The library has written an answer, of a claim or not. */
void delivery_written(struct conn *c);

/* The client sends its next request: it has got what was written before. */
void delivery_next(struct conn *c);

/* The connection is about to be closed; its socket is still there. */
void delivery_closed(struct conn *c);

/* The job of this claim goes back. */
void delivery_return(struct server *s, const char *id);

#endif
