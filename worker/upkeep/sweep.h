/* The sweep removes expired data from the store. Every worker can do it; one at a time holds the
 * turn and works in bounded steps between its requests. */
#ifndef WORKER_UPKEEP_SWEEP_H
#define WORKER_UPKEEP_SWEEP_H

#include "common/config.h"
#include "worker/store/store.h"

struct sweeper;

/* Called for each queue in which a job waits again. */
typedef void sweep_wake_fn(void *arg, const char *queue);

struct sweeper *sweep_new(const struct config *cfg, sweep_wake_fn *wake, void *arg);
void sweep_free(struct sweeper *w); /* may be NULL */

/* Milliseconds until the next step; 0: now. */
long sweep_due(const struct sweeper *w);

/* Call it once a turn of the loop. Unless agents can be heard of, and after a pause of the process,
 * the grace period of leases and of silence begins anew. */
void sweep_look(struct sweeper *w, bool heard);

/* Makes one step, which is bounded. */
void sweep_step(struct sweeper *w, struct store *s);

#endif
