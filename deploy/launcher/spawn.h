/* Starts a role's master: its own binary, arguments, environment and process group. */
#ifndef DEPLOY_LAUNCHER_SPAWN_H
#define DEPLOY_LAUNCHER_SPAWN_H

#include "deploy/launcher/plan.h"

#include <signal.h>
#include <sys/types.h>

/* Writes "FOLDER/BINARY" of the role; ERR_INVALID when it is too long. */
enum err spawn_path(const char *folder, enum plan_role_id role, char *out, size_t size) MUST_CHECK;

/* Starts the master; frontends get the listening socket (-1: none). Returns its pid, which is also
 * its process group; -1: errno is set. A binary that cannot run exits with SPAWN_FAILED and a line
 * on stderr. */
pid_t spawn_role(const struct config *cfg, const char *folder, enum plan_role_id role,
                 int listen_fd);

#define SPAWN_FAILED 127

#endif
