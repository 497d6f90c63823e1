/* The listening socket, bound once by the master and shared by its children. */
#ifndef FRONTEND_LISTEN_H
#define FRONTEND_LISTEN_H

#include "common/err.h"

/* Binds HOST:PORT, [HOST]:PORT or :PORT (every address); or takes the socket that systemd passed
 * (LISTEN_FDS, sd_listen_fds(3)). Says on stderr what is wrong. ERR_INVALID: the setting is wrong;
 * ERR_UNAVAILABLE: the address is in use. */
enum err listen_open(const char *address, int *ret_fd) MUST_CHECK;

#endif
