/* Long polls: claims that wait for a job. They stand in the frontend and hold no worker. One that
 * found no job asks again on a WAKE for one of its queues, and every 3 s in any case, so a lost
 * WAKE costs at most 3 s. */
#ifndef FRONTEND_PARK_H
#define FRONTEND_PARK_H

#include "frontend/exchange.h"

/* Seconds that a claim may wait: agents give up after 30. */
#define PARK_WAIT_MAX 25

/* The kind of a claim. */
extern const struct exchange_kind park_kind;

struct park *park_new(struct server *s);
void park_free(struct park *p); /* may be NULL */

/* Answers all that wait, and lets no more wait. */
void park_close(struct park *p);

#endif
