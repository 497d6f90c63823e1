/* Closes connections whose client may still be sending. Closing a socket with unread bytes resets
 * the connection, and the client may lose the answer. So we shut the socket down for writing, then
 * read and drop what comes for a while. */
#ifndef FRONTEND_LINGER_H
#define FRONTEND_LINGER_H

#include <event2/event.h>

struct late_socket;

struct lingering {
    struct late_socket *sockets; /* oldest first */
    size_t len;
};

/* Reads on from a copy of the descriptor, whose owner is about to close it: at most LINGER_BYTES
 * and LINGER_MS. At the limit of sockets the oldest is closed. */
void linger_begin(struct lingering *all, struct event_base *base, int fd);

void linger_end_all(struct lingering *all);

#endif
