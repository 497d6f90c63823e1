/* The loop of a webhook worker process. */
#ifndef WORKER_WEBHOOK_DISPATCHER_H
#define WORKER_WEBHOOK_DISPATCHER_H

#include "common/config.h"

/* Serves until stop_fd is readable, then ends what is in hand within the grace time. Returns an
 * exit status. */
int dispatcher_run(const struct config *cfg, const char *store_uri, int stop_fd);

#endif
