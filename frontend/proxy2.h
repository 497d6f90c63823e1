/* The header of the PROXY protocol, version 2, with which a proxy begins a connection
 * (https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt). */
#ifndef FRONTEND_PROXY2_H
#define FRONTEND_PROXY2_H

#include "frontend/address.h"

#include <stddef.h>

enum proxy2_result { PROXY2_MORE, PROXY2_DONE, PROXY2_BAD };

/* All zeros: nothing has come. */
struct proxy2 {
    uint8_t bytes[16 + 36]; /* the fixed part and the longest addresses; the rest is skipped */
    size_t have;
    bool named;            /* it names a client; else the proxy calls for itself, or does not say */
    struct address client; /* where named */
};

/* How many bytes may be taken at most: never any behind the header. 0: it is complete. */
size_t proxy2_wants(const struct proxy2 *p);

/* Takes n bytes, at most those wanted. After PROXY2_BAD nothing more may be taken. */
enum proxy2_result proxy2_take(struct proxy2 *p, const void *data, size_t n);

#endif
