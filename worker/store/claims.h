/* Claims, from handing out a job until the response has reached the agent; leases and lost jobs. */
#ifndef WORKER_STORE_CLAIMS_H
#define WORKER_STORE_CLAIMS_H

#include "common/envelope.h"
#include "common/err.h"
#include "common/mem.h"
#include "worker/jobs/lease.h"
#include "worker/validation/job_id.h"
#include "worker/validation/names.h"

#include <stdbool.h>
#include <stdint.h>

/* An agent that asks again after this time gets the same job: the frontend did not confirm in time
 * that the response to its claim arrived. */
#define CLAIM_OPEN_MS 1500

/* The outcome of a claim, by its token. Arrived: the claim is closed. Otherwise its job waits again
 * in its old place, provided that it still carries the token, is open, and is running. A claim that
 * does not exist counts as settled. */
struct claim_settle {
    char token[REQUEST_ID_SIZE];
    bool arrived;
    char *queue;  /* out: where the job waits again; owned by the caller; NULL: nowhere */
    enum err err; /* out */
};

/* Field of result_data: why the server ended the job. */
#define END_REASON    "end_reason"
#define EXPIRY_REASON "expired: no agent took the job in time"

/* Field of a job: seconds after its submission until an agent must have taken it. */
#define QUEUE_TIMEOUT_FIELD  "queue_timeout"
#define QUEUE_TIMEOUT_MAX    ((int64_t)90 * 24 * 3600)
#define QUEUE_TIMEOUT_REASON "expired: no agent took the job within its queue_timeout"

#define SWEEP_MAX 100 /* jobs of one step */

/* One step of the sweep. */
struct sweep {
    int64_t now_ms;
    int64_t before_ms;     /* older claims are overdue */
    char *wake[SWEEP_MAX]; /* out: queues in which a job waits again; owned by the caller */
    size_t wake_len;       /* out */
    size_t done;           /* out: claims handled */
    bool more;             /* out: more may be left */
    bool none;             /* out, of claims_overdue: no claim is open */
};

/* The turn to sweep: one process at a time has it, until end_ms. */
struct sweep_turn {
    const char *owner; /* UUID text of the process */
    int64_t now_ms;
    int64_t end_ms; /* in: if it gets the turn; out: of the turn that another process has */
};

/* A job whose lease has expired. Owns its texts; orphan_free(). */
struct orphan {
    char *job_id, *queue, *state;
    char *owner, *webhook; /* NULL: unknown, none */
    int64_t lease_ms;
    int64_t reruns;  /* how often it was put back in its queue for that reason */
    int64_t allowed; /* reruns that the job asks for (RERUN_FIELD); 0: none */
    int64_t claimed_ms;
};

void orphan_free(struct orphan *o);

/* An agent that was started again after a job, or that has another one. */
struct agent_since {
    struct text name;
    int64_t before_ms;  /* it has lost the jobs that it claimed before */
    struct text job_id; /* but for this one; s NULL: all */
};

/* An agent that was heard of. */
struct agent_heard {
    struct text name;
    bool was_silent;          /* out: this call, even if it fails, has ended its silence */
    char job_id[JOB_ID_SIZE]; /* out, then: its job; "": none */
};

/* An agent that was not heard of. */
struct agent_silent {
    char name[NAME_BYTES_MAX + 1]; /* "": longer than that */
    char job_id[JOB_ID_SIZE];      /* "": none */
};

/* How it ends, or (`rerun`) starts again. */
struct orphan_end {
    struct text job_id;
    int64_t lease_ms; /* as leases_overdue found it */
    const char *reason;
    bool rerun;
    const char *exclude; /* an agent that must not get it again; NULL: none */
};

/* A claimed job that is larger than any message on the bus. */
struct job_unfit {
    struct text job_id;
    const char *token;
    const char *reason;
};
#define UNFIT_REASON "the job is larger than the server can hand out; see the setting max-document"

/* The agent that has a job. */
struct job_holder {
    struct text job_id;
    bool waits;   /* out: it is in its queue */
    bool tried;   /* out: an agent had it in an earlier attempt */
    char *owner;  /* out: agent of its claim; owned by the caller; NULL: unknown, or none */
    char *former; /* out: agent of that attempt; likewise */
    enum err err; /* out; ERR_NOT_FOUND: no such job */
};

/* How long an agent has a job. */
struct job_held {
    struct text job_id;
    int64_t lease_ms;    /* out: end of its lease; 0: no agent has it */
    int64_t reserved_ms; /* out: end of its reservation; 0: it is in no such state */
    enum err err;        /* out; ERR_NOT_FOUND: no such job */
};

/* Field of a job: how many times to run it again when its agent is lost. */
#define RERUN_FIELD "rerun_on_orphan"
#define RERUNS_MAX  10

#endif
