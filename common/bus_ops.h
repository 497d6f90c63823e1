/* Sets of operations, by their numbers on the bus (`wire` in api.def). */
#ifndef COMMON_BUS_OPS_H
#define COMMON_BUS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The subject has 8 bits for the operation; one of their values means "unknown". */
#define BUS_OPS_MAX 254
enum { BUS_OPS_BYTES = (BUS_OPS_MAX + 8) / 8 };

struct bus_ops {
    uint8_t bits[BUS_OPS_BYTES]; /* of operation N: bit N % 8 of byte N / 8 */
};

/* Releases whose READY has no operations know those up to this number. */
#define BUS_OPS_UNTOLD 54

static inline void bus_ops_add(struct bus_ops *o, unsigned op)
{
    if (op <= BUS_OPS_MAX)
        o->bits[op / 8] |= (uint8_t)(1u << op % 8);
}

static inline bool bus_ops_has(const struct bus_ops *o, unsigned op)
{
    return op <= BUS_OPS_MAX && (o->bits[op / 8] >> op % 8 & 1);
}

#endif
