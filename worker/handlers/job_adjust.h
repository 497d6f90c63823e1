/* Actions on a job beside cancel: extend a reservation, change a priority. */
#ifndef WORKER_HANDLERS_JOB_ADJUST_H
#define WORKER_HANDLERS_JOB_ADJUST_H

#include "worker/request/call.h"

/* Carries out the action of the body (schema_more_actions) and answers. The caller may act on the
 * job. */
void job_adjust(struct call *c, const json_t *body);

#endif
