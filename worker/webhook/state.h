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
    int64_t until;                    /* ms, monotonic: answer at the latest then */
    bool brief;                       /* its receiver may be away: `until` is soon */
    int64_t look_at;                  /* next look into the store if the lane has no attempt here */
    int64_t pause;                    /* between looks */
    struct post *prev, *next;         /* of the lane */
    struct post *all_prev, *all_next; /* of the process, oldest first */
};

struct attempt {
    struct dispatcher *d;
    struct lane *lane;
    struct receiver *receiver;
    struct turn turn; /* place in the receiver's line */
    struct outbox_event event;
    int64_t lease_end; /* ms, monotonic */
    int64_t began_us;
    bool told; /* its posts have their answers */
    enum outbox_outcome verdict;
    int64_t due_ms;
    struct outcome outcome;
    char *answer; /* owned */
    size_t answer_len;
    struct attempt *prev, *next; /* in d->settled */
};

struct lane {
    char *id;
    char receiver[OUTBOX_LANE_SIZE];
    struct attempt *attempt;
    struct post *posts;
    UT_hash_handle hh;
};

struct dispatcher {
    const struct config *cfg;
    const char *store_uri;
    struct store *store; /* NULL: not open */
    int64_t store_tried;
    struct event_base *base;
    struct event *stop, *wait;
    struct event *readable[BROKERS_MAX];
    unsigned changes[BROKERS_MAX]; /* link.changes when `readable` was made */
    struct bus_client link;
    struct transfers *transfers;
    struct receivers *receivers;
    struct lane *lanes;
    struct post *posts;      /* all, oldest first */
    struct attempt *settled; /* ended attempts, not yet written to the store */
    size_t attempts;         /* in hand */
    size_t bytes;            /* of their bodies */
    int64_t claim_at;        /* ms, monotonic: next claim of due lanes */
    bool behind;       /* lanes may be due that found no room here: claim when there is some */
    int64_t settle_at; /* ms, monotonic: not before, after a failure */
    int64_t purge_at, rest_at;
    unsigned purges;
    bool stopping;
    struct bus_item items[2 * BUS_BUNDLE_MAX]; /* of one turn: 2 MB, too much for a stack */
    /* Called when an attempt has ended, to answer its posts; set by the dispatcher. */
    void (*attempt_ended)(struct dispatcher *d, struct lane *l, const struct attempt *a);
};

/* The store, opened again if that failed before; NULL: it is away. */
struct store *dispatcher_store(struct dispatcher *d);

#endif
