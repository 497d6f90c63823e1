/* Shared by handlers that read jobs in bundles. */
#ifndef WORKER_HANDLERS_JOB_READS_H
#define WORKER_HANDLERS_JOB_READS_H

#include "worker/request/call.h"

/* Makes a read for each call with a valid job id, and answers the others. Returns the number of
 * reads; `reading` and `reads` have room for n. */
size_t job_reads_load(struct call *calls[], size_t n, struct call *reading[],
                      struct job_read *reads);

#endif
