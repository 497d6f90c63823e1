/* The submission of jobs, for web pages. */
#ifndef WORKER_HANDLERS_SUBMIT_H
#define WORKER_HANDLERS_SUBMIT_H

#include "worker/request/call.h"

/* Makes all checks of h_job_add(), with the same answers to faults, and stores nothing. 200 with an
 * empty object: the job would be taken. */
void submit_check(struct call *calls[], size_t n);

#endif
