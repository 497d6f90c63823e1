/* How long requests and bundles take in the workers (us), as moving averages. */
#ifndef BROKER_PACE_H
#define BROKER_PACE_H

#include "common/bus_ops.h"

#include <stdint.h>

/* A bundle ends with the request that makes its expected time as long. */
#define BUNDLE_US 4000

struct pace {
    int64_t turn_us; /* from a bundle's handing over to its last answer */
    /* Of a request alone, by the operation's number on the bus; 0: unknown, or the requests of a
     * bundle are served together. */
    uint32_t took_us[BUS_OPS_MAX + 1];
};

/* Records what a REPLY says (0: nothing), and the time of a bundle. */
void pace_note(struct pace *p, unsigned op, uint32_t took_us);
void pace_note_turn(struct pace *p, int64_t us);

/* Expected time of a request alone. */
uint32_t pace_expect(const struct pace *p, unsigned op);

/* How long waiting requests are kept for a worker at work: two turns, within limits. */
#define PATIENCE_MIN_US 500
#define PATIENCE_MAX_US 20000
int64_t pace_patience_us(const struct pace *p);

#endif
