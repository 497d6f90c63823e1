/* Percentiles of wait times. */
#ifndef WORKER_JOBS_PERCENTILES_H
#define WORKER_JOBS_PERCENTILES_H

#include <jansson.h>

/* {"5": x, "10": x, "50": x, "90": x, "95": x} of an array of numbers, by linear interpolation
 * between the two nearest ones (contract-core: a float between two, the value itself at the end);
 * {} of an empty one. New reference. Members that are no numbers are left out. */
json_t *percentiles(const json_t *values);

#endif
