#include "frontend/proxy2.h"

#include <string.h>

enum {
    FIXED = 16,
    LOCAL = 0x20, /* version 2 and the command */
    PROXY = 0x21,
    UNSPEC = 0x00,
    TCP4 = 0x11,
    TCP6 = 0x21,
    UNIX = 0x31,
    TCP4_SIZE = 12, /* two addresses, two ports */
    TCP6_SIZE = 36,
    UNIX_SIZE = 216
};

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                      0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* Length of what follows the fixed part: addresses and further fields. */
static size_t rest_size(const struct proxy2 *p)
{
    return (size_t)p->bytes[14] << 8 | p->bytes[15];
}

size_t proxy2_wants(const struct proxy2 *p)
{
    return p->have < FIXED ? FIXED - p->have : FIXED + rest_size(p) - p->have;
}

/* Whether the received bytes of the fixed part can be those of a valid header. */
static bool begins_well(const struct proxy2 *p)
{
    size_t n = p->have < sizeof signature ? p->have : sizeof signature;

    if (memcmp(p->bytes, signature, n) != 0)
        return false;
    if (p->have > 12 && p->bytes[12] != LOCAL && p->bytes[12] != PROXY)
        return false;
    if (p->have < FIXED || p->bytes[12] == LOCAL)
        return true;
    switch (p->bytes[13]) {
    case UNSPEC:
        return true;
    case TCP4:
        return rest_size(p) >= TCP4_SIZE;
    case TCP6:
        return rest_size(p) >= TCP6_SIZE;
    case UNIX:
        return rest_size(p) >= UNIX_SIZE;
    default: /* datagrams, and undefined values */
        return false;
    }
}

static void read_client(struct proxy2 *p)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    if (p->bytes[12] == LOCAL)
        return;
    if (p->bytes[13] == TCP4) {
        memcpy(&in.sin_addr, p->bytes + FIXED, sizeof in.sin_addr);
        p->client = address_of((struct sockaddr *)&in);
        p->named = true;
    } else if (p->bytes[13] == TCP6) {
        memcpy(&in6.sin6_addr, p->bytes + FIXED, sizeof in6.sin6_addr);
        p->client = address_of((struct sockaddr *)&in6);
        p->named = true;
    }
}

enum proxy2_result proxy2_take(struct proxy2 *p, const void *data, size_t n)
{
    size_t room = p->have < sizeof p->bytes ? sizeof p->bytes - p->have : 0;

    memcpy(p->bytes + sizeof p->bytes - room, data, n < room ? n : room);
    p->have += n;
    if (!begins_well(p))
        return PROXY2_BAD;
    if (p->have < FIXED || proxy2_wants(p))
        return PROXY2_MORE;
    read_client(p);
    return PROXY2_DONE;
}
