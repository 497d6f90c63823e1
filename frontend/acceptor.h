/* Accepts connections from the listening socket. Pauses while the connection limit is reached, and
 * for a moment after a failed accept(). */
#ifndef FRONTEND_ACCEPTOR_H
#define FRONTEND_ACCEPTOR_H

#include "frontend/server.h"

struct acceptor;

/* Starts to accept for s->http. Takes the socket. NULL: out of memory. */
struct acceptor *acceptor_new(struct server *s, int listen_fd);
void acceptor_free(struct acceptor *a);

/* Whether a further connection may be accepted; without room, connections wait in the kernel. */
void acceptor_room(struct acceptor *a, bool room);

/* Call it when a connection was accepted. */
void acceptor_took(struct acceptor *a);

/* Call it each second: checks whether connections wait although we accept, and tells the master
 * (beat.h). */
void acceptor_tick(struct acceptor *a);

/* Stops accepting for good. */
void acceptor_close(struct acceptor *a);

#endif
