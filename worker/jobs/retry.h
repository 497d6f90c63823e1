/* Jobs that run again on another device after their provisioning failed. */
#ifndef WORKER_JOBS_RETRY_H
#define WORKER_JOBS_RETRY_H

#include <jansson.h>
#include <stdbool.h>

/* Field of a job: how many times it may run again. */
#define RETRY_FIELD "retries_on_provision_failure"
#define RETRIES_MAX 3

/* What a result, or a part of it, says of its provisioning; both forms that agents post. */
enum provisioned { PROVISION_UNKNOWN, PROVISION_FINE, PROVISION_FAILED };
enum provisioned provisioned(const json_t *result);

/* Whether an agent's last post makes its job wait again. `state`: of the job, which has an agent;
 * `outcome`: what its result says, that post included; `runs`: how often it ran again already. */
bool retry_is_due(const char *state, enum provisioned outcome, long long runs, long long allowed);

#endif
