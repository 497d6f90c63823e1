/* The connections: each has an intake between its socket and the HTTP library. */
#ifndef FRONTEND_CONN_H
#define FRONTEND_CONN_H

#include "frontend/intake.h"
#include "frontend/server.h"

struct exchange;
struct delivery;

struct conn {
    struct server *server;
    struct evhttp_connection *evcon; /* the key of server->conns */
    struct bufferevent *bev;
    struct intake intake;
    struct exchange *exchange; /* the request that is being served; NULL: none */
    struct delivery *delivery; /* of the claim that was answered last; NULL: it is settled */
    struct event *hook;
    bool feeding;
    UT_hash_handle hh;
};

/* evhttp_set_bevcb: makes the bufferevent of a new connection. */
struct bufferevent *conn_accept(struct event_base *base, void *server);

/* The connection of a request that the library hands over. */
struct conn *conn_of(struct server *s, struct evhttp_request *req);

/* While a request is served: notices when the client goes. Bytes of further requests are kept, up
 * to a limit. */
void conn_watch(struct conn *c);

/* Whether the silence of the client counts: not while it has nothing to send and its request takes
 * long. Writing to it has a limit in any case. */
void conn_patience(struct conn *c, bool patient);

/* Closes the connections on which nothing is under way. */
void conn_close_idle(struct server *s);

/* Takes connections or not, by their number and the drain. */
void conn_check_limit(struct server *s);

#endif
