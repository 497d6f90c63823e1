#include "worker/webhook/handlers.h"

#define ROW_SERVICE_API(op, handler)
#define ROW_SERVICE_LOGIN(op, handler)
#define ROW_SERVICE_WEBHOOK(op, handler) [op] = handler,
handler_fn *const webhook_handlers[OP_COUNT_] = {
#define LOCAL(op, method, path, handler, summary)
#define API(op, method, path, service, roles, limit, too_large, flags, handler, summary)           \
    ROW_##service(op, handler)
#include "common/api.def"
#undef LOCAL
#undef API
};
