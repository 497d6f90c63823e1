/* Runs the calls of one bundle. */
#ifndef WORKER_DISPATCH_H
#define WORKER_DISPATCH_H

#include "worker/request/call.h"

/* Answers every call by the handler of its operation in `handlers` (OP_COUNT_ long): asks the gate,
 * then routes it to its handler, calls of a ROUTE_GATHER row together. All store operations of the
 * bundle form one group (but those of logins, which take long between reading and writing); when
 * the group cannot be made durable, every call is answered with that error, since none of them has
 * happened. Calls that have `later` set may be left without an answer, which the webhook worker
 * gives. If the process turns out to be late (late.h), calls not yet begun stay unanswered:
 * brokers give them to other workers. */
void dispatch_bundle(handler_fn *const handlers[], struct store *store, struct call *calls,
                     size_t n);

#endif
