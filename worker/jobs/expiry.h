/* When a job has outlived its time. */
#ifndef WORKER_JOBS_EXPIRY_H
#define WORKER_JOBS_EXPIRY_H

#include <stdint.h>

struct job_age {
    const char *state;
    int64_t created_ms;
    int64_t since_ms; /* when the job came to that state; 0: not known, then its creation counts */
};

/* What is older goes: milliseconds since 1970. */
struct job_limits {
    int64_t before_ms;         /* by its creation */
    int64_t ended_before_ms;   /* and by its end */
    int64_t waiting_before_ms; /* a job that still waits is cancelled; 0: never */
};

enum job_fate { JOB_STAYS, JOB_GOES, JOB_IS_CANCELLED };

/* Jobs that are neither over nor waiting stay, whatever their age. */
enum job_fate job_fate(const struct job_age *job, const struct job_limits *limits);

#endif
