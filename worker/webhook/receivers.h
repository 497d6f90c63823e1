/* The receivers that this process knows: how many tries to each are under way, and which are left
 * alone for a while. Pure: the time comes with each call, in milliseconds of one clock.
 *
 * A receiver that failed BREAKER_FAULTS times in a row (fault_rows[].away) is closed: nothing is
 * tried there for a pause that doubles up to BREAKER_PAUSE_MAX_MS, then one try decides. One that
 * asked for patience (Retry-After) is left alone for that long. */
#ifndef WORKER_WEBHOOK_RECEIVERS_H
#define WORKER_WEBHOOK_RECEIVERS_H

#include "worker/webhook/verdict.h"

#include <stddef.h>

#define BREAKER_FAULTS       5
#define BREAKER_PAUSE_MS     1000
#define BREAKER_PAUSE_MAX_MS 30000
#define RECEIVERS_REST_MS    60000 /* a receiver without a try for so long is freed */
#define RECEIVERS_MAX        4096  /* then one that is idle and was never closed gives way */

struct receivers;
struct receiver;

/* A try that waits for its turn at a receiver; embedded in the caller's struct. */
struct turn {
    struct turn *prev, *next;
    int64_t since;
};

/* `parallel`: limit of the tries to one receiver at a time. */
struct receivers *receivers_new(size_t parallel);
/* Call it when no turn waits. `all` may be NULL. */
void receivers_free(struct receivers *all);

enum admission {
    ADMIT,      /* begin the try; call receiver_done at its end */
    ADMIT_WAIT, /* the receiver has its limit of tries: wait for a turn */
    ADMIT_CLOSED
};

/* Finds or makes a receiver; valid while a try at it runs or waits. */
struct receiver *receivers_get(struct receivers *all, const char *name, int64_t now);

/* Whether a try may begin now. ADMIT counts it. */
enum admission receiver_admit(struct receiver *r, int64_t now);

/* Queues a try. */
void receiver_wait(struct receiver *r, struct turn *t, int64_t now);

/* Whether tries wait at any receiver. */
bool receivers_waiting(const struct receivers *all);
/* Takes the first waiting try: ADMIT (counted) if it may begin, ADMIT_CLOSED if it must give up
 * because the receiver is closed or it waited longer than wait_ms. NULL: none. */
struct turn *receiver_next(struct receiver *r, int64_t now, int64_t wait_ms,
                           enum admission *ret_admission);
/* Iterates over receivers with waiting tries: the one after `after` (NULL: the first); NULL: end.
 */
struct receiver *receivers_next_waiting(struct receivers *all, struct receiver *after);

/* Counts the end of a try, and opens or closes the receiver by its outcome. */
void receiver_done(struct receiver *r, const struct outcome *o, int64_t now);
/* Uncounts an admitted try that did not begin. */
void receiver_undone(struct receiver *r);

/* The end of its closed time, and the outcome of its last try. */
int64_t receiver_closed_until(const struct receiver *r);
const struct outcome *receiver_last(const struct receiver *r);

/* What the last try says about the next one. */
enum presence {
    PRESENT,
    DOUBTFUL, /* it failed, or the receiver asked for patience */
    AWAY      /* it timed out, or the receiver is closed */
};
enum presence receivers_presence(struct receivers *all, const char *name, int64_t now);

/* Reserves a try at the receiver; false: it would admit no more, counting the tries reserved since
 * the last receivers_promised, which drops all reservations. */
bool receivers_promise(struct receivers *all, const char *name, int64_t now);
void receivers_promised(struct receivers *all);

/* Fills in up to `max` names of receivers that admit nothing now and returns their number; valid
 * until receivers_rest. */
size_t receivers_closed(const struct receivers *all, int64_t now, const char *names[], size_t max);

/* Frees receivers that are open and were unused for RECEIVERS_REST_MS. */
void receivers_rest(struct receivers *all, int64_t now);

#endif
