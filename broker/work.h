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
    struct bus_header header;           /* as it came, but for `attempt` */
    zmq_msg_t payload;                  /* kept until the answer, for sending it again */
    int64_t deadline;                   /* ms */
    int64_t came;                       /* ms */
    unsigned deaths;                    /* of workers that had it in hand */
    struct peer *frontend;              /* who gets the answer; NULL: gone */
    struct peer *worker;                /* who has it in hand; NULL: it waits */
    struct lane *lane;                  /* NULL without a key */
    struct heap_node order;             /* in the heap of its service, by number */
    struct heap_node turn;              /* in that of big requests instead */
    int64_t charged;                    /* units of turn that its client paid for it; 0: none */
    size_t expected;                    /* bytes: payload and what the answer will probably have */
    int64_t began;                      /* ms: when it went to its worker */
    bool is_big;                        /* in hand as a big one */
    struct heap_node due;               /* in the heap of deadlines */
    struct work *prev, *next;           /* its lane while it waits, the worker's hand */
    struct work *sent_prev, *sent_next; /* the frontend's */
    UT_hash_handle hh;                  /* all, by id */
};

#endif
