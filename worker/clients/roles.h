/* Roles: their names and who may change whom. */
#ifndef WORKER_CLIENTS_ROLES_H
#define WORKER_CLIENTS_ROLES_H

#include "common/api.h"
#include "common/envelope.h"

#include <jansson.h>
#include <stdbool.h>

/* The role of a name, without regard to case; 0 when there is none. */
unsigned role_of_name(const char *name);

/* The role that a client's document or a token's permissions hold: contributor when they name none;
 * 0 when what they name is no role. */
unsigned role_of(const json_t *permissions);

const char *role_name(unsigned role); /* "" for 0 */

/* Whether the first is lower than the second: admin > manager > contributor > agent > none. */
bool role_is_lower(unsigned role, unsigned than);

#define ROLES_TEXT_SIZE 64
/* The names of a set of roles, highest first: "admin, manager". Returns `out`. */
const char *roles_text(unsigned roles, char out[ROLES_TEXT_SIZE]);

#endif
