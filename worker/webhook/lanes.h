/* The lanes that this process has, by their id. */
#ifndef WORKER_WEBHOOK_LANES_H
#define WORKER_WEBHOOK_LANES_H

#include "worker/webhook/state.h"

/* lane_get makes a missing lane; lane_find returns NULL for it. */
struct lane *lane_get(struct dispatcher *d, const char *id, const char *receiver);
struct lane *lane_find(struct dispatcher *d, const char *id);
/* Frees the lane if it has neither attempt nor posts. */
void lane_rest(struct dispatcher *d, struct lane *l);

#endif
