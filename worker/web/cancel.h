/* Where a visitor cancels a job. */
#ifndef WORKER_WEB_CANCEL_H
#define WORKER_WEB_CANCEL_H

#include "worker/request/call.h"

/* The address of the page that cancels a job, for a row of store_jobs_show(); null: the job is over
 * or the visitor's role may not. A new reference. */
json_t *cancel_url(const struct call *c, const json_t *job);

#endif
