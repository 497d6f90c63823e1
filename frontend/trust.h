/* The addresses of the setting trusted-proxies. */
#ifndef FRONTEND_TRUST_H
#define FRONTEND_TRUST_H

#include "common/err.h"
#include "frontend/address.h"

#include <stddef.h>

#define TRUST_MAX 64

struct trust {
    struct network {
        struct address address;
        unsigned bits; /* of 128 */
    } networks[TRUST_MAX];
    size_t len;
};

/* Reads ADDRESS or ADDRESS/BITS, separated by commas or blanks. ERR_INVALID: *ret_at is the first
 * invalid entry, or one too many. */
enum err trust_parse(const char *text, struct trust *ret, const char **ret_at) MUST_CHECK;

bool trust_has(const struct trust *t, const struct address *a);

#endif
