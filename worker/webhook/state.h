/* The state of one webhook worker process, which its files share.
 *
 * A post is a request that has brought an event and waits for its answer. An attempt is an event
 * that this process has claimed. Both stand with the lane they belong to: a lane is known here as
 * long as it has an attempt or posts. */
#ifndef WORKER_WEBHOOK_STATE_H
#define WORKER_WEBHOOK_STATE_H

#include "common/hash.h"
#include "worker/request/bus_client.h"
#include "worker/request/call.h"
#include "worker/webhook/receivers.h"
#include "worker/webhook/transfer.h"

#include <event2/event.h>

struct dispatcher;

struct post {
    struct lane *lane;
    size_t broker;
    uint8_t request_id[BUS_ID_SIZE];
    char event_id[REQUEST_ID_SIZE];
    int64_t until;            /* ms, monotonic: it is answered then in any case */
    int64_t look_at;          /* next look into the store, while its lane has no attempt here */
    int64_t pause;            /* between looks */
    struct post *prev, *next; /* of the lane */
    struct post *all_prev, *all_next; /* of the process, oldest first */
};

struct attempt {
    struct dispatcher *d;
    struct lane *lane;
    struct receiver *receiver;
    struct turn turn; /* at the receiver */
    struct outbox_event event;
    int64_t lease_end; /* ms, monotonic */
    int64_t began_us;
    bool told; /* its posts are answered already */
    enum outbox_outcome verdict;
    int64_t due_ms;
    struct outcome outcome;
    char *answer; /* owned */
    size_t answer_len;
    struct attempt *prev, *next; /* of those to be settled */
};

struct lane {
    char *id;
    char receiver[OUTBOX_LANE_SIZE];
    struct attempt *attempt;
    struct post *posts;
    bool again; /* its next event is to be claimed */
    UT_hash_handle hh;
};

struct dispatcher {
    const struct config *cfg;
    const char *store_uri;
    struct store *store; /* NULL: away */
    int64_t store_tried;
    struct event_base *base;
    struct event *stop, *wait;
    struct event *readable[BROKERS_MAX];
    unsigned changes[BROKERS_MAX]; /* as of link.changes when these were made */
    struct bus_client link;
    struct transfers *transfers;
    struct receivers *receivers;
    struct lane *lanes;
    struct post *posts;      /* all, oldest first */
    struct attempt *settled; /* attempts that have ended and are to be settled */
    size_t attempts;         /* in hand */
    size_t bytes;            /* of their bodies */
    int64_t claim_at;        /* ms, monotonic: next look for lanes that are due */
    int64_t settle_at;       /* not before, after a failure */
    int64_t purge_at, rest_at;
    unsigned purges;
    bool stopping;
    /* The attempt of a lane has ended and is settled; set by the dispatcher, for the posts. */
    void (*attempt_ended)(struct dispatcher *d, struct lane *l, const struct attempt *a);
};

/* The store, opened again when it was away; NULL: it is away. */
struct store *dispatcher_store(struct dispatcher *d);

#endif
