/* The store: how many jobs wait in which queue.
 *
 * queue_depths    the queues with the most waiting jobs, most first, then by name; whatever their
 *                 attachments. Fills at most `max` entries, whose `queue` the caller frees. */
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
