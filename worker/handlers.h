/* The handlers of the API and of logins, by operation (enum op). */
#ifndef WORKER_HANDLERS_H
#define WORKER_HANDLERS_H

#include "worker/request/call.h"

extern handler_fn *const api_handlers[];

#endif
