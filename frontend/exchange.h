/* One request that is served: it goes to the bus and its reply comes back. It may outlive its
 * client.
 *
 * Its states: the body is asked for (forward.c: ask), is received (let), waits for memory
 * (wait_for_room); the request is with a worker; then what its kind does: a poll stands (park.c), a
 * file is stored or read piece by piece (upload.c, download.c). `client_gone` says what happens in
 * that state when the client goes. */
#ifndef FRONTEND_EXCHANGE_H
#define FRONTEND_EXCHANGE_H

#include "frontend/conn.h"

/* The callbacks of a kind of request. NULL: nothing to do. */
struct exchange_kind {
    size_t size; /* bytes of its struct, whose first member is struct exchange */
    /* The request and its body are complete. True: it is to be packed and sent; false: the kind has
     * taken the exchange over, or answered and freed it. `r` is used during the call only. */
    bool (*begin)(struct exchange *x, const struct request *r);
    void (*packed)(struct exchange *x); /* link.payload is what is sent next */
    link_done_fn *reply;                /* of the request */
    void (*free)(struct exchange *x);   /* what it holds beyond struct exchange */
};

/* All zeros but the kind and what forward_begin() fills in. */
struct exchange {
    struct link_request link; /* first member */
    const struct exchange_kind *kind;
    struct server *server;
    struct conn *conn;          /* NULL: the client is gone, or has its answer */
    struct evhttp_request *req; /* likewise */
    struct intake_item *item;   /* of the request; owned */
    const struct route *route;
    unsigned method; /* enum metric_method */
    char id[REQUEST_ID_SIZE];
    int64_t began_us;                        /* monotonic; 0: metrics are off */
    struct body body;                        /* until it is packed */
    struct budget_share held;                /* memory of the packed request, or of parts */
    void (*client_gone)(struct exchange *x); /* may free it; NULL: nothing is to be done */
    int64_t give_up;                         /* ms, monotonic: it waits no longer for memory */
    struct exchange *prev, *next;            /* those that wait for memory */
};

/* The kind of most requests: one message to a worker, one reply. */
extern const struct exchange_kind exchange_plain;

struct exchange *exchange_new(const struct exchange_kind *kind);

/* Frees the exchange and what it holds of the connection. */
void exchange_free(struct exchange *x);

/* Answers if the client is still there, and frees: with `e` (logged), or with the reply. A claimed
 * job that cannot be handed out goes back to its queue. */
void exchange_end(struct exchange *x, enum err e, const struct reply *reply);

/* server->client_gone: called before the connection is freed. */
void exchange_client_gone(struct exchange *x);

/* For kinds that write their answer themselves: */

/* Adds the headers of the reply and those of every answer. */
void exchange_headers(struct exchange *x, const struct reply *reply);
/* Closes the connection with the answer, which is sent next. */
void exchange_close_after(struct exchange *x);
/* Counts the answer. */
void exchange_count(const struct exchange *x, int status);
/* Takes the request to answer it: it belongs to the connection alone from here on. NULL: the client
 * is gone. */
struct evhttp_request *exchange_detach(struct exchange *x);

#endif
