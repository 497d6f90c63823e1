/* Submissions with a client's job id: decides what to do with the job that has the id already. */
#ifndef WORKER_JOBS_RESUBMISSION_H
#define WORKER_JOBS_RESUBMISSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Number of earlier runs of a job that are kept, the newest. */
#define ATTEMPTS_MAX 20

struct resubmitted {
    const char *state;    /* of the stored job; NULL: none */
    int64_t created;      /* of the stored job */
    int64_t received;     /* of the submission, in the same unit */
    bool known;           /* the job was changed by this request before */
    bool repeat;          /* the request may have run before, unknown to the job */
    const json_t *stored; /* data of the stored job; NULL: unreadable */
    const json_t *sent;   /* data of the submission; both have attachments_status */
};

enum resubmission {
    RESUBMIT_NOTHING, /* already stored, or the same job waits */
    RESUBMIT_RENEWS,  /* give the waiting job the new data and a new place */
    RESUBMIT_ATTEMPT  /* likewise, and keep the present job as an attempt */
};

enum resubmission resubmission(const struct resubmitted *r);

/* Whether the data are equal. Of attachments_status, which the server changes, only the presence
 * counts. */
bool job_data_same(const json_t *stored, const json_t *sent);

#endif
