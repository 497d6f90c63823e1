/* Secrets of jobs: checked when the job is submitted, read when an agent claims it. */
#ifndef WORKER_HANDLERS_JOB_SECRETS_H
#define WORKER_HANDLERS_JOB_SECRETS_H

#include "worker/request/call.h"

/* Where the job names secrets: whether the client (s NULL: unknown) has them all. Notes the client
 * in the data. False: answered, by 422 where it lacks some. */
bool job_secrets_check(struct call *c, json_t *data, struct text client);

/* Puts the values in place of the paths in the job of a claim, "" where there is none; sets
 * c->secret. ERR_UNAVAILABLE: the keys are away, the job must not be handed out. */
enum err job_secrets_fill(struct call *c, struct claim *claim);

/* Whether a claim should pass over jobs with secrets, since the keys were away a moment ago. */
bool job_secrets_are_away(void);

#endif
