/* Ids of jobs. */
#ifndef WORKER_VALIDATION_JOB_ID_H
#define WORKER_VALIDATION_JOB_ID_H

#include <stdbool.h>
#include <stddef.h>

/* What clients compare where an id is none. */
#define INVALID_JOB_ID      "Invalid job_id specified"
#define INVALID_JOB_ID_TEXT "Invalid job id\n" /* where the answer is a text */

/* Bytes of the longest spelling in use: urn:uuid:{...} with hyphens has 47. */
#define JOB_ID_MAX  64
#define JOB_ID_SIZE (JOB_ID_MAX + 1)

/* True when 32 hexadecimal digits (of either case) remain after every `urn:` and then every `uuid:`
 * is removed, then all braces at both ends, then every hyphen. The text itself is never normalised:
 * another spelling of the same UUID is the id of another job. Texts above JOB_ID_MAX are
 * refused. `s` need not end with a NUL. */
bool job_id_valid(const char *s, size_t len);

#endif
