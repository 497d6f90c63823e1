/* Who submitted a job, for what the job may still ask for. */
#ifndef WORKER_HANDLERS_SUBMITTER_H
#define WORKER_HANDLERS_SUBMITTER_H

#include "worker/store/store.h"

/* The document of the client that submitted the job, as it is now, as a new reference; NULL: nobody
 * is known, or the client was removed. ERR_NOT_FOUND: no such job. */
enum err submitter_client(struct store *s, struct text job_id, json_t **ret);

#endif
