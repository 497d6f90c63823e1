/* Requests that cost much, big answers or big bodies: what bounds what the others notice of them.
 *
 * They wait apart, go to workers one at a time, and at most half of the workers (at least one) have
 * one in hand. Of a single worker they take turns with the others by time: after one has run, the
 * others have the worker for as long as it took, if there are any.
 *
 * Clients take turns by bytes: each request's turn is after that of the one before it of its
 * client's, by what that one costs (start-time fair queueing). So a client that asks for much waits
 * for itself, and not others for it. Clients whose hashes share a place take turns as one. */
#ifndef BROKER_BIG_H
#define BROKER_BIG_H

#include "broker/costs.h"
#include "broker/heap.h"

#include <stdbool.h>

/* A request of at least this many bytes, with the answer expected, is a big one. Sizes between a
 * bundle's and this one go alone, but as the others do. */
#define BIG_BYTES ((size_t)512 * 1024)

/* Of all places in the queue a client's big requests may take this part. */
#define BIG_CLIENT_SHARE 8

enum { BIG_CLIENTS = 1024 };

struct work;

struct big {
    struct heap waiting; /* by turn */
    size_t in_hand;
    int64_t turn; /* of the one that went last */
    struct {
        int64_t next; /* turn of its next request */
        size_t waiting;
    } clients[BIG_CLIENTS];
    int64_t began;       /* ms: when the last one went to a worker */
    int64_t rest_until;  /* ms: until then a single worker is for the others */
    int64_t other_began; /* ms: when the last of the others went to a worker */
    struct costs costs;
};

/* Whether the client of this request has as many big ones waiting as it may. */
bool big_is_crowded(const struct big *b, const struct bus_header *h, size_t limit_count);

/* Adds a waiting request; w->expected is set. Charges its cost to its client, once: a request that
 * is pushed again (its worker died) keeps its turn. */
void big_push(struct big *b, struct work *w);

/* Takes a request out of the heap; does nothing when it is not there. Its client stays charged. */
void big_remove(struct big *b, struct work *w);

/* Gives the client back what it was charged for a request that is dropped while it waits. */
void big_refund(struct big *b, struct work *w);

/* The request whose turn it is, or NULL. */
struct work *big_first(const struct big *b);

/* Whether one may go to a worker now. `others`: how many others wait and may run. */
bool big_may_run(const struct big *b, size_t workers, size_t others, int64_t now);

/* When the answer may change only because time passes; INT64_MAX: it does not. */
int64_t big_next_due(const struct big *b, int64_t now);

/* One went to a worker, was answered after that many ms. */
void big_began(struct big *b, int64_t now);
void big_answered(struct big *b, int64_t took, int64_t now);

#endif
