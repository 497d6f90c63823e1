#include "worker/jobs/expiry.h"

#include "worker/jobs/states.h"

#include <string.h>

enum job_fate job_fate(const struct job_age *job, const struct job_limits *limits)
{
    int64_t since_ms = job->since_ms ? job->since_ms : job->created_ms;

    if (state_is_over(job->state) && job->created_ms < limits->before_ms &&
        since_ms < limits->ended_before_ms)
        return JOB_GOES;
    if (strcmp(job->state, "waiting") == 0 && job->created_ms < limits->waiting_before_ms)
        return JOB_IS_CANCELLED;
    return JOB_STAYS;
}
