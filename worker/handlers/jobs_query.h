/* The query of lists of jobs: GET /v1/jobs, the page of jobs. */
#ifndef WORKER_HANDLERS_JOBS_QUERY_H
#define WORKER_HANDLERS_JOBS_QUERY_H

#include "worker/http/list_query.h"

/* Fills the filter from the query and checks it (list_query_check()). `states` and `tags` are the
 * caller's, for as long as it uses the filter. False: answered. */
bool jobs_query_load(struct list_query *q, const json_t *states, const json_t *tags,
                     struct job_filter *ret);

#endif
