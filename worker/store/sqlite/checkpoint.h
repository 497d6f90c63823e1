/* Checkpoints of the write-ahead log, made by a thread beside the connection. */
#ifndef WORKER_STORE_SQLITE_CHECKPOINT_H
#define WORKER_STORE_SQLITE_CHECKPOINT_H

#include "common/err.h"

#include <stdbool.h>

struct sqlite_checkpoints;

/* Starts the thread for the file at this path. NULL (logged): it cannot be started. */
struct sqlite_checkpoints *sqlite_checkpoints_start(const char *path) MUST_CHECK;

/* Ends the thread, after a checkpoint that it has begun. NULL does nothing. */
void sqlite_checkpoints_stop(struct sqlite_checkpoints *c);

/* Asks for a checkpoint and returns at once. True: a reader is in its way (logged when it has been
 * for long). NULL does nothing. */
bool sqlite_checkpoints_want(struct sqlite_checkpoints *c);

#endif
