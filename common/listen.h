/* The listening HTTP socket: bound once and shared by all processes that accept from it. */
#ifndef COMMON_LISTEN_H
#define COMMON_LISTEN_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>

struct listen_address {
    char host[256]; /* without brackets; empty: every address */
    char port[8];   /* "1" to "65535" */
};

/* Splits HOST:PORT, [HOST]:PORT or :PORT; ERR_INVALID for anything else. */
enum err listen_split(const char *text, struct listen_address *ret) MUST_CHECK;

/* Binds the address and listens on it; or takes the first socket that was passed to this process
 * (LISTEN_FDS, sd_listen_fds(3)) and then removes the variables that say so. The socket does not
 * block and is closed by exec. Says on stderr, as `program`, what is wrong. ERR_INVALID: the
 * setting is wrong; ERR_UNAVAILABLE: the address is in use. */
enum err listen_open(const char *program, const char *address, int *ret_fd) MUST_CHECK;

#define LISTEN_TEXT_SIZE 64
/* The numeric HOST:PORT or [HOST]:PORT on which a socket listens. */
void listen_text(int fd, char out[LISTEN_TEXT_SIZE]);

/* Whether other machines can reach the address of a socket. */
bool listen_is_public(int fd);

/* Passes the socket on in a child between fork and exec, as listen_open() takes it. Descriptor 3
 * must be free. */
enum err listen_pass(int fd) MUST_CHECK;

#endif
