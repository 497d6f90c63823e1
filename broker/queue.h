/* The requests that a broker holds, waiting or in the hands of workers. No sockets and no clock:
 * `now` (ms, monotonic) is an argument.
 *
 * Order. Requests are numbered as they come. Runnable ones stand in two heaps a service by number,
 * those that may write apart: they can wait alone. A
 * request that is put back keeps its number, so it comes before younger ones. Requests with a key
 * wait in the key's lane: only the lane's oldest is runnable, and none while others of the lane are
 * in hand. So requests of one key run in order, one bundle at a time, and block no other key.
 *
 * Big requests (big.h) that may run stand in a heap of their own. Whether a request is big is
 * decided when it comes, and again when it is about to go to a worker.
 *
 * Releases. While workers of two releases are connected, requests of operations that only some of
 * them know stand apart: `rare`, or `unknown` while no worker knows them. The latter end UNKNOWN_MS
 * before their deadline, so that the reason reaches the client.
 *
 * Deadlines. All waiting requests stand in a second heap by deadline.
 *
 * Every operation is O(log n) of the waiting requests. */
#ifndef BROKER_QUEUE_H
#define BROKER_QUEUE_H

#include "broker/big.h"
#include "broker/pace.h"
#include "broker/work.h"

#include <stdbool.h>
#include <stdint.h>

#define BUNDLE_BYTES_MAX ((size_t)256 * 1024)

struct queue {
    size_t limit_count, limit_bytes;
    size_t waiting; /* number of waiting requests */
    size_t waiting_of[SERVICE_COUNT_];
    size_t held;  /* requests waiting or in hand */
    size_t bytes; /* of all held requests, with their payloads */
    int64_t last_number;
    /* Of operations that all workers know: requests that only read, and the others. */
    struct heap reads[SERVICE_COUNT_], writes[SERVICE_COUNT_];
    struct heap rare[SERVICE_COUNT_], unknown[SERVICE_COUNT_];
    struct {
        bool told; /* a worker of the service is connected */
        struct bus_ops all, some;
    } known[SERVICE_COUNT_];
    struct big big; /* SERVICE_API only: workers of the other services have windows */
    struct pace pace;
    struct heap due;
    struct work *by_id;
    struct lane *lanes;
    struct work *spare; /* free lists */
    struct lane *spare_lanes;
    size_t spare_len, spare_lanes_len;
};

/* Limits: number of waiting requests; bytes held. */
void queue_init(struct queue *q, size_t limit_count, size_t limit_bytes);

/* Frees everything. */
void queue_free(struct queue *q);

/* The request with this id; NULL: none. */
struct work *queue_find(struct queue *q, const uint8_t id[BUS_ID_SIZE]);

/* Logins may take 1/4 of the places, so that a flood of them leaves some to other requests. */
#define QUEUE_LOGIN_SHARE 4

/* Adds a request with an unknown id, and takes its payload. ERR_FULL: a limit is reached, the
 * caller keeps the payload. An empty queue accepts a request beyond the byte limit. */
enum err queue_add(struct queue *q, const struct bus_header *h, zmq_msg_t *payload,
                   struct peer *frontend, int64_t now) MUST_CHECK;

/* What a worker may get now: */
enum queue_kinds { QUEUE_READS, QUEUE_ALL };

/* Number of requests of a service that may run now; a lane counts as one. */
size_t queue_runnable(const struct queue *q, enum service service, enum queue_kinds kinds);

/* Whether they fill a bundle. O(BUS_BUNDLE_MAX). */
bool queue_fills_bundle(const struct queue *q, enum service service, enum queue_kinds kinds);

/* Puts the next bundle of a service into the hand of `worker` and returns its length: the oldest
 * runnable requests, within the worker's room, BUNDLE_BYTES_MAX (payloads and expected answers, at
 * least one request), BUNDLE_US and `share`. A lane counts as one towards `share`, with all of its
 * requests that fit. 0: all runnable requests turned out to be big and were moved there. */
size_t queue_take(struct queue *q, enum service service, enum queue_kinds kinds, size_t share,
                  struct peer *worker, struct work *works[BUS_BUNDLE_MAX], int64_t now);

/* Sets which operations all and some workers of a service know. `told` false: no worker, any
 * operation may turn out to be known. O(n log n) of the rare and unknown requests after a change.
 */
void queue_set_known(struct queue *q, enum service service, bool told, const struct bus_ops *all,
                     const struct bus_ops *some);

/* Puts a rare request that this worker knows into its hand; NULL: none among the oldest ones. */
struct work *queue_take_rare(struct queue *q, enum service service, struct peer *worker,
                             int64_t now);

/* Whether no worker knows the operation of a waiting request. */
bool queue_is_unknown(const struct queue *q, const struct work *w);

/* The operation's number on the bus; BUS_OPS_MAX + 1: not in the header, treated as known to every
 * worker. */
unsigned work_op(const struct work *w);

/* Puts the first big request into the hand of `worker`; NULL: none. Call it only if big_may_run. */
struct work *queue_take_big(struct queue *q, struct peer *worker, int64_t now);

/* Records the size of the answer to a request in hand and the time it took; call it before
 * queue_remove. */
void queue_note_answer(struct queue *q, const struct work *w, size_t bytes, uint32_t took_us,
                       int64_t now);

/* Moves a request from its worker's hand back to its old place. Put a worker's requests back
 * youngest first: each goes to the head of its lane. */
void queue_put_back(struct queue *q, struct work *w);

/* Removes and frees a request, waiting or in hand. */
void queue_remove(struct queue *q, struct work *w);

/* Sets the receiver of the answer; NULL: none. */
void queue_attach(struct work *w, struct peer *frontend);

/* Drops the waiting requests of a frontend that is gone; those in hand continue without a receiver.
 */
void queue_frontend_gone(struct queue *q, struct peer *frontend);

/* The earliest deadline of the waiting requests; INT64_MAX: none. */
int64_t queue_next_due(const struct queue *q);

/* A waiting request whose deadline has come, or NULL. */
struct work *queue_due(const struct queue *q, int64_t now);

#endif
