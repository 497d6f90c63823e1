/* Reads of jobs that came in one bundle: what their handlers share. */
#ifndef WORKER_HANDLERS_JOB_READS_H
#define WORKER_HANDLERS_JOB_READS_H

#include "worker/request/call.h"

/* Makes a read of each call whose job id is valid, and answers the others. Returns how many;
 * `reading` and `reads` have room for n. */
size_t job_reads_load(struct call *calls[], size_t n, struct call *reading[],
                      struct job_read *reads);

#endif
