/* The pace of clients: how long a connection may stand in a stage, and how fast bodies must come
 * and answers be taken.
 *
 * Checked once a second. Idle connections and those with a partial head are in lists ordered by
 * age, of which only the front is checked; all others are. A tick counts as two seconds at most:
 * clients do not pay for a pause of this process. */
#ifndef FRONTEND_PACE_H
#define FRONTEND_PACE_H

#include "frontend/server.h"

/* Finds out in which stage a connection is. Call it when that may have changed. */
void pace_look(struct conn *c);

/* The PROXY header or the TLS handshake is complete: HTTP follows. */
void pace_opened(struct conn *c);

/* The connection is about to be freed. */
void pace_leave(struct conn *c);

/* Each second: closes the connections that are due. */
void pace_tick(struct server *s);

/* The connection that has stood longest in a list; NULL: none. */
struct conn *pace_oldest(struct server *s, enum pace_list list);

/* An evbuffer callback on the connection's output. */
void pace_on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *conn);

#endif
