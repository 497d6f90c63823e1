/* The client as trusted proxies name it: X-Forwarded-For, -Proto and -Host, or Forwarded (RFC
 * 7239).
 *
 * Each proxy appends its caller's address. So the list is read from its end, past trusted proxies:
 * the first other address is the client. What stands before it can be forged by the client. */
#ifndef FRONTEND_FORWARDED_H
#define FRONTEND_FORWARDED_H

#include "frontend/head.h"
#include "frontend/trust.h"

/* The headers that the proxies set; a client may have set the others. */
enum forwarded_headers { FORWARDED_X, FORWARDED_RFC7239 };

struct forwarded_rules {
    enum forwarded_headers headers;
    bool one_hop; /* ENABLE_PROXYFIX: every caller counts as the only proxy */
    struct trust trust;
};

/* Values of these headers, in the order in which they came. */
struct forwarded_values {
    struct text lines[HEAD_FIELDS_MAX];
    size_t len;
};

struct forwarded {
    struct address client; /* the caller, if nothing better is known */
    struct text proto;     /* "http" or "https" as the client used it; empty: not said */
    struct text host;      /* as the client used it; empty: not said */
};

/* Whether to use the headers of `peer`. */
bool forwarded_trusts(const struct forwarded_rules *rules, const struct address *peer);

/* The client of a request from a trusted `peer`. `in`: with FORWARDED_X the values of
 * X-Forwarded-For, -Proto and -Host, else in[0] those of Forwarded. Spans point into them. */
void forwarded_read(const struct forwarded_rules *rules, const struct address *peer,
                    const struct forwarded_values in[3], struct forwarded *ret);

#endif
