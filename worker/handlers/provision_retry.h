/* Jobs that ask to run again when their provisioning fails (retries_on_provision_failure). */
#ifndef WORKER_HANDLERS_PROVISION_RETRY_H
#define WORKER_HANDLERS_PROVISION_RETRY_H

#include "worker/request/call.h"

/* Whether the post may be the end of a run whose provisioning failed. */
bool provision_retry_may_be(const struct call *c, const struct result_put *put);

/* Looks at such a post. True: the job waits again, with this post in the attempt that has
 * ended, or the post is a late one of such an attempt; the call is answered. False: it is a result
 * as any other. */
bool provision_retry(struct call *c, struct result_put *put);

#endif
