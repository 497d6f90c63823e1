/* Remembers how many bytes recent answers had, to predict those of the next requests. The broker
 * does not read payloads: the header's `subject` and `origin` identify kind and client
 * (docs/protocol.md). Fixed memory, O(1); of two kinds that hash to one place the larger stays. */
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

/* Expected bytes of the answer: those of the last answer of the same kind; for an unknown kind the
 * client's recent average of the same operation; else 0. */
size_t costs_expect(const struct costs *c, const struct bus_header *h);

/* Notes the size of an answer. */
void costs_note(struct costs *c, const struct bus_header *h, size_t bytes);

#endif
