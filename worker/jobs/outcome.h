/* How a job went: the exit codes of its phases. */
#ifndef WORKER_JOBS_OUTCOME_H
#define WORKER_JOBS_OUTCOME_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* {PHASE: CODE, ...} in the order of the phases, from the fields `status` and PHASE_status of a
 * result; a new reference. Codes that are no integers are left out. */
json_t *outcome_status(const json_t *result);

/* The first phase whose code is not 0, of outcome_status(), and its code. False: there is none. */
bool outcome_failed(const json_t *status, const char **ret_phase, int64_t *ret_code);

#endif
