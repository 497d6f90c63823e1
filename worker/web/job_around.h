/* What surrounds a job, for its page. */
#ifndef WORKER_WEB_JOB_AROUND_H
#define WORKER_WEB_JOB_AROUND_H

#include "worker/web/job_parts.h"

/* {attempt, attempts, parent, children, has_more_children, events, audit}, with has_… of the lists:
 * the number of this attempt (null: the only one) and the earlier ones; the parent's and children's
 * rows; what became of its events for webhooks; entries of the audit trail, for who may see it. A
 * new reference. */
enum err job_around(struct call *c, const struct job_parts *p, json_t **ret) MUST_CHECK;

#endif
