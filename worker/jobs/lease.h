/* The lease of a running job: how long its agent may be silent. Calls of the agent renew it; when
 * it expires, the job has lost its agent. Pure rules, without the store. */
#ifndef WORKER_JOBS_LEASE_H
#define WORKER_JOBS_LEASE_H

#include "common/envelope.h"

#include <stdbool.h>
#include <stdint.h>

/* Seconds of a reservation whose job does not say how long. */
#define RESERVE_DEFAULT ((int64_t)3600)

/* The stored fields that decide on the lease of a job. */
struct lease_job {
    const char *state;
    struct text owner; /* s NULL: unknown */
    int64_t lease_ms;  /* 0: none */
    bool open;         /* its claim is not confirmed yet */
    /* seconds, of the job's data; 0: missing, or not a number */
    int64_t global_timeout, reserve_timeout;
};

/* A call about a job, which may renew the job's lease (see lease_is_due). */
struct lease_renewal {
    struct text job_id;
    struct text agent; /* s NULL: unknown */
    bool certain;      /* only agents make such calls */
    bool exact; /* write it even soon after a renewal: the state changed, so may the length */
    int64_t now_ms;
    int64_t length_ms; /* of a lease in states without an own length */
};

/* Whether leases have their own length in this state. */
bool lease_has_own(const char *state);

/* Length of a lease in the job's state: `length_ms`, plus the job's global timeout in provision,
 * plus its reserve timeout in reserve. */
int64_t lease_length_ms(const struct lease_job *job, int64_t length_ms);

/* When the job's reservation ends that began at since_ms; 0: it is not reserved. */
int64_t lease_reserved_ms(const char *state, int64_t since_ms, int64_t timeout_s);

/* Whether the call renews the lease in the store; *ret_end_ms gets the new end. False for calls of
 * other agents, and soon after the last renewal. */
bool lease_is_due(const struct lease_job *job, const struct lease_renewal *r, int64_t *ret_end_ms);

/* Whether the job was taken from this agent as lost, so that its posts come too late: `owner`,
 * another agent, has the job after `reruns`. False when s of either text is NULL (unknown). */
bool lease_lost_by(struct text agent, struct text owner, int64_t reruns);

#endif
