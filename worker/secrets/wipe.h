/* JSON that holds a secret is overwritten before it is freed. */
#ifndef WORKER_SECRETS_WIPE_H
#define WORKER_SECRETS_WIPE_H

#include <stdbool.h>

/* While on, all that libjansson frees is overwritten, its own buffers included. Process-wide: turn
 * it on around the work on a secret only. */
void wipe_json(bool on);

#endif
