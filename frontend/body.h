/* The body of a request while it arrives: up to BODY_MEMORY_MAX bytes in memory, more in an
 * unlinked temporary file if that is allowed. */
#ifndef FRONTEND_BODY_H
#define FRONTEND_BODY_H

#include "common/api.h"
#include "common/err.h"
#include "frontend/budget.h"

#include <event2/buffer.h>
#include <sys/types.h>

#define BODY_MEMORY_MAX ((uint64_t)BODY_UNASKED)

/* What the bodies of one process share. */
struct body_limits {
    struct budget budget;
    uint64_t upload_max; /* bytes of the body of an upload */
};

struct body {
    struct budget_share held;    /* of memory */
    struct budget_share spooled; /* of the spool */
    char *mem;                   /* NULL: empty, or in the file */
    size_t cap;
    int fd; /* -1: no file */
    bool spools;
    uint64_t len;
};

/* An empty body. `spools`: it may go to a file. */
void body_begin(struct body *b, bool spools);

/* Moves `n` bytes from the front of `from` to the end, charged to `t`. ERR_FULL: no memory, or the
 * body is above BODY_MEMORY_MAX and may not go to a file; ERR_NO_ROOM (logged): disk or --max-spool
 * full. After an error the bytes are lost: drop the body. */
enum err body_take(struct body *b, struct tenant *t, struct evbuffer *from, uint64_t n) MUST_CHECK;

/* Copies up to `n` bytes from byte `at` on and returns their number; -1 (logged): the file cannot
 * be read. */
ssize_t body_read(const struct body *b, uint64_t at, void *out, size_t n);

/* Frees memory and file; leaves an empty body in memory. */
void body_free(struct body *b);

#endif
