/* One frontend process. */
#ifndef FRONTEND_HTTP_H
#define FRONTEND_HTTP_H

#include "common/config.h"

/* Serves HTTP on the listening socket until `stop_fd` is readable; then finishes what is in hand,
 * within the grace time. Takes the socket. Returns the exit status. */
int http_run(const struct config *cfg, int listen_fd, int stop_fd);

#endif
