/* Jobs whose agent is lost: their leases have run out. */
#ifndef WORKER_UPKEEP_LOST_JOBS_H
#define WORKER_UPKEEP_LOST_JOBS_H

#include "common/config.h"
#include "worker/store/store.h"

/* True when the setting rerun-queues can be read; else says on stderr what is wrong with it. */
bool lost_jobs_check(const struct config *cfg);

/* Ends the first SWEEP_MAX of them, or lets them wait again where they or their queue allow it.
 * sweep->wake gets the queues in which a job waits again. */
enum err lost_jobs_sweep(const struct config *cfg, struct store *s, struct sweep *sweep) MUST_CHECK;

/* How often a lost job of the queue runs again by the setting's text; for tests. */
int64_t lost_jobs_reruns_of(const char *setting, const char *queue);

#endif
