/* The broker: hands each request of a frontend to a free worker of its service, and the answer back
 * (protocol: common/bus.h). It reads no payload and keeps nothing on disk. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "common/config.h"

/* Runs broker number `slot` until stop_fd is readable, then until nothing is held or the grace time
 * is over. Returns an exit status. */
int broker_run(const struct config *cfg, unsigned slot, int stop_fd);

#endif
