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
#define RECEIVERS_REST_MS    60000 /* one that nothing was tried at for so long is forgotten */

struct receivers;
struct receiver;

/* A try that waits for its turn at a receiver; embedded in what it stands for. */
struct turn {
    struct turn *prev, *next;
    int64_t since;
};

/* At most `parallel` tries to one receiver at a time. */
struct receivers *receivers_new(size_t parallel);
/* No turn may wait. The argument may be NULL. */
void receivers_free(struct receivers *all);

enum admission {
    ADMIT,      /* try; receiver_done is due then */
    ADMIT_WAIT, /* as many tries as may be are under way: wait for a turn */
    ADMIT_CLOSED
};

/* Finds or makes a receiver, which stays valid while a try at it is under way or waits. */
struct receiver *receivers_get(struct receivers *all, const char *name, int64_t now);

/* Whether a try may begin now. With ADMIT it is counted. */
enum admission receiver_admit(struct receiver *r, int64_t now);

/* Lets a try wait. */
void receiver_wait(struct receiver *r, struct turn *t, int64_t now);

/* Takes the first that waits: one whose turn it is (counted, *ret_admission is ADMIT), or, when the
 * receiver is closed or it waits for longer than wait_ms, one that must not wait any longer.
 * NULL: none. */
struct turn *receiver_next(struct receiver *r, int64_t now, int64_t wait_ms,
                           enum admission *ret_admission);
/* The same for the receiver after `after` (NULL: the first) at which something waits; NULL: no
 * further one. */
struct receiver *receivers_next_waiting(struct receivers *all, struct receiver *after);

/* A try has ended. */
void receiver_done(struct receiver *r, const struct outcome *o, int64_t now);
/* One that was admitted did not begin. */
void receiver_undone(struct receiver *r);

/* Until when it is closed, and how the last try there ended. */
int64_t receiver_closed_until(const struct receiver *r);
const struct outcome *receiver_last(const struct receiver *r);

/* Whether one more try could be admitted beside those that were promised since the last
 * receivers_promised; then it is promised. */
bool receivers_promise(struct receivers *all, const char *name, int64_t now);
void receivers_promised(struct receivers *all);

/* Names of up to `max` receivers that admit nothing now; they stay valid until receivers_rest.
 * Returns how many. */
size_t receivers_closed(const struct receivers *all, int64_t now, const char *names[], size_t max);

/* Forgets those that have not been used for a while and are not closed. */
void receivers_rest(struct receivers *all, int64_t now);

#endif
