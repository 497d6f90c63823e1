/* Rules of claims. */
#ifndef WORKER_JOBS_CLAIMS_H
#define WORKER_JOBS_CLAIMS_H

#include "common/text.h"

#include <stdbool.h>
#include <stdint.h>

/* Whole seconds that a job has waited; 0 when it was created later than it was started. */
int64_t claim_wait_s(int64_t created_ms, int64_t started_ms);

/* What becomes of a claim that is open for too long, by the state of its job (s NULL: none). True:
 * nobody got the job, it waits again. False: its agent reported it, the claim is closed. */
bool claim_is_lost(struct text state);

/* Whether a claim of these queues is for the job of this one. */
bool claim_asks_for(const struct text *queues, size_t n, struct text queue);

#endif
