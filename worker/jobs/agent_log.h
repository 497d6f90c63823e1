/* The log of an agent: the lines that it posts, without ids. */
#ifndef WORKER_JOBS_AGENT_LOG_H
#define WORKER_JOBS_AGENT_LOG_H

#include <jansson.h>
#include <stdbool.h>

/* Whether all lines stand in the log already, one after the other: then the post that brings them,
 * a repeat, was stored by its first try. Arrays. */
bool agent_log_holds(const json_t *log, const json_t *lines);

#endif
