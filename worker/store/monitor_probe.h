/* Probes the store for a worker's monitor: does it answer, how many jobs wait in which queue, how
 * many events in the outbox. */
#ifndef WORKER_STORE_MONITOR_PROBE_H
#define WORKER_STORE_MONITOR_PROBE_H

#include "common/config.h"

/* Runs the monitor of this role until stop_fd is readable; returns its exit status. */
int watch_run(const struct config *cfg, enum role_bit role, const char *store_uri, int stop_fd);

/* Names the store's operations for the metrics. Call it before the fork. */
void watch_name_metrics(void);

#endif
