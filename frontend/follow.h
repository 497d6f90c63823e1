/* Streams of jobs' events: server-sent events, for who watches a job. However many clients of this
 * process watch a job, a worker is asked once a second what is new. A client that is behind asks
 * for itself until it has caught up; one that does not read is not sent more than one part. */
#ifndef FRONTEND_FOLLOW_H
#define FRONTEND_FOLLOW_H

#include "frontend/exchange.h"

/* The kind of a request for a stream. */
extern const struct exchange_kind follow_kind;

struct streams *streams_new(struct server *s);
void streams_free(struct streams *all); /* may be NULL */

/* Ends all streams, so that their clients come back elsewhere; later ones end at once. */
void streams_close(struct streams *all);

#endif
