#include "worker/webhook/handlers.h"

#include "common/op.h"

#define WEBHOOK(op, handler, ...) handler_fn handler;
#include "common/api.def"

handler_fn *const webhook_handlers[OP_COUNT_] = {
#define WEBHOOK(op, handler, ...) [op] = handler,
#include "common/api.def"
};
