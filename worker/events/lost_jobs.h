/* Lost jobs: their leases expired because the agent no longer renews them. */
#ifndef WORKER_EVENTS_LOST_JOBS_H
#define WORKER_EVENTS_LOST_JOBS_H

#include "common/config.h"
#include "worker/request/call.h"
#include "worker/store/store.h"

/* True when the setting rerun-queues can be read; else says on stderr what is wrong with it. */
bool lost_jobs_check(const struct config *cfg);

/* Cancels up to SWEEP_MAX lost jobs, or requeues those whose job or queue allows a rerun.
 * sweep->wake gets the queues in which a job waits again. */
enum err lost_jobs_sweep(const struct config *cfg, struct store *s, struct sweep *sweep) MUST_CHECK;

/* The clocks of frontends and of the store differ by so much and more. A call that reached its
 * frontend that long before a claim does not end the claim's job. */
#define AGAIN_SKEW_MS 1000

/* Ends or requeues, likewise, the jobs that these agents have lost, unless agents share names. A
 * failure is only logged: the leases of the jobs end them later. Wakes go to the call. */
void lost_jobs_left(struct call *c, const struct agent_since *agents, size_t n);

/* An agent's name or a state for a text that is stored: cut at a character boundary, with invalid
 * UTF-8 (names of older releases), which would make a result unreadable, replaced by '?'. */
#define SHOWN_SIZE 81
const char *lost_jobs_shown(const char *name, char out[SHOWN_SIZE]);

/* How often a lost job of the queue runs again by the setting's text; for tests. */
int64_t lost_jobs_reruns_of(const char *setting, const char *queue);

#endif
