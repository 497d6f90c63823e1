#include "worker/handlers.h"

#include "common/op.h"

#define API(op, handler, ...)   handler_fn handler;
#define LOGIN(op, handler, ...) handler_fn handler;
#include "common/api.def"

handler_fn *const api_handlers[OP_COUNT_] = {
#define API(op, handler, ...)   [op] = handler,
#define LOGIN(op, handler, ...) [op] = handler,
#include "common/api.def"
};
