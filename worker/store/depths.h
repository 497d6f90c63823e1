/* How many jobs wait in which queue: what queue_depths of store.def reads. */
#ifndef WORKER_STORE_DEPTHS_H
#define WORKER_STORE_DEPTHS_H

#include <stddef.h>
#include <stdint.h>

struct queue_depth {
    char *queue; /* owned; any bytes */
    size_t queue_len;
    int64_t waiting;
    int64_t oldest_ms; /* created_at of the oldest, since the epoch */
};

#endif
