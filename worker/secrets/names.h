/* Names of secrets, and where they are kept. */
#ifndef WORKER_SECRETS_NAMES_H
#define WORKER_SECRETS_NAMES_H

#include "common/text.h"

#include <stdbool.h>
#include <stddef.h>

#define SECRET_PATH_MAX 512 /* bytes; ours, the reference has no limit */

/* ^[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*$, and not too long. */
bool secret_path_valid(struct text path);

/* The name under which a single-use secret stands once a job has it: "JOB_ID:PATH". No path holds a
 * colon, so nobody else finds it. Owned by the caller. */
char *secret_claimed_name(struct text job_id, struct text path);

/* The path in a name of either kind. */
struct text secret_path_of(struct text name);

/* MongoDB's collection of a client as the reference names it: "secrets." and the client id with
 * '@', '.' and '$' spelled out. False: it has no such name, or a longer one than `size` - 1. */
bool secret_collection(struct text client, char *out, size_t size);
#define SECRET_COLLECTIONS "secrets."

#endif
