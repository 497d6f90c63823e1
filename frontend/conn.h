/* Connections. Bytes from the socket go to the intake, which writes checked heads for the HTTP
 * library; answers go from the library to the socket. */
#ifndef FRONTEND_CONN_H
#define FRONTEND_CONN_H

#include "frontend/server.h"

/* evhttp_set_bevcb: makes the bufferevent of a new connection. */
struct bufferevent *conn_accept(struct event_base *base, void *server);

/* The connection of a request that the library hands over. */
struct conn *conn_of(struct server *s, struct evhttp_request *req);

/* The item of a request from the library; the caller owns it. NULL: the library read something else
 * than the intake passed on (logged): the connection is closed in this turn of the loop; do not
 * answer. */
struct intake_item *conn_claim(struct conn *c, struct evhttp_request *req);

/* Lets the body of the served request come. When it is complete or given up, server->body_done is
 * called: then call intake_body. */
void conn_let_body(struct conn *c);

/* During a request: detects that the client goes, by a reset, a failed write, and with c->polls the
 * end of its sending side. Keeps bytes of further requests, up to INTAKE_WAIT_MAX and one read. */
void conn_watch(struct conn *c);

/* Stops reading when INTAKE_WAIT_MAX bytes wait behind the request that is served, and lets an
 * answer go on when the client ends its sending side. Call it after each evhttp_send_* on a
 * connection that stays: the library enables reading there, and sets its callbacks. */
void conn_hold(struct conn *c);

/* Closes the connections without a request. */
void conn_close_idle(struct server *s);

/* Starts or stops accepting, by the number of connections and the drain. */
void conn_check_limit(struct server *s);

#endif
