/* The requests that a broker holds: those that wait and those in the hands of workers. No sockets,
 * no clock: `now` (milliseconds, monotonic) is passed in.
 *
 * Order. Every request gets a number when it comes. What may run stands in a heap by that number,
 * one a service; one that is put back keeps its number, so it comes before all younger ones. A
 * request with a key waits in the lane of its key; only the lane's oldest stands in the heap, and
 * none while requests of the lane are in hand. So the requests of one key run in order and one
 * bundle at a time, and never block others.
 *
 * Big requests (big.h) that may run stand in a heap of their own. Whether one is big is found out
 * when it comes, and again when its turn among the others has come.
 *
 * Deadlines. All that wait stand in a second heap, by deadline: requests come with different times
 * to live, and one that is late is found in time without looking at the others.
 *
 * Every operation is O(log n) of the requests that wait, and close to O(1) while few do. */
#ifndef BROKER_QUEUE_H
#define BROKER_QUEUE_H

#include "broker/big.h"
#include "broker/work.h"

#include <stdbool.h>
#include <stdint.h>

#define BUNDLE_BYTES_MAX ((size_t)256 * 1024)

struct queue {
    size_t limit_count, limit_bytes;
    size_t waiting; /* requests that wait */
    size_t waiting_of[SERVICE_COUNT_];
    size_t held;  /* requests that wait or are in hand */
    size_t bytes; /* of all that are held */
    int64_t last_number;
    struct heap runnable[SERVICE_COUNT_];
    struct big big; /* of SERVICE_API alone: workers of the others take their requests one by one */
    struct heap due;
    struct work *by_id;
    struct lane *lanes;
    struct work *spare; /* memory for the next requests and lanes */
    struct lane *spare_lanes;
    size_t spare_len, spare_lanes_len;
};

/* Limits: requests that wait; bytes that are held. */
void queue_init(struct queue *q, size_t limit_count, size_t limit_bytes);

/* Forgets everything. */
void queue_free(struct queue *q);

/* The request with this id, or NULL. */
struct work *queue_find(struct queue *q, const uint8_t id[BUS_ID_SIZE]);

/* Logins may hold this part of the places: a flood of them must leave some to the others. */
#define QUEUE_LOGIN_SHARE 4

/* Adds a new request, whose id must not be there, and takes its payload. ERR_FULL: it would pass a
 * limit, nothing is taken; one that alone passes the limit of bytes is taken when nothing else is
 * held. */
enum err queue_add(struct queue *q, const struct bus_header *h, zmq_msg_t *payload,
                   struct peer *frontend, int64_t now) MUST_CHECK;

/* Number of requests of a service that may run now, all of a lane counted as one. */
size_t queue_runnable(const struct queue *q, enum service service);

/* Takes the next bundle of a service into the hands of `worker`: the oldest runnable requests, at
 * most BUNDLE_BYTES_MAX of payload and expected answers (but at least one request), as many as it
 * has room for, and at most `share` of them, where a lane counts as one: all that waits in it and
 * fits goes along. Returns the number of works[], 0 when all that stood there are big requests:
 * they were put among those. */
size_t queue_take(struct queue *q, enum service service, size_t share, struct peer *worker,
                  struct work *works[BUS_BUNDLE_MAX], int64_t now);

/* Takes the big request whose turn it is, and NULL when there is none. Whether it may run is up to
 * the caller (big_may_run). */
struct work *queue_take_big(struct queue *q, struct peer *worker, int64_t now);

/* Notes what the answer to a request in hand costs, before it is removed. */
void queue_note_answer(struct queue *q, const struct work *w, size_t bytes, int64_t now);

/* Lets a request that is in hand wait again, before all younger ones. Give a worker's requests back
 * youngest first. */
void queue_put_back(struct queue *q, struct work *w);

/* Forgets a request, waiting or in hand. */
void queue_remove(struct queue *q, struct work *w);

/* The answer goes to `frontend` from now on; NULL: to nobody. */
void queue_attach(struct work *w, struct peer *frontend);

/* Forgets what a frontend that is gone waits for; what is in hand goes on without a receiver. */
void queue_frontend_gone(struct queue *q, struct peer *frontend);

/* The earliest deadline of a request that waits; INT64_MAX when none does. */
int64_t queue_next_due(const struct queue *q);

/* A request that waits and whose deadline has come, or NULL. */
struct work *queue_due(const struct queue *q, int64_t now);

#endif
