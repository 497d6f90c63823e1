/* How many jobs wait in which queue, or are with agents: what queue_depths, queues_busy and
 * queue_times of store.def read. */
#ifndef WORKER_STORE_DEPTHS_H
#define WORKER_STORE_DEPTHS_H

#include <stddef.h>
#include <stdint.h>

#define BUSY_MAX 20000 /* a job an agent, and some that older releases left */

struct queue_depth {
    char *queue; /* owned; any bytes */
    size_t queue_len;
    int64_t waiting;
    int64_t oldest_ms; /* created_at of the oldest, since the epoch */
};

/* How long a job waited. */
struct job_wait {
    int64_t created_ms;
    int64_t left_ms; /* an agent took it, or it ended; 0: it waits */
};
#define JOB_WAITS_MAX 5000 /* of one queue_times */

#endif
