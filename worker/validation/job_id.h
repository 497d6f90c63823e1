/* Ids of jobs. */
#ifndef WORKER_VALIDATION_JOB_ID_H
#define WORKER_VALIDATION_JOB_ID_H

#include <stdbool.h>
#include <stddef.h>

/* What clients compare where an id is none. */
#define INVALID_JOB_ID "Invalid job_id specified"

/* True when 32 hexadecimal digits (of either case) remain after every `urn:` and then every `uuid:`
 * is removed, then all braces at both ends, then every hyphen. The text itself is never normalised:
 * another spelling of the same UUID is the id of another job. Texts of more than 128 bytes are
 * refused. `s` need not end with a NUL. */
bool job_id_valid(const char *s, size_t len);

#endif
