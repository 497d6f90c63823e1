/* One frontend process: what its connections and exchanges share. */
#ifndef FRONTEND_SERVER_H
#define FRONTEND_SERVER_H

#include "common/config.h"
#include "frontend/body.h"
#include "frontend/client.h"
#include "frontend/linger.h"
#include "frontend/link.h"
#include "frontend/origin.h"
#include "frontend/pace.h"
#include "frontend/shut.h"

#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

struct acceptor;
struct conn;
struct exchange;
struct piece;
struct deliveries;
struct park;
struct place;
struct tls;

struct server {
    const struct config *cfg;
    unsigned slot; /* of the process, see prefork.h */
    struct event_base *base;
    struct evhttp *http;
    struct tls *tls; /* NULL: plain HTTP */
    struct proxies proxies;
    struct acceptor *acceptor;
    struct event *tick; /* each second */
    struct link *link;
    struct deliveries *deliveries;
    struct park *park;
    void (*body_done)(struct conn *c); /* hears of bodies that were let (conn_let_body) */
    struct body_limits bodies;
    struct origin_rules origins;
    struct conn *conns;    /* by their evhttp_connection */
    struct evbuffer *kept; /* scratch of conn.c */
    size_t conns_len;      /* those that are set up, too */
    size_t places_max;     /* connections, see places.h */
    size_t places_address; /* of one address */
    struct place *places;  /* by address */
    struct paces paces;
    struct shuts shuts[SHUT_REASONS];
    struct timeval silence; /* longest of a client, between requests and within one */
    struct lingering lingering;
    struct exchange *for_room; /* large bodies that wait for memory, see forward.h */
    struct event *look_for_room;
    size_t pieces_under_way;      /* of files, see piece.h */
    struct piece *pieces_waiting; /* for their turn */
    bool draining;                /* every answer ends its connection */
};

#endif
