/* The document of a job. Its _id is made of its job_id; a document of another server has any. */
#ifndef WORKER_STORE_MONGO_JOB_H
#define WORKER_STORE_MONGO_JOB_H

#include "worker/store/mongo/mongo.h"

/* While a job waits, this tells the order of arrival (microseconds) within a created_at, which has
 * milliseconds only. */
#define ORDER_PATH "claim.order"

/* The waiting jobs of a queue in the order of claims: the last keys of IX_WAITING. */
#define CLAIM_ORDER "job_priority: -1, created_at: 1, " ORDER_PATH ": 1, _id: 1"

/* Earlier runs that are kept of a job, the newest. */
#define ATTEMPTS_MAX 20

/* Appends to the fields of a $set stage: attempts, the newest `keep` - 1 of it and what the job is
 * now. */
void job_append_attempts(bson_t *fields, int keep);

/* Appends the stage of a pipeline that makes the update fail with ERR_TOO_LARGE where the document
 * has more than `max` bytes by then. */
void job_append_size_check(bson_t *pipeline, const char *index, int64_t max);

/* What a job's document must leave of its 16 MiB, so that its state can always be changed. */
#define JOB_STATE_ROOM (64 * 1024)

/* Makes the document of a job that waits. ERR_TOO_LARGE; ERR_INTERNAL (logged) when its data cannot
 * be BSON. `doc` is initialised by the caller, who destroys it in any case. */
enum err job_document(bson_t *doc, const bson_oid_t *id, const struct job_new *job) MUST_CHECK;

/* Stores a job whose id the client chose: a new one, or another attempt (see struct job_new). */
enum err job_put_given(struct mongo *m, const struct job_new *job) MUST_CHECK;

/* Append to the fields of a $set stage, for a change of state that is guarded (jobstate.c): `next`
 * unless the current state is in the NULL-terminated list.
 * job_append_state    STATE_PATH
 * job_append_history  {state, at} at its end, unless the state stays what it is
 * job_append_lease    its end, where the state is active afterwards; 0: it stays as it is
 * job_append_longer_lease  of a job that is active and stays in its state */
void job_append_state(bson_t *fields, const char *next, const char *const *unless);
void job_append_history(bson_t *fields, const char *next, const char *const *unless);
void job_append_lease(bson_t *fields, const char *next, const char *const *unless,
                      int64_t lease_ms);
void job_append_longer_lease(bson_t *fields, int64_t lease_ms);

/* Finds a job: our document of this id, else the newest of other servers. ERR_NOT_FOUND. *ret_doc
 * points into *ret_reply, which the caller destroys. */
enum err job_find(struct mongo *m, struct text job_id, const bson_t *projection, bson_t *ret_reply,
                  bson_t *ret_doc) MUST_CHECK;

/* What takes the document of the i-th job, within the call. */
struct job_finder {
    void (*take)(void *arg, size_t i, const bson_t *doc);
    void *arg;
};

/* Finds several jobs, if possible in one trip; nothing is taken of those that are not there. The
 * projection must not leave out _id. */
enum err job_find_all(struct mongo *m, const struct text *job_ids, size_t n,
                      const bson_t *projection, const struct job_finder *f) MUST_CHECK;

#endif
