/* Limits of time and rate: how long a connection may stay in a stage, and how fast bodies must
 * arrive and answers be read.
 *
 * Checked once a second. Idle connections and those with a partial head are in lists ordered by
 * age, of which only the front is checked; all others are. A tick counts as two seconds at most:
 * clients do not pay for a pause of this process. */
#ifndef FRONTEND_PACE_H
#define FRONTEND_PACE_H

#include "frontend/server.h"

/* Updates the stage of a connection. Call it after each change that may matter. */
void pace_look(struct conn *c);

/* Call it after the PROXY header or TLS handshake: HTTP follows. */
void pace_opened(struct conn *c);

/* Call it before the connection is freed. */
void pace_leave(struct conn *c);

/* Call it each second: closes connections over their limit. */
void pace_tick(struct server *s);

/* The oldest connection in a list; NULL: none. */
struct conn *pace_oldest(struct server *s, enum pace_list list);

/* An evbuffer callback on the connection's output. */
void pace_on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *conn);

#endif
