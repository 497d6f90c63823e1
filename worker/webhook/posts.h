/* Posts: requests that brought an event and wait for its answer. */
#ifndef WORKER_WEBHOOK_POSTS_H
#define WORKER_WEBHOOK_POSTS_H

#include "worker/webhook/state.h"

/* Stores a call's event and makes the request wait for its outcome. */
void post_begin(struct dispatcher *d, struct call *c, const struct bus_item *item, size_t broker);
/* Answers the posts that wait for the event which attempt `a` has settled. */
void posts_attempt_ended(struct dispatcher *d, struct lane *l, const struct attempt *a);
/* Looks after posts whose lane another process has, and answers those whose time is over. */
void posts_turn(struct dispatcher *d);
/* Milliseconds until posts_turn has something to do, at most `most`. */
int64_t posts_due(const struct dispatcher *d, int64_t most);

#endif
