/* Submissions whose id the client chose: what becomes of the job that has this id already. */
#ifndef WORKER_JOBS_RESUBMISSION_H
#define WORKER_JOBS_RESUBMISSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Earlier runs that are kept of a job, the newest. */
#define ATTEMPTS_MAX 20

struct resubmitted {
    const char *state;    /* of the stored job; NULL: it has none */
    int64_t created;      /* of the stored job */
    int64_t received;     /* of the submission, in the same unit */
    bool repeat;          /* the submission may have been stored already */
    const json_t *stored; /* data of the job as it is; NULL: cannot be read */
    const json_t *sent;   /* and as it was sent now; both with attachments_status */
};

enum resubmission {
    RESUBMIT_NOTHING, /* it is stored already, or the same job waits */
    RESUBMIT_RENEWS,  /* the waiting job gets the new data and its new place in the queue */
    RESUBMIT_ATTEMPT  /* likewise, and what the job is now is kept as an attempt */
};

enum resubmission resubmission(const struct resubmitted *r);

/* Whether the data are the same. attachments_status is the server's: what was uploaded meanwhile
 * stays, so only whether there are attachments counts. */
bool job_data_same(const json_t *stored, const json_t *sent);

#endif
