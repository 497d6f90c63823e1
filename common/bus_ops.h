/* Sets of operations, by the numbers that they have on the bus (`wire` in api.def). */
#ifndef COMMON_BUS_OPS_H
#define COMMON_BUS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A broker finds the operation in 8 bits of the subject, one of which values means "not told". */
#define BUS_OPS_MAX 254
enum { BUS_OPS_BYTES = (BUS_OPS_MAX + 8) / 8 };

struct bus_ops {
    uint8_t bits[BUS_OPS_BYTES]; /* of operation N: bit N % 8 of byte N / 8 */
};

/* Releases before the numbers were told in READY know the operations up to this one. */
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
