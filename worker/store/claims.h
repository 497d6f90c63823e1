/* The store's part in the life of a claim: from the moment a job is handed out until it is known to
 * have arrived, and what is done about jobs that nobody cares for any more. */
#ifndef WORKER_STORE_CLAIMS_H
#define WORKER_STORE_CLAIMS_H

#include "common/envelope.h"
#include "common/err.h"
#include "common/mem.h"
#include "worker/jobs/lease.h"

#include <stdbool.h>
#include <stdint.h>

/* How long the frontend may take to tell that a claim has arrived, before the same agent gets the
 * same job. */
#define CLAIM_OPEN_MS 1500

/* claims_settle: what became of a claim, known by its token. Arrived: it is open no longer. Not:
 * its job waits again in its old place, provided that it still carries the token, is open, and has
 * no other state than running. A claim that is not there (any more) is settled. */
struct claim_settle {
    char token[REQUEST_ID_SIZE];
    bool arrived;
    char *queue;  /* out: in which the job waits again; owned by the caller; NULL: none */
    enum err err; /* out */
};

/* Field of result_data that says why the server ended a job itself, and what it says of a job that
 * waited for too long. */
#define END_REASON    "end_reason"
#define EXPIRY_REASON "expired: no agent took the job in time"

#define SWEEP_MAX 100 /* of what one step looks at */

/* One step of the sweep. */
struct sweep {
    int64_t now_ms;
    int64_t before_ms;     /* what is older than this counts */
    char *wake[SWEEP_MAX]; /* out: queues in which a job waits again; owned by the caller */
    size_t wake_len;       /* out */
    size_t done;           /* out: that were dealt with */
    bool more;             /* out: there may be further ones */
};

/* One process at a time sweeps: whoever has the turn, until it ends. */
struct sweep_turn {
    const char *owner; /* UUID text of the process */
    int64_t now_ms, end_ms;
};

/* A job whose lease has run out. Texts are owned; orphan_free(). */
struct orphan {
    char *job_id, *queue, *state;
    char *owner, *webhook; /* NULL: not known, none */
    int64_t lease_ms;
    int64_t reruns;  /* how often the job was put back in its queue for that reason */
    int64_t allowed; /* by the job itself; 0 where it says nothing */
};

void orphan_free(struct orphan *o);

/* What becomes of it. */
struct orphan_end {
    struct text job_id;
    int64_t lease_ms; /* as it was found */
    const char *reason;
    bool rerun;
};

/* A job that was handed out by this claim, but is larger than any message. */
struct job_unfit {
    struct text job_id;
    const char *token;
    const char *reason;
};
#define UNFIT_REASON "the job is larger than the server can hand out; see the setting max-document"

/* Who has a job. */
struct job_holder {
    struct text job_id;
    bool waits;   /* out: it is in its queue */
    bool tried;   /* out: an agent had it before, in another attempt */
    char *owner;  /* out: agent of its claim; owned by the caller; NULL: not known, or none */
    char *former; /* out: agent of that attempt; the same */
    enum err err; /* out: ERR_NOT_FOUND: there is no such job */
};

/* Field of a job by which it asks to be run again when its agent is lost: so many times. */
#define RERUN_FIELD "rerun_on_orphan"
#define RERUNS_MAX  10

#endif
