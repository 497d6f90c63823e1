/* The end of connections whose client may still be sending: a socket that is closed with unread
 * bytes resets the connection, and the client may lose the answer. So the answer's end is told
 * (the library shuts the socket down for writing), and what comes is read and dropped for a while.
 */
#ifndef FRONTEND_LINGER_H
#define FRONTEND_LINGER_H

#include <event2/event.h>

struct late_socket;

struct lingering {
    struct late_socket *sockets; /* oldest first */
    size_t len;
};

/* Reads on from a copy of the descriptor, which its owner is about to close: at most
 * LINGER_BYTES and LINGER_MS. Of too many sockets the oldest is closed. */
void linger_begin(struct lingering *all, struct event_base *base, int fd);

void linger_end_all(struct lingering *all);

#endif
