/* What a worker's monitor tells from a look into the store: whether it answers, and how many jobs
 * wait in which queue, or how many events in the outbox. */
#ifndef WORKER_STORE_MONITOR_PROBE_H
#define WORKER_STORE_MONITOR_PROBE_H

#include "common/config.h"

/* The monitor of this role; returns its exit status. */
int watch_run(const struct config *cfg, enum role_bit role, const char *store_uri, int stop_fd);

/* Names the store's operations for the metrics; before the children are forked. */
void watch_name_metrics(void);

#endif
