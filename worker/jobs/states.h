/* The states of a job, and which may follow which (docs/job-states.md). */
#ifndef WORKER_JOBS_STATES_H
#define WORKER_JOBS_STATES_H

#include <stdbool.h>
#include <stddef.h>

#define STATES_MAX 16

/* Number of state changes of a job that are kept, the newest. */
#define HISTORY_MAX 64

/* True for cancelled, complete, completed. Any other text is an active state. */
bool state_is_over(const char *state);

/* True for complete and completed: the agent ran the job to its end. */
bool state_is_complete(const char *state);

/* Whether a job may change from `state` to `next`. A state may follow itself. */
bool state_may_follow(const char *state, const char *next);

/* The states that must not be replaced by `next`, as a NULL-terminated list, for a guarded update
 * ("set next unless the current state is one of these"). An unknown text may replace any active
 * state and be replaced by any; nothing but complete and completed may replace a state that is
 * over, and those two may replace each other. Returns the number of entries before the NULL. */
size_t states_not_replaced_by(const char *next, const char *list[STATES_MAX + 1]);

/* NULL-terminated lists in static storage: the states of finished jobs; those in which a job has no
 * lease (also waiting). */
const char *const *states_over(void);
const char *const *states_not_leased(void);

#endif
