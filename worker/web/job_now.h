/* What a job waits for, or has at present. */
#ifndef WORKER_WEB_JOB_NOW_H
#define WORKER_WEB_JOB_NOW_H

#include "worker/web/job_parts.h"

/* {before, is_next, is_unserved, agents, online, half, most, paused, upload_url} of a job that
 * waits; null: it does not. `half`, `most`: the time within which 50 and 90 % of the jobs of its
 * queue were taken; null: not known. */
enum err job_waiting(struct call *c, const struct job_parts *p, json_t **ret) MUST_CHECK;

/* {until, left, total, gone} of a job that is reserved: when that ends, in how long; seconds. null:
 * it is not. A new reference. */
json_t *job_reservation(struct call *c, const struct job_parts *p);

#endif
