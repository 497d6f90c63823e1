#include "worker/handlers.h"

#define ROW_SERVICE_API(op, handler)   [op] = handler,
#define ROW_SERVICE_LOGIN(op, handler) [op] = handler,
#define ROW_SERVICE_WEBHOOK(op, handler)
handler_fn *const api_handlers[OP_COUNT_] = {
#define LOCAL(op, method, path, handler, summary)
#define API(op, method, path, service, roles, limit, too_large, flags, handler, summary)           \
    ROW_##service(op, handler)
#include "common/api.def"
#undef LOCAL
#undef API
};
