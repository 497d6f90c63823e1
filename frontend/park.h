/* Long polls: claims that wait for a job in the frontend, without a worker. A claim asks again on a
 * WAKE for one of its queues, soon after a broker came or went, and 15 to 20 s after it asked last:
 * so late it gets a job that another program has put into the store. */
#ifndef FRONTEND_PARK_H
#define FRONTEND_PARK_H

#include "frontend/exchange.h"

/* Limit of a claim's wait in seconds: agents give up after 30. */
#define PARK_WAIT_MAX 25

/* The kind of a claim. */
extern const struct exchange_kind park_kind;

struct park *park_new(struct server *s);
void park_free(struct park *p); /* may be NULL */

/* Answers all waiting polls; later ones do not wait. */
void park_close(struct park *p);

#endif
