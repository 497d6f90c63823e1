/* Attempts: events that this process has claimed, from the claim until they are settled. */
#ifndef WORKER_WEBHOOK_ATTEMPTS_H
#define WORKER_WEBHOOK_ATTEMPTS_H

#include "worker/webhook/state.h"

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
/* Claims the lane's head and begins its attempt, where no other process has the lane. */
void lane_claim(struct dispatcher *d, struct lane *l);

#endif
