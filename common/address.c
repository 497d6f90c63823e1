#include "common/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A block of addresses: those whose first `bits` bits are equal. */
struct block {
    uint8_t start[16];
    unsigned bits;
    enum address_kind kind;
};

/* The first matching row wins: the address of a metadata service stands before its network. */
static const struct block blocks4[] = {
    {{100, 100, 100, 200}, 32, ADDRESS_SPECIAL}, /* metadata: Alibaba */
    {{168, 63, 129, 16}, 32, ADDRESS_SPECIAL},   /* metadata: Azure */
    {{192, 0, 0, 192}, 32, ADDRESS_SPECIAL},     /* metadata: Oracle */
    {{0}, 8, ADDRESS_SPECIAL},                   /* this network; 0.0.0.0 is this machine */
    {{10}, 8, ADDRESS_PRIVATE},
    {{100, 64}, 10, ADDRESS_PRIVATE},  /* shared, RFC 6598 */
    {{127}, 8, ADDRESS_PRIVATE},       /* loopback */
    {{169, 254}, 16, ADDRESS_SPECIAL}, /* link-local; metadata: AWS, Azure, GCP */
    {{172, 16}, 12, ADDRESS_PRIVATE},
    {{192, 0, 0}, 24, ADDRESS_PRIVATE},   /* protocol assignments */
    {{192, 0, 2}, 24, ADDRESS_PRIVATE},   /* documentation */
    {{192, 88, 99}, 24, ADDRESS_SPECIAL}, /* relays of 6to4 */
    {{192, 168}, 16, ADDRESS_PRIVATE},
    {{198, 18}, 15, ADDRESS_PRIVATE},      /* benchmarks */
    {{198, 51, 100}, 24, ADDRESS_PRIVATE}, /* documentation */
    {{203, 0, 113}, 24, ADDRESS_PRIVATE},  /* documentation */
    {{224}, 3, ADDRESS_SPECIAL}            /* multicast, reserved, broadcast */
};

static const struct block blocks6[] = {
    {{0xfd, 0, 0x0e, 0xc2, [14] = 0x02, 0x54}, 128, ADDRESS_SPECIAL}, /* metadata: AWS */
    {{0xfd, 0x20, 0, 0xce, [14] = 0x02, 0x54}, 128, ADDRESS_SPECIAL}, /* metadata: GCP */
    {{0xfd, 0, 0, 0x42, [15] = 0x42}, 128, ADDRESS_SPECIAL},          /* metadata: Scaleway */
    {{[15] = 1}, 128, ADDRESS_PRIVATE},                               /* loopback */
    {{0xfe, 0x80}, 10, ADDRESS_SPECIAL},                              /* link-local */
    {{0xff}, 8, ADDRESS_SPECIAL},                                     /* multicast */
    {{0x00, 0x64, 0xff, 0x9b, 0, 1}, 48, ADDRESS_SPECIAL},            /* NAT64 of a network */
    {{0x20, 0x01, 0, 0}, 32, ADDRESS_SPECIAL},                        /* Teredo */
    {{0x20, 0x01}, 23, ADDRESS_PRIVATE},                              /* protocol assignments */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, ADDRESS_PRIVATE},                  /* documentation */
    {{0x3f, 0xff}, 20, ADDRESS_PRIVATE},                              /* documentation */
    {{0x20}, 3, ADDRESS_PUBLIC},                                      /* global unicast */
};

/* Blocks of addresses that wrap an IPv4 address at an offset. `kind`: the most trusted result. */
static const struct wrapping {
    struct block block;
    unsigned at;
} wrappings[] = {
    {{{[10] = 0xff, 0xff}, 96, ADDRESS_PUBLIC}, 12},      /* ::ffff:a.b.c.d */
    {{{0x00, 0x64, 0xff, 0x9b}, 96, ADDRESS_PUBLIC}, 12}, /* NAT64 */
    {{{0x20, 0x02}, 16, ADDRESS_PUBLIC}, 2},              /* 6to4 */
    {{{[8] = 0xff, 0xff}, 96, ADDRESS_SPECIAL}, 12},      /* ::ffff:0:a.b.c.d, translated */
    {{{0}, 96, ADDRESS_SPECIAL}, 12},                     /* ::a.b.c.d, compatible; and :: */
};

static bool within(const uint8_t *a, const struct block *b)
{
    unsigned bytes = b->bits / 8, rest = b->bits % 8;

    return memcmp(a, b->start, bytes) == 0 &&
           (!rest || ((a[bytes] ^ b->start[bytes]) >> (8 - rest)) == 0);
}

static enum address_kind kind_in(const uint8_t *a, const struct block *blocks, size_t n,
                                 enum address_kind otherwise)
{
    for (size_t i = 0; i < n; i++)
        if (within(a, &blocks[i]))
            return blocks[i].kind;
    return otherwise;
}

static enum address_kind kind4(const uint8_t *a)
{
    return kind_in(a, blocks4, sizeof blocks4 / sizeof *blocks4, ADDRESS_PUBLIC);
}

static enum address_kind worse(enum address_kind a, enum address_kind b)
{
    return a > b ? a : b;
}

static enum address_kind kind6(const uint8_t *a)
{
    static const uint8_t isatap[4] = {0, 0, 0x5e, 0xfe};
    static const struct block loopback = {{[15] = 1}, 128, ADDRESS_PRIVATE};

    for (size_t i = 0; !within(a, &loopback) && i < sizeof wrappings / sizeof *wrappings; i++)
        if (within(a, &wrappings[i].block))
            return worse(wrappings[i].block.kind, kind4(a + wrappings[i].at));
    /* Only 2000::/3 holds global unicast addresses. */
    enum address_kind kind = kind_in(a, blocks6, sizeof blocks6 / sizeof *blocks6, ADDRESS_PRIVATE);
    /* ISATAP, ANY_PREFIX:0:5efe:a.b.c.d; bit 0x02 tells whether the inner address is global. */
    if ((a[8] & 0xfd) == isatap[0] && memcmp(a + 9, isatap + 1, 3) == 0)
        kind = worse(kind, kind4(a + 12));
    return kind;
}

enum address_kind address_kind(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a, sizeof in);
        return kind4((const uint8_t *)&in.sin_addr);
    }
    if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, a, sizeof in6);
        return kind6(in6.sin6_addr.s6_addr);
    }
    return ADDRESS_SPECIAL;
}

enum address_kind address_kind_of_text(const char *text)
{
    uint8_t a[16];

    if (inet_pton(AF_INET, text, a) == 1)
        return kind4(a);
    return inet_pton(AF_INET6, text, a) == 1 ? kind6(a) : ADDRESS_SPECIAL;
}
