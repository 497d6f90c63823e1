/* One webhook worker process: what its files share.
 *
 * A post is a request that has brought an event and waits for its answer. An attempt is an event
 * that this process has claimed. Both stand with the lane they belong to: a lane is known here as
 * long as it has an attempt or posts. */
#ifndef WORKER_WEBHOOK_DISPATCHER_H
#define WORKER_WEBHOOK_DISPATCHER_H

#include "common/hash.h"
#include "worker/buslink.h"
#include "worker/call.h"
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
    void *sockets[BROKERS_MAX]; /* that these watch */
    struct buslink link;
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
};

/* ---- attempts.c ---- */

/* Takes a claimed event (its texts too) and tries it, at once or when its receiver has room. */
void attempt_begin(struct dispatcher *d, struct outbox_event *e, int64_t lease_end);
/* transfer_done_fn; arg is the attempt. */
void attempt_done(void *arg, const struct outcome *o, struct text answer);
/* Begins what may begin at the receivers, and ends what has waited too long. */
void attempts_turn(struct dispatcher *d);
/* Settles what has ended, and answers the posts that waited for it. */
void attempts_settle(struct dispatcher *d);
/* Claims lanes that are due, when it is time. */
void attempts_claim(struct dispatcher *d);
/* Ends what waits for its turn, without a try; at the end of the process. */
void attempts_put_back(struct dispatcher *d);
/* Of a lane that is forgotten with it. */
void attempt_free(struct attempt *a);

/* ---- posts.c ---- */

/* Takes a call's event and lets the request wait for what becomes of it. */
void post_begin(struct dispatcher *d, struct call *c, const struct buslink_item *item,
                size_t broker);
/* The lane's attempt `a` has ended and is settled: answers its posts, as far as that is their
 * answer. */
void posts_attempt_ended(struct dispatcher *d, struct lane *l, const struct attempt *a);
/* Looks after posts whose lane another process has, and after those whose time is over. */
void posts_turn(struct dispatcher *d);
/* Milliseconds until posts_turn has something to do, at most `most`. */
int64_t posts_due(const struct dispatcher *d, int64_t most);

/* ---- lanes.c ---- */

/* Finds or makes; NULL from lane_find: it is not known here. */
struct lane *lane_get(struct dispatcher *d, const char *id, const char *receiver);
struct lane *lane_find(struct dispatcher *d, const char *id);
/* Forgets a lane without attempt and posts. */
void lane_rest(struct dispatcher *d, struct lane *l);
/* Claims the lane's head and begins its attempt, where no other process has the lane. */
void lane_claim(struct dispatcher *d, struct lane *l);
/* Forgets all, with their attempts and posts; at the end, after the transfers. */
void lanes_free(struct dispatcher *d);

/* ---- dispatcher.c ---- */

/* The store, opened again when it was away; NULL: it is away. */
struct store *dispatcher_store(struct dispatcher *d);

/* Serves until stop_fd is readable, then ends what is in hand within the grace time. Returns an
 * exit status. */
int dispatcher_run(const struct config *cfg, const char *store_uri, int stop_fd);

#endif
