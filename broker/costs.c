#include "broker/costs.h"

enum {
    WORTH = 32 * 1024, /* bytes: smaller answers are not remembered */
    AVERAGE_OF = 4     /* weight of a new answer in a client's average: 1/4 */
};

/* A bijection, so that different kinds stay different. */
static uint64_t mix(uint64_t n)
{
    n = (n ^ (n >> 33)) * 0xff51afd7ed558ccdu; /* the final mix of MurmurHash3 */
    n = (n ^ (n >> 33)) * 0xc4ceb9fe1a85ec53u;
    return n ^ (n >> 33);
}

/* 0: unknown. */
static uint64_t kind_of(const struct bus_header *h)
{
    return h->subject;
}

/* Key of the client's average over one operation; 0: unknown. */
static uint64_t client_kind(const struct bus_header *h)
{
    uint64_t operation = h->subject >> BUS_SUBJECT_OP_SHIFT;

    return h->origin && operation ? mix(h->origin) + operation : 0;
}

static size_t place_of(uint64_t kind)
{
    return (size_t)(mix(kind) % COSTS_PLACES);
}

size_t costs_expect(const struct costs *c, const struct bus_header *h)
{
    const uint64_t kinds[] = {kind_of(h), client_kind(h)};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t place = place_of(kinds[i]);
        if (kinds[i] && c->places[place].kind == kinds[i])
            return c->places[place].bytes;
    }
    return 0;
}

static void put(struct costs *c, uint64_t kind, size_t bytes, size_t weight)
{
    size_t place = place_of(kind);
    bool is_known = c->places[place].kind == kind;
    size_t before = c->places[place].bytes;

    if (!kind)
        return;
    if (is_known)
        bytes = before - before / weight + bytes / weight;
    else if (bytes < WORTH || (c->places[place].kind && bytes < before / 2))
        return;
    c->places[place].kind = bytes < WORTH ? 0 : kind;
    c->places[place].bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

void costs_note(struct costs *c, const struct bus_header *h, size_t bytes)
{
    put(c, kind_of(h), bytes, 1);
    put(c, client_kind(h), bytes, AVERAGE_OF);
}
