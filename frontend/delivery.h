/* Detects whether a claim's response reached the agent, and reports it to the workers.
 *
 * It did if it was written to the socket and the connection was not reset for 250 ms after, or
 * until the agent sent its next request or closed in good order. The workers are told in batches; a
 * job that did not arrive goes back to its queue. */
#ifndef FRONTEND_DELIVERY_H
#define FRONTEND_DELIVERY_H

#include "frontend/server.h"

struct deliveries;

struct deliveries *delivery_start(struct server *s);
/* Call it after link_close: the link may hold notices to workers. `d` may be NULL. */
void delivery_stop(struct deliveries *d);

/* Whether there are claims that no worker knows the delivery of. */
bool delivery_pending(const struct deliveries *d);

/* True when the client has left before its answer: nothing needs to be written any more. A poll
 * takes the end of the client's sending side for that. */
bool delivery_refused(const struct conn *c);

/* Call it before the claim's answer goes to the library. `id`: the request's, a UUID. */
void delivery_begin(struct conn *c, const char *id);

/* Call it when the library has written an answer, of a claim or not. */
void delivery_written(struct conn *c);

/* Call it at the client's next request: what was written before has arrived. */
void delivery_next(struct conn *c);

/* Call it before the connection is closed, while its socket exists. */
void delivery_closed(struct conn *c);

/* Reports that this claim did not arrive: its job goes back to its queue. */
void delivery_return(struct server *s, const char *id);

#endif
