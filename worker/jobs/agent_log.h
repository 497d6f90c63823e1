/* The log of an agent: the lines that it posts. */
#ifndef WORKER_JOBS_AGENT_LOG_H
#define WORKER_JOBS_AGENT_LOG_H

#include <jansson.h>
#include <stdbool.h>

/* Whether the array `log` has all of `lines` in a row: then a repeated post was already stored by
 * its first try. */
bool agent_log_holds(const json_t *log, const json_t *lines);

#endif
