/* The first job of a queue that an agent may have, by a look at a bounded number of jobs. */
#ifndef WORKER_STORE_SQLITE_HEADS_H
#define WORKER_STORE_SQLITE_HEADS_H

#include "worker/store/sqlite/sqlite.h"

/* A job that may be handed out, with its place in the order. */
struct head {
    int64_t id;
    int64_t priority;
    int64_t created_us;
};

/* Whether a comes before b. */
bool head_before(const struct head *a, const struct head *b);

/* The first job of a queue that this agent may have. ERR_NOT_FOUND: there is none among those
 * looked at, which are the first 1000 (or those with 8 MiB of lists) and as many more, that later
 * claims of this process go on from: so jobs that exclude the agent hide the others for a few
 * claims, and no claim takes long. */
enum err head_of(struct sqlite *q, struct text queue, struct text agent,
                 struct head *ret) MUST_CHECK;

#endif
