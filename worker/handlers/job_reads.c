#include "worker/handlers/job_reads.h"

#include "worker/validation/job_id.h"

size_t job_reads_load(struct call *calls[], size_t n, struct call *reading[],
                      struct job_read *reads)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        struct text id = calls[i]->request->params[0];
        if (!job_id_valid(id.s, id.len)) {
            reply_error(calls[i], 400, INVALID_JOB_ID);
            continue;
        }
        reading[len] = calls[i];
        reads[len++] = (struct job_read){.job_id = id};
    }
    return len;
}
