/* The outbox: webhook events from their acknowledgement until delivery or the last retry.
 *
 * The events of one job to one receiver form a lane. Only the oldest pending event of a lane, its
 * head, is tried, by the dispatcher that has claimed the lane: under a token, until the lease ends.
 * A lane is due when its head is to be tried next or, while claimed, when the lease ends: so the
 * lanes of a dead dispatcher become due by themselves.
 *
 * Times are those of store_now_ms(); the order within a lane is the store's. Texts hold
 * no NUL. */
#ifndef WORKER_STORE_OUTBOX_H
#define WORKER_STORE_OUTBOX_H

#include "common/envelope.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

#define OUTBOX_ANSWER_MAX 4096 /* bytes that are kept of a receiver's answer */
#define OUTBOX_TOKEN_SIZE 48   /* with its NUL */
#define OUTBOX_LANE_SIZE  512  /* with its NUL */

enum outbox_state { OUTBOX_PENDING, OUTBOX_DELIVERED, OUTBOX_DEAD };

/* An event to keep. Receivers detect repeats by the id: a stored event of that id stays as it is. A
 * pending or dead event of the lane with the same URL and body is the same event (agents repeat a
 * post whose answer they did not like): it is kept instead, and a dead one becomes pending again.
 *
 * With `token`, and when nothing of the lane was waiting, the lane is claimed with this event as
 * its head. */
struct outbox_add {
    const char *id; /* UUID text */
    const char *job_id;
    const char *lane;     /* see outbox_lane() */
    const char *receiver; /* "https://host:port" */
    const char *url;
    const char *body;
    const char *token; /* NULL: do not claim */
    int64_t now_ms;
    int64_t lease_end_ms;
    enum err err;                    /* out; also ERR_TOO_LARGE */
    char stored_id[REQUEST_ID_SIZE]; /* out: of the event that is kept */
    enum outbox_state state;         /* out: not pending only where the id was there */
    bool claimed;                    /* out */
};

/* The head of a claimed lane. Owns its texts; outbox_event_free(). */
struct outbox_event {
    char id[REQUEST_ID_SIZE];
    char *lane, *job_id, *receiver, *url, *body;
    size_t body_len;
    int64_t since_ms; /* when it came, or became pending again */
    int64_t tries;    /* since then */
    int64_t wake;     /* changes with every event added to the lane; for the store only */
    bool more;        /* others wait behind it */
    char token[OUTBOX_TOKEN_SIZE];
};

void outbox_event_free(struct outbox_event *e);

/* Claims at most `limit` lanes that are due, longest due first. Skips the receivers in `exclude`
 * and those that accept() refuses. With `lane` only that one, even before it is due, but not while
 * it is claimed. */
struct outbox_claim {
    const char *lane;  /* NULL: all */
    const char *token; /* not used before */
    int64_t now_ms;
    int64_t lease_end_ms;
    size_t limit; /* at most OUTBOX_CLAIM_MAX */
    const char *const *exclude;
    size_t exclude_len;
    bool (*accept)(void *arg, const char *receiver);
    void *arg;
    struct outbox_event *events; /* out: the caller's array of `limit` */
    size_t len;                  /* out */
    bool more;                   /* out: others may be due, also refused ones */
};

#define OUTBOX_CLAIM_MAX 64

enum outbox_outcome {
    OUTBOX_DONE,    /* delivered */
    OUTBOX_RETRY,   /* try again at due_ms */
    OUTBOX_GIVE_UP, /* becomes a dead letter */
    OUTBOX_PUT_BACK /* not tried; due at due_ms */
};

/* The outcome of a claimed event. DONE and GIVE_UP release the lane for its next event at once. A
 * lease lost meanwhile is no error: the receiver's answer is kept in any case. */
struct outbox_settle {
    const struct outbox_event *event;
    enum outbox_outcome outcome;
    int64_t now_ms, due_ms;
    const char *reason; /* "connection refused"; not for DONE and PUT_BACK */
    int status;         /* of the last answer, 0: there was none */
    struct text answer; /* its text, cut to OUTBOX_ANSWER_MAX; any bytes */
};

/* What a try makes of an event. */
struct outbox_after {
    bool tried; /* one more try, with its answer; else the event stays as it is */
    enum outbox_state state;
    bool over;      /* the next event of the lane is its head; without one the lane is removed */
    int64_t due_ms; /* of the lane */
    struct text answer; /* what is kept of it */
};
struct outbox_after outbox_after(const struct outbox_settle *o);

/* How an event stands. */
struct outbox_look {
    enum outbox_state state;
    int64_t due_ms; /* of its lane while pending; 0: unknown */
    int status;     /* as above */
    char answer[OUTBOX_ANSWER_MAX];
    size_t answer_len;
};

/* Removes old delivered and dead events, at most `limit` of each. `mend`: also repairs what a
 * process that died may have left half done (expensive: use it now and then). */
struct outbox_purge {
    int64_t now_ms;
    bool mend;
    int64_t delivered_before_ms, dead_before_ms;
    size_t limit;
    size_t removed; /* out */
};

struct outbox_backlog {
    int64_t pending, dead;
    int64_t oldest_ms; /* when the oldest pending event came; 0: none */
};

/* A page of the dead letters, oldest first. */
struct outbox_page {
    const char *after; /* last id of the page before; NULL: from the beginning */
    size_t limit;
};

#define OUTBOX_PAGE_MAX 1000

/* "pending", "delivered", "dead". */
extern const char *const outbox_state_names[];

/* The lanes of a job lie from `first` to below `end`; ERR_TOO_LARGE: it has none. */
enum err outbox_lanes_of(struct text job_id, char first[OUTBOX_LANE_SIZE],
                         char end[OUTBOX_LANE_SIZE]) MUST_CHECK;

/* The lane of a job's events to a receiver; ERR_TOO_LARGE. */
enum err outbox_lane(const char *job_id, const char *receiver,
                     char out[OUTBOX_LANE_SIZE]) MUST_CHECK;

/* More than the stores hold in one document. */
bool outbox_too_large(const struct outbox_add *a);

#endif
