/* The lanes that this process knows, by their id. */
#ifndef WORKER_WEBHOOK_LANES_H
#define WORKER_WEBHOOK_LANES_H

#include "worker/webhook/state.h"

/* Finds or makes; NULL from lane_find: it is not known here. */
struct lane *lane_get(struct dispatcher *d, const char *id, const char *receiver);
struct lane *lane_find(struct dispatcher *d, const char *id);
/* Forgets a lane without attempt and posts. */
void lane_rest(struct dispatcher *d, struct lane *l);

#endif
