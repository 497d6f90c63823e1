/* A growing byte buffer with a maximum. */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include "common/err.h"
#include "common/text.h"

#include <stddef.h>

struct buf {
    char *data; /* NUL-terminated once anything was added; owned */
    size_t len;
    size_t size;
    size_t max;
};

#define BUF_INIT(limit) ((struct buf){.max = (limit)})

/* Appends; ERR_TOO_LARGE when it would pass the maximum (nothing is added then). */
enum err buf_add(struct buf *b, const void *data, size_t len) MUST_CHECK;
enum err buf_printf(struct buf *b, const char *fmt, ...) MUST_CHECK
    __attribute__((format(printf, 2, 3)));

/* Appends a text percent-encoded, all but the unreserved characters of RFC 3986. */
enum err buf_add_percent(struct buf *b, struct text t) MUST_CHECK;

/* Frees the memory and leaves an empty buffer with the same maximum. */
void buf_free(struct buf *b);

#endif
