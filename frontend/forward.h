/* Sends a request to a worker. A large body that has not come yet is asked for first: the head goes
 * to a worker (OP_ASK), which says whether the body is wanted. A large body then waits until the
 * budget has memory for its packed copy. */
#ifndef FRONTEND_FORWARD_H
#define FRONTEND_FORWARD_H

#include "frontend/exchange.h"
#include "frontend/request.h"

/* Begins to serve a request that has a route. Takes the item. */
void forward_begin(struct conn *c, struct evhttp_request *req, struct parsed *p,
                   struct intake_item *item, const char id[REQUEST_ID_SIZE]);
/* The body of the request that a connection serves is complete, or was given up. */
void forward_body(struct conn *c);

/* Timer of the server: sends large bodies that wait for memory. */
void forward_look_for_room(evutil_socket_t fd, short what, void *server);

#endif
