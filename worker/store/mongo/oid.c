#include "worker/store/mongo/oid.h"

#include <string.h>

static uint64_t rotl(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void rounds(uint64_t v[4], int n)
{
    for (int i = 0; i < n; i++) {
        v[0] += v[1];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[0] = rotl(v[0], 32);
        v[2] += v[3];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[2] = rotl(v[2], 32);
    }
}

/* SipHash-2-4 (J.-P. Aumasson, D. J. Bernstein: SipHash: a fast short-input PRF, 2012). */
static uint64_t siphash(struct text t, uint64_t k0, uint64_t k1)
{
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    const unsigned char *p = (const unsigned char *)t.s;
    size_t whole = t.len / 8;

    for (size_t block = 0; block <= whole; block++) {
        uint64_t m = block == whole ? (uint64_t)t.len << 56 : 0;
        size_t bytes = block == whole ? t.len % 8 : 8;
        for (size_t i = 0; i < bytes; i++)
            m |= (uint64_t)p[block * 8 + i] << (8 * i);
        v[3] ^= m;
        rounds(v, 2);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void oid_of_text(struct text t, bson_oid_t *ret)
{
    uint64_t a = siphash(t, 0x0706050403020100u, 0x0f0e0d0c0b0a0908u);
    uint64_t b = siphash(t, 0x0f0e0d0c0b0a0908u, 0x0706050403020100u);

    for (int i = 0; i < 8; i++)
        ret->bytes[i] = (uint8_t)(a >> (8 * i));
    for (int i = 0; i < 4; i++)
        ret->bytes[8 + i] = (uint8_t)(b >> (8 * i));
}
