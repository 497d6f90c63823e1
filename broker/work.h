/* One request that a broker holds. */
#ifndef BROKER_WORK_H
#define BROKER_WORK_H

#include "broker/heap.h"
#include "common/bus.h"
#include "common/hash.h"

#include <stdbool.h>
#include <stdint.h>

struct lane;
struct peer;

struct work {
    struct bus_header header;           /* as received; each death adds 1 to `attempt` */
    zmq_msg_t payload;                  /* kept until the answer, for a repeat */
    int64_t deadline;                   /* ms */
    int64_t came_us;                    /* us, monotonic */
    unsigned deaths;                    /* workers that were lost with it in hand */
    struct peer *frontend;              /* gets the answer; NULL: gone */
    struct peer *worker;                /* has it in hand; NULL: it waits */
    struct lane *lane;                  /* NULL without a key */
    struct heap *runs;                  /* the heap of `order`; NULL: none */
    struct heap_node order;             /* in one of the queue's heaps, by number */
    struct heap_node turn;              /* in big.waiting, by turn */
    int64_t charged;                    /* units of turn charged to its client; 0: none */
    size_t expected;                    /* bytes: payload and expected answer */
    int64_t began;                      /* ms: when its worker got it */
    bool is_big;                        /* counted in big.in_hand */
    bool writes;                        /* may change the store */
    struct heap_node due;               /* in queue.due, by deadline, while it waits */
    struct work *prev, *next;           /* lane.waiting, or peer.hand */
    struct work *sent_prev, *sent_next; /* frontend.sent */
    UT_hash_handle hh;                  /* queue.by_id */
};

#endif
