/* Decides when a job expires. */
#ifndef WORKER_JOBS_EXPIRY_H
#define WORKER_JOBS_EXPIRY_H

#include <stdint.h>

struct job_age {
    const char *state;
    int64_t created_ms;
    int64_t since_ms; /* when the job came to that state; 0: unknown, use created_ms */
};

/* Times in milliseconds since 1970. */
struct job_limits {
    int64_t before_ms;         /* remove a finished job created before this */
    int64_t ended_before_ms;   /* and finished before this */
    int64_t waiting_before_ms; /* cancel a waiting job created before this; 0: never */
};

enum job_fate { JOB_STAYS, JOB_GOES, JOB_IS_CANCELLED };

/* Active jobs stay at any age. */
enum job_fate job_fate(const struct job_age *job, const struct job_limits *limits);

#endif
