/* Jobs for queues that nobody serves. */
#ifndef WORKER_HANDLERS_UNKNOWN_QUEUE_H
#define WORKER_HANDLERS_UNKNOWN_QUEUE_H

#include "worker/request/call.h"

/* Field of a job: as the setting unknown-queues, before which it goes. */
#define UNKNOWN_QUEUE_FIELD "unknown_queue"

/* Whether the field of a submission is one of the values of the setting. False: answered. */
bool unknown_queue_is_fine(struct call *c, const json_t *data);

/* Whether the job may be taken although perhaps nobody serves its queue. One that is there already,
 * as that of a repeat, may. False: answered. */
bool unknown_queue_takes(struct call *c, const json_t *data, const char *job_id);

#endif
