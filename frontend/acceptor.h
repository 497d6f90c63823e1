/* Accepts connections from the listening socket. Pauses while the connection limit is reached, and
 * for a moment after a failed accept(). */
#ifndef FRONTEND_ACCEPTOR_H
#define FRONTEND_ACCEPTOR_H

#include "frontend/server.h"

struct acceptor;

/* Starts to accept for s->http. Takes the socket. NULL: out of memory. */
struct acceptor *acceptor_new(struct server *s, int listen_fd);
void acceptor_free(struct acceptor *a);

/* Whether there is room for a further connection: without it, they wait in the kernel. */
void acceptor_room(struct acceptor *a, bool room);

/* A connection was accepted. */
void acceptor_took(struct acceptor *a);

/* Each second: finds out whether connections wait although they are accepted, and tells the master
 * (beat.h). */
void acceptor_tick(struct acceptor *a);

/* No further connections, for good. */
void acceptor_close(struct acceptor *a);

#endif
