/* The data of a frontend process (struct server) and its connections (struct conn). Only the named
 * file changes each part; all may read it. No functions: so the files that work on a connection
 * need not include each other. */
#ifndef FRONTEND_SERVER_H
#define FRONTEND_SERVER_H

#include "common/config.h"
#include "common/hash.h"
#include "frontend/forwarded.h"
#include "frontend/intake.h"
#include "frontend/linger.h"
#include "frontend/link.h"
#include "frontend/origin.h"
#include "frontend/proxy2.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#define CLIENT_HOST_MAX 261 /* a name of 255 bytes with its port */

struct acceptor;
struct conn;
struct deliveries;
struct delivery;
struct exchange;
struct park;
struct piece;
struct place;
struct streams;
struct tls;

/* ---- a connection ---- */

/* Stage of a connection, for time limits (pace.c) and the choice of whom to close (place.c). */
enum stage {
    STAGE_NEW,     /* not set up: in no list */
    STAGE_OPENING, /* accepted; its PROXY header or TLS handshake is under way */
    STAGE_IDLE,    /* nothing of a request has come */
    STAGE_HEAD,    /* a part of a head has come */
    STAGE_BODY,    /* a body is received, or received and dropped */
    STAGE_SERVED,  /* a request is served; the client has taken all earlier output */
    STAGE_ANSWER   /* a part of an answer is not taken yet */
};

/* Lists of connections, by stages that have the same rules. */
enum pace_list { PACE_IDLE, PACE_HEAD, PACE_MOVING, PACE_LISTS };

/* pace.c: how long it is in its stage, how fast its bytes move. */
struct pace {
    enum stage stage;
    int64_t since;    /* s, of struct paces: when the stage began */
    int64_t credit;   /* bytes that it may fall behind --min-rate */
    uint64_t came;    /* bytes received since the last tick */
    uint64_t written; /* bytes handed to the kernel */
    uint64_t taken;   /* of these, acknowledged by the client as of the last tick */
    struct conn *prev, *next;
};

/* place.c: the address for which it counts. */
struct placed {
    struct place *place; /* NULL: none yet */
    bool lasts;          /* counts as a long one: poll, download */
    struct conn *prev, *next;
};

/* client.c: whose it is. */
struct client {
    struct address address;     /* for the whole connection */
    bool relayed;               /* from a trusted proxy: headers name each request's client */
    const char *scheme;         /* of the current request: "http", "https", "": not known */
    struct proxy2 *header;      /* the PROXY header that is being read; NULL: none */
    char host[CLIENT_HOST_MAX]; /* of the current request, as a proxy names it; "": it does not */
};

/* conn.c. A connection's states are those of its intake (intake.h); the flags here say what ends
 * it or comes before HTTP. */
struct conn {
    struct server *server;
    struct evhttp_connection *evcon; /* the key of server->conns; NULL: not set up yet */
    struct bufferevent *bev;
    struct intake intake;
    struct exchange *exchange; /* the request that is being served; NULL: none */
    struct delivery *delivery; /* of the claim that was answered last; NULL: it is settled */
    struct event
        *hook;    /* work of this turn of the loop that must not run inside libevent's calls */
    bool feeding; /* we are changing the library's input: on_input ignores it */
    bool tls;
    bool opening; /* its PROXY header or TLS handshake is under way */
    bool failed;  /* that header is bad: the hook closes the connection */
    bool broken;  /* the library and the intake disagree: the hook closes the connection */
    bool ended;   /* TLS: its client sends no more, but waits for its answers */
    bool polls;   /* its request may wait long: a client that ends its sending side has left */
    struct library {
        bufferevent_data_cb read, write; /* NULL: none */
        bufferevent_event_cb event;
    } library; /* callbacks of libevent's HTTP, for which conn.c's stand in */
    struct pace pace;
    struct placed placed;
    struct client client;
    char peer[INET6_ADDRSTRLEN]; /* address of the request's client, of the connection's between
                                    requests; "": none (unix socket) */
    UT_hash_handle hh;
};

/* ---- the process ---- */

/* proxies.c: settings about trusted proxies. */
struct proxies {
    struct forwarded_rules rules;
    bool protocol; /* connections of trusted proxies begin with a PROXY header */
};

/* pace.c. */
struct paces {
    struct conn *lists[PACE_LISTS]; /* those that stand longest first */
    int64_t now;                    /* s */
    int64_t ticked;                 /* ms: the last tick */
};

struct server {
    const struct config *cfg;
    unsigned slot; /* of the process, see prefork.h */
    struct event_base *base;
    struct evhttp *http;
    struct tls *tls; /* NULL: plain HTTP */
    struct proxies proxies;
    struct acceptor *acceptor;
    struct event *tick;   /* each second */
    struct conn *writing; /* conn.c: whose write callback runs; NULL: none, or it was closed */
    struct link *link;
    struct deliveries *deliveries;
    struct park *park;
    struct streams *streams;
    /* Set by http.c, called by conn.c, which is below those that serve requests: */
    void (*body_done)(struct conn *c);       /* a body that was let is complete or given up */
    void (*client_gone)(struct exchange *x); /* its connection is about to be freed */
    struct body_limits bodies;
    struct origin_rules origins;
    struct conn *conns;    /* by their evhttp_connection */
    struct evbuffer *kept; /* scratch of conn.c */
    size_t conns_len;      /* also those that are not set up yet */
    size_t places_max;     /* connections, see place.h */
    size_t places_address; /* of one address */
    struct place *places;  /* by address */
    struct paces paces;
    struct timeval silence; /* longest of a client, between requests and within one */
    struct lingering lingering;
    struct exchange *for_room; /* large bodies that wait for memory, see forward.h */
    struct event *look_for_room;
    size_t pieces_under_way;      /* of files, see piece.h */
    struct piece *pieces_waiting; /* for their turn */
    bool draining;                /* every answer ends its connection */
};

#endif
