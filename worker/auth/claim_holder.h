/* Restricts ROUTE_HOLDER routes to the agent that holds the job's claim (agent-identity). */
#ifndef WORKER_AUTH_CLAIM_HOLDER_H
#define WORKER_AUTH_CLAIM_HOLDER_H

#include "worker/request/call.h"

/* Refuses calls of ROUTE_HOLDER routes whose token is not one of the agent that holds the job's
 * claim. Allowed are: managers and admins; the agent of an earlier attempt, for late posts; anyone
 * where the holder is unknown (an older release handed the job out) or the job does not exist.
 * Nobody holds a waiting job. Reads the jobs of all calls in one trip to the store. */
void claim_holder_check(struct store *s, struct call *calls, size_t n);

#endif
