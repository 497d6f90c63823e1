/* The lease of a running job: how long its agent may be silent. Calls of the agent renew it; a job
 * whose lease has expired has lost its agent. Rules only, without the store. */
#ifndef WORKER_JOBS_LEASE_H
#define WORKER_JOBS_LEASE_H

#include "common/envelope.h"

#include <stdbool.h>
#include <stdint.h>

/* What decides on the lease of a job, as it is stored. */
struct lease_job {
    const char *state;
    struct text owner; /* s NULL: not known */
    int64_t lease_ms;  /* 0: none */
    bool open;         /* its claim is */
    /* seconds, of the job's data; 0: not given, or no number */
    int64_t global_timeout, reserve_timeout;
};

/* A call about a job that may renew its lease (lease_is_due() tells when it does). */
struct lease_renewal {
    struct text job_id;
    struct text agent; /* s NULL: not told */
    bool certain;      /* only agents make such calls */
    bool exact;        /* the job has come to another state: the lease may have another length */
    int64_t now_ms;
    int64_t length_ms; /* of a lease in states that have none of their own */
};

/* Whether leases have a length of their own in this state. */
bool lease_has_own(const char *state);

/* How long a lease is in this state. In provision agents may be silent for as long as the job may
 * run, in reserve for as long as the reservation is, and then for `length_ms` more. */
int64_t lease_length_ms(const struct lease_job *job, int64_t length_ms);

/* Whether the call that asks for it renews the lease, and is to be written: *ret_end_ms is the new
 * end. Calls of other agents do not, nor does a call soon after the last renewal. */
bool lease_is_due(const struct lease_job *job, const struct lease_renewal *r, int64_t *ret_end_ms);

/* Whether the job was taken from this agent as lost, so that what it posts comes late: another
 * agent, the owner, has the job after `reruns` of them. s NULL of either text: not known, then no.
 */
bool lease_lost_by(struct text agent, struct text owner, int64_t reruns);

#endif
