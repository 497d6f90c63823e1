/* One claim while it is served, and the job that it gets. */
#ifndef WORKER_STORE_MONGO_WISH_H
#define WORKER_STORE_MONGO_WISH_H

#include "worker/store/mongo/db.h"

/* What a claim reads of a job. */
#define CLAIM_FIELDS                                                                               \
    "created_at: true, started_at: true, job_id: true, job_data: true, submitter: true"

/* The state of one claim. */
struct wish {
    struct claim *claim;
    bool open;         /* not served yet */
    bool chosen;       /* it may get `job` */
    bson_t job;        /* a view */
    struct text queue; /* whose waits get this one, in claim->data; s NULL: none */
    int64_t wait_s;
    char *submitter; /* of the job; owned; NULL: unknown */
};

/* Moves the job's document into the claim; `counts`: record its wait. */
void wish_fill(struct wish *w, const bson_t *job, bool counts);

#endif
