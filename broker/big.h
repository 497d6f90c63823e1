/* Big requests: those with a large body or a large expected answer. Keeps them from delaying the
 * small ones.
 *
 * Big requests wait in a heap of their own and go to workers one at a time; at most half of the
 * workers (at least one) have one in hand. A single worker is shared by time: after a big request
 * that took T ms, small ones have the worker for T ms, if any wait.
 *
 * Start-time fair queueing by client: a request's turn is that of its client's previous one plus
 * the previous one's cost in bytes, so a client that asks for much delays only itself. Clients
 * whose hashes fall into the same place share their turns. */
#ifndef BROKER_BIG_H
#define BROKER_BIG_H

#include "broker/costs.h"
#include "broker/heap.h"

#include <stdbool.h>

/* A request is big from this many bytes on, body and expected answer together. One between
 * BUNDLE_BYTES_MAX and this is a bundle of its own in the ordinary order. */
#define BIG_BYTES ((size_t)512 * 1024)

/* A client's big requests may take 1/8 of the places in the queue. */
#define BIG_CLIENT_SHARE 8

enum { BIG_CLIENTS = 1024 };

struct work;

struct big {
    struct heap waiting; /* by turn */
    size_t in_hand;
    int64_t turn; /* turn of the last request that went to a worker */
    struct {
        int64_t next; /* turn of its next request */
        size_t waiting;
    } clients[BIG_CLIENTS];
    int64_t began;       /* ms: when the last big request went to a worker */
    int64_t rest_until;  /* ms: until then a single worker is for small requests */
    int64_t other_began; /* ms: when the last small request went to a worker */
    struct costs costs;
};

/* Whether the request's client has its share of big requests waiting already. */
bool big_is_crowded(const struct big *b, const struct bus_header *h, size_t limit_count);

/* Adds a waiting request whose w->expected is set, and charges its client once: a request pushed
 * again (its worker died) keeps its turn. */
void big_push(struct big *b, struct work *w);

/* Removes a request from the heap, if it is there. Its client stays charged. */
void big_remove(struct big *b, struct work *w);

/* Refunds the client for a request that is dropped while it waits. */
void big_refund(struct big *b, struct work *w);

/* The request with the first turn; NULL: none. */
struct work *big_first(const struct big *b);

/* Whether a big request may go to a worker now. `others`: number of runnable small requests. */
bool big_may_run(const struct big *b, size_t workers, size_t others, int64_t now);

/* The time, ms, at which big_may_run may change by itself; INT64_MAX: never. */
int64_t big_next_due(const struct big *b, int64_t now);

/* Records that a worker got a big request; that it answered after `took` ms. */
void big_began(struct big *b, int64_t now);
void big_answered(struct big *b, int64_t took, int64_t now);

#endif
