/* What requests of a kind cost lately, by the bytes of their answers. The broker does not look into
 * payloads: two numbers of a request's header name its kind and its client (docs/protocol.md).
 * Fixed memory, O(1); of two kinds that share a place the larger one is remembered. */
#ifndef BROKER_COSTS_H
#define BROKER_COSTS_H

#include "common/bus.h"

#include <stdbool.h>

enum { COSTS_PLACES = 4096 };

struct costs {
    struct {
        uint64_t kind; /* 0: free */
        uint32_t bytes;
    } places[COSTS_PLACES];
};

/* Bytes that the answer to this request will probably have: those of the last one of its kind; for
 * a kind that is not known, the average of what its client got lately of the same operation; else
 * 0. */
size_t costs_expect(const struct costs *c, const struct bus_header *h);

/* Notes the size of an answer. */
void costs_note(struct costs *c, const struct bus_header *h, size_t bytes);

#endif
