/* Expiry: walks through what is too old, by age, in bounded steps. What belongs to an active job
 * stays. */
#ifndef WORKER_STORE_EXPIRY_H
#define WORKER_STORE_EXPIRY_H

#include "worker/jobs/expiry.h"
#include "worker/store/claims.h"
#include "worker/validation/job_id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* EXPIRY(id, setting, what messages call them). */
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

/* A job stays for this long after its end, even when it is due, so that clients that poll it see
 * how it ended. */
#define EXPIRY_ENDED_MS ((int64_t)60 * 1000)

/* Items of one step, up to SWEEP_MAX on MongoDB. On SQLite other writers wait for its
 * transaction. */
#define EXPIRY_STEP 25

/* One step of a walk through one kind, oldest first, and the position of the walk. */
struct expiry {
    enum expiry_kind kind;
    int64_t now_ms;
    struct job_limits limits; /* of all kinds but jobs: before_ms */
    int64_t from_ms;          /* in, out: time at which the walk goes on; 0: begin */
    size_t kept;              /* in, out: items of that time that were seen and stay */
    size_t removed;           /* out */
    size_t cancelled;         /* out: jobs */
    char cancelled_ids[SWEEP_MAX][JOB_ID_SIZE]; /* out: theirs */
    bool more;                                  /* out: the walk has not ended */
};

/* A step that cancels waiting jobs whose queue_timeout is over, at most SWEEP_MAX. */
struct queue_timeouts {
    int64_t now_ms;
    size_t cancelled;                           /* out */
    char cancelled_ids[SWEEP_MAX][JOB_ID_SIZE]; /* out */
    bool more;                                  /* out: more may be left */
};

/* For the back ends. The walk ends with what is younger than expiry_end_ms(). expiry_passed() moves
 * its place behind a thing of this age, expiry_cancelled() notes that a job was cancelled. */
int64_t expiry_end_ms(const struct expiry *x);
void expiry_passed(struct expiry *x, int64_t at_ms, bool stays);
void expiry_cancelled(struct expiry *x, struct text job_id);

#endif
