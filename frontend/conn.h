/* Connections. Bytes from the socket go to the intake, which writes checked heads for the HTTP
 * library; answers go from the library to the socket. */
#ifndef FRONTEND_CONN_H
#define FRONTEND_CONN_H

#include "frontend/server.h"

/* evhttp_set_bevcb: makes the bufferevent of a new connection. */
struct bufferevent *conn_accept(struct event_base *base, void *server);

/* The connection of a request that the library hands over. */
struct conn *conn_of(struct server *s, struct evhttp_request *req);

/* The item of a request that the library hands over; the caller owns it. NULL: the library has read
 * something else than what the intake passed on (logged); the connection is closed in this turn of
 * the loop, and the request is not to be answered. */
struct intake_item *conn_claim(struct conn *c, struct evhttp_request *req);

/* The body of the request that is served may come; server->body_done hears when it is complete,
 * or was given up: then is the time for intake_body. */
void conn_let_body(struct conn *c);

/* While a request is served: notices when the client goes. Bytes of further requests are kept, up
 * to INTAKE_WAIT_MAX and one read. */
void conn_watch(struct conn *c);

/* Stops reading when INTAKE_WAIT_MAX bytes wait behind the request that is served. Call it after
 * each evhttp_send_* on a connection that stays: the library enables reading there. */
void conn_hold(struct conn *c);

/* Closes the connections on which nothing is under way. */
void conn_close_idle(struct server *s);

/* Takes connections or not, by their number and the drain. */
void conn_check_limit(struct server *s);

#endif
