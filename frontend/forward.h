/* A request on its way to a worker. One whose body is not here yet is asked for first, unless it is
 * small: the head goes to a worker (OP_ASK), and only a yes lets the body come. A large body waits
 * for its turn to be packed, so that the copies in memory stay within the budget. */
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
