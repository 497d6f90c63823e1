/* Sends a request to a worker. For a large body, the head goes to a worker first (OP_ASK), which
 * says whether to read the body. A large body then waits until the budget has memory for its packed
 * copy. */
#ifndef FRONTEND_FORWARD_H
#define FRONTEND_FORWARD_H

#include "frontend/exchange.h"
#include "frontend/request.h"

/* Starts to serve a request that has a route. Takes the item. */
void forward_begin(struct conn *c, struct evhttp_request *req, struct parsed *p,
                   struct intake_item *item, const char id[REQUEST_ID_SIZE]);
/* Call it when the body of the served request is complete, or was given up. */
void forward_body(struct conn *c);

/* Timer of the server: sends large bodies that wait for memory. */
void forward_look_for_room(evutil_socket_t fd, short what, void *server);

#endif
