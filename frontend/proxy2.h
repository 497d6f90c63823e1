/* The header of the PROXY protocol, version 2, with which a proxy begins a connection
 * (https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt). */
#ifndef FRONTEND_PROXY2_H
#define FRONTEND_PROXY2_H

#include "frontend/address.h"

#include <stddef.h>

enum proxy2_result { PROXY2_MORE, PROXY2_DONE, PROXY2_BAD };

/* All zeros: nothing received. */
struct proxy2 {
    uint8_t bytes[16 + 36]; /* the fixed part and the longest addresses; the rest is skipped */
    size_t have;
    bool named;            /* false: the proxy's own connection, or client unknown */
    struct address client; /* where named */
};

/* Limit of the bytes to take next, never beyond the header. 0: it is complete. */
size_t proxy2_wants(const struct proxy2 *p);

/* Takes n bytes, at most proxy2_wants(). Do not call it after PROXY2_BAD. */
enum proxy2_result proxy2_take(struct proxy2 *p, const void *data, size_t n);

#endif
