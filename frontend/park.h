/* Long polls: claims that wait for a job. They stand in the frontend and hold no worker. One that
 * found no job asks again when a job is said to wait in one of its queues, and every few seconds in
 * any case, so that a lost word does no harm. */
#ifndef FRONTEND_PARK_H
#define FRONTEND_PARK_H

#include "frontend/exchange.h"

/* Seconds that a claim may wait: agents give up after 30. */
#define PARK_WAIT_MAX 25

struct park;

struct park *park_new(struct server *s);
void park_free(struct park *p); /* NULL is fine */

/* An exchange for a claim. */
struct exchange *park_exchange_new(void);

/* Takes from the request how long it waits. False: it does not say so in a valid way. */
bool park_exchange_begin(struct exchange *x, const struct request *r);

/* Frees one that was answered before it was sent. */
void park_exchange_free(struct exchange *x);

/* Keeps the payload for asking again; call it when it is packed. */
void park_exchange_packed(struct exchange *x);

/* Answers all that wait, and lets no more wait. */
void park_close(struct park *p);

#endif
