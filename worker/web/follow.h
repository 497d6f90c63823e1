/* The stream of a job's events (docs/web.md): what a frontend sends to those who watch a job. */
#ifndef WORKER_WEB_FOLLOW_H
#define WORKER_WEB_FOLLOW_H

#include "worker/web/job_parts.h"

/* The address of a job's stream from now on, for its page; null: the job is over. A new reference.
 * Call it before the logs of the page are read: what comes meanwhile is in both. */
enum err follow_url(struct call *c, const struct job_parts *p, json_t **ret) MUST_CHECK;

#endif
