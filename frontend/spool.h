/* The folder of temporary files of one machine's frontend: unlinked files that bodies above 64 KiB
 * go to while they arrive.
 *
 * What all processes have written is bounded by --max-spool. The counts are in memory that the
 * master shares with its children, one a slot: the kernel frees the files of a child that died, and
 * its successor in the slot begins with nothing. */
#ifndef FRONTEND_SPOOL_H
#define FRONTEND_SPOOL_H

#include "common/config.h"
#include "frontend/budget.h"

#include <stdint.h>

/* In the master, before its children are made: finds the limit. */
void spool_share(const struct config *cfg);

/* In a child: its slot, and how many files it may have open. */
void spool_use(unsigned slot, uint64_t files_max);

/* Whether `bytes` more of this address would fit now. */
bool spool_has_room(const struct tenant *t, uint64_t bytes);

/* A new file, of whose descriptor the caller is the owner; -1 (logged): none can be made. */
int spool_open(void) MUST_CHECK;
void spool_close(int fd);

/* Counts bytes that are about to be written, for an address. False (logged): the limit is reached,
 * or this address has half of what the others leave. */
bool spool_take(struct budget_share *s, struct tenant *t, uint64_t bytes) MUST_CHECK;
/* Gives all back; close the file first. */
void spool_give(struct budget_share *s);

/* Logs why a write failed. */
void spool_log_write(int fault);

#endif
