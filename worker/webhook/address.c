#include "worker/webhook/address.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A block of addresses: those whose first `bits` bits are equal. */
struct block {
    uint8_t start[16];
    unsigned bits;
};

static const struct block special4[] = {
    {{0},         8 }, /* this network */
    {{10},        8 }, /* private */
    {{100, 64},   10}, /* shared, RFC 6598 */
    {{127},       8 }, /* loopback */
    {{169, 254},  16}, /* link-local */
    {{172, 16},   12}, /* private */
    {{192, 0, 0}, 24}, /* protocol assignments */
    {{192, 168},  16}, /* private */
    {{198, 18},   15}, /* benchmarks */
    {{224},       3 }  /* multicast, reserved, broadcast */
};

/* Outside of 2000::/3 nothing is global unicast. */
static const struct block global6 = {{0x20}, 3};
static const struct block special6[] = {
    {{0x20, 0x01, 0, 0},       32}, /* Teredo: wraps an IPv4 address */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}  /* documentation */
};
static const struct block mapped = {
    {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
    96
}; /* ::ffff:a.b.c.d */
static const struct block nat64 = {
    {0, 0x64, 0xff, 0x9b},
    96
};
static const struct block six_to_four = {
    {0x20, 0x02},
    16
};

static bool within(const uint8_t *a, const struct block *b)
{
    unsigned bytes = b->bits / 8, rest = b->bits % 8;

    return memcmp(a, b->start, bytes) == 0 &&
           (!rest || ((a[bytes] ^ b->start[bytes]) >> (8 - rest)) == 0);
}

static bool within_any(const uint8_t *a, const struct block *blocks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (within(a, &blocks[i]))
            return true;
    return false;
}

static bool is_public4(const uint8_t *a)
{
    return !within_any(a, special4, sizeof special4 / sizeof *special4);
}

static bool is_public6(const uint8_t *a)
{
    if (within(a, &mapped) || within(a, &nat64))
        return is_public4(a + 12);
    if (within(a, &six_to_four))
        return is_public4(a + 2);
    return within(a, &global6) && !within_any(a, special6, sizeof special6 / sizeof *special6);
}

bool address_is_public(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a, sizeof in);
        return is_public4((const uint8_t *)&in.sin_addr);
    }
    if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, a, sizeof in6);
        return is_public6(in6.sin6_addr.s6_addr);
    }
    return false;
}
