/* The requests that a broker holds, waiting or in the hands of a worker. No sockets, no clock:
 * `now` (milliseconds, monotonic) is passed in.
 *
 * Each service has a list of runnable requests in arrival order. A request with a key waits in the
 * lane of its key; only the lane's first stands in the runnable list, and none while a bundle of
 * the lane is in hand. So requests of one key run a bundle at a time, in order, and never block
 * others; every operation is O(1). */
#ifndef BROKER_QUEUE_H
#define BROKER_QUEUE_H

#include "common/bus.h"

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#define BUNDLE_BYTES_MAX ((size_t)256 * 1024)
#define ATTEMPTS_MAX     5 /* a request that outlived this many workers is not tried again */

struct lane;
struct peer;

struct work {
    struct bus_header header; /* as it came; attempt is raised when it is queued again */
    zmq_msg_t payload;        /* kept until the answer, for sending it again */
    size_t size;
    int64_t deadline;
    struct peer *frontend;            /* a reference */
    struct peer *worker;              /* who has it in hand; NULL while it waits */
    struct lane *lane;                /* NULL without a key */
    bool runnable;                    /* stands in the runnable list, else in its lane's */
    struct work *prev, *next;         /* runnable list, lane's list, or the worker's hand */
    struct work *age_prev, *age_next; /* all that wait, by arrival */
    UT_hash_handle hh;                /* all, by id */
};

struct queue {
    size_t limit_count, limit_bytes;
    size_t waiting, bytes; /* requests that wait; bytes of all that are held */
    size_t waiting_of[SERVICE_COUNT_];
    struct work *runnable[SERVICE_COUNT_];
    struct work *by_age;
    struct work *by_id;
    struct lane *lanes;
};

void queue_init(struct queue *q, size_t limit_count, size_t limit_bytes);

/* The request with this id, waiting or in hand, or NULL. */
struct work *queue_find(struct queue *q, const uint8_t id[BUS_ID_SIZE]);

/* Adds a new request, whose id must not be there. Takes the payload and a reference to `frontend`
 * on success. ERR_FULL: nothing is taken. */
enum err queue_add(struct queue *q, const struct bus_header *h, zmq_msg_t *payload,
                   struct peer *frontend, int64_t now) MUST_CHECK;

/* Takes the next bundle of a service for `worker`: the first runnable request, with more of its
 * lane (as many as fit) or, when it has no key, further ones without a key up to `share`. Requests
 * that are past their deadline or whose frontend is gone are given to `drop` instead, which must
 * queue_remove them. Returns the number taken into works[]. */
size_t queue_take(struct queue *q, enum service service, size_t share, struct peer *worker,
                  int64_t now, struct work *works[BUS_BUNDLE_MAX],
                  void (*drop)(struct work *w, void *arg), void *arg);

/* Puts a request that is in hand back in front of all others; the attempt is raised. Call it for
 * the youngest first, so that their order is kept. */
void queue_put_back(struct queue *q, struct work *w);

/* Forgets a request, waiting or in hand, and frees it. */
void queue_remove(struct queue *q, struct work *w);

/* Gives requests that wait past their deadline to `drop`. Looks from the oldest on and stops at the
 * first that has time left: a younger one with less time is found when it is taken. */
void queue_expire(struct queue *q, int64_t now, void (*drop)(struct work *w, void *arg), void *arg);

/* Forgets everything. */
void queue_free(struct queue *q);

#endif
