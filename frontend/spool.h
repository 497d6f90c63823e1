/* The folder of temporary files of a machine's frontends: unlinked files for bodies above 64 KiB
 * while they arrive.
 *
 * What all processes have written is bounded by --max-spool. The counts are in memory that the
 * master shares with its children, one a slot: the kernel frees the files of a child that died, and
 * its successor in the slot begins with nothing. */
#ifndef FRONTEND_SPOOL_H
#define FRONTEND_SPOOL_H

#include "common/config.h"
#include "frontend/budget.h"

#include <stdint.h>

/* Call it in the master before its children are made: sets the limit. */
void spool_share(const struct config *cfg);

/* Call it in a child: its slot, and its limit of open files. */
void spool_use(unsigned slot, uint64_t files_max);

/* Whether this address may add `bytes` now. */
bool spool_has_room(const struct tenant *t, uint64_t bytes);

/* Makes a file, whose descriptor the caller owns; -1 (logged): it cannot. */
int spool_open(void) MUST_CHECK;
void spool_close(int fd);

/* Counts bytes before they are written, for an address. False (logged): the limit is reached, or
 * this address has half of what the others leave. */
bool spool_take(struct budget_share *s, struct tenant *t, uint64_t bytes) MUST_CHECK;
/* Returns all bytes; close the file first. */
void spool_give(struct budget_share *s);

/* Logs why a write failed. */
void spool_log_write(int fault);

#endif
