/* Attempts: events from their claim by this process until they are settled. */
#ifndef WORKER_WEBHOOK_ATTEMPTS_H
#define WORKER_WEBHOOK_ATTEMPTS_H

#include "worker/webhook/state.h"

/* Takes a claimed event with its texts, and tries it at once or when its receiver has room. */
void attempt_begin(struct dispatcher *d, struct outbox_event *e, int64_t lease_end);
/* A transfer_done_fn; arg is the attempt. */
void attempt_done(void *arg, const struct outcome *o, struct text answer);
/* Starts waiting tries that their receivers admit, and puts back those that waited too long. */
void attempts_turn(struct dispatcher *d);
/* Writes the outcome of finished attempts to the store, and answers their posts. */
void attempts_settle(struct dispatcher *d);
/* Claims due lanes, once every POLL_MS. */
void attempts_claim(struct dispatcher *d);
/* Puts waiting events back without a try; for the end of the process. */
void attempts_put_back(struct dispatcher *d);
/* Frees an attempt when its lane is dropped. */
void attempt_free(struct attempt *a);
/* Claims the lane's first event and begins an attempt, unless another process has the lane. */
void lane_claim(struct dispatcher *d, struct lane *l);

#endif
