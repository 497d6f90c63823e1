/* With the setting agent-identity: what an agent posts of a job is for the agent that has it. */
#ifndef WORKER_AUTH_CLAIM_HOLDER_H
#define WORKER_AUTH_CLAIM_HOLDER_H

#include "worker/request/call.h"

/* Of the calls whose routes have ROUTE_HOLDER, answers those by tokens that are none of the agent
 * which holds the job's claim. Passed are managers and admins; the agent that had the job before,
 * as far as what it posts late goes; everyone where it is not known who holds the job (an older
 * release handed it out), and where there is no such job. A job that waits is held by nobody. Looks
 * at the jobs of all calls in one trip. */
void claim_holder_check(struct store *s, struct call *calls, size_t n);

#endif
