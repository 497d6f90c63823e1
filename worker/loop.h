/* The worker's side of the bus: takes bundles from every broker, one at a time, and answers them.
 */
#ifndef WORKER_LOOP_H
#define WORKER_LOOP_H

#include "common/api.h"
#include "common/config.h"

/* Serves requests of `service` until stop_fd is readable, then says BYE to the brokers and finishes
 * what they had sent before they heard it. Opens the store, and again when it was away. Returns an
 * exit status. */
int loop_run(const struct config *cfg, enum service service, const char *store_uri, int stop_fd);

#endif
