/* The operations, one a row of common/api.def. Include it only where operations are named: whatever
 * does is compiled anew with each endpoint. Elsewhere an operation is an unsigned number. */
#ifndef COMMON_OP_H
#define COMMON_OP_H

enum op {
#define ROUTE(op, ...) op,
#include "common/api.def"
    OP_COUNT_
};

#endif
