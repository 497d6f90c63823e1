/* The operations, one per row of common/api.def. Include this only where operations are named: each
 * includer is rebuilt with every new endpoint. Elsewhere an operation is an unsigned number. */
#ifndef COMMON_OP_H
#define COMMON_OP_H

enum op {
#define ROUTE(op, ...) op,
#include "common/api.def"
    OP_COUNT_
};

#endif
