/* Percentiles of wait times. */
#ifndef WORKER_JOBS_PERCENTILES_H
#define WORKER_JOBS_PERCENTILES_H

#include <jansson.h>

/* {"5": x, "10": x, "50": x, "90": x, "95": x} of an array of numbers; {} of an empty one.
 * Interpolates linearly: a float between two members, the member itself at the end (contract-core).
 * Ignores members that are not numbers. New reference. */
json_t *percentiles(const json_t *values);

#endif
