/* The main loop of a worker process: takes bundles from all brokers, one at a time, and answers
 * them. */
#ifndef WORKER_LOOP_H
#define WORKER_LOOP_H

#include "common/api.h"
#include "common/config.h"

/* Serves requests of `service` until stop_fd is readable, then says BYE to the brokers and finishes
 * what they sent before. Opens the store, and retries while it is away. Returns an exit status. */
int loop_run(const struct config *cfg, enum service service, const char *store_uri, int stop_fd);

#endif
