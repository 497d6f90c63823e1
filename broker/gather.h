/* What a ready worker gets. Workers without a window gather: requests wait for a worker at work and
 * fill its next bundle, whose requests share one wait for the disk, while the other workers sleep.
 * Another worker is woken only when the waiting requests fill a bundle, or when no worker at work
 * is expected to be free soon. An idle service hands a request out at once. */
#ifndef BROKER_GATHER_H
#define BROKER_GATHER_H

#include "broker/peers.h"
#include "broker/queue.h"

struct gather {
    size_t share;           /* for queue_take; 0: nothing now */
    enum queue_kinds kinds; /* of requests that the worker may get */
    int64_t look_us;        /* look again then, at the latest; INT64_MAX: nothing is kept waiting */
};

/* Decides for a ready worker. `hurry`: nothing is kept waiting (the queue is full). O(busy workers
 * + BUS_BUNDLE_MAX). */
struct gather gather_decide(const struct queue *q, const struct peers *workers,
                            enum service service, const struct peer *worker, bool hurry,
                            int64_t now_us);

/* In a store with one writer, requests that may write go to one worker at a time. After this time
 * they go to another one: the first may hang before it writes. */
#define GATHER_WRITER_US 500000

#endif
