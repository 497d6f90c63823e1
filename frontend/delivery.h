/* Claims on their last way: whether a job that was handed out has arrived.
 *
 * A claim has arrived when its answer was written to the agent's socket and the connection was not
 * reset while it was watched, for a moment: until the agent sends its next request, or closes in
 * good order. The workers are told, many claims at a time; of one that did not arrive as well: its
 * job waits again. */
#ifndef FRONTEND_DELIVERY_H
#define FRONTEND_DELIVERY_H

#include "frontend/server.h"

struct deliveries;

struct deliveries *delivery_start(struct server *s);
/* After the link, which may still hold notices to workers. NULL is fine. */
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
