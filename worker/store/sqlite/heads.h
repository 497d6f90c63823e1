/* The first jobs of a queue. */
#ifndef WORKER_STORE_SQLITE_HEADS_H
#define WORKER_STORE_SQLITE_HEADS_H

#include "worker/store/sqlite/sqlite.h"

/* Finds the first job of a queue that this agent may have, in a bounded look (jobs/looks.h) that
 * also ends after 8 MiB of lists of excluded agents. ERR_NOT_FOUND. */
enum err head_of(struct sqlite *q, struct text queue, struct text agent,
                 struct job_place *ret) MUST_CHECK;

#endif
