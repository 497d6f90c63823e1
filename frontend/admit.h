/* Admission: watches the bytes of a connection before the HTTP library parses them.
 *
 * libevent 2.1 resets a connection whose body is too large, keeps chunked bodies without a limit
 * that a client could understand, and answers malformed heads with pages of its own. So every head
 * is read here first; it is passed on when it is in order and its body within its route's limit.
 * Else its body is read and dropped, and the library gets a small request in its place with a
 * verdict header, whose name holds a random number so that no client can forge it. A chunked body is
 * collected here, within its limit, and passed on with a Content-Length. */
#ifndef FRONTEND_ADMIT_H
#define FRONTEND_ADMIT_H

#include "frontend/head.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stdint.h>

/* Bodies that are refused are read to their end up to this size, since many clients read the answer
 * only then; beyond it the answer comes at once and the connection is closed. */
#define ADMIT_DISCARD_MAX ((uint64_t)64 * 1024 * 1024)

struct admit_limits {
    uint64_t memory_max;  /* bytes of bodies that the process may hold */
    uint64_t memory_used; /* reserved by all connections */
    char verdict_header[48];
};

enum admit_state {
    ADMIT_HEAD,
    ADMIT_BODY,    /* passes on `left` bytes */
    ADMIT_DISCARD, /* drops `left` bytes, then gives the verdict */
    ADMIT_CHUNK_SIZE,
    ADMIT_CHUNK_DATA,
    ADMIT_CHUNK_END, /* the line end after a chunk's data */
    ADMIT_TRAILER,
    ADMIT_CLOSED     /* drops everything: the connection ends */
};

/* One connection. */
struct admit {
    struct admit_limits *limits;
    enum admit_state state;
    struct evbuffer *raw;     /* what came and is not decided yet */
    uint64_t left;
    uint64_t reserved;        /* of memory_used: bodies whose requests are not answered */
    uint64_t limit;           /* of the body that is being collected */
    uint64_t trailer;         /* bytes of trailers seen */
    int verdict;              /* to give when the discarding is done; 0: none */
    bool chunk_verdict;       /* the chunked body is over its limit and dropped */
    struct evbuffer *head;    /* chunked: the head, kept until the body is complete */
    struct evbuffer *body;    /* chunked: the body so far */
    bool wants_continue;      /* out: the caller sends "100 Continue" and clears it */
};

/* Prepares the limits; false without randomness. */
bool admit_limits_init(struct admit_limits *l, uint64_t memory_max);

void admit_init(struct admit *a, struct admit_limits *limits);

/* Decides about what `in` holds (all of it is taken) and appends what may pass to `out`. */
void admit_feed(struct admit *a, struct evbuffer *in, struct evbuffer *out);

/* True between requests: nothing of a request has come that was not passed on. */
bool admit_is_idle(const struct admit *a);

/* The request with this body length is answered: its memory counts no more. */
void admit_release(struct admit *a, uint64_t body_len);

void admit_done(struct admit *a);

#endif
