/* The events of a job that are kept with it, and how they are shown. */
#ifndef WORKER_JOBS_JOB_EVENTS_H
#define WORKER_JOBS_JOB_EVENTS_H

#include <jansson.h>
#include <stddef.h>

/* What is kept of a post: a new array of {event_name, timestamp, detail}, each once, at most `max`
 * events and `bytes` bytes of text. `events`: a validated array; may be NULL. */
json_t *job_events_fit(const json_t *events, size_t max, size_t bytes);

/* Merges what the agent posted ({at, event}, perhaps `after`: so many changes were before it) with
 * the job's changes of state ({at, state, reason}), by time where `after` is missing; a new array
 * of {event_name, timestamp, detail}. Of the changes only those are shown that the server makes
 * itself: job_claimed, job_returned (the claim did not arrive), job_orphaned (runs again, since its
 * agent was lost), job_lost (cancelled for that), job_cancelled. */
json_t *job_events_merged(const json_t *posted, const json_t *changes);

#endif
