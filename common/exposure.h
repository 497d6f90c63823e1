/* Who reaches the server, and whether the settings may leave it open to them. */
#ifndef COMMON_EXPOSURE_H
#define COMMON_EXPOSURE_H

#include "common/config.h"

#include <stdbool.h>

#define EXPOSURE_REASON_SIZE 512

/* For who serves HTTP: the open mode must be said (not be the default) where other machines reach
 * the listening socket. ERR_INVALID with one line in `reason`. */
enum err exposure_check_listen(const struct config *cfg, int listen_fd,
                               char reason[EXPOSURE_REASON_SIZE]) MUST_CHECK;

/* For who does the work: on a bus that leaves the machine the mode must be said. A worker that is
 * forgotten in the default, the open mode, would answer the calls that others refuse. */
enum err exposure_check_bus(const struct config *cfg, char reason[EXPOSURE_REASON_SIZE]) MUST_CHECK;

/* Whether only this machine and networks of its own reach the server, as far as its settings tell:
 * the listening socket has a loopback or private address (not: all addresses), and no frontends of
 * other machines share the bus. */
bool exposure_is_inside(const struct config *cfg, int listen_fd);

/* exposure_check_bus for a role's main(): says on stderr, as `program`, why not. */
bool exposure_bus_allowed(const char *program, const struct config *cfg);

#endif
