/* Checks who can reach the server, and whether the settings allow the open mode there. */
#ifndef COMMON_EXPOSURE_H
#define COMMON_EXPOSURE_H

#include "common/config.h"

#include <stdbool.h>

#define EXPOSURE_REASON_SIZE 512

/* For processes that serve HTTP. ERR_INVALID with one line in `reason`: other machines can reach
 * the socket, and the mode is open by default instead of being set. */
enum err exposure_check_listen(const struct config *cfg, int listen_fd,
                               char reason[EXPOSURE_REASON_SIZE]) MUST_CHECK;

/* For processes that handle requests. ERR_INVALID: the bus leaves the machine and --auth is not
 * set. A worker left in the open mode by mistake would serve requests that the others refuse. */
enum err exposure_check_bus(const struct config *cfg, char reason[EXPOSURE_REASON_SIZE]) MUST_CHECK;

/* Whether the settings let only this machine and private networks reach the server: the listening
 * socket has a loopback or private address (not a wildcard), and the bus stays on the machine. */
bool exposure_is_inside(const struct config *cfg, int listen_fd);

/* exposure_check_bus for a role's main(); false: the reason is on stderr, prefixed by `program`. */
bool exposure_bus_allowed(const char *program, const struct config *cfg);

#endif
