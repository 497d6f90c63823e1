/* What has outlived its time in the store: looked through in walks, by age, a bounded step at a
 * time. Nothing that belongs to an active job goes. */
#ifndef WORKER_STORE_EXPIRY_H
#define WORKER_STORE_EXPIRY_H

#include "worker/jobs/expiry.h"
#include "worker/store/claims.h"
#include "worker/validation/job_id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* EXPIRY(id, setting, name of the things in messages). clang-format off */
#define EXPIRIES                                                                                   \
    EXPIRY(EXPIRY_JOBS, expire_jobs, "jobs")                                                       \
    EXPIRY(EXPIRY_OUTPUT, expire_output, "pieces of output")                                       \
    EXPIRY(EXPIRY_SERIAL, expire_output, "pieces of serial output")                                \
    EXPIRY(EXPIRY_LOGS, expire_logs, "fragments of logs")                                          \
    EXPIRY(EXPIRY_FILES, expire_files, "attachments and artifacts")                                \
    EXPIRY(EXPIRY_AGENTS, expire_agents, "agents")                                                 \
    EXPIRY(EXPIRY_QUEUES, expire_queues, "queues")                                                 \
    EXPIRY(EXPIRY_KEYS, expire_keys, "keys of submissions")
/* clang-format on */

enum expiry_kind {
#define EXPIRY(id, setting, name) id,
    EXPIRIES
#undef EXPIRY
        EXPIRY_KINDS
};

/* A job whose end came when its time was nearly over stays for this long, so that those who look at
 * it every few seconds see how it ended. */
#define EXPIRY_ENDED_MS ((int64_t)60 * 1000)

/* One step of a walk through the things of a kind, oldest first, and where the walk is. */
struct expiry {
    enum expiry_kind kind;
    int64_t now_ms;
    struct job_limits limits; /* of all kinds but jobs: before_ms */
    int64_t from_ms;          /* in, out: the walk goes on with things of this time; 0: begin */
    size_t kept;              /* in, out: so many of this time were seen, and stay */
    size_t removed;           /* out */
    size_t cancelled;         /* out: jobs */
    char cancelled_ids[SWEEP_MAX][JOB_ID_SIZE]; /* out: theirs */
    bool more;                                  /* out: the walk is not at its end */
};

/* For the back ends. The walk ends with what is younger than expiry_end_ms(). expiry_passed() moves
 * its place behind a thing of this age, expiry_cancelled() notes that a job was cancelled. */
int64_t expiry_end_ms(const struct expiry *x);
void expiry_passed(struct expiry *x, int64_t at_ms, bool stays);
void expiry_cancelled(struct expiry *x, struct text job_id);

#endif
