/* The handlers of the webhook worker, by operation (enum op). */
#ifndef WORKER_WEBHOOK_HANDLERS_H
#define WORKER_WEBHOOK_HANDLERS_H

#include "worker/request/call.h"

extern handler_fn *const webhook_handlers[];

#endif
