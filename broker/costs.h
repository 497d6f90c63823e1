/* Predicts the size of an answer from recent ones. The broker does not read payloads: the header's
 * `subject` and `origin` identify kind and client (docs/protocol.md). Fixed memory, O(1); of two
 * kinds with the same place the larger stays. */
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
 * client's average for the operation; else 0. */
size_t costs_expect(const struct costs *c, const struct bus_header *h);

/* Records the size of an answer. */
void costs_note(struct costs *c, const struct bus_header *h, size_t bytes);

#endif
