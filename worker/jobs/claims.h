/* Rules of claims. */
#ifndef WORKER_JOBS_CLAIMS_H
#define WORKER_JOBS_CLAIMS_H

#include "common/text.h"

#include <stdbool.h>
#include <stdint.h>

/* Whole seconds that a job waited; 0 if the clocks say that it started before its creation. */
int64_t claim_wait_s(int64_t created_ms, int64_t started_ms);

/* Decides on an unconfirmed claim by the state of its job (s NULL: none). True: no agent got the
 * job, queue it again. False: an agent reported the job, close the claim. */
bool claim_is_lost(struct text state);

/* Whether `queues` of a claim has the job's queue. */
bool claim_asks_for(const struct text *queues, size_t n, struct text queue);

#endif
