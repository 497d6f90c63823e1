/* The broker: hands each request of a frontend to a free worker of its service, and passes the
 * answer back (protocol: common/bus.h). Reads no payload and stores nothing on disk. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "common/config.h"

/* Runs broker number `slot` until stop_fd is readable, then until it holds no request or the grace
 * time is over. Returns an exit status. */
int broker_run(const struct config *cfg, unsigned slot, int stop_fd);

#endif
