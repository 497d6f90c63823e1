/* What the parts of the claim share. */
#ifndef WORKER_STORE_MONGO_CLAIM_H
#define WORKER_STORE_MONGO_CLAIM_H

#include "worker/store/mongo/mongo.h"

#include <string.h>

/* A claim at work. */
struct wish {
    struct claim *claim;
    bool open;          /* not served yet */
    const uint8_t *job; /* document that it may get, in a reply; NULL: none chosen */
    uint32_t job_len;
    struct text queue; /* of the job that it got, in claim->data */
    int64_t wait_s;
};

/* Appends to a filter of jobs: those of the queues that the claim asks for. */
void claims_append_queues(bson_t *filter, const struct claim *c);

/* Appends what jobs of the claim's queues are that may be handed out, to this agent where
 * `exclude`.
 */
void claims_filter(bson_t *filter, const struct claim *c, bool exclude);

/* Adds the waits of the jobs that were handed out to those of their queues, and takes them from the
 * wishes. The jobs are handed out in any case: what is lost here is statistics. */
void claims_store_waits(struct mongo *m, struct wish *wishes, size_t n);

/* ---- jobs that exclude the agent (heads.c) ---- */

/* Whether many jobs of the claim's queues excluded agents lately. Then a claim looks at a bounded
 * number of them by heads_find, instead of having the server look for the first that does not. */
bool heads_are_many(const struct mongo *m, const struct claim *c);

/* A claim of these queues has taken long. */
void heads_note(struct mongo *m, const struct claim *c);

/* The first job that the agent may have: its _id is appended to *ret_id. ERR_NOT_FOUND: it is not
 * among those looked at, the first 1000 and as many more, from which later claims of this process
 * go on. */
enum err heads_find(struct mongo *m, const struct claim *c, bson_t *ret_id) MUST_CHECK;

#endif
