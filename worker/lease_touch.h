/* Renewal of leases by the calls of a bundle. */
#ifndef WORKER_LEASE_TOUCH_H
#define WORKER_LEASE_TOUCH_H

#include "worker/request/call.h"

/* Renews the leases of the jobs that the answered calls were about (call.touch). Looks at one job
 * not more often than a quarter of the lease; failures are logged and forgotten: a later call does
 * the same. */
void leases_touch(struct store *s, const struct call *calls, size_t n);

#endif
