/* Decides from the settings alone what the launcher starts and how: no processes, files or clock.
 */
#ifndef DEPLOY_LAUNCHER_PLAN_H
#define DEPLOY_LAUNCHER_PLAN_H

#include "common/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Roles in the order in which they are started. */
enum plan_role_id { PLAN_BROKER, PLAN_WORKER, PLAN_WEBHOOK, PLAN_FRONTEND, PLAN_ROLES };

struct plan_role {
    enum role_bit bit;
    const char *setting; /* "workers": the flag, and the name in messages */
    const char *binary;  /* file name, in the launcher's folder */
    size_t count;        /* offset of the setting in struct config: number of processes */
    int stop_step;       /* roles of step 0 end first, then those of step 1 */
    int metrics;         /* offset from the metrics port */
};

#define PLAN_STOP_STEPS 2

extern const struct plan_role plan_roles[PLAN_ROLES];

/* Number of processes of the role; 0: it is not started. */
int64_t plan_count(const struct config *cfg, enum plan_role_id role);

#define PLAN_ARGS_MAX 8
/* Arguments for a role's binary, NULL at the end. Points into static storage and into `text`. */
struct plan_args {
    char *argv[PLAN_ARGS_MAX];
    char text[PLAN_ARGS_MAX][32];
};
void plan_args(const struct config *cfg, enum plan_role_id role, struct plan_args *ret);

#define PLAN_REASON_SIZE 512
/* Checks for settings that cannot work. `uri`: the store's. ERR_INVALID: `reason` gets one line
 * without a line end or credentials. An empty bus is valid: the launcher makes one. */
enum err plan_check(const struct config *cfg, const char *uri,
                    char reason[PLAN_REASON_SIZE]) MUST_CHECK;

/* The file of an embedded store, NULL for other stores. Points into `uri`. */
const char *plan_sqlite_path(const char *uri);

/* The pause in ms before a role that ended is started again: none after a long life or the first
 * early death, then doubling from 200 ms to 5 s. Updates `deaths`, the early deaths in a row. */
int64_t plan_backoff(int64_t lived_ms, unsigned *deaths);

#endif
