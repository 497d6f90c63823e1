/* The body of a request while it arrives: in memory, or in an unlinked temporary file where its
 * route takes large ones. */
#ifndef FRONTEND_BODY_H
#define FRONTEND_BODY_H

#include "common/err.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stdint.h>

/* What the bodies of one process share. */
struct body_limits {
    uint64_t memory_max;  /* bytes of bodies that it may hold in memory */
    uint64_t memory_used; /* by all that were not freed */
    uint64_t upload_max;  /* bytes of a body that goes to a file */
    const char *spool;    /* folder of the temporary files */
};

struct body {
    struct body_limits *limits;
    struct evbuffer *mem; /* NULL: nothing has come, or it is in the file */
    int fd;               /* -1: no file */
    uint64_t len;
    uint64_t reserved; /* of memory_used */
};

/* An empty body. `spools`: it goes to a file from its first byte on. ERR_FULL (logged) when the
 * file cannot be made; the body is then empty and valid all the same. */
enum err body_begin(struct body *b, struct body_limits *limits, bool spools) MUST_CHECK;

/* Moves `n` bytes from the front of `from` to the end. ERR_FULL: the memory of all bodies, or the
 * disk (logged), is at its limit; the bytes are gone and the body is to be dropped. */
enum err body_take(struct body *b, struct evbuffer *from, uint64_t n) MUST_CHECK;

/* Frees what it holds and leaves an empty body in memory. */
void body_free(struct body *b);

#endif
