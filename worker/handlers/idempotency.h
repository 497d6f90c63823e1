/* The header Idempotency-Key of a submission: the same key with the same body is the same job. */
#ifndef WORKER_HANDLERS_IDEMPOTENCY_H
#define WORKER_HANDLERS_IDEMPOTENCY_H

#include "worker/request/call.h"

#define SUBMIT_KEY_MAX 255

/* Whether the call's key, if it has one, is of a length that is taken; else answers. */
bool idempotency_is_fine(struct call *c);

/* Fills in what the call's key stands for: which client sent which key with which content (`data`
 * without job_id, and the id that was `given`, NULL: none). False: the call has no key. */
bool idempotency_load(struct submit_key *ret, const struct call *c, const json_t *data,
                      const char *given);

/* The answer where the key came with another content before. */
void idempotency_refuse(struct call *c);

#endif
