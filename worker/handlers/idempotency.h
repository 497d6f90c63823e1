/* The header Idempotency-Key of a submission: the same key with the same body is the same job. */
#ifndef WORKER_HANDLERS_IDEMPOTENCY_H
#define WORKER_HANDLERS_IDEMPOTENCY_H

#include "worker/request/call.h"

#define SUBMIT_KEY_MAX 255

/* Whether the call's key, if any, has a valid length. False: answered. */
bool idempotency_is_fine(struct call *c);

/* Fills in digests of the call's key with its client, and of the content: `data` without job_id,
 * and the job id that was `given` (NULL: none). False: the call has no key. */
bool idempotency_load(struct submit_key *ret, const struct call *c, const json_t *data,
                      const char *given);

/* Answers that the key was used with another content. */
void idempotency_refuse(struct call *c);

#endif
