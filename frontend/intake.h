/* The intake of a connection: reads the framing of its requests before the HTTP library does.
 *
 * libevent 2.1 resets a connection whose body is too large, collects chunked bodies without a limit
 * that a client could understand, and answers malformed heads with pages of its own. So every head
 * is judged here first and every body is collected here, within the limit of its route; the library
 * gets heads without bodies. With each head that is passed on, an item with the body and the
 * verdict waits for whoever serves the request: first head, first item. */
#ifndef FRONTEND_INTAKE_H
#define FRONTEND_INTAKE_H

#include "frontend/body.h"
#include "frontend/head.h"

/* Bodies that are refused are read to their end up to this size, since many clients read the answer
 * only then; beyond it the answer comes at once and the connection is closed. */
#define INTAKE_DISCARD_MAX ((uint64_t)64 * 1024 * 1024)

struct intake_item {
    int verdict; /* 0: in order; else the status to answer: 400, 405, 413, 431, 503, 507 */
    struct body body;
    struct intake_item *next;
};

enum intake_state {
    INTAKE_HEAD,
    INTAKE_BODY, /* `left` bytes of the body */
    INTAKE_CHUNK_SIZE,
    INTAKE_CHUNK_DATA, /* `left` bytes of the chunk */
    INTAKE_CHUNK_END,  /* the line end after a chunk's data */
    INTAKE_TRAILER,
    INTAKE_CLOSED /* drops everything: the connection ends with the last item */
};

struct intake {
    struct body_limits *limits;
    enum intake_state state;
    struct evbuffer *raw;  /* what came and is not decided yet */
    struct evbuffer *head; /* of the request whose body is being read */
    struct body body;
    uint64_t limit;                   /* the body must stay below it */
    uint64_t left;                    /* see the states */
    uint64_t seen;                    /* bytes of the body, collected or dropped */
    uint64_t trailer;                 /* bytes of trailers */
    int verdict;                      /* not 0: the body is dropped */
    bool wants_continue;              /* out: the caller sends "100 Continue" and clears it */
    struct intake_item *first, **end; /* passed on and not taken yet */
};

void intake_init(struct intake *in, struct body_limits *limits);
void intake_done(struct intake *in);

/* Decides about what `from` holds (all of it is taken) and appends what the library may see to
 * `out`. */
void intake_feed(struct intake *in, struct evbuffer *from, struct evbuffer *out);

/* True when nothing of a request has come that was not passed on. */
bool intake_is_idle(const struct intake *in);

/* The item of the next request that the library hands over; the caller owns it. NULL: none. */
struct intake_item *intake_next(struct intake *in);
void intake_item_free(struct intake_item *item); /* NULL is fine */

#endif
