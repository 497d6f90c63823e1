/* Renewal of leases by the calls of a bundle. */
#ifndef WORKER_LEASE_TOUCH_H
#define WORKER_LEASE_TOUCH_H

#include "worker/request/call.h"

/* Renews the leases of jobs whose answered calls have `touch` set, at most once per quarter of the
 * lease and job. Failures are only logged: a later call renews. */
void leases_touch(struct store *s, const struct call *calls, size_t n);

#endif
