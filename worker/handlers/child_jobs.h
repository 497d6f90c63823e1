/* Child jobs: the agent that has a multi-device job submits them, with the rights of that job's
 * submitter. */
#ifndef WORKER_HANDLERS_CHILD_JOBS_H
#define WORKER_HANDLERS_CHILD_JOBS_H

#include "worker/request/call.h"

/* Whether the caller's token is only good for submitting child jobs. */
bool child_jobs_only(const struct call *c);

/* The permissions of the client that submitted the job named by parent_job_id of `data`, as a new
 * reference; {}: nobody with a name did. NULL, answered: the caller's token does not speak for the
 * agent that has that job now, or there is none. */
json_t *child_jobs_rights(struct call *c, const json_t *data);

/* Answers as for a role that may not submit. */
void child_jobs_refuse(struct call *c);

#endif
