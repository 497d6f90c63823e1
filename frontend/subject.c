#include "frontend/subject.h"

#include "common/bus.h"

#include <arpa/inet.h>
#include <string.h>

#define FNV_START 14695981039346656037u /* FNV-1a, 64 bits */
#define FNV_PRIME 1099511628211u

enum { PREFIX_BYTES = 8, V4_AT = 12 };

static uint64_t add(uint64_t h, const void *data, size_t len)
{
    const unsigned char *s = data;

    for (size_t i = 0; i < len; i++)
        h = (h ^ s[i]) * FNV_PRIME;
    return h;
}

/* The lengths count too: "a" and "bc" are not "ab" and "c". */
static uint64_t add_text(uint64_t h, struct text t)
{
    return add(add(h, &t.len, sizeof t.len), t.s, t.len);
}

static uint64_t not_0(uint64_t h)
{
    return h ? h : 1;
}

uint64_t subject_origin(struct text address)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char v4[4];
    struct in6_addr v6;

    if (!address.len || address.len >= sizeof text)
        return 0;
    memcpy(text, address.s, address.len);
    text[address.len] = '\0';
    if (inet_pton(AF_INET, text, v4) == 1)
        return not_0(add(FNV_START, v4, sizeof v4));
    if (inet_pton(AF_INET6, text, &v6) != 1)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&v6))
        return not_0(add(FNV_START, v6.s6_addr + V4_AT, sizeof v4));
    return not_0(add(FNV_START, v6.s6_addr, PREFIX_BYTES));
}

uint32_t subject_of(const struct request *r)
{
    const uint32_t below = (1u << BUS_SUBJECT_OP_SHIFT) - 1;
    uint64_t h = FNV_START;

    for (size_t i = 0; i < r->params_len; i++)
        h = add_text(h, r->params[i]);
    for (size_t i = 0; i < r->query_len; i++)
        h = add_text(add_text(h, r->query[i].name), r->query[i].value);
    return ((uint32_t)r->op + 1) << BUS_SUBJECT_OP_SHIFT | (uint32_t)(h ^ (h >> 32)) % below;
}
