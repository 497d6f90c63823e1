#include "frontend/subject.h"

#include "common/bus.h"

#include <arpa/inet.h>
#include <string.h>

enum { PREFIX_BYTES = 8, V4_AT = 12 };

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
        return not_0(fnv_add(FNV_START, v4, sizeof v4));
    if (inet_pton(AF_INET6, text, &v6) != 1)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&v6))
        return not_0(fnv_add(FNV_START, v6.s6_addr + V4_AT, sizeof v4));
    return not_0(fnv_add(FNV_START, v6.s6_addr, PREFIX_BYTES));
}

uint32_t subject_of(const struct request *r)
{
    const uint32_t below = (1u << BUS_SUBJECT_OP_SHIFT) - 1;
    uint64_t h = FNV_START;

    for (size_t i = 0; i < r->params_len; i++)
        h = fnv_add_text(h, r->params[i]);
    for (size_t i = 0; i < r->query_len; i++)
        h = fnv_add_text(fnv_add_text(h, r->query[i].name), r->query[i].value);
    return (route_wire(route_of(r->op)) + 1) << BUS_SUBJECT_OP_SHIFT |
           (uint32_t)(h ^ (h >> 32)) % below;
}
